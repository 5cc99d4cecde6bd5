//! Promises of the README and the pages in `docs` that rustdoc does not check: snippets in C, C++ and Go compile, those in
//! Rust are given to rustdoc, files and headings that are linked exist, commands are those that CI runs.
//!
//! What the pages say of configuration, options, results, errors and events is held against the code beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

#[cfg(feature = "capi")]
#[path = "c/library.rs"]
mod library;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).expect("there is a README")
}

/// The README, CONTRIBUTING and the pages, each with its path.
fn pages() -> Vec<(PathBuf, String)> {
    let folder = std::fs::read_dir(root().join("docs")).expect("there is a folder of pages");
    let files = folder.map(|entry| entry.expect("an entry").path());
    let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let read = |path: PathBuf| (path.clone(), std::fs::read_to_string(path).expect("a page"));
    let mut pages: Vec<_> =
        pages.chain(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name))).map(read).collect();
    pages.sort();
    pages
}

/// What a heading is linked by.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
}

/// The content of each fenced block of that language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).filter_map(|rest| rest.split("\n```").next()).map(|block| format!("{block}\n")).collect()
}

/// A block of a page.
struct Snippet {
    /// The page's name and the number of the block among those of its language, such as `c_2`.
    name: String,
    text: String,
}

/// The blocks of that language in all pages.
fn snippets(language: &str) -> Vec<Snippet> {
    let mut found = Vec::new();
    for (path, page) in pages() {
        let of = path.file_stem().expect("a name").to_string_lossy().to_lowercase();
        let blocks = blocks(&page, language).into_iter().enumerate();
        found.extend(blocks.map(|(at, text)| Snippet { name: format!("{of}_{}", at + 1), text }));
    }
    found
}

/// Whether a page has a block of that language.
fn has_snippet_of(snippets: &[Snippet], page: &str) -> bool {
    snippets.iter().any(|snippet| snippet.name.rsplit_once('_').is_some_and(|(of, _)| of == page))
}

fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// What is left out does not go unnoticed, and not at all in CI.
#[cfg(feature = "capi")]
fn skipped(what: &str, reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{what} cannot be checked: {reason}");
    eprintln!("\n*** SKIPPED: {what} were NOT checked: {reason} ***\n");
}

/// Compiles each, without a warning.
fn compile(snippets: &[Snippet], compiler: [&str; 2], standard: &str, extension: &str) {
    let [variable, otherwise] = compiler;
    for Snippet { name, text } in snippets {
        let source = scratch().join(format!("snippet_{name}.{extension}"));
        std::fs::write(&source, text).expect("the snippet can be written");
        let status = Command::new(std::env::var(variable).unwrap_or_else(|_| otherwise.to_owned()))
            .args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I"])
            .arg(root().join("include"))
            .arg(&source)
            .status()
            .expect("there is a compiler");
        assert!(status.success(), "snippet {name}:\n{text}");
    }
}

#[test]
fn c_snippets_compile() {
    let snippets = snippets("c");
    assert!(has_snippet_of(&snippets, "readme") && has_snippet_of(&snippets, "c"), "snippets in C are gone");
    compile(&snippets, ["CC", "cc"], "-std=c99", "c");
}

#[test]
fn cpp_snippets_compile() {
    let snippets = snippets("cpp");
    assert!(has_snippet_of(&snippets, "readme") && has_snippet_of(&snippets, "cpp"), "snippets in C++ are gone");
    compile(&snippets, ["CXX", "c++"], "-std=c++17", "cpp");
}

/// A module that takes ours from the repository, and header and library from this build. None where Go is missing.
#[cfg(feature = "capi")]
fn go_module(scratch: &library::Scratch, what: &str) -> Option<impl Fn() -> Command> {
    let runs = |program: &str, arguments: &[&str]| {
        Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
    };
    for (program, argument) in [("go", "version"), ("pkg-config", "--version")] {
        if !runs(program, &[argument]) {
            skipped(what, &format!("{program} is not installed"));
            return None;
        }
    }
    let module = root().join("go");
    let manifest = std::fs::read_to_string(module.join("go.mod")).expect("go/go.mod");
    let line = |word: &str| manifest.lines().find_map(|line| line.strip_prefix(word)).map(str::trim);
    let (name, version) = (line("module ").expect("a module has a name"), line("go ").expect("and a version of Go"));
    let here = scratch.path().to_owned();
    scratch.link_shared();
    let include = root().join("include");
    let flags = format!("Cflags: -I{}\nLibs: -L{} -ladobe_target\n", include.display(), here.display());
    let described = "Name: adobe-target\nDescription: of this build\nVersion: 0\n";
    std::fs::write(here.join("adobe-target.pc"), format!("{described}{flags}")).expect("a .pc");
    let replaced = format!("require {name} v0.0.0\n\nreplace {name} => {}\n", module.display());
    std::fs::write(here.join("go.mod"), format!("module snippets\n\ngo {version}\n\n{replaced}")).expect("go.mod");
    Some(move || {
        let mut go = Command::new("go");
        go.current_dir(&here).env("PKG_CONFIG_PATH", &here).env("LD_LIBRARY_PATH", &here);
        // The cache of builds does not look at what pkg-config says; at this it does.
        go.env("CGO_LDFLAGS", format!("-g -O2 -L{}", here.display()));
        go.envs([("GOFLAGS", "-mod=mod"), ("GOPROXY", "off"), ("GOWORK", "off"), ("GOTOOLCHAIN", "local")]);
        go
    })
}

