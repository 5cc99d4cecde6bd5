//! Calls that are decided on this machine: the choice between it and the edge, and what a decision needs and brings
//! besides the decision itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::call::Call;
use crate::config::DecisioningMethod;
use crate::cookies::TargetCookie;
use crate::decisioning::artifact::Artifact;
use crate::decisioning::context::{Context, ContextTexts, Geo};
use crate::decisioning::decide::{DecisionRequest, Impression, RemoteNeed, RuleFailures, decide, remote_need};
use crate::decisioning::geo::Located;
use crate::decisioning::mbox::{MboxDecision, MboxQuery, decide_mbox};
use crate::decisioning::source::LoadedGuard;
use crate::decisioning::trace::TraceFacts;
use crate::decisioning::url::is_ip_address;
use crate::delivery::normalize::{Normalized, query};
use crate::envelope::{EdgeReason, Meta, RawEnvelope, attributes};
use crate::error::{Phase, TargetError};
use crate::events::EventKind;
use crate::json::{Document, Kind, ObjectWriter, Strictness, Value};
use crate::notifications::batch::{Frame, Notification, Submission};
use crate::options::Operation;
use crate::shared::Shared;
use crate::stats::count;
use crate::transport::control::CallControl;
use crate::transport::retry::ended_or_late;

/// Where a call can be decided.
pub(crate) enum Route {
    /// By the edge, with what an artifact leaves to it, and why where that is nothing.
    Edge(RemoteNeed, Option<EdgeReason>),
    /// From this artifact; of what it leaves to the edge nothing can be said.
    Here(LoadedGuard, RemoteNeed),
    /// Nowhere yet.
    NotReady(TargetError),
}

/// Where a call is decided, and what it needs there.
pub(crate) enum Place {
    Edge(RemoteNeed, Option<EdgeReason>),
    Here { current: LoadedGuard, need: RemoteNeed, look_up: Option<GeoQuery> },
}

/// Stands for the machine's own address, as a member of `context.geo` or as its `ipAddress`.
const OWN_ADDRESS: &str = "unknownIpAddress";

/// An address whose place a decision wants to know.
pub(crate) struct GeoQuery {
    /// None: the machine's own.
    address: Option<String>,
}

impl GeoQuery {
    /// What has to be looked up for a request: an artifact may ask for it, where nothing but an address is given.
    pub(crate) fn of(artifact: &Artifact, request: Option<Value<'_>>) -> Option<GeoQuery> {
        if !artifact.geo_targeting_enabled {
            return None;
        }
        let geo = request?.get("context")?.get("geo")?;
        let is_given = |key: &str| geo.get(key).is_some_and(|value| !value.is_null());
        if ["countryCode", "stateCode", "city", "latitude", "longitude"].into_iter().any(is_given) {
            return None;
        }
        match geo.get("ipAddress").and_then(Value::as_str) {
            Some(address) if address == OWN_ADDRESS => Some(GeoQuery { address: None }),
            Some(address) if is_ip_address(&address) => Some(GeoQuery { address: Some(address.trim().to_owned()) }),
            Some(_) => None,
            None => is_given(OWN_ADDRESS).then_some(GeoQuery { address: None }),
        }
    }
}

impl Shared {
    /// Chooses by what the request asks for; it need not have been checked.
    pub(crate) fn route(&self, method: DecisioningMethod, request: Option<Value<'_>>, mbox_names: &[String]) -> Route {
        if method == DecisioningMethod::ServerSide {
            return Route::Edge(RemoteNeed::default(), None);
        }
        let hybrid = method == DecisioningMethod::Hybrid;
        let without_artifact = || Route::Edge(RemoteNeed::default(), Some(EdgeReason::NotReady));
        let Some(on_device) = &self.on_device else {
            return if hybrid { without_artifact() } else { Route::NotReady(TargetError::never_ready()) };
        };
        let current = on_device.source.current();
        let member = |key: &str| request.and_then(|request| request.get(key));
        let need = (*current)
            .as_ref()
            .map(|loaded| remote_need(&loaded.artifact, member("execute"), member("prefetch"), mbox_names));
        // What visitors saw and clicked is the edge's business, whoever decides.
        let reports = member("notifications").is_some_and(|list| !list.is_null() && !list.is_empty());
        match need {
            Some(need) if !hybrid || (need.is_empty() && !reports) => Route::Here(current, need),
            Some(need) => {
                let reason = need.is_empty().then_some(EdgeReason::Notifications);
                Route::Edge(need, reason)
            }
            None if hybrid => without_artifact(),
            None => Route::NotReady(on_device.source.not_ready_error()),
        }
    }

