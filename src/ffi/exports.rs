//! The exports, in header order.
#![allow(non_camel_case_types, reason = "the names are those of the C header")]

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use super::callbacks::{HostCallback, logger, report};
use super::guard::{
    Answer, TARGET_OK, UserData, client, free_boxed, free_string, guard, guard_value, optional_text, request, text,
    write_out,
};
use crate::client::TargetClient;
use crate::config::ClientConfig;
use crate::error::TargetError;
use crate::log::LogLevel;
use crate::options::Operation;
use crate::pending::{After, AsyncCall};
use crate::process;

/// The outcome of a function: TARGET_OK or one of the TARGET_ERR_ constants. Values are never renumbered; new
/// ones may come.
pub type target_status = i32;

/// How grave a log line is: one of the TARGET_LOG_ constants.
pub type target_log_level = i32;

/// Takes a result, an error or an event. `json` is NUL-terminated UTF-8 and lives for the callback alone.
/// Runs on a thread of the library, may call the library, must not throw or longjmp.
pub type target_callback = Option<unsafe extern "C" fn(json: *const c_char, user_data: *mut c_void)>;

/// Takes a log line. `message` is NUL-terminated UTF-8 and lives for the callback alone. Runs on whichever
/// thread logs, must not throw or longjmp. Lines that arise inside it are left out.
pub type target_log_callback =
    Option<unsafe extern "C" fn(level: target_log_level, message: *const c_char, user_data: *mut c_void)>;

/// A client of Target for one client code and organization. Made by target_client_create, freed by
/// target_client_free.
pub struct target_client {
    client: TargetClient,
}

impl target_client {
    #[cfg(test)]
    pub(super) fn boxed(client: TargetClient) -> *mut Self {
        Box::into_raw(Box::new(target_client { client }))
    }
}

/// An asynchronous call. Made by the _async functions, freed by target_request_free. It may outlive its client.
pub struct target_request {
    call: Arc<AsyncCall>,
}

/// A wait in milliseconds; UINT64_MAX has no limit.
fn wait(timeout_ms: u64) -> Option<Duration> {
    (timeout_ms != u64::MAX).then(|| Duration::from_millis(timeout_ms))
}

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => c"",
};

/// The number in the soname: raised only when a symbol, a prototype or a documented meaning goes.
const ABI_VERSION: u32 = 1;

/// The library's version, such as "0.1.0". The text is static: do not free it.
#[unsafe(no_mangle)]
pub extern "C" fn target_version() -> *const c_char {
    VERSION.as_ptr()
}

/// The ABI's version. A program compiled against a header works with every library of the same number.
#[unsafe(no_mangle)]
pub extern "C" fn target_abi_version() -> u32 {
    ABI_VERSION
}

/// Makes a client. Does no network work when decisions are made server-side.
///
/// `config`: JSON object with the client's configuration; borrowed for the call. Required keys: "client" and
/// "organization_id".
/// `client`: receives the client, NULL on failure; must not be NULL. The caller frees it with
/// target_client_free.
/// `result`: receives `{"ready":bool}` or the error object; may be NULL.
///
/// TARGET_ERR_INVALID_OPTIONS names the key in the error's "field".
#[unsafe(no_mangle)]
pub extern "C" fn target_client_create(
    config: *const c_char,
    client: *mut *mut target_client,
    result: *mut *mut c_char,
) -> target_status {
    write_out(client, std::ptr::null_mut());
    guard(result, || {
        let config = text("config", config)?;
        if client.is_null() {
            return Err(TargetError::invalid_argument("client", "must not be NULL"));
        }
        let made = TargetClient::new(ClientConfig::from_json(config)?)?;
        write_out(client, Box::into_raw(Box::new(target_client { client: made })));
        Ok(Some(READY.to_owned()))
    })
}

const READY: &str = "{\"ready\":true}";

/// Ends a client: new calls answer TARGET_ERR_CLOSED, calls in flight may end within the time and are ended
/// with TARGET_ERR_CLOSED after it. The client still has to be freed. A second or parallel close waits likewise.
///
/// `client`: must not be NULL.
/// `timeout_ms`: 0 ends all calls at once, TARGET_WAIT_FOREVER waits as long as they take.
/// `result`: receives `{"acknowledged":n,"rejected":n,"dropped":n,"pending":n}`, what became of the background
/// queue; may be NULL. This version has no such queue, so all are 0.
///
/// Inside a callback of the library: TARGET_ERR_WOULD_DEADLOCK. After close, target_client_stats,
/// target_request_wait, target_next_completion and target_next_event still work.
#[unsafe(no_mangle)]
pub extern "C" fn target_client_close(
    client: *mut target_client,
    timeout_ms: u64,
    result: *mut *mut c_char,
) -> target_status {
    guard(result, || {
        let counts = self::client(client)?.client.close(wait(timeout_ms))?;
        Ok(Some(counts.to_json()))
    })
}

