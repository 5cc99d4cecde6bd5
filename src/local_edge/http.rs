//! HTTP/1.1 as a server: reading requests from a socket and writing answers to it.
//!
//! Knows nothing of Target and keeps no state between connections. A request's bytes stay in the connection's
//! buffer and are referred to by range, so that a request costs no allocation once the buffer has grown.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

const FIRST_BUFFER: usize = 16 * 1024;
/// A buffer that one large body made larger than this is not kept.
const KEPT_BUFFER: usize = 1024 * 1024;
const MAX_HEAD: usize = 64 * 1024;
const MAX_REQUEST_LINE: usize = 16 * 1024;
const MAX_HEADERS: usize = 100;
const MAX_CHUNK_LINE: usize = 1024;

/// How long and how large a request may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_body: usize,
    /// From a request's first byte to its last.
    pub(super) request_timeout: Duration,
    /// Between two requests.
    pub(super) idle_timeout: Duration,
}

/// The first byte of somebody who speaks TLS.
const TLS_HANDSHAKE: u8 = 0x16;

/// Why there is no request to answer.
#[derive(Debug)]
pub(super) enum Unread {
    /// The peer closed, or stayed silent between two requests for too long.
    Closed,
    /// The caller's look at the request line ended the reading.
    Stopped,
    /// To be answered with this status, and the connection closed.
    Refused { status: u16, message: Cow<'static, str> },
}

fn refused(status: u16, message: &'static str) -> Unread {
    Unread::Refused { status, message: Cow::Borrowed(message) }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Length {
    #[default]
    None,
    Known(usize),
    Chunked,
}

/// Where the parts of a request's head are in the buffer.
#[derive(Debug, Default)]
struct Head {
    method: Range<usize>,
    target: Range<usize>,
    authority: Option<Range<usize>>,
    path: Range<usize>,
    query: Range<usize>,
    headers: Vec<(Range<usize>, Range<usize>)>,
    length: Length,
    keep_alive: bool,
    expects_continue: bool,
    end: usize,
}

/// A request that was read as a whole.
pub(super) struct Request<'a> {
    head: &'a Head,
    bytes: &'a [u8],
    pub(super) body: &'a [u8],
}

impl<'a> Request<'a> {
    pub(super) fn method(&self) -> &'a str {
        text(&self.bytes[self.head.method.clone()])
    }

    /// The target as it stood in the request line.
    pub(super) fn target(&self) -> &'a str {
        text(&self.bytes[self.head.target.clone()])
    }

    /// The host of a target in absolute form, or the target of a CONNECT.
    pub(super) fn authority(&self) -> Option<&'a str> {
        self.head.authority.clone().map(|range| text(&self.bytes[range]))
    }

    pub(super) fn path(&self) -> &'a str {
        text(&self.bytes[self.head.path.clone()])
    }

    /// What follows the question mark, as it came.
    pub(super) fn query(&self) -> &'a str {
        text(&self.bytes[self.head.query.clone()])
    }

    pub(super) fn keep_alive(&self) -> bool {
        self.head.keep_alive
    }

    /// Names as they came, values without the space around them.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let bytes = self.bytes;
        self.head.headers.iter().map(move |(name, value)| (&bytes[name.clone()], &bytes[value.clone()]))
    }

    pub(super) fn header(&self, wanted: &str) -> Option<&'a [u8]> {
        self.headers().find(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes())).map(|(_, value)| value)
    }
}

/// The request line holds nothing but ASCII once it was parsed.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// The reading side of a connection.
pub(super) struct Input {
    stream: Arc<TcpStream>,
    limits: Limits,
    buffer: Vec<u8>,
    filled: usize,
    head: Head,
    /// The body of a chunked request, put together.
    dechunked: Vec<u8>,
    /// Where the next request begins, once this one was read.
    next: usize,
    deadline: Option<Instant>,
    /// The read timeout that is set on the socket. Setting it costs a system call, so only slow requests do.
    timeout: Duration,
}

