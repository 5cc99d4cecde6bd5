//! How a record lies in a segment: a header that vouches for itself, then a payload that the header vouches for.
//!
//! `magic (4) | kind (1) | length of the payload (4) | its CRC-32 (4) | CRC-32 of the nine bytes before (4)`, numbers
//! little-endian. The check of the header is what tells a record that was cut off from one whose length is wrong, and
//! what lets a reader step over a payload that is damaged.

use crc32fast::hash;

/// Its second and third byte are in no UTF-8 text: what a notification says is never taken for a record.
const MAGIC: [u8; 4] = [b'T', 0xff, 0xfe, 1];
const HEADER: usize = 17;
/// Zeros that end a file: a loss of power leaves blocks that were counted and never written.
const UNWRITTEN: usize = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Attempted,
    Unattempted,
    Finished,
}

const SUBMISSION: u8 = 1;

impl Mark {
    fn kind(self) -> u8 {
        match self {
            Mark::Attempted => 2,
            Mark::Unattempted => 3,
            Mark::Finished => 4,
        }
    }
}

/// One notification in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredItem<'a> {
    pub number: u64,
    pub id: &'a str,
    pub text: &'a [u8],
    pub counts_twice: bool,
    pub attempted: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    Submission {
        accepted_ms: i64,
        shared: &'a [u8],
        items: Vec<StoredItem<'a>>,
    },
    /// Ranges with both ends in them.
    Marks(Mark, Vec<(u64, u64)>),
}

/// Bytes of a submission's record at the most, without its items.
pub(super) fn size_around(shared: &[u8]) -> usize {
    HEADER + 8 + 10 + 10 + 10 + shared.len()
}

/// Bytes of an item in it at the most.
pub(super) fn size_of_item(id: &str, text: &[u8]) -> usize {
    1 + 2 + 3 + 4 + id.len() + text.len()
}

/// Appends the record of a submission. The numbers of the items ascend.
pub(super) fn put_submission<'a>(
    out: &mut Vec<u8>,
    accepted_ms: i64,
    shared: &[u8],
    items: impl ExactSizeIterator<Item = StoredItem<'a>>,
) {
    let start = begin(out);
    out.extend_from_slice(&accepted_ms.to_le_bytes());
    put_bytes(out, shared);
    put_number(out, items.len() as u64);
    let mut next = 0;
    for item in items {
        put_number(out, item.number.wrapping_sub(next));
        next = item.number.wrapping_add(1);
        out.push(u8::from(item.counts_twice) | u8::from(item.attempted) << 1);
        put_bytes(out, item.id.as_bytes());
        put_bytes(out, item.text);
    }
    end(out, start, SUBMISSION);
}

/// Appends a record of marks. The numbers ascend.
pub(super) fn put_marks(out: &mut Vec<u8>, mark: Mark, numbers: impl IntoIterator<Item = u64>) {
    let start = begin(out);
    let mut numbers = numbers.into_iter().peekable();
    let mut next = 0;
    while let Some(first) = numbers.next() {
        let mut last = first;
        while let Some(more) = numbers.next_if(|number| number.checked_sub(1) == Some(last)) {
            last = more;
        }
        put_number(out, first.wrapping_sub(next));
        put_number(out, last - first);
        next = last.wrapping_add(1);
    }
    end(out, start, mark.kind());
}

fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    start
}

fn end(out: &mut [u8], start: usize, kind: u8) {
    let Some((header, payload)) = out.get_mut(start..).and_then(|record| record.split_first_chunk_mut::<HEADER>())
    else {
        return;
    };
    let [m0, m1, m2, m3, k, l0, l1, l2, l3, c0, c1, c2, c3, h0, h1, h2, h3] = header;
    // Callers refuse what is larger than a segment may be.
    [*l0, *l1, *l2, *l3] = (payload.len() as u32).to_le_bytes();
    [*m0, *m1, *m2, *m3] = MAGIC;
    [*c0, *c1, *c2, *c3] = hash(payload).to_le_bytes();
    *k = kind;
    [*h0, *h1, *h2, *h3] = hash(&[*k, *l0, *l1, *l2, *l3, *c0, *c1, *c2, *c3]).to_le_bytes();
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What a reader meets in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Record(Record<'a>),
    /// Bytes that were something else once.
    Damage,
    /// From here on, the beginning of a record whose end was never written. It is the last piece.
    Torn(usize),
}

/// Reads a segment from front to back.
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    /// Where the next piece begins.
    at: usize,
}

