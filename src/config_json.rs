//! The configuration object of the C ABI: its keys, their types, and errors that name the key.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{
    ArtifactFormat, CdnEnvironment, ClientConfig, DEFAULT_ENVIRONMENT, DEFAULT_TIMEOUT, DecisioningMethod,
    ProxySetting, QueueConfig, RetryPolicy, SpoolSync, TlsRoots, TlsSettings,
};
use crate::error::TargetError;
use crate::json::{Document, Kind, Member, Strictness, Value, read_members};

/// Objects in objects whose members are looked at: the configuration itself, and `tls` and the like in it. Below are
/// the contents of `artifact_payload` alone, of which a whole index would be larger than the text.
const LEVELS: usize = 2;

const KEYS: [&str; 34] = [
    "client",
    "organization_id",
    "decisioning_method",
    "server_domain",
    "secure",
    "edge_affinity",
    "timeout",
    "connect_timeout",
    "target_location_hint",
    "environment_id",
    "property_token",
    "version",
    "environment",
    "cdn_environment",
    "cdn_base_path",
    "artifact_location",
    "artifact_format",
    "artifact_payload",
    "artifact_cache_dir",
    "polling_interval",
    "maximum_wait_ready",
    "all_matching_mboxes",
    "telemetry_enabled",
    "proxy",
    "tls",
    "headers",
    "max_idle_connections",
    "max_idle_age",
    "retry",
    "retry_clicks",
    "notifications",
    "event_buffer",
    "close_timeout",
    "fixed_clock_ms",
];

const TLS_KEYS: [&str; 4] = ["ca_file", "roots", "client_certificate_file", "client_key_file"];

const RETRY_KEYS: [&str; 3] = ["max_attempts", "base_delay", "max_delay"];

const QUEUE_KEYS: [&str; 10] = [
    "max_queued",
    "max_batch",
    "flush_interval",
    "workers",
    "retry_base_delay",
    "retry_max_delay",
    "time_to_live",
    "spool_dir",
    "spool_max_bytes",
    "spool_sync",
];

impl ClientConfig {
    /// Reads the configuration object of the C ABI.
    ///
    /// # Errors
    /// [`TargetError::InvalidJson`], or [`TargetError::InvalidOptions`] that names the key.
    pub fn from_json(text: &str) -> Result<Self, TargetError> {
        let document = Document::outline(text, Strictness::Configuration, LEVELS)
            .map_err(|error| TargetError::invalid_json("config", &error))?;
        let root = document.root();
        if root.kind() != Kind::Object {
            return Err(TargetError::invalid_options("config", "Options map is required"));
        }
        let mut config = ClientConfig::new("", "");
        read_members(root, "", &KEYS, |key, member| config.take(key, &member))?;
        config.validate()?;
        Ok(config)
    }

