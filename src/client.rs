//! The client: takes a call from its options to its result and owns everything that takes part.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::builder::ClientBuilder;
use crate::calls::Calls;
use crate::clock::Clock;
use crate::config::{ClientConfig, DecisioningMethod, not_in_this_version};
use crate::cookies::TargetCookie;
use crate::decisioning::on_device::OnDevice;
use crate::decisioning::source::{ArtifactRefresh, Surroundings};
use crate::delivery::limits::mbox_names as mbox_names_of;
use crate::delivery::normalize::{Normalized, Part, normalize};
use crate::delivery::telemetry::TelemetryQueue;
use crate::envelope::{Acknowledgement, Answer, Attributes, Digest, Meta, Offers, RawEnvelope, acknowledge, merge};
use crate::error::{DeliveryCounts, NotificationOutcome, PartialResult, Phase, TargetError};
use crate::events::{EventCallback, Events};
use crate::executor::{Executor, Job};
use crate::ids;
use crate::json::{Document, Strictness};
use crate::options::{CallOptions, Operation, ParsedOptions, parse_mbox_names};
use crate::pending::{After, AsyncCall, Completions, PendingAttributes, PendingOffers, then};
use crate::process;
use crate::stats::{ClientStats, Stats};
use crate::transport::Transport;
use crate::transport::control::CallControl;
use crate::transport::http::HttpTransport;
use crate::transport::retry::{Fate, Shipment, Undelivered, deliver};
use crate::transport::tcp::ConnectionCounts;

/// A client of Target's Delivery API for one client code and organization.
///
/// Every method may be called from any thread at any time. Dropping the client closes it (waiting
/// `close_timeout` at the most) and joins its threads.
#[doc(alias = "target_client")]
pub struct TargetClient {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for TargetClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TargetClient").field("client", &self.shared.config.client).finish_non_exhaustive()
    }
}

/// What the client and its calls in progress share.
pub(crate) struct Shared {
    config: ClientConfig,
    clock: Clock,
    transport: Arc<dyn Transport>,
    connections: Arc<ConnectionCounts>,
    stats: Arc<Stats>,
    events: Arc<Events>,
    telemetry: TelemetryQueue,
    calls: Calls,
    executor: Executor,
    completions: Arc<Completions>,
    /// `scheme://host` without a cluster.
    base_url: String,
    /// None for a server-side client.
    on_device: Option<OnDevice>,
}

impl TargetClient {
    /// Starts a configuration with its two required values.
    pub fn builder(client: impl Into<String>, organization_id: impl Into<String>) -> ClientBuilder {
        ClientBuilder { config: ClientConfig::new(client, organization_id) }
    }

    /// Makes a client from a configuration. One that decides on this machine waits `maximum_wait_ready` at the
    /// most for its artifact; without one it goes on asking for it.
    ///
    /// # Errors
    /// [`TargetError::InvalidOptions`] that names the key, [`TargetError::Unsupported`] for what this version
    /// does not have, [`TargetError::Internal`] when no thread can be started.
    #[doc(alias = "target_client_create")]
    pub fn new(mut config: ClientConfig) -> Result<Self, TargetError> {
        config.validate()?;
        let transport = HttpTransport::new(&config)?;
        let connections = Arc::clone(transport.counts());
        Self::with_transport(config, Arc::new(transport), connections)
    }

