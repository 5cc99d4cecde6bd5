//! Promises of the README and the pages in `docs` that rustdoc does not check: C snippets compile, files and headings
//! that are linked exist, commands are those that CI runs.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).expect("there is a README")
}

/// The README and the pages, each with its path.
fn pages() -> Vec<(PathBuf, String)> {
    let folder = std::fs::read_dir(root().join("docs")).expect("there is a folder of pages");
    let files = folder.map(|entry| entry.expect("an entry").path()).filter(|path| path.extension().is_some());
    let read = |path: PathBuf| (path.clone(), std::fs::read_to_string(path).expect("a page"));
    files.chain([root().join("README.md")]).map(read).collect()
}

/// What a heading is linked by.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
}

/// The content of each fenced block of that language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).filter_map(|rest| rest.split("\n```").next()).map(str::to_owned).collect()
}

#[test]
fn c_snippets_compile() {
    let snippets = blocks(&readme(), "c");
    assert!(!snippets.is_empty());
    for (at, snippet) in snippets.iter().enumerate() {
        let source = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("readme_{at}.c"));
        std::fs::write(&source, format!("{snippet}\n")).expect("the snippet can be written");
        let status = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".to_owned()))
            .args(["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I"])
            .arg(root().join("include"))
            .arg(&source)
            .status()
            .expect("there is a C compiler");
        assert!(status.success(), "snippet {at}:\n{snippet}");
    }
}

#[test]
fn json_snippets_are_json() {
    for (path, page) in pages() {
        for snippet in blocks(&page, "json") {
            let read = serde_json::from_str::<serde_json::Value>(&snippet);
            read.unwrap_or_else(|error| panic!("{}: {error}: {snippet}", path.display()));
        }
    }
}

#[test]
fn linked_files_and_headings_exist() {
    let pages = pages();
    let mut checked = 0;
    for (path, page) in &pages {
        let links = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
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
