//! What a call asks Target for: content to execute now, content to prefetch, and the members that
//! come along with every request. Data only, read strictly; defaults and limits are applied when
//! the call is made.

use super::{Address, Context, ExperienceCloud, Notification, Order, Preview, Product, QaMode, Telemetry, VisitorId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Parameters of an mbox or of the visitor's profile by name (component `Parameters`).
///
/// At most 50; a name is not blank, at most 128 characters and does not start with `profile.`; a
/// value is a text of at most 5000 characters. Values of other types go out as they are, in the
/// order of insertion. `orderId`, `orderTotal` and `productPurchasedIds` are not allowed as mbox
/// parameters: an [`Order`] carries them.
pub type Parameters = Map<String, Value>;

/// A request to the Delivery API (component `DeliveryRequest`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryRequest {
    /// Id of the request, returned in the response, at most 128 characters. This client makes a
    /// UUID when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Id of the page impression, at most 128 characters: requests with the same id count as one
    /// impression. This client makes a UUID when it is absent and the request executes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impression_id: Option<String>,
    /// The visitor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<VisitorId>,
    /// Id of the environment (host group) whose activities are evaluated. When absent, the API
    /// derives it from the host of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment_id: Option<i64>,
    /// The property (`at_property`) whose activities are evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub property: Option<Property>,
    /// Asks for a trace of the decisions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// The surroundings of the request. The API requires it; this client completes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Context>,
    /// Integrations with Analytics and Audience Manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experience_cloud: Option<ExperienceCloud>,
    /// Content to show now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execute: Option<ExecuteRequest>,
    /// Content to show later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<PrefetchRequest>,
    /// Telemetry of earlier calls. This client fills it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<Telemetry>,
    /// What was shown, visited or clicked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notifications: Option<Vec<Notification>>,
    /// Tries out activities that visitors do not see yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qa_mode: Option<QaMode>,
    /// Looks at locations and offers before they go live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Content to decide on and show now (component `ExecuteRequest`). Impressions are counted at
/// once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecuteRequest {
    /// Asks for the content of the page as a whole; may be an empty object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_load: Option<RequestDetails>,
    /// Asks for the content of these mboxes, which are others than the global one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mboxes: Option<Vec<MboxRequest>>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ExecuteRequest {
    /// Asks for these mboxes, given by name or as requests.
    pub fn mboxes<I>(mboxes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<MboxRequest>,
    {
        Self { mboxes: Some(mboxes.into_iter().map(Into::into).collect()), ..Default::default() }
    }
}

/// Content to show later (component `PrefetchRequest`). Impressions are counted when a
/// [`Notification`] tells that it was shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrefetchRequest {
    /// Asks for the content of views of a single-page application. One without a name or key asks
    /// for all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub views: Option<Vec<ViewRequest>>,
    /// Asks for the content of the page that belongs to no view; may be an empty object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_load: Option<RequestDetails>,
    /// Asks for the content of these mboxes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mboxes: Option<Vec<MboxRequest>>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl PrefetchRequest {
    /// Asks for these mboxes, given by name or as requests.
    pub fn mboxes<I>(mboxes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<MboxRequest>,
    {
        Self { mboxes: Some(mboxes.into_iter().map(Into::into).collect()), ..Default::default() }
    }
}

/// What page loads, mboxes, views and notifications have in common (component `RequestDetails`).
/// As a type of its own it asks for the page load; the others repeat its members.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestDetails {
    /// `$_type`, by which the specification tells the kinds of details apart. Not needed.
    #[serde(rename = "$_type", skip_serializing_if = "Option::is_none")]
    pub discriminator: Option<String>,
    /// The page, where it is another than that of the context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Parameters for audiences, content and reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
    /// Parameters to store in the visitor's profile, named without `profile.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_parameters: Option<Parameters>,
    /// The visitor's order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// The product that the visitor looks at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Product>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Asks for the content of an mbox (component `MboxRequest`). The API requires name and index.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MboxRequest {
    /// Pairs the request with its response, unique in the list. This client sends the position in
    /// the list when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<i32>,
    /// Name of the mbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// See [`RequestDetails::discriminator`].
    #[serde(rename = "$_type", skip_serializing_if = "Option::is_none")]
    pub discriminator: Option<String>,
    /// See [`RequestDetails::address`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// See [`RequestDetails::parameters`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
    /// See [`RequestDetails::profile_parameters`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_parameters: Option<Parameters>,
    /// See [`RequestDetails::order`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// See [`RequestDetails::product`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Product>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl MboxRequest {
    /// Asks for the mbox of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Default::default() }
    }
}

