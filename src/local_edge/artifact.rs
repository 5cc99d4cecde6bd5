//! The artifact that the edge serves and decides from, and what its event tokens stand for.
//!
//! Read by code of its own and leniently, so that clients can be tested with artifacts that nobody should use. A swap
//! is one exchange of a pointer; tokens of former artifacts stay valid, as pages that were decided from them are
//! still on screens. The library's own decision core compiles an artifact when the first delivery request needs it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::{Map, Value};

use super::gzip;
use super::scenario::{PAGE_LOAD, Place};
use super::server::lock;
use super::subject::{Candidates, Subject};
use crate::config::ArtifactFormat;
use crate::decisioning::artifact::{Artifact as Compiled, Audience};

pub(super) const DEFAULT: &str = include_str!("default_artifact.json");
/// Tokens that are known for certain; of many swaps the oldest are forgotten.
const MAX_TOKENS: usize = 500_000;
/// The masked form: a header of a prefix, a version and a key, then the masked JSON.
const BIN_PREFIX: &str = "ATOD:001";

/// An artifact that cannot be served: no JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnusableArtifact {
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for UnusableArtifact {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "artifact {}", self.message)
    }
}

impl std::error::Error for UnusableArtifact {}

/// The form in which an artifact is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Bin,
}

/// An artifact that is being served. Immutable but for what is made of it when it is first asked for.
pub(super) struct Loaded {
    text: Vec<u8>,
    hash: String,
    version: Value,
    global_mbox: String,
    names: HashSet<(Place, String)>,
    /// What its rules can show, in their order, each once.
    pub(super) subjects: Vec<Arc<Subject>>,
    bin: OnceLock<Vec<u8>>,
    json_gzip: OnceLock<Vec<u8>>,
    bin_gzip: OnceLock<Vec<u8>>,
    /// For the client code that was decided for last: it is part of what allocation hashes.
    compiled: Mutex<Option<(String, Option<Arc<Compiled>>)>>,
}

impl Loaded {
    /// The bytes of a form, whole or as a gzip stream.
    pub(super) fn bytes(&self, form: Form, gzipped: bool, organization: &str) -> &[u8] {
        match (form, gzipped) {
            (Form::Json, false) => &self.text,
            (Form::Bin, false) => self.bin.get_or_init(|| self.masked(&self.text, organization)),
            (Form::Json, true) => self.json_gzip.get_or_init(|| gzip::stored(&self.text)),
            (Form::Bin, true) => self.bin_gzip.get_or_init(|| gzip::stored(self.bytes(Form::Bin, false, organization))),
        }
    }

    /// The strong entity tag, without its quotes. Each form and each encoding has other bytes, so another tag.
    pub(super) fn etag(&self, form: Form, gzipped: bool) -> String {
        let form = if form == Form::Bin { "-bin" } else { "" };
        format!("{}{form}{}", self.hash, if gzipped { "-gzip" } else { "" })
    }

    /// The same artifact with another `version`.
    pub(super) fn with_version(&self, version: &str, form: Form, organization: &str) -> Vec<u8> {
        let mut members: Map<String, Value> = serde_json::from_slice(&self.text).unwrap_or_default();
        members.insert("version".to_owned(), Value::from(version));
        let text = Value::Object(members).to_string().into_bytes();
        match form {
            Form::Json => text,
            Form::Bin => self.masked(&text, organization),
        }
    }

    /// Whether there are rules for a place. The global mbox's are those of page loads.
    pub(super) fn names(&self, place: Place, name: &str) -> bool {
        match place {
            Place::PageLoad => self.names.contains(&(Place::Mbox, self.global_mbox.clone())),
            _ => self.names.contains(&(place, name.to_owned())),
        }
    }

    /// Whether there are rules for a mbox or view of this name.
    pub(super) fn has_rules(&self, name: &str) -> bool {
        self.names(Place::Mbox, name) || self.names(Place::View, name)
    }

    /// Whether there are rules for any view.
    pub(super) fn has_views(&self) -> bool {
        self.names.iter().any(|(place, _)| *place == Place::View)
    }

    pub(super) fn global_mbox(&self) -> &str {
        &self.global_mbox
    }

    /// The form that the library's core decides from; `None` when it refuses the artifact.
    pub(super) fn compiled(&self, client: &str) -> Option<Arc<Compiled>> {
        let mut compiled = lock(&self.compiled);
        match &*compiled {
            Some((of, artifact)) if of == client => artifact.clone(),
            _ => {
                let audience = Audience { client, organization_id: "" };
                let artifact = Compiled::read(self.text.clone(), ArtifactFormat::Json, audience).ok().map(Arc::new);
                *compiled = Some((client.to_owned(), artifact.clone()));
                artifact
            }
        }
    }

    /// What a control answers about it.
    pub(super) fn summary(&self) -> Value {
        let names = |wanted| -> Vec<&str> {
            let mut names: Vec<&str> =
                self.names.iter().filter(|(place, _)| *place == wanted).map(|(_, name)| name.as_str()).collect();
            names.sort_unstable();
            names
        };
        serde_json::json!({
            "etag": self.etag(Form::Json, false),
            "version": self.version,
            "bytes": self.text.len(),
            "mboxes": names(Place::Mbox),
            "views": names(Place::View),
        })
    }

