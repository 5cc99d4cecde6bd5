//! The calls in progress, so that close can wait for them and end them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::error::TargetError;
use crate::pending::Completions;
use crate::process;
use crate::sync::lock;
use crate::transport::control::{CallControl, End};

/// The list of one client.
pub(crate) struct Calls {
    state: Arc<(Mutex<CallsState>, Condvar)>,
    /// The state's `closed`, for those who only ask: a decision on this machine takes no lock.
    closed: AtomicBool,
    /// Whoever waits there has to know when no more will come.
    completions: Arc<Completions>,
}

#[derive(Default)]
pub(crate) struct CallsState {
    closed: bool,
    last_id: u64,
    active: HashMap<u64, Arc<CallControl>>,
}

/// Takes a call off the list when it is over.
pub(crate) struct InFlight {
    state: Arc<(Mutex<CallsState>, Condvar)>,
    completions: Arc<Completions>,
    id: u64,
    generation: u64,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.generation != process::generation() {
            // Forked inside a callback of the call: the list is the parent's.
            return;
        }
        let (mutex, empty) = &*self.state;
        let mut state = lock(mutex);
        state.active.remove(&self.id);
        // Before a close nobody waits, and a notification costs a system call.
        if state.closed && state.active.is_empty() {
            drop(state);
            empty.notify_all();
            self.completions.wake();
        }
    }
}

impl Calls {
    pub(crate) fn new(completions: &Arc<Completions>) -> Self {
        Calls { state: Arc::default(), closed: AtomicBool::new(false), completions: Arc::clone(completions) }
    }

    pub(crate) fn begin(&self, control: &Arc<CallControl>) -> Result<(InFlight, u64), TargetError> {
        let mut state = lock(&self.state.0);
        if state.closed {
            return Err(TargetError::closed());
        }
        state.last_id += 1;
        let id = state.last_id;
        state.active.insert(id, Arc::clone(control));
        let (list, completions) = (Arc::clone(&self.state), Arc::clone(&self.completions));
        Ok((InFlight { state: list, completions, id, generation: process::generation() }, id))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn refuse_new(&self, state: &mut CallsState) {
        state.closed = true;
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn count(&self) -> usize {
        lock(&self.state.0).active.len()
    }

    /// Refuses new calls, waits for those in flight, and ends them when the time is over.
    pub(crate) fn close(&self, timeout: Option<Duration>) {
        self.refuse_new(&mut lock(&self.state.0));
        // A callback that waits for a completion is itself one of the calls in flight.
        self.completions.wake();
        if !self.wait_empty(timeout) {
            self.end_all();
        }
    }

    pub(crate) fn end_all(&self) {
        let mut controls: Vec<_> = {
            let mut state = lock(&self.state.0);
            self.refuse_new(&mut state);
            state.active.iter().map(|(id, control)| (*id, Arc::clone(control))).collect()
        };
        // The latest first: those that wait for a thread must be over before one is free for them.
        controls.sort_unstable_by_key(|(id, _)| std::cmp::Reverse(*id));
        for (_, control) in controls {
            control.end_call(End::Closed);
        }
    }

    pub(crate) fn wait_empty(&self, timeout: Option<Duration>) -> bool {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let (mutex, empty) = &*self.state;
        let mut state = lock(mutex);
        while !state.active.is_empty() {
            state = match until {
                None => empty.wait(state).unwrap_or_else(|e| e.into_inner()),
                Some(until) => {
                    let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                        return false;
                    };
                    empty.wait_timeout(state, left).unwrap_or_else(|e| e.into_inner()).0
                }
            };
        }
        true
    }
}