#[cfg(feature = "capi")]
fn write_go(scratch: &library::Scratch, name: &str, text: &str) {
    assert!(text.starts_with("package "), "snippet {name} is not a whole file:\n{text}");
    let package = scratch.path().join(name);
    std::fs::create_dir_all(&package).expect("a directory");
    std::fs::write(package.join("snippet.go"), text).expect("the snippet can be written");
}

#[cfg(feature = "capi")]
#[test]
fn go_snippets_compile() {
    let snippets = snippets("go");
    assert!(has_snippet_of(&snippets, "readme") && has_snippet_of(&snippets, "go"), "snippets in Go are gone");
    let scratch = library::Scratch::new("go-snippets");
    let Some(go) = go_module(&scratch, "snippets in Go") else { return };
    for Snippet { name, text } in &snippets {
        write_go(&scratch, name, text);
    }
    library::succeed(go().args(["vet", "./..."]));
}

/// What a newcomer does first: the program of each language as it stands, and the edge that it is to be tried with.
#[cfg(all(feature = "capi", feature = "local-edge"))]
#[test]
fn the_first_programs_of_the_readme_report_what_was_shown() {
    let readme = readme();
    let edge = adobe_target::local_edge::LocalEdge::builder().accept_any_token(true).start().expect("an edge");
    let program_of = |heading: &str, language: &str| {
        let (_, section) = readme.split_once(&format!("\n## {heading}\n")).expect("a section");
        let program = blocks(section, language).into_iter().next().expect("a program");
        assert!(program.contains("127.0.0.1:8080"), "{program}");
        program.replace("127.0.0.1:8080", &edge.host())
    };
    let scratch = library::Scratch::new("first-programs");
    let mut expected = 0;
    let mut has_reported = |ran: &std::process::Output| {
        expected += 1;
        assert_eq!(edge.report().impressions.total, expected, "{}", library::shown(ran));
    };
    for (heading, language, extension, mut compiler, standard) in
        [("From C", "c", "c", library::cc(), "-std=c99"), ("From C++", "cpp", "cpp", library::cxx(), "-std=c++17")]
    {
        let (source, program) = (scratch.file(&format!("app.{extension}")), scratch.file("app"));
        std::fs::write(&source, program_of(heading, language)).expect("the program can be written");
        compiler.arg(standard).arg("-I").arg(root().join("include")).arg(source).arg("-o").arg(&program);
        library::succeed(compiler.args(scratch.link_shared()));
        has_reported(&library::succeed(&mut Command::new(program)));
    }
    let Some(go) = go_module(&scratch, "the README's program in Go") else { return };
    write_go(&scratch, "in_go", &program_of("From Go", "go"));
    has_reported(&library::succeed(go().args(["run", "./in_go"])));
}

/// A page whose snippets nobody compiles would go unnoticed.
#[test]
fn rust_snippets_are_given_to_rustdoc() {
    let library = std::fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let mut with_rust = Vec::new();
    for (path, page) in pages() {
        if page.contains("\n```rust") {
            let path = path.strip_prefix(root()).expect("below the root").display().to_string();
            assert!(library.contains(&format!("include_str!(\"../{path}\")")), "{path} is no part of the doctests");
            with_rust.push(path);
        }
    }
    for page in ["README.md", "docs/rust.md", "docs/on-device.md", "docs/notifications.md"] {
        assert!(with_rust.iter().any(|path| path == page), "{page} has no snippet in Rust");
    }
}

