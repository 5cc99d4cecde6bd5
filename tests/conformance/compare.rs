//! Comparing what was recorded with what happened: JSON values, placeholders bound over a whole case.

use std::collections::HashMap;
use std::fmt;

use chrono::{Local, Offset, TimeZone};
use serde_json::Value;

/// What the placeholders of one case stand for.
#[derive(Debug, Clone)]
pub struct Bindings {
    now: i64,
    /// `uuid:1` and the like, with the value as lower-case digits without separators.
    values: HashMap<String, String>,
}

impl Bindings {
    /// Those of a case at that time, in milliseconds since 1970.
    pub fn new(now: i64) -> Self {
        Bindings { now, values: HashMap::new() }
    }

    /// Binds a placeholder, or holds the value against the one it has. Two placeholders never share a value.
    fn bind(&mut self, name: &str, value: &str) -> bool {
        let value: String = value.chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
        match self.values.get(name) {
            Some(bound) => *bound == value,
            None if self.values.values().any(|taken| *taken == value) => false,
            None => {
                self.values.insert(name.to_owned(), value);
                true
            }
        }
    }
}

/// The process's own offset at that time, in minutes east of UTC.
pub fn local_offset_minutes(now: i64) -> i64 {
    let local = Local.timestamp_millis_opt(now).single().unwrap_or_else(Local::now);
    i64::from(local.offset().fix().local_minus_utc() / 60)
}

/// One place where two values differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    path: String,
    expected: String,
    got: String,
}

impl Difference {
    pub fn new(path: &str, expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        Difference { path: path.to_owned(), expected: expected.to_string(), got: got.to_string() }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |text: &str| match text.char_indices().nth(600) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        };
        write!(f, "{}: expected {}, got {}", self.path, short(&self.expected), short(&self.got))
    }
}

/// All places where `got` is not what `expected` says. `path` names the values in the differences.
pub fn compare(path: &str, expected: &Value, got: &Value, bindings: &mut Bindings) -> Vec<Difference> {
    let differs = || vec![Difference::new(path, expected, got)];
    match (expected, got) {
        (Value::Object(wanted), Value::Object(found)) => {
            let mut differences = Vec::new();
            for (key, value) in wanted {
                let path = format!("{path}.{key}");
                match found.get(key) {
                    Some(found) => differences.extend(compare(&path, value, found, bindings)),
                    None => differences.push(Difference::new(&path, value, "nothing")),
                }
            }
            for (key, value) in found.iter().filter(|(key, _)| !wanted.contains_key(*key)) {
                differences.push(Difference::new(&format!("{path}.{key}"), "nothing", value));
            }
            differences
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            let pairs = wanted.iter().zip(found).enumerate();
            pairs.flat_map(|(at, (wanted, found))| compare(&format!("{path}[{at}]"), wanted, found, bindings)).collect()
        }
        (Value::Number(wanted), Value::Number(found)) if wanted.as_f64() == found.as_f64() => Vec::new(),
        (Value::String(pattern), found) => {
            let matches = match (pattern.as_str(), found) {
                ("<now>", found) => found.as_i64() == Some(bindings.now),
                ("<ms>", found) => found.as_f64().is_some_and(is_duration),
                ("<timeOffset>", found) => found.as_i64() == Some(local_offset_minutes(bindings.now)),
                (pattern, Value::String(text)) => match_text(pattern, text, bindings),
                _ => false,
            };
            if matches { Vec::new() } else { differs() }
        }
        (wanted, found) if wanted == found => Vec::new(),
        _ => differs(),
    }
}

fn is_duration(number: f64) -> bool {
    number >= 0.0 && ((number * 100.0).round() - number * 100.0).abs() < 1e-6
}

/// Whether a text is the pattern with values in the place of its placeholders.
fn match_text(pattern: &str, text: &str, bindings: &mut Bindings) -> bool {
    let Some((before, name, after)) = next_placeholder(pattern) else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    if name == "nowIso" {
        let now = chrono::DateTime::from_timestamp_millis(bindings.now)
            .map(|now| now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true));
        return now.and_then(|now| rest.strip_prefix(&*now)).is_some_and(|rest| match_text(after, rest, bindings));
    }
    for length in [36, 33, 32] {
        let Some((value, rest)) = rest.split_at_checked(length) else { continue };
        let fits = if name.starts_with("uuid:") { is_uuid_v4(value) } else { is_supplemental_data_id(value) };
        let mut attempt = bindings.clone();
        if fits && attempt.bind(name, value) && match_text(after, rest, &mut attempt) {
            *bindings = attempt;
            return true;
        }
    }
    false
}

