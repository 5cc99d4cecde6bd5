//! Reads a delivery request out of its JSON and refuses what the API's specification refuses.
//!
//! Written from the specification and on purpose without the crate's models, so that an error in those is
//! met by something that does not share it. Messages begin with the path of the member.

use chrono::DateTime;
use serde_json::Value;

use super::circumstances::{check_address, check_circumstances, check_context, visitor_id};
use super::fields::{At, Object, flag, integer, list, longer, number, object, one_of, present, required_text, text};
use super::fields::{MAX_ID, Refusal};
use super::issued::Issued;
use super::subject::Candidates;

const MAX_MBOXES: usize = 50;
const MAX_PARAMETERS: usize = 50;
const MAX_PARAMETER_NAME: usize = 128;
const MAX_PARAMETER_VALUE: usize = 5000;
const MAX_MBOX_NAME: usize = 250;
const MAX_NOTIFICATION_ID: usize = 200;
const MAX_PRODUCT_IDS: usize = 250;

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
    delivery.trace = check_circumstances(request, &at)?;
    let context = object(request, &at, "context")?.ok_or_else(|| at.member("context").wrong("is required"))?;
    delivery.beacon = check_context(context, &at.member("context"))?;
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
            if i32::try_from(index).is_err() {
                return Err(at.member("index").wrong("must be an integer of 32 bits"));
            }
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
    text(details, at, "$_type", usize::MAX)?;
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
    if text(order, at, "time", usize::MAX)?.is_some_and(|time| DateTime::parse_from_rfc3339(time).is_err()) {
        return Err(at.member("time").wrong("must be a date and time with an offset"));
    }
    if integer(order, at, "experienceLocalId")?.is_some_and(|id| !(0..=i64::from(i32::MAX)).contains(&id)) {
        return Err(at.member("experienceLocalId").wrong("must be from 0 to 2147483647"));
    }
    flag(order, at, "duplicate")?;
    flag(order, at, "outlier")?;
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

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
