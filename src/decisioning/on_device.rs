//! What a client has besides that decides on this machine: its artifact, the geo service, its location hint, and
//! the waiting for them.

use std::sync::Arc;
use std::time::Duration;

use super::geo::GeoService;
use super::hint::Hint;
use super::readiness::Waited;
use super::source::location::cdn_base;
use super::source::{FirstArtifact, Source, Surroundings, Timing};
use crate::config::ClientConfig;
use crate::error::TargetError;
use crate::process;
use crate::stats::Stats;

/// The part of an on-device or hybrid client that server-side clients do not have.
pub(crate) struct OnDevice {
    pub source: Source,
    pub geo: GeoService,
    hint: Option<Hint>,
    surroundings: Surroundings,
}

impl OnDevice {
    /// Starts what runs in the background. `base_url` is the delivery host's scheme and name, `known_hint` a location
    /// hint that need not be asked for.
    pub(crate) fn start(
        config: &ClientConfig,
        first: FirstArtifact,
        known_hint: Option<&str>,
        base_url: &str,
        surroundings: Surroundings,
        stats: &Arc<Stats>,
    ) -> Result<Self, TargetError> {
        // A payload that cannot be used is found out before anything is sent.
        let source = Source::start(config, first, surroundings.clone(), Timing::default())?;
        let hint = match (&config.target_location_hint, known_hint) {
            (Some(_), _) => None,
            (None, Some(known)) => Some(Hint::known(known)),
            (None, None) => Some(Hint::search(config, base_url, &surroundings, stats).inspect_err(|_| {
                source.stop();
                // While a forked child starts again, the thread's logger may be waiting for the client.
                if !process::on_library_thread() {
                    source.join();
                }
            })?),
        };
        let geo = GeoService::new(
            &cdn_base(config),
            Arc::clone(&surroundings.transport),
            Arc::clone(&surroundings.events),
            Arc::clone(stats),
        );
        Ok(OnDevice { source, geo, hint, surroundings })
    }

    /// The hint that the edge has told, if it was asked and has answered. Takes no lock.
    pub(crate) fn location_hint(&self) -> Option<&str> {
        self.hint.as_ref()?.get()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.surroundings.readiness.has_artifact()
    }

    /// Waits for the first artifact, and as long as that is allowed for the location hint.
    pub(crate) fn wait_ready(&self, timeout: Option<Duration>) -> Result<(), TargetError> {
        match self.surroundings.readiness.wait(timeout) {
            Waited::Ready => Ok(()),
            Waited::Closed => Err(TargetError::closed()),
            Waited::NotReady => Err(TargetError::pending(&match self.source.last_failure() {
                Some(error) => format!("waiting for the artifact (last failure: {error})"),
                None => "waiting for the artifact".to_owned(),
            })),
        }
    }

    /// Ends what runs in the background and every wait for it, at once. Does not wait itself.
    pub(crate) fn stop(&self) {
        self.surroundings.readiness.close();
        self.source.stop();
        if let Some(hint) = &self.hint {
            hint.stop();
        }
    }

    /// Waits for the threads after [`OnDevice::stop`].
    pub(crate) fn join(&self) {
        self.source.join();
        if let Some(hint) = &self.hint {
            hint.join();
        }
    }
}
