//! Traces: why an item of an answer is what it is. Made only when a request asks for them.

use std::collections::HashSet;

use super::artifact::Artifact;
use super::context::Scope;
use super::decide::{DecisionRequest, Item};
use super::rules::Rule;
use crate::json::{Document, ObjectWriter, Strictness, Value, write_tree};

/// What a trace says of the artifact besides its content.
#[derive(Debug, Clone)]
pub(crate) struct TraceFacts<'t> {
    /// Where the artifact came from; `Not Applicable` when the caller gave it.
    pub location: &'t str,
    pub polling_interval_ms: u64,
    pub polling_halted: bool,
    pub retrieval_count: u64,
    /// Milliseconds since 1970.
    pub retrieved_ms: i64,
}

/// All traces of an answer, in bytes. A trace has the whole context for each activity, and each of the entries that
/// answer an mbox has a trace: of a thousand activities on the global mbox it would be gigabytes.
pub(super) const MAX_TRACES: usize = 16 * 1024 * 1024;

/// The rules that were looked at, by activity in the order of their first ones.
pub(super) struct Evaluation<'a> {
    targets: Vec<Target<'a>>,
    /// For contexts, in bytes.
    room: usize,
    is_cut: bool,
}

struct Target<'a> {
    activity: u32,
    first: &'a Rule,
    /// The context that the activity's first rule saw, as JSON.
    context: String,
    matched: Vec<&'a Rule>,
    unmatched: Vec<&'a Rule>,
}

impl<'a> Evaluation<'a> {
    /// `room` is what the traces of the answer may still have, in bytes.
    pub(super) fn new(room: usize) -> Self {
        Evaluation { targets: Vec::new(), room, is_cut: false }
    }

    pub(super) fn note(&mut self, rule: &'a Rule, matched: bool, scope: &Scope<'_, '_>) {
        let at = match self.targets.iter().position(|target| target.activity == rule.activity) {
            Some(at) => at,
            None if self.room == 0 => {
                self.is_cut = true;
                return;
            }
            None => {
                let mut context = String::with_capacity(1024);
                scope.write(&mut context);
                self.room = self.room.saturating_sub(context.len());
                let (matched, unmatched) = (Vec::new(), Vec::new());
                self.targets.push(Target { activity: rule.activity, first: rule, context, matched, unmatched });
                self.targets.len() - 1
            }
        };
        if let Some(target) = self.targets.get_mut(at) {
            if matched { &mut target.matched } else { &mut target.unmatched }.push(rule);
        }
    }
}

/// Where a trace is written, and how much of it, in bytes.
pub(super) struct Paper<'o> {
    pub out: &'o mut String,
    pub room: usize,
}

impl TraceFacts<'_> {
    /// Writes the trace of one item. `chosen` are the rules in the answer, each with its impression. What goes beyond
    /// the room is left out, and the trace says so.
    pub(super) fn write<'a>(
        &self,
        paper: Paper<'_>,
        artifact: &Artifact,
        request: &DecisionRequest<'_>,
        item: Item<'_, '_>,
        chosen: impl Iterator<Item = (&'a Rule, Option<&'a str>)>,
        evaluation: &Evaluation<'_>,
    ) {
        let Paper { out, room } = paper;
        let start = out.len();
        let end = start.saturating_add(room);
        let mut trace = ObjectWriter::begin(out);
        if room == 0 {
            trace.boolean(TRUNCATED, true);
            trace.end();
            return;
        }
        trace.string("clientCode", request.client);
        self.write_artifact(trace.key("artifact"), artifact);
        write_profile(trace.key("profile"), request.id);
        write_request(trace.key("request"), request, item);
        let mut is_cut = write_campaigns(trace.key("campaigns"), artifact, chosen, end);
        let list = trace.key("evaluatedCampaignTargets");
        list.push('[');
        for (at, target) in evaluation.targets.iter().enumerate() {
            if list.len() > end {
                is_cut = true;
                break;
            }
            if at > 0 {
                list.push(',');
            }
            target.write(list, artifact);
        }
        list.push(']');
        if is_cut || evaluation.is_cut {
            trace.boolean(TRUNCATED, true);
        }
        trace.end();
        let shallow = out.get(start..).filter(|written| levels(written) > MAX_LEVELS).map(without_depth);
        if let Some(shallow) = shallow {
            out.truncate(start);
            out.push_str(&shallow);
        }
    }

    fn write_artifact(&self, out: &mut String, artifact: &Artifact) {
        let mut object = ObjectWriter::begin(out);
        object.string("artifactLocation", self.location);
        object.number("pollingInterval", self.polling_interval_ms);
        object.boolean("pollingHalted", self.polling_halted);
        object.string("artifactVersion", &artifact.version);
        object.number("artifactRetrievalCount", self.retrieval_count);
        object.string("artifactLastRetrieved", &crate::clock::iso_8601(self.retrieved_ms));
        if let Some(meta) = artifact.meta {
            with_value(meta.of(&artifact.source), |meta| {
                for (key, value) in meta.members().filter(|(_, value)| !value.has_huge_number()) {
                    object.foreign_key(&key).push_str(value.raw());
                }
            });
        }
        object.end();
    }
}

