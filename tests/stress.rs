//! Many threads on one client: every call succeeds, and the edge counts what was sent, no more and no less.
#![cfg(feature = "local-edge")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use adobe_target::local_edge::{Fault, LocalEdge};
use adobe_target::{CallOptions, TargetClient, TargetError};
use serde_json::json;
use support::*;

const THREADS: usize = 64;
const ROUNDS: usize = 20;

/// What all threads together have asked the edge to count.
#[derive(Default)]
struct Asked {
    requests: AtomicU64,
    impressions: AtomicU64,
    visits: AtomicU64,
    clicks: AtomicU64,
    notifications: AtomicU64,
}

impl Asked {
    fn add(&self, requests: u64, impressions: u64, visits: u64, clicks: u64) {
        self.requests.fetch_add(requests, Ordering::Relaxed);
        self.impressions.fetch_add(impressions, Ordering::Relaxed);
        self.visits.fetch_add(visits, Ordering::Relaxed);
        self.clicks.fetch_add(clicks, Ordering::Relaxed);
    }
}

/// One visitor: looks at pages, sees prefetched content, clicks, and reports in bulk.
fn visit(client: &TargetClient, asked: &Asked, thread: usize) {
    let mut cookie = String::new();
    for round in 0..ROUNDS {
        let visitor = |options: CallOptions| options.target_cookie(&cookie);
        let id = |kind: &str| format!("{thread}-{round}-{kind}");
        let next = match round % 5 {
            0 => {
                let offers = client.get_offers(&visitor(options(execute(&["home", "hero"])))).unwrap();
                asked.add(1, 2, 0, 0);
                offers.target_cookie
            }
            1 => {
                let call = client.get_offers_async(&visitor(options(prefetch(&["product1"])))).unwrap();
                let offers = call.wait(Some(LONG)).unwrap();
                let product1 = &offers.response.prefetch_mbox("product1").unwrap();
                let option = &product1.options.as_ref().unwrap()[0];
                let metric = &product1.metrics.as_ref().unwrap()[0];
                let mut shown = display(&id("shown"));
                shown["mbox"] = json!({"name": "product1", "state": product1.state});
                shown["tokens"] = json!([option.event_token]);
                let mut clicked = click(&id("clicked"));
                clicked["tokens"] = json!([metric.event_token]);
                let offers = client.send_notifications(&visitor(options(notify([shown, clicked])))).unwrap();
                assert_eq!(offers.meta.notifications.unwrap().acknowledged, [id("shown"), id("clicked")]);
                asked.add(2, 1, 0, 1);
                asked.notifications.fetch_add(2, Ordering::Relaxed);
                offers.target_cookie
            }
            2 => {
                let attributes = client.get_attributes(["cart"], &visitor(CallOptions::default())).unwrap();
                assert_eq!(attributes.value("cart", "discount").unwrap(), 15);
                asked.add(1, 1, 0, 0);
                attributes.offers.target_cookie
            }
            3 => {
                let many = notify((0..120).map(|n| display(&id(&n.to_string()))));
                let offers = client.send_notifications(&visitor(options(many))).unwrap();
                assert_eq!(offers.meta.notifications.unwrap().acknowledged.len(), 120);
                asked.add(3, 0, 120, 0);
                asked.notifications.fetch_add(120, Ordering::Relaxed);
                offers.target_cookie
            }
            _ => {
                let result = client
                    .get_offers_json(&json!({"request": execute(&["home"]), "target_cookie": cookie}).to_string())
                    .unwrap();
                assert_eq!(parsed(&result)["response"]["execute"]["mboxes"][0]["name"], "home");
                asked.add(1, 1, 0, 0);
                continue;
            }
        };
        cookie = next.value;
    }
}

fn assert_counted(edge: &LocalEdge, asked: &Asked) {
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let report = edge.report();
    assert_eq!(report.impressions.total, of(&asked.impressions));
    assert_eq!(report.visits.total, of(&asked.visits));
    assert_eq!(report.clicks.total, of(&asked.clicks));
    assert_eq!(report.notifications.distinct, of(&asked.notifications));
    assert_eq!(report.sessions, THREADS as u64, "each visitor has one session");
}

