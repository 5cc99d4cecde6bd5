//! Browser and platform as rules see them, read from the user agent and the client hints. Pure; borrows from the
//! request.
//!
//! Browsers are found by the product tokens that they have in common with the browsers they imitate, so most
//! Chromium-based ones are chrome. Reading takes time in proportion to the text, whatever the text is.

/// Members of the Delivery API's `context.clientHints` that rules depend on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ClientHints<'a> {
    pub platform: Option<&'a str>,
    pub browser_ua_with_major_version: Option<&'a str>,
    pub browser_ua_with_full_version: Option<&'a str>,
}

/// What is known about the visitor's software.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct User<'a> {
    browser: Browser,
    version: f64,
    operating_system: &'a str,
}

impl<'a> User<'a> {
    /// `unknown`, or the name as the field writes it.
    pub(crate) fn browser(&self) -> &'static str {
        self.browser.names().0
    }

    /// The name in lower case.
    pub(crate) fn browser_type(&self) -> &'static str {
        self.browser.names().1
    }

    /// The major version, -1 when it is unknown. A whole number, of any size that a text can claim.
    pub(crate) fn browser_version(&self) -> f64 {
        self.version
    }

    /// As the hint or the user agent has it; `unknown` otherwise.
    pub(crate) fn operating_system(&self) -> &'a str {
        self.operating_system
    }

    /// The operating system in the words of rules. Those that have no word of their own stay as they are.
    pub(crate) fn platform(&self) -> &'a str {
        match self.operating_system {
            "Windows" => "windows",
            "Macintosh" | "Mac OS" | "macOS" => "mac",
            "Linux" => "linux",
            other => other,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Browser {
    Chrome,
    Edge,
    Firefox,
    Ie,
    MobileSafari,
    Safari,
    Unknown,
}

impl Browser {
    /// Its name, and that in lower case.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Browser::Chrome => ("Chrome", "chrome"),
            Browser::Edge => ("Edge", "edge"),
            Browser::Firefox => ("Firefox", "firefox"),
            Browser::Ie => ("IE", "ie"),
            Browser::MobileSafari => ("Mobile Safari", "mobile safari"),
            Browser::Safari => ("Safari", "safari"),
            Browser::Unknown => ("unknown", "unknown"),
        }
    }
}

/// A hint counts before the user agent, each member by itself; an empty one is absent.
pub(crate) fn user<'a>(user_agent: Option<&'a str>, hints: &ClientHints<'a>) -> User<'a> {
    let given = |text: Option<&'a str>| text.filter(|text| !text.is_empty());
    let user_agent = user_agent.unwrap_or_default();
    let brands = given(hints.browser_ua_with_full_version).or(given(hints.browser_ua_with_major_version));
    let (browser, version) = match brands.and_then(brand) {
        Some((browser, Some(version))) => (browser, Some(version)),
        // A brand without a number leaves the version to the user agent.
        Some((browser, None)) => (browser, product(user_agent).and_then(|(_, version)| leading_number(version))),
        None => match product(user_agent) {
            Some((browser, version)) => (browser, leading_number(version)),
            None => (Browser::Unknown, None),
        },
    };
    let operating_system = given(hints.platform).unwrap_or_else(|| operating_system(user_agent));
    User { browser, version: version.unwrap_or(-1.0), operating_system }
}

/// The browser and what stands for its version. Names are found in any case and as ends of words too
/// (`HeadlessChrome`).
fn product(user_agent: &str) -> Option<(Browser, &str)> {
    let text = user_agent.as_bytes();
    let (mut safari, mut chrome) = (None, None);
    // Up to here no Safari was found behind any Version.
    let mut searched = 0;
    for (at, _) in user_agent.match_indices('/') {
        let (before, after) = (text.get(..at).unwrap_or_default(), at + 1);
        let named = |name: &str| ends_with_ignore_case(before, name);
        // One look at the last letter rules out most of the words that have a slash.
        match before.last().map(u8::to_ascii_lowercase) {
            Some(b'e' | b'g' | b'a' | b's') if ["edge", "edg", "edga", "edgios"].into_iter().any(named) => {
                if let Some(version) = word(user_agent, after) {
                    return Some((Browser::Edge, version));
                }
            }
            Some(b'e') if chrome.is_none() && named("chrome") => chrome = word(user_agent, after),
            Some(b'n') if safari.is_none() && searched <= at && named("version") => {
                if let Some(version) = word(user_agent, after) {
                    let (found, end) = safari_in_line(text, after + version.len());
                    safari = found.map(|browser| (browser, version));
                    searched = end;
                }
            }
            _ => {}
        }
    }
    // The WebView of Android has Version before its Chrome and counts as safari.
    safari
        .or(chrome.map(|version| (Browser::Chrome, version)))
        .or_else(|| firefox(user_agent).map(|version| (Browser::Firefox, version)))
        .or_else(|| internet_explorer(user_agent).map(|version| (Browser::Ie, version)))
}

