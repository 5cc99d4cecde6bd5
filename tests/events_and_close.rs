//! What happens without being asked for, how a client ends, and what it has counted.
#![cfg(feature = "local-edge")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adobe_target::local_edge::{Fault, LocalEdge};
use adobe_target::{CallOptions, LogCallback, LogLevel, PartialResult, Phase, TargetClient, TargetError, set_logger};
use serde_json::{Value, json};
use support::*;

fn offers() -> CallOptions {
    options(execute(&["home"]))
}

fn report_shown(client: &TargetClient, id: &str) -> Result<(), TargetError> {
    client.send_notifications(&options(notify([display(id)]))).map(|_| ())
}

/// Has the client emit an event that names this id.
fn emit(edge: &LocalEdge, client: &TargetClient, id: &str) {
    edge.fault(Fault::status(400));
    report_shown(client, id).unwrap_err();
}

/// The id that an event of [`emit`] names, or the event's type.
fn name(event: &str) -> String {
    let event = parsed(event);
    event["ids"][0].as_str().or(event["type"].as_str()).unwrap().to_owned()
}

/// A callback that hands the name of each event on.
fn forward() -> (Arc<adobe_target::EventCallback>, mpsc::Receiver<String>) {
    let (sender, receiver) = mpsc::channel();
    let sender = Mutex::new(sender);
    (Arc::new(move |event: &str| sender.lock().unwrap().send(name(event)).unwrap()), receiver)
}

mod events {
    use super::*;

    #[test]
    fn the_first_one_says_that_the_client_is_ready() {
        let edge = edge();
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;

        let client = client(&edge);
        client.wait_ready(AT_ONCE).unwrap();
        let event = parsed(&client.next_event(AT_ONCE).unwrap());

        assert_eq!(event["type"], "client_ready");
        assert!(event["timestamp"].as_u64().unwrap() >= before, "{event}");
        assert_eq!(event.as_object().unwrap().len(), 2);
        assert!(matches!(client.next_event(AT_ONCE), Err(TargetError::Pending(_))));
    }

    #[test]
    fn a_failed_report_is_told_with_its_ids() {
        let edge = edge();
        let client = client(&edge);
        client.next_event(AT_ONCE).unwrap();
        edge.faults([Fault::MissIds(1), Fault::status(400)]);
        let sixty = notify((0..60).map(|id| display(&id.to_string())));

        let error = client.send_notifications(&options(sixty)).unwrap_err();

        let event = parsed(&client.next_event(AT_ONCE).unwrap());
        assert_eq!(event["type"], "send_notification_error");
        assert_eq!(event["error"], parsed(&error.to_json()));
        let mut expected: Vec<String> = (50..60).map(|id| id.to_string()).collect();
        expected.push("49".to_owned());
        assert_eq!(event["ids"], json!(expected), "those that were not acknowledged");
    }

    #[test]
    fn other_outcomes_are_no_events() {
        let edge = edge();
        let client = client(&edge);
        client.next_event(AT_ONCE).unwrap();

        report_shown(&client, "1").unwrap();
        report_shown(&client, "").unwrap_err();
        edge.fault(Fault::status(400));
        client.get_offers(&offers()).unwrap_err();

        assert!(matches!(client.next_event(AT_ONCE), Err(TargetError::Pending(_))));
    }

    #[test]
    fn asynchronous_reports_are_told_too() {
        let edge = edge();
        let client = client(&edge);
        client.next_event(AT_ONCE).unwrap();
        edge.fault(Fault::status(413));

        client.send_notifications_async(&options(notify([click("c")]))).unwrap();

        assert_eq!(name(&client.next_event(Some(LONG)).unwrap()), "c");
    }

    #[test]
    fn beyond_the_buffer_the_oldest_goes_and_the_next_says_how_many() {
        let edge = edge();
        let client = builder(&edge).event_buffer(2).build().unwrap();
        for id in ["1", "2", "3"] {
            emit(&edge, &client, id);
        }

        let first = parsed(&client.next_event(AT_ONCE).unwrap());
        let second = parsed(&client.next_event(AT_ONCE).unwrap());

        assert_eq!((&first["ids"], &first["lost"]), (&json!(["2"]), &json!(2)));
        assert_eq!((&second["ids"], second.get("lost")), (&json!(["3"]), None));
        assert!(matches!(client.next_event(AT_ONCE), Err(TargetError::Pending(_))));
        assert_eq!(client.stats().notifications_rejected, 3, "a lost event loses no count");
    }

