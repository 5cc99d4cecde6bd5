//! Calls that end before their answer: by their deadline, by cancelling, by closing the client.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use adobe_target::local_edge::{Fault, LocalEdge};
use adobe_target::{CallOptions, PendingOffers, TargetClient};
use serde_json::{Value, json};

use crate::net::*;

fn silent_edge() -> LocalEdge {
    let edge = LocalEdge::start().unwrap();
    edge.set_default_reply(Some(Fault::Silence));
    edge
}

fn start(client: &TargetClient, kind: &str) -> PendingOffers {
    let options: Value = serde_json::from_str(&notify(kind, &json!({}))).unwrap();
    let request = serde_json::from_value(options["request"].clone()).unwrap();
    client.send_notifications_async(&CallOptions::new(request)).unwrap()
}

/// Cancels and expects the end at once.
#[track_caller]
fn cancelled(call: &PendingOffers) -> Value {
    call.cancel();
    let (result, elapsed) = timed(|| call.wait(Some(LONG)));
    let error = error_of(result);
    assert!(elapsed < AT_ONCE, "ended {elapsed:?} after it was cancelled");
    assert_eq!(error["code"], "TARGET_ERR_CANCELLED");
    error
}

#[test]
fn a_deadline_of_a_millisecond_holds() {
    let edge = silent_edge();
    let client = client(edge.host(), json!({}));
    let mut times: Vec<Duration> = (0..31)
        .map(|_| {
            let (result, elapsed) = timed(|| client.send_notifications_json(&notify("click", &timeout(1))));
            assert_eq!(error_of(result)["code"], "TARGET_ERR_TIMEOUT");
            elapsed
        })
        .collect();
    times.sort();
    assert!(times[15] < Duration::from_millis(30), "{times:?}");
}

#[test]
fn bytes_that_come_just_in_time_do_not_move_the_deadline() {
    let slowly = |bytes: &'static [u8]| {
        Wire::start(move |mut stream, _| {
            read_request(&mut stream);
            for byte in bytes.iter().cycle() {
                if stream.write_all(&[*byte]).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            End::Close
        })
    };
    // In the status line, in a header, between informational answers.
    for bytes in [&b"HTTP/1.1 200 OK\r\nA: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"[..], b"HTTP/1.1 100 Continue\r\n\r\n"] {
        let wire = slowly(bytes);
        let client = client(wire.addr, json!({"timeout": 250}));
        let error = error_of(ends_at(Duration::from_millis(250), || client.send_notifications_json(&display())));
        assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_TIMEOUT", "receive"), "unknown"));
    }
}

/// A server with room for few bytes that reads nothing until it is told to, and then says how much came in all.
struct LazyReader {
    addr: SocketAddr,
    accepted: mpsc::Receiver<()>,
    read: mpsc::Sender<()>,
    total: JoinHandle<usize>,
}

impl LazyReader {
    fn start() -> Self {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.set_recv_buffer_size(4096).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(1).unwrap();
        let addr = listener.local_addr().unwrap().as_socket().unwrap();
        let (accept, accepted) = mpsc::channel();
        let (read, to_read) = mpsc::channel();
        let total = std::thread::spawn(move || {
            let mut stream = TcpStream::from(listener.accept().unwrap().0);
            accept.send(()).unwrap();
            to_read.recv().unwrap();
            drain(&mut stream)
        });
        LazyReader { addr, accepted, read, total }
    }

    /// Everything that arrives, from the first byte on.
    fn total(self) -> usize {
        self.read.send(()).unwrap();
        self.total.join().unwrap()
    }
}

const LARGE: usize = 8 * 1024 * 1024;
/// What may be on its way between two sockets of which one reads nothing.
const ON_ITS_WAY: usize = 100_000;

#[test]
fn a_server_that_does_not_read_cannot_hold_a_call() {
    let server = LazyReader::start();
    let client = client(server.addr, json!({"timeout": 300}));
    let error = error_of(client.send_notifications_json(&large_display(LARGE)));
    // The deadline begins when the options have been read.
    assert!((295..1300).contains(&error["elapsed_ms"].as_u64().unwrap()), "{error}");
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_TIMEOUT", "send"), "unknown"));
    // The system had taken megabytes; none of them is sent after the call has returned.
    let total = server.total();
    assert!(total < ON_ITS_WAY, "{total} bytes came");
}

#[test]
fn cancelling_while_reading_ends_the_call_and_its_connection() {
    let (arrived, arrivals) = mpsc::channel();
    let (rest, rests) = mpsc::channel();
    let reports = std::sync::Mutex::new((arrived, rest));
    let wire = Wire::start(move |mut stream, _| {
        let (arrived, rest) = &*reports.lock().unwrap();
        read_request(&mut stream);
        arrived.send(()).unwrap();
        rest.send(drain(&mut stream)).unwrap();
        End::Close
    });
    let client = client(wire.addr, json!({}));
    let call = start(&client, "display");
    arrivals.recv().unwrap();
    let error = cancelled(&call);
    assert_eq!((error["phase"].as_str(), fate(&error).as_str()), (Some("receive"), "unknown"));
    assert_eq!(rests.recv().unwrap(), 0, "no byte follows");
    assert_eq!(wire.accepted(), 1, "and no other attempt");
    assert_eq!(client.stats().connections_open, 0);
}

