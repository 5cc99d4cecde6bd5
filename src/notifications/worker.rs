//! The threads that empty the queue: one request after the other, until told to stop.
//!
//! No lock is held while sending or telling.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::batch::{Batch, Entry, Refusal, Spooled};
use super::durable::{Kept, KeptNotification, Store};
use super::queue::{Answer, Queue, Told};
use super::report::{tell, tell_error};
use super::spool::Ticket;
use crate::clock::wall_ms;
use crate::config::RetryPolicy;
use crate::delivery::normalize::impressions_body;
use crate::edge::Edge;
use crate::envelope::{Acknowledgement, Answer as EdgeAnswer, acknowledge};
use crate::error::{Phase, TargetError};
use crate::ids;
use crate::json::Kind;
use crate::process;
use crate::sync::lock;
use crate::transport::control::{CallControl, End};
use crate::transport::retry::{Fate, Shipment, Undelivered, deliver};

/// What expires is looked for no more often.
const EXPIRY_PAUSE: Duration = Duration::from_millis(50);
/// Between two parts of such a search; callers get the lock meanwhile.
const SWEEP_PAUSE: Duration = Duration::from_millis(1);
/// Submissions that are taken over from a spool in one go.
const RECOVERED_AT_ONCE: usize = 256;

/// What the threads need besides the queue.
pub(super) struct Settings {
    pub edge: Arc<Edge>,
    pub store: Option<Store>,
    pub max_queued: u64,
    pub workers: usize,
    pub timeout: Duration,
    /// The spool could not be written when a click or an order was to leave, and it is told.
    pub cannot_mark: AtomicBool,
}

#[derive(Debug)]
pub(super) struct State {
    pub queue: Queue,
    in_flight: Vec<InFlight>,
    workers: Vec<JoinHandle<()>>,
    /// Workers that have not ended.
    running: usize,
    idle: usize,
    /// When the worker that went to sleep last wakes, by itself or because it was told to.
    next_wake: Option<Instant>,
    /// Threads that write to the spool what they hand over.
    writing: usize,
    /// Set by the first close: no more is taken.
    pub closing: bool,
    /// What becomes of all that was pending then, and came after it.
    at_close: Option<u64>,
    stopped: bool,
}

/// A thread that writes a submission to the spool. A close waits for it: what it must not take any more has to be
/// taken out of the spool while that is open, or the next process would deliver what was refused here.
pub(super) struct Writing<'s>(&'s Shared);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.writing -= 1;
        let is_waited_for = state.closing && state.writing == 0;
        drop(state);
        if is_waited_for {
            self.0.settled.notify_all();
        }
    }
}

/// A request that is out, or whose outcome is not told yet.
#[derive(Debug)]
struct InFlight {
    control: Arc<CallControl>,
    /// The lowest number of its notifications.
    lowest: u64,
}

pub(super) struct Shared {
    pub state: Mutex<State>,
    /// Wakes workers.
    pub changed: Condvar,
    /// Wakes those who wait for delivery.
    settled: Condvar,
    pub settings: Settings,
}

impl Shared {
    pub(super) fn new(queue: Queue, settings: Settings) -> Self {
        let state = State {
            queue,
            in_flight: Vec::new(),
            workers: Vec::new(),
            running: 0,
            idle: 0,
            next_wake: None,
            writing: 0,
            closing: false,
            at_close: None,
            stopped: false,
        };
        Shared { state: Mutex::new(state), changed: Condvar::new(), settled: Condvar::new(), settings }
    }

