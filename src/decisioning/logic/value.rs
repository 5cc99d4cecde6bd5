//! Values as JavaScript knows them, their conversions, and the budget that bounds the work with them.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;

use super::{LogicError, Outcome};
use crate::javascript;
use crate::json::{self, Kind};

/// Steps that one evaluation may take: each about the cost of a simple operator, of a list's element, of eight bytes
/// of a text. Real conditions take a few dozen.
pub(super) const MAX_STEPS: u32 = 1_000_000;

/// Nesting of the lists and objects that operators make.
pub(super) const MAX_NESTING: u32 = 200;

/// What is left of an evaluation's steps. Operators of constant cost need not ask: a condition is of bounded size, and
/// what repeats them pays for them.
pub(super) struct Work {
    left: Cell<u32>,
}

impl Work {
    pub(super) fn new() -> Self {
        Work { left: Cell::new(MAX_STEPS) }
    }

    #[inline]
    pub(super) fn charge(&self, steps: usize) -> Outcome<()> {
        match u32::try_from(steps).ok().and_then(|steps| self.left.get().checked_sub(steps)) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => self.exhausted(),
        }
    }

    #[cold]
    fn exhausted(&self) -> Outcome<()> {
        Err(LogicError::TooMuchWork.into())
    }

    /// For going through a text once. Short ones are free.
    #[inline]
    pub(super) fn charge_text(&self, length: usize) -> Outcome<()> {
        if length < 64 { Ok(()) } else { self.charge(length / 8) }
    }
}

/// A JSON value that a compiled condition owns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Number(f64),
    Text(Box<str>),
    List(Box<[Literal]>),
    Object(Box<[(Box<str>, Literal)]>),
}

impl Literal {
    #[inline]
    pub(super) fn value(&self) -> Val<'_> {
        match self {
            Literal::Null => Val::Null,
            Literal::Bool(value) => Val::Bool(*value),
            Literal::Number(number) => Val::Number(*number),
            Literal::Text(text) => Val::Text(Cow::Borrowed(text)),
            Literal::List(items) => Val::List(List::Literal(items)),
            Literal::Object(members) => Val::Object(Object::Literal(members)),
        }
    }
}

/// A value. Scalars and borrowed texts are copied, lists and objects shared.
#[derive(Debug, Clone)]
pub(crate) enum Val<'a> {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    List(List<'a>),
    Object(Object<'a>),
}

/// A list of a condition, or one that was made.
#[derive(Debug, Clone)]
pub(crate) enum List<'a> {
    Literal(&'a [Literal]),
    Made(Rc<MadeList<'a>>),
}

/// An object of a condition, or one that was made.
#[derive(Debug, Clone)]
pub(crate) enum Object<'a> {
    Literal(&'a [(Box<str>, Literal)]),
    Made(Rc<MadeObject<'a>>),
}

#[derive(Debug)]
pub(crate) struct MadeList<'a> {
    items: Vec<Val<'a>>,
    depth: u32,
}

#[derive(Debug)]
pub(crate) struct MadeObject<'a> {
    members: Vec<(Cow<'a, str>, Val<'a>)>,
    depth: u32,
}

impl<'a> Val<'a> {
    /// A new list.
    pub(crate) fn list(items: Vec<Val<'a>>) -> Self {
        let depth = 1 + items.iter().map(Val::depth).max().unwrap_or(0);
        Val::List(List::Made(Rc::new(MadeList { items, depth })))
    }

    /// A new object. Of a name given twice the last counts.
    pub(crate) fn object(members: Vec<(Cow<'a, str>, Val<'a>)>) -> Self {
        let depth = 1 + members.iter().map(|(_, value)| value.depth()).max().unwrap_or(0);
        Val::Object(Object::Made(Rc::new(MadeObject { members, depth })))
    }

    /// A value of a request.
    pub(crate) fn of_json(value: json::Value<'a>) -> Self {
        match value.kind() {
            Kind::Null => Val::Null,
            Kind::Bool => Val::Bool(value.as_bool() == Some(true)),
            Kind::Number => Val::Number(number_of(value)),
            Kind::String => Val::Text(text_of(value)),
            Kind::Array => Val::list(value.elements().map(Val::of_json).collect()),
            Kind::Object => Val::object(value.members().map(|(key, value)| (key, Val::of_json(value))).collect()),
        }
    }

