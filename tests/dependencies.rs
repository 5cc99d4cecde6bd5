//! What every consumer of this crate takes on: the number of crates and their licences.
//!
//! Advisories need a database from the network; `cargo deny check advisories` has them where there is one.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Each lets a program under any licence link this library.
const LICENCES: [&str; 8] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-3-Clause",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Zlib",
];
/// Unicode's data licence comes with every derive macro, which is not linked.
const BUILD_ONLY: [&str; 1] = ["Unicode-3.0"];
/// One more needs a reason, here and in Cargo.toml. The last: arc-swap, so that decisions take no lock.
const MOST_CRATES: usize = 55;

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo speaks JSON")
}

/// Name and licence of each crate that is linked or runs at build time, without those for tests.
fn shipped(metadata: &serde_json::Value) -> BTreeMap<String, String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let nodes: BTreeMap<String, serde_json::Value> =
        list(&metadata["resolve"]["nodes"]).into_iter().map(|node| (text(&node["id"]), node)).collect();
    let mut open = vec![text(&metadata["resolve"]["root"])];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        for dependency in list(&nodes[&id]["deps"]) {
            if list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev") {
                open.push(text(&dependency["pkg"]));
            }
        }
    }
    list(&metadata["packages"])
        .into_iter()
        .filter(|package| seen.contains(&text(&package["id"])) && package["name"] != "adobe-target")
        .map(|package| (format!("{} {}", text(&package["name"]), text(&package["version"])), text(&package["license"])))
        .collect()
}

/// Whether an SPDX expression leaves a choice that is on the list. `/` is the old spelling of OR.
fn is_permitted(expression: &str) -> bool {
    let permitted = |licence: &str| {
        let licence = licence.trim().trim_matches(['(', ')']).trim();
        LICENCES.contains(&licence) || BUILD_ONLY.contains(&licence)
    };
    // All of these crates join with AND at the top and OR inside, or use OR alone.
    expression.split(" AND ").all(|part| part.replace('/', " OR ").split(" OR ").any(permitted))
}

#[test]
fn every_licence_is_on_the_list() {
    let refused: Vec<_> = shipped(&metadata()).into_iter().filter(|(_, licence)| !is_permitted(licence)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn the_tree_stays_small() {
    let crates = shipped(&metadata());
    println!("{} crates: {:?}", crates.len(), crates.keys().collect::<Vec<_>>());
    assert!(crates.len() <= MOST_CRATES, "{} crates: {crates:#?}", crates.len());
}

#[test]
fn expressions_are_read_as_choices() {
    for (expression, permitted) in [
        ("MIT OR GPL-3.0", true),
        ("MIT/Apache-2.0", true),
        ("Apache-2.0 AND ISC", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("GPL-3.0", false),
        ("MIT AND GPL-3.0", false),
        ("", false),
    ] {
        assert_eq!(is_permitted(expression), permitted, "{expression}");
    }
}
