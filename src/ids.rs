//! Ids and jitter from the system's random generator.
//!
//! Each thread draws a block at a time. A generator that is seeded once in a process repeats itself after a
//! fork, so a block is thrown away when the fork generation has changed.

use std::cell::RefCell;

use crate::process;

const BLOCK: usize = 4096;

struct Block {
    bytes: [u8; BLOCK],
    used: usize,
    generation: u64,
}

thread_local! {
    static RANDOM: RefCell<Block> = const { RefCell::new(Block { bytes: [0; BLOCK], used: BLOCK, generation: 0 }) };
}

/// Random bytes, 64 at the most.
fn random<const N: usize>() -> [u8; N] {
    let mut drawn = [0; N];
    RANDOM.with(|block| {
        let block = &mut *block.borrow_mut();
        let generation = process::generation();
        if block.used + N > BLOCK || block.generation != generation {
            // Linux's generator cannot fail once the machine is up, and there is no id without it.
            if getrandom::fill(&mut block.bytes).is_err() {
                fill_from_hasher(&mut block.bytes);
            }
            block.used = 0;
            block.generation = generation;
        }
        if let Some(fresh) = block.bytes.get_mut(block.used..block.used + N) {
            drawn.copy_from_slice(fresh);
            fresh.fill(0);
        }
        block.used += N;
    });
    drawn
}

/// The standard library's keyed hasher, seeded by the system too: unique, if not unpredictable.
fn fill_from_hasher(bytes: &mut [u8]) {
    use std::hash::{BuildHasher, Hasher, RandomState};
    for chunk in bytes.chunks_mut(8) {
        let fresh = RandomState::new().build_hasher().finish().to_le_bytes();
        for (byte, new) in chunk.iter_mut().zip(fresh) {
            *byte = new;
        }
    }
}

/// Writes bytes as hexadecimal digits, two for each, into places of `text` from `at` on.
fn write_hex(text: &mut [u8], mut at: usize, bytes: &[u8], digits: &[u8; 16]) {
    for byte in bytes {
        if let Some([high, low]) = text.get_mut(at..at + 2) {
            *high = digits[usize::from(byte >> 4)];
            *low = digits[usize::from(byte & 15)];
        }
        at += 2;
    }
}

/// A random UUID (version 4) in its usual spelling.
pub(crate) fn uuid() -> String {
    let mut bytes: [u8; 16] = random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = *b"00000000-0000-0000-0000-000000000000";
    for (at, from, to) in [(0, 0, 4), (9, 4, 6), (14, 6, 8), (19, 8, 10), (24, 10, 16)] {
        write_hex(&mut text, at, bytes.get(from..to).unwrap_or_default(), b"0123456789abcdef");
    }
    // ASCII, so always a text.
    std::str::from_utf8(&text).unwrap_or_default().to_owned()
}

/// A supplemental data id: 16 hexadecimal digits, `-`, 16 more, in capitals.
pub(crate) fn supplemental_data_id() -> String {
    let bytes: [u8; 16] = random();
    let mut text = *b"0000000000000000-0000000000000000";
    let (first, second) = bytes.split_at(8);
    write_hex(&mut text, 0, first, b"0123456789ABCDEF");
    write_hex(&mut text, 17, second, b"0123456789ABCDEF");
    std::str::from_utf8(&text).unwrap_or_default().to_owned()
}

/// A number from 0 to below 1.
pub(crate) fn random_fraction() -> f64 {
    let bits = u64::from_le_bytes(random()) >> 11;
    bits as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_have_their_form_and_do_not_repeat() {
        let ids: std::collections::HashSet<String> = (0..10_000).map(|_| uuid()).collect();
        assert_eq!(ids.len(), 10_000);
        for id in ids {
            assert_eq!(id.len(), 36);
            assert_eq!(id.as_bytes()[14], b'4');
            assert!(b"89ab".contains(&id.as_bytes()[19]));
        }
    }

    #[test]
    fn supplemental_data_ids_have_their_form() {
        let id = supplemental_data_id();
        assert_eq!(id.len(), 33);
        assert!(id.bytes().enumerate().all(|(at, b)| if at == 16 {
            b == b'-'
        } else {
            b"0123456789ABCDEF".contains(&b)
        }));
    }

    #[test]
    fn fractions_stay_below_one() {
        assert!((0..1000).map(|_| random_fraction()).all(|f| (0.0..1.0).contains(&f)));
    }
}
