//! HTTP/1.1 by ureq: one agent per client, or two where the environment names a proxy per scheme.
//!
//! ureq's own timeouts, retries, redirects, proxy variables and resolver are off; deadlines live in the
//! sockets ([`super::tcp`]).

use std::error::Error as _;
use std::io::{self, Read};
use std::sync::Arc;

use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use ureq::tls::TlsConfig;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, RustlsConnector};
use ureq::{Agent, Body};

use super::control::{CallControl, current, enter};
use super::exchange::{ExchangeConnector, TlsMilestone};
use super::proxy::{Proxies, proxies};
use super::resolver::CachingResolver;
use super::tcp::{BUFFER_SIZE, ConnectionCounts, TcpConnector};
use super::tls::tls_config;
use super::{Failure, FailureKind, GetAnswer, GetRequest, HttpRequest, HttpResponse, Transport};
use crate::config::ClientConfig;
use crate::error::{Phase, TargetError};
use crate::process;

/// A delivery answer of more bytes, after decompression, is refused.
pub(crate) const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// Sent as `X-EXC-SDK` with every request.
const SDK_NAME: &str = "adobe-target-native";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Servers commonly take no longer ones, and ours have to fit a buffer.
const MAX_HEADER: usize = 8 * 1024;

/// Names that `headers` must not hold: what this library or HTTP itself sets.
const RESERVED_HEADERS: [&str; 21] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "x-exc-sdk",
    "x-exc-sdk-version",
    "x-request-id",
];

/// The headers of an answer to a GET that somebody looks at.
pub(crate) const WANTED_HEADERS: [&str; 8] = [
    "etag",
    "retry-after",
    "x-forwarded-for",
    "x-geo-city",
    "x-geo-country-code",
    "x-geo-latitude",
    "x-geo-longitude",
    "x-geo-region-code",
];

