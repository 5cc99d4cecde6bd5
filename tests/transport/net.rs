//! What the tests of the transport have in common: clients, options, errors as JSON, and servers that do on
//! the wire exactly what a test says.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use adobe_target::{ClientConfig, TargetClient, TargetError};
use serde_json::{Value, json};

/// How far the end of a call may be from its deadline.
const TOLERANCE: Duration = Duration::from_millis(100);
/// What "at once" may take on a busy machine; a tenth of what anything takes that has to be waited for.
pub const AT_ONCE: Duration = Duration::from_millis(1000);
/// Longer than anything takes that is not meant to go on for ever.
pub const LONG: Duration = Duration::from_secs(20);

/// A client of that host, over plain HTTP and without a proxy, repeating at once unless `more` says otherwise.
pub fn client(host: impl ToString, more: Value) -> TargetClient {
    try_client(host, more).unwrap_or_else(|error| panic!("{error}"))
}

pub fn try_client(host: impl ToString, more: Value) -> Result<TargetClient, TargetError> {
    let mut config = json!({
        "client": "acme",
        "organization_id": "0DD934B85278256B0A490D44@AdobeOrg",
        "server_domain": host.to_string(),
        "secure": false,
        "proxy": "none",
        "timeout": 15000,
        "retry": {"base_delay": 1},
    });
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    TargetClient::new(ClientConfig::from_json(&config.to_string())?)
}

/// Options with one notification that a second request may carry again, and that is counted once.
pub fn display() -> String {
    notify("display", &json!({}))
}

/// Options with one notification that nobody may repeat on his own.
pub fn click() -> String {
    notify("click", &json!({}))
}

pub fn notify(kind: &str, more: &Value) -> String {
    let mut options = json!({"session_id": "session-1", "request": {"notifications": [
        {"id": "n1", "type": kind, "timestamp": 1_700_000_000_000_u64, "mbox": {"name": "home"}}
    ]}});
    for (key, value) in more.as_object().unwrap() {
        options[key] = value.clone();
    }
    options.to_string()
}

/// A display notification in a request of at least that many bytes.
pub fn large_display(bytes: usize) -> String {
    let mut options: Value = serde_json::from_str(&display()).unwrap();
    options["request"]["unknown"] = Value::from("x".repeat(bytes));
    options.to_string()
}

pub fn timeout(milliseconds: u64) -> Value {
    json!({"timeout": milliseconds})
}

/// The error object of a call that must fail.
#[track_caller]
pub fn error_of<T: std::fmt::Debug>(result: Result<T, TargetError>) -> Value {
    serde_json::from_str(&result.expect_err("the call fails").to_json()).unwrap()
}

/// Code and phase of an error object.
pub fn kind(error: &Value) -> (&str, &str) {
    (error["code"].as_str().unwrap(), error["phase"].as_str().unwrap())
}

/// Under which heading the only notification of a failed call stands.
pub fn fate(error: &Value) -> String {
    let lists = error["result"]["notifications"].as_object().unwrap();
    let lists: Vec<&str> =
        lists.iter().filter(|(_, ids)| **ids == json!(["n1"])).map(|(name, _)| name.as_str()).collect();
    lists.join(" ")
}

pub fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    (run(), began.elapsed())
}

/// Runs what must end at its deadline, neither earlier nor later. A busy machine may be late, but not always.
#[track_caller]
pub fn ends_at<T>(deadline: Duration, mut run: impl FnMut() -> T) -> T {
    for last in [false, false, true] {
        let (result, elapsed) = timed(&mut run);
        assert!(elapsed + Duration::from_millis(5) >= deadline, "ended after {elapsed:?}, before {deadline:?}");
        if elapsed <= deadline + TOLERANCE {
            return result;
        }
        assert!(!last, "ended after {elapsed:?} instead of {deadline:?}, and late twice before");
    }
    unreachable!()
}

/// Waits for what must come.
#[track_caller]
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < until, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A server that hands each connection, numbered from 0, to a function on a thread of its own.
pub struct Wire {
    pub addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<Weak<TcpStream>>>>,
    accepting: Option<JoinHandle<()>>,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Close,
    Reset,
}

