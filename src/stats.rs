//! Counters of a client. Those of requests are changed and read under one lock so that they add up; what a
//! decision on this machine counts is atomic, because there a lock would be what threads wait for.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::envelope::Acknowledgement;
use crate::error::{NotificationOutcome, Phase};
use crate::json::ObjectWriter;
use crate::notifications::queue::QueueStats;
use crate::options::Operation;
use crate::sync::lock;

pub(crate) const PHASES: [Phase; 11] = [
    Phase::Validate,
    Phase::Resolve,
    Phase::Connect,
    Phase::Tls,
    Phase::Proxy,
    Phase::Send,
    Phase::Receive,
    Phase::Response,
    Phase::Decide,
    Phase::Queue,
    Phase::Storage,
];

/// What a client has done since it was created.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStats {
    /// Calls of `get_offers`.
    pub get_offers: u64,
    /// Calls of `get_attributes`.
    pub get_attributes: u64,
    /// Calls of `send_notifications`.
    pub send_notifications: u64,
    /// The same of `enqueue_notifications`.
    pub enqueue_notifications: u64,
    /// Calls in progress, those that wait for a thread included.
    pub in_flight: u64,
    /// HTTP requests to delivery hosts.
    pub requests: u64,
    /// Those of them that repeat another.
    pub retries: u64,
    /// Refused calls (`validate`) and failed HTTP requests, by phase; phases without any are left out.
    pub errors: Vec<(Phase, u64)>,
    /// Connections open now.
    pub connections_open: u64,
    /// Connections made.
    pub connections_opened: u64,
    /// Requests that found an open connection.
    pub connections_reused: u64,
    /// Of calls that have returned: notifications answered as processed.
    pub notifications_acknowledged: u64,
    /// Left out of a successful answer, or never sent.
    pub notifications_not_processed: u64,
    /// In a request that the edge refused.
    pub notifications_rejected: u64,
    /// Sent and not answered.
    pub notifications_unknown: u64,
    /// Finished asynchronous calls without callbacks that nobody took in time.
    pub completions_lost: u64,
    /// Calls decided on this machine.
    pub decisions: u64,
    /// Conditions that could not be evaluated; their rules did not match.
    pub rule_errors: u64,
    /// Requests to the geo service.
    pub geo_look_ups: u64,
    /// Those of them without an answer, and look-ups left out while the service did not answer.
    pub geo_failures: u64,
    /// Look-ups that were answered from memory.
    pub geo_cache_hits: u64,
    /// Notifications in the background: those enqueued, and impressions of decisions on this machine.
    pub queue: QueueStats,
    /// Of on-device decisioning; None for a server-side client.
    pub artifact: Option<ArtifactStats>,
}

/// The artifact in force and how it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArtifactStats {
    /// Its `version`; None while there is no artifact.
    pub version: Option<String>,
    /// The ETag that it came with.
    pub etag: Option<String>,
    /// Where it came from, without a query; `Not Applicable` for one given by the caller.
    pub location: String,
    /// Since it was downloaded, or handed over by the caller.
    pub age: Option<Duration>,
    /// Since the CDN last answered that it is current, or sent it.
    pub checked: Option<Duration>,
    /// Rules in use.
    pub rules: u64,
    /// Rules that could not be used.
    pub skipped_rules: u64,
    /// Artifacts downloaded and accepted.
    pub downloads: u64,
    /// Downloads answered with 304.
    pub not_modified: u64,
    /// Downloads that brought nothing usable.
    pub failures: u64,
}

impl ClientStats {
    /// The object of the C ABI.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(512);
        let mut object = ObjectWriter::begin(&mut out);
        let mut calls = ObjectWriter::begin(object.key("calls"));
        calls.number("get_offers", self.get_offers);
        calls.number("get_attributes", self.get_attributes);
        calls.number("send_notifications", self.send_notifications);
        calls.number("enqueue_notifications", self.enqueue_notifications);
        calls.number("in_flight", self.in_flight);
        calls.end();
        object.number("requests", self.requests);
        object.number("retries", self.retries);
        let mut errors = ObjectWriter::begin(object.key("errors"));
        for (phase, count) in &self.errors {
            errors.number(phase.as_str(), *count);
        }
        errors.end();
        let mut connections = ObjectWriter::begin(object.key("connections"));
        connections.number("open", self.connections_open);
        connections.number("opened", self.connections_opened);
        connections.number("reused", self.connections_reused);
        connections.end();
        let mut notifications = ObjectWriter::begin(object.key("notification_calls"));
        notifications.number("acknowledged", self.notifications_acknowledged);
        notifications.number("not_processed", self.notifications_not_processed);
        notifications.number("rejected", self.notifications_rejected);
        notifications.number("unknown", self.notifications_unknown);
        notifications.end();
        object.number("completions_lost", self.completions_lost);
        object.number("decisions", self.decisions);
        object.number("rule_errors", self.rule_errors);
        let mut geo = ObjectWriter::begin(object.key("geo"));
        geo.number("look_ups", self.geo_look_ups);
        geo.number("failures", self.geo_failures);
        geo.number("cache_hits", self.geo_cache_hits);
        geo.end();
        let mut queue = ObjectWriter::begin(object.key("notifications"));
        self.queue.write(&mut queue);
        queue.end();
        match &self.artifact {
            Some(artifact) => artifact.write(object.key("artifact")),
            None => object.raw("artifact", "null"),
        }
        object.end();
        out
    }
}

