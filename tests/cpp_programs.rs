//! C++ programs against a local edge: `adobe_target.hpp` in the examples and in the test programs of `tests/cpp`.
//!
//! Each is compiled with the strictest warnings, as C++17 and C++20, by each compiler that is there. One of these
//! programs is run, and run again under valgrind, which must find no error and no leak.
#![cfg(all(feature = "capi", feature = "local-edge", unix))]

use std::path::{Path, PathBuf};
use std::process::Command;

use adobe_target::local_edge::LocalEdge;
use serde_json::{Value, json};

#[path = "c/library.rs"]
mod library;
#[path = "c/programs.rs"]
mod programs;

use library::{CRATE, NATIVE_LIBRARIES, Sanitizer, Scratch, cxx, libraries, shown, succeed};
use programs::{Run, TIME_LIMIT, run, runs_as_it_is, runs_under, runs_well};

const STRICT: [&str; 7] = [
    "-Wconversion",
    "-Wsign-conversion",
    "-Wshadow",
    "-Wold-style-cast",
    "-Wnon-virtual-dtor",
    "-Woverloaded-virtual",
    "-Wextra-semi",
];
const INCLUDES: [&str; 4] = ["-Iinclude", "-Iexamples-c", "-Itests/c", "-Itests/cpp"];

/// What the test programs share with those in C. It is compiled as C++ here.
const SHARED_WITH_C: [&str; 3] = ["tests/c/check.c", "tests/c/edge.c", "examples-c/json.c"];

/// The compiler that `CXX` names, and clang++ where there is one.
fn compilers() -> Vec<Command> {
    let mut compilers = vec![cxx()];
    if Sanitizer::chosen().is_some() {
        // Its flags are for that compiler.
        return compilers;
    }
    let name = cxx().get_program().to_string_lossy().into_owned();
    let has_clang = Command::new("clang++").arg("--version").output().is_ok_and(|output| output.status.success());
    if has_clang && !name.contains("clang") {
        let mut clang = Command::new("clang++");
        clang.args(cxx().get_args());
        compilers.push(clang);
    }
    compilers
}

/// Compiles a file of the crate to an object.
fn object(scratch: &Scratch, file: &str, flags: &[&str]) -> PathBuf {
    let object = scratch.file(&format!("{}.o", Path::new(file).file_stem().unwrap().display()));
    let mut compiler = cxx();
    compiler.current_dir(CRATE).args(["-std=c++17", "-g"]).args(INCLUDES).args(flags);
    succeed(compiler.args(["-c", "-o"]).arg(&object).arg(file));
    object
}

/// Compiles a program of C++ files, each with flags of its own, that has the shared library beside it.
fn compiled(scratch: &Scratch, files: &[(&str, &[&str])]) -> PathBuf {
    let shared = SHARED_WITH_C.map(|file| object(scratch, file, &["-x", "c++"]));
    let own = files.iter().map(|(file, flags)| object(scratch, file, &[&STRICT, *flags].concat()));
    let program = scratch.file("program");
    succeed(cxx().arg("-o").arg(&program).args(own).args(shared).args(scratch.link_shared()));
    program
}

fn test_program(name: &str, scratch: &Scratch) -> PathBuf {
    compiled(scratch, &[(&format!("tests/cpp/{name}.cpp"), &[])])
}

fn test_program_runs_well(name: &str, examine: impl Fn(&Run, &LocalEdge)) {
    let scratch = Scratch::new(&format!("cpp-{name}"));
    runs_well(&test_program(name, &scratch), &scratch, &[], examine);
}

/// For programs that leak, because that is what they show, and those that fork.
fn runs_well_and_leaks(program: &Path, scratch: &Scratch) {
    runs_and_leaks(program, scratch);
    runs_under(&["--leak-check=no"], || LocalEdge::start().unwrap(), program, scratch, &[], |_, _| {});
}

