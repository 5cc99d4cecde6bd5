//! From the edge's answers to what a call returns. The answer's members pass as text, untouched.

use std::collections::{HashMap, HashSet};

use crate::cookies::{TargetCookie, cluster_of_edge_host};
use crate::delivery::model::{DeliveryRequest, DeliveryResponse, Notification};
use crate::error::TargetError;
use crate::json::{Document, Kind, ObjectWriter, Strictness, Value, write_str, write_tree};

/// What a call learnt about its decisions and notifications.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Meta {
    /// Where the request was decided: `server-side` or `on-device`.
    pub decisioning_method: &'static str,
    /// Mboxes that only the edge can decide, of on-device and hybrid calls.
    pub remote_mboxes: Vec<String>,
    /// Views that only the edge can decide.
    pub remote_views: Vec<String>,
    /// Why a hybrid call was decided by the edge although no artifact left anything to it. None where the two lists say
    /// why, where it was decided on this machine, and of other calls.
    pub edge_reason: Option<EdgeReason>,
    /// Of a call with notifications.
    pub notifications: Option<Acknowledgement>,
    /// Impressions of an on-device decision that the background queue did not take, whole: to be reported by
    /// `send_notifications`, or they are lost.
    pub not_queued: Vec<Notification>,
}

/// Why a hybrid call went to the edge although no artifact left anything to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EdgeReason {
    /// There is no artifact yet, or the client's own method is server-side and it never gets one.
    NotReady,
    /// The request has notifications, which only the edge takes.
    Notifications,
}

impl EdgeReason {
    /// The name in `meta` of the C ABI.
    pub fn as_str(self) -> &'static str {
        match self {
            EdgeReason::NotReady => "not_ready",
            EdgeReason::Notifications => "notifications",
        }
    }
}

/// Which notifications of a successful call the edge processed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acknowledgement {
    /// Ids that the edge answered as processed.
    pub acknowledged: Vec<String>,
    /// Ids that its answer left out: not processed, they can be sent again.
    pub unacknowledged: Vec<String>,
}

/// The result of `get_offers` and `send_notifications`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Offers {
    /// The edge's answer. Members of an unexpected type are None here and still in [`Offers::response_json`].
    pub response: DeliveryResponse,
    /// To be set in the visitor's browser.
    pub target_cookie: TargetCookie,
    /// To be set in the visitor's browser, when the cluster is known.
    pub target_location_hint_cookie: Option<TargetCookie>,
    /// Analytics payloads of all items, for client-side integrations.
    pub analytics_details: Vec<serde_json::Value>,
    /// Traces of all items.
    pub trace: Vec<serde_json::Value>,
    /// Response tokens of all options.
    pub response_tokens: Vec<serde_json::Value>,
    /// What the call learnt about its decisions and notifications.
    pub meta: Meta,
    /// The request as it was sent.
    pub request: DeliveryRequest,
    /// State to hand to the browser-side visitor library.
    pub visitor_state: serde_json::Value,
    response_json: String,
}

impl Offers {
    /// The edge's answer as it came.
    pub fn response_json(&self) -> &str {
        &self.response_json
    }
}

/// The result of `get_attributes`: JSON offers as attributes of their mbox.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Attributes {
    /// The rest of the result.
    pub offers: Offers,
    by_mbox: serde_json::Map<String, serde_json::Value>,
}

impl Attributes {
    /// One attribute of an mbox.
    ///
    /// # Errors
    /// [`TargetError::InvalidOptions`], ``Attribute '<key>' does not exist for mbox '<mbox>'``.
    pub fn value(&self, mbox: &str, key: &str) -> Result<&serde_json::Value, TargetError> {
        self.by_mbox.get(mbox).and_then(|attributes| attributes.get(key)).ok_or_else(|| {
            TargetError::invalid_options(key, format!("Attribute '{key}' does not exist for mbox '{mbox}'"))
        })
    }

