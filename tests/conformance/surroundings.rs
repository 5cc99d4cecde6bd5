//! What cases of on-device decisioning have besides the answers of calls: requests to the CDN, the geo service and
//! the edge, events, and what rules print.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::bodies::{self, Call, Sent};
use crate::compare::{Bindings, Difference, compare};
use crate::corpus;
use crate::hosts::Request;
use crate::on_device::Judge;
use crate::play::{is_early, is_ready};
use crate::rules;

/// Recorded names of events and ours.
const EVENTS: [(&str, &str); 4] = [
    ("artifactDownloadSucceeded", "artifact_download_succeeded"),
    ("artifactDownloadFailed", "artifact_download_failed"),
    ("geoLocationUpdated", "geo_location_updated"),
    ("clientReady", "client_ready"),
];

impl Judge<'_> {
    /// Requests to the CDN, the geo service, and the edge.
    pub fn other_hosts(&mut self, calls: &[Call]) {
        if !is_early(self.input) {
            self.downloads();
        }
        self.geo_requests();
        self.startup_requests();
        let remote = self.recorded("expected_remote_requests").as_array().cloned().unwrap_or_default();
        let asked =
            calls.iter().zip(&self.expected).filter(|(_, result)| result["meta"]["decisioningMethod"] == "server-side");
        for ((call, _), (at, recorded)) in asked.zip(remote.iter().enumerate()) {
            let Some(request) = self.played.remote.get(at) else { continue };
            let mut sent = sent(recorded);
            bodies::apply(call, &mut sent, &mut Value::Null, &mut self.rules);
            self.differences.extend(judge_request("remote request", &sent, request, &mut self.bindings));
        }
        self.hold("remote requests", &Value::from(remote.len()), &Value::from(self.played.remote.len()));
    }

    fn downloads(&mut self) {
        let recorded = self.recorded("expected_artifact_requests").clone();
        let count = recorded["count"].as_u64().unwrap_or(0);
        let ours = self.played.downloads.len() as u64;
        if self.is_accepted() || count == 0 {
            self.hold("downloads", &Value::from(count), &Value::from(ours));
        } else if ours != count {
            self.rules.insert(rules::RETRIES);
        }
        let Some(first) = self.played.downloads.first().filter(|_| count > 0) else { return };
        let url = recorded["first"]["url"].as_str().unwrap_or_default();
        let mut url = url.split_once("://").map_or(url, |(_, rest)| rest).to_owned();
        for key in ["environment", "propertyToken"] {
            let name = self.input["config"][key].as_str().unwrap_or_default();
            let name = if key == "environment" { name.to_lowercase() } else { name.to_owned() };
            let escaped = utf8_percent_encode(&name, SEGMENT).to_string();
            if escaped != name {
                url = url.replacen(&format!("/{name}/"), &format!("/{escaped}/"), 1);
                self.rules.insert(rules::ESCAPED_PATH);
            }
        }
        let got = Value::from(format!("{}{}", first.host, first.path));
        self.hold("URL of the artifact", &Value::from(url), &got);
        self.headers(&recorded["first"]["headers"], first, &["if-none-match"]);
    }

    /// Recorded headers are there, and these are not unless recorded.
    fn headers(&mut self, recorded: &Value, request: &Request, none_of: &[&str]) {
        for (name, value) in recorded.as_object().into_iter().flatten() {
            self.hold(name, value, &Value::from(request.header(name)));
        }
        for name in none_of.iter().filter(|name| recorded.get(**name).is_none()) {
            self.hold(name, &Value::Null, &Value::from(request.header(name)));
        }
    }

    fn geo_requests(&mut self) {
        let mut recorded = self.recorded("expected_geo_requests").as_array().cloned().unwrap_or_default();
        let all = recorded.len();
        let mut once: Vec<Value> = Vec::new();
        recorded.retain(|request| {
            let is_new = !once.contains(request);
            once.push(request.clone());
            is_new
        });
        if recorded.len() < all {
            self.rules.insert(rules::GEO_ONCE);
        }
        self.hold("look-ups", &Value::from(recorded.len()), &Value::from(self.played.geo.len()));
        for (recorded, request) in recorded.iter().zip(&self.played.geo) {
            let url = recorded["url"].as_str().unwrap_or_default();
            let url = url.split_once("://").map_or(url, |(_, rest)| rest);
            self.hold(
                "URL of the look-up",
                &Value::from(url),
                &Value::from(format!("{}{}", request.host, request.path)),
            );
            self.headers(&recorded["headers"], request, &["x-forwarded-for"]);
        }
    }

    fn startup_requests(&mut self) {
        let recorded = self.recorded("expected_startup_requests").as_array().cloned().unwrap_or_default();
        self.hold("start-up requests", &Value::from(recorded.len()), &Value::from(self.played.startup.len()));
        for (recorded, request) in recorded.iter().zip(&self.played.startup) {
            let mut sent = sent(recorded);
            sent.query["sessionId"] = Value::from("<uuid:startup>");
            self.rules.insert(rules::START_UP);
            bodies::context(&Value::Null, &mut sent.body, &mut self.rules);
            self.differences.extend(judge_request("start-up request", &sent, request, &mut self.bindings));
        }
    }

    /// Whether what the CDN answers becomes the artifact.
    fn is_accepted(&self) -> bool {
        is_ready(self.input, self.artifact)
    }

    pub fn events(&mut self) {
        let Some(recorded) = self.recorded("events").as_array().cloned() else { return };
        if is_early(self.input) {
            return;
        }
        let shown = |recorded: &Value| {
            let name = recorded.as_str().or(recorded[0].as_str()).unwrap_or_default();
            let kind = EVENTS.iter().find(|(theirs, _)| *theirs == name).map_or(name, |(_, ours)| ours);
            let geo = &recorded[1];
            if recorded.is_array() { json!({"type": kind, "geo": geo}) } else { json!({"type": kind}) }
        };
        let mut recorded: Vec<Value> = recorded.iter().map(shown).collect();
        let is_one = |event: &&Value| EVENTS.iter().any(|(_, kind)| event["type"] == *kind);
        let ours: Vec<Value> = self.played.events.iter().filter(is_one).map(kind_and_geo).collect();
        if self.rules.contains(rules::GEO_ONCE) {
            recorded.dedup_by(|later, event| *later == *event && event["type"] == "geo_location_updated");
        }
        let failed = json!({"type": "artifact_download_failed"});
        let expected = if self.input.get("cdn").is_some() && !self.is_accepted() {
            // How often is the business of the backoff.
            if recorded.iter().any(|event| *event != failed) || recorded.is_empty() {
                self.rules.insert(rules::DOWNLOAD_EVENTS);
            } else if recorded.len() != ours.len() {
                self.rules.insert(rules::RETRIES);
            }
            vec![failed; ours.len().max(1)]
        } else if self.rules.contains(rules::MASKED) {
            let download = json!({"type": "artifact_download_succeeded"});
            vec![download, json!({"type": "geo_location_updated", "geo": {}}), json!({"type": "client_ready"})]
        } else if self.rules.contains(rules::GEO_FAILS) {
            recorded.into_iter().filter(|event| event["type"] != "geo_location_updated").collect()
        } else {
            recorded
        };
        self.hold("events", &Value::from(expected), &Value::from(ours));
    }

    pub fn printed(&mut self) {
        for texts in self.recorded("printed").as_array().cloned().unwrap_or_default() {
            for text in texts.as_array().into_iter().flatten() {
                let text = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
                if !self.played.log.iter().any(|line| line.contains(&text)) {
                    self.differences.push(Difference::new("log", &text, format!("{:?}", self.played.log)));
                }
            }
        }
    }
}

