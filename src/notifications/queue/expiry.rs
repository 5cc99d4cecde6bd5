//! What has waited too long, whether or not its turn comes. Looked for in pieces: callers want the lock meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::super::batch::Batch;
use super::{AT_ONCE, Outcome, Queue, Reason, split_off};

impl Queue {
    /// How long until something expires.
    pub(in crate::notifications) fn until_expiry(&self, wall_ms: i64) -> Option<Duration> {
        if self.waiting == 0 || self.stopped || self.policy.time_to_live == i64::MAX {
            return None;
        }
        if self.is_sweeping() {
            return Some(Duration::ZERO);
        }
        // A clock that was set back counts as no time passed.
        let age = wall_ms.saturating_sub(self.oldest_ms).max(0);
        let left = self.policy.time_to_live.saturating_sub(age).max(0);
        Some(Duration::from_millis(left.unsigned_abs()))
    }

    /// Whether some sessions are still to be searched for what has expired.
    pub(in crate::notifications) fn is_sweeping(&self) -> bool {
        !self.sweep.is_empty()
    }

    /// Gives up what has waited too long, whether or not its turn comes; of so many sessions in one go.
    pub(in crate::notifications) fn expire(&mut self, wall_ms: i64) {
        if self.until_expiry(wall_ms).is_none_or(|left| !left.is_zero()) {
            return;
        }
        if self.sweep.is_empty() {
            // What is met on the way counts, and what comes meanwhile.
            self.oldest_ms = i64::MAX;
            self.expire_held(wall_ms);
            self.sweep = self.sessions.keys().cloned().collect();
        }
        for key in self.sweep.split_off(self.sweep.len().saturating_sub(AT_ONCE)) {
            self.expire_of(&key, wall_ms);
        }
    }

    pub(super) fn expire_held(&mut self, wall_ms: i64) {
        let mut held = Vec::new();
        for batch in self.faults.families.values_mut().flat_map(|faulty| &mut faulty.waiting) {
            let late = split_off(&mut batch.entries, |entry| self.policy.is_expired(entry, wall_ms));
            held.push((Arc::clone(&batch.frame), late));
            self.oldest_ms = self.oldest_ms.min(batch.oldest_ms());
        }
        for (frame, late) in held {
            self.waiting -= late.len();
            self.settle(&frame, late, Outcome::Dropped(Reason::Expired));
        }
        for faulty in self.faults.families.values_mut() {
            faulty.waiting.retain(|batch| !batch.entries.is_empty());
        }
        let is_probing = self.is_probing;
        self.faults.families.retain(|_, faulty| is_probing || !faulty.waiting.is_empty());
    }

    pub(super) fn expire_of(&mut self, key: &Arc<str>, wall_ms: i64) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let mut late = Vec::new();
        for batch in session.batches() {
            let entries = split_off(&mut batch.entries, |entry| self.policy.is_expired(entry, wall_ms));
            if !entries.is_empty() {
                late.push((Arc::clone(&batch.frame), entries));
            }
            self.oldest_ms = self.oldest_ms.min(batch.oldest_ms());
        }
        if late.is_empty() {
            return;
        }
        let empty: Vec<Batch> = session.drop_empty();
        for (frame, entries) in late {
            self.waiting -= entries.len();
            self.settle(&frame, entries, Outcome::Dropped(Reason::Expired));
        }
        for batch in empty {
            self.leave_search(&batch);
        }
        self.schedule(key);
    }
}
