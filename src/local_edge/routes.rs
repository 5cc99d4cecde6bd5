//! Where requests go: to the delivery call, the artifact and the geo service with their faults, to the report, or
//! to the controls.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::answer::Answer;
use super::artifact::Artifacts;
use super::cdn;
use super::delivery::{self, Answered};
use super::faults::{Fault, Faults, Route};
use super::fields::Refusal;
use super::harm::{Exchange, Next, Plain};
use super::http::{Request, Unread};
use super::ledger::Ledger;
use super::query::query_pairs;
use super::recorded::{RecordedRequest, Recorder};
use super::report::Report;
use super::scenario::Scenario;
use super::server::{After, Connection, DAY, Handler, Output, Shared, lock};
use super::validate;

/// The path of the delivery call.
pub(super) const DELIVERY: &str = "/rest/v1/delivery";
pub(super) const JSON: (&str, &str) = ("Content-Type", "application/json;charset=UTF-8");
const NO_STORE: (&str, &str) = ("Cache-Control", "no-store");
const PAGE: &str = include_str!("page.html");

/// Which route with faults of its own a path belongs to.
pub(super) fn route_of(path: &str) -> Option<Route> {
    match path {
        DELIVERY => Some(Route::Delivery),
        _ if cdn::is_artifact(path) => Some(Route::Artifact),
        _ if cdn::is_geo(path) => Some(Route::Geo),
        _ => None,
    }
}

/// The edge that all connections share.
pub(super) struct Edge {
    pub(super) scenario: Scenario,
    pub(super) artifacts: Artifacts,
    /// Whose `bin` form is served.
    pub(super) organization: String,
    pub(super) client: Mutex<Option<String>>,
    pub(super) ledger: Ledger,
    pub(super) faults: Faults,
    pub(super) recorder: Recorder,
    pub(super) max_concurrent: usize,
    pub(super) server: Arc<Shared>,
}

impl Handler for Edge {
    fn serve(&self, connection: &mut Connection) -> After {
        let Connection { id, input, output, tunnel } = connection;
        let mut met = None;
        let read = input.read_head(|path| {
            met = route_of(path).map(|route| (route, self.faults.take(route)));
            matches!(met, Some((_, Fault::ResetBeforeReading)))
        });
        if let Err(unread) = read.and_then(|()| input.read_body()) {
            return match unread {
                Unread::Closed => After::Close,
                Unread::Stopped => After::Reset,
                Unread::Refused { status, message } => {
                    self.ledger.count_error(status);
                    let body = error_body(status, &message);
                    let answer = Answer { status, headers: &[JSON], body: &body, close: true, ..Answer::default() };
                    if output.send(&answer).is_ok() { After::DrainAndClose } else { After::Close }
                }
            };
        }
        let request = input.request();
        let keep_alive = request.keep_alive();
        let after = match met {
            Some((route, fault)) => {
                self.recorder.record(&request, *id, tunnel.as_deref());
                match route {
                    Route::Delivery => self.deliver(&request, fault, output),
                    _ => self.serve_file(route, &request, fault, output),
                }
            }
            None if request.method() == "CONNECT" => {
                self.recorder.record(&request, *id, None);
                *tunnel = request.authority().map(str::to_owned);
                return match output.send_bytes(b"HTTP/1.1 200 Connection established\r\n\r\n") {
                    Ok(()) => After::KeepAlive,
                    Err(_) => After::Close,
                };
            }
            None => self.other(&request, *id, tunnel.as_deref(), output),
        };
        match after {
            Ok(Next::Request) if keep_alive => After::KeepAlive,
            Ok(Next::Request | Next::Close) | Err(_) => After::Close,
            Ok(Next::Reset) => After::Reset,
            Ok(Next::WaitForPeer(in_flight)) => {
                input.drain(DAY);
                drop(in_flight);
                After::Close
            }
        }
    }
}

impl Edge {
    /// The counts of this moment with all that can be shown, the ids of notifications only when asked for.
    pub(super) fn report(&self, with_ids: bool) -> Report {
        let mut report = self.ledger.report(self.server.accepted(), with_ids);
        if let Some(artifact) = self.artifacts.current() {
            report.list(&artifact);
        }
        report
    }

    /// The client code that decisions are made for: that of the artifact's path which was asked for last, so that a
    /// visitor gets the same here as from the client itself; else the scenario's.
    pub(super) fn client(&self) -> String {
        lock(&self.client).clone().unwrap_or_else(|| self.scenario.client.clone())
    }