impl Wire {
    pub fn start(serve: impl Fn(&TcpStream, usize) -> End + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (accepted, stop, open) =
            (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (count, stopped, streams) = (Arc::clone(&accepted), Arc::clone(&stop), Arc::clone(&open));
        let serve = Arc::new(serve);
        let accepting = std::thread::spawn(move || {
            let mut threads = Vec::new();
            for stream in listener.incoming() {
                let stream = Arc::new(stream.unwrap());
                streams.lock().unwrap().push(Arc::downgrade(&stream));
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                stream.set_nodelay(true).unwrap();
                let number = count.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                threads.push(std::thread::spawn(move || {
                    if serve(&stream, number) == End::Reset {
                        socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO)).unwrap();
                    }
                }));
            }
            for thread in threads {
                let _ = thread.join();
            }
        });
        Wire { addr, accepted, stop, open, accepting: Some(accepting) }
    }

    /// Answers every request with these bytes and goes on, or ends the connection.
    pub fn answering(answer: impl Into<Vec<u8>>, end: Option<End>) -> Self {
        let answer = answer.into();
        Wire::start(move |mut stream, _| {
            while read_request(&mut stream).is_some() {
                if stream.write_all(&answer).is_err() {
                    break;
                }
                if let Some(end) = end {
                    return end;
                }
            }
            End::Close
        })
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
        for stream in self.open.lock().unwrap().iter().filter_map(Weak::upgrade) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // The threads of a test that failed may wait for what will not come.
        if !std::thread::panicking() {
            let _ = self.accepting.take().map(JoinHandle::join);
        }
    }
}

/// Head and body of the next request, or nothing when the peer closed.
pub fn read_request(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&chunk[..read]);
        let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
        while request.len() < end + 4 + length {
            let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
            request.extend_from_slice(&chunk[..read]);
        }
        return Some(request);
    }
}

pub const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 44\r\n\r\n\
    {\"status\":200,\"notifications\":[{\"id\":\"n1\"}]}";

/// A port of this machine on which connecting neither succeeds nor fails: its queue of connections is full.
pub struct BlackHole {
    pub addr: SocketAddr,
    _sockets: Vec<socket2::Socket>,
}

impl BlackHole {
    pub fn new() -> Self {
        use socket2::{Domain, Socket, Type};
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap();
        let mut sockets = vec![listener];
        loop {
            let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let connected = filler.connect_timeout(&addr, Duration::from_millis(50));
            sockets.push(filler);
            if connected.is_err() {
                return BlackHole { addr: addr.as_socket().unwrap(), _sockets: sockets };
            }
            assert!(sockets.len() < 10, "the queue of connections never fills");
        }
    }
}

/// A port of this machine where nobody listens.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Runs a test of this program, one that asks [`child_task`], in a process of its own, below `wrapper` if there
/// is one.
pub fn run_child(test: &str, (task, host): (&str, &str), wrapper: &[&str], environment: &[(&str, &str)]) -> Output {
    let program = std::env::current_exe().unwrap();
    let mut arguments = wrapper.iter();
    let mut command = match arguments.next() {
        Some(wrapper) => {
            let mut command = Command::new(wrapper);
            command.args(arguments).arg(program);
            command
        }
        None => Command::new(program),
    };
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_ascii_uppercase());
    }
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env("TRANSPORT_CHILD", task).env("TRANSPORT_HOST", host).envs(environment.iter().copied());
    command.output().unwrap()
}

/// What a process started by [`run_child`] is to do, and against which host. Nothing in an ordinary run.
pub fn child_task() -> Option<(String, String)> {
    Some((std::env::var("TRANSPORT_CHILD").ok()?, std::env::var("TRANSPORT_HOST").ok()?))
}

/// What a child printed after `label`, which must be there.
#[track_caller]
pub fn printed(output: &Output, label: &str) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.split_once(label)).map(|(_, rest)| rest.trim().to_owned());
    line.unwrap_or_else(|| panic!("no {label} in {text}\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// How many bytes come until the peer closes or resets.
pub fn drain(stream: &mut impl Read) -> usize {
    let mut chunk = [0; 64 * 1024];
    let mut total = 0;
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return total,
            Ok(read) => total += read,
            Err(_) => return total,
        }
    }
}
