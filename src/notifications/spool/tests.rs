//! What a spool promises when the disk and the directory behave, and when the disk does not.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Barrier, Mutex};
use std::time::Instant;

use super::*;
use crate::error::{ErrorCode, TargetError};
use crate::ids;

/// A directory of its own that goes with the test.
pub(super) struct Scratch(pub PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        let scratch = Scratch(std::env::temp_dir().join(format!("adobe-target-spool-{}", ids::uuid())));
        fs::create_dir(&scratch.0).unwrap();
        scratch
    }

    pub(super) fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }

    pub(super) fn segments(&self, slot: u32) -> Vec<PathBuf> {
        let slot = self.spool().join(slot.to_string());
        segment::list(&slot).unwrap().into_iter().map(|number| segment::path(&slot, number)).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What all of them are for.
const ACCOUNT: &str = "{\"client\":\"acme\"}";

pub(super) fn settings(max_bytes: u64, segment_bytes: u64, sync: SpoolSync) -> Settings {
    Settings { max_bytes, sync, segment_bytes }
}

fn usual() -> Settings {
    Settings::new(1 << 26, SpoolSync::Batch)
}

pub(super) fn open(directory: &Path, settings: Settings) -> (Spool, Vec<Recovered>) {
    Spool::open(directory, ACCOUNT.to_owned(), settings).unwrap()
}

/// Notifications with these ids; those that begin with `c` are clicks.
pub(super) fn append(spool: &Spool, ids: &[&str]) -> Result<Vec<Ticket>, TargetError> {
    let items: Vec<Item<'_>> =
        ids.iter().map(|id| Item { id, text: b"{\"type\":\"display\"}", counts_twice: id.starts_with('c') }).collect();
    let first =
        spool.append(&Submission { shared: b"session", accepted_ms: 1_700_000_000_000, notifications: &items })?;
    Ok((0..ids.len()).map(|place| first.after(place)).collect())
}

pub(super) fn ids(recovered: &[Recovered]) -> Vec<String> {
    recovered.iter().flat_map(|submission| &submission.items).map(|item| item.id.clone()).collect()
}

pub(super) fn attempted(recovered: &[Recovered]) -> Vec<String> {
    let items = recovered.iter().flat_map(|submission| &submission.items);
    items.filter(|item| item.attempted).map(|item| item.id.clone()).collect()
}

/// As a kill leaves it: nothing is synced or tidied, the locks go with the descriptors.
pub(super) fn kill(spool: Spool) {
    drop(spool);
}

#[test]
fn what_was_taken_comes_back_in_order_until_it_is_finished() {
    let scratch = Scratch::new();
    let (spool, recovered) = open(&scratch.spool(), usual());
    assert_eq!(recovered, []);
    let one = append(&spool, &["d1", "c2", "d3"]).unwrap();
    let two = append(&spool, &["c4"]).unwrap();
    spool.mark_attempted(&[one[1], two[0]]).unwrap();
    spool.mark_unattempted(&two);
    spool.finish(&one[..1]);
    kill(spool);

    let (spool, recovered) = open(&scratch.spool(), usual());
    let item = |ticket: Ticket, id: &str, attempted| RecoveredItem {
        ticket,
        id: id.to_owned(),
        text: b"{\"type\":\"display\"}".to_vec(),
        counts_twice: id.starts_with('c'),
        attempted,
    };
    let submission = |items| Recovered { shared: b"session".to_vec(), accepted_ms: 1_700_000_000_000, items };
    assert_eq!(
        recovered,
        [
            submission(vec![item(one[1], "c2", true), item(one[2], "d3", false)]),
            submission(vec![item(two[0], "c4", false)])
        ]
    );
    let more = append(&spool, &["d5"]).unwrap();
    assert!(more[0] > two[0]);
    spool.finish(&[one[1], one[2], two[0], more[0]]);
    assert_eq!(spool.stats().pending, 0);
    spool.close().unwrap();
    assert_eq!(scratch.segments(0), Vec::<PathBuf>::new());
    assert_eq!(open(&scratch.spool(), usual()).1, []);
}

#[test]
fn files_are_for_their_owner_alone() {
    let scratch = Scratch::new();
    let (spool, _) = open(&scratch.spool(), usual());
    append(&spool, &["d1"]).unwrap();
    spool.reject("{}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let slot = scratch.spool().join("0");
    assert_eq!((mode(&scratch.spool()), mode(&slot)), (0o700, 0o700));
    for file in [slot.join("lock"), scratch.segments(0)[0].clone(), scratch.spool().join("rejected.jsonl")] {
        assert_eq!(mode(&file), 0o600);
    }
}

#[test]
fn nothing_is_taken_after_close_and_nothing_written() {
    let scratch = Scratch::new();
    let (spool, _) = open(&scratch.spool(), usual());
    let tickets = append(&spool, &["d1", "c2"]).unwrap();
    spool.close().unwrap();
    let before = fs::read(&scratch.segments(0)[0]).unwrap();
    assert_eq!(append(&spool, &["d3"]).unwrap_err().code(), ErrorCode::Closed);
    assert!(spool.mark_attempted(&tickets[1..]).is_err());
    spool.finish(&tickets);
    spool.close().unwrap();
    assert_eq!(fs::read(&scratch.segments(0)[0]).unwrap(), before);
    assert_eq!(ids(&open(&scratch.spool(), usual()).1), ["d1", "c2"]);
}

#[test]
fn clients_of_one_directory_have_slots_of_their_own() {
    let scratch = Scratch::new();
    let (one, _) = open(&scratch.spool(), usual());
    append(&one, &["d1"]).unwrap();
    let (two, recovered) = open(&scratch.spool(), usual());
    assert_eq!(recovered, []);
    let ticket = append(&two, &["d2"]).unwrap();
    assert_eq!(one.adopt(), []);
    kill(two);

    let adopted = one.adopt();
    assert_eq!(ids(&adopted), ["d2"]);
    assert_ne!(adopted[0].items[0].ticket, ticket[0]);
    assert_eq!((one.adopt(), one.stats().adopted, one.stats().pending), (vec![], 1, 2));
    let (three, recovered) = open(&scratch.spool(), usual());
    assert_eq!(recovered, []);
    one.finish(&[adopted[0].items[0].ticket]);
    assert_eq!((one.stats().adopted, one.stats().pending), (0, 1));
    assert_eq!(scratch.segments(1), Vec::<PathBuf>::new());
    kill(three);
    kill(one);
    assert_eq!(ids(&open(&scratch.spool(), usual()).1), ["d1"]);
}

#[test]
fn what_an_adopter_left_is_adopted_with_its_marks() {
    let scratch = Scratch::new();
    let (first, _) = open(&scratch.spool(), usual());
    let (second, _) = open(&scratch.spool(), usual());
    append(&second, &["c1", "c2", "d3"]).unwrap();
    kill(second);
    let adopted = first.adopt();
    first.mark_attempted(&[adopted[0].items[0].ticket]).unwrap();
    first.finish(&[adopted[0].items[2].ticket]);
    kill(first);
    let (_third, recovered) = open(&scratch.spool(), usual());
    assert_eq!(
        (ids(&recovered), attempted(&recovered)),
        (vec!["c1".to_owned(), "c2".to_owned()], vec!["c1".to_owned()])
    );
}

#[test]
fn leftovers_are_adopted_exactly_once() {
    for _ in 0..10 {
        let scratch = Scratch::new();
        let names: Vec<String> = (0..6).map(|number| format!("d{number}")).collect();
        let owners: Vec<Spool> = names.iter().map(|_| open(&scratch.spool(), usual()).0).collect();
        for (spool, name) in owners.iter().zip(&names) {
            append(spool, &[name]).unwrap();
        }
        drop(owners);
        let barrier = Barrier::new(8);
        let opened: Vec<(Spool, Vec<Recovered>)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        open(&scratch.spool(), usual())
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut found: Vec<String> = opened.iter().flat_map(|(_, recovered)| ids(recovered)).collect();
        // A slot is skipped while another thread looks whether it has leftovers.
        found.extend(ids(&opened[0].0.adopt()));
        found.sort();
        assert_eq!(found, names);
    }
}

#[test]
fn a_lock_on_a_file_that_was_removed_keeps_nobody_out_and_is_not_relied_on() {
    let scratch = Scratch::new();
    let (one, _) = open(&scratch.spool(), usual());
    let lock = scratch.spool().join("0/lock");
    let before = fs::metadata(&lock).unwrap().ino();
    let held = File::open(&lock).unwrap();
    fs::remove_file(&lock).unwrap();
    let (_two, _) = open(&scratch.spool(), usual());
    assert_ne!(fs::metadata(&lock).unwrap().ino(), before);
    drop((one, held));
}

#[test]
fn foreign_files_are_left_alone() {
    let scratch = Scratch::new();
    let foreign = ["0", "readme", "00", "-1", "1/notes.log", "1/1.log", "4294967296/0000000000.log"];
    for name in foreign {
        let path = scratch.spool().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "mine").unwrap();
    }
    fs::create_dir_all(scratch.spool().join("1/0000000003.log")).unwrap();
    let (spool, recovered) = open(&scratch.spool(), usual());
    assert_eq!((recovered, spool.stats().damaged_records), (vec![], 1));
    let tickets = append(&spool, &["d1"]).unwrap();
    spool.finish(&tickets);
    let _ = spool.close();
    for name in foreign {
        assert_eq!(fs::read_to_string(scratch.spool().join(name)).unwrap(), "mine");
    }
}

#[test]
fn a_full_disk_fails_the_append_that_meets_it_and_no_other() {
    for sync in [SpoolSync::None, SpoolSync::Batch, SpoolSync::Each] {
        let scratch = Scratch::new();
        let (spool, _) = open(&scratch.spool(), settings(1 << 20, 1 << 16, sync));
        let tickets = append(&spool, &["d1", "c2", "c3"]).unwrap();
        let before = spool.stats();
        spool.own.fill_disk(true);
        let error = append(&spool, &["d4"]).unwrap_err();
        assert_eq!((error.code(), error.is_retryable()), (ErrorCode::Storage, true));
        assert_eq!(spool.stats(), before);
        spool.finish(&tickets[..1]);
        assert!(spool.mark_attempted(&tickets[1..2]).is_err());
        assert_eq!(spool.stats().pending, 2);
        spool.own.fill_disk(false);
        append(&spool, &["d5"]).unwrap();
        kill(spool);
        let (spool, recovered) = open(&scratch.spool(), usual());
        assert_eq!(ids(&recovered), ["c2", "c3", "d5"]);
        assert_eq!(attempted(&recovered), Vec::<String>::new());
        assert_eq!((spool.stats().damaged_records, spool.stats().torn_records), (0, 0));
    }
}

/// Nothing can be cut off a device: the segment is given up.
#[test]
fn a_segment_that_cannot_be_mended_is_followed_by_the_next() {
    let scratch = Scratch::new();
    let (spool, _) = open(&scratch.spool(), settings(1 << 20, 1 << 16, SpoolSync::Batch));
    append(&spool, &["d1"]).unwrap();
    spool.own.replace_head(OpenOptions::new().write(true).open("/dev/full").unwrap());
    assert_eq!(append(&spool, &["d2"]).unwrap_err().code(), ErrorCode::Storage);
    append(&spool, &["d3"]).unwrap();
    assert_eq!(scratch.segments(0).len(), 2);
    kill(spool);
    assert_eq!(ids(&open(&scratch.spool(), usual()).1), ["d1", "d3"]);
}

#[test]
fn a_sync_that_fails_takes_the_append_back_and_the_segment_is_not_trusted_again() {
    let scratch = Scratch::new();
    let (spool, _) = open(&scratch.spool(), settings(1 << 20, 1 << 16, SpoolSync::Each));
    append(&spool, &["d1"]).unwrap();
    let before = scratch.segments(0)[0].clone();
    spool.own.fail_next_sync();
    assert_eq!(append(&spool, &["d2"]).unwrap_err().code(), ErrorCode::Storage);
    let tickets = append(&spool, &["c3"]).unwrap();
    spool.own.fail_next_sync();
    assert!(spool.mark_attempted(&tickets).is_err());
    spool.sync().unwrap();
    // What was in the segments that failed has moved.
    fs::remove_file(before).unwrap();
    kill(spool);
    let (_spool, recovered) = open(&scratch.spool(), usual());
    assert_eq!((ids(&recovered), attempted(&recovered)), (vec!["d1".to_owned(), "c3".to_owned()], vec![]));
}

#[test]
fn waiters_of_a_failed_sync_all_hear_of_it() {
    let scratch = Scratch::new();
    let (spool, _) = open(&scratch.spool(), settings(1 << 22, 1 << 16, SpoolSync::Each));
    let taken = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (spool, taken) = (&spool, &taken);
            scope.spawn(move || {
                for number in 0..40 {
                    let id = format!("d{thread}.{number}");
                    if number % 10 == 5 {
                        spool.own.fail_next_sync();
                    }
                    if append(spool, &[&id]).is_ok() {
                        taken.lock().unwrap().insert(id);
                    }
                }
            });
        }
    });
    kill(spool);
    let found: Vec<String> = ids(&open(&scratch.spool(), usual()).1);
    assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), *taken.lock().unwrap());
    assert_eq!(found.len(), taken.lock().unwrap().len());
}

