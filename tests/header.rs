//! The C header: it is the one that the exports make, its numbers are the library's, compilers take it without a
//! warning, and it declares what the shared library exports, no more and no less.
#![cfg(feature = "capi")]

use std::collections::BTreeSet;
use std::ffi::{CStr, c_char};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use adobe_target::{ErrorCode, LogLevel};

#[path = "c/library.rs"]
mod library;

use library::{CRATE, Scratch, cc, cxx, exported_symbols, libraries, succeed};

// The library that this test links has the C functions, too.
unsafe extern "C" {
    fn target_version() -> *const c_char;
    fn target_abi_version() -> u32;
    fn target_status_name(status: i32) -> *const c_char;
}

fn header_file() -> PathBuf {
    Path::new(CRATE).join("include/adobe_target.h")
}

/// The committed header, written anew before any test reads it if that is asked for.
fn header() -> &'static str {
    static HEADER: OnceLock<String> = OnceLock::new();
    HEADER.get_or_init(|| {
        if std::env::var_os("UPDATE_HEADER").is_some() {
            fs::write(header_file(), generated()).expect("include/adobe_target.h can be written");
        }
        fs::read_to_string(header_file()).unwrap_or_default()
    })
}

/// The header that the exports make.
fn generated() -> String {
    let config = cbindgen::Config::from_file(Path::new(CRATE).join("cbindgen.toml")).expect("cbindgen.toml");
    let exports = Path::new(CRATE).join("src/ffi/exports.rs");
    let bindings = cbindgen::Builder::new().with_config(config).with_src(exports).generate();
    let mut made = Vec::new();
    bindings.expect("cbindgen reads the exports").write(&mut made);
    String::from_utf8(made).expect("UTF-8")
}

/// The header without its comments.
fn declarations() -> String {
    let header = header();
    let mut code = String::new();
    for (at, part) in header.split("/*").enumerate() {
        code.push_str(if at == 0 { part } else { part.split_once("*/").expect("the end of a comment").1 });
    }
    code
}

/// The value of a macro.
fn defined(name: &str) -> String {
    let found = declarations().lines().find_map(|line| {
        let mut words = line.strip_prefix("#define ")?.split_whitespace();
        (words.next()? == name).then(|| words.collect::<String>())
    });
    found.unwrap_or_else(|| panic!("{name} is not defined in the header"))
}

/// The constants whose names begin so, with their values, in their order.
fn constants(prefix: &str) -> Vec<(String, i32)> {
    declarations()
        .split([',', '{', '}'])
        .filter_map(|entry| entry.trim().split_once(" = "))
        .filter(|(name, _)| name.starts_with(prefix))
        .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
        .collect()
}

fn status_name(status: i32) -> String {
    // SAFETY: it takes any number and returns a static text.
    unsafe { CStr::from_ptr(target_status_name(status)) }.to_string_lossy().into_owned()
}

#[test]
fn the_committed_header_is_what_the_exports_make() {
    let (committed, made) = (header(), generated());
    let line = committed.lines().zip(made.lines()).position(|(old, new)| old != new);
    let line = line.unwrap_or_else(|| committed.lines().count().min(made.lines().count()));
    assert!(
        committed == made,
        "include/adobe_target.h differs from src/ffi/exports.rs and cbindgen.toml from line {} on:\n  \
         committed: {}\n  made:      {}\nRun `UPDATE_HEADER=1 cargo test --test header`, and read the difference.",
        line + 1,
        committed.lines().nth(line).unwrap_or("(end)"),
        made.lines().nth(line).unwrap_or("(end)"),
    );
}

#[test]
fn versions_are_the_librarys() {
    // SAFETY: these take nothing; the text is static.
    let (version, abi) = unsafe { (CStr::from_ptr(target_version()), target_abi_version()) };
    assert_eq!(version.to_str(), Ok(env!("CARGO_PKG_VERSION")));
    assert_eq!(defined("TARGET_VERSION"), format!("\"{}\"", env!("CARGO_PKG_VERSION")));
    assert_eq!(defined("TARGET_ABI_VERSION"), format!("{abi}u"));
}

#[test]
fn the_soname_has_the_abi_version() {
    let output = succeed(Command::new("readelf").arg("-d").arg(&libraries().shared));
    let dynamic = String::from_utf8_lossy(&output.stdout).into_owned();
    let abi = defined("TARGET_ABI_VERSION");
    let soname = format!("[libadobe_target.so.{}]", abi.trim_end_matches('u'));
    assert!(dynamic.lines().any(|line| line.contains("SONAME") && line.contains(&soname)), "{dynamic}");
    assert!(dynamic.lines().any(|line| line.contains("NODELETE")), "{dynamic}");
}

