//! Repeating a request inside its call's deadline, and only where that can count nothing twice.

use std::sync::Arc;
use std::time::Duration;

use super::control::CallControl;
use super::{Failure, FailureKind, HttpRequest, HttpResponse, Transport};
use crate::config::RetryPolicy;
use crate::error::{ErrorDetails, Phase, TargetError};
use crate::ids;
use crate::json::{Document, Strictness};
use crate::stats::Stats;

/// One request and where it may go.
pub(crate) struct Shipment<'a> {
    /// The URL at the visitor's cluster, or the only one.
    pub url: &'a str,
    /// Used once the cluster's host could not be reached.
    pub fallback_url: Option<&'a str>,
    pub request_id: &'a str,
    pub body: &'a str,
    /// Whether a second request of the same content counts nothing a second time.
    pub repeatable: bool,
}

/// What is known of a request that brought no success.
pub(crate) struct Undelivered {
    pub error: TargetError,
    pub fate: Fate,
}

/// What the edge may have done with a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// No byte of it left.
    NotSent,
    /// The edge said that it counted nothing of it.
    Refused,
    /// It left, and nobody knows.
    Unknown,
}

/// Sends until a success, a final failure, the last attempt or the deadline.
pub(crate) fn deliver(
    transport: &dyn Transport,
    shipment: &Shipment<'_>,
    policy: &RetryPolicy,
    control: &Arc<CallControl>,
    stats: &Stats,
) -> Result<HttpResponse, Undelivered> {
    let mut tried = 0;
    let mut requests = 0;
    let mut replaced_connection = false;
    let mut url = shipment.url;
    // What an earlier attempt may have counted stays possible whatever the last one says.
    let mut maybe_counted = false;
    let mut last_fate = Fate::NotSent;
    loop {
        if control.end().is_some() || control.remaining().is_none() {
            let phase = Phase::Send;
            let error = ended_or_late(control, phase, "before the request was sent");
            let fate = if maybe_counted { Fate::Unknown } else { last_fate };
            return Err(Undelivered { error: with_facts(error, shipment, requests, control), fate });
        }
        tried += 1;
        requests += 1;
        stats.request_sent(tried > 1);
        let request = HttpRequest { url, request_id: shipment.request_id, body: shipment.body };
        let (error, fate, retry, wait) = match transport.post(&request, control) {
            Ok(answer) if (200..300).contains(&answer.status) => {
                return Ok(HttpResponse { attempts: requests, ..answer });
            }
            Ok(answer) => {
                let verdict = judge_status(answer.status, shipment.repeatable);
                let api_message = api_message(&answer.body);
                let mut error = TargetError::http(answer.status, api_message, verdict.retryable);
                let wait =
                    answer.retry_after.as_deref().and_then(|text| parse_retry_after(text, crate::clock::wall_ms()));
                error.details_mut().retry_after_ms = wait.map(|wait| wait.as_millis() as u64);
                stats.failed(Phase::Response);
                (error, verdict.fate, verdict.repeat, wait)
            }
            Err(failure) => {
                let retry = may_repeat(&failure, shipment.repeatable);
                let stale = failure.reused && !failure.answered;
                if stale && retry && !replaced_connection {
                    // The connection died while it was idle: this attempt never really began.
                    maybe_counted |= failure.sent;
                    replaced_connection = true;
                    tried -= 1;
                    continue;
                }
                stats.failed(failure.phase);
                let unreachable = failure.unreachable && failure.kind == FailureKind::Network;
                let fate = if failure.sent { Fate::Unknown } else { Fate::NotSent };
                let error = failure_error(failure, url, control);
                if let (true, Some(fallback)) = (unreachable, shipment.fallback_url)
                    && url != fallback
                    && tried < policy.max_attempts
                {
                    // Another host: there is nothing to wait for.
                    url = fallback;
                    continue;
                }
                (error, fate, retry, None)
            }
        };
        last_fate = fate;
        maybe_counted |= fate == Fate::Unknown;
        let fate = if maybe_counted { Fate::Unknown } else { fate };
        let undelivered = |error| Undelivered { error: with_facts(error, shipment, requests, control), fate };
        if !retry || tried >= policy.max_attempts {
            return Err(undelivered(error));
        }
        let pause = backoff(policy, tried).max(wait.unwrap_or_default());
        if control.remaining().is_none_or(|left| left <= pause) {
            return Err(undelivered(error));
        }
        crate::log::debug(format_args!(
            "request {}: attempt {requests} failed ({error}), repeated in {} ms",
            shipment.request_id,
            pause.as_millis()
        ));
        if !control.wait_until(std::time::Instant::now().checked_add(pause), || false) && control.end().is_some() {
            return Err(undelivered(ended_or_late(control, Phase::Send, "while waiting to repeat the request")));
        }
    }
}

