//! From the caller's request to the bodies that are sent: ids, defaults, and parts of 50 notifications.
//!
//! Members that need no decision are copied as text. The caller's text is never changed, and nothing of one
//! call is kept for another but telemetry.

use std::borrow::Cow;
use std::ops::Range;

use super::limits::{self, CheckedNotification, Details, MAX_NOTIFICATIONS};
use super::members::{write_context, write_experience_cloud, write_id, write_property};
use super::telemetry::{Features, TelemetryQueue};
use crate::config::ClientConfig;
use crate::cookies::{VisitorCookie, cluster_of_device_id, push_encoded};
use crate::error::TargetError;
use crate::ids;
use crate::json::{Kind, ObjectWriter, Value, write_integer, write_str};
use crate::notifications::batch::Notification;
use crate::options::{Operation, ParsedOptions};
use crate::visitor::{ExperienceCloudCookie, visitor_state};

/// One HTTP request of a call.
#[derive(Debug)]
pub(crate) struct Part {
    pub request_id: String,
    pub body: String,
    /// Of its notifications, in order.
    pub notification_ids: Vec<String>,
    /// Whether it may be sent again although the edge may have counted it.
    pub repeatable: bool,
}

/// A call, ready to be sent.
#[derive(Debug, Default)]
pub(crate) struct Normalized {
    pub parts: Vec<Part>,
    /// The request as it is sent, where parts make it more than one body.
    pub whole_request: Option<String>,
    /// The cluster that the request goes to, if one is known.
    pub cluster: Option<String>,
    pub session_id: String,
    pub visitor_state: String,
    pub features: Features,
    /// Taken for the first part; to be put back if it fails.
    pub telemetry: Vec<String>,
    /// What a decision on this machine needs.
    pub decided_here: Option<DecidedHere>,
    /// What the background queue takes, instead of parts.
    pub queued: Option<Queued>,
}

/// Notifications for the background queue, and what a request has around them.
#[derive(Debug)]
pub(crate) struct Queued {
    /// Members of the request besides its own id and the notifications, each behind a comma.
    pub common: String,
    /// Of the supplemental data id in `common`, where it was made for this call.
    pub own_id: Option<Range<usize>>,
    pub notifications: Vec<Notification>,
}

/// What on-device decisioning makes its answer and its impressions of.
#[derive(Debug)]
pub(crate) struct DecidedHere {
    /// Members that impressions share with the request, each behind a comma.
    pub common: String,
    /// Of the visitor's ids in `common`, an object; None when there are none.
    pub id: Option<Range<usize>>,
    /// Of the context in `common`, an object.
    pub context: Range<usize>,
    /// Of the supplemental data id in `common`, where it was made for this call.
    pub generated_id: Option<Range<usize>>,
    /// What allocation hashes of the visitor.
    pub visitor_id: String,
    pub tnt_id: Option<String>,
    pub property_token: Option<String>,
    /// What `get_attributes` adds to `execute`: names and indexes.
    pub added: Vec<(String, i64)>,
}

/// What decides about a call besides its options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances<'a> {
    pub now_ms: i64,
    /// The client's own cluster, configured or learnt at its start.
    pub location_hint: Option<&'a str>,
    /// Whether the decision is made on this machine: a visitor without ids gets one then.
    pub decided_here: bool,
}

/// The request's members, each of the right type and not null.
#[derive(Default)]
struct Request<'d> {
    request_id: Option<Cow<'d, str>>,
    impression_id: Option<Cow<'d, str>>,
    id: Option<Value<'d>>,
    environment_id: Option<i64>,
    property: Option<Value<'d>>,
    context: Option<Value<'d>>,
    experience_cloud: Option<Value<'d>>,
    execute: Option<Value<'d>>,
    prefetch: Option<Value<'d>>,
    telemetry: Option<Value<'d>>,
    notifications: Option<Value<'d>>,
    /// `trace`, `qaMode`, `preview` and what is not known.
    others: Vec<(Cow<'d, str>, Value<'d>)>,
}

