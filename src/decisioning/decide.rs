//! One decision: which rules of an artifact fit a request, and the answer made of them. No I/O; everything that is
//! random or depends on time comes in with the request.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use super::allocation::Visitor;
use super::artifact::{Artifact, GeoToken, Place, SkippedRule};
use super::context::{Context, Geo, PlaceTexts, Scope};
use super::logic::LogicError;
use super::macros::MacroValues;
use super::parameters::Parameters;
use super::rules::{Metric, Offer, Rule};
use super::select::{Matching, SeenKeys, select};
use super::trace::{Evaluation, MAX_TRACES, Paper, TraceFacts};
use crate::envelope::Gathered;
use crate::ids;
use crate::javascript;
use crate::json::{ObjectWriter, Value, write_integer, write_str};

/// What is asked, normalised and checked.
pub(crate) struct DecisionRequest<'d> {
    pub client: &'d str,
    pub request_id: &'d str,
    pub session_id: &'d str,
    /// The visitor's ids as a JSON object.
    pub id: &'d str,
    /// What allocation hashes of the visitor.
    pub visitor_id: &'d str,
    pub property_token: Option<&'d str>,
    pub context: Context<'d>,
    pub execute: Option<Value<'d>>,
    pub prefetch: Option<Value<'d>>,
    /// Mboxes that `get_attributes` adds to `execute`, with their indexes.
    pub added: &'d [(&'d str, i64)],
    /// For these mboxes every matching rule counts, not the first alone.
    pub all_matching_mboxes: &'d [String],
    /// Of the artifact, when a trace was asked for.
    pub trace: Option<TraceFacts<'d>>,
}

/// What a decision brings.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    /// The Delivery API response.
    pub response: String,
    /// What the edge has to be told was shown.
    pub impressions: Vec<Impression>,
    /// What the envelope gathers over the answer.
    pub gathered: Gathered,
    pub failures: RuleFailures,
}

/// Conditions that could not be evaluated; their rules do not match.
#[derive(Debug, Default)]
pub(crate) struct RuleFailures {
    pub count: u64,
    /// Those of them that failed for the first time since the artifact came.
    pub first_ones: Vec<SkippedRule>,
}

impl RuleFailures {
    pub(super) fn note(&mut self, artifact: &Artifact, rule: &Rule, error: &LogicError) {
        self.count += 1;
        if !rule.has_failed.swap(true, Ordering::Relaxed) {
            let rule_key = rule.key_text.of(&artifact.texts).to_owned();
            self.first_ones.push(SkippedRule { rule_key, reason: error.to_string() });
        }
    }
}

/// A display notification.
#[derive(Debug, Clone)]
pub(crate) struct Impression {
    pub id: String,
    /// As the Delivery API takes it.
    pub text: String,
}

/// What a request needs the edge for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RemoteNeed {
    pub mboxes: Vec<String>,
    pub views: Vec<String>,
}

impl RemoteNeed {
    pub(crate) fn is_empty(&self) -> bool {
        self.mboxes.is_empty() && self.views.is_empty()
    }
}

/// The names that a request asks for and an artifact leaves to the edge: the artifact's list in its order, then
/// those that it does not know in the request's, each once.
pub(crate) fn remote_need<'d>(
    artifact: &Artifact,
    execute: Option<Value<'d>>,
    prefetch: Option<Value<'d>>,
    added: &[String],
) -> RemoteNeed {
    let members = |part: Option<Value<'d>>, key: &'static str| {
        part.and_then(|part| part.get(key)).into_iter().flat_map(Value::elements)
    };
    let name_of = |value: Value<'d>| value.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    let mut need = RemoteNeed::default();
    let mboxes = artifact.mbox_availability();
    let (mut listed, mut unknown) = (HashSet::new(), HashSet::new());
    let mut note = |name: &str| match mboxes.place(name) {
        Place::Here => {}
        Place::ListedRemote => _ = listed.insert(name.to_owned()),
        Place::UnknownHere if unknown.insert(name.to_owned()) => need.mboxes.push(name.to_owned()),
        Place::UnknownHere => {}
    };
    for part in [execute, prefetch] {
        if part.and_then(|part| part.get("pageLoad")).is_some_and(|page_load| !page_load.is_null()) {
            note(&artifact.global_mbox);
        }
        members(part, "mboxes").filter_map(name_of).for_each(|name| note(&name));
    }
    added.iter().for_each(|name| note(name));
    if !listed.is_empty() {
        let first = mboxes.remote.iter().filter(|name| listed.contains(*name)).cloned();
        need.mboxes = first.chain(std::mem::take(&mut need.mboxes)).collect();
    }
    let views = artifact.view_availability();
    let (mut all, mut listed, mut unknown) = (false, HashSet::new(), HashSet::new());
    for view in members(prefetch, "views") {
        let Some(name) = name_of(view) else {
            all = true;
            continue;
        };
        match views.place(&name) {
            Place::Here => {}
            Place::ListedRemote => _ = listed.insert(name.into_owned()),
            Place::UnknownHere if unknown.insert(name.to_string()) => need.views.push(name.into_owned()),
            Place::UnknownHere => {}
        }
    }
    if all || !listed.is_empty() {
        let first = views.remote.iter().filter(|name| all || listed.contains(*name)).cloned();
        need.views = first.chain(std::mem::take(&mut need.views)).collect();
    }
    need
}

