//! The index over a text and the reading of it.

use std::borrow::Cow;
use std::collections::HashSet;

use super::parser::{
    ESCAPED, HAS_NULL_MEMBER, HUGE_NUMBER, Kind, MAX_DEPTH, Node, ParseError, Parser, Strictness, TOO_DEEP, shown,
};
use super::text::unescape;

/// A parsed text: the text and one node a value or key, in text order.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    text: &'a str,
    strictness: Strictness,
    levels: usize,
    nodes: Vec<Node>,
}

impl<'a> Document<'a> {
    /// Checks the whole text against the JSON grammar.
    pub(crate) fn parse(text: &'a str, strictness: Strictness) -> Result<Self, ParseError> {
        Self::with_levels(text, strictness, MAX_DEPTH, text.len() / 16)
    }

    /// The same, and indexes values down to that level alone: objects and arrays in so many others are checked and look
    /// empty. An index is of the size of its text; who needs little of a large one, or one part after the other, keeps
    /// it small. [`Document::open`] indexes such a part.
    pub(crate) fn outline(text: &'a str, strictness: Strictness, levels: usize) -> Result<Self, ParseError> {
        Self::with_levels(text, strictness, levels, 0)
    }

    fn with_levels(text: &'a str, strictness: Strictness, levels: usize, nodes: usize) -> Result<Self, ParseError> {
        if text.len() >= u32::MAX as usize {
            return Err(ParseError::at(0, "text of 4 GiB or more"));
        }
        let mut parser = Parser::new(text, 0, strictness, levels, Vec::with_capacity(16 + nodes));
        parser.whole_text().map_err(|error| *error)?;
        Ok(Document { text, strictness, levels, nodes: parser.index })
    }

    /// A document for [`Document::open`].
    pub(crate) fn closed() -> Self {
        Document { text: "", strictness: Strictness::Answer, levels: 0, nodes: Vec::new() }
    }

    /// Becomes the document of one value of an outline's last level, in the memory of the one that it was. Spans are
    /// still those of the whole text.
    pub(crate) fn open(&mut self, value: Value<'a>) {
        let outline = value.document;
        let mut nodes = std::mem::take(&mut self.nodes);
        nodes.clear();
        let start = value.node().start as usize;
        let mut parser = Parser::new(outline.text, start, outline.strictness, MAX_DEPTH, nodes);
        // It was checked when the outline was made.
        let checked = parser.value(outline.levels);
        debug_assert!(checked.is_ok());
        *self = Document { text: outline.text, strictness: outline.strictness, levels: MAX_DEPTH, nodes: parser.index };
    }

    /// The outermost value.
    pub(crate) fn root(&self) -> Value<'_> {
        Value { document: self, index: 0 }
    }
}

/// One value of a [`Document`].
#[derive(Clone, Copy)]
pub(crate) struct Value<'d> {
    document: &'d Document<'d>,
    index: u32,
}

impl<'d> Value<'d> {
    fn node(self) -> Node {
        // The parser made the index; a miss would be a bug here, and null is the harmless reading.
        self.document.nodes.get(self.index as usize).copied().unwrap_or(Node {
            start: 0,
            end: 0,
            next: 0,
            kind: Kind::Null,
            flags: 0,
        })
    }

    pub(crate) fn kind(self) -> Kind {
        self.node().kind
    }

