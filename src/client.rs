//! The client: the typed and the JSON form of every capability, and how its parts begin and end.

use std::sync::Arc;
use std::time::Duration;

use crate::builder::ClientBuilder;
use crate::config::ClientConfig;
use crate::decisioning::mbox::{MboxDecision, MboxQuery};
use crate::decisioning::on_device::OnDevice;
use crate::decisioning::source::{ArtifactRefresh, Source};
use crate::delivery::limits::mbox_names as mbox_names_of;
use crate::enqueue::Enqueued;
use crate::envelope::{Attributes, Offers, RawEnvelope};
use crate::error::{DeliveryCounts, TargetError};
use crate::events::EventCallback;
use crate::log;
use crate::options::{CallOptions, Operation, parse_mbox_names};
use crate::pending::{After, PendingAttributes, PendingOffers, then};
use crate::per_process::{Current, PerProcess};
use crate::process;
use crate::shared::{Connected, Shared};
use crate::stats::ClientStats;
use crate::transport::Transport;
use crate::transport::http::{HttpSettings, HttpTransport};
use crate::transport::tcp::ConnectionCounts;

/// A client of Target's Delivery API for one client code and organization.
///
/// Every method may be called from any thread at any time. Dropping the client closes it (waiting
/// `close_timeout` at the most) and joins its threads.
#[doc(alias = "target_client")]
pub struct TargetClient {
    config: Arc<ClientConfig>,
    connect: Box<Connect>,
    shared: PerProcess<Shared>,
}

/// Opens a transport of its own for each process.
type Connect = dyn Fn() -> Connected + Send + Sync;

