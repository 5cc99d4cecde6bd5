//! From what the recorded client sent to what we send: each rule changes the expectation where its input
//! calls for it.

use serde_json::{Map, Value, json};

use crate::refusals::at;
use crate::rules::{self, Rules};
use crate::visitor;

/// A call that is made, without what JSON cannot express.
pub struct Call {
    pub method: String,
    pub config: Value,
    pub now: i64,
    pub names: Vec<String>,
    pub options: Value,
    pub request: Value,
    /// The hints that the client has met in earlier calls and their answers.
    pub learnt: Vec<String>,
}

impl Call {
    pub fn new(method: &str, args: &[Value], config: &Value, now: i64) -> Self {
        let is_attributes = method == "getAttributes";
        let options = args.get(usize::from(is_attributes)).filter(|options| options.is_object());
        let options = options.cloned().unwrap_or_else(|| json!({}));
        let names = args.first().filter(|_| is_attributes).and_then(Value::as_array);
        Call {
            method: method.to_owned(),
            config: config.clone(),
            now,
            names: names.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
            request: options.get("request").cloned().unwrap_or(Value::Null),
            options,
            learnt: Vec::new(),
        }
    }

    /// The hints of this call.
    pub fn hints(&self) -> impl Iterator<Item = String> {
        let of_cookie = self.cookie().1.and_then(|device| visitor::cluster_text(&device).map(str::to_owned));
        of_cookie.into_iter().chain(self.option("targetLocationHint").map(str::to_owned))
    }

    /// An option that is a text with content.
    pub fn option(&self, key: &str) -> Option<&str> {
        text(&self.options[key])
    }

    /// Session and device id of the `mbox` cookie.
    pub fn cookie(&self) -> (Option<String>, Option<String>) {
        self.option("targetCookie").map(|cookie| visitor::target_cookie(cookie, self.now)).unwrap_or_default()
    }
}

/// What is expected of the request of a call.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Method and path.
    pub line: String,
    pub host: String,
    pub query: Value,
    /// `X-Request-Id`, an id of its own.
    pub header_id: Value,
    pub body: Value,
}

/// A text with content.
pub fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

fn is_empty_text(value: &Value) -> bool {
    value.as_str() == Some("")
}

/// Members that are null are left out, except in parameters.
pub fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, member)| !member.is_null()).map(|(key, member)| {
                let is_free = matches!(key.as_str(), "parameters" | "profileParameters");
                (key.clone(), if is_free { member.clone() } else { without_nulls(member) })
            });
            Value::Object(kept.collect())
        }
        Value::Array(elements) => Value::Array(elements.iter().map(without_nulls).collect()),
        plain => plain.clone(),
    }
}

/// Changes the expectation by all rules.
pub fn apply(call: &Call, sent: &mut Sent, visitor_state: &mut Value, rules: &mut Rules) {
    let request = &call.request;
    host(call, sent, rules);
    session(call, sent, rules);
    request_ids(request, &mut sent.body, rules);
    visitor_ids(call, &mut sent.body, rules);
    visitor_cookie(call, &mut sent.body, rules);
    environment(call, &mut sent.body, rules);
    context(request, &mut sent.body, rules);
    supplemental_data_id(request, &mut sent.body, visitor_state, rules);
    consumer_id(call, visitor_state, rules);
    added_indexes(call, &mut sent.body, rules);
    order_times(request, &mut sent.body, rules);
    if add_unknown("", request, &mut sent.body) {
        rules.insert(rules::UNKNOWN_MEMBERS);
    }
    impression_ids(call, &mut sent.body, rules);
}

fn host(call: &Call, sent: &mut Sent, rules: &mut Rules) {
    let device = call.cookie().1;
    let of_device = device.as_deref().and_then(visitor::cluster);
    let of_request = text(&call.request["id"]["tntId"]).and_then(visitor::cluster);
    let hint = call.option("targetLocationHint").or(text(&call.config["targetLocationHint"]));
    let host = |cluster: Option<&str>| match (cluster, text(&call.config["serverDomain"])) {
        (Some(cluster), _) => format!("mboxedge{cluster}.tt.omtrdc.net"),
        (None, Some(domain)) => domain.to_owned(),
        (None, None) => format!("{}.tt.omtrdc.net", call.config["client"].as_str().unwrap_or_default()),
    };
    let ours = host(of_device.or(of_request).or(hint));
    let bad_hint = device.as_deref().and_then(visitor::cluster_text).filter(|hint| !visitor::is_host_label(hint));
    let rule = if ours == sent.host {
        return;
    } else if of_device.is_none() && of_request.is_some() && sent.host == host(hint) {
        rules::TNT_ID_CLUSTER
    } else if bad_hint.is_some_and(|hint| sent.host == host(Some(hint))) {
        rules::COOKIE_HINT
    } else if call.learnt.iter().any(|learnt| sent.host == host(Some(learnt))) {
        rules::STICKY_HINT
    } else {
        return;
    };
    rules.insert(rule);
    sent.host = ours;
}

