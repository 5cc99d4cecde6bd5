//! What `make` builds and installs, for the tests of it.
// Each test program uses a part of this.
#![allow(dead_code)]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::library::{CRATE, succeed};

/// A `make` in the crate that nothing but its arguments and the target directory of this test has a say in.
pub fn make() -> Command {
    let mut make = Command::new("make");
    make.current_dir(CRATE);
    for variable in ["MAKEFLAGS", "MAKELEVEL", "MFLAGS", "DESTDIR", "PREFIX", "LIBDIR", "INCLUDEDIR", "TARGET"] {
        make.env_remove(variable);
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    // Inside the crate its path may have blanks.
    make.env("CARGO_TARGET_DIR", target.strip_prefix(CRATE).unwrap_or(target));
    make
}

/// Builds what is not up to date: once, whoever asks first. It takes minutes.
pub fn built() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        // Two of them at once would be in each other's way.
        let lock = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("make.lock")).expect("a file to lock");
        lock.lock().expect("the lock");
        succeed(&mut make());
    });
}

/// `make install` of what is built. Cargo must not be needed for it.
pub fn make_install() -> Command {
    built();
    let mut make = make();
    make.args(["install", "CARGO=false"]);
    make
}

/// A prefix with everything installed, for the tests of one program. It stays until the next run.
pub fn installed() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join(concat!("installed-", env!("CARGO_CRATE_NAME")));
        if prefix.exists() {
            fs::remove_dir_all(&prefix).expect("the last run's prefix can be removed");
        }
        succeed(make_install().env("PREFIX", &prefix));
        prefix
    })
}

/// The shared library of a release, as it is installed.
pub fn shared() -> PathBuf {
    installed().join("lib/libadobe_target.so.1.0.0")
}

/// The static one.
pub fn archive() -> PathBuf {
    installed().join("lib/libadobe_target.a")
}

/// Whether there is a tool that the library does not need, but a test of it. Leaving it out does not go unnoticed.
pub fn has(tool: &str) -> bool {
    has_what(tool, Command::new(tool).arg("--version"))
}

/// The same of something that lets a command succeed.
pub fn has_what(name: &str, command: &mut Command) -> bool {
    if command.output().is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{name} is not installed");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    told(&format!("\n*** SKIPPED: {test}: {name} is not installed ***\n"));
    false
}

/// What people have to see, past the test harness, which shows nothing of tests that pass.
pub fn told(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