impl From<&str> for MboxRequest {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for MboxRequest {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

/// Asks for the content of a view (component `ViewRequest`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewRequest {
    /// Unique name of the view, at most 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Encoded identifier of the view for advanced uses such as fingerprints, at most 512
    /// characters. Matched in addition to the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// See [`RequestDetails::discriminator`].
    #[serde(rename = "$_type", skip_serializing_if = "Option::is_none")]
    pub discriminator: Option<String>,
    /// See [`RequestDetails::address`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// See [`RequestDetails::parameters`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
    /// See [`RequestDetails::profile_parameters`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_parameters: Option<Parameters>,
    /// See [`RequestDetails::order`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// See [`RequestDetails::product`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Product>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The property whose activities are evaluated (component `Property`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Property {
    /// The `at_property` token. The API requires it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Asks for a trace of the decisions in the response (component `Trace`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// Token that allows the trace. The API requires it. A secret, which `Debug` shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_token: Option<String>,
    /// What the client tells about its own use and state, texts by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Map<String, Value>>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_members_round_trip_at_every_level() {
        let text = concat!(
            r#"{"context":{"channel":"web","new":null},"#,
            r#""execute":{"mboxes":[{"index":0,"name":"home","b":18446744073709551615,"a":[{}]}],"new":0.5},"#,
            r#""z":"first","a":{"second":true}}"#
        );

        let request: DeliveryRequest = serde_json::from_str(text).unwrap();

        assert_eq!(request.extra["z"], json!("first"));
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
    }

    #[test]
    fn parameters_keep_order_and_types() {
        let text = r#"{"parameters":{"z":"1","a":2,"m":null,"b":[true],"":{}}}"#;

        let details: RequestDetails = serde_json::from_str(text).unwrap();

        assert_eq!(serde_json::to_string(&details).unwrap(), text);
    }

    #[test]
    fn null_counts_as_absent() {
        let request: DeliveryRequest = serde_json::from_value(json!({
            "id": null, "context": null, "execute": {"pageLoad": null, "mboxes": null},
            "notifications": null
        }))
        .unwrap();

        assert_eq!(json!(request), json!({"execute": {}}));
    }

    #[test]
    fn a_wrong_type_is_an_error() {
        for body in [
            json!([]),
            json!({"requestId": 5}),
            json!({"environmentId": "5"}),
            json!({"context": []}),
            json!({"context": {"channel": 1}}),
            json!({"context": {"screen": {"width": "1200"}}}),
            json!({"execute": {"mboxes": {"name": "home"}}}),
            json!({"execute": {"mboxes": ["home"]}}),
            json!({"execute": {"mboxes": [{"index": 2_147_483_648_i64}]}}),
            json!({"execute": {"mboxes": [{"parameters": "a=b"}]}}),
            json!({"execute": {"mboxes": [{"order": {"total": "12"}}]}}),
            json!({"notifications": [{"timestamp": 1.5}]}),
            json!({"id": {"customerIds": [null]}}),
        ] {
            assert!(serde_json::from_value::<DeliveryRequest>(body.clone()).is_err(), "{body}");
        }
    }

    #[test]
    fn mboxes_are_given_by_name_or_as_requests() {
        let footer = MboxRequest { index: Some(7), ..MboxRequest::new("footer") };

        assert_eq!(json!(ExecuteRequest::mboxes(["home"])), json!({"mboxes": [{"name": "home"}]}));
        assert_eq!(
            json!(PrefetchRequest::mboxes(vec!["home".into(), footer])),
            json!({"mboxes": [{"name": "home"}, {"index": 7, "name": "footer"}]})
        );
    }
}
