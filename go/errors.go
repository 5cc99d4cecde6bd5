// SPDX-License-Identifier: Apache-2.0 OR MIT

//go:build cgo

package adobetarget

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Status is the outcome of a function of the library. The constants work with errors.Is:
//
//	if errors.Is(err, adobetarget.ErrQueueFull) { … }
//
// Values are never renumbered; new ones may come.
type Status int32

const (
	// ErrInvalidArgument: an argument is not UTF-8.
	ErrInvalidArgument Status = 1
	// ErrInvalidJSON: a text is no JSON. Nothing was sent.
	ErrInvalidJSON Status = 2
	// ErrInvalidOptions: a member is missing, of the wrong type, out of limits, unknown or given twice. Nothing was
	// sent.
	ErrInvalidOptions Status = 3
	// ErrNotReady: there is no usable artifact to decide from yet.
	ErrNotReady Status = 4
	// ErrTimeout: the call's own deadline passed.
	ErrTimeout Status = 5
	// ErrNetwork: name look-up, connect, TLS, proxy, or a connection that broke.
	ErrNetwork Status = 6
	// ErrHTTP: the edge answered with an error status.
	ErrHTTP Status = 7
	// ErrInvalidResponse: the edge's answer cannot be read.
	ErrInvalidResponse Status = 8
	// ErrQueueFull: too many calls wait, or the notification queue is full. Nothing was taken; try again later.
	ErrQueueFull Status = 9
	// ErrStorage: the spool of notifications cannot be opened or written.
	ErrStorage Status = 10
	// ErrClosed: the client is closed, or nil.
	ErrClosed Status = 11
	// ErrInternal: a bug in the library, please report it. The client stays usable.
	ErrInternal Status = 12
	// ErrPending: a wait ended before what it waited for.
	ErrPending Status = 13
	// ErrCancelled: the call was cancelled, by its context.
	ErrCancelled Status = 14
	// ErrWouldDeadlock does not occur in Go.
	ErrWouldDeadlock Status = 15
	// ErrUnsupported: known, but not in this version.
	ErrUnsupported Status = 16
)

// Error gives the name of the status, such as "TARGET_ERR_TIMEOUT".
func (s Status) Error() string { return statusName(s) }

// Error is what went wrong. Every error of this package is one, but for those of a context that was over before
// anything was done, which are the context's own. It holds no cookie, token, credentials or whole body.
//
//	var failed *adobetarget.Error
//	if errors.As(err, &failed) && failed.Retryable { … }
type Error struct {
	// Code is the name of the status.
	Code string
	// Status is for errors.Is and switch.
	Status Status
	// Message is for people; it names the field and the limit.
	Message string
	// Phase is where it happened: validate, resolve, connect, tls, proxy, send, receive, response, decide, queue,
	// storage. New ones may come.
	Phase string
	// Field is the argument or member that is wrong, such as "request.notifications[0].timestamp", or empty.
	Field string
	// HTTPStatus of the edge's answer, or 0.
	HTTPStatus int
	// APIMessage is what the edge said, or empty.
	APIMessage string
	// RequestID is "requestId" of the request that failed, or empty.
	RequestID string
	// Retryable says whether the same call may succeed later. For clicks and orders look first whether their ids are
	// under Unknown of Notifications, or they may count twice.
	Retryable bool
	// RetryAfter is the wait that the edge asked for, or 0.
	RetryAfter time.Duration
	// Attempts is the number of HTTP requests made.
	Attempts int
	// Elapsed is the time since the call began.
	Elapsed time.Duration
	// Result is what was done of the work, or nil. Notifications reads it for calls.
	Result json.RawMessage

	cause error
}

// Error gives the code, the message and the field.
func (e *Error) Error() string {
	if e.Field != "" && !strings.Contains(e.Message, e.Field) {
		return fmt.Sprintf("%s: %s (field %s)", e.Code, e.Message, e.Field)
	}
	return e.Code + ": " + e.Message
}

// Is tells a Status of the same number.
func (e *Error) Is(target error) bool {
	status, ok := target.(Status)
	return ok && status == e.Status
}

