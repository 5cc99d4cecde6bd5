//! The rule artifact: its two forms, its version, and its rules compiled.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use super::allocation::AllocationPrefix;
use super::rules::{Compiler, Rule, Span, unique_members};
use crate::config::ArtifactFormat;
use crate::json::{Document, Kind, Strictness, Value};

/// The major version of artifacts that is understood.
const MAJOR_VERSION: &str = "1";
/// Of the binary form.
const BIN_VERSION: u32 = 1;
const BIN_PREFIX: usize = 8;
const BIN_HEADER: usize = 40;
/// Levels above the rules: the artifact, `rules`, all mboxes or views, the list of one.
const LEVELS_ABOVE_RULES: usize = 4;
/// The mbox of page loads, unless the artifact names another.
const GLOBAL_MBOX: &str = "target-global-mbox";

/// Another organization's mask makes bytes of any kind, and JSON seldom.
const NOT_UNMASKED: &str =
    "the artifact could not be unmasked, which usually means that `organization_id` is not that of the artifact";

/// For whom an artifact is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Audience<'a> {
    /// Client code: part of what allocation hashes.
    pub client: &'a str,
    /// Unmasks the binary form.
    pub organization_id: &'a str,
}

/// A compiled artifact. Immutable; shared by all decisions made from it.
#[derive(Debug)]
pub(crate) struct Artifact {
    /// `version`, such as `1.0.0`.
    pub version: String,
    /// Whether decisions want to know where the visitor is.
    pub geo_targeting_enabled: bool,
    /// Rules that cannot be used, each left out.
    pub skipped: Vec<SkippedRule>,
    /// Rules in use.
    pub rule_count: usize,
    /// The artifact's text, for what is copied as it came.
    pub(super) source: Box<str>,
    /// Texts made from it.
    pub(super) texts: Box<str>,
    /// `meta` in the artifact's text.
    pub(super) meta: Option<Span>,
    /// `meta.environment`.
    pub(super) environment: Option<Span>,
    pub(super) global_mbox: String,
    /// Response tokens about the visitor's place that options bear.
    pub(super) geo_tokens: Vec<GeoToken>,
    pub(super) activities: Vec<AllocationPrefix>,
    pub(super) mboxes: Names<Box<[Rule]>>,
    /// In the artifact's order.
    pub(super) views: Vec<(String, Box<[Rule]>)>,
    view_at: Names<usize>,
    pub(super) availability: [Availability; 2],
}

/// What can be decided here and what only by the edge, of mboxes or views.
#[derive(Debug, Default)]
pub(super) struct Availability {
    listed: Names<Place>,
    /// In the artifact's order.
    pub remote: Vec<String>,
}

/// Who decides an mbox or a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Here,
    /// The edge, and the artifact says so.
    ListedRemote,
    /// The edge, since the artifact does not know it.
    UnknownHere,
}

impl Availability {
    fn read(root: Value<'_>, local: &str, remote: &str) -> Self {
        let mut listed: Names<Place> = texts(root.get(local)).into_iter().map(|name| (name, Place::Here)).collect();
        let mut remote = texts(root.get(remote));
        remote.retain(|name| listed.insert(name.clone(), Place::ListedRemote) != Some(Place::ListedRemote));
        Availability { listed, remote }
    }

    pub(super) fn place(&self, name: &str) -> Place {
        self.listed.get(name).copied().unwrap_or(Place::UnknownHere)
    }

    /// Whether a name has to be decided by the edge.
    pub(super) fn is_remote(&self, name: &str) -> bool {
        self.place(name) != Place::Here
    }
}

/// What an artifact knows by the name of an mbox or a view.
pub(super) type Names<T> = HashMap<String, T, BuildHasherDefault<NameHasher>>;

/// FNV-1a. The names in a table are the artifact's, so that nobody who asks for others can make it slow.
#[derive(Debug, Clone, Copy)]
pub(super) struct NameHasher(u64);

impl Default for NameHasher {
    fn default() -> Self {
        NameHasher(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Response tokens of [`Artifact::geo_tokens`], with their names as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GeoToken {
    City,
    Country,
    State,
    Latitude,
    Longitude,
}

impl GeoToken {
    fn named(name: &str) -> Option<GeoToken> {
        Some(match name {
            "geo.city" => GeoToken::City,
            "geo.country" => GeoToken::Country,
            "geo.state" => GeoToken::State,
            "geo.latitude" => GeoToken::Latitude,
            "geo.longitude" => GeoToken::Longitude,
            _ => return None,
        })
    }
}

/// A rule that was left out when the artifact was compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SkippedRule {
    /// `ruleKey`, or its place where it has none.
    pub rule_key: String,
    pub reason: String,
}

/// Why an artifact cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArtifactError {
    /// Another major version; the words are the field's.
    #[error(
        "The decisioning artifact version ({0}) is not supported. This library is compatible with this major version: 1"
    )]
    UnsupportedVersion(String),
    /// No artifact at all: an HTML page, a truncated download, another structure.
    #[error("{0}")]
    Unusable(String),
}

