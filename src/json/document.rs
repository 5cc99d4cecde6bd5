//! The parser and the index it makes. One pass, no recursion on the way out of an error but to name the path.

use std::borrow::Cow;
use std::collections::HashSet;

/// Nesting that is accepted: as much as serde_json takes, so whatever passes here can be read as a typed answer.
pub(crate) const MAX_DEPTH: usize = 127;

/// What a text may hold beyond RFC 8259's letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// Escapes that name half a surrogate pair are refused: such text has no UTF-8 form, so it could not be sent.
    Options,
    /// Such escapes pass and read as U+FFFD: an answer is never refused for its content.
    Answer,
    /// As an answer; and what is nested deeper than [`MAX_DEPTH`] passes unread ([`Value::is_too_deep`]), so that one
    /// absurd rule does not take the others with it.
    Artifact,
}

/// JSON's six kinds of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    /// With its article, as error messages need it.
    pub(crate) fn described(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Number => "a number",
            Kind::String => "a string",
            Kind::Array => "an array",
            Kind::Object => "an object",
        }
    }
}

/// The text has escapes: its content is not the span itself.
const ESCAPED: u8 = 1;
/// A member of an object in here is null.
const HAS_NULL_MEMBER: u8 = 2;
/// Something in here is nested too deeply to be indexed.
const TOO_DEEP: u8 = 4;
/// A number in here is beyond what a double holds.
const HUGE_NUMBER: u8 = 8;

#[derive(Debug, Clone, Copy)]
struct Node {
    start: u32,
    end: u32,
    /// The index after this value and everything in it.
    next: u32,
    kind: Kind,
    flags: u8,
}

/// Why a text is no JSON, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParseError {
    /// Offset in bytes.
    pub offset: usize,
    /// What was expected or wrong.
    pub reason: &'static str,
    /// Path of the member it happened in, such as `request.notifications[0].timestamp`; empty at the top.
    pub path: String,
}

impl ParseError {
    fn at(offset: usize, reason: &'static str) -> Self {
        ParseError { offset, reason, path: String::new() }
    }

    fn inside_key(mut self, key: &str) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        // A hostile key must not make a hostile message.
        let key: String = key.chars().filter(|c| !c.is_control()).take(64).collect();
        self.path = format!("{key}{separator}{}", self.path);
        self
    }

    fn inside_index(mut self, index: usize) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("[{index}]{separator}{}", self.path);
        self
    }
}

/// A parsed text: the text and one node a value or key, in text order.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    text: &'a str,
    nodes: Vec<Node>,
}

