//! From a rule's JSON to the tree that is evaluated.

use std::borrow::Cow;

use super::VarPath;
use super::operators::Operator;
use super::value::{Literal, Work, number_of, text_of};
use crate::javascript;
use crate::json::{Kind, Value};

/// Levels of JSON in a condition. What people and the API's own tools write has a dozen.
pub(super) const MAX_LEVELS: usize = 100;

/// Values in a condition, names of operators not counted.
pub(super) const MAX_VALUES: usize = 1_000_000;

/// How much of an unknown operator's name an error shows, in characters.
const SHOWN_NAME: usize = 64;

/// One step of a condition.
#[derive(Debug, PartialEq)]
pub(super) enum Node {
    /// An argument that was not given.
    Undefined,
    Constant(Literal),
    /// All variables; in a list operator, the element.
    Whole,
    Variable(VarPath),
    VariableOr(Box<(VarPath, Node)>),
    List(Box<[Node]>),
    And(Box<[Node]>),
    Or(Box<[Node]>),
    If(Box<[Node]>),
    Not(Box<Node>),
    Truthy(Box<Node>),
    Compare(Box<Comparison>),
    Is(Box<Is>),
    Within(Box<Range>),
    In(Box<[Node; 2]>),
    Each(Box<Each>),
    Apply(Operator, Box<[Node]>),
    /// The node's value, after that of arguments that its operator ignores: they may fail, or log.
    After(Box<(Box<[Node]>, Node)>),
    Unknown(Box<str>),
}

/// What the name of an operator stands for.
enum Word {
    Variable,
    And,
    Or,
    If,
    Not,
    Truthy,
    In,
    Relation(Relation),
    Each(Loop),
    Operator(Operator),
}

/// Which comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    StrictlyEqual,
    StrictlyNotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, PartialEq)]
pub(super) struct Comparison {
    pub relation: Relation,
    pub left: Node,
    pub right: Node,
}

/// Whether a variable is a text, by `==` or `===`: what most real conditions ask.
#[derive(Debug, PartialEq)]
pub(super) struct Is {
    pub path: VarPath,
    pub text: Box<str>,
    /// The text as a number, for variables that are numbers.
    pub number: f64,
    pub strictly: bool,
    pub expected: bool,
}

/// Whether a variable, as a number, is not below the low and not above the high bound.
#[derive(Debug, PartialEq)]
pub(super) struct Range {
    pub path: VarPath,
    pub bounds: Bounds,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    pub low: f64,
    pub high: f64,
}

/// Which operator over the elements of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loop {
    Map,
    Filter,
    All,
    None,
    Some,
    Reduce,
}

#[derive(Debug, PartialEq)]
pub(super) struct Each {
    pub kind: Loop,
    pub list: Node,
    pub body: Node,
    /// Where `reduce` begins.
    pub initial: Node,
    /// What the body is charged for each element.
    pub cost: usize,
}

pub(super) fn compile(rule: Value<'_>) -> Result<Node, String> {
    Compiler { values: 0 }.node(rule, 0)
}

struct Compiler {
    values: usize,
}

impl Compiler {
    fn enter(&mut self, level: usize) -> Result<(), String> {
        self.values += 1;
        if level > MAX_LEVELS {
            return Err(format!("the condition is nested deeper than {MAX_LEVELS} levels"));
        }
        if self.values > MAX_VALUES {
            return Err(format!("the condition has more than {MAX_VALUES} values"));
        }
        Ok(())
    }

    fn node(&mut self, value: Value<'_>, level: usize) -> Result<Node, String> {
        match value.kind() {
            Kind::Array => {
                self.enter(level)?;
                let nodes = self.nodes(value, level + 1)?;
                Ok(match constants(nodes) {
                    Ok(items) => Node::Constant(Literal::List(items)),
                    Err(nodes) => Node::List(nodes.into_boxed_slice()),
                })
            }
            Kind::Object => match only_member(value) {
                Some((name, arguments)) => {
                    self.enter(level)?;
                    self.operator(&name, arguments, level + 1)
                }
                // An object of no or several members is a value, and what is in it is no rule.
                None => self.literal(value, level).map(Node::Constant),
            },
            _ => self.literal(value, level).map(Node::Constant),
        }
    }

    fn nodes(&mut self, array: Value<'_>, level: usize) -> Result<Vec<Node>, String> {
        let mut nodes = Vec::with_capacity(array.elements().count());
        for element in array.elements() {
            nodes.push(self.node(element, level)?);
        }
        Ok(nodes)
    }

