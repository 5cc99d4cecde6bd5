//! The store itself: slots, the log that is the client's own, and those it has adopted.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::log::Log;
use super::rejected::Rejected;
use super::replay::{self, Left};
use super::slots::{self, Slot};
use super::{Recovered, RecoveredItem, Settings, SpoolStats, Submission, Ticket, segment};
use crate::config::SpoolSync;
use crate::error::TargetError;
use crate::sync::lock;

/// A log has so many segments at least when it is full: otherwise room could not be made piece by piece.
const FEWEST_SEGMENTS: u64 = 8;

#[derive(Debug)]
pub(crate) struct Spool {
    directory: PathBuf,
    account: String,
    settings: Settings,
    /// Store 0.
    pub(super) own: Log,
    adopted: Mutex<Adopted>,
    rejected: Rejected,
}

#[derive(Debug, Default)]
struct Adopted {
    stores: BTreeMap<u32, Arc<Log>>,
    last: u32,
    /// Damage in those that are done with.
    damaged: u64,
    torn: u64,
    closed: bool,
}

impl Spool {
    /// Takes a slot, and all that dead processes left for the same account. Their order is that of acceptance in each
    /// slot.
    pub(crate) fn open(
        directory: &Path,
        account: String,
        settings: Settings,
    ) -> Result<(Spool, Vec<Recovered>), TargetError> {
        let most = (settings.max_bytes / FEWEST_SEGMENTS).max(1);
        let settings = Settings { segment_bytes: settings.segment_bytes.clamp(1, most.min(1 << 29)), ..settings };
        let failed = |error: io::Error| {
            TargetError::storage(format!("the spool `{}` cannot be opened: {error}", directory.display()))
        };
        slots::create_directory(directory).map_err(failed)?;
        let mut from = 0;
        let (own, left) = loop {
            let slot = slots::take_first(directory, from, &account).map_err(failed)?;
            from = slot.index + 1;
            if let Some(opened) = open_log(slot, settings) {
                break opened;
            }
        };
        if settings.sync != SpoolSync::None {
            // The names of the directories; a file system that cannot do it has its reasons.
            for named_in in [Some(directory), directory.parent()].into_iter().flatten() {
                let _ = segment::sync_directory(named_in);
            }
        }
        let rejected = Rejected::new(directory);
        let spool =
            Spool { directory: directory.to_owned(), account, settings, own, adopted: Mutex::default(), rejected };
        let mut recovered = recovered(0, left);
        recovered.extend(spool.adopt());
        Ok((spool, recovered))
    }

    /// Takes all notifications and returns the first one's ticket, or takes none: `QueueFull` beyond the bound, `Storage`
    /// when the disk refuses. A submission of none is an empty record that nobody finds again.
    pub(crate) fn append(&self, submission: &Submission<'_>) -> Result<Ticket, TargetError> {
        Ok(Ticket { store: 0, number: self.own.append(submission)? })
    }