#[test]
fn callers_share_a_sync() {
    let scratch = Scratch::new();
    let (spool, _) = open(&scratch.spool(), settings(1 << 26, 1 << 22, SpoolSync::Each));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..20).for_each(|_| drop(append(&spool, &["d"]).unwrap())));
        }
    });
    let syncs = spool.own.syncs();
    assert!(syncs < 320, "{syncs} syncs for 320 appends of 16 threads");
}

/// Runs in a child of its own, where no file may grow beyond 16 KiB.
#[test]
fn under_a_file_size_limit() {
    let Some(directory) = std::env::var_os("ADOBE_TARGET_SPOOL_TEST") else { return };
    let (spool, _) = open(Path::new(&directory), settings(1 << 20, 1 << 16, SpoolSync::Batch));
    let long = "d".repeat(3000);
    let results: Vec<bool> = (0..20).map(|_| append(&spool, &[&long]).is_ok()).collect();
    let refused = results.iter().filter(|result| !**result).count();
    // The append that meets the limit fails and the next goes to a new segment.
    assert_eq!((refused, results[5], results[6]), (3, false, true));
    assert_eq!(spool.stats().pending, 17);
    kill(spool);
}

#[test]
fn a_file_size_limit_costs_the_append_that_meets_it() {
    let scratch = Scratch::new();
    let script = "trap '' XFSZ; ulimit -f 32; exec \"$0\" --exact --nocapture notifications::spool::tests::under_a_file_size_limit";
    let status = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("ADOBE_TARGET_SPOOL_TEST", scratch.spool())
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    let (spool, recovered) = open(&scratch.spool(), usual());
    assert_eq!((recovered.len(), spool.stats().damaged_records, spool.stats().torn_records), (17, 0, 0));
}

