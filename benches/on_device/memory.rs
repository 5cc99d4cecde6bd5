//! Loading an artifact of about 10 MB, and memory over many visitors. Each in a process of its own, through the shared
//! library, so that nothing else is in the figures.

use std::ffi::CString;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::artifacts::Artifact;
use crate::library::{Client, Library};
use crate::measure::{Effort, Rounds, complain, forget_peak, memory_kib, process_cpu_us};
use crate::server::Server;
use crate::{allocations, library, requests};

pub const LOAD_COMMAND: &str = "load";
pub const VISITORS_COMMAND: &str = "visitors";

/// Runs this program with that command and shows what it prints.
fn in_a_process(arguments: &[&str]) {
    let program = std::env::current_exe().expect("this program has a path");
    let status = Command::new(program).args(arguments).status().expect("this program starts");
    if !status.success() {
        complain(&format!("{arguments:?} did not end well"));
    }
}

/// Load time and memory.
pub fn print_load(directory: &Path) {
    let file = directory.join("10000-rules.json");
    std::fs::write(&file, Artifact::Mboxes(1000).json(0)).expect("the artifact can be written");
    let other = directory.join("10000-rules-again.json");
    std::fs::write(&other, Artifact::Mboxes(1000).json(1)).expect("the artifact can be written");
    let server = Server::start(&[file.clone(), other]);
    let file = file.to_str().expect("the path is UTF-8");
    for how in ["payload", "download", "counted"] {
        in_a_process(&[LOAD_COMMAND, how, file, server.host()]);
    }
}

/// The process that loads.
pub fn load(how: &str, file: &str, host: &str) {
    let Some(library) = shared() else { return };
    // What the first client of a process costs is not the artifact's.
    drop(create(library, &requests::config("on-device", &Artifact::TwoRules.json(0), host)));
    match how {
        "payload" => load_payload(library, file, host),
        "download" => load_download(library, file, host),
        _ => load_counted(file, host),
    }
}

fn load_payload(library: Library, file: &str, host: &str) {
    let before = memory_kib("VmRSS");
    let text = std::fs::read_to_string(file).expect("the artifact is there");
    let size = text.len();
    let config = requests::config("on-device", &text, host);
    drop(text);
    let with_text = memory_kib("VmRSS");
    forget_peak();
    // The first one: memory that an earlier one gave back to the allocator alone would hide what this one takes.
    let Some(client) = create(library, &config) else { return };
    let peak = memory_kib("VmHWM") - with_text;
    let text = memory_kib("VmRSS");
    drop(config);
    let (after, text) = (memory_kib("VmRSS") - before, text - memory_kib("VmRSS"));
    println!(
        "  {:.1} MB of artifact as payload: resident after target_client_create {}; peak during it, the caller's \
         text ({text} KiB) not counted, {}; aim 3.50",
        size as f64 / 1e6,
        times_the_text(after, size),
        times_the_text(peak, size)
    );
    // SAFETY: it may be called at any time.
    unsafe { libc::malloc_trim(0) };
    println!("  after malloc_trim {}", times_the_text(memory_kib("VmRSS") - before, size));
    drop(client);

    let text = std::fs::read_to_string(file).expect("the artifact is there");
    let config = requests::config("on-device", &text, host);
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let before = process_cpu_us();
        let begun = Instant::now();
        let client = create(library, &config);
        wall.push(begun.elapsed().as_secs_f64() * 1e3);
        cpu.push((process_cpu_us() - before) / 1e3);
        drop(client);
    }
    let (wall, cpu) = (Rounds::new(wall), Rounds::new(cpu));
    println!(
        "  target_client_create takes {:.1} ms (median of 7, best {:.1}), {:.1} ms of CPU time; aim 75",
        wall.median(),
        wall.best(),
        cpu.median()
    );
}

fn load_download(library: Library, file: &str, host: &str) {
    let size = std::fs::metadata(file).map_or(0, |file| file.len()) as usize;
    let before = memory_kib("VmRSS");
    forget_peak();
    let begun = Instant::now();
    let Some(client) = create(library, &requests::downloading_config(host, "/rules.json")) else { return };
    let took = begun.elapsed().as_secs_f64() * 1e3;
    let (after, peak) = (memory_kib("VmRSS") - before, memory_kib("VmHWM") - before);
    println!(
        "  downloaded from this machine: create takes {took:.1} ms; resident {}, peak {}",
        times_the_text(after, size),
        times_the_text(peak, size)
    );
    let mut times = Vec::new();
    for _ in 0..10 {
        let begun = Instant::now();
        if let Err(error) = client.refresh() {
            complain(&format!("target_client_refresh: {error}"));
            return;
        }
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "  after 10 more downloads (median {:.1} ms): resident {}, peak {}",
        times[5],
        times_the_text(memory_kib("VmRSS") - before, size),
        times_the_text(memory_kib("VmHWM") - before, size)
    );
}

fn load_counted(file: &str, host: &str) {
    let text = std::fs::read_to_string(file).expect("the artifact is there");
    let size = text.len();
    let config = requests::config("on-device", &text, host);
    drop(text);
    let mut client = None;
    let allocated = allocations::of(|| client = create(Library::linked(), &config));
    if client.is_some() {
        println!(
            "  counted by the allocator: {} allocations; kept {}, peak {}",
            allocated.count,
            times_the_text(allocated.kept / 1024, size),
            times_the_text(allocated.peak / 1024, size)
        );
    }
}

fn times_the_text(kib: i64, size: usize) -> String {
    format!("{:.1} MB = {:.2} x the text", kib as f64 * 1.024e-3, kib as f64 * 1024.0 / size as f64)
}

/// Memory over so many distinct visitors, prefetching and executing.
pub fn print_visitors(effort: Effort) {
    let server = Server::start(&[]);
    for kind in ["prefetch", "execute"] {
        in_a_process(&[VISITORS_COMMAND, kind, &effort.visitors.to_string(), server.host()]);
    }
}

/// The process that many visitors come to.
pub fn visitors(kind: &str, count: &str, host: &str) {
    let Some(library) = shared() else { return };
    let Some(client) = create(library, &requests::config("on-device", &Artifact::Mboxes(10).json(0), host)) else {
        return;
    };
    let count: usize = count.parse().expect("a number of visitors");
    let visit = |number| {
        let options = requests::one_of_many(kind, number);
        assert!(client.offers(&options), "{}", client.offers_text(&options));
    };
    // The queue of impressions, pools and buffers have their size after some; from then on nothing should grow.
    print!("  {kind}: ");
    let mut next = 0;
    for share in [10, 40, 70, 100] {
        let end = count / 100 * share;
        (next..end).for_each(visit);
        next = end;
        print!("{} KiB after {end} visitors, ", memory_kib("VmRSS"));
    }
    println!("peak {} KiB", memory_kib("VmHWM"));
    if kind == "execute" {
        println!("  stats: {}", client.stats());
    }
}

fn shared() -> Option<Library> {
    let library = library::shared_library().and_then(|file| Library::shared(&file));
    if library.is_none() {
        println!("  no libadobe_target.so with its C functions beside this program: not measured");
    }
    library
}

fn create(library: Library, config: &CString) -> Option<Client> {
    library.client(config).map_err(|error| complain(&format!("target_client_create: {error}"))).ok()
}
