//! An allocator that counts while it is told to, and is the system's otherwise.

#![allow(dead_code, reason = "each of the benchmarks that share this uses some of it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

/// The allocator of the whole program.
pub struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

/// What was allocated while something ran.
#[derive(Debug, Clone, Copy)]
pub struct Allocated {
    /// Allocations, and growths of one.
    pub count: u64,
    /// Bytes that were asked for.
    pub bytes: u64,
    /// Bytes that were kept, less those freed that were there before.
    pub kept: i64,
    /// The most that was kept at a time.
    pub peak: i64,
}

/// Counts what `work` allocates, on every thread.
pub fn of(work: impl FnOnce()) -> Allocated {
    COUNT.store(0, Relaxed);
    BYTES.store(0, Relaxed);
    LIVE.store(0, Relaxed);
    PEAK.store(0, Relaxed);
    ON.store(true, Relaxed);
    work();
    ON.store(false, Relaxed);
    Allocated {
        count: COUNT.load(Relaxed),
        bytes: BYTES.load(Relaxed),
        kept: LIVE.load(Relaxed),
        peak: PEAK.load(Relaxed),
    }
}

fn note(asked: usize, change: i64) {
    COUNT.fetch_add(1, Relaxed);
    BYTES.fetch_add(asked as u64, Relaxed);
    let live = LIVE.fetch_add(change, Relaxed) + change;
    PEAK.fetch_max(live, Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if ON.load(Relaxed) {
            note(layout.size(), layout.size() as i64);
        }
        // SAFETY: the caller keeps the trait's promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        if ON.load(Relaxed) {
            LIVE.fetch_sub(layout.size() as i64, Relaxed);
        }
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if ON.load(Relaxed) {
            note(layout.size(), layout.size() as i64);
        }
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if ON.load(Relaxed) {
            note(size, size as i64 - layout.size() as i64);
        }
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}
