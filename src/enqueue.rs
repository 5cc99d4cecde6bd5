//! Notifications that a caller hands to the background queue.

use crate::delivery::normalize::{Circumstances, Queued, normalize, query};
use crate::error::TargetError;
use crate::json::{Document, ObjectWriter};
use crate::notifications::batch::{Frame, Submission};
use crate::options::{Operation, ParsedOptions};
use crate::shared::Shared;

/// What [`TargetClient::enqueue_notifications`](crate::TargetClient::enqueue_notifications) has taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enqueued {
    /// Ids, in the order of the request.
    pub accepted: Vec<String>,
}

impl Enqueued {
    /// `{"accepted":[ids]}`.
    pub fn to_json(&self) -> String {
        // With room for the NUL of a C string.
        let ids: usize = self.accepted.iter().map(|id| id.len() + 3).sum();
        let mut out = String::with_capacity(16 + ids);
        let mut object = ObjectWriter::begin(&mut out);
        object.strings("accepted", &self.accepted);
        object.end();
        out
    }
}

impl Shared {
    /// Takes all notifications of a request, or none.
    pub(crate) fn enqueue(&self, options: &str) -> Result<Enqueued, TargetError> {
        self.edge.stats.call(Operation::EnqueueNotifications);
        let document = self.parsed(options)?;
        self.enqueue_document(&document).inspect_err(|error| self.edge.stats.failed(error.details().phase))
    }

    fn enqueue_document(&self, document: &Document<'_>) -> Result<Enqueued, TargetError> {
        if self.calls.is_closed() {
            return Err(TargetError::closed());
        }
        let operation = Operation::EnqueueNotifications;
        let options = ParsedOptions::read(document.root(), operation)?;
        let circumstances =
            Circumstances { now_ms: self.clock.now_ms(), location_hint: self.location_hint(), decided_here: false };
        let normalized = normalize(&self.config, circumstances, &options, operation, &[], &self.edge.telemetry)?;
        let Some(Queued { common, own_id, mut notifications }) = normalized.queued else {
            return Err(TargetError::internal("notifications on their way to the edge"));
        };
        let repeats = options.retry_clicks.unwrap_or(self.config.retry_clicks);
        for notification in &mut notifications {
            notification.once &= !repeats;
        }
        let accepted = notifications.iter().map(|notification| notification.id.clone()).collect();
        let frame = Frame {
            query: query(&self.config, &normalized.session_id),
            session_id: normalized.session_id.into(),
            cluster: normalized.cluster,
            common,
            own_id,
        };
        match self.notifications.submit(Submission { frame, notifications }) {
            Ok(()) => Ok(Enqueued { accepted }),
            Err(not_taken) => Err(not_taken.error),
        }
    }
}