impl<'a> Document<'a> {
    /// Checks the whole text against the JSON grammar.
    pub(crate) fn parse(text: &'a str, strictness: Strictness) -> Result<Self, ParseError> {
        if text.len() >= u32::MAX as usize {
            return Err(ParseError::at(0, "text of 4 GiB or more"));
        }
        let mut parser =
            Parser { bytes: text.as_bytes(), text, at: 0, nodes: Vec::with_capacity(16 + text.len() / 16), strictness };
        parser.skip_space();
        parser.value(0)?;
        parser.skip_space();
        if parser.at != parser.bytes.len() {
            return Err(ParseError::at(parser.at, "text after the value"));
        }
        Ok(Document { text, nodes: parser.nodes })
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

    /// Whether a number in here is so large that most readers of JSON refuse it. Only noted in artifacts.
    pub(crate) fn has_huge_number(self) -> bool {
        self.node().flags & HUGE_NUMBER != 0
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
        let raw = self.raw();
        let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or("");
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

    /// Whether this is a string of that content.
    fn content_is(self, text: &str) -> bool {
        let node = self.node();
        if node.flags & ESCAPED == 0 {
            let inner = self.document.text.as_bytes().get(node.start as usize + 1..(node.end as usize).max(1) - 1);
            return node.kind == Kind::String && inner == Some(text.as_bytes());
        }
        self.as_str().is_some_and(|content| content == text)
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

struct Parser<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
    nodes: Vec<Node>,
    strictness: Strictness,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn open(&mut self, kind: Kind) -> usize {
        let start = self.at as u32;
        self.nodes.push(Node { start, end: start, next: 0, kind, flags: 0 });
        self.nodes.len() - 1
    }

    fn close(&mut self, index: usize, flags: u8) {
        let next = self.nodes.len() as u32;
        let end = self.at as u32;
        if let Some(node) = self.nodes.get_mut(index) {
            node.end = end;
            node.next = next;
            node.flags = flags;
        }
    }

    /// Returns the flags that the value passes on to what holds it.
    fn value(&mut self, depth: usize) -> Result<u8, ParseError> {
        match self.peek() {
            Some(b'"') => self.string().map(|()| 0),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b't') => self.literal("true", Kind::Bool),
            Some(b'f') => self.literal("false", Kind::Bool),
            Some(b'n') => self.literal("null", Kind::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => Err(ParseError::at(self.at, "expected a JSON value")),
            None => Err(ParseError::at(self.at, "the text ends where a value is expected")),
        }
    }

    fn literal(&mut self, word: &'static str, kind: Kind) -> Result<u8, ParseError> {
        let index = self.open(kind);
        if self.bytes.get(self.at..self.at + word.len()) != Some(word.as_bytes()) {
            return Err(ParseError::at(self.at, "expected a JSON value"));
        }
        self.at += word.len();
        self.close(index, 0);
        Ok(0)
    }

    fn digits(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(ParseError::at(self.at, "expected a digit")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<u8, ParseError> {
        let index = self.open(Kind::Number);
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if let Some(b'0'..=b'9') = self.peek() {
                return Err(ParseError::at(self.at, "a number with a leading zero"));
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if exponent {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        let mut flags = 0;
        let start = self.nodes.get(index).map_or(0, |node| node.start as usize);
        // Fewer digits cannot make one.
        if self.strictness == Strictness::Artifact && (self.at - start > 300 || exponent) {
            let number = self.text.get(start..self.at).and_then(|text| text.parse::<f64>().ok());
            flags = if number.is_some_and(f64::is_finite) { 0 } else { HUGE_NUMBER };
        }
        self.close(index, flags);
        Ok(flags)
    }

    fn string(&mut self) -> Result<(), ParseError> {
        let index = self.open(Kind::String);
        let mut flags = 0;
        self.at += 1;
        loop {
            self.skip_plain_text();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    self.close(index, flags);
                    return Ok(());
                }
                Some(b'\\') => {
                    flags = ESCAPED;
                    self.escape()?;
                }
                Some(_) => return Err(ParseError::at(self.at, "a control character that is not escaped")),
                None => return Err(ParseError::at(self.at, "a string without an end")),
            }
        }
    }

    fn skip_plain_text(&mut self) {
        self.at += plain_length(self.bytes.get(self.at..).unwrap_or_default());
    }

    fn escape(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                let unit = hex4(self.bytes, self.at + 1)
                    .ok_or_else(|| ParseError::at(start, "\\u without four hexadecimal digits"))?;
                self.at += 5;
                if self.strictness != Strictness::Options || !(0xD800..=0xDFFF).contains(&unit) {
                    return Ok(());
                }
                let low = self
                    .bytes
                    .get(self.at..self.at + 2)
                    .filter(|next| *next == b"\\u")
                    .and_then(|_| hex4(self.bytes, self.at + 2));
                match (unit, low) {
                    (0xD800..=0xDBFF, Some(0xDC00..=0xDFFF)) => {
                        self.at += 6;
                        Ok(())
                    }
                    _ => Err(ParseError::at(start, "\\u with half a surrogate pair")),
                }
            }
            _ => Err(ParseError::at(start, "an unknown escape")),
        }
    }

    /// Checks a value that is nested too deeply, without recursion; it is left as an empty one of its kind.
    fn deep(&mut self, kind: Kind) -> Result<u8, ParseError> {
        if self.strictness != Strictness::Artifact {
            return Err(ParseError::at(self.at, "nested deeper than 127 levels"));
        }
        let index = self.open(kind);
        // The closing bracket of each open level.
        let mut open: Vec<u8> = Vec::new();
        loop {
            // A value is expected here.
            let closing = match self.peek() {
                Some(b'{') => b'}',
                Some(b'[') => b']',
                _ => {
                    self.value(MAX_DEPTH)?;
                    0
                }
            };
            if closing != 0 {
                self.at += 1;
                self.skip_space();
                open.push(closing);
                if self.peek() != Some(closing) {
                    self.deep_key(closing)?;
                    continue;
                }
            }
            // A value has ended, or an empty one is about to.
            loop {
                self.nodes.truncate(index + 1);
                self.skip_space();
                let Some(closing) = open.last().copied() else {
                    self.close(index, TOO_DEEP);
                    return Ok(TOO_DEEP);
                };
                match self.peek() {
                    Some(byte) if byte == closing => {
                        self.at += 1;
                        open.pop();
                        if open.is_empty() {
                            self.close(index, TOO_DEEP);
                            return Ok(TOO_DEEP);
                        }
                    }
                    Some(b',') => {
                        self.at += 1;
                        self.skip_space();
                        self.deep_key(closing)?;
                        break;
                    }
                    Some(_) => return Err(ParseError::at(self.at, "expected `,` or the end of the value")),
                    None => return Err(ParseError::at(self.at, "a value without an end")),
                }
            }
        }
    }

    /// In an object, the key and colon before the value.
    fn deep_key(&mut self, closing: u8) -> Result<(), ParseError> {
        if closing == b'}' {
            self.key()?;
        }
        Ok(())
    }

    /// A key with its colon; returns where its content is.
    fn key(&mut self) -> Result<(usize, usize), ParseError> {
        if self.peek() != Some(b'"') {
            return Err(ParseError::at(self.at, "expected a key in double quotes"));
        }
        let start = self.at;
        self.string()?;
        let end = self.at;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(ParseError::at(self.at, "expected `:`"));
        }
        self.at += 1;
        self.skip_space();
        Ok((start + 1, end - 1))
    }

    fn array(&mut self, depth: usize) -> Result<u8, ParseError> {
        if depth >= MAX_DEPTH {
            return self.deep(Kind::Array);
        }
        let index = self.open(Kind::Array);
        let mut flags = 0;
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            self.close(index, flags);
            return Ok(flags);
        }
        let mut count = 0;
        loop {
            self.skip_space();
            flags |= self.value(depth + 1).map_err(|e| e.inside_index(count))?;
            count += 1;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    self.close(index, flags);
                    return Ok(flags);
                }
                Some(_) => return Err(ParseError::at(self.at, "expected `,` or `]`")),
                None => return Err(ParseError::at(self.at, "an array without an end")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<u8, ParseError> {
        if depth >= MAX_DEPTH {
            return self.deep(Kind::Object);
        }
        let index = self.open(Kind::Object);
        let mut flags = 0;
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.close(index, flags);
            return Ok(flags);
        }
        loop {
            self.skip_space();
            let (key_start, key_end) = self.key()?;
            let null_member = self.peek() == Some(b'n');
            match self.value(depth + 1) {
                Ok(inner) => flags |= inner,
                Err(error) => {
                    let key = self.text.get(key_start..key_end).unwrap_or("");
                    return Err(error.inside_key(key));
                }
            }
            if null_member {
                flags |= HAS_NULL_MEMBER;
            }
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    self.close(index, flags);
                    return Ok(flags);
                }
                Some(_) => return Err(ParseError::at(self.at, "expected `,` or `}`")),
                None => return Err(ParseError::at(self.at, "an object without an end")),
            }
        }
    }
}