/// What stays as it is in a part of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// What is compared of an event of ours.
fn kind_and_geo(event: &Value) -> Value {
    let members = ["type", "geo"].iter().filter_map(|key| Some(((*key).to_owned(), event.get(*key)?.clone())));
    Value::Object(members.collect::<Map<_, _>>())
}

fn sent(recorded: &Value) -> Sent {
    let origin = recorded["origin"].as_str().unwrap_or_default();
    Sent {
        line: format!("POST {}", recorded["path"].as_str().unwrap_or_default()),
        host: origin.split_once("://").map_or(origin, |(_, host)| host).to_owned(),
        query: recorded["query"].clone(),
        header_id: Value::from("<uuid:header>"),
        body: corpus::lossy(&recorded["body"]),
    }
}

fn judge_request(what: &str, sent: &Sent, request: &Request, bindings: &mut Bindings) -> Vec<Difference> {
    let text = |text: &str| Value::from(text);
    let mut differences = compare(what, &text(&sent.line), &text(&request.line()), bindings);
    differences.extend(compare(&format!("{what}, host"), &text(&sent.host), &text(&request.host), bindings));
    differences.extend(compare(&format!("{what}, query"), &sent.query, &request.query, bindings));
    differences.extend(compare(&format!("{what}, body"), &sent.body, &request.body, bindings));
    differences
}
