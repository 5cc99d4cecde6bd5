//! Reads a delivery request out of its JSON and refuses what the API's specification refuses.
//!
//! Written from the specification and on purpose without the crate's models, so that an error in those is
//! met by something that does not share it. Messages begin with the path of the member.

use std::fmt;

use serde_json::{Map, Value};

use super::issued::Issued;
use super::subject::Candidates;

type Object = Map<String, Value>;

const MAX_MBOXES: usize = 50;
const MAX_PARAMETERS: usize = 50;
const MAX_PARAMETER_NAME: usize = 128;
const MAX_PARAMETER_VALUE: usize = 5000;
const MAX_CUSTOMER_IDS: usize = 50;
const MAX_ID: usize = 128;
const MAX_MBOX_NAME: usize = 250;
const MAX_NOTIFICATION_ID: usize = 200;
const MAX_PRODUCT_IDS: usize = 250;

/// An answer that refuses a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into() }
    }
}

/// What a delivery request asks for. Borrows from the JSON value it was read from.
#[derive(Debug, Default)]
pub(super) struct Delivery<'v> {
    pub(super) request_id: Option<&'v str>,
    pub(super) impression_id: Option<&'v str>,
    pub(super) id: Option<&'v Object>,
    pub(super) tnt_id: Option<&'v str>,
    /// The other ids by which the visitor can be known again.
    pub(super) visitor_ids: Vec<&'v str>,
    pub(super) beacon: bool,
    pub(super) trace: bool,
    pub(super) execute: Option<Part<'v>>,
    pub(super) prefetch: Option<Part<'v>>,
    pub(super) notifications: Option<Vec<Notification<'v>>>,
}

/// `execute` or `prefetch`.
#[derive(Debug, Default)]
pub(super) struct Part<'v> {
    pub(super) page_load: bool,
    pub(super) mboxes: Option<Vec<Mbox<'v>>>,
    /// Names of views, `None` where the request names none and means all.
    pub(super) views: Option<Vec<Option<&'v str>>>,
    /// How many of page load and mboxes carry an order.
    pub(super) orders: u64,
}

#[derive(Debug)]
pub(super) struct Mbox<'v> {
    pub(super) index: i64,
    pub(super) name: &'v str,
}

#[derive(Debug)]
pub(super) struct Notification<'v> {
    pub(super) id: &'v str,
    pub(super) impression_id: Option<&'v str>,
    pub(super) click: bool,
    /// What the tokens may stand for; a foreign token that was let through stands for nothing.
    pub(super) tokens: Vec<Candidates>,
    pub(super) mbox: Option<&'v str>,
    pub(super) view: Option<&'v str>,
    pub(super) page_load: bool,
    pub(super) order: bool,
}

/// The way to a member, written out only when something is wrong there.
#[derive(Clone, Copy)]
struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Member(&'a str),
    Index(usize),
}

impl<'a> At<'a> {
    const ROOT: At<'static> = At { parent: None, step: Step::Root };

    fn member(&'a self, name: &'a str) -> At<'a> {
        At { parent: Some(self), step: Step::Member(name) }
    }

    fn index(&'a self, index: usize) -> At<'a> {
        At { parent: Some(self), step: Step::Index(index) }
    }

    fn wrong(&self, what: impl fmt::Display) -> Refusal {
        Refusal::bad(format!("{self} {what}"))
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parent = self.parent.filter(|parent| !matches!(parent.step, Step::Root));
        if let Some(parent) = parent {
            parent.fmt(formatter)?;
        }
        match self.step {
            Step::Root => formatter.write_str("request"),
            Step::Member(name) if parent.is_some() => write!(formatter, ".{name}"),
            Step::Member(name) => formatter.write_str(name),
            Step::Index(index) => write!(formatter, "[{index}]"),
        }
    }
}

/// The query of a delivery request: organization and session.
pub(super) fn session_of(query: &str) -> Result<String, Refusal> {
    let mut organization = None;
    let mut session = None;
    for (name, value) in super::query::query_pairs(query) {
        match &*name {
            "imsOrgId" => organization = Some(value),
            "sessionId" => session = Some(value),
            _ => {}
        }
    }
    if organization.is_none_or(|organization| organization.trim().is_empty()) {
        return Err(Refusal::bad("imsOrgId is required"));
    }
    let session = session.ok_or_else(|| Refusal::bad("sessionId is required"))?;
    let printable = |character: char| {
        !character.is_control() && !character.is_whitespace() && !matches!(character, '?' | '/' | '\u{fffd}')
    };
    if session.is_empty() || longer(&session, MAX_ID) || !session.chars().all(printable) {
        return Err(Refusal::bad(format!(
            "sessionId must be 1 to {MAX_ID} printable characters other than space, ? and /"
        )));
    }
    Ok(session.into_owned())
}

