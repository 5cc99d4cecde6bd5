// SPDX-License-Identifier: Apache-2.0 OR MIT

//go:build cgo

package adobetarget

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// DecisioningMethod says where offers are decided.
type DecisioningMethod string

const (
	// ServerSide has the edge decide.
	ServerSide DecisioningMethod = "server-side"
	// OnDevice decides on this machine, from a rule artifact.
	OnDevice DecisioningMethod = "on-device"
	// Hybrid decides on this machine where the artifact has all that is asked for, else by the edge.
	Hybrid DecisioningMethod = "hybrid"
)

// Config is what New makes a client of. Client and OrganizationID are required; what is left at its zero value has the
// default. Fields where zero or false means something are pointers: Bool, Int and Duration make them. Durations are
// rounded up to milliseconds. docs/configuration.md has every key with its default.
type Config struct {
	// Client is the Target client code.
	Client string
	// OrganizationID is the IMS organization.
	OrganizationID string
	// DecisioningMethod is ServerSide unless given.
	DecisioningMethod DecisioningMethod
	// ServerDomain is "host[:port]" instead of <client>.tt.omtrdc.net.
	ServerDomain string
	// Secure is true unless given; false uses http:// everywhere.
	Secure *bool
	// EdgeAffinity says whether a known cluster moves requests to its own host: true, but false with ServerDomain.
	EdgeAffinity *bool
	// Timeout is the deadline of a whole call, 3 s unless given. A context's deadline makes it shorter, Options.Timeout
	// replaces it.
	Timeout time.Duration
	// ConnectTimeout is that of one connect, 1 s unless given.
	ConnectTimeout time.Duration
	// TargetLocationHint is the cluster of visitors of whom none is known.
	TargetLocationHint string
	// EnvironmentID is sent in every request that names no other.
	EnvironmentID *int
	// PropertyToken is the default of "property" in requests.
	PropertyToken string
	// Version is the query parameter "version".
	Version string
	// TelemetryEnabled sends SDK telemetry along with requests.
	TelemetryEnabled bool
	// Proxy is a URL with optional credentials, "none", or "env": the default, which reads the environment in New.
	Proxy string
	// TLS has certificate authorities and client certificates.
	TLS TLSConfig
	// Headers are added to requests to delivery hosts.
	Headers map[string]string
	// MaxIdleConnections are kept between calls, 16 unless given.
	MaxIdleConnections *int
	// MaxIdleAge is how long they are kept, 15 s unless given.
	MaxIdleAge *time.Duration
	// Retry is for calls.
	Retry RetryConfig
	// RetryClicks repeats clicks and orders although the edge may have counted them.
	RetryClicks bool
	// EventBuffer is the number of events kept for Events, 1024 unless given.
	EventBuffer int
	// CloseTimeout is how long a Close without a deadline waits, 2 s unless given.
	CloseTimeout *time.Duration
	// FixedClock is what decisions, cookies and timestamps see as now: for reproducible tests, and for a look at what
	// visitors will see on a coming day.
	FixedClock time.Time

	// Environment is a part of the artifact's address, "production" unless given. This and what follows is for clients
	// that decide on this machine.
	Environment string
	// CDNEnvironment is "production", "staging" or "development".
	CDNEnvironment string
	// CDNBasePath is "host[:port][/path]" of artifact and geo look-up, or a URL.
	CDNBasePath string
	// ArtifactLocation is the whole URL of the artifact.
	ArtifactLocation string
	// ArtifactFormat is "json" or "bin"; by the file name unless given.
	ArtifactFormat string
	// ArtifactPayload is an artifact to start with.
	ArtifactPayload json.RawMessage
	// ArtifactCacheDir keeps the last good artifact, to start from.
	ArtifactCacheDir string
	// PollingInterval is 5 minutes unless given, and at least; Duration(0) stops polling.
	PollingInterval *time.Duration
	// MaximumWaitReady is how long New waits for the first artifact, 3 s unless given.
	MaximumWaitReady *time.Duration
	// AllMatchingMboxes are those of which every matching rule counts, not the first alone.
	AllMatchingMboxes []string

	// Notifications is the background queue.
	Notifications NotificationsConfig

	// Extra has keys that this version of the module does not know, by their names in docs/configuration.md. Those that
	// have a field here are refused; new members of their objects are a matter of NewFromJSON.
	Extra map[string]any
}

