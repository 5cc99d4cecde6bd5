//! The boundary itself: every raw pointer of a caller is read or written here, and no panic passes.

use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{target_client, target_request, target_status};
use crate::error::TargetError;

/// What an export hands back besides its status: JSON, or nothing.
pub(super) type Answer = Result<Option<String>, TargetError>;

pub(super) const TARGET_OK: target_status = 0;

/// Runs the body of an export. `*result` is NULL from the start and written last.
pub(super) fn guard(result: *mut *mut c_char, body: impl FnOnce() -> Answer) -> target_status {
    write_out(result, std::ptr::null_mut());
    let answer = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        Err(TargetError::internal("a panic was caught; please report it. The client stays usable."))
    });
    let (status, json) = match answer {
        Ok(json) => (TARGET_OK, json),
        Err(error) => (error.code() as target_status, (!result.is_null()).then(|| error.to_json())),
    };
    if let Some(json) = json.filter(|_| !result.is_null()) {
        write_out(result, into_c(json));
    }
    status
}

/// The same for exports without a result.
pub(super) fn guard_value<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

/// Writes an out-parameter unless the caller does not want it.
pub(super) fn write_out<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: the header asks for NULL or a place to write to.
        unsafe { out.write(value) }
    }
}

/// A text whose ownership goes to the caller. Our JSON escapes control characters, so it has no NUL.
fn into_c(json: String) -> *mut c_char {
    CString::new(json).unwrap_or_default().into_raw()
}

/// Takes back and frees what `into_c` gave.
pub(super) fn free_string(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: the header asks for a string of this library that was not freed before.
        drop(unsafe { CString::from_raw(text) });
    }
}

/// A caller's text, borrowed for the call.
pub(super) fn text<'a>(name: &str, text: *const c_char) -> Result<&'a str, TargetError> {
    optional_text(name, text)?.ok_or_else(|| TargetError::invalid_argument(name, "must not be NULL"))
}

/// The same where NULL is allowed.
pub(super) fn optional_text<'a>(name: &str, text: *const c_char) -> Result<Option<&'a str>, TargetError> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the header asks for a NUL-terminated text that stays unchanged during the call.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|error| {
        let reason = format!("is not UTF-8 (byte {})", error.valid_up_to());
        TargetError::invalid_argument(name, &reason)
    })
}

pub(super) fn client<'a>(client: *const target_client) -> Result<&'a target_client, TargetError> {
    // SAFETY: the header asks for NULL or a client that is not freed while the call runs.
    unsafe { client.as_ref() }.ok_or_else(|| TargetError::invalid_argument("client", "must not be NULL"))
}

pub(super) fn request<'a>(request: *const target_request) -> Result<&'a target_request, TargetError> {
    // SAFETY: the header asks for NULL or a request handle that is not freed while the call runs.
    unsafe { request.as_ref() }.ok_or_else(|| TargetError::invalid_argument("request", "must not be NULL"))
}

/// Frees an object that came from [`Box::into_raw`].
pub(super) fn free_boxed<T>(object: *mut T) {
    if !object.is_null() {
        // SAFETY: the header asks for an object of this library that was not freed before and is not in use.
        drop(unsafe { Box::from_raw(object) });
    }
}

/// A host's pointer on its way to the host's callback.
#[derive(Clone, Copy)]
pub(super) struct UserData(pub *mut c_void);

// SAFETY: the library only hands the pointer back; the header says that callbacks run on other threads.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}
