//! Rules as they are kept: texts in one arena, offers serialised as far as they can be, conditions compiled.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use super::allocation::AllocationPrefix;
use super::artifact::Names;
use super::logic::Condition;
use super::macros;
use crate::json::{Document, Kind, Strictness, Value, write_str};

/// A part of a text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The value's own text in the artifact's.
    pub(super) fn of_value(value: Value<'_>) -> Span {
        let (start, end) = value.span();
        Span { start, end }
    }

    pub(super) fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or("")
    }
}

/// What macros and response tokens may add to the offers of one rule, in bytes. Of real rules it is hundreds.
const MAX_EXPANSION: usize = 4 * 1024 * 1024;
/// Macros of one rule.
const MAX_MACROS: usize = 1000;
/// What they may add to all rules of an artifact, besides four times the artifact's own text.
const MAX_EXPANSION_OF_ALL: usize = 64 * 1024 * 1024;

/// The arena while it grows.
#[derive(Debug)]
pub(super) struct Texts {
    out: String,
    /// What may still be added to the rule and to all.
    room: usize,
    room_of_all: usize,
    /// How many macros the rule may still have.
    macros: usize,
    /// Why the rule cannot be kept.
    excess: Option<String>,
}

impl Texts {
    /// For an artifact with a text of that length.
    pub(super) fn new(source_length: usize) -> Self {
        // What answers have of an artifact is about half of it.
        let out = String::with_capacity(source_length / 2);
        let room_of_all = source_length.saturating_mul(4).saturating_add(MAX_EXPANSION_OF_ALL);
        Texts { out, room: MAX_EXPANSION, room_of_all, macros: MAX_MACROS, excess: None }
    }

    fn begin_rule(&mut self) {
        self.room = MAX_EXPANSION;
        self.macros = MAX_MACROS;
        self.excess = None;
    }

    /// Whether so much may be added to what the rule's text has. If not, the rule will be left out, and what is written
    /// of it does not matter.
    pub(super) fn may_add(&mut self, bytes: usize) -> bool {
        if self.excess.is_some() {
            return false;
        }
        match (self.room.checked_sub(bytes), self.room_of_all.checked_sub(bytes)) {
            (None, _) => {
                self.excess = Some(format!("macros and response tokens add more than {MAX_EXPANSION} bytes to it"));
            }
            (_, None) => {
                self.excess = Some("macros and response tokens add too much to all rules together".to_owned());
            }
            (Some(room), Some(room_of_all)) => (self.room, self.room_of_all) = (room, room_of_all),
        }
        self.excess.is_none()
    }

    /// The same of one more macro.
    pub(super) fn may_have_macro(&mut self) -> bool {
        match self.macros.checked_sub(1) {
            Some(left) => self.macros = left,
            None => self.excess = Some(format!("it has more than {MAX_MACROS} macros")),
        }
        self.excess.is_none()
    }

    pub(super) fn out(&mut self) -> &mut String {
        &mut self.out
    }