#[test]
fn many_threads_share_one_client() {
    let edge = edge();
    let client = builder(&edge).max_idle_connections(THREADS).build().unwrap();
    let asked = Asked::default();
    let begun = Instant::now();

    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let (client, asked) = (&client, &asked);
            threads.spawn(move || visit(client, asked, thread));
        }
    });

    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    assert_counted(&edge, &asked);
    let (report, stats) = (edge.report(), settled(&client, 0));
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    assert_eq!((report.duplicate_impressions, report.notifications.processed), (0, report.notifications.distinct));
    assert_eq!(report.requests, asked.requests.load(Ordering::Relaxed));
    assert!(report.connections <= THREADS as u64, "{} connections", report.connections);
    assert!(report.session_concurrent_max == 1 && report.concurrent_max > 1, "{}", report.concurrent_max);
    assert_eq!((stats.requests, stats.retries), (report.requests, 0));
    assert_eq!(stats.connections_opened, report.connections);
    assert_eq!(stats.connections_opened + stats.connections_reused, stats.requests);
    assert_eq!(stats.notifications_acknowledged, report.notifications.processed);
    assert!(stats.errors.is_empty(), "{:?}", stats.errors);
}

#[test]
fn nothing_is_lost_or_counted_twice_while_the_edge_fails_now_and_then() {
    let edge = edge();
    let mut builder = builder(&edge).max_idle_connections(THREADS).retry_clicks(true);
    builder.config_mut().retry.max_attempts = 50;
    builder.config_mut().retry.max_delay = Duration::from_millis(20);
    let client = builder.build().unwrap();
    let asked = Asked::default();
    // None of them counts before it fails, so that clicks come out even too.
    for fault in [
        Fault::status(503),
        Fault::status(429),
        Fault::ResetBeforeReading,
        Fault::ResetAfterReading { counted: false },
        Fault::HalfAnswer { counted: false },
        Fault::CloseAfterAnswer,
        Fault::Gzip,
        Fault::Delay(Duration::from_millis(3)),
    ] {
        edge.faults((0..100).flat_map(|_| [Fault::None, fault.clone()]));
    }

    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let (client, asked) = (&client, &asked);
            threads.spawn(move || visit(client, asked, thread));
        }
    });

    assert_eq!(edge.waiting_faults(), 0, "all of them were met");
    assert_counted(&edge, &asked);
    let stats = client.stats();
    // Five of the faults cost their request. A reset on a used connection may be taken for one that died while it
    // was idle, whose replacement is no retry.
    assert_eq!(stats.requests, asked.requests.load(Ordering::Relaxed) + 500);
    assert!((300..=500).contains(&stats.retries), "{}", stats.retries);
    assert_eq!(stats.notifications_acknowledged, asked.notifications.load(Ordering::Relaxed));
    assert_eq!(stats.notifications_unknown + stats.notifications_rejected + stats.notifications_not_processed, 0);
}

#[test]
fn impressions_count_once_while_answers_are_lost() {
    let edge = edge();
    let mut builder = builder(&edge);
    builder.config_mut().retry.max_attempts = 50;
    let client = builder.build().unwrap();
    edge.faults((0..400).flat_map(|_| [Fault::None, Fault::ResetAfterReading { counted: true }]));

    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let client = &client;
            threads.spawn(move || {
                for round in 0..10 {
                    client.get_offers(&options(execute(&["home"]))).unwrap();
                    let shown = display(&format!("{thread}-{round}"));
                    client.send_notifications(&options(notify([shown]))).unwrap();
                }
            });
        }
    });

    let report = edge.report();
    assert_eq!((report.impressions.total, report.visits.total), (THREADS as u64 * 10, THREADS as u64 * 10));
    let calls = THREADS as u64 * 20;
    assert!(report.duplicate_impressions >= 400, "{}", report.duplicate_impressions);
    assert_eq!(report.duplicate_impressions, client.stats().requests - calls, "every repetition was seen to be one");
}

