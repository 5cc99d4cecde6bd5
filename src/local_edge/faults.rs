//! Faults on demand: what the next requests of a route get instead of a plain answer.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Map, Value};

use super::gzip::MAX_MEGABYTES;
use super::server::lock;

/// How often one entry of a JSON list may be repeated.
const MAX_TIMES: u64 = 100_000;

/// What a request is for. Each route has faults of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Route {
    /// The delivery call, `/rest/v1/delivery`.
    Delivery,
    /// The rule artifact, `…/v1/rules.json` and `.bin`.
    Artifact,
    /// The geo service, `/v1/geo`.
    Geo,
}

impl Route {
    const ALL: [Route; 3] = [Route::Delivery, Route::Artifact, Route::Geo];

    /// The name in the JSON form of a fault.
    fn name(self) -> &'static str {
        match self {
            Route::Delivery => "delivery",
            Route::Artifact => "artifact",
            Route::Geo => "geo",
        }
    }
}

/// How an answer's `ETag` is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WrongEtag {
    /// There is none. `"how":"missing"`
    Missing,
    /// It is a weak one. `"how":"weak"`
    Weak,
    /// Each answer has another, and `If-None-Match` never fits. `"how":"changing"`
    Changing,
    /// It is right, but `If-None-Match` is not looked at. `"how":"match_ignored"`
    MatchIgnored,
    /// 304 whatever was asked, also without `If-None-Match` and when the artifact is another. `"how":"not_modified"`
    NotModified,
}

/// What one request gets.
///
/// A fault that says nothing of counting leaves a delivery request uncounted if it is a refusal or something that no
/// Target edge would send (`Status`, `Respond`, `Garbage`, `GarbageBody`, `HtmlPage`, `Silence`,
/// `ResetBeforeReading`); the others process and count the request before their harm is done. `MissIds` means
/// something to delivery requests, `OtherVersion` and `WrongEtag` to those for the artifact; on another route they
/// let the request through.
///
/// Over HTTP (`POST /control/faults`) a fault is an object with the member `type`, the variant's name in
/// `snake_case`, and the members named below. `"times": n` repeats it, `"route"` is `delivery` (the default),
/// `artifact` or `geo`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Lets one request through. `{"type":"none"}`
    None,
    /// Processes the request, then answers this much later. `{"type":"delay","ms":500}`
    Delay(Duration),
    /// Refuses with `{"status":…,"message":…}`. `{"type":"status","status":503,"retry_after":"1","message":"…"}`
    Status {
        /// The HTTP status.
        status: u16,
        /// The header `Retry-After`: seconds or an HTTP date.
        retry_after: Option<String>,
        /// The message of the body.
        message: String,
    },
    /// Resets the connection as soon as the request line is there, the rest unread.
    /// `{"type":"reset_before_reading"}`
    ResetBeforeReading,
    /// Reads the whole request and resets without an answer. `{"type":"reset_after_reading","counted":true}`
    ResetAfterReading {
        /// Whether the request is processed and counted before.
        counted: bool,
    },
    /// Promises an answer by `Content-Length`, sends half of it and closes. `{"type":"half_answer","counted":true}`
    HalfAnswer {
        /// Whether the request is processed and counted before.
        counted: bool,
    },
    /// Answers with bytes that are no HTTP, and closes. `{"type":"garbage"}`
    Garbage,
    /// Answers 200 with a body that is no JSON. `{"type":"garbage_body"}`
    GarbageBody,
    /// Answers 200 with a page as captive portals and misconfigured hosts send it. `{"type":"html_page"}`
    HtmlPage,
    /// Sends half of the body in an answer that is complete as far as HTTP can tell. `{"type":"cut_body"}`
    CutBody,
    /// Counts, answers 200 and then one byte after the other, until the peer goes away.
    /// `{"type":"slow_body","chunk_delay_ms":100}`
    SlowBody {
        /// The time between two bytes.
        chunk_delay: Duration,
    },
    /// Counts, answers 200 and then blanks as fast as the peer reads them, until it goes away.
    /// `{"type":"endless_body"}`
    EndlessBody,
    /// Serves the artifact with this `version`. `{"type":"other_version","version":"2.0.0"}`
    OtherVersion(String),
    /// Serves the artifact with an `ETag` that is wrong. `{"type":"wrong_etag","how":"missing"}`
    WrongEtag(WrongEtag),
    /// Leaves the last so many notifications unprocessed and their ids out of the answer.
    /// `{"type":"miss_ids","count":1}`
    MissIds(usize),
    /// Counts and answers 204. `{"type":"no_content"}`
    NoContent,
    /// Reads the request and never answers, until the peer closes. `{"type":"silence"}`
    Silence,
    /// Answers with `Connection: close` and closes. `{"type":"close_after_answer"}`
    CloseAfterAnswer,
    /// Answers with `Content-Encoding: gzip`, asked for or not. `{"type":"gzip"}`
    Gzip,
    /// Counts and answers a small gzip body that grows to this size. `{"type":"gzip_bomb","megabytes":64}`
    GzipBomb {
        /// The size of the decoded body, at most 4095.
        megabytes: usize,
    },
    /// Answers exactly this, whatever was asked; only `Content-Length` is added when no header frames the body.
    /// `{"type":"respond","status":200,"reason":"Fine","headers":[["X-A","b"]],"body":"{}","delay_ms":0}`,
    /// where `body` may be any JSON value: a string is sent as its text.
    Respond {
        /// The HTTP status.
        status: u16,
        /// The reason phrase; the standard one when absent.
        reason: Option<String>,
        /// The headers, in their order.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
        /// How long to wait before answering.
        delay: Duration,
    },
}

