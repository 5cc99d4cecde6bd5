//! The process-wide logger: one callback of the host, or nothing. Lines hold no cookie, token or body.
//!
//! Nothing here waits for a lock, which a thread of the parent may hold for ever in a forked child. What a child
//! inherits is the logger itself; lines that were being logged at the fork run in the parent alone.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering, fence};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::process;

/// How grave a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum LogLevel {
    /// Something was lost or a bug showed.
    Error = 1,
    /// Something is not as it should be, and was dealt with.
    Warn = 2,
    /// What happens seldom and may be of interest.
    Info = 3,
    /// What each call does.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

/// What takes log lines: their level and their text.
pub type LogCallback = dyn Fn(LogLevel, &str) + Send + Sync;

struct Logger {
    callback: Box<LogCallback>,
    max_level: LogLevel,
    running: Running,
}

/// How many lines a logger is being called with in this process: the generation in the upper half, the number in the
/// lower one. Of another generation, it is none.
#[derive(Default)]
struct Running(AtomicU64);

impl Running {
    fn begin(&self, generation: u32) {
        self.change(|state| Some(Self::of(state, generation).wrapping_add(1)), generation);
    }

    fn end(&self, generation: u32) {
        self.change(
            |state| (state >> 32 == u64::from(generation)).then(|| (state as u32).saturating_sub(1)),
            generation,
        );
    }

    fn change(&self, number: impl Fn(u64) -> Option<u32>, generation: u32) {
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| {
            number(state).map(|number| u64::from(generation) << 32 | u64::from(number))
        });
    }

    fn is_running(&self, generation: u32) -> bool {
        Self::of(self.0.load(Ordering::SeqCst), generation) > 0
    }

    fn of(state: u64, generation: u32) -> u32 {
        if state >> 32 == u64::from(generation) { state as u32 } else { 0 }
    }
}

/// The logger in force, and those that were replaced and may be running still.
#[derive(Default, Clone)]
struct Loggers {
    current: Option<Arc<Logger>>,
    retired: Vec<Arc<Logger>>,
}

impl Loggers {
    /// Whether a line may go on to that logger.
    fn has(&self, logger: &Arc<Logger>) -> bool {
        self.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, logger))
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Logger>> {
        self.current.iter().chain(&self.retired)
    }
}

static MAX_LEVEL: AtomicI32 = AtomicI32::new(0);
static LOGGERS: ArcSwapOption<Loggers> = ArcSwapOption::const_empty();

/// Between two looks whether a replaced logger is still running. That it is, is rare, and lines are short.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

thread_local! {
    /// The generation in which the thread is inside the logger, else 0.
    static LOGGING: Cell<u64> = const { Cell::new(0) };
}

/// Whether the thread is inside the logger.
pub(crate) fn is_logging() -> bool {
    LOGGING.get() == process::generation()
}

/// Lines that arise on this thread until the guard is dropped are left out, as they are inside the logger.
pub(crate) fn mute() -> Muted {
    Muted { before: LOGGING.replace(process::generation()) }
}

/// Guard of [`mute`].
#[must_use]
pub(crate) struct Muted {
    before: u64,
}

impl Drop for Muted {
    fn drop(&mut self) {
        LOGGING.set(self.before);
    }
}

fn generation() -> u32 {
    process::generation() as u32
}

/// Sets the logger of the process, or removes it. Returns when the old one no longer runs; called from
/// inside a logger it returns at once, and the old one runs no more after that line.
///
/// A logger may call the library; lines that arise in it are left out. A forked child has its parent's logger.
pub fn set_logger(logger: Option<(LogLevel, Box<LogCallback>)>) {
    process::watch_forks();
    let generation = generation();
    let logger =
        logger.map(|(max_level, callback)| Arc::new(Logger { callback, max_level, running: Running::default() }));
    let before = LOGGERS.rcu(|before| {
        let Loggers { current, mut retired } = before.as_deref().cloned().unwrap_or_default();
        retired.extend(current);
        Some(Arc::new(Loggers { current: logger.clone(), retired }))
    });
    publish_level();
    // With the one in `begin`: either that sees the new logger, or the old one is seen running here.
    fence(Ordering::SeqCst);
    if is_logging() {
        return;
    }
    if let Some(before) = before {
        // Those that replaced themselves may run still, too.
        while before.all().any(|logger| logger.running.is_running(generation)) {
            std::thread::sleep(LOOK_AGAIN);
        }
    }
    forget_idle(generation);
}

/// Whoever sets the level last has seen the logger that is in force.
fn publish_level() {
    loop {
        let loggers = LOGGERS.load();
        let level =
            loggers.as_ref().and_then(|loggers| loggers.current.as_ref()).map_or(0, |logger| logger.max_level as i32);
        MAX_LEVEL.store(level, Ordering::SeqCst);
        let address = |loggers: &Option<Arc<Loggers>>| loggers.as_ref().map(Arc::as_ptr);
        if address(&LOGGERS.load()) == address(&loggers) {
            return;
        }
    }
}

/// Lets go of replaced loggers that run no more. Their closures are the host's and may do anything.
fn forget_idle(generation: u32) {
    LOGGERS.rcu(|loggers| {
        loggers.as_deref().map(|loggers| {
            let running = |logger: &&Arc<Logger>| logger.running.is_running(generation);
            let retired = loggers.retired.iter().filter(running).cloned().collect();
            Arc::new(Loggers { current: loggers.current.clone(), retired })
        })
    });
}

/// The logger in force, counted as running.
fn begin(level: LogLevel, generation: u32) -> Option<Arc<Logger>> {
    loop {
        let logger = LOGGERS.load().as_ref()?.current.clone().filter(|logger| level <= logger.max_level)?;
        logger.running.begin(generation);
        fence(Ordering::SeqCst);
        if LOGGERS.load().as_ref().is_some_and(|loggers| loggers.has(&logger)) {
            return Some(logger);
        }
        logger.running.end(generation);
    }
}

pub(crate) fn log(level: LogLevel, message: fmt::Arguments<'_>) {
    if level as i32 > MAX_LEVEL.load(Ordering::Relaxed) || is_logging() {
        return;
    }
    let generation = generation();
    let Some(logger) = begin(level, generation) else { return };
    {
        let _muted = mute();
        // A panic of the host's callback is the host's; it must not end a thread of ours.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (logger.callback)(level, &message.to_string());
        }));
    }
    logger.running.end(generation);
    if !LOGGERS.load().as_ref().is_some_and(|loggers| loggers.has(&logger)) {
        forget_idle(generation);
    }
}

pub(crate) fn error(message: fmt::Arguments<'_>) {
    log(LogLevel::Error, message);
}

pub(crate) fn warn(message: fmt::Arguments<'_>) {
    log(LogLevel::Warn, message);
}

pub(crate) fn info(message: fmt::Arguments<'_>) {
    log(LogLevel::Info, message);
}

pub(crate) fn debug(message: fmt::Arguments<'_>) {
    log(LogLevel::Debug, message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_parent_do_not_run_in_the_child() {
        let running = Running::default();
        running.begin(1);
        running.begin(1);
        assert!(running.is_running(1) && !running.is_running(2));
        running.begin(2);
        // Forked inside the logger: the end of that line comes in the child.
        running.end(1);
        assert!(running.is_running(2));
        running.end(2);
        assert!(!running.is_running(2));
    }
}
