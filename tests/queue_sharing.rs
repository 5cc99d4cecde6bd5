//! The queue in memory: what goes out together, and how much room it takes.
#![cfg(all(feature = "local-edge", unix))]

mod support;

use std::process::Command;
use std::time::Duration;

use adobe_target::local_edge::{Fault, LocalEdge, RecordedRequest, Route};
use adobe_target::{DecisioningMethod, QueueConfig, TargetClient, TargetError};
use serde_json::{Value, json};
use support::*;

/// One that sends nothing before it is told to, unless it has a full batch.
fn patient(edge: &LocalEdge) -> TargetClient {
    let mut queue = QueueConfig::default();
    queue.flush_interval = LONG;
    builder(edge).notifications(queue).build().unwrap()
}

fn enqueue(client: &TargetClient, session: &str, more: Value, notifications: impl IntoIterator<Item = Value>) {
    let mut request = notify(notifications);
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
    }
    let options = json!({"request": request, "session_id": session});
    client.enqueue_notifications_json(&options.to_string()).unwrap();
}

#[test]
fn fifty_of_one_session_are_one_request() {
    let edge = edge();
    let client = patient(&edge);
    for number in 0..50 {
        enqueue(&client, "s", json!({}), [display(&number.to_string())]);
    }

    assert!(edge.wait_until(LONG, |report| report.visits.total == 50), "a full batch does not wait");

    let sent = only_body(&edge);
    let expected: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    assert_eq!(notification_ids(&sent), expected);
}

#[test]
fn visitors_properties_and_environments_do_not_share_a_request() {
    let edge = edge();
    let client = patient(&edge);
    let id = |id: &str| json!({"id": {"thirdPartyId": id}});
    let property = |token: &str| json!({"property": {"token": token}});
    for (at, more) in
        [id("a"), id("b"), property("c"), property("d"), json!({"environmentId": 5}), json!({})].into_iter().enumerate()
    {
        for part in ["first", "second"] {
            enqueue(&client, "s", more.clone(), [display(&format!("{at}-{part}"))]);
        }
    }

    client.flush(Some(LONG)).unwrap();

    let mut sent: Vec<_> =
        edge.take_requests().iter().map(|request| notification_ids(&body(request)).join(" ")).collect();
    sent.sort();
    assert_eq!(sent, (0..6).map(|at| format!("{at}-first {at}-second")).collect::<Vec<_>>());
}

/// A client that decides from the edge's artifact, and sends nothing before it is told to.
fn deciding(edge: &LocalEdge) -> TargetClient {
    let mut queue = QueueConfig::default();
    queue.flush_interval = LONG;
    builder(edge)
        .decisioning_method(DecisioningMethod::OnDevice)
        .artifact_payload(LocalEdge::default_artifact_json())
        .polling_interval(Duration::ZERO)
        .notifications(queue)
        .build()
        .unwrap()
}

/// Without the client's own, which ask for its location hint.
fn requests_of(edge: &LocalEdge, session: &str) -> Vec<RecordedRequest> {
    let mut requests = edge.requests_on(Route::Delivery);
    requests.retain(|request| request.target.ends_with(&format!("sessionId={session}")));
    requests
}

#[test]
fn decisions_and_enqueued_ones_of_one_visitor_share_a_request() {
    let edge = LocalEdge::builder().default_artifact().start().unwrap();
    let client = deciding(&edge);
    let visitor = json!({"id": {"tntId": "0123456789abcdef0123456789abcdef.35_0"}, "context": {"channel": "web"}});
    let decide = || {
        let mut request = execute(&["home"]);
        request["id"] = visitor["id"].clone();
        request["context"] = visitor["context"].clone();
        client.get_offers_json(&json!({"request": request, "session_id": "s"}).to_string()).unwrap();
    };

    decide();
    enqueue(&client, "s", visitor.clone(), [display("own")]);
    decide();
    client.flush(Some(LONG)).unwrap();

    let requests = requests_of(&edge, "s");
    assert_eq!(requests.len(), 1, "{requests:#?}");
    let sent = body(&requests[0]);
    let ids = notification_ids(&sent);
    assert_eq!((ids.len(), ids[1]), (3, "own"));
    assert_eq!((edge.report().impressions.total, edge.report().visits.total), (2, 1));
}

#[test]
fn decisions_of_other_surroundings_go_out_alone() {
    let edge = LocalEdge::builder().default_artifact().start().unwrap();
    let client = deciding(&edge);
    let id = json!({"tntId": "0123456789abcdef0123456789abcdef.35_0"});
    let mut request = execute(&["home"]);
    (request["id"], request["context"]) = (id.clone(), json!({"channel": "mobile"}));

    client.get_offers_json(&json!({"request": request, "session_id": "s"}).to_string()).unwrap();
    enqueue(&client, "s", json!({"id": id, "context": {"channel": "web"}}), [display("own")]);
    client.flush(Some(LONG)).unwrap();

    assert_eq!(requests_of(&edge, "s").len(), 2);
}

const HOST: &str = "ADOBE_TARGET_QUEUE_HOST";
const VISITORS: usize = 100_000;
const MEGABYTE: usize = 1024 * 1024;

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    // SAFETY: takes a number and returns one.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * page
}

/// In a process of its own, which has no edge in it.
#[cfg(target_os = "linux")]
#[test]
fn many_visitors() {
    let Ok(host) = std::env::var(HOST) else { return };
    let mut queue = QueueConfig::default();
    queue.workers = 4;
    let client = builder_for(host).notifications(queue).build().unwrap();
    let report = |number: usize| {
        let session = format!("session-{number}");
        let mut request = notify([display(&format!("shown-{number}"))]);
        request["id"] = json!({"tntId": format!("{number:032x}.35_0")});
        json!({"request": request, "session_id": session}).to_string()
    };
    // What the first ones need is needed once.
    for number in 0..1000 {
        client.enqueue_notifications_json(&report(number)).unwrap();
    }
    client.flush(Some(LONG)).unwrap();
    let (before, mut highest) = (resident(), 0);
    for number in 1000..VISITORS {
        while let Err(error) = client.enqueue_notifications_json(&report(number)) {
            assert!(matches!(error, TargetError::QueueFull(_)), "{error:?}");
            client.flush(None).unwrap();
        }
        if number % 1000 == 0 {
            highest = highest.max(resident());
        }
    }
    client.flush(None).unwrap();
    let (after, stats) = (resident(), client.stats().queue);
    println!(
        "{VISITORS} visitors: {} MB resident before, at most {}, {} after",
        before / MEGABYTE,
        highest / MEGABYTE,
        after / MEGABYTE
    );
    assert_eq!((stats.accepted, stats.acknowledged, stats.pending), (VISITORS as u64, VISITORS as u64, 0));
    assert!(highest.max(after) < before + 64 * MEGABYTE, "{before} bytes before, {highest} at most, {after} after");
}

#[cfg(target_os = "linux")]
#[test]
fn memory_does_not_grow_with_visitors() {
    let edge = LocalEdge::builder().record_requests(false).start().unwrap();
    // Its counting is not what is looked at.
    edge.set_default_reply(Some(Fault::Respond {
        status: 204,
        reason: None,
        headers: Vec::new(),
        body: Vec::new(),
        delay: Duration::ZERO,
    }));
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "many_visitors", "--nocapture"]).env(HOST, edge.host());
    assert!(child.status().unwrap().success());
    assert_eq!(edge.report().sessions, VISITORS as u64);
}
