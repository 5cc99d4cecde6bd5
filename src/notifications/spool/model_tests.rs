//! Random sequences of operations with crashes in between, against a model that knows what must be found.
//!
//! A crash is a copy of the directory. After a kill the copy has every byte that was handed to the system, and perhaps
//! the beginning of a write that did not come to its end. After a loss of power a segment may end anywhere behind what
//! a sync had covered.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::tests::{Scratch, append, open, settings};
use super::*;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

/// What is known of a notification that was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Known {
    attempted: bool,
    finished: bool,
}

#[derive(Default)]
struct Model {
    /// As handed to the system.
    now: BTreeMap<String, Known>,
    /// As the last sync left it; what came since may be lost with the power.
    synced: BTreeMap<String, Known>,
    /// How long the files were when the spool was opened.
    lengths: HashMap<PathBuf, u64>,
    tickets: BTreeMap<String, Ticket>,
    next: usize,
}

impl Model {
    fn sync(&mut self) {
        self.synced = self.now.clone();
    }

    fn check(&self, recovered: &[Recovered], is_power_lost: bool, seed: u64) {
        let mut found = BTreeMap::new();
        for item in recovered.iter().flat_map(|submission| &submission.items) {
            assert!(found.insert(item.id.clone(), item.attempted).is_none(), "{} twice, seed {seed}", item.id);
            let known = self.now.get(&item.id).copied();
            let known = known.unwrap_or_else(|| panic!("{} was never taken, seed {seed}", item.id));
            let was_finished =
                if is_power_lost { self.synced.get(&item.id).is_some_and(|was| was.finished) } else { known.finished };
            assert!(!was_finished, "{} is finished, seed {seed}", item.id);
            // Clicks alone are marked, and their marks are durable: none may be forgotten.
            if known.attempted && self.synced.get(&item.id).is_some_and(|was| was.attempted) || !is_power_lost {
                assert!(item.attempted || !known.attempted, "{} was attempted, seed {seed}", item.id);
            }
            assert!(is_power_lost || item.attempted == known.attempted, "{} was not attempted, seed {seed}", item.id);
        }
        let must = if is_power_lost { &self.synced } else { &self.now };
        for id in must.keys().filter(|id| !self.now.get(*id).is_some_and(|known| known.finished)) {
            assert!(found.contains_key(id), "{id} is lost, seed {seed}");
        }
        let mut order: Vec<usize> = found_order(recovered);
        let was = order.clone();
        order.sort_unstable();
        assert_eq!(was, order, "seed {seed}");
    }
}

fn found_order(recovered: &[Recovered]) -> Vec<usize> {
    let items = recovered.iter().flat_map(|submission| &submission.items);
    items.map(|item| item.id.trim_start_matches(['c', 'd']).parse().unwrap()).collect()
}

fn segments(directory: &Path) -> Vec<(PathBuf, u64)> {
    let slot = directory.join("0");
    let paths = segment::list(&slot).unwrap().into_iter().map(|number| segment::path(&slot, number));
    paths.map(|path| (path.clone(), fs::metadata(&path).unwrap().len())).collect()
}

/// Makes the directory as a crash leaves it, and says whether a segment lost something that later ones were written after.
fn crash(spool: &Spool, model: &Model, from: &Path, to: &Path, is_power_lost: bool, random: &mut Random) -> bool {
    fs::create_dir_all(to.join("0")).unwrap();
    let (all, durable) = (segments(from), spool.own.durable());
    let synced = |index: usize| {
        let number = segment::list(&from.join("0")).unwrap()[index];
        durable.get(&number).or(model.lengths.get(&all[index].0)).copied().unwrap_or(0)
    };
    let last_synced = (0..all.len()).rev().find(|index| synced(*index) > 0);
    let mut has_hole = false;
    for (index, (path, length)) in all.iter().enumerate() {
        let mut bytes = fs::read(path).unwrap();
        let mut is_last = index + 1 == all.len();
        if is_power_lost && synced(index) < *length {
            bytes.truncate(synced(index) as usize + random.below((*length - synced(index)) as usize + 1));
            // A sync of it failed, and it was followed by others.
            has_hole |= last_synced > Some(index);
            is_last |= last_synced <= Some(index);
        } else if is_last && random.below(3) == 0 && !bytes.is_empty() {
            // A write that was being made: the beginning of a record.
            bytes.extend_from_within(..random.below(18).min(bytes.len() - 1));
        }
        let mut file = File::create(to.join("0").join(path.file_name().unwrap())).unwrap();
        file.write_all(&bytes).unwrap();
        if is_last {
            break;
        }
    }
    has_hole
}

