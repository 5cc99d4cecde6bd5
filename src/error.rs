//! What can go wrong: one enum, the facts that every variant carries, and their JSON form.
//!
//! Messages name the field and the limit and never hold a cookie, a token, credentials or a body.

use std::fmt;

use crate::json::ObjectWriter;

/// Where in a call an error arose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Configuration, options or arguments were refused; nothing was sent.
    Validate,
    /// Name look-up.
    Resolve,
    /// TCP connect.
    Connect,
    /// TLS handshake.
    Tls,
    /// Reaching the proxy or asking it for a tunnel.
    Proxy,
    /// Sending the request.
    Send,
    /// Waiting for the answer or reading it.
    Receive,
    /// The answer itself: its status or its content.
    Response,
    /// On-device decisioning.
    Decide,
    /// The notification queue, the executor of asynchronous calls, or waiting.
    Queue,
    /// The notification spool.
    Storage,
}

impl Phase {
    /// The name in the JSON form.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Validate => "validate",
            Phase::Resolve => "resolve",
            Phase::Connect => "connect",
            Phase::Tls => "tls",
            Phase::Proxy => "proxy",
            Phase::Send => "send",
            Phase::Receive => "receive",
            Phase::Response => "response",
            Phase::Decide => "decide",
            Phase::Queue => "queue",
            Phase::Storage => "storage",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of the notifications of a call that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotificationOutcome {
    /// Ids that the edge answered as processed.
    pub acknowledged: Vec<String>,
    /// Ids in a request that the edge refused as a whole (400, 413, 420, …): nothing of it was counted.
    pub rejected: Vec<String>,
    /// Ids that were sent and not answered: they may have been counted.
    pub unknown: Vec<String>,
    /// Ids that never left, or that a successful answer left out (not processed): they can be sent again.
    pub not_sent: Vec<String>,
}

/// The part of the work that was done before an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartialResult {
    /// Of a call with notifications.
    Notifications(NotificationOutcome),
    /// Of a close or flush.
    Counts(DeliveryCounts),
}

/// What became of the notifications that were pending when a flush or close began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryCounts {
    /// Answered as processed.
    pub acknowledged: u64,
    /// Refused by the edge.
    pub rejected: u64,
    /// Given up: expired, of unknown outcome, or closed without a spool.
    pub dropped: u64,
    /// Not decided yet.
    pub pending: u64,
}

impl DeliveryCounts {
    /// `{"acknowledged":n,"rejected":n,"dropped":n,"pending":n}`.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(64);
        let mut object = ObjectWriter::begin(&mut out);
        object.number("acknowledged", self.acknowledged);
        object.number("rejected", self.rejected);
        object.number("dropped", self.dropped);
        object.number("pending", self.pending);
        object.end();
        out
    }
}

/// The facts of an error. All of them are in its JSON form.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorDetails {
    /// For people; names the field and the limit.
    pub message: String,
    /// Where it happened.
    pub phase: Phase,
    /// The member that is wrong, such as `request.notifications[0].timestamp`.
    pub field: Option<String>,
    /// The status of the edge's answer.
    pub http_status: Option<u16>,
    /// The `message` of the edge's error object.
    pub api_message: Option<String>,
    /// `requestId` of the request that failed.
    pub request_id: Option<String>,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// The edge asked for this wait, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// HTTP requests made.
    pub attempts: u32,
    /// From the start of the call, in milliseconds.
    pub elapsed_ms: u64,
    /// What was done of the work.
    pub result: Option<PartialResult>,
}

impl ErrorDetails {
    fn new(phase: Phase, message: impl Into<String>) -> Box<Self> {
        Box::new(ErrorDetails {
            message: message.into(),
            phase,
            field: None,
            http_status: None,
            api_message: None,
            request_id: None,
            retryable: false,
            retry_after_ms: None,
            attempts: 0,
            elapsed_ms: 0,
            result: None,
        })
    }
}

