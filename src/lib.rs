//! A client of the [Adobe Target Delivery API][api] for programs in C, C++, Rust and everything that links to
//! them. Synchronous and blocking, without an async runtime. Independent, not affiliated with Adobe.
//!
//! [`TargetClient`] does three things: [`get_offers`](TargetClient::get_offers) asks what to show,
//! [`send_notifications`](TargetClient::send_notifications) reports what was shown or clicked, and
//! [`get_attributes`](TargetClient::get_attributes) reads JSON offers as attributes.
//! [`enqueue_notifications`](TargetClient::enqueue_notifications) reports without waiting.
//!
//! ```no_run
//! use adobe_target::delivery::model::{DeliveryRequest, PrefetchRequest};
//! use adobe_target::{CallOptions, TargetClient};
//!
//! # fn main() -> Result<(), adobe_target::TargetError> {
//! let client = TargetClient::builder("acmeclient", "0DD934B85278256B0A490D44@AdobeOrg").build()?;
//! let request = DeliveryRequest { prefetch: Some(PrefetchRequest::mboxes(["home"])), ..Default::default() };
//! let offers = client.get_offers(&CallOptions::new(request))?;
//! println!("{:?}", offers.response.prefetch_mbox("home"));
//! println!("Set-Cookie: {}={}", offers.target_cookie.name, offers.target_cookie.value);
//! # Ok(())
//! # }
//! ```
//!
//! # Deciding on this machine
//!
//! With [`DecisioningMethod::OnDevice`] the client downloads Adobe's rule artifact, keeps it current in the background
//! and answers `execute` and `prefetch` from it, without a request. [`DecisioningMethod::Hybrid`] does so where the
//! artifact has all that is asked for and goes to the edge else. What `execute` shows is reported in the background;
//! [`Meta::not_queued`] has what found no room.
//! [`TargetClient::is_ready`], [`wait_ready`](TargetClient::wait_ready) and [`refresh`](TargetClient::refresh) are about
//! the artifact, and [`ClientConfig::fixed_clock_ms`] shows what a coming date brings.
//!
//! [`TargetClient::decide_mbox`] decides one mbox from borrowed texts, without a request, a session or an impression:
//! for feature flags and the like.
//!
//! ```no_run
//! use adobe_target::{DecisioningMethod, MboxQuery, TargetClient};
//!
//! # fn main() -> Result<(), adobe_target::TargetError> {
//! let client = TargetClient::builder("acmeclient", "0DD934B85278256B0A490D44@AdobeOrg")
//!     .decisioning_method(DecisioningMethod::OnDevice)
//!     .build()?;
//! let decision = client.decide_mbox(&MboxQuery::new("cart", "a-device-id"))?;
//! println!("{:?}", decision.options);
//! # Ok(())
//! # }
//! ```
//!
//! # Reporting in the background
//!
//! [`TargetClient::enqueue_notifications`] takes notifications and returns; threads deliver them, together with others of
//! their session and again until the edge has acknowledged them. Each ends as acknowledged, rejected or dropped, which
//! events tell and [`TargetClient::stats`] counts. With [`QueueConfig::spool_dir`] they survive the process.
//! [`TargetClient::flush`] waits for them, and so do [`TargetClient::close`] and dropping the client. `docs/notifications.md`
//! says what becomes of a notification in each failure.
//!
//! # Threads
//!
//! A client is shared by reference; every method may be called from any thread at any time. Calls block the
//! thread that makes them. The `_async` forms run on a bounded number of threads of the library and return a
//! handle; the `_then` forms call back. Inside a callback, `close`, `refresh` and waits for unfinished calls answer
//! [`TargetError::WouldDeadlock`]. Decisions on this machine wait neither for the thread that replaces the artifact
//! nor for those that send impressions.
//!
//! # Processes
//!
//! A forked child may use a client that its parent has made. Its first call there starts threads and connections of its
//! own, with the parent's artifact and an empty queue. Handles of the parent's calls answer [`TargetError::Closed`], and
//! dropping a client that the child has not used leaves the parent's alone. Rust's standard library has locks of its own,
//! such as that of the environment, which a child may find held for ever.
//!
//! # Deadlines and repeating
//!
//! One monotonic deadline (`timeout`, 3 s) covers a call: look-up, connect, TLS, proxy, body and all retries.
//! No byte is sent after the call has returned. A request is repeated only where the edge said that it counted
//! nothing, where nothing was sent, or where an `impressionId` makes a second copy count nothing; clicks and
//! orders that may have been counted are not repeated unless `retry_clicks` asks for it.
//!
//! # Features
//!
//! - `capi` (default): the C ABI of `include/adobe_target.h`. Switch it off in Rust programs that make shared
//!   libraries of their own, or those export the symbols too.
//! - `local-edge`: [`local_edge`](https://docs.rs/adobe-target/latest/adobe_target/local_edge/), a Target edge on
//!   127.0.0.1 for tests and for people without an account; it serves rule artifacts, too.
//!
//! # Logging
//!
//! [`set_logger`] takes this library's own lines, which hold no cookie, token or body. ureq underneath logs
//! through the `log` crate: a program that installs a logger there should keep the targets `ureq` and
//! `ureq_proto` at `info`, since their `debug` and `trace` lines have URLs and headers.
//!
//! [api]: https://developer.adobe.com/target/implement/delivery-api/
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod builder;
mod call;
mod calls;
mod client;
mod clock;
mod config;
mod config_json;
mod cookies;
mod decisioning;
pub mod delivery;
mod descriptors;
#[cfg(test)]
mod documented;
mod edge;
mod enqueue;
mod envelope;
mod error;
mod events;
mod executor;
mod ffi;
mod ids;
mod javascript;
mod json;
mod local_decisions;
#[cfg(feature = "local-edge")]
pub mod local_edge;
mod log;
mod notifications;
mod options;
mod pending;
mod per_process;
mod process;
mod server_side;
mod shared;
mod stats;
mod sync;
mod transport;
#[doc(hidden)]
pub mod unversioned;
mod visitor;

