//! The members that all parts of a call share: ids, property, context, Experience Cloud. Each is appended behind a comma.

use std::borrow::Cow;
use std::ops::Range;

use super::limits::{self, MAX_CUSTOMER_IDS};
use super::normalize::write_without_nulls;
use crate::clock::local_offset_minutes;
use crate::config::ClientConfig;
use crate::decisioning::allocation::allocation_id_of;
use crate::error::TargetError;
use crate::ids;
use crate::json::{Kind, ObjectWriter, Value, write_str};
use crate::options::ParsedOptions;
use crate::visitor::ExperienceCloudCookie;

/// What the ids of a request say.
#[derive(Debug, Default)]
pub(super) struct Visitor {
    pub tnt_id: Option<String>,
    /// Of the object in the text.
    pub place: Option<Range<usize>>,
    /// What allocation hashes; empty unless it was asked for.
    pub allocation_id: String,
}

/// Appends `,"id":{…}` unless it would be empty. With `generate`, a visitor without an id that allocation could use
/// gets a `tntId` in the cluster that stands in there.
pub(super) fn write_id(
    out: &mut String,
    given: Option<Value<'_>>,
    device_id: Option<&str>,
    experience: &ExperienceCloudCookie,
    options: &ParsedOptions<'_>,
    generate: Option<Option<&str>>,
) -> Result<Visitor, TargetError> {
    let start = out.len();
    out.push_str(",\"id\":");
    let object_start = out.len();
    let mut object = ObjectWriter::begin(out);
    let (mut tnt_id, mut third_party_id, mut marketing_cloud_id) = (None, None, None);
    let mut customer_ids = None;
    let mut empty = true;
    for (key, value) in given.into_iter().flat_map(Value::members).filter(|(_, value)| !value.is_null()) {
        match &*key {
            "tntId" | "thirdPartyId" | "marketingCloudVisitorId" => {
                let Some(id) = limits::text(format_args!("request.id.{key}"), value)? else { continue };
                // One id that names nobody, as in `.35_0`, would stand beside the one that is made.
                if key == "tntId" && generate.is_some() && allocation_id_of(None, Some(&id), None).is_none() {
                    continue;
                }
                match &*key {
                    "tntId" => tnt_id = Some(id.into_owned()),
                    "thirdPartyId" => third_party_id = Some(id),
                    _ => marketing_cloud_id = Some(id),
                }
                object.foreign_key(&key).push_str(value.raw());
            }
            "customerIds" => {
                customer_ids = Some(limits::customer_ids(value)?);
                continue;
            }
            _ if value.as_str().is_some_and(|text| text.is_empty()) => continue,
            _ => write_without_nulls(object.foreign_key(&key), value),
        }
        empty = false;
    }
    if tnt_id.is_none()
        && let Some(device_id) = device_id
        && (generate.is_none() || allocation_id_of(None, Some(device_id), None).is_some())
    {
        object.string("tntId", device_id);
        tnt_id = Some(device_id.to_owned());
        empty = false;
    }
    if marketing_cloud_id.is_none()
        && let Some(id) = &experience.marketing_cloud_visitor_id
    {
        object.string("marketingCloudVisitorId", id);
        marketing_cloud_id = Some(Cow::Borrowed(id));
        empty = false;
    }
    let mut allocation_id = String::new();
    if let Some(hint) = generate {
        match allocation_id_of(marketing_cloud_id.as_deref(), tnt_id.as_deref(), third_party_id.as_deref()) {
            Some(known) => known.clone_into(&mut allocation_id),
            None => {
                allocation_id = ids::uuid();
                let generated = match hint {
                    Some(hint) => format!("{allocation_id}.{hint}_0"),
                    None => allocation_id.clone(),
                };
                object.string("tntId", &generated);
                tnt_id = Some(generated);
                empty = false;
            }
        }
    }
    let optional = options.customer_ids.as_ref().map(|(_, ids)| ids).filter(|ids| ids.count > 0);
    let count = optional.map_or(0, |ids| ids.count) + customer_ids.map_or(0, |list| list.elements().count());
    if count > MAX_CUSTOMER_IDS {
        let field = if customer_ids.is_some() { "request.id.customerIds" } else { "customer_ids" };
        let message = format!("`{field}` makes {count} customer ids; the API takes at most {MAX_CUSTOMER_IDS}");
        return Err(TargetError::invalid_options(field, message));
    }
    if count > 0 {
        let out = object.key("customerIds");
        out.push('[');
        if let Some(ids) = optional {
            out.push_str(&ids.elements);
        }
        for (at, element) in customer_ids.into_iter().flat_map(Value::elements).enumerate() {
            if at > 0 || optional.is_some() {
                out.push(',');
            }
            write_without_nulls(out, element);
        }
        out.push(']');
        empty = false;
    }
    object.end();
    let place = (!empty).then_some(object_start..out.len());
    if empty {
        out.truncate(start);
    }
    Ok(Visitor { tnt_id, place, allocation_id })
}

