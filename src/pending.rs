//! Asynchronous calls: their handles, what happens with their results, and the finished ones that wait for a
//! host that polls.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::{Duration, Instant};

use crate::calls::Calls;
use crate::envelope::{Attributes, Offers, RawEnvelope};
use crate::error::TargetError;
use crate::process;
use crate::shared::Shared;
use crate::stats::Stats;
use crate::sync::lock;
use crate::transport::control::{CallControl, End};

/// Finished asynchronous calls without callbacks that nobody has taken; the oldest goes.
#[derive(Default)]
pub(crate) struct Completions {
    state: Mutex<Kept>,
    changed: Condvar,
}

#[derive(Default)]
struct Kept {
    /// With the size of its result.
    calls: VecDeque<(Arc<AsyncCall>, usize)>,
    bytes: usize,
}

impl Kept {
    fn pop(&mut self) -> Option<Arc<AsyncCall>> {
        let (call, size) = self.calls.pop_front()?;
        self.bytes -= size;
        Some(call)
    }
}

const MAX_COMPLETIONS: usize = 10_000;
/// Of their results. The latest is kept whatever its size.
const MAX_COMPLETION_BYTES: usize = 64 * 1024 * 1024;

impl Completions {
    /// Returns whether an older one went for it.
    fn push(&self, call: &Arc<AsyncCall>, size: usize, stats: &Stats) -> bool {
        let mut state = lock(&self.state);
        state.calls.push_back((Arc::clone(call), size));
        state.bytes += size;
        let mut lost = false;
        while state.calls.len() > MAX_COMPLETIONS || (state.bytes > MAX_COMPLETION_BYTES && state.calls.len() > 1) {
            state.pop();
            stats.completion_lost();
            lost = true;
        }
        drop(state);
        self.changed.notify_one();
        lost
    }

    /// Somebody took the call's result by its handle.
    fn forget(&self, id: u64) {
        let mut state = lock(&self.state);
        if let Some(at) = state.calls.iter().position(|(call, _)| call.id == id)
            && let Some((_, size)) = state.calls.remove(at)
        {
            state.bytes -= size;
        }
    }

    /// No more calls may come: whoever waits looks again.
    pub(crate) fn wake(&self) {
        drop(lock(&self.state));
        self.changed.notify_all();
    }

    pub(crate) fn next(&self, timeout: Option<Duration>, calls: &Calls) -> Result<Arc<AsyncCall>, TargetError> {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = lock(&self.state);
        loop {
            if let Some(call) = state.pop() {
                return Ok(call);
            }
            // Inside a callback the caller's own call is still in flight: it must not wait for its own end.
            if calls.is_closed() && (calls.count() == 0 || process::on_library_thread()) {
                return Err(TargetError::closed());
            }
            state = match until {
                None => self.changed.wait(state).unwrap_or_else(|e| e.into_inner()),
                Some(until) => {
                    let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                        return Err(TargetError::pending("waiting for a completion"));
                    };
                    self.changed.wait_timeout(state, left).unwrap_or_else(|e| e.into_inner()).0
                }
            };
        }
    }
}

pub(crate) type Outcome = Result<RawEnvelope, TargetError>;
/// Runs once, on the thread that made the call.
type Callback = Box<dyn FnOnce(&Outcome) + Send>;

/// What happens with the result of an asynchronous call besides being kept for its handle.
pub(crate) enum After {
    /// It waits for `next_completion`, unless it is taken by the handle.
    Completion,
    /// The host is called.
    Call(Callback),
}

pub(crate) fn then<T: 'static>(
    convert: fn(&RawEnvelope) -> Result<T, TargetError>,
    callback: impl FnOnce(T) + Send + 'static,
    err_callback: impl FnOnce(TargetError) + Send + 'static,
) -> After {
    After::Call(Box::new(move |outcome| match outcome.as_ref().map_err(Clone::clone).and_then(convert) {
        Ok(result) => callback(result),
        Err(error) => err_callback(error),
    }))
}

/// One asynchronous call, kept by its handle and by the thread that makes it.
pub(crate) struct AsyncCall {
    id: u64,
    control: Arc<CallControl>,
    outcome: Mutex<Option<Arc<Outcome>>>,
    done: Condvar,
    shared: Weak<Shared>,
    /// Of the process whose threads make the call.
    generation: u64,
}

impl AsyncCall {
    pub(crate) fn new(id: u64, control: Arc<CallControl>, shared: Weak<Shared>) -> Arc<Self> {
        let generation = process::generation();
        Arc::new(AsyncCall { id, control, outcome: Mutex::new(None), done: Condvar::new(), shared, generation })
    }

