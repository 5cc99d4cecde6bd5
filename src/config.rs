//! The configuration of a client: what can be set, its defaults, and the checks that name the key.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::TargetError;
use crate::json::{Document, Kind, Member, Strictness, Value, read_members};

/// Where `execute` and `prefetch` are decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecisioningMethod {
    /// By the edge.
    #[default]
    ServerSide,
    /// On this machine, from the rule artifact.
    OnDevice,
    /// On this machine where the artifact has all that is asked for, else by the edge.
    Hybrid,
}

impl DecisioningMethod {
    /// The name in configuration, options and `meta`.
    pub fn as_str(self) -> &'static str {
        match self {
            DecisioningMethod::ServerSide => "server-side",
            DecisioningMethod::OnDevice => "on-device",
            DecisioningMethod::Hybrid => "hybrid",
        }
    }

    /// An empty name counts as absent.
    pub(crate) fn read(member: &Member<'_>) -> Result<Option<Self>, TargetError> {
        const ALL: [DecisioningMethod; 3] =
            [DecisioningMethod::OnDevice, DecisioningMethod::ServerSide, DecisioningMethod::Hybrid];
        let given = member.value.as_str();
        if given.as_deref() == Some("") {
            return Ok(None);
        }
        ALL.into_iter().find(|method| given.as_deref() == Some(method.as_str())).map(Some).ok_or_else(|| {
            // The two blanks are the field's wording.
            TargetError::invalid_options(
                member.path(),
                "Invalid Decisioning Method.  Must be set to one of: on-device,server-side,hybrid",
            )
        })
    }
}

/// Which CDN host serves the artifact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the names say it")]
pub enum CdnEnvironment {
    #[default]
    Production,
    Staging,
    Development,
}

/// The form of the artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArtifactFormat {
    /// Plain JSON.
    Json,
    /// JSON masked with a key in its header.
    Bin,
}

/// How requests leave the machine.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxySetting {
    /// By the proxy that the environment names: `https_proxy`, `HTTPS_PROXY`, `http_proxy` (lower case
    /// alone), `all_proxy`, `ALL_PROXY`, `no_proxy`, `NO_PROXY`. Read once, when the client is created.
    #[default]
    Env,
    /// Directly.
    None,
    /// By this one: `http://` or `https://`, with optional credentials.
    Url(String),
}

/// Leaves the URL out: it may hold credentials.
impl std::fmt::Debug for ProxySetting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ProxySetting::Env => "Env",
            ProxySetting::None => "None",
            ProxySetting::Url(_) => "Url(..)",
        })
    }
}

/// Which certificate authorities are trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsRoots {
    /// Mozilla's list as compiled into this library.
    #[default]
    Bundled,
    /// The system's bundle file, read once, when the client is created.
    System,
}

/// TLS beyond the defaults. Files are PEM and are read once, when the client is created.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsSettings {
    /// Certificate authorities that replace the roots.
    pub ca_file: Option<PathBuf>,
    /// The roots without `ca_file`.
    pub roots: TlsRoots,
    /// The client's certificate chain; goes with `client_key_file`.
    pub client_certificate_file: Option<PathBuf>,
    /// The client's private key.
    pub client_key_file: Option<PathBuf>,
}

/// Repeating of requests within a call's deadline: exponential backoff with full jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Requests of one part of a call at the most.
    pub max_attempts: u32,
    /// Upper bound of the first wait.
    pub base_delay: Duration,
    /// Upper bound of every wait.
    pub max_delay: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy { max_attempts: 3, base_delay: Duration::from_millis(100), max_delay: Duration::from_millis(2000) }
    }
}

/// When a spooled notification is safe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpoolSync {
    /// Handed to the operating system.
    None,
    /// The same, and on disk within the flush interval.
    #[default]
    Batch,
    /// On disk before enqueue returns.
    Each,
}

