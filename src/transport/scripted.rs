//! A transport that tests script: each request takes the next answer.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::control::CallControl;
use super::{Failure, FailureKind, GetAnswer, GetRequest, HttpRequest, HttpResponse, Transport, http::WANTED_HEADERS};
use crate::error::Phase;
use crate::sync::lock;

/// What becomes of a request.
pub(crate) enum Step {
    Answer(GetAnswer),
    Post(HttpResponse),
    /// A broken connection.
    Broken,
    /// Nothing, until the call's time is over or the call ended.
    Silence,
    /// The answer, once the test lets it come.
    Held(Arc<Gate>, Box<Step>),
}

/// Holds an answer back.
#[derive(Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    pub(crate) fn open(&self) {
        *lock(&self.open) = true;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut open = lock(&self.open);
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
    }
}

/// A request as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct State {
    steps: VecDeque<Step>,
    asked: Vec<Asked>,
}

/// Requests beyond the script are silent.
#[derive(Default)]
pub(crate) struct Scripted {
    state: Mutex<State>,
    changed: Condvar,
}

impl Scripted {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Arc<Self> {
        let scripted = Arc::<Self>::default();
        scripted.then(steps);
        scripted
    }

    pub(crate) fn then(&self, steps: impl IntoIterator<Item = Step>) {
        lock(&self.state).steps.extend(steps);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }

    /// The requests, once there are that many.
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Asked> {
        let state = lock(&self.state);
        let wait = self.changed.wait_timeout_while(state, Duration::from_secs(30), |state| state.asked.len() < count);
        let (state, timed_out) = wait.unwrap();
        assert!(!timed_out.timed_out(), "{} of {count} requests came", state.asked.len());
        state.asked.clone()
    }

    fn next(&self, asked: Asked) -> Step {
        let mut state = lock(&self.state);
        state.asked.push(asked);
        self.changed.notify_all();
        state.steps.pop_front().unwrap_or(Step::Silence)
    }
}

fn failure(control: &CallControl, kind: FailureKind) -> Failure {
    let (phase, message) = (Phase::Receive, "scripted".to_owned());
    let temporary = control.end().is_none();
    Failure { kind, phase, message, sent: true, answered: false, reused: false, unreachable: false, temporary }
}

fn play<A>(step: Step, control: &CallControl, take: impl Fn(Step) -> A) -> Result<A, Failure> {
    match step {
        Step::Broken => Err(failure(control, FailureKind::Network)),
        Step::Silence => {
            control.wait_until(None, || false);
            let ended = control.end().is_some();
            Err(failure(control, if ended { FailureKind::Ended } else { FailureKind::Deadline }))
        }
        Step::Held(gate, step) => {
            gate.pass();
            play(*step, control, take)
        }
        answer => Ok(take(answer)),
    }
}

impl Transport for Scripted {
    fn post(&self, request: &HttpRequest<'_>, control: &Arc<CallControl>) -> Result<HttpResponse, Failure> {
        let asked = Asked { url: request.url.to_owned(), headers: Vec::new(), body: request.body.to_owned() };
        play(self.next(asked), control, |step| match step {
            Step::Post(answer) => answer,
            _ => panic!("a POST came where the script has a GET"),
        })
    }

    fn get(&self, request: &GetRequest<'_>, control: &Arc<CallControl>) -> Result<GetAnswer, Failure> {
        let headers = request.headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let asked = Asked { url: request.url.to_owned(), headers, body: String::new() };
        play(self.next(asked), control, |step| match step {
            Step::Answer(answer) => answer,
            _ => panic!("a GET came where the script has a POST"),
        })
    }
}

/// An answer with that status, those headers and that body.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Step {
    let headers = headers
        .iter()
        .map(|(name, value)| (*WANTED_HEADERS.iter().find(|known| *known == name).unwrap(), (*value).to_owned()))
        .collect();
    Step::Answer(GetAnswer { status, headers, body: body.into() })
}
