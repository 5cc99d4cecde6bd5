//! The queue: what waits, by session, what may go out next, and what an answer makes of it. It knows neither threads
//! nor the network nor a clock; what it has decided stands in its outbox until somebody tells it.

mod expiry;
mod hurry;
mod landing;
mod ways;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::{Batch, Entry, Frame, Notification, Refusal, Spooled, cut};
use super::circuit::Host;
use super::faults::Faults;
use super::spool::Ticket;
use crate::config::RetryPolicy;
use crate::error::DeliveryCounts;
use crate::json::ObjectWriter;
use crate::transport::retry::backoff;

/// Sessions that are looked at in one go: whoever enqueues waits for the lock meanwhile.
const AT_ONCE: usize = 256;

/// How a client's background queue stands. `accepted` and `recovered` are together the sum of the next four.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// Notifications that the queue took.
    pub accepted: u64,
    /// Found in the spool, of processes that ended before they could deliver them.
    pub recovered: u64,
    /// Answered as processed.
    pub acknowledged: u64,
    /// Refused by the edge.
    pub rejected: u64,
    /// Given up: expired, of unknown outcome, or the client closed without a spool.
    pub dropped: u64,
    /// Waiting or on their way. After a close: left in the spool.
    pub pending: u64,
    /// Of decisions whose impressions the queue did not take; they were handed back.
    pub not_queued: u64,
    /// Of the spool on disk; 0 without one.
    pub spool_bytes: u64,
    /// Records of the spool that could not be read.
    pub spool_damaged: u64,
}

impl QueueStats {
    pub(crate) fn write(&self, object: &mut ObjectWriter<'_>) {
        object.number("accepted", self.accepted);
        object.number("recovered", self.recovered);
        object.number("acknowledged", self.acknowledged);
        object.number("rejected", self.rejected);
        object.number("dropped", self.dropped);
        object.number("pending", self.pending);
        object.number("not_queued", self.not_queued);
        object.number("spool_bytes", self.spool_bytes);
        object.number("spool_damaged", self.spool_damaged);
    }
}

/// Why a notification was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Expired,
    OutcomeUnknown,
    Closed,
}

impl Reason {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Reason::Expired => "expired",
            Reason::OutcomeUnknown => "outcome_unknown",
            Reason::Closed => "closed",
        }
    }
}

/// What has become of notifications.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    Acknowledged,
    Rejected(Refusal),
    Dropped(Reason),
}

/// Notifications that are through, of one batch.
#[derive(Debug)]
pub(super) struct Settled {
    pub outcome: Outcome,
    pub frame: Arc<Frame>,
    pub entries: Vec<Entry>,
}

/// What is to be told, counted already.
#[derive(Debug)]
pub(super) enum Told {
    Settled(Settled),
    /// All of a batch were refused alone: the fault is in what they share.
    SharedFault {
        ids: Vec<String>,
        refusal: Refusal,
    },
}

/// What came of a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// A success, which left these ids out.
    Taken { missing: Vec<String> },
    /// 400: one of them is bad, or what is around them.
    BadRequest(Refusal),
    /// 413.
    TooLarge(Refusal),
    /// It is of no use to ask again.
    Refused(Refusal),
    /// It may succeed later.
    Later { maybe_counted: bool, host_failed: bool, asked_for: Option<Duration> },
}

#[derive(Debug, Clone)]
pub(super) struct Policy {
    pub max_batch: usize,
    pub linger: Duration,
    /// In milliseconds.
    pub time_to_live: i64,
    pub retry: RetryPolicy,
    /// What is left at the end stays in a spool.
    pub durable: bool,
    /// Waiting notifications from which on nothing lingers.
    pub pressure: usize,
    /// Whether clusters have hosts of their own.
    pub affinity: bool,
}

/// What waits of one session. It is known while anything of it waits or is on its way.
#[derive(Debug, Default)]
struct Session {
    /// In the order of acceptance; the first holds up the others.
    ordered: VecDeque<Batch>,
    alone: Vec<Batch>,
    in_flight: bool,
    /// Of the turn that stands.
    turn: u64,
}

