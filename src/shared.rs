//! What a client and its calls in progress share: everything that takes part in a call, and how it ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::calls::Calls;
use crate::clock::Clock;
use crate::config::{ClientConfig, DecisioningMethod};
use crate::decisioning::on_device::OnDevice;
use crate::decisioning::source::{FirstArtifact, Surroundings};
use crate::edge::Edge;
use crate::error::{DeliveryCounts, TargetError};
use crate::events::{EventKind, Events};
use crate::executor::Executor;
use crate::notifications::sender::Sender;
use crate::pending::Completions;
use crate::process;
use crate::stats::{ClientStats, Stats};
use crate::transport::Transport;
use crate::transport::tcp::ConnectionCounts;

/// How a client reaches the network in one process.
pub(crate) struct Connected {
    pub transport: Arc<dyn Transport>,
    pub connections: Arc<ConnectionCounts>,
}

/// Of one client, in one process.
pub(crate) struct Shared {
    pub config: Arc<ClientConfig>,
    pub clock: Clock,
    pub edge: Arc<Edge>,
    pub notifications: Sender,
    pub on_device: Option<OnDevice>,
    connections: Arc<ConnectionCounts>,
    pub calls: Calls,
    pub executor: Executor,
    pub completions: Arc<Completions>,
}

impl Shared {
    /// Starts the parts. `payload` is `artifact_payload` of the configuration.
    pub(crate) fn begin(
        config: &Arc<ClientConfig>,
        payload: Option<String>,
        connected: Connected,
    ) -> Result<Self, TargetError> {
        let first = payload.map_or(FirstArtifact::Wanted, FirstArtifact::Given);
        let shared = Self::assemble(config, connected, Some((first, None)), false)?;
        if shared.on_device.is_none() {
            shared.edge.events.emit(EventKind::ClientReady, |_| {});
        }
        Ok(shared)
    }

    /// The same for a forked child: queue, events and counters are empty. Of what it inherits it reads what needs no
    /// lock.
    pub(crate) fn begin_in_child(
        config: &Arc<ClientConfig>,
        inherited: &Shared,
        connected: Connected,
    ) -> Result<Self, TargetError> {
        if inherited.calls.is_closed() {
            return Self::closed_in_child(config, connected);
        }
        let of_parent = inherited.on_device.as_ref();
        let first = of_parent.map_or(FirstArtifact::Wanted, |on_device| on_device.source.inheritance());
        let hint = of_parent.and_then(OnDevice::location_hint);
        let shared = Self::assemble(config, connected, Some((first, hint)), true)?;
        if let Some(callback) = inherited.edge.events.callback()
            && let Err(error) = shared.edge.events.set_callback(Some(callback))
        {
            // Waits for nobody: lines are muted here, as they are inside the logger.
            shared.end();
            return Err(error);
        }
        if let Some(on_device) = of_parent {
            on_device.source.hand_over();
        }
        Ok(shared)
    }

    /// What is closed before a forked child has used it: it answers, and has no threads.
    pub(crate) fn closed_in_child(config: &Arc<ClientConfig>, connected: Connected) -> Result<Self, TargetError> {
        let shared = Self::assemble(config, connected, None, true)?;
        shared.end_calls(Some(Duration::ZERO));
        Ok(shared)
    }

