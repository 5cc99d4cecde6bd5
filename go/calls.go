// SPDX-License-Identifier: Apache-2.0 OR MIT

//go:build cgo

package adobetarget

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"
)

type operation int

const (
	getOffers operation = iota
	getAttributes
	sendNotifications
)

// calls are those that were started and are waited for. One poller, which is one thread, takes the finished ones; it
// runs no code of the caller's. A goroutine that waits holds no thread.
type calls struct {
	mutex sync.Mutex
	// waiting has the channels of those who wait; each has room for its one outcome.
	waiting map[uint64]chan outcome
	// early has calls that finished before the goroutine that started them knew their number.
	early map[uint64]outcome
	// taken are calls whose outcome was taken by the handle while the poller may have had it in its hands.
	taken map[uint64]struct{}
	// over is closed when no call will finish any more.
	over chan struct{}
}

func (c *calls) init() {
	c.waiting = make(map[uint64]chan outcome)
	c.early = make(map[uint64]outcome)
	c.taken = make(map[uint64]struct{})
	c.over = make(chan struct{})
}

func (c *calls) poll(native nativeClient) {
	defer close(c.over)
	finished := newBasket()
	defer finished.free()
	for {
		count, end := native.takeFinished(finished, c.deliver)
		if count > 0 {
			c.mutex.Lock()
			// What was in the poller's hands has been handed over.
			for id := range c.taken {
				delete(c.taken, id)
			}
			c.mutex.Unlock()
			continue
		}
		if end == ErrClosed {
			return
		}
		if end != ErrPending {
			// A bug in the library, after which the client stays usable.
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func (c *calls) deliver(id uint64, answer outcome) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if waiting, ok := c.waiting[id]; ok {
		delete(c.waiting, id)
		waiting <- answer
		return
	}
	if _, ok := c.taken[id]; !ok {
		c.early[id] = answer
	}
}

// await gives the channel that gets the outcome of a call.
func (c *calls) await(id uint64) <-chan outcome {
	waiting := make(chan outcome, 1)
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if answer, ok := c.early[id]; ok {
		delete(c.early, id)
		waiting <- answer
		return waiting
	}
	c.waiting[id] = waiting
	return waiting
}

// forget takes a call from the poller, unless it has delivered it.
func (c *calls) forget(id uint64) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if _, ok := c.waiting[id]; ok {
		delete(c.waiting, id)
		c.taken[id] = struct{}{}
	}
}

const (
	// graceOfDeadline is how much later than the context's the library's deadline may strike before the call is
	// cancelled.
	graceOfDeadline = 200 * time.Millisecond
	// lookInterval is how often a call is looked after by its handle: the library keeps a bounded number of finished
	// calls, and forgets the oldest when the poller gets no processor for long.
	lookInterval = 2 * time.Second
)

// call makes a call and waits for its result.
func (c *Client) call(ctx context.Context, operation operation, mboxes []string, options *Options) ([]byte, error) {
	if !c.use() {
		return nil, closedError()
	}
	defer c.done()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	timeout, isContexts, err := c.timeout(ctx, options)
	if err != nil {
		return nil, err
	}
	text, err := options.json(timeout)
	if err != nil {
		return nil, err
	}
	var names []byte
	if operation == getAttributes {
		names = append(appendStrings(make([]byte, 0, 64), mboxes), 0)
	}
	if err := c.inside[starting].take(ctx, c.closing); err != nil {
		return nil, err
	}
	if c.decidesHere(operation, options, text) {
		answer := c.native.run(operation, names, text)
		c.inside[starting].give()
		return answer.result(ctx, isContexts)
	}
	request, id, answer := c.native.start(operation, names, text)
	c.inside[starting].give()
	if answer.status != 0 {
		return nil, answer.failure()
	}
	answer = c.calls.wait(ctx, id, request, isContexts)
	request.free()
	return answer.result(ctx, isContexts)
}

// result is that of a call.
func (o outcome) result(ctx context.Context, deadlineIsContexts bool) ([]byte, error) {
	if o.status != 0 {
		return nil, o.failure().ofContext(ctx, deadlineIsContexts)
	}
	return o.text, nil
}

// timeout is the option of a call, and whether it is the time that the context has left.
func (c *Client) timeout(ctx context.Context, options *Options) (time.Duration, bool, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return options.Timeout, false, nil
	}
	left := time.Until(deadline).Truncate(time.Millisecond)
	if left <= 0 {
		return 0, false, context.DeadlineExceeded
	}
	own := options.Timeout
	if own == 0 {
		own = c.settings.timeout
	}
	if own > 0 && own <= left {
		return options.Timeout, false, nil
	}
	return left, true, nil
}

// decidesHere tells calls that ask nobody and are over in microseconds: they need no other thread. What has an address
// (ipAddress, unknownIpAddress) may have to ask where that is.
func (c *Client) decidesHere(operation operation, options *Options, text []byte) bool {
	method := options.DecisioningMethod
	if method == "" {
		method = c.settings.method
	}
	return method == OnDevice && operation != sendNotifications && len(options.Extra) == 0 &&
		!bytes.Contains(text, []byte("pAddress"))
}

// wait waits for the outcome of a call, and cancels it when the context is over.
func (c *calls) wait(ctx context.Context, id uint64, request nativeRequest, deadlineIsContexts bool) outcome {
	answered := c.await(id)
	look := time.NewTimer(lookInterval)
	defer look.Stop()
	cancelled, over := ctx.Done(), c.over
	var late <-chan time.Time
	for {
		select {
		case answer := <-answered:
			return answer
		case <-cancelled:
			cancelled = nil
			if !deadlineIsContexts || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				request.cancel()
				break
			}
			timer := time.NewTimer(graceOfDeadline)
			defer timer.Stop()
			late = timer.C
		case <-late:
			late = nil
			request.cancel()
		case <-over:
			over = nil
			look.Reset(0)
		case <-look.C:
			look.Reset(lookInterval)
			if answer := request.look(); answer.status != ErrPending {
				c.forget(id)
				return answer
			}
		}
	}
}