/// In a trace that does not have everything.
const TRUNCATED: &str = "truncated";

/// Objects and arrays in each other. With what an envelope has around a trace it is as much as common readers of JSON
/// take, typed answers' own included. A request may have that many itself, and dots of a parameter's name more.
const MAX_LEVELS: usize = 122;

/// How many objects and arrays are in each other in a JSON text.
fn levels(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        match (in_string, byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'{' | b'[') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// A trace in which objects and arrays that are too deep are empty.
fn without_depth(trace: &str) -> String {
    let mut out = String::with_capacity(trace.len());
    let mut object = ObjectWriter::begin(&mut out);
    // What an outline has not indexed looks empty.
    if let Ok(document) = Document::outline(trace, Strictness::Artifact, MAX_LEVELS) {
        for (key, member) in document.root().members().filter(|(key, _)| key != TRUNCATED) {
            write_tree(object.foreign_key(&key), member, &|out, leaf| out.push_str(leaf.raw()));
        }
    }
    object.boolean(TRUNCATED, true);
    object.end();
    out
}

/// Calls with the value of a JSON text that is known to be one.
fn with_value(text: &str, use_value: impl FnOnce(Value<'_>)) {
    if let Ok(document) = Document::parse(text, Strictness::Artifact) {
        use_value(document.root());
    }
}

/// The visitor's ids, the device id cut at its cluster.
fn write_profile(out: &mut String, id: &str) {
    let mut profile = ObjectWriter::begin(out);
    let mut visitor = ObjectWriter::begin(profile.key("visitorId"));
    with_value(id, |id| {
        for (key, value) in id.members() {
            match value.as_str().filter(|_| key == "tntId") {
                Some(device_id) => match device_id.split_once('.') {
                    Some((device, location)) => {
                        visitor.string("tntId", device);
                        visitor.string("profileLocation", location);
                    }
                    None => visitor.string("tntId", &device_id),
                },
                None => visitor.foreign_key(&key).push_str(value.raw()),
            }
        }
    });
    visitor.end();
    profile.end();
}

fn write_request(out: &mut String, request: &DecisionRequest<'_>, item: Item<'_, '_>) {
    let mut object = ObjectWriter::begin(out);
    object.string("sessionId", request.session_id);
    let (url, domain) = request.context.page_and_domain();
    if !url.is_empty() {
        object.string("pageURL", url);
        object.string("host", domain);
    }
    let mut detail = ObjectWriter::begin(object.key(item.kind));
    if let Some(name) = item.name {
        detail.string("name", name);
    }
    if let Some(index) = item.index {
        detail.number("index", index);
    }
    for (key, value) in item.detail.into_iter().flat_map(Value::members) {
        if !matches!(&*key, "name" | "index" | "type") && !value.is_null() {
            detail.foreign_key(&key).push_str(value.raw());
        }
    }
    detail.string("type", if item.executes { "execute" } else { "prefetch" });
    detail.end();
    object.end();
}

/// What is in the answer, by activity, until the text has that length. Whether something is left out.
fn write_campaigns<'a>(
    out: &mut String,
    artifact: &Artifact,
    chosen: impl Iterator<Item = (&'a Rule, Option<&'a str>)>,
    end: usize,
) -> bool {
    struct Campaign<'a> {
        rule: &'a Rule,
        offers: Vec<String>,
        notifications: Vec<&'a str>,
    }
    let mut campaigns: Vec<Campaign<'a>> = Vec::new();
    for (rule, notification) in chosen {
        let at = match campaigns.iter().position(|campaign| campaign.rule.activity == rule.activity) {
            Some(at) => at,
            None => {
                campaigns.push(Campaign { rule, offers: Vec::new(), notifications: Vec::new() });
                campaigns.len() - 1
            }
        };
        let Some(campaign) = campaigns.get_mut(at) else { continue };
        with_value(rule.meta.of(&artifact.source), |meta| {
            if let Some(offer) = meta.get("offer.id").filter(|offer| !offer.is_null()) {
                campaign.offers.push(offer.raw().to_owned());
            }
        });
        campaign.notifications.extend(notification);
    }
    let mut is_cut = false;
    out.push('[');
    for (at, campaign) in campaigns.iter().enumerate() {
        if out.len() > end {
            is_cut = true;
            break;
        }
        if at > 0 {
            out.push(',');
        }
        let mut object = ObjectWriter::begin(out);
        with_value(campaign.rule.meta.of(&artifact.source), |meta| {
            for (key, name) in [("id", "activity.id"), ("campaignType", "activity.type"), ("branchId", "experience.id")]
            {
                if let Some(value) = meta.get(name) {
                    object.raw(key, value.raw());
                }
            }
        });
        write_list(object.key("offers"), &campaign.offers);
        if let Some(environment) = artifact.environment {
            object.raw("environment", environment.of(&artifact.source));
        }
        if !campaign.notifications.is_empty() {
            write_list(object.key("notifications"), &campaign.notifications);
        }
        object.end();
    }
    out.push(']');
    is_cut
}

