//! What is asked of the geo service, how long it is waited for, and what is remembered.

use super::*;
use crate::transport::control::End;
use crate::transport::scripted::{Gate, Scripted, Step, answer};
use std::sync::atomic::{AtomicU64, Ordering};

const NOW: Option<Duration> = Some(Duration::ZERO);

struct Scene {
    service: GeoService,
    cdn: Arc<Scripted>,
    events: Arc<Events>,
    stats: Arc<Stats>,
}

fn scene(steps: impl IntoIterator<Item = Step>) -> Scene {
    let (cdn, events, stats) = (Scripted::new(steps), Arc::new(Events::new(64)), Arc::<Stats>::default());
    let transport = Arc::clone(&cdn) as Arc<dyn Transport>;
    let service = GeoService::new("https://cdn.test/a", transport, Arc::clone(&events), Arc::clone(&stats));
    Scene { service, cdn, events, stats }
}

impl Scene {
    fn look_up(&self, address: Option<&str>) -> Option<Arc<Located>> {
        self.service.look_up(address, &call())
    }

    /// Look-ups, failures and cache hits.
    fn counts(&self) -> [u64; 3] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [&self.stats.geo_look_ups, &self.stats.geo_failures, &self.stats.geo_cache_hits].map(read)
    }
}

fn call() -> Arc<CallControl> {
    Arc::new(CallControl::new(Duration::from_secs(30)))
}

const PARIS: &str = r#"{"x-geo-country-code":"FR","x-geo-region-code":"75","x-geo-city":"PARIS",
    "x-geo-latitude":"48.85","x-geo-longitude":"2.35","x-forwarded-for":"127.0.0.9"}"#;

fn paris() -> Step {
    answer(200, &[], PARIS)
}

fn in_paris() -> Located {
    let text = |text: &str| Some(text.to_owned());
    let (latitude, longitude) = (Some(48.85), Some(2.35));
    let geo = Geo { country: text("FR"), region: text("75"), city: text("PARIS"), latitude, longitude };
    Located { geo, ip_address: text("127.0.0.9") }
}

#[test]
fn an_address_is_asked_for_once_and_told_once() {
    let scene = scene([paris()]);
    for _ in 0..3 {
        assert_eq!(*scene.look_up(Some("127.0.0.1")).unwrap(), in_paris());
    }
    let asked = scene.cdn.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!((&*asked[0].url, asked[0].header("x-forwarded-for")), ("https://cdn.test/a/v1/geo", Some("127.0.0.1")));
    let event: serde_json::Value = serde_json::from_str(&scene.events.next(NOW).unwrap()).unwrap();
    assert_eq!(event["type"], "geo_location_updated");
    let expected = serde_json::json!({"ipAddress": "127.0.0.9", "latitude": 48.85, "longitude": 2.35,
        "countryCode": "FR", "stateCode": "75", "city": "PARIS"});
    assert_eq!(event["geo"], expected);
    assert!(scene.events.next(NOW).is_err());
    assert_eq!(scene.counts(), [1, 0, 2]);
}

