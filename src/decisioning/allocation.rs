//! Which part of the traffic a visitor falls into: the hash of client, activity and visitor, and the choice of the
//! visitor's id for it. Pure; shared by all threads.

use std::cell::OnceCell;

use crate::javascript::is_space;

/// What ends the hashed text. The activity's salt, which no artifact changes.
const SALT: &str = ".0";

/// MurmurHash3 (x86, 32 bits, seed 0) of text as UTF-16 in little-endian order, part by part.
#[derive(Debug, Clone, Copy, Default)]
struct Hasher {
    hash: u32,
    /// Code units so far. With an odd number, the last one waits in `pending` for its block's other half.
    units: u32,
    pending: u32,
}

impl Hasher {
    fn mix(&mut self, block: u32) {
        self.hash = mixed(self.hash, scramble(block));
    }

    fn push(&mut self, unit: u16) {
        let unit = u32::from(unit);
        if self.units % 2 == 1 {
            self.mix(self.pending | unit << 16);
        } else {
            self.pending = unit;
        }
        self.units = self.units.wrapping_add(1);
    }

    /// Each byte is one code unit: two blocks come of four bytes without a buffer between.
    fn push_ascii(&mut self, mut text: &[u8]) {
        if self.units % 2 == 1
            && let [first, rest @ ..] = text
        {
            self.push(u16::from(*first));
            text = rest;
        }
        let (pairs, rest) = text.as_chunks();
        for &[low, high] in pairs {
            self.mix(u32::from(low) | u32::from(high) << 16);
        }
        // A text of more than 2^32 units has the length modulo 2^32 in the hash.
        self.units = self.units.wrapping_add((pairs.len() as u32).wrapping_mul(2));
        if let [last] = rest {
            self.push(u16::from(*last));
        }
    }

    fn push_str(&mut self, text: &str) {
        if text.is_ascii() {
            self.push_ascii(text.as_bytes());
        } else {
            text.encode_utf16().for_each(|unit| self.push(unit));
        }
    }

    fn finish(self) -> i32 {
        let last = if self.units % 2 == 1 { self.pending } else { 0 };
        finished(self.hash, scramble(last), self.units)
    }
}

