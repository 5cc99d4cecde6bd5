//! requests.json: configuration and options in, HTTP requests out.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::bodies::{self, Call, Sent, without_nulls};
use crate::compare::{Bindings, Difference, compare, is_uuid_v4};
use crate::corpus::{self, Case};
use crate::library::{self, Failure, Setting};
use crate::mock::{Delivery, Mock, PLACE};
use crate::refusals::{self, Objection, same_field};
use crate::report::Verdict;
use crate::rules::{self, Rules};
use crate::visitor;

/// Notifications of one request.
const PART: usize = 50;

/// What is expected of a call.
enum Expectation {
    /// It succeeds with this visitor state (null: not recorded) and sends this.
    Sent(Box<Sent>, Value),
    /// It succeeds and sends at least these members; the recorded client failed.
    SentAtLeast(Value),
    /// It fails as recorded, or for one of these reasons.
    Refused(Option<String>, Vec<Objection>),
}

/// Runs a case.
pub fn run(case: &Case) -> Verdict {
    let input = match corpus::expressible(&case.input) {
        Ok(input) => input,
        Err(reason) => return Verdict::Skipped(reason),
    };
    let recorded = &input["config"];
    let calls = input["calls"].as_array().map_or(&[][..], Vec::as_slice);
    let mock = Mock::start();
    let now = input["now"].as_i64().unwrap_or_default();
    let setting = Setting { host: &mock.host(), now, through_proxy: true };
    let mut rules = Rules::new();
    let mut differences = Vec::new();

    let mut config = library::config(recorded, setting);
    if decides_on_device(recorded) {
        // There is no artifact.
        config["maximum_wait_ready"] = Value::from(1);
    }
    let created = library::create(&config);
    let client = match judge_creation(recorded, &case.expected, created, &mut rules, &mut differences) {
        Some(client) => client,
        None => return Verdict::of(differences, rules),
    };
    let mut bindings = Bindings::new(now);
    let mut refused_ids = BTreeSet::new();
    let mut learnt = Vec::new();
    let mut made = 0;
    for (at, call) in calls.iter().enumerate() {
        let args = call["args"].as_array().map_or(&[][..], Vec::as_slice);
        let method = call["method"].as_str().unwrap_or_default();
        let mut call = Call::new(method, args, recorded, now);
        call.learnt.clone_from(&learnt);
        let outcome = &case.expected["calls"][at];
        let was_sent = outcome["ok"] == true;
        let answer = input["responses"].get(made).filter(|_| was_sent).cloned();
        let answer = answer.unwrap_or_else(|| json!({"status": 200}));
        mock.answer(&answer);
        learnt.extend(call.hints());
        learnt.extend(answer["edgeHost"].as_str().and_then(visitor::first_of_four_labels));
        let request = was_sent.then(|| corpus::lossy(&case.expected["requests"][made]));
        made += usize::from(was_sent);

        let mut expectation = expect(&call, args, outcome, request, &mut refused_ids, &mut rules);
        if let Expectation::Sent(sent, _) = &mut expectation {
            sent.host = sent.host.replace(PLACE, &mock.host());
        }
        let is_sent = matches!(expectation, Expectation::Sent(..));
        let result = library::call(&client, method, args);
        let mut deliveries = mock.take();
        // What the client asks for itself is no call's.
        deliveries.retain(|delivery| !decides_on_device(recorded) || is_of_a_call(&delivery.body));
        let mut found = judge(expectation, result, deliveries, &mut bindings, &mut rules);
        if found.is_empty() && is_sent {
            found = judge_scheme(&case.expected["requests"][made - 1], &call, &mock, args);
        }
        differences.extend(found.into_iter().map(|difference| format!("call {at}: {difference}")));
    }
    Verdict::of(differences, rules)
}

fn decides_on_device(options: &Value) -> bool {
    matches!(options["decisioningMethod"].as_str(), Some("on-device" | "hybrid"))
}

fn is_of_a_call(body: &Value) -> bool {
    ["execute", "prefetch", "notifications"].iter().any(|key| body.get(key).is_some())
}

/// The client, if there is one and calls are to follow.
fn judge_creation(
    recorded: &Value,
    expected: &Value,
    created: Result<adobe_target::TargetClient, Failure>,
    rules: &mut Rules,
    differences: &mut Vec<String>,
) -> Option<adobe_target::TargetClient> {
    let mut message = expected["createError"].as_str().map(str::to_owned);
    let mut objections = refusals::of_config(recorded);
    if recorded["decisioningMethod"].is_null()
        && recorded.get("decisioningMethod").is_some()
        && message.take().is_some()
    {
        rules.insert(rules::NULL_IS_ABSENT);
    }
    if recorded.as_object().is_some_and(|config| config.is_empty()) {
        objections.push(Objection { rule: rules::EMPTY_OPTIONS, field: "client".to_owned() });
    }
    match created {
        Ok(client) if message.is_none() && objections.is_empty() => Some(client),
        Ok(_) => {
            differences.push(Difference::new("create", refusal(&message, &objections), "a client").to_string());
            None
        }
        Err(failure) => {
            differences.extend(judge_refusal(&message, &objections, &failure, rules).iter().map(|d| d.to_string()));
            None
        }
    }
}