    /// All arguments of an operator. One that is no list stands for the list of it alone.
    fn arguments(&mut self, arguments: Value<'_>, level: usize) -> Result<Vec<Node>, String> {
        match arguments.kind() {
            Kind::Array => self.nodes(arguments, level + 1),
            _ => Ok(vec![self.node(arguments, level)?]),
        }
    }

    /// The first arguments of an operator, undefined where they are missing, and the ignored ones behind them.
    fn first<const N: usize>(&mut self, arguments: Value<'_>, level: usize) -> Result<([Node; N], Vec<Node>), String> {
        let (single, level) = match arguments.kind() {
            Kind::Array => (None, level + 1),
            _ => (Some(arguments), level),
        };
        let mut first = std::array::from_fn(|_| Node::Undefined);
        let mut ignored = Vec::new();
        for (at, argument) in single.into_iter().chain(arguments.elements()).enumerate() {
            let node = self.node(argument, level)?;
            match first.get_mut(at) {
                Some(place) => *place = node,
                None => ignored.push(node),
            }
        }
        Ok((first, ignored))
    }

    fn literal(&mut self, value: Value<'_>, level: usize) -> Result<Literal, String> {
        self.enter(level)?;
        Ok(match value.kind() {
            Kind::Null => Literal::Null,
            Kind::Bool => Literal::Bool(value.as_bool() == Some(true)),
            Kind::Number => Literal::Number(number_of(value)),
            Kind::String => Literal::Text(text_of(value).into()),
            Kind::Array => {
                Literal::List(value.elements().map(|item| self.literal(item, level + 1)).collect::<Result<_, _>>()?)
            }
            Kind::Object => {
                let members = value.members().map(|(name, value)| Ok((name.into(), self.literal(value, level + 1)?)));
                Literal::Object(members.collect::<Result<_, String>>()?)
            }
        })
    }

    fn operator(&mut self, name: &str, arguments: Value<'_>, level: usize) -> Result<Node, String> {
        let Some(word) = Word::of(name) else {
            // They are of no use, but bounded like all others.
            self.arguments(arguments, level)?;
            let shown = name.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).take(SHOWN_NAME);
            return Ok(Node::Unknown(shown.collect::<String>().into()));
        };
        Ok(match word {
            Word::Variable => {
                let ([path, default], ignored) = self.first(arguments, level)?;
                after(ignored, variable(path, default))
            }
            Word::Relation(relation @ (Relation::Less | Relation::LessOrEqual)) => {
                let (values, ignored) = self.first(arguments, level)?;
                after(ignored, in_order(relation, values))
            }
            Word::Relation(relation) => {
                let ([left, right], ignored) = self.first(arguments, level)?;
                after(ignored, comparison(relation, left, right))
            }
            Word::And => conjunction(self.arguments(arguments, level)?),
            Word::Or => Node::Or(self.arguments(arguments, level)?.into_boxed_slice()),
            Word::If => Node::If(self.arguments(arguments, level)?.into_boxed_slice()),
            Word::Not => {
                let ([operand], ignored) = self.first(arguments, level)?;
                after(ignored, Node::Not(Box::new(operand)))
            }
            Word::Truthy => {
                let ([operand], ignored) = self.first(arguments, level)?;
                after(ignored, Node::Truthy(Box::new(operand)))
            }
            Word::In => {
                let (pair, ignored) = self.first(arguments, level)?;
                after(ignored, Node::In(Box::new(pair)))
            }
            Word::Each(kind) => self.each(kind, arguments, level)?,
            Word::Operator(operator) => {
                let mut nodes = self.arguments(arguments, level)?;
                let taken = operator.arguments().unwrap_or(usize::MAX).min(nodes.len());
                let ignored = nodes.split_off(taken);
                after(ignored, operation(operator, nodes))
            }
        })
    }

    /// The operators whose second argument is evaluated for each element.
    fn each(&mut self, kind: Loop, arguments: Value<'_>, level: usize) -> Result<Node, String> {
        let mut elements = arguments.elements();
        let (list, body, initial, level) = match arguments.kind() {
            Kind::Array => (elements.next(), elements.next(), elements.next(), level + 1),
            _ => (Some(arguments), None, None, level),
        };
        let mut node = |value: Option<Value<'_>>| value.map_or(Ok(Node::Undefined), |value| self.node(value, level));
        let list = node(list)?;
        let initial = if kind == Loop::Reduce { node(initial)? } else { Node::Undefined };
        let before = self.values;
        let body = body.map_or(Ok(Node::Undefined), |body| self.node(body, level))?;
        Ok(Node::Each(Box::new(Each { kind, list, body, initial, cost: 1 + self.values - before })))
    }
}

