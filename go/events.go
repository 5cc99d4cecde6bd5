// SPDX-License-Identifier: Apache-2.0 OR MIT

//go:build cgo

package adobetarget

import (
	"encoding/json"
	"sync"
	"time"
)

// Types of events; new ones may come.
const (
	ClientReady               = "client_ready"
	ArtifactDownloadSucceeded = "artifact_download_succeeded"
	ArtifactDownloadFailed    = "artifact_download_failed"
	ArtifactRuleSkipped       = "artifact_rule_skipped"
	GeoLocationUpdated        = "geo_location_updated"
	SendNotificationError     = "send_notification_error"
	NotificationAcknowledged  = "notification_acknowledged"
	NotificationRejected      = "notification_rejected"
	NotificationDropped       = "notification_dropped"
)

// Event is something that has happened without being asked for. Type and Timestamp are always there; which of the other
// fields are is told by the type, see docs/notifications.md and docs/on-device.md.
type Event struct {
	Type      string
	Timestamp time.Time
	// Lost is the number of events that were lost before this one, because nobody has taken them.
	Lost uint64
	// IDs are notifications.
	IDs []string
	// SessionID and Attempts are those of a batch of notifications.
	SessionID string
	Attempts  int
	// Reason is why notifications were rejected or dropped ("rejected", "expired", "outcome_unknown", "closed"), or a
	// rule was skipped.
	Reason     string
	HTTPStatus int
	APIMessage string
	// Err is an *Error, or nil.
	Err error
	// Location, Version and ETag are those of an artifact.
	Location, Version, ETag string
	RuleKey                 string
	// Geo is a place.
	Geo json.RawMessage
	// Raw is the whole event.
	Raw json.RawMessage
}

// events hands events over to a channel.
type events struct {
	mutex    sync.Mutex
	channel  chan Event
	finished bool
	// closing is closed when the library's client has closed: nothing may block any more.
	closing chan struct{}
	// ended is closed when the pump has ended.
	ended chan struct{}
}

// The largest number of events that the channel has room for.
const mostEvents = 1 << 16

// Events gives the channel of what happens, always the same. It ends when the client is closed, after the last event;
// what was not taken stays readable then. The library keeps Config.EventBuffer events before the first call, and the
// channel as many more; beyond it the oldest goes, and a later one has their number in Lost. An event is a notice:
// losing one loses no notification.
//
// Waiting for events takes one thread from the first call on.
func (c *Client) Events() <-chan Event {
	if c == nil || c.closing == nil {
		none := make(chan Event)
		close(none)
		return none
	}
	return c.events.open(c.native, c.settings.eventBuffer)
}

func (e *events) open(native nativeClient, buffer int) <-chan Event {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if e.channel == nil {
		if buffer < 1 || buffer > mostEvents {
			buffer = mostEvents
		}
		e.channel = make(chan Event, buffer)
		e.closing, e.ended = make(chan struct{}), make(chan struct{})
		go e.pump(native)
	}
	return e.channel
}

func (e *events) pump(native nativeClient) {
	defer close(e.ended)
	defer close(e.channel)
	for {
		answer := native.nextEvent(waitForever)
		switch answer.status {
		case 0:
			event := readEvent(answer.text)
			select {
			case e.channel <- event:
			default:
				select {
				case e.channel <- event:
				case <-e.closing:
					e.push(event)
				}
			}
		case ErrClosed:
			return
		case ErrPending:
		default:
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// push makes room for an event.
func (e *events) push(event Event) {
	for {
		select {
		case e.channel <- event:
			return
		default:
		}
		select {
		case oldest := <-e.channel:
			event.Lost += oldest.Lost + 1
		default:
		}
	}
}

// finish hands over what is left in a client that has closed, and ends the channel.
func (e *events) finish(native nativeClient) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if e.channel != nil {
		close(e.closing)
		<-e.ended
		return
	}
	var left []Event
	for {
		answer := native.nextEvent(0)
		if answer.status != 0 {
			break
		}
		left = append(left, readEvent(answer.text))
	}
	e.channel = make(chan Event, len(left))
	for _, event := range left {
		e.channel <- event
	}
	close(e.channel)
}

func readEvent(text []byte) Event {
	event := Event{Raw: text}
	var read struct {
		Type       string          `json:"type"`
		Timestamp  int64           `json:"timestamp"`
		Lost       uint64          `json:"lost"`
		IDs        []string        `json:"ids"`
		SessionID  string          `json:"session_id"`
		Attempts   int             `json:"attempts"`
		Reason     string          `json:"reason"`
		HTTPStatus int             `json:"http_status"`
		APIMessage string          `json:"api_message"`
		Error      json.RawMessage `json:"error"`
		Location   string          `json:"location"`
		Version    string          `json:"version"`
		ETag       string          `json:"etag"`
		RuleKey    string          `json:"rule_key"`
		Geo        json.RawMessage `json:"geo"`
	}
	// A member of a type that this version does not expect leaves its field empty; Raw has it.
	_ = json.Unmarshal(text, &read)
	event.Type, event.Timestamp, event.Lost = read.Type, time.UnixMilli(read.Timestamp), read.Lost
	event.IDs, event.SessionID, event.Attempts = read.IDs, read.SessionID, read.Attempts
	event.Reason, event.HTTPStatus, event.APIMessage = read.Reason, read.HTTPStatus, read.APIMessage
	event.Location, event.Version, event.ETag = read.Location, read.Version, read.ETag
	event.RuleKey, event.Geo = read.RuleKey, read.Geo
	if len(read.Error) > 0 {
		failed := new(Error)
		if readError(read.Error, failed) == nil {
			failed.Status = statusOf(failed.Code)
			event.Err = failed
		}
	}
	return event
}

// statusOf is the status of that name, 0 for one that this version does not know.
func statusOf(code string) Status {
	for status := ErrInvalidArgument; status <= ErrUnsupported; status++ {
		if statusName(status) == code {
			return status
		}
	}
	return 0
}
