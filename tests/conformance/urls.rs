//! urls.json: what rules see of a URL, and which texts are addresses.
//!
//! A second reading of decisioning.md section 2 is here, over the compiled list of the crate `psl`: the library has to
//! agree with it on every URL, and where both disagree with what was recorded, the URL has to be one of those on which
//! we differ on purpose.

use adobe_target::delivery::model::Address;
use adobe_target::unversioned;
use serde_json::{Value, json};

use crate::compare::{Bindings, compare};
use crate::corpus::{self, Case};
use crate::report::Verdict;
use crate::rules::{self, Rules};

const AT_SIGN: &str = "README: the user info ends at the last @ of the authority";
const IPV6: &str = "README: an IPv6 address in brackets is a host";
const WWW: &str = "README: only the label www is stripped";
const MIXED_IDN: &str = "README: IDN hosts of mixed form stay as they are";
const LINE_BREAK: &str = "README: line breaks are characters like others";
const SECOND_PORT: &str = "README: whatever follows the host's colon is its port";
const OTHER_LIST: &str = "decisioning.md 2: suffixes are those of the list of today";

/// Runs a case.
pub fn run(case: &Case) -> Verdict {
    match case.area.as_str() {
        "ip-address" => {
            let valid = case.input["ipAddress"].as_str().is_some_and(unversioned::is_ip_address);
            verdict("valid", &case.expected["valid"], &json!(valid), Rules::new())
        }
        area if area.starts_with("url.") => url(case),
        other => Verdict::Failed(vec![format!("nobody knows the area {other}")]),
    }
}

fn verdict(what: &str, expected: &Value, got: &Value, rules: Rules) -> Verdict {
    let differences = compare(what, expected, got, &mut Bindings::new(0));
    Verdict::of(differences.iter().map(ToString::to_string).collect(), rules)
}

fn url(case: &Case) -> Verdict {
    let given = &case.input["url"];
    let mut rules = Rules::new();
    let text = match given {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => match corpus::utf16(other) {
            Some(units) => {
                rules.insert(rules::HALF_PAIRS);
                String::from_utf16_lossy(&units)
            }
            None if corpus::is_undefined(other) => String::new(),
            None => return refused(other),
        },
    };
    let ours = with_twins(unversioned::url_context(&text));
    let (second, host, authority) = second_reading(&text);
    if ours != with_twins(second.clone()) {
        return verdict("by a second reading", &with_twins(second), &ours, Rules::new());
    }
    let differences = compare("context", &case.expected, &ours, &mut Bindings::new(0));
    if differences.is_empty() {
        return Verdict::of(Vec::new(), rules);
    }
    let has = |part: &str, signs: &[char]| second[part].as_str().is_some_and(|part| part.contains(signs));
    let port = authority.strip_prefix(&*host).unwrap_or_default();
    let on_purpose = [
        (AT_SIGN, authority.contains('@') || ["path", "query", "fragment"].into_iter().any(|part| has(part, &['@']))),
        (IPV6, host.starts_with('[')),
        (WWW, host.strip_prefix("www").is_some_and(|rest| !rest.starts_with('.'))),
        (MIXED_IDN, host.contains("xn--") || host.contains(['\u{3002}', '\u{ff0e}', '\u{ff61}'])),
        (LINE_BREAK, text.contains(['\n', '\r', '\u{2028}', '\u{2029}'])),
        (SECOND_PORT, port.chars().skip(1).any(|c| !c.is_ascii_digit())),
    ];
    rules.extend(on_purpose.into_iter().filter(|(_, holds)| *holds).map(|(rule, _)| rule));
    if rules.is_empty() && is_other_suffix(&host, case.expected["topLevelDomain"].as_str().unwrap_or_default()) {
        rules.insert(OTHER_LIST);
    }
    if rules.is_empty() {
        return Verdict::Failed(differences.iter().map(ToString::to_string).collect());
    }
    Verdict::Deviation(rules)
}

