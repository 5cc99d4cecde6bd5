//! C programs against a local edge: the examples, and the test programs in `tests/c`.
//!
//! Each is compiled with the strictest warnings, linked with the libraries of this build, run, and run again under
//! valgrind, which must find no error and no leak. What the programs cannot see, the edge's side, is checked here.
#![cfg(all(feature = "capi", feature = "local-edge", unix))]

use std::path::PathBuf;
use std::process::{Command, Stdio};

use adobe_target::local_edge::LocalEdge;
use serde_json::{Value, json};

#[path = "c/library.rs"]
mod library;
#[path = "c/programs.rs"]
mod programs;

use library::{CRATE, NATIVE_LIBRARIES, Sanitizer, Scratch, cc, cxx, libraries, shown, succeed};
use programs::{Run, TIME_LIMIT, run, runs_as_it_is, runs_under, runs_under_valgrind, runs_well};

/// Compiles files of the crate to a program that has the shared library beside it.
fn compiled(mut compiler: Command, standard: &str, scratch: &Scratch, files: &[&str]) -> PathBuf {
    let program = scratch.file("program");
    compiler.current_dir(CRATE).arg(format!("-std={standard}")).arg("-g");
    compiler.args(["-Iinclude", "-Iexamples-c", "-Itests/c", "-o"]).arg(&program).args(files);
    succeed(compiler.args(scratch.link_shared()));
    program
}

/// The same for a program that forks, where children leak what was their parent's and what its other threads had: leaks
/// are not looked for, other errors are, in the children too.
fn forking_program_runs_well(name: &str, arguments: &[&str], under_valgrind: &[&str]) {
    let scratch = Scratch::new(name);
    let program = compiled_test_program(name, &scratch);
    // The tokens are those of the programs' own artifact.
    let start = || LocalEdge::builder().accept_any_token(true).start().unwrap();
    if Sanitizer::chosen() == Some(Sanitizer::Thread) {
        // It does not support threads in the child of a process that had some.
        return;
    }
    if Sanitizer::chosen().is_some() {
        let options = std::env::var("ASAN_OPTIONS").unwrap_or_default();
        let mut sanitized = Command::new(&program);
        sanitized.env("ASAN_OPTIONS", format!("{options}:detect_leaks=0"));
        let edge = start();
        run(sanitized.arg(edge.host()).args(under_valgrind), &scratch, TIME_LIMIT).succeeded("the program");
        return;
    }
    runs_as_it_is(&start(), &program, &scratch, arguments, |_, _| {});
    runs_under(&["--leak-check=no"], start, &program, &scratch, under_valgrind, |_, _| {});
}

/// The sources of a test program.
fn test_program(name: &str) -> [String; 4] {
    [format!("tests/c/{name}.c"), "tests/c/check.c".into(), "tests/c/edge.c".into(), "examples-c/json.c".into()]
}

fn test_program_runs_well(name: &str, examine: impl Fn(&Run, &LocalEdge)) {
    let scratch = Scratch::new(name);
    runs_well(&compiled_test_program(name, &scratch), &scratch, &[], examine);
}

fn compiled_test_program(name: &str, scratch: &Scratch) -> PathBuf {
    let files = test_program(name);
    compiled(cc(), "c99", scratch, &files.each_ref().map(|file| file.as_str()))
}

/// A run that finds nothing is worth something where it would have found what is there.
#[test]
fn the_sanitizer_is_in_the_library_and_finds_what_is_wrong() {
    let Some(sanitizer) = Sanitizer::chosen() else { return };
    let called = succeed(Command::new("nm").arg("-D").arg("--undefined-only").arg(&libraries().shared));
    assert!(shown(&called).contains(sanitizer.trace()), "the library has no {}", sanitizer.trace());
    let (source, found) = match sanitizer {
        Sanitizer::Address => ("leaks.c", "LeakSanitizer: detected memory leaks"),
        Sanitizer::Thread => ("races.c", "ThreadSanitizer: data race"),
    };
    let scratch = Scratch::new("sanitizer");
    let program = compiled(cc(), "c99", &scratch, &[&format!("tests/c/{source}")]);
    let run = run(&mut Command::new(program), &scratch, TIME_LIMIT);
    assert_ne!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains(found), "{}", run.stderr);
}

#[test]
fn main_job() {
    test_program_runs_well("main_job", |_, edge| assert_eq!(edge.waiting_faults(), 0));
}