impl ArtifactStats {
    fn write(&self, out: &mut String) {
        let mut object = ObjectWriter::begin(out);
        object.optional_string("version", self.version.as_deref());
        object.optional_string("etag", self.etag.as_deref());
        object.string("location", &self.location);
        object.optional_number("age_ms", self.age.map(|age| age.as_millis() as u64));
        object.optional_number("checked_ms", self.checked.map(|checked| checked.as_millis() as u64));
        object.number("rules", self.rules);
        object.number("skipped_rules", self.skipped_rules);
        object.number("downloads", self.downloads);
        object.number("not_modified", self.not_modified);
        object.number("failures", self.failures);
        object.end();
    }
}

#[derive(Debug, Default)]
struct Counters {
    requests: u64,
    retries: u64,
    errors: [u64; PHASES.len()],
    notifications: [u64; 4],
    completions_lost: u64,
}

/// The counters behind [`ClientStats`].
#[derive(Debug, Default)]
pub(crate) struct Stats {
    calls: [AtomicU64; 4],
    pub decisions: AtomicU64,
    pub rule_errors: AtomicU64,
    pub geo_look_ups: AtomicU64,
    pub geo_failures: AtomicU64,
    pub geo_cache_hits: AtomicU64,
    counters: Mutex<Counters>,
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Stats {
    pub(crate) fn call(&self, operation: Operation) {
        let at = match operation {
            Operation::GetOffers => 0,
            Operation::GetAttributes => 1,
            Operation::SendNotifications => 2,
            Operation::EnqueueNotifications => 3,
        };
        if let Some(calls) = self.calls.get(at) {
            count(calls);
        }
    }

    pub(crate) fn request_sent(&self, is_retry: bool) {
        let mut counters = lock(&self.counters);
        counters.requests += 1;
        counters.retries += u64::from(is_retry);
    }

    pub(crate) fn failed(&self, phase: Phase) {
        let at = PHASES.iter().position(|p| *p == phase).unwrap_or(0);
        bump(&mut lock(&self.counters).errors, at, 1);
    }

    /// Of a call that failed.
    pub(crate) fn notifications(&self, outcome: &NotificationOutcome) {
        let mut counters = lock(&self.counters);
        let lists = [&outcome.acknowledged, &outcome.not_sent, &outcome.rejected, &outcome.unknown];
        for (at, list) in lists.into_iter().enumerate() {
            bump(&mut counters.notifications, at, list.len() as u64);
        }
    }

    /// Of a call that succeeded.
    pub(crate) fn processed(&self, acknowledgement: &Acknowledgement) {
        let mut counters = lock(&self.counters);
        bump(&mut counters.notifications, 0, acknowledgement.acknowledged.len() as u64);
        bump(&mut counters.notifications, 1, acknowledgement.unacknowledged.len() as u64);
    }

    pub(crate) fn completion_lost(&self) {
        lock(&self.counters).completions_lost += 1;
    }

    /// A consistent reading; what other parts count is filled in by the client.
    pub(crate) fn read(&self) -> ClientStats {
        let counters = lock(&self.counters);
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [get_offers, get_attributes, send_notifications, enqueue_notifications] =
            [0, 1, 2, 3].map(|at| self.calls.get(at).map_or(0, now));
        let [acknowledged, not_processed, rejected, unknown] = counters.notifications;
        ClientStats {
            get_offers,
            get_attributes,
            send_notifications,
            enqueue_notifications,
            requests: counters.requests,
            retries: counters.retries,
            errors: PHASES.into_iter().zip(counters.errors).filter(|(_, count)| *count > 0).collect(),
            notifications_acknowledged: acknowledged,
            notifications_not_processed: not_processed,
            notifications_rejected: rejected,
            notifications_unknown: unknown,
            completions_lost: counters.completions_lost,
            decisions: now(&self.decisions),
            rule_errors: now(&self.rule_errors),
            geo_look_ups: now(&self.geo_look_ups),
            geo_failures: now(&self.geo_failures),
            geo_cache_hits: now(&self.geo_cache_hits),
            ..Default::default()
        }
    }
}

fn bump(counters: &mut [u64], at: usize, by: u64) {
    if let Some(counter) = counters.get_mut(at) {
        *counter += by;
    }
}
