//! Where decisions get their artifact from: given by the caller, kept on disk, downloaded and polled.
//!
//! One thread downloads, for the client's whole life; readers take what is in force without waiting for it or
//! for each other. An artifact comes into force when it is complete, read and compiled; until then, and whatever
//! a download brings instead, the last good one stays.

mod cache;
pub(crate) mod location;
mod poll;

use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};

use super::artifact::{Artifact, ArtifactError, Audience};
use super::geo::Located;
use super::readiness::Readiness;
use crate::clock::{Clock, wall_ms};
use crate::config::{ArtifactFormat, ClientConfig};
use crate::error::TargetError;
use crate::events::{EventKind, Events};
use crate::json::ObjectWriter;
use crate::process;
use crate::stats::ArtifactStats;
use crate::sync::lock;
use crate::transport::Transport;
use crate::transport::control::{CallControl, End};
use cache::{Cache, Kept};
use location::{Location, NOT_APPLICABLE};

/// Skipped rules that are told one by one; another event has the number of the others.
const MAX_SKIPPED_EVENTS: usize = 100;

/// The times and sizes that tests have smaller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Instead of the configured polling interval, which has a lower bound.
    pub interval: Option<Duration>,
    /// Wait after the first failure; it doubles.
    pub first_retry: Duration,
    /// Of one download.
    pub download: Duration,
    /// Within it, without a byte.
    pub patience: Duration,
    /// Of an artifact, in bytes.
    pub max_artifact: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            interval: None,
            first_retry: Duration::from_secs(1),
            // Enough for 10 MB over a poor line; what is stuck shows much earlier.
            download: Duration::from_secs(120),
            patience: Duration::from_secs(10),
            max_artifact: 256 * 1024 * 1024,
        }
    }
}

/// An artifact in force, and how it came.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub artifact: Artifact,
    /// Its URL without the query, or `Not Applicable` for one given by the caller.
    pub location: String,
    pub etag: Option<String>,
    /// When it was downloaded or handed over, by the client's clock, in milliseconds since 1970.
    pub retrieved_ms: i64,
    /// Artifacts that have come into force in this client, this one included.
    pub retrieval_count: u64,
    /// Zero where nothing is polled.
    pub polling_interval_ms: u64,
    since: Instant,
    /// How old it was then.
    age: Duration,
}

impl Loaded {
    /// `version` of the artifact.
    pub(crate) fn version(&self) -> &str {
        &self.artifact.version
    }
}

/// What [`TargetClient::refresh`](crate::TargetClient::refresh) found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArtifactRefresh {
    /// `version` of the artifact in force.
    pub version: String,
    /// The ETag that it came with.
    pub etag: Option<String>,
    /// Whether an artifact was downloaded; false: the CDN answered that the one in force is current.
    pub changed: bool,
}

impl ArtifactRefresh {
    /// `{"version":…,"etag":…,"changed":bool}`.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(96);
        let mut object = ObjectWriter::begin(&mut out);
        object.string("version", &self.version);
        object.optional_string("etag", self.etag.as_deref());
        object.boolean("changed", self.changed);
        object.end();
        out
    }
}

/// What the parts of a client that talk to the network on its behalf share with it.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub transport: Arc<dyn Transport>,
    pub events: Arc<Events>,
    pub clock: Clock,
    pub readiness: Arc<Readiness>,
}

/// What a source has to start with.
pub(crate) enum FirstArtifact {
    /// `artifact_payload` of the configuration, handed over so that its text is in memory once.
    Given(String),
    /// What is in force in the parent process.
    Inherited(Arc<Loaded>),
    /// Nothing: it comes from the cache or the network.
    Wanted,
}

/// An artifact in force, if there is one, for the time of one decision.
pub(crate) type LoadedGuard = Guard<Option<Arc<Loaded>>>;

