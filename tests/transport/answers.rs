//! What comes back from the wire: framing, compression, bounds, and bytes that are no answer.

use std::io::{Read, Write};

use adobe_target::local_edge::{Fault, LocalEdge};
use serde_json::{Value, json};

use crate::net::*;

const BODY: &str = "{\"status\":200,\"notifications\":[{\"id\":\"n1\"}]}";

/// Makes one call against a server that answers with these bytes.
fn call(answer: impl Into<Vec<u8>>, end: Option<End>) -> Result<Value, Value> {
    let wire = Wire::answering(answer, end);
    let client = client(wire.addr, json!({"retry": {"max_attempts": 1}, "timeout": 60_000}));
    match client.send_notifications_json(&display()) {
        Ok(envelope) => Ok(serde_json::from_str(&envelope).unwrap()),
        Err(error) => Err(serde_json::from_str(&error.to_json()).unwrap()),
    }
}

#[track_caller]
fn assert_answered(answer: impl Into<Vec<u8>>, end: Option<End>) {
    let envelope = call(answer, end).unwrap();
    assert_eq!(envelope["meta"]["notifications"]["acknowledged"], json!(["n1"]));
}

#[track_caller]
fn assert_invalid(answer: impl Into<Vec<u8>>, end: Option<End>) -> String {
    let error = call(answer, end).unwrap_err();
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_INVALID_RESPONSE", "response"), "unknown"));
    error["message"].as_str().unwrap().to_owned()
}

#[track_caller]
fn assert_broken(answer: impl Into<Vec<u8>>, end: End) {
    let error = call(answer, Some(end)).unwrap_err();
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_NETWORK", "receive"), "unknown"));
    assert_eq!(error["retryable"], true);
}