/// Appends `,"property":{…}` unless it would be empty; returns the token in it.
pub(super) fn write_property(
    out: &mut String,
    given: Option<Value<'_>>,
    config: &ClientConfig,
) -> Result<Option<String>, TargetError> {
    let mut token: Option<Cow<'_, str>> = config.property_token.as_deref().map(Cow::Borrowed);
    let mut others = Vec::new();
    for (key, value) in given.into_iter().flat_map(Value::members).filter(|(_, value)| !value.is_null()) {
        if key == "token" {
            if let Some(own) = limits::text("request.property.token", value)? {
                if token.as_deref().is_some_and(|configured| configured != own) {
                    crate::log::debug(format_args!(
                        "request.property.token differs from the configured one; the request's is used"
                    ));
                }
                token = Some(own);
            }
        } else {
            others.push((key, value));
        }
    }
    if token.is_none() && others.is_empty() {
        return Ok(None);
    }
    out.push_str(",\"property\":");
    let mut object = ObjectWriter::begin(out);
    if let Some(token) = &token {
        object.string("token", token);
    }
    for (key, value) in others {
        write_without_nulls(object.foreign_key(&key), value);
    }
    object.end();
    Ok(token.map(Cow::into_owned))
}

/// Appends `,"context":{…}`; returns where the object is.
pub(super) fn write_context(
    out: &mut String,
    given: Option<Value<'_>>,
    now_ms: i64,
) -> Result<Range<usize>, TargetError> {
    out.push_str(",\"context\":");
    let start = out.len();
    let (mut has_channel, mut has_offset) = (false, false);
    for (key, value) in given.into_iter().flat_map(Value::members).filter(|(_, value)| !value.is_null()) {
        match &*key {
            "channel" => has_channel = limits::text("request.context.channel", value)?.is_some(),
            "timeOffsetInMinutes" => {
                if value.kind() != Kind::Number {
                    return Err(limits::wrong_type("request.context.timeOffsetInMinutes", "a number", value));
                }
                has_offset = true;
            }
            _ => limits::context_member(&key, value)?,
        }
    }
    if let Some(whole) = given.filter(|given| has_channel && has_offset && !given.has_null_member()) {
        out.push_str(whole.raw());
        return Ok(start..out.len());
    }
    let mut object = ObjectWriter::begin(out);
    for (key, value) in given.into_iter().flat_map(Value::members).filter(|(_, value)| !value.is_null()) {
        if key != "channel" || has_channel {
            write_without_nulls(object.foreign_key(&key), value);
        }
    }
    if !has_channel {
        object.string("channel", "web");
    }
    if !has_offset {
        object.number("timeOffsetInMinutes", local_offset_minutes(now_ms));
    }
    object.end();
    Ok(start..out.len())
}

/// Appends `,"experienceCloud":{…}`; returns the supplemental data id in it, and its place where it was made here.
pub(super) fn write_experience_cloud(
    out: &mut String,
    given: Option<Value<'_>>,
    cookie: &ExperienceCloudCookie,
) -> Result<(String, Option<Range<usize>>), TargetError> {
    out.push_str(",\"experienceCloud\":");
    let mut object = ObjectWriter::begin(out);
    let (mut analytics, mut audience_manager) = (None, None);
    for (key, value) in given.into_iter().flat_map(Value::members).filter(|(_, value)| !value.is_null()) {
        match &*key {
            "analytics" => analytics = Some(limits::object("request.experienceCloud.analytics", value)?),
            "audienceManager" => {
                audience_manager = Some(limits::audience_manager(value)?);
            }
            _ => write_without_nulls(object.foreign_key(&key), value),
        }
    }
    let given_hint = audience_manager.and_then(|value| value.get("locationHint")).is_some_and(|value| !value.is_null());
    let given_blob = audience_manager.and_then(|value| value.get("blob")).is_some_and(|value| !value.is_null());
    let hint = cookie.location_hint.filter(|_| !given_hint);
    let blob = cookie.blob.as_deref().filter(|_| !given_blob);
    let has_own = audience_manager.is_some_and(|value| value.members().any(|(_, member)| !member.is_null()));
    if has_own || hint.is_some() || blob.is_some() {
        let mut manager = ObjectWriter::begin(object.key("audienceManager"));
        for (key, value) in audience_manager.into_iter().flat_map(Value::members).filter(|(_, v)| !v.is_null()) {
            write_without_nulls(manager.foreign_key(&key), value);
        }
        if let Some(hint) = hint {
            manager.number("locationHint", hint);
        }
        if let Some(blob) = blob {
            manager.string("blob", blob);
        }
        manager.end();
    }
    let mut supplemental_data_id = None;
    let mut has_logging = false;
    let mut list = ObjectWriter::begin(object.key("analytics"));
    for (key, value) in analytics.into_iter().flat_map(Value::members).filter(|(_, value)| !value.is_null()) {
        let path = format_args!("request.experienceCloud.analytics.{key}");
        match &*key {
            "supplementalDataId" => {
                let Some(id) = limits::text(path, value)? else { continue };
                supplemental_data_id = Some(id.into_owned());
            }
            "logging" => {
                if limits::text(path, value)?.is_none() {
                    continue;
                }
                has_logging = true;
            }
            "trackingServer" | "trackingServerSecure" if limits::text(path, value)?.is_none() => continue,
            _ => {}
        }
        write_without_nulls(list.foreign_key(&key), value);
    }
    let (id, place) = match supplemental_data_id {
        Some(id) => (id, None),
        None => {
            let id = ids::supplemental_data_id();
            let out = list.key("supplementalDataId");
            let start = out.len() + 1;
            write_str(out, &id);
            (id, Some(start..out.len() - 1))
        }
    };
    if !has_logging {
        list.string("logging", "server_side");
    }
    list.end();
    object.end();
    Ok((id, place))
}
