// SPDX-License-Identifier: Apache-2.0 OR MIT

package adobetarget

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestAContextThatIsOverSendsNothing(t *testing.T) {
	edge := startEdge(t)
	client := edge.client(edge.config())
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancelLate := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancelLate()
	nearly, cancelNearly := context.WithTimeout(context.Background(), 500*time.Microsecond)
	defer cancelNearly()
	for _, of := range []struct {
		ctx  context.Context
		want error
	}{{cancelled, context.Canceled}, {late, context.DeadlineExceeded}, {nearly, context.DeadlineExceeded}} {
		if _, err := client.GetOffers(of.ctx, home()); err != of.want {
			t.Errorf("%v instead of %v", err, of.want)
		}
	}
	for _, call := range []func() error{
		func() error { _, err := client.EnqueueNotifications(cancelled, display("1")); return err },
		func() error { _, err := client.Flush(cancelled); return err },
		func() error { return client.WaitReady(cancelled) },
		func() error { _, err := client.Refresh(cancelled); return err },
	} {
		if err := call(); err != context.Canceled {
			t.Error(err)
		}
	}
	same(t, "requests", edge.report().Requests, 0)
}

func TestADeadlineEndsACall(t *testing.T) {
	edge := startEdge(t)
	edge.always(`{"type":"silence"}`)
	client := edge.client(edge.config())
	for _, timeout := range []time.Duration{2 * time.Millisecond, 50 * time.Millisecond, 120 * time.Millisecond} {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		_, err := client.GetOffers(ctx, home())
		cancel()
		if timeout == 2*time.Millisecond && err == context.DeadlineExceeded {
			continue // this goroutine came too late to call
		}
		var failed *Error
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &failed) ||
			(failed.Status != ErrTimeout && failed.Status != ErrCancelled) { // by this module, where the library is late
			t.Errorf("%v: %v", timeout, err)
		}
		if elapsed := time.Since(begun); elapsed > patience {
			t.Errorf("%v took %v", timeout, elapsed)
		}
	}
}

func TestTheShortestTimeoutCounts(t *testing.T) {
	edge := startEdge(t)
	edge.always(`{"type":"silence"}`)
	config := edge.config()
	config.Timeout = 30 * time.Millisecond
	client := edge.client(config)
	long := timeLeft(t, time.Hour)

	// That of the client, which is not the context's.
	_, err := client.GetOffers(long, home())
	if !errors.Is(err, ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	// That of the call.
	options := home()
	options.Timeout = 40 * time.Millisecond
	_, err = client.GetOffers(long, options)
	if !errors.Is(err, ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	// That of the context.
	options.Timeout = time.Hour
	_, err = client.GetOffers(timeLeft(t, 50*time.Millisecond), options)
	if !errors.Is(err, context.DeadlineExceeded) || (!errors.Is(err, ErrTimeout) && !errors.Is(err, ErrCancelled)) {
		t.Error(err)
	}
}

func TestACancelledContextEndsACall(t *testing.T) {
	edge := startEdge(t)
	edge.always(`{"type":"silence"}`)
	config := edge.config()
	config.Timeout = time.Hour
	client := edge.client(config)
	for _, parent := range []context.Context{context.Background(), timeLeft(t, time.Hour)} {
		ctx, cancel := context.WithCancel(parent)
		ended := make(chan error)
		go func() {
			_, err := client.GetOffers(ctx, home())
			ended <- err
		}()
		eventually(t, "a call is in flight", func() bool {
			return must[Stats](t)(client.Stats()).Calls.InFlight == 1
		})
		cancel()
		err := <-ended
		var failed *Error
		if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrCancelled) || !errors.As(err, &failed) ||
			failed.Code != "TARGET_ERR_CANCELLED" {
			t.Error(err)
		}
		nothingInFlight(t, client)
	}
}

func TestACancelThatComesLateLeavesTheResult(t *testing.T) {
	edge := startEdge(t)
	client := edge.client(edge.config())
	for i := 0; i < 200; i++ {
		i := i
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			time.Sleep(time.Duration(i) * 10 * time.Microsecond)
			cancel()
		}()
		offers, err := client.GetOffers(ctx, home())
		switch {
		case err == nil && offers.TargetCookie.Value != "":
		case errors.Is(err, context.Canceled):
		default:
			t.Fatal(offers, err)
		}
		cancel()
	}
}

