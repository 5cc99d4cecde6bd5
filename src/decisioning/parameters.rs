//! The parameters of an mbox as rules see them: dotted names are nested objects, and each text has a twin in lower
//! case under its name with `_lc`.

use std::borrow::Cow;

use super::logic::Val;
use crate::json::{Document, Kind, ObjectWriter, Strictness, Value, write_str};

/// A parameter by its whole name, dots included, or the twin of a text. Two parameters of which one is named like a
/// part of the other's path (`a` and `a.b`) are both found. None: the tree has to be asked.
pub(super) fn find<'p>(parameters: Value<'p>, name: &str) -> Option<Val<'p>> {
    if let Some(stem) = name.strip_suffix("_lc")
        && let Some(text) = parameters.get(stem).and_then(Value::as_str)
    {
        return Some(Val::Text(lower(text)));
    }
    match parameters.get(name) {
        Some(value) => match value.kind() {
            Kind::Null => Some(Val::Null),
            Kind::Bool => Some(Val::Bool(value.as_bool() == Some(true))),
            Kind::Number => Some(Val::Number(value.raw().parse().unwrap_or(f64::NAN))),
            Kind::String => Some(Val::Text(value.as_str().unwrap_or_default())),
            Kind::Array | Kind::Object => None,
        },
        None if parameters.members().any(|(key, _)| is_above(&key, name) || is_above(name, &key)) => None,
        None => Some(Val::Undefined),
    }
}

/// Whether `path` leads through `name`.
fn is_above(name: &str, path: &str) -> bool {
    path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
}

fn lower(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        text
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

/// All parameters as one object.
pub(super) fn tree(parameters: Option<Value<'_>>) -> Val<'static> {
    let mut text = String::new();
    write_tree(&mut text, parameters);
    match Document::parse(&text, Strictness::Artifact) {
        Ok(document) => owned(document.root()),
        // It was written by this module.
        Err(_) => Val::Undefined,
    }
}

/// A value that outlives the text it was read from.
pub(super) fn owned(value: Value<'_>) -> Val<'static> {
    match value.kind() {
        Kind::String => Val::Text(Cow::Owned(value.as_str().unwrap_or_default().into_owned())),
        Kind::Array => Val::list(value.elements().map(owned).collect()),
        Kind::Object => {
            Val::object(value.members().map(|(key, value)| (Cow::Owned(key.into_owned()), owned(value))).collect())
        }
        Kind::Null => Val::Null,
        Kind::Bool => Val::Bool(value.as_bool() == Some(true)),
        Kind::Number => Val::Number(value.raw().parse().unwrap_or(f64::NAN)),
    }
}

/// The same as JSON text.
pub(super) fn write_tree(out: &mut String, parameters: Option<Value<'_>>) {
    let mut root = Branch::default();
    for (name, value) in parameters.into_iter().flat_map(Value::members) {
        root.insert(&name, value);
    }
    root.write(out);
}

/// An object in the making.
#[derive(Default)]
struct Branch<'p> {
    members: Vec<(String, Node<'p>)>,
}

enum Node<'p> {
    Leaf(Value<'p>),
    Branch(Branch<'p>),
}

impl<'p> Branch<'p> {
    fn insert(&mut self, path: &str, value: Value<'p>) {
        let (first, rest) = match path.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (path, None),
        };
        let at = match self.members.iter().position(|(name, _)| name == first) {
            Some(at) => at,
            None => {
                self.members.push((first.to_owned(), Node::Branch(Branch::default())));
                self.members.len() - 1
            }
        };
        let Some((_, node)) = self.members.get_mut(at) else { return };
        match (rest, node) {
            (Some(rest), Node::Branch(branch)) => branch.insert(rest, value),
            (Some(rest), leaf) => {
                let mut branch = Branch::default();
                branch.insert(rest, value);
                *leaf = Node::Branch(branch);
            }
            (None, node) => {
                // What has parameters below it keeps them.
                let keeps = matches!(node, Node::Branch(branch) if !branch.members.is_empty());
                if !keeps {
                    *node = Node::Leaf(value);
                }
            }
        }
    }

    fn write(&self, out: &mut String) {
        let mut object = ObjectWriter::begin(out);
        for (name, node) in &self.members {
            // The twin of another parameter goes before one that bears its name.
            let is_twin = name.strip_suffix("_lc").is_some_and(|stem| {
                self.members.iter().any(|(other, node)| other == stem && matches!(node, Node::Leaf(leaf) if leaf.kind() == Kind::String))
            });
            if is_twin {
                continue;
            }
            match node {
                Node::Branch(branch) => branch.write(object.foreign_key(name)),
                Node::Leaf(value) => {
                    write_with_twins(object.foreign_key(name), *value);
                    write_twin(&mut object, name, *value);
                }
            }
        }
        object.end();
    }
}

fn write_twin(object: &mut ObjectWriter<'_>, name: &str, value: Value<'_>) {
    if let Some(text) = value.as_str() {
        write_str(object.foreign_key(&format!("{name}_lc")), &lower(text));
    }
}

/// A value; texts that are members of objects in it have their twins too, those in lists have none.
fn write_with_twins(out: &mut String, value: Value<'_>) {
    if value.kind() != Kind::Object {
        out.push_str(value.raw());
        return;
    }
    let mut object = ObjectWriter::begin(out);
    for (name, member) in value.members() {
        let has_twin_before = name.strip_suffix("_lc").and_then(|stem| value.get(stem)).is_some_and(|stem| stem.as_str().is_some());
        if has_twin_before {
            continue;
        }
        write_with_twins(object.foreign_key(&name), member);
        write_twin(&mut object, &name, member);
    }
    object.end();
}