/// Somebody waits for what was pending at a certain time.
#[derive(Debug)]
struct Watch {
    id: u64,
    /// Numbers below are watched.
    below: u64,
    counts: DeliveryCounts,
}

#[derive(Debug)]
pub(super) struct Queue {
    policy: Policy,
    sessions: HashMap<Arc<str>, Session>,
    /// By cluster; the default host has no name.
    hosts: BTreeMap<String, Host>,
    faults: Faults,
    last_turn: u64,
    next_number: u64,
    waiting: usize,
    /// A lower bound of when what waits was accepted.
    oldest_ms: i64,
    counts: QueueStats,
    watches: Vec<Watch>,
    last_watch: u64,
    hurried: Option<Instant>,
    /// Sessions of which something is on its way.
    out: Vec<Arc<str>>,
    /// One of them finds out about a family.
    is_probing: bool,
    probed_last: bool,
    /// Sessions that are still to be searched for what has expired.
    sweep: Vec<Arc<str>>,
    outbox: Vec<Told>,
    /// Nothing more goes out.
    stopped: bool,
}

impl Session {
    /// Of the batch that goes next: when it is due, and where it goes.
    fn next(&self) -> Option<&Batch> {
        self.ordered.front().into_iter().chain(&self.alone).min_by_key(|batch| batch.due)
    }

    fn take_next(&mut self) -> Option<Batch> {
        let due = self.next()?.due;
        if self.ordered.front().is_some_and(|first| first.due == due) {
            return self.ordered.pop_front();
        }
        let at = self.alone.iter().position(|batch| batch.due == due)?;
        Some(self.alone.swap_remove(at))
    }

    /// Whether so many notifications wait for their first attempt. Looks at no more than these.
    fn has_fresh(&self, count: usize) -> bool {
        let mut seen = 0;
        self.ordered.iter().filter(|batch| !batch.tried).any(|batch| {
            seen += batch.entries.len();
            seen >= count
        })
    }

    fn batches(&mut self) -> impl Iterator<Item = &mut Batch> {
        self.ordered.iter_mut().chain(&mut self.alone)
    }

    fn drain(&mut self) -> impl Iterator<Item = Batch> {
        self.ordered.drain(..).chain(self.alone.drain(..))
    }

    /// Takes out the batches of which nothing is left.
    fn drop_empty(&mut self) -> Vec<Batch> {
        let (empty, ordered) = self.ordered.drain(..).partition(|batch| batch.entries.is_empty());
        self.ordered = ordered;
        let mut empty: VecDeque<Batch> = empty;
        empty.extend(self.alone.extract_if(.., |batch| batch.entries.is_empty()));
        empty.into()
    }
}

impl Queue {
    pub(super) fn new(policy: Policy) -> Self {
        Queue {
            policy,
            sessions: HashMap::new(),
            hosts: BTreeMap::new(),
            faults: Faults::default(),
            last_turn: 0,
            next_number: 0,
            waiting: 0,
            oldest_ms: i64::MAX,
            counts: QueueStats::default(),
            watches: Vec::new(),
            last_watch: 0,
            hurried: None,
            out: Vec::new(),
            is_probing: false,
            probed_last: false,
            sweep: Vec::new(),
            outbox: Vec::new(),
            stopped: false,
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn counts(&self) -> QueueStats {
        self.counts
    }

    pub(super) fn handed_back(&mut self, count: u64) {
        self.counts.not_queued += count;
    }

    pub(super) fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.outbox)
    }

    /// Takes notifications over.
    pub(super) fn accept(
        &mut self,
        frame: Frame,
        notifications: Vec<Notification>,
        tickets: Option<Vec<Ticket>>,
        wall_ms: i64,
        now: Instant,
    ) {
        self.counts.accepted += notifications.len() as u64;
        self.begins_to_pend(notifications.len());
        let mut tickets = tickets.into_iter().flatten();
        let entries = notifications.into_iter().map(|notification| {
            let ticket = tickets.next();
            let is_marked = notification.once && ticket.is_some();
            (notification, ticket, is_marked)
        });
        let hurries = self.waiting >= self.policy.pressure;
        let due = if hurries { now } else { after(now, self.policy.linger) };
        self.enter(frame, entries, wall_ms, due, now);
    }

