//! Directories of a spool and who owns them: a slot belongs to whoever holds the lock on its `lock` file. The lock
//! goes with the descriptor, so two clients of one process exclude each other like two processes, and a process that
//! was killed holds nothing. Slots are used again and never removed: a lock file that could vanish would be two locks.
//! Records are for one account, which the file `account` names: clients of another one leave them where they are.

use std::fs::{self, DirBuilder, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::segment::{self, Kept, keep};
use crate::sync::lock;

/// Clients that can share a spool directory.
const MOST: u32 = 4096;
/// How often somebody may clear the directory away under a process that takes a slot.
const TRIES: usize = 10;

#[derive(Debug)]
pub(super) struct Slot {
    pub index: u32,
    pub directory: PathBuf,
    lock: Mutex<Option<Kept>>,
}

impl Slot {
    /// Leaves it to others.
    pub(super) fn release(&self) {
        lock(&self.lock).take();
    }
}

/// Takes a slot unless somebody has it, or has left something for another account in it.
fn take(spool: &Path, index: u32, account: &str) -> io::Result<Option<Slot>> {
    let directory = spool.join(index.to_string());
    let path = directory.join("lock");
    for _ in 0..TRIES {
        create_directory(&directory)?;
        // Before it is locked, too: its own client may be looking for it.
        if is_for_another(&directory, account)? {
            return Ok(None);
        }
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        // Known before it is locked: a fork at any moment leaves no lock to the child.
        let file = keep(file);
        match file.get()?.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The lock of a file that was removed meanwhile keeps nobody out.
        let held = file.get()?.metadata()?;
        if fs::metadata(&path).is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
            let is_ours = !is_for_another(&directory, account)?;
            return Ok(is_ours.then(|| Slot { index, directory, lock: Mutex::new(Some(file)) }));
        }
    }
    Err(io::Error::other("its lock file is removed again and again"))
}

pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn has_leftovers(directory: &Path) -> io::Result<bool> {
    segment::list(directory).map(|segments| !segments.is_empty())
}

/// Whether there is something for another account. Without a name it is for whoever comes.
fn is_for_another(directory: &Path, account: &str) -> io::Result<bool> {
    match segment::read(&directory.join("account")) {
        Ok(named) => Ok(!named.is_empty() && named != account.as_bytes() && has_leftovers(directory)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Names an empty slot. On a full disk it has no name then: what is pending elsewhere can be delivered all the same.
fn name_account(directory: &Path, account: &str) -> io::Result<()> {
    let path = directory.join("account");
    if segment::read(&path).is_ok_and(|named| named == account.as_bytes()) {
        return Ok(());
    }
    write_account(&path, account).or_else(|error| segment::remove(&path).map_err(|_| error))
}

/// Whole or not at all, whatever a loss of power leaves: with half a name nobody would find the records.
fn write_account(path: &Path, account: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(account.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)
}

/// The first slot from that one on that nobody has and that may be ours.
pub(super) fn take_first(spool: &Path, from: u32, account: &str) -> io::Result<Slot> {
    let mut refused = None;
    for index in from..MOST {
        let taken = take(spool, index, account).and_then(|slot| {
            slot.iter().try_for_each(|slot| name_account(&slot.directory, account))?;
            Ok(slot)
        });
        match taken {
            Ok(None) => {}
            Ok(Some(slot)) => return Ok(slot),
            // Something of that name that is not ours.
            Err(error) if is_foreign(&error) => {}
            // A slot of another user, or all of them are; or one where the disk is damaged.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied || segment::is_bad_disk(&error) => {
                refused = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or_else(|| io::Error::other(format!("all of its {MOST} slots are taken"))))
}

fn is_foreign(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, InvalidData, IsADirectory, NotADirectory};
    matches!(error.kind(), AlreadyExists | InvalidData | IsADirectory | NotADirectory)
}

/// The slots with leftovers for this account that nobody has, in order. They are ours now.
pub(super) fn take_abandoned(spool: &Path, account: &str) -> Vec<Slot> {
    let Ok(entries) = fs::read_dir(spool) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut indexes: Vec<u32> =
        names.filter_map(|name| name.parse().ok().filter(|index: &u32| index.to_string() == name)).collect();
    indexes.sort_unstable();
    let mut slots = Vec::new();
    for index in indexes.into_iter().filter(|index| *index < MOST) {
        if has_leftovers(&spool.join(index.to_string())).unwrap_or(false)
            && let Ok(Some(slot)) = take(spool, index, account)
            // Its owner may have closed it in good order between the two looks.
            && has_leftovers(&slot.directory).unwrap_or(false)
        {
            slots.push(slot);
        }
    }
    slots
}
