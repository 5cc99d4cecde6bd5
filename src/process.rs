//! Which process this is, without a system call to ask.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(1);
static WATCH: Once = Once::new();

/// A number that differs in a forked child from its parent's. Never 0.
pub(crate) fn generation() -> u64 {
    WATCH.call_once(|| crate::ffi::fork::watch(forked));
    GENERATION.load(Ordering::Relaxed)
}

/// Runs in the child, in a state where only atomics are safe.
extern "C" fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

thread_local! {
    static LIBRARY_THREAD: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Marks the calling thread as one of the library's own.
pub(crate) fn enter_library_thread() {
    LIBRARY_THREAD.set(true);
}

/// Whether a wait on this thread could wait for itself: on the library's threads, and inside the host's logger,
/// which runs in the middle of a call on whichever thread makes it.
pub(crate) fn on_library_thread() -> bool {
    LIBRARY_THREAD.get() || crate::log::is_logging()
}