#[test]
fn main_job_as_cpp() {
    let scratch = Scratch::new("main_job_as_cpp");
    let mut files = vec!["-x".to_owned(), "c++".to_owned()];
    files.extend(test_program("main_job"));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let program = compiled(cxx(), "c++17", &scratch, &files);
    runs_well(&program, &scratch, &[], |_, _| {});
}

/// The archive is one file with all that Rust's part needs; the system's libraries are named.
#[test]
fn main_job_with_the_static_library() {
    let scratch = Scratch::new("main_job_static");
    let program = scratch.file("program");
    let mut compiler = cc();
    compiler.current_dir(CRATE).args(["-std=c99", "-g", "-Iinclude", "-Iexamples-c", "-Itests/c", "-o"]);
    compiler.arg(&program).args(test_program("main_job")).arg(&libraries().archive);
    succeed(compiler.args(NATIVE_LIBRARIES.split(' ')));
    let needed = succeed(Command::new("readelf").arg("-d").arg(&program));
    assert!(!shown(&needed).contains("libadobe_target"), "the program still needs the shared library");
    runs_well(&program, &scratch, &[], |_, _| {});
}

#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn the_native_libraries_are_those_that_the_compiler_names() {
    let scratch = Scratch::new("native-libraries");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--crate-type=staticlib", "--crate-name=empty", "--print=native-static-libs", "-"]);
    rustc.arg("-o").arg(scratch.file("libempty.a"));
    // An empty crate: what the standard library needs. Linking the program above shows that nothing is missing.
    let output = succeed(rustc.stdin(Stdio::null()));
    let text = shown(&output);
    let named = text.lines().find_map(|line| line.split_once("native-static-libs: ")).map(|(_, libraries)| libraries);
    assert_eq!(named.map(str::trim), Some(NATIVE_LIBRARIES), "{text}");
}

#[test]
fn json_reader() {
    test_program_runs_well("json_reader", |_, _| {});
}

#[test]
fn async_calls() {
    test_program_runs_well("async_calls", |_, edge| assert_eq!(edge.waiting_faults(), 0));
}

#[test]
fn full_executor() {
    test_program_runs_well("full_executor", |_, edge| {
        assert!(edge.requests().len() <= 32, "calls that waited for a thread were sent")
    });
}

#[cfg(feature = "spool")]
#[test]
fn bad_input() {
    let nothing_came = |_: &Run, edge: &LocalEdge| {
        assert_eq!(edge.requests(), []);
        assert_eq!(edge.connections(), 0);
    };
    let scratch = Scratch::new("bad_input");
    let program = compiled_test_program("bad_input", &scratch);
    let start = || LocalEdge::start().unwrap();
    runs_as_it_is(&start(), &program, &scratch, &[], nothing_came);
    // Valgrind finds in a megabyte what it finds in twenty.
    runs_under_valgrind(start, &program, &scratch, &["1000000", "50000"], nothing_came);
}

#[test]
fn events_and_logger() {
    test_program_runs_well("events_and_logger", |_, edge| assert_eq!(edge.waiting_faults(), 0));
}

#[test]
fn on_device() {
    test_program_runs_well("on_device", |_, edge| {
        let report = edge.report();
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        assert_eq!(report.session_concurrent_max, 1);
    });
}

#[cfg(feature = "spool")]
#[test]
fn queue() {
    test_program_runs_well("queue", |_, edge| assert_eq!(edge.waiting_faults(), 0));
}

#[test]
fn close_and_free() {
    test_program_runs_well("close_and_free", |_, _| {});
}

#[test]
fn threads() {
    test_program_runs_well("threads", |_, edge| {
        let report = edge.report();
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        // Every call had a session of its own.
        assert_eq!(report.sessions, report.requests);
        assert_eq!(report.session_concurrent_max, 1);
    });
}

#[test]
fn fork() {
    forking_program_runs_well("fork", &[], &[]);
}

#[test]
fn fork_among_busy_threads() {
    forking_program_runs_well("fork_among_threads", &["100", "16"], &["5", "4"]);
}

#[cfg(feature = "spool")]
#[test]
fn fork_with_a_queue() {
    forking_program_runs_well("fork_queue", &["100", "16"], &["5", "4"]);
}

#[test]
fn broken_connections() {
    test_program_runs_well("broken_connections", |_, _| {});
}

/// Compiles an example.
fn example(name: &str, scratch: &Scratch) -> PathBuf {
    let source = format!("examples-c/{name}.c");
    compiled(cc(), "c99", scratch, &[&source, "examples-c/json.c", "examples-c/config.c"])
}

/// The bodies of the requests that came.
fn bodies(edge: &LocalEdge) -> Vec<Value> {
    edge.requests().iter().map(|request| request.json().expect("a JSON body")).collect()
}

