//! Faults of the artifact and of the geo service, each on its own route.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use adobe_target::local_edge::{Fault, LocalEdge, Route, WrongEtag};
use serde_json::{Value, json};

use crate::{Answer, Client, execute};

const PATH: &str = "/acme/production/v1/rules.json";

fn edge_with(fault: Fault) -> (LocalEdge, Client) {
    let edge = LocalEdge::builder().default_artifact().start().unwrap();
    edge.fault_on(Route::Artifact, fault);
    let client = Client::of(&edge);
    (edge, client)
}

fn fetch(client: &mut Client, headers: &str) -> std::io::Result<Answer> {
    client.send_request("GET", PATH, headers, b"")?;
    client.receive()
}

#[test]
fn a_fault_waits_for_a_request_of_its_route() {
    let edge = LocalEdge::builder().default_artifact().start().unwrap();
    edge.faults_on(Route::Artifact, [Fault::status(403), Fault::None]);
    edge.fault_on(Route::Geo, Fault::status(500));
    edge.fault(Fault::status(503));
    assert_eq!((edge.waiting_faults(), edge.waiting_faults_on(Route::Artifact)), (4, 2));
    let mut client = Client::of(&edge);
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(fetch(&mut client, "").unwrap().status);
        statuses.push(client.get("/v1/geo", "*/*").status);
        statuses.push(client.deliver(&execute(&["home"])).unwrap().status);
    }
    assert_eq!(statuses, [403, 500, 503, 200, 200, 200]);
    let report = edge.report();
    assert_eq!((report.artifact_requests.status(403), report.geo_requests.status(500)), (1, 1));
    assert_eq!(report.errors.into_iter().collect::<Vec<_>>(), [(503, 1)], "errors are of delivery requests");
    assert_eq!(edge.waiting_faults(), 0);
}

#[test]
fn a_default_reply_lasts_on_its_route() {
    let edge = LocalEdge::builder().default_artifact().start().unwrap();
    edge.set_default_reply_on(Route::Artifact, Some(Fault::status(403)));
    let mut client = Client::of(&edge);
    for _ in 0..3 {
        assert_eq!(fetch(&mut client, "").unwrap().status, 403);
    }
    client.delivered(&execute(&["home"]));
    edge.set_default_reply_on(Route::Artifact, None);
    assert_eq!(fetch(&mut client, "").unwrap().status, 200);
}

#[test]
fn routes_are_named_over_http() {
    let edge = LocalEdge::builder().default_artifact().start().unwrap();
    let mut client = Client::of(&edge);
    let faults = json!([{"type": "status", "status": 403, "route": "artifact", "times": 2}, {"type": "garbage_body", "route": "geo"}]);
    assert_eq!(client.post("/control/faults", &faults).unwrap().json(), json!({"waiting": 3}));
    client.delivered(&execute(&["home"]));
    assert_eq!(fetch(&mut client, "").unwrap().status, 403);
    assert!(serde_json::from_slice::<Value>(&client.get("/v1/geo", "*/*").body).is_err());
    let bad = client.post("/control/faults", &json!({"type": "none", "route": "cdn"})).unwrap();
    assert_eq!(bad.message(), "fault.route must be one of: delivery, artifact, geo");
    let always = json!({"type": "status", "status": 500, "route": "artifact"});
    client.post("/control/default_reply", &always).unwrap();
    let statuses: Vec<u16> = (0..3).map(|_| fetch(&mut client, "").unwrap().status).collect();
    assert_eq!(statuses, [403, 500, 500]);
    client.post("/control/default_reply", &json!(null)).unwrap();
    assert_eq!(fetch(&mut client, "").unwrap().status, 200);
}

#[test]
fn a_download_may_be_late_or_broken_off() {
    let delay = Duration::from_millis(100);
    let (edge, mut client) = edge_with(Fault::Delay(delay));
    let begun = Instant::now();
    assert_eq!(fetch(&mut client, "").unwrap().status, 200);
    assert!(begun.elapsed() >= delay);

    edge.fault_on(Route::Artifact, Fault::ResetBeforeReading);
    assert_eq!(fetch(&mut client, "").unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut client = Client::of(&edge);
    edge.fault_on(Route::Artifact, Fault::ResetAfterReading { counted: false });
    assert_eq!(fetch(&mut client, "").unwrap_err().kind(), ErrorKind::ConnectionReset);

    let mut client = Client::of(&edge);
    edge.fault_on(Route::Artifact, Fault::HalfAnswer { counted: false });
    client.send_request("GET", PATH, "", b"").unwrap();
    let mut all = String::new();
    client.stream.read_to_string(&mut all).unwrap();
    let (head, body) = all.split_once("\r\n\r\n").unwrap();
    let whole = LocalEdge::default_artifact_json();
    assert!(head.contains(&format!("Content-Length: {}", whole.len())), "{head}");
    assert_eq!(body, &whole[..whole.len() / 2]);
}

#[test]
fn a_cut_body_is_complete_for_http() {
    let (_edge, mut client) = edge_with(Fault::CutBody);
    let answer = fetch(&mut client, "").unwrap();
    let whole = LocalEdge::default_artifact_json();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &whole.as_bytes()[..whole.len() / 2]));
    assert_eq!(fetch(&mut client, "").unwrap().body.len(), whole.len(), "on the same connection");
}