    /// None when no more is taken.
    pub(super) fn begin_writing(&self) -> Option<Writing<'_>> {
        let mut state = lock(&self.state);
        if state.closing {
            return None;
        }
        state.writing += 1;
        Some(Writing(self))
    }

    /// A client that is closing leaves what others left to those that stay.
    pub(super) fn is_closing(&self) -> bool {
        lock(&self.state).at_close.is_some()
    }

    /// Puts what a spool has kept into the queue.
    pub(super) fn recover(self: &Arc<Self>, kept: Vec<Kept>, retry_clicks: bool) {
        if kept.is_empty() {
            return;
        }
        let divided = kept.into_iter().map(|Kept { frame, accepted_ms, notifications }| {
            let (mut kept, mut lost) = (Vec::with_capacity(notifications.len()), Vec::new());
            for KeptNotification { mut notification, ticket, attempted } in notifications {
                let is_marked = notification.once;
                notification.once &= !retry_clicks;
                let is_lost = attempted && notification.once;
                if is_lost { &mut lost } else { &mut kept }.push(Spooled { notification, ticket, is_marked });
            }
            (frame, kept, lost, accepted_ms)
        });
        let divided: Vec<_> = divided.collect();
        let now = Instant::now();
        let mut divided = divided.into_iter();
        let mut state = lock(&self.state);
        loop {
            for (frame, kept, lost, accepted_ms) in divided.by_ref().take(RECOVERED_AT_ONCE) {
                state.queue.recover(frame, kept, lost, accepted_ms, now);
            }
            if divided.len() == 0 {
                break;
            }
            // What others left can be much, and callers want the lock.
            drop(state);
            std::thread::yield_now();
            state = lock(&self.state);
        }
        let told = state.queue.take_told();
        let failure = self.start_worker(&mut state).err();
        if state.has_to_wake(now) {
            self.changed.notify_one();
        }
        drop(state);
        self.tell(told);
        report_no_thread(failure);
    }

    /// One more worker, if there is work for it.
    pub(super) fn start_worker(self: &Arc<Self>, state: &mut State) -> Result<(), std::io::Error> {
        if state.idle > 0 || state.workers.len() >= self.settings.workers || state.stopped {
            return Ok(());
        }
        let shared = Arc::clone(self);
        match std::thread::Builder::new().name("target-sender".into()).spawn(move || work(&shared)) {
            Ok(thread) => {
                state.workers.push(thread);
                state.running += 1;
            }
            Err(error) if state.workers.is_empty() => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }

    /// Somebody waits: there is a worker, and nothing lingers.
    pub(super) fn hurry(self: &Arc<Self>, state: &mut State) {
        let _ = self.start_worker(state);
        state.queue.hurry(Instant::now());
        self.changed.notify_all();
    }

    fn tell(&self, told: Vec<Told>) {
        tell(told, self.settings.store.as_ref(), &self.settings.edge.events);
    }

    /// Waits until all that is watched has its outcome and is told, or the deadline comes, or nobody sends any more.
    pub(super) fn wait<'s>(
        &self,
        mut state: MutexGuard<'s, State>,
        watch: u64,
        deadline: Option<Instant>,
    ) -> MutexGuard<'s, State> {
        loop {
            let (counts, below) = state.queue.watched(watch);
            let is_out = state.in_flight.iter().any(|one| one.lowest < below);
            let is_over = counts.pending == 0 || state.queue.is_stopped();
            // Without a limit, what cannot be delivered as things stand would be waited for as long as it lives.
            let is_vain = deadline.is_none() && state.queue.is_only_held(Instant::now());
            if ((is_over || is_vain) && !is_out) || state.running == 0 {
                return state;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            state = match left {
                Some(left) if left.is_zero() => return state,
                Some(left) => self.settled.wait_timeout(state, left).unwrap_or_else(|e| e.into_inner()).0,
                None => self.settled.wait(state).unwrap_or_else(|e| e.into_inner()),
            };
        }
    }

    /// From here on nothing more is sent; what is on its way is given up where it lands.
    pub(super) fn stop_sending(&self, mut state: MutexGuard<'_, State>) {
        state.queue.stop();
        let told = state.queue.take_told();
        let controls: Vec<_> = state.in_flight.iter().map(|one| Arc::clone(&one.control)).collect();
        drop(state);
        self.tell(told);
        for control in controls {
            control.end_call(End::Closed);
        }
        self.changed.notify_all();
        self.settled.notify_all();
    }

    /// Waits for what is on its way, and for what is being written, after [`Shared::stop_sending`].
    pub(super) fn wait_landed(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        while state.writing > 0 || (!state.in_flight.is_empty() && state.running > 0) {
            state = self.settled.wait(state).unwrap_or_else(|e| e.into_inner());
        }
        state
    }

    /// Ends the workers; returns them to be waited for. The last one that leaves closes the spool.
    pub(super) fn stop_workers(&self) -> Vec<JoinHandle<()>> {
        let mut state = lock(&self.state);
        state.closing = true;
        state.stopped = true;
        let workers = std::mem::take(&mut state.workers);
        let is_idle = state.running == 0;
        self.stop_sending(state);
        if is_idle {
            self.close_store();
        }
        workers
    }

    pub(super) fn close_store(&self) {
        if let Some(store) = &self.settings.store {
            store.close();
        }
    }
}

pub(super) fn report_no_thread(error: Option<std::io::Error>) {
    if let Some(error) = error {
        crate::log::error(format_args!("no thread for notifications, they wait: {error}"));
    }
}

