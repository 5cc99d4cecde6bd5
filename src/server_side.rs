//! Calls that the edge decides: their parts, delivered one after the other, and the answers made one result.

use std::sync::Arc;

use crate::call::Call;
use crate::config::DecisioningMethod;
use crate::cookies::TargetCookie;
use crate::delivery::normalize::{Normalized, Part, query};
use crate::envelope::{Acknowledgement, Answer, Digest, Meta, RawEnvelope, acknowledge, merge};
use crate::error::{NotificationOutcome, PartialResult, Phase, TargetError};
use crate::events::EventKind;
use crate::ids;
use crate::local_decisions::Place;
use crate::options::Operation;
use crate::shared::Shared;
use crate::transport::control::CallControl;
use crate::transport::retry::{Fate, Shipment, Undelivered, deliver};

impl Shared {
    /// Sends the parts of a call and makes its result.
    pub(crate) fn send_parts(&self, call: Call, control: &Arc<CallControl>) -> Result<RawEnvelope, TargetError> {
        let Call { operation, mut normalized, place, retry_clicks, .. } = call;
        let (need, edge_reason) = match place {
            Place::Edge(need, reason) => (need, reason),
            Place::Here { .. } => return Err(TargetError::internal("a decision on its way to the edge")),
        };
        let query = query(&self.config, &normalized.session_id);
        let urls = self.edge.urls(normalized.cluster.as_deref(), &query);
        let parts = std::mem::take(&mut normalized.parts);
        let single = parts.len() == 1;
        let has_notifications = parts.iter().any(|part| !part.notification_ids.is_empty());
        let mut request = normalized.whole_request.take();
        let mut acknowledgement = Acknowledgement::default();
        let mut received: Vec<(Answer, Digest)> = Vec::with_capacity(parts.len());
        let mut parts = parts.into_iter();
        while let Some(part) = parts.next() {
            let header_id = ids::uuid();
            let shipment = Shipment {
                url: &urls.first,
                fallback_url: urls.fallback.as_deref(),
                request_id: &header_id,
                body: &part.body,
                repeatable: part.repeatable || retry_clicks,
            };
            let is_first = received.is_empty();
            match self.send_part(&shipment, control, operation, is_first, &part, &normalized, &mut acknowledgement) {
                Ok(answer) => {
                    received.push(answer);
                    if single {
                        request = Some(part.body);
                    }
                }
                Err(Undelivered { error, fate }) => {
                    if is_first {
                        self.edge.telemetry.put_back(std::mem::take(&mut normalized.telemetry));
                    }
                    if !has_notifications {
                        return Err(error);
                    }
                    let outcome = outcome_of_failure(fate, part.notification_ids, acknowledgement, parts);
                    return Err(self.report_failure(error, outcome, operation));
                }
            }
        }
        if has_notifications {
            self.edge.stats.processed(&acknowledgement);
        }
        let (answer, digest) = match received.pop() {
            Some(only) if received.is_empty() => only,
            last => {
                let answer = merge(received.into_iter().chain(last).map(|(answer, _)| answer))?;
                let digest = Digest::of(answer.document()?.root(), operation == Operation::GetAttributes);
                (answer, digest)
            }
        };
        let hint = normalized.cluster.or(digest.cluster);
        Ok(RawEnvelope {
            response: answer.into_text(),
            target_cookie: TargetCookie::of_visitor(
                &normalized.session_id,
                digest.tnt_id.as_deref(),
                self.clock.now_ms(),
            ),
            location_hint_cookie: hint.as_deref().map(TargetCookie::of_location_hint),
            gathered: digest.gathered,
            meta: Meta {
                decisioning_method: DecisioningMethod::ServerSide.as_str(),
                remote_mboxes: need.mboxes,
                remote_views: need.views,
                edge_reason,
                notifications: has_notifications.then_some(acknowledgement),
                ..Default::default()
            },
            not_queued: Vec::new(),
            request: request.unwrap_or_default(),
            visitor_state: normalized.visitor_state,
            attributes: digest.attributes,
        })
    }

    /// Delivers one part and reads its answer.
    #[allow(clippy::too_many_arguments, reason = "one part of `execute`, cut out so that each can be read")]
    fn send_part(
        &self,
        shipment: &Shipment<'_>,
        control: &Arc<CallControl>,
        operation: Operation,
        is_first: bool,
        part: &Part,
        normalized: &Normalized,
        acknowledgement: &mut Acknowledgement,
    ) -> Result<(Answer, Digest), Undelivered> {
        let answer = deliver(&*self.edge.transport, shipment, &self.config.retry, control, &self.edge.stats).map_err(
            |mut undelivered| {
                undelivered.error.details_mut().request_id = Some(part.request_id.clone());
                undelivered
            },
        )?;
        let (status, attempts) = (answer.status, answer.attempts);
        let unreadable = |mut error: TargetError| {
            self.edge.stats.failed(Phase::Response);
            let details = error.details_mut();
            details.http_status = Some(status);
            details.request_id = Some(part.request_id.clone());
            details.attempts = attempts;
            details.elapsed_ms = control.elapsed().as_millis() as u64;
            Undelivered { error, fate: Fate::Unknown }
        };
        let answer = Answer::new(answer.body).map_err(unreadable)?;
        let document = answer.document().map_err(unreadable)?;
        let response = document.root();
        if is_first {
            let duration = control.elapsed().as_secs_f64() * 1000.0;
            self.edge.telemetry.record(&part.request_id, response, self.clock.now_ms(), duration, normalized.features);
        }
        acknowledge(response, &part.notification_ids, acknowledgement);
        let digest = Digest::of(response, operation == Operation::GetAttributes);
        drop(document);
        Ok((answer, digest))
    }

    fn report_failure(&self, error: TargetError, outcome: NotificationOutcome, operation: Operation) -> TargetError {
        self.edge.stats.notifications(&outcome);
        let unprocessed: Vec<String> =
            [&outcome.rejected, &outcome.unknown, &outcome.not_sent].into_iter().flatten().cloned().collect();
        let error = error.with_result(PartialResult::Notifications(outcome));
        if operation == Operation::SendNotifications {
            self.edge.events.emit(EventKind::SendNotificationError, |event| {
                event.raw("error", &error.to_json());
                event.strings("ids", &unprocessed);
            });
        }
        error
    }
}

/// What became of the notifications of a call whose current part failed.
fn outcome_of_failure(
    fate: Fate,
    ids: Vec<String>,
    acknowledgement: Acknowledgement,
    rest: impl Iterator<Item = Part>,
) -> NotificationOutcome {
    let mut outcome = NotificationOutcome { acknowledged: acknowledgement.acknowledged, ..Default::default() };
    outcome.not_sent = acknowledgement.unacknowledged;
    match fate {
        Fate::NotSent => outcome.not_sent.extend(ids),
        Fate::Refused => outcome.rejected = ids,
        Fate::Unknown => outcome.unknown = ids,
    }
    outcome.not_sent.extend(rest.flat_map(|part| part.notification_ids));
    outcome
}
