//! The misbehaviour of an edge, one kind after the other.

use std::time::Duration;

use adobe_target::local_edge::{Fault, LocalEdge};
use serde_json::{Value, json};

use crate::net::*;

fn edge_with(faults: impl IntoIterator<Item = Fault>) -> LocalEdge {
    let edge = LocalEdge::start().unwrap();
    edge.faults(faults);
    edge
}

fn status(status: u16, retry_after: &str) -> Fault {
    Fault::Status { status, retry_after: Some(retry_after.to_owned()), message: format!("status {status}") }
}

#[test]
fn a_delay_within_the_timeout_is_waited_for() {
    let edge = edge_with([Fault::Delay(Duration::from_millis(100))]);
    let client = client(edge.host(), json!({}));
    let (result, elapsed) = timed(|| client.send_notifications_json(&display()));
    result.unwrap();
    assert!(elapsed >= Duration::from_millis(100), "{elapsed:?}");
}

#[test]
fn what_takes_longer_than_the_timeout_ends_at_it() {
    for fault in [
        Fault::Delay(Duration::from_secs(10)),
        Fault::Silence,
        Fault::SlowBody { chunk_delay: Duration::from_millis(10) },
    ] {
        let edge = LocalEdge::start().unwrap();
        edge.set_default_reply(Some(fault));
        let client = client(edge.host(), json!({}));
        let options = notify("display", &timeout(200));
        let error = error_of(ends_at(Duration::from_millis(200), || client.send_notifications_json(&options)));
        assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_TIMEOUT", "receive"), "unknown"));
        assert_eq!((&error["retryable"], &error["attempts"]), (&json!(true), &json!(1)));
        assert!((195..=300).contains(&error["elapsed_ms"].as_u64().unwrap()), "{error}");
    }
}

#[test]
fn refusals_are_final_and_carry_the_edges_words() {
    for code in [400, 401, 403, 404, 413] {
        let edge = edge_with([status(code, "1")]);
        let client = client(edge.host(), json!({}));
        let error = error_of(client.send_notifications_json(&display()));
        assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_HTTP", "response"), "rejected"));
        assert_eq!(error["http_status"], code);
        assert_eq!(error["api_message"], format!("status {code}"));
        assert_eq!((&error["retryable"], edge.report().requests), (&json!(false), 1));
        client.send_notifications_json(&display()).unwrap();
        assert_eq!(edge.connections(), 1, "an error answer leaves the connection usable");
    }
}

#[test]
fn throttling_is_repeated_and_retry_after_is_the_least_wait() {
    for code in [420, 429] {
        let edge = edge_with([status(code, "1")]);
        let client = client(edge.host(), json!({}));
        let (result, elapsed) = timed(|| client.send_notifications_json(&click()));
        result.unwrap();
        assert!(elapsed >= Duration::from_secs(1), "{elapsed:?}");
        assert_eq!((edge.report().requests, edge.report().clicks.total, client.stats().retries), (2, 1, 1));
    }
}

#[test]
fn server_errors_are_repeated_where_nothing_counts_twice() {
    for code in [408, 500, 502, 503, 504] {
        let edge = edge_with([status(code, "0")]);
        let client = client(edge.host(), json!({}));
        client.send_notifications_json(&display()).unwrap();
        edge.fault(status(code, "0"));
        let error = error_of(client.send_notifications_json(&click()));
        assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_HTTP", "response"), "unknown"));
        assert_eq!((&error["retryable"], &error["attempts"]), (&json!(true), &json!(1)));
        edge.fault(status(code, "0"));
        client.send_notifications_json(&notify("click", &json!({"retry_clicks": true}))).unwrap();
        assert_eq!(edge.report().requests, 5);
    }
}

