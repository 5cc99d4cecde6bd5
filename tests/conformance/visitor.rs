//! What spec/delivery.md makes of cookies, device ids and host names, written a second time for the tests.

use percent_encoding::percent_decode_str;

use crate::rules;

/// `decodeURIComponent`; None where it throws.
pub fn decode(text: &str) -> Option<String> {
    let escaped = text.split('%').skip(1);
    let complete =
        escaped.into_iter().all(|rest| rest.len() >= 2 && rest.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit));
    if complete { percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned()) } else { None }
}

/// JavaScript's `Number`, of text.
fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let radix = |radix| u64::from_str_radix(&text[2..], radix).ok().map(|number| number as f64);
    match text.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => radix(16),
        Some("0b") => radix(2),
        Some("0o") => radix(8),
        _ if text.is_empty() => Some(0.0),
        _ if text.contains("Infinity") => text.trim_start_matches(['+', '-']).parse().ok(),
        _ if text.contains(|c: char| c.is_alphabetic() && !matches!(c, 'e' | 'E')) => None,
        _ => text.parse().ok(),
    }
}

/// Session and device id of an `mbox` cookie, whatever the session's form.
pub fn target_cookie(cookie: &str, now: i64) -> (Option<String>, Option<String>) {
    let seconds = (now as f64 / 1000.0).ceil();
    let (mut session, mut device) = (None, None);
    for part in cookie.split('|') {
        let fields: Vec<&str> = part.split('#').collect();
        let [name, value, expires, ..] = fields[..] else { continue };
        let (Some(name), Some(value), Some(expires)) = (decode(name), decode(value), number(expires)) else { continue };
        if expires < seconds {
            continue;
        }
        let value = Some(value).filter(|value| !value.is_empty());
        match &*name {
            "session" => session = value,
            "PC" => device = value,
            _ => {}
        }
    }
    (session, device)
}

/// The API's rule: 1 to 128 printable characters, no space, `?`, `/`.
pub fn is_session_id(id: &str) -> bool {
    (1..=128).contains(&id.chars().count()) && !id.chars().any(|c| c.is_control() || matches!(c, ' ' | '?' | '/'))
}

/// Whether a hint can be part of `mboxedge{hint}.tt.omtrdc.net`.
pub fn is_host_label(hint: &str) -> bool {
    let fits = hint.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    fits && (1..=55).contains(&hint.len()) && !hint.ends_with('-')
}

/// What stands in the cluster's place of a device id `<id>.<cluster>_<node>`, fit for a host name or not.
pub fn cluster_text(device_id: &str) -> Option<&str> {
    let (_, location) = device_id.split_once('.').filter(|(_, location)| !location.contains('.'))?;
    let (cluster, _) = location.split_once('_').filter(|(_, node)| !node.contains('_'))?;
    Some(cluster).filter(|cluster| !cluster.is_empty())
}

/// The cluster of a device id.
pub fn cluster(device_id: &str) -> Option<&str> {
    cluster_text(device_id).filter(|cluster| is_host_label(cluster))
}

/// The cluster of an answer's `edgeHost`: `mboxedge{cluster}.tt.omtrdc.net` in any case.
pub fn edge_cluster(edge_host: &str) -> Option<String> {
    let lower = edge_host.to_ascii_lowercase();
    let length = lower.strip_prefix("mboxedge")?.strip_suffix(".tt.omtrdc.net")?.len();
    let cluster = &edge_host[8..8 + length];
    is_host_label(cluster).then(|| cluster.to_owned())
}

/// What the recorded client takes for the cluster: the first of four labels, without `mboxedge`.
pub fn first_of_four_labels(edge_host: &str) -> Option<String> {
    let labels: Vec<&str> = edge_host.split('.').collect();
    (labels.len() == 4).then(|| labels[0].replacen("mboxedge", "", 1)).filter(|label| !label.is_empty())
}

/// The cluster that an answer's `edgeHost` gives us, from the recorded one and with the rule where they differ.
pub fn ours_of_edge_host(edge_host: &str, recorded: Option<&str>) -> (Option<String>, Option<&'static str>) {
    let ours = edge_cluster(edge_host);
    let recorded = recorded.filter(|cluster| !cluster.is_empty()).map(str::to_owned);
    if ours == recorded || recorded != first_of_four_labels(edge_host) {
        return (recorded, None);
    }
    let rule = if ours.is_some() { rules::ANY_CASE } else { rules::EDGE_HOST };
    (ours, Some(rule))
}

/// Fields of an AMCV cookie, and why one that is there does not count.
#[derive(Debug, Default, PartialEq)]
pub struct Amcv {
    pub visitor_id: Option<String>,
    pub location_hint: Option<i64>,
    pub blob: Option<String>,
    pub has_expired: bool,
    pub has_none: bool,
    pub has_odd_hint: bool,
    pub unreadable: bool,
}

pub fn amcv(cookie: &str, now: i64) -> Amcv {
    let mut read = Amcv::default();
    let Some(decoded) = decode(cookie) else { return Amcv { unreadable: true, ..read } };
    let mut fields: Vec<&str> = decoded.split('|').collect();
    if fields.len() % 2 == 1 || fields[0].parse::<i64>().is_ok() {
        fields.remove(0);
    }
    for pair in fields.chunks_exact(2) {
        let (name, expires) = pair[0].split_once('-').unwrap_or((pair[0], ""));
        let value = pair[1];
        if value.is_empty() || !["MCMID", "MCAAMLH", "MCAAMB"].contains(&name) {
            continue;
        }
        if value == "NONE" {
            read.has_none = true;
        } else if expires.trim_end_matches('s').parse::<i64>().is_ok_and(|seconds| seconds * 1000 < now) {
            read.has_expired = true;
        } else if name == "MCMID" {
            read.visitor_id = Some(value.to_owned());
        } else if name == "MCAAMB" {
            read.blob = Some(value.to_owned());
        } else {
            read.location_hint = value.parse().ok();
            read.has_odd_hint |= read.location_hint.is_none();
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_read_part_by_part() {
        let read = |cookie| target_cookie(cookie, 1_700_000_000_000);
        assert_eq!(read("session#a%23#1700000000|PC#d.35_0#1e12|x"), (Some("a#".into()), Some("d.35_0".into())));
        assert_eq!(read("session#%zz#1700001000|PC#d#1699999999|#|%#a#1700001000"), (None, None));
    }

    #[test]
    fn clusters_are_host_labels() {
        assert_eq!(
            (cluster("d.35_0"), cluster("d. 35_0"), cluster("d.35"), cluster("d._0")),
            (Some("35"), None, None, None)
        );
        assert_eq!(edge_cluster("MBOXEDGE28-a.TT.omtrdc.net").as_deref(), Some("28-a"));
        assert_eq!((edge_cluster("mboxedge.tt.omtrdc.net"), edge_cluster("35.tt.omtrdc.net")), (None, None));
    }

    #[test]
    fn visitor_cookies_are_read_by_key() {
        let read = amcv("12%7CMCMID%7C7%7CMCAAMLH-1%7C9%7CMCAAMB-1700604800%7CNONE", 1_700_000_000_000);
        assert_eq!(read, Amcv { visitor_id: Some("7".into()), has_expired: true, has_none: true, ..Amcv::default() });
    }
}