    /// How deep the made lists and objects in here are nested.
    pub(super) fn depth(&self) -> u32 {
        match self {
            Val::List(List::Made(list)) => list.depth,
            Val::Object(Object::Made(object)) => object.depth,
            _ => 0,
        }
    }

    /// What a copy of it allocates, in steps.
    pub(super) fn copying(&self) -> usize {
        if let Val::Text(Cow::Owned(text)) = self { text.len() / 8 } else { 0 }
    }

    /// A member of an object, an element or the `length` of a list or text; [`Val::Undefined`] when there is none.
    /// What JavaScript's objects inherit is not there.
    pub(crate) fn property(&self, key: &str) -> Val<'a> {
        match self {
            Val::Object(object) => object.get(key),
            Val::List(list) if key == "length" => Val::Number(list.len() as f64),
            Val::List(list) => index_of(key).and_then(|index| list.get(index)).unwrap_or(Val::Undefined),
            Val::Text(text) if key == "length" => Val::Number(javascript::length(text) as f64),
            Val::Text(text) => {
                let unit = index_of(key).and_then(|index| Some(javascript::slice(text, index, index.checked_add(1)?)));
                match unit {
                    Some(unit) if !unit.is_empty() => Val::Text(Cow::Owned(unit.into_owned())),
                    _ => Val::Undefined,
                }
            }
            _ => Val::Undefined,
        }
    }

    /// The value at a dotted path from here. The empty path is the member with the empty name.
    pub(crate) fn walk(self, path: &str) -> Val<'a> {
        path.split('.').fold(self, |value, key| value.property(key))
    }

    /// JavaScript's `===`. Lists and objects are equal to themselves alone.
    pub(super) fn strictly_equals(&self, other: &Val<'_>) -> bool {
        match (self, other) {
            (Val::Undefined, Val::Undefined) | (Val::Null, Val::Null) => true,
            (Val::Bool(left), Val::Bool(right)) => left == right,
            (Val::Number(left), Val::Number(right)) => left == right,
            (Val::Text(left), Val::Text(right)) => left == right,
            (Val::List(left), Val::List(right)) => left.is(right),
            (Val::Object(left), Val::Object(right)) => left.is(right),
            _ => false,
        }
    }

    /// JavaScript's `==`.
    #[inline]
    pub(super) fn loosely_equals(&self, other: &Val<'_>, work: &Work) -> Outcome<bool> {
        match (self, other) {
            (Val::Text(left), Val::Text(right)) => {
                if left.len() == right.len() {
                    work.charge_text(left.len())?;
                }
                Ok(left == right)
            }
            (Val::Number(left), Val::Number(right)) => Ok(left == right),
            _ => self.unlike_equals(other, work),
        }
    }

    #[cold]
    fn unlike_equals(&self, other: &Val<'_>, work: &Work) -> Outcome<bool> {
        let is_nothing = |value: &Val<'_>| matches!(value, Val::Undefined | Val::Null);
        let is_shared = |value: &Val<'_>| matches!(value, Val::List(_) | Val::Object(_));
        Ok(match (self, other) {
            (left, right) if is_nothing(left) || is_nothing(right) => is_nothing(left) && is_nothing(right),
            (left, right) if is_shared(left) && is_shared(right) => left.strictly_equals(right),
            (Val::Text(text), shared) | (shared, Val::Text(text)) if is_shared(shared) => *text == shared.text(work)?,
            (left, right) => left.number(work)? == right.number(work)?,
        })
    }

    /// JavaScript's order of two values; None where neither `<` nor `>=` holds.
    #[inline]
    pub(super) fn order(&self, other: &Val<'_>, work: &Work) -> Outcome<Option<Ordering>> {
        match (self, other) {
            (Val::Number(left), Val::Number(right)) => Ok(left.partial_cmp(right)),
            _ => self.unlike_order(other, work),
        }
    }

    #[inline(never)]
    fn unlike_order(&self, other: &Val<'_>, work: &Work) -> Outcome<Option<Ordering>> {
        let has_text = |value: &Val<'_>| matches!(value, Val::Text(_) | Val::List(_) | Val::Object(_));
        if let (Val::Text(left), Val::Text(right)) = (self, other) {
            work.charge_text(left.len().min(right.len()))?;
            return Ok(Some(javascript::compare(left, right)));
        }
        if has_text(self) && has_text(other) {
            let (left, right) = (self.text(work)?, other.text(work)?);
            return Ok(Some(javascript::compare(&left, &right)));
        }
        Ok(self.number(work)?.partial_cmp(&other.number(work)?))
    }

    /// As JavaScript's `Number` converts it.
    #[inline]
    pub(super) fn number(&self, work: &Work) -> Outcome<f64> {
        if let Val::Number(number) = self { Ok(*number) } else { self.converted_number(work) }
    }

    #[inline(never)]
    fn converted_number(&self, work: &Work) -> Outcome<f64> {
        match self {
            Val::Number(number) => Ok(*number),
            Val::Text(text) => {
                work.charge_text(text.len())?;
                Ok(javascript::number(text))
            }
            Val::Null => Ok(0.0),
            Val::Bool(value) => Ok(f64::from(u8::from(*value))),
            Val::Undefined => Ok(f64::NAN),
            Val::List(_) | Val::Object(_) => Ok(javascript::number(&self.text(work)?)),
        }
    }

    /// As JavaScript's `parseFloat` converts it.
    pub(super) fn leading_number(&self, work: &Work) -> Outcome<f64> {
        match self {
            // By way of its text, in which zero has no sign.
            Val::Number(number) => Ok(if *number == 0.0 { 0.0 } else { *number }),
            Val::Undefined | Val::Null | Val::Bool(_) | Val::Object(_) => Ok(f64::NAN),
            Val::Text(_) | Val::List(_) => Ok(javascript::leading_number(&self.text(work)?)),
        }
    }

    /// As JavaScript's `String` converts it.
    pub(super) fn text(&self, work: &Work) -> Outcome<Cow<'_, str>> {
        Ok(match self {
            Val::Text(text) => {
                work.charge_text(text.len())?;
                Cow::Borrowed(text)
            }
            Val::Undefined => Cow::Borrowed("undefined"),
            Val::Null => Cow::Borrowed("null"),
            Val::Bool(true) => Cow::Borrowed("true"),
            Val::Bool(false) => Cow::Borrowed("false"),
            Val::Object(_) => Cow::Borrowed("[object Object]"),
            Val::Number(number) => {
                let mut out = String::new();
                javascript::push_number(&mut out, *number);
                Cow::Owned(out)
            }
            Val::List(list) => {
                let mut out = String::new();
                list.push_joined(&mut out, work)?;
                Cow::Owned(out)
            }
        })
    }

    /// Appends it as `join` does: what is nothing gives no text.
    pub(super) fn push_joined(&self, out: &mut String, work: &Work) -> Outcome<()> {
        match self {
            Val::Undefined | Val::Null => work.charge(1),
            Val::List(list) => list.push_joined(out, work),
            _ => {
                let text = self.text(work)?;
                work.charge(1 + text.len() / 8)?;
                javascript::push_text(out, &text);
                Ok(())
            }
        }
    }
}