/// Decides a request.
pub(crate) fn decide(artifact: &Artifact, request: &DecisionRequest<'_>, need: &RemoteNeed) -> Decision {
    let mut decider = Decider {
        artifact,
        request,
        visitor: Visitor::new(request.visitor_id),
        geo_tokens: geo_tokens(&artifact.geo_tokens, request.context.geo()),
        out: String::with_capacity(1024),
        decision: Decision::default(),
        notified: Notified::default(),
        trace_room: MAX_TRACES,
    };
    decider.response(need);
    Decision { response: decider.out, ..decider.decision }
}

struct Decider<'a, 'd> {
    artifact: &'a Artifact,
    request: &'a DecisionRequest<'d>,
    visitor: Visitor<'d>,
    /// Members that response tokens have about the visitor's place, each behind a comma.
    geo_tokens: String,
    out: String,
    decision: Decision,
    notified: Notified<'a>,
    /// For traces, in bytes.
    trace_room: usize,
}

/// Event tokens that impressions name already, each with its mbox.
#[derive(Default)]
struct Notified<'a> {
    few: Vec<(&'a str, &'a str)>,
    many: HashSet<(&'a str, &'a str)>,
}

impl<'a> Notified<'a> {
    /// Whether it was not there yet.
    fn insert(&mut self, mbox: &'a str, token: &'a str) -> bool {
        const FEW: usize = 16;
        if self.few.contains(&(mbox, token)) {
            return false;
        }
        if self.few.len() < FEW {
            self.few.push((mbox, token));
            return true;
        }
        self.many.insert((mbox, token))
    }
}

/// What is asked: an mbox, a view or a page load.
#[derive(Clone, Copy)]
pub(super) struct Item<'t, 'd> {
    /// Under which a trace shows it: `mbox` or `view`.
    pub kind: &'static str,
    /// None for a view that the request did not name.
    pub name: Option<&'t str>,
    pub index: Option<i64>,
    pub detail: Option<Value<'d>>,
    pub executes: bool,
}

