//! Where visitors are: a small table of addresses for the geo service and for the headers of the artifact.

use std::collections::HashMap;
use std::net::IpAddr;

use serde_json::{Map, Value};

use super::scenario::{ScenarioError, error, object, text_of};
use crate::decisioning::context::Geo;

/// Names of the service's answer, and of the headers of an artifact download, beside the scenario's own.
const NAMES: [(&str, &str); 5] = [
    ("latitude", "x-geo-latitude"),
    ("longitude", "x-geo-longitude"),
    ("country", "x-geo-country-code"),
    ("region", "x-geo-region-code"),
    ("city", "x-geo-city"),
];

/// One place on earth: what is known of it, under the names of the service.
pub(super) type Location = Vec<(&'static str, String)>;

/// Addresses and where they are.
#[derive(Clone, Debug, Default)]
pub(super) struct GeoTable {
    addresses: HashMap<IpAddr, Location>,
    /// Of all other addresses.
    default: Location,
}

impl GeoTable {
    /// Reads the member `geo` of a scenario.
    pub(super) fn from_json(value: &Value, path: &str) -> Result<Self, ScenarioError> {
        let mut table = GeoTable::default();
        for (member, value) in object(value, path)? {
            let path = format!("{path}.{member}");
            match member.as_str() {
                "default" => table.default = location(value, &path)?,
                "addresses" => {
                    for (address, value) in object(value, &path)? {
                        let path = format!("{path}.{address}");
                        let parsed: IpAddr =
                            address.parse().map_err(|_| error(path.as_str(), "must be named by an address"))?;
                        table.addresses.insert(parsed.to_canonical(), location(value, &path)?);
                    }
                }
                _ => return Err(error(path, "is unknown")),
            }
        }
        Ok(table)
    }

    /// Where an address is; a text that is no address is where the default is.
    pub(super) fn locate(&self, address: &str) -> &Location {
        let parsed: Option<IpAddr> = address.parse().ok();
        parsed.and_then(|address| self.addresses.get(&address.to_canonical())).unwrap_or(&self.default)
    }

    /// Where an address is, as the decision core takes it.
    pub(super) fn geo(&self, address: &str) -> Geo {
        let member =
            |wanted| self.locate(address).iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str());
        let text = |wanted| member(wanted).map(str::to_owned);
        let number = |wanted| member(wanted).and_then(|value| value.parse().ok());
        Geo {
            country: text("x-geo-country-code"),
            region: text("x-geo-region-code"),
            city: text("x-geo-city"),
            latitude: number("x-geo-latitude"),
            longitude: number("x-geo-longitude"),
        }
    }

    /// The service's answer for an address.
    pub(super) fn answer(&self, address: &str) -> Vec<u8> {
        let mut members: Map<String, Value> = self
            .locate(address)
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
            .collect();
        members.insert("x-forwarded-for".to_owned(), Value::from(address));
        Value::Object(members).to_string().into_bytes()
    }
}

fn location(value: &Value, path: &str) -> Result<Location, ScenarioError> {
    let members = object(value, path)?;
    if let Some(unknown) = members.keys().find(|member| !NAMES.iter().any(|(name, _)| name == member)) {
        return Err(error(format!("{path}.{unknown}"), "is unknown"));
    }
    let mut location = Location::new();
    for (member, name) in NAMES {
        let path = format!("{path}.{member}");
        let text = match members.get(member) {
            None => continue,
            Some(Value::Number(number)) => number.to_string(),
            Some(value) => text_of(value, &path)?.to_owned(),
        };
        // Goes into headers.
        if !text.is_ascii() {
            return Err(error(path, "must be ASCII text"));
        }
        location.push((name, text));
    }
    Ok(location)
}

/// The address a request is about: the first one forwarded, else that of this machine.
pub(super) fn address_of(forwarded: Option<&[u8]>) -> String {
    let forwarded = String::from_utf8_lossy(forwarded.unwrap_or_default());
    let first = forwarded.split(',').next().unwrap_or_default().trim();
    if first.is_empty() { "127.0.0.1".to_owned() } else { first.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn table() -> GeoTable {
        let value = json!({
            "default": {"country": "US"},
            "addresses": {
                "203.0.113.1": {"country": "FR", "region": "75", "city": "PARIS", "latitude": 48.85, "longitude": "2.35"},
                "2001:db8::1": {},
            },
        });
        GeoTable::from_json(&value, "geo").unwrap()
    }

    #[test]
    fn an_address_is_found_in_every_spelling() {
        let table = table();
        for spelling in ["203.0.113.1", "::ffff:203.0.113.1", "::ffff:cb00:7101"] {
            assert_eq!(table.locate(spelling)[4], ("x-geo-city", "PARIS".to_owned()), "{spelling}");
        }
        assert!(table.locate("2001:DB8:0::1").is_empty());
        for other in ["203.0.113.2", "", "no address"] {
            assert_eq!(table.locate(other), &[("x-geo-country-code", "US".to_owned())], "{other}");
        }
    }

    #[test]
    fn the_answer_has_texts_and_the_address() {
        let answer: Value = serde_json::from_slice(&table().answer("203.0.113.1")).unwrap();
        assert_eq!(
            answer,
            json!({"x-geo-latitude": "48.85", "x-geo-longitude": "2.35", "x-geo-country-code": "FR",
                "x-geo-region-code": "75", "x-geo-city": "PARIS", "x-forwarded-for": "203.0.113.1"})
        );
    }

    #[test]
    fn the_first_forwarded_address_counts() {
        assert_eq!(address_of(Some(b" 203.0.113.1 , 10.0.0.1")), "203.0.113.1");
        assert_eq!(address_of(Some(b"")), "127.0.0.1");
        assert_eq!(address_of(None), "127.0.0.1");
    }

    #[test]
    fn errors_name_the_member() {
        for (value, member) in [
            (json!([]), "geo"),
            (json!({"town": {}}), "geo.town"),
            (json!({"addresses": {"here": {}}}), "geo.addresses.here"),
            (json!({"default": {"country": 1, "town": ""}}), "geo.default.town"),
            (json!({"default": {"city": "a\nb"}}), "geo.default.city"),
            (json!({"default": {"city": "Zürich"}}), "geo.default.city"),
            (json!({"default": {"city": ["Paris"]}}), "geo.default.city"),
        ] {
            assert_eq!(GeoTable::from_json(&value, "geo").unwrap_err().member, member);
        }
    }
}
