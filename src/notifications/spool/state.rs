//! What a log knows of itself, and writing: all that happens under the log's lock. It knows no texts, those are on
//! disk and with the queue.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::record::{self, Mark, StoredItem};
use super::segment::{self, Kept};
use super::{Settings, Submission};
use crate::config::SpoolSync;
use crate::error::TargetError;

/// A buffer that one large submission blew up is not kept.
const KEPT_BUFFER: usize = 1024 * 1024;

/// With the largest segment before it, it is within what a reader takes for a segment.
const LARGEST_SUBMISSION: u64 = 1 << 28;

#[derive(Debug)]
pub(super) struct Segment {
    pub number: u32,
    pub bytes: u64,
    /// Notifications whose copy in force is here.
    pub live: usize,
    /// A sync of it failed: what is here may not be on disk, whatever a later sync says.
    pub suspect: bool,
    /// Moving what is live failed: it stays until that is finished.
    pub stuck: bool,
}

impl Segment {
    pub(super) fn new(number: u32, bytes: u64) -> Self {
        Segment { number, bytes, live: 0, suspect: false, stuck: false }
    }
}

/// A notification that is not finished.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live {
    pub segment: u32,
    bytes: u32,
    pub attempted: bool,
}

impl Live {
    /// An item's part of what surrounds it.
    pub(super) fn shares(shared: &[u8], items: usize) -> usize {
        record::size_around(shared).div_ceil(items.max(1))
    }

    pub(super) fn new(segment: u32, item: &StoredItem<'_>, shares: usize) -> Self {
        let bytes = u32::try_from(shares + record::size_of_item(item.id, item.text)).unwrap_or(u32::MAX);
        Live { segment, bytes, attempted: item.attempted }
    }
}

#[derive(Debug)]
pub(super) struct Head {
    number: u32,
    pub file: Arc<Kept>,
    /// Of the next notification that is accepted; with the segment's number it makes a number of its own for good.
    next: u32,
}

impl Head {
    pub(super) fn number(&self) -> u32 {
        self.number
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub head: Option<Head>,
    /// Oldest first; the head is the last.
    pub segments: VecDeque<Segment>,
    pub live: BTreeMap<u64, Live>,
    pub bytes: u64,
    pub live_bytes: u64,
    /// Marks that no disk took yet. They go with the next write.
    pub unwritten: BTreeMap<u64, Mark>,
    /// Segments that are full and not on disk yet.
    pub unsynced: Vec<(u32, Arc<Kept>)>,
    /// Names in the directory may not be on disk yet.
    pub directory_changed: bool,
    /// Writes so far.
    pub written: u64,
    /// The write that last moved something from an old segment; the old one stays until that is on disk.
    pub moved: u64,
    pub damaged: u64,
    pub torn: u64,
    pub closed: bool,
    #[cfg(test)]
    pub is_disk_full: bool,
    newest: Option<u32>,
    buffer: Vec<u8>,
}

pub(super) enum Taken {
    /// The first number and the write.
    All(u64, u64),
    /// There is no room for so many bytes.
    Full(u64),
}

impl State {
    pub(super) fn new(replay: &mut super::replay::Replay) -> Self {
        let live = std::mem::take(&mut replay.live);
        let segments = std::mem::take(&mut replay.segments);
        // A segment that vanished must not have its numbers given out again while something bears one.
        let numbered = live.last_key_value().and_then(|(number, _)| u32::try_from(number >> 32).ok());
        State {
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            live_bytes: live.values().map(|live| u64::from(live.bytes)).sum(),
            newest: segments.back().map(|segment| segment.number).max(numbered),
            damaged: replay.damaged,
            torn: replay.torn,
            segments,
            live,
            ..State::default()
        }
    }

    pub(super) fn segment_mut(&mut self, number: u32) -> Option<&mut Segment> {
        let at = self.segments.binary_search_by_key(&number, |segment| segment.number).ok()?;
        self.segments.get_mut(at)
    }

    /// No more is written to the newest segment.
    pub(super) fn seal(&mut self, settings: &Settings) {
        if let Some(head) = self.head.take()
            && settings.sync != SpoolSync::None
        {
            self.unsynced.push((head.number, head.file));
        }
    }

