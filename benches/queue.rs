//! The notification queue, measured through the C ABI: what an enqueue takes, with the edge up and down, how much is
//! delivered, and what a spool costs.
//!
//! ```sh
//! cargo bench --bench queue                        # everything, about two minutes
//! cargo bench --bench queue -- quick               # everything, seconds: whether it runs
//! cargo bench --bench queue -- enqueue spool       # these sections alone
//! cargo bench --bench queue -- loop full 20000     # enqueues and nothing else, for a profiler; or bare
//! ```
//!
//! Sections: `enqueue`, `tail`, `delivery`, `spool`, `recovery`. docs/benchmarks.md says what the figures mean. Nothing is
//! asserted about time; it fails where an answer is not the right one.

#[path = "on_device/allocations.rs"]
mod allocations;
#[path = "queue/clients.rs"]
mod clients;
#[path = "queue/delivery.rs"]
mod delivery;
#[path = "queue/enqueue.rs"]
mod enqueue;
#[path = "on_device/library.rs"]
mod library;
#[path = "on_device/measure.rs"]
mod measure;
#[path = "on_device/server.rs"]
mod server;
#[path = "queue/spool.rs"]
mod spool;

use std::path::PathBuf;
use std::process::ExitCode;

use library::Library;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// Rounds of latencies, each of what a queue holds by default.
    pub rounds: usize,
    /// Notifications that are delivered, and that are recovered.
    pub many: usize,
    /// Notifications that go to a spool.
    pub spooled: usize,
    /// Those of which each waits for the disk.
    pub synced: usize,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [server::COMMAND, ..] => server::serve(&arguments[1..]),
        ["loop", case, calls] => enqueue::run_alone(case, calls.parse().expect("a number of calls")),
        _ => run(&words),
    }
    if measure::all_was_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(words: &[&str]) {
    let amount = match words.contains(&"quick") {
        true => Amount { rounds: 1, many: 10_000, spooled: 4_000, synced: 100 },
        false => Amount { rounds: 10, many: 100_000, spooled: 40_000, synced: 2_000 },
    };
    let sections: Vec<&str> = words.iter().copied().filter(|word| *word != "quick").collect();
    let wanted = |section: &str| sections.is_empty() || sections.contains(&section);
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("queue");
    measure::print_machine();
    let library = match library::shared_library().and_then(|file| Library::shared(&file)) {
        Some(library) => library,
        None => {
            println!(
                "no libadobe_target.so with its C functions beside this program: the C ABI is that linked into it"
            );
            Library::linked()
        }
    };
    if wanted("enqueue") {
        println!("\nenqueue, options as JSON to result as JSON through the C ABI; no spool, a call in microseconds");
        enqueue::print(library, amount);
    }
    if wanted("tail") {
        println!("\nenqueue while others keep the queue busy, the edge refusing connections; microseconds");
        enqueue::print_tail(library, amount);
    }
    if wanted("delivery") {
        println!("\ndelivery to a server in another process that reads a request and answers 200 for all in it");
        delivery::print(library, amount);
    }
    if wanted("spool") {
        println!("\nenqueue with a spool, the edge refusing connections");
        spool::print(library, amount, &directory);
    }
    if wanted("recovery") {
        println!("\nrecovery");
        spool::print_recovery(library, amount, &directory);
    }
}
