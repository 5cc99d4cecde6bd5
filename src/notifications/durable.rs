//! The queue's side of the spool: how a submission is written there and read again, and the thread that keeps it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::batch::{Frame, Notification};
use super::queue::QueueStats;
use super::spool::{Item, Recovered, Settings, Spool, Submission, Ticket};
use super::worker::Shared;
use crate::config::{ClientConfig, QueueConfig, SpoolSync};
use crate::error::TargetError;
use crate::json::ObjectWriter;
use crate::process;
use crate::sync::lock;
use crate::transport::control::{CallControl, End};

/// How often leftovers of processes that have died since are looked for.
const ADOPTION: Duration = Duration::from_secs(60);
/// Form of what stands before a submission's notifications.
const LAYOUT: u8 = 1;

/// The durable part of one client's queue.
#[derive(Debug)]
pub(super) struct Store {
    spool: Spool,
    /// Records that are of another version of this library. They stay where they are.
    foreign: AtomicU64,
}

/// A submission that an earlier process did not get through.
#[derive(Debug)]
pub(super) struct Kept {
    pub frame: Frame,
    pub accepted_ms: i64,
    pub notifications: Vec<KeptNotification>,
}

#[derive(Debug)]
pub(super) struct KeptNotification {
    pub notification: Notification,
    pub ticket: Ticket,
    /// A click or an order that may have been counted.
    pub attempted: bool,
}

impl Store {
    pub(super) fn open(config: &ClientConfig) -> Result<Option<(Self, Vec<Kept>)>, TargetError> {
        let queue = &config.notifications;
        let Some(directory) = &queue.spool_dir else { return Ok(None) };
        let settings = Settings::new(queue.spool_max_bytes, queue.spool_sync);
        let (spool, recovered) = Spool::open(directory, account(config), settings).map_err(|mut error| {
            error.details_mut().field = Some("notifications.spool_dir".to_owned());
            error
        })?;
        let store = Store { spool, foreign: AtomicU64::new(0) };
        let kept = store.read(recovered);
        Ok(Some((store, kept)))
    }

    /// Takes all notifications, each with its ticket, or none.
    pub(super) fn append(
        &self,
        frame: &Frame,
        notifications: &[Notification],
        accepted_ms: i64,
    ) -> Result<Vec<Ticket>, TargetError> {
        let items: Vec<Item<'_>> = notifications
            .iter()
            .map(|one| Item { id: &one.id, text: one.text.as_bytes(), counts_twice: one.once })
            .collect();
        let shared = write_frame(frame);
        let first = self.spool.append(&Submission { shared: &shared, accepted_ms, notifications: &items })?;
        Ok((0..notifications.len()).map(|at| first.after(at)).collect())
    }

    pub(super) fn mark_attempted(&self, tickets: &[Ticket]) -> Result<(), TargetError> {
        if tickets.is_empty() { Ok(()) } else { self.spool.mark_attempted(tickets) }
    }

    pub(super) fn mark_unattempted(&self, tickets: &[Ticket]) {
        if !tickets.is_empty() {
            self.spool.mark_unattempted(tickets);
        }
    }

    pub(super) fn finish(&self, tickets: &[Ticket]) {
        if !tickets.is_empty() {
            self.spool.finish(tickets);
        }
    }

    pub(super) fn reject(&self, line: &str) {
        self.spool.reject(line);
    }

    pub(super) fn close(&self) {
        if let Err(error) = self.spool.close() {
            crate::log::warn(format_args!("spool: {error}"));
        }
    }

    pub(super) fn count(&self, stats: &mut QueueStats) {
        let spool = self.spool.stats();
        stats.spool_bytes = spool.bytes;
        stats.spool_damaged = spool.damaged_records + self.foreign.load(Ordering::Relaxed);
    }

    pub(super) fn adopt(&self) -> Vec<Kept> {
        self.read(self.spool.adopt())
    }

    /// What cannot be read is of another version of this library, which may come back.
    fn read(&self, recovered: Vec<Recovered>) -> Vec<Kept> {
        let mut all = Vec::with_capacity(recovered.len());
        for one in recovered {
            let notifications = one.items.into_iter().filter_map(|item| {
                let Ok(text) = String::from_utf8(item.text) else {
                    self.foreign.fetch_add(1, Ordering::Relaxed);
                    return None;
                };
                let notification = Notification { id: item.id, text, once: item.counts_twice };
                Some(KeptNotification { notification, ticket: item.ticket, attempted: item.attempted })
            });
            let notifications: Vec<KeptNotification> = notifications.collect();
            match read_frame(&one.shared) {
                Some(frame) => all.push(Kept { frame, accepted_ms: one.accepted_ms, notifications }),
                None => {
                    crate::log::warn(format_args!("spool: a record of another version of this library is left alone"));
                    self.foreign.fetch_add(notifications.len() as u64, Ordering::Relaxed);
                }
            }
        }
        all
    }
}

/// Whose notifications they are. Where they are sent to (`server_domain`) may change in the next life.
fn account(config: &ClientConfig) -> String {
    let mut text = String::new();
    let mut object = ObjectWriter::begin(&mut text);
    object.string("client", &config.client);
    object.string("organization_id", &config.organization_id);
    object.end();
    text
}

