//! Client of the Adobe Target Delivery API.
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod builder;
mod calls;
mod client;
mod clock;
mod config;
mod cookies;
pub mod delivery;
mod envelope;
mod error;
mod events;
mod executor;
mod ffi;
mod ids;
mod json;
#[cfg(feature = "local-edge")]
pub mod local_edge;
mod log;
mod options;
mod pending;
mod process;
mod stats;
mod sync;
mod transport;
mod visitor;

pub use builder::ClientBuilder;
pub use client::TargetClient;
pub use config::{
    ArtifactFormat, CdnEnvironment, ClientConfig, DecisioningMethod, ProxySetting, QueueConfig, RetryPolicy, SpoolSync,
    TlsRoots, TlsSettings,
};
pub use cookies::{LOCATION_HINT_COOKIE_NAME, TARGET_COOKIE_NAME, TargetCookie};
pub use envelope::{Acknowledgement, Attributes, Meta, Offers};
pub use error::{DeliveryCounts, ErrorCode, ErrorDetails, NotificationOutcome, PartialResult, Phase, TargetError};
pub use events::EventCallback;
pub use log::{LogLevel, set_logger};
pub use options::CallOptions;
pub use pending::{PendingAttributes, PendingOffers};
pub use stats::ClientStats;