    /// The seam for tests that script the edge. The configuration is a valid one.
    pub(crate) fn with_transport(
        config: ClientConfig,
        transport: Arc<dyn Transport>,
        connections: Arc<ConnectionCounts>,
    ) -> Result<Self, TargetError> {
        let scheme = if config.secure { "https" } else { "http" };
        let base_url = match &config.server_domain {
            Some(domain) => format!("{scheme}://{domain}"),
            None => format!("{scheme}://{}.tt.omtrdc.net", config.client),
        };
        let completions = Arc::new(Completions::default());
        let clock = Clock { fixed_ms: config.fixed_clock_ms };
        let (stats, events) = (Arc::<Stats>::default(), Arc::new(Events::new(config.event_buffer)));
        let on_device = match config.decisioning_method {
            DecisioningMethod::ServerSide => {
                events.emit("client_ready", |_| {});
                None
            }
            DecisioningMethod::OnDevice | DecisioningMethod::Hybrid => {
                let surroundings = Surroundings {
                    transport: Arc::clone(&transport),
                    events: Arc::clone(&events),
                    clock,
                    readiness: Arc::default(),
                };
                Some(OnDevice::start(&config, &base_url, surroundings, &stats)?)
            }
        };
        let shared = Shared {
            clock,
            transport,
            connections,
            stats,
            events,
            telemetry: TelemetryQueue::new(config.telemetry_enabled),
            calls: Calls::new(&completions),
            executor: Executor::default(),
            completions,
            base_url,
            on_device,
            config,
        };
        let client = TargetClient { shared: Arc::new(shared) };
        if let Some(on_device) = &client.shared.on_device {
            // That it is not ready in time is no error: the host asks or waits.
            let _ = on_device.wait_ready(Some(client.shared.config.maximum_wait_ready));
        }
        Ok(client)
    }

    /// Asks for offers: `execute` shows them now, `prefetch` later. Blocks until the edge has answered.
    ///
    /// # Errors
    /// Every [`TargetError`] but those of queue and storage.
    #[doc(alias = "target_get_offers")]
    pub fn get_offers(&self, options: &CallOptions) -> Result<Offers, TargetError> {
        self.run(Operation::GetOffers, &[], &options.to_json()?)?.to_offers()
    }

    /// Asks for JSON offers as attributes: each mbox that the request does not name is executed.
    ///
    /// # Errors
    /// As [`TargetClient::get_offers`].
    #[doc(alias = "target_get_attributes")]
    pub fn get_attributes<N: AsRef<str>>(
        &self,
        mbox_names: impl IntoIterator<Item = N>,
        options: &CallOptions,
    ) -> Result<Attributes, TargetError> {
        let names = mbox_names_of(mbox_names.into_iter().map(|name| name.as_ref().to_owned()));
        let names = self.shared.judged_names(names)?;
        self.run(Operation::GetAttributes, &names, &options.to_json()?)?.to_attributes()
    }

    /// Reports what visitors saw and clicked. Blocks until the edge has answered; more than 50 notifications
    /// go out in parts, in order.
    ///
    /// # Errors
    /// As [`TargetClient::get_offers`]; where anything may have been sent, the error's `result` says what
    /// became of each notification.
    #[doc(alias = "target_send_notifications")]
    pub fn send_notifications(&self, options: &CallOptions) -> Result<Offers, TargetError> {
        self.run(Operation::SendNotifications, &[], &options.to_json()?)?.to_offers()
    }

    /// [`TargetClient::get_offers`] on a thread of the library. A result that nobody takes by the handle waits
    /// for [`TargetClient::next_completion`].
    ///
    /// # Errors
    /// What can be judged before anything is sent; [`TargetError::QueueFull`] when too many calls wait.
    #[doc(alias = "target_get_offers_async")]
    pub fn get_offers_async(&self, options: &CallOptions) -> Result<PendingOffers, TargetError> {
        self.start(Operation::GetOffers, &[], &options.to_json()?, After::Completion, &|_| {}).map(PendingOffers)
    }

    /// [`TargetClient::get_attributes`] on a thread of the library.
    ///
    /// # Errors
    /// As [`TargetClient::get_offers_async`].
    #[doc(alias = "target_get_attributes_async")]
    pub fn get_attributes_async<N: AsRef<str>>(
        &self,
        mbox_names: impl IntoIterator<Item = N>,
        options: &CallOptions,
    ) -> Result<PendingAttributes, TargetError> {
        let names = mbox_names_of(mbox_names.into_iter().map(|name| name.as_ref().to_owned()));
        let names = self.shared.judged_names(names)?;
        self.start(Operation::GetAttributes, &names, &options.to_json()?, After::Completion, &|_| {})
            .map(PendingAttributes)
    }

    /// [`TargetClient::send_notifications`] on a thread of the library.
    ///
    /// # Errors
    /// As [`TargetClient::get_offers_async`].
    #[doc(alias = "target_send_notifications_async")]
    pub fn send_notifications_async(&self, options: &CallOptions) -> Result<PendingOffers, TargetError> {
        self.start(Operation::SendNotifications, &[], &options.to_json()?, After::Completion, &|_| {})
            .map(PendingOffers)
    }

