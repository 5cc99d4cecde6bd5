//! stub
use std::borrow::Cow;
use super::context::Slot;
use crate::json::Value;
#[derive(Debug, Clone)]
pub(crate) enum Val<'a> { Undefined, Null, Bool(bool), Number(f64), Text(Cow<'a, str>) }
impl Val<'_> {
    pub(crate) fn owned(_v: Value<'_>) -> Val<'static> { Val::Null }
    pub(crate) fn at_path(&self, _p: &str) -> Val<'_> { Val::Null }
}
pub(crate) struct VarPath { text: Box<str>, slot: Slot }
impl VarPath { pub(crate) fn text(&self) -> &str { &self.text } pub(crate) fn slot(&self) -> Slot { self.slot } }
pub(crate) trait Variables { fn var(&self, path: &VarPath) -> Val<'_>; fn whole(&self) -> Val<'_>; }
#[derive(Debug)]
pub(crate) struct Condition;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub(crate) struct LogicError;
impl Condition {
    pub(crate) fn compile(_v: Value<'_>) -> Result<Condition, String> { Ok(Condition) }
    pub(crate) fn matches(&self, _v: &impl Variables) -> Result<bool, LogicError> { Ok(true) }
}
