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

/// The outcome of a function: TARGET_OK or one of the TARGET_ERR_ constants.
pub type target_status = i32;

/// How grave a log line is: one of the TARGET_LOG_ constants.
pub type target_log_level = i32;

/// Takes a result, an error object or an event.
///
/// Runs on a thread of the library, never on the caller's. It may call the library; it must not throw or longjmp.
///
/// @param json       NUL-terminated UTF-8. Borrowed for the callback: copy what is needed later, do not free it.
/// @param user_data  The pointer that was given with the callback.
pub type target_callback = Option<unsafe extern "C" fn(json: *const c_char, user_data: *mut c_void)>;

/// Takes a log line.
///
/// Runs on whichever thread logs, a caller's own inside one of its calls included, and on several at the same
/// time. It may call the library; lines that arise inside it are left out. It must not throw or longjmp.
///
/// @param level      One of the TARGET_LOG_ constants. Take a value that you do not know for TARGET_LOG_TRACE.
/// @param message    NUL-terminated UTF-8, one line without a line break at its end. Borrowed for the callback.
/// @param user_data  The pointer that was given with the callback.
pub type target_log_callback =
    Option<unsafe extern "C" fn(level: target_log_level, message: *const c_char, user_data: *mut c_void)>;

/// A client of Target for one client code and organization. Made by target_client_create, freed by
/// target_client_free. One client serves a whole process: it pools connections, and any number of threads may use
/// it at the same time. Forked children may use it too, see "Fork" at the top.
pub struct target_client {
    client: TargetClient,
}

impl target_client {
    #[cfg(test)]
    pub(super) fn boxed(client: TargetClient) -> *mut Self {
        Box::into_raw(Box::new(target_client { client }))
    }
}

/// An asynchronous call. Made by the _async functions, freed by target_request_free. It may be used after its
/// client was closed and after its client was freed. Any number of threads may use it at the same time, in the process
/// that started the call.
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

/// The version of the library that is linked or loaded, such as "0.1.0"; TARGET_VERSION is that of this header.
///
/// @return A static text: do not free it.
#[unsafe(no_mangle)]
pub extern "C" fn target_version() -> *const c_char {
    VERSION.as_ptr()
}

/// The ABI version of the library that is linked or loaded. It fits this header if it equals TARGET_ABI_VERSION.
/// It is raised only when a symbol, a prototype or a documented meaning goes; it is the number in the soname.
#[unsafe(no_mangle)]
pub extern "C" fn target_abi_version() -> u32 {
    ABI_VERSION
}

/// Makes a client. Reads the proxy variables of the environment and the files that "tls" names. A server-side
/// client does no network work yet. One that decides on this machine asks for its rule artifact and its location
/// hint, and waits "maximum_wait_ready" at the most for them. Not getting them is no error: asking goes on.
///
/// @param config  JSON object, see "Configuration" at the top. Borrowed for the call.
/// @param client  Receives the client, NULL on failure. Must not be NULL. The caller frees it with
///                target_client_free.
/// @param result  Receives {"ready":true}, or {"ready":false} while there is no artifact, or the error object. The
///                caller frees it with target_string_free. NULL is allowed.
///
/// @return TARGET_OK.
///         TARGET_ERR_INVALID_ARGUMENT, TARGET_ERR_INVALID_JSON: "config" is NULL, not UTF-8 or not JSON.
///         TARGET_ERR_INVALID_OPTIONS: a key is missing, unknown, given twice, of the wrong type or out of limits,
///         or "artifact_payload" cannot be used; "field" names it.
///         TARGET_ERR_STORAGE: "spool_dir" cannot be opened.
///         TARGET_ERR_INTERNAL: the system gave no thread.
///         TARGET_ERR_UNSUPPORTED: the key asks for what this version does not have; "field" names it.
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
        let ready = if made.is_ready() { READY } else { NOT_READY };
        write_out(client, Box::into_raw(Box::new(target_client { client: made })));
        Ok(Some(ready.to_owned()))
    })
}

const READY: &str = "{\"ready\":true}";
const NOT_READY: &str = "{\"ready\":false}";

