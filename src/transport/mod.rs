//! Moving one request to the edge and its answer back: what a transport is, independent of HTTP's details.
//!
//! [`http`] is the real one; tests script their own. [`retry`] decides about repeating, [`fetch`] does a GET,
//! [`control`] ends work at its deadline or when somebody else says so. Nothing here knows what a notification is.

pub(crate) mod control;
pub(crate) mod exchange;
pub(crate) mod fetch;
pub(crate) mod http;
pub(crate) mod proxy;
pub(crate) mod resolver;
pub(crate) mod retry;
#[cfg(test)]
pub(crate) mod scripted;
pub(crate) mod tcp;
pub(crate) mod tls;

use std::sync::Arc;

use crate::error::Phase;
use control::CallControl;

/// One POST of JSON.
pub(crate) struct HttpRequest<'a> {
    pub url: &'a str,
    /// A UUID, the same for every attempt of one part of a call.
    pub request_id: &'a str,
    pub body: &'a str,
}

/// An answer of any status.
#[derive(Debug, Default)]
pub(crate) struct HttpResponse {
    pub status: u16,
    /// The header of that name, as it came.
    pub retry_after: Option<String>,
    pub body: Vec<u8>,
    /// Requests made until this answer, itself included.
    pub attempts: u32,
}

/// One GET.
pub(crate) struct GetRequest<'a> {
    pub url: &'a str,
    /// Besides what every request has.
    pub headers: &'a [(&'static str, &'a str)],
    /// An answer of more bytes, after decompression, is refused.
    pub max_bytes: u64,
}

/// An answer to a GET, of any status.
#[derive(Debug, Default)]
pub(crate) struct GetAnswer {
    pub status: u16,
    /// Those of [`http::WANTED_HEADERS`] that came, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// Empty unless the status is a success.
    pub body: Vec<u8>,
}

impl GetAnswer {
    /// The header of that name, which is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }
}

/// What kind of failure an attempt ended in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// The call's deadline passed.
    Deadline,
    /// Cancelled or closed: [`CallControl::end`] tells which.
    Ended,
    /// DNS, connect, TLS, proxy or a connection that broke.
    Network,
    /// Bytes came that are no HTTP answer, or too many of them.
    InvalidResponse,
}

/// Why an attempt brought no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub kind: FailureKind,
    pub phase: Phase,
    pub message: String,
    /// Whether any byte of the request itself was handed to the network.
    pub sent: bool,
    /// Whether any byte of an answer came.
    pub answered: bool,
    /// Whether the connection had served a request before.
    pub reused: bool,
    /// Whether the host itself was not reached, so that another one may be.
    pub unreachable: bool,
    /// False where the same attempt cannot succeed, such as an untrusted certificate.
    pub temporary: bool,
}

/// Carries a request to a server.
pub(crate) trait Transport: Send + Sync {
    /// Blocks until the answer is read, the control ends the call, or the attempt fails.
    fn post(&self, request: &HttpRequest<'_>, control: &Arc<CallControl>) -> Result<HttpResponse, Failure>;

    /// The same for a GET. What goes along with requests to delivery hosts does not go along here.
    fn get(&self, request: &GetRequest<'_>, control: &Arc<CallControl>) -> Result<GetAnswer, Failure>;

    /// Closes all connections; there will be no more requests.
    fn shut_down(&self) {}
}
