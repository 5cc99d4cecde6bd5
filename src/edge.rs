//! The delivery hosts of a client, and what takes part in every request to them.

use std::sync::Arc;

use crate::config::ClientConfig;
use crate::delivery::telemetry::TelemetryQueue;
use crate::events::Events;
use crate::stats::Stats;
use crate::transport::Transport;

/// Shared by the client's calls and its threads.
pub(crate) struct Edge {
    pub transport: Arc<dyn Transport>,
    pub stats: Arc<Stats>,
    pub events: Arc<Events>,
    pub telemetry: TelemetryQueue,
    scheme: &'static str,
    /// `scheme://host` without a cluster.
    pub base_url: String,
    affinity: bool,
}

/// Where one request goes.
pub(crate) struct DeliveryUrls {
    pub first: String,
    /// The default host, for when the cluster's cannot be reached.
    pub fallback: Option<String>,
}

impl Edge {
    pub(crate) fn new(
        config: &ClientConfig,
        transport: Arc<dyn Transport>,
        stats: Arc<Stats>,
        events: Arc<Events>,
    ) -> Self {
        let scheme = if config.secure { "https" } else { "http" };
        let base_url = match &config.server_domain {
            Some(domain) => format!("{scheme}://{domain}"),
            None => format!("{scheme}://{}.tt.omtrdc.net", config.client),
        };
        Edge {
            transport,
            stats,
            events,
            telemetry: TelemetryQueue::new(config.telemetry_enabled),
            scheme,
            base_url,
            affinity: config.edge_affinity.unwrap_or(config.server_domain.is_none()),
        }
    }

    /// Whether clusters have hosts of their own.
    pub(crate) fn has_affinity(&self) -> bool {
        self.affinity
    }

    /// The URLs of a request of a visitor in that cluster.
    pub(crate) fn urls(&self, cluster: Option<&str>, query: &str) -> DeliveryUrls {
        let default = format!("{}/rest/v1/delivery?{query}", self.base_url);
        match cluster.filter(|_| self.affinity) {
            None => DeliveryUrls { first: default, fallback: None },
            Some(cluster) => DeliveryUrls {
                first: format!("{}://mboxedge{cluster}.tt.omtrdc.net/rest/v1/delivery?{query}", self.scheme),
                fallback: Some(default),
            },
        }
    }
}
