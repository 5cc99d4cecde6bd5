//! What one process leaves and the next one finds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adobe_target::local_edge::{Fault, LocalEdge};
use adobe_target::{TargetClient, TargetError};

use crate::scene::*;
use crate::support::*;

#[test]
fn what_is_refused_because_of_a_close_is_not_found_by_the_next_client() {
    let (nobody, directory) = (Nobody::new(), Directory::new());
    let open = || durable(nobody.host(), directory.path(), |queue| queue.spool_sync = adobe_target::SpoolSync::Each);
    for _ in 0..40 {
        let client = open().build().unwrap();
        let before = queue_of(&client).recovered;
        let accepted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let (client, accepted) = (&client, &accepted);
                scope.spawn(move || {
                    for number in 0.. {
                        match enqueue(client, "s", [display(&format!("{thread}-{number}"))]) {
                            Ok(()) => accepted.fetch_add(1, Ordering::Relaxed),
                            Err(TargetError::Closed(_)) => return,
                            Err(error) => panic!("{error}"),
                        };
                    }
                });
            }
            while accepted.load(Ordering::Relaxed) < 5 {
                std::thread::yield_now();
            }
            client.close(Some(Duration::ZERO)).unwrap_err();
        });
        drop(client);

        let next = open().build().unwrap();
        assert_eq!(queue_of(&next).recovered, before + accepted.load(Ordering::Relaxed) as u64);
    }
}

#[test]
fn an_outage_costs_nothing_but_time() {
    let directory = Directory::new();
    let nobody = Nobody::new();
    // What is dropped after a close does not wait once more.
    let hour = Duration::from_secs(3600);
    let client = durable(nobody.host(), directory.path(), |_| {}).close_timeout(hour).build().unwrap();
    for part in 0..100 {
        enqueue(&client, &format!("session-{}", part % 70), (0..30).map(|n| display(&format!("{part}-{n}")))).unwrap();
    }

    let counts = left(client.close(Some(Duration::from_millis(20))));

    assert_eq!((counts.pending, counts.acknowledged, counts.rejected, counts.dropped), (3000, 0, 0, 0));
    assert_eq!(left(client.close(None)), counts, "a second close says the same");
    drop(client);
    let edge = edge();
    let client = open(&edge, &directory);
    assert_eq!(queue_of(&client).recovered, 3000);
    // Some may be delivered before the flush begins to count.
    client.flush(Some(LONG)).unwrap();
    assert_eq!((queue_of(&client).acknowledged, queue_of(&client).pending), (3000, 0));
    assert_eq!(processed(&edge).len(), 3000);
    assert_eq!((edge.report().visits.total, edge.report().duplicate_impressions), (3000, 0));
    client.close(Some(LONG)).unwrap();
    assert_eq!(directory.segments(), [] as [std::path::PathBuf; 0], "a spool with nothing pending keeps no records");
}

#[test]
fn a_client_of_another_account_delivers_nothing_of_this_one() {
    let (edge, directory, nobody) = (edge(), Directory::new(), Nobody::new());
    let client = durable(nobody.host(), directory.path(), |_| {}).build().unwrap();
    enqueue(&client, "s", [display("a")]).unwrap();
    left(client.close(Some(Duration::ZERO)));
    drop(client);

    for (name, organization) in [("acme", "2@AdobeOrg"), ("other", ORGANIZATION)] {
        let mut config = adobe_target::ClientConfig::new(name, organization);
        config.server_domain = Some(edge.host());
        config.secure = false;
        config.notifications = queue(directory.path());
        let other = TargetClient::new(config).unwrap();
        assert_eq!((queue_of(&other).recovered, queue_of(&other).spool_damaged), (0, 0));
        enqueue(&other, "s", [display(name)]).unwrap();
        other.flush(Some(LONG)).unwrap();
        other.close(Some(LONG)).unwrap();
    }
    assert_eq!(processed(&edge), ["acme".to_owned(), "other".to_owned()].into());

    let client = open(&edge, &directory);
    assert_eq!(queue_of(&client).recovered, 1);
    client.flush(Some(LONG)).unwrap();
    assert!(processed(&edge).contains("a"));
}

