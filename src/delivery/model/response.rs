//! What Target answers. Data only, read leniently: a member of an unexpected type counts as absent
//! and never costs the caller the rest of the answer.

use super::wire::{lenient, lenient_list, take, take_list};
use super::{AnalyticsResponse, Metric, OfferOption, TraceResponse, VisitorId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The answer to a [`DeliveryRequest`](super::DeliveryRequest) (component `DeliveryResponse`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "Map<String, Value>")]
pub struct DeliveryResponse {
    /// HTTP status of the answer; 206 when on-device decisioning could answer a part only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<i64>,
    /// Id of the request that is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The visitor, to be put into later requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<VisitorId>,
    /// Client code that the request was for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Host of the cluster that answered, which later requests of the visitor should go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge_host: Option<String>,
    /// Content to show now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execute: Option<ExecuteResponse>,
    /// Content to show later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefetch: Option<PrefetchResponse>,
    /// The notifications that were processed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notifications: Option<Vec<NotificationResponse>>,
    /// Encoded telemetry of the server about this call, to be sent with the client's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry_server_token: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Reads an answer without ever failing. From JSON text the way leads through such a map too, so
/// that a member that comes twice is no error: the last one counts.
impl From<Map<String, Value>> for DeliveryResponse {
    fn from(mut members: Map<String, Value>) -> Self {
        Self {
            status: take(&mut members, "status"),
            request_id: take(&mut members, "requestId"),
            id: members.shift_remove("id").and_then(VisitorId::lenient),
            client: take(&mut members, "client"),
            edge_host: take(&mut members, "edgeHost"),
            execute: take(&mut members, "execute"),
            prefetch: take(&mut members, "prefetch"),
            notifications: take_list(&mut members, "notifications"),
            telemetry_server_token: take(&mut members, "telemetryServerToken"),
            extra: members,
        }
    }
}

impl DeliveryResponse {
    /// The executed mbox of this name, the first where several bear it.
    pub fn execute_mbox(&self, name: &str) -> Option<&MboxResponse> {
        let mboxes = self.execute.as_ref()?.mboxes.as_ref()?;
        mboxes.iter().find(|mbox| mbox.name.as_deref() == Some(name))
    }

