//! The promise to programs that were linked with an earlier version, on the release libraries as they are installed:
//! symbols, prototypes and constants stay; what the system must have is bounded; the static library has neighbours; a
//! shared one may be opened and closed. docs/abi.md says what may change when.
#![cfg(all(feature = "capi", feature = "local-edge", target_os = "linux"))]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use adobe_target::local_edge::LocalEdge;

#[path = "c/installed.rs"]
mod installed;
#[path = "c/library.rs"]
mod library;

use installed::{archive, has_what, installed, shared, told};
use library::{CRATE, NATIVE_LIBRARIES, Scratch, cc, exported_symbols, shown, succeed};

/// The oldest glibc that a library built on Debian 12 can be loaded with.
const NEWEST_GLIBC: Version = (2, 34);
/// What the static library needs to exist in the C library that a program is linked with.
const NEWEST_GLIBC_OF_THE_ARCHIVE: Version = (2, 33);

type Version = (u32, u32);

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(CRATE).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names in abi/symbols.txt, in their order.
fn frozen_symbols() -> Vec<String> {
    let text = read("abi/symbols.txt");
    let names = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let names: Vec<_> = names.map(str::to_owned).collect();
    assert!(names.len() >= 26 && names.iter().collect::<BTreeSet<_>>().len() == names.len(), "{names:?}");
    names
}

/// The functions that a header declares, in its order.
fn declared(header: &str) -> Vec<String> {
    let mut code = String::new();
    for (at, part) in header.split("/*").enumerate() {
        code.push_str(if at == 0 { part } else { part.split_once("*/").expect("the end of a comment").1 });
    }
    let names = code.match_indices('(').map(|(at, _)| {
        let start = code[..at].rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
        code[start..at].to_owned()
    });
    names.filter(|name| name.starts_with("target_")).collect()
}

#[test]
fn symbols_are_only_added() {
    let frozen = frozen_symbols();
    let exported: BTreeSet<String> = exported_symbols(&shared()).into_iter().collect();
    let listed: BTreeSet<String> = frozen.iter().cloned().collect();
    let gone: Vec<_> = listed.difference(&exported).collect();
    assert!(
        gone.is_empty(),
        "{gone:?} is no longer exported. Programs that use it would not start. Bring it back, or raise the ABI version \
         as docs/abi.md says.",
    );
    let new: Vec<_> = exported.difference(&listed).collect();
    assert!(new.is_empty(), "{new:?} is new: append it to abi/symbols.txt, and its prototype to abi/prototypes-1.h.");
    assert_eq!(declared(&read("abi/prototypes-1.h")), frozen, "each symbol has its prototype, in the same order");
}

/// Compiles a header together with the frozen prototypes.
fn with_the_frozen_prototypes(scratch: &Scratch, header: &str) -> Output {
    let directory = scratch.file("include");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("adobe_target.h"), header).unwrap();
    // Every name is used, so that one which the header has lost is missed.
    let uses: String = frozen_symbols().iter().map(|name| format!("    (void (*)(void)){name},\n")).collect();
    let source = scratch.file("both.c");
    let table = format!("void (*const all[])(void) = {{\n{uses}}};\n");
    fs::write(&source, format!("#include <adobe_target.h>\n{table}#include \"prototypes-1.h\"\n")).unwrap();
    let mut compiler = cc();
    compiler.args(["-std=c11", "-fsyntax-only", "-I"]).arg(directory).arg("-I").arg(Path::new(CRATE).join("abi"));
    compiler.arg(source).env("LC_ALL", "C").output().expect("a C compiler")
}

#[test]
fn the_header_agrees_with_the_frozen_prototypes() {
    let scratch = Scratch::new("prototypes");
    let output = with_the_frozen_prototypes(&scratch, &read("include/adobe_target.h"));
    assert!(
        output.status.success(),
        "include/adobe_target.h contradicts abi/prototypes-1.h, or lacks a function. Programs that were compiled with an \
         earlier header would call it wrongly: change it back, or raise the ABI version as docs/abi.md says.\n{}",
        shown(&output)
    );
}

