//! cookies.json: the `mbox` cookie, clusters and hosts, by what shows of them in requests and envelopes.

use adobe_target::{LOCATION_HINT_COOKIE_NAME, TARGET_COOKIE_NAME};
use serde_json::{Value, json};

use crate::bodies::text;
use crate::compare::{Bindings, Difference, compare, is_uuid_v4};
use crate::corpus::{self, Case};
use crate::library::{self, Failure, Setting};
use crate::mock::{Delivery, Mock};
use crate::refusals::{self, Objection};
use crate::report::Verdict;
use crate::requests::judge_refusal;
use crate::rules::{self, Rules};
use crate::visitor;

const CLIENT: &str = "acmeclient";
/// The session and the hint that recorded calls give.
const SESSION: &str = "opt-session";
const HINT: &str = "opt-hint";

/// Runs a case.
pub fn run(case: &Case) -> Verdict {
    let input = match corpus::expressible(&case.input) {
        Ok(input) => input,
        Err(reason) => return Verdict::Skipped(reason),
    };
    if input.get("now").is_some_and(|now| now.as_i64().is_none()) {
        return Verdict::Skipped("fixed_clock_ms is an integer".to_owned());
    }
    match case.area.as_str() {
        "cookies.parse" | "cookies.parse-malformed-escape" => parse(&input, &case.expected),
        "cookies.serialise" => serialise(&input, &case.expected),
        "cookies.create" => Verdict::Skipped("the API makes no cookie of arbitrary names and times".to_owned()),
        "cluster.device-id" | "cluster.merge" => cluster(&input, &case.expected),
        "cluster.edge-host" => edge_host(&input, &case.expected),
        "cluster.location-hint-cookie" => location_hint_cookie(&input, &case.expected),
        "cluster.host" => host(&input, &case.expected),
        "cookies.static" => names(&case.expected),
        other => Verdict::Failed(vec![format!("nobody knows the area {other}")]),
    }
}

/// One call with these options, alone.
struct Exchange {
    result: Result<Value, Failure>,
    deliveries: Vec<Delivery>,
}

impl Exchange {
    fn of(config: &Value, now: i64, options: &Value, answer: &Value) -> Self {
        let mock = Mock::start();
        mock.answer(answer);
        let setting = Setting { host: &mock.host(), now, through_proxy: true };
        let result = library::create(&library::config(config, setting))
            .and_then(|client| library::call(&client, "getOffers", std::slice::from_ref(options)));
        Exchange { result, deliveries: mock.take() }
    }

    fn host(&self) -> &str {
        self.deliveries.first().map_or("", |delivery| &delivery.host)
    }

    /// What is wrong with it if it is to be refused for these reasons.
    fn refused(&self, objections: &[Objection], rules: &mut Rules) -> Vec<String> {
        let mut differences = match &self.result {
            Err(failure) => judge_refusal(&None, objections, failure, rules),
            Ok(_) => vec![Difference::new("result", format!("{objections:?}"), "a success")],
        };
        if !self.deliveries.is_empty() {
            differences.push(Difference::new("requests", 0, self.deliveries.len()));
        }
        differences.iter().map(Difference::to_string).collect()
    }
}

fn config() -> Value {
    json!({"client": CLIENT, "organizationId": "1@AdobeOrg"})
}

/// A request that asks for nothing, with these options besides.
fn options(more: Value) -> Value {
    let mut options = json!({"request": {"requestId": "r", "context": {"channel": "web"}}});
    for (key, value) in more.as_object().into_iter().flatten() {
        options[key] = value.clone();
    }
    options
}

/// The options and why they are refused, if they are.
fn objections(options: &Value) -> Vec<Objection> {
    refusals::of_call("getOffers", std::slice::from_ref(options))
}

struct Checks {
    differences: Vec<String>,
}

impl Checks {
    fn new() -> Self {
        Checks { differences: Vec::new() }
    }

    fn equal(&mut self, what: &str, expected: &Value, got: &Value) {
        let differences = compare(what, expected, got, &mut Bindings::new(0));
        self.differences.extend(differences.iter().map(Difference::to_string));
    }

