//! Writing of JSON text.

use super::text::plain_end;
use super::{Kind, Value};

/// Appends a string with its quotes.
pub(crate) fn write_str(out: &mut String, text: &str) {
    out.push('"');
    write_escaped(out, text);
    out.push('"');
}

/// Appends a value again: what is neither object nor array as `leaf` writes it.
pub(crate) fn write_tree(out: &mut String, value: Value<'_>, leaf: &dyn Fn(&mut String, Value<'_>)) {
    match value.kind() {
        Kind::Object => {
            let mut object = ObjectWriter::begin(out);
            for (key, member) in value.members() {
                write_tree(object.foreign_key(&key), member, leaf);
            }
            object.end();
        }
        Kind::Array => {
            out.push('[');
            for (at, element) in value.elements().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_tree(out, element, leaf);
            }
            out.push(']');
        }
        _ => leaf(out, value),
    }
}

/// Appends what stands between a string's quotes.
pub(crate) fn write_escaped(out: &mut String, text: &str) {
    let mut rest = text;
    loop {
        let plain = plain_end(rest.as_bytes(), 0);
        let (before, special) = rest.split_at_checked(plain).unwrap_or((rest, ""));
        out.push_str(before);
        let Some(byte) = special.bytes().next() else { break };
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => {
                out.push_str("\\u00");
                for digit in [control >> 4, control & 15] {
                    out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
                }
            }
        }
        rest = special.get(1..).unwrap_or("");
    }
}

/// Appends an integer.
pub(crate) fn write_integer(out: &mut String, value: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(value));
}

/// Appends a key that needs no escapes, and its colon.
fn write_key(out: &mut String, key: &str) {
    out.push('"');
    out.push_str(key);
    out.push_str("\":");
}

/// Writes the members of one object and sets the commas.
pub(crate) struct ObjectWriter<'o> {
    out: &'o mut String,
    first: bool,
}

impl<'o> ObjectWriter<'o> {
    pub(crate) fn begin(out: &'o mut String) -> Self {
        out.push('{');
        ObjectWriter { out, first: true }
    }

    /// Starts a member whose key is one of ours; the caller appends the value.
    pub(crate) fn key(&mut self, key: &'static str) -> &mut String {
        self.comma();
        write_key(self.out, key);
        self.out
    }

    /// Starts a member whose key came from outside.
    pub(crate) fn foreign_key(&mut self, key: &str) -> &mut String {
        self.comma();
        write_str(self.out, key);
        self.out.push(':');
        self.out
    }

    pub(crate) fn string(&mut self, key: &'static str, value: &str) {
        write_str(self.key(key), value);
    }

    /// A value that is JSON already.
    pub(crate) fn raw(&mut self, key: &'static str, json: &str) {
        self.key(key).push_str(json);
    }

    pub(crate) fn number(&mut self, key: &'static str, value: impl itoa::Integer) {
        write_integer(self.key(key), value);
    }

    /// The string, or null.
    pub(crate) fn optional_string(&mut self, key: &'static str, value: Option<&str>) {
        match value {
            Some(text) => self.string(key, text),
            None => self.raw(key, "null"),
        }
    }

    /// The integer, or null.
    pub(crate) fn optional_number(&mut self, key: &'static str, value: Option<impl itoa::Integer>) {
        match value {
            Some(number) => self.number(key, number),
            None => self.raw(key, "null"),
        }
    }

    pub(crate) fn boolean(&mut self, key: &'static str, value: bool) {
        self.raw(key, if value { "true" } else { "false" });
    }

    pub(crate) fn strings<S: AsRef<str>>(&mut self, key: &'static str, values: impl IntoIterator<Item = S>) {
        let out = self.key(key);
        out.push('[');
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            write_str(out, value.as_ref());
        }
        out.push(']');
    }

    pub(crate) fn end(self) {
        self.out.push('}');
    }

    fn comma(&mut self) {
        if !self.first {
            self.out.push(',');
        }
        self.first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_read_back_as_they_were() {
        let every: String = (0..0x300u32).filter_map(char::from_u32).chain("😀\u{2028}".chars()).collect();
        let mut text = String::new();
        write_str(&mut text, &every);
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), every);
    }

    #[test]
    fn objects_have_their_commas() {
        let mut text = String::new();
        let mut object = ObjectWriter::begin(&mut text);
        object.string("a", "x");
        object.number("b", 5);
        object.boolean("c", true);
        object.strings("d", ["1", "2"]);
        object.foreign_key("\"").push_str("null");
        object.end();
        assert_eq!(text, r#"{"a":"x","b":5,"c":true,"d":["1","2"],"\"":null}"#);
    }
}
