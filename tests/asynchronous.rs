//! Calls that are made on threads of the library: their handles, their callbacks, and the finished ones that a
//! host polls for.
#![cfg(feature = "local-edge")]

mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use adobe_target::local_edge::{Fault, LocalEdge};
use adobe_target::{CallOptions, PartialResult, PendingOffers, TargetClient, TargetError};
use serde_json::json;
use support::*;

/// Calls that the library makes at the same time.
const THREADS: usize = 32;

fn offers() -> CallOptions {
    options(execute(&["home"]))
}

/// Has all threads of the client wait for an edge that never answers.
fn occupied(edge: &LocalEdge, client: &TargetClient) -> Vec<PendingOffers> {
    edge.set_default_reply(Some(Fault::Silence));
    let calls = (0..THREADS).map(|_| client.get_offers_async(&offers()).unwrap()).collect();
    wait_for_requests(edge, THREADS as u64);
    calls
}

#[track_caller]
fn wait_for_requests(edge: &LocalEdge, count: u64) {
    assert!(edge.wait_until(LONG, |report| report.requests == count), "{:?}", edge.report());
}

mod handles {
    use super::*;

    #[test]
    fn a_wait_gives_the_result_and_every_further_one_a_copy() {
        let edge = edge();
        let client = client(&edge);

        let call = client.get_offers_async(&offers()).unwrap();

        let first = call.wait(None).unwrap();
        assert!(first.response.execute_mbox("home").is_some());
        for again in [call.wait(None), call.wait(AT_ONCE), call.wait(Some(LONG))] {
            assert_eq!(again.unwrap().response_json(), first.response_json());
        }
        assert_eq!(edge.report().impressions.total, 1);
    }

    #[test]
    fn attributes_and_notifications_have_handles_too() {
        let edge = edge();
        let client = client(&edge);

        let attributes = client.get_attributes_async(["cart"], &CallOptions::default()).unwrap();
        let sent = client.send_notifications_async(&options(notify([display("1")]))).unwrap();

        assert_eq!(attributes.wait(None).unwrap().value("cart", "discount").unwrap(), &json!(15));
        assert_eq!(sent.wait(None).unwrap().meta.notifications.unwrap().acknowledged, ["1"]);
    }

    #[test]
    fn a_failed_call_gives_its_error_to_every_wait() {
        let edge = edge();
        edge.fault(Fault::status(400));

        let client = client(&edge);
        let call = client.send_notifications_async(&options(notify([display("1")]))).unwrap();

        let first = call.wait(None).unwrap_err();
        assert_eq!(first.details().http_status, Some(400));
        assert_eq!(call.wait(AT_ONCE).unwrap_err(), first);
    }

    #[test]
    fn a_wait_that_ends_first_loses_nothing() {
        let edge = edge();
        edge.fault(Fault::Delay(Duration::from_millis(200)));
        let client = client(&edge);

        let call = client.get_offers_async(&offers()).unwrap();

        for wait in [Duration::ZERO, Duration::from_millis(5)] {
            let error = call.wait(Some(wait)).unwrap_err();
            assert!(matches!(error, TargetError::Pending(_)), "{error:?}");
            assert!(error.is_retryable());
        }
        call.wait(Some(LONG)).unwrap();
    }

