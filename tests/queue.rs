//! The background queue as a caller sees it: what enqueue takes, what goes out, what becomes of it, flush and close.
#![cfg(feature = "local-edge")]

mod support;

use std::time::Duration;

use adobe_target::local_edge::{Fault, LocalEdge};
use adobe_target::{
    ClientBuilder, DecisioningMethod, DeliveryCounts, PartialResult, QueueConfig, TargetClient, TargetError,
};
use serde_json::{Value, json};
use support::*;

/// One that goes out at once and repeats soon.
fn quick() -> QueueConfig {
    let soon = Duration::from_millis(1);
    QueueConfig::default().flush_interval(soon).retry_base_delay(soon).retry_max_delay(soon)
}

/// One that sends when it is told to.
fn lazy() -> QueueConfig {
    QueueConfig::default().flush_interval(LONG * 100)
}

fn queued(edge: &LocalEdge, queue: QueueConfig) -> TargetClient {
    builder(edge).notifications(queue).build().unwrap()
}

/// Options with a session, as JSON.
fn in_session(session: &str, request: Value) -> String {
    json!({"session_id": session, "request": request}).to_string()
}

fn enqueue(client: &TargetClient, session: &str, notifications: impl IntoIterator<Item = Value>) -> Vec<String> {
    let accepted = client.enqueue_notifications_json(&in_session(session, notify(notifications))).unwrap();
    let accepted = parsed(&accepted);
    accepted["accepted"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

fn flush(client: &TargetClient) -> DeliveryCounts {
    client.flush(Some(LONG)).unwrap()
}

fn events(client: &TargetClient, kind: &str) -> Vec<Value> {
    let mut found = Vec::new();
    while let Ok(event) = client.next_event(AT_ONCE) {
        found.extend(Some(parsed(&event)).filter(|event| event["type"] == kind));
    }
    found
}

fn counts_of(error: &TargetError) -> DeliveryCounts {
    match &error.details().result {
        Some(PartialResult::Counts(counts)) => *counts,
        other => panic!("{other:?} of {error:?}"),
    }
}

fn sent(edge: &LocalEdge) -> Vec<Value> {
    edge.take_requests().iter().map(body).collect()
}

#[test]
fn fifty_of_one_session_are_one_request() {
    let edge = edge();
    let client = queued(&edge, lazy());
    for id in 0..50 {
        assert_eq!(enqueue(&client, "s", [display(&id.to_string())]), [id.to_string()]);
    }
    assert_eq!(flush(&client).acknowledged, 50);
    let requests = edge.take_requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].query_value("sessionId"), Some("s"));
    let body = body(&requests[0]);
    let expected: Vec<String> = (0..50).map(|id| id.to_string()).collect();
    assert_eq!(notification_ids(&body), expected);
    assert!(
        body["notifications"].as_array().unwrap().iter().all(|one| is_uuid_v4(one["impressionId"].as_str().unwrap()))
    );
    assert!(is_uuid_v4(body["requestId"].as_str().unwrap()));
    assert_eq!(body["context"]["channel"], "web");
}

#[test]
fn what_differs_goes_out_apart() {
    let edge = edge();
    let client = queued(&edge, lazy());
    let with = |more: Value| {
        let mut request = notify([display("1")]);
        for (key, value) in more.as_object().unwrap() {
            request[key] = value.clone();
        }
        client.enqueue_notifications_json(&in_session("s", request)).unwrap();
    };
    with(json!({}));
    with(json!({"property": {"token": "p"}}));
    with(json!({"environmentId": 7}));
    with(json!({"id": {"tntId": "visitor"}}));
    with(json!({"context": {"channel": "mobile"}}));
    with(json!({"context": {"channel": "mobile"}}));
    enqueue(&client, "t", [display("1")]);
    assert_eq!(flush(&client).acknowledged, 7);
    // Two with the same members, but also the same id, which the edge answers by.
    assert_eq!(sent(&edge).len(), 7);
}