    pub(super) fn end(&self) -> u32 {
        u32::try_from(self.out.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn since(&self, start: u32) -> Span {
        Span { start, end: self.end() }
    }

    pub(super) fn add(&mut self, write: impl FnOnce(&mut String)) -> Span {
        let start = self.end();
        write(&mut self.out);
        self.since(start)
    }

    pub(super) fn into_text(self) -> Box<str> {
        self.out.into_boxed_str()
    }
}

/// A part of an offer's text.
#[derive(Debug)]
pub(crate) enum Piece {
    /// As it stands in the arena.
    Text(Span),
    /// To be looked up by `key` in the request; `written` stands where nothing is found.
    Macro { key: Span, written: Span },
}

/// One option of a rule.
#[derive(Debug)]
pub(super) struct Offer {
    /// In the arena: all members but `eventToken`, and the response tokens as the last of them, still open for those of the place:
    /// `"type":"html","content":"…","responseTokens":{"activity.decisioningMethod":"on-device"`.
    pub text: Span,
    /// The same with gaps, where macros need the request.
    pub pieces: Option<Box<[Piece]>>,
    /// In the arena: the type.
    pub kind: Option<Span>,
    /// In the arena: the content, where it has no gaps.
    pub content: Option<Span>,
    /// In the arena: the response tokens alone, open as in `text`.
    pub tokens: Span,
    /// In the artifact's text, quotes included.
    pub event_token: Option<Span>,
    /// The token of the metric at the same position, if that is a display metric.
    pub metric_token: Option<Span>,
    /// Neither type nor content: nothing to be shown.
    pub is_blank: bool,
}

/// One metric of a rule, as it came. Spans are of the artifact's text.
#[derive(Debug)]
pub(super) struct Metric {
    pub text: Span,
    /// Quotes included.
    pub event_token: Option<Span>,
    pub is_click: bool,
}

/// A compiled rule.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Rules of one key exclude each other.
    pub key: u32,
    /// In the arena, fit for a message.
    pub key_text: Span,
    /// Whether its condition could not be evaluated since the artifact came.
    pub has_failed: AtomicBool,
    /// Position in [`super::artifact::Artifact::activities`].
    pub activity: u32,
    pub condition: Condition,
    /// None: every property. Spans are of the arena.
    pub property_tokens: Option<Box<[Span]>>,
    /// Members of the consequence but `options`, `metrics` and `index`, with `name` first. In the arena.
    pub members: Span,
    /// `analytics` of the consequence, if it has content. In the artifact's text.
    pub analytics: Option<Span>,
    pub offers: Box<[Offer]>,
    pub metrics: Box<[Metric]>,
    /// In the artifact's text, for traces.
    pub meta: Span,
    /// In the artifact's text, for traces.
    pub condition_text: Span,
}

/// What rules of one artifact have in common while they are compiled.
pub(super) struct Compiler<'c> {
    pub client: &'c str,
    /// Tokens that options bear, in the artifact's order.
    pub response_tokens: Vec<String>,
    pub texts: Texts,
    pub activities: Vec<AllocationPrefix>,
    activity_at: Names<u32>,
    /// With their texts as [`Rule`] has them.
    key_at: Names<(u32, Span)>,
}

impl<'c> Compiler<'c> {
    pub(super) fn new(client: &'c str, response_tokens: Vec<String>, source_length: usize) -> Self {
        Compiler {
            client,
            response_tokens,
            texts: Texts::new(source_length),
            activities: Vec::new(),
            activity_at: Names::default(),
            key_at: Names::default(),
        }
    }

    /// Compiles one rule; the error says why it cannot be used.
    pub(super) fn rule(&mut self, name: &str, rule: Value<'_>) -> Result<Rule, String> {
        if rule.kind() != Kind::Object {
            return Err(format!("the rule is {} instead of an object", rule.kind().described()));
        }
        if rule.is_too_deep() {
            return Err("nested deeper than 127 levels of the artifact".to_owned());
        }
        let [meta, consequence, condition, rule_key, property_tokens, activity_id] =
            rule.get_each(["meta", "consequence", "condition", "ruleKey", "propertyTokens", "activityId"]);
        let (meta, consequence) = (object("meta", meta)?, object("consequence", consequence)?);
        if meta.has_huge_number() || consequence.has_huge_number() {
            return Err("what it answers has a number larger than a double holds".to_owned());
        }
        let condition = condition.ok_or("`condition` is missing")?;
        let compiled = Condition::compile(condition).map_err(|reason| format!("`condition`: {reason}"))?;
        let [options, metric_list, analytics] = consequence.get_each(["options", "metrics", "analytics"]);
        let (key, key_text) = self.key(rule_key);
        let property_tokens = self.property_tokens(property_tokens)?;
        let metrics = metrics(metric_list)?;
        self.texts.begin_rule();
        let offers = self.offers(options, meta, &metrics)?;
        if let Some(excess) = self.texts.excess.take() {
            return Err(excess);
        }
        let activity = self.activity(activity_id)?;
        let members = self.members(name, consequence);
        Ok(Rule {
            key,
            key_text,
            has_failed: AtomicBool::new(false),
            activity,
            condition: compiled,
            property_tokens,
            members,
            analytics: analytics.filter(|value| !value.is_null() && !value.is_empty()).map(Span::of_value),
            offers,
            metrics: metrics.into_iter().map(|(metric, _)| metric).collect(),
            meta: Span::of_value(meta),
            condition_text: Span::of_value(condition),
        })
    }