impl Fault {
    /// A refusal without `Retry-After`, with the message that the status has by its number.
    pub fn status(status: u16) -> Self {
        Fault::Status { status, retry_after: None, message: format!("status {status} on demand") }
    }

    /// A canned JSON answer.
    pub fn respond(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Fault::Respond {
            status,
            reason: None,
            headers: vec![("Content-Type".to_owned(), "application/json;charset=UTF-8".to_owned())],
            body: body.into(),
            delay: Duration::ZERO,
        }
    }

    /// Reads a list of faults with their routes, or a single one.
    pub(super) fn list_from_json(value: &Value) -> Result<Vec<(Route, Fault)>, String> {
        let Value::Array(entries) = value else {
            return Self::repeated("fault", value);
        };
        let mut faults = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            faults.extend(Self::repeated(&format!("[{number}]"), entry)?);
        }
        Ok(faults)
    }

    fn repeated(path: &str, value: &Value) -> Result<Vec<(Route, Fault)>, String> {
        let members = value.as_object().ok_or_else(|| format!("{path} must be an object"))?;
        let mut entry = Entry { path, members, known: vec!["type", "times"] };
        let times = entry.number("times", MAX_TIMES)?.unwrap_or(1);
        let route = entry.route()?;
        let fault = entry.fault()?;
        if let Some(unknown) = members.keys().find(|name| !entry.known.contains(&name.as_str())) {
            return Err(format!("{path}.{unknown} is unknown"));
        }
        Ok(vec![(route, fault); times as usize])
    }
}

/// One fault in its JSON form.
struct Entry<'v> {
    path: &'v str,
    members: &'v Map<String, Value>,
    /// Members that were asked for. Others are typing errors.
    known: Vec<&'static str>,
}

