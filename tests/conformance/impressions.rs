//! What on-device decisions report: the recorded requests, changed where our rules say so, against ours.

use serde_json::{Map, Value, json};

use crate::bodies::{self, Call, text};
use crate::compare::{Bindings, Difference, compare};
use crate::corpus;
use crate::hosts::Request;
use crate::rules::{self, Rules};

/// A decision whose impressions are reported.
pub struct Decision<'c> {
    pub call: &'c Call,
    /// What is expected of its response.
    pub response: Value,
    /// The session of its cookie.
    pub session: String,
    /// Its `tntId` is not the recorded one.
    pub has_own_id: bool,
    /// The recorded location hint and ours, where they differ.
    pub hints: Option<(String, Option<String>)>,
}

impl Decision<'_> {
    fn executes(&self) -> bool {
        self.response.get("execute").is_some()
    }

    fn is_of(&self, visitor: &Value) -> bool {
        let same = |key: &str| self.response["id"][key] == visitor[key] || self.has_own_id;
        self.executes() && same("tntId") && same("marketingCloudVisitorId")
    }
}

/// What is expected of a request.
#[derive(Clone)]
struct Expected {
    host: String,
    path: Value,
    query: Value,
    body: Value,
}

/// Takes the telemetry out of a body. It goes with any request that is sent, so it is compared over all of them.
fn take_telemetry(body: &mut Value) -> Vec<Value> {
    let telemetry = body.as_object_mut().and_then(|body| body.shift_remove("telemetry"));
    telemetry.and_then(|telemetry| telemetry["entries"].as_array().cloned()).unwrap_or_default()
}

/// Entries come in their order. Those that had a request of their own wait for another one, which may not come.
fn judge_telemetry(recorded: &[(Value, bool)], ours: &[Value], bindings: &mut Bindings) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut ours = ours.iter().peekable();
    for (entry, must_come) in recorded {
        let fits = |own: &&Value| compare("telemetry", entry, own, &mut bindings.clone()).is_empty();
        if ours.next_if(fits).is_none() && *must_come {
            let own = ours.next().unwrap_or(&Value::Null);
            differences.push(Difference::new("telemetry", entry, own));
        }
    }
    differences.extend(ours.map(|own| Difference::new("telemetry", "nothing", own)));
    differences
}

