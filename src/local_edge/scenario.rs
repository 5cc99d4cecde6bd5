//! What the edge answers with: mboxes, views and a page load with their offers, read from a small JSON text.
//!
//! Everything that an answer repeats (options, tokens, metrics, analytics) is serialised here once, so that
//! answering is mostly copying.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::geo::GeoTable;
use super::subject::Subject;
use super::tokens::{Kind, Token};

/// The name under which page loads are counted: Target's own name for them.
pub(super) const PAGE_LOAD: &str = "target-global-mbox";

const DEFAULT: &str = include_str!("default_scenario.json");
const OPTION_TYPES: [&str; 5] = ["html", "json", "redirect", "dynamic", "actions"];

/// What has options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Place {
    #[default]
    Mbox,
    View,
    PageLoad,
}

impl Place {
    pub(super) fn letter(self) -> char {
        match self {
            Place::Mbox => 'm',
            Place::View => 'v',
            Place::PageLoad => 'p',
        }
    }

    pub(super) fn from_letter(letter: &str) -> Option<Self> {
        match letter {
            "m" => Some(Place::Mbox),
            "v" => Some(Place::View),
            "p" => Some(Place::PageLoad),
            _ => None,
        }
    }
}

/// One mbox, view or page load, with the parts of its answers ready to copy.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) name: String,
    /// The activity whose experience the place shows.
    pub(super) subject: Arc<Subject>,
    /// Members of an `execute` answer, each led by a comma: options without event tokens, metrics, analytics.
    pub(super) executed: String,
    /// Members of a `prefetch` answer, each led by a comma: options with event tokens, metrics, analytics, state.
    pub(super) prefetched: String,
    /// Whether there are options: without any, nothing was shown and nothing is counted.
    pub(super) has_options: bool,
    /// The `campaigns` of a trace.
    pub(super) campaigns: String,
    /// The key of a view.
    pub(super) key: Option<String>,
}

/// What the edge answers with.
///
/// The JSON form:
///
/// ```json
/// {
///   "client": "acme",
///   "accept_any_token": false,
///   "analytics": {"payload": {"pe": "tnt", "tnta": "1:1:0|0"}},
///   "mboxes": {
///     "home": {
///       "options": [{"type": "html", "content": "<b>hi</b>", "responseTokens": {"activity.id": "7"}}],
///       "metrics": true,
///       "analytics": {"payload": {"pe": "tnt", "tnta": "7:1:0|0"}},
///       "activity": {"id": "7", "name": "Greeting", "experience": "B"}
///     }
///   },
///   "views": {"checkout": {"key": "k", "options": [], "metrics": ["#pay"]}},
///   "pageLoad": {"options": []},
///   "geo": {
///     "default": {"country": "US", "region": "CA", "city": "SAN FRANCISCO", "latitude": 37.77, "longitude": -122.42},
///     "addresses": {"203.0.113.1": {"country": "JP"}}
///   }
/// }
/// ```
///
/// Every member may be left out. `metrics` is `true` for one click metric, or a list of selectors with a click
/// metric for each. `analytics` at the top is for each place with options that has none of its own.
/// `accept_any_token` makes the edge take tokens and states that it never issued. `geo` is what the geo service
/// and the `x-geo-*` headers of an artifact tell of addresses, `default` of all that are not listed.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub(super) client: String,
    pub(super) accept_any_token: bool,
    pub(super) mboxes: BTreeMap<String, Offer>,
    pub(super) views: BTreeMap<String, Offer>,
    pub(super) page_load: Option<Offer>,
    pub(super) geo: GeoTable,
}

/// A scenario that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScenarioError {
    /// The member that is wrong, as a path such as `mboxes.home.options[0].type`; empty for the text as a whole.
    pub member: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.member.is_empty() {
            write!(formatter, "scenario {}", self.message)
        } else {
            write!(formatter, "scenario member {} {}", self.member, self.message)
        }
    }
}

impl std::error::Error for ScenarioError {}

pub(super) fn error(member: impl Into<String>, message: impl Into<String>) -> ScenarioError {
    ScenarioError { member: member.into(), message: message.into() }
}

impl Default for Scenario {
    /// The built-in scenario: mboxes `home`, `product1`, `cart` and `hero`, a view `checkout`, a page load.
    fn default() -> Self {
        Self::from_json(DEFAULT).expect("the built-in scenario is valid, a test reads it")
    }
}

