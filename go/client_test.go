// SPDX-License-Identifier: Apache-2.0 OR MIT

package adobetarget

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAnOfferIsPrefetchedShownAndCountedOnce(t *testing.T) {
	edge := startEdge(t)
	client := edge.client(edge.config())
	ctx := context.Background()

	request := DeliveryRequest{Prefetch: &PrefetchRequest{Mboxes: Mboxes("home", "product1")}}
	offers := must[*Offers](t)(client.GetOffers(ctx, Options{Request: request}))
	response := must[*DeliveryResponse](t)(offers.Decode())
	product := response.Prefetch.Mbox("product1")
	if product == nil || product.Options[0].Text() != `<span class="badge">Bestseller</span>` {
		t.Fatalf("%s", offers.Raw)
	}
	same(t, "the cookie's name", offers.TargetCookie.Name, "mbox")
	if offers.TargetCookie.Value == "" || offers.TargetCookie.MaxAge <= 0 || offers.TargetLocationHintCookie == nil {
		t.Errorf("cookies: %s", offers.Raw)
	}
	same(t, "who decided", offers.Meta.DecisioningMethod, ServerSide)
	if len(offers.ResponseTokens) == 0 || !json.Valid(offers.Request) || !json.Valid(offers.VisitorState) {
		t.Errorf("%s", offers.Raw)
	}
	recorder := httptest.NewRecorder()
	offers.SetCookies(recorder)
	same(t, "cookies set", len(recorder.Result().Cookies()), 2)

	report := Options{
		Request:      DeliveryRequest{Notifications: []Notification{product.Displayed("1", time.Now())}},
		TargetCookie: offers.TargetCookie.Value, TargetLocationHint: offers.TargetLocationHintCookie.Value,
	}
	reported := must[*Offers](t)(client.SendNotifications(ctx, report))
	same(t, "acknowledged", reported.Meta.Notifications.Acknowledged, []string{"1"})
	same(t, "impressions", edge.report().Impressions.ByMbox, map[string]int{"product1": 1})

	stats := must[Stats](t)(client.Stats())
	same(t, "calls", []uint64{stats.Calls.GetOffers, stats.Calls.SendNotifications, stats.Requests}, []int{1, 1, 2})
}

func TestAttributesAreRead(t *testing.T) {
	edge := startEdge(t)
	client := edge.client(edge.config())
	attributes := must[*Attributes](t)(client.GetAttributes(context.Background(), []string{"cart", "hero"}, Options{}))

	var discount int
	if err := attributes.Read("cart", "discount", &discount); err != nil || discount != 15 {
		t.Errorf("%d, %v", discount, err)
	}
	var hero struct {
		Title string
		Show  bool
	}
	if err := attributes.ReadMbox("hero", &hero); err != nil || hero.Title != "Summer is here" || !hero.Show {
		t.Errorf("%+v, %v", hero, err)
	}
	_, err := attributes.Value("cart", "nothing")
	if !errors.Is(err, ErrInvalidOptions) ||
		!strings.Contains(err.Error(), "Attribute 'nothing' does not exist for mbox 'cart'") {
		t.Error(err)
	}
	if err := attributes.Read("hero", "title", &discount); !errors.Is(err, ErrInvalidOptions) {
		t.Error(err)
	}
	if err := attributes.ReadMbox("nothing", &hero); !errors.Is(err, ErrInvalidOptions) {
		t.Error(err)
	}
}

func TestWhatIsEnqueuedIsDeliveredOnce(t *testing.T) {
	edge := startEdge(t, "--accept-any-token")
	client := edge.client(edge.config())
	edge.faults(`[{"type":"status","status":503}]`)

	accepted := must[[]string](t)(client.EnqueueNotifications(context.Background(), display("a", "b")))
	same(t, "accepted", accepted, []string{"a", "b"})
	counts := must[Counts](t)(client.Flush(timeLeft(t, patience)))
	same(t, "counts", counts, Counts{Acknowledged: 2})

	final := must[Counts](t)(client.Close(timeLeft(t, patience)))
	same(t, "what was left for close", final, Counts{})
	report := edge.report()
	same(t, "counted", []int{report.Impressions.Total, report.Notifications.Distinct}, []int{2, 2})
	stats := must[Stats](t)(client.Stats())
	same(t, "stats after close", stats.Notifications.Acknowledged, 2)
}

