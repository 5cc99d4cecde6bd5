//! TCP under ureq: sockets whose every wait ends at the call's deadline or when the call is ended.
//!
//! The request's head and body leave in one write.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, time,
};

use super::control::{CallControl, current};
use super::resolver::CachingResolver;
use crate::descriptors::OfThisProcess;
use crate::error::Phase;

/// Grows on demand; a delivery answer seldom has more.
pub(crate) const BUFFER_SIZE: usize = 16 * 1024;
/// What is written at once at the most.
const WRITE_SIZE: usize = 64 * 1024;

/// Connections of a client, for its stats.
#[derive(Debug, Default)]
pub(crate) struct ConnectionCounts {
    pub open: AtomicU64,
    pub opened: AtomicU64,
    pub reused: AtomicU64,
}

/// Opens the sockets of one agent.
#[derive(Debug)]
pub(crate) struct TcpConnector {
    pub resolver: CachingResolver,
    pub connect_timeout: Duration,
    pub counts: Arc<ConnectionCounts>,
    pub has_proxy: bool,
}

/// ureq runs the chain a second time, without the proxy in its configuration, to reach the proxy itself.
pub(super) fn towards_proxy(has_proxy: bool, details: &ConnectionDetails<'_>) -> bool {
    has_proxy && details.config.proxy().is_none()
}

impl<In: Transport> Connector<In> for TcpConnector {
    type Out = Either<In, TcpTransport>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        if let Some(tunnel) = chained {
            return Ok(Some(Either::A(tunnel)));
        }
        let control = current().ok_or(ureq::Error::ConnectionFailed)?;
        control.set_phase(if towards_proxy(self.has_proxy, details) { Phase::Proxy } else { Phase::Connect });
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let mut budget = self.connect_timeout;
        for (at, address) in details.addrs.iter().enumerate() {
            let left = (details.addrs.len() - at) as u32;
            // The last address may use all that is left, the first ones must leave something.
            let share = if left > 1 { budget / 2 } else { budget };
            let began = Instant::now();
            match connect(*address, share, &control) {
                Ok(socket) => return Ok(Some(Either::B(TcpTransport::new(socket, &self.counts)))),
                Err(error) => failure = error,
            }
            budget = budget.saturating_sub(began.elapsed());
            if control.end().is_some() || control.remaining().is_none() {
                break;
            }
        }
        if let Some(host) = details.uri.host() {
            self.resolver.forget(host);
        }
        Err(failure.into())
    }
}

/// A socket operation has at least this long: the system takes a time of zero for no limit at all.
const LEAST_WAIT: Duration = Duration::from_millis(1);

/// How long an operation on a socket may block: what is left of the call.
fn wait(control: &CallControl) -> io::Result<Duration> {
    control.remaining().map(|left| left.max(LEAST_WAIT)).ok_or_else(|| io::ErrorKind::TimedOut.into())
}

fn connect(address: SocketAddr, budget: Duration, control: &CallControl) -> io::Result<Arc<OfThisProcess<Socket>>> {
    let budget = budget.min(wait(control)?).max(LEAST_WAIT);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    let socket = Arc::new(OfThisProcess::new(socket));
    socket.get()?.set_tcp_nodelay(true)?;
    control.engage(&socket).map_err(|_| io::ErrorKind::ConnectionAborted)?;
    blocking_connect(socket.get()?, &SockAddr::from(address), budget, control)?;
    Ok(socket)
}

/// An end that comes between [`CallControl::engage`] and the connect does not wake it: shutting down a socket
/// that does not connect yet has no effect. So the connect blocks for this long at a time.
#[cfg(target_os = "linux")]
const CONNECT_SLICE: Duration = Duration::from_millis(100);

/// A blocking connect, unlike one by poll, returns when another thread shuts the socket down.
#[cfg(target_os = "linux")]
fn blocking_connect(socket: &Socket, address: &SockAddr, budget: Duration, control: &CallControl) -> io::Result<()> {
    let until = Instant::now() + budget;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_write_timeout(Some(left.clamp(LEAST_WAIT, CONNECT_SLICE)))?;
        let error = match socket.connect(address) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match error.raw_os_error() {
            Some(libc::EISCONN) => return Ok(()),
            // The slice is over, or a signal of the host came: connecting goes on and is waited for again.
            Some(libc::EINPROGRESS | libc::EINTR) => {}
            // The same from the second slice on. A kernel that does not wait then must not make this spin.
            Some(libc::EALREADY) => {
                control.wait_until(Some(Instant::now() + LEAST_WAIT), || false);
            }
            _ => return Err(error),
        }
        if control.end().is_some() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn blocking_connect(socket: &Socket, address: &SockAddr, budget: Duration, _: &CallControl) -> io::Result<()> {
    socket.connect_timeout(address, budget)
}

/// A write to a connection that the server has closed is an error, never a signal that ends the host.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: libc::c_int = libc::MSG_NOSIGNAL;
/// There the socket itself has the option.
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: libc::c_int = 0;

/// One connection.
pub(crate) struct TcpTransport {
    socket: Arc<OfThisProcess<Socket>>,
    buffers: LazyBuffers,
    /// Output that waits for more, or for the first read.
    unsent: Vec<u8>,
    /// The socket's read timeout; zero where none is set yet.
    read_limit: Duration,
    /// Why no more can be written. The server may have answered before it stopped reading.
    deaf: Option<io::Error>,
    counts: Arc<ConnectionCounts>,
}

impl std::fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TcpTransport")
    }
}

