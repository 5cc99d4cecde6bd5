//! HTTP/1.1 by ureq: one agent per client, or two where the environment names a proxy per scheme.
//!
//! ureq's own timeouts, retries, redirects, proxy variables and resolver are off; deadlines live in the
//! sockets ([`super::tcp`]).

use std::error::Error as _;
use std::io::{self, Read};
use std::sync::Arc;

use ureq::Agent;
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, RustlsConnector};

use super::control::{CallControl, enter};
use super::proxy::{Proxies, proxies};
use super::resolver::CachingResolver;
use super::tcp::{ConnectionCounts, Milestone, TcpConnector};
use super::tls::tls_config;
use super::{Failure, FailureKind, HttpRequest, HttpResponse, Transport};
use crate::config::ClientConfig;
use crate::error::{Phase, TargetError};

/// A delivery answer of more bytes, after decompression, is refused.
pub(crate) const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// Sent as `X-EXC-SDK` with every request.
const SDK_NAME: &str = "adobe-target-native";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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

/// The transport of one client. Threads share its connections.
#[derive(Debug)]
pub(crate) struct HttpTransport {
    http: Agent,
    https: Agent,
    /// What every request has.
    headers: HeaderMap,
    counts: Arc<ConnectionCounts>,
}

impl HttpTransport {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self, TargetError> {
        let proxies = proxies(&config.proxy, |name| std::env::var(name).ok())?;
        let headers = fixed_headers(config)?;
        let tls = tls_config(&config.tls)?;
        let counts = Arc::new(ConnectionCounts::default());
        let resolver = CachingResolver::new();
        let Proxies { http, https } = proxies;
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
                .chain(Milestone { phase: Phase::Tls, has_proxy })
                .chain(RustlsConnector::default())
                .chain(Milestone { phase: Phase::Send, has_proxy });
            let config = Agent::config_builder()
                .tls_config(tls.clone())
                .proxy(proxy)
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .user_agent("")
                .accept("")
                .timeout_await_100(None)
                .max_idle_connections(config.max_idle_connections)
                .max_idle_connections_per_host(config.max_idle_connections)
                .max_idle_age(config.max_idle_age)
                .build();
            Agent::with_parts(config, connector, resolver)
        };
        let one_for_both = http == https;
        let http = agent(http);
        let https = if one_for_both { http.clone() } else { agent(https) };
        Ok(HttpTransport { http, https, headers, counts })
    }

    pub(crate) fn counts(&self) -> &Arc<ConnectionCounts> {
        &self.counts
    }

    fn exchange(&self, request: &HttpRequest<'_>) -> Result<HttpResponse, ureq::Error> {
        let agent = if request.url.starts_with("https:") { &self.https } else { &self.http };
        let mut headers = self.headers.clone();
        headers.insert(REQUEST_ID, HeaderValue::from_str(request.request_id).map_err(ureq::http::Error::from)?);
        let mut post = Request::new(request.body);
        *post.method_mut() = Method::POST;
        *post.uri_mut() = request.url.parse().map_err(ureq::http::Error::from)?;
        *post.headers_mut() = headers;
        let mut response = agent.run(post)?;
        let retry_after =
            response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        // One read where the length is known; what claims to be large has to prove it.
        let length = response.body().content_length().unwrap_or(0).min(64 * 1024) as usize;
        let mut body = Vec::with_capacity(length + 1);
        let read = response.body_mut().as_reader().take(MAX_ANSWER + 1).read_to_end(&mut body)?;
        if read as u64 > MAX_ANSWER {
            return Err(ureq::Error::BodyExceedsLimit(MAX_ANSWER));
        }
        Ok(HttpResponse { status, retry_after, body, attempts: 1 })
    }
}

impl Transport for HttpTransport {
    fn post(&self, request: &HttpRequest<'_>, control: &Arc<CallControl>) -> Result<HttpResponse, Failure> {
        control.begin_attempt();
        let result = {
            let _entered = enter(control);
            self.exchange(request)
        };
        match result {
            // An end may have cut the answer short in a way that looks complete.
            Ok(answer) if control.end().is_none() => Ok(answer),
            Ok(_) => Err(ended(control)),
            Err(error) => Err(failure(&error, control)),
        }
    }
}

fn ended(control: &CallControl) -> Failure {
    Failure {
        kind: FailureKind::Ended,
        phase: control.phase(),
        message: "the call was ended".to_owned(),
        sent: control.sent(),
        answered: control.answered(),
        reused: control.reused(),
        temporary: false,
    }
}

fn failure(error: &ureq::Error, control: &CallControl) -> Failure {
    if control.end().is_some() {
        return ended(control);
    }
    let phase = control.phase();
    let tls_error = tls_error(error);
    let mut failure = Failure {
        kind: FailureKind::Network,
        phase,
        message: describe(error, phase, tls_error),
        sent: control.sent(),
        answered: control.answered(),
        reused: control.reused(),
        temporary: true,
    };
    if control.remaining().is_none() {
        failure.kind = FailureKind::Deadline;
        return failure;
    }
    match error {
        ureq::Error::BodyExceedsLimit(_)
        | ureq::Error::LargeResponseHeader(..)
        | ureq::Error::Decompress(..)
        | ureq::Error::Protocol(_)
        | ureq::Error::Http(_) => {
            failure.kind = FailureKind::InvalidResponse;
            failure.phase = Phase::Response;
        }
        ureq::Error::Io(io) if io.kind() == io::ErrorKind::InvalidData && tls_error.is_none() => {
            failure.kind = FailureKind::InvalidResponse;
            failure.phase = Phase::Response;
        }
        ureq::Error::ConnectProxyFailed(_) => {
            failure.phase = Phase::Proxy;
            // A proxy that refuses does so again.
            failure.temporary = false;
        }
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => failure.temporary = false,
        _ => {}
    }
    if tls_error.is_some() {
        // With TLS 1.3 the server's verdict on a client certificate arrives after the request left; it did
        // not read that request.
        failure.phase = Phase::Tls;
        failure.sent = false;
        failure.temporary = false;
    }
    failure
}

/// The TLS failure inside an error. A connection that just broke is none.
fn tls_error(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref::<rustls::Error>(),
        _ => None,
    }
}

fn describe(error: &ureq::Error, phase: Phase, tls_error: Option<&rustls::Error>) -> String {
    let action = match phase {
        Phase::Resolve => "looking up the edge's name",
        Phase::Connect => "connecting to the edge",
        Phase::Proxy => "reaching the proxy",
        Phase::Tls => "the TLS handshake",
        Phase::Send => "sending the request",
        _ => "reading the answer",
    };
    if let Some(tls_error) = tls_error {
        return format!("TLS failed: {tls_error}");
    }
    match error {
        ureq::Error::Io(io) if io.kind() == io::ErrorKind::TimedOut => format!("{action} took too long"),
        ureq::Error::BodyExceedsLimit(limit) => format!("the answer has more than {limit} bytes"),
        ureq::Error::Decompress(..) => "the answer cannot be decompressed".to_owned(),
        ureq::Error::Protocol(_) | ureq::Error::Http(_) => "the answer is no HTTP/1.1".to_owned(),
        ureq::Error::Io(io) => match io.source() {
            Some(source) => format!("{action} failed: {io}: {source}"),
            None => format!("{action} failed: {io}"),
        },
        // Errors of ureq's own name hosts and reasons, no credentials.
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
}
