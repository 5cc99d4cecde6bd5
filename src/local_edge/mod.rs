//! A Target edge on 127.0.0.1, for tests and for people without an account.
//!
//! [`LocalEdge`] serves `POST /rest/v1/delivery` from a small [`Scenario`], issues event tokens and states,
//! validates requests and notifications as the API's specification says, counts impressions, clicks, visits and
//! orders, and shows them at `/report` (JSON, or a page for a browser). [`Fault`]s make it misbehave on demand.
//! Requests are read by code of its own, not by this crate's models, so that an error in those does not hide
//! itself. It speaks HTTP only, one thread per connection; all methods may be called from any thread.
//!
//! For on-device decisioning it also is the content network: with [an artifact](LocalEdgeBuilder::artifact) it serves
//! `/{client}/{environment}/v1/[{property}/]rules.json` (and `.bin`) with `ETag` and 304, and `/v1/geo`. Delivery
//! requests for what that artifact has rules for are then decided from it by the library's own core, and
//! notifications with its tokens are counted by activity, experience and mbox.
//!
//! ```
//! use adobe_target::local_edge::{Fault, LocalEdge};
//!
//! # fn main() -> std::io::Result<()> {
//! let edge = LocalEdge::start()?;
//! edge.fault(Fault::status(503));
//! // A client with `server_domain` set to `edge.host()` and `secure` set to false now gets 503 once.
//! assert_eq!(edge.report().impressions.total, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Other processes
//!
//! The program `target-local-edge` runs it alone. Over HTTP one reaches:
//!
//! | | |
//! |---|---|
//! | `GET /report`, `GET /report.json` | the [`Report`]; `?ids=0` leaves the notification ids out |
//! | `POST /control/faults` | a list of [`Fault`]s in their JSON form, to the end of the queue; answers `{"waiting":n}` |
//! | `DELETE /control/faults` | forgets waiting faults and the default replies |
//! | `POST /control/default_reply` | one fault for all requests of its route that find no other waiting; `null` ends them all |
//! | `POST /control/artifact` | serves the artifact in the body; `GET` tells what is served, `DELETE` serves none |
//! | `GET /control/requests` | the recorded requests |
//! | `DELETE /control/requests` | forgets them |
//! | `POST /control/reset` | forgets counts and recorded requests |
//!
//! Answers of the controls are JSON; 400 with `{"status":400,"message":…}` names the member that is wrong.

mod answer;
mod artifact;
mod body;
mod cdn;
mod circumstances;
mod decide;
mod delivery;
mod faults;
mod fields;
mod geo;
mod gzip;
mod harm;
mod http;
mod issued;
mod ledger;
mod query;
mod recorded;
mod report;
mod routes;
mod scenario;
mod server;
mod subject;
mod tokens;
mod validate;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use artifact::UnusableArtifact;
pub use faults::{Fault, Route, WrongEtag};
pub use recorded::RecordedRequest;
pub use report::{ActivityCounts, ProcessedNotifications, Report, RouteCounts, Tally};
pub use scenario::{Scenario, ScenarioError};

use artifact::Artifacts;
use faults::Faults;
use http::Limits;
use ledger::Ledger;
use recorded::Recorder;
use routes::{Edge, route_of};
use server::{Handler, Server, Shared};

const MAX_BODY: usize = 60 * 1024 * 1024;
const MAX_CONCURRENT: usize = 100;
const MAX_CONNECTIONS: usize = 512;
/// The organization of this crate's examples.
const ORGANIZATION: &str = "0DD934B85278256B0A490D44@AdobeOrg";

/// A running edge. Dropping it closes all its connections and waits for its threads.
pub struct LocalEdge {
    server: Server,
    edge: Arc<Edge>,
}

impl LocalEdge {
    /// Starts an edge with the built-in scenario on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be bound or no thread started.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// An edge to be configured.
    pub fn builder() -> LocalEdgeBuilder {
        LocalEdgeBuilder::default()
    }

    /// Where the edge listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Host and port, as a client's `server_domain` wants them.
    pub fn host(&self) -> String {
        self.addr().to_string()
    }