    /// The number of a rule's key, and the key's text.
    fn key(&mut self, key: Option<Value<'_>>) -> (u32, Span) {
        let key = key.filter(|key| !key.is_null()).map_or(Cow::Borrowed(""), macros::text_of);
        if let Some(known) = self.key_at.get(&*key) {
            return *known;
        }
        let number = u32::try_from(self.key_at.len()).unwrap_or(u32::MAX);
        let text = self.texts.add(|out| out.extend(key.chars().filter(|c| !c.is_control()).take(128)));
        self.key_at.insert(key.into_owned(), (number, text));
        (number, text)
    }

    /// The activity's place in the list; each has its hash begun once.
    fn activity(&mut self, id: Option<Value<'_>>) -> Result<u32, String> {
        let text = match id.map(|id| (id.kind(), id)) {
            Some((Kind::String, id)) => id.as_str().unwrap_or_default(),
            Some((Kind::Number | Kind::Null, id)) => macros::text_of(id),
            None => Cow::Borrowed("undefined"),
            Some((other, _)) => {
                return Err(format!("`activityId` is {} instead of a number or a text", other.described()));
            }
        };
        if let Some(at) = self.activity_at.get(&*text) {
            return Ok(*at);
        }
        let at = u32::try_from(self.activities.len()).unwrap_or(u32::MAX);
        self.activities.push(AllocationPrefix::new(self.client, &text));
        self.activity_at.insert(text.into_owned(), at);
        Ok(at)
    }

    fn property_tokens(&mut self, tokens: Option<Value<'_>>) -> Result<Option<Box<[Span]>>, String> {
        let Some(tokens) = tokens.filter(|tokens| !tokens.is_null()) else { return Ok(None) };
        if tokens.kind() != Kind::Array {
            return Err(format!("`propertyTokens` is {} instead of a list", tokens.kind().described()));
        }
        let texts = &mut self.texts;
        let spans: Box<[Span]> =
            tokens.elements().filter_map(Value::as_str).map(|token| texts.add(|out| out.push_str(&token))).collect();
        // A list of what can be no token is of no property, not of all.
        Ok(Some(spans).filter(|_| !tokens.is_empty()))
    }

    /// What an answer has of the consequence itself.
    fn members(&mut self, name: &str, consequence: Value<'_>) -> Span {
        self.texts.add(|out| {
            let own = consequence.get("name").filter(|name| !name.is_null());
            out.push_str("\"name\":");
            match own {
                Some(own) => out.push_str(own.raw()),
                None => write_str(out, name),
            }
            for (key, value) in unique_members(consequence) {
                if !matches!(&*key, "name" | "options" | "metrics" | "index" | "trace") {
                    out.push(',');
                    write_str(out, &key);
                    out.push(':');
                    out.push_str(value.raw());
                }
            }
        })
    }

