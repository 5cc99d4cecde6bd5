// SPDX-License-Identifier: Apache-2.0 OR MIT

//go:build linux

package adobetarget

import (
	"debug/elf"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// build builds an example as a user does.
func build(t *testing.T, example string, arguments ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), example)
	arguments = append(append([]string{"build", "-o", program}, arguments...), "./example/"+example)
	command := exec.Command("go", arguments...)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", command, err, output)
	}
	return program
}

// freeAddress is one that nobody listens on at the moment.
func freeAddress(t *testing.T) string {
	listener := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	defer listener.Close()
	return listener.Addr().String()
}

func needed(t *testing.T, program string) string {
	t.Helper()
	file := must[*elf.File](t)(elf.Open(program))
	defer file.Close()
	return strings.Join(must[[]string](t)(file.ImportedLibraries()), " ")
}

func TestTheQuickstartRuns(t *testing.T) {
	edge := startEdge(t)
	program := build(t, "quickstart")
	output, err := exec.Command(program, edge.host).CombinedOutput()
	if err != nil || !strings.Contains(string(output), `Acknowledged: ["1"]`) {
		t.Errorf("%v: %s", err, output)
	}
	same(t, "impressions", edge.report().Impressions.Total, 1)
	output, err = exec.Command(program).CombinedOutput()
	if err == nil || !strings.Contains(string(output), "Client is required") || !strings.Contains(string(output), "Usage") {
		t.Errorf("%v: %s", err, output)
	}
}

// The programs of docs/go.md run as the page says, in a module of their own.
func TestTheProgramsOfTheDocumentationRun(t *testing.T) {
	page := string(must[[]byte](t)(os.ReadFile("../docs/go.md")))
	module := must[string](t)(os.Getwd())
	blocks := strings.Split(page, "```go\n")[1:]
	for at, says := range []string{"acknowledged: [1]", "true", "notification_acknowledged [1]"} {
		if at >= len(blocks) {
			t.Fatalf("docs/go.md has %d programs", len(blocks))
		}
		edge := startEdge(t, "--accept-any-token")
		program, _, _ := strings.Cut(blocks[at], "\n```")
		program = strings.ReplaceAll(program, "127.0.0.1:8080", edge.host)
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "main.go"), []byte(program), 0o600); err != nil {
			t.Fatal(err)
		}
		var output []byte
		for _, arguments := range [][]string{
			{"mod", "init", "app"},
			{"mod", "edit", "-require=adobetarget@v0.1.0", "-replace=adobetarget=" + module},
			{"run", "."},
		} {
			command := exec.Command("go", arguments...)
			command.Dir = folder
			var err error
			if output, err = command.CombinedOutput(); err != nil {
				t.Fatalf("program %d: %v: %v\n%s", at, command, err, output)
			}
		}
		if !strings.Contains(string(output), says) {
			t.Errorf("program %d does not say %q: %s", at, says, output)
		}
	}
	same(t, "programs", len(blocks), 3)
}

func TestAStaticProgramNeedsNoLibrary(t *testing.T) {
	edge := startEdge(t)
	program := build(t, "quickstart", "-tags", "adobetarget_static")
	if libraries := needed(t, program); strings.Contains(libraries, "target") || strings.Contains(libraries, "gcc") {
		t.Errorf("it needs %s", libraries)
	}
	command := exec.Command(program, edge.host)
	command.Env = []string{} // no LD_LIBRARY_PATH
	if output, err := command.CombinedOutput(); err != nil || !strings.Contains(string(output), `Acknowledged: ["1"]`) {
		t.Errorf("%v: %s", err, output)
	}
}

func TestTheServerReportsWhatItHasShown(t *testing.T) {
	edge := startEdge(t)
	program := build(t, "server")
	address := freeAddress(t)
	command := exec.Command(program, "-edge", edge.host, "-listen", address)
	var output strings.Builder
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer command.Process.Kill()
	cookies := 0
	for visit := 0; visit < 3; visit++ {
		eventually(t, "a page comes", func() bool {
			response, err := http.Get("http://" + address)
			if err != nil {
				return false
			}
			defer response.Body.Close()
			page := string(must[[]byte](t)(io.ReadAll(response.Body)))
			cookies += len(response.Cookies())
			return strings.Contains(page, "Welcome back")
		})
	}
	// One more visitor waits for the edge when the server is told to end.
	edge.always(`{"type":"delay","ms":200}`)
	served := make(chan string, 1)
	go func() {
		request, err := http.NewRequest(http.MethodGet, "http://"+address, nil)
		if err != nil {
			served <- err.Error()
			return
		}
		request.Header.Set("User-Agent", "the last visitor")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			served <- err.Error()
			return
		}
		defer response.Body.Close()
		page, err := io.ReadAll(response.Body)
		served <- fmt.Sprint(string(page), err)
	}()
	eventually(t, "the edge has the visitor's request", func() bool {
		return strings.Contains(string(edge.ask(http.MethodGet, "/control/requests", "")), "the last visitor")
	})
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if page := <-served; !strings.Contains(page, "Welcome back") {
		t.Errorf("the visitor in flight got %s", page)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("%v: %s", err, output.String())
	}
	same(t, fmt.Sprint("impressions and cookies; ", output.String()), []int{edge.report().Impressions.Total, cookies}, []int{4, 6})
}
