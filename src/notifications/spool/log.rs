//! One log in one slot. Three locks, never the other way round: `tidying` (one thread removes and moves), the state's,
//! the commit's. The state's is held across the one `write` of an append, since the order in the file is the order of
//! the numbers, and never across a sync, a read or a removal.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use super::commit::{Failed, GroupCommit};
use super::record::{Piece, Record, Scan};
use super::replay::{Left, replay};
use super::segment::{self, Kept};
use super::slots::Slot;
use super::state::{State, Taken};
use super::{Settings, Submission};
use crate::config::SpoolSync;
use crate::error::TargetError;
use crate::sync::lock;

#[derive(Debug)]
pub(super) struct Log {
    slot: Slot,
    settings: Settings,
    state: Mutex<State>,
    commit: GroupCommit,
    tidying: Mutex<()>,
    #[cfg(test)]
    faults: faults::Faults,
}

impl Log {
    /// Recovers what the slot has, in the order of acceptance.
    pub(super) fn open(slot: Slot, settings: Settings) -> io::Result<(Log, Vec<Left>)> {
        let mut found = replay(&slot.directory)?;
        let mut state = State::new(&mut found);
        if settings.sync != SpoolSync::None {
            // Whoever wrote them may not have come to syncing them.
            let file = |number| File::open(segment::path(&slot.directory, number)).map(segment::keep);
            let numbers = found.legible.iter().copied();
            state.unsynced.extend(numbers.filter_map(|number| Some((number, Arc::new(file(number).ok()?)))));
            state.written = u64::from(!state.unsynced.is_empty());
            state.directory_changed = true;
        }
        let log = Log {
            slot,
            settings,
            state: Mutex::new(state),
            commit: GroupCommit::default(),
            tidying: Mutex::new(()),
            #[cfg(test)]
            faults: Default::default(),
        };
        log.remove_dead(&lock(&log.tidying));
        Ok((log, found.submissions))
    }

    fn is_synced(&self) -> bool {
        self.settings.sync != SpoolSync::None
    }

    /// Returns the first number.
    pub(super) fn append(&self, submission: &Submission<'_>) -> Result<u64, TargetError> {
        let mut made_room = false;
        let (first, write) = loop {
            let taken = lock(&self.state).append(&self.slot.directory, &self.settings, submission)?;
            match taken {
                Taken::All(first, write) => break (first, write),
                Taken::Full(size) if !made_room => made_room = self.make_room(size),
                Taken::Full(_) => return Err(TargetError::spool_full(self.settings.max_bytes)),
            }
            if !made_room {
                return Err(TargetError::spool_full(self.settings.max_bytes));
            }
        };
        if self.settings.sync == SpoolSync::Each
            && let Err(error) = self.wait_synced(write)
        {
            // It may be on disk all the same: a mark takes it back.
            let numbers: Vec<u64> = (0..submission.notifications.len() as u64).map(|index| first + index).collect();
            self.finish(&numbers);
            return Err(error);
        }
        Ok(first)
    }

    /// On disk when it returns, unless nothing is to be synced. Returns those that were not attempted before.
    pub(super) fn mark_attempted(&self, numbers: &[u64]) -> Result<Vec<u64>, TargetError> {
        let (news, write) = {
            let mut state = lock(&self.state);
            let news = state.set_attempted(numbers, true);
            match state.write_marks(&self.slot.directory, &self.settings) {
                Ok(write) => (news, write),
                Err(error) => {
                    state.set_attempted(&news, false);
                    return Err(TargetError::spool_refused("a mark", &error));
                }
            }
        };
        if self.is_synced()
            && let Err(error) = self.wait_synced(write)
        {
            self.mark_unattempted(&news);
            return Err(error);
        }
        Ok(news)
    }

    pub(super) fn mark_unattempted(&self, numbers: &[u64]) {
        let mut state = lock(&self.state);
        state.set_attempted(numbers, false);
        // What cannot be written waits in memory.
        let _ = state.write_marks(&self.slot.directory, &self.settings);
    }

    pub(super) fn finish(&self, numbers: &[u64]) {
        let is_untidy = {
            let mut state = lock(&self.state);
            state.finish(numbers);
            let _ = state.write_marks(&self.slot.directory, &self.settings);
            state.is_oldest_dead() || state.is_sparse(&self.settings)
        };
        if is_untidy && let Some(tidying) = self.try_tidy() {
            self.tidy(&tidying);
        }
    }

    /// Everything so far is on disk when it returns.
    pub(super) fn sync(&self) -> Result<(), TargetError> {
        if let Some(tidying) = self.try_tidy() {
            self.rescue(&tidying);
        }
        let write = {
            let mut state = lock(&self.state);
            let write = state.write_marks(&self.slot.directory, &self.settings);
            write.map_err(|error| TargetError::spool_refused("a mark", &error))?
        };
        if self.is_synced() {
            self.wait_synced(write)?;
        }
        Ok(())
    }

