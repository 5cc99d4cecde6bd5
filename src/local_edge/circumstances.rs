//! What a delivery request says of the visitor and of what is around the call: ids, context, Experience Cloud, modes,
//! telemetry. Written from the specification, without the crate's models, like the rest of the validation.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::fields::{At, MAX_ID, Object, Refusal};
use super::fields::{check_texts, flag, integer, list, number, object, one_of, required_text, shorter, text};

const MAX_CUSTOMER_IDS: usize = 50;

/// Checks what stands beside ids, context and content; whether a trace is asked for.
pub(super) fn check_circumstances(request: &Object, at: &At<'_>) -> Result<bool, Refusal> {
    integer(request, at, "environmentId")?;
    if let Some(property) = object(request, at, "property")? {
        required_text(property, &at.member("property"), "token", usize::MAX)?;
    }
    if let Some(cloud) = object(request, at, "experienceCloud")? {
        check_experience_cloud(cloud, &at.member("experienceCloud"))?;
    }
    if let Some(telemetry) = object(request, at, "telemetry")? {
        check_telemetry(telemetry, &at.member("telemetry"))?;
    }
    if let Some(mode) = object(request, at, "qaMode")? {
        check_qa_mode(mode, &at.member("qaMode"))?;
    }
    if let Some(preview) = object(request, at, "preview")? {
        text(preview, &at.member("preview"), "token", usize::MAX)?;
    }
    let Some(trace) = object(request, at, "trace")? else { return Ok(false) };
    let at = at.member("trace");
    required_text(trace, &at, "authorizationToken", usize::MAX)?;
    if let Some(usage) = object(trace, &at, "usage")? {
        let at = at.member("usage");
        for name in usage.keys() {
            text(usage, &at, name, usize::MAX)?;
        }
    }
    Ok(true)
}

fn check_telemetry(telemetry: &Object, at: &At<'_>) -> Result<(), Refusal> {
    let entries = list(telemetry, at, "entries")?;
    let at = at.member("entries");
    for (index, entry) in entries.unwrap_or_default().iter().enumerate() {
        let at = at.index(index);
        let entry = entry.as_object().ok_or_else(|| at.wrong("must be an object"))?;
        check_texts(entry, &at, &[("requestId", usize::MAX), ("telemetryServerToken", usize::MAX)])?;
        integer(entry, &at, "timestamp")?;
        one_of(entry, &at, "mode", &["edge", "local"])?;
        number(entry, &at, "execution")?;
        number(entry, &at, "parsing")?;
        if let Some(features) = object(entry, &at, "features")? {
            let at = at.member("features");
            one_of(features, &at, "decisioningMethod", &["server-side", "on-device", "hybrid"])?;
            for name in ["executeMboxCount", "prefetchMboxCount", "prefetchViewCount"] {
                integer(features, &at, name)?;
            }
            flag(features, &at, "executePageLoad")?;
            flag(features, &at, "prefetchPageLoad")?;
        }
        if let Some(request) = object(entry, &at, "request")? {
            let at = at.member("request");
            for name in ["dns", "tls", "timeToFirstByte", "download"] {
                number(request, &at, name)?;
            }
            integer(request, &at, "responseSize")?;
        }
    }
    Ok(())
}

fn check_qa_mode(mode: &Object, at: &At<'_>) -> Result<(), Refusal> {
    text(mode, at, "token", usize::MAX)?;
    flag(mode, at, "listedActivitiesOnly")?;
    for name in ["evaluateAsTrueAudienceIds", "evaluateAsFalseAudienceIds"] {
        for (index, id) in list(mode, at, name)?.unwrap_or_default().iter().enumerate() {
            if id.as_i64().is_none() {
                return Err(at.member(name).index(index).wrong("must be an integer"));
            }
        }
    }
    let Some(indexes) = list(mode, at, "previewIndexes")? else { return Ok(()) };
    let at = at.member("previewIndexes");
    if indexes.is_empty() {
        return Err(at.wrong("must not be empty"));
    }
    for (index, preview) in indexes.iter().enumerate() {
        let at = at.index(index);
        let preview = preview.as_object().ok_or_else(|| at.wrong("must be an object"))?;
        for name in ["activityIndex", "experienceIndex"] {
            if integer(preview, &at, name)?.is_some_and(|index| index < 1) {
                return Err(at.member(name).wrong("must be at least 1"));
            }
        }
    }
    Ok(())
}

/// Checks the ids of a visitor and returns the `tntId` and those that other systems gave.
pub(super) fn visitor_id<'v>(id: &'v Object, at: &At<'_>) -> Result<(Option<&'v str>, Vec<&'v str>), Refusal> {
    let tnt_id = text(id, at, "tntId", MAX_ID)?;
    if tnt_id.is_some_and(|tnt_id| tnt_id.matches('.').count() > 1) {
        return Err(at.member("tntId").wrong("must not hold a dot but the one before the location hint"));
    }
    let third_party = text(id, at, "thirdPartyId", MAX_ID)?;
    let cloud = text(id, at, "marketingCloudVisitorId", MAX_ID)?;
    if let Some(customers) = list(id, at, "customerIds")? {
        let at = at.member("customerIds");
        if customers.len() > MAX_CUSTOMER_IDS {
            return Err(at.wrong(format_args!("must not have more than {MAX_CUSTOMER_IDS} items")));
        }
        for (index, customer) in customers.iter().enumerate() {
            let at = at.index(index);
            let customer = customer.as_object().ok_or_else(|| at.wrong("must be an object"))?;
            required_text(customer, &at, "id", MAX_ID)?;
            required_text(customer, &at, "integrationCode", 50)?;
            one_of(customer, &at, "authenticatedState", &["unknown", "authenticated", "logged_out"])?
                .ok_or_else(|| at.member("authenticatedState").wrong("is required"))?;
        }
    }
    let others = [cloud, third_party].into_iter().flatten().filter(|id| !id.is_empty());
    Ok((tnt_id.filter(|tnt_id| !tnt_id.is_empty()), others.collect()))
}

