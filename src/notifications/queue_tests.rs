//! What may go out when, and what an answer makes of it, with clocks that the test moves.

use super::super::spool::Ticket;
use super::*;
use crate::error::DeliveryCounts;

const MINUTE: i64 = 60_000;

/// A queue, and the time that it sees.
struct Scene {
    queue: Queue,
    now: Instant,
    wall_ms: i64,
}

impl Scene {
    fn new(change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = Policy {
            max_batch: 50,
            linger: Duration::from_millis(1000),
            time_to_live: 30 * MINUTE,
            retry: RetryPolicy {
                max_attempts: u32::MAX,
                base_delay: Duration::from_millis(500),
                max_delay: Duration::from_secs(30),
            },
            durable: false,
            pressure: 100,
            affinity: true,
        };
        change(&mut policy);
        Scene { queue: Queue::new(policy), now: Instant::now(), wall_ms: 1_700_000_000_000 }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.wall_ms += time.as_millis() as i64;
    }

    /// Ids are made up of one character each; capitals are clicks.
    fn accept(&mut self, session: &str, context: &str, ids: &str) {
        self.accept_in(session, context, None, ids);
    }

    fn accept_in(&mut self, session: &str, context: &str, cluster: Option<&str>, ids: &str) {
        let notifications = ids.chars().map(notification).collect();
        self.queue.accept(frame(session, context, cluster), notifications, None, self.wall_ms, self.now);
    }

    /// What a spool has kept, and what it has kept that may have been counted.
    fn recover(&mut self, session: &str, kept: &str, lost: &str) {
        let mut number = 0;
        let mut spooled = |id| {
            number += 1;
            Spooled { notification: notification(id), ticket: Ticket { store: 1, number }, is_marked: false }
        };
        let (kept, lost) = (kept.chars().map(&mut spooled).collect(), lost.chars().map(&mut spooled).collect());
        self.queue.recover(frame(session, "", None), kept, lost, self.wall_ms, self.now);
    }

    fn take(&mut self) -> Option<Batch> {
        self.queue.take(self.wall_ms, self.now)
    }

    /// The next request, which has to be due.
    fn request(&mut self) -> Batch {
        let mut batch = self.take().expect("a batch that is due");
        batch.entries.iter_mut().for_each(|entry| entry.attempts += 1);
        batch
    }

    fn land(&mut self, batch: Batch, answer: Answer) {
        self.queue.land(batch, answer, false, self.now);
        let counts = self.queue.counts();
        let settled = counts.acknowledged + counts.rejected + counts.dropped + counts.pending;
        assert_eq!(counts.accepted + counts.recovered, settled, "{counts:?}");
    }

    /// Sends what is due until nothing is, each answered by what it holds.
    fn run(&mut self, answer: impl Fn(&str) -> Answer) -> Vec<String> {
        let mut sent = Vec::new();
        while let Some(mut batch) = self.take() {
            batch.entries.iter_mut().for_each(|entry| entry.attempts += 1);
            let ids = batch.ids().concat();
            let answer = answer(&ids);
            sent.push(ids);
            self.land(batch, answer);
        }
        sent
    }

    /// Outcomes told since, with their ids.
    fn told(&mut self) -> Vec<(String, String)> {
        let word = |outcome: &Outcome| match outcome {
            Outcome::Acknowledged => "acknowledged".to_owned(),
            Outcome::Rejected(refusal) => format!("rejected {}", refusal.http_status.unwrap_or(0)),
            Outcome::Dropped(reason) => reason.as_str().to_owned(),
        };
        let told = self.queue.take_told().into_iter();
        told.map(|told| match told {
            Told::Settled(settled) => (word(&settled.outcome), super::super::batch::ids(&settled.entries).concat()),
            Told::SharedFault { ids, .. } => ("shared fault".to_owned(), ids.concat()),
        })
        .collect()
    }
}

fn frame(session: &str, context: &str, cluster: Option<&str>) -> Frame {
    Frame {
        session_id: session.into(),
        query: format!("imsOrgId=1&sessionId={session}"),
        cluster: cluster.map(str::to_owned),
        common: format!(",\"context\":\"{context}\",\"experienceCloud\":\"{session}\""),
        own_id: None,
    }
}

fn notification(id: char) -> Notification {
    Notification { id: id.into(), text: "{}".into(), once: id.is_ascii_uppercase() }
}

fn taken() -> Answer {
    Answer::Taken { missing: Vec::new() }
}