    /// [`TargetClient::send_notifications_async`] that hands the result to one of two callbacks, on a thread
    /// of the library. Exactly one of them runs, once, unless this returns an error.
    ///
    /// # Errors
    /// As [`TargetClient::get_offers_async`].
    pub fn send_notifications_then(
        &self,
        options: &CallOptions,
        callback: impl FnOnce(Offers) + Send + 'static,
        err_callback: impl FnOnce(TargetError) + Send + 'static,
    ) -> Result<PendingOffers, TargetError> {
        let after = then(RawEnvelope::to_offers, callback, err_callback);
        self.start(Operation::SendNotifications, &[], &options.to_json()?, after, &|_| {}).map(PendingOffers)
    }

    /// [`TargetClient::get_offers_async`] that hands the result to one of two callbacks, on a thread of the
    /// library. Exactly one of them runs, once, unless this returns an error.
    ///
    /// # Errors
    /// As [`TargetClient::get_offers_async`].
    pub fn get_offers_then(
        &self,
        options: &CallOptions,
        callback: impl FnOnce(Offers) + Send + 'static,
        err_callback: impl FnOnce(TargetError) + Send + 'static,
    ) -> Result<PendingOffers, TargetError> {
        let after = then(RawEnvelope::to_offers, callback, err_callback);
        self.start(Operation::GetOffers, &[], &options.to_json()?, after, &|_| {}).map(PendingOffers)
    }

    /// [`TargetClient::get_offers`] from options as JSON to the result as JSON: what the C ABI does. Nothing of
    /// the answer is interpreted that need not be.
    ///
    /// # Errors
    /// As [`TargetClient::get_offers`], and [`TargetError::InvalidJson`].
    pub fn get_offers_json(&self, options: &str) -> Result<String, TargetError> {
        self.run(Operation::GetOffers, &[], options).map(|envelope| envelope.to_json())
    }

    /// [`TargetClient::get_attributes`] as [`TargetClient::get_offers_json`] does it. `mbox_names` is a JSON
    /// array of strings.
    ///
    /// # Errors
    /// As [`TargetClient::get_offers_json`].
    pub fn get_attributes_json(&self, mbox_names: &str, options: &str) -> Result<String, TargetError> {
        let names = self.shared.judged_names(parse_mbox_names(mbox_names))?;
        self.run(Operation::GetAttributes, &names, options).map(|envelope| envelope.to_json())
    }

    /// [`TargetClient::send_notifications`] as [`TargetClient::get_offers_json`] does it.
    ///
    /// # Errors
    /// As [`TargetClient::get_offers_json`].
    pub fn send_notifications_json(&self, options: &str) -> Result<String, TargetError> {
        self.run(Operation::SendNotifications, &[], options).map(|envelope| envelope.to_json())
    }

    /// Starts a call from JSON options, for the C ABI. `begun` has the handle before anything else can happen
    /// with the call, a callback included.
    #[cfg(feature = "capi")]
    pub(crate) fn start_json(
        &self,
        operation: Operation,
        mbox_names: Option<&str>,
        options: &str,
        after: After,
        begun: &dyn Fn(&Arc<AsyncCall>),
    ) -> Result<Arc<AsyncCall>, TargetError> {
        let names = mbox_names.map_or(Ok(Vec::new()), |text| self.shared.judged_names(parse_mbox_names(text)))?;
        self.start(operation, &names, options, after, begun)
    }

    /// Takes one finished asynchronous call that was started without callbacks: its id and its result as JSON.
    /// `None` waits as long as it takes. A call whose result was taken by its handle does not come here; 10,000
    /// finished calls and 64 MiB of results are kept, the oldest goes.
    ///
    /// # Errors
    /// [`TargetError::Pending`] when none finished in time, [`TargetError::Closed`] when no more will come.
    #[doc(alias = "target_next_completion")]
    pub fn next_completion(
        &self,
        timeout: Option<Duration>,
    ) -> Result<(u64, Result<String, TargetError>), TargetError> {
        let call = self.shared.completions.next(timeout, &self.shared.calls)?;
        let result = match call.outcome() {
            Some(outcome) => outcome.as_ref().as_ref().map(RawEnvelope::to_json).map_err(Clone::clone),
            None => Err(TargetError::internal("a completion without a result")),
        };
        Ok((call.id(), result))
    }

