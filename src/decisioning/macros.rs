//! Macros in offers: `${offer.id}`, `${mbox.name}`. What a rule's own meta answers is put in when the artifact is
//! compiled; what depends on the request is left as a gap in the offer's text.

use std::borrow::Cow;

use super::parameters::Parameters;
use super::rules::{Piece, Texts};
use crate::javascript;
use crate::json::{Kind, Value, write_escaped};

/// What a request may fill into the gaps of one offer, in bytes.
const MAX_FILLED: usize = 4 * 1024 * 1024;

/// Whether a text may hold a macro at all.
pub(super) fn may_hold(text: &str) -> bool {
    text.contains("${")
}

/// Writes a text as the inside of a JSON string and cuts it at the macros that only a request can answer. What is
/// written stays at the end of `texts`, from `start` on, for the caller to go on with; returns the new start.
pub(super) fn compile(
    content: &str,
    meta: Value<'_>,
    texts: &mut Texts,
    mut start: u32,
    pieces: &mut Vec<Piece>,
) -> u32 {
    let mut rest = content;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        write_escaped(texts.out(), before);
        let inner = from.get(2..).unwrap_or("");
        let length = inner.bytes().position(|b| !(b.is_ascii_alphanumeric() || b == b'_' || b == b'.'));
        let Some(length) = length.filter(|length| inner.as_bytes().get(*length) == Some(&b'}')) else {
            // Not closed, or closed after something else: text like any other, up to the next candidate.
            texts.out().push_str("${");
            rest = inner;
            continue;
        };
        if !texts.may_have_macro() {
            return start;
        }
        let written = inner.get(..length).unwrap_or("");
        let key = key_of(written);
        match meta.get(&key) {
            Some(value) if texts.may_add(value.raw().len()) => write_escaped(texts.out(), &text_of(value)),
            Some(_) => return start,
            None => {
                pieces.push(Piece::Text(texts.since(start)));
                let key = texts.add(|out| out.push_str(&key));
                let written = texts.add(|out| {
                    out.push_str("${");
                    out.push_str(written);
                    out.push('}');
                });
                pieces.push(Piece::Macro { key, written });
                start = texts.end();
            }
        }
        rest = inner.get(length + 1..).unwrap_or("");
    }
    write_escaped(texts.out(), rest);
    start
}

/// What a macro reads: `campaign` is an activity, `recipe` an experience, the last two parts count, and `mbox` says
/// nothing more.
fn key_of(written: &str) -> Cow<'_, str> {
    let mut parts = written.rsplit('.');
    let last = renamed(parts.next().unwrap_or(""));
    match (parts.next().map(renamed), last) {
        (None | Some("mbox"), "mbox") => Cow::Borrowed(""),
        (None | Some("mbox"), last) => Cow::Borrowed(last),
        (Some(first), "mbox") => Cow::Borrowed(first),
        (Some(first), last) => Cow::Owned(format!("{first}.{last}")),
    }
}

fn renamed(part: &str) -> &str {
    match part {
        "campaign" => "activity",
        "recipe" => "experience",
        other => other,
    }
}

/// A value as JavaScript writes it into a text.
pub(super) fn text_of(value: Value<'_>) -> Cow<'_, str> {
    match value.kind() {
        Kind::String => value.as_str().unwrap_or_default(),
        Kind::Number => {
            let mut text = String::new();
            javascript::push_number(&mut text, value.raw().parse().unwrap_or(f64::NAN));
            Cow::Owned(text)
        }
        Kind::Null | Kind::Bool => Cow::Borrowed(value.raw()),
        Kind::Object => Cow::Borrowed("[object Object]"),
        Kind::Array => {
            let mut joined = String::new();
            for (at, element) in value.elements().enumerate() {
                if at > 0 {
                    joined.push(',');
                }
                if !element.is_null() {
                    joined.push_str(&text_of(element));
                }
            }
            Cow::Owned(joined)
        }
    }
}

/// What a macro can ask of a request: the members of the mbox, view or page load, then its parameters.
pub(super) struct MacroValues<'d> {
    pub name: Option<&'d str>,
    pub index: Option<i64>,
    pub detail: Option<Value<'d>>,
    pub parameters: Parameters<'d>,
}

