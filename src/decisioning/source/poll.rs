//! The thread that downloads: when it does, and what becomes of what it gets.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::artifact::{Artifact, ArtifactError};
use super::super::geo::Located;
use super::cache::Prepared;
use super::{ArtifactRefresh, Loaded, Origin, Progress, Shared};
use crate::clock::wall_ms;
use crate::error::TargetError;
use crate::ids;
use crate::sync::lock;
use crate::transport::fetch::{fetch, host};
use crate::transport::retry::parse_retry_after;
use crate::transport::{GetAnswer, GetRequest};

/// Upper bound of the waits after failures where nothing is polled.
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// A longer ETag could not be sent back.
const MAX_ETAG: usize = 1024;
/// How long the thread looks whether the last decision from a replaced artifact is over.
const PARTING: Duration = Duration::from_secs(1);

/// When the thread downloads next.
pub(super) struct Plan {
    /// None: when somebody asks for it.
    due: Option<Instant>,
    /// A client that does not poll still downloads until it has what it needs.
    is_settled: bool,
    failures: u32,
}

impl Plan {
    pub(super) fn at_once() -> Self {
        Plan { due: Some(Instant::now()), is_settled: false, failures: 0 }
    }

    /// The caller has chosen what to start with: the CDN is asked when it would be asked again.
    pub(super) fn after_payload(shared: &Shared) -> Self {
        let due = (!shared.interval.is_zero()).then(|| soon(jittered(shared.interval)));
        Plan { due, is_settled: true, failures: 0 }
    }

    /// The artifact is the parent's. Children that were forked at the same time ask at different times.
    pub(super) fn after_fork(shared: &Shared) -> Self {
        let wait = shared.interval.mul_f64((1.0 + ids::random_fraction()) / 2.0);
        Plan { due: (!shared.interval.is_zero()).then(|| soon(wait)), is_settled: true, failures: 0 }
    }

    pub(super) fn after_success(&mut self, interval: Duration) {
        self.is_settled = true;
        self.failures = 0;
        self.due = (!interval.is_zero()).then(|| soon(jittered(interval)));
    }

    /// Returns the wait, for the log.
    pub(super) fn after_failure(&mut self, shared: &Shared, asked_for: Option<Duration>) -> Option<Duration> {
        let polls = !shared.interval.is_zero();
        let longest = if polls { shared.interval } else { LONGEST_RETRY };
        let doubled = shared.timing.first_retry.saturating_mul(1 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        let wait = jittered(doubled.max(asked_for.unwrap_or_default()).min(longest));
        let wait = (polls || !self.is_settled).then_some(wait);
        self.due = wait.map(soon);
        wait
    }
}

#[cfg(test)]
impl Plan {
    pub(super) fn is_due(&self) -> bool {
        self.due.is_some()
    }

    pub(super) fn waits(&self) -> Option<Duration> {
        self.due.map(|due| due.saturating_duration_since(Instant::now()))
    }
}

/// An instant too far away for the clock is one that never comes to pass anyway.
fn soon(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or_else(|| now + Duration::from_secs(u64::from(u32::MAX)))
}

/// Up to a tenth more or less, so that many machines do not ask at the same time.
fn jittered(wait: Duration) -> Duration {
    let tenth = wait / 10;
    (wait - tenth).saturating_add(tenth.mul_f64(2.0 * ids::random_fraction()))
}

/// What a download brought.
enum Brought {
    New {
        replaced: Option<Arc<Loaded>>,
        /// Where the CDN was asked from.
        located: Located,
        /// To be kept on disk.
        prepared: Option<std::io::Result<Prepared>>,
    },
    NotModified,
}

struct Failed {
    error: TargetError,
    retry_after: Option<Duration>,
}

impl From<TargetError> for Failed {
    fn from(error: TargetError) -> Self {
        Failed { error, retry_after: None }
    }
}

pub(super) fn run(shared: &Shared, mut plan: Plan) {
    loop {
        let asked = shared.life.wait_until(plan.due, || lock(&shared.progress).wanted);
        if shared.life.end().is_some() {
            return;
        }
        if !asked && plan.due.is_none_or(|due| Instant::now() < due) {
            continue;
        }
        {
            let mut progress = lock(&shared.progress);
            progress.wanted = false;
            progress.begun += 1;
        }
        let brought = catch_unwind(AssertUnwindSafe(|| download(shared))).unwrap_or_else(|_| {
            Err(TargetError::internal("a panic was caught while reading the artifact; please report it").into())
        });
        if shared.life.end().is_some() {
            return;
        }
        match brought {
            Ok(Brought::New { replaced, located, prepared }) => {
                plan.after_success(shared.interval);
                shared.settle(|progress| progress.downloads += 1, None);
                shared.announce(Some(located));
                shared.finish(shared.found(true));
                if let Some(Err(error)) = prepared.map(|prepared| prepared.and_then(Prepared::commit)) {
                    shared.tell_not_kept(&error);
                }
                if let Some(replaced) = replaced {
                    part_with(shared, replaced);
                }
            }
            Ok(Brought::NotModified) => {
                plan.after_success(shared.interval);
                shared.settle(|progress| progress.not_modified += 1, None);
                shared.finish(shared.found(false));
            }
            Err(Failed { error, retry_after }) => {
                let wait = plan.after_failure(shared, retry_after);
                shared.settle(|progress| progress.failures += 1, Some(&error));
                shared.tell_failure(&shared.location.shown, &error);
                if let Some(wait) = wait {
                    crate::log::debug(format_args!("artifact: asked for again in {} ms", wait.as_millis()));
                }
                shared.finish(Err(error));
            }
        }
    }
}

impl Shared {
    /// Counts an outcome, before anybody is told of it: who learns of it may ask for the counts. Whoever wants a
    /// download from here on wants another one.
    fn settle(&self, count: impl FnOnce(&mut Progress), error: Option<&TargetError>) {
        let mut progress = lock(&self.progress);
        count(&mut progress);
        if error.is_none() {
            progress.checked = Some(Instant::now());
        }
        progress.failure = error.cloned();
    }

