// SPDX-License-Identifier: Apache-2.0 OR MIT

//go:build cgo

package adobetarget

import "time"

// Options are those of a call. What is left at its zero value counts as not given.
type Options struct {
	// Request is a Delivery API request with "execute", "prefetch", "notifications", "id", "context" and so on: a
	// DeliveryRequest, a map or a struct, which encoding/json writes, or a json.RawMessage, which goes out digit for
	// digit. Required; GetAttributes can do without.
	Request any
	// TargetCookie is the value of the visitor's mbox cookie.
	TargetCookie string
	// TargetLocationHint is the value of the visitor's mboxEdgeCluster cookie. One that cannot be part of a host name
	// is refused.
	TargetLocationHint string
	// ConsumerID names the caller when several calls are stitched together.
	ConsumerID string
	// CustomerIDs go before those in the request.
	CustomerIDs []CustomerID
	// SessionID links requests of a visitor without a cookie; the session in TargetCookie goes first.
	SessionID string
	// VisitorCookie is the value of the visitor's AMCV_<organization> cookie.
	VisitorCookie string
	// DecisioningMethod instead of the client's.
	DecisioningMethod DecisioningMethod
	// Timeout instead of the client's. A deadline of the context makes either shorter.
	Timeout time.Duration
	// RetryClicks instead of the client's.
	RetryClicks *bool
	// Extra has options that this version of the module does not know, by their names in docs/configuration.md. Those
	// that have a field here are refused.
	Extra map[string]any
}

// json writes the options, with a NUL behind them.
func (o *Options) json(timeout time.Duration) ([]byte, error) {
	w := newWriter(512)
	w.value("request", o.Request)
	w.textual("target_cookie", o.TargetCookie)
	w.textual("target_location_hint", o.TargetLocationHint)
	w.textual("consumer_id", o.ConsumerID)
	if len(o.CustomerIDs) > 0 {
		w.value("customer_ids", o.CustomerIDs)
	}
	w.textual("session_id", o.SessionID)
	w.textual("visitor_cookie", o.VisitorCookie)
	w.textual("decisioning_method", string(o.DecisioningMethod))
	w.duration("timeout", timeout)
	w.boolean("retry_clicks", o.RetryClicks)
	w.extra("Options", fieldsOfOptions, o.Extra)
	return w.end()
}

// fieldsOfOptions are the fields of Options by their keys, in the spelling of spelled.
var fieldsOfOptions = map[string]string{
	"request":            "Request",
	"targetcookie":       "TargetCookie",
	"targetlocationhint": "TargetLocationHint",
	"consumerid":         "ConsumerID",
	"customerids":        "CustomerIDs",
	"sessionid":          "SessionID",
	"visitorcookie":      "VisitorCookie",
	"decisioningmethod":  "DecisioningMethod",
	"timeout":            "Timeout",
	"retryclicks":        "RetryClicks",
	"events":             "Request",
}
