// SPDX-License-Identifier: Apache-2.0 OR MIT

//go:build cgo

package adobetarget

import (
	"encoding/json"
	"time"
)

// Stats are counters since the client was made. include/adobe_target.h says at target_client_stats what each counts.
type Stats struct {
	Calls struct {
		GetOffers            uint64 `json:"get_offers"`
		GetAttributes        uint64 `json:"get_attributes"`
		SendNotifications    uint64 `json:"send_notifications"`
		EnqueueNotifications uint64 `json:"enqueue_notifications"`
		InFlight             uint64 `json:"in_flight"`
	} `json:"calls"`
	// Requests are HTTP requests to delivery hosts, Retries among them.
	Requests uint64 `json:"requests"`
	Retries  uint64 `json:"retries"`
	// Errors are counted by Error.Phase.
	Errors      map[string]uint64 `json:"errors"`
	Connections struct {
		Open   uint64 `json:"open"`
		Opened uint64 `json:"opened"`
		Reused uint64 `json:"reused"`
	} `json:"connections"`
	// Notifications is the background queue: Accepted + Recovered = Acknowledged + Rejected + Dropped + Pending.
	Notifications struct {
		Counts
		Accepted     uint64 `json:"accepted"`
		Recovered    uint64 `json:"recovered"`
		NotQueued    uint64 `json:"not_queued"`
		SpoolBytes   uint64 `json:"spool_bytes"`
		SpoolDamaged uint64 `json:"spool_damaged"`
	} `json:"notifications"`
	NotificationCalls struct {
		Acknowledged uint64 `json:"acknowledged"`
		NotProcessed uint64 `json:"not_processed"`
		Rejected     uint64 `json:"rejected"`
		Unknown      uint64 `json:"unknown"`
	} `json:"notification_calls"`
	CompletionsLost uint64 `json:"completions_lost"`
	// Decisions are calls decided on this machine.
	Decisions  uint64 `json:"decisions"`
	RuleErrors uint64 `json:"rule_errors"`
	Geo        struct {
		LookUps   uint64 `json:"look_ups"`
		Failures  uint64 `json:"failures"`
		CacheHits uint64 `json:"cache_hits"`
	} `json:"geo"`
	// Artifact is nil for a server-side client.
	Artifact *ArtifactStats `json:"artifact"`
	// Raw has all counters.
	Raw json.RawMessage `json:"-"`
}

// ArtifactStats is about the rule artifact; Version is empty while there is none.
type ArtifactStats struct {
	Version      string `json:"version"`
	ETag         string `json:"etag"`
	Location     string `json:"location"`
	AgeMS        int64  `json:"age_ms"`
	CheckedMS    int64  `json:"checked_ms"`
	Rules        uint64 `json:"rules"`
	SkippedRules uint64 `json:"skipped_rules"`
	Downloads    uint64 `json:"downloads"`
	NotModified  uint64 `json:"not_modified"`
	Failures     uint64 `json:"failures"`
}

// Age is the time since the artifact was downloaded.
func (a *ArtifactStats) Age() time.Duration { return milliseconds(a.AgeMS) }

// Checked is the time since the CDN last said that the artifact is current.
func (a *ArtifactStats) Checked() time.Duration { return milliseconds(a.CheckedMS) }

// Stats reads the counters, all at the same moment. After Close they are the last ones.
func (c *Client) Stats() (Stats, error) {
	if c == nil || c.closing == nil {
		return Stats{}, closedError()
	}
	answer := c.stats()
	if answer.status != 0 {
		return Stats{}, answer.failure()
	}
	stats := Stats{Raw: answer.text}
	if err := json.Unmarshal(answer.text, &stats); err != nil {
		return Stats{}, unreadable("the counters", err)
	}
	return stats, nil
}

func (c *Client) stats() outcome {
	c.freeing.RLock()
	defer c.freeing.RUnlock()
	if c.freed {
		return c.final.stats
	}
	return c.native.stats()
}

// free frees the library's client. Nothing else may be going on in it.
func (c *Client) free() {
	c.freeing.Lock()
	defer c.freeing.Unlock()
	c.final.stats = c.native.stats()
	c.native.free()
	c.freed = true
}