impl Drop for TcpTransport {
    fn drop(&mut self) {
        self.counts.open.fetch_sub(1, Ordering::Relaxed);
        if current().is_some_and(|control| control.end().is_some() || control.remaining().is_none()) {
            // A call that is over must not have the system go on sending what it took of the request.
            let _ = self.socket.get().and_then(|socket| socket.set_linger(Some(Duration::ZERO)));
        }
    }
}

impl TcpTransport {
    fn new(socket: Arc<OfThisProcess<Socket>>, counts: &Arc<ConnectionCounts>) -> Self {
        counts.open.fetch_add(1, Ordering::Relaxed);
        counts.opened.fetch_add(1, Ordering::Relaxed);
        let buffers = LazyBuffers::new(BUFFER_SIZE, BUFFER_SIZE);
        TcpTransport {
            socket,
            buffers,
            unsent: Vec::new(),
            read_limit: Duration::ZERO,
            deaf: None,
            counts: Arc::clone(counts),
        }
    }

    fn control(&self) -> Result<Arc<CallControl>, ureq::Error> {
        let control = current().ok_or(ureq::Error::ConnectionFailed)?;
        control.engage(&self.socket).map_err(|_| io::Error::from(io::ErrorKind::ConnectionAborted))?;
        Ok(control)
    }

    /// Has a read end no later than after `remaining`. It may end earlier, so whoever reads looks again: that
    /// way most calls find the socket's timeout fit and save a system call.
    fn limit_read(&mut self, remaining: Duration) -> io::Result<()> {
        if self.read_limit <= remaining && self.read_limit >= remaining / 2 {
            return Ok(());
        }
        let coarse = remaining.saturating_sub(remaining / 8);
        let limit = if coarse > Duration::from_millis(200) { coarse } else { remaining };
        self.socket.get()?.set_read_timeout(Some(limit))?;
        self.read_limit = limit;
        Ok(())
    }

    fn write(&self, bytes: &[u8], control: &CallControl) -> io::Result<usize> {
        let limit = wait(control)?;
        let socket = self.socket.get()?;
        match socket.send_with_flags(bytes, SEND_FLAGS | libc::MSG_DONTWAIT) {
            // The socket's buffer is full, which a small request never sees.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                socket.set_write_timeout(Some(limit))?;
                socket.send_with_flags(bytes, SEND_FLAGS)
            }
            written => written,
        }
    }

    fn flush(&mut self, control: &CallControl) -> io::Result<()> {
        let mut written = 0;
        while let Some(rest) = self.unsent.get(written..).filter(|rest| !rest.is_empty()) {
            if self.deaf.is_some() {
                break;
            }
            match self.write(rest, control) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    control.mark_written();
                    written += n;
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(e) if e.kind() != io::ErrorKind::TimedOut && control.sent() && control.end().is_none() => {
                    self.deaf = Some(e);
                }
                Err(e) => return Err(e),
            }
        }
        self.unsent.clear();
        Ok(())
    }

    /// Reads once; nothing when the buffer has no room.
    fn read(&mut self) -> io::Result<usize> {
        let read = self.socket.get()?.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(read);
        Ok(read)
    }
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let output = self.buffers.output();
        self.unsent.extend_from_slice(output.get(..amount).unwrap_or(output));
        if self.unsent.len() >= WRITE_SIZE {
            let control = self.control()?;
            self.flush(&control)?;
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if timeout == ONLY_LOOK {
            nothing_to_read(self.socket.get()?)?;
            return Ok(self.read()? > 0);
        }
        let control = self.control()?;
        self.flush(&control)?;
        if self.deaf.is_none() {
            control.mark_flushed();
        }
        if self.buffers.input_append_buf().is_empty() {
            return Err(ureq::Error::LargeResponseHeader(BUFFER_SIZE, BUFFER_SIZE));
        }
        loop {
            self.limit_read(wait(&control)?)?;
            match self.read() {
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Ok(n) if n > 0 => return Ok(true),
                read => {
                    return match self.deaf.take() {
                        // What happened first says more.
                        Some(deaf) => Err(deaf.into()),
                        None => read.map(|_| false).map_err(Into::into),
                    };
                }
            }
        }
    }

    /// Asked on the way to the pool: from here on the connection is no longer that of this thread's call, and
    /// an end of the call must not touch it.
    fn is_open(&mut self) -> bool {
        let over = current().is_none_or(|control| {
            control.disengage();
            control.end().is_some()
        });
        !over && self.unsent.is_empty() && self.deaf.is_none()
    }
}