/// The Safari that the rest of the line names, and where the line or the search ended. Mobile Safari has
/// `Mobile/` and its build right before the name.
fn safari_in_line(text: &[u8], start: usize) -> (Option<Browser>, usize) {
    let line_end = line_end(text, start);
    let line = text.get(start..line_end).unwrap_or_default();
    let mut found = None;
    let mut rest = line;
    while let Some(at) = find_ignore_case(rest, "safari") {
        let before = rest.get(..at).unwrap_or_default();
        if let Some((space, build)) = before.split_last()
            && space.is_ascii_whitespace()
            && let length = build.iter().rev().take_while(|byte| is_word(**byte)).count()
            && length > 0
            && ends_with_ignore_case(build.get(..build.len() - length).unwrap_or_default(), "mobile/")
        {
            return (Some(Browser::MobileSafari), line_end);
        }
        found = Some(Browser::Safari);
        rest = rest.get(at + "safari".len()..).unwrap_or_default();
    }
    (found, line_end)
}

/// Firefox is itself only at the end of the text: those built from it go on with their own names.
fn firefox(user_agent: &str) -> Option<&str> {
    let text = user_agent.as_bytes();
    let length = text.iter().rev().take_while(|byte| is_word(**byte) || matches!(byte, b'.' | b'-')).count();
    let (before, version) = user_agent.split_at_checked(text.len() - length)?;
    (length > 0 && ends_with_ignore_case(before.as_bytes(), "firefox/")).then_some(version)
}

/// `MSIE 10.0`, or from version 11 on `Trident/7.0; rv:11.0) like Gecko` in one line.
fn internet_explorer(user_agent: &str) -> Option<&str> {
    let text = user_agent.as_bytes();
    let mut from = 0;
    while let Some(at) = find_ignore_case(text.get(from..).unwrap_or_default(), "msie") {
        from += at + "msie".len();
        if text.get(from).is_some_and(u8::is_ascii_whitespace)
            && let Some(version) = word(user_agent, from + 1)
        {
            return Some(version);
        }
    }
    let start = find_ignore_case(text, "trident")? + "trident".len();
    let line = text.get(start..line_end(text, start))?;
    let gecko = (0..line.len()).rev().find(|at| {
        let space = line.get(*at..).and_then(|rest| strip_ignore_case(rest, "like")?.split_first());
        space.is_some_and(|(space, rest)| space.is_ascii_whitespace() && strip_ignore_case(rest, "gecko").is_some())
    })?;
    let revision = (0..gecko).rev().find(|at| match line.get(*at..gecko) {
        Some([b'r' | b'R', b'v' | b'V', b':' | b' ', version, ..]) => is_version(*version),
        _ => false,
    })?;
    word(user_agent, start + revision + "rv:".len())
}

/// The operating system that a user agent tells of. Names of systems count in their own case alone. Phones come
/// first, since those of other makers say `like iPhone` or `Android` besides.
fn operating_system(user_agent: &str) -> &'static str {
    let text = user_agent.as_bytes();
    let (mut android, mut windows, mut mac, mut linux, mut unix) = (false, false, false, false, false);
    for (at, letter) in text.iter().enumerate().filter(|(_, byte)| byte.is_ascii_uppercase()) {
        let rest = text.get(at..).unwrap_or_default();
        let follows = |byte: u8| at.checked_sub(1).and_then(|before| text.get(before)) == Some(&byte);
        let is = |name: &str| rest.starts_with(name.as_bytes());
        match letter {
            b'P' if follows(b'i') && ["Phone", "Pad", "Pod"].into_iter().any(is) => return "iOS",
            b'A' => android |= rest.strip_prefix(b"Android ").is_some_and(starts_with_android_version),
            b'W' => windows |= is("Windows ") && rest.get("Windows ".len()).is_some_and(|next| is_word(*next)),
            b'M' => mac |= is("Macintosh;"),
            b'L' => linux |= follows(b' ') && is("Linux "),
            b'X' => unix |= is("X11"),
            b'B' => unix |= is("BSD"),
            b'C' => unix |= is("CrOS"),
            b'S' => unix |= is("SunOS"),
            _ => {}
        }
    }
    let systems = [(android, "Android"), (windows, "Windows"), (mac, "Mac OS"), (linux, "Linux"), (unix, "Unix")];
    systems.into_iter().find(|(found, _)| *found).map_or("unknown", |(_, name)| name)
}

