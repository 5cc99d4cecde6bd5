//! The Delivery API: its types, and how a request of the caller becomes the one that is sent.

pub(crate) mod limits;
mod members;
pub mod model;
pub(crate) mod normalize;
pub(crate) mod telemetry;