/// A constant that is not frozen yet could be renumbered.
#[test]
fn every_constant_is_frozen() {
    let (header, frozen) = (read("include/adobe_target.h"), read("abi/prototypes-1.h"));
    let constants = header.lines().filter_map(|line| line.trim().trim_end_matches(',').split_once(" = "));
    let constants: Vec<_> = constants.filter(|(name, _)| name.starts_with("TARGET_")).collect();
    assert!(constants.len() >= 22, "{constants:?}");
    for (name, value) in constants {
        let line = format!("_Static_assert({name} == {value}, \"{name}\");\n");
        assert!(frozen.contains(&line), "append to abi/prototypes-1.h: {line}");
    }
}

/// What the guard is for, each in a copy of the header.
#[test]
fn a_changed_header_is_noticed() {
    let scratch = Scratch::new("changed-header");
    let header = read("include/adobe_target.h");
    let changed = |from: &str, to: &str| {
        assert_eq!(header.matches(from).count(), 1, "{from:?} is in the header once");
        with_the_frozen_prototypes(&scratch, &header.replace(from, to))
    };
    for (from, to, complaint) in [
        // A narrower type, another pointer, one argument more and one less, another result, other constness.
        (
            "target_flush(target_client *client,\n                           uint64_t timeout_ms",
            "target_flush(target_client *client,\n                           uint32_t timeout_ms",
            "target_flush",
        ),
        (
            "target_client_stats(target_client *client",
            "target_client_stats(target_request *client",
            "target_client_stats",
        ),
        ("target_string_free(char *text)", "target_string_free(char *text, int how)", "target_string_free"),
        ("target_request_cancel(target_request *request)", "target_request_cancel(void)", "target_request_cancel"),
        ("uint64_t target_request_id(", "uint32_t target_request_id(", "target_request_id"),
        (
            "target_request_id(const target_request *request)",
            "target_request_id(target_request *request)",
            "target_request_id",
        ),
        // A type that is used by others.
        ("typedef int32_t target_status;", "typedef int64_t target_status;", "target_status"),
        ("typedef int32_t target_log_level;", "typedef uint32_t target_log_level;", "target_log_level"),
        (
            "typedef void (*target_callback)(const char *json",
            "typedef int (*target_callback)(const char *json",
            "target_callback",
        ),
        ("typedef struct target_client target_client;", "typedef void target_client;", "target_client"),
        // A name that is gone.
        ("target_client_refresh(", "target_client_reload(", "target_client_refresh"),
        ("TARGET_ERR_UNSUPPORTED = 16", "TARGET_ERR_NOT_SUPPORTED = 16", "TARGET_ERR_UNSUPPORTED"),
        // Another number.
        ("TARGET_ERR_PENDING = 13", "TARGET_ERR_PENDING = 23", "TARGET_ERR_PENDING"),
        ("TARGET_LOG_TRACE = 5", "TARGET_LOG_TRACE = 6", "TARGET_LOG_TRACE"),
        ("#define TARGET_WAIT_FOREVER UINT64_MAX", "#define TARGET_WAIT_FOREVER INT64_MAX", "TARGET_WAIT_FOREVER"),
        ("#define TARGET_ABI_VERSION 1u", "#define TARGET_ABI_VERSION 2u", "TARGET_ABI_VERSION"),
    ] {
        let output = changed(from, to);
        let errors = shown(&output);
        assert!(!output.status.success(), "{to:?} is not noticed");
        assert!(errors.lines().any(|line| line.contains("error: ") && line.contains(complaint)), "{to:?}:\n{errors}");
    }
    for (from, to) in [
        // What may come, and what means nothing.
        ("TARGET_ERR_UNSUPPORTED = 16", "TARGET_ERR_UNSUPPORTED = 16, TARGET_ERR_NEW = 17"),
        (
            "target_string_free(char *text);",
            "target_string_free(char *string);\nvoid target_new(target_client *client);",
        ),
    ] {
        let output = changed(from, to);
        assert!(output.status.success(), "{to:?}:\n{}", shown(&output));
    }
}

