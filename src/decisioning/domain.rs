//! The registrable domain of a host, by the Public Suffix List. Pure; the list is a table in the library.
//!
//! The list is Mozilla's (MPL 2.0). The table has all its names in ASCII, those of the private section included, as an
//! automaton that reads a host backwards: 50 KB, where the compiled list of the crate `psl` has 0.77 MB.
//! `tests/public_suffixes.rs` makes it from that crate's data and holds it against that crate.
//!
//! A state is a run of edges, the end of a name first. An edge is a byte. Its low six bits are its symbol: `-`, `.`,
//! digits and letters from 0 on; from 57 on the end of a name, which has nothing behind it and says how the name
//! counts: 1 is a suffix, 2 has children that are suffixes, 3 is both, 4 is no suffix although its parent says so. The
//! highest bit marks the last edge of a state. The highest two say where the state behind the edge begins: 0 and 2 at
//! the place that the next two bytes name, 1 as far behind the next byte as that says, 3 right behind the edge.

use std::borrow::Cow;
use std::ops::Range;

/// Whose list the table holds, and the day on which that was published.
pub(crate) const PUBLIC_SUFFIX_LIST: &str = "psl 2.1.247, 2026-11-05";

static TABLE: &[u8] = include_bytes!("public_suffixes.bin");

const SYMBOL: u8 = 0b0011_1111;
const LAST: u8 = 0b1000_0000;
const END: u8 = 56;
const RULE: u8 = 1;
const WILDCARD: u8 = 2;
const EXCEPTION: u8 = 4;

/// What a label may have at most, and a whole name (RFC 1035), in ASCII.
const MAX_LABEL: usize = 63;
const MAX_NAME: usize = 255;

/// A host in lower case, and its parts.
#[derive(Debug, Clone)]
pub(crate) struct Domain<'a> {
    host: Cow<'a, str>,
    subdomain: Range<usize>,
    domain: usize,
    suffix: usize,
}

impl<'a> Domain<'a> {
    /// Splits a host that may end with the dot of the root. One that the list has nothing to say about, or that is no
    /// valid name, stays whole.
    pub(crate) fn of(host: &'a str) -> Self {
        let host = host.strip_suffix('.').unwrap_or(host);
        let host = if !host.is_ascii() {
            Cow::Owned(host.to_lowercase())
        } else if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        };
        let whole = Domain { subdomain: 0..0, domain: 0, suffix: host.len(), host };
        let Some((domain, suffix)) = whole.parts() else { return whole };
        let subdomain = whole.host.get(..domain.saturating_sub(1)).unwrap_or_default();
        // `www` alone says nothing about the site, in front of a subdomain neither.
        let start = match subdomain.strip_prefix("www") {
            Some("") => subdomain.len(),
            Some(rest) if rest.starts_with('.') => "www.".len(),
            _ => 0,
        };
        Domain { subdomain: start..subdomain.len(), domain, suffix, ..whole }
    }

    /// Where the registrable domain and the suffix begin.
    fn parts(&self) -> Option<(usize, usize)> {
        let ascii = in_ascii(&self.host)?;
        let suffix = match (&ascii, suffix(ascii.as_bytes())?) {
            (Cow::Borrowed(_), suffix) => suffix,
            // As many labels, which are of other lengths here.
            (Cow::Owned(ascii), suffix) => {
                let labels = ascii.get(suffix..)?.matches('.').count();
                self.host.rmatch_indices('.').nth(labels).map_or(0, |(at, _)| at + 1)
            }
        };
        // A host that is a suffix has no domain.
        let before = self.host.get(..suffix.checked_sub(1)?)?;
        Some((before.rfind('.').map_or(0, |at| at + 1), suffix))
    }

    /// What stands before the registrable domain, without a first `www`.
    pub(crate) fn subdomain(&self) -> &str {
        self.host.get(self.subdomain.clone()).unwrap_or_default()
    }

    /// The registrable domain; the whole host if it has none.
    pub(crate) fn domain(&self) -> &str {
        self.host.get(self.domain..).unwrap_or_default()
    }

    /// The longest suffix of the list that the host has; empty if it has no registrable domain.
    pub(crate) fn suffix(&self) -> &str {
        self.host.get(self.suffix..).unwrap_or_default()
    }
}

/// Where the longest listed suffix of a name begins.
fn suffix(name: &[u8]) -> Option<usize> {
    let (mut state, mut start, mut found) = (0, name.len(), None);
    loop {
        let before = start.checked_sub(1).and_then(|before| Some((before, *name.get(before)?)));
        if start < name.len() && before.is_none_or(|(_, byte)| byte == b'.') {
            let kind = kind(state);
            if kind & EXCEPTION != 0 {
                let label = name.get(start..)?.iter().position(|byte| *byte == b'.')?;
                return Some(start + label + 1);
            }
            if kind & WILDCARD != 0 {
                // The name itself counts, too, when nothing stands before it.
                let label = name.get(..start.saturating_sub(1)).unwrap_or_default();
                found = Some(label.iter().rposition(|byte| *byte == b'.').map_or(0, |at| at + 1));
            } else if kind & RULE != 0 {
                found = Some(start);
            }
        }
        let next = before.and_then(|(before, byte)| Some((before, step(state, symbol(byte)?)?)));
        let Some(next) = next else { return found };
        (start, state) = next;
    }
}

