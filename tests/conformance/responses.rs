//! responses.json: what the edge answers in, envelopes, errors and attributes out.

use adobe_target::delivery::model::DeliveryRequest;
use adobe_target::{CallOptions, TargetClient};
use serde_json::{Map, Value, json};

use crate::bodies::{Call, text};
use crate::compare::{Bindings, Difference, compare};
use crate::corpus::{self, Case};
use crate::library::{self, Failure, Setting};
use crate::mock::{Mock, PLACE};
use crate::refusals;
use crate::report::Verdict;
use crate::requests::judge_refusal;
use crate::rules::{self, Rules};
use crate::visitor;

/// Attempts of one request at the most, the default.
const MAX_ATTEMPTS: usize = 3;
const DEFAULT_TIMEOUT: u64 = 3000;

/// How a call ends by notifications.md section 2.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End<'m> {
    Answer(&'m Value),
    Broken,
    Deadline,
}

/// Runs a case.
pub fn run(case: &Case) -> Verdict {
    let input = match corpus::expressible(&case.input) {
        Ok(input) => input,
        Err(reason) => return Verdict::Skipped(reason),
    };
    let config = &input["config"];
    let method = input["call"]["method"].as_str().unwrap_or_default();
    let args = input["call"]["args"].as_array().map_or(&[][..], Vec::as_slice);
    let mocks = input["mocks"].as_array().map_or(&[][..], Vec::as_slice);
    let now = input["now"].as_i64().unwrap_or_default();
    let mock = Mock::start();
    mock.script(mocks);
    let setting = Setting { host: &mock.host(), now, through_proxy: config["serverDomain"] != PLACE };
    let mut rules = Rules::new();

    let refused = refusals::of_config(config);
    let client = match library::create(&library::config(config, setting)) {
        Ok(client) if refused.is_empty() => client,
        Ok(_) => return Verdict::Failed(vec![format!("a client in spite of {refused:?}")]),
        Err(failure) => {
            return Verdict::of(lines(&judge_refusal(&None, &refused, &failure, &mut rules)), rules);
        }
    };
    let call = Call::new(method, args, config, now);
    let result = library::call(&client, method, args);
    let attempts = mock.take().len();

    let objections = refusals::of_call(method, args);
    if !objections.is_empty() {
        let mut differences = match &result {
            Err(failure) => judge_refusal(&None, &objections, failure, &mut rules),
            Ok(_) => vec![Difference::new("result", "a refusal", "a success")],
        };
        if attempts > 0 {
            differences.push(Difference::new("attempts", 0, attempts));
        }
        return Verdict::of(lines(&differences), rules);
    }
    let timeout = config["timeout"].as_u64().filter(|timeout| *timeout > 0).unwrap_or(DEFAULT_TIMEOUT);
    let (ours, end) = simulate(mocks, timeout, &call);
    let recorded = case.expected.get("attempts").or(case.expected.get("attemptsEventually")).and_then(Value::as_u64);
    let mut differences = Vec::new();
    let fails = |mock: &Value| mock["destroy"] == true || !matches!(mock["status"].as_u64(), Some(200..300) | None);
    if recorded.is_some_and(|recorded| recorded != ours as u64) {
        if end == End::Deadline || mocks.iter().any(fails) {
            rules.insert(rules::RETRIES);
        } else {
            differences.push(Difference::new("attempts", &case.expected["attempts"], ours));
        }
    }
    if attempts != ours {
        differences.push(Difference::new("attempts", ours, attempts));
    }
    match result {
        Ok(envelope) => {
            differences.extend(judge_envelope(&call, &case.expected, end, &envelope, &mut rules));
            if method == "getAttributes" {
                let checked = Attributes::of(case, &input, end, &mut rules);
                differences.extend(checked.judge(&envelope, || {
                    mock.script(mocks);
                    typed_attributes(&client, &call)
                }));
            }
        }
        Err(failure) => differences.extend(judge_failure(end, ours, &failure, &mut rules)),
    }
    Verdict::of(lines(&differences), rules)
}

fn lines(differences: &[Difference]) -> Vec<String> {
    differences.iter().map(Difference::to_string).collect()
}

