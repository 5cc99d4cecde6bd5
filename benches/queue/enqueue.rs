//! What one enqueue takes, alone and beside others.

use std::ffi::CString;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::clients::{Case, Down, SESSIONS, count, create};
use crate::library::{Client, Library};
use crate::measure::{Rounds, complain, percentile, thread_cpu_us};
use crate::server::Server;
use crate::{Amount, allocations};

/// As many as a queue holds by default, less what makes the last of them find it full.
const ROUND: usize = 9_600;

#[derive(Default)]
struct Latencies {
    /// Of calls, in nanoseconds.
    all: Vec<u32>,
    /// CPU time of the calling threads per call, in microseconds, a value for each round and thread.
    cpu: Vec<f64>,
}

impl Latencies {
    fn print(mut self, name: &str, threads: usize, more: &str) {
        let of = |share: f64, all: &mut Vec<u32>| f64::from(percentile(all, share)) / 1e3;
        println!(
            "  {name:<34} {threads:>7} {:>8.2} {:>8.2} {:>8.1} {:>8.0} {:>8.2} {more}",
            of(0.5, &mut self.all),
            of(0.99, &mut self.all),
            of(0.999, &mut self.all),
            of(1.0, &mut self.all),
            Rounds::new(self.cpu).median(),
        );
    }
}

fn print_head(more: &str) {
    println!(
        "  {:<34} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8} {more}",
        "", "threads", "median", "p99", "p99.9", "longest", "CPU"
    );
}

/// Times each call of all texts, shared out to so many threads.
fn time_each<T: Sync>(texts: &[T], threads: usize, latencies: &mut Latencies, call: impl Fn(&T) + Sync) {
    let barrier = Barrier::new(threads);
    let times = std::thread::scope(|scope| {
        let measured = texts.chunks(texts.len().div_ceil(threads)).map(|texts| {
            let (barrier, call) = (&barrier, &call);
            scope.spawn(move || {
                let mut times = Vec::with_capacity(texts.len());
                barrier.wait();
                let before = thread_cpu_us();
                for text in texts {
                    let begun = Instant::now();
                    call(text);
                    times.push(begun.elapsed().as_nanos().min(u32::MAX.into()) as u32);
                }
                ((thread_cpu_us() - before) / texts.len() as f64, times)
            })
        });
        let measured: Vec<_> = measured.collect();
        measured.into_iter().map(|thread| thread.join().expect("it does not panic")).collect::<Vec<_>>()
    });
    for (cpu, times) in times {
        latencies.cpu.push(cpu);
        latencies.all.extend(times);
    }
}

pub fn print(library: Library, amount: Amount) {
    print_head("  allocations");
    let server = Server::start(&[]);
    for case in Case::ALL {
        let texts = case.many(ROUND);
        let allocated = allocations_of(case);
        for (edge, down) in [("edge up", None), ("refusing", Some(Down::refusing())), ("silent", Some(Down::silent()))]
        {
            let host = down.as_ref().map_or_else(|| server.host().to_owned(), Down::host);
            for threads in [1, 4] {
                let mut latencies = Latencies::default();
                for _ in 0..amount.rounds {
                    let Some(client) = create(library, &host, &json!({})) else { return };
                    time_each(&texts, threads, &mut latencies, |options| {
                        if !client.enqueue(options) {
                            complain(&client.enqueue_text(options));
                        }
                    });
                    check_delivered(&client, down.is_none());
                }
                latencies.print(&format!("{}, {edge}", case.name()), threads, &format!("{allocated:>10.1}"));
            }
        }
    }
    for threads in [1, 4] {
        // What the machine's other work does to calls of that length that wait for nobody.
        let mut latencies = Latencies::default();
        for _ in 0..amount.rounds {
            time_each(&[(); ROUND], threads, &mut latencies, |()| compute());
        }
        latencies.print("a computation without any lock", threads, "");
    }
}

