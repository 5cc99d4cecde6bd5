//! A Target edge on 127.0.0.1, for tests and for people without an account.
//!
//! [`LocalEdge`] serves `POST /rest/v1/delivery` from a small [`Scenario`], issues event tokens and states,
//! validates requests and notifications as the API's specification says, counts impressions, clicks, visits and
//! orders, and shows them at `/report` (JSON, or a page for a browser). [`Fault`]s make it misbehave on demand.
//! Requests are read by code of its own, not by this crate's models, so that an error in those does not hide
//! itself. It speaks HTTP only, one thread per connection; all methods may be called from any thread.
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
//! | `DELETE /control/faults` | forgets waiting faults and the default reply |
//! | `POST /control/default_reply` | one fault for all requests that find no other waiting, or `null` |
//! | `GET /control/requests` | the recorded requests |
//! | `DELETE /control/requests` | forgets them |
//! | `POST /control/reset` | forgets counts and recorded requests |
//!
//! Answers of the controls are JSON; 400 with `{"status":400,"message":…}` names the member that is wrong.

mod answer;
mod delivery;
mod faults;
mod gzip;
mod http;
mod query;
mod recorded;
mod report;
mod routes;
mod scenario;
mod server;
mod tokens;
mod validate;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

pub use faults::Fault;
pub use recorded::RecordedRequest;
pub use report::{ActivityCounts, ProcessedNotifications, Report, Tally};
pub use scenario::{Scenario, ScenarioError};

use faults::Faults;
use http::Limits;
use recorded::Recorder;
use report::Ledger;
use routes::Edge;
use server::{Handler, Server, Shared};

const MAX_BODY: usize = 60 * 1024 * 1024;
const MAX_CONCURRENT: usize = 100;
const MAX_CONNECTIONS: usize = 512;

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
        self.edge.ledger.report(self.connections(), true)
    }

    /// Forgets all counts, and which impressions were seen. Recorded requests and faults stay.
    pub fn reset(&self) {
        self.edge.ledger.reset(&self.edge.scenario);
    }

    /// Waits until a report satisfies the condition; whether one did in time. The reports it sees have no
    /// notification ids.
    pub fn wait_until(&self, time: Duration, condition: impl Fn(&Report) -> bool) -> bool {
        self.edge.ledger.wait(time, || self.connections(), condition)
    }

    /// Puts a fault at the end of the queue from which each delivery request takes one.
    pub fn fault(&self, fault: Fault) {
        self.edge.faults.push([fault]);
    }

    /// Puts faults at the end of the queue, in their order.
    pub fn faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.edge.faults.push(faults);
    }

    /// How many faults wait for a request.
    pub fn waiting_faults(&self) -> usize {
        self.edge.faults.waiting()
    }

    /// Forgets waiting faults and the default reply.
    pub fn clear_faults(&self) {
        self.edge.faults.clear();
    }

    /// Puts a canned JSON answer at the end of the queue; [`Fault::Respond`] has more to say.
    pub fn reply_with(&self, status: u16, body: impl Into<Vec<u8>>) {
        self.fault(Fault::respond(status, body));
    }

    /// What every delivery request gets that finds no fault waiting; `None` for plain answers.
    pub fn set_default_reply(&self, reply: Option<Fault>) {
        self.edge.faults.set_default(reply);
    }

    /// The requests that came, oldest first: delivery requests and those for what is not served, but not those
    /// for the report and the controls.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.edge.recorder.all()
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
    /// When the address cannot be bound or no thread started.
    pub fn start(self) -> io::Result<LocalEdge> {
        let listener = TcpListener::bind(self.addr.as_str())?;
        let shared = Shared::new(self.limits, self.max_connections);
        let edge = Arc::new(Edge {
            ledger: Ledger::new(&self.scenario),
            scenario: self.scenario,
            faults: Faults::default(),
            recorder: Recorder::new(self.record_requests),
            max_concurrent: self.max_concurrent,
            server: Arc::clone(&shared),
        });
        let handler: Arc<dyn Handler> = edge.clone();
        Ok(LocalEdge { server: Server::start(listener, shared, handler)?, edge })
    }
}