    /// The URL of a path on this edge.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr())
    }

    /// What was counted so far, with the ids of all notifications.
    pub fn report(&self) -> Report {
        self.edge.report(true)
    }

    /// Forgets all counts, and which impressions were seen. Recorded requests and faults stay.
    pub fn reset(&self) {
        self.edge.ledger.reset(&self.edge.scenario);
    }

    /// Waits until a report satisfies the condition; whether one did in time. The reports it sees have no
    /// notification ids.
    pub fn wait_until(&self, time: Duration, condition: impl Fn(&Report) -> bool) -> bool {
        self.edge.ledger.wait(time, || self.edge.report(false), condition)
    }

    /// Serves this artifact from now on and decides from it. Takes effect at once, between two requests; the tokens
    /// of former artifacts stay valid. The same text again changes nothing.
    ///
    /// # Errors
    /// When the text is no JSON object. Every object is served as it is, usable or not.
    pub fn set_artifact(&self, json: impl Into<String>) -> Result<(), UnusableArtifact> {
        self.edge.artifacts.set(json.into()).map(drop)
    }

    /// Serves any bytes in the artifact's place from now on, with their entity tags: a page, half an artifact, one
    /// that is nested deeper than JSON readers like. What can be read of them is known as that of
    /// [`set_artifact`](Self::set_artifact) is.
    pub fn set_artifact_bytes(&self, bytes: impl Into<Vec<u8>>) {
        self.edge.artifacts.set_bytes(bytes.into());
    }

    /// Serves no artifact: requests for it get 404, and delivery requests are decided from the scenario alone.
    pub fn remove_artifact(&self) {
        self.edge.artifacts.remove();
    }

    /// The JSON text of the built-in artifact, to start one's own from.
    pub fn default_artifact_json() -> &'static str {
        artifact::DEFAULT
    }

    /// Puts a fault at the end of the queue from which each delivery request takes one.
    pub fn fault(&self, fault: Fault) {
        self.fault_on(Route::Delivery, fault);
    }

    /// Puts faults at the end of the queue of delivery requests, in their order.
    pub fn faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults_on(Route::Delivery, faults);
    }

    /// Puts a fault at the end of the queue of a route.
    pub fn fault_on(&self, route: Route, fault: Fault) {
        self.faults_on(route, [fault]);
    }

    /// Puts faults at the end of the queue of a route, in their order.
    pub fn faults_on(&self, route: Route, faults: impl IntoIterator<Item = Fault>) {
        self.edge.faults.push(faults.into_iter().map(|fault| (route, fault)));
    }

    /// How many faults wait for a request, on all routes.
    pub fn waiting_faults(&self) -> usize {
        self.edge.faults.waiting()
    }

    /// How many faults wait for a request of this route.
    pub fn waiting_faults_on(&self, route: Route) -> usize {
        self.edge.faults.waiting_on(route)
    }

    /// Forgets waiting faults and the default replies of all routes.
    pub fn clear_faults(&self) {
        self.edge.faults.clear();
    }

    /// Puts a canned JSON answer at the end of the queue of delivery requests; [`Fault::Respond`] has more to say.
    pub fn reply_with(&self, status: u16, body: impl Into<Vec<u8>>) {
        self.fault(Fault::respond(status, body));
    }

    /// What every delivery request gets that finds no fault waiting; `None` for plain answers.
    pub fn set_default_reply(&self, reply: Option<Fault>) {
        self.set_default_reply_on(Route::Delivery, reply);
    }

    /// What every request of a route gets that finds no fault waiting; `None` for plain answers.
    pub fn set_default_reply_on(&self, route: Route, reply: Option<Fault>) {
        self.edge.faults.set_default(route, reply);
    }

    /// The requests that came, oldest first: those of all routes and those for what is not served, but not those
    /// for the report and the controls.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.edge.recorder.all()
    }

    /// The requests of one route that came, oldest first.
    pub fn requests_on(&self, route: Route) -> Vec<RecordedRequest> {
        let mut requests = self.edge.recorder.all();
        requests.retain(|request| route_of(&request.path) == Some(route));
        requests
    }

    /// The same as [`requests`](Self::requests), and forgets them.
    pub fn take_requests(&self) -> Vec<RecordedRequest> {
        self.edge.recorder.take()
    }

    /// How many connections were accepted since the start.
    pub fn connections(&self) -> usize {
        self.edge.server.accepted()
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.server.open_connections()
    }

    /// Closes the connections on which no request is being answered and waits until they are closed, so that
    /// what a client has in its pool is dead when this returns. Returns how many there were.
    pub fn close_idle_connections(&self) -> usize {
        self.server.close_idle_connections()
    }

    /// Closes all connections and waits for all threads.
    pub fn stop(self) {
        self.server.stop();
    }
}

impl fmt::Debug for LocalEdge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LocalEdge").field("addr", &self.addr()).finish_non_exhaustive()
    }
}

impl Drop for LocalEdge {
    fn drop(&mut self) {
        self.server.stop();
    }
}

