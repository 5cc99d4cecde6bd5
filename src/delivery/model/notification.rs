//! What the caller tells Target afterwards: prefetched content that was shown, views and mboxes
//! visited, elements clicked. Data only, read strictly; sending is not done here.

use super::{Address, MetricType, Order, Parameters, Product};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Tells that content was shown or clicked (component `Notification`). It concerns an mbox, a view
/// or the page load; mbox and view exclude each other. The API requires id, type and timestamp,
/// and refuses the whole request for one bad token or timestamp.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// Id of the notification, at most 200 characters; the response names it once it is processed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Id of the impression of an earlier request or notification, at most 128 characters: with
    /// the same id no new impression is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impression_id: Option<String>,
    /// Shown or clicked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<MetricType>,
    /// When it happened, in milliseconds since 1970-01-01 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    /// Event tokens of the options shown or of the metrics clicked, from the response that
    /// brought them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Vec<String>>,
    /// The mbox it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mbox: Option<NotificationMbox>,
    /// The view it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<NotificationView>,
    /// The page load it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_load: Option<NotificationPageLoad>,
    /// See [`RequestDetails::discriminator`](super::RequestDetails::discriminator).
    #[serde(rename = "$_type", skip_serializing_if = "Option::is_none")]
    pub discriminator: Option<String>,
    /// See [`RequestDetails::address`](super::RequestDetails::address).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// See [`RequestDetails::parameters`](super::RequestDetails::parameters).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
    /// See [`RequestDetails::profile_parameters`](super::RequestDetails::profile_parameters).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_parameters: Option<Parameters>,
    /// See [`RequestDetails::order`](super::RequestDetails::order).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// See [`RequestDetails::product`](super::RequestDetails::product).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Product>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Notification {
    /// Tells that content was shown, at a time in milliseconds since 1970-01-01 UTC. What was
    /// shown is still to be filled in: `tokens`, and `mbox`, `view` or `page_load`.
    pub fn display(id: impl Into<String>, timestamp_ms: i64) -> Self {
        Self::of_type(MetricType::Display, id.into(), timestamp_ms)
    }

    /// Tells that an element was clicked, at a time in milliseconds since 1970-01-01 UTC. What was
    /// clicked is still to be filled in: `tokens`, and `mbox`, `view` or `page_load`.
    pub fn click(id: impl Into<String>, timestamp_ms: i64) -> Self {
        Self::of_type(MetricType::Click, id.into(), timestamp_ms)
    }

    fn of_type(r#type: MetricType, id: String, timestamp_ms: i64) -> Self {
        Self { id: Some(id), r#type: Some(r#type), timestamp: Some(timestamp_ms), ..Default::default() }
    }
}

/// The mbox that a notification concerns (component `NotificationMbox`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationMbox {
    /// Name of the mbox, not blank, at most 250 characters, without the ending `-clicked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// State of the mbox from the prefetch response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The view that a notification concerns (component `NotificationView`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationView {
    /// Unique name of the view, at most 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Encoded identifier of the view, at most 512 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// State of the view from the prefetch response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The page load that a notification concerns (component `NotificationPageLoad`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationPageLoad {
    /// State of the page load from the prefetch response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_constructors_fill_in_what_the_api_requires() {
        assert_eq!(
            json!(Notification::display("n1", 1_700_000_000_000)),
            json!({"id": "n1", "type": "display", "timestamp": 1_700_000_000_000_i64})
        );
        assert_eq!(Notification::click("n2", 0).r#type, Some(MetricType::Click));
    }
}
