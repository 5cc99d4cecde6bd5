//! Telemetry of finished calls that waits for the next delivery request of the client.

use std::collections::VecDeque;
use std::sync::Mutex;

use crate::json::{ObjectWriter, Value};
use crate::sync::lock;

/// Entries that wait at the most; the oldest goes.
const MAX_ENTRIES: usize = 100;

/// What a request asked for, in telemetry's words.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Features {
    pub execute_mbox_count: usize,
    pub execute_page_load: bool,
    pub prefetch_mbox_count: usize,
    pub prefetch_page_load: bool,
    pub prefetch_view_count: usize,
}

/// The entries of one client, each as JSON text.
#[derive(Debug, Default)]
pub(crate) struct TelemetryQueue {
    enabled: bool,
    entries: Mutex<VecDeque<String>>,
}

impl TelemetryQueue {
    pub(crate) fn new(enabled: bool) -> Self {
        TelemetryQueue { enabled, entries: Mutex::default() }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Takes all entries, for a request that is about to be sent.
    pub(crate) fn take(&self) -> Vec<String> {
        if self.enabled { lock(&self.entries).drain(..).collect() } else { Vec::new() }
    }

    /// Puts entries back that a failed request did not deliver.
    pub(crate) fn put_back(&self, entries: Vec<String>) {
        let mut queue = lock(&self.entries);
        for entry in entries.into_iter().rev() {
            if queue.len() < MAX_ENTRIES {
                queue.push_front(entry);
            }
        }
    }

    /// Notes a call that the edge decided. `response` is its answer, `duration` in milliseconds.
    pub(crate) fn record(&self, request_id: &str, response: Value<'_>, now_ms: i64, duration: f64, features: Features) {
        if !self.enabled {
            return;
        }
        let text_of = |key: &str| response.get(key).filter(|value| !value.is_null());
        let from_edge = text_of("edgeHost").is_some_and(|host| host.as_str().is_none_or(|host| !host.is_empty()));
        let mode = if from_edge { "edge" } else { "local" };
        let token = text_of("telemetryServerToken").and_then(Value::as_str);
        self.push(request_id, now_ms, mode, duration, "server-side", features, token.as_deref());
    }

    /// Notes a call that was decided on this machine.
    pub(crate) fn record_local(&self, request_id: &str, now_ms: i64, duration: f64, features: Features) {
        if self.enabled {
            self.push(request_id, now_ms, "local", duration, "on-device", features, None);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the members of one entry")]
    fn push(
        &self,
        request_id: &str,
        now_ms: i64,
        mode: &str,
        duration: f64,
        method: &str,
        features: Features,
        server_token: Option<&str>,
    ) {
        let mut entry = String::with_capacity(256);
        let mut object = ObjectWriter::begin(&mut entry);
        object.string("requestId", request_id);
        object.number("timestamp", now_ms);
        object.string("mode", mode);
        object.raw("execution", &((duration * 100.0).round() / 100.0).to_string());
        let mut list = ObjectWriter::begin(object.key("features"));
        list.string("decisioningMethod", method);
        for (key, count) in [
            ("executeMboxCount", features.execute_mbox_count),
            ("prefetchMboxCount", features.prefetch_mbox_count),
            ("prefetchViewCount", features.prefetch_view_count),
        ] {
            if count > 0 {
                list.number(key, count);
            }
        }
        if features.execute_page_load {
            list.boolean("executePageLoad", true);
        }
        if features.prefetch_page_load {
            list.boolean("prefetchPageLoad", true);
        }
        list.end();
        if let Some(token) = server_token {
            object.string("telemetryServerToken", token);
        }
        object.end();
        let mut queue = lock(&self.entries);
        if queue.len() >= MAX_ENTRIES {
            queue.pop_front();
        }
        queue.push_back(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(queue: &TelemetryQueue, id: &str, duration: f64) {
        let document = crate::json::Document::parse("{}", crate::json::Strictness::Answer).unwrap();
        queue.record(id, document.root(), 0, duration, Features::default());
    }

    #[test]
    fn the_oldest_entry_goes_and_failed_ones_come_back_first() {
        let queue = TelemetryQueue::new(true);
        for n in 0..150 {
            record(&queue, &n.to_string(), 1.234);
        }
        let entries = queue.take();
        assert_eq!(entries.len(), MAX_ENTRIES);
        assert!(entries[0].contains(r#""requestId":"50""#), "{}", entries[0]);
        assert!(entries[0].contains(r#""execution":1.23"#), "{}", entries[0]);
        record(&queue, "new", 1.0);
        queue.put_back(entries.into_iter().take(2).collect());
        let entries = queue.take();
        assert!(entries[0].contains(r#""50""#) && entries[2].contains(r#""new""#));
    }

    #[test]
    fn nothing_is_kept_when_it_is_off() {
        let queue = TelemetryQueue::new(false);
        record(&queue, "x", 1.0);
        assert!(queue.take().is_empty());
    }
}