/// The content of a string that is known to be JSON, quotes included.
pub(crate) fn string_content(text: &str) -> Cow<'_, str> {
    let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or("");
    if inner.contains('\\') { Cow::Owned(unescape(inner)) } else { Cow::Borrowed(inner) }
}

/// How many bytes come before a `"`, a `\`, a control character or the end; eight at a time.
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_in = |x: u64| x.wrapping_sub(ONES) & !x & HIGH;
    let mut chunks = bytes.chunks_exact(8);
    let mut passed = 0;
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
        let quote = zero_in(word ^ (ONES * u64::from(b'"')));
        let backslash = zero_in(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let stops = quote | backslash | control;
        if stops != 0 {
            // Borrows only run towards higher bytes, so the lowest mark is exact.
            return passed + (stops.trailing_zeros() / 8) as usize;
        }
        passed += 8;
    }
    let rest = chunks.remainder();
    passed + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.iter().try_fold(0, |unit, digit| Some(unit * 16 + (*digit as char).to_digit(16)?))
}

/// The content of a string whose escapes the parser has checked; half surrogate pairs read as U+FFFD.
fn unescape(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(position) = rest.find('\\') {
        let (plain, escaped) = rest.split_at(position);
        out.push_str(plain);
        let bytes = escaped.as_bytes();
        let used = match bytes.get(1).copied() {
            Some(b'n') => push(&mut out, '\n'),
            Some(b't') => push(&mut out, '\t'),
            Some(b'r') => push(&mut out, '\r'),
            Some(b'b') => push(&mut out, '\u{8}'),
            Some(b'f') => push(&mut out, '\u{c}'),
            Some(b'u') => {
                let unit = hex4(bytes, 2).unwrap_or(0xFFFD);
                let low = (bytes.get(6..8) == Some(b"\\u")).then(|| hex4(bytes, 8)).flatten();
                match (unit, low) {
                    (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) => {
                        let point = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                        out.push(char::from_u32(point).unwrap_or('\u{FFFD}'));
                        12
                    }
                    _ => {
                        out.push(char::from_u32(unit).unwrap_or('\u{FFFD}'));
                        6
                    }
                }
            }
            Some(plain) => push(&mut out, plain as char),
            None => 1,
        };
        rest = escaped.get(used..).unwrap_or("");
    }
    out.push_str(rest);
    out
}

