//! The listener and its connections: one thread each, a cap on their number, and an end that waits for all.
//!
//! Knows HTTP only as far as reading the first byte of a request; what a request gets is the handler's affair.
//! A panic in a handler ends that connection and nothing else.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::http::{Input, Limits};

/// Long enough for a peer to read an answer, short enough that a peer that reads nothing holds no thread for long.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
const LARGE_BODY: usize = 256 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// As good as for ever, and no overflow in sums.
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

/// Locks, also after a panic elsewhere: every value behind a lock here is valid between any two statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What becomes of a connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    KeepAlive,
    Close,
    /// Close in good order although the peer may still be sending.
    DrainAndClose,
    /// Close with a reset.
    Reset,
}

/// What a server does with the requests it gets.
pub(super) trait Handler: Send + Sync + 'static {
    /// Answers the request whose first byte has come. Called by the threads of all connections.
    fn serve(&self, connection: &mut Connection) -> After;
}

/// A connection as a handler sees it.
pub(super) struct Connection {
    pub(super) id: u64,
    pub(super) input: Input,
    pub(super) output: Output,
    /// The host that a CONNECT on this connection asked for.
    pub(super) tunnel: Option<String>,
}

/// The writing side of a connection.
pub(super) struct Output {
    stream: Arc<TcpStream>,
    state: Arc<AtomicU8>,
    buffer: Vec<u8>,
}

impl Output {
    /// Writes head and body, at once unless copying the body costs more than a second write.
    pub(super) fn send(&mut self, answer: &Answer<'_>) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let sent = if answer.body.len() > LARGE_BODY && answer.sends_body() {
            answer.write_head(&mut buffer, answer.body.len());
            self.send_bytes(&buffer).and_then(|()| self.send_bytes(answer.body))
        } else {
            answer.write_to(&mut buffer);
            self.send_bytes(&buffer)
        };
        self.buffer = buffer;
        sent
    }

    pub(super) fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.state.store(WRITING, Ordering::Release);
        (&*self.stream).write_all(bytes)
    }
}

const IDLE: u8 = 0;
const BUSY: u8 = 1;
/// The answer is being handed to the system: the peer may have it before the thread goes on.
const WRITING: u8 = 2;
const CLOSING: u8 = 3;

struct Entry {
    stream: Arc<TcpStream>,
    state: Arc<AtomicU8>,
}

/// What a server's threads share. Made before the server, for its handler waits on it.
pub(super) struct Shared {
    limits: Limits,
    max_connections: usize,
    accepted: AtomicUsize,
    open: Mutex<Open>,
    /// Notified when a connection has ended and when the server stops.
    changed: Condvar,
}

#[derive(Default)]
struct Open {
    entries: HashMap<u64, Entry>,
    stopped: bool,
}