/// The background queue of notifications. Its keys are checked; the queue itself is not in this version.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueConfig {
    /// Notifications in memory.
    pub max_queued: u64,
    /// Notifications per request.
    pub max_batch: u64,
    /// Longest wait before a batch goes out.
    pub flush_interval: Duration,
    /// Senders.
    pub workers: u64,
    /// Upper bound of the first wait before a batch is repeated.
    pub retry_base_delay: Duration,
    /// Upper bound of every wait.
    pub retry_max_delay: Duration,
    /// From acceptance to `expired`; the default depends on `spool_dir`.
    pub time_to_live: Option<Duration>,
    /// Makes the queue durable.
    pub spool_dir: Option<PathBuf>,
    /// Bound of the spool.
    pub spool_max_bytes: u64,
    /// When a spooled notification is safe.
    pub spool_sync: SpoolSync,
}

impl Default for QueueConfig {
    fn default() -> Self {
        QueueConfig {
            max_queued: 10_000,
            max_batch: 50,
            flush_interval: Duration::from_millis(1000),
            workers: 2,
            retry_base_delay: Duration::from_millis(500),
            retry_max_delay: Duration::from_millis(30_000),
            time_to_live: None,
            spool_dir: None,
            spool_max_bytes: 64 * 1024 * 1024,
            spool_sync: SpoolSync::Batch,
        }
    }
}

/// Everything that can be set about a client. [`ClientConfig::new`] has the defaults; the C ABI and
/// [`ClientConfig::from_json`] use the same names as keys, in snake_case or camelCase.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClientConfig {
    /// Target client code.
    pub client: String,
    /// IMS organization, such as `0DD934B85278256B0A490D44@AdobeOrg`.
    pub organization_id: String,
    /// Default for every call.
    pub decisioning_method: DecisioningMethod,
    /// `host[:port]` instead of `<client>.tt.omtrdc.net`.
    pub server_domain: Option<String>,
    /// False uses `http://` everywhere.
    pub secure: bool,
    /// Whether a known cluster moves requests to its own host. None: true unless `server_domain` is set.
    pub edge_affinity: Option<bool>,
    /// Total deadline of one call: look-up, connect, TLS, proxy, body and all retries.
    pub timeout: Duration,
    /// Of one connect.
    pub connect_timeout: Duration,
    /// Cluster of visitors of whom none is known.
    pub target_location_hint: Option<String>,
    /// Sent in every request that names no other.
    pub environment_id: Option<i64>,
    /// Default `property.token`.
    pub property_token: Option<String>,
    /// Query parameter `version`.
    pub version: Option<String>,
    /// Artifact path, lower-cased.
    pub environment: String,
    /// CDN host of the artifact.
    pub cdn_environment: CdnEnvironment,
    /// `host[:port][/path]` of artifact and geo look-up, or a whole URL.
    pub cdn_base_path: String,
    /// Whole URL of the artifact.
    pub artifact_location: Option<String>,
    /// Form of the artifact; None: by the file name.
    pub artifact_format: Option<ArtifactFormat>,
    /// An artifact given by the caller, as JSON text.
    pub artifact_payload: Option<String>,
    /// Keeps the last good artifact on disk.
    pub artifact_cache_dir: Option<PathBuf>,
    /// Between downloads of the artifact; zero stops polling, less than five minutes is raised to that.
    pub polling_interval: Duration,
    /// How long create waits for the first artifact.
    pub maximum_wait_ready: Duration,
    /// On-device: every matching rule of these mboxes counts.
    pub all_matching_mboxes: Vec<String>,
    /// Sends SDK telemetry with delivery requests.
    pub telemetry_enabled: bool,
    /// How requests leave the machine.
    pub proxy: ProxySetting,
    /// TLS beyond the defaults.
    pub tls: TlsSettings,
    /// Added to requests to delivery hosts.
    pub headers: BTreeMap<String, String>,
    /// Connections kept open between calls.
    pub max_idle_connections: usize,
    /// How long they are kept.
    pub max_idle_age: Duration,
    /// Repeating of requests.
    pub retry: RetryPolicy,
    /// Repeat clicks and orders although the edge may have counted them.
    pub retry_clicks: bool,
    /// The background queue.
    pub notifications: QueueConfig,
    /// Events kept until somebody takes them.
    pub event_buffer: usize,
    /// What dropping a client waits for network and queue.
    pub close_timeout: Duration,
    /// What decisions, cookies, timestamps and telemetry see as now, in milliseconds since 1970.
    pub fixed_clock_ms: Option<i64>,
}

