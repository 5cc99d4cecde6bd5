//! One host of the edge: whether it is asked at all, and which sessions want to.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Failures in a row after which a host is left alone for a while.
const TOLERATED: u32 = 5;

/// After so long, failures that did not open the circuit are forgotten.
const REMEMBERED: Duration = Duration::from_secs(60);

/// A session that may be served from then on. The number tells whether it still stands.
pub(super) type Turn = Reverse<(Instant, u64, Arc<str>)>;

/// Those of one hurry.
#[derive(Debug)]
pub(super) struct Hurried {
    turns: std::vec::IntoIter<Turn>,
    /// Whether what waits for another attempt gets it now.
    pub again: bool,
    /// Of all turns until then.
    pub last_turn: u64,
}

#[derive(Debug, Default)]
pub(super) struct Host {
    pub turns: BinaryHeap<Turn>,
    /// Turns that stood when somebody was in a hurry: they are given anew, a few with each look for work.
    pub hurried: VecDeque<Hurried>,
    failures: u32,
    failed_at: Option<Instant>,
    /// The circuit is open: nothing goes out before, and then one request to try.
    open_until: Option<Instant>,
    /// The host asked not to be asked before, whatever the hurry.
    not_before: Option<Instant>,
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
        self.not_before = None;
        self.trial = false;
    }

    /// It did not, or said that it cannot. `wait` is for how many failures beyond those tolerated there were.
    pub(super) fn failed(&mut self, now: Instant, asked_for: Duration, wait: impl FnOnce(u32) -> Duration) {
        self.trial = false;
        self.failures = self.failures.saturating_add(1);
        self.failed_at = Some(now);
        if let Some(beyond) = self.failures.checked_sub(TOLERATED) {
            let until = now.checked_add(wait(beyond + 1).max(asked_for));
            self.open_until = Some(until.unwrap_or(now).max(self.open_until.unwrap_or(now)));
            self.not_before = now.checked_add(asked_for);
        }
    }

    /// Nothing was learnt of the host.
    pub(super) fn no_answer_needed(&mut self) {
        self.trial = false;
    }

    /// Somebody is in a hurry. `again`: the next trial may be made at once.
    pub(super) fn hurry(&mut self, now: Instant, again: bool, last_turn: u64) {
        if !self.turns.is_empty() {
            // As they lie there the first is the earliest, and the others are near enough to their order.
            let turns = std::mem::take(&mut self.turns).into_vec().into_iter();
            self.hurried.push_back(Hurried { turns, again, last_turn });
        }
        if let Some(until) = self.open_until.as_mut().filter(|_| again) {
            *until = (*until).min(self.not_before.map_or(now, |not_before| not_before.max(now)));
        }
    }

    /// From when on there is something to do.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        if !self.hurried.is_empty() {
            return Some(now);
        }
        self.turns.peek().map(|Reverse((due, ..))| *due)
    }

    /// A session whose turn has to be given anew: its turn, whether again, and the last turn before the hurry.
    pub(super) fn next_hurried(&mut self) -> Option<(Turn, bool, u64)> {
        loop {
            let first = self.hurried.front_mut()?;
            if let Some(turn) = first.turns.next() {
                return Some((turn, first.again, first.last_turn));
            }
            self.hurried.pop_front();
        }
    }

    /// Nothing is known of it that is worth keeping: names of clusters come from visitors' cookies.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let is_over = match (self.open_until, self.failed_at) {
            (Some(until), _) => until <= now,
            (None, Some(at)) => self.failures == 0 || now.saturating_duration_since(at) >= REMEMBERED,
            (None, None) => true,
        };
        self.turns.is_empty() && self.hurried.is_empty() && !self.trial && is_over
    }
}
