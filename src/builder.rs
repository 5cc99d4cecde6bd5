//! A configuration in a chain of setters.

use std::path::PathBuf;
use std::time::Duration;

use crate::client::TargetClient;
use crate::config::{
    ArtifactFormat, CdnEnvironment, ClientConfig, DecisioningMethod, ProxySetting, RetryPolicy, TlsSettings,
};
use crate::error::TargetError;

/// Sets up a client; see [`ClientConfig`] for what can be set.
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    pub(crate) config: ClientConfig,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty => $value:ident $convert:expr;)*) => {
        impl ClientBuilder {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(mut self, $value: $type) -> Self {
                    self.config.$name = $convert;
                    self
                }
            )*
        }
    };
}

setters! {
    /// Where `execute` and `prefetch` are decided, unless a call says otherwise.
    decisioning_method: DecisioningMethod => method method;
    /// `host[:port]` instead of `<client>.tt.omtrdc.net`.
    server_domain: impl Into<String> => domain Some(domain.into());
    /// False uses `http://` everywhere.
    secure: bool => secure secure;
    /// Whether a known cluster moves requests to its own host.
    edge_affinity: bool => affinity Some(affinity);
    /// Total deadline of one call.
    timeout: Duration => timeout timeout;
    /// Of one connect.
    connect_timeout: Duration => timeout timeout;
    /// Cluster of visitors of whom none is known.
    target_location_hint: impl Into<String> => hint Some(hint.into());
    /// Sent in every request that names no other.
    environment_id: i64 => id Some(id);
    /// Default `property.token`.
    property_token: impl Into<String> => token Some(token.into());
    /// Query parameter `version`.
    version: impl Into<String> => version Some(version.into());
    /// Part of the artifact's address.
    environment: impl Into<String> => environment environment.into();
    /// CDN host of the artifact, as long as no other is named.
    cdn_environment: CdnEnvironment => environment environment;
    /// `host[:port][/path]` of artifact and geo look-up, or a whole URL.
    cdn_base_path: impl Into<String> => path path.into();
    /// Whole URL of the artifact.
    artifact_location: impl Into<String> => location Some(location.into());
    /// Form of the artifact instead of what its file name says.
    artifact_format: ArtifactFormat => format Some(format);
    /// An artifact to start with, as JSON text.
    artifact_payload: impl Into<String> => payload Some(payload.into());
    /// Keeps the last good artifact on disk and starts from it.
    artifact_cache_dir: impl Into<PathBuf> => directory Some(directory.into());
    /// Between downloads of the artifact; zero stops polling, less than five minutes is raised to that.
    polling_interval: Duration => interval interval;
    /// How long `build` waits for the first artifact and the location hint.
    maximum_wait_ready: Duration => wait wait;
    /// Mboxes of which every matching rule counts.
    all_matching_mboxes: impl IntoIterator<Item = String> => names names.into_iter().collect();
    /// Sends SDK telemetry with delivery requests.
    telemetry_enabled: bool => enabled enabled;
    /// How requests leave the machine.
    proxy: ProxySetting => proxy proxy;
    /// TLS beyond the defaults.
    tls: TlsSettings => tls tls;
    /// Connections kept open between calls.
    max_idle_connections: usize => count count;
    /// How long they are kept.
    max_idle_age: Duration => age age;
    /// Repeating of requests.
    retry: RetryPolicy => policy policy;
    /// Repeat clicks and orders although the edge may have counted them.
    retry_clicks: bool => retry retry;
    /// Events kept until somebody takes them.
    event_buffer: usize => count count.max(1);
    /// What dropping the client waits for.
    close_timeout: Duration => timeout timeout;
    /// What decisions, cookies, timestamps and telemetry see as now, in milliseconds since 1970.
    fixed_clock_ms: i64 => now Some(now);
}

impl ClientBuilder {
    /// Adds a header to requests to delivery hosts.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.headers.insert(name.into(), value.into());
        self
    }

    /// The configuration so far, for keys without a setter.
    pub fn config_mut(&mut self) -> &mut ClientConfig {
        &mut self.config
    }

    /// Makes the client.
    ///
    /// # Errors
    /// As [`TargetClient::new`].
    pub fn build(self) -> Result<TargetClient, TargetError> {
        TargetClient::new(self.config)
    }
}
