//! What C callers cannot do from C: inject a panic, and hold the tables against the Rust enum.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

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

/// A client that decides on this machine and whose CDN nobody is.
fn on_device(more: &str) -> (*mut target_client, serde_json::Value) {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    let config = format!(
        r#"{{"client":"acme","organization_id":"1@AdobeOrg","decisioning_method":"on-device","proxy":"none",
            "secure":false,"cdn_base_path":"{nobody}","target_location_hint":"35","maximum_wait_ready":0{more}}}"#
    );
    let config = CString::new(config).unwrap();
    let (mut client, mut result) = (std::ptr::null_mut(), std::ptr::null_mut());
    assert_eq!(target_client_create(config.as_ptr(), &mut client, &mut result), 0);
    (client, take(result))
}

#[test]
fn a_client_without_its_artifact_is_made_and_says_so() {
    let (client, made) = on_device("");
    assert_eq!(made, serde_json::json!({"ready": false}));
    let mut result = std::ptr::null_mut();
    assert_eq!(target_client_wait_ready(client, 0, &mut result), ErrorCode::Pending as i32);
    assert_eq!(take(result)["retryable"], true);
    assert_eq!(target_client_refresh(client, &mut result), ErrorCode::Network as i32);
    assert_eq!(take(result)["phase"], "connect");
    assert_eq!(target_client_stats(client, &mut result), 0);
    let artifact = take(result)["artifact"].clone();
    assert!(artifact["version"].is_null() && artifact["failures"].as_u64() >= Some(1), "{artifact}");
    target_client_free(client);
}

#[test]
fn a_client_with_an_artifact_is_ready_when_it_is_made() {
    let payload = r#","artifact_payload":{"version":"1.0.0","meta":{},"globalMbox":"target-global-mbox",
        "geoTargetingEnabled":false,"responseTokens":[],"remoteMboxes":[],"localMboxes":[],"remoteViews":[],
        "localViews":[],"rules":{"mboxes":{},"views":{}}}"#;
    let (client, made) = on_device(payload);
    assert_eq!(made, serde_json::json!({"ready": true}));
    let mut result = std::ptr::null_mut();
    assert_eq!(target_client_wait_ready(client, u64::MAX, &mut result), 0);
    assert_eq!(take(result), made);
    assert_eq!(target_client_stats(client, &mut result), 0);
    let artifact = take(result)["artifact"].clone();
    assert_eq!((&artifact["version"], &artifact["location"]), (&"1.0.0".into(), &"Not Applicable".into()));
    target_client_free(client);
}