/// Ends a client. From now on new calls answer TARGET_ERR_CLOSED. Calls in flight may end within the time; after
/// it they are ended with TARGET_ERR_CLOSED, their callbacks run as for any other error. What waits in the background
/// is sent within the time; the rest stays in the spool, or is dropped where there is none. A second or parallel close
/// waits likewise and answers the same.
///
/// After it target_client_stats, target_request_wait, target_next_completion and target_next_event still work.
/// The client still has to be freed.
///
/// @param client      The client. Must not be NULL.
/// @param timeout_ms  0 ends all calls at once, TARGET_WAIT_FOREVER waits as long as they take.
/// @param result      Receives {"acknowledged":n,"rejected":n,"dropped":n,"pending":n}: what became of the
///                    notifications that waited in the background. Or the error object. The caller frees it with
///                    target_string_free. NULL is allowed.
///
/// @return TARGET_OK.
///         TARGET_ERR_PENDING: closed, and notifications are left in the spool for the next client; the counts are in
///         "result" of the error object.
///         TARGET_ERR_WOULD_DEADLOCK: called inside a callback of the library; nothing was closed.
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

/// Frees a client. Closes it with its "close_timeout" if it is still open, waits until callbacks that run have
/// returned, and joins its threads: after it, no callback of this client runs.
///
/// Strings and request handles that came from the client stay valid. Called inside a callback of the library it
/// logs an error and does nothing.
///
/// @param client  The client. NULL is allowed. No other call may be running on it, and none may come later.
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

/// Waits until the client can decide: until it has its first artifact, and then, within the time, for its location
/// hint. A server-side client is ready at once.
///
/// @param client      The client. Must not be NULL.
/// @param timeout_ms  0 only looks, TARGET_WAIT_FOREVER has no limit.
/// @param result      Receives {"ready":true}, or the error object. The caller frees it with target_string_free.
///                    NULL is allowed.
///
/// @return TARGET_OK.
///         TARGET_ERR_PENDING: the wait ended first; the message has the reason of the last failed download.
///         TARGET_ERR_CLOSED: the client is closed, or was closed meanwhile.
///         TARGET_ERR_WOULD_DEADLOCK: called inside a callback of the library, to wait: looking is allowed there.
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

/// Downloads the rule artifact of on-device decisioning now, without waiting for the polling interval. Blocks until
/// that is over, two minutes at the most, and behind a download that runs already. Whatever comes, the last good
/// artifact stays in force until a better one is.
///
/// @param client  The client. Must not be NULL.
/// @param result  Receives {"version":"1.0.0","etag":"...","changed":true}: the artifact in force, whose "etag" may be
///                null, and whether it has just been downloaded or is current still. Or the error object. The caller
///                frees it with target_string_free. NULL is allowed.
///
/// @return TARGET_OK.
///         TARGET_ERR_TIMEOUT, TARGET_ERR_NETWORK, TARGET_ERR_HTTP, TARGET_ERR_INVALID_RESPONSE: nothing usable came,
///         and the message says why.
///         TARGET_ERR_UNSUPPORTED: the client's "decisioning_method" is server-side: it has no artifact.
///         TARGET_ERR_CLOSED: the client is closed, or was closed meanwhile.
///         TARGET_ERR_WOULD_DEADLOCK: called inside a callback of the library.
#[unsafe(no_mangle)]
pub extern "C" fn target_client_refresh(client: *mut target_client, result: *mut *mut c_char) -> target_status {
    guard(result, || self::client(client)?.client.refresh().map(|refreshed| Some(refreshed.to_json())))
}

