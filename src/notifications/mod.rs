//! Notifications that go out in the background: those that were enqueued, and the impressions of decisions made on this
//! machine.

pub(crate) mod batch;
mod circuit;
mod durable;
mod faults;
pub(crate) mod queue;
mod report;
pub(crate) mod sender;
#[cfg_attr(not(feature = "spool"), allow(dead_code))]
mod spool;
mod worker;