    fn take(&mut self, key: &str, member: &Member<'_>) -> Result<(), TargetError> {
        match key {
            "client" => self.client = member.text()?.unwrap_or_default(),
            "organization_id" => self.organization_id = member.text()?.unwrap_or_default(),
            "decisioning_method" => self.decisioning_method = DecisioningMethod::read(member)?.unwrap_or_default(),
            "server_domain" => self.server_domain = member.text()?,
            "secure" => self.secure = member.boolean()?,
            "edge_affinity" => self.edge_affinity = Some(member.boolean()?),
            "timeout" => self.timeout = read_timeout(member)?.unwrap_or(DEFAULT_TIMEOUT),
            "connect_timeout" => self.connect_timeout = milliseconds(member, 1)?,
            "target_location_hint" => self.target_location_hint = member.text()?,
            "environment_id" => self.environment_id = Some(member.integer()?),
            "property_token" => self.property_token = member.text()?,
            "version" => self.version = member.text()?,
            "environment" => self.environment = member.text()?.unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned()),
            "cdn_environment" => {
                let choices = [
                    ("production", CdnEnvironment::Production),
                    ("staging", CdnEnvironment::Staging),
                    ("development", CdnEnvironment::Development),
                ];
                self.cdn_environment = choice(member, &choices)?.unwrap_or_default();
            }
            "cdn_base_path" => {
                if let Some(path) = member.text()? {
                    self.cdn_base_path = path;
                }
            }
            "artifact_location" => self.artifact_location = member.text()?,
            "artifact_format" => {
                self.artifact_format = choice(member, &[("json", ArtifactFormat::Json), ("bin", ArtifactFormat::Bin)])?;
            }
            "artifact_payload" => self.artifact_payload = Some(member.object()?.raw().to_owned()),
            "artifact_cache_dir" => self.artifact_cache_dir = member.text()?.map(PathBuf::from),
            "polling_interval" => self.polling_interval = milliseconds(member, 0)?,
            "maximum_wait_ready" => self.maximum_wait_ready = milliseconds(member, 0)?,
            "all_matching_mboxes" => self.all_matching_mboxes = strings(member)?,
            "telemetry_enabled" => self.telemetry_enabled = member.boolean()?,
            "proxy" => {
                self.proxy = match member.text()?.as_deref() {
                    None | Some("env") => ProxySetting::Env,
                    Some("none") => ProxySetting::None,
                    Some(url) => ProxySetting::Url(url.to_owned()),
                }
            }
            "tls" => self.tls = read_tls(member)?,
            "headers" => self.headers = read_headers(member)?,
            "max_idle_connections" => self.max_idle_connections = size(member, 0)?,
            "max_idle_age" => self.max_idle_age = milliseconds(member, 0)?,
            "retry" => self.retry = read_retry(member)?,
            "retry_clicks" => self.retry_clicks = member.boolean()?,
            "notifications" => self.notifications = read_queue(member)?,
            "event_buffer" => self.event_buffer = size(member, 1)?,
            "close_timeout" => self.close_timeout = milliseconds(member, 0)?,
            "fixed_clock_ms" => self.fixed_clock_ms = Some(member.integer()?),
            _ => {}
        }
        Ok(())
    }
}

/// A duration in milliseconds.
fn milliseconds(member: &Member<'_>, least: u64) -> Result<Duration, TargetError> {
    member.count(least).map(Duration::from_millis)
}

/// A call's timeout; 0 is the default.
pub(crate) fn read_timeout(member: &Member<'_>) -> Result<Option<Duration>, TargetError> {
    Ok(Some(milliseconds(member, 0)?).filter(|timeout| !timeout.is_zero()))
}

/// A bound on how many there may be: one beyond what a 32-bit system can have is none there.
fn size(member: &Member<'_>, least: u64) -> Result<usize, TargetError> {
    Ok(usize::try_from(member.count(least)?).unwrap_or(usize::MAX))
}

/// One of some words; an empty one counts as absent.
fn choice<T: Copy>(member: &Member<'_>, choices: &[(&str, T)]) -> Result<Option<T>, TargetError> {
    let given = member.value.as_str();
    if given.as_deref() == Some("") {
        return Ok(None);
    }
    choices.iter().find(|(name, _)| given.as_deref() == Some(*name)).map(|(_, choice)| Some(*choice)).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        TargetError::invalid_options(member.path(), format!("`{}` must be one of: {}", member.path(), names.join(", ")))
    })
}

fn strings(member: &Member<'_>) -> Result<Vec<String>, TargetError> {
    let string = |(at, value): (usize, Value<'_>)| {
        value.as_str().map(|text| text.into_owned()).ok_or_else(|| {
            TargetError::wrong_type(format!("{}[{at}]", member.path()), "a string", value.kind().described())
        })
    };
    member.array()?.elements().enumerate().map(string).collect()
}

fn read_tls(member: &Member<'_>) -> Result<TlsSettings, TargetError> {
    let mut tls = TlsSettings::default();
    read_members(member.object()?, &member.path(), &TLS_KEYS, |key, member| {
        match key {
            "ca_file" => tls.ca_file = member.text()?.map(PathBuf::from),
            "roots" => {
                let choices = [("bundled", TlsRoots::Bundled), ("system", TlsRoots::System)];
                tls.roots = choice(&member, &choices)?.unwrap_or_default();
            }
            "client_certificate_file" => tls.client_certificate_file = member.text()?.map(PathBuf::from),
            _ => tls.client_key_file = member.text()?.map(PathBuf::from),
        }
        Ok(())
    })?;
    Ok(tls)
}

