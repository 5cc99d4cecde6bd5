//! One connection serves many calls, and a dead one costs nobody anything.

use std::io::Write;
use std::net::TcpListener;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use adobe_target::local_edge::{Fault, LocalEdge};
use serde_json::json;

use crate::net::*;

#[test]
fn calls_one_after_the_other_use_one_connection() {
    let edge = LocalEdge::start().unwrap();
    let client = client(edge.host(), json!({}));
    for _ in 0..20 {
        client.send_notifications_json(&display()).unwrap();
    }
    assert_eq!(edge.connections(), 1);
    let stats = client.stats();
    assert_eq!((stats.connections_opened, stats.connections_open, stats.connections_reused), (1, 1, 19));
    assert_eq!((stats.requests, stats.retries), (20, 0));
}

#[test]
fn eight_threads_use_at_most_eight_connections() {
    let edge = LocalEdge::start().unwrap();
    let client = client(edge.host(), json!({}));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..25).for_each(|_| drop(client.send_notifications_json(&display()).unwrap())));
        }
    });
    assert!((1..=8).contains(&edge.connections()), "{}", edge.connections());
    assert_eq!(edge.report().notifications.processed, 200);
    assert_eq!(client.stats().connections_reused + client.stats().connections_opened, 200);
}

#[test]
fn a_connection_that_the_server_closed_while_idle_is_replaced_also_for_clicks() {
    let edge = LocalEdge::start().unwrap();
    let client = client(edge.host(), json!({}));
    client.send_notifications_json(&display()).unwrap();
    for (options, connections) in [(display(), 2), (click(), 3)] {
        assert_eq!(edge.close_idle_connections(), 1);
        client.send_notifications_json(&options).unwrap();
        assert_eq!(edge.connections(), connections);
    }
    let stats = client.stats();
    assert_eq!((stats.requests, stats.retries, stats.connections_reused), (3, 0, 0));
    assert!(stats.errors.is_empty(), "{:?}", stats.errors);
    assert_eq!(edge.report().requests, 3);
}

#[test]
fn all_connections_of_a_server_that_was_restarted_are_replaced() {
    let edge = LocalEdge::start().unwrap();
    let client = client(edge.host(), json!({}));
    edge.set_default_reply(Some(Fault::Delay(Duration::from_millis(50))));
    let four_calls = || {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| client.send_notifications_json(&click()).unwrap());
            }
        });
    };
    four_calls();
    assert_eq!(edge.close_idle_connections(), 4);
    four_calls();
    assert_eq!((edge.connections(), client.stats().requests, client.stats().retries), (8, 8, 0));
}

#[test]
fn connections_older_than_max_idle_age_are_not_used() {
    let edge = LocalEdge::start().unwrap();
    let client = client(edge.host(), json!({"max_idle_age": 40}));
    client.send_notifications_json(&display()).unwrap();
    client.send_notifications_json(&display()).unwrap();
    assert_eq!(edge.connections(), 1);
    std::thread::sleep(Duration::from_millis(60));
    client.send_notifications_json(&display()).unwrap();
    assert_eq!(edge.connections(), 2);
    assert_eq!((client.stats().connections_reused, client.stats().connections_open), (1, 1));
    let client = crate::net::client(edge.host(), json!({"max_idle_age": 0}));
    client.send_notifications_json(&display()).unwrap();
    client.send_notifications_json(&display()).unwrap();
    assert_eq!((client.stats().connections_opened, client.stats().connections_reused), (2, 0));
}

#[test]
fn max_idle_connections_bounds_what_is_kept() {
    for (kept, open) in [(0, 0), (1, 1), (3, 3)] {
        let edge = LocalEdge::start().unwrap();
        let client = client(edge.host(), json!({"max_idle_connections": kept}));
        edge.set_default_reply(Some(Fault::Delay(Duration::from_millis(50))));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| client.send_notifications_json(&display()).unwrap());
            }
        });
        assert_eq!((client.stats().connections_opened, client.stats().connections_open), (4, open));
        wait_for("closing", || edge.open_connections() == open as usize);
    }
}

