//! What we refuse although the recorded client took it, dropped it or made something else of it. Each entry
//! is the rule and the field that the error names.

use serde_json::Value;

use crate::rules;
use crate::visitor::{is_host_label, is_session_id};

/// Why an input is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    pub rule: &'static str,
    /// In either spelling: see [`same_field`].
    pub field: String,
}

/// Whether two fields are the same but for snake_case and camelCase.
pub fn same_field(one: &str, other: &str) -> bool {
    let plain = |text: &str| text.chars().filter(|c| *c != '_').collect::<String>().to_ascii_lowercase();
    plain(one) == plain(other)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Any,
    Text,
    Bool,
    /// An integer.
    Integer,
    /// An integer that is not negative.
    Count,
    Number,
    Object,
    Array,
}

impl Kind {
    fn admits(self, value: &Value) -> bool {
        match self {
            Kind::Any => true,
            // Half a surrogate pair is a text too; it is refused as such.
            Kind::Text => value.is_string() || crate::corpus::utf16(value).is_some(),
            Kind::Bool => value.is_boolean(),
            Kind::Integer => integer(value).is_some(),
            Kind::Count => integer(value).is_some_and(|number| number >= 0.0),
            Kind::Number => value.is_number(),
            Kind::Object => value.is_object(),
            Kind::Array => value.is_array(),
        }
    }
}

fn integer(value: &Value) -> Option<f64> {
    let exact = |number: &f64| number.fract() == 0.0 && number.abs() <= 2f64.powi(53);
    value.as_i64().map(|number| number as f64).or_else(|| value.as_f64().filter(exact))
}

const CONFIG: [(&str, Kind); 34] = [
    ("client", Kind::Text),
    ("organizationId", Kind::Text),
    // Any other value has the recorded message.
    ("decisioningMethod", Kind::Any),
    ("serverDomain", Kind::Text),
    ("secure", Kind::Bool),
    ("edgeAffinity", Kind::Bool),
    ("timeout", Kind::Count),
    ("connectTimeout", Kind::Count),
    ("targetLocationHint", Kind::Text),
    ("environmentId", Kind::Integer),
    ("propertyToken", Kind::Text),
    ("version", Kind::Text),
    ("environment", Kind::Text),
    ("cdnEnvironment", Kind::Text),
    ("cdnBasePath", Kind::Text),
    ("artifactLocation", Kind::Text),
    ("artifactFormat", Kind::Text),
    ("artifactPayload", Kind::Object),
    ("artifactCacheDir", Kind::Text),
    ("pollingInterval", Kind::Count),
    ("maximumWaitReady", Kind::Count),
    ("allMatchingMboxes", Kind::Array),
    ("telemetryEnabled", Kind::Bool),
    ("proxy", Kind::Text),
    ("tls", Kind::Object),
    ("headers", Kind::Object),
    ("maxIdleConnections", Kind::Count),
    ("maxIdleAge", Kind::Count),
    ("retry", Kind::Object),
    ("retryClicks", Kind::Bool),
    ("notifications", Kind::Object),
    ("eventBuffer", Kind::Count),
    ("closeTimeout", Kind::Count),
    ("fixedClockMs", Kind::Integer),
];

const OPTIONS: [(&str, Kind); 11] = [
    // Their absence and wrong types have the recorded message.
    ("request", Kind::Any),
    ("events", Kind::Any),
    ("decisioningMethod", Kind::Any),
    ("targetCookie", Kind::Text),
    ("targetLocationHint", Kind::Text),
    ("consumerId", Kind::Text),
    ("customerIds", Kind::Any),
    ("sessionId", Kind::Text),
    ("visitorCookie", Kind::Text),
    ("timeout", Kind::Count),
    ("retryClicks", Kind::Bool),
];