#[test]
fn clicks_of_one_session_count_once_while_the_edge_throttles_it() {
    let edge = LocalEdge::builder().max_concurrent_per_session(2).start().unwrap();
    let mut builder = builder(&edge).max_idle_connections(THREADS);
    builder.config_mut().retry.max_attempts = 10_000;
    builder.config_mut().retry.max_delay = Duration::from_millis(5);
    let client = builder.build().unwrap();
    edge.set_default_reply(Some(Fault::Delay(Duration::from_millis(1))));

    std::thread::scope(|threads| {
        for thread in 0..16 {
            let client = &client;
            threads.spawn(move || {
                for round in 0..ROUNDS {
                    let clicked = click(&format!("{thread}-{round}"));
                    client.send_notifications(&options(notify([clicked])).session_id("one")).unwrap();
                }
            });
        }
    });

    let report = edge.report();
    assert_eq!((report.clicks.total, report.notifications.distinct), (16 * ROUNDS as u64, 16 * ROUNDS as u64));
    assert!(report.errors.contains_key(&420), "{:?}", report.errors);
    assert_eq!(client.stats().retries, report.errors[&420]);
}

#[test]
fn every_call_ends_once_while_others_cancel_and_time_out() {
    let edge = edge();
    edge.set_default_reply(Some(Fault::Delay(Duration::from_millis(2))));
    let client = builder(&edge).max_idle_connections(THREADS).build().unwrap();
    let ended = AtomicU64::new(0);

    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            let (client, ended) = (&client, &ended);
            threads.spawn(move || {
                for round in 0..ROUNDS {
                    let id = format!("{thread}-{round}");
                    let mut request = execute(&["home"]);
                    request["requestId"] = json!(id);
                    // Three milliseconds are now enough and now not.
                    let timeout = if round % 4 == 0 { Duration::from_millis(3) } else { LONG };
                    let call = client.get_offers_async(&options(request).timeout(timeout)).unwrap();
                    if round % 3 == 0 {
                        call.cancel();
                    }
                    match call.wait(Some(LONG)) {
                        Ok(offers) => assert_eq!(offers.response.request_id, Some(id), "no other call's answer"),
                        Err(TargetError::Cancelled(_)) => assert_eq!(round % 3, 0),
                        Err(TargetError::Timeout(_)) => assert_eq!(round % 4, 0),
                        Err(error) => panic!("{error:?}"),
                    }
                    ended.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });

    assert_eq!(ended.load(Ordering::Relaxed), (THREADS * ROUNDS) as u64);
    client.close(Some(LONG)).unwrap();
    assert_eq!(client.stats().in_flight, 0);
    assert!(matches!(client.next_completion(None), Err(TargetError::Closed(_))), "all were taken by their handles");
}

#[test]
fn every_callback_runs_once_while_the_client_closes() {
    for round in 0..10 {
        let edge = edge();
        edge.set_default_reply(Some(Fault::Delay(Duration::from_millis(1))));
        let client = builder(&edge).close_timeout(Duration::from_millis(round)).build().unwrap();
        let started = AtomicU64::new(0);
        let called = Arc::new(AtomicU64::new(0));

        std::thread::scope(|threads| {
            for _ in 0..8 {
                let (client, started, called) = (&client, &started, &called);
                threads.spawn(move || {
                    loop {
                        let (called, called_too) = (Arc::clone(called), Arc::clone(called));
                        let call = client.get_offers_then(
                            &options(execute(&["home"])),
                            move |_| _ = called.fetch_add(1, Ordering::Relaxed),
                            move |_| _ = called_too.fetch_add(1, Ordering::Relaxed),
                        );
                        match call {
                            Ok(_) => _ = started.fetch_add(1, Ordering::Relaxed),
                            Err(TargetError::Closed(_)) => break,
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                });
            }
            assert!(edge.wait_until(LONG, |report| report.requests > 50));
            client.close(Some(Duration::from_millis(round))).unwrap();
        });
        drop(client);

        assert_eq!(called.load(Ordering::Relaxed), started.load(Ordering::Relaxed));
    }
}