impl<'d> Request<'d> {
    fn read(request: Option<Value<'d>>) -> Result<Self, TargetError> {
        let mut read = Request::default();
        if let Some(request) = request {
            limits::unique_members(&"request", request)?;
        }
        for (key, value) in request.into_iter().flat_map(Value::members) {
            let path = format_args!("request.{key}");
            if !value.is_null() {
                match &*key {
                    "requestId" => read.request_id = limits::text(path, value)?,
                    "impressionId" => read.impression_id = limits::impression_id(path, value)?,
                    "id" => read.id = Some(limits::object(path, value)?),
                    "environmentId" => read.environment_id = Some(limits::integer(path, value)?),
                    "property" => read.property = Some(limits::object(path, value)?),
                    "context" => read.context = Some(limits::object(path, value)?),
                    "experienceCloud" => read.experience_cloud = Some(limits::object(path, value)?),
                    "execute" => read.execute = Some(limits::object(path, value)?).filter(|v| !v.is_empty()),
                    "prefetch" => read.prefetch = Some(limits::object(path, value)?).filter(|v| !v.is_empty()),
                    "telemetry" => read.telemetry = Some(limits::object(path, value)?),
                    "notifications" => read.notifications = Some(value),
                    "trace" | "preview" => read.others.push((key.clone(), limits::object(path, value)?)),
                    "qaMode" => read.others.push((key.clone(), limits::qa_mode(value)?)),
                    _ => read.others.push((key.clone(), value)),
                }
            }
        }
        Ok(read)
    }
}

/// What `execute` or `prefetch` asks for.
#[derive(Default)]
struct Asked {
    mboxes: usize,
    views: usize,
    page_load: bool,
    has_order: bool,
    /// The highest index in force, positions included.
    highest_index: Option<i64>,
}

