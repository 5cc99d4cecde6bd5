#![no_main]
//! Any text is a URL: its parts are parts of it, and put together again they have the same parts.

use adobe_target::unversioned::{host_in_ascii, is_ip_address, split_host, url_context};
use adobe_target_fuzz::{lengthened, text};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let url = text(data);
    check(url);
    is_ip_address(url);
    check_host(url);
    if let Some(long) = lengthened(url) {
        url_context(&long);
        split_host(&long);
    }
});

fn check(url: &str) {
    let context = url_context(url);
    let part = |name: &str| context[name].as_str().unwrap_or_default();
    let [path, query, fragment] = ["path", "query", "fragment"].map(part);
    let [subdomain, domain, suffix] = ["subdomain", "domain", "topLevelDomain"].map(part);

    let (before, written_fragment) = url.split_once('#').map_or((url, None), |(before, rest)| (before, Some(rest)));
    assert_eq!(fragment, written_fragment.unwrap_or_default(), "{url:?}");
    let (before, written_query) = before.split_once('?').map_or((before, None), |(before, rest)| (before, Some(rest)));
    assert_eq!(query, written_query.unwrap_or_default(), "{url:?}");
    assert!(before.ends_with(path) && (path.is_empty() || path.starts_with('/')), "{url:?}");
    let authority = before.strip_suffix(path).unwrap_or_default();
    let lower = authority.to_lowercase();
    assert!(lower.contains(domain), "{url:?}: {context}");
    check_parts(subdomain, domain, suffix, &context);

    // The same host and path in another URL: nothing of scheme, user info and port counts.
    let is_plain = !domain.is_empty() && !domain.ends_with('.') && !domain.contains(['@', ':', '[', ']']);
    if is_plain {
        let host = if subdomain.is_empty() { domain.to_owned() } else { format!("{subdomain}.{domain}") };
        let again = url_context(&format!("https://user:p@{}:8080{path}?{query}#{fragment}", host_with_www(&host)));
        for name in ["path", "query", "fragment", "domain", "topLevelDomain"] {
            assert_eq!(again[name], context[name], "{name} of {url:?}");
        }
        if !suffix.is_empty() {
            assert_eq!(again["subdomain"], context["subdomain"], "subdomain of {url:?}");
        }
    }
}

/// A name with `www` in front is the same site. One without a registrable domain is taken as it is, and so is one that
/// would be too long for a name then.
fn host_with_www(host: &str) -> String {
    let (_, _, suffix) = split_host(host);
    let with_www = format!("www.{host}");
    if suffix.is_empty() || host_in_ascii(&with_www).is_none() { host.to_owned() } else { with_www }
}

fn check_parts(subdomain: &str, domain: &str, suffix: &str, shown: &Value) {
    assert!(domain.ends_with(suffix), "{shown}");
    if suffix.is_empty() {
        assert!(subdomain.is_empty(), "{shown}");
    } else {
        let label = domain.strip_suffix(suffix).and_then(|label| label.strip_suffix('.'));
        assert!(label.is_some_and(|label| !label.is_empty() && !label.contains('.')), "{shown}");
    }
    assert_eq!([subdomain, domain], [subdomain.to_lowercase(), domain.to_lowercase()].each_ref().map(String::as_str));
}

fn check_host(host: &str) {
    let (subdomain, domain, suffix) = split_host(host);
    check_parts(&subdomain, &domain, &suffix, &Value::from(host));
    if let Some(ascii) = host_in_ascii(host) {
        assert!(ascii.is_ascii() && ascii.len() <= 255, "{host:?}");
        assert_eq!(host_in_ascii(&ascii).as_deref(), Some(&*ascii), "{host:?}");
    }
}