    fn deliver(&self, request: &Request<'_>, fault: Fault, output: &mut Output) -> io::Result<Next<'_>> {
        let session = validate::session_of(request.query());
        let (in_flight, of_session) = self.ledger.begin(session.as_deref().ok());
        let missed = if let Fault::MissIds(missed) = fault { missed } else { 0 };
        let process = || {
            let refuse = |status, message: &str| Err(Refusal { status, message: message.to_owned() });
            let mut body = Vec::new();
            let answered = if request.method() != "POST" {
                refuse(405, "only POST is allowed here")
            } else if of_session > self.max_concurrent as u64 {
                refuse(420, "Too many requests with same session ID")
            } else {
                session.and_then(|session| delivery::answer(self, &session, request.body, missed, &mut body))
            };
            match answered {
                Ok(Answered::Body) => Plain::json(200, body),
                Ok(Answered::NoContent) => Plain::json(204, Vec::new()),
                Err(refusal) => {
                    self.ledger.count_error(refusal.status);
                    Plain::json(refusal.status, error_body(refusal.status, &refusal.message))
                }
            }
        };
        Exchange { edge: self, route: Route::Delivery, request, output, in_flight: Some(in_flight) }
            .answer(fault, process)
    }

    /// The artifact and the geo service.
    fn serve_file(
        &self,
        route: Route,
        request: &Request<'_>,
        fault: Fault,
        output: &mut Output,
    ) -> io::Result<Next<'_>> {
        self.ledger.count_request(route);
        if let Some(client) = cdn::client_of(request.path()) {
            *lock(&self.client) = Some(client.into_owned());
        }
        let artifact = self.artifacts.current();
        let shape = fault.clone();
        let file = || match route {
            Route::Geo => cdn::geo_answer(request, &self.scenario.geo),
            _ => cdn::artifact_answer(request, artifact.as_deref(), &self.organization, &self.scenario.geo, &shape),
        };
        Exchange { edge: self, route, request, output, in_flight: None }.answer(fault, file)
    }

    /// The report and the controls.
    fn other(&self, request: &Request<'_>, id: u64, tunnel: Option<&str>, output: &mut Output) -> io::Result<Next<'_>> {
        let head_only = request.method() == "HEAD";
        let method = if head_only { "GET" } else { request.method() };
        let plain = Answer {
            status: 200,
            headers: &[JSON, NO_STORE],
            close: !request.keep_alive(),
            head_only,
            ..Answer::default()
        };
        let json = |value: Value| value.to_string().into_bytes();
        let path = request.path();
        let known = match path {
            "/"
            | "/report"
            | "/report.json"
            | "/control/artifact"
            | "/control/requests"
            | "/control/faults"
            | "/control/default_reply"
            | "/control/reset" => true,
            _ => {
                self.recorder.record(request, id, tunnel);
                false
            }
        };
        let body = match (method, path) {
            ("GET", "/") => {
                output.send(&Answer { status: 302, headers: &[("Location", "/report"), NO_STORE], ..plain })?;
                return Ok(Next::Request);
            }
            ("GET", "/report") if wants_html(request) => {
                let headers = [("Content-Type", "text/html;charset=UTF-8"), ("Vary", "Accept"), NO_STORE];
                output.send(&Answer { headers: &headers, body: PAGE.as_bytes(), ..plain })?;
                return Ok(Next::Request);
            }
            ("GET", "/report" | "/report.json") => {
                let without_ids = query_pairs(request.query()).any(|pair| pair == ("ids".into(), "0".into()));
                Ok(self.report(!without_ids).to_json().into_bytes())
            }
            ("GET", "/control/requests") => {
                let recorded: Vec<Value> = self.recorder.all().iter().map(RecordedRequest::to_json).collect();
                Ok(json(Value::from(recorded)))
            }
            ("DELETE", "/control/requests") => {
                self.recorder.take();
                Ok(json(json!({})))
            }
            ("POST", "/control/faults") => {
                parsed(request).and_then(|value| Fault::list_from_json(&value)).map(|faults| {
                    self.faults.push(faults);
                    json(json!({"waiting": self.faults.waiting()}))
                })
            }
            ("GET", "/control/faults") => Ok(json(json!({"waiting": self.faults.waiting()}))),
            ("DELETE", "/control/faults") => {
                self.faults.clear();
                Ok(json(json!({"waiting": 0})))
            }
            ("POST", "/control/default_reply") => parsed(request).and_then(|value| {
                if value.is_null() {
                    self.faults.clear_defaults();
                } else if let Some((route, fault)) = Fault::list_from_json(&value)?.into_iter().next() {
                    self.faults.set_default(route, Some(fault));
                }
                Ok(json(json!({})))
            }),
            ("POST", "/control/artifact") => match str::from_utf8(request.body) {
                Ok(text) => self
                    .artifacts
                    .set(text.to_owned())
                    .map(|artifact| json(artifact.summary()))
                    .map_err(|error| error.to_string()),
                Err(_) => Err("artifact is not UTF-8".to_owned()),
            },
            ("GET", "/control/artifact") => {
                Ok(json(self.artifacts.current().map_or(Value::Null, |artifact| artifact.summary())))
            }
            ("DELETE", "/control/artifact") => {
                self.artifacts.remove();
                Ok(json(json!({})))
            }
            ("POST", "/control/reset") => {
                self.ledger.reset(&self.scenario);
                self.recorder.take();
                Ok(json(json!({})))
            }
            _ => {
                let (status, message) =
                    if known { (405, "method is not allowed here") } else { (404, "nothing is served here") };
                output.send(&Answer { status, body: &error_body(status, message), ..plain })?;
                return Ok(Next::Request);
            }
        };
        match body {
            Ok(body) => output.send(&Answer { body: &body, ..plain })?,
            Err(message) => output.send(&Answer { status: 400, body: &error_body(400, &message), ..plain })?,
        }
        Ok(Next::Request)
    }
}

fn parsed(request: &Request<'_>) -> Result<Value, String> {
    serde_json::from_slice(request.body).map_err(|error| format!("request is not valid JSON: {error}"))
}

fn wants_html(request: &Request<'_>) -> bool {
    request.header("accept").is_some_and(|accept| String::from_utf8_lossy(accept).contains("text/html"))
}

pub(super) fn error_body(status: u16, message: &str) -> Vec<u8> {
    json!({"status": status, "message": message}).to_string().into_bytes()
}