impl Asked {
    fn read(path: &str, value: Option<Value<'_>>, with_views: bool) -> Result<Self, TargetError> {
        let mut asked = Asked::default();
        let mut details = Details::default();
        if let Some(value) = value {
            limits::unique_members(&path, value)?;
        }
        for (key, value) in value.into_iter().flat_map(Value::members).filter(|(_, value)| !value.is_null()) {
            match &*key {
                "pageLoad" => {
                    limits::page_load(&format_args!("{path}.pageLoad"), value, &mut details)?;
                    asked.page_load = true;
                }
                "mboxes" => {
                    asked.mboxes = limits::mboxes(&format_args!("{path}.mboxes"), value, &mut details)?;
                    let index =
                        |(at, mbox): (usize, Value<'_>)| mbox.get("index").and_then(Value::as_i64).unwrap_or(at as i64);
                    asked.highest_index = value.elements().enumerate().map(index).max();
                }
                "views" if with_views => {
                    asked.views = limits::views(&format_args!("{path}.views"), value, &mut details)?
                }
                _ => {}
            }
        }
        asked.has_order = details.has_order;
        Ok(asked)
    }

    fn is_empty(&self) -> bool {
        self.mboxes == 0 && self.views == 0 && !self.page_load
    }
}

/// Checks the whole request and writes what is sent. After an error nothing has happened.
pub(crate) fn normalize(
    config: &ClientConfig,
    circumstances: Circumstances<'_>,
    options: &ParsedOptions<'_>,
    operation: Operation,
    mbox_names: &[String],
    telemetry: &TelemetryQueue,
) -> Result<Normalized, TargetError> {
    let now_ms = circumstances.now_ms;
    let request = Request::read(options.request)?;
    let execute = Asked::read("request.execute", request.execute, false)?;
    let prefetch = Asked::read("request.prefetch", request.prefetch, true)?;
    let added = added_mboxes(mbox_names, &request, &execute);
    limits::executed_mboxes(execute.mboxes + added.len())?;
    if request.execute.is_some() && execute.is_empty() && added.is_empty() {
        return Err(TargetError::invalid_options(
            "request.execute",
            "Either pageLoad or mboxes is required in execute",
        ));
    }
    if operation == Operation::GetAttributes && mbox_names.is_empty() && execute.is_empty() {
        return Err(TargetError::invalid_options("mbox_names", "Either pageLoad or mboxes is required in execute"));
    }
    if request.prefetch.is_some() && prefetch.is_empty() {
        let message = "Either views, pageLoad or mboxes is required in prefetch";
        return Err(TargetError::invalid_options("request.prefetch", message));
    }
    let notifications = checked_notifications(&request, operation)?;
    if circumstances.decided_here && !notifications.is_empty() {
        let message = "a request that is decided on this machine cannot report `request.notifications`; \
                       send_notifications does";
        return Err(TargetError::invalid_options("request.notifications", message));
    }
    let executes = !execute.is_empty() || !added.is_empty();
    let is_queued = operation == Operation::EnqueueNotifications;
    if is_queued {
        refuse_what_cannot_wait(&request)?;
    }

    let cookie = VisitorCookie::parse(options.target_cookie.as_deref().unwrap_or(""), now_ms);
    let experience_cookie = match &options.visitor_cookie {
        Some(cookie) => ExperienceCloudCookie::parse(cookie, now_ms),
        None => ExperienceCloudCookie::default(),
    };
    let session_id = cookie.session_id.or_else(|| options.session_id.clone()).unwrap_or_else(ids::uuid);
    let mut common = String::with_capacity(512);
    let own_hint = options.target_location_hint.as_deref().or(circumstances.location_hint);
    let visitor = write_id(
        &mut common,
        request.id,
        cookie.device_id.as_deref(),
        &experience_cookie,
        options,
        circumstances.decided_here.then_some(own_hint),
    )?;
    let cluster = cookie
        .device_id
        .as_deref()
        .and_then(cluster_of_device_id)
        .or_else(|| visitor.tnt_id.as_deref().and_then(cluster_of_device_id))
        .or(own_hint)
        .map(str::to_owned);
    if let Some(environment) = request.environment_id.or(config.environment_id) {
        common.push_str(",\"environmentId\":");
        write_integer(&mut common, environment);
    }
    let property_token = write_property(&mut common, request.property, config)?;
    let context = write_context(&mut common, request.context, now_ms)?;
    let (supplemental_data_id, generated_id) =
        write_experience_cloud(&mut common, request.experience_cloud, &experience_cookie)?;
    let shared_length = common.len();
    for (key, value) in &request.others {
        start_member(&mut common, key);
        write_without_nulls(&mut common, *value);
    }

    // Nothing can fail from here on.
    if is_queued {
        let notifications = notifications
            .into_iter()
            .map(|one| Notification { text: write_notification(&one), once: one.counts_twice(), id: one.id })
            .collect();
        return Ok(Normalized {
            cluster,
            session_id,
            queued: Some(Queued { common, own_id: generated_id, notifications }),
            ..Normalized::default()
        });
    }
    let consumer_id = options.consumer_id.as_deref().unwrap_or("target-global-mbox");
    let visitor_state = visitor_state(
        &config.organization_id,
        options.customer_ids.as_ref().map(|(value, _)| *value),
        &supplemental_data_id,
        consumer_id,
    );
    let takes_telemetry = request.telemetry.is_none() && !circumstances.decided_here;
    let telemetry_entries = if takes_telemetry { telemetry.take() } else { Vec::new() };
    let mut first_only = String::new();
    if executes {
        write_execute(&mut first_only, request.execute, &added);
    }
    if let Some(prefetch) = request.prefetch {
        first_only.push_str(",\"prefetch\":");
        write_asked(&mut first_only, prefetch, &[]);
    }
    match request.telemetry {
        Some(given) => {
            first_only.push_str(",\"telemetry\":");
            write_without_nulls(&mut first_only, given);
        }
        None => push_telemetry(&mut first_only, &telemetry_entries),
    }
    let request_id = request.request_id.map_or_else(ids::uuid, Cow::into_owned);
    let impression_id = match request.impression_id {
        Some(id) => Some(id.into_owned()),
        None => executes.then(ids::uuid),
    };
    let first_has_order = execute.has_order || prefetch.has_order;
    let texts: Vec<String> = notifications.iter().map(write_notification).collect();
    let mut parts = Vec::with_capacity(1);
    for at in (0..texts.len().max(1)).step_by(MAX_NOTIFICATIONS) {
        let is_first = at == 0;
        let end = texts.len().min(at + MAX_NOTIFICATIONS);
        let slice = notifications.get(at..end).unwrap_or_default();
        let once = if is_first { (impression_id.as_deref(), first_only.as_str()) } else { (None, "") };
        let request_id = if is_first { request_id.clone() } else { ids::uuid() };
        let body = write_body(&request_id, once.0, &common, once.1, texts.get(at..end).unwrap_or_default());
        let has_order = is_first && first_has_order;
        let repeatable = !has_order && !slice.iter().any(CheckedNotification::counts_twice);
        let notification_ids = slice.iter().map(|notification| notification.id.clone()).collect();
        parts.push(Part { request_id, body, notification_ids, repeatable });
    }
    let whole_request =
        (parts.len() > 1).then(|| write_body(&request_id, impression_id.as_deref(), &common, &first_only, &texts));
    let decided_here = circumstances.decided_here.then(|| {
        common.truncate(shared_length);
        DecidedHere {
            common,
            id: visitor.place,
            context,
            generated_id,
            visitor_id: visitor.allocation_id,
            tnt_id: visitor.tnt_id,
            property_token,
            added: added.iter().map(|(name, index)| ((*name).to_owned(), *index)).collect(),
        }
    });
    Ok(Normalized {
        parts,
        whole_request,
        cluster,
        session_id,
        visitor_state,
        features: Features {
            execute_mbox_count: execute.mboxes + added.len(),
            execute_page_load: execute.page_load,
            prefetch_mbox_count: prefetch.mboxes,
            prefetch_page_load: prefetch.page_load,
            prefetch_view_count: prefetch.views,
        },
        telemetry: telemetry_entries,
        decided_here,
        queued: None,
    })
}

/// What asks for an answer, or is about one request, has no place in a queue that makes requests of its own.
fn refuse_what_cannot_wait(request: &Request<'_>) -> Result<(), TargetError> {
    let (field, reason) = if request.execute.is_some() {
        ("request.execute", "asks for an answer, which a queued notification has not: get_offers does")
    } else if request.prefetch.is_some() {
        ("request.prefetch", "asks for an answer, which a queued notification has not: get_offers does")
    } else if request.impression_id.is_some() {
        ("request.impressionId", "is about one request; queued notifications have theirs each")
    } else if request.telemetry.is_some() {
        ("request.telemetry", "is about one request; queued notifications share theirs")
    } else {
        return Ok(());
    };
    Err(TargetError::invalid_options(field, format!("`{field}` {reason}")))
}

/// The query of a delivery request: `imsOrgId=…&sessionId=…`
pub(crate) fn query(config: &ClientConfig, session_id: &str) -> String {
    let mut query = String::with_capacity(96);
    query.push_str("imsOrgId=");
    push_encoded(&mut query, &config.organization_id);
    query.push_str("&sessionId=");
    push_encoded(&mut query, session_id);
    if let Some(version) = &config.version {
        query.push_str("&version=");
        push_encoded(&mut query, version);
    }
    query
}

fn checked_notifications<'d>(
    request: &Request<'d>,
    operation: Operation,
) -> Result<Vec<CheckedNotification<'d>>, TargetError> {
    const PATH: &str = "request.notifications";
    let reports = matches!(operation, Operation::SendNotifications | Operation::EnqueueNotifications);
    let list = match request.notifications {
        Some(list) if list.kind() == Kind::Array => Some(list),
        Some(other) if !reports => {
            return Err(limits::wrong_type(PATH, "an array", other));
        }
        _ => None,
    };
    if reports && list.is_none_or(Value::is_empty) {
        return Err(TargetError::invalid_options(PATH, "Notifications array is required in request"));
    }
    let check = |(at, value)| limits::notification(&format_args!("{PATH}[{at}]"), value);
    list.into_iter().flat_map(Value::elements).enumerate().map(check).collect()
}

