//! Checks of a request before anything of it is sent. Every refusal names its field.
//!
//! The limits are those of the API's specification that the edge answers with 400, for a whole request with
//! all its notifications. What is not looked at here passes as it came.

use std::collections::HashSet;
use std::fmt::Display;

use crate::error::TargetError;
use crate::json::{Kind, Value};

/// Notifications of one request; more are sent in parts.
pub(crate) const MAX_NOTIFICATIONS: usize = 50;
/// Mboxes of `execute`, and of `prefetch`: the edge refuses more.
const MAX_MBOXES: usize = 50;
pub(crate) const MAX_CUSTOMER_IDS: usize = 50;
const MAX_PARAMETERS: usize = 50;
const MAX_PARAMETER_NAME: usize = 128;
const MAX_PARAMETER_VALUE: usize = 5000;
const MAX_MBOX_NAME: usize = 250;
const MAX_NOTIFICATION_ID: usize = 200;
const MAX_IMPRESSION_ID: usize = 128;

pub(crate) fn wrong_type(path: impl Display, expected: &str, value: Value<'_>) -> TargetError {
    TargetError::wrong_type(path.to_string(), expected, value.kind().described())
}

fn refuse(path: impl Display, rule: &str) -> TargetError {
    let path = path.to_string();
    let message = format!("`{path}` {rule}");
    TargetError::invalid_options(path, message)
}

/// Refuses a member given twice in an object that is interpreted: what was judged might not be what is sent.
pub(crate) fn unique_members(path: &dyn Display, object: Value<'_>) -> Result<(), TargetError> {
    match object.repeated_key() {
        Some(key) => Err(TargetError::given_twice(format!("{path}.{key}"))),
        None => Ok(()),
    }
}

fn too_long(text: &str, limit: usize) -> bool {
    // Bytes are an upper bound of characters, and cheap.
    text.len() > limit && text.chars().count() > limit
}

pub(crate) fn object<'d>(path: impl Display, value: Value<'d>) -> Result<Value<'d>, TargetError> {
    if value.kind() == Kind::Object { Ok(value) } else { Err(wrong_type(path, "an object", value)) }
}

pub(crate) fn array<'d>(path: impl Display, value: Value<'d>) -> Result<Value<'d>, TargetError> {
    if value.kind() == Kind::Array { Ok(value) } else { Err(wrong_type(path, "an array", value)) }
}

/// An array whose elements are objects, or null: those are the caller's.
pub(crate) fn array_of_objects<'d>(path: &str, value: Value<'d>) -> Result<Value<'d>, TargetError> {
    for (at, element) in array(path, value)?.elements().enumerate().filter(|(_, element)| !element.is_null()) {
        object(format_args!("{path}[{at}]"), element)?;
    }
    Ok(value)
}

/// A string's content; an empty one counts as absent.
pub(crate) fn text<'d>(path: impl Display, value: Value<'d>) -> Result<Option<std::borrow::Cow<'d, str>>, TargetError> {
    match value.as_str() {
        Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        None => Err(wrong_type(path, "a string", value)),
    }
}

pub(crate) fn integer(path: impl Display, value: Value<'_>) -> Result<i64, TargetError> {
    value.as_i64().ok_or_else(|| wrong_type(path, "an integer", value))
}

/// `impressionId`, of a request or a notification.
pub(crate) fn impression_id<'d>(
    path: impl Display,
    value: Value<'d>,
) -> Result<Option<std::borrow::Cow<'d, str>>, TargetError> {
    let id = text(&path, value)?;
    match &id {
        Some(id) if too_long(id, MAX_IMPRESSION_ID) => Err(refuse(path, "must have at most 128 characters")),
        _ => Ok(id),
    }
}

/// `qaMode`.
pub(crate) fn qa_mode(value: Value<'_>) -> Result<Value<'_>, TargetError> {
    if let Some(indexes) = object("request.qaMode", value)?.get("previewIndexes").filter(|value| !value.is_null()) {
        array_of_objects("request.qaMode.previewIndexes", indexes)?;
    }
    Ok(value)
}

/// One member of `context` besides `channel` and `timeOffsetInMinutes`. A decision on this machine would take a value of
/// another type for none, and the edge would then refuse what it reports.
pub(crate) fn context_member(key: &str, value: Value<'_>) -> Result<(), TargetError> {
    let members: &[(&[&str], Type)] = match key {
        "userAgent" => return Type::Text.check(&"request.context.userAgent", value),
        "beacon" => return Type::Boolean.check(&"request.context.beacon", value),
        "address" => ADDRESS,
        "geo" => &[
            (&["latitude", "longitude"], Type::Number),
            (&["ipAddress", "countryCode", "stateCode", "city", "zip"], Type::Text),
        ],
        "clientHints" => &[
            (&["mobile"], Type::Boolean),
            (&["platform", "browserUAWithMajorVersion", "browserUAWithFullVersion"], Type::Text),
            (&["model", "platformVersion", "architecture", "bitness"], Type::Text),
        ],
        "mobilePlatform" => &[(&["deviceName", "deviceType", "platformType", "version"], Type::Text)],
        "application" => &[(&["id", "name", "version"], Type::Text)],
        "screen" => &[(&["width", "height", "colorDepth", "pixelRatio"], Type::Number), (&["orientation"], Type::Text)],
        "window" => &[(&["width", "height"], Type::Number)],
        "browser" => &[(&["host", "language", "webGLRenderer"], Type::Text)],
        _ => return Ok(()),
    };
    typed_members(&format_args!("request.context.{key}"), value, members)
}

const ADDRESS: &[(&[&str], Type)] = &[(&["url", "referringUrl"], Type::Text)];

/// What the API's specification says of a member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Number,
    Boolean,
}