    #[test]
    fn any_number_of_threads_may_wait_for_one_call() {
        let edge = edge();
        edge.fault(Fault::Delay(Duration::from_millis(50)));
        let client = client(&edge);

        let call = client.get_offers_async(&offers()).unwrap();

        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| call.wait(None).unwrap());
            }
        });
        assert_eq!(edge.report().requests, 1);
    }

    #[test]
    fn each_call_has_a_number_of_its_own() {
        let edge = edge();
        let client = client(&edge);

        let calls: Vec<PendingOffers> = (0..50).map(|_| client.get_offers_async(&offers()).unwrap()).collect();

        let ids: BTreeSet<u64> = calls.iter().map(PendingOffers::id).collect();
        assert_eq!((ids.len(), ids.contains(&0)), (50, false));
    }

    #[test]
    fn results_stay_when_the_client_has_gone() {
        let edge = edge();
        let client = client(&edge);
        let call = client.get_offers_async(&offers()).unwrap();
        client.close(Some(LONG)).unwrap();
        call.wait(None).unwrap();

        drop(client);

        call.wait(AT_ONCE).unwrap();
    }

    #[test]
    fn dropping_a_handle_neither_cancels_nor_waits() {
        let edge = edge();
        let client = client(&edge);

        drop(client.get_offers_async(&offers()).unwrap());

        assert!(edge.wait_until(LONG, |report| report.impressions.total == 1));
        client.close(Some(LONG)).unwrap();
        assert_eq!(client.stats().requests, 1);
    }

    #[test]
    fn the_longest_waits_are_no_overflow() {
        let edge = edge();
        let client = client(&edge);
        let longest = Some(Duration::MAX);
        client.get_offers_async(&offers()).unwrap();

        client.get_offers_async(&offers()).unwrap().wait(longest).unwrap();
        client.next_completion(longest).unwrap().1.unwrap();
        client.next_event(longest).unwrap();
        client.wait_ready(longest).unwrap();
        client.close(longest).unwrap();
    }

    #[test]
    fn what_can_be_judged_is_judged_before_a_call_starts() {
        let edge = edge();
        let client = client(&edge);

        let no_request = client.get_offers_async(&CallOptions::default()).unwrap_err();
        let no_name = client.get_attributes_async([""], &CallOptions::default()).unwrap_err();
        let no_notifications = client.send_notifications_async(&offers()).unwrap_err();

        assert_eq!(field(&no_request), "request");
        assert_eq!(field(&no_name), "mbox_names[0]");
        assert_eq!(field(&no_notifications), "request.notifications");
        assert_eq!((edge.report().requests, client.stats().in_flight), (0, 0));
    }
}

mod cancellation {
    use super::*;

    #[test]
    fn a_call_under_way_ends_at_once() {
        let edge = edge();
        edge.fault(Fault::Silence);
        let client = client(&edge);
        let call = client.send_notifications_async(&options(notify([display("1"), click("2")]))).unwrap();
        wait_for_requests(&edge, 1);

        call.cancel();

        let error = call.wait(Some(LONG)).unwrap_err();
        assert!(matches!(error, TargetError::Cancelled(_)), "{error:?}");
        assert_eq!(error.details().attempts, 1);
        let Some(PartialResult::Notifications(outcome)) = &error.details().result else { panic!("{error:?}") };
        assert_eq!((outcome.unknown.as_slice(), outcome.not_sent.len()), (&["1".to_owned(), "2".to_owned()][..], 0));
        assert!(edge.wait_until(LONG, |_| edge.open_connections() == 0), "its connection is closed");
        client.get_offers(&offers()).unwrap();
    }

    #[test]
    fn a_call_that_waits_for_a_thread_is_never_sent() {
        let edge = edge();
        let client = client(&edge);
        let occupants = occupied(&edge, &client);
        let call = client.send_notifications_async(&options(notify([display("1")]))).unwrap();

        call.cancel();

        let error = call.wait(Some(LONG)).unwrap_err();
        assert!(matches!(error, TargetError::Cancelled(_)), "{error:?}");
        assert_eq!(error.details().attempts, 0);
        let Some(PartialResult::Notifications(outcome)) = &error.details().result else { panic!("{error:?}") };
        assert_eq!(outcome.not_sent, ["1"]);
        occupants.iter().for_each(PendingOffers::cancel);
        assert!(occupants.iter().all(|call| matches!(call.wait(Some(LONG)), Err(TargetError::Cancelled(_)))));
        assert_eq!(edge.report().requests, THREADS as u64);
    }

    #[test]
    fn a_call_that_waits_to_be_repeated_is_not_repeated() {
        let edge = edge();
        edge.fault(Fault::Status { status: 429, retry_after: Some("20".to_owned()), message: "later".to_owned() });
        let client = client(&edge);
        let call = client.get_offers_async(&offers()).unwrap();
        assert!(edge.wait_until(LONG, |report| report.errors.contains_key(&429)));
        let begun = Instant::now();

        call.cancel();

        let error = call.wait(Some(LONG)).unwrap_err();
        assert!(matches!(error, TargetError::Cancelled(_)), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert_eq!(edge.report().requests, 1);
    }

    #[test]
    fn a_finished_call_keeps_its_result() {
        let edge = edge();
        let client = client(&edge);
        let call = client.get_offers_async(&offers()).unwrap();
        call.wait(None).unwrap();

        call.cancel();
        call.cancel();

        call.wait(AT_ONCE).unwrap();
    }

    #[test]
    fn the_error_callback_runs() {
        let edge = edge();
        edge.fault(Fault::Silence);
        let (sender, receiver) = mpsc::channel();
        let client = client(&edge);
        let call = client
            .get_offers_then(&offers(), |_| panic!("no result"), move |error| sender.send(error).unwrap())
            .unwrap();
        wait_for_requests(&edge, 1);

        call.cancel();

        assert!(matches!(receiver.recv_timeout(LONG), Ok(TargetError::Cancelled(_))));
    }
}

mod callbacks {
    use super::*;