/// Host of artifact and geo look-up; with `cdn_environment` its siblings.
pub(crate) const DEFAULT_CDN: &str = "assets.adobetarget.com";
const DEFAULT_ENVIRONMENT: &str = "production";
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(3000);
/// Adobe's CDN is not meant to be asked more often.
const LEAST_POLLING_INTERVAL: Duration = Duration::from_millis(300_000);

impl ClientConfig {
    /// The defaults for that client code and organization.
    pub fn new(client: impl Into<String>, organization_id: impl Into<String>) -> Self {
        ClientConfig {
            client: client.into(),
            organization_id: organization_id.into(),
            decisioning_method: DecisioningMethod::default(),
            server_domain: None,
            secure: true,
            edge_affinity: None,
            timeout: DEFAULT_TIMEOUT,
            connect_timeout: Duration::from_millis(1000),
            target_location_hint: None,
            environment_id: None,
            property_token: None,
            version: None,
            environment: DEFAULT_ENVIRONMENT.to_owned(),
            cdn_environment: CdnEnvironment::default(),
            cdn_base_path: DEFAULT_CDN.to_owned(),
            artifact_location: None,
            artifact_format: None,
            artifact_payload: None,
            artifact_cache_dir: None,
            polling_interval: LEAST_POLLING_INTERVAL,
            maximum_wait_ready: Duration::from_millis(3000),
            all_matching_mboxes: Vec::new(),
            telemetry_enabled: false,
            proxy: ProxySetting::default(),
            tls: TlsSettings::default(),
            headers: BTreeMap::new(),
            max_idle_connections: 16,
            max_idle_age: Duration::from_millis(15_000),
            retry: RetryPolicy::default(),
            retry_clicks: false,
            notifications: QueueConfig::default(),
            event_buffer: 1024,
            close_timeout: Duration::from_millis(2000),
            fixed_clock_ms: None,
        }
    }

