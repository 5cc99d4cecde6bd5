//! The `mbox` cookie (session and device id) and the location hint: reading what a browser sent, writing
//! what it should keep. Reading never fails; what cannot be read counts as absent.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::config::is_location_hint;
use crate::javascript;
use crate::json::{ObjectWriter, write_integer};

/// Name of the cookie with session and device id.
pub const TARGET_COOKIE_NAME: &str = "mbox";
/// Name of the cookie with the location hint.
pub const LOCATION_HINT_COOKIE_NAME: &str = "mboxEdgeCluster";

const SESSION_MAX_AGE: i64 = 1860;
const DEVICE_ID_MAX_AGE: i64 = 63_244_800;

/// What JavaScript's `encodeURIComponent` leaves alone.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// Appends the text as `encodeURIComponent` encodes it.
pub(crate) fn push_encoded(out: &mut String, text: &str) {
    // Ids hardly ever need it.
    let stays = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
    };
    if text.bytes().all(stays) {
        out.push_str(text);
    } else {
        out.extend(utf8_percent_encode(text, COMPONENT));
    }
}

/// As `decodeURIComponent` does it; None where that throws.
pub(crate) fn decode_component(text: &str) -> Option<Cow<'_, str>> {
    if !text.as_bytes().contains(&b'%') {
        return Some(Cow::Borrowed(text));
    }
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let digits = rest.get(at + 1..at + 3)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        rest = rest.get(at + 3..)?;
    }
    percent_decode_str(text).decode_utf8().ok()
}

/// A cookie for the response to the browser.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TargetCookie {
    /// Name of the cookie.
    pub name: &'static str,
    /// Its value; safe in a `Set-Cookie` header as it stands.
    pub value: String,
    /// Its `Max-Age`, in seconds.
    pub max_age: i64,
}

impl TargetCookie {
    pub(crate) fn write(&self, out: &mut String) {
        let mut object = ObjectWriter::begin(out);
        object.string("name", self.name);
        object.string("value", &self.value);
        object.number("maxAge", self.max_age);
        object.end();
    }

    /// Session and, where there is one, device id.
    pub(crate) fn of_visitor(session_id: &str, tnt_id: Option<&str>, now_ms: i64) -> Self {
        let seconds = ceil_seconds(now_ms);
        let mut value = String::with_capacity(96);
        let mut latest = seconds + SESSION_MAX_AGE;
        push_part(&mut value, "session", session_id, latest);
        if let Some(tnt_id) = tnt_id.filter(|id| !id.is_empty()) {
            latest = seconds + DEVICE_ID_MAX_AGE;
            push_part(&mut value, "PC", tnt_id, latest);
        }
        // The latest expiry minus the clock, rounded up to a second.
        let max_age = ceil_seconds(latest.saturating_mul(1000).saturating_sub(now_ms)).max(0);
        TargetCookie { name: TARGET_COOKIE_NAME, value, max_age }
    }

    /// The cluster that knows the visitor.
    pub(crate) fn of_location_hint(hint: &str) -> Self {
        TargetCookie { name: LOCATION_HINT_COOKIE_NAME, value: hint.to_owned(), max_age: SESSION_MAX_AGE }
    }
}

fn push_part(value: &mut String, name: &'static str, content: &str, expires: i64) {
    if !value.is_empty() {
        value.push('|');
    }
    value.push_str(name);
    value.push('#');
    push_encoded(value, content);
    value.push('#');
    write_integer(value, expires);
}

fn ceil_seconds(ms: i64) -> i64 {
    ms.div_euclid(1000) + i64::from(ms.rem_euclid(1000) > 0)
}

/// What the `mbox` cookie says about a visitor.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct VisitorCookie {
    pub session_id: Option<String>,
    pub device_id: Option<String>,
}