#[test]
fn a_call_is_taken_whole_or_not_at_all() {
    let edge = edge();
    let client = queued(&edge, lazy().max_queued(3));
    let mut bad = display("2");
    bad["timestamp"] = json!("yesterday");
    let error = client.enqueue_notifications_json(&in_session("s", notify([display("1"), bad]))).unwrap_err();
    assert_eq!(field(&error), "request.notifications[1].timestamp");
    assert_eq!(client.stats().queue.accepted, 0);

    enqueue(&client, "s", [display("1"), display("2")]);
    let error = client.enqueue_notifications_json(&in_session("s", notify([display("3"), display("4")]))).unwrap_err();
    assert!(matches!(error, TargetError::QueueFull(_)), "{error:?}");
    assert_eq!((field(&error), error.is_retryable()), ("notifications.max_queued", true));
    enqueue(&client, "s", [display("5")]);
    flush(&client);
    assert_eq!(notification_ids(&only_body(&edge)), ["1", "2", "5"]);
    enqueue(&client, "s", [display("3"), display("4")]);
}

#[test]
fn what_has_no_place_in_a_queue_is_refused() {
    let edge = edge();
    let client = queued(&edge, lazy());
    for (member, value) in [
        ("execute", json!({"mboxes": [{"name": "home"}]})),
        ("prefetch", json!({"pageLoad": {}})),
        ("impressionId", json!("x")),
        ("telemetry", json!({"entries": []})),
    ] {
        let mut request = notify([display("1")]);
        request[member] = value;
        let error = client.enqueue_notifications_json(&json_options(request)).unwrap_err();
        assert_eq!(field(&error), format!("request.{member}"), "{error}");
    }
    let error = client.enqueue_notifications_json(&json_options(json!({}))).unwrap_err();
    assert_eq!(error.to_string(), "Request object is required");
    let error = client.enqueue_notifications_json(&json_options(json!({"notifications": []}))).unwrap_err();
    assert_eq!(error.to_string(), "Notifications array is required in request");
    assert_eq!(client.stats().queue.accepted, 0);
    assert_eq!(client.stats().enqueue_notifications, 6);
}

#[test]
fn typed_options_are_taken_too() {
    let edge = edge();
    let client = queued(&edge, lazy());
    let enqueued = client.enqueue_notifications(&options(notify([display("1"), click("2")])).session_id("s")).unwrap();
    assert_eq!(enqueued.accepted, ["1", "2"]);
    assert_eq!(flush(&client).acknowledged, 2);
}

#[test]
fn the_visitor_of_the_cookie_is_that_of_the_request() {
    let edge = edge();
    let client = queued(&edge, lazy());
    let cookie = format!("session#abc#{0}|PC#device.35_0#{0}", NOW / 1000 + 1000);
    let options = json!({
        "request": notify([display("1")]),
        "target_cookie": cookie,
        "customer_ids": {"crm": "c1"},
    });
    client.enqueue_notifications_json(&options.to_string()).unwrap();
    flush(&client);
    let request = only_request(&edge);
    assert_eq!(request.query_value("sessionId"), Some("abc"));
    let body = body(&request);
    assert_eq!(body["id"]["tntId"], "device.35_0");
    assert_eq!(body["id"]["customerIds"][0]["id"], "c1");
    // The same visitor later on: another supplemental data id of its own keeps nothing apart.
    client.enqueue_notifications_json(&options.to_string()).unwrap();
    client.enqueue_notifications_json(&options.to_string().replace("\"1\"", "\"2\"")).unwrap();
    flush(&client);
    assert_eq!(notification_ids(&only_body(&edge)), ["1", "2"]);
}

#[test]
fn an_impression_counts_once_however_often_it_is_sent() {
    let edge = edge();
    let client = queued(&edge, quick());
    edge.faults([Fault::status(503), Fault::status(500), Fault::status(429)]);
    enqueue(&client, "s", [display("1")]);
    assert_eq!(flush(&client).acknowledged, 1);
    let ids: Vec<Value> = sent(&edge).iter().map(|body| body["notifications"][0]["impressionId"].clone()).collect();
    assert_eq!(ids.len(), 4);
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(events(&client, "send_notification_error").len(), 3);
}

