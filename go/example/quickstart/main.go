// SPDX-License-Identifier: Apache-2.0 OR MIT

// The main job: ask for the offers of two mboxes, show one, report that it was shown.
//
//	go run ./example/quickstart 127.0.0.1:8080      # against a local edge: target-local-edge --port 8080
//	TARGET_CLIENT=… TARGET_ORGANIZATION=… go run ./example/quickstart
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"adobetarget"
)

func main() {
	config := adobetarget.Config{
		Client:         os.Getenv("TARGET_CLIENT"),
		OrganizationID: os.Getenv("TARGET_ORGANIZATION"),
	}
	if len(os.Args) > 1 {
		config = adobetarget.Config{
			Client:         "localedge",
			OrganizationID: "0DD934B85278256B0A490D44@AdobeOrg",
			ServerDomain:   os.Args[1],
			Secure:         adobetarget.Bool(false),
			Proxy:          "none",
		}
	}
	if err := run(config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		var failed *adobetarget.Error
		if errors.As(err, &failed) && failed.Phase == "validate" {
			fmt.Fprintf(os.Stderr, "Usage: %s ADDRESS            the address of a local edge, such as 127.0.0.1:8080\n"+
				"   or: TARGET_CLIENT=... TARGET_ORGANIZATION=... %s\n", os.Args[0], os.Args[0])
		}
		os.Exit(1)
	}
}

func run(config adobetarget.Config) error {
	client, err := adobetarget.New(config)
	if err != nil {
		return err
	}
	defer client.Close(context.Background())
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()

	// Prefetch: the offers come now and are counted when you say that they were shown.
	offers, err := client.GetOffers(ctx, adobetarget.Options{
		Request: adobetarget.DeliveryRequest{
			Prefetch: &adobetarget.PrefetchRequest{Mboxes: adobetarget.Mboxes("home", "product1")},
		},
	})
	if err != nil {
		return err
	}
	fmt.Printf("Request: %s\n", offers.Request)
	fmt.Printf("Set-Cookie: %s\n", offers.TargetCookie.HTTP())
	if offers.TargetLocationHintCookie != nil {
		fmt.Printf("Set-Cookie: %s\n", offers.TargetLocationHintCookie.HTTP())
	}

	// Show one of them.
	response, err := offers.Decode()
	if err != nil {
		return err
	}
	product := response.Prefetch.Mbox("product1")
	if product == nil {
		return errors.New("there is no offer for product1")
	}
	for _, option := range product.Options {
		fmt.Printf("Shown in product1: %s\n", option.Text())
	}

	// Report it, with the mbox's state and the options' tokens, in the same session.
	reported, err := client.SendNotifications(ctx, adobetarget.Options{
		Request: adobetarget.DeliveryRequest{
			Notifications: []adobetarget.Notification{product.Displayed("1", time.Now())},
		},
		TargetCookie: offers.TargetCookie.Value,
	})
	if err != nil {
		return err
	}
	fmt.Printf("Acknowledged: %q\n", reported.Meta.Notifications.Acknowledged)
	return nil
}
