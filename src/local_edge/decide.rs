//! Where delivery requests meet the library's own decision core: what the artifact has rules for is decided by it,
//! everything else stays the scenario's.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::artifact::{Artifacts, Loaded};
use super::geo::GeoTable;
use super::scenario::Place;
use super::subject::Candidates;
use super::tokens::{Kind, Token};
use crate::clock;
use crate::decisioning::allocation::allocation_id_of;
use crate::decisioning::context::{Context, ContextTexts, Geo};
use crate::decisioning::decide::{Decision, DecisionRequest, RemoteNeed, decide};
use crate::decisioning::trace::TraceFacts;
use crate::json::{self, Document, Strictness};

/// What the core says of its answers, and what an edge says of its own.
const METHODS: [&str; 2] =
    [r#""activity.decisioningMethod":"on-device""#, r#""activity.decisioningMethod":"server-side""#];

/// What was decided from the artifact.
pub(super) struct Decided {
    artifact: Arc<Loaded>,
    pub(super) execute: DecidedPart,
    pub(super) prefetch: DecidedPart,
    /// What `execute` has shown.
    pub(super) impressions: Vec<Impression>,
}

/// The decided items of `execute` or `prefetch`, as JSON text, for artifacts may hold what no model keeps.
#[derive(Default)]
pub(super) struct DecidedPart {
    pub(super) page_load: Option<String>,
    pub(super) mboxes: Vec<DecidedItem>,
    pub(super) views: Vec<DecidedItem>,
}

/// An mbox or a view of an answer.
pub(super) struct DecidedItem {
    pub(super) name: String,
    pub(super) text: String,
}

/// Content that was shown in a place.
#[derive(Clone, Debug)]
pub(super) struct Impression {
    pub(super) mbox: String,
    pub(super) tokens: Vec<Candidates>,
}

impl Decided {
    /// Whether a place was decided from the artifact.
    pub(super) fn names(&self, place: Place, name: &str) -> bool {
        self.artifact.names(place, name)
    }

    pub(super) fn is_global(&self, mbox: &str) -> bool {
        self.artifact.global_mbox() == mbox
    }
}

/// What a decision needs besides artifact and request.
pub(super) struct Surroundings<'a> {
    pub(super) artifacts: &'a Artifacts,
    pub(super) geo: &'a GeoTable,
    pub(super) client: &'a str,
    pub(super) session: &'a str,
    pub(super) tnt_id: &'a str,
}

/// Decides what the artifact has rules for; `None` where it has none for anything that a valid request asks for, or
/// where the core refuses the artifact.
pub(super) fn decide_from_artifact(
    artifact: &Arc<Loaded>,
    request: &Value,
    surroundings: &Surroundings<'_>,
) -> Option<Decided> {
    let text = Value::Object(named_parts(artifact, request)?).to_string();
    let compiled = artifact.compiled(surroundings.client)?;
    let document = Document::parse(&text, Strictness::Options).ok()?;
    let member = |key| document.root().get(key).filter(|value| !value.is_null());
    let context = member("context");
    let own_id = |key: &str| request.get("id")?.get(key)?.as_str();
    let id = {
        let mut id = request.get("id").and_then(Value::as_object).cloned().unwrap_or_default();
        id.insert("tntId".to_owned(), Value::from(surroundings.tnt_id));
        Value::Object(id).to_string()
    };
    let given = allocation_id_of(own_id("marketingCloudVisitorId"), own_id("tntId"), own_id("thirdPartyId"));
    let visitor_id = given.or_else(|| allocation_id_of(None, Some(surroundings.tnt_id), None)).unwrap_or_default();
    let now_ms = clock::wall_ms();
    let texts = ContextTexts::of(context);
    let decision_request = DecisionRequest {
        client: surroundings.client,
        request_id: "",
        session_id: surroundings.session,
        id: &id,
        visitor_id,
        property_token: request.get("property").and_then(|property| property.get("token")?.as_str()),
        context: Context::new(&texts, geo_of(request, surroundings.geo), now_ms),
        execute: member("execute"),
        prefetch: member("prefetch"),
        added: &[],
        all_matching_mboxes: &[],
        trace: member("trace").map(|_| TraceFacts {
            location: "Not Applicable",
            polling_interval_ms: 0,
            polling_halted: true,
            retrieval_count: 0,
            retrieved_ms: now_ms,
        }),
    };
    let Decision { response, impressions, .. } = decide(&compiled, &decision_request, &RemoteNeed::default());
    let response = response.replace(METHODS[0], METHODS[1]);
    let response = Document::parse(&response, Strictness::Artifact).ok()?;
    Some(Decided {
        artifact: Arc::clone(artifact),
        execute: decided_part(response.root().get("execute"), false),
        prefetch: decided_part(response.root().get("prefetch"), true),
        impressions: impressions
            .iter()
            .filter_map(|impression| impression_of(&impression.text, surroundings.artifacts))
            .collect(),
    })
}