impl fmt::Display for ErrorDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Any failure of this library. The variants are the statuses of the C ABI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// An argument is NULL or not UTF-8 (C ABI only).
    #[error("{0}")]
    InvalidArgument(Box<ErrorDetails>),
    /// A text is no JSON.
    #[error("{0}")]
    InvalidJson(Box<ErrorDetails>),
    /// An option, a configuration key or a member of the request is missing, of the wrong type, out of
    /// limits, unknown or given twice. Nothing was sent.
    #[error("{0}")]
    InvalidOptions(Box<ErrorDetails>),
    /// On-device decisioning has no usable artifact yet.
    #[error("{0}")]
    NotReady(Box<ErrorDetails>),
    /// The call's own deadline passed.
    #[error("{0}")]
    Timeout(Box<ErrorDetails>),
    /// Name look-up, connect, TLS, proxy, or a connection that broke.
    #[error("{0}")]
    Network(Box<ErrorDetails>),
    /// The edge answered with an error status.
    #[error("{0}")]
    Http(Box<ErrorDetails>),
    /// The edge's answer cannot be read.
    #[error("{0}")]
    InvalidResponse(Box<ErrorDetails>),
    /// The queue or the executor of asynchronous calls is full; nothing was taken.
    #[error("{0}")]
    QueueFull(Box<ErrorDetails>),
    /// The spool or the artifact's cache cannot be read or written.
    #[error("{0}")]
    Storage(Box<ErrorDetails>),
    /// The client is closed.
    #[error("{0}")]
    Closed(Box<ErrorDetails>),
    /// A bug in this library: a panic was caught. The client stays usable.
    #[error("{0}")]
    Internal(Box<ErrorDetails>),
    /// A wait ended before what it waited for.
    #[error("{0}")]
    Pending(Box<ErrorDetails>),
    /// The call was cancelled.
    #[error("{0}")]
    Cancelled(Box<ErrorDetails>),
    /// A wait on one of the library's own threads, which could never end.
    #[error("{0}")]
    WouldDeadlock(Box<ErrorDetails>),
    /// Known, but not in this build.
    #[error("{0}")]
    Unsupported(Box<ErrorDetails>),
}

impl TargetError {
    /// The status: value and name in the C ABI.
    pub fn code(&self) -> ErrorCode {
        match self {
            TargetError::InvalidArgument(_) => ErrorCode::InvalidArgument,
            TargetError::InvalidJson(_) => ErrorCode::InvalidJson,
            TargetError::InvalidOptions(_) => ErrorCode::InvalidOptions,
            TargetError::NotReady(_) => ErrorCode::NotReady,
            TargetError::Timeout(_) => ErrorCode::Timeout,
            TargetError::Network(_) => ErrorCode::Network,
            TargetError::Http(_) => ErrorCode::Http,
            TargetError::InvalidResponse(_) => ErrorCode::InvalidResponse,
            TargetError::QueueFull(_) => ErrorCode::QueueFull,
            TargetError::Storage(_) => ErrorCode::Storage,
            TargetError::Closed(_) => ErrorCode::Closed,
            TargetError::Internal(_) => ErrorCode::Internal,
            TargetError::Pending(_) => ErrorCode::Pending,
            TargetError::Cancelled(_) => ErrorCode::Cancelled,
            TargetError::WouldDeadlock(_) => ErrorCode::WouldDeadlock,
            TargetError::Unsupported(_) => ErrorCode::Unsupported,
        }
    }

    /// The facts.
    pub fn details(&self) -> &ErrorDetails {
        match self {
            TargetError::InvalidArgument(d)
            | TargetError::InvalidJson(d)
            | TargetError::InvalidOptions(d)
            | TargetError::NotReady(d)
            | TargetError::Timeout(d)
            | TargetError::Network(d)
            | TargetError::Http(d)
            | TargetError::InvalidResponse(d)
            | TargetError::QueueFull(d)
            | TargetError::Storage(d)
            | TargetError::Closed(d)
            | TargetError::Internal(d)
            | TargetError::Pending(d)
            | TargetError::Cancelled(d)
            | TargetError::WouldDeadlock(d)
            | TargetError::Unsupported(d) => d,
        }
    }

