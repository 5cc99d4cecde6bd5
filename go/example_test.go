// SPDX-License-Identifier: Apache-2.0 OR MIT

package adobetarget_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"adobetarget"
)

// account is that of a local edge. Yours has Client and OrganizationID alone.
func account() adobetarget.Config { return adobetarget.EdgeOfExamples() }

func ExampleClient_GetOffers() {
	client, err := adobetarget.New(account())
	if err != nil {
		panic(err)
	}
	defer client.Close(context.Background())

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	offers, err := client.GetOffers(ctx, adobetarget.Options{
		Request: adobetarget.DeliveryRequest{
			Execute: &adobetarget.ExecuteRequest{Mboxes: adobetarget.Mboxes("product1")},
		},
		// TargetCookie: the value of the visitor's mbox cookie
	})
	if err != nil {
		panic(err)
	}
	response, err := offers.Decode()
	if err != nil {
		panic(err)
	}
	fmt.Println(response.Execute.Mbox("product1").Options[0].Text())
	fmt.Println("set the cookie", offers.TargetCookie.Name)
	// Output:
	// <span class="badge">Bestseller</span>
	// set the cookie mbox
}

func ExampleClient_GetAttributes() {
	client, err := adobetarget.New(account())
	if err != nil {
		panic(err)
	}
	defer client.Close(context.Background())

	attributes, err := client.GetAttributes(context.Background(), []string{"cart"}, adobetarget.Options{})
	if err != nil {
		panic(err)
	}
	var discount int
	if err := attributes.Read("cart", "discount", &discount); err != nil {
		panic(err)
	}
	fmt.Println(discount, "percent off")
	// Output: 15 percent off
}

func ExampleClient_SendNotifications() {
	client, err := adobetarget.New(account())
	if err != nil {
		panic(err)
	}
	defer client.Close(context.Background())
	ctx := context.Background()

	offers, err := client.GetOffers(ctx, adobetarget.Options{
		Request: adobetarget.DeliveryRequest{
			Prefetch: &adobetarget.PrefetchRequest{Mboxes: adobetarget.Mboxes("product1")},
		},
	})
	if err != nil {
		panic(err)
	}
	response, err := offers.Decode()
	if err != nil {
		panic(err)
	}
	shown := response.Prefetch.Mbox("product1").Displayed("1", time.Now())
	reported, err := client.SendNotifications(ctx, adobetarget.Options{
		Request:      adobetarget.DeliveryRequest{Notifications: []adobetarget.Notification{shown}},
		TargetCookie: offers.TargetCookie.Value,
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(reported.Meta.Notifications.Acknowledged)
	// Output: [1]
}

func ExampleClient_EnqueueNotifications() {
	client, err := adobetarget.New(account())
	if err != nil {
		panic(err)
	}
	shown := adobetarget.Display("1", time.Now())
	shown.Mbox = &adobetarget.NotificationMbox{Name: "home"}
	accepted, err := client.EnqueueNotifications(context.Background(), adobetarget.Options{
		Request:   adobetarget.DeliveryRequest{Notifications: []adobetarget.Notification{shown}},
		SessionID: "a-session",
	})
	if err != nil {
		panic(err)
	}
	fmt.Println("accepted", accepted)

	// Delivers what waits.
	counts, err := client.Close(context.Background())
	if err != nil {
		panic(err)
	}
	fmt.Println("acknowledged", counts.Acknowledged)
	for event := range client.Events() {
		fmt.Println(event.Type, event.IDs)
	}
	// Output:
	// accepted [1]
	// acknowledged 1
	// client_ready []
	// notification_acknowledged [1]
}

func ExampleError() {
	client, err := adobetarget.New(account())
	if err != nil {
		panic(err)
	}
	defer client.Close(context.Background())

	_, err = client.SendNotifications(context.Background(), adobetarget.Options{
		Request: map[string]any{"notifications": []any{map[string]any{"id": "1", "type": "display"}}},
	})
	var failed *adobetarget.Error
	if errors.As(err, &failed) {
		fmt.Println(failed.Code, failed.Field, failed.Retryable)
	}
	fmt.Println(errors.Is(err, adobetarget.ErrInvalidOptions))
	// Output:
	// TARGET_ERR_INVALID_OPTIONS request.notifications[0].timestamp false
	// true
}

func ExampleClient_WaitReady() {
	config := account()
	config.DecisioningMethod = adobetarget.OnDevice
	client, err := adobetarget.New(config)
	if err != nil {
		panic(err)
	}
	defer client.Close(context.Background())

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := client.WaitReady(ctx); err != nil {
		panic(err)
	}
	attributes, err := client.GetAttributes(ctx, []string{"cart"}, adobetarget.Options{})
	if err != nil {
		panic(err)
	}
	fmt.Println(attributes.Meta.DecisioningMethod)
	// Output: on-device
}