    fn succeeded<'e>(&mut self, exchange: &'e Exchange) -> Option<(&'e Delivery, &'e Value)> {
        match (&exchange.result, exchange.deliveries.first()) {
            (Ok(envelope), Some(delivery)) => Some((delivery, envelope)),
            (Err(failure), _) => {
                self.differences.push(format!("a success was expected: {failure}"));
                None
            }
            (Ok(_), None) => {
                self.differences.push("nothing was sent".to_owned());
                None
            }
        }
    }
}

fn host_of(cluster: Option<&str>) -> String {
    match cluster.filter(|cluster| !cluster.is_empty()) {
        Some(cluster) => format!("mboxedge{cluster}.tt.omtrdc.net"),
        None => format!("{CLIENT}.tt.omtrdc.net"),
    }
}

/// Session, device id and cluster, with and without a session in the options.
fn parse(input: &Value, expected: &Value) -> Verdict {
    let now = input["now"].as_i64().unwrap_or_default();
    let mut rules = Rules::new();
    let mut more = json!({"sessionId": SESSION, "targetLocationHint": HINT});
    if let Some(cookie) = input.get("targetCookie") {
        more["targetCookie"] = cookie.clone();
    }
    let with_session = options(more.clone());
    let refused = objections(&with_session);
    let first = Exchange::of(&config(), now, &with_session, &json!({"status": 200}));
    if !refused.is_empty() {
        return Verdict::of(first.refused(&refused, &mut rules), rules);
    }
    let cookie = text(&input["targetCookie"]).unwrap_or_default();
    let ours = visitor::target_cookie(cookie, now);
    let mut recorded = expected.clone();
    if expected.get("error").is_some() {
        rules.insert(rules::MALFORMED_COOKIE);
        let hint = ours.1.as_deref().and_then(visitor::cluster).unwrap_or(HINT);
        recorded = json!({
            "deviceId": ours.1,
            "sessionIdWithOption": ours.0.as_deref().unwrap_or(SESSION),
            "sessionIdWithoutOption": ours.0.as_deref().unwrap_or("<generated>"),
            "cluster": hint,
        });
    }
    if ours.0.as_ref().is_some_and(|session| !visitor::is_session_id(session)) {
        rules.insert(rules::SESSION);
        recorded["sessionIdWithOption"] = Value::from(SESSION);
        recorded["sessionIdWithoutOption"] = Value::from("<generated>");
    }
    let hint = ours.1.as_deref().and_then(visitor::cluster_text);
    if hint.is_some_and(|hint| !visitor::is_host_label(hint) && recorded["cluster"] == *hint) {
        rules.insert(rules::COOKIE_HINT);
        recorded["cluster"] = Value::from(HINT);
    }
    more.as_object_mut().map(|more| more.shift_remove("sessionId"));
    let second = Exchange::of(&config(), now, &options(more), &json!({"status": 200}));

    let mut checks = Checks::new();
    for (exchange, key) in [(&first, "sessionIdWithOption"), (&second, "sessionIdWithoutOption")] {
        let Some((delivery, envelope)) = checks.succeeded(exchange) else { continue };
        let session = &delivery.query["sessionId"];
        match recorded[key].as_str() {
            Some("<generated>") if session.as_str().is_some_and(is_uuid_v4) => {}
            _ => checks.equal(key, &recorded[key], session),
        }
        checks.equal("deviceId", &recorded["deviceId"], &delivery.body["id"]["tntId"]);
        let cluster = recorded["cluster"].as_str();
        checks.equal("host", &Value::from(host_of(cluster)), &Value::from(exchange.host()));
        checks.equal("cluster", &recorded["cluster"], &envelope["target_location_hint_cookie"]["value"]);
    }
    Verdict::of(checks.differences, rules)
}

