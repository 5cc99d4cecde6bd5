//! A bounded queue in memory and the threads that empty it.
//!
//! A batch is what one decision reports. Those that share session, visitor, property, context and cluster go out
//! together, in the order of their decisions. Requests of one session go one after the other. What may succeed later is sent again, with
//! backoff, until its time to live; its `impressionId`s keep it from counting twice. No lock is held while sending.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::config::{ClientConfig, RetryPolicy};
use crate::decisioning::decide::Impression;
use crate::delivery::normalize::impressions_body;
use crate::edge::Edge;
use crate::envelope::{Acknowledgement, Answer, acknowledge};
use crate::error::{DeliveryCounts, TargetError};
use crate::ids;
use crate::json::ObjectWriter;
use crate::process;
use crate::sync::lock;
use crate::transport::control::{CallControl, End};
use crate::transport::retry::{Shipment, Undelivered, backoff, deliver};

/// Threads are only started for so much work.
const MAX_WORKERS: u64 = 32;
const DEFAULT_TIME_TO_LIVE: Duration = Duration::from_millis(1_800_000);

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

struct Waiting {
    batch: ImpressionBatch,
    request_id: String,
    expires: Instant,
    /// Not to be sent before.
    due: Instant,
    attempts: u32,
}

/// What waits of one session. It is known while anything of it waits or is on its way.
#[derive(Default)]
struct Session {
    waiting: VecDeque<Waiting>,
    in_flight: bool,
}

/// A session that may be served, by the time of its first batch and then in the order of arrival.
type Turn = Reverse<(Instant, u64, Arc<str>)>;

#[derive(Default)]
struct State {
    sessions: HashMap<Arc<str>, Session>,
    /// Of each session with something that waits and nothing on its way.
    turns: BinaryHeap<Turn>,
    last_turn: u64,
    /// Batches in all sessions.
    waiting: usize,
    in_flight: Vec<Arc<CallControl>>,
    workers: Vec<JoinHandle<()>>,
    idle: usize,
    /// When the worker that went to sleep last wakes by itself.
    next_wake: Option<Instant>,
    counts: QueueStats,
    /// Set by the first close: no more is taken, and waits are cut short.
    closing: bool,
    /// How the counts stood when it began.
    at_close: Option<QueueStats>,
    stopped: bool,
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
    fn push(&mut self, waiting: Waiting) {
        let (session, due) = (Arc::clone(&waiting.batch.session_id), waiting.due);
        let known = self.sessions.entry(Arc::clone(&session)).or_default();
        known.waiting.push_back(waiting);
        let has_turn = known.in_flight || known.waiting.len() > 1;
        self.waiting += 1;
        if !has_turn {
            self.add_turn(due, session);
        }
    }

    fn add_turn(&mut self, due: Instant, session: Arc<str>) {
        self.last_turn += 1;
        self.turns.push(Reverse((due, self.last_turn, session)));
    }

    /// The next batch whose time has come, with what can go out together with it; its session is on its way then.
    fn take_due(&mut self, now: Instant, settings: &Settings) -> Option<Waiting> {
        let Reverse((due, _, session)) = self.turns.peek()?;
        let session = self.sessions.get_mut(session)?;
        let rushed = self.closing || self.waiting >= settings.max_batch;
        let is_first_attempt = session.waiting.front().is_some_and(|first| first.attempts == 0);
        if *due > now && !(rushed && is_first_attempt) {
            return None;
        }
        self.turns.pop();
        session.in_flight = true;
        let mut first = session.waiting.pop_front()?;
        self.waiting -= 1;
        while first.attempts == 0
            && let Some(next) = session.waiting.front()
            && next.attempts == 0
            && next.batch.notifications.len() + first.batch.notifications.len() <= settings.max_batch
            && next.batch.goes_with(&first.batch)
            && let Some(next) = session.waiting.pop_front()
        {
            self.waiting -= 1;
            first.batch.notifications.extend(next.batch.notifications);
        }
        Some(first)
    }

    /// The session's request is over; what is left of it goes first.
    fn land(&mut self, session: &Arc<str>, again: Option<Waiting>) {
        let Some(known) = self.sessions.get_mut(session) else { return };
        known.in_flight = false;
        self.waiting += usize::from(again.is_some());
        if let Some(again) = again {
            known.waiting.push_front(again);
        }
        match known.waiting.front().map(|first| first.due) {
            Some(due) => self.add_turn(due, Arc::clone(session)),
            None => _ = self.sessions.remove(session),
        }
    }

    /// Everything that waits, for good.
    fn take_all(&mut self) -> Vec<Waiting> {
        self.turns.clear();
        self.waiting = 0;
        let sessions = self.sessions.values_mut();
        sessions.flat_map(|session| std::mem::take(&mut session.waiting)).collect()
    }
}