    /// Takes one event, a JSON object with `type` and `timestamp` (ms). `None` waits as long as it takes.
    ///
    /// # Errors
    /// [`TargetError::Pending`] when none came in time, [`TargetError::Closed`] when no more will come.
    #[doc(alias = "target_next_event")]
    pub fn next_event(&self, timeout: Option<Duration>) -> Result<String, TargetError> {
        self.shared.events.next(timeout)
    }

    /// Has events handed to a callback, those buffered first, on a thread of the library; `None` removes it.
    /// When this returns, the old callback no longer runs (called from inside it: not again).
    ///
    /// # Errors
    /// [`TargetError::Internal`] when no thread can be started.
    #[doc(alias = "target_client_on_event")]
    pub fn on_event(&self, callback: Option<Arc<EventCallback>>) -> Result<(), TargetError> {
        self.shared.events.set_callback(callback)
    }

    /// Waits until the client can decide: for its first artifact, and within the time for its location hint. A
    /// server-side client is ready at once. `None` waits as long as it takes.
    ///
    /// # Errors
    /// [`TargetError::Pending`] when there is no artifact yet, [`TargetError::WouldDeadlock`] on a thread of the
    /// library, [`TargetError::Closed`] after close and when it comes meanwhile.
    #[doc(alias = "target_client_wait_ready")]
    pub fn wait_ready(&self, timeout: Option<Duration>) -> Result<(), TargetError> {
        if process::on_library_thread() {
            return Err(TargetError::would_deadlock("wait_ready"));
        }
        if self.shared.calls.is_closed() {
            return Err(TargetError::closed());
        }
        self.shared.on_device.as_ref().map_or(Ok(()), |on_device| on_device.wait_ready(timeout))
    }

    /// Whether the client can decide: a server-side one always, others once they have an artifact.
    pub fn is_ready(&self) -> bool {
        self.shared.on_device.as_ref().is_none_or(OnDevice::is_ready)
    }

    /// Downloads the artifact now and blocks until that is over, two minutes at the most; a download that runs
    /// already serves too. What is in force stays so unless a good one came.
    ///
    /// # Errors
    /// Why nothing usable came: [`TargetError::Network`], [`TargetError::Timeout`], [`TargetError::Http`],
    /// [`TargetError::InvalidResponse`]. [`TargetError::Unsupported`] for a server-side client,
    /// [`TargetError::WouldDeadlock`] on a thread of the library, [`TargetError::Closed`] after close and when it
    /// comes meanwhile.
    #[doc(alias = "target_client_refresh")]
    pub fn refresh(&self) -> Result<ArtifactRefresh, TargetError> {
        if process::on_library_thread() {
            return Err(TargetError::would_deadlock("refresh"));
        }
        if self.shared.calls.is_closed() {
            return Err(TargetError::closed());
        }
        match &self.shared.on_device {
            Some(on_device) => on_device.source.refresh(),
            None => Err(TargetError::unsupported(
                Some("decisioning_method"),
                "a client whose `decisioning_method` is server-side has no artifact",
            )),
        }
    }

    /// Counters since the client was created. Works after close.
    #[doc(alias = "target_client_stats")]
    pub fn stats(&self) -> ClientStats {
        use std::sync::atomic::Ordering;
        let mut stats = self.shared.stats.read();
        stats.in_flight = self.shared.calls.count() as u64;
        stats.connections_open = self.shared.connections.open.load(Ordering::Relaxed);
        stats.connections_opened = self.shared.connections.opened.load(Ordering::Relaxed);
        stats.connections_reused = self.shared.connections.reused.load(Ordering::Relaxed);
        stats.artifact = self.shared.on_device.as_ref().map(|on_device| on_device.source.stats());
        stats
    }

