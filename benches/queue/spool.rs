//! What a spool costs, and how fast what it has kept is found again.

use std::ffi::CString;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::Amount;
use crate::clients::{Case, Down, count, create};
use crate::library::{Client, Library};
use crate::measure::{Rounds, complain, process_cpu_us};

fn queue(directory: &Path, sync: &str) -> Value {
    json!({"spool_dir": directory, "spool_sync": sync, "spool_max_bytes": 1 << 30})
}

fn clear(directory: &Path) {
    let _ = std::fs::remove_dir_all(directory);
}

pub fn print(library: Library, amount: Amount, directory: &Path) {
    println!(
        "  {:<12} {:>7} {:>10} {:>10} {:>12} {:>14} {:>14}",
        "", "threads", "a second", "best", "CPU us each", "bytes on disk", "of options"
    );
    let down = Down::refusing();
    for case in Case::ALL {
        for (sync, threads, calls, rounds) in [
            ("none", 1, amount.spooled, amount.rounds.min(5)),
            ("batch", 1, amount.spooled, amount.rounds.min(5)),
            ("batch", 4, amount.spooled, amount.rounds.min(5)),
            ("each", 1, amount.synced, 1),
            ("each", 4, amount.synced, 1),
            ("each", 32, 4 * amount.synced, 1),
        ] {
            let texts = case.many(calls);
            let (mut times, mut cpu, mut bytes) = (Vec::new(), Vec::new(), 0);
            for _ in 0..rounds {
                clear(directory);
                let Some(client) = create(library, &down.host(), &queue(directory, sync)) else { return };
                let before = process_cpu_us();
                let begun = Instant::now();
                enqueue_all(&client, &texts, threads);
                times.push(begun.elapsed().as_secs_f64() * 1e6 / calls as f64);
                cpu.push((process_cpu_us() - before) / calls as f64);
                bytes = count(&client, "spool_bytes");
                if count(&client, "accepted") != calls as u64 {
                    complain(&client.stats());
                }
            }
            let times = Rounds::new(times);
            println!(
                "  {:<12} {threads:>7} {:>10.0} {:>10.0} {:>12.2} {:>14.0} {:>14.0}",
                format!("{}, {sync}", case.name()),
                1e6 / times.median(),
                1e6 / times.best(),
                Rounds::new(cpu).median(),
                bytes as f64 / calls as f64,
                texts.iter().map(|text| text.count_bytes()).sum::<usize>() as f64 / calls as f64,
            );
        }
    }
    clear(directory);
}

fn enqueue_all(client: &Client, texts: &[CString], threads: usize) {
    std::thread::scope(|scope| {
        for texts in texts.chunks(texts.len().div_ceil(threads)) {
            scope.spawn(move || {
                texts.iter().for_each(|options| {
                    if !client.enqueue(options) {
                        complain(&client.enqueue_text(options));
                    }
                });
            });
        }
    });
}

pub fn print_recovery(library: Library, amount: Amount, directory: &Path) {
    let down = Down::refusing();
    for case in Case::ALL {
        clear(directory);
        let texts = case.many(amount.many);
        let queue = queue(directory, "batch");
        match create(library, &down.host(), &queue) {
            Some(client) => enqueue_all(&client, &texts, 1),
            None => return,
        }
        let (mut wall, mut cpu, mut bytes) = (Vec::new(), Vec::new(), 0);
        for _ in 0..5 {
            let before = process_cpu_us();
            let begun = Instant::now();
            let Some(client) = create(library, &down.host(), &queue) else { return };
            wall.push(begun.elapsed().as_secs_f64() * 1e3);
            cpu.push((process_cpu_us() - before) / 1e3);
            bytes = count(&client, "spool_bytes");
            if count(&client, "recovered") != amount.many as u64 {
                complain(&client.stats());
            }
        }
        let wall = Rounds::new(wall);
        println!(
            "  {}: target_client_create with {} records, {:.1} MB: {:.0} ms (median of 5, best {:.0}), {:.0} ms of CPU \
             time",
            case.name(),
            amount.many,
            bytes as f64 / 1e6,
            wall.median(),
            wall.best(),
            Rounds::new(cpu).median(),
        );
    }
    clear(directory);
}
