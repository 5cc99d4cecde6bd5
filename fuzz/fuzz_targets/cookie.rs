#![no_main]
//! Cookies of visitors: what is read is fit to be used, and what is written is read again.

use adobe_target::unversioned::{read_experience_cloud_cookie, read_target_cookie, write_target_cookie};
use adobe_target_fuzz::{NOW, lengthened, text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let cookie = text(data);
    target_cookie(cookie);
    experience_cloud_cookie(cookie);
    if let Some(long) = lengthened(cookie) {
        read_target_cookie(&long, NOW);
        read_experience_cloud_cookie(&long, NOW);
    }
});

fn target_cookie(cookie: &str) {
    let read = read_target_cookie(cookie, NOW);
    if let Some(session) = &read.session_id {
        let is_fit = |c: char| !c.is_control() && !matches!(c, ' ' | '?' | '/');
        assert!((1..=128).contains(&session.chars().count()) && session.chars().all(is_fit), "{session:?}");
    }
    if let Some(cluster) = &read.cluster {
        let is_label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        assert!(!cluster.is_empty() && cluster.bytes().all(is_label), "{cluster:?}");
    }
    let session = read.session_id.as_deref().unwrap_or("session-1");
    let written = write_target_cookie(session, read.device_id.as_deref(), NOW);
    assert!(written.value.bytes().all(is_cookie_octet), "{}", written.value);
    let again = read_target_cookie(&written.value, NOW);
    assert_eq!(again.session_id.as_deref(), Some(session), "{cookie:?}");
    assert_eq!([&again.device_id, &again.cluster], [&read.device_id, &read.cluster], "{cookie:?}");

    // Whatever stands before, the last of a name wins.
    let joined = read_target_cookie(&format!("{cookie}|{}", written.value), NOW);
    assert_eq!(joined.session_id.as_deref(), Some(session), "{cookie:?}");
    assert_eq!(joined.device_id, read.device_id, "{cookie:?}");
}

/// What RFC 6265 allows in a value.
fn is_cookie_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

fn experience_cloud_cookie(cookie: &str) {
    let read = read_experience_cloud_cookie(cookie, NOW);
    for text in [&read.marketing_cloud_visitor_id, &read.blob].into_iter().flatten() {
        assert!(!text.is_empty() && text != "NONE" && !text.contains('|'), "{text:?}");
    }
    if !cookie.contains('%') {
        let encoded: String = cookie.bytes().map(|byte| format!("%{byte:02X}")).collect();
        assert_eq!(read_experience_cloud_cookie(&encoded, NOW), read, "{cookie:?}");
    }
}
