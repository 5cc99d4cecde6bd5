// SPDX-License-Identifier: Apache-2.0 OR MIT

//go:build cgo

package adobetarget

import (
	"encoding/json"
	"time"
)

// The parts of the Delivery API that most programs use. Options.Request takes a map, a struct or a json.RawMessage for
// all others; fields of type any take the same.

// DeliveryRequest is a request to the Delivery API.
type DeliveryRequest struct {
	RequestID       string           `json:"requestId,omitempty"`
	ImpressionID    string           `json:"impressionId,omitempty"`
	ID              *VisitorID       `json:"id,omitempty"`
	EnvironmentID   *int             `json:"environmentId,omitempty"`
	Property        *Property        `json:"property,omitempty"`
	Trace           any              `json:"trace,omitempty"`
	Context         any              `json:"context,omitempty"`
	ExperienceCloud any              `json:"experienceCloud,omitempty"`
	Execute         *ExecuteRequest  `json:"execute,omitempty"`
	Prefetch        *PrefetchRequest `json:"prefetch,omitempty"`
	Notifications   []Notification   `json:"notifications,omitempty"`
	QAMode          any              `json:"qaMode,omitempty"`
	Preview         any              `json:"preview,omitempty"`
}

// VisitorID is who visits.
type VisitorID struct {
	TntID                   string       `json:"tntId,omitempty"`
	ThirdPartyID            string       `json:"thirdPartyId,omitempty"`
	MarketingCloudVisitorID string       `json:"marketingCloudVisitorId,omitempty"`
	CustomerIDs             []CustomerID `json:"customerIds,omitempty"`
}

// CustomerID is a visitor's id in a system of yours.
type CustomerID struct {
	ID              string `json:"id,omitempty"`
	IntegrationCode string `json:"integrationCode,omitempty"`
	// AuthenticatedState is "unknown", "authenticated" or "logged_out".
	AuthenticatedState string `json:"authenticatedState,omitempty"`
}

// Property is the property whose activities are evaluated.
type Property struct {
	Token string `json:"token"`
}

// ExecuteRequest asks for what is shown now: impressions are counted at once.
type ExecuteRequest struct {
	PageLoad *RequestDetails `json:"pageLoad,omitempty"`
	Mboxes   []MboxRequest   `json:"mboxes,omitempty"`
}

// PrefetchRequest asks for what may be shown later: impressions are counted when a Notification tells that it was.
type PrefetchRequest struct {
	Views    []ViewRequest   `json:"views,omitempty"`
	PageLoad *RequestDetails `json:"pageLoad,omitempty"`
	Mboxes   []MboxRequest   `json:"mboxes,omitempty"`
}

// RequestDetails is what decisions may depend on.
type RequestDetails struct {
	Address           any               `json:"address,omitempty"`
	Parameters        map[string]string `json:"parameters,omitempty"`
	ProfileParameters map[string]string `json:"profileParameters,omitempty"`
	Order             any               `json:"order,omitempty"`
	Product           any               `json:"product,omitempty"`
}

// MboxRequest asks for an mbox. The library numbers those without an index.
type MboxRequest struct {
	Name  string `json:"name"`
	Index *int   `json:"index,omitempty"`
	RequestDetails
}

// ViewRequest asks for a view of a single-page application; without a name and key for all of them.
type ViewRequest struct {
	Name string `json:"name,omitempty"`
	Key  string `json:"key,omitempty"`
	RequestDetails
}

// Mboxes asks for these mboxes.
func Mboxes(names ...string) []MboxRequest {
	mboxes := make([]MboxRequest, len(names))
	for i, name := range names {
		mboxes[i].Name = name
	}
	return mboxes
}

// Notification tells what a visitor was shown or has clicked: of an mbox, a view or the page load. Display and Click
// fill in what the API requires.
type Notification struct {
	// ID comes back when the notification was processed, at most 200 characters.
	ID string `json:"id"`
	// ImpressionID is made by the library for a display that has none.
	ImpressionID string `json:"impressionId,omitempty"`
	// Type is "display" or "click".
	Type string `json:"type"`
	// Timestamp is in milliseconds since 1970; without one the notification is refused.
	Timestamp int64 `json:"timestamp,omitempty"`
	// Tokens are those of the options shown, or of the metrics clicked.
	Tokens   []string              `json:"tokens,omitempty"`
	Mbox     *NotificationMbox     `json:"mbox,omitempty"`
	View     *NotificationView     `json:"view,omitempty"`
	PageLoad *NotificationPageLoad `json:"pageLoad,omitempty"`
	RequestDetails
}