    /// Ends the client: new calls are refused, those in flight may end by the deadline and are ended after it.
    /// A second or parallel close waits likewise. `None` waits as long as it takes.
    ///
    /// # Errors
    /// [`TargetError::WouldDeadlock`] on a thread of the library.
    #[doc(alias = "target_client_close")]
    pub fn close(&self, timeout: Option<Duration>) -> Result<DeliveryCounts, TargetError> {
        if process::on_library_thread() {
            return Err(TargetError::would_deadlock("close"));
        }
        self.shared.end_calls(timeout);
        Ok(DeliveryCounts::default())
    }

    fn run(&self, operation: Operation, names: &[String], options: &str) -> Result<RawEnvelope, TargetError> {
        let shared = &self.shared;
        shared.stats.call(operation);
        shared.prepare(operation, names, options).and_then(|prepared| {
            let control = Arc::new(CallControl::new(prepared.timeout));
            let _in_flight = match shared.calls.begin(&control) {
                Ok((in_flight, _)) => in_flight,
                Err(closed) => return Err(shared.withdraw(prepared, closed)),
            };
            shared.execute(prepared, &control)
        })
    }

    fn start(
        &self,
        operation: Operation,
        names: &[String],
        options: &str,
        after: After,
        begun: &dyn Fn(&Arc<AsyncCall>),
    ) -> Result<Arc<AsyncCall>, TargetError> {
        let shared = &self.shared;
        shared.stats.call(operation);
        let prepared = shared.prepare(operation, names, options)?;
        let control = Arc::new(CallControl::new(prepared.timeout));
        let (in_flight, id) = match shared.calls.begin(&control) {
            Ok(begun) => begun,
            Err(closed) => return Err(shared.withdraw(prepared, closed)),
        };
        let call = AsyncCall::new(id, Arc::clone(&control), Arc::downgrade(shared));
        let telemetry = prepared.normalized.telemetry.clone();
        let (job_shared, job_call) = (Arc::clone(shared), Arc::clone(&call));
        let run = move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| job_shared.execute(prepared, job_call.control())))
                .unwrap_or_else(|_| Err(TargetError::internal("a panic was caught in the call; please report it")));
            job_call.finish(outcome, after, &job_shared);
            drop(in_flight);
        };
        begun(&call);
        match shared.executor.submit(Job { control, run: Box::new(run) }) {
            Ok(()) => Ok(call),
            Err(error) => {
                shared.telemetry.put_back(telemetry);
                Err(error)
            }
        }
    }
}

impl Drop for TargetClient {
    fn drop(&mut self) {
        let shared = &self.shared;
        if process::on_library_thread() {
            // A callback dropped the last handle: its thread cannot wait for itself.
            shared.stop_background();
            shared.calls.end_all();
            shared.executor.stop();
            shared.completions.wake();
            shared.events.end();
            return;
        }
        shared.end_calls(Some(shared.config.close_timeout));
        shared.executor.stop();
        shared.executor.join();
        if let Some(on_device) = &shared.on_device {
            on_device.join();
        }
        shared.events.stop();
    }
}

/// A call whose options have been judged.
struct Prepared {
    operation: Operation,
    normalized: Normalized,
    timeout: Duration,
    retry_clicks: bool,
}

impl Shared {
    /// Names that are refused make a refused call.
    fn judged_names(&self, names: Result<Vec<String>, TargetError>) -> Result<Vec<String>, TargetError> {
        if names.is_err() {
            self.stats.call(Operation::GetAttributes);
            self.stats.failed(Phase::Validate);
        }
        names
    }

    fn prepare(&self, operation: Operation, names: &[String], options: &str) -> Result<Prepared, TargetError> {
        let prepared = self.judge(operation, names, options);
        if prepared.is_err() {
            self.stats.failed(Phase::Validate);
        }
        prepared
    }

    fn judge(&self, operation: Operation, names: &[String], options: &str) -> Result<Prepared, TargetError> {
        if self.calls.is_closed() {
            return Err(TargetError::closed());
        }
        let document = Document::parse(options, Strictness::Options)
            .map_err(|error| TargetError::invalid_json("options", &error))?;
        let options = ParsedOptions::read(document.root(), operation)?;
        let method = options.decisioning_method.unwrap_or(self.config.decisioning_method);
        if method != DecisioningMethod::ServerSide && operation != Operation::SendNotifications {
            return Err(not_in_this_version("decisioning_method", method));
        }
        let (hint, now) = (self.location_hint(), self.clock.now_ms());
        let normalized = normalize(&self.config, hint, now, &options, operation, names, &self.telemetry)?;
        Ok(Prepared {
            operation,
            normalized,
            timeout: options.timeout.unwrap_or(self.config.timeout),
            retry_clicks: options.retry_clicks.unwrap_or(self.config.retry_clicks),
        })
    }

