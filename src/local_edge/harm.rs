//! What a fault makes of an answer, on every route alike.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use super::answer::Answer;
use super::faults::{Fault, Route};
use super::gzip;
use super::http::Request;
use super::ledger::InFlight;
use super::routes::{Edge, JSON, error_body};
use super::server::Output;

const ENDLESS_CHUNK: usize = 64 * 1024;
const HTML: &[u8] = b"<!doctype html><html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>";

/// An answer as it is without a fault.
pub(super) struct Plain<'a> {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, Cow<'a, str>)>,
    pub(super) body: Cow<'a, [u8]>,
}

impl Plain<'_> {
    pub(super) fn json(status: u16, body: Vec<u8>) -> Self {
        Plain { status, headers: vec![(JSON.0, Cow::Borrowed(JSON.1))], body: Cow::Owned(body) }
    }

    fn header_pairs(&self) -> Vec<(&str, &str)> {
        self.headers.iter().map(|(name, value)| (*name, &**value)).collect()
    }

    fn is_encoded(&self) -> bool {
        self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-encoding"))
    }
}

/// What follows an answer.
pub(super) enum Next<'e> {
    Request,
    Close,
    Reset,
    /// No answer at all; a delivery request goes on being one that is being answered.
    WaitForPeer(Option<InFlight<'e>>),
}

/// A request that is being answered.
pub(super) struct Exchange<'e, 'r> {
    pub(super) edge: &'e Edge,
    pub(super) route: Route,
    pub(super) request: &'r Request<'r>,
    pub(super) output: &'r mut Output,
    pub(super) in_flight: Option<InFlight<'e>>,
}