    pub(crate) fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// The value's own text.
    pub(crate) fn raw(self) -> &'d str {
        let node = self.node();
        self.document.text.get(node.start as usize..node.end as usize).unwrap_or("null")
    }

    /// Where the value's own text is, in bytes from the start of the whole text.
    pub(crate) fn span(self) -> (u32, u32) {
        let node = self.node();
        (node.start, node.end)
    }

    /// Whether something in here is nested so deeply that it was checked but not indexed: it looks empty.
    pub(crate) fn is_too_deep(self) -> bool {
        self.node().flags & TOO_DEEP != 0
    }

    /// Whether a number in here is so large that most readers of JSON refuse it.
    pub(crate) fn has_huge_number(self) -> bool {
        self.node().flags & HUGE_NUMBER != 0
    }

    /// Where the first such number in here is; the path is fit for a message.
    pub(crate) fn path_of_huge_number(self) -> Option<String> {
        let mut path = String::new();
        let mut value = self;
        while value.has_huge_number() && value.kind() != Kind::Number {
            let member = value.members().find(|(_, member)| member.has_huge_number());
            let element = value.elements().enumerate().find(|(_, element)| element.has_huge_number());
            value = match (member, element) {
                (Some((key, member)), _) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.extend(shown(&key));
                    member
                }
                (None, Some((at, element))) => {
                    path.push_str(&format!("[{at}]"));
                    element
                }
                // Of an outline, where it is not indexed.
                (None, None) => break,
            };
        }
        value.has_huge_number().then_some(path)
    }

    /// Whether an object in here has a member that is null.
    pub(crate) fn has_null_member(self) -> bool {
        self.node().flags & HAS_NULL_MEMBER != 0
    }

    pub(crate) fn as_bool(self) -> Option<bool> {
        (self.kind() == Kind::Bool).then(|| self.raw() == "true")
    }

    /// A number written without fraction and exponent that fits.
    pub(crate) fn as_i64(self) -> Option<i64> {
        if self.kind() != Kind::Number {
            return None;
        }
        let raw = self.raw();
        raw.parse().ok().or_else(|| {
            // 1e3 and 5.0 are integers to everybody who writes JSON with doubles.
            let number: f64 = raw.parse().ok()?;
            let exact = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
            exact.then_some(number as i64)
        })
    }

    /// The content of a string.
    pub(crate) fn as_str(self) -> Option<Cow<'d, str>> {
        let node = self.node();
        if node.kind != Kind::String {
            return None;
        }
        let inner =
            self.document.text.get(node.start as usize + 1..(node.end as usize).saturating_sub(1)).unwrap_or("");
        Some(if node.flags & ESCAPED == 0 { Cow::Borrowed(inner) } else { Cow::Owned(unescape(inner)) })
    }

    /// Whether this is an object or an array without content.
    pub(crate) fn is_empty(self) -> bool {
        let node = self.node();
        matches!(node.kind, Kind::Object | Kind::Array) && node.next == self.index + 1
    }

    /// Key and value of each member, in text order; nothing when this is no object.
    pub(crate) fn members(self) -> Members<'d> {
        let node = self.node();
        let end = if node.kind == Kind::Object { node.next } else { self.index + 1 };
        Members { document: self.document, at: self.index + 1, end }
    }

    /// The elements in order; nothing when this is no array.
    pub(crate) fn elements(self) -> Elements<'d> {
        let node = self.node();
        let end = if node.kind == Kind::Array { node.next } else { self.index + 1 };
        Elements { document: self.document, at: self.index + 1, end }
    }

    /// The last member of that name: what every common parser makes of a name given twice.
    pub(crate) fn get(self, key: &str) -> Option<Value<'d>> {
        let node = self.node();
        let end = if node.kind == Kind::Object { node.next } else { 0 };
        let mut found = None;
        let mut at = self.index + 1;
        while at < end {
            let name = Value { document: self.document, index: at };
            let value = Value { document: self.document, index: at + 1 };
            if name.content_is(key) {
                found = Some(value);
            }
            at = value.node().next;
        }
        found
    }

    /// The last member of each of these names, in one pass.
    pub(crate) fn get_each<const N: usize>(self, keys: [&str; N]) -> [Option<Value<'d>>; N] {
        let node = self.node();
        let end = if node.kind == Kind::Object { node.next } else { 0 };
        let mut found = [None; N];
        let mut at = self.index + 1;
        while at < end {
            let name = Value { document: self.document, index: at };
            let value = Value { document: self.document, index: at + 1 };
            if let Some((_, place)) = keys.iter().zip(&mut found).find(|(key, _)| name.content_is(key)) {
                *place = Some(value);
            }
            at = value.node().next;
        }
        found
    }

    /// A key that an object has twice, if there is one.
    pub(crate) fn repeated_key(self) -> Option<Cow<'d, str>> {
        // Most objects have a handful of members, and a caller may send a million.
        const FEW: usize = 16;
        let node = self.node();
        let end = if node.kind == Kind::Object { node.next } else { 0 };
        let mut few = [0; FEW];
        let mut many: HashSet<Cow<'d, str>> = HashSet::new();
        let (mut count, mut at) = (0, self.index + 1);
        while at < end {
            let key = Value { document: self.document, index: at };
            let known = few.get(..count).unwrap_or_default();
            if known.iter().any(|other| key.is_same_text(Value { document: self.document, index: *other })) {
                return key.as_str();
            }
            match few.get_mut(count) {
                Some(place) => {
                    *place = at;
                    count += 1;
                }
                None => {
                    let text = key.as_str()?;
                    if !many.insert(text.clone()) {
                        return Some(text);
                    }
                }
            }
            at = Value { document: self.document, index: at + 1 }.node().next;
        }
        None
    }

    /// Whether two strings have the same content.
    fn is_same_text(self, other: Value<'_>) -> bool {
        let plain = (self.node().flags | other.node().flags) & ESCAPED == 0;
        if plain { self.raw() == other.raw() } else { self.as_str() == other.as_str() }
    }

    #[cold]
    #[inline(never)]
    fn escaped_content_is(self, text: &str) -> bool {
        self.as_str().is_some_and(|content| content == text)
    }

    /// Whether this key has that content.
    #[inline]
    fn content_is(self, text: &str) -> bool {
        let node = self.node();
        if node.flags & ESCAPED != 0 {
            return self.escaped_content_is(text);
        }
        // Most keys that are not the one are of another length.
        let (start, end) = (node.start as usize, node.end as usize);
        end == start + text.len() + 2 && self.document.text.as_bytes().get(start + 1..end - 1) == Some(text.as_bytes())
    }
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.raw())
    }
}

/// Iterator of [`Value::members`].
pub(crate) struct Members<'d> {
    document: &'d Document<'d>,
    at: u32,
    end: u32,
}

impl<'d> Iterator for Members<'d> {
    type Item = (Cow<'d, str>, Value<'d>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let key = Value { document: self.document, index: self.at };
        let value = Value { document: self.document, index: self.at + 1 };
        self.at = value.node().next;
        Some((key.as_str()?, value))
    }
}

/// Iterator of [`Value::elements`].
pub(crate) struct Elements<'d> {
    document: &'d Document<'d>,
    at: u32,
    end: u32,
}

impl<'d> Iterator for Elements<'d> {
    type Item = Value<'d>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let value = Value { document: self.document, index: self.at };
        self.at = value.node().next;
        Some(value)
    }
}
