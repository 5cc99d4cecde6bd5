//! Threads decide while artifacts are swapped: every answer comes wholly from one of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use adobe_target::TargetClient;
use adobe_target::local_edge::LocalEdge;
use serde_json::{Value, json};

use crate::support::edge;
use crate::written::{allocated, artifact, envelope, rule, served_by};

const THREADS: usize = 16;
/// How many artifacts are swapped, unless the machine has no time for them.
const ARTIFACTS: u64 = 500;
const TIME: Duration = Duration::from_secs(20);
const MBOXES: [&str; 5] = ["a", "b", "c", "d", "target-global-mbox"];

/// An artifact that has its number in every offer and in every token.
fn numbered(number: u64) -> String {
    let of = |activity: u64, condition: Value| rule(activity, condition, json!({"number": number}));
    let mut artifact = artifact(MBOXES.map(|mbox| {
        // More rules in one than in another, so that an index into the wrong one would show.
        let mut rules: Vec<Value> = (0..number % 7).map(|at| of(at + 100, json!(false))).collect();
        rules.push(of(1, allocated(0, 50)));
        rules.push(of(2, json!(true)));
        (mbox, rules)
    }));
    let mut view = of(3, json!(true));
    view["consequence"]["name"] = json!("view");
    artifact["rules"]["views"] = json!({"view": [view]});
    artifact["localViews"] = json!(["view"]);
    artifact["responseTokens"] = json!(["activity.name"]);
    for rules in artifact["rules"]["mboxes"].as_object_mut().unwrap().values_mut() {
        for rule in rules.as_array_mut().unwrap() {
            rule["meta"]["activity.name"] = json!(number.to_string());
        }
    }
    artifact["rules"]["views"]["view"][0]["meta"]["activity.name"] = json!(number.to_string());
    artifact["meta"]["generatedAt"] = json!(number.to_string());
    artifact.to_string()
}

/// The number of the artifact that an answer comes from.
fn number_of(answer: &Value) -> u64 {
    let prefetch = &answer["response"]["prefetch"];
    let mboxes = prefetch["mboxes"].as_array().unwrap().iter();
    let places = mboxes.chain([&prefetch["pageLoad"], &prefetch["views"][0]]);
    let mut number = None;
    let mut count = 0;
    for option in places.flat_map(|place| place["options"].as_array().unwrap()) {
        let own = option["content"]["number"].as_u64().unwrap();
        assert_eq!(option["responseTokens"]["activity.name"], *own.to_string(), "{answer}");
        assert_eq!(*number.get_or_insert(own), own, "two artifacts in one answer: {answer}");
        count += 1;
    }
    // Four mboxes, the view, and the global mbox both as mbox and as page load, with all that match.
    assert!(count >= 7, "{answer}");
    let number = number.unwrap();
    let traced = &prefetch["mboxes"][0]["trace"]["artifact"]["generatedAt"];
    assert!(traced.is_null() || *traced == *number.to_string(), "a trace of another artifact: {answer}");
    number
}

/// Decides until it is over. How many answers there were, and from how many artifacts.
fn decide(client: &TargetClient, thread: usize, is_over: &AtomicBool) -> (u64, u64) {
    let mboxes: Vec<Value> = MBOXES.iter().map(|name| json!({"name": name})).collect();
    let (mut answers, mut artifacts, mut last) = (0, 0, 0);
    while !is_over.load(Ordering::Relaxed) {
        let mut request = json!({
            "id": {"thirdPartyId": format!("visitor-{thread}-{answers}")},
            "prefetch": {"mboxes": mboxes, "pageLoad": {}, "views": [{"name": "view"}]},
        });
        if answers % 10 == 0 {
            request["trace"] = json!({});
        }
        let number = number_of(&envelope(client, &request));
        // Nobody goes back to an older one.
        assert!(number >= last, "{number} after {last}");
        artifacts += u64::from(number > last);
        last = number;
        answers += 1;
        // On few processors, whoever swaps needs one now and then.
        if answers % 4 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    (answers, artifacts)
}

/// Swaps as fast as it goes, a millisecond apart at the least.
fn swap(edge: &LocalEdge, client: &TargetClient, is_over: &AtomicBool) -> u64 {
    let began = Instant::now();
    let mut number = 1;
    while number < ARTIFACTS && began.elapsed() < TIME {
        number += 1;
        edge.set_artifact(numbered(number)).unwrap();
        let refreshed = client.refresh().unwrap();
        assert!(refreshed.changed);
        std::thread::sleep(Duration::from_millis(1));
    }
    is_over.store(true, Ordering::Relaxed);
    number
}

#[test]
fn every_answer_comes_wholly_from_one_artifact() {
    let edge = edge();
    edge.set_artifact(numbered(1)).unwrap();
    let client = served_by(&edge, json!({}));
    let is_over = AtomicBool::new(false);
    let (swapped, decided) = std::thread::scope(|scope| {
        let (client, is_over) = (&client, &is_over);
        let deciders: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || decide(client, thread, is_over))).collect();
        // A failed swap must end the deciders, too.
        let swapped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| swap(&edge, client, is_over)));
        is_over.store(true, Ordering::Relaxed);
        let decided: Vec<(u64, u64)> = deciders.into_iter().map(|decider| decider.join().unwrap()).collect();
        (swapped.unwrap(), decided)
    });
    let answers: u64 = decided.iter().map(|(answers, _)| answers).sum();
    assert_eq!(client.stats().decisions, answers);
    assert_eq!(client.stats().artifact.unwrap().downloads, swapped);
    assert!(swapped > 50, "{swapped} artifacts");
    assert!(decided.iter().all(|(_, artifacts)| *artifacts > 10), "{decided:?}");
}
