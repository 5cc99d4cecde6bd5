// SPDX-License-Identifier: Apache-2.0 OR MIT

package adobetarget

/*
#include <stdlib.h>
#include <string.h>
#include "adobe_target.h"

// A result as C has given it. Returned by value, so that no Go memory has to be written by C.
typedef struct {
	char *text;
	size_t length;
	target_status status;
} go_result;

// A call that was started, or why not.
typedef struct {
	go_result result;
	target_request *request;
	uint64_t id;
} go_started;

// A call that has finished.
typedef struct {
	go_result result;
	uint64_t id;
} go_finished;

static inline go_result go_result_of(target_status status, char *text) {
	go_result result = {text, text == NULL ? 0 : strlen(text), status};
	return result;
}

static inline go_started go_started_of(target_status status, target_request *request, char *text) {
	go_started started = {go_result_of(status, text), request, target_request_id(request)};
	return started;
}

static inline go_result go_create(const char *config, target_client **client) {
	char *text;
	target_status status = target_client_create(config, client, &text);
	return go_result_of(status, text);
}

static inline go_result go_close(target_client *client, uint64_t timeout_ms) {
	char *text;
	target_status status = target_client_close(client, timeout_ms, &text);
	return go_result_of(status, text);
}

static inline go_result go_wait_ready(target_client *client, uint64_t timeout_ms) {
	char *text;
	target_status status = target_client_wait_ready(client, timeout_ms, &text);
	return go_result_of(status, text);
}

static inline go_result go_refresh(target_client *client) {
	char *text;
	target_status status = target_client_refresh(client, &text);
	return go_result_of(status, text);
}

static inline go_result go_stats(target_client *client) {
	char *text;
	target_status status = target_client_stats(client, &text);
	return go_result_of(status, text);
}

static inline go_result go_flush(target_client *client, uint64_t timeout_ms) {
	char *text;
	target_status status = target_flush(client, timeout_ms, &text);
	return go_result_of(status, text);
}

static inline go_result go_next_event(target_client *client, uint64_t timeout_ms) {
	char *text;
	target_status status = target_next_event(client, timeout_ms, &text);
	return go_result_of(status, text);
}

static inline go_result go_enqueue(target_client *client, const char *options) {
	char *text;
	target_status status = target_enqueue_notifications(client, options, &text);
	return go_result_of(status, text);
}

static inline go_result go_get_offers(target_client *client, const char *options) {
	char *text;
	target_status status = target_get_offers(client, options, &text);
	return go_result_of(status, text);
}

static inline go_result go_get_attributes(target_client *client, const char *names, const char *options) {
	char *text;
	target_status status = target_get_attributes(client, names, options, &text);
	return go_result_of(status, text);
}

static inline go_started go_start_offers(target_client *client, const char *options) {
	target_request *request;
	char *text;
	target_status status = target_get_offers_async(client, options, NULL, NULL, NULL, &request, &text);
	return go_started_of(status, request, text);
}

static inline go_started go_start_attributes(target_client *client, const char *names, const char *options) {
	target_request *request;
	char *text;
	target_status status = target_get_attributes_async(client, names, options, NULL, NULL, NULL, &request, &text);
	return go_started_of(status, request, text);
}

static inline go_started go_start_notifications(target_client *client, const char *options) {
	target_request *request;
	char *text;
	target_status status = target_send_notifications_async(client, options, NULL, NULL, NULL, &request, &text);
	return go_started_of(status, request, text);
}

static inline go_result go_look(target_request *request) {
	char *text;
	target_status status = target_request_wait(request, 0, &text);
	return go_result_of(status, text);
}

// Waits for one finished call and takes those that have finished besides. 0: none, and *end says why.
static inline size_t go_take(target_client *client, go_finished *taken, size_t most, target_status *end) {
	size_t count = 0;
	while (count < most) {
		char *text;
		uint64_t id;
		target_status status = target_next_completion(client, count == 0 ? TARGET_WAIT_FOREVER : 0, &id, &text);
		if (id == 0) {
			target_string_free(text);
			*end = status;
			break;
		}
		taken[count].result = go_result_of(status, text);
		taken[count].id = id;
		count++;
	}
	return count;
}

static inline void go_free_texts(go_finished *taken, size_t count) {
	for (size_t i = 0; i < count; i++) {
		target_string_free(taken[i].result.text);
	}
}
*/
import "C"

import "unsafe"

// All uses of C are in this file. Texts that come out are copied and freed in the function that got them, and no Go
// pointer is kept by C.

const (
	compiledVersion = C.TARGET_VERSION
	compiledABI     = uint32(C.TARGET_ABI_VERSION)
	waitForever     = uint64(C.TARGET_WAIT_FOREVER)
)