/// Keys are the caller's here: neither spelling nor case is touched.
fn read_headers(member: &Member<'_>) -> Result<BTreeMap<String, String>, TargetError> {
    let mut headers = BTreeMap::new();
    let mut seen = std::collections::HashSet::new();
    for (name, value) in member.object()?.members() {
        let path = format!("{}.{name}", member.path());
        if value.is_null() {
            continue;
        }
        let text =
            value.as_str().ok_or_else(|| TargetError::wrong_type(&*path, "a string", value.kind().described()))?;
        if !seen.insert(name.to_ascii_lowercase()) {
            return Err(TargetError::given_twice(path));
        }
        headers.insert(name.into_owned(), text.into_owned());
    }
    Ok(headers)
}

fn read_retry(member: &Member<'_>) -> Result<RetryPolicy, TargetError> {
    let mut retry = RetryPolicy::default();
    read_members(member.object()?, &member.path(), &RETRY_KEYS, |key, member| {
        match key {
            "max_attempts" => retry.max_attempts = u32::try_from(member.count(1)?).unwrap_or(u32::MAX),
            "base_delay" => retry.base_delay = milliseconds(&member, 0)?,
            _ => retry.max_delay = milliseconds(&member, 0)?,
        }
        Ok(())
    })?;
    Ok(retry)
}

