// SPDX-License-Identifier: Apache-2.0 OR MIT

//go:build cgo

package adobetarget

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Client is a client of Target for one client code and organization. One serves a whole process: it pools connections,
// and any number of goroutines may use it at the same time. It has to be closed.
//
// Methods of a nil or closed client answer ErrClosed.
type Client struct {
	native   nativeClient
	settings settings

	// uses counts what is going on in the library, plus closingMark once Close has begun.
	uses atomic.Int64
	// idle is closed when Close has begun and nothing is going on any more.
	idle chan struct{}
	// closing is closed when Close begins.
	closing   chan struct{}
	closeOnce sync.Once
	// settled is closed when the final counts are known, closed when the library's client is gone.
	settled, closed chan struct{}
	final           struct {
		counts Counts
		err    error
		stats  outcome
	}
	// freeing is for Stats, which works while the client closes and after it.
	freeing sync.RWMutex
	freed   bool

	calls  calls
	events events

	// inside limits the threads that are inside the library, by kind of call.
	inside [kinds]slots
	// slices are how long a thread of a cancelled wait may stay inside the library.
	slices [kinds]time.Duration
}

const (
	// starting is quick: decisions on this machine, and the start of other calls.
	starting = iota
	// enqueuing may wait for a disk.
	enqueuing
	flushing
	waitingReady
	refreshing
	kinds
)

const closingMark = int64(1) << 62

// slots bound how many goroutines are inside the library at the same time.
type slots chan struct{}

// New makes a client. A server-side client does no network work yet; one that decides on this machine waits for its
// first artifact for Config.MaximumWaitReady at the most, and not getting it is no error. To wait with a context
// instead, set MaximumWaitReady to Duration(0) and call WaitReady.
func New(config Config) (*Client, error) {
	text, err := config.JSON()
	if err != nil {
		return nil, err
	}
	return create(text)
}

// NewFromJSON makes a client of a configuration object as docs/configuration.md has it.
func NewFromJSON(config []byte) (*Client, error) {
	if bytes.IndexByte(config, 0) >= 0 {
		return nil, newError(ErrInvalidJSON, "validate", "config", "`config` is no JSON: it has a NUL byte")
	}
	return create(config)
}

func create(config []byte) (*Client, error) {
	if err := checkABI(nativeABI(), compiledABI); err != nil {
		return nil, err
	}
	native, answer := nativeCreate(append(append(make([]byte, 0, len(config)+1), config...), 0))
	if answer.status != 0 {
		return nil, answer.failure()
	}
	c := &Client{
		native: native, settings: readSettings(config),
		idle: make(chan struct{}), closing: make(chan struct{}),
		settled: make(chan struct{}), closed: make(chan struct{}),
		inside: [...]slots{
			starting: make(slots, 32), enqueuing: make(slots, 32),
			flushing: make(slots, 16), waitingReady: make(slots, 16), refreshing: make(slots, 4),
		},
		slices: [...]time.Duration{flushing: 5 * time.Second, waitingReady: time.Second, refreshing: 0},
	}
	c.calls.init()
	go c.calls.poll(native)
	return c, nil
}

func checkABI(loaded, compiled uint32) error {
	if loaded == compiled {
		return nil
	}
	return newError(ErrUnsupported, "validate", "", fmt.Sprintf("the library that was loaded has ABI version %d, "+
		"this program was compiled for %d (header %s): compile it again, or install libadobe_target.so.%d",
		loaded, compiled, compiledVersion, compiled))
}

// Version gives the version of the library that is linked or loaded.
func Version() string { return nativeVersion() }

// use keeps the library's client from being freed until done. It is false once Close has begun.
func (c *Client) use() bool {
	if c == nil || c.closing == nil {
		return false
	}
	for {
		uses := c.uses.Load()
		if uses >= closingMark {
			return false
		}
		if c.uses.CompareAndSwap(uses, uses+1) {
			return true
		}
	}
}

func (c *Client) done() {
	if c.uses.Add(-1) == closingMark {
		close(c.idle)
	}
}

