//! A bounded number of threads for any number of asynchronous calls.
//!
//! Threads start on demand. When all are busy, calls wait in order; one more thread then watches the waiting
//! ones, so that a deadline or a cancellation ends a call that no thread has taken yet.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::TargetError;
use crate::process;
use crate::sync::lock;
use crate::transport::control::CallControl;

/// Calls at the same time. Each blocks in its own socket, so this bounds connections too.
const MAX_THREADS: usize = 32;
/// Calls that wait; one more is refused.
pub(crate) const MAX_WAITING: usize = 10_000;

/// One call: what to do, and the control that may end it before it begins.
pub(crate) struct Job {
    pub control: Arc<CallControl>,
    pub run: Box<dyn FnOnce() + Send>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    idle: usize,
    threads: Vec<JoinHandle<()>>,
    watched: bool,
    stopping: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Wakes threads that wait for a job.
    work: Condvar,
    /// Wakes the watcher.
    watch: Condvar,
}

/// The threads of one client.
#[derive(Default)]
pub(crate) struct Executor(Arc<Shared>);

impl Executor {
    /// Takes a job, or nothing of it.
    pub(crate) fn submit(&self, job: Job) -> Result<(), TargetError> {
        let mut state = lock(&self.0.state);
        if state.stopping {
            return Err(TargetError::closed());
        }
        if state.waiting.len() >= MAX_WAITING {
            return Err(TargetError::executor_full(MAX_WAITING));
        }
        if state.waiting.len() >= state.idle {
            if state.threads.len() < MAX_THREADS {
                match spawn("target-call", &self.0, work) {
                    Ok(thread) => state.threads.push(thread),
                    // Those that run already will come to it.
                    Err(_) if !state.threads.is_empty() => {}
                    Err(error) => return Err(TargetError::internal(format!("no thread for the call: {error}"))),
                }
            } else if !state.watched
                && let Ok(thread) = spawn("target-watch", &self.0, watch)
            {
                state.watched = true;
                state.threads.push(thread);
            }
        }
        state.waiting.push_back(job);
        drop(state);
        self.0.work.notify_one();
        self.0.watch.notify_one();
        Ok(())
    }

    /// A waiting call may have been ended.
    pub(crate) fn poke(&self) {
        drop(lock(&self.0.state));
        self.0.watch.notify_one();
    }

    /// Takes no more jobs; the threads end when those that wait are done.
    pub(crate) fn stop(&self) {
        lock(&self.0.state).stopping = true;
        self.0.work.notify_all();
        self.0.watch.notify_all();
    }

    /// Waits for the threads after [`Executor::stop`]. The calling thread, if it is one of them, is left out.
    pub(crate) fn join(&self) {
        let threads = std::mem::take(&mut lock(&self.0.state).threads);
        for thread in threads {
            if thread.thread().id() != std::thread::current().id() {
                // A job's panic is caught in the job.
                let _ = thread.join();
            }
        }
    }
}

fn spawn(name: &str, shared: &Arc<Shared>, body: fn(&Shared)) -> std::io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new().name(name.into()).spawn(move || {
        process::enter_library_thread();
        body(&shared);
    })
}

fn work(shared: &Shared) {
    let mut state = lock(&shared.state);
    loop {
        if let Some(job) = state.waiting.pop_front() {
            drop(state);
            (job.run)();
            if process::has_left_library_thread() {
                return;
            }
            state = lock(&shared.state);
        } else if state.stopping {
            // The watcher may sleep until the deadline of a job that is done meanwhile.
            shared.watch.notify_all();
            return;
        } else {
            state.idle += 1;
            state = shared.work.wait(state).unwrap_or_else(|e| e.into_inner());
            state.idle -= 1;
        }
    }
}

/// Runs waiting jobs whose call is over: they find that out at once and only report it.
fn watch(shared: &Shared) {
    let mut state = lock(&shared.state);
    loop {
        let over = |job: &Job| job.control.end().is_some() || job.control.remaining().is_none();
        if let Some(at) = state.waiting.iter().position(over)
            && let Some(job) = state.waiting.remove(at)
        {
            drop(state);
            (job.run)();
            if process::has_left_library_thread() {
                return;
            }
            state = lock(&shared.state);
            continue;
        }
        if state.stopping && state.waiting.is_empty() {
            return;
        }
        let next = state.waiting.iter().filter_map(|job| job.control.remaining()).min();
        state = match next {
            None => shared.watch.wait(state).unwrap_or_else(|e| e.into_inner()),
            Some(left) => {
                let left = left.max(Duration::from_millis(1));
                shared.watch.wait_timeout(state, left).unwrap_or_else(|e| e.into_inner()).0
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::control::End;
    use std::sync::mpsc;

    fn job(control: &Arc<CallControl>, run: impl FnOnce() + Send + 'static) -> Job {
        Job { control: Arc::clone(control), run: Box::new(run) }
    }

    fn endless() -> Arc<CallControl> {
        Arc::new(CallControl::new(Duration::from_secs(600)))
    }

    /// Fills all threads with jobs that end when the sender is dropped.
    fn occupied() -> (Executor, mpsc::Sender<()>) {
        let executor = Executor::default();
        let (hold, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let (started, starts) = mpsc::channel();
        for _ in 0..MAX_THREADS {
            let (held, started) = (Arc::clone(&held), started.clone());
            executor
                .submit(job(&endless(), move || {
                    started.send(()).unwrap();
                    let _ = lock(&held).recv();
                }))
                .unwrap();
        }
        for _ in 0..MAX_THREADS {
            starts.recv().unwrap();
        }
        (executor, hold)
    }

    #[test]
    fn jobs_beyond_the_threads_wait_and_run() {
        let (executor, hold) = occupied();
        let (done, ran) = mpsc::channel();
        for n in 0..100 {
            let done = done.clone();
            executor.submit(job(&endless(), move || done.send(n).unwrap())).unwrap();
        }
        drop(hold);
        let mut all: Vec<i32> = (0..100).map(|_| ran.recv().unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        executor.stop();
        executor.join();
    }

    #[test]
    fn a_waiting_job_is_reached_by_deadline_and_cancellation() {
        let (executor, hold) = occupied();
        let (done, ran) = mpsc::channel();
        let cancelled = endless();
        for (name, control) in
            [("cancelled", Arc::clone(&cancelled)), ("late", Arc::new(CallControl::new(Duration::from_millis(20))))]
        {
            let done = done.clone();
            executor.submit(job(&control, move || done.send(name).unwrap())).unwrap();
        }
        assert_eq!(ran.recv().unwrap(), "late");
        cancelled.end_call(End::Cancelled);
        executor.poke();
        assert_eq!(ran.recv().unwrap(), "cancelled");
        drop(hold);
        executor.stop();
        executor.join();
    }

    #[test]
    fn waiting_jobs_are_bounded() {
        let (executor, hold) = occupied();
        for _ in 0..MAX_WAITING {
            executor.submit(job(&endless(), || {})).unwrap();
        }
        let refused = executor.submit(job(&endless(), || {})).unwrap_err();
        assert!(matches!(refused, TargetError::QueueFull(_)) && refused.is_retryable());
        drop(hold);
        executor.stop();
        executor.join();
    }
}
