//! Every host there is, behind one proxy: the edge, the CDN and the geo service. What came is kept in its order.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Host, and port where it is not HTTP's own, that the request was meant for.
    pub host: String,
    pub path: String,
    pub query: Value,
    /// Null where it is no JSON.
    pub body: Value,
    method: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// One that nobody sent.
    #[cfg(test)]
    pub fn new(host: &str, query: Value, body: Value) -> Self {
        let (method, path) = ("POST".to_owned(), "/rest/v1/delivery".to_owned());
        Request { host: host.to_owned(), path, query, body, method, headers: Vec::new() }
    }

    /// Method and path.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What a host answers.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// 0: the connection is closed instead.
    pub status: u64,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(status: u64, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Answer { status, reason: String::new(), headers, body: body.into() }
    }
}

type Answering = dyn Fn(&Request) -> Answer + Send + Sync;

struct Shared {
    answer: Box<Answering>,
    seen: Mutex<Vec<Request>>,
    streams: Mutex<Vec<TcpStream>>,
    is_over: AtomicBool,
}

/// A running proxy; dropping it closes all connections.
pub struct Hosts {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Hosts {
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of 127.0.0.1");
        let addr = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            seen: Mutex::default(),
            streams: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let of_acceptor = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if of_acceptor.is_over.load(Ordering::SeqCst) {
                    return;
                }
                of_acceptor.streams.lock().expect("no panic here").extend(stream.try_clone());
                let of_connection = Arc::clone(&of_acceptor);
                std::thread::spawn(move || serve(&stream, &of_connection));
            }
        });
        Hosts { addr, shared, acceptor: Some(acceptor) }
    }

    pub fn host(&self) -> String {
        self.addr.to_string()
    }

    /// What came so far.
    pub fn seen(&self) -> Vec<Request> {
        self.shared.seen.lock().expect("no panic here").clone()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // The acceptor looks when a connection comes.
        let _ = TcpStream::connect(self.addr);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for stream in self.shared.streams.lock().expect("no panic here").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Answers the requests of a connection, those inside a tunnel under the tunnel's host.
fn serve(stream: &TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    let mut tunnel = None;
    while let Some((line, headers, body)) = read_request(&mut reader) {
        let mut parts = line.split(' ');
        let (method, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if method == "CONNECT" {
            // A tunnel to a port of TLS would hold what cannot be read here.
            let is_plain = !target.ends_with(":443");
            tunnel = Some(target.to_owned());
            let answer = if is_plain { "200 Connected" } else { "502 No TLS here" };
            if write!(writer, "HTTP/1.1 {answer}\r\n\r\n").is_err() || !is_plain {
                return;
            }
            continue;
        }
        let request = request_of(method, target, tunnel.as_deref(), headers, &body);
        shared.seen.lock().expect("no panic here").push(request.clone());
        let answer = (shared.answer)(&request);
        if answer.status == 0 || write_answer(&mut writer, &answer).is_err() {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

type Headers = Vec<(String, String)>;

fn read_request(reader: &mut impl BufRead) -> Option<(String, Headers, Vec<u8>)> {
    let mut next_line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = next_line()?;
    let mut headers = Headers::new();
    loop {
        let line = next_line()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((first, headers, body))
}

fn request_of(method: &str, target: &str, tunnel: Option<&str>, headers: Headers, body: &[u8]) -> Request {
    let (authority, target) = match target.split_once("://") {
        Some((_, rest)) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => (tunnel.unwrap_or_default(), target),
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut pairs = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        pairs.insert(plain(name), Value::from(plain(value)));
    }
    Request {
        host: authority.strip_suffix(":80").unwrap_or(authority).to_owned(),
        path: path.to_owned(),
        query: Value::Object(pairs),
        body: serde_json::from_slice(body).unwrap_or_default(),
        method: method.to_owned(),
        headers,
    }
}

fn write_answer(writer: &mut impl Write, answer: &Answer) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} {}\r\nContent-Length: {}\r\n", answer.status, answer.reason, answer.body.len());
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    writer.write_all(&[head.as_bytes(), &answer.body].concat())
}
