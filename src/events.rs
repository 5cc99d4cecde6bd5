//! What happens without being asked for: a bounded buffer that the host polls or has called back.
//!
//! One thread per client, started with the first callback, calls the host; no lock is held meanwhile.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use crate::clock::wall_ms;
use crate::error::TargetError;
use crate::json::ObjectWriter;
use crate::process;
use crate::sync::lock;

/// What an event is about: its `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventKind {
    ClientReady,
    ArtifactDownloadSucceeded,
    ArtifactDownloadFailed,
    ArtifactRuleSkipped,
    GeoLocationUpdated,
    SendNotificationError,
    NotificationAcknowledged,
    NotificationRejected,
    NotificationDropped,
}

impl EventKind {
    /// The name in the JSON form.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            EventKind::ClientReady => "client_ready",
            EventKind::ArtifactDownloadSucceeded => "artifact_download_succeeded",
            EventKind::ArtifactDownloadFailed => "artifact_download_failed",
            EventKind::ArtifactRuleSkipped => "artifact_rule_skipped",
            EventKind::GeoLocationUpdated => "geo_location_updated",
            EventKind::SendNotificationError => "send_notification_error",
            EventKind::NotificationAcknowledged => "notification_acknowledged",
            EventKind::NotificationRejected => "notification_rejected",
            EventKind::NotificationDropped => "notification_dropped",
        }
    }
}

/// What takes events: each is a JSON object with `type` and `timestamp`.
pub type EventCallback = dyn Fn(&str) + Send + Sync;

#[derive(Default)]
struct State {
    buffer: VecDeque<String>,
    lost: u64,
    callback: Option<Arc<EventCallback>>,
    /// The number of the event that the dispatcher is inside a callback with.
    running: Option<u64>,
    /// How many events the dispatcher has taken.
    dispatched: u64,
    dispatcher: Option<(JoinHandle<()>, ThreadId)>,
    /// A close has begun: calls in flight may still add events.
    closing: bool,
    closed: bool,
    stopped: bool,
}

/// The events of one client.
pub(crate) struct Events {
    state: Arc<(Mutex<State>, Condvar)>,
    capacity: usize,
    /// The state's callback, for a forked child, which must not lock the state.
    inheritable: ArcSwapOption<Inheritable>,
}

struct Inheritable(Arc<EventCallback>);

impl Events {
    pub(crate) fn new(capacity: usize) -> Self {
        Events { state: Arc::default(), capacity, inheritable: ArcSwapOption::empty() }
    }

    /// Adds an event; `members` writes what it has besides type and time.
    pub(crate) fn emit(&self, kind: EventKind, members: impl FnOnce(&mut ObjectWriter<'_>)) {
        let mut event = String::with_capacity(128);
        let mut object = ObjectWriter::begin(&mut event);
        object.string("type", kind.as_str());
        object.number("timestamp", wall_ms());
        members(&mut object);
        object.end();
        let (mutex, changed) = &*self.state;
        let mut state = lock(mutex);
        state.buffer.push_back(event);
        if state.buffer.len() > self.capacity {
            state.buffer.pop_front();
            state.lost += 1;
        }
        drop(state);
        changed.notify_all();
    }

    /// Takes one event. While a callback is set, events go to it alone.
    pub(crate) fn next(&self, timeout: Option<Duration>) -> Result<String, TargetError> {
        let until = timeout.map(|timeout| Instant::now().checked_add(timeout));
        let (mutex, changed) = &*self.state;
        let mut state = lock(mutex);
        loop {
            if state.callback.is_none()
                && let Some(event) = state.take()
            {
                return Ok(event);
            }
            // Inside a callback that the close waits for, waiting for more would be waiting for oneself.
            if state.closed || (state.closing && process::on_library_thread()) {
                return Err(TargetError::closed());
            }
            let Some(until) = until else {
                state = changed.wait(state).unwrap_or_else(|e| e.into_inner());
                continue;
            };
            let left = match until {
                None => Duration::from_secs(3600),
                Some(until) => match until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                    Some(left) => left,
                    None => return Err(TargetError::pending("waiting for an event")),
                },
            };
            state = changed.wait_timeout(state, left).unwrap_or_else(|e| e.into_inner()).0;
        }
    }