/// Closes the client with its "close_timeout" if it is still open, waits for host callbacks that run, joins the
/// client's threads and frees it. Request handles and strings of the client stay valid.
///
/// `client`: NULL is fine. No other call may be running on it, nor come later.
///
/// Inside a callback of the library it logs an error and does nothing.
#[unsafe(no_mangle)]
pub extern "C" fn target_client_free(client: *mut target_client) {
    guard_value((), || {
        if !client.is_null() && process::on_library_thread() {
            crate::log::error(format_args!("target_client_free was called inside a callback and did nothing"));
        } else {
            free_boxed(client);
        }
    });
}

/// Waits until the client can decide. A server-side client is ready at once.
///
/// `client`: must not be NULL.
/// `timeout_ms`: 0 only looks, TARGET_WAIT_FOREVER has no limit.
/// `result`: receives `{"ready":true}` or the error object; may be NULL.
///
/// TARGET_ERR_PENDING when the wait ended first, TARGET_ERR_WOULD_DEADLOCK inside a callback of the library.
#[unsafe(no_mangle)]
pub extern "C" fn target_client_wait_ready(
    client: *mut target_client,
    timeout_ms: u64,
    result: *mut *mut c_char,
) -> target_status {
    guard(result, || {
        self::client(client)?.client.wait_ready(wait(timeout_ms))?;
        Ok(Some(READY.to_owned()))
    })
}

/// Downloads the rule artifact of on-device decisioning now. This version has no on-device decisioning:
/// TARGET_ERR_UNSUPPORTED.
///
/// `client`: must not be NULL.
/// `result`: receives the error object; may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn target_client_refresh(client: *mut target_client, result: *mut *mut c_char) -> target_status {
    guard(result, || {
        self::client(client)?;
        Err(TargetError::unsupported(None, "on-device decisioning is not in this version: there is no artifact"))
    })
}

/// Counters since create: calls, requests, retries, errors by phase, connections, notifications. Works after
/// close.
///
/// `client`: must not be NULL.
/// `result`: receives the object; may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn target_client_stats(client: *mut target_client, result: *mut *mut c_char) -> target_status {
    guard(result, || Ok(Some(self::client(client)?.client.stats().to_json())))
}

/// Asks for offers: "execute" for what is shown now, "prefetch" for what is shown later and reported then by
/// target_send_notifications. Blocks until the edge has answered or the call's "timeout" (ms) is over.
///
/// `client`: must not be NULL.
/// `options`: JSON object with "request" (a Delivery API request) and what else there is to know of the
/// visitor; borrowed for the call.
/// `result`: receives the envelope with "response", the cookies to set and so on, or the error object; may be
/// NULL.
#[unsafe(no_mangle)]
pub extern "C" fn target_get_offers(
    client: *mut target_client,
    options: *const c_char,
    result: *mut *mut c_char,
) -> target_status {
    guard(result, || self::client(client)?.client.get_offers_json(text("options", options)?).map(Some))
}

/// Asks for JSON offers as attributes. The mboxes that the request names neither in execute nor in prefetch
/// are executed. Blocks like target_get_offers.
///
/// `client`: must not be NULL.
/// `mbox_names`: JSON array of strings; borrowed for the call.
/// `options`: as of target_get_offers, with "request" optional; borrowed for the call. NULL is allowed.
/// `result`: receives the envelope with "attributes" `{"<mbox>":{"<key>":value}}`, or the error object; may be
/// NULL.
#[unsafe(no_mangle)]
pub extern "C" fn target_get_attributes(
    client: *mut target_client,
    mbox_names: *const c_char,
    options: *const c_char,
    result: *mut *mut c_char,
) -> target_status {
    guard(result, || {
        let client = &self::client(client)?.client;
        let mbox_names = text("mbox_names", mbox_names)?;
        let options = optional_text("options", options)?.unwrap_or("{}");
        client.get_attributes_json(mbox_names, options).map(Some)
    })
}