/// Who is asked, for messages.
#[derive(Clone, Copy)]
struct Peer(&'static str);

const EDGE: Peer = Peer("the edge");
const SERVER: Peer = Peer("the server");

/// The transport of one client. Threads share its connections.
#[derive(Debug)]
pub(crate) struct HttpTransport {
    http: Agent,
    https: Agent,
    /// What every request to a delivery host has.
    headers: HeaderMap,
    counts: Arc<ConnectionCounts>,
}

/// What the environment and files have to say, read once: a forked child may have become another user in another
/// root directory, and the standard library guards the environment with a lock.
#[derive(Debug)]
pub(crate) struct HttpSettings {
    proxies: Proxies,
    headers: HeaderMap,
    tls: TlsConfig,
    resolver: CachingResolver,
    generation: u64,
}

impl HttpSettings {
    pub(crate) fn read(config: &ClientConfig) -> Result<Self, TargetError> {
        Ok(HttpSettings {
            proxies: proxies(&config.proxy, |name| std::env::var(name).ok())?,
            headers: fixed_headers(config)?,
            tls: tls_config(&config.tls)?,
            resolver: CachingResolver::new(),
            generation: process::generation(),
        })
    }

    fn resolver(&self) -> CachingResolver {
        if self.generation == process::generation() { self.resolver.clone() } else { self.resolver.inherited() }
    }
}

impl HttpTransport {
    #[cfg(test)]
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, TargetError> {
        Ok(Self::open(config, &HttpSettings::read(config)?))
    }

    /// The configuration is the one that the settings were read for.
    pub(crate) fn open(config: &ClientConfig, settings: &HttpSettings) -> Self {
        let HttpSettings { proxies, headers, tls, .. } = settings;
        let counts = Arc::new(ConnectionCounts::default());
        let resolver = settings.resolver();
        let Proxies { http, https } = proxies.clone();
        let agent = |proxy: Option<ureq::Proxy>| {
            let resolver = match &proxy {
                Some(proxy) => resolver.for_proxy(proxy.host()),
                None => resolver.clone(),
            };
            let has_proxy = proxy.is_some();
            let connector = ()
                .chain(ConnectProxyConnector::default())
                .chain(TcpConnector {
                    resolver: resolver.clone(),
                    connect_timeout: config.connect_timeout,
                    counts: Arc::clone(&counts),
                    has_proxy,
                })
                .chain(TlsMilestone { has_proxy })
                .chain(RustlsConnector::default())
                .chain(ExchangeConnector { has_proxy, counts: Arc::clone(&counts) });
            let config = Agent::config_builder()
                .tls_config(tls.clone())
                .proxy(proxy)
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .user_agent("")
                .accept("")
                .timeout_await_100(None)
                .input_buffer_size(BUFFER_SIZE)
                .output_buffer_size(BUFFER_SIZE)
                // A header that fills the buffer can never be read to its end.
                .max_response_header_size(BUFFER_SIZE - 1)
                .max_idle_connections(config.max_idle_connections)
                .max_idle_connections_per_host(config.max_idle_connections)
                .max_idle_age(config.max_idle_age)
                .build();
            Agent::with_parts(config, connector, resolver)
        };
        let one_for_both = http == https;
        let http = agent(http);
        let https = if one_for_both { http.clone() } else { agent(https) };
        initialize_ureq(&http);
        HttpTransport { http, https, headers: headers.clone(), counts }
    }

    pub(crate) fn counts(&self) -> &Arc<ConnectionCounts> {
        &self.counts
    }

    fn agent(&self, url: &str) -> &Agent {
        if url.starts_with("https:") { &self.https } else { &self.http }
    }

    fn exchange(&self, request: &HttpRequest<'_>) -> Result<HttpResponse, ureq::Error> {
        let mut headers = self.headers.clone();
        headers.insert(REQUEST_ID, HeaderValue::from_str(request.request_id).map_err(ureq::http::Error::from)?);
        let mut post = Request::new(request.body);
        *post.method_mut() = Method::POST;
        *post.uri_mut() = request.url.parse().map_err(ureq::http::Error::from)?;
        *post.headers_mut() = headers;
        let mut response = self.agent(request.url).run(post)?;
        let retry_after =
            response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let body = read_body(&mut response, MAX_ANSWER)?;
        Ok(HttpResponse { status, retry_after, body, attempts: 1 })
    }

    fn exchange_get(&self, request: &GetRequest<'_>) -> Result<GetAnswer, ureq::Error> {
        let mut get = Request::new(());
        *get.uri_mut() = request.url.parse().map_err(ureq::http::Error::from)?;
        let headers = get.headers_mut();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        for (name, value) in request.headers {
            let value = HeaderValue::from_str(value).map_err(ureq::http::Error::from)?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let mut response = self.agent(request.url).run(get)?;
        let wanted = |name: &'static str| Some((name, response.headers().get(name)?.to_str().ok()?.to_owned()));
        let headers = WANTED_HEADERS.into_iter().filter_map(wanted).collect();
        let status = response.status().as_u16();
        // What explains a failure is an HTML page at best. Reading a short one keeps the connection.
        let limit = if is_success(status) { request.max_bytes } else { request.max_bytes.min(MAX_EXPLANATION) };
        // Hundreds of megabytes are not read only to be thrown away.
        if is_success(status) && response.body().content_length().is_some_and(|claimed| claimed > limit) {
            return Err(ureq::Error::BodyExceedsLimit(limit));
        }
        let mut body = read_body(&mut response, limit)?;
        if !is_success(status) {
            body = Vec::new();
        }
        Ok(GetAnswer { status, headers, body })
    }
}

/// A compressed answer of that status without content. ureq does not tell whether it has a length.
#[derive(Debug, thiserror::Error)]
#[error("answered {0}: the compressed answer is empty or ends too early")]
struct NothingIn(u16);

const MAX_EXPLANATION: u64 = 64 * 1024;

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

fn read_body(response: &mut Response<Body>, limit: u64) -> Result<Vec<u8>, ureq::Error> {
    let status = response.status().as_u16();
    let claimed = response.body().content_length().unwrap_or(0);
    // One read where the length is known; what claims to be large has to prove it.
    let mut body = Vec::with_capacity(claimed.min(64 * 1024) as usize + 1);
    let read = response.body_mut().as_reader().take(limit + 1).read_to_end(&mut body);
    match read {
        Ok(read) if read as u64 <= limit => {}
        // The status says all that matters, even if what explains it does not come.
        _ if !is_success(status) => body.truncate(limit as usize),
        Ok(_) => return Err(ureq::Error::BodyExceedsLimit(limit)),
        // Some servers call compressed what is not there.
        Err(_) if status == 204 => body.clear(),
        Err(error) => {
            return Err(match error.into() {
                ureq::Error::Decompress(coding, io) if body.is_empty() && io.kind() == io::ErrorKind::UnexpectedEof => {
                    ureq::Error::Decompress(coding, io::Error::new(io.kind(), NothingIn(status)))
                }
                error => error,
            });
        }
    }
    Ok(body)
}

impl Transport for HttpTransport {
    fn shut_down(&self) {
        self.http.clone().shutdown();
        self.https.clone().shutdown();
    }

    fn post(&self, request: &HttpRequest<'_>, control: &Arc<CallControl>) -> Result<HttpResponse, Failure> {
        attempt(control, EDGE, || self.exchange(request), |answer| answer.status)
    }

    fn get(&self, request: &GetRequest<'_>, control: &Arc<CallControl>) -> Result<GetAnswer, Failure> {
        attempt(control, SERVER, || self.exchange_get(request), |answer| answer.status)
    }
}

/// ureq has a value that the first request of the process computes, and others wait for: a child that was forked
/// meanwhile would wait for ever. This request gets no further than the resolver, which serves nobody's call.
fn initialize_ureq(agent: &Agent) {
    if current().is_none() {
        let _ = agent.get("http://localhost/").call();
    }
}

fn attempt<A>(
    control: &Arc<CallControl>,
    peer: Peer,
    exchange: impl FnOnce() -> Result<A, ureq::Error>,
    status: impl FnOnce(&A) -> u16,
) -> Result<A, Failure> {
    control.begin_attempt();
    let result = {
        let _entered = enter(control);
        exchange()
    };
    match result {
        // An end may have cut the answer short in a way that looks complete.
        Ok(_) if control.end().is_some() => Err(ended(control)),
        // So may a connection that broke, where the end of the connection is the end of the answer.
        Ok(answer) if control.broken() && is_success(status(&answer)) => {
            let message = "the connection broke before the answer was complete".to_owned();
            Err(Failure { message, ..network_failure(control) })
        }
        Ok(answer) => Ok(answer),
        Err(error) => Err(failure(&error, control, peer)),
    }
}

fn ended(control: &CallControl) -> Failure {
    let message = "the call was ended".to_owned();
    Failure { kind: FailureKind::Ended, message, temporary: false, ..network_failure(control) }
}

/// What the call knows; the message is to be filled in.
fn network_failure(control: &CallControl) -> Failure {
    let phase = control.phase();
    Failure {
        kind: FailureKind::Network,
        phase,
        message: String::new(),
        sent: control.sent(),
        answered: control.answered(),
        reused: control.reused(),
        unreachable: !control.sent() && matches!(phase, Phase::Resolve | Phase::Connect),
        temporary: true,
    }
}

fn failure(error: &ureq::Error, control: &CallControl, peer: Peer) -> Failure {
    if control.end().is_some() {
        return ended(control);
    }
    let tls_error = tls_error(error);
    let mut failure = network_failure(control);
    failure.message = describe(error, failure.phase, tls_error, peer);
    if let Some(patience) = control.stalled() {
        failure.message = format!("{} (nothing came for {} ms)", failure.message, patience.as_millis());
        return failure;
    }
    if control.remaining().is_none() {
        failure.kind = FailureKind::Deadline;
        return failure;
    }
    if let Some(tls_error) = tls_error {
        let verdict = is_verdict_of_handshake(tls_error) && !failure.answered && !failure.reused;
        if verdict {
            // With TLS 1.3 what the server thinks of a client certificate arrives after the request left; it
            // did not read that request.
            failure.phase = Phase::Tls;
            failure.sent = false;
        }
        // A handshake fails in the same way again; later on, this is a connection that broke.
        failure.temporary = !verdict && failure.sent;
        return failure;
    }
    match error {
        ureq::Error::ConnectProxyFailed(reason) => {
            let refusal = proxy_status(reason);
            failure.phase = Phase::Proxy;
            // The proxy could not or would not reach the host. Another host may do better, unless the proxy
            // wants to know who we are.
            failure.unreachable = refusal != Some(407);
            // A proxy that refuses does so again; one that fails may recover.
            failure.temporary = refusal.is_none_or(|status| status >= 500);
        }
        // Whatever a proxy sends before the tunnel stands, it is no answer of the edge.
        _ if failure.phase == Phase::Proxy => {}
        // It was the request that ureq could not make anything of.
        ureq::Error::Protocol(_) | ureq::Error::Http(_) if !failure.sent => failure.temporary = false,
        ureq::Error::Decompress(_, io) if io.kind() == io::ErrorKind::UnexpectedEof && control.cut_off() => {}
        ureq::Error::BodyExceedsLimit(_)
        | ureq::Error::LargeResponseHeader(..)
        | ureq::Error::Decompress(..)
        | ureq::Error::Protocol(_)
        | ureq::Error::Http(_) => failure.make_invalid(),
        ureq::Error::Io(io) if io.kind() == io::ErrorKind::InvalidData => failure.make_invalid(),
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => failure.temporary = false,
        _ => {}
    }
    failure
}

impl Failure {
    fn make_invalid(&mut self) {
        self.kind = FailureKind::InvalidResponse;
        self.phase = Phase::Response;
    }
}

/// The TLS failure inside an error. A connection that just broke is none.
fn tls_error(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) | ureq::Error::Decompress(_, error) => error.get_ref()?.downcast_ref::<rustls::Error>(),
        _ => None,
    }
}

