// SPDX-License-Identifier: Apache-2.0 OR MIT

package adobetarget

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The most threads that a client may add, with 1,000 goroutines in it: 32 of the library that make calls, 32 that start
// them, one poller, the queue's and Go's own.
const mostThreads = 120

func TestAThousandWaitingGoroutinesAreFewThreads(t *testing.T) {
	edge := startEdge(t)
	edge.always(`{"type":"silence"}`)
	config := edge.config()
	config.Timeout = time.Hour
	client := edge.client(config)
	before := threads(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1000)
	for i := 0; i < cap(ended); i++ {
		go func() {
			_, err := client.GetOffers(ctx, home())
			ended <- err
		}()
	}
	eventually(t, "1,000 calls are in flight", func() bool {
		return must[Stats](t)(client.Stats()).Calls.InFlight == 1000
	})
	waiting := threads(t)
	t.Logf("%d threads with 1,000 waiting goroutines, %d before", waiting, before)
	if waiting > before+mostThreads {
		t.Errorf("%d threads with 1,000 waiting goroutines, %d before", waiting, before)
	}
	cancel()
	for i := 0; i < cap(ended); i++ {
		if err := <-ended; !errors.Is(err, context.Canceled) || !errors.Is(err, ErrCancelled) {
			t.Fatal(err)
		}
	}
	nothingInFlight(t, client)
	client.calls.mutex.Lock()
	defer client.calls.mutex.Unlock()
	same(t, "left behind", len(client.calls.waiting)+len(client.calls.early)+len(client.calls.taken), 0)
}

func TestAThousandGoroutinesAreCountedOnceEach(t *testing.T) {
	edge := startEdge(t, "--accept-any-token")
	config := edge.config()
	config.Timeout = patience
	client := edge.client(config)
	ctx := context.Background()
	before := threads(t)
	most, stop := watchThreads(t)

	const goroutines, each = 1000, 3
	var group sync.WaitGroup
	var shown atomic.Int64
	for g := 0; g < goroutines; g++ {
		g := g
		group.Add(1)
		go func() {
			defer group.Done()
			for n := 0; n < each; n++ {
				options := display(fmt.Sprintf("%d-%d", g, n))
				options.SessionID = fmt.Sprintf("session-%d-%d", g, n)
				switch n {
				case 0:
					if _, err := client.EnqueueNotifications(ctx, options); err != nil {
						t.Error(err)
						return
					}
				case 1:
					sent, err := client.SendNotifications(ctx, options)
					if err != nil || len(sent.Meta.Notifications.Acknowledged) != 1 ||
						sent.Meta.Notifications.Acknowledged[0] != fmt.Sprintf("%d-%d", g, n) {
						t.Error(sent, err)
						return
					}
				default:
					offers, err := client.GetOffers(ctx, Options{
						Request: DeliveryRequest{Execute: &ExecuteRequest{Mboxes: Mboxes("home")}}, SessionID: options.SessionID,
					})
					if err != nil || len(offers.Response) == 0 {
						t.Error(err)
						return
					}
				}
				shown.Add(1)
			}
		}()
	}
	group.Wait()
	must[Counts](t)(client.Close(timeLeft(t, patience)))
	stop()
	t.Logf("%d threads at the most, %d before", most.Load(), before)
	if most.Load() > int64(before+mostThreads) {
		t.Errorf("%d threads at the most, %d before", most.Load(), before)
	}
	report := edge.report()
	same(t, "impressions", []any{report.Impressions.Total, report.DuplicateImpressions}, []any{goroutines * each, 0})
	same(t, "notifications", []any{report.Notifications.Distinct, shown.Load()}, []any{goroutines * 2, goroutines * each})
}

