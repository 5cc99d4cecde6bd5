//! What rules see of URL, user agent and visitor, as plain values.

use serde_json::{Value, json};

use crate::decisioning::allocation::{self, AllocationPrefix, Visitor, allocation_id_of};
use crate::decisioning::domain::{self, Domain};
use crate::decisioning::url::{self, PageUrl};
use crate::decisioning::user_agent::{ClientHints, user};

/// The public suffixes that the library knows: crate, version and day.
pub const PUBLIC_SUFFIX_LIST: &str = domain::PUBLIC_SUFFIX_LIST;

/// The members of `page` and `referring`, without their twins in lower case.
pub fn url_context(url: &str) -> Value {
    let parts = PageUrl::parse(url);
    json!({
        "url": url,
        "path": parts.path(),
        "query": parts.query(),
        "fragment": parts.fragment(),
        "subdomain": parts.subdomain(),
        "domain": parts.domain(),
        "topLevelDomain": parts.top_level_domain(),
    })
}

/// `browser`, `operatingSystem` and the members of `user` that come of these; `hints` is `context.clientHints`.
pub fn user_context(user_agent: Option<&str>, hints: &Value) -> Value {
    let hint = |name: &str| hints.get(name).and_then(Value::as_str);
    let hints = ClientHints {
        platform: hint("platform"),
        browser_ua_with_major_version: hint("browserUAWithMajorVersion"),
        browser_ua_with_full_version: hint("browserUAWithFullVersion"),
    };
    let user = user(user_agent, &hints);
    json!({
        "browser": {"name": user.browser(), "version": user.browser_version()},
        "operatingSystem": user.operating_system(),
        "context": {
            "browserType": user.browser_type(),
            "platform": user.platform(),
            "browserVersion": user.browser_version(),
        },
    })
}

/// A visitor's place in an activity.
pub fn allocation(client: &str, activity_id: &str, visitor_id: &str) -> f64 {
    AllocationPrefix::new(client, activity_id).allocation(&Visitor::new(visitor_id))
}

/// The same of a visitor with an id of any kind, `id` of a request; none without one.
pub fn allocation_of_visitor(client: &str, activity_id: &str, id: &Value) -> Option<f64> {
    let id_of = |name: &str| id.get(name).and_then(Value::as_str);
    let id = allocation_id_of(id_of("marketingCloudVisitorId"), id_of("tntId"), id_of("thirdPartyId"))?;
    Some(allocation(client, activity_id, id))
}

/// MurmurHash3 of a text's UTF-16 code units.
pub fn hash(text: &str) -> i32 {
    allocation::hash(text)
}

/// Whether text is an IPv4 or IPv6 address.
pub fn is_ip_address(text: &str) -> bool {
    url::is_ip_address(text)
}

/// Subdomain, registrable domain and public suffix of a host.
pub fn split_host(host: &str) -> (String, String, String) {
    let domain = Domain::of(host);
    (domain.subdomain().to_owned(), domain.domain().to_owned(), domain.suffix().to_owned())
}

/// A name in lower case with its labels in ASCII; none if it is no name of a host.
pub fn host_in_ascii(name: &str) -> Option<String> {
    domain::in_ascii(name).map(|ascii| ascii.into_owned())
}