impl std::fmt::Debug for TargetClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TargetClient").field("client", &self.config.client).finish_non_exhaustive()
    }
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
        let settings = HttpSettings::read(&config)?;
        Self::connected_by(config, move |config| {
            let transport = HttpTransport::open(config, &settings);
            let connections = Arc::clone(transport.counts());
            Connected { transport: Arc::new(transport), connections }
        })
    }

    /// The seam for tests that script the edge. The configuration is a valid one.
    pub(crate) fn with_transport(
        config: ClientConfig,
        transport: Arc<dyn Transport>,
        connections: Arc<ConnectionCounts>,
    ) -> Result<Self, TargetError> {
        Self::connected_by(config, move |_| Connected {
            transport: Arc::clone(&transport),
            connections: Arc::clone(&connections),
        })
    }

    fn connected_by(
        mut config: ClientConfig,
        connect: impl Fn(&ClientConfig) -> Connected + Send + Sync + 'static,
    ) -> Result<Self, TargetError> {
        process::watch_forks();
        let generation = process::generation();
        // The artifact keeps its text itself; here it would stay as long as the client.
        let payload = config.artifact_payload.take();
        let config = Arc::new(config);
        let of_connect = Arc::clone(&config);
        let connect = Box::new(move || connect(&of_connect));
        let shared = Arc::new(Shared::begin(&config, payload, connect())?);
        if let Some(on_device) = &shared.on_device {
            // That it is not ready in time is no error: the host asks or waits.
            let _ = on_device.wait_ready(Some(config.maximum_wait_ready));
        }
        Ok(TargetClient { config, connect, shared: PerProcess::new(generation, shared) })
    }

    /// What takes part in calls of this process. Costs one atomic load, except in the first call of a forked child,
    /// which starts everything again.
    #[inline]
    fn shared(&self) -> Result<Current<'_, Shared>, TargetError> {
        let mut is_new = false;
        let shared = self.shared.get(process::generation(), |inherited| {
            // A logger that used the client now would wait for itself.
            let _muted = log::mute();
            is_new = true;
            Shared::begin_in_child(&self.config, inherited, (self.connect)())
        })?;
        if is_new {
            log::info(format_args!("a forked child has started a client of its parent's again"));
        }
        Ok(shared)
    }

    /// The artifact's source, for those who put one into force by hand.
    pub(crate) fn with_source<R>(&self, look: impl FnOnce(Option<&Source>) -> R) -> Result<R, TargetError> {
        Ok(look(self.shared()?.on_device.as_ref().map(|on_device| &on_device.source)))
    }

    /// Asks for offers: `execute` shows them now, `prefetch` later. Blocks until the edge has answered.
    ///
    /// # Errors
    /// Every [`TargetError`] but those of queue and storage.
    #[doc(alias = "target_get_offers")]
    pub fn get_offers(&self, options: &CallOptions) -> Result<Offers, TargetError> {
        self.shared()?.run(Operation::GetOffers, &[], &options.to_json()?)?.to_offers()
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
        let shared = self.shared()?;
        let names = shared.judged_names(names)?;
        shared.run(Operation::GetAttributes, &names, &options.to_json()?)?.to_attributes()
    }

    /// Reports what visitors saw and clicked. Blocks until the edge has answered; more than 50 notifications
    /// go out in parts, in order.
    ///
    /// # Errors
    /// As [`TargetClient::get_offers`]; where anything may have been sent, the error's `result` says what
    /// became of each notification.
    #[doc(alias = "target_send_notifications")]
    pub fn send_notifications(&self, options: &CallOptions) -> Result<Offers, TargetError> {
        self.shared()?.run(Operation::SendNotifications, &[], &options.to_json()?)?.to_offers()
    }

    /// [`TargetClient::get_offers`] on a thread of the library. A result that nobody takes by the handle waits
    /// for [`TargetClient::next_completion`].
    ///
    /// # Errors
    /// What can be judged before anything is sent; [`TargetError::QueueFull`] when too many calls wait.
    #[doc(alias = "target_get_offers_async")]
    pub fn get_offers_async(&self, options: &CallOptions) -> Result<PendingOffers, TargetError> {
        self.shared()?
            .start(Operation::GetOffers, &[], &options.to_json()?, After::Completion, &|_| {})
            .map(PendingOffers)
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
        let shared = self.shared()?;
        let names = shared.judged_names(names)?;
        shared
            .start(Operation::GetAttributes, &names, &options.to_json()?, After::Completion, &|_| {})
            .map(PendingAttributes)
    }

    /// [`TargetClient::send_notifications`] on a thread of the library.
    ///
    /// # Errors
    /// As [`TargetClient::get_offers_async`].
    #[doc(alias = "target_send_notifications_async")]
    pub fn send_notifications_async(&self, options: &CallOptions) -> Result<PendingOffers, TargetError> {
        self.shared()?
            .start(Operation::SendNotifications, &[], &options.to_json()?, After::Completion, &|_| {})
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
        self.shared()?.start(Operation::SendNotifications, &[], &options.to_json()?, after, &|_| {}).map(PendingOffers)
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
        self.shared()?.start(Operation::GetOffers, &[], &options.to_json()?, after, &|_| {}).map(PendingOffers)
    }

    /// [`TargetClient::get_offers`] from options as JSON to the result as JSON: what the C ABI does. Nothing of
    /// the answer is interpreted that need not be.
    ///
    /// # Errors
    /// As [`TargetClient::get_offers`], and [`TargetError::InvalidJson`].
    pub fn get_offers_json(&self, options: &str) -> Result<String, TargetError> {
        self.shared()?.run(Operation::GetOffers, &[], options).map(|envelope| envelope.to_json())
    }

    /// [`TargetClient::get_attributes`] as [`TargetClient::get_offers_json`] does it. `mbox_names` is a JSON
    /// array of strings.
    ///
    /// # Errors
    /// As [`TargetClient::get_offers_json`].
    pub fn get_attributes_json(&self, mbox_names: &str, options: &str) -> Result<String, TargetError> {
        let shared = self.shared()?;
        let names = shared.judged_names(parse_mbox_names(mbox_names))?;
        shared.run(Operation::GetAttributes, &names, options).map(|envelope| envelope.to_json())
    }

    /// [`TargetClient::send_notifications`] as [`TargetClient::get_offers_json`] does it.
    ///
    /// # Errors
    /// As [`TargetClient::get_offers_json`].
    pub fn send_notifications_json(&self, options: &str) -> Result<String, TargetError> {
        self.shared()?.run(Operation::SendNotifications, &[], options).map(|envelope| envelope.to_json())
    }

    /// Decides one mbox on this machine, from texts instead of a request: about as fast as a look-up. Needs an
    /// artifact, whatever the method of calls. Sends and counts nothing; no address is looked up.
    ///
    /// # Errors
    /// [`TargetError::InvalidOptions`] without an mbox or a visitor id, [`TargetError::NotReady`] without an
    /// artifact, [`TargetError::Closed`] after close.
    pub fn decide_mbox(&self, query: &MboxQuery<'_>) -> Result<MboxDecision, TargetError> {
        let shared = self.shared()?;
        if shared.calls.is_closed() {
            return Err(TargetError::closed());
        }
        shared.decide_mbox(query)
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
        begun: &dyn Fn(&Arc<crate::pending::AsyncCall>),
    ) -> Result<Arc<crate::pending::AsyncCall>, TargetError> {
        let shared = self.shared()?;
        let names = mbox_names.map_or(Ok(Vec::new()), |text| shared.judged_names(parse_mbox_names(text)))?;
        shared.start(operation, &names, options, after, begun)
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
        let shared = self.shared()?;
        let call = shared.completions.next(timeout, &shared.calls)?;
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
        self.shared()?.edge.events.next(timeout)
    }

    /// Has events handed to a callback, those buffered first, on a thread of the library; `None` removes it.
    /// When this returns, the old callback no longer runs (called from inside it: not again).
    ///
    /// # Errors
    /// [`TargetError::Internal`] when no thread can be started.
    #[doc(alias = "target_client_on_event")]
    pub fn on_event(&self, callback: Option<Arc<EventCallback>>) -> Result<(), TargetError> {
        self.shared()?.edge.events.set_callback(callback)
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
        let shared = self.shared()?;
        if shared.calls.is_closed() {
            return Err(TargetError::closed());
        }
        shared.on_device.as_ref().map_or(Ok(()), |on_device| on_device.wait_ready(timeout))
    }

    /// Whether the client can decide: a server-side one always, others once they have an artifact.
    pub fn is_ready(&self) -> bool {
        self.shared().is_ok_and(|shared| shared.on_device.as_ref().is_none_or(OnDevice::is_ready))
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
        let shared = self.shared()?;
        if shared.calls.is_closed() {
            return Err(TargetError::closed());
        }
        match &shared.on_device {
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
        self.shared().map(|shared| shared.client_stats()).unwrap_or_default()
    }

    /// Hands notifications to the background queue and returns: all of them are taken, or none. They go out together
    /// with others of their session, again until they are acknowledged, and each ends as acknowledged, rejected or
    /// dropped, which events and [`TargetClient::stats`] tell. With [`QueueConfig::spool_dir`](crate::QueueConfig) they
    /// survive the process. The request's `requestId` and the option `timeout` are not used.
    ///
    /// # Errors
    /// Nothing was taken: [`TargetError::InvalidOptions`], [`TargetError::QueueFull`], [`TargetError::Storage`] when the
    /// spool cannot be written, [`TargetError::Closed`].
    #[doc(alias = "target_enqueue_notifications")]
    pub fn enqueue_notifications(&self, options: &CallOptions) -> Result<Enqueued, TargetError> {
        self.shared()?.enqueue(&options.to_json()?)
    }

    /// [`TargetClient::enqueue_notifications`] as [`TargetClient::get_offers_json`] does it.
    ///
    /// # Errors
    /// As [`TargetClient::enqueue_notifications`], and [`TargetError::InvalidJson`].
    pub fn enqueue_notifications_json(&self, options: &str) -> Result<String, TargetError> {
        self.shared()?.enqueue(options).map(|enqueued| enqueued.to_json())
    }

    /// Delivers what is pending in the background queue now, what is in flight included, and returns what became of it:
    /// without lingering, and with one more attempt of what waits for another. `None` waits as long as it takes;
    /// [`Duration::ZERO`] only looks.
    ///
    /// # Errors
    /// [`TargetError::Pending`] with a rest, the counts in its [`result`](crate::ErrorDetails::result);
    /// [`TargetError::WouldDeadlock`] on a thread of the library; [`TargetError::Closed`] after close.
    #[doc(alias = "target_flush")]
    pub fn flush(&self, timeout: Option<Duration>) -> Result<DeliveryCounts, TargetError> {
        if process::on_library_thread() && timeout != Some(Duration::ZERO) {
            return Err(TargetError::would_deadlock("flush"));
        }
        let shared = self.shared()?;
        if shared.calls.is_closed() {
            return Err(TargetError::closed());
        }
        complete("flush: notifications still pending", true, shared.notifications.flush(timeout))
    }

    /// Ends the client: new calls are refused, those in flight may end by the deadline and are ended after it. What is
    /// pending in the background queue is flushed; the rest stays in the spool, or is dropped where there is none.
    /// A second or parallel close waits likewise and has the same counts. `None` waits as long as it takes.
    ///
    /// # Errors
    /// [`TargetError::Pending`] when notifications are left in the spool, the counts in its
    /// [`result`](crate::ErrorDetails::result): the client is closed all the same. [`TargetError::WouldDeadlock`] on a
    /// thread of the library.
    #[doc(alias = "target_client_close")]
    pub fn close(&self, timeout: Option<Duration>) -> Result<DeliveryCounts, TargetError> {
        if process::on_library_thread() {
            return Err(TargetError::would_deadlock("close"));
        }
        // A child that has not used the client has nothing to end, and starts nothing for it.
        let shared = self.shared.get(process::generation(), |_| {
            let _muted = log::mute();
            Shared::closed_in_child(&self.config, (self.connect)())
        })?;
        complete("closed; left in the spool for the next client", false, shared.end_calls(timeout))
    }
}

/// Counts with a rest are an error.
fn complete(message: &str, retryable: bool, counts: DeliveryCounts) -> Result<DeliveryCounts, TargetError> {
    if counts.pending == 0 { Ok(counts) } else { Err(TargetError::undelivered(message, retryable, counts)) }
}

impl Drop for TargetClient {
    fn drop(&mut self) {
        // A child that has not used the client leaves its parent's alone.
        if let Some(shared) = self.shared.made(process::generation()) {
            shared.end();
        }
    }
}