/// What the threads need besides the queue.
struct Settings {
    edge: Arc<Edge>,
    max_queued: u64,
    max_batch: usize,
    workers: usize,
    linger: Duration,
    time_to_live: Duration,
    retry: RetryPolicy,
    timeout: Duration,
}

struct Shared {
    state: Mutex<State>,
    /// Wakes workers.
    changed: Condvar,
    /// Wakes those who close, once they do.
    ended: Condvar,
    settings: Settings,
}

/// The sender of one client. Its threads start with the first batch.
pub(crate) struct ImpressionSender(Arc<Shared>);

impl ImpressionSender {
    pub(crate) fn new(config: &ClientConfig, edge: &Arc<Edge>) -> Self {
        let queue = &config.notifications;
        ImpressionSender(Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            ended: Condvar::new(),
            settings: Settings {
                edge: Arc::clone(edge),
                max_queued: queue.max_queued,
                max_batch: usize::try_from(queue.max_batch).unwrap_or(usize::MAX),
                workers: queue.workers.clamp(1, MAX_WORKERS) as usize,
                linger: queue.flush_interval,
                time_to_live: queue.time_to_live.unwrap_or(DEFAULT_TIME_TO_LIVE),
                retry: RetryPolicy {
                    max_attempts: u32::MAX,
                    base_delay: queue.retry_base_delay,
                    max_delay: queue.retry_max_delay,
                },
                timeout: config.timeout,
            },
        }))
    }

    /// Takes a batch, or nothing of it: then its notifications come back.
    pub(crate) fn submit(&self, batch: ImpressionBatch) -> Result<(), Vec<Impression>> {
        let shared = &self.0;
        let count = batch.notifications.len() as u64;
        let now = Instant::now();
        let expires = now.checked_add(shared.settings.time_to_live).unwrap_or(now + DEFAULT_TIME_TO_LIVE);
        let due = now + shared.settings.linger;
        let request_id = ids::uuid();
        let mut state = lock(&shared.state);
        if state.closing || state.counts.pending.saturating_add(count) > shared.settings.max_queued {
            state.counts.not_queued += count;
            return Err(batch.notifications);
        }
        state.push(Waiting { batch, request_id, expires, due, attempts: 0 });
        state.counts.accepted += count;
        state.counts.pending += count;
        let starts_worker = state.idle == 0 && state.workers.len() < shared.settings.workers;
        if starts_worker {
            let for_thread = Arc::clone(shared);
            let thread = std::thread::Builder::new().name("target-sender".into()).spawn(move || work(&for_thread));
            match thread {
                Ok(thread) => state.workers.push(thread),
                Err(error) if state.workers.is_empty() => {
                    crate::log::error(format_args!("no thread for impressions, they wait: {error}"));
                }
                Err(_) => {}
            }
        }
        // A worker that wakes in time anyhow finds this batch then.
        let wakes =
            state.idle > 0 && (state.next_wake.is_none_or(|at| due < at) || state.waiting == shared.settings.max_batch);
        drop(state);
        if wakes {
            shared.changed.notify_one();
        }
        Ok(())
    }

    pub(crate) fn stats(&self) -> QueueStats {
        lock(&self.0.state).counts
    }

    /// Takes no more, sends what waits without lingering, and drops what is left at the deadline. A second close waits
    /// likewise and answers the same counts, which are of what was pending when the first one began.
    pub(crate) fn close(&self, deadline: Option<Instant>) -> DeliveryCounts {
        let shared = &self.0;
        let mut state = lock(&shared.state);
        let counts = state.counts;
        let before = *state.at_close.get_or_insert(counts);
        state.closing = true;
        shared.changed.notify_all();
        while state.is_busy() && !state.workers.is_empty() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            state = match left {
                Some(left) if left.is_zero() => break,
                Some(left) => shared.ended.wait_timeout(state, left).unwrap_or_else(|e| e.into_inner()).0,
                None => shared.ended.wait(state).unwrap_or_else(|e| e.into_inner()),
            };
        }
        let late = state.take_all();
        for waiting in &late {
            state.counts.give_up(waiting);
        }
        let in_flight = state.in_flight.clone();
        drop(state);
        for waiting in &late {
            shared.settings.emit_dropped(waiting, "closed");
        }
        for control in in_flight {
            control.end_call(End::Closed);
        }
        let mut state = lock(&shared.state);
        while state.is_busy() && !state.workers.is_empty() {
            state = shared.ended.wait(state).unwrap_or_else(|e| e.into_inner());
        }
        DeliveryCounts {
            acknowledged: state.counts.acknowledged - before.acknowledged,
            rejected: state.counts.rejected - before.rejected,
            dropped: state.counts.dropped - before.dropped,
            pending: state.counts.pending,
        }
    }

    /// Ends the threads; whatever waits stays where it is. Joins unless the calling thread may be waited for.
    pub(crate) fn stop(&self, join: bool) {
        let workers = {
            let mut state = lock(&self.0.state);
            state.closing = true;
            state.stopped = true;
            for control in &state.in_flight {
                control.end_call(End::Closed);
            }
            std::mem::take(&mut state.workers)
        };
        self.0.changed.notify_all();
        for worker in workers.into_iter().filter(|_| join) {
            // Nothing is to be learnt from the result.
            let _ = worker.join();
        }
        self.0.ended.notify_all();
    }
}