#[test]
fn a_page_may_come_instead() {
    let (_edge, mut client) = edge_with(Fault::HtmlPage);
    let answer = fetch(&mut client, "").unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html;charset=UTF-8")));
    assert!(answer.body.starts_with(b"<!doctype html>"));
    assert_eq!(answer.header("etag"), None);
}

#[test]
fn a_body_may_have_no_end() {
    let (edge, mut client) = edge_with(Fault::EndlessBody);
    let answer = fetch(&mut client, "").unwrap();
    assert_eq!((answer.status, answer.header("transfer-encoding")), (200, Some("chunked")));
    while client.unread.len() < 20_000_000 {
        client.read_more().unwrap();
    }
    drop(client);
    assert!(edge.wait_until(Duration::from_secs(10), |_| edge.open_connections() == 0));

    let mut stuck = Client::of(&edge);
    edge.fault_on(Route::Artifact, Fault::EndlessBody);
    fetch(&mut stuck, "").unwrap();
    let begun = Instant::now();
    edge.stop();
    assert!(begun.elapsed() < Duration::from_secs(5), "a reader that reads nothing holds up no end");
}

#[test]
fn another_version_is_another_content() {
    let (edge, mut client) = edge_with(Fault::OtherVersion("2.0.0".to_owned()));
    let other = fetch(&mut client, "").unwrap();
    let plain = fetch(&mut client, "").unwrap();
    assert_eq!(other.json()["version"], "2.0.0");
    assert_eq!(plain.json()["version"], "1.0.0");
    assert_eq!(other.json()["rules"], plain.json()["rules"]);
    assert_ne!(other.header("etag"), plain.header("etag"));
    edge.fault_on(Route::Artifact, Fault::OtherVersion("2.0.0".to_owned()));
    let tag = plain.header("etag").unwrap();
    assert_eq!(fetch(&mut client, &format!("If-None-Match: {tag}\r\n")).unwrap().status, 200);
    edge.fault_on(Route::Geo, Fault::OtherVersion("2.0.0".to_owned()));
    assert_eq!(client.get("/v1/geo", "*/*").status, 200);
}

#[test]
fn entity_tags_may_be_wrong() {
    let (edge, mut client) = edge_with(Fault::None);
    let right = fetch(&mut client, "").unwrap().header("etag").unwrap().to_owned();
    let mut wrongly = |how: WrongEtag, headers: &str| {
        edge.fault_on(Route::Artifact, Fault::WrongEtag(how));
        let answer = fetch(&mut client, headers).unwrap();
        (answer.status, answer.header("etag").map(str::to_owned), answer.body.len())
    };
    let length = LocalEdge::default_artifact_json().len();
    let matching = format!("If-None-Match: {right}\r\n");

    assert_eq!(wrongly(WrongEtag::Missing, &matching), (200, None, length));
    assert_eq!(wrongly(WrongEtag::Weak, ""), (200, Some(format!("W/{right}")), length));
    assert_eq!(wrongly(WrongEtag::Weak, &matching).0, 304);
    assert_eq!(wrongly(WrongEtag::MatchIgnored, &matching), (200, Some(right.clone()), length));
    let first = wrongly(WrongEtag::Changing, &matching);
    let second = wrongly(WrongEtag::Changing, &format!("If-None-Match: {}\r\n", first.1.as_deref().unwrap()));
    assert_eq!((first.0, second.0), (200, 200));
    assert_ne!(first.1, second.1);
    assert_eq!(wrongly(WrongEtag::NotModified, ""), (304, Some(right), 0));
    edge.set_artifact("{}").unwrap();
    assert_eq!(wrongly(WrongEtag::NotModified, &matching).0, 304, "although it is another");
}
