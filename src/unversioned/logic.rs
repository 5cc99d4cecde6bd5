//! JSON Logic in the spelling of the recorded cases.

use serde_json::{Map, Number, Value, json};

use crate::decisioning::logic::{Condition, Val, VarPath, Variables};
use crate::javascript;
use crate::json::{Document, Strictness};

/// The value of a JSON Logic rule for the data, in the spelling of the recorded cases: `{"$js":…}` for what JSON has no
/// word for, `{"$utf16":[…]}` for text with half a surrogate pair. The error is the reason in words.
pub fn json_logic(rule: &str, data: Option<&str>) -> Result<Value, String> {
    with_condition(rule, data, |condition, data| {
        let value = condition.evaluate(data).map_err(|error| error.to_string())?;
        spelled(&value, &mut 1_000_000).ok_or_else(|| "the value is too large to be written".to_owned())
    })
}

/// Whether a rule of an artifact with this condition applies to the data.
pub fn condition_matches(condition: &str, data: Option<&str>) -> Result<bool, String> {
    with_condition(condition, data, |condition, data| condition.matches(data).map_err(|error| error.to_string()))
}

fn with_condition<T>(
    rule: &str,
    data: Option<&str>,
    look: impl FnOnce(&Condition, &Data<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let parse = |text| Document::parse(text, Strictness::Answer).map_err(|error| error.reason.to_owned());
    let condition = Condition::compile(parse(rule)?.root())?;
    match data {
        None => look(&condition, &Data(Val::Undefined)),
        Some(data) => {
            let document = parse(data)?;
            look(&condition, &Data(Val::of_json(document.root())))
        }
    }
}

/// Variables that are one JSON value.
struct Data<'a>(Val<'a>);

impl Variables for Data<'_> {
    fn var(&self, path: &VarPath) -> Val<'_> {
        self.0.clone().walk(path.text())
    }

    fn whole(&self) -> Val<'_> {
        self.0.clone()
    }
}

/// None when it has more values than `left`.
fn spelled(value: &Val<'_>, left: &mut usize) -> Option<Value> {
    *left = left.checked_sub(1)?;
    Some(match value {
        Val::Undefined => json!({"$js": "undefined"}),
        Val::Null => Value::Null,
        Val::Bool(value) => Value::Bool(*value),
        Val::Number(number) if *number == 0.0 && number.is_sign_negative() => json!({"$js": "-0"}),
        Val::Number(number) => Number::from_f64(*number).map_or_else(
            || {
                let mut word = String::new();
                javascript::push_number(&mut word, *number);
                json!({ "$js": word })
            },
            Value::Number,
        ),
        Val::Text(text) => {
            let units: Vec<u16> = javascript::units(text).collect();
            String::from_utf16(&units).map_or_else(|_| json!({ "$utf16": units }), Value::String)
        }
        Val::List(list) => Value::Array(
            (0..list.len()).map_while(|at| list.get(at)).map(|item| spelled(&item, left)).collect::<Option<_>>()?,
        ),
        Val::Object(object) => {
            let mut members = Map::new();
            for (name, value) in object.members() {
                members.insert(name.to_owned(), spelled(&value, left)?);
            }
            Value::Object(members)
        }
    })
}