fn refusal(status: u16) -> Refusal {
    Refusal { http_status: Some(status), api_message: Some("no".into()) }
}

fn later(maybe_counted: bool) -> Answer {
    Answer::Later { maybe_counted, host_failed: true, asked_for: None }
}

fn bad_if(bad: &'static str) -> impl Fn(&str) -> Answer {
    move |ids| if ids.contains(|id| bad.contains(id)) { Answer::BadRequest(refusal(400)) } else { taken() }
}

fn owned(told: &[(&str, &str)]) -> Vec<(String, String)> {
    told.iter().map(|(outcome, ids)| ((*outcome).to_owned(), (*ids).to_owned())).collect()
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_batch_lingers_until_it_is_full() {
    let mut scene = Scene::new(|policy| policy.max_batch = 3);
    scene.accept("s", "", "12");
    assert!(scene.take().is_none());
    scene.accept("s", "", "3");
    assert_eq!(scene.request().ids(), ["1", "2", "3"]);
    scene.accept("t", "", "4");
    scene.pass(Duration::from_millis(999));
    assert!(scene.take().is_none());
    scene.pass(Duration::from_millis(1));
    assert_eq!(scene.request().ids(), ["4"]);
}

#[test]
fn fifty_of_one_session_are_one_request() {
    let mut scene = Scene::new(|_| {});
    for at in 0..50u32 {
        assert!(scene.take().is_none());
        scene.accept("s", "", &char::from_u32(0x4e00 + at).unwrap().to_string());
    }
    assert_eq!(scene.request().entries.len(), 50);
}

#[test]
fn equal_ids_are_never_in_one_request() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    scene.accept("s", "", "1231");
    scene.accept("s", "", "2");
    assert_eq!(scene.run(|_| taken()), ["123", "12"]);
    assert_eq!(scene.queue.counts().acknowledged, 5);
}

#[test]
fn a_session_has_one_request_at_a_time_and_keeps_its_order() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    scene.accept("s", "a", "1");
    scene.accept("s", "b", "2");
    let first = scene.request();
    assert!(scene.take().is_none());
    scene.land(first, later(false));
    // What follows is not sent before what failed.
    assert!(scene.take().is_none());
    scene.pass(LONG);
    assert_eq!(scene.run(|_| taken()), ["1", "2"]);
}

#[test]
fn what_an_answer_left_out_holds_up_nothing() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    scene.accept("s", "", "123");
    let batch = scene.request();
    scene.land(batch, Answer::Taken { missing: vec!["2".into(), "3".into()] });
    scene.accept("s", "", "4");
    assert_eq!(scene.request().ids(), ["4"]);
    assert_eq!(scene.told(), owned(&[("acknowledged", "1")]));
}

#[test]
fn what_was_left_out_and_is_refused_alone_is_bad_itself() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    scene.accept("s", "", "12");
    let batch = scene.request();
    scene.land(batch, Answer::Taken { missing: vec!["2".into()] });
    scene.pass(LONG);
    assert_eq!(scene.run(bad_if("2")), ["2"]);
    assert_eq!(scene.told(), owned(&[("acknowledged", "1"), ("rejected 400", "2")]));
}

#[test]
fn bad_ones_are_found_among_good_ones() {
    for bad in ["1", "8", "45", "1357", "2345678"] {
        let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
        scene.accept("s", "", "12345678");
        let sent = scene.run(bad_if(bad));
        let counts = scene.queue.counts();
        assert_eq!((counts.rejected, counts.acknowledged), (bad.len() as u64, 8 - bad.len() as u64), "{sent:?}");
        assert_eq!(counts.pending, 0);
        let told = scene.told();
        assert!(told.iter().all(|(outcome, _)| outcome != "shared fault"), "{told:?}");
    }
}

