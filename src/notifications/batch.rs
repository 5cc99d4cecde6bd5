//! Notifications on their way: what each is, what a request has around them, and which can share one.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::spool::Ticket;
use crate::json::{Document, Strictness};

/// What a request has around its notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub session_id: Arc<str>,
    /// Of the URL.
    pub query: String,
    pub cluster: Option<String>,
    /// Members of the request besides its own id and the notifications, each behind a comma.
    pub common: String,
    /// Of an id in `common` that was made for one call alone, and does not keep it from going out with others.
    pub own_id: Option<Range<usize>>,
}

/// One notification as the queue takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notification {
    pub id: String,
    /// The JSON object.
    pub text: String,
    /// A click or an order that is not repeated once it may have been counted.
    pub once: bool,
}

/// What one call hands over: taken whole or not at all.
#[derive(Debug)]
pub(crate) struct Submission {
    pub frame: Frame,
    pub notifications: Vec<Notification>,
}

/// One notification that the queue has taken.
#[derive(Debug)]
pub(super) struct Entry {
    pub notification: Notification,
    /// Of the id, so that looking for equal ones reads none of the others.
    id_hash: u64,
    /// In the order of acceptance; the queue gives it.
    pub number: u64,
    /// By the wall clock, in milliseconds since 1970.
    pub accepted_ms: i64,
    /// Requests that it was part of.
    pub attempts: u32,
    /// Its place in the spool.
    pub ticket: Option<Ticket>,
    /// What the edge said when it refused it alone.
    pub refusal: Option<Refusal>,
    /// The edge has taken others of its request.
    pub vouched: bool,
}

/// Notifications of one session for one request.
#[derive(Debug)]
pub(super) struct Batch {
    pub frame: Arc<Frame>,
    pub entries: Vec<Entry>,
    /// Not to be sent before.
    pub due: Instant,
    /// The edge asked not to be asked before, whatever the hurry.
    pub not_before: Option<Instant>,
    /// The same in every attempt of the same notifications.
    pub request_id: String,
    /// Whether a first attempt was made.
    pub tried: bool,
    /// It holds up nothing of its session, and nothing holds it up.
    pub alone: bool,
    /// It finds out whether its surroundings are still refused.
    pub probe: bool,
    /// Part of a batch that is searched for the notification that the edge refuses.
    pub search: Option<u64>,
}

/// What the edge said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub http_status: Option<u16>,
    pub api_message: Option<String>,
}

/// Organization, property and context of requests: what notifications of several batches can share a fault in.
pub(super) type Family = u64;

impl Frame {
    /// Whether one request can report what is in both.
    pub(super) fn goes_with(&self, other: &Frame) -> bool {
        self.session_id == other.session_id
            && self.query == other.query
            && self.cluster == other.cluster
            && self.around_id() == other.around_id()
    }

    fn around_id(&self) -> (Option<&str>, Option<&str>) {
        match &self.own_id {
            None => (Some(&self.common), None),
            Some(place) => (self.common.get(..place.start), self.common.get(place.end..)),
        }
    }

    pub(super) fn family(&self) -> Family {
        let mut hasher = DefaultHasher::new();
        // The organization stands at the beginning, before the session.
        self.query.split('&').find(|part| part.starts_with("imsOrgId=")).hash(&mut hasher);
        let text = format!("{{{}}}", self.common.strip_prefix(',').unwrap_or(&self.common));
        match Document::parse(&text, Strictness::Answer) {
            Ok(document) => {
                for member in ["property", "context"] {
                    document.root().get(member).map(|value| value.raw().to_owned()).hash(&mut hasher);
                }
            }
            Err(_) => text.hash(&mut hasher),
        }
        hasher.finish()
    }
}

impl Entry {
    pub(super) fn new(notification: Notification, ticket: Option<Ticket>, accepted_ms: i64) -> Self {
        let mut hasher = DefaultHasher::new();
        notification.id.hash(&mut hasher);
        let id_hash = hasher.finish();
        Entry { notification, id_hash, number: 0, accepted_ms, attempts: 0, ticket, refusal: None, vouched: false }
    }

    fn has_id_of(&self, other: &Entry) -> bool {
        self.id_hash == other.id_hash && self.notification.id == other.notification.id
    }

    /// Whether the spool has to know of an attempt before it is made.
    pub(super) fn is_marked_before(&self) -> bool {
        self.notification.once && self.ticket.is_some()
    }
}

impl Batch {
    pub(super) fn new(frame: Arc<Frame>, entries: Vec<Entry>, due: Instant) -> Self {
        Batch {
            frame,
            entries,
            due,
            not_before: None,
            request_id: String::new(),
            tried: false,
            alone: false,
            probe: false,
            search: None,
        }
    }

    /// Some of its notifications as a batch of their own, for another request.
    pub(super) fn with(&self, entries: Vec<Entry>, due: Instant) -> Self {
        Batch {
            not_before: None,
            request_id: String::new(),
            tried: true,
            alone: self.alone,
            search: self.search,
            ..Batch::new(Arc::clone(&self.frame), entries, due)
        }
    }

    /// Adds what another one has, where one request can report both and neither went out before.
    pub(super) fn absorb(&mut self, next: Batch, max_batch: usize) -> Result<(), Batch> {
        let fits = !self.tried
            && !next.tried
            && self.entries.len() + next.entries.len() <= max_batch
            && (Arc::ptr_eq(&self.frame, &next.frame) || self.frame.goes_with(&next.frame))
            // The edge answers by id.
            && !next.entries.iter().any(|one| self.entries.iter().any(|other| one.has_id_of(other)));
        if !fits {
            return Err(next);
        }
        self.entries.extend(next.entries);
        Ok(())
    }

    /// The most attempts that one of them has behind it.
    pub(super) fn attempts(&self) -> u32 {
        self.entries.iter().map(|entry| entry.attempts).max().unwrap_or(0)
    }

    /// When the first of them was accepted.
    pub(super) fn oldest_ms(&self) -> i64 {
        self.entries.iter().map(|entry| entry.accepted_ms).min().unwrap_or(i64::MAX)
    }

    pub(super) fn ids(&self) -> Vec<String> {
        ids(&self.entries)
    }
}

pub(super) fn ids(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.notification.id.clone()).collect()
}

/// Lists of so many at the most, in order; equal ids are kept apart, since the edge answers by id.
pub(super) fn cut(entries: Vec<Entry>, most: usize) -> Vec<Vec<Entry>> {
    if entries.len() == 1 {
        return vec![entries];
    }
    let mut lists: Vec<Vec<Entry>> = Vec::with_capacity(1);
    for entry in entries {
        match lists.last_mut().filter(|last| last.len() < most && !last.iter().any(|one| one.has_id_of(&entry))) {
            Some(last) => last.push(entry),
            None => lists.push(vec![entry]),
        }
    }
    lists
}