struct Header {
    kind: u8,
    length: usize,
    checksum: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Header> {
        let [magic @ .., k, l0, l1, l2, l3, c0, c1, c2, c3, h0, h1, h2, h3] = bytes.first_chunk::<HEADER>()?;
        let is_sound = *magic == MAGIC
            && hash(&[*k, *l0, *l1, *l2, *l3, *c0, *c1, *c2, *c3]) == u32::from_le_bytes([*h0, *h1, *h2, *h3]);
        is_sound.then(|| Header {
            kind: *k,
            length: u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize,
            checksum: u32::from_le_bytes([*c0, *c1, *c2, *c3]),
        })
    }
}

impl<'a> Scan<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Scan { bytes, at: 0 }
    }

    fn header_at(&self, at: usize) -> Option<Header> {
        Header::read(self.bytes.get(at..)?)
    }

    fn resume(&mut self, at: usize) -> Piece<'a> {
        self.at = at;
        Piece::Damage
    }

    fn torn(&mut self) -> Piece<'a> {
        Piece::Torn(std::mem::replace(&mut self.at, self.bytes.len()))
    }

    /// After bytes that are no record: on to the next header that is sound.
    fn skip(&mut self) -> Piece<'a> {
        let mut from = self.at + 1;
        while let Some(rest) = self.bytes.get(from..)
            && let Some(found) = rest.windows(MAGIC.len()).position(|window| window == MAGIC)
        {
            if self.header_at(from + found).is_some() {
                return self.resume(from + found);
            }
            from += found + 1;
        }
        if self.is_torn() { self.torn() } else { self.resume(self.bytes.len()) }
    }

    /// Whether the rest can be what a write left that did not come to its end. What a changed bit leaves never is.
    fn is_torn(&self) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let zeros = rest.iter().rev().take_while(|byte| **byte == 0).count();
        let written = rest.get(..rest.len() - zeros).unwrap_or_default();
        let is_cut = match Header::read(rest) {
            Some(header) => header.length > rest.len() - HEADER,
            None => rest.len() < HEADER && (MAGIC.starts_with(rest) || rest.starts_with(&MAGIC)),
        };
        let is_beginning = written.len() < HEADER || Header::read(rest).is_some();
        is_cut || written.is_empty() || (zeros >= UNWRITTEN && is_beginning)
    }
}

impl<'a> Iterator for Scan<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let Some(header) = Header::read(rest) else { return Some(self.skip()) };
        let Some(payload) = rest.get(HEADER..).and_then(|rest| rest.get(..header.length)) else {
            return Some(self.skip());
        };
        let next = self.at + HEADER + header.length;
        if hash(payload) == header.checksum
            && let Some(record) = read_payload(header.kind, payload)
        {
            self.at = next;
            return Some(Piece::Record(record));
        }
        if next == self.bytes.len() && self.is_torn() {
            return Some(self.torn());
        }
        // The length is sound; only if bytes went missing is the next record somewhere else.
        Some(if next == self.bytes.len() || self.header_at(next).is_some() { self.resume(next) } else { self.skip() })
    }
}