    pub(crate) fn details_mut(&mut self) -> &mut ErrorDetails {
        match self {
            TargetError::InvalidArgument(d)
            | TargetError::InvalidJson(d)
            | TargetError::InvalidOptions(d)
            | TargetError::NotReady(d)
            | TargetError::Timeout(d)
            | TargetError::Network(d)
            | TargetError::Http(d)
            | TargetError::InvalidResponse(d)
            | TargetError::QueueFull(d)
            | TargetError::Storage(d)
            | TargetError::Closed(d)
            | TargetError::Internal(d)
            | TargetError::Pending(d)
            | TargetError::Cancelled(d)
            | TargetError::WouldDeadlock(d)
            | TargetError::Unsupported(d) => d,
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.details().retryable
    }

    /// The error object of the C ABI.
    pub fn to_json(&self) -> String {
        let d = self.details();
        let mut out = String::with_capacity(256 + d.message.len());
        let mut object = ObjectWriter::begin(&mut out);
        object.string("code", self.code().as_str());
        object.string("message", &d.message);
        object.string("phase", d.phase.as_str());
        object.optional_string("field", d.field.as_deref());
        object.optional_number("http_status", d.http_status);
        object.optional_string("api_message", d.api_message.as_deref());
        object.optional_string("request_id", d.request_id.as_deref());
        object.boolean("retryable", d.retryable);
        object.optional_number("retry_after_ms", d.retry_after_ms);
        object.number("attempts", d.attempts);
        object.number("elapsed_ms", d.elapsed_ms);
        match &d.result {
            None => {}
            Some(PartialResult::Counts(counts)) => object.raw("result", &counts.to_json()),
            Some(PartialResult::Notifications(outcome)) => {
                let mut result = ObjectWriter::begin(object.key("result"));
                let mut lists = ObjectWriter::begin(result.key("notifications"));
                lists.strings("acknowledged", &outcome.acknowledged);
                lists.strings("rejected", &outcome.rejected);
                lists.strings("unknown", &outcome.unknown);
                lists.strings("not_sent", &outcome.not_sent);
                lists.end();
                result.end();
            }
        }
        object.end();
        out
    }
}

/// Names from outside stand in fields and messages: they must neither break a log's lines nor flood it.
fn printable(text: String) -> String {
    const LIMIT: usize = 300;
    if text.len() <= LIMIT && !text.chars().any(char::is_control) {
        return text;
    }
    let mut shown: String = text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).take(LIMIT).collect();
    if text.chars().nth(LIMIT).is_some() {
        shown.push('…');
    }
    shown
}

/// The statuses of the C ABI, `TARGET_OK` excepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
#[allow(missing_docs, reason = "each is a variant of TargetError, documented there")]
pub enum ErrorCode {
    InvalidArgument = 1,
    InvalidJson = 2,
    InvalidOptions = 3,
    NotReady = 4,
    Timeout = 5,
    Network = 6,
    Http = 7,
    InvalidResponse = 8,
    QueueFull = 9,
    Storage = 10,
    Closed = 11,
    Internal = 12,
    Pending = 13,
    Cancelled = 14,
    WouldDeadlock = 15,
    Unsupported = 16,
}

impl ErrorCode {
    /// The name of the C constant.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::InvalidArgument => "TARGET_ERR_INVALID_ARGUMENT",
            ErrorCode::InvalidJson => "TARGET_ERR_INVALID_JSON",
            ErrorCode::InvalidOptions => "TARGET_ERR_INVALID_OPTIONS",
            ErrorCode::NotReady => "TARGET_ERR_NOT_READY",
            ErrorCode::Timeout => "TARGET_ERR_TIMEOUT",
            ErrorCode::Network => "TARGET_ERR_NETWORK",
            ErrorCode::Http => "TARGET_ERR_HTTP",
            ErrorCode::InvalidResponse => "TARGET_ERR_INVALID_RESPONSE",
            ErrorCode::QueueFull => "TARGET_ERR_QUEUE_FULL",
            ErrorCode::Storage => "TARGET_ERR_STORAGE",
            ErrorCode::Closed => "TARGET_ERR_CLOSED",
            ErrorCode::Internal => "TARGET_ERR_INTERNAL",
            ErrorCode::Pending => "TARGET_ERR_PENDING",
            ErrorCode::Cancelled => "TARGET_ERR_CANCELLED",
            ErrorCode::WouldDeadlock => "TARGET_ERR_WOULD_DEADLOCK",
            ErrorCode::Unsupported => "TARGET_ERR_UNSUPPORTED",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const NOT_READY: &str = "Unable to fulfill request; decisioning engine not ready.";

/// The constructors. All messages that are not about the network are made here.
impl TargetError {
    #[cfg(feature = "capi")]
    pub(crate) fn invalid_argument(name: &str, reason: &str) -> Self {
        let mut details = ErrorDetails::new(Phase::Validate, format!("`{name}` {reason}"));
        details.field = Some(name.to_owned());
        TargetError::InvalidArgument(details)
    }

    pub(crate) fn invalid_json(what: &str, error: &crate::json::ParseError) -> Self {
        let place = if error.path.is_empty() { what } else { &error.path };
        let message = format!("{what} is not valid JSON: {} at byte {} (`{place}`)", error.reason, error.offset);
        let mut details = ErrorDetails::new(Phase::Validate, message);
        details.field = Some(place.to_owned());
        TargetError::InvalidJson(details)
    }