    fn masked(&self, text: &[u8], organization: &str) -> Vec<u8> {
        // As good a key as any: it hides nothing, it is in the header.
        let key = format!("{0}{0}", self.hash);
        let mask = organization.bytes().chain(key.bytes()).collect::<Vec<u8>>();
        let masked = text.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        BIN_PREFIX.bytes().chain(key.bytes()).chain(masked).collect()
    }
}

/// The current artifact, and the tokens of all.
#[derive(Default)]
pub(super) struct Artifacts {
    current: Mutex<Option<Arc<Loaded>>>,
    issued: Mutex<Issued>,
}

#[derive(Default)]
struct Issued {
    current: HashMap<String, Candidates>,
    previous: HashMap<String, Candidates>,
}

impl Artifacts {
    pub(super) fn current(&self) -> Option<Arc<Loaded>> {
        lock(&self.current).clone()
    }

    /// Serves another artifact from now on.
    pub(super) fn set(&self, text: String) -> Result<Arc<Loaded>, UnusableArtifact> {
        let members = members_of(text.as_bytes())?;
        Ok(self.serve(text.into_bytes(), members))
    }

    /// Serves any bytes from now on.
    pub(super) fn set_bytes(&self, bytes: Vec<u8>) {
        let members = members_of(&bytes).unwrap_or_default();
        self.serve(bytes, members);
    }

    fn serve(&self, text: Vec<u8>, members: Map<String, Value>) -> Arc<Loaded> {
        if let Some(current) = self.current().filter(|current| current.text == text) {
            return current;
        }
        let (loaded, tokens) = read(text, &members);
        let loaded = Arc::new(loaded);
        {
            let mut issued = lock(&self.issued);
            if issued.current.len() + tokens.len() > MAX_TOKENS {
                issued.previous = std::mem::take(&mut issued.current);
            }
            issued.current.extend(tokens);
        }
        // Nobody can have a token before it is known here.
        *lock(&self.current) = Some(Arc::clone(&loaded));
        loaded
    }

    pub(super) fn remove(&self) {
        *lock(&self.current) = None;
    }

    /// What an event token of any artifact stands for.
    pub(super) fn candidates(&self, token: &str) -> Option<Candidates> {
        let issued = lock(&self.issued);
        issued.current.get(token).or_else(|| issued.previous.get(token)).cloned()
    }
}

fn members_of(text: &[u8]) -> Result<Map<String, Value>, UnusableArtifact> {
    let unusable = |message| UnusableArtifact { message };
    match serde_json::from_slice(text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(unusable("must be an object".to_owned())),
        Err(cause) => Err(unusable(format!("is not JSON: {cause}"))),
    }
}

fn read(text: Vec<u8>, members: &Map<String, Value>) -> (Loaded, HashMap<String, Candidates>) {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let mut loaded = Loaded {
        text,
        hash: format!("{:016x}", hasher.finish()),
        version: members.get("version").cloned().unwrap_or_default(),
        global_mbox: members.get("globalMbox").and_then(Value::as_str).unwrap_or(PAGE_LOAD).to_owned(),
        names: HashSet::new(),
        subjects: Vec::new(),
        bin: OnceLock::new(),
        json_gzip: OnceLock::new(),
        bin_gzip: OnceLock::new(),
        compiled: Mutex::default(),
    };
    let mut tokens: HashMap<String, Candidates> = HashMap::new();
    let mut known: HashSet<Arc<Subject>> = HashSet::new();
    let rules = members.get("rules");
    for (place, member) in [(Place::Mbox, "mboxes"), (Place::View, "views")] {
        let by_name = rules.and_then(|rules| rules.get(member)).and_then(Value::as_object);
        for (name, rules) in by_name.into_iter().flatten() {
            for rule in rules.as_array().into_iter().flatten() {
                let mut subject = Arc::new(subject_of(rule, place, name));
                match known.get(&subject) {
                    Some(same) => subject = Arc::clone(same),
                    None => {
                        known.insert(Arc::clone(&subject));
                        loaded.subjects.push(Arc::clone(&subject));
                    }
                }
                for token in tokens_of(rule) {
                    let candidates = tokens.entry(token.to_owned()).or_default();
                    if !candidates.contains(&subject) {
                        candidates.push(Arc::clone(&subject));
                    }
                }
                loaded.names.insert((place, name.clone()));
            }
        }
    }
    (loaded, tokens)
}