    fn offers(
        &mut self,
        options: Option<Value<'_>>,
        meta: Value<'_>,
        metrics: &[(Metric, bool)],
    ) -> Result<Box<[Offer]>, String> {
        let Some(options) = options.filter(|options| !options.is_null()) else { return Ok(Box::default()) };
        if options.kind() != Kind::Array {
            return Err(format!("`consequence.options` is {} instead of a list", options.kind().described()));
        }
        let mut offers = Vec::with_capacity(options.elements().count());
        for (at, option) in options.elements().enumerate() {
            let metric_token =
                metrics.get(at).filter(|(_, is_display)| *is_display).and_then(|(metric, _)| metric.event_token);
            offers.push(
                self.offer(option, meta, metric_token)
                    .map_err(|reason| format!("`consequence.options[{at}]` {reason}"))?,
            );
        }
        Ok(offers.into_boxed_slice())
    }

    fn offer(&mut self, option: Value<'_>, meta: Value<'_>, metric_token: Option<Span>) -> Result<Offer, String> {
        if option.kind() != Kind::Object {
            return Err(format!("is {} instead of an object", option.kind().described()));
        }
        let [kind_value, content, event_token] = option.get_each(["type", "content", "eventToken"]);
        let kind = kind_value.and_then(Value::as_str);
        let is_actions = kind.as_deref() == Some("actions");
        if is_actions && content.is_some_and(|content| content.kind() != Kind::Array) {
            return Err("has actions that are no list".to_owned());
        }
        if event_token.is_some_and(|token| !can_be_sent(token)) {
            return Err("has an event token with half a surrogate pair".to_owned());
        }
        let kind_text = kind.as_deref().map(|kind| self.texts.add(|out| out.push_str(kind)));
        let mut content_place = None;
        let mut pieces = Vec::new();
        let whole = self.texts.end();
        let mut start = whole;
        for (key, value) in unique_members(option) {
            if matches!(&*key, "eventToken" | "responseTokens") {
                continue;
            }
            write_str(self.texts.out(), &key);
            self.texts.out().push(':');
            let may_hold = key == "content" && macros::may_hold(value.raw());
            let value_start = self.texts.end();
            match (may_hold, kind.as_deref(), value.kind()) {
                (true, Some("html"), Kind::String) => {
                    start = self.text_with_macros(value, meta, start, &mut pieces);
                }
                (true, Some("actions"), Kind::Array) => {
                    start = self.actions(value, meta, start, &mut pieces);
                }
                _ => self.texts.out().push_str(value.raw()),
            }
            if key == "content" {
                content_place = Some(self.texts.since(value_start));
            }
            self.texts.out().push(',');
        }
        let tokens = self.write_response_tokens(meta);
        let last = self.texts.since(start);
        let pieces = if pieces.is_empty() {
            None
        } else {
            pieces.push(Piece::Text(last));
            Some(pieces.into_boxed_slice())
        };
        Ok(Offer {
            text: self.texts.since(whole),
            kind: kind_text,
            content: content_place,
            pieces,
            tokens,
            event_token: event_token.and_then(token),
            metric_token,
            is_blank: kind_value.is_none() && content.is_none(),
        })
    }

    fn text_with_macros(&mut self, text: Value<'_>, meta: Value<'_>, start: u32, pieces: &mut Vec<Piece>) -> u32 {
        self.texts.out().push('"');
        let start = macros::compile(&text.as_str().unwrap_or_default(), meta, &mut self.texts, start, pieces);
        self.texts.out().push('"');
        start
    }

    /// A list of actions; macros are in their `content` alone.
    fn actions(&mut self, list: Value<'_>, meta: Value<'_>, mut start: u32, pieces: &mut Vec<Piece>) -> u32 {
        self.texts.out().push('[');
        for (at, action) in list.elements().enumerate() {
            if at > 0 {
                self.texts.out().push(',');
            }
            let content = action.get("content").filter(|content| content.kind() == Kind::String);
            if !content.is_some_and(|content| macros::may_hold(content.raw())) {
                self.texts.out().push_str(action.raw());
                continue;
            }
            self.texts.out().push('{');
            for (member, (key, value)) in unique_members(action).enumerate() {
                if member > 0 {
                    self.texts.out().push(',');
                }
                write_str(self.texts.out(), &key);
                self.texts.out().push(':');
                if key == "content" {
                    start = self.text_with_macros(value, meta, start, pieces);
                } else {
                    self.texts.out().push_str(value.raw());
                }
            }
            self.texts.out().push('}');
        }
        self.texts.out().push(']');
        start
    }