/// The cookie of the envelope.
fn serialise(input: &Value, expected: &Value) -> Verdict {
    let mut rules = Rules::new();
    let now = input["now"].as_i64().unwrap_or_default();
    if input["sessionId"].is_null() || input["sessionId"] == "" {
        return Verdict::Skipped("a call always has a session".to_owned());
    }
    let options = options(json!({"sessionId": input["sessionId"]}));
    let refused = objections(&options);
    let mut answer = json!({"status": 200});
    if let Some(id) = input.get("id") {
        answer["id"] = id.clone();
    }
    let exchange = Exchange::of(&config(), now, &options, &answer);
    if !refused.is_empty() {
        return Verdict::of(exchange.refused(&refused, &mut rules), rules);
    }
    let mut checks = Checks::new();
    let Some((_, envelope)) = checks.succeeded(&exchange) else { return Verdict::of(checks.differences, rules) };
    let got = &envelope["target_cookie"];
    let tnt_id = &input["id"]["tntId"];
    if corpus::utf16(tnt_id).is_some() {
        rules.insert(rules::HALF_PAIRS);
        let ends_in = got["value"].as_str().is_some_and(|value| value.contains("%EF%BF%BD"));
        checks.equal("U+FFFD in the cookie", &Value::from(true), &Value::from(ends_in));
    } else if !tnt_id.is_null() && !tnt_id.is_string() {
        rules.insert(rules::ANSWER_AS_IT_CAME);
        let has_device = got["value"].as_str().is_some_and(|value| value.contains("PC#"));
        checks.equal("a device id of another type in the cookie", &Value::from(false), &Value::from(has_device));
    } else {
        checks.equal("target_cookie", expected, got);
    }
    Verdict::of(checks.differences, rules)
}

/// The cluster of a device id in the cookie, else of the option.
fn cluster(input: &Value, expected: &Value) -> Verdict {
    let mut rules = Rules::new();
    let mut options = options(json!({}));
    match &input["deviceId"] {
        Value::Null => {}
        Value::String(id) => {
            let id = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
            options["targetCookie"] = Value::from(format!("PC#{id}#99999999999"));
        }
        other if corpus::utf16(other).is_some() => {
            return Verdict::Skipped("half a surrogate pair cannot be percent-encoded into a cookie".to_owned());
        }
        other => options["request"]["id"] = json!({"tntId": other}),
    }
    if let Some(hint) = input.get("targetLocationHint") {
        options["targetLocationHint"] = hint.clone();
    }
    let refused = objections(&options);
    let exchange = Exchange::of(&config(), 0, &options, &json!({"status": 200}));
    if !refused.is_empty() {
        return Verdict::of(exchange.refused(&refused, &mut rules), rules);
    }
    let mut recorded = expected["cluster"].clone();
    let hint = input["deviceId"].as_str().and_then(visitor::cluster_text);
    if hint.is_some_and(|hint| !visitor::is_host_label(hint) && recorded == *hint) {
        rules.insert(rules::COOKIE_HINT);
        recorded = input.get("targetLocationHint").cloned().unwrap_or(Value::Null);
    }
    shows(&exchange, text(&recorded), rules)
}

/// Whether the cluster shows in host and cookie.
fn shows(exchange: &Exchange, cluster: Option<&str>, rules: Rules) -> Verdict {
    let mut checks = Checks::new();
    if let Some((_, envelope)) = checks.succeeded(exchange) {
        checks.equal("host", &Value::from(host_of(cluster)), &Value::from(exchange.host()));
        let cookie =
            cluster.map(|cluster| json!({"name": LOCATION_HINT_COOKIE_NAME, "value": cluster, "maxAge": 1860}));
        checks.equal("cookie", &cookie.unwrap_or_default(), &envelope["target_location_hint_cookie"]);
    }
    Verdict::of(checks.differences, rules)
}

/// The cluster that an answer's `edgeHost` names.
fn edge_host(input: &Value, expected: &Value) -> Verdict {
    let mut rules = Rules::new();
    let mut answer = json!({"status": 200});
    if let Some(host) = input.get("edgeHost") {
        answer["edgeHost"] = host.clone();
    }
    let host = input["edgeHost"].as_str().unwrap_or_default();
    let (ours, rule) = visitor::ours_of_edge_host(host, text(&expected["cluster"]));
    rules.extend(rule);
    let exchange = Exchange::of(&config(), 0, &options(json!({})), &answer);
    let mut checks = Checks::new();
    if let Some((_, envelope)) = checks.succeeded(&exchange) {
        let ours = ours.map_or(Value::Null, Value::from);
        checks.equal("cluster", &ours, &envelope["target_location_hint_cookie"]["value"]);
    }
    Verdict::of(checks.differences, rules)
}

