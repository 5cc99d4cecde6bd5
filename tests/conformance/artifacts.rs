//! The artifacts of the cases: where they come from, which of them we accept, and what is left of one without
//! what the recorded client failed on.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::corpus;

/// The artifact that a case hands over.
pub fn given(input: &Value, folder: &Path) -> Option<Value> {
    let artifact = input.get("artifact")?;
    let Some(file) = artifact["file"].as_str() else { return Some(artifact["inline"].clone()) };
    let path = folder.join("artifacts").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// The body of a download.
pub fn body(cdn: &Value) -> Vec<u8> {
    if let Some(text) = cdn["bodyBase64"].as_str() {
        return base64(text);
    }
    match cdn.get("artifact") {
        Some(artifact) => corpus::to_text(artifact).into_bytes(),
        None => cdn["body"].as_str().unwrap_or_default().as_bytes().to_vec(),
    }
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u32> = text.bytes().filter_map(digit).map(u32::from).collect();
    let group = |digits: &[u32]| {
        let bits = digits.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - digits.len()));
        let bytes = bits.to_be_bytes();
        bytes[1..digits.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

/// The artifact of a download, and whether it was masked.
pub fn downloaded(input: &Value) -> Option<(Value, bool)> {
    let cdn = input.get("cdn")?;
    let config = &input["config"];
    if !matches!(cdn["status"].as_u64(), Some(200..300)) {
        return None;
    }
    let named = config["artifactLocation"].as_str().map(|location| location.split('?').next().unwrap_or(location));
    let is_masked = match config["artifactFormat"].as_str() {
        Some(format) => format == "bin",
        None => named.is_some_and(|location| location.ends_with(".bin")),
    };
    let body = body(cdn);
    let artifact = if is_masked {
        unmasked(&body, config["organizationId"].as_str().unwrap_or_default())
    } else {
        serde_json::from_slice(&body).ok()
    };
    artifact.map(|artifact| (artifact, is_masked))
}

/// decisioning.md section 1: 8 bytes of prefix and version, a key of 32, the rest masked with both.
fn unmasked(body: &[u8], organization: &str) -> Option<Value> {
    let (head, masked) = body.split_at_checked(40)?;
    let mask = [organization.as_bytes(), &head[8..]].concat();
    let plain: Vec<u8> = masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    serde_json::from_slice(&plain).ok()
}

/// Whether the version of an artifact is one that we read.
pub fn is_supported(artifact: &Value) -> bool {
    artifact["version"].as_str().is_some_and(|version| version.split('.').next() == Some("1"))
}

/// Whether we accept it.
pub fn is_usable(artifact: &Value) -> bool {
    is_supported(artifact) && artifact["rules"].is_object()
}

/// Members that every JavaScript object has: the recorded client found them when it looked for an mbox's rules.
pub const OBJECT_MEMBERS: [&str; 12] = [
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
];

/// An artifact without what the recorded client failed on, and the keys of the rules that were taken out.
/// `operator` is the one that it did not know.
pub fn repaired(artifact: &Value, operator: Option<&str>) -> (Value, Vec<Value>) {
    let mut artifact = artifact.clone();
    let mut removed = Vec::new();
    if !artifact["meta"].is_object() {
        artifact["meta"] = json!({});
    }
    for kind in ["mboxes", "views"] {
        if !artifact["rules"].is_object() {
            artifact["rules"] = json!({});
        }
        let rules = &mut artifact["rules"][kind];
        if !rules.is_object() {
            *rules = json!({});
        }
        for list in rules.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let Some(rules) = list.as_array_mut() else {
                *list = json!([]);
                continue;
            };
            rules.retain(|rule| {
                let fits = is_well_formed(rule) && !operator.is_some_and(|name| uses(&rule["condition"], name));
                if !fits {
                    removed.push(rule["ruleKey"].clone());
                }
                fits
            });
        }
    }
    for (name, kind) in OBJECT_MEMBERS.iter().flat_map(|name| [(name, "mboxes"), (name, "views")]) {
        let rules = artifact["rules"][kind].as_object_mut().expect("made above");
        rules.entry(*name).or_insert_with(|| json!([]));
    }
    (artifact, removed)
}

fn is_well_formed(rule: &Value) -> bool {
    let consequence = &rule["consequence"];
    let is_list_of_objects = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_object));
    let is_fine = |option: &Value| option["type"] != "actions" || is_list_of_objects(&option["content"]);
    let lists_fit = ["options", "metrics"].iter().all(|key| consequence.get(*key).is_none_or(is_list_of_objects));
    let options_fit = consequence["options"].as_array().into_iter().flatten().all(is_fine);
    rule["meta"].is_object() && consequence.is_object() && lists_fit && options_fit
}

