//! Where requests go: the delivery call with its faults, the report, and the controls.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::answer::Answer;
use super::delivery::{self, Answered};
use super::faults::{Fault, Faults};
use super::gzip;
use super::http::{Request, Unread};
use super::query::query_pairs;
use super::recorded::{RecordedRequest, Recorder};
use super::report::{InFlight, Ledger};
use super::scenario::Scenario;
use super::server::{After, Connection, DAY, Handler, Output, Shared};
use super::validate::{self, Refusal};

/// The path of the delivery call.
pub(super) const DELIVERY: &str = "/rest/v1/delivery";
const JSON: (&str, &str) = ("Content-Type", "application/json;charset=UTF-8");
const NO_STORE: (&str, &str) = ("Cache-Control", "no-store");
const PAGE: &str = include_str!("page.html");

/// The edge that all connections share.
pub(super) struct Edge {
    pub(super) scenario: Scenario,
    pub(super) ledger: Ledger,
    pub(super) faults: Faults,
    pub(super) recorder: Recorder,
    pub(super) max_concurrent: usize,
    pub(super) server: Arc<Shared>,
}

impl Handler for Edge {
    fn serve(&self, connection: &mut Connection) -> After {
        let Connection { id, input, output, tunnel } = connection;
        let mut fault = None;
        let read = input.read_head(|path| {
            if path == DELIVERY {
                fault = Some(self.faults.take());
            }
            fault == Some(Fault::ResetBeforeReading)
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
        let after = match fault {
            Some(fault) => {
                self.recorder.record(&request, *id, tunnel.as_deref());
                self.deliver(&request, fault, output)
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

/// What follows an answer.
enum Next<'a> {
    Request,
    Close,
    Reset,
    /// No answer at all; the request goes on being one that is being answered.
    WaitForPeer(InFlight<'a>),
}

impl Edge {
    fn deliver(&self, request: &Request<'_>, fault: Fault, output: &mut Output) -> io::Result<Next<'_>> {
        let session = validate::session_of(request.query());
        let (in_flight, of_session) = self.ledger.begin(session.as_deref().ok());
        let mut body = Vec::new();
        let mut process = |missed| {
            let refuse = |status, message: &str| Err(Refusal { status, message: message.to_owned() });
            let answered = if request.method() != "POST" {
                refuse(405, "only POST is allowed here")
            } else if of_session > self.max_concurrent as u64 {
                refuse(420, "Too many requests with same session ID")
            } else {
                session.clone().and_then(|session| {
                    delivery::answer(&self.scenario, &self.ledger, &session, request.body, missed, &mut body)
                })
            };
            let status = match answered {
                Ok(Answered::Body) => 200,
                Ok(Answered::NoContent) => 204,
                Err(refusal) => {
                    body = error_body(refusal.status, &refusal.message);
                    refusal.status
                }
            };
            if status >= 400 {
                self.ledger.count_error(status);
            }
            status
        };
        let close = !request.keep_alive();
        let plain = Answer { headers: &[JSON], close, head_only: request.method() == "HEAD", ..Answer::default() };
        // A peer that has its answer may send its next request on another connection at once: this one must not
        // count as running then.
        let mut in_flight = Some(in_flight);
        let mut send = |answer: &Answer<'_>| {
            in_flight = None;
            output.send(answer)
        };
        match fault {
            Fault::None => {
                let status = process(0);
                send(&Answer { status, body: &body, ..plain })?;
            }
            Fault::Delay(time) => {
                let status = process(0);
                if !self.server.sleep(time) {
                    return Ok(Next::Close);
                }
                send(&Answer { status, body: &body, ..plain })?;
            }
            Fault::Status { status, retry_after, message } => {
                if status >= 400 {
                    self.ledger.count_error(status);
                }
                let mut headers = vec![JSON];
                headers.extend(retry_after.as_deref().map(|value| ("Retry-After", value)));
                send(&Answer { status, headers: &headers, body: &error_body(status, &message), ..plain })?;
            }
            Fault::ResetBeforeReading => return Ok(Next::Reset),
            Fault::ResetAfterReading { counted } => {
                if counted {
                    process(0);
                }
                return Ok(Next::Reset);
            }
            Fault::HalfAnswer { counted } => {
                let mut status = 200;
                if counted {
                    status = process(0);
                } else {
                    body.extend_from_slice(b"{\"status\":200,\"client\":\"");
                }
                let mut bytes = Vec::new();
                Answer { status, ..plain }.write_head(&mut bytes, body.len());
                bytes.extend_from_slice(&body[..body.len() / 2]);
                output.send_bytes(&bytes)?;
                return Ok(Next::Close);
            }
            Fault::Garbage => {
                output.send_bytes(b"\x16\x03\x01 this is not HTTP \xff\xfe\r\n\r\n")?;
                return Ok(Next::Close);
            }
            Fault::GarbageBody => {
                send(&Answer { status: 200, body: b"<html>{\"status\":200,", ..plain })?;
            }
            Fault::SlowBody { chunk_delay } => {
                process(0);
                return self.send_slowly(chunk_delay, output);
            }
            Fault::MissIds(missed) => {
                let status = process(missed);
                send(&Answer { status, body: &body, ..plain })?;
            }
            Fault::NoContent => {
                let mut status = process(0);
                if status == 200 {
                    status = 204;
                }
                send(&Answer { status, body: &body, ..plain })?;
            }
            Fault::Silence => return in_flight.map_or(Ok(Next::Close), |in_flight| Ok(Next::WaitForPeer(in_flight))),
            Fault::CloseAfterAnswer => {
                let status = process(0);
                send(&Answer { status, body: &body, close: true, ..plain })?;
                return Ok(Next::Close);
            }
            Fault::Gzip => {
                let status = process(0);
                send(&Answer {
                    status,
                    headers: &[JSON, ("Content-Encoding", "gzip")],
                    body: &gzip::stored(&body),
                    ..plain
                })?;
            }
            Fault::GzipBomb { megabytes } => {
                process(0);
                send(&Answer {
                    status: 200,
                    headers: &[JSON, ("Content-Encoding", "gzip")],
                    body: &gzip::bomb(megabytes),
                    ..plain
                })?;
            }
            Fault::Respond { status, reason, headers, body, delay } => {
                if status >= 400 {
                    self.ledger.count_error(status);
                }
                if !self.server.sleep(delay) {
                    return Ok(Next::Close);
                }
                let headers: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let reason = reason.as_deref();
                send(&Answer { status, reason, headers: &headers, body: &body, ..plain })?;
                let closes = |(name, value): &(&str, &str)| {
                    name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close")
                };
                if headers.iter().any(closes) {
                    return Ok(Next::Close);
                }
            }
        }
        Ok(Next::Request)
    }

    /// Blanks are valid before any JSON text, so a client cannot tell early that this leads nowhere.
    fn send_slowly(&self, delay: Duration, output: &mut Output) -> io::Result<Next<'_>> {
        let headers = [JSON, ("Transfer-Encoding", "chunked")];
        output.send(&Answer { status: 200, headers: &headers, ..Answer::default() })?;
        while self.server.sleep(delay) {
            output.send_bytes(b"1\r\n \r\n")?;
        }
        Ok(Next::Close)
    }

    /// Everything but the delivery call.
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
                Ok(self.ledger.report(self.server.accepted(), !without_ids).to_json().into_bytes())
            }
            ("GET", "/control/requests") => {
                let recorded: Vec<Value> = self.recorder.all().iter().map(RecordedRequest::to_json).collect();
                Ok(json(Value::from(recorded)))
            }
            ("DELETE", "/control/requests") => {
                self.recorder.take();
                Ok(json(json!({})))
            }
            ("POST", "/control/faults") => parsed(request)
                .and_then(|value| Fault::list_from_json(&value))
                .map(|faults| json(json!({"waiting": self.faults.push(faults)}))),
            ("GET", "/control/faults") => Ok(json(json!({"waiting": self.faults.waiting()}))),
            ("DELETE", "/control/faults") => {
                self.faults.clear();
                Ok(json(json!({"waiting": 0})))
            }
            ("POST", "/control/default_reply") => parsed(request).and_then(|value| {
                let fault = if value.is_null() { None } else { Fault::list_from_json(&value)?.into_iter().next() };
                self.faults.set_default(fault);
                Ok(json(json!({})))
            }),
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

fn error_body(status: u16, message: &str) -> Vec<u8> {
    json!({"status": status, "message": message}).to_string().into_bytes()
}