/// Members of a request whose type is checked, besides items of lists.
const REQUEST: [(&str, Kind); 41] = [
    ("requestId", Kind::Text),
    ("impressionId", Kind::Text),
    ("environmentId", Kind::Integer),
    ("id", Kind::Object),
    ("id.tntId", Kind::Text),
    ("id.thirdPartyId", Kind::Text),
    ("id.marketingCloudVisitorId", Kind::Text),
    ("id.customerIds", Kind::Array),
    ("property", Kind::Object),
    ("property.token", Kind::Text),
    ("trace", Kind::Object),
    ("qaMode", Kind::Object),
    ("qaMode.previewIndexes", Kind::Array),
    ("preview", Kind::Object),
    ("telemetry", Kind::Object),
    ("context", Kind::Object),
    ("context.channel", Kind::Text),
    ("context.timeOffsetInMinutes", Kind::Number),
    ("context.mobilePlatform", Kind::Object),
    ("context.application", Kind::Object),
    ("context.screen", Kind::Object),
    ("context.window", Kind::Object),
    ("context.browser", Kind::Object),
    ("context.address", Kind::Object),
    ("context.geo", Kind::Object),
    ("context.clientHints", Kind::Object),
    ("experienceCloud", Kind::Object),
    ("experienceCloud.audienceManager", Kind::Object),
    ("experienceCloud.audienceManager.locationHint", Kind::Integer),
    ("experienceCloud.audienceManager.blob", Kind::Text),
    ("experienceCloud.analytics", Kind::Object),
    ("experienceCloud.analytics.supplementalDataId", Kind::Text),
    ("experienceCloud.analytics.logging", Kind::Text),
    ("experienceCloud.analytics.trackingServer", Kind::Text),
    ("experienceCloud.analytics.trackingServerSecure", Kind::Text),
    ("execute", Kind::Object),
    ("execute.pageLoad", Kind::Object),
    ("execute.mboxes", Kind::Array),
    ("prefetch", Kind::Object),
    ("prefetch.pageLoad", Kind::Object),
    ("prefetch.mboxes", Kind::Array),
];

#[derive(Default)]
struct Objections(Vec<Objection>);

impl Objections {
    fn add(&mut self, rule: &'static str, field: impl Into<String>) {
        self.0.push(Objection { rule, field: field.into() });
    }

    /// Null is absent.
    fn check(&mut self, rule: &'static str, field: &str, value: Option<&Value>, kind: Kind) {
        if value.is_some_and(|value| !value.is_null() && !kind.admits(value)) {
            self.add(rule, field);
        }
    }

    fn known_keys(&mut self, given: &Value, keys: &[(&str, Kind)]) {
        for (key, value) in given.as_object().into_iter().flatten() {
            match keys.iter().find(|(known, _)| same_field(known, key)) {
                None => self.add(rules::UNKNOWN_KEY, key),
                Some((_, kind)) => self.check(rules::WRONG_TYPE, key, Some(value), *kind),
            }
        }
    }

    fn longer_than(&mut self, field: &str, value: Option<&Value>, limit: usize) {
        if value.and_then(Value::as_str).is_some_and(|text| text.chars().count() > limit) {
            self.add(rules::LIMITS, field);
        }
    }

    /// What mboxes, views, page loads and notifications share.
    fn details(&mut self, path: &str, item: &Value) {
        for key in ["parameters", "profileParameters"] {
            let field = format!("{path}.{key}");
            self.check(rules::WRONG_TYPE, &field, item.get(key), Kind::Object);
            let Some(parameters) = item.get(key).and_then(Value::as_object) else { continue };
            if parameters.len() > 50 || parameters.keys().any(|name| name.chars().count() > 128) {
                self.add(rules::LIMITS, &field);
            }
            for (name, value) in parameters {
                self.longer_than(&format!("{field}.{name}"), Some(value), 5000);
            }
        }
        for key in ["order", "product", "address"] {
            self.check(rules::WRONG_TYPE, &format!("{path}.{key}"), item.get(key), Kind::Object);
        }
    }

    fn mboxes(&mut self, path: &str, list: Option<&Value>) {
        let list = list.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if list.len() > 50 {
            self.add(rules::LIMITS, path);
        }
        for (at, mbox) in list.iter().enumerate() {
            let path = format!("{path}[{at}]");
            if !mbox.is_object() {
                self.add(rules::INVALID_ITEM, path);
                continue;
            }
            let name = format!("{path}.name");
            if mbox["name"].as_str().is_none_or(str::is_empty) {
                self.add(rules::INVALID_ITEM, &name);
            }
            self.longer_than(&name, mbox.get("name"), 250);
            let index = &mbox["index"];
            if !index.is_null() && integer(index).is_none_or(|index| i32::try_from(index as i64).is_err()) {
                self.add(rules::WRONG_TYPE, format!("{path}.index"));
            }
            self.details(&path, mbox);
        }
    }

