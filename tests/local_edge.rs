//! The local edge, seen from a client: what it answers, counts and refuses, and how it misbehaves on demand.
#![cfg(feature = "local-edge")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use adobe_target::local_edge::LocalEdge;
use serde_json::{Value, json};

#[path = "local_edge/activities.rs"]
mod activities;
#[path = "local_edge/artifact.rs"]
mod artifact;
#[path = "local_edge/controls.rs"]
mod controls;
#[path = "local_edge/counting.rs"]
mod counting;
#[path = "local_edge/decisions.rs"]
mod decisions;
#[path = "local_edge/delivery.rs"]
mod delivery;
#[path = "local_edge/examples.rs"]
mod examples;
#[path = "local_edge/faults.rs"]
mod faults;
#[path = "local_edge/geo.rs"]
mod geo;
#[path = "local_edge/route_faults.rs"]
mod route_faults;
#[path = "local_edge/specification.rs"]
mod specification;
#[path = "local_edge/yaml.rs"]
mod yaml;

const TARGET: &str = "/rest/v1/delivery?imsOrgId=1%40AdobeOrg&sessionId=session-1";

/// An answer as it came over the wire.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn header(&self, wanted: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value)
    }

    fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// A connection of a client that does no more than it is told.
struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    fn of(edge: &LocalEdge) -> Self {
        Self::connect(edge.addr())
    }

    fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, unread: Vec::new() }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    fn send_request(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) -> io::Result<()> {
        let mut bytes =
            format!("{method} {target} HTTP/1.1\r\nHost: edge\r\n{headers}Content-Length: {}\r\n\r\n", body.len())
                .into_bytes();
        bytes.extend_from_slice(body);
        self.send(&bytes)
    }

    /// Reads one answer, framed by `Content-Length` or by having no body.
    fn receive(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            self.read_more()?;
        };
        let head = String::from_utf8_lossy(&self.unread[..end]).into_owned();
        self.unread.drain(..end + 4);
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let mut answer = Answer { status: status.ok_or(io::ErrorKind::InvalidData)?, head, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.unread.len() < length {
            self.read_more()?;
        }
        answer.body = self.unread.drain(..length).collect();
        Ok(answer)
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut bytes = [0; 65536];
        match self.stream.read(&mut bytes)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.unread.extend_from_slice(&bytes[..count]);
                Ok(())
            }
        }
    }

    fn post(&mut self, target: &str, body: &Value) -> io::Result<Answer> {
        self.send_request("POST", target, "Content-Type: application/json\r\n", body.to_string().as_bytes())?;
        self.receive()
    }

    fn deliver(&mut self, body: &Value) -> io::Result<Answer> {
        self.post(TARGET, body)
    }

    /// Delivers what the edge must take.
    fn delivered(&mut self, body: &Value) -> Value {
        let answer = self.deliver(body).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    fn get(&mut self, target: &str, accept: &str) -> Answer {
        self.send_request("GET", target, &format!("Accept: {accept}\r\n"), b"").unwrap();
        self.receive().unwrap()
    }

    /// Whether the edge closed in good order, with nothing left to read.
    fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && matches!(self.read_more(), Err(error) if error.kind() == io::ErrorKind::UnexpectedEof)
    }
}

/// A request with these members and a context.
fn request(members: Value) -> Value {
    let mut request = json!({"context": {"channel": "web"}});
    for (name, value) in members.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

fn execute(mboxes: &[&str]) -> Value {
    request(json!({"execute": {"mboxes": numbered(mboxes)}}))
}

fn prefetch(mboxes: &[&str]) -> Value {
    request(json!({"prefetch": {"mboxes": numbered(mboxes)}}))
}

fn numbered(mboxes: &[&str]) -> Value {
    mboxes.iter().enumerate().map(|(index, name)| json!({"index": index, "name": name})).collect()
}

fn notify(notifications: Value) -> Value {
    request(json!({"notifications": notifications}))
}

fn display(id: &str) -> Value {
    json!({"id": id, "type": "display", "timestamp": 1_700_000_000_000_u64, "mbox": {"name": "home"}})
}

/// The event tokens of an mbox of the built-in scenario: of its option and of its click metric.
fn tokens(client: &mut Client, mbox: &str) -> (String, String) {
    let answer = client.delivered(&prefetch(&[mbox]));
    let mbox = &answer["prefetch"]["mboxes"][0];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&mbox["options"][0]["eventToken"]), text(&mbox["metrics"][0]["eventToken"]))
}
