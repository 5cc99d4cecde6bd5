//! The options of a call: what the caller gives besides the client's configuration, checked and still
//! borrowed from the caller's text.

use std::time::Duration;

use crate::config::{DecisioningMethod, LOCATION_HINT_RULE, is_location_hint};
use crate::config_json::read_timeout;
use crate::cookies::is_session_id;
use crate::delivery::limits;
use crate::delivery::model::{CustomerId, DeliveryRequest};
use crate::error::TargetError;
use crate::json::{Document, Kind, ObjectWriter, Strictness, Value, read_members};
use crate::visitor::CustomerIds;

/// The options of a call, typed. Only `request` is required; `get_attributes` does without it too.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CallOptions {
    /// The Delivery API request.
    pub request: Option<DeliveryRequest>,
    /// Value of the `mbox` cookie.
    pub target_cookie: Option<String>,
    /// Value of the `mboxEdgeCluster` cookie.
    pub target_location_hint: Option<String>,
    /// Names the caller when several calls are stitched together; default `target-global-mbox`.
    pub consumer_id: Option<String>,
    /// Merged before `request.id.customerIds`.
    pub customer_ids: Vec<CustomerId>,
    /// Links requests: 1 to 128 printable characters, no space, `?` or `/`. The cookie's session goes first.
    pub session_id: Option<String>,
    /// Value of the `AMCV_<organization>` cookie.
    pub visitor_cookie: Option<String>,
    /// Instead of the client's; for notifications checked and ignored, they always go to the edge.
    pub decisioning_method: Option<DecisioningMethod>,
    /// Instead of the client's; zero is the default.
    pub timeout: Option<Duration>,
    /// Instead of the client's.
    pub retry_clicks: Option<bool>,
}

impl CallOptions {
    /// Options with that request and nothing else.
    pub fn new(request: DeliveryRequest) -> Self {
        CallOptions { request: Some(request), ..Default::default() }
    }

    /// Sets the value of the `mbox` cookie as the browser sent it.
    #[must_use]
    pub fn target_cookie(mut self, value: impl Into<String>) -> Self {
        self.target_cookie = Some(value.into());
        self
    }

    /// Sets the value of the `mboxEdgeCluster` cookie as the browser sent it.
    #[must_use]
    pub fn target_location_hint(mut self, value: impl Into<String>) -> Self {
        self.target_location_hint = Some(value.into());
        self
    }

    /// Sets the name of the caller.
    #[must_use]
    pub fn consumer_id(mut self, value: impl Into<String>) -> Self {
        self.consumer_id = Some(value.into());
        self
    }

    /// Sets the customer ids.
    #[must_use]
    pub fn customer_ids(mut self, ids: impl IntoIterator<Item = CustomerId>) -> Self {
        self.customer_ids = ids.into_iter().collect();
        self
    }

    /// Sets the session for visitors whose cookie has none.
    #[must_use]
    pub fn session_id(mut self, value: impl Into<String>) -> Self {
        self.session_id = Some(value.into());
        self
    }

    /// Sets the value of the `AMCV_<organization>` cookie as the browser sent it.
    #[must_use]
    pub fn visitor_cookie(mut self, value: impl Into<String>) -> Self {
        self.visitor_cookie = Some(value.into());
        self
    }

    /// Sets where this call is decided.
    #[must_use]
    pub fn decisioning_method(mut self, method: DecisioningMethod) -> Self {
        self.decisioning_method = Some(method);
        self
    }

    /// Sets the deadline of this call.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets whether clicks and orders of this call are repeated although they may have been counted.
    #[must_use]
    pub fn retry_clicks(mut self, retry: bool) -> Self {
        self.retry_clicks = Some(retry);
        self
    }

    /// The same options as the C ABI takes them.
    pub(crate) fn to_json(&self) -> Result<String, TargetError> {
        let unwritable = |error: serde_json::Error| {
            TargetError::invalid_options("request", format!("`request` cannot be written as JSON: {error}"))
        };
        let mut out = String::with_capacity(512);
        let mut object = ObjectWriter::begin(&mut out);
        if let Some(request) = &self.request {
            object.raw("request", &serde_json::to_string(request).map_err(unwritable)?);
        }
        for (key, value) in [
            ("target_cookie", &self.target_cookie),
            ("target_location_hint", &self.target_location_hint),
            ("consumer_id", &self.consumer_id),
            ("session_id", &self.session_id),
            ("visitor_cookie", &self.visitor_cookie),
        ] {
            if let Some(value) = value {
                object.string(key, value);
            }
        }
        if !self.customer_ids.is_empty() {
            object.raw("customer_ids", &serde_json::to_string(&self.customer_ids).map_err(unwritable)?);
        }
        if let Some(method) = self.decisioning_method {
            object.string("decisioning_method", method.as_str());
        }
        if let Some(timeout) = self.timeout {
            // The shortest timeout is a millisecond: zero means the default.
            let milliseconds = timeout.as_nanos().div_ceil(1_000_000).min(i64::MAX as u128);
            object.number("timeout", milliseconds);
        }
        if let Some(retry) = self.retry_clicks {
            object.boolean("retry_clicks", retry);
        }
        object.end();
        Ok(out)
    }
}

