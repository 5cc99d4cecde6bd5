//! odd.json: artifact and request in; envelope, impressions, events and requests to other hosts out.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::artifacts;
use crate::bodies::{Call, text};
use crate::compare::{Bindings, Difference, compare};
use crate::corpus::{self, Case};
use crate::impressions::{self, Decision};
use crate::library::Failure;
use crate::play::{Played, is_early, play};
use crate::refusals::{self, same_field};
use crate::report::Verdict;
use crate::requests::judge_refusal;
use crate::rules::{self, Rules};
use crate::traces;
use crate::twins::Twin;
use crate::visitor;

/// Behind the recorded words ours may say why no artifact came.
fn says(message: &str, recorded: &str) -> bool {
    message == recorded || (recorded == NOT_READY && message.starts_with(&format!("{NOT_READY} ")))
}

const NOT_READY: &str = "Unable to fulfill request; decisioning engine not ready.";
/// In the place of a name that means something to JavaScript alone.
const PLAIN_NAME: &str = "plain";
const UNSUPPORTED: &str = "The decisioning artifact version (";

/// A rule about conditions, and which of them it is about.
type OddCondition = (&'static str, fn(&Value) -> bool);

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
            Some(twin) => judge.as_twin(&twin),
            None => {
                let decisions = judge.results(&calls);
                judge.impressions(&decisions);
                judge.excuse();
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

/// A case in progress.
pub struct Judge<'c> {
    case: &'c Case,
    /// The recorded results.
    pub expected: Vec<Value>,
    pub input: &'c Value,
    pub artifact: Option<&'c Value>,
    pub played: &'c Played,
    pub bindings: Bindings,
    pub rules: Rules,
    pub differences: Vec<Difference>,
}

impl Judge<'_> {
    pub fn recorded(&self, key: &str) -> &Value {
        &self.case.recorded[key]
    }

    pub fn hold(&mut self, path: &str, expected: &Value, got: &Value) {
        self.differences.extend(compare(path, expected, got, &mut self.bindings));
    }

    /// Whether there is a client, as there should be.
    fn creation(&mut self) -> bool {
        let refused = refusals::of_config(&self.input["config"]);
        let unusable = self.artifact.filter(|artifact| !artifacts::is_usable(artifact) && !is_early(self.input));
        match (&self.played.refused, unusable) {
            (None, None) if refused.is_empty() => return true,
            (None, _) => {
                self.differences.push(Difference::new("create", format!("a refusal ({refused:?})"), "a client"));
            }
            (Some(failure), Some(artifact)) => self.unusable(artifact, failure),
            (Some(failure), None) => {
                self.differences.extend(judge_refusal(&None, &refused, failure, &mut self.rules));
            }
        }
        false
    }

    /// A payload that is not accepted.
    fn unusable(&mut self, artifact: &Value, failure: &Failure) {
        let recorded = self.expected.first().and_then(message).unwrap_or_default();
        let (rule, says_so) = if artifacts::is_supported(artifact) {
            (rules::UNUSABLE, failure.message.contains("rules"))
        } else if artifact["version"].is_string() {
            (rules::UNSUPPORTED_VERSION, failure.message == recorded)
        } else {
            // What JavaScript calls a version that is no text is not ours to repeat.
            (rules::UNSUPPORTED_VERSION, failure.message.contains(UNSUPPORTED))
        };
        if says_so && failure.code == "TARGET_ERR_INVALID_OPTIONS" && same_field(&failure.field, "artifact_payload") {
            self.rules.insert(rule);
        } else {
            self.differences.push(Difference::new("create", recorded, failure));
        }
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
        if is_known
            && failure.code == "TARGET_ERR_NOT_READY"
            && message(recorded).is_some_and(|text| says(&failure.message, text))
        {
            if message(recorded) != Some(NOT_READY) {
                self.rules.insert(rules::UNSUPPORTED_VERSION);
            }
        } else {
            let expected = recorded.get("error").map_or_else(|| "a success".to_owned(), Value::to_string);
            self.differences.push(Difference::new("result", expected, failure));
        }
    }

    fn as_twin(&mut self, twin: &Twin) {
        self.rules.insert(twin.rule);
        self.differences.extend(twin.differences(self.played));
    }

    /// Where a case came out other than recorded, a rule may say how: then it came out like its twin.
    fn excuse(&mut self) {
        if self.differences.is_empty() {
            return;
        }
        for twin in self.excuses() {
            if twin.differences(self.played).is_empty() {
                self.rules = Rules::from([twin.rule]);
                self.differences.clear();
                return;
            }
        }
    }

    fn excuses(&self) -> Vec<Twin> {
        let plain = |rule: &'static str, input: Value, artifact: Option<Value>| Twin {
            rule,
            input,
            artifact,
            renamed: None,
            same_impressions: true,
        };
        let mut twins = Vec::new();
        let recorded = self.recorded("expected").to_string();
        let was_offered = |rule: &Value| {
            let options = rule["consequence"]["options"].as_array().into_iter().flatten();
            options.map(|option| option["content"].to_string()).any(|content| recorded.contains(&content))
        };
        let odd_conditions: [OddCondition; 2] =
            [(rules::REDUCE, artifacts::reduces_from_a_rule), (rules::INHERITED, artifacts::asks_for_inherited)];
        for (rule, is_odd) in odd_conditions {
            let inverted = self.artifact.and_then(|artifact| artifacts::inverted(artifact, is_odd, was_offered));
            twins.extend(inverted.map(|artifact| plain(rule, self.input.clone(), Some(artifact))));
        }
        let calls = self.input["calls"].to_string();
        for name in artifacts::OBJECT_MEMBERS.into_iter().filter(|name| calls.contains(name)) {
            let rename = |value: &Value| -> Value {
                serde_json::from_str(&value.to_string().replace(name, PLAIN_NAME)).expect("a name in its place")
            };
            let twin = plain(rules::NO_PROTOTYPES, rename(self.input), self.artifact.map(rename));
            twins.push(Twin { renamed: Some((name, PLAIN_NAME)), ..twin });
        }
        if let Some(artifact) = self.artifact {
            let (repaired, removed) = artifacts::repaired(artifact, None);
            twins.extend((!removed.is_empty()).then(|| plain(rules::BAD_RULE, self.input.clone(), Some(repaired))));
        }
        twins.extend(
            self.with_address_of_the_call().map(|input| Twin {
                same_impressions: false,
                ..plain(rules::OWN_ADDRESS, input, self.artifact.cloned())
            }),
        );
        twins
    }

    /// The case with the only mbox's own address as that of the whole request.
    fn with_address_of_the_call(&self) -> Option<Value> {
        let mut input = self.input.clone();
        let request = input.pointer_mut("/calls/0/args/0/request")?;
        let mboxes = request.pointer_mut("/execute/mboxes").and_then(Value::as_array_mut)?;
        let [mbox] = &mut mboxes[..] else { return None };
        let address = mbox.as_object_mut()?.shift_remove("address").filter(Value::is_object)?;
        request["context"]["address"] = address;
        Some(input)
    }

    /// The even case that an odd one has to come out like, where the recorded client failed or read what we do not.
    fn twin(&mut self) -> Option<Twin> {
        let mut input = self.input.clone();
        let even = |rule: &'static str, input: Value, artifact: Value| Twin {
            rule,
            input,
            artifact: Some(artifact),
            renamed: None,
            same_impressions: true,
        };
        let downloaded = artifacts::downloaded(self.input);
        if let Some((artifact, true)) = downloaded {
            return Some(even(rules::MASKED, input, artifact));
        }
        if self.geo_fails() {
            let mut artifact = self.artifact?.clone();
            artifact["geoTargetingEnabled"] = Value::from(false);
            return Some(even(rules::GEO_FAILS, input, artifact));
        }
        let mut failed = self.expected.iter().filter_map(message);
        let failed = failed.find(|text| *text != NOT_READY && !text.starts_with(UNSUPPORTED))?.to_owned();
        let operator = failed.strip_prefix("Unrecognized operation ").and_then(|rest| rest.split(' ').next());
        let downloaded = downloaded.map(|(artifact, _)| artifact);
        let (artifact, removed) = artifacts::repaired(self.artifact.or(downloaded.as_ref())?, operator);
        for key in removed.iter().filter(|key| key.is_string()) {
            let is_named = |event: &&Value| event["type"] == "artifact_rule_skipped" && event["rule_key"] == *key;
            let named = self.played.events.iter().filter(is_named).count();
            self.hold("events of the skipped rule", &Value::from(1), &Value::from(named));
        }
        input.as_object_mut().map(|input| input.shift_remove("cdn"));
        let rule = if failed.starts_with("Cannot create property") { rules::DOTTED_NAMES } else { rules::BAD_RULE };
        Some(even(rule, input, artifact))
    }

    /// Whether a look-up was made and failed.
    fn geo_fails(&self) -> bool {
        let service = &self.input["geoService"];
        let is_error = service["status"].as_u64().is_some_and(|status| !(200..300).contains(&status));
        let is_odd = service.get("body").is_some_and(|body| !body.is_object());
        (service["fail"] == true || is_error || is_odd) && self.recorded("expected_geo_requests").is_array()
    }

    /// Judges an envelope; the decision, if there was one on the device.
    fn success<'d>(&mut self, at: usize, call: &'d Call, recorded: Value, got: &Value) -> Option<Decision<'d>> {
        if let Some(error) = recorded["error"].as_str() {
            self.differences.push(Difference::new("result", error, got));
            return None;
        }
        let mut expected = recorded;
        let theirs = expected["response"]["id"]["tntId"].clone();
        let hints = self.location_hint(call, &mut expected);
        self.generated_id(call, &mut expected);
        let has_own_id = expected["response"]["id"]["tntId"] != theirs;
        let mut response = got["response"].clone();
        let is_local = expected["meta"]["decisioningMethod"] == "on-device";
        if is_local {
            self.page_loads_without_match(call, &response, &mut expected);
        }
        traces::list_offers(self.artifact, &mut expected["response"]);
        if is_local && traces::are_shared(&call.request, self.artifact) {
            let (theirs, ours) = (traces::take(&mut expected["response"]), traces::take(&mut response));
            self.differences.extend(traces::judge_frames(&theirs, &ours, &mut self.bindings));
            let alone = traces::judge_alone(self.input, self.artifact, at, &got["response"]);
            self.differences.extend(alone);
            self.rules.insert(rules::OWN_TRACE);
        }
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
        // Ours alone says why a hybrid call with nothing remote went to the edge.
        let reason = got_meta.as_object_mut().and_then(|meta| meta.shift_remove("edge_reason"));
        let is_remote = |list: &str| meta[list].as_array().is_some_and(|list| !list.is_empty());
        let needs_none = is_local || is_remote("remote_mboxes") || is_remote("remote_views");
        if reason.is_some_and(|reason| needs_none || !["not_ready", "notifications"].map(Value::from).contains(&reason))
        {
            self.differences.push(Difference::new("meta.edge_reason", "none", "one"));
        }
        self.hold("meta", &meta, &got_meta);
        self.values(&expected, got);
        let session = expected["targetCookie"]["value"].as_str().unwrap_or_default();
        let session = session.split('|').next().and_then(|part| part.split('#').nth(1)).unwrap_or_default();
        let session = percent_decode_str(session).decode_utf8_lossy().into_owned();
        is_local.then(|| Decision { call, response: expected["response"].clone(), session, has_own_id, hints })
    }

    /// The recorded client has a page load's trace from its matches; ours is there without one, too.
    fn page_loads_without_match(&mut self, call: &Call, response: &Value, expected: &mut Value) {
        if call.request["trace"].is_null() {
            return;
        }
        for part in ["execute", "prefetch"] {
            let recorded = &expected["response"][part]["pageLoad"];
            if recorded["options"] != json!([]) || recorded.get("trace").is_some() {
                continue;
            }
            let trace = &response[part]["pageLoad"]["trace"];
            self.hold("campaigns of a page load without match", &json!([]), &trace["campaigns"]);
            expected["response"][part]["pageLoad"]["trace"] = trace.clone();
            expected["traceCount"] = Value::from(expected["traceCount"].as_u64().unwrap_or(0) + 1);
            self.rules.insert(rules::OWN_TRACE);
        }
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
        let ours = of_device.or(of_request.clone()).or(default.clone());
        let theirs = expected["targetLocationHintCookie"]["value"].as_str().map(str::to_owned);
        if ours == theirs {
            return None;
        }
        let edge_host = self.input["remoteResponses"][0]["edgeHost"].as_str().and_then(visitor::first_of_four_labels);
        let rule = match &theirs {
            Some(hint) if call.learnt.contains(hint) => rules::STICKY_HINT,
            _ if of_request.is_some() && of_request == ours && theirs == default => rules::TNT_ID_CLUSTER,
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

    fn impressions(&mut self, decisions: &[Decision<'_>]) {
        let recorded = self.recorded("expected_notifications").clone();
        let ours = &self.played.impressions;
        let found = impressions::judge(&recorded, decisions, ours, &mut self.bindings, &mut self.rules);
        self.differences.extend(found);
    }
}

fn with_hint(mut expected: Value, hint: &str) -> Value {
    expected["targetLocationHintCookie"] = json!({"name": "mboxEdgeCluster", "value": hint, "maxAge": 1860});
    expected
}
