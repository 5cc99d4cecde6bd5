//! The one place that decides what a poisoned lock means.

use std::sync::{Mutex, MutexGuard};

/// Locks. A thread that panicked while holding it left counters and lists that are each valid, so the work
/// goes on; the panic itself was reported where it was caught.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