/// Name and value of an object's only member. One that was given twice is one, and the last counts.
fn only_member(object: Value<'_>) -> Option<(Cow<'_, str>, Value<'_>)> {
    let mut members = object.members();
    let mut only = members.next()?;
    for member in members {
        if member.0 != only.0 {
            return None;
        }
        only = member;
    }
    Some(only)
}

/// The constants that these are, if they all are.
fn constants(nodes: Vec<Node>) -> Result<Box<[Literal]>, Vec<Node>> {
    if !nodes.iter().all(|node| matches!(node, Node::Constant(_))) {
        return Err(nodes);
    }
    let literal = |node| if let Node::Constant(literal) = node { Some(literal) } else { None };
    Ok(nodes.into_iter().filter_map(literal).collect())
}

/// The node after the ignored arguments that are more than constants.
fn after(mut ignored: Vec<Node>, node: Node) -> Node {
    ignored.retain(|node| !matches!(node, Node::Undefined | Node::Constant(_)));
    if ignored.is_empty() { node } else { Node::After(Box::new((ignored.into_boxed_slice(), node))) }
}

fn operation(operator: Operator, nodes: Vec<Node>) -> Node {
    Node::Apply(operator, nodes.into_boxed_slice())
}

/// `<` or `<=` of three values, or of two.
fn in_order(relation: Relation, [low, value, high]: [Node; 3]) -> Node {
    if high == Node::Undefined {
        return comparison(relation, low, value);
    }
    // Two comparisons of one variable with numbers may read it twice.
    if let (Node::Constant(low), Node::Variable(path), Node::Constant(high)) = (&low, &value, &high)
        && let (Some(above), Some(below)) = (Bounds::above(relation, low), Bounds::below(relation, high))
    {
        return Node::Within(Box::new(Range { path: path.clone(), bounds: above.and(below) }));
    }
    let operator = if relation == Relation::Less { Operator::Between } else { Operator::BetweenOrEqual };
    operation(operator, vec![low, value, high])
}

fn comparison(relation: Relation, left: Node, right: Node) -> Node {
    match (left, right) {
        (Node::Variable(path), Node::Constant(Literal::Text(text)))
        | (Node::Constant(Literal::Text(text)), Node::Variable(path))
            if relation.is_equality() =>
        {
            Node::Is(Box::new(Is {
                path,
                number: javascript::number(&text),
                text,
                strictly: matches!(relation, Relation::StrictlyEqual | Relation::StrictlyNotEqual),
                expected: matches!(relation, Relation::Equal | Relation::StrictlyEqual),
            }))
        }
        (left, right) => {
            let bounds = match (&left, &right) {
                (Node::Constant(number), Node::Variable(_)) => Bounds::above(relation, number),
                (Node::Variable(_), Node::Constant(number)) => Bounds::below(relation, number),
                _ => None,
            };
            match (bounds, left, right) {
                (Some(bounds), Node::Variable(path), _) | (Some(bounds), _, Node::Variable(path)) => {
                    Node::Within(Box::new(Range { path, bounds }))
                }
                (_, left, right) => Node::Compare(Box::new(Comparison { relation, left, right })),
            }
        }
    }
}

/// `and`, with neighbours that bound one variable made one range: the value of either is true or false, so that the
/// value of both in a row is the same.
fn conjunction(mut nodes: Vec<Node>) -> Node {
    nodes.dedup_by(|node, last| match (node, last) {
        (Node::Within(range), Node::Within(last)) if range.path == last.path => {
            last.bounds = last.bounds.and(range.bounds);
            true
        }
        _ => false,
    });
    match nodes.pop() {
        Some(only) if nodes.is_empty() => only,
        last => {
            nodes.extend(last);
            Node::And(nodes.into_boxed_slice())
        }
    }
}

