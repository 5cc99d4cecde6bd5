// SPDX-License-Identifier: Apache-2.0 OR MIT

package adobetarget

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"reflect"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"
)

// documented are the keys in the tables of a section of docs/configuration.md.
func documented(t *testing.T, begin, end string) []string {
	page := string(must[[]byte](t)(os.ReadFile("../docs/configuration.md")))
	_, section, found := strings.Cut(page, begin)
	section, _, ended := strings.Cut(section, end)
	if !found || !ended {
		t.Fatalf("docs/configuration.md has no section %q before %q", begin, end)
	}
	name := regexp.MustCompile("`([a-z0-9_.]+)`")
	var keys []string
	for _, line := range strings.Split(section, "\n") {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, match := range name.FindAllStringSubmatch(cells[1], -1) {
				keys = append(keys, match[1])
			}
		}
	}
	sort.Strings(keys)
	return keys
}

// fill gives every field a value that is not its zero value.
func fill(t *testing.T, value reflect.Value) {
	switch value.Interface().(type) {
	case time.Time:
		value.Set(reflect.ValueOf(time.UnixMilli(1)))
		return
	case json.RawMessage:
		value.Set(reflect.ValueOf(json.RawMessage(`{}`)))
		return
	case map[string]any:
		return // Extra
	case map[string]string:
		value.Set(reflect.ValueOf(map[string]string{"a": "b"}))
		return
	}
	switch value.Kind() {
	case reflect.String:
		value.SetString("x")
	case reflect.Bool:
		value.SetBool(true)
	case reflect.Int, reflect.Int64:
		value.SetInt(1)
	case reflect.Pointer:
		value.Set(reflect.New(value.Type().Elem())) // to a zero, which has to be written
	case reflect.Slice:
		value.Set(reflect.MakeSlice(value.Type(), 1, 1))
	case reflect.Interface:
		value.Set(reflect.ValueOf(1))
	case reflect.Struct:
		for i := 0; i < value.NumField(); i++ {
			fill(t, value.Field(i))
		}
	default:
		t.Fatal("a field of another type: ", value.Type())
	}
}

// keysOf are the keys of an object; those that have objects with keys of ours are replaced by these.
func keysOf(t *testing.T, text []byte, nested ...string) []string {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var keys []string
	for key, value := range object {
		found := false
		for _, name := range nested {
			found = found || name == key
		}
		if !found {
			keys = append(keys, key)
			continue
		}
		for _, inner := range keysOf(t, value) {
			keys = append(keys, key+"."+inner)
		}
	}
	sort.Strings(keys)
	return keys
}

func TestConfigHasTheKeysOfTheDocumentation(t *testing.T) {
	var config Config
	fill(t, reflect.ValueOf(&config).Elem())
	keys := keysOf(t, must[[]byte](t)(config.JSON()), "tls", "retry", "notifications")
	same(t, "keys of Config", keys, documented(t, "## `target_client_create`", "## Options of a call"))
}

func TestOptionsHaveTheKeysOfTheDocumentation(t *testing.T) {
	var options Options
	fill(t, reflect.ValueOf(&options).Elem())
	keys := keysOf(t, must[[]byte](t)(options.json(options.Timeout)))
	keys = append(keys, "events") // the other name of "request"
	sort.Strings(keys)
	same(t, "keys of Options", keys, documented(t, "## Options of a call", "## Results"))
}

func TestExtraHasNothingThatHasAField(t *testing.T) {
	check := func(of any, begin, end string, fields map[string]string, write func(map[string]any) error) {
		t.Helper()
		known := make(map[string]bool)
		for _, key := range documented(t, begin, end) {
			key, _, _ = strings.Cut(key, ".")
			parts := strings.Split(key, "_")
			for i := range parts[1:] {
				parts[i+1] = strings.ToUpper(parts[i+1][:1]) + parts[i+1][1:]
			}
			for _, key := range []string{key, strings.Join(parts, "")} {
				known[spelled(key)] = true
				var failed *Error
				err := write(map[string]any{"a_new": 1, key: 5})
				if !errors.As(err, &failed) || failed.Status != ErrInvalidOptions || failed.Field != key ||
					!strings.Contains(failed.Message, fields[spelled(key)]) {
					t.Errorf("%s: %v", key, err)
				}
			}
			if _, ok := reflect.TypeOf(of).FieldByName(fields[spelled(key)]); !ok {
				t.Errorf("%s has no field %q", key, fields[spelled(key)])
			}
		}
		same(t, "known keys", len(fields), len(known))
	}
	check(Config{}, "## `target_client_create`", "## Options of a call", fieldsOfConfig, func(extra map[string]any) error {
		_, err := Config{Extra: extra}.JSON()
		return err
	})
	check(Options{}, "## Options of a call", "## Results", fieldsOfOptions, func(extra map[string]any) error {
		_, err := (&Options{Extra: extra}).json(0)
		return err
	})
}

func TestWhatIsNotGivenIsNotWritten(t *testing.T) {
	text := must[[]byte](t)(Config{Client: "a", OrganizationID: "b"}.JSON())
	same(t, "the configuration", json.RawMessage(text), json.RawMessage(`{"client":"a","organization_id":"b"}`))
	text = must[[]byte](t)((&Options{}).json(0))
	same(t, "the options", json.RawMessage(text), json.RawMessage(`{}`))
}