    /// Reads the configuration object of the C ABI.
    ///
    /// # Errors
    /// [`TargetError::InvalidJson`], or [`TargetError::InvalidOptions`] that names the key.
    pub fn from_json(text: &str) -> Result<Self, TargetError> {
        let document =
            Document::parse(text, Strictness::Options).map_err(|error| TargetError::invalid_json("config", &error))?;
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
                self.cdn_environment = choice(
                    member,
                    &[
                        ("production", CdnEnvironment::Production),
                        ("staging", CdnEnvironment::Staging),
                        ("development", CdnEnvironment::Development),
                    ],
                )?;
            }
            "cdn_base_path" => {
                if let Some(path) = member.text()? {
                    self.cdn_base_path = path;
                }
            }
            "artifact_location" => self.artifact_location = member.text()?,
            "artifact_format" => {
                self.artifact_format =
                    Some(choice(member, &[("json", ArtifactFormat::Json), ("bin", ArtifactFormat::Bin)])?);
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

    /// What types cannot rule out, for both ways of making a configuration.
    pub(crate) fn validate(&mut self) -> Result<(), TargetError> {
        let refuse =
            |field: &str, reason: &str| Err(TargetError::invalid_options(field, format!("`{field}` {reason}")));
        if self.client.is_empty() {
            return Err(TargetError::invalid_options("client", "Client is required"));
        }
        if self.organization_id.is_empty() {
            return Err(TargetError::invalid_options("organization_id", "Organization Id is required"));
        }
        if !self.client.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return refuse("client", "becomes part of a host name: letters, digits, `-`, `_` and `.` only");
        }
        if self.client.len() > 200 || self.client.split('.').any(|label| label.is_empty() || label.len() > 63) {
            return refuse("client", "becomes part of a host name: labels of 1 to 63 characters, 200 in all");
        }
        if self.organization_id.len() > MAX_QUERY_VALUE {
            return refuse("organization_id", "must have at most 1024 bytes");
        }
        if self.version.as_ref().is_some_and(|version| version.len() > MAX_QUERY_VALUE) {
            return refuse("version", "must have at most 1024 bytes");
        }
        if self.headers.len() > MAX_HEADERS {
            return refuse("headers", "must have at most 100 members");
        }
        if let Some(domain) = &self.server_domain
            && !is_host_and_port(domain)
        {
            return refuse(
                "server_domain",
                "must be a host name or address with an optional port, without scheme or path",
            );
        }
        if let Some(hint) = &self.target_location_hint
            && !is_location_hint(hint)
        {
            return refuse("target_location_hint", LOCATION_HINT_RULE);
        }
        if self.tls.client_certificate_file.is_some() != self.tls.client_key_file.is_some() {
            let missing =
                if self.tls.client_key_file.is_none() { "client_key_file" } else { "client_certificate_file" };
            return refuse(&format!("tls.{missing}"), "is required: certificate and key go together");
        }
        if self.timeout.is_zero() {
            self.timeout = DEFAULT_TIMEOUT;
        }
        if !self.polling_interval.is_zero() {
            self.polling_interval = self.polling_interval.max(LEAST_POLLING_INTERVAL);
        }
        if self.environment.is_empty() {
            self.environment = DEFAULT_ENVIRONMENT.to_owned();
        }
        if !is_path_segment(&self.environment) {
            return refuse("environment", PATH_SEGMENT_RULE);
        }
        if self.decisioning_method != DecisioningMethod::ServerSide
            && self.property_token.as_deref().is_some_and(|token| !is_path_segment(token))
        {
            return refuse("property_token", PATH_SEGMENT_RULE);
        }
        let has_scheme = self.cdn_base_path.contains("://");
        if !is_address(&self.cdn_base_path, has_scheme) || self.cdn_base_path.contains('?') {
            return refuse("cdn_base_path", "must be host[:port][/path] or a URL with http:// or https://, in ASCII");
        }
        if self.artifact_location.as_ref().is_some_and(|location| !is_address(location, true)) {
            return refuse("artifact_location", "must be a whole URL with http:// or https://, in ASCII");
        }
        if self.notifications.spool_dir.is_some() {
            return Err(TargetError::unsupported(
                Some("notifications.spool_dir"),
                "`notifications.spool_dir`: the background queue and its spool are not in this version",
            ));
        }
        Ok(())
    }
}

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

/// What goes into every request's query has to leave room for the rest of it.
const MAX_QUERY_VALUE: usize = 1024;
const MAX_HEADERS: usize = 100;
/// Its request has to fit a buffer with its headers.
const MAX_ADDRESS: usize = 4096;

/// What a location hint must look like, for messages.
pub(crate) const LOCATION_HINT_RULE: &str = "must be a host-name label: 1 to 55 letters, digits and `-`";

/// Whether a text may become part of `mboxedge{hint}.tt.omtrdc.net`.
pub(crate) fn is_location_hint(hint: &str) -> bool {
    // `mboxedge` and the hint are one label of at most 63 characters.
    (1..=55).contains(&hint.len())
        && !hint.ends_with('-')
        && hint.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

const PATH_SEGMENT_RULE: &str = "becomes part of the artifact's path: 1 to 256 bytes, and neither `.` nor `..`";

fn is_path_segment(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text != "." && text != ".."
}

/// Whether a text is host, optional port and optional path, with a scheme before it or without. A user and a
/// fragment have no meaning in a download.
fn is_address(text: &str, with_scheme: bool) -> bool {
    let after_scheme =
        if with_scheme { text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) } else { Some(text) };
    let Some(rest) = after_scheme else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    text.len() <= MAX_ADDRESS
        && is_host_and_port(authority)
        && rest.bytes().all(|b| b.is_ascii_graphic() && !b"#\\\"<>^`{|}".contains(&b))
}