    fn views(&mut self, path: &str, list: Option<&Value>) {
        self.check(rules::WRONG_TYPE, path, list, Kind::Array);
        for (at, view) in list.and_then(Value::as_array).into_iter().flatten().enumerate() {
            let path = format!("{path}[{at}]");
            if !view.is_object() {
                self.add(rules::INVALID_ITEM, path);
                continue;
            }
            for key in ["name", "key"] {
                self.check(rules::INVALID_ITEM, &format!("{path}.{key}"), view.get(key), Kind::Text);
            }
            self.details(&path, view);
        }
    }

    fn notification(&mut self, path: &str, notification: &Value) {
        if !notification.is_object() {
            return self.add(rules::INVALID_ITEM, path);
        }
        let field = |key: &str| format!("{path}.{key}");
        if notification["id"].as_str().is_none_or(str::is_empty) {
            self.add(rules::INVALID_ITEM, field("id"));
        }
        self.longer_than(&field("id"), notification.get("id"), 200);
        if !matches!(notification["type"].as_str(), Some("click" | "display")) {
            self.add(rules::INVALID_ITEM, field("type"));
        }
        if integer(&notification["timestamp"]).is_none() {
            self.add(rules::INVALID_ITEM, field("timestamp"));
        }
        self.check(rules::WRONG_TYPE, &field("impressionId"), notification.get("impressionId"), Kind::Text);
        self.longer_than(&field("impressionId"), notification.get("impressionId"), 128);
        self.check(rules::WRONG_TYPE, &field("tokens"), notification.get("tokens"), Kind::Array);
        for (at, token) in notification["tokens"].as_array().into_iter().flatten().enumerate() {
            if !token.is_string() {
                self.add(rules::WRONG_TYPE, format!("{path}.tokens[{at}]"));
            }
        }
        for key in ["mbox", "view", "pageLoad"] {
            self.check(rules::WRONG_TYPE, &field(key), notification.get(key), Kind::Object);
        }
        let name = notification["mbox"].get("name").filter(|name| !name.is_null());
        if name.is_some_and(|name| name.as_str().is_none_or(str::is_empty)) {
            self.add(rules::INVALID_ITEM, field("mbox.name"));
        }
        self.longer_than(&field("mbox.name"), name, 250);
        self.details(path, notification);
    }

    fn customer_ids(&mut self, field: &str, given: &Value) {
        match given {
            Value::Null => {}
            Value::Object(codes) => {
                for (code, entry) in codes {
                    self.customer_id(field, code, entry);
                }
            }
            Value::Array(list) => {
                for (at, _) in list.iter().enumerate().filter(|(_, element)| !element.is_object()) {
                    self.add(rules::WRONG_TYPE, format!("{field}[{at}]"));
                }
            }
            _ => self.add(rules::WRONG_TYPE, field),
        }
    }

    fn customer_id(&mut self, parent: &str, code: &str, entry: &Value) {
        let path = format!("{parent}.{code}");
        match entry {
            Value::Null => return,
            Value::String(id) if id.is_empty() => return,
            Value::String(_) => {}
            Value::Object(members) => {
                for key in members.keys().filter(|key| !matches!(key.as_str(), "id" | "authState" | "auth_state")) {
                    self.add(rules::UNKNOWN_KEY, format!("{path}.{key}"));
                }
                if entry["id"].as_str().is_none_or(str::is_empty) {
                    self.add(rules::CUSTOMER_IDS, format!("{path}.id"));
                }
                let state = &entry["authState"];
                if !state.is_null() && !matches!(integer(state), Some(0.0..=2.0)) {
                    self.add(rules::CUSTOMER_IDS, format!("{path}.authState"));
                }
            }
            _ => self.add(rules::WRONG_TYPE, &path),
        }
        if code.is_empty() {
            self.add(rules::CUSTOMER_IDS, parent);
        }
    }
}

/// Values at a path such as `a.b`, with null where something on the way is missing.
pub fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(value, |value, key| &value[key])
}