fn work(shared: &Arc<Shared>) {
    process::enter_library_thread();
    loop {
        let goes_on = catch_unwind(AssertUnwindSafe(|| work_once(shared)));
        // A callback or the logger may have forked: the child has nothing of its parent's to send.
        if process::has_left_library_thread() {
            return;
        }
        match goes_on {
            Ok(true) => {}
            Ok(false) => break,
            Err(_) => crate::log::error(format_args!("a panic was caught in the notification queue; please report it")),
        }
    }
    let mut state = lock(&shared.state);
    state.running -= 1;
    let is_last = state.running == 0;
    drop(state);
    if is_last {
        shared.close_store();
    }
    shared.settled.notify_all();
}

/// Sends one batch, or waits for one. Returns whether there is to be a next time.
fn work_once(shared: &Arc<Shared>) -> bool {
    let mut state = lock(&shared.state);
    if state.stopped {
        return false;
    }
    let (now, wall_ms) = (Instant::now(), wall_ms());
    state.queue.expire(wall_ms);
    let batch = state.queue.take(wall_ms, now);
    let told = state.queue.take_told();
    let Some(batch) = batch else {
        if told.is_empty() {
            drop(sleep(shared, state, now, wall_ms));
        } else {
            // Somebody may wait for them, so they are out until they are told.
            let _out = shared.out(state, 0, Duration::MAX);
            shared.tell(told);
        }
        return true;
    };
    let lowest = batch.entries.iter().map(|entry| entry.number).min().unwrap_or(0);
    shared.pass_on(&mut state, now);
    let out = shared.out(state, if told.is_empty() { lowest } else { 0 }, shared.settings.timeout);
    shared.tell(told);
    if process::has_left_library_thread() {
        return false;
    }
    let told = send(shared, batch, &out.control);
    if process::has_left_library_thread() {
        return false;
    }
    // Whoever waits for this request waits for its events too.
    shared.tell(told);
    true
}

/// A request that is out, until this is dropped.
struct Out<'s> {
    shared: &'s Shared,
    control: Arc<CallControl>,
}

impl Drop for Out<'_> {
    fn drop(&mut self) {
        // In a child that was forked meanwhile the lock may be held by nobody.
        if process::has_left_library_thread() {
            return;
        }
        lock(&self.shared.state).in_flight.retain(|other| !Arc::ptr_eq(&other.control, &self.control));
        self.shared.settled.notify_all();
    }
}

impl Shared {
    fn out<'s>(&'s self, mut state: MutexGuard<'_, State>, lowest: u64, timeout: Duration) -> Out<'s> {
        let control = Arc::new(CallControl::new(timeout));
        state.in_flight.push(InFlight { control: Arc::clone(&control), lowest });
        drop(state);
        Out { shared: self, control }
    }
}

#[cfg(test)]
impl State {
    pub(super) fn idle(&self) -> usize {
        self.idle
    }

    /// Whether nothing is out that was not told to end.
    pub(super) fn has_ended_all(&self) -> bool {
        self.in_flight.iter().all(|one| one.control.end().is_some())
    }
}

impl State {
    /// What counts what becomes of all that is pending from the first close on.
    pub(super) fn begin_close(&mut self) -> u64 {
        *self.at_close.get_or_insert_with(|| self.queue.watch_all())
    }

    /// Whether a worker has to be woken, now and by the caller, for what is due next. One that wakes in time anyhow finds
    /// it; so does one that was told to wake and has not come to it.
    pub(super) fn has_to_wake(&mut self, now: Instant) -> bool {
        if self.idle == 0 {
            return false;
        }
        let Some(due) = self.queue.soonest(now).filter(|due| self.next_wake.is_none_or(|at| *due < at)) else {
            return false;
        };
        self.next_wake = Some(due);
        true
    }
}

/// Until something is due, or expires, or somebody wakes this thread: the end of a request or a submission.
fn sleep<'s>(
    shared: &'s Shared,
    mut state: MutexGuard<'s, State>,
    now: Instant,
    wall_ms: i64,
) -> MutexGuard<'s, State> {
    let due = state.queue.soonest(now).map(|due| due.saturating_duration_since(now));
    let pause = if state.queue.is_sweeping() { SWEEP_PAUSE } else { EXPIRY_PAUSE };
    let expiry = state.queue.until_expiry(wall_ms).map(|left| left.max(pause));
    let wait = [due, expiry].into_iter().flatten().min();
    state.idle += 1;
    state.next_wake = wait.and_then(|wait| now.checked_add(wait));
    state = match wait {
        Some(wait) => shared.changed.wait_timeout(state, wait).unwrap_or_else(|e| e.into_inner()).0,
        None => shared.changed.wait(state).unwrap_or_else(|e| e.into_inner()),
    };
    state.idle -= 1;
    // Others may sleep for longer than this one did.
    state.next_wake = None;
    state
}