// GetOffers asks for offers: "execute" for what is shown now, "prefetch" for what may be shown later and is reported
// then by SendNotifications.
//
// The context's deadline makes the call's timeout shorter, its end cancels the call: the error is then the context's
// (errors.Is) and an *Error (errors.As). Nothing is sent if it is over already.
func (c *Client) GetOffers(ctx context.Context, options Options) (*Offers, error) {
	answer, err := c.call(ctx, getOffers, nil, &options)
	if err != nil {
		return nil, err
	}
	return readOffers(answer)
}

// GetAttributes asks for the JSON offers of mboxes as attributes. Mboxes that the request has neither in "execute" nor
// in "prefetch" are executed; Options.Request may be missing. The context is that of GetOffers.
func (c *Client) GetAttributes(ctx context.Context, mboxes []string, options Options) (*Attributes, error) {
	answer, err := c.call(ctx, getAttributes, mboxes, &options)
	if err != nil {
		return nil, err
	}
	return readAttributes(answer)
}

// SendNotifications reports what a visitor was shown and has clicked, and returns when the edge has answered: see
// Meta.Notifications of the result. When it fails, Error.Notifications tells what became of each. The context is that
// of GetOffers.
func (c *Client) SendNotifications(ctx context.Context, options Options) (*Offers, error) {
	answer, err := c.call(ctx, sendNotifications, nil, &options)
	if err != nil {
		return nil, err
	}
	return readOffers(answer)
}

// EnqueueNotifications hands notifications to the background queue, all of a call or none, and returns the ids that
// were accepted. They are delivered in the background, and again until the edge has acknowledged them; Events and Stats
// tell what became of them. On an error nothing was taken. Options.Timeout is not used, and the context only until the
// queue is at it.
func (c *Client) EnqueueNotifications(ctx context.Context, options Options) ([]string, error) {
	if !c.use() {
		return nil, closedError()
	}
	defer c.done()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	text, err := options.json(0)
	if err != nil {
		return nil, err
	}
	if err := c.inside[enqueuing].take(ctx, c.closing); err != nil {
		return nil, err
	}
	answer := c.native.enqueue(text)
	c.inside[enqueuing].give()
	if answer.status != 0 {
		return nil, answer.failure()
	}
	var accepted struct {
		Accepted []string `json:"accepted"`
	}
	if err := json.Unmarshal(answer.text, &accepted); err != nil {
		return nil, unreadable("the result", err)
	}
	return accepted.Accepted, nil
}

// Counts are what became of notifications in the background queue.
type Counts struct {
	Acknowledged uint64 `json:"acknowledged"`
	Rejected     uint64 `json:"rejected"`
	Dropped      uint64 `json:"dropped"`
	Pending      uint64 `json:"pending"`
}

// Flush delivers what is pending in the background queue when it is called, and waits for it until the context is over.
// With ErrPending some have no outcome yet; the counts are there as well.
//
// Give the context a deadline. When it is cancelled, Flush returns at once, and the library goes on delivering.
//
// A Flush of more than five seconds asks the library again every five seconds, so that a cancelled one does not keep its
// thread. What waits for another attempt gets one each time, and what was enqueued meanwhile belongs to what is waited
// for: the counts are then of everything that has got its outcome since Flush was called, and of what is pending at the
// end. With a context that cannot end, such as context.Background(), it is asked once. Such a Flush does not wait for
// notifications that the edge refuses for what they share: the error is ErrPending, and they stay pending.
func (c *Client) Flush(ctx context.Context) (Counts, error) {
	var counts Counts
	answer, err := c.block(ctx, flushing, nativeClient.flush, &counts)
	if answer.total != nil {
		if answer.status != ErrClosed {
			answer.total.Pending = counts.Pending
		}
		counts = *answer.total
	}
	return counts, err
}

// WaitReady waits until the client can decide: until it has its first artifact, and then, within the time of the
// context, for its location hint. A server-side client is ready at once. With ErrPending the context's deadline was
// earlier, and the message has the reason of the last failed download.
func (c *Client) WaitReady(ctx context.Context) error {
	_, err := c.block(ctx, waitingReady, nativeClient.waitReady, nil)
	return err
}

