//! The client: takes a call from its options to its result and owns everything that takes part.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::builder::ClientBuilder;
use crate::calls::Calls;
use crate::clock::Clock;
use crate::config::{ClientConfig, DecisioningMethod};
use crate::decisioning::mbox::{MboxDecision, MboxQuery};
use crate::decisioning::on_device::OnDevice;
use crate::decisioning::source::{ArtifactRefresh, Source, Surroundings};
use crate::delivery::limits::mbox_names as mbox_names_of;
use crate::delivery::normalize::{Circumstances, Normalized, normalize};
use crate::edge::Edge;
use crate::envelope::{Attributes, Offers, RawEnvelope};
use crate::error::{DeliveryCounts, Phase, TargetError};
use crate::events::{EventCallback, Events};
use crate::executor::{Executor, Job};
use crate::json::{Document, Strictness, Value};
use crate::local_decisions::{GeoQuery, Place, Route};
use crate::notifications::sender::ImpressionSender;
use crate::options::{CallOptions, Operation, ParsedOptions, parse_mbox_names};
use crate::pending::{After, AsyncCall, Completions, PendingAttributes, PendingOffers, then};
use crate::process;
use crate::stats::{ClientStats, Stats};
use crate::transport::Transport;
use crate::transport::control::CallControl;
use crate::transport::http::HttpTransport;
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
    pub config: ClientConfig,
    pub clock: Clock,
    pub edge: Arc<Edge>,
    pub impressions: ImpressionSender,
    pub on_device: Option<OnDevice>,
    connections: Arc<ConnectionCounts>,
    calls: Calls,
    executor: Executor,
    completions: Arc<Completions>,
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
        mut config: ClientConfig,
        transport: Arc<dyn Transport>,
        connections: Arc<ConnectionCounts>,
    ) -> Result<Self, TargetError> {
        let completions = Arc::new(Completions::default());
        let clock = Clock { fixed_ms: config.fixed_clock_ms };
        let events = Arc::new(Events::new(config.event_buffer));
        // The artifact keeps its text itself; here it would stay as long as the client.
        let payload = config.artifact_payload.take();
        let edge = Arc::new(Edge::new(&config, transport, Arc::default(), events));
        let on_device = match config.decisioning_method {
            DecisioningMethod::ServerSide => {
                edge.events.emit("client_ready", |_| {});
                None
            }
            DecisioningMethod::OnDevice | DecisioningMethod::Hybrid => {
                let surroundings = Surroundings {
                    transport: Arc::clone(&edge.transport),
                    events: Arc::clone(&edge.events),
                    clock,
                    readiness: Arc::default(),
                };
                Some(OnDevice::start(&config, payload, &edge.base_url, surroundings, &edge.stats)?)
            }
        };
        let shared = Shared {
            clock,
            impressions: ImpressionSender::new(&config, &edge),
            on_device,
            edge,
            connections,
            calls: Calls::new(&completions),
            executor: Executor::default(),
            completions,
            config,
        };
        let client = TargetClient { shared: Arc::new(shared) };
        if let Some(on_device) = &client.shared.on_device {
            // That it is not ready in time is no error: the host asks or waits.
            let _ = on_device.wait_ready(Some(client.shared.config.maximum_wait_ready));
        }
        Ok(client)
    }

    /// The artifact's source, for those who put one into force by hand.
    pub(crate) fn source(&self) -> Option<&Source> {
        self.shared.on_device.as_ref().map(|on_device| &on_device.source)
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

    /// Decides one mbox on this machine, from texts instead of a request: about as fast as a look-up. Needs an
    /// artifact, whatever the method of calls. Sends and counts nothing; no address is looked up.
    ///
    /// # Errors
    /// [`TargetError::InvalidOptions`] without an mbox or a visitor id, [`TargetError::NotReady`] without an
    /// artifact, [`TargetError::Closed`] after close.
    pub fn decide_mbox(&self, query: &MboxQuery<'_>) -> Result<MboxDecision, TargetError> {
        if self.shared.calls.is_closed() {
            return Err(TargetError::closed());
        }
        self.shared.decide_mbox(query)
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
        self.shared.edge.events.next(timeout)
    }

    /// Has events handed to a callback, those buffered first, on a thread of the library; `None` removes it.
    /// When this returns, the old callback no longer runs (called from inside it: not again).
    ///
    /// # Errors
    /// [`TargetError::Internal`] when no thread can be started.
    #[doc(alias = "target_client_on_event")]
    pub fn on_event(&self, callback: Option<Arc<EventCallback>>) -> Result<(), TargetError> {
        self.shared.edge.events.set_callback(callback)
    }

    /// Waits until the client can decide: for its first artifact, and within the time for its location hint. A
    /// server-side client is ready at once. `None` waits as long as it takes.
    ///
    /// # Errors
    /// [`TargetError::Pending`] when there is no artifact yet, [`TargetError::WouldDeadlock`] on a thread of the
    /// library, unless the timeout is zero: that only looks; [`TargetError::Closed`] after close and when it comes
    /// meanwhile.
    #[doc(alias = "target_client_wait_ready")]
    pub fn wait_ready(&self, timeout: Option<Duration>) -> Result<(), TargetError> {
        if timeout != Some(Duration::ZERO) && process::on_library_thread() {
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

    /// Downloads the artifact now and blocks until that is over, two minutes at the most, and behind a
    /// download that runs already. What is in force stays so unless a good one came.
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
        let mut stats = self.shared.edge.stats.read();
        stats.in_flight = self.shared.calls.count() as u64;
        stats.connections_open = self.shared.connections.open.load(Ordering::Relaxed);
        stats.connections_opened = self.shared.connections.opened.load(Ordering::Relaxed);
        stats.connections_reused = self.shared.connections.reused.load(Ordering::Relaxed);
        stats.queue = self.shared.impressions.stats();
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
        Ok(self.shared.end_calls(timeout))
    }

    fn run(&self, operation: Operation, names: &[String], options: &str) -> Result<RawEnvelope, TargetError> {
        let shared = &self.shared;
        shared.edge.stats.call(operation);
        let document = shared.parsed(options)?;
        let prepared = shared.prepare(operation, names, document.root())?;
        let request = prepared.request;
        if prepared.is_immediate() {
            // Nothing to wait for, and so nothing that could be ended.
            return shared.execute(prepared.call, request, None);
        }
        let control = Arc::new(CallControl::new(prepared.call.timeout));
        let _in_flight = match shared.calls.begin(&control) {
            Ok((in_flight, _)) => in_flight,
            Err(closed) => return Err(shared.withdraw(prepared.call, closed)),
        };
        shared.execute(prepared.call, request, Some(&control))
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
        shared.edge.stats.call(operation);
        let document = shared.parsed(options)?;
        let call = shared.prepare(operation, names, document.root())?.call;
        let control = Arc::new(CallControl::new(call.timeout));
        let (in_flight, id) = match shared.calls.begin(&control) {
            Ok(begun) => begun,
            Err(closed) => return Err(shared.withdraw(call, closed)),
        };
        let handle = AsyncCall::new(id, Arc::clone(&control), Arc::downgrade(shared));
        let telemetry = call.normalized.telemetry.clone();
        let (job_shared, job_handle) = (Arc::clone(shared), Arc::clone(&handle));
        // A decision reads the request itself; what the edge decides is written already.
        let options = call.is_decided_here().then(|| options.to_owned());
        let run = move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let document = options.as_deref().map(|options| job_shared.parsed(options)).transpose()?;
                let request = document.as_ref().and_then(|document| ParsedOptions::request_of(document.root()));
                job_shared.execute(call, request, Some(job_handle.control()))
            }))
            .unwrap_or_else(|_| Err(TargetError::internal("a panic was caught in the call; please report it")));
            job_handle.finish(outcome, after, &job_shared);
            drop(in_flight);
        };
        begun(&handle);
        match shared.executor.submit(Job { control, run: Box::new(run) }) {
            Ok(()) => Ok(handle),
            Err(error) => {
                shared.edge.telemetry.put_back(telemetry);
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
            shared.impressions.stop(false);
            shared.completions.wake();
            shared.edge.events.end();
            return;
        }
        shared.end_calls(Some(shared.config.close_timeout));
        shared.executor.stop();
        shared.executor.join();
        shared.impressions.stop(true);
        if let Some(on_device) = &shared.on_device {
            on_device.join();
        }
        shared.edge.events.stop();
    }
}

