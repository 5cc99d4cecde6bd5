//! A configuration in a chain of setters: of the client, and of the settings that are objects of their own.

use std::path::PathBuf;
use std::time::Duration;

use crate::client::TargetClient;
use crate::config::{
    ArtifactFormat, CdnEnvironment, ClientConfig, DecisioningMethod, ProxySetting, QueueConfig, RetryPolicy, SpoolSync,
    TlsRoots, TlsSettings,
};
use crate::error::TargetError;

/// Sets up a client; see [`ClientConfig`] for what can be set.
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    pub(crate) config: ClientConfig,
}

macro_rules! setters {
    ($of:ident, $me:ident => $settings:expr; $($(#[$doc:meta])* $name:ident: $type:ty => $value:ident $convert:expr;)*) => {
        impl $of {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(self, $value: $type) -> Self {
                    let mut $me = self;
                    $settings.$name = $convert;
                    $me
                }
            )*
        }
    };
}

setters! {
    ClientBuilder, builder => builder.config;
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
    all_matching_mboxes: impl IntoIterator<Item = impl Into<String>> => names names.into_iter().map(Into::into).collect();
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
    /// The background queue of impressions: `QueueConfig::default().workers(4)`.
    notifications: QueueConfig => queue queue;
    /// Events kept until somebody takes them, at least 1.
    event_buffer: usize => count count;
    /// What dropping the client waits for.
    close_timeout: Duration => timeout timeout;
    /// What decisions, cookies, timestamps and telemetry see as now, in milliseconds since 1970.
    fixed_clock_ms: i64 => now Some(now);
}

setters! {
    QueueConfig, queue => queue;
    /// Notifications that wait or are on their way, at the most.
    max_queued: u64 => count count;
    /// Notifications in one request that decisions of one visitor and session share.
    max_batch: u64 => count count;
    /// Longest wait before the first attempt.
    flush_interval: Duration => interval interval;
    /// Threads that send, 1 to 32.
    workers: u64 => count count;
    /// Upper bound of the wait before the second attempt.
    retry_base_delay: Duration => delay delay;
    /// Upper bound of every wait.
    retry_max_delay: Duration => delay delay;
    /// From acceptance to the last attempt.
    time_to_live: Duration => time Some(time);
    /// Makes the queue durable.
    spool_dir: impl Into<PathBuf> => directory Some(directory.into());
    /// Bound of the spool.
    spool_max_bytes: u64 => bytes bytes;
    /// When a spooled notification is safe.
    spool_sync: SpoolSync => sync sync;
}

setters! {
    RetryPolicy, retry => retry;
    /// Requests of one part of a call, at least 1.
    max_attempts: u32 => count count;
    /// Upper bound of the first wait.
    base_delay: Duration => delay delay;
    /// Upper bound of every wait.
    max_delay: Duration => delay delay;
}

setters! {
    TlsSettings, tls => tls;
    /// Certificate authorities that replace the roots.
    ca_file: impl Into<PathBuf> => file Some(file.into());
    /// The roots without `ca_file`.
    roots: TlsRoots => roots roots;
    /// The client's certificate chain; goes with `client_key_file`.
    client_certificate_file: impl Into<PathBuf> => file Some(file.into());
    /// The client's private key.
    client_key_file: impl Into<PathBuf> => file Some(file.into());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> ClientBuilder {
        TargetClient::builder("acme", "1@AdobeOrg")
    }

    #[test]
    fn names_may_be_texts_of_any_kind() {
        let borrowed = builder().all_matching_mboxes(["home", "cart"]);
        let owned = builder().all_matching_mboxes(vec!["home".to_owned(), "cart".to_owned()]);
        assert_eq!(borrowed.config, owned.config);
        assert_eq!(borrowed.config.all_matching_mboxes, ["home", "cart"]);
    }

    #[test]
    fn settings_that_are_objects_have_setters_of_every_key() {
        let queue = QueueConfig::default()
            .max_queued(1)
            .max_batch(2)
            .flush_interval(Duration::from_millis(3))
            .workers(4)
            .retry_base_delay(Duration::from_millis(5))
            .retry_max_delay(Duration::from_millis(6))
            .time_to_live(Duration::from_millis(7))
            .spool_max_bytes(8)
            .spool_sync(SpoolSync::Each);
        let retry = RetryPolicy::default()
            .max_attempts(5)
            .base_delay(Duration::from_millis(6))
            .max_delay(Duration::from_millis(7));
        let tls = TlsSettings::default()
            .ca_file("ca.pem")
            .roots(TlsRoots::System)
            .client_certificate_file("client.pem")
            .client_key_file("client.key");
        let read = ClientConfig::from_json(
            r#"{"client":"acme","organization_id":"1@AdobeOrg",
                "notifications":{"max_queued":1,"max_batch":2,"flush_interval":3,"workers":4,"retry_base_delay":5,
                    "retry_max_delay":6,"time_to_live":7,"spool_max_bytes":8,"spool_sync":"each"},
                "retry":{"max_attempts":5,"base_delay":6,"max_delay":7},
                "tls":{"ca_file":"ca.pem","roots":"system","client_certificate_file":"client.pem",
                    "client_key_file":"client.key"}}"#,
        )
        .unwrap();
        assert_eq!(builder().notifications(queue).retry(retry).tls(tls).config, read);
    }

    /// What a type cannot rule out is refused as it is in JSON.
    #[test]
    fn senseless_values_are_refused_and_named() {
        let queue = QueueConfig::default;
        let zero = Duration::ZERO;
        for (field, builder) in [
            ("connect_timeout", builder().connect_timeout(zero)),
            ("event_buffer", builder().event_buffer(0)),
            ("retry.max_attempts", builder().retry(RetryPolicy::default().max_attempts(0))),
            ("notifications.max_queued", builder().notifications(queue().max_queued(0))),
            ("notifications.max_batch", builder().notifications(queue().max_batch(0))),
            ("notifications.max_batch", builder().notifications(queue().max_batch(1001))),
            ("notifications.workers", builder().notifications(queue().workers(0))),
            ("notifications.workers", builder().notifications(queue().workers(33))),
            ("notifications.time_to_live", builder().notifications(queue().time_to_live(zero))),
            ("notifications.spool_max_bytes", builder().notifications(queue().spool_max_bytes(0))),
        ] {
            let error = builder.build().unwrap_err();
            assert!(matches!(error, TargetError::InvalidOptions(_)), "{field}: {error:?}");
            assert_eq!(error.details().field.as_deref(), Some(field));
        }
        builder().notifications(queue().workers(32).max_batch(1000)).build().unwrap();
    }
}
