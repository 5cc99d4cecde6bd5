//! What C callers cannot do from C: inject a panic, and hold the tables against the Rust enum.
#![allow(clippy::indexing_slicing, reason = "a test that panics has failed, as it should")]

use std::ffi::{CStr, CString, c_char};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::exports::*;
use crate::client::TargetClient;
use crate::config::ClientConfig;
use crate::error::ErrorCode;
use crate::transport::control::CallControl;
use crate::transport::{Failure, GetAnswer, GetRequest, HttpRequest, HttpResponse, Transport};

/// Panics once, then answers.
struct Panicking(AtomicBool);

impl Transport for Panicking {
    fn post(&self, _: &HttpRequest<'_>, _: &Arc<CallControl>) -> Result<HttpResponse, Failure> {
        assert!(self.0.swap(true, Ordering::SeqCst), "injected");
        Ok(HttpResponse { status: 204, ..Default::default() })
    }

    fn get(&self, _: &GetRequest<'_>, _: &Arc<CallControl>) -> Result<GetAnswer, Failure> {
        Ok(GetAnswer { status: 404, ..Default::default() })
    }
}

fn panicking_client() -> *mut target_client {
    let transport = Arc::new(Panicking(AtomicBool::new(false)));
    let client = TargetClient::with_transport(ClientConfig::new("acme", "1@AdobeOrg"), transport, Arc::default());
    target_client::boxed(client.unwrap())
}

fn take(text: *mut c_char) -> serde_json::Value {
    assert!(!text.is_null());
    // SAFETY: a string of the library, freed below.
    let json = serde_json::from_str(unsafe { CStr::from_ptr(text) }.to_str().unwrap_or_default());
    target_string_free(text);
    json.unwrap_or_default()
}

const OPTIONS: &CStr = c"{\"request\":{\"execute\":{\"pageLoad\":{}}}}";

#[test]
fn a_panic_is_an_internal_error_and_the_client_stays_usable() {
    let client = panicking_client();
    let mut result = std::ptr::null_mut();
    assert_eq!(target_get_offers(client, OPTIONS.as_ptr(), &mut result), ErrorCode::Internal as i32);
    assert_eq!(take(result)["code"], "TARGET_ERR_INTERNAL");
    assert_eq!(target_get_offers(client, OPTIONS.as_ptr(), &mut result), 0);
    assert!(take(result)["response"].is_object());
    // The call that panicked is not in flight any more, or close would wait for it.
    assert_eq!(target_client_close(client, u64::MAX, &mut result), 0);
    take(result);
    target_client_free(client);
}

#[test]
fn a_panic_in_an_asynchronous_call_reaches_its_handle() {
    let client = panicking_client();
    let (mut request, mut result) = (std::ptr::null_mut(), std::ptr::null_mut());
    let null = std::ptr::null_mut();
    let options = CString::from(OPTIONS);
    assert_eq!(target_get_offers_async(client, options.as_ptr(), None, None, null, &mut request, &mut result), 0);
    assert!(result.is_null());
    assert_eq!(target_request_wait(request, u64::MAX, &mut result), ErrorCode::Internal as i32);
    assert_eq!(take(result)["code"], "TARGET_ERR_INTERNAL");
    target_request_free(request);
    target_client_free(client);
}

#[test]
fn status_names_are_those_of_the_error_codes() {
    for code in [
        ErrorCode::InvalidArgument,
        ErrorCode::InvalidJson,
        ErrorCode::InvalidOptions,
        ErrorCode::NotReady,
        ErrorCode::Timeout,
        ErrorCode::Network,
        ErrorCode::Http,
        ErrorCode::InvalidResponse,
        ErrorCode::QueueFull,
        ErrorCode::Storage,
        ErrorCode::Closed,
        ErrorCode::Internal,
        ErrorCode::Pending,
        ErrorCode::Cancelled,
        ErrorCode::WouldDeadlock,
        ErrorCode::Unsupported,
    ] {
        // SAFETY: a static text.
        let name = unsafe { CStr::from_ptr(target_status_name(code as i32)) };
        assert_eq!(name.to_str(), Ok(code.as_str()));
    }
}