/// A running server. Clones control the same one.
#[derive(Clone)]
pub(super) struct Server {
    shared: Arc<Shared>,
    addr: SocketAddr,
    accepting: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Server {
    pub(super) fn start(listener: TcpListener, shared: Arc<Shared>, handler: Arc<dyn Handler>) -> io::Result<Self> {
        let addr = listener.local_addr()?;
        let accepting = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("local-edge-accept".to_owned())
                .spawn(move || accept(&listener, &shared, &handler))?
        };
        Ok(Self { shared, addr, accepting: Arc::new(Mutex::new(Some(accepting))) })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn open_connections(&self) -> usize {
        lock(&self.shared.open).entries.len()
    }

    /// Closes the connections that wait for a next request, and waits until they are gone.
    pub(super) fn close_idle_connections(&self) -> usize {
        let mut open = lock(&self.shared.open);
        let mut closing = Vec::new();
        for (id, entry) in &open.entries {
            if entry.state.compare_exchange(IDLE, CLOSING, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                // The thread of the connection wakes from its read and closes.
                let _ = entry.stream.shutdown(Shutdown::Both);
                closing.push(*id);
            } else if entry.state.compare_exchange(WRITING, CLOSING, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                closing.push(*id);
            }
        }
        let until = Instant::now() + WRITE_TIMEOUT;
        while closing.iter().any(|id| open.entries.contains_key(id)) && Instant::now() < until {
            open = self.shared.wait(open, until.saturating_duration_since(Instant::now()));
        }
        closing.len()
    }

    /// Closes everything and waits for all threads.
    pub(super) fn stop(&self) {
        {
            let mut open = lock(&self.shared.open);
            open.stopped = true;
            for entry in open.entries.values() {
                let _ = entry.stream.shutdown(Shutdown::Both);
            }
            self.shared.changed.notify_all();
        }
        let accepting = lock(&self.accepting).take();
        if let Some(accepting) = accepting {
            // The accepting thread looks at `stopped` after each connection, so one more wakes it.
            let _ = TcpStream::connect_timeout(&self.addr, Duration::from_secs(1));
            let _ = accepting.join();
        }
    }
}

impl Shared {
    pub(super) fn new(limits: Limits, max_connections: usize) -> Arc<Self> {
        Arc::new(Self {
            limits,
            max_connections,
            accepted: AtomicUsize::new(0),
            open: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Sleeps this long, or until the server stops; whether it goes on.
    pub(super) fn sleep(&self, time: Duration) -> bool {
        let until = Instant::now() + time.min(DAY);
        let mut open = lock(&self.open);
        while !open.stopped {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            open = self.wait(open, left);
        }
        false
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Acquire)
    }

    fn wait<'a>(&self, open: MutexGuard<'a, Open>, time: Duration) -> MutexGuard<'a, Open> {
        self.changed.wait_timeout(open, time).unwrap_or_else(PoisonError::into_inner).0
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, handler: &Arc<dyn Handler>) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    let mut last_id = 0;
    loop {
        let accepted = listener.accept();
        threads.retain(|thread| !thread.is_finished());
        if lock(&shared.open).stopped {
            break;
        }
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: others must end first.
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        last_id += 1;
        shared.accepted.fetch_add(1, Ordering::AcqRel);
        let Some(registered) = Registered::new(shared, last_id, stream) else { continue };
        let handler = Arc::clone(handler);
        let spawned =
            thread::Builder::new().name(format!("local-edge-{last_id}")).spawn(move || registered.run(&*handler));
        if let Ok(thread) = spawned {
            threads.push(thread);
        }
    }
    for thread in threads {
        // A panic was told by the panic hook already.
        let _ = thread.join();
    }
}

/// A connection in the list of open ones; dropping it takes it off and closes the socket, panic or not.
struct Registered {
    shared: Arc<Shared>,
    id: u64,
    stream: Option<Arc<TcpStream>>,
    state: Arc<AtomicU8>,
}

impl Registered {
    fn new(shared: &Arc<Shared>, id: u64, stream: TcpStream) -> Option<Self> {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_write_timeout(Some(WRITE_TIMEOUT));
        let mut open = lock(&shared.open);
        if open.stopped {
            return None;
        }
        if open.entries.len() >= shared.max_connections {
            drop(open);
            refuse(&stream);
            return None;
        }
        let stream = Arc::new(stream);
        let state = Arc::new(AtomicU8::new(IDLE));
        open.entries.insert(id, Entry { stream: Arc::clone(&stream), state: Arc::clone(&state) });
        Some(Self { shared: Arc::clone(shared), id, stream: Some(stream), state })
    }

    fn run(self, handler: &dyn Handler) {
        let Some(stream) = self.stream.clone() else { return };
        let Ok(input) = Input::new(Arc::clone(&stream), self.shared.limits) else { return };
        let output = Output { stream: Arc::clone(&stream), state: Arc::clone(&self.state), buffer: Vec::new() };
        let mut connection = Connection { id: self.id, input, output, tunnel: None };
        let after = self.serve(&mut connection, handler);
        match after {
            After::Reset => {
                // Closing then discards what is buffered and resets, once the last handle goes with `self`.
                let _ = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
            }
            After::DrainAndClose => {
                let _ = stream.shutdown(Shutdown::Write);
                connection.input.drain(DRAIN_TIME);
            }
            After::KeepAlive | After::Close => {}
        }
    }

    /// Answers one request after the other until the connection is to be closed.
    fn serve(&self, connection: &mut Connection, handler: &dyn Handler) -> After {
        loop {
            if connection.input.wait().is_err() {
                return After::Close;
            }
            if self.change(IDLE, BUSY).is_err() {
                return After::Close;
            }
            let after = handler.serve(connection);
            if after != After::KeepAlive {
                return after;
            }
            // A handler that wrote nothing leaves the state at BUSY.
            if self.change(WRITING, IDLE).or_else(|_| self.change(BUSY, IDLE)).is_err() {
                return After::Close;
            }
        }
    }