fn variable(path: Node, default: Node) -> Node {
    let path = match path {
        Node::Undefined | Node::Constant(Literal::Null) => return after(vec![default], Node::Whole),
        Node::Constant(Literal::Text(text)) if text.is_empty() => return after(vec![default], Node::Whole),
        Node::Constant(Literal::Text(text)) if Work::new().charge_text(text.len()).is_ok() => VarPath::new(text),
        Node::Constant(path) => match VarPath::of(&path.value(), &Work::new()) {
            Ok(path) => path,
            // Too long to be a path; evaluation says so if it comes here.
            Err(_) => return operation(Operator::Variable, vec![Node::Constant(path), default]),
        },
        path => return operation(Operator::Variable, vec![path, default]),
    };
    match default {
        Node::Undefined => Node::Variable(path),
        default => Node::VariableOr(Box::new((path, default))),
    }
}

impl Word {
    fn of(name: &str) -> Option<Self> {
        // The first ones are what real conditions are made of. As bytes a name is told by its length and a few of them.
        Some(match name.as_bytes() {
            b"var" => Word::Variable,
            b"and" => Word::And,
            b"or" => Word::Or,
            b"in" => Word::In,
            b"==" => Word::Relation(Relation::Equal),
            b">=" => Word::Relation(Relation::GreaterOrEqual),
            b"<=" => Word::Relation(Relation::LessOrEqual),
            b">" => Word::Relation(Relation::Greater),
            b"<" => Word::Relation(Relation::Less),
            b"!" => Word::Not,
            b"substr" => Word::Operator(Operator::Substr),
            b"!=" => Word::Relation(Relation::NotEqual),
            b"===" => Word::Relation(Relation::StrictlyEqual),
            b"!==" => Word::Relation(Relation::StrictlyNotEqual),
            b"!!" => Word::Truthy,
            b"if" | b"?:" => Word::If,
            b"map" => Word::Each(Loop::Map),
            b"filter" => Word::Each(Loop::Filter),
            b"all" => Word::Each(Loop::All),
            b"none" => Word::Each(Loop::None),
            b"some" => Word::Each(Loop::Some),
            b"reduce" => Word::Each(Loop::Reduce),
            b"missing" => Word::Operator(Operator::Missing),
            b"missing_some" => Word::Operator(Operator::MissingSome),
            b"cat" => Word::Operator(Operator::Cat),
            b"merge" => Word::Operator(Operator::Merge),
            b"log" => Word::Operator(Operator::Log),
            b"+" => Word::Operator(Operator::Add),
            b"-" => Word::Operator(Operator::Subtract),
            b"*" => Word::Operator(Operator::Multiply),
            b"/" => Word::Operator(Operator::Divide),
            b"%" => Word::Operator(Operator::Modulo),
            b"min" => Word::Operator(Operator::Min),
            b"max" => Word::Operator(Operator::Max),
            _ => return None,
        })
    }
}

impl Relation {
    fn is_equality(self) -> bool {
        self == self.turned()
    }

    /// The same relation with its sides exchanged.
    fn turned(self) -> Self {
        match self {
            Relation::Less => Relation::Greater,
            Relation::LessOrEqual => Relation::GreaterOrEqual,
            Relation::Greater => Relation::Less,
            Relation::GreaterOrEqual => Relation::LessOrEqual,
            equality => equality,
        }
    }
}

impl Bounds {
    /// What `number relation variable` asks, if it is a range.
    fn above(relation: Relation, number: &Literal) -> Option<Self> {
        Bounds::below(relation.turned(), number)
    }

    /// What `variable relation number` asks, if it is a range.
    ///
    /// Compared with a number anything is taken as a number, so this holds for every kind of variable. The number next
    /// to a bound stands for the bound that is itself left out, which no infinity has.
    fn below(relation: Relation, number: &Literal) -> Option<Self> {
        let Literal::Number(number) = *number else { return None };
        if !number.is_finite() {
            return None;
        }
        let (low, high) = match relation {
            Relation::Less => (f64::NEG_INFINITY, number.next_down()),
            Relation::LessOrEqual => (f64::NEG_INFINITY, number),
            Relation::Greater => (number.next_up(), f64::INFINITY),
            Relation::GreaterOrEqual => (number, f64::INFINITY),
            _ => return None,
        };
        Some(Bounds { low, high })
    }

    fn and(self, other: Bounds) -> Bounds {
        Bounds { low: self.low.max(other.low), high: self.high.min(other.high) }
    }

    /// NaN is in no range.
    pub(super) fn has(self, number: f64) -> bool {
        number >= self.low && number <= self.high
    }
}