fn is_host_and_port(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => (address, None),
            Some((address, port)) => match port.strip_prefix(':') {
                Some(port) => (address, Some(port)),
                None => return false,
            },
            None => return false,
        },
        None => match domain.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (domain, None),
        },
    };
    let host_fits = if domain.starts_with('[') {
        host.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        (1..=253).contains(&host.len()) && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    host_fits
        && port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0))
}

/// A duration in milliseconds.
fn milliseconds(member: &Member<'_>, least: u64) -> Result<Duration, TargetError> {
    member.count(least).map(Duration::from_millis)
}

/// A call's timeout; 0 is the default.
pub(crate) fn read_timeout(member: &Member<'_>) -> Result<Option<Duration>, TargetError> {
    Ok(Some(milliseconds(member, 0)?).filter(|timeout| !timeout.is_zero()))
}

fn size(member: &Member<'_>, least: u64) -> Result<usize, TargetError> {
    usize::try_from(member.count(least)?)
        .map_err(|_| TargetError::invalid_options(member.path(), format!("`{}` is too large", member.path())))
}

fn choice<T: Copy>(member: &Member<'_>, choices: &[(&str, T)]) -> Result<T, TargetError> {
    let given = member.value.as_str();
    choices.iter().find(|(name, _)| given.as_deref() == Some(*name)).map(|(_, choice)| *choice).ok_or_else(|| {
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
    let keys = ["ca_file", "roots", "client_certificate_file", "client_key_file"];
    read_members(member.object()?, &member.path(), &keys, |key, member| {
        match key {
            "ca_file" => tls.ca_file = member.text()?.map(PathBuf::from),
            "roots" => tls.roots = choice(&member, &[("bundled", TlsRoots::Bundled), ("system", TlsRoots::System)])?,
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
    read_members(member.object()?, &member.path(), &["max_attempts", "base_delay", "max_delay"], |key, member| {
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
    let keys = [
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
    read_members(member.object()?, &member.path(), &keys, |key, member| {
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
                queue.spool_sync = choice(&member, &choices)?;
            }
        }
        Ok(())
    })?;
    Ok(queue)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn null_and_empty_texts_are_absent_and_zero_is_the_default_timeout() {
        let config = config(r#","timeout":0,"secure":null,"property_token":"","server_domain":null"#).unwrap();
        assert_eq!(config.timeout, DEFAULT_TIMEOUT);
        assert!(config.secure);
        assert_eq!(config.property_token, None);
    }

    #[test]
    fn the_required_keys_have_their_messages() {
        let message = |text: &str| ClientConfig::from_json(text).unwrap_err().to_string();
        assert_eq!(message("{}"), "Client is required");
        assert_eq!(message(r#"{"client":"acme","organization_id":""}"#), "Organization Id is required");
        assert_eq!(message("[]"), "Options map is required");
    }

    #[test]
    fn what_later_versions_bring_is_refused_clearly() {
        let error = config(r#","notifications":{"spool_dir":"x"}"#).unwrap_err();
        assert!(matches!(error, TargetError::Unsupported(_)), "{error:?}");
        assert_eq!(error.details().field.as_deref(), Some("notifications.spool_dir"));
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

    #[test]
    fn server_domains_may_be_addresses() {
        for domain in ["127.0.0.1:8080", "[::1]:8080", "[::1]", "target.example.com", "localhost"] {
            assert!(is_host_and_port(domain), "{domain}");
        }
    }
}
