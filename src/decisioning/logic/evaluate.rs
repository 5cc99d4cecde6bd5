//! Evaluation of a compiled condition.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::compile::{Comparison, Contains, Each, Is, Loop, Node, Range, Relation};
use super::value::{List, Literal, MAX_NESTING, Val, Work};
use super::{LogicError, Outcome, VarPath, Variables};
use crate::javascript;

/// How a value counts where a condition decides by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    False,
    /// An empty list: false to JSON Logic, true to JavaScript.
    Empty,
    True,
}

impl Truth {
    #[inline]
    pub(super) fn of(value: &Val<'_>) -> Self {
        match value {
            Val::Undefined | Val::Null => Truth::False,
            Val::Bool(value) => Truth::from(*value),
            Val::Number(number) => Truth::from(*number != 0.0 && !number.is_nan()),
            Val::Text(text) => Truth::from(!text.is_empty()),
            Val::List(list) if list.len() == 0 => Truth::Empty,
            Val::List(_) | Val::Object(_) => Truth::True,
        }
    }
}

impl From<bool> for Truth {
    #[inline]
    fn from(value: bool) -> Self {
        if value { Truth::True } else { Truth::False }
    }
}

/// What variables are looked up in: the element that a list operator is at, or else the variables themselves.
pub(super) type Scope<'s, 'c> = Option<&'s Val<'c>>;

/// One evaluation.
pub(super) struct Evaluation<'c, V> {
    variables: &'c V,
    pub(super) work: Work,
}

impl<'c, V: Variables> Evaluation<'c, V> {
    #[inline]
    pub(super) fn new(variables: &'c V) -> Self {
        Evaluation { variables, work: Work::new() }
    }

    /// How the value counts. Most conditions never need the value itself.
    pub(super) fn truth(&self, node: &'c Node, scope: Scope<'_, 'c>) -> Outcome<Truth> {
        match node {
            Node::And(nodes) => self.last_truth(nodes, |truth| truth != Truth::True, scope),
            Node::Or(nodes) => self.last_truth(nodes, |truth| truth == Truth::True, scope),
            Node::Not(node) => Ok(Truth::from(self.truth(node, scope)? != Truth::True)),
            Node::Truthy(node) => Ok(Truth::from(self.truth(node, scope)? == Truth::True)),
            simple => self.simple_truth(simple, scope),
        }
    }

    /// How the last value counts that `and` or `or` looks at.
    #[inline]
    fn last_truth(&self, nodes: &'c [Node], decides: impl Fn(Truth) -> bool, scope: Scope<'_, 'c>) -> Outcome<Truth> {
        let mut last = Truth::False;
        for node in nodes {
            last = match node {
                Node::And(_) | Node::Or(_) | Node::Not(_) | Node::Truthy(_) => self.truth(node, scope)?,
                // Most are of this kind, and ask what they ask without another round.
                simple => self.simple_truth(simple, scope)?,
            };
            if decides(last) {
                break;
            }
        }
        Ok(last)
    }

    #[inline(always)]
    fn simple_truth(&self, node: &'c Node, scope: Scope<'_, 'c>) -> Outcome<Truth> {
        match node {
            Node::Within(range) => self.within(range, scope).map(Truth::from),
            Node::Is(is) => self.is(is, scope).map(Truth::from),
            Node::Contains(contains) => self.contains(contains, scope).map(Truth::from),
            Node::Compare(comparison) => self.compare(comparison, scope).map(Truth::from),
            Node::In(pair) => self.is_in(pair, scope).map(Truth::from),
            Node::Constant(literal) => Ok(Truth::of(&literal.value())),
            Node::Variable(path) => self.truth_of_variable(path, scope),
            _ => self.truth_of_value(node, scope),
        }
    }

    #[inline(never)]
    fn truth_of_variable(&self, path: &'c VarPath, scope: Scope<'_, 'c>) -> Outcome<Truth> {
        Ok(Truth::of(&self.look_up(path, scope)?))
    }

    #[inline(never)]
    fn truth_of_value(&self, node: &'c Node, scope: Scope<'_, 'c>) -> Outcome<Truth> {
        match node {
            Node::If(nodes) => self.branch(nodes, scope)?.map_or(Ok(Truth::False), |node| self.truth(node, scope)),
            _ => Ok(Truth::of(&self.value(node, scope)?)),
        }
    }

