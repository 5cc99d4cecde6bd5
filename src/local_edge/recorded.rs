//! Requests as they came, for tests that look at what a client sends.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::http::Request;
use super::query::query_pairs;
use super::server::lock;

const MAX_REQUESTS: usize = 10_000;
/// Of all bodies that are kept.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// A request that came, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedRequest {
    /// The method.
    pub method: String,
    /// The target of the request line: a path with its query, an absolute URL through a proxy, a host and port
    /// for CONNECT.
    pub target: String,
    /// The host that the request was meant for, if it came as an absolute URL or through a CONNECT.
    pub authority: Option<String>,
    /// The path, not decoded.
    pub path: String,
    /// What follows the question mark, not decoded.
    pub query: String,
    /// The query's names and values, decoded, in their order.
    pub query_pairs: Vec<(String, String)>,
    /// The headers in their order, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, a chunked one put together.
    pub body: Vec<u8>,
    /// The connection it came on: 1 is the first one that was accepted.
    pub connection: u64,
}

impl RecordedRequest {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The first value of this name in the query.
    pub fn query_value(&self, name: &str) -> Option<&str> {
        self.query_pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `None` when it is none.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    pub(super) fn of(request: &Request<'_>, connection: u64, tunnel: Option<&str>) -> Self {
        Self {
            method: request.method().to_owned(),
            target: request.target().to_owned(),
            authority: request.authority().or(tunnel).map(str::to_owned),
            path: request.path().to_owned(),
            query: request.query().to_owned(),
            query_pairs: query_pairs(request.query())
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
            headers: request
                .headers()
                .map(|(name, value)| {
                    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                    (name, String::from_utf8_lossy(value).into_owned())
                })
                .collect(),
            body: request.body.to_vec(),
            connection,
        }
    }

    /// The form in which `/control/requests` shows it: a JSON body as JSON, any other as text.
    pub(super) fn to_json(&self) -> Value {
        let body = self.json().unwrap_or_else(|| Value::from(String::from_utf8_lossy(&self.body)));
        json!({
            "method": self.method,
            "target": self.target,
            "authority": self.authority,
            "path": self.path,
            "query": self.query,
            "query_pairs": self.query_pairs,
            "headers": self.headers,
            "body": body,
            "connection": self.connection,
        })
    }
}

/// Keeps the latest requests.
pub(super) struct Recorder {
    switched_on: bool,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    requests: VecDeque<RecordedRequest>,
    bytes: usize,
}

impl Recorder {
    pub(super) fn new(switched_on: bool) -> Self {
        Self { switched_on, kept: Mutex::default() }
    }

    pub(super) fn record(&self, request: &Request<'_>, connection: u64, tunnel: Option<&str>) {
        if !self.switched_on {
            return;
        }
        let recorded = RecordedRequest::of(request, connection, tunnel);
        let mut kept = lock(&self.kept);
        kept.bytes += recorded.body.len();
        kept.requests.push_back(recorded);
        while kept.requests.len() > MAX_REQUESTS || (kept.bytes > MAX_BYTES && kept.requests.len() > 1) {
            if let Some(oldest) = kept.requests.pop_front() {
                kept.bytes -= oldest.body.len();
            }
        }
    }

    /// Those that are kept, oldest first.
    pub(super) fn all(&self) -> Vec<RecordedRequest> {
        lock(&self.kept).requests.iter().cloned().collect()
    }

    /// The same, and forgets them.
    pub(super) fn take(&self) -> Vec<RecordedRequest> {
        std::mem::take(&mut *lock(&self.kept)).requests.into()
    }
}
