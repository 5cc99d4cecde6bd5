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
    Contains(Box<Contains>),
    In(Box<[Node; 2]>),
    Each(Box<Each>),
    Apply(Operator, Box<[Node]>),
    /// The node's value, after that of arguments that its operator ignores: they may fail, or log.
    After(Box<(Box<[Node]>, Node)>),
    Unknown(Box<str>),
}

/// What the name of an operator stands for.
enum Word {
    OfFew(OfFew),
    OfMany(OfMany),
    Each(Loop),
}

/// Operators that look at three arguments at the most, and evaluate the others where there are some.
enum OfFew {
    Variable,
    Relation(Relation),
    Not,
    Truthy,
    In,
}

enum OfMany {
    And,
    Or,
    If,
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

/// Whether a text is in a variable, by `in`.
#[derive(Debug, PartialEq)]
pub(super) struct Contains {
    pub path: VarPath,
    pub part: Box<str>,
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

    /// The arguments of an operator that takes three at the most.
    fn few(&mut self, arguments: Value<'_>, level: usize) -> Result<Few, String> {
        let (single, level) = match arguments.kind() {
            Kind::Array => (None, level + 1),
            _ => (Some(arguments), level),
        };
        let mut few = Few { first: [Node::Undefined, Node::Undefined, Node::Undefined], others: Vec::new() };
        for (at, argument) in single.into_iter().chain(arguments.elements()).enumerate() {
            let node = self.node(argument, level)?;
            match few.first.get_mut(at) {
                Some(place) => *place = node,
                None => few.others.push(node),
            }
        }
        Ok(few)
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

    // Of what is called in itself the stack has many at a time: what needs room is done elsewhere.
    fn operator(&mut self, name: &str, arguments: Value<'_>, level: usize) -> Result<Node, String> {
        match Word::of(name) {
            Some(Word::OfFew(word)) => Ok(of_few(word, self.few(arguments, level)?)),
            Some(Word::OfMany(word)) => Ok(of_many(word, self.arguments(arguments, level)?)),
            Some(Word::Each(kind)) => self.each(kind, arguments, level),
            None => {
                // They are of no use, but bounded like all others.
                self.arguments(arguments, level)?;
                Ok(unknown(name))
            }
        }
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

/// Arguments: the first three, undefined where they are missing, and those behind them, which nobody looks at.
struct Few {
    first: [Node; 3],
    others: Vec<Node>,
}

#[inline(never)]
fn of_few(word: OfFew, Few { first: [first, second, third], others }: Few) -> Node {
    match word {
        OfFew::Variable => after([third], others, variable(first, second)),
        OfFew::Relation(relation @ (Relation::Less | Relation::LessOrEqual)) => {
            after([], others, in_order(relation, first, second, third))
        }
        OfFew::Relation(relation) => after([third], others, comparison(relation, first, second)),
        OfFew::Not => after([second, third], others, Node::Not(Box::new(first))),
        OfFew::Truthy => after([second, third], others, Node::Truthy(Box::new(first))),
        OfFew::In => {
            let node = match (first, second) {
                (Node::Constant(Literal::Text(part)), Node::Variable(path)) => {
                    Node::Contains(Box::new(Contains { path, part }))
                }
                (part, whole) => Node::In(Box::new([part, whole])),
            };
            after([third], others, node)
        }
    }
}

#[inline(never)]
fn of_many(word: OfMany, mut nodes: Vec<Node>) -> Node {
    match word {
        OfMany::And => conjunction(nodes),
        OfMany::Or => disjunction(nodes),
        OfMany::If => Node::If(nodes.into_boxed_slice()),
        OfMany::Operator(operator) => {
            let taken = operator.arguments().unwrap_or(usize::MAX).min(nodes.len());
            let ignored = nodes.split_off(taken);
            after([], ignored, operation(operator, nodes))
        }
    }
}

#[inline(never)]
fn unknown(name: &str) -> Node {
    let shown = name.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).take(SHOWN_NAME);
    Node::Unknown(shown.collect::<String>().into())
}

/// The node after the ignored arguments that are more than constants.
fn after<const N: usize>(ignored: [Node; N], others: Vec<Node>, node: Node) -> Node {
    let counts = |node: &Node| !matches!(node, Node::Undefined | Node::Constant(_));
    if !ignored.iter().chain(&others).any(counts) {
        return node;
    }
    let ignored = ignored.into_iter().chain(others).filter(counts).collect();
    Node::After(Box::new((ignored, node)))
}

fn operation(operator: Operator, nodes: Vec<Node>) -> Node {
    Node::Apply(operator, nodes.into_boxed_slice())
}

/// `<` or `<=` of three values, or of two.
fn in_order(relation: Relation, low: Node, value: Node, high: Node) -> Node {
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

/// `and`. One in another has the value that its arguments would have in its place. Neighbours that bound one variable
/// are made one range: the value of either is true or false, so that the value of both in a row is the same.
fn conjunction(nodes: Vec<Node>) -> Node {
    let mut nodes = flat(nodes, |node| matches!(node, Node::And(inner) if !inner.is_empty()));
    nodes.dedup_by(|node, last| match (node, last) {
        (Node::Within(range), Node::Within(last)) if range.path == last.path => {
            last.bounds = last.bounds.and(range.bounds);
            true
        }
        _ => false,
    });
    only(nodes).unwrap_or_else(|nodes| Node::And(nodes.into_boxed_slice()))
}

/// `or`, likewise.
fn disjunction(nodes: Vec<Node>) -> Node {
    let nodes = flat(nodes, |node| matches!(node, Node::Or(inner) if !inner.is_empty()));
    only(nodes).unwrap_or_else(|nodes| Node::Or(nodes.into_boxed_slice()))
}

/// The nodes with the content of those that are opened in their place.
fn flat(nodes: Vec<Node>, is_opened: fn(&Node) -> bool) -> Vec<Node> {
    if !nodes.iter().any(is_opened) {
        return nodes;
    }
    let mut flat = Vec::with_capacity(2 * nodes.len());
    for node in nodes {
        let opens = is_opened(&node);
        match node {
            Node::And(inner) | Node::Or(inner) if opens => flat.extend(inner),
            other => flat.push(other),
        }
    }
    flat
}

/// The node, where it is one.
fn only(mut nodes: Vec<Node>) -> Result<Node, Vec<Node>> {
    match nodes.pop() {
        Some(only) if nodes.is_empty() => Ok(only),
        last => {
            nodes.extend(last);
            Err(nodes)
        }
    }
}

fn variable(path: Node, default: Node) -> Node {
    let path = match path {
        Node::Undefined | Node::Constant(Literal::Null) => return after([default], Vec::new(), Node::Whole),
        Node::Constant(Literal::Text(text)) if text.is_empty() => return after([default], Vec::new(), Node::Whole),
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
            b"var" => Word::OfFew(OfFew::Variable),
            b"and" => Word::OfMany(OfMany::And),
            b"or" => Word::OfMany(OfMany::Or),
            b"in" => Word::OfFew(OfFew::In),
            b"!" => Word::OfFew(OfFew::Not),
            b"!!" => Word::OfFew(OfFew::Truthy),
            b"if" | b"?:" => Word::OfMany(OfMany::If),
            b"map" => Word::Each(Loop::Map),
            b"filter" => Word::Each(Loop::Filter),
            b"all" => Word::Each(Loop::All),
            b"none" => Word::Each(Loop::None),
            b"some" => Word::Each(Loop::Some),
            b"reduce" => Word::Each(Loop::Reduce),
            name => match Relation::of(name) {
                Some(relation) => Word::OfFew(OfFew::Relation(relation)),
                None => Word::OfMany(OfMany::Operator(Operator::of(name)?)),
            },
        })
    }
}

impl Relation {
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"==" => Relation::Equal,
            b"!=" => Relation::NotEqual,
            b"===" => Relation::StrictlyEqual,
            b"!==" => Relation::StrictlyNotEqual,
            b"<" => Relation::Less,
            b"<=" => Relation::LessOrEqual,
            b">" => Relation::Greater,
            b">=" => Relation::GreaterOrEqual,
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