impl VisitorCookie {
    /// Reads `name#value#expires` parts joined by `|`. The last of a name wins.
    pub(crate) fn parse(cookie: &str, now_ms: i64) -> Self {
        let mut found = VisitorCookie::default();
        let now = ceil_seconds(now_ms) as f64;
        for part in cookie.split('|') {
            let mut fields = part.split('#');
            let (Some(name), Some(value), Some(expires)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let expires = javascript::number(expires);
            if expires.is_nan() || expires < now {
                continue;
            }
            let (Some(name), Some(value)) = (decode_component(name), decode_component(value)) else {
                continue;
            };
            match &*name {
                "session" => found.session_id = Some(value).filter(|id| is_session_id(id)).map(Cow::into_owned),
                "PC" => found.device_id = Some(value).filter(|id| !id.is_empty()).map(Cow::into_owned),
                _ => {}
            }
        }
        found
    }
}

/// The API's rule for a session id: 1 to 128 printable characters, no space, `?` or `/`.
pub(crate) fn is_session_id(id: &str) -> bool {
    let mut length = 0;
    for c in id.chars() {
        length += 1;
        if length > 128 || c.is_control() || matches!(c, ' ' | '?' | '/') {
            return false;
        }
    }
    length > 0
}

/// The cluster in a device id: `<id>.<cluster>_<node>`. One that could not be part of a host name is none.
pub(crate) fn cluster_of_device_id(device_id: &str) -> Option<&str> {
    let mut labels = device_id.split('.');
    let (_, location, None) = (labels.next()?, labels.next()?, labels.next()) else {
        return None;
    };
    let mut parts = location.split('_');
    let (cluster, Some(_), None) = (parts.next()?, parts.next(), parts.next()) else {
        return None;
    };
    is_location_hint(cluster).then_some(cluster)
}

/// The cluster in an answer's `edgeHost`: `mboxedge{cluster}.tt.omtrdc.net`, in any case.
pub(crate) fn cluster_of_edge_host(edge_host: &str) -> Option<&str> {
    let (first, domain) = edge_host.split_once('.')?;
    let prefix = first.get(..8)?;
    let cluster = first.get(8..)?;
    let is_edge = domain.eq_ignore_ascii_case("tt.omtrdc.net") && prefix.eq_ignore_ascii_case("mboxedge");
    (is_edge && is_location_hint(cluster)).then_some(cluster)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    #[test]
    fn a_written_cookie_reads_back() {
        let cookie = TargetCookie::of_visitor("s|#%é", Some("d 1.35_0"), NOW);
        let read = VisitorCookie::parse(&cookie.value, NOW);
        assert_eq!(read.session_id.as_deref(), Some("s|#%é"));
        assert_eq!(read.device_id.as_deref(), Some("d 1.35_0"));
        assert_eq!(cookie.max_age, DEVICE_ID_MAX_AGE);
    }

    #[test]
    fn unreadable_parts_are_skipped_and_leave_the_others() {
        let read = VisitorCookie::parse("session#%zz#1700001000|PC#d.35_0#1700001000|x|#|", NOW);
        assert_eq!(read, VisitorCookie { session_id: None, device_id: Some("d.35_0".into()) });
    }

    #[test]
    fn sessions_outside_their_limits_are_absent() {
        for session in ["a%20b", "a%2Fb", "a%3Fb", "a%00b", &"x".repeat(129)] {
            assert_eq!(VisitorCookie::parse(&format!("session#{session}#1700001000"), NOW).session_id, None);
        }
    }

    #[test]
    fn clusters_that_are_no_host_label_are_none() {
        assert_eq!(cluster_of_device_id("abc.35_0"), Some("35"));
        for id in ["abc.@evil_0", "abc. 35_0", "abc.x/y_0", "abc.35", "a.b.35_0", "abc.35_0_1", ""] {
            assert_eq!(cluster_of_device_id(id), None, "{id}");
        }
        assert_eq!(cluster_of_edge_host("MBOXEDGE28.TT.OMTRDC.NET"), Some("28"));
        for host in ["acme.tt.omtrdc.net", "mboxedge.tt.omtrdc.net", "mboxedge35.tt.omtrdc.net.", "mboxedge35.evil.org"]
        {
            assert_eq!(cluster_of_edge_host(host), None, "{host}");
        }
    }

    #[test]
    fn an_expired_cookie_has_no_age() {
        assert_eq!(ceil_seconds(-1), 0);
        assert_eq!(ceil_seconds(-1001), -1);
        assert_eq!(ceil_seconds(1), 1);
    }
}
