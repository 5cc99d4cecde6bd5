// SPDX-License-Identifier: Apache-2.0 OR MIT

package adobetarget

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const organization = "0DD934B85278256B0A490D44@AdobeOrg"

// edgeBinary is the program target-local-edge, which plays Target's edge. Every test asks the environment itself, so
// that "go test" does not show it the result that it had with another.
func edgeBinary() string { return os.Getenv("TARGET_LOCAL_EDGE") }

const noEdge = "TARGET_LOCAL_EDGE does not name the program target-local-edge"

func TestMain(m *testing.M) {
	flag.Parse()
	stop := func() {}
	if edgeBinary() != "" {
		host, stopEdge, err := runEdge("--default-artifact", "--accept-any-token")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		stop, examples = stopEdge, edge{host: host}
	} else {
		if os.Getenv("CI") == "true" {
			fmt.Fprintln(os.Stderr, noEdge)
			os.Exit(1)
		}
		fmt.Fprintln(os.Stderr, "\n*** SKIPPED: most tests and all examples: "+noEdge+" ***")
		// Examples cannot be skipped by themselves.
		if run := flag.Lookup("test.run"); run.Value.String() == "" {
			_ = run.Value.Set("^Test")
		}
	}
	code := m.Run()
	stop()
	os.Exit(code)
}

var examples edge

// EdgeOfExamples is the configuration that the examples use.
func EdgeOfExamples() Config { return examples.onDeviceOf(ServerSide) }

// edge is a local edge of one test.
type edge struct {
	testing.TB
	host string
}

func startEdge(t testing.TB, arguments ...string) edge {
	t.Helper()
	if edgeBinary() == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal(noEdge)
		}
		t.Skip("SKIPPED: " + noEdge)
	}
	host, stop, err := runEdge(arguments...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return edge{t, host}
}

func runEdge(arguments ...string) (host string, stop func(), err error) {
	program := exec.Command(edgeBinary(), append([]string{"--quiet"}, arguments...)...)
	program.Stderr = os.Stderr
	output, err := program.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := program.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = program.Process.Kill()
		_ = program.Wait()
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	_, host, found := strings.Cut(strings.TrimSpace(line), "http://")
	if err != nil || !found {
		stop()
		return "", nil, fmt.Errorf("the local edge said %q: %v", line, err)
	}
	return host, stop, nil
}

func (e edge) config() Config {
	return Config{Client: "demo", OrganizationID: organization, ServerDomain: e.host, Secure: Bool(false), Proxy: "none"}
}

func (e edge) onDevice() Config { return e.onDeviceOf(OnDevice) }

func (e edge) onDeviceOf(method DecisioningMethod) Config {
	config := e.config()
	config.DecisioningMethod = method
	config.CDNBasePath = "http://" + e.host
	return config
}

// client is closed at the end of the test, if it is still open.
func (e edge) client(config Config) *Client {
	e.Helper()
	client, err := New(config)
	if err != nil {
		e.Fatal(err)
	}
	e.Cleanup(func() { _, _ = client.Close(timeLeft(e, 5*time.Second)) })
	return client
}

func (e edge) ask(method, path, body string) []byte {
	e.Helper()
	request, err := http.NewRequest(method, "http://"+e.host+path, strings.NewReader(body))
	if err != nil {
		e.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		e.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		e.Fatalf("%s %s: %s %s %v", method, path, response.Status, answer, err)
	}
	return answer
}

func (e edge) faults(faults string) {
	e.Helper()
	e.ask(http.MethodPost, "/control/faults", faults)
}

func (e edge) always(fault string) {
	e.Helper()
	e.ask(http.MethodPost, "/control/default_reply", fault)
}

type report struct {
	Requests    int `json:"requests"`
	Impressions struct {
		Total  int            `json:"total"`
		ByMbox map[string]int `json:"by_mbox"`
	} `json:"impressions"`
	Clicks struct {
		Total int `json:"total"`
	} `json:"clicks"`
	DuplicateImpressions int `json:"duplicate_impressions"`
	Notifications        struct {
		Processed int `json:"processed"`
		Distinct  int `json:"distinct"`
	} `json:"notifications"`
}

func (e edge) report() report {
	e.Helper()
	var read report
	if err := json.Unmarshal(e.ask(http.MethodGet, "/report.json", ""), &read); err != nil {
		e.Fatal(err)
	}
	return read
}

func timeLeft(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// patience is for what has to come and takes as long as the machine needs.
const patience = 20 * time.Second

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for begun := time.Now(); !holds(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > patience {
			t.Fatalf("in %s it did not come to this: %s", patience, what)
		}
	}
}

func must[T any](t testing.TB) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	g, w := must[[]byte](t)(json.Marshal(got)), must[[]byte](t)(json.Marshal(want))
	if !bytes.Equal(g, w) {
		t.Errorf("%s: %s instead of %s", what, g, w)
	}
}

func home() Options {
	return Options{Request: DeliveryRequest{Execute: &ExecuteRequest{Mboxes: Mboxes("home")}}}
}

// display is a report of an edge that takes any token.
func display(ids ...string) Options {
	request := DeliveryRequest{}
	for _, id := range ids {
		shown := Display(id, time.Now())
		shown.Mbox, shown.Tokens = &NotificationMbox{Name: "home"}, []string{"a token"}
		request.Notifications = append(request.Notifications, shown)
	}
	return Options{Request: request, SessionID: "a-session"}
}

// nothingInFlight waits for the library to strike off calls that have answered.
func nothingInFlight(t testing.TB, client *Client) {
	t.Helper()
	eventually(t, "nothing is in flight", func() bool { return must[Stats](t)(client.Stats()).Calls.InFlight == 0 })
}