    #[test]
    fn a_poller_that_waits_gets_the_next_one() {
        let edge = edge();
        let client = client(&edge);
        client.next_event(AT_ONCE).unwrap();

        std::thread::scope(|threads| {
            let poller = threads.spawn(|| client.next_event(None).unwrap());
            emit(&edge, &client, "1");
            assert_eq!(name(&poller.join().unwrap()), "1");
        });
    }

    #[test]
    fn after_close_the_rest_comes_first() {
        let edge = edge();
        let client = client(&edge);
        emit(&edge, &client, "1");

        client.close(Some(LONG)).unwrap();

        assert_eq!(name(&client.next_event(None).unwrap()), "client_ready");
        assert_eq!(name(&client.next_event(None).unwrap()), "1");
        assert!(matches!(client.next_event(None), Err(TargetError::Closed(_))));
    }

    #[test]
    fn a_poller_that_waits_is_released_by_close() {
        let edge = edge();
        let client = client(&edge);
        client.next_event(AT_ONCE).unwrap();

        std::thread::scope(|threads| {
            let poller = threads.spawn(|| client.next_event(None));
            client.close(Some(LONG)).unwrap();
            assert!(matches!(poller.join().unwrap(), Err(TargetError::Closed(_))));
        });
    }
}

mod event_callbacks {
    use super::*;

    #[test]
    fn buffered_events_come_first_and_then_all_others_in_order() {
        let edge = edge();
        let client = client(&edge);
        emit(&edge, &client, "1");
        let (callback, received) = forward();

        client.on_event(Some(callback)).unwrap();
        emit(&edge, &client, "2");
        emit(&edge, &client, "3");

        let names: Vec<String> = (0..4).map(|_| received.recv_timeout(LONG).unwrap()).collect();
        assert_eq!(names, ["client_ready", "1", "2", "3"]);
    }

    #[test]
    fn events_go_to_the_callback_alone_until_it_is_removed() {
        let edge = edge();
        let client = client(&edge);
        let (callback, received) = forward();
        client.on_event(Some(callback)).unwrap();
        emit(&edge, &client, "1");
        assert!(matches!(client.next_event(AT_ONCE), Err(TargetError::Pending(_))));
        assert_eq!(received.recv_timeout(LONG).unwrap(), "client_ready");
        assert_eq!(received.recv_timeout(LONG).unwrap(), "1");

        client.on_event(None).unwrap();

        assert!(received.recv().is_err(), "the callback and its sender are gone");
        emit(&edge, &client, "2");
        assert_eq!(name(&client.next_event(AT_ONCE).unwrap()), "2");
    }

    #[test]
    fn another_callback_takes_its_place() {
        let edge = edge();
        let client = client(&edge);
        let (first, received_first) = forward();
        let (second, received_second) = forward();

        client.on_event(Some(first)).unwrap();
        assert_eq!(received_first.recv_timeout(LONG).unwrap(), "client_ready");
        client.on_event(Some(second)).unwrap();
        emit(&edge, &client, "1");

        assert!(received_first.recv().is_err(), "the first one is gone");
        assert_eq!(received_second.recv_timeout(LONG).unwrap(), "1");
    }

    #[test]
    fn the_old_callback_has_ended_when_its_removal_returns() {
        let edge = edge();
        let client = client(&edge);
        let (entered, entrance) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let ended = Arc::new(AtomicBool::new(false));
        let (channels, flag) = (Mutex::new((entered, released)), Arc::clone(&ended));
        client
            .on_event(Some(Arc::new(move |_: &str| {
                let channels = channels.lock().unwrap();
                channels.0.send(()).unwrap();
                channels.1.recv_timeout(LONG).unwrap();
                flag.store(true, Ordering::SeqCst);
            })))
            .unwrap();
        entrance.recv_timeout(LONG).unwrap();

        std::thread::scope(|threads| {
            let removal = threads.spawn(|| {
                client.on_event(None).unwrap();
                ended.load(Ordering::SeqCst)
            });
            release.send(()).unwrap();
            assert!(removal.join().unwrap());
        });
    }

