//! What the program knows of its visitor beyond Target's own cookie: the Experience Cloud's AMCV cookie,
//! customer ids, the supplemental data id, and the state for the browser-side visitor library.

use crate::cookies::decode_component;
use crate::error::TargetError;
use crate::json::{Kind, Member, ObjectWriter, Value, read_members, write_escaped, write_str};

/// What the AMCV cookie says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ExperienceCloudCookie {
    pub marketing_cloud_visitor_id: Option<String>,
    pub location_hint: Option<i64>,
    pub blob: Option<String>,
}

impl ExperienceCloudCookie {
    /// Reads fields separated by `|`, raw or percent-encoded once: a digest first, when their number is odd or
    /// the first is a number (which no key is), then key and value in turn. Expired fields and `NONE` count as
    /// absent, so does a cookie that cannot be decoded.
    pub(crate) fn parse(cookie: &str, now_ms: i64) -> Self {
        let mut found = ExperienceCloudCookie::default();
        let Some(decoded) = decode_component(cookie) else { return found };
        let fields: Vec<&str> = decoded.split('|').collect();
        let has_digest = fields.len() % 2 == 1 || fields.first().is_some_and(|first| first.parse::<i64>().is_ok());
        for pair in fields.get(usize::from(has_digest)..).unwrap_or_default().chunks_exact(2) {
            let [key, value] = pair else { continue };
            if value.is_empty() || *value == "NONE" {
                continue;
            }
            let (name, expires) = match key.split_once('-') {
                Some((name, expires)) => (name, Some(expires)),
                None => (*key, None),
            };
            // The suffix is seconds since 1970; an `s` after it marks a session's end.
            let expired = expires
                .and_then(|text| text.trim_end_matches('s').parse::<i64>().ok())
                .is_some_and(|at| at.saturating_mul(1000) < now_ms);
            if expired {
                continue;
            }
            match name {
                "MCMID" => found.marketing_cloud_visitor_id = Some((*value).to_owned()),
                "MCAAMLH" => found.location_hint = value.parse().ok(),
                "MCAAMB" => found.blob = Some((*value).to_owned()),
                _ => {}
            }
        }
        found
    }
}

/// The option `customer_ids` as the elements of `id.customerIds`, written one after the other.
pub(crate) struct CustomerIds {
    /// Elements joined by commas.
    pub elements: String,
    pub count: usize,
}

impl CustomerIds {
    /// Reads a list of CustomerId objects, or the visitor library's map of codes.
    pub(crate) fn read(member: &Member<'_>) -> Result<Self, TargetError> {
        let mut ids = CustomerIds { elements: String::new(), count: 0 };
        match member.value.kind() {
            Kind::Array => {
                for (at, element) in member.value.elements().enumerate() {
                    if element.kind() != Kind::Object {
                        let path = format!("{}[{at}]", member.path());
                        return Err(TargetError::wrong_type(path, "an object", element.kind().described()));
                    }
                    crate::delivery::normalize::write_without_nulls(ids.next(), element);
                }
            }
            Kind::Object => {
                crate::delivery::limits::unique_members(&member.path(), member.value)?;
                for (code, entry) in member.value.members() {
                    ids.add_entry(&member.path(), &code, entry)?;
                }
            }
            other => {
                let expected = "an array of customer ids or a map of codes";
                return Err(TargetError::wrong_type(member.path(), expected, other.described()));
            }
        }
        Ok(ids)
    }

    fn next(&mut self) -> &mut String {
        if self.count > 0 {
            self.elements.push(',');
        }
        self.count += 1;
        &mut self.elements
    }