impl MacroValues<'_> {
    fn value(&self, key: &str) -> Option<Cow<'_, str>> {
        if key == "name"
            && let Some(name) = self.name
        {
            return Some(Cow::Borrowed(name));
        }
        if key == "index"
            && let Some(index) = self.index
        {
            return Some(Cow::Owned(index.to_string()));
        }
        let own = self.detail.and_then(|detail| detail.get(key)).filter(|value| !value.is_null());
        own.map(text_of).or_else(|| self.parameters.macro_text(key))
    }

    /// Writes pieces with their gaps filled; a macro that nothing answers stays as it was, and so do those after
    /// [`MAX_FILLED`] bytes.
    pub(super) fn write(&self, out: &mut String, texts: &str, pieces: &[Piece]) {
        let mut room = MAX_FILLED;
        for piece in pieces {
            match piece {
                Piece::Text(span) => out.push_str(span.of(texts)),
                Piece::Macro { key, written } => match self.value(key.of(texts)) {
                    Some(value) if value.len() <= room => {
                        room -= value.len();
                        write_escaped(out, &value);
                    }
                    _ => out.push_str(written.of(texts)),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Document, Strictness};

    #[test]
    fn the_last_two_parts_count_in_the_fields_other_words() {
        for (written, key) in [
            ("offer.id", "offer.id"),
            ("campaign.name", "activity.name"),
            ("campaign.recipe.id", "experience.id"),
            ("activity.experience.name", "experience.name"),
            ("mbox.name", "name"),
            ("mbox", ""),
            ("mbox.mbox", ""),
            ("name", "name"),
            ("a.b.c", "b.c"),
            ("", ""),
            (".a", ".a"),
            ("a.", "a."),
        ] {
            assert_eq!(key_of(written), key, "{written}");
        }
    }

    /// The offer's text for that meta and that mbox, as the inside of a JSON string.
    fn filled(content: &str, detail: &str) -> String {
        let meta = Document::parse(r#"{"offer.id":7,"offer.name":"a \"b\""}"#, Strictness::Artifact).unwrap();
        let detail = Document::parse(detail, Strictness::Options).unwrap();
        let mut texts = Texts::new(0);
        let mut pieces = Vec::new();
        let start = compile(content, meta.root(), &mut texts, 0, &mut pieces);
        pieces.push(Piece::Text(texts.since(start)));
        let detail = Some(detail.root());
        let values = MacroValues { name: Some("m"), index: Some(3), detail, parameters: Parameters::of(detail) };
        let mut out = String::new();
        values.write(&mut out, &texts.into_text(), &pieces);
        out
    }

    #[test]
    fn gaps_are_filled_by_the_request_and_the_rest_when_compiled() {
        let mbox = r#"{"key":"k","parameters":{"p":"$& \"","n":1.50,"l":[1,null,[2]],"o":{},"z":null}}"#;
        for (content, expected) in [
            ("${offer.id}|${offer.name}", r#"7|a \"b\""#),
            ("<${mbox.name}, ${index}, ${key}>", "<m, 3, k>"),
            ("${p}", r#"$& \""#),
            ("${mbox.n}${l}${o}${z}", "1.51,,2[object Object]null"),
            ("${nope} ${offer.nope}", "${nope} ${offer.nope}"),
            ("${p", "${p"),
            ("${ p }${${p}", r#"${ p }${$& \""#),
            ("\n\"\\", r#"\n\"\\"#),
        ] {
            assert_eq!(filled(content, mbox), expected, "{content}");
        }
    }
}