#[test]
fn cancelling_while_sending_ends_the_call() {
    let server = LazyReader::start();
    let client = client(server.addr, json!({}));
    let options: Value = serde_json::from_str(&large_display(LARGE)).unwrap();
    let request = serde_json::from_value(options["request"].clone()).unwrap();
    let call = client.send_notifications_async(&CallOptions::new(request)).unwrap();
    server.accepted.recv().unwrap();
    // The sockets' buffers fill in far less time.
    std::thread::sleep(Duration::from_millis(100));
    let error = cancelled(&call);
    assert_eq!((error["phase"].as_str(), fate(&error).as_str()), (Some("send"), "unknown"));
    let total = server.total();
    assert!(total < ON_ITS_WAY, "{total} bytes came");
}

#[test]
fn cancelling_while_connecting_ends_the_call_whenever_it_comes() {
    let hole = BlackHole::new();
    let client = client(hole.addr, json!({"connect_timeout": 10_000}));
    for step in 0..40_u64 {
        let call = start(&client, "click");
        wait_for("the attempt", || client.stats().requests == step + 1);
        // From before the connect to well inside it.
        let began = Instant::now();
        while began.elapsed() < Duration::from_micros(step * step) {
            std::hint::spin_loop();
        }
        call.cancel();
        let (result, elapsed) = timed(|| call.wait(Some(LONG)));
        let error = error_of(result);
        assert!(elapsed < AT_ONCE, "ended {elapsed:?} after it was cancelled");
        assert_eq!((&error["code"], fate(&error).as_str()), (&json!("TARGET_ERR_CANCELLED"), "not_sent"));
    }
}

#[test]
fn cancelling_while_looking_up_a_name_ends_the_call() {
    let client = client("no-such-host.invalid", json!({}));
    let call = start(&client, "click");
    let error = cancelled(&call);
    assert_eq!(fate(&error), "not_sent");
}

#[test]
fn cancelling_between_attempts_ends_the_call() {
    let edge = LocalEdge::start().unwrap();
    edge.fault(Fault::Status { status: 429, retry_after: Some("5".to_owned()), message: String::new() });
    let client = client(edge.host(), json!({}));
    let call = start(&client, "click");
    wait_for("the first attempt", || !client.stats().errors.is_empty());
    let error = cancelled(&call);
    assert_eq!((fate(&error).as_str(), &error["attempts"]), ("rejected", &json!(1)));
    assert_eq!(edge.report().requests, 1);
}

#[test]
fn cancelling_leaves_other_calls_alone() {
    let edge = LocalEdge::start().unwrap();
    let client = client(edge.host(), json!({"retry": {"max_attempts": 1}}));
    let until = Instant::now() + Duration::from_millis(700);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while Instant::now() < until {
                    // Cancelled at about the time when the answer comes and the connection goes to the pool.
                    let call = start(&client, "display");
                    let began = Instant::now();
                    while began.elapsed() < Duration::from_micros(150) {
                        std::hint::spin_loop();
                    }
                    call.cancel();
                    match call.wait(Some(LONG)) {
                        Ok(_) => {}
                        Err(error) => assert_eq!(error.code().as_str(), "TARGET_ERR_CANCELLED"),
                    }
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while Instant::now() < until {
                    client.send_notifications_json(&click()).unwrap();
                }
            });
        }
    });
}

#[test]
fn closing_lets_calls_end_that_can() {
    let edge = LocalEdge::start().unwrap();
    edge.set_default_reply(Some(Fault::Delay(Duration::from_millis(100))));
    let client = client(edge.host(), json!({}));
    let calls: Vec<_> = (0..4).map(|_| start(&client, "click")).collect();
    client.close(Some(LONG)).unwrap();
    for call in &calls {
        call.wait(Some(LONG)).unwrap();
    }
}

#[test]
fn closing_ends_calls_that_cannot() {
    let edge = silent_edge();
    let client = client(edge.host(), json!({}));
    let calls: Vec<_> = (0..4).map(|_| start(&client, "click")).collect();
    wait_for("four requests", || edge.report().requests == 4);
    let (_, elapsed) = timed(|| client.close(Some(Duration::from_millis(50))).unwrap());
    assert!(elapsed < AT_ONCE, "{elapsed:?}");
    for call in &calls {
        let error = error_of(call.wait(Some(LONG)));
        assert_eq!((&error["code"], fate(&error).as_str()), (&json!("TARGET_ERR_CLOSED"), "unknown"));
    }
    assert_eq!(error_of(client.send_notifications_json(&click()))["code"], "TARGET_ERR_CLOSED");
    assert_eq!((client.stats().connections_open, edge.report().requests), (0, 4));
}

#[test]
fn a_call_that_is_over_has_closed_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = client(listener.local_addr().unwrap(), json!({"timeout": 100}));
    error_of(client.send_notifications_json(&click()));
    let (mut stream, _) = listener.accept().unwrap();
    assert_eq!(client.stats().connections_open, 0);
    let mut request = Vec::new();
    // What came before the deadline, and then the end, in whatever form.
    let _ = stream.read_to_end(&mut request);
    assert!(stream.read(&mut [0]).map_or(true, |read| read == 0));
}