    /// An attribute that is a text.
    ///
    /// # Errors
    /// As [`Attributes::value`], and [`TargetError::InvalidOptions`] where it is of another type, as the offer's author
    /// wrote it: nothing is converted.
    pub fn string(&self, mbox: &str, key: &str) -> Result<&str, TargetError> {
        self.of_type(mbox, key, "a string", serde_json::Value::as_str)
    }

    /// An attribute that is true or false.
    ///
    /// # Errors
    /// As [`Attributes::string`].
    pub fn boolean(&self, mbox: &str, key: &str) -> Result<bool, TargetError> {
        self.of_type(mbox, key, "a boolean", serde_json::Value::as_bool)
    }

    /// An attribute that is a whole number of 64 bits; `5.0` is one.
    ///
    /// # Errors
    /// As [`Attributes::string`].
    pub fn integer(&self, mbox: &str, key: &str) -> Result<i64, TargetError> {
        // Every double in between is exact as an integer.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let whole = |number: f64| (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64);
        self.of_type(mbox, key, "an integer", |value| value.as_i64().or_else(|| value.as_f64().and_then(whole)))
    }

    /// An attribute that is a number.
    ///
    /// # Errors
    /// As [`Attributes::string`].
    pub fn number(&self, mbox: &str, key: &str) -> Result<f64, TargetError> {
        self.of_type(mbox, key, "a number", serde_json::Value::as_f64)
    }

    /// An attribute as a type of the caller's, such as a list or a struct.
    ///
    /// # Errors
    /// As [`Attributes::string`].
    pub fn parse<T: serde::de::DeserializeOwned>(&self, mbox: &str, key: &str) -> Result<T, TargetError> {
        T::deserialize(self.value(mbox, key)?).map_err(|error| {
            TargetError::invalid_options(key, format!("Attribute '{key}' of mbox '{mbox}' cannot be read: {error}"))
        })
    }

    fn of_type<'a, T>(
        &'a self,
        mbox: &str,
        key: &str,
        expected: &str,
        read: impl FnOnce(&'a serde_json::Value) -> Option<T>,
    ) -> Result<T, TargetError> {
        let value = self.value(mbox, key)?;
        read(value).ok_or_else(|| {
            let found = match value {
                serde_json::Value::Null => "null",
                serde_json::Value::Bool(_) => "a boolean",
                serde_json::Value::Number(_) => "a number",
                serde_json::Value::String(_) => "a string",
                serde_json::Value::Array(_) => "an array",
                serde_json::Value::Object(_) => "an object",
            };
            let message = format!("Attribute '{key}' of mbox '{mbox}' must be {expected}, not {found}");
            TargetError::invalid_options(key, message)
        })
    }

    /// All attributes of an mbox; empty when it has none.
    pub fn as_object(&self, mbox: &str) -> serde_json::Map<String, serde_json::Value> {
        self.by_mbox.get(mbox).and_then(|attributes| attributes.as_object().cloned()).unwrap_or_default()
    }

    /// The attributes of every mbox that has a JSON offer.
    pub fn as_map(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.by_mbox
    }
}

/// The result of a call with its parts as JSON text.
#[derive(Debug, Clone)]
pub(crate) struct RawEnvelope {
    pub response: String,
    pub target_cookie: TargetCookie,
    pub location_hint_cookie: Option<TargetCookie>,
    pub gathered: Gathered,
    pub meta: Meta,
    /// JSON texts of what `meta` has typed.
    pub not_queued: Vec<String>,
    pub request: String,
    pub visitor_state: String,
    pub attributes: Option<String>,
}

