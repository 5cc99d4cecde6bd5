//! Runs programs against a local edge, as they are and under valgrind.
// Each test program uses a part of this.
#![allow(dead_code)]

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use adobe_target::local_edge::LocalEdge;

use super::library::{CRATE, Sanitizer, Scratch};

/// A program that takes longer hangs.
pub const TIME_LIMIT: Duration = Duration::from_secs(300);
/// Under valgrind, on a machine that does other things besides.
pub const VALGRIND_TIME_LIMIT: Duration = Duration::from_secs(600);

/// What a program wrote and how it ended.
pub struct Run {
    /// None: by a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn succeeded(self, what: &str) -> Self {
        assert_eq!(self.code, Some(0), "{what} failed:\n{}{}", self.stdout, self.stderr);
        self
    }
}

/// Runs a command to its end, but not for ever.
pub fn run(command: &mut Command, scratch: &Scratch, limit: Duration) -> Run {
    let (out, err) = (scratch.file("stdout"), scratch.file("stderr"));
    for variable in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    let read = |file: &Path| String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{command:?} took more than {limit:?}:\n{}{}", read(&out), read(&err));
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let run = Run { code: status.code(), stdout: read(&out), stderr: read(&err) };
    assert!(run.code.is_some(), "{command:?} ended with {status}:\n{}{}", run.stdout, run.stderr);
    run
}

/// Whether there is a valgrind. Leaving it out does not go unnoticed, unless a sanitizer looks in its stead.
pub fn has_valgrind() -> bool {
    if Sanitizer::chosen().is_some() {
        return false;
    }
    if Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "valgrind is not installed");
    // Past the test harness, which shows nothing of tests that pass.
    let _ = writeln!(std::io::stderr(), "\n*** valgrind is not installed: programs were NOT checked for leaks ***\n");
    false
}

/// Runs a program as it is and under valgrind, each time with an edge of its own that is looked at afterwards.
pub fn runs_well(program: &Path, scratch: &Scratch, arguments: &[&str], examine: impl Fn(&Run, &LocalEdge)) {
    let start = || LocalEdge::start().unwrap();
    runs_as_it_is(&start(), program, scratch, arguments, &examine);
    runs_under_valgrind(start, program, scratch, arguments, &examine);
}

pub fn runs_as_it_is(
    edge: &LocalEdge,
    program: &Path,
    scratch: &Scratch,
    arguments: &[&str],
    examine: impl Fn(&Run, &LocalEdge),
) {
    let mut plain = Command::new(program);
    let result = run(plain.arg(edge.host()).args(arguments), scratch, TIME_LIMIT).succeeded("the program");
    examine(&result, edge);
}

pub fn runs_under_valgrind(
    start: impl Fn() -> LocalEdge,
    program: &Path,
    scratch: &Scratch,
    arguments: &[&str],
    examine: impl Fn(&Run, &LocalEdge),
) {
    const LEAKS: [&str; 3] =
        ["--leak-check=full", "--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect"];
    runs_under(&LEAKS, start, program, scratch, arguments, examine);
}

pub fn runs_under(
    checks: &[&str],
    start: impl Fn() -> LocalEdge,
    program: &Path,
    scratch: &Scratch,
    arguments: &[&str],
    examine: impl Fn(&Run, &LocalEdge),
) {
    if !has_valgrind() {
        return;
    }
    let edge = start();
    let mut checked = Command::new("valgrind");
    checked.args(["-q", "--num-callers=16", "--error-exitcode=99"]).args(checks);
    let suppressions = Path::new(CRATE).join("tests/valgrind.supp");
    if suppressions.exists() {
        checked.arg(format!("--suppressions={}", suppressions.display()));
    }
    checked.arg(program).arg(edge.host()).args(arguments).env("TARGET_TIMEOUT", "300000");
    let result = run(&mut checked, scratch, VALGRIND_TIME_LIMIT).succeeded("the program under valgrind");
    examine(&result, &edge);
}