/// The mboxes that `get_attributes` adds: name and index of each that is asked for nowhere yet.
fn added_mboxes<'n>(names: &'n [String], request: &Request<'_>, execute: &Asked) -> Vec<(&'n str, i64)> {
    let asked = |of: Option<Value<'_>>, name: &str| {
        let list = of.and_then(|value| value.get("mboxes"));
        list.into_iter()
            .flat_map(Value::elements)
            .any(|mbox| mbox.get("name").and_then(Value::as_str).as_deref() == Some(name))
    };
    let mut next = execute.highest_index.map_or(1, |highest| highest.saturating_add(1));
    let mut added: Vec<(&str, i64)> = Vec::new();
    for name in names {
        let known = asked(request.execute, name) || asked(request.prefetch, name);
        if !known && !added.iter().any(|(other, _)| other == name) {
            added.push((name, next));
            next = next.saturating_add(1);
        }
    }
    added
}

fn start_member(out: &mut String, key: &str) {
    out.push(',');
    write_str(out, key);
    out.push(':');
}

/// Copies a value; members that are null are left out at every depth, except in parameters.
pub(crate) fn write_without_nulls(out: &mut String, value: Value<'_>) {
    if !value.has_null_member() {
        out.push_str(value.raw());
        return;
    }
    match value.kind() {
        Kind::Object => {
            let mut object = ObjectWriter::begin(out);
            for (key, member) in value.members().filter(|(_, member)| !member.is_null()) {
                let out = object.foreign_key(&key);
                if matches!(&*key, "parameters" | "profileParameters") {
                    out.push_str(member.raw());
                } else {
                    write_without_nulls(out, member);
                }
            }
            object.end();
        }
        Kind::Array => {
            out.push('[');
            for (at, element) in value.elements().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_without_nulls(out, element);
            }
            out.push(']');
        }
        _ => out.push_str(value.raw()),
    }
}