#[test]
fn the_bound_holds_and_room_comes_back() {
    let scratch = Scratch::new();
    let (spool, _) = open(&scratch.spool(), settings(20_000, 1 << 16, SpoolSync::Batch));
    let mut tickets = Vec::new();
    let error = loop {
        match append(&spool, &["d1", "d2", "d3"]) {
            Ok(three) => tickets.extend(three),
            Err(error) => break error,
        }
    };
    assert_eq!((error.code(), error.is_retryable()), (ErrorCode::QueueFull, true));
    assert!(spool.stats().bytes <= 20_000 && tickets.len() > 300);
    // Marks go on.
    spool.mark_attempted(&tickets[..1]).unwrap();
    spool.finish(&tickets[1..]);
    for _ in 0..200 {
        let more = append(&spool, &["d4", "d5", "d6"]).unwrap();
        spool.finish(&more);
    }
    let large = "d".repeat(30_000);
    assert_eq!(append(&spool, &[&large]).unwrap_err().code(), ErrorCode::QueueFull);
    let (kept, id) = (spool.stats(), tickets.len());
    assert_eq!(kept.pending, 1);
    assert!(kept.bytes <= 21_000, "{kept:?} after {id}");
    kill(spool);
    assert_eq!(ids(&open(&scratch.spool(), usual()).1), ["d1"]);
}