    pub(super) fn value(&self, node: &'c Node, scope: Scope<'_, 'c>) -> Outcome<Val<'c>> {
        match node {
            Node::Undefined => Ok(Val::Undefined),
            Node::Constant(literal) => Ok(literal.value()),
            Node::Variable(path) => Ok(or_null(self.look_up(path, scope)?)),
            Node::Apply(operator, nodes) => self.apply(*operator, nodes, scope),
            Node::And(nodes) => self.first_of(Truth::False, nodes, scope),
            Node::Or(nodes) => self.first_of(Truth::True, nodes, scope),
            Node::Each(each) => self.each(each, scope),
            Node::Unknown(name) => Err(unknown(name)),
            Node::Whole | Node::VariableOr(_) | Node::If(_) | Node::List(_) | Node::After(_) => {
                self.other_value(node, scope)
            }
            _ => Ok(Val::Bool(self.truth(node, scope)? == Truth::True)),
        }
    }

    #[inline(never)]
    fn other_value(&self, node: &'c Node, scope: Scope<'_, 'c>) -> Outcome<Val<'c>> {
        match node {
            Node::If(nodes) => self.branch(nodes, scope)?.map_or(Ok(Val::Null), |node| self.value(node, scope)),
            Node::VariableOr(variable) => {
                let (path, default) = &**variable;
                let default = self.value(default, scope)?;
                Ok(match self.look_up(path, scope)? {
                    Val::Undefined => or_null(default),
                    found => found,
                })
            }
            Node::List(nodes) => {
                let items = nodes.iter().map(|node| self.value(node, scope)).collect::<Result<_, _>>()?;
                self.made(Val::list(items))
            }
            Node::After(after) => {
                let (ignored, node) = &**after;
                for node in ignored {
                    self.value(node, scope)?;
                }
                self.value(node, scope)
            }
            _ => Ok(self.whole(scope)),
        }
    }

    /// An operand, without the way through [`Evaluation::value`] where it is what most operands are.
    #[inline]
    pub(super) fn operand(&self, node: &'c Node, scope: Scope<'_, 'c>) -> Outcome<Val<'c>> {
        match node {
            Node::Constant(literal) => Ok(literal.value()),
            Node::Variable(path) if scope.is_none() => Ok(or_null(self.variables.var(path))),
            _ => self.value(node, scope),
        }
    }

    /// The variable at a path, or undefined.
    #[inline]
    pub(super) fn look_up(&self, path: &VarPath, scope: Scope<'_, 'c>) -> Outcome<Val<'c>> {
        match scope {
            None => Ok(self.variables.var(path)),
            Some(element) => self.walk(element, path.text()),
        }
    }

    #[inline(never)]
    fn walk(&self, element: &Val<'c>, path: &str) -> Outcome<Val<'c>> {
        let mut found: Option<Val<'c>> = None;
        for key in path.split('.') {
            let holder = found.as_ref().unwrap_or(element);
            if let Val::Object(object) = holder {
                self.work.charge(object.len() / 8)?;
            }
            if let Val::Text(text) = holder {
                self.work.charge_text(text.len())?;
            }
            let value = holder.property(key);
            self.work.charge(value.copying())?;
            found = Some(value);
        }
        Ok(found.unwrap_or(Val::Undefined))
    }

    pub(super) fn whole(&self, scope: Scope<'_, 'c>) -> Val<'c> {
        scope.map_or_else(|| self.variables.whole(), Val::clone)
    }

    /// A value that was put together, if it is not nested too deep.
    pub(super) fn made(&self, value: Val<'c>) -> Outcome<Val<'c>> {
        if value.depth() > MAX_NESTING {
            return Err(LogicError::TooDeep.into());
        }
        Ok(value)
    }

    /// The first value that counts as `sought`, else the last one.
    fn first_of(&self, sought: Truth, nodes: &'c [Node], scope: Scope<'_, 'c>) -> Outcome<Val<'c>> {
        let mut last = Val::Undefined;
        for node in nodes {
            last = self.value(node, scope)?;
            if (Truth::of(&last) == Truth::True) == (sought == Truth::True) {
                break;
            }
        }
        Ok(last)
    }

    /// The branch of an `if` that is taken: conditions and branches in turn, then what else holds.
    fn branch(&self, nodes: &'c [Node], scope: Scope<'_, 'c>) -> Outcome<Option<&'c Node>> {
        for pair in nodes.chunks(2) {
            match pair {
                [condition, branch] if self.truth(condition, scope)? == Truth::True => return Ok(Some(branch)),
                [otherwise] => return Ok(Some(otherwise)),
                _ => {}
            }
        }
        Ok(None)
    }

    #[inline(never)]
    fn within(&self, range: &'c Range, scope: Scope<'_, 'c>) -> Outcome<bool> {
        if scope.is_none()
            && let Some(number) = self.variables.number(&range.path)
        {
            return Ok(range.bounds.has(number));
        }
        Ok(range.bounds.has(or_null(self.look_up(&range.path, scope)?).number(&self.work)?))
    }

    #[inline(never)]
    fn is(&self, is: &'c Is, scope: Scope<'_, 'c>) -> Outcome<bool> {
        if scope.is_none()
            && let Some(text) = self.variables.text(&is.path)
        {
            return Ok((*text == *is.text) == is.expected);
        }
        let equal = match self.look_up(&is.path, scope)? {
            Val::Text(text) => *text == *is.text,
            _ if is.strictly => false,
            Val::Number(number) => number == is.number,
            other => or_null(other).loosely_equals(&Val::Text(Cow::Borrowed(&is.text)), &self.work)?,
        };
        Ok(equal == is.expected)
    }

    #[inline(never)]
    fn compare(&self, comparison: &'c Comparison, scope: Scope<'_, 'c>) -> Outcome<bool> {
        let left = self.operand(&comparison.left, scope)?;
        let right = self.operand(&comparison.right, scope)?;
        match comparison.relation {
            Relation::Equal => left.loosely_equals(&right, &self.work),
            Relation::NotEqual => Ok(!left.loosely_equals(&right, &self.work)?),
            Relation::StrictlyEqual => Ok(left.strictly_equals(&right)),
            Relation::StrictlyNotEqual => Ok(!left.strictly_equals(&right)),
            Relation::Less => Ok(left.order(&right, &self.work)? == Some(Ordering::Less)),
            Relation::LessOrEqual => Ok(left.order(&right, &self.work)?.is_some_and(Ordering::is_le)),
            Relation::Greater => Ok(left.order(&right, &self.work)? == Some(Ordering::Greater)),
            Relation::GreaterOrEqual => Ok(left.order(&right, &self.work)?.is_some_and(Ordering::is_ge)),
        }
    }

    #[inline(never)]
    fn contains(&self, contains: &'c Contains, scope: Scope<'_, 'c>) -> Outcome<bool> {
        if scope.is_none()
            && let Some(text) = self.variables.text(&contains.path)
        {
            return self.has_part(text, &contains.part);
        }
        match self.look_up(&contains.path, scope)? {
            Val::Text(text) => self.has_part(&text, &contains.part),
            Val::List(list) => {
                self.work.charge(list.len() / 8)?;
                Ok(list.has(&Val::Text(Cow::Borrowed(&contains.part))))
            }
            _ => Ok(false),
        }
    }

    /// By `in`, in whose eyes nothing is in an empty text.
    fn has_part(&self, text: &str, part: &str) -> Outcome<bool> {
        if text.is_empty() {
            return Ok(false);
        }
        self.work.charge_text(text.len())?;
        self.work.charge_text(part.len())?;
        Ok(javascript::contains(text, part))
    }

    #[inline(never)]
    fn is_in(&self, pair: &'c [Node; 2], scope: Scope<'_, 'c>) -> Outcome<bool> {
        let [part, whole] = pair;
        let part = self.operand(part, scope)?;
        if let Node::Constant(Literal::List(items)) = whole {
            self.work.charge(items.len() / 8)?;
            return Ok(List::Literal(items).has(&part));
        }
        match self.operand(whole, scope)? {
            Val::List(list) => {
                self.work.charge(list.len() / 8)?;
                Ok(list.has(&part))
            }
            Val::Text(text) if !text.is_empty() => {
                self.work.charge_text(text.len())?;
                Ok(javascript::contains(&text, &part.text(&self.work)?))
            }
            _ => Ok(false),
        }
    }

    #[inline(never)]
    fn each(&self, each: &'c Each, scope: Scope<'_, 'c>) -> Outcome<Val<'c>> {
        let list = match self.value(&each.list, scope)? {
            Val::List(list) => list,
            // What is no list has no elements.
            _ => List::Literal(&[]),
        };
        let initial = or_null(self.value(&each.initial, scope)?);
        self.work.charge(list.len().saturating_mul(each.cost))?;
        let body_is_true = |element: &Val<'c>| self.truth(&each.body, Some(element)).map(|truth| truth == Truth::True);
        match each.kind {
            Loop::Map => {
                let mut items = Vec::with_capacity(list.len());
                for element in self.elements(&list) {
                    items.push(self.value(&each.body, Some(&element?))?);
                }
                self.made(Val::list(items))
            }
            Loop::Filter => {
                let mut items = Vec::new();
                for element in self.elements(&list) {
                    let element = element?;
                    if body_is_true(&element)? {
                        items.push(element);
                    }
                }
                self.made(Val::list(items))
            }
            Loop::All | Loop::None | Loop::Some => {
                // The first element that decides is the last one looked at.
                let sought = each.kind != Loop::All;
                let mut found = false;
                for element in self.elements(&list) {
                    found = body_is_true(&element?)? == sought;
                    if found {
                        break;
                    }
                }
                Ok(Val::Bool(match each.kind {
                    Loop::Some => found,
                    Loop::None => !found,
                    _ => !found && list.len() > 0,
                }))
            }
            Loop::Reduce => {
                let mut accumulator = initial;
                for element in self.elements(&list) {
                    let members =
                        vec![(Cow::Borrowed("current"), element?), (Cow::Borrowed("accumulator"), accumulator)];
                    let element = self.made(Val::object(members))?;
                    accumulator = self.value(&each.body, Some(&element))?;
                }
                Ok(accumulator)
            }
        }
    }

    pub(super) fn elements<'l>(&'l self, list: &'l List<'c>) -> impl Iterator<Item = Outcome<Val<'c>>> + 'l {
        list.iter().map(|element| self.work.charge(element.copying()).map(|()| element))
    }
}

#[cold]
fn unknown(name: &str) -> Box<LogicError> {
    LogicError::UnknownOperator(name.into()).into()
}

/// What a variable that is missing counts as.
#[inline]
pub(super) fn or_null(value: Val<'_>) -> Val<'_> {
    match value {
        Val::Undefined => Val::Null,
        value => value,
    }
}