fn write_execute(out: &mut String, given: Option<Value<'_>>, added: &[(&str, i64)]) {
    out.push_str(",\"execute\":");
    match given {
        Some(execute) => write_asked(out, execute, added),
        None => {
            out.push_str("{\"mboxes\":[");
            write_added(out, added, true);
            out.push_str("]}");
        }
    }
}

/// Writes `execute` or `prefetch`: each mbox with an index, then those that `get_attributes` adds.
fn write_asked(out: &mut String, value: Value<'_>, added: &[(&str, i64)]) {
    let mut object = ObjectWriter::begin(out);
    let mut has_mboxes = false;
    for (key, member) in value.members().filter(|(_, member)| !member.is_null()) {
        let is_mboxes = key == "mboxes";
        if (is_mboxes || key == "views") && member.kind() == Kind::Array && member.is_empty() {
            // Asks for nothing; the rest of the object is what counts.
            continue;
        }
        if !is_mboxes {
            write_without_nulls(object.foreign_key(&key), member);
            continue;
        }
        has_mboxes = true;
        let out = object.key("mboxes");
        out.push('[');
        for (at, mbox) in member.elements().enumerate() {
            if at > 0 {
                out.push(',');
            }
            write_mbox(out, mbox, at);
        }
        write_added(out, added, false);
        out.push(']');
    }
    if !has_mboxes && !added.is_empty() {
        let out = object.key("mboxes");
        out.push('[');
        write_added(out, added, true);
        out.push(']');
    }
    object.end();
}