    /// A message that stands for itself, such as the contract's fixed ones.
    pub(crate) fn invalid_options(field: impl Into<String>, message: impl Into<String>) -> Self {
        let mut details = ErrorDetails::new(Phase::Validate, printable(message.into()));
        details.field = Some(printable(field.into()));
        TargetError::InvalidOptions(details)
    }

    pub(crate) fn wrong_type(field: impl Into<String>, expected: &str, found: &str) -> Self {
        let field = field.into();
        let message = format!("`{field}` must be {expected}, not {found}");
        TargetError::invalid_options(field, message)
    }

    pub(crate) fn unknown_key(field: impl Into<String>) -> Self {
        let field = field.into();
        let message = format!("`{field}` is not a known key");
        TargetError::invalid_options(field, message)
    }

    pub(crate) fn given_twice(field: impl Into<String>) -> Self {
        let field = field.into();
        let message = format!("`{field}` is given twice");
        TargetError::invalid_options(field, message)
    }

    /// No artifact to decide from; the words are the field's.
    pub(crate) fn not_ready() -> Self {
        let mut details = ErrorDetails::new(Phase::Decide, NOT_READY);
        details.retryable = true;
        TargetError::NotReady(details)
    }

    /// The same after downloads that brought none. Where the account or the configuration has to change first,
    /// asking again is of no use.
    pub(crate) fn not_ready_after(failure: &TargetError) -> Self {
        let mut details = ErrorDetails::new(Phase::Decide, format!("{NOT_READY} {failure}"));
        details.http_status = failure.details().http_status;
        details.retryable = !matches!(details.http_status, Some(401 | 403 | 404));
        TargetError::NotReady(details)
    }

    /// An artifact of another major version: its message stands for itself.
    pub(crate) fn not_ready_for_version(message: impl Into<String>) -> Self {
        TargetError::NotReady(ErrorDetails::new(Phase::Decide, message))
    }

    /// A client that downloads no artifact.
    pub(crate) fn never_ready() -> Self {
        let message = format!("{NOT_READY} A client whose `decisioning_method` is server-side has no artifact");
        let mut details = ErrorDetails::new(Phase::Decide, message);
        details.field = Some("decisioning_method".to_owned());
        TargetError::NotReady(details)
    }

    pub(crate) fn closed() -> Self {
        TargetError::Closed(ErrorDetails::new(Phase::Validate, "the client is closed"))
    }

    pub(crate) fn cancelled() -> Self {
        TargetError::Cancelled(ErrorDetails::new(Phase::Queue, "the call was cancelled"))
    }

    pub(crate) fn pending(what: &str) -> Self {
        let mut details = ErrorDetails::new(Phase::Queue, format!("{what}: the wait ended first"));
        details.retryable = true;
        TargetError::Pending(details)
    }

    pub(crate) fn would_deadlock(what: &str) -> Self {
        let message = format!("{what} cannot wait on a thread of the library (inside a callback)");
        TargetError::WouldDeadlock(ErrorDetails::new(Phase::Validate, message))
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        TargetError::Internal(ErrorDetails::new(Phase::Validate, message))
    }

    pub(crate) fn unsupported(field: Option<&str>, message: impl Into<String>) -> Self {
        let mut details = ErrorDetails::new(Phase::Validate, message);
        details.field = field.map(str::to_owned);
        TargetError::Unsupported(details)
    }

    pub(crate) fn queue_full(pending: u64, more: u64, limit: u64) -> Self {
        let message = format!(
            "{pending} notifications are pending and {more} more are too many: `notifications.max_queued` is {limit}"
        );
        let mut details = ErrorDetails::new(Phase::Queue, message);
        details.field = Some("notifications.max_queued".to_owned());
        details.retryable = true;
        TargetError::QueueFull(details)
    }

    /// Each notification of a request was refused, and so the request's own members are what is refused.
    pub(crate) fn shared_fault(status: u16, api_message: Option<String>) -> Self {
        let mut error = TargetError::http(status, api_message, true);
        let details = error.details_mut();
        details.message.push_str(
            "; none of the request was accepted, so the fault may be in the organization, property or context that its \
             notifications share: they stay pending until something like them is accepted",
        );
        error
    }

    /// What a flush or a close has not delivered in its time.
    pub(crate) fn undelivered(message: &str, retryable: bool, counts: DeliveryCounts) -> Self {
        let mut details = ErrorDetails::new(Phase::Queue, format!("{message}: {}", counts.pending));
        details.retryable = retryable;
        TargetError::Pending(details).with_result(PartialResult::Counts(counts))
    }

