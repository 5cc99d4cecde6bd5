//! One seed: an edge that lives through it, a spool directory, processes that come and go, and the reckoning.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use adobe_target::local_edge::{Fault, LocalEdge};
use adobe_target::{ProxySetting, TargetClient};
use serde_json::{Value, json};

use crate::child::PLAN;
use crate::random::Random;

#[derive(Debug, Default)]
pub struct Totals {
    pub rounds: u64,
    pub kills: u64,
    pub accepted: u64,
    recovered: u64,
    refused_full: u64,
    /// Clicks and orders.
    once: u64,
    once_delivered: u64,
    rejected: u64,
    duplicates: u64,
}

impl Totals {
    pub fn add(&mut self, other: &Totals) {
        self.rounds += other.rounds;
        self.kills += other.kills;
        self.accepted += other.accepted;
        self.recovered += other.recovered;
        self.refused_full += other.refused_full;
        self.once += other.once;
        self.once_delivered += other.once_delivered;
        self.rejected += other.rejected;
        self.duplicates += other.duplicates;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { rounds, kills, accepted, recovered, refused_full, once, once_delivered, rejected, duplicates } =
            self;
        write!(
            out,
            "{rounds} processes, {kills} killed; {accepted} accepted, {recovered} recovered, {refused_full} enqueues \
             refused as full; {once_delivered} of {once} clicks and orders delivered; {rejected} rejected; {duplicates} \
             repetitions seen by the edge"
        )
    }
}

/// What the processes said.
#[derive(Default)]
struct Said {
    accepted: HashSet<String>,
    /// By event.
    rejected: HashSet<String>,
    dropped: HashMap<String, String>,
    recovered: u64,
    full: u64,
    drained: bool,
}

pub struct Campaign {
    seed: u64,
    edge: LocalEdge,
    spool: PathBuf,
    retry_clicks: bool,
    sync: &'static str,
    spool_max_bytes: u64,
    /// A valid event token.
    token: String,
    said: Mutex<Said>,
    /// Ids in `rejected.jsonl`, as far as it was read.
    written_down: Mutex<HashSet<String>>,
    rounds: AtomicU64,
    kills: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Ending {
    Kill,
    Exit,
    Close,
    Drop,
    Drain,
}

impl Campaign {
    pub fn run(seed: u64, time: Duration) -> Totals {
        let mut random = Random::new(seed);
        let edge = LocalEdge::start().unwrap();
        let spool = std::env::temp_dir().join(format!("adobe-target-torture-{}-{seed}", std::process::id()));
        let _ = fs::remove_dir_all(&spool);
        let token = token_of(&edge);
        let campaign = Campaign {
            seed,
            edge,
            spool,
            // Neighbours have one each.
            retry_clicks: !seed.is_multiple_of(2),
            sync: ["none", "batch", "each"][random.below(3) as usize],
            spool_max_bytes: [64 * 1024 * 1024, 256 * 1024][random.below(2) as usize],
            token,
            said: Mutex::default(),
            written_down: Mutex::default(),
            rounds: AtomicU64::new(0),
            kills: AtomicU64::new(0),
        };
        println!(
            "seed {seed}: retry_clicks {}, spool_sync {}, spool_max_bytes {}",
            campaign.retry_clicks, campaign.sync, campaign.spool_max_bytes
        );
        let over = AtomicBool::new(false);
        let until = Instant::now() + time;
        std::thread::scope(|scope| {
            let (campaign, over) = (&campaign, &over);
            let mut of_faults = random.branch();
            scope.spawn(move || campaign.misbehave(&mut of_faults, over));
            let lanes: Vec<_> = (0..2)
                .map(|lane| {
                    let random = random.branch();
                    scope.spawn(move || campaign.live_and_die(lane, random, until))
                })
                .collect();
            let ended: Vec<_> = lanes.into_iter().map(|lane| lane.join()).collect();
            over.store(true, Ordering::Relaxed);
            for lane in ended {
                lane.unwrap_or_else(|_| panic!("{}", campaign.hint()));
            }
        });
        campaign.edge.clear_faults();
        campaign.process("drain", &mut random, Ending::Drain);
        let totals = campaign.reckon();
        fs::remove_dir_all(&campaign.spool).unwrap();
        totals
    }

    fn hint(&self) -> String {
        format!("seed {}, spool left in {}", self.seed, self.spool.display())
    }