fn run(seed: u64, sync: SpoolSync) {
    let scratch = Scratch::new();
    let mut random = Random(seed);
    let (mut model, mut has_hole) = (Model::default(), false);
    let settings = settings([6000, 20_000, 1 << 20][random.below(3)], [300, 1000, 4000][random.below(3)], sync);
    let mut directory = scratch.0.join("0");
    let (mut spool, _) = open(&directory, settings);
    for step in 1..400 {
        let live: Vec<String> =
            model.now.iter().filter(|(_, known)| !known.finished).map(|(id, _)| id.clone()).collect();
        let some = |random: &mut Random| -> Vec<String> {
            let from = random.below(live.len());
            live.iter().skip(from).step_by(1 + random.below(3)).take(1 + random.below(8)).cloned().collect()
        };
        match random.below(100) {
            0..45 => {
                let count = 1 + random.below(4);
                let ids: Vec<String> = (0..count)
                    .map(|place| format!("{}{:06}", ["d", "c"][random.below(2)], model.next + place))
                    .collect();
                let names: Vec<&str> = ids.iter().map(String::as_str).collect();
                let is_disk_full = random.below(15) == 0;
                spool.own.fill_disk(is_disk_full);
                let taken = append(&spool, &names);
                spool.own.fill_disk(false);
                assert!(!is_disk_full || taken.is_err());
                model.next += count;
                if let Ok(tickets) = taken {
                    for (id, ticket) in ids.into_iter().zip(tickets) {
                        model.now.insert(id.clone(), Known::default());
                        if sync == SpoolSync::Each {
                            model.synced.insert(id.clone(), Known::default());
                        }
                        model.tickets.insert(id, ticket);
                    }
                }
            }
            45..70 => {
                let ids = some(&mut random);
                spool.finish(&ids.iter().map(|id| model.tickets[id]).collect::<Vec<_>>());
                ids.iter().for_each(|id| model.now.get_mut(id).unwrap().finished = true);
            }
            70..80 => {
                let clicks: Vec<String> = some(&mut random).into_iter().filter(|id| id.starts_with('c')).collect();
                let marked = spool.mark_attempted(&clicks.iter().map(|id| model.tickets[id]).collect::<Vec<_>>());
                let clicks = if marked.is_ok() { clicks } else { vec![] };
                for id in clicks {
                    let known = Known { attempted: true, finished: false };
                    model.now.insert(id.clone(), known);
                    // The mark is on disk; if a sync failed before, what it is about may not be.
                    if sync != SpoolSync::None
                        && let Some(synced) = model.synced.get_mut(&id)
                    {
                        *synced = known;
                    }
                }
            }
            80..84 => {
                let clicks: Vec<String> = some(&mut random).into_iter().filter(|id| id.starts_with('c')).collect();
                spool.mark_unattempted(&clicks.iter().map(|id| model.tickets[id]).collect::<Vec<_>>());
                clicks.iter().for_each(|id| model.now.get_mut(id).unwrap().attempted = false);
            }
            84..92 => {
                if random.below(4) == 0 {
                    spool.own.fail_next_sync();
                }
                if spool.sync().is_ok() && sync != SpoolSync::None {
                    model.sync();
                }
            }
            _ => {
                let is_power_lost = sync != SpoolSync::None && random.below(2) == 0;
                let next = scratch.0.join(step.to_string());
                has_hole |= crash(&spool, &model, &directory, &next, is_power_lost, &mut random);
                drop(spool);
                directory = next;
                let (reopened, recovered) = open(&directory, settings);
                spool = reopened;
                assert!(has_hole || spool.stats().damaged_records == 0, "seed {seed}");
                model.check(&recovered, is_power_lost, seed);
                let items = || recovered.iter().flat_map(|submission| &submission.items);
                model.tickets = items().map(|item| (item.id.clone(), item.ticket)).collect();
                model.now = items()
                    .map(|item| (item.id.clone(), Known { attempted: item.attempted, finished: false }))
                    .collect();
                model.sync();
                model.lengths = segments(&directory).into_iter().collect();
                assert_eq!(spool.stats().pending, model.now.len() as u64);
            }
        }
    }
}

#[test]
fn what_was_taken_and_not_finished_is_found_once_after_any_crash() {
    // Syncs take their time.
    for (sync, seeds) in [(SpoolSync::None, 40), (SpoolSync::Batch, 8), (SpoolSync::Each, 2)] {
        (0..seeds).for_each(|seed| run(seed, sync));
    }
}
