//! Tables of the pages in `docs` and lists of the C header, for the tests that hold them against the code.

pub(crate) const CONFIGURATION: &str = include_str!("../docs/configuration.md");
pub(crate) const ERRORS: &str = include_str!("../docs/errors.md");
pub(crate) const NOTIFICATIONS: &str = include_str!("../docs/notifications.md");
pub(crate) const ON_DEVICE: &str = include_str!("../docs/on-device.md");
pub(crate) const HEADER: &str = include_str!("../include/adobe_target.h");

/// What stands between two headings.
pub(crate) fn section<'p>(page: &'p str, from: &str, to: &str) -> &'p str {
    let line = |heading: &str| format!("\n{heading}\n");
    let (_, rest) = page.split_once(&line(from)).unwrap_or_else(|| panic!("no {from:?}"));
    if to.is_empty() { rest } else { rest.split_once(&line(to)).unwrap_or_else(|| panic!("no {to:?}")).0 }
}

/// The cells of each row that begins with a name.
pub(crate) fn rows(page: &str) -> Vec<Vec<String>> {
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let cells = |row: &str| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
    // An empty cell is one blank between two bars.
    let rows: Vec<Vec<String>> = rows.map(|row| cells(&row.replace("| |", "|  |"))).collect();
    assert!(!rows.is_empty(), "no table in {page}");
    rows
}

/// The names in a cell: what stands in backticks.
pub(crate) fn names(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A section of the header's first comment, without the stars.
pub(crate) fn header_section(from: &str, to: &str) -> String {
    let (_, rest) = HEADER.split_once(&format!("\n * {from}\n")).unwrap_or_else(|| panic!("no {from:?}"));
    let (section, _) = rest.split_once(&format!("\n * {to}\n")).unwrap_or_else(|| panic!("no {to:?}"));
    section.lines().map(|line| format!("{}\n", line.strip_prefix(" *").unwrap_or(line))).collect()
}

/// The same words with one blank between them.
pub(crate) fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The entries of a header's list, `name   text` with the text's further lines farther in.
pub(crate) fn header_entries(section: &str) -> Vec<(String, String)> {
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let mut entries: Vec<(String, String)> = Vec::new();
    let mut open = 0;
    for line in section.lines() {
        let Some(line) = line.strip_prefix("     ") else {
            open = 0;
            continue;
        };
        if let Some(further) = line.strip_prefix("  ") {
            let further = flat(further);
            let from = entries.len() - open;
            entries.iter_mut().skip(from).for_each(|(_, text)| *text = flat(&format!("{text} {further}")));
            continue;
        }
        let (names, text) = line.split_once("  ").or(line.split_once(" {")).unwrap_or((line, ""));
        open = 0;
        if names.split(", ").all(is_name) {
            open = names.split(", ").count();
            entries.extend(names.split(", ").map(|name| (name.to_owned(), flat(text))));
        }
    }
    entries
}

/// JSON values that fit a documented type, and values that do not.
pub(crate) fn samples(kind: &str) -> (Vec<String>, Vec<String>) {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let quoted = |text: &String| format!("\"{text}\"");
    if let Some(range) = kind.strip_prefix("int") {
        let bound = |text: &str| text.trim().parse::<i64>().unwrap_or_else(|_| panic!("no type: {kind:?}"));
        let (least, most) = match (range.split_once('≥'), range.split_once('–')) {
            (Some((_, least)), _) => (bound(least), i64::MAX),
            (_, Some((least, most))) => (bound(least), bound(most)),
            _ if range.is_empty() => (i64::MIN, i64::MAX),
            _ => panic!("no type: {kind:?}"),
        };
        let beyond = |bound: i128, to: i128| (bound + to).to_string();
        let mut others = texts(&["true", "\"1\"", "1.5", "[]"]);
        others.extend([beyond(least.into(), -1), beyond(most.into(), 1)]);
        return (vec![least.to_string(), most.to_string()], others);
    }
    match kind {
        "bool" => (texts(&["true", "false"]), texts(&["0", "1", "\"true\"", "[]"])),
        "string" | "path" => (texts(&["\"a\""]), texts(&["5", "true", "{}", "[]"])),
        "URL" => (texts(&["\"https://a.test/b\""]), texts(&["5", "\"a.test/b\""])),
        "object" => (texts(&["{}"]), texts(&["5", "\"a\"", "[]"])),
        "object of strings" => (texts(&["{}", r#"{"x-a":"b"}"#]), texts(&["5", "\"a\"", "[]"])),
        "array of strings" => (texts(&["[]", r#"["a"]"#]), texts(&["5", "\"a\"", "{}"])),
        "array or object" => (texts(&["[]", "{}"]), texts(&["5", "\"a\"", "true"])),
        "`host[:port]`" => (texts(&["\"a.test\"", "\"a.test:1\""]), texts(&["5", "\"http://a.test\"", "\"a.test/b\""])),
        "`host[:port][/path]` or URL" => {
            (texts(&["\"a.test\"", "\"a.test:1/b\"", "\"http://a.test\""]), texts(&["5", "\"ftp://a.test\""]))
        }
        choices if choices.starts_with('`') => {
            (names(choices).iter().map(quoted).collect(), texts(&["5", "true", "\"none of these\""]))
        }
        _ => panic!("no type: {kind:?}"),
    }
}
