//! Whether decisions wait while artifacts are replaced: the latencies of single decisions, steady and while another
//! thread downloads artifact after artifact.
//!
//! The download itself takes CPU time from the decisions, where the machine has none to spare. What it takes shows
//! beside: the same downloads by another client in the process, whose artifact nobody reads.

use std::ffi::CString;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use crate::artifacts::Artifact;
use crate::library::{Client, Library};
use crate::measure::{Effort, complain, percentile};
use crate::requests;
use crate::server::Server;

pub fn print(library: Library, effort: Effort, directory: &Path) {
    for artifact in [Artifact::Mboxes(10), Artifact::Mboxes(1000)] {
        let files: Vec<_> = (0..2)
            .map(|edition| {
                let file = directory.join(format!("swap-{}-{edition}.json", artifact.name()));
                std::fs::write(&file, artifact.json(edition)).expect("the artifact can be written");
                file
            })
            .collect();
        let server = Server::start(&files);
        let config = requests::downloading_config(server.host(), "/rules.json");
        let (read, other) = match (library.client(&config), library.client(&config)) {
            (Ok(read), Ok(other)) => (read, other),
            (Err(error), _) | (_, Err(error)) => {
                complain(&format!("target_client_create: {error}"));
                return;
            }
        };
        let options: Vec<CString> = (0..64).map(|number| requests::one_of_many("prefetch", number)).collect();
        if !read.offers(&options[0]) {
            complain(&read.offers_text(&options[0]));
            return;
        }
        println!("  {}:", artifact.name());
        let steady = latencies(&read, &options, effort, None);
        show("steady", &steady, &steady, 0);
        let (beside, downloads) = while_downloading(&read, &other, &options, effort);
        show("another client downloads", &beside, &steady, downloads);
        let (swapping, downloads) = while_downloading(&read, &read, &options, effort);
        show("its artifact is swapped", &swapping, &steady, downloads);
    }
}

struct Latencies {
    median: u32,
    p99: u32,
    p999: u32,
    most: u32,
}

/// Decides until there are enough latencies, or `enough` says so.
fn latencies(client: &Client, options: &[CString], effort: Effort, goes_on: Option<&dyn Fn() -> bool>) -> Latencies {
    let mut nanoseconds = Vec::with_capacity(effort.latencies);
    for number in 0.. {
        if nanoseconds.len() >= effort.latencies && !goes_on.is_some_and(|goes_on| goes_on()) {
            break;
        }
        let begun = Instant::now();
        let ok = client.offers(&options[number % options.len()]);
        nanoseconds.push(u32::try_from(begun.elapsed().as_nanos()).unwrap_or(u32::MAX));
        assert!(ok, "{}", client.offers_text(&options[number % options.len()]));
    }
    Latencies {
        median: percentile(&mut nanoseconds, 0.5),
        p99: percentile(&mut nanoseconds, 0.99),
        p999: percentile(&mut nanoseconds, 0.999),
        most: percentile(&mut nanoseconds, 1.0),
    }
}

fn while_downloading(deciding: &Client, downloading: &Client, options: &[CString], effort: Effort) -> (Latencies, u64) {
    let (stop, downloads) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                if let Err(error) = downloading.refresh() {
                    complain(&format!("target_client_refresh: {error}"));
                    // The decisions would wait for it.
                    downloads.fetch_add(1000, Relaxed);
                    return;
                }
                downloads.fetch_add(1, Relaxed);
            }
        });
        let few = || downloads.load(Relaxed) < 10;
        let latencies = latencies(deciding, options, effort, Some(&few));
        stop.store(true, Relaxed);
        (latencies, downloads.load(Relaxed))
    })
}

fn show(what: &str, these: &Latencies, steady: &Latencies, downloads: u64) {
    let us = |nanoseconds: u32| f64::from(nanoseconds) / 1e3;
    println!(
        "    {what:<26} median {:7.2} us  p99 {:7.2} us ({:4.2} x steady)  p99.9 {:8.2} us  most {:8.0} us  \
         {downloads} downloads",
        us(these.median),
        us(these.p99),
        f64::from(these.p99) / f64::from(steady.p99),
        us(these.p999),
        us(these.most),
    );
}
