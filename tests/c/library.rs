//! The libraries of this build as C programs find them, and the compilers.
//!
//! `cargo test` makes the shared and the static library along with the one that tests link. Where that is not so
//! (another layout of the target directory, or a build that put other features in the same place), `cargo build`
//! is asked for them.
// Each test program uses a part of this.
#![allow(dead_code)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Where the crate is.
pub const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// What a program that links the static library needs from the system, in this order.
pub const NATIVE_LIBRARIES: &str = "-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc";

pub struct Libraries {
    pub shared: PathBuf,
    pub archive: PathBuf,
}

pub fn libraries() -> &'static Libraries {
    static FOUND: OnceLock<Libraries> = OnceLock::new();
    FOUND.get_or_init(|| beside_this_test().unwrap_or_else(build))
}

fn beside_this_test() -> Option<Libraries> {
    let test = std::env::current_exe().ok()?;
    let directory = test.parent()?;
    let found = Libraries { shared: directory.join(SHARED), archive: directory.join(ARCHIVE) };
    let complete = found.archive.exists() && found.shared.exists() && !exported_symbols(&found.shared).is_empty();
    complete.then_some(found)
}

const SHARED: &str = "libadobe_target.so";
const ARCHIVE: &str = "libadobe_target.a";

/// Asks cargo for the libraries of the profile, the target and the features that this test has.
fn build() -> Libraries {
    let test = std::env::current_exe().expect("the path of this test");
    let mut places = test.ancestors().skip(2).filter_map(|place| Some(place.file_name()?.to_str()?.to_owned()));
    let profile = places.next().expect("a profile's directory");
    let target = places.next().unwrap_or_default();

    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(CRATE).args(["build", "--lib", "--message-format=json", "--no-default-features"]);
    for (feature, is_on) in
        [("capi", true), ("spool", cfg!(feature = "spool")), ("local-edge", cfg!(feature = "local-edge"))]
    {
        if is_on {
            cargo.args(["--features", feature]);
        }
    }
    cargo.args(["--profile", if profile == "debug" { "dev" } else { &profile }]);
    // A directory named like `x86_64-unknown-linux-gnu` between the target directory and the profile.
    if target.matches('-').count() >= 2 && target.starts_with(std::env::consts::ARCH) {
        cargo.args(["--target", &target]);
    }
    let output = cargo.output().expect("cargo");
    assert!(output.status.success(), "{cargo:?} failed:\n{}", shown(&output));
    let made: Vec<PathBuf> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "adobe_target")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .collect();
    let find = |name: &str| {
        made.iter().find(|file| file.ends_with(name)).unwrap_or_else(|| panic!("no {name} in {made:?}")).clone()
    };
    Libraries { shared: find(SHARED), archive: find(ARCHIVE) }
}

/// The names that a shared library defines for others.
pub fn exported_symbols(library: &Path) -> Vec<String> {
    let output = Command::new("nm").args(["-D", "--defined-only"]).arg(library).output().expect("nm");
    assert!(output.status.success(), "nm failed:\n{}", shown(&output));
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .map(|name| name.split('@').next().unwrap_or(name).to_owned())
        .collect()
}

/// The C compiler: `CC`, or `cc`.
pub fn cc() -> Command {
    compiler("CC", "cc")
}

/// The C++ compiler: `CXX`, or `c++`.
pub fn cxx() -> Command {
    compiler("CXX", "c++")
}

fn compiler(variable: &str, otherwise: &str) -> Command {
    let named = std::env::var(variable).unwrap_or_default();
    let mut words = named.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or(otherwise));
    command.args(words).args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
    if let Some(sanitizer) = Sanitizer::chosen() {
        command.args(sanitizer.flags());
        // The Rust compiler's runtime instead of the C compiler's: one that fits the library, and whose locks a forked
        // child does not find locked.
        command.args(["-nodefaultlibs", "-Wl,--whole-archive"]).arg(sanitizer.runtime());
        command.args(["-Wl,--no-whole-archive", "-Wl,--export-dynamic", "-lstdc++"]).args(NATIVE_LIBRARIES.split(' '));
        command.arg("-lgcc");
    }
    command
}

/// What programs are built with and run under instead of valgrind: `ADOBE_TARGET_SANITIZER` is `address` or `thread`, and
/// the libraries of this build have it, too (`.ci/asan`, `.ci/tsan`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sanitizer {
    Address,
    Thread,
}

impl Sanitizer {
    pub fn chosen() -> Option<Self> {
        match std::env::var("ADOBE_TARGET_SANITIZER").as_deref() {
            Err(_) | Ok("") => None,
            Ok("address") => Some(Sanitizer::Address),
            Ok("thread") => Some(Sanitizer::Thread),
            Ok(other) => panic!("ADOBE_TARGET_SANITIZER is `{other}`: it can be `address` or `thread`"),
        }
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            // The runtime has not what the check of virtual tables calls.
            Sanitizer::Address => &[
                "-fsanitize=address,undefined",
                "-fno-sanitize=vptr",
                "-fno-sanitize-recover=all",
                "-fno-omit-frame-pointer",
            ],
            Sanitizer::Thread => &["-fsanitize=thread", "-fno-omit-frame-pointer"],
        }
    }

    fn runtime(self) -> PathBuf {
        let output = succeed(Command::new("rustc").args(["--print", "target-libdir"]));
        let directory = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        let end = match self {
            Sanitizer::Address => "_rt.asan.a",
            Sanitizer::Thread => "_rt.tsan.a",
        };
        let files = std::fs::read_dir(&directory).expect("the libraries of the Rust compiler");
        let mut files = files.filter_map(|entry| Some(entry.ok()?.path()));
        let is_it = |path: &PathBuf| path.to_string_lossy().ends_with(end);
        files.find(is_it).unwrap_or_else(|| panic!("no *{end} in {}", directory.display()))
    }

    /// A function that instrumented code calls.
    pub fn trace(self) -> &'static str {
        match self {
            Sanitizer::Address => "__asan_init",
            Sanitizer::Thread => "__tsan_init",
        }
    }
}

/// A directory that goes with the value, unless the test fails: then it stays to be looked at.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a scratch directory");
        Scratch(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Puts the shared library here under the name for the linker and under its soname. Returns the arguments that
    /// make a program in this directory use it.
    pub fn link_shared(&self) -> Vec<OsString> {
        let library = &libraries().shared;
        for name in [SHARED.to_owned(), format!("{SHARED}.1")] {
            match std::os::unix::fs::symlink(library, self.file(&name)) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => panic!("{name}: {error}"),
                _ => {}
            }
        }
        let mut directory = OsString::from("-L");
        directory.push(&self.0);
        vec![directory, "-ladobe_target".into(), "-Wl,-rpath,$ORIGIN".into(), "-pthread".into()]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // What cannot be removed now is in cargo's own directory for such files.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// Runs a command that must succeed.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?} failed with {}:\n{}", output.status, shown(&output));
    output
}

pub fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
