//! What goes out together, in what order, and what becomes of it: over a scripted transport, without waiting.

use super::*;
use crate::events::Events;
use crate::transport::HttpResponse;
use crate::transport::scripted::{Gate, Scripted, Step};

/// One that sends at once, repeats soon and has one worker, so that its order is the transport's.
fn sender(transport: &Arc<Scripted>, change: impl FnOnce(&mut ClientConfig)) -> (ImpressionSender, Arc<Edge>) {
    let mut config = ClientConfig::new("acme", "1@AdobeOrg");
    config.notifications.flush_interval = Duration::ZERO;
    config.notifications.retry_base_delay = Duration::from_millis(1);
    config.notifications.retry_max_delay = Duration::from_millis(2);
    config.notifications.workers = 1;
    config.retry.max_attempts = 1;
    change(&mut config);
    let transport: Arc<dyn Transport> = Arc::clone(transport) as _;
    let edge = Arc::new(Edge::new(&config, transport, Arc::default(), Arc::new(Events::new(64))));
    (ImpressionSender::new(&config, &edge), edge)
}

use crate::transport::Transport;

/// Ids are made up of one character each.
fn batch(session: &str, page: &str, ids: &str) -> ImpressionBatch {
    let notification = |id: char| Impression { id: id.to_string(), text: format!("{{\"id\":\"{id}\"}}") };
    let own = "0123456789ABCDEF";
    let common = format!(",\"context\":\"{page}\",\"own\":\"{own}\"");
    let end = common.len() - 1;
    ImpressionBatch {
        session_id: session.into(),
        query: format!("sessionId={session}"),
        cluster: None,
        common,
        own_id: Some(end - own.len()..end),
        notifications: ids.chars().map(notification).collect(),
    }
}

fn status(status: u16, body: &str) -> Step {
    Step::Post(HttpResponse { status, body: body.as_bytes().to_vec(), ..Default::default() })
}

fn ok() -> Step {
    status(204, "")
}

/// Holds the worker in a request of a session of its own, so that what comes next waits.
fn busy(sender: &ImpressionSender, transport: &Scripted) -> Arc<Gate> {
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

fn wait_settled(sender: &ImpressionSender) -> QueueStats {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let stats = sender.stats();
        assert_eq!(stats.accepted, stats.acknowledged + stats.rejected + stats.dropped + stats.pending);
        if stats.pending == 0 {
            return stats;
        }
        assert!(Instant::now() < end, "{stats:?}");
        std::thread::yield_now();
    }
}

#[test]
fn what_shares_session_and_context_goes_out_together_in_order() {
    let transport = Scripted::new([]);
    let (sender, _edge) = sender(&transport, |_| {});
    let gate = busy(&sender, &transport);
    let mut other_id = batch("one", "a", "3");
    let place = other_id.own_id.clone().unwrap();
    other_id.common.replace_range(place, "FEDCBA9876543210");
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
    let transport = Scripted::new([
        status(503, ""),
        Step::Broken,
        status(200, r#"{"notifications":[{"id":"2"}]}"#),
        status(200, r#"{"notifications":[{"id":"1"},{"id":"3"}]}"#),
    ]);
    let (sender, edge) = sender(&transport, |_| {});
    sender.submit(batch("one", "", "123")).unwrap();
    let stats = wait_settled(&sender);
    assert_eq!((stats.accepted, stats.acknowledged, stats.rejected, stats.dropped), (3, 3, 0, 0));
    let sent: Vec<_> = transport.asked().iter().map(|asked| ids(&asked.body)).collect();
    // The policy of one request gives the edge a second try at once where nothing else was tried.
    assert_eq!(sent.last().map(String::as_str), Some("13"));
    let events = kinds(&edge);
    assert!(events.iter().any(|(kind, event)| kind == "notification_acknowledged" && event["ids"][0] == "2"));
    sender.stop(true);
}

#[test]
fn what_the_edge_refuses_is_rejected_with_its_words() {
    let transport = Scripted::new([status(400, r#"{"status":400,"message":"invalid token"}"#), ok()]);
    let (sender, edge) = sender(&transport, |_| {});
    sender.submit(batch("one", "", "12")).unwrap();
    assert_eq!(wait_settled(&sender).rejected, 2);
    let rejected = kinds(&edge).into_iter().find(|(kind, _)| kind == "notification_rejected").unwrap().1;
    assert_eq!(rejected["http_status"], 400);
    assert_eq!(rejected["api_message"], "invalid token");
    assert_eq!(rejected["session_id"], "one");
    assert_eq!(rejected["ids"], serde_json::json!(["1", "2"]));
    sender.submit(batch("one", "", "3")).unwrap();
    assert_eq!(wait_settled(&sender).acknowledged, 1);
    sender.stop(true);
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
    assert_eq!(refused.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["2", "3"]);
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
    assert_eq!(dropped.len(), 3, "{events:?}");
    assert!(dropped.iter().all(|(_, event)| event["reason"] == "closed"));
    sender.stop(true);
}