/// The requests of a call by notifications.md section 2, and what it ends with.
fn simulate<'m>(mocks: &'m [Value], timeout: u64, call: &Call) -> (usize, End<'m>) {
    let repeatable = !holds(&call.request, &|key, value| {
        (key == "order" && value.is_object()) || (key == "type" && value == "click")
    });
    let mut waited = 0;
    for attempt in 1.. {
        let mock = &mocks[(attempt - 1).min(mocks.len() - 1)];
        waited += mock["delay"].as_u64().unwrap_or(0);
        if waited >= timeout {
            return (attempt, End::Deadline);
        }
        let status = mock["status"].as_u64().unwrap_or(200);
        let end = if mock["destroy"] == true { End::Broken } else { End::Answer(mock) };
        let again = match status {
            _ if end == End::Broken => repeatable,
            420 | 429 => true,
            408 | 500 | 502 | 503 | 504 => repeatable,
            _ => false,
        };
        waited += retry_after(mock);
        if !again || attempt == MAX_ATTEMPTS || waited >= timeout {
            return (attempt, end);
        }
    }
    unreachable!("the last attempt returns")
}

fn retry_after(mock: &Value) -> u64 {
    let headers = mock["headers"].as_object().into_iter().flatten();
    let given = headers
        .filter(|(name, _)| name.eq_ignore_ascii_case("retry-after"))
        .find_map(|(_, value)| value.as_u64().or_else(|| value.as_str()?.trim().parse().ok()));
    given.unwrap_or(0) * 1000
}

/// Whether a member at any depth is of that kind; what is in parameters does not count.
fn holds(value: &Value, is: &dyn Fn(&str, &Value) -> bool) -> bool {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "parameters" | "profileParameters"))
            .any(|(key, member)| is(key, member) || holds(member, is)),
        Value::Array(elements) => elements.iter().any(|element| holds(element, is)),
        _ => false,
    }
}

/// What the body of a success is to us.
enum Body {
    Object(Value),
    Empty,
    OtherJson,
    NoJson,
}

fn body_of(mock: &Value) -> Body {
    if matches!(mock["status"].as_u64(), Some(204 | 304)) {
        return Body::Empty;
    }
    let text = corpus::utf16(&mock["body"]).map(|units| String::from_utf16_lossy(&units));
    let text = text.as_deref().or(mock["body"].as_str()).unwrap_or_default();
    let text = text.trim_start_matches('\u{FEFF}').trim_matches([' ', '\n', '\r', '\t']);
    match corpus::parse_lossy(text) {
        _ if text.is_empty() => Body::Empty,
        Some(object) if object.is_object() => Body::Object(object),
        Some(_) => Body::OtherJson,
        None => Body::NoJson,
    }
}

fn judge_failure(end: End<'_>, attempts: usize, failure: &Failure, rules: &mut Rules) -> Vec<Difference> {
    let mut expected = json!({"attempts": attempts});
    match end {
        End::Broken => expected["code"] = Value::from("TARGET_ERR_NETWORK"),
        End::Deadline => expected["code"] = Value::from("TARGET_ERR_TIMEOUT"),
        End::Answer(mock) => {
            let status = mock["status"].as_u64().unwrap_or(200);
            expected["http_status"] = Value::from(status);
            if (200..300).contains(&status) {
                expected["code"] = Value::from("TARGET_ERR_INVALID_RESPONSE");
                rules.insert(match body_of(mock) {
                    Body::OtherJson => rules::NO_OBJECT,
                    Body::NoJson => rules::NO_JSON,
                    Body::Object(_) | Body::Empty => {
                        return vec![Difference::new("result", "an envelope", failure)];
                    }
                });
            } else {
                let Body::Object(body) = body_of(mock) else { return http_failure(expected, None, failure, rules) };
                return http_failure(expected, text(&body["message"]), failure, rules);
            }
        }
    }
    if end == End::Broken || end == End::Deadline {
        rules.insert(rules::RETRIES);
    }
    facts(&expected, failure)
}

fn http_failure(mut expected: Value, message: Option<&str>, failure: &Failure, rules: &mut Rules) -> Vec<Difference> {
    rules.insert(rules::RETRIES);
    let status = &expected["http_status"];
    let line = match message {
        Some(message) => format!("the edge answered {status}: {message}"),
        None => format!("the edge answered {status}"),
    };
    expected["code"] = Value::from("TARGET_ERR_HTTP");
    expected["api_message"] = message.map_or(Value::Null, Value::from);
    expected["message"] = Value::from(line);
    facts(&expected, failure)
}