fn check_delivered(client: &Client, is_up: bool) {
    if is_up {
        client.flush(60_000);
        if count(client, "acknowledged") != ROUND as u64 {
            complain(&format!("not all was delivered: {}", client.stats()));
        }
    }
}

/// About as long as an enqueue.
fn compute() {
    let mut value = 1_u64;
    for step in 0..2_000 {
        value = std::hint::black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step));
    }
}

/// Counted in the C ABI that is linked into this program, while its sender sleeps.
fn allocations_of(case: Case) -> f64 {
    const CALLS: usize = 1_000;
    let down = Down::refusing();
    let Some(client) = create(Library::linked(), &down.host(), &json!({"flush_interval": 3_600_000})) else {
        return f64::NAN;
    };
    let texts = case.many(2 * CALLS);
    let (first, second) = texts.split_at(CALLS);
    // Threads are started, and tables have their size.
    first.iter().for_each(|options| assert!(client.enqueue(options), "{}", client.enqueue_text(options)));
    std::thread::sleep(Duration::from_millis(50));
    let allocated = allocations::of(|| {
        second.iter().for_each(|options| assert!(client.enqueue(options)));
    });
    allocated.count as f64 / CALLS as f64
}

/// What calls take when there is much to look through.
pub fn print_tail(library: Library, amount: Amount) {
    print_head("");
    let down = Down::refusing();
    // A session of its own for each, so that all are looked through one by one.
    let many: Vec<CString> = (0..ROUND)
        .map(|number| {
            let text = json!({
                "request": {"notifications": [{"id": number.to_string(), "type": "display", "timestamp": 1}]},
                "session_id": format!("session-of-its-own-{number}"),
            });
            CString::new(text.to_string()).expect("JSON has no NUL")
        })
        .collect();
    let texts = Case::Bare.many(20 * SESSIONS);
    let queue = json!({"max_queued": 20_000});
    measure_tail(library, "10,000 sessions wait", &down, &queue, &many, &texts, amount, |_| {
        std::thread::sleep(Duration::from_millis(1));
    });
    measure_tail(library, "the same, flushed all the time", &down, &queue, &many, &texts, amount, |client| {
        client.flush(1);
    });
    let queue = json!({"max_queued": 20_000, "time_to_live": 300});
    measure_tail(library, "the same, expiring after 300 ms", &down, &queue, &many, &texts, amount, |_| {
        std::thread::sleep(Duration::from_millis(1));
    });
    measure_tail(library, "10,000 of 200 sessions expiring", &down, &queue, &texts, &many, amount, |_| {
        std::thread::sleep(Duration::from_millis(1));
    });
}

#[expect(clippy::too_many_arguments, reason = "one table, a line each")]
fn measure_tail(
    library: Library,
    name: &str,
    down: &Down,
    queue: &serde_json::Value,
    before: &[CString],
    timed: &[CString],
    amount: Amount,
    disturb: impl Fn(&Client) + Sync,
) {
    let mut latencies = Latencies::default();
    for _ in 0..amount.rounds {
        let Some(client) = create(library, &down.host(), queue) else { return };
        before.iter().for_each(|options| assert!(client.enqueue(options), "{}", client.enqueue_text(options)));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    disturb(&client);
                }
            });
            // Slowly, so that what happens now and then happens meanwhile.
            time_each(timed, 1, &mut latencies, |options| {
                if !client.enqueue(options) {
                    complain(&client.enqueue_text(options));
                }
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_micros(1) {}
            });
            over.store(true, Relaxed);
        });
    }
    latencies.print(name, 1, "");
}

/// Enqueues and nothing else.
pub fn run_alone(name: &str, calls: usize) {
    let Some(case) = Case::ALL.into_iter().find(|case| case.name() == name) else {
        println!("full or bare");
        return;
    };
    let down = Down::refusing();
    let queue = json!({"flush_interval": 3_600_000, "max_queued": 10 * calls});
    let Some(client) = create(Library::linked(), &down.host(), &queue) else { return };
    case.many(calls).iter().for_each(|options| assert!(client.enqueue(options), "{}", client.enqueue_text(options)));
}
