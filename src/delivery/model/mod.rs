//! The messages of the Delivery API as plain data: [`DeliveryRequest`], what goes out, and
//! [`DeliveryResponse`], what comes back. The module knows JSON but no transport, no defaults and
//! no limits: those are applied when a call is made. All types are `Send` and `Sync`.
//!
//! Members bear the names of the API's specification in `snake_case` and are all optional, in
//! JSON too: `None` is left out and `null` is read as `None`, except that the content of an option
//! may be null. Members that a type does not have are kept in its `extra` and sent again, so that
//! what the API adds later passes through; a name that is a member already does not belong there,
//! it would be written twice. Integers of no stated size are `i64`, numbers are `f64`;
//! [`Order::total`] keeps the spelling of its amount.
//!
//! Requests are read strictly: a member of a wrong type is an error. Responses never refuse an
//! answer that is a JSON object: a member of an unexpected type counts as absent and a list leaves
//! out what is no object.
//!
//! ```
//! use adobe_target::delivery::model::*;
//!
//! let request = DeliveryRequest {
//!     execute: Some(ExecuteRequest::mboxes(["home", "footer"])),
//!     context: Some(Context {
//!         channel: Some(ChannelType::Web),
//!         ..Default::default()
//!     }),
//!     ..Default::default()
//! };
//! assert_eq!(
//!     serde_json::to_string(&request)?,
//!     r#"{"context":{"channel":"web"},"execute":{"mboxes":[{"name":"home"},{"name":"footer"}]}}"#
//! );
//!
//! let response: DeliveryResponse = serde_json::from_str(
//!     r#"{"status":200,"execute":{"mboxes":[{"name":"home","options":[{"content":"<b>Hi</b>"}]}]}}"#,
//! )?;
//! let home = response.execute_mbox("home").expect("home was asked for");
//! assert_eq!(home.options.as_ref().map(Vec::len), Some(1));
//! # Ok::<(), serde_json::Error>(())
//! ```

mod commerce;
mod context;
mod experience_cloud;
mod names;
mod notification;
mod offer;
mod preview;
mod request;
mod response;
mod telemetry;
mod visitor;
mod wire;

pub use commerce::{Order, Product};
pub use context::{Address, Application, Browser, ClientHints, Context, Geo, MobilePlatform, Screen, Window};
pub use experience_cloud::{AnalyticsRequest, AudienceManager, ExperienceCloud};
pub use names::{
    AuthenticatedState, ChannelType, DecisioningMethod, DeviceType, ExecutionMode, LoggingType, MetricType,
    MobilePlatformType, OptionType, ScreenOrientationType,
};
pub use notification::{Notification, NotificationMbox, NotificationPageLoad, NotificationView};
pub use offer::{Action, AnalyticsPayload, AnalyticsResponse, Metric, OfferOption, ResponseTokens, TraceResponse};
pub use preview::{Preview, QaMode, QaModePreviewIndex};
pub use request::{
    DeliveryRequest, ExecuteRequest, MboxRequest, Parameters, PrefetchRequest, Property, RequestDetails, Trace,
    ViewRequest,
};
pub use response::{
    DeliveryResponse, ExecuteResponse, MboxResponse, NotificationResponse, PageLoadResponse, PrefetchMboxResponse,
    PrefetchResponse, View,
};
pub use telemetry::{Telemetry, TelemetryEntry, TelemetryFeatures, TelemetryRequest};
pub use visitor::{CustomerId, VisitorId};
