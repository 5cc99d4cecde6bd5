//! The local edge as a judge: each constraint of the API's specification, read from its YAML and broken one at a time,
//! is answered with 400 that names the place; what just keeps to it is accepted.
//!
//! The specification is in the folder that `ADOBE_TARGET_OPENAPI` names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use adobe_target::local_edge::LocalEdge;
use serde_json::{Map, Value, json};

use crate::{Client, yaml};

/// Where the edge takes what the schemas do not: the place, lists without their numbers, the rule, and why.
const LAXER: &[(&str, &str, &str)] =
    &[("*.parameters", "values of another type", NUMBERS), ("*.profileParameters", "values of another type", NUMBERS)];
const NUMBERS: &str = "the established clients send numbers and booleans as they are, and Target takes their text";

/// A member that a schema requires and does not have, and the one that is meant.
const MISNAMED: [(&str, &str); 1] = [("mbox", "name")];

/// Texts that are not just any text, by the end of their place.
const SAMPLES: [(&str, &str); 3] = [
    ("supplementalDataId", "0123456789ABCDEF-0123456789abcdef"),
    ("ipAddress", "192.0.2.1"),
    ("order.time", "2026-11-27T12:00:00+01:00"),
];

/// The folder of the specification; `None`, told loudly, where it is not there.
pub fn folder() -> Option<PathBuf> {
    let root = std::env::var_os("ADOBE_TARGET_OPENAPI")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/openapi"), PathBuf::from);
    if root.join("delivery/api.yaml").is_file() {
        return Some(root);
    }
    let _ = writeln!(
        std::io::stderr(),
        "\n*** SKIPPED: no specification of the API at {}; set ADOBE_TARGET_OPENAPI to its folder ***\n",
        root.display()
    );
    None
}

/// All schemas by their name.
type Components = BTreeMap<String, Value>;

fn components(root: &Path) -> Components {
    let mut components = Components::new();
    for part in ["delivery/components", "common/components"] {
        for entry in fs::read_dir(root.join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let Value::Object(file) = yaml::read(&fs::read_to_string(&path).unwrap()) else { panic!("{path:?}") };
            let schemas = match file.get("components") {
                Some(inner) => inner["schemas"].as_object().unwrap().clone(),
                None => file,
            };
            components.extend(schemas.into_iter().filter(|(name, _)| name != "openapi"));
        }
    }
    components
}

/// A schema without references and parents: they are written out in it.
fn expanded(schema: &Value, components: &Components) -> Value {
    let mut whole = Map::new();
    let reference = schema.get("$ref").map(|reference| {
        let (_, name) = reference.as_str().unwrap().rsplit_once('/').unwrap();
        components.get(name).unwrap_or_else(|| panic!("no schema {name}"))
    });
    let parents = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
    for parent in reference.into_iter().chain(parents) {
        let Value::Object(parent) = expanded(parent, components) else { unreachable!() };
        for (key, value) in parent {
            match (whole.get_mut(&key), value) {
                (Some(Value::Object(known)), Value::Object(more)) => known.extend(more),
                (Some(Value::Array(known)), Value::Array(more)) => known.extend(more),
                (_, value) => drop(whole.insert(key, value)),
            }
        }
    }
    for (key, value) in schema.as_object().unwrap() {
        match &**key {
            "$ref" | "allOf" | "description" => {}
            "properties" => {
                let members = whole.entry("properties").or_insert_with(|| json!({})).as_object_mut().unwrap();
                for (name, member) in value.as_object().unwrap() {
                    members.insert(name.clone(), expanded(member, components));
                }
            }
            "items" | "additionalProperties" => drop(whole.insert(key.clone(), expanded(value, components))),
            _ => drop(whole.insert(key.clone(), value.clone())),
        }
    }
    Value::Object(whole)
}

/// The smallest value that a schema allows.
fn smallest(schema: &Value, place: &str) -> Value {
    let length = schema["minLength"].as_u64().unwrap_or(1) as usize;
    match schema["type"].as_str().unwrap_or("object") {
        "string" => match (&schema["enum"][0], SAMPLES.iter().find(|(end, _)| place.ends_with(end))) {
            (Value::Null, None) => json!("x".repeat(length)),
            (Value::Null, Some((_, sample))) => json!(sample),
            (first, _) => first.clone(),
        },
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "boolean" => json!(true),
        "array" => json!([smallest(&schema["items"], &format!("{place}[0]"))]),
        "object" => {
            let members = required(schema).into_iter().map(|name| {
                let value = smallest(&schema["properties"][&name], &format!("{place}.{name}"));
                (name, value)
            });
            Value::Object(members.collect())
        }
        other => panic!("type {other} at {place}"),
    }
}

