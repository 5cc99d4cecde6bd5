//! What takes a system call to notice a fork and to clean up after it.

/// Has the function called in every child that this process forks from now on. False if there is no memory for it.
pub(crate) fn watch(forked: extern "C" fn()) -> bool {
    // SAFETY: the function takes nothing, never unwinds and lives as long as the process: the library is
    // not unloaded.
    unsafe { libc::pthread_atfork(None, None, Some(forked)) == 0 }
}

/// Closes a descriptor that a child has inherited.
pub(crate) fn close(descriptor: libc::c_int) {
    // SAFETY: the number stands in the table of those that an object of the parent owns. In the child that object is
    // never used and never closes it, so nobody else has it.
    unsafe {
        libc::close(descriptor);
    }
}