impl Input {
    pub(super) fn new(stream: Arc<TcpStream>, limits: Limits) -> io::Result<Self> {
        stream.set_read_timeout(Some(limits.idle_timeout))?;
        Ok(Self {
            stream,
            timeout: limits.idle_timeout,
            limits,
            buffer: vec![0; FIRST_BUFFER],
            filled: 0,
            head: Head::default(),
            dechunked: Vec::new(),
            next: 0,
            deadline: None,
        })
    }

    /// Waits for the first byte of the next request.
    pub(super) fn wait(&mut self) -> Result<(), Unread> {
        self.buffer.copy_within(self.next..self.filled, 0);
        self.filled -= self.next;
        self.next = 0;
        self.deadline = None;
        if self.buffer.len() > KEPT_BUFFER && self.filled < FIRST_BUFFER {
            self.buffer.truncate(FIRST_BUFFER);
            self.buffer.shrink_to_fit();
            self.dechunked = Vec::new();
        }
        if self.filled == 0 {
            self.set_timeout(self.limits.idle_timeout).map_err(|_| Unread::Closed)?;
            self.fill().map_err(|_| Unread::Closed)?;
        }
        Ok(())
    }

    /// Reads the head of the request that has begun. `stop` sees the path as soon as the request line is there.
    pub(super) fn read_head(&mut self, mut stop: impl FnMut(&str) -> bool) -> Result<(), Unread> {
        let mut searched = 0;
        let mut line_seen = false;
        let mut blank_lines = 0;
        loop {
            // Empty lines before a request are tolerated, as RFC 9112 asks.
            while self.buffer[..self.filled].starts_with(b"\r\n") {
                blank_lines += 1;
                if blank_lines > 8 {
                    return Err(refused(400, "too many empty lines before the request line"));
                }
                self.buffer.copy_within(2..self.filled, 0);
                self.filled -= 2;
                searched = 0;
            }
            let bytes = &self.buffer[..self.filled];
            if bytes.first() == Some(&TLS_HANDSHAKE) {
                // At once, so that the client fails at once.
                return Err(refused(400, "this edge speaks HTTP, not HTTPS: a client of it needs \"secure\": false"));
            }
            if !line_seen {
                if let Some(end) = find(bytes, b"\r\n", searched) {
                    line_seen = true;
                    parse_request_line(bytes, end, &mut self.head)?;
                    if stop(text(&bytes[self.head.path.clone()])) {
                        return Err(Unread::Stopped);
                    }
                } else if self.filled > MAX_REQUEST_LINE {
                    return Err(refused(414, "request line is too long"));
                }
            }
            if let Some(end) = find(bytes, b"\r\n\r\n", searched) {
                parse_headers(bytes, end, &mut self.head)?;
                self.next = self.head.end;
                return Ok(());
            }
            if self.filled > MAX_HEAD {
                return Err(refused(431, "request head is too large"));
            }
            searched = self.filled.saturating_sub(3);
            self.fill_in_time()?;
        }
    }

    /// Reads the body of the request whose head was read.
    pub(super) fn read_body(&mut self) -> Result<(), Unread> {
        self.dechunked.clear();
        if let Length::Known(length) = self.head.length
            && length > self.limits.max_body
        {
            return Err(self.too_large());
        }
        if self.head.expects_continue && self.head.length != Length::None && self.filled == self.head.end {
            (&*self.stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(|_| Unread::Closed)?;
        }
        match self.head.length {
            Length::None => self.next = self.head.end,
            Length::Known(length) => {
                let end = self.head.end + length;
                while self.filled < end {
                    self.fill_in_time()?;
                }
                self.next = end;
            }
            Length::Chunked => self.read_chunks()?,
        }
        Ok(())
    }

    /// The request, once head and body were read.
    pub(super) fn request(&self) -> Request<'_> {
        let body = match self.head.length {
            Length::None => &[],
            Length::Known(length) => &self.buffer[self.head.end..self.head.end + length],
            Length::Chunked => &self.dechunked[..],
        };
        Request { head: &self.head, bytes: &self.buffer[..self.filled], body }
    }