fn read_queue(member: &Member<'_>) -> Result<QueueConfig, TargetError> {
    let mut queue = QueueConfig::default();
    read_members(member.object()?, &member.path(), &QUEUE_KEYS, |key, member| {
        match key {
            "max_queued" => queue.max_queued = member.count(1)?,
            "max_batch" => queue.max_batch = member.count(1)?,
            "flush_interval" => queue.flush_interval = milliseconds(&member, 0)?,
            "workers" => queue.workers = member.count(1)?,
            "retry_base_delay" => queue.retry_base_delay = milliseconds(&member, 0)?,
            "retry_max_delay" => queue.retry_max_delay = milliseconds(&member, 0)?,
            "time_to_live" => queue.time_to_live = Some(milliseconds(&member, 1)?),
            "spool_dir" => queue.spool_dir = member.text()?.map(PathBuf::from),
            "spool_max_bytes" => queue.spool_max_bytes = member.count(1)?,
            _ => {
                let choices = [("none", SpoolSync::None), ("batch", SpoolSync::Batch), ("each", SpoolSync::Each)];
                queue.spool_sync = choice(&member, &choices)?.unwrap_or_default();
            }
        }
        Ok(())
    })?;
    Ok(queue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LEAST_POLLING_INTERVAL, is_host_and_port};
    use crate::documented;

    fn config(members: &str) -> Result<ClientConfig, TargetError> {
        ClientConfig::from_json(&format!(r#"{{"client":"acme","organization_id":"1@AdobeOrg"{members}}}"#))
    }

    fn field(members: &str) -> String {
        let error = config(members).unwrap_err();
        assert!(matches!(error, TargetError::InvalidOptions(_)), "{error:?}");
        error.details().field.clone().unwrap_or_default()
    }

    #[test]
    fn both_spellings_are_read_at_every_depth() {
        let config = ClientConfig::from_json(
            r#"{"client":"acme","organizationId":"1@AdobeOrg","tls":{"caFile":"ca.pem"},"retry":{"maxAttempts":5},
                "notifications":{"maxBatch":7,"flush_interval":5},"headers":{"xFoo":"1","x_foo":"2"}}"#,
        )
        .unwrap();
        assert_eq!(config.organization_id, "1@AdobeOrg");
        assert_eq!(config.tls.ca_file, Some("ca.pem".into()));
        assert_eq!(config.retry.max_attempts, 5);
        assert_eq!(config.notifications.max_batch, 7);
        assert_eq!(config.headers.len(), 2);
    }

    #[test]
    fn unknown_and_doubled_keys_are_named() {
        assert_eq!(field(r#","nonsense":true"#), "nonsense");
        assert_eq!(field(r#","tls":{"ca":"x"}"#), "tls.ca");
        assert_eq!(field(r#","timeout":1,"timeout":2"#), "timeout");
        assert_eq!(field(r#","organizationId":"x""#), "organizationId");
        assert_eq!(field(r#","tls":{"ca_file":"x","caFile":"x"}"#), "tls.caFile");
    }

    #[test]
    fn wrong_types_and_limits_are_named() {
        for (members, named) in [
            (r#","secure":0"#, "secure"),
            (r#","timeout":"3000""#, "timeout"),
            (r#","timeout":-1"#, "timeout"),
            (r#","timeout":1.5"#, "timeout"),
            (r#","decisioning_method":"edge""#, "decisioning_method"),
            (r#","server_domain":"https://x""#, "server_domain"),
            (r#","server_domain":"x/y""#, "server_domain"),
            (r#","server_domain":"x:99999""#, "server_domain"),
            (r#","target_location_hint":"x.evil.org/""#, "target_location_hint"),
            (r#","headers":{"a":1}"#, "headers.a"),
            (r#","tls":{"client_key_file":"k"}"#, "tls.client_certificate_file"),
            (r#","retry":{"max_attempts":0}"#, "retry.max_attempts"),
            (r#","all_matching_mboxes":["a",5]"#, "all_matching_mboxes[1]"),
            (r#","notifications":{"spool_sync":"often"}"#, "notifications.spool_sync"),
            (r#","event_buffer":0"#, "event_buffer"),
            (r#","connect_timeout":0"#, "connect_timeout"),
            (r#","notifications":{"max_queued":0}"#, "notifications.max_queued"),
            (r#","notifications":{"max_batch":0}"#, "notifications.max_batch"),
            (r#","notifications":{"max_batch":1001}"#, "notifications.max_batch"),
            (r#","notifications":{"workers":0}"#, "notifications.workers"),
            (r#","notifications":{"workers":33}"#, "notifications.workers"),
            (r#","notifications":{"time_to_live":0}"#, "notifications.time_to_live"),
            (r#","notifications":{"spool_max_bytes":0}"#, "notifications.spool_max_bytes"),
            (&format!(r#","version":"{}""#, "v".repeat(70_000)), "version"),
            (
                &format!(
                    r#","headers":{{{}}}"#,
                    (0..33_000).map(|n| format!(r#""h{n}":"x""#)).collect::<Vec<_>>().join(",")
                ),
                "headers",
            ),
            (r#","artifact_payload":[]"#, "artifact_payload"),
            (r#","environment":"..""#, "environment"),
            (&format!(r#","environment":"{}""#, "e".repeat(257)), "environment"),
            (r#","decisioning_method":"on-device","property_token":"..""#, "property_token"),
            (r#","cdn_base_path":"ftp://cdn.test""#, "cdn_base_path"),
            (r#","cdn_base_path":"user:secret@cdn.test""#, "cdn_base_path"),
            (r#","cdn_base_path":"/path""#, "cdn_base_path"),
            (r#","cdn_base_path":"cdn.test/a?b""#, "cdn_base_path"),
            (r#","cdn_base_path":"cdn.test:0""#, "cdn_base_path"),
            (r#","artifact_location":"cdn.test/rules.json""#, "artifact_location"),
            (r#","artifact_location":"https://cdn.test/a b""#, "artifact_location"),
            (r#","artifact_location":"https:///rules.json""#, "artifact_location"),
            (r#","artifact_location":"https://cdn.test/rules.json#x""#, "artifact_location"),
            (&format!(r#","artifact_location":"https://cdn.test/{}""#, "x".repeat(5000)), "artifact_location"),
            (r#","polling_interval":-1"#, "polling_interval"),
            (r#","maximum_wait_ready":"3000""#, "maximum_wait_ready"),
        ] {
            assert_eq!(field(members), named, "{members}");
        }
    }

    #[test]
    fn integers_are_asked_for_in_words() {
        let message = |members: &str| config(members).unwrap_err().to_string();
        let fraction = "`polling_interval` must be an integer, without a fraction";
        assert_eq!(message(r#","polling_interval":1.5"#), fraction);
        let large = "`environment_id` must be an integer; this one is too large";
        assert_eq!(message(r#","environment_id":1e30"#), large);
        assert_eq!(message(r#","environment_id":9223372036854775808"#), large);
    }

    #[test]
    fn null_and_empty_texts_are_absent_and_zero_is_the_default_timeout() {
        let absent = r#","timeout":0,"secure":null,"property_token":"","server_domain":null,"decisioning_method":"",
            "cdn_environment":"","artifact_format":"","tls":{"roots":""},"notifications":{"spool_sync":""}"#;
        assert_eq!(config(absent).unwrap(), config("").unwrap());
    }

    #[test]
    fn the_required_keys_have_their_messages() {
        let message = |text: &str| ClientConfig::from_json(text).unwrap_err().to_string();
        assert_eq!(message("{}"), "Client is required");
        assert_eq!(message(r#"{"client":"acme","organization_id":""}"#), "Organization Id is required");
        assert_eq!(message("[]"), "Options map is required");
    }

    #[test]
    fn addresses_of_every_useful_form_are_taken() {
        for address in ["cdn.test", "127.0.0.1:8080", "[::1]:8080/a/b", "http://cdn.test", "https://cdn.test:1/a%20b/"]
        {
            config(&format!(r#","cdn_base_path":"{address}""#)).unwrap();
        }
        config(r#","artifact_location":"http://[::1]:1/a/rules.bin?sig=a%2Fb&x=~""#).unwrap();
        assert_eq!(config(r#","environment":"""#).unwrap().environment, "production");
    }

    #[test]
    fn short_polling_intervals_are_raised_and_zero_stops() {
        assert_eq!(config(r#","polling_interval":1000"#).unwrap().polling_interval, LEAST_POLLING_INTERVAL);
        assert_eq!(config(r#","polling_interval":0"#).unwrap().polling_interval, Duration::ZERO);
    }

    #[test]
    fn a_configuration_can_be_printed_without_its_secrets() {
        let config = config(r#","proxy":"http://user:secret@proxy:3128""#).unwrap();
        assert!(!format!("{config:?}").contains("secret"));
    }

    /// The page's tables: key, type, default.
    fn documented() -> Vec<(String, String, String)> {
        let page = documented::section(documented::CONFIGURATION, "## `target_client_create`", "## Options of a call");
        let rows = documented::rows(page).into_iter();
        rows.map(|row| (documented::names(&row[0]).remove(0), row[1].clone(), row[2].clone())).collect()
    }

    fn header() -> String {
        documented::header_section("Configuration (target_client_create)", "Options of a call")
    }

    /// That key and nothing else, in its object where it has one.
    fn member(key: &str, value: &str) -> String {
        match key.split_once('.') {
            Some((parent, key)) => format!(r#","{parent}":{{"{key}":{value}}}"#),
            None => format!(r#","{key}":{value}"#),
        }
    }

    #[test]
    fn every_key_is_documented_and_no_other() {
        let below = |of: &'static str, keys: &[&str]| keys.iter().map(|key| format!("{of}.{key}")).collect::<Vec<_>>();
        let mut keys = below("tls", &TLS_KEYS);
        keys.extend(below("retry", &RETRY_KEYS));
        keys.extend(below("notifications", &QUEUE_KEYS));
        let parents = ["tls", "retry", "notifications"];
        keys.extend(KEYS.iter().filter(|key| !parents.contains(key)).map(|key| (*key).to_owned()));
        keys.sort_unstable();
        let mut found: Vec<_> = documented().into_iter().map(|(key, ..)| key).collect();
        found.sort_unstable();
        assert_eq!(found, keys);

        let header = header();
        let entries: Vec<_> = documented::header_entries(&header).into_iter().map(|(key, _)| key).collect();
        let (mut known, mut told) = (KEYS.to_vec(), entries.iter().map(String::as_str).collect::<Vec<_>>());
        known.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, known, "the header tells of other keys");
        for key in TLS_KEYS.iter().chain(&RETRY_KEYS).chain(&QUEUE_KEYS) {
            assert!(header.contains(&format!("\"{key}\"")), "the header does not tell of {key}");
        }
    }

    /// What fits the documented type and range is taken, and what does not is refused with the key.
    #[test]
    fn documented_types_are_the_types() {
        for (key, kind, _) in documented() {
            let (fitting, others) = documented::samples(&kind);
            // One of these does without the other only as long as it is refused.
            let beside = match &*key {
                "tls.client_certificate_file" => r#","client_key_file":"x""#,
                "tls.client_key_file" => r#","client_certificate_file":"x""#,
                _ => "",
            };
            let written = |value: &str| {
                let member = match beside {
                    "" => member(&key, value),
                    beside => member(&key, &format!("{value}{beside}")),
                };
                match &*key {
                    "client" => format!(r#"{{"organization_id":"1@AdobeOrg"{member}}}"#),
                    "organization_id" => format!(r#"{{"client":"acme"{member}}}"#),
                    _ => format!(r#"{{"client":"acme","organization_id":"1@AdobeOrg"{member}}}"#),
                }
            };
            for value in &fitting {
                ClientConfig::from_json(&written(value)).unwrap_or_else(|error| panic!("{key} ({kind}): {error}"));
            }
            for value in &others {
                let error = ClientConfig::from_json(&written(value)).err();
                let error = error.unwrap_or_else(|| panic!("{key} ({kind}) takes {value}"));
                assert!(matches!(error, TargetError::InvalidOptions(_)), "{key}: {error:?}");
                assert_eq!(error.details().field.as_deref(), Some(&*key), "{value}");
            }
            if kind.starts_with('`') && !kind.contains('[') {
                let error = ClientConfig::from_json(&written("\"none of these\"")).unwrap_err().to_string();
                let (_, choices) = error.rsplit_once(": ").expect("the choices");
                let mut choices: Vec<_> = choices.split(',').map(str::trim).collect();
                let mut named = documented::names(&kind);
                choices.sort_unstable();
                named.sort_unstable();
                assert_eq!(named, choices, "{key}");
            }
        }
    }

    /// A key that is set to what the documentation calls its default changes nothing. The header's numbers are the page's.
    #[test]
    fn documented_defaults_are_the_defaults() {
        let header = header();
        let (flat, entries) = (documented::flat(&header), documented::header_entries(&header));
        let mut checked = 0;
        for (key, _, default) in documented() {
            // Behind the semicolon is another one, for clients that are otherwise set up.
            let (default, is_the_only_one) = match default.split_once(';') {
                Some((default, _)) => (default.to_owned(), false),
                None => (default, true),
            };
            let bare = default.trim_matches('`');
            let is_word = bare != default && bare.bytes().all(|b| b.is_ascii_lowercase() || b"-.".contains(&b));
            let value = match serde_json::from_str::<serde_json::Value>(bare) {
                Ok(value) => value.to_string(),
                Err(_) if is_word => format!("\"{bare}\""),
                // In words, or there is none.
                Err(_) => continue,
            };
            if is_the_only_one {
                let member = member(&key, &value);
                assert_eq!(config(&member).unwrap(), config("").unwrap(), "{member}");
            }
            checked += 1;
            if value.parse::<u64>().is_ok() {
                let told = match key.split_once('.') {
                    Some((_, key)) => flat.contains(&format!("\"{key}\" {value}")),
                    None => entries.iter().any(|(of, text)| *of == key && text.starts_with(&value)),
                };
                assert!(told, "the header does not say that {key} is {value}");
            }
        }
        assert!(checked > 25, "{checked}");
    }

    /// The one default that is another with a spool.
    #[test]
    fn the_documented_time_to_live_is_the_one_in_force() {
        let rows = documented();
        let (_, _, default) = rows.iter().find(|(key, ..)| key == "notifications.time_to_live").unwrap();
        let [memory, spooled] = [false, true].map(|durable| QueueConfig::default().time_to_live_or_default(durable));
        assert_eq!(*default, format!("{}; {} with a spool", memory.as_millis(), spooled.as_millis()));
        let told = format!("\"time_to_live\" {}, with a spool {}", memory.as_millis(), spooled.as_millis());
        assert!(documented::flat(&header()).contains(&told), "the header does not say {told:?}");
    }

    #[test]
    fn server_domains_may_be_addresses() {
        for domain in ["127.0.0.1:8080", "[::1]:8080", "[::1]", "target.example.com", "localhost"] {
            assert!(is_host_and_port(domain), "{domain}");
        }
    }
}
