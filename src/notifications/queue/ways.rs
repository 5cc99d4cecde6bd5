//! Which host a batch goes to, what is known of hosts, and the requests that find out about families.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::batch::{Batch, Family};
use super::super::circuit::Host;
use super::super::faults::Faulty;
use super::{Answer, Queue};
use crate::transport::retry::backoff;

impl Queue {
    /// A batch whose surroundings are refused, to find out whether they still are: one at a time.
    pub(super) fn take_probe(&mut self, wall_ms: i64, now: Instant) -> Option<Batch> {
        while !self.is_probing {
            let families = self.faults.families.iter().filter(|(_, faulty)| faulty.due <= now);
            let may_go = |(family, faulty): (&Family, &Faulty)| {
                let (at, opens) = self.next_probe(faulty, now)?;
                (opens <= now).then_some((faulty.due, *family, at))
            };
            let (_, family, at) = families.filter_map(may_go).min()?;
            let batch = self.faults.families.get_mut(&family).and_then(|faulty| faulty.waiting.remove(at))?;
            self.waiting -= batch.entries.len();
            if let Some(mut batch) = self.still_in_time(batch, wall_ms) {
                self.is_probing = true;
                self.probed_last = true;
                batch.probe = true;
                self.begin(&mut batch, now);
                return Some(batch);
            }
            self.faults.forget(family);
        }
        None
    }

    /// Which batch of a family goes next, and from when on it may. Rather one of which nothing is known yet.
    pub(super) fn next_probe(&self, faulty: &Faulty, now: Instant) -> Option<(usize, Instant)> {
        let is_free =
            |batch: &Batch| self.sessions.get(&batch.frame.session_id).is_none_or(|session| !session.in_flight);
        let is_unknown = |batch: &Batch| batch.entries.iter().any(|entry| entry.refusal.is_none());
        let mut waiting = faulty.waiting.iter();
        let unknown = waiting.position(|batch| is_unknown(batch) && is_free(batch));
        let at = unknown.or_else(|| faulty.waiting.iter().position(is_free))?;
        let (opens, _) = self.way(self.policy.host_of(&faulty.waiting.get(at)?.frame), now)?;
        Some((at, opens))
    }

    /// When a batch for a cluster may go out, and whether to the default host instead. None while requests are out to try.
    pub(super) fn way(&self, cluster: &str, now: Instant) -> Option<(Instant, bool)> {
        let opens = |name: &str| self.hosts.get(name).map_or(Some(now), |host| host.opens(now));
        let own = opens(cluster);
        if cluster.is_empty() || own == Some(now) {
            return own.map(|opens| (opens, false));
        }
        match (own, opens("")) {
            (Some(own), Some(default)) if own <= default => Some((own, false)),
            (own, None) => own.map(|opens| (opens, false)),
            (_, Some(default)) => Some((default, true)),
        }
    }

    pub(super) fn begin(&mut self, batch: &mut Batch, now: Instant) {
        self.out.push(Arc::clone(&batch.frame.session_id));
        self.sessions.entry(Arc::clone(&batch.frame.session_id)).or_default().in_flight = true;
        let cluster = self.policy.host_of(&batch.frame);
        batch.by_default = self.way(cluster, now).is_some_and(|(_, by_default)| by_default);
        let host = if batch.by_default { "" } else { cluster };
        self.hosts.entry(host.to_owned()).or_default().begin();
    }

    pub(super) fn learn_of_hosts(&mut self, batch: &Batch, answer: &Answer, detour: bool, now: Instant) {
        let retry = self.policy.retry;
        let cluster = self.policy.host_of(&batch.frame);
        if detour {
            let host = self.hosts.entry(cluster.to_owned()).or_default();
            host.failed(now, Duration::ZERO, |beyond| backoff(&retry, beyond));
        }
        let asked = if detour || batch.by_default { "" } else { cluster };
        let host = self.hosts.entry(asked.to_owned()).or_default();
        match answer {
            Answer::Later { host_failed: true, asked_for, .. } => {
                host.failed(now, self.policy.wait_asked_for(*asked_for), |beyond| backoff(&retry, beyond));
            }
            Answer::Later { .. } => host.no_answer_needed(),
            _ => host.succeeded(),
        }
        self.hosts.retain(|_, host| !host.is_idle(now));
    }

    /// When the next batch may go out, as things stand.
    pub(in crate::notifications) fn soonest(&self, now: Instant) -> Option<Instant> {
        if self.stopped {
            return None;
        }
        let of_host = |(name, host): (&String, &Host)| Some(host.due(now)?.max(self.way(name, now)?.0));
        let of_family = |faulty: &Faulty| Some(self.next_probe(faulty, now)?.1.max(faulty.due));
        let families = self.faults.families.values().filter(|_| !self.is_probing).filter_map(of_family);
        self.hosts.iter().filter_map(of_host).chain(families).min()
    }
}
