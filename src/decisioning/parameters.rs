//! The parameters of an mbox as rules see them: dotted names are nested objects, and each text has a twin in lower
//! case under its name with `_lc`.

use std::borrow::Cow;

use super::logic::Val;
use super::macros;
use crate::json::{Document, Kind, ObjectWriter, Strictness, Value, write_str};

/// Dots of a name that make objects; what is behind stays one name.
const MAX_NESTING: usize = 64;

/// The parameters of one mbox, view or page load, as the caller gave them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Parameters<'p> {
    #[default]
    None,
    /// A member of the request.
    Json(Value<'p>),
    /// Names and texts.
    Pairs(&'p [(&'p str, &'p str)]),
}

impl<'p> Parameters<'p> {
    /// `parameters` of an mbox, a view or a page load; what is no object counts as none.
    pub(super) fn of(detail: Option<Value<'p>>) -> Self {
        let given = detail.and_then(|detail| detail.get("parameters"));
        given.filter(|value| value.kind() == Kind::Object).map_or(Parameters::None, Parameters::Json)
    }

    /// The text of that name, if it is one.
    fn text(self, name: &str) -> Option<Cow<'p, str>> {
        match self {
            Parameters::None => None,
            Parameters::Json(object) => object.get(name).and_then(Value::as_str),
            Parameters::Pairs(pairs) => pair(pairs, name).map(Cow::Borrowed),
        }
    }

    /// The same, where a twin goes before a parameter that bears its name.
    fn text_or_twin(self, name: &str) -> Option<Cow<'p, str>> {
        let own = self.text(name)?;
        Some(name.strip_suffix("_lc").and_then(|stem| self.text(stem)).map_or(own, lower))
    }

    /// What a macro writes for a parameter.
    pub(super) fn macro_text(self, name: &str) -> Option<Cow<'p, str>> {
        match self {
            Parameters::Json(object) => object.get(name).map(macros::text_of),
            others => others.text(name),
        }
    }

    /// A parameter by its whole name, dots included, or the twin of a text. Two parameters of which one is named like
    /// a part of the other's path (`a` and `a.b`) are both found. None: the tree has to be asked.
    pub(super) fn find(self, name: &str) -> Option<Val<'p>> {
        if let Some(text) = name.strip_suffix("_lc").and_then(|stem| self.text_or_twin(stem)) {
            return Some(Val::Text(lower(text)));
        }
        let is_near = |key: &str| is_above(key, name) || is_above(name, key);
        match self {
            Parameters::None => Some(Val::Undefined),
            Parameters::Json(object) => match object.get(name) {
                Some(value) => match value.kind() {
                    Kind::Array | Kind::Object => None,
                    _ => Some(Val::of_json(value)),
                },
                None if object.members().any(|(key, _)| is_near(&key)) => None,
                None => Some(Val::Undefined),
            },
            Parameters::Pairs(pairs) => match pair(pairs, name) {
                Some(text) => Some(Val::Text(Cow::Borrowed(text))),
                None if pairs.iter().any(|(key, _)| is_near(key)) => None,
                None => Some(Val::Undefined),
            },
        }
    }

    /// All parameters as one object.
    pub(super) fn tree(self) -> Val<'static> {
        let mut text = String::new();
        self.branch().write(&mut text, Beside::Hidden);
        match Document::parse(&text, Strictness::Artifact) {
            Ok(document) => owned(document.root()),
            // It was written by this module.
            Err(_) => Val::Undefined,
        }
    }

    /// The same as JSON text for people, with every parameter in it: where one is named like a part of another's path,
    /// the other one bears its whole name (`a` and `a.b`).
    pub(super) fn write_tree(self, out: &mut String) {
        self.branch().write(out, Beside::Shown);
    }

    fn branch(self) -> Branch<'p> {
        let mut root = Branch::default();
        match self {
            Parameters::None => {}
            Parameters::Json(object) => {
                for (name, value) in object.members() {
                    root.insert(&name, Leaf::Json(value), MAX_NESTING);
                }
            }
            Parameters::Pairs(pairs) => {
                for (name, text) in pairs {
                    root.insert(name, Leaf::Text(text), MAX_NESTING);
                }
            }
        }
        root
    }
}