/// The three calls; they differ in what a request must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    GetOffers,
    GetAttributes,
    SendNotifications,
    EnqueueNotifications,
}

impl Operation {
    /// For log lines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::GetOffers => "get_offers",
            Operation::GetAttributes => "get_attributes",
            Operation::SendNotifications => "send_notifications",
            Operation::EnqueueNotifications => "enqueue_notifications",
        }
    }
}

/// Checked options, borrowed from the parsed text.
pub(crate) struct ParsedOptions<'d> {
    pub request: Option<Value<'d>>,
    pub target_cookie: Option<String>,
    pub target_location_hint: Option<String>,
    pub consumer_id: Option<String>,
    pub customer_ids: Option<(Value<'d>, CustomerIds)>,
    pub session_id: Option<String>,
    pub visitor_cookie: Option<String>,
    pub decisioning_method: Option<DecisioningMethod>,
    pub timeout: Option<Duration>,
    pub retry_clicks: Option<bool>,
}

const KEYS: [&str; 11] = [
    "request",
    "events",
    "target_cookie",
    "target_location_hint",
    "consumer_id",
    "customer_ids",
    "session_id",
    "visitor_cookie",
    "decisioning_method",
    "timeout",
    "retry_clicks",
];

impl<'d> ParsedOptions<'d> {
    /// The request in options that have been judged.
    pub(crate) fn request_of(root: Value<'d>) -> Option<Value<'d>> {
        root.get("request").filter(|request| !request.is_null()).or_else(|| root.get("events"))
    }

    /// Checks everything but what is inside the request.
    pub(crate) fn read(root: Value<'d>, operation: Operation) -> Result<Self, TargetError> {
        if root.kind() != Kind::Object {
            return Err(TargetError::invalid_options("options", "Options map is required"));
        }
        if let Some(path) = root.path_of_huge_number() {
            // It would be in the request that a result has, and most readers of JSON refuse all of such a text.
            let message = format!("`{path}` must be a number that fits into a double");
            return Err(TargetError::invalid_options(path, message));
        }
        let mut options = ParsedOptions {
            request: None,
            target_cookie: None,
            target_location_hint: None,
            consumer_id: None,
            customer_ids: None,
            session_id: None,
            visitor_cookie: None,
            decisioning_method: None,
            timeout: None,
            retry_clicks: None,
        };
        read_members(root, "", &KEYS, |key, member| {
            match key {
                "request" | "events" => {
                    if options.request.is_some() {
                        let message = "`request` and its alias `events` are both given";
                        return Err(TargetError::invalid_options(member.path(), message));
                    }
                    if member.value.kind() != Kind::Object {
                        return Err(TargetError::invalid_options(member.path(), "Request object is required"));
                    }
                    options.request = Some(member.value);
                }
                "target_cookie" => options.target_cookie = member.text()?,
                "target_location_hint" => {
                    options.target_location_hint = member.text()?;
                    if options.target_location_hint.as_deref().is_some_and(|hint| !is_location_hint(hint)) {
                        let path = member.path();
                        let message = format!("`{path}` {LOCATION_HINT_RULE}");
                        return Err(TargetError::invalid_options(path, message));
                    }
                }
                "consumer_id" => options.consumer_id = member.text()?,
                "customer_ids" => options.customer_ids = Some((member.value, CustomerIds::read(&member)?)),
                "session_id" => {
                    options.session_id = member.text()?;
                    if options.session_id.as_deref().is_some_and(|id| !is_session_id(id)) {
                        let path = member.path();
                        let message =
                            format!("`{path}` must be 1 to 128 printable characters without space, `?` and `/`");
                        return Err(TargetError::invalid_options(path, message));
                    }
                }
                "visitor_cookie" => options.visitor_cookie = member.text()?,
                "decisioning_method" => options.decisioning_method = DecisioningMethod::read(&member)?,
                "timeout" => options.timeout = read_timeout(&member)?,
                _ => options.retry_clicks = Some(member.boolean()?),
            }
            Ok(())
        })?;
        let missing = options.request.is_none_or(|request| request.is_empty());
        if missing && operation != Operation::GetAttributes {
            return Err(TargetError::invalid_options("request", "Request object is required"));
        }
        Ok(options)
    }
}

/// Reads `mbox_names`, a JSON array of strings.
pub(crate) fn parse_mbox_names(text: &str) -> Result<Vec<String>, TargetError> {
    let document =
        Document::parse(text, Strictness::Options).map_err(|error| TargetError::invalid_json("mbox_names", &error))?;
    let root = document.root();
    if root.kind() != Kind::Array {
        return Err(TargetError::wrong_type("mbox_names", "an array of strings", root.kind().described()));
    }
    let mut names = Vec::new();
    for (at, value) in root.elements().enumerate() {
        match value.as_str() {
            Some(name) => names.push(name.into_owned()),
            None => {
                let field = format!("mbox_names[{at}]");
                return Err(TargetError::wrong_type(field, "a string", value.kind().described()));
            }
        }
    }
    limits::mbox_names(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documented;

    fn field(text: &str) -> String {
        let document = Document::parse(text, Strictness::Options).unwrap();
        let error = ParsedOptions::read(document.root(), Operation::GetOffers).err().unwrap();
        assert!(matches!(error, TargetError::InvalidOptions(_)), "{error:?}");
        error.details().field.clone().unwrap()
    }

    #[test]
    fn every_refusal_names_its_field() {
        for (members, named) in [
            (r#""sessionId":"a b""#, "sessionId"),
            (r#""session_id":"a\u0000""#, "session_id"),
            (r#""session_id":5"#, "session_id"),
            (r#""target_location_hint":"x.evil.org/""#, "target_location_hint"),
            (r#""decisioning_method":"edge""#, "decisioning_method"),
            (r#""timeout":"1""#, "timeout"),
            (r#""customer_ids":5"#, "customer_ids"),
            (r#""customer_ids":[5]"#, "customer_ids[0]"),
            (r#""customer_ids":{"a":true}"#, "customer_ids.a"),
            (r#""customer_ids":{"a":{"id":"x","authState":9}}"#, "customer_ids.a.authState"),
            (r#""customer_ids":{"a":{"id":"x","authState":"1"}}"#, "customer_ids.a.authState"),
            (r#""customer_ids":{"a":{"id":""}}"#, "customer_ids.a.id"),
            (r#""customer_ids":{"":"x"}"#, "customer_ids"),
            (r#""visitor":1"#, "visitor"),
            (r#""events":{"a":1}"#, "events"),
        ] {
            assert_eq!(field(&format!(r#"{{"request":{{"a":1}},{members}}}"#)), named, "{members}");
        }
        assert_eq!(field("{}"), "request");
        assert_eq!(field(r#"{"request":{}}"#), "request");
        assert_eq!(field("5"), "options");
    }

    /// The page's table: key, type.
    fn documented_options() -> Vec<(String, String)> {
        let page = documented::section(documented::CONFIGURATION, "## Options of a call", "## Results");
        let rows = documented::rows(page).into_iter();
        rows.flat_map(|row| documented::names(&row[0]).into_iter().map(move |key| (key, row[1].clone()))).collect()
    }

    #[test]
    fn every_option_is_documented_and_no_other() {
        let mut documented: Vec<_> = documented_options().into_iter().map(|(key, _)| key).collect();
        let mut known = KEYS.to_vec();
        documented.sort_unstable();
        known.sort_unstable();
        assert_eq!(documented, known);

        let header = documented::header_section("Options of a call", "The result of a call (the envelope)");
        let entries = documented::header_entries(&header);
        let mut told: Vec<_> = entries.iter().map(|(key, _)| key.as_str()).collect();
        // An alias, in the text of the other.
        assert!(entries.iter().any(|(key, text)| key == "request" && text.contains("\"events\"")));
        told.push("events");
        told.sort_unstable();
        assert_eq!(told, known, "the header tells of other options");
    }

    #[test]
    fn documented_types_are_the_types() {
        for (key, kind) in documented_options() {
            let (fitting, others) = documented::samples(&kind);
            let is_request = ["request", "events"].contains(&&*key);
            let written = |value: &str| match is_request {
                true => format!(r#"{{"{key}":{value}}}"#),
                false => format!(r#"{{"request":{{"a":1}},"{key}":{value}}}"#),
            };
            for value in fitting.iter().filter(|_| !is_request) {
                let text = written(value);
                let document = Document::parse(&text, Strictness::Options).unwrap();
                let read = ParsedOptions::read(document.root(), Operation::GetOffers);
                assert!(read.is_ok(), "{key} ({kind}): {:?}", read.err());
            }
            for value in &others {
                assert_eq!(field(&written(value)), key, "{value}");
            }
        }
    }

    #[test]
    fn numbers_beyond_a_double_are_refused_wherever_they_are() {
        for huge in ["1e999", "-1e309", &"9".repeat(310)] {
            let text = format!(r#"{{"request":{{"a":[0,1e308,{{"b\n":[{huge}]}}],"c":{huge}}}}}"#);
            assert_eq!(field(&text), "request.a[2].b[0]", "{huge}");
        }
    }

    #[test]
    fn typed_options_read_back() {
        let options = CallOptions::new(DeliveryRequest { request_id: Some("r".into()), ..Default::default() })
            .session_id("s")
            .timeout(Duration::from_micros(1))
            .retry_clicks(true);
        let text = options.to_json().unwrap();
        let document = Document::parse(&text, Strictness::Options).unwrap();
        let read = ParsedOptions::read(document.root(), Operation::GetOffers).unwrap();
        assert_eq!(read.session_id.as_deref(), Some("s"));
        assert_eq!(read.timeout, Some(Duration::from_millis(1)));
        assert_eq!(read.retry_clicks, Some(true));
    }
}