    #[test]
    fn setting_a_callback_does_not_wait_for_the_new_one() {
        let edge = edge();
        let client = client(&edge);
        let (entered, entrance) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let channels = Mutex::new((entered, released));
        let old = Arc::new(move |_: &str| {
            let channels = channels.lock().unwrap();
            // Later events may come to it still; nobody is interested in them.
            let _ = channels.0.send(());
            let _ = channels.1.recv_timeout(LONG);
        });
        client.on_event(Some(old)).unwrap();
        entrance.recv_timeout(LONG).unwrap();
        let (returned, has_returned) = mpsc::channel::<()>();
        let (seen, outcome) = mpsc::channel();
        let first_time = Mutex::new(Some((has_returned, seen)));
        let new = Arc::new(move |_: &str| {
            let Some((has_returned, seen)) = first_time.lock().unwrap().take() else { return };
            let in_time = has_returned.recv_timeout(Duration::from_secs(5)) != Err(mpsc::RecvTimeoutError::Timeout);
            seen.send(in_time).unwrap();
        });
        for id in ["1", "2", "3"] {
            emit(&edge, &client, id);
        }

        std::thread::scope(|threads| {
            threads.spawn(|| {
                client.on_event(Some(new)).unwrap();
                drop(returned);
            });
            // There is always an event for the callback that comes next, whichever that is.
            let in_time = loop {
                emit(&edge, &client, "another");
                let _ = release.send(());
                if let Ok(in_time) = outcome.recv_timeout(Duration::from_millis(20)) {
                    break in_time;
                }
            };
            assert!(in_time, "on_event returned while the new callback was running");
        });
    }

    #[test]
    fn a_callback_may_remove_itself() {
        let edge = edge();
        let client = Arc::new(client(&edge));
        let (sender, received) = mpsc::channel();
        let (sender, inner) = (Mutex::new(sender), Arc::downgrade(&client));
        client
            .on_event(Some(Arc::new(move |event: &str| {
                inner.upgrade().unwrap().on_event(None).unwrap();
                sender.lock().unwrap().send(name(event)).unwrap();
            })))
            .unwrap();
        assert_eq!(received.recv_timeout(LONG).unwrap(), "client_ready");

        emit(&edge, &client, "1");

        assert_eq!(name(&client.next_event(Some(LONG)).unwrap()), "1");
        assert!(received.recv().is_err(), "the callback is gone");
    }

    #[test]
    fn a_panic_in_one_does_not_end_the_events() {
        let edge = edge();
        let client = client(&edge);
        let (sender, received) = mpsc::channel();
        let sender = Mutex::new(sender);
        client
            .on_event(Some(Arc::new(move |event: &str| {
                if name(event) == "client_ready" {
                    std::panic::panic_any("injected");
                }
                sender.lock().unwrap().send(name(event)).unwrap();
            })))
            .unwrap();

        emit(&edge, &client, "1");

        assert_eq!(received.recv_timeout(LONG).unwrap(), "1");
    }

    #[test]
    fn a_callback_may_call_the_library_but_not_wait_for_it() {
        let edge = edge();
        let client = Arc::new(client(&edge));
        let (sender, received) = mpsc::channel();
        let (sender, inner) = (Mutex::new(sender), Arc::downgrade(&client));

        client
            .on_event(Some(Arc::new(move |_: &str| {
                let client = inner.upgrade().unwrap();
                let called = client.get_offers(&offers()).map(|_| ());
                sender.lock().unwrap().send((called, client.close(None).map(|_| ()))).unwrap();
            })))
            .unwrap();

        let (called, closed) = received.recv_timeout(LONG).unwrap();
        called.unwrap();
        assert!(matches!(closed, Err(TargetError::WouldDeadlock(_))), "{closed:?}");
    }

    #[test]
    fn dropping_the_client_delivers_what_is_left_and_frees_the_callback() {
        let edge = edge();
        let client = client(&edge);
        let (callback, received) = forward();
        for id in ["1", "2", "3"] {
            emit(&edge, &client, id);
        }

        client.on_event(Some(callback)).unwrap();
        drop(client);

        let names: Vec<String> = received.into_iter().collect();
        assert_eq!(names, ["client_ready", "1", "2", "3"]);
    }
}

mod close {
    use super::*;