/// The last of that name.
fn pair<'p>(pairs: &[(&str, &'p str)], name: &str) -> Option<&'p str> {
    pairs.iter().rev().find(|(known, _)| *known == name).map(|(_, text)| *text)
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

/// An object in the making.
#[derive(Default)]
struct Branch<'p> {
    members: Vec<(String, Node<'p>)>,
}

/// A parameter, what is below its name, or both.
#[derive(Default)]
struct Node<'p> {
    leaf: Option<Leaf<'p>>,
    branch: Branch<'p>,
}

/// What becomes of a parameter that has others below it. Rules find it by its name, before they look at the tree, in
/// which its name is that of the object with the others.
#[derive(Clone, Copy, PartialEq)]
enum Beside {
    Hidden,
    Shown,
}

#[derive(Clone, Copy)]
enum Leaf<'p> {
    Json(Value<'p>),
    Text(&'p str),
}

impl<'p> Leaf<'p> {
    fn text(self) -> Option<Cow<'p, str>> {
        match self {
            Leaf::Json(value) => value.as_str(),
            Leaf::Text(text) => Some(Cow::Borrowed(text)),
        }
    }
}

impl<'p> Branch<'p> {
    fn insert(&mut self, path: &str, value: Leaf<'p>, levels: usize) {
        let (first, rest) = match path.split_once('.') {
            Some((first, rest)) if levels > 0 => (first, Some(rest)),
            _ => (path, None),
        };
        let at = match self.members.iter().position(|(name, _)| name == first) {
            Some(at) => at,
            None => {
                self.members.push((first.to_owned(), Node::default()));
                self.members.len() - 1
            }
        };
        let Some((_, node)) = self.members.get_mut(at) else { return };
        match rest {
            Some(rest) => node.branch.insert(rest, value, levels - 1),
            None => node.leaf = Some(value),
        }
    }

    /// The text of that name, if it is one.
    fn text(&self, name: &str) -> Option<Cow<'p, str>> {
        let node = self.members.iter().find(|(known, _)| known == name);
        node.and_then(|(_, node)| node.leaf?.text())
    }

    fn write(&self, out: &mut String, beside: Beside) {
        let mut object = ObjectWriter::begin(out);
        self.write_members(&mut object, "", beside);
        object.end();
    }

    /// `above` is the path to here, where it could not be made of objects.
    fn write_members(&self, object: &mut ObjectWriter<'_>, above: &str, beside: Beside) {
        for (name, node) in &self.members {
            let path = format!("{above}{name}");
            // The twin of another parameter goes before one that bears its name, and has a twin in its place.
            if let Some(text) = name.strip_suffix("_lc").and_then(|stem| self.text(stem)) {
                write_twin(object, &path, Some(text));
                continue;
            }
            let is_branch = !node.branch.members.is_empty();
            let Some(leaf) = node.leaf else {
                node.branch.write(object.foreign_key(&path), beside);
                continue;
            };
            if is_branch && beside == Beside::Hidden {
                node.branch.write(object.foreign_key(&path), beside);
            } else {
                match leaf {
                    Leaf::Json(value) => write_with_twins(object.foreign_key(&path), value),
                    Leaf::Text(text) => write_str(object.foreign_key(&path), text),
                }
                node.branch.write_members(object, &format!("{path}."), beside);
            }
            write_twin(object, &path, leaf.text());
        }
    }
}

