//! Whether an on-device client can decide, and whether those who wait for that may go on.

use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::events::{EventKind, Events};
use crate::sync::lock;

/// Shared by what makes a client ready and those who wait for it.
#[derive(Default)]
pub(crate) struct Readiness {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    has_artifact: bool,
    /// The location hint is on its way: worth waiting for, and no condition.
    awaits_hint: bool,
    closed: bool,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    Ready,
    NotReady,
    Closed,
}

impl Readiness {
    /// Called by one thread at a time.
    pub(crate) fn artifact_is_there(&self, events: &Events) {
        if self.has_artifact() {
            return;
        }
        // Before anybody who waits goes on: the event is there when the wait is over.
        events.emit(EventKind::ClientReady, |_| {});
        lock(&self.state).has_artifact = true;
        self.changed.notify_all();
    }

    /// A forked child has the artifact of its parent: it does not become ready, it is.
    pub(crate) fn artifact_was_inherited(&self) {
        lock(&self.state).has_artifact = true;
    }

    pub(crate) fn hint_is_awaited(&self, awaited: bool) {
        lock(&self.state).awaits_hint = awaited;
        self.changed.notify_all();
    }

    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }

    pub(crate) fn has_artifact(&self) -> bool {
        lock(&self.state).has_artifact
    }

    /// Waits for the artifact, and for the hint as long as it is on its way. `None` waits as long as it takes.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Waited {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = lock(&self.state);
        loop {
            if state.closed {
                return Waited::Closed;
            }
            if state.has_artifact && !state.awaits_hint {
                return Waited::Ready;
            }
            state = match until {
                None => self.changed.wait(state).unwrap_or_else(|e| e.into_inner()),
                Some(until) => {
                    let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                        return if state.has_artifact { Waited::Ready } else { Waited::NotReady };
                    };
                    self.changed.wait_timeout(state, left).unwrap_or_else(|e| e.into_inner()).0
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const NOW: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn an_artifact_makes_ready_and_a_hint_is_only_waited_for() {
        let (readiness, events) = (Readiness::default(), Events::new(8));
        assert_eq!(readiness.wait(NOW), Waited::NotReady);
        readiness.hint_is_awaited(true);
        readiness.artifact_is_there(&events);
        assert_eq!(readiness.wait(Some(Duration::from_millis(10))), Waited::Ready);
        readiness.hint_is_awaited(false);
        assert_eq!(readiness.wait(None), Waited::Ready);
    }

    #[test]
    fn the_client_is_ready_once() {
        let (readiness, events) = (Readiness::default(), Events::new(8));
        readiness.artifact_is_there(&events);
        readiness.artifact_is_there(&events);
        assert!(events.next(NOW).unwrap().contains("client_ready"));
        assert!(events.next(NOW).is_err());
    }

    #[test]
    fn a_close_ends_every_wait() {
        let readiness = Arc::new(Readiness::default());
        let waiting = Arc::clone(&readiness);
        let thread = std::thread::spawn(move || waiting.wait(None));
        readiness.close();
        assert_eq!(thread.join().unwrap(), Waited::Closed);
    }
}