#[test]
fn a_program_written_for_the_first_version_works() {
    let scratch = Scratch::new("first-version");
    let source = read("tests/c/first_version.c");
    let unused: Vec<_> = frozen_symbols().into_iter().filter(|name| !source.contains(&format!("{name}("))).collect();
    assert!(unused.is_empty(), "tests/c/first_version.c does not use {unused:?}");
    let program = scratch.file("program");
    let mut compiler = cc();
    compiler.current_dir(CRATE).args(["-std=c11", "-Iabi", "tests/c/first_version.c", "-o"]).arg(&program);
    succeed(compiler.arg("-L").arg(installed().join("lib")).arg("-ladobe_target"));
    let ran = succeed(Command::new(&program).env("LD_LIBRARY_PATH", installed().join("lib")));
    assert_eq!(shown(&ran), "all functions answer\n");
}

/// A panic that nobody can catch would end the host: a build that makes it so is refused.
#[test]
fn the_c_abi_cannot_be_built_without_unwinding() {
    const REFUSAL: &str = "the C ABI of adobe-target needs panic = \"unwind\"";
    let refused = |strategy: &str, feature: &str| {
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.current_dir(CRATE).args(["--edition=2024", "--crate-type=lib", "--crate-name=adobe_target"]);
        rustc.args(["--emit=metadata", "-o", "/dev/null", "-C", strategy, "--cfg", feature, "src/lib.rs"]);
        // Without its dependencies it compiles in no case; this error comes before those.
        let output = rustc.output().expect("rustc");
        assert!(!output.status.success());
        assert!(shown(&output).contains("serde"), "{}", shown(&output));
        // The source, too, has the words.
        shown(&output).lines().any(|line| line.starts_with("error: ") && line.contains(REFUSAL))
    };
    assert!(refused("panic=abort", "feature=\"capi\""));
    assert!(!refused("panic=unwind", "feature=\"capi\""));
    assert!(!refused("panic=abort", "feature=\"local-edge\""));
}

/// A symbol that a library takes from others.
#[derive(Debug)]
struct Undefined {
    name: String,
    /// Such as `GLIBC_2.34`.
    version: Option<String>,
    weak: bool,
}

fn undefined(file: &Path, dynamic: bool) -> Vec<Undefined> {
    let mut nm = Command::new("nm");
    nm.arg("--undefined-only").args(dynamic.then_some("-D")).arg(file);
    let output = succeed(&mut nm);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let symbols = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let kind = words.next().filter(|kind| ["U", "w", "v"].contains(kind))?;
        let symbol = words.next()?;
        let (name, version) = match symbol.split_once('@') {
            Some((name, version)) => (name, Some(version.trim_start_matches('@').to_owned())),
            None => (symbol, None),
        };
        Some(Undefined { name: name.to_owned(), version, weak: kind != "U" })
    });
    let symbols: Vec<_> = symbols.collect();
    assert!(symbols.len() > 50, "{symbols:?}");
    symbols
}