#[test]
fn the_machines_own_address_is_not_sent() {
    let scene = scene([answer(200, &[], r#"{"x-geo-city":"OSLO"}"#)]);
    let located = scene.look_up(None).unwrap();
    assert_eq!((located.geo.city.as_deref(), &located.ip_address), (Some("OSLO"), &None));
    assert_eq!(scene.cdn.asked()[0].headers, []);
}

#[test]
fn an_answer_without_an_address_is_of_the_one_asked_for() {
    let scene = scene([answer(200, &[], "{}")]);
    let located = scene.look_up(Some("127.0.0.1")).unwrap();
    assert_eq!(*located, Located { geo: Geo::default(), ip_address: Some("127.0.0.1".to_owned()) });
}

#[test]
fn members_of_other_types_and_absurd_ones_are_absent() {
    let long = "x".repeat(1000);
    let body = format!(
        r#"{{"x-geo-city":["A"],"x-geo-country-code":"{long}","x-geo-region-code":75,"x-geo-latitude":48.5,
            "x-geo-longitude":"inf","x-forwarded-for":null}}"#
    );
    let scene = scene([answer(200, &[], body)]);
    let located = scene.look_up(None).unwrap();
    let expected = Geo { region: Some("75".to_owned()), latitude: Some(48.5), ..Geo::default() };
    assert_eq!((&located.geo, &located.ip_address), (&expected, &None));
}

#[test]
fn failures_are_no_answer_and_are_not_remembered() {
    let failures = [answer(500, &[], "{}"), answer(200, &[], "<html>"), answer(200, &[], "[]"), Step::Broken, paris()];
    let scene = scene(failures);
    for _ in 0..4 {
        assert_eq!(scene.look_up(Some("127.0.0.1")), None);
    }
    assert!(scene.look_up(Some("127.0.0.1")).is_some());
    assert_eq!(scene.counts(), [5, 4, 0]);
}

#[test]
fn a_silent_service_takes_a_share_of_the_calls_time() {
    let scene = scene([Step::Silence]);
    let control = Arc::new(CallControl::new(Duration::from_millis(400)));
    assert_eq!(scene.service.look_up(Some("127.0.0.1"), &control), None);
    assert!(control.elapsed() >= Duration::from_millis(190), "{:?}", control.elapsed());
    assert!(control.remaining().is_some(), "half of the time is left for the call");
    let mut bounded = self::scene([Step::Silence]);
    bounded.service.longest = Duration::from_millis(20);
    assert_eq!(bounded.look_up(Some("127.0.0.1")), None);
}

#[test]
fn an_end_of_the_call_ends_its_look_up() {
    let scene = scene([Step::Silence]);
    let control = call();
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| scene.service.look_up(Some("127.0.0.1"), &control));
        scene.cdn.wait_for(1);
        control.end_call(End::Cancelled);
        assert_eq!(looking.join().unwrap(), None);
    });
}

#[test]
fn calls_that_want_the_same_address_share_a_request() {
    let gate = Arc::<Gate>::default();
    let mut scene = scene([Step::Held(Arc::clone(&gate), Box::new(paris()))]);
    scene.service.longest = Duration::from_secs(20);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| scene.look_up(Some("127.0.0.1")))).collect();
        scene.cdn.wait_for(1);
        gate.open();
        for thread in threads {
            assert_eq!(*thread.join().unwrap().unwrap(), in_paris());
        }
    });
    assert_eq!(scene.counts(), [1, 0, 3]);
}

#[test]
fn a_call_that_gives_up_leaves_the_look_up_to_those_who_wait() {
    let mut scene = scene([Step::Silence, paris()]);
    scene.service.longest = Duration::from_secs(20);
    let first = call();
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| scene.service.look_up(Some("127.0.0.1"), &first));
        scene.cdn.wait_for(1);
        let waiting = scope.spawn(|| scene.look_up(Some("127.0.0.1")));
        first.end_call(End::Cancelled);
        assert_eq!(looking.join().unwrap(), None);
        assert_eq!(*waiting.join().unwrap().unwrap(), in_paris());
    });
}

#[test]
fn a_service_that_never_answers_is_left_alone_for_a_while() {
    let scene = scene((0..PATIENCE).map(|_| Step::Broken));
    for n in 0..PATIENCE + 3 {
        assert_eq!(scene.look_up(Some(&format!("127.0.0.{n}"))), None);
    }
    assert_eq!(scene.counts(), [u64::from(PATIENCE), u64::from(PATIENCE) + 3, 0]);

    lock(&scene.service.state).paused_until = Some(Instant::now());
    scene.cdn.then([paris(), paris()]);
    assert!(scene.look_up(Some("127.0.0.1")).is_some());
    assert!(scene.look_up(Some("127.0.0.2")).is_some());
}

#[test]
fn what_is_remembered_is_bounded_and_what_is_asked_for_stays() {
    let mut scene = scene((0..60).map(|_| paris()));
    scene.service.max_known = 10;
    for n in 0..50 {
        scene.look_up(Some("127.0.0.1")).unwrap();
        scene.look_up(Some(&format!("127.0.1.{n}"))).unwrap();
        let state = lock(&scene.service.state);
        assert!(state.recent.len() + state.older.len() <= 10);
    }
    assert_eq!(scene.counts(), [51, 0, 49], "the one that is asked for again and again is not asked of the service");
}

#[test]
fn what_was_remembered_too_long_is_asked_for_again() {
    let scene = scene([paris(), answer(200, &[], "{}")]);
    scene.look_up(None).unwrap();
    if let Some(known) = lock(&scene.service.state).recent.get_mut(&None) {
        known.at = Instant::now().checked_sub(MAX_AGE).unwrap();
    }
    assert_eq!(scene.look_up(None).unwrap().geo, Geo::default());
}