    /// Counts results and errors, and tells when one came.
    struct Counted {
        results: Arc<AtomicUsize>,
        errors: Arc<AtomicUsize>,
    }

    impl Counted {
        fn start(client: &TargetClient, calls: usize) -> Self {
            let counted = Counted { results: Arc::default(), errors: Arc::default() };
            for _ in 0..calls {
                let (results, errors) = (Arc::clone(&counted.results), Arc::clone(&counted.errors));
                client
                    .get_offers_then(
                        &offers(),
                        move |_| {
                            results.fetch_add(1, Ordering::SeqCst);
                        },
                        move |_| {
                            errors.fetch_add(1, Ordering::SeqCst);
                        },
                    )
                    .unwrap();
            }
            counted
        }

        fn counts(&self) -> (usize, usize) {
            (self.results.load(Ordering::SeqCst), self.errors.load(Ordering::SeqCst))
        }
    }

    #[test]
    fn one_of_the_two_runs_once() {
        let edge = edge();
        let client = client(&edge);
        edge.faults(vec![Fault::status(400); 7]);

        let counted = Counted::start(&client, 50);
        client.close(Some(LONG)).unwrap();

        assert_eq!(counted.counts(), (43, 7));
    }

    #[test]
    fn they_run_for_calls_that_the_client_ends() {
        let edge = edge();
        edge.set_default_reply(Some(Fault::Silence));
        let client = builder(&edge).close_timeout(Duration::from_millis(20)).build().unwrap();

        let counted = Counted::start(&client, THREADS + 20);
        drop(client);

        assert_eq!(counted.counts(), (0, THREADS + 20));
    }

    #[test]
    fn they_run_on_a_thread_of_the_library() {
        let edge = edge();
        let client = client(&edge);
        let (sender, receiver) = mpsc::channel();

        client
            .get_offers_then(&offers(), move |_| sender.send(std::thread::current().id()).unwrap(), |e| panic!("{e}"))
            .unwrap();

        assert_ne!(receiver.recv_timeout(LONG).unwrap(), std::thread::current().id());
    }

    #[test]
    fn a_panic_in_one_ends_nothing_else() {
        let edge = edge();
        let client = client(&edge);
        let ran = Arc::new(AtomicUsize::new(0));

        let calls: Vec<_> = (0..THREADS * 2)
            .map(|n| {
                let (ran, ran_too) = (Arc::clone(&ran), Arc::clone(&ran));
                if n % 2 == 0 {
                    edge.fault(Fault::status(400));
                }
                client
                    .get_offers_then(
                        &offers(),
                        move |_| {
                            ran.fetch_add(1, Ordering::SeqCst);
                            std::panic::panic_any("injected");
                        },
                        move |_| {
                            ran_too.fetch_add(1, Ordering::SeqCst);
                            std::panic::panic_any("injected");
                        },
                    )
                    .unwrap()
            })
            .collect();

        let results = calls.iter().filter(|call| call.wait(Some(LONG)).is_ok()).count();
        client.get_offers_async(&offers()).unwrap().wait(Some(LONG)).unwrap();
        client.close(Some(LONG)).unwrap();
        assert_eq!((results, ran.load(Ordering::SeqCst)), (THREADS, THREADS * 2));
    }

    #[test]
    fn the_handle_has_the_result_too() {
        let edge = edge();
        let client = client(&edge);
        let (sender, receiver) = mpsc::channel();

        let call = client
            .get_offers_then(
                &offers(),
                move |offers| sender.send(offers.response_json().to_owned()).unwrap(),
                |error| panic!("{error}"),
            )
            .unwrap();

        assert_eq!(call.wait(Some(LONG)).unwrap().response_json(), receiver.recv_timeout(LONG).unwrap());
    }

