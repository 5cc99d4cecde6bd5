//! Room on the disk, and who may read what is there.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use adobe_target::local_edge::Fault;
use adobe_target::{TargetClient, TargetError};
use serde_json::Value;

use crate::scene::*;
use crate::support::*;

fn large(id: &str) -> Value {
    let mut shown = display(id);
    shown["parameters"] = serde_json::json!({"text": "x".repeat(4000)});
    shown
}

/// Enqueues until one is refused; returns the ids that were taken and the refusal.
fn fill(client: &TargetClient, name: &str) -> (Vec<String>, TargetError) {
    let mut taken = Vec::new();
    for number in 0..100_000 {
        let ids = [format!("{name}-{number}-a"), format!("{name}-{number}-b")];
        match enqueue(client, "s", ids.iter().map(|id| large(id))) {
            Ok(()) => taken.extend(ids),
            Err(error) => return (taken, error),
        }
    }
    panic!("there is no bound");
}

#[test]
fn a_spool_that_is_full_takes_again_once_something_is_delivered() {
    let (edge, directory) = (edge(), Directory::new());
    edge.set_default_reply(Some(Fault::status(503)));
    let client = durable(edge.host(), directory.path(), |queue| queue.spool_max_bytes = 200_000).build().unwrap();

    let (mut taken, error) = fill(&client, "first");

    assert!(matches!(error, TargetError::QueueFull(_)), "{error:?}");
    assert_eq!(field(&error), "notifications.spool_max_bytes");
    assert!(error.is_retryable());
    let stats = queue_of(&client);
    assert_eq!((stats.accepted, stats.pending), (taken.len() as u64, taken.len() as u64), "nothing of it is taken");
    assert!(stats.spool_bytes <= 200_000, "{stats:?}");
    edge.set_default_reply(None);
    client.flush(Some(LONG)).unwrap();
    enqueue(&client, "s", [large("after")]).unwrap();
    client.flush(Some(LONG)).unwrap();
    taken.push("after".to_owned());
    assert_eq!(processed(&edge), taken.into_iter().collect());
}

#[test]
fn nobody_else_may_read_a_spool() {
    let (edge, directory) = (edge(), Directory::new());
    let client = open(&edge, &directory);
    let mut bad = display("bad");
    bad["tokens"] = serde_json::json!(["no token of this edge"]);
    enqueue(&client, "s", [display("good"), bad]).unwrap();
    client.flush(Some(LONG)).unwrap();

    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let entries = |path: &std::path::Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(mode(directory.path()), 0o700);
    let (slots, files): (Vec<_>, Vec<_>) = entries(directory.path()).partition(|path| path.is_dir());
    assert!(!slots.is_empty() && !files.is_empty() && !directory.segments().is_empty());
    assert!(slots.iter().all(|slot| mode(slot) == 0o700));
    let files: Vec<_> = files.into_iter().chain(slots.iter().flat_map(|slot| entries(slot))).collect();
    assert!(files.iter().all(|file| mode(file) == 0o600), "{files:?}");
}

/// Fills the disk, which is this process's limit on the size of a file: the system refuses a write as it does when
/// there is no room, without a file system of its own.
#[test]
fn on_a_full_disk() {
    let Some((_, host, directory)) = part() else { return };
    // SAFETY: this process is the test's alone; the arguments are what the functions want.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let limit = libc::rlimit { rlim_cur: 0, rlim_max: libc::RLIM_INFINITY };
        let set = |size| assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &libc::rlimit { rlim_cur: size, ..limit }), 0);
        let client = durable(host.clone(), &directory, |_| {}).build().unwrap();
        enqueue(&client, "s", [display("before")]).unwrap();
        set(20_000);
        // Each segment is full after a few; without a byte of room there is none for another.
        for number in 0..20 {
            enqueue(&client, "s", [large(&format!("small-{number}"))]).unwrap_or_else(|error| {
                assert!(matches!(error, TargetError::Storage(_)), "{error:?}");
            });
        }
        set(0);
        let accepted = queue_of(&client).accepted;
        for _ in 0..3 {
            let error = enqueue(&client, "s", [display("refused-a"), display("refused-b")]).unwrap_err();
            assert!(matches!(error, TargetError::Storage(_)), "{error:?}");
        }
        assert_eq!(queue_of(&client).accepted, accepted, "nothing of it is taken");
        client.flush(Some(LONG)).unwrap();
        assert_eq!(queue_of(&client).acknowledged, accepted, "delivery goes on");
        set(libc::RLIM_INFINITY);
        enqueue(&client, "s", [display("after")]).unwrap();
        client.flush(Some(LONG)).unwrap();
        client.close(Some(LONG)).unwrap();
    }
}

#[test]
fn a_full_disk_refuses_what_meets_it_and_delivery_goes_on() {
    let (edge, directory) = (edge(), Directory::new());

    assert!(run(child("disk::on_a_full_disk", "", &edge.host(), directory.path())).success());

    let ids = processed(&edge);
    assert!(ids.contains("before") && ids.contains("after") && !ids.iter().any(|id| id.starts_with("refused")));
    let client = open(&edge, &directory);
    assert_eq!(queue_of(&client).recovered, 0, "nor does the next process find any of it");
}