#[test]
fn when_all_are_refused_alone_they_stay_pending_and_are_tried_one_batch_at_a_time() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    scene.accept("s", "same", "12");
    assert_eq!(scene.run(bad_if("12")), ["12", "1", "2"]);
    assert_eq!(scene.told(), owned(&[("shared fault", "12")]));
    assert_eq!(scene.queue.counts().pending, 2);
    // Others with the same context wait; those with another one do not.
    scene.accept("t", "same", "34");
    scene.accept("t", "other", "5");
    assert_eq!(scene.run(taken_if("5")), ["5"]);
    scene.told();
    for _ in 0..5 {
        scene.pass(LONG);
        let batch = scene.request();
        assert!(scene.take().is_none(), "one at a time");
        scene.land(batch, Answer::BadRequest(refusal(400)));
        assert!(scene.take().is_none(), "with a wait");
        assert_eq!(scene.told(), [], "told once");
    }
    assert_eq!(scene.queue.counts().pending, 4);
    // The one that was refused alone is rejected once something like it is taken, even if it is of another session.
    scene.pass(LONG);
    let mut sent = Vec::new();
    for _ in 0..5 {
        sent.extend(scene.run(bad_if("12")));
        scene.pass(LONG);
    }
    assert!(sent.contains(&"34".to_owned()), "{sent:?}");
    let counts = scene.queue.counts();
    assert_eq!((counts.acknowledged, counts.rejected, counts.pending), (3, 2, 0), "{sent:?}");
}

fn taken_if(good: &'static str) -> impl Fn(&str) -> Answer {
    move |ids| if ids.contains(|id| good.contains(id)) { taken() } else { Answer::BadRequest(refusal(400)) }
}

#[test]
fn a_shared_fault_that_is_mended_costs_nothing() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    scene.accept("s", "", "1234");
    scene.run(bad_if("1234"));
    scene.pass(LONG);
    assert_eq!(scene.run(|_| taken()), ["1234"], "whole, since nothing is wrong with any");
    assert_eq!(scene.queue.counts().acknowledged, 4);
}

#[test]
fn what_is_too_large_is_halved_and_alone_rejected() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    scene.accept("s", "", "1234");
    let sent = scene.run(|ids| match ids {
        _ if ids.len() > 1 || ids == "3" => Answer::TooLarge(refusal(413)),
        _ => taken(),
    });
    assert_eq!(sent, ["1234", "12", "1", "2", "34", "3", "4"]);
    assert_eq!(
        scene.told(),
        owned(&[("acknowledged", "1"), ("acknowledged", "2"), ("rejected 413", "3"), ("acknowledged", "4")])
    );
}

#[test]
fn clicks_that_may_have_been_counted_are_not_repeated() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    scene.accept("s", "", "aBcD");
    let batch = scene.request();
    scene.land(batch, later(true));
    assert_eq!(scene.told(), owned(&[("outcome_unknown", "BD")]));
    scene.pass(LONG);
    let batch = scene.request();
    assert_eq!(batch.ids(), ["a", "c"]);
    scene.land(batch, taken());
    scene.accept("s", "", "E");
    let batch = scene.request();
    scene.land(batch, later(false));
    scene.pass(LONG);
    assert_eq!(scene.run(|_| taken()), ["E"], "what was not counted is sent again");
}

#[test]
fn the_edge_may_ask_for_a_wait_but_not_for_any_length_of_it() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    let asks = |seconds| Answer::Later {
        maybe_counted: false,
        host_failed: true,
        asked_for: Some(Duration::from_secs(seconds)),
    };
    scene.accept("s", "", "1");
    let batch = scene.request();
    scene.land(batch, asks(20));
    scene.pass(Duration::from_secs(19));
    scene.queue.hurry(scene.now);
    assert!(scene.take().is_none(), "not even in a hurry");
    scene.pass(Duration::from_secs(1));
    let batch = scene.request();
    scene.land(batch, asks(1_000_000));
    scene.pass(Duration::from_secs(300));
    assert_eq!(scene.run(|_| taken()), ["1"]);
}

#[test]
fn a_host_that_fails_five_times_is_left_alone_and_tried_with_one_request() {
    let mut scene = Scene::new(|policy| {
        policy.linger = Duration::ZERO;
        policy.retry.base_delay = Duration::from_secs(20);
    });
    for session in ["a", "b", "c", "d", "e", "f"] {
        scene.accept(session, "", "1");
    }
    scene.accept_in("g", "", Some("38"), "2");
    for _ in 0..5 {
        let batch = scene.request();
        assert_eq!(batch.frame.cluster, None);
        scene.land(batch, later(false));
    }
    // The sixth of that host waits, the other host's does not.
    let other = scene.request();
    assert_eq!(other.ids(), ["2"]);
    scene.land(other, taken());
    assert!(scene.take().is_none());
    scene.pass(Duration::from_secs(60));
    let trial = scene.request();
    assert!(scene.take().is_none(), "one request to try");
    assert_eq!(scene.queue.soonest(scene.now), None);
    scene.land(trial, taken());
    assert_eq!(scene.run(|_| taken()).len(), 5);
}

