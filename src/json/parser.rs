//! The JSON grammar: one pass over a text, no recursion on the way out of an error but to name the path. What is kept of
//! the values is the business of an [`Index`].

use super::text::{hex4, plain_end};

/// Nesting that is accepted: as much as serde_json takes, so whatever passes here can be read as a typed answer.
pub(crate) const MAX_DEPTH: usize = 127;

/// What a text may hold beyond RFC 8259's letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// Escapes that name half a surrogate pair are refused: such text has no UTF-8 form, so it could not be sent.
    Options,
    /// As options; but `artifact_payload`, a member of the outermost object, is read as an artifact.
    Configuration,
    /// Such escapes pass and read as U+FFFD: an answer is never refused for its content.
    Answer,
    /// As an answer; and what is nested deeper than [`MAX_DEPTH`] passes unread ([`Value::is_too_deep`]), so that one
    /// absurd rule does not take the others with it.
    Artifact,
}

/// The key of an artifact in a configuration, in both spellings.
const PAYLOAD_KEYS: [&str; 2] = ["artifact_payload", "artifactPayload"];

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
pub(super) const ESCAPED: u8 = 1;
/// A member of an object in here is null.
pub(super) const HAS_NULL_MEMBER: u8 = 2;
/// Something in here is nested too deeply to be indexed.
pub(super) const TOO_DEEP: u8 = 4;
/// A number in here is beyond what a double holds.
pub(super) const HUGE_NUMBER: u8 = 8;

/// A value or key of an indexed text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub start: u32,
    pub end: u32,
    /// The index after this value and everything in it.
    pub next: u32,
    pub kind: Kind,
    pub flags: u8,
}

/// What is kept of the values that were found to be ones.
pub(super) trait Index {
    /// An object or an array begins. Returns its place.
    fn begin(&mut self, kind: Kind, start: usize) -> usize;

    /// It has ended.
    fn end(&mut self, place: usize, end: usize, flags: u8);

    /// A value that holds no others, from `start` to `end`.
    fn add(&mut self, kind: Kind, start: usize, end: usize, flags: u8);

    /// What the object or array holds is forgotten.
    fn forget_content(&mut self, place: usize);
}

/// One node a value or key, in text order.
impl Index for Vec<Node> {
    fn begin(&mut self, kind: Kind, start: usize) -> usize {
        self.push(Node { start: start as u32, end: start as u32, next: 0, kind, flags: 0 });
        self.len() - 1
    }

    fn end(&mut self, place: usize, end: usize, flags: u8) {
        let next = self.len() as u32;
        if let Some(node) = self.get_mut(place) {
            node.end = end as u32;
            node.next = next;
            node.flags = flags;
        }
    }

    fn add(&mut self, kind: Kind, start: usize, end: usize, flags: u8) {
        let next = self.len() as u32 + 1;
        self.push(Node { start: start as u32, end: end as u32, next, kind, flags });
    }

    fn forget_content(&mut self, place: usize) {
        self.truncate(place + 1);
    }
}

/// Values are checked alone.
struct Unindexed;

impl Index for Unindexed {
    fn begin(&mut self, _: Kind, _: usize) -> usize {
        0
    }

    fn end(&mut self, _: usize, _: usize, _: u8) {}

    fn add(&mut self, _: Kind, _: usize, _: usize, _: u8) {}

    fn forget_content(&mut self, _: usize) {}
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

/// What a step of the parser gives. The error is boxed so that the results of most steps fit into registers.
pub(super) type Parsed<T> = Result<T, Box<ParseError>>;

#[cold]
#[inline(never)]
fn wrong<T>(offset: usize, reason: &'static str) -> Parsed<T> {
    Err(Box::new(ParseError::at(offset, reason)))
}

/// A foreign key in a message: a hostile key must not make a hostile message.
pub(super) fn shown(key: &str) -> impl Iterator<Item = char> {
    key.chars().filter(|c| !c.is_control()).take(64)
}

impl ParseError {
    pub(super) fn at(offset: usize, reason: &'static str) -> Self {
        ParseError { offset, reason, path: String::new() }
    }

    fn inside_key(mut self: Box<Self>, key: &str) -> Box<Self> {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        let key: String = shown(key).collect();
        self.path = format!("{key}{separator}{}", self.path);
        self
    }

    fn inside_index(mut self: Box<Self>, index: usize) -> Box<Self> {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("[{index}]{separator}{}", self.path);
        self
    }
}

/// Where the parser is in the text.
pub(super) struct Parser<'a, I> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    strictness: Strictness,
    /// Objects and arrays from this level on are checked, and kept without what they hold.
    levels: usize,
    pub(super) index: I,
}