    fn change(&self, from: u8, to: u8) -> Result<u8, u8> {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.stream = None;
        let entry = lock(&self.shared.open).entries.remove(&self.id);
        drop(entry);
        self.shared.changed.notify_all();
    }
}

/// Answers a connection beyond the cap. The few bytes fit the socket's buffer, so this does not block.
fn refuse(stream: &TcpStream) {
    let mut bytes = Vec::new();
    let body = br#"{"status":503,"message":"too many connections"}"#;
    let headers = [("Content-Type", "application/json")];
    Answer { status: 503, headers: &headers, body, close: true, ..Answer::default() }.write_to(&mut bytes);
    let _ = (&*stream).write_all(&bytes);
    let _ = stream.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read};

    struct Script;

    impl Handler for Script {
        fn serve(&self, connection: &mut Connection) -> After {
            if connection.input.read_head(|_| false).is_err() || connection.input.read_body().is_err() {
                return After::Close;
            }
            match connection.input.request().path() {
                "/panic" => panic!("asked for by a test"),
                "/reset" => After::Reset,
                _ => {
                    let sent = connection.output.send(&Answer { status: 204, ..Answer::default() });
                    if sent.is_ok() { After::KeepAlive } else { After::Close }
                }
            }
        }
    }

    fn server(max_connections: usize) -> Server {
        let limits =
            Limits { max_body: 100, request_timeout: Duration::from_secs(5), idle_timeout: Duration::from_secs(5) };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Server::start(listener, Shared::new(limits, max_connections), Arc::new(Script)).unwrap()
    }

    fn connect(server: &Server) -> TcpStream {
        let stream = TcpStream::connect(server.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn get(stream: &TcpStream, path: &str) -> io::Result<String> {
        (&*stream).write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
        let mut line = String::new();
        let mut reader = BufReader::new(stream);
        reader.read_line(&mut line)?;
        let mut rest = String::new();
        while reader.read_line(&mut rest)? > 2 {}
        Ok(line.trim_end().to_owned())
    }

    #[test]
    fn a_panic_ends_its_connection_only() {
        let server = server(10);
        let (panics, other) = (connect(&server), connect(&server));
        assert_eq!(get(&other, "/").unwrap(), "HTTP/1.1 204 No Content");
        assert_eq!(get(&panics, "/panic").unwrap_or_default(), "");
        assert_eq!(get(&other, "/").unwrap(), "HTTP/1.1 204 No Content");
        assert_eq!(get(&connect(&server), "/").unwrap(), "HTTP/1.1 204 No Content");
        server.stop();
        assert_eq!(server.open_connections(), 0);
    }

    #[test]
    fn connections_beyond_the_cap_get_503() {
        let server = server(1);
        let first = connect(&server);
        assert_eq!(get(&first, "/").unwrap(), "HTTP/1.1 204 No Content");
        let mut second = String::new();
        connect(&server).read_to_string(&mut second).unwrap();
        assert!(second.starts_with("HTTP/1.1 503 "), "{second}");
        assert_eq!(get(&first, "/").unwrap(), "HTTP/1.1 204 No Content");
        server.stop();
    }

    #[test]
    fn idle_connections_are_closed_at_once() {
        let server = server(10);
        let streams = [connect(&server), connect(&server)];
        for stream in &streams {
            get(stream, "/").unwrap();
        }
        assert_eq!(server.open_connections(), 2);
        assert_eq!(server.close_idle_connections(), 2);
        assert_eq!(server.open_connections(), 0);
        for mut stream in streams {
            assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        }
        server.stop();
    }

    #[test]
    fn a_reset_is_a_reset() {
        let server = server(10);
        let error = get(&connect(&server), "/reset").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        server.stop();
    }

    #[test]
    fn stopping_ends_idle_and_half_read_connections_quickly() {
        let server = server(10);
        let idle = connect(&server);
        get(&idle, "/").unwrap();
        let half = connect(&server);
        (&half).write_all(b"GET / HT").unwrap();
        let begun = Instant::now();
        server.stop();
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        assert!(TcpStream::connect(server.addr()).is_err());
    }
}
