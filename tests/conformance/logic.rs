//! jsonlogic.json: rules and their values, by the door that the library keeps for its own tests.

use adobe_target::unversioned::json_logic;
use serde_json::Value;

use crate::artifacts::OBJECT_MEMBERS;
use crate::compare::{Bindings, Difference, compare};
use crate::corpus::{self, Case};
use crate::library;
use crate::report::Verdict;
use crate::rules::{self, Rules};

/// What precedes the value in the line that `log` writes.
const LOG: &str = "a condition's log: ";

/// Runs a case.
pub fn run(case: &Case) -> Verdict {
    if let Some(word) = unwritable(&case.input) {
        return Verdict::Skipped(format!("{word} cannot be written in JSON"));
    }
    let rule = &case.input["rule"];
    let data = case.input.get("data");
    let (result, logged) = evaluate(rule, data);
    let mut rules = Rules::new();
    let mut differences = match deviation(rule, data) {
        Some((deviation, expected)) => {
            rules.insert(deviation);
            judge(&expected, &result)
        }
        None => judge(&outcome(&case.expected), &result),
    };
    let expected: Vec<String> = case.expected["logged"].as_array().into_iter().flatten().map(shown).collect();
    if rules.is_empty() && expected != logged {
        differences.push(Difference::new("logged", format!("{expected:?}"), format!("{logged:?}")).to_string());
    }
    Verdict::of(differences, rules)
}

/// A value that the input has and JSON has not. Minus zero has a spelling, and so have halves of surrogate pairs.
fn unwritable(value: &Value) -> Option<&str> {
    match value {
        Value::Object(members) => match members.get("$js").and_then(Value::as_str) {
            Some("-0") => None,
            Some(word) => Some(word),
            None => members.values().find_map(unwritable),
        },
        Value::Array(elements) => elements.iter().find_map(unwritable),
        _ => None,
    }
}

/// The result of a rule and what it logged.
fn evaluate(rule: &Value, data: Option<&Value>) -> (Result<Value, String>, Vec<String>) {
    let data = data.map(corpus::to_text);
    let (result, lines) = library::logged(|| json_logic(&corpus::to_text(rule), data.as_deref()));
    // Other lines than a condition's have another beginning.
    (result, lines.iter().filter_map(|line| line.strip_prefix(LOG)).map(str::to_owned).collect())
}

/// A recorded value as the line shows it.
fn shown(value: &Value) -> String {
    if corpus::is_undefined(value) { "undefined".to_owned() } else { value.to_string() }
}

/// The recorded value, or what the recorded error names.
fn outcome(expected: &Value) -> Result<Value, &str> {
    match expected["error"].as_str() {
        // The thrown text besides the operator's name is V8's.
        Some(error) => Err(error
            .split_once("Unrecognized operation ")
            .map_or("", |(_, name)| name.split_once(" (failed at").map_or(name, |(name, _)| name))),
        None => Ok(expected["value"].clone()),
    }
}

fn judge(expected: &Result<Value, &str>, got: &Result<Value, String>) -> Vec<String> {
    match (expected, got) {
        (Ok(expected), Ok(got)) => {
            let differences = compare("value", expected, got, &mut Bindings::new(0));
            differences.iter().map(Difference::to_string).collect()
        }
        (Err(name), Err(error)) if error.contains(name) => Vec::new(),
        _ => vec![Difference::new("result", format!("{expected:?}"), format!("{got:?}")).to_string()],
    }
}

/// Where we differ on purpose, and what we answer there.
fn deviation(rule: &Value, data: Option<&Value>) -> Option<(&'static str, Result<Value, &'static str>)> {
    if let Some(path) = inherited_path(rule, data) {
        let default = rule["var"].get(1).cloned().unwrap_or_default();
        // `missing` lists what is not there.
        let value = if rule.get("missing").is_some() { Value::from(vec![path]) } else { default };
        return Some((rules::INHERITED, Ok(value)));
    }
    let initial = rule.get("reduce")?.get(2).filter(|initial| initial.is_object())?;
    let (Ok(initial), _) = evaluate(initial, data) else { return None };
    let mut evaluated = rule.clone();
    evaluated["reduce"][2] = initial;
    let (result, _) = evaluate(&evaluated, data);
    Some((rules::REDUCE, result.map_err(|_| "")))
}

/// The path of a rule that is only `var` or `missing` of it, if it names what JavaScript's objects inherit.
fn inherited_path(rule: &Value, data: Option<&Value>) -> Option<String> {
    let argument = rule.get("var").or_else(|| rule.get("missing"))?;
    let path = argument.as_str().or_else(|| argument.get(0)?.as_str())?;
    let mut place = data?;
    for key in path.split('.') {
        match place.get(key).or_else(|| place.get(key.parse::<usize>().ok()?)) {
            Some(member) => place = member,
            None => return OBJECT_MEMBERS.contains(&key).then(|| path.to_owned()),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn verdict(rule: Value, data: Value, expected: Value) -> Verdict {
        let input = json!({"rule": rule, "data": data});
        run(&Case {
            name: "small".into(),
            area: "log".into(),
            input,
            expected,
            quirk: String::new(),
            recorded: json!({}),
        })
    }

    #[test]
    fn an_altered_expectation_fails() {
        let rule = json!({"log": [{"-": [0, {"var": "a"}]}]});
        let expected = json!({"value": -5, "logged": [-5]});
        assert_eq!(verdict(rule.clone(), json!({"a": 5}), expected), Verdict::Passed);
        for altered in [
            json!({"value": 5, "logged": [-5]}),
            json!({"value": -5, "logged": [5]}),
            json!({"value": -5}),
            json!({"value": {"$js": "NaN"}, "logged": [-5]}),
            json!({"error": "Error: Unrecognized operation log"}),
        ] {
            assert!(matches!(verdict(rule.clone(), json!({"a": 5}), altered), Verdict::Failed(_)));
        }
        let minus_zero = json!({"value": {"$js": "-0"}});
        assert_eq!(verdict(json!({"-": [{"var": "a"}]}), json!({"a": 0}), minus_zero), Verdict::Passed);
        let unknown = json!({"error": "Error: Unrecognized operation a.b (failed at a)"});
        assert_eq!(verdict(json!({"a.b": []}), json!(null), unknown.clone()), Verdict::Passed);
        assert!(matches!(verdict(json!({"b": []}), json!(null), unknown), Verdict::Failed(_)));
    }

    #[test]
    fn deviations_are_asserted() {
        let inherited = verdict(json!({"var": ["a.toString", 7]}), json!({"a": "x"}), json!({"value": null}));
        assert_eq!(inherited, Verdict::Deviation(Rules::from([rules::INHERITED])));
        let own = verdict(json!({"var": "toString"}), json!({"toString": 1}), json!({"value": 1}));
        assert_eq!(own, Verdict::Passed);
        let body = json!({"var": "accumulator"});
        let reduce = verdict(json!({"reduce": [[1], body, {"+": [1, 1]}]}), json!(null), json!({"value": null}));
        assert_eq!(reduce, Verdict::Deviation(Rules::from([rules::REDUCE])));
    }
}
