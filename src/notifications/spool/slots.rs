//! Directories of a spool and who owns them: a slot belongs to whoever holds the lock on its `lock` file. The lock
//! goes with the descriptor, so two clients of one process exclude each other like two processes, and a process that
//! was killed holds nothing. Slots are used again and never removed: a lock file that could vanish would be two locks.

use std::fs::{self, DirBuilder, OpenOptions, TryLockError};
use std::io;
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
    pub directory: PathBuf,
    lock: Mutex<Option<Kept>>,
}

impl Slot {
    /// Leaves it to others.
    pub(super) fn release(&self) {
        lock(&self.lock).take();
    }
}

/// Takes a slot unless somebody has it.
fn take(spool: &Path, index: u32) -> io::Result<Option<Slot>> {
    let directory = spool.join(index.to_string());
    let path = directory.join("lock");
    for _ in 0..TRIES {
        create_directory(&directory)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The lock of a file that was removed meanwhile keeps nobody out.
        let held = file.metadata()?;
        if fs::metadata(&path).is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
            return Ok(Some(Slot { directory, lock: Mutex::new(Some(keep(file))) }));
        }
    }
    Err(io::Error::other("its lock file is removed again and again"))
}

pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The first slot that nobody has.
pub(super) fn take_first(spool: &Path) -> io::Result<Slot> {
    for index in 0..MOST {
        match take(spool, index) {
            Ok(None) => {}
            Ok(Some(slot)) => return Ok(slot),
            // Something of that name that is not ours.
            Err(error) if is_foreign(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("all of its {MOST} slots are taken")))
}

fn is_foreign(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory)
}

/// The slots with leftovers that nobody has, in order. They are ours now.
pub(super) fn take_abandoned(spool: &Path) -> Vec<Slot> {
    let Ok(entries) = fs::read_dir(spool) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut indexes: Vec<u32> =
        names.filter_map(|name| name.parse().ok().filter(|index: &u32| index.to_string() == name)).collect();
    indexes.sort_unstable();
    let has_leftovers = |directory: &Path| segment::list(directory).is_ok_and(|segments| !segments.is_empty());
    let mut slots = Vec::new();
    for index in indexes.into_iter().filter(|index| *index < MOST) {
        if has_leftovers(&spool.join(index.to_string()))
            && let Ok(Some(slot)) = take(spool, index)
            // Its owner may have closed it in good order between the two looks.
            && has_leftovers(&slot.directory)
        {
            slots.push(slot);
        }
    }
    slots
}
