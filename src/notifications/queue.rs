//! The queue in memory: what waits, by session, and what may go out next. It knows neither threads nor the network.
//!
//! A batch is what one decision reports. Those that share session, visitor, property, context and cluster go out
//! together, in the order of their decisions. Requests of one session go one after the other.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::decisioning::decide::Impression;
use crate::json::ObjectWriter;
use crate::transport::control::CallControl;

/// The impressions of one decision.
#[derive(Debug)]
pub(crate) struct ImpressionBatch {
    pub session_id: Arc<str>,
    /// Of the URL.
    pub query: String,
    pub cluster: Option<String>,
    /// Members of the request besides its own id and the notifications.
    pub common: String,
    /// Of an id in `common` that was made for this decision alone, and does not keep it from going out with others.
    pub own_id: Option<Range<usize>>,
    pub notifications: Vec<Impression>,
}

/// How a client's background queue stands. `accepted` is the sum of the next four.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Notifications that the queue took.
    pub accepted: u64,
    /// Answered as processed.
    pub acknowledged: u64,
    /// Refused by the edge.
    pub rejected: u64,
    /// Given up: expired, or the client closed first.
    pub dropped: u64,
    /// Waiting or on their way.
    pub pending: u64,
    /// Of decisions whose impressions the queue did not take; they were handed back.
    pub not_queued: u64,
}

impl QueueStats {
    pub(crate) fn write(&self, out: &mut String) {
        let mut object = ObjectWriter::begin(out);
        object.number("accepted", self.accepted);
        object.number("acknowledged", self.acknowledged);
        object.number("rejected", self.rejected);
        object.number("dropped", self.dropped);
        object.number("pending", self.pending);
        object.number("not_queued", self.not_queued);
        object.end();
    }
}

pub(super) struct Waiting {
    pub batch: ImpressionBatch,
    pub request_id: String,
    pub expires: Instant,
    /// Not to be sent before.
    pub due: Instant,
    pub attempts: u32,
}

/// What waits of one session. It is known while anything of it waits or is on its way.
#[derive(Default)]
pub(super) struct Session {
    pub waiting: VecDeque<Waiting>,
    pub in_flight: bool,
}

/// A session that may be served, by the time of its first batch and then in the order of arrival.
pub(super) type Turn = Reverse<(Instant, u64, Arc<str>)>;

#[derive(Default)]
pub(super) struct State {
    pub sessions: HashMap<Arc<str>, Session>,
    /// Of each session with something that waits and nothing on its way: those whose first batch was not tried yet.
    pub fresh: BinaryHeap<Turn>,
    /// And those whose first batch is to be tried again.
    pub again: BinaryHeap<Turn>,
    pub last_turn: u64,
    /// Batches in all sessions.
    pub waiting: usize,
    pub in_flight: Vec<Arc<CallControl>>,
    pub workers: Vec<JoinHandle<()>>,
    pub idle: usize,
    /// When the worker that went to sleep last wakes by itself.
    pub next_wake: Option<Instant>,
    pub counts: QueueStats,
    /// Set by the first close: no more is taken, and waits are cut short.
    pub closing: bool,
    /// How the counts stood when it began.
    pub at_close: Option<QueueStats>,
    /// A close's time is over: what was not delivered is given up.
    pub expired: bool,
    pub stopped: bool,
}

impl ImpressionBatch {
    /// Whether one request can report both.
    fn goes_with(&self, other: &ImpressionBatch) -> bool {
        self.query == other.query && self.cluster == other.cluster && self.around_id() == other.around_id()
    }

    fn around_id(&self) -> (Option<&str>, Option<&str>) {
        match &self.own_id {
            None => (Some(&self.common), None),
            Some(place) => (self.common.get(..place.start), self.common.get(place.end..)),
        }
    }
}

impl State {
    pub(super) fn push(&mut self, waiting: Waiting) {
        let (session, due) = (Arc::clone(&waiting.batch.session_id), waiting.due);
        let known = self.sessions.entry(Arc::clone(&session)).or_default();
        known.waiting.push_back(waiting);
        let has_turn = known.in_flight || known.waiting.len() > 1;
        self.waiting += 1;
        if !has_turn {
            self.last_turn += 1;
            self.fresh.push(Reverse((due, self.last_turn, session)));
        }
    }