/// How the name counts that ends in a state, 0 if none ends there.
fn kind(state: usize) -> u8 {
    TABLE.get(state).map_or(0, |edge| (edge & SYMBOL).saturating_sub(END))
}

/// The state behind the edge of a symbol.
fn step(state: usize, symbol: u8) -> Option<usize> {
    let mut at = state;
    loop {
        let edge = *TABLE.get(at)?;
        at += 1;
        let is_wanted = edge & SYMBOL == symbol;
        match edge >> 6 {
            _ if edge & SYMBOL >= END => {}
            0b01 => {
                if is_wanted {
                    return Some(at + 1 + usize::from(*TABLE.get(at)?));
                }
                at += 1;
            }
            0b11 => return is_wanted.then_some(at),
            _ => {
                if is_wanted {
                    return Some(usize::from(u16::from_be_bytes([*TABLE.get(at)?, *TABLE.get(at + 1)?])));
                }
                at += 2;
            }
        }
        if edge & LAST != 0 {
            return None;
        }
    }
}

fn symbol(byte: u8) -> Option<u8> {
    match byte {
        b'-' => Some(0),
        b'.' => Some(1),
        b'0'..=b'9' => Some(byte - b'0' + 2),
        b'a'..=b'z' => Some(byte - b'a' + 12),
        _ => None,
    }
}

/// A lower-case name with its labels in ASCII (RFC 3492, no mapping). None if a label is no label of a host.
pub(crate) fn in_ascii(name: &str) -> Option<Cow<'_, str>> {
    if name.is_ascii() {
        let is_name = name.len() <= MAX_NAME && name.split('.').all(is_label);
        return is_name.then_some(Cow::Borrowed(name));
    }
    let mut ascii = String::with_capacity(name.len() * 2);
    for label in name.split('.') {
        if !ascii.is_empty() {
            ascii.push('.');
        }
        let start = ascii.len();
        if label.is_ascii() {
            ascii.push_str(label);
        } else {
            // A character takes at least one letter: longer labels are not worth the work, which grows with the square.
            let is_short = label.chars().take(MAX_LABEL + 1).count() <= MAX_LABEL;
            if !is_short || !label.bytes().all(|byte| !byte.is_ascii() || is_letter(byte)) {
                return None;
            }
            ascii.push_str("xn--");
            push_punycode(label, &mut ascii);
        }
        if ascii.len() > MAX_NAME || !ascii.get(start..).is_some_and(is_label) {
            return None;
        }
    }
    Some(Cow::Owned(ascii))
}

