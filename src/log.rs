//! The process-wide logger: one callback of the host, or nothing. Lines hold no cookie, token or body.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use crate::sync::lock;

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
    /// How many lines it is being called with. Changed under the slot's lock.
    running: AtomicUsize,
}

impl Logger {
    fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0
    }
}

struct Slot {
    current: Option<Arc<Logger>>,
    /// Replaced while they were running, and running still.
    retired: Vec<Arc<Logger>>,
}

static MAX_LEVEL: AtomicI32 = AtomicI32::new(0);
static SLOT: Mutex<Slot> = Mutex::new(Slot { current: None, retired: Vec::new() });
static IDLE: Condvar = Condvar::new();

thread_local! {
    static LOGGING: Cell<bool> = const { Cell::new(false) };
}

/// Whether the thread is inside the logger.
pub(crate) fn is_logging() -> bool {
    LOGGING.get()
}

/// Sets the logger of the process, or removes it. Returns when the old one no longer runs; called from
/// inside a logger it returns at once, and the old one runs no more after that line.
///
/// A logger may call the library; lines that arise in it are left out.
pub fn set_logger(logger: Option<(LogLevel, Box<LogCallback>)>) {
    let mut slot = lock(&SLOT);
    let level = logger.as_ref().map_or(0, |(level, _)| *level as i32);
    let logger = logger.map(|(_, callback)| Arc::new(Logger { callback, running: AtomicUsize::new(0) }));
    let old = std::mem::replace(&mut slot.current, logger);
    MAX_LEVEL.store(level, Ordering::Relaxed);
    slot.retired.extend(old.iter().filter(|old| old.is_running()).cloned());
    if LOGGING.get() {
        drop(slot);
        return;
    }
    // Those that replaced themselves may run still, too.
    let retired = slot.retired.clone();
    while retired.iter().any(|old| old.is_running()) {
        slot = IDLE.wait(slot).unwrap_or_else(|e| e.into_inner());
    }
    // The closures are dropped without the lock: they are the host's and may do anything.
    drop(slot);
}

pub(crate) fn log(level: LogLevel, message: fmt::Arguments<'_>) {
    if level as i32 > MAX_LEVEL.load(Ordering::Relaxed) || LOGGING.get() {
        return;
    }
    let logger = {
        let slot = lock(&SLOT);
        let Some(logger) = slot.current.clone() else { return };
        logger.running.fetch_add(1, Ordering::Relaxed);
        logger
    };
    LOGGING.set(true);
    // A panic of the host's callback is the host's; it must not end a thread of ours.
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        (logger.callback)(level, &message.to_string());
    }));
    LOGGING.set(false);
    let mut slot = lock(&SLOT);
    logger.running.fetch_sub(1, Ordering::Relaxed);
    slot.retired.retain(|retired| retired.is_running());
    // Whoever waits has a reference, so this is the last one only if nobody waits.
    let last = Arc::into_inner(logger);
    drop(slot);
    IDLE.notify_all();
    drop(last);
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