impl Scenario {
    /// The JSON text of the built-in scenario, to start one's own from.
    pub fn default_json() -> &'static str {
        DEFAULT
    }

    /// Reads a scenario.
    ///
    /// # Errors
    /// When the text is no JSON object of the form above; unknown members are refused too, for they are typing
    /// errors. The error names the member.
    pub fn from_json(text: &str) -> Result<Self, ScenarioError> {
        let value: Value = serde_json::from_str(text).map_err(|cause| error("", format!("is not JSON: {cause}")))?;
        let Value::Object(members) = value else {
            return Err(error("", "must be an object"));
        };
        let mut scenario = Scenario {
            client: "localedge".to_owned(),
            accept_any_token: false,
            mboxes: BTreeMap::new(),
            views: BTreeMap::new(),
            page_load: None,
            geo: GeoTable::default(),
        };
        let analytics = members.get("analytics").map(|value| object(value, "analytics")).transpose()?;
        for (name, value) in &members {
            match name.as_str() {
                "client" => scenario.client = text_of(value, "client")?.to_owned(),
                "accept_any_token" => {
                    scenario.accept_any_token =
                        value.as_bool().ok_or_else(|| error("accept_any_token", "must be true or false"))?;
                }
                "analytics" => {}
                "mboxes" => scenario.mboxes = offers(value, "mboxes", Place::Mbox, analytics)?,
                "views" => scenario.views = offers(value, "views", Place::View, analytics)?,
                "pageLoad" => {
                    scenario.page_load = Some(offer(value, "pageLoad", Place::PageLoad, PAGE_LOAD, analytics)?);
                }
                "geo" => scenario.geo = GeoTable::from_json(value, "geo")?,
                _ => return Err(error(name.as_str(), "is unknown")),
            }
        }
        Ok(scenario)
    }

    /// The same scenario, taking tokens and states that this edge never issued, or refusing them.
    #[must_use]
    pub fn accept_any_token(mut self, accept: bool) -> Self {
        self.accept_any_token = accept;
        self
    }

    pub(super) fn offer(&self, place: Place, name: &str) -> Option<&Offer> {
        match place {
            Place::Mbox => self.mboxes.get(name),
            Place::View => self.views.get(name),
            Place::PageLoad => self.page_load.as_ref(),
        }
    }

    /// What the places that have options show.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Arc<Subject>> {
        let offers = self.mboxes.values().chain(self.views.values()).chain(&self.page_load);
        offers.filter(|offer| offer.has_options).map(|offer| &offer.subject)
    }
}

pub(super) fn object<'v>(value: &'v Value, member: &str) -> Result<&'v Map<String, Value>, ScenarioError> {
    value.as_object().ok_or_else(|| error(member, "must be an object"))
}

/// A text that may become part of a token or a header, where control characters separate the fields.
pub(super) fn text_of<'v>(value: &'v Value, member: &str) -> Result<&'v str, ScenarioError> {
    let text = value.as_str().ok_or_else(|| error(member, "must be a string"))?;
    if text.chars().any(char::is_control) {
        return Err(error(member, "must not hold control characters"));
    }
    Ok(text)
}

fn offers(
    value: &Value,
    member: &str,
    place: Place,
    analytics: Option<&Map<String, Value>>,
) -> Result<BTreeMap<String, Offer>, ScenarioError> {
    let mut offers = BTreeMap::new();
    for (name, value) in object(value, member)? {
        let path = format!("{member}.{name}");
        if name.trim().is_empty() || name.chars().any(char::is_control) {
            return Err(error(path, "needs a name that is not blank and has no control characters"));
        }
        offers.insert(name.clone(), offer(value, &path, place, name, analytics)?);
    }
    Ok(offers)
}