#[test]
fn one_that_is_stuck_does_not_pin_the_disk() {
    for sync in [SpoolSync::None, SpoolSync::Batch, SpoolSync::Each] {
        let scratch = Scratch::new();
        let (spool, _) = open(&scratch.spool(), settings(1 << 20, 4096, sync));
        let stuck = append(&spool, &["c1", "d2", "c3"]).unwrap();
        spool.mark_attempted(&stuck[2..]).unwrap();
        spool.finish(&stuck[1..2]);
        for _ in 0..300 {
            let more = append(&spool, &["d4", "d5", "d6"]).unwrap();
            spool.finish(&more);
        }
        let stats = spool.stats();
        assert!(stats.bytes < 4 * 4096 && stats.segments < 5, "{stats:?}");
        kill(spool);
        let (spool, recovered) = open(&scratch.spool(), usual());
        assert_eq!(
            (ids(&recovered), attempted(&recovered)),
            (vec!["c1".to_owned(), "c3".to_owned()], vec!["c3".to_owned()])
        );
        assert_eq!((recovered[0].items[0].ticket, spool.stats().damaged_records), (stuck[0], 0));
    }
}

#[test]
fn a_copy_and_its_original_are_one() {
    let scratch = Scratch::new();
    let (spool, _) = open(&scratch.spool(), settings(1 << 20, 4096, SpoolSync::Batch));
    append(&spool, &["c1"]).unwrap();
    let original = fs::read(&scratch.segments(0)[0]).unwrap();
    while scratch.segments(0)[0].ends_with("0000000000.log") {
        let more = append(&spool, &["d4", "d5", "d6"]).unwrap();
        spool.finish(&more);
    }
    kill(spool);
    // A crash between the two steps: all segments are still there, the second and later ones with what they had.
    let slot = scratch.spool().join("0");
    let oldest = segment::list(&slot).unwrap()[0];
    fs::write(segment::path(&slot, oldest - 1), original).unwrap();
    let (spool, recovered) = open(&scratch.spool(), settings(1 << 20, 4096, SpoolSync::Batch));
    assert_eq!((ids(&recovered), spool.stats().pending), (vec!["c1".to_owned()], 1));
    assert!(!segment::list(&slot).unwrap().contains(&(oldest - 1)));
}

