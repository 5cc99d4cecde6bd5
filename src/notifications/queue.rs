//! The queue: what waits, by session, what may go out next, and what an answer makes of it. It knows neither threads
//! nor the network nor a clock; what it has decided stands in its outbox until somebody tells it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::{Batch, Entry, Family, Frame, Notification, Refusal, Spooled, cut};
use super::circuit::Host;
use super::faults::{Faults, Faulty, Found};
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
        let count = notifications.len() as u64;
        self.counts.accepted += count;
        self.counts.pending += count;
        for watch in self.watches.iter_mut().filter(|watch| watch.below == u64::MAX) {
            watch.counts.pending += count;
        }
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
        let count = (kept.len() + lost.len()) as u64;
        self.counts.recovered += count;
        self.counts.pending += count;
        let parts = |one: Spooled| (one.notification, Some(one.ticket), one.is_marked);
        if !lost.is_empty() {
            let entries = lost.into_iter().map(|lost| self.entry(parts(lost), accepted_ms)).collect();
            self.settle(&Arc::new(frame.clone()), entries, Outcome::Dropped(Reason::OutcomeUnknown));
        }
        if !kept.is_empty() {
            self.enter(frame, kept.into_iter().map(parts), accepted_ms, now, now);
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

    /// A batch whose surroundings are refused, to find out whether they still are: one at a time.
    fn take_probe(&mut self, wall_ms: i64, now: Instant) -> Option<Batch> {
        while !self.is_probing {
            let families = self.faults.families.iter().filter(|(_, faulty)| faulty.due <= now);
            let may_go = |(family, faulty): (&Family, &Faulty)| {
                let (at, opens) = self.next_probe(faulty, now)?;
                (opens <= now).then_some((faulty.due, *family, at))
            };
            let (_, family, at) = families.filter_map(may_go).min()?;
            let batch = self.faults.families.get_mut(&family).and_then(|faulty| faulty.waiting.remove(at))?;
            self.waiting -= batch.entries.len();
            if let Some(mut batch) = self.still_in_time(batch, wall_ms) {
                self.is_probing = true;
                self.probed_last = true;
                batch.probe = true;
                self.begin(&mut batch, now);
                return Some(batch);
            }
            self.faults.forget(family);
        }
        None
    }

    /// Which batch of a family goes next, and from when on it may. Rather one of which nothing is known yet.
    fn next_probe(&self, faulty: &Faulty, now: Instant) -> Option<(usize, Instant)> {
        let is_free =
            |batch: &Batch| self.sessions.get(&batch.frame.session_id).is_none_or(|session| !session.in_flight);
        let is_unknown = |batch: &Batch| batch.entries.iter().any(|entry| entry.refusal.is_none());
        let mut waiting = faulty.waiting.iter();
        let unknown = waiting.position(|batch| is_unknown(batch) && is_free(batch));
        let at = unknown.or_else(|| faulty.waiting.iter().position(is_free))?;
        let (opens, _) = self.way(self.policy.host_of(&faulty.waiting.get(at)?.frame), now)?;
        Some((at, opens))
    }

    /// When a batch for a cluster may go out, and whether to the default host instead. None while requests are out to try.
    fn way(&self, cluster: &str, now: Instant) -> Option<(Instant, bool)> {
        let opens = |name: &str| self.hosts.get(name).map_or(Some(now), |host| host.opens(now));
        let own = opens(cluster);
        if cluster.is_empty() || own == Some(now) {
            return own.map(|opens| (opens, false));
        }
        match (own, opens("")) {
            (Some(own), Some(default)) if own <= default => Some((own, false)),
            (own, None) => own.map(|opens| (opens, false)),
            (_, Some(default)) => Some((default, true)),
        }
    }

    fn begin(&mut self, batch: &mut Batch, now: Instant) {
        self.out.push(Arc::clone(&batch.frame.session_id));
        self.sessions.entry(Arc::clone(&batch.frame.session_id)).or_default().in_flight = true;
        let cluster = self.policy.host_of(&batch.frame);
        batch.by_default = self.way(cluster, now).is_some_and(|(_, by_default)| by_default);
        let host = if batch.by_default { "" } else { cluster };
        self.hosts.entry(host.to_owned()).or_default().begin();
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

    /// What an answer makes of a batch that was on its way. Each of its notifications has its attempts counted.
    /// `detour`: its cluster's host could not be reached, and the answer is the default host's.
    pub(super) fn land(&mut self, mut batch: Batch, answer: Answer, detour: bool, now: Instant) {
        let key = Arc::clone(&batch.frame.session_id);
        if let Some(session) = self.sessions.get_mut(&key) {
            session.in_flight = false;
        }
        self.out.retain(|out| *out != key);
        batch.tried = true;
        self.learn_of_hosts(&batch, &answer, detour, now);
        let is_probe = std::mem::take(&mut batch.probe);
        let family = is_probe.then(|| batch.frame.family());
        self.is_probing &= !is_probe;
        match answer {
            Answer::Taken { missing } => self.taken(batch, &missing, now),
            Answer::BadRequest(refusal) => self.bad_request(batch, refusal, now),
            Answer::TooLarge(_) if batch.entries.len() > 1 => {
                if let Some(search) = batch.search {
                    self.faults.halved(search);
                }
                self.halve(batch, now);
            }
            Answer::TooLarge(refusal) | Answer::Refused(refusal) => {
                self.leave_search(&batch);
                self.settle(&batch.frame, batch.entries, Outcome::Rejected(refusal));
            }
            Answer::Later { maybe_counted, asked_for, .. } => {
                if maybe_counted {
                    let lost = split_off(&mut batch.entries, |entry| entry.notification.once);
                    self.settle(&batch.frame, lost, Outcome::Dropped(Reason::OutcomeUnknown));
                }
                if batch.entries.is_empty() {
                    self.leave_search(&batch);
                } else {
                    let asked_for = self.policy.wait_asked_for(asked_for);
                    batch.not_before = Some(after(now, asked_for));
                    batch.due = after(now, backoff(&self.policy.retry, batch.attempts().max(1)).max(asked_for));
                    self.put_back(batch);
                }
            }
        }
        if let Some(family) = family {
            self.faults.forget(family);
        }
        self.schedule(&key);
    }

    fn learn_of_hosts(&mut self, batch: &Batch, answer: &Answer, detour: bool, now: Instant) {
        let retry = self.policy.retry;
        let cluster = self.policy.host_of(&batch.frame);
        if detour {
            let host = self.hosts.entry(cluster.to_owned()).or_default();
            host.failed(now, Duration::ZERO, |beyond| backoff(&retry, beyond));
        }
        let asked = if detour || batch.by_default { "" } else { cluster };
        let host = self.hosts.entry(asked.to_owned()).or_default();
        match answer {
            Answer::Later { host_failed: true, asked_for, .. } => {
                host.failed(now, self.policy.wait_asked_for(*asked_for), |beyond| backoff(&retry, beyond));
            }
            Answer::Later { .. } => host.no_answer_needed(),
            _ => host.succeeded(),
        }
        self.hosts.retain(|_, host| !host.is_idle(now));
    }

    fn faulty(&mut self, batch: &Batch) -> Option<&mut Faulty> {
        if self.faults.families.is_empty() {
            return None;
        }
        self.faults.families.get_mut(&batch.frame.family())
    }

    fn taken(&mut self, mut batch: Batch, missing: &[String], now: Instant) {
        let left_out = split_off(&mut batch.entries, |entry| missing.contains(&entry.notification.id));
        let vouches = !batch.entries.is_empty();
        if let Some(search) = batch.search.take() {
            let found = self.faults.accepted(search);
            self.found(found, now);
        }
        self.surroundings_are_good(&batch.frame, now);
        self.settle(&batch.frame, std::mem::take(&mut batch.entries), Outcome::Acknowledged);
        for mut entry in left_out {
            entry.vouched |= vouches;
            let mut single = batch.with(vec![entry], now);
            single.alone = true;
            single.due = after(now, backoff(&self.policy.retry, single.attempts().max(1)));
            self.put_back(single);
        }
    }

    fn bad_request(&mut self, mut batch: Batch, refusal: Refusal, now: Instant) {
        let retry = self.policy.retry;
        let count = batch.entries.len();
        if let Some(faulty) = self.faulty(&batch) {
            faulty.attempts = faulty.attempts.saturating_add(1);
            faulty.due = after(now, backoff(&retry, faulty.attempts));
            if let [only] = &mut batch.entries[..] {
                only.refusal = Some(refusal);
            }
            return self.hold(batch);
        }
        let is_known_bad = batch.entries.iter().all(|entry| entry.vouched);
        if self.stopped && !self.policy.durable && !is_known_bad {
            // The searches have ended.
            return self.put_back(batch);
        }
        if count > 1 {
            match batch.search {
                Some(search) => self.faults.halved(search),
                None => batch.search = Some(self.faults.search(&batch.frame, 2)),
            }
            return self.halve(batch, now);
        }
        let Some(mut entry) = batch.entries.pop() else { return };
        if entry.vouched {
            self.leave_search(&batch);
            return self.settle(&batch.frame, vec![entry], Outcome::Rejected(refusal));
        }
        entry.refusal = Some(refusal);
        let found = match batch.search {
            Some(search) => self.faults.refused(search, entry),
            None => Found::SharedFault((Arc::clone(&batch.frame), vec![entry])),
        };
        self.found(found, now);
    }

    fn halve(&mut self, mut batch: Batch, now: Instant) {
        let second = batch.entries.split_off(batch.entries.len().div_ceil(2));
        let first = std::mem::take(&mut batch.entries);
        self.put_back(batch.with(second, now));
        self.put_back(batch.with(first, now));
    }

    fn leave_search(&mut self, batch: &Batch) {
        if let Some(search) = batch.search {
            let found = self.faults.left(search);
            self.found(found, batch.due);
        }
    }

    fn found(&mut self, found: Found<(Arc<Frame>, Vec<Entry>)>, now: Instant) {
        match found {
            Found::Nothing => {}
            Found::Bad((frame, entries)) => self.reject_each(&frame, entries),
            Found::SharedFault((frame, entries)) => self.hold_back(frame, entries, now),
        }
    }

    fn reject_each(&mut self, frame: &Arc<Frame>, entries: Vec<Entry>) {
        for mut entry in entries {
            let refusal = entry.refusal.take().unwrap_or_default();
            self.settle(frame, vec![entry], Outcome::Rejected(refusal));
        }
    }

    fn hold_back(&mut self, frame: Arc<Frame>, entries: Vec<Entry>, now: Instant) {
        let retry = self.policy.retry;
        let refusal = entries.first().and_then(|entry| entry.refusal.clone()).unwrap_or_default();
        let ids = super::batch::ids(&entries);
        let mut is_new = false;
        self.faults.families.entry(frame.family()).or_insert_with(|| {
            is_new = true;
            Faulty { attempts: 1, due: after(now, backoff(&retry, 1)), waiting: VecDeque::new() }
        });
        let mut batch = Batch::new(frame, entries, now);
        batch.tried = true;
        if is_new {
            self.outbox.push(Told::SharedFault { ids, refusal });
        }
        self.hold(batch);
    }

    /// Something with these surroundings was taken: whoever is refused alone from now on is bad itself. What was refused
    /// before may have been so for what is mended now, and is tried once more.
    fn surroundings_are_good(&mut self, frame: &Frame, now: Instant) {
        if self.faults.families.is_empty() {
            return;
        }
        let Some(faulty) = self.faults.families.remove(&frame.family()) else { return };
        for mut batch in faulty.waiting {
            self.waiting -= batch.entries.len();
            let key = Arc::clone(&batch.frame.session_id);
            for mut entry in split_off(&mut batch.entries, |entry| entry.refusal.is_some()) {
                entry.refusal = None;
                entry.vouched = true;
                let single = batch.with(vec![entry], now);
                self.put_back(single);
            }
            if !batch.entries.is_empty() {
                batch.due = now;
                self.put_back(batch);
            }
            self.schedule(&key);
        }
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

    /// When the next batch may go out, as things stand.
    pub(super) fn soonest(&self, now: Instant) -> Option<Instant> {
        if self.stopped {
            return None;
        }
        let of_host = |(name, host): (&String, &Host)| Some(host.due(now)?.max(self.way(name, now)?.0));
        let of_family = |faulty: &Faulty| Some(self.next_probe(faulty, now)?.1.max(faulty.due));
        let families = self.faults.families.values().filter(|_| !self.is_probing).filter_map(of_family);
        self.hosts.iter().filter_map(of_host).chain(families).min()
    }

    /// Has what was taken out of a batch on its way wait beside it.
    pub(super) fn set_aside(&mut self, mut batch: Batch, now: Instant) {
        batch.search = None;
        batch.alone = true;
        batch.setbacks = batch.setbacks.saturating_add(1);
        batch.due = after(now, backoff(&self.policy.retry, batch.setbacks));
        self.put_back(batch);
    }

    /// How long until something expires.
    pub(super) fn until_expiry(&self, wall_ms: i64) -> Option<Duration> {
        if self.waiting == 0 || self.stopped || self.policy.time_to_live == i64::MAX {
            return None;
        }
        if self.is_sweeping() {
            return Some(Duration::ZERO);
        }
        // A clock that was set back counts as no time passed.
        let age = wall_ms.saturating_sub(self.oldest_ms).max(0);
        let left = self.policy.time_to_live.saturating_sub(age).max(0);
        Some(Duration::from_millis(left.unsigned_abs()))
    }

    /// Whether some sessions are still to be searched for what has expired.
    pub(super) fn is_sweeping(&self) -> bool {
        !self.sweep.is_empty()
    }

    /// Gives up what has waited too long, whether or not its turn comes; of so many sessions in one go.
    pub(super) fn expire(&mut self, wall_ms: i64) {
        if self.until_expiry(wall_ms).is_none_or(|left| !left.is_zero()) {
            return;
        }
        if self.sweep.is_empty() {
            // What is met on the way counts, and what comes meanwhile.
            self.oldest_ms = i64::MAX;
            self.expire_held(wall_ms);
            self.sweep = self.sessions.keys().cloned().collect();
        }
        for key in self.sweep.split_off(self.sweep.len().saturating_sub(AT_ONCE)) {
            self.expire_of(&key, wall_ms);
        }
    }

    fn expire_held(&mut self, wall_ms: i64) {
        let mut held = Vec::new();
        for batch in self.faults.families.values_mut().flat_map(|faulty| &mut faulty.waiting) {
            let late = split_off(&mut batch.entries, |entry| self.policy.is_expired(entry, wall_ms));
            held.push((Arc::clone(&batch.frame), late));
            self.oldest_ms = self.oldest_ms.min(batch.oldest_ms());
        }
        for (frame, late) in held {
            self.waiting -= late.len();
            self.settle(&frame, late, Outcome::Dropped(Reason::Expired));
        }
        for faulty in self.faults.families.values_mut() {
            faulty.waiting.retain(|batch| !batch.entries.is_empty());
        }
        let is_probing = self.is_probing;
        self.faults.families.retain(|_, faulty| is_probing || !faulty.waiting.is_empty());
    }

    fn expire_of(&mut self, key: &Arc<str>, wall_ms: i64) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let mut late = Vec::new();
        for batch in session.batches() {
            let entries = split_off(&mut batch.entries, |entry| self.policy.is_expired(entry, wall_ms));
            if !entries.is_empty() {
                late.push((Arc::clone(&batch.frame), entries));
            }
            self.oldest_ms = self.oldest_ms.min(batch.oldest_ms());
        }
        if late.is_empty() {
            return;
        }
        let empty: Vec<Batch> = session.drop_empty();
        for (frame, entries) in late {
            self.waiting -= entries.len();
            self.settle(&frame, entries, Outcome::Dropped(Reason::Expired));
        }
        for batch in empty {
            self.leave_search(&batch);
        }
        self.schedule(key);
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

    /// Somebody waits for delivery: nothing lingers, and what waits for another attempt gets it now, as far as the edge
    /// has not asked for more time. Sessions hear of it when there is somebody to serve them: see
    /// [`Queue::give_turns_anew`].
    pub(super) fn hurry(&mut self, now: Instant) {
        let pause = self.policy.retry.base_delay;
        let again = self.hurried.is_none_or(|last| now.saturating_duration_since(last) >= pause);
        if again {
            self.hurried = Some(now);
        }
        for faulty in self.faults.families.values_mut().filter(|_| again) {
            faulty.due = faulty.due.min(now);
        }
        for host in self.hosts.values_mut() {
            host.hurry(now, again, self.last_turn);
        }
        for key in self.out.clone() {
            self.hurry_session(&key, again, now);
        }
    }

    fn hurry_session(&mut self, key: &Arc<str>, again: bool, now: Instant) {
        for batch in self.sessions.get_mut(key).into_iter().flat_map(Session::batches) {
            if again || !batch.tried {
                batch.due = batch.due.min(batch.not_before.map_or(now, |not_before| not_before.max(now)));
            }
        }
        self.schedule(key);
    }

    /// Lets some of those sessions hear of a hurry that it was about.
    fn give_turns_anew(&mut self, now: Instant) {
        for _ in 0..AT_ONCE {
            let Some((turn, again, last_turn)) = self.hosts.values_mut().find_map(Host::next_hurried) else { return };
            let Reverse((_, turn, key)) = turn;
            // Not if it had another one even then.
            if self.sessions.get(&key).is_some_and(|session| session.turn == turn || session.turn > last_turn) {
                self.hurry_session(&key, again, now);
            }
        }
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