    #[test]
    fn it_ends_a_callback_that_waits_for_an_event() {
        let edge = edge();
        let client = std::sync::Arc::new(client(&edge));
        while client.next_event(AT_ONCE).is_ok() {}
        let (seen, told) = std::sync::mpsc::channel();
        let inside = std::sync::Arc::downgrade(&client);
        let wait = move |_| {
            let client = inside.upgrade().unwrap();
            seen.send(client.next_event(None)).unwrap();
        };
        client.get_offers_then(&offers(), wait, |error| panic!("{error}")).unwrap();

        client.close(None).unwrap();

        assert!(matches!(told.recv().unwrap(), Err(TargetError::Closed(_))));
    }

    #[test]
    fn it_leaves_no_connection_open() {
        let edge = edge();
        let client = client(&edge);
        client.get_offers(&offers()).unwrap();
        assert_eq!(client.stats().connections_open, 1);

        client.close(None).unwrap();

        assert_eq!(client.stats().connections_open, 0);
        assert!(edge.wait_until(LONG, |_| edge.open_connections() == 0));
    }

    #[test]
    fn it_waits_for_calls_in_flight() {
        let edge = edge();
        edge.set_default_reply(Some(Fault::Delay(Duration::from_millis(100))));
        let client = client(&edge);
        let call = client.get_offers_async(&offers()).unwrap();

        let counts = client.close(Some(LONG)).unwrap();

        call.wait(AT_ONCE).unwrap();
        assert_eq!(counts, Default::default(), "there is no background queue");
        assert_eq!(client.stats().in_flight, 0);
    }

    #[test]
    fn it_ends_them_when_the_time_is_over() {
        let edge = edge();
        edge.set_default_reply(Some(Fault::Silence));
        let client = client(&edge);
        let call = client.send_notifications_async(&options(notify([click("1")]))).unwrap();

        std::thread::scope(|threads| {
            let blocking = threads.spawn(|| client.get_offers(&offers()));
            assert!(edge.wait_until(LONG, |report| report.requests == 2));
            let begun = Instant::now();

            client.close(Some(Duration::from_millis(50))).unwrap();

            assert!(begun.elapsed() >= Duration::from_millis(50) && begun.elapsed() < Duration::from_secs(10));
            let error = blocking.join().unwrap().unwrap_err();
            assert!(matches!(error, TargetError::Closed(_)), "{error:?}");
        });

        let error = call.wait(Some(LONG)).unwrap_err();
        assert!(matches!(error, TargetError::Closed(_)), "{error:?}");
        let Some(PartialResult::Notifications(outcome)) = &error.details().result else { panic!("{error:?}") };
        assert_eq!(outcome.unknown, ["1"], "it was sent and nobody knows");
        assert!(edge.wait_until(LONG, |_| edge.open_connections() == 0));
    }

    #[test]
    fn it_ends_calls_that_wait_to_be_repeated_or_for_a_thread() {
        let edge = edge();
        edge.fault(Fault::Status { status: 503, retry_after: Some("20".to_owned()), message: String::new() });
        let client = client(&edge);
        let repeated = client.get_offers_async(&offers()).unwrap();
        assert!(edge.wait_until(LONG, |report| report.errors.contains_key(&503)));
        edge.set_default_reply(Some(Fault::Silence));
        let calls: Vec<_> = (0..100).map(|_| client.get_offers_async(&offers()).unwrap()).collect();

        client.close(AT_ONCE).unwrap();

        for call in calls.iter().chain([&repeated]) {
            let error = call.wait(Some(LONG)).unwrap_err();
            assert!(matches!(error, TargetError::Closed(_)), "{error:?}");
        }
        let requests = edge.report().requests;
        assert!(requests <= 32, "one to a thread, and none of those that waited for one: {requests}");
    }

    #[test]
    fn new_calls_are_refused() {
        let edge = edge();
        let client = client(&edge);
        client.close(AT_ONCE).unwrap();

        let request = execute(&["home"]);
        for error in [
            client.get_offers(&offers()).unwrap_err(),
            client.get_offers_json(&json_options(request)).unwrap_err(),
            client.get_attributes(["home"], &offers()).unwrap_err(),
            report_shown(&client, "1").unwrap_err(),
            client.get_offers_async(&offers()).unwrap_err(),
            client.get_attributes_async(["home"], &offers()).unwrap_err(),
            client.get_offers_then(&offers(), |_| {}, |_| {}).unwrap_err(),
            client.wait_ready(AT_ONCE).unwrap_err(),
        ] {
            assert!(matches!(error, TargetError::Closed(_)), "{error:?}");
            assert!(!error.is_retryable());
            assert_eq!(parsed(&error.to_json())["code"], "TARGET_ERR_CLOSED");
        }
        assert_eq!(edge.report().requests, 0);
    }