    /// Reads and forgets until the peer closes, so that it can read an answer that came before it had sent all:
    /// closing with unread bytes would reset the connection and could destroy the answer on its way.
    pub(super) fn drain(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.set_timeout(left).is_err() {
                return;
            }
            self.filled = 0;
            if self.fill().is_err() {
                return;
            }
        }
    }

    fn too_large(&self) -> Unread {
        Unread::Refused { status: 413, message: format!("request body is over {} bytes", self.limits.max_body).into() }
    }

    /// Chunks are taken out of the buffer as they come, so that the buffer does not hold the body a second time.
    fn read_chunks(&mut self) -> Result<(), Unread> {
        let start = self.head.end;
        loop {
            let line = self.chunk_line(start)?;
            let size = chunk_size(&self.buffer[start..line]).ok_or_else(|| refused(400, "chunk size is malformed"))?;
            self.take(start, line + 2);
            if size == 0 {
                break;
            }
            if size > self.limits.max_body - self.dechunked.len().min(self.limits.max_body) {
                return Err(self.too_large());
            }
            let mut missing = size;
            while missing > 0 {
                if self.filled == start {
                    self.fill_in_time()?;
                }
                let end = self.filled.min(start + missing);
                self.dechunked.extend_from_slice(&self.buffer[start..end]);
                missing -= end - start;
                self.take(start, end);
            }
            while self.filled < start + 2 {
                self.fill_in_time()?;
            }
            if &self.buffer[start..start + 2] != b"\r\n" {
                return Err(refused(400, "chunk does not end where its size says"));
            }
            self.take(start, start + 2);
        }
        // Trailers end with an empty line; nothing here needs them.
        let mut trailers = 0;
        loop {
            let line = self.chunk_line(start)?;
            let empty = line == start;
            trailers += line - start;
            self.take(start, line + 2);
            if empty {
                self.next = start;
                return Ok(());
            }
            if trailers > MAX_HEAD {
                return Err(refused(431, "trailers are too large"));
            }
        }
    }

    /// The end of the line that begins at `start`.
    fn chunk_line(&mut self, start: usize) -> Result<usize, Unread> {
        loop {
            if let Some(end) = find(&self.buffer[..self.filled], b"\r\n", start) {
                return Ok(end);
            }
            if self.filled - start > MAX_CHUNK_LINE {
                return Err(refused(400, "chunk size is malformed"));
            }
            self.fill_in_time()?;
        }
    }

    /// Removes the bytes from `start` to `end`.
    fn take(&mut self, start: usize, end: usize) {
        self.buffer.copy_within(end..self.filled, start);
        self.filled -= end - start;
    }

    /// Reads more of a request that has begun.
    fn fill_in_time(&mut self) -> Result<(), Unread> {
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + self.limits.request_timeout);
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(refused(408, "the request did not come in time"));
        }
        self.set_timeout(left).map_err(|_| Unread::Closed)?;
        self.fill().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => refused(408, "the request did not come in time"),
            _ => Unread::Closed,
        })
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        loop {
            match (&*self.stream).read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.filled += count;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn set_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        if self.timeout != timeout {
            self.stream.set_read_timeout(Some(timeout.max(Duration::from_millis(1))))?;
            self.timeout = timeout;
        }
        Ok(())
    }
}

fn find(bytes: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    bytes.get(from..)?.windows(wanted.len()).position(|window| window == wanted).map(|position| from + position)
}

/// The size at the beginning of a chunk; extensions after a semicolon are ignored.
fn chunk_size(line: &[u8]) -> Option<usize> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    usize::from_str_radix(text(digits), 16).ok()
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn parse_request_line(bytes: &[u8], end: usize, head: &mut Head) -> Result<(), Unread> {
    if end > MAX_REQUEST_LINE {
        return Err(refused(414, "request line is too long"));
    }
    let line = &bytes[..end];
    let malformed = || refused(400, "request line is malformed");
    let method = line.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
    let target = line.iter().rposition(|byte| *byte == b' ').filter(|last| *last > method + 1).ok_or_else(malformed)?;
    if method == 0 || !line[..method].iter().all(|byte| is_token(*byte)) {
        return Err(malformed());
    }
    if !line[method + 1..target].iter().all(u8::is_ascii_graphic) {
        return Err(malformed());
    }
    head.keep_alive = match &line[target + 1..] {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        version if version.starts_with(b"HTTP/") => return Err(refused(505, "only HTTP/1.1 is spoken here")),
        _ => return Err(malformed()),
    };
    head.method = 0..method;
    head.target = method + 1..target;
    parse_target(bytes, head).ok_or_else(malformed)
}

