//! Which calls go to the edge, and what becomes of calls for which there is no artifact.

use adobe_target::local_edge::{Fault, LocalEdge, Route};
use adobe_target::{DecisioningMethod, EdgeReason, MboxQuery, TargetClient, TargetError};
use serde_json::{Value, json};

use crate::support::{body, edge, json_options, parsed};
use crate::written::{artifact, contents, envelope, events, on_device, prefetch_for, rule, served_by, try_on_device};

fn hybrid(edge: &LocalEdge, artifact: &Value, more: Value) -> TargetClient {
    let mut from = json!({
        "artifact_payload": artifact,
        "server_domain": edge.host(),
        "decisioning_method": "hybrid",
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        from[key] = value.clone();
    }
    try_on_device(&from, json!({})).unwrap_or_else(|error| panic!("{error}"))
}

/// `home` is local; `hero` is the edge's, and so is `cart` although there are rules.
fn partly_remote() -> Value {
    let rules = || vec![rule(1, json!(true), json!("local"))];
    let mut artifact = artifact([("home", rules()), ("cart", rules())]);
    artifact["remoteMboxes"] = json!(["hero", "cart"]);
    artifact["remoteViews"] = json!(["checkout"]);
    artifact
}

fn asked(edge: &LocalEdge) -> Vec<Value> {
    let requests = edge.take_requests();
    requests.iter().filter(|request| request.method == "POST").map(body).collect()
}

#[test]
fn what_the_artifact_has_is_decided_here() {
    let edge = edge();
    let client = hybrid(&edge, &partly_remote(), json!({}));
    let answer = envelope(&client, &prefetch_for("visitor", &["home"]));
    assert_eq!(contents(&answer), ["local"]);
    assert_eq!(answer["meta"], json!({"decisioning_method": "on-device", "remote_mboxes": [], "remote_views": []}));
    assert_eq!(asked(&edge), [] as [Value; 0]);
    assert_eq!(client.stats().decisions, 1);
}

#[test]
fn with_one_remote_need_the_whole_request_goes_to_the_edge() {
    let edge = edge();
    let client = hybrid(&edge, &partly_remote(), json!({}));
    for (prefetch, mboxes, views) in [
        (json!({"mboxes": [{"name": "home"}, {"name": "hero"}]}), json!(["hero"]), json!([])),
        (json!({"mboxes": [{"name": "unknown"}, {"name": "cart"}]}), json!(["cart", "unknown"]), json!([])),
        (json!({"mboxes": [{"name": "home"}], "views": [{}]}), json!([]), json!(["checkout"])),
        (json!({"pageLoad": {}}), json!(["target-global-mbox"]), json!([])),
    ] {
        let answer = envelope(&client, &json!({"requestId": "r", "prefetch": prefetch}));
        let meta = json!({"decisioning_method": "server-side", "remote_mboxes": mboxes, "remote_views": views});
        assert_eq!(answer["meta"], meta, "{prefetch}");
        let sent = asked(&edge);
        assert_eq!(sent.len(), 1, "{prefetch}");
        // All of it, in the caller's words.
        let mut whole = prefetch.clone();
        for (at, mbox) in whole.get_mut("mboxes").and_then(Value::as_array_mut).into_iter().flatten().enumerate() {
            mbox["index"] = json!(at);
        }
        assert_eq!(sent[0]["prefetch"], whole);
        assert_eq!(answer["request"], sent[0]);
        assert!(answer["response"]["edgeHost"].is_string(), "the edge's own answer");
    }
    assert_eq!(client.stats().decisions, 0);
}

#[test]
fn on_device_answers_what_it_can_and_names_the_rest() {
    let client = on_device(&partly_remote(), json!({}));
    let answer = envelope(&client, &prefetch_for("visitor", &["home", "unknown", "cart", "hero"]));
    assert_eq!(answer["response"]["status"], 206);
    assert_eq!(contents(&answer), [json!("local"), Value::Null, json!("local"), Value::Null]);
    let meta = json!({
        "decisioning_method": "on-device",
        "remote_mboxes": ["hero", "cart", "unknown"],
        "remote_views": [],
    });
    assert_eq!(answer["meta"], meta);
}

#[test]
fn a_call_may_choose_its_own_method() {
    let edge = edge();
    let client = hybrid(&edge, &partly_remote(), json!({}));
    let call = |method: &str, mbox: &str| {
        let request = prefetch_for("visitor", &[mbox]);
        let options = json!({"request": request, "decisioning_method": method}).to_string();
        parsed(&client.get_offers_json(&options).unwrap())["meta"].clone()
    };
    assert_eq!(call("server-side", "home")["decisioning_method"], "server-side");
    assert_eq!(asked(&edge).len(), 1);
    let meta = json!({"decisioning_method": "on-device", "remote_mboxes": ["hero"], "remote_views": []});
    assert_eq!(call("on-device", "hero"), meta);
    assert_eq!(asked(&edge).len(), 0);
}

#[test]
fn notifications_go_to_the_edge_whatever_the_method() {
    let edge = edge();
    for method in ["on-device", "hybrid"] {
        let client = hybrid(&edge, &partly_remote(), json!({"decisioning_method": method}));
        let options = json_options(crate::support::notify([crate::support::display("1")]));
        let answer = parsed(&client.send_notifications_json(&options).unwrap());
        assert_eq!(answer["meta"]["decisioning_method"], "server-side");
        assert_eq!(answer["meta"]["notifications"], json!({"acknowledged": ["1"], "unacknowledged": []}));
        let sent = asked(&edge);
        assert_eq!(sent.len(), 1);
        assert_eq!(crate::support::notification_ids(&sent[0]), ["1"]);
    }
}

/// An edge whose CDN has no artifact yet.
fn without_artifact() -> LocalEdge {
    let edge = edge();
    edge.set_default_reply_on(Route::Artifact, Some(Fault::respond(503, "{}")));
    edge
}

#[test]
fn without_an_artifact_on_device_calls_are_not_ready() {
    let edge = without_artifact();
    let client = served_by(&edge, json!({"maximum_wait_ready": 1}));
    assert!(!client.is_ready());
    assert!(matches!(client.wait_ready(crate::support::AT_ONCE), Err(TargetError::Pending(_))));
    while client.stats().artifact.is_some_and(|artifact| artifact.failures == 0) {
        std::thread::yield_now();
    }
    let error = client.get_offers_json(&json_options(prefetch_for("visitor", &["home"]))).unwrap_err();
    let facts = parsed(&error.to_json());
    assert_eq!(facts["code"], "TARGET_ERR_NOT_READY");
    let message = facts["message"].as_str().unwrap();
    assert!(message.starts_with("Unable to fulfill request; decisioning engine not ready. "), "{message}");
    assert!(message.ends_with(" answered 503: no artifact"), "{message}");
    assert_eq!((&facts["http_status"], &facts["retryable"]), (&json!(503), &json!(true)));
    assert!(matches!(client.get_attributes_json("[\"home\"]", "{}"), Err(TargetError::NotReady(_))));
    assert_eq!(asked(&edge), [] as [Value; 0]);
    assert_eq!(client.stats().decisions, 0);
}

#[test]
fn without_an_artifact_hybrid_calls_go_to_the_edge() {
    let edge = without_artifact();
    let client = served_by(&edge, json!({"decisioning_method": "hybrid", "maximum_wait_ready": 1}));
    let answer = envelope(&client, &prefetch_for("visitor", &["home"]));
    let meta = json!({
        "decisioning_method": "server-side",
        "remote_mboxes": [],
        "remote_views": [],
        "edge_reason": "not_ready",
    });
    assert_eq!(answer["meta"], meta);
    assert_eq!(asked(&edge).len(), 1);
}

/// A CDN that is down at the start is no reason to stay dead.
#[test]
fn a_client_heals_when_the_artifact_comes_after_all() {
    let edge = without_artifact();
    let client = served_by(&edge, json!({"maximum_wait_ready": 1}));
    assert!(!client.is_ready());
    edge.set_artifact(artifact([("home", vec![rule(1, json!(true), json!("late"))])]).to_string()).unwrap();
    edge.set_default_reply_on(Route::Artifact, None);
    // The first refresh may be told of a download that had begun before.
    client.refresh().or_else(|_| client.refresh()).unwrap();
    assert!(client.is_ready());
    assert_eq!(contents(&envelope(&client, &prefetch_for("visitor", &["home"]))), ["late"]);
    assert_eq!(events(&client, "client_ready").len(), 1);
}

#[test]
fn a_server_side_client_has_no_artifact_to_refresh_and_none_to_decide_from() {
    let edge = edge();
    let client = crate::support::client(&edge);
    assert!(matches!(client.refresh(), Err(TargetError::Unsupported(_))));
    let options = crate::support::options(prefetch_for("visitor", &["home"]));
    let error = client.get_offers(&options.clone().decisioning_method(DecisioningMethod::OnDevice)).unwrap_err();
    for error in [error, client.decide_mbox(&MboxQuery::new("home", "visitor")).unwrap_err()] {
        assert!(matches!(error, TargetError::NotReady(_)), "{error:?}");
        assert_eq!(error.details().field.as_deref(), Some("decisioning_method"));
        assert!(!error.is_retryable());
    }
    let answer = client.get_offers(&options.clone().decisioning_method(DecisioningMethod::Hybrid)).unwrap();
    assert_eq!(answer.meta.decisioning_method, "server-side");
    assert_eq!(answer.meta.edge_reason, Some(EdgeReason::NotReady));
    assert_eq!(asked(&edge).len(), 1, "the one that is hybrid");
    assert_eq!(client.get_offers(&options).unwrap().meta.edge_reason, None);
}

/// What visitors saw and clicked is for the edge: it is neither lost nor sent behind the caller's back.
#[test]
fn requests_that_report_something_too_are_not_decided_here() {
    let edge = LocalEdge::builder().accept_any_token(true).start().unwrap();
    let artifact = artifact([("home", vec![rule(1, json!(true), json!("here"))])]);
    let from = |method: &str| {
        let config = json!({"artifact_payload": artifact, "server_domain": edge.host(), "decisioning_method": method});
        try_on_device(&config, json!({})).unwrap()
    };
    let mut request = prefetch_for("visitor", &["home"]);
    request["notifications"] = json!([{"id": "n", "type": "click", "timestamp": 1, "tokens": ["t"]}]);
    let options = json!({"request": request}).to_string();

    let error = from("on-device").get_offers_json(&options).unwrap_err();
    assert_eq!(error.details().field.as_deref(), Some("request.notifications"));
    assert_eq!(edge.report().requests, 0);
    let answer: Value = serde_json::from_str(&from("hybrid").get_offers_json(&options).unwrap()).unwrap();
    assert_eq!(answer["meta"]["decisioning_method"], "server-side");
    assert_eq!(answer["meta"]["edge_reason"], "notifications");
    assert_eq!(answer["meta"]["notifications"]["acknowledged"], json!(["n"]));
}
