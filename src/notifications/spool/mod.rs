//! The durable store of the notification queue: what an append took is found again by whoever opens the directory
//! next, until it is finished. It knows no queue, no sender and no network; any thread may call it at any time.
//!
//! A log of our own and not an embedded store. `redb` 4.6, measured: the fast way (no sync per transaction, 60,000–90,000
//! of 700 bytes per second) loses *all* transactions since the last sync to a `kill -9`; the safe way makes 340–1,500
//! per second. Of 600 flipped bits 292 were handed out as data, 11 made the one file unusable as a whole and 3 panicked.
//! It adds about 0.9 MB. This log hands every append to the system in one `write`, and damage costs a record.
//!
//! Files: `spool_dir/0`, `spool_dir/1`, … are slots, one for each client that is open, with a `lock`, the `account`
//! that its records are for, and the segments `NNNNNNNNNN.log`. What a dead client left is delivered from where it lies,
//! by whoever holds its lock. Segments are only ever appended to by the process that made them.

#[cfg(not(feature = "spool"))]
mod absent;
#[cfg(feature = "spool")]
mod commit;
#[cfg(feature = "spool")]
mod log;
#[cfg(feature = "spool")]
mod record;
#[cfg(feature = "spool")]
mod rejected;
#[cfg(feature = "spool")]
mod replay;
#[cfg(feature = "spool")]
mod segment;
#[cfg(feature = "spool")]
mod slots;
#[cfg(feature = "spool")]
mod state;
#[cfg(feature = "spool")]
mod store;

#[cfg(all(test, feature = "spool"))]
mod damage_tests;
#[cfg(all(test, feature = "spool"))]
mod model_tests;
#[cfg(all(test, feature = "spool"))]
mod tests;

use crate::config::SpoolSync;
#[cfg(not(feature = "spool"))]
pub(crate) use absent::Spool;
#[cfg(feature = "spool")]
pub(crate) use store::Spool;

const SEGMENT: u64 = 4 * 1024 * 1024;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Of all segments of the client's own slot; what is left of others does not count. Marks may go beyond it, so that
    /// delivery of what is pending goes on.
    pub max_bytes: u64,
    pub sync: SpoolSync,
    /// A segment that has grown to this is followed by the next.
    pub segment_bytes: u64,
}

impl Settings {
    pub(crate) fn new(max_bytes: u64, sync: SpoolSync) -> Self {
        Settings { max_bytes, sync, segment_bytes: SEGMENT }
    }
}

/// What one enqueue, or one decision, hands over: taken whole or not at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Submission<'a> {
    /// What its notifications have in common, in the queue's own form.
    pub shared: &'a [u8],
    pub accepted_ms: i64,
    pub notifications: &'a [Item<'a>],
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    pub id: &'a str,
    pub text: &'a [u8],
    /// A click or an order: the edge has no way to tell a second copy.
    pub counts_twice: bool,
}

/// Names one spooled notification for the life of the spool in this process. In a store, the order is that of acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ticket {
    pub(super) store: u32,
    pub(super) number: u64,
}

impl Ticket {
    /// Of the notification so many places later in the same submission.
    pub(crate) fn after(self, places: usize) -> Ticket {
        Ticket { number: self.number.saturating_add(places as u64), ..self }
    }
}

/// What was left of a submission.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recovered {
    pub shared: Vec<u8>,
    pub accepted_ms: i64,
    pub items: Vec<RecoveredItem>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RecoveredItem {
    pub ticket: Ticket,
    pub id: String,
    pub text: Vec<u8>,
    pub counts_twice: bool,
    /// It may have been sent.
    pub attempted: bool,
}

/// Of the client's own slot and those it adopted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SpoolStats {
    /// Notifications that are not finished.
    pub pending: u64,
    pub bytes: u64,
    pub segments: u64,
    /// Places where something was and cannot be read, and segments that are missing or unreadable.
    pub damaged_records: u64,
    /// Ends of files that a kill cut off: nothing that was accepted.
    pub torn_records: u64,
    /// Slots of others that are being delivered from.
    pub adopted: u64,
}