    fn wait_synced(&self, write: u64) -> Result<(), TargetError> {
        let waited = self.commit.wait(write, || self.sync_files());
        waited.map_err(|reason| TargetError::spool_refused("a sync", &io::Error::other(reason)))
    }

    fn sync_files(&self) -> Result<u64, Failed> {
        let (files, directory_changed, upto) = {
            let mut state = lock(&self.state);
            let mut files = std::mem::take(&mut state.unsynced);
            files.extend(state.head.as_ref().map(|head| (head.number(), Arc::clone(&head.file))));
            (files, std::mem::take(&mut state.directory_changed), state.written)
        };
        #[cfg(test)]
        let lengths: Vec<(u32, u64)> =
            files.iter().map(|(number, file)| (*number, file.get().unwrap().metadata().unwrap().len())).collect();
        let sync = |(_, file): &(u32, Arc<Kept>)| file.get()?.sync_data();
        let mut outcome = files.iter().try_for_each(sync);
        if directory_changed && outcome.is_ok() {
            outcome = segment::sync_directory(&self.slot.directory);
        }
        #[cfg(test)]
        {
            outcome = outcome.and(self.faults.meet(&lengths));
        }
        let Err(error) = outcome else { return Ok(upto) };
        // The kernel forgets what it could not write: the next sync of these files would succeed and mean nothing.
        let mut state = lock(&self.state);
        state.seal(&self.settings);
        state.directory_changed |= directory_changed;
        let since = std::mem::take(&mut state.unsynced);
        for (number, _) in files.iter().chain(&since) {
            if let Some(segment) = state.segment_mut(*number) {
                segment.suspect = true;
            }
        }
        Err(Failed { upto: state.written, reason: error.to_string() })
    }

    /// None if somebody is at it, or if the slot may be somebody else's by now.
    fn try_tidy(&self) -> Option<MutexGuard<'_, ()>> {
        let tidying = match self.tidying.try_lock() {
            Ok(tidying) => tidying,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let is_closed = lock(&self.state).closed;
        (!is_closed).then_some(tidying)
    }

    fn tidy(&self, tidying: &MutexGuard<'_, ()>) {
        self.rescue(tidying);
        self.remove_dead(tidying);
        self.compact(tidying, |state| state.is_sparse(&self.settings));
    }

    /// Moves what is live in segments that could not be synced, and says again what they say of others.
    fn rescue(&self, _: &MutexGuard<'_, ()>) {
        loop {
            let suspect =
                lock(&self.state).segments.iter().find(|segment| segment.suspect).map(|segment| segment.number);
            let Some(number) = suspect else { return };
            if self.move_live(number, true).is_err() {
                return;
            }
            if let Some(segment) = lock(&self.state).segment_mut(number) {
                segment.suspect = false;
            }
        }
    }

    /// Removes segments that nobody needs, strictly from the oldest: a mark is in the segment of what it marks or in a
    /// later one, so what is dead stays dead whatever a crash leaves of this.
    fn remove_dead(&self, _: &MutexGuard<'_, ()>) {
        let mut unsynced_removal = false;
        loop {
            let mut state = lock(&self.state);
            let is_moved = !self.is_synced() || self.commit.upto() >= state.moved;
            if !state.is_oldest_dead() || !is_moved || state.segments.iter().any(|segment| segment.suspect) {
                return;
            }
            let Some(oldest) = state.segments.pop_front() else { return };
            state.bytes = state.bytes.saturating_sub(oldest.bytes);
            state.unsynced.retain(|(number, _)| *number != oldest.number);
            drop(state);
            let synced = if unsynced_removal { segment::sync_directory(&self.slot.directory) } else { Ok(()) };
            let removed = synced.and_then(|()| segment::remove(&segment::path(&self.slot.directory, oldest.number)));
            unsynced_removal = self.is_synced();
            if removed.is_err() {
                let mut state = lock(&self.state);
                state.bytes += oldest.bytes;
                state.segments.push_front(oldest);
                return;
            }
        }
    }

    /// Moves what is live in the oldest segments while that pays. One turn around the log at the most.
    fn compact(&self, tidying: &MutexGuard<'_, ()>, pays: impl Fn(&State) -> bool) {
        let newest = lock(&self.state).segments.back().map(|segment| segment.number);
        loop {
            let oldest = {
                let mut state = lock(&self.state);
                let Some((number, stuck)) = state.segments.front().map(|oldest| (oldest.number, oldest.stuck)) else {
                    return;
                };
                if stuck || Some(number) > newest || !pays(&state) {
                    return;
                }
                if state.head_number() == Some(number) {
                    state.seal(&self.settings);
                }
                number
            };
            let moved = self.move_live(oldest, false);
            let write = {
                let mut state = lock(&self.state);
                if let Some(segment) = state.segment_mut(oldest) {
                    segment.stuck = moved.is_ok() && segment.live > 0;
                }
                state.moved
            };
            if moved.is_err() || (self.is_synced() && self.wait_synced(write).is_err()) {
                return;
            }
            self.remove_dead(tidying);
            if lock(&self.state).segments.front().is_some_and(|segment| segment.number == oldest) {
                return;
            }
        }
    }