#[test]
fn an_impression_is_the_same_one_in_the_next_life() {
    let (edge, directory) = (edge(), Directory::new());
    edge.fault(Fault::ResetAfterReading { counted: true });
    edge.set_default_reply(Some(Fault::status(503)));
    let client = open(&edge, &directory);
    enqueue(&client, "s", [display("a"), display("b")]).unwrap();
    assert!(edge.wait_until(LONG, |report| report.visits.total == 2));
    left(client.close(Some(Duration::ZERO)));
    drop(client);

    edge.set_default_reply(None);
    let client = open(&edge, &directory);
    client.flush(Some(LONG)).unwrap();

    assert_eq!(edge.report().visits.total, 2);
    assert!(edge.report().duplicate_impressions >= 2);
}

#[test]
fn what_is_too_old_after_a_restart_expires() {
    let (edge, directory) = (edge(), Directory::new());
    edge.set_default_reply(Some(Fault::status(503)));
    let open = |time| durable(edge.host(), directory.path(), |queue| queue.time_to_live = Some(time)).build().unwrap();
    let client = open(LONG);
    enqueue(&client, "s", [display("a"), click("b")]).unwrap();
    left(client.close(Some(Duration::ZERO)));
    drop(client);
    edge.set_default_reply(None);
    let requests = edge.report().requests;
    // By the wall clock, from acceptance and not from the restart.
    std::thread::sleep(Duration::from_millis(2));

    let client = open(Duration::from_millis(1));

    let dropped = event(&client, "notification_dropped");
    assert_eq!(dropped["reason"], "expired");
    assert_eq!(client.flush(Some(LONG)).unwrap().pending, 0);
    let stats = queue_of(&client);
    assert_eq!((stats.recovered, stats.dropped), (2, 2));
    assert_eq!(edge.report().requests, requests, "nothing of it is sent");
}

#[test]
fn a_flush_that_waits_as_long_as_it_takes_ends_with_the_client() {
    let (nobody, directory) = (Nobody::new(), Directory::new());
    let client = durable(nobody.host(), directory.path(), |_| {}).build().unwrap();
    enqueue(&client, "s", [display("a")]).unwrap();

    let flushed = std::thread::scope(|scope| {
        let flush = scope.spawn(|| client.flush(None));
        // An attempt that failed: the flush has begun, or soon finds the client closed.
        event(&client, "send_notification_error");
        assert_eq!(left(client.close(Some(Duration::ZERO))).pending, 1);
        flush.join().unwrap()
    });

    assert!(matches!(flushed, Err(TargetError::Pending(_) | TargetError::Closed(_))), "{flushed:?}");
}

/// Leaves a display and a click behind whose request may have been counted: the process dies while it is out.
#[test]
fn killed_while_a_request_is_out() {
    let Some((_, host, directory)) = part() else { return };
    let client = durable(host, &directory, |_| {}).build().unwrap();
    enqueue(&client, "s", [display("shown"), click("clicked")]).unwrap();
    std::thread::sleep(LONG);
}

