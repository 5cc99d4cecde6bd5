//! A client that was made before a fork, from Rust and over TLS. The C programs of `tests/c` look at everything else.
#![cfg(all(feature = "local-edge", unix))]

#[path = "transport/net.rs"]
mod net;
#[path = "transport/tls_server.rs"]
mod tls_server;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use adobe_target::delivery::model::{DeliveryRequest, ExecuteRequest};
use adobe_target::{CallOptions, TargetError};
use serde_json::json;

use net::*;
use tls_server::*;

/// A child that takes longer hangs.
const WATCHDOG_SECONDS: u32 = 60;

/// Runs the body in a child; whether it got to its end.
fn succeeds_in_child(body: impl FnOnce()) -> bool {
    // SAFETY: the child uses what may be used after a fork among threads, which the library promises to be, and ends
    // without running anything of the test harness.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: takes nothing.
        unsafe { libc::alarm(WATCHDOG_SECONDS) };
        let failed = catch_unwind(AssertUnwindSafe(body)).is_err();
        // SAFETY: ends the child.
        unsafe { libc::_exit(failed.into()) };
    }
    let mut status = 0;
    // SAFETY: a child of this process, and a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    status == 0
}

#[test]
fn parent_and_children_have_tls_connections_of_their_own() {
    let authority = Authority::new("authority");
    let (wire, answered) = answering(server_config(&authority.server("localhost", &VALID), &Terms::default()));
    let file = File::new(authority.pem());
    let client = client(
        format!("localhost:{}", wire.addr.port()),
        json!({"secure": true, "tls": {"ca_file": file.path()}, "timeout": 30_000}),
    );
    client.send_notifications_json(&click()).unwrap();
    // A child may have no access to what its parent has read.
    drop(file);
    for _ in 0..3 {
        assert!(succeeds_in_child(|| {
            for _ in 0..3 {
                client.send_notifications_json(&click()).unwrap();
            }
            let stats = client.stats();
            assert_eq!((stats.connections_opened, stats.connections_reused, stats.retries), (1, 2, 0));
        }));
        client.send_notifications_json(&click()).unwrap();
    }
    assert_eq!(client.stats().connections_opened, 1);
    assert_eq!((wire.accepted(), answered.load(Ordering::SeqCst)), (4, 13));
}

#[test]
fn handles_and_drops_leave_the_parents_calls_alone() {
    let wire = Wire::start(|stream, _| {
        read_request(&mut &*stream);
        std::thread::sleep(Duration::from_millis(300));
        End::Close
    });
    let client = client(wire.addr, json!({"timeout": 30_000, "retry": {"max_attempts": 1}}));
    let execute = Some(ExecuteRequest { page_load: Some(Default::default()), ..Default::default() });
    let options = CallOptions::new(DeliveryRequest { execute, ..Default::default() });
    let pending = client.get_offers_async(&options).unwrap();
    let mut moved = Some((client, pending));
    assert!(succeeds_in_child(|| {
        let (client, pending) = moved.take().unwrap();
        pending.cancel();
        assert!(matches!(pending.wait(None), Err(TargetError::Closed(_))));
        drop((pending, client));
    }));
    let (_client, pending) = moved.unwrap();
    // The server has closed the connection: that is how the call ends, not by the child.
    assert!(matches!(pending.wait(None), Err(TargetError::Network(_))));
}