/// What we refuse of a configuration.
pub fn of_config(config: &Value) -> Vec<Objection> {
    let mut objections = Objections::default();
    objections.known_keys(config, &CONFIG);
    let text = |key: &str| config[key].as_str().filter(|text| !text.is_empty());
    if text("targetLocationHint").is_some_and(|hint| !is_host_label(hint)) {
        objections.add(rules::HINT, "targetLocationHint");
    }
    if text("artifactFormat").is_some_and(|format| !matches!(format, "json" | "bin")) {
        objections.add(rules::WRONG_TYPE, "artifactFormat");
    }
    if text("cdnEnvironment").is_some_and(|name| !matches!(name, "production" | "staging" | "development")) {
        objections.add(rules::WRONG_TYPE, "cdnEnvironment");
    }
    if text("serverDomain").is_some_and(|domain| domain.contains(['/', ' ', '?', '#', '@', '\\'])) {
        objections.add(rules::HOST, "serverDomain");
    }
    if text("client").is_some_and(|client| !client.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))) {
        objections.add(rules::HOST, "client");
    }
    objections.0
}

/// What we refuse of a call.
pub fn of_call(method: &str, args: &[Value]) -> Vec<Objection> {
    let mut objections = Objections::default();
    let options = if method == "getAttributes" {
        match args.first() {
            Some(Value::Array(names)) => {
                for (at, name) in names.iter().enumerate() {
                    if name.as_str().is_none_or(str::is_empty) {
                        objections.add(rules::INVALID_ITEM, format!("mbox_names[{at}]"));
                    }
                }
            }
            _ => objections.add(rules::WRONG_TYPE, "mbox_names"),
        }
        args.get(1)
    } else {
        args.first()
    };
    let Some(options) = options.filter(|options| options.is_object()) else { return objections.0 };
    objections.known_keys(options, &OPTIONS);
    if options.get("request").is_some() && options.get("events").is_some() {
        objections.add(rules::UNKNOWN_KEY, "events");
    }
    let text = |key: &str| options[key].as_str().filter(|text| !text.is_empty());
    if text("sessionId").is_some_and(|id| !is_session_id(id)) {
        objections.add(rules::SESSION, "sessionId");
    }
    if text("targetLocationHint").is_some_and(|hint| !is_host_label(hint)) {
        objections.add(rules::HINT, "targetLocationHint");
    }
    for key in ["sessionId", "targetLocationHint", "targetCookie", "visitorCookie", "consumerId"] {
        if crate::corpus::utf16(&options[key]).is_some() {
            objections.add(rules::HALF_PAIRS, key);
        }
    }
    objections.customer_ids("customerIds", &options["customerIds"]);
    let ids = |value: &Value| value.as_array().map(Vec::len).or(value.as_object().map(|map| map.len())).unwrap_or(0);
    if ids(&options["customerIds"]) + ids(&options["request"]["id"]["customerIds"]) > 50 {
        objections.add(rules::LIMITS, "customerIds");
        objections.add(rules::LIMITS, "request.id.customerIds");
    }
    of_request(&mut objections, method, &options["request"]);
    objections.0
}

fn of_request(objections: &mut Objections, method: &str, request: &Value) {
    for (path, kind) in REQUEST {
        objections.check(rules::WRONG_TYPE, &format!("request.{path}"), Some(at(request, path)), kind);
    }
    objections.longer_than("request.impressionId", request.get("impressionId"), 128);
    for (part, path) in [("execute", "request.execute"), ("prefetch", "request.prefetch")] {
        let asked = &request[part];
        objections.mboxes(&format!("{path}.mboxes"), asked.get("mboxes"));
        objections.details(&format!("{path}.pageLoad"), &asked["pageLoad"]);
    }
    objections.views("request.prefetch.views", request["prefetch"].get("views"));
    for (at, element) in request["id"]["customerIds"].as_array().into_iter().flatten().enumerate() {
        objections.check(rules::WRONG_TYPE, &format!("request.id.customerIds[{at}]"), Some(element), Kind::Object);
    }
    for (at, element) in request["qaMode"]["previewIndexes"].as_array().into_iter().flatten().enumerate() {
        objections.check(
            rules::WRONG_TYPE,
            &format!("request.qaMode.previewIndexes[{at}]"),
            Some(element),
            Kind::Object,
        );
    }
    let notifications = &request["notifications"];
    if method != "sendNotifications" {
        objections.check(rules::WRONG_TYPE, "request.notifications", Some(notifications), Kind::Array);
    }
    for (at, notification) in notifications.as_array().into_iter().flatten().enumerate() {
        objections.notification(&format!("request.notifications[{at}]"), notification);
    }
}