func TestCloseDeliversWhatIsPendingAndAnswersAllTheSame(t *testing.T) {
	edge := startEdge(t, "--accept-any-token")
	client := edge.client(edge.config())
	must[[]string](t)(client.EnqueueNotifications(context.Background(), display("a", "b", "c")))

	var group sync.WaitGroup
	for i := 0; i < 8; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			counts, err := client.Close(timeLeft(t, patience))
			if err != nil || counts != (Counts{Acknowledged: 3}) {
				t.Errorf("%+v, %v", counts, err)
			}
		}()
	}
	group.Wait()
	same(t, "impressions", edge.report().Impressions.Total, 3)
}

func TestAClosedAndANilClientAnswerClosed(t *testing.T) {
	edge := startEdge(t)
	closed := edge.client(edge.config())
	must[Counts](t)(closed.Close(context.Background()))
	var none *Client
	ctx := context.Background()
	for name, client := range map[string]*Client{"closed": closed, "nil": none, "zero": {}} {
		_, getOffers := client.GetOffers(ctx, home())
		_, getAttributes := client.GetAttributes(ctx, []string{"cart"}, Options{})
		_, send := client.SendNotifications(ctx, display("1"))
		_, enqueue := client.EnqueueNotifications(ctx, display("1"))
		_, flush := client.Flush(ctx)
		ready := client.WaitReady(ctx)
		_, refresh := client.Refresh(ctx)
		for at, err := range []error{getOffers, getAttributes, send, enqueue, flush, ready, refresh} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s, method %d: %v", name, at, err)
			}
		}
		left := 0
		for event := range client.Events() {
			same(t, "what was left", event.Type, ClientReady)
			left++
		}
		if name == "closed" {
			same(t, "events left", left, 1)
		}
	}
	if _, err := none.Stats(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := none.Close(ctx); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	edge := startEdge(t, "--accept-any-token")
	edge.always(`{"type":"silence"}`)
	config := edge.config()
	config.Timeout = time.Hour
	client := edge.client(config)
	ctx := context.Background()

	must[[]string](t)(client.EnqueueNotifications(ctx, display("a")))
	ended := make(chan error, 41)
	for i := 0; i < 40; i++ {
		go func() {
			_, err := client.GetOffers(ctx, home())
			ended <- err
		}()
	}
	go func() {
		_, err := client.Flush(ctx)
		ended <- err
	}()
	eventually(t, "40 calls are in flight", func() bool {
		return must[Stats](t)(client.Stats()).Calls.InFlight == 40
	})
	counts, err := client.Close(timeLeft(t, 50*time.Millisecond))
	if err != nil || counts.Dropped != 1 {
		t.Errorf("%+v, %v", counts, err)
	}
	for i := 0; i < cap(ended); i++ {
		if err := <-ended; err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrPending) {
			t.Error(err)
		}
	}
	same(t, "in flight after close", must[Stats](t)(client.Stats()).Calls.InFlight, 0)
}

func TestACancelledCloseReturnsAndGoesOn(t *testing.T) {
	edge := startEdge(t, "--accept-any-token")
	edge.always(`{"type":"silence"}`)
	config := edge.config()
	config.CloseTimeout = Duration(500 * time.Millisecond)
	client := edge.client(config)
	must[[]string](t)(client.EnqueueNotifications(context.Background(), display("a")))

	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-client.closing
		cancel()
	}()
	if _, err := client.Close(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrCancelled) {
		t.Error(err)
	}
	if _, err := client.GetOffers(context.Background(), home()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	counts, err := client.Close(context.Background())
	if err != nil || counts.Dropped != 1 {
		t.Errorf("%+v, %v", counts, err)
	}
	// A context that is over does not keep from closing, and closes at once.
	config.CloseTimeout = Duration(time.Hour)
	client = edge.client(config)
	must[[]string](t)(client.EnqueueNotifications(context.Background(), display("b")))
	counts, err = client.Close(ctx)
	if err != nil || counts.Dropped != 1 {
		t.Errorf("%+v, %v", counts, err)
	}
}

// cancelledMeanwhile is cancelled between two looks at it.
type cancelledMeanwhile struct {
	context.Context
	looked bool
}

func (c *cancelledMeanwhile) Done() <-chan struct{} {
	over := make(chan struct{})
	close(over)
	return over
}

func (c *cancelledMeanwhile) Err() error {
	if c.looked {
		return context.Canceled
	}
	c.looked = true
	return nil
}

func TestNothingBeginsOnceACloseHasReturned(t *testing.T) {
	edge := startEdge(t)
	// What Close starts does not run before it has returned.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for i := 0; i < 20; i++ {
		client := edge.client(edge.config())
		if _, err := client.Close(&cancelledMeanwhile{Context: context.Background()}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if client.use() {
			client.done()
			t.Fatal("a closed client is used")
		}
	}
}