fn session(call: &Call, sent: &mut Sent, rules: &mut Rules) {
    if call.cookie().0.is_some_and(|session| !visitor::is_session_id(&session)) {
        sent.query["sessionId"] = Value::from(call.option("sessionId").unwrap_or("<uuid:session>"));
        rules.insert(rules::SESSION);
    }
}

fn request_ids(request: &Value, body: &mut Value, rules: &mut Rules) {
    if text(&request["requestId"]).is_none() && text(&body["requestId"]).is_none() {
        body["requestId"] = Value::from("<uuid:request>");
        rules.insert(rules::REQUEST_ID);
    }
    if is_empty_text(&request["impressionId"]) && remove(body, "impressionId") {
        rules.insert(rules::EMPTY_IS_ABSENT);
    }
}

fn visitor_ids(call: &Call, body: &mut Value, rules: &mut Rules) {
    let from_cookie = call.option("visitorCookie").and_then(|cookie| visitor::amcv(cookie, call.now).visitor_id);
    for (key, other) in [("tntId", call.cookie().1), ("marketingCloudVisitorId", from_cookie)] {
        if is_empty_text(&call.request["id"][key])
            && let Some(other) = other
            && body["id"][key] != *other
        {
            member(body, "id")[key] = Value::from(other);
            rules.insert(rules::EMPTY_IDS);
        }
    }
    // The option's come first.
    let sent = body.pointer_mut("/id/customerIds").and_then(Value::as_array_mut).into_iter().flatten();
    let without_state = |entry: &&Value| entry.is_object() && entry["authState"].is_null();
    let entries = call.options["customerIds"].as_object().into_iter().flat_map(Map::values);
    for (_, sent) in entries
        .filter(|entry| !entry.is_null() && !is_empty_text(entry))
        .zip(sent)
        .filter(|(entry, _)| without_state(entry))
    {
        if sent.get("authenticatedState").is_none() {
            sent["authenticatedState"] = Value::from("unknown");
            rules.insert(rules::CUSTOMER_ID_STATE);
        }
    }
    if let Some(list) = call.options["customerIds"].as_array() {
        let given = call.request["id"]["customerIds"].as_array();
        let all: Vec<Value> = list.iter().chain(given.into_iter().flatten()).map(without_nulls).collect();
        if !all.is_empty() && body["id"]["customerIds"] != Value::from(all.clone()) {
            member(body, "id")["customerIds"] = Value::from(all);
            rules.insert(rules::CUSTOMER_ID_LIST);
        }
    }
}

pub fn visitor_cookie(call: &Call, body: &mut Value, rules: &mut Rules) {
    let Some(cookie) = call.option("visitorCookie") else { return };
    let read = visitor::amcv(cookie, call.now);
    let reasons = [
        (read.has_expired, rules::EXPIRED_AMCV),
        (read.has_none, rules::AMCV_NONE),
        (read.has_odd_hint, rules::ODD_HINT),
        (read.unreadable, rules::MALFORMED_COOKIE),
    ];
    if reasons.iter().all(|(applies, _)| !applies) {
        return;
    }
    let given = &call.request["experienceCloud"]["audienceManager"];
    let ours = [
        ("id", "marketingCloudVisitorId", &call.request["id"], read.visitor_id.map(Value::from)),
        ("experienceCloud.audienceManager", "locationHint", given, read.location_hint.map(Value::from)),
        ("experienceCloud.audienceManager", "blob", given, read.blob.map(Value::from)),
    ];
    for (path, key, given, ours) in ours {
        let is_given = !given[key].is_null() && !is_empty_text(&given[key]);
        if is_given || at(body, path).get(key) == ours.as_ref() {
            continue;
        }
        match ours {
            Some(value) => path.split('.').fold(&mut *body, member)[key] = value,
            None => {
                remove(path.split('.').fold(&mut *body, member), key);
                remove_empty(body, path);
            }
        }
        rules.extend(reasons.iter().filter(|(applies, _)| *applies).map(|(_, rule)| *rule));
    }
}