/// A URL that is no text never reaches the rules.
fn refused(url: &Value) -> Verdict {
    match serde_json::from_value::<Address>(json!({"url": url})) {
        Err(_) => Verdict::Deviation(Rules::from([rules::WRONG_TYPE])),
        Ok(address) => Verdict::Failed(vec![format!("{url} was read as {address:?}")]),
    }
}

/// Each member with its twin in lower case.
fn with_twins(context: Value) -> Value {
    let members = context.as_object().expect("an object").iter();
    let twins = members.flat_map(|(key, value)| {
        let text = value.as_str().expect("a text");
        [(key.clone(), json!(text)), (format!("{key}_lc"), json!(text.to_lowercase()))]
    });
    Value::Object(twins.collect())
}

/// The context, the host as it stands there, and the authority without its user info if that has no other @.
fn second_reading(url: &str) -> (Value, String, String) {
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let is_scheme =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '-');
    let rest = rest.split_once(':').filter(|(scheme, _)| is_scheme(scheme)).map_or(rest, |(_, rest)| rest);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (whole, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = whole.rsplit('@').next().unwrap_or_default();
    let host = match authority.find(']') {
        Some(end) if authority.starts_with('[') => &authority[..=end],
        _ => authority.split(':').next().unwrap_or_default(),
    };
    let lower = host.strip_suffix('.').unwrap_or(host).to_lowercase();
    let (subdomain, domain, suffix) = split(&lower).unwrap_or(("", &lower, ""));
    let context = json!({
        "url": url, "path": path, "query": query, "fragment": fragment,
        "subdomain": subdomain, "domain": domain, "topLevelDomain": suffix,
    });
    let authority = if whole.matches('@').count() > 1 { whole } else { authority };
    (context, host.to_owned(), authority.to_owned())
}

fn split(host: &str) -> Option<(&str, &str, &str)> {
    let is_label = |label: &str| {
        let ascii =
            if label.is_ascii() { label.to_owned() } else { unversioned::host_in_ascii(label).unwrap_or_default() };
        (1..=63).contains(&ascii.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| !c.is_ascii() || c.is_ascii_alphanumeric() || c == '-')
    };
    let suffix = psl::suffix(host.as_bytes()).filter(|suffix| suffix.is_known())?;
    let suffix = str::from_utf8(suffix.as_bytes()).ok()?;
    // The parent of a wildcard is a suffix as well.
    let is_parent = psl::suffix_str(&format!("x.{host}")).is_some_and(|suffix| suffix == format!("x.{host}"));
    if host.len() > 255 || !host.split('.').all(is_label) || is_parent {
        return None;
    }
    let before = host.strip_suffix(suffix)?.strip_suffix('.')?;
    let start = before.rfind('.').map_or(0, |at| at + 1);
    let subdomain = before[..start].trim_end_matches('.');
    let subdomain = if subdomain == "www" { "" } else { subdomain.strip_prefix("www.").unwrap_or(subdomain) };
    Some((subdomain, &host[start..], suffix))
}

/// Whether the list of today has another suffix for the host than the one that was recorded.
fn is_other_suffix(host: &str, recorded: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_lowercase();
    let today = split(&host).map_or("", |(_, _, suffix)| suffix);
    today != recorded && (host.ends_with(&format!(".{recorded}")) || recorded.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(url: &str, expected: Value) -> Case {
        Case {
            name: "small".into(),
            area: "url.plain".into(),
            input: json!({"url": url}),
            expected: with_twins(expected),
            quirk: String::new(),
            recorded: Value::Null,
        }
    }

    #[test]
    fn an_altered_url_fails() {
        let expected = json!({
            "url": "https://m.example.com/A?b#c", "path": "/A", "query": "b", "fragment": "c",
            "subdomain": "m", "domain": "example.com", "topLevelDomain": "com",
        });
        assert_eq!(run(&case("https://m.example.com/A?b#c", expected.clone())), Verdict::Passed);
        for member in ["path", "query", "fragment", "subdomain", "domain"] {
            let mut altered = expected.clone();
            altered[member] = json!("other");
            assert!(matches!(run(&case("https://m.example.com/A?b#c", altered)), Verdict::Failed(_)), "{member}");
        }
    }
}