func TestCallsContextsAndCloseAtTheSameTime(t *testing.T) {
	edge := startEdge(t, "--accept-any-token", "--default-artifact")
	for round := 0; round < 5; round++ {
		config := edge.config()
		if round%2 == 1 {
			config = edge.onDevice()
		}
		client := edge.client(config)
		var group sync.WaitGroup
		events := client.Events()
		group.Add(1)
		go func() {
			defer group.Done()
			for range events {
			}
		}()
		for g := 0; g < 200; g++ {
			g := g
			group.Add(1)
			go func() {
				defer group.Done()
				for n := 0; ; n++ {
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+(g+n)%20)*time.Millisecond)
					var err error
					switch (g + n) % 8 {
					case 0:
						_, err = client.EnqueueNotifications(ctx, display(fmt.Sprintf("%d-%d", g, n)))
					case 1:
						_, err = client.Flush(ctx)
					case 2:
						_, err = client.Stats()
					case 3:
						_, err = client.SendNotifications(ctx, display(fmt.Sprintf("%d-%d", g, n)))
					case 4:
						err = client.WaitReady(ctx)
					default:
						if n%3 == 0 {
							time.AfterFunc(time.Duration(g)*10*time.Microsecond, cancel)
						}
						_, err = client.GetOffers(ctx, home())
					}
					cancel()
					var failed *Error
					if errors.Is(err, ErrClosed) || n > 100000 {
						return
					}
					if errors.Is(err, ErrInternal) || (errors.As(err, &failed) && failed.Phase == "validate") {
						t.Error(err)
						return
					}
					select {
					case <-client.closed:
						return
					default:
						runtime.Gosched()
					}
				}
			}()
		}
		time.Sleep(100 * time.Millisecond)
		_, err := client.Close(timeLeft(t, 200*time.Millisecond))
		if err != nil {
			t.Error(err)
		}
		group.Wait()
	}
}

func TestLostCompletionsAreFoundByTheHandle(t *testing.T) {
	edge := startEdge(t)
	client := edge.client(edge.config())
	// As if the library had forgotten the completion: another takes it from the poller's queue.
	options := home()
	text := must[[]byte](t)(options.json(0))
	request, id, answer := client.native.start(getOffers, nil, text)
	defer request.free()
	if answer.status != 0 {
		t.Fatal(answer.failure())
	}
	eventually(t, "the poller has it", func() bool {
		client.calls.mutex.Lock()
		defer client.calls.mutex.Unlock()
		_, ok := client.calls.early[id]
		delete(client.calls.early, id)
		return ok
	})
	answer = client.calls.wait(context.Background(), id, request, false)
	if answer.status != 0 || len(answer.text) == 0 {
		t.Error(answer.failure())
	}
	must[*Offers](t)(client.GetOffers(context.Background(), options))
	eventually(t, "nothing is left", func() bool {
		client.calls.mutex.Lock()
		defer client.calls.mutex.Unlock()
		return len(client.calls.taken)+len(client.calls.waiting)+len(client.calls.early) == 0
	})
}

func TestTooManyCallsAreRefusedAndAllOthersEnd(t *testing.T) {
	edge := startEdge(t)
	edge.always(`{"type":"silence"}`)
	config := edge.config()
	config.Timeout = time.Hour
	client := edge.client(config)
	ctx, cancel := context.WithCancel(context.Background())
	const calls, room = 10200, 10032
	ended := make(chan error, calls)
	for i := 0; i < calls; i++ {
		go func() {
			_, err := client.GetOffers(ctx, home())
			ended <- err
		}()
	}
	for refused := 0; refused < calls-room; refused++ {
		err := <-ended
		var failed *Error
		if !errors.Is(err, ErrQueueFull) || !errors.As(err, &failed) || !failed.Retryable {
			t.Fatal(err)
		}
	}
	t.Logf("%d threads with %d waiting goroutines", threads(t), room)
	// All finish at the same time, which is as many as the library keeps.
	cancel()
	for i := 0; i < room; i++ {
		if err := <-ended; !errors.Is(err, context.Canceled) && !errors.Is(err, ErrQueueFull) {
			t.Fatal(err)
		}
	}
	nothingInFlight(t, client)
}

// watchThreads looks for the most threads until it is stopped.
func watchThreads(t *testing.T) (*atomic.Int64, func()) {
	var most atomic.Int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			if now := int64(threads(t)); now > most.Load() {
				most.Store(now)
			}
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return &most, func() {
		close(stop)
		<-stopped
	}
}
