//! Reads the body of a delivery request. Of a member that is there twice `serde_json` keeps the last without a word,
//! and which of them Target takes nobody knows: such a body is refused.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::fields::Refusal;

pub(super) fn read(body: &[u8]) -> Result<Value, Refusal> {
    let refuse = |error| Refusal::bad(format!("request is not valid JSON: {error}"));
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = Unique.deserialize(&mut reader).map_err(refuse)?;
    reader.end().map_err(refuse)?;
    Ok(value)
}

/// A value whose objects have each name once.
#[derive(Clone, Copy)]
struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(self)? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(self)?;
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!("member `{name}` is there twice")));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serde_json_reads_is_read_the_same() {
        let text = r#"{"a":[1,-2,0.5,1e3,18446744073709551615,true,false,null,"ü\n",{},[]],"b":{"a":{"a":""}}}"#;
        assert_eq!(read(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        for text in ["", "{", "{} {}", "{\"a\":1e999}", "\"\u{1}\""] {
            assert_eq!(read(text.as_bytes()).unwrap_err().status, 400, "{text}");
        }
        assert_eq!(read(b"\"\xff\"").unwrap_err().status, 400);
    }

    #[test]
    fn a_member_that_is_there_twice_is_refused() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":null,"b":2,"a":3}]}"#, r#"{"a":1,"\u0061":2}"#] {
            let refusal = read(text.as_bytes()).unwrap_err();
            assert!(refusal.message.contains("member `a` is there twice"), "{}", refusal.message);
        }
    }
}