    fn add_entry(&mut self, parent: &str, code: &str, entry: Value<'_>) -> Result<(), TargetError> {
        let path = format!("{parent}.{code}");
        let mut state = 0;
        let id = match entry.kind() {
            Kind::Null => return Ok(()),
            Kind::String => match entry.as_str().filter(|id| !id.is_empty()) {
                Some(id) => id.into_owned(),
                None => return Ok(()),
            },
            Kind::Object => {
                let mut given = None;
                read_members(entry, &path, &["id", "auth_state"], |key, member| {
                    if key == "id" {
                        given = member.text()?;
                    } else {
                        state = member.integer()?;
                    }
                    Ok(())
                })?;
                given.ok_or_else(|| {
                    TargetError::invalid_options(
                        format!("{path}.id"),
                        format!("`{path}.id` must not be missing or empty"),
                    )
                })?
            }
            other => return Err(TargetError::wrong_type(path, "an id or an object with one", other.described())),
        };
        if code.is_empty() {
            return Err(TargetError::invalid_options(
                parent,
                format!("`{parent}` has an entry without an integration code"),
            ));
        }
        let state = match state {
            0 => "unknown",
            1 => "authenticated",
            2 => "logged_out",
            _ => {
                let field = format!("{path}.authState");
                let message = format!("`{field}` must be 0 (unknown), 1 (authenticated) or 2 (logged out)");
                return Err(TargetError::invalid_options(field, message));
            }
        };
        let mut object = ObjectWriter::begin(self.next());
        object.string("id", &id);
        object.string("integrationCode", code);
        object.string("authenticatedState", state);
        object.end();
        Ok(())
    }
}

/// What the browser-side visitor library is handed so that it continues this call.
pub(crate) fn visitor_state(
    organization_id: &str,
    customer_ids: Option<Value<'_>>,
    supplemental_data_id: &str,
    consumer_id: &str,
) -> String {
    let mut out = String::with_capacity(256 + customer_ids.map_or(0, |ids| ids.raw().len()));
    out.push_str("{\"");
    write_escaped(&mut out, organization_id);
    if !organization_id.contains('@') {
        // The visitor library keys its state by the whole organization id.
        out.push_str("@AdobeOrg");
    }
    out.push_str("\":{");
    if let Some(ids) = customer_ids {
        out.push_str("\"customerIDs\":");
        out.push_str(ids.raw());
        out.push(',');
    }
    out.push_str("\"sdid\":{\"supplementalDataIDCurrent\":");
    write_str(&mut out, supplemental_data_id);
    out.push_str(",\"supplementalDataIDCurrentConsumed\":{\"payload:");
    write_escaped(&mut out, consumer_id);
    out.push_str("\":true},\"supplementalDataIDLastConsumed\":{}}}}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    #[test]
    fn fields_are_read_by_their_keys() {
        let cookie = "-1248264605%7CMCIDTS%7C18338%7CMCMID%7C073%7CMCAAMLH-1700604800%7C9%7CMCAAMB-1700604800%7Cblob";
        let read = ExperienceCloudCookie::parse(cookie, NOW);
        assert_eq!(read.marketing_cloud_visitor_id.as_deref(), Some("073"));
        assert_eq!(read.location_hint, Some(9));
        assert_eq!(read.blob.as_deref(), Some("blob"));
    }

    #[test]
    fn expired_and_absent_fields_are_none() {
        let read = ExperienceCloudCookie::parse("d|MCMID|NONE|MCAAMLH-1699999999|9|MCAAMB|", NOW);
        assert_eq!(read, ExperienceCloudCookie::default());
        assert_eq!(ExperienceCloudCookie::parse("%zz", NOW), ExperienceCloudCookie::default());
        assert_eq!(ExperienceCloudCookie::parse("d|MCAAMLH|x", NOW).location_hint, None);
    }

    #[test]
    fn the_state_is_keyed_by_the_whole_organization() {
        let state: serde_json::Value = serde_json::from_str(&visitor_state("1", None, "S", "c")).unwrap();
        assert_eq!(state["1@AdobeOrg"]["sdid"]["supplementalDataIDCurrent"], "S");
        assert_eq!(state["1@AdobeOrg"]["sdid"]["supplementalDataIDCurrentConsumed"]["payload:c"], true);
    }
}