impl RawEnvelope {
    /// The object of the C ABI.
    pub(crate) fn to_json(&self) -> String {
        let mut out = String::with_capacity(self.response.len() * 2 + self.request.len() + 1024);
        let mut object = ObjectWriter::begin(&mut out);
        object.raw("response", &self.response);
        self.target_cookie.write(object.key("target_cookie"));
        if let Some(cookie) = &self.location_hint_cookie {
            cookie.write(object.key("target_location_hint_cookie"));
        }
        for (key, list) in [
            ("analytics_details", &self.gathered.analytics_details),
            ("trace", &self.gathered.trace),
            ("response_tokens", &self.gathered.response_tokens),
        ] {
            if !list.is_empty() {
                let out = object.key(key);
                out.push('[');
                out.push_str(list);
                out.push(']');
            }
        }
        let mut meta = ObjectWriter::begin(object.key("meta"));
        meta.string("decisioning_method", self.meta.decisioning_method);
        meta.strings("remote_mboxes", &self.meta.remote_mboxes);
        meta.strings("remote_views", &self.meta.remote_views);
        if let Some(reason) = self.meta.edge_reason {
            meta.string("edge_reason", reason.as_str());
        }
        if self.meta.notifications.is_some() || !self.not_queued.is_empty() {
            let mut lists = ObjectWriter::begin(meta.key("notifications"));
            if let Some(notifications) = &self.meta.notifications {
                lists.strings("acknowledged", &notifications.acknowledged);
                lists.strings("unacknowledged", &notifications.unacknowledged);
            }
            if !self.not_queued.is_empty() {
                write_list(lists.key("not_queued"), &self.not_queued);
            }
            lists.end();
        }
        meta.end();
        object.raw("request", &self.request);
        object.raw("visitor_state", &self.visitor_state);
        if let Some(attributes) = &self.attributes {
            object.raw("attributes", attributes);
        }
        object.end();
        out
    }

    pub(crate) fn to_offers(&self) -> Result<Offers, TargetError> {
        let values = |list: &str| match value_of(&format!("[{list}]")) {
            serde_json::Value::Array(values) => values,
            _ => Vec::new(),
        };
        Ok(Offers {
            response: serde_json::from_str(&self.response)
                .or_else(|_| serde_json::from_str(&readable(&self.response)))
                .map_err(|error| TargetError::invalid_response(format!("the answer cannot be read: {error}")))?,
            target_cookie: self.target_cookie.clone(),
            target_location_hint_cookie: self.location_hint_cookie.clone(),
            analytics_details: values(&self.gathered.analytics_details),
            trace: values(&self.gathered.trace),
            response_tokens: values(&self.gathered.response_tokens),
            meta: Meta {
                not_queued: self.not_queued.iter().filter_map(|text| serde_json::from_str(text).ok()).collect(),
                ..self.meta.clone()
            },
            // It was made from a typed one, so it reads as one.
            request: serde_json::from_str(&self.request)
                .or_else(|_| serde_json::from_str(&readable(&self.request)))
                .unwrap_or_default(),
            visitor_state: value_of(&self.visitor_state),
            response_json: self.response.clone(),
        })
    }

    pub(crate) fn to_attributes(&self) -> Result<Attributes, TargetError> {
        let by_mbox = match self.attributes.as_deref().map(value_of) {
            Some(serde_json::Value::Object(map)) => map,
            _ => serde_json::Map::new(),
        };
        Ok(Attributes { offers: self.to_offers()?, by_mbox })
    }
}

fn write_list(out: &mut String, list: &[String]) {
    out.push('[');
    for (at, text) in list.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(text);
    }
    out.push(']');
}

fn value_of(text: &str) -> serde_json::Value {
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&readable(text))).unwrap_or_default()
}

/// The text with what only text can hold replaced: half surrogate pairs by U+FFFD, numbers beyond a double by
/// null. A typed answer has the rest then.
fn readable(text: &str) -> String {
    let leaf = |out: &mut String, value: Value<'_>| match value.kind() {
        Kind::String => write_str(out, &value.as_str().unwrap_or_default()),
        Kind::Number if !value.raw().parse::<f64>().is_ok_and(f64::is_finite) => out.push_str("null"),
        _ => out.push_str(value.raw()),
    };
    let mut out = String::with_capacity(text.len());
    if let Ok(document) = Document::parse(text, Strictness::Answer) {
        write_tree(&mut out, document.root(), &leaf);
    }
    out
}

