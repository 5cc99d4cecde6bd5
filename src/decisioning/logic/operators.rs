//! The operators that take values and give one.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::compile::Node;
use super::evaluate::{Evaluation, Scope, or_null};
use super::value::{Shown, Val};
use super::{LogicError, Outcome, VarPath, Variables};
use crate::{javascript, log};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    /// `var` with a path that has to be made first.
    Variable,
    Missing,
    MissingSome,
    /// `<` with three arguments.
    Between,
    /// `<=` with three arguments.
    BetweenOrEqual,
    Substr,
    Cat,
    Merge,
    Log,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Min,
    Max,
}

impl Operator {
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"missing" => Operator::Missing,
            b"missing_some" => Operator::MissingSome,
            b"substr" => Operator::Substr,
            b"cat" => Operator::Cat,
            b"merge" => Operator::Merge,
            b"log" => Operator::Log,
            b"+" => Operator::Add,
            b"-" => Operator::Subtract,
            b"*" => Operator::Multiply,
            b"/" => Operator::Divide,
            b"%" => Operator::Modulo,
            b"min" => Operator::Min,
            b"max" => Operator::Max,
            _ => return None,
        })
    }

    /// How many arguments it takes; None for any number.
    pub(super) fn arguments(self) -> Option<usize> {
        match self {
            Operator::Log => Some(1),
            Operator::Variable | Operator::MissingSome => Some(2),
            Operator::Subtract | Operator::Divide | Operator::Modulo => Some(2),
            Operator::Between | Operator::BetweenOrEqual | Operator::Substr => Some(3),
            Operator::Missing | Operator::Cat | Operator::Merge => None,
            Operator::Add | Operator::Multiply | Operator::Min | Operator::Max => None,
        }
    }
}

