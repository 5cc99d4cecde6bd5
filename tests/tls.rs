//! TLS: whom a client trusts, what it says when it does not, and what a handshake may cost.
#![cfg(feature = "local-edge")]

#[path = "transport/net.rs"]
mod net;
#[path = "transport/tls_server.rs"]
mod tls_server;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use adobe_target::TargetClient;
use rustls::ServerConfig;
use serde_json::{Value, json};

use net::*;
use tls_server::*;

/// A client of `localhost` at that port that trusts the authorities in the file.
fn tls_client(addr: SocketAddr, authorities: &File, more: Value) -> TargetClient {
    tls_client_of("localhost", addr, json!({"ca_file": authorities.path()}), more)
}

fn tls_client_of(host: &str, addr: SocketAddr, tls: Value, more: Value) -> TargetClient {
    let mut config = json!({"secure": true, "tls": tls});
    for (key, value) in more.as_object().unwrap() {
        config[key] = value.clone();
    }
    client(format!("{host}:{}", addr.port()), config)
}

/// An authority, a server that it vouches for, and the authority's certificate in a file.
struct Trusted {
    authority: Authority,
    config: Arc<ServerConfig>,
    file: File,
}

fn trusted() -> Trusted {
    let authority = Authority::new("authority");
    let config = server_config(&authority.server("localhost", &VALID), &Terms::default());
    let file = File::new(authority.pem());
    Trusted { authority, config, file }
}

/// The failure of a handshake that would fail again.
#[track_caller]
fn assert_refused(client: &TargetClient, wire: &Wire, reason: &str) {
    let error = error_of(client.send_notifications_json(&click()));
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_NETWORK", "tls"), "not_sent"), "{error}");
    assert_eq!((&error["retryable"], &error["attempts"]), (&json!(false), &json!(1)), "{error}");
    assert!(error["message"].as_str().unwrap().contains(reason), "{error}");
    assert_eq!(wire.accepted(), 1, "it is not tried again");
}

#[test]
fn one_connection_serves_many_calls() {
    let Trusted { config, file, .. } = trusted();
    let (wire, answered) = answering(config);
    let client = tls_client(wire.addr, &file, json!({}));
    for _ in 0..10 {
        client.send_notifications_json(&click()).unwrap();
    }
    assert_eq!((wire.accepted(), answered.load(Ordering::SeqCst)), (1, 10));
    assert_eq!((client.stats().connections_reused, client.stats().retries), (9, 0));
}

#[test]
fn both_versions_that_are_safe_are_spoken() {
    let authority = Authority::new("authority");
    let identity = authority.server("localhost", &VALID);
    let file = File::new(authority.pem());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let (wire, _) = answering(server_config(&identity, &Terms { versions: &[version], ..Terms::default() }));
        let client = tls_client(wire.addr, &file, json!({}));
        client.send_notifications_json(&click()).unwrap();
        client.send_notifications_json(&large_display(300_000)).unwrap();
        assert_eq!(wire.accepted(), 1);
    }
}

#[test]
fn an_address_may_be_what_a_certificate_is_for() {
    let authority = Authority::new("authority");
    let (wire, _) = answering(server_config(&authority.server("127.0.0.1", &VALID), &Terms::default()));
    let file = File::new(authority.pem());
    let client = tls_client_of("127.0.0.1", wire.addr, json!({"ca_file": file.path()}), json!({}));
    client.send_notifications_json(&click()).unwrap();
}

#[test]
fn a_file_may_hold_many_authorities_and_other_things() {
    let Trusted { authority, config, .. } = trusted();
    let others: Vec<String> = (0..3).map(|n| Authority::new(&format!("other {n}")).pem()).collect();
    let key = authority.client().key_pem;
    let file = File::new(format!("# ours\n{}{}\n\n{key}{}{}", others[0], others[1], authority.pem(), others[2]));
    let (wire, _) = answering(config);
    tls_client(wire.addr, &file, json!({})).send_notifications_json(&click()).unwrap();
}

#[test]
fn a_certificate_may_vouch_for_itself_where_it_is_named() {
    let identity = self_signed("localhost");
    let (wire, _) = answering(server_config(&identity, &Terms::default()));
    let file = File::new(&identity.certificate_pem);
    tls_client(wire.addr, &file, json!({})).send_notifications_json(&click()).unwrap();
}