/// One answer of the edge, parsed. Empty (204) is an object without members.
pub(crate) struct Answer {
    text: String,
}

impl Answer {
    /// Checks that a success's body is an object or empty.
    pub(crate) fn new(body: Vec<u8>) -> Result<Self, TargetError> {
        let text = String::from_utf8(body).map_err(|_| TargetError::invalid_response("the answer is not UTF-8"))?;
        let content = text.trim_start_matches('\u{FEFF}').trim_matches([' ', '\n', '\r', '\t']);
        let text = match content {
            "" => "{}".to_owned(),
            whole if whole.len() == text.len() => text,
            part => part.to_owned(),
        };
        Ok(Answer { text })
    }

    /// The index of the text, or why there is none.
    pub(crate) fn document(&self) -> Result<Document<'_>, TargetError> {
        let document = Document::parse(&self.text, Strictness::Answer).map_err(|error| {
            TargetError::invalid_response(format!("the answer is not JSON: {} at byte {}", error.reason, error.offset))
        })?;
        if document.root().kind() != Kind::Object {
            let found = document.root().kind().described();
            return Err(TargetError::invalid_response(format!("the answer is {found} instead of an object")));
        }
        Ok(document)
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

/// Divides a part's ids by what a success says about them: all are processed unless a list says otherwise.
pub(crate) fn acknowledge(response: Value<'_>, ids: &[String], into: &mut Acknowledgement) {
    match response.get("notifications").filter(|list| list.kind() == Kind::Array) {
        None => into.acknowledged.extend_from_slice(ids),
        Some(list) => {
            let processed: HashSet<_> =
                list.elements().filter_map(|item| item.get("id").and_then(Value::as_str)).collect();
            for id in ids {
                let list =
                    if processed.contains(id.as_str()) { &mut into.acknowledged } else { &mut into.unacknowledged };
                list.push(id.clone());
            }
        }
    }
}

/// What is gathered over `execute` and `prefetch`; of each list the elements as JSON text, joined by commas.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gathered {
    pub analytics_details: String,
    pub trace: String,
    pub response_tokens: String,
}

impl Gathered {
    /// Appends an element to one of the lists.
    pub(crate) fn push(list: &mut String, element: &str) {
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(element);
    }

    fn from(response: Value<'_>) -> Self {
        let mut gathered = Gathered::default();
        let (execute, prefetch) = (response.get("execute"), response.get("prefetch"));
        let places = [
            (execute, "pageLoad"),
            (execute, "mboxes"),
            (prefetch, "pageLoad"),
            (prefetch, "views"),
            (prefetch, "mboxes"),
        ];
        for (part, key) in places {
            let Some(place) = part.and_then(|part| part.get(key)) else { continue };
            // A page load is one item, the others are lists.
            gathered.add(place);
            place.elements().for_each(|item| gathered.add(item));
        }
        gathered
    }

    fn add(&mut self, item: Value<'_>) {
        let filled = |value: &Value<'_>| !value.is_null() && !value.is_empty();
        for (key, member) in item.members() {
            match &*key {
                "analytics" if filled(&member) => Self::push(&mut self.analytics_details, member.raw()),
                "trace" if filled(&member) => Self::push(&mut self.trace, member.raw()),
                "options" => {
                    for tokens in member.elements().filter_map(|option| option.get("responseTokens")).filter(filled) {
                        Self::push(&mut self.response_tokens, tokens.raw());
                    }
                }
                _ => {}
            }
        }
    }
}

/// What a result needs of an answer, read in one go.
#[derive(Debug)]
pub(crate) struct Digest {
    pub tnt_id: Option<String>,
    pub cluster: Option<String>,
    pub gathered: Gathered,
    pub attributes: Option<String>,
}