/// The edge got a prefetch of both mboxes, then the display of the second with its state and token, of one session.
fn the_main_job_was_done(edge: &LocalEdge) {
    let requests = edge.requests();
    let [prefetch, notification] = &bodies(edge)[..] else { panic!("{} requests", requests.len()) };
    assert_eq!(prefetch["prefetch"]["mboxes"], json!([{"index": 0, "name": "home"}, {"index": 1, "name": "product1"}]));
    let reported = &notification["notifications"][0];
    assert_eq!(reported["id"], "1");
    assert_eq!(reported["type"], "display");
    assert!(reported["timestamp"].as_u64().is_some_and(|time| time > 1_621_530_726_000), "{reported}");
    assert_eq!(reported["mbox"]["name"], "product1");
    assert!(reported["mbox"]["state"].is_string(), "{reported}");
    assert_eq!(reported["tokens"].as_array().map(Vec::len), Some(1), "{reported}");
    let session = |at: usize| requests[at].query_value("sessionId").map(str::to_owned);
    assert_eq!(session(0), session(1));
    let report = edge.report();
    assert_eq!(report.impressions.by_mbox.get("product1"), Some(&1));
    assert_eq!(report.notifications.ids.get("1"), Some(&1));
    assert_eq!(report.connections, 1);
}

#[test]
fn example_quickstart() {
    let scratch = Scratch::new("quickstart");
    let program = example("quickstart", &scratch);
    runs_well(&program, &scratch, &[], |run, edge| {
        the_main_job_was_done(edge);
        let line = |start: &str| run.stdout.lines().find_map(|line| line.strip_prefix(start)).map(str::to_owned);
        let sent = bodies(edge);
        // What is printed is what was sent.
        let printed: Vec<Value> = run
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("Request: "))
            .map(|text| serde_json::from_str(text).unwrap())
            .collect();
        assert_eq!(printed, sent);
        assert_eq!(line("Shown in product1: ").as_deref(), Some("<span class=\"badge\">Bestseller</span>"));
        assert_eq!(line("Acknowledged: ").as_deref(), Some("[\"1\"]"));
        assert!(line("Set-Cookie: mbox=session#").is_some_and(|cookie| cookie.ends_with("; Path=/")), "{}", run.stdout);
        assert_eq!(line("Set-Cookie: mboxEdgeCluster=").as_deref(), Some("35; Max-Age=1860; Path=/"));
    });
}

#[test]
fn example_async() {
    let scratch = Scratch::new("async");
    let program = example("async", &scratch);
    runs_well(&program, &scratch, &[], |run, edge| {
        the_main_job_was_done(edge);
        assert!(run.stdout.contains("Acknowledged: [\"1\"]"), "{}", run.stdout);
    });
}

#[test]
fn example_on_device() {
    let scratch = Scratch::new("on-device-example");
    let program = example("on_device", &scratch);
    let start = || LocalEdge::builder().default_artifact().start().unwrap();
    let examine = |run: &Run, edge: &LocalEdge| {
        for line in [
            "Event: client_ready",
            "Decided: on-device",
            "Shown in product1: <span class=\"badge\">On sale</span>",
            "Not queued: 0",
            "Discount: 15",
            "Discount on Black Friday: 30",
            "Decisions: 2",
            "Impressions accepted: 3",
            "Impressions acknowledged: 3",
        ] {
            assert!(run.stdout.lines().any(|printed| printed == line), "no {line:?} in:\n{}", run.stdout);
        }
        // What the preview looked at is not among them.
        let impressions = edge.report().impressions;
        let of = |mbox: &str| impressions.by_mbox.get(mbox).copied();
        assert_eq!((of("home"), of("product1"), of("cart")), (Some(1), Some(1), Some(1)));
        assert_eq!(impressions.total, 3);
    };
    runs_as_it_is(&start(), &program, &scratch, &[], examine);
    runs_under_valgrind(start, &program, &scratch, &[], examine);
}

#[cfg(feature = "spool")]
#[test]
fn example_queue() {
    let scratch = Scratch::new("queue-example");
    let program = example("queue", &scratch);
    let spool = scratch.path().join("spool");
    let edge = LocalEdge::start().unwrap();
    let mut command = Command::new(&program);
    command.arg(edge.host()).env("TARGET_SPOOL", &spool);
    let ran = run(&mut command, &scratch, TIME_LIMIT).succeeded("the example");
    for line in [
        "Accepted: [\"shown\",\"clicked\"]",
        "Acknowledged: 2",
        "Rejected: 0",
        "Event: notification_acknowledged [\"shown\",\"clicked\"]",
    ] {
        assert!(ran.stdout.lines().any(|printed| printed == line), "no {line:?} in:\n{}", ran.stdout);
    }
    let report = edge.report();
    assert_eq!(report.impressions.by_mbox.get("home"), Some(&1));
    assert_eq!(report.clicks.by_mbox.get("home"), Some(&1));
    assert_eq!(report.sessions, 1);
}