#[test]
fn a_click_that_may_have_been_counted_is_not_sent_again() {
    for retry_clicks in [false, true] {
        let edge = edge();
        let client = builder(&edge).notifications(quick()).retry_clicks(retry_clicks).build().unwrap();
        edge.fault(Fault::status(503));
        enqueue(&client, "s", [display("1"), click("2")]);
        let counts = flush(&client);
        let expected = if retry_clicks { (2, 0) } else { (1, 1) };
        assert_eq!((counts.acknowledged, counts.dropped), expected);
        let dropped = events(&client, "notification_dropped");
        assert_eq!(dropped.len(), usize::from(!retry_clicks));
        if let [dropped] = &dropped[..] {
            assert_eq!((&dropped["reason"], &dropped["ids"]), (&json!("outcome_unknown"), &json!(["2"])));
        }
    }
    // The option of one call.
    let edge = edge();
    let client = queued(&edge, quick());
    edge.fault(Fault::status(503));
    let options = json!({"retry_clicks": true, "request": notify([click("1")])});
    client.enqueue_notifications_json(&options.to_string()).unwrap();
    assert_eq!(flush(&client).acknowledged, 1);
}

#[test]
fn flush_covers_what_was_pending_and_says_what_is_left() {
    let edge = edge();
    let client = queued(&edge, lazy());
    assert_eq!(client.flush(AT_ONCE).unwrap(), DeliveryCounts::default());
    enqueue(&client, "s", [display("1")]);
    let error = client.flush(AT_ONCE).unwrap_err();
    assert!(matches!(error, TargetError::Pending(_)), "{error:?}");
    assert_eq!(counts_of(&error).pending, 1);
    assert_eq!(edge.report().requests, 0, "a look sends nothing");
    assert_eq!(flush(&client).acknowledged, 1);
    assert_eq!(flush(&client), DeliveryCounts::default());

    // An edge that is away.
    edge.set_default_reply(Some(Fault::status(503)));
    enqueue(&client, "s", [display("2")]);
    let error = client.flush(Some(Duration::from_millis(1))).unwrap_err();
    assert_eq!(counts_of(&error).pending, 1);
    edge.set_default_reply(None);
    assert_eq!(flush(&client).acknowledged, 1);
}

#[test]
fn events_are_there_when_flush_returns() {
    let edge = edge();
    let client = queued(&edge, lazy());
    for round in 0..50 {
        enqueue(&client, "s", [display(&round.to_string())]);
        flush(&client);
        let told = events(&client, "notification_acknowledged");
        assert_eq!(told.len(), 1);
        assert_eq!((&told[0]["ids"][0], &told[0]["session_id"]), (&json!(round.to_string()), &json!("s")));
    }
}

#[test]
fn close_delivers_and_drops_what_it_cannot() {
    let edge = edge();
    let client = queued(&edge, lazy());
    enqueue(&client, "s", [display("1")]);
    let counts = client.close(Some(LONG)).unwrap();
    assert_eq!((counts.acknowledged, counts.pending), (1, 0));
    assert_eq!(client.close(Some(LONG)).unwrap(), counts);
    for error in [
        client.enqueue_notifications_json(&json_options(notify([display("2")]))).unwrap_err(),
        client.flush(AT_ONCE).unwrap_err(),
    ] {
        assert!(matches!(error, TargetError::Closed(_)), "{error:?}");
    }

    let nobody = Nobody::new();
    let client = builder_for(nobody.host()).notifications(lazy()).build().unwrap();
    enqueue(&client, "s", [display("1"), click("2")]);
    let counts = client.close(AT_ONCE).unwrap();
    assert_eq!((counts.dropped, counts.pending), (2, 0));
    let dropped = events(&client, "notification_dropped");
    assert!(dropped.iter().all(|event| event["reason"] == "closed"), "{dropped:?}");
    let stats = client.stats().queue;
    assert_eq!((stats.accepted, stats.dropped, stats.pending), (2, 2, 0));
}

