//! Requests as they come over a socket: whole, in pieces, hostile.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::{Input, Limits, MAX_HEADERS, MAX_REQUEST_LINE, Unread};

const LIMITS: Limits =
    Limits { max_body: 1000, request_timeout: Duration::from_secs(10), idle_timeout: Duration::from_secs(10) };

fn connected(limits: Limits) -> (TcpStream, Input) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_nodelay(true).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, Input::new(Arc::new(server), limits).unwrap())
}

/// Reads one request whole.
fn read(input: &mut Input) -> Result<(), Unread> {
    input.wait()?;
    input.read_head(|_| false)?;
    input.read_body()
}

fn sent(bytes: &[u8]) -> (TcpStream, Input) {
    let (mut client, input) = connected(LIMITS);
    client.write_all(bytes).unwrap();
    (client, input)
}

/// The status and message of a refusal.
fn refusal(bytes: &[u8]) -> (u16, String) {
    let (_client, mut input) = sent(bytes);
    match read(&mut input) {
        Err(Unread::Refused { status, message }) => (status, message.into_owned()),
        other => panic!("{:?} was not refused: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

#[test]
fn a_request_is_taken_apart() {
    let (_client, mut input) =
        sent(b"POST /a/b?c=d HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nX-Some:  v w \r\nContent-Length: 5\r\n\r\nhello");
    read(&mut input).unwrap();
    let request = input.request();
    assert_eq!(
        (request.method(), request.target(), request.path(), request.query(), request.authority()),
        ("POST", "/a/b?c=d", "/a/b", "c=d", None)
    );
    assert_eq!(request.body, b"hello");
    assert_eq!(request.header("x-some"), Some(&b"v w"[..]));
    assert_eq!(request.header("X-EMPTY"), Some(&b""[..]));
    assert!(request.keep_alive());
}

#[test]
fn every_cut_gives_the_same_request() {
    let bytes = b"POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nabcd\r\n3\r\nefg\r\n0\r\nT: t\r\n\r\n";
    for cut in 1..bytes.len() {
        let (mut client, mut input) = connected(LIMITS);
        client.write_all(&bytes[..cut]).unwrap();
        let reader = std::thread::spawn(move || {
            read(&mut input).unwrap();
            input.request().body.to_vec()
        });
        client.write_all(&bytes[cut..]).unwrap();
        assert_eq!(reader.join().unwrap(), b"abcdefg", "cut at {cut}");
    }
}

#[test]
fn requests_may_follow_each_other_at_once() {
    let (_client, mut input) = sent(
        b"POST /1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n\
          \r\nPOST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nbGET /3 HTTP/1.0\r\n\r\n",
    );
    for (path, body, keep_alive) in [("/1", "a", true), ("/2", "b", true), ("/3", "", false)] {
        read(&mut input).unwrap();
        let request = input.request();
        assert_eq!((request.path(), request.body, request.keep_alive()), (path, body.as_bytes(), keep_alive));
    }
}

#[test]
fn the_connection_header_decides_over_the_version() {
    for (head, keep_alive) in [
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: h\r\nConnection: foo, Close\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
        ("GET / HTTP/1.0\r\nHost: h\r\n\r\n", false),
    ] {
        let (_client, mut input) = sent(head.as_bytes());
        read(&mut input).unwrap();
        assert_eq!(input.request().keep_alive(), keep_alive, "{head}");
    }
}

#[test]
fn proxied_requests_name_their_host() {
    for (line, authority, path, query) in [
        ("POST http://h.example:81/p?q=/? HTTP/1.1", Some("h.example:81"), "/p", "q=/?"),
        ("POST HTTP://h.example HTTP/1.1", Some("h.example"), "", ""),
        ("POST https://h.example?q HTTP/1.1", Some("h.example"), "", "q"),
        ("CONNECT h.example:443 HTTP/1.1", Some("h.example:443"), "", ""),
        ("OPTIONS * HTTP/1.1", None, "*", ""),
    ] {
        let (_client, mut input) = sent(format!("{line}\r\nHost: h\r\n\r\n").as_bytes());
        read(&mut input).unwrap();
        let request = input.request();
        assert_eq!((request.authority(), request.path(), request.query()), (authority, path, query), "{line}");
    }
}

#[test]
fn malformed_requests_are_refused() {
    for (bytes, status) in [
        ("GET /\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\n\r\n", 400),
        ("GET / x HTTP/1.1\r\n\r\n", 400),
        ("G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (" / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /ä HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        ("GET / SMTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\n: v\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\nY: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\n\r\n", 417),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400),
    ] {
        assert_eq!(refusal(bytes.as_bytes()).0, status, "{bytes:?}");
    }
}

#[test]
fn what_is_too_large_is_refused() {
    let line = format!("GET /{} HTTP/1.1\r\n", "x".repeat(MAX_REQUEST_LINE));
    assert_eq!(refusal(line.as_bytes()).0, 414);
    let headers = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(MAX_HEADERS));
    assert_eq!(refusal(headers.as_bytes()).0, 431);
    let header = format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}", "x".repeat(70_000));
    assert_eq!(refusal(header.as_bytes()).0, 431);
    assert_eq!(refusal(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n").0, 413);
    let chunks = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n3e8\r\n";
    assert_eq!(refusal(chunks), (413, "request body is over 1000 bytes".to_owned()));
    let chunk_line = format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;{}", "x".repeat(2000));
    assert_eq!(refusal(chunk_line.as_bytes()).0, 400);
    assert_eq!(refusal(&b"\r\n".repeat(20)).0, 400);
}

#[test]
fn a_body_of_the_largest_size_is_read() {
    let mut bytes = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..1000 {
        bytes.extend_from_slice(b"1\r\nx\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    let (_client, mut input) = sent(&bytes);
    read(&mut input).unwrap();
    assert_eq!(input.request().body, [b'x'; 1000]);
}

#[test]
fn a_client_that_expects_it_is_told_to_continue() {
    let (mut client, mut input) =
        sent(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    let reader = std::thread::spawn(move || {
        read(&mut input).unwrap();
        input.request().body.to_vec()
    });
    let mut go_on = [0; 25];
    client.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"hi").unwrap();
    assert_eq!(reader.join().unwrap(), b"hi");
}

#[test]
fn a_client_that_expects_to_send_too_much_is_refused_at_once() {
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(refusal(head).0, 413);
}

#[test]
fn slow_requests_time_out_and_idle_connections_close() {
    let limits =
        Limits { request_timeout: Duration::from_millis(50), idle_timeout: Duration::from_millis(50), ..LIMITS };
    for begun in
        ["GET / HT", "GET / HTTP/1.1\r\nHost: h\r\n", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab"]
    {
        let (mut client, mut input) = connected(limits);
        client.write_all(begun.as_bytes()).unwrap();
        let result = read(&mut input);
        assert!(matches!(result, Err(Unread::Refused { status: 408, .. })), "{begun}: {result:?}");
    }
    let (_client, mut input) = connected(limits);
    assert!(matches!(input.wait(), Err(Unread::Closed)));
}

/// It has no line end, so its sender would wait until a deadline.
#[test]
fn whoever_speaks_tls_is_told_at_once() {
    let (status, message) = refusal(b"\x16\x03\x01\x02\x00\x01\x00");
    assert_eq!(status, 400);
    assert!(message.contains("\"secure\": false"), "{message}");
}

#[test]
fn the_path_is_seen_before_the_rest_has_come() {
    let (_client, mut input) = sent(b"POST /stop?x HTTP/1.1\r\n");
    input.wait().unwrap();
    let result = input.read_head(|path| path == "/stop");
    assert!(matches!(result, Err(Unread::Stopped)), "{result:?}");
}

#[test]
fn a_peer_that_closes_half_way_is_no_request() {
    for half in ["GET / HT", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nab"] {
        let (client, mut input) = sent(half.as_bytes());
        drop(client);
        assert!(matches!(read(&mut input), Err(Unread::Closed)), "{half}");
    }
}
