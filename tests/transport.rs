//! The transport: connections and their reuse, faults of the edge and of the network, repeating, deadlines,
//! cancellation, and what a call costs.
#![cfg(feature = "local-edge")]

#[path = "transport/answers.rs"]
mod answers;
#[path = "transport/connections.rs"]
mod connections;
#[path = "transport/cost.rs"]
mod cost;
#[path = "transport/endings.rs"]
mod endings;
#[path = "transport/faults.rs"]
mod faults;
#[path = "transport/net.rs"]
mod net;
#[path = "transport/reaching.rs"]
mod reaching;
#[path = "transport/repeating.rs"]
mod repeating;
