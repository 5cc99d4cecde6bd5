//! The table of public suffixes in the library: it is made from the list of the crate `psl`, and says the same.
//!
//! `UPDATE_PUBLIC_SUFFIXES=1 cargo test --test public_suffixes` makes it anew after `cargo update -p psl`; its
//! form is told in src/decisioning/domain.rs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use adobe_target::unversioned;

/// How a name counts that stands in the list.
const RULE: u8 = 1;
const WILDCARD: u8 = 2;
const EXCEPTION: u8 = 4;

fn table_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/decisioning/public_suffixes.bin")
}

/// Version and folder of the crate that has the list.
fn source() -> (String, PathBuf) {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo speaks JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let psl = packages.iter().find(|package| package["name"] == "psl").expect("psl is among the packages");
    let text = |key: &str| psl[key].as_str().expect("a text").to_owned();
    (text("version"), Path::new(&text("manifest_path")).with_file_name("data"))
}

/// The rules of the list, as they stand there.
fn rules() -> &'static [String] {
    static RULES: OnceLock<Vec<String>> = OnceLock::new();
    RULES.get_or_init(|| {
        let path = source().1.join("rules.txt");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    })
}

/// The names of the list, in ASCII, and how each counts.
fn names() -> BTreeMap<String, u8> {
    let mut names = BTreeMap::new();
    for rule in rules() {
        let (name, kind) = match (rule.strip_prefix("*."), rule.strip_prefix('!')) {
            (Some(name), _) => (name, WILDCARD),
            (_, Some(name)) => (name, EXCEPTION),
            _ => (&**rule, RULE),
        };
        let name = unversioned::host_in_ascii(name).unwrap_or_else(|| panic!("{rule} is no host"));
        *names.entry(name).or_default() |= kind;
    }
    names
}

/// An automaton without loops that reads names backwards. States that accept the same rests are one.
#[derive(Default)]
struct Automaton {
    /// Edges in the order of their symbols: letters with the state behind, and ends of names without one.
    states: Vec<Vec<(u8, Option<usize>)>>,
    /// How many names lie behind a state.
    weights: Vec<usize>,
    known: HashMap<Vec<(u8, Option<usize>)>, usize>,
}

#[derive(Default)]
struct Tree {
    kind: u8,
    children: BTreeMap<u8, Tree>,
}

fn symbol(byte: u8) -> u8 {
    match byte {
        b'-' => 0,
        b'.' => 1,
        b'0'..=b'9' => byte - b'0' + 2,
        b'a'..=b'z' => byte - b'a' + 12,
        _ => panic!("{byte} is in no host name"),
    }
}

/// The symbol of the end of a name.
fn end(kind: u8) -> u8 {
    56 + kind
}

impl Automaton {
    fn of(names: &BTreeMap<String, u8>) -> (Self, usize) {
        let mut root = Tree::default();
        for (name, kind) in names {
            let node = name.bytes().rev().fold(&mut root, |node, byte| node.children.entry(symbol(byte)).or_default());
            node.kind = *kind;
        }
        let mut automaton = Automaton::default();
        let root = automaton.add(&root);
        (automaton, root)
    }

    fn add(&mut self, tree: &Tree) -> usize {
        let mut edges: Vec<_> = tree.children.iter().map(|(symbol, child)| (*symbol, Some(self.add(child)))).collect();
        if tree.kind != 0 {
            edges.push((end(tree.kind), None));
        }
        if let Some(state) = self.known.get(&edges) {
            return *state;
        }
        let weight = edges.iter().map(|(_, state)| state.map_or(1, |state| self.weights[state])).sum();
        self.states.push(edges.clone());
        self.weights.push(weight);
        self.known.insert(edges, self.states.len() - 1);
        self.states.len() - 1
    }
}

/// What an edge leads to, written from the table's end to its start.
enum Part {
    Byte(u8),
    /// Place of a state, counted from the end.
    Place(usize),
}

#[derive(Default)]
struct Writer {
    parts: Vec<Part>,
    length: usize,
    /// Where states begin, counted from the end.
    places: HashMap<usize, usize>,
}

