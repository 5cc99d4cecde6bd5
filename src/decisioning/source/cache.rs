//! The last good artifact on disk, one file per location: a line of JSON that says what it is, then the bytes as
//! they were downloaded. A file is replaced as a whole, so a reader finds the old one or the new one, and any
//! number of clients and processes may share a directory.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::location::Location;
use crate::ids;
use crate::json::{Document, ObjectWriter, Strictness, Value};

/// The line's `file`; another layout gets another number.
const LAYOUT: i64 = 1;
/// The line has an ETag and a location, both bounded.
const MAX_LINE: u64 = 64 * 1024;
/// A process that was killed left its unfinished file; a living one finishes within seconds.
const ABANDONED: Duration = Duration::from_secs(600);

/// The place of one artifact.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    name: String,
    location: String,
    organization: String,
    max_bytes: u64,
}

/// An artifact that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub bytes: Vec<u8>,
    pub etag: Option<String>,
    /// When it was downloaded, by the system's clock, in milliseconds since 1970.
    pub retrieved_ms: i64,
}

impl Cache {
    pub(super) fn new(directory: &Path, location: &Location, organization: &str, max_bytes: u64) -> Self {
        let key = format!("{organization}\n{:?}\n{}", location.format, location.url);
        Cache {
            directory: directory.to_owned(),
            name: format!("artifact-{:016x}", checksum(key.as_bytes())),
            // The whole URL may have a signature in its query: what identifies it is enough.
            location: format!("{}#{:016x}", location.shown, checksum(location.url.as_bytes())),
            organization: organization.to_owned(),
            max_bytes,
        }
    }

    pub(super) fn file(&self) -> PathBuf {
        self.directory.join(&self.name)
    }

