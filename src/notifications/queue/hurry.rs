//! Somebody waits for delivery. Sessions hear of it a few at a time, when there is somebody to serve them.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Instant;

use super::super::circuit::Host;
use super::{AT_ONCE, Queue, Session};

impl Queue {
    /// Somebody waits for delivery: nothing lingers, and what waits for another attempt gets it now, as far as the edge
    /// has not asked for more time. Sessions hear of it when there is somebody to serve them: see
    /// [`Queue::give_turns_anew`].
    pub(in crate::notifications) fn hurry(&mut self, now: Instant) {
        let pause = self.policy.retry.base_delay;
        let again = self.hurried.is_none_or(|last| now.saturating_duration_since(last) >= pause);
        if again {
            self.hurried = Some(now);
        }
        for faulty in self.faults.families.values_mut().filter(|_| again) {
            faulty.due = faulty.due.min(now);
        }
        for host in self.hosts.values_mut() {
            host.hurry(now, again, self.last_turn);
        }
        for key in self.out.clone() {
            self.hurry_session(&key, again, now);
        }
    }

    pub(super) fn hurry_session(&mut self, key: &Arc<str>, again: bool, now: Instant) {
        for batch in self.sessions.get_mut(key).into_iter().flat_map(Session::batches) {
            if again || !batch.tried {
                batch.due = batch.due.min(batch.not_before.map_or(now, |not_before| not_before.max(now)));
            }
        }
        self.schedule(key);
    }

    /// Lets some of those sessions hear of a hurry that it was about.
    pub(super) fn give_turns_anew(&mut self, now: Instant) {
        for _ in 0..AT_ONCE {
            let Some((turn, again, last_turn)) = self.hosts.values_mut().find_map(Host::next_hurried) else { return };
            let Reverse((_, turn, key)) = turn;
            // Not if it had another one even then.
            if self.sessions.get(&key).is_some_and(|session| session.turn == turn || session.turn > last_turn) {
                self.hurry_session(&key, again, now);
            }
        }
    }
}
