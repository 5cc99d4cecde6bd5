//! The open descriptors that belong to this process alone: a forked child closes its copies of them.
//!
//! A copy that stayed open would keep the parent's connections alive when the parent has closed them. The list is read
//! where only atomics are safe, between the fork and the child's first own instruction; so it is a table of numbers.

use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use crate::{ffi, process};

/// More descriptors than this stay open in a child until it ends.
const PLACES: usize = 4096;

static OPEN: Table<PLACES> = Table::new();

/// Numbers of descriptors, each one higher than it is: 0 is a free place, so that an empty table takes no room in the
/// library's file.
struct Table<const N: usize> {
    places: [AtomicI32; N],
    next: AtomicUsize,
}

impl<const N: usize> Table<N> {
    const fn new() -> Self {
        Table { places: [const { AtomicI32::new(0) }; N], next: AtomicUsize::new(0) }
    }

    /// None when the table is full.
    fn enter(&self, descriptor: RawFd) -> Option<usize> {
        let entry = descriptor.checked_add(1)?;
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        (0..N).map(|step| first.wrapping_add(step) % N).find(|place| {
            self.places
                .get(*place)
                .is_some_and(|place| place.compare_exchange(0, entry, Ordering::Relaxed, Ordering::Relaxed).is_ok())
        })
    }

    fn leave(&self, place: usize) {
        if let Some(place) = self.places.get(place) {
            place.store(0, Ordering::Relaxed);
        }
    }

    fn drain(&self, mut take: impl FnMut(RawFd)) {
        for place in &self.places {
            // Without a write the child goes on sharing the page with its parent.
            let entry = place.load(Ordering::Relaxed);
            if entry != 0 {
                place.store(0, Ordering::Relaxed);
                take(entry - 1);
            }
        }
    }
}

/// Closes what this process has inherited. Async-signal-safe; no other thread may be there.
pub(crate) fn close_inherited() {
    OPEN.drain(ffi::fork::close);
}

/// Something with a descriptor, such as a socket or a file, that no other process uses or keeps open. In a forked
/// child its number may long be that of something else: there it can be neither used nor closed.
#[derive(Debug)]
pub(crate) struct OfThisProcess<T: AsFd + IntoRawFd> {
    /// Always there until the drop.
    inner: Option<T>,
    place: Option<usize>,
    generation: u64,
}

impl<T: AsFd + IntoRawFd> OfThisProcess<T> {
    pub(crate) fn new(inner: T) -> Self {
        let place = OPEN.enter(inner.as_fd().as_raw_fd());
        OfThisProcess { inner: Some(inner), place, generation: process::generation() }
    }

    fn is_inherited(&self) -> bool {
        self.generation != process::generation()
    }

    /// Fails in every process but the one that opened it.
    pub(crate) fn get(&self) -> io::Result<&T> {
        match &self.inner {
            Some(inner) if !self.is_inherited() => Ok(inner),
            _ => Err(io::Error::new(io::ErrorKind::NotConnected, "it belongs to the parent process")),
        }
    }
}

impl<T: AsFd + IntoRawFd> Drop for OfThisProcess<T> {
    fn drop(&mut self) {
        let inherited = self.is_inherited();
        match self.inner.take() {
            // Closed already, by number.
            Some(inner) if inherited => {
                let _ = inner.into_raw_fd();
            }
            inner => {
                // The number goes before it is free for others.
                if let Some(place) = self.place {
                    OPEN.leave(place);
                }
                drop(inner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn drained<const N: usize>(table: &Table<N>) -> Vec<RawFd> {
        let mut all = Vec::new();
        table.drain(|descriptor| all.push(descriptor));
        all.sort_unstable();
        all
    }

    #[test]
    fn a_child_finds_what_is_open_and_nothing_else() {
        let table = Table::<4>::new();
        let places: Vec<_> = [0, 7, 9].into_iter().map(|descriptor| table.enter(descriptor).unwrap()).collect();
        table.leave(places[1]);
        assert_eq!(drained(&table), [0, 9]);
        assert!(drained(&table).is_empty());
    }

    #[test]
    fn places_are_used_again_and_a_full_table_takes_no_more() {
        let table = Table::<2>::new();
        for descriptor in 0..100 {
            let place = table.enter(descriptor).unwrap();
            table.leave(place);
        }
        assert!(table.enter(1).is_some() && table.enter(2).is_some());
        assert_eq!(table.enter(3), None);
        assert_eq!(drained(&table), [1, 2]);
    }

    #[test]
    fn threads_do_not_take_the_same_place() {
        let table = Table::<64>::new();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let table = &table;
                scope.spawn(move || {
                    for _ in 0..1000 {
                        let place = table.enter(thread).unwrap();
                        table.leave(place);
                    }
                    table.enter(thread).unwrap();
                });
            }
        });
        assert_eq!(drained(&table), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn it_leaves_the_list_before_it_is_closed() {
        let file = OfThisProcess::new(File::open("Cargo.toml").unwrap());
        let (place, number) = (file.place.unwrap(), file.get().unwrap().as_raw_fd());
        assert_eq!(OPEN.places[place].load(Ordering::Relaxed), number + 1);
        drop(file);
        assert_ne!(OPEN.places[place].load(Ordering::Relaxed), number + 1);
    }

    #[test]
    fn what_was_inherited_is_neither_used_nor_closed() {
        let file = File::open("Cargo.toml").unwrap();
        let number = file.as_raw_fd();
        let inherited = OfThisProcess { inner: Some(file), place: None, generation: process::generation() + 1 };
        assert!(inherited.get().is_err());
        drop(inherited);
        #[cfg(target_os = "linux")]
        assert!(std::fs::exists(format!("/proc/self/fd/{number}")).unwrap());
        let _ = number;
    }
}
