//! The search for the notification that the edge refuses, and what is known of requests that it refuses whatever is
//! in them.
//!
//! A refused request (400) is halved until the bad notification stands alone. That one is rejected only if the edge takes
//! something with the same organization, property and context: otherwise these are what is wrong, and good notifications
//! would be thrown away for them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::batch::{Batch, Entry, Family, Frame};

/// A refused batch whose parts are tried.
#[derive(Debug)]
pub(super) struct Search {
    frame: Arc<Frame>,
    /// Parts without an outcome.
    open: usize,
    accepted: bool,
    /// Refused alone.
    refused: Vec<Entry>,
}

/// What all parts of a batch, or others of their family, share is refused.
#[derive(Debug)]
pub(super) struct Faulty {
    pub attempts: u32,
    /// The next of its batches is not tried before.
    pub due: Instant,
    /// In turn; they hold up nothing of their sessions.
    pub waiting: VecDeque<Batch>,
}

/// What comes of a part's outcome.
#[derive(Debug, PartialEq)]
pub(super) enum Found<T> {
    /// Nothing yet, or nothing at all.
    Nothing,
    /// These are bad themselves.
    Bad(T),
    /// Everything was refused.
    SharedFault(T),
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    searches: HashMap<u64, Search>,
    last_search: u64,
    pub families: HashMap<Family, Faulty>,
}

impl Faults {
    /// Of a family of which nothing waits nothing need be known: the next refusal finds it again.
    pub(super) fn forget(&mut self, family: Family) {
        if self.families.get(&family).is_some_and(|faulty| faulty.waiting.is_empty()) {
            self.families.remove(&family);
        }
    }

    /// Begins a search with that many parts.
    pub(super) fn search(&mut self, frame: &Arc<Frame>, parts: usize) -> u64 {
        self.last_search += 1;
        let search = Search { frame: Arc::clone(frame), open: parts, accepted: false, refused: Vec::new() };
        self.searches.insert(self.last_search, search);
        self.last_search
    }

    /// Ends all searches; returns what they have found refused so far.
    pub(super) fn end_searches(&mut self) -> Vec<(Arc<Frame>, Vec<Entry>)> {
        self.searches.drain().map(|(_, search)| (search.frame, search.refused)).collect()
    }

    /// One part has become two.
    pub(super) fn halved(&mut self, search: u64) {
        if let Some(search) = self.searches.get_mut(&search) {
            search.open += 1;
        }
    }

    /// The edge has taken something of a part.
    pub(super) fn accepted(&mut self, search: u64) -> Found<(Arc<Frame>, Vec<Entry>)> {
        if let Some(search) = self.searches.get_mut(&search) {
            search.accepted = true;
        }
        self.left(search)
    }

    /// One was refused alone.
    pub(super) fn refused(&mut self, search: u64, entry: Entry) -> Found<(Arc<Frame>, Vec<Entry>)> {
        if let Some(search) = self.searches.get_mut(&search) {
            search.refused.push(entry);
        }
        self.left(search)
    }

    /// Refused alone, in searches that go on.
    #[cfg(test)]
    pub(super) fn in_search(&self) -> usize {
        self.searches.values().map(|search| search.refused.len()).sum()
    }

    /// A part has its outcome, or is searched no more.
    pub(super) fn left(&mut self, id: u64) -> Found<(Arc<Frame>, Vec<Entry>)> {
        let Some(search) = self.searches.get_mut(&id) else { return Found::Nothing };
        search.open = search.open.saturating_sub(1);
        let (is_over, accepted) = (search.open == 0, search.accepted);
        let found = if is_over || accepted { std::mem::take(&mut search.refused) } else { Vec::new() };
        let frame = Arc::clone(&search.frame);
        if is_over {
            self.searches.remove(&id);
        }
        match (found.is_empty(), accepted) {
            (true, _) => Found::Nothing,
            (false, true) => Found::Bad((frame, found)),
            (false, false) => Found::SharedFault((frame, found)),
        }
    }
}
