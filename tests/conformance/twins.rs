//! Cases played twice: what a rule says of an odd case is what comes of an even one. Values that are random in
//! each run count as equal.

use serde_json::{Value, json};

use crate::compare::{Bindings, Difference, compare, is_supplemental_data_id, is_uuid_v4};
use crate::hosts::Request;
use crate::play::{Played, play};

/// How an odd case has to come out: like that input with that artifact.
pub struct Twin {
    pub rule: &'static str,
    pub input: Value,
    pub artifact: Option<Value>,
    /// What the odd case calls other than its twin does.
    pub renamed: Option<(&'static str, &'static str)>,
    pub same_impressions: bool,
}

impl Twin {
    /// All places where the odd case came out otherwise.
    pub fn differences(&self, ours: &Played) -> Vec<Difference> {
        let twin = play(&self.input, self.artifact.as_ref(), false);
        if twin.results.is_empty() || twin.results.iter().any(Result::is_err) {
            return vec![Difference::new("twin", "answers", format!("{:?}", twin.results))];
        }
        differences(&twin, ours, self.renamed, self.same_impressions)
    }
}

fn differences(twin: &Played, ours: &Played, renamed: Option<(&str, &str)>, same_impressions: bool) -> Vec<Difference> {
    let (theirs, own) = renamed.unwrap_or_default();
    let rename = |value: Value| match renamed {
        Some(_) => {
            serde_json::from_str(&value.to_string().replace(theirs, own)).expect("a name in the place of another")
        }
        None => value,
    };
    let mut bindings = Bindings::new(0);
    let mut differences = Vec::new();
    let mut hold = |path: String, twin: Value, ours: Value| {
        differences.extend(compare(&format!("as its twin: {path}"), &twin, &ours, &mut bindings));
    };
    for at in 0..twin.results.len().max(ours.results.len()) {
        hold(format!("result {at}"), result(twin, at), rename(result(ours, at)));
    }
    if same_impressions {
        hold("impressions".to_owned(), requests(&twin.impressions), rename(requests(&ours.impressions)));
    }
    differences
}

fn result(played: &Played, at: usize) -> Value {
    match played.results.get(at) {
        None => Value::Null,
        Some(Err(failure)) => Value::from(failure.to_string()),
        Some(Ok(envelope)) => {
            let mut envelope = canonical(envelope);
            // What differs by the way in which the cases differ.
            for key in ["request", "visitor_state"] {
                envelope.as_object_mut().map(|members| members.shift_remove(key));
            }
            envelope
        }
    }
}

fn requests(list: &[Request]) -> Value {
    let shown =
        |request: &Request| canonical(&json!({"host": request.host, "query": request.query, "body": request.body}));
    list.iter().map(shown).collect()
}

/// The value with one text in the place of each random id.
pub fn canonical(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(without_ids(text)),
        Value::Array(elements) => elements.iter().map(canonical).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(key, member)| (key.clone(), canonical(member))).collect())
        }
        plain => plain.clone(),
    }
}

fn without_ids(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = [36, 33, 32].into_iter().find(|length| {
            let is_id = |head: &str| if *length == 33 { is_supplemental_data_id(head) } else { is_uuid_v4(head) };
            rest.get(..*length).is_some_and(is_id)
        });
        match length {
            Some(length) => {
                out.push_str("(random)");
                rest = &rest[length..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_count_as_equal_and_nothing_else_does() {
        let one = json!({"id": "0f47ac10-58cc-4372-a567-0e02b2c3d479.35_0", "s": "0123456789ABCDEF-0123456789ABCDEF"});
        let other =
            json!({"id": "1f47ac10-58cc-4372-a567-0e02b2c3d479.35_0", "s": "1123456789ABCDEF-0123456789ABCDEF"});
        assert_eq!(canonical(&one), canonical(&other));
        assert_eq!(canonical(&json!("é <1f47ac10> visitor-a")), json!("é <1f47ac10> visitor-a"));
        assert_ne!(canonical(&json!("0f47ac10-58cc-4372-a567-0e02b2c3d479.35_0")), canonical(&json!("x.35_0")));
    }
}