/// Reports what visitors were shown ("display") and what they clicked ("click"). Blocks until the edge has
/// answered. More than 50 notifications go out in parts, in order.
///
/// `client`: must not be NULL.
/// `options`: JSON object with "request", whose "notifications" is a non-empty array; borrowed for the call.
/// `result`: receives the envelope; its "meta" lists the acknowledged and unacknowledged ids. Or the error
/// object; where anything may have been sent, its "result" says what became of each id. May be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn target_send_notifications(
    client: *mut target_client,
    options: *const c_char,
    result: *mut *mut c_char,
) -> target_status {
    guard(result, || self::client(client)?.client.send_notifications_json(text("options", options)?).map(Some))
}

/// What the three asynchronous exports have in common.
struct AsyncArguments {
    client: *mut target_client,
    callback: target_callback,
    err_callback: target_callback,
    user_data: *mut c_void,
    request: *mut *mut target_request,
}

impl AsyncArguments {
    fn start(&self, operation: Operation, mbox_names: Option<&str>, options: &str) -> Answer {
        let client = &client(self.client)?.client;
        let user_data = UserData(self.user_data);
        let callback = HostCallback::new(self.callback, user_data);
        let err_callback = HostCallback::new(self.err_callback, user_data);
        let after = if callback.is_none() && err_callback.is_none() {
            After::Completion
        } else {
            After::Call(Box::new(move |outcome| report(outcome, callback, err_callback)))
        };
        // The host has the handle before a callback can run, and loses it again if the call is not taken.
        let handle = Cell::new(std::ptr::null_mut());
        let begun = |call: &Arc<AsyncCall>| {
            if !self.request.is_null() {
                handle.set(Box::into_raw(Box::new(target_request { call: Arc::clone(call) })));
                write_out(self.request, handle.get());
            }
        };
        if let Err(error) = client.start_json(operation, mbox_names, options, after, &begun) {
            write_out(self.request, std::ptr::null_mut());
            free_boxed(handle.get());
            return Err(error);
        }
        Ok(None)
    }
}

/// target_get_offers on a thread of the library.
///
/// `client`: must not be NULL.
/// `options`: as of target_get_offers; borrowed for this call alone.
/// `callback`, `err_callback`: exactly one of them runs, once, with the envelope or the error object. A NULL one
/// is skipped; with both NULL the finished call waits for target_next_completion.
/// `user_data`: handed to the callbacks; must live until then.
/// `request`: receives a handle to wait for the call and to cancel it; may be NULL. The caller frees it with
/// target_request_free.
/// `result`: receives the error object when this returns anything but TARGET_OK; may be NULL.
///
/// Arguments, options, a closed client and too many waiting calls (TARGET_ERR_QUEUE_FULL) are judged before
/// this returns; then no callback runs and `request` receives NULL.
#[unsafe(no_mangle)]
pub extern "C" fn target_get_offers_async(
    client: *mut target_client,
    options: *const c_char,
    callback: target_callback,
    err_callback: target_callback,
    user_data: *mut c_void,
    request: *mut *mut target_request,
    result: *mut *mut c_char,
) -> target_status {
    write_out(request, std::ptr::null_mut());
    let arguments = AsyncArguments { client, callback, err_callback, user_data, request };
    guard(result, || arguments.start(Operation::GetOffers, None, text("options", options)?))
}

/// target_get_attributes on a thread of the library. `mbox_names` and `options` as there, the rest as of
/// target_get_offers_async.
#[unsafe(no_mangle)]
pub extern "C" fn target_get_attributes_async(
    client: *mut target_client,
    mbox_names: *const c_char,
    options: *const c_char,
    callback: target_callback,
    err_callback: target_callback,
    user_data: *mut c_void,
    request: *mut *mut target_request,
    result: *mut *mut c_char,
) -> target_status {
    write_out(request, std::ptr::null_mut());
    let arguments = AsyncArguments { client, callback, err_callback, user_data, request };
    guard(result, || {
        let mbox_names = text("mbox_names", mbox_names)?;
        let options = optional_text("options", options)?.unwrap_or("{}");
        arguments.start(Operation::GetAttributes, Some(mbox_names), options)
    })
}