/// A version that ends its part of the comment, as in `(Linux; Android 13; Pixel 7)`.
fn starts_with_android_version(text: &[u8]) -> bool {
    let length = text.iter().take_while(|byte| is_version(**byte)).count();
    length > 0 && matches!(text.get(length), Some(b';' | b')'))
}

/// The first of the known brands in a list like `"Chromium";v="110", "Google Chrome";v="110"`, with the number of
/// its version. Brands count in any case and as ends of names, exactly in this form; others are unknown.
fn brand(list: &str) -> Option<(Browser, Option<f64>)> {
    const KNOWN: [(&str, Browser); 4] = [
        ("chrome", Browser::Chrome),
        ("edge", Browser::Edge),
        ("firefox", Browser::Firefox),
        ("safari", Browser::Safari),
    ];
    const BETWEEN: &str = "\";v=\"";
    let mut found = [None; KNOWN.len()];
    let mut rest = list;
    while let Some((name, after)) = find_ignore_case(rest.as_bytes(), BETWEEN)
        .and_then(|at| Some((rest.get(..at)?, rest.get(at + BETWEEN.len()..)?)))
    {
        let length = after.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        if let Some((version, end)) = after.split_at_checked(length)
            && length > 0
            && end.starts_with('"')
            && let Some(at) = KNOWN.iter().position(|(brand, _)| ends_with_ignore_case(name.as_bytes(), brand))
            && let Some(first @ None) = found.get_mut(at)
        {
            *first = Some(leading_number(version));
        }
        rest = after;
    }
    KNOWN.into_iter().zip(found).find_map(|((_, browser), version)| Some((browser, version?)))
}

/// The number that text begins with.
fn leading_number(text: &str) -> Option<f64> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    text.get(..length)?.parse().ok()
}

/// The version at this place: letters, digits, underscores and dots.
fn word(text: &str, start: usize) -> Option<&str> {
    let length = text.as_bytes().get(start..)?.iter().take_while(|byte| is_version(**byte)).count();
    text.get(start..start + length).filter(|word| !word.is_empty())
}

fn is_version(byte: u8) -> bool {
    is_word(byte) || byte == b'.'
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where the line ends that goes on at `start`. The separators of Unicode end one, too.
fn line_end(text: &[u8], start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    let length = rest.iter().enumerate().position(|(at, byte)| match byte {
        b'\n' | b'\r' => true,
        0xe2 => matches!(rest.get(at + 1..at + 3), Some([0x80, 0xa8 | 0xa9])),
        _ => false,
    });
    length.map_or(text.len(), |length| start + length)
}

// These three have calls in so many places that copies of them would double this room's part of the library.

/// Where ASCII text stands first, in any case of its letters.
#[inline(never)]
fn find_ignore_case(text: &[u8], wanted: &str) -> Option<usize> {
    let first = wanted.bytes().next()?;
    text.iter().enumerate().position(|(at, byte)| {
        byte.to_ascii_lowercase() == first
            && text.get(at..).is_some_and(|rest| strip_ignore_case(rest, wanted).is_some())
    })
}

#[inline(never)]
fn strip_ignore_case<'a>(text: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix.as_bytes()).then_some(rest)
}

