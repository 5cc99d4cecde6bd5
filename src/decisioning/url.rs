//! URLs as rules see them, and addresses. Pure; borrows from the request.
//!
//! Any text is a URL: `[scheme:][//][userinfo@]host[:port][/path][?query][#fragment]`. Nothing is decoded, and only
//! the host is normalised. Most rules ask for the path at most, so the host is split when a part of it is asked for.

use std::cell::OnceCell;
use std::net::IpAddr;

use super::domain::Domain;

/// The parts of a URL. Stays on the thread of its decision.
#[derive(Debug, Clone)]
pub(crate) struct PageUrl<'a> {
    host: &'a str,
    path: &'a str,
    query: &'a str,
    fragment: &'a str,
    domain: OnceCell<Domain<'a>>,
}

impl<'a> PageUrl<'a> {
    pub(crate) fn parse(url: &'a str) -> Self {
        let rest = without_scheme(url);
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (authority, rest) = cut(rest, |byte| matches!(byte, b'/' | b'?' | b'#'));
        let (before, fragment) = cut(rest, |byte| byte == b'#');
        let (path, query) = cut(before, |byte| byte == b'?');
        PageUrl {
            host: host(authority),
            path,
            query: query.get(1..).unwrap_or_default(),
            fragment: fragment.get(1..).unwrap_or_default(),
            domain: OnceCell::new(),
        }
    }

    /// From the first slash behind the host on; empty without one.
    pub(crate) fn path(&self) -> &'a str {
        self.path
    }

    /// Without its question mark.
    pub(crate) fn query(&self) -> &'a str {
        self.query
    }

    /// Without its number sign.
    pub(crate) fn fragment(&self) -> &'a str {
        self.fragment
    }

    /// The registrable domain or, where there is none, the whole host; in lower case.
    pub(crate) fn domain(&self) -> &str {
        self.split().domain()
    }

    /// What stands before the registrable domain, without a first `www`; in lower case.
    pub(crate) fn subdomain(&self) -> &str {
        self.split().subdomain()
    }

    /// The public suffix, of one label or more; in lower case.
    pub(crate) fn top_level_domain(&self) -> &str {
        self.split().suffix()
    }

    fn split(&self) -> &Domain<'a> {
        self.domain.get_or_init(|| Domain::of(self.host))
    }
}

/// A host with a dot is never taken for a scheme, so that `example.com:8080` has a host.
fn without_scheme(url: &str) -> &str {
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-');
    let length = url.bytes().take_while(is_scheme).count();
    url.split_at_checked(length).and_then(|(_, rest)| rest.strip_prefix(':').filter(|_| length > 0)).unwrap_or(url)
}

/// The text before the first of these bytes, and the rest from there on.
fn cut(text: &str, is_end: impl Fn(u8) -> bool) -> (&str, &str) {
    let at = text.bytes().position(is_end).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}

/// The host without user info and port. An address in brackets keeps them.
fn host(authority: &str) -> &str {
    let host = authority.rfind('@').and_then(|at| authority.get(at + 1..)).unwrap_or(authority);
    let bracket = host.find(']').filter(|_| host.starts_with('['));
    match bracket.and_then(|at| host.get(..=at)) {
        Some(address) => address,
        None => cut(host, |byte| byte == b':').0,
    }
}