func TestZeroIsWrittenWhereItIsMeant(t *testing.T) {
	text := must[[]byte](t)(Config{
		Client: `a"ü`, Secure: Bool(false), PollingInterval: Duration(0), EnvironmentID: Int(0),
		Timeout: time.Nanosecond, ConnectTimeout: 1500 * time.Microsecond, FixedClock: time.UnixMilli(0),
		Notifications: NotificationsConfig{FlushInterval: Duration(0)},
		Extra:         map[string]any{"b_new": json.RawMessage(`1.0`), "a_new": []int{1}},
	}.JSON())
	same(t, "the configuration", json.RawMessage(text), json.RawMessage(
		`{"client":"a\"ü","secure":false,"timeout":1,"connect_timeout":2,"environment_id":0,"fixed_clock_ms":0,`+
			`"polling_interval":0,"notifications":{"flush_interval":0},"a_new":[1],"b_new":1.0}`))
}

func TestTheLibraryTakesTheWholeConfiguration(t *testing.T) {
	edge := startEdge(t, "--default-artifact")
	config := edge.onDevice()
	config.EdgeAffinity = Bool(false)
	config.Timeout, config.ConnectTimeout = time.Second, time.Second
	config.TargetLocationHint, config.EnvironmentID = "31", Int(1)
	config.Version, config.TelemetryEnabled = "1", true
	config.TLS.Roots = "bundled"
	config.Headers = map[string]string{"X-Test": "1"}
	config.MaxIdleConnections, config.MaxIdleAge = Int(0), Duration(0)
	config.Retry = RetryConfig{MaxAttempts: 1, BaseDelay: Duration(0), MaxDelay: Duration(0)}
	config.RetryClicks, config.EventBuffer, config.CloseTimeout = true, 1, Duration(time.Second)
	config.FixedClock = time.Date(2030, 11, 29, 12, 0, 0, 0, time.UTC)
	config.Environment, config.CDNEnvironment, config.ArtifactFormat = "production", "production", "json"
	config.ArtifactCacheDir = t.TempDir()
	config.PollingInterval, config.MaximumWaitReady = Duration(0), Duration(patience)
	config.AllMatchingMboxes = []string{"home"}
	config.Notifications = NotificationsConfig{
		MaxQueued: 1, MaxBatch: 1, FlushInterval: Duration(0), Workers: 1, RetryBaseDelay: Duration(0),
		RetryMaxDelay: Duration(0), TimeToLive: time.Hour, SpoolDir: t.TempDir(), SpoolMaxBytes: 1 << 20, SpoolSync: "none",
	}
	client := edge.client(config)
	attributes := must[*Attributes](t)(client.GetAttributes(context.Background(), []string{"cart"}, Options{}))
	var discount int
	if err := attributes.Read("cart", "discount", &discount); err != nil || discount != 30 {
		t.Errorf("%d on Black Friday, %v", discount, err)
	}
	same(t, "settings", []any{client.settings.timeout, client.settings.closeTimeout, client.settings.eventBuffer,
		client.settings.method}, []any{time.Second, time.Second, 1, OnDevice})
}

func TestSettingsAreReadInEitherSpelling(t *testing.T) {
	for _, text := range []string{
		`{"timeout":5,"close_timeout":6,"event_buffer":7,"decisioning_method":"hybrid"}`,
		`{"timeout":5,"closeTimeout":6,"eventBuffer":7,"decisioningMethod":"hybrid"}`,
		`{"timeout":5.0,"close_timeout":0.6e1,"event_buffer":70E-1,"decisioning_method":"hybrid"}`,
	} {
		want := settings{5 * time.Millisecond, 6 * time.Millisecond, 7, Hybrid}
		if got := readSettings([]byte(text)); got != want {
			t.Errorf("%+v of %s", got, text)
		}
	}
	most := settings{boundedMilliseconds(1<<63 - 1), boundedMilliseconds(1 << 53), math.MaxInt, ServerSide}
	text := `{"timeout":9223372036854775807,"close_timeout":9007199254740992.0,"event_buffer":9223372036854775807}`
	if got := readSettings([]byte(text)); got != most {
		t.Errorf("%+v of %s", got, text)
	}
	defaults := settings{3 * time.Second, 2 * time.Second, 1024, ServerSide}
	for _, text := range []string{`{}`, `{"timeout":0,"close_timeout":null,"event_buffer":null,"decisioning_method":""}`} {
		if got := readSettings([]byte(text)); got != defaults {
			t.Errorf("%+v of %s", got, text)
		}
	}
}

func TestMembersOfAnObjectAreFound(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: ``,
		` { "a" : 1 , "b":[1,{"x":"}"}],"c":"\\\"," ,"d":{"e":"\\"},"f":null}`: `a=1;b=[1,{"x":"}"}];c="\\\",";d={"e":"\\"};f=null;`,
		"{\n\"a\":\n-1.5e3\n}": `a=-1.5e3;`,
	} {
		var found strings.Builder
		err := members([]byte(text), func(key, value []byte) error {
			found.WriteString(string(key) + "=" + string(value) + ";")
			return nil
		})
		if err != nil || found.String() != want {
			t.Errorf("%s: %s, %v", text, found.String(), err)
		}
	}
	whole := `{"a":{"b":[1,"x\"y"]},"c":true}`
	for end := range whole {
		if members([]byte(whole[:end]), func(_, _ []byte) error { return nil }) == nil {
			t.Errorf("%s is no object", whole[:end])
		}
	}
}