impl<'a, I: Index> Parser<'a, I> {
    /// At a byte of the text; the values from there on are kept down to that level.
    pub(super) fn new(text: &'a str, at: usize, strictness: Strictness, levels: usize, index: I) -> Self {
        Parser { text, bytes: text.as_bytes(), at, strictness, levels: levels.min(MAX_DEPTH), index }
    }

    /// One value and nothing else but white space.
    pub(super) fn whole_text(&mut self) -> Parsed<()> {
        self.next_mark();
        self.value(0)?;
        match self.next_mark() {
            None => Ok(()),
            Some(_) => wrong(self.at, "text after the value"),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next byte that is no white space.
    #[inline]
    fn next_mark(&mut self) -> Option<u8> {
        let mut at = self.at;
        let mark = loop {
            match self.bytes.get(at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => at += 1,
                mark => break mark.copied(),
            }
        };
        self.at = at;
        mark
    }

    /// The value that begins here, in so many objects and arrays. Returns the flags that it passes on to what holds it.
    #[inline(always)]
    pub(super) fn value(&mut self, depth: usize) -> Parsed<u8> {
        match self.peek() {
            Some(b'"') => self.string().map(|()| 0),
            other => self.other_value(other, depth),
        }
    }

    fn other_value(&mut self, first: Option<u8>, depth: usize) -> Parsed<u8> {
        match first {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b't') => self.literal("true", Kind::Bool),
            Some(b'f') => self.literal("false", Kind::Bool),
            Some(b'n') => self.literal("null", Kind::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => wrong(self.at, "expected a JSON value"),
            None => wrong(self.at, "the text ends where a value is expected"),
        }
    }

    fn literal(&mut self, word: &'static str, kind: Kind) -> Parsed<u8> {
        let (start, end) = (self.at, self.at + word.len());
        if self.bytes.get(start..end) != Some(word.as_bytes()) {
            return wrong(start, "expected a JSON value");
        }
        self.at = end;
        self.index.add(kind, start, end, 0);
        Ok(0)
    }

    fn digits(&mut self) -> Parsed<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { wrong(self.at, "expected a digit") } else { Ok(()) }
    }

    fn number(&mut self) -> Parsed<u8> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if let Some(b'0'..=b'9') = self.peek() {
                return wrong(self.at, "a number with a leading zero");
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
        // Fewer digits cannot make one.
        if self.at - start > 300 || exponent {
            let number = self.text.get(start..self.at).and_then(|text| text.parse::<f64>().ok());
            flags = if number.is_some_and(f64::is_finite) { 0 } else { HUGE_NUMBER };
        }
        self.index.add(Kind::Number, start, self.at, flags);
        Ok(flags)
    }

    #[inline(always)]
    fn string(&mut self) -> Parsed<()> {
        let start = self.at;
        let end = plain_end(self.bytes, start + 1);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            self.index.add(Kind::String, start, end + 1, 0);
            return Ok(());
        }
        self.escaped_string(start, end)
    }

