// SPDX-License-Identifier: Apache-2.0 OR MIT

package adobetarget

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestEventsTellWhatBecameOfNotifications(t *testing.T) {
	edge := startEdge(t)
	client := edge.client(edge.config())
	ctx := context.Background()
	events := client.Events()
	offers := must[*Offers](t)(client.GetOffers(ctx, Options{
		Request: DeliveryRequest{Prefetch: &PrefetchRequest{Mboxes: Mboxes("home")}},
	}))
	good := must[*DeliveryResponse](t)(offers.Decode()).Prefetch.Mbox("home").Displayed("good", time.Now())
	bad := good
	bad.ID, bad.Tokens = "bad", []string{"a token that the edge never issued"}
	request := DeliveryRequest{Notifications: []Notification{good, bad}}
	options := Options{Request: request, TargetCookie: offers.TargetCookie.Value}
	must[[]string](t)(client.EnqueueNotifications(ctx, options))
	counts := must[Counts](t)(client.Flush(timeLeft(t, patience)))
	same(t, "counts", counts, Counts{Acknowledged: 1, Rejected: 1})
	must[Counts](t)(client.Close(ctx))

	outcome := make(map[string]string)
	types := make(map[string]int)
	for event := range events {
		types[event.Type]++
		if event.Timestamp.IsZero() || len(event.Raw) == 0 {
			t.Errorf("%+v", event)
		}
		switch event.Type {
		case NotificationAcknowledged, NotificationRejected:
			for _, id := range event.IDs {
				outcome[id] = event.Type
			}
			if event.SessionID == "" || event.Attempts == 0 {
				t.Errorf("%s", event.Raw)
			}
		case SendNotificationError:
			var failed *Error
			if !errors.As(event.Err, &failed) || !errors.Is(event.Err, ErrHTTP) || failed.HTTPStatus != 400 {
				t.Errorf("%v: %s", event.Err, event.Raw)
			}
		}
	}
	same(t, "outcome", outcome, map[string]string{"good": NotificationAcknowledged, "bad": NotificationRejected})
	same(t, "client_ready", types[ClientReady], 1)
}

func TestUnreadEventsNeitherHoldUpCloseNorAreLost(t *testing.T) {
	edge := startEdge(t, "--accept-any-token")
	ctx := context.Background()
	config := edge.config()
	config.EventBuffer = 4
	config.Notifications.MaxBatch = 1
	for name, opened := range map[string]bool{"opened before": true, "opened after": false} {
		client := edge.client(config)
		if opened {
			client.Events()
		}
		for i := 0; i < 20; i++ {
			id := fmt.Sprint(i)
			options := display(id)
			options.SessionID = "session-" + id
			must[[]string](t)(client.EnqueueNotifications(ctx, options))
		}
		must[Counts](t)(client.Flush(timeLeft(t, patience)))
		same(t, "acknowledged", must[Stats](t)(client.Stats()).Notifications.Acknowledged, 20)
		must[Counts](t)(client.Close(timeLeft(t, patience)))

		read, lost := 0, 0
		for event := range client.Events() {
			read++
			lost += int(event.Lost)
		}
		if read != 4 || read+lost != 21 { // with client_ready
			t.Errorf("%s: %d events read, %d lost", name, read, lost)
		}
		if client.Events() != client.Events() {
			t.Error("another channel")
		}
	}
}

func TestEventsAreHandedOverWhileTheyCome(t *testing.T) {
	edge := startEdge(t, "--accept-any-token")
	client := edge.client(edge.config())
	same(t, "the first event", (<-client.Events()).Type, ClientReady)
	for i := 0; i < 100; i++ {
		id := fmt.Sprint(i)
		must[[]string](t)(client.EnqueueNotifications(context.Background(), display(id)))
		must[Counts](t)(client.Flush(timeLeft(t, patience)))
		event := <-client.Events()
		same(t, "ids", event.IDs, []string{id})
	}
}
