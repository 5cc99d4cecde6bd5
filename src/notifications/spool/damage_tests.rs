//! What damage costs, tried at every place of a small log.

use std::fs;
use std::path::PathBuf;

use super::tests::{Scratch, append, attempted, ids, kill, open, settings};
use super::*;

fn usual() -> Settings {
    settings(1 << 20, 1 << 16, SpoolSync::None)
}

/// What a log says of each: id, attempted.
fn state(recovered: &[Recovered]) -> Vec<(String, bool)> {
    let items = recovered.iter().flat_map(|submission| &submission.items);
    items.map(|item| (item.id.clone(), item.attempted)).collect()
}

type Step<'a> = &'a dyn Fn(&Spool, &mut Vec<Ticket>);

/// A log of one record per step, and where each ends.
fn build(steps: &[Step<'_>]) -> (Vec<u8>, Vec<usize>) {
    let scratch = Scratch::new();
    let (spool, _) = open(&scratch.spool(), usual());
    let (mut tickets, mut ends) = (Vec::new(), Vec::new());
    for step in steps {
        step(&spool, &mut tickets);
        ends.push(spool.stats().bytes as usize);
    }
    kill(spool);
    (fs::read(&scratch.segments(0)[0]).unwrap(), ends)
}

fn recover(scratch: &Scratch, log: &[u8]) -> (Vec<(String, bool)>, SpoolStats) {
    let _ = fs::remove_dir_all(scratch.spool());
    let path: PathBuf = segment::path(&scratch.spool().join("0"), 0);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, log).unwrap();
    let (spool, recovered) = open(&scratch.spool(), usual());
    (state(&recovered), spool.stats())
}

fn log() -> (Vec<u8>, Vec<usize>) {
    let take = |ids: &'static [&'static str]| {
        move |spool: &Spool, tickets: &mut Vec<Ticket>| tickets.extend(append(spool, ids).unwrap())
    };
    build(&[
        &take(&["d0", "c1"]),
        &take(&["d2"]),
        &take(&["c3", "c4"]),
        &|spool, tickets| spool.mark_attempted(&tickets[3..5]).unwrap(),
        &|spool, tickets| spool.finish(&tickets[2..4]),
        &take(&["c5", "d6"]),
        &|spool, tickets| spool.mark_unattempted(&tickets[4..5]),
    ])
}

/// The state after the log with one record left out, and with what then has to be believed of clicks.
fn expected(lost: Option<usize>) -> Vec<(String, bool)> {
    // Id, the record that took it, the record that finished it, whether it is attempted with all records there.
    let all: [(&str, usize, Option<usize>); 7] = [
        ("d0", 0, None),
        ("c1", 0, None),
        ("d2", 1, Some(4)),
        ("c3", 2, Some(4)),
        ("c4", 2, None),
        ("c5", 5, None),
        ("d6", 5, None),
    ];
    let is_lost = |record: usize| lost == Some(record);
    let is_there =
        |(_, taken, finished): &&(&str, usize, Option<usize>)| !is_lost(*taken) && finished.is_none_or(is_lost);
    let attempted = |id: &str, taken: usize| {
        let is_click = id.starts_with('c');
        // The last record says that c4 is not attempted, whatever came before.
        let said = if id == "c4" {
            6
        } else if id == "c3" {
            3
        } else {
            taken
        };
        (id == "c3") || (is_click && lost.is_some_and(|lost| lost > said || lost == 6))
    };
    all.iter().filter(is_there).map(|(id, taken, _)| ((*id).to_owned(), attempted(id, *taken))).collect()
}

#[test]
fn a_flipped_bit_costs_the_record_it_hit() {
    let scratch = Scratch::new();
    let (log, ends) = log();
    assert_eq!(recover(&scratch, &log).0, expected(None));
    for place in 0..log.len() {
        let record = ends.iter().position(|end| place < *end).unwrap();
        for bit in if place % 4 == 0 { 0..8 } else { 3..4 } {
            let mut damaged = log.clone();
            damaged[place] ^= 1 << bit;
            let (found, stats) = recover(&scratch, &damaged);
            assert_eq!(found, expected(Some(record)), "byte {place}, bit {bit}, record {record}");
            assert_eq!((stats.damaged_records, stats.torn_records), (1, 0), "byte {place}");
        }
    }
}

#[test]
fn a_torn_end_costs_what_was_not_taken_yet() {
    let scratch = Scratch::new();
    let (log, ends) = log();
    let mut before = 0;
    for end in ends {
        let (whole, _) = recover(&scratch, &log[..before]);
        for cut in before + 1..end {
            let (found, stats) = recover(&scratch, &log[..cut]);
            assert_eq!(found, whole, "cut at {cut}");
            assert_eq!((stats.damaged_records, stats.torn_records), (0, 1), "cut at {cut}");
            // It is cut off, and once is enough.
            let (again, recovered) = open(&scratch.spool(), usual());
            assert_eq!((state(&recovered), again.stats().torn_records), (whole.clone(), 0));
        }
        before = end;
    }
}

#[test]
fn foreign_bytes_never_end_a_recovery() {
    let scratch = Scratch::new();
    let (log, ends) = log();
    let mut seed = 7_u64;
    for _ in 0..300 {
        let mut damaged = log.clone();
        for _ in 0..5 {
            let mut random = |below: usize| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 33) as usize % below.max(1)
            };
            let (from, length, byte) = (random(damaged.len()), random(40), random(256) as u8);
            let to = (from + length).min(damaged.len());
            match random(3) {
                0 => drop(damaged.drain(from..to)),
                1 => damaged[from..to].fill(byte),
                _ => drop(damaged.splice(from..from, log[..ends[random(3)]].iter().copied())),
            }
        }
        recover(&scratch, &damaged);
    }
}