impl<'a, 'd: 'a> Decider<'a, 'd> {
    fn response(&mut self, need: &RemoteNeed) {
        let request = self.request;
        self.out.push_str(if need.is_empty() { "{\"status\":200" } else { "{\"status\":206" });
        self.out.push_str(",\"requestId\":");
        write_str(&mut self.out, request.request_id);
        self.out.push_str(",\"id\":");
        self.out.push_str(request.id);
        self.out.push_str(",\"client\":");
        write_str(&mut self.out, request.client);
        if request.execute.is_some() || !request.added.is_empty() {
            self.out.push_str(",\"execute\":");
            self.part(request.execute, true);
        }
        if request.prefetch.is_some() {
            self.out.push_str(",\"prefetch\":");
            self.part(request.prefetch, false);
        }
        self.out.push('}');
    }

    /// `execute` or `prefetch`, in the order in which the envelope gathers.
    fn part(&mut self, part: Option<Value<'d>>, executes: bool) {
        let member = |key: &str| part.and_then(|part| part.get(key)).filter(|value| !value.is_null());
        let added = if executes { self.request.added } else { &[] };
        let start = self.out.len();
        if let Some(page_load) = member("pageLoad") {
            self.out.push_str(",\"pageLoad\":");
            self.page_load(page_load, executes);
        }
        if let Some(views) = member("views").filter(|views| !executes && !views.is_empty()) {
            self.out.push_str(",\"views\":[");
            let first = self.out.len();
            for view in views.elements() {
                self.view(view, first);
            }
            self.out.push(']');
        }
        let mboxes = member("mboxes").filter(|mboxes| !mboxes.is_empty());
        if mboxes.is_some() || !added.is_empty() {
            self.out.push_str(",\"mboxes\":[");
            let first = self.out.len();
            for (position, mbox) in mboxes.into_iter().flat_map(Value::elements).enumerate() {
                let name = mbox.get("name").and_then(Value::as_str).unwrap_or_default();
                let index = mbox.get("index").and_then(Value::as_i64).unwrap_or(position as i64);
                self.mbox(&name, index, Some(mbox), executes, first);
            }
            for (name, index) in added {
                self.mbox(name, *index, None, executes, first);
            }
            self.out.push(']');
        }
        // The first member stands behind a comma.
        if self.out.len() == start {
            self.out.push_str("{}");
        } else {
            self.out.replace_range(start..start + 1, "{");
            self.out.push('}');
        }
    }

    fn mbox(&mut self, name: &str, index: i64, detail: Option<Value<'d>>, executes: bool, first: usize) {
        let is_global = name == self.artifact.global_mbox;
        let takes_all = self.request.all_matching_mboxes.iter().any(|known| known == name);
        let matching = Matching::of_mbox(is_global, takes_all);
        let asked = Item { name: Some(name), kind: "mbox", index: Some(index), detail, executes };
        let (key, rules) = self.artifact.mboxes.get_key_value(name).map_or(("", &[][..]), |(key, rules)| (key, rules));
        let (matches, evaluation) = self.matches(rules, matching, asked, &mut SeenKeys::default());
        if matches.is_empty() && !is_global {
            self.comma(first);
            self.out.push_str("{\"name\":");
            write_str(&mut self.out, name);
            self.end_of_mbox(asked, index, &[], &evaluation);
            return;
        }
        for rule in &matches {
            self.comma(first);
            self.out.push('{');
            self.out.push_str(rule.members.of(&self.artifact.texts));
            self.gather_analytics(rule);
            self.out.push_str(",\"options\":[");
            let options = self.out.len();
            self.offers(rule, asked, options);
            self.out.push(']');
            if executes {
                self.click_metrics(rule.metrics.iter().filter(|metric| metric.is_click));
            }
            let notified = if executes { self.notify(key, rule) } else { None };
            self.end_of_mbox(asked, index, &[(*rule, notified)], &evaluation);
        }
    }

    fn end_of_mbox(
        &mut self,
        asked: Item<'_, 'd>,
        index: i64,
        chosen: &[(&'a Rule, Option<usize>)],
        evaluation: &Option<Evaluation<'a>>,
    ) {
        self.out.push_str(",\"index\":");
        write_integer(&mut self.out, index);
        self.trace(asked, chosen, evaluation);
        self.out.push('}');
    }

    fn page_load(&mut self, detail: Value<'d>, executes: bool) {
        let artifact = self.artifact;
        let asked =
            Item { name: Some(&artifact.global_mbox), kind: "mbox", index: None, detail: Some(detail), executes };
        let rules = artifact.mbox(&artifact.global_mbox);
        let (matches, evaluation) = self.matches(rules, Matching::OnePerKey, asked, &mut SeenKeys::default());
        self.out.push_str("{\"options\":[");
        let options = self.out.len();
        let mut chosen = Vec::with_capacity(matches.len());
        for rule in &matches {
            self.offers(rule, asked, options);
            let notified = if executes { self.notify(&artifact.global_mbox, rule) } else { None };
            chosen.push((*rule, notified));
        }
        self.out.push(']');
        if executes {
            self.click_metrics(unique_clicks(&matches, &artifact.source));
        }
        self.trace(asked, &chosen, &evaluation);
        self.out.push('}');
    }

    /// One element of `prefetch.views`: of each view that has a match one entry.
    fn view(&mut self, detail: Value<'d>, first: usize) {
        let artifact = self.artifact;
        let name = detail.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let mut seen = SeenKeys::default();
        let Some(name) = name else {
            for (_, rules) in &artifact.views {
                self.view_entry(None, rules, detail, &mut seen, first);
            }
            return;
        };
        self.view_entry(Some(&name), artifact.view(&name), detail, &mut seen, first);
    }

    fn view_entry(
        &mut self,
        name: Option<&str>,
        rules: &'a [Rule],
        detail: Value<'d>,
        seen: &mut SeenKeys,
        first: usize,
    ) {
        let asked = Item { name, kind: "view", index: None, detail: Some(detail), executes: false };
        let (matches, evaluation) = self.matches(rules, Matching::OnePerKey, asked, seen);
        let Some(last) = matches.last() else { return };
        self.comma(first);
        self.out.push('{');
        self.out.push_str(last.members.of(&self.artifact.texts));
        self.gather_analytics(last);
        self.out.push_str(",\"options\":[");
        let options = self.out.len();
        for rule in &matches {
            self.offers(rule, asked, options);
        }
        self.out.push_str("],\"metrics\":[");
        let start = self.out.len();
        for metric in matches.iter().flat_map(|rule| rule.metrics.iter()) {
            self.comma(start);
            self.out.push_str(metric.text.of(&self.artifact.source));
        }
        self.out.push(']');
        let chosen: Vec<_> = matches.iter().map(|rule| (*rule, None)).collect();
        self.trace(asked, &chosen, &evaluation);
        self.out.push('}');
    }

    /// The rules that fit, and what a trace wants to know of those that were looked at.
    fn matches(
        &mut self,
        rules: &'a [Rule],
        matching: Matching,
        asked: Item<'_, 'd>,
        seen: &mut SeenKeys,
    ) -> (Vec<&'a Rule>, Option<Evaluation<'a>>) {
        let mut evaluation = self.request.trace.is_some().then(|| Evaluation::new(self.trace_room));
        if rules.is_empty() {
            return (Vec::new(), evaluation);
        }
        let (artifact, request) = (self.artifact, self.request);
        let place = PlaceTexts::of(asked.detail);
        let mut scope = Scope::new(&request.context, &place, &artifact.activities, &self.visitor);
        let failures = &mut self.decision.failures;
        let observe = |rule: &'a Rule, outcome: Result<bool, LogicError>, scope: &Scope<'_, '_>| {
            if let Some(evaluation) = &mut evaluation {
                evaluation.note(rule, matches!(outcome, Ok(true)), scope);
            }
            if let Err(error) = outcome {
                failures.note(artifact, rule, &error);
            }
        };
        let property = request.property_token;
        let matches = select(rules, matching, property, &artifact.texts, &mut scope, seen, observe);
        (matches, evaluation)
    }

    /// Appends a rule's options to the list that begins at `start`.
    fn offers(&mut self, rule: &Rule, asked: Item<'_, 'd>, start: usize) {
        let artifact = self.artifact;
        for offer in &rule.offers {
            if asked.executes && offer.is_blank {
                continue;
            }
            self.comma(start);
            self.out.push('{');
            if let Some(token) = offer.event_token.or(offer.metric_token).filter(|_| !asked.executes) {
                self.out.push_str("\"eventToken\":");
                self.out.push_str(token.of(&artifact.source));
                self.out.push(',');
            }
            self.offer_text(offer, asked);
            self.out.push_str(&self.geo_tokens);
            self.out.push_str("}}");
            let list = &mut self.decision.gathered.response_tokens;
            Gathered::push(list, offer.tokens.of(&artifact.texts));
            list.push_str(&self.geo_tokens);
            list.push('}');
        }
    }

    fn offer_text(&mut self, offer: &Offer, asked: Item<'_, 'd>) {
        let texts = &self.artifact.texts;
        match &offer.pieces {
            None => self.out.push_str(offer.text.of(texts)),
            Some(pieces) => {
                let (name, index, detail) = (asked.name, asked.index, asked.detail);
                let values = MacroValues { name, index, detail, parameters: Parameters::of(detail) };
                values.write(&mut self.out, texts, pieces);
            }
        }
    }

    /// Appends `,"metrics":[…]`; nothing where there is none.
    fn click_metrics<'m>(&mut self, metrics: impl IntoIterator<Item = &'m Metric>) {
        let mut metrics = metrics.into_iter().peekable();
        if metrics.peek().is_none() {
            return;
        }
        self.out.push_str(",\"metrics\":[");
        let start = self.out.len();
        for metric in metrics {
            self.comma(start);
            self.out.push_str(metric.text.of(&self.artifact.source));
        }
        self.out.push(']');
    }

    fn gather_analytics(&mut self, rule: &Rule) {
        if let Some(analytics) = rule.analytics {
            Gathered::push(&mut self.decision.gathered.analytics_details, analytics.of(&self.artifact.source));
        }
    }

    /// Notes the impression of a rule, with those of its tokens that were not reported yet of that mbox. Returns its
    /// position.
    fn notify(&mut self, mbox: &'a str, rule: &'a Rule) -> Option<usize> {
        let mut text = String::new();
        let mut id = String::new();
        for offer in &rule.offers {
            let Some(token) = offer.event_token.map(|token| token.of(&self.artifact.source)) else { continue };
            if !self.notified.insert(mbox, token) {
                continue;
            }
            if text.is_empty() {
                text.reserve(256 + token.len());
                id = ids::uuid();
                let mut object = ObjectWriter::begin(&mut text);
                object.string("id", &id);
                object.string("impressionId", &ids::uuid());
                object.string("type", "display");
                object.number("timestamp", self.request.context.now_ms());
                let mut place = ObjectWriter::begin(object.key("mbox"));
                place.string("name", mbox);
                place.end();
                object.key("tokens");
                text.push('[');
            } else {
                text.push(',');
            }
            text.push_str(token);
        }
        if text.is_empty() {
            return None;
        }
        text.push_str("]}");
        self.decision.impressions.push(Impression { id, text });
        Some(self.decision.impressions.len() - 1)
    }

    fn trace(
        &mut self,
        asked: Item<'_, 'd>,
        chosen: &[(&'a Rule, Option<usize>)],
        evaluation: &Option<Evaluation<'a>>,
    ) {
        let request = self.request;
        let (Some(facts), Some(evaluation)) = (&request.trace, evaluation) else { return };
        self.out.push_str(",\"trace\":");
        let start = self.out.len();
        let campaigns = chosen.iter().map(|(rule, impression)| {
            let notification = impression.and_then(|at| self.decision.impressions.get(at));
            (*rule, notification.map(|impression| impression.text.as_str()))
        });
        let paper = Paper { out: &mut self.out, room: self.trace_room };
        facts.write(paper, self.artifact, request, asked, campaigns, evaluation);
        self.trace_room = self.trace_room.saturating_sub(self.out.len() - start);
        if let Some(written) = self.out.get(start..) {
            Gathered::push(&mut self.decision.gathered.trace, written);
        }
    }

    /// Separates the elements of the list that begins at `start`.
    fn comma(&mut self, start: usize) {
        if self.out.len() > start {
            self.out.push(',');
        }
    }
}

/// The click metrics of a page load: of those of one token the last in the first one's place.
fn unique_clicks<'a>(rules: &[&'a Rule], source: &str) -> Vec<&'a Metric> {
    let mut unique: Vec<&Metric> = Vec::new();
    let mut places = HashMap::new();
    for metric in rules.iter().flat_map(|rule| rule.metrics.iter()).filter(|metric| metric.is_click) {
        let token = metric.event_token.map_or("", |token| token.of(source));
        let place = *places.entry(token).or_insert(unique.len());
        match unique.get_mut(place) {
            Some(earlier) => *earlier = metric,
            None => unique.push(metric),
        }
    }
    unique
}

fn geo_tokens(wanted: &[GeoToken], geo: &Geo) -> String {
    let mut out = String::new();
    for token in wanted {
        let (name, text, number) = match token {
            GeoToken::City => ("city", &geo.city, None),
            GeoToken::Country => ("country", &geo.country, None),
            GeoToken::State => ("state", &geo.region, None),
            GeoToken::Latitude => ("latitude", &None, geo.latitude),
            GeoToken::Longitude => ("longitude", &None, geo.longitude),
        };
        if text.is_none() && number.is_none() {
            continue;
        }
        out.push_str(",\"geo.");
        out.push_str(name);
        out.push_str("\":");
        match (text, number) {
            (Some(text), _) => write_str(&mut out, text),
            (None, Some(number)) => javascript::push_number(&mut out, number),
            (None, None) => {}
        }
    }
    out
}