    /// The prefetched mbox of this name, the first where several bear it.
    pub fn prefetch_mbox(&self, name: &str) -> Option<&PrefetchMboxResponse> {
        let mboxes = self.prefetch.as_ref()?.mboxes.as_ref()?;
        mboxes.iter().find(|mbox| mbox.name.as_deref() == Some(name))
    }
}

/// Content to show now (component `ExecuteResponse`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecuteResponse {
    /// Content of the page as a whole.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub page_load: Option<PageLoadResponse>,
    /// Content of the mboxes asked for.
    #[serde(deserialize_with = "lenient_list", skip_serializing_if = "Option::is_none")]
    pub mboxes: Option<Vec<MboxResponse>>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Content to show later (component `PrefetchResponse`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PrefetchResponse {
    /// Content of the views that match the request.
    #[serde(deserialize_with = "lenient_list", skip_serializing_if = "Option::is_none")]
    pub views: Option<Vec<View>>,
    /// Content of the page that belongs to no view.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub page_load: Option<PageLoadResponse>,
    /// Content of the mboxes asked for, with the tokens to send back when it is shown.
    #[serde(deserialize_with = "lenient_list", skip_serializing_if = "Option::is_none")]
    pub mboxes: Option<Vec<PrefetchMboxResponse>>,
    /// Clicks to count that belong to no view, though their activities have views. In an answer
    /// that executes too, these are in the metrics of the page load instead.
    #[serde(deserialize_with = "lenient_list", skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<Metric>>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Content of an executed mbox (component `MboxResponse`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MboxResponse {
    /// `$_type`, by which the specification tells executed and prefetched mboxes apart.
    #[serde(rename = "$_type", deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub discriminator: Option<String>,
    /// Index that the mbox had in the request.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub index: Option<i32>,
    /// Name of the mbox. Several mboxes may bear the same name; the index tells them apart.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The content, empty or absent when no activity matched.
    #[serde(deserialize_with = "lenient_list", skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<OfferOption>>,
    /// Clicks to count.
    #[serde(deserialize_with = "lenient_list", skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<Metric>>,
    /// What to tell Analytics, for client-side logging.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub analytics: Option<AnalyticsResponse>,
    /// Trace of the decisions, if asked for.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceResponse>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Content of a prefetched mbox (component `PrefetchMboxResponse`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PrefetchMboxResponse {
    /// See [`MboxResponse::discriminator`].
    #[serde(rename = "$_type", deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub discriminator: Option<String>,
    /// See [`MboxResponse::index`].
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub index: Option<i32>,
    /// See [`MboxResponse::name`].
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// See [`MboxResponse::options`].
    #[serde(deserialize_with = "lenient_list", skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<OfferOption>>,
    /// See [`MboxResponse::metrics`].
    #[serde(deserialize_with = "lenient_list", skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<Metric>>,
    /// See [`MboxResponse::analytics`].
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub analytics: Option<AnalyticsResponse>,
    /// See [`MboxResponse::trace`].
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceResponse>,
    /// State to send back in the [`NotificationMbox`](super::NotificationMbox) once the content
    /// was shown.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Content of the page that belongs to no view (component `PageLoadResponse`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PageLoadResponse {
    /// The content to apply.
    #[serde(deserialize_with = "lenient_list", skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<OfferOption>>,
    /// Clicks to count. Those of views are with the views; see also
    /// [`PrefetchResponse::metrics`].
    #[serde(deserialize_with = "lenient_list", skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<Metric>>,
    /// What to tell Analytics, for client-side logging.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub analytics: Option<AnalyticsResponse>,
    /// State to send back in the [`NotificationPageLoad`](super::NotificationPageLoad) once the
    /// content was shown; only of prefetched content.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Trace of the decisions, if asked for.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceResponse>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Content of a view of a single-page application (component `View`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct View {
    /// Unique name of the view, at most 128 characters.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Encoded identifier of the view, at most 512 characters.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The content to apply when the view is shown.
    #[serde(deserialize_with = "lenient_list", skip_serializing_if = "Option::is_none")]
    pub options: Option<Vec<OfferOption>>,
    /// Clicks to count in the view.
    #[serde(deserialize_with = "lenient_list", skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<Metric>>,
    /// What to tell Analytics, for client-side logging.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub analytics: Option<AnalyticsResponse>,
    /// State to send back in the [`NotificationView`](super::NotificationView) once the view was
    /// shown.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Trace of the decisions, if asked for.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceResponse>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A notification that was processed (component `NotificationResponse`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NotificationResponse {
    /// Id that the notification had.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Trace of the processing, if asked for.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceResponse>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mboxes_are_found_by_name() {
        let response: DeliveryResponse = serde_json::from_value(full_response()).unwrap();

        let executed = response.execute_mbox("home").unwrap();
        let prefetched = response.prefetch_mbox("footer").unwrap();

        assert_eq!(executed.index, Some(1));
        assert_eq!(prefetched.state.as_deref(), Some("state-mbox"));
        assert_eq!(response.execute_mbox("footer"), None);
        assert_eq!(DeliveryResponse::default().prefetch_mbox("footer"), None);
    }

    #[test]
    fn a_full_response_round_trips() {
        let response: DeliveryResponse = serde_json::from_value(full_response()).unwrap();

        assert_eq!(json!(response), full_response());
    }

    #[test]
    fn an_odd_member_never_costs_the_others() {
        let full = full_response();
        let mut pointers = Vec::new();
        collect_pointers(&full, "", &mut pointers);
        assert!(pointers.len() > 100, "{}", pointers.len());

        for pointer in &pointers {
            for odd in [
                json!(null),
                json!(true),
                json!(0),
                json!(-1.5),
                json!(u64::MAX),
                json!("odd"),
                json!([]),
                json!([null, 1, "odd", [], {}]),
                json!({}),
                json!({"odd": {"": null}}),
            ] {
                let mut answer = full.clone();
                *answer.pointer_mut(pointer).unwrap() = odd.clone();

                let response: DeliveryResponse =
                    serde_json::from_value(answer.clone()).unwrap_or_else(|error| panic!("{pointer} = {odd}: {error}"));
                let from_text: DeliveryResponse = serde_json::from_str(&answer.to_string()).unwrap();

                assert_eq!(from_text, response);
                assert_eq!(
                    without(json!(response), pointer, &full),
                    without(full.clone(), pointer, &full),
                    "{pointer} = {odd}"
                );
            }
        }
    }

    #[test]
    fn elements_that_are_no_objects_are_left_out() {
        let response: DeliveryResponse = serde_json::from_value(json!({
            "execute": {"mboxes": [null, {"name": "home"}, 1, "odd", [{}], true]},
            "notifications": [[], {"id": "n1"}],
            "prefetch": {"mboxes": {"name": "footer"}}
        }))
        .unwrap();

        assert_eq!(
            json!(response),
            json!({
                "execute": {"mboxes": [{"name": "home"}]},
                "prefetch": {},
                "notifications": [{"id": "n1"}]
            })
        );
    }

    #[test]
    fn of_a_member_that_comes_twice_the_last_counts() {
        let text = r#"{"status":1,"status":2,"execute":{"mboxes":[{"name":"a","name":"b"}],"mboxes":[{"x":1,"x":2}]}}"#;

        let response: DeliveryResponse = serde_json::from_str(text).unwrap();

        assert_eq!(json!(response), json!({"status": 2, "execute": {"mboxes": [{"x": 2}]}}));
    }

    #[test]
    fn only_an_object_is_a_response() {
        for answer in [json!(null), json!([]), json!("{}"), json!(200)] {
            assert!(serde_json::from_value::<DeliveryResponse>(answer).is_err());
        }
    }

    /// Every place in the value, as JSON pointers.
    fn collect_pointers(value: &Value, path: &str, pointers: &mut Vec<String>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(members) => members.iter().map(|(k, v)| (k.clone(), v)).collect(),
            Value::Array(elements) => {
                elements.iter().enumerate().map(|(index, element)| (index.to_string(), element)).collect()
            }
            _ => Vec::new(),
        };
        for (key, child) in children {
            let pointer = format!("{path}/{key}");
            collect_pointers(child, &pointer, pointers);
            pointers.push(pointer);
        }
    }