/// target_send_notifications on a thread of the library. `options` as there, the rest as of
/// target_get_offers_async.
#[unsafe(no_mangle)]
pub extern "C" fn target_send_notifications_async(
    client: *mut target_client,
    options: *const c_char,
    callback: target_callback,
    err_callback: target_callback,
    user_data: *mut c_void,
    request: *mut *mut target_request,
    result: *mut *mut c_char,
) -> target_status {
    write_out(request, std::ptr::null_mut());
    let arguments = AsyncArguments { client, callback, err_callback, user_data, request };
    guard(result, || arguments.start(Operation::SendNotifications, None, text("options", options)?))
}

/// Waits for an asynchronous call. Once it has finished, every wait answers at once with the call's own status
/// and a fresh copy of its result, whether or not callbacks ran, also after the client is closed or freed.
///
/// `request`: must not be NULL.
/// `timeout_ms`: 0 only looks, TARGET_WAIT_FOREVER has no limit.
/// `result`: receives the envelope or the error object; may be NULL.
///
/// TARGET_ERR_PENDING while the call goes on: nothing is lost. Inside a callback of the library, for a call
/// that has not finished: TARGET_ERR_WOULD_DEADLOCK.
#[unsafe(no_mangle)]
pub extern "C" fn target_request_wait(
    request: *mut target_request,
    timeout_ms: u64,
    result: *mut *mut c_char,
) -> target_status {
    guard(result, || match self::request(request)?.call.wait(wait(timeout_ms))?.as_ref() {
        Ok(envelope) => Ok(Some(envelope.to_json())),
        Err(error) => Err(error.clone()),
    })
}

/// Ends an asynchronous call with TARGET_ERR_CANCELLED unless it has finished. No byte is sent after it. The
/// error callback runs as for any other error.
///
/// `request`: must not be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn target_request_cancel(request: *mut target_request) -> target_status {
    guard(std::ptr::null_mut(), || {
        self::request(request)?.call.cancel();
        Ok(None)
    })
}

/// The number of a call, unique in its client; 0 for NULL.
///
/// `request`: NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn target_request_id(request: *const target_request) -> u64 {
    guard_value(0, || self::request(request).map_or(0, |request| request.call.id()))
}

/// Frees a handle. Neither cancels the call nor waits for it.
///
/// `request`: NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn target_request_free(request: *mut target_request) {
    guard_value((), || free_boxed(request));
}

/// Takes one finished asynchronous call that was started without callbacks: answers with its own status and
/// result. For hosts where one poller serves many waiters. A call whose result was taken by target_request_wait
/// does not come here; 10,000 finished calls are kept, the oldest goes.
///
/// `client`: must not be NULL.
/// `timeout_ms`: 0 only looks, TARGET_WAIT_FOREVER has no limit.
/// `request_id`: receives the call's number, 0 when none was taken; may be NULL.
/// `result`: receives the envelope or the error object; may be NULL.
///
/// With `request_id` 0: TARGET_ERR_PENDING when none finished in time, TARGET_ERR_CLOSED when no more will come.
#[unsafe(no_mangle)]
pub extern "C" fn target_next_completion(
    client: *mut target_client,
    timeout_ms: u64,
    request_id: *mut u64,
    result: *mut *mut c_char,
) -> target_status {
    write_out(request_id, 0);
    guard(result, || {
        let (id, outcome) = self::client(client)?.client.next_completion(wait(timeout_ms))?;
        write_out(request_id, id);
        outcome.map(Some)
    })
}

/// Hands notifications to the background queue. This version has no such queue: TARGET_ERR_UNSUPPORTED, nothing
/// is taken. Use target_send_notifications or its asynchronous form.
///
/// `client`: must not be NULL.
/// `options`: as of target_send_notifications; borrowed for the call.
/// `result`: receives the error object; may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn target_enqueue_notifications(
    client: *mut target_client,
    options: *const c_char,
    result: *mut *mut c_char,
) -> target_status {
    guard(result, || {
        self::client(client)?;
        text("options", options)?;
        Err(no_queue())
    })
}

/// Delivers what is pending in the background queue. This version has no such queue: TARGET_ERR_UNSUPPORTED.
///
/// `client`: must not be NULL.
/// `timeout_ms`: how long to wait.
/// `result`: receives the error object; may be NULL.
#[unsafe(no_mangle)]
pub extern "C" fn target_flush(client: *mut target_client, timeout_ms: u64, result: *mut *mut c_char) -> target_status {
    let _ = timeout_ms;
    guard(result, || {
        self::client(client)?;
        Err(no_queue())
    })
}