impl Type {
    fn check(self, path: &dyn Display, value: Value<'_>) -> Result<(), TargetError> {
        let (kind, described) = match self {
            Type::Text => (Kind::String, "a string"),
            Type::Number => (Kind::Number, "a number"),
            Type::Boolean => (Kind::Bool, "a boolean"),
        };
        if value.kind() == kind { Ok(()) } else { Err(wrong_type(path, described, value)) }
    }
}

/// Checks an object's known members; null counts as absent, as everywhere.
fn typed_members(path: &dyn Display, value: Value<'_>, known: &[(&[&str], Type)]) -> Result<(), TargetError> {
    for (key, member) in object(path, value)?.members().filter(|(_, member)| !member.is_null()) {
        if let Some((_, expected)) = known.iter().find(|(keys, _)| keys.contains(&&*key)) {
            expected.check(&format_args!("{path}.{key}"), member)?;
        }
    }
    Ok(())
}

/// `id.customerIds`.
pub(crate) fn customer_ids(value: Value<'_>) -> Result<Value<'_>, TargetError> {
    const PATH: &str = "request.id.customerIds";
    const MEMBERS: &[(&[&str], Type)] = &[(&["id", "integrationCode", "authenticatedState"], Type::Text)];
    for (at, id) in array(PATH, value)?.elements().enumerate().filter(|(_, id)| !id.is_null()) {
        typed_members(&format_args!("{PATH}[{at}]"), id, MEMBERS)?;
    }
    Ok(value)
}

/// `experienceCloud.audienceManager`.
pub(crate) fn audience_manager(value: Value<'_>) -> Result<Value<'_>, TargetError> {
    const PATH: &str = "request.experienceCloud.audienceManager";
    for (key, member) in object(PATH, value)?.members().filter(|(_, member)| !member.is_null()) {
        match &*key {
            "locationHint" => integer(format_args!("{PATH}.locationHint"), member).map(|_| ())?,
            "blob" => text(format_args!("{PATH}.blob"), member).map(|_| ())?,
            _ => {}
        }
    }
    Ok(value)
}

/// What an mbox, a view, a page load or a notification carries, as far as it decides about anything.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Details {
    pub has_order: bool,
}

/// Checks one member that mboxes, views, page loads and notifications share.
pub(crate) fn detail(
    path: &dyn Display,
    key: &str,
    value: Value<'_>,
    details: &mut Details,
) -> Result<(), TargetError> {
    match key {
        "parameters" | "profileParameters" if !value.is_null() => parameters(&format_args!("{path}.{key}"), value),
        "order" if !value.is_null() => {
            object(format_args!("{path}.order"), value)?;
            details.has_order = true;
            Ok(())
        }
        "address" if !value.is_null() => typed_members(&format_args!("{path}.address"), value, ADDRESS),
        "product" if !value.is_null() => object(format_args!("{path}.product"), value).map(|_| ()),
        _ => Ok(()),
    }
}

fn parameters(path: &dyn Display, value: Value<'_>) -> Result<(), TargetError> {
    let mut count = 0;
    for (name, value) in object(path, value)?.members() {
        count += 1;
        if count > MAX_PARAMETERS {
            return Err(refuse(path, "must have at most 50 parameters"));
        }
        if too_long(&name, MAX_PARAMETER_NAME) {
            let shown: String = name.chars().filter(|c| !c.is_control()).take(32).collect();
            return Err(refuse(path, &format!("has a name of more than 128 characters: `{shown}…`")));
        }
        if let Some(text) = value.as_str()
            && too_long(&text, MAX_PARAMETER_VALUE)
        {
            return Err(refuse(format_args!("{path}.{name}"), "must have at most 5000 characters"));
        }
    }
    Ok(())
}

/// The mboxes that `get_attributes` is asked for, each of them once.
pub(crate) fn mbox_names(names: impl IntoIterator<Item = String>) -> Result<Vec<String>, TargetError> {
    let mut seen = HashSet::new();
    let mut checked = Vec::new();
    for (at, name) in names.into_iter().enumerate() {
        let path = format_args!("mbox_names[{at}]");
        if name.is_empty() {
            return Err(refuse(path, "must not be empty"));
        }
        if too_long(&name, MAX_MBOX_NAME) {
            return Err(refuse(path, "must have at most 250 characters"));
        }
        if seen.insert(name.clone()) {
            checked.push(name);
        }
    }
    // The request may have asked for as many to be executed and as many to be prefetched.
    if checked.len() > 2 * MAX_MBOXES { Err(too_many_names(checked.len())) } else { Ok(checked) }
}

/// Checks the mboxes of `execute` with those that `get_attributes` adds.
pub(crate) fn executed_mboxes(count: usize) -> Result<(), TargetError> {
    if count > MAX_MBOXES { Err(too_many_names(count)) } else { Ok(()) }
}

fn too_many_names(count: usize) -> TargetError {
    let message = format!("`mbox_names` makes {count} mboxes; the API takes at most {MAX_MBOXES}");
    TargetError::invalid_options("mbox_names", message)
}

fn mbox_name(path: &dyn Display, name: Option<Value<'_>>) -> Result<(), TargetError> {
    let path = format_args!("{path}.name");
    match name.filter(|name| !name.is_null()) {
        None => Err(refuse(path, "must not be missing")),
        Some(name) => match text(path, name)? {
            None => Err(refuse(path, "must not be empty")),
            Some(name) if too_long(&name, MAX_MBOX_NAME) => Err(refuse(path, "must have at most 250 characters")),
            Some(_) => Ok(()),
        },
    }
}

/// Checks a list of mboxes.
pub(crate) fn mboxes(path: &dyn Display, list: Value<'_>, details: &mut Details) -> Result<usize, TargetError> {
    let count = array(path, list)?.elements().count();
    if count > MAX_MBOXES {
        return Err(refuse(path, &format!("must have at most 50 mboxes, not {count}")));
    }
    for (at, mbox) in list.elements().enumerate() {
        let path = format_args!("{path}[{at}]");
        object(path, mbox)?;
        unique_members(&path, mbox)?;
        mbox_name(&path, mbox.get("name"))?;
        for (key, value) in mbox.members() {
            if key == "index" && !value.is_null() {
                let path = format_args!("{path}.index");
                i32::try_from(integer(path, value)?).map_err(|_| refuse(path, "must be an integer of 32 bits"))?;
            }
            detail(&path, &key, value, details)?;
        }
    }
    Ok(count)
}

/// Checks a list of views.
pub(crate) fn views(path: &dyn Display, list: Value<'_>, details: &mut Details) -> Result<usize, TargetError> {
    for (at, view) in array(path, list)?.elements().enumerate() {
        let path = format_args!("{path}[{at}]");
        for (key, value) in object(path, view)?.members() {
            if matches!(&*key, "name" | "key") && !value.is_null() {
                text(format_args!("{path}.{key}"), value)?;
            }
            detail(&path, &key, value, details)?;
        }
    }
    Ok(list.elements().count())
}

/// Checks a page load.
pub(crate) fn page_load(path: &dyn Display, value: Value<'_>, details: &mut Details) -> Result<(), TargetError> {
    for (key, value) in object(path, value)?.members() {
        detail(path, &key, value, details)?;
    }
    Ok(())
}

/// What is needed to know of a notification.
#[derive(Debug)]
pub(crate) struct CheckedNotification<'d> {
    pub value: Value<'d>,
    pub id: String,
    pub is_display: bool,
    pub has_impression_id: bool,
    pub has_order: bool,
}

