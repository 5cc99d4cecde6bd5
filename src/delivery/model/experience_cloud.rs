//! What Target shares with Adobe Analytics and Audience Manager during a call. Data only, read
//! strictly.

use super::LoggingType;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Integrations with other Adobe products (component `ExperienceCloud`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExperienceCloud {
    /// Audience Manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience_manager: Option<AudienceManager>,
    /// Analytics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analytics: Option<AnalyticsRequest>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Where Audience Manager keeps the visitor's profile (component `AudienceManager`). This client
/// takes absent members from the visitor cookie.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AudienceManager {
    /// Number of the region that holds the profile, 1 or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location_hint: Option<i64>,
    /// Encoded data for Audience Manager, not blank, at most 1024 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// How Analytics learns of the activities shown (component `AnalyticsRequest`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnalyticsRequest {
    /// Stitches this call to the Analytics call of the same page, for server-side logging: 16
    /// hexadecimal digits, `-`, 16 hexadecimal digits. This client makes one when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supplemental_data_id: Option<String>,
    /// Who tells Analytics. This client sends `server_side` when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging: Option<LoggingType>,
    /// Host of the tracking server, without `http://`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracking_server: Option<String>,
    /// Host of the tracking server for TLS, without `https://`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracking_server_secure: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