#[test]
fn rejected_lines_are_kept_up_to_a_size() {
    let scratch = Scratch::new();
    let (spool, _) = open(&scratch.spool(), usual());
    for number in 0..30 {
        spool.reject(&format!("{{\"n\":{number},\"t\":\"{}\"}}\nx", "x".repeat(100_000)));
    }
    let read = |name: &str| fs::read_to_string(scratch.spool().join(name)).unwrap();
    let (now, before) = (read("rejected.jsonl"), read("rejected.1.jsonl"));
    assert_eq!((now.lines().count(), before.lines().count()), (10, 10));
    assert!(now.lines().next_back().unwrap().starts_with("{\"n\":29,") && before.len() <= 1 << 20);
}

/// Prints what it takes; machines differ too much for a bound.
#[test]
fn a_hundred_thousand_are_recovered() {
    let scratch = Scratch::new();
    let text = vec![b'x'; 600];
    for (sync, count) in [(SpoolSync::None, 100_000), (SpoolSync::Batch, 100_000), (SpoolSync::Each, 1000)] {
        let directory = scratch.0.join(format!("{sync:?}"));
        let (spool, _) = open(&directory, Settings::new(1 << 27, sync));
        let item = [Item { id: "0123456789abcdef0123456789abcdef0123", text: &text, counts_twice: false }];
        let submission = Submission { shared: &text[..60], accepted_ms: 1, notifications: &item };
        let begin = Instant::now();
        std::thread::scope(|scope| {
            if sync == SpoolSync::Batch {
                scope.spawn(|| (0..5).for_each(|_| spool.sync().unwrap()));
            }
            for _ in 0..count {
                spool.append(&submission).unwrap();
            }
        });
        let rate = f64::from(count) / begin.elapsed().as_secs_f64();
        let bytes = spool.stats().bytes / u64::from(count as u32);
        kill(spool);
        let begin = Instant::now();
        let (_spool, recovered) = open(&directory, Settings::new(1 << 27, sync));
        let time = begin.elapsed();
        assert_eq!(recovered.len(), usize::try_from(count).unwrap());
        println!("{sync:?}: {rate:.0} appends/s of {bytes} bytes (696 of them given), {count} recovered in {time:?}");
    }
}

