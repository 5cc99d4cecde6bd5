//! Which process this is, without a system call to ask, and which threads are the library's.
//!
//! A forked child has one thread, copies of locks that other threads may have held, and its parent's descriptors. So
//! whatever a lock, a thread or a connection is part of belongs to the generation that made it, and is left alone in
//! every other one.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{descriptors, ffi};

static GENERATION: AtomicU64 = AtomicU64::new(1);
static IS_WATCHED: AtomicBool = AtomicBool::new(false);

/// A number that differs in a forked child from its parent's. Never 0.
#[inline]
pub(crate) fn generation() -> u64 {
    // The child's first thread stores it before there is another one.
    GENERATION.load(Ordering::Relaxed)
}

/// From now on forks are noticed. Comes before anything that a child must not take for its own.
pub(crate) fn watch_forks() {
    // Whoever waits for a `Once` in a child waits for a thread of the parent. Two threads that watch at the same time
    // raise the generation by two, which is as good.
    if !IS_WATCHED.load(Ordering::Acquire) && ffi::fork::watch(forked) {
        IS_WATCHED.store(true, Ordering::Release);
    }
}

/// Runs in the child, in a state where only atomics and system calls are safe.
extern "C" fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    descriptors::close_inherited();
}

thread_local! {
    /// The generation in which the thread became one of the library's; 0 for the host's.
    static LIBRARY_THREAD: Cell<u64> = const { Cell::new(0) };
}

/// Marks the calling thread as one of the library's own.
pub(crate) fn enter_library_thread() {
    LIBRARY_THREAD.set(generation());
}

/// Whether a wait on this thread could wait for itself: on the library's threads, and inside the host's logger,
/// which runs in the middle of a call on whichever thread makes it. What was forked inside a callback is no thread
/// of the library any more.
pub(crate) fn on_library_thread() -> bool {
    LIBRARY_THREAD.get() == generation() || crate::log::is_logging()
}

/// Whether this is a child that was forked inside a callback on a thread of the library: there is nothing to go on with.
pub(crate) fn has_left_library_thread() -> bool {
    let entered = LIBRARY_THREAD.get();
    entered != 0 && entered != generation()
}
