package cli_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/cli"
)

func TestTail(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gone" {
			http.Error(w, "no such stream", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		body, _ := io.ReadAll(r.Body)
		text := strings.Join([]string{r.Method, r.Header.Get("X-A"), r.Header.Get("Last-Event-ID"), string(body)}, "|")
		_, _ = io.WriteString(w, "event: stream.reset\ndata: {\"reason\":\"expired\"}\n\n"+
			"id: 1.m\nevent: echo\ndata: "+text+"\n\nevent: stream.end\ndata: {\"code\":"+strings.TrimPrefix(r.URL.Path, "/")+"}\n\n")
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "body.json")
	if err := os.WriteFile(file, []byte(`{"f":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	const reset = "-- reset: expired; what follows does not continue what came before\n"
	tests := []struct {
		name, args, stdin string
		exit              int
		stdout, stderr    string // stderr: a part of it
	}{
		{name: "GET", args: "URL/0", stdout: reset + "1.m  echo  GET|||\n-- end: OK\n"},
		{name: "colours", args: "--color always URL/0", stdout: "\x1b[33m" + strings.TrimSpace(reset) + "\x1b[0m\n\x1b[2m1.m\x1b[0m  \x1b[36mecho\x1b[0m  GET|||\n\x1b[32m-- end: OK\x1b[0m\n"},
		{name: "headers", args: "-H X-A:1,2 --header Last-Event-ID:9.z URL/0", stdout: reset + "1.m  echo  GET|1,2|9.z|\n-- end: OK\n"},
		{name: "cursor", args: "--last-event-id 7.z URL/0", stdout: reset + "1.m  echo  GET||7.z|\n-- end: OK\n"},
		{name: "data", args: `-d {"a":1} URL/0`, stdout: reset + "1.m  echo  POST|||{\"a\":1}\n-- end: OK\n"},
		{name: "data of a file", args: "-d @" + file + " URL/0", stdout: reset + "1.m  echo  POST|||{\"f\":1}\n-- end: OK\n"},
		{name: "data of stdin", args: "-d @- URL/0", stdin: "[1]", stdout: reset + "1.m  echo  POST|||[1]\n-- end: OK\n"},
		{
			name: "JSON lines", args: "--json URL/0",
			stdout: `{"event":"stream.reset","data":{"reason":"expired"}}` + "\n" + `{"id":"1.m","event":"echo","data":"GET|||"}` + "\n" +
				`{"event":"stream.end","data":{"code":0}}` + "\n",
		},
		{name: "another code", args: "URL/14", exit: 3, stdout: reset + "1.m  echo  GET|||\n-- end: code 14\n", stderr: "grpc-sse: the stream ended: code 14\n"},
		{name: "another status", args: "URL/gone", exit: 3, stderr: "grpc-sse: the server answered 404 Not Found:\n  no such stream\n"},
		{name: "reset", args: "--fail-on-reset URL/0", exit: 4, stdout: reset, stderr: "grpc-sse: the stream was reset (expired)\n"},
		{name: "no URL", args: "", exit: 2, stderr: "Run 'grpc-sse tail --help' for usage."},
		{name: "bad URL", args: "localhost:1", exit: 2, stderr: "write http://localhost:1\nRun 'grpc-sse tail --help'"},
		{name: "bad header", args: "-H abc URL/0", exit: 2, stderr: `--header "abc": write it as 'Name: value'`},
		{name: "bad data", args: "-d {a} URL/0", exit: 2, stderr: "data is no JSON: invalid character 'a'"},
		{name: "empty stdin", args: "-d @- URL/0", exit: 2, stderr: "data is no JSON"},
		{name: "no file", args: "-d @/no/such URL/0", exit: 2, stderr: "--data @/no/such: open /no/such: no such file"},
		{name: "no file name", args: "-d @ URL/0", exit: 2, stderr: "--data @: name a file behind the @"},
		{name: "bad colour", args: "--color red URL/0", exit: 2, stderr: "--color red: give auto, always or never"},
		{name: "no retries", args: "--max-retries 0 URL/0", exit: 2, stderr: "--max-retries 0: give at least 1, or -1 for no limit"},
		{name: "no silence", args: "--silence 0s URL/0", exit: 2, stderr: "--silence 0s: give at least 1s, or -1s for no limit"},
		{name: "refused", args: "--max-retries 1 http://127.0.0.1:1/", exit: 1, stderr: "grpc-sse: gave up after 2 connections in a row that failed; the last: cannot connect: dial tcp 127.0.0.1:1: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"tail"}, strings.Fields(strings.ReplaceAll(test.args, "URL", server.URL))...)
			var stdout, stderr strings.Builder
			exit := cli.Main(t.Context(), args, strings.NewReader(test.stdin), &stdout, &stderr)
			if exit != test.exit || !strings.Contains(stderr.String(), test.stderr) {
				t.Errorf("exit code %d, stderr %q; want %d, %q in it", exit, stderr.String(), test.exit, test.stderr)
			}
			if diff := cmp.Diff(test.stdout, stdout.String()); diff != "" {
				t.Errorf("stdout (-want +got):\n%s", diff)
			}
		})
	}
}
