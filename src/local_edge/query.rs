//! The query of a request.

use std::borrow::Cow;

/// One part of a query, decoded. What cannot be decoded stays as it is.
pub(super) fn decode(part: &str) -> Cow<'_, str> {
    if !part.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Cow::Borrowed(part);
    }
    let bytes = part.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut position = 0;
    while position < bytes.len() {
        let escaped = bytes.get(position + 1..position + 3).filter(|_| bytes[position] == b'%').and_then(|digits| {
            let high = char::from(digits[0]).to_digit(16)?;
            let low = char::from(digits[1]).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        });
        match escaped {
            Some(byte) => {
                decoded.push(byte);
                position += 3;
            }
            None => {
                decoded.push(if bytes[position] == b'+' { b' ' } else { bytes[position] });
                position += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

/// The names and values of a query, decoded, in their order.
pub(super) fn query_pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_in_their_order() {
        let pairs: Vec<_> = query_pairs("a=1%202+3&b&&c=%C3%A9=%zz%4&a=%f").collect();
        let expected = [("a", "1 2 3"), ("b", ""), ("c", "é=%zz%4"), ("a", "%f")];
        assert_eq!(pairs, expected.map(|(name, value)| (Cow::from(name), Cow::from(value))));
    }

    #[test]
    fn plain_parts_are_borrowed() {
        assert!(matches!(decode("session-1"), Cow::Borrowed("session-1")));
    }
}