/// Holds our requests against the recorded ones.
pub fn judge(
    recorded: &Value,
    decisions: &[Decision<'_>],
    ours: &[Request],
    bindings: &mut Bindings,
    rules: &mut Rules,
) -> Vec<Difference> {
    let mut expected = Vec::new();
    let mut telemetry = Vec::new();
    let mut at = 0;
    // What calls that we refuse, or have failed to answer as recorded, would have shown is not expected.
    let recorded = recorded.as_array().filter(|_| !decisions.is_empty());
    for request in recorded.into_iter().flatten() {
        let later = decisions.iter().enumerate().skip(at).find(|(_, decision)| decision.is_of(&request["body"]["id"]));
        let (found, decision) = match later {
            Some(found) => found,
            None => match decisions.get(at).or(decisions.last()) {
                Some(decision) => (at, decision),
                None => return vec![Difference::new("impressions", "a decision", "none")],
            },
        };
        at = found + 1;
        let mut sent = as_we_send(request, decision, rules);
        let entries = take_telemetry(&mut request["body"].clone());
        telemetry.extend(entries.into_iter().map(|entry| (entry, sent.is_some())));
        if let Some(sent) = &mut sent {
            take_telemetry(&mut sent.body);
        }
        expected.extend(sent);
    }
    let mut differences = Vec::new();
    let mut reported = Vec::new();
    for request in ours {
        let mut request = request.clone();
        reported.extend(take_telemetry(&mut request.body));
        match take(&mut expected, &request, bindings, rules) {
            Ok(()) => {}
            Err(found) => differences.extend(found),
        }
    }
    differences.extend(expected.iter().map(|left| Difference::new("impressions", &left.body, "nothing")));
    differences.extend(judge_telemetry(&telemetry, &reported, bindings));
    differences
}

/// The recorded request by our rules; None where we send none.
fn as_we_send(recorded: &Value, decision: &Decision<'_>, rules: &mut Rules) -> Option<Expected> {
    let mut body = corpus::lossy(&recorded["body"]);
    let mut query = recorded["query"].clone();
    if body["notifications"].as_array().is_none_or(Vec::is_empty) {
        rules.insert(rules::NO_REQUEST_FOR_TELEMETRY);
        return None;
    }
    if query["sessionId"] != *decision.session {
        query["sessionId"] = Value::from(decision.session.as_str());
        rules.insert(rules::IMPRESSION_SESSION);
    }
    if body["context"]["geo"] == json!({}) {
        body["context"].as_object_mut().map(|context| context.shift_remove("geo"));
        rules.insert(rules::GEO_WHEN_KNOWN);
    }
    visitor(decision, &mut body["id"], rules);
    scope(decision.call, &mut body, rules);
    bodies::visitor_cookie(decision.call, &mut body, rules);
    bodies::context(&decision.call.request, &mut body, rules);
    add_unknown(&decision.call.request, &mut body, rules);
    let origin = recorded["origin"].as_str().unwrap_or_default();
    let mut host = origin.split_once("://").map_or(origin, |(_, host)| host).to_owned();
    if let Some((theirs, ours)) = &decision.hints
        && host == format!("mboxedge{theirs}.tt.omtrdc.net")
    {
        host = match ours {
            Some(hint) => format!("mboxedge{hint}.tt.omtrdc.net"),
            None => format!("{}.tt.omtrdc.net", decision.call.config["client"].as_str().unwrap_or_default()),
        };
    }
    Some(Expected { host, path: recorded["path"].clone(), query, body })
}

/// The visitor is that of the answer; there, rules have changed it where they had to.
fn visitor(decision: &Decision<'_>, recorded: &mut Value, rules: &mut Rules) {
    let ours = &decision.response["id"];
    let ids = |visitor: &Value| visitor["customerIds"].as_array().cloned().unwrap_or_default();
    if ids(recorded).len() > ids(ours).len() && ids(recorded).ends_with(&ids(ours)) {
        recorded["customerIds"] = ours["customerIds"].clone();
        rules.insert(rules::IDS_ONCE);
    }
    if decision.has_own_id {
        recorded["tntId"] = ours["tntId"].clone();
    }
}

/// Property and environment of the decision.
fn scope(call: &Call, body: &mut Value, rules: &mut Rules) {
    if let Some(token) = text(&call.request["property"]["token"]).or(text(&call.config["propertyToken"]))
        && body["property"]["token"] != *token
    {
        body["property"] = json!({"token": token});
        rules.insert(rules::IMPRESSION_SCOPE);
    }
    let given = &call.request["environmentId"];
    let environment = if given.is_null() { &call.config["environmentId"] } else { given };
    if !environment.is_null() && body["environmentId"] != *environment {
        body["environmentId"] = environment.clone();
        rules.insert(rules::IMPRESSION_SCOPE);
    }
}

/// What the caller gave of these and the recorded client dropped.
fn add_unknown(request: &Value, body: &mut Value, rules: &mut Rules) {
    let given: Map<String, Value> = ["context", "experienceCloud"]
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), request.get(*key)?.clone())))
        .collect();
    if bodies::add_unknown("", &Value::Object(given), body) {
        rules.insert(rules::UNKNOWN_MEMBERS);
    }
}

/// Takes what a request brought out of what is expected: one recorded request, or several of the same visitor.
fn take(
    expected: &mut Vec<Expected>,
    request: &Request,
    bindings: &mut Bindings,
    rules: &mut Rules,
) -> Result<(), Vec<Difference>> {
    let mut nearest = None;
    for first in 0..expected.len() {
        let Some((whole, used)) = joined(expected, first, request) else { continue };
        let mut attempt = bindings.clone();
        let differences = compare_request(&whole, request, &mut attempt);
        if differences.is_empty() {
            *bindings = attempt;
            if used.len() > 1 {
                rules.insert(rules::COALESCED);
            }
            let mut at = 0..;
            expected.retain(|_| at.next().is_none_or(|at| !used.contains(&at)));
            return Ok(());
        }
        nearest.get_or_insert(differences);
    }
    Err(nearest.unwrap_or_else(|| vec![Difference::new("impressions", "nothing", &request.body)]))
}