/// The artifact in which the rules whose conditions are like that match where they did not, and the other way
/// round. `matched` tells of a rule whether it did.
pub fn inverted(artifact: &Value, is_odd: impl Fn(&Value) -> bool, matched: impl Fn(&Value) -> bool) -> Option<Value> {
    let mut inverted = artifact.clone();
    let mut count = 0;
    for group in ["mboxes", "views"] {
        let lists = inverted["rules"].get_mut(group).and_then(Value::as_object_mut);
        for list in lists.into_iter().flat_map(Map::values_mut) {
            for rule in list.as_array_mut().into_iter().flatten().filter(|rule| is_odd(&rule["condition"])) {
                rule["condition"] = Value::from(!matched(rule));
                count += 1;
            }
        }
    }
    (count > 0).then_some(inverted)
}

/// Whether a condition reduces from an initial value that has to be evaluated first.
pub fn reduces_from_a_rule(condition: &Value) -> bool {
    match condition {
        Value::Object(members) => members.iter().any(|(name, operands)| {
            (name == "reduce" && operands[2].as_object().is_some_and(|rule| rule.len() == 1))
                || reduces_from_a_rule(operands)
        }),
        Value::Array(elements) => elements.iter().any(reduces_from_a_rule),
        _ => false,
    }
}

/// Whether a condition asks for what JavaScript's objects inherit.
pub fn asks_for_inherited(condition: &Value) -> bool {
    let is_inherited = |path: &str| path.split('.').any(|key| OBJECT_MEMBERS.contains(&key));
    match condition {
        Value::String(text) => is_inherited(text),
        Value::Object(members) => members.values().any(asks_for_inherited),
        Value::Array(elements) => elements.iter().any(asks_for_inherited),
        _ => false,
    }
}

/// Whether a condition has an operation of that name anywhere.
fn uses(condition: &Value, operator: &str) -> bool {
    match condition {
        Value::Object(members) => members.iter().any(|(name, operands)| name == operator || uses(operands, operator)),
        Value::Array(elements) => elements.iter().any(|element| uses(element, operator)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloads_are_read_in_both_forms() {
        assert_eq!(base64("aGVsbG8gd29ybGQ="), b"hello world");
        assert_eq!(base64("aGk="), b"hi");
        let mask = b"1@AdobeOrg0123456789abcdef0123456789abcdef";
        let plain = br#"{"version":"1.0.0","text":"long enough to need the mask a second time"}"#;
        let masked = plain.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let body: Vec<u8> = b"ATOD:0010123456789abcdef0123456789abcdef".iter().copied().chain(masked).collect();
        let read = unmasked(&body, "1@AdobeOrg").unwrap();
        assert_eq!(read["text"], "long enough to need the mask a second time");
        assert_eq!(unmasked(&body, "2@AdobeOrg"), None);
        assert_eq!(unmasked(b"ATOD:001", "1@AdobeOrg"), None);
    }

    #[test]
    fn what_the_recorded_client_fails_on_is_taken_out() {
        let rule = |key: &str| json!({"ruleKey": key, "meta": {}, "condition": true, "consequence": {"options": []}});
        let mut rules = vec![rule("good"), rule("meta"), rule("option"), rule("actions"), rule("operator")];
        rules[1]["meta"] = Value::Null;
        rules[2]["consequence"]["options"] = json!([null]);
        rules[3]["consequence"]["options"] = json!([{"type": "actions", "content": "text"}]);
        rules[4]["condition"] = json!({"and": [true, {"a.b": []}]});
        let (left, removed) = repaired(&json!({"rules": {"mboxes": {"m": rules}}}), Some("a.b"));
        assert_eq!(left["rules"]["mboxes"]["m"], json!([rule("good")]));
        assert_eq!(left["rules"]["views"]["v"], Value::Null);
        assert_eq!(removed, ["meta", "option", "actions", "operator"]);
    }
}