/// The artifact of one client.
pub(crate) struct Source {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread and everybody else share. It knows nothing of the client, and so cannot keep it alive.
struct Shared {
    current: ArcSwapOption<Loaded>,
    location: Location,
    client: String,
    organization_id: String,
    /// Zero: nothing is polled.
    interval: Duration,
    timing: Timing,
    cache: Option<Cache>,
    surroundings: Surroundings,
    /// Ends the thread, whether it sleeps or downloads.
    life: Arc<CallControl>,
    progress: Mutex<Progress>,
    finished: Condvar,
}

#[derive(Default)]
struct Progress {
    /// Somebody asked for a download that has not begun.
    wanted: bool,
    /// Downloads are numbered: the last that began, and the last that those who wait have been told of.
    begun: u64,
    finished: u64,
    outcome: Option<Result<ArtifactRefresh, TargetError>>,
    /// Why the last one brought nothing, if it did not.
    failure: Option<TargetError>,
    stopped: bool,
    checked: Option<Instant>,
    downloads: u64,
    not_modified: u64,
    failures: u64,
    /// What was said of an artifact of another major version, while there is no other.
    unsupported: Option<String>,
}

impl Source {
    /// Puts what is there already into force and starts the thread.
    ///
    /// Fails when the artifact given by the caller cannot be used, and when there is no thread.
    pub(crate) fn start(
        config: &ClientConfig,
        first: FirstArtifact,
        surroundings: Surroundings,
        timing: Timing,
    ) -> Result<Self, TargetError> {
        let location = Location::of(config);
        let cache = config
            .artifact_cache_dir
            .as_deref()
            .map(|directory| Cache::new(directory, &location, &config.organization_id, timing.max_artifact));
        let interval = match (config.polling_interval, timing.interval) {
            (Duration::ZERO, _) => Duration::ZERO,
            (configured, shorter) => shorter.unwrap_or(configured),
        };
        let shared = Arc::new(Shared {
            current: ArcSwapOption::empty(),
            location,
            client: config.client.clone(),
            organization_id: config.organization_id.clone(),
            interval,
            timing,
            cache,
            surroundings,
            life: Arc::new(CallControl::endless()),
            progress: Mutex::default(),
            finished: Condvar::new(),
        });
        let plan = match first {
            FirstArtifact::Given(payload) => {
                shared.take_payload(payload)?;
                poll::Plan::after_payload(&shared)
            }
            FirstArtifact::Inherited(loaded) => {
                shared.current.store(Some(loaded));
                shared.surroundings.readiness.artifact_was_inherited();
                poll::Plan::after_fork(&shared)
            }
            FirstArtifact::Wanted => {
                shared.take_cached();
                poll::Plan::at_once()
            }
        };
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("target-artifact".into())
            .spawn(move || {
                process::enter_library_thread();
                poll::run(&of_thread, plan);
            })
            .map_err(|error| TargetError::internal(format!("no thread for the artifact: {error}")))?;
        Ok(Source { shared, thread: Mutex::new(Some(thread)) })
    }

    /// The artifact in force, if there is one. Whoever swaps it waits for nobody who holds this, nor the other way
    /// round; all that one decision reads has to come from one guard.
    pub(crate) fn current(&self) -> LoadedGuard {
        self.shared.current.load()
    }

    /// What a forked child starts with. Takes no lock.
    pub(crate) fn inheritance(&self) -> FirstArtifact {
        self.shared.current.load_full().map_or(FirstArtifact::Wanted, FirstArtifact::Inherited)
    }

    /// Lets go of the artifact, which is somebody else's now and goes when it is replaced there. Takes no lock.
    pub(crate) fn hand_over(&self) {
        self.shared.current.store(None);
    }

    /// Puts an artifact that was given into force, in either form.
    pub(crate) fn take_given(&self, bytes: Vec<u8>, format: ArtifactFormat) -> Result<(), ArtifactError> {
        let artifact = Artifact::read(bytes, format, self.shared.audience())?;
        self.shared.take_given(artifact);
        Ok(())
    }

    /// Why nothing can be decided while there is no artifact.
    pub(crate) fn not_ready_error(&self) -> TargetError {
        let progress = lock(&self.shared.progress);
        match (&progress.unsupported, &progress.failure) {
            (Some(message), _) => TargetError::not_ready_for_version(message.as_str()),
            (None, Some(failure)) => TargetError::not_ready_after(failure),
            (None, None) => TargetError::not_ready(),
        }
    }

    /// Why the last download brought nothing, if it did not.
    pub(crate) fn last_failure(&self) -> Option<TargetError> {
        lock(&self.shared.progress).failure.clone()
    }

    /// Downloads and returns when that is over. A download that runs already may bring what was there before, so one
    /// more follows it, for all who have asked meanwhile.
    pub(crate) fn refresh(&self) -> Result<ArtifactRefresh, TargetError> {
        let mut progress = lock(&self.shared.progress);
        let awaited = progress.begun + 1;
        if !progress.stopped {
            progress.wanted = true;
            drop(progress);
            self.shared.life.notify();
            progress = lock(&self.shared.progress);
        }
        while progress.finished < awaited {
            if progress.stopped {
                return Err(TargetError::closed());
            }
            progress = self.shared.finished.wait(progress).unwrap_or_else(|e| e.into_inner());
        }
        progress.outcome.clone().unwrap_or_else(|| Err(TargetError::closed()))
    }

    pub(crate) fn stats(&self) -> ArtifactStats {
        let progress = lock(&self.shared.progress);
        let current = self.current();
        let mut stats = ArtifactStats {
            location: self.shared.location.shown.clone(),
            checked: progress.checked.map(|checked| checked.elapsed()),
            downloads: progress.downloads,
            not_modified: progress.not_modified,
            failures: progress.failures,
            ..Default::default()
        };
        if let Some(loaded) = &*current {
            stats.version = Some(loaded.version().to_owned());
            stats.etag.clone_from(&loaded.etag);
            stats.location.clone_from(&loaded.location);
            stats.age = Some(loaded.age + loaded.since.elapsed());
            stats.rules = loaded.artifact.rule_count as u64;
            stats.skipped_rules = loaded.artifact.skipped.len() as u64;
        }
        stats
    }