    /// What is left of a string from the first byte on that does not stand for itself.
    fn escaped_string(&mut self, start: usize, at: usize) -> Parsed<()> {
        self.at = at;
        while self.peek() == Some(b'\\') {
            self.escape()?;
            self.at = plain_end(self.bytes, self.at);
        }
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.index.add(Kind::String, start, self.at, ESCAPED);
                Ok(())
            }
            Some(_) => wrong(self.at, "a control character that is not escaped"),
            None => wrong(self.at, "a string without an end"),
        }
    }

    fn escape(&mut self) -> Parsed<()> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                let unit = hex4(self.bytes, self.at + 1)
                    .ok_or_else(|| Box::new(ParseError::at(start, "\\u without four hexadecimal digits")))?;
                self.at += 5;
                let is_strict = matches!(self.strictness, Strictness::Options | Strictness::Configuration);
                if !is_strict || !(0xD800..=0xDFFF).contains(&unit) {
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
                    _ => wrong(start, "\\u with half a surrogate pair"),
                }
            }
            _ => wrong(start, "an unknown escape"),
        }
    }

    /// Checks an object or array that is kept without what it holds.
    fn without_content(&mut self, kind: Kind, depth: usize) -> Parsed<u8> {
        if depth >= MAX_DEPTH {
            return self.deep(kind);
        }
        let start = self.at;
        let mut parser = Parser::new(self.text, start, self.strictness, MAX_DEPTH, Unindexed);
        let flags = parser.value(depth)?;
        self.at = parser.at;
        self.index.add(kind, start, self.at, flags);
        Ok(flags)
    }

    /// Checks a value that is nested too deeply, without recursion; it is left as an empty one of its kind.
    fn deep(&mut self, kind: Kind) -> Parsed<u8> {
        if self.strictness != Strictness::Artifact {
            return wrong(self.at, "nested deeper than 127 levels");
        }
        let place = self.index.begin(kind, self.at);
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
                open.push(closing);
                if self.next_mark() != Some(closing) {
                    self.deep_key(closing)?;
                    continue;
                }
            }
            // A value has ended, or an empty one is about to.
            loop {
                self.index.forget_content(place);
                let mark = self.next_mark();
                let Some(closing) = open.last().copied() else {
                    self.index.end(place, self.at, TOO_DEEP);
                    return Ok(TOO_DEEP);
                };
                match mark {
                    Some(byte) if byte == closing => {
                        self.at += 1;
                        open.pop();
                        if open.is_empty() {
                            self.index.end(place, self.at, TOO_DEEP);
                            return Ok(TOO_DEEP);
                        }
                    }
                    Some(b',') => {
                        self.at += 1;
                        self.next_mark();
                        self.deep_key(closing)?;
                        break;
                    }
                    Some(_) => return wrong(self.at, "expected `,` or the end of the value"),
                    None => return wrong(self.at, "a value without an end"),
                }
            }
        }
    }

    /// In an object, the key and colon before the value.
    fn deep_key(&mut self, closing: u8) -> Parsed<()> {
        if closing == b'}' {
            self.key()?;
        }
        Ok(())
    }

    /// A key with its colon; returns where the key ends.
    fn key(&mut self) -> Parsed<usize> {
        if self.peek() != Some(b'"') {
            return wrong(self.at, "expected a key in double quotes");
        }
        self.string()?;
        let end = self.at;
        if self.next_mark() != Some(b':') {
            return wrong(self.at, "expected `:`");
        }
        self.at += 1;
        self.next_mark();
        Ok(end)
    }

    fn array(&mut self, depth: usize) -> Parsed<u8> {
        if depth >= self.levels {
            return self.without_content(Kind::Array, depth);
        }
        let place = self.index.begin(Kind::Array, self.at);
        let mut flags = 0;
        let mut count = 0;
        self.at += 1;
        if self.next_mark() == Some(b']') {
            return self.ended(place, flags);
        }
        loop {
            flags |= self.value(depth + 1).map_err(|error| error.inside_index(count))?;
            count += 1;
            match self.next_mark() {
                Some(b',') => self.at += 1,
                Some(b']') => return self.ended(place, flags),
                Some(_) => return wrong(self.at, "expected `,` or `]`"),
                None => return wrong(self.at, "an array without an end"),
            }
            self.next_mark();
        }
    }

    fn object(&mut self, depth: usize) -> Parsed<u8> {
        if depth >= self.levels {
            return self.without_content(Kind::Object, depth);
        }
        let place = self.index.begin(Kind::Object, self.at);
        let mut flags = 0;
        self.at += 1;
        if self.next_mark() == Some(b'}') {
            return self.ended(place, flags);
        }
        loop {
            let key = self.at;
            let key_end = self.key()?;
            if self.peek() == Some(b'n') {
                flags |= HAS_NULL_MEMBER;
            }
            let name = self.text.get(key + 1..key_end - 1).unwrap_or("");
            let strictness = self.strictness;
            if depth == 0 && strictness == Strictness::Configuration && PAYLOAD_KEYS.contains(&name) {
                self.strictness = Strictness::Artifact;
            }
            let inner = self.value(depth + 1);
            self.strictness = strictness;
            match inner {
                Ok(inner) => flags |= inner,
                Err(error) => return Err(error.inside_key(name)),
            }
            match self.next_mark() {
                Some(b',') => self.at += 1,
                Some(b'}') => return self.ended(place, flags),
                Some(_) => return wrong(self.at, "expected `,` or `}`"),
                None => return wrong(self.at, "an object without an end"),
            }
            self.next_mark();
        }
    }

    /// At the bracket that ends the object or array.
    fn ended(&mut self, place: usize, flags: u8) -> Parsed<u8> {
        self.at += 1;
        self.index.end(place, self.at, flags);
        Ok(flags)
    }
}