#[test]
fn clients_of_another_account_leave_it_alone() {
    let scratch = Scratch::new();
    let open_as = |account: &str| Spool::open(&scratch.spool(), account.to_owned(), usual()).unwrap();
    let (first, _) = open_as("first");
    let tickets = append(&first, &["d1", "d2"]).unwrap();
    kill(first);

    let (second, recovered) = open_as("second");
    assert_eq!((recovered, second.adopt()), (vec![], vec![]));
    append(&second, &["d3"]).unwrap();
    let (again, recovered) = open_as("first");
    assert_eq!(ids(&recovered), ["d1", "d2"]);
    again.finish(&tickets);
    again.close().unwrap();
    kill(second);
    // In the first slot, where nothing is left.
    let (third, recovered) = open_as("third");
    assert_eq!(recovered, []);
    append(&third, &["d4"]).unwrap();
    kill(third);
    let (fourth, recovered) = open_as("fourth");
    assert_eq!((recovered, fourth.adopt()), (vec![], vec![]));
    assert_eq!(ids(&open_as("third").1), ["d4"]);
    assert_eq!(ids(&open_as("second").1), ["d3"]);
}

/// As on a full disk, where a name can be removed but not written.
#[test]
fn a_slot_that_cannot_be_named_has_no_name() {
    let scratch = Scratch::new();
    let open_as = |account: &str| Spool::open(&scratch.spool(), account.to_owned(), usual()).unwrap();
    open_as("first").0.close().unwrap();
    fs::create_dir(scratch.spool().join("0/account.new")).unwrap();
    let (second, _) = open_as("second");
    append(&second, &["d1"]).unwrap();
    kill(second);
    assert!(!scratch.spool().join("0/account").exists());
    assert_eq!(ids(&open_as("third").1), ["d1"]);
}

#[test]
fn records_that_name_no_account_are_for_whoever_comes() {
    let scratch = Scratch::new();
    for text in [None, Some("")] {
        let (spool, _) = open(&scratch.spool(), usual());
        append(&spool, &["d1"]).unwrap();
        kill(spool);
        let named = scratch.spool().join("0/account");
        assert!(named.exists());
        text.map_or_else(|| fs::remove_file(&named), |text| fs::write(&named, text)).unwrap();
        let (spool, recovered) = Spool::open(&scratch.spool(), "other".to_owned(), usual()).unwrap();
        assert_eq!(ids(&recovered), ["d1"]);
        spool.finish(&[recovered[0].items[0].ticket]);
        spool.close().unwrap();
    }
}