    #[test]
    fn a_second_close_answers_the_same() {
        let edge = edge();
        let client = client(&edge);

        let first = client.close(None).unwrap();

        assert_eq!(client.close(None).unwrap(), first);
        assert_eq!(client.close(AT_ONCE).unwrap(), first);
    }

    #[test]
    fn parallel_closes_all_wait() {
        let edge = edge();
        edge.set_default_reply(Some(Fault::Delay(Duration::from_millis(100))));
        let client = client(&edge);
        let call = client.get_offers_async(&offers()).unwrap();

        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| {
                    assert_eq!(client.close(Some(LONG)).unwrap(), Default::default());
                    call.wait(AT_ONCE).unwrap();
                });
            }
        });
    }

    #[test]
    fn an_impatient_close_ends_the_wait_of_a_patient_one() {
        let edge = edge();
        edge.set_default_reply(Some(Fault::Silence));
        let client = client(&edge);
        let call = client.get_offers_async(&offers()).unwrap();
        assert!(edge.wait_until(LONG, |report| report.requests == 1));

        std::thread::scope(|threads| {
            let patient = threads.spawn(|| client.close(None));
            client.close(AT_ONCE).unwrap();
            patient.join().unwrap().unwrap();
        });

        assert!(matches!(call.wait(AT_ONCE), Err(TargetError::Closed(_))));
    }

    #[test]
    fn stats_and_debug_work_after_it() {
        let edge = edge();
        let client = client(&edge);
        client.get_offers(&offers()).unwrap();

        client.close(None).unwrap();

        assert_eq!((client.stats().get_offers, client.stats().requests), (1, 1));
        assert_eq!(format!("{client:?}"), "TargetClient { client: \"acme\", .. }");
    }

    #[test]
    fn a_dropped_client_ends_its_calls_after_the_close_timeout() {
        let edge = edge();
        edge.set_default_reply(Some(Fault::Silence));
        let client = builder(&edge).close_timeout(Duration::from_millis(20)).build().unwrap();
        let call = client.get_offers_async(&offers()).unwrap();
        let begun = Instant::now();

        drop(client);

        assert!(begun.elapsed() < Duration::from_secs(10));
        assert!(matches!(call.wait(AT_ONCE), Err(TargetError::Closed(_))));
    }

    #[test]
    fn a_dropped_client_waits_for_callbacks_that_run() {
        let edge = edge();
        let client = builder(&edge).close_timeout(Duration::ZERO).build().unwrap();
        let (entered, entrance) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        client
            .get_offers_then(
                &offers(),
                move |_| {
                    entered.send(()).unwrap();
                    released.recv_timeout(LONG).unwrap();
                    flag.store(true, Ordering::SeqCst);
                },
                |error| panic!("{error}"),
            )
            .unwrap();
        entrance.recv_timeout(LONG).unwrap();

        std::thread::scope(|threads| {
            let drop = threads.spawn(|| {
                drop(client);
                ended.load(Ordering::SeqCst)
            });
            release.send(()).unwrap();
            assert!(drop.join().unwrap());
        });
    }
}

mod last_handle_in_a_callback {
    use super::*;

    #[test]
    fn a_call_may_drop_its_client() {
        let edge = edge();
        let client = client(&edge);
        edge.set_default_reply(Some(Fault::Silence));
        let endless = client.get_offers_async(&offers()).unwrap();
        assert!(edge.wait_until(LONG, |report| report.requests == 1));
        edge.set_default_reply(None);
        let (hand_over, handed_over) = mpsc::channel::<TargetClient>();
        let (done, dropped) = mpsc::channel();
        client
            .get_offers_then(
                &offers(),
                move |_| {
                    drop(handed_over.recv_timeout(LONG).unwrap());
                    done.send(()).unwrap();
                },
                |error| panic!("{error}"),
            )
            .unwrap();

        hand_over.send(client).unwrap();

        dropped.recv_timeout(LONG).unwrap();
        assert!(matches!(endless.wait(Some(LONG)), Err(TargetError::Closed(_))), "it was ended");
    }

