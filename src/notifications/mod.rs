//! Notifications that go out in the background: the impressions of decisions made on this machine.

pub(crate) mod sender;