// TLSConfig names PEM files.
type TLSConfig struct {
	// CAFile has certificate authorities that replace the roots.
	CAFile string
	// Roots is "bundled" unless given, or "system".
	Roots string
	// ClientCertificateFile and ClientKeyFile are the client's certificate.
	ClientCertificateFile, ClientKeyFile string
}

// RetryConfig is about repeating within the deadline of a call.
type RetryConfig struct {
	// MaxAttempts is 3 unless given.
	MaxAttempts int
	// BaseDelay is 100 ms unless given, MaxDelay 2 s.
	BaseDelay, MaxDelay *time.Duration
}

// NotificationsConfig is about the background queue, which delivers enqueued notifications and the impressions of
// decisions on this machine.
type NotificationsConfig struct {
	// MaxQueued is the number of notifications without a spool, 10,000 unless given; beyond it is ErrQueueFull.
	MaxQueued int
	// MaxBatch is the number in one request, 50 unless given.
	MaxBatch int
	// FlushInterval is the longest wait before the first attempt, 1 s unless given.
	FlushInterval *time.Duration
	// Workers are the threads that send, 2 unless given.
	Workers int
	// RetryBaseDelay is 500 ms unless given, RetryMaxDelay 30 s.
	RetryBaseDelay, RetryMaxDelay *time.Duration
	// TimeToLive is how long is tried, half an hour unless given, with a spool a day.
	TimeToLive time.Duration
	// SpoolDir is a directory that makes the queue durable.
	SpoolDir string
	// SpoolMaxBytes is 64 MiB unless given.
	SpoolMaxBytes int64
	// SpoolSync is "none", "batch" unless given, or "each": when a notification is safe.
	SpoolSync string
}

// Bool makes the value of an optional field.
func Bool(value bool) *bool { return &value }

// Int makes the value of an optional field.
func Int(value int) *int { return &value }

// Duration makes the value of an optional field.
func Duration(value time.Duration) *time.Duration { return &value }

// JSON gives the configuration as the library reads it, for a look or for NewFromJSON. It holds what the configuration
// holds, credentials of a proxy included.
func (c Config) JSON() ([]byte, error) {
	w := newWriter(512 + len(c.ArtifactPayload))
	w.textual("client", c.Client)
	w.textual("organization_id", c.OrganizationID)
	w.textual("decisioning_method", string(c.DecisioningMethod))
	w.textual("server_domain", c.ServerDomain)
	w.boolean("secure", c.Secure)
	w.boolean("edge_affinity", c.EdgeAffinity)
	w.duration("timeout", c.Timeout)
	w.duration("connect_timeout", c.ConnectTimeout)
	w.textual("target_location_hint", c.TargetLocationHint)
	w.optionalCount("environment_id", c.EnvironmentID)
	w.textual("property_token", c.PropertyToken)
	w.textual("version", c.Version)
	w.flag("telemetry_enabled", c.TelemetryEnabled)
	w.textual("proxy", c.Proxy)
	w.object("tls", func(w *writer) {
		w.textual("ca_file", c.TLS.CAFile)
		w.textual("roots", c.TLS.Roots)
		w.textual("client_certificate_file", c.TLS.ClientCertificateFile)
		w.textual("client_key_file", c.TLS.ClientKeyFile)
	})
	if len(c.Headers) > 0 {
		w.value("headers", c.Headers)
	}
	w.optionalCount("max_idle_connections", c.MaxIdleConnections)
	w.optionalDuration("max_idle_age", c.MaxIdleAge)
	w.object("retry", func(w *writer) {
		w.count("max_attempts", int64(c.Retry.MaxAttempts))
		w.optionalDuration("base_delay", c.Retry.BaseDelay)
		w.optionalDuration("max_delay", c.Retry.MaxDelay)
	})
	w.flag("retry_clicks", c.RetryClicks)
	w.count("event_buffer", int64(c.EventBuffer))
	w.optionalDuration("close_timeout", c.CloseTimeout)
	if !c.FixedClock.IsZero() {
		w.integer("fixed_clock_ms", c.FixedClock.UnixMilli())
	}

	w.textual("environment", c.Environment)
	w.textual("cdn_environment", c.CDNEnvironment)
	w.textual("cdn_base_path", c.CDNBasePath)
	w.textual("artifact_location", c.ArtifactLocation)
	w.textual("artifact_format", c.ArtifactFormat)
	w.value("artifact_payload", c.ArtifactPayload)
	w.textual("artifact_cache_dir", c.ArtifactCacheDir)
	w.optionalDuration("polling_interval", c.PollingInterval)
	w.optionalDuration("maximum_wait_ready", c.MaximumWaitReady)
	w.texts("all_matching_mboxes", c.AllMatchingMboxes)

	w.object("notifications", func(w *writer) {
		n := c.Notifications
		w.count("max_queued", int64(n.MaxQueued))
		w.count("max_batch", int64(n.MaxBatch))
		w.optionalDuration("flush_interval", n.FlushInterval)
		w.count("workers", int64(n.Workers))
		w.optionalDuration("retry_base_delay", n.RetryBaseDelay)
		w.optionalDuration("retry_max_delay", n.RetryMaxDelay)
		w.duration("time_to_live", n.TimeToLive)
		w.textual("spool_dir", n.SpoolDir)
		w.count("spool_max_bytes", n.SpoolMaxBytes)
		w.textual("spool_sync", n.SpoolSync)
	})
	w.extra("Config", fieldsOfConfig, c.Extra)
	return w.end()
}