fn is_label(label: &str) -> bool {
    let is_bounded = (1..=MAX_LABEL).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-');
    is_bounded && label.bytes().all(is_letter)
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

/// Writes a label of at most [`MAX_LABEL`] characters by RFC 3492, section 6.3.
fn push_punycode(label: &str, out: &mut String) {
    const BASE: u32 = 36;
    const T_MIN: u32 = 1;
    const T_MAX: u32 = 26;
    let start = out.len();
    out.extend(label.chars().filter(char::is_ascii));
    let basic = (out.len() - start) as u32;
    if basic > 0 {
        out.push('-');
    }
    let count = label.chars().count() as u32;
    let (mut next, mut delta, mut bias, mut handled) = (0x80, 0, 72, basic);
    while handled < count {
        let Some(least) = label.chars().map(u32::from).filter(|code| *code >= next).min() else { return };
        // Neither this nor what follows overflows: 63 characters of 21 bits.
        delta += (least - next) * (handled + 1);
        next = least;
        for code in label.chars().map(u32::from) {
            if code < next {
                delta += 1;
            }
            if code != next {
                continue;
            }
            let mut rest = delta;
            let mut k = BASE;
            loop {
                let threshold = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
                if rest < threshold {
                    break;
                }
                out.push(digit(threshold + (rest - threshold) % (BASE - threshold)));
                rest = (rest - threshold) / (BASE - threshold);
                k += BASE;
            }
            out.push(digit(rest));
            bias = {
                let mut delta = if handled == basic { delta / 700 } else { delta / 2 };
                delta += delta / (handled + 1);
                let mut k = 0;
                while delta > (BASE - T_MIN) * T_MAX / 2 {
                    delta /= BASE - T_MIN;
                    k += BASE;
                }
                k + (BASE - T_MIN + 1) * delta / (delta + 38)
            };
            delta = 0;
            handled += 1;
        }
        delta += 1;
        next += 1;
    }
}

/// The letter or digit of a value below 36.
fn digit(value: u32) -> char {
    char::from_digit((value + 10) % 36, 36).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn parts(host: &str) -> [String; 3] {
        let domain = Domain::of(host);
        [domain.subdomain(), domain.domain(), domain.suffix()].map(str::to_owned)
    }

    #[test]
    fn hosts_have_the_longest_listed_suffix() {
        for (host, expected) in [
            ("www.example.com", ["", "example.com", "com"]),
            ("a.b.example.co.uk", ["a.b", "example.co.uk", "co.uk"]),
            ("Shop.EXAMPLE.Com.", ["shop", "example.com", "com"]),
            ("a.b.github.io", ["a", "b.github.io", "github.io"]),
            ("b.a.example.ck", ["b", "a.example.ck", "example.ck"]),
            ("www.ck", ["", "www.ck", "ck"]),
            ("a.city.kawasaki.jp", ["a", "city.kawasaki.jp", "kawasaki.jp"]),
        ] {
            assert_eq!(parts(host), expected, "{host}");
        }
    }

    #[test]
    fn www_alone_is_no_subdomain() {
        for (host, subdomain) in [
            ("www.www.example.com", "www"),
            ("shop.www.example.com", "shop.www"),
            ("www.shop.example.com", "shop"),
            ("www2.example.com", "www2"),
            ("www-shop.example.com", "www-shop"),
        ] {
            assert_eq!(parts(host), [subdomain, "example.com", "com"], "{host}");
        }
    }

    #[test]
    fn a_host_without_a_domain_stays_whole() {
        let long_label = format!("{}.com", "a".repeat(64));
        let long_name = format!("{}com", "a.".repeat(127));
        for host in [
            "",
            ".",
            "com",
            "kawasaki.jp",
            "foo.kawasaki.jp",
            "github.io",
            "localhost",
            "foo.notatld",
            "127.0.0.1",
            "[::1]",
            "ex_ample.com",
            "bad-.example.com",
            "-bad.example.com",
            "exa mple.com",
            "a..com",
            ".com",
            "example.com.",
            "xn--.com",
            "m_ü.de",
            &long_label,
            &long_name,
            "example\u{ff0e}com",
        ] {
            assert_eq!(parts(&format!("{host}.")), ["", host, ""], "{host}");
        }
        assert_eq!(parts(&long_name[2..]), [&long_name[2..long_name.len() - 6], "a.com", "com"]);
    }

    #[test]
    fn names_of_any_script_count_in_either_form() {
        for (host, expected) in [
            ("shop.M\u{dc}NCHEN.de", ["shop", "m\u{fc}nchen.de", "de"]),
            ("shop.xn--mnchen-3ya.de", ["shop", "xn--mnchen-3ya.de", "de"]),
            ("a.пример.рф", ["a", "пример.рф", "рф"]),
            ("a.xn--e1afmkfd.xn--p1ai", ["a", "xn--e1afmkfd.xn--p1ai", "xn--p1ai"]),
            ("a.食狮.公司.cn", ["a", "食狮.公司.cn", "公司.cn"]),
            ("a.食狮.xn--55qx5d.cn", ["a", "食狮.xn--55qx5d.cn", "xn--55qx5d.cn"]),
        ] {
            assert_eq!(parts(host), expected, "{host}");
        }
    }

    #[test]
    fn labels_are_written_in_ascii() {
        // From RFC 3492, section 7.1, in lower case, and some shorter ones.
        for (label, ascii) in [
            ("ليهمابتكلموشعربي؟", "xn--egbpdaj6bu4bxfgehfvwxn"),
            ("他们为什么不说中文", "xn--ihqwcrb4cv8a8dqg056pqjye"),
            ("почемужеонинеговорятпорусски", "xn--b1abfaaepdrnnbgefbadotcwatmq2g4l"),
            ("3年b組金八先生", "xn--3b-ww4c5e180e575a65lsy2b"),
            ("ひとつ屋根の下2", "xn--2-u9tlzr9756bt3uc0v"),
            ("パフィーdeルンバ", "xn--de-jg4avhby1noc0d"),
            ("ü", "xn--tda"),
            ("straße", "xn--strae-oqa"),
            ("😀", "xn--e28h"),
        ] {
            assert_eq!(in_ascii(label).as_deref(), Some(ascii));
        }
        assert_eq!(in_ascii(&"é".repeat(64)), None);
        assert_eq!(in_ascii(&format!("{}é", "a".repeat(55))).map(|label| label.len()), Some(63));
        assert_eq!(in_ascii(&format!("{}é", "a".repeat(56))), None);
    }

    #[test]
    fn any_host_is_split_in_linear_time() {
        for part in ["a", "a.", ".", "-", "é", "é.", "com.", "日本", "\u{10ffff}", "İ", "www.", "jp.kawasaki."] {
            let started = Instant::now();
            let host = part.repeat(200_000);
            assert!(Domain::of(&host).suffix().is_empty());
            // It takes milliseconds; with the square of the length it would take minutes.
            assert!(started.elapsed() < Duration::from_secs(20), "{part}");
        }
    }
}