/// How much of a value a log line shows, in bytes.
const MAX_SHOWN: usize = 1000;

/// A value as a log line shows it: JSON as far as it goes, cut where it grows long.
pub(super) struct Shown<'v, 'a>(pub(super) &'v Val<'a>);

impl fmt::Display for Shown<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        show(self.0, &mut out);
        let end = (0..=MAX_SHOWN.min(out.len())).rev().find(|end| out.is_char_boundary(*end)).unwrap_or(0);
        f.write_str(out.get(..end).unwrap_or(""))?;
        if end < out.len() { f.write_str("…") } else { Ok(()) }
    }
}

fn show(value: &Val<'_>, out: &mut String) {
    // A list that holds another one twice, and so on, is small in memory and endless as text.
    if out.len() > MAX_SHOWN {
        return;
    }
    match value {
        Val::Undefined => out.push_str("undefined"),
        Val::Null => out.push_str("null"),
        Val::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Val::Number(number) => javascript::push_number(out, *number),
        Val::Text(text) => json::write_str(out, text),
        Val::List(list) => {
            out.push('[');
            for (at, item) in list.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                show(&item, out);
            }
            out.push(']');
        }
        Val::Object(object) => {
            out.push('{');
            for (at, (name, value)) in object.members().iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                json::write_str(out, name);
                out.push(':');
                show(value, out);
            }
            out.push('}');
        }
    }
}

/// The position that a property name stands for: digits without a leading zero.
fn index_of(key: &str) -> Option<usize> {
    let canonical = key == "0" || (!key.starts_with('0') && key.bytes().all(|b| b.is_ascii_digit()));
    if canonical { key.parse().ok() } else { None }
}