/// Whether text is an IPv4 or IPv6 address, with white space around it or not. An IPv6 address may name its zone.
pub(crate) fn is_ip_address(text: &str) -> bool {
    let text = text.trim();
    match text.split_once('%') {
        Some((address, zone)) => {
            matches!(address.parse(), Ok(IpAddr::V6(_)))
                && !zone.is_empty()
                && zone.bytes().all(|b| b.is_ascii_graphic())
        }
        None => text.parse::<IpAddr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// path, query, fragment, subdomain, domain, top level domain
    fn parts(url: &str) -> [String; 6] {
        let parsed = PageUrl::parse(url);
        let host = [parsed.subdomain(), parsed.domain(), parsed.top_level_domain()];
        let [subdomain, domain, suffix] = host.map(str::to_owned);
        [parsed.path().to_owned(), parsed.query().to_owned(), parsed.fragment().to_owned(), subdomain, domain, suffix]
    }

    #[test]
    fn urls_are_cut_at_their_marks() {
        for (url, expected) in [
            ("https://m.example.com/a/b?c=1&d#e?f#g", ["/a/b", "c=1&d", "e?f#g", "m", "example.com", "com"]),
            ("https://example.com", ["", "", "", "", "example.com", "com"]),
            ("https://example.com?q", ["", "q", "", "", "example.com", "com"]),
            ("https://example.com#a?b", ["", "", "a?b", "", "example.com", "com"]),
            ("https://example.com/a b/../c//d", ["/a b/../c//d", "", "", "", "example.com", "com"]),
            ("HTTPS://Example.COM/PATH", ["/PATH", "", "", "", "example.com", "com"]),
            ("https://example.com/a\nb?c\nd#e\nf", ["/a\nb", "c\nd", "e\nf", "", "example.com", "com"]),
            ("/path?q#f", ["/path", "q", "f", "", "", ""]),
            ("?q", ["", "q", "", "", "", ""]),
            ("", ["", "", "", "", "", ""]),
        ] {
            assert_eq!(parts(url), expected, "{url}");
        }
    }

    #[test]
    fn scheme_and_slashes_may_be_absent() {
        for (url, path, domain) in [
            ("www.example.com/path", "/path", "example.com"),
            ("example.com:8080/path", "/path", "example.com"),
            ("//example.com/path", "/path", "example.com"),
            ("http:example.com", "", "example.com"),
            ("http:///a", "/a", ""),
            ("mailto:someone@example.com", "", "example.com"),
            ("about:blank", "", "blank"),
            ("android-app://com.example.app/", "/", "example.app"),
            ("a.b://c.d/e", "//c.d/e", "a.b"),
            ("https://https://example.com/", "//example.com/", "https"),
            ("https:\\\\example.com\\path", "", "\\\\example.com\\path"),
            (":", "", ""),
        ] {
            let [found, _, _, _, host, _] = parts(url);
            assert_eq!((&*found, &*host), (path, domain), "{url}");
        }
    }

    #[test]
    fn user_info_and_port_are_no_part_of_the_host() {
        for (url, path, domain) in [
            ("https://user:pass@example.com:8080/a", "/a", "example.com"),
            ("https://a@b@example.com/", "/", "example.com"),
            ("https://example.com:/", "/", "example.com"),
            ("https://example.com:80:90/", "/", "example.com"),
            ("https://example.com.:443/", "/", "example.com"),
            ("https://example.com/u/@handle/posts", "/u/@handle/posts", "example.com"),
            ("https://example.com/?mail=user@evil.org", "/", "example.com"),
            ("https://example.com#user@evil.org", "", "example.com"),
            ("http://[2001:DB8::1]:8080/a", "/a", "[2001:db8::1]"),
            ("http://u:p@[::1]/a", "/a", "[::1]"),
            ("http://[::1/a", "/a", "["),
            (":@", "", ""),
            ("@a", "", "a"),
        ] {
            let [found, _, _, _, host, _] = parts(url);
            assert_eq!((&*found, &*host), (path, domain), "{url}");
        }
    }

    #[test]
    fn addresses_are_of_either_version() {
        let valid = [
            "0.0.0.0",
            "255.255.255.255",
            " 1.2.3.4\n",
            "::",
            "2001:db8::1",
            "2001:DB8:0:0:0:0:0:1",
            "::ffff:1.2.3.4",
            "fe80::1%eth0",
        ];
        assert_eq!(valid.into_iter().find(|address| !is_ip_address(address)), None);
        let invalid = [
            "",
            "1.2.3",
            "1.2.3.4.5",
            "256.1.1.1",
            "01.2.3.4",
            "0x7f.0.0.1",
            "1.2.3.4:80",
            "1.2.3.4%eth0",
            ":::",
            "g::1",
            "1:2:3:4:5:6:7",
            "2001:db8:0:0:0:0:0:0:1",
            "1::2::3",
            "[::1]",
            "fe80::1%",
            "fe80::1%a b",
            "fe80::1%a\r\nb: c",
            "unknownIpAddress",
        ];
        assert_eq!(invalid.into_iter().find(|address| is_ip_address(address)), None);
    }

    #[test]
    fn the_parts_of_any_text_are_parts_of_it() {
        let pieces = [
            "http", ":", "/", "//", "@", "?", "#", ".", "[", "]", "www", "example", "com", "jp", "kawasaki", "é",
            "\u{ff0e}", "😀", "İ", "-", "_", "%", " ", "\n", "\0", "8080", "xn--", "A",
        ];
        let mut seed = 1_u64;
        let mut next = |bound: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % bound
        };
        for _ in 0..30_000 {
            let url: String = (0..next(14)).map(|_| pieces[next(pieces.len())]).collect();
            let parsed = PageUrl::parse(&url);
            let tail = [parsed.path(), parsed.query(), parsed.fragment()];
            assert!(tail.into_iter().all(|part| url.contains(part)), "{url:?}");
            let host = url.to_lowercase();
            assert!(host.contains(parsed.domain()) && host.contains(parsed.subdomain()), "{url:?}");
            assert!(parsed.domain().ends_with(parsed.top_level_domain()), "{url:?}");
        }
    }
}
