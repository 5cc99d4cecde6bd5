//! Repeating a request: as often as allowed, only inside the deadline, and recognisable as the same one.

use std::time::Duration;

use adobe_target::local_edge::{Fault, LocalEdge};
use serde_json::json;

use crate::net::*;

fn refusing(status: u16) -> LocalEdge {
    let edge = LocalEdge::start().unwrap();
    edge.set_default_reply(Some(Fault::status(status)));
    edge
}

#[test]
fn every_attempt_is_the_same_request() {
    let edge = LocalEdge::start().unwrap();
    edge.faults([Fault::status(503), Fault::ResetAfterReading { counted: true }]);
    let client = client(edge.host(), json!({}));
    client.send_notifications_json(&display()).unwrap();
    client.send_notifications_json(&display()).unwrap();
    let requests = edge.requests();
    assert_eq!(requests.len(), 4);
    let ids: Vec<_> = requests.iter().map(|request| request.header("x-request-id").unwrap()).collect();
    assert_eq!((ids[0], ids[1]), (ids[2], ids[2]));
    assert_ne!(ids[2], ids[3]);
    assert!(
        requests[..3].iter().all(|request| request.body == requests[0].body && request.target == requests[0].target)
    );
    assert_eq!(edge.report().duplicate_impressions, 1);
}

#[test]
fn a_request_id_of_the_caller_may_hold_anything() {
    let edge = LocalEdge::start().unwrap();
    let client = client(edge.host(), json!({}));
    for id in ["plain id", "a\r\nb: c", "\u{7f}", "ü"] {
        let options = json!({"request": {"requestId": id, "execute": {"mboxes": [{"name": "home"}]}}});
        client.get_offers_json(&options.to_string()).unwrap();
        let request = edge.take_requests().remove(0);
        assert_eq!(request.json().unwrap()["requestId"], id);
        assert_eq!(request.header("x-request-id").map(str::len), Some(36), "the header has an id of its own");
        assert_eq!(request.header("b"), None);
    }
}

#[test]
fn headers_of_the_configuration_are_sent_as_long_as_servers_take_them() {
    let edge = LocalEdge::start().unwrap();
    let headers = json!({"x-first": "a".repeat(8000), "x-second": "b".repeat(8000), "x-third": "c".repeat(8000)});
    client(edge.host(), json!({"headers": headers})).send_notifications_json(&click()).unwrap();
    assert_eq!(edge.requests()[0].header("x-third").map(str::len), Some(8000));
    let error = error_of(try_client(edge.host(), json!({"headers": {"x-first": "a".repeat(9000)}})));
    assert_eq!((&error["code"], &error["field"]), (&json!("TARGET_ERR_INVALID_OPTIONS"), &json!("headers.x-first")));
}

#[test]
fn attempts_are_bounded() {
    for attempts in [1, 2, 5] {
        let edge = refusing(503);
        let client = client(edge.host(), json!({"retry": {"max_attempts": attempts, "base_delay": 1}}));
        let error = error_of(client.send_notifications_json(&display()));
        assert_eq!((&error["http_status"], &error["attempts"]), (&json!(503), &json!(attempts)));
        assert_eq!((edge.report().requests, client.stats().retries), (attempts, attempts - 1));
        assert_eq!(edge.connections(), 1);
    }
}

#[test]
fn the_deadline_covers_all_attempts() {
    let edge = refusing(503);
    let retry = json!({"retry": {"max_attempts": 1000, "base_delay": 10, "max_delay": 50}, "timeout": 400});
    let client = client(edge.host(), retry);
    let (result, elapsed) = timed(|| client.send_notifications_json(&display()));
    let error = error_of(result);
    assert!(elapsed < AT_ONCE, "{elapsed:?}");
    assert!((2..200).contains(&edge.report().requests), "{}", edge.report().requests);
    assert_eq!(error["attempts"], edge.report().requests);
    // The deadline may come between two attempts or into one.
    assert!(["TARGET_ERR_HTTP", "TARGET_ERR_TIMEOUT"].contains(&kind(&error).0), "{error}");
    assert_eq!(error["retryable"], true);
}

#[test]
fn an_attempt_has_what_the_ones_before_left_of_the_deadline() {
    let edge = LocalEdge::start().unwrap();
    edge.set_default_reply(Some(Fault::Silence));
    let late_refusal = Fault::Respond {
        status: 503,
        reason: None,
        headers: Vec::new(),
        body: Vec::new(),
        delay: Duration::from_millis(150),
    };
    let client = client(edge.host(), json!({"timeout": 1000}));
    let error = error_of(ends_at(Duration::from_millis(1000), || {
        edge.fault(late_refusal.clone());
        client.send_notifications_json(&display())
    }));
    assert_eq!((kind(&error), &error["attempts"]), (("TARGET_ERR_TIMEOUT", "receive"), &json!(2)));
}

#[test]
fn waits_between_attempts_differ() {
    let edge = refusing(503);
    let mut waits: Vec<Duration> = (0..4)
        .map(|_| {
            let client = client(edge.host(), json!({"retry": {"max_attempts": 2, "base_delay": 100}}));
            timed(|| client.send_notifications_json(&display()).unwrap_err()).1
        })
        .collect();
    waits.sort();
    assert!(waits[3] - waits[0] > Duration::from_millis(2), "{waits:?}");
    assert!(waits[0] < AT_ONCE, "{waits:?}");
}

#[test]
fn a_refused_connection_is_tried_again_even_for_clicks() {
    let client = client(nobody(), json!({"retry": {"base_delay": 1}}));
    let error = error_of(client.send_notifications_json(&click()));
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_NETWORK", "connect"), "not_sent"));
    assert_eq!((&error["attempts"], &error["retryable"]), (&json!(3), &json!(true)));
}