struct Verdict {
    repeat: bool,
    retryable: bool,
    fate: Fate,
}

/// What a status says about counting, and about trying again.
fn judge_status(status: u16, repeatable: bool) -> Verdict {
    match status {
        420 | 429 => Verdict { repeat: true, retryable: true, fate: Fate::Refused },
        408 | 500 | 502 | 503 | 504 => Verdict { repeat: repeatable, retryable: true, fate: Fate::Unknown },
        400..=499 => Verdict { repeat: false, retryable: false, fate: Fate::Refused },
        500.. => Verdict { repeat: false, retryable: false, fate: Fate::Unknown },
        // A redirect is no answer of the Delivery API; whoever sent it counted nothing.
        _ => Verdict { repeat: false, retryable: false, fate: Fate::Refused },
    }
}

fn may_repeat(failure: &Failure, repeatable: bool) -> bool {
    failure.kind == FailureKind::Network && failure.temporary && (!failure.sent || repeatable)
}

/// A wait between nothing and the bound of that attempt, which doubles.
pub(crate) fn backoff(policy: &RetryPolicy, tried: u32) -> Duration {
    let bound = policy.base_delay.saturating_mul(1u32.checked_shl(tried - 1).unwrap_or(u32::MAX)).min(policy.max_delay);
    bound.mul_f64(ids::random_fraction())
}

fn failure_error(failure: Failure, url: &str, control: &CallControl) -> TargetError {
    let host = url.split('/').nth(2).unwrap_or("");
    let message = format!("{host}: {}", failure.message);
    match failure.kind {
        FailureKind::Deadline => TargetError::timeout(
            failure.phase,
            format!("the call's deadline of {} ms passed: {message}", control.timeout().as_millis()),
        ),
        FailureKind::Ended => ended_or_late(control, failure.phase, "while the request was under way"),
        FailureKind::Network => TargetError::network(failure.phase, message, failure.temporary),
        FailureKind::InvalidResponse => TargetError::invalid_response(failure.message),
    }
}

/// The error of a call that ended otherwise than by an answer.
pub(crate) fn ended_or_late(control: &CallControl, phase: Phase, when: &str) -> TargetError {
    use super::control::End;
    let mut error = match control.end() {
        Some(End::Cancelled) => TargetError::cancelled(),
        Some(End::Closed) => TargetError::closed(),
        None => TargetError::timeout(phase, format!("the call's deadline passed {when}")),
    };
    error.details_mut().phase = phase;
    error
}

fn with_facts(mut error: TargetError, shipment: &Shipment<'_>, attempts: u32, control: &CallControl) -> TargetError {
    let details: &mut ErrorDetails = error.details_mut();
    details.request_id = Some(shipment.request_id.to_owned());
    details.attempts = attempts;
    details.elapsed_ms = control.elapsed().as_millis() as u64;
    error
}

/// The `message` of the API's error object, fit for one line.
fn api_message(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let document = Document::parse(text, Strictness::Answer).ok()?;
    let message = document.root().get("message")?.as_str()?;
    let line: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect();
    (!line.trim().is_empty()).then_some(line)
}