    /// The artifact and the location hint that decisions on this machine start with are None where nothing will be
    /// decided any more.
    fn assemble(
        config: &Arc<ClientConfig>,
        connected: Connected,
        decides_with: Option<(FirstArtifact, Option<&str>)>,
        is_child: bool,
    ) -> Result<Self, TargetError> {
        let Connected { transport, connections } = connected;
        let completions = Arc::new(Completions::default());
        let clock = Clock { fixed_ms: config.fixed_clock_ms };
        let events = Arc::new(Events::new(config.event_buffer));
        let edge = Arc::new(Edge::new(config, transport, Arc::default(), events));
        let is_closed = decides_with.is_none();
        let on_device = match (config.decisioning_method, decides_with) {
            (DecisioningMethod::ServerSide, _) | (_, None) => None,
            (DecisioningMethod::OnDevice | DecisioningMethod::Hybrid, Some((first, hint))) => {
                let surroundings = Surroundings {
                    transport: Arc::clone(&edge.transport),
                    events: Arc::clone(&edge.events),
                    clock,
                    readiness: Arc::default(),
                };
                Some(OnDevice::start(config, first, hint, &edge.base_url, surroundings, &edge.stats)?)
            }
        };
        let notifications = match is_closed {
            false => Sender::new(config, &edge),
            true => Ok(Sender::refusing(config, &edge, TargetError::closed())),
        };
        let notifications = match notifications {
            // The parent's was opened: what a full disk keeps a child from is its queue, not its other calls.
            Err(error) if is_child => {
                crate::log::error(format_args!("a forked child takes no notifications: {error}"));
                Ok(Sender::refusing(config, &edge, error))
            }
            other => other,
        };
        let notifications = notifications.inspect_err(|_| {
            if let Some(on_device) = &on_device {
                on_device.stop();
                on_device.join();
            }
        })?;
        Ok(Shared {
            clock,
            notifications,
            on_device,
            edge,
            connections,
            calls: Calls::new(&completions),
            executor: Executor::default(),
            completions,
            config: Arc::clone(config),
        })
    }

    /// A waiting asynchronous call may have been ended.
    pub(crate) fn poke(&self) {
        self.executor.poke();
    }

    pub(crate) fn completions(&self) -> &Completions {
        &self.completions
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.edge.stats
    }

    /// The client's own location hint: the configured one, or the one that the edge has told.
    pub(crate) fn location_hint(&self) -> Option<&str> {
        self.config.target_location_hint.as_deref().or_else(|| self.on_device.as_ref()?.location_hint())
    }

    /// Downloads have no use any more once a close begins.
    pub(crate) fn stop_background(&self) {
        if let Some(on_device) = &self.on_device {
            on_device.stop();
        }
    }

    pub(crate) fn end_calls(&self, timeout: Option<Duration>) -> DeliveryCounts {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.edge.events.begin_close();
        self.stop_background();
        // Calls may take all the time there is, and what lingers has none of its own.
        self.notifications.prepare_close();
        self.calls.close(timeout);
        self.executor.poke();
        // Whoever was ended returns at once; a callback of the host may take longer.
        self.calls.wait_empty(Some(Duration::from_millis(100)));
        // After the calls: the last of them may have been a decision.
        let counts = self.notifications.close(deadline);
        self.edge.transport.shut_down();
        self.executor.stop();
        self.completions.wake();
        self.edge.events.close();
        counts
    }

    /// Ends everything: what is in flight within `close_timeout`, then the threads.
    pub(crate) fn end(&self) {
        if process::on_library_thread() {
            // A callback dropped the last handle: its thread cannot wait for itself.
            self.stop_background();
            self.calls.end_all();
            self.executor.stop();
            self.notifications.stop(false);
            self.completions.wake();
            self.edge.events.end();
            return;
        }
        self.end_calls(Some(self.config.close_timeout));
        self.executor.stop();
        self.executor.join();
        self.notifications.stop(true);
        if let Some(on_device) = &self.on_device {
            on_device.join();
        }
        self.edge.events.stop();
    }

    pub(crate) fn client_stats(&self) -> ClientStats {
        let mut stats = self.edge.stats.read();
        stats.in_flight = self.calls.count() as u64;
        stats.connections_open = self.connections.open.load(Ordering::Relaxed);
        stats.connections_opened = self.connections.opened.load(Ordering::Relaxed);
        stats.connections_reused = self.connections.reused.load(Ordering::Relaxed);
        stats.queue = self.notifications.stats();
        stats.artifact = self.on_device.as_ref().map(|on_device| on_device.source.stats());
        stats
    }
}