/// Counters since the client was made, read consistently. Works after close.
///
///   {"calls":{"get_offers":n,"get_attributes":n,"send_notifications":n,
///             "enqueue_notifications":n,"in_flight":n},
///    "requests":n,          HTTP requests to delivery hosts, "retries" included
///    "retries":n,
///    "errors":{"<phase>":n},          see below
///    "connections":{"open":n,"opened":n,"reused":n},
///    "notifications":{              the background queue: enqueued ones, and impressions of decisions on this machine
///        "accepted":n,"recovered":n, taken, and found in the spool of a process that ended before; together the sum of
///        "acknowledged":n,"rejected":n,"dropped":n,"pending":n,
///        "not_queued":n,            impressions that were handed back instead: see "meta" of the envelope
///        "spool_bytes":n,           on disk
///        "spool_damaged":n},        records of the spool that could not be read
///    "notification_calls":{"acknowledged":n,"not_processed":n,"rejected":n,"unknown":n},   of blocking calls
///    "completions_lost":n,          see target_next_completion
///    "decisions":n,                 calls decided on this machine
///    "rule_errors":n,               conditions that could not be evaluated: their rules did not match
///    "geo":{"look_ups":n,"failures":n,"cache_hits":n},
///    "artifact":{"version":"1.0.0","etag":"...","location":"...",
///                "age_ms":n,        since it was downloaded
///                "checked_ms":n,    since the CDN last said that it is current
///                "rules":n,"skipped_rules":n,"downloads":n,"not_modified":n,"failures":n}}
///
/// The keys of "errors" are the values of "phase" in error objects, and only those that have occurred are there:
/// "validate" counts calls that were refused, "decide" calls to be decided on this machine without an artifact, and
/// "resolve", "connect", "tls", "proxy", "send", "receive" and "response" HTTP requests to delivery hosts that failed
/// there, each attempt of a call and of the background queue; "queue" and "storage" enqueues that were not taken.
///
/// A notification of a blocking call is counted in one of "notification_calls": in "acknowledged" when the edge's answer
/// has its id, in "not_processed" when a successful answer leaves it out or it was never sent, in "rejected" when the
/// edge refused the request, and in "unknown" when the request was sent and not answered.
///
/// "artifact" is null for a server-side client. While there is no artifact, its "version", "etag", "age_ms" and
/// "checked_ms" are null.
///
/// @param client  The client. Must not be NULL.
/// @param result  Receives the counters, or the error object. The caller frees it with target_string_free. NULL
///                is allowed.
///
/// @return TARGET_OK.
#[unsafe(no_mangle)]
pub extern "C" fn target_client_stats(client: *mut target_client, result: *mut *mut c_char) -> target_status {
    guard(result, || Ok(Some(self::client(client)?.client.stats().to_json())))
}

/// Asks for offers: "execute" for what is shown now, "prefetch" for what may be shown later and is reported then
/// by target_send_notifications. Blocks until the edge has answered or the call's "timeout" is over. Decided on this
/// machine it does not block, but for the place of an address that has to be looked up; what "execute" shows is
/// reported to the edge in the background.
///
///   {"request":{"prefetch":{"mboxes":[{"name":"home"}]}},"target_cookie":"<value of the mbox cookie>"}
///
/// @param client   The client. Must not be NULL.
/// @param options  JSON object, see "Options of a call" at the top. Borrowed for the call.
/// @param result   Receives the envelope (see "The result of a call" at the top), or the error object. The caller
///                 frees it with target_string_free. NULL is allowed.
///
/// @return TARGET_OK.
///         TARGET_ERR_INVALID_ARGUMENT, TARGET_ERR_INVALID_JSON, TARGET_ERR_INVALID_OPTIONS,
///         TARGET_ERR_UNSUPPORTED: nothing was sent; "field" names the argument or member.
///         TARGET_ERR_TIMEOUT, TARGET_ERR_NETWORK, TARGET_ERR_HTTP, TARGET_ERR_INVALID_RESPONSE: "retryable" says
///         whether the same call may succeed later. What may be repeated was repeated within the timeout.
///         TARGET_ERR_NOT_READY: to be decided on this machine alone, and there is no artifact yet.
///         TARGET_ERR_CLOSED: the client is closed, or was closed meanwhile.
#[unsafe(no_mangle)]
pub extern "C" fn target_get_offers(
    client: *mut target_client,
    options: *const c_char,
    result: *mut *mut c_char,
) -> target_status {
    guard(result, || self::client(client)?.client.get_offers_json(text("options", options)?).map(Some))
}