    /// Ends the thread, in the middle of a download too, and all who wait for one. Does not wait for it.
    pub(crate) fn stop(&self) {
        lock(&self.shared.progress).stopped = true;
        self.shared.finished.notify_all();
        self.shared.life.end_call(End::Closed);
    }

    /// Waits for the thread after [`Source::stop`].
    pub(crate) fn join(&self) {
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            // Panics in a download are caught there.
            let _ = thread.join();
        }
    }
}

/// How an artifact came.
struct Origin {
    location: String,
    etag: Option<String>,
    retrieved_ms: i64,
    age: Duration,
}

impl Shared {
    /// For whom artifacts are read.
    fn audience(&self) -> Audience<'_> {
        Audience { client: &self.client, organization_id: &self.organization_id }
    }

    fn take_payload(&self, payload: String) -> Result<(), TargetError> {
        const FIELD: &str = "artifact_payload";
        let artifact = Artifact::read_text(payload, self.audience()).map_err(|error| match error {
            ArtifactError::UnsupportedVersion(_) => TargetError::invalid_options(FIELD, error.to_string()),
            ArtifactError::Unusable(reason) => {
                TargetError::invalid_options(FIELD, format!("`{FIELD}` cannot be used: {reason}"))
            }
        })?;
        self.take_given(artifact);
        Ok(())
    }

    fn take_given(&self, artifact: Artifact) {
        let origin = Origin {
            location: NOT_APPLICABLE.to_owned(),
            etag: None,
            retrieved_ms: self.surroundings.clock.now_ms(),
            age: Duration::ZERO,
        };
        self.put_into_force(artifact, origin);
        self.announce(None);
    }

    /// Starts from what an earlier process has left. What cannot be used counts as absent.
    fn take_cached(&self) {
        let Some(cache) = &self.cache else { return };
        let outcome = cache.read().and_then(|kept| match kept {
            None => Ok(()),
            Some(Kept { bytes, etag, retrieved_ms }) => {
                let artifact =
                    Artifact::read(bytes, self.location.format, self.audience()).map_err(|error| error.to_string())?;
                let age = Duration::from_millis(u64::try_from(wall_ms().saturating_sub(retrieved_ms)).unwrap_or(0));
                self.put_into_force(
                    artifact,
                    Origin { location: self.location.shown.clone(), etag, retrieved_ms, age },
                );
                self.announce(None);
                Ok(())
            }
        });
        if let Err(reason) = outcome {
            let file = cache.file();
            let error = TargetError::storage(format!("the artifact kept in {} is left out: {reason}", file.display()));
            self.tell_failure(&file.display().to_string(), &error);
        }
    }

    /// Makes it what all decisions from now on use. Returns what was in force before.
    fn put_into_force(&self, artifact: Artifact, origin: Origin) -> Option<Arc<Loaded>> {
        let Origin { location, etag, retrieved_ms, age } = origin;
        let retrieval_count = self.current.load().as_ref().map_or(0, |old| old.retrieval_count) + 1;
        crate::log::info(format_args!(
            "artifact: version {} from {location} is in force, {} rules, {} left out",
            artifact.version,
            artifact.rule_count,
            artifact.skipped.len()
        ));
        let loaded = Loaded {
            artifact,
            location,
            etag,
            retrieved_ms,
            retrieval_count,
            polling_interval_ms: u64::try_from(self.interval.as_millis()).unwrap_or(u64::MAX),
            since: Instant::now(),
            age,
        };
        lock(&self.progress).unsupported = None;
        self.current.swap(Some(Arc::new(loaded)))
    }

    /// The events of the artifact that has just come into force, in their order; those who wait for it go on.
    fn announce(&self, downloaded: Option<Located>) {
        let current = self.current.load();
        let Some(loaded) = &*current else { return };
        let events = &self.surroundings.events;
        if downloaded.is_some() {
            events.emit(EventKind::ArtifactDownloadSucceeded, |event| {
                event.string("location", &loaded.location);
                event.string("version", loaded.version());
                event.optional_string("etag", loaded.etag.as_deref());
            });
        }
        let skipped = &loaded.artifact.skipped;
        for rule in skipped.iter().take(MAX_SKIPPED_EVENTS) {
            events.emit(EventKind::ArtifactRuleSkipped, |event| {
                event.string("rule_key", &rule.rule_key);
                event.string("reason", &rule.reason);
            });
        }
        if let Some(others) = skipped.len().checked_sub(MAX_SKIPPED_EVENTS).filter(|others| *others > 0) {
            events.emit(EventKind::ArtifactRuleSkipped, |event| {
                event.string("rule_key", "");
                event.string("reason", &format!("and {others} more rules were left out"));
            });
        }
        if let Some(located) = downloaded {
            located.announce(events);
        }
        self.surroundings.readiness.artifact_is_there(events);
    }

    fn tell_failure(&self, location: &str, error: &TargetError) {
        crate::log::warn(format_args!("artifact: {error}"));
        self.surroundings.events.emit(EventKind::ArtifactDownloadFailed, |event| {
            event.string("location", location);
            event.raw("error", &error.to_json());
        });
    }
}

#[cfg(test)]
mod tests;