    /// The response tokens that the rule itself answers, left open for those of the place.
    fn write_response_tokens(&mut self, meta: Value<'_>) -> Span {
        self.texts.out().push_str("\"responseTokens\":");
        let start = self.texts.end();
        self.texts.out().push_str("{\"activity.decisioningMethod\":\"on-device\"");
        for token in &self.response_tokens {
            if let Some(value) = meta.get(token).filter(|_| token != "activity.decisioningMethod")
                && self.texts.may_add(token.len() + value.raw().len())
            {
                let out = self.texts.out();
                out.push(',');
                write_str(out, token);
                out.push(':');
                out.push_str(value.raw());
            }
        }
        self.texts.since(start)
    }
}

/// A member that has to be an object.
fn object<'d>(name: &str, value: Option<Value<'d>>) -> Result<Value<'d>, String> {
    match value {
        Some(value) if value.kind() == Kind::Object => Ok(value),
        Some(other) => Err(format!("`{name}` is {} instead of an object", other.kind().described())),
        None => Err(format!("`{name}` is missing")),
    }
}

/// Metrics with whether each is a display metric.
fn metrics(metrics: Option<Value<'_>>) -> Result<Vec<(Metric, bool)>, String> {
    let Some(metrics) = metrics.filter(|metrics| !metrics.is_null()) else { return Ok(Vec::new()) };
    if metrics.kind() != Kind::Array {
        return Err(format!("`consequence.metrics` is {} instead of a list", metrics.kind().described()));
    }
    let metric = |(at, metric): (usize, Value<'_>)| {
        if metric.kind() != Kind::Object {
            let found = metric.kind().described();
            return Err(format!("`consequence.metrics[{at}]` is {found} instead of an object"));
        }
        let [kind, event_token] = metric.get_each(["type", "eventToken"]);
        let kind = kind.and_then(Value::as_str);
        let compiled = Metric {
            text: Span::of_value(metric),
            event_token: event_token.and_then(token),
            is_click: kind.as_deref() == Some("click"),
        };
        Ok((compiled, kind.as_deref() == Some("display")))
    };
    metrics.elements().enumerate().map(metric).collect()
}

/// Whether a value may stand in a request. Half a surrogate pair has no UTF-8 form: the edge refuses all that it is in.
fn can_be_sent(value: Value<'_>) -> bool {
    !value.raw().contains('\\') || Document::parse(value.raw(), Strictness::Options).is_ok()
}

/// An event token that can be reported. The span is of the artifact's text, quotes included.
fn token(value: Value<'_>) -> Option<Span> {
    value.as_str().filter(|token| !token.is_empty()).map(|_| Span::of_value(value))
}

/// The members of an object, of those of one name the last in the first one's place.
pub(super) fn unique_members(object: Value<'_>) -> impl Iterator<Item = (Cow<'_, str>, Value<'_>)> {
    // Hardly any object has a name twice.
    let repeated = object.repeated_key().map(|_| merged_members(object));
    let plain = if repeated.is_none() { Some(object.members()) } else { None };
    plain.into_iter().flatten().chain(repeated.into_iter().flatten())
}

fn merged_members(object: Value<'_>) -> Vec<(Cow<'_, str>, Value<'_>)> {
    let mut members: Vec<(Cow<'_, str>, Value<'_>)> = Vec::new();
    let mut at: HashMap<Cow<'_, str>, usize> = HashMap::new();
    for (key, value) in object.members() {
        let place = *at.entry(key.clone()).or_insert(members.len());
        match members.get_mut(place) {
            Some((_, known)) => *known = value,
            None => members.push((key, value)),
        }
    }
    members
}