    #[test]
    fn none_runs_for_a_call_that_is_refused() {
        let edge = edge();
        let client = client(&edge);

        client.get_offers_then(&CallOptions::default(), |_| panic!("ran"), |_| panic!("ran")).unwrap_err();
        client.close(Some(LONG)).unwrap();
        let closed = client.send_notifications_then(&offers(), |_| panic!("ran"), |_| panic!("ran")).unwrap_err();

        assert!(matches!(closed, TargetError::Closed(_)), "{closed:?}");
    }

    #[test]
    fn they_may_call_the_library() {
        let edge = edge();
        let client = Arc::new(client(&edge));
        let (sender, receiver) = mpsc::channel();
        let inner = Arc::clone(&client);

        client
            .get_offers_then(
                &offers(),
                move |_| {
                    let offers_now = inner.get_offers(&offers()).map(|_| ());
                    let started = inner.get_offers_async(&offers()).map(|call| call.cancel());
                    let stats = inner.stats();
                    sender.send((offers_now, started, stats.get_offers)).unwrap();
                },
                |error| panic!("{error}"),
            )
            .unwrap();

        assert_eq!(receiver.recv_timeout(LONG).unwrap(), (Ok(()), Ok(()), 3));
    }

    #[test]
    fn they_cannot_wait_for_what_needs_their_thread() {
        let edge = edge();
        edge.faults([Fault::None, Fault::None]);
        let client = Arc::new(client(&edge));
        let finished = client.get_offers_async(&offers()).unwrap();
        finished.wait(None).unwrap();
        let (sender, receiver) = mpsc::channel();
        let inner = Arc::clone(&client);

        client
            .get_offers_then(
                &offers(),
                move |_| {
                    let endless = inner.get_offers_async(&offers().timeout(LONG)).unwrap();
                    sender
                        .send((
                            endless.wait(None).map(|_| ()),
                            inner.close(None).map(|_| ()),
                            inner.wait_ready(None),
                            finished.wait(None).map(|_| ()),
                            endless.wait(AT_ONCE).map(|_| ()),
                            inner.wait_ready(AT_ONCE),
                        ))
                        .unwrap();
                    endless.cancel();
                },
                |error| panic!("{error}"),
            )
            .unwrap();
        edge.set_default_reply(Some(Fault::Silence));

        let (wait, close, ready, of_a_finished_one, look, look_whether_ready) = receiver.recv_timeout(LONG).unwrap();
        for outcome in [wait, close, ready] {
            assert!(matches!(outcome, Err(TargetError::WouldDeadlock(_))), "{outcome:?}");
        }
        of_a_finished_one.unwrap();
        assert!(matches!(look, Err(TargetError::Pending(_))), "{look:?}");
        look_whether_ready.unwrap();
        edge.set_default_reply(None);
        client.get_offers(&offers()).unwrap();
    }
}

mod completions {
    use super::*;

    #[test]
    fn each_finished_call_comes_once_with_its_number() {
        let edge = edge();
        let client = client(&edge);
        let started: BTreeSet<u64> = (0..100).map(|_| client.get_offers_async(&offers()).unwrap().id()).collect();

        let taken: BTreeSet<u64> = (0..100)
            .map(|_| {
                let (id, result) = client.next_completion(Some(LONG)).unwrap();
                assert_eq!(parsed(&result.unwrap())["response"]["status"], 200);
                id
            })
            .collect();

        assert_eq!(taken, started);
        assert!(matches!(client.next_completion(AT_ONCE), Err(TargetError::Pending(_))));
    }

    #[test]
    fn many_pollers_share_them() {
        let edge = edge();
        let client = client(&edge);
        let taken = AtomicUsize::new(0);

        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    while client.next_completion(None).is_ok() {
                        taken.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            for _ in 0..60 {
                client.get_offers_async(&offers()).unwrap();
            }
            client.close(Some(LONG)).unwrap();
        });

        assert_eq!(taken.load(Ordering::SeqCst), 60);
    }

    #[test]
    fn a_failed_call_comes_with_its_error() {
        let edge = edge();
        edge.fault(Fault::status(403));
        let client = client(&edge);
        let call = client.send_notifications_async(&options(notify([display("1")]))).unwrap();

        let (id, result) = client.next_completion(Some(LONG)).unwrap();

        assert_eq!((id, result.unwrap_err().details().http_status), (call.id(), Some(403)));
    }