    /// Makes the newest segment one that takes so many bytes and numbers.
    fn make_head(&mut self, directory: &Path, settings: &Settings, bytes: u64, numbers: u32) -> io::Result<()> {
        let filled = self.segments.back().map_or(0, |segment| segment.bytes);
        let fits = |head: &Head| head.next.checked_add(numbers).is_some();
        if filled > 0 && filled + bytes > settings.segment_bytes || !self.head.as_ref().is_some_and(fits) {
            self.seal(settings);
        }
        if self.head.is_some() || self.closed {
            return Ok(());
        }
        let number = self.newest.map_or(Some(0), |newest| newest.checked_add(1));
        let number = number.ok_or_else(|| io::Error::other("its segments have used up their numbers"))?;
        let file = match segment::create(&segment::path(directory, number)) {
            Ok(file) => Arc::new(file),
            Err(error) => {
                // Whatever has that name keeps it.
                if error.kind() == io::ErrorKind::AlreadyExists {
                    self.newest = Some(number);
                }
                return Err(error);
            }
        };
        self.newest = Some(number);
        self.directory_changed = true;
        self.segments.push_back(Segment::new(number, 0));
        self.head = Some(Head { number, file, next: 0 });
        Ok(())
    }

    /// Writes the buffer in one go, or nothing of it.
    fn write_out(&mut self, settings: &Settings) -> io::Result<u64> {
        // Somebody else may have the slot by now.
        if self.closed {
            return Err(io::Error::other("the spool is closed"));
        }
        let (Some(head), Some(segment)) = (&self.head, self.segments.back_mut()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut file: &File = head.file.get()?;
        #[cfg(test)]
        let outcome = match self.buffer.get(..self.buffer.len() / 2) {
            Some(half) if self.is_disk_full => file.write_all(half).and(Err(io::ErrorKind::StorageFull.into())),
            _ => file.write_all(&self.buffer),
        };
        #[cfg(not(test))]
        let outcome = file.write_all(&self.buffer);
        if let Err(error) = outcome {
            let is_cut = file.set_len(segment.bytes).is_ok();
            // What cannot be cut off, or is as large as a file may be, takes no more.
            if !is_cut || (error.kind() == io::ErrorKind::FileTooLarge && segment.bytes > 0) {
                if !is_cut {
                    let length = file.metadata().map_or(0, |found| found.len()).max(segment.bytes);
                    self.bytes += length.saturating_sub(segment.bytes);
                    segment.bytes = length;
                }
                self.seal(settings);
            }
            return Err(error);
        }
        let length = self.buffer.len() as u64;
        segment.bytes += length;
        self.bytes += length;
        self.written += 1;
        self.unwritten.clear();
        if self.buffer.capacity() > KEPT_BUFFER {
            self.buffer = Vec::new();
        }
        Ok(self.written)
    }

    /// Empties the buffer but for the marks that wait.
    fn begin(&mut self) {
        self.buffer.clear();
        for mark in [Mark::Attempted, Mark::Unattempted, Mark::Finished] {
            let mut numbers =
                self.unwritten.iter().filter(|(_, waits)| **waits == mark).map(|(number, _)| *number).peekable();
            if numbers.peek().is_some() {
                record::put_marks(&mut self.buffer, mark, numbers);
            }
        }
    }

    pub(super) fn append(
        &mut self,
        directory: &Path,
        settings: &Settings,
        submission: &Submission<'_>,
    ) -> Result<Taken, TargetError> {
        if self.closed {
            return Err(TargetError::closed());
        }
        let around = record::size_around(submission.shared);
        let size = submission
            .notifications
            .iter()
            .fold(around as u64, |size, item| size + record::size_of_item(item.id, item.text) as u64);
        let most = settings.max_bytes.min(LARGEST_SUBMISSION);
        let count = u32::try_from(submission.notifications.len()).ok().filter(|_| size <= most);
        let Some(count) = count else { return Err(TargetError::spool_full(settings.max_bytes)) };
        if self.bytes + size > settings.max_bytes {
            return Ok(Taken::Full(size));
        }
        let refused = |error| TargetError::spool_refused("an append", &error);
        self.make_head(directory, settings, size, count).map_err(refused)?;
        let Some(head) = &self.head else { return Err(refused(io::ErrorKind::NotFound.into())) };
        let (number, first) = (head.number, u64::from(head.number) << 32 | u64::from(head.next));
        let items = submission.notifications.iter().enumerate().map(|(index, item)| StoredItem {
            number: first + index as u64,
            id: item.id,
            text: item.text,
            counts_twice: item.counts_twice,
            attempted: false,
        });
        self.begin();
        record::put_submission(&mut self.buffer, submission.accepted_ms, submission.shared, items.clone());
        let write = self.write_out(settings).map_err(refused)?;
        if let Some(head) = &mut self.head {
            head.next = head.next.saturating_add(count);
        }
        let shares = Live::shares(submission.shared, submission.notifications.len());
        for item in items {
            self.insert(item.number, Live::new(number, &item, shares));
        }
        Ok(Taken::All(first, write))
    }

    /// The copy in force is the newest one.
    fn insert(&mut self, number: u64, live: Live) {
        self.live_bytes += u64::from(live.bytes);
        if let Some(segment) = self.segment_mut(live.segment) {
            segment.live += 1;
        }
        if let Some(before) = self.live.insert(number, live) {
            self.leave(before);
        }
    }

    fn leave(&mut self, live: Live) {
        self.live_bytes = self.live_bytes.saturating_sub(u64::from(live.bytes));
        if let Some(segment) = self.segment_mut(live.segment) {
            segment.live = segment.live.saturating_sub(1);
        }
    }

    /// Writes a copy of what is live of a record in an old segment.
    pub(super) fn move_record(
        &mut self,
        directory: &Path,
        settings: &Settings,
        from: u32,
        (accepted_ms, shared, items): (i64, &[u8], &[StoredItem<'_>]),
    ) -> io::Result<()> {
        let mut items = items.to_vec();
        items.retain_mut(|item| {
            let live = self.live.get(&item.number).filter(|live| live.segment == from);
            item.attempted = live.is_some_and(|live| live.attempted);
            live.is_some()
        });
        if items.is_empty() {
            return Ok(());
        }
        let size = items.iter().map(|item| record::size_of_item(item.id, item.text)).sum::<usize>();
        self.make_head(directory, settings, (record::size_around(shared) + size) as u64, 0)?;
        let Some(number) = self.head.as_ref().map(|head| head.number) else { return Ok(()) };
        self.begin();
        record::put_submission(&mut self.buffer, accepted_ms, shared, items.iter().copied());
        self.moved = self.write_out(settings)?;
        let shares = Live::shares(shared, items.len());
        for item in items {
            self.insert(item.number, Live::new(number, &item, shares));
        }
        Ok(())
    }

    /// Writes the marks that wait. Without any it writes nothing.
    pub(super) fn write_marks(&mut self, directory: &Path, settings: &Settings) -> io::Result<u64> {
        if self.unwritten.is_empty() {
            return Ok(self.written);
        }
        self.begin();
        self.make_head(directory, settings, self.buffer.len() as u64, 0)?;
        self.write_out(settings)
    }

    /// Notes whether live notifications are attempted, and says of which that is news.
    pub(super) fn set_attempted(&mut self, numbers: &[u64], attempted: bool) -> Vec<u64> {
        let mut news = Vec::new();
        for number in numbers {
            if let Some(live) = self.live.get_mut(number) {
                if live.attempted != attempted {
                    news.push(*number);
                }
                live.attempted = attempted;
                self.unwritten.insert(*number, if attempted { Mark::Attempted } else { Mark::Unattempted });
            }
        }
        news
    }

    pub(super) fn finish(&mut self, numbers: &[u64]) {
        for number in numbers {
            if let Some(live) = self.live.remove(number) {
                self.leave(live);
                self.unwritten.insert(*number, Mark::Finished);
            }
        }
    }

    /// Has how these stand now written with the next success.
    pub(super) fn mark_again(&mut self, ranges: &[(u64, u64)]) {
        // A record has no more numbers than notifications were taken; more is nothing that this process wrote.
        let numbers =
            ranges.iter().filter(|(first, last)| last - first < 1 << 24).flat_map(|(first, last)| *first..=*last);
        for number in numbers {
            let mark = match self.live.get(&number) {
                None => Mark::Finished,
                Some(live) if live.attempted => Mark::Attempted,
                Some(_) => Mark::Unattempted,
            };
            self.unwritten.insert(number, mark);
        }
    }

    /// Whether so much is dead that moving the rest of the oldest segment pays.
    pub(super) fn is_sparse(&self, settings: &Settings) -> bool {
        self.bytes > 2 * self.live_bytes + 2 * settings.segment_bytes
    }

    /// Whether the oldest segment can go: it has nothing live, and is not the one that is written to.
    pub(super) fn is_oldest_dead(&self) -> bool {
        self.segments.front().is_some_and(|oldest| oldest.live == 0 && self.head_number() != Some(oldest.number))
    }

    pub(super) fn head_number(&self) -> Option<u32> {
        self.head.as_ref().map(Head::number)
    }
}
