//! On-device decisioning, measured: decisions through the C ABI and typed, threads, allocations, loading, memory,
//! replaced artifacts, and the same requests against Adobe's Node.js client.
//!
//! ```sh
//! cargo bench --bench on_device                    # everything, some minutes
//! cargo bench --bench on_device -- quick           # everything, seconds: whether it runs
//! cargo bench --bench on_device -- decisions node  # these sections alone
//! cargo bench --bench on_device -- loop "10 mboxes, 100 rules" 10s [typed]   # for a profiler; 1000 are calls
//! ```
//!
//! Sections: `decisions`, `executes`, `threads`, `load`, `visitors`, `swaps`, `node`. docs/benchmarks.md says what the
//! figures mean. Nothing is asserted about time; it fails where an answer is not the right one.

#[path = "on_device/allocations.rs"]
mod allocations;
#[path = "on_device/artifacts.rs"]
mod artifacts;
#[path = "on_device/decisions.rs"]
mod decisions;
#[path = "on_device/library.rs"]
mod library;
#[path = "on_device/measure.rs"]
mod measure;
#[path = "on_device/memory.rs"]
mod memory;
#[path = "on_device/node.rs"]
mod node;
#[path = "on_device/requests.rs"]
mod requests;
#[path = "on_device/server.rs"]
mod server;
#[path = "on_device/swaps.rs"]
mod swaps;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use library::Library;
use measure::Effort;

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [server::COMMAND, ..] => server::serve(&arguments[1..]),
        [memory::LOAD_COMMAND, how, file, host] => memory::load(how, file, host),
        [memory::VISITORS_COMMAND, kind, count, host] => memory::visitors(kind, count, host),
        ["loop", case, length, ref rest @ ..] => run_alone(case, length, rest == ["typed"]),
        _ => run(&words),
    }
    if measure::all_was_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_alone(name: &str, length: &str, typed: bool) {
    let cases = requests::all();
    let Some(case) = cases.iter().find(|case| case.name == name) else {
        println!("one of:");
        cases.iter().for_each(|case| println!("  {}", case.name));
        return;
    };
    match length.strip_suffix('s') {
        Some(seconds) => {
            let (begun, seconds) = (Instant::now(), seconds.parse().expect("a number of seconds"));
            decisions::run_alone(case, typed, |_| begun.elapsed().as_secs_f64() < seconds);
        }
        None => {
            let number = length.parse().expect("a number of calls");
            decisions::run_alone(case, typed, |calls| calls < number);
        }
    }
}

fn run(words: &[&str]) {
    let effort = if words.contains(&"quick") { Effort::quick() } else { Effort::full() };
    let sections: Vec<&str> = words.iter().copied().filter(|word| *word != "quick").collect();
    let wanted = |section: &str| sections.is_empty() || sections.contains(&section);
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("on_device");
    std::fs::create_dir_all(&directory).expect("the target directory can be written");
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

    let cases = requests::all();
    let mut figures = BTreeMap::new();
    if wanted("decisions") || wanted("node") {
        println!(
            "\ndecisions, options as JSON to result as JSON through the C ABI; medians of {} rounds",
            effort.rounds
        );
        figures.extend(decisions::print(library, &cases, effort));
    }
    if wanted("executes") || wanted("node") {
        println!("\ndecisions that queue impressions, through the C ABI");
        figures.extend(decisions::print_executes(library, &cases, effort));
    }
    if wanted("threads") {
        println!("\ntwo threads on one client");
        decisions::print_threads(library, &cases, effort);
    }
    if wanted("load") {
        println!("\nloading 10,000 rules");
        memory::print_load(&directory);
    }
    if wanted("visitors") {
        println!("\nmemory over {} distinct visitors", effort.visitors);
        memory::print_visitors(effort);
    }
    if wanted("swaps") {
        println!("\ndecisions while artifacts are replaced; aim: p99 at most 2 x steady");
        swaps::print(library, effort, &directory);
    }
    if wanted("node") {
        println!("\nAdobe's Node.js client");
        node::print(&cases, &figures, effort, &directory);
    }
}