/// Makes a request of a batch and has the queue judge what came of it.
fn send(shared: &Arc<Shared>, mut batch: Batch, control: &Arc<CallControl>) -> Vec<Told> {
    let settings = &shared.settings;
    if batch.request_id.is_empty() {
        batch.request_id = ids::uuid();
    }
    match settings.mark(&batch.entries) {
        Ok(()) => settings.cannot_mark.store(false, Ordering::Relaxed),
        Err(error) => {
            // They may not leave before that is on disk; the others may.
            let (once, others) = std::mem::take(&mut batch.entries).into_iter().partition(|entry| entry.is_marked);
            batch.entries = others;
            let aside = batch.with(once, Instant::now());
            if !settings.cannot_mark.swap(true, Ordering::Relaxed) {
                tell_error(&error, &aside.ids(), &settings.edge.events);
            }
            lock(&shared.state).queue.set_aside(aside, Instant::now());
        }
    }
    if batch.entries.is_empty() {
        let answer = Answer::Later { maybe_counted: false, host_failed: false, asked_for: None };
        return shared.land(batch, answer, false);
    }
    let sent = catch_unwind(AssertUnwindSafe(|| settings.post(&batch, control)));
    let Posted { outcome, requests, detour } = sent.unwrap_or_else(|_| {
        let error = TargetError::internal("a panic was caught while notifications were sent; please report it");
        Posted { outcome: Err(Undelivered { error, fate: Fate::Unknown }), requests: 1, detour: None }
    });
    if process::has_left_library_thread() {
        return Vec::new();
    }
    for entry in &mut batch.entries {
        entry.attempts = entry.attempts.saturating_add(requests.max(1));
    }
    let has_answered = matches!(&outcome, Err(undelivered) if undelivered.error.details().http_status.is_some());
    let mut answer = match outcome {
        Ok(acknowledgement) => Answer::Taken { missing: acknowledgement.unacknowledged },
        Err(undelivered) => judge(&undelivered),
    };
    if let (Some(Detour::Hasty), false, Answer::Later { host_failed, .. }) = (&detour, has_answered, &mut answer) {
        *host_failed = false;
    }
    // Before they can be taken up again, with another mark.
    settings.unmark(&batch.entries, &answer);
    shared.land(batch, answer, detour.is_some())
}

/// The cluster's host could not be reached, and the default one was asked.
enum Detour {
    Leisurely,
    /// In less than half of the time: an answer that did not come says nothing of the default host.
    Hasty,
}

/// What came of an attempt.
struct Posted {
    outcome: Result<Acknowledgement, Undelivered>,
    requests: u32,
    detour: Option<Detour>,
}

impl Shared {
    fn land(self: &Arc<Self>, batch: Batch, answer: Answer, detour: bool) -> Vec<Told> {
        let mut state = lock(&self.state);
        let now = Instant::now();
        state.queue.land(batch, answer, detour, now);
        let told = state.queue.take_told();
        // Telling may take a while.
        self.pass_on(&mut state, now);
        told
    }

    /// Sees to it that another worker is there in time for what comes next, while this one is busy.
    fn pass_on(self: &Arc<Self>, state: &mut State, now: Instant) {
        if state.has_to_wake(now) {
            self.changed.notify_one();
        } else if state.idle == 0 && state.queue.soonest(now).is_some() {
            // Without another thread this one does the work.
            let _ = self.start_worker(state);
        }
    }
}

/// What a failed request says of its notifications and its host.
fn judge(undelivered: &Undelivered) -> Answer {
    let details = undelivered.error.details();
    let refusal = || Refusal { http_status: details.http_status, api_message: details.api_message.clone() };
    let is_status = matches!(undelivered.error, TargetError::Http(_));
    match details.http_status.filter(|_| is_status && undelivered.fate == Fate::Refused) {
        Some(400) => return Answer::BadRequest(refusal()),
        Some(413) => return Answer::TooLarge(refusal()),
        // A redirect is some gateway's, and may be gone tomorrow.
        Some(400..) if !undelivered.error.is_retryable() => return Answer::Refused(refusal()),
        _ => {}
    }
    let by_host = !matches!(undelivered.error, TargetError::Closed(_) | TargetError::Internal(_));
    Answer::Later {
        maybe_counted: undelivered.fate == Fate::Unknown,
        // 420 is about one session.
        host_failed: by_host && details.http_status != Some(420),
        asked_for: details.retry_after_ms.map(Duration::from_millis),
    }
}

