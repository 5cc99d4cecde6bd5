//! The files of a log: their names, and the few things that are done with a file and its directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::descriptors::OfThisProcess;

/// A file that claims to be larger is none of ours.
const LARGEST: u64 = 1 << 30;

/// A descriptor that stays open. A forked child has to close its copies, or the parent's locks outlive the parent:
/// this is the one place that knows of all of them.
pub(super) type Kept = OfThisProcess<File>;

pub(super) fn keep(file: File) -> Kept {
    OfThisProcess::new(file)
}

pub(super) fn path(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{number:010}.log"))
}

fn number(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".log")?;
    let is_ours = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_ours { digits.parse().ok() } else { None }
}

/// The numbers of the segments in a directory, ascending.
pub(super) fn list(directory: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        numbers.extend(entry?.file_name().to_str().and_then(number));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// All of a segment. A pipe or a device of that name is not opened: reading it might never end.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    #[cfg(test)]
    faults::meet(path)?;
    let found = fs::symlink_metadata(path)?;
    if !found.is_file() || found.len() > LARGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(found.len() as usize)?;
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether that cannot be read later either: it is no segment, it is gone, or the disk has an error there.
pub(super) fn is_lost(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::NotFound) || is_bad_disk(error)
}

/// What file systems say of a place that is damaged.
pub(super) fn is_bad_disk(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EUCLEAN | libc::EBADMSG | libc::ENODATA))
}

/// Has nobody take it for a segment any more, and leaves it to people.
pub(super) fn set_aside(path: &Path) -> io::Result<()> {
    fs::rename(path, path.with_extension("unreadable"))
}

/// A new segment. It is an error if the name is taken, whoever took it.
pub(super) fn create(path: &Path) -> io::Result<Kept> {
    OpenOptions::new().append(true).create_new(true).mode(0o600).open(path).map(keep)
}

/// Cuts off what an unfinished write left.
pub(super) fn cut(path: &Path, length: usize) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length as u64)?;
    file.sync_data()
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes names in a directory durable, where the file system has that.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

/// Files of this thread that the system refuses to read, as it does to another user, or without a free descriptor: a
/// test may run as root.
#[cfg(test)]
pub(super) mod faults {
    use std::cell::RefCell;
    use std::io;
    use std::path::{Path, PathBuf};

    thread_local! {
        static REFUSED: RefCell<Option<(PathBuf, i32)>> = const { RefCell::new(None) };
    }

    pub(super) fn meet(path: &Path) -> io::Result<()> {
        REFUSED.with_borrow(|refused| match refused {
            Some((refused, error)) if refused == path => Err(io::Error::from_raw_os_error(*error)),
            _ => Ok(()),
        })
    }

    /// With that error; none any more.
    pub(in super::super) fn refuse(refused: Option<(&Path, i32)>) {
        REFUSED.set(refused.map(|(path, error)| (path.to_owned(), error)));
    }
}