    /// The answer without the place pointed at. An element that the parse left out is gone
    /// already: the list is shorter than that of `full` then.
    fn without(mut answer: Value, pointer: &str, full: &Value) -> Value {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let length = full.pointer(parent).and_then(Value::as_array).map(Vec::len);
        match answer.pointer_mut(parent) {
            Some(Value::Object(members)) => {
                members.remove(key);
            }
            Some(Value::Array(elements)) if Some(elements.len()) == length => {
                elements.remove(key.parse().unwrap());
            }
            _ => (),
        }
        answer
    }

    /// Every type with every member and an unknown one, the types inside options and metrics once.
    fn full_response() -> Value {
        let options = json!([{"type": "html", "content": "<b>B</b>"}]);
        let metrics = json!([{"type": "click", "eventToken": "m"}]);
        let analytics = json!({"payload": {}});
        let trace = json!({"clientCode": "demo"});
        json!({
            "status": 200,
            "requestId": "r1",
            "id": {
                "tntId": "abc.35_0",
                "thirdPartyId": "third",
                "marketingCloudVisitorId": "ecid",
                "customerIds": [
                    {"id": "c1", "integrationCode": "crm", "authenticatedState": "authenticated", "new": 1},
                    {"id": "c2"}
                ],
                "new": 1
            },
            "client": "demo",
            "edgeHost": "mboxedge35.tt.omtrdc.net",
            "execute": {
                "pageLoad": {
                    "options": [
                        {
                            "type": "actions",
                            "content": [{"type": "setHtml", "selector": "#a", "content": "A"}],
                            "eventToken": "event",
                            "responseTokens": {"activity.id": 1, "profile.affinity": ["a", "b"]},
                            "new": 1
                        },
                        {"type": "html", "content": "<b>B</b>"}
                    ],
                    "metrics": [
                        {
                            "type": "click", "selector": "#b", "eventToken": "m",
                            "analytics": {"payload": {"pe": "tnt", "tnta": "1:0:0|2", "new": 1}, "new": 1},
                            "new": 1
                        }
                    ],
                    "analytics": analytics, "state": "state-page",
                    "trace": {"clientCode": "demo", "campaigns": [{"id": 1}]}, "new": 1
                },
                "mboxes": [
                    {
                        "$_type": "mbox", "index": 1, "name": "home", "options": options,
                        "metrics": metrics, "analytics": analytics, "trace": trace, "new": 1
                    },
                    {"index": 2, "name": "home"}
                ],
                "new": 1
            },
            "prefetch": {
                "views": [
                    {
                        "name": "cart", "key": "k", "options": options, "metrics": metrics,
                        "analytics": analytics, "state": "state-view", "trace": trace, "id": 1
                    }
                ],
                "pageLoad": {"options": options},
                "mboxes": [
                    {
                        "$_type": "prefetch", "index": 3, "name": "footer", "options": options,
                        "metrics": metrics, "analytics": analytics, "trace": trace,
                        "state": "state-mbox", "new": 1
                    }
                ],
                "metrics": metrics,
                "new": 1
            },
            "notifications": [{"id": "n1", "trace": trace, "new": 1}],
            "telemetryServerToken": "server",
            "new": {"of": ["the", "future"]}
        })
    }
}
