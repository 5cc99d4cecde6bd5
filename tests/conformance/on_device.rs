//! odd.json: artifact and request in; envelope, impressions, events and requests to other hosts out.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::artifacts;
use crate::bodies::{self, Call, Sent, text};
use crate::compare::{Bindings, Difference, compare};
use crate::corpus::{self, Case};
use crate::hosts::Request;
use crate::impressions::{self, Decision};
use crate::library::Failure;
use crate::play::{Played, is_early, is_ready, play};
use crate::refusals::{self, same_field};
use crate::report::Verdict;
use crate::requests::judge_refusal;
use crate::rules::{self, Rules};
use crate::traces;
use crate::twins;
use crate::visitor;

const NOT_READY: &str = "Unable to fulfill request; decisioning engine not ready.";
const UNSUPPORTED: &str = "The decisioning artifact version (";

/// Runs a case.
pub fn run(case: &Case) -> Verdict {
    let Some(folder) = corpus::folder() else { return Verdict::Skipped("no folder".to_owned()) };
    let input = match corpus::expressible(&case.input) {
        Ok(input) => input,
        Err(reason) => return Verdict::Skipped(reason),
    };
    let artifact = artifacts::given(&input, &folder);
    let played = play(&input, artifact.as_ref(), case.recorded.get("printed").is_some());
    let now = input["now"].as_i64().unwrap_or_default();
    let mut judge = Judge {
        case,
        expected: results(&case.expected),
        input: &input,
        artifact: artifact.as_ref(),
        played: &played,
        bindings: Bindings::new(now),
        rules: Rules::new(),
        differences: Vec::new(),
    };
    if judge.creation() {
        let calls = judge.calls();
        match judge.twin() {
            Some(twin) => judge.differences.extend(twins::differences(&twin, &played)),
            None => {
                let decisions = judge.results(&calls);
                judge.impressions(&decisions);
            }
        }
        judge.other_hosts(&calls);
        judge.events();
        judge.printed();
    }
    Verdict::of(judge.differences.iter().map(Difference::to_string).collect(), judge.rules)
}

fn results(expected: &Value) -> Vec<Value> {
    match expected["results"].as_array() {
        Some(results) => results.clone(),
        None => vec![expected.clone()],
    }
}

/// A recorded error without the name of its kind.
fn message(result: &Value) -> Option<&str> {
    let error = result["error"].as_str()?;
    Some(error.split_once(": ").map_or(error, |(_, message)| message))
}

struct Judge<'c> {
    case: &'c Case,
    /// The recorded results.
    expected: Vec<Value>,
    input: &'c Value,
    artifact: Option<&'c Value>,
    played: &'c Played,
    bindings: Bindings,
    rules: Rules,
    differences: Vec<Difference>,
}