    #[test]
    fn an_event_may_drop_its_client() {
        let edge = edge();
        let client = client(&edge);
        let (hand_over, handed_over) = mpsc::channel::<TargetClient>();
        let (done, dropped) = mpsc::channel();
        let channels = Mutex::new((handed_over, done));
        client
            .on_event(Some(Arc::new(move |_: &str| {
                let channels = channels.lock().unwrap();
                drop(channels.0.recv_timeout(LONG).unwrap());
                channels.1.send(()).unwrap();
            })))
            .unwrap();

        hand_over.send(client).unwrap();

        dropped.recv_timeout(LONG).unwrap();
        let end = dropped.recv_timeout(Duration::from_secs(10));
        assert_eq!(end, Err(mpsc::RecvTimeoutError::Disconnected), "the callback is freed");
    }

    #[test]
    fn a_client_dropped_in_a_call_leaves_no_event_callback_behind() {
        let edge = edge();
        let client = client(&edge);
        let (callback, events) = forward();
        client.on_event(Some(callback)).unwrap();
        assert_eq!(events.recv_timeout(LONG).unwrap(), "client_ready");
        let (hand_over, handed_over) = mpsc::channel::<TargetClient>();
        client
            .get_offers_then(
                &offers(),
                move |_| drop(handed_over.recv_timeout(LONG).unwrap()),
                |error| panic!("{error}"),
            )
            .unwrap();

        hand_over.send(client).unwrap();

        let end = events.recv_timeout(Duration::from_secs(10));
        assert_eq!(end, Err(mpsc::RecvTimeoutError::Disconnected), "the callback is freed");
    }
}

mod stats {
    use super::*;

    #[test]
    fn they_count_calls_requests_retries_and_errors_by_phase() {
        let edge = edge();
        let client = client(&edge);
        client.get_offers(&offers()).unwrap();
        edge.faults([Fault::status(503), Fault::status(500)]);
        client.get_offers(&offers()).unwrap();
        client.get_attributes(["cart"], &CallOptions::default()).unwrap();
        edge.fault(Fault::GarbageBody);
        client.get_offers(&offers()).unwrap_err();
        client.get_offers(&CallOptions::default()).unwrap_err();
        client.get_offers_json("{").unwrap_err();
        client.get_attributes_json("[5]", "{}").unwrap_err();
        client.get_attributes([""], &CallOptions::default()).unwrap_err();
        edge.fault(Fault::ResetAfterReading { counted: false });
        client.send_notifications(&options(notify([click("1")]))).unwrap_err();
        client.get_offers_async(&offers()).unwrap().wait(None).unwrap();

        let stats = settled(&client, 0);

        assert_eq!((stats.get_offers, stats.get_attributes, stats.send_notifications), (6, 3, 1));
        assert_eq!((stats.requests, stats.retries), (8, 2));
        assert_eq!(stats.errors, [(Phase::Validate, 4), (Phase::Receive, 1), (Phase::Response, 3)]);
        assert_eq!(edge.report().requests, stats.requests);
        assert_eq!(stats.connections_opened, edge.report().connections);
        assert_eq!(stats.connections_opened + stats.connections_reused, stats.requests);
    }

    #[test]
    fn notifications_end_in_one_count_each() {
        let edge = edge();
        let client = client(&edge);
        let shown = |count: u32| options(notify((0..count).map(|id| display(&id.to_string()))));
        let clicked = |count: u32| options(notify((0..count).map(|id| click(&id.to_string()))));

        client.send_notifications(&shown(60)).unwrap();
        edge.fault(Fault::MissIds(2));
        client.send_notifications(&shown(10)).unwrap();
        edge.faults([Fault::None, Fault::status(400)]);
        client.send_notifications(&shown(107)).unwrap_err();
        edge.fault(Fault::status(503));
        client.send_notifications(&clicked(5)).unwrap_err();
        client.send_notifications(&shown(0)).unwrap_err();

        let stats = client.stats();
        assert_eq!(stats.notifications_acknowledged, 60 + 8 + 50);
        assert_eq!(stats.notifications_not_processed, 2 + 7);
        assert_eq!(stats.notifications_rejected, 50);
        assert_eq!(stats.notifications_unknown, 5);
        assert_eq!(edge.report().notifications.processed, stats.notifications_acknowledged);
    }