/// Seconds or an HTTP date, as a wait from now.
pub(crate) fn parse_retry_after(text: &str, now_ms: i64) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that do not fit still ask for a long wait.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX).min(u64::from(u32::MAX))));
    }
    let at = chrono::DateTime::parse_from_rfc2822(text).ok()?.timestamp_millis();
    Some(Duration::from_millis(u64::try_from(at - now_ms).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::super::control::End;
    use super::super::{GetAnswer, GetRequest};
    use super::*;
    use std::sync::Mutex;

    use crate::sync::lock;

    /// Answers in order and notes the URLs it was asked for.
    struct Script {
        answers: Mutex<Vec<Result<HttpResponse, Failure>>>,
        urls: Mutex<Vec<String>>,
    }

    impl Script {
        fn new(answers: impl IntoIterator<Item = Result<HttpResponse, Failure>>) -> Self {
            let mut answers: Vec<_> = answers.into_iter().collect();
            answers.reverse();
            Script { answers: Mutex::new(answers), urls: Mutex::default() }
        }
    }

    impl Transport for Script {
        fn post(&self, request: &HttpRequest<'_>, _: &Arc<CallControl>) -> Result<HttpResponse, Failure> {
            lock(&self.urls).push(request.url.to_owned());
            lock(&self.answers).pop().expect("no more requests than answers")
        }

        fn get(&self, _: &GetRequest<'_>, _: &Arc<CallControl>) -> Result<GetAnswer, Failure> {
            unreachable!("deliveries are POSTs")
        }
    }

    fn status(status: u16) -> Result<HttpResponse, Failure> {
        Ok(HttpResponse { status, ..Default::default() })
    }

    fn later(status: u16, retry_after: &str) -> Result<HttpResponse, Failure> {
        Ok(HttpResponse { status, retry_after: Some(retry_after.to_owned()), ..Default::default() })
    }

    fn broken(phase: Phase, sent: bool, reused: bool) -> Result<HttpResponse, Failure> {
        let kind = FailureKind::Network;
        let message = "broken".to_owned();
        let unreachable = !sent && matches!(phase, Phase::Resolve | Phase::Connect);
        Err(Failure { kind, phase, message, sent, answered: false, reused, unreachable, temporary: true })
    }

    struct Outcome {
        result: Result<u16, (TargetError, Fate)>,
        urls: Vec<String>,
    }

    fn run(repeatable: bool, answers: impl IntoIterator<Item = Result<HttpResponse, Failure>>) -> Outcome {
        let script = Script::new(answers);
        let control = Arc::new(CallControl::new(Duration::from_secs(5)));
        let policy = RetryPolicy { base_delay: Duration::ZERO, ..Default::default() };
        let shipment = Shipment {
            url: "http://cluster/",
            fallback_url: Some("http://default/"),
            request_id: "r",
            body: "{}",
            repeatable,
        };
        let result = deliver(&script, &shipment, &policy, &control, &Stats::default());
        let urls = lock(&script.urls).clone();
        Outcome { result: result.map(|a| a.status).map_err(|u| (u.error, u.fate)), urls }
    }

    #[test]
    fn refusals_are_final() {
        for code in [400, 401, 403, 404, 409, 413, 415] {
            let outcome = run(true, [status(code)]);
            let (error, fate) = outcome.result.unwrap_err();
            assert_eq!((error.details().http_status, fate, error.is_retryable()), (Some(code), Fate::Refused, false));
        }
    }

    #[test]
    fn throttling_is_repeated_even_for_clicks() {
        assert_eq!(run(false, [status(420), status(429), status(200)]).result.unwrap(), 200);
    }

    #[test]
    fn server_errors_are_repeated_only_where_nothing_counts_twice() {
        for code in [408, 500, 502, 503, 504] {
            assert_eq!(run(true, [status(code), status(204)]).result.unwrap(), 204);
            let (error, fate) = run(false, [status(code)]).result.unwrap_err();
            assert_eq!((fate, error.is_retryable(), error.details().attempts), (Fate::Unknown, true, 1));
        }
    }

    #[test]
    fn attempts_are_bounded() {
        let (error, _) = run(true, [status(503), status(503), status(503)]).result.unwrap_err();
        assert_eq!(error.details().attempts, 3);
    }

    #[test]
    fn a_broken_connection_is_repeated_where_nothing_counts_twice() {
        assert_eq!(run(true, [broken(Phase::Receive, true, false), status(200)]).result.unwrap(), 200);
        let (error, fate) = run(false, [broken(Phase::Receive, true, false)]).result.unwrap_err();
        assert_eq!((fate, error.is_retryable()), (Fate::Unknown, true));
        assert_eq!(run(false, [broken(Phase::Send, false, false), status(200)]).result.unwrap(), 200);
    }

    #[test]
    fn a_stale_connection_is_replaced_without_counting() {
        let stale = || broken(Phase::Receive, true, true);
        assert_eq!(run(true, [stale(), status(503), status(503), status(200)]).result.unwrap(), 200);
        let (_, fate) = run(false, [stale()]).result.unwrap_err();
        assert_eq!(fate, Fate::Unknown);
    }

    #[test]
    fn an_unreachable_cluster_gives_way_to_the_default_host() {
        let outcome = run(false, [broken(Phase::Connect, false, false), status(200)]);
        assert_eq!(outcome.result.unwrap(), 200);
        assert_eq!(outcome.urls, ["http://cluster/", "http://default/"]);
    }

    #[test]
    fn a_host_that_a_proxy_would_not_reach_gives_way_too() {
        let refused = |unreachable| {
            let message = "the proxy answered 403".to_owned();
            let (kind, phase) = (FailureKind::Network, Phase::Proxy);
            Err(Failure {
                kind,
                phase,
                message,
                sent: false,
                answered: false,
                reused: false,
                unreachable,
                temporary: false,
            })
        };
        let outcome = run(false, [refused(true), status(200)]);
        assert_eq!(
            (outcome.result.unwrap(), outcome.urls),
            (200, vec!["http://cluster/".into(), "http://default/".into()])
        );
        let (error, fate) = run(false, [refused(false)]).result.unwrap_err();
        assert_eq!((error.is_retryable(), fate), (false, Fate::NotSent));
    }

    #[test]
    fn what_may_have_been_counted_stays_unknown() {
        let (_, fate) = run(true, [status(503), status(400)]).result.unwrap_err();
        assert_eq!(fate, Fate::Unknown);
        let stale_then_nobody = [broken(Phase::Receive, true, true), broken(Phase::Connect, false, false)]
            .into_iter()
            .chain((0..2).map(|_| broken(Phase::Connect, false, false)));
        let (_, fate) = run(true, stale_then_nobody).result.unwrap_err();
        assert_eq!(fate, Fate::Unknown);
    }

    #[test]
    fn a_retry_after_beyond_the_deadline_fails_at_once() {
        let (error, _) = run(true, [later(503, "60")]).result.unwrap_err();
        assert_eq!(error.details().retry_after_ms, Some(60_000));
        assert!(error.is_retryable());
    }

    #[test]
    fn an_ended_call_sends_nothing() {
        let control = Arc::new(CallControl::new(Duration::from_secs(5)));
        control.end_call(End::Cancelled);
        let script = Script::new([]);
        let shipment = Shipment { url: "", fallback_url: None, request_id: "r", body: "", repeatable: true };
        let undelivered =
            deliver(&script, &shipment, &RetryPolicy::default(), &control, &Stats::default()).err().unwrap();
        assert!(matches!(undelivered.error, TargetError::Cancelled(_)));
        assert_eq!(undelivered.fate, Fate::NotSent);
    }

    #[test]
    fn backoff_is_jittered_below_its_bound() {
        let policy = RetryPolicy::default();
        for tried in 1..40 {
            let bound = Duration::from_millis(100u64.saturating_mul(1 << (tried - 1).min(20))).min(policy.max_delay);
            assert!(backoff(&policy, tried) <= bound);
        }
        let waits: Vec<_> = (0..50).map(|_| backoff(&policy, 3)).collect();
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(parse_retry_after(" 5 ", 0), Some(Duration::from_secs(5)));
        let now = 1_445_412_480_000 - 2_000;
        assert_eq!(parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(Duration::from_secs(2)));
        assert_eq!(parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now + 9_000), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("soon", 0), None);
        let forever = Duration::from_secs(u64::from(u32::MAX));
        assert_eq!(parse_retry_after("99999999999999999999999", 0), Some(forever));
    }

    #[test]
    fn the_edges_message_is_one_short_line() {
        assert_eq!(api_message(b"{\"status\":400,\"message\":\"invalid\\ntoken\"}").unwrap(), "invalid token");
        assert_eq!(api_message(b"<html>"), None);
        let long = format!("{{\"message\":\"{}\"}}", "x".repeat(10_000));
        assert_eq!(api_message(long.as_bytes()).unwrap().len(), 500);
    }
}
