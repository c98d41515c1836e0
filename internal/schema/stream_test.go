package schema_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/grpc-sse/grpc-sse/internal/schema"
)

const rulePrefix = `selector: "acme.v1.Prices.Watch" stream { `

// stream is the Stream of a method with these texts of an option and a rule. Its Event and Fingerprint are compared elsewhere.
func stream(t *testing.T, option, ruleText string) (schema.Stream, error) {
	t.Helper()
	o := schema.Options{Expose: []string{"*"}}
	if ruleText != "" {
		o.Rules = rules(t, rulePrefix+ruleText+" }")
	}
	tab, err := schema.NewTable([]*schema.Schema{prices(t, watch("Watch", `[grpcsse.v1.stream] { `+option+` }`))}, o)
	if err != nil {
		return schema.Stream{}, err
	}
	s := tab.Methods()[0].Stream
	s.Event, s.Fingerprint = schema.EventType{}, [32]byte{}
	return s, nil
}

func TestStream(t *testing.T) {
	defaults := schema.Stream{
		Retention:       schema.Retention{Age: 10 * time.Minute, Events: 10_000, Bytes: 8 << 20},
		Linger:          30 * time.Second,
		RetryFor:        5 * time.Minute,
		MaxMessageBytes: 4 << 20,
		Start:           schema.StartEarliest,
		MaxKeys:         10_000,
		Done:            "[DONE]",
	}
	with := func(change func(*schema.Stream)) schema.Stream {
		s := defaults
		change(&s)
		return s
	}
	for name, tt := range map[string]struct {
		option, rule string
		want         schema.Stream
	}{
		"defaults": {"", "", defaults},
		"all": {
			`retention { age { seconds: 60 } events: 5 bytes: 2048 } linger { seconds: 1 } on_lost: END data: CASE_VALUE retry_for { seconds: 2 } idle_timeout { seconds: 3 } max_message_bytes: 7`, "",
			schema.Stream{
				Retention: schema.Retention{Age: time.Minute, Events: 5, Bytes: 2048}, Linger: time.Second, OnLost: schema.End,
				CaseValue: true, RetryFor: 2 * time.Second, IdleTimeout: 3 * time.Second, MaxMessageBytes: 7,
				Start: schema.StartEarliest, MaxKeys: 10_000, Done: "[DONE]",
			},
		},
		"zeros that are allowed": {`linger {} retry_for {}`, "", with(func(s *schema.Stream) { s.Linger, s.RetryFor = 0, 0 })},
		"the least": {
			`retention { age { seconds: 1 } events: 1 bytes: 1024 } idle_timeout { seconds: 1 } max_message_bytes: 1`, "",
			with(func(s *schema.Stream) {
				s.Retention = schema.Retention{Age: time.Second, Events: 1, Bytes: 1024}
				s.IdleTimeout, s.MaxMessageBytes = time.Second, 1
			}),
		},
		"the most": {
			`retention { age { seconds: 86400 } } linger { seconds: 86400 } retry_for { seconds: 86400 } max_message_bytes: 67108864`, "",
			with(func(s *schema.Stream) {
				s.Retention.Age, s.Linger, s.RetryFor, s.MaxMessageBytes = 24*time.Hour, 24*time.Hour, 24*time.Hour, 64<<20
			}),
		},
		"rule alone":                             {"", "on_lost: RESTART", with(func(s *schema.Stream) { s.OnLost = schema.Restart })},
		"rule over option, field by field":       {"on_lost: RESTART linger { seconds: 9 }", "linger { seconds: 1 }", with(func(s *schema.Stream) { s.OnLost, s.Linger = schema.Restart, time.Second })},
		"rule replaces a whole field":            {"retention { events: 5 }", "retention { bytes: 2048 }", with(func(s *schema.Stream) { s.Retention.Bytes = 2048 })},
		"rule goes back to the default":          {"on_lost: END data: CASE_VALUE", "on_lost: ON_LOST_UNSPECIFIED data: DATA_UNSPECIFIED", defaults},
		"rule's linger ends until_done":          {"until_done: true", "linger { seconds: 1 }", with(func(s *schema.Stream) { s.Linger = time.Second })},
		"rule's until_done ends linger":          {"linger { seconds: 1 }", "until_done: true", with(func(s *schema.Stream) { s.UntilDone = true })},
		"until_done: false goes with any linger": {"linger { seconds: 1 } until_done: false", "", with(func(s *schema.Stream) { s.Linger = time.Second })},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := stream(t, tt.option, tt.rule)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestStreamErrors(t *testing.T) {
	for text, want := range map[string]string{
		`retention { age { nanos: 1 } }`:                                   "retention: age: 1ns is too short: at least 1s",
		`retention { age { seconds: 86401 } }`:                             "retention: age: 24h0m1s is too long: at most 24h0m0s",
		`retention { events: 0 }`:                                          "retention: events: 0 is too small: at least 1",
		`retention { events: 4294967295 }`:                                 "retention: events: 4294967295 is too large",
		`retention { bytes: 1023 }`:                                        "retention: bytes: 1023 is too small: at least 1024",
		`retention { bytes: 18446744073709551615 }`:                        "retention: bytes: 18446744073709551615 is too large",
		`linger { seconds: -1 }`:                                           "linger: -1s is too short: at least 0s",
		`linger { seconds: 86401 }`:                                        "linger: 24h0m1s is too long",
		`linger { seconds: 1 nanos: -1 }`:                                  "linger: not a valid google.protobuf.Duration",
		`linger { seconds: 1 } until_done: true`:                           "until_done: cannot be combined with linger",
		`retry_for { seconds: 90000 }`:                                     "retry_for: 25h0m0s is too long",
		`idle_timeout { nanos: 5 }`:                                        "idle_timeout: 5ns is too short: at least 1s",
		`max_message_bytes: 0`:                                             "max_message_bytes: 0 is too small: at least 1",
		`max_message_bytes: 67108865`:                                      "max_message_bytes: 67108865 is too large: at most 67108864",
		`event { oneof: "nope" }`:                                          `event: the response message acme.v1.Event has no oneof "nope"; it has event`,
		`event { oneof: "_note" }`:                                         `has no oneof "_note"`,
		`event { field: "nope" }`:                                          `event: the response message acme.v1.Event has no field "nope"; it has quote, error`,
		`event { field: "quote" }`:                                         `field "quote" of acme.v1.Event is neither a string nor an enum`,
		`event { field: "labels" }`:                                        `field "labels" of acme.v1.Event is neither`,
		`event { literal: "" }`:                                            `the literal "" is not 1 to 128 characters`,
		`event { literal: "a\nb" }`:                                        "is not 1 to 128 characters",
		`event { literal: "` + string(make129()) + `" }`:                   "is not 1 to 128 characters",
		`event { field: "kind" } data: CASE_VALUE`:                         "data: CASE_VALUE needs an event type that comes from a oneof of acme.v1.Event",
		`on_lost: 7`:                                                       "on_lost: grpcsse.v1.OnLost has no value 7",
		`data: 9`:                                                          "data: grpcsse.v1.Data has no value 9",
		`max_message_bytes: 0 retention { events: 0 } event { field: "" }`: `retention: events: 0 is too small`,
	} {
		t.Run(text, func(t *testing.T) {
			_, err := stream(t, text, "")
			wantError(t, err, "acme/prices.proto: method acme.v1.Prices.Watch: option (grpcsse.v1.stream): ", want)
			_, err = stream(t, "", text)
			wantError(t, err, "rules[0] (acme.v1.Prices.Watch): stream: ", want)
		})
	}
}

func make129() []byte {
	b := make([]byte, 129)
	for i := range b {
		b[i] = 'x'
	}
	return b
}

// An option that a newer version knows must not be ignored in silence.
func TestUnknownOptionFields(t *testing.T) {
	for name, tt := range map[string]struct {
		option []byte
		want   string
	}{
		"field":  {protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 2), "grpcsse.v1.Stream has no field with number 99"},
		"nested": {protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 2)), "retention: grpcsse.v1.Retention has no field with number 99"},
		"broken": {[]byte{0xff}, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			raw := protowire.AppendBytes(protowire.AppendTag(nil, 57735, protowire.BytesType), tt.option)
			fds := &descriptorpb.FileDescriptorSet{}
			data := set(t, file("acme/prices.proto", "acme.v1", messages+`service { name: "Prices" `+watch("Watch", "")+`}`))
			if err := proto.Unmarshal(data, fds); err != nil {
				t.Fatal(err)
			}
			fds.File[0].Service[0].Method[0].Options.ProtoReflect().SetUnknown(raw)
			data, err := proto.Marshal(fds)
			if err != nil {
				t.Fatal(err)
			}
			s, err := schema.FromDescriptorSet(data, "x")
			if err != nil {
				t.Fatal(err)
			}
			_, err = schema.NewTable([]*schema.Schema{s}, schema.Options{})
			wantError(t, err, "acme/prices.proto: method acme.v1.Prices.Watch: ", tt.want)
		})
	}
}

