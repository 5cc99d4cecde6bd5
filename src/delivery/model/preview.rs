//! Looking at activities before visitors do: QA links and previews. Data only, read strictly.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Tries out activities, alone or among the others, with chosen audiences and experiences
/// (component `QAMode`).
#[doc(alias = "QAMode")]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QaMode {
    /// Encrypted list of the activities that may be tried out. Must be of the client that asks, as
    /// must its activities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Whether only the activities of the token are evaluated, or the active ones too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listed_activities_only: Option<bool>,
    /// Ids of audiences that count as matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluate_as_true_audience_ids: Option<Vec<i64>>,
    /// Ids of audiences that count as not matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluate_as_false_audience_ids: Option<Vec<i64>>,
    /// Which activities and experiences to show; not empty when given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview_indexes: Option<Vec<QaModePreviewIndex>>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// An activity of the QA token and the experience to show (component `QAModePreviewIndex`).
#[doc(alias = "QAModePreviewIndex")]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QaModePreviewIndex {
    /// Position of the activity in the token's list, from 1. The API ignores one that is not
    /// there, but needs at least one that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity_index: Option<i64>,
    /// Position of the experience in the activity, from 1. When absent or not there, the activity
    /// chooses as usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experience_index: Option<i64>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Looks at combinations of locations and offers (component `Preview`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// Token of the preview link. Must be of the client that asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