    /// Takes over what a spool has kept. `lost` has what cannot be sent again, since it may have been counted.
    pub(super) fn recover(
        &mut self,
        frame: Frame,
        kept: Vec<Spooled>,
        lost: Vec<Spooled>,
        accepted_ms: i64,
        now: Instant,
    ) {
        let count = kept.len() + lost.len();
        self.counts.recovered += count as u64;
        self.begins_to_pend(count);
        let parts = |one: Spooled| (one.notification, Some(one.ticket), one.is_marked);
        if !lost.is_empty() {
            let entries = lost.into_iter().map(|lost| self.entry(parts(lost), accepted_ms)).collect();
            self.settle(&Arc::new(frame.clone()), entries, Outcome::Dropped(Reason::OutcomeUnknown));
        }
        if !kept.is_empty() {
            self.enter(frame, kept.into_iter().map(parts), accepted_ms, now, now);
        }
    }

    fn begins_to_pend(&mut self, count: usize) {
        let count = count as u64;
        self.counts.pending += count;
        for watch in self.watches.iter_mut().filter(|watch| watch.below == u64::MAX) {
            watch.counts.pending += count;
        }
    }

    fn entry(
        &mut self,
        (notification, ticket, is_marked): (Notification, Option<Ticket>, bool),
        accepted_ms: i64,
    ) -> Entry {
        let number = self.next_number;
        self.next_number += 1;
        Entry { notification, number, accepted_ms, attempts: 0, ticket, is_marked, refusal: None, vouched: false }
    }

    fn enter(
        &mut self,
        frame: Frame,
        notifications: impl IntoIterator<Item = (Notification, Option<Ticket>, bool)>,
        accepted_ms: i64,
        due: Instant,
        now: Instant,
    ) {
        let frame = Arc::new(frame);
        let entries: Vec<Entry> = notifications.into_iter().map(|one| self.entry(one, accepted_ms)).collect();
        self.waiting += entries.len();
        self.oldest_ms = self.oldest_ms.min(accepted_ms);
        let key = Arc::clone(&frame.session_id);
        let session = self.sessions.entry(Arc::clone(&key)).or_default();
        let was_next = session.next().map(|batch| batch.due);
        for part in cut(entries, self.policy.max_batch) {
            let part = Batch::new(Arc::clone(&frame), part, due);
            // What goes out together waits together: it needs its surroundings once.
            let left = match session.ordered.back_mut() {
                Some(last) => last.absorb(part, self.policy.max_batch).err(),
                None => Some(part),
            };
            session.ordered.extend(left);
        }
        // A request's worth has nothing to wait for.
        if session.has_fresh(self.policy.max_batch)
            && let Some(first) = session.ordered.front_mut().filter(|first| !first.tried)
        {
            first.due = first.due.min(now);
        }
        if was_next != session.next().map(|batch| batch.due) {
            self.schedule(&key);
        }
    }

    /// Gives a session its turn, or forgets it when nothing of it is left.
    fn schedule(&mut self, key: &Arc<str>) {
        let Some(session) = self.sessions.get_mut(key).filter(|session| !session.in_flight) else { return };
        let Some(next) = session.next() else {
            self.sessions.remove(key);
            return;
        };
        let (due, host) = (next.due, self.policy.host_of(&next.frame).to_owned());
        self.last_turn += 1;
        session.turn = self.last_turn;
        self.hosts.entry(host).or_default().turns.push(Reverse((due, self.last_turn, Arc::clone(key))));
    }

    /// The next batch whose time has come, with what can go out together with it. Its session is on its way then.
    pub(super) fn take(&mut self, wall_ms: i64, now: Instant) -> Option<Batch> {
        if self.stopped {
            return None;
        }
        self.give_turns_anew(now);
        // Requests that will be refused are not to take the place of good ones, nor the other way round.
        let is_probes_turn = !std::mem::replace(&mut self.probed_last, false);
        let probe = if is_probes_turn { self.take_probe(wall_ms, now) } else { None };
        let taken = probe.or_else(|| self.take_turn(wall_ms, now));
        if taken.is_some() || is_probes_turn { taken } else { self.take_probe(wall_ms, now) }
    }

