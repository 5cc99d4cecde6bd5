// SPDX-License-Identifier: Apache-2.0 OR MIT

package adobetarget

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

var discard = json.RawMessage(`{"notifications":[{"id":"1","type":"display","timestamp":1621530726000,` +
	`"mbox":{"name":"home"},"tokens":["a token"]}]}`)

func BenchmarkCrossingToC(b *testing.B) {
	for i := 0; i < b.N; i++ {
		nativeABI() // what one crossing to C costs
	}
}

func BenchmarkEnqueueNotifications(b *testing.B) {
	edge := startEdge(b, "--accept-any-token")
	config := edge.config()
	config.Notifications.MaxQueued = 1 << 30
	config.Notifications.FlushInterval = Duration(time.Hour)
	config.CloseTimeout = Duration(0)
	client := edge.client(config)
	ctx := context.Background()
	options := make([]Options, 1000)
	for i := range options {
		options[i] = Options{Request: discard, SessionID: fmt.Sprint("session-", i)}
	}
	edge.always(`{"type":"silence"}`)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if _, err := client.EnqueueNotifications(ctx, options[i%len(options)]); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	over, cancel := context.WithCancel(ctx)
	cancel()
	_, _ = client.Close(over)
}

func benchmarkOffers(b *testing.B, client *Client, parallel bool) {
	options := Options{Request: json.RawMessage(`{"execute":{"mboxes":[{"name":"cart"}]}}`), SessionID: "a-session"}
	ctx := context.Background()
	b.ReportAllocs()
	b.ResetTimer()
	if !parallel {
		for i := 0; i < b.N; i++ {
			if _, err := client.GetOffers(ctx, options); err != nil {
				b.Fatal(err)
			}
		}
		return
	}
	b.SetParallelism(50)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := client.GetOffers(ctx, options); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkGetOffersOnDevice(b *testing.B) {
	edge := startEdge(b, "--default-artifact")
	benchmarkOffers(b, edge.client(edge.onDevice()), false)
}

func BenchmarkGetOffersOnDeviceByPoller(b *testing.B) {
	edge := startEdge(b, "--default-artifact")
	config := edge.onDevice()
	config.DecisioningMethod = Hybrid
	benchmarkOffers(b, edge.client(config), false)
}

func BenchmarkGetOffersOnDeviceInParallel(b *testing.B) {
	edge := startEdge(b, "--default-artifact")
	benchmarkOffers(b, edge.client(edge.onDevice()), true)
}

func BenchmarkGetOffersServerSide(b *testing.B) {
	benchmarkOffers(b, startEdge(b).clientOf(), false)
}

func BenchmarkGetOffersServerSideInParallel(b *testing.B) {
	benchmarkOffers(b, startEdge(b).clientOf(), true)
}

func (e edge) clientOf() *Client { return e.client(e.config()) }

// What Go does beside the library for a decision: writing options and reading the result.
func BenchmarkOptionsAndResultAlone(b *testing.B) {
	edge := startEdge(b, "--default-artifact")
	options := Options{Request: json.RawMessage(`{"execute":{"mboxes":[{"name":"cart"}]}}`), SessionID: "a-session"}
	offers := must[*Offers](b)(edge.client(edge.onDevice()).GetOffers(context.Background(), options))
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if _, err := options.json(0); err != nil {
			b.Fatal(err)
		}
		if _, err := readOffers(offers.Raw); err != nil {
			b.Fatal(err)
		}
	}
}
