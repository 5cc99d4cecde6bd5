//! `target_send_notifications` against libcurl posting the same bytes: builds `against_libcurl.c`, runs it beside
//! a local edge of its own, both on one CPU, and counts system calls where strace is installed.
//!
//! ```sh
//! cargo bench --features local-edge --bench against_libcurl
//! ```
//!
//! Needs a C compiler and libcurl with its headers.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const SONAME: &str = "libadobe_target.so.1";

fn main() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let Some(library) = shared_library() else {
        println!("no libadobe_target.so beside the benchmark: run `cargo build --release` first");
        return;
    };
    std::fs::copy(&library, directory.join(SONAME)).expect("the library can be copied");
    let Some(program) = compile(&directory) else {
        println!("the C program was not built (is libcurl with its headers installed?): nothing measured");
        return;
    };
    let pinned = Command::new("taskset").arg("-V").stdout(Stdio::null()).status().is_ok();
    let (mut edge, host) = start_edge(pinned);
    println!("{} bytes of shared library as built; client and server {}", size(&library), where_they_run(pinned));
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let mut run = on_one_cpu(&program, pinned);
    run.arg(&host).args(arguments).status().expect("the benchmark runs");
    system_calls(&program, &host, &directory);
    edge.kill().expect("the edge ends");
    let _ = edge.wait();
}

/// Cargo puts the library of a benchmark beside the benchmark or one folder up.
fn shared_library() -> Option<PathBuf> {
    let benchmark = std::env::current_exe().ok()?;
    benchmark.ancestors().skip(1).take(2).map(|folder| folder.join("libadobe_target.so")).find(|file| file.is_file())
}

fn compile(directory: &Path) -> Option<PathBuf> {
    let program = directory.join("against_libcurl");
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_owned()))
        .args(["-std=c99", "-O2", "-Wall", "-Wextra"])
        .arg("-I")
        .arg(source.join("include"))
        .arg(source.join("benches/against_libcurl.c"))
        .arg(directory.join(SONAME))
        .args(["-lcurl", "-lpthread"])
        .arg(format!("-Wl,-rpath,{}", directory.display()))
        .arg("-o")
        .arg(&program)
        .status();
    status.is_ok_and(|status| status.success()).then_some(program)
}

fn on_one_cpu(program: &Path, pinned: bool) -> Command {
    if !pinned {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}

fn start_edge(pinned: bool) -> (Child, String) {
    let mut edge = on_one_cpu(Path::new(env!("CARGO_BIN_EXE_target-local-edge")), pinned)
        .arg("--quiet")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the local edge starts");
    let mut line = String::new();
    BufReader::new(edge.stdout.take().expect("its output is ours")).read_line(&mut line).expect("it says where it is");
    let host = line.trim().rsplit('/').next().unwrap_or_default().to_owned();
    (edge, host)
}

fn where_they_run(pinned: bool) -> &'static str {
    if pinned { "pinned to one CPU" } else { "not pinned: taskset is missing" }
}

fn size(file: &Path) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len())
}

/// The difference of two runs is what the calls themselves cost.
fn system_calls(program: &Path, host: &str, directory: &Path) {
    let count = |which: &str, calls: u32| -> Option<f64> {
        let log = directory.join("strace.log");
        let status = Command::new("strace")
            .args(["-f", "-c", "-o"])
            .arg(&log)
            .arg(program)
            .args([host, &calls.to_string(), "1", "only", which])
            .status()
            .ok()?;
        let text = std::fs::read_to_string(log).ok().filter(|_| status.success())?;
        text.lines()
            .last()?
            .split_whitespace()
            .find_map(|word| word.parse().ok().filter(|n: &f64| *n > 500.0 && n.fract() == 0.0))
    };
    for which in ["target", "curl"] {
        match (count(which, 1000), count(which, 2000)) {
            (Some(fewer), Some(more)) => println!("system calls a call, {which}: {:.1}", (more - fewer) / 1000.0),
            _ => println!("system calls: not counted (is strace installed?)"),
        }
    }
}