fn environment(call: &Call, body: &mut Value, rules: &mut Rules) {
    let given = &call.request["environmentId"];
    let ours = if given.is_null() { &call.config["environmentId"] } else { given };
    if !ours.is_null() && body["environmentId"].is_null() {
        body["environmentId"] = ours.clone();
        rules.insert(if *ours == 0 { rules::ZERO_ENVIRONMENT } else { rules::NULL_IS_ABSENT });
    }
    let property = &call.request["property"];
    let (is_empty, is_null) = (is_empty_text(&property["token"]), property["token"].is_null());
    if !(is_empty || is_null) || text(&body["property"]["token"]).is_some() {
        return;
    }
    match text(&call.config["propertyToken"]) {
        Some(configured) => {
            member(body, "property")["token"] = Value::from(configured);
            rules.insert(if is_empty { rules::EMPTY_IS_ABSENT } else { rules::NULL_IS_ABSENT });
        }
        None => {
            if body.get_mut("property").is_some_and(|property| remove(property, "token")) {
                remove_empty(body, "property");
                rules.insert(rules::EMPTY_IS_ABSENT);
            }
        }
    }
}

pub fn context(request: &Value, body: &mut Value, rules: &mut Rules) {
    if body["context"]["timeOffsetInMinutes"].is_null() {
        member(body, "context")["timeOffsetInMinutes"] = Value::from("<timeOffset>");
        rules.insert(rules::TIME_OFFSET);
    }
    if let Some(channel) = text(&request["context"]["channel"])
        && channel != "web"
        && body["context"]["channel"] == "web"
    {
        body["context"]["channel"] = Value::from(channel);
        rules.insert(rules::KEPT);
    }
}

fn supplemental_data_id(request: &Value, body: &mut Value, visitor_state: &mut Value, rules: &mut Rules) {
    let Some(given) = text(&request["experienceCloud"]["analytics"]["supplementalDataId"]) else { return };
    let current = visitor_state.as_object_mut().and_then(|state| state.values_mut().next());
    let in_state = current.and_then(|state| state.get_mut("sdid")?.get_mut("supplementalDataIDCurrent"));
    let in_body = member(member(body, "experienceCloud"), "analytics");
    if text(&in_body["supplementalDataId"]).is_some_and(|recorded| recorded.starts_with("<sdid:")) {
        in_body["supplementalDataId"] = Value::from(given);
        if let Some(state) = in_state {
            *state = Value::from(given);
        }
        rules.insert(rules::KEPT);
    }
}

fn consumer_id(call: &Call, visitor_state: &mut Value, rules: &mut Rules) {
    if !is_empty_text(&call.options["consumerId"]) {
        return;
    }
    for state in visitor_state.as_object_mut().into_iter().flat_map(Map::values_mut) {
        let consumed = &mut state["sdid"]["supplementalDataIDCurrentConsumed"];
        if consumed.get("payload:").is_some() {
            *consumed = json!({"payload:target-global-mbox": true});
            rules.insert(rules::EMPTY_IS_ABSENT);
        }
    }
}