#[test]
fn the_connections_of_a_client_end_with_it() {
    let edge = LocalEdge::start().unwrap();
    let client = client(edge.host(), json!({}));
    client.send_notifications_json(&display()).unwrap();
    assert_eq!(edge.open_connections(), 1);
    drop(client);
    wait_for("closing", || edge.open_connections() == 0);
}

#[test]
fn an_answer_that_announces_the_close_is_the_last_one_of_its_connection() {
    let edge = LocalEdge::start().unwrap();
    let client = client(edge.host(), json!({}));
    for _ in 0..3 {
        edge.fault(Fault::CloseAfterAnswer);
        client.send_notifications_json(&click()).unwrap();
    }
    assert_eq!((edge.connections(), client.stats().retries), (3, 0));
    assert_eq!(client.stats().connections_open, 0);
}

#[test]
fn a_connection_with_bytes_left_over_is_not_used_again() {
    let wire = Wire::answering([ANSWER, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"].concat(), None);
    let client = client(wire.addr, json!({}));
    for calls in 1..=3 {
        let envelope = client.send_notifications_json(&click()).unwrap();
        assert!(envelope.contains(r#""acknowledged":["n1"]"#), "{envelope}");
        assert_eq!(wire.accepted(), calls);
    }
}

#[test]
fn a_connection_on_which_something_came_while_idle_is_not_used_again() {
    // What load balancers do to connections that wait too long.
    let (speak, to_speak) = mpsc::channel();
    let (spoke, has_spoken) = mpsc::channel();
    let turns = Mutex::new((to_speak, spoke));
    let wire = Wire::start(move |mut stream, number| {
        while read_request(&mut stream).is_some() {
            stream.write_all(ANSWER).unwrap();
            if number == 0 {
                let (to_speak, spoke) = &*turns.lock().unwrap();
                to_speak.recv().unwrap();
                stream.write_all(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n").unwrap();
                spoke.send(()).unwrap();
            }
        }
        End::Close
    });
    let client = client(wire.addr, json!({}));
    client.send_notifications_json(&click()).unwrap();
    speak.send(()).unwrap();
    has_spoken.recv().unwrap();
    client.send_notifications_json(&click()).unwrap();
    assert_eq!((wire.accepted(), client.stats().retries, client.stats().connections_reused), (2, 0, 0));
}

/// A connection that answers once and resets the second request, unanswered; later ones answer always.
fn answers_once() -> Wire {
    Wire::start(|mut stream, number| {
        let mut answered = 0;
        while read_request(&mut stream).is_some() {
            if number == 0 && answered == 1 {
                return End::Reset;
            }
            stream.write_all(ANSWER).unwrap();
            answered += 1;
        }
        End::Close
    })
}

#[test]
fn a_used_connection_that_breaks_before_any_answer_is_replaced_once_without_counting() {
    let wire = answers_once();
    let client = client(wire.addr, json!({"retry": {"max_attempts": 1}}));
    client.send_notifications_json(&display()).unwrap();
    client.send_notifications_json(&display()).unwrap();
    assert_eq!((wire.accepted(), client.stats().retries), (2, 0));
    assert!(client.stats().errors.is_empty(), "{:?}", client.stats().errors);
}

#[test]
fn a_click_that_left_on_a_used_connection_is_not_repeated() {
    let wire = answers_once();
    let client = client(wire.addr, json!({}));
    client.send_notifications_json(&display()).unwrap();
    let error = error_of(client.send_notifications_json(&click()));
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_NETWORK", "receive"), "unknown"));
    assert_eq!(error["retryable"], true);
    assert_eq!(wire.accepted(), 1);
}

#[test]
fn what_left_on_a_connection_that_was_replaced_stays_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_request(&mut stream);
        stream.write_all(ANSWER).unwrap();
        read_request(&mut stream);
        drop(listener);
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let client = client(addr, json!({"retry": {"max_attempts": 1}}));
    client.send_notifications_json(&display()).unwrap();
    let error = error_of(client.send_notifications_json(&display()));
    assert_eq!((kind(&error), fate(&error).as_str()), (("TARGET_ERR_NETWORK", "connect"), "unknown"));
    server.join().unwrap();
}
