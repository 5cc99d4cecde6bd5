//! Reading a log that somebody left.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;

use super::record::{Mark, Piece, Record, Scan};
use super::segment;
use super::state::{Live, Segment};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub segments: VecDeque<Segment>,
    pub live: BTreeMap<u64, Live>,
    /// In the order of acceptance.
    pub submissions: Vec<Left>,
    /// The segments that could be read.
    pub legible: Vec<u32>,
    pub damaged: u64,
    pub torn: u64,
}

/// What is left of a submission.
#[derive(Debug)]
pub(super) struct Left {
    pub accepted_ms: i64,
    pub shared: Vec<u8>,
    pub items: Vec<LeftItem>,
}

#[derive(Debug)]
pub(super) struct LeftItem {
    pub number: u64,
    pub id: String,
    pub text: Vec<u8>,
    pub counts_twice: bool,
    pub attempted: bool,
}

struct Found {
    submission: usize,
    item: LeftItem,
    live: Live,
    /// How many pieces had been read when the log last said whether it was attempted.
    said: u64,
}

#[derive(Default)]
struct Reading {
    found: BTreeMap<u64, Found>,
    /// Time of acceptance and what is shared.
    submissions: Vec<(i64, Vec<u8>)>,
    pieces: u64,
    /// The last piece that was damaged.
    last_damage: u64,
}

/// Reads all segments and cuts off what an unfinished write left at the end. Damage is what nobody will ever read; when
/// the system only refuses to read, now or to us, it is an error, or what is there would be taken for dead.
pub(super) fn replay(directory: &Path) -> io::Result<Replay> {
    let numbers = segment::list(directory)?;
    let (mut replay, mut reading) = (Replay::default(), Reading::default());
    let newest = numbers.last().copied();
    let mut expected = None;
    for number in numbers {
        let path = segment::path(directory, number);
        if expected.is_some_and(|expected| expected != number) {
            replay.damaged += 1;
            reading.damage();
        }
        expected = number.checked_add(1);
        let bytes = match segment::read(&path) {
            Ok(bytes) => bytes,
            // Behind it others show that something is missing: what it said of clicks must not be forgotten.
            Err(error) if segment::is_bad_disk(&error) && Some(number) != newest => {
                segment::set_aside(&path)?;
                replay.damaged += 1;
                reading.damage();
                continue;
            }
            Err(error) if !segment::is_lost(&error) => return Err(error),
            Err(_) => {
                replay.damaged += 1;
                reading.damage();
                replay.segments.push_back(Segment::new(number, 0));
                continue;
            }
        };
        replay.legible.push(number);
        let mut length = bytes.len();
        for piece in Scan::new(&bytes) {
            match piece {
                Piece::Record(record) => reading.take(record, number),
                // Only the file that was written last can end like this; another lost its end later.
                Piece::Torn(at) if Some(number) == newest => {
                    replay.torn += 1;
                    length = at;
                    // If it fails it is met again, and at worst taken for damage.
                    let _ = segment::cut(&path, length);
                }
                Piece::Torn(_) | Piece::Damage => {
                    replay.damaged += 1;
                    reading.damage();
                }
            }
        }
        replay.segments.push_back(Segment::new(number, length as u64));
    }
    reading.end(&mut replay);
    Ok(replay)
}

impl Reading {
    fn damage(&mut self) {
        self.pieces += 1;
        self.last_damage = self.pieces;
    }

    fn take(&mut self, record: Record<'_>, segment: u32) {
        self.pieces += 1;
        match record {
            Record::Submission { accepted_ms, shared, items } => {
                let shares = Live::shares(shared, items.len());
                for item in items {
                    // A number that is known already was moved here; the copy knows what came between.
                    let live = Live::new(segment, &item, shares);
                    let (counts_twice, attempted) = (item.counts_twice, item.attempted);
                    let left = LeftItem {
                        number: item.number,
                        id: item.id.to_owned(),
                        text: item.text.to_vec(),
                        counts_twice,
                        attempted,
                    };
                    let submission = self.submissions.len();
                    self.found.insert(item.number, Found { submission, item: left, live, said: self.pieces });
                }
                self.submissions.push((accepted_ms, shared.to_vec()));
            }
            Record::Marks(mark, ranges) => {
                for (first, last) in ranges {
                    self.mark(mark, first, last);
                }
            }
        }
    }

    fn mark(&mut self, mark: Mark, first: u64, last: u64) {
        if mark == Mark::Finished {
            while let Some((number, _)) = self.found.range(first..=last).next() {
                let number = *number;
                self.found.remove(&number);
            }
            return;
        }
        for (_, found) in self.found.range_mut(first..=last) {
            found.item.attempted = mark == Mark::Attempted;
            found.said = self.pieces;
        }
    }

    fn end(mut self, replay: &mut Replay) {
        let mut last = None;
        for (number, mut found) in self.found {
            // What was damaged may have been the mark; at most once is what was promised.
            found.item.attempted |= found.item.counts_twice && found.said < self.last_damage;
            found.live.attempted = found.item.attempted;
            if let Ok(at) = replay.segments.binary_search_by_key(&found.live.segment, |segment| segment.number)
                && let Some(segment) = replay.segments.get_mut(at)
            {
                segment.live += 1;
            }
            replay.live.insert(number, found.live);
            match replay.submissions.last_mut() {
                Some(left) if last == Some(found.submission) => left.items.push(found.item),
                _ => {
                    let (accepted_ms, shared) =
                        self.submissions.get_mut(found.submission).map(std::mem::take).unwrap_or_default();
                    replay.submissions.push(Left { accepted_ms, shared, items: vec![found.item] });
                }
            }
            last = Some(found.submission);
        }
    }
}
