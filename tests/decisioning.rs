//! On-device decisioning as a program sees it: what holds for every artifact and request, what bad artifacts do,
//! when the edge is asked, and what threads see while artifacts are swapped.
#![cfg(feature = "local-edge")]

#[path = "decisioning/allocation.rs"]
mod allocation;
#[path = "decisioning/bad_artifacts.rs"]
mod bad_artifacts;
#[path = "decisioning/calls.rs"]
mod calls;
#[path = "decisioning/hybrid.rs"]
mod hybrid;
#[path = "decisioning/sameness.rs"]
mod sameness;
#[path = "support/mod.rs"]
mod support;
#[path = "decisioning/swapping.rs"]
mod swapping;
#[path = "decisioning/written.rs"]
mod written;