#[test]
fn clusters_have_their_own_hosts_and_property_and_environment_are_the_callers() {
    let edge = edge();
    let more = |builder: ClientBuilder| builder.property_token("of the client").environment_id(3);
    let client = more(builder(&edge)).notifications(lazy()).build().unwrap();
    enqueue(&client, "s", [display("1")]);
    let mut request = notify([display("2")]);
    request["property"] = json!({"token": "own"});
    client.enqueue_notifications_json(&in_session("s", request)).unwrap();
    flush(&client);
    let properties: Vec<Value> = sent(&edge).iter().map(|body| body["property"]["token"].clone()).collect();
    assert_eq!(properties, ["of the client", "own"]);
}

#[test]
fn what_the_edge_leaves_out_is_sent_again() {
    let edge = edge();
    let client = queued(&edge, quick());
    edge.fault(Fault::respond(200, r#"{"status":200,"notifications":[{"id":"2"}]}"#));
    enqueue(&client, "s", [display("1"), click("2"), display("3")]);
    assert_eq!(flush(&client).acknowledged, 3);
    let ids: Vec<Vec<String>> =
        sent(&edge).iter().map(|body| notification_ids(body).into_iter().map(str::to_owned).collect()).collect();
    assert_eq!(ids[0], ["1", "2", "3"]);
    let mut alone = ids[1..].to_vec();
    alone.sort();
    assert_eq!(alone, [["1"], ["3"]]);
}

#[test]
fn one_bad_token_costs_that_notification_alone() {
    let edge = edge();
    let client = queued(&edge, lazy());
    let with_token = |id: &str, token: &str| {
        let mut notification = display(id);
        notification["tokens"] = json!([token]);
        notification
    };
    let offers = client.get_offers(&options(prefetch(&["home"]))).unwrap();
    let home = offers.response.prefetch_mbox("home").unwrap();
    let token = home.options.as_ref().unwrap()[0].event_token.clone().unwrap();
    enqueue(&client, "s", (0..20).map(|id| with_token(&id.to_string(), if id == 13 { "bad" } else { &token })));
    let counts = flush(&client);
    assert_eq!((counts.acknowledged, counts.rejected, counts.pending), (19, 1, 0));
    let rejected = events(&client, "notification_rejected");
    assert_eq!(rejected.len(), 1);
    assert_eq!((&rejected[0]["ids"], &rejected[0]["http_status"]), (&json!(["13"]), &json!(400)));
    assert!(rejected[0]["api_message"].as_str().is_some_and(|message| !message.is_empty()));
}

#[test]
fn enqueue_goes_to_the_edge_whatever_the_clients_method() {
    let edge = LocalEdge::builder().default_artifact().start().unwrap();
    let client = builder(&edge)
        .decisioning_method(DecisioningMethod::OnDevice)
        .cdn_base_path(edge.url(""))
        .target_location_hint("35")
        .notifications(lazy())
        .build()
        .unwrap();
    client.get_offers_json(&in_session("s", execute(&["product1"]))).unwrap();
    enqueue(&client, "s", [display("1")]);
    let counts = flush(&client);
    assert_eq!((counts.acknowledged, counts.pending), (2, 0));
    assert_eq!(client.stats().queue.accepted, 2);
}

#[test]
fn callbacks_may_look_and_not_wait() {
    let edge = edge();
    let client = std::sync::Arc::new(queued(&edge, lazy()));
    let (tell, told) = std::sync::mpsc::channel();
    let in_callback = std::sync::Arc::clone(&client);
    let callback = move |_: &str| {
        let wait = in_callback.flush(Some(LONG)).err().map(|error| error.code());
        let look = in_callback.flush(AT_ONCE).err().map(|error| error.code());
        let _ = tell.send((wait, look));
    };
    client.on_event(Some(std::sync::Arc::new(callback))).unwrap();
    let (wait, look) = told.recv_timeout(LONG).unwrap();
    assert_eq!((wait, look), (Some(adobe_target::ErrorCode::WouldDeadlock), None));
    client.on_event(None).unwrap();
}