/// The content of a JSON string with its halves of surrogate pairs.
pub(super) fn text_of(value: json::Value<'_>) -> Cow<'_, str> {
    let text = value.as_str().unwrap_or_default();
    // Halves are written as escapes alone, and the replacement character is what other readings make of them.
    if matches!(text, Cow::Borrowed(_)) || !text.contains('\u{FFFD}') {
        return text;
    }
    let raw = value.raw();
    let mut rest = raw.get(1..raw.len().saturating_sub(1)).unwrap_or("");
    let mut out = String::with_capacity(rest.len());
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut after = escape.chars();
        let unit = match after.next() {
            Some('u') => {
                let digits = after.as_str().get(..4).unwrap_or("");
                after = after.as_str().get(4..).unwrap_or("").chars();
                u16::from_str_radix(digits, 16).unwrap_or(0xFFFD)
            }
            Some('n') => u16::from(b'\n'),
            Some('t') => u16::from(b'\t'),
            Some('r') => u16::from(b'\r'),
            Some('b') => 8,
            Some('f') => 12,
            // A quote, a backslash or a slash: the parser let no other pass.
            Some(plain) => u16::try_from(u32::from(plain)).unwrap_or(0xFFFD),
            None => break,
        };
        javascript::push_unit(&mut out, unit);
        rest = after.as_str();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// A JSON number as the double that JavaScript reads: beyond its range it is infinite.
pub(super) fn number_of(value: json::Value<'_>) -> f64 {
    value.raw().parse().unwrap_or(f64::NAN)
}

impl<'a> List<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            List::Literal(items) => items.len(),
            List::Made(list) => list.items.len(),
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<Val<'a>> {
        match self {
            List::Literal(items) => items.get(index).map(Literal::value),
            List::Made(list) => list.items.get(index).cloned(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Val<'a>> + '_ {
        (0..self.len()).map_while(|index| self.get(index))
    }

    /// Whether an element is the value, by `===`.
    pub(super) fn has(&self, value: &Val<'_>) -> bool {
        match (self, value) {
            (List::Literal(items), Val::Text(text)) => {
                items.iter().any(|item| matches!(item, Literal::Text(item) if **item == **text))
            }
            (List::Literal(items), _) => items.iter().any(|item| item.value().strictly_equals(value)),
            (List::Made(list), _) => list.items.iter().any(|item| item.strictly_equals(value)),
        }
    }

    /// Whether both are the same list. A condition's empty lists have no place by which to tell them.
    fn is(&self, other: &List<'_>) -> bool {
        match (self, other) {
            (List::Literal(left), List::Literal(right)) => {
                !left.is_empty() && std::ptr::eq(left.as_ptr(), right.as_ptr())
            }
            (List::Made(left), List::Made(right)) => std::ptr::addr_eq(Rc::as_ptr(left), Rc::as_ptr(right)),
            _ => false,
        }
    }

    fn push_joined(&self, out: &mut String, work: &Work) -> Outcome<()> {
        for (at, item) in self.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            item.push_joined(out, work)?;
        }
        Ok(())
    }
}

impl<'a> Object<'a> {
    /// Of a name given twice the last counts.
    pub(crate) fn get(&self, key: &str) -> Val<'a> {
        let found = match self {
            Object::Literal(members) => {
                members.iter().rev().find(|(name, _)| **name == *key).map(|(_, value)| value.value())
            }
            Object::Made(object) => {
                object.members.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| value.clone())
            }
        };
        found.unwrap_or(Val::Undefined)
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Object::Literal(members) => members.len(),
            Object::Made(object) => object.members.len(),
        }
    }

    /// Names and values in order.
    pub(crate) fn members(&self) -> Vec<(&str, Val<'a>)> {
        match self {
            Object::Literal(members) => members.iter().map(|(name, value)| (&**name, value.value())).collect(),
            Object::Made(object) => object.members.iter().map(|(name, value)| (&**name, value.clone())).collect(),
        }
    }

    fn is(&self, other: &Object<'_>) -> bool {
        match (self, other) {
            (Object::Literal(left), Object::Literal(right)) => {
                !left.is_empty() && std::ptr::eq(left.as_ptr(), right.as_ptr())
            }
            (Object::Made(left), Object::Made(right)) => std::ptr::addr_eq(Rc::as_ptr(left), Rc::as_ptr(right)),
            _ => false,
        }
    }
}