fn runs_and_leaks(program: &Path, scratch: &Scratch) {
    let options = std::env::var("ASAN_OPTIONS").unwrap_or_default();
    let edge = LocalEdge::start().unwrap();
    let mut command = Command::new(program);
    command.arg(edge.host()).env("ASAN_OPTIONS", format!("{options}:detect_leaks=0"));
    run(&mut command, scratch, TIME_LIMIT).succeeded("the program");
}

/// The files of a directory with that ending.
fn files(directory: &str, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(Path::new(CRATE).join(directory)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<_> =
        names.filter(|name| name.ends_with(ending)).map(|name| format!("{directory}/{name}")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// Each compiler, standard and way to do without exceptions takes the header, twice, with nothing included before it.
#[test]
fn the_header_compiles_alone_everywhere() {
    let scratch = Scratch::new("cpp-alone");
    let source = scratch.file("alone.cpp");
    std::fs::write(&source, "#include \"adobe_target.hpp\"\n#include \"adobe_target.hpp\"\n").unwrap();
    let ways: [&[&str]; 8] = [
        &["-std=c++17"],
        &["-std=c++20"],
        &["-std=c++2b"],
        &["-std=c++17", "-fno-exceptions"],
        &["-std=c++17", "-fno-rtti"],
        &["-std=c++20", "-fno-exceptions", "-fno-rtti"],
        &["-std=gnu++17", "-DADOBE_TARGET_NO_EXCEPTIONS"],
        &["-std=c++17", "-fvisibility=hidden", "-fvisibility-inlines-hidden"],
    ];
    for way in ways {
        for mut compiler in compilers() {
            compiler.current_dir(CRATE).args(STRICT).args(way).args(INCLUDES);
            succeed(compiler.arg("-fsyntax-only").arg(&source));
        }
    }
}

/// No name but those with the prefix comes with the header.
#[test]
fn the_header_defines_no_other_macros() {
    let scratch = Scratch::new("cpp-macros");
    let (bare, whole) = (scratch.file("bare.cpp"), scratch.file("whole.cpp"));
    let header = std::fs::read_to_string(Path::new(CRATE).join("include/adobe_target.hpp")).unwrap();
    let includes: String =
        header.lines().filter(|line| line.starts_with("#include")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&bare, includes).unwrap();
    std::fs::write(&whole, "#include \"adobe_target.hpp\"\n").unwrap();
    let macros = |source: &Path| {
        let mut compiler = cxx();
        compiler.current_dir(CRATE).args(["-std=c++17", "-Iinclude", "-dM", "-E"]).arg(source);
        let output = succeed(&mut compiler);
        shown(&output).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let before = macros(&bare);
    let mut added: Vec<_> = macros(&whole).into_iter().filter(|line| !before.contains(line)).collect();
    added.sort();
    assert_eq!(added, ["#define ADOBE_TARGET_EXCEPTIONS 1", "#define ADOBE_TARGET_HPP "]);
}

/// What is run below as C++17 of one compiler is C++20 too, and the other's.
#[test]
fn each_compiler_takes_each_program() {
    for file in files("tests/cpp", ".cpp").iter().chain(&files("examples-cpp", ".cpp")) {
        for (mut compiler, standard) in compilers().into_iter().zip(["-std=c++20", "-std=c++17"]) {
            compiler.current_dir(CRATE).arg(standard).args(STRICT).args(INCLUDES);
            if file.contains("without") {
                compiler.args(["-fno-exceptions", "-fno-rtti"]);
            }
            succeed(compiler.arg("-fsyntax-only").arg(file));
        }
    }
}

#[test]
fn parts() {
    test_program_runs_well("parts", |_, edge| assert_eq!(edge.requests(), []));
}

#[test]
fn main_job() {
    test_program_runs_well("main_job", |run, edge| {
        assert_eq!(edge.waiting_faults(), 0);
        assert!(serde_json::from_str::<Value>(&run.stdout).unwrap()["calls"].is_object(), "{}", run.stdout);
        let report = edge.report();
        assert!(report.errors.is_empty(), "{:?}", report.errors);
    });
}

#[test]
fn main_job_with_the_static_library() {
    let scratch = Scratch::new("cpp-static");
    let shared = SHARED_WITH_C.map(|file| object(&scratch, file, &["-x", "c++"]));
    let program = scratch.file("program");
    let mut compiler = cxx();
    compiler.arg("-o").arg(&program).arg(object(&scratch, "tests/cpp/main_job.cpp", &STRICT)).args(shared);
    succeed(compiler.arg(&libraries().archive).args(NATIVE_LIBRARIES.split(' ')));
    runs_as_it_is(&LocalEdge::start().unwrap(), &program, &scratch, &[], |_, _| {});
}

#[test]
fn errors() {
    test_program_runs_well("errors", |_, edge| assert_eq!(edge.waiting_faults(), 0));
}

#[test]
fn async_calls() {
    test_program_runs_well("async_calls", |_, edge| assert_eq!(edge.waiting_faults(), 0));
}

#[test]
fn callbacks() {
    test_program_runs_well("callbacks", |_, edge| assert_eq!(edge.waiting_faults(), 0));
}

#[test]
fn without_exceptions() {
    for flags in [&["-fno-exceptions", "-fno-rtti"][..], &["-DADOBE_TARGET_NO_EXCEPTIONS"]] {
        let scratch = Scratch::new(&format!("cpp-without{}", flags.len()));
        let program = compiled(&scratch, &[("tests/cpp/without_exceptions.cpp", flags)]);
        runs_as_it_is(&LocalEdge::start().unwrap(), &program, &scratch, &[], |_, _| {});
    }
}

/// Whichever comes first at the linker, each file has its own kind of each function.
#[test]
fn files_with_and_without_exceptions() {
    let scratch = Scratch::new("cpp-mixed");
    let (with, without) = ("tests/cpp/mixed_with.cpp", "tests/cpp/mixed_without.cpp");
    for flag in ["-O0", "-O2"] {
        let with = object(&scratch, with, &[&STRICT[..], &[flag]].concat());
        let without = object(&scratch, without, &[&STRICT[..], &[flag, "-fno-exceptions"]].concat());
        let shared = SHARED_WITH_C.map(|file| object(&scratch, file, &["-x", "c++"]));
        for objects in [[&with, &without], [&without, &with]] {
            let program = scratch.file("program");
            succeed(cxx().arg("-o").arg(&program).args(objects).args(&shared).args(scratch.link_shared()));
            runs_and_leaks(&program, &scratch);
        }
    }
}

#[test]
fn clients_destroyed_inside_callbacks() {
    let scratch = Scratch::new("cpp-destroyed-inside");
    runs_well_and_leaks(&test_program("destroyed_inside", &scratch), &scratch);
}

#[test]
fn fork() {
    if Sanitizer::chosen() == Some(Sanitizer::Thread) {
        // It does not support threads in the child of a process that had some.
        return;
    }
    let scratch = Scratch::new("cpp-fork");
    runs_well_and_leaks(&test_program("fork", &scratch), &scratch);
}

#[test]
fn another_abi_version() {
    test_program_runs_well("other_abi", |_, edge| assert_eq!(edge.connections(), 0));
}

#[test]
fn exceptions_that_leave_callbacks_end_the_program() {
    let scratch = Scratch::new("cpp-throwing");
    let program = test_program("throwing_callback", &scratch);
    for callback in ["result", "error", "event", "line"] {
        let edge = LocalEdge::start().unwrap();
        let ended = run(Command::new(&program).arg(edge.host()).arg(callback), &scratch, TIME_LIMIT);
        assert_eq!(ended.code, Some(42), "{callback}: {}{}", ended.stdout, ended.stderr);
    }
}

/// Compiles an example.
fn example(name: &str, scratch: &Scratch) -> PathBuf {
    let program = scratch.file("program");
    let own = object(scratch, &format!("examples-cpp/{name}.cpp"), &STRICT);
    let reader = object(scratch, "examples-c/json.c", &["-x", "c++"]);
    succeed(cxx().arg("-o").arg(&program).arg(own).arg(reader).args(scratch.link_shared()));
    program
}

/// The edge got a prefetch of both mboxes, then the display of the second with its state and token, of one session.
fn the_main_job_was_done(edge: &LocalEdge) {
    let requests = edge.requests();
    let [prefetch, display] = &requests[..] else { panic!("{} requests", requests.len()) };
    assert_eq!(
        prefetch.json().unwrap()["prefetch"]["mboxes"],
        json!([{"index": 0, "name": "home"}, {"index": 1, "name": "product1"}])
    );
    let reported = &display.json().unwrap()["notifications"][0];
    assert_eq!((&reported["id"], &reported["type"]), (&json!("1"), &json!("display")));
    assert!(reported["mbox"]["state"].is_string() && reported["tokens"].as_array().unwrap().len() == 1, "{reported}");
    assert_eq!(prefetch.query_value("sessionId"), display.query_value("sessionId"));
    let report = edge.report();
    assert_eq!(report.impressions.by_mbox.get("product1"), Some(&1));
    assert_eq!(report.notifications.ids.get("1"), Some(&1));
}

#[test]
fn example_quickstart() {
    let scratch = Scratch::new("cpp-quickstart");
    runs_well(&example("quickstart", &scratch), &scratch, &[], |run, edge| {
        the_main_job_was_done(edge);
        for line in [
            "Shown in product1: <span class=\"badge\">Bestseller</span>",
            "Acknowledged: [\"1\"]",
            "Set-Cookie: mboxEdgeCluster=35; Max-Age=1860; Path=/",
        ] {
            assert!(run.stdout.lines().any(|printed| printed == line), "no {line:?} in:\n{}", run.stdout);
        }
    });
}

#[test]
fn example_async() {
    let scratch = Scratch::new("cpp-async");
    runs_well(&example("async", &scratch), &scratch, &[], |run, edge| {
        the_main_job_was_done(edge);
        assert!(run.stdout.contains("Acknowledged: [\"1\"]"), "{}", run.stdout);
    });
}

#[test]
fn examples_without_an_edge_say_so() {
    for name in ["quickstart", "async"] {
        let scratch = Scratch::new(&format!("cpp-{name}-alone"));
        let program = example(name, &scratch);
        let mut bare = Command::new(&program);
        for variable in ["TARGET_CLIENT", "TARGET_ORGANIZATION"] {
            bare.env_remove(variable);
        }
        let told_nothing = run(&mut bare, &scratch, TIME_LIMIT);
        assert_eq!(told_nothing.code, Some(2), "{}", told_nothing.stderr);
        assert!(told_nothing.stderr.starts_with("Usage: "), "{}", told_nothing.stderr);

        // Nobody listens where an edge has just been.
        let address = LocalEdge::start().unwrap().host();
        let alone = run(Command::new(&program).arg(&address), &scratch, TIME_LIMIT);
        assert_eq!(alone.code, Some(1), "{}", alone.stdout);
        assert!(alone.stderr.contains("TARGET_ERR_NETWORK"), "{}", alone.stderr);
    }
}

/// As somebody would by hand, without cargo.
#[test]
fn make_builds_and_runs_the_examples() {
    if Sanitizer::chosen().is_some() {
        // The Makefile's compiler has none, and the examples run on their own.
        return;
    }
    let scratch = Scratch::new("cpp-make");
    let directory = libraries().shared.parent().unwrap();
    let mut make = Command::new("make");
    make.args(["-C", "examples-cpp", "run"]).current_dir(CRATE);
    make.arg(format!("LIBDIR={}", directory.display()));
    make.arg(format!("OUT={}", scratch.path().join("build").display()));
    make.arg(format!("LOCAL_EDGE={}", env!("CARGO_BIN_EXE_target-local-edge")));
    // Makefiles that run this test have no say in how this one is read.
    for variable in ["MAKEFLAGS", "MAKELEVEL", "MFLAGS"] {
        make.env_remove(variable);
    }
    let made = run(&mut make, &scratch, TIME_LIMIT).succeeded("make");
    assert_eq!(made.stdout.matches("Acknowledged: [\"1\"]").count(), 2, "{}", made.stdout);
}
