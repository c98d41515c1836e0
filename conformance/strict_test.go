package conformance_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/grpc-sse/grpc-sse/conformance"
)

const (
	open = ":\nretry: 3000\nid: 10.AAAAAAAAAAAAAAAA\nevent: stream.open\ndata: {}\n\n"
	note = "id: 11.AAAAAAAAAAAAAAAA\nevent: note\ndata: {\"n\":1}\n\n"
	end  = "id: 12.AAAAA.end\nevent: stream.end\ndata: {\"code\":0}\n\n"
)

// TestStrict shows that a run fails for what the contract does not allow, though browsers may put up with it.
func TestStrict(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		{"right", open + note + end, ""},
		{"heartbeats", open + ":\n\n" + note + ":\n\n" + end, ""},
		{"no open", note + end, "the first frame is note"},
		{"two opens", open + open + note + end, "a second stream.open"},
		{"no retry", strings.Replace(open, "retry: 3000\n", "", 1) + note + end, "no comment or no retry"},
		{"retry too short", strings.Replace(open, "3000", "100", 1) + note + end, "retry is not between"},
		{"retry later", open + "retry: 1\n" + note + end, "where none belongs"},
		{"carriage return", open + strings.ReplaceAll(note, "\n\n", "\r\n\n") + end, "a carriage return"},
		{"order", open + "event: note\nid: 11.AAAAAAAAAAAAAAAA\ndata: {}\n\n" + end, "out of order"},
		{"unknown field", open + "x: 1\n" + note + end, "unknown"},
		{"no id", open + "event: note\ndata: {}\n\n" + end, "is no id"},
		{"no data", open + "id: 11.AAAAAAAAAAAAAAAA\nevent: note\n\n" + end, "no data"},
		{"white space", open + strings.Replace(note, ":1", ": 1", 1) + end, "white space"},
		{"unescaped", open + strings.Replace(note, ":1", ":\"<\"", 1) + end, "as they are"},
		{"twice", open + note + note + end, "position 11 after 11"},
		{"missing", open + strings.Replace(note, "11.", "12.", 1) + end, "position 12 after 10"},
		{"another run", open + strings.Replace(note, "11.A", "11.B", 1) + end, "the mark changes"},
		{"end that is none", open + note + strings.Replace(end, "AAAAA.end", "AAAAAAAAAAAAAAAA", 1), "on stream.end"},
		{"after the end", open + note + end + note, "after the last frame"},
		{"half a frame", open + note + end[:20], "inside a frame"},
		{"no end", open + note, "EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
				_, _ = w.Write([]byte(test.body))
			}))
			defer server.Close()
			c := conformance.Case{Steps: []conformance.Step{{Request: "GET /", Expect: conformance.Expect{
				Events: []conformance.Event{{Event: "stream.open"}, {Event: "note"}, {Event: "stream.end"}}, Then: "end",
			}}}}
			err := conformance.Run(t.Context(), c, conformance.Endpoint{URL: server.URL})
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestStrictSnapshots shows the same for snapshots, bookmarks, and the backend's cursors in ids.
func TestStrictSnapshots(t *testing.T) {
	const (
		begin = ":\nretry: 3000\nid: 10.AAAAAAAAAAAAAAAA~s15\nevent: stream.open\ndata: {}\n\n"
		one   = "id: 12.AAAAAAAAAAAAAAAA~s15\nevent: note\ndata: {\"n\":1}\n\n"
		two   = "id: 15.AAAAAAAAAAAAAAAA~s15~cBBBBBAg\nevent: note\ndata: {\"n\":2}\n\n"
		close = "id: 15.AAAAAAAAAAAAAAAA~cBBBBBAg\nevent: stream.bookmark\ndata: {}\n\n"
		three = "id: 16.AAAAAAAAAAAAAAAA~cBBBBBAw\nevent: note\ndata: {\"n\":3}\n\n"
		four  = "id: 20.CCCCCCCCCCCCCCCC~cBBBBBBA\nevent: note\ndata: {\"n\":4}\n\n"
		end   = "id: 21.BBBBB.end\nevent: stream.end\ndata: {\"code\":0}\n\n"
	)
	for _, test := range []struct{ name, body, want string }{
		{"right", begin + one + two + close + three + four + end, ""},
		{"order", begin + two + one + close + three + four + end, "inside the snapshot"},
		{"twice", begin + one + one + close + three + four + end, "inside the snapshot"},
		{"not closed", begin + one + two + three + four + end, "inside the snapshot"},
		{"closed elsewhere", begin + one + strings.Replace(close, "15.", "14.", 1) + three + four + end, "inside the snapshot"},
		{"behind its end", begin + one + strings.Replace(two, "15.", "16.", 1) + close + three + four + end, "inside the snapshot"},
		{"another one", begin + strings.Replace(one, "~s15", "~s16", 1) + two + close + three + four + end, "inside the snapshot"},
		{"from nowhere", begin + one + two + close + strings.Replace(three, "~c", "~s16~c", 1) + four + end, "without stream.open"},
		{"missing", begin + one + two + close + strings.Replace(three, "16.", "17.", 1) + four + end, "position 17 after 15"},
		{"fallen", begin + one + two + close + three + strings.Replace(four, "20.", "9.", 1) + end, "position 9 after 16"},
		{"too long", begin + one + two + close + strings.Replace(three, "Aw", strings.Repeat("A", 120), 1) + four + end, "is no id"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
				_, _ = w.Write([]byte(test.body))
			}))
			defer server.Close()
			c := conformance.Case{Steps: []conformance.Step{{Request: "GET /", Expect: conformance.Expect{
				Events: []conformance.Event{{Event: "stream.end", Past: "stream.open note stream.bookmark"}}, Then: "end",
			}}}}
			err := conformance.Run(t.Context(), c, conformance.Endpoint{URL: server.URL})
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestMatches(t *testing.T) {
	const got = `{"a":1,"b":{"c":"text","d":[1,"x"]},"e":true}`
	for _, test := range []struct {
		want any
		ok   bool
	}{
		{map[string]any{}, true},
		{map[string]any{"a": 1, "e": true}, true},
		{map[string]any{"a": 2}, false},
		{map[string]any{"a": "1"}, false},
		{map[string]any{"b": map[string]any{"c": "~ex"}}, true},
		{map[string]any{"b": map[string]any{"c": "!ex"}}, false},
		{map[string]any{"b": map[string]any{"c": "*"}}, true},
		{map[string]any{"b": map[string]any{"d": []any{1, "x"}}}, true},
		{map[string]any{"b": map[string]any{"d": []any{1}}}, false},
		{map[string]any{"z": nil}, true},
		{map[string]any{"a": nil}, false},
		{map[string]any{"z": "*"}, false},
	} {
		if problem := conformance.Matches(test.want, got); (problem == "") != test.ok {
			t.Errorf("Matches(%v): %q, want ok %t", test.want, problem, test.ok)
		}
	}
}
