//! The threads that empty the queue of impressions.
//!
//! What may succeed later is sent again, with backoff, until its time to live; its `impressionId`s keep it from counting
//! twice. No lock is held while sending or telling.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::queue::{ImpressionBatch, QueueStats, State, Waiting};
use crate::config::{ClientConfig, RetryPolicy};
use crate::decisioning::decide::Impression;
use crate::delivery::normalize::impressions_body;
use crate::edge::Edge;
use crate::envelope::{Acknowledgement, Answer, acknowledge};
use crate::error::{DeliveryCounts, Phase, TargetError};
use crate::ids;
use crate::json::ObjectWriter;
use crate::process;
use crate::sync::lock;
use crate::transport::control::{CallControl, End};
use crate::transport::retry::{Fate, Shipment, Undelivered, backoff, deliver};

/// Threads are only started for so much work.
const MAX_WORKERS: u64 = 32;
const DEFAULT_TIME_TO_LIVE: Duration = Duration::from_millis(1_800_000);

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
        let (due, expires) = (after(now, shared.settings.linger), after(now, shared.settings.time_to_live));
        let requests = batch.cut(shared.settings.max_batch);
        let ready: Vec<Waiting> = requests
            .into_iter()
            .map(|batch| Waiting { batch, request_id: ids::uuid(), expires, due, attempts: 0 })
            .collect();
        let mut state = lock(&shared.state);
        if state.closing || state.counts.pending.saturating_add(count) > shared.settings.max_queued {
            state.counts.not_queued += count;
            drop(state);
            return Err(ready.into_iter().flat_map(|waiting| waiting.batch.notifications).collect());
        }
        ready.into_iter().for_each(|waiting| state.push(waiting));
        state.counts.accepted += count;
        state.counts.pending += count;
        let mut failure = None;
        if state.idle == 0 && state.workers.len() < shared.settings.workers {
            let for_thread = Arc::clone(shared);
            let thread = std::thread::Builder::new().name("target-sender".into()).spawn(move || work(&for_thread));
            match thread {
                Ok(thread) => state.workers.push(thread),
                Err(error) if state.workers.is_empty() => failure = Some(error),
                Err(_) => {}
            }
        }
        // A worker that wakes in time anyhow finds this batch then.
        let wakes =
            state.idle > 0 && (state.next_wake.is_none_or(|at| due < at) || state.waiting >= shared.settings.max_batch);
        drop(state);
        if wakes {
            shared.changed.notify_one();
        }
        if let Some(error) = failure {
            crate::log::error(format_args!("no thread for impressions, they wait: {error}"));
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
        // From here on nothing more is sent; what is on its way is given up where it lands.
        state.expired = true;
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

    /// Ends the threads and gives up what waits. Joins unless the calling thread may be waited for.
    pub(crate) fn stop(&self, join: bool) {
        let (workers, late) = {
            let mut state = lock(&self.0.state);
            state.closing = true;
            state.expired = true;
            state.stopped = true;
            let late = state.take_all();
            for waiting in &late {
                state.counts.give_up(waiting);
            }
            for control in &state.in_flight {
                control.end_call(End::Closed);
            }
            (std::mem::take(&mut state.workers), late)
        };
        self.0.changed.notify_all();
        for waiting in &late {
            self.0.settings.emit_dropped(waiting, "closed");
        }
        for worker in workers.into_iter().filter(|_| join) {
            // Nothing is to be learnt from the result.
            let _ = worker.join();
        }
        self.0.ended.notify_all();
    }
}

fn work(shared: &Shared) {
    process::enter_library_thread();
    let settings = &shared.settings;
    let mut state = lock(&shared.state);
    while !state.stopped {
        let now = Instant::now();
        let Some(waiting) = state.take_due(now, settings.max_batch) else {
            let soonest = state.soonest().filter(|due| *due > now && !state.expired);
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
            // Others may sleep for longer than this one did.
            state.next_wake = None;
            continue;
        };
        let control = Arc::new(CallControl::new(settings.timeout));
        state.in_flight.push(Arc::clone(&control));
        if state.idle > 0 && !(state.fresh.is_empty() && state.again.is_empty()) {
            shared.changed.notify_one();
        }
        drop(state);
        let verdict = Verdict::of(waiting, &control, settings);
        state = lock(&shared.state);
        let verdict = state.settle(verdict);
        drop(state);
        verdict.emit(settings);
        state = lock(&shared.state);
        // Only now: a close that waits for this request waits for its events too.
        state.in_flight.retain(|other| !Arc::ptr_eq(other, &control));
        if state.closing {
            shared.changed.notify_all();
            shared.ended.notify_all();
        }
    }
}