fn location_hint_cookie(input: &Value, expected: &Value) -> Verdict {
    let mut rules = Rules::new();
    let mut options = options(json!({}));
    if let Some(cluster) = input.get("requestCluster") {
        options["targetLocationHint"] = cluster.clone();
    }
    let mut answer = json!({"status": 200});
    if let Some(host) = input.get("edgeHost") {
        answer["edgeHost"] = host.clone();
    }
    let refused = objections(&options);
    let exchange = Exchange::of(&config(), 0, &options, &answer);
    if !refused.is_empty() {
        return Verdict::of(exchange.refused(&refused, &mut rules), rules);
    }
    let mut recorded = expected["cookie"].clone();
    if text(&input["requestCluster"]).is_none() {
        let host = input["edgeHost"].as_str().unwrap_or_default();
        let (ours, rule) = visitor::ours_of_edge_host(host, text(&recorded["value"]));
        rules.extend(rule);
        match ours {
            Some(ours) => recorded["value"] = Value::from(ours),
            None => recorded = Value::Null,
        }
    }
    let mut checks = Checks::new();
    if let Some((_, envelope)) = checks.succeeded(&exchange) {
        checks.equal("cookie", &recorded, &envelope["target_location_hint_cookie"]);
    }
    Verdict::of(checks.differences, rules)
}

/// Scheme and host. The scheme shows in the port of the tunnel: there is no TLS behind it.
fn host(input: &Value, expected: &Value) -> Verdict {
    if text(&input["client"]).is_none() {
        return Verdict::Skipped("there is no client without a client code".to_owned());
    }
    let mut rules = Rules::new();
    let mut config = config();
    for key in ["client", "serverDomain", "secure"] {
        if let Some(value) = input.get(key) {
            config[key] = value.clone();
        }
    }
    let mut options = options(json!({}));
    if let Some(cluster) = input.get("cluster") {
        options["targetLocationHint"] = cluster.clone();
    }
    let mut refused = refusals::of_config(&config);
    refused.extend(objections(&options));
    if !refused.is_empty() {
        let exchange = Exchange::of(&config, 0, &options, &json!({"status": 200}));
        return Verdict::of(exchange.refused(&refused, &mut rules), rules);
    }
    let destination = library::destination(&config, &Mock::start(), "getOffers", &[options]);
    let (scheme, host) = expected["host"].as_str().and_then(|host| host.split_once("://")).unwrap_or_default();
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let port = if scheme == "https" { ":443" } else { ":80" };
    let recorded = format!("{host}{}", if has_port { "" } else { port });
    let mut checks = Checks::new();
    checks.equal("destination", &Value::from(recorded), &Value::from(destination));
    Verdict::of(checks.differences, rules)
}

/// Constants: names of cookies, and the states of customer ids by what a request makes of them.
fn names(expected: &Value) -> Verdict {
    let mut checks = Checks::new();
    for (key, ours) in [("targetCookieName", TARGET_COOKIE_NAME), ("locationHintCookieName", LOCATION_HINT_COOKIE_NAME)]
    {
        if let Some(name) = expected.get(key) {
            checks.equal(key, name, &Value::from(ours));
        }
    }
    for (name, state) in expected["authState"].as_object().into_iter().flatten() {
        let options = options(json!({"customerIds": {"code": {"id": "x", "authState": state}}}));
        let exchange = Exchange::of(&config(), 0, &options, &json!({"status": 200}));
        if let Some((delivery, _)) = checks.succeeded(&exchange) {
            let got = &delivery.body["id"]["customerIds"][0]["authenticatedState"];
            checks.equal(name, &Value::from(name.to_lowercase()), got);
        }
    }
    let has_ours =
        ["targetCookieName", "locationHintCookieName", "authState"].iter().any(|key| expected.get(key).is_some());
    if has_ours {
        Verdict::of(checks.differences, Rules::new())
    } else {
        Verdict::Skipped("the visitor cookie has no constant: the caller reads it by AMCV_<organization>".to_owned())
    }
}
