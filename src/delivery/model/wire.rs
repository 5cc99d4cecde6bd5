//! How single members are read and written where serde's way does not suit: response members
//! that must never fail the parse, and numbers that should look as the caller wrote them.

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Value};

/// Reads a member of a response: what is not a `T` becomes `None`, so that one odd member never
/// costs the caller the rest of the answer.
pub(super) fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    Value::deserialize(deserializer).map(value_or_none)
}

/// Reads a member of a response that may be any JSON, null too.
pub(super) fn any_json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads a list of a response: elements that are no `T` are left out, and anything but a list
/// becomes `None`.
pub(super) fn lenient_list<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    Value::deserialize(deserializer).map(list_or_none)
}

/// The value as a `T`, unless it is null or of another type.
pub(super) fn value_or_none<T: DeserializeOwned>(value: Value) -> Option<T> {
    if value.is_null() {
        return None;
    }
    T::deserialize(value).ok()
}

/// The value as a list of what in it is a `T`, unless it is no list.
fn list_or_none<T: DeserializeOwned>(value: Value) -> Option<Vec<T>> {
    match value {
        Value::Array(elements) => Some(elements.into_iter().filter_map(value_or_none).collect()),
        _ => None,
    }
}

/// Takes a member of a response out of an object, as [`lenient`] reads it.
pub(super) fn take<T: DeserializeOwned>(members: &mut Map<String, Value>, name: &str) -> Option<T> {
    members.shift_remove(name).and_then(value_or_none)
}

/// Takes a list of a response out of an object, as [`lenient_list`] reads it.
pub(super) fn take_list<T: DeserializeOwned>(members: &mut Map<String, Value>, name: &str) -> Option<Vec<T>> {
    members.shift_remove(name).and_then(list_or_none)
}

/// Writes a whole number without a fraction (`1200`, not `1200.0`), as JavaScript clients do.
pub(super) fn plain_number<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    /// Above 2^53 not every whole number is a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number {
        Some(number) if number.fract() == 0.0 && number.abs() < EXACT => serializer.serialize_i64(*number as i64),
        // serde_json would write null, and a member that is null is left out.
        Some(number) if !number.is_finite() => {
            Err(serde::ser::Error::custom(format_args!("{number} is no number that JSON has")))
        }
        _ => number.serialize(serializer),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Screen, Window};
    use serde_json::json;

    #[test]
    fn whole_numbers_are_written_without_a_fraction() {
        let screen = Screen {
            width: Some(1200.0),
            height: Some(-0.5),
            color_depth: Some(1e300),
            pixel_ratio: Some(9_007_199_254_740_992.0),
            ..Default::default()
        };

        let text = serde_json::to_string(&screen).unwrap();

        assert_eq!(text, r#"{"width":1200,"height":-0.5,"colorDepth":1e+300,"pixelRatio":9007199254740992.0}"#);
    }

    #[test]
    fn both_spellings_of_a_number_are_read() {
        let window: Window = serde_json::from_value(json!({"width": 800, "height": 600.5})).unwrap();

        assert_eq!((window.width, window.height), (Some(800.0), Some(600.5)));
    }
}