    /// Notes that these are about to be sent. On disk when it returns (handed to the system with [`SpoolSync::None`]); on an
    /// error nothing is noted.
    pub(crate) fn mark_attempted(&self, tickets: &[Ticket]) -> Result<(), TargetError> {
        let mut done = Vec::new();
        for (store, numbers) in self.by_store(tickets) {
            match store.log().mark_attempted(&numbers) {
                Ok(news) => done.push((store, news)),
                Err(error) => {
                    done.iter().for_each(|(store, news)| store.log().mark_unattempted(news));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Notes that what was attempted was not counted. What the disk does not take is written with the next success.
    pub(crate) fn mark_unattempted(&self, tickets: &[Ticket]) {
        for (store, numbers) in self.by_store(tickets) {
            store.log().mark_unattempted(&numbers);
        }
    }

    /// These are never recovered again. What the disk does not take is written with the next success. It may move and
    /// remove segments, so it is not for threads that must not wait.
    pub(crate) fn finish(&self, tickets: &[Ticket]) {
        for (store, numbers) in self.by_store(tickets) {
            store.log().finish(&numbers);
            if let Store::Adopted(number, log) = &store
                && log.is_empty()
            {
                self.drop_adopted(*number, log);
            }
        }
    }

    /// Puts everything so far on disk. With [`SpoolSync::None`] it only hands over marks that the disk refused before.
    pub(crate) fn sync(&self) -> Result<(), TargetError> {
        let adopted: Vec<_> = lock(&self.adopted).stores.values().cloned().collect();
        let others = adopted.iter().map(|log| log.sync()).fold(Ok(()), Result::and);
        self.own.sync().and(others)
    }

    /// Takes what processes left that died since.
    pub(crate) fn adopt(&self) -> Vec<Recovered> {
        let mut all = Vec::new();
        for slot in slots::take_abandoned(&self.directory, &self.account) {
            let Some((log, left)) = open_log(slot, self.settings) else { continue };
            // It holds its files open until then, and there may be many logs. What fails is met again.
            if self.settings.sync != SpoolSync::None {
                let _ = log.sync();
            }
            let log = Arc::new(log);
            let mut adopted = lock(&self.adopted);
            if adopted.closed {
                return all;
            }
            adopted.last += 1;
            let store = adopted.last;
            adopted.stores.insert(store, Arc::clone(&log));
            drop(adopted);
            if log.is_empty() {
                self.drop_adopted(store, &log);
            }
            all.extend(recovered(store, left));
        }
        all
    }

    fn drop_adopted(&self, number: u32, log: &Log) {
        // If its segments cannot be removed they are found again, with nothing in them.
        let _ = log.close();
        let mut adopted = lock(&self.adopted);
        if adopted.stores.remove(&number).is_some() {
            let mut counts = SpoolStats::default();
            log.count(&mut counts);
            adopted.damaged += counts.damaged_records;
            adopted.torn += counts.torn_records;
        }
    }

    pub(crate) fn stats(&self) -> SpoolStats {
        let mut stats = SpoolStats::default();
        self.own.count(&mut stats);
        let adopted = lock(&self.adopted);
        adopted.stores.values().for_each(|log| log.count(&mut stats));
        stats.damaged_records += adopted.damaged;
        stats.torn_records += adopted.torn;
        stats.adopted = adopted.stores.len() as u64;
        stats
    }

    /// Appends a line to `rejected.jsonl`, for people. It is no part of the promise: a disk that refuses it costs the line.
    pub(crate) fn reject(&self, line: &str) {
        let _ = self.rejected.append(line);
    }

    /// Syncs and leaves the slots to others; a slot with nothing pending keeps no segments. Afterwards nothing is
    /// taken.
    pub(crate) fn close(&self) -> Result<(), TargetError> {
        let adopted = {
            let mut adopted = lock(&self.adopted);
            adopted.closed = true;
            adopted.stores.values().cloned().collect::<Vec<_>>()
        };
        let others = adopted.iter().map(|log| log.close()).fold(Ok(()), Result::and);
        self.own.close().and(others)
    }

    fn by_store(&self, tickets: &[Ticket]) -> Vec<(Store<'_>, Vec<u64>)> {
        let mut sorted = tickets.to_vec();
        sorted.sort_unstable();
        let adopted = lock(&self.adopted);
        let groups = sorted.chunk_by(|one, next| one.store == next.store);
        let named = groups.filter_map(|group| {
            let store = match group.first()?.store {
                0 => Store::Own(&self.own),
                number => Store::Adopted(number, Arc::clone(adopted.stores.get(&number)?)),
            };
            Some((store, group.iter().map(|ticket| ticket.number).collect()))
        });
        named.collect()
    }
}

/// Nothing if it cannot be read now: it stays as it is, and may be readable later.
fn open_log(slot: Slot, settings: Settings) -> Option<(Log, Vec<Left>)> {
    let directory = slot.directory.clone();
    let told = |error: &io::Error| {
        let directory = directory.display();
        crate::log::error(format_args!("spool: `{directory}` cannot be read now and is left as it is: {error}"));
    };
    Log::open(slot, settings).inspect_err(told).ok()
}

enum Store<'a> {
    Own(&'a Log),
    Adopted(u32, Arc<Log>),
}

impl Store<'_> {
    fn log(&self) -> &Log {
        match self {
            Store::Own(log) => log,
            Store::Adopted(_, log) => log,
        }
    }
}

fn recovered(store: u32, left: Vec<Left>) -> Vec<Recovered> {
    let item = |item: replay::LeftItem| RecoveredItem {
        ticket: Ticket { store, number: item.number },
        id: item.id,
        text: item.text,
        counts_twice: item.counts_twice,
        attempted: item.attempted,
    };
    let submission = |left: Left| Recovered {
        shared: left.shared,
        accepted_ms: left.accepted_ms,
        items: left.items.into_iter().map(item).collect(),
    };
    left.into_iter().map(submission).collect()
}