#[test]
fn statuses_are_the_librarys() {
    let in_header: Vec<_> = constants("TARGET_OK").into_iter().chain(constants("TARGET_ERR_")).collect();
    let in_library: Vec<_> = (-1..1000)
        .map(|status| (status_name(status), status))
        .filter(|(name, _)| name != "TARGET_ERR_UNKNOWN")
        .collect();
    assert_eq!(in_header, in_library);

    let codes = [
        ErrorCode::InvalidArgument,
        ErrorCode::InvalidJson,
        ErrorCode::InvalidOptions,
        ErrorCode::NotReady,
        ErrorCode::Timeout,
        ErrorCode::Network,
        ErrorCode::Http,
        ErrorCode::InvalidResponse,
        ErrorCode::QueueFull,
        ErrorCode::Storage,
        ErrorCode::Closed,
        ErrorCode::Internal,
        ErrorCode::Pending,
        ErrorCode::Cancelled,
        ErrorCode::WouldDeadlock,
        ErrorCode::Unsupported,
    ];
    let codes: Vec<_> = codes.into_iter().map(|code| (code.as_str().to_owned(), code as i32)).collect();
    assert_eq!(constants("TARGET_ERR_"), codes);
}

#[test]
fn log_levels_are_the_librarys() {
    let levels = [
        ("ERROR", LogLevel::Error),
        ("WARN", LogLevel::Warn),
        ("INFO", LogLevel::Info),
        ("DEBUG", LogLevel::Debug),
        ("TRACE", LogLevel::Trace),
    ];
    let levels: Vec<_> = levels.map(|(name, level)| (format!("TARGET_LOG_{name}"), level as i32)).into();
    assert_eq!(constants("TARGET_LOG_"), levels);
}

#[test]
fn the_header_compiles_alone_as_c_and_as_cpp() {
    let scratch = Scratch::new("header-alone");
    let include = Path::new(CRATE).join("include");
    // Twice, because the second time must be nothing.
    let source = "#include <adobe_target.h>\n#include <adobe_target.h>\ntypedef int not_empty;\n";
    for (mut compiler, standard, name) in [
        // What <stdint.h> has is C99, and all that is used of it; compilers have it in C89, too.
        (cc(), "c89", "alone.c"),
        (cc(), "c99", "alone.c"),
        (cc(), "c11", "alone.c"),
        (cxx(), "c++11", "alone.cpp"),
        (cxx(), "c++17", "alone.cpp"),
    ] {
        let file = scratch.file(name);
        fs::write(&file, source).unwrap();
        succeed(compiler.arg(format!("-std={standard}")).arg("-I").arg(&include).arg("-fsyntax-only").arg(file));
    }
}

#[test]
fn the_example_of_the_header_compiles() {
    let header = header();
    let (_, after) = header.split_once(" * Example\n").expect("an example");
    let example: String = after
        .lines()
        .skip(1)
        .take_while(|line| *line == " *" || line.starts_with(" *     "))
        .map(|line| format!("{}\n", line.get(7..).unwrap_or_default()))
        .collect();
    assert!(example.contains("int main(void)"), "{example}");
    let scratch = Scratch::new("header-example");
    for (mut compiler, standard, name) in [(cc(), "c99", "example.c"), (cxx(), "c++17", "example.cpp")] {
        let file = scratch.file(name);
        fs::write(&file, &example).unwrap();
        compiler.arg(format!("-std={standard}")).arg("-I").arg(Path::new(CRATE).join("include")).arg(&file);
        succeed(compiler.args(scratch.link_shared()).arg("-o").arg(scratch.file("example")));
    }
}

#[test]
fn the_shared_library_exports_what_the_header_declares_and_nothing_else() {
    let code = declarations();
    let declared: BTreeSet<String> = code
        .match_indices('(')
        .filter_map(|(at, _)| {
            let before = &code[..at];
            let start = before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
            before[start..].starts_with("target_").then(|| before[start..].to_owned())
        })
        .collect();
    let exported: BTreeSet<String> = exported_symbols(&libraries().shared).into_iter().collect();
    assert_eq!(declared, exported);
}

/// Whoever reads it need not know what the library is written in.
#[test]
fn the_header_speaks_c() {
    let header = header();
    let words: BTreeSet<&str> = header.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    for word in [
        "Rust", "rust", "crate", "panic", "panics", "Arc", "Box", "Option", "Result", "Vec", "str", "enum_", "usize",
        "closure", "trait", "unwrap", "None", "Some", "Err",
    ] {
        assert!(!words.contains(word), "the header has the word {word:?}");
    }
    assert!(!header.contains('`'), "the header has Markdown");
    for (number, line) in header.lines().enumerate() {
        assert!(line.chars().count() <= 120, "line {} is too long", number + 1);
        assert_eq!(line.trim_end(), line, "line {} has blanks at its end", number + 1);
        assert!(line.is_ascii(), "line {} is not ASCII", number + 1);
    }
}