impl Judge<'_> {
    fn recorded(&self, key: &str) -> &Value {
        &self.case.recorded[key]
    }

    fn hold(&mut self, path: &str, expected: &Value, got: &Value) {
        self.differences.extend(compare(path, expected, got, &mut self.bindings));
    }

    /// Whether there is a client, as there should be.
    fn creation(&mut self) -> bool {
        let refused = refusals::of_config(&self.input["config"]);
        let unsupported = self.artifact.filter(|artifact| !artifacts::is_supported(artifact) && !is_early(self.input));
        let Some(failure) = &self.played.refused else {
            if !refused.is_empty() || unsupported.is_some() {
                self.differences.push(Difference::new("create", format!("a refusal ({refused:?})"), "a client"));
                return false;
            }
            return true;
        };
        if let Some(artifact) = unsupported {
            let recorded = self.expected.first().and_then(message).unwrap_or_default();
            // What JavaScript calls a version that is no text is not ours to repeat.
            let says_so = if artifact["version"].is_string() {
                failure.message == recorded
            } else {
                failure.message.contains(UNSUPPORTED)
            };
            if says_so && failure.code == "TARGET_ERR_INVALID_OPTIONS" && same_field(&failure.field, "artifact_payload")
            {
                self.rules.insert(rules::UNSUPPORTED_VERSION);
            } else {
                self.differences.push(Difference::new("create", recorded, failure));
            }
        } else {
            self.differences.extend(judge_refusal(&None, &refused, failure, &mut self.rules));
        }
        false
    }

    /// The hint that the client itself has.
    fn client_hint(&self) -> Option<String> {
        match text(&self.input["config"]["targetLocationHint"]) {
            Some(hint) => Some(hint.to_owned()),
            None if self.recorded("expected_startup_requests").is_array() => {
                visitor::edge_cluster(self.input["remoteResponses"][0]["edgeHost"].as_str().unwrap_or_default())
            }
            None => None,
        }
    }

    fn calls(&self) -> Vec<Call> {
        let now = self.input["now"].as_i64().unwrap_or_default();
        let made = |call: &Value| {
            let args = call["args"].as_array().map_or(&[][..], Vec::as_slice);
            Call::new(call["method"].as_str().unwrap_or_default(), args, &self.input["config"], now)
        };
        let mut calls: Vec<Call> = self.input["calls"].as_array().into_iter().flatten().map(made).collect();
        let mut learnt: Vec<String> = Vec::new();
        for call in &mut calls {
            call.learnt.clone_from(&learnt);
            learnt.extend(call.hints());
        }
        calls
    }

    /// Judges what the calls came to; the decisions among them.
    fn results<'d>(&mut self, calls: &'d [Call]) -> Vec<Decision<'d>> {
        let mut decisions = Vec::new();
        for (at, call) in calls.iter().enumerate() {
            let recorded = corpus::lossy(self.expected.get(at).unwrap_or(&Value::Null));
            let args = self.input["calls"][at]["args"].as_array().map_or(&[][..], Vec::as_slice);
            let objections = refusals::of_call(&call.method, args);
            match self.played.results.get(at) {
                Some(Err(failure)) if !objections.is_empty() => {
                    self.differences.extend(judge_refusal(&None, &objections, failure, &mut self.rules));
                }
                Some(Err(failure)) => self.failure(&recorded, failure),
                Some(Ok(envelope)) if objections.is_empty() => {
                    decisions.extend(self.success(at, call, recorded, envelope));
                }
                _ => self.differences.push(Difference::new("result", format!("{objections:?}"), "a success")),
            }
        }
        decisions
    }

    fn failure(&mut self, recorded: &Value, failure: &Failure) {
        let is_known = message(recorded).is_some_and(|text| text == NOT_READY || text.starts_with(UNSUPPORTED));
        if is_known && failure.code == "TARGET_ERR_NOT_READY" && message(recorded) == Some(&failure.message) {
            if message(recorded) != Some(NOT_READY) {
                self.rules.insert(rules::UNSUPPORTED_VERSION);
            }
        } else {
            let expected = recorded.get("error").map_or_else(|| "a success".to_owned(), Value::to_string);
            self.differences.push(Difference::new("result", expected, failure));
        }
    }

    /// The even case that an odd one has to come out like, where the recorded client failed or read what we do not.
    fn twin(&mut self) -> Option<Played> {
        let mut even = self.input.clone();
        let organization = self.input["config"]["organizationId"].as_str().unwrap_or_default();
        let downloaded = self.input.get("cdn").and_then(|cdn| artifacts::downloaded(cdn, organization));
        if let Some((artifact, true)) = &downloaded {
            self.rules.insert(rules::MASKED);
            return Some(play(&even, Some(artifact), false));
        }
        if self.geo_fails() {
            let mut artifact = self.artifact?.clone();
            artifact["geoTargetingEnabled"] = Value::from(false);
            self.rules.insert(rules::GEO_FAILS);
            return Some(play(&even, Some(&artifact), false));
        }
        let failed = self.expected.iter().filter_map(message);
        let failed = failed.filter(|text| *text != NOT_READY && !text.starts_with(UNSUPPORTED)).last()?.to_owned();
        let operator = failed.strip_prefix("Unrecognized operation ").and_then(|rest| rest.split(' ').next());
        let downloaded = downloaded.map(|(artifact, _)| artifact);
        let (artifact, removed) = artifacts::repaired(self.artifact.or(downloaded.as_ref())?, operator);
        self.rules.insert(rules::BAD_RULE);
        for key in removed {
            let is_named = |event: &&Value| event["type"] == "artifact_rule_skipped" && event["rule_key"] == key;
            let named = self.played.events.iter().filter(is_named).count();
            self.hold("events of the skipped rule", &Value::from(1), &Value::from(named));
        }
        even.as_object_mut().map(|input| input.shift_remove("cdn"));
        Some(play(&even, Some(&artifact), false))
    }

    /// Whether a look-up was made and failed.
    fn geo_fails(&self) -> bool {
        let service = &self.input["geoService"];
        let is_error = service["status"].as_u64().is_some_and(|status| !(200..300).contains(&status));
        (service["fail"] == true || is_error) && self.recorded("expected_geo_requests").is_array()
    }

    /// Judges an envelope; the decision, if there was one on the device.
    fn success<'d>(&mut self, at: usize, call: &'d Call, recorded: Value, got: &Value) -> Option<Decision<'d>> {
        if let Some(error) = recorded["error"].as_str() {
            self.differences.push(Difference::new("result", error, got));
            return None;
        }
        let mut expected = recorded;
        let hints = self.location_hint(call, &mut expected);
        self.generated_id(call, &mut expected);
        let mut response = got["response"].clone();
        let is_local = expected["meta"]["decisioningMethod"] == "on-device";
        if is_local && traces::are_shared(&call.request) {
            let (theirs, ours) = (traces::take(&mut expected["response"]), traces::take(&mut response));
            self.differences.extend(traces::judge_frames(&theirs, &ours, &mut self.bindings));
            let alone = traces::judge_alone(self.input, self.artifact, at, &got["response"]);
            self.differences.extend(alone);
            self.rules.insert(rules::OWN_TRACE);
        }
        self.prototypes(call, &mut expected["response"]);
        self.hold("response", &expected["response"], &response);
        for (theirs, ours) in [
            ("targetCookie", "target_cookie"),
            ("targetLocationHintCookie", "target_location_hint_cookie"),
            ("analyticsDetails", "analytics_details"),
            ("responseTokens", "response_tokens"),
            ("attributes", "attributes"),
        ] {
            self.hold(ours, &expected[theirs], &got[ours]);
        }
        let count = expected["traceCount"].as_u64().unwrap_or(0);
        let traces = got["trace"].as_array().map_or(0, Vec::len);
        self.hold("traces", &Value::from(count), &Value::from(traces));
        let meta = json!({
            "decisioning_method": expected["meta"]["decisioningMethod"],
            "remote_mboxes": expected["meta"]["remoteMboxes"],
            "remote_views": expected["meta"]["remoteViews"],
        });
        let mut got_meta = got["meta"].clone();
        if call.method == "sendNotifications" {
            got_meta.as_object_mut().map(|meta| meta.shift_remove("notifications"));
        }
        self.hold("meta", &meta, &got_meta);
        self.values(&expected, got);
        let session = expected["targetCookie"]["value"].as_str().unwrap_or_default();
        let session = session.split('|').next().and_then(|part| part.split('#').nth(1)).unwrap_or_default();
        let session = percent_decode_str(session).decode_utf8_lossy().into_owned();
        is_local.then(|| Decision { call, response: expected["response"].clone(), session, hints })
    }

    fn values(&mut self, expected: &Value, got: &Value) {
        for value in expected["values"].as_array().into_iter().flatten() {
            let (mbox, key) = (value["mbox"].as_str().unwrap_or_default(), value["key"].as_str().unwrap_or_default());
            let found = got["attributes"][mbox].get(key);
            let is_there = value.get("errorReturned").is_none();
            self.hold(&format!("value({mbox}, {key})"), &Value::from(is_there), &Value::from(found.is_some()));
            if is_there {
                self.hold(&format!("value({mbox}, {key})"), &value["value"], found.unwrap_or(&Value::Null));
            }
        }
    }

    /// The recorded client's hint may be another visitor's. Returns it and ours where they differ.
    fn location_hint(&mut self, call: &Call, expected: &mut Value) -> Option<(String, Option<String>)> {
        let device = call.cookie().1;
        let of_device = device.as_deref().and_then(visitor::cluster).map(str::to_owned);
        let of_request = text(&call.request["id"]["tntId"]).and_then(visitor::cluster).map(str::to_owned);
        let default = call.option("targetLocationHint").map(str::to_owned).or_else(|| self.client_hint());
        let ours = of_device.or(of_request.clone()).or(default);
        let theirs = expected["targetLocationHintCookie"]["value"].as_str().map(str::to_owned);
        if ours == theirs {
            return None;
        }
        let edge_host = self.input["remoteResponses"][0]["edgeHost"].as_str().and_then(visitor::first_of_four_labels);
        let rule = match &theirs {
            Some(hint) if call.learnt.contains(hint) => rules::STICKY_HINT,
            _ if of_request.is_some() && of_request == ours => rules::TNT_ID_CLUSTER,
            Some(hint) if device.as_deref().and_then(visitor::cluster_text) == Some(hint) => rules::COOKIE_HINT,
            Some(_) if edge_host == theirs => rules::EDGE_HOST,
            _ => return None,
        };
        self.rules.insert(rule);
        match &ours {
            Some(hint) => *expected = with_hint(expected.clone(), hint),
            None => {
                expected.as_object_mut().map(|members| members.shift_remove("targetLocationHintCookie"));
            }
        }
        let generated = expected["response"]["id"]["tntId"].as_str().filter(|id| id.starts_with("<uuid:"));
        if let Some(id) = generated.map(str::to_owned) {
            let plain = id.split('.').next().unwrap_or_default();
            let own = ours.as_ref().map_or_else(|| plain.to_owned(), |hint| format!("{plain}.{hint}_0"));
            let cookie = expected["targetCookie"]["value"].as_str().unwrap_or_default().replace(&id, &own);
            expected["targetCookie"]["value"] = Value::from(cookie);
            expected["response"]["id"]["tntId"] = Value::from(own);
        }
        theirs.map(|hint| (hint, ours))
    }

    /// An authenticated customer id alone decides no allocation, so an id is generated all the same.
    fn generated_id(&mut self, call: &Call, expected: &mut Value) {
        let id = &expected["response"]["id"];
        let decides = ["tntId", "marketingCloudVisitorId", "thirdPartyId"].iter().any(|key| text(&id[key]).is_some());
        let is_authenticated = |id: &Value| id["authenticatedState"] == "authenticated";
        let is_known = id["customerIds"].as_array().is_some_and(|ids| ids.iter().any(is_authenticated));
        if decides || !is_known || expected["meta"]["decisioningMethod"] != "on-device" {
            return;
        }
        let hint = call.option("targetLocationHint").map(str::to_owned).or_else(|| self.client_hint());
        let id = hint.map_or_else(|| "<uuid:tnt>".to_owned(), |hint| format!("<uuid:tnt>.{hint}_0"));
        let expires = (call.now as f64 / 1000.0).ceil() as i64 + 63_244_800;
        let session = expected["targetCookie"]["value"].as_str().unwrap_or_default();
        expected["targetCookie"]["value"] = Value::from(format!("{session}|PC#{id}#{expires}"));
        expected["targetCookie"]["maxAge"] = Value::from(63_244_800);
        expected["response"]["id"]["tntId"] = Value::from(id);
        self.rules.insert(rules::GENERATED_ID);
    }

    /// `__proto__` in a parameter's name reached JavaScript's own objects.
    fn prototypes(&mut self, call: &Call, response: &mut Value) {
        for mbox in call.request["execute"]["mboxes"].as_array().into_iter().flatten() {
            for (name, value) in mbox["parameters"].as_object().into_iter().flatten() {
                let Some(("__proto__", key)) = name.split_once('.') else { continue };
                let mut object = json!({key: value});
                if let Some(value) = value.as_str() {
                    object[format!("{key}_lc")] = Value::from(value.to_lowercase());
                }
                for entry in response["execute"]["mboxes"].as_array_mut().into_iter().flatten() {
                    let evaluated = entry.get_mut("trace").and_then(|trace| trace.get_mut("evaluatedCampaignTargets"));
                    for target in evaluated.and_then(Value::as_array_mut).into_iter().flatten() {
                        target["context"]["mbox"]["__proto__"] = object.clone();
                    }
                }
                self.rules.insert(rules::NO_PROTOTYPES);
            }
        }
    }

    /// Requests to the CDN, the geo service, and the edge.
    fn other_hosts(&mut self, calls: &[Call]) {
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
        let url = url.split_once("://").map_or(url, |(_, rest)| rest);
        let escaped = utf8_percent_encode(url, PATH).to_string();
        if escaped != url {
            self.rules.insert(rules::ESCAPED_PATH);
        }
        let got = Value::from(format!("{}{}", first.host, first.path));
        self.hold("URL of the artifact", &Value::from(escaped), &got);
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

    fn impressions(&mut self, decisions: &[Decision<'_>]) {
        let recorded = self.recorded("expected_notifications").clone();
        let ours = &self.played.impressions;
        let found = impressions::judge(&recorded, decisions, ours, &mut self.bindings, &mut self.rules);
        self.differences.extend(found);
    }

    /// Whether what the CDN answers becomes the artifact.
    fn is_accepted(&self) -> bool {
        is_ready(self.input, self.artifact)
    }

    fn events(&mut self) {
        let Some(recorded) = self.recorded("events").as_array().cloned() else { return };
        if is_early(self.input) {
            return;
        }
        const KINDS: [(&str, &str); 4] = [
            ("artifactDownloadSucceeded", "artifact_download_succeeded"),
            ("artifactDownloadFailed", "artifact_download_failed"),
            ("geoLocationUpdated", "geo_location_updated"),
            ("clientReady", "client_ready"),
        ];
        let shown = |recorded: &Value| {
            let name = recorded.as_str().or(recorded[0].as_str()).unwrap_or_default();
            let kind = KINDS.iter().find(|(theirs, _)| *theirs == name).map_or(name, |(_, ours)| ours);
            let geo = &recorded[1];
            if recorded.is_array() { json!({"type": kind, "geo": geo}) } else { json!({"type": kind}) }
        };
        let recorded: Vec<Value> = recorded.iter().map(shown).collect();
        let ours: Vec<Value> = self
            .played
            .events
            .iter()
            .filter(|event| KINDS.iter().any(|(_, kind)| event["type"] == *kind))
            .map(|event| {
                let geo = event.get("geo").map(|geo| ("geo".to_owned(), geo.clone()));
                let kind = ("type".to_owned(), event["type"].clone());
                Value::Object(std::iter::once(kind).chain(geo).collect::<Map<_, _>>())
            })
            .collect();
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
            let kinds = ["artifact_download_succeeded", "geo_location_updated", "client_ready"];
            kinds
                .iter()
                .map(
                    |kind| {
                        if kind.starts_with("geo") { json!({"type": kind, "geo": {}}) } else { json!({"type": kind}) }
                    },
                )
                .collect()
        } else if self.rules.contains(rules::GEO_FAILS) {
            recorded.into_iter().filter(|event| event["type"] != "geo_location_updated").collect()
        } else {
            recorded
        };
        self.hold("events", &Value::from(expected), &Value::from(ours));
    }

    fn printed(&mut self) {
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

/// What a URL has besides letters and digits, as it is.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~').remove(b':').remove(b'%');

fn with_hint(mut expected: Value, hint: &str) -> Value {
    expected["targetLocationHintCookie"] = json!({"name": "mboxEdgeCluster", "value": hint, "maxAge": 1860});
    expected
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
