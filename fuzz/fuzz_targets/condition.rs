#![no_main]
//! A JSON Logic rule in the first line, data in the rest: evaluated on its own, inside of other operators, and as the
//! condition of a rule whose context is that of a request.

use std::sync::OnceLock;

use adobe_target::unversioned::{condition_matches, json_logic, replace_artifact};
use adobe_target::{ArtifactFormat, TargetClient};
use adobe_target_fuzz::{client, is_chosen, parsed, text};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

fuzz_target!(|data: &[u8]| {
    let text = text(data);
    let (rule, data) = text.split_once('\n').map_or((text, None), |(rule, data)| (rule, Some(data)));
    let Ok(value) = json_logic(rule, data) else {
        // It fails for both, unless they differ in how much they do: a condition need not make its value.
        let _ = condition_matches(rule, data);
        return;
    };
    assert_eq!(json_logic(rule, data).as_ref(), Ok(&value), "twice: {text}");
    // Data may look like the spelling of what JSON has no word for.
    let is_told_apart = !text.contains("$js") && !text.contains("\\u");
    if is_told_apart {
        assert_eq!(condition_matches(rule, data), Ok(is_true(&value)), "{value}: {text}");
        inside_of_others(rule, data, &value);
    }
    if is_chosen(rule) {
        // Many of them in one, and one that makes much.
        let many = vec![rule; 65_536 / rule.len()].join(",");
        let _ = json_logic(&format!("{{\"cat\":[{many}]}}"), data);
        let _ = json_logic(&format!("{{\"map\":[[{many}],{{\"merge\":[{{\"var\":\"\"}},{rule}]}}]}}"), data);
    }
    if let Ok(condition) = serde_json::from_str::<Value>(rule) {
        in_an_artifact(rule, &condition, data);
    }
});

/// As JavaScript's `if` takes it.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) => true,
        Value::Object(object) => match object.get("$js").and_then(Value::as_str) {
            Some(word) => !matches!(word, "undefined" | "NaN" | "-0"),
            None => true,
        },
    }
}

/// Operators that hand their argument on do not change it; each takes another way through compiler and evaluation.
fn inside_of_others(rule: &str, data: Option<&str>, value: &Value) {
    // Here an empty list is no truth.
    let counts = is_true(value) && *value != json!([]);
    let (one, other) = if counts { (json!(1), json!(2)) } else { (json!(2), json!(1)) };
    for (text, expected) in [
        (format!("{{\"or\":[{rule},{rule}]}}"), value),
        (format!("{{\"and\":[{rule},{rule}]}}"), value),
        (format!("{{\"if\":[true,{rule}]}}"), value),
        (format!("{{\"if\":[false,1,[],2,{rule}]}}"), value),
        (format!("{{\"if\":[{rule},1,2]}}"), &one),
        (format!("{{\"if\":[{{\"!\":[{rule}]}},1,2]}}"), &other),
        (format!("{{\"?:\":[{{\"!!\":[{rule}]}},1,2]}}"), &one),
    ] {
        // It may be too deep now, or too much work.
        if let Ok(found) = json_logic(&text, data) {
            assert_eq!(&as_f64(found), &as_f64(expected.clone()), "{text}\n{}", data.unwrap_or_default());
        }
    }
}

/// Numbers are doubles, however they are written.
fn as_f64(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        other => other,
    }
}

/// A rule sees the context through slots that were found when it was compiled. What a trace shows of the context, taken
/// as plain data, has to give the same.
fn in_an_artifact(rule: &str, condition: &Value, data: Option<&str>) {
    static DECIDER: OnceLock<TargetClient> = OnceLock::new();
    let decider = DECIDER.get_or_init(|| client(&artifact("true"), json!({})));
    if condition_matches(rule, Some("{}")).is_err_and(|reason| reason.contains("nested deeper")) {
        return;
    }
    if let Err(reason) = replace_artifact(decider, artifact(rule).into_bytes(), ArtifactFormat::Json) {
        panic!("an artifact with this condition is refused, {reason}: {condition}");
    }
    let parameters = match data.map(serde_json::from_str::<Map<String, Value>>) {
        Some(Ok(data)) => data,
        _ => Map::new(),
    };
    let parameters: Map<String, Value> = parameters.into_iter().filter(|(_, value)| value.is_string()).collect();
    let mut mbox = json!({"name": "m"});
    if !parameters.is_empty() {
        mbox["parameters"] = Value::Object(parameters);
    }
    let options = json!({"session_id": "s", "request": {
        "requestId": "r",
        "id": {"thirdPartyId": "visitor"},
        "trace": {"authorizationToken": "t"},
        "context": {
            "channel": "web",
            "address": {"url": "https://Shop.acme.co.uk/Cart?a=B#Top"},
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36",
            "geo": {"countryCode": "DE", "latitude": 50.1},
        },
        "prefetch": {"mboxes": [mbox]},
    }});
    let Ok(result) = decider.get_offers_json(&options.to_string()) else { return };
    let result = parsed(&result);
    let mbox = &result["response"]["prefetch"]["mboxes"][0];
    let context = &mbox["trace"]["evaluatedCampaignTargets"][0]["context"];
    if !context.is_object() {
        // The rule was left out: too large a number, too deep.
        return;
    }
    match condition_matches(rule, Some(&context.to_string())) {
        Ok(matches) => {
            let has_offer = mbox["options"][0]["content"] == "shown";
            assert_eq!(has_offer, matches, "{rule} of {context}");
        }
        Err(_) => assert!(mbox["options"].is_null(), "{rule} of {context}"),
    }
}

fn artifact(condition: &str) -> String {
    format!(
        r#"{{"version":"1.0.0","localMboxes":["m"],"rules":{{"mboxes":{{"m":[{{"ruleKey":"k","activityId":7,"meta":{{}},
        "condition":{condition},"consequence":{{"options":[{{"type":"html","content":"shown"}}],"metrics":[]}}}}]}}}}}}"#
    )
}