fn unusable<T>(reason: impl Into<String>) -> Result<T, ArtifactError> {
    Err(ArtifactError::Unusable(reason.into()))
}

impl Artifact {
    /// Reads and compiles an artifact of either form.
    pub(crate) fn read(
        bytes: Vec<u8>,
        format: ArtifactFormat,
        audience: Audience<'_>,
    ) -> Result<Artifact, ArtifactError> {
        let bytes = match format {
            ArtifactFormat::Json => bytes,
            ArtifactFormat::Bin => unmask(bytes, audience.organization_id)?,
        };
        match (String::from_utf8(bytes), format) {
            (Ok(text), _) => Artifact::compile(text, format, audience),
            (Err(_), ArtifactFormat::Json) => unusable("the artifact is not UTF-8"),
            (Err(_), ArtifactFormat::Bin) => unusable(format!("{NOT_UNMASKED} (it is not UTF-8)")),
        }
    }

    /// The same of the JSON form. The text is kept, so that what goes into answers as it came is not copied.
    pub(crate) fn read_text(text: String, audience: Audience<'_>) -> Result<Artifact, ArtifactError> {
        Artifact::compile(text, ArtifactFormat::Json, audience)
    }

    fn compile(mut text: String, format: ArtifactFormat, audience: Audience<'_>) -> Result<Artifact, ArtifactError> {
        let marks = text.len() - text.trim_start_matches('\u{FEFF}').len();
        text.drain(..marks);
        let source = text.into_boxed_str();
        let client = audience.client;
        let document = match Document::outline(&source, Strictness::Artifact, LEVELS_ABOVE_RULES) {
            Ok(document) => document,
            Err(error) => {
                let wrong = format!("{} at byte {}", error.reason, error.offset);
                // With the right mask it was JSON up to there: a download that broke off.
                let is_cut = error.offset >= source.len();
                return unusable(match format {
                    ArtifactFormat::Bin if !is_cut => format!("{NOT_UNMASKED} (it is not JSON: {wrong})"),
                    _ => format!("the artifact is not JSON: {wrong}"),
                });
            }
        };
        let root = document.root();
        if root.kind() != Kind::Object {
            return unusable(format!("the artifact is {} instead of an object", root.kind().described()));
        }
        let version = match root.get("version").map(|version| (version.as_str(), version.kind())) {
            Some((Some(version), _)) if version.split('.').next() == Some(MAJOR_VERSION) => version.into_owned(),
            Some((Some(other), _)) => return Err(ArtifactError::UnsupportedVersion(shown(&other))),
            Some((None, other)) => {
                return unusable(format!("`version` of the artifact is {} instead of a text", other.described()));
            }
            None => return unusable("the artifact has no `version`"),
        };
        let rules = match root.get("rules") {
            Some(rules) if rules.kind() == Kind::Object => rules,
            Some(other) => {
                return unusable(format!(
                    "`rules` of the artifact is {} instead of an object",
                    other.kind().described()
                ));
            }
            None => return unusable("the artifact has no `rules`"),
        };
        let mut response_tokens = texts(root.get("responseTokens"));
        let mut known_tokens = HashSet::new();
        response_tokens.retain(|name| known_tokens.insert(name.clone()));
        let geo_tokens = response_tokens.iter().filter_map(|name| GeoToken::named(name)).collect();
        let rule_tokens = response_tokens.into_iter().filter(|name| GeoToken::named(name).is_none()).collect();
        let mut compiler = Compiler::new(client, rule_tokens, source.len());
        let mut skipped = Vec::new();
        // The index of one rule at a time: one of all would be larger than the text.
        let mut opened = Document::closed();
        let mboxes = compile_group(&mut compiler, rules, "mboxes", &mut opened, &mut skipped);
        let views = compile_group(&mut compiler, rules, "views", &mut opened, &mut skipped);
        drop(opened);
        let rule_count = mboxes.iter().chain(&views).map(|(_, rules)| rules.len()).sum();
        let meta = root.get("meta").filter(|meta| meta.kind() == Kind::Object);
        let global_mbox = root.get("globalMbox").and_then(Value::as_str).filter(|name| !name.is_empty());
        let artifact = Artifact {
            version,
            geo_targeting_enabled: root.get("geoTargetingEnabled").and_then(Value::as_bool).unwrap_or(false),
            skipped,
            rule_count,
            texts: compiler.texts.into_text(),
            meta: meta.map(Span::of_value),
            environment: meta
                .and_then(|meta| meta.get("environment"))
                .filter(|value| !value.has_huge_number())
                .map(Span::of_value),
            global_mbox: global_mbox.map_or_else(|| GLOBAL_MBOX.to_owned(), |name| name.into_owned()),
            geo_tokens,
            activities: compiler.activities,
            mboxes: mboxes.into_iter().collect(),
            view_at: views.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect(),
            views,
            availability: [
                Availability::read(root, "localMboxes", "remoteMboxes"),
                Availability::read(root, "localViews", "remoteViews"),
            ],
            source: Box::default(),
        };
        drop(document);
        Ok(Artifact { source, ..artifact })
    }