/// Whether the server refused the handshake, of which a client certificate is a part.
fn is_verdict_of_handshake(error: &rustls::Error) -> bool {
    use rustls::AlertDescription as Alert;
    matches!(
        error,
        rustls::Error::AlertReceived(
            Alert::AccessDenied
                | Alert::BadCertificate
                | Alert::CertificateExpired
                | Alert::CertificateRequired
                | Alert::CertificateRevoked
                | Alert::CertificateUnknown
                | Alert::DecryptError
                | Alert::HandshakeFailure
                | Alert::UnknownCA
                | Alert::UnsupportedCertificate
        )
    )
}

/// The status in ureq's words about a proxy that refused: `proxy server responded 407/407`.
fn proxy_status(reason: &str) -> Option<u16> {
    reason.rsplit_once("responded ")?.1.get(..3)?.parse().ok()
}

fn describe(error: &ureq::Error, phase: Phase, tls_error: Option<&rustls::Error>, Peer(peer): Peer) -> String {
    let action = match phase {
        Phase::Resolve => format!("looking up {peer}'s name"),
        Phase::Connect => format!("connecting to {peer}"),
        Phase::Proxy => "reaching the proxy".to_owned(),
        Phase::Tls => "the TLS handshake".to_owned(),
        Phase::Send => "sending the request".to_owned(),
        _ => "reading the answer".to_owned(),
    };
    match (tls_error, phase) {
        (Some(rustls::Error::InvalidMessage(reason)), Phase::Tls) => {
            return format!("TLS failed: the server does not seem to speak it here ({reason:?})");
        }
        (Some(tls_error), Phase::Proxy) => return format!("TLS with the proxy failed: {tls_error}"),
        (Some(tls_error), _) => return format!("TLS failed: {tls_error}"),
        (None, _) => {}
    }
    match error {
        ureq::Error::Io(io) if io.kind() == io::ErrorKind::TimedOut => format!("{action} took too long"),
        ureq::Error::ConnectProxyFailed(reason) => match proxy_status(reason) {
            Some(407) => "the proxy answered 407: it wants other credentials".to_owned(),
            Some(status) => format!("the proxy answered {status} instead of connecting to {peer}"),
            None => format!("the proxy closed the connection instead of connecting to {peer}"),
        },
        ureq::Error::Protocol(_) | ureq::Error::Http(_) if phase == Phase::Proxy => {
            "the proxy's answer is no HTTP/1.1".to_owned()
        }
        ureq::Error::BodyExceedsLimit(limit) => format!("the answer has more than {limit} bytes"),
        ureq::Error::LargeResponseHeader(..) => format!("the answer's header has more than {BUFFER_SIZE} bytes"),
        ureq::Error::Decompress(_, io) if io.kind() == io::ErrorKind::UnexpectedEof => {
            match io.get_ref().and_then(|source| source.downcast_ref::<NothingIn>()) {
                Some(nothing) => nothing.to_string(),
                None => "the compressed answer ends too early".to_owned(),
            }
        }
        ureq::Error::Decompress(..) => "the answer cannot be decompressed".to_owned(),
        ureq::Error::Protocol(_) | ureq::Error::Http(_) if matches!(phase, Phase::Resolve | Phase::Send) => {
            "the request cannot be written as HTTP/1.1".to_owned()
        }
        ureq::Error::Protocol(_) | ureq::Error::Http(_) => "the answer is no HTTP/1.1".to_owned(),
        ureq::Error::Io(io) => match io.source() {
            Some(source) => format!("{action} failed: {io}: {source}"),
            None => format!("{action} failed: {io}"),
        },
        // The remaining errors of ureq's own name a reason; one names the URL, which is not for a message.
        ureq::Error::BadUri(_) => format!("{action} failed: the URL cannot be used"),
        other => format!("{action} failed: {other}"),
    }
}