fn scramble(block: u32) -> u32 {
    block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

fn mixed(hash: u32, scrambled: u32) -> u32 {
    (hash ^ scrambled).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

/// With the scrambled half of a block, or 0, that is left over.
fn finished(hash: u32, last: u32, units: u32) -> i32 {
    let mut hash = hash ^ last ^ units.wrapping_mul(2);
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    (hash ^ hash >> 16).cast_signed()
}

/// MurmurHash3 of a text's UTF-16 code units.
pub(crate) fn hash(text: &str) -> i32 {
    let mut hasher = Hasher::default();
    hasher.push_str(text);
    hasher.finish()
}

/// The hash of `client.activity.`, which is the same for all visitors: made once, when an artifact is loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AllocationPrefix(Hasher);

impl AllocationPrefix {
    /// `activity_id` is the text of the id: a number the way JavaScript writes it.
    pub(crate) fn new(client: &str, activity_id: &str) -> Self {
        let mut hasher = Hasher::default();
        for part in [client, ".", activity_id, "."] {
            hasher.push_str(part);
        }
        AllocationPrefix(hasher)
    }

    /// Where the visitor stands between 0 and 99.99 per cent of this activity's traffic, in steps of 0.01.
    pub(crate) fn allocation(&self, visitor: &Visitor<'_>) -> f64 {
        let Hasher { mut hash, units, pending } = self.0;
        let rest = if units % 2 == 1 {
            let rest = visitor.after_odd.get_or_init(|| Rest::new(visitor.id, true));
            hash = mixed(hash, scramble(pending | rest.first << 16));
            rest
        } else {
            visitor.after_even.get_or_init(|| Rest::new(visitor.id, false))
        };
        for block in &rest.blocks {
            hash = mixed(hash, *block);
        }
        let hash = finished(hash, rest.last, units.wrapping_add(rest.units));
        // unsigned_abs, because i32::MIN has an absolute value here as it has in JavaScript.
        f64::from(hash.unsigned_abs() % 10_000) / 100.0
    }
}

/// A visitor's id, made ready once for the hashes of all activities.
#[derive(Debug)]
pub(crate) struct Visitor<'v> {
    id: &'v str,
    /// Behind prefixes of an even and an odd number of code units its blocks begin at different ones.
    after_even: OnceCell<Rest>,
    after_odd: OnceCell<Rest>,
}

/// What is hashed behind the prefix.
#[derive(Debug)]
struct Rest {
    /// The other half of the block that an odd prefix has begun.
    first: u32,
    /// Scrambled, which is half of the work and the same for all.
    blocks: Vec<u32>,
    /// Half of a block that is left over, scrambled.
    last: u32,
    /// All of them.
    units: u32,
}

impl<'v> Visitor<'v> {
    pub(crate) fn new(id: &'v str) -> Self {
        Visitor { id, after_even: OnceCell::new(), after_odd: OnceCell::new() }
    }
}

impl Rest {
    fn new(id: &str, is_after_odd: bool) -> Self {
        let mut rest = Rest { first: 0, blocks: Vec::with_capacity(id.len() / 2 + SALT.len()), last: 0, units: 0 };
        if !id.is_ascii() {
            rest.push(id.encode_utf16().chain(SALT.encode_utf16()).map(u32::from), is_after_odd);
            return rest;
        }
        // Each byte is one unit, so that pairs need no buffer between.
        let (first, bytes) = match id.as_bytes() {
            [first, bytes @ ..] if is_after_odd => (Some(*first), bytes),
            bytes => (None, bytes),
        };
        let (pairs, last) = bytes.as_chunks();
        rest.first = first.map_or(0, u32::from);
        rest.units = u32::from(first.is_some()).wrapping_add((pairs.len() as u32).wrapping_mul(2));
        rest.blocks.extend(pairs.iter().map(|&[low, high]| scramble(u32::from(low) | u32::from(high) << 16)));
        rest.push(last.iter().copied().chain(SALT.bytes()).map(u32::from), is_after_odd && first.is_none());
        rest
    }

    /// Appends the last units. A text of more than 2^32 units has the length modulo 2^32 in the hash.
    fn push(&mut self, mut units: impl Iterator<Item = u32>, needs_first: bool) {
        if needs_first {
            self.first = units.next().unwrap_or(0);
            self.units = self.units.wrapping_add(1);
        }
        while let Some(low) = units.next() {
            let Some(high) = units.next() else {
                self.last = scramble(low);
                self.units = self.units.wrapping_add(1);
                return;
            };
            self.blocks.push(scramble(low | high << 16));
            self.units = self.units.wrapping_add(2);
        }
    }
}

/// The id that decides: the first that is not blank of the Experience Cloud id, `tntId` up to its first dot (what
/// follows names a cluster and may change), and the third-party id.
pub(crate) fn allocation_id_of<'a>(
    marketing_cloud_visitor_id: Option<&'a str>,
    tnt_id: Option<&'a str>,
    third_party_id: Option<&'a str>,
) -> Option<&'a str> {
    let tnt_id = tnt_id.map(|id| id.split_once('.').map_or(id, |(id, _)| id));
    [marketing_cloud_visitor_id, tnt_id, third_party_id].into_iter().flatten().find(|id| !id.chars().all(is_space))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allocation(client: &str, activity_id: &str, visitor: &str) -> f64 {
        AllocationPrefix::new(client, activity_id).allocation(&Visitor::new(visitor))
    }

    /// The definition, over a buffer of bytes.
    fn hash_of_bytes(bytes: &[u8]) -> i32 {
        let (blocks, rest) = bytes.as_chunks();
        let mut hash = 0_u32;
        for block in blocks {
            let block = u32::from_le_bytes(*block).wrapping_mul(0xcc9e2d51).rotate_left(15).wrapping_mul(0x1b873593);
            hash = (hash ^ block).rotate_left(13).wrapping_mul(5).wrapping_add(0xe6546b64);
        }
        let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u32::from(*byte));
        hash ^= tail.wrapping_mul(0xcc9e2d51).rotate_left(15).wrapping_mul(0x1b873593);
        hash ^= bytes.len() as u32;
        hash = (hash ^ hash >> 16).wrapping_mul(0x85ebca6b);
        hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2ae35);
        (hash ^ hash >> 16) as i32
    }

    #[test]
    fn the_hash_is_murmur3_of_utf16() {
        let texts = ["", "a", "ab", "abc", "abcd", "é", "aé", "日本語", "😀", "x😀", "\u{ffff}", "client.7.é😀.0"];
        for text in texts {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            assert_eq!(hash(text), hash_of_bytes(&bytes), "{text}");
        }
        assert_eq!((hash("a"), hash("ab"), hash("😀")), (1_867_108_634, 374_890_698, 1_443_257_913));
    }

    #[test]
    fn a_prefix_of_any_length_continues() {
        for client in ["", "c", "cl", "é", "日本", "😀"] {
            for visitor in ["", "v", "vi", "vis", "é", "v😀", "338e3c1e51f7416a8e1ccba4f81acea0"] {
                let whole = hash(&format!("{client}.42.{visitor}.0"));
                let expected = f64::from(whole.unsigned_abs() % 10_000) / 100.0;
                assert_eq!(allocation(client, "42", visitor), expected, "{client} {visitor}");
                let even_and_odd = ["42", "421", "42"].map(|activity| {
                    let whole = hash(&format!("{client}.{activity}.{visitor}.0"));
                    (AllocationPrefix::new(client, activity), f64::from(whole.unsigned_abs() % 10_000) / 100.0)
                });
                let visitor = Visitor::new(visitor);
                for (prefix, expected) in even_and_odd {
                    assert_eq!(prefix.allocation(&visitor), expected, "{client} {visitor:?}");
                }
            }
        }
    }

    #[test]
    fn the_least_hash_has_an_absolute_value() {
        assert_eq!(hash("someClientId.125873.v4065885888.0"), i32::MIN);
        assert_eq!(allocation("someClientId", "125873", "v4065885888"), 36.48);
    }

    #[test]
    fn the_first_id_that_is_not_blank_decides() {
        let all = (Some("mc.1"), Some("t1.28_0"), Some("tp.1"));
        assert_eq!(allocation_id_of(all.0, all.1, all.2), Some("mc.1"));
        assert_eq!(allocation_id_of(None, all.1, all.2), Some("t1"));
        assert_eq!(allocation_id_of(Some(""), Some(" "), all.2), Some("tp.1"));
        assert_eq!(allocation_id_of(None, Some(".28_0"), all.2), Some("tp.1"));
        assert_eq!(allocation_id_of(None, Some("nodots"), None), Some("nodots"));
        assert_eq!(allocation_id_of(Some(""), None, Some(" ")), None);
    }

    #[test]
    fn visitors_spread_evenly() {
        const VISITORS: usize = 100_000;
        for activity_id in ["125873", "1", "9007199254740991"] {
            let prefix = AllocationPrefix::new("acmeclient", activity_id);
            let mut counts = [0_usize; 100];
            for visitor in 0..VISITORS {
                let id = format!("visitor-{visitor}");
                let allocation = prefix.allocation(&Visitor::new(&id));
                assert!((0.0..=99.99).contains(&allocation), "{id}: {allocation}");
                counts[allocation as usize] += 1;
            }
            let expected = VISITORS as f64 / 100.0;
            let chi_square: f64 = counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum();
            // 99 degrees of freedom: 99.99 % of fair draws lie below 158, and as many above 55.
            assert!((55.0..158.0).contains(&chi_square), "{activity_id}: {chi_square}");
        }
    }
}
