//! When the source asks, what it accepts, and what it tells: over a scripted transport, with short waits.

use super::*;
use crate::ids;
use crate::transport::scripted::{Asked, Gate, Scripted, Step, answer};
use serde_json::Value;
use std::path::PathBuf;

const SHORT: Duration = Duration::from_millis(1);
/// Longer than anything takes that is not meant to go on for ever.
const LONG: Option<Duration> = Some(Duration::from_secs(30));

fn artifact(version: &str) -> String {
    rules(
        version,
        r#"{"ruleKey":"1","activityId":1,"condition":true,"meta":{},"consequence":{"name":"m","options":[],"metrics":[]}}"#,
    )
}

fn rules(version: &str, rules: &str) -> String {
    format!(
        r#"{{"version":"{version}","meta":{{"clientCode":"acme","environment":"production"}},"globalMbox":"target-global-mbox",
            "geoTargetingEnabled":false,"responseTokens":[],"remoteMboxes":[],"localMboxes":["m"],"remoteViews":[],
            "localViews":[],"rules":{{"mboxes":{{"m":[{rules}]}},"views":{{}}}}}}"#
    )
}

fn good(version: &str, etag: &str) -> Step {
    answer(200, &[("etag", etag)], artifact(version))
}

fn not_modified() -> Step {
    answer(304, &[], "")
}

struct Scene {
    cdn: Arc<Scripted>,
    events: Arc<Events>,
    readiness: Arc<Readiness>,
    source: Source,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.source.stop();
        self.source.join();
    }
}

/// Waits and the interval are a millisecond unless `members` of the configuration stop polling.
fn scene(members: &str, steps: impl IntoIterator<Item = Step>) -> Scene {
    try_scene(members, Timing { interval: Some(SHORT), first_retry: SHORT, ..Timing::default() }, steps).unwrap()
}

fn try_scene(members: &str, timing: Timing, steps: impl IntoIterator<Item = Step>) -> Result<Scene, TargetError> {
    let config =
        format!(r#"{{"client":"acme","organization_id":"1@AdobeOrg","decisioning_method":"on-device"{members}}}"#);
    let cdn = Scripted::new(steps);
    let (events, readiness) = (Arc::new(Events::new(1024)), Arc::<Readiness>::default());
    let surroundings = Surroundings {
        transport: Arc::clone(&cdn) as Arc<dyn Transport>,
        events: Arc::clone(&events),
        clock: Clock { fixed_ms: Some(1000) },
        readiness: Arc::clone(&readiness),
    };
    let mut config = ClientConfig::from_json(&config).unwrap();
    let payload = config.artifact_payload.take();
    let first = payload.map_or(FirstArtifact::Wanted, FirstArtifact::Given);
    let source = Source::start(&config, first, surroundings, timing)?;
    Ok(Scene { cdn, events, readiness, source })
}

impl Scene {
    fn event(&self) -> Value {
        serde_json::from_str(&self.events.next(LONG).unwrap()).unwrap()
    }

    fn kinds(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.event()["type"].as_str().unwrap().to_owned()).collect()
    }

    fn version(&self) -> Option<String> {
        self.source.current().as_ref().map(|loaded| loaded.version().to_owned())
    }

    /// Lets the next download be the last one, and waits for its beginning.
    fn all_asked(&self, count: usize) -> Vec<Option<String>> {
        let etag = |asked: &Asked| asked.header("if-none-match").map(str::to_owned);
        self.cdn.wait_for(count).iter().map(etag).collect()
    }
}

#[test]
fn the_etag_sent_is_that_of_the_last_one_accepted() {
    let scene = scene(
        "",
        [
            answer(503, &[("etag", "error")], ""),
            good("1.0.0", "a"),
            not_modified(),
            answer(200, &[("etag", "html")], "<html>"),
            answer(200, &[("etag", "version")], artifact("2.0.0")),
            answer(206, &[("etag", "part")], artifact("1.0.1")),
            Step::Broken,
            good("1.0.2", "b"),
            answer(200, &[], artifact("1.0.3")),
        ],
    );
    let etags = scene.all_asked(10);
    let expected = [None, None, Some("a"), Some("a"), Some("a"), Some("a"), Some("a"), Some("a"), Some("b"), None];
    assert_eq!(etags, expected.map(|etag| etag.map(str::to_owned)));
    assert_eq!(scene.version().as_deref(), Some("1.0.3"));
    let stats = scene.source.stats();
    assert_eq!((stats.downloads, stats.not_modified, stats.failures), (3, 1, 5));
}

