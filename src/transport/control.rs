//! The handle by which a call in progress is ended: its deadline, its cancellation, the socket it blocks on.
//!
//! The thread that makes the call blocks in the socket; any other thread may end it by [`CallControl::end_call`],
//! which shuts that socket down. ureq calls our sockets without telling for whom, so the call of a thread
//! stands in a thread-local while its request runs; nobody outside this module reads it.

use std::cell::RefCell;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::error::Phase;
use crate::sync::lock;

/// Who ended a call before its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Cancelled,
    Closed,
}

#[derive(Debug, Default)]
struct State {
    end: Option<End>,
    socket: Option<Arc<socket2::Socket>>,
}

/// One call. Shared by the thread that makes it and those that may end it.
#[derive(Debug)]
pub(crate) struct CallControl {
    started: Instant,
    /// None: no deadline can be expressed (an absurdly long timeout).
    deadline: Option<Instant>,
    state: Mutex<State>,
    changed: Condvar,
    phase: AtomicU8,
    sent: AtomicBool,
    answered: AtomicBool,
    reused: AtomicBool,
    closed: AtomicBool,
    broken: AtomicBool,
}

/// In the order of an attempt; only those that a transport is in.
const PHASES: [Phase; 6] = [Phase::Resolve, Phase::Connect, Phase::Proxy, Phase::Tls, Phase::Send, Phase::Receive];

impl CallControl {
    pub(crate) fn new(timeout: Duration) -> Self {
        let started = Instant::now();
        CallControl {
            started,
            deadline: started.checked_add(timeout),
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
            phase: AtomicU8::new(0),
            sent: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            reused: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }
    }

    /// The whole time that the call was given.
    pub(crate) fn timeout(&self) -> Duration {
        self.deadline.map_or(Duration::MAX, |deadline| deadline.duration_since(self.started))
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Time left; None when it is over.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        match self.deadline {
            None => Some(Duration::from_secs(u64::from(u32::MAX))),
            Some(deadline) => deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()),
        }
    }

    /// Who ended the call, if anybody did.
    pub(crate) fn end(&self) -> Option<End> {
        lock(&self.state).end
    }

    /// Ends the call: a blocked read, write or connect returns, nothing is written afterwards. The first
    /// end stands. Returns whether this was it.
    pub(crate) fn end_call(&self, end: End) -> bool {
        let mut state = lock(&self.state);
        if state.end.is_some() {
            return false;
        }
        state.end = Some(end);
        if let Some(socket) = &state.socket {
            // Fails only when the connection is gone already.
            let _ = socket.shutdown(Shutdown::Both);
        }
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Wakes the call's thread so that it looks at its condition again.
    pub(crate) fn notify(&self) {
        drop(lock(&self.state));
        self.changed.notify_all();
    }

    /// Blocks until the condition holds (true), or the instant, the deadline or an end came first (false).
    pub(crate) fn wait_until(&self, until: Option<Instant>, mut condition: impl FnMut() -> bool) -> bool {
        let until = match (until, self.deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let mut state = lock(&self.state);
        loop {
            if condition() {
                return true;
            }
            if state.end.is_some() {
                return false;
            }
            state = match until {
                None => self.changed.wait(state).unwrap_or_else(|e| e.into_inner()),
                Some(until) => {
                    let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                        return false;
                    };
                    self.changed.wait_timeout(state, left).unwrap_or_else(|e| e.into_inner()).0
                }
            };
        }
    }

    /// Makes the socket the one that an end shuts down. Refused when the call has ended.
    pub(crate) fn engage(&self, socket: &Arc<socket2::Socket>) -> Result<(), End> {
        let mut state = lock(&self.state);
        match state.end {
            Some(end) => Err(end),
            None => {
                state.socket = Some(Arc::clone(socket));
                Ok(())
            }
        }
    }

    pub(crate) fn disengage(&self) {
        lock(&self.state).socket = None;
    }

    pub(crate) fn begin_attempt(&self) {
        self.set_phase(Phase::Resolve);
        for fact in [&self.sent, &self.answered, &self.reused, &self.closed, &self.broken] {
            fact.store(false, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        let index = PHASES.iter().position(|p| *p == phase).unwrap_or(0);
        self.phase.store(index as u8, Ordering::Relaxed);
    }

    pub(crate) fn phase(&self) -> Phase {
        PHASES.get(usize::from(self.phase.load(Ordering::Relaxed))).copied().unwrap_or(Phase::Resolve)
    }

    /// The attempt has its connection, one that served a request before or a new one.
    pub(crate) fn begin_request(&self, reused: bool) {
        self.reused.store(reused, Ordering::Relaxed);
        self.set_phase(Phase::Send);
    }

    pub(crate) fn reused(&self) -> bool {
        self.reused.load(Ordering::Relaxed)
    }

    /// Bytes were handed to the network: of the request itself only from phase `Send` on.
    pub(crate) fn mark_written(&self) {
        if matches!(self.phase(), Phase::Send | Phase::Receive) {
            self.sent.store(true, Ordering::Relaxed);
        }
    }

    /// Nothing is left to be written before the next read.
    pub(crate) fn mark_flushed(&self) {
        if self.phase() == Phase::Send && self.sent() {
            self.set_phase(Phase::Receive);
        }
    }

    pub(crate) fn sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes of an answer came, TLS taken off.
    pub(crate) fn mark_answered(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// The server closed the connection in good order while an answer was being read.
    pub(crate) fn mark_closed(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// The connection failed while an answer was being read.
    pub(crate) fn mark_broken(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    pub(crate) fn broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// No more of the answer can come.
    pub(crate) fn cut_off(&self) -> bool {
        self.broken() || self.closed.load(Ordering::Relaxed)
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<CallControl>>> = const { RefCell::new(None) };
}

/// Makes the control that of the thread's I/O until the guard is dropped.
pub(crate) fn enter(control: &Arc<CallControl>) -> Entered {
    CURRENT.with(|current| *current.borrow_mut() = Some(Arc::clone(control)));
    Entered
}

/// Guard of [`enter`].
pub(crate) struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(control) = CURRENT.with(|current| current.borrow_mut().take()) {
            control.disengage();
        }
    }
}

/// The control of the request that this thread makes.
pub(crate) fn current() -> Option<Arc<CallControl>> {
    // A client may be dropped by a thread that is ending, when its thread-locals are gone.
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_wakes_a_wait_and_the_first_one_stands() {
        let control = Arc::new(CallControl::new(Duration::from_secs(60)));
        let waiting = Arc::clone(&control);
        let thread = std::thread::spawn(move || waiting.wait_until(None, || false));
        assert!(control.end_call(End::Cancelled));
        assert!(!control.end_call(End::Closed));
        assert!(!thread.join().unwrap());
        assert_eq!(control.end(), Some(End::Cancelled));
    }

    #[test]
    fn a_wait_ends_with_the_deadline() {
        let control = CallControl::new(Duration::from_millis(1));
        assert!(!control.wait_until(None, || false));
        assert_eq!(control.remaining(), None);
    }

    #[test]
    fn an_absurd_timeout_is_no_deadline() {
        let control = CallControl::new(Duration::MAX);
        assert!(control.remaining().is_some());
    }

    #[test]
    fn an_ended_call_takes_no_socket() {
        let control = CallControl::new(Duration::from_secs(1));
        control.end_call(End::Closed);
        let socket =
            Arc::new(socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket"));
        assert_eq!(control.engage(&socket), Err(End::Closed));
    }
}