    /// Sets or removes the callback; returns when the old one no longer runs.
    pub(crate) fn set_callback(&self, callback: Option<Arc<EventCallback>>) -> Result<(), TargetError> {
        let (mutex, changed) = &*self.state;
        let mut state = lock(mutex);
        if callback.is_some() && state.dispatcher.is_none() && !state.stopped {
            let shared = Arc::clone(&self.state);
            let thread = std::thread::Builder::new()
                .name("target-events".into())
                .spawn(move || dispatch(&shared))
                .map_err(|error| TargetError::internal(format!("no thread for events: {error}")))?;
            let id = thread.thread().id();
            state.dispatcher = Some((thread, id));
        }
        let inheritable = callback.clone().map(|callback| Arc::new(Inheritable(callback)));
        let old = std::mem::replace(&mut state.callback, callback);
        self.inheritable.store(inheritable);
        changed.notify_all();
        let inside = state.dispatcher.as_ref().is_some_and(|(_, id)| *id == std::thread::current().id());
        // Whatever runs now is an earlier callback, perhaps one before the last. What runs after it is the new one.
        let running = state.running.filter(|_| !inside);
        while running.is_some() && state.running == running {
            state = changed.wait(state).unwrap_or_else(|e| e.into_inner());
        }
        drop(state);
        // Dropped without the lock: the host's closure may do anything.
        drop(old);
        Ok(())
    }

    /// The callback that is set, told without a lock.
    pub(crate) fn callback(&self) -> Option<Arc<EventCallback>> {
        self.inheritable.load().as_ref().map(|inheritable| Arc::clone(&inheritable.0))
    }

    /// A close begins: whoever waits inside a callback of the library has to know.
    pub(crate) fn begin_close(&self) {
        let (mutex, changed) = &*self.state;
        lock(mutex).closing = true;
        changed.notify_all();
    }

    /// No more events will come; what is buffered can still be taken.
    pub(crate) fn close(&self) {
        let (mutex, changed) = &*self.state;
        lock(mutex).closed = true;
        changed.notify_all();
    }

    /// Delivers what is buffered to the callback, if one is set, and ends the thread.
    pub(crate) fn stop(&self) {
        if let Some((thread, id)) = self.end()
            && id != std::thread::current().id()
        {
            // It catches the host's panics, so there is nothing to learn from the result.
            let _ = thread.join();
        }
    }

    /// [`Events::stop`] that does not wait: for threads of the library, which the host's callback may wait for.
    pub(crate) fn end(&self) -> Option<(JoinHandle<()>, ThreadId)> {
        let (mutex, changed) = &*self.state;
        let mut state = lock(mutex);
        state.closed = true;
        state.stopped = true;
        changed.notify_all();
        state.dispatcher.take()
    }
}

impl State {
    fn take(&mut self) -> Option<String> {
        let mut event = self.buffer.pop_front()?;
        if self.lost > 0 {
            event.pop();
            event.push_str(&format!(",\"lost\":{}}}", self.lost));
            self.lost = 0;
        }
        Some(event)
    }
}

