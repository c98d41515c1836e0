package clients_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
)

// folder is where the JavaScript clients are.
const folder = "../../../e2e/clients"

// reading is one stream for a client to read.
type reading struct {
	URL  string            `json:"url"` // it has a query already
	Key  string            `json:"key"` // the call's name
	Body map[string]string `json:"body"`
}

// seen is what a client saw of one stream.
type seen struct {
	Events []event
	Errors int    // how often it lost the connection and went on by itself
	Ended  string // how it knew that this is the end
}

// inNode reads streams with one of the JavaScript clients, all at once, and returns what was seen in the same order.
func inNode(t *testing.T, client string, streams []reading) []seen {
	t.Helper()
	if _, err := os.Stat(folder + "/../node_modules/eventsource"); err != nil {
		t.Fatalf("%v: `make install` installs what is missing", err)
	}
	in, err := json.Marshal(streams)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "run.mjs", client)
	cmd.Dir = folder
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node run.mjs %s: %v\n%s", client, err, stderr.Bytes())
	}
	var all []seen
	if err := json.Unmarshal(out, &all); err != nil || len(all) != len(streams) {
		t.Fatalf("node run.mjs %s: %d of %d streams, %v\n%s", client, len(all), len(streams), err, stderr.Bytes())
	}
	return all
}
