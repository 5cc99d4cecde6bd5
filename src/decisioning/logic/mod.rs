//! JSON Logic: conditions compiled once, evaluated for every request, with JavaScript's loose comparisons.
//!
//! A [`Condition`] owns what it needs in a compact form and may be shared by threads. It asks [`Variables`] for what it
//! looks at and for nothing else. What real rules are made of (comparisons of a variable with a literal, `and`, `or`,
//! `in`, `substr`) evaluates without an allocation. Evaluation does no I/O but the `log` operator's line at debug, and
//! ends: depth is bounded when compiling, work by a budget of steps.

mod compile;
mod evaluate;
mod operators;
mod value;

#[cfg(test)]
mod tests;

pub(crate) use value::Val;

use self::compile::Node;
use self::evaluate::{Evaluation, Truth};
use self::value::Work;
use super::context::Slot;

/// A path of a variable, looked up once where it is a constant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VarPath {
    slot: Slot,
    /// Empty where the slot knows it: thousands of conditions ask for the same few.
    text: Box<str>,
}

impl VarPath {
    pub(crate) fn new(text: impl Into<Box<str>>) -> Self {
        let text = text.into();
        let slot = Slot::of(&text);
        VarPath { slot, text: if slot.path().is_none() { text } else { Box::default() } }
    }

    /// The path that a value stands for.
    fn of(value: &Val<'_>, work: &Work) -> Outcome<Self> {
        Ok(VarPath::new(value.text(work)?))
    }

    /// The dotted path as the condition has it, any text. An empty one is the name of a variable, not all of them.
    pub(crate) fn text(&self) -> &str {
        self.slot.path().unwrap_or(&self.text)
    }

    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }
}

/// What conditions may ask about.
pub(crate) trait Variables {
    /// The variable at a path; [`Val::Undefined`] when there is none. [`Val::walk`] follows a path into a value.
    fn var(&self, path: &VarPath) -> Val<'_>;

    /// The number that [`Variables::var`] answers, where it can be told without making a value of it.
    #[inline]
    fn number(&self, _: &VarPath) -> Option<f64> {
        None
    }

    /// The text, likewise.
    #[inline]
    fn text(&self, _: &VarPath) -> Option<&str> {
        None
    }

    /// All variables as one object, for conditions that ask for no path.
    fn whole(&self) -> Val<'_>;
}

/// Why a condition has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogicError {
    #[error("unknown operator `{0}`")]
    UnknownOperator(Box<str>),
    #[error("operator `{operator}`: {reason}")]
    Arguments { operator: &'static str, reason: &'static str },
    #[error("evaluation takes more than {} steps", value::MAX_STEPS)]
    TooMuchWork,
    #[error("evaluation makes lists or objects nested deeper than {} levels", value::MAX_NESTING)]
    TooDeep,
}

/// What a step of an evaluation gives. The error is boxed so that the results of most steps fit into registers.
type Outcome<T> = Result<T, Box<LogicError>>;

/// A compiled condition.
#[derive(Debug)]
pub(crate) struct Condition {
    root: Node,
}

impl Condition {
    /// Compiles a rule, or any other JSON value, which then is a constant. The error says why it is refused: nested too
    /// deep or too large. Operators that nobody knows are no reason; evaluation fails when it reaches one.
    pub(crate) fn compile(rule: crate::json::Value<'_>) -> Result<Condition, String> {
        Ok(Condition { root: compile::compile(rule)? })
    }

    /// Whether a rule with this condition applies: its value counts as JavaScript's `if` takes it, so an empty list
    /// is true here, although `and`, `or`, `if` and `!` take it for false.
    pub(crate) fn matches(&self, variables: &impl Variables) -> Result<bool, LogicError> {
        let truth = Evaluation::new(variables).truth(&self.root, None).map_err(|error| *error)?;
        Ok(truth != Truth::False)
    }

    /// The value itself.
    pub(crate) fn evaluate<'c>(&'c self, variables: &'c impl Variables) -> Result<Val<'c>, LogicError> {
        Evaluation::new(variables).value(&self.root, None).map_err(|error| *error)
    }
}