/// Has a process die while its request is out; the edge that it was sent to never answers.
fn kill_while_a_request_is_out(edge: &LocalEdge, directory: &Directory) {
    edge.fault(Fault::Silence);
    let mut child = child("lives::killed_while_a_request_is_out", "", &edge.host(), directory.path()).spawn().unwrap();
    assert!(edge.wait_until(LONG, |report| report.requests == 1));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_click_that_was_out_when_its_process_was_killed_is_of_unknown_outcome() {
    let (edge, directory) = (edge(), Directory::new());
    kill_while_a_request_is_out(&edge, &directory);

    let client = open(&edge, &directory);

    let dropped = event(&client, "notification_dropped");
    assert_eq!((&dropped["reason"], &dropped["ids"]), (&"outcome_unknown".into(), &serde_json::json!(["clicked"])));
    client.flush(Some(LONG)).unwrap();
    assert_eq!(processed(&edge), ["shown".to_owned()].into());
    let stats = queue_of(&client);
    assert_eq!((stats.recovered, stats.acknowledged, stats.dropped), (2, 1, 1));
}

#[test]
fn with_retry_clicks_it_is_sent_again() {
    let (edge, directory) = (edge(), Directory::new());
    kill_while_a_request_is_out(&edge, &directory);

    let client = durable(edge.host(), directory.path(), |_| {}).retry_clicks(true).build().unwrap();
    client.flush(Some(LONG)).unwrap();

    assert_eq!(processed(&edge), ["shown".to_owned(), "clicked".to_owned()].into());
    assert_eq!(queue_of(&client).acknowledged, 2);
}

/// Reports for one after the other until it is told to end, by the end of its input.
#[test]
fn one_of_two() {
    let Some((name, host, directory)) = part() else { return };
    let client = durable(host, &directory, |_| {}).build().unwrap();
    for number in 0..200 {
        enqueue(&client, &name, [display(&format!("{name}-{number}"))]).unwrap();
    }
    client.flush(Some(LONG)).unwrap();
    let stats = queue_of(&client);
    assert_eq!((stats.accepted, stats.recovered, stats.acknowledged), (200, 0, 200), "each delivers its own");
    client.close(Some(LONG)).unwrap();
}

#[test]
fn two_processes_on_one_directory_deliver_their_own() {
    let (edge, directory) = (edge(), Directory::new());
    let start = |name: &str| child("lives::one_of_two", name, &edge.host(), directory.path()).spawn().unwrap();
    let mut children = ["left", "right"].map(start);
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    let report = edge.report();
    assert_eq!((report.visits.total, report.notifications.processed), (400, 400));
}

#[test]
fn what_a_dead_process_left_is_adopted_by_one_of_those_that_live() {
    let (edge, directory) = (edge(), Directory::new());
    let living = open(&edge, &directory);
    kill_while_a_request_is_out(&edge, &directory);

    // Both look, at the same time.
    let (first, second) = std::thread::scope(|scope| {
        let look = || scope.spawn(|| open(&edge, &directory));
        let (first, second) = (look(), look());
        (first.join().unwrap(), second.join().unwrap())
    });

    assert_eq!(queue_of(&first).recovered + queue_of(&second).recovered, 2);
    assert_eq!(queue_of(&living).recovered, 0);
    first.flush(Some(LONG)).unwrap();
    second.flush(Some(LONG)).unwrap();
    assert_eq!(edge.report().notifications.ids, [("shown".to_owned(), 1)].into());
    // Not a second time.
    assert_eq!(queue_of(&open(&edge, &directory)).recovered, 0);
}

#[test]
fn the_refused_are_written_down_for_people() {
    let (edge, directory) = (edge(), Directory::new());
    let client = open(&edge, &directory);
    let mut bad = display("bad");
    bad["tokens"] = serde_json::json!(["no token of this edge"]);
    enqueue(&client, "s", [display("good"), bad, click("clicked")]).unwrap();

    client.flush(Some(LONG)).unwrap();

    let told = event(&client, "notification_rejected");
    assert_eq!((&told["ids"], &told["http_status"]), (&serde_json::json!(["bad"]), &400.into()));
    let lines = directory.rejected();
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["session_id"], &lines[0]["http_status"]), (&"s".into(), &400.into()));
    assert!(lines[0]["api_message"].as_str().unwrap().contains("invalid token"), "{}", lines[0]);
    assert!(lines[0]["timestamp"].as_i64() > Some(0) && lines[0]["attempts"].as_u64() >= Some(2), "{}", lines[0]);
    assert_eq!(lines[0]["notification"]["id"], "bad");
    assert_eq!(lines[0]["notification"]["tokens"][0], "no token of this edge");
    assert_eq!(processed(&edge), ["good".to_owned(), "clicked".to_owned()].into());
    let stats = queue_of(&client);
    assert_eq!((stats.acknowledged, stats.rejected), (2, 1));
}