/// Checks the context and returns `beacon`.
pub(super) fn check_context(context: &Object, at: &At<'_>) -> Result<bool, Refusal> {
    one_of(context, at, "channel", &["mobile", "web"])?.ok_or_else(|| at.member("channel").wrong("is required"))?;
    if let Some(platform) = object(context, at, "mobilePlatform")? {
        let at = at.member("mobilePlatform");
        text(platform, &at, "deviceName", usize::MAX)?;
        text(platform, &at, "version", 128)?;
        for (name, values) in [("deviceType", ["phone", "tablet"]), ("platformType", ["android", "ios"])] {
            one_of(platform, &at, name, &values)?.ok_or_else(|| at.member(name).wrong("is required"))?;
        }
    }
    if let Some(application) = object(context, at, "application")? {
        check_texts(application, &at.member("application"), &[("id", 250), ("name", 250), ("version", 128)])?;
    }
    if let Some(screen) = object(context, at, "screen")? {
        let at = at.member("screen");
        for name in ["width", "height", "colorDepth", "pixelRatio"] {
            number(screen, &at, name)?;
        }
        one_of(screen, &at, "orientation", &["portrait", "landscape"])?;
    }
    if let Some(window) = object(context, at, "window")? {
        let at = at.member("window");
        number(window, &at, "width")?;
        number(window, &at, "height")?;
    }
    if let Some(browser) = object(context, at, "browser")? {
        let unlimited = [("host", usize::MAX), ("language", usize::MAX), ("webGLRenderer", usize::MAX)];
        check_texts(browser, &at.member("browser"), &unlimited)?;
    }
    check_address(context, at)?;
    if let Some(geo) = object(context, at, "geo")? {
        let at = at.member("geo");
        let limits = [("ipAddress", usize::MAX), ("countryCode", 2), ("stateCode", 3), ("city", 50), ("zip", 12)];
        check_texts(geo, &at, &limits)?;
        shorter(geo, &at, "countryCode", 2)?;
        shorter(geo, &at, "stateCode", 1)?;
        if text(geo, &at, "ipAddress", usize::MAX)?.is_some_and(|address| !is_address(address)) {
            return Err(at.member("ipAddress").wrong("must be an IPv4 or IPv6 address"));
        }
        number(geo, &at, "latitude")?;
        number(geo, &at, "longitude")?;
    }
    number(context, at, "timeOffsetInMinutes")?;
    text(context, at, "userAgent", usize::MAX)?;
    if let Some(hints) = object(context, at, "clientHints")? {
        let at = at.member("clientHints");
        flag(hints, &at, "mobile")?;
        for name in [
            "model",
            "platform",
            "platformVersion",
            "browserUAWithMajorVersion",
            "browserUAWithFullVersion",
            "architecture",
            "bitness",
        ] {
            text(hints, &at, name, usize::MAX)?;
        }
    }
    Ok(flag(context, at, "beacon")?.unwrap_or(false))
}

fn check_experience_cloud(cloud: &Object, at: &At<'_>) -> Result<(), Refusal> {
    if let Some(manager) = object(cloud, at, "audienceManager")? {
        let at = at.member("audienceManager");
        if integer(manager, &at, "locationHint")?.is_some_and(|hint| hint < 1) {
            return Err(at.member("locationHint").wrong("must be at least 1"));
        }
        if text(manager, &at, "blob", 1024)?.is_some_and(|blob| blob.trim().is_empty()) {
            return Err(at.member("blob").wrong("must not be blank"));
        }
    }
    if let Some(analytics) = object(cloud, at, "analytics")? {
        let at = at.member("analytics");
        one_of(analytics, &at, "logging", &["server_side", "client_side"])?;
        text(analytics, &at, "trackingServer", usize::MAX)?;
        text(analytics, &at, "trackingServerSecure", usize::MAX)?;
        let is_sdid = |sdid: &str| {
            sdid.split_once('-').is_some_and(|(left, right)| {
                [left, right].iter().all(|half| half.len() == 16 && half.bytes().all(|byte| byte.is_ascii_hexdigit()))
            })
        };
        if text(analytics, &at, "supplementalDataId", 33)?.is_some_and(|sdid| !is_sdid(sdid)) {
            return Err(at
                .member("supplementalDataId")
                .wrong("must be two times 16 hexadecimal digits with - between"));
        }
    }
    Ok(())
}

pub(super) fn check_address(members: &Object, at: &At<'_>) -> Result<(), Refusal> {
    match object(members, at, "address")? {
        Some(address) => check_texts(address, &at.member("address"), &[("url", 4096), ("referringUrl", 4096)]),
        None => Ok(()),
    }
}

/// As the specification's pattern has it: with white space around, and with a zone behind an IPv6 address.
fn is_address(text: &str) -> bool {
    let text = text.trim();
    let unscoped = match text.split_once('%') {
        Some((address, zone)) if !zone.is_empty() => address,
        _ => text,
    };
    text.parse::<Ipv4Addr>().is_ok() || unscoped.parse::<Ipv6Addr>().is_ok()
}