    /// Decides a call. `control` is there where something has to be looked up first.
    pub(crate) fn decide_here(
        &self,
        call: Call,
        request: Option<Value<'_>>,
        control: Option<&Arc<CallControl>>,
    ) -> Result<RawEnvelope, TargetError> {
        let Call { operation, normalized, place: Place::Here { current, need, look_up }, .. } = call else {
            return Err(TargetError::internal("a decision that the edge has to make"));
        };
        let Some(loaded) = &*current else { return Err(TargetError::not_ready()) };
        let started = self.edge.telemetry.is_enabled().then(Instant::now);
        let Normalized { parts, cluster, session_id, visitor_state, features, decided_here, .. } = normalized;
        let (Some(part), Some(mut here)) = (parts.into_iter().next(), decided_here) else {
            return Err(TargetError::internal("a decision without a request"));
        };
        let located = match (look_up, control, &self.on_device) {
            (Some(query), Some(control), Some(on_device)) => on_device.geo.look_up(query.address.as_deref(), control),
            _ => None,
        };
        let member = |key: &str| request.and_then(|request| request.get(key)).filter(|value| !value.is_null());
        let context = member("context");
        let geo = match &located {
            Some(located) => located.geo.clone(),
            None => Geo::of_request(context.and_then(|context| context.get("geo"))),
        };
        let now_ms = self.clock.now_ms();
        let texts = ContextTexts::of(context);
        let added: Vec<(&str, i64)> = here.added.iter().map(|(name, index)| (&**name, *index)).collect();
        let asked = |key: &str| member(key).filter(|part| part.kind() == Kind::Object && !part.is_empty());
        let decision_request = DecisionRequest {
            client: &self.config.client,
            request_id: &part.request_id,
            session_id: &session_id,
            id: here.id.clone().and_then(|place| here.common.get(place)).unwrap_or("{}"),
            visitor_id: &here.visitor_id,
            property_token: here.property_token.as_deref(),
            context: Context::new(&texts, geo, now_ms),
            execute: asked("execute"),
            prefetch: asked("prefetch"),
            added: &added,
            all_matching_mboxes: &self.config.all_matching_mboxes,
            trace: member("trace").map(|_| TraceFacts {
                location: &loaded.location,
                polling_interval_ms: loaded.polling_interval_ms,
                // Polling goes on for the client's life, and there are no decisions after it.
                polling_halted: false,
                retrieval_count: loaded.retrieval_count,
                retrieved_ms: loaded.retrieved_ms,
            }),
        };
        // Once it is decided the visitor counts as having seen it; a call that ends before that counts nothing.
        if let Some(control) = control.filter(|control| control.end().is_some() || control.remaining().is_none()) {
            self.edge.stats.failed(Phase::Send);
            return Err(ended_or_late(control, Phase::Send, "before the decision"));
        }
        let decision = decide(&loaded.artifact, &decision_request, &need);
        drop(decision_request);
        count(&self.edge.stats.decisions);
        self.note_failures(&decision.failures);
        if let Some(started) = started {
            let duration = started.elapsed().as_secs_f64() * 1000.0;
            self.edge.telemetry.record_local(&part.request_id, now_ms, duration, features);
        }
        let target_cookie = TargetCookie::of_visitor(&session_id, here.tnt_id.as_deref(), now_ms);
        let location_hint_cookie = cluster.as_deref().map(TargetCookie::of_location_hint);
        let mut not_queued = Vec::new();
        if !decision.impressions.is_empty() {
            if let Some(located) = &located {
                let context = here.common.get(here.context.clone()).map(|context| with_geo(context, located));
                if let Some(context) = context {
                    // What is behind the context moves with its end.
                    let (old, new) = (here.context.len(), context.len());
                    here.common.replace_range(here.context, &context);
                    here.generated_id = here.generated_id.map(|id| id.start + new - old..id.end + new - old);
                }
            }
            let frame = Frame {
                query: query(&self.config, &session_id),
                session_id: session_id.into(),
                cluster,
                common: here.common,
                own_id: here.generated_id,
            };
            let impressions = decision.impressions.into_iter();
            let notifications = impressions.map(|Impression { id, text }| Notification { id, text, once: false });
            if let Err(refused) =
                self.notifications.submit(Submission { frame, notifications: notifications.collect() })
            {
                crate::log::warn(format_args!("impressions of a decision are handed back: {}", refused.error));
                self.notifications.handed_back(refused.notifications.len());
                not_queued = refused.notifications.into_iter().map(|notification| notification.text).collect();
            }
        }
        let attributes = match operation {
            Operation::GetAttributes => match Document::parse(&decision.response, Strictness::Artifact) {
                Ok(document) => Some(attributes(document.root())),
                Err(_) => return Err(TargetError::internal("an answer that is no JSON")),
            },
            _ => None,
        };
        Ok(RawEnvelope {
            response: decision.response,
            target_cookie,
            location_hint_cookie,
            gathered: decision.gathered,
            meta: Meta {
                decisioning_method: DecisioningMethod::OnDevice.as_str(),
                remote_mboxes: need.mboxes,
                remote_views: need.views,
                ..Default::default()
            },
            not_queued,
            request: part.body,
            visitor_state,
            attributes,
        })
    }
}