/// For [`Transport::await_input`]: takes what is there, else fails with `WouldBlock`. ureq itself never asks for
/// this, because its own timeouts are off.
pub(crate) const ONLY_LOOK: NextTimeout =
    NextTimeout { after: time::Duration::from_secs(0), reason: ureq::Timeout::Global, per_read: None, per_write: None };

/// `WouldBlock` when neither bytes nor the end of the connection have come.
fn nothing_to_read(socket: &Socket) -> io::Result<()> {
    let mut byte = [std::mem::MaybeUninit::new(0)];
    #[cfg(target_os = "linux")]
    let probe = socket.recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT);
    #[cfg(not(target_os = "linux"))]
    let probe = {
        socket.set_nonblocking(true)?;
        let probe = socket.peek(&mut byte);
        socket.set_nonblocking(false)?;
        probe
    };
    probe.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::super::control::{End, enter};
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    fn call() -> Arc<CallControl> {
        Arc::new(CallControl::new(Duration::from_secs(30)))
    }

    /// A connection with a request of this thread's call and its answer behind it, and the server's end.
    fn served(control: &CallControl) -> (TcpTransport, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = connect(listener.local_addr().unwrap(), Duration::from_secs(30), control).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let mut connection = TcpTransport::new(socket, &Arc::default());
        connection.transmit(b"request");
        server.write_all(b"answer").unwrap();
        assert!(connection.await_input(NextTimeout::default()).unwrap());
        (connection, server)
    }

    impl TcpTransport {
        fn transmit(&mut self, bytes: &[u8]) {
            self.buffers.output()[..bytes.len()].copy_from_slice(bytes);
            self.transmit_output(bytes.len(), NextTimeout::default()).unwrap();
        }
    }

    fn look(connection: &mut TcpTransport) -> io::ErrorKind {
        match connection.await_input(ONLY_LOOK) {
            Ok(true) => io::ErrorKind::InvalidData,
            Ok(false) => io::ErrorKind::UnexpectedEof,
            Err(error) => error.into_io().kind(),
        }
    }

    #[test]
    fn a_connection_in_the_pool_is_out_of_reach_of_the_call_that_used_it() {
        let control = call();
        let _entered = enter(&control);
        let (mut connection, mut server) = served(&control);
        assert!(connection.is_open());
        // As early as can be: ureq has put the connection into its pool, the call has not returned yet.
        control.end_call(End::Cancelled);
        assert_eq!(look(&mut connection), io::ErrorKind::WouldBlock);
        server.write_all(b"still there").unwrap();
        assert_eq!(look(&mut connection), io::ErrorKind::InvalidData);
    }

    #[test]
    fn the_connection_of_a_call_that_was_ended_does_not_go_to_the_pool() {
        let control = call();
        let _entered = enter(&control);
        let (mut connection, _server) = served(&control);
        control.end_call(End::Cancelled);
        assert!(!connection.is_open());
    }

    #[test]
    fn a_connection_with_something_unsent_does_not_go_to_the_pool() {
        let control = call();
        let _entered = enter(&control);
        let (mut connection, _server) = served(&control);
        connection.transmit(b"never asked for");
        assert!(!connection.is_open());
    }

    #[test]
    fn a_look_neither_waits_nor_misses_anything() {
        let control = call();
        let _entered = enter(&control);
        let (mut connection, mut server) = served(&control);
        assert_eq!(look(&mut connection), io::ErrorKind::WouldBlock);
        server.write_all(b"unasked").unwrap();
        assert_eq!(look(&mut connection), io::ErrorKind::InvalidData);
        server.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(look(&mut connection), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn no_wait_is_so_short_that_the_system_takes_it_for_endless() {
        // SO_RCVTIMEO counts microseconds, and zero of them are no timeout.
        let control = CallControl::new(Duration::from_millis(5));
        while let Ok(wait) = wait(&control) {
            assert!(wait >= LEAST_WAIT, "{wait:?}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_end_right_before_the_connect_is_found_out_during_it() {
        // Nobody accepts, and the queue of connections is full.
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        loop {
            queue.push(Socket::new(Domain::IPV4, Type::STREAM, None).unwrap());
            if queue.last().unwrap().connect_timeout(&addr, Duration::from_millis(50)).is_err() {
                break;
            }
        }
        let control = call();
        let socket = Arc::new(OfThisProcess::new(Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()));
        control.engage(&socket).unwrap();
        control.end_call(End::Cancelled);
        let began = Instant::now();
        let error = blocking_connect(socket.get().unwrap(), &addr, Duration::from_secs(30), &control).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}
