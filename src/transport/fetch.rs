//! One GET, from its URL to an answer of any status or an error that names the host.

use std::sync::Arc;
use std::time::Instant;

use super::control::CallControl;
use super::retry::ended_or_late;
use super::{Failure, FailureKind, GetAnswer, GetRequest, Transport};
use crate::error::{Phase, TargetError};

/// Sends once; a connection that died while it was idle is replaced, since that attempt never really began.
pub(crate) fn fetch(
    transport: &dyn Transport,
    request: &GetRequest<'_>,
    control: &Arc<CallControl>,
) -> Result<GetAnswer, TargetError> {
    let began = Instant::now();
    let mut attempts = 0;
    loop {
        if control.end().is_some() || control.remaining().is_none() {
            return Err(ended_or_late(control, Phase::Send, "before the request was sent"));
        }
        attempts += 1;
        let failure = match transport.get(request, control) {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        let stale = failure.kind == FailureKind::Network && failure.reused && !failure.answered;
        if stale && attempts == 1 {
            continue;
        }
        let mut error = error_of(failure, request.url, control);
        let details = error.details_mut();
        details.attempts = attempts;
        details.elapsed_ms = began.elapsed().as_millis() as u64;
        return Err(error);
    }
}

fn error_of(failure: Failure, url: &str, control: &CallControl) -> TargetError {
    let message = format!("{}: {}", host(url), failure.message);
    match failure.kind {
        FailureKind::Deadline => {
            TargetError::timeout(failure.phase, format!("{message} ({} ms)", control.timeout().as_millis()))
        }
        FailureKind::Ended => ended_or_late(control, failure.phase, "while the request was under way"),
        FailureKind::Network => TargetError::network(failure.phase, message, failure.temporary),
        FailureKind::InvalidResponse => TargetError::invalid_response(message),
    }
}

/// What stands in messages of a URL, whose query may be secret.
pub(crate) fn host(url: &str) -> &str {
    url.split('/').nth(2).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::super::control::End;
    use super::super::{HttpRequest, HttpResponse};
    use super::*;
    use crate::sync::lock;
    use std::sync::Mutex;
    use std::time::Duration;

    struct Script(Mutex<Vec<Result<GetAnswer, Failure>>>);

    impl Transport for Script {
        fn post(&self, _: &HttpRequest<'_>, _: &Arc<CallControl>) -> Result<HttpResponse, Failure> {
            unreachable!("fetches are GETs")
        }

        fn get(&self, _: &GetRequest<'_>, _: &Arc<CallControl>) -> Result<GetAnswer, Failure> {
            lock(&self.0).pop().expect("no more requests than answers")
        }
    }

    fn run(control: &Arc<CallControl>, mut answers: Vec<Result<GetAnswer, Failure>>) -> Result<u16, TargetError> {
        answers.reverse();
        let script = Script(Mutex::new(answers));
        let request = GetRequest { url: "https://cdn.test/rules.json?key=secret", headers: &[], max_bytes: 1 };
        let result = fetch(&script, &request, control);
        assert!(lock(&script.0).is_empty(), "every answer was asked for");
        result.map(|answer| answer.status)
    }

    fn control() -> Arc<CallControl> {
        Arc::new(CallControl::new(Duration::from_secs(5)))
    }

    fn broken(reused: bool, answered: bool) -> Result<GetAnswer, Failure> {
        Err(Failure {
            kind: FailureKind::Network,
            phase: Phase::Receive,
            message: "broken".to_owned(),
            sent: true,
            answered,
            reused,
            unreachable: false,
            temporary: true,
        })
    }

    fn status(status: u16) -> Result<GetAnswer, Failure> {
        Ok(GetAnswer { status, ..Default::default() })
    }

    #[test]
    fn a_stale_connection_is_replaced_once() {
        assert_eq!(run(&control(), vec![broken(true, false), status(503)]).unwrap(), 503);
        let error = run(&control(), vec![broken(true, false), broken(true, false)]).unwrap_err();
        assert_eq!((error.details().attempts, error.is_retryable()), (2, true));
    }

    #[test]
    fn other_failures_are_final_and_name_the_host_alone() {
        for failure in [broken(false, false), broken(true, true)] {
            let error = run(&control(), vec![failure]).unwrap_err();
            assert_eq!(error.to_string(), "cdn.test: broken");
        }
    }

    #[test]
    fn what_was_ended_sends_nothing() {
        let control = control();
        control.end_call(End::Closed);
        assert!(matches!(run(&control, vec![]), Err(TargetError::Closed(_))));
    }
}