/// What is before the first placeholder, its name, and what is after it.
fn next_placeholder(pattern: &str) -> Option<(&str, &str, &str)> {
    let start = ["<uuid:", "<sdid:", "<nowIso>"].iter().filter_map(|mark| pattern.find(mark)).min()?;
    let (name, after) = pattern[start + 1..].split_once('>')?;
    Some((&pattern[..start], name, after))
}

/// A random UUID, with or without its dashes.
pub fn is_uuid_v4(text: &str) -> bool {
    let dashed = text.len() == 36;
    let digits: Vec<u8> = text
        .bytes()
        .enumerate()
        .filter(|(at, byte)| !(dashed && *byte == b'-' && matches!(at, 8 | 13 | 18 | 23)))
        .map(|(_, byte)| byte)
        .collect();
    let version = digits.get(12) == Some(&b'4');
    let variant = digits.get(16).is_some_and(|digit| b"89abAB".contains(digit));
    digits.len() == 32 && digits.iter().all(u8::is_ascii_hexdigit) && version && variant
}

pub fn is_supplemental_data_id(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    text.len() == 33 && text.bytes().enumerate().all(|(at, byte)| if at == 16 { byte == b'-' } else { digit(byte) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const UUID: &str = "0f47ac10-58cc-4372-a567-0e02b2c3d479";
    const OTHER: &str = "1f47ac1058cc4372a5670e02b2c3d479";
    const SDID: &str = "0123456789ABCDEF-0123456789ABCDEF";

    fn differences(expected: &Value, got: &Value) -> usize {
        compare("$", expected, got, &mut Bindings::new(1_700_000_000_000)).len()
    }

    #[test]
    fn equal_values_pass_in_any_order_and_spelling_of_numbers() {
        assert_eq!(differences(&json!({"a": 1, "b": [1.0, "x"]}), &json!({"b": [1, "x"], "a": 1.0})), 0);
        let got = json!({"s": UUID, "q": format!("x{}.35_0", UUID.replace('-', "")), "d": SDID, "n": 1_700_000_000_000_i64, "m": 1.25});
        let expected = json!({"s": "<uuid:1>", "q": "x<uuid:1>.35_0", "d": "<sdid:1>", "n": "<now>", "m": "<ms>"});
        assert_eq!(differences(&expected, &got), 0);
        assert_eq!(differences(&json!("<nowIso>"), &json!("2023-11-14T22:13:20.000Z")), 0);
    }

    #[test]
    fn an_altered_expectation_is_seen() {
        let got = json!({"requestId": "r", "execute": {"mboxes": [{"index": 0, "name": "a"}]}, "list": [1, 2]});
        for (expected, reason) in [
            (json!({"requestId": "R", "execute": {"mboxes": [{"index": 0, "name": "a"}]}, "list": [1, 2]}), "a text"),
            (json!({"requestId": "r", "execute": {"mboxes": [{"index": 1, "name": "a"}]}, "list": [1, 2]}), "a number"),
            (json!({"requestId": "r", "execute": {"mboxes": [{"index": "0", "name": "a"}]}, "list": [1, 2]}), "a type"),
            (json!({"requestId": "r", "execute": {"mboxes": [{"name": "a"}]}, "list": [1, 2]}), "a member too many"),
            (
                json!({"requestId": "r", "execute": {"mboxes": [{"index": 0, "name": "a", "x": null}]}, "list": [1, 2]}),
                "a member too few",
            ),
            (
                json!({"requestId": "r", "execute": {"mboxes": [{"index": 0, "name": "a"}]}, "list": [2, 1]}),
                "the order",
            ),
            (json!({"requestId": "r", "execute": {"mboxes": [{"index": 0, "name": "a"}]}, "list": [1]}), "the length"),
            (
                json!({"requestId": "<uuid:1>", "execute": {"mboxes": [{"index": 0, "name": "a"}]}, "list": [1, 2]}),
                "no id",
            ),
        ] {
            assert_ne!(differences(&expected, &got), 0, "{reason}");
        }
    }

    #[test]
    fn placeholders_are_bound_over_a_case() {
        assert_eq!(differences(&json!(["<uuid:1>", "<uuid:1>"]), &json!([UUID, OTHER])), 1);
        assert_eq!(differences(&json!(["<uuid:1>", "<uuid:2>"]), &json!([UUID, UUID])), 1);
        assert_eq!(differences(&json!(["<uuid:1>", "<uuid:2>"]), &json!([UUID, OTHER])), 0);
        assert_eq!(differences(&json!("<uuid:1>"), &json!("0f47ac10-58cc-1372-a567-0e02b2c3d479")), 1);
        assert_eq!(differences(&json!("<sdid:1>"), &json!(SDID.to_lowercase())), 1);
        assert_eq!(differences(&json!("<now>"), &json!("1700000000000")), 1);
        assert_eq!(differences(&json!("<ms>"), &json!(1.234)), 1);
    }
}