impl Digest {
    pub(crate) fn of(response: Value<'_>, with_attributes: bool) -> Self {
        let edge_host = response.get("edgeHost").and_then(Value::as_str);
        let tnt_id = response.get("id").and_then(|id| id.get("tntId")).and_then(Value::as_str);
        Digest {
            tnt_id: tnt_id.map(|id| id.into_owned()),
            cluster: edge_host.as_deref().and_then(cluster_of_edge_host).map(str::to_owned),
            gathered: Gathered::from(response),
            attributes: with_attributes.then(|| attributes(response)),
        }
    }
}

/// The JSON offers of each mbox, merged in order: `{"<mbox>":{"<key>":value}}`.
pub(crate) fn attributes(response: Value<'_>) -> String {
    let mut mboxes: Vec<(String, Vec<(String, String)>)> = Vec::new();
    // Answers may be large: positions are looked up, not searched for.
    let mut mbox_at: HashMap<String, usize> = HashMap::new();
    let mut key_at: HashMap<(usize, String), usize> = HashMap::new();
    let lists = ["execute", "prefetch"].map(|part| response.get(part).and_then(|part| part.get("mboxes")));
    for mbox in lists.into_iter().flatten().flat_map(Value::elements) {
        let Some(name) = mbox.get("name").and_then(Value::as_str) else { continue };
        let options = mbox.get("options").into_iter().flat_map(Value::elements);
        let is_json = |option: &Value<'_>| option.get("type").and_then(Value::as_str).as_deref() == Some("json");
        for option in options.filter(is_json) {
            let at = *mbox_at.entry(name.to_string()).or_insert_with(|| {
                mboxes.push((name.to_string(), Vec::new()));
                mboxes.len() - 1
            });
            let Some((_, attributes)) = mboxes.get_mut(at) else { continue };
            for (key, value) in option.get("content").into_iter().flat_map(Value::members) {
                let key = key.into_owned();
                let place = *key_at.entry((at, key.clone())).or_insert(attributes.len());
                match attributes.get_mut(place) {
                    Some((_, known)) => value.raw().clone_into(known),
                    None => attributes.push((key, value.raw().to_owned())),
                }
            }
        }
    }
    let mut out = String::from("{");
    for (at, (name, attributes)) in mboxes.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_str(&mut out, name);
        out.push(':');
        let mut object = ObjectWriter::begin(&mut out);
        for (key, value) in attributes {
            object.foreign_key(key).push_str(value);
        }
        object.end();
    }
    out.push('}');
    out
}

