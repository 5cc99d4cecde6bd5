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

/// Whether a variable, as a number, is not below `low` and not above `high`.
#[derive(Debug, PartialEq)]
pub(super) struct Range {
    pub path: VarPath,
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
        array.elements().map(|element| self.node(element, level)).collect()
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
        if let Some(kind) = Loop::of(name) {
            return self.each(kind, arguments, level);
        }
        // An argument that is no list stands for the list of it alone.
        let mut nodes = match arguments.kind() {
            Kind::Array => self.nodes(arguments, level + 1)?,
            _ => vec![self.node(arguments, level)?],
        };
        if let Some(relation) = Relation::of(name) {
            return Ok(comparison(relation, nodes));
        }
        if let Some(operator) = Operator::of(name) {
            return Ok(match operator.arguments() {
                Some(most) => {
                    let ignored = nodes.split_off(most.min(nodes.len()));
                    after(ignored, operation(operator, nodes))
                }
                None => operation(operator, nodes),
            });
        }
        Ok(match name {
            "and" => conjunction(nodes),
            "or" => Node::Or(nodes.into_boxed_slice()),
            "if" | "?:" => Node::If(nodes.into_boxed_slice()),
            "!" | "!!" => {
                let [operand] = exactly(&mut nodes);
                let operand = Box::new(operand);
                after(nodes, if name == "!" { Node::Not(operand) } else { Node::Truthy(operand) })
            }
            "in" => {
                let pair = exactly(&mut nodes);
                after(nodes, Node::In(Box::new(pair)))
            }
            "var" => {
                let [path, default] = exactly(&mut nodes);
                after(nodes, variable(path, default))
            }
            _ => {
                let shown = name.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).take(SHOWN_NAME);
                Node::Unknown(shown.collect::<String>().into())
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

/// Takes the first N arguments; those that are missing are undefined.
fn exactly<const N: usize>(nodes: &mut Vec<Node>) -> [Node; N] {
    let ignored = nodes.split_off(N.min(nodes.len()));
    let mut taken = std::mem::replace(nodes, ignored).into_iter();
    std::array::from_fn(|_| taken.next().unwrap_or(Node::Undefined))
}

/// The node after the ignored arguments that are more than constants.
fn after(mut ignored: Vec<Node>, node: Node) -> Node {
    ignored.retain(|node| !matches!(node, Node::Undefined | Node::Constant(_)));
    if ignored.is_empty() { node } else { Node::After(Box::new((ignored.into_boxed_slice(), node))) }
}

fn operation(operator: Operator, nodes: Vec<Node>) -> Node {
    Node::Apply(operator, nodes.into_boxed_slice())
}

fn comparison(relation: Relation, mut nodes: Vec<Node>) -> Node {
    if nodes.len() >= 3 && matches!(relation, Relation::Less | Relation::LessOrEqual) {
        let [low, value, high] = exactly(&mut nodes);
        // Two comparisons of one variable with numbers may read it twice.
        if let (Node::Constant(low), Node::Variable(path), Node::Constant(high)) = (&low, &value, &high)
            && let (Some(above), Some(below)) = (Range::above(relation, low, path), Range::below(relation, path, high))
        {
            return after(nodes, Node::Within(Box::new(above.and(&below))));
        }
        let operator = if relation == Relation::Less { Operator::Between } else { Operator::BetweenOrEqual };
        return after(nodes, operation(operator, vec![low, value, high]));
    }
    let [left, right] = exactly(&mut nodes);
    let (left, right) = match (left, right) {
        (Node::Variable(path), Node::Constant(Literal::Text(text)))
        | (Node::Constant(Literal::Text(text)), Node::Variable(path))
            if relation.is_equality() =>
        {
            let is = Is {
                path,
                number: javascript::number(&text),
                text,
                strictly: matches!(relation, Relation::StrictlyEqual | Relation::StrictlyNotEqual),
                expected: matches!(relation, Relation::Equal | Relation::StrictlyEqual),
            };
            return after(nodes, Node::Is(Box::new(is)));
        }
        sides => sides,
    };
    let range = match (&left, &right) {
        (Node::Constant(number), Node::Variable(path)) => Range::above(relation, number, path),
        (Node::Variable(path), Node::Constant(number)) => Range::below(relation, path, number),
        _ => None,
    };
    after(
        nodes,
        match range {
            Some(range) => Node::Within(Box::new(range)),
            None => Node::Compare(Box::new(Comparison { relation, left, right })),
        },
    )
}

/// `and`, with neighbours that bound one variable made one range: the value of either is true or false, so that the
/// value of both in a row is the same.
fn conjunction(nodes: Vec<Node>) -> Node {
    let mut folded: Vec<Node> = Vec::with_capacity(nodes.len());
    for node in nodes {
        if let (Some(Node::Within(last)), Node::Within(range)) = (folded.last_mut(), &node)
            && last.path == range.path
        {
            **last = last.and(range);
        } else {
            folded.push(node);
        }
    }
    match folded.pop() {
        Some(only) if folded.is_empty() => only,
        last => {
            folded.extend(last);
            Node::And(folded.into_boxed_slice())
        }
    }
}

fn variable(path: Node, default: Node) -> Node {
    let path = match path {
        Node::Undefined | Node::Constant(Literal::Null) => return after(vec![default], Node::Whole),
        Node::Constant(Literal::Text(text)) if text.is_empty() => return after(vec![default], Node::Whole),
        Node::Constant(path) => path,
        path => return operation(Operator::Variable, vec![path, default]),
    };
    let Ok(path) = VarPath::of(&path.value(), &Work::new()) else {
        // Too long to be a path; evaluation says so if it comes here.
        return operation(Operator::Variable, vec![Node::Constant(path), default]);
    };
    match default {
        Node::Undefined => Node::Variable(path),
        default => Node::VariableOr(Box::new((path, default))),
    }
}

impl Relation {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "==" => Relation::Equal,
            "!=" => Relation::NotEqual,
            "===" => Relation::StrictlyEqual,
            "!==" => Relation::StrictlyNotEqual,
            "<" => Relation::Less,
            "<=" => Relation::LessOrEqual,
            ">" => Relation::Greater,
            ">=" => Relation::GreaterOrEqual,
            _ => return None,
        })
    }

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

impl Loop {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "map" => Loop::Map,
            "filter" => Loop::Filter,
            "all" => Loop::All,
            "none" => Loop::None,
            "some" => Loop::Some,
            "reduce" => Loop::Reduce,
            _ => return None,
        })
    }
}

impl Range {
    /// What `number relation variable` asks, if it is a range.
    fn above(relation: Relation, number: &Literal, path: &VarPath) -> Option<Self> {
        Range::below(relation.turned(), path, number)
    }

    /// What `variable relation number` asks, if it is a range.
    ///
    /// Compared with a number anything is taken as a number, so this holds for every kind of variable. The number next
    /// to a bound stands for the bound that is itself left out, which no infinity has.
    fn below(relation: Relation, path: &VarPath, number: &Literal) -> Option<Self> {
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
        Some(Range { path: path.clone(), low, high })
    }

    fn and(&self, other: &Range) -> Range {
        Range { path: self.path.clone(), low: self.low.max(other.low), high: self.high.min(other.high) }
    }

    /// NaN is in no range.
    pub(super) fn has(&self, number: f64) -> bool {
        number >= self.low && number <= self.high
    }
}
