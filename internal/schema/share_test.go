package schema_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// kinds are the fields that both messages of the tests of this file have, a field of each kind and shape.
func kinds() string {
	var b strings.Builder
	n := 0
	field := func(name, typ, more string) {
		n++
		b.WriteString(`field { name: "` + name + `" number: ` + strconv.Itoa(n) + ` type: TYPE_` + typ + ` ` + more + " }\n")
	}
	const one, many = "label: LABEL_OPTIONAL", "label: LABEL_REPEATED"
	for _, kind := range []string{
		"int32", "sint32", "sfixed32", "int64", "sint64", "sfixed64", "uint32", "fixed32", "uint64", "fixed64",
		"string", "bytes", "bool", "float", "double",
	} {
		field("f_"+kind, strings.ToUpper(kind), one)
	}
	field("f_enum", "ENUM", one+` type_name: ".acme.v1.Level"`)
	field("sub", "MESSAGE", one+` type_name: ".acme.v1.Sub"`)
	field("wrapper", "MESSAGE", one+` type_name: ".google.protobuf.StringValue"`)
	field("subs", "MESSAGE", many+` type_name: ".acme.v1.Sub"`)
	field("names", "STRING", many)
	field("by_name", "MESSAGE", many+` type_name: ".acme.v1.Sub.Entry"`)
	field("gone", "MESSAGE", one+` type_name: ".acme.v1.Sub" oneof_index: 0`)
	field("closed", "BOOL", one+" oneof_index: 0")
	return b.String() + `oneof_decl { name: "kind" }`
}

// sharing is a schema with the method acme.v1.Prices.Watch with these options.
func sharing(t testing.TB, options string) *schema.Schema {
	t.Helper()
	fields := strings.ReplaceAll(kinds(), ".Sub.Entry", ".NAME.ByNameEntry")
	entry := `nested_type { name: "ByNameEntry" options { map_entry: true }
		field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
		field { name: "value" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL } }`
	body := `enum_type { name: "Level" value { name: "LOW" number: 0 } }
		message_type { name: "Sub" field { name: "id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
			field { name: "next" number: 2 type: TYPE_MESSAGE type_name: ".acme.v1.Sub" label: LABEL_OPTIONAL } }
		message_type { name: "Request" ` + strings.ReplaceAll(fields, "NAME", "Request") + entry + `}
		message_type { name: "Event" ` + strings.ReplaceAll(fields, "NAME", "Event") + entry + `}
		service { name: "Prices" ` + watch("Watch", options) + `}`
	return load(t, "prices", `dependency: "google/protobuf/wrappers.proto"`+file("acme/prices.proto", "acme.v1", body))
}

// shared is how Watch is served with these texts of an option and a rule. It has principals.
func shared(t testing.TB, option, ruleText string) (schema.Stream, error) {
	t.Helper()
	o := schema.Options{Principals: true}
	if ruleText != "" {
		o.Rules = rules(t, rulePrefix+ruleText+" }")
	}
	tab, err := schema.NewTable([]*schema.Schema{sharing(t, `[grpcsse.v1.stream] { `+option+` }`)}, o)
	if err != nil {
		return schema.Stream{}, err
	}
	return tab.Methods()[0].Stream, nil
}

// summary is what the tests of this file compare of a Stream.
type summary struct {
	Share, Start    string
	Key, KeyDeleted string
	MaxKeys         int
	Resume          string
	Plain           bool
	Done            string
}

func summaryOf(s schema.Stream) summary {
	got := summary{
		Share: s.Share.String(), Start: s.Start.String(), Key: s.Key.String(), KeyDeleted: s.KeyDeleted.String(),
		MaxKeys: s.MaxKeys, Plain: s.Plain, Done: s.Done,
	}
	if r := s.Resume; r != nil {
		got.Resume = r.Event.String() + " > " + r.Request.String()
		if r.Inclusive {
			got.Resume += " inclusive"
		}
	}
	return got
}