func TestEventTypes(t *testing.T) {
	for name, tt := range map[string]struct {
		output, option string
		want           []string
	}{
		"only oneof":          {"Event", "", []string{"quote", "app.error"}},
		"oneof by name":       {"Two", `event { oneof: "second" }`, []string{"b"}},
		"two oneofs":          {"Two", "", []string{"acme.v1.Two"}},
		"only a synthetic":    {"Plain", "", []string{"acme.v1.Plain"}},
		"empty source":        {"Event", "event {}", []string{"quote", "app.error"}},
		"enum":                {"Event", `event { field: "level" }`, []string{"app.open", "HIGH"}},
		"string":              {"Event", `event { field: "kind" }`, nil},
		"optional string":     {"Event", `event { field: "note" }`, nil},
		"string in the oneof": {"Event", `event { field: "error" }`, nil},
		"literal":             {"Event", `event { literal: "a/b.c_d-9" }`, []string{"a/b.c_d-9"}},
		"literal open":        {"Event", `event { literal: "open" }`, []string{"app.open"}},
		"literal stream.x":    {"Event", `event { literal: "stream.end" }`, []string{".stream.end"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := prices(t, method("Watch", tt.output, `[grpcsse.v1.stream] { `+tt.option+` }`))
			m := table(t, schema.Options{}, s).Methods()[0]
			if diff := cmp.Diff(tt.want, m.EventTypes()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if again := m.EventTypes(); !cmp.Equal(tt.want, again) {
				t.Errorf("the second time %v", again)
			}
		})
	}
}

func TestEventTypesOfAPackageNamedStream(t *testing.T) {
	s := load(t, "x", `name: "s.proto" package: "stream.v1" syntax: "proto3" message_type { name: "M" }
		service { name: "S" method { name: "W" input_type: ".stream.v1.M" output_type: ".stream.v1.M" server_streaming: true } }`)
	tab := table(t, schema.Options{Expose: []string{"*"}}, s)
	if diff := cmp.Diff([]string{".stream.v1.M"}, tab.Methods()[0].EventTypes()); diff != "" || len(tab.Warnings()) != 1 {
		t.Errorf("(-want +got):\n%s\nwarnings %q", diff, tab.Warnings())
	}
}

func TestRestarts(t *testing.T) {
	for _, tt := range []struct {
		options, verb string
		want          bool
	}{
		{"", http.MethodGet, true},
		{"", http.MethodPost, false},
		{"idempotency_level: IDEMPOTENT", http.MethodPost, true},
		{"idempotency_level: NO_SIDE_EFFECTS", http.MethodPost, true},
		{"[grpcsse.v1.stream] { on_lost: END }", http.MethodGet, false},
		{"idempotency_level: IDEMPOTENT [grpcsse.v1.stream] { on_lost: END }", http.MethodPost, false},
		{"[grpcsse.v1.stream] { on_lost: RESTART }", http.MethodPost, true},
		{"[grpcsse.v1.stream] { share: PUBLIC }", http.MethodPost, true},
		{"[grpcsse.v1.stream] { share: PUBLIC on_lost: END }", http.MethodGet, false},
		{`[grpcsse.v1.stream] { resume { event_field: "kind" request_field: "symbol" } }`, http.MethodPost, true},
		{`[grpcsse.v1.stream] { resume { event_field: "kind" request_field: "symbol" } on_lost: END }`, http.MethodPost, false},
	} {
		m := table(t, schema.Options{Expose: []string{"*"}}, prices(t, watch("Watch", tt.options))).Methods()[0]
		if got := m.Restarts(tt.verb); got != tt.want {
			t.Errorf("%s %s: %v, want %v (on_lost %s)", tt.verb, tt.options, got, tt.want, m.Stream.OnLost)
		}
	}
}
