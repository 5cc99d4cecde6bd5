//! What hands notifications over to the queue, and what waits for their delivery. No lock is held while writing.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::batch::{Notification, Submission};
use super::durable::{Keeper, Store};
use super::queue::{Policy, Queue, QueueStats};
use super::worker::{Settings, Shared, report_no_thread};
use crate::clock::wall_ms;
use crate::config::{ClientConfig, MAX_WORKERS, RetryPolicy};
use crate::edge::Edge;
use crate::error::{DeliveryCounts, TargetError};
use crate::sync::lock;

/// Waiting notifications from which on nothing lingers, whatever the queue's bound is.
const PRESSURE: usize = 2500;

/// The sender of one client. Its threads start with the first notification.
pub(crate) struct Sender {
    shared: Arc<Shared>,
    /// Why nothing can be taken.
    refuses: Option<TargetError>,
    /// Of a durable queue.
    keeper: Option<Keeper>,
}

/// Why notifications were not taken, and they themselves.
#[derive(Debug)]
pub(crate) struct NotTaken {
    pub error: TargetError,
    pub notifications: Vec<Notification>,
}

impl Sender {
    /// Opens the spool, if there is one, and begins to deliver what it has kept.
    pub(crate) fn new(config: &ClientConfig, edge: &Arc<Edge>) -> Result<Self, TargetError> {
        let (store, kept) = Store::open(config)?.unzip();
        let shared = Self::assemble(config, edge, store);
        let is_durable = shared.settings.store.is_some();
        let keep = || Keeper::start(&shared, &config.notifications, config.retry_clicks);
        let keeper = is_durable.then(keep).transpose()?;
        shared.recover(kept.unwrap_or_default(), config.retry_clicks);
        Ok(Sender { shared, refuses: None, keeper })
    }

    /// One that takes no notifications, for that reason.
    pub(crate) fn refusing(config: &ClientConfig, edge: &Arc<Edge>, reason: TargetError) -> Self {
        Sender { shared: Self::assemble(config, edge, None), refuses: Some(reason), keeper: None }
    }

    fn assemble(config: &ClientConfig, edge: &Arc<Edge>, store: Option<Store>) -> Arc<Shared> {
        let queue = &config.notifications;
        let durable = store.is_some();
        let time_to_live = queue.time_to_live_or_default(durable);
        let policy = Policy {
            max_batch: usize::try_from(queue.max_batch).unwrap_or(usize::MAX).max(1),
            linger: queue.flush_interval,
            time_to_live: i64::try_from(time_to_live.as_millis()).unwrap_or(i64::MAX),
            retry: RetryPolicy {
                max_attempts: u32::MAX,
                base_delay: queue.retry_base_delay,
                max_delay: queue.retry_max_delay,
            },
            durable,
            pressure: usize::try_from(queue.max_queued / 4).unwrap_or(usize::MAX).clamp(1, PRESSURE),
            affinity: edge.has_affinity(),
        };
        let settings = Settings {
            edge: Arc::clone(edge),
            store,
            max_queued: queue.max_queued,
            workers: queue.workers.clamp(1, MAX_WORKERS) as usize,
            timeout: config.timeout,
            cannot_mark: AtomicBool::new(false),
        };
        Arc::new(Shared::new(Queue::new(policy), settings))
    }

    /// Takes notifications of one call: all of them, or none.
    pub(crate) fn submit(&self, submission: Submission) -> Result<(), NotTaken> {
        let shared = &self.shared;
        let Submission { frame, notifications } = submission;
        if notifications.is_empty() {
            return Ok(());
        }
        let refuse = |error, notifications| Err(NotTaken { error, notifications });
        if let Some(reason) = &self.refuses {
            return refuse(reason.clone(), notifications);
        }
        let wall_ms = wall_ms();
        let (mut tickets, mut writing) = (None, None);
        if let Some(store) = &shared.settings.store {
            // Written before it is taken, and without the lock: others go on meanwhile.
            writing = shared.begin_writing();
            if writing.is_none() {
                return refuse(TargetError::closed(), notifications);
            }
            match store.append(&frame, &notifications, wall_ms) {
                Ok(written) => tickets = Some(written),
                Err(error) => return refuse(error, notifications),
            }
        }
        let count = notifications.len() as u64;
        let now = Instant::now();
        let mut state = lock(&shared.state);
        if state.closing {
            drop(state);
            if let (Some(store), Some(tickets)) = (&shared.settings.store, tickets) {
                store.finish(&tickets);
            }
            return refuse(TargetError::closed(), notifications);
        }
        let pending = state.queue.counts().pending;
        if shared.settings.store.is_none() && pending.saturating_add(count) > shared.settings.max_queued {
            drop(state);
            return refuse(TargetError::queue_full(pending, count, shared.settings.max_queued), notifications);
        }
        state.queue.accept(frame, notifications, tickets, wall_ms, now);
        let failure = shared.start_worker(&mut state).err();
        let wakes = state.has_to_wake(now);
        drop(state);
        drop(writing);
        if wakes {
            shared.changed.notify_one();
        }
        report_no_thread(failure);
        Ok(())
    }

    /// Counts what a decision got back.
    pub(crate) fn handed_back(&self, count: usize) {
        lock(&self.shared.state).queue.handed_back(count as u64);
    }

    pub(crate) fn stats(&self) -> QueueStats {
        let mut counts = lock(&self.shared.state).queue.counts();
        if let Some(store) = &self.shared.settings.store {
            store.count(&mut counts);
        }
        counts
    }

    /// Delivers what is pending, in flight included, without lingering. `None` waits as long as it takes; no time at all
    /// only looks.
    pub(crate) fn flush(&self, timeout: Option<Duration>) -> DeliveryCounts {
        let shared = &self.shared;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = lock(&shared.state);
        let watch = state.queue.watch();
        if timeout != Some(Duration::ZERO) {
            shared.hurry(&mut state);
        }
        let mut state = shared.wait(state, watch, deadline);
        let (counts, _) = state.queue.watched(watch);
        state.queue.end_watch(watch);
        counts
    }

    /// Takes no more and flushes. What is left at the deadline stays in the spool, or is dropped where there is none. A
    /// second close waits likewise and answers the same counts, which are of what was pending when the first one began.
    pub(crate) fn close(&self, deadline: Option<Instant>) -> DeliveryCounts {
        let shared = &self.shared;
        let mut state = lock(&shared.state);
        let watch = state.begin_close();
        state.closing = true;
        shared.hurry(&mut state);
        let state = shared.wait(state, watch, deadline);
        shared.stop_sending(state);
        let (counts, _) = shared.wait_landed().queue.watched(watch);
        if let Some(keeper) = &self.keeper {
            keeper.stop(true);
        }
        shared.close_store();
        counts
    }

    /// Has everything that waits go out without lingering, while more may come: of calls that are still in flight.
    pub(crate) fn prepare_close(&self) {
        let mut state = lock(&self.shared.state);
        state.begin_close();
        self.shared.hurry(&mut state);
    }

    /// Ends the threads. Joins unless the calling thread may be waited for.
    pub(crate) fn stop(&self, join: bool) {
        let shared = &self.shared;
        let workers = shared.stop_workers();
        for worker in workers.into_iter().filter(|_| join) {
            // Nothing is to be learnt from the result.
            let _ = worker.join();
        }
        if let Some(keeper) = &self.keeper {
            keeper.stop(join);
        }
    }
}

#[cfg(test)]
#[path = "sender_tests.rs"]
mod tests;