#[test]
fn example_server() {
    const THREADS: u64 = 4;
    const VISITORS: u64 = 10;
    const VIEWS: u64 = 2;
    let scratch = Scratch::new("server");
    let program = example("server", &scratch);
    runs_well(&program, &scratch, &["4", "10", "2"], |run, edge| {
        let report = edge.report();
        let displays = THREADS * VISITORS * VIEWS;
        assert_eq!(report.requests, 2 * displays);
        assert_eq!(report.notifications.processed, displays);
        assert_eq!(report.notifications.distinct, displays);
        assert_eq!(report.impressions.by_mbox.get("product1"), Some(&displays));
        // A visitor's cookie keeps all views of that visitor in one session.
        assert_eq!(report.sessions, THREADS * VISITORS);
        assert!(report.connections <= THREADS, "{} connections", report.connections);
        assert!(run.stdout.contains(&format!("{} calls by {THREADS} threads", 2 * displays)), "{}", run.stdout);
        assert!(run.stdout.contains("Stats: {\"calls\":"), "{}", run.stdout);
    });
}

#[cfg(feature = "spool")]
#[test]
fn examples_say_what_is_wrong() {
    for (name, unreachable) in [
        ("quickstart", "TARGET_ERR_NETWORK"),
        ("async", "TARGET_ERR_NETWORK"),
        ("queue", "TARGET_ERR_NETWORK"),
        ("on_device", "TARGET_ERR_PENDING: waiting for the artifact (last failure: "),
        ("server", "TARGET_ERR_NETWORK"),
    ] {
        let scratch = Scratch::new(&format!("wrong-{name}"));
        let program = example(name, &scratch);
        let told_nothing = run(Command::new(&program).env_clear(), &scratch, TIME_LIMIT);
        assert_eq!(told_nothing.code, Some(2), "{}", told_nothing.stderr);
        assert!(told_nothing.stderr.starts_with("Usage: "), "{}", told_nothing.stderr);

        // Nobody listens where an edge has just been.
        let address = LocalEdge::start().unwrap().host();
        let mut alone = Command::new(&program);
        alone.arg(&address).args(["1", "1", "1"]).env("TARGET_SPOOL", scratch.path().join("spool"));
        let alone = run(&mut alone, &scratch, TIME_LIMIT);
        assert_eq!(alone.code, Some(1), "{}", alone.stdout);
        assert!(alone.stderr.contains(unreachable), "{}", alone.stderr);

        let mut mistaken = Command::new(&program);
        let mistaken = run(mistaken.arg("http://wrong/"), &scratch, TIME_LIMIT);
        assert_eq!(mistaken.code, Some(1), "{}", mistaken.stdout);
        assert!(mistaken.stderr.contains("server_domain"), "{}", mistaken.stderr);
    }
}

/// As somebody would by hand, without cargo.
#[cfg(feature = "spool")]
#[test]
fn make_builds_and_runs_the_examples() {
    if Sanitizer::chosen().is_some() {
        // The Makefile's compiler has none, and the examples run on their own.
        return;
    }
    let scratch = Scratch::new("make");
    let directory = libraries().shared.parent().unwrap();
    let mut make = Command::new("make");
    make.args(["-C", "examples-c", "run"]).current_dir(CRATE);
    make.arg(format!("LIBDIR={}", directory.display()));
    make.arg(format!("OUT={}", scratch.path().join("build").display()));
    make.arg(format!("LOCAL_EDGE={}", env!("CARGO_BIN_EXE_target-local-edge")));
    make.env("TARGET_SPOOL", scratch.path().join("spool"));
    // Makefiles that run this test have no say in how this one is read.
    for variable in ["MAKEFLAGS", "MAKELEVEL", "MFLAGS"] {
        make.env_remove(variable);
    }
    let made = run(&mut make, &scratch, TIME_LIMIT).succeeded("make");
    assert_eq!(made.stdout.matches("Acknowledged: [\"1\"]").count(), 2, "{}", made.stdout);
    assert!(made.stdout.contains("Discount on Black Friday: 30"), "{}", made.stdout);
    assert!(made.stdout.contains("6400 calls by 8 threads"), "{}", made.stdout);
}