    #[test]
    fn calls_and_connections_in_use_are_counted_while_they_are() {
        let edge = edge();
        edge.set_default_reply(Some(Fault::Silence));
        let client = client(&edge);
        let calls: Vec<_> = (0..3).map(|_| client.get_offers_async(&offers()).unwrap()).collect();
        assert!(edge.wait_until(LONG, |report| report.requests == 3));

        let stats = client.stats();
        assert_eq!((stats.in_flight, stats.connections_open), (3, 3));

        calls.iter().for_each(|call| call.cancel());
        client.close(Some(LONG)).unwrap();
        let stats = client.stats();
        assert_eq!((stats.in_flight, stats.connections_open, stats.connections_opened), (0, 0, 3));
    }

    #[test]
    fn the_json_form_has_every_count() {
        let edge = edge();
        let client = client(&edge);
        client.send_notifications(&options(notify([display("1")]))).unwrap();
        edge.fault(Fault::status(400));
        client.get_offers(&offers()).unwrap_err();

        assert_eq!(
            parsed(&client.stats().to_json()),
            json!({
                "calls": {
                    "get_offers": 1, "get_attributes": 0, "send_notifications": 1, "enqueue_notifications": 0, "in_flight": 0
                },
                "requests": 2,
                "retries": 0,
                "errors": {"response": 1},
                "connections": {"open": 1, "opened": 1, "reused": 1},
                "notification_calls": {"acknowledged": 1, "not_processed": 0, "rejected": 0, "unknown": 0},
                "completions_lost": 0,
                "decisions": 0,
                "rule_errors": 0,
                "geo": {"look_ups": 0, "failures": 0, "cache_hits": 0},
                "notifications": {
                    "accepted": 0, "recovered": 0, "acknowledged": 0, "rejected": 0, "dropped": 0, "pending": 0,
                    "not_queued": 0, "spool_bytes": 0, "spool_damaged": 0
                },
                "artifact": null,
            })
        );
    }
}

/// The logger is the process's, so all of it is one test.
#[test]
fn the_logger_gets_lines_until_it_is_replaced() {
    struct LogsWhenDropped(Arc<TargetClient>, Arc<AtomicUsize>);
    impl Drop for LogsWhenDropped {
        fn drop(&mut self) {
            differ(&self.0);
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
    /// Makes one line at level debug.
    fn differ(client: &TargetClient) {
        let mut request = execute(&["home"]);
        request["property"] = json!({"token": "own"});
        client.get_offers(&options(request)).unwrap();
    }
    let edge = edge();
    let client = Arc::new(builder(&edge).property_token("configured").build().unwrap());
    let lines: Arc<Mutex<Vec<(LogLevel, String)>>> = Arc::default();
    let dropped = Arc::new(AtomicUsize::new(0));
    let logger = |level: LogLevel| {
        let lines = Arc::clone(&lines);
        let logs_when_dropped = LogsWhenDropped(Arc::clone(&client), Arc::clone(&dropped));
        let callback: Box<LogCallback> = Box::new(move |level, line| {
            // What a logger does with the library is not logged, or it would never end.
            differ(&logs_when_dropped.0);
            if line.contains("request.property.token") {
                lines.lock().unwrap().push((level, line.to_owned()));
            }
        });
        Some((level, callback))
    };
    let seen = || std::mem::take(&mut *lines.lock().unwrap());

    set_logger(logger(LogLevel::Debug));
    differ(&client);
    let line = "request.property.token differs from the configured one; the request's is used";
    assert_eq!(seen(), [(LogLevel::Debug, line.to_owned())]);

    set_logger(logger(LogLevel::Debug));
    assert_eq!(dropped.load(Ordering::SeqCst), 1, "the first one is gone");
    assert_eq!(seen().len(), 1, "the second one got what the first one logged at its end");

    set_logger(logger(LogLevel::Info));
    assert_eq!(dropped.load(Ordering::SeqCst), 2, "the second one is gone");
    differ(&client);
    assert_eq!(seen(), []);

    set_logger(None);
    assert_eq!(dropped.load(Ordering::SeqCst), 3, "the third one is gone");
    differ(&client);
    assert_eq!(seen(), []);
    let requests: Vec<Value> = edge.take_requests().iter().map(body).collect();
    assert!(requests.iter().all(|request| request["property"]["token"] == "own"));
}