/// Takes the target apart: origin form, absolute form (a proxied request), authority form (CONNECT) or `*`.
fn parse_target(bytes: &[u8], head: &mut Head) -> Option<()> {
    let Range { start, end } = head.target;
    let target = &bytes[start..end];
    head.authority = None;
    let mut path = start;
    if &bytes[head.method.clone()] == b"CONNECT" {
        head.authority = Some(start..end);
        head.path = start..start;
        head.query = start..start;
        return Some(());
    }
    if target.first() != Some(&b'/') && target != b"*" {
        let scheme = find(target, b"://", 0)?;
        if !target[..scheme].eq_ignore_ascii_case(b"http") && !target[..scheme].eq_ignore_ascii_case(b"https") {
            return None;
        }
        let authority = start + scheme + 3;
        path = bytes[authority..end].iter().position(|byte| b"/?".contains(byte)).map_or(end, |at| authority + at);
        head.authority = Some(authority..path);
    }
    let question = bytes[path..end].iter().position(|byte| *byte == b'?').map(|at| path + at);
    head.path = path..question.unwrap_or(end);
    head.query = question.map_or(end..end, |question| question + 1..end);
    Some(())
}

fn parse_headers(bytes: &[u8], end: usize, head: &mut Head) -> Result<(), Unread> {
    head.headers.clear();
    head.length = Length::None;
    head.expects_continue = false;
    head.end = end + 4;
    let is_1_1 = head.keep_alive;
    let mut has_host = false;
    let mut start = head.target.end + b" HTTP/1.1\r\n".len();
    while start < end {
        let line_end = find(&bytes[..end], b"\r\n", start).unwrap_or(end);
        let line = &bytes[start..line_end];
        let colon = line.iter().position(|byte| *byte == b':').filter(|colon| *colon > 0);
        let Some(colon) = colon.filter(|colon| line[..*colon].iter().all(|byte| is_token(*byte))) else {
            return Err(refused(400, "a header is malformed"));
        };
        if head.headers.len() == MAX_HEADERS {
            return Err(refused(431, "too many headers"));
        }
        let name = &line[..colon];
        let value = line[colon + 1..].trim_ascii();
        if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(refused(400, "a header is malformed"));
        }
        let value_start = start + colon + 1 + (line[colon + 1..].len() - line[colon + 1..].trim_ascii_start().len());
        head.headers.push((start..start + colon, value_start..value_start + value.len()));
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = content_length(value).ok_or_else(|| refused(400, "Content-Length is malformed"))?;
            if head.length != Length::None && head.length != Length::Known(length) {
                return Err(refused(400, "the length of the body is given twice"));
            }
            head.length = Length::Known(length);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(refused(501, "only the transfer encoding chunked is understood"));
            }
            if head.length != Length::None {
                return Err(refused(400, "the length of the body is given twice"));
            }
            head.length = Length::Chunked;
        } else if name.eq_ignore_ascii_case(b"connection") {
            for option in value.split(|byte| *byte == b',').map(|option| option.trim_ascii()) {
                if option.eq_ignore_ascii_case(b"close") {
                    head.keep_alive = false;
                } else if option.eq_ignore_ascii_case(b"keep-alive") && !is_1_1 {
                    head.keep_alive = true;
                }
            }
        } else if name.eq_ignore_ascii_case(b"expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(refused(417, "only 100-continue can be expected"));
            }
            head.expects_continue = is_1_1;
        } else if name.eq_ignore_ascii_case(b"host") {
            has_host = true;
        }
        start = line_end + 2;
    }
    if is_1_1 && !has_host {
        return Err(refused(400, "the header Host is required"));
    }
    Ok(())
}

fn content_length(value: &[u8]) -> Option<usize> {
    if value.is_empty() || value.len() > 15 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    text(value).parse().ok()
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