impl<'v> Entry<'v> {
    fn fault(&mut self) -> Result<Fault, String> {
        Ok(match self.text("type")?.ok_or_else(|| format!("{}.type is required", self.path))? {
            "none" => Fault::None,
            "delay" => Fault::Delay(self.duration("ms")?),
            "status" => {
                let status = self.status()?;
                Fault::Status {
                    status,
                    retry_after: self.header_text("retry_after")?,
                    message: self.text("message")?.map_or_else(|| format!("status {status} on demand"), str::to_owned),
                }
            }
            "reset_before_reading" => Fault::ResetBeforeReading,
            "reset_after_reading" => Fault::ResetAfterReading { counted: self.flag("counted")? },
            "half_answer" => Fault::HalfAnswer { counted: self.flag("counted")? },
            "garbage" => Fault::Garbage,
            "garbage_body" => Fault::GarbageBody,
            "html_page" => Fault::HtmlPage,
            "cut_body" => Fault::CutBody,
            "slow_body" => Fault::SlowBody { chunk_delay: self.duration("chunk_delay_ms")? },
            "endless_body" => Fault::EndlessBody,
            "other_version" => Fault::OtherVersion(self.text("version")?.unwrap_or("2.0.0").to_owned()),
            "wrong_etag" => Fault::WrongEtag(self.one_of(
                "how",
                &[
                    ("missing", WrongEtag::Missing),
                    ("weak", WrongEtag::Weak),
                    ("changing", WrongEtag::Changing),
                    ("match_ignored", WrongEtag::MatchIgnored),
                    ("not_modified", WrongEtag::NotModified),
                ],
            )?),
            "miss_ids" => Fault::MissIds(self.number("count", MAX_TIMES)?.unwrap_or(1) as usize),
            "no_content" => Fault::NoContent,
            "silence" => Fault::Silence,
            "close_after_answer" => Fault::CloseAfterAnswer,
            "gzip" => Fault::Gzip,
            "gzip_bomb" => {
                Fault::GzipBomb { megabytes: self.number("megabytes", MAX_MEGABYTES as u64)?.unwrap_or(64) as usize }
            }
            "respond" => Fault::Respond {
                status: self.status()?,
                reason: self.header_text("reason")?,
                headers: self.headers()?,
                body: match self.member("body") {
                    None => Vec::new(),
                    Some(Value::String(text)) => text.clone().into_bytes(),
                    Some(value) => value.to_string().into_bytes(),
                },
                delay: self.duration("delay_ms")?,
            },
            other => return Err(format!("{}.type {other:?} is unknown", self.path)),
        })
    }

    fn route(&mut self) -> Result<Route, String> {
        match self.member("route") {
            None => Ok(Route::Delivery),
            Some(_) => self.one_of("route", &Route::ALL.map(|route| (route.name(), route))),
        }
    }

    fn one_of<T: Copy>(&mut self, name: &'static str, choices: &[(&str, T)]) -> Result<T, String> {
        let text = self.text(name)?;
        choices.iter().find(|(choice, _)| Some(*choice) == text).map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
            format!("{}.{name} must be one of: {}", self.path, names.join(", "))
        })
    }

    fn member(&mut self, name: &'static str) -> Option<&'v Value> {
        self.known.push(name);
        self.members.get(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &'static str) -> Result<Option<&'v str>, String> {
        let wrong = || format!("{}.{name} must be a string", self.path);
        let value = self.members.get(name).filter(|value| !value.is_null());
        let text = value.map(|value| value.as_str().ok_or_else(wrong)).transpose();
        self.known.push(name);
        text
    }

    /// A text that goes into a header or a status line, where a line break would begin another.
    fn header_text(&mut self, name: &'static str) -> Result<Option<String>, String> {
        match self.text(name)? {
            Some(text) if text.chars().any(char::is_control) => {
                Err(format!("{}.{name} must not hold control characters", self.path))
            }
            text => Ok(text.map(str::to_owned)),
        }
    }

    fn number(&mut self, name: &'static str, max: u64) -> Result<Option<u64>, String> {
        let path = self.path;
        self.member(name)
            .map(|value| {
                value
                    .as_u64()
                    .filter(|number| *number <= max)
                    .ok_or_else(|| format!("{path}.{name} must be an integer from 0 to {max}"))
            })
            .transpose()
    }

    fn duration(&mut self, name: &'static str) -> Result<Duration, String> {
        Ok(Duration::from_millis(self.number(name, u64::from(u32::MAX))?.unwrap_or(0)))
    }

    fn status(&mut self) -> Result<u16, String> {
        let path = self.path;
        match self.number("status", 999)? {
            Some(status @ 200..) => Ok(status as u16),
            _ => Err(format!("{path}.status must be an integer from 200 to 999")),
        }
    }

    fn flag(&mut self, name: &'static str) -> Result<bool, String> {
        let path = self.path;
        match self.member(name) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| format!("{path}.{name} must be true or false")),
        }
    }

    /// A list of pairs, or an object.
    fn headers(&mut self) -> Result<Vec<(String, String)>, String> {
        let wrong = format!("{}.headers must be a list of pairs of strings, or an object of strings", self.path);
        let pairs: Vec<(Option<&str>, Option<&str>)> = match self.member("headers") {
            None => Vec::new(),
            Some(Value::Object(members)) => {
                members.iter().map(|(name, value)| (Some(name.as_str()), value.as_str())).collect()
            }
            Some(Value::Array(pairs)) => pairs
                .iter()
                .map(|pair| match pair.as_array().map(Vec::as_slice) {
                    Some([name, value]) => (name.as_str(), value.as_str()),
                    _ => (None, None),
                })
                .collect(),
            Some(_) => return Err(wrong),
        };
        pairs
            .into_iter()
            .map(|pair| match pair {
                (Some(name), Some(value)) if !format!("{name}{value}").chars().any(char::is_control) => {
                    Ok((name.to_owned(), value.to_owned()))
                }
                _ => Err(wrong.clone()),
            })
            .collect()
    }
}

