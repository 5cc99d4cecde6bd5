//! Being told of a fork.

/// Has the function called in every child that this process forks from now on.
pub(crate) fn watch(forked: extern "C" fn()) {
    // SAFETY: the function takes nothing, never unwinds and lives as long as the process: the library is
    // not unloaded. A failure (no memory) leaves the child as it would be without the call.
    unsafe {
        libc::pthread_atfork(None, None, Some(forked));
    }
}
