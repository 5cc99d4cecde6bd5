//! What has become of notifications, told: to the spool, in events, in the log. No lock is held meanwhile.

use super::batch::{Entry, Refusal, ids};
use super::durable::Store;
use super::queue::{Outcome, Settled, Told};
use super::spool::Ticket;
use crate::clock::wall_ms;
use crate::error::TargetError;
use crate::events::{EventKind, Events};
use crate::json::ObjectWriter;

pub(super) fn tickets(entries: &[Entry]) -> Vec<Ticket> {
    entries.iter().filter_map(|entry| entry.ticket).collect()
}

pub(super) fn tell(told: Vec<Told>, store: Option<&Store>, events: &Events) {
    for told in told {
        match told {
            Told::Settled(settled) => tell_settled(&settled, store, events),
            Told::SharedFault { ids, refusal } => {
                let status = refusal.http_status.unwrap_or(400);
                let error = TargetError::shared_fault(status, refusal.api_message);
                tell_error(&error, &ids, events);
            }
        }
    }
}

/// Of a request that brought no success.
pub(super) fn tell_error(error: &TargetError, ids: &[String], events: &Events) {
    crate::log::warn(format_args!("{} notifications were not delivered: {error}", ids.len()));
    events.emit(EventKind::SendNotificationError, |event| {
        event.raw("error", &error.to_json());
        event.strings("ids", ids);
    });
}

fn tell_settled(settled: &Settled, store: Option<&Store>, events: &Events) {
    if let Some(store) = store {
        if let Outcome::Rejected(refusal) = &settled.outcome {
            settled.entries.iter().for_each(|entry| store.reject(&rejected_line(settled, entry, refusal)));
        }
        store.finish(&tickets(&settled.entries));
    }
    let kind = match settled.outcome {
        Outcome::Acknowledged => EventKind::NotificationAcknowledged,
        Outcome::Rejected(_) => EventKind::NotificationRejected,
        Outcome::Dropped(_) => EventKind::NotificationDropped,
    };
    events.emit(kind, |event| {
        event.strings("ids", ids(&settled.entries));
        event.string("session_id", &settled.frame.session_id);
        match &settled.outcome {
            Outcome::Acknowledged => {}
            Outcome::Dropped(reason) => event.string("reason", reason.as_str()),
            Outcome::Rejected(refusal) => {
                event.string("reason", "rejected");
                write_refusal(event, refusal);
            }
        }
        event.number("attempts", settled.entries.iter().map(|entry| entry.attempts).max().unwrap_or(0));
    });
}

fn write_refusal(object: &mut ObjectWriter<'_>, refusal: &Refusal) {
    if let Some(status) = refusal.http_status {
        object.number("http_status", status);
    }
    if let Some(message) = &refusal.api_message {
        object.string("api_message", message);
    }
}

/// A line of `rejected.jsonl`: all that is needed to see what was wrong, and to send it again by hand.
/// `request` has what the request had around its notifications.
fn rejected_line(settled: &Settled, entry: &Entry, refusal: &Refusal) -> String {
    let mut line = String::with_capacity(entry.notification.text.len() + 256);
    let mut object = ObjectWriter::begin(&mut line);
    object.number("timestamp", wall_ms());
    object.string("session_id", &settled.frame.session_id);
    write_refusal(&mut object, refusal);
    object.number("attempts", entry.attempts);
    let common = &settled.frame.common;
    object.raw("request", &format!("{{{}}}", common.strip_prefix(',').unwrap_or(common)));
    object.raw("notification", &entry.notification.text);
    object.end();
    line
}
