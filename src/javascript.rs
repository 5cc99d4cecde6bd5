//! JavaScript's view of numbers and texts, where the API inherits it: how each is read as the other, and texts as
//! sequences of 16-bit units. Pure functions; nothing here knows what the values mean.
//!
//! Cutting such a text can leave half of a surrogate pair, which UTF-8 has no form for. A half is kept as the private
//! character U+100000 + the unit, so that texts stay `str`: halves compare and are found as JavaScript does it, and
//! become a whole character again where they meet.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write as _;

/// Beyond it a double no longer tells neighbouring integers apart, and JavaScript writes the shortest digits instead.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// Appends a number as `Number::toString` writes it.
pub(crate) fn push_number(out: &mut String, number: f64) {
    if number.fract() == 0.0 && number.abs() <= MAX_EXACT {
        out.push_str(itoa::Buffer::new().format(number as i64));
        return;
    }
    if !number.is_finite() {
        out.push_str(if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
        return;
    }
    // Rust finds the shortest digits that read back, the closest of them, as ECMAScript asks; only the layout differs.
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = match mantissa.strip_prefix('-') {
        Some(positive) => {
            out.push('-');
            positive
        }
        None => mantissa,
    };
    let (first, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    match exponent {
        0..=20 => {
            let places = exponent as usize;
            let (whole, rest) = fraction.split_at_checked(places).unwrap_or((fraction, ""));
            out.push_str(first);
            out.push_str(whole);
            out.extend(std::iter::repeat_n('0', places - whole.len()));
            if !rest.is_empty() {
                out.push('.');
                out.push_str(rest);
            }
        }
        -6..=-1 => {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', exponent.unsigned_abs() as usize - 1));
            out.push_str(first);
            out.push_str(fraction);
        }
        _ => {
            out.push_str(first);
            if !fraction.is_empty() {
                out.push('.');
                out.push_str(fraction);
            }
            let _ = write!(out, "e{exponent:+}");
        }
    }
}

/// What JavaScript's `Number` makes of a text; NaN where that is NaN.
pub(crate) fn number(text: &str) -> f64 {
    // What nearly every number in a cookie or a parameter looks like; 15 digits are exact.
    if (1..16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.bytes().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0')) as f64;
    }
    let text = text.trim_matches(is_space);
    match text.get(..2) {
        Some("0x" | "0X") => return digits_of_radix(text.get(2..).unwrap_or(""), 16),
        Some("0b" | "0B") => return digits_of_radix(text.get(2..).unwrap_or(""), 2),
        Some("0o" | "0O") => return digits_of_radix(text.get(2..).unwrap_or(""), 8),
        _ => {}
    }
    match text {
        "" => 0.0,
        "Infinity" | "+Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        // Rust reads `inf` and `nan` too, which JavaScript does not.
        _ if text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)) => text.parse().unwrap_or(f64::NAN),
        _ => f64::NAN,
    }
}

/// Digits of a radix that is a power of two, rounded once as a whole.
fn digits_of_radix(digits: &str, radix: u32) -> f64 {
    let shift = radix.trailing_zeros();
    let (mut number, mut exponent, mut lost) = (0_u64, 0_i32, false);
    for digit in digits.chars() {
        let Some(digit) = digit.to_digit(radix) else { return f64::NAN };
        if number.leading_zeros() >= shift {
            number = number << shift | u64::from(digit);
        } else {
            lost |= digit != 0;
            exponent = exponent.saturating_add(shift as i32);
        }
    }
    if digits.is_empty() {
        return f64::NAN;
    }
    // The lowest of more than 60 bits never shows in a double, but it decides a tie.
    (number | u64::from(lost)) as f64 * 2_f64.powi(exponent)
}