/// The request with nothing in `execute` and `prefetch` but what the artifact has rules for.
fn named_parts(artifact: &Loaded, request: &Value) -> Option<Map<String, Value>> {
    let mut request = request.as_object()?.clone();
    request.remove("notifications");
    let mut any = false;
    for part in ["execute", "prefetch"] {
        let Some(members) = request.get_mut(part).and_then(Value::as_object_mut) else { continue };
        if !artifact.names(Place::PageLoad, "") {
            members.remove("pageLoad");
        }
        for (list, place) in [("mboxes", Place::Mbox), ("views", Place::View)] {
            let Some(items) = members.get_mut(list).and_then(Value::as_array_mut) else { continue };
            items.retain(|item| match item.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) {
                Some(name) => artifact.names(place, name),
                // A view without a name asks for all.
                None => place == Place::View && artifact.has_views(),
            });
            if items.is_empty() {
                members.remove(list);
            }
        }
        members.retain(|name, value| matches!(name.as_str(), "pageLoad" | "mboxes" | "views") && !value.is_null());
        if members.is_empty() {
            request.remove(part);
        } else {
            any = true;
        }
    }
    any.then_some(request)
}

/// What a request says of the visitor's place, else that of its address, as the edges of Target find it out.
fn geo_of(request: &Value, table: &GeoTable) -> Geo {
    let Some(given) = request.get("context").and_then(|context| context.get("geo")) else { return Geo::default() };
    let text = given.to_string();
    let geo = Document::parse(&text, Strictness::Options).ok().map(|document| Geo::of_request(Some(document.root())));
    let geo = geo.unwrap_or_default();
    match given.get("ipAddress").and_then(Value::as_str) {
        Some(address) if geo == Geo::default() => table.geo(address),
        _ => geo,
    }
}

/// Takes an answer's part apart. What is prefetched gets the state that the edges of Target give it.
fn decided_part(part: Option<json::Value<'_>>, prefetched: bool) -> DecidedPart {
    let member = |name: &str| part.and_then(|part| part.get(name));
    let finished = |item: json::Value<'_>, place, name: &str| {
        let text = item.raw();
        match text.strip_suffix('}').filter(|_| prefetched) {
            Some(open) => format!("{open},\"state\":\"{}\"}}", state(place, name)),
            None => text.to_owned(),
        }
    };
    let items = |list, place| {
        let items = member(list).into_iter().flat_map(json::Value::elements);
        items
            .map(|item| {
                let name = item.get("name").and_then(json::Value::as_str).unwrap_or_default();
                DecidedItem { text: finished(item, place, &name), name: name.into_owned() }
            })
            .collect()
    };
    DecidedPart {
        page_load: member("pageLoad").map(|item| finished(item, Place::PageLoad, "")),
        mboxes: items("mboxes", Place::Mbox),
        views: items("views", Place::View),
    }
}

fn state(place: Place, name: &str) -> String {
    let name = name.chars().filter(|character| !character.is_control()).collect();
    let (activity, experience) = (String::new(), String::new());
    Token { kind: Kind::State, number: 0, place, name, activity, experience }.encode()
}

/// A display notification, read as those are that come over the wire.
fn impression_of(notification: &str, artifacts: &Artifacts) -> Option<Impression> {
    let notification: Value = serde_json::from_str(notification).ok()?;
    let mbox = notification.get("mbox")?.get("name")?.as_str()?.to_owned();
    let tokens = notification.get("tokens")?.as_array()?;
    let tokens = tokens.iter().filter_map(|token| artifacts.candidates(token.as_str()?)).collect();
    Some(Impression { mbox, tokens })
}