fn required(schema: &Value) -> Vec<String> {
    let names = schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap());
    let meant = names.map(|name| {
        if schema["properties"].get(name).is_some() {
            return name;
        }
        MISNAMED
            .iter()
            .find(|(wrong, _)| *wrong == name)
            .unwrap_or_else(|| panic!("{name} is required, and no member"))
            .1
    });
    meant.map(str::to_owned).collect()
}

/// A request that keeps to the specification, or breaks one rule of it in one place.
struct Case {
    place: String,
    rule: &'static str,
    is_valid: bool,
    body: Value,
}

/// Walks through a schema and gathers the cases of each place. `with` makes the body around a place's value.
fn gather(schema: &Value, place: &str, with: &dyn Fn(Value) -> Value, cases: &mut Vec<Case>) {
    let mut case =
        |rule, is_valid, value| cases.push(Case { place: place.to_owned(), rule, is_valid, body: with(value) });
    let number_of = |rule: &str| schema.get(rule).map(|number| number.as_i64().unwrap());
    let kind = schema["type"].as_str().unwrap_or("object");
    case("the smallest", true, smallest(schema, place));
    for other in [json!("text"), json!(7), json!(1.5), json!(true), json!([]), json!({})] {
        let fits = match (kind, &other) {
            // Texts of other rules are below.
            ("string", Value::String(_)) | ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => true,
            ("integer", Value::Number(number)) => number.is_i64(),
            ("array", Value::Array(_)) | ("object", Value::Object(_)) => true,
            _ => false,
        };
        if !fits {
            case("type", false, other);
        }
    }
    if let Some(names) = schema["enum"].as_array() {
        names.iter().for_each(|name| case("enum", true, name.clone()));
        case("enum", false, json!("other"));
        case("enum", false, json!(names[0].as_str().unwrap().to_uppercase()));
    }
    let is_free = kind == "string" && !SAMPLES.iter().any(|(end, _)| place.ends_with(end));
    for (rule, beyond) in [("maxLength", 1), ("minLength", -1)] {
        let Some(limit) = number_of(rule) else { continue };
        // Characters count, not bytes.
        let text = |length: i64| json!("\u{e4}".repeat(length as usize));
        if is_free {
            case(rule, true, text(limit));
        }
        case(rule, false, text(limit + beyond));
    }
    for (rule, beyond) in [("minimum", -1), ("maximum", 1)] {
        let Some(limit) = number_of(rule) else { continue };
        case(rule, true, json!(limit));
        case(rule, false, json!(limit + beyond));
    }
    match schema["format"].as_str() {
        Some("int32") => case("format", false, json!(1_u64 << 31)),
        Some("int64") => case("format", false, json!(1_u64 << 63)),
        Some("date-time") => case("format", false, json!("2026-11-27")),
        Some("double" | "float") | None => {}
        Some(other) => panic!("format {other} at {place}"),
    }
    if schema.get("pattern").is_some() {
        assert!(place.ends_with("ipAddress"), "no sample for the pattern at {place}");
        for address in [" 192.0.2.1 ", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0"] {
            case("pattern", true, json!(address));
        }
        for text in ["", "192.0.2", "192.0.2.256", "192.0.2.01", "2001:db8:::1", "192.0.2.1%eth0", "home.example"] {
            case("pattern", false, json!(text));
        }
    }
    if let Some(limit) = number_of("maxProperties") {
        let many = |count: i64| (0..count).map(|number| (number.to_string(), json!("x"))).collect();
        case("maxProperties", true, Value::Object(many(limit)));
        case("maxProperties", false, Value::Object(many(limit + 1)));
    }
    if let Some(limit) = number_of("maxItems") {
        let many = |count: i64| (0..count).map(|_| smallest(&schema["items"], place)).collect();
        case("maxItems", true, Value::Array(many(limit)));
        case("maxItems", false, Value::Array(many(limit + 1)));
    }
    if let Some(values) = schema.get("additionalProperties") {
        assert_eq!(values["type"], "string", "{place}");
        case("values", true, json!({"x": "text"}));
        for other in [json!(7), json!(true)] {
            case("values of another type", false, json!({"x": other}));
        }
        case("values", false, json!({"x": {}}));
        case("values", false, json!({"x": []}));
    }
    if kind == "array" {
        case("elements", false, json!([null]));
        let item = |value: Value| with(json!([value]));
        gather(&schema["items"], &format!("{place}[0]"), &item, cases);
    }
    let around = smallest(schema, place);
    for name in required(schema) {
        let place = format!("{place}.{name}");
        for missing in [None, Some(Value::Null)] {
            let mut members = around.clone();
            members.as_object_mut().unwrap().remove(&name);
            missing.into_iter().for_each(|null| members[&name] = null);
            cases.push(Case { place: place.clone(), rule: "required", is_valid: false, body: with(members) });
        }
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
        let beside = |value: Value| {
            let mut members = around.clone();
            members[name] = value;
            with(members)
        };
        gather(member, &place, &beside, cases);
    }
}

