//! What an answer makes of a batch that was on its way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::super::batch::{Batch, Entry, Frame, Refusal, ids};
use super::super::faults::{Faulty, Found};
use super::{Answer, Outcome, Queue, Reason, Told, after, split_off};
use crate::transport::retry::backoff;

impl Queue {
    /// What an answer makes of a batch that was on its way. Each of its notifications has its attempts counted.
    /// `detour`: its cluster's host could not be reached, and the answer is the default host's.
    pub(in crate::notifications) fn land(&mut self, mut batch: Batch, answer: Answer, detour: bool, now: Instant) {
        let key = Arc::clone(&batch.frame.session_id);
        if let Some(session) = self.sessions.get_mut(&key) {
            session.in_flight = false;
        }
        self.out.retain(|out| *out != key);
        batch.tried = true;
        self.learn_of_hosts(&batch, &answer, detour, now);
        let is_probe = std::mem::take(&mut batch.probe);
        let family = is_probe.then(|| batch.frame.family());
        self.is_probing &= !is_probe;
        match answer {
            Answer::Taken { missing } => self.taken(batch, &missing, now),
            Answer::BadRequest(refusal) => self.bad_request(batch, refusal, now),
            Answer::TooLarge(_) if batch.entries.len() > 1 => {
                if let Some(search) = batch.search {
                    self.faults.halved(search);
                }
                self.halve(batch, now);
            }
            Answer::TooLarge(refusal) | Answer::Refused(refusal) => {
                self.leave_search(&batch);
                self.settle(&batch.frame, batch.entries, Outcome::Rejected(refusal));
            }
            Answer::Later { maybe_counted, asked_for, .. } => {
                if maybe_counted {
                    let lost = split_off(&mut batch.entries, |entry| entry.notification.once);
                    self.settle(&batch.frame, lost, Outcome::Dropped(Reason::OutcomeUnknown));
                }
                if batch.entries.is_empty() {
                    self.leave_search(&batch);
                } else {
                    let asked_for = self.policy.wait_asked_for(asked_for);
                    batch.not_before = Some(after(now, asked_for));
                    batch.due = after(now, backoff(&self.policy.retry, batch.attempts().max(1)).max(asked_for));
                    self.put_back(batch);
                }
            }
        }
        if let Some(family) = family {
            self.faults.forget(family);
        }
        self.schedule(&key);
    }

    pub(super) fn faulty(&mut self, batch: &Batch) -> Option<&mut Faulty> {
        if self.faults.families.is_empty() {
            return None;
        }
        self.faults.families.get_mut(&batch.frame.family())
    }

    pub(super) fn taken(&mut self, mut batch: Batch, missing: &[String], now: Instant) {
        let left_out = split_off(&mut batch.entries, |entry| missing.contains(&entry.notification.id));
        let vouches = !batch.entries.is_empty();
        if let Some(search) = batch.search.take() {
            let found = self.faults.accepted(search);
            self.found(found, now);
        }
        self.surroundings_are_good(&batch.frame, now);
        self.settle(&batch.frame, std::mem::take(&mut batch.entries), Outcome::Acknowledged);
        for mut entry in left_out {
            entry.vouched |= vouches;
            let mut single = batch.with(vec![entry], now);
            single.alone = true;
            single.due = after(now, backoff(&self.policy.retry, single.attempts().max(1)));
            self.put_back(single);
        }
    }

    pub(super) fn bad_request(&mut self, mut batch: Batch, refusal: Refusal, now: Instant) {
        let retry = self.policy.retry;
        let count = batch.entries.len();
        if let Some(faulty) = self.faulty(&batch) {
            faulty.attempts = faulty.attempts.saturating_add(1);
            faulty.due = after(now, backoff(&retry, faulty.attempts));
            if let [only] = &mut batch.entries[..] {
                only.refusal = Some(refusal);
            }
            return self.hold(batch);
        }
        let is_known_bad = batch.entries.iter().all(|entry| entry.vouched);
        if self.stopped && !self.policy.durable && !is_known_bad {
            // The searches have ended.
            return self.put_back(batch);
        }
        if count > 1 {
            match batch.search {
                Some(search) => self.faults.halved(search),
                None => batch.search = Some(self.faults.search(&batch.frame, 2)),
            }
            return self.halve(batch, now);
        }
        let Some(mut entry) = batch.entries.pop() else { return };
        if entry.vouched {
            self.leave_search(&batch);
            return self.settle(&batch.frame, vec![entry], Outcome::Rejected(refusal));
        }
        entry.refusal = Some(refusal);
        let found = match batch.search {
            Some(search) => self.faults.refused(search, entry),
            None => Found::SharedFault((Arc::clone(&batch.frame), vec![entry])),
        };
        self.found(found, now);
    }

    pub(super) fn halve(&mut self, mut batch: Batch, now: Instant) {
        let second = batch.entries.split_off(batch.entries.len().div_ceil(2));
        let first = std::mem::take(&mut batch.entries);
        self.put_back(batch.with(second, now));
        self.put_back(batch.with(first, now));
    }

    pub(super) fn leave_search(&mut self, batch: &Batch) {
        if let Some(search) = batch.search {
            let found = self.faults.left(search);
            self.found(found, batch.due);
        }
    }

    pub(super) fn found(&mut self, found: Found<(Arc<Frame>, Vec<Entry>)>, now: Instant) {
        match found {
            Found::Nothing => {}
            Found::Bad((frame, entries)) => self.reject_each(&frame, entries),
            Found::SharedFault((frame, entries)) => self.hold_back(frame, entries, now),
        }
    }

    pub(super) fn reject_each(&mut self, frame: &Arc<Frame>, entries: Vec<Entry>) {
        for mut entry in entries {
            let refusal = entry.refusal.take().unwrap_or_default();
            self.settle(frame, vec![entry], Outcome::Rejected(refusal));
        }
    }

    pub(super) fn hold_back(&mut self, frame: Arc<Frame>, entries: Vec<Entry>, now: Instant) {
        let retry = self.policy.retry;
        let refusal = entries.first().and_then(|entry| entry.refusal.clone()).unwrap_or_default();
        let ids = ids(&entries);
        let mut is_new = false;
        self.faults.families.entry(frame.family()).or_insert_with(|| {
            is_new = true;
            Faulty { attempts: 1, due: after(now, backoff(&retry, 1)), waiting: VecDeque::new() }
        });
        let mut batch = Batch::new(frame, entries, now);
        batch.tried = true;
        if is_new {
            self.outbox.push(Told::SharedFault { ids, refusal });
        }
        self.hold(batch);
    }

    /// Something with these surroundings was taken: whoever is refused alone from now on is bad itself. What was refused
    /// before may have been so for what is mended now, and is tried once more.
    pub(super) fn surroundings_are_good(&mut self, frame: &Frame, now: Instant) {
        if self.faults.families.is_empty() {
            return;
        }
        let Some(faulty) = self.faults.families.remove(&frame.family()) else { return };
        for mut batch in faulty.waiting {
            self.waiting -= batch.entries.len();
            let key = Arc::clone(&batch.frame.session_id);
            for mut entry in split_off(&mut batch.entries, |entry| entry.refusal.is_some()) {
                entry.refusal = None;
                entry.vouched = true;
                let single = batch.with(vec![entry], now);
                self.put_back(single);
            }
            if !batch.entries.is_empty() {
                batch.due = now;
                self.put_back(batch);
            }
            self.schedule(&key);
        }
    }
}
