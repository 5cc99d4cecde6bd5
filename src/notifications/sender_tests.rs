//! What goes out together, in what order, and what becomes of it: over a scripted transport, without waiting.

use std::sync::mpsc;

use std::sync::Mutex;
use std::time::Instant;

use super::super::batch::Frame;
use super::*;
use crate::error::Phase;
use crate::events::Events;
use crate::transport::scripted::{Gate, Scripted, Step};
use crate::transport::{
    Failure, FailureKind, GetAnswer, GetRequest, HttpRequest, HttpResponse, Transport, control::CallControl,
};

/// One that sends at once, repeats soon and has one worker, so that its order is the transport's.
fn sender(transport: &Arc<Scripted>, change: impl FnOnce(&mut ClientConfig)) -> (Sender, Arc<Edge>) {
    let mut config = ClientConfig::new("acme", "1@AdobeOrg");
    config.notifications.flush_interval = Duration::ZERO;
    config.notifications.retry_base_delay = Duration::from_millis(1);
    config.notifications.retry_max_delay = Duration::from_millis(2);
    config.notifications.workers = 1;
    config.retry.max_attempts = 1;
    change(&mut config);
    let transport: Arc<dyn Transport> = Arc::clone(transport) as _;
    let edge = Arc::new(Edge::new(&config, transport, Arc::default(), Arc::new(Events::new(64))));
    (Sender::new(&config, &edge).unwrap(), edge)
}

/// Ids are made up of one character each.
fn batch(session: &str, page: &str, ids: &str) -> Submission {
    let notification =
        |id: char| Notification { id: id.to_string(), text: format!("{{\"id\":\"{id}\"}}"), once: false };
    let own = "0123456789ABCDEF";
    let common = format!(",\"context\":\"{page}\",\"own\":\"{own}\"");
    let end = common.len() - 1;
    let frame = Frame {
        session_id: session.into(),
        query: format!("imsOrgId=1&sessionId={session}"),
        cluster: None,
        common,
        own_id: Some(end - own.len()..end),
    };
    Submission { frame, notifications: ids.chars().map(notification).collect() }
}

fn status(status: u16, body: &str) -> Step {
    Step::Post(HttpResponse { status, body: body.as_bytes().to_vec(), ..Default::default() })
}

fn ok() -> Step {
    status(204, "")
}

/// Holds the worker in a request of a session of its own, so that what comes next waits.
fn busy(sender: &Sender, transport: &Scripted) -> Arc<Gate> {
    let gate = Arc::<Gate>::default();
    transport.then([Step::Held(Arc::clone(&gate), Box::new(ok()))]);
    sender.submit(batch("busy", "", "0")).unwrap();
    transport.wait_for(1);
    gate
}