    fn live_and_die(&self, lane: usize, mut random: Random, until: Instant) {
        for round in 0.. {
            if Instant::now() >= until {
                return;
            }
            if lane == 1 && random.percent(40) {
                // The other one is alone for a while.
                std::thread::sleep(Duration::from_millis(random.below(500)));
                continue;
            }
            let ending = match random.below(100) {
                0..70 => Ending::Kill,
                70..80 => Ending::Exit,
                80..92 => Ending::Close,
                _ => Ending::Drop,
            };
            self.process(&format!("{lane}.{round}"), &mut random, ending);
            self.read_rejected();
        }
    }

    /// One process from its start to its end.
    fn process(&self, name: &str, random: &mut Random, ending: Ending) {
        let plan = json!({
            "name": name,
            "seed": random.next(),
            "host": self.edge.host(),
            "spool": self.spool,
            "retry_clicks": self.retry_clicks,
            "sync": self.sync,
            "spool_max_bytes": self.spool_max_bytes,
            "token": self.token,
            "lives": if random.percent(80) { 1 } else { 3 },
            "operations": if ending == Ending::Kill { 10_000 } else { random.within(1..120) },
            "ending": match ending {
                Ending::Kill | Ending::Close => "close",
                Ending::Exit => "exit",
                Ending::Drop => "drop",
                Ending::Drain => "drain",
            },
        });
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "one_of_the_processes", "--nocapture", "--test-threads=1"])
            .env(PLAN, plan.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        self.rounds.fetch_add(1, Ordering::Relaxed);
        let status = std::thread::scope(|scope| {
            let reader = scope.spawn(|| self.listen(BufReader::new(output)));
            if ending == Ending::Kill {
                // Some while they start and recover.
                let life = if random.percent(40) { random.below(40_000) } else { random.below(400_000) };
                std::thread::sleep(Duration::from_micros(life));
                child.kill().unwrap();
            }
            let status = child.wait().unwrap();
            reader.join().unwrap();
            status
        });
        if ending == Ending::Kill && status.signal() == Some(libc::SIGKILL) {
            self.kills.fetch_add(1, Ordering::Relaxed);
            return;
        }
        assert!(status.success(), "{name} ended with {status}: {}", self.hint());
    }

    /// Only lines that are whole were meant.
    fn listen(&self, mut output: impl BufRead) {
        let mut line = String::new();
        while output.read_line(&mut line).unwrap() > 0 {
            if let Some(line) = line.strip_suffix('\n').and_then(|line| line.strip_prefix('@')) {
                self.note(line);
            }
            line.clear();
        }
    }

    fn note(&self, line: &str) {
        let mut words = line.split(' ');
        let mut said = self.said.lock().unwrap();
        match words.next() {
            Some("accepted") => said.accepted.extend(words.map(str::to_owned)),
            Some("event") => {
                let kind = words.next().unwrap();
                for id in words {
                    if kind == "rejected" {
                        said.rejected.insert(id.to_owned());
                    } else {
                        said.dropped.insert(id.to_owned(), kind.to_owned());
                    }
                }
            }
            Some("recovered") => said.recovered += words.next().unwrap().parse::<u64>().unwrap(),
            Some("full") => said.full += 1,
            Some("drained") => said.drained = true,
            _ => panic!("a process says {line:?}"),
        }
    }