/// Reads the body of a delivery request.
pub(super) fn delivery<'v>(body: &'v Value, issued: &Issued<'_>) -> Result<Delivery<'v>, Refusal> {
    let at = At::ROOT;
    let request = body.as_object().ok_or_else(|| at.wrong("must be a JSON object"))?;
    let mut delivery = Delivery {
        request_id: text(request, &at, "requestId", MAX_ID)?,
        impression_id: text(request, &at, "impressionId", MAX_ID)?,
        ..Delivery::default()
    };
    if let Some(id) = object(request, &at, "id")? {
        (delivery.tnt_id, delivery.visitor_ids) = visitor_id(id, &at.member("id"))?;
        delivery.id = Some(id);
    }
    integer(request, &at, "environmentId")?;
    if let Some(property) = object(request, &at, "property")? {
        required_text(property, &at.member("property"), "token", usize::MAX)?;
    }
    if let Some(trace) = object(request, &at, "trace")? {
        required_text(trace, &at.member("trace"), "authorizationToken", usize::MAX)?;
        delivery.trace = true;
    }
    let context = object(request, &at, "context")?.ok_or_else(|| at.member("context").wrong("is required"))?;
    delivery.beacon = check_context(context, &at.member("context"))?;
    if let Some(cloud) = object(request, &at, "experienceCloud")? {
        check_experience_cloud(cloud, &at.member("experienceCloud"))?;
    }
    for name in ["telemetry", "qaMode", "preview"] {
        object(request, &at, name)?;
    }
    if let Some(part) = object(request, &at, "execute")? {
        delivery.execute = Some(read_part(part, &at.member("execute"))?);
    }
    if let Some(part) = object(request, &at, "prefetch")? {
        let at = at.member("prefetch");
        let mut prefetch = read_part(part, &at)?;
        prefetch.views = list(part, &at, "views")?.map(|views| read_views(views, &at.member("views"))).transpose()?;
        delivery.prefetch = Some(prefetch);
    }
    if let Some(notifications) = list(request, &at, "notifications")? {
        let at = at.member("notifications");
        delivery.notifications = Some(
            notifications
                .iter()
                .enumerate()
                .map(|(index, value)| read_notification(value, &at.index(index), issued))
                .collect::<Result<_, _>>()?,
        );
    }
    Ok(delivery)
}

/// Checks the ids of a visitor and returns the `tntId` and those that other systems gave.
fn visitor_id<'v>(id: &'v Object, at: &At<'_>) -> Result<(Option<&'v str>, Vec<&'v str>), Refusal> {
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
fn check_context(context: &Object, at: &At<'_>) -> Result<bool, Refusal> {
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

fn read_part<'v>(part: &'v Object, at: &At<'_>) -> Result<Part<'v>, Refusal> {
    let mut read = Part::default();
    if let Some(page_load) = object(part, at, "pageLoad")? {
        read.orders += u64::from(check_details(page_load, &at.member("pageLoad"))?);
        read.page_load = true;
    }
    if let Some(mboxes) = list(part, at, "mboxes")? {
        let at = at.member("mboxes");
        if mboxes.len() > MAX_MBOXES {
            return Err(at.wrong(format_args!("must not have more than {MAX_MBOXES} items")));
        }
        let mut names = Vec::with_capacity(mboxes.len());
        for (index, mbox) in mboxes.iter().enumerate() {
            let at = at.index(index);
            let mbox = mbox.as_object().ok_or_else(|| at.wrong("must be an object"))?;
            let name = required_text(mbox, &at, "name", MAX_MBOX_NAME)?;
            let index = integer(mbox, &at, "index")?.ok_or_else(|| at.member("index").wrong("is required"))?;
            read.orders += u64::from(check_details(mbox, &at)?);
            names.push(Mbox { index, name });
        }
        read.mboxes = Some(names);
    }
    Ok(read)
}

fn read_views<'v>(views: &'v [Value], at: &At<'_>) -> Result<Vec<Option<&'v str>>, Refusal> {
    views
        .iter()
        .enumerate()
        .map(|(index, view)| {
            let at = at.index(index);
            let view = view.as_object().ok_or_else(|| at.wrong("must be an object"))?;
            text(view, &at, "key", 512)?;
            check_details(view, &at)?;
            Ok(text(view, &at, "name", 128)?.filter(|name| !name.is_empty()))
        })
        .collect()
}

fn read_notification<'v>(value: &'v Value, at: &At<'_>, issued: &Issued<'_>) -> Result<Notification<'v>, Refusal> {
    let members = value.as_object().ok_or_else(|| at.wrong("must be an object"))?;
    let id = required_text(members, at, "id", MAX_NOTIFICATION_ID)?;
    let kind =
        one_of(members, at, "type", &["click", "display"])?.ok_or_else(|| at.member("type").wrong("is required"))?;
    match present(members, "timestamp") {
        None => return Err(at.member("timestamp").wrong("is required")),
        Some(timestamp) if timestamp.as_i64().is_none_or(|timestamp| timestamp <= 0) => {
            return Err(at.member("timestamp").wrong("must be a positive integer: milliseconds since 1970"));
        }
        Some(_) => {}
    }
    let impression_id = text(members, at, "impressionId", MAX_ID)?.filter(|id| !id.is_empty());
    let mut tokens = Vec::new();
    for (index, token) in list(members, at, "tokens")?.unwrap_or_default().iter().enumerate() {
        let at = at.member("tokens");
        let at = at.index(index);
        let token = token.as_str().ok_or_else(|| at.wrong("must be a string"))?;
        tokens.push(issued.event(token).ok_or_else(|| Refusal::bad(format!("{at}: invalid token")))?);
    }
    let order = check_details(members, at)?;
    let mbox = object(members, at, "mbox")?;
    let view = object(members, at, "view")?;
    let page_load = object(members, at, "pageLoad")?;
    if mbox.is_some() && view.is_some() {
        return Err(at.wrong("must not have both mbox and view"));
    }
    for (name, place) in [("mbox", mbox), ("view", view), ("pageLoad", page_load)] {
        let at = at.member(name);
        let Some(state) = place.map(|place| text(place, &at, "state", usize::MAX)).transpose()?.flatten() else {
            continue;
        };
        if !issued.is_state(state) {
            return Err(Refusal::bad(format!("{}: invalid token", at.member("state"))));
        }
    }
    let mut mbox_name = None;
    if let Some(mbox) = mbox {
        let at = at.member("mbox");
        mbox_name = text(mbox, &at, "name", MAX_MBOX_NAME)?;
        if let Some(name) = mbox_name {
            check_mbox_name(name, &at)?;
        }
    }
    let mut view_name = None;
    if let Some(view) = view {
        let at = at.member("view");
        view_name = text(view, &at, "name", 128)?;
        text(view, &at, "key", 512)?;
    }
    Ok(Notification {
        id,
        impression_id,
        click: kind == "click",
        tokens,
        mbox: mbox_name,
        view: view_name,
        page_load: page_load.is_some(),
        order,
    })
}