impl State {
    /// Whether anything waits or is on its way.
    fn is_busy(&self) -> bool {
        self.counts.pending > 0 || !self.in_flight.is_empty()
    }
}

impl QueueStats {
    fn give_up(&mut self, waiting: &Waiting) {
        self.settle(waiting.batch.notifications.len(), |counts| &mut counts.dropped);
    }

    fn settle(&mut self, count: usize, outcome: impl FnOnce(&mut QueueStats) -> &mut u64) {
        *outcome(self) += count as u64;
        self.pending -= count as u64;
    }
}

fn work(shared: &Shared) {
    process::enter_library_thread();
    let settings = &shared.settings;
    let mut state = lock(&shared.state);
    while !state.stopped {
        let now = Instant::now();
        let Some(waiting) = state.take_due(now, settings) else {
            let soonest = state.turns.peek().map(|Reverse((due, ..))| *due).filter(|due| *due > now);
            state.idle += 1;
            state.next_wake = soonest;
            state = match soonest {
                Some(due) => {
                    let left = due.saturating_duration_since(now);
                    shared.changed.wait_timeout(state, left).unwrap_or_else(|e| e.into_inner()).0
                }
                // The end of a request, or a submission, wakes.
                None => shared.changed.wait(state).unwrap_or_else(|e| e.into_inner()),
            };
            state.idle -= 1;
            continue;
        };
        let session = Arc::clone(&waiting.batch.session_id);
        if waiting.expires <= now {
            state.counts.give_up(&waiting);
            state.land(&session, None);
            drop(state);
            settings.emit_dropped(&waiting, "expired");
            state = lock(&shared.state);
        } else {
            let control = Arc::new(CallControl::new(settings.timeout));
            state.in_flight.push(Arc::clone(&control));
            drop(state);
            let outcome = settings.send(&waiting, &control);
            let verdict = Verdict::of(outcome, waiting, &control, settings);
            verdict.emit(settings);
            state = lock(&shared.state);
            state.in_flight.retain(|other| !Arc::ptr_eq(other, &control));
            state.counts.settle(verdict.acknowledged.len(), |counts| &mut counts.acknowledged);
            match verdict.rest {
                Rest::None => state.land(&session, None),
                Rest::Rejected(batch, _) => {
                    state.counts.settle(batch.batch.notifications.len(), |counts| &mut counts.rejected);
                    state.land(&session, None);
                }
                Rest::Closed(batch) => {
                    state.counts.give_up(&batch);
                    state.land(&session, None);
                }
                Rest::Again(batch) if state.stopped => {
                    state.counts.give_up(&batch);
                    state.land(&session, None);
                }
                Rest::Again(batch) => state.land(&session, Some(batch)),
            }
        }
        if state.closing {
            shared.changed.notify_all();
            shared.ended.notify_all();
        } else if state.idle > 0 && state.turns.len() > 1 {
            shared.changed.notify_one();
        }
    }
}

/// What became of a batch that was sent.
struct Verdict {
    session: Arc<str>,
    attempts: u32,
    acknowledged: Vec<String>,
    error: Option<TargetError>,
    rest: Rest,
}

/// What a request did not settle.
enum Rest {
    None,
    /// The edge will not take it.
    Rejected(Waiting, TargetError),
    /// The client was closed first.
    Closed(Waiting),
    /// It waits for another attempt.
    Again(Waiting),
}

