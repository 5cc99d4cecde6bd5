//! Rounds, medians, and what the system says about this process.

#![allow(dead_code, reason = "each of the benchmarks that share this uses some of it")]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

static SOMETHING_WAS_WRONG: AtomicBool = AtomicBool::new(false);

/// Says that something could not be measured, because of an answer that was not the right one.
pub fn complain(what: &str) {
    SOMETHING_WAS_WRONG.store(true, Relaxed);
    println!("  !! {what}");
}

/// Whether nothing was complained about.
pub fn all_was_right() -> bool {
    !SOMETHING_WAS_WRONG.load(Relaxed)
}

/// How long things are measured.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Rounds of which the median counts.
    pub rounds: usize,
    /// About how long a round takes.
    pub round: Duration,
    /// Distinct visitors whose memory is watched.
    pub visitors: usize,
    /// Decisions whose latencies are sorted.
    pub latencies: usize,
    /// For the Node.js side, whose calls take milliseconds.
    pub node_round_ms: u64,
}

impl Effort {
    pub fn full() -> Self {
        Effort {
            rounds: 15,
            round: Duration::from_millis(30),
            visitors: 100_000,
            latencies: 300_000,
            node_round_ms: 300,
        }
    }

    /// Enough to see that everything runs.
    pub fn quick() -> Self {
        Effort { rounds: 3, round: Duration::from_millis(3), visitors: 2_000, latencies: 5_000, node_round_ms: 20 }
    }
}

/// The mean of something over the calls of a round, in each of several rounds.
#[derive(Debug, Clone)]
pub struct Rounds {
    /// In ascending order.
    values: Vec<f64>,
}

impl Rounds {
    pub fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Rounds { values }
    }

    pub fn median(&self) -> f64 {
        self.values[self.values.len() / 2]
    }

    /// The quietest round: far from the median, the machine was busy with something else.
    pub fn best(&self) -> f64 {
        self.values[0]
    }
}

/// What a call took, in microseconds.
#[derive(Debug, Clone)]
pub struct Timing {
    pub wall: Rounds,
    /// CPU time of the calling thread: the same on a quiet machine, and nearer to it on a busy one.
    pub cpu: Rounds,
}

/// Times a call that is told its number, after a warm-up of a round.
pub fn time(effort: Effort, mut call: impl FnMut(usize)) -> Timing {
    let begun = Instant::now();
    let mut calls = 0;
    while begun.elapsed() < effort.round {
        call(calls);
        calls += 1;
    }
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let before = thread_cpu_us();
        let begun = Instant::now();
        (0..calls).for_each(&mut call);
        wall.push(begun.elapsed().as_secs_f64() * 1e6 / calls as f64);
        cpu.push((thread_cpu_us() - before) / calls as f64);
    }
    Timing { wall: Rounds::new(wall), cpu: Rounds::new(cpu) }
}

/// The value below which that share of all lies. Sorts them.
pub fn percentile(values: &mut [u32], share: f64) -> u32 {
    values.sort_unstable();
    let at = (values.len() as f64 * share) as usize;
    values[at.min(values.len() - 1)]
}

/// A line of `/proc/self/status` in KiB, such as `VmRSS` or `VmHWM`.
pub fn memory_kib(line: &str) -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':')?.split_whitespace().next());
    found.and_then(|kib| kib.parse().ok()).unwrap_or_default()
}

/// Makes `VmHWM` begin at what is resident now.
pub fn forget_peak() {
    // Where that is not allowed the peak is that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// CPU time of all threads of this process, in microseconds.
pub fn process_cpu_us() -> f64 {
    clock_us(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time of the calling thread, in microseconds.
pub fn thread_cpu_us() -> f64 {
    clock_us(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn clock_us(clock: libc::clockid_t) -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the place is valid for the call.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// Prints that what follows was measured on a machine with other work, or that it was not.
pub fn print_machine() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?").to_owned();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1)).unwrap_or("?");
    println!("{cpus} CPUs ({model}), load average before: {load}");
}
