//! The recorded cases: where they are, how they are read, and the values that JSON has no word for.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// One recorded case.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub area: String,
    pub input: Value,
    pub expected: Value,
    /// Why the recorded behaviour looks like a bug.
    pub quirk: String,
    /// The case as it stands in its file.
    pub recorded: Value,
}

/// The folder of the cases; None, and a loud word on stderr, where there is none.
pub fn folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("ADOBE_TARGET_CONFORMANCE") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance"),
    };
    if folder.join("golden").is_dir() {
        return Some(folder);
    }
    eprintln!("\n*** conformance was SKIPPED: no folder {}/golden ***", folder.display());
    eprintln!("*** ADOBE_TARGET_CONFORMANCE names the folder of the recorded cases ***\n");
    None
}

/// All cases of a file, in its order.
pub fn read(folder: &Path, file: &str) -> Vec<Case> {
    let path = folder.join("golden").join(format!("{file}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let corpus: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text_of = |case: &Value, key: &str| case[key].as_str().unwrap_or_default().to_owned();
    corpus["cases"]
        .as_array()
        .unwrap_or_else(|| panic!("{}: no cases", path.display()))
        .iter()
        .map(|case| Case {
            name: text_of(case, "name"),
            area: text_of(case, "area"),
            input: case["input"].clone(),
            expected: case["expected"].clone(),
            quirk: text_of(case, "quirk"),
            recorded: case.clone(),
        })
        .collect()
}

/// The value without what JavaScript calls undefined. The error says what JSON cannot express.
pub fn expressible(value: &Value) -> Result<Value, String> {
    Ok(match value {
        Value::Object(members) if members.len() == 1 && members.contains_key("$js") => match members["$js"].as_str() {
            Some("undefined") => Value::Null,
            Some("-0") => Value::from(-0.0),
            other => return Err(format!("{} cannot be written in JSON", other.unwrap_or("a value"))),
        },
        Value::Object(members) => {
            let mut kept = Map::new();
            for (key, member) in members.iter().filter(|(_, member)| !is_undefined(member)) {
                kept.insert(key.clone(), expressible(member)?);
            }
            Value::Object(kept)
        }
        Value::Array(elements) => Value::Array(elements.iter().map(expressible).collect::<Result<_, _>>()?),
        plain => plain.clone(),
    })
}

/// Whether this stands for JavaScript's undefined.
pub fn is_undefined(value: &Value) -> bool {
    value.get("$js").and_then(Value::as_str) == Some("undefined")
}

/// The code units of a text that UTF-8 cannot hold.
pub fn utf16(value: &Value) -> Option<Vec<u16>> {
    let units = value.as_object().filter(|members| members.len() == 1)?.get("$utf16")?.as_array()?;
    units.iter().map(|unit| u16::try_from(unit.as_u64()?).ok()).collect()
}

/// The value as JSON text; half surrogate pairs become escapes.
pub fn to_text(value: &Value) -> String {
    if let Some(units) = utf16(value) {
        let escapes: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        return format!("\"{escapes}\"");
    }
    match value {
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(key, member)| format!("{}:{}", Value::from(key.as_str()), to_text(member)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(elements) => format!("[{}]", elements.iter().map(to_text).collect::<Vec<_>>().join(",")),
        plain => plain.to_string(),
    }
}

/// Reads JSON; escapes of half surrogate pairs, which a Rust text cannot hold, read as U+FFFD.
pub fn parse_lossy(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().or_else(|| serde_json::from_str(&without_half_pairs(text)).ok())
}

fn without_half_pairs(text: &str) -> String {
    let unit_at = |at: usize| {
        let digits = text.get(at..).filter(|rest| rest.starts_with("\\u"))?.get(2..6)?;
        u32::from_str_radix(digits, 16).ok()
    };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let end = match (unit_at(at), unit_at(at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => at + 12,
            (Some(0xD800..=0xDFFF), _) => {
                out.push_str("\\ufffd");
                at += 6;
                continue;
            }
            // Whatever an escape hides must not be taken for the start of another one.
            _ if c == '\\' => at + 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
            _ => at + c.len_utf8(),
        };
        out.push_str(&text[at..end]);
        at = end;
    }
    out
}

/// The expectation for a value that went through [`parse_lossy`].
pub fn lossy(value: &Value) -> Value {
    if let Some(units) = utf16(value) {
        return Value::from(String::from_utf16_lossy(&units));
    }
    match value {
        Value::Object(members) => {
            Value::Object(members.iter().map(|(key, member)| (key.clone(), lossy(member))).collect())
        }
        Value::Array(elements) => Value::Array(elements.iter().map(lossy).collect()),
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn undefined_is_absent_and_the_rest_is_told() {
        let input = json!({"a": {"$js": "undefined"}, "b": [{"$js": "undefined"}, 1], "c": {"$js": "-0"}});
        assert_eq!(expressible(&input), Ok(json!({"b": [null, 1], "c": -0.0})));
        for word in ["NaN", "Infinity", "-Infinity", "function"] {
            assert!(expressible(&json!({"a": [{"$js": word}]})).is_err(), "{word}");
        }
    }

    #[test]
    fn half_pairs_are_written_as_escapes_and_read_as_replacements() {
        let text = to_text(&json!({"k\"": [{"$utf16": [97, 0xD800]}, "é", null]}));
        assert_eq!(text, "{\"k\\\"\":[\"\\u0061\\ud800\",\"é\",null]}");
        assert_eq!(parse_lossy(&text), Some(json!({"k\"": ["a\u{FFFD}", "é", null]})));
        assert_eq!(parse_lossy(r#"["\ud83d\ude00","\\ud800","\ud800"]"#), Some(json!(["😀", "\\ud800", "\u{FFFD}"])));
        assert_eq!(lossy(&json!([{"$utf16": [97, 0xD800]}])), json!(["a\u{FFFD}"]));
    }
}
