//! On-device decisioning: `execute` and `prefetch` decided from Adobe's rule artifact.
//!
//! The core ([`artifact`], [`rules`], [`logic`], [`context`] and what they use) does no I/O and knows no transport:
//! artifact, request, clock and random source in; response, impressions and trace out. [`source`] and [`geo`] are
//! the two rooms that talk to the network, on behalf of the client.

pub(crate) mod allocation;
pub(crate) mod artifact;
pub(crate) mod context;
pub(crate) mod domain;
pub(crate) mod geo;
pub(crate) mod logic;
pub(crate) mod source;
pub(crate) mod url;
pub(crate) mod user_agent;