#[test]
fn every_framing_of_http_is_understood() {
    let length = BODY.len();
    assert_answered(ANSWER, None);
    assert_answered(
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{BODY}\r\n0\r\n\r\n"),
        None,
    );
    assert_answered(
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x};a=b\r\n{BODY}\r\n0\r\nA: b\r\n\r\n"),
        None,
    );
    assert_answered(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{BODY}"), Some(End::Close));
    assert_answered(format!("HTTP/1.1 200 OK\r\n\r\n{BODY}"), Some(End::Close));
    assert_answered(format!("HTTP/1.0 200 OK\r\n\r\n{BODY}"), Some(End::Close));
    assert_answered(format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{BODY}"), Some(End::Close));
    assert_answered(format!("HTTP/1.1 200\r\ncontent-LENGTH:{length}\r\n\r\n{BODY}"), None);
    assert_answered("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", None);
    assert_answered("HTTP/1.1 204 No Content\r\n\r\n", None);
    assert_answered("HTTP/1.1 204 No Content\r\nContent-Length: 10\r\n\r\n", None);
}

#[test]
fn informational_answers_are_passed_over() {
    let text = String::from_utf8(ANSWER.to_vec()).unwrap();
    assert_answered(format!("HTTP/1.1 100 Continue\r\n\r\n{text}"), None);
    assert_answered(
        format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n{text}"),
        None,
    );
    let error = call("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", None).unwrap_err();
    assert_eq!((&error["code"], &error["http_status"]), (&json!("TARGET_ERR_HTTP"), &json!(101)));
}

#[test]
fn redirects_are_not_followed() {
    let elsewhere = LocalEdge::start().unwrap();
    for status in [301, 302, 303, 307, 308] {
        let location = elsewhere.url("/rest/v1/delivery");
        let answer = format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let error = call(answer, None).unwrap_err();
        assert_eq!((&error["code"], &error["http_status"]), (&json!("TARGET_ERR_HTTP"), &json!(status)));
        assert_eq!((&error["retryable"], fate(&error).as_str()), (&json!(false), "rejected"));
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn an_answer_that_stops_early_is_a_broken_connection_however_it_is_framed() {
    for end in [End::Close, End::Reset] {
        assert_broken("HTTP/1.1 200 OK\r\nContent-Le", end);
        assert_broken(&ANSWER[..ANSWER.len() - 5], end);
        assert_broken("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{\"status\":200", end);
        assert_broken("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 99\r\n\r\n\x1f", end);
    }
}

#[test]
fn a_reset_is_not_the_end_of_an_answer_without_length() {
    // An empty answer would acknowledge everything.
    assert_broken("HTTP/1.1 200 OK\r\n\r\n", End::Reset);
    assert_broken(format!("HTTP/1.0 200 OK\r\n\r\n{BODY}"), End::Reset);
}

#[test]
fn a_compressed_answer_that_stops_early_is_a_broken_connection() {
    let edge = LocalEdge::start().unwrap();
    let client_of_edge = client(edge.host(), json!({}));
    edge.fault(Fault::Gzip);
    let envelope = client_of_edge.send_notifications_json(&display()).unwrap();
    assert!(envelope.contains(r#""acknowledged":["n1"]"#), "{envelope}");
    // A gzip member with one stored block of two bytes, whole and cut.
    let member = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x01\x02\0\xfd\xff{}\x43\xbf\xa6\xa3\x02\0\0\0";
    let head = |length: usize| {
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n").into_bytes()
    };
    assert_answered([&head(member.len()), &member[..]].concat(), None);
    for cut in [3, 12, 16, 20] {
        for end in [End::Close, End::Reset] {
            assert_broken([&head(member.len()), &member[..cut]].concat(), end);
        }
        // The same bytes as a whole answer are nonsense, not a broken connection.
        let message = assert_invalid([&head(cut), &member[..cut]].concat(), None);
        let without_content = "answered 200: the compressed answer is empty or ends too early";
        assert_eq!(message, if cut < 16 { without_content } else { "the compressed answer ends too early" });
    }
    assert_eq!(assert_invalid(head(0), None), "answered 200: the compressed answer is empty or ends too early");
    assert_answered(b"HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n".to_vec(), None);
    let message = assert_invalid([&head(12)[..], b"{\"a\":\"bcde\"}"].concat(), None);
    assert_eq!(message, "the answer cannot be decompressed");
}

#[test]
fn the_status_of_an_error_counts_although_its_body_does_not_come() {
    // 429 says that nothing was counted, so that even a click may be sent again.
    let wire = Wire::start(|mut stream, number| {
        read_request(&mut stream);
        let answer = if number == 0 { b"HTTP/1.1 429 Slow Down\r\nContent-Length: 100\r\n\r\n{" } else { ANSWER };
        stream.write_all(answer).unwrap();
        End::Close
    });
    let client = client(wire.addr, json!({}));
    client.send_notifications_json(&click()).unwrap();
    assert_eq!(wire.accepted(), 2);
}

#[test]
fn an_answer_that_comes_before_the_request_was_read_is_heard() {
    let answer = |status: u16| format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    for end in [End::Close, End::Reset] {
        let wire = Wire::start(move |mut stream, number| {
            stream.read_exact(&mut [0; 1000]).unwrap();
            stream.write_all(answer(if number == 0 { 429 } else { 413 }).as_bytes()).unwrap();
            end
        });
        let client = client(wire.addr, json!({}));
        let error = error_of(client.send_notifications_json(&large_display(12_000_000)));
        assert_eq!((&error["http_status"], &error["attempts"]), (&json!(413), &json!(2)));
        assert_eq!(fate(&error), "rejected");
        assert_eq!(client.stats().connections_open, 0);
    }
}

#[test]
fn a_connection_that_breaks_under_the_request_leaves_its_outcome_unknown() {
    let wire = Wire::start(|mut stream, _| {
        stream.read_exact(&mut [0; 1000]).unwrap();
        End::Reset
    });
    let client = client(wire.addr, json!({}));
    let error = error_of(client.send_notifications_json(&large_display(12_000_000)));
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_NETWORK", "send"), "unknown"));
    assert_eq!((&error["retryable"], &error["attempts"]), (&json!(true), &json!(3)));
}

#[test]
fn what_is_no_http_is_an_invalid_response() {
    for garbage in [
        "\x16\x03\x01 this is not HTTP\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20x OK\r\n\r\n",
        "HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}}}}\r\n",
        "HTTP/1.1 100 Continue\r\nA: b\r\n\r\n",
    ] {
        assert_invalid(garbage, Some(End::Close));
    }
}

#[test]
fn what_is_no_json_is_an_invalid_response() {
    assert_invalid("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", None);
    assert_invalid(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe", None);
    assert_invalid("HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{\x01", None);
}

#[test]
fn a_header_without_end_is_refused() {
    let padding = |bytes: usize| format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(bytes));
    let message = assert_invalid(padding(40_000), Some(End::Close));
    assert_eq!(message, "the answer's header has more than 16384 bytes");
    let many: String = (0..500).map(|n| format!("A{n}: b\r\n")).collect();
    assert_invalid(format!("HTTP/1.1 200 OK\r\n{many}\r\n"), Some(End::Close));
    assert_answered(format!("{}\r\nContent-Length: 0\r\n\r\n", padding(15_000)), None);
}

#[test]
fn a_body_over_the_bound_is_refused() {
    const MEGABYTE: usize = 1024 * 1024;
    let blank = |bytes: usize| {
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes + BODY.len()).into_bytes();
        answer.resize(answer.len() + bytes, b' ');
        answer.extend_from_slice(BODY.as_bytes());
        answer
    };
    assert_answered(blank(16 * MEGABYTE - BODY.len()), None);
    for answer in [blank(16 * MEGABYTE - BODY.len() + 1), blank(20 * MEGABYTE)] {
        assert_eq!(assert_invalid(answer, None), "the answer has more than 16777216 bytes");
    }
    // A length that nobody can hold is not believed.
    let wire = Wire::answering("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n{", Some(End::Close));
    let client = client(wire.addr, json!({"retry": {"max_attempts": 1}}));
    assert_eq!(kind(&error_of(client.send_notifications_json(&display()))), ("TARGET_ERR_NETWORK", "receive"));
}

#[test]
fn nothing_that_a_server_sends_makes_a_client_panic_or_unusable() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let pieces: [&[u8]; 24] = [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /x\r\n",
        b"HTTP/1.1 304 Not Modified\r\n",
        b"HTTP/1.1 101 X\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 0\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
        b"Retry-After: 99999999999999999999\r\n",
        b"Retry-After: Fri, 99 Abc 0000 25:61:61 GMT\r\n",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"0\r\n",
        b"{}",
        b"\0\xff\x1f\x8b\x08",
        b"hello",
    ];
    for _ in 0..400 {
        let answer: Vec<u8> = (0..1 + random(10)).flat_map(|_| pieces[random(pieces.len())].to_vec()).collect();
        let end = if random(2) == 0 { End::Close } else { End::Reset };
        let wire = Wire::answering(answer.clone(), Some(end));
        let client = client(wire.addr, json!({"retry": {"max_attempts": 2, "base_delay": 0}, "timeout": 60_000}));
        for options in [display(), click()] {
            let result = client.send_notifications_json(&options);
            if let Err(error) = result {
                assert_ne!(error.code().as_str(), "TARGET_ERR_INTERNAL", "{}", String::from_utf8_lossy(&answer));
            }
        }
    }
}
