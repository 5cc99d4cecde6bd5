//! Counters of a client, changed and read under one lock so that they add up.

use std::sync::Mutex;

use crate::envelope::Acknowledgement;
use crate::error::{NotificationOutcome, Phase};
use crate::json::ObjectWriter;
use crate::options::Operation;
use crate::sync::lock;

const PHASES: [Phase; 11] = [
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
    /// Calls in progress, those that wait for a thread included.
    pub in_flight: u64,
    /// HTTP requests.
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
        let mut notifications = ObjectWriter::begin(object.key("notifications"));
        notifications.number("acknowledged", self.notifications_acknowledged);
        notifications.number("not_processed", self.notifications_not_processed);
        notifications.number("rejected", self.notifications_rejected);
        notifications.number("unknown", self.notifications_unknown);
        notifications.end();
        object.number("completions_lost", self.completions_lost);
        object.end();
        out
    }
}

#[derive(Debug, Default)]
struct Counters {
    calls: [u64; 3],
    requests: u64,
    retries: u64,
    errors: [u64; PHASES.len()],
    notifications: [u64; 4],
    completions_lost: u64,
}

/// The counters behind [`ClientStats`].
#[derive(Debug, Default)]
pub(crate) struct Stats(Mutex<Counters>);

impl Stats {
    pub(crate) fn call(&self, operation: Operation) {
        let at = match operation {
            Operation::GetOffers => 0,
            Operation::GetAttributes => 1,
            Operation::SendNotifications => 2,
        };
        bump(&mut lock(&self.0).calls, at, 1);
    }

    pub(crate) fn request_sent(&self, is_retry: bool) {
        let mut counters = lock(&self.0);
        counters.requests += 1;
        counters.retries += u64::from(is_retry);
    }

    pub(crate) fn failed(&self, phase: Phase) {
        let at = PHASES.iter().position(|p| *p == phase).unwrap_or(0);
        bump(&mut lock(&self.0).errors, at, 1);
    }

    /// Of a call that failed.
    pub(crate) fn notifications(&self, outcome: &NotificationOutcome) {
        let mut counters = lock(&self.0);
        let lists = [&outcome.acknowledged, &outcome.not_sent, &outcome.rejected, &outcome.unknown];
        for (at, list) in lists.into_iter().enumerate() {
            bump(&mut counters.notifications, at, list.len() as u64);
        }
    }

    /// Of a call that succeeded.
    pub(crate) fn processed(&self, acknowledgement: &Acknowledgement) {
        let mut counters = lock(&self.0);
        bump(&mut counters.notifications, 0, acknowledgement.acknowledged.len() as u64);
        bump(&mut counters.notifications, 1, acknowledgement.unacknowledged.len() as u64);
    }

    pub(crate) fn completion_lost(&self) {
        lock(&self.0).completions_lost += 1;
    }

    /// A consistent reading; what other parts count is filled in by the client.
    pub(crate) fn read(&self) -> ClientStats {
        let counters = lock(&self.0);
        let [get_offers, get_attributes, send_notifications] = counters.calls;
        let [acknowledged, not_processed, rejected, unknown] = counters.notifications;
        ClientStats {
            get_offers,
            get_attributes,
            send_notifications,
            requests: counters.requests,
            retries: counters.retries,
            errors: PHASES.into_iter().zip(counters.errors).filter(|(_, count)| *count > 0).collect(),
            notifications_acknowledged: acknowledged,
            notifications_not_processed: not_processed,
            notifications_rejected: rejected,
            notifications_unknown: unknown,
            completions_lost: counters.completions_lost,
            ..Default::default()
        }
    }
}

fn bump(counters: &mut [u64], at: usize, by: u64) {
    if let Some(counter) = counters.get_mut(at) {
        *counter += by;
    }
}