fn offer(
    value: &Value,
    path: &str,
    place: Place,
    name: &str,
    default_analytics: Option<&Map<String, Value>>,
) -> Result<Offer, ScenarioError> {
    let members = object(value, path)?;
    let mut subject = Subject {
        place,
        name: name.to_owned(),
        activity: default_activity_id(place, name),
        activity_name: name.to_owned(),
        experience: "A".to_owned(),
        ..Subject::default()
    };
    let mut options: &[Value] = &[];
    let mut selectors: Vec<Option<&str>> = Vec::new();
    let mut analytics = default_analytics;
    let mut key = None;
    for (member, value) in members {
        let path = format!("{path}.{member}");
        match member.as_str() {
            "options" => options = value.as_array().ok_or_else(|| error(path, "must be a list"))?,
            "metrics" => selectors = metric_selectors(value, &path)?,
            "analytics" => analytics = Some(object(value, &path)?),
            "activity" => read_activity(value, &path, &mut subject)?,
            "key" if place == Place::View => key = Some(text_of(value, &path)?.to_owned()),
            _ => return Err(error(path, "is unknown")),
        }
    }
    let token = |kind, number| {
        Value::from(
            Token {
                kind,
                number,
                place,
                name: name.to_owned(),
                activity: subject.activity.clone(),
                experience: subject.experience.clone(),
            }
            .encode(),
        )
    };
    let mut executed = Vec::with_capacity(options.len());
    let mut prefetched = Vec::with_capacity(options.len());
    for (number, option) in options.iter().enumerate() {
        let option = read_option(option, &format!("{path}.options[{number}]"))?;
        let mut with_token = option.clone();
        with_token.insert("eventToken".to_owned(), token(Kind::Display, number));
        executed.push(Value::Object(option));
        prefetched.push(Value::Object(with_token));
    }
    let metrics: Vec<Value> = selectors
        .iter()
        .enumerate()
        .map(|(number, selector)| {
            let mut metric = Map::new();
            metric.insert("type".to_owned(), Value::from("click"));
            if let Some(selector) = selector {
                metric.insert("selector".to_owned(), Value::from(*selector));
            }
            metric.insert("eventToken".to_owned(), token(Kind::Click, number));
            Value::Object(metric)
        })
        .collect();
    let has_options = !options.is_empty();
    let mut shared = String::new();
    if !metrics.is_empty() {
        shared += &format!(",\"metrics\":{}", Value::Array(metrics));
    }
    if let Some(analytics) = analytics.filter(|_| has_options) {
        shared += &format!(",\"analytics\":{}", Value::Object(analytics.clone()));
    }
    let members_of = |options: Vec<Value>| {
        if has_options { format!(",\"options\":{}{shared}", Value::Array(options)) } else { shared.clone() }
    };
    Ok(Offer {
        name: name.to_owned(),
        executed: members_of(executed),
        prefetched: format!("{},\"state\":{}", members_of(prefetched), token(Kind::State, 0)),
        has_options,
        campaigns: if has_options {
            let (id, name, experience) = (&subject.activity, &subject.activity_name, &subject.experience);
            serde_json::json!([{"id": id, "name": name, "experience": experience}]).to_string()
        } else {
            "[]".to_owned()
        },
        subject: Arc::new(subject),
        key,
    })
}

/// Activities without an id in the scenario get one that stays the same over restarts.
fn default_activity_id(place: Place, name: &str) -> String {
    match place {
        Place::Mbox => format!("mbox-{name}"),
        Place::View => format!("view-{name}"),
        Place::PageLoad => "page-load".to_owned(),
    }
}

fn read_activity(value: &Value, path: &str, subject: &mut Subject) -> Result<(), ScenarioError> {
    for (member, value) in object(value, path)? {
        let path = format!("{path}.{member}");
        let text = match value {
            Value::Number(number) => number.to_string(),
            _ => text_of(value, &path)?.to_owned(),
        };
        match member.as_str() {
            "id" => subject.activity = text,
            "name" => subject.activity_name = text,
            "experience" => subject.experience = text,
            _ => return Err(error(path, "is unknown")),
        }
    }
    Ok(())
}

fn metric_selectors<'v>(value: &'v Value, path: &str) -> Result<Vec<Option<&'v str>>, ScenarioError> {
    match value {
        Value::Bool(true) => Ok(vec![None]),
        Value::Bool(false) => Ok(Vec::new()),
        Value::Array(selectors) => selectors
            .iter()
            .enumerate()
            .map(|(number, selector)| {
                selector.as_str().map(Some).ok_or_else(|| error(format!("{path}[{number}]"), "must be a selector"))
            })
            .collect(),
        _ => Err(error(path, "must be true, false or a list of selectors")),
    }
}