fn facts(expected: &Value, failure: &Failure) -> Vec<Difference> {
    let members = expected.as_object().into_iter().flatten();
    let differing = members.filter(|(key, value)| failure.facts[key.as_str()] != **value);
    differing
        .map(|(key, value)| Difference::new(&format!("error.{key}"), value, &failure.facts[key.as_str()]))
        .collect()
}

fn judge_envelope(call: &Call, recorded: &Value, end: End<'_>, got: &Value, rules: &mut Rules) -> Vec<Difference> {
    let End::Answer(mock) = end else {
        return vec![Difference::new("result", format!("{end:?}"), "an envelope")];
    };
    let (body, is_empty) = match body_of(mock) {
        Body::Object(body) => (body, false),
        Body::Empty => (json!({}), true),
        Body::OtherJson | Body::NoJson => return vec![Difference::new("result", "TARGET_ERR_INVALID_RESPONSE", got)],
    };
    let mut bindings = Bindings::new(call.now);
    let recorded = corpus::lossy(&without_undefined(&recorded["envelope"], rules));
    if recorded.is_null() {
        // The recorded client failed on it.
        rules.insert(if is_empty { rules::EMPTY_BODY } else { rules::ANSWER_AS_IT_CAME });
        return compare("response", &body, &got["response"], &mut bindings);
    }
    let mut expected = recorded.clone();
    if recorded["response"] != body && is_reduced(&recorded["response"], &body) {
        rules.insert(rules::ANSWER_AS_IT_CAME);
        expected["response"] = body.clone();
        for (key, gathered) in gather(&body) {
            if gathered.is_empty() {
                expected.as_object_mut().map(|expected| expected.shift_remove(key));
            } else {
                expected[key] = Value::from(gathered);
            }
        }
    }
    location_hint(call, &body, &mut expected, rules);
    let tnt_id = &body["id"]["tntId"];
    if !tnt_id.is_null() && !tnt_id.is_string() {
        rules.insert(rules::ANSWER_AS_IT_CAME);
        session_alone(&mut expected["targetCookie"], call.now);
    }
    if call.request["notifications"].as_array().is_some_and(|list| !list.is_empty()) {
        expected["meta"]["notifications"] = acknowledged(call, &body);
    }
    let mut differences = Vec::new();
    for (theirs, ours) in [
        ("visitorState", "visitor_state"),
        ("targetCookie", "target_cookie"),
        ("targetLocationHintCookie", "target_location_hint_cookie"),
        ("analyticsDetails", "analytics_details"),
        ("trace", "trace"),
        ("responseTokens", "response_tokens"),
        ("response", "response"),
    ] {
        differences.extend(compare(ours, &expected[theirs], &got[ours], &mut bindings));
    }
    let mut meta = json!({
        "decisioning_method": expected["meta"]["decisioningMethod"],
        "remote_mboxes": expected["meta"]["remoteMboxes"],
        "remote_views": expected["meta"]["remoteViews"],
    });
    if let Some(notifications) = expected["meta"].get("notifications") {
        meta["notifications"] = notifications.clone();
    }
    differences.extend(compare("meta", &meta, &got["meta"], &mut bindings));
    differences
}

/// A device id that is no text is none.
fn session_alone(cookie: &mut Value, now: i64) {
    let session = cookie["value"].as_str().and_then(|value| value.split('|').next()).unwrap_or_default().to_owned();
    let expires: f64 = session.rsplit('#').next().and_then(|text| text.parse().ok()).unwrap_or_default();
    cookie["maxAge"] = Value::from((expires - now as f64 / 1000.0).ceil());
    cookie["value"] = Value::from(session);
}

/// Whether a recorded answer is the one that came but for members left out and values of another type.
fn is_reduced(recorded: &Value, body: &Value) -> bool {
    match (recorded, body) {
        (Value::Object(recorded), Value::Object(body)) => {
            recorded.iter().all(|(key, value)| body.get(key).is_some_and(|body| is_reduced(value, body)))
        }
        (Value::Array(recorded), Value::Array(body)) => {
            recorded.len() == body.len() && recorded.iter().zip(body).all(|(recorded, body)| is_reduced(recorded, body))
        }
        _ => recorded == body || std::mem::discriminant(recorded) != std::mem::discriminant(body),
    }
}