#[test]
fn a_certificate_that_proves_nothing_is_refused_once_and_says_why() {
    let authority = Authority::new("authority");
    let file = File::new(authority.pem());
    let cases = [
        (authority.server("elsewhere.example", &VALID), "not valid for name \"localhost\""),
        (authority.server("localhost", &EXPIRED), "expired"),
        (authority.server("localhost", &NOT_YET_VALID), "not valid yet"),
        (Authority::new("somebody else").server("localhost", &VALID), "UnknownIssuer"),
        // The same name does not make the same authority.
        (Authority::new("authority").server("localhost", &VALID), "invalid peer certificate"),
        (self_signed("localhost"), "UnknownIssuer"),
        (authority.client(), "invalid peer certificate"),
    ];
    for (identity, reason) in cases {
        let (wire, answered) = answering(server_config(&identity, &Terms::default()));
        assert_refused(&tls_client(wire.addr, &file, json!({})), &wire, reason);
        assert_eq!(answered.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn the_bundled_authorities_do_not_know_ours() {
    let (wire, _) = answering(trusted().config);
    assert_refused(&tls_client_of("localhost", wire.addr, json!({}), json!({})), &wire, "UnknownIssuer");
}

#[test]
fn the_decisions_clock_has_no_say_in_certificates() {
    let authority = Authority::new("authority");
    let file = File::new(authority.pem());
    let clock = |year: i64| json!({"fixed_clock_ms": (year - 1970) * 31_557_600_000});
    let (wire, _) = answering(server_config(&authority.server("localhost", &EXPIRED), &Terms::default()));
    assert_refused(&tls_client(wire.addr, &file, clock(2020)), &wire, "expired");
    let (wire, _) = answering(server_config(&authority.server("localhost", &VALID), &Terms::default()));
    tls_client(wire.addr, &file, clock(2010)).send_notifications_json(&click()).unwrap();
}

#[test]
fn a_client_certificate_is_given_where_it_is_asked_for() {
    let authority = Authority::new("authority");
    let (certificate, file) = (authority.client(), File::new(authority.pem()));
    let (certificate_file, key_file) = (File::new(&certificate.certificate_pem), File::new(&certificate.key_pem));
    let stranger = Authority::new("stranger").client();
    let (stranger_file, stranger_key) = (File::new(&stranger.certificate_pem), File::new(&stranger.key_pem));
    let tls = |certificate: Option<(&File, &File)>| match certificate {
        None => json!({"ca_file": file.path()}),
        Some((certificate, key)) => json!({
            "ca_file": file.path(),
            "client_certificate_file": certificate.path(),
            "client_key_file": key.path(),
        }),
    };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let terms = Terms { versions: &[version], clients_of: Some(&authority) };
        let config = server_config(&authority.server("localhost", &VALID), &terms);
        let call = |certificate, reason: Option<&str>| {
            let (wire, answered) = answering(Arc::clone(&config));
            let client = tls_client_of("localhost", wire.addr, tls(certificate), json!({}));
            match reason {
                None => drop(client.send_notifications_json(&click()).unwrap()),
                Some(reason) => {
                    assert_refused(&client, &wire, reason);
                    assert_eq!(answered.load(Ordering::SeqCst), 0);
                }
            }
        };
        call(Some((&certificate_file, &key_file)), None);
        call(None, Some("received fatal alert: CertificateRequired"));
        call(Some((&stranger_file, &stranger_key)), Some("received fatal alert: "));
    }
}

#[test]
fn files_that_cannot_serve_are_refused_when_the_client_is_made() {
    let authority = Authority::new("authority");
    let (client, other) = (authority.client(), authority.client());
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let key_nonsense = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let refused = |tls: Value| {
        let error = error_of(try_client("localhost", json!({"secure": true, "tls": tls})));
        assert_eq!(error["code"], "TARGET_ERR_INVALID_OPTIONS");
        error["field"].as_str().unwrap().to_owned()
    };
    for content in ["", "no PEM at all", nonsense, &client.key_pem, "-----BEGIN CERTIFICATE-----\n%%%\n"] {
        assert_eq!(refused(json!({"ca_file": File::new(content).path()})), "tls.ca_file", "{content}");
    }
    let pair = |certificate: &str, key: &str| {
        let (certificate, key) = (File::new(certificate), File::new(key));
        refused(json!({"client_certificate_file": certificate.path(), "client_key_file": key.path()}))
    };
    assert_eq!(pair(&client.certificate_pem, &other.key_pem), "tls.client_key_file");
    assert_eq!(pair(&client.certificate_pem, key_nonsense), "tls.client_key_file");
    assert_eq!(pair(&client.certificate_pem, &client.certificate_pem), "tls.client_key_file");
    assert_eq!(pair(nonsense, &client.key_pem), "tls.client_key_file");
    assert_eq!(pair(&client.key_pem, &client.key_pem), "tls.client_certificate_file");
}

#[test]
fn a_server_that_speaks_something_else_is_told_apart() {
    let Trusted { file, .. } = trusted();
    for words in [&b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"[..], b"SSH-2.0-OpenSSH_9.2\r\n"] {
        let wire = Wire::start(move |mut stream, _| {
            stream.read_exact(&mut [0; 64]).unwrap();
            stream.write_all(words).unwrap();
            drain(&mut stream);
            End::Close
        });
        assert_refused(&tls_client(wire.addr, &file, json!({})), &wire, "the server does not seem to speak it here");
    }
}

#[test]
fn a_connection_that_ends_in_the_handshake_is_tried_again() {
    let Trusted { file, .. } = trusted();
    for end in [End::Close, End::Reset] {
        let wire = Wire::start(move |mut stream, _| {
            stream.read_exact(&mut [0; 64]).unwrap();
            end
        });
        let client = tls_client(wire.addr, &file, json!({}));
        let error = error_of(client.send_notifications_json(&click()));
        assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_NETWORK", "tls"), "not_sent"));
        assert_eq!((&error["retryable"], &error["attempts"]), (&json!(true), &json!(3)));
        assert_eq!(wire.accepted(), 3);
    }
}

#[test]
fn a_handshake_without_answer_ends_at_the_deadline() {
    let Trusted { file, config, .. } = trusted();
    let silent = Wire::start(|mut stream, _| {
        drain(&mut stream);
        End::Close
    });
    // Its records come one byte at a time.
    let slow = Wire::start(move |stream, _| {
        let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let (mut reader, mut writer) = (stream, stream);
        let mut flight = Vec::new();
        connection.read_tls(&mut reader).unwrap();
        connection.process_new_packets().unwrap();
        connection.write_tls(&mut flight).unwrap();
        for byte in flight {
            if writer.write_all(&[byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        End::Close
    });
    for wire in [&silent, &slow] {
        let client = tls_client(wire.addr, &file, timeout(250));
        let error = error_of(ends_at(Duration::from_millis(250), || client.send_notifications_json(&click())));
        assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_TIMEOUT", "tls"), "not_sent"));
    }
}

#[test]
fn cancelling_a_handshake_ends_the_call() {
    let Trusted { file, .. } = trusted();
    let (begun, begins) = mpsc::channel();
    let begun = Mutex::new(begun);
    let wire = Wire::start(move |mut stream, _| {
        stream.read_exact(&mut [0; 64]).unwrap();
        begun.lock().unwrap().send(()).unwrap();
        drain(&mut stream);
        End::Close
    });
    let client = tls_client(wire.addr, &file, json!({}));
    let options: Value = serde_json::from_str(&click()).unwrap();
    let request = serde_json::from_value(options["request"].clone()).unwrap();
    let call = client.send_notifications_async(&adobe_target::CallOptions::new(request)).unwrap();
    begins.recv().unwrap();
    call.cancel();
    let (result, elapsed) = timed(|| call.wait(Some(LONG)));
    let error = error_of(result);
    assert!(elapsed < AT_ONCE, "{elapsed:?}");
    assert_eq!((&error["code"], fate(&error).as_str()), (&json!("TARGET_ERR_CANCELLED"), "not_sent"));
}

#[test]
fn a_record_that_was_tampered_with_leaves_the_outcome_unknown() {
    // The server had the request: nobody may call it unsent, least of all for a click.
    let Trusted { config, file, .. } = trusted();
    let wire = tls_server(config, |stream, _| {
        read_request(stream);
        stream.sock.write_all(&[&b"\x17\x03\x03\x00\x20"[..], &[7; 32]].concat()).unwrap();
        drain(&mut stream.sock);
        End::Close
    });
    let client = tls_client(wire.addr, &file, json!({}));
    let error = error_of(client.send_notifications_json(&click()));
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_NETWORK", "receive"), "unknown"));
    assert_eq!((&error["retryable"], &error["attempts"]), (&json!(true), &json!(1)));
    let error = error_of(client.send_notifications_json(&display()));
    assert_eq!((fate(&error).as_str(), &error["attempts"]), ("unknown", &json!(3)));
}

#[test]
fn an_end_without_notice_is_not_the_end_of_an_answer() {
    let Trusted { config, file, .. } = trusted();
    let answer = |in_good_order: bool| {
        let wire = tls_server(Arc::clone(&config), move |stream, _| {
            read_request(stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap();
            if in_good_order {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
            End::Close
        });
        tls_client(wire.addr, &file, json!({})).send_notifications_json(&click())
    };
    answer(true).unwrap();
    let error = error_of(answer(false));
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_NETWORK", "receive"), "unknown"));
}

/// A server that after each answer does something, says so, and goes on.
fn server_with_afterthought(
    config: Arc<ServerConfig>,
    afterthought: impl Fn(&mut TlsStream<'_>) + Send + Sync + 'static,
) -> (Wire, mpsc::Receiver<()>) {
    let (done, has_done) = mpsc::channel();
    let done = Mutex::new(done);
    let wire = tls_server(config, move |stream, _| {
        while read_request(stream).is_some() {
            stream.write_all(ANSWER).unwrap();
            afterthought(stream);
            stream.flush().unwrap();
            done.lock().unwrap().send(()).unwrap();
        }
        // A server may close its direction and go on reading, so that nothing but the notice tells.
        drain(&mut stream.sock);
        End::Close
    });
    (wire, has_done)
}

#[test]
fn a_connection_whose_close_was_announced_is_not_used_again_although_it_is_open() {
    let Trusted { config, file, .. } = trusted();
    let (wire, has_done) = server_with_afterthought(config, |stream| stream.conn.send_close_notify());
    let client = tls_client(wire.addr, &file, json!({}));
    for calls in 1..=3 {
        client.send_notifications_json(&click()).unwrap();
        has_done.recv().unwrap();
        assert_eq!(wire.accepted(), calls);
    }
    assert_eq!(client.stats().retries, 0);
}

#[test]
fn a_close_that_is_announced_together_with_the_answer_is_heard() {
    let Trusted { config, file, .. } = trusted();
    let wire = tls_server(config, |stream, _| {
        read_request(stream);
        stream.conn.writer().write_all(ANSWER).unwrap();
        stream.conn.send_close_notify();
        let mut flight = Vec::new();
        while stream.conn.wants_write() {
            stream.conn.write_tls(&mut flight).unwrap();
        }
        stream.sock.write_all(&flight).unwrap();
        drain(&mut stream.sock);
        End::Close
    });
    let client = tls_client(wire.addr, &file, json!({}));
    for calls in 1..=3 {
        client.send_notifications_json(&click()).unwrap();
        assert_eq!(wire.accepted(), calls);
    }
}

#[test]
fn what_tls_has_to_say_while_idle_costs_no_connection() {
    let Trusted { config, file, .. } = trusted();
    let (wire, has_done) = server_with_afterthought(config, |stream| stream.conn.refresh_traffic_keys().unwrap());
    let client = tls_client(wire.addr, &file, json!({}));
    for _ in 0..4 {
        client.send_notifications_json(&click()).unwrap();
        has_done.recv().unwrap();
    }
    assert_eq!((wire.accepted(), client.stats().connections_reused), (1, 3));
}

#[test]
fn trusting_is_no_matter_of_the_process() {
    // No provider is installed for the whole program: that belongs to the host.
    let Trusted { config, file, .. } = trusted();
    let (wire, _) = answering(config);
    tls_client(wire.addr, &file, json!({})).send_notifications_json(&click()).unwrap();
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}
