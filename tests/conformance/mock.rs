//! The edge that the library talks to: recorded answers, and the requests as they came. As a proxy it stands
//! in for every host.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use adobe_target::local_edge::{Fault, LocalEdge, RecordedRequest};
use serde_json::{Map, Value};

use crate::corpus;

/// What every case has in the place of the mock's host and port.
pub const PLACE: &str = "{{MOCK}}";

/// A delivery request as it came.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Host, and port where it is not HTTP's own, that the request was meant for.
    pub host: String,
    pub method: String,
    pub path: String,
    pub query: Value,
    pub body: Value,
    request: RecordedRequest,
}

impl Delivery {
    fn of(request: RecordedRequest) -> Self {
        let host = request.authority.as_deref().or(request.header("host")).unwrap_or_default();
        let mut query = Map::new();
        for (name, value) in &request.query_pairs {
            query.insert(name.clone(), Value::from(value.as_str()));
        }
        Delivery {
            host: host.strip_suffix(":80").unwrap_or(host).to_owned(),
            method: request.method.clone(),
            path: request.path.clone(),
            query: Value::Object(query),
            body: request.json().unwrap_or_default(),
            request,
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.request.header(name).unwrap_or_default()
    }
}

/// A running edge.
pub struct Mock {
    edge: LocalEdge,
}

impl Mock {
    pub fn start() -> Self {
        Mock { edge: LocalEdge::start().expect("a port of 127.0.0.1") }
    }

    pub fn host(&self) -> String {
        self.edge.host()
    }

    /// What every request gets from now on: 200 and this body.
    pub fn answer(&self, body: &Value) {
        self.edge.set_default_reply(Some(Fault::respond(200, corpus::to_text(body))));
    }

    /// The recorded answers in their order, the last one again and again.
    pub fn script(&self, mocks: &[Value]) {
        self.edge.clear_faults();
        let mut faults: Vec<Fault> = mocks.iter().map(fault).collect();
        self.edge.set_default_reply(faults.pop());
        self.edge.faults(faults);
    }

    /// The delivery requests since the last look.
    pub fn take(&self) -> Vec<Delivery> {
        self.edge.take_requests().into_iter().filter(|request| request.method != "CONNECT").map(Delivery::of).collect()
    }
}

/// A proxy that opens no tunnel: where the first one was to go, as `host:port`. The port tells http from https.
pub fn first_tunnel(call: impl FnOnce(&str)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of 127.0.0.1");
    let addr = listener.local_addr().expect("an address");
    let line = std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut line = String::new();
            let (stream, _) = listener.accept().expect("a connection");
            let _ = BufReader::new(stream).read_line(&mut line);
            line
        });
        call(&addr.to_string());
        // A call that never came to the proxy would leave its thread waiting.
        let _ = TcpStream::connect(addr);
        reader.join().expect("a line")
    });
    line.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default().to_owned()
}

fn fault(mock: &Value) -> Fault {
    if mock["destroy"] == true {
        return Fault::ResetAfterReading { counted: false };
    }
    let text = |key: &str| mock[key].as_str().unwrap_or_default().to_owned();
    let headers = match mock.get("headers").and_then(Value::as_object) {
        None => vec![("Content-Type".to_owned(), "application/json".to_owned())],
        Some(given) => given.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
    };
    Fault::Respond {
        status: mock["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(200),
        reason: mock["statusText"].as_str().map(str::to_owned),
        headers,
        body: text("body").into_bytes(),
        delay: Duration::from_millis(mock["delay"].as_u64().unwrap_or(0)),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
