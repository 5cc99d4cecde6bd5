/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Client of the Adobe Target Delivery API: asks for personalized offers and reports what visitors saw and
 * clicked. Independent, not affiliated with Adobe.
 *
 * Generated from the library's exports: do not edit.
 *
 *
 * Example
 *
 *     #include <stdio.h>
 *     #include "adobe_target.h"
 *
 *     int main(void) {
 *         const char *config = "{\"client\":\"acme\",\"organization_id\":\"1234@AdobeOrg\"}";
 *         const char *options = "{\"request\":{\"execute\":{\"mboxes\":[{\"name\":\"home\"}]}}}";
 *         target_client *client;
 *         char *result;
 *         target_status status = target_client_create(config, &client, &result);
 *         if (status == TARGET_OK) {
 *             target_string_free(result);
 *             status = target_get_offers(client, options, &result);
 *         }
 *         printf("%s: %s\n", target_status_name(status), result);
 *         target_string_free(result);
 *         target_client_free(client);
 *         return status;
 *     }
 *
 *
 * Texts
 *
 *     JSON goes in as NUL-terminated UTF-8. It is read during the call only: the caller keeps it and may change
 *     or free it as soon as the function returns.
 *     JSON comes out as NUL-terminated UTF-8 in *result. The caller owns it and frees it with target_string_free,
 *     never with free(). It may span several lines: what the edge or an artifact has is passed on as it is written.
 *     Each "char **result" may be NULL. It is set to NULL first and written last: with TARGET_OK it is the result
 *     (NULL where a function has none), with any other status the error object.
 *     A pointer that the comment of a function does not allow to be NULL is checked: TARGET_ERR_INVALID_ARGUMENT.
 *     So is text that is not UTF-8. Other out-parameters are set to NULL or 0 first, too.
 *
 * Objects
 *
 *     A target_client and a target_request are freed by the function that bears their name, once, by the caller.
 *     Strings and requests stay valid when their client is closed and when it is freed.
 *
 * Threads
 *
 *     Every function may be called from any thread at any time on the same object. Only the call that frees an
 *     object must be the last one on it, with no other still running. Nothing is kept per thread: a result or an
 *     error is only where the call has put it.
 *
 * Times
 *
 *     Durations are milliseconds. A "timeout_ms" of 0 only looks, TARGET_WAIT_FOREVER has no limit. Points in time
 *     are milliseconds since 1970.
 *
 * Names
 *
 *     Names of the library are in snake_case. Names of the Delivery API stay as they are inside "request",
 *     "response", "trace", "visitor_state" and the cookie objects. Statuses, levels, event types and members of
 *     results never change their meaning; new ones may come. Ignore those that you do not know.
 *
 * Errors
 *
 *     {"code":"TARGET_ERR_HTTP","message":"the edge answered 400: invalid token","phase":"response",
 *      "field":null,"http_status":400,"api_message":"invalid token","request_id":"7e1f...","retryable":false,
 *      "retry_after_ms":null,"attempts":1,"elapsed_ms":12}
 *
 *     code             the name of the status
 *     message          for people; names the field and the limit
 *     phase            where it happened: validate, resolve, connect, tls, proxy, send, receive, response, decide,
 *                      queue, storage
 *     field            the argument or member that is wrong, such as "request.notifications[0].timestamp", or null
 *     http_status      of the edge's answer, or null
 *     api_message      what the edge said, or null
 *     request_id       "requestId" of the request that failed, or null
 *     retryable        whether the same call may succeed later
 *     retry_after_ms   the wait that the edge asked for, or null
 *     attempts         HTTP requests made
 *     elapsed_ms       since the call began
 *     result           only where a part of the work was done: see the function
 *
 *     No error, log line or event holds a cookie, a token, credentials of a proxy or a whole body.
 *
 * Configuration (target_client_create)
 *
 *     Each key may also be written in camelCase (organizationId), but in one spelling only. A null is the same as
 *     absent. Keys that are unknown or given twice are errors.
 *
 *     client                 string, required: the Target client code
 *     organization_id        string, required: the IMS organization
 *     decisioning_method     "server-side"; "on-device" decides on this machine, from a rule artifact; "hybrid" does
 *                            so where the artifact has all that a request asks for, and sends the request as a
 *                            whole to the edge where it has not, where there is no artifact yet, or where it has
 *                            notifications
 *     server_domain          "host[:port]" instead of <client>.tt.omtrdc.net
 *     secure                 true; false uses http:// everywhere
 *     edge_affinity          whether a known cluster moves requests to its own host. True, but false with
 *                            server_domain
 *     timeout                3000: total deadline of one call with all its retries; 0 is the default
 *     connect_timeout        1000
 *     target_location_hint   string: cluster of visitors of whom none is known
 *     environment_id         integer, sent in every request
 *     property_token         string: default of "property" in requests
 *     version                string: query parameter "version"
 *     telemetry_enabled      false: whether SDK telemetry goes along with requests
 *     proxy                  "env": the proxy that the environment names (https_proxy, HTTPS_PROXY, http_proxy,
 *                            all_proxy, ALL_PROXY, no_proxy, NO_PROXY; read once, on creation); "none"; or a URL
 *                            with optional credentials
 *     tls                    object: "ca_file" (PEM, instead of the roots), "roots" ("bundled" or "system"),
 *                            "client_certificate_file", "client_key_file" (PEM)
 *     headers                object of strings, added to requests to delivery hosts
 *     max_idle_connections   16
 *     max_idle_age           15000
 *     retry                  object: "max_attempts" 3, "base_delay" 100, "max_delay" 2000
 *     retry_clicks           false: whether clicks and orders are repeated although they may have been counted
 *     event_buffer           1024: events kept for target_next_event
 *     close_timeout          2000: what target_client_free waits for calls in flight and what waits to be sent
 *     fixed_clock_ms         integer: what decisions, cookies and timestamps see as now: for reproducible tests,
 *                            and for a look at what visitors will see on a coming day
 *
 *     For clients that decide on this machine:
 *
 *     environment            "production": part of the artifact's address, in lower case
 *     cdn_environment        "production", "staging" or "development": which CDN host
 *     cdn_base_path          "assets.adobetarget.com": "host[:port][/path]" of artifact and geo look-up, or a URL
 *     artifact_location      string: whole URL of the artifact
 *     artifact_format        "json" or "bin"; by the file name
 *     artifact_payload       object: an artifact to start with. Polling updates it after the first interval
 *     artifact_cache_dir     string: directory that keeps the last good artifact, to start from
 *     polling_interval       300000; 0 stops polling, smaller values are raised and logged
 *     maximum_wait_ready     3000: what target_client_create waits for the first artifact
 *     all_matching_mboxes    array of strings: mboxes of which every matching rule counts, not the first alone
 *
 *     notifications          object: the background queue, which delivers what target_enqueue_notifications and
 *                            decisions on this machine hand to it. "max_queued" 10000 notifications, "max_batch" 50
 *                            in a request, "flush_interval" 1000: the longest wait before they go out, "workers" 2
 *                            threads, "retry_base_delay" 500, "retry_max_delay" 30000, "time_to_live" 1800000, with
 *                            a spool 86400000; "spool_dir": a directory that makes it durable, "spool_max_bytes"
 *                            67108864, "spool_sync" "none", "batch" or "each": when a notification is safe
 *
 * Options of a call
 *
 *     Spelling as above.
 *
 *     request                object, required: a Delivery API request with "execute", "prefetch", "notifications",
 *                            "id", "context" and so on. Members that the library does not know pass through. An
 *                            empty "execute" or "prefetch" counts as not given. Its alias is "events".
 *     target_cookie          string: value of the visitor's mbox cookie
 *     target_location_hint   string: value of the visitor's mboxEdgeCluster cookie
 *     visitor_cookie         string: value of the visitor's AMCV_<organization> cookie
 *     session_id             string of 1 to 128 printable characters without space, ? and /, for a visitor whose
 *                            cookie has none. Without both a new one is made.
 *     customer_ids           array of CustomerId, or object {"code":"id"} or
 *                            {"code":{"id":"id","authState":0|1|2}}
 *     consumer_id            string: names the caller when several calls are stitched together
 *     decisioning_method     instead of the client's. A client that was made for "server-side" has no artifact
 *     timeout, retry_clicks  instead of the client's
 *
 * The result of a call (the envelope)
 *
 *     request                     the request as it was sent
 *     response                    the Delivery API response as it came, or as it was decided here: "status" is 206
 *                                 then where the edge knows more
 *     target_cookie               {"name":"mbox","value":"...","maxAge":seconds}: the cookie to set, and to give as
 *                                 "target_cookie" of the visitor's next call
 *     target_location_hint_cookie {"name":"mboxEdgeCluster","value":"...","maxAge":1860}; absent when no cluster
 *                                 is known
 *     analytics_details, trace, response_tokens
 *                                 arrays, gathered from the whole response; absent when empty
 *     meta                        {"decisioning_method":"server-side","remote_mboxes":[...],"remote_views":[...]}:
 *                                 who decided, and what the artifact leaves to the edge; for a hybrid call that
 *                                 went there although that is nothing also "edge_reason": "not_ready" (no artifact
 *                                 yet) or "notifications" (the request has some); for a call with notifications also
 *                                 "notifications":{"acknowledged":[ids],"unacknowledged":[ids]},
 *                                 and for a decision whose impressions could not be taken for the background
 *                                 "notifications":{"not_queued":[{...}]}: report them by target_send_notifications
 *     visitor_state               to hand to the visitor library in the browser
 *
 * Callbacks
 *
 *     They run on threads of the library. No lock is held meanwhile, and they may call the library. Where a wait
 *     could be for the callback itself it is refused: target_client_close, target_client_wait_ready,
 *     target_client_refresh, target_flush and target_request_wait (for a call that has not finished) answer
 *     TARGET_ERR_WOULD_DEADLOCK, and target_client_free logs an error and does nothing. To look, with a timeout of 0,
 *     is allowed.
 *     Neither an exception nor longjmp may leave a callback.
 *
 * Process
 *
 *     The library installs no signal handler and no exit handler, raises no SIGPIPE, keeps no state of the process
 *     but the logger and a list of its own sockets, and reads no environment variable but the proxy's and the time
 *     zone's (TZ). Once loaded it stays mapped, also after dlclose.
 *     Close or free a client before the process ends if what it is sending matters, impressions included; with a
 *     "spool_dir" what is in the background queue is delivered by the next client on that directory.
 *
 * Fork
 *
 *     A child may use the clients that its parent has made, whatever the parent's threads were doing at the fork. Its
 *     first call starts the client again, or answers TARGET_ERR_INTERNAL where the system gives no thread. Threads
 *     and connections are its own; the parent's sockets are closed in the child. It goes on with the parent's
 *     configuration, artifact, location hint, event callback and logger, whose user data must live there too. Counters,
 *     events, finished calls and the queue are empty: what the parent has accepted is sent by the parent alone.
 *     target_client_close it before the parent gives way to a daemon. There is no second client_ready.
 *     A client that was closed before the fork is closed in the child. Handles of the parent's calls answer
 *     TARGET_ERR_CLOSED there, and are freed as ever. A child that does not use a client need not free it;
 *     target_client_free then returns at once and ends nothing of the parent's.
 *     Handlers of pthread_atfork must not use a client. A logger must not fork. A callback may; where the child
 *     returns from it, its only thread ends, and the child with it. What is not noticed: vfork, _Fork
 *     and clone by hand, whose children must call nothing of the library.
 */

