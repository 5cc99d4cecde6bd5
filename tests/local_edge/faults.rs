//! Each fault, seen from the client that meets it, and whether the request was counted.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use adobe_target::local_edge::{Fault, LocalEdge};
use serde_json::json;

use crate::{Client, TARGET, display, execute, notify};

fn edge_with(fault: Fault) -> (LocalEdge, Client) {
    let edge = LocalEdge::start().unwrap();
    edge.fault(fault);
    let client = Client::of(&edge);
    (edge, client)
}

/// That the edge counted so many impressions, and serves the next request, on a new connection, without harm.
fn assert_counted(edge: &LocalEdge, impressions: u64) {
    assert!(
        edge.wait_until(Duration::from_secs(10), |report| report.impressions.total == impressions),
        "{:?}",
        edge.report()
    );
    assert_eq!(Client::of(edge).deliver(&execute(&["home"])).unwrap().status, 200);
    assert_eq!(edge.report().impressions.total, impressions + 1);
}

#[test]
fn each_request_takes_one_fault() {
    let edge = LocalEdge::start().unwrap();
    edge.faults([Fault::None, Fault::status(503), Fault::status(500)]);
    assert_eq!(edge.waiting_faults(), 3);
    let mut client = Client::of(&edge);
    // Only delivery requests take them.
    client.get("/report", "application/json");
    client.get("/nothing", "*/*");
    let statuses: Vec<u16> = (0..4).map(|_| client.deliver(&execute(&["home"])).unwrap().status).collect();
    assert_eq!(statuses, [200, 503, 500, 200]);
    assert_eq!(edge.connections(), 1, "a status does not close the connection");
    assert_eq!(edge.report().impressions.total, 2);
    edge.fault(Fault::Silence);
    edge.clear_faults();
    assert_eq!(edge.waiting_faults(), 0);
    client.delivered(&execute(&["home"]));
}

#[test]
fn a_delayed_answer_is_counted_before_it_comes() {
    let delay = Duration::from_millis(200);
    let (edge, mut client) = edge_with(Fault::Delay(delay));
    let begun = Instant::now();
    client.send_request("POST", TARGET, "", execute(&["home"]).to_string().as_bytes()).unwrap();
    assert!(edge.wait_until(delay * 50, |report| report.impressions.total == 1));
    assert_eq!(client.receive().unwrap().status, 200);
    assert!(begun.elapsed() >= delay);
    assert_counted(&edge, 1);
}

#[test]
fn a_status_may_say_when_to_come_again() {
    let fault = Fault::Status { status: 429, retry_after: Some("7".to_owned()), message: "slow down".to_owned() };
    let (edge, mut client) = edge_with(fault);
    let answer = client.deliver(&execute(&["home"])).unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("7")));
    assert_eq!(answer.json(), json!({"status": 429, "message": "slow down"}));
    assert_eq!(edge.report().errors[&429], 1);
    assert_counted(&edge, 0);
}