    /// Gives back what a call took that is not made after all.
    fn withdraw(&self, prepared: Prepared, error: TargetError) -> TargetError {
        self.telemetry.put_back(prepared.normalized.telemetry);
        error
    }

    /// Sends the parts of a call and makes its result.
    fn execute(&self, prepared: Prepared, control: &Arc<CallControl>) -> Result<RawEnvelope, TargetError> {
        let operation = prepared.operation;
        let result = self.send_parts(prepared, control);
        let elapsed = control.elapsed().as_millis();
        match &result {
            Ok(_) => crate::log::debug(format_args!("{}: done in {elapsed} ms", operation.name())),
            Err(error) => crate::log::warn(format_args!("{}: failed after {elapsed} ms: {error}", operation.name())),
        }
        result
    }

    fn send_parts(&self, prepared: Prepared, control: &Arc<CallControl>) -> Result<RawEnvelope, TargetError> {
        let Prepared { operation, mut normalized, retry_clicks, .. } = prepared;
        let affinity = self.config.edge_affinity.unwrap_or(self.config.server_domain.is_none());
        let scheme = if self.config.secure { "https" } else { "http" };
        let default_url = format!("{}/rest/v1/delivery?{}", self.base_url, normalized.query);
        let cluster_url =
            normalized.cluster.as_deref().filter(|_| affinity).map(|cluster| {
                format!("{scheme}://mboxedge{cluster}.tt.omtrdc.net/rest/v1/delivery?{}", normalized.query)
            });

        let parts = std::mem::take(&mut normalized.parts);
        let single = parts.len() == 1;
        let has_notifications = parts.iter().any(|part| !part.notification_ids.is_empty());
        let mut request = normalized.whole_request.take();
        let mut acknowledgement = Acknowledgement::default();
        let mut received: Vec<(Answer, Digest)> = Vec::with_capacity(parts.len());
        let mut parts = parts.into_iter();
        while let Some(part) = parts.next() {
            let header_id = ids::uuid();
            let shipment = Shipment {
                url: cluster_url.as_deref().unwrap_or(&default_url),
                fallback_url: cluster_url.as_ref().map(|_| default_url.as_str()),
                request_id: &header_id,
                body: &part.body,
                repeatable: part.repeatable || retry_clicks,
            };
            let is_first = received.is_empty();
            match self.send_part(&shipment, control, operation, is_first, &part, &normalized, &mut acknowledgement) {
                Ok(answer) => {
                    received.push(answer);
                    if single {
                        request = Some(part.body);
                    }
                }
                Err(Undelivered { error, fate }) => {
                    if is_first {
                        self.telemetry.put_back(std::mem::take(&mut normalized.telemetry));
                    }
                    if !has_notifications {
                        return Err(error);
                    }
                    let outcome = outcome_of_failure(fate, part.notification_ids, acknowledgement, parts);
                    return Err(self.report_failure(error, outcome, operation));
                }
            }
        }
        if has_notifications {
            self.stats.processed(&acknowledgement);
        }
        let (answer, digest) = match received.pop() {
            Some(only) if received.is_empty() => only,
            last => {
                let answer = merge(received.into_iter().chain(last).map(|(answer, _)| answer))?;
                let digest = Digest::of(answer.document()?.root(), operation == Operation::GetAttributes);
                (answer, digest)
            }
        };
        let hint = normalized.cluster.or(digest.cluster);
        Ok(RawEnvelope {
            response: answer.into_text(),
            target_cookie: TargetCookie::of_visitor(
                &normalized.session_id,
                digest.tnt_id.as_deref(),
                self.clock.now_ms(),
            ),
            location_hint_cookie: hint.as_deref().map(TargetCookie::of_location_hint),
            gathered: digest.gathered,
            meta: Meta {
                decisioning_method: DecisioningMethod::ServerSide.as_str(),
                notifications: has_notifications.then_some(acknowledgement),
                ..Default::default()
            },
            request: request.unwrap_or_default(),
            visitor_state: normalized.visitor_state,
            attributes: digest.attributes,
        })
    }