#[test]
fn a_304_that_nobody_asked_for_is_a_failure() {
    let scene = scene("", [not_modified(), good("1.0.0", "a")]);
    assert_eq!(scene.kinds(1), ["artifact_download_failed"]);
    scene.cdn.wait_for(3);
    assert_eq!(scene.version().as_deref(), Some("1.0.0"));
}

#[test]
fn without_polling_it_is_asked_for_until_there_is_one_and_then_no_more() {
    let scene = scene(r#","polling_interval":0"#, [answer(503, &[], ""), Step::Broken, good("1.0.0", "a")]);
    scene.readiness.wait(None);
    scene.cdn.then([answer(500, &[], ""), good("1.0.1", "b")]);
    scene.source.refresh().unwrap_err();
    assert!(scene.source.refresh().unwrap().changed);
    assert_eq!(scene.cdn.asked().len(), 5);
    let shared = &scene.source.shared;
    assert_eq!(scene.source.current().as_ref().unwrap().polling_interval_ms, 0);

    let mut plan = poll::Plan::at_once();
    assert!(plan.after_failure(shared, None).is_some());
    plan.after_success(Duration::ZERO);
    assert!(!plan.is_due());
    assert_eq!(plan.after_failure(shared, None), None);
    assert!(!plan.is_due());
}

#[test]
fn events_come_in_their_order() {
    let geo = [("x-geo-city", "PARIS"), ("x-geo-latitude", "48.8"), ("x-forwarded-for", "127.0.0.3"), ("etag", "a")];
    let bad = r#"{"ruleKey":"bad"}"#;
    let scene =
        scene("", [answer(403, &[], "no"), answer(200, &geo, rules("1.0.0", bad)), good("1.0.1", "b"), Step::Silence]);
    scene.cdn.wait_for(4);

    let failed = scene.event();
    assert_eq!(failed["type"], "artifact_download_failed");
    assert_eq!(failed["location"], "https://assets.adobetarget.com/acme/production/v1/rules.json");
    assert_eq!(failed["error"]["code"], "TARGET_ERR_HTTP");
    assert_eq!(failed["error"]["http_status"], 403);
    let message = "assets.adobetarget.com answered 403: on-device decisioning is not enabled for this client";
    assert_eq!(failed["error"]["message"], message);
    let succeeded = scene.event();
    assert_eq!(succeeded["type"], "artifact_download_succeeded");
    assert_eq!(
        (&succeeded["location"], &succeeded["version"], &succeeded["etag"]),
        (&failed["location"], &Value::from("1.0.0"), &Value::from("a"))
    );
    let skipped = scene.event();
    assert_eq!((&skipped["type"], &skipped["rule_key"]), (&"artifact_rule_skipped".into(), &"bad".into()));
    assert!(skipped["reason"].is_string());
    let updated = scene.event();
    assert_eq!(updated["type"], "geo_location_updated");
    assert_eq!(updated["geo"], serde_json::json!({"ipAddress": "127.0.0.3", "city": "PARIS", "latitude": 48.8}));
    assert_eq!(scene.kinds(1), ["client_ready"]);
    assert_eq!(scene.kinds(2), ["artifact_download_succeeded", "geo_location_updated"]);
    assert!(scene.events.next(Some(Duration::ZERO)).is_err());
}

#[test]
fn skipped_rules_are_told_up_to_a_bound() {
    let bad: Vec<String> = (0..123).map(|n| format!(r#"{{"ruleKey":"{n}"}}"#)).collect();
    let payload = rules("1.0.0", &bad.join(","));
    let scene = scene(&format!(r#","polling_interval":0,"artifact_payload":{payload}"#), []);
    let told: Vec<Value> = (0..101).map(|_| scene.event()).collect();
    assert_eq!(told[99]["rule_key"], "99");
    assert_eq!((&told[100]["rule_key"], &told[100]["reason"]), (&"".into(), &"and 23 more rules were left out".into()));
    assert_eq!(scene.kinds(1), ["client_ready"]);
    assert_eq!(scene.source.stats().skipped_rules, 123);
}

#[test]
fn a_payload_is_in_force_at_once_and_polling_updates_it() {
    let payload = format!(r#","artifact_payload":{}"#, artifact("1.0.0"));
    let scene = scene(&payload, [good("1.0.1", "a"), Step::Silence]);
    scene.cdn.wait_for(2);
    assert_eq!(scene.all_asked(2), [None, Some("a".to_owned())]);
    assert_eq!(scene.kinds(3), ["client_ready", "artifact_download_succeeded", "geo_location_updated"]);
    let current = scene.source.current();
    let loaded = current.as_ref().unwrap();
    assert_eq!((loaded.version(), loaded.retrieval_count, loaded.retrieved_ms), ("1.0.1", 2, 1000));
}

#[test]
fn a_payload_without_polling_asks_for_nothing() {
    let scene = scene(&format!(r#","polling_interval":0,"artifact_payload":{}"#, artifact("1.0.0")), []);
    assert!(!poll::Plan::after_payload(&scene.source.shared).is_due());
    assert_eq!(scene.cdn.asked(), []);
    let current = scene.source.current();
    let loaded = current.as_ref().unwrap();
    assert_eq!((&*loaded.location, &loaded.etag, loaded.retrieval_count), ("Not Applicable", &None, 1));
}

#[test]
fn a_payload_that_cannot_be_used_is_refused_by_its_name() {
    let refused = |payload: &str| {
        let scene = try_scene(&format!(r#","artifact_payload":{payload}"#), Timing::default(), []);
        let error = scene.err().unwrap();
        assert!(matches!(error, TargetError::InvalidOptions(_)), "{error:?}");
        assert_eq!(error.details().field.as_deref(), Some("artifact_payload"));
        error.to_string()
    };
    assert_eq!(
        refused(&artifact("2.0.0")),
        "The decisioning artifact version (2.0.0) is not supported. This library is compatible with this major version: 1"
    );
    refused("{}");
}

#[test]
fn another_version_is_why_nothing_can_be_decided_until_a_good_one_comes() {
    let gate = Arc::<Gate>::default();
    let held = Step::Held(Arc::clone(&gate), Box::new(good("1.0.0", "a")));
    let scene = scene("", [answer(503, &[], ""), answer(200, &[], artifact("3.1.0")), Step::Broken, held]);
    scene.cdn.wait_for(2);
    scene.cdn.wait_for(4);
    assert_eq!(
        scene.source.not_ready_error().to_string(),
        "The decisioning artifact version (3.1.0) is not supported. This library is compatible with this major version: 1"
    );
    gate.open();
    assert_eq!(scene.readiness.wait(LONG), super::super::readiness::Waited::Ready);
    let plain = "Unable to fulfill request; decisioning engine not ready.";
    assert_eq!(scene.source.not_ready_error().to_string(), plain);
}

#[test]
fn why_nothing_can_be_decided_is_the_last_failure() {
    for (step, http_status, retryable, reason) in [
        (answer(403, &[], ""), Some(403), false, "answered 403: on-device decisioning is not enabled for this client"),
        (answer(404, &[], ""), Some(404), false, "there is no artifact for this client, environment and property"),
        (answer(503, &[], ""), Some(503), true, "answered 503: no artifact"),
        (
            answer(200, &[], "<html>"),
            None,
            true,
            "is no artifact: the artifact is not JSON: expected a JSON value at byte 0",
        ),
        (Step::Broken, None, true, ""),
    ] {
        let scene =
            try_scene("", Timing { first_retry: Duration::from_secs(60), ..Timing::default() }, [step]).unwrap();
        while scene.source.stats().failures == 0 {
            std::thread::yield_now();
        }
        let error = scene.source.not_ready_error();
        assert!(matches!(error, TargetError::NotReady(_)), "{error:?}");
        let message = error.to_string();
        assert!(message.starts_with("Unable to fulfill request; decisioning engine not ready. "), "{message}");
        assert!(message.ends_with(reason), "{message}");
        assert_eq!((error.details().http_status, error.is_retryable()), (http_status, retryable), "{message}");
    }
}

#[test]
fn those_who_refresh_at_the_same_time_share_a_download() {
    let gate = Arc::<Gate>::default();
    let held = Step::Held(Arc::clone(&gate), Box::new(good("1.0.1", "b")));
    let scene = scene(r#","polling_interval":0"#, [good("1.0.0", "a"), held]);
    scene.cdn.then((0..4).map(|_| not_modified()));
    scene.readiness.wait(None);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| scene.source.refresh())).collect();
        scene.cdn.wait_for(2);
        // Readers go on with what is in force meanwhile, and whoever refreshes has time to come.
        assert_eq!(scene.version().as_deref(), Some("1.0.0"));
        std::thread::sleep(SHORT * 100);
        gate.open();
        for thread in threads {
            let refreshed = thread.join().unwrap().unwrap();
            assert_eq!((&*refreshed.version, refreshed.etag.as_deref()), ("1.0.1", Some("b")));
        }
    });
    // One on a busy machine may have come too late, and made a request of its own.
    assert!(scene.cdn.asked().len() < 5, "{}", scene.cdn.asked().len());
}

#[test]
fn a_stop_ends_a_download_and_those_who_wait_for_it() {
    let scene = scene(r#","polling_interval":0"#, [Step::Silence]);
    scene.cdn.wait_for(1);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| scene.source.refresh());
        let began = Instant::now();
        scene.source.stop();
        scene.source.join();
        assert!(matches!(waiting.join().unwrap(), Err(TargetError::Closed(_))));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    });
    assert!(scene.events.next(Some(Duration::ZERO)).is_err(), "an end is no failure of the download");
    assert!(matches!(scene.source.refresh(), Err(TargetError::Closed(_))));
}

#[test]
fn a_download_that_is_stuck_is_given_up() {
    let timing = Timing { patience: SHORT, first_retry: SHORT, ..Timing::default() };
    let scene = try_scene("", timing, [Step::Silence, good("1.0.0", "a")]).unwrap();
    assert_eq!(scene.kinds(2), ["artifact_download_failed", "artifact_download_succeeded"]);
}

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        Directory(std::env::temp_dir().join(format!("adobe-target-source-{}", ids::uuid())))
    }

    fn member(&self) -> String {
        format!(r#","artifact_cache_dir":"{}""#, self.0.display())
    }

    fn only_file(&self) -> PathBuf {
        let files: Vec<PathBuf> = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_kept_on_disk_is_in_force_at_once_and_its_etag_is_sent() {
    let directory = Directory::new();
    drop(scene(&directory.member(), [good("1.0.0", "a"), answer(200, &[("etag", "x")], "<html>")]).kept());

    let scene = scene(&directory.member(), [not_modified(), Step::Silence]);
    assert_eq!(scene.version().as_deref(), Some("1.0.0"));
    assert_eq!(scene.all_asked(2), [Some("a".to_owned()), Some("a".to_owned())]);
    assert_eq!(scene.kinds(1), ["client_ready"]);
    let stats = scene.source.stats();
    assert_eq!((stats.downloads, stats.not_modified, stats.etag.as_deref()), (0, 1, Some("a")));
    assert_eq!(stats.location, "https://assets.adobetarget.com/acme/production/v1/rules.json");
    assert!(stats.age.unwrap() < Duration::from_secs(60) && stats.checked.is_some());
}

impl Scene {
    /// The scene once its first two downloads are over, and the first of them is on disk.
    fn kept(self) -> Self {
        self.cdn.wait_for(3);
        self
    }
}

#[test]
fn what_is_kept_is_asked_for_once_more_without_polling() {
    let directory = Directory::new();
    drop(scene(&directory.member(), [good("1.0.0", "a"), not_modified()]).kept());
    let members = format!(r#"{},"polling_interval":0"#, directory.member());
    let scene = scene(&members, [Step::Broken, good("1.0.1", "b")]);
    scene.cdn.wait_for(2);
    assert_eq!(scene.kinds(3), ["client_ready", "artifact_download_failed", "artifact_download_succeeded"]);
    assert_eq!(scene.version().as_deref(), Some("1.0.1"));
}

#[test]
fn what_is_kept_and_cannot_be_used_is_told_and_left_out() {
    let directory = Directory::new();
    drop(scene(&directory.member(), [good("1.0.0", "a"), not_modified()]).kept());
    let file = directory.only_file();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();

    let scene = scene(&directory.member(), [Step::Silence]);
    let told = scene.event();
    assert_eq!(
        (&told["type"], &told["error"]["code"]),
        (&"artifact_download_failed".into(), &"TARGET_ERR_STORAGE".into())
    );
    assert_eq!(told["location"], file.display().to_string());
    assert_eq!(scene.all_asked(1), [None]);
    assert_eq!(scene.version(), None);
}

#[test]
fn a_directory_that_cannot_be_written_costs_the_cache_alone() {
    let directory = Directory::new();
    std::fs::write(&directory.0, "a file").unwrap();
    let scene = scene(&directory.member(), [good("1.0.0", "a"), Step::Silence]);
    scene.cdn.wait_for(2);
    assert_eq!(scene.version().as_deref(), Some("1.0.0"));
    std::fs::remove_file(&directory.0).unwrap();
}

#[test]
fn waits_after_failures_double_up_to_the_interval() {
    let interval = Duration::from_secs(20);
    let timing = Timing { interval: Some(interval), first_retry: Duration::from_secs(1), ..Timing::default() };
    let scene = try_scene("", timing, [Step::Silence]).unwrap();
    let mut plan = poll::Plan::at_once();
    let wait = |plan: &mut poll::Plan, asked_for| {
        let wait = plan.after_failure(&scene.source.shared, asked_for).unwrap();
        wait.as_secs_f64()
    };
    for expected in [1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0] {
        let wait = wait(&mut plan, None);
        assert!((wait - expected).abs() <= expected / 10.0, "{wait} instead of {expected}");
    }
    plan.after_success(interval);
    for (asked_for, expected) in [(10, 10.0), (3600, 20.0)] {
        let wait = wait(&mut plan, Some(Duration::from_secs(asked_for)));
        assert!((wait - expected).abs() <= expected / 10.0, "{wait} instead of {expected}");
    }
}

#[test]
fn a_child_starts_with_the_artifact_of_its_parent_and_asks_later() {
    let parent = scene(r#","polling_interval":0"#, [good("1.0.0", "a")]);
    parent.readiness.wait(None);
    let (cdn, events, readiness) = (Scripted::new([]), Arc::new(Events::new(8)), Arc::<Readiness>::default());
    let surroundings = Surroundings {
        transport: Arc::clone(&cdn) as Arc<dyn Transport>,
        events: Arc::clone(&events),
        clock: Clock::default(),
        readiness: Arc::clone(&readiness),
    };
    let config = ClientConfig::from_json(r#"{"client":"acme","organization_id":"1@AdobeOrg"}"#).unwrap();
    let inherited = parent.source.inheritance();
    let source = Source::start(&config, inherited, surroundings, Timing::default()).unwrap();
    parent.source.hand_over();
    assert_eq!((parent.version(), readiness.has_artifact()), (None, true));
    assert!(events.next(Some(Duration::ZERO)).is_err(), "nothing has happened here");
    assert!(cdn.asked().is_empty());
    cdn.then([not_modified()]);
    assert!(!source.refresh().unwrap().changed);
    assert_eq!(cdn.asked()[0].header("if-none-match"), Some("a"));
    // The thread that brought the artifact may still be telling of it.
    parent.source.stop();
    parent.source.join();
    assert_eq!(Arc::strong_count(source.current().as_ref().unwrap()), 1, "it goes when it is replaced");

    let waits: Vec<Option<Duration>> = (0..100).map(|_| poll::Plan::after_fork(&source.shared).waits()).collect();
    let interval = config.polling_interval;
    assert!(waits.iter().all(|wait| wait.is_some_and(|wait| wait > interval / 3 && wait <= interval)), "{waits:?}");
    source.stop();
    source.join();
}