func TestWaitsEndWithTheirContext(t *testing.T) {
	edge := startEdge(t, "--accept-any-token")
	edge.always(`{"type":"silence"}`)
	client := edge.client(edge.config())
	must[[]string](t)(client.EnqueueNotifications(context.Background(), display("a")))

	counts, err := client.Flush(timeLeft(t, 30*time.Millisecond))
	if !errors.Is(err, ErrPending) || !errors.Is(err, context.DeadlineExceeded) || counts.Pending != 1 {
		t.Errorf("%+v, %v", counts, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := client.Flush(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrCancelled) {
		t.Error(err)
	}
	must[Counts](t)(client.Close(timeLeft(t, 10*time.Millisecond)))

	// There is no artifact.
	config := edge.onDevice()
	config.MaximumWaitReady = Duration(0)
	unready := edge.client(config)
	if err := unready.WaitReady(timeLeft(t, 30*time.Millisecond)); !errors.Is(err, ErrPending) ||
		!errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if _, err := unready.GetOffers(context.Background(), home()); !errors.Is(err, ErrNotReady) {
		t.Error(err)
	}
	edge.always(`{"type":"silence","route":"artifact"}`)
	if _, err := unready.Refresh(timeLeft(t, 30*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	// A hundred waiters take 16 threads, and close ends them all.
	before := threads(t)
	ended := make(chan error)
	for i := 0; i < 100; i++ {
		go func() { ended <- unready.WaitReady(context.Background()) }()
	}
	eventually(t, "all places are taken", func() bool { return len(unready.inside[waitingReady]) == 16 })
	time.Sleep(10 * time.Millisecond)
	if now := threads(t); now > before+16+8 { // and some of Go's own
		t.Errorf("%d threads with a hundred waiters, %d before", now, before)
	}
	must[Counts](t)(unready.Close(context.Background()))
	for i := 0; i < 100; i++ {
		if err := <-ended; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}

func TestCancelledWaitsGiveTheirPlacesBack(t *testing.T) {
	edge := startEdge(t, "--accept-any-token")
	edge.always(`{"type":"silence"}`)
	config := edge.onDevice()
	config.MaximumWaitReady = Duration(0)
	client := edge.client(config)
	client.slices[flushing], client.slices[waitingReady] = 300*time.Millisecond, 300*time.Millisecond
	must[[]string](t)(client.EnqueueNotifications(context.Background(), display("a")))
	flush := func(ctx context.Context) error {
		counts, err := client.Flush(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			same(t, "counts", counts, Counts{Pending: 1})
		}
		return err
	}
	for kind, wait := range map[int]func(context.Context) error{flushing: flush, waitingReady: client.WaitReady} {
		for _, parent := range []context.Context{context.Background(), timeLeft(t, time.Hour)} {
			ctx, cancel := context.WithCancel(parent)
			ended := make(chan error)
			for i := 0; i < 16; i++ {
				go func() { ended <- wait(ctx) }()
			}
			eventually(t, "all places are taken", func() bool { return len(client.inside[kind]) == 16 })
			// One more has the library's answer all the same.
			var failed *Error
			err := wait(timeLeft(t, 20*time.Millisecond))
			if !errors.As(err, &failed) || failed.Status != ErrPending || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%d: %v", kind, err)
			}
			impatient, giveUp := context.WithCancel(context.Background())
			time.AfterFunc(20*time.Millisecond, giveUp)
			if err := wait(impatient); !errors.As(err, &failed) || failed.Status != ErrCancelled || !errors.Is(err, context.Canceled) {
				t.Errorf("%d: %v", kind, err)
			}
			cancel()
			for i := 0; i < 16; i++ {
				if err := <-ended; !errors.Is(err, context.Canceled) || !errors.Is(err, ErrCancelled) {
					t.Errorf("%d: %v", kind, err)
				}
			}
			eventually(t, "the places are free", func() bool { return len(client.inside[kind]) == 0 })
		}
	}
	must[Counts](t)(client.Close(timeLeft(t, 10*time.Millisecond)))
}

func TestALongFlushCountsEverything(t *testing.T) {
	edge := startEdge(t, "--accept-any-token")
	edge.faults(`[{"type":"delay","ms":100}]`)
	config := edge.config()
	config.Notifications = NotificationsConfig{MaxBatch: 1, Workers: 1}
	client := edge.client(config)
	client.slices[flushing] = 5 * time.Millisecond
	edge.always(`{"type":"delay","ms":20}`)
	must[[]string](t)(client.EnqueueNotifications(context.Background(), display("a", "b", "c", "d", "e")))
	cancellable, cancel := context.WithCancel(context.Background())
	defer cancel()
	same(t, "counts", must[Counts](t)(client.Flush(cancellable)), Counts{Acknowledged: 5})

	edge.always(`{"type":"silence"}`)
	must[[]string](t)(client.EnqueueNotifications(context.Background(), display("f")))
	counts, err := client.Flush(timeLeft(t, 50*time.Millisecond))
	if !errors.Is(err, ErrPending) || !errors.Is(err, context.DeadlineExceeded) || counts != (Counts{Pending: 1}) {
		t.Errorf("%+v, %v", counts, err)
	}
	must[Counts](t)(client.Close(timeLeft(t, 10*time.Millisecond)))
}

func TestALongWaitForTheArtifactEndsWithIt(t *testing.T) {
	edge := startEdge(t, "--default-artifact")
	edge.always(`{"type":"delay","ms":200,"route":"artifact"}`)
	config := edge.onDevice()
	config.MaximumWaitReady = Duration(0)
	client := edge.client(config)
	client.slices[waitingReady] = 10 * time.Millisecond
	if err := client.WaitReady(timeLeft(t, patience)); err != nil {
		t.Error(err)
	}
	must[*Offers](t)(client.GetOffers(context.Background(), home()))
}

func TestErrorsHaveTheirFacts(t *testing.T) {
	edge := startEdge(t, "--accept-any-token")
	config := edge.config()
	config.Retry.MaxAttempts = 1
	client := edge.client(config)
	ctx := context.Background()

	edge.faults(`[{"type":"status","status":503,"retry_after":"7","message":"come back later"}]`)
	_, err := client.GetOffers(ctx, home())
	var failed *Error
	if !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if failed.Status != ErrHTTP || failed.HTTPStatus != 503 || failed.APIMessage != "come back later" || !failed.Retryable ||
		failed.RetryAfter != 7*time.Second || failed.Attempts != 1 || failed.RequestID == "" || failed.Phase != "response" {
		t.Errorf("%+v", failed)
	}
	if !errors.Is(err, ErrHTTP) || errors.Is(err, ErrNetwork) || !strings.Contains(err.Error(), "come back later") {
		t.Error(err)
	}

	bad := display("1")
	for _, request := range []any{
		json.RawMessage(`{"notifications":[{"id":"1","type":"display"}]}`),
		DeliveryRequest{Notifications: []Notification{{ID: "1", Type: "display"}}},
	} {
		bad.Request = request
		_, err = client.SendNotifications(ctx, bad)
		if !errors.As(err, &failed) || failed.Field != "request.notifications[0].timestamp" || failed.Status != ErrInvalidOptions {
			t.Error(err)
		}
	}
	if _, ok := Notifications(err); ok {
		t.Error("nothing was sent")
	}

	edge.faults(`[{"type":"reset_after_reading","counted":true}]`)
	click := Click("c", time.Now())
	click.Mbox, click.Tokens = &NotificationMbox{Name: "home"}, []string{"a token"}
	_, err = client.SendNotifications(ctx, Options{Request: DeliveryRequest{Notifications: []Notification{click}}})
	of, ok := Notifications(err)
	if !ok {
		t.Fatal(err)
	}
	same(t, "unknown", of.Unknown, []string{"c"})

	if _, err := New(Config{Client: "acme"}); !errors.Is(err, ErrInvalidOptions) ||
		!strings.Contains(err.Error(), "Organization Id is required") {
		t.Error(err)
	}
	for status := ErrInvalidArgument; status <= ErrUnsupported; status++ {
		if !strings.HasPrefix(status.Error(), "TARGET_ERR_") || statusOf(status.Error()) != status {
			t.Error(int(status), status)
		}
	}
}
