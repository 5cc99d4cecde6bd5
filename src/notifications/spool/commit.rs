//! Group commit: many threads wait for their records to be on disk, one of them syncs for all.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::sync::lock;

/// Records are counted as they are written; a sync covers all up to a count.
#[derive(Debug, Default)]
pub(super) struct GroupCommit {
    rounds: Mutex<Rounds>,
    over: Condvar,
}

#[derive(Debug, Default)]
struct Rounds {
    /// Decided up to here: on disk, unless in `failed`.
    upto: u64,
    /// Counts above the first, up to the second, for those who still have to hear of it.
    failed: Vec<(u64, u64, String)>,
    syncing: bool,
    waiting: usize,
}

/// A sync that failed spoils everything up to this count that was not on disk.
pub(super) struct Failed {
    pub upto: u64,
    pub reason: String,
}

impl GroupCommit {
    /// Up to where the outcome is known.
    pub(super) fn upto(&self) -> u64 {
        lock(&self.rounds).upto
    }

    /// Waits until everything up to the count is on disk. If nobody syncs, this thread does, with no lock held: the
    /// function syncs and says up to where.
    pub(super) fn wait(&self, count: u64, sync: impl Fn() -> Result<u64, Failed>) -> Result<(), String> {
        let mut rounds = lock(&self.rounds);
        rounds.waiting += 1;
        let outcome = loop {
            if let Some((_, _, reason)) =
                rounds.failed.iter().find(|(low, high, _)| (*low + 1..=*high).contains(&count))
            {
                break Err(reason.clone());
            }
            if rounds.upto >= count {
                break Ok(());
            }
            if rounds.syncing {
                rounds = self.over.wait(rounds).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            rounds.syncing = true;
            drop(rounds);
            let result = sync();
            rounds = lock(&self.rounds);
            rounds.syncing = false;
            let low = rounds.upto;
            match result {
                Ok(upto) => rounds.upto = low.max(upto),
                Err(Failed { upto, reason }) => {
                    rounds.upto = low.max(upto);
                    rounds.failed.push((low, upto, reason));
                }
            }
            self.over.notify_all();
        };
        rounds.waiting -= 1;
        if rounds.waiting == 0 {
            rounds.failed.clear();
        }
        outcome
    }
}