/// What every request has besides its own id.
fn fixed_headers(config: &ClientConfig) -> Result<HeaderMap, TargetError> {
    let mut headers = HeaderMap::with_capacity(8 + config.headers.len());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert("x-exc-sdk", HeaderValue::from_static(SDK_NAME));
    headers.insert("x-exc-sdk-version", HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
    for (name, value) in extra_headers(config)? {
        headers.insert(name, value);
    }
    Ok(headers)
}

fn extra_headers(config: &ClientConfig) -> Result<Vec<(HeaderName, HeaderValue)>, TargetError> {
    let header = |(name, value): (&String, &String)| {
        let field = format!("headers.{}", name.chars().filter(|c| !c.is_control()).collect::<String>());
        let refuse = |reason: &str| TargetError::invalid_options(&*field, format!("`{field}` {reason}"));
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refuse("is no header name"))?;
        if RESERVED_HEADERS.contains(&parsed.as_str()) {
            return Err(refuse("is set by the library or by HTTP itself"));
        }
        if value.len() > MAX_HEADER {
            return Err(refuse(&format!("must have at most {MAX_HEADER} bytes")));
        }
        let value = HeaderValue::from_str(value).map_err(|_| refuse("must be printable text without line breaks"))?;
        Ok((parsed, value))
    };
    config.headers.iter().map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_library_and_line_breaks_are_refused() {
        for (name, value) in
            [("Content-Type", "x"), ("X-Request-Id", "x"), ("a", "b\r\nc: d"), ("a b", "x"), ("TE", "x")]
        {
            let mut config = ClientConfig::new("acme", "1@AdobeOrg");
            config.headers.insert(name.to_owned(), value.to_owned());
            let error = extra_headers(&config).unwrap_err();
            assert_eq!(error.details().field.as_deref(), Some(&*format!("headers.{name}")));
        }
    }

    /// Sends these pieces to whoever connects first, and holds the connection.
    fn server(pieces: Vec<Vec<u8>>) -> (String, std::thread::JoinHandle<()>) {
        use std::io::Write;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            // The client may have had enough.
            let _ = pieces.iter().try_for_each(|piece| stream.write_all(piece));
            let _ = stream.read(&mut [0]);
        });
        (url, serving)
    }

    fn get(pieces: Vec<Vec<u8>>, control: &Arc<CallControl>) -> Result<GetAnswer, Failure> {
        let mut config = ClientConfig::new("acme", "1@AdobeOrg");
        config.proxy = crate::config::ProxySetting::None;
        let transport = HttpTransport::new(&config).unwrap();
        let (url, serving) = server(pieces);
        let answer = transport.get(&GetRequest { url: &url, headers: &[], max_bytes: 1000 }, control);
        transport.shut_down();
        drop(transport);
        serving.join().unwrap();
        answer
    }

    fn call() -> Arc<CallControl> {
        Arc::new(CallControl::new(std::time::Duration::from_secs(30)))
    }

    /// Stored blocks of that many bytes each, without the end that makes it whole.
    fn gzip(blocks: usize, length: u16) -> Vec<u8> {
        let mut bytes = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff".to_vec();
        for _ in 0..blocks {
            bytes.push(0);
            bytes.extend(length.to_le_bytes());
            bytes.extend((!length).to_le_bytes());
            bytes.extend(std::iter::repeat_n(b'x', length.into()));
        }
        bytes
    }

    #[test]
    fn a_get_has_the_headers_that_are_wanted_and_its_body() {
        let head = "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nX-Geo-City: PARIS\r\nX-Other: x\r\nContent-Length: 1000\r\n\r\n";
        let answer = get(vec![head.into(), vec![b'x'; 1000]], &call()).unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 1000));
        assert_eq!(answer.headers, [("etag", "\"a\"".to_owned()), ("x-geo-city", "PARIS".to_owned())]);
    }

    #[test]
    fn a_body_above_the_limit_is_refused_claimed_or_real_packed_or_not() {
        let head = |header: &str| format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n").into_bytes();
        let chunked = head("Transfer-Encoding: chunked");
        let packed = head("Content-Encoding: gzip\r\nTransfer-Encoding: chunked");
        let inflated = gzip(4, 60_000);
        let size = |bytes: &[u8]| format!("{:x}\r\n", bytes.len()).into_bytes();
        for pieces in [
            vec![head("Content-Length: 1001")],
            vec![head("Content-Length: 314572800")],
            vec![chunked, b"3e9\r\n".to_vec(), vec![b'x'; 1001]],
            vec![packed, size(&inflated), inflated],
        ] {
            let failure = get(pieces, &call()).unwrap_err();
            assert_eq!(failure.kind, FailureKind::InvalidResponse);
            assert_eq!(failure.message, "the answer has more than 1000 bytes");
        }
    }

    #[test]
    fn what_explains_a_failure_is_left_out_and_cannot_fail() {
        let endless = "HTTP/1.1 404 X\r\nTransfer-Encoding: chunked\r\n\r\n3e7\r\nsorry";
        let damaged = "HTTP/1.1 404 X\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nsorry";
        for answer in [endless, damaged] {
            let control = Arc::new(CallControl::new(std::time::Duration::from_millis(300)));
            let answer = get(vec![answer.into()], &control).unwrap();
            assert_eq!((answer.status, answer.body.len()), (404, 0));
        }
    }

    #[test]
    fn patience_ends_an_answer_that_stops_coming() {
        let control = call();
        let failure = {
            let patience = std::time::Duration::from_millis(100);
            let _limited = control.limit(std::time::Duration::from_secs(20), Some(patience));
            get(vec![b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345".to_vec()], &control).unwrap_err()
        };
        assert_eq!((failure.kind, failure.phase, failure.temporary), (FailureKind::Network, Phase::Receive, true));
        assert_eq!(failure.message, "reading the answer took too long (nothing came for 100 ms)");
    }
}
