//! JSON text as it crosses the ABI: a flat index over the caller's text, and the writing of new text.
//!
//! A call looks at a few members of its options and of the answer and passes the rest on. [`Document`]
//! therefore keeps spans of the text instead of values: what nobody looks at is copied once, digit for
//! digit, and never rebuilt. Typed models go through serde and do not come here.

mod document;
mod reader;
mod write;

pub(crate) use document::{Document, Kind, ParseError, Strictness, Value, string_content};
pub(crate) use reader::{Member, read_members};
pub(crate) use write::{ObjectWriter, write_escaped, write_integer, write_str};
