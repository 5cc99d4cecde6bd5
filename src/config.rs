//! The configuration of a client: what can be set, its defaults, and the checks that name the key.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::TargetError;
use crate::json::Member;

/// Where `execute` and `prefetch` are decided: a setting of clients and calls. Telemetry in a request has a type of the
/// same name among the API's own, [`delivery::model::DecisioningMethod`](crate::delivery::model::DecisioningMethod).
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

/// The background queue of notifications: those that were enqueued, and the impressions of decisions on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueConfig {
    /// Notifications that wait or are on their way, at the most, without a spool. Beyond it an enqueue is
    /// [`TargetError::QueueFull`], and a decision has its impressions in [`Meta::not_queued`](crate::Meta::not_queued).
    pub max_queued: u64,
    /// Notifications in one request, all of one session, visitor, property, environment and context. So many of a
    /// session are not waited with any longer. Adobe recommends 50 at the most; more than 1000 are refused.
    pub max_batch: u64,
    /// Longest wait before the first attempt.
    pub flush_interval: Duration,
    /// Threads that send, 1 to 32, started when they are needed. One session has one request at a time.
    pub workers: u64,
    /// Upper bound of the wait before the second attempt; it doubles.
    pub retry_base_delay: Duration,
    /// Upper bound of every wait. Ten times as much where the edge asks for a wait.
    pub retry_max_delay: Duration,
    /// From acceptance to the last attempt, by the wall clock; after it a notification is dropped as `expired`. None:
    /// half an hour, with a spool a day.
    pub time_to_live: Option<Duration>,
    /// Makes the queue durable: what it has taken survives a crash, an exit and an outage. Clients and processes may
    /// share the directory, which is made if it is not there; each delivers what was left for its own `client` and
    /// `organization_id`. A directory that cannot be opened is an error of create.
    pub spool_dir: Option<PathBuf>,
    /// Bound of what this client's part of the spool has on disk, in bytes; it stands instead of `max_queued`.
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

impl QueueConfig {
    /// The time to live in force, of a queue with a spool or without.
    pub(crate) fn time_to_live_or_default(&self, durable: bool) -> Duration {
        const IN_MEMORY: Duration = Duration::from_millis(1_800_000);
        /// An outage of a day.
        const DURABLE: Duration = Duration::from_millis(86_400_000);
        self.time_to_live.unwrap_or(if durable { DURABLE } else { IN_MEMORY })
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
    /// Part of the artifact's address, lower-cased and escaped.
    pub environment: String,
    /// CDN host of the artifact, as long as `cdn_base_path` names no other.
    pub cdn_environment: CdnEnvironment,
    /// `host[:port][/path]` of artifact and geo look-up, or a whole URL.
    pub cdn_base_path: String,
    /// Whole URL of the artifact. Its query may be a signature and is shown nowhere.
    pub artifact_location: Option<String>,
    /// Form of the artifact; None: by the file name.
    pub artifact_format: Option<ArtifactFormat>,
    /// An artifact to start with, as JSON text. Polling updates it after the first interval.
    pub artifact_payload: Option<String>,
    /// Keeps the last good artifact on disk and starts from it. Clients and processes may share it.
    pub artifact_cache_dir: Option<PathBuf>,
    /// Between downloads of the artifact, a tenth more or less. Less than five minutes is raised to that; zero stops
    /// polling once a first download has succeeded.
    pub polling_interval: Duration,
    /// How long create waits for the first artifact and the location hint. Not getting them in time is no error.
    pub maximum_wait_ready: Duration,
    /// On-device: mboxes of which every matching rule counts, not the first alone.
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
    /// The background queue of impressions.
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
pub(crate) const DEFAULT_ENVIRONMENT: &str = "production";
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_millis(3000);
/// Adobe's CDN is not meant to be asked more often.
pub(crate) const LEAST_POLLING_INTERVAL: Duration = Duration::from_millis(300_000);

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
        if !self.polling_interval.is_zero() && self.polling_interval < LEAST_POLLING_INTERVAL {
            crate::log::warn(format_args!(
                "`polling_interval` of {} ms is raised to {}, the least that Adobe's CDN is asked with",
                self.polling_interval.as_millis(),
                LEAST_POLLING_INTERVAL.as_millis()
            ));
            self.polling_interval = LEAST_POLLING_INTERVAL;
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
        for (key, is_least) in [
            ("connect_timeout", self.connect_timeout.is_zero()),
            ("event_buffer", self.event_buffer == 0),
            ("retry.max_attempts", self.retry.max_attempts == 0),
            ("notifications.max_queued", self.notifications.max_queued == 0),
            ("notifications.max_batch", self.notifications.max_batch == 0),
            ("notifications.time_to_live", self.notifications.time_to_live.is_some_and(|time| time.is_zero())),
            ("notifications.spool_max_bytes", self.notifications.spool_max_bytes == 0),
        ] {
            if is_least {
                return refuse(key, "must be at least 1");
            }
        }
        if !(1..=MAX_WORKERS).contains(&self.notifications.workers) {
            return refuse("notifications.workers", &format!("must be 1 to {MAX_WORKERS}"));
        }
        if self.notifications.max_batch > MAX_BATCH {
            return refuse(
                "notifications.max_batch",
                &format!("must be at most {MAX_BATCH}; Adobe recommends 50 notifications in one request at the most"),
            );
        }
        Ok(())
    }
}

/// Senders of the background queue. The edge bounds concurrent requests, and each is a thread of the host's.
pub(crate) const MAX_WORKERS: u64 = 32;
/// Of notifications in one request 50 are recommended and no limit is documented; this is for typing errors.
const MAX_BATCH: u64 = 1000;
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

pub(crate) fn is_host_and_port(domain: &str) -> bool {
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
