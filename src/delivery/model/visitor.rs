//! Who the visitor is. The same type goes out and comes back, so that the answer's id can be put
//! into the next request: strict when read by itself or in a request, lenient in a response.

use super::AuthenticatedState;
use super::wire::take;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The ids of a visitor (component `VisitorId`). One of the first three is needed to know the
/// visitor again; without any, Target makes a `tntId` that later requests should carry.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VisitorId {
    /// Target's id of the device, at most 128 characters. Ends with `.` and the place of the
    /// profile, as in `32440324234-2343423.23_41`; no other dot is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tnt_id: Option<String>,
    /// The customer's own id of the visitor, at most 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub third_party_id: Option<String>,
    /// Experience Cloud id (ECID) of the visitor, at most 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marketing_cloud_visitor_id: Option<String>,
    /// Further ids of the visitor beside the Experience Cloud id, at most 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_ids: Option<Vec<CustomerId>>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// An id of the visitor in another system (component `CustomerId`). The API requires all three
/// members.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomerId {
    /// The id, at most 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Alias of the data source in the Experience Cloud, at most 50 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integration_code: Option<String>,
    /// Whether the visitor is logged in with this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authenticated_state: Option<AuthenticatedState>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl VisitorId {
    /// Reads the visitor of a response: a member of a wrong type counts as absent, so that a bad
    /// customer id does not cost the caller the `tntId`.
    pub(super) fn lenient(value: Value) -> Option<Self> {
        let Value::Object(mut members) = value else {
            return None;
        };
        let customer_ids = match members.shift_remove("customerIds") {
            Some(Value::Array(ids)) => Some(ids.into_iter().filter_map(CustomerId::lenient).collect()),
            _ => None,
        };
        Some(Self {
            tnt_id: take(&mut members, "tntId"),
            third_party_id: take(&mut members, "thirdPartyId"),
            marketing_cloud_visitor_id: take(&mut members, "marketingCloudVisitorId"),
            customer_ids,
            extra: members,
        })
    }
}

impl CustomerId {
    fn lenient(value: Value) -> Option<Self> {
        let Value::Object(mut members) = value else {
            return None;
        };
        Some(Self {
            id: take(&mut members, "id"),
            integration_code: take(&mut members, "integrationCode"),
            authenticated_state: take(&mut members, "authenticatedState"),
            extra: members,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::model::DeliveryResponse;
    use serde_json::json;

    #[test]
    fn requests_and_responses_read_the_same_visitor() {
        let id = json!({
            "tntId": "a.35_0",
            "thirdPartyId": "b",
            "marketingCloudVisitorId": "c",
            "customerIds": [
                {"id": "d", "integrationCode": "crm", "authenticatedState": "logged_out", "new": 1}
            ],
            "new": [2]
        });

        let strict: VisitorId = serde_json::from_value(id.clone()).unwrap();
        let response: DeliveryResponse = serde_json::from_value(json!({"id": id})).unwrap();

        assert_eq!(response.id, Some(strict));
    }

    #[test]
    fn a_bad_customer_id_costs_a_response_nothing_else() {
        let id = json!({"tntId": "a", "customerIds": [null, {"id": 5, "integrationCode": "crm"}]});

        let response: DeliveryResponse = serde_json::from_value(json!({"id": id})).unwrap();

        let crm = CustomerId { integration_code: Some("crm".to_owned()), ..Default::default() };
        let visitor = response.id.unwrap();
        assert_eq!(visitor.tnt_id.as_deref(), Some("a"));
        assert_eq!(visitor.customer_ids, Some(vec![crm]));
        assert!(serde_json::from_value::<VisitorId>(id).is_err());
    }
}
