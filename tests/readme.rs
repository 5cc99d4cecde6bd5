//! The README's promises that rustdoc does not check: its C snippets compile, its files exist, its commands are
//! those that CI runs.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).expect("there is a README")
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
    for snippet in blocks(&readme(), "json") {
        serde_json::from_str::<serde_json::Value>(&snippet).unwrap_or_else(|error| panic!("{error}: {snippet}"));
    }
}

#[test]
fn linked_files_exist() {
    let text = readme();
    let links: Vec<&str> = text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    for link in links.iter().filter(|link| !link.starts_with("http")) {
        assert!(root().join(link).exists(), "{link}");
    }
    assert!(links.len() > 5);
}

#[test]
fn ci_runs_the_test_command_as_written() {
    let Ok(ci) = std::fs::read_to_string(root().join(".ci/run")) else {
        eprintln!("SKIPPED: no .ci/run here (a packaged crate has none)");
        return;
    };
    assert!(blocks(&readme(), "sh").iter().any(|block| block.contains("cargo test --all-features")));
    assert!(ci.contains("cargo test --all-features"), "the README's test command is not what CI runs");
}