/// As many expected requests as have the notifications of ours, from that one on, and which they are.
fn joined(expected: &[Expected], first: usize, request: &Request) -> Option<(Expected, Vec<usize>)> {
    let count = |body: &Value| body["notifications"].as_array().map_or(0, Vec::len);
    let mut whole = expected.get(first)?.clone();
    let mut used = vec![first];
    for (at, other) in expected.iter().enumerate().skip(first + 1) {
        if count(&whole.body) >= count(&request.body) {
            break;
        }
        if other.query == whole.query && other.body["id"] == whole.body["id"] {
            let more = other.body["notifications"].as_array().cloned().unwrap_or_default();
            whole.body["notifications"].as_array_mut()?.extend(more);
            used.push(at);
        }
    }
    Some((whole, used))
}

fn compare_request(expected: &Expected, request: &Request, bindings: &mut Bindings) -> Vec<Difference> {
    let plain = |text: &str| Value::from(text);
    let path = format!("POST {}", expected.path.as_str().unwrap_or_default());
    let mut differences = compare("impressions host", &plain(&expected.host), &plain(&request.host), bindings);
    differences.extend(compare("impressions", &plain(&path), &plain(&request.line()), bindings));
    differences.extend(compare("impressions query", &expected.query, &request.query, bindings));
    differences.extend(compare("impressions body", &expected.body, &request.body, bindings));
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0f47ac10-58cc-4372-a567-0e02b2c3d479";

    fn recorded(visitor: &str, token: &str, more: usize) -> Value {
        json!({
            "origin": "https://mboxedge35.tt.omtrdc.net",
            "path": "/rest/v1/delivery",
            "query": {"sessionId": format!("<uuid:session{more}>")},
            "body": {
                "requestId": format!("<uuid:{more}>"),
                "id": {"tntId": visitor},
                "context": {"channel": "web", "timeOffsetInMinutes": 0, "geo": {}},
                "notifications": [{"tokens": [token]}],
            },
        })
    }

    fn ours(visitor: &str, tokens: &[&str], more: usize) -> Request {
        let notifications: Vec<Value> = tokens.iter().map(|token| json!({"tokens": [token]})).collect();
        let body = json!({
            "requestId": UUID.replacen('0', &more.to_string(), 1),
            "id": {"tntId": visitor},
            "context": {"channel": "web", "timeOffsetInMinutes": 0},
            "notifications": notifications,
        });
        Request::new("mboxedge35.tt.omtrdc.net", json!({"sessionId": "s"}), body)
    }

    fn differences(recorded: &[Value], ours: &[Request]) -> (usize, Rules) {
        let args = [json!({"request": {"context": {"channel": "web", "timeOffsetInMinutes": 0}}})];
        let call = Call::new("getOffers", &args, &json!({}), 0);
        let decisions = recorded.iter().map(|request| Decision {
            call: &call,
            response: json!({"id": request["body"]["id"], "execute": {}}),
            session: "s".to_owned(),
            has_own_id: false,
            hints: None,
        });
        let mut rules = Rules::new();
        let decisions: Vec<Decision<'_>> = decisions.collect();
        let recorded = Value::from(recorded.to_vec());
        (judge(&recorded, &decisions, ours, &mut Bindings::new(0), &mut rules).len(), rules)
    }

    #[test]
    fn requests_may_be_joined_and_come_in_any_order_of_visitors() {
        let both = [recorded("a", "1", 1), recorded("b", "2", 2), recorded("a", "3", 3)];
        let (count, rules) = differences(&both, &[ours("b", &["2"], 1), ours("a", &["1", "3"], 2)]);
        assert_eq!((count, rules.contains(rules::COALESCED)), (0, true));
        let (count, rules) = differences(&both, &[ours("a", &["1"], 1), ours("b", &["2"], 2), ours("a", &["3"], 3)]);
        assert_eq!((count, rules.contains(rules::COALESCED)), (0, false));
    }

    #[test]
    fn what_is_missing_doubled_or_other_is_seen() {
        let both = [recorded("a", "1", 1), recorded("a", "2", 2)];
        for wrong in [
            vec![],
            vec![ours("a", &["1"], 1)],
            vec![ours("a", &["2", "1"], 1)],
            vec![ours("b", &["1", "2"], 1)],
            vec![ours("a", &["1", "2"], 1), ours("a", &["1"], 2)],
            vec![ours("a", &["1"], 1), ours("a", &["2"], 1)],
        ] {
            assert_ne!(differences(&both, &wrong).0, 0, "{wrong:?}");
        }
    }
}