#[test]
fn a_reset_before_reading_comes_before_the_body() {
    let (edge, mut client) = edge_with(Fault::ResetBeforeReading);
    client.send(b"POST /rest/v1/delivery?x HTTP/1.1\r\n").unwrap();
    assert_eq!(client.receive().unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(edge.report().requests, 0);
    assert!(edge.requests().is_empty());
    assert_counted(&edge, 0);
}

#[test]
fn a_reset_after_reading_may_have_counted() {
    for counted in [false, true] {
        let (edge, mut client) = edge_with(Fault::ResetAfterReading { counted });
        let error = client.deliver(&execute(&["home"])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(edge.requests().len(), 1);
        assert_counted(&edge, u64::from(counted));
    }
}

#[test]
fn half_an_answer_promises_more_than_it_holds() {
    for counted in [false, true] {
        let (edge, mut client) = edge_with(Fault::HalfAnswer { counted });
        client.send_request("POST", TARGET, "", execute(&["home"]).to_string().as_bytes()).unwrap();
        let mut all = String::new();
        client.stream.read_to_string(&mut all).unwrap();
        let (head, body) = all.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let promised: usize = head.split_once("Content-Length: ").unwrap().1.lines().next().unwrap().parse().unwrap();
        assert!(!body.is_empty() && body.len() < promised, "{} of {promised}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_err());
        assert_counted(&edge, u64::from(counted));
    }
}

#[test]
fn garbage_is_no_http() {
    let (edge, mut client) = edge_with(Fault::Garbage);
    client.send_request("POST", TARGET, "", execute(&["home"]).to_string().as_bytes()).unwrap();
    let mut all = Vec::new();
    client.stream.read_to_end(&mut all).unwrap();
    assert!(!all.is_empty() && !all.starts_with(b"HTTP/"));
    assert_counted(&edge, 0);
}

#[test]
fn a_garbage_body_is_no_json() {
    let (edge, mut client) = edge_with(Fault::GarbageBody);
    let answer = client.deliver(&execute(&["home"])).unwrap();
    assert_eq!(answer.status, 200);
    assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err());
    assert_counted(&edge, 0);
}

#[test]
fn a_slow_body_goes_on_until_the_peer_has_gone() {
    let (edge, mut client) = edge_with(Fault::SlowBody { chunk_delay: Duration::from_millis(1) });
    let answer = client.deliver(&execute(&["home"])).unwrap();
    assert_eq!((answer.status, answer.header("transfer-encoding")), (200, Some("chunked")));
    while client.unread.len() < 60 {
        client.read_more().unwrap();
    }
    assert!(client.unread.starts_with(b"1\r\n \r\n1\r\n \r\n"));
    assert_eq!(edge.open_connections(), 1);
    drop(client);
    assert!(edge.wait_until(Duration::from_secs(10), |_| edge.open_connections() == 0));
    assert_counted(&edge, 1);
}

#[test]
fn missed_ids_are_neither_answered_nor_counted() {
    let (edge, mut client) = edge_with(Fault::MissIds(2));
    let all = notify(json!([display("a"), display("b"), display("c")]));
    assert_eq!(client.delivered(&all)["notifications"], json!([{"id": "a"}]));
    let report = edge.report();
    assert_eq!((report.notifications.processed, report.visits.total), (1, 1));
    edge.fault(Fault::MissIds(9));
    assert_eq!(client.delivered(&all)["notifications"], json!([]));
    assert_eq!(edge.report().notifications.processed, 1);
}

#[test]
fn a_missed_impression_was_not_seen() {
    let (edge, mut client) = edge_with(Fault::MissIds(1));
    let mut shown = display("a");
    shown["impressionId"] = json!("i");
    client.delivered(&notify(json!([shown])));
    client.delivered(&notify(json!([shown])));
    let report = edge.report();
    assert_eq!((report.visits.total, report.duplicate_impressions), (1, 0));
}

#[test]
fn no_content_is_counted() {
    let (edge, mut client) = edge_with(Fault::NoContent);
    let answer = client.deliver(&execute(&["home"])).unwrap();
    assert_eq!((answer.status, answer.body.len(), answer.header("content-length")), (204, 0, None));
    client.delivered(&execute(&["nothing-there"]));
    assert_counted(&edge, 1);
}

#[test]
fn silence_lasts_until_the_peer_closes() {
    let (edge, mut client) = edge_with(Fault::Silence);
    client.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = client.deliver(&execute(&["home"])).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    assert_eq!((edge.open_connections(), edge.report().requests), (1, 1));
    drop(client);
    assert!(edge.wait_until(Duration::from_secs(10), |_| edge.open_connections() == 0));
    assert_counted(&edge, 0);
}

#[test]
fn close_after_answer_says_so() {
    let (edge, mut client) = edge_with(Fault::CloseAfterAnswer);
    let answer = client.deliver(&execute(&["home"])).unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(client.is_closed());
    assert_counted(&edge, 1);
}

/// Posts with a client that knows gzip. The body is read up to the limit.
fn post_with_ureq(edge: &LocalEdge, limit: u64) -> Result<Vec<u8>, ureq::Error> {
    ureq::post(edge.url(TARGET))
        .send(execute(&["cart"]).to_string())?
        .body_mut()
        .with_config()
        .limit(limit)
        .read_to_vec()
}

#[test]
fn a_gzip_answer_is_a_gzip_stream() {
    let (edge, mut client) = edge_with(Fault::Gzip);
    let answer = client.deliver(&execute(&["cart"])).unwrap();
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert!(answer.body.starts_with(&[0x1f, 0x8b]));
    edge.fault(Fault::Gzip);
    let body = post_with_ureq(&edge, 1_000_000).unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["execute"]["mboxes"][0]["options"][0]["content"]["discount"], 15);
    assert_counted(&edge, 2);
}

#[test]
fn a_gzip_bomb_grows_to_what_was_asked_for() {
    let (edge, mut client) = edge_with(Fault::GzipBomb { megabytes: 3 });
    let answer = client.deliver(&execute(&["cart"])).unwrap();
    assert!(answer.body.len() < 30_000, "{}", answer.body.len());
    edge.faults([Fault::GzipBomb { megabytes: 3 }, Fault::GzipBomb { megabytes: 3 }]);
    let body = post_with_ureq(&edge, 10_000_000).unwrap();
    assert!(body.len() >= 3 * 1024 * 1024 && body.len() < 3 * 1024 * 1024 + 1000, "{}", body.len());
    assert!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["pad"].is_string());
    assert!(matches!(post_with_ureq(&edge, 1_000_000), Err(ureq::Error::BodyExceedsLimit(_))));
    assert_counted(&edge, 3);
}