/// Asks for JSON offers as attributes. Mboxes that the request has neither in "execute" nor in "prefetch" are
/// added to "execute". Blocks like target_get_offers.
///
/// @param client      The client. Must not be NULL.
/// @param mbox_names  JSON array of strings, such as ["hero","cart"]. Borrowed for the call.
/// @param options     As of target_get_offers, but "request" may be missing. Borrowed for the call. NULL is
///                    allowed.
/// @param result      Receives the envelope with one more member, "attributes":{"<mbox>":{"<key>":value}}, where
///                    the JSON offers of each mbox are merged in their order. Or the error object. The caller
///                    frees it with target_string_free. NULL is allowed.
///
/// @return As of target_get_offers.
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

/// Reports what a visitor was shown ("display") and has clicked ("click"). Blocks until the edge has answered.
/// More than 50 notifications go out in parts, in order.
///
///   {"request":{"notifications":[
///     {"id":"1","type":"display","timestamp":1621530726000,
///      "mbox":{"name":"product1","state":"<state of the mbox>"},"tokens":["<eventToken of the option>"]}]}}
///
/// Each notification needs "id" (it comes back when the notification was processed), "type" and "timestamp"
/// (milliseconds since 1970). A display without "impressionId" gets one, the same in every retry, so that it is
/// counted once. A click or an order that may have been counted is not repeated unless "retry_clicks" is true.
///
/// @param client   The client. Must not be NULL.
/// @param options  As of target_get_offers; "notifications" in its "request" is a non-empty array. Borrowed for
///                 the call.
/// @param result   Receives the envelope; its "meta" has "notifications":{"acknowledged":[ids],
///                 "unacknowledged":[ids]}. Or the error object, which has where anything may have been sent
///                 "result":{"notifications":{"acknowledged":[ids],"rejected":[ids],"unknown":[ids],
///                 "not_sent":[ids]}} ("unknown": sent, not answered; "not_sent": never left, or not processed).
///                 The caller frees it with target_string_free. NULL is allowed.
///
/// @return As of target_get_offers.
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

/// The host has the handle before a callback can run, and loses it again if the call is not taken.
struct Handle {
    out: *mut *mut target_request,
    given: Cell<*mut target_request>,
}

impl Handle {
    fn give(&self, call: &Arc<AsyncCall>) {
        if !self.out.is_null() {
            self.given.set(Box::into_raw(Box::new(target_request { call: Arc::clone(call) })));
            write_out(self.out, self.given.get());
        }
    }

    fn keep(self) {
        self.given.set(std::ptr::null_mut());
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let given = self.given.get();
        if !given.is_null() {
            write_out(self.out, std::ptr::null_mut());
            free_boxed(given);
        }
    }
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
        let handle = Handle { out: self.request, given: Cell::new(std::ptr::null_mut()) };
        client.start_json(operation, mbox_names, options, after, &|call| handle.give(call))?;
        handle.keep();
        Ok(None)
    }
}

/// Does target_get_offers on a thread of the library and returns at once.
///
/// If this returns TARGET_OK, exactly one of the two callbacks runs, once, also when the client is closed first; a
/// NULL one is skipped. With both NULL the finished call waits for target_next_completion. If this returns
/// anything else, no callback ever runs: arguments, options, a closed client and too many waiting calls are judged
/// before it returns.
///
/// At most 32 calls of a client are under way at the same time, the next 10,000 wait for a thread; the deadline
/// counts from this call. A callback that blocks holds one of those threads.
///
/// @param client        The client. Must not be NULL.
/// @param options       As of target_get_offers. Borrowed for this call alone.
/// @param callback      Runs once if the call succeeds, with the envelope, on a thread of the library. NULL is
///                      allowed.
/// @param err_callback  Runs once if the call fails, with the error object, on a thread of the library. NULL is
///                      allowed.
/// @param user_data     Handed to the callback. The library never looks at it. It must live until the callback has
///                      returned. NULL is allowed.
/// @param request       Receives a handle to wait for the call and to cancel it, before any callback runs; NULL on
///                      failure. The caller frees it with target_request_free. NULL is allowed.
/// @param result        Receives NULL on success, the error object on failure. The caller frees it with
///                      target_string_free. NULL is allowed.
///
/// @return TARGET_OK: the call was taken.
///         TARGET_ERR_QUEUE_FULL: too many calls wait already; nothing was taken.
///         Otherwise as of target_get_offers for what can be told before anything is sent.
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

