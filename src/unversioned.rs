//! Doors into the decision core for this project's own conformance tests, fuzz targets and benchmarks. Nothing here is
//! part of the API: it may change or go in any release.

mod inputs;
mod logic;

pub use inputs::{
    PUBLIC_SUFFIX_LIST, allocation, allocation_of_visitor, hash, host_in_ascii, is_ip_address, split_host, url_context,
    user_context,
};
pub use logic::{condition_matches, json_logic};
