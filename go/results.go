// SPDX-License-Identifier: Apache-2.0 OR MIT

//go:build cgo

package adobetarget

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Cookie is to be set in the visitor's browser.
type Cookie struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// MaxAge is in seconds.
	MaxAge int `json:"maxAge"`
}

// HTTP gives the cookie for http.SetCookie, with the path "/". Set Domain or Secure as your site needs.
func (c Cookie) HTTP() *http.Cookie {
	return &http.Cookie{Name: c.Name, Value: c.Value, MaxAge: c.MaxAge, Path: "/"}
}

// Offers is the result of a call. The messages in it are parts of Raw and share its memory: do not change them.
type Offers struct {
	// Request is the request as it was sent, or would have been.
	Request json.RawMessage
	// Response is the Delivery API response, digit for digit. Decode reads it.
	Response json.RawMessage
	// TargetCookie is to be set, and to be given as Options.TargetCookie of the visitor's next call.
	TargetCookie Cookie
	// TargetLocationHintCookie is nil while no cluster is known.
	TargetLocationHintCookie *Cookie
	// AnalyticsDetails, Trace and ResponseTokens are gathered from the whole response; nil where there are none.
	AnalyticsDetails, Trace, ResponseTokens []json.RawMessage
	// Meta tells about decisions and notifications.
	Meta Meta
	// VisitorState is to be handed to the visitor library in the browser.
	VisitorState json.RawMessage
	// Raw is the whole result.
	Raw json.RawMessage
}

// Decode reads the response.
func (o *Offers) Decode() (*DeliveryResponse, error) {
	response := new(DeliveryResponse)
	if err := json.Unmarshal(o.Response, response); err != nil {
		return nil, unreadable("the response", err)
	}
	return response, nil
}

// SetCookies sets the cookies of the result in the answer to the visitor's browser.
func (o *Offers) SetCookies(w http.ResponseWriter) {
	http.SetCookie(w, o.TargetCookie.HTTP())
	if o.TargetLocationHintCookie != nil {
		http.SetCookie(w, o.TargetLocationHintCookie.HTTP())
	}
}

// Meta tells about decisions and notifications.
type Meta struct {
	// DecisioningMethod is who decided.
	DecisioningMethod DecisioningMethod `json:"decisioning_method"`
	// RemoteMboxes and RemoteViews are what only the edge can decide.
	RemoteMboxes []string `json:"remote_mboxes"`
	RemoteViews  []string `json:"remote_views"`
	// EdgeReason is why a hybrid call went to the edge although the two are empty: "not_ready", "notifications".
	EdgeReason string `json:"edge_reason"`
	// Notifications is about those of the request, or nil.
	Notifications *NotificationsMeta `json:"notifications"`
}

// NotificationsMeta is what became of notifications.
type NotificationsMeta struct {
	// Acknowledged ids were processed.
	Acknowledged []string `json:"acknowledged"`
	// Unacknowledged ids were left out by the edge: not processed, they can be sent again.
	Unacknowledged []string `json:"unacknowledged"`
	// NotQueued are impressions of a decision on this machine that the background queue did not take: report them by
	// SendNotifications.
	NotQueued []json.RawMessage `json:"not_queued"`
}

// Attributes is the result of GetAttributes: the JSON offers of each mbox as its attributes.
type Attributes struct {
	Offers
	// All has all attributes, {"<mbox>":{"<key>":value}}.
	All json.RawMessage

	byMbox map[string]map[string]json.RawMessage
}

// Value gives one attribute as JSON. It is an error (ErrInvalidOptions) if there is none of that name.
func (a *Attributes) Value(mbox, key string) (json.RawMessage, error) {
	value, ok := a.byMbox[mbox][key]
	if !ok {
		message := fmt.Sprintf("Attribute '%s' does not exist for mbox '%s'", key, mbox)
		return nil, newError(ErrInvalidOptions, "validate", key, message)
	}
	return value, nil
}

// Read stores one attribute in the variable that into points to, as json.Unmarshal does.
func (a *Attributes) Read(mbox, key string, into any) error {
	value, err := a.Value(mbox, key)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(value, into); err != nil {
		message := fmt.Sprintf("Attribute '%s' of mbox '%s' is of another type: %s", key, mbox, err)
		return newError(ErrInvalidOptions, "validate", key, message)
	}
	return nil
}

// ReadMbox stores all attributes of an mbox in the struct or map that into points to, as json.Unmarshal does.
func (a *Attributes) ReadMbox(mbox string, into any) error {
	all, ok := a.byMbox[mbox]
	if !ok {
		return newError(ErrInvalidOptions, "validate", mbox, fmt.Sprintf("Mbox '%s' has no attributes", mbox))
	}
	text, err := json.Marshal(all)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		message := fmt.Sprintf("The attributes of mbox '%s' are of another type: %s", mbox, err)
		return newError(ErrInvalidOptions, "validate", mbox, message)
	}
	return nil
}

func readOffers(envelope []byte) (*Offers, error) {
	attributes, err := readEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	return &attributes.Offers, nil
}

func readAttributes(envelope []byte) (*Attributes, error) {
	attributes, err := readEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(attributes.All, &attributes.byMbox); err != nil {
		return nil, unreadable("the attributes", err)
	}
	return attributes, nil
}

func readEnvelope(envelope []byte) (*Attributes, error) {
	a := &Attributes{Offers: Offers{Raw: envelope}}
	err := members(envelope, func(key, value []byte) (err error) {
		switch string(key) {
		case "request":
			a.Request = value
		case "response":
			a.Response = value
		case "target_cookie":
			err = json.Unmarshal(value, &a.TargetCookie)
		case "target_location_hint_cookie":
			err = json.Unmarshal(value, &a.TargetLocationHintCookie)
		case "analytics_details":
			a.AnalyticsDetails, err = elements(value)
		case "trace":
			a.Trace, err = elements(value)
		case "response_tokens":
			a.ResponseTokens, err = elements(value)
		case "meta":
			err = json.Unmarshal(value, &a.Meta)
		case "visitor_state":
			a.VisitorState = value
		case "attributes":
			a.All = value
		}
		return err
	})
	if err != nil {
		return nil, unreadable("the result", err)
	}
	return a, nil
}