/// Does target_get_attributes on a thread of the library and returns at once. See target_get_offers_async.
///
/// @param client        The client. Must not be NULL.
/// @param mbox_names    As of target_get_attributes. Borrowed for this call alone.
/// @param options       As of target_get_attributes. Borrowed for this call alone. NULL is allowed.
/// @param callback      Runs once if the call succeeds, with the envelope, on a thread of the library. NULL is
///                      allowed.
/// @param err_callback  Runs once if the call fails, with the error object, on a thread of the library. NULL is
///                      allowed.
/// @param user_data     Handed to the callback. The library never looks at it. It must live until the callback has
///                      returned. NULL is allowed.
/// @param request       Receives a handle to wait for the call and to cancel it, before any callback runs; NULL on
///                      failure. The caller frees it with target_request_free. NULL is allowed.
/// @param result        Receives NULL on success, the error object on failure. The caller frees it with
///                      target_string_free. NULL is allowed.
///
/// @return As of target_get_offers_async.
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

/// Does target_send_notifications on a thread of the library and returns at once. See target_get_offers_async.
///
/// @param client        The client. Must not be NULL.
/// @param options       As of target_send_notifications. Borrowed for this call alone.
/// @param callback      Runs once if the call succeeds, with the envelope, on a thread of the library. NULL is
///                      allowed.
/// @param err_callback  Runs once if the call fails, with the error object, on a thread of the library. NULL is
///                      allowed.
/// @param user_data     Handed to the callback. The library never looks at it. It must live until the callback has
///                      returned. NULL is allowed.
/// @param request       Receives a handle to wait for the call and to cancel it, before any callback runs; NULL on
///                      failure. The caller frees it with target_request_free. NULL is allowed.
/// @param result        Receives NULL on success, the error object on failure. The caller frees it with
///                      target_string_free. NULL is allowed.
///
/// @return As of target_get_offers_async.
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

/// Waits until an asynchronous call has finished. From then on every wait answers at once, with the call's own
/// status and a fresh copy of its result: whether or not callbacks ran, before and after close and free of the
/// client.
///
/// @param request     The handle. Must not be NULL.
/// @param timeout_ms  0 only looks, TARGET_WAIT_FOREVER has no limit.
/// @param result      Receives the envelope, or the error object. The caller frees it with target_string_free.
///                    NULL is allowed.
///
/// @return The call's own status.
///         TARGET_ERR_PENDING: the call goes on; nothing is lost.
///         TARGET_ERR_CLOSED: also for a call that a parent process has started.
///         TARGET_ERR_WOULD_DEADLOCK: called inside a callback of the library to wait, and the call has not finished.
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

/// Ends an asynchronous call with TARGET_ERR_CANCELLED unless it has finished. Returns at once; no byte is sent
/// after it. The error callback runs as for any other error.
///
/// @param request  The handle. Must not be NULL.
///
/// @return TARGET_OK, also when the call had finished.
///         TARGET_ERR_CLOSED: a parent process has started the call, and nothing is done about it here.
#[unsafe(no_mangle)]
pub extern "C" fn target_request_cancel(request: *mut target_request) -> target_status {
    guard(std::ptr::null_mut(), || {
        self::request(request)?.call.cancel()?;
        Ok(None)
    })
}

/// The number of an asynchronous call, unique in its client; target_next_completion gives the same.
///
/// @param request  The handle. NULL is allowed.
///
/// @return The number, from 1 on; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn target_request_id(request: *const target_request) -> u64 {
    guard_value(0, || self::request(request).map_or(0, |request| request.call.id()))
}