#[test]
fn canned_answers_come_in_their_order_and_the_default_for_ever() {
    let edge = LocalEdge::start().unwrap();
    edge.reply_with(200, r#"{"first":1}"#);
    edge.fault(Fault::Respond {
        status: 599,
        reason: Some("Very Odd".to_owned()),
        headers: vec![("X-One".to_owned(), "a".to_owned()), ("X-One".to_owned(), "b".to_owned())],
        body: b"not json".to_vec(),
        delay: Duration::from_millis(1),
    });
    edge.set_default_reply(Some(Fault::respond(500, "last")));
    let mut client = Client::of(&edge);
    assert_eq!(client.deliver(&json!("anything")).unwrap().json(), json!({"first": 1}));
    let odd = client.deliver(&json!(1)).unwrap();
    assert_eq!(odd.head, "HTTP/1.1 599 Very Odd\r\nX-One: a\r\nX-One: b\r\nContent-Length: 8");
    assert_eq!(odd.body, b"not json");
    for _ in 0..3 {
        assert_eq!(client.deliver(&json!(2)).unwrap().body, b"last");
    }
    edge.set_default_reply(None);
    assert_eq!(client.deliver(&execute(&[])).unwrap().status, 200);
    assert_eq!(edge.requests().iter().filter(|request| request.body == b"2").count(), 3);
    assert_eq!(edge.connections(), 1);
}

#[test]
fn a_canned_answer_may_close_the_connection() {
    let (_edge, mut client) = edge_with(Fault::Respond {
        status: 200,
        reason: None,
        headers: vec![("Connection".to_owned(), "close".to_owned())],
        body: Vec::new(),
        delay: Duration::ZERO,
    });
    assert_eq!(client.deliver(&json!({})).unwrap().header("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn stopping_ends_delays_silence_and_slow_bodies_at_once() {
    let edge = LocalEdge::start().unwrap();
    let day = Duration::from_secs(86_400);
    edge.faults([Fault::Delay(day), Fault::Silence, Fault::SlowBody { chunk_delay: day }]);
    let mut clients = [Client::of(&edge), Client::of(&edge), Client::of(&edge)];
    for client in &mut clients {
        client.send_request("POST", TARGET, "", execute(&["home"]).to_string().as_bytes()).unwrap();
    }
    assert!(edge.wait_until(Duration::from_secs(10), |report| report.requests == 3));
    let begun = Instant::now();
    edge.stop();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