fn ids(body: &str) -> String {
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    body["notifications"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect()
}

/// Session and ids of each request but the one that kept the worker busy.
fn requests(transport: &Scripted) -> Vec<(String, String)> {
    let session = |url: &str| url.rsplit('=').next().unwrap_or_default().to_owned();
    transport.asked().iter().skip(1).map(|asked| (session(&asked.url), ids(&asked.body))).collect()
}

fn kinds(edge: &Edge) -> Vec<(String, serde_json::Value)> {
    let mut kinds = Vec::new();
    while let Ok(event) = edge.events.next(Some(Duration::ZERO)) {
        let event: serde_json::Value = serde_json::from_str(&event).unwrap();
        kinds.push((event["type"].as_str().unwrap().to_owned(), event));
    }
    kinds
}

fn wait_settled(sender: &Sender) -> QueueStats {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let stats = sender.stats();
        let settled = stats.acknowledged + stats.rejected + stats.dropped;
        assert_eq!(stats.accepted + stats.recovered, settled + stats.pending);
        if stats.pending == 0 {
            return stats;
        }
        assert!(Instant::now() < end, "{stats:?}");
        // Who looks without a pause keeps the workers from the lock.
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_shares_session_and_context_goes_out_together_in_order() {
    let transport = Scripted::new([]);
    let (sender, _edge) = sender(&transport, |_| {});
    let gate = busy(&sender, &transport);
    let mut other_id = batch("one", "a", "3");
    let place = other_id.frame.own_id.clone().unwrap();
    other_id.frame.common.replace_range(place, "FEDCBA9876543210");
    for batch in [
        batch("one", "a", "1"),
        batch("two", "a", "2"),
        other_id,
        batch("one", "b", "4"),
        batch("one", "a", "5"),
        batch("two", "a", "67"),
    ] {
        sender.submit(batch).unwrap();
    }
    transport.then((0..4).map(|_| ok()));
    gate.open();
    assert_eq!(wait_settled(&sender).acknowledged, 8);
    let mut by_session = requests(&transport);
    by_session.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [("one", "13"), ("one", "4"), ("one", "5"), ("two", "267")];
    assert_eq!(by_session, expected.map(|(session, ids)| (session.to_owned(), ids.to_owned())));
    sender.stop(true);
}

#[test]
fn no_request_has_more_than_a_batch() {
    let transport = Scripted::new([]);
    let (sender, _edge) = sender(&transport, |config| config.notifications.max_batch = 3);
    let gate = busy(&sender, &transport);
    for ids in ["12", "3", "4", "567"] {
        sender.submit(batch("one", "", ids)).unwrap();
    }
    transport.then((0..3).map(|_| ok()));
    gate.open();
    wait_settled(&sender);
    assert_eq!(requests(&transport).into_iter().map(|(_, ids)| ids).collect::<Vec<_>>(), ["123", "4", "567"]);
    sender.stop(true);
}

#[test]
fn what_may_succeed_later_is_sent_again_and_what_is_missing_alone() {
    let transport =
        Scripted::new([status(503, ""), Step::Broken, status(200, r#"{"notifications":[{"id":"2"}]}"#), ok(), ok()]);
    let (sender, edge) = sender(&transport, |_| {});
    sender.submit(batch("one", "", "123")).unwrap();
    let stats = wait_settled(&sender);
    assert_eq!((stats.accepted, stats.acknowledged, stats.rejected, stats.dropped), (3, 3, 0, 0));
    let sent: Vec<_> = transport.asked().iter().map(|asked| ids(&asked.body)).collect();
    assert_eq!(sent[..3], ["123", "123", "123"]);
    assert_eq!(sent[3..].iter().map(String::len).collect::<Vec<_>>(), [1, 1], "{sent:?}");
    sender.stop(true);
    let events = kinds(&edge);
    assert!(events.iter().any(|(kind, event)| kind == "notification_acknowledged" && event["ids"][0] == "2"));
}

/// An edge that does not know the tokens of some.
fn refusing(bad: &'static str) -> impl Fn(&str) -> HttpResponse {
    move |body| {
        let refused = ids(body).contains(|id| bad.contains(id));
        let (status, body) = if refused { (400, r#"{"status":400,"message":"invalid token"}"#) } else { (204, "") };
        HttpResponse { status, body: body.as_bytes().to_vec(), attempts: 1, ..Default::default() }
    }
}

#[test]
fn the_bad_one_of_a_batch_is_found_and_rejected_with_the_edges_words() {
    let transport = Arc::new(Judging(Box::new(refusing("5")), Mutex::default()));
    let (sender, edge) = over_edge(Arc::clone(&transport) as _);
    sender.submit(batch("one", "", "12345678")).unwrap();
    let stats = wait_settled(&sender);
    assert_eq!((stats.acknowledged, stats.rejected), (7, 1));
    sender.stop(true);
    let events = kinds(&edge);
    let rejected: Vec<_> = events.iter().filter(|(kind, _)| kind == "notification_rejected").map(|(_, e)| e).collect();
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0]["http_status"], 400);
    assert_eq!(rejected[0]["api_message"], "invalid token");
    assert_eq!(rejected[0]["session_id"], "one");
    assert_eq!(rejected[0]["ids"], serde_json::json!(["5"]));
    assert_eq!(*lock(&transport.1), ["12345678", "1234", "5678", "56", "5", "6", "78"]);
    assert!(!events.iter().any(|(kind, _)| kind == "send_notification_error"), "{events:?}");
}

#[test]
fn what_all_share_is_not_held_against_each() {
    let transport = Arc::new(Judging(Box::new(refusing("1234")), Mutex::default()));
    let (sender, edge) = over_edge(Arc::clone(&transport) as _);
    sender.submit(batch("one", "page", "12")).unwrap();
    while lock(&transport.1).iter().filter(|ids| *ids == "12").count() < 3 {
        std::thread::yield_now();
    }
    let stats = sender.stats();
    assert_eq!((stats.rejected, stats.pending), (0, 2));
    // Another visitor's with the same surroundings is taken, so the fault was in those two.
    sender.submit(batch("two", "page", "5")).unwrap();
    let stats = wait_settled(&sender);
    assert_eq!((stats.acknowledged, stats.rejected), (1, 2));
    sender.stop(true);
    let events = kinds(&edge);
    let told = events.iter().filter(|(kind, _)| kind == "send_notification_error").count();
    assert_eq!(told, 1, "{events:?}");
}

#[test]
fn what_is_not_delivered_in_its_time_expires() {
    let transport = Scripted::new((0..10_000).map(|_| status(503, "")));
    let (sender, edge) = sender(&transport, |config| {
        config.notifications.time_to_live = Some(Duration::from_millis(5));
    });
    sender.submit(batch("one", "", "1")).unwrap();
    assert_eq!(wait_settled(&sender).dropped, 1);
    sender.stop(true);
    let dropped = kinds(&edge).into_iter().find(|(kind, _)| kind == "notification_dropped").unwrap().1;
    assert_eq!((&dropped["reason"], &dropped["ids"]), (&"expired".into(), &serde_json::json!(["1"])));
}

#[test]
fn a_full_queue_takes_nothing_of_a_batch() {
    let transport = Scripted::new([]);
    let (sender, _edge) = sender(&transport, |config| config.notifications.max_queued = 3);
    let gate = busy(&sender, &transport);
    sender.submit(batch("one", "", "1")).unwrap();
    let refused = sender.submit(batch("one", "", "23")).unwrap_err();
    assert!(matches!(refused.error, TargetError::QueueFull(_)));
    sender.handed_back(2);
    assert_eq!(refused.notifications.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["2", "3"]);
    sender.submit(batch("one", "", "4")).unwrap();
    let stats = sender.stats();
    assert_eq!((stats.accepted, stats.pending, stats.not_queued), (3, 3, 2));
    transport.then([ok()]);
    gate.open();
    wait_settled(&sender);
    assert_eq!(requests(&transport), [("one".to_owned(), "14".to_owned())]);
    sender.stop(true);
}

#[test]
fn a_close_sends_what_waits_without_lingering() {
    let transport = Scripted::new([ok()]);
    let (sender, _edge) = sender(&transport, |config| config.notifications.flush_interval = Duration::from_secs(3600));
    sender.submit(batch("one", "", "1")).unwrap();
    sender.submit(batch("one", "", "2")).unwrap();
    let counts = sender.close(None);
    assert_eq!((counts.acknowledged, counts.dropped, counts.pending), (2, 0, 0));
    assert!(sender.submit(batch("one", "", "3")).is_err());
    assert_eq!(sender.close(None), counts);
    assert_eq!(transport.asked().len(), 1);
    sender.stop(true);
}

#[test]
fn what_is_left_at_a_closes_deadline_is_dropped_and_said_so() {
    // Nothing is answered.
    let transport = Scripted::new([]);
    let (sender, edge) = sender(&transport, |_| {});
    sender.submit(batch("one", "", "1")).unwrap();
    transport.wait_for(1);
    sender.submit(batch("one", "", "2")).unwrap();
    sender.submit(batch("two", "", "3")).unwrap();
    let counts = sender.close(Some(Instant::now()));
    assert_eq!((counts.acknowledged, counts.dropped, counts.pending), (0, 3, 0));
    assert_eq!(sender.close(None), counts);
    let events = kinds(&edge);
    let dropped: Vec<_> = events.iter().filter(|(kind, _)| kind == "notification_dropped").collect();
    assert_eq!(dropped.iter().map(|(_, event)| event["ids"].as_array().unwrap().len()).sum::<usize>(), 3, "{events:?}");
    assert!(dropped.iter().all(|(_, event)| event["reason"] == "closed"));
    sender.stop(true);
}

/// A second thread, so that one that hangs fails the test instead of hanging it.
fn close_in_time(sender: &Arc<Sender>, deadline: Option<Instant>) -> DeliveryCounts {
    let (tell, told) = mpsc::channel();
    let closing = Arc::clone(sender);
    std::thread::spawn(move || tell.send(closing.close(deadline)));
    told.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| panic!("close hangs: {:?}", sender.stats()))
}

#[test]
fn what_fails_while_a_closes_time_runs_out_is_given_up() {
    let transport = Scripted::new([]);
    let (sender, edge) = sender(&transport, |config| {
        config.notifications.retry_base_delay = Duration::from_secs(3600);
        config.notifications.retry_max_delay = Duration::from_secs(3600);
    });
    let sender = Arc::new(sender);
    let gate = Arc::<Gate>::default();
    transport.then([Step::Held(Arc::clone(&gate), Box::new(status(503, "")))]);
    sender.submit(batch("one", "", "1")).unwrap();
    transport.wait_for(1);
    let closing = Arc::clone(&sender);
    let closer = std::thread::spawn(move || close_in_time(&closing, Some(Instant::now())));
    // The close ends the request; what comes of it is too late whatever it is.
    while !lock(&sender.shared.state).has_ended_all() {
        std::thread::yield_now();
    }
    gate.open();
    let counts = closer.join().unwrap();
    assert_eq!((counts.acknowledged, counts.dropped, counts.pending), (0, 1, 0));
    assert!(kinds(&edge).iter().any(|(kind, event)| kind == "notification_dropped" && event["reason"] == "closed"));
    sender.stop(true);
}

#[test]
fn a_batch_that_waits_for_another_attempt_holds_up_no_first_one() {
    let transport = Scripted::new([status(503, ""), ok()]);
    let (sender, _edge) = sender(&transport, |config| {
        let hour = Duration::from_secs(3600);
        config.notifications.flush_interval = hour;
        config.notifications.retry_base_delay = hour;
        config.notifications.retry_max_delay = hour;
        config.notifications.max_batch = 1;
    });
    sender.submit(batch("one", "", "1")).unwrap();
    transport.wait_for(1);
    while lock(&sender.shared.state).idle() == 0 {
        std::thread::yield_now();
    }
    sender.submit(batch("two", "", "2")).unwrap();
    transport.wait_for(2);
    let counts = sender.close(Some(Instant::now()));
    assert_eq!(counts.pending, 0);
    assert_eq!((sender.stats().acknowledged, sender.stats().dropped), (1, 1));
    sender.stop(true);
}

#[test]
fn a_worker_that_sleeps_is_woken_while_the_other_is_busy() {
    let transport = Scripted::new([]);
    let (sender, _edge) = sender(&transport, |config| config.notifications.workers = 2);
    let (first, second) = (Arc::<Gate>::default(), Arc::<Gate>::default());
    let held = |gate: &Arc<Gate>| Step::Held(Arc::clone(gate), Box::new(ok()));
    transport.then([held(&first), ok(), held(&second), ok()]);
    sender.submit(batch("a", "", "1")).unwrap();
    transport.wait_for(1);
    sender.submit(batch("b", "", "2")).unwrap();
    transport.wait_for(2);
    first.open();
    while lock(&sender.shared.state).idle() < 2 {
        std::thread::yield_now();
    }
    sender.submit(batch("c", "", "3")).unwrap();
    transport.wait_for(3);
    sender.submit(batch("d", "", "4")).unwrap();
    transport.wait_for(4);
    second.open();
    assert_eq!(wait_settled(&sender).acknowledged, 4);
    sender.stop(true);
}

#[cfg(feature = "spool")]
mod durable {
    use super::*;

    /// A directory of its own that goes with the test.
    struct Scratch(std::path::PathBuf);

    impl Scratch {
        fn new() -> Self {
            Scratch(std::env::temp_dir().join(format!("adobe-target-sender-{}", crate::ids::uuid())))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_close_with_a_rest_in_the_spool_is_final() {
        let scratch = Scratch::new();
        // Nothing is answered.
        let transport = Scripted::new([]);
        let (sender, _edge) = sender(&transport, |config| config.notifications.spool_dir = Some(scratch.0.clone()));
        let sender = Arc::new(sender);
        sender.submit(batch("one", "", "1")).unwrap();
        transport.wait_for(1);
        let (tell, told) = mpsc::channel();
        let flushing = Arc::clone(&sender);
        std::thread::spawn(move || tell.send(flushing.flush(None)));
        let counts = close_in_time(&sender, Some(Instant::now()));
        assert_eq!((counts.pending, counts.dropped), (1, 0));
        // Nobody waits for what nobody delivers any more.
        assert_eq!(told.recv_timeout(Duration::from_secs(30)).unwrap().pending, 1);
        assert_eq!(close_in_time(&sender, None), counts);
        sender.stop(true);
        let transport = Scripted::new([ok()]);
        let (next, _edge) =
            super::sender(&transport, |config| config.notifications.spool_dir = Some(scratch.0.clone()));
        let stats = wait_settled(&next);
        assert_eq!((stats.recovered, stats.acknowledged), (1, 1));
        next.stop(true);
    }

    #[test]
    fn a_click_is_marked_whether_or_not_this_client_repeats_it() {
        let scratch = Scratch::new();
        let spool = |config: &mut ClientConfig, retry_clicks: bool| {
            config.notifications.spool_dir = Some(scratch.0.clone());
            config.retry_clicks = retry_clicks;
            config.notifications.retry_base_delay = Duration::from_secs(3600);
            config.notifications.retry_max_delay = Duration::from_secs(3600);
        };
        // Accepted by one that does not repeat clicks, and never sent.
        let transport = Scripted::new([]);
        let (first, _edge) = sender(&transport, |config| {
            spool(config, false);
            config.notifications.flush_interval = Duration::from_secs(3600);
        });
        let mut click = batch("one", "", "1");
        click.notifications[0].once = true;
        first.submit(click).unwrap();
        assert_eq!(first.close(Some(Instant::now())).pending, 1);
        first.stop(true);
        // Sent by one that does, without an answer.
        let transport = Scripted::new([status(503, "")]);
        let (second, _edge) = sender(&transport, |config| spool(config, true));
        transport.wait_for(1);
        assert_eq!(second.close(Some(Instant::now())).pending, 1);
        second.stop(true);
        // It may have been counted.
        let transport = Scripted::new([]);
        let (third, edge) = sender(&transport, |config| spool(config, false));
        let stats = wait_settled(&third);
        assert_eq!((stats.recovered, stats.dropped), (1, 1));
        assert!(kinds(&edge).iter().any(|(_, event)| event["reason"] == "outcome_unknown"));
        third.stop(true);
        assert!(transport.asked().is_empty());
    }

    #[test]
    fn leftovers_wake_an_idle_worker() {
        let scratch = Scratch::new();
        let transport = Scripted::new([]);
        let (first, _edge) = sender(&transport, |config| {
            config.notifications.spool_dir = Some(scratch.0.clone());
            config.notifications.flush_interval = Duration::from_secs(3600);
        });
        let transport = Scripted::new([ok(), ok()]);
        let (second, _edge) = sender(&transport, |config| config.notifications.spool_dir = Some(scratch.0.clone()));
        second.submit(batch("own", "", "1")).unwrap();
        wait_settled(&second);
        while lock(&second.shared.state).idle() == 0 {
            std::thread::yield_now();
        }
        first.submit(batch("left", "", "2")).unwrap();
        assert_eq!(first.close(Some(Instant::now())).pending, 1);
        first.stop(true);
        let store = second.shared.settings.store.as_ref().unwrap();
        second.shared.recover(store.adopt(), false);
        transport.wait_for(2);
        let stats = wait_settled(&second);
        assert_eq!((stats.recovered, stats.acknowledged), (1, 2));
        second.stop(true);
    }

    #[test]
    fn a_close_waits_for_what_is_taken_over_meanwhile() {
        let scratch = Scratch::new();
        let spool = |config: &mut ClientConfig| config.notifications.spool_dir = Some(scratch.0.clone());
        let (first, _edge) = sender(&Scripted::new([]), |config| {
            spool(config);
            config.notifications.flush_interval = Duration::from_secs(3600);
        });
        let transport = Scripted::new([ok()]);
        let (second, _edge) = sender(&transport, spool);
        first.submit(batch("left", "", "12")).unwrap();
        assert_eq!(first.close(Some(Instant::now())).pending, 2);
        first.stop(true);

        second.prepare_close();
        let store = second.shared.settings.store.as_ref().unwrap();
        second.shared.recover(store.adopt(), false);

        assert_eq!(second.close(None), DeliveryCounts { acknowledged: 2, ..Default::default() });
        second.stop(true);
    }
}

/// It would be waited for as long as it lives.
#[test]
fn a_wait_without_a_limit_is_not_for_what_cannot_be_delivered_as_things_stand() {
    let transport = Arc::new(Judging(Box::new(refusing("12")), Mutex::default()));
    let (sender, _edge) = over_edge(Arc::clone(&transport) as _);
    let sender = Arc::new(sender);
    sender.submit(batch("one", "", "12")).unwrap();
    let (tell, told) = mpsc::channel();
    let flushing = Arc::clone(&sender);
    std::thread::spawn(move || tell.send(flushing.flush(None)));
    assert_eq!(told.recv_timeout(Duration::from_secs(30)).unwrap().pending, 2);
    let counts = close_in_time(&sender, None);
    assert_eq!((counts.dropped, counts.pending), (2, 0));
    sender.stop(true);
}

#[test]
fn what_comes_due_while_a_worker_is_busy_is_sent_by_another() {
    let transport = Scripted::new([]);
    let (sender, _edge) = sender(&transport, |config| {
        config.notifications.workers = 2;
        config.notifications.flush_interval = Duration::from_millis(30);
    });
    let gate = Arc::<Gate>::default();
    transport.then([Step::Held(Arc::clone(&gate), Box::new(ok())), ok()]);
    sender.submit(batch("a", "", "1")).unwrap();
    sender.submit(batch("b", "", "2")).unwrap();
    // The first of them holds its worker; nobody is told of the second again.
    transport.wait_for(2);
    gate.open();
    assert_eq!(wait_settled(&sender).acknowledged, 2);
    sender.stop(true);
}

#[test]
fn a_decision_with_more_than_a_batch_goes_out_in_parts() {
    let transport = Scripted::new((0..3).map(|_| ok()));
    let (sender, _edge) = sender(&transport, |config| config.notifications.max_batch = 2);
    sender.submit(batch("one", "", "12345")).unwrap();
    assert_eq!(wait_settled(&sender).acknowledged, 5);
    let sent: Vec<_> = transport.asked().iter().map(|asked| ids(&asked.body)).collect();
    assert_eq!(sent, ["12", "34", "5"]);
    sender.stop(true);
}

#[test]
fn what_is_no_answer_of_the_edge_acknowledges_nothing() {
    for page in ["<html>login</html>", "[]", "{\"notifications\":"] {
        let transport = Scripted::new([status(200, page), ok()]);
        let (sender, _edge) = sender(&transport, |_| {});
        sender.submit(batch("one", "", "1")).unwrap();
        assert_eq!(wait_settled(&sender).acknowledged, 1, "{page}");
        assert_eq!(transport.asked().len(), 2, "{page}");
        sender.stop(true);
    }
}

/// Fails in its own way at first, then answers.
struct Failing<F>(Mutex<Vec<F>>);

impl<F: FnOnce() -> Failure + Send> Transport for Failing<F> {
    fn post(&self, _: &HttpRequest<'_>, _: &Arc<CallControl>) -> Result<HttpResponse, Failure> {
        let fails = lock(&self.0).pop();
        fails.map_or_else(|| Ok(HttpResponse { status: 204, attempts: 1, ..Default::default() }), |fails| Err(fails()))
    }

    fn get(&self, _: &GetRequest<'_>, _: &Arc<CallControl>) -> Result<GetAnswer, Failure> {
        unreachable!("nothing is fetched here")
    }
}

/// Answers by what is in a request, and notes the ids.
struct Judging(Box<dyn Fn(&str) -> HttpResponse + Send + Sync>, Mutex<Vec<String>>);

impl Transport for Judging {
    fn post(&self, request: &HttpRequest<'_>, _: &Arc<CallControl>) -> Result<HttpResponse, Failure> {
        lock(&self.1).push(ids(request.body));
        Ok((self.0)(request.body))
    }

    fn get(&self, _: &GetRequest<'_>, _: &Arc<CallControl>) -> Result<GetAnswer, Failure> {
        unreachable!("nothing is fetched here")
    }
}

fn over(transport: Arc<dyn Transport>) -> Arc<Sender> {
    Arc::new(over_edge(transport).0)
}

fn over_edge(transport: Arc<dyn Transport>) -> (Sender, Arc<Edge>) {
    let mut config = ClientConfig::new("acme", "1@AdobeOrg");
    config.notifications.flush_interval = Duration::ZERO;
    config.notifications.retry_base_delay = Duration::from_millis(1);
    config.notifications.retry_max_delay = Duration::from_millis(2);
    config.notifications.workers = 1;
    let edge = Arc::new(Edge::new(&config, transport, Arc::default(), Arc::new(Events::new(64))));
    (Sender::new(&config, &edge).unwrap(), edge)
}

/// Hosts of clusters take no connection and refuse none.
struct Unreachable(Mutex<u32>);

impl Transport for Unreachable {
    fn post(&self, request: &HttpRequest<'_>, control: &Arc<CallControl>) -> Result<HttpResponse, Failure> {
        if !request.url.contains("//mboxedge35.") {
            return Ok(HttpResponse { status: 204, ..Default::default() });
        }
        *lock(&self.0) += 1;
        control.wait_until(None, || false);
        Err(Failure {
            kind: FailureKind::Deadline,
            phase: Phase::Connect,
            message: "no answer".into(),
            sent: false,
            answered: false,
            reused: false,
            unreachable: true,
            temporary: true,
        })
    }

    fn get(&self, _: &GetRequest<'_>, _: &Arc<CallControl>) -> Result<GetAnswer, Failure> {
        unreachable!("nothing is fetched here")
    }
}

#[test]
fn a_cluster_that_takes_all_the_time_is_no_fault_of_the_default_host() {
    let mut config = ClientConfig::new("acme", "1@AdobeOrg");
    config.notifications.flush_interval = Duration::ZERO;
    config.notifications.retry_base_delay = Duration::from_secs(3600);
    config.notifications.retry_max_delay = Duration::from_secs(3600);
    config.notifications.workers = 1;
    config.timeout = Duration::from_millis(200);
    let transport = Arc::new(Unreachable(Mutex::default()));
    let edge = Arc::new(Edge::new(&config, Arc::clone(&transport) as _, Arc::default(), Arc::new(Events::new(64))));
    let sender = Sender::new(&config, &edge).unwrap();
    for session in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        let mut hinted = batch(session, "", session);
        hinted.frame.cluster = Some("35".to_owned());
        sender.submit(hinted).unwrap();
    }
    sender.submit(batch("plain", "", "9")).unwrap();
    // Five took the host's time; then it was left alone, and what followed went to the default one.
    let end = Instant::now() + Duration::from_secs(30);
    while sender.stats().acknowledged < 4 {
        assert!(Instant::now() < end, "{:?}", sender.stats());
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!((sender.stats().pending, *lock(&transport.0)), (5, 5));
    sender.stop(true);
}

#[test]
fn what_the_edge_never_saw_is_not_rejected() {
    let untrusted = || Failure {
        kind: FailureKind::Network,
        phase: Phase::Tls,
        message: "certificate expired".into(),
        sent: false,
        answered: false,
        reused: false,
        unreachable: false,
        temporary: false,
    };
    let sender = over(Arc::new(Failing(Mutex::new(vec![untrusted]))));
    sender.submit(batch("one", "", "1")).unwrap();
    let stats = wait_settled(&sender);
    assert_eq!((stats.acknowledged, stats.rejected), (1, 0));
    sender.stop(true);
}

#[test]
fn a_panic_costs_an_attempt_and_nothing_else() {
    let panics = || -> Failure { panic!("injected") };
    let sender = over(Arc::new(Failing(Mutex::new(vec![panics]))));
    sender.submit(batch("one", "", "1")).unwrap();
    assert_eq!(wait_settled(&sender).acknowledged, 1);
    let counts = close_in_time(&sender, None);
    assert_eq!(counts.pending, 0);
    sender.stop(true);
}

#[test]
fn attempts_are_the_requests_that_were_made() {
    let transport = Scripted::new([status(429, ""), status(429, ""), status(403, "")]);
    let (sender, edge) = sender(&transport, |_| {});
    sender.submit(batch("one", "", "1")).unwrap();
    wait_settled(&sender);
    sender.stop(true);
    let rejected = kinds(&edge).into_iter().find(|(kind, _)| kind == "notification_rejected").unwrap().1;
    assert_eq!(rejected["attempts"], 3);
    assert_eq!(transport.asked().len(), 3);
}

#[test]
fn no_interval_is_too_long() {
    let transport = Scripted::new([ok()]);
    let (sender, _edge) = sender(&transport, |config| {
        config.notifications.flush_interval = Duration::MAX;
        config.notifications.time_to_live = Some(Duration::MAX);
    });
    sender.submit(batch("one", "", "1")).unwrap();
    assert_eq!(sender.close(None).acknowledged, 1);
    sender.stop(true);
}