/// Lists without the items that JSON cannot show; lists that are empty then are absent.
fn without_undefined(envelope: &Value, rules: &mut Rules) -> Value {
    let mut envelope = envelope.clone();
    for key in ["analyticsDetails", "trace", "responseTokens"] {
        let Some(list) = envelope.get_mut(key).and_then(Value::as_array_mut) else { continue };
        let length = list.len();
        list.retain(|item| !corpus::is_undefined(item) && !item.is_null());
        let is_empty = list.is_empty();
        if list.len() < length {
            rules.insert(rules::NO_EMPTY_ITEMS);
        }
        if is_empty {
            envelope.as_object_mut().map(|envelope| envelope.shift_remove(key));
        }
    }
    envelope
}

/// What delivery.md section 3 gathers from an answer, by the recorded names.
fn gather(body: &Value) -> [(&'static str, Vec<Value>); 3] {
    let mut lists = [("analyticsDetails", Vec::new()), ("trace", Vec::new()), ("responseTokens", Vec::new())];
    let is_filled = |value: &&Value| match value {
        Value::Null => false,
        Value::Object(members) => !members.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        _ => true,
    };
    for (part, key) in [
        ("execute", "pageLoad"),
        ("execute", "mboxes"),
        ("prefetch", "pageLoad"),
        ("prefetch", "views"),
        ("prefetch", "mboxes"),
    ] {
        let place = &body[part][key];
        for item in place.as_array().map_or(std::slice::from_ref(place), Vec::as_slice) {
            lists[0].1.extend(item.get("analytics").filter(is_filled).cloned());
            lists[1].1.extend(item.get("trace").filter(is_filled).cloned());
            let options = item["options"].as_array().into_iter().flatten();
            lists[2].1.extend(options.filter_map(|option| option.get("responseTokens").filter(is_filled)).cloned());
        }
    }
    lists
}

fn location_hint(call: &Call, body: &Value, expected: &mut Value, rules: &mut Rules) {
    let device = call.cookie().1.or_else(|| text(&call.request["id"]["tntId"]).map(str::to_owned));
    let of_call = device.as_deref().and_then(visitor::cluster);
    let of_call = of_call.or(call.option("targetLocationHint")).or(text(&call.config["targetLocationHint"]));
    let recorded = expected["targetLocationHintCookie"]["value"].as_str();
    if of_call.is_some() || recorded.is_none() {
        return;
    }
    let (ours, rule) = visitor::ours_of_edge_host(body["edgeHost"].as_str().unwrap_or_default(), recorded);
    rules.extend(rule);
    match ours {
        Some(hint) => expected["targetLocationHintCookie"]["value"] = Value::from(hint),
        None => {
            expected.as_object_mut().map(|expected| expected.shift_remove("targetLocationHintCookie"));
        }
    }
}

/// What `meta.notifications` says: all are acknowledged unless the answer lists those that are.
fn acknowledged(call: &Call, body: &Value) -> Value {
    let ids = call.request["notifications"].as_array().into_iter().flatten().map(|sent| sent["id"].clone());
    let listed = body["notifications"].as_array();
    let (yes, no): (Vec<Value>, Vec<Value>) =
        ids.partition(|id| listed.is_none_or(|listed| listed.iter().any(|answered| answered["id"] == *id)));
    json!({"acknowledged": yes, "unacknowledged": no})
}

/// What is expected of attributes and their values.
struct Attributes {
    all: Value,
    as_json: Value,
    /// Mboxes with what `as_object` has of them.
    by_mbox: Vec<(String, Value)>,
    values: Vec<Value>,
}

impl Attributes {
    fn of(case: &Case, input: &Value, end: End<'_>, rules: &mut Rules) -> Self {
        let recorded = &case.expected["attributes"];
        let body = match end {
            End::Answer(mock) => Some(body_of(mock)),
            End::Broken | End::Deadline => None,
        };
        let members = recorded.as_object().into_iter().flatten();
        let by_mbox =
            members.filter_map(|(key, value)| Some((key.strip_prefix("asObject:")?.to_owned(), value.clone())));
        let by_mbox: Vec<(String, Value)> = by_mbox.collect();
        let asked = input["getValue"].as_array().map_or(&[][..], Vec::as_slice);
        match body {
            Some(Body::Object(body)) if has_spread_offer(&body) => {
                rules.insert(rules::SPREAD_OFFERS);
                let all = merged_offers(&body);
                let of_mbox = |mbox: &String| all.get(mbox).cloned().unwrap_or_else(|| json!({}));
                let by_mbox = by_mbox.into_iter().map(|(mbox, _)| (mbox.clone(), of_mbox(&mbox))).collect();
                let values = asked.iter().map(|asked| value_of(&all, asked)).collect();
                Attributes { values, by_mbox, as_json: all.clone(), all }
            }
            _ => Attributes {
                all: recorded["asObject"].clone(),
                as_json: recorded["toJSON"].clone(),
                by_mbox,
                values: case.expected["values"].as_array().cloned().unwrap_or_default(),
            },
        }
    }

    fn judge(&self, envelope: &Value, typed: impl FnOnce() -> adobe_target::Attributes) -> Vec<Difference> {
        let mut bindings = Bindings::new(0);
        let mut differences = compare("attributes", &self.as_json, &envelope["attributes"], &mut bindings);
        let typed = typed();
        differences.extend(compare("as_map", &self.all, &Value::Object(typed.as_map().clone()), &mut bindings));
        for (mbox, expected) in &self.by_mbox {
            let got = Value::Object(typed.as_object(mbox));
            differences.extend(compare(&format!("as_object({mbox})"), expected, &got, &mut bindings));
        }
        for value in &self.values {
            let (mbox, key) = (value["mbox"].as_str().unwrap_or_default(), value["key"].as_str().unwrap_or_default());
            let got = match typed.value(mbox, key) {
                Ok(found) => json!({"mbox": mbox, "key": key, "value": found}),
                Err(error) => json!({"mbox": mbox, "key": key, "errorReturned": error.to_string()}),
            };
            differences.extend(compare(&format!("value({mbox}, {key})"), value, &got, &mut bindings));
        }
        differences
    }
}

/// What an attribute's value, or its absence, is recorded as.
fn value_of(all: &Value, asked: &Value) -> Value {
    let (mbox, key) = (asked[0].as_str().unwrap_or_default(), asked[1].as_str().unwrap_or_default());
    match all[mbox].get(key) {
        Some(value) => json!({"mbox": mbox, "key": key, "value": value}),
        None => {
            let message = format!("Attribute '{key}' does not exist for mbox '{mbox}'");
            json!({"mbox": mbox, "key": key, "errorReturned": message})
        }
    }
}

fn has_spread_offer(body: &Value) -> bool {
    let is_spread = |option: &Value| {
        let content = &option["content"];
        option["type"] == "json" && (text(content).is_some() || content.as_array().is_some_and(|list| !list.is_empty()))
    };
    holds(body, &|key, value| key == "options" && value.as_array().is_some_and(|options| options.iter().any(is_spread)))
}

/// The JSON offers of each mbox that are objects, merged in order.
fn merged_offers(body: &Value) -> Value {
    let mut all = Map::new();
    for part in ["execute", "prefetch"] {
        for mbox in body[part]["mboxes"].as_array().into_iter().flatten() {
            let Some(name) = mbox["name"].as_str() else { continue };
            for option in mbox["options"].as_array().into_iter().flatten().filter(|option| option["type"] == "json") {
                let merged = all.entry(name).or_insert_with(|| json!({}));
                for (key, value) in option["content"].as_object().into_iter().flatten() {
                    merged[key] = value.clone();
                }
            }
        }
    }
    Value::Object(all)
}

/// The same call by the typed API.
fn typed_attributes(client: &TargetClient, call: &Call) -> adobe_target::Attributes {
    let mut options = CallOptions::default();
    options.session_id = call.option("sessionId").map(str::to_owned);
    options.request = serde_json::from_value::<Option<DeliveryRequest>>(call.request.clone()).expect("a typed request");
    client.get_attributes(&call.names, &options).expect("the answer of the JSON call")
}
