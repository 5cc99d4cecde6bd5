//! The C ABI: a thin skin over the Rust API. Exports stand in the order of the header, which cbindgen makes
//! from them; their comments are for C readers. Raw pointers are touched in [`guard`] alone.
#![allow(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unsafe_op_in_unsafe_fn,
    clippy::undocumented_unsafe_blocks
)]

// The guard turns a panic into TARGET_ERR_INTERNAL. Without unwinding there is nothing to catch: the host would end.
#[cfg(all(feature = "capi", not(panic = "unwind")))]
compile_error!(
    "the C ABI of adobe-target needs panic = \"unwind\": a panic in it must become TARGET_ERR_INTERNAL and not end the \
     host. A Rust program with panic = \"abort\" switches the feature `capi` off."
);

pub(crate) mod fork;

#[cfg(feature = "capi")]
mod callbacks;
#[cfg(feature = "capi")]
mod exports;
#[cfg(feature = "capi")]
mod guard;
#[cfg(all(test, feature = "capi"))]
mod tests;

#[cfg(feature = "capi")]
use exports::{target_callback, target_client, target_log_callback, target_request, target_status};
