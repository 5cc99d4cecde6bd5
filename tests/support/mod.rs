//! What the behaviour tests have in common: an edge, a client of it, and short ways to write requests.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::time::{Duration, Instant};

use adobe_target::local_edge::{LocalEdge, RecordedRequest};
use adobe_target::{CallOptions, ClientBuilder, ClientStats, ProxySetting, RetryPolicy, TargetClient, TargetError};
use serde_json::{Value, json};

pub const ORGANIZATION: &str = "0DD934B85278256B0A490D44@AdobeOrg";
/// What all clients see as now.
pub const NOW: i64 = 1_621_530_726_000;
/// Longer than anything takes that is not meant to go on for ever.
pub const LONG: Duration = Duration::from_secs(30);
/// Only looks.
pub const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

pub fn edge() -> LocalEdge {
    LocalEdge::start().unwrap()
}

/// A client of that edge whose clock stands still, that repeats without waiting, and that gives nothing up
/// because the machine is slow.
pub fn builder(edge: &LocalEdge) -> ClientBuilder {
    builder_for(edge.host())
}

pub fn builder_for(server_domain: String) -> ClientBuilder {
    TargetClient::builder("acme", ORGANIZATION)
        .server_domain(server_domain)
        .secure(false)
        .proxy(ProxySetting::None)
        .timeout(LONG)
        .connect_timeout(LONG)
        .retry(RetryPolicy::default().base_delay(Duration::from_millis(1)))
        .fixed_clock_ms(NOW)
}

pub fn client(edge: &LocalEdge) -> TargetClient {
    builder(edge).build().unwrap()
}

/// A port that refuses connections, and stays nobody else's while this lives.
pub struct Nobody(socket2::Socket);

impl Nobody {
    pub fn new() -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Nobody(socket)
    }

    pub fn host(&self) -> String {
        self.0.local_addr().unwrap().as_socket().unwrap().to_string()
    }
}

/// Typed options with a request written as JSON.
pub fn options(request: Value) -> CallOptions {
    CallOptions::new(serde_json::from_value(request).unwrap())
}

/// Options as the C ABI takes them.
pub fn json_options(request: Value) -> String {
    json!({"request": request}).to_string()
}

pub fn execute(mboxes: &[&str]) -> Value {
    json!({"execute": {"mboxes": named(mboxes)}})
}

pub fn prefetch(mboxes: &[&str]) -> Value {
    json!({"prefetch": {"mboxes": named(mboxes)}})
}

fn named(mboxes: &[&str]) -> Value {
    mboxes.iter().map(|name| json!({"name": name})).collect()
}

pub fn notify(notifications: impl IntoIterator<Item = Value>) -> Value {
    json!({"notifications": notifications.into_iter().collect::<Value>()})
}

/// That an mbox was shown, without a token: the edge counts a visit.
pub fn display(id: &str) -> Value {
    json!({"id": id, "type": "display", "timestamp": NOW, "mbox": {"name": "home"}})
}

pub fn click(id: &str) -> Value {
    json!({"id": id, "type": "click", "timestamp": NOW, "mbox": {"name": "home"}})
}

pub fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub fn body(request: &RecordedRequest) -> Value {
    request.json().expect("requests have a JSON body")
}

/// The requests that came since the last look, which must be one.
pub fn only_request(edge: &LocalEdge) -> RecordedRequest {
    let mut requests = edge.take_requests();
    assert_eq!(requests.len(), 1, "one request reaches the edge");
    requests.remove(0)
}

/// The body of the only request that came since the last look.
pub fn only_body(edge: &LocalEdge) -> Value {
    body(&only_request(edge))
}

/// The counts once so many calls are in flight: a call is until its thread has left it, shortly after its result
/// can be had.
pub fn settled(client: &TargetClient, in_flight: u64) -> ClientStats {
    let begun = Instant::now();
    loop {
        let stats = client.stats();
        if stats.in_flight == in_flight {
            return stats;
        }
        assert!(begun.elapsed() < LONG, "{stats:?}");
        std::thread::yield_now();
    }
}

/// The ids of the notifications in a request, in order.
pub fn notification_ids(body: &Value) -> Vec<&str> {
    body["notifications"].as_array().into_iter().flatten().filter_map(|item| item["id"].as_str()).collect()
}

pub fn field(error: &TargetError) -> &str {
    error.details().field.as_deref().unwrap_or_default()
}

/// Everything that an error says, in every form.
pub fn all_texts(error: &TargetError) -> String {
    format!("{error}\n{error:?}\n{}", error.to_json())
}

pub fn is_uuid_v4(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            14 => byte == b'4',
            19 => b"89ab".contains(&byte),
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}