/// What an edge is made of; see [`LocalEdge::builder`].
#[derive(Clone, Debug)]
pub struct LocalEdgeBuilder {
    scenario: Scenario,
    artifact: Option<String>,
    organization_id: String,
    addr: String,
    limits: Limits,
    max_connections: usize,
    max_concurrent: usize,
    record_requests: bool,
}

impl Default for LocalEdgeBuilder {
    fn default() -> Self {
        Self {
            scenario: Scenario::default(),
            artifact: None,
            organization_id: ORGANIZATION.to_owned(),
            addr: "127.0.0.1:0".to_owned(),
            limits: Limits {
                max_body: MAX_BODY,
                request_timeout: Duration::from_secs(30),
                idle_timeout: Duration::from_secs(120),
            },
            max_connections: MAX_CONNECTIONS,
            max_concurrent: MAX_CONCURRENT,
            record_requests: true,
        }
    }
}

impl LocalEdgeBuilder {
    /// What to answer with, instead of the built-in scenario.
    #[must_use]
    pub fn scenario(mut self, scenario: Scenario) -> Self {
        self.scenario = scenario;
        self
    }

    /// An artifact to serve and to decide from, see [`LocalEdge::set_artifact`]. Without one there is none.
    #[must_use]
    pub fn artifact(mut self, json: impl Into<String>) -> Self {
        self.artifact = Some(json.into());
        self
    }

    /// The built-in artifact: for the built-in scenario's mboxes `home` (two experiences by allocation), `product1`
    /// (by URL or browser) and `cart` (by date or country), its view `checkout` and its page load. The mbox `hero`
    /// is listed as remote.
    #[must_use]
    pub fn default_artifact(self) -> Self {
        self.artifact(artifact::DEFAULT)
    }

    /// The organization whose id unmasks the artifact's `bin` form, `0DD934B85278256B0A490D44@AdobeOrg` unless given.
    #[must_use]
    pub fn organization_id(mut self, organization_id: impl Into<String>) -> Self {
        self.organization_id = organization_id.into();
        self
    }

    /// Where to listen, `127.0.0.1:0` unless given; port 0 is any free one.
    #[must_use]
    pub fn addr(mut self, addr: impl Into<String>) -> Self {
        self.addr = addr.into();
        self
    }

    /// Takes tokens and states that this edge never issued.
    #[must_use]
    pub fn accept_any_token(mut self, accept: bool) -> Self {
        self.scenario = self.scenario.accept_any_token(accept);
        self
    }

    /// The largest body that is read, 60 MB unless given; a larger one gets 413.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_body = bytes;
        self
    }

    /// How many requests of one session may be answered at the same time, 100 unless given; more get 420.
    #[must_use]
    pub fn max_concurrent_per_session(mut self, requests: usize) -> Self {
        self.max_concurrent = requests;
        self
    }

    /// How many connections may be open, 512 unless given; more get 503.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// How long a request may take from its first to its last byte, 30 s unless given; a slower one gets 408.
    #[must_use]
    pub fn request_timeout(mut self, time: Duration) -> Self {
        self.limits.request_timeout = time;
        self
    }

    /// How long a connection may wait for its next request, 120 s unless given.
    #[must_use]
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.limits.idle_timeout = time.max(Duration::from_millis(1));
        self
    }

    /// Whether requests are kept for [`LocalEdge::requests`]: the last 10,000, or fewer when their bodies are large.
    /// They are unless switched off, which benchmarks want.
    #[must_use]
    pub fn record_requests(mut self, record: bool) -> Self {
        self.record_requests = record;
        self
    }

    /// Starts the edge.
    ///
    /// # Errors
    /// When the address cannot be bound, no thread started, or the artifact is no JSON object.
    pub fn start(self) -> io::Result<LocalEdge> {
        let artifacts = Artifacts::default();
        if let Some(artifact) = self.artifact {
            artifacts.set(artifact).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        let listener = TcpListener::bind(self.addr.as_str())?;
        let shared = Shared::new(self.limits, self.max_connections);
        let edge = Arc::new(Edge {
            ledger: Ledger::new(&self.scenario),
            scenario: self.scenario,
            artifacts,
            organization: self.organization_id,
            client: Mutex::default(),
            faults: Faults::default(),
            recorder: Recorder::new(self.record_requests),
            max_concurrent: self.max_concurrent,
            server: Arc::clone(&shared),
        });
        let handler: Arc<dyn Handler> = edge.clone();
        Ok(LocalEdge { server: Server::start(listener, shared, handler)?, edge })
    }
}