fn subject_of(rule: &Value, place: Place, name: &str) -> Subject {
    let meta = |member| rule.get("meta").and_then(|meta| meta.get(member)).map(text_of).unwrap_or_default();
    let mut activity = meta("activity.id");
    if activity.is_empty() {
        activity = rule.get("activityId").map(text_of).unwrap_or_default();
    }
    let experience_id = meta("experience.id");
    let mut experience = meta("experience.name");
    if experience.is_empty() {
        experience.clone_from(&experience_id);
    }
    Subject { place, name: name.to_owned(), activity, activity_name: meta("activity.name"), experience_id, experience }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn tokens_of(rule: &Value) -> impl Iterator<Item = &str> {
    let consequence = rule.get("consequence");
    ["options", "metrics"]
        .into_iter()
        .filter_map(move |member| consequence?.get(member)?.as_array())
        .flatten()
        .filter_map(|item| item.get("eventToken")?.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn artifact(mboxes: &Value) -> String {
        json!({"version": "1.0.0", "globalMbox": "all", "rules": {"mboxes": mboxes, "views": {}}}).to_string()
    }

    fn rule(activity: u64, experience: &str, token: &str, metric: &str) -> Value {
        json!({"activityId": activity, "meta": {"activity.name": "Named", "experience.name": experience},
            "consequence": {"options": [{"eventToken": token}], "metrics": [{"type": "click", "eventToken": metric}]}})
    }

    #[test]
    fn tokens_stand_for_the_rules_that_have_them() {
        let artifacts = Artifacts::default();
        let text =
            artifact(&json!({"m": [rule(1, "A", "a", "click"), rule(1, "B", "b", "click"), rule(1, "B", "b2", "")]}));
        let loaded = artifacts.set(text).unwrap();
        assert_eq!(loaded.subjects.len(), 2);
        let names = |token| -> Vec<String> {
            artifacts.candidates(token).unwrap().iter().map(|subject| subject.experience.clone()).collect()
        };
        assert_eq!(
            (names("a"), names("b2"), names("click")),
            (vec!["A".into()], vec!["B".into()], vec!["A".into(), "B".into()])
        );
        assert_eq!(artifacts.candidates("c"), None);
        assert!(
            loaded.names(Place::Mbox, "m") && !loaded.names(Place::View, "m") && !loaded.names(Place::PageLoad, "")
        );
    }

    #[test]
    fn tokens_outlive_their_artifact() {
        let artifacts = Artifacts::default();
        artifacts.set(artifact(&json!({"m": [rule(1, "A", "old", "")]}))).unwrap();
        artifacts.set(artifact(&json!({"all": [rule(2, "A", "new", "")]}))).unwrap();
        assert!(artifacts.current().unwrap().names(Place::PageLoad, ""));
        assert_eq!(artifacts.candidates("old").unwrap()[0].activity, "1");
        artifacts.remove();
        assert!(artifacts.current().is_none());
        assert_eq!(artifacts.candidates("new").unwrap()[0].activity, "2");
    }

    #[test]
    fn anything_that_is_an_object_can_be_served() {
        for odd in [
            json!({}),
            json!({"rules": 1}),
            json!({"rules": {"mboxes": [], "views": {"v": {}}}}),
            json!({"rules": {"mboxes": {"m": [1, null, {}, {"meta": 5, "consequence": {"options": {}, "metrics": [0]}}]}}}),
            json!({"globalMbox": 7, "version": null}),
        ] {
            let loaded = Artifacts::default().set(odd.to_string()).unwrap();
            assert_eq!(loaded.global_mbox(), "target-global-mbox");
        }
        for (text, message) in
            [("[]", "artifact must be an object"), ("", "artifact is not JSON"), ("<html>", "artifact is not JSON")]
        {
            let error = Artifacts::default().set(text.to_owned()).err().unwrap().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn each_content_form_and_encoding_has_a_tag_of_its_own() {
        let artifacts = Artifacts::default();
        let mut tags = HashSet::new();
        for text in [artifact(&json!({})), artifact(&json!({"m": []}))] {
            let loaded = artifacts.set(text.clone()).unwrap();
            for (form, gzipped) in [(Form::Json, false), (Form::Json, true), (Form::Bin, false), (Form::Bin, true)] {
                assert!(tags.insert(loaded.etag(form, gzipped)));
            }
            assert_eq!(artifacts.set(text).unwrap().etag(Form::Json, false), loaded.etag(Form::Json, false));
        }
    }

    #[test]
    fn the_masked_form_is_unmasked_by_organization_and_key() {
        let loaded = Artifacts::default().set(artifact(&json!({"ünï": []}))).unwrap();
        let bin = loaded.bytes(Form::Bin, false, "1@AdobeOrg");
        assert_eq!(&bin[..8], b"ATOD:001");
        let mask: Vec<u8> = b"1@AdobeOrg".iter().chain(&bin[8..40]).copied().collect();
        let text: Vec<u8> = bin[40..].iter().enumerate().map(|(at, byte)| byte ^ mask[at % mask.len()]).collect();
        assert_eq!(text, loaded.text);
    }

    #[test]
    fn the_built_in_artifact_has_what_its_documentation_says() {
        let loaded = Artifacts::default().set(DEFAULT.to_owned()).unwrap();
        for mbox in ["home", "product1", "cart", "target-global-mbox"] {
            assert!(loaded.names(Place::Mbox, mbox), "{mbox}");
        }
        assert!(!loaded.names(Place::Mbox, "hero"), "the scenario has it, for hybrid clients to find it at the edge");
        assert!(loaded.names(Place::View, "checkout") && loaded.names(Place::PageLoad, ""));
        assert_eq!(loaded.version, "1.0.0");
    }
}