/// The faults that wait for requests, by route. Requests take them in the order of their request lines.
#[derive(Default)]
pub(super) struct Faults {
    delivery: Lane,
    artifact: Lane,
    geo: Lane,
}

/// The faults of one route.
#[derive(Default)]
struct Lane {
    queue: Mutex<Queue>,
    /// Whether there is anything to take: most requests meet no fault and need no lock.
    armed: AtomicBool,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Fault>,
    /// What requests get when nothing waits.
    default: Option<Fault>,
}

impl Faults {
    pub(super) fn push(&self, faults: impl IntoIterator<Item = (Route, Fault)>) {
        for (route, fault) in faults {
            self.lane(route).change(|queue| queue.waiting.push_back(fault));
        }
    }

    pub(super) fn set_default(&self, route: Route, default: Option<Fault>) {
        self.lane(route).change(|queue| queue.default = default);
    }

    /// Forgets the default replies of all routes.
    pub(super) fn clear_defaults(&self) {
        Route::ALL.into_iter().for_each(|route| self.set_default(route, None));
    }

    pub(super) fn clear(&self) {
        Route::ALL.into_iter().for_each(|route| self.lane(route).change(|queue| *queue = Queue::default()));
    }

    /// How many wait on all routes.
    pub(super) fn waiting(&self) -> usize {
        Route::ALL.into_iter().map(|route| self.waiting_on(route)).sum()
    }

    pub(super) fn waiting_on(&self, route: Route) -> usize {
        lock(&self.lane(route).queue).waiting.len()
    }

    pub(super) fn take(&self, route: Route) -> Fault {
        let lane = self.lane(route);
        if !lane.armed.load(Ordering::Acquire) {
            return Fault::None;
        }
        lane.change(|queue| queue.waiting.pop_front().or_else(|| queue.default.clone())).unwrap_or(Fault::None)
    }

    fn lane(&self, route: Route) -> &Lane {
        match route {
            Route::Delivery => &self.delivery,
            Route::Artifact => &self.artifact,
            Route::Geo => &self.geo,
        }
    }
}

impl Lane {
    fn change<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = lock(&self.queue);
        let result = change(&mut queue);
        self.armed.store(!queue.waiting.is_empty() || queue.default.is_some(), Ordering::Release);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Vec<Fault>, String> {
        Ok(Fault::list_from_json(&value)?.into_iter().map(|(_, fault)| fault).collect())
    }