impl Settings {
    /// Clicks and orders are marked as attempted before they leave, so that a crash cannot have them sent twice.
    fn mark(&self, entries: &[Entry]) -> Result<(), TargetError> {
        let Some(store) = &self.store else { return Ok(()) };
        let marked: Vec<Ticket> =
            entries.iter().filter(|entry| entry.is_marked).filter_map(|entry| entry.ticket).collect();
        store.mark_attempted(&marked)
    }

    /// What the edge has not counted may be sent again after a crash.
    fn unmark(&self, entries: &[Entry], answer: &Answer) {
        let Some(store) = &self.store else { return };
        let is_left = |entry: &&Entry| match answer {
            Answer::Taken { missing } => missing.contains(&entry.notification.id),
            Answer::Later { maybe_counted, .. } => !maybe_counted,
            Answer::BadRequest(_) | Answer::TooLarge(_) => true,
            Answer::Refused(_) => false,
        };
        let left = entries.iter().filter(|entry| entry.is_marked).filter(is_left);
        let left: Vec<Ticket> = left.filter_map(|entry| entry.ticket).collect();
        store.mark_unattempted(&left);
    }

    /// One attempt, and one more where a cluster gives way to the default host.
    fn post(&self, batch: &Batch, control: &Arc<CallControl>) -> Posted {
        let frame = &batch.frame;
        let cluster = frame.cluster.as_deref().filter(|_| !batch.by_default);
        let urls = self.edge.urls(cluster, &frame.query);
        let telemetry = self.edge.telemetry.take();
        let texts: Vec<&str> = batch.entries.iter().map(|entry| &*entry.notification.text).collect();
        let body = impressions_body(&batch.request_id, &frame.common, &telemetry, &texts);
        let header_id = ids::uuid();
        let repeatable = !batch.entries.iter().any(|entry| entry.notification.once);
        // Repeating is the queue's business.
        let once = RetryPolicy { max_attempts: 1, ..RetryPolicy::default() };
        let to = |url: &str| {
            let shipment = Shipment { url, fallback_url: None, request_id: &header_id, body: &body, repeatable };
            deliver(&*self.edge.transport, &shipment, &once, control, &self.edge.stats)
        };
        let mut requests = 0;
        let mut delivered = to(&urls.first);
        let mut detour = None;
        if let (Err(undelivered), Some(fallback)) = (&delivered, &urls.fallback)
            && undelivered.fate == Fate::NotSent
            && matches!(undelivered.error.details().phase, Phase::Resolve | Phase::Connect | Phase::Proxy)
            && control.end().is_none()
            && let Some(left) = control.remaining()
        {
            requests += undelivered.error.details().attempts;
            detour = Some(if left < control.timeout() / 2 { Detour::Hasty } else { Detour::Leisurely });
            delivered = to(fallback);
        }
        let ids = batch.ids();
        let outcome = delivered.and_then(|answer| {
            requests += answer.attempts;
            let unreadable = |error| Undelivered { error, fate: Fate::Unknown };
            // What is no answer of the edge acknowledges nothing; an empty one acknowledges all.
            let answer = EdgeAnswer::new(answer.body).map_err(unreadable)?;
            let mut acknowledgement = Acknowledgement::default();
            let document = answer.document().map_err(unreadable)?;
            let response = document.root();
            if response.get("notifications").is_some_and(|list| list.kind() == Kind::Array && list.is_empty()) {
                // Only a list that has some says of the others that they were not processed.
                return Err(unreadable(TargetError::invalid_response("the answer acknowledges no notification")));
            }
            acknowledge(response, &ids, &mut acknowledgement);
            Ok(acknowledgement)
        });
        if let Err(undelivered) = &outcome {
            requests += undelivered.error.details().attempts;
            self.edge.telemetry.put_back(telemetry);
            if !matches!(undelivered.error.details().http_status, Some(400 | 413)) {
                tell_error(&undelivered.error, &ids, &self.edge.events);
            }
        }
        Posted { outcome, requests, detour }
    }
}