fn dispatch(shared: &(Mutex<State>, Condvar)) {
    process::enter_library_thread();
    let (mutex, changed) = shared;
    let mut state: MutexGuard<'_, State> = lock(mutex);
    loop {
        let callback = state.callback.clone();
        match callback.and_then(|callback| state.take().map(|event| (callback, event))) {
            Some((callback, event)) => {
                state.dispatched += 1;
                state.running = Some(state.dispatched);
                drop(state);
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| callback(&event)));
                if process::has_left_library_thread() {
                    return;
                }
                drop(callback);
                if outcome.is_err() {
                    crate::log::error(format_args!("an event callback panicked"));
                }
                state = lock(mutex);
                state.running = None;
                changed.notify_all();
            }
            None if state.stopped => return,
            None => state = changed.wait(state).unwrap_or_else(|e| e.into_inner()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documented;
    use std::collections::BTreeSet;
    use std::sync::mpsc;

    const NOW: Option<Duration> = Some(Duration::ZERO);

    fn kind(event: &str) -> String {
        serde_json::from_str::<serde_json::Value>(event).unwrap()["type"].as_str().unwrap().to_owned()
    }

    /// The pages and the header tell of each type, and of no other.
    #[test]
    fn every_type_is_documented_and_no_other() {
        const ALL: [EventKind; 9] = [
            EventKind::ArtifactDownloadFailed,
            EventKind::ArtifactDownloadSucceeded,
            EventKind::ArtifactRuleSkipped,
            EventKind::ClientReady,
            EventKind::GeoLocationUpdated,
            EventKind::NotificationAcknowledged,
            EventKind::NotificationDropped,
            EventKind::NotificationRejected,
            EventKind::SendNotificationError,
        ];
        // A new one does not compile here until it is in the list.
        let position = |kind: EventKind| match kind {
            EventKind::ArtifactDownloadFailed => 0,
            EventKind::ArtifactDownloadSucceeded => 1,
            EventKind::ArtifactRuleSkipped => 2,
            EventKind::ClientReady => 3,
            EventKind::GeoLocationUpdated => 4,
            EventKind::NotificationAcknowledged => 5,
            EventKind::NotificationDropped => 6,
            EventKind::NotificationRejected => 7,
            EventKind::SendNotificationError => 8,
        };
        assert!(ALL.into_iter().enumerate().all(|(at, kind)| position(kind) == at));
        let all: BTreeSet<_> = ALL.into_iter().map(|kind| kind.as_str().to_owned()).collect();

        let told = |page: &str| -> BTreeSet<_> {
            let rows = documented::rows(page).into_iter();
            rows.flat_map(|row| documented::names(&row[0])).collect()
        };
        assert_eq!(told(documented::section(documented::ON_DEVICE, "## Events", "## Counters")), all);
        let of_queue = all.iter().filter(|name| name.contains("notification")).cloned().collect();
        assert_eq!(told(documented::section(documented::NOTIFICATIONS, "## Events", "")), of_queue);

        let (_, list) = documented::HEADER.split_once(" * In this version:\n").expect("a list of types");
        let (list, _) = list.split_once(" * Ignore types").expect("its end");
        let names = list.lines().filter_map(|line| line.strip_prefix(" *   ")).filter(|line| !line.starts_with(' '));
        let words = names.flat_map(|line| line.split("  ").next().unwrap_or_default().split(", "));
        assert_eq!(words.map(str::to_owned).collect::<BTreeSet<_>>(), all);
    }

    #[test]
    fn the_oldest_goes_and_the_next_one_says_how_many() {
        let events = Events::new(2);
        for _ in 0..5 {
            events.emit(EventKind::ClientReady, |_| {});
        }
        let first: serde_json::Value = serde_json::from_str(&events.next(NOW).unwrap()).unwrap();
        assert_eq!(first["lost"], 3);
        let second: serde_json::Value = serde_json::from_str(&events.next(NOW).unwrap()).unwrap();
        assert_eq!(second.get("lost"), None);
        assert!(matches!(events.next(NOW), Err(TargetError::Pending(_))));
    }

    #[test]
    fn after_close_what_is_left_comes_first() {
        let events = Events::new(8);
        events.emit(EventKind::ClientReady, |_| {});
        events.close();
        assert_eq!(kind(&events.next(None).unwrap()), "client_ready");
        assert!(matches!(events.next(None), Err(TargetError::Closed(_))));
    }

    #[test]
    fn a_callback_gets_what_was_buffered_and_all_that_comes() {
        let events = Events::new(8);
        events.emit(EventKind::ClientReady, |_| {});
        let (sender, receiver) = mpsc::channel();
        let sender = Mutex::new(sender);
        events.set_callback(Some(Arc::new(move |event: &str| lock(&sender).send(kind(event)).unwrap()))).unwrap();
        events.emit(EventKind::GeoLocationUpdated, |_| {});
        assert_eq!(receiver.recv().unwrap(), "client_ready");
        assert_eq!(receiver.recv().unwrap(), "geo_location_updated");
        events.set_callback(None).unwrap();
        assert!(receiver.recv().is_err(), "the old callback is gone once set_callback has returned");
        events.emit(EventKind::NotificationDropped, |_| {});
        assert_eq!(kind(&events.next(NOW).unwrap()), "notification_dropped");
        events.stop();
    }

    #[test]
    fn a_panicking_callback_does_not_end_the_thread() {
        let events = Events::new(8);
        let (sender, receiver) = mpsc::channel();
        let sender = Mutex::new(sender);
        events
            .set_callback(Some(Arc::new(move |event: &str| {
                if kind(event) == "artifact_download_failed" {
                    panic!("injected");
                }
                lock(&sender).send(()).unwrap();
            })))
            .unwrap();
        events.emit(EventKind::ArtifactDownloadFailed, |_| {});
        events.emit(EventKind::ClientReady, |_| {});
        receiver.recv().unwrap();
        events.stop();
    }
}
