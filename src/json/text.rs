//! The content of JSON strings.

use std::borrow::Cow;

/// The content of a string that is known to be JSON, quotes included.
pub(crate) fn string_content(text: &str) -> Cow<'_, str> {
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or("");
    if inner.contains('\\') { Cow::Owned(unescape(inner)) } else { Cow::Borrowed(inner) }
}

/// Where from here on a `"`, a `\`, a control character or the end comes; eight bytes at a time.
#[inline]
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*chunk);
        // With this bit turned a quote stands directly above the control characters, and a space above the quote.
        let quote_or_control = (word ^ (ONES * 2)).wrapping_sub(ONES * 0x21);
        let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
        let stops = (quote_or_control | backslash) & !word & HIGH;
        if stops != 0 {
            // Borrows only run towards higher bytes, so the lowest mark is exact.
            return at + (stops.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}

pub(super) fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.iter().try_fold(0, |unit, digit| Some(unit * 16 + (*digit as char).to_digit(16)?))
}

/// The content of a string whose escapes the parser has checked; half surrogate pairs read as U+FFFD.
pub(super) fn unescape(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(position) = rest.find('\\') {
        let (plain, escaped) = rest.split_at(position);
        out.push_str(plain);
        let bytes = escaped.as_bytes();
        let used = match bytes.get(1).copied() {
            Some(b'n') => push(&mut out, '\n'),
            Some(b't') => push(&mut out, '\t'),
            Some(b'r') => push(&mut out, '\r'),
            Some(b'b') => push(&mut out, '\u{8}'),
            Some(b'f') => push(&mut out, '\u{c}'),
            Some(b'u') => {
                let unit = hex4(bytes, 2).unwrap_or(0xFFFD);
                let low = (bytes.get(6..8) == Some(b"\\u")).then(|| hex4(bytes, 8)).flatten();
                match (unit, low) {
                    (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) => {
                        let point = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                        out.push(char::from_u32(point).unwrap_or('\u{FFFD}'));
                        12
                    }
                    _ => {
                        out.push(char::from_u32(unit).unwrap_or('\u{FFFD}'));
                        6
                    }
                }
            }
            Some(plain) => push(&mut out, plain as char),
            None => 1,
        };
        rest = escaped.get(used..).unwrap_or("");
    }
    out.push_str(rest);
    out
}

fn push(out: &mut String, c: char) -> usize {
    out.push(c);
    2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_plain_text_is_found_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let stops = matches!(byte, b'"' | b'\\' | 0..0x20);
            for place in 0..20 {
                for filler in [b' ', b'#', b'!', b'[', b']', b'~', 0x80, 0xff] {
                    let mut bytes = [filler; 20];
                    bytes[place] = byte;
                    for from in 0..=20 {
                        let expected = if stops && place >= from { place } else { 20 };
                        assert_eq!(plain_end(&bytes, from), expected, "{byte:#x} at {place} from {from}");
                    }
                    bytes[19] = b'"';
                    assert_eq!(plain_end(&bytes, 0), if stops { place } else { 19 }, "{byte:#x} at {place}");
                }
            }
        }
        assert_eq!(plain_end(b"", 0), 0);
    }
}