func nativeVersion() string { return C.GoString(C.target_version()) }
func nativeABI() uint32     { return uint32(C.target_abi_version()) }

func statusName(status Status) string {
	return C.GoString(C.target_status_name(C.target_status(status)))
}

// outcome is what a function of the library has answered: a result, or with any status but 0 an error object.
type outcome struct {
	status Status
	text   []byte
}

type (
	nativeClient  struct{ p *C.target_client }
	nativeRequest struct{ p *C.target_request }
)

// cText is the text as C reads it. It ends with a NUL, which the caller has appended.
func cText(text []byte) *C.char { return (*C.char)(unsafe.Pointer(&text[0])) }

// copied takes the text out of memory that C owns.
func copied(result C.go_result) outcome {
	var text []byte
	if result.text != nil {
		text = append(text, unsafe.Slice((*byte)(unsafe.Pointer(result.text)), int(result.length))...)
	}
	return outcome{status: Status(result.status), text: text}
}

func taken(result C.go_result) outcome {
	answer := copied(result)
	if result.text != nil {
		C.target_string_free(result.text)
	}
	return answer
}

func nativeCreate(config []byte) (nativeClient, outcome) {
	// C writes the handle into memory of its own.
	place := (**C.target_client)(C.calloc(1, C.size_t(unsafe.Sizeof(uintptr(0)))))
	defer C.free(unsafe.Pointer(place))
	answer := taken(C.go_create(cText(config), place))
	return nativeClient{*place}, answer
}

func (c nativeClient) close(timeout uint64) outcome {
	return taken(C.go_close(c.p, C.uint64_t(timeout)))
}

func (c nativeClient) free() { C.target_client_free(c.p) }

func (c nativeClient) waitReady(timeout uint64) outcome {
	return taken(C.go_wait_ready(c.p, C.uint64_t(timeout)))
}

// refresh has a deadline of its own.
func (c nativeClient) refresh(uint64) outcome { return taken(C.go_refresh(c.p)) }

func (c nativeClient) stats() outcome { return taken(C.go_stats(c.p)) }

func (c nativeClient) flush(timeout uint64) outcome {
	return taken(C.go_flush(c.p, C.uint64_t(timeout)))
}

func (c nativeClient) nextEvent(timeout uint64) outcome {
	return taken(C.go_next_event(c.p, C.uint64_t(timeout)))
}

func (c nativeClient) enqueue(options []byte) outcome {
	return taken(C.go_enqueue(c.p, cText(options)))
}

// run makes a call on the goroutine's own thread.
func (c nativeClient) run(operation operation, names, options []byte) outcome {
	if operation == getAttributes {
		return taken(C.go_get_attributes(c.p, cText(names), cText(options)))
	}
	return taken(C.go_get_offers(c.p, cText(options)))
}

// start starts a call. Its handle has to be freed.
func (c nativeClient) start(operation operation, names, options []byte) (nativeRequest, uint64, outcome) {
	var started C.go_started
	switch operation {
	case getAttributes:
		started = C.go_start_attributes(c.p, cText(names), cText(options))
	case sendNotifications:
		started = C.go_start_notifications(c.p, cText(options))
	default:
		started = C.go_start_offers(c.p, cText(options))
	}
	return nativeRequest{started.request}, uint64(started.id), taken(started.result)
}

func (r nativeRequest) cancel() { C.target_request_cancel(r.p) }

func (r nativeRequest) free() { C.target_request_free(r.p) }

// look gives the call's outcome, with statusPending as long as there is none.
func (r nativeRequest) look() outcome { return taken(C.go_look(r.p)) }

const takenAtOnce = 64

// basket is memory of C for finished calls.
type basket struct {
	calls *[takenAtOnce]C.go_finished
	end   *C.target_status
}

func newBasket() basket {
	return basket{
		calls: (*[takenAtOnce]C.go_finished)(C.calloc(takenAtOnce, C.size_t(unsafe.Sizeof(C.go_finished{})))),
		end:   (*C.target_status)(C.calloc(1, C.size_t(unsafe.Sizeof(C.target_status(0))))),
	}
}

func (b basket) free() {
	C.free(unsafe.Pointer(b.calls))
	C.free(unsafe.Pointer(b.end))
}

// takeFinished blocks until a call has finished and hands over all that have. With none it says why there is none.
func (c nativeClient) takeFinished(b basket, finished func(id uint64, answer outcome)) (int, Status) {
	count := C.go_take(c.p, &b.calls[0], takenAtOnce, b.end)
	for i := range b.calls[:count] {
		finished(uint64(b.calls[i].id), copied(b.calls[i].result))
	}
	if count > 0 {
		C.go_free_texts(&b.calls[0], count)
	}
	return int(count), Status(*b.end)
}