/// The answers of several parts as one: the first that has a member decides about it, the lists of processed
/// notifications are joined.
pub(crate) fn merge(answers: impl IntoIterator<Item = Answer>) -> Result<Answer, TargetError> {
    let mut text = String::from("{");
    let mut keys: HashSet<String> = HashSet::new();
    let mut processed: Option<Vec<String>> = None;
    for answer in answers {
        let document = answer.document()?;
        for (key, value) in document.root().members() {
            if key == "notifications" && value.kind() == Kind::Array {
                processed.get_or_insert_default().extend(value.elements().map(|item| item.raw().to_owned()));
            } else if !keys.contains(&*key) {
                if !keys.is_empty() {
                    text.push(',');
                }
                write_str(&mut text, &key);
                text.push(':');
                text.push_str(value.raw());
                keys.insert(key.into_owned());
            }
        }
    }
    if let Some(processed) = processed {
        text.push_str(if keys.is_empty() { "\"notifications\":" } else { ",\"notifications\":" });
        write_list(&mut text, &processed);
    }
    text.push('}');
    Ok(Answer { text })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::documented;

    /// The page and the header tell of each member of a result, and of no other.
    #[test]
    fn every_member_of_a_result_is_documented_and_no_other() {
        let object = || "{}".to_owned();
        let envelope = RawEnvelope {
            response: object(),
            target_cookie: TargetCookie::of_visitor("a", None, 0),
            location_hint_cookie: Some(TargetCookie::of_location_hint("35")),
            gathered: Gathered { analytics_details: object(), trace: object(), response_tokens: object() },
            meta: Meta {
                edge_reason: Some(EdgeReason::NotReady),
                notifications: Some(Acknowledgement::default()),
                ..Default::default()
            },
            not_queued: vec![object()],
            request: object(),
            visitor_state: object(),
            attributes: Some(object()),
        };
        let json: serde_json::Value = serde_json::from_str(&envelope.to_json()).unwrap();
        let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let told = |page: &str| -> BTreeSet<_> {
            documented::rows(page).iter().map(|row| documented::names(&row[0]).remove(0)).collect()
        };

        let page = documented::section(documented::CONFIGURATION, "## Results", "");
        let (members, meta) = page.split_once("| member of `meta` |").expect("two tables");
        assert_eq!(told(members), keys(&json));
        assert_eq!(told(meta), keys(&json["meta"]));
        for name in keys(&json["meta"]["notifications"]) {
            assert!(meta.contains(&format!("\"{name}\"")), "the page does not tell of {name}");
        }

        let header = documented::header_section("The result of a call (the envelope)", "Callbacks");
        let entries = documented::header_entries(&header).into_iter().map(|(name, _)| name);
        // What one function alone has is told there.
        assert_eq!(entries.chain(["attributes".to_owned()]).collect::<BTreeSet<_>>(), keys(&json));
        for name in keys(&json["meta"]).union(&keys(&json["meta"]["notifications"])) {
            assert!(header.contains(&format!("\"{name}\"")), "the header does not tell of {name}");
        }
    }

    fn answer(text: &str) -> Answer {
        Answer::new(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_success_is_an_object_or_empty() {
        assert_eq!(answer(" \n").into_text(), "{}");
        assert_eq!(answer("\u{FEFF}{\"a\":1} ").into_text(), "{\"a\":1}");
        for bad in ["5", "[]", "null", "{\"status\":200}x", "nope", "NaN"] {
            assert!(matches!(answer(bad).document(), Err(TargetError::InvalidResponse(_))), "{bad}");
        }
        assert!(Answer::new(vec![0xff]).is_err());
    }

    #[test]
    fn ids_that_an_answer_leaves_out_are_not_acknowledged() {
        let ids = || vec!["1".to_owned(), "2".to_owned()];
        let divided = |text: &str| {
            let answer = answer(text);
            let mut into = Acknowledgement::default();
            acknowledge(answer.document().unwrap().root(), &ids(), &mut into);
            (into.acknowledged.len(), into.unacknowledged.len())
        };
        assert_eq!(divided("{}"), (2, 0));
        assert_eq!(divided(r#"{"notifications":null}"#), (2, 0));
        assert_eq!(divided(r#"{"notifications":[{"id":"2"}]}"#), (1, 1));
        assert_eq!(divided(r#"{"notifications":[]}"#), (0, 2));
    }

    #[test]
    fn merged_answers_keep_members_and_join_notifications() {
        let merged = merge(vec![
            answer("{}"),
            answer(r#"{"status":200,"notifications":[{"id":"1"}]}"#),
            answer(r#"{"status":200,"edgeHost":"h","notifications":[{"id":"2","x":1.50}]}"#),
        ])
        .unwrap();
        assert_eq!(
            merged.into_text(),
            r#"{"status":200,"edgeHost":"h","notifications":[{"id":"1"},{"id":"2","x":1.50}]}"#
        );
    }

    #[test]
    fn attributes_take_json_offers_alone() {
        let answer = answer(
            r#"{"execute":{"mboxes":[{"name":"m","options":[{"type":"html","content":"x"},{"type":"json","content":{"a":1,"b":1}},
                {"type":"json","content":{"b":2.0}},{"type":"json","content":"text"}]},{"name":"n","options":[{"type":"html"}]}]}}"#,
        );
        assert_eq!(attributes(answer.document().unwrap().root()), r#"{"m":{"a":1,"b":2.0}}"#);
    }
}