#[test]
fn what_was_meant_for_a_cluster_that_is_left_alone_goes_to_the_default_host() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    for session in ["a", "b", "c", "d", "e", "f"] {
        scene.accept_in(session, "", Some("35"), "1");
    }
    for _ in 0..5 {
        let batch = scene.request();
        assert!(!batch.by_default);
        // Its host could not be reached, the default one took it.
        scene.queue.land(batch, taken(), true, scene.now);
    }
    let batch = scene.request();
    assert!(batch.by_default);
    scene.land(batch, taken());
    // One is to try, after a while.
    scene.pass(LONG);
    scene.accept_in("g", "", Some("35"), "1");
    let batch = scene.request();
    assert!(!batch.by_default);
    scene.land(batch, taken());
    assert_eq!(scene.queue.counts().acknowledged, 7);
    assert!(scene.queue.hosts.is_empty(), "{:?}", scene.queue.hosts);
}

#[test]
fn not_even_a_flush_asks_a_host_before_it_wants_to_be_asked() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    for session in ["a", "b", "c", "d", "e", "f"] {
        scene.accept(session, "", "1");
    }
    for _ in 0..5 {
        let batch = scene.request();
        let asked_for = Some(Duration::from_secs(120));
        scene.land(batch, Answer::Later { maybe_counted: false, host_failed: true, asked_for });
    }
    scene.queue.hurry(scene.now);
    assert!(scene.take().is_none());
    scene.pass(Duration::from_secs(119));
    scene.queue.hurry(scene.now);
    assert!(scene.take().is_none());
    scene.pass(Duration::from_secs(1));
    assert!(scene.take().is_some());
}

#[test]
fn requests_that_are_refused_whatever_is_in_them_do_not_take_the_place_of_good_ones() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    for page in 0..200 {
        scene.accept(&format!("s{page}"), &format!("page {page}"), "1");
    }
    scene.run(bad_if("1"));
    scene.pass(LONG);
    scene.accept("good", "good", "2");
    // One of them at a time, and in turn with others.
    let two = [scene.request(), scene.request()];
    assert!(scene.take().is_none());
    let mut ids = two.map(|batch| batch.ids().concat());
    ids.sort();
    assert_eq!(ids, ["1", "2"]);
}

#[test]
fn what_cannot_go_is_no_reason_to_look_again_at_once() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    scene.accept("s", "bad", "1");
    scene.run(bad_if("1"));
    scene.pass(LONG);
    // Something else of that session is out.
    scene.accept("s", "good", "2");
    scene.queue.probed_last = true;
    let batch = scene.request();
    assert_eq!(batch.ids(), ["2"]);
    assert_eq!(scene.queue.soonest(scene.now), None);
    scene.land(batch, taken());
    assert!(scene.queue.soonest(scene.now).is_some_and(|due| due <= scene.now));
}

#[test]
fn what_was_refused_alone_for_a_fault_that_is_mended_gets_another_chance() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    scene.accept("s", "same", "12345678");
    scene.run(bad_if("12345678"));
    scene.accept("t", "same", "9");
    let mut sent = Vec::new();
    for _ in 0..4 {
        scene.pass(LONG);
        sent.extend(scene.run(bad_if("8")));
    }
    let counts = scene.queue.counts();
    assert_eq!((counts.acknowledged, counts.rejected, counts.pending), (8, 1, 0), "{sent:?}");
    let told = scene.told();
    assert_eq!(told.iter().filter(|(outcome, _)| outcome == "shared fault").count(), 1, "{told:?}");
    assert!(scene.queue.faults.families.is_empty());
}

#[test]
fn clusters_that_failed_are_forgotten_after_a_while() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    for number in 0..20 {
        scene.accept_in(&format!("s{number}"), "", Some(&format!("c{number}")), "1");
        let batch = scene.request();
        scene.queue.land(batch, taken(), true, scene.now);
    }
    assert_eq!(scene.queue.hosts.keys().filter(|name| !name.is_empty()).count(), 20);
    scene.pass(LONG);
    scene.accept("t", "", "2");
    scene.run(|_| taken());
    assert_eq!(scene.queue.hosts.len(), 0);
}