    fn take_turn(&mut self, wall_ms: i64, now: Instant) -> Option<Batch> {
        loop {
            let (_, host) = self
                .hosts
                .iter()
                .filter_map(|(name, host)| host.turns.peek().map(|Reverse((due, ..))| (*due, name)))
                .filter(|(due, name)| *due <= now && self.way(name, now).is_some_and(|(opens, _)| opens <= now))
                .min()?;
            let host = host.clone();
            let Some(Reverse((_, turn, key))) = self.hosts.get_mut(&host).and_then(|host| host.turns.pop()) else {
                continue;
            };
            let is_his_turn = |session: &&mut Session| session.turn == turn && !session.in_flight;
            let Some(session) = self.sessions.get_mut(&key).filter(is_his_turn) else { continue };
            let Some(batch) = session.take_next() else { continue };
            self.waiting -= batch.entries.len();
            if let Some(batch) = self.still_in_time(batch, wall_ms)
                && let Some(batch) = self.not_held_back(batch)
            {
                let mut batch = self.joined(batch, &key);
                self.begin(&mut batch, now);
                return Some(batch);
            }
            self.schedule(&key);
        }
    }

    /// The batch without what has expired.
    fn still_in_time(&mut self, mut batch: Batch, wall_ms: i64) -> Option<Batch> {
        let late = split_off(&mut batch.entries, |entry| self.policy.is_expired(entry, wall_ms));
        self.settle(&batch.frame, late, Outcome::Dropped(Reason::Expired));
        if batch.entries.is_empty() {
            self.leave_search(&batch);
            return None;
        }
        Some(batch)
    }

    /// Requests whose surroundings are refused wait beside their sessions.
    fn not_held_back(&mut self, batch: Batch) -> Option<Batch> {
        if self.faulty(&batch).is_none() {
            return Some(batch);
        }
        self.hold(batch);
        None
    }

    fn hold(&mut self, mut batch: Batch) {
        self.leave_search(&batch);
        (batch.search, batch.alone, batch.probe) = (None, true, false);
        self.oldest_ms = self.oldest_ms.min(batch.oldest_ms());
        let count = batch.entries.len();
        let is_over = self.stopped && !self.policy.durable;
        match self.faulty(&batch).filter(|_| !is_over) {
            Some(faulty) => {
                faulty.waiting.push_back(batch);
                self.waiting += count;
            }
            None => self.put_back(batch),
        }
    }

    fn joined(&mut self, mut batch: Batch, key: &Arc<str>) -> Batch {
        let Some(session) = self.sessions.get_mut(key).filter(|_| !batch.tried && !batch.alone) else { return batch };
        while let Some(next) = session.ordered.pop_front() {
            let count = next.entries.len();
            if let Err(next) = batch.absorb(next, self.policy.max_batch) {
                session.ordered.push_front(next);
                break;
            }
            self.waiting -= count;
        }
        batch
    }

    /// Has it wait, before what came after it.
    fn put_back(&mut self, batch: Batch) {
        if self.stopped && !self.policy.durable {
            return self.settle(&batch.frame, batch.entries, Outcome::Dropped(Reason::Closed));
        }
        self.oldest_ms = self.oldest_ms.min(batch.oldest_ms());
        self.waiting += batch.entries.len();
        let session = self.sessions.entry(Arc::clone(&batch.frame.session_id)).or_default();
        if batch.alone {
            session.alone.push(batch);
        } else {
            session.ordered.push_front(batch);
        }
    }

    fn settle(&mut self, frame: &Arc<Frame>, entries: Vec<Entry>, outcome: Outcome) {
        if entries.is_empty() {
            return;
        }
        let count = entries.len() as u64;
        self.counts.pending -= count;
        *match outcome {
            Outcome::Acknowledged => &mut self.counts.acknowledged,
            Outcome::Rejected(_) => &mut self.counts.rejected,
            Outcome::Dropped(_) => &mut self.counts.dropped,
        } += count;
        for watch in &mut self.watches {
            let count = entries.iter().filter(|entry| entry.number < watch.below).count() as u64;
            watch.counts.pending -= count;
            *match outcome {
                Outcome::Acknowledged => &mut watch.counts.acknowledged,
                Outcome::Rejected(_) => &mut watch.counts.rejected,
                Outcome::Dropped(_) => &mut watch.counts.dropped,
            } += count;
        }
        self.outbox.push(Told::Settled(Settled { outcome, frame: Arc::clone(frame), entries }));
    }

