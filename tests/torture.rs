//! That nothing is lost: processes that report to a local edge through one spool directory are killed at any moment,
//! while the edge misbehaves, and in the end every notification that was accepted has been counted as often as it was
//! promised.
//!
//! `ADOBE_TARGET_TORTURE_SECONDS` makes it last longer; `ADOBE_TARGET_TORTURE_SEED` begins with a seed that was printed.
//! A seed decides what is done; when exactly a process dies is the machine's affair.
#![cfg(all(feature = "local-edge", feature = "spool", unix))]

#[path = "torture/campaign.rs"]
mod campaign;
#[path = "torture/child.rs"]
mod child;
#[path = "support/random.rs"]
mod random;

use std::time::{Duration, Instant};

use campaign::{Campaign, Totals};

const SECONDS: &str = "ADOBE_TARGET_TORTURE_SECONDS";
const SEED: &str = "ADOBE_TARGET_TORTURE_SEED";
/// Of processes that live and die, without the delivery of the rest.
const SHORT: Duration = Duration::from_secs(4);
const LONG: Duration = Duration::from_secs(15);

#[test]
fn nothing_is_lost_and_nothing_counts_twice_whenever_processes_die() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let (seconds, wanted) = (number(SECONDS), number(SEED));
    let seed = wanted.unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        since.as_nanos() as u64 & 0xffff_fffe
    });
    let begun = Instant::now();
    let mut totals = Totals::default();
    for offset in 0.. {
        let is_enough = match seconds {
            // One with clicks at most once, one with clicks at least once.
            None => offset >= 2,
            Some(seconds) => begun.elapsed() >= Duration::from_secs(seconds),
        };
        if is_enough {
            break;
        }
        let seed = seed.wrapping_add(offset);
        let of_one = Campaign::run(seed, if seconds.is_some() { LONG } else { SHORT });
        println!("{SEED}={seed}: {of_one}");
        totals.add(&of_one);
    }
    println!("in {} s: {totals}", begun.elapsed().as_secs());
    assert!(totals.accepted > 0 && totals.kills > 0, "the test tests something");
}

/// What the processes run; without a plan there is nothing to do.
#[test]
fn one_of_the_processes() {
    if let Ok(plan) = std::env::var(child::PLAN) {
        child::run(&serde_json::from_str(&plan).expect("a plan is JSON"));
    }
}
