//! allocation.json: the hash, and where it puts visitors.

use adobe_target::unversioned;
use serde_json::{Value, json};

use crate::compare::{Bindings, compare};
use crate::corpus::{self, Case};
use crate::report::Verdict;
use crate::rules::{self, Rules};

/// Runs a case.
pub fn run(case: &Case) -> Verdict {
    let mut rules = Rules::new();
    let mut text = |value: &Value| match corpus::utf16(value) {
        Some(units) => {
            rules.insert(rules::HALF_PAIRS);
            String::from_utf16_lossy(&units)
        }
        None => joined(value),
    };
    let input = &case.input;
    let (what, got) = match case.area.as_str() {
        area if area.starts_with("hash.") => ("hash", json!(unversioned::hash(&text(&input["string"])))),
        area if area.starts_with("allocation.") => {
            let (client, activity_id) = (text(&input["clientId"]), text(&input["activityId"]));
            let visitor = &input["visitorId"];
            let allocation = match (input.get("salt"), visitor.is_object() && corpus::utf16(visitor).is_none()) {
                (_, true) => unversioned::allocation_of_visitor(&client, &activity_id, visitor),
                // The library has no other salt than "0": what others do shows in the hash.
                (Some(salt), _) => {
                    let hash = unversioned::hash(&format!("{client}.{activity_id}.{}.{}", text(visitor), text(salt)));
                    Some(f64::from(hash.unsigned_abs() % 10_000) / 100.0)
                }
                (None, _) => Some(unversioned::allocation(&client, &activity_id, &text(visitor))),
            };
            match allocation {
                Some(allocation) => ("allocation", json!(allocation)),
                None => return Verdict::Skipped("a visitor without an id gets a random one".to_owned()),
            }
        }
        other => return Verdict::Failed(vec![format!("nobody knows the area {other}")]),
    };
    let expected = match rules.is_empty() {
        true => case.expected[what].clone(),
        false => half_pairs(input, what),
    };
    let differences = compare(what, &expected, &got, &mut Bindings::new(0));
    Verdict::of(differences.iter().map(ToString::to_string).collect(), rules)
}

/// The value as JavaScript's `join` writes it.
fn joined(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number_text(number.as_f64().unwrap_or(f64::NAN)),
        Value::Object(members) if members.contains_key("$js") => match members["$js"].as_str() {
            Some("-0") => "0".to_owned(),
            Some("undefined") | None => String::new(),
            Some(other) => other.to_owned(),
        },
        other => other.to_string(),
    }
}

/// A number as JavaScript writes it.
fn number_text(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    if (1e-6..1e21).contains(&number.abs()) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    if text.contains("e-") { text } else { text.replacen('e', "e+", 1) }
}

/// What comes of the text with U+FFFD for each half pair, over its code units and by the definition of the hash.
fn half_pairs(input: &Value, what: &str) -> Value {
    let units = |value: &Value| match corpus::utf16(value) {
        Some(units) => String::from_utf16_lossy(&units).encode_utf16().collect(),
        None => joined(value).encode_utf16().collect::<Vec<u16>>(),
    };
    let whole = match what {
        "hash" => units(&input["string"]),
        _ => {
            let parts = ["clientId", "activityId", "visitorId"].map(|part| units(&input[part]));
            [parts.as_slice(), &[units(&json!("0"))]].concat().join(&u16::from(b'.'))
        }
    };
    let hash = murmur(&whole);
    if what == "hash" { json!(hash) } else { json!(f64::from(hash.unsigned_abs() % 10_000) / 100.0) }
}

/// MurmurHash3, x86, 32 bits, seed 0, of code units.
fn murmur(units: &[u16]) -> i32 {
    let scrambled = |block: u32| block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let mut hash = 0_u32;
    for pair in units.chunks(2) {
        hash = match *pair {
            [low, high] => {
                let hash = hash ^ scrambled(u32::from(low) | u32::from(high) << 16);
                hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
            }
            _ => hash ^ scrambled(u32::from(pair[0])),
        };
    }
    hash ^= units.len() as u32 * 2;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    (hash ^ hash >> 16) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_in_javascript() {
        for (number, text) in [(1.5, "1.5"), (-1.0, "-1"), (1e20, "100000000000000000000"), (0.000001, "0.000001")] {
            assert_eq!(number_text(number), text);
        }
        assert_eq!((number_text(1e21), number_text(1.5e300)), ("1e+21".into(), "1.5e+300".into()));
        assert_eq!((number_text(1e-7), number_text(-0.0)), ("1e-7".into(), "0".into()));
    }
}