/// What became of a batch.
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
    Rejected(Vec<String>),
    /// It was given up, for that reason.
    Dropped(Vec<String>, &'static str),
    /// It waits for another attempt.
    Again(Waiting),
    /// It waits already.
    Waits(Vec<String>),
}

impl State {
    /// Counts an outcome, and has what is left wait again unless it is too late for that.
    fn settle(&mut self, mut verdict: Verdict) -> Verdict {
        self.counts.settle(verdict.acknowledged.len(), |counts| &mut counts.acknowledged);
        verdict.rest = match verdict.rest {
            Rest::Again(waiting) if self.expired => Rest::Dropped(waiting.batch.ids(), "closed"),
            Rest::Again(waiting) => {
                let ids = waiting.batch.ids();
                self.land(&verdict.session, Some(waiting));
                verdict.rest = Rest::Waits(ids);
                return verdict;
            }
            other => other,
        };
        match &verdict.rest {
            Rest::Rejected(ids) => self.counts.settle(ids.len(), |counts| &mut counts.rejected),
            Rest::Dropped(ids, _) => self.counts.settle(ids.len(), |counts| &mut counts.dropped),
            _ => {}
        }
        self.land(&verdict.session, None);
        verdict
    }
}

impl Verdict {
    /// Sends a batch whose time has come and judges what came of it.
    fn of(mut waiting: Waiting, control: &Arc<CallControl>, settings: &Settings) -> Verdict {
        let session = Arc::clone(&waiting.batch.session_id);
        let (acknowledged, error) = (Vec::new(), None);
        if waiting.expires <= Instant::now() {
            let rest = Rest::Dropped(waiting.batch.ids(), "expired");
            return Verdict { session, attempts: waiting.attempts, acknowledged, error, rest };
        }
        let sent = catch_unwind(AssertUnwindSafe(|| settings.send(&waiting, control)));
        let (outcome, requests) = sent.unwrap_or_else(|_| {
            let error = TargetError::internal("a panic was caught while impressions were sent; please report it");
            (Err(Undelivered { error, fate: Fate::Unknown }), 1)
        });
        waiting.attempts = waiting.attempts.saturating_add(requests.max(1));
        let attempts = waiting.attempts;
        let (acknowledged, undelivered) = match outcome {
            Ok(acknowledgement) => {
                waiting.batch.notifications.retain(|one| acknowledgement.unacknowledged.contains(&one.id));
                (acknowledgement.acknowledged, None)
            }
            Err(undelivered) => (acknowledged, Some(undelivered)),
        };
        let refused = undelivered.as_ref().is_some_and(|undelivered| {
            let by_status = matches!(undelivered.error, TargetError::Http(_)) && undelivered.fate == Fate::Refused;
            by_status && !undelivered.error.is_retryable()
        });
        let error = undelivered.map(|undelivered| undelivered.error);
        let rest = if waiting.batch.notifications.is_empty() {
            Rest::None
        } else if refused {
            Rest::Rejected(waiting.batch.ids())
        } else {
            // The edge may ask for a wait, but not for any length of it.
            let asked = error.as_ref().and_then(|error| error.details().retry_after_ms).unwrap_or(0);
            let asked = Duration::from_millis(asked).min(settings.retry.max_delay.saturating_mul(10));
            waiting.due = after(Instant::now(), backoff(&settings.retry, attempts).max(asked));
            Rest::Again(waiting)
        };
        Verdict { session, attempts, acknowledged, error, rest }
    }

