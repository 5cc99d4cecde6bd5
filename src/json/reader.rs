//! Strict reading of objects with known keys: configuration and options.

use std::borrow::Cow;

use super::{Kind, Value};
use crate::error::TargetError;

/// A member of such an object with the path under which the caller wrote it.
pub(crate) struct Member<'d> {
    pub value: Value<'d>,
    key: Cow<'d, str>,
    parent: &'d str,
}

/// Hands each member that is not null to `take`, under the snake_case name of its key.
///
/// Each key may be written in camelCase too. An unknown key, and a key given twice (in one spelling or in
/// both), is refused with its path.
pub(crate) fn read_members<'d>(
    object: Value<'d>,
    parent: &'d str,
    keys: &[&'static str],
    mut take: impl FnMut(&'static str, Member<'d>) -> Result<(), TargetError>,
) -> Result<(), TargetError> {
    let mut seen = 0u64;
    for (written, value) in object.members() {
        let Some(position) = keys.iter().position(|key| same_key(key, &written)) else {
            return Err(TargetError::unknown_key(shown(&joined(parent, &written))));
        };
        let bit = 1u64 << position;
        if seen & bit != 0 {
            return Err(TargetError::given_twice(joined(parent, &written)));
        }
        seen |= bit;
        if let Some(key) = keys.get(position).filter(|_| !value.is_null()) {
            take(key, Member { value, key: written, parent })?;
        }
    }
    Ok(())
}

/// Whether a written key is the known one, in snake_case or camelCase.
fn same_key(snake: &str, written: &str) -> bool {
    if snake == written {
        return true;
    }
    let mut written = written.bytes();
    let mut snake = snake.bytes();
    while let Some(expected) = snake.next() {
        let expected = match expected {
            b'_' => snake.next().unwrap_or(b'_').to_ascii_uppercase(),
            plain => plain,
        };
        if written.next() != Some(expected) {
            return false;
        }
    }
    written.next().is_none()
}

fn joined(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

/// A foreign key in a message: short and printable.
fn shown(path: &str) -> String {
    path.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).take(128).collect()
}

impl<'d> Member<'d> {
    /// Where the caller wrote it, such as `tls.caFile`.
    pub(crate) fn path(&self) -> String {
        joined(self.parent, &self.key)
    }

    fn wrong(&self, expected: &str) -> TargetError {
        TargetError::wrong_type(self.path(), expected, self.value.kind().described())
    }

    /// A string; an empty one counts as absent.
    pub(crate) fn text(&self) -> Result<Option<String>, TargetError> {
        let text = self.value.as_str().ok_or_else(|| self.wrong("a string"))?;
        Ok((!text.is_empty()).then(|| text.into_owned()))
    }

    pub(crate) fn boolean(&self) -> Result<bool, TargetError> {
        self.value.as_bool().ok_or_else(|| self.wrong("true or false"))
    }

    pub(crate) fn integer(&self) -> Result<i64, TargetError> {
        if self.value.kind() != Kind::Number {
            return Err(self.wrong("an integer"));
        }
        self.value.as_i64().ok_or_else(|| {
            let raw = self.value.raw();
            let is_fraction = raw.parse::<f64>().is_ok_and(|number| number.fract() != 0.0);
            let reason =
                if is_fraction { "an integer, without a fraction" } else { "an integer; this one is too large" };
            TargetError::invalid_options(self.path(), format!("`{}` must be {reason}", self.path()))
        })
    }

    /// An integer of at least `least`.
    pub(crate) fn count(&self, least: u64) -> Result<u64, TargetError> {
        let number = self.integer()?;
        u64::try_from(number).ok().filter(|number| *number >= least).ok_or_else(|| {
            TargetError::invalid_options(self.path(), format!("`{}` must be at least {least}", self.path()))
        })
    }

    pub(crate) fn object(&self) -> Result<Value<'d>, TargetError> {
        if self.value.kind() == Kind::Object { Ok(self.value) } else { Err(self.wrong("an object")) }
    }

    pub(crate) fn array(&self) -> Result<Value<'d>, TargetError> {
        if self.value.kind() == Kind::Array { Ok(self.value) } else { Err(self.wrong("an array")) }
    }
}

#[cfg(test)]
mod tests {
    use super::same_key;

    #[test]
    fn both_spellings_are_one_key_and_no_third_one_is() {
        for written in ["organization_id", "organizationId"] {
            assert!(same_key("organization_id", written));
        }
        for written in ["organizationid", "OrganizationId", "organization_Id", "organizationI", "organizationIdx"] {
            assert!(!same_key("organization_id", written), "{written}");
        }
    }
}