// Unwrap gives the context's error where the context has ended the call.
func (e *Error) Unwrap() error { return e.cause }

// NotificationOutcome is what became of the notifications of a call that failed.
type NotificationOutcome struct {
	// Acknowledged ids were processed.
	Acknowledged []string `json:"acknowledged"`
	// Rejected ids were refused; nothing was counted.
	Rejected []string `json:"rejected"`
	// Unknown ids were sent and not answered: they may have been counted.
	Unknown []string `json:"unknown"`
	// NotSent ids never left, or were not processed: they are safe to send again.
	NotSent []string `json:"not_sent"`
}

// Notifications tells what became of the notifications of a call, where anything may have been sent.
func (e *Error) Notifications() (NotificationOutcome, bool) {
	var result struct {
		Notifications *NotificationOutcome `json:"notifications"`
	}
	if e == nil || json.Unmarshal(e.Result, &result) != nil || result.Notifications == nil {
		return NotificationOutcome{}, false
	}
	return *result.Notifications, true
}

// Notifications tells what became of the notifications of a call that has failed with this error.
func Notifications(err error) (NotificationOutcome, bool) {
	var failed *Error
	if !errors.As(err, &failed) {
		return NotificationOutcome{}, false
	}
	return failed.Notifications()
}

func readError(object []byte, failed *Error) error {
	var read struct {
		Code       string          `json:"code"`
		Message    string          `json:"message"`
		Phase      string          `json:"phase"`
		Field      string          `json:"field"`
		HTTPStatus int             `json:"http_status"`
		APIMessage string          `json:"api_message"`
		RequestID  string          `json:"request_id"`
		Retryable  bool            `json:"retryable"`
		RetryAfter int64           `json:"retry_after_ms"`
		Attempts   int             `json:"attempts"`
		Elapsed    int64           `json:"elapsed_ms"`
		Result     json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(object, &read); err != nil {
		return err
	}
	*failed = Error{
		Code: read.Code, Status: failed.Status, Message: read.Message, Phase: read.Phase, Field: read.Field,
		HTTPStatus: read.HTTPStatus, APIMessage: read.APIMessage, RequestID: read.RequestID, Retryable: read.Retryable,
		RetryAfter: milliseconds(read.RetryAfter), Attempts: read.Attempts, Elapsed: milliseconds(read.Elapsed),
		Result: read.Result,
	}
	return nil
}

// failure makes the error of an outcome that is none of success.
func (o outcome) failure() *Error {
	failed := &Error{Status: o.status}
	if err := readError(o.text, failed); err != nil || failed.Code == "" {
		failed.Code = statusName(o.status)
		if failed.Message == "" {
			failed.Message = "the library gave no readable error"
		}
	}
	return failed
}

// err is nil for success.
func (o outcome) err() error {
	if o.status == 0 {
		return nil
	}
	return o.failure()
}

func newError(status Status, phase, field, message string) *Error {
	return &Error{Code: statusName(status), Status: status, Phase: phase, Field: field, Message: message}
}

func closedError() error {
	return newError(ErrClosed, "validate", "", "the client is closed")
}

// contextError is that of a wait that a context has ended.
func contextError(ctx context.Context, message string) error {
	status := ErrCancelled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		status = ErrTimeout
	}
	failed := newError(status, "queue", "", message)
	failed.cause = ctx.Err()
	return failed
}

func unreadable(what string, err error) error {
	return newError(ErrInvalidResponse, "response", "", what+" cannot be read: "+err.Error())
}

// ofContext names the context as the cause of an error, where it was.
func (e *Error) ofContext(ctx context.Context, deadlineIsContexts bool) *Error {
	switch {
	case e.Status == ErrCancelled && ctx.Err() != nil:
		e.cause = ctx.Err()
	case e.Status == ErrTimeout && deadlineIsContexts, e.Status == ErrPending && deadlineIsContexts:
		// The library's clock may be a moment ahead of the context's.
		e.cause = context.DeadlineExceeded
	}
	return e
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