fn expect(
    call: &Call,
    args: &[Value],
    outcome: &Value,
    request: Option<Value>,
    refused_ids: &mut BTreeSet<String>,
    rules: &mut Rules,
) -> Expectation {
    let message = outcome["error"].as_str().or(outcome["thrown"].as_str()).map(str::to_owned);
    let mut objections = refusals::of_call(&call.method, args);
    let is_empty = call.options.as_object().is_some_and(|options| options.is_empty());
    let given = args.get(usize::from(call.method == "getAttributes"));
    if call.method != "getAttributes" && is_empty && given.is_some_and(Value::is_object) {
        objections.push(Objection { rule: rules::EMPTY_OPTIONS, field: "request".to_owned() });
    }
    if call.method != "getAttributes" && call.request.as_object().is_some_and(|request| request.is_empty()) {
        objections.push(Objection { rule: rules::EMPTY_REQUEST, field: "request".to_owned() });
    }
    if !objections.is_empty() {
        refused_ids.extend(call.request["requestId"].as_str().map(str::to_owned));
        return Expectation::Refused(message, objections);
    }
    if let Some(message) = message {
        let at_least = Expectation::SentAtLeast(without_nulls(&call.request));
        let prefetched = |name: &String| {
            let list = call.request["prefetch"]["mboxes"].as_array();
            list.is_some_and(|list| list.iter().any(|mbox| mbox["name"] == **name))
        };
        return if message == "Invalid time value" {
            rules.insert(rules::KEPT);
            at_least
        } else if message.contains("URI malformed") {
            rules.insert(rules::MALFORMED_COOKIE);
            at_least
        } else if !call.names.is_empty() && call.names.iter().all(prefetched) {
            rules.insert(rules::ALL_PREFETCHED);
            at_least
        } else {
            Expectation::Refused(Some(message), objections)
        };
    }
    let request = request.unwrap_or_default();
    let origin = request["origin"].as_str().unwrap_or_default();
    let part = |key: &str| request[key].as_str().unwrap_or_default();
    let mut sent = Sent {
        line: format!("{} {}", part("method"), part("path")),
        host: origin.split_once("://").map_or(origin, |(_, host)| host).to_owned(),
        query: request["query"].clone(),
        header_id: request["headers"].get("x-request-id").cloned().unwrap_or_else(|| Value::from("<uuid:header>")),
        body: request["body"].clone(),
    };
    drop_telemetry_of(refused_ids, &mut sent.body);
    let mut visitor_state = outcome["visitorState"].clone();
    bodies::apply(call, &mut sent, &mut visitor_state, rules);
    Expectation::Sent(Box::new(sent), visitor_state)
}

/// A call that we refuse leaves no telemetry.
fn drop_telemetry_of(refused_ids: &BTreeSet<String>, body: &mut Value) {
    let Some(entries) = body.pointer_mut("/telemetry/entries").and_then(Value::as_array_mut) else { return };
    entries.retain(|entry| !entry["requestId"].as_str().is_some_and(|id| refused_ids.contains(id)));
    if entries.is_empty() {
        body.as_object_mut().map(|body| body.shift_remove("telemetry"));
    }
}

fn judge(
    expectation: Expectation,
    result: Result<Value, Failure>,
    deliveries: Vec<Delivery>,
    bindings: &mut Bindings,
    rules: &mut Rules,
) -> Vec<Difference> {
    let differs = |expected: String, got: String| vec![Difference::new("result", expected, got)];
    match (expectation, result) {
        (Expectation::Refused(message, objections), Err(failure)) => {
            let mut differences = judge_refusal(&message, &objections, &failure, rules);
            if !deliveries.is_empty() {
                differences.push(Difference::new("requests", "none", deliveries.len()));
            }
            differences
        }
        (Expectation::Refused(message, objections), Ok(_)) => {
            let bodies: Vec<String> = deliveries.iter().map(|delivery| delivery.body.to_string()).collect();
            differs(refusal(&message, &objections), format!("a success that sent {}", bodies.join(", ")))
        }
        (_, Err(failure)) => differs("a success".to_owned(), failure.to_string()),
        (Expectation::SentAtLeast(members), Ok(envelope)) => match joined(&deliveries, rules) {
            Ok(delivery) => {
                let mut differences = judge_delivery(&delivery, &envelope);
                let contained = contained(&members, &delivery.body);
                differences.extend(compare("body", &contained, &delivery.body, bindings));
                differences
            }
            Err(difference) => vec![difference],
        },
        (Expectation::Sent(sent, visitor_state), Ok(envelope)) => match joined(&deliveries, rules) {
            Ok(delivery) => {
                let mut differences = judge_delivery(&delivery, &envelope);
                let line = Value::from(format!("{} {}", delivery.method, delivery.path));
                differences.extend(compare("request", &Value::from(sent.line), &line, bindings));
                let host = Value::from(delivery.host.as_str());
                differences.extend(compare("host", &Value::from(sent.host), &host, bindings));
                differences.extend(compare("query", &sent.query, &delivery.query, bindings));
                let header = Value::from(delivery.header("x-request-id"));
                differences.extend(compare("x-request-id", &sent.header_id, &header, bindings));
                differences.extend(compare("body", &sent.body, &delivery.body, bindings));
                if !visitor_state.is_null() {
                    differences.extend(compare("visitor_state", &visitor_state, &envelope["visitor_state"], bindings));
                }
                differences
            }
            Err(difference) => vec![difference],
        },
    }
}