    pub(crate) fn executor_full(limit: usize) -> Self {
        let message = format!("{limit} asynchronous calls are waiting already");
        let mut details = ErrorDetails::new(Phase::Queue, message);
        details.retryable = true;
        TargetError::QueueFull(details)
    }

    pub(crate) fn timeout(phase: Phase, message: impl Into<String>) -> Self {
        let mut details = ErrorDetails::new(phase, message);
        details.retryable = true;
        TargetError::Timeout(details)
    }

    pub(crate) fn network(phase: Phase, message: impl Into<String>, retryable: bool) -> Self {
        let mut details = ErrorDetails::new(phase, message);
        details.retryable = retryable;
        TargetError::Network(details)
    }

    pub(crate) fn invalid_response(message: impl Into<String>) -> Self {
        TargetError::InvalidResponse(ErrorDetails::new(Phase::Response, message))
    }

    pub(crate) fn http(status: u16, api_message: Option<String>, retryable: bool) -> Self {
        let message = match &api_message {
            Some(text) => format!("the edge answered {status}: {text}"),
            None => format!("the edge answered {status}"),
        };
        let mut details = ErrorDetails::new(Phase::Response, message);
        details.http_status = Some(status);
        details.api_message = api_message;
        details.retryable = retryable;
        TargetError::Http(details)
    }

    /// The answer of a CDN to the download of the artifact.
    pub(crate) fn no_artifact(host: &str, status: u16) -> Self {
        let reason = match status {
            204 => "the answer is empty instead of an artifact",
            403 => "on-device decisioning is not enabled for this client",
            404 => "there is no artifact for this client, environment and property",
            _ => "no artifact",
        };
        let mut details = ErrorDetails::new(Phase::Response, format!("{host} answered {status}: {reason}"));
        details.http_status = Some(status);
        details.retryable = matches!(status, 408 | 420 | 429 | 500..);
        TargetError::Http(details)
    }

    pub(crate) fn storage(message: impl Into<String>) -> Self {
        TargetError::Storage(ErrorDetails::new(Phase::Storage, message))
    }

    /// The disk did not take what was to be spooled; nothing was taken.
    #[cfg(feature = "spool")]
    pub(crate) fn spool_refused(what: &str, error: &std::io::Error) -> Self {
        let mut details = ErrorDetails::new(Phase::Storage, format!("the spool: {what} failed: {error}"));
        details.retryable = true;
        TargetError::Storage(details)
    }

    #[cfg(feature = "spool")]
    pub(crate) fn spool_full(max_bytes: u64) -> Self {
        let message = format!("the spool is full: `notifications.spool_max_bytes` is {max_bytes}");
        let mut details = ErrorDetails::new(Phase::Queue, message);
        details.field = Some("notifications.spool_max_bytes".to_owned());
        details.retryable = true;
        TargetError::QueueFull(details)
    }

    /// The same error with what was done of the work.
    pub(crate) fn with_result(mut self, result: PartialResult) -> Self {
        self.details_mut().result = Some(result);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documented;

    #[test]
    fn the_json_form_has_every_fact() {
        let mut error = TargetError::http(400, Some("invalid token".into()), false);
        error.details_mut().attempts = 1;
        error.details_mut().elapsed_ms = 12;
        let json: serde_json::Value = serde_json::from_str(&error.to_json()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "code": "TARGET_ERR_HTTP", "message": "the edge answered 400: invalid token", "phase": "response",
                "field": null, "http_status": 400, "api_message": "invalid token", "request_id": null,
                "retryable": false, "retry_after_ms": null, "attempts": 1, "elapsed_ms": 12,
            })
        );
    }