// settings are those keys of a configuration that this module acts on, too, in either spelling.
type settings struct {
	timeout, closeTimeout time.Duration
	eventBuffer           int
	method                DecisioningMethod
}

// readSettings reads a configuration that the library has found to be good.
func readSettings(config []byte) settings {
	s := settings{timeout: 3 * time.Second, closeTimeout: 2 * time.Second, eventBuffer: 1024, method: ServerSide}
	var keys map[string]json.RawMessage
	if json.Unmarshal(config, &keys) != nil {
		return s
	}
	for key, value := range keys {
		switch spelled(key) {
		case "timeout":
			if number, ok := integer(value); ok && number > 0 {
				s.timeout = boundedMilliseconds(number)
			}
		case "closetimeout":
			if number, ok := integer(value); ok {
				s.closeTimeout = boundedMilliseconds(number)
			}
		case "eventbuffer":
			if number, ok := integer(value); ok {
				if number > math.MaxInt {
					number = math.MaxInt
				}
				s.eventBuffer = int(number)
			}
		case "decisioningmethod":
			var method string
			if json.Unmarshal(value, &method) == nil && method != "" {
				s.method = DecisioningMethod(method)
			}
		}
	}
	return s
}

// integer reads an integer in any of the forms that the library takes: 300, 300.0 and 3e2.
func integer(value json.RawMessage) (int64, bool) {
	text := string(value)
	if number, err := strconv.ParseInt(text, 10, 64); err == nil {
		return number, true
	}
	const exact = 1 << 53
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || number != math.Trunc(number) || math.Abs(number) > exact {
		return 0, false
	}
	return int64(number), true
}

// boundedMilliseconds is a duration that fits.
func boundedMilliseconds(n int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	if n > most {
		n = most
	}
	return milliseconds(n)
}

// fieldsOfConfig are the fields of Config by their keys, in the spelling of spelled.
var fieldsOfConfig = map[string]string{
	"client":             "Client",
	"organizationid":     "OrganizationID",
	"decisioningmethod":  "DecisioningMethod",
	"serverdomain":       "ServerDomain",
	"secure":             "Secure",
	"edgeaffinity":       "EdgeAffinity",
	"timeout":            "Timeout",
	"connecttimeout":     "ConnectTimeout",
	"targetlocationhint": "TargetLocationHint",
	"environmentid":      "EnvironmentID",
	"propertytoken":      "PropertyToken",
	"version":            "Version",
	"telemetryenabled":   "TelemetryEnabled",
	"proxy":              "Proxy",
	"tls":                "TLS",
	"headers":            "Headers",
	"maxidleconnections": "MaxIdleConnections",
	"maxidleage":         "MaxIdleAge",
	"retry":              "Retry",
	"retryclicks":        "RetryClicks",
	"eventbuffer":        "EventBuffer",
	"closetimeout":       "CloseTimeout",
	"fixedclockms":       "FixedClock",
	"environment":        "Environment",
	"cdnenvironment":     "CDNEnvironment",
	"cdnbasepath":        "CDNBasePath",
	"artifactlocation":   "ArtifactLocation",
	"artifactformat":     "ArtifactFormat",
	"artifactpayload":    "ArtifactPayload",
	"artifactcachedir":   "ArtifactCacheDir",
	"pollinginterval":    "PollingInterval",
	"maximumwaitready":   "MaximumWaitReady",
	"allmatchingmboxes":  "AllMatchingMboxes",
	"notifications":      "Notifications",
}