/// Four texts, each behind its length, and the place of the own id.
fn write_frame(frame: &Frame) -> Vec<u8> {
    let cluster = frame.cluster.as_deref().unwrap_or("");
    let texts = [&*frame.session_id, &*frame.query, cluster, &*frame.common];
    let mut out = Vec::with_capacity(texts.iter().map(|text| text.len() + 4).sum::<usize>() + 9);
    out.push(LAYOUT);
    for text in texts {
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text.as_bytes());
    }
    if let Some(place) = &frame.own_id {
        out.extend((place.start as u32).to_le_bytes());
        out.extend((place.end as u32).to_le_bytes());
    }
    out
}

fn read_frame(bytes: &[u8]) -> Option<Frame> {
    let (layout, mut rest) = bytes.split_first()?;
    if *layout != LAYOUT {
        return None;
    }
    fn number(rest: &mut &[u8]) -> Option<usize> {
        let (first, others) = rest.split_first_chunk::<4>()?;
        *rest = others;
        usize::try_from(u32::from_le_bytes(*first)).ok()
    }
    fn text(rest: &mut &[u8]) -> Option<String> {
        let length = number(rest)?;
        let (text, others) = rest.split_at_checked(length)?;
        *rest = others;
        String::from_utf8(text.to_vec()).ok()
    }
    let session_id = text(&mut rest)?.into();
    let query = text(&mut rest)?;
    let cluster = Some(text(&mut rest)?).filter(|cluster| !cluster.is_empty());
    let common = text(&mut rest)?;
    let own_id = match rest {
        [] => None,
        _ => {
            let place = number(&mut rest)?..number(&mut rest)?;
            common.get(place.clone())?;
            Some(place)
        }
    };
    Some(Frame { session_id, query, cluster, common, own_id })
}

/// The thread that brings a spool to disk and adopts what dead processes left.
#[derive(Debug)]
pub(super) struct Keeper {
    life: Arc<CallControl>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Keeper {
    pub(super) fn start(shared: &Arc<Shared>, config: &QueueConfig, retry_clicks: bool) -> Result<Self, TargetError> {
        let life = Arc::new(CallControl::endless());
        let syncs = config.spool_sync == SpoolSync::Batch;
        let pause = if syncs { config.flush_interval.clamp(Duration::from_millis(10), ADOPTION) } else { ADOPTION };
        let (of_thread, shared) = (Arc::clone(&life), Arc::clone(shared));
        let work = move || {
            process::enter_library_thread();
            keep(&shared, &of_thread, syncs, pause, retry_clicks);
        };
        let thread = std::thread::Builder::new()
            .name("target-spool".into())
            .spawn(work)
            .map_err(|error| TargetError::internal(format!("no thread for the spool: {error}")))?;
        Ok(Keeper { life, thread: std::sync::Mutex::new(Some(thread)) })
    }

    pub(super) fn stop(&self, join: bool) {
        self.life.end_call(End::Closed);
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread.filter(|_| join) {
            // Nothing is to be learnt from the result.
            let _ = thread.join();
        }
    }
}

fn keep(shared: &Arc<Shared>, life: &CallControl, syncs: bool, pause: Duration, retry_clicks: bool) {
    let mut adopted = Instant::now();
    let mut failing = false;
    while life.end().is_none() {
        life.wait_until(Instant::now().checked_add(pause), || false);
        let Some(store) = &shared.settings.store else { return };
        if life.end().is_some() {
            return;
        }
        if syncs {
            let result = store.spool.sync();
            if let (Err(error), false) = (&result, failing) {
                crate::log::error(format_args!("spool: {error}"));
            }
            failing = result.is_err();
        }
        // The logger may have forked.
        if process::has_left_library_thread() {
            return;
        }
        if adopted.elapsed() >= ADOPTION && life.end().is_none() && !shared.is_closing() {
            adopted = Instant::now();
            shared.recover(store.adopt(), retry_clicks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        Frame {
            session_id: "s".into(),
            query: "imsOrgId=1&sessionId=s".into(),
            cluster: Some("35".into()),
            common: ",\"id\":{\"tntId\":\"ü\"}".into(),
            own_id: Some(2..4),
        }
    }

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        for frame in [frame(), Frame { cluster: None, own_id: None, common: String::new(), ..frame() }] {
            assert_eq!(read_frame(&write_frame(&frame)), Some(frame));
        }
    }

    #[test]
    fn no_bytes_are_too_strange() {
        let written = write_frame(&frame());
        for at in 0..written.len() {
            read_frame(&written[..at]);
            for bit in 0..8 {
                let mut harmed = written.clone();
                harmed[at] ^= 1 << bit;
                if let Some(frame) = read_frame(&harmed) {
                    // What is read can be compared with others, whatever it is.
                    frame.goes_with(&frame);
                }
            }
        }
        assert_eq!(read_frame(&[]), None);
        assert_eq!(read_frame(&[LAYOUT + 1]), None);
    }
}