#ifndef ADOBE_TARGET_H
#define ADOBE_TARGET_H


#include <stdint.h>

/** Version of this header; that of the library is target_version(). */
#define TARGET_VERSION "0.1.0"

/** ABI version of this header; that of the library is target_abi_version(). */
#define TARGET_ABI_VERSION 1u

/** A wait without a limit. */
#define TARGET_WAIT_FOREVER UINT64_MAX

/** The outcome of a function. Values are never renumbered; new ones may come. */
typedef int32_t target_status;

enum {
    /** It was done. */
    TARGET_OK = 0,
    /** An argument is NULL or not UTF-8. */
    TARGET_ERR_INVALID_ARGUMENT = 1,
    /** A text is no JSON. Nothing was sent. */
    TARGET_ERR_INVALID_JSON = 2,
    /** A member is missing, of the wrong type, out of limits, unknown or given twice. Nothing was sent. */
    TARGET_ERR_INVALID_OPTIONS = 3,
    /** There is no usable artifact to decide from yet. */
    TARGET_ERR_NOT_READY = 4,
    /** The call's own deadline passed. */
    TARGET_ERR_TIMEOUT = 5,
    /** Name look-up, connect, TLS, proxy, or a connection that broke. */
    TARGET_ERR_NETWORK = 6,
    /** The edge answered with an error status. */
    TARGET_ERR_HTTP = 7,
    /** The edge's answer cannot be read. */
    TARGET_ERR_INVALID_RESPONSE = 8,
    /** Too many asynchronous calls wait, or the notification queue is full. Nothing was taken. */
    TARGET_ERR_QUEUE_FULL = 9,
    /** The spool of notifications cannot be opened or written; in events also: the file in "artifact_cache_dir". */
    TARGET_ERR_STORAGE = 10,
    /** The client is closed. */
    TARGET_ERR_CLOSED = 11,
    /** A bug in the library, please report it. The client stays usable. */
    TARGET_ERR_INTERNAL = 12,
    /** A wait ended before what it waited for. Wait again. */
    TARGET_ERR_PENDING = 13,
    /** The call was cancelled. */
    TARGET_ERR_CANCELLED = 14,
    /** A wait inside a callback that could never end. */
    TARGET_ERR_WOULD_DEADLOCK = 15,
    /** Known, but not in this version. */
    TARGET_ERR_UNSUPPORTED = 16
};

