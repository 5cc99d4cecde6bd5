//! Reads members out of JSON objects for the validation, and says where something is wrong.
//!
//! Messages begin with the path of the member.

use std::fmt;

use serde_json::{Map, Value};

/// Of most ids.
pub(super) const MAX_ID: usize = 128;

pub(super) type Object = Map<String, Value>;

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

/// The way to a member, written out only when something is wrong there.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
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
    pub(super) const ROOT: At<'static> = At { parent: None, step: Step::Root };

    pub(super) fn member(&'a self, name: &'a str) -> At<'a> {
        At { parent: Some(self), step: Step::Member(name) }
    }

    pub(super) fn index(&'a self, index: usize) -> At<'a> {
        At { parent: Some(self), step: Step::Index(index) }
    }

    pub(super) fn wrong(&self, what: impl fmt::Display) -> Refusal {
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

/// A member that is there; null counts as absent.
pub(super) fn present<'v>(members: &'v Object, name: &str) -> Option<&'v Value> {
    members.get(name).filter(|value| !value.is_null())
}

pub(super) fn object<'v>(members: &'v Object, at: &At<'_>, name: &str) -> Result<Option<&'v Object>, Refusal> {
    present(members, name)
        .map(|value| value.as_object().ok_or_else(|| at.member(name).wrong("must be an object")))
        .transpose()
}

pub(super) fn list<'v>(members: &'v Object, at: &At<'_>, name: &str) -> Result<Option<&'v [Value]>, Refusal> {
    present(members, name)
        .map(|value| value.as_array().map(Vec::as_slice).ok_or_else(|| at.member(name).wrong("must be a list")))
        .transpose()
}

pub(super) fn text<'v>(members: &'v Object, at: &At<'_>, name: &str, max: usize) -> Result<Option<&'v str>, Refusal> {
    let Some(value) = present(members, name) else { return Ok(None) };
    let text = value.as_str().ok_or_else(|| at.member(name).wrong("must be a string"))?;
    if longer(text, max) {
        return Err(at.member(name).wrong(format_args!("must not be longer than {max} characters")));
    }
    Ok(Some(text))
}

pub(super) fn required_text<'v>(members: &'v Object, at: &At<'_>, name: &str, max: usize) -> Result<&'v str, Refusal> {
    let text = text(members, at, name, max)?.ok_or_else(|| at.member(name).wrong("is required"))?;
    if text.trim().is_empty() {
        return Err(at.member(name).wrong("must not be blank"));
    }
    Ok(text)
}

pub(super) fn check_texts(members: &Object, at: &At<'_>, limits: &[(&str, usize)]) -> Result<(), Refusal> {
    limits.iter().try_for_each(|(name, max)| text(members, at, name, *max).map(|_| ()))
}

pub(super) fn one_of<'v>(
    members: &'v Object,
    at: &At<'_>,
    name: &str,
    values: &[&str],
) -> Result<Option<&'v str>, Refusal> {
    let text = text(members, at, name, usize::MAX)?;
    if text.is_some_and(|text| !values.contains(&text)) {
        return Err(at.member(name).wrong(format_args!("must be one of: {}", values.join(", "))));
    }
    Ok(text)
}

pub(super) fn flag(members: &Object, at: &At<'_>, name: &str) -> Result<Option<bool>, Refusal> {
    present(members, name)
        .map(|value| value.as_bool().ok_or_else(|| at.member(name).wrong("must be true or false")))
        .transpose()
}

pub(super) fn integer(members: &Object, at: &At<'_>, name: &str) -> Result<Option<i64>, Refusal> {
    present(members, name)
        .map(|value| value.as_i64().ok_or_else(|| at.member(name).wrong("must be an integer")))
        .transpose()
}

pub(super) fn number(members: &Object, at: &At<'_>, name: &str) -> Result<Option<f64>, Refusal> {
    present(members, name)
        .map(|value| value.as_f64().ok_or_else(|| at.member(name).wrong("must be a number")))
        .transpose()
}

/// Refuses a text with fewer characters than this.
pub(super) fn shorter(members: &Object, at: &At<'_>, name: &str, min: usize) -> Result<(), Refusal> {
    match text(members, at, name, usize::MAX)? {
        Some(text) if text.chars().count() < min => {
            Err(at.member(name).wrong(format_args!("must have at least {min} characters")))
        }
        _ => Ok(()),
    }
}

/// Whether a text has more characters than this; the count of bytes decides most cases.
pub(super) fn longer(text: &str, max: usize) -> bool {
    text.len() > max && text.chars().count() > max
}