    /// Has what was taken out of a batch on its way wait beside it.
    pub(super) fn set_aside(&mut self, mut batch: Batch, now: Instant) {
        batch.search = None;
        batch.alone = true;
        batch.setbacks = batch.setbacks.saturating_add(1);
        batch.due = after(now, backoff(&self.policy.retry, batch.setbacks));
        self.put_back(batch);
    }

    /// Begins to count what becomes of all that is pending.
    pub(super) fn watch(&mut self) -> u64 {
        self.watch_below(self.next_number)
    }

    /// The same, and of all that comes from now on.
    pub(super) fn watch_all(&mut self) -> u64 {
        self.watch_below(u64::MAX)
    }

    fn watch_below(&mut self, below: u64) -> u64 {
        self.last_watch += 1;
        let counts = DeliveryCounts { pending: self.counts.pending, ..Default::default() };
        self.watches.push(Watch { id: self.last_watch, below, counts });
        self.last_watch
    }

    /// Whether nothing is left but what is refused whatever is in it, and has been tried since the last hurry.
    pub(super) fn is_only_held(&self, now: Instant) -> bool {
        let held = self.faults.families.values();
        let waits = held.clone().map(|faulty| faulty.waiting.iter().map(|batch| batch.entries.len()).sum::<usize>());
        !self.is_probing
            && self.waiting > 0
            && waits.sum::<usize>() == self.waiting
            && held.clone().all(|faulty| faulty.due > now)
    }

    /// How it stands, and the number below which notifications are watched.
    pub(super) fn watched(&self, id: u64) -> (DeliveryCounts, u64) {
        let watch = self.watches.iter().find(|watch| watch.id == id);
        watch.map_or_else(Default::default, |watch| (watch.counts, watch.below))
    }

    pub(super) fn end_watch(&mut self, id: u64) {
        self.watches.retain(|watch| watch.id != id);
    }

    /// From here on nothing goes out. Without a spool what waits is given up.
    pub(super) fn stop(&mut self) {
        if std::mem::replace(&mut self.stopped, true) || self.policy.durable {
            return;
        }
        self.hosts.clear();
        self.sweep.clear();
        let held = self.faults.families.drain().flat_map(|(_, faulty)| faulty.waiting);
        let left: Vec<Batch> = self.sessions.values_mut().flat_map(Session::drain).chain(held).collect();
        self.sessions.retain(|_, session| session.in_flight);
        self.waiting = 0;
        for (frame, entries) in self.faults.end_searches() {
            self.settle(&frame, entries, Outcome::Dropped(Reason::Closed));
        }
        for batch in left {
            self.settle(&batch.frame, batch.entries, Outcome::Dropped(Reason::Closed));
        }
    }
}

impl Policy {
    /// Where a batch goes: the name of its cluster, or nothing for the default host.
    fn host_of<'f>(&self, frame: &'f Frame) -> &'f str {
        frame.cluster.as_deref().filter(|_| self.affinity).unwrap_or("")
    }

    /// The edge may ask for a wait, but not for any length of it.
    fn wait_asked_for(&self, asked_for: Option<Duration>) -> Duration {
        asked_for.unwrap_or_default().min(self.retry.max_delay.saturating_mul(10))
    }

    fn is_expired(&self, entry: &Entry, wall_ms: i64) -> bool {
        self.time_to_live != i64::MAX && wall_ms.saturating_sub(entry.accepted_ms) >= self.time_to_live
    }
}

/// Takes those out of a list that it is true of; both keep their order.
fn split_off(entries: &mut Vec<Entry>, is_meant: impl Fn(&Entry) -> bool) -> Vec<Entry> {
    entries.extract_if(.., |entry| is_meant(entry)).collect()
}

/// An instant that far from another; none is too far.
pub(super) fn after(from: Instant, time: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    from.checked_add(time.min(FAR)).unwrap_or(from)
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