impl Shared {
    /// Decides one mbox of texts instead of JSON.
    pub(crate) fn decide_mbox(&self, query: &MboxQuery<'_>) -> Result<MboxDecision, TargetError> {
        let missing = |field: &str| {
            self.edge.stats.failed(Phase::Validate);
            Err(TargetError::invalid_options(field, format!("`{field}` must not be empty")))
        };
        if query.mbox.is_empty() {
            return missing("mbox");
        }
        if query.visitor_id.is_empty() {
            return missing("visitor_id");
        }
        let Some(on_device) = &self.on_device else { return Err(TargetError::never_ready()) };
        let current = on_device.source.current();
        let Some(loaded) = &*current else { return Err(on_device.source.not_ready_error()) };
        let matches_all = self.config.all_matching_mboxes.iter().any(|mbox| mbox == query.mbox);
        let property = self.config.property_token.as_deref();
        let (decision, failures) = decide_mbox(&loaded.artifact, query, property, matches_all, self.clock.now_ms());
        count(&self.edge.stats.decisions);
        self.note_failures(&failures);
        Ok(decision)
    }

    fn note_failures(&self, failures: &RuleFailures) {
        if failures.count == 0 {
            return;
        }
        self.edge.stats.rule_errors.fetch_add(failures.count, Ordering::Relaxed);
        for failed in &failures.first_ones {
            crate::log::warn(format_args!("rule {}: {}", failed.rule_key, failed.reason));
            self.edge.events.emit(EventKind::ArtifactRuleSkipped, |event| {
                event.string("rule_key", &failed.rule_key);
                event.string("reason", &failed.reason);
            });
        }
    }
}

/// A request's context with the place that was looked up.
fn with_geo(context: &str, located: &Located) -> String {
    let mut out = String::with_capacity(context.len() + 128);
    let mut object = ObjectWriter::begin(&mut out);
    if let Ok(document) = Document::parse(context, Strictness::Options) {
        for (key, value) in document.root().members().filter(|(key, _)| key != "geo") {
            object.foreign_key(&key).push_str(value.raw());
        }
    }
    located.write(object.key("geo"));
    object.end();
    out
}