#[test]
fn json_snippets_are_json() {
    let snippets = snippets("json");
    assert!(has_snippet_of(&snippets, "readme") && has_snippet_of(&snippets, "errors"), "snippets in JSON are gone");
    for Snippet { name, text } in snippets {
        let read = serde_json::from_str::<serde_json::Value>(&text);
        read.unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
    }
}

/// What stands in backticks in the first cells of a section's tables.
fn first_cells(page: &str, from: &str, to: &str) -> BTreeSet<String> {
    let page = std::fs::read_to_string(root().join("docs").join(page)).expect("a page");
    let (_, rest) = page.split_once(&format!("\n## {from}\n")).expect("the section");
    let (section, _) = rest.split_once(&format!("\n{to}\n")).expect("what follows it");
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    cells.flat_map(|cell| cell.split('`').step_by(2)).map(str::to_owned).collect()
}

/// Whoever changes over finds every key, option, member of a result and event, and the configuration as it was works.
#[test]
fn the_page_about_migrating_is_complete() {
    let ours = |from: &str, to: &str| first_cells("configuration.md", from, to);
    let there = |from: &str, to: &str| first_cells("migrating.md", from, to);
    assert_eq!(
        there("Configuration", "Other names of theirs:"),
        ours("`target_client_create`", "## Options of a call")
    );
    assert_eq!(there("Options of a call", "## Functions"), ours("Options of a call", "## Results"));
    let mut members = ours("Results", "| member of `meta` | content |");
    assert!(members.remove("attributes"), "it is among the functions there");
    assert_eq!(there("Results", "## Events"), members);
    assert_eq!(there("Events", "## Log lines and telemetry"), first_cells("on-device.md", "Events", "## Counters"));

    let page = std::fs::read_to_string(root().join("docs/migrating.md")).expect("a page");
    for configuration in blocks(&page, "json") {
        let read = adobe_target::ClientConfig::from_json(&configuration);
        read.unwrap_or_else(|error| panic!("{error}: {configuration}"));
    }
}

#[test]
fn linked_files_and_headings_exist() {
    let pages = pages();
    let mut checked = 0;
    for (path, page) in &pages {
        // A lambda in C++ looks like a link: snippets have none.
        let prose: String = page.split("```").step_by(2).collect();
        let links = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let file = if file.is_empty() { path.clone() } else { path.parent().expect("a folder").join(file) };
            assert!(file.exists(), "{link} in {}", path.display());
            if !heading.is_empty() {
                let linked = std::fs::read_to_string(&file).expect("a page");
                let has = linked
                    .lines()
                    .any(|line| line.starts_with('#') && anchor(line.trim_start_matches('#').trim()) == heading);
                assert!(has, "no heading of {link} in {}", path.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}

/// Each feature of the manifest is in the page's table, with whether it is a default one.
#[test]
fn the_page_tells_of_every_feature() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    let (_, features) = manifest.split_once("\n[features]\n").expect("features");
    let (features, _) = features.split_once("\n[").expect("what follows them");
    let features: Vec<_> = features.lines().filter_map(|line| line.split_once(" = ")).collect();
    let (_, default) = features.iter().find(|(name, _)| *name == "default").expect("the default ones");
    let page = std::fs::read_to_string(root().join("docs/rust.md")).expect("a page");
    for (name, _) in features.iter().filter(|(name, _)| *name != "default") {
        let is_default = if default.contains(&format!("\"{name}\"")) { "yes" } else { "no" };
        assert!(
            page.contains(&format!("\n| `{name}` | {is_default} | ")),
            "the page does not say {name}: {is_default}"
        );
    }
}

/// Whoever wonders about a domain has to know by which list it was found.
#[test]
fn the_page_tells_which_public_suffixes_are_known() {
    let page = std::fs::read_to_string(root().join("docs/on-device.md")).expect("there is a page");
    let told = format!("Public Suffix List as of {},", adobe_target::unversioned::PUBLIC_SUFFIX_LIST);
    assert!(page.contains(&told), "the page does not say {told:?}");
}

/// The commands that the README begins with.
#[test]
fn ci_runs_the_first_commands_as_written() {
    let Ok(ci) = std::fs::read_to_string(root().join(".ci/run")) else {
        eprintln!("SKIPPED: no .ci/run here (a packaged crate has none)");
        return;
    };
    let first = blocks(&readme(), "sh").into_iter().next().expect("commands");
    let commands: Vec<_> = first.lines().filter_map(|line| line.split('#').next()).map(str::trim).collect();
    assert!(commands.contains(&"cargo test --all-features") && commands.len() > 1, "{commands:?}");
    for command in commands {
        assert!(ci.lines().any(|line| line.trim() == command), "CI does not run {command:?}");
    }
}