    /// The artifact is in force all the same; a restart without the CDN will not have it.
    fn tell_not_kept(&self, error: &std::io::Error) {
        let Some(cache) = &self.cache else { return };
        let file = cache.file().display().to_string();
        let error = TargetError::storage(format!("the artifact cannot be kept in {file}: {error}"));
        self.tell_failure(&file, &error);
    }

    fn found(&self, changed: bool) -> Result<ArtifactRefresh, TargetError> {
        match &*self.current.load() {
            Some(loaded) => {
                Ok(ArtifactRefresh { version: loaded.version().to_owned(), etag: loaded.etag.clone(), changed })
            }
            None => Err(TargetError::not_ready()),
        }
    }

    /// Hands the outcome to those who wait for it.
    fn finish(&self, outcome: Result<ArtifactRefresh, TargetError>) {
        let mut progress = lock(&self.progress);
        progress.finished = progress.begun;
        progress.outcome = Some(outcome);
        self.finished.notify_all();
    }
}

/// Frees a replaced artifact here, not in whichever decision happens to be the last that reads it: that would be
/// the one that pays for thousands of rules.
fn part_with(shared: &Shared, replaced: Arc<Loaded>) {
    let until = Instant::now() + PARTING;
    while Arc::strong_count(&replaced) > 1 && Instant::now() < until && shared.life.end().is_none() {
        shared.life.wait_until(Some(Instant::now() + Duration::from_millis(1)), || false);
    }
}

fn download(shared: &Shared) -> Result<Brought, Failed> {
    let timing = &shared.timing;
    let location = &shared.location;
    let answer = {
        let _limited = shared.life.limit(timing.download, Some(timing.patience));
        let current = shared.current.load();
        let etag = current.as_ref().and_then(|loaded| loaded.etag.as_deref());
        let headers: Vec<(&'static str, &str)> = etag.map(|etag| ("if-none-match", etag)).into_iter().collect();
        let request = GetRequest { url: &location.url, headers: &headers, max_bytes: timing.max_artifact };
        let answer = fetch(&*shared.surroundings.transport, &request, &shared.life)?;
        if answer.status == 304 && etag.is_some() {
            crate::log::debug(format_args!("artifact: the one in force is current"));
            return Ok(Brought::NotModified);
        }
        answer
    };
    if answer.status != 200 {
        let retry_after = answer.header("retry-after").and_then(|text| parse_retry_after(text, wall_ms()));
        let mut error = TargetError::no_artifact(host(&location.url), answer.status);
        error.details_mut().attempts = 1;
        error.details_mut().retry_after_ms = retry_after.map(|wait| wait.as_millis() as u64);
        return Err(Failed { error, retry_after });
    }
    if answer.body.is_empty() {
        let message = format!("{} answered 200: the answer is empty instead of an artifact", host(&location.url));
        return Err(TargetError::invalid_response(message).into());
    }
    accept(shared, answer)
}

fn accept(shared: &Shared, answer: GetAnswer) -> Result<Brought, Failed> {
    let etag = answer.header("etag").filter(|etag| etag.len() <= MAX_ETAG).map(str::to_owned);
    let located = Located::from_headers(|name| answer.header(name));
    let prepared = shared.cache.as_ref().map(|cache| cache.prepare(&answer.body, etag.as_deref(), wall_ms()));
    let read = Artifact::read(answer.body, shared.location.format, shared.audience());
    let artifact = read.map_err(|error| {
        let host = host(&shared.location.url);
        match error {
            ArtifactError::UnsupportedVersion(_) => {
                let message = error.to_string();
                if shared.current.load().is_none() {
                    lock(&shared.progress).unsupported = Some(message.clone());
                }
                TargetError::invalid_response(message)
            }
            ArtifactError::Unusable(reason) => {
                TargetError::invalid_response(format!("what {host} sent is no artifact: {reason}"))
            }
        }
    })?;
    if shared.life.end().is_some() {
        return Err(TargetError::closed().into());
    }
    let origin = Origin {
        location: shared.location.shown.clone(),
        etag,
        retrieved_ms: shared.surroundings.clock.now_ms(),
        age: Duration::ZERO,
    };
    let replaced = shared.put_into_force(artifact, origin);
    Ok(Brought::New { replaced, located, prepared })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_differ_by_a_tenth_at_the_most() {
        let wait = Duration::from_millis(1000);
        let waits: Vec<Duration> = (0..1000).map(|_| jittered(wait)).collect();
        assert!(waits.iter().all(|w| (900..=1100).contains(&w.as_millis())), "{waits:?}");
        assert!(waits.iter().any(|w| w.as_millis() < 950) && waits.iter().any(|w| w.as_millis() > 1050));
    }

    #[test]
    fn absurd_waits_are_long_and_no_panic() {
        let far = soon(jittered(Duration::MAX));
        assert!(far > Instant::now() + Duration::from_secs(1_000_000_000));
    }
}