func TestSharing(t *testing.T) {
	alone := summary{Share: "NONE", Start: "EARLIEST", MaxKeys: 10_000, Done: "[DONE]"}
	public := alone
	public.Share, public.Start = "PUBLIC", "LIVE"
	with := func(s summary, change func(*summary)) summary {
		change(&s)
		return s
	}
	const latest = `share: PUBLIC start: LATEST_PER_KEY key_field: "f_string" key_deleted: "gone" max_keys: 7`
	for name, tt := range map[string]struct {
		option, rule string
		want         summary
	}{
		"defaults":                     {"", "", alone},
		"NONE":                         {"share: NONE", "", alone},
		"NONE, start left to it":       {"start: START_UNSPECIFIED", "", alone},
		"PUBLIC":                       {"share: PUBLIC", "", public},
		"PRINCIPAL":                    {"share: PRINCIPAL", "", with(public, func(s *summary) { s.Share = "PRINCIPAL" })},
		"LIVE":                         {"share: PUBLIC start: LIVE", "", public},
		"EARLIEST":                     {"share: PUBLIC start: EARLIEST", "", with(public, func(s *summary) { s.Start = "EARLIEST" })},
		"shared until done":            {"share: PUBLIC until_done: true", "", public},
		"shared with a linger":         {"share: PUBLIC linger {}", "", public},
		"LATEST_PER_KEY":               {latest, "", with(public, func(s *summary) { s.Start, s.Key, s.KeyDeleted, s.MaxKeys = "LATEST_PER_KEY", "f_string", "gone", 7 })},
		"a nested key":                 {`share: PUBLIC start: LATEST_PER_KEY key_field: "sub.next.id"`, "", with(public, func(s *summary) { s.Start, s.Key = "LATEST_PER_KEY", "sub.next.id" })},
		"the most keys":                {`share: PUBLIC start: LATEST_PER_KEY key_field: "f_bool" max_keys: 1000000`, "", with(public, func(s *summary) { s.Start, s.Key, s.MaxKeys = "LATEST_PER_KEY", "f_bool", 1_000_000 })},
		"rule shares":                  {"", "share: PUBLIC", public},
		"rule takes sharing away":      {latest, "share: NONE", alone},
		"rule takes it away, by 0":     {latest, "share: SHARE_UNSPECIFIED", alone},
		"rule takes the keys away":     {latest, "start: LIVE", public},
		"rule brings another key":      {latest, `key_field: "f_enum"`, with(public, func(s *summary) { s.Start, s.Key, s.KeyDeleted, s.MaxKeys = "LATEST_PER_KEY", "f_enum", "gone", 7 })},
		"resume":                       {`resume { event_field: "f_int64" request_field: "f_int64" }`, "", with(alone, func(s *summary) { s.Resume = "f_int64 > f_int64" })},
		"resume, inclusive":            {`resume { event_field: "sub.id" request_field: "f_string" inclusive: true }`, "", with(alone, func(s *summary) { s.Resume = "sub.id > f_string inclusive" })},
		"rule replaces a whole resume": {`resume { event_field: "f_int64" request_field: "f_int64" inclusive: true }`, `resume { event_field: "f_bytes" request_field: "f_bytes" }`, with(alone, func(s *summary) { s.Resume = "f_bytes > f_bytes" })},
		"plain":                        {"frames: PLAIN", "", with(alone, func(s *summary) { s.Plain = true })},
		"typed over plain":             {"frames: PLAIN", "frames: TYPED", alone},
		"done":                         {`frames: PLAIN done: "bye"`, "", with(alone, func(s *summary) { s.Plain, s.Done = true, "bye" })},
		"no done":                      {`done: ""`, "", with(alone, func(s *summary) { s.Done = "" })},
		"the longest done":             {`done: "` + strings.Repeat("x", 1024) + `"`, "", with(alone, func(s *summary) { s.Done = strings.Repeat("x", 1024) })},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := shared(t, tt.option, tt.rule)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, summaryOf(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestSharingErrors(t *testing.T) {
	const latest = "share: PUBLIC start: LATEST_PER_KEY "
	for text, want := range map[string]string{
		"start: EARLIEST":                                    "start: EARLIEST is for shared calls, and a call that is not shared begins at its first event: set share, or take start out",
		"share: NONE start: LIVE":                            "start: LIVE is for shared calls",
		latest:                                               "start: LATEST_PER_KEY needs key_field: name the response's field that holds the key",
		`key_field: "f_string"`:                              "key_field: is only for start: LATEST_PER_KEY: set that, or take key_field out",
		`key_deleted: "gone"`:                                "key_deleted: is only for streams with key_field",
		`max_keys: 5`:                                        "max_keys: is only for streams with key_field",
		latest + `key_field: ""`:                             "key_field: the path is empty: name a field of the response message acme.v1.Event",
		latest + `key_field: "nope"`:                         `key_field: the response message acme.v1.Event has no field "nope"; it has`,
		latest + `key_field: "f_sring"`:                      `key_field: the response message acme.v1.Event has no field "f_sring"; it has f_string, `,
		latest + `key_field: "sub.nope"`:                     `key_field: the message acme.v1.Sub has no field "nope"; it has id, next`,
		latest + `key_field: "sub."`:                         `key_field: the message acme.v1.Sub has no field ""; it has id, next`,
		latest + `key_field: "f_string.x"`:                   `key_field: field "f_string" of acme.v1.Event has no fields of its own: it is of type string`,
		latest + `key_field: "subs.id"`:                      `key_field: field "subs" of acme.v1.Event has no fields of its own: it is repeated`,
		latest + `key_field: "by_name.value"`:                `key_field: field "by_name" of acme.v1.Event has no fields of its own: it is a map`,
		latest + `key_field: "names"`:                        `key_field: field "names" is repeated: a key is a string, bytes, a bool, an integer or an enum`,
		latest + `key_field: "by_name"`:                      `key_field: field "by_name" is a map: a key is`,
		latest + `key_field: "sub"`:                          `key_field: field "sub" is a message (acme.v1.Sub): a key is`,
		latest + `key_field: "wrapper"`:                      `name the field inside it: "wrapper.value"`,
		latest + `key_field: "f_double"`:                     `key_field: field "f_double" is of type double: a key is`,
		latest + `key_field: "f_float"`:                      `key_field: field "f_float" is of type float: a key is`,
		latest + `key_field: "f_string" key_deleted: "nope"`: `key_deleted: the response message acme.v1.Event has no field "nope"`,
		latest + `key_field: "f_string" key_deleted: "subs"`: `key_deleted: field "subs" is repeated: name a field that is there once`,
		latest + `key_field: "f_string" max_keys: 0`:         "max_keys: 0 is too small: at least 1",
		latest + `key_field: "f_string" max_keys: 1000001`:   "max_keys: 1000001 is too large: at most 1000000",
		`resume {}`:                                                     "resume: event_field: is missing",
		`resume { event_field: "f_int64" }`:                             "resume: request_field: is missing: the cursor is read from event_field and handed back in request_field",
		`resume { request_field: "f_int64" }`:                           "resume: event_field: is missing",
		`resume { event_field: "nope" request_field: "f_int64" }`:       `resume: event_field: the response message acme.v1.Event has no field "nope"`,
		`resume { event_field: "f_int64" request_field: "nope" }`:       `resume: request_field: the request message acme.v1.Request has no field "nope"`,
		`resume { event_field: "f_bool" request_field: "f_bool" }`:      `resume: event_field: field "f_bool" is of type bool: a cursor is an integer, a string or bytes`,
		`resume { event_field: "f_enum" request_field: "f_int32" }`:     `resume: event_field: field "f_enum" is an enum (acme.v1.Level): a cursor is`,
		`resume { event_field: "f_double" request_field: "f_double" }`:  `resume: event_field: field "f_double" is of type double: a cursor is`,
		`resume { event_field: "names" request_field: "f_string" }`:     `resume: event_field: field "names" is repeated: a cursor is`,
		`resume { event_field: "wrapper" request_field: "f_string" }`:   `name the field inside it: "wrapper.value"`,
		`resume { event_field: "f_string" request_field: "sub" }`:       `resume: request_field: field "sub" is a message (acme.v1.Sub): a cursor is`,
		`resume { event_field: "f_int64" request_field: "f_uint64" }`:   `resume: event_field "f_int64" is a signed integer and request_field "f_uint64" is an unsigned integer: both must be signed integers, both unsigned integers, both strings or both bytes`,
		`resume { event_field: "f_string" request_field: "f_bytes" }`:   `resume: event_field "f_string" is a string and request_field "f_bytes" is bytes: both must be`,
		`resume { event_field: "f_string" request_field: "f_int64" }`:   `resume: event_field "f_string" is a string and request_field "f_int64" is a signed integer`,
		`resume { event_field: "f_int64" request_field: "f_sint32" }`:   `resume: event_field "f_int64" has 64 bits and request_field "f_sint32" has 32`,
		`resume { event_field: "f_fixed64" request_field: "f_uint32" }`: `resume: event_field "f_fixed64" has 64 bits and request_field "f_uint32" has 32`,
		`done: "a\nb"`: "done: holds a line end: it is one line",
		`done: "a\rb"`: "done: holds a line end",
		`done: "` + strings.Repeat("x", 1025) + `"`: "done: is 1025 bytes long: at most 1024",
		`share: 9`:  "share: grpcsse.v1.Share has no value 9",
		`start: 9`:  "start: grpcsse.v1.Start has no value 9",
		`frames: 9`: "frames: grpcsse.v1.Frames has no value 9",
	} {
		t.Run(text, func(t *testing.T) {
			_, err := shared(t, text, "")
			wantError(t, err, "acme/prices.proto: method acme.v1.Prices.Watch: option (grpcsse.v1.stream): ", want)
			_, err = shared(t, "", text)
			wantError(t, err, "rules[0] (acme.v1.Prices.Watch): stream: ", want)
		})
	}
}

func TestPrincipalsAreNeeded(t *testing.T) {
	s := []*schema.Schema{sharing(t, "[grpcsse.v1.stream] { share: PRINCIPAL }")}
	_, err := schema.NewTable(s, schema.Options{})
	wantError(t, err, "option (grpcsse.v1.stream): share: PRINCIPAL needs principals: say in the config under principal which header or cookie")
	if _, err := schema.NewTable(s, schema.Options{Rules: rules(t, rulePrefix+"share: PUBLIC }")}); err != nil {
		t.Errorf("a rule that shares with everybody needs none: %v", err)
	}
}

// Every kind that may be a cursor goes with the same kind in another encoding, and none with another kind.
func TestCursorKinds(t *testing.T) {
	families := map[string][]string{
		"signed":   {"int32", "sint32", "sfixed32", "int64", "sint64", "sfixed64"},
		"unsigned": {"uint32", "fixed32", "uint64", "fixed64"},
		"string":   {"string"},
		"bytes":    {"bytes"},
	}
	for from, events := range families {
		for to, requests := range families {
			for _, event := range events {
				for _, request := range requests {
					want := from == to && (!strings.HasSuffix(request, "32") || strings.HasSuffix(event, "32"))
					_, err := shared(t, `resume { event_field: "f_`+event+`" request_field: "f_`+request+`" }`, "")
					if (err == nil) != want {
						t.Errorf("%s > %s: %v, want it to do: %v", event, request, err, want)
					}
				}
			}
		}
	}
}

func TestKeyDeletedKinds(t *testing.T) {
	for _, field := range []string{"f_bool", "f_string", "f_int32", "f_enum", "f_double", "sub", "gone", "closed", "wrapper", "sub.next"} {
		if _, err := shared(t, `share: PUBLIC start: LATEST_PER_KEY key_field: "f_string" key_deleted: "`+field+`"`, ""); err != nil {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestWarnsOfACursorInThePath(t *testing.T) {
	const resume = `[grpcsse.v1.stream] { resume { event_field: "f_int64" request_field: "f_int64" } } `
	for options, want := range map[string]string{
		resume + get("/a/{f_int64}"):  `acme/prices.proto: method acme.v1.Prices.Watch: resume: request_field "f_int64" is in the path /a/{f_int64}`,
		resume + get("/a/{f_string}"): "",
		get("/a/{f_int64}"):           "",
	} {
		warnings := strings.Join(table(t, schema.Options{}, sharing(t, options)).Warnings(), "\n")
		if !strings.HasPrefix(warnings, want) || (want == "") != (warnings == "") {
			t.Errorf("%s: warnings %q, want %q", options, warnings, want)
		}
	}
}

func TestRuleFingerprint(t *testing.T) {
	of := func(option, rule string) [32]byte {
		t.Helper()
		s, err := shared(t, option, rule)
		if err != nil {
			t.Fatal(err)
		}
		return s.Fingerprint
	}
	base := of("share: PUBLIC", "")
	if base == ([32]byte{}) {
		t.Error("no fingerprint")
	}
	for _, same := range []([32]byte){of("share: PUBLIC", ""), of("", "share: PUBLIC"), of("share: NONE", "share: PUBLIC")} {
		if same != base {
			t.Error("one rule, two fingerprints")
		}
	}
	for _, option := range []string{"", "share: PRINCIPAL", "share: PUBLIC on_lost: END", "share: PUBLIC retention { events: 7 }"} {
		if of(option, "") == base {
			t.Errorf("%q has the fingerprint of another rule", option)
		}
	}
	two := table(t, schema.Options{}, prices(t, watch("A", streamOption), watch("B", streamOption))).Methods()
	if two[0].Stream.Fingerprint == two[1].Stream.Fingerprint {
		t.Error("two methods have one fingerprint")
	}
}
