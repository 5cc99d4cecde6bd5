//! A library that has nothing to do with ours but the language: with threads, panics that are caught, destructors that
//! run meanwhile, and a panic hook of its own. tests/abi.rs links it into one program with ours.

use std::collections::HashMap;
use std::panic::{catch_unwind, set_hook};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

static DESTROYED: AtomicU32 = AtomicU32::new(0);
static PANICS: AtomicU32 = AtomicU32::new(0);

struct Destroyed;

impl Drop for Destroyed {
    fn drop(&mut self) {
        DESTROYED.fetch_add(1, Ordering::SeqCst);
    }
}

#[inline(never)]
fn panics_below(depth: u32) -> u32 {
    let _on_the_stack = Destroyed;
    if depth == 0 {
        panic!("below");
    }
    panics_below(depth - 1) + 1
}

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        set_hook(Box::new(|_| {
            PANICS.fetch_add(1, Ordering::SeqCst);
        }))
    });
}

/// Panics that deep and catches it. Returns 1 for a panic that was caught.
#[unsafe(no_mangle)]
pub extern "C" fn other_catches(depth: u32) -> u32 {
    count_panics();
    catch_unwind(|| panics_below(depth)).is_err().into()
}

/// The same on threads of its own that are not caught on: joining them tells. Returns how many panicked.
#[unsafe(no_mangle)]
pub extern "C" fn other_threads_panic(threads: u32, depth: u32) -> u32 {
    count_panics();
    let threads: Vec<_> = (0..threads).map(|_| std::thread::spawn(move || panics_below(depth))).collect();
    threads.into_iter().map(|thread| u32::from(thread.join().is_err())).sum()
}

/// How many values were destroyed by unwinding.
#[unsafe(no_mangle)]
pub extern "C" fn other_destroyed() -> u32 {
    DESTROYED.load(Ordering::SeqCst)
}

/// How many panics this library's own hook has seen.
#[unsafe(no_mangle)]
pub extern "C" fn other_panics() -> u32 {
    PANICS.load(Ordering::SeqCst)
}

/// Something from the standard library that both have: the sum of the first numbers, by way of a hash map and texts.
#[unsafe(no_mangle)]
pub extern "C" fn other_sum(numbers: u32) -> u32 {
    let map: HashMap<String, u32> = (0..numbers).map(|number| (number.to_string(), number)).collect();
    (0..numbers).map(|number| map[&number.to_string()]).sum()
}
