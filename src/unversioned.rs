//! Doors into the decision core for this project's own conformance tests, fuzz targets and benchmarks. Nothing here is
//! part of the API: it may change or go in any release.

mod by_hand;
mod inputs;
mod logic;

pub use by_hand::{
    VisitorParts, client_without_network, read_experience_cloud_cookie, read_target_cookie, replace_artifact,
    write_target_cookie,
};
pub use inputs::{
    PUBLIC_SUFFIX_LIST, allocation, allocation_of_visitor, hash, host_in_ascii, is_ip_address, split_host, url_context,
    user_context,
};
pub use logic::{condition_matches, json_logic};