impl CheckedNotification<'_> {
    /// Whether a second copy would count: the edge knows displays alone by their `impressionId`.
    pub(crate) fn counts_twice(&self) -> bool {
        !self.is_display || self.has_order
    }
}

/// Checks one notification.
pub(crate) fn notification<'d>(path: &dyn Display, value: Value<'d>) -> Result<CheckedNotification<'d>, TargetError> {
    object(path, value)?;
    unique_members(path, value)?;
    let (mut id, mut is_display, mut has_timestamp) = (None, None, false);
    let mut has_impression_id = false;
    let mut details = Details::default();
    for (key, member) in value.members() {
        if member.is_null() {
            continue;
        }
        let path_of = format_args!("{path}.{key}");
        match &*key {
            "id" => id = text(path_of, member)?,
            "type" => {
                is_display = match member.as_str().as_deref() {
                    Some("display") => Some(true),
                    Some("click") => Some(false),
                    _ => return Err(refuse(path_of, "must be `display` or `click`")),
                };
            }
            "timestamp" => {
                integer(path_of, member)?;
                has_timestamp = true;
            }
            "impressionId" => has_impression_id = impression_id(path_of, member)?.is_some(),
            "tokens" => {
                for (at, token) in array(path_of, member)?.elements().enumerate() {
                    if token.kind() != Kind::String {
                        return Err(wrong_type(format_args!("{path}.tokens[{at}]"), "a string", token));
                    }
                }
            }
            "mbox" => {
                if let Some(name) = object(path_of, member)?.get("name").filter(|name| !name.is_null()) {
                    mbox_name(&path_of, Some(name))?;
                }
            }
            "view" | "pageLoad" => {
                object(path_of, member)?;
            }
            _ => detail(path, &key, member, &mut details)?,
        }
    }
    let missing = |key: &str, rule: &str| Err(refuse(format_args!("{path}.{key}"), rule));
    let Some(id) = id else { return missing("id", "must not be missing or empty") };
    if too_long(&id, MAX_NOTIFICATION_ID) {
        return missing("id", "must have at most 200 characters");
    }
    let Some(is_display) = is_display else { return missing("type", "must be `display` or `click`") };
    if !has_timestamp {
        return missing("timestamp", "must not be missing: milliseconds since 1970");
    }
    Ok(CheckedNotification { value, id: id.into_owned(), is_display, has_impression_id, has_order: details.has_order })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Document, Strictness};

    fn field(check: fn(Value<'_>) -> Result<Value<'_>, TargetError>, text: &str) -> Option<String> {
        let document = Document::parse(text, Strictness::Options).unwrap();
        check(document.root()).err().and_then(|error| error.details().field.clone())
    }

    #[test]
    fn objects_and_lists_of_them_are_told_from_other_types() {
        for (text, named) in [
            (r#"{"token":5,"previewIndexes":[{"activityIndex":1},null]}"#, None),
            (r#"{"previewIndexes":null}"#, None),
            (r#""x""#, Some("request.qaMode")),
            (r#"{"previewIndexes":"x"}"#, Some("request.qaMode.previewIndexes")),
            (r#"{"previewIndexes":[{},5]}"#, Some("request.qaMode.previewIndexes[1]")),
        ] {
            assert_eq!(field(qa_mode, text).as_deref(), named, "{text}");
        }
    }

    #[test]
    fn members_of_the_context_have_their_types() {
        for (key, text, named) in [
            ("userAgent", "\"\"", None),
            ("userAgent", "7", Some("request.context.userAgent")),
            ("beacon", "1", Some("request.context.beacon")),
            ("address", r#"{"url":null,"referringUrl":"","other":5}"#, None),
            ("address", r#"{"url":5}"#, Some("request.context.address.url")),
            ("address", "[]", Some("request.context.address")),
            ("geo", r#"{"latitude":1.5,"city":"Oslo","unknownIpAddress":true}"#, None),
            ("geo", r#"{"latitude":"1.5"}"#, Some("request.context.geo.latitude")),
            ("geo", r#"{"countryCode":47}"#, Some("request.context.geo.countryCode")),
            ("clientHints", r#"{"mobile":false,"platform":"x"}"#, None),
            ("clientHints", r#"{"mobile":"?0"}"#, Some("request.context.clientHints.mobile")),
            ("clientHints", r#"{"platform":{}}"#, Some("request.context.clientHints.platform")),
            ("screen", r#"{"width":"wide"}"#, Some("request.context.screen.width")),
            ("screen", r#"{"orientation":1}"#, Some("request.context.screen.orientation")),
            ("mobilePlatform", r#"{"version":14}"#, Some("request.context.mobilePlatform.version")),
            ("somethingNew", "[1]", None),
        ] {
            let document = Document::parse(text, Strictness::Options).unwrap();
            let refused = context_member(key, document.root()).err();
            assert_eq!(refused.and_then(|error| error.details().field.clone()).as_deref(), named, "{key}: {text}");
        }
    }

    #[test]
    fn audience_manager_values_have_their_types() {
        for (text, named) in [
            (r#"{"locationHint":0,"blob":"","other":[]}"#, None),
            (r#"{"locationHint":null,"blob":null}"#, None),
            (r#"[]"#, Some("request.experienceCloud.audienceManager")),
            (r#"{"locationHint":"9"}"#, Some("request.experienceCloud.audienceManager.locationHint")),
            (r#"{"blob":5}"#, Some("request.experienceCloud.audienceManager.blob")),
        ] {
            assert_eq!(field(audience_manager, text).as_deref(), named, "{text}");
        }
    }
}