fn write_twin(object: &mut ObjectWriter<'_>, name: &str, text: Option<Cow<'_, str>>) {
    if let Some(text) = text {
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
        let has_twin_before =
            name.strip_suffix("_lc").and_then(|stem| value.get(stem)).is_some_and(|stem| stem.as_str().is_some());
        if has_twin_before {
            continue;
        }
        write_with_twins(object.foreign_key(&name), member);
        write_twin(&mut object, &name, member.as_str());
    }
    object.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str, look: impl FnOnce(Parameters<'_>)) {
        let document = Document::parse(text, Strictness::Options).unwrap();
        look(Parameters::Json(document.root()));
    }

    fn found(parameters: Parameters<'_>, name: &str) -> String {
        let found = parameters.find(name);
        let value = found.unwrap_or_else(|| parameters.tree().walk(name));
        match value {
            Val::Text(text) => text.into_owned(),
            Val::Undefined => "undefined".to_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn names_with_dots_are_found_whole_and_part_by_part() {
        with(r#"{"a.b":"1","a.c.d":"2","x":{"y":"3"},"x.z":"4"}"#, |parameters| {
            assert_eq!(found(parameters, "a.b"), "1");
            assert_eq!(found(parameters, "a.c.d"), "2");
            assert_eq!(found(parameters, "x.y"), "undefined", "what has parameters below it is made of them");
            assert_eq!(found(parameters, "x.z"), "4");
            assert_eq!(found(parameters, "a.b.length"), "Number(1.0)");
            assert_eq!(found(parameters, "a.q"), "undefined");
        });
    }

    #[test]
    fn a_name_and_a_longer_one_are_both_found() {
        with(r#"{"a":"short","a.b":"long"}"#, |parameters| {
            assert_eq!((found(parameters, "a"), found(parameters, "a.b")), ("short".into(), "long".into()));
        });
    }

    /// Who reads a trace looks for what the caller gave.
    #[test]
    fn a_trace_shows_a_name_and_a_longer_one() {
        for (given, shown) in [
            (r#"{"a":"Short","a.b":"long"}"#, r#"{"a":"Short","a.b":"long","a.b_lc":"long","a_lc":"short"}"#),
            (r#"{"a.b":1,"a":2}"#, r#"{"a":2,"a.b":1}"#),
            (r#"{"a":1,"a.b.c":2,"a.b.d":3}"#, r#"{"a":1,"a.b":{"c":2,"d":3}}"#),
            (r#"{"a":1,"a.b":2,"a.b.c":3}"#, r#"{"a":1,"a.b":2,"a.b.c":3}"#),
            (r#"{"x":{"y":1},"x.z":2}"#, r#"{"x":{"y":1},"x.z":2}"#),
            (r#"{"a":1,"a.":2}"#, r#"{"a":1,"a.":2}"#),
        ] {
            with(given, |parameters| {
                let mut tree = String::new();
                parameters.write_tree(&mut tree);
                assert_eq!(tree, shown, "{given}");
            });
        }
    }

    #[test]
    fn texts_have_twins_in_lower_case_and_nothing_else_has() {
        with(r#"{"A":"ÄB","n":5,"o":{"K":"UP"},"l":["UP"]}"#, |parameters| {
            assert_eq!(found(parameters, "A_lc"), "äb");
            assert_eq!(found(parameters, "n_lc"), "undefined");
            assert_eq!(found(parameters, "o.K_lc"), "up");
            assert_eq!(found(parameters, "l.0"), "UP");
        });
    }

    #[test]
    fn the_twin_goes_before_a_parameter_of_its_name() {
        with(r#"{"a":"ABC","a_lc":"given"}"#, |parameters| {
            assert_eq!(found(parameters, "a_lc"), "abc");
            assert_eq!(found(parameters, "a_lc_lc"), "abc");
            let mut tree = String::new();
            parameters.write_tree(&mut tree);
            assert_eq!(tree, r#"{"a":"ABC","a_lc":"abc","a_lc_lc":"abc"}"#);
        });
    }

    #[test]
    fn pairs_are_read_as_an_object_is() {
        let pairs = Parameters::Pairs(&[("a.b", "Xy"), ("c", "1"), ("c", "2")]);
        assert_eq!(found(pairs, "a.b_lc"), "xy");
        assert_eq!(found(pairs, "c"), "2");
        let mut tree = String::new();
        pairs.write_tree(&mut tree);
        assert_eq!(tree, r#"{"a":{"b":"Xy","b_lc":"xy"},"c":"2","c_lc":"2"}"#);
    }

    #[test]
    fn a_name_of_dots_alone_ends() {
        let name = ".".repeat(100_000);
        let pairs = [(name.as_str(), "x")];
        assert_eq!(found(Parameters::Pairs(&pairs), &name), "x");
        assert_eq!(found(Parameters::Pairs(&pairs), "nothing"), "undefined");
    }
}