/// What `parseFloat` makes of a text: the number it begins with, else NaN.
pub(crate) fn leading_number(text: &str) -> f64 {
    let text = text.trim_start_matches(is_space);
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or(b' ');
    let digits_end = |from: usize| from + bytes.iter().skip(from).take_while(|b| b.is_ascii_digit()).count();

    let start = usize::from(matches!(at(0), b'+' | b'-'));
    if text.get(start..).is_some_and(|rest| rest.starts_with("Infinity")) {
        return if at(0) == b'-' { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let whole = digits_end(start);
    let mut end = whole;
    let mut digits = whole - start;
    if at(whole) == b'.' {
        end = digits_end(whole + 1);
        digits += end - whole - 1;
    }
    if digits == 0 {
        return f64::NAN;
    }
    if matches!(at(end), b'e' | b'E') {
        let exponent = end + 1 + usize::from(matches!(at(end + 1), b'+' | b'-'));
        let exponent_end = digits_end(exponent);
        if exponent_end > exponent {
            end = exponent_end;
        }
    }
    text.get(..end).and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
}

/// White space and line ends of ECMAScript.
pub(crate) fn is_space(c: char) -> bool {
    c == '\u{FEFF}' || (c.is_whitespace() && c != '\u{85}')
}

/// The lowest of the characters that stand for halves of surrogate pairs.
const HALVES: u32 = 0x10_0000;

/// The unit that a character stands for if it stands for half a pair.
fn half(c: char) -> Option<u16> {
    u16::try_from((c as u32).checked_sub(HALVES)?).ok().filter(|unit| (0xD800..=0xDFFF).contains(unit))
}

fn is_high(unit: u16) -> bool {
    (0xD800..=0xDBFF).contains(&unit)
}

fn is_low(unit: u16) -> bool {
    (0xDC00..=0xDFFF).contains(&unit)
}

/// How many units a character takes.
fn width(c: char) -> usize {
    if half(c).is_some() { 1 } else { c.len_utf16() }
}

/// The 16-bit units of a text.
pub(crate) fn units(text: &str) -> impl Iterator<Item = u16> + '_ {
    text.chars().flat_map(|c| {
        let mut pair = [0; 2];
        let (first, second) = match half(c) {
            Some(unit) => (Some(unit), None),
            None => {
                let units = c.encode_utf16(&mut pair);
                (units.first().copied(), units.get(1).copied())
            }
        };
        first.into_iter().chain(second)
    })
}

/// `length` of a text.
pub(crate) fn length(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(width).sum() }
}

/// Appends one unit; with the other half of its pair before it, it completes that character.
pub(crate) fn push_unit(out: &mut String, unit: u16) {
    if is_low(unit)
        && let Some(high) = out.chars().next_back().and_then(half).filter(|unit| is_high(*unit))
    {
        out.pop();
        out.extend(char::decode_utf16([high, unit]).flatten());
        return;
    }
    let c = if is_high(unit) || is_low(unit) { HALVES + u32::from(unit) } else { u32::from(unit) };
    out.extend(char::from_u32(c));
}

/// Appends a text; halves of a pair that meet become its character.
pub(crate) fn push_text(out: &mut String, text: &str) {
    let mut rest = text.chars();
    match rest.next().and_then(half) {
        Some(unit) if is_low(unit) => {
            push_unit(out, unit);
            out.push_str(rest.as_str());
        }
        _ => out.push_str(text),
    }
}

/// The units from `start` up to `end`, both counted in units.
pub(crate) fn slice(text: &str, start: usize, end: usize) -> Cow<'_, str> {
    if text.is_ascii() {
        let end = end.min(text.len());
        return Cow::Borrowed(text.get(start.min(end)..end).unwrap_or(""));
    }
    let (mut unit, mut from, mut to) = (0, None, text.len());
    for (byte, c) in text.char_indices() {
        if unit == start {
            from = Some(byte);
        }
        if unit >= end {
            to = byte;
            break;
        }
        unit += width(c);
        if (unit > start && from.is_none()) || unit > end {
            // A cut through a character.
            let mut out = String::new();
            for unit in units(text).skip(start).take(end.saturating_sub(start)) {
                push_unit(&mut out, unit);
            }
            return Cow::Owned(out);
        }
    }
    Cow::Borrowed(from.and_then(|from| text.get(from..to)).unwrap_or(""))
}

/// Whether one text has the other in it, unit by unit.
pub(crate) fn contains(text: &str, part: &str) -> bool {
    let cuts_in = part.chars().next().and_then(half).is_some_and(is_low);
    let cuts_out = part.chars().next_back().and_then(half).is_some_and(is_high);
    if !cuts_in && !cuts_out {
        return text.contains(part);
    }
    let text: Vec<u16> = units(text).collect();
    let part: Vec<u16> = units(part).collect();
    text.windows(part.len()).any(|window| window == part)
}