impl<'e> Exchange<'e, '_> {
    /// Answers with what `plain` makes, or with what the fault makes of that. `plain` is called at most once, and
    /// not at all where the fault leaves the request uncounted.
    pub(super) fn answer<'a>(&mut self, fault: Fault, plain: impl FnOnce() -> Plain<'a>) -> io::Result<Next<'e>> {
        let delivery = self.route == Route::Delivery;
        match fault {
            Fault::None | Fault::MissIds(_) | Fault::OtherVersion(_) | Fault::WrongEtag(_) => self.send(&plain())?,
            Fault::Delay(time) => {
                let plain = plain();
                if !self.edge.server.sleep(time) {
                    return Ok(Next::Close);
                }
                self.send(&plain)?;
            }
            Fault::Status { status, retry_after, message } => {
                self.count_refusal(status);
                let mut plain = Plain::json(status, error_body(status, &message));
                plain.headers.extend(retry_after.map(|value| ("Retry-After", Cow::Owned(value))));
                self.send(&plain)?;
            }
            Fault::ResetBeforeReading => return Ok(Next::Reset),
            Fault::ResetAfterReading { counted } => {
                if counted {
                    plain();
                }
                return Ok(Next::Reset);
            }
            Fault::HalfAnswer { counted } => {
                let plain = if counted || !delivery {
                    plain()
                } else {
                    Plain::json(200, b"{\"status\":200,\"client\":\"{\"status\":200,\"client\":\"".to_vec())
                };
                return self.send_half(&plain);
            }
            Fault::Garbage => {
                self.output.send_bytes(b"\x16\x03\x01 this is not HTTP \xff\xfe\r\n\r\n")?;
                return Ok(Next::Close);
            }
            Fault::GarbageBody => self.send(&Plain::json(200, b"<html>{\"status\":200,".to_vec()))?,
            Fault::HtmlPage => self.send(&Plain {
                status: 200,
                headers: vec![("Content-Type", Cow::Borrowed("text/html;charset=UTF-8"))],
                body: Cow::Borrowed(HTML),
            })?,
            Fault::CutBody => {
                let mut plain = plain();
                let half = plain.body.len() / 2;
                match &mut plain.body {
                    Cow::Borrowed(body) => *body = body.get(..half).unwrap_or_default(),
                    Cow::Owned(body) => body.truncate(half),
                }
                self.send(&plain)?;
            }
            Fault::SlowBody { chunk_delay } => {
                plain();
                return self.send_for_ever(b"1\r\n \r\n", chunk_delay);
            }
            Fault::EndlessBody => {
                plain();
                let mut chunk = format!("{ENDLESS_CHUNK:x}\r\n").into_bytes();
                chunk.resize(chunk.len() + ENDLESS_CHUNK, b' ');
                chunk.extend_from_slice(b"\r\n");
                return self.send_for_ever(&chunk, Duration::ZERO);
            }
            Fault::NoContent => {
                let mut plain = plain();
                if plain.status == 200 {
                    plain.status = 204;
                }
                self.send(&plain)?;
            }
            Fault::Silence => return Ok(Next::WaitForPeer(self.in_flight.take())),
            Fault::CloseAfterAnswer => {
                let plain = plain();
                let headers = plain.header_pairs();
                self.send_answer(&Answer { close: true, ..self.answer_of(&plain, &headers) })?;
                return Ok(Next::Close);
            }
            Fault::Gzip => {
                let mut plain = plain();
                if !plain.is_encoded() {
                    plain.headers.push(("Content-Encoding", Cow::Borrowed("gzip")));
                    plain.body = Cow::Owned(gzip::stored(&plain.body));
                }
                self.send(&plain)?;
            }
            Fault::GzipBomb { megabytes } => {
                plain();
                let mut bomb = Plain::json(200, gzip::bomb(megabytes));
                bomb.headers.push(("Content-Encoding", Cow::Borrowed("gzip")));
                self.send(&bomb)?;
            }
            Fault::Respond { status, reason, headers, body, delay } => {
                self.count_refusal(status);
                if !self.edge.server.sleep(delay) {
                    return Ok(Next::Close);
                }
                let headers: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let plain = Plain { status, headers: Vec::new(), body: Cow::Borrowed(&body) };
                self.send_answer(&Answer { reason: reason.as_deref(), ..self.answer_of(&plain, &headers) })?;
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

    fn send(&mut self, plain: &Plain<'_>) -> io::Result<()> {
        self.send_answer(&self.answer_of(plain, &plain.header_pairs()))
    }

    fn answer_of<'a>(&self, plain: &'a Plain<'_>, headers: &'a [(&'a str, &'a str)]) -> Answer<'a> {
        Answer {
            status: plain.status,
            headers,
            body: &plain.body,
            close: !self.request.keep_alive(),
            head_only: self.request.method() == "HEAD",
            ..Answer::default()
        }
    }

    fn send_answer(&mut self, answer: &Answer<'_>) -> io::Result<()> {
        // A peer that has its answer may send its next request on another connection, or ask for the report, at
        // once: this request must not count as running then.
        self.in_flight = None;
        self.edge.ledger.count_answer(self.route, answer.status);
        self.output.send(answer)
    }

    fn send_half(&mut self, plain: &Plain<'_>) -> io::Result<Next<'e>> {
        let mut bytes = Vec::new();
        Answer { status: plain.status, headers: &plain.header_pairs(), ..Answer::default() }
            .write_head(&mut bytes, plain.body.len());
        bytes.extend_from_slice(plain.body.get(..plain.body.len() / 2).unwrap_or_default());
        self.edge.ledger.count_answer(self.route, plain.status);
        self.output.send_bytes(&bytes)?;
        Ok(Next::Close)
    }

    /// Blanks are valid before any JSON text, so a client cannot tell early that this leads nowhere.
    fn send_for_ever(&mut self, chunk: &[u8], delay: Duration) -> io::Result<Next<'e>> {
        let headers = [JSON, ("Transfer-Encoding", "chunked")];
        self.edge.ledger.count_answer(self.route, 200);
        self.output.send(&Answer { status: 200, headers: &headers, ..Answer::default() })?;
        while self.edge.server.sleep(delay) {
            self.output.send_bytes(chunk)?;
        }
        Ok(Next::Close)
    }

    /// Counts a refusal that no plain answer has counted.
    fn count_refusal(&self, status: u16) {
        if self.route == Route::Delivery && status >= 400 {
            self.edge.ledger.count_error(status);
        }
    }
}