// Artifact is the rule artifact in force.
type Artifact struct {
	Version string `json:"version"`
	// ETag is empty where there is none.
	ETag string `json:"etag"`
	// Changed says whether it has just been downloaded, or is current still.
	Changed bool `json:"changed"`
}

// Refresh downloads the rule artifact of on-device decisioning now. Whatever comes, the last good artifact stays in
// force until a better one is. When the context is over, Refresh returns at once, and the download goes on.
func (c *Client) Refresh(ctx context.Context) (Artifact, error) {
	var artifact Artifact
	_, err := c.block(ctx, refreshing, nativeClient.refresh, &artifact)
	return artifact, err
}

// waited is what a call has answered that blocks.
type waited struct {
	outcome
	// total is what the queue has done while it was flushed, where more than one call of the library has waited.
	total *Counts
}

// block makes a call that blocks until its deadline. Whatever it answers, members of its result are stored in the
// variable that result points to.
func (c *Client) block(ctx context.Context, kind int, run func(nativeClient, uint64) outcome, result any) (waited, error) {
	if !c.use() {
		return waited{}, closedError()
	}
	if err := ctx.Err(); err != nil {
		c.done()
		return waited{}, err
	}
	answered := make(chan waited, 1)
	if err := c.inside[kind].take(ctx, c.closing); err == nil {
		go func() {
			defer c.done()
			answer := c.wait(ctx, kind, run)
			c.inside[kind].give()
			answered <- answer
		}()
	} else if kind != refreshing && errors.Is(err, context.DeadlineExceeded) {
		// It was waited for without a thread in the library, which has the counts and the reasons still: a look is quick.
		answered <- waited{outcome: run(c.native, 0)}
		c.done()
	} else {
		c.done()
		return waited{}, err
	}
	var answer waited
	select {
	case answer = <-answered:
	case <-ctx.Done():
		var moment <-chan time.Time
		if kind != refreshing && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			// The library has the same deadline, and the better answer.
			moment = time.After(graceOfBlocking)
		} else {
			moment = alreadyOver
		}
		select {
		case answer = <-answered:
		case <-moment:
			select {
			case answer = <-answered:
			default:
				return waited{}, contextError(ctx, "the wait was ended; what was waited for goes on")
			}
		}
	}
	if answer.status == ErrPending && errors.Is(ctx.Err(), context.Canceled) {
		return waited{}, contextError(ctx, "the wait was ended; what was waited for goes on")
	}
	text := json.RawMessage(answer.text)
	var failed *Error
	if answer.status != 0 {
		deadline, has := ctx.Deadline()
		failed = answer.failure().ofContext(ctx, has && time.Until(deadline) <= momentAhead)
		text = failed.Result
	}
	if result != nil && len(text) > 0 {
		if err := json.Unmarshal(text, result); err != nil && failed == nil {
			return answer, unreadable("the result", err)
		}
	}
	if failed != nil {
		return answer, failed
	}
	return answer, nil
}

// wait has the library wait until the context is over, in slices: nothing ends a wait inside the library, and a context
// may be cancelled long before its deadline.
func (c *Client) wait(ctx context.Context, kind int, run func(nativeClient, uint64) outcome) waited {
	slice := c.slices[kind]
	left := timeoutOf(ctx, waitForever)
	if ctx.Done() == nil || slice == 0 || left <= uint64(slice.Milliseconds()) {
		return waited{outcome: run(c.native, left)}
	}
	var before Counts
	if kind == flushing {
		before = c.outcomes()
	}
	for rounds := 1; ; rounds++ {
		begun := time.Now()
		timeout := uint64(slice.Milliseconds())
		if left < timeout {
			timeout = left
		}
		answer := waited{outcome: run(c.native, timeout)}
		// A client with an artifact is ready when the time is over, though its location hint may be on its way.
		unhinted := kind == waitingReady && answer.status == 0 && time.Since(begun) >= slice
		left = timeoutOf(ctx, waitForever)
		// A client that closes flushes by itself, and refuses others.
		closes := kind == flushing && c.uses.Load() >= closingMark
		if (answer.status == ErrPending || unhinted) && left > 0 && ctx.Err() == nil && !closes {
			continue
		}
		if kind == flushing && rounds > 1 {
			after := c.outcomes()
			answer.total = &Counts{
				Acknowledged: after.Acknowledged - before.Acknowledged,
				Rejected:     after.Rejected - before.Rejected,
				Dropped:      after.Dropped - before.Dropped,
				Pending:      after.Pending,
			}
		}
		return answer
	}
}