    /// Tells what the counts say already.
    fn emit(&self, settings: &Settings) {
        let emit = |kind, ids: &[String], more: &dyn Fn(&mut ObjectWriter<'_>)| {
            settings.emit(kind, &self.session, self.attempts, ids, more);
        };
        if !self.acknowledged.is_empty() {
            emit("notification_acknowledged", &self.acknowledged, &|_| {});
        }
        let ids = match &self.rest {
            Rest::None | Rest::Again(_) => return,
            Rest::Rejected(ids) | Rest::Dropped(ids, _) | Rest::Waits(ids) => ids,
        };
        if let Some(error) = &self.error {
            crate::log::warn(format_args!("{} impressions were not delivered: {error}", ids.len()));
            settings.edge.events.emit("send_notification_error", |event| {
                event.raw("error", &error.to_json());
                event.strings("ids", ids);
            });
        }
        match &self.rest {
            Rest::Dropped(ids, reason) => {
                emit("notification_dropped", ids, &|event| event.string("reason", reason));
            }
            Rest::Rejected(ids) => emit("notification_rejected", ids, &|event| {
                event.string("reason", "rejected");
                let Some(details) = self.error.as_ref().map(TargetError::details) else { return };
                if let Some(status) = details.http_status {
                    event.number("http_status", status);
                }
                if let Some(message) = &details.api_message {
                    event.string("api_message", message);
                }
            }),
            _ => {}
        }
    }
}

impl Settings {
    /// One attempt, and one more where a cluster gives way to the default host; returns the requests that it took.
    fn send(&self, waiting: &Waiting, control: &Arc<CallControl>) -> (Result<Acknowledgement, Undelivered>, u32) {
        let batch = &waiting.batch;
        let urls = self.edge.urls(batch.cluster.as_deref(), &batch.query);
        let telemetry = self.edge.telemetry.take();
        let texts: Vec<&str> = batch.notifications.iter().map(|notification| &*notification.text).collect();
        let body = impressions_body(&waiting.request_id, &batch.common, &telemetry, &texts);
        let header_id = ids::uuid();
        // Repeating is this queue's business.
        let once = RetryPolicy { max_attempts: 1, ..self.retry };
        let to = |url: &str| {
            let shipment = Shipment { url, fallback_url: None, request_id: &header_id, body: &body, repeatable: true };
            deliver(&*self.edge.transport, &shipment, &once, control, &self.edge.stats)
        };
        let mut requests = 0;
        let mut delivered = to(&urls.first);
        if let (Err(undelivered), Some(fallback)) = (&delivered, &urls.fallback)
            && undelivered.fate == Fate::NotSent
            && matches!(undelivered.error.details().phase, Phase::Resolve | Phase::Connect | Phase::Proxy)
        {
            requests += undelivered.error.details().attempts;
            delivered = to(fallback);
        }
        let ids = batch.ids();
        let outcome = delivered.and_then(|answer| {
            requests += answer.attempts;
            let unreadable = |error| Undelivered { error, fate: Fate::Unknown };
            // What is no answer of the edge acknowledges nothing; an empty one acknowledges all.
            let answer = Answer::new(answer.body).map_err(unreadable)?;
            let mut acknowledgement = Acknowledgement::default();
            acknowledge(answer.document().map_err(unreadable)?.root(), &ids, &mut acknowledgement);
            Ok(acknowledgement)
        });
        if let Err(undelivered) = &outcome {
            requests += undelivered.error.details().attempts;
            self.edge.telemetry.put_back(telemetry);
        }
        (outcome, requests)
    }

    fn emit_dropped(&self, waiting: &Waiting, reason: &str) {
        let batch = &waiting.batch;
        self.emit("notification_dropped", &batch.session_id, waiting.attempts, &batch.ids(), &|event| {
            event.string("reason", reason);
        });
    }

    fn emit(
        &self,
        kind: &'static str,
        session: &str,
        attempts: u32,
        ids: &[String],
        more: &dyn Fn(&mut ObjectWriter<'_>),
    ) {
        self.edge.events.emit(kind, |event| {
            event.strings("ids", ids);
            event.string("session_id", session);
            more(event);
            event.number("attempts", attempts);
        });
    }
}

/// An instant that far from another; none is too far.
fn after(from: Instant, time: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    from.checked_add(time.min(FAR)).unwrap_or(from)
}

#[cfg(test)]
#[path = "sender_tests.rs"]
mod tests;