    /// The next batch whose time has come, with what can go out together with it; its session is on its way then.
    pub(super) fn take_due(&mut self, now: Instant, max_batch: usize) -> Option<Waiting> {
        if self.expired {
            return None;
        }
        let rushed = self.closing || self.waiting >= max_batch;
        let is_due = |turns: &BinaryHeap<Turn>| turns.peek().is_some_and(|Reverse((due, ..))| *due <= now);
        let Reverse((_, _, session)) = if is_due(&self.fresh) || (rushed && !self.fresh.is_empty()) {
            self.fresh.pop()
        } else if is_due(&self.again) {
            self.again.pop()
        } else {
            None
        }?;
        let session = self.sessions.get_mut(&session)?;
        let mut first = session.waiting.pop_front()?;
        session.in_flight = true;
        self.waiting -= 1;
        while first.attempts == 0
            && let Some(next) = session.waiting.front()
            && next.attempts == 0
            && next.batch.notifications.len() + first.batch.notifications.len() <= max_batch
            && next.batch.goes_with(&first.batch)
            && let Some(next) = session.waiting.pop_front()
        {
            self.waiting -= 1;
            first.batch.notifications.extend(next.batch.notifications);
        }
        Some(first)
    }

    /// The session's request is over; what is left of it goes first.
    pub(super) fn land(&mut self, session: &Arc<str>, again: Option<Waiting>) {
        let Some(known) = self.sessions.get_mut(session) else { return };
        known.in_flight = false;
        self.waiting += usize::from(again.is_some());
        if let Some(again) = again {
            known.waiting.push_front(again);
        }
        let Some(first) = known.waiting.front() else {
            self.sessions.remove(session);
            return;
        };
        self.last_turn += 1;
        let turn = Reverse((first.due, self.last_turn, Arc::clone(session)));
        if first.attempts == 0 { &mut self.fresh } else { &mut self.again }.push(turn);
    }

    /// When the next batch is due.
    pub(super) fn soonest(&self) -> Option<Instant> {
        let due = |turns: &BinaryHeap<Turn>| turns.peek().map(|Reverse((due, ..))| *due);
        [due(&self.fresh), due(&self.again)].into_iter().flatten().min()
    }

    /// Everything that waits, for good.
    pub(super) fn take_all(&mut self) -> Vec<Waiting> {
        self.fresh.clear();
        self.again.clear();
        self.waiting = 0;
        let sessions = self.sessions.values_mut();
        sessions.flat_map(|session| std::mem::take(&mut session.waiting)).collect()
    }
}

impl State {
    /// Whether anything waits or is on its way.
    pub(super) fn is_busy(&self) -> bool {
        self.counts.pending > 0 || !self.in_flight.is_empty()
    }
}

impl QueueStats {
    pub(super) fn give_up(&mut self, waiting: &Waiting) {
        self.settle(waiting.batch.notifications.len(), |counts| &mut counts.dropped);
    }

    pub(super) fn settle(&mut self, count: usize, outcome: impl FnOnce(&mut QueueStats) -> &mut u64) {
        *outcome(self) += count as u64;
        self.pending -= count as u64;
    }
}

impl ImpressionBatch {
    /// The same as batches of so many notifications at the most.
    pub(super) fn cut(mut self, most: usize) -> Vec<ImpressionBatch> {
        let most = most.max(1);
        let mut batches = Vec::with_capacity(1);
        while self.notifications.len() > most {
            let rest = self.notifications.split_off(most);
            batches.push(ImpressionBatch {
                session_id: Arc::clone(&self.session_id),
                query: self.query.clone(),
                cluster: self.cluster.clone(),
                common: self.common.clone(),
                own_id: self.own_id.clone(),
                notifications: std::mem::replace(&mut self.notifications, rest),
            });
        }
        batches.push(self);
        batches
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.notifications.iter().map(|notification| notification.id.clone()).collect()
    }
}