    /// Delivers one part and reads its answer.
    #[allow(clippy::too_many_arguments, reason = "one part of `execute`, cut out so that each can be read")]
    fn send_part(
        &self,
        shipment: &Shipment<'_>,
        control: &Arc<CallControl>,
        operation: Operation,
        is_first: bool,
        part: &Part,
        normalized: &Normalized,
        acknowledgement: &mut Acknowledgement,
    ) -> Result<(Answer, Digest), Undelivered> {
        let answer = deliver(&*self.transport, shipment, &self.config.retry, control, &self.stats).map_err(
            |mut undelivered| {
                undelivered.error.details_mut().request_id = Some(part.request_id.clone());
                undelivered
            },
        )?;
        let (status, attempts) = (answer.status, answer.attempts);
        let unreadable = |mut error: TargetError| {
            self.stats.failed(Phase::Response);
            let details = error.details_mut();
            details.http_status = Some(status);
            details.request_id = Some(part.request_id.clone());
            details.attempts = attempts;
            details.elapsed_ms = control.elapsed().as_millis() as u64;
            Undelivered { error, fate: Fate::Unknown }
        };
        let answer = Answer::new(answer.body).map_err(unreadable)?;
        let document = answer.document().map_err(unreadable)?;
        let response = document.root();
        if is_first {
            let duration = control.elapsed().as_secs_f64() * 1000.0;
            self.telemetry.record(&part.request_id, response, self.clock.now_ms(), duration, normalized.features);
        }
        acknowledge(response, &part.notification_ids, acknowledgement);
        let digest = Digest::of(response, operation == Operation::GetAttributes);
        drop(document);
        Ok((answer, digest))
    }

    fn report_failure(&self, error: TargetError, outcome: NotificationOutcome, operation: Operation) -> TargetError {
        self.stats.notifications(&outcome);
        let unprocessed: Vec<String> =
            [&outcome.rejected, &outcome.unknown, &outcome.not_sent].into_iter().flatten().cloned().collect();
        let error = error.with_result(PartialResult::Notifications(outcome));
        if operation == Operation::SendNotifications {
            self.events.emit("send_notification_error", |event| {
                event.raw("error", &error.to_json());
                event.strings("ids", &unprocessed);
            });
        }
        error
    }

    /// A waiting asynchronous call may have been ended.
    pub(crate) fn poke(&self) {
        self.executor.poke();
    }

    pub(crate) fn completions(&self) -> &Completions {
        &self.completions
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The client's own location hint: the configured one, or the one that the edge has told.
    pub(crate) fn location_hint(&self) -> Option<&str> {
        self.config.target_location_hint.as_deref().or_else(|| self.on_device.as_ref()?.location_hint())
    }

    /// Downloads have no use any more once a close begins.
    fn stop_background(&self) {
        if let Some(on_device) = &self.on_device {
            on_device.stop();
        }
    }

    fn end_calls(&self, timeout: Option<Duration>) {
        self.events.begin_close();
        self.stop_background();
        self.calls.close(timeout);
        self.executor.poke();
        // Whoever was ended returns at once; a callback of the host may take longer.
        self.calls.wait_empty(Some(Duration::from_millis(100)));
        self.transport.shut_down();
        self.executor.stop();
        self.completions.wake();
        self.events.close();
    }
}

/// What became of the notifications of a call whose current part failed.
fn outcome_of_failure(
    fate: Fate,
    ids: Vec<String>,
    acknowledgement: Acknowledgement,
    rest: impl Iterator<Item = Part>,
) -> NotificationOutcome {
    let mut outcome = NotificationOutcome { acknowledged: acknowledgement.acknowledged, ..Default::default() };
    outcome.not_sent = acknowledgement.unacknowledged;
    match fate {
        Fate::NotSent => outcome.not_sent.extend(ids),
        Fate::Refused => outcome.rejected = ids,
        Fate::Unknown => outcome.unknown = ids,
    }
    outcome.not_sent.extend(rest.flat_map(|part| part.notification_ids));
    outcome
}