    /// Mboxes that a request needs the edge for, and those it does not.
    pub(super) fn mbox_availability(&self) -> &Availability {
        let [mboxes, _] = &self.availability;
        mboxes
    }

    /// The same of views.
    pub(super) fn view_availability(&self) -> &Availability {
        let [_, views] = &self.availability;
        views
    }

    pub(super) fn view(&self, name: &str) -> &[Rule] {
        self.view_at.get(name).and_then(|at| self.views.get(*at)).map_or(&[], |(_, rules)| rules)
    }

    pub(super) fn mbox(&self, name: &str) -> &[Rule] {
        self.mboxes.get(name).map_or(&[], |rules| rules)
    }
}

/// The rules of all mboxes or all views; those that cannot be used are left out and noted.
fn compile_group<'d>(
    compiler: &mut Compiler<'_>,
    rules: Value<'d>,
    group: &str,
    opened: &mut Document<'d>,
    skipped: &mut Vec<SkippedRule>,
) -> Vec<(String, Box<[Rule]>)> {
    let Some(group_value) = rules.get(group).filter(|value| !value.is_null()) else { return Vec::new() };
    if group_value.kind() != Kind::Object {
        let reason = format!("`rules.{group}` is {} instead of an object", group_value.kind().described());
        skipped.push(SkippedRule { rule_key: group.to_owned(), reason });
    }
    let mut compiled = Vec::new();
    for (name, list) in unique_members(group_value) {
        if list.kind() != Kind::Array {
            let reason = format!("the rules are {} instead of a list", list.kind().described());
            skipped.push(SkippedRule { rule_key: shown(&format!("{group}.{name}")), reason });
            continue;
        }
        let mut kept = Vec::with_capacity(list.elements().count());
        for (at, value) in list.elements().enumerate() {
            opened.open(value);
            let value = opened.root();
            match compiler.rule(&name, value) {
                Ok(rule) => kept.push(rule),
                Err(reason) => {
                    let key = value.get("ruleKey").and_then(Value::as_str);
                    let rule_key = key.map_or_else(|| format!("{group}.{name}[{at}]"), |key| key.into_owned());
                    skipped.push(SkippedRule { rule_key: shown(&rule_key), reason });
                }
            }
        }
        compiled.push((name.into_owned(), kept.into_boxed_slice()));
    }
    compiled
}

/// A name from outside, fit for a message.
fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).take(128).collect()
}

/// The texts of a list; what is no text does not count.
fn texts(list: Option<Value<'_>>) -> Vec<String> {
    list.into_iter().flat_map(Value::elements).filter_map(Value::as_str).map(|text| text.into_owned()).collect()
}

/// Takes the mask off the binary form: `prefix:version`, a key, then JSON masked with organization and key.
fn unmask(mut bytes: Vec<u8>, organization_id: &str) -> Result<Vec<u8>, ArtifactError> {
    let Some((header, _)) = bytes.split_at_checked(BIN_HEADER) else {
        return unusable("the binary artifact is shorter than its header");
    };
    let (prefix, key) = header.split_at(BIN_PREFIX);
    let version =
        std::str::from_utf8(prefix).ok().and_then(|prefix| prefix.split_once(':')).map(|(_, version)| version);
    match version {
        Some(version) if version.parse() == Ok(BIN_VERSION) => {}
        Some(other) => {
            let other: String = other.chars().filter(|c| !c.is_control()).collect();
            return unusable(format!("the binary artifact has version {other}; this library reads {BIN_VERSION}"));
        }
        None => return unusable("the artifact does not begin like a binary one"),
    }
    let mask: Vec<u8> = organization_id.bytes().chain(key.iter().copied()).collect();
    bytes.drain(..BIN_HEADER);
    for (byte, mask) in bytes.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok(bytes)
}