/// The order of two texts, unit by unit.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    // Below U+E000 the order of bytes is that of units.
    let differ = left.bytes().zip(right.bytes()).find(|(left, right)| left != right);
    match differ {
        None => left.len().cmp(&right.len()),
        Some((a, b)) if a < 0xEE || b < 0xEE => a.cmp(&b),
        Some(_) => units(left).cmp(units(right)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(number: f64) -> String {
        let mut out = String::new();
        push_number(&mut out, number);
        out
    }

    #[test]
    fn numbers_are_written_as_ecmascript_says() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (23.35, "23.35"),
            (-1.5, "-1.5"),
            (123_456_789_012.5, "123456789012.5"),
            (9_007_199_254_740_992.0, "9007199254740992"),
            (1_152_921_504_606_846_976.0, "1152921504606847000"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (-1.25e21, "-1.25e+21"),
            (1e-6, "0.000001"),
            (1.5e-6, "0.0000015"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (0.1 + 0.2, "0.30000000000000004"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text_of(number), text);
        }
    }

    #[test]
    fn written_numbers_read_back() {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..100_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let value = f64::from_bits(state);
            if !value.is_nan() {
                assert_eq!(number(&text_of(value)), value, "{value:e}");
                assert_eq!(leading_number(&text_of(value)), value, "{value:e}");
            }
        }
    }

    #[test]
    fn texts_are_read_as_number_does() {
        for (text, expected) in [
            ("", 0.0),
            (" \n\u{FEFF}\u{3000}", 0.0),
            ("010", 10.0),
            (" 7 ", 7.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("+3", 3.0),
            ("-2", -2.0),
            ("1e3", 1000.0),
            ("1e400", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("0x1F", 31.0),
            ("0b101", 5.0),
            ("0o17", 15.0),
            ("0x20000000000001", 9_007_199_254_740_992.0),
            ("0x20000000000003", 9_007_199_254_740_996.0),
            ("0x20000000000001000000000001", 9_007_199_254_740_994.0 * 2_f64.powi(48)),
            ("123456789012345678", 123_456_789_012_345_680.0),
        ] {
            assert_eq!(number(text), expected, "{text:?}");
        }
        for text in
            ["a", "1a", ".", "-", "+-1", "1e", "1_0", "inf", "nan", "infinity", "0x", "-0x10", "0b2", "\u{85}1", "1,0"]
        {
            assert!(number(text).is_nan(), "{text:?}");
        }
        assert!(number("-0").is_sign_negative());
    }

    #[test]
    fn leading_numbers_are_read_as_parse_float_does() {
        for (text, expected) in [
            ("5px", 5.0),
            (" 7 x", 7.0),
            ("1,000", 1.0),
            ("0x1f", 0.0),
            ("1e2", 100.0),
            ("1e", 1.0),
            ("1e+", 1.0),
            ("1e+2x", 100.0),
            ("5.", 5.0),
            (".5.5", 0.5),
            ("-.5", -0.5),
            ("+3", 3.0),
            ("-Infinityx", f64::NEG_INFINITY),
        ] {
            assert_eq!(leading_number(text), expected, "{text:?}");
        }
        for text in ["", "abc", ".", "-", "--1", "e5", ".e5", "é1", "inf"] {
            assert!(leading_number(text).is_nan(), "{text:?}");
        }
    }

    #[test]
    fn texts_are_cut_by_units_and_halves_join_again() {
        assert_eq!(length("é😀x"), 4);
        assert_eq!(slice("jsonlogic", 4, 100), "logic");
        assert_eq!(slice("jsonlogic", 7, 3), "");
        assert_eq!(slice("é😀x", 1, 3), "😀");
        assert_eq!(slice("é😀x", 3, 4), "x");
        assert_eq!(slice("é😀", 3, 9), "");
        let (high, low) = (slice("😀", 0, 1), slice("é😀x", 2, 4));
        assert_eq!((length(&high), length(&low)), (1, 2));
        assert_eq!(units(&high).collect::<Vec<_>>(), [0xD83D]);
        let mut joined = high.clone().into_owned();
        push_text(&mut joined, &low);
        assert_eq!(joined, "😀x");
        assert_eq!(slice("😁", 0, 1), high);
        assert!(contains("a😀b", &high) && contains("a😀b", "😀") && !contains("a😀b", &low) && contains("é😀x", &low));
        assert_eq!(slice(&low, 0, 1).chars().count(), 1);
    }

    #[test]
    fn texts_are_ordered_by_units() {
        let sorted = ["", "10", "9", "Z", "a", "ab", "é", "\u{D7FF}", "😀", "😁", "\u{E000}", "\u{FFFF}"];
        for pair in sorted.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(compare("é", "é"), Ordering::Equal);
    }
}