    /// Keeps a few faults waiting for the requests to come, and sometimes nothing works at all.
    fn misbehave(&self, random: &mut Random, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            while self.edge.waiting_faults() < 4 {
                self.edge.fault(fault(random));
            }
            if random.below(400) == 0 {
                let down = [Fault::ResetBeforeReading, Fault::status(503)][random.below(2) as usize].clone();
                self.edge.set_default_reply(Some(down.clone()));
                self.edge.faults(vec![down; 40]);
                std::thread::sleep(Duration::from_millis(random.below(400)));
                self.edge.clear_faults();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn read_rejected(&self) {
        // In this order a line that moves meanwhile is met twice rather than not at all.
        for name in ["rejected.jsonl", "rejected.1.jsonl"] {
            let Ok(text) = fs::read_to_string(self.spool.join(name)) else { continue };
            // The last line may be on its way.
            for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
                let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
                assert_eq!(line["http_status"], 400, "{line}");
                self.written_down.lock().unwrap().insert(line["notification"]["id"].as_str().unwrap().to_owned());
            }
        }
    }

    /// What was accepted against what the edge has counted.
    fn reckon(&self) -> Totals {
        // A process that was killed may have left a request in a socket.
        let begun = Instant::now();
        while self.edge.open_connections() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "the edge ends: {}", self.hint());
            std::thread::sleep(Duration::from_millis(1));
        }
        self.read_rejected();
        let report = self.edge.report();
        let said = self.said.lock().unwrap();
        let written_down = self.written_down.lock().unwrap();
        let mut problems = Vec::new();
        let times = |of: &BTreeMap<String, u64>, id: &str| of.get(id).copied().unwrap_or_default();
        let (mut once, mut once_delivered) = (0, 0);
        for id in &said.accepted {
            let processed = times(&report.notifications.ids, id);
            let counted = times(&report.notifications.counted, id);
            match id.as_bytes()[0] {
                b'd' if counted == 1 => {}
                b'c' | b'o' if self.retry_clicks && processed >= 1 => once_delivered += 1,
                b'c' | b'o' if !self.retry_clicks && processed <= 1 => once_delivered += processed,
                b'b' if processed == 0 && written_down.contains(id) => {}
                _ => problems.push(format!("{id} was accepted, processed {processed} times, counted {counted} times")),
            }
            once += u64::from(matches!(id.as_bytes()[0], b'c' | b'o'));
        }
        // Those whose acceptance nobody heard of are held to the same, as far as they came.
        for (id, processed) in &report.notifications.ids {
            let counted = times(&report.notifications.counted, id);
            let is_too_often = match id.as_bytes()[0] {
                b'd' => counted != 1,
                b'c' | b'o' => !self.retry_clicks && *processed > 1,
                _ => true,
            };
            if is_too_often {
                problems.push(format!("{id} was processed {processed} times, counted {counted} times"));
            }
        }
        for (id, reason) in &said.dropped {
            let is_due = reason == "outcome_unknown" && !self.retry_clicks && !id.starts_with(['d', 'b']);
            if !is_due {
                problems.push(format!("{id} was dropped as {reason}"));
            }
        }
        problems.extend(said.rejected.iter().filter(|id| !id.starts_with('b')).map(|id| format!("{id} was rejected")));
        problems.extend(written_down.iter().filter(|id| !id.starts_with('b')).map(|id| format!("{id} is rejected")));
        if !said.drained {
            problems.push("the last process said nothing of its end".to_owned());
        }
        problems.extend(segments(&self.spool).iter().map(|path| format!("{} is left", path.display())));
        let count = problems.len();
        problems.truncate(20);
        assert!(problems.is_empty(), "{count} problems, {}:\n{}", self.hint(), problems.join("\n"));
        assert!(!report.truncated);
        Totals {
            rounds: self.rounds.load(Ordering::Relaxed),
            kills: self.kills.load(Ordering::Relaxed),
            accepted: said.accepted.len() as u64,
            recovered: said.recovered,
            refused_full: said.full,
            once,
            once_delivered,
            rejected: written_down.len() as u64,
            duplicates: report.duplicate_impressions,
        }
    }
}

/// Half of the requests are answered as they should be.
fn fault(random: &mut Random) -> Fault {
    let status = |status, wait: Option<&str>| Fault::Status {
        status,
        retry_after: wait.map(str::to_owned),
        message: "on demand".to_owned(),
    };
    let counted = random.percent(50);
    match random.below(100) {
        0..50 => Fault::None,
        50..56 => Fault::ResetBeforeReading,
        56..62 => Fault::ResetAfterReading { counted },
        62..68 => Fault::HalfAnswer { counted },
        68..76 => Fault::MissIds(random.within(1..6) as usize),
        76..80 => status(420, None),
        80..84 => status(503, Some(["0", "1"][random.below(2) as usize])),
        84..86 => status(429, Some("0")),
        86..88 => status(500, None),
        88..90 => Fault::Silence,
        90 => Fault::Garbage,
        91 => Fault::GarbageBody,
        92 => Fault::HtmlPage,
        93..95 => Fault::CutBody,
        95 => Fault::NoContent,
        96 => Fault::CloseAfterAnswer,
        97 => Fault::Delay(Duration::from_millis(random.below(500))),
        98 => Fault::Gzip,
        _ => status(408, None),
    }
}

/// Files of all slots that hold records.
fn segments(spool: &Path) -> Vec<PathBuf> {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let slots = entries(spool).filter(|path| path.is_dir());
    slots.flat_map(|slot| entries(&slot)).filter(|path| path.extension().is_some_and(|end| end == "log")).collect()
}

fn token_of(edge: &LocalEdge) -> String {
    let client = TargetClient::builder("acme", "0DD934B85278256B0A490D44@AdobeOrg")
        .server_domain(edge.host())
        .secure(false)
        .proxy(ProxySetting::None)
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap();
    let request = json!({"request": {"prefetch": {"mboxes": [{"name": "home", "index": 0}]}}});
    let offers: Value = serde_json::from_str(&client.get_offers_json(&request.to_string()).unwrap()).unwrap();
    let option = &offers["response"]["prefetch"]["mboxes"][0]["options"][0];
    option["eventToken"].as_str().unwrap_or_else(|| panic!("no token: {offers}")).to_owned()
}
