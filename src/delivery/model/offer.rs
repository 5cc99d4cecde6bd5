//! What page loads, mboxes and views of a response consist of: options with their content, click
//! metrics, and the payloads for Analytics and traces. Data only, read leniently.

use super::wire::{any_json, lenient, value_or_none};
use super::{MetricType, OptionType};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Response tokens of an option by name (component `ResponseTokens`): texts as a rule, lists of
/// texts for category affinity, numbers where the decision was made on-device.
pub type ResponseTokens = Map<String, Value>;

/// Trace of a decision (component `TraceResponse`), only present when the request had a
/// [`Trace`](super::Trace).
pub type TraceResponse = Map<String, Value>;

/// Content of an activity for the visitor (component `Option`, named otherwise here to leave
/// Rust's `Option` alone).
#[doc(alias = "Option")]
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OfferOption {
    /// What the content is.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<OptionType>,
    /// The content: HTML or an address as text, any JSON, or a list of actions, see
    /// [`actions`](Self::actions). A null is content as well: `Some(Value::Null)`.
    #[serde(deserialize_with = "any_json", skip_serializing_if = "Option::is_none")]
    pub content: Option<Value>,
    /// Token to send back in a [`Notification`](super::Notification) once the content was shown;
    /// only of prefetched content.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub event_token: Option<String>,
    /// Facts about the activity and the visitor that the account makes known.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub response_tokens: Option<ResponseTokens>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl OfferOption {
    /// The content as a list of actions: empty unless the type is
    /// [`Actions`](OptionType::Actions), and without elements that are no objects.
    pub fn actions(&self) -> Vec<Action> {
        match (&self.r#type, &self.content) {
            (Some(OptionType::Actions), Some(Value::Array(actions))) => {
                actions.iter().filter_map(|action| value_or_none(action.clone())).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// A change to a page (component `Action` of `Option`), made by the visual editor or an offer
/// template. Actions have more members than the specification names, found in `extra`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Action {
    /// Kind of change, such as `setHtml`.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// Selector of the element to change.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The selector in plain CSS, by which the element can be hidden before it is changed.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub css_selector: Option<String>,
    /// The new content, a text or an object.
    #[serde(deserialize_with = "any_json", skip_serializing_if = "Option::is_none")]
    pub content: Option<Value>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Something to count (component `Metric`): send a [`Notification`](super::Notification) with the
/// token when it happens.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metric {
    /// What is counted.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub r#type: Option<MetricType>,
    /// Selector of the element that is clicked.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Token to send back.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub event_token: Option<String>,
    /// What to tell Analytics, for client-side logging.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub analytics: Option<AnalyticsResponse>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What to tell Analytics (component `AnalyticsResponse`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnalyticsResponse {
    /// The payload to send.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub payload: Option<AnalyticsPayload>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Payload to send to Analytics once the content is applied, for client-side logging (component
/// `AnalyticsPayload`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnalyticsPayload {
    /// Marks the payload as one of Target.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub pe: Option<String>,
    /// Activities and experiences in Target's encoding.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub tnta: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn actions_are_read_from_the_content() {
        let option: OfferOption = serde_json::from_value(json!({
            "type": "actions",
            "content": [{"type": "setHtml", "selector": "#a", "content": "A", "eid": 0}, "odd"]
        }))
        .unwrap();

        let [action] = &option.actions()[..] else { panic!("one action, without the text") };

        assert_eq!(action.r#type.as_deref(), Some("setHtml"));
        assert_eq!(action.extra["eid"], json!(0));
    }

    #[test]
    fn null_is_content_and_no_content_is_none() {
        let text = r#"[{"type":"json","content":null},{"type":"json"}]"#;

        let options: Vec<OfferOption> = serde_json::from_str(text).unwrap();

        assert_eq!(options[0].content, Some(Value::Null));
        assert_eq!(options[1].content, None);
        assert_eq!(serde_json::to_string(&options).unwrap(), text);
    }

    #[test]
    fn other_content_has_no_actions() {
        let option: OfferOption = serde_json::from_value(json!({"type": "json", "content": [{"type": "a"}]})).unwrap();

        assert!(option.actions().is_empty());
    }
}
