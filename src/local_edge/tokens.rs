//! The tokens this edge hands out: event tokens of options and click metrics, and states.
//!
//! A token says itself what it stands for and ends in a keyed checksum, so that no table is kept and tokens
//! outlive a restart of the program, as those of the real edge do. The key is no secret: it tells this edge's
//! tokens from foreign or damaged ones, nothing more.

use super::scenario::Place;

/// Between the fields of a token. Names with control characters are refused by the scenario.
const SEPARATOR: char = '\u{1f}';
const KEY: u64 = 0x7461_7267_6574_3335;
const CHECKSUM_LENGTH: usize = 8;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What a token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An option's event token.
    Display,
    /// A click metric's event token.
    Click,
    /// The state of an mbox, a view or a page load.
    State,
}

impl Kind {
    fn letter(self) -> char {
        match self {
            Kind::Display => 'd',
            Kind::Click => 'c',
            Kind::State => 's',
        }
    }
}

/// A token of this edge, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Which option or metric of its place.
    pub(super) number: usize,
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) activity: String,
    pub(super) experience: String,
}

impl Token {
    /// The text that goes over the wire.
    pub(super) fn encode(&self) -> String {
        let mut bytes = format!(
            "{}{SEPARATOR}{}{SEPARATOR}{}{SEPARATOR}{}{SEPARATOR}{}{SEPARATOR}{}",
            self.kind.letter(),
            self.number,
            self.place.letter(),
            self.name,
            self.activity,
            self.experience
        )
        .into_bytes();
        let sum = checksum(&bytes).to_be_bytes();
        bytes.extend_from_slice(&sum);
        to_base64(&bytes)
    }

    /// Reads a token that this edge has issued, in whichever run; `None` for any other text.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let bytes = from_base64(text)?;
        let (payload, sum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM_LENGTH)?)?;
        if checksum(payload).to_be_bytes() != sum {
            return None;
        }
        let mut fields = std::str::from_utf8(payload).ok()?.split(SEPARATOR);
        let kind = match fields.next()? {
            "d" => Kind::Display,
            "c" => Kind::Click,
            "s" => Kind::State,
            _ => return None,
        };
        let token = Token {
            kind,
            number: fields.next()?.parse().ok()?,
            place: Place::from_letter(fields.next()?)?,
            name: fields.next()?.to_owned(),
            activity: fields.next()?.to_owned(),
            experience: fields.next()?.to_owned(),
        };
        fields.next().is_none().then_some(token)
    }
}

/// FNV-1a between two halves of the key, its bits mixed at the end so that each depends on every byte.
fn checksum(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ KEY;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= KEY.rotate_left(32);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| (group << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(group >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.as_bytes().chunks(4) {
        if chunk.len() == 1 {
            return None;
        }
        let mut group = 0u32;
        for character in chunk {
            let value = match character {
                b'A'..=b'Z' => character - b'A',
                b'a'..=b'z' => character - b'a' + 26,
                b'0'..=b'9' => character - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return None,
            };
            group = (group << 6) | u32::from(value);
        }
        group <<= 6 * (4 - chunk.len());
        let whole = group.to_be_bytes();
        bytes.extend_from_slice(&whole[1..chunk.len()]);
        // Bits that no byte holds must be zero, or two texts would mean the same token.
        if whole[chunk.len()..].iter().any(|rest| *rest != 0) {
            return None;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token {
            kind: Kind::Display,
            number: 0,
            place: Place::Mbox,
            name: "hömé".to_owned(),
            activity: "125880".to_owned(),
            experience: "Experience B".to_owned(),
        }
    }

    #[test]
    fn a_token_says_what_it_stands_for() {
        let text = token().encode();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        assert_eq!(Token::decode(&text), Some(token()));
    }

    #[test]
    fn tokens_stay_the_same_over_restarts() {
        assert_eq!(
            token().encode(),
            "ZB8wH20faMO2bcOpHzEyNTg4MB9FeHBlcmllbmNlIEIVRqBGV9Lmag",
            "a changed encoding makes tokens of running programs invalid"
        );
    }

    #[test]
    fn damaged_and_foreign_texts_are_no_tokens() {
        let text = token().encode();
        for position in 0..text.len() {
            for replacement in ["A", "B", "_", "+", ""] {
                let mut damaged = text.clone();
                damaged.replace_range(position..=position, replacement);
                if damaged != text {
                    assert_eq!(Token::decode(&damaged), None, "{damaged}");
                }
            }
        }
        for foreign in
            ["", "A", "AAAA", "AAAAAAAAAAA", "é", "1zIHw4w+hPht4NV5MyssK4usK1YQ35VnRXpXdevZO4L+y1IPq9i2NpPJJ/bX9FNd"]
        {
            assert_eq!(Token::decode(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn base64_of_every_length_comes_back() {
        for length in 0..20u8 {
            let bytes: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(77)).collect();
            assert_eq!(from_base64(&to_base64(&bytes)), Some(bytes));
        }
    }
}
