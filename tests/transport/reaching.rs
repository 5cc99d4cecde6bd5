//! Reaching a host: names, addresses that refuse, and addresses that say nothing at all.

use std::time::Duration;

use adobe_target::local_edge::LocalEdge;
use serde_json::json;

use crate::net::*;

#[test]
fn a_refused_connection_fails_at_once() {
    let client = client(nobody(), json!({"retry": {"max_attempts": 1}}));
    let (result, elapsed) = timed(|| client.send_notifications_json(&display()));
    let error = error_of(result);
    assert!(elapsed < AT_ONCE, "{elapsed:?}");
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_NETWORK", "connect"), "not_sent"));
    assert!(error["message"].as_str().unwrap().contains("refused"), "{error}");
}

#[test]
fn an_address_that_says_nothing_ends_at_the_connect_timeout() {
    let hole = BlackHole::new();
    let client = client(hole.addr, json!({"connect_timeout": 250, "retry": {"max_attempts": 1}}));
    let error = error_of(ends_at(Duration::from_millis(250), || client.send_notifications_json(&click())));
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_NETWORK", "connect"), "not_sent"));
    assert_eq!(
        (&error["message"], &error["retryable"]),
        (&json!(format!("{}: connecting to the edge took too long", hole.addr)), &json!(true))
    );
}

#[test]
fn connecting_ends_at_the_deadline_at_the_latest() {
    let hole = BlackHole::new();
    let client = client(hole.addr, json!({"connect_timeout": 150, "timeout": 700, "retry": {"max_attempts": 99}}));
    let (result, elapsed) = timed(|| client.send_notifications_json(&click()));
    let error = error_of(result);
    assert!(elapsed < Duration::from_millis(700) + AT_ONCE, "{elapsed:?}");
    assert_eq!(fate(&error), "not_sent");
    assert!(error["attempts"].as_u64().unwrap() >= 2, "{error}");
    let client = crate::net::client(hole.addr, json!({"connect_timeout": 10_000, "timeout": 200}));
    let error = error_of(ends_at(Duration::from_millis(200), || client.send_notifications_json(&click())));
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_TIMEOUT", "connect"), "not_sent"));
}

#[test]
fn a_name_that_does_not_resolve_is_a_failure_of_that_phase_within_the_deadline() {
    let client = client("no-such-host.invalid", json!({"timeout": 2000}));
    let (result, elapsed) = timed(|| client.send_notifications_json(&click()));
    let error = error_of(result);
    assert!(elapsed <= Duration::from_millis(2000) + AT_ONCE, "{elapsed:?}");
    // Where a name server does not answer, the deadline comes first.
    let (code, phase) = kind(&error);
    assert!(["TARGET_ERR_NETWORK", "TARGET_ERR_TIMEOUT"].contains(&code), "{error}");
    assert_eq!((phase, fate(&error).as_str(), &error["retryable"]), ("resolve", "not_sent", &json!(true)));
}

#[test]
fn a_host_that_comes_back_is_found() {
    let addr = nobody();
    let client = client(format!("localhost:{}", addr.port()), json!({"retry": {"max_attempts": 1}}));
    assert_eq!(kind(&error_of(client.send_notifications_json(&click()))), ("TARGET_ERR_NETWORK", "connect"));
    let edge = LocalEdge::builder().addr(addr.to_string()).start().unwrap();
    client.send_notifications_json(&click()).unwrap();
    assert_eq!(edge.report().clicks.total, 1);
}
