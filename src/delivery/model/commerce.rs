//! What the visitor buys and looks at: the order for revenue metrics, the product for
//! recommendations. Data only, read strictly.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

/// An order placed by the visitor (component `Order`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Id of the order, at most 250 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Amount of money of the order, not negative, in the account's currency. A JSON number, so
    /// that `12` stays `12`: `Some(12.into())`, or `Number::from_f64(12.5)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Number>,
    /// Ids of the products bought: none blank, each at most 50 characters, all of them joined by
    /// commas at most 250.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purchased_product_ids: Option<Vec<String>>,
    /// When the order was placed, in ISO 8601.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Follows the experience over several requests, not negative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experience_local_id: Option<i32>,
    /// Whether the order was counted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<bool>,
    /// Whether the order's volume is far from that of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outlier: Option<bool>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A product that the visitor looks at (component `Product`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Product {
    /// Id of the product, not blank, at most 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Id of the product's category, not blank, at most 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category_id: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_keeps_its_spelling() {
        for text in [r#"{"total":12}"#, r#"{"total":12.0}"#, r#"{"total":12.5}"#] {
            let order: Order = serde_json::from_str(text).unwrap();

            assert_eq!(serde_json::to_string(&order).unwrap(), text);
        }
    }
}
