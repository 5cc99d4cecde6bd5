//! On-device decisioning: `execute` and `prefetch` decided from Adobe's rule artifact.
//!
//! The core ([`artifact`], [`rules`], [`logic`], [`context`] and what they use) does no I/O and knows no transport:
//! artifact, request, clock and random source in; response, impressions and trace out. [`source`], [`geo`] and
//! [`hint`] are the rooms that talk to the network, on behalf of the client; [`on_device`] has them together.

pub(crate) mod allocation;
pub(crate) mod artifact;
pub(crate) mod context;
pub(crate) mod decide;
pub(crate) mod domain;
pub(crate) mod geo;
mod hint;
pub(crate) mod logic;
mod macros;
pub(crate) mod mbox;
pub(crate) mod on_device;
mod parameters;
mod readiness;
mod rules;
mod select;
pub(crate) mod source;
pub(crate) mod trace;
pub(crate) mod url;
pub(crate) mod user_agent;