/// Frees a handle. Neither cancels the call nor waits for it; its callbacks still run.
///
/// @param request  The handle. NULL is allowed. No other call may be running on it, and none may come later.
#[unsafe(no_mangle)]
pub extern "C" fn target_request_free(request: *mut target_request) {
    guard_value((), || free_boxed(request));
}

/// Takes one finished asynchronous call of those that were started without callbacks. For hosts where one poller
/// serves many waiters. A call whose result target_request_wait has given does not come here. 10,000 finished calls
/// are kept, and 64 MiB of results; then the oldest goes, and "completions_lost" of target_client_stats counts it.
///
/// @param client      The client. Must not be NULL.
/// @param timeout_ms  0 only looks, TARGET_WAIT_FOREVER has no limit.
/// @param request_id  Receives the call's target_request_id, 0 if none was taken. NULL is allowed.
/// @param result      Receives the envelope, or the error object. The caller frees it with target_string_free.
///                    NULL is allowed.
///
/// @return With a number in request_id the status of that call. With 0 in it:
///         TARGET_ERR_PENDING: none finished in time.
///         TARGET_ERR_CLOSED: the client is closed and no more will come.
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

/// Hands notifications to the background queue and returns: all of a call, or none. On any status but TARGET_OK nothing
/// was taken, neither in memory nor on disk, and the call may be repeated.
///
/// They go out together with others of the same session, visitor, property, environment and context, and again until
/// the edge has acknowledged them. Each ends as acknowledged, rejected or dropped: events tell which, and
/// "notifications" of target_client_stats counts them. With "notifications":{"spool_dir":...} in the configuration what
/// was taken survives the process.
///
/// @param client   The client. Must not be NULL.
/// @param options  As of target_send_notifications, without "execute", "prefetch", "impressionId" and "telemetry" in the
///                 request; its "requestId" and the "timeout" are not used. Borrowed for the call.
/// @param result   Receives {"accepted":[ids]}, or the error object. The caller frees it with target_string_free. NULL
///                 is allowed.
///
/// @return TARGET_OK: they are in the queue, and with a spool as safe as "spool_sync" says.
///         TARGET_ERR_QUEUE_FULL: "max_queued", or with a spool "spool_max_bytes", is reached.
///         TARGET_ERR_STORAGE: the spool cannot be written.
///         TARGET_ERR_INVALID_JSON, TARGET_ERR_INVALID_OPTIONS, TARGET_ERR_INVALID_ARGUMENT, TARGET_ERR_CLOSED.
#[unsafe(no_mangle)]
pub extern "C" fn target_enqueue_notifications(
    client: *mut target_client,
    options: *const c_char,
    result: *mut *mut c_char,
) -> target_status {
    guard(result, || {
        let client = self::client(client)?;
        let options = text("options", options)?;
        client.client.enqueue_notifications_json(options).map(Some)
    })
}

/// Delivers what is pending in the background queue when it is called, what is in flight included: nothing lingers, and
/// what waits for another attempt gets one. The counts are of these notifications alone. Without a limit it does not
/// wait for those that the edge refuses for what they share: they stay pending.
///
/// @param client      The client. Must not be NULL.
/// @param timeout_ms  0 only looks, TARGET_WAIT_FOREVER has no limit.
/// @param result      Receives {"acknowledged":n,"rejected":n,"dropped":n,"pending":n}, or the error object, which has
///                    these counts in "result". The caller frees it with target_string_free. NULL is allowed.
///
/// @return TARGET_OK: each has its outcome.
///         TARGET_ERR_PENDING: some have none yet.
///         TARGET_ERR_WOULD_DEADLOCK: called inside a callback of the library, and not with 0.
///         TARGET_ERR_CLOSED.
#[unsafe(no_mangle)]
pub extern "C" fn target_flush(client: *mut target_client, timeout_ms: u64, result: *mut *mut c_char) -> target_status {
    guard(result, || {
        let counts = self::client(client)?.client.flush(wait(timeout_ms))?;
        Ok(Some(counts.to_json()))
    })
}

