//! A spool directory of one test, clients of it, and short ways to look at both.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adobe_target::local_edge::LocalEdge;
use adobe_target::{ClientBuilder, DeliveryCounts, PartialResult, QueueConfig, QueueStats, TargetClient, TargetError};
use serde_json::Value;

use crate::support::*;

/// Names the part of a child process; see [`child`].
pub const PART: &str = "ADOBE_TARGET_SPOOL_PART";
pub const DIRECTORY: &str = "ADOBE_TARGET_SPOOL_DIRECTORY";
pub const HOST: &str = "ADOBE_TARGET_SPOOL_HOST";

/// Removed with all that is in it.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("adobe-target-spool-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Directory(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Files with records, of all slots.
    pub fn segments(&self) -> Vec<PathBuf> {
        let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let files = entries(&self.0).filter(|path| path.is_dir()).flat_map(|slot| entries(&slot));
        let mut segments: Vec<PathBuf> =
            files.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
        segments.sort();
        segments
    }

    /// The lines of `rejected.jsonl`.
    pub fn rejected(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.0.join("rejected.jsonl")).unwrap_or_default();
        text.lines().map(parsed).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A durable queue that does not wait long for anything.
pub fn queue(directory: &Path) -> QueueConfig {
    let mut queue = QueueConfig::default();
    queue.spool_dir = Some(directory.to_owned());
    queue.flush_interval = Duration::from_millis(5);
    queue.retry_base_delay = Duration::from_millis(2);
    queue.retry_max_delay = Duration::from_millis(20);
    queue
}

pub fn durable(host: String, directory: &Path, change: impl FnOnce(&mut QueueConfig)) -> ClientBuilder {
    let mut queue = queue(directory);
    change(&mut queue);
    builder_for(host).close_timeout(Duration::ZERO).notifications(queue)
}

pub fn open(edge: &LocalEdge, directory: &Directory) -> TargetClient {
    durable(edge.host(), directory.path(), |_| {}).build().unwrap()
}

pub fn enqueue(
    client: &TargetClient,
    session: &str,
    notifications: impl IntoIterator<Item = Value>,
) -> Result<(), TargetError> {
    let options = serde_json::json!({"request": notify(notifications), "session_id": session});
    client.enqueue_notifications_json(&options.to_string()).map(drop)
}

pub fn queue_of(client: &TargetClient) -> QueueStats {
    let stats = client.stats().queue;
    assert_eq!(
        stats.accepted + stats.recovered,
        stats.acknowledged + stats.rejected + stats.dropped + stats.pending,
        "{stats:?}"
    );
    stats
}

/// The counts of a flush or a close that left something.
pub fn left(result: Result<DeliveryCounts, TargetError>) -> DeliveryCounts {
    let Err(TargetError::Pending(details)) = result else { panic!("{result:?}") };
    let Some(PartialResult::Counts(counts)) = details.result else { panic!("{details:?}") };
    counts
}

/// Ids that were processed, each once unless the test says otherwise.
pub fn processed(edge: &LocalEdge) -> BTreeSet<String> {
    edge.report().notifications.ids.into_keys().collect()
}

pub fn event(client: &TargetClient, kind: &str) -> Value {
    loop {
        let event = parsed(&client.next_event(Some(LONG)).unwrap_or_else(|error| panic!("no {kind}: {error}")));
        if event["type"] == kind {
            return event;
        }
    }
}

/// Runs a test of this program as a process of its own, which knows by [`PART`] that it is one.
pub fn child(test: &str, part: &str, host: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(PART, part).env(HOST, host).env(DIRECTORY, directory);
    command
}

pub fn run(mut command: Command) -> ExitStatus {
    command.status().unwrap()
}

/// What a child was told: its part, the host and the directory.
pub fn part() -> Option<(String, String, PathBuf)> {
    let variable = |name: &str| std::env::var(name).ok();
    Some((variable(PART)?, variable(HOST)?, variable(DIRECTORY)?.into()))
}