impl Verdict {
    fn of(
        outcome: Result<Acknowledgement, Undelivered>,
        mut waiting: Waiting,
        control: &CallControl,
        settings: &Settings,
    ) -> Verdict {
        waiting.attempts += 1;
        let (session, attempts) = (Arc::clone(&waiting.batch.session_id), waiting.attempts);
        let (acknowledged, error) = match outcome {
            Ok(acknowledgement) => {
                waiting.batch.notifications.retain(|one| acknowledgement.unacknowledged.contains(&one.id));
                (acknowledgement.acknowledged, None)
            }
            Err(Undelivered { error, .. }) => (Vec::new(), Some(error)),
        };
        let retryable = error.as_ref().is_none_or(TargetError::is_retryable);
        let rest = if waiting.batch.notifications.is_empty() {
            Rest::None
        } else if control.end().is_some() {
            Rest::Closed(waiting)
        } else if let (false, Some(error)) = (retryable, &error) {
            Rest::Rejected(waiting, error.clone())
        } else {
            // The edge may ask for a wait, but not for any length of it.
            let asked = error.as_ref().and_then(|error| error.details().retry_after_ms).unwrap_or(0);
            let asked = Duration::from_millis(asked).min(settings.retry.max_delay.saturating_mul(10));
            waiting.due = Instant::now() + backoff(&settings.retry, attempts).max(asked);
            Rest::Again(waiting)
        };
        Verdict { session, attempts, acknowledged, error, rest }
    }

    fn emit(&self, settings: &Settings) {
        if !self.acknowledged.is_empty() {
            settings.emit("notification_acknowledged", &self.session, self.attempts, &self.acknowledged, |_| {});
        }
        let (rest, closed) = match &self.rest {
            Rest::None => return,
            Rest::Rejected(rest, _) | Rest::Again(rest) => (rest, false),
            Rest::Closed(rest) => (rest, true),
        };
        if closed {
            settings.emit_dropped(rest, "closed");
            return;
        }
        let ids = rest.batch.ids();
        if let Some(error) = &self.error {
            crate::log::warn(format_args!("{} impressions were not delivered: {error}", ids.len()));
            settings.edge.events.emit("send_notification_error", |event| {
                event.raw("error", &error.to_json());
                event.strings("ids", &ids);
            });
        }
        if let Rest::Rejected(_, error) = &self.rest {
            let details = error.details();
            settings.emit("notification_rejected", &self.session, self.attempts, &ids, |event| {
                event.string("reason", "rejected");
                if let Some(status) = details.http_status {
                    event.number("http_status", status);
                }
                if let Some(message) = &details.api_message {
                    event.string("api_message", message);
                }
            });
        }
    }
}

impl ImpressionBatch {
    fn ids(&self) -> Vec<String> {
        self.notifications.iter().map(|notification| notification.id.clone()).collect()
    }
}

impl Settings {
    fn send(&self, waiting: &Waiting, control: &Arc<CallControl>) -> Result<Acknowledgement, Undelivered> {
        let batch = &waiting.batch;
        let urls = self.edge.urls(batch.cluster.as_deref(), &batch.query);
        let telemetry = self.edge.telemetry.take();
        let texts: Vec<&str> = batch.notifications.iter().map(|notification| &*notification.text).collect();
        let body = impressions_body(&waiting.request_id, &batch.common, &telemetry, &texts);
        let header_id = ids::uuid();
        let shipment = Shipment {
            url: &urls.first,
            fallback_url: urls.fallback.as_deref(),
            request_id: &header_id,
            body: &body,
            repeatable: true,
        };
        // Repeating is this queue's business, but for a cluster that gives way to the default host.
        let policy = RetryPolicy { max_attempts: 2, ..self.retry };
        let delivered = deliver(&*self.edge.transport, &shipment, &policy, control, &self.edge.stats);
        if delivered.is_err() {
            self.edge.telemetry.put_back(telemetry);
        }
        let ids = batch.ids();
        let mut acknowledgement = Acknowledgement::default();
        let answer = Answer::new(delivered?.body);
        match answer.as_ref().map(Answer::document) {
            Ok(Ok(document)) => acknowledge(document.root(), &ids, &mut acknowledgement),
            // The status says that it was processed; an answer that says nothing more acknowledges all.
            _ => acknowledgement.acknowledged = ids,
        }
        Ok(acknowledgement)
    }

    fn emit_dropped(&self, waiting: &Waiting, reason: &str) {
        let batch = &waiting.batch;
        self.emit("notification_dropped", &batch.session_id, waiting.attempts, &batch.ids(), |event| {
            event.string("reason", reason);
        });
    }

    fn emit(
        &self,
        kind: &'static str,
        session: &str,
        attempts: u32,
        ids: &[String],
        more: impl FnOnce(&mut ObjectWriter<'_>),
    ) {
        self.edge.events.emit(kind, |event| {
            event.strings("ids", ids);
            event.string("session_id", session);
            more(event);
            event.number("attempts", attempts);
        });
    }
}

#[cfg(test)]
#[path = "sender_tests.rs"]
mod tests;