fn read_option(value: &Value, path: &str) -> Result<Map<String, Value>, ScenarioError> {
    let members = object(value, path)?;
    for (member, value) in members {
        let path = format!("{path}.{member}");
        match member.as_str() {
            "type" => {
                if !value.as_str().is_some_and(|text| OPTION_TYPES.contains(&text)) {
                    return Err(error(path, format!("must be one of: {}", OPTION_TYPES.join(", "))));
                }
            }
            "content" => {}
            "responseTokens" => {
                object(value, &path)?;
            }
            _ => return Err(error(path, "is unknown")),
        }
    }
    if !members.contains_key("type") {
        return Err(error(format!("{path}.type"), "is required"));
    }
    Ok(members.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member_of_error(text: &str) -> String {
        Scenario::from_json(text).expect_err(text).member
    }

    #[test]
    fn the_built_in_scenario_has_what_its_documentation_says() {
        let scenario = Scenario::default();
        assert_eq!(scenario.mboxes.keys().collect::<Vec<_>>(), ["cart", "hero", "home", "product1"]);
        assert!(scenario.mboxes["cart"].executed.contains(r#""content":{"discount":15,"free_shipping":true}"#));
        assert!(scenario.views.contains_key("checkout"));
        assert!(scenario.page_load.is_some());
        assert_eq!(scenario.shown().count(), 6);
    }

    #[test]
    fn only_prefetched_options_have_tokens_and_states() {
        let scenario = Scenario::from_json(r#"{"mboxes":{"a":{"options":[{"type":"html","content":"x"}]}}}"#).unwrap();
        let offer = &scenario.mboxes["a"];
        assert_eq!(offer.executed, r#","options":[{"type":"html","content":"x"}]"#);
        assert!(offer.prefetched.contains("eventToken") && offer.prefetched.contains("\"state\""));
    }

    #[test]
    fn analytics_at_the_top_serves_places_without_their_own() {
        let scenario = Scenario::from_json(
            r#"{"analytics":{"payload":{"pe":"top"}},"mboxes":{
                "a":{"options":[{"type":"html"}]},
                "b":{"options":[{"type":"html"}],"analytics":{"payload":{"pe":"own"}}},
                "c":{}}}"#,
        )
        .unwrap();
        assert!(scenario.mboxes["a"].executed.contains("top"));
        assert!(scenario.mboxes["b"].executed.contains("own"));
        assert_eq!(scenario.mboxes["c"].executed, "");
    }

    #[test]
    fn errors_name_the_member() {
        for (text, member) in [
            ("[]", ""),
            ("{", ""),
            (r#"{"mbox":{}}"#, "mbox"),
            (r#"{"client":1}"#, "client"),
            (r#"{"accept_any_token":"yes"}"#, "accept_any_token"),
            (r#"{"analytics":[]}"#, "analytics"),
            (r#"{"mboxes":[]}"#, "mboxes"),
            (r#"{"mboxes":{" ":{}}}"#, "mboxes. "),
            (r#"{"mboxes":{"a":1}}"#, "mboxes.a"),
            (r#"{"mboxes":{"a":{"key":"k"}}}"#, "mboxes.a.key"),
            (r#"{"mboxes":{"a":{"options":{}}}}"#, "mboxes.a.options"),
            (r#"{"mboxes":{"a":{"options":[{"content":"x"}]}}}"#, "mboxes.a.options[0].type"),
            (r#"{"mboxes":{"a":{"options":[{"type":"text"}]}}}"#, "mboxes.a.options[0].type"),
            (r#"{"mboxes":{"a":{"options":[{"type":"html","eventToken":"x"}]}}}"#, "mboxes.a.options[0].eventToken"),
            (r#"{"mboxes":{"a":{"metrics":"click"}}}"#, "mboxes.a.metrics"),
            (r#"{"mboxes":{"a":{"metrics":[1]}}}"#, "mboxes.a.metrics[0]"),
            (r#"{"views":{"v":{"activity":{"id":[]}}}}"#, "views.v.activity.id"),
            ("{\"views\":{\"v\":{\"activity\":{\"name\":\"a\\u001fb\"}}}}", "views.v.activity.name"),
            (r#"{"pageLoad":{"offers":[]}}"#, "pageLoad.offers"),
        ] {
            assert_eq!(member_of_error(text), member, "{text}");
        }
    }

    #[test]
    fn an_error_reads_as_a_sentence() {
        let error = Scenario::from_json(r#"{"client":1}"#).unwrap_err();
        assert_eq!(error.to_string(), "scenario member client must be a string");
    }
}