#[test]
fn a_segment_that_is_gone_or_unreadable_costs_itself_and_the_trust_in_clicks() {
    let scratch = Scratch::new();
    let small = settings(1 << 20, 200, SpoolSync::None);
    let prepare = || {
        let _ = fs::remove_dir_all(scratch.spool());
        let (spool, _) = open(&scratch.spool(), small);
        for id in ["c1", "c2", "c3", "d4", "c5", "d6"] {
            append(&spool, &[id]).unwrap();
        }
        kill(spool);
        let segments = scratch.segments(0);
        assert_eq!(segments.len(), 3);
        segments[1].clone()
    };
    let left = [("c1", true), ("c2", true), ("c5", false), ("d6", false)].map(|(id, is)| (id.to_owned(), is));
    fs::remove_file(prepare()).unwrap();
    let (spool, recovered) = open(&scratch.spool(), small);
    assert_eq!((state(&recovered), spool.stats().damaged_records), (left.to_vec(), 1));
    drop(spool);
    let middle = prepare();
    fs::remove_file(&middle).unwrap();
    fs::create_dir(&middle).unwrap();
    let (spool, recovered) = open(&scratch.spool(), small);
    assert_eq!((state(&recovered), spool.stats().damaged_records), (left.to_vec(), 1));
}

#[test]
fn what_cannot_be_read_now_is_left_as_it_is() {
    let scratch = Scratch::new();
    let small = settings(1 << 20, 200, SpoolSync::None);
    let (spool, _) = open(&scratch.spool(), small);
    for id in ["d1", "c2", "d3", "d4", "d5", "d6"] {
        append(&spool, &[id]).unwrap();
    }
    kill(spool);
    let segments = scratch.segments(0);
    let texts = || segments.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
    let before = texts();
    for refused in &segments {
        segment::faults::refuse(Some((refused, libc::EMFILE)));
        let (spool, recovered) = open(&scratch.spool(), small);
        assert_eq!(recovered, []);
        let own = append(&spool, &["d7"]).unwrap();
        assert_eq!(scratch.segments(1).len(), 1, "it has another slot");
        assert_eq!((spool.adopt(), spool.stats().damaged_records), (vec![], 0));
        spool.finish(&own);
        spool.close().unwrap();
        assert_eq!(texts(), before);
    }

    segment::faults::refuse(Some((&segments[0], libc::EMFILE)));
    let (spool, _) = open(&scratch.spool(), small);
    segment::faults::refuse(None);
    let recovered = spool.adopt();
    assert_eq!((ids(&recovered).concat(), attempted(&recovered)), ("d1c2d3d4d5d6".to_owned(), vec![]));
}

#[test]
fn a_disk_error_costs_one_file_which_is_set_aside() {
    let scratch = Scratch::new();
    let small = settings(1 << 20, 200, SpoolSync::None);
    let (spool, _) = open(&scratch.spool(), small);
    for id in ["c1", "d2", "d3", "d4", "c5", "d6"] {
        append(&spool, &[id]).unwrap();
    }
    kill(spool);
    let bad = scratch.segments(0)[1].clone();
    segment::faults::refuse(Some((&bad, libc::EIO)));
    let (spool, recovered) = open(&scratch.spool(), small);
    segment::faults::refuse(None);
    assert_eq!((ids(&recovered).concat(), attempted(&recovered).concat()), ("c1d2c5d6".into(), "c1".into()));
    assert_eq!((spool.stats().damaged_records, bad.exists()), (1, false));
    assert!(bad.with_extension("unreadable").exists());
    spool.finish(&recovered.iter().flat_map(|left| &left.items).map(|item| item.ticket).collect::<Vec<_>>());
    spool.close().unwrap();
    let (spool, recovered) = open(&scratch.spool(), small);
    assert_eq!((recovered, spool.stats().damaged_records), (vec![], 0));
}

/// The last file has no other behind it that shows that it was there.
#[test]
fn a_disk_error_in_the_last_file_is_met_again_while_it_matters() {
    let scratch = Scratch::new();
    let small = settings(1 << 20, 200, SpoolSync::None);
    let (spool, _) = open(&scratch.spool(), small);
    let click = append(&spool, &["c1"]).unwrap();
    append(&spool, &["d2"]).unwrap();
    append(&spool, &["d3"]).unwrap();
    spool.mark_attempted(&click).unwrap();
    kill(spool);
    let last = scratch.segments(0).pop().unwrap();
    segment::faults::refuse(Some((&last, libc::EIO)));
    for _ in 0..2 {
        let (spool, recovered) = open(&scratch.spool(), small);
        assert_eq!((ids(&recovered)[0].as_str(), attempted(&recovered)), ("c1", vec!["c1".to_owned()]));
        assert_eq!(spool.stats().damaged_records, 1);
        kill(spool);
    }
    segment::faults::refuse(None);
}

#[test]
fn what_cannot_be_moved_now_is_moved_later() {
    let scratch = Scratch::new();
    let small = settings(4000, 500, SpoolSync::None);
    let (spool, _) = open(&scratch.spool(), small);
    append(&spool, &["d0"]).unwrap();
    let oldest = scratch.segments(0)[0].clone();
    segment::faults::refuse(Some((&oldest, libc::EMFILE)));
    let take_and_finish = || append(&spool, &["d1"]).map(|tickets| spool.finish(&tickets));
    let refused = (0..200).any(|_| take_and_finish().is_err());
    segment::faults::refuse(None);
    assert!(refused, "the oldest keeps all others from being removed");
    for _ in 0..200 {
        take_and_finish().unwrap();
    }
    assert_eq!(spool.stats().pending, 1);
}