#[test]
fn families_of_which_nothing_waits_are_forgotten() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    for page in 0..20 {
        scene.accept(&format!("s{page}"), &format!("page {page}"), "1");
    }
    scene.run(bad_if("1"));
    assert_eq!(scene.queue.faults.families.len(), 20);
    for _ in 0..20 {
        scene.pass(LONG);
        scene.run(|_| Answer::Refused(refusal(403)));
    }
    assert_eq!(scene.queue.counts().rejected, 20);
    assert!(scene.queue.faults.families.is_empty());
}

#[test]
fn a_refused_notification_is_no_failure_of_the_host() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    for at in 0..10 {
        scene.accept(&format!("s{at}"), &format!("c{at}"), "12");
    }
    let sent = scene.run(bad_if("2"));
    assert_eq!(sent.len(), 30);
    assert_eq!(scene.queue.counts().rejected, 10);
}

#[test]
fn what_waits_too_long_expires_whether_or_not_its_turn_comes() {
    let mut scene = Scene::new(|policy| policy.retry.base_delay = Duration::from_secs(3600));
    scene.accept("s", "", "1");
    scene.pass(Duration::from_secs(1));
    let batch = scene.request();
    scene.land(batch, Answer::Later { maybe_counted: false, host_failed: false, asked_for: None });
    scene.pass(Duration::from_secs(29 * 60));
    scene.accept("s", "", "2");
    scene.queue.expire(scene.wall_ms);
    assert_eq!(scene.told(), []);
    scene.pass(Duration::from_secs(59));
    assert_eq!(scene.queue.until_expiry(scene.wall_ms), Some(Duration::ZERO));
    scene.queue.expire(scene.wall_ms);
    assert_eq!(scene.told(), owned(&[("expired", "1")]));
    assert_eq!(scene.queue.until_expiry(scene.wall_ms), Some(Duration::from_secs(30 * 60 - 59)));
    assert_eq!(scene.run(|_| taken()), ["2"]);
}

#[test]
fn a_clock_that_is_set_back_counts_as_no_time_passed() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    scene.accept("s", "", "1");
    scene.wall_ms -= 1000 * MINUTE;
    scene.queue.expire(scene.wall_ms);
    assert_eq!(scene.queue.until_expiry(scene.wall_ms), Some(Duration::from_secs(30 * 60)));
    let batch = scene.request();
    scene.land(batch, later(false));
    // And one that jumps ahead lets it expire, also at its turn.
    scene.wall_ms += 2000 * MINUTE;
    scene.now += LONG;
    assert!(scene.take().is_none());
    assert_eq!(scene.told(), owned(&[("expired", "1")]));
}

#[test]
fn a_watch_counts_what_was_pending_when_it_began() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    scene.accept("s", "", "12");
    let batch = scene.request();
    scene.accept("t", "", "3");
    let watch = scene.queue.watch();
    scene.accept("u", "", "4");
    scene.land(batch, Answer::Taken { missing: vec!["2".into()] });
    scene.run(|_| taken());
    let counts = |acknowledged, pending| DeliveryCounts { acknowledged, pending, ..Default::default() };
    assert_eq!(scene.queue.watched(watch).0, counts(2, 1));
    scene.pass(LONG);
    scene.run(|_| taken());
    assert_eq!(scene.queue.watched(watch).0, counts(3, 0));
    scene.queue.end_watch(watch);
    assert_eq!(scene.queue.counts().acknowledged, 4);
}

#[test]
fn a_watch_of_all_counts_what_is_taken_over_from_others() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    scene.accept("s", "", "1");
    let watch = scene.queue.watch_all();
    scene.recover("t", "23", "C");
    scene.accept("u", "", "4");
    let counts = |acknowledged, dropped, pending| DeliveryCounts { acknowledged, dropped, pending, rejected: 0 };
    assert_eq!(scene.queue.watched(watch).0, counts(0, 1, 4));
    scene.run(|_| taken());
    assert_eq!(scene.queue.watched(watch).0, counts(4, 1, 0));
}

#[test]
fn a_hurry_sends_what_lingers_and_what_waits_for_another_attempt() {
    let mut scene = Scene::new(|policy| policy.retry.base_delay = Duration::from_secs(25));
    scene.accept("s", "", "1");
    scene.queue.hurry(scene.now);
    let batch = scene.request();
    scene.land(batch, later(false));
    scene.accept("t", "", "2");
    // Not twice in the time of a first wait: whoever asks again and again must not flood the edge.
    scene.queue.hurry(scene.now);
    assert_eq!(scene.run(|_| taken()), ["2"]);
    scene.pass(Duration::from_secs(25));
    scene.queue.hurry(scene.now);
    assert_eq!(scene.run(|_| taken()), ["1"]);
}