#[test]
fn a_retry_after_beyond_the_deadline_fails_at_once() {
    let date = |seconds: i64| {
        let at = std::time::SystemTime::now() + Duration::from_secs(seconds as u64);
        chrono::DateTime::<chrono::Utc>::from(at).format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    for (text, at_least, at_most) in [("60".to_owned(), 60_000, 60_000), (date(90), 85_000, 90_000)] {
        for code in [429, 503] {
            let edge = edge_with([status(code, &text)]);
            let client = client(edge.host(), json!({}));
            let (result, elapsed) = timed(|| client.send_notifications_json(&display()));
            let error = error_of(result);
            assert!(elapsed < AT_ONCE, "{elapsed:?}");
            assert_eq!((&error["http_status"], &error["retryable"]), (&json!(code), &json!(true)));
            let wait = error["retry_after_ms"].as_u64().unwrap();
            assert!((at_least..=at_most).contains(&wait), "{wait}");
            assert_eq!(edge.report().requests, 1);
        }
    }
    // A date is judged by the real clock, whatever the decisions' clock says.
    let edge = edge_with([status(503, &date(1))]);
    let client = client(edge.host(), json!({"fixed_clock_ms": 0}));
    client.send_notifications_json(&display()).unwrap();
    assert_eq!(edge.report().requests, 2);
}

#[test]
fn a_retry_after_that_says_nothing_does_not_matter() {
    for text in ["soon", "-1", "1e3", ""] {
        let edge = edge_with([status(503, text)]);
        client(edge.host(), json!({})).send_notifications_json(&display()).unwrap();
    }
}

/// What becomes of a display, of a click, and of a click with `retry_clicks` that meet a fault.
fn outcomes(fault: &Fault) -> [Result<u64, Value>; 3] {
    [display(), click(), notify("click", &json!({"retry_clicks": true}))].map(|options| {
        let edge = edge_with([fault.clone()]);
        let client = client(edge.host(), json!({}));
        match client.send_notifications_json(&options) {
            Ok(_) => Ok(edge.report().visits.total + edge.report().clicks.total),
            Err(error) => Err(serde_json::from_str(&error.to_json()).unwrap()),
        }
    })
}

#[test]
fn a_connection_that_breaks_is_repeated_for_displays_and_left_alone_for_clicks() {
    for (counted, clicks) in [(false, 1), (true, 2)] {
        for fault in [Fault::ResetAfterReading { counted }, Fault::HalfAnswer { counted }] {
            let [display, click, retried_click] = outcomes(&fault);
            assert_eq!(display, Ok(1), "{fault:?}: counted once by its impressionId");
            let error = click.unwrap_err();
            assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_NETWORK", "receive"), "unknown"));
            assert_eq!((&error["retryable"], &error["attempts"]), (&json!(true), &json!(1)));
            assert_eq!(retried_click, Ok(clicks), "{fault:?}");
        }
    }
}

#[test]
fn a_reset_before_the_request_was_read_looks_the_same_from_here() {
    let [display, click, retried_click] = outcomes(&Fault::ResetBeforeReading);
    assert_eq!((display, retried_click), (Ok(1), Ok(1)));
    assert_eq!(fate(&click.unwrap_err()), "unknown");
}

#[test]
fn garbage_is_never_repeated() {
    for (fault, phase) in [(Fault::Garbage, "response"), (Fault::GarbageBody, "response")] {
        for outcome in outcomes(&fault) {
            let error = outcome.unwrap_err();
            assert_eq!(kind(&error), ("TARGET_ERR_INVALID_RESPONSE", phase));
            assert_eq!((fate(&error).as_str(), &error["attempts"]), ("unknown", &json!(1)));
        }
    }
}

#[test]
fn no_content_is_a_success() {
    let edge = edge_with([Fault::NoContent]);
    let client = client(edge.host(), json!({}));
    let envelope: Value = serde_json::from_str(&client.send_notifications_json(&display()).unwrap()).unwrap();
    assert_eq!(envelope["meta"]["notifications"]["acknowledged"], json!(["n1"]));
    client.send_notifications_json(&display()).unwrap();
    assert_eq!(edge.connections(), 1);
}

#[test]
fn compressed_answers_are_asked_for_and_read() {
    let edge = edge_with([Fault::Gzip]);
    let client = client(edge.host(), json!({}));
    client.send_notifications_json(&display()).unwrap();
    client.send_notifications_json(&display()).unwrap();
    assert_eq!(edge.requests()[0].header("accept-encoding"), Some("gzip"));
    assert_eq!(edge.connections(), 1, "a compressed answer is read to its end");
}