// NotificationMbox is the mbox that a notification concerns.
type NotificationMbox struct {
	Name  string `json:"name"`
	State string `json:"state,omitempty"`
}

// NotificationView is the view that a notification concerns.
type NotificationView struct {
	Name  string `json:"name,omitempty"`
	Key   string `json:"key,omitempty"`
	State string `json:"state,omitempty"`
}

// NotificationPageLoad is the page load that a notification concerns.
type NotificationPageLoad struct {
	State string `json:"state,omitempty"`
}

// Display tells that content was shown. What was shown is to be filled in: Tokens, and Mbox, View or PageLoad.
func Display(id string, at time.Time) Notification {
	return Notification{ID: id, Type: "display", Timestamp: at.UnixMilli()}
}

// Click tells that an element was clicked. What was clicked is to be filled in: Tokens, and Mbox, View or PageLoad.
func Click(id string, at time.Time) Notification {
	return Notification{ID: id, Type: "click", Timestamp: at.UnixMilli()}
}

// DeliveryResponse is the answer; Offers.Response has all of it.
type DeliveryResponse struct {
	Status    int             `json:"status"`
	RequestID string          `json:"requestId"`
	ID        VisitorID       `json:"id"`
	Client    string          `json:"client"`
	EdgeHost  string          `json:"edgeHost"`
	Execute   ItemsOfResponse `json:"execute"`
	Prefetch  ItemsOfResponse `json:"prefetch"`
}

// ItemsOfResponse are the offers of an execute or a prefetch.
type ItemsOfResponse struct {
	PageLoad *PageLoadResponse `json:"pageLoad"`
	Mboxes   []MboxResponse    `json:"mboxes"`
	Views    []ViewResponse    `json:"views"`
}

// Mbox gives the first answer for that mbox, or nil.
func (i ItemsOfResponse) Mbox(name string) *MboxResponse {
	for at := range i.Mboxes {
		if i.Mboxes[at].Name == name {
			return &i.Mboxes[at]
		}
	}
	return nil
}

// MboxResponse has the offers of an mbox.
type MboxResponse struct {
	Index   int             `json:"index"`
	Name    string          `json:"name"`
	Options []Option        `json:"options"`
	Metrics []Metric        `json:"metrics"`
	State   string          `json:"state"`
	Trace   json.RawMessage `json:"trace"`
}

// Displayed tells that all options of a prefetched mbox were shown.
func (m *MboxResponse) Displayed(id string, at time.Time) Notification {
	display := Display(id, at)
	display.Mbox = &NotificationMbox{Name: m.Name, State: m.State}
	for _, option := range m.Options {
		if option.EventToken != "" {
			display.Tokens = append(display.Tokens, option.EventToken)
		}
	}
	return display
}

// ViewResponse has the offers of a view.
type ViewResponse struct {
	Name    string          `json:"name"`
	Key     string          `json:"key"`
	Options []Option        `json:"options"`
	Metrics []Metric        `json:"metrics"`
	State   string          `json:"state"`
	Trace   json.RawMessage `json:"trace"`
}

// PageLoadResponse has the offers of the page as a whole.
type PageLoadResponse struct {
	Options []Option        `json:"options"`
	Metrics []Metric        `json:"metrics"`
	State   string          `json:"state"`
	Trace   json.RawMessage `json:"trace"`
}

// Option is one offer.
type Option struct {
	Type string `json:"type"`
	// Content is a string for HTML, and an object or an array for JSON and actions.
	Content json.RawMessage `json:"content"`
	// EventToken is what a display notification reports.
	EventToken     string                     `json:"eventToken"`
	ResponseTokens map[string]json.RawMessage `json:"responseTokens"`
}

// Text gives content that is a string, as HTML is, and any other content as JSON.
func (o Option) Text() string {
	var text string
	if json.Unmarshal(o.Content, &text) != nil {
		return string(o.Content)
	}
	return text
}

// Metric is what can be clicked.
type Metric struct {
	Type     string `json:"type"`
	Selector string `json:"selector"`
	// EventToken is what a click notification reports.
	EventToken string `json:"eventToken"`
}