impl<'c, V: Variables> Evaluation<'c, V> {
    pub(super) fn apply(&self, operator: Operator, nodes: &'c [Node], scope: Scope<'_, 'c>) -> Outcome<Val<'c>> {
        match operator {
            Operator::Substr => self.substr(nodes, scope),
            Operator::Cat => self.cat(nodes, scope),
            Operator::Merge => self.merge(nodes, scope),
            Operator::Missing => {
                let keys = self.arguments(nodes, scope)?;
                Ok(Val::list(self.missing(keys, scope)?))
            }
            Operator::MissingSome => self.missing_some(nodes, scope),
            Operator::Variable => {
                let path = self.argument(nodes, 0, scope)?;
                let default = self.argument(nodes, 1, scope)?;
                self.variable(&path, default, scope)
            }
            Operator::Log => {
                let value = self.argument(nodes, 0, scope)?;
                log::debug(format_args!("a condition's log: {}", Shown(&value)));
                Ok(value)
            }
            Operator::Between => Ok(Val::Bool(self.between(Ordering::is_lt, nodes, scope)?)),
            Operator::BetweenOrEqual => Ok(Val::Bool(self.between(Ordering::is_le, nodes, scope)?)),
            _ => self.arithmetic(operator, nodes, scope),
        }
    }

    #[inline]
    fn argument(&self, nodes: &'c [Node], index: usize, scope: Scope<'_, 'c>) -> Outcome<Val<'c>> {
        nodes.get(index).map_or(Ok(Val::Undefined), |node| self.operand(node, scope))
    }

    fn arguments(&self, nodes: &'c [Node], scope: Scope<'_, 'c>) -> Outcome<Vec<Val<'c>>> {
        nodes.iter().map(|node| self.value(node, scope)).collect()
    }

    #[inline(never)]
    fn between(&self, fits: fn(Ordering) -> bool, nodes: &'c [Node], scope: Scope<'_, 'c>) -> Outcome<bool> {
        let low = self.argument(nodes, 0, scope)?;
        let value = self.argument(nodes, 1, scope)?;
        let high = self.argument(nodes, 2, scope)?;
        Ok(low.order(&value, &self.work)?.is_some_and(fits) && value.order(&high, &self.work)?.is_some_and(fits))
    }

    #[inline(never)]
    fn variable(&self, path: &Val<'c>, default: Val<'c>, scope: Scope<'_, 'c>) -> Outcome<Val<'c>> {
        match path {
            Val::Undefined | Val::Null => return Ok(self.whole(scope)),
            Val::Text(text) if text.is_empty() => return Ok(self.whole(scope)),
            _ => {}
        }
        Ok(match self.look_up(&VarPath::of(path, &self.work)?, scope)? {
            Val::Undefined => or_null(default),
            found => found,
        })
    }

    /// Those of the keys whose variable is missing, null or an empty text. The first key may be the list of them all;
    /// a key may be a path with its default.
    #[inline(never)]
    fn missing(&self, mut keys: Vec<Val<'c>>, scope: Scope<'_, 'c>) -> Outcome<Vec<Val<'c>>> {
        if let Some(Val::List(list)) = keys.first() {
            self.work.charge(list.len())?;
            keys = list.iter().collect();
        }
        let mut missing = Vec::new();
        for key in keys {
            self.work.charge(1 + key.copying())?;
            let value = match &key {
                Val::List(pair) => {
                    let part = |index| pair.get(index).unwrap_or(Val::Undefined);
                    self.variable(&part(0), part(1), scope)?
                }
                path => self.variable(path, Val::Null, scope)?,
            };
            if matches!(&value, Val::Null) || matches!(&value, Val::Text(text) if text.is_empty()) {
                missing.push(key);
            }
        }
        Ok(missing)
    }

    #[inline(never)]
    fn missing_some(&self, nodes: &'c [Node], scope: Scope<'_, 'c>) -> Outcome<Val<'c>> {
        let needed = self.argument(nodes, 0, scope)?;
        let options = self.argument(nodes, 1, scope)?;
        let length = options.property("length");
        let keys = match options {
            Val::List(list) => {
                self.work.charge(list.len())?;
                list.iter().collect()
            }
            Val::Undefined | Val::Null => {
                return Err(
                    LogicError::Arguments { operator: "missing_some", reason: "expected a list of variables" }.into()
                );
            }
            single => vec![single],
        };
        let missing = self.missing(keys, scope)?;
        let present = Val::Number(length.number(&self.work)? - missing.len() as f64);
        let enough = present.order(&needed, &self.work)?.is_some_and(Ordering::is_ge);
        Ok(Val::list(if enough { Vec::new() } else { missing }))
    }

    #[inline(never)]
    fn cat(&self, nodes: &'c [Node], scope: Scope<'_, 'c>) -> Outcome<Val<'c>> {
        let mut out = String::new();
        for node in nodes {
            self.value(node, scope)?.push_joined(&mut out, &self.work)?;
        }
        Ok(Val::Text(Cow::Owned(out)))
    }

    #[inline(never)]
    fn merge(&self, nodes: &'c [Node], scope: Scope<'_, 'c>) -> Outcome<Val<'c>> {
        let mut items = Vec::with_capacity(nodes.len());
        for node in nodes {
            match self.value(node, scope)? {
                Val::List(list) => {
                    self.work.charge(list.len())?;
                    for element in self.elements(&list) {
                        items.push(element?);
                    }
                }
                value => items.push(value),
            }
        }
        self.made(Val::list(items))
    }

    /// A part of a text, by JavaScript's `substr`; with a negative length all but the last characters of it.
    #[inline(never)]
    fn substr(&self, nodes: &'c [Node], scope: Scope<'_, 'c>) -> Outcome<Val<'c>> {
        let source = self.argument(nodes, 0, scope)?;
        let start = self.argument(nodes, 1, scope)?.number(&self.work)?;
        let length = self.argument(nodes, 2, scope)?;
        let source = match source {
            Val::Text(text) => text,
            other => Cow::Owned(other.text(&self.work)?.into_owned()),
        };
        self.work.charge_text(source.len())?;

        let start =
            if start < 0.0 { javascript::length(&source).saturating_sub(start.abs() as usize) } else { start as usize };
        let end = match length {
            Val::Undefined => usize::MAX,
            length => {
                let number = length.number(&self.work)?;
                let taken = if number >= 0.0 || number.is_nan() {
                    number as usize
                } else if matches!(length, Val::Text(_) | Val::List(_) | Val::Object(_)) {
                    // JavaScript does not subtract a text: it appends it to what is there, which gives no number.
                    0
                } else {
                    let rest = javascript::length(&source).saturating_sub(start);
                    (rest as f64 + number).max(0.0) as usize
                };
                start.saturating_add(taken)
            }
        };
        Ok(Val::Text(match source {
            Cow::Borrowed(text) => javascript::slice(text, start, end),
            Cow::Owned(text) => Cow::Owned(javascript::slice(&text, start, end).into_owned()),
        }))
    }

    #[inline(never)]
    fn arithmetic(&self, operator: Operator, nodes: &'c [Node], scope: Scope<'_, 'c>) -> Outcome<Val<'c>> {
        let number = |index| self.argument(nodes, index, scope)?.number(&self.work);
        Ok(Val::Number(match operator {
            Operator::Subtract => match self.argument(nodes, 1, scope)? {
                Val::Undefined => -number(0)?,
                right => number(0)? - right.number(&self.work)?,
            },
            Operator::Divide => number(0)? / number(1)?,
            Operator::Modulo => number(0)? % number(1)?,
            Operator::Multiply => return self.product(nodes, scope),
            Operator::Min => {
                let mut least = f64::INFINITY;
                for index in 0..nodes.len() {
                    least = lesser(least, number(index)?);
                }
                least
            }
            Operator::Max => {
                let mut greatest = f64::NEG_INFINITY;
                for index in 0..nodes.len() {
                    greatest = -lesser(-greatest, -number(index)?);
                }
                greatest
            }
            _ => {
                let mut sum = 0.0;
                for node in nodes {
                    sum += self.value(node, scope)?.leading_number(&self.work)?;
                }
                sum
            }
        }))
    }

    /// One factor alone stays what it is.
    fn product(&self, nodes: &'c [Node], scope: Scope<'_, 'c>) -> Outcome<Val<'c>> {
        let mut factors = nodes.iter();
        let Some(first) = factors.next() else {
            return Err(LogicError::Arguments { operator: "*", reason: "expected a factor" }.into());
        };
        let mut product = self.value(first, scope)?;
        for factor in factors {
            let factor = self.value(factor, scope)?.leading_number(&self.work)?;
            product = Val::Number(product.leading_number(&self.work)? * factor);
        }
        Ok(product)
    }
}

/// `Math.min` of two: NaN wins, and zero has a sign.
fn lesser(left: f64, right: f64) -> f64 {
    if left.is_nan() || right.is_nan() {
        f64::NAN
    } else if left < right || (left == right && left.is_sign_negative()) {
        left
    } else {
        right
    }
}
