//! Calling the host.

use std::ffi::{CString, c_char};

use super::guard::UserData;
use super::{target_callback, target_log_callback};
use crate::log::LogCallback;
use crate::pending::Outcome;

/// A callback with what it is called with.
#[derive(Clone, Copy)]
pub(super) struct HostCallback {
    pub function: unsafe extern "C" fn(json: *const c_char, user_data: *mut std::ffi::c_void),
    pub user_data: UserData,
}

impl HostCallback {
    pub(super) fn new(function: target_callback, user_data: UserData) -> Option<Self> {
        function.map(|function| HostCallback { function, user_data })
    }

    pub(super) fn call(&self, json: &str) {
        let json = CString::new(json).unwrap_or_default();
        let UserData(user_data) = self.user_data;
        // SAFETY: the host gave a function of this type; the text lives until it returns.
        unsafe { (self.function)(json.as_ptr(), user_data) }
    }
}

/// Hands an outcome to the one callback that it is for.
pub(super) fn report(outcome: &Outcome, callback: Option<HostCallback>, err_callback: Option<HostCallback>) {
    match outcome {
        Ok(envelope) => {
            if let Some(callback) = callback {
                callback.call(&envelope.to_json());
            }
        }
        Err(error) => {
            if let Some(callback) = err_callback {
                callback.call(&error.to_json());
            }
        }
    }
}

/// The host's logger as one of ours.
pub(super) fn logger(function: target_log_callback, user_data: UserData) -> Option<Box<LogCallback>> {
    let function = function?;
    Some(Box::new(move |level, message| {
        // The whole pair is captured, which may cross threads; a bare pointer may not.
        let user_data = user_data;
        let message = CString::new(message).unwrap_or_default();
        // SAFETY: the host gave a function of this type; the text lives until it returns.
        unsafe { function(level as i32, message.as_ptr(), user_data.0) }
    }))
}
