//! `rejected.jsonl`: what the edge refused, for people. Processes share it: a line is one write at the end of the file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Beyond it the file becomes `rejected.1.jsonl`, in place of the one before.
const LARGEST: u64 = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Rejected {
    current: PathBuf,
    before: PathBuf,
}

impl Rejected {
    pub(super) fn new(spool: &Path) -> Self {
        Rejected { current: spool.join("rejected.jsonl"), before: spool.join("rejected.1.jsonl") }
    }

    pub(super) fn append(&self, line: &str) -> io::Result<()> {
        let mut line = line.replace(['\n', '\r'], " ");
        line.push('\n');
        if line.len() as u64 > LARGEST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(&self.current);
        let mut file = open()?;
        let held = file.metadata()?;
        // Only one process renames, and only the file that is too large: its lock tells who.
        if held.len() + line.len() as u64 > LARGEST
            && file.try_lock().is_ok()
            && fs::metadata(&self.current).is_ok_and(|named| named.ino() == held.ino())
        {
            fs::rename(&self.current, &self.before)?;
            file = open()?;
        }
        file.write_all(line.as_bytes())
    }
}