#[inline(never)]
fn ends_with_ignore_case(text: &[u8], end: &str) -> bool {
    let start = text.len().checked_sub(end.len());
    start.and_then(|start| text.get(start..)).is_some_and(|last| last.eq_ignore_ascii_case(end.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn of(user_agent: &str) -> (&'static str, f64, &str) {
        let user = user(Some(user_agent), &ClientHints::default());
        (user.browser_type(), user.browser_version(), user.platform())
    }

    fn hinted<'a>(user_agent: &'a str, hints: ClientHints<'a>) -> (&'static str, f64, &'a str) {
        let user = user(Some(user_agent), &hints);
        (user.browser_type(), user.browser_version(), user.platform())
    }

    const FIREFOX: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:84.0) Gecko/20100101 Firefox/84.0";

    #[test]
    fn browsers_are_found_by_their_products() {
        for (user_agent, expected) in [
            (FIREFOX, ("firefox", 84.0, "windows")),
            ("(X11; Linux x86_64) HeadlessChrome/119.0.6045.105 Safari/537.36", ("chrome", 119.0, "linux")),
            ("(Linux; Android 10) Chrome/124.0.0.0 Mobile Safari/537.36", ("chrome", 124.0, "Android")),
            (
                "(Linux; Android 10; HD1913) Chrome/119.0 Mobile Safari/537.36 EdgA/119.0.2151.46",
                ("edge", 119.0, "Android"),
            ),
            ("(iPad; CPU OS 12_5_7) Version/12.1.2 Mobile/15E148 Safari/604.1", ("mobile safari", 12.0, "iOS")),
            ("(iPhone; CPU iPhone OS 17_1) CriOS/119.0.6045.109 Mobile/15E148 Safari/604.1", ("unknown", -1.0, "iOS")),
            ("(Macintosh; Intel Mac OS X 10_15_7) Version/14.1.2 Safari/605.1.15", ("safari", 14.0, "mac")),
            (
                "(Linux; Android 5.1.1; wv) Version/4.0 Chrome/83.0.4103.106 Mobile Safari/537.36",
                ("safari", 4.0, "Android"),
            ),
            ("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko", ("ie", 11.0, "windows")),
            ("Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0)", ("ie", 8.0, "windows")),
            ("(X11; CrOS armv7l 13597.84.0) Chrome/88.0.4324.208 Safari/537.36", ("chrome", 88.0, "Unix")),
            ("(X11; Linux x86_64; rv:91.0) Gecko/20100101 Firefox/91.0 Waterfox/91.0", ("unknown", -1.0, "linux")),
            ("curl/8.4.0", ("unknown", -1.0, "unknown")),
            ("", ("unknown", -1.0, "unknown")),
        ] {
            assert_eq!(of(user_agent), expected, "{user_agent}");
        }
        assert_eq!(user(None, &ClientHints::default()).browser(), "unknown");
    }

    #[test]
    fn names_count_in_any_case_and_need_a_version() {
        for (user_agent, browser, version) in [
            ("CHROME/99", "chrome", 99.0),
            ("chrome", "unknown", -1.0),
            ("Chrome/", "unknown", -1.0),
            ("Chrome/ Chrome/5", "chrome", 5.0),
            ("Chrome/x", "chrome", -1.0),
            ("Chrome/.5", "chrome", -1.0),
            ("Chrome/007", "chrome", 7.0),
            ("Chrome/1e3", "chrome", 1.0),
            ("Chrome/99999999999999999999", "chrome", 1e20),
            ("Edge/x", "edge", -1.0),
            ("Firefox/a9", "firefox", -1.0),
            ("Firefox/9 ", "unknown", -1.0),
            ("version/5.1 mobile safari", "safari", 5.0),
            ("Version/5.1 mobile/abc safari/1", "mobile safari", 5.0),
            ("Version/ Safari/1", "unknown", -1.0),
            ("Version/1.0\nSafari/1", "unknown", -1.0),
            ("Version/1.0\u{2028}Safari/1", "unknown", -1.0),
            ("Version/1.0\nVersion/2.0 Safari/1", "safari", 2.0),
            ("Trident/7.0; rv:11.0", "unknown", -1.0),
            ("Trident/7.0; rv:10.0) Like Gecko", "ie", 10.0),
            ("\u{212a}elvin Chrome\u{212a}/3", "unknown", -1.0),
        ] {
            let (found, number, _) = of(user_agent);
            assert_eq!((found, number), (browser, version), "{user_agent:?}");
        }
    }

    #[test]
    fn systems_count_in_their_own_case() {
        for (user_agent, system) in [
            ("(Windows)", "unknown"),
            ("Windows ", "unknown"),
            ("Windows 98", "Windows"),
            (" Linux ", "Linux"),
            ("Linux", "unknown"),
            ("(Linux; Tizen 5.0)", "unknown"),
            ("android 10;", "unknown"),
            ("Android  10;", "unknown"),
            ("Android 10;", "Android"),
            ("Macintosh", "unknown"),
            ("Macintosh; PPC", "Mac OS"),
            ("FreeBSD iPhone", "iOS"),
            ("iPod touch", "iOS"),
            ("NetBSD", "Unix"),
            ("Windows Phone 10.0; Android 4.2.1; like iPhone", "iOS"),
        ] {
            assert_eq!(user(Some(user_agent), &ClientHints::default()).operating_system(), system, "{user_agent}");
        }
    }

    #[test]
    fn a_hint_counts_before_the_user_agent() {
        let list = |list| ClientHints { browser_ua_with_major_version: Some(list), ..ClientHints::default() };
        for (brands, browser, version) in [
            (r#""Not_A Brand";v="99", "Google Chrome";v="109", "Chromium";v="109""#, "chrome", 109.0),
            (r#""Microsoft Edge";v="109", "Google Chrome";v="108""#, "chrome", 108.0),
            (r#""Chromium";v="109", "Microsoft Edge";v="109""#, "edge", 109.0),
            (r#""GOOGLE CHROME";V="109""#, "chrome", 109.0),
            (r#""Mobile Safari";v="17.1""#, "safari", 17.0),
            // Neither of another form nor of an unknown brand.
            (r#""Google Chrome"; v="109""#, "firefox", 84.0),
            (r#""Google Chrome";v=109"#, "firefox", 84.0),
            (r#""Google Chrome";v="x""#, "firefox", 84.0),
            (r#""Google Chrome";v="109"#, "firefox", 84.0),
            (r#""Opera";v="95", "Chromium";v="109""#, "firefox", 84.0),
            ("", "firefox", 84.0),
            // The name without its number.
            (r#""Google Chrome";v=".9""#, "chrome", 84.0),
        ] {
            assert_eq!(hinted(FIREFOX, list(brands)), (browser, version, "windows"), "{brands}");
        }
    }

    #[test]
    fn the_full_version_list_and_the_platform_are_hints_of_their_own() {
        let hints = ClientHints {
            platform: Some("macOS"),
            browser_ua_with_major_version: Some(r#""Google Chrome";v="1""#),
            browser_ua_with_full_version: Some(r#""Google Chrome";v="109.0.5414.87""#),
        };
        assert_eq!(hinted(FIREFOX, hints), ("chrome", 109.0, "mac"));
        assert_eq!(hinted("", ClientHints { browser_ua_with_full_version: Some(""), ..hints }), ("chrome", 1.0, "mac"));
        for (platform, expected) in
            [("Windows", "windows"), ("Mac OS", "mac"), ("MACOS", "MACOS"), ("Chrome OS", "Chrome OS"), ("", "windows")]
        {
            let hints = ClientHints { platform: Some(platform), ..ClientHints::default() };
            assert_eq!(hinted(FIREFOX, hints).2, expected);
        }
    }

    #[test]
    fn any_text_is_read_in_linear_time() {
        let parts = [
            "Version/1 ",
            "Version/1",
            "safari",
            "Mobile/a ",
            "Mobile/",
            "Trident",
            "rv:1",
            "like Gecko",
            "MSIE ",
            "MSIE",
            "Firefox/",
            "Edg/",
            "Android 1",
            "Linux ",
            "iP",
            "\";v=\"",
            "chrome\";v=\"1",
            "1",
            "/",
            "\n",
            "\u{2028}",
            "ſ",
        ];
        let pairs = parts.windows(2).map(|pair| pair.concat());
        for part in parts.into_iter().map(str::to_owned).chain(pairs) {
            let started = Instant::now();
            let text = part.repeat(30_000);
            let hints = ClientHints { browser_ua_with_full_version: Some(&text), ..ClientHints::default() };
            assert!(user(Some(&text), &hints).browser_version() >= -1.0);
            // It takes milliseconds; with the square of the length it would take minutes.
            assert!(started.elapsed() < Duration::from_secs(20), "{part}");
        }
    }

    #[test]
    fn random_texts_have_an_answer() {
        let pieces = [
            "Version", "safari", "Mobile", "Trident", "rv", ":", "like", "gecko", "MSIE", "Firefox", "Edg", "iOS",
            "Chrome", "/", " ", "1", ".", "\n", "\u{2028}", "é", "😀", "\"", ";v=\"", "Android", "iPhone", "Linux",
            "Windows", "\0",
        ];
        let mut seed = 1_u64;
        let mut next = |bound: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % bound
        };
        for _ in 0..20_000 {
            let text: String = (0..next(12)).map(|_| pieces[next(pieces.len())]).collect();
            let hints = ClientHints { browser_ua_with_major_version: Some(&text), ..ClientHints::default() };
            for hints in [hints, ClientHints::default()] {
                let user = user(Some(&text), &hints);
                assert!(user.version == -1.0 || user.browser != Browser::Unknown, "{text:?}");
            }
        }
    }
}
