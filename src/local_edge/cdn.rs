//! What Adobe's content network serves beside the edges: the rule artifact and the geo service.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use super::artifact::{Form, Loaded};
use super::faults::{Fault, WrongEtag};
use super::geo::{GeoTable, address_of};
use super::harm::Plain;
use super::http::Request;
use super::query::decode;
use super::routes::error_body;

/// Makes tags that nobody has seen before.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Whether a path is that of an artifact: `/{client}/{environment}/v1/[{property}/]rules.json` or `.bin`, also below
/// a base path of the client's own.
pub(super) fn is_artifact(path: &str) -> bool {
    client_of(path).is_some()
}

/// The client code in the path of an artifact.
pub(super) fn client_of(path: &str) -> Option<Cow<'_, str>> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    match segments.as_slice() {
        [.., client, _, "v1", "rules.json" | "rules.bin"] | [.., client, _, "v1", _, "rules.json" | "rules.bin"]
            if !segments.contains(&"") =>
        {
            Some(decode(client))
        }
        _ => None,
    }
}

/// Whether a path is that of the geo service, also below a base path of the client's own.
pub(super) fn is_geo(path: &str) -> bool {
    path.ends_with("/v1/geo")
}

/// The answer of the geo service.
pub(super) fn geo_answer(request: &Request<'_>, table: &GeoTable) -> Plain<'static> {
    if !is_read(request) {
        return not_allowed();
    }
    Plain::json(200, table.answer(&address_of(request.header("x-forwarded-for"))))
}

/// The answer to a request for the artifact. The fault is one that has to do with its content; others are ignored.
pub(super) fn artifact_answer<'a>(
    request: &Request<'_>,
    artifact: Option<&'a Loaded>,
    organization: &str,
    table: &GeoTable,
    fault: &Fault,
) -> Plain<'a> {
    if !is_read(request) {
        return not_allowed();
    }
    let Some(artifact) = artifact else {
        return Plain::json(404, error_body(404, "no artifact is loaded"));
    };
    let form = if request.path().ends_with(".bin") { Form::Bin } else { Form::Json };
    let gzipped = accepts_gzip(request.header("accept-encoding"));
    let (body, tag, gzipped) = match fault {
        Fault::OtherVersion(version) => {
            let mut hasher = DefaultHasher::new();
            version.hash(&mut hasher);
            let tag = format!("{}-{:x}", artifact.etag(form, false), hasher.finish());
            (Cow::Owned(artifact.with_version(version, form, organization)), tag, false)
        }
        _ => (Cow::Borrowed(artifact.bytes(form, gzipped, organization)), artifact.etag(form, gzipped), gzipped),
    };
    let wrong = if let Fault::WrongEtag(wrong) = fault { Some(*wrong) } else { None };
    let tag = match wrong {
        Some(WrongEtag::Missing) => None,
        Some(WrongEtag::Weak) => Some(format!("W/\"{tag}\"")),
        Some(WrongEtag::Changing) => Some(format!("\"{tag}-{}\"", CHANGES.fetch_add(1, Ordering::Relaxed))),
        _ => Some(format!("\"{tag}\"")),
    };
    let not_modified = match wrong {
        Some(WrongEtag::NotModified) => true,
        Some(WrongEtag::MatchIgnored) => false,
        _ => tag.as_deref().is_some_and(|tag| matches(request.header("if-none-match"), tag)),
    };
    let mut headers: Vec<(&'static str, Cow<'a, str>)> =
        vec![("Vary", "Accept-Encoding".into()), ("Cache-Control", "no-cache".into())];
    headers.extend(tag.map(|tag| ("ETag", Cow::Owned(tag))));
    let location = table.locate(&address_of(request.header("x-forwarded-for")));
    headers.extend(location.iter().map(|(name, value)| (*name, Cow::Owned(value.clone()))));
    if not_modified {
        return Plain { status: 304, headers, body: Cow::Borrowed(&[]) };
    }
    let content_type = if form == Form::Bin { "application/octet-stream" } else { "application/json;charset=UTF-8" };
    headers.push(("Content-Type", content_type.into()));
    if gzipped {
        headers.push(("Content-Encoding", "gzip".into()));
    }
    Plain { status: 200, headers, body }
}

fn is_read(request: &Request<'_>) -> bool {
    matches!(request.method(), "GET" | "HEAD")
}

fn not_allowed() -> Plain<'static> {
    Plain::json(405, error_body(405, "only GET is allowed here"))
}

/// Whether a list of entity tags has this one. For reading, a weak tag fits a strong one.
fn matches(header: Option<&[u8]>, tag: &str) -> bool {
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let header = String::from_utf8_lossy(header.unwrap_or_default());
    header.split(',').any(|given| given.trim() == "*" || strong(given) == strong(tag))
}

/// Whether `Accept-Encoding` names gzip and does not refuse it.
fn accepts_gzip(header: Option<&[u8]>) -> bool {
    let header = String::from_utf8_lossy(header.unwrap_or_default()).to_ascii_lowercase();
    header.split(',').any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = quality.trim().strip_prefix("q=").is_some_and(|quality| quality.parse() == Ok(0.0));
        name.trim() == "gzip" && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_known_by_their_paths() {
        for path in [
            "/acme/production/v1/rules.json",
            "/acme/my%20env/v1/rules.bin",
            "/acme/production/v1/0b7d-token/rules.json",
            "/some/base/acme/production/v1/rules.json",
        ] {
            assert_eq!(client_of(path).as_deref(), Some("acme"), "{path}");
        }
        for path in [
            "/rules.json",
            "/v1/rules.json",
            "/acme/v1/rules.json",
            "/acme/production/rules.json",
            "/acme/production/v1/a/b/rules.json",
            "/acme/production/v1//rules.json",
            "//production/v1/rules.json",
            "/acme/production/v1/rules.xml",
            "/acme/production/v1/rules.json/",
        ] {
            assert!(!is_artifact(path), "{path}");
        }
    }

    #[test]
    fn entity_tags_are_compared_weakly() {
        for (header, fits) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
            ("", false),
        ] {
            assert_eq!(matches(Some(header.as_bytes()), "\"a\""), fits, "{header}");
        }
        assert!(!matches(None, "\"a\"") && matches(Some(b"\"a\""), "W/\"a\""));
    }

    #[test]
    fn gzip_is_used_only_when_it_is_accepted() {
        for (header, accepted) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("br;q=1, gzip; q=0.0", false),
            ("gzip;q=0", false),
            ("identity", false),
            ("xgzip", false),
        ] {
            assert_eq!(accepts_gzip(Some(header.as_bytes())), accepted, "{header}");
        }
        assert!(!accepts_gzip(None));
    }
}