    pub(crate) fn control(&self) -> &Arc<CallControl> {
        &self.control
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn outcome(&self) -> Option<Arc<Outcome>> {
        lock(&self.outcome).clone()
    }

    pub(crate) fn finish(self: &Arc<Self>, outcome: Outcome, after: After, shared: &Shared) {
        let outcome = Arc::new(outcome);
        let mut state = lock(&self.outcome);
        // Before anybody can see the outcome: whoever takes it by the handle then finds the completion to remove.
        let size = outcome.as_ref().as_ref().map_or(0, |envelope| envelope.response.len() + envelope.request.len());
        let lost = matches!(after, After::Completion) && shared.completions().push(self, size, shared.stats());
        *state = Some(Arc::clone(&outcome));
        drop(state);
        self.done.notify_all();
        if lost {
            crate::log::warn(format_args!("too many finished calls wait to be taken: the oldest is lost"));
        }
        if let After::Call(callback) = after
            && catch_unwind(AssertUnwindSafe(|| callback(&outcome))).is_err()
        {
            crate::log::error(format_args!("a callback of call {} panicked", self.id));
        }
    }

    /// Ends the call unless it has finished. Nothing is sent afterwards.
    pub(crate) fn cancel(&self) -> Result<(), TargetError> {
        if self.is_inherited() {
            return Err(TargetError::closed());
        }
        if self.outcome().is_none() {
            self.control.end_call(End::Cancelled);
            if let Some(shared) = self.shared.upgrade() {
                shared.poke();
            }
        }
        Ok(())
    }

    /// Whether the call is the parent's: a thread of the parent may hold any of its locks.
    fn is_inherited(&self) -> bool {
        self.generation != process::generation()
    }

    /// Waits for the outcome; `None` as long as it takes.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Result<Arc<Outcome>, TargetError> {
        if self.is_inherited() {
            return Err(TargetError::closed());
        }
        if let Some(outcome) = self.outcome() {
            self.taken();
            return Ok(outcome);
        }
        if timeout != Some(Duration::ZERO) && process::on_library_thread() {
            return Err(TargetError::would_deadlock("request_wait"));
        }
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = lock(&self.outcome);
        loop {
            if let Some(outcome) = &*state {
                let outcome = Arc::clone(outcome);
                drop(state);
                self.taken();
                return Ok(outcome);
            }
            state = match until {
                None => self.done.wait(state).unwrap_or_else(|e| e.into_inner()),
                Some(until) => {
                    let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                        return Err(TargetError::pending("waiting for the call"));
                    };
                    self.done.wait_timeout(state, left).unwrap_or_else(|e| e.into_inner()).0
                }
            };
        }
    }

    fn taken(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.completions().forget(self.id);
        }
    }
}

/// A call of [`get_offers_async`](crate::TargetClient::get_offers_async) or [`send_notifications_async`](crate::TargetClient::send_notifications_async) in progress.
/// Dropping it neither cancels nor waits.
#[doc(alias = "target_request")]
pub struct PendingOffers(pub(crate) Arc<AsyncCall>);

/// A call of [`get_attributes_async`](crate::TargetClient::get_attributes_async) in progress. Dropping it neither cancels nor waits.
#[doc(alias = "target_request")]
pub struct PendingAttributes(pub(crate) Arc<AsyncCall>);

macro_rules! pending_call {
    ($name:ident, $result:ty, $convert:path) => {
        impl $name {
            /// Number of the call, unique in its client.
            #[doc(alias = "target_request_id")]
            pub fn id(&self) -> u64 {
                self.0.id
            }

            /// Ends the call with [`TargetError::Cancelled`] unless it has finished; nothing is sent afterwards.
            #[doc(alias = "target_request_cancel")]
            pub fn cancel(&self) {
                // Fails only in a child of the process whose call it is, where there is nothing to end.
                let _ = self.0.cancel();
            }

            /// Waits for the result; `None` as long as it takes. Each wait after the end has a fresh copy.
            ///
            /// # Errors
            /// The call's own error; [`TargetError::Pending`] when the wait ended first,
            /// [`TargetError::WouldDeadlock`] on a thread of the library, [`TargetError::Closed`] for a call that a
            /// parent process has started.
            #[doc(alias = "target_request_wait")]
            pub fn wait(&self, timeout: Option<Duration>) -> Result<$result, TargetError> {
                match self.0.wait(timeout)?.as_ref() {
                    Ok(envelope) => $convert(envelope),
                    Err(error) => Err(error.clone()),
                }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("id", &self.0.id).finish_non_exhaustive()
            }
        }
    };
}

pending_call!(PendingOffers, Offers, RawEnvelope::to_offers);
pending_call!(PendingAttributes, Attributes, RawEnvelope::to_attributes);