impl Writer {
    /// Writes the states behind a state, then the state, whose last edge needs no place if its state was the last
    /// one written.
    fn write(&mut self, automaton: &Automaton, state: usize) {
        let edges = &automaton.states[state];
        let mut behind: Vec<(u8, usize)> =
            edges.iter().filter_map(|(symbol, state)| Some((*symbol, (*state)?))).collect();
        behind.sort_by_key(|(_, state)| automaton.weights[*state]);
        for (_, state) in &behind {
            if !self.places.contains_key(state) {
                self.write(automaton, *state);
            }
        }
        let mut is_last = true;
        let next = behind.iter().position(|(_, state)| self.places[state] == self.length);
        if let Some((symbol, _)) = next.map(|next| behind.remove(next)) {
            self.byte(0b1100_0000 | symbol);
            is_last = false;
        }
        // A last edge has no short form: it is one that needs the long form anyway, if there is such a one.
        if is_last && let Some(far) = behind.iter().position(|(_, state)| self.length - self.places[state] > 255) {
            let far = behind.remove(far);
            behind.insert(0, far);
        }
        for (symbol, state) in behind {
            let place = self.places[&state];
            let distance = self.length - place;
            if distance <= 255 && !is_last {
                self.byte(distance as u8);
                self.byte(0b0100_0000 | symbol);
            } else {
                self.parts.push(Part::Place(place));
                self.length += 2;
                self.byte(u8::from(is_last) << 7 | symbol);
            }
            is_last = false;
        }
        if let Some((end, _)) = edges.iter().find(|(_, state)| state.is_none()) {
            self.byte(u8::from(is_last) << 7 | end);
        }
        self.places.insert(state, self.length);
    }

    fn byte(&mut self, byte: u8) {
        self.parts.push(Part::Byte(byte));
        self.length += 1;
    }

    fn table(self) -> Vec<u8> {
        let mut table = Vec::with_capacity(self.length);
        for part in self.parts.iter().rev() {
            match part {
                Part::Byte(byte) => table.push(*byte),
                Part::Place(place) => {
                    let place = u16::try_from(self.length - place).expect("a table of less than 64 KB");
                    table.extend(place.to_be_bytes());
                }
            }
        }
        table
    }
}

fn made_table() -> Vec<u8> {
    let (automaton, root) = Automaton::of(&names());
    let mut writer = Writer::default();
    writer.write(&automaton, root);
    writer.table()
}

#[test]
fn the_table_is_the_one_that_the_list_makes() {
    let made = made_table();
    if std::env::var_os("UPDATE_PUBLIC_SUFFIXES").is_some() {
        fs::write(table_file(), &made).expect("src/decisioning/public_suffixes.bin can be written");
    }
    let committed = fs::read(table_file()).unwrap_or_default();
    assert!(made == committed, "another list: see the head of this file for how to make the table anew");
    assert_eq!(unversioned::PUBLIC_SUFFIX_LIST.split(',').next(), Some(&*format!("psl {}", source().0)));
}

/// The suffix and the registrable domain of a host by the crate's own compiled list; none where the list has no rule.
fn by_the_crate(host: &str) -> Option<(&str, Option<&str>)> {
    let suffix = psl::suffix(host.as_bytes()).filter(|suffix| suffix.is_known())?;
    let suffix = str::from_utf8(suffix.as_bytes()).expect("part of the host");
    Some((suffix, psl::domain_str(host)))
}

/// What stands before a registrable domain, without a first `www`.
fn subdomain<'h>(host: &'h str, domain: &str) -> &'h str {
    let labels = host.strip_suffix(domain).expect("a domain ends its host").trim_end_matches('.');
    if labels == "www" { "" } else { labels.strip_prefix("www.").unwrap_or(labels) }
}

#[test]
fn hosts_are_split_as_the_list_says() {
    let in_ascii = |name: &str| unversioned::host_in_ascii(name).expect("a host");
    // A name whose children are all suffixes is one itself, otherwise than for the crate.
    let parents: HashSet<String> = rules()
        .iter()
        .filter_map(|rule| rule.strip_prefix("*."))
        .flat_map(|name| [name.to_owned(), in_ascii(name)])
        .collect();
    assert!(rules().len() > 9_000 && parents.len() > 100, "{} rules", rules().len());
    for rule in rules() {
        let name = rule.trim_start_matches(['*', '.', '!']);
        for name in [name, &in_ascii(name)] {
            for host in [name.to_owned(), format!("shop.{name}"), format!("www.a.b-c.{name}"), format!("x{name}")] {
                let expected = match by_the_crate(&host) {
                    Some((suffix, Some(domain))) if !parents.contains(&host) => {
                        (subdomain(&host, domain), domain, suffix)
                    }
                    _ => ("", &*host, ""),
                };
                let (subdomain, domain, suffix) = unversioned::split_host(&host);
                assert_eq!((&*subdomain, &*domain, &*suffix), expected, "{host} by {rule}");
            }
        }
    }
}