/// A call whose options have been judged, with the request as the caller's text has it.
struct Prepared<'d> {
    call: Call,
    request: Option<Value<'d>>,
}

impl Prepared<'_> {
    /// Whether the call is over before anybody could want to end it.
    fn is_immediate(&self) -> bool {
        matches!(&self.call.place, Place::Here { look_up: None, .. })
    }
}

/// A call that is ready to be made.
pub(crate) struct Call {
    pub operation: Operation,
    pub normalized: Normalized,
    pub place: Place,
    pub timeout: Duration,
    pub retry_clicks: bool,
}

impl Call {
    fn is_decided_here(&self) -> bool {
        matches!(self.place, Place::Here { .. })
    }
}

impl Shared {
    /// Names that are refused make a refused call.
    fn judged_names(&self, names: Result<Vec<String>, TargetError>) -> Result<Vec<String>, TargetError> {
        if names.is_err() {
            self.edge.stats.call(Operation::GetAttributes);
            self.edge.stats.failed(Phase::Validate);
        }
        names
    }

    fn parsed<'o>(&self, options: &'o str) -> Result<Document<'o>, TargetError> {
        Document::parse(options, Strictness::Options).map_err(|error| {
            self.edge.stats.failed(Phase::Validate);
            TargetError::invalid_json("options", &error)
        })
    }

    fn prepare<'d>(
        &self,
        operation: Operation,
        names: &[String],
        options: Value<'d>,
    ) -> Result<Prepared<'d>, TargetError> {
        let prepared = self.judge(operation, names, options);
        if let Err(error) = &prepared {
            self.edge.stats.failed(error.details().phase);
        }
        prepared
    }

    fn judge<'d>(
        &self,
        operation: Operation,
        names: &[String],
        options: Value<'d>,
    ) -> Result<Prepared<'d>, TargetError> {
        if self.calls.is_closed() {
            return Err(TargetError::closed());
        }
        let options = ParsedOptions::read(options, operation)?;
        let method = match operation {
            Operation::SendNotifications => DecisioningMethod::ServerSide,
            _ => options.decisioning_method.unwrap_or(self.config.decisioning_method),
        };
        let route = self.route(method, options.request, names);
        let circumstances = Circumstances {
            now_ms: self.clock.now_ms(),
            location_hint: self.location_hint(),
            decided_here: matches!(route, Route::Here(..)),
        };
        let normalized = normalize(&self.config, circumstances, &options, operation, names, &self.edge.telemetry)?;
        let place = match route {
            Route::NotReady(error) => {
                self.edge.telemetry.put_back(normalized.telemetry);
                return Err(error);
            }
            Route::Edge(need, reason) => Place::Edge(need, reason),
            Route::Here(current, need) => {
                let look_up = (*current).as_ref().and_then(|loaded| GeoQuery::of(&loaded.artifact, options.request));
                Place::Here { current, need, look_up }
            }
        };
        Ok(Prepared {
            request: options.request,
            call: Call {
                operation,
                normalized,
                place,
                timeout: options.timeout.unwrap_or(self.config.timeout),
                retry_clicks: options.retry_clicks.unwrap_or(self.config.retry_clicks),
            },
        })
    }

    /// Gives back what a call took that is not made after all.
    fn withdraw(&self, call: Call, error: TargetError) -> TargetError {
        self.edge.telemetry.put_back(call.normalized.telemetry);
        error
    }

    /// Makes a call; without a control only one that is over at once.
    fn execute(
        &self,
        call: Call,
        request: Option<Value<'_>>,
        control: Option<&Arc<CallControl>>,
    ) -> Result<RawEnvelope, TargetError> {
        let operation = call.operation;
        let result = match (&call.place, control) {
            (Place::Here { .. }, control) => self.decide_here(call, request, control),
            (Place::Edge(..), Some(control)) => self.send_parts(call, control),
            (Place::Edge(..), None) => Err(TargetError::internal("a request without a deadline")),
        };
        match &result {
            Ok(_) => crate::log::debug(format_args!("{}: done", operation.name())),
            Err(error) => {
                let elapsed = control.map_or(0, |control| control.elapsed().as_millis());
                crate::log::warn(format_args!("{}: failed after {elapsed} ms: {error}", operation.name()));
            }
        }
        result
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
    fn stop_background(&self) {
        if let Some(on_device) = &self.on_device {
            on_device.stop();
        }
    }

    fn end_calls(&self, timeout: Option<Duration>) -> DeliveryCounts {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.edge.events.begin_close();
        self.stop_background();
        self.calls.close(timeout);
        self.executor.poke();
        // Whoever was ended returns at once; a callback of the host may take longer.
        self.calls.wait_empty(Some(Duration::from_millis(100)));
        // After the calls: the last of them may have been a decision.
        let counts = self.impressions.close(deadline);
        self.edge.transport.shut_down();
        self.executor.stop();
        self.completions.wake();
        self.edge.events.close();
        counts
    }
}