/// `GLIBC_2.34`, or `GLIBC_2.2.5`, which are compared by their first two numbers.
fn glibc(version: &str) -> Option<Version> {
    let mut numbers = version.strip_prefix("GLIBC_")?.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[test]
#[cfg(all(target_env = "gnu", target_arch = "x86_64"))]
fn the_shared_library_needs_no_newer_system_than_the_page_says() {
    let symbols = undefined(&shared(), true);
    let mut by_version: BTreeMap<Version, Vec<&str>> = BTreeMap::new();
    for symbol in &symbols {
        match symbol.version.as_deref() {
            Some(version) => match glibc(version) {
                Some(version) => by_version.entry(version).or_default().push(&symbol.name),
                None => assert!(version.starts_with("GCC_"), "{symbol:?} is of something else"),
            },
            // Nobody says what has to define it, so nothing may depend on it.
            None => assert!(symbol.weak, "{symbol:?} may be missing when the library is loaded"),
        }
    }
    let (newest, responsible) = by_version.last_key_value().expect("versions");
    told(&format!("shared library: GLIBC {}.{}, for {responsible:?}", newest.0, newest.1));
    assert!(*newest <= NEWEST_GLIBC, "GLIBC {newest:?} is needed for {responsible:?}: {symbols:#?}");

    // With the weak ones the library starts without the function, but not without its version.
    let weak: BTreeSet<&str> = symbols.iter().filter(|symbol| symbol.weak).map(|symbol| symbol.name.as_str()).collect();
    for name in &weak {
        assert!(
            [
                "_ITM_deregisterTMCloneTable",
                "_ITM_registerTMCloneTable",
                "__cxa_finalize",
                "__gmon_start__",
                "__cxa_thread_atexit_impl",
                "getrandom",
                "gettid",
                "statx"
            ]
            .contains(name),
            "{name} is new among {weak:?}: see whether it is missing on an older system, and what happens then",
        );
    }

    let page = read("docs/install.md");
    assert!(
        page.contains(&format!("glibc {}.{}", newest.0, newest.1)),
        "the page names another version than {newest:?}"
    );
    for name in responsible {
        assert!(page.contains(&format!("`{name}`")), "the page does not say that {name} is responsible");
    }
}

/// On a machine without those a program does not start.
#[test]
fn the_shared_library_needs_the_c_library_and_the_unwinder_alone() {
    let dynamic = shown(&succeed(Command::new("readelf").arg("-d").arg(shared())));
    let needed = dynamic.lines().filter(|line| line.contains("(NEEDED)"));
    let names: BTreeSet<&str> = needed.filter_map(|line| line.split(['[', ']']).nth(1)).collect();
    assert!(names.contains("libc.so.6"), "{dynamic}");
    for name in names {
        let expected = ["libc.so.6", "libgcc_s.so.1", "libm.so.6"].contains(&name) || name.starts_with("ld-linux");
        assert!(expected, "{name} is needed:\n{dynamic}");
    }
}

/// Symbols in an archive have no versions: what counts is since when the C library has the name.
#[test]
#[cfg(all(target_env = "gnu", target_arch = "x86_64"))]
fn the_static_library_needs_no_newer_system_either() {
    let mut since: BTreeMap<String, Version> = BTreeMap::new();
    for name in ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"] {
        let path = shown(&succeed(cc().arg(format!("-print-file-name={name}"))));
        let output = succeed(Command::new("nm").args(["-D", "--defined-only"]).arg(path.trim()));
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Some((name, version)) = line.split_whitespace().last().and_then(|symbol| symbol.split_once('@')) else {
                continue;
            };
            // Those of the compiler are older than all.
            let version = glibc(version.trim_start_matches('@')).unwrap_or((2, 0));
            let known = since.entry(name.to_owned()).or_insert(version);
            *known = version.min(*known);
        }
    }
    let symbols = undefined(&archive(), false);
    let needed = symbols.iter().filter(|symbol| !symbol.weak && symbol.name != "_GLOBAL_OFFSET_TABLE_");
    let mut newest: BTreeMap<Version, Vec<&str>> = BTreeMap::new();
    for symbol in needed {
        let version = since.get(&symbol.name).unwrap_or_else(|| panic!("{symbol:?}: no system library has it"));
        newest.entry(*version).or_default().push(&symbol.name);
    }
    let (version, responsible) = newest.last_key_value().expect("versions");
    told(&format!("static library: GLIBC {}.{}, for {responsible:?}", version.0, version.1));
    assert!(*version <= NEWEST_GLIBC_OF_THE_ARCHIVE, "GLIBC {version:?} is needed for {responsible:?}");
}

/// Compiles the other library of tests/abi/other.rs.
fn other_library(scratch: &Scratch) -> PathBuf {
    let archive = scratch.file("libother.a");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(CRATE).args(["--edition=2024", "--crate-type=staticlib", "--crate-name=other", "-O", "-o"]);
    succeed(rustc.arg(&archive).arg("tests/abi/other.rs"));
    archive
}

