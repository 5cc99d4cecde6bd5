//! TCP under ureq: sockets whose every wait ends at the call's deadline or when the call is ended.
//!
//! The request's head and body leave in one write. A pooled connection is probed before it is used again.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};

use super::control::{CallControl, current};
use super::resolver::CachingResolver;
use crate::error::Phase;

/// Grows on demand; a delivery answer seldom has more.
const BUFFER_SIZE: usize = 16 * 1024;
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
fn towards_proxy(has_proxy: bool, details: &ConnectionDetails<'_>) -> bool {
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
            let began = std::time::Instant::now();
            match connect(*address, share, &control) {
                Ok(socket) => {
                    self.counts.open.fetch_add(1, Ordering::Relaxed);
                    self.counts.opened.fetch_add(1, Ordering::Relaxed);
                    return Ok(Some(Either::B(TcpTransport {
                        socket: Arc::new(socket),
                        buffers: LazyBuffers::new(BUFFER_SIZE, BUFFER_SIZE),
                        unsent: Vec::new(),
                        just_used: false,
                        read_limit: Duration::ZERO,
                        counts: Arc::clone(&self.counts),
                    })));
                }
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

fn connect(address: SocketAddr, budget: Duration, control: &CallControl) -> io::Result<Socket> {
    let remaining = control.remaining().ok_or(io::ErrorKind::TimedOut)?;
    let budget = budget.min(remaining).max(Duration::from_millis(1));
    let socket = Arc::new(Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?);
    socket.set_tcp_nodelay(true)?;
    control.engage(&socket).map_err(|_| io::ErrorKind::ConnectionAborted)?;
    let connected = blocking_connect(&socket, &SockAddr::from(address), budget);
    control.disengage();
    match connected {
        Ok(()) => Arc::into_inner(socket).ok_or_else(|| io::ErrorKind::ConnectionAborted.into()),
        // Linux ends a blocking connect at the send timeout with EINPROGRESS.
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) || e.kind() == io::ErrorKind::WouldBlock => {
            Err(io::ErrorKind::TimedOut.into())
        }
        Err(e) => Err(e),
    }
}

/// A blocking connect, unlike one by poll, returns when another thread shuts the socket down.
#[cfg(target_os = "linux")]
fn blocking_connect(socket: &Socket, address: &SockAddr, budget: Duration) -> io::Result<()> {
    socket.set_write_timeout(Some(budget))?;
    socket.connect(address)
}

#[cfg(not(target_os = "linux"))]
fn blocking_connect(socket: &Socket, address: &SockAddr, budget: Duration) -> io::Result<()> {
    socket.connect_timeout(address, budget)
}

/// One connection.
pub(crate) struct TcpTransport {
    socket: Arc<Socket>,
    buffers: LazyBuffers,
    /// Output that waits for more, or for the first read.
    unsent: Vec<u8>,
    /// The probe right after an answer is skipped: the one before the next request sees all that it would.
    just_used: bool,
    /// The socket's read timeout; zero where none is set yet.
    read_limit: Duration,
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
    }
}

fn timed_out() -> ureq::Error {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

impl TcpTransport {
    fn control(&self) -> Result<Arc<CallControl>, ureq::Error> {
        let control = current().ok_or(ureq::Error::ConnectionFailed)?;
        control.engage(&self.socket).map_err(|_| io::Error::from(io::ErrorKind::ConnectionAborted))?;
        Ok(control)
    }

    /// Has a read end no later than after `remaining`. It may end earlier, so whoever reads looks again: that
    /// way most calls find the socket's timeout fit and save a system call.
    fn limit_read(&mut self, remaining: Duration) -> Result<(), ureq::Error> {
        if self.read_limit <= remaining && self.read_limit >= remaining / 2 {
            return Ok(());
        }
        let coarse = remaining.saturating_sub(remaining / 8);
        let limit = if coarse > Duration::from_millis(200) { coarse } else { remaining };
        self.socket.set_read_timeout(Some(limit))?;
        self.read_limit = limit;
        Ok(())
    }

    fn flush(&mut self, control: &CallControl) -> Result<(), ureq::Error> {
        let mut written = 0;
        while let Some(rest) = self.unsent.get(written..).filter(|rest| !rest.is_empty()) {
            match write_now(&self.socket, rest) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(n) => {
                    control.mark_written();
                    written += n;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    // The socket's buffer is full, which a small request never sees.
                    self.socket.set_write_timeout(Some(control.remaining().ok_or_else(timed_out)?))?;
                    match (&*self.socket).write(rest) {
                        Ok(n) => {
                            control.mark_written();
                            written += n;
                        }
                        Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                        Err(e) => return Err(e.into()),
                    }
                }
                Err(e) => return Err(e.into()),
            }
        }
        self.unsent.clear();
        Ok(())
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

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let control = self.control()?;
        self.flush(&control)?;
        self.just_used = true;
        loop {
            self.limit_read(control.remaining().ok_or_else(timed_out)?)?;
            match (&*self.socket).read(self.buffers.input_append_buf()) {
                Ok(n) => {
                    self.buffers.input_appended(n);
                    if n > 0 {
                        control.mark_read();
                    }
                    return Ok(n > 0);
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        if std::mem::take(&mut self.just_used) {
            return true;
        }
        let open = nothing_to_read(&self.socket);
        if open && let Some(control) = current() {
            self.counts.reused.fetch_add(1, Ordering::Relaxed);
            control.mark_reused();
        }
        open
    }
}

/// Writes what fits without waiting.
#[cfg(target_os = "linux")]
fn write_now(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    socket.send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
}

#[cfg(not(target_os = "linux"))]
fn write_now(_: &Socket, _: &[u8]) -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

/// Bytes or an end of file on an idle connection both mean that it is no use any more.
fn nothing_to_read(socket: &Socket) -> bool {
    let mut byte = [std::mem::MaybeUninit::new(0)];
    #[cfg(target_os = "linux")]
    let probe = socket.recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT);
    #[cfg(not(target_os = "linux"))]
    let probe = {
        let nonblocking = socket.set_nonblocking(true);
        let probe = socket.peek(&mut byte);
        match nonblocking.and_then(|()| socket.set_nonblocking(false)) {
            Ok(()) => probe,
            Err(e) => Err(io::Error::other(e)),
        }
    };
    matches!(probe, Err(e) if e.kind() == io::ErrorKind::WouldBlock)
}

/// Notes how far an attempt has come, before TLS (`Tls`) and after it (`Send`).
#[derive(Debug)]
pub(crate) struct Milestone {
    pub phase: Phase,
    pub has_proxy: bool,
}

impl<In: Transport> Connector<In> for Milestone {
    type Out = In;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<In>, ureq::Error> {
        if let Some(control) = current() {
            let skip = self.phase == Phase::Tls && !details.needs_tls();
            if towards_proxy(self.has_proxy, details) {
                control.set_phase(Phase::Proxy);
            } else if !skip {
                control.set_phase(self.phase);
            }
        }
        Ok(chained)
    }
}