/// Why the edge may take a case that breaks a rule.
fn excuse(case: &Case) -> Option<&'static (&'static str, &'static str, &'static str)> {
    LAXER.iter().find(|(place, rule, _)| {
        let end = place.strip_prefix('*').expect("all of these are anywhere");
        *rule == case.rule && case.place.ends_with(end)
    })
}

#[test]
fn each_rule_of_the_specification_is_enforced() {
    let Some(root) = folder() else { return };
    let components = components(&root);
    let mut cases = Vec::new();
    gather(&expanded(&components["DeliveryRequest"], &components), "", &|body| body, &mut cases);
    let rules: BTreeSet<&str> = cases.iter().filter(|case| !case.is_valid).map(|case| case.rule).collect();
    let edge = LocalEdge::builder().accept_any_token(true).start().unwrap();
    let mut client = Client::of(&edge);

    let mut wrong = Vec::new();
    let mut excused = BTreeSet::new();
    for case in &cases {
        let Case { place, rule, is_valid, body } = case;
        let answer = client.deliver(body).unwrap();
        let verdict = match answer.status {
            // A beacon.
            200 | 204 if *is_valid => continue,
            200 | 204 if excuse(case).is_some() => {
                excused.insert(excuse(case).unwrap().1);
                continue;
            }
            200 | 204 => "accepted".to_owned(),
            400 if !is_valid && answer.message().starts_with(place.trim_start_matches('.')) => continue,
            status => format!("{status} {}", answer.message()),
        };
        let mut shown = body.to_string();
        shown.truncate(shown.floor_char_boundary(200));
        wrong.push(format!("{rule} of {place}: {verdict}: {shown}"));
    }

    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    for (_, rule, why) in LAXER {
        assert!(excused.contains(rule), "nothing needs the exception for {rule}: {why}");
    }
    // The reader has seen what it is there for.
    for rule in
        ["type", "enum", "maxLength", "minLength", "minimum", "maximum", "maxItems", "maxProperties", "required"]
    {
        assert!(rules.contains(rule), "no {rule} among {rules:?}");
    }
    assert!(cases.len() > 1000, "{} cases", cases.len());
}

/// Every value of a request that stands as an example in the specification: in a file of its own, or within api.yaml.
fn examples(root: &Path) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("delivery/examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("response") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((name, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"))));
        }
    }
    let api = yaml::read(&fs::read_to_string(root.join("delivery/api.yaml")).unwrap());
    let body = &api["paths"]["/rest/v1/delivery"]["post"]["requestBody"]["content"]["application/json"];
    for (name, example) in body["examples"].as_object().unwrap() {
        found.push((name.clone(), example["value"].clone()));
    }
    found
}

/// Examples that do not keep to their own schema, and with what they are refused.
const WRONG_EXAMPLES: [(&str, &str); 1] = [("1_1_PrefetchViewsForWebChannel", "prefetch.mboxes must be a list")];

#[test]
fn the_examples_of_requests_are_judged() {
    let Some(root) = folder() else { return };
    let examples = examples(&root);
    assert!(examples.len() >= 2);
    let edge = LocalEdge::builder().accept_any_token(true).start().unwrap();
    let mut client = Client::of(&edge);
    for (name, example) in &examples {
        let answer = client.deliver(example).unwrap();
        match WRONG_EXAMPLES.iter().find(|(wrong, _)| wrong == name) {
            Some((_, message)) => assert_eq!((answer.status, &*answer.message()), (400, *message), "{name}"),
            None => assert_eq!(answer.status, 200, "{name}: {answer:?}"),
        }
    }
    for (name, _) in WRONG_EXAMPLES {
        assert!(examples.iter().any(|(example, _)| example == name), "{name} is not there any more");
    }
}

/// The parameters of the query are in api.yaml alone.
#[test]
fn what_the_query_must_have_is_missed() {
    let Some(root) = folder() else { return };
    let api = yaml::read(&fs::read_to_string(root.join("delivery/api.yaml")).unwrap());
    let parameters = api["paths"]["/rest/v1/delivery"]["post"]["parameters"].as_array().unwrap();
    let edge = LocalEdge::start().unwrap();
    let mut client = Client::of(&edge);
    for left_out in parameters {
        let others = parameters.iter().filter(|parameter| parameter["name"] != left_out["name"]);
        let query: Vec<String> = others.map(|parameter| format!("{}=x", parameter["name"].as_str().unwrap())).collect();
        let target = format!("/rest/v1/delivery?{}", query.join("&"));
        let answer = client.post(&target, &json!({"context": {"channel": "web"}})).unwrap();
        let expected = if left_out["required"] == true { 400 } else { 200 };
        assert_eq!(answer.status, expected, "without {}: {answer:?}", left_out["name"]);
    }
}