/// The same, as `make` does it with ours.
fn localised(other: &Path, scratch: &Scratch) -> PathBuf {
    let (symbols, archive) = (scratch.file("symbols"), scratch.file("libother_localised.a"));
    let names = ["other_catches", "other_threads_panic", "other_destroyed", "other_panics", "other_sum"];
    fs::write(&symbols, format!("# A comment.\n{}\n", names.join("\n"))).unwrap();
    succeed(Command::new("abi/localise").current_dir(CRATE).args([other, &archive, &symbols]));
    archive
}

/// Unwinding goes by tables whose parts have to find each other: ours must be whole after what `make` does to them, and
/// so must those of a library that can be made to panic.
#[test]
fn a_localised_library_unwinds() {
    let scratch = Scratch::new("unwinding");
    let archive = localised(&other_library(&scratch), &scratch);
    for more in [&[][..], &["-Wl,--gc-sections", "-O2"]] {
        let program = scratch.file("program");
        let mut compiler = cc();
        compiler.current_dir(CRATE).args(["-std=c99", "tests/c/unwinding.c"]).args(more).arg(&archive);
        succeed(compiler.args(NATIVE_LIBRARIES.split(' ')).arg("-o").arg(&program));
        let ran = succeed(&mut Command::new(&program));
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "4 caught, 23 values destroyed\n", "{more:?}");
    }
}

/// Another library in Rust and libcrypto, in one program with ours, all of them used.
#[test]
fn the_static_library_has_neighbours() {
    let scratch = Scratch::new("neighbours");
    let openssl = scratch.file("openssl.c");
    fs::write(&openssl, "#include <openssl/evp.h>\ntypedef int not_empty;\n").unwrap();
    if !has_what("libcrypto (libssl-dev)", cc().arg("-fsyntax-only").arg(openssl)) {
        return;
    }
    let other = other_library(&scratch);
    let other_localised = localised(&other, &scratch);
    let ours = archive();
    let edge = LocalEdge::start().unwrap();
    let files = ["tests/c/neighbours.c", "tests/c/check.c", "tests/c/edge.c", "examples-c/json.c"];
    for (at, order) in [[&ours, &other], [&other, &ours], [&ours, &other_localised]].into_iter().enumerate() {
        let program = scratch.file(&format!("program{at}"));
        let mut compiler = cc();
        compiler.current_dir(CRATE).args(["-std=c99", "-g", "-Iinclude", "-Iexamples-c", "-Itests/c"]).args(files);
        compiler.args(order).arg("-lcrypto").args(NATIVE_LIBRARIES.split(' ')).arg("-o").arg(&program);
        succeed(&mut compiler);
        let ran = succeed(Command::new(&program).arg(edge.host()));
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "16 panics, 92 values destroyed\n", "{order:?}");
    }
    assert_eq!(edge.report().requests, 3 * 2);
}

/// dlopen, dlclose and all that may be between them.
#[test]
fn the_shared_library_stays_once_it_is_loaded() {
    let scratch = Scratch::new("dlopen");
    let program = scratch.file("program");
    let mut compiler = cc();
    compiler.current_dir(CRATE).args(["-std=c99", "-g", "-Iinclude", "-Iexamples-c", "tests/c/dlopen.c"]);
    succeed(compiler.args(["examples-c/json.c", "-ldl", "-o"]).arg(&program));
    let dynamic = shown(&succeed(Command::new("readelf").arg("-d").arg(&program)));
    assert!(!dynamic.contains("adobe"), "{dynamic}");

    let edge = LocalEdge::start().unwrap();
    let ran = succeed(Command::new(&program).arg(shared()).arg(edge.host()));
    assert_eq!(shown(&ran), "done\n");
    // Every one went out, and once.
    let report = edge.report();
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    let ids: BTreeMap<&str, u64> = report.notifications.ids.iter().map(|(id, count)| (id.as_str(), *count)).collect();
    assert_eq!(ids, [("before", 1), ("last", 1), ("other", 1), ("while closed", 1)].into());
}