fn write_mbox(out: &mut String, mbox: Value<'_>, position: usize) {
    if mbox.get("index").is_some_and(|index| !index.is_null()) {
        write_without_nulls(out, mbox);
        return;
    }
    out.push_str("{\"index\":");
    write_integer(out, position);
    if !mbox.has_null_member() {
        // It has a name at least, so the rest can follow as it came.
        out.push(',');
        out.push_str(mbox.raw().get(1..).unwrap_or("}"));
        return;
    }
    for (key, member) in mbox.members().filter(|(_, member)| !member.is_null()) {
        start_member(out, &key);
        if matches!(&*key, "parameters" | "profileParameters") {
            out.push_str(member.raw());
        } else {
            write_without_nulls(out, member);
        }
    }
    out.push('}');
}

fn write_added(out: &mut String, added: &[(&str, i64)], mut first: bool) {
    for (name, index) in added {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        out.push_str("{\"index\":");
        write_integer(out, *index);
        out.push_str(",\"name\":");
        write_str(out, name);
        out.push('}');
    }
}

/// A notification as it is sent: a display has an `impressionId`, the same in every attempt.
fn write_notification(notification: &CheckedNotification<'_>) -> String {
    let value = notification.value;
    let mut out = String::with_capacity(value.raw().len() + 64);
    let given_empty = value.get("impressionId").is_some_and(|id| !id.is_null()) && !notification.has_impression_id;
    let add = notification.is_display && !notification.has_impression_id;
    if given_empty {
        // An empty id counts as absent, so it has to go before another can come.
        let mut object = ObjectWriter::begin(&mut out);
        for (key, member) in value.members().filter(|(key, member)| key != "impressionId" && !member.is_null()) {
            let out = object.foreign_key(&key);
            if matches!(&*key, "parameters" | "profileParameters") {
                out.push_str(member.raw());
            } else {
                write_without_nulls(out, member);
            }
        }
        object.end();
    } else {
        write_without_nulls(&mut out, value);
    }
    if add {
        // It has an id and a type at least, so there is a member before this one.
        out.truncate(out.rfind('}').unwrap_or(out.len()));
        out.push_str(",\"impressionId\":\"");
        out.push_str(&ids::uuid());
        out.push_str("\"}");
    }
    out
}

/// The body of a request that reports impressions of decisions made here: `common` is that of
/// [`DecidedHere`], `telemetry` waits for a request to go with.
pub(crate) fn impressions_body(
    request_id: &str,
    common: &str,
    telemetry: &[String],
    notifications: &[impl AsRef<str>],
) -> String {
    let mut entries = String::new();
    push_telemetry(&mut entries, telemetry);
    write_body(request_id, None, common, &entries, notifications)
}

fn push_telemetry(out: &mut String, entries: &[String]) {
    if !entries.is_empty() {
        out.push_str(",\"telemetry\":{\"entries\":[");
        out.push_str(&entries.join(","));
        out.push_str("]}");
    }
}

fn write_body(
    request_id: &str,
    impression_id: Option<&str>,
    common: &str,
    first_only: &str,
    notifications: &[impl AsRef<str>],
) -> String {
    let length: usize = notifications.iter().map(|text| text.as_ref().len() + 1).sum();
    let mut body = String::with_capacity(common.len() + first_only.len() + length + 160);
    body.push_str("{\"requestId\":");
    write_str(&mut body, request_id);
    if let Some(id) = impression_id {
        body.push_str(",\"impressionId\":");
        write_str(&mut body, id);
    }
    body.push_str(common);
    body.push_str(first_only);
    for (at, text) in notifications.iter().enumerate() {
        body.push_str(if at == 0 { ",\"notifications\":[" } else { "," });
        body.push_str(text.as_ref());
    }
    if !notifications.is_empty() {
        body.push(']');
    }
    body.push('}');
    body
}
