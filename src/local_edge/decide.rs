//! Where delivery requests meet the library's own decision core: what the artifact has rules for is decided by it,
//! everything else stays the scenario's.

use std::sync::Arc;

use serde_json::Value;

use super::artifact::{Artifacts, Loaded};
use super::scenario::Place;
use super::subject::Candidates;
use super::validate::Delivery;

/// What was decided from the artifact.
pub(super) struct Decided {
    artifact: Arc<Loaded>,
    pub(super) execute: DecidedPart,
    pub(super) prefetch: DecidedPart,
    /// What `execute` has shown.
    pub(super) impressions: Vec<Impression>,
}

/// The decided items of `execute` or `prefetch`, in the form in which they go into the answer.
#[derive(Default)]
pub(super) struct DecidedPart {
    pub(super) page_load: Option<Value>,
    pub(super) mboxes: Vec<Value>,
    pub(super) views: Vec<Value>,
}

/// Content that was shown in a place.
#[derive(Clone, Debug)]
pub(super) struct Impression {
    pub(super) mbox: String,
    pub(super) tokens: Vec<Candidates>,
}

impl Decided {
    /// Whether a place was decided from the artifact.
    pub(super) fn names(&self, place: Place, name: &str) -> bool {
        self.artifact.names(place, name)
    }

    pub(super) fn is_global(&self, mbox: &str) -> bool {
        self.artifact.global_mbox() == mbox
    }
}

/// Decides what the artifact has rules for.
pub(super) fn decide_from_artifact(
    _artifact: Arc<Loaded>,
    _artifacts: &Artifacts,
    _body: &Value,
    _delivery: &Delivery<'_>,
    _session: &str,
    _tnt_id: &str,
) -> Option<Decided> {
    None
}