    /// What is there, if anything is. An error says why it cannot be used.
    pub(super) fn read(&self) -> Result<Option<Kept>, String> {
        self.remove_abandoned();
        let file = match File::open(self.file()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let mut file = BufReader::new(file);
        let (mut line, mut bytes) = (Vec::new(), Vec::new());
        file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
        if line.pop() != Some(b'\n') {
            return Err("it has no first line".to_owned());
        }
        file.take(self.max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 > self.max_bytes {
            return Err(format!("its artifact has more than {} bytes", self.max_bytes));
        }
        let line = std::str::from_utf8(&line).map_err(|_| "its first line is not UTF-8")?;
        self.judge(line, bytes).map(Some)
    }

    fn judge(&self, line: &str, bytes: Vec<u8>) -> Result<Kept, String> {
        let document = Document::parse(line, Strictness::Options).map_err(|_| "its first line is not JSON")?;
        let line = document.root();
        let text = |key: &str| line.get(key).and_then(Value::as_str);
        let number = |key: &str| line.get(key).and_then(Value::as_i64);
        if number("file") != Some(LAYOUT) {
            return Err("it is of another version of this library".to_owned());
        }
        if text("location").as_deref() != Some(&*self.location)
            || text("organization").as_deref() != Some(&*self.organization)
        {
            return Err("it is of another artifact".to_owned());
        }
        if number("length").and_then(|length| usize::try_from(length).ok()) != Some(bytes.len())
            || text("checksum").as_deref() != Some(&*format!("{:016x}", checksum(&bytes)))
        {
            return Err("it is damaged".to_owned());
        }
        Ok(Kept {
            bytes,
            etag: text("etag").map(|etag| etag.into_owned()),
            retrieved_ms: number("retrieved_ms").unwrap_or(0),
        })
    }

    /// Writes the bytes beside the file that is in force. They have to be written before they are compiled, which
    /// consumes them, and count only once [`Prepared::commit`] was called.
    pub(super) fn prepare(&self, bytes: &[u8], etag: Option<&str>, retrieved_ms: i64) -> io::Result<Prepared> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let path = self.directory.join(format!("{}.{}.tmp", self.name, ids::uuid()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let mut prepared = Prepared { file, path, target: self.file(), is_committed: false };
        let mut line = String::with_capacity(512);
        let mut object = ObjectWriter::begin(&mut line);
        object.number("file", LAYOUT);
        object.string("location", &self.location);
        object.string("organization", &self.organization);
        object.optional_string("etag", etag);
        object.number("retrieved_ms", retrieved_ms);
        object.number("length", bytes.len());
        object.string("checksum", &format!("{:016x}", checksum(bytes)));
        object.end();
        line.push('\n');
        prepared.file.write_all(line.as_bytes())?;
        prepared.file.write_all(bytes)?;
        Ok(prepared)
    }

    fn remove_abandoned(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let is_ours = name.to_str().is_some_and(|name| {
                name.strip_prefix(&*self.name).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".tmp"))
            });
            let age = entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
            if is_ours && age.is_some_and(|age| age > ABANDONED) {
                // Another process may be faster, and it is no harm if it stays.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// A file that is written and not in force. Dropped without a commit it goes.
#[derive(Debug)]
pub(super) struct Prepared {
    file: File,
    path: PathBuf,
    target: PathBuf,
    is_committed: bool,
}

impl Prepared {
    /// Puts the file in force, in a way that survives a loss of power.
    pub(super) fn commit(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, &self.target)?;
        self.is_committed = true;
        // Not every file system has this; without it the rename may be lost, not the content.
        if let Some(directory) = self.target.parent().and_then(|directory| File::open(directory).ok()) {
            let _ = directory.sync_all();
        }
        Ok(())
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if !self.is_committed {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// FNV-1a: finds damage and tells files apart; nobody is kept from forging it who can write the file.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ArtifactFormat;
    use std::os::unix::fs::PermissionsExt;

    /// A directory of its own that goes with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            Scratch(std::env::temp_dir().join(format!("adobe-target-cache-{}", ids::uuid())))
        }

        fn cache(&self, url: &str) -> Cache {
            let shown = url.split('?').next().unwrap().to_owned();
            let location = Location { url: url.to_owned(), shown, format: ArtifactFormat::Json };
            Cache::new(&self.0, &location, "1@AdobeOrg", 1000)
        }

        fn files(&self) -> Vec<String> {
            let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.collect()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn keep(cache: &Cache, bytes: &[u8], etag: Option<&str>) {
        cache.prepare(bytes, etag, 5).unwrap().commit().unwrap();
    }

    #[test]
    fn what_was_kept_comes_back_byte_for_byte() {
        let scratch = Scratch::new();
        let cache = scratch.cache("https://cdn.test/a");
        assert_eq!(cache.read(), Ok(None));
        for etag in [Some("W/\"1\""), None] {
            keep(&cache, b"\x00\n\xff{}", etag);
            let kept = Kept { bytes: b"\x00\n\xff{}".to_vec(), etag: etag.map(str::to_owned), retrieved_ms: 5 };
            assert_eq!(cache.read(), Ok(Some(kept)));
        }
    }

    #[test]
    fn locations_share_a_directory() {
        let scratch = Scratch::new();
        let (one, other) = (scratch.cache("https://cdn.test/a?sig=secret"), scratch.cache("https://cdn.test/a?sig=2"));
        keep(&one, b"1", None);
        keep(&other, b"2", None);
        assert_eq!(one.read().unwrap().unwrap().bytes, b"1");
        assert_eq!(other.read().unwrap().unwrap().bytes, b"2");
        assert!(!fs::read_to_string(one.file()).unwrap().contains("secret"));
    }

    #[test]
    fn what_is_not_committed_leaves_the_old_one_in_force_and_no_trace() {
        let scratch = Scratch::new();
        let cache = scratch.cache("https://cdn.test/a");
        keep(&cache, b"old", None);
        drop(cache.prepare(b"new", None, 6).unwrap());
        assert_eq!(cache.read().unwrap().unwrap().bytes, b"old");
        assert_eq!(scratch.files().len(), 1);
    }

    #[test]
    fn damage_and_what_belongs_to_another_are_told() {
        let scratch = Scratch::new();
        let cache = scratch.cache("https://cdn.test/a");
        keep(&cache, b"{\"a\":1}", None);
        let good = fs::read(cache.file()).unwrap();
        let flipped = [&good[..good.len() - 2], b"2}"].concat();
        let other = scratch.cache("https://cdn.test/b");
        keep(&other, b"{}", None);
        for (bytes, reason) in [
            (&b""[..], "it has no first line"),
            (b"\n", "its first line is not JSON"),
            (b"\xff\n", "its first line is not UTF-8"),
            (b"{\"file\":2}\n", "it is of another version of this library"),
            (&good[..good.len() - 1], "it is damaged"),
            (&flipped, "it is damaged"),
            (&fs::read(other.file()).unwrap(), "it is of another artifact"),
            (&vec![b' '; 70_000], "it has no first line"),
            (&[b"{}\n", &[b' '; 1001][..]].concat(), "its artifact has more than 1000 bytes"),
        ] {
            fs::write(cache.file(), bytes).unwrap();
            assert_eq!(cache.read(), Err(reason.to_owned()));
        }
        fs::remove_file(cache.file()).unwrap();
        fs::create_dir(cache.file()).unwrap();
        assert!(cache.read().is_err());
    }

    #[test]
    fn files_are_for_their_owner_alone() {
        let scratch = Scratch::new();
        let cache = scratch.cache("https://cdn.test/a");
        keep(&cache, b"{}", None);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&scratch.0), mode(&cache.file())), (0o700, 0o600));
    }

    #[test]
    fn unfinished_files_of_killed_processes_go() {
        let scratch = Scratch::new();
        let cache = scratch.cache("https://cdn.test/a");
        keep(&cache, b"{}", None);
        let leave = |name: String, age: u64| {
            let file = File::create(scratch.0.join(&name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
            name
        };
        leave(format!("{}.old.tmp", cache.name), 700);
        let mut stay = vec![leave(format!("{}.new.tmp", cache.name), 0), leave("other.old.tmp".to_owned(), 700)];
        cache.read().unwrap();
        stay.push(cache.name.clone());
        stay.sort();
        let mut files = scratch.files();
        files.sort();
        assert_eq!(files, stay);
    }
}
