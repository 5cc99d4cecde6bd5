//! One host of the edge: whether it is asked at all, and which sessions want to.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Failures in a row after which a host is left alone for a while.
const TOLERATED: u32 = 5;

/// A session that may be served from then on. The number tells whether it still stands.
pub(super) type Turn = Reverse<(Instant, u64, Arc<str>)>;

#[derive(Debug, Default)]
pub(super) struct Host {
    pub turns: BinaryHeap<Turn>,
    failures: u32,
    /// The circuit is open: nothing goes out before, and then one request to try.
    open_until: Option<Instant>,
    trial: bool,
}

impl Host {
    /// From when on a request may go out; None while one is out to try.
    pub(super) fn opens(&self, now: Instant) -> Option<Instant> {
        match self.open_until {
            None => Some(now),
            Some(_) if self.trial => None,
            Some(until) => Some(until.max(now)),
        }
    }

    pub(super) fn begin(&mut self) {
        self.trial = self.open_until.is_some();
    }

    /// The host answered, whatever it was.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.open_until = None;
        self.trial = false;
    }

    /// It did not, or said that it cannot. `wait` is for how many failures beyond those tolerated there were.
    pub(super) fn failed(&mut self, now: Instant, wait: impl FnOnce(u32) -> Duration) {
        self.trial = false;
        self.failures = self.failures.saturating_add(1);
        if let Some(beyond) = self.failures.checked_sub(TOLERATED) {
            let until = now.checked_add(wait(beyond + 1));
            self.open_until = Some(until.unwrap_or(now).max(self.open_until.unwrap_or(now)));
        }
    }

    /// Nothing was learnt of the host.
    pub(super) fn no_answer_needed(&mut self) {
        self.trial = false;
    }

    /// Somebody is in a hurry: the next trial may be made at once.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let Some(until) = &mut self.open_until {
            *until = (*until).min(now);
        }
    }

    /// Nothing is known of it that a new one would not start with.
    pub(super) fn is_idle(&self) -> bool {
        self.turns.is_empty() && self.failures == 0 && !self.trial
    }
}
