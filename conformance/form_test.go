package conformance_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/grpc-sse/grpc-sse/conformance"
)

const (
	openLine = `{"id":"10.AAAAAAAAAAAAAAAA","event":"stream.open","data":{}}` + "\n"
	noteLine = `{"id":"11.AAAAAAAAAAAAAAAA","event":"note","data":{"n":1}}` + "\n"
	endLine  = `{"id":"12.AAAAA.end","event":"stream.end","data":{"code":0}}` + "\n"

	openPlain = ":\nretry: 3000\nid: 10.AAAAAAAAAAAAAAAA\n\n"
	notePlain = "id: 11.AAAAAAAAAAAAAAAA\ndata: {\"n\":1}\n\n"
	donePlain = "id: 12.AAAAA.end\ndata: [DONE]\n\n"

	resultLine = `{"result":{"n":1}}` + "\n"
	errorLine  = `{"error":{"code":5}}` + "\n"
)

// TestStrictForms shows the same as TestStrict for the other forms of a stream.
func TestStrictForms(t *testing.T) {
	const sse, ndjson, json = "text/event-stream; charset=utf-8", "application/x-ndjson", "application/json"
	for _, test := range []struct{ name, kind, body, want string }{
		{"right lines", ndjson, openLine + "\n" + noteLine + endLine, ""},
		{"no open line", ndjson, noteLine + noteLine + endLine, "the first frame is note"},
		{"order", ndjson, openLine + `{"event":"note","id":"11.AAAAAAAAAAAAAAAA","data":{}}` + "\n" + endLine, "is not of the form"},
		{"no object", ndjson, openLine + "note\n" + endLine, "is not of the form"},
		{"white space", ndjson, openLine + strings.Replace(noteLine, ":1", ": 1", 1) + endLine, "white space"},
		{"missing line", ndjson, openLine + strings.Replace(noteLine, "11.", "12.", 1) + endLine, "position 12 after 10"},
		{"line without id", ndjson, openLine + `{"event":"note","data":{}}` + "\n" + endLine, "is no id"},
		{"half a line", ndjson, openLine + noteLine + endLine[:20], "inside a frame"},
		{"right plain", sse, openPlain + ":\n\n" + notePlain + donePlain, ""},
		{"plain with a type", sse, openPlain + "id: 11.AAAAAAAAAAAAAAAA\nevent: note\ndata: {}\n\n" + donePlain, "is no plain frame"},
		{"plain without preamble", sse, notePlain + notePlain + donePlain, "stand in the first plain frame"},
		{"plain without id", sse, openPlain + "data: {}\n\n" + donePlain, "is no plain frame"},
		{"plain with text", sse, openPlain + strings.Replace(notePlain, `{"n":1}`, "text", 1) + donePlain, "is no JSON"},
		{"plain twice", sse, openPlain + notePlain + notePlain + donePlain, "position 11 after 11"},
		{"right JSON", json, resultLine + "\n" + resultLine + errorLine, ""},
		{"JSON with another line", json, resultLine + `{"other":1}` + "\n" + errorLine, "is not of the form"},
		{"JSON behind an error", json, resultLine + errorLine + resultLine, "after the last frame"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", test.kind)
				w.(http.Flusher).Flush()
				_, _ = w.Write([]byte(test.body))
			}))
			defer server.Close()
			c := conformance.Case{Steps: []conformance.Step{{Request: "GET /", Plain: true, Expect: conformance.Expect{
				Events: []conformance.Event{{}, {}, {}}, Then: "end",
			}}}}
			err := conformance.Run(t.Context(), c, conformance.Endpoint{URL: server.URL})
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