fn push(out: &mut String, c: char) -> usize {
    out.push(c);
    2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Document<'_>, ParseError> {
        Document::parse(text, Strictness::Options)
    }

    /// The document as serde_json sees it, by way of our own index.
    fn rebuilt(value: Value<'_>) -> serde_json::Value {
        match value.kind() {
            Kind::Object => {
                serde_json::Value::Object(value.members().map(|(k, v)| (k.into_owned(), rebuilt(v))).collect())
            }
            Kind::Array => value.elements().map(rebuilt).collect(),
            Kind::String => value.as_str().map(|s| s.into_owned()).into(),
            _ => serde_json::from_str(value.raw()).expect("a scalar's own text is JSON"),
        }
    }

    #[test]
    fn agrees_with_serde_json_on_every_mutation_of_a_text() {
        let seed = r#" {"a":[1,-0.5e+3,true,false,null,"x\u00e9\n\ud83d\ude00"],"b":{"":{}, "c" : []},"long text with more than eight bytes":"é日本😀"} "#;
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let alphabet = b"{}[]\",:\\u0d8nullte-+.1eE \x01";
        let mut accepted = 0;
        for _ in 0..200_000 {
            let mut bytes = seed.as_bytes().to_vec();
            for _ in 0..1 + random() % 3 {
                let at = random() as usize % bytes.len();
                match random() % 3 {
                    0 => bytes[at] = alphabet[random() as usize % alphabet.len()],
                    1 => {
                        bytes.remove(at);
                    }
                    _ => bytes.insert(at, alphabet[random() as usize % alphabet.len()]),
                }
            }
            let Ok(text) = std::str::from_utf8(&bytes) else { continue };
            let theirs: Result<serde_json::Value, _> = serde_json::from_str(text);
            match (parse(text), theirs) {
                (Ok(ours), Ok(theirs)) => {
                    assert_eq!(rebuilt(ours.root()), theirs, "{text}");
                    accepted += 1;
                }
                (Err(_), Err(_)) => {}
                // A number beyond a double's range is grammatical; it passes through as text.
                (Ok(_), Err(e)) if e.to_string().contains("number out of range") => {}
                (ours, theirs) => panic!("{text}: ours {ours:?}, serde_json {theirs:?}"),
            }
        }
        assert!(accepted > 1000, "{accepted}");
    }

    #[test]
    fn errors_name_the_path() {
        let error = parse(r#"{"request":{"notifications":[{"id":"1"},{"timestamp":NaN}]}}"#).unwrap_err();
        assert_eq!(error.path, "request.notifications[1].timestamp");
        assert_eq!(error.reason, "expected a JSON value");
        assert_eq!(parse(r#"[[1,"#).unwrap_err().path, "[0][1]");
    }

    #[test]
    fn depth_is_limited_where_serde_json_limits_it() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(&nested(MAX_DEPTH)).is_ok());
        assert!(serde_json::from_str::<serde_json::Value>(&nested(MAX_DEPTH)).is_ok());
        assert!(serde_json::from_str::<serde_json::Value>(&nested(MAX_DEPTH + 1)).is_err());
        let error = parse(&nested(MAX_DEPTH + 1)).unwrap_err();
        assert_eq!(error.reason, "nested deeper than 127 levels");
        assert!(parse(&"[".repeat(10_000_000)).is_err());
    }

    #[test]
    fn what_is_too_deep_in_an_artifact_is_checked_and_left_out() {
        fn parse(text: &str) -> Result<Document<'_>, ParseError> {
            Document::parse(text, Strictness::Artifact)
        }
        let deep =
            format!(r#"{{"a":{}{{"k":[true,{{}}],"l":"x"}}{},"b":1}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let document = parse(&deep).unwrap();
        assert!(document.root().get("a").unwrap().is_too_deep());
        assert!(document.root().is_too_deep());
        assert!(!document.root().get("b").unwrap().is_too_deep());
        assert_eq!(document.root().get("b").unwrap().as_i64(), Some(1));
        for broken in ["[{]}", "[{\"a\" 1}]", "[1 2]", "[,]", "[1,]", "[{\"a\":}]", "[tru]", "[{1:2}]", "["] {
            let text = format!("{}{broken}{}", "[".repeat(200), "]".repeat(200));
            assert!(parse(&text).is_err(), "{broken}");
        }
        for whole in ["[]", "{}", "[[],{}]", "{\"a\":{\"b\":[1,2]},\"c\":null}", "\"x\"", "5"] {
            let text = format!("{}{whole}{}", "[".repeat(200), "]".repeat(200));
            assert!(parse(&text).is_ok(), "{whole}");
        }
    }

    #[test]
    fn half_surrogate_pairs_are_refused_in_options_and_replaced_in_answers() {
        let text = r#"{"a":"x\ud800y"}"#;
        assert_eq!(parse(text).unwrap_err().path, "a");
        let answer = Document::parse(text, Strictness::Answer).unwrap();
        assert_eq!(answer.root().get("a").unwrap().as_str().unwrap(), "x\u{FFFD}y");
    }

    #[test]
    fn integers_are_read_in_every_spelling() {
        let number = |text: &'static str| parse(text).unwrap().root().as_i64();
        assert_eq!(number("1621530726000"), Some(1_621_530_726_000));
        assert_eq!(number("1.6215307e12"), Some(1_621_530_700_000));
        assert_eq!(number("5.0"), Some(5));
        assert_eq!(number("-1"), Some(-1));
        assert_eq!(number("5.5"), None);
        assert_eq!(number("1e400"), None);
        assert_eq!(number("\"5\""), None);
    }

    #[test]
    fn a_null_member_is_known_from_outside() {
        let document = parse(r#"{"a":{"b":[{"c":null}]},"d":{"e":[null]}}"#).unwrap();
        let root = document.root();
        assert!(root.has_null_member());
        assert!(root.get("a").unwrap().has_null_member());
        assert!(!root.get("d").unwrap().has_null_member());
    }
}
