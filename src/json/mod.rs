//! JSON text as it crosses the ABI: a flat index over the caller's text, and the writing of new text.
//!
//! A call looks at a few members of its options and of the answer and passes the rest on. [`Document`]
//! therefore keeps spans of the text instead of values: what nobody looks at is copied once, digit for
//! digit, and never rebuilt. Typed models go through serde and do not come here.

mod document;
mod parser;
mod reader;
mod text;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use document::{Document, Value};
pub(crate) use parser::{Kind, ParseError, Strictness};
pub(crate) use reader::{Member, read_members};
pub(crate) use text::string_content;
pub(crate) use write::{ObjectWriter, write_escaped, write_integer, write_str, write_tree};