fn check_mbox_name(name: &str, at: &At<'_>) -> Result<(), Refusal> {
    let at = at.member("name");
    if name.trim().is_empty() {
        return Err(at.wrong("must not be blank"));
    }
    if name.ends_with("-clicked") {
        return Err(at.wrong("must not end with -clicked"));
    }
    if ["** display mboxes **", "** any mbox **", "** click from display mbox **"].contains(&name) {
        return Err(at.wrong("is reserved"));
    }
    Ok(())
}

/// Checks what pages, mboxes, views and notifications have in common; whether there is an order.
fn check_details(details: &Object, at: &At<'_>) -> Result<bool, Refusal> {
    check_address(details, at)?;
    check_parameters(details, at, "parameters", &["orderId", "orderTotal", "productPurchasedIds"])?;
    check_parameters(details, at, "profileParameters", &[])?;
    if let Some(product) = object(details, at, "product")? {
        let at = at.member("product");
        for name in ["id", "categoryId"] {
            if text(product, &at, name, MAX_ID)?.is_some_and(|text| text.trim().is_empty()) {
                return Err(at.member(name).wrong("must not be blank"));
            }
        }
    }
    let order = object(details, at, "order")?;
    if let Some(order) = order {
        check_order(order, &at.member("order"))?;
    }
    Ok(order.is_some())
}

fn check_order(order: &Object, at: &At<'_>) -> Result<(), Refusal> {
    text(order, at, "id", 250)?;
    if number(order, at, "total")?.is_some_and(|total| total < 0.0) {
        return Err(at.member("total").wrong("must not be negative"));
    }
    text(order, at, "time", usize::MAX)?;
    let products = list(order, at, "purchasedProductIds")?.unwrap_or_default();
    let at = at.member("purchasedProductIds");
    let mut together = 0;
    for (index, product) in products.iter().enumerate() {
        let item = at.index(index);
        let product = product.as_str().ok_or_else(|| item.wrong("must be a string"))?;
        if product.trim().is_empty() {
            return Err(item.wrong("must not be blank"));
        }
        if longer(product, 50) {
            return Err(item.wrong("must not be longer than 50 characters"));
        }
        together += product.chars().count() + usize::from(index > 0);
    }
    if together > MAX_PRODUCT_IDS {
        return Err(at.wrong(format_args!("must not be longer than {MAX_PRODUCT_IDS} characters when joined")));
    }
    Ok(())
}

