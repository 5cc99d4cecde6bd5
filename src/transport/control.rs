//! The handle by which a call in progress is ended: its deadline, its cancellation, the socket it blocks on.
//! Background threads have one too, for their whole life, and limit each piece of their work.
//!
//! The thread that makes the call blocks in the socket; any other thread may end it by [`CallControl::end_call`],
//! which shuts that socket down. ureq calls our sockets without telling for whom, so the call of a thread
//! stands in a thread-local while its request runs; nobody outside this module reads it.

use std::cell::RefCell;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::descriptors::OfThisProcess;
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
    socket: Option<Arc<OfThisProcess<Socket>>>,
}

/// One call. Shared by the thread that makes it and those that may end it.
#[derive(Debug)]
pub(crate) struct CallControl {
    started: Instant,
    /// None: no deadline can be expressed (an absurdly long timeout).
    deadline: Option<Instant>,
    state: Mutex<State>,
    changed: Condvar,
    /// Whether there are limits: most calls have none, and their every wait asks.
    limited: AtomicBool,
    limits: Mutex<Option<Limits>>,
    phase: AtomicU8,
    sent: AtomicBool,
    answered: AtomicBool,
    reused: AtomicBool,
    closed: AtomicBool,
    broken: AtomicBool,
}

/// Bounds of a piece of work, within the deadline of the whole.
#[derive(Debug, Clone, Copy)]
struct Limits {
    began: Instant,
    time: Duration,
    /// How long nothing may come or go.
    patience: Option<Duration>,
    progressed: Instant,
}

impl Limits {
    fn remaining(&self, now: Instant) -> Duration {
        let left = self.time.saturating_sub(now.saturating_duration_since(self.began));
        match self.patience {
            Some(patience) => left.min(patience.saturating_sub(now.saturating_duration_since(self.progressed))),
            None => left,
        }
    }
}

/// Takes the limits away.
#[must_use]
pub(crate) struct Limited<'c>(&'c CallControl);

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        *lock(&self.0.limits) = None;
        self.0.limited.store(false, Ordering::Relaxed);
    }
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
            limited: AtomicBool::new(false),
            limits: Mutex::new(None),
            phase: AtomicU8::new(0),
            sent: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            reused: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }
    }

    /// A control without a deadline, for the life of a background thread.
    pub(crate) fn endless() -> Self {
        CallControl::new(Duration::MAX)
    }

    /// Until the guard is dropped, all that is waited for has this time, and with `patience` no longer than that
    /// without a byte; the call's own deadline stays in force. There is one limit at a time.
    pub(crate) fn limit(&self, time: Duration, patience: Option<Duration>) -> Limited<'_> {
        let began = Instant::now();
        *lock(&self.limits) = Some(Limits { began, time, patience, progressed: began });
        self.limited.store(true, Ordering::Relaxed);
        Limited(self)
    }

    fn limits(&self) -> Option<Limits> {
        if self.limited.load(Ordering::Relaxed) { *lock(&self.limits) } else { None }
    }

    fn mark_progress(&self) {
        if self.limited.load(Ordering::Relaxed)
            && let Some(limits) = &mut *lock(&self.limits)
        {
            limits.progressed = Instant::now();
        }
    }

    /// The patience that ran out, if that is why nothing remains.
    pub(crate) fn stalled(&self) -> Option<Duration> {
        let limits = self.limits()?;
        limits.patience.filter(|patience| limits.progressed.elapsed() >= *patience)
    }

    /// The whole time that the call, or its limited piece of work, was given.
    pub(crate) fn timeout(&self) -> Duration {
        let whole = self.deadline.map_or(Duration::MAX, |deadline| deadline.duration_since(self.started));
        self.limits().map_or(whole, |limits| limits.time.min(whole))
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Time left; None when it is over.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        let now = Instant::now();
        let left = match self.deadline {
            None => Duration::from_secs(u64::from(u32::MAX)),
            Some(deadline) => deadline.saturating_duration_since(now),
        };
        let left = self.limits().map_or(left, |limits| limits.remaining(now).min(left));
        (!left.is_zero()).then_some(left)
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
            let _ = socket.get().and_then(|socket| socket.shutdown(Shutdown::Both));
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
        let now = Instant::now();
        let limit = self.limits().and_then(|limits| now.checked_add(limits.remaining(now)));
        let until = [until, self.deadline, limit].into_iter().flatten().min();
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
    pub(crate) fn engage(&self, socket: &Arc<OfThisProcess<Socket>>) -> Result<(), End> {
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
        self.mark_progress();
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
        self.mark_progress();
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
        self.mark_progress();
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
    fn a_limit_holds_while_its_guard_lives() {
        let control = CallControl::endless();
        {
            let _limited = control.limit(Duration::from_millis(1), None);
            assert!(!control.wait_until(None, || false));
            assert_eq!((control.remaining(), control.stalled()), (None, None));
            assert_eq!(control.timeout(), Duration::from_millis(1));
        }
        assert!(control.remaining().is_some());
    }

    #[test]
    fn a_limit_does_not_outlast_the_deadline() {
        let control = CallControl::new(Duration::from_millis(1));
        let _limited = control.limit(Duration::from_secs(60), None);
        assert!(!control.wait_until(None, || false));
        assert_eq!(control.remaining(), None);
    }

    #[test]
    fn patience_begins_anew_with_every_byte() {
        let control = CallControl::endless();
        let patience = Duration::from_millis(300);
        let _limited = control.limit(Duration::from_secs(60), Some(patience));
        let began = Instant::now();
        while began.elapsed() < patience * 2 {
            control.mark_answered();
            assert!(control.remaining().is_some_and(|left| left <= patience));
        }
        assert_eq!(control.stalled(), None);
        assert!(!control.wait_until(None, || false));
        assert_eq!(control.stalled(), Some(patience));
    }

    #[test]
    fn an_ended_call_takes_no_socket() {
        let control = CallControl::new(Duration::from_secs(1));
        control.end_call(End::Closed);
        let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        let socket = Arc::new(OfThisProcess::new(socket));
        assert_eq!(control.engage(&socket), Err(End::Closed));
    }
}