/// Takes one event: a JSON object with "type", "timestamp" (milliseconds since 1970) and what belongs to the type.
/// In this version:
///
///   client_ready                 the client can decide; comes once
///   artifact_download_succeeded  "location", "version", "etag" (or null): a downloaded artifact is in force
///   artifact_download_failed     "location", "error": the error object. The last good artifact stays in force. With
///                                the name of a file as location: what was kept on disk cannot be used
///   artifact_rule_skipped        "rule_key", "reason": a rule of the artifact that cannot be used; past 100 of one
///                                artifact, an event with an empty key has the number of the others
///   geo_location_updated         "geo": ipAddress, countryCode, stateCode, city, latitude, longitude as far as known;
///                                of this machine after a download, of a visitor after a look-up
///   send_notification_error      "error": the error object, "ids": notifications that were not acknowledged. Those in
///                                the background queue are sent again where that may help
///   notification_acknowledged, notification_rejected, notification_dropped
///                                "ids", "session_id", "attempts", and where there is one "reason" ("rejected",
///                                "expired", "outcome_unknown", "closed"), "http_status", "api_message": what became of
///                                notifications in the background queue, one event for each batch
///
/// Ignore types and members that you do not know. "event_buffer" events are kept; then the oldest goes, and the next
/// one has "lost" with the number of those that went. An event is a notice: losing one loses no notification.
///
/// @param client      The client. Must not be NULL.
/// @param timeout_ms  0 only looks, TARGET_WAIT_FOREVER has no limit.
/// @param result      Receives the event, or the error object. The caller frees it with target_string_free. NULL
///                    is allowed.
///
/// @return TARGET_OK.
///         TARGET_ERR_PENDING: none came in time. While a callback is set, events go to it alone.
///         TARGET_ERR_CLOSED: the client is closed, and what was left has been taken.
#[unsafe(no_mangle)]
pub extern "C" fn target_next_event(
    client: *mut target_client,
    timeout_ms: u64,
    result: *mut *mut c_char,
) -> target_status {
    guard(result, || self::client(client)?.client.next_event(wait(timeout_ms)).map(Some))
}

/// Has events handed to a callback instead of kept for target_next_event: first those kept since the client was
/// made, then each as it comes, one after the other, on a thread that does nothing else.
///
/// When this returns, the old callback no longer runs, and its user data may go. Called inside the old callback it
/// returns at once, and the old one does not run again after that.
///
/// @param client     The client. Must not be NULL.
/// @param callback   Takes the events. NULL removes the old one: events are kept again.
/// @param user_data  Handed to the callback. It must live until the callback is replaced or removed, or the client
///                   freed. NULL is allowed.
///
/// @return TARGET_OK.
///         TARGET_ERR_INVALID_ARGUMENT: the client is NULL.
///         TARGET_ERR_INTERNAL: the system gave no thread; the old callback stays.
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

/// Sets the logger of the whole process; without one nothing is logged anywhere. Lines hold no cookie, token,
/// credentials or body.
///
/// When this returns, the old logger no longer runs, and its user data may go. Called inside the old logger it
/// returns at once, and the old one does not run again after that line.
///
/// @param callback   Takes the lines. NULL removes the old one.
/// @param max_level  TARGET_LOG_ERROR to TARGET_LOG_TRACE: graver lines and those of this level are logged. Looked
///                   at only with a callback.
/// @param user_data  Handed to the callback. It must live until the logger is replaced or removed. NULL is allowed.
///
/// @return TARGET_OK.
///         TARGET_ERR_INVALID_ARGUMENT: max_level is none of the constants; the old logger stays.
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

/// Frees a string that a function of this library has given in a "result". Not for the texts of target_version and
/// target_status_name, and not for what callbacks get.
///
/// @param text  The string. NULL is allowed.
#[unsafe(no_mangle)]
pub extern "C" fn target_string_free(text: *mut c_char) {
    guard_value((), || free_string(text));
}

/// The name of a status, such as "TARGET_ERR_TIMEOUT"; it is the "code" of the error object.
///
/// @param status  Any number.
///
/// @return A static text: do not free it. "TARGET_ERR_UNKNOWN" for a number that this version does not know.
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
