//! Spools that were damaged between two runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use adobe_target::SpoolSync;

use crate::random::Random;
use crate::scene::*;
use crate::support::*;

const SUBMISSIONS: usize = 60;

/// A spool with so many submissions of two displays each, in more than one segment.
fn fill(directory: &Path) {
    let nobody = Nobody::new();
    let spooled = durable(nobody.host(), directory, |queue| {
        queue.spool_max_bytes = 256 * 1024;
        queue.spool_sync = SpoolSync::None;
    });
    let client = spooled.build().unwrap();
    for number in 0..SUBMISSIONS {
        let ids = [format!("{number}-a"), format!("{number}-b")];
        let shown = ids.iter().map(|id| {
            let mut shown = display(id);
            shown["parameters"] = serde_json::json!({"text": "x".repeat(400)});
            shown
        });
        enqueue(&client, &format!("session-{}", number % 7), shown).unwrap();
    }
    left(client.close(Some(std::time::Duration::ZERO)));
}

/// Delivers what can be read; returns its ids and how much damage was met.
fn deliver(directory: &Path) -> (BTreeSet<String>, u64) {
    let edge = edge();
    let client = durable(edge.host(), directory, |_| {}).build().unwrap();
    client.flush(Some(LONG)).unwrap();
    let stats = queue_of(&client);
    let report = edge.report();
    assert_eq!(report.notifications.processed, stats.recovered, "each once");
    assert_eq!((stats.acknowledged, report.duplicate_impressions), (stats.recovered, 0));
    client.close(Some(LONG)).unwrap();
    (report.notifications.ids.into_keys().collect(), stats.spool_damaged)
}

/// Puts copies of the files into another spool.
fn copy(from: &Directory, to: &Directory) -> Vec<std::path::PathBuf> {
    for segment in from.segments() {
        let slot = to.path().join(segment.parent().unwrap().file_name().unwrap());
        fs::create_dir_all(&slot).unwrap();
        fs::copy(&segment, slot.join(segment.file_name().unwrap())).unwrap();
    }
    to.segments()
}

#[test]
fn a_flipped_bit_costs_one_record_at_the_most() {
    let original = Directory::new();
    fill(original.path());
    assert!(original.segments().len() > 1);
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let harmed = Directory::new();
        let segments = copy(&original, &harmed);
        let segment = &segments[random.below(segments.len() as u64) as usize];
        let mut bytes = fs::read(segment).unwrap();
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
        fs::write(segment, bytes).unwrap();

        let (delivered, damaged) = deliver(harmed.path());

        // A mark that is damaged costs no display.
        let missing = 2 * SUBMISSIONS - delivered.len();
        assert!(missing == 0 || missing == 2, "seed {seed}: {missing} are missing");
        assert_eq!(damaged, 1, "seed {seed}");
    }
}

/// The ids of the notifications in a file, found by their texts.
fn ids_in(segment: &Path) -> Vec<String> {
    let bytes = fs::read(segment).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    text.split("{\"id\":\"").skip(1).filter_map(|rest| rest.split('"').next().map(str::to_owned)).collect()
}

#[test]
fn whatever_is_done_to_the_files_nothing_breaks_and_sound_ones_are_delivered() {
    let original = Directory::new();
    fill(original.path());
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let harmed = Directory::new();
        let (mut sound, mut is_cut) = (Vec::new(), false);
        for segment in copy(&original, &harmed) {
            if random.percent(40) {
                sound.extend(ids_in(&segment));
                continue;
            }
            let mut bytes = fs::read(&segment).unwrap();
            for _ in 0..random.within(1..6) {
                let at = random.below(bytes.len() as u64) as usize;
                match random.below(5) {
                    0 => bytes[at] ^= 1 << random.below(8),
                    1 => {
                        bytes.truncate(at.max(1));
                        is_cut = true;
                    }
                    2 => bytes[at..].iter_mut().take(64).for_each(|byte| *byte = 0),
                    3 if bytes.len() > 20 => drop(bytes.drain(at..(at + 9).min(at.max(bytes.len() - 1)))),
                    _ => drop(bytes.splice(at..at, *b"T\xff\xfe\x01 foreign")),
                }
            }
            fs::write(&segment, bytes).unwrap();
        }

        let (delivered, damaged) = deliver(harmed.path());

        let missing = 2 * SUBMISSIONS - delivered.len();
        assert!(sound.iter().all(|id| delivered.contains(id)), "seed {seed}: what was sound is delivered");
        // What is cut off at the very end may have been no more than an unfinished write.
        assert!(missing == 0 || damaged > 0 || is_cut, "seed {seed}: {missing} are missing");
    }
}