    #[test]
    fn every_fault_has_a_json_form() {
        let faults = read(json!([
            {"type": "none"},
            {"type": "delay", "ms": 500},
            {"type": "status", "status": 503, "retry_after": "1", "message": "later"},
            {"type": "reset_before_reading"},
            {"type": "reset_after_reading", "counted": true},
            {"type": "half_answer"},
            {"type": "garbage"},
            {"type": "garbage_body"},
            {"type": "html_page"},
            {"type": "cut_body"},
            {"type": "endless_body"},
            {"type": "other_version"},
            {"type": "wrong_etag", "how": "match_ignored"},
            {"type": "slow_body", "chunk_delay_ms": 20},
            {"type": "miss_ids", "count": 2},
            {"type": "no_content"},
            {"type": "silence"},
            {"type": "close_after_answer"},
            {"type": "gzip"},
            {"type": "gzip_bomb", "megabytes": 3},
            {"type": "respond", "status": 200, "reason": "Fine", "headers": [["A", "b"]], "body": {"c": 1}, "delay_ms": 7},
        ]))
        .unwrap();
        assert_eq!(
            faults,
            [
                Fault::None,
                Fault::Delay(Duration::from_millis(500)),
                Fault::Status { status: 503, retry_after: Some("1".into()), message: "later".into() },
                Fault::ResetBeforeReading,
                Fault::ResetAfterReading { counted: true },
                Fault::HalfAnswer { counted: false },
                Fault::Garbage,
                Fault::GarbageBody,
                Fault::HtmlPage,
                Fault::CutBody,
                Fault::EndlessBody,
                Fault::OtherVersion("2.0.0".into()),
                Fault::WrongEtag(WrongEtag::MatchIgnored),
                Fault::SlowBody { chunk_delay: Duration::from_millis(20) },
                Fault::MissIds(2),
                Fault::NoContent,
                Fault::Silence,
                Fault::CloseAfterAnswer,
                Fault::Gzip,
                Fault::GzipBomb { megabytes: 3 },
                Fault::Respond {
                    status: 200,
                    reason: Some("Fine".into()),
                    headers: vec![("A".into(), "b".into())],
                    body: br#"{"c":1}"#.to_vec(),
                    delay: Duration::from_millis(7),
                },
            ]
        );
    }

    #[test]
    fn a_single_fault_may_stand_alone_and_be_repeated() {
        assert_eq!(read(json!({"type": "garbage", "times": 3})).unwrap(), vec![Fault::Garbage; 3]);
        assert_eq!(read(json!([])).unwrap(), []);
    }

    #[test]
    fn errors_name_the_member() {
        for (value, message) in [
            (json!(1), "fault must be an object"),
            (json!([{"type": "none"}, {}]), "[1].type is required"),
            (json!([{"type": "rain"}]), "[0].type \"rain\" is unknown"),
            (json!([{"type": "delay", "seconds": 1}]), "[0].seconds is unknown"),
            (json!([{"type": "delay", "ms": -1}]), "[0].ms must be an integer from 0 to 4294967295"),
            (json!([{"type": "status"}]), "[0].status must be an integer from 200 to 999"),
            (json!([{"type": "status", "status": 500, "retry_after": 1}]), "[0].retry_after must be a string"),
            (
                json!([{"type": "status", "status": 500, "retry_after": "1\r\nX: y"}]),
                "[0].retry_after must not hold control characters",
            ),
            (json!([{"type": "half_answer", "counted": 1}]), "[0].counted must be true or false"),
            (json!([{"type": "none", "route": "cdn"}]), "[0].route must be one of: delivery, artifact, geo"),
            (
                json!([{"type": "wrong_etag"}]),
                "[0].how must be one of: missing, weak, changing, match_ignored, not_modified",
            ),
            (
                json!([{"type": "respond", "status": 200, "headers": [["a"]]}]),
                "[0].headers must be a list of pairs of strings, or an object of strings",
            ),
        ] {
            assert_eq!(read(value).unwrap_err(), message);
        }
    }

    #[test]
    fn waiting_faults_come_before_the_default() {
        let faults = Faults::default();
        let take = || faults.take(Route::Delivery);
        assert_eq!(take(), Fault::None);
        faults.set_default(Route::Delivery, Some(Fault::Silence));
        faults.push([Fault::Garbage, Fault::None].map(|fault| (Route::Delivery, fault)));
        assert_eq!(take(), Fault::Garbage);
        assert_eq!(take(), Fault::None);
        assert_eq!(take(), Fault::Silence);
        assert_eq!(take(), Fault::Silence);
        faults.clear();
        assert_eq!(take(), Fault::None);
    }

    #[test]
    fn routes_do_not_take_each_others_faults() {
        let faults = Faults::default();
        let list =
            json!([{"type": "garbage", "route": "geo"}, {"type": "silence", "route": "artifact"}, {"type": "gzip"}]);
        faults.push(Fault::list_from_json(&list).unwrap());
        assert_eq!((faults.waiting(), faults.waiting_on(Route::Geo)), (3, 1));
        assert_eq!(faults.take(Route::Artifact), Fault::Silence);
        assert_eq!(faults.take(Route::Artifact), Fault::None);
        assert_eq!(faults.take(Route::Geo), Fault::Garbage);
        assert_eq!(faults.take(Route::Delivery), Fault::Gzip);
    }
}