/// The mboxes that `getAttributes` adds come last.
fn added_indexes(call: &Call, body: &mut Value, rules: &mut Rules) {
    if call.names.is_empty() {
        return;
    }
    let none = Vec::new();
    let listed = |part: &str| call.request[part]["mboxes"].as_array().unwrap_or(&none);
    let (executed, prefetched) = (listed("execute"), listed("prefetch"));
    let mut names: Vec<&str> = Vec::new();
    for name in &call.names {
        let is_listed = executed.iter().chain(prefetched).any(|mbox| mbox["name"] == **name);
        if !is_listed && !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let index = |(at, mbox): (usize, &Value)| mbox["index"].as_i64().unwrap_or(at as i64);
    let first = executed.iter().enumerate().map(index).max().map_or(1, |highest| highest + 1);
    let added = names.iter().zip(first..).map(|(name, index)| json!({"index": index, "name": name}));
    let execute = member(body, "execute");
    let mut ours = execute["mboxes"].as_array().cloned().unwrap_or_default();
    ours.truncate(executed.len());
    ours.extend(added);
    if !ours.is_empty() && execute["mboxes"] != Value::from(ours.clone()) {
        execute["mboxes"] = Value::from(ours);
        rules.insert(rules::ATTRIBUTE_INDEX);
    }
    remove_empty(body, "execute");
}

/// Wherever an order has a time, it is the caller's.
fn order_times(given: &Value, sent: &mut Value, rules: &mut Rules) {
    match (given, sent) {
        (Value::Object(given), Value::Object(sent)) => {
            for (key, value) in given {
                let Some(sent) = sent.get_mut(key) else { continue };
                let time = value.get("time").filter(|time| key == "order" && !time.is_null());
                if let Some(time) = time.filter(|time| is_rewritten(&sent["time"], time)) {
                    sent["time"] = time.clone();
                    rules.insert(rules::KEPT);
                } else if !matches!(key.as_str(), "parameters" | "profileParameters") {
                    order_times(value, sent, rules);
                }
            }
        }
        (Value::Array(given), Value::Array(sent)) => {
            for (given, sent) in given.iter().zip(sent) {
                order_times(given, sent, rules);
            }
        }
        _ => {}
    }
}

/// JavaScript's `toISOString`, or nothing where that failed.
fn is_rewritten(time: &Value, given: &Value) -> bool {
    let is_iso = time.as_str().is_some_and(|time| time.contains('T') && time.ends_with('Z'));
    time != given && (time.is_null() || is_iso)
}

/// Empty values that mean absent, by their path without indexes.
fn is_absent(path: &str, value: &Value) -> bool {
    let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
    match value {
        Value::String(text) if text.is_empty() => {
            matches!(parent, "id" | "experienceCloud.analytics")
                || matches!(
                    path,
                    "requestId" | "impressionId" | "property.token" | "context.channel" | "notifications.impressionId"
                )
        }
        Value::Object(members) if members.is_empty() => {
            matches!(path, "id" | "property" | "execute" | "prefetch" | "experienceCloud.audienceManager")
        }
        Value::Array(elements) if elements.is_empty() => {
            let lists = ["notifications", "id.customerIds", "execute.mboxes", "prefetch.mboxes", "prefetch.views"];
            lists.contains(&path)
        }
        _ => false,
    }
}

/// The value without members that mean absent.
fn without_absent(path: &str, value: &Value) -> Value {
    let Value::Object(members) = value else { return value.clone() };
    let mut kept = Map::new();
    for (key, member) in members {
        let path = format!("{path}.{key}");
        let member = without_absent(&path, member);
        if !is_absent(&path, &member) {
            kept.insert(key.clone(), member);
        }
    }
    Value::Object(kept)
}

/// Adds what the caller gave and the recorded client dropped; whether there was any.
pub fn add_unknown(path: &str, given: &Value, sent: &mut Value) -> bool {
    match (given, sent) {
        (Value::Object(given), Value::Object(sent)) => {
            let mut added = false;
            for (key, value) in given.iter().filter(|(_, value)| !value.is_null()) {
                if matches!(key.as_str(), "parameters" | "profileParameters") {
                    continue;
                }
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match sent.get_mut(key) {
                    Some(sent) => added |= add_unknown(&path, value, sent),
                    None => {
                        let value = without_absent(&path, &without_nulls(value));
                        if !is_absent(&path, &value) {
                            sent.insert(key.clone(), value);
                            added = true;
                        }
                    }
                }
            }
            added
        }
        (Value::Array(given), Value::Array(sent)) => {
            // The customer ids of the option come first, the mboxes of getAttributes last.
            let skipped = if path == "id.customerIds" { sent.len().saturating_sub(given.len()) } else { 0 };
            let pairs = given.iter().zip(sent.iter_mut().skip(skipped));
            pairs.fold(false, |added, (given, sent)| add_unknown(path, given, sent) | added)
        }
        _ => false,
    }
}

fn impression_ids(call: &Call, body: &mut Value, rules: &mut Rules) {
    let asked = &body["execute"];
    let executes = !asked["pageLoad"].is_null() || asked["mboxes"].as_array().is_some_and(|list| !list.is_empty());
    if executes && text(&call.request["impressionId"]).is_none() {
        body["impressionId"] = Value::from("<uuid:impression>");
        rules.insert(rules::IMPRESSION_ID);
    }
    for (at, notification) in
        body.get_mut("notifications").and_then(Value::as_array_mut).into_iter().flatten().enumerate()
    {
        if is_empty_text(&notification["impressionId"]) && remove(notification, "impressionId") {
            rules.insert(rules::EMPTY_IS_ABSENT);
        }
        if notification["type"] == "display" && notification["impressionId"].is_null() {
            notification["impressionId"] = Value::from(format!("<uuid:notification{at}>"));
            rules.insert(rules::IMPRESSION_ID);
        }
    }
}

/// The member as an object that can be written to.
fn member<'v>(value: &'v mut Value, key: &str) -> &'v mut Value {
    let member = &mut value[key];
    if !member.is_object() {
        *member = json!({});
    }
    member
}

fn remove(value: &mut Value, key: &str) -> bool {
    value.as_object_mut().is_some_and(|members| members.shift_remove(key).is_some())
}

/// Removes an object without members.
fn remove_empty(value: &mut Value, path: &str) {
    let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
    let parent = parent.split('.').filter(|key| !key.is_empty()).fold(value, |value, key| &mut value[key]);
    if parent[key].as_object().is_none_or(Map::is_empty) {
        remove(parent, key);
    }
}
