//! A CDN and an edge on one port that answer as a test scripts them, and clients of them.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adobe_target::{ClientConfig, TargetClient, TargetError};
use serde_json::{Value, json};

use crate::net::{End, Wire, read_request, wait_for};

/// Longer than anything takes that is not meant to go on for ever.
pub const LONG: Duration = Duration::from_secs(30);
/// Only looks.
pub const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

/// What becomes of a request.
#[derive(Clone)]
pub enum Reply {
    /// These bytes, and the connection stays.
    Bytes(Vec<u8>),
    /// These bytes, and then the end of the connection.
    Cut(Vec<u8>, End),
    /// Nothing, until the client goes.
    Silence,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub line: String,
    head: String,
    pub body: String,
}

impl Request {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let (line, head) = head.split_once("\r\n").unwrap();
        Request { line: line.to_owned(), head: head.to_owned(), body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Replies in their order, and then one again and again.
struct Script {
    replies: VecDeque<Reply>,
    otherwise: Reply,
}

impl Script {
    fn next(&mut self) -> Reply {
        self.replies.pop_front().unwrap_or_else(|| self.otherwise.clone())
    }
}

struct State {
    artifact: Script,
    geo: Script,
    delivery: Script,
    requests: Vec<Request>,
}

pub struct Cdn {
    wire: Wire,
    state: Arc<Mutex<State>>,
}

impl Cdn {
    /// Answers downloads with these and then with 304, delivery requests without a cluster, and knows no places.
    pub fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let artifact = Script { replies: replies.into_iter().collect(), otherwise: reply(304, &[], "") };
        let delivery = Script { replies: VecDeque::new(), otherwise: reply(200, &[], "{\"status\":200}") };
        let geo = Script { replies: VecDeque::new(), otherwise: reply(404, &[], "") };
        let state = Arc::new(Mutex::new(State { artifact, geo, delivery, requests: Vec::new() }));
        let of_wire = Arc::clone(&state);
        let wire = Wire::start(move |stream, _| serve(stream, &of_wire));
        Cdn { wire, state }
    }

    pub fn host(&self) -> String {
        self.wire.addr.to_string()
    }

    pub fn then(&self, reply: Reply) {
        self.state.lock().unwrap().artifact.replies.push_back(reply);
    }

    pub fn locate(&self, reply: Reply) {
        self.state.lock().unwrap().geo.replies.push_back(reply);
    }

    pub fn deliver(&self, reply: Reply) {
        self.state.lock().unwrap().delivery.replies.push_back(reply);
    }

    fn requests(&self, of_kind: fn(&str) -> bool) -> Vec<Request> {
        let state = self.state.lock().unwrap();
        state.requests.iter().filter(|request| of_kind(&request.line)).cloned().collect()
    }

    /// The requests for the artifact.
    pub fn downloads(&self) -> Vec<Request> {
        self.requests(|line| line.starts_with("GET ") && !line.starts_with(GEO))
    }

    /// The requests to the geo service.
    pub fn look_ups(&self) -> Vec<Request> {
        self.requests(|line| line.starts_with(GEO))
    }

    /// Requests to the edge, once there are that many.
    pub fn deliveries(&self, count: usize) -> Vec<Request> {
        let deliveries = || self.requests(|line| line.starts_with("POST "));
        wait_for("a request to the edge", || deliveries().len() >= count);
        deliveries()
    }

    /// A client of this CDN and edge that asks for no hint, unless `more` says otherwise.
    pub fn client(&self, more: Value) -> TargetClient {
        client(&self.host(), more).unwrap_or_else(|error| panic!("{error}"))
    }
}

const GEO: &str = "GET /v1/geo ";

fn serve(mut stream: &TcpStream, state: &Mutex<State>) -> End {
    while let Some(bytes) = read_request(&mut stream) {
        let request = Request::parse(&bytes);
        let reply = {
            let mut state = state.lock().unwrap();
            state.requests.push(request.clone());
            match &*request.line {
                line if line.starts_with("POST ") => state.delivery.next(),
                line if line.starts_with(GEO) => state.geo.next(),
                _ => state.artifact.next(),
            }
        };
        match reply {
            Reply::Bytes(bytes) => {
                if stream.write_all(&bytes).is_err() {
                    break;
                }
            }
            Reply::Cut(bytes, end) => {
                let _ = stream.write_all(&bytes);
                return end;
            }
            Reply::Silence => {
                let _ = stream.read(&mut [0]);
                break;
            }
        }
    }
    End::Close
}

pub fn client(host: &str, more: Value) -> Result<TargetClient, TargetError> {
    let mut config = json!({
        "client": "acme",
        "organization_id": "0DD934B85278256B0A490D44@AdobeOrg",
        "decisioning_method": "on-device",
        "server_domain": host,
        "cdn_base_path": host,
        "secure": false,
        "proxy": "none",
        "timeout": 15000,
        "maximum_wait_ready": 20000,
        "target_location_hint": "35",
        "headers": {"X-Secret": "for delivery hosts alone"},
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    TargetClient::new(ClientConfig::from_json(&config.to_string())?)
}

pub fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    Reply::Bytes(http(status, headers, body).into_bytes())
}

pub fn http(status: u16, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if status == 304 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("HTTP/1.1 {status} X\r\n{length}{headers}\r\n{body}")
}

pub fn artifact(version: &str) -> String {
    artifact_value(version).to_string()
}

pub fn artifact_value(version: &str) -> Value {
    json!({
        "version": version, "meta": {"clientCode": "acme", "environment": "production"},
        "globalMbox": "target-global-mbox", "geoTargetingEnabled": false, "responseTokens": [],
        "remoteMboxes": [], "remoteViews": [], "localMboxes": ["home"], "localViews": [],
        "rules": {"mboxes": {"home": [{
            "ruleKey": "1", "activityId": 1, "meta": {"activity.id": 1}, "condition": true,
            "consequence": {"name": "home", "metrics": [],
                "options": [{"type": "html", "content": "<b>hello</b>", "eventToken": "t"}]},
        }]}, "views": {}},
    })
}

pub fn good(version: &str, etag: &str) -> Reply {
    reply(200, &[("ETag", etag)], &artifact(version))
}

/// The masked form: a header with version and key, then the text under organization and key.
pub fn masked(text: &str) -> Vec<u8> {
    let key = "0123456789abcdef0123456789abcdef";
    let mask = format!("0DD934B85278256B0A490D44@AdobeOrg{key}");
    let body = text.bytes().zip(mask.bytes().cycle()).map(|(byte, mask)| byte ^ mask);
    format!("ATOD:001{key}").into_bytes().into_iter().chain(body).collect()
}

/// The next event that is not of this type.
pub fn event_beside(client: &TargetClient, passed_over: &str) -> Value {
    loop {
        let event = event(client);
        if event["type"] != passed_over {
            return event;
        }
    }
}

pub fn event(client: &TargetClient) -> Value {
    serde_json::from_str(&client.next_event(Some(LONG)).unwrap()).unwrap()
}

/// The types of all events so far.
pub fn events(client: &TargetClient) -> Vec<String> {
    let mut kinds = Vec::new();
    while let Ok(event) = client.next_event(AT_ONCE) {
        let event: Value = serde_json::from_str(&event).unwrap();
        kinds.push(event["type"].as_str().unwrap().to_owned());
    }
    kinds
}

pub fn version(client: &TargetClient) -> Option<String> {
    client.stats().artifact.unwrap().version
}
