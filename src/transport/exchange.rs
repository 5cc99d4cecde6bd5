//! The connection as HTTP sees it, TLS and tunnel taken off: one request and its answer at a time.
//!
//! Tells the call how far its request has come, and whether a pooled connection can serve another one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, Either, NextTimeout, Transport};

use super::control::current;
use super::tcp::{ConnectionCounts, ONLY_LOOK, towards_proxy};
use crate::error::Phase;

/// Notes that an attempt has come as far as TLS.
#[derive(Debug)]
pub(crate) struct TlsMilestone {
    pub has_proxy: bool,
}

impl<In: Transport> Connector<In> for TlsMilestone {
    type Out = In;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<In>, ureq::Error> {
        // TLS to the proxy itself belongs to the phase of that name.
        if let Some(control) = current()
            && details.needs_tls()
            && !towards_proxy(self.has_proxy, details)
        {
            control.set_phase(Phase::Tls);
        }
        Ok(chained)
    }
}

/// Stands last in the chain.
#[derive(Debug)]
pub(crate) struct ExchangeConnector {
    pub has_proxy: bool,
    pub counts: Arc<ConnectionCounts>,
}

impl<In: Transport> Connector<In> for ExchangeConnector {
    type Out = Either<In, Exchange<In>>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, ureq::Error> {
        Ok(chained.map(|connection| {
            if towards_proxy(self.has_proxy, details) {
                return Either::A(connection);
            }
            let counts = Arc::clone(&self.counts);
            Either::B(Exchange { connection, has_request: false, has_served: false, counts })
        }))
    }
}

/// One connection to a server.
#[derive(Debug)]
pub(crate) struct Exchange<In: Transport> {
    connection: In,
    /// A request is under way.
    has_request: bool,
    /// A request was answered and the connection went back to the pool.
    has_served: bool,
    counts: Arc<ConnectionCounts>,
}

fn spoke_unasked() -> ureq::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server sent bytes before it was asked").into()
}

impl<In: Transport> Transport for Exchange<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.connection.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if !self.has_request {
            if !self.connection.buffers().input().is_empty() {
                return Err(spoke_unasked());
            }
            self.has_request = true;
            if let Some(control) = current() {
                control.begin_request(self.has_served);
            }
            if self.has_served {
                self.counts.reused.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.connection.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let read = self.connection.await_input(timeout);
        if let Some(control) = current() {
            match read {
                Ok(true) if !control.sent() => return Err(spoke_unasked()),
                Ok(true) => control.mark_answered(),
                Ok(false) => control.mark_closed(),
                Err(_) => control.mark_broken(),
            }
        }
        read
    }

    /// ureq asks twice: when an answer is complete, before the connection goes to the pool, and before it
    /// takes it out again for another request.
    fn is_open(&mut self) -> bool {
        if std::mem::take(&mut self.has_request) {
            self.has_served = true;
            return self.connection.is_open();
        }
        // An idle connection has nothing to say. This way TLS takes in what was for it alone, such as session
        // tickets, and a `close_notify` shows although the socket is still open.
        matches!(self.connection.await_input(ONLY_LOOK), Err(ureq::Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock)
    }

    fn is_tls(&self) -> bool {
        self.connection.is_tls()
    }
}