fn no_queue() -> TargetError {
    TargetError::unsupported(None, "the background queue is not in this version; use target_send_notifications")
}

/// Takes one event: a JSON object with "type", "timestamp" (ms since 1970) and what belongs to the type.
/// Ignore types and members that you do not know. The oldest of more than "event_buffer" events goes, and the
/// next one has "lost" with their number.
///
/// `client`: must not be NULL.
/// `timeout_ms`: 0 only looks, TARGET_WAIT_FOREVER has no limit.
/// `result`: receives the event or the error object; may be NULL.
///
/// TARGET_ERR_PENDING when none came in time or while a callback takes them; after close what is left, then
/// TARGET_ERR_CLOSED.
#[unsafe(no_mangle)]
pub extern "C" fn target_next_event(
    client: *mut target_client,
    timeout_ms: u64,
    result: *mut *mut c_char,
) -> target_status {
    guard(result, || self::client(client)?.client.next_event(wait(timeout_ms)).map(Some))
}

/// Has events handed to a callback instead, on a thread of the library, those buffered since create first.
///
/// `client`: must not be NULL.
/// `callback`: NULL removes the old one.
/// `user_data`: handed to the callback.
///
/// When this returns, the old callback no longer runs and its user data may go. Called from inside a callback
/// it returns at once: the old one runs no more after that event.
#[unsafe(no_mangle)]
pub extern "C" fn target_client_on_event(
    client: *mut target_client,
    callback: target_callback,
    user_data: *mut c_void,
) -> target_status {
    guard(std::ptr::null_mut(), || {
        let client = &self::client(client)?.client;
        match HostCallback::new(callback, UserData(user_data)) {
            None => client.on_event(None)?,
            Some(callback) => client.on_event(Some(Arc::new(move |event: &str| callback.call(event))))?,
        }
        Ok(None)
    })
}

/// Sets the logger of the whole process.
///
/// `callback`: NULL removes the old one.
/// `max_level`: lines above it are left out, TARGET_LOG_ERROR to TARGET_LOG_TRACE.
/// `user_data`: handed to the callback.
///
/// When this returns, the old logger no longer runs and its user data may go. Lines hold no cookie, token,
/// credentials or body.
#[unsafe(no_mangle)]
pub extern "C" fn target_set_logger(
    callback: target_log_callback,
    max_level: target_log_level,
    user_data: *mut c_void,
) -> target_status {
    guard(std::ptr::null_mut(), || {
        let Some(logger) = logger(callback, UserData(user_data)) else {
            crate::log::set_logger(None);
            return Ok(None);
        };
        let level = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace]
            .into_iter()
            .find(|level| *level as target_log_level == max_level)
            .ok_or_else(|| TargetError::invalid_argument("max_level", "must be one of the TARGET_LOG_ constants"))?;
        crate::log::set_logger(Some((level, logger)));
        Ok(None)
    })
}

/// Frees a string of this library. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn target_string_free(text: *mut c_char) {
    guard_value((), || free_string(text));
}

/// The name of a status, such as "TARGET_ERR_TIMEOUT"; "TARGET_ERR_UNKNOWN" for a number that this version does
/// not know. The text is static: do not free it.
#[unsafe(no_mangle)]
pub extern "C" fn target_status_name(status: target_status) -> *const c_char {
    let name = match status {
        TARGET_OK => c"TARGET_OK",
        1 => c"TARGET_ERR_INVALID_ARGUMENT",
        2 => c"TARGET_ERR_INVALID_JSON",
        3 => c"TARGET_ERR_INVALID_OPTIONS",
        4 => c"TARGET_ERR_NOT_READY",
        5 => c"TARGET_ERR_TIMEOUT",
        6 => c"TARGET_ERR_NETWORK",
        7 => c"TARGET_ERR_HTTP",
        8 => c"TARGET_ERR_INVALID_RESPONSE",
        9 => c"TARGET_ERR_QUEUE_FULL",
        10 => c"TARGET_ERR_STORAGE",
        11 => c"TARGET_ERR_CLOSED",
        12 => c"TARGET_ERR_INTERNAL",
        13 => c"TARGET_ERR_PENDING",
        14 => c"TARGET_ERR_CANCELLED",
        15 => c"TARGET_ERR_WOULD_DEADLOCK",
        16 => c"TARGET_ERR_UNSUPPORTED",
        _ => c"TARGET_ERR_UNKNOWN",
    };
    name.as_ptr()
}