func TestAFlushInSlicesEndsWithItsClient(t *testing.T) {
	edge := startEdge(t, "--accept-any-token")
	edge.always(`{"type":"silence"}`)
	client := edge.client(edge.config())
	client.slices[flushing] = 10 * time.Millisecond
	must[[]string](t)(client.EnqueueNotifications(context.Background(), display("a")))
	ctx := timeLeft(t, time.Hour)
	ended := make(chan error)
	go func() {
		counts, err := client.Flush(ctx)
		if counts.Pending+counts.Dropped != 1 {
			t.Errorf("%+v", counts)
		}
		ended <- err
	}()
	eventually(t, "it waits", func() bool { return len(client.inside[flushing]) == 1 })
	time.Sleep(50 * time.Millisecond)
	must[Counts](t)(client.Close(timeLeft(t, 100*time.Millisecond)))
	err := <-ended
	if (err != nil && !errors.Is(err, ErrPending) && !errors.Is(err, ErrClosed)) || errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestASpoolIsLeftToTheNextClient(t *testing.T) {
	edge := startEdge(t, "--accept-any-token")
	edge.always(`{"type":"status","status":503}`)
	config := edge.config()
	config.Notifications = NotificationsConfig{SpoolDir: t.TempDir(), RetryBaseDelay: Duration(time.Millisecond)}
	client := edge.client(config)
	must[[]string](t)(client.EnqueueNotifications(context.Background(), display("a")))
	for i := 0; i < 2; i++ {
		counts, err := client.Close(timeLeft(t, 20*time.Millisecond))
		if !errors.Is(err, ErrPending) || counts.Pending != 1 {
			t.Errorf("%+v, %v", counts, err)
		}
	}
	edge.always(`null`)
	next := edge.client(config)
	must[Counts](t)(next.Close(timeLeft(t, patience)))
	same(t, "recovered", must[Stats](t)(next.Stats()).Notifications.Recovered, 1)
	same(t, "impressions", edge.report().Impressions.Total, 1)
}

func TestDecisionsOnThisMachine(t *testing.T) {
	edge := startEdge(t, "--default-artifact")
	client := edge.client(edge.onDevice())
	ctx := timeLeft(t, patience)
	if err := client.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	offers := must[*Offers](t)(client.GetOffers(ctx, Options{
		Request: DeliveryRequest{Execute: &ExecuteRequest{Mboxes: Mboxes("product1")}},
	}))
	same(t, "who decided", offers.Meta.DecisioningMethod, OnDevice)
	attributes := must[*Attributes](t)(client.GetAttributes(ctx, []string{"cart"}, Options{}))
	var discount int
	if err := attributes.Read("cart", "discount", &discount); err != nil || discount != 15 {
		t.Errorf("%d, %v", discount, err)
	}
	// What has an address is decided by another thread, since the place may have to be asked for.
	for _, key := range []string{"ipAddress", "unknownIpAddress"} {
		request := `{"context":{"geo":{"` + key + `":"203.0.113.1"}},"execute":{"mboxes":[{"name":"cart"}]}}`
		options := Options{Request: json.RawMessage(request)}
		if client.decidesHere(getAttributes, &options, []byte(request)) {
			t.Errorf("a call with %s keeps its thread", key)
		}
		attributes = must[*Attributes](t)(client.GetAttributes(ctx, nil, options))
		if err := attributes.Read("cart", "discount", &discount); err != nil {
			t.Error(err)
		}
	}
	artifact := must[Artifact](t)(client.Refresh(ctx))
	if artifact.Changed || artifact.ETag == "" || artifact.Version == "" {
		t.Errorf("%+v", artifact)
	}
	stats := must[Stats](t)(client.Stats())
	if stats.Artifact == nil || stats.Artifact.Rules == 0 || stats.Decisions != 4 || stats.Geo.LookUps != 2 {
		t.Errorf("%s", stats.Raw)
	}
	counts := must[Counts](t)(client.Close(ctx))
	same(t, "impressions of decisions", counts.Acknowledged+stats.Notifications.Acknowledged, 4)
	same(t, "impressions at the edge", edge.report().Impressions.Total, 4)
}

func TestARequestGoesOutDigitForDigit(t *testing.T) {
	edge := startEdge(t)
	client := edge.client(edge.config())
	mbox := `{"name":"home", "index":1,"parameters":{"a":"<b> & ü"},"z":1.50,"a":1E2,"n":12345678901234567890}`
	offers := must[*Offers](t)(client.GetOffers(context.Background(), Options{
		Request: json.RawMessage(`{"execute":{"mboxes":[` + mbox + `]}}`),
	}))
	for _, part := range []string{`"z":1.50`, `"a":1E2`, `"n":12345678901234567890`, `"<b> & ü"`} {
		if !strings.Contains(string(offers.Request), part) {
			t.Errorf("%s is not in %s", part, offers.Request)
		}
	}
}

func TestOptionsReachTheEdge(t *testing.T) {
	edge := startEdge(t)
	config := fmt.Sprintf(`{"client":"demo","organizationId":%q,"serverDomain":%q,"secure":false,"proxy":"none"}`,
		organization, edge.host)
	client := must[*Client](t)(NewFromJSON([]byte(config)))
	defer client.Close(context.Background())
	options := home()
	options.SessionID, options.ConsumerID, options.TargetLocationHint = "a-session", "a-consumer", "31"
	options.CustomerIDs = []CustomerID{{ID: "c1", IntegrationCode: "crm", AuthenticatedState: "authenticated"}}
	options.RetryClicks, options.Extra = Bool(true), map[string]any{}
	offers := must[*Offers](t)(client.GetOffers(context.Background(), options))
	for _, part := range []string{`"id":"c1"`, `"integrationCode":"crm"`, `"authenticatedState":"authenticated"`} {
		if !strings.Contains(string(offers.Request), part) {
			t.Errorf("%s is not in %s", part, offers.Request)
		}
	}
	if !strings.Contains(offers.TargetCookie.Value, "a-session") {
		t.Errorf("%+v", offers.TargetCookie)
	}
	options.Extra = map[string]any{"unheard_of": 1}
	var failed *Error
	if _, err := client.GetOffers(context.Background(), options); !errors.As(err, &failed) || failed.Field != "unheard_of" {
		t.Error("what the library does not know: ", err)
	}
}

func TestBadTextsAreRefusedHere(t *testing.T) {
	edge := startEdge(t)
	client := edge.client(edge.config())
	ctx := context.Background()
	for request, status := range map[string]Status{
		"{\"execute\":{}}\x00":       ErrInvalidJSON,
		`{"execute":{}},"timeout":5`: ErrInvalidJSON,
		`{`:                          ErrInvalidJSON,
		`[]`:                         ErrInvalidOptions,
		`{"execute":{"mboxes":[{"name":"` + "\xff" + `"}]}}`: ErrInvalidArgument,
	} {
		_, err := client.GetOffers(ctx, Options{Request: json.RawMessage(request)})
		if !errors.Is(err, status) {
			t.Errorf("%q: %v", request, err)
		}
	}
	if _, err := client.GetOffers(ctx, Options{Request: make(chan int)}); !errors.Is(err, ErrInvalidJSON) {
		t.Error(err)
	}
	if _, err := client.GetOffers(ctx, Options{}); !errors.Is(err, ErrInvalidOptions) {
		t.Error(err)
	}
	options := home()
	options.SessionID = "a\x00b"
	if _, err := client.GetOffers(ctx, options); !errors.Is(err, ErrInvalidOptions) {
		t.Error(err)
	}
	same(t, "requests at the edge", edge.report().Requests, 0)

	if _, err := NewFromJSON([]byte("{\"client\":\"a\",\"organization_id\":\"b\"}\x00")); !errors.Is(err, ErrInvalidJSON) {
		t.Error(err)
	}
	if _, err := NewFromJSON(nil); !errors.Is(err, ErrInvalidJSON) {
		t.Error(err)
	}
}

func TestTheABIIsChecked(t *testing.T) {
	if err := checkABI(compiledABI, compiledABI); err != nil {
		t.Error(err)
	}
	err := checkABI(2, 1)
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "ABI version 2") {
		t.Error(err)
	}
	if Version() == "" {
		t.Error("no version")
	}
}

func TestGoroutinesEndWithTheirClient(t *testing.T) {
	edge := startEdge(t)
	before := threads(t)
	for i := 0; i < 50; i++ {
		client := must[*Client](t)(New(edge.config()))
		if i%2 == 0 {
			client.Events()
		}
		must[*Offers](t)(client.GetOffers(timeLeft(t, patience), home()))
		must[Counts](t)(client.Close(context.Background()))
	}
	if after := threads(t); after > before+30 {
		t.Errorf("%d threads after 50 clients, %d before", after, before)
	}
}

// threads is the number of threads of this process.
func threads(t testing.TB) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("no /proc/self/status: ", err)
	}
	_, rest, _ := strings.Cut(string(status), "\nThreads:")
	var count int
	if _, err := fmt.Sscan(rest, &count); err != nil {
		t.Fatal(err)
	}
	return count
}
