//! What the client tells Target about its own calls: how long they took and which features they
//! used. Data only, read strictly; gathering it is not done here.

use super::wire::plain_number;
use super::{DecisioningMethod, ExecutionMode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Telemetry of finished calls, carried by a later request (component `Telemetry`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Telemetry {
    /// One entry per call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<TelemetryEntry>>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Telemetry of one call (component `TelemetryEntry`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TelemetryEntry {
    /// Id of the call's request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// When the entry was made, in milliseconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    /// Where the call was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<ExecutionMode>,
    /// How long the call took, in milliseconds.
    #[serde(serialize_with = "plain_number", skip_serializing_if = "Option::is_none")]
    pub execution: Option<f64>,
    /// How long reading the response took, in milliseconds.
    #[serde(serialize_with = "plain_number", skip_serializing_if = "Option::is_none")]
    pub parsing: Option<f64>,
    /// What the call asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<TelemetryFeatures>,
    /// How long the parts of the HTTP request took, to Target or to the host of the rules file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<TelemetryRequest>,
    /// What the response to the call had as its
    /// [`telemetry_server_token`](super::DeliveryResponse::telemetry_server_token).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry_server_token: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What a call asked for (component `TelemetryFeatures`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TelemetryFeatures {
    /// Where the client makes its decisions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decisioning_method: Option<DecisioningMethod>,
    /// Number of mboxes executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execute_mbox_count: Option<i64>,
    /// Whether the page load was executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execute_page_load: Option<bool>,
    /// Number of mboxes prefetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefetch_mbox_count: Option<i64>,
    /// Whether the page load was prefetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefetch_page_load: Option<bool>,
    /// Number of views prefetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefetch_view_count: Option<i64>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How long the parts of an HTTP request took (component `TelemetryRequest`). The specification
/// says "since UNIX epoch" of these times, but they are durations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TelemetryRequest {
    /// Looking up the host's name, in milliseconds.
    #[serde(serialize_with = "plain_number", skip_serializing_if = "Option::is_none")]
    pub dns: Option<f64>,
    /// The TLS handshake, in milliseconds.
    #[serde(serialize_with = "plain_number", skip_serializing_if = "Option::is_none")]
    pub tls: Option<f64>,
    /// Until the first byte of the response, in milliseconds.
    #[serde(serialize_with = "plain_number", skip_serializing_if = "Option::is_none")]
    pub time_to_first_byte: Option<f64>,
    /// Receiving the response, in milliseconds.
    #[serde(serialize_with = "plain_number", skip_serializing_if = "Option::is_none")]
    pub download: Option<f64>,
    /// Size of the response in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_size: Option<i64>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