    /// Of each code the page has number, name, variant and phases, in the order of the numbers.
    #[test]
    fn every_code_is_documented_and_no_other() {
        const ALL: [ErrorCode; 16] = [
            ErrorCode::InvalidArgument,
            ErrorCode::InvalidJson,
            ErrorCode::InvalidOptions,
            ErrorCode::NotReady,
            ErrorCode::Timeout,
            ErrorCode::Network,
            ErrorCode::Http,
            ErrorCode::InvalidResponse,
            ErrorCode::QueueFull,
            ErrorCode::Storage,
            ErrorCode::Closed,
            ErrorCode::Internal,
            ErrorCode::Pending,
            ErrorCode::Cancelled,
            ErrorCode::WouldDeadlock,
            ErrorCode::Unsupported,
        ];
        // A new one does not compile here until it is in the list.
        let position = |code: ErrorCode| match code {
            ErrorCode::InvalidArgument => 0,
            ErrorCode::InvalidJson => 1,
            ErrorCode::InvalidOptions => 2,
            ErrorCode::NotReady => 3,
            ErrorCode::Timeout => 4,
            ErrorCode::Network => 5,
            ErrorCode::Http => 6,
            ErrorCode::InvalidResponse => 7,
            ErrorCode::QueueFull => 8,
            ErrorCode::Storage => 9,
            ErrorCode::Closed => 10,
            ErrorCode::Internal => 11,
            ErrorCode::Pending => 12,
            ErrorCode::Cancelled => 13,
            ErrorCode::WouldDeadlock => 14,
            ErrorCode::Unsupported => 15,
        };
        assert!(ALL.into_iter().enumerate().all(|(at, code)| position(code) == at));

        let rows = documented::rows(documented::section(documented::ERRORS, "## Statuses", "## Phases"));
        let told: Vec<_> = rows.iter().map(|row| (row[0].clone(), row[1].clone(), row[2].clone())).collect();
        let known = ALL.map(|code| (format!("`{code}`"), (code as i32).to_string(), format!("`{code:?}`")));
        assert_eq!(told, known);

        let rows_of_phases = documented::rows(documented::section(documented::ERRORS, "## Phases", "## Retryable"));
        let phases: Vec<_> = rows_of_phases.iter().flat_map(|row| documented::names(&row[0])).collect();
        assert_eq!(phases, crate::stats::PHASES.map(|phase| phase.as_str().to_owned()));
        let mut of_statuses: Vec<_> = rows.iter().flat_map(|row| documented::names(&row[4])).collect();
        assert!(of_statuses.iter().all(|phase| phases.contains(phase)), "{of_statuses:?}");
        of_statuses.sort();
        of_statuses.dedup();
        assert_eq!(of_statuses.len(), phases.len(), "a phase is that of no status");
    }

    /// Phase and `retryable` of what is made here, as the page's table of statuses has them.
    #[test]
    fn documented_phases_and_retries_are_those_of_the_errors() {
        let rows = documented::rows(documented::section(documented::ERRORS, "## Statuses", "## Phases"));
        let counts = DeliveryCounts::default();
        for error in [
            TargetError::invalid_options("a", "b"),
            TargetError::not_ready(),
            TargetError::not_ready_after(&TargetError::no_artifact("cdn.test", 403)),
            TargetError::not_ready_for_version("a"),
            TargetError::never_ready(),
            TargetError::timeout(Phase::Connect, "a"),
            TargetError::network(Phase::Tls, "a", false),
            TargetError::network(Phase::Receive, "a", true),
            TargetError::http(400, None, false),
            TargetError::http(503, None, true),
            TargetError::invalid_response("a"),
            TargetError::queue_full(1, 1, 1),
            TargetError::executor_full(1),
            TargetError::spool_full(1),
            TargetError::storage("a"),
            TargetError::spool_refused("a", &std::io::ErrorKind::Other.into()),
            TargetError::closed(),
            TargetError::internal("a"),
            TargetError::pending("a"),
            TargetError::undelivered("a", true, counts),
            TargetError::undelivered("a", false, counts),
            TargetError::cancelled(),
            TargetError::would_deadlock("a"),
            TargetError::unsupported(None, "a"),
        ] {
            let row = rows.iter().find(|row| row[0] == format!("`{}`", error.code())).expect("a row");
            assert!(documented::names(&row[4]).contains(&error.details().phase.to_string()), "{error:?}: {row:?}");
            let fits = match (&*row[5], error.is_retryable()) {
                ("yes", is) => is,
                ("no", is) => !is,
                ("mostly" | "by the status" | "sometimes", _) => true,
                (other, _) => panic!("{other}"),
            };
            assert!(fits, "{error:?}: {row:?}");
        }
    }

    #[test]
    fn partial_results_are_in_the_json_form() {
        let outcome = NotificationOutcome { unknown: vec!["1".into()], ..Default::default() };
        let error = TargetError::timeout(Phase::Receive, "x").with_result(PartialResult::Notifications(outcome));
        let json: serde_json::Value = serde_json::from_str(&error.to_json()).unwrap();
        assert_eq!(json["result"]["notifications"]["unknown"], serde_json::json!(["1"]));
        assert_eq!(json["retryable"], true);
    }
}