#[test]
fn a_stop_drops_what_waits_and_what_lands_after_it() {
    for durable in [false, true] {
        let mut scene = Scene::new(|policy| {
            policy.linger = Duration::ZERO;
            policy.durable = durable;
        });
        scene.accept("s", "", "aB");
        scene.accept("t", "", "C");
        let batch = scene.request();
        scene.queue.stop();
        assert!(scene.take().is_none());
        scene.land(batch, later(true));
        let expected: &[(&str, &str)] = match durable {
            false => &[("closed", "C"), ("outcome_unknown", "B"), ("closed", "a")],
            true => &[("outcome_unknown", "B")],
        };
        assert_eq!(scene.told(), owned(expected));
        assert_eq!(scene.queue.counts().pending, if durable { 2 } else { 0 });
    }
}

#[test]
fn what_is_refused_alone_after_a_stop_is_dropped_too() {
    let mut scene = Scene::new(|policy| policy.linger = Duration::ZERO);
    scene.accept("s", "", "ab");
    let batch = scene.request();
    scene.land(batch, Answer::BadRequest(refusal(400)));
    let half = scene.request();
    scene.queue.stop();

    scene.land(half, Answer::BadRequest(refusal(400)));

    assert_eq!(scene.told(), owned(&[("closed", "b"), ("closed", "a")]));
    assert_eq!(scene.queue.counts().pending, 0);
}

#[test]
fn under_pressure_nothing_lingers() {
    let mut scene = Scene::new(|policy| policy.pressure = 2);
    scene.accept("a", "", "1");
    scene.accept("b", "", "2");
    assert!(scene.take().is_none());
    scene.accept("c", "", "3");
    assert_eq!(scene.request().ids(), ["3"]);
}

/// Every way that random answers can take ends with each notification counted once.
#[test]
fn counts_add_up_whatever_is_answered() {
    let mut seed = 7u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for round in 0..300 {
        let mut scene = Scene::new(|policy| {
            policy.max_batch = 4;
            policy.durable = round % 2 == 0;
        });
        let mut out = Vec::new();
        for step in 0..200u32 {
            match random(5) {
                0 | 1 => {
                    let ids: String = (0..=random(3)).map(|_| char::from(b'A' + random(50) as u8)).collect();
                    let cluster = [None, Some("35")][random(2) as usize];
                    scene.accept_in(&format!("s{}", random(4)), &random(2).to_string(), cluster, &ids);
                }
                2 => scene.pass(Duration::from_millis(random(40_000))),
                3 => out.extend(scene.take()),
                _ if !out.is_empty() => {
                    let mut batch: Batch = out.swap_remove(random(out.len() as u64) as usize);
                    batch.entries.iter_mut().for_each(|entry| entry.attempts += 1);
                    let missing = batch.ids().into_iter().filter(|_| random(3) == 0).collect();
                    let answer = match random(8) {
                        0..=2 => Answer::Taken { missing },
                        3 => Answer::BadRequest(refusal(400)),
                        4 => Answer::TooLarge(refusal(413)),
                        5 => Answer::Refused(refusal(403)),
                        _ => later(random(2) == 0),
                    };
                    scene.land(batch, answer);
                }
                _ => {}
            }
            if step % 50 == 0 {
                scene.queue.expire(scene.wall_ms);
                scene.queue.hurry(scene.now);
            }
            let sessions = scene.queue.sessions.values();
            let batches = sessions.flat_map(|session| session.ordered.iter().chain(&session.alone));
            let held = scene.queue.faults.families.values().flat_map(|faulty| &faulty.waiting);
            let waiting: usize = batches.chain(held).map(|batch| batch.entries.len()).sum();
            assert_eq!(waiting, scene.queue.waiting);
            let in_flight: usize = out.iter().map(|batch| batch.entries.len()).sum();
            assert_eq!(scene.queue.counts().pending, (waiting + in_flight + scene.queue.faults.in_search()) as u64);
        }
        for batch in out {
            scene.land(batch, later(false));
        }
        // A good edge takes all that is left.
        for _ in 0..60 {
            scene.pass(LONG / 2);
            scene.run(|_| taken());
        }
        let counts = scene.queue.counts();
        assert_eq!(counts.pending, 0, "{counts:?}");
        assert!(scene.queue.sessions.is_empty());
        assert!(scene.queue.hosts.values().all(|host| host.turns.len() < 300));
    }
}