fn check_address(members: &Object, at: &At<'_>) -> Result<(), Refusal> {
    match object(members, at, "address")? {
        Some(address) => check_texts(address, &at.member("address"), &[("url", 4096), ("referringUrl", 4096)]),
        None => Ok(()),
    }
}

fn check_parameters(members: &Object, at: &At<'_>, name: &str, reserved: &[&str]) -> Result<(), Refusal> {
    let Some(parameters) = object(members, at, name)? else { return Ok(()) };
    let at = at.member(name);
    if parameters.len() > MAX_PARAMETERS {
        return Err(at.wrong(format_args!("must not have more than {MAX_PARAMETERS} members")));
    }
    for (name, value) in parameters {
        if name.trim().is_empty() {
            return Err(at.wrong("must not have a blank name"));
        }
        if longer(name, MAX_PARAMETER_NAME) {
            return Err(at.wrong(format_args!("must not have a name longer than {MAX_PARAMETER_NAME} characters")));
        }
        let at = at.member(name);
        if name.starts_with("profile.") {
            return Err(at.wrong("must not begin with profile."));
        }
        if reserved.contains(&name.as_str()) {
            return Err(at.wrong("is not allowed as a name"));
        }
        match value {
            Value::String(value) if longer(value, MAX_PARAMETER_VALUE) => {
                return Err(at.wrong(format_args!("must not be longer than {MAX_PARAMETER_VALUE} characters")));
            }
            Value::Array(_) | Value::Object(_) => return Err(at.wrong("must be a string")),
            // Numbers and the like are taken for their text.
            _ => {}
        }
    }
    Ok(())
}

/// A member that is there; null counts as absent.
fn present<'v>(members: &'v Object, name: &str) -> Option<&'v Value> {
    members.get(name).filter(|value| !value.is_null())
}

fn object<'v>(members: &'v Object, at: &At<'_>, name: &str) -> Result<Option<&'v Object>, Refusal> {
    present(members, name)
        .map(|value| value.as_object().ok_or_else(|| at.member(name).wrong("must be an object")))
        .transpose()
}

fn list<'v>(members: &'v Object, at: &At<'_>, name: &str) -> Result<Option<&'v [Value]>, Refusal> {
    present(members, name)
        .map(|value| value.as_array().map(Vec::as_slice).ok_or_else(|| at.member(name).wrong("must be a list")))
        .transpose()
}

fn text<'v>(members: &'v Object, at: &At<'_>, name: &str, max: usize) -> Result<Option<&'v str>, Refusal> {
    let Some(value) = present(members, name) else { return Ok(None) };
    let text = value.as_str().ok_or_else(|| at.member(name).wrong("must be a string"))?;
    if longer(text, max) {
        return Err(at.member(name).wrong(format_args!("must not be longer than {max} characters")));
    }
    Ok(Some(text))
}

fn required_text<'v>(members: &'v Object, at: &At<'_>, name: &str, max: usize) -> Result<&'v str, Refusal> {
    let text = text(members, at, name, max)?.ok_or_else(|| at.member(name).wrong("is required"))?;
    if text.trim().is_empty() {
        return Err(at.member(name).wrong("must not be blank"));
    }
    Ok(text)
}

fn check_texts(members: &Object, at: &At<'_>, limits: &[(&str, usize)]) -> Result<(), Refusal> {
    limits.iter().try_for_each(|(name, max)| text(members, at, name, *max).map(|_| ()))
}

fn one_of<'v>(members: &'v Object, at: &At<'_>, name: &str, values: &[&str]) -> Result<Option<&'v str>, Refusal> {
    let text = text(members, at, name, usize::MAX)?;
    if text.is_some_and(|text| !values.contains(&text)) {
        return Err(at.member(name).wrong(format_args!("must be one of: {}", values.join(", "))));
    }
    Ok(text)
}

fn flag(members: &Object, at: &At<'_>, name: &str) -> Result<Option<bool>, Refusal> {
    present(members, name)
        .map(|value| value.as_bool().ok_or_else(|| at.member(name).wrong("must be true or false")))
        .transpose()
}

fn integer(members: &Object, at: &At<'_>, name: &str) -> Result<Option<i64>, Refusal> {
    present(members, name)
        .map(|value| value.as_i64().ok_or_else(|| at.member(name).wrong("must be an integer")))
        .transpose()
}

fn number(members: &Object, at: &At<'_>, name: &str) -> Result<Option<f64>, Refusal> {
    present(members, name)
        .map(|value| value.as_f64().ok_or_else(|| at.member(name).wrong("must be a number")))
        .transpose()
}

/// Whether a text has more characters than this; the count of bytes decides most cases.
fn longer(text: &str, max: usize) -> bool {
    text.len() > max && text.chars().count() > max
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
