//! One of the processes: hands notifications over, and writes down what was accepted only when it was.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use adobe_target::{
    ClientStats, PartialResult, ProxySetting, QueueConfig, RetryPolicy, SpoolSync, TargetClient, TargetError,
};
use serde_json::{Value, json};

use crate::random::Random;

pub const PLAN: &str = "ADOBE_TARGET_TORTURE_PLAN";
/// A process that takes longer hangs; the signal tells the parent.
const WATCHDOG_SECONDS: u32 = 300;
const SESSIONS: u64 = 40;

/// One `write`, so that a kill leaves a line out or in.
fn say(line: &str) {
    let line = format!("\n@{line}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).and_then(|()| std::io::stdout().flush()).unwrap();
}

pub fn run(plan: &Value) -> ! {
    // SAFETY: takes a number; the signal ends the process.
    unsafe { libc::alarm(WATCHDOG_SECONDS) };
    let mut random = Random::new(plan["seed"].as_u64().unwrap());
    if plan["ending"] == "drain" {
        drain(plan);
    }
    let lives = plan["lives"].as_u64().unwrap();
    for life in 0..lives {
        let client = open(plan, &mut random);
        let producers = 1 + random.below(2);
        std::thread::scope(|scope| {
            for producer in 0..producers {
                let name = format!("{}.{life}.{producer}", plan["name"].as_str().unwrap());
                let (client, random) = (&client, random.branch());
                scope.spawn(move || produce(client, plan, &name, random));
            }
        });
        check_stats(&client.stats());
        match plan["ending"].as_str().unwrap() {
            // Nothing is said to anybody.
            "exit" if life + 1 == lives => std::process::exit(0),
            "drop" => drop(client),
            _ => {
                match client.close(Some(Duration::from_millis(random.below(60)))) {
                    Ok(_) => {}
                    Err(TargetError::Pending(details)) => {
                        let Some(PartialResult::Counts(counts)) = details.result else {
                            panic!("what is left has no counts: {details:?}");
                        };
                        assert!(counts.pending > 0, "{counts:?}");
                    }
                    Err(error) => panic!("a close failed: {error}"),
                }
                check_stats(&client.stats());
            }
        }
    }
    std::process::exit(0);
}

fn open(plan: &Value, random: &mut Random) -> TargetClient {
    let is_last = plan["ending"] == "drain";
    let sync = match plan["sync"].as_str().unwrap() {
        "none" => SpoolSync::None,
        "batch" => SpoolSync::Batch,
        _ => SpoolSync::Each,
    };
    let mut queue = QueueConfig::default();
    queue.spool_dir = Some(Path::new(plan["spool"].as_str().unwrap()).to_owned());
    queue.spool_sync = sync;
    queue.flush_interval = Duration::from_millis(random.within(10..21));
    queue.retry_base_delay = Duration::from_millis(random.within(5..11));
    queue.retry_max_delay = Duration::from_millis(50);
    queue.workers = random.within(1..5);
    queue.max_batch = [3, 10, 50][random.below(3) as usize];
    // Little room makes the spool tidy up all the time.
    queue.spool_max_bytes = plan["spool_max_bytes"].as_u64().unwrap();
    let timeout = Duration::from_millis(if is_last { 30_000 } else { random.within(200..301) });
    let client = TargetClient::builder("acme", "0DD934B85278256B0A490D44@AdobeOrg")
        .server_domain(plan["host"].as_str().unwrap())
        .secure(false)
        .proxy(ProxySetting::None)
        .timeout(timeout)
        .connect_timeout(timeout)
        .close_timeout(Duration::from_millis(random.below(40)))
        .retry(RetryPolicy::default())
        .retry_clicks(plan["retry_clicks"].as_bool().unwrap())
        .notifications(queue)
        .build()
        .unwrap_or_else(|error| panic!("a client cannot be opened: {error}"));
    client.on_event(Some(Arc::new(say_event))).unwrap();
    say(&format!("recovered {}", client.stats().queue.recovered));
    client
}

fn say_event(event: &str) {
    let event: Value = serde_json::from_str(event).unwrap();
    let kind = match event["type"].as_str().unwrap() {
        "notification_rejected" => "rejected",
        "notification_dropped" => event["reason"].as_str().unwrap(),
        _ => return,
    };
    let ids = event["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap());
    say(&format!("event {kind} {}", ids.collect::<Vec<_>>().join(" ")));
}

fn check_stats(stats: &ClientStats) {
    let queue = &stats.queue;
    let settled = queue.acknowledged + queue.rejected + queue.dropped + queue.pending;
    assert_eq!(queue.accepted + queue.recovered, settled, "the sums hold: {queue:?}");
    // A kill tears records that nobody was told of, and damages none.
    assert_eq!(queue.spool_damaged, 0, "{queue:?}");
}

/// Displays, clicks, orders, and some that the edge refuses. The first letter tells the parent which.
fn notification(kind: char, id: &str, token: &str, random: &mut Random) -> Value {
    let mut notification = json!({
        "id": id,
        "type": if kind == 'c' { "click" } else { "display" },
        "timestamp": 1_621_530_726_000_i64,
        "mbox": {"name": "home"},
    });
    match kind {
        'b' => notification["tokens"] = json!(["no token of this edge"]),
        'o' => notification["order"] = json!({"id": id, "total": 9.5}),
        'd' if random.percent(30) => notification["tokens"] = json!([token]),
        _ => {}
    }
    if random.percent(10) {
        notification["parameters"] = json!({"text": "ü\"\\\n".repeat(random.below(300) as usize)});
    }
    notification
}

fn produce(client: &TargetClient, plan: &Value, name: &str, mut random: Random) {
    let token = plan["token"].as_str().unwrap();
    let mut sequence = 0;
    let longest_pause = [1_000, 8_000, 30_000][random.below(3) as usize];
    for _ in 0..plan["operations"].as_u64().unwrap() {
        let count = if random.percent(3) { random.within(30..70) } else { random.within(1..8) };
        let (mut ids, mut notifications) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let kind = match random.below(200) {
                0..2 => 'b',
                2..30 => 'c',
                30..45 => 'o',
                _ => 'd',
            };
            sequence += 1;
            let id = format!("{kind}{name}.{sequence}");
            notifications.push(notification(kind, &id, token, &mut random));
            ids.push(id);
        }
        let session = random.below(SESSIONS);
        let mut request = json!({"notifications": notifications});
        if session.is_multiple_of(3) {
            request["id"] = json!({"tntId": format!("{session:032x}.35_0")});
        }
        let options = json!({"request": request, "session_id": format!("session-{session}")});
        match client.enqueue_notifications_json(&options.to_string()) {
            Ok(_) => say(&format!("accepted {}", ids.join(" "))),
            Err(TargetError::QueueFull(_)) => say("full"),
            Err(error) => panic!("an enqueue failed: {error}"),
        }
        if random.percent(5) {
            check_stats(&client.stats());
        }
        if random.percent(2) {
            // A rest is no news.
            let _ = client.flush(Some(Duration::from_millis(random.below(30))));
        }
        std::thread::sleep(Duration::from_micros(random.below(longest_pause)));
    }
}

/// Delivers whatever was left by all that died.
fn drain(plan: &Value) -> ! {
    let mut random = Random::new(plan["seed"].as_u64().unwrap());
    let client = open(plan, &mut random);
    for attempt in 0.. {
        // One that is good lets those be rejected that were refused alone.
        let id = format!("d{}.{attempt}", plan["name"].as_str().unwrap());
        let options = json!({
            "request": {"notifications": [notification('d', &id, plan["token"].as_str().unwrap(), &mut random)]},
            "session_id": "session-good",
        });
        let has_room = match client.enqueue_notifications_json(&options.to_string()) {
            Ok(_) => true,
            Err(TargetError::QueueFull(_)) => false,
            Err(error) => panic!("an enqueue failed: {error}"),
        };
        if has_room {
            say(&format!("accepted {id}"));
        }
        if client.flush(Some(Duration::from_millis(500))).is_ok() && has_room {
            break;
        }
    }
    check_stats(&client.stats());
    client.close(None).unwrap_or_else(|error| panic!("something is left: {error}"));
    let queue = client.stats().queue;
    assert_eq!(queue.pending, 0, "{queue:?}");
    say("drained");
    std::process::exit(0);
}
