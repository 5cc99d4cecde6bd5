//! A bounded queue in memory and the threads that empty it.
//!
//! A batch is what one decision reports. Those that share session, visitor, property, context and cluster go out
//! together, in the order of their decisions. Requests of one session go one after the other. What may succeed later is sent again, with
//! backoff, until its time to live; its `impressionId`s keep it from counting twice. No lock is held while sending.

use std::collections::{HashSet, VecDeque};
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
    pub session_id: String,
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

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Sessions with a request on its way.
    sessions: HashSet<String>,
    in_flight: Vec<Arc<CallControl>>,
    workers: Vec<JoinHandle<()>>,
    idle: usize,
    /// When the worker that went to sleep last wakes by itself.
    next_wake: Option<Instant>,
    counts: QueueStats,
    /// Set by the first close: no more is taken, and waits are cut short.
    closing: bool,
    /// What was pending when it began, and how the counts stood.
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
    /// Adds what can go out together with a batch that is about to, up to a number of notifications. Another of its
    /// session that cannot ends it, so that the order stays.
    fn gather(&mut self, first: &mut Waiting, most: usize) {
        if first.attempts > 0 {
            return;
        }
        let mut at = 0;
        while let Some(other) = self.waiting.get(at) {
            if other.batch.session_id != first.batch.session_id {
                at += 1;
                continue;
            }
            let together = first.batch.notifications.len() + other.batch.notifications.len();
            if other.attempts > 0 || together > most || !other.batch.goes_with(&first.batch) {
                return;
            }
            if let Some(other) = self.waiting.remove(at) {
                first.batch.notifications.extend(other.batch.notifications);
            }
        }
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
    /// Something changed that a worker or a closing thread may wait for.
    changed: Condvar,
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

    /// Takes a batch, or nothing of it: then it comes back.
    pub(crate) fn submit(&self, batch: ImpressionBatch) -> Result<(), ImpressionBatch> {
        let shared = &self.0;
        let count = batch.notifications.len() as u64;
        let mut state = lock(&shared.state);
        if state.closing || state.counts.pending.saturating_add(count) > shared.settings.max_queued {
            state.counts.not_queued += count;
            return Err(batch);
        }
        let now = Instant::now();
        let expires = now.checked_add(shared.settings.time_to_live).unwrap_or(now + DEFAULT_TIME_TO_LIVE);
        let due = now + shared.settings.linger;
        state.waiting.push_back(Waiting { batch, request_id: ids::uuid(), expires, due, attempts: 0 });
        state.counts.accepted += count;
        state.counts.pending += count;
        if state.idle == 0 && state.workers.len() < shared.settings.workers {
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
        let wakes = state.next_wake.is_none_or(|at| due < at) || state.waiting.len() == shared.settings.max_batch;
        drop(state);
        if wakes {
            shared.changed.notify_all();
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
        while state.counts.pending > 0 && !state.workers.is_empty() {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            state = match left {
                Some(left) if left.is_zero() => break,
                Some(left) => shared.changed.wait_timeout(state, left).unwrap_or_else(|e| e.into_inner()).0,
                None => shared.changed.wait(state).unwrap_or_else(|e| e.into_inner()),
            };
        }
        for late in std::mem::take(&mut state.waiting) {
            shared.drop_batch(&mut state, &late, "closed");
        }
        let in_flight: Vec<_> = state.in_flight.clone();
        drop(state);
        for control in in_flight {
            control.end_call(End::Closed);
        }
        let mut state = lock(&shared.state);
        while state.counts.pending > 0 && !state.in_flight.is_empty() {
            state = shared.changed.wait(state).unwrap_or_else(|e| e.into_inner());
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
            // It catches nothing that could panic, so there is nothing to learn from the result.
            let _ = worker.join();
        }
    }
}

fn work(shared: &Shared) {
    process::enter_library_thread();
    let mut state = lock(&shared.state);
    loop {
        if state.stopped {
            return;
        }
        let now = Instant::now();
        let rushed = state.closing || state.waiting.len() >= shared.settings.max_batch;
        let ready = |waiting: &Waiting, sessions: &HashSet<String>| {
            let is_due = waiting.due <= now || (rushed && waiting.attempts == 0);
            is_due && !sessions.contains(&waiting.batch.session_id)
        };
        let next = state.waiting.iter().position(|waiting| ready(waiting, &state.sessions));
        let Some(mut waiting) = next.and_then(|at| state.waiting.remove(at)) else {
            let soonest = state.waiting.iter().map(|waiting| waiting.due).min();
            state.idle += 1;
            state.next_wake = soonest.filter(|due| *due > now);
            state = match soonest.map(|due| due.saturating_duration_since(now)) {
                // Ready but for its session: that request's end wakes us.
                Some(wait) if !wait.is_zero() => {
                    shared.changed.wait_timeout(state, wait).unwrap_or_else(|e| e.into_inner()).0
                }
                _ => shared.changed.wait(state).unwrap_or_else(|e| e.into_inner()),
            };
            state.idle -= 1;
            continue;
        };
        if waiting.expires <= now {
            shared.drop_batch(&mut state, &waiting, "expired");
            shared.changed.notify_all();
            continue;
        }
        state.gather(&mut waiting, shared.settings.max_batch);
        let control = Arc::new(CallControl::new(shared.settings.timeout));
        state.in_flight.push(Arc::clone(&control));
        state.sessions.insert(waiting.batch.session_id.clone());
        drop(state);
        let session = waiting.batch.session_id.clone();
        let outcome = shared.send(&waiting, &control);
        state = lock(&shared.state);
        state.in_flight.retain(|other| !Arc::ptr_eq(other, &control));
        state.sessions.remove(&session);
        shared.settle(&mut state, waiting, outcome);
        shared.changed.notify_all();
    }
}

impl Shared {
    fn send(&self, waiting: &Waiting, control: &Arc<CallControl>) -> Result<Acknowledgement, Undelivered> {
        let edge = &self.settings.edge;
        let batch = &waiting.batch;
        let urls = edge.urls(batch.cluster.as_deref(), &batch.query);
        let telemetry = edge.telemetry.take();
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
        let policy = RetryPolicy { max_attempts: 2, ..self.settings.retry };
        let delivered = deliver(&*edge.transport, &shipment, &policy, control, &edge.stats);
        if delivered.is_err() {
            edge.telemetry.put_back(telemetry);
        }
        let ids: Vec<String> = batch.notifications.iter().map(|notification| notification.id.clone()).collect();
        let mut acknowledgement = Acknowledgement::default();
        match Answer::new(delivered?.body) {
            // The status says that it was processed; an answer that says nothing more acknowledges all.
            Ok(answer) => match answer.document() {
                Ok(document) => acknowledge(document.root(), &ids, &mut acknowledgement),
                Err(_) => acknowledgement.acknowledged = ids,
            },
            Err(_) => acknowledgement.acknowledged = ids,
        }
        Ok(acknowledgement)
    }

    fn settle(&self, state: &mut State, mut waiting: Waiting, outcome: Result<Acknowledgement, Undelivered>) {
        waiting.attempts += 1;
        let error = match outcome {
            Ok(acknowledgement) => {
                let count = acknowledgement.acknowledged.len() as u64;
                state.counts.acknowledged += count;
                state.counts.pending -= count;
                self.emit("notification_acknowledged", &waiting, &acknowledgement.acknowledged, None, None);
                if acknowledgement.unacknowledged.is_empty() {
                    return;
                }
                waiting.batch.notifications.retain(|one| acknowledgement.unacknowledged.contains(&one.id));
                None
            }
            Err(Undelivered { error, .. }) => Some(error),
        };
        let ids: Vec<String> = waiting.batch.notifications.iter().map(|one| one.id.clone()).collect();
        let closed = matches!(error, Some(TargetError::Closed(_)));
        if state.stopped || closed {
            self.drop_batch(state, &waiting, "closed");
            return;
        }
        let retryable = error.as_ref().is_none_or(TargetError::is_retryable);
        if let Some(error) = &error {
            crate::log::warn(format_args!("impressions of {} notifications were not delivered: {error}", ids.len()));
            self.settings.edge.events.emit("send_notification_error", |event| {
                event.raw("error", &error.to_json());
                event.strings("ids", &ids);
            });
        }
        if !retryable {
            let count = ids.len() as u64;
            state.counts.rejected += count;
            state.counts.pending -= count;
            self.emit("notification_rejected", &waiting, &ids, Some("rejected"), error.as_ref());
            return;
        }
        // The edge may ask for a wait, but not for any length of it.
        let asked = error.and_then(|error| error.details().retry_after_ms).unwrap_or(0);
        let asked = Duration::from_millis(asked).min(self.settings.retry.max_delay.saturating_mul(10));
        let pause = backoff(&self.settings.retry, waiting.attempts).max(asked);
        waiting.due = Instant::now() + pause;
        state.waiting.push_back(waiting);
    }

    fn drop_batch(&self, state: &mut State, waiting: &Waiting, reason: &str) {
        let ids: Vec<String> = waiting.batch.notifications.iter().map(|one| one.id.clone()).collect();
        state.counts.dropped += ids.len() as u64;
        state.counts.pending -= ids.len() as u64;
        self.emit("notification_dropped", waiting, &ids, Some(reason), None);
    }

    fn emit(
        &self,
        kind: &'static str,
        waiting: &Waiting,
        ids: &[String],
        reason: Option<&str>,
        error: Option<&TargetError>,
    ) {
        self.settings.edge.events.emit(kind, |event| {
            event.strings("ids", ids);
            event.string("session_id", &waiting.batch.session_id);
            if let Some(reason) = reason {
                event.string("reason", reason);
            }
            if let Some(details) = error.map(TargetError::details) {
                if let Some(status) = details.http_status {
                    event.number("http_status", status);
                }
                if let Some(message) = &details.api_message {
                    event.string("api_message", message);
                }
            }
            event.number("attempts", waiting.attempts);
        });
    }
}
