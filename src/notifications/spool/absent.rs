//! What stands for the spool in a build without it: one that can be asked for and never had.

use std::path::Path;

use super::{Recovered, Settings, SpoolStats, Submission, Ticket};
use crate::error::TargetError;

#[derive(Debug)]
pub(crate) enum Spool {}

impl Spool {
    pub(crate) fn open(_: &Path, _: String, _: Settings) -> Result<(Spool, Vec<Recovered>), TargetError> {
        Err(TargetError::unsupported(None, "this build keeps no spool: it was made without the feature `spool`"))
    }

    pub(crate) fn append(&self, _: &Submission<'_>) -> Result<Ticket, TargetError> {
        match *self {}
    }

    pub(crate) fn mark_attempted(&self, _: &[Ticket]) -> Result<(), TargetError> {
        match *self {}
    }

    pub(crate) fn mark_unattempted(&self, _: &[Ticket]) {
        match *self {}
    }

    pub(crate) fn finish(&self, _: &[Ticket]) {
        match *self {}
    }

    pub(crate) fn sync(&self) -> Result<(), TargetError> {
        match *self {}
    }

    pub(crate) fn adopt(&self) -> Vec<Recovered> {
        match *self {}
    }

    pub(crate) fn stats(&self) -> SpoolStats {
        match *self {}
    }

    pub(crate) fn reject(&self, _: &str) {
        match *self {}
    }

    pub(crate) fn close(&self) -> Result<(), TargetError> {
        match *self {}
    }
}
