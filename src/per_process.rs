//! A value that a forked child has to make anew before its first use, found without a lock and without a system call.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};

use crate::process;

/// Between two looks of a thread that waits for another one to make the value.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// One value for each process that uses it. What a child inherits it only reads where no lock is needed; it is never
/// dropped there, since its threads are gone and its locks may be held for ever.
pub(crate) struct PerProcess<T> {
    /// That of the first value, beside it: most programs never fork, and look no further.
    generation: u64,
    first: Arc<T>,
    latest: ArcSwap<Made<T>>,
    /// The generation in which a thread is making a value, or 0. A thread of the parent that did is none of the
    /// child's, so nobody there waits for it.
    maker: AtomicU64,
}

pub(crate) struct Made<T> {
    generation: u64,
    value: Arc<T>,
}

/// The value of this process.
pub(crate) enum Current<'c, T> {
    First(&'c Arc<T>),
    Latest(Guard<Arc<Made<T>>>),
}

impl<T> Deref for Current<'_, T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        match self {
            Current::First(value) => value,
            Current::Latest(made) => &made.value,
        }
    }
}

/// Lets others make the value, whatever became of this attempt.
struct Claim<'c>(&'c AtomicU64);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

impl<T> PerProcess<T> {
    pub(crate) fn new(generation: u64, value: Arc<T>) -> Self {
        let made = Made { generation, value: Arc::clone(&value) };
        PerProcess { generation, first: value, latest: ArcSwap::from_pointee(made), maker: AtomicU64::new(0) }
    }

    /// The value of that generation, made from the inherited one by the first who asks; the others wait for it. A
    /// failure is that caller's, and the next one tries again.
    #[inline]
    pub(crate) fn get<E>(&self, generation: u64, make: impl FnOnce(&T) -> Result<T, E>) -> Result<Current<'_, T>, E> {
        if generation == self.generation {
            return Ok(Current::First(&self.first));
        }
        self.get_in_child(generation, make)
    }

    fn get_in_child<E>(&self, generation: u64, make: impl FnOnce(&T) -> Result<T, E>) -> Result<Current<'_, T>, E> {
        loop {
            if let Some(made) = self.made(generation) {
                return Ok(made);
            }
            let maker = self.maker.load(Ordering::Acquire);
            let take = || self.maker.compare_exchange(maker, generation, Ordering::AcqRel, Ordering::Relaxed);
            if maker != generation && take().is_ok() {
                break;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        let _claim = Claim(&self.maker);
        // Another thread may have been done between the look and the claim.
        if let Some(made) = self.made(generation) {
            return Ok(made);
        }
        let value = Arc::new(make(&self.latest.load().value)?);
        let inherited = self.latest.swap(Arc::new(Made { generation, value: Arc::clone(&value) }));
        std::mem::forget(inherited);
        Ok(Current::Latest(self.latest.load()))
    }

    /// The value of that generation, if somebody has asked for it.
    pub(crate) fn made(&self, generation: u64) -> Option<Current<'_, T>> {
        if generation == self.generation {
            return Some(Current::First(&self.first));
        }
        let latest = self.latest.load();
        (latest.generation == generation).then_some(Current::Latest(latest))
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let generation = process::generation();
        if self.generation != generation {
            std::mem::forget(Arc::clone(&self.first));
        }
        let latest = self.latest.load_full();
        if latest.generation != generation {
            std::mem::forget(latest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::atomic::AtomicUsize;

    fn plus_one(value: &u32) -> Result<u32, Infallible> {
        Ok(value + 1)
    }

    #[test]
    fn each_generation_makes_its_own_from_the_one_before() {
        let values = PerProcess::new(5, Arc::new(10));
        assert_eq!(**values.get(5, plus_one).unwrap(), 10);
        assert_eq!(**values.get(6, plus_one).unwrap(), 11);
        assert_eq!(**values.get(6, plus_one).unwrap(), 11);
        // A grandchild of which the child's parent made nothing skips it.
        assert_eq!(**values.get(8, plus_one).unwrap(), 12);
    }

    #[test]
    fn what_nobody_asked_for_is_not_made() {
        let values = PerProcess::new(5, Arc::new(10));
        assert!(values.made(6).is_none());
        let _ = values.get(6, plus_one);
        assert_eq!(values.made(6).map(|value| **value), Some(11));
    }

    #[test]
    fn threads_share_one_making() {
        let (values, made) = (PerProcess::new(1, Arc::new(0)), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let make = |value: &u32| {
                        made.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(20));
                        plus_one(value)
                    };
                    assert_eq!(**values.get(2, make).unwrap(), 1);
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_failure_is_tried_again_and_a_panic_too() {
        let values = PerProcess::new(1, Arc::new(0));
        assert_eq!(values.get(2, |_| Err("no thread")).map(|value| **value).unwrap_err(), "no thread");
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = values.get(2, |_| -> Result<u32, Infallible> { panic!("injected") });
        }));
        assert!(panicked.is_err());
        assert_eq!(**values.get(2, plus_one).unwrap(), 1);
    }

    #[test]
    fn a_claim_of_the_parent_holds_up_nobody() {
        let values = PerProcess::new(1, Arc::new(0));
        values.maker.store(2, Ordering::SeqCst);
        assert_eq!(**values.get(3, plus_one).unwrap(), 1);
    }

    #[test]
    fn what_was_inherited_is_not_dropped() {
        let (first, second) = (Arc::new(()), Arc::new(Arc::new(())));
        let weak = Arc::downgrade(&first);
        let values = PerProcess::new(process::generation() + 1, Arc::clone(&first));
        drop((values, first));
        assert!(weak.upgrade().is_some());
        let weak = Arc::downgrade(&second);
        let values = PerProcess::new(process::generation(), Arc::clone(&second));
        drop((values, second));
        assert!(weak.upgrade().is_none());
    }
}