fn write_list<S: AsRef<str>>(out: &mut String, elements: &[S]) {
    out.push('[');
    for (at, element) in elements.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(element.as_ref());
    }
    out.push(']');
}

impl Target<'_> {
    fn write(&self, out: &mut String, artifact: &Artifact) {
        let mut object = ObjectWriter::begin(out);
        object.raw("context", &self.context);
        with_value(self.first.meta.of(&artifact.source), |meta| {
            for (key, name) in [("campaignId", "activity.id"), ("campaignType", "activity.type")] {
                if let Some(value) = meta.get(name) {
                    object.raw(key, value.raw());
                }
            }
        });
        write_list(object.key("matchedSegmentIds"), &segments(artifact, &self.matched));
        write_list(object.key("unmatchedSegmentIds"), &segments(artifact, &self.unmatched));
        write_list(object.key("matchedRuleConditions"), &conditions(artifact, &self.matched));
        write_list(object.key("unmatchedRuleConditions"), &conditions(artifact, &self.unmatched));
        object.end();
    }
}

/// The audiences of some rules, each once.
fn segments(artifact: &Artifact, rules: &[&Rule]) -> Vec<String> {
    let mut known = HashSet::new();
    let mut segments: Vec<String> = Vec::new();
    for rule in rules {
        with_value(rule.meta.of(&artifact.source), |meta| {
            for audience in meta.get("audience.ids").into_iter().flat_map(Value::elements) {
                if known.insert(audience.raw().to_owned()) {
                    segments.push(audience.raw().to_owned());
                }
            }
        });
    }
    segments
}

/// Conditions as they came. One with a number that most readers of JSON refuse would spoil the whole answer.
fn conditions<'a>(artifact: &'a Artifact, rules: &[&Rule]) -> Vec<&'a str> {
    let shown = |rule: &&Rule| {
        let text = rule.condition_text.of(&artifact.source);
        let mut is_huge = false;
        with_value(text, |condition| is_huge = condition.has_huge_number());
        if is_huge { "null" } else { text }
    };
    rules.iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_deep_is_empty_and_the_rest_stays() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let text = format!(r#"{{"a\"[":"[[","b":{},"c":[1,{{"d":null}}]}}"#, nested(200));
        assert_eq!((levels(&text), levels("[]"), levels("\"[\"")), (201, 1, 0));
        let shallow = without_depth(&text);
        let kept = nested(MAX_LEVELS);
        assert_eq!(shallow, format!(r#"{{"a\"[":"[[","b":{kept},"c":[1,{{"d":null}}],"truncated":true}}"#));
    }
}