/// A record of a kind that this version does not know is as good as a damaged one: it may have been a mark.
fn read_payload(kind: u8, payload: &[u8]) -> Option<Record<'_>> {
    let mut reader = Reader(payload);
    let mark = match kind {
        SUBMISSION => return reader.submission(),
        2 => Mark::Attempted,
        3 => Mark::Unattempted,
        4 => Mark::Finished,
        _ => return None,
    };
    let (mut ranges, mut next) = (Vec::new(), 0_u64);
    while !reader.0.is_empty() {
        let first = next.wrapping_add(reader.number()?);
        let last = first.checked_add(reader.number()?)?;
        ranges.push((first, last));
        next = last.wrapping_add(1);
    }
    Some(Record::Marks(mark, ranges))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn submission(&mut self) -> Option<Record<'a>> {
        let (accepted, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        let shared = self.bytes()?;
        let count = self.number()?;
        let (mut items, mut next) = (Vec::new(), 0_u64);
        for _ in 0..count {
            let number = next.wrapping_add(self.number()?);
            next = number.wrapping_add(1);
            let flags = self.byte()?;
            let id = std::str::from_utf8(self.bytes()?).ok()?;
            let text = self.bytes()?;
            let (counts_twice, attempted) = (flags & 1 != 0, flags & 2 != 0);
            items.push(StoredItem { number, id, text, counts_twice, attempted });
        }
        let is_whole = self.0.is_empty();
        is_whole.then_some(Record::Submission { accepted_ms: i64::from_le_bytes(*accepted), shared, items })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(number: u64, id: &'static str) -> StoredItem<'static> {
        StoredItem {
            number,
            id,
            text: b"{}",
            counts_twice: number.is_multiple_of(2),
            attempted: number.is_multiple_of(3),
        }
    }

    #[test]
    fn records_come_back_as_they_were_put() {
        let mut out = Vec::new();
        let items = vec![item(5, "a"), item(6, ""), item(u64::MAX, "c")];
        put_submission(&mut out, -7, b"shared", items.iter().copied());
        put_marks(&mut out, Mark::Finished, [0, 1, 2, 9, u64::MAX - 1, u64::MAX]);
        put_marks(&mut out, Mark::Attempted, []);
        let pieces: Vec<_> = Scan::new(&out).collect();
        assert_eq!(
            pieces,
            [
                Piece::Record(Record::Submission { accepted_ms: -7, shared: b"shared", items }),
                Piece::Record(Record::Marks(Mark::Finished, vec![(0, 2), (9, 9), (u64::MAX - 1, u64::MAX)])),
                Piece::Record(Record::Marks(Mark::Attempted, vec![])),
            ]
        );
    }

    #[test]
    fn the_sizes_are_enough() {
        let (shared, text) = (vec![1; 70_000], vec![2; 3_000_000]);
        let id = "i".repeat(200);
        let stored = StoredItem { number: u64::MAX, id: &id, text: &text, counts_twice: true, attempted: true };
        let mut out = Vec::new();
        put_submission(&mut out, i64::MIN, &shared, [stored].into_iter());
        assert!(out.len() <= size_around(&shared) + size_of_item(&id, &text));
    }

    #[test]
    fn a_reader_finds_its_way_after_foreign_bytes_and_missing_ones() {
        let mut one = Vec::new();
        put_marks(&mut one, Mark::Finished, [1]);
        let whole = |bytes: &[u8]| Scan::new(bytes).filter(|piece| matches!(piece, Piece::Record(_))).count();
        let damage = |bytes: &[u8]| Scan::new(bytes).filter(|piece| *piece == Piece::Damage).count();
        let foreign = [&b"foreign T\xff\xfe\x01"[..], &one, &MAGIC, &one].concat();
        assert_eq!((whole(&foreign), damage(&foreign)), (2, 2));
        let missing = [&one[..one.len() - 1], &one, &one].concat();
        assert_eq!((whole(&missing), damage(&missing)), (2, 1));
    }

    #[test]
    fn what_an_unfinished_write_leaves_is_torn_and_nothing_else_is() {
        let mut one = Vec::new();
        put_submission(&mut one, 1, b"s", [item(1, "a")].into_iter());
        for cut in 1..one.len() {
            let torn = &[&one[..], &one[..cut]].concat();
            assert_eq!(Scan::new(torn).last(), Some(Piece::Torn(one.len())), "cut at {cut}");
            let unwritten = [&torn[..], &[0; 1000]].concat();
            assert_eq!(Scan::new(&unwritten).last(), Some(Piece::Torn(one.len())), "zeros after {cut}");
        }
        for bit in 0..one.len() * 8 {
            let mut flipped = one.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Scan::new(&flipped).collect::<Vec<_>>(), [Piece::Damage], "bit {bit}");
        }
    }
}