// outcomes are those of the background queue since the client was made.
func (c *Client) outcomes() Counts {
	stats, _ := c.Stats() // of a client that is in use, which always succeeds
	return stats.Notifications.Counts
}

// graceOfBlocking is how much later than the context's deadline the library may answer.
const graceOfBlocking = time.Second

// momentAhead is how much earlier than the context the library may see its deadline. What ends earlier was ended by
// something else, such as Close.
const momentAhead = 10 * time.Millisecond

var alreadyOver = func() <-chan time.Time {
	over := make(chan time.Time)
	close(over)
	return over
}()

// timeoutOf is the time until the context's deadline in milliseconds.
func timeoutOf(ctx context.Context, without uint64) uint64 {
	deadline, ok := ctx.Deadline()
	if !ok {
		return without
	}
	if left := time.Until(deadline); left > 0 {
		return uint64(ceilMilliseconds(left))
	}
	return 0
}

func (s slots) take(ctx context.Context, closing <-chan struct{}) error {
	select {
	case s <- struct{}{}:
		return nil
	default:
	}
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return contextError(ctx, "as many calls of this kind as there may be were at it until the context was over")
	case <-closing:
		return closedError()
	}
}

func (s slots) give() { <-s }

// Close ends the client. From now on new calls answer ErrClosed; those in flight may end within the time, after it they
// are ended with ErrClosed. What waits in the background is sent within the time; the rest stays in the spool for the
// next client, which is ErrPending, or is dropped where there is no spool. Then everything is freed, and the channel of
// Events ends after the last event.
//
// The time is that until the context's deadline, without one Config.CloseTimeout; a context that is over closes at
// once. When the context is cancelled meanwhile, Close returns its error, and the rest goes on within the time; freeing
// may take a moment longer than a deadline.
//
// Close may be called again and in parallel: each call waits and answers the same.
func (c *Client) Close(ctx context.Context) (Counts, error) {
	if c == nil || c.closing == nil {
		return Counts{}, closedError()
	}
	begun, wasOver := false, ctx.Err() != nil
	c.closeOnce.Do(func() {
		begun = true
		timeout := timeoutOf(ctx, uint64(ceilMilliseconds(c.settings.closeTimeout)))
		if wasOver {
			timeout = 0
		}
		// Here, and not in finish, so that nothing new begins once any Close has returned.
		close(c.closing)
		if c.uses.Add(closingMark) == closingMark {
			close(c.idle)
		}
		go c.finish(timeout)
	})
	select {
	case <-c.closed:
		return c.final.counts, c.final.err
	case <-ctx.Done():
	}
	// Freeing may go on; the counts are known already, or at any moment where the deadline is the library's, too.
	moment := alreadyOver
	if begun && (wasOver || errors.Is(ctx.Err(), context.DeadlineExceeded)) {
		moment = time.After(graceOfBlocking)
	}
	select {
	case <-c.settled:
	case <-moment:
		select {
		case <-c.settled:
		default:
			return Counts{}, contextError(ctx, "the wait was ended; the client goes on closing")
		}
	}
	return c.final.counts, c.final.err
}

func (c *Client) finish(timeout uint64) {
	answer := c.native.close(timeout)
	text := answer.text
	if answer.status != 0 {
		failed := answer.failure()
		c.final.err, text = failed, failed.Result
	}
	if err := json.Unmarshal(text, &c.final.counts); err != nil && c.final.err == nil {
		c.final.err = unreadable("the result", err)
	}
	close(c.settled)

	<-c.calls.over
	c.events.finish(c.native)
	<-c.idle
	c.free()
	close(c.closed)
}