pub use builder::ClientBuilder;
pub use client::TargetClient;
pub use config::{
    ArtifactFormat, CdnEnvironment, ClientConfig, DecisioningMethod, ProxySetting, QueueConfig, RetryPolicy, SpoolSync,
    TlsRoots, TlsSettings,
};
pub use cookies::{LOCATION_HINT_COOKIE_NAME, TARGET_COOKIE_NAME, TargetCookie};
pub use decisioning::mbox::{DecidedOption, MboxDecision, MboxQuery};
pub use decisioning::source::ArtifactRefresh;
pub use enqueue::Enqueued;
pub use envelope::{Acknowledgement, Attributes, EdgeReason, Meta, Offers};
pub use error::{DeliveryCounts, ErrorCode, ErrorDetails, NotificationOutcome, PartialResult, Phase, TargetError};
pub use events::EventCallback;
pub use log::{LogCallback, LogLevel, set_logger};
pub use notifications::queue::QueueStats;
pub use options::CallOptions;
pub use pending::{PendingAttributes, PendingOffers};
pub use stats::{ArtifactStats, ClientStats};

/// The snippets of the README compile, and those that can run do.
#[cfg(all(doctest, feature = "local-edge"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// So do those of this page.
#[cfg(all(doctest, feature = "local-edge"))]
#[doc = include_str!("../docs/on-device.md")]
struct OnDevicePage;

/// And of this one.
#[cfg(all(doctest, feature = "local-edge", feature = "spool"))]
#[doc = include_str!("../docs/notifications.md")]
struct NotificationsPage;

/// And of this one.
#[cfg(all(doctest, feature = "local-edge", feature = "spool"))]
#[doc = include_str!("../docs/rust.md")]
struct RustPage;