/** How grave a log line is. Values are never renumbered; new ones may come. */
typedef int32_t target_log_level;

enum {
    /** Something was lost or a bug showed. */
    TARGET_LOG_ERROR = 1,
    /** Something is not as it should be, and was dealt with. */
    TARGET_LOG_WARN = 2,
    /** What happens seldom and may be of interest. */
    TARGET_LOG_INFO = 3,
    /** What each call does. */
    TARGET_LOG_DEBUG = 4,
    /** Everything. */
    TARGET_LOG_TRACE = 5
};

#ifdef __cplusplus
extern "C" {
#endif


/**
 * A client of Target for one client code and organization. Made by target_client_create, freed by
 * target_client_free. One client serves a whole process: it pools connections, and any number of threads may use
 * it at the same time. Forked children may use it too, see "Fork" at the top.
 */
typedef struct target_client target_client;

/**
 * An asynchronous call. Made by the _async functions, freed by target_request_free. It may be used after its
 * client was closed and after its client was freed. Any number of threads may use it at the same time, in the process
 * that started the call.
 */
typedef struct target_request target_request;

/**
 * Takes a result, an error object or an event.
 *
 * Runs on a thread of the library, never on the caller's. It may call the library; it must not throw or longjmp.
 *
 * @param json       NUL-terminated UTF-8. Borrowed for the callback: copy what is needed later, do not free it.
 * @param user_data  The pointer that was given with the callback.
 */
typedef void (*target_callback)(const char *json,
                                void *user_data);

/**
 * Takes a log line.
 *
 * Runs on whichever thread logs, a caller's own inside one of its calls included, and on several at the same
 * time. It may call the library; lines that arise inside it are left out. It must not throw or longjmp.
 *
 * @param level      One of the TARGET_LOG_ constants. Take a value that you do not know for TARGET_LOG_TRACE.
 * @param message    NUL-terminated UTF-8, one line without a line break at its end. Borrowed for the callback.
 * @param user_data  The pointer that was given with the callback.
 */
typedef void (*target_log_callback)(target_log_level level,
                                    const char *message,
                                    void *user_data);

/**
 * The version of the library that is linked or loaded, such as "0.1.0"; TARGET_VERSION is that of this header.
 *
 * @return A static text: do not free it.
 */
const char *target_version(void);

/**
 * The ABI version of the library that is linked or loaded. It fits this header if it equals TARGET_ABI_VERSION.
 * It is raised only when a symbol, a prototype or a documented meaning goes; it is the number in the soname.
 */
uint32_t target_abi_version(void);

/**
 * Makes a client. Reads the proxy variables of the environment and the files that "tls" names. A server-side
 * client does no network work yet. One that decides on this machine asks for its rule artifact and its location
 * hint, and waits "maximum_wait_ready" at the most for them. Not getting them is no error: asking goes on.
 *
 * @param config  JSON object, see "Configuration" at the top. Borrowed for the call.
 * @param client  Receives the client, NULL on failure. Must not be NULL. The caller frees it with
 *                target_client_free.
 * @param result  Receives {"ready":true}, or {"ready":false} while there is no artifact, or the error object. The
 *                caller frees it with target_string_free. NULL is allowed.
 *
 * @return TARGET_OK.
 *         TARGET_ERR_INVALID_ARGUMENT, TARGET_ERR_INVALID_JSON: "config" is NULL, not UTF-8 or not JSON.
 *         TARGET_ERR_INVALID_OPTIONS: a key is missing, unknown, given twice, of the wrong type or out of limits,
 *         or "artifact_payload" cannot be used; "field" names it.
 *         TARGET_ERR_STORAGE: "spool_dir" cannot be opened.
 *         TARGET_ERR_INTERNAL: the system gave no thread.
 *         TARGET_ERR_UNSUPPORTED: the key asks for what this version does not have; "field" names it.
 */
target_status target_client_create(const char *config,
                                   target_client **client,
                                   char **result);

/**
 * Ends a client. From now on new calls answer TARGET_ERR_CLOSED. Calls in flight may end within the time; after
 * it they are ended with TARGET_ERR_CLOSED, their callbacks run as for any other error. What waits in the background
 * is sent within the time; the rest stays in the spool, or is dropped where there is none. A second or parallel close
 * waits likewise and answers the same.
 *
 * After it target_client_stats, target_request_wait, target_next_completion and target_next_event still work.
 * The client still has to be freed.
 *
 * @param client      The client. Must not be NULL.
 * @param timeout_ms  0 ends all calls at once, TARGET_WAIT_FOREVER waits as long as they take.
 * @param result      Receives {"acknowledged":n,"rejected":n,"dropped":n,"pending":n}: what became of the
 *                    notifications that waited in the background. Or the error object. The caller frees it with
 *                    target_string_free. NULL is allowed.
 *
 * @return TARGET_OK.
 *         TARGET_ERR_PENDING: closed, and notifications are left in the spool for the next client; the counts are in
 *         "result" of the error object.
 *         TARGET_ERR_WOULD_DEADLOCK: called inside a callback of the library; nothing was closed.
 */
target_status target_client_close(target_client *client,
                                  uint64_t timeout_ms,
                                  char **result);

/**
 * Frees a client. Closes it with its "close_timeout" if it is still open, waits until callbacks that run have
 * returned, and joins its threads: after it, no callback of this client runs.
 *
 * Strings and request handles that came from the client stay valid. Called inside a callback of the library it
 * logs an error and does nothing.
 *
 * @param client  The client. NULL is allowed. No other call may be running on it, and none may come later.
 */
void target_client_free(target_client *client);

/**
 * Waits until the client can decide: until it has its first artifact, and then, within the time, for its location
 * hint. A server-side client is ready at once.
 *
 * @param client      The client. Must not be NULL.
 * @param timeout_ms  0 only looks, TARGET_WAIT_FOREVER has no limit.
 * @param result      Receives {"ready":true}, or the error object. The caller frees it with target_string_free.
 *                    NULL is allowed.
 *
 * @return TARGET_OK.
 *         TARGET_ERR_PENDING: the wait ended first; the message has the reason of the last failed download.
 *         TARGET_ERR_CLOSED: the client is closed, or was closed meanwhile.
 *         TARGET_ERR_WOULD_DEADLOCK: called inside a callback of the library, to wait: looking is allowed there.
 */
target_status target_client_wait_ready(target_client *client,
                                       uint64_t timeout_ms,
                                       char **result);

/**
 * Downloads the rule artifact of on-device decisioning now, without waiting for the polling interval. Blocks until
 * that is over, two minutes at the most, and behind a download that runs already. Whatever comes, the last good
 * artifact stays in force until a better one is.
 *
 * @param client  The client. Must not be NULL.
 * @param result  Receives {"version":"1.0.0","etag":"...","changed":true}: the artifact in force, whose "etag" may be
 *                null, and whether it has just been downloaded or is current still. Or the error object. The caller
 *                frees it with target_string_free. NULL is allowed.
 *
 * @return TARGET_OK.
 *         TARGET_ERR_TIMEOUT, TARGET_ERR_NETWORK, TARGET_ERR_HTTP, TARGET_ERR_INVALID_RESPONSE: nothing usable came,
 *         and the message says why.
 *         TARGET_ERR_UNSUPPORTED: the client's "decisioning_method" is server-side: it has no artifact.
 *         TARGET_ERR_CLOSED: the client is closed, or was closed meanwhile.
 *         TARGET_ERR_WOULD_DEADLOCK: called inside a callback of the library.
 */
target_status target_client_refresh(target_client *client,
                                    char **result);

/**
 * Counters since the client was made, read consistently. Works after close.
 *
 *   {"calls":{"get_offers":n,"get_attributes":n,"send_notifications":n,
 *             "enqueue_notifications":n,"in_flight":n},
 *    "requests":n,          HTTP requests to delivery hosts, "retries" included
 *    "retries":n,
 *    "errors":{"<phase>":n},          see below
 *    "connections":{"open":n,"opened":n,"reused":n},
 *    "notifications":{              the background queue: enqueued ones, and impressions of decisions on this machine
 *        "accepted":n,"recovered":n, taken, and found in the spool of a process that ended before; together the sum of
 *        "acknowledged":n,"rejected":n,"dropped":n,"pending":n,
 *        "not_queued":n,            impressions that were handed back instead: see "meta" of the envelope
 *        "spool_bytes":n,           on disk
 *        "spool_damaged":n},        records of the spool that could not be read
 *    "notification_calls":{"acknowledged":n,"not_processed":n,"rejected":n,"unknown":n},   of blocking calls
 *    "completions_lost":n,          see target_next_completion
 *    "decisions":n,                 calls decided on this machine
 *    "rule_errors":n,               conditions that could not be evaluated: their rules did not match
 *    "geo":{"look_ups":n,"failures":n,"cache_hits":n},
 *    "artifact":{"version":"1.0.0","etag":"...","location":"...",
 *                "age_ms":n,        since it was downloaded
 *                "checked_ms":n,    since the CDN last said that it is current
 *                "rules":n,"skipped_rules":n,"downloads":n,"not_modified":n,"failures":n}}
 *
 * The keys of "errors" are the values of "phase" in error objects, and only those that have occurred are there:
 * "validate" counts calls that were refused, "decide" calls to be decided on this machine without an artifact, and
 * "resolve", "connect", "tls", "proxy", "send", "receive" and "response" HTTP requests to delivery hosts that failed
 * there, each attempt of a call and of the background queue; "queue" and "storage" enqueues that were not taken.
 *
 * A notification of a blocking call is counted in one of "notification_calls": in "acknowledged" when the edge's answer
 * has its id, in "not_processed" when a successful answer leaves it out or it was never sent, in "rejected" when the
 * edge refused the request, and in "unknown" when the request was sent and not answered.
 *
 * "artifact" is null for a server-side client. While there is no artifact, its "version", "etag", "age_ms" and
 * "checked_ms" are null.
 *
 * @param client  The client. Must not be NULL.
 * @param result  Receives the counters, or the error object. The caller frees it with target_string_free. NULL
 *                is allowed.
 *
 * @return TARGET_OK.
 */
target_status target_client_stats(target_client *client,
                                  char **result);

/**
 * Asks for offers: "execute" for what is shown now, "prefetch" for what may be shown later and is reported then
 * by target_send_notifications. Blocks until the edge has answered or the call's "timeout" is over. Decided on this
 * machine it does not block, but for the place of an address that has to be looked up; what "execute" shows is
 * reported to the edge in the background.
 *
 *   {"request":{"prefetch":{"mboxes":[{"name":"home"}]}},"target_cookie":"<value of the mbox cookie>"}
 *
 * @param client   The client. Must not be NULL.
 * @param options  JSON object, see "Options of a call" at the top. Borrowed for the call.
 * @param result   Receives the envelope (see "The result of a call" at the top), or the error object. The caller
 *                 frees it with target_string_free. NULL is allowed.
 *
 * @return TARGET_OK.
 *         TARGET_ERR_INVALID_ARGUMENT, TARGET_ERR_INVALID_JSON, TARGET_ERR_INVALID_OPTIONS,
 *         TARGET_ERR_UNSUPPORTED: nothing was sent; "field" names the argument or member.
 *         TARGET_ERR_TIMEOUT, TARGET_ERR_NETWORK, TARGET_ERR_HTTP, TARGET_ERR_INVALID_RESPONSE: "retryable" says
 *         whether the same call may succeed later. What may be repeated was repeated within the timeout.
 *         TARGET_ERR_NOT_READY: to be decided on this machine alone, and there is no artifact yet.
 *         TARGET_ERR_CLOSED: the client is closed, or was closed meanwhile.
 */
target_status target_get_offers(target_client *client,
                                const char *options,
                                char **result);

/**
 * Asks for JSON offers as attributes. Mboxes that the request has neither in "execute" nor in "prefetch" are
 * added to "execute". Blocks like target_get_offers.
 *
 * @param client      The client. Must not be NULL.
 * @param mbox_names  JSON array of strings, such as ["hero","cart"]. Borrowed for the call.
 * @param options     As of target_get_offers, but "request" may be missing. Borrowed for the call. NULL is
 *                    allowed.
 * @param result      Receives the envelope with one more member, "attributes":{"<mbox>":{"<key>":value}}, where
 *                    the JSON offers of each mbox are merged in their order. Or the error object. The caller
 *                    frees it with target_string_free. NULL is allowed.
 *
 * @return As of target_get_offers.
 */
target_status target_get_attributes(target_client *client,
                                    const char *mbox_names,
                                    const char *options,
                                    char **result);

/**
 * Reports what a visitor was shown ("display") and has clicked ("click"). Blocks until the edge has answered.
 * More than 50 notifications go out in parts, in order.
 *
 *   {"request":{"notifications":[
 *     {"id":"1","type":"display","timestamp":1621530726000,
 *      "mbox":{"name":"product1","state":"<state of the mbox>"},"tokens":["<eventToken of the option>"]}]}}
 *
 * Each notification needs "id" (it comes back when the notification was processed), "type" and "timestamp"
 * (milliseconds since 1970). A display without "impressionId" gets one, the same in every retry, so that it is
 * counted once. A click or an order that may have been counted is not repeated unless "retry_clicks" is true.
 *
 * @param client   The client. Must not be NULL.
 * @param options  As of target_get_offers; "notifications" in its "request" is a non-empty array. Borrowed for
 *                 the call.
 * @param result   Receives the envelope; its "meta" has "notifications":{"acknowledged":[ids],
 *                 "unacknowledged":[ids]}. Or the error object, which has where anything may have been sent
 *                 "result":{"notifications":{"acknowledged":[ids],"rejected":[ids],"unknown":[ids],
 *                 "not_sent":[ids]}} ("unknown": sent, not answered; "not_sent": never left, or not processed).
 *                 The caller frees it with target_string_free. NULL is allowed.
 *
 * @return As of target_get_offers.
 */
target_status target_send_notifications(target_client *client,
                                        const char *options,
                                        char **result);

/**
 * Does target_get_offers on a thread of the library and returns at once.
 *
 * If this returns TARGET_OK, exactly one of the two callbacks runs, once, also when the client is closed first; a
 * NULL one is skipped. With both NULL the finished call waits for target_next_completion. If this returns
 * anything else, no callback ever runs: arguments, options, a closed client and too many waiting calls are judged
 * before it returns.
 *
 * At most 32 calls of a client are under way at the same time, the next 10,000 wait for a thread; the deadline
 * counts from this call. A callback that blocks holds one of those threads.
 *
 * @param client        The client. Must not be NULL.
 * @param options       As of target_get_offers. Borrowed for this call alone.
 * @param callback      Runs once if the call succeeds, with the envelope, on a thread of the library. NULL is
 *                      allowed.
 * @param err_callback  Runs once if the call fails, with the error object, on a thread of the library. NULL is
 *                      allowed.
 * @param user_data     Handed to the callback. The library never looks at it. It must live until the callback has
 *                      returned. NULL is allowed.
 * @param request       Receives a handle to wait for the call and to cancel it, before any callback runs; NULL on
 *                      failure. The caller frees it with target_request_free. NULL is allowed.
 * @param result        Receives NULL on success, the error object on failure. The caller frees it with
 *                      target_string_free. NULL is allowed.
 *
 * @return TARGET_OK: the call was taken.
 *         TARGET_ERR_QUEUE_FULL: too many calls wait already; nothing was taken.
 *         Otherwise as of target_get_offers for what can be told before anything is sent.
 */
target_status target_get_offers_async(target_client *client,
                                      const char *options,
                                      target_callback callback,
                                      target_callback err_callback,
                                      void *user_data,
                                      target_request **request,
                                      char **result);

/**
 * Does target_get_attributes on a thread of the library and returns at once. See target_get_offers_async.
 *
 * @param client        The client. Must not be NULL.
 * @param mbox_names    As of target_get_attributes. Borrowed for this call alone.
 * @param options       As of target_get_attributes. Borrowed for this call alone. NULL is allowed.
 * @param callback      Runs once if the call succeeds, with the envelope, on a thread of the library. NULL is
 *                      allowed.
 * @param err_callback  Runs once if the call fails, with the error object, on a thread of the library. NULL is
 *                      allowed.
 * @param user_data     Handed to the callback. The library never looks at it. It must live until the callback has
 *                      returned. NULL is allowed.
 * @param request       Receives a handle to wait for the call and to cancel it, before any callback runs; NULL on
 *                      failure. The caller frees it with target_request_free. NULL is allowed.
 * @param result        Receives NULL on success, the error object on failure. The caller frees it with
 *                      target_string_free. NULL is allowed.
 *
 * @return As of target_get_offers_async.
 */
target_status target_get_attributes_async(target_client *client,
                                          const char *mbox_names,
                                          const char *options,
                                          target_callback callback,
                                          target_callback err_callback,
                                          void *user_data,
                                          target_request **request,
                                          char **result);

/**
 * Does target_send_notifications on a thread of the library and returns at once. See target_get_offers_async.
 *
 * @param client        The client. Must not be NULL.
 * @param options       As of target_send_notifications. Borrowed for this call alone.
 * @param callback      Runs once if the call succeeds, with the envelope, on a thread of the library. NULL is
 *                      allowed.
 * @param err_callback  Runs once if the call fails, with the error object, on a thread of the library. NULL is
 *                      allowed.
 * @param user_data     Handed to the callback. The library never looks at it. It must live until the callback has
 *                      returned. NULL is allowed.
 * @param request       Receives a handle to wait for the call and to cancel it, before any callback runs; NULL on
 *                      failure. The caller frees it with target_request_free. NULL is allowed.
 * @param result        Receives NULL on success, the error object on failure. The caller frees it with
 *                      target_string_free. NULL is allowed.
 *
 * @return As of target_get_offers_async.
 */
target_status target_send_notifications_async(target_client *client,
                                              const char *options,
                                              target_callback callback,
                                              target_callback err_callback,
                                              void *user_data,
                                              target_request **request,
                                              char **result);

/**
 * Waits until an asynchronous call has finished. From then on every wait answers at once, with the call's own
 * status and a fresh copy of its result: whether or not callbacks ran, before and after close and free of the
 * client.
 *
 * @param request     The handle. Must not be NULL.
 * @param timeout_ms  0 only looks, TARGET_WAIT_FOREVER has no limit.
 * @param result      Receives the envelope, or the error object. The caller frees it with target_string_free.
 *                    NULL is allowed.
 *
 * @return The call's own status.
 *         TARGET_ERR_PENDING: the call goes on; nothing is lost.
 *         TARGET_ERR_CLOSED: also for a call that a parent process has started.
 *         TARGET_ERR_WOULD_DEADLOCK: called inside a callback of the library to wait, and the call has not finished.
 */
target_status target_request_wait(target_request *request,
                                  uint64_t timeout_ms,
                                  char **result);

/**
 * Ends an asynchronous call with TARGET_ERR_CANCELLED unless it has finished. Returns at once; no byte is sent
 * after it. The error callback runs as for any other error.
 *
 * @param request  The handle. Must not be NULL.
 *
 * @return TARGET_OK, also when the call had finished.
 *         TARGET_ERR_CLOSED: a parent process has started the call, and nothing is done about it here.
 */
target_status target_request_cancel(target_request *request);

/**
 * The number of an asynchronous call, unique in its client; target_next_completion gives the same.
 *
 * @param request  The handle. NULL is allowed.
 *
 * @return The number, from 1 on; 0 for NULL.
 */
uint64_t target_request_id(const target_request *request);

/**
 * Frees a handle. Neither cancels the call nor waits for it; its callbacks still run.
 *
 * @param request  The handle. NULL is allowed. No other call may be running on it, and none may come later.
 */
void target_request_free(target_request *request);

/**
 * Takes one finished asynchronous call of those that were started without callbacks. For hosts where one poller
 * serves many waiters. A call whose result target_request_wait has given does not come here. 10,000 finished calls
 * are kept, and 64 MiB of results; then the oldest goes, and "completions_lost" of target_client_stats counts it.
 *
 * @param client      The client. Must not be NULL.
 * @param timeout_ms  0 only looks, TARGET_WAIT_FOREVER has no limit.
 * @param request_id  Receives the call's target_request_id, 0 if none was taken. NULL is allowed.
 * @param result      Receives the envelope, or the error object. The caller frees it with target_string_free.
 *                    NULL is allowed.
 *
 * @return With a number in request_id the status of that call. With 0 in it:
 *         TARGET_ERR_PENDING: none finished in time.
 *         TARGET_ERR_CLOSED: the client is closed and no more will come.
 */
target_status target_next_completion(target_client *client,
                                     uint64_t timeout_ms,
                                     uint64_t *request_id,
                                     char **result);

/**
 * Hands notifications to the background queue and returns: all of a call, or none. On any status but TARGET_OK nothing
 * was taken, neither in memory nor on disk, and the call may be repeated.
 *
 * They go out together with others of the same session, visitor, property, environment and context, and again until
 * the edge has acknowledged them. Each ends as acknowledged, rejected or dropped: events tell which, and
 * "notifications" of target_client_stats counts them. With "notifications":{"spool_dir":...} in the configuration what
 * was taken survives the process.
 *
 * @param client   The client. Must not be NULL.
 * @param options  As of target_send_notifications, without "execute", "prefetch", "impressionId" and "telemetry" in the
 *                 request; its "requestId" and the "timeout" are not used. Borrowed for the call.
 * @param result   Receives {"accepted":[ids]}, or the error object. The caller frees it with target_string_free. NULL
 *                 is allowed.
 *
 * @return TARGET_OK: they are in the queue, and with a spool as safe as "spool_sync" says.
 *         TARGET_ERR_QUEUE_FULL: "max_queued", or with a spool "spool_max_bytes", is reached.
 *         TARGET_ERR_STORAGE: the spool cannot be written.
 *         TARGET_ERR_INVALID_JSON, TARGET_ERR_INVALID_OPTIONS, TARGET_ERR_INVALID_ARGUMENT, TARGET_ERR_CLOSED.
 */
target_status target_enqueue_notifications(target_client *client,
                                           const char *options,
                                           char **result);

/**
 * Delivers what is pending in the background queue when it is called, what is in flight included: nothing lingers, and
 * what waits for another attempt gets one. The counts are of these notifications alone. Without a limit it does not
 * wait for those that the edge refuses for what they share: they stay pending.
 *
 * @param client      The client. Must not be NULL.
 * @param timeout_ms  0 only looks, TARGET_WAIT_FOREVER has no limit.
 * @param result      Receives {"acknowledged":n,"rejected":n,"dropped":n,"pending":n}, or the error object, which has
 *                    these counts in "result". The caller frees it with target_string_free. NULL is allowed.
 *
 * @return TARGET_OK: each has its outcome.
 *         TARGET_ERR_PENDING: some have none yet.
 *         TARGET_ERR_WOULD_DEADLOCK: called inside a callback of the library, and not with 0.
 *         TARGET_ERR_CLOSED.
 */
target_status target_flush(target_client *client,
                           uint64_t timeout_ms,
                           char **result);

/**
 * Takes one event: a JSON object with "type", "timestamp" (milliseconds since 1970) and what belongs to the type.
 * In this version:
 *
 *   client_ready                 the client can decide; comes once
 *   artifact_download_succeeded  "location", "version", "etag" (or null): a downloaded artifact is in force
 *   artifact_download_failed     "location", "error": the error object. The last good artifact stays in force. With
 *                                the name of a file as location: what was kept on disk cannot be used
 *   artifact_rule_skipped        "rule_key", "reason": a rule of the artifact that cannot be used; past 100 of one
 *                                artifact, an event with an empty key has the number of the others
 *   geo_location_updated         "geo": ipAddress, countryCode, stateCode, city, latitude, longitude as far as known;
 *                                of this machine after a download, of a visitor after a look-up
 *   send_notification_error      "error": the error object, "ids": notifications that were not acknowledged. Those in
 *                                the background queue are sent again where that may help
 *   notification_acknowledged, notification_rejected, notification_dropped
 *                                "ids", "session_id", "attempts", and where there is one "reason" ("rejected",
 *                                "expired", "outcome_unknown", "closed"), "http_status", "api_message": what became of
 *                                notifications in the background queue, one event for each batch
 *
 * Ignore types and members that you do not know. "event_buffer" events are kept; then the oldest goes, and the next
 * one has "lost" with the number of those that went. An event is a notice: losing one loses no notification.
 *
 * @param client      The client. Must not be NULL.
 * @param timeout_ms  0 only looks, TARGET_WAIT_FOREVER has no limit.
 * @param result      Receives the event, or the error object. The caller frees it with target_string_free. NULL
 *                    is allowed.
 *
 * @return TARGET_OK.
 *         TARGET_ERR_PENDING: none came in time. While a callback is set, events go to it alone.
 *         TARGET_ERR_CLOSED: the client is closed, and what was left has been taken.
 */
target_status target_next_event(target_client *client,
                                uint64_t timeout_ms,
                                char **result);

/**
 * Has events handed to a callback instead of kept for target_next_event: first those kept since the client was
 * made, then each as it comes, one after the other, on a thread that does nothing else.
 *
 * When this returns, the old callback no longer runs, and its user data may go. Called inside the old callback it
 * returns at once, and the old one does not run again after that.
 *
 * @param client     The client. Must not be NULL.
 * @param callback   Takes the events. NULL removes the old one: events are kept again.
 * @param user_data  Handed to the callback. It must live until the callback is replaced or removed, or the client
 *                   freed. NULL is allowed.
 *
 * @return TARGET_OK.
 *         TARGET_ERR_INVALID_ARGUMENT: the client is NULL.
 *         TARGET_ERR_INTERNAL: the system gave no thread; the old callback stays.
 */
target_status target_client_on_event(target_client *client,
                                     target_callback callback,
                                     void *user_data);

/**
 * Sets the logger of the whole process; without one nothing is logged anywhere. Lines hold no cookie, token,
 * credentials or body.
 *
 * When this returns, the old logger no longer runs, and its user data may go. Called inside the old logger it
 * returns at once, and the old one does not run again after that line.
 *
 * @param callback   Takes the lines. NULL removes the old one.
 * @param max_level  TARGET_LOG_ERROR to TARGET_LOG_TRACE: graver lines and those of this level are logged. Looked
 *                   at only with a callback.
 * @param user_data  Handed to the callback. It must live until the logger is replaced or removed. NULL is allowed.
 *
 * @return TARGET_OK.
 *         TARGET_ERR_INVALID_ARGUMENT: max_level is none of the constants; the old logger stays.
 */
target_status target_set_logger(target_log_callback callback,
                                target_log_level max_level,
                                void *user_data);

/**
 * Frees a string that a function of this library has given in a "result". Not for the texts of target_version and
 * target_status_name, and not for what callbacks get.
 *
 * @param text  The string. NULL is allowed.
 */
void target_string_free(char *text);

/**
 * The name of a status, such as "TARGET_ERR_TIMEOUT"; it is the "code" of the error object.
 *
 * @param status  Any number.
 *
 * @return A static text: do not free it. "TARGET_ERR_UNKNOWN" for a number that this version does not know.
 */
const char *target_status_name(target_status status);

#ifdef __cplusplus
}
#endif

#endif /* ADOBE_TARGET_H */