    #[test]
    fn what_a_wait_has_taken_does_not_come() {
        let edge = edge();
        let client = client(&edge);
        for _ in 0..200 {
            let waited_for = client.get_offers_async(&offers()).unwrap();
            let left = client.get_attributes_async(["cart"], &CallOptions::default()).unwrap().id();
            waited_for.wait(None).unwrap();

            let (id, result) = client.next_completion(Some(LONG)).unwrap();

            assert_eq!(id, left);
            assert_eq!(parsed(&result.unwrap())["attributes"]["cart"]["discount"], 15);
        }
        assert!(matches!(client.next_completion(AT_ONCE), Err(TargetError::Pending(_))));
    }

    #[test]
    fn a_call_with_callbacks_does_not_come() {
        let edge = edge();
        let client = client(&edge);
        client.get_offers_then(&offers(), |_| {}, |_| {}).unwrap();

        client.close(Some(LONG)).unwrap();

        assert!(matches!(client.next_completion(Some(LONG)), Err(TargetError::Closed(_))));
    }

    #[test]
    fn after_close_the_rest_comes_first() {
        let edge = edge();
        let client = client(&edge);
        let ids: BTreeSet<u64> = (0..3).map(|_| client.get_offers_async(&offers()).unwrap().id()).collect();

        client.close(Some(LONG)).unwrap();

        let taken: BTreeSet<u64> = (0..3).map(|_| client.next_completion(AT_ONCE).unwrap().0).collect();
        assert_eq!(taken, ids);
        assert!(matches!(client.next_completion(None), Err(TargetError::Closed(_))));
    }

    #[test]
    fn a_poller_that_waits_is_released_by_close() {
        let edge = edge();
        let client = client(&edge);

        std::thread::scope(|threads| {
            let poller = threads.spawn(|| client.next_completion(None));
            client.close(Some(LONG)).unwrap();
            assert!(matches!(poller.join().unwrap(), Err(TargetError::Closed(_))));
        });
    }
}

mod bounds {
    use super::*;

    #[test]
    fn any_number_of_calls_shares_a_bounded_number_of_threads() {
        let edge = edge();
        edge.set_default_reply(Some(Fault::Delay(Duration::from_millis(5))));
        let client = client(&edge);

        let calls: Vec<PendingOffers> = (0..200).map(|_| client.get_offers_async(&offers()).unwrap()).collect();

        for call in &calls {
            call.wait(Some(LONG)).unwrap();
        }
        let report = edge.report();
        assert_eq!((report.requests, report.impressions.total), (200, 200));
        assert!(report.concurrent_max <= THREADS as u64, "{}", report.concurrent_max);
        settled(&client, 0);
    }

    #[test]
    fn the_deadline_reaches_a_call_that_waits_for_a_thread() {
        let edge = edge();
        let client = client(&edge);
        let occupants = occupied(&edge, &client);
        let short = Duration::from_millis(60);
        let waiting: Vec<PendingOffers> = (0..5)
            .map(|n| {
                let request = options(notify([display(&n.to_string())]));
                client.send_notifications_async(&request.timeout(short * (5 - n))).unwrap()
            })
            .collect();

        for call in &waiting {
            let error = call.wait(Some(LONG)).unwrap_err();

            assert!(matches!(error, TargetError::Timeout(_)), "{error:?}");
            let details = error.details();
            assert!(details.elapsed_ms >= 60 && details.elapsed_ms < 20_000, "{details:?}");
            assert_eq!(details.attempts, 0);
            let Some(PartialResult::Notifications(outcome)) = &details.result else { panic!("{error:?}") };
            assert_eq!(outcome.not_sent.len(), 1);
        }
        assert_eq!(edge.report().requests, THREADS as u64);
        settled(&client, THREADS as u64);
        occupants.iter().for_each(PendingOffers::cancel);
    }

    #[test]
    fn calls_that_waited_run_when_a_thread_is_free() {
        let edge = edge();
        let client = client(&edge);
        let occupants = occupied(&edge, &client);
        edge.set_default_reply(None);
        let waiting = client.get_offers_async(&offers()).unwrap();
        assert!(matches!(waiting.wait(AT_ONCE), Err(TargetError::Pending(_))));

        occupants[7].cancel();

        waiting.wait(Some(LONG)).unwrap();
        occupants.iter().for_each(PendingOffers::cancel);
    }
}