    /// What nobody will ever read stays where it is: the queue still has it. What only cannot be read now is an error.
    fn move_live(&self, number: u32, with_marks: bool) -> io::Result<()> {
        if !with_marks && lock(&self.state).segment_mut(number).is_none_or(|segment| segment.live == 0) {
            return Ok(());
        }
        let bytes = match segment::read(&segment::path(&self.slot.directory, number)) {
            Ok(bytes) => bytes,
            Err(error) if segment::is_lost(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        for piece in Scan::new(&bytes) {
            match piece {
                Piece::Record(Record::Submission { accepted_ms, shared, items }) => {
                    let record = (accepted_ms, shared, &*items);
                    lock(&self.state).move_record(&self.slot.directory, &self.settings, number, record)?;
                }
                Piece::Record(Record::Marks(_, ranges)) if with_marks => lock(&self.state).mark_again(&ranges),
                Piece::Record(Record::Marks(..)) | Piece::Damage | Piece::Torn(_) => {}
            }
        }
        Ok(())
    }

    /// Whether a second try of an append that needs so many bytes may succeed.
    fn make_room(&self, size: u64) -> bool {
        let tidying = lock(&self.tidying);
        let max = self.settings.max_bytes;
        {
            let mut state = lock(&self.state);
            if state.closed {
                return false;
            }
            if state.live.is_empty() {
                state.seal(&self.settings);
            }
        }
        self.rescue(&tidying);
        self.remove_dead(&tidying);
        // A turn around a log that is nearly all alive would cost more than the room is worth.
        let has_garbage = |state: &State| state.bytes.saturating_sub(state.live_bytes) > size.max(max / 4);
        self.compact(&tidying, |state| state.bytes + size > max && has_garbage(state));
        lock(&self.state).bytes + size <= max
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.state).live.is_empty()
    }

    pub(super) fn count(&self, stats: &mut super::SpoolStats) {
        let state = lock(&self.state);
        stats.pending += state.live.len() as u64;
        stats.bytes += state.bytes;
        stats.segments += state.segments.len() as u64;
        stats.damaged_records += state.damaged;
        stats.torn_records += state.torn;
    }

    /// Syncs, removes what nobody needs, and leaves the slot to others.
    pub(super) fn close(&self) -> Result<(), TargetError> {
        let before = self.sync();
        let tidying = lock(&self.tidying);
        let write = {
            let mut state = lock(&self.state);
            if std::mem::replace(&mut state.closed, true) {
                return Ok(());
            }
            state.written
        };
        // What others wrote since.
        let synced = if self.is_synced() { self.wait_synced(write) } else { Ok(()) };
        {
            let mut state = lock(&self.state);
            state.seal(&self.settings);
            state.unsynced.clear();
            if state.live.is_empty() {
                state.segments.iter_mut().for_each(|segment| segment.suspect = false);
                state.moved = 0;
            }
        }
        self.remove_dead(&tidying);
        self.slot.release();
        before.and(synced)
    }
}

/// A disk that fails on demand.
#[cfg(test)]
mod faults {
    use super::{Log, segment};
    use crate::sync::lock;
    use std::collections::HashMap;
    use std::fs::File;
    use std::io;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    #[derive(Debug, Default)]
    pub(super) struct Faults {
        fail_sync: AtomicBool,
        syncs: AtomicU64,
        /// How long segments were when a sync of them succeeded.
        durable: Mutex<HashMap<u32, u64>>,
    }

    impl Faults {
        pub(super) fn meet(&self, lengths: &[(u32, u64)]) -> io::Result<()> {
            self.syncs.fetch_add(1, Ordering::Relaxed);
            if self.fail_sync.swap(false, Ordering::Relaxed) {
                return Err(io::ErrorKind::Other.into());
            }
            lock(&self.durable).extend(lengths.iter().copied());
            Ok(())
        }
    }

    impl Log {
        pub(in super::super) fn fail_next_sync(&self) {
            self.faults.fail_sync.store(true, Ordering::Relaxed);
        }

        pub(in super::super) fn syncs(&self) -> u64 {
            self.faults.syncs.load(Ordering::Relaxed)
        }

        pub(in super::super) fn durable(&self) -> HashMap<u32, u64> {
            lock(&self.faults.durable).clone()
        }

        /// Writes end halfway, as on a full disk.
        pub(in super::super) fn fill_disk(&self, is_full: bool) {
            lock(&self.state).is_disk_full = is_full;
        }

        pub(in super::super) fn replace_head(&self, file: File) {
            lock(&self.state).head.as_mut().unwrap().file = Arc::new(segment::keep(file));
        }
    }
}