/// The requests of a call as one: more than one only where notifications make them.
fn joined(deliveries: &[Delivery], rules: &mut Rules) -> Result<Delivery, Difference> {
    let Some((first, rest)) = deliveries.split_first() else {
        return Err(Difference::new("requests", 1, "none"));
    };
    let mut whole = first.clone();
    let mut ids = BTreeSet::from([first.body["requestId"].to_string()]);
    for part in rest {
        let is_full =
            whole.body["notifications"].as_array().is_some_and(|list| !list.is_empty() && list.len() % PART == 0);
        let is_plain =
            ["execute", "prefetch", "telemetry", "impressionId"].iter().all(|key| part.body.get(key).is_none());
        let new_id = ids.insert(part.body["requestId"].to_string());
        let same = part.query == first.query && part.body["id"] == first.body["id"] && part.host == first.host;
        let (Some(list), Some(more)) =
            (whole.body.get_mut("notifications").and_then(Value::as_array_mut), part.body["notifications"].as_array())
        else {
            return Err(Difference::new("requests", 1, deliveries.len()));
        };
        if !(is_full && is_plain && new_id && same) {
            return Err(Difference::new("part", "50 notifications more with a requestId of its own", &part.body));
        }
        list.extend(more.iter().cloned());
        rules.insert(rules::PARTS);
    }
    Ok(whole)
}

/// What holds for every request.
fn judge_delivery(delivery: &Delivery, envelope: &Value) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut check = |path: &str, holds: bool, expected: &str, got: &str| {
        if !holds {
            differences.push(Difference::new(path, expected, got));
        }
    };
    let content_type = delivery.header("content-type");
    check("content-type", content_type.starts_with("application/json"), "application/json", content_type);
    for name in ["x-exc-sdk", "x-exc-sdk-version"] {
        check(name, !delivery.header(name).is_empty(), "our own", "nothing");
    }
    let id = delivery.header("x-request-id");
    check("x-request-id", is_uuid_v4(id), "a UUID v4", id);
    check(
        "request of the envelope",
        envelope["request"] == delivery.body,
        &delivery.body.to_string(),
        &envelope["request"].to_string(),
    );
    differences
}

fn refusal(message: &Option<String>, objections: &[Objection]) -> String {
    let fields: Vec<String> =
        objections.iter().map(|objection| format!("`{}` ({})", objection.field, objection.rule)).collect();
    match message {
        Some(message) if fields.is_empty() => format!("`{message}`"),
        _ => format!("a refusal that names one of {}", fields.join(", ")),
    }
}

/// A refusal is as recorded, or has one of the reasons and names its field.
pub fn judge_refusal(
    message: &Option<String>,
    objections: &[Objection],
    failure: &Failure,
    rules: &mut Rules,
) -> Vec<Difference> {
    let is_refusal = match failure.code.as_str() {
        "TARGET_ERR_INVALID_OPTIONS" | "TARGET_ERR_INVALID_JSON" => true,
        "TARGET_ERR_NOT_READY" => objections.is_empty(),
        _ => false,
    };
    if is_refusal && message.as_ref() == Some(&failure.message) {
        return Vec::new();
    }
    match objections.iter().find(|objection| same_field(&objection.field, &failure.field)) {
        Some(objection) if is_refusal => {
            rules.insert(objection.rule);
            Vec::new()
        }
        _ => vec![Difference::new("error", refusal(message, objections), failure)],
    }
}

/// `members`, completed with what else is there, so that comparing shows only what is missing or other.
fn contained(members: &Value, got: &Value) -> Value {
    match (members, got) {
        (Value::Object(members), Value::Object(got)) => {
            let mut all = got.clone();
            for (key, member) in members {
                let value = contained(member, got.get(key).unwrap_or(&Value::Null));
                all.insert(key.clone(), value);
            }
            Value::Object(all)
        }
        (Value::Array(members), Value::Array(got)) if members.len() == got.len() => {
            Value::Array(members.iter().zip(got).map(|(member, got)| contained(member, got)).collect())
        }
        (member, _) => member.clone(),
    }
}

/// Where recorded requests go by TLS, so do ours.
fn judge_scheme(request: &Value, call: &Call, mock: &Mock, args: &[Value]) -> Vec<Difference> {
    let origin = request["origin"].as_str().unwrap_or_default();
    if !origin.starts_with("https://") {
        return Vec::new();
    }
    let destination = library::destination(&call.config, mock, &call.method, args);
    if destination.ends_with(":443") { Vec::new() } else { vec![Difference::new("scheme", "port 443", destination)] }
}
