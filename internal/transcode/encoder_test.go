package transcode_test

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"

	proto2pb "cel.dev/expr/conformance/proto2"
	proto3pb "cel.dev/expr/conformance/proto3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	chatv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/chat/v1"
	feedv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/feed/v1"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

func TestFrame(t *testing.T) {
	m := methodOf(nil, descriptor(&chatv1.CompleteResponse{}))
	m.Stream.Event.Oneof = m.Output.Oneofs().ByName("event")
	id := event.At(7, event.NewMark())
	wire := marshal(t, &chatv1.CompleteResponse{
		Sequence: 3, Event: &chatv1.CompleteResponse_Token{Token: &chatv1.Token{Text: "<b>&\u2028\n\"a b\\"}},
	})
	got := string(transcode.NewEncoder(m).AppendFrame([]byte("before\n"), id, wire))
	want := "before\nid: " + id.String() + "\nevent: token\n" +
		`data: {"sequence":3,"token":{"text":"\u003cb\u003e\u0026\u2028\n\"a b\\"}}` + "\n\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A frame is the same wherever it is written: with any room behind dst, whose bytes before it stay.
func TestFrameAnywhere(t *testing.T) {
	m := methodOf(nil, descriptor(&feedv1.WatchFeedResponse{}))
	e, id := transcode.NewEncoder(m), event.At(7, event.NewMark())
	good := marshal(t, &feedv1.WatchFeedResponse{Sequence: 3, Text: strings.Repeat("\x01", 300)}) // JSON is six times as long
	for name, wire := range map[string][]byte{
		"good": good, "malformed": good[:len(good)-1], "no UTF-8": append(good, marshal(t, &feedv1.WatchFeedResponse{Kind: "k"})[:1]...),
		"no JSON": marshal(t, &feedv1.WatchFeedResponse{Sequence: 3, Text: "t", Time: &timestamppb.Timestamp{Seconds: 1 << 60}}),
	} {
		want := string(e.AppendFrame(nil, id, wire))
		for room := range 4000 {
			dst := append(make([]byte, 0, room+len("before")), "before"...)
			if got := string(e.AppendFrame(dst, id, wire)); got != "before"+want {
				t.Fatalf("%s, room for %d bytes: %q, want %q", name, room, got, want)
			}
		}
	}
}

// parts takes a frame apart.
func parts(t *testing.T, frame []byte) (name, data string) {
	t.Helper()
	lines := strings.Split(string(frame), "\n")
	if len(lines) != 5 || !strings.HasPrefix(lines[0], "id: ") || lines[3] != "" || lines[4] != "" {
		t.Fatalf("not one frame of id, event and one line of data: %q", frame)
	}
	name, ok := strings.CutPrefix(lines[1], "event: ")
	data, ok2 := strings.CutPrefix(lines[2], "data: ")
	if !ok || !ok2 {
		t.Fatalf("not one frame of id, event and one line of data: %q", frame)
	}
	return name, data
}

func frameOf(t *testing.T, e *transcode.Encoder, wire []byte) (name, data string) {
	t.Helper()
	return parts(t, e.AppendFrame(nil, event.At(1, event.NewMark()), wire))
}

// events has a oneof with a case of every kind and of every awkward name, and fields to take a type from.
const events = `syntax: "proto3" dependency: "google/protobuf/struct.proto" dependency: "google/protobuf/timestamp.proto"
enum_type { name: "Kind" value { name: "KIND_NONE" number: 0 } value { name: "error" number: 1 } value { name: "KIND_B" number: 2 } }
message_type { name: "M"
  field { name: "error" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "open" number: 2 type: TYPE_BYTES label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "stream" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 json_name: "a\"<b>" }
  field { name: "kind_case" number: 4 type: TYPE_ENUM type_name: ".test.v1.Kind" label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "null_case" number: 5 type: TYPE_ENUM type_name: ".google.protobuf.NullValue" label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "time" number: 6 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "sub" number: 7 type: TYPE_MESSAGE type_name: ".test.v1.M" label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "flag" number: 8 type: TYPE_BOOL label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "f32" number: 9 type: TYPE_FLOAT label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "f64" number: 10 type: TYPE_DOUBLE label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "u32" number: 11 type: TYPE_FIXED32 label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "u64" number: 12 type: TYPE_UINT64 label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "s32" number: 13 type: TYPE_SINT32 label: LABEL_OPTIONAL oneof_index: 0 }
  field { name: "text" number: 20 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "kind" number: 21 type: TYPE_ENUM type_name: ".test.v1.Kind" label: LABEL_OPTIONAL }
  field { name: "maybe" number: 22 type: TYPE_ENUM type_name: ".test.v1.Kind" label: LABEL_OPTIONAL oneof_index: 1 proto3_optional: true }
  oneof_decl { name: "event" } oneof_decl { name: "_maybe" } }`

func TestEventType(t *testing.T) {
	md := message(t, events)
	oneof := schema.EventType{Oneof: md.Oneofs().ByName("event")}
	field := func(name string) schema.EventType { return schema.EventType{Field: md.Fields().ByTextName(name)} }
	long := strings.Repeat("x", 129)
	for _, c := range []struct {
		name, message, want string
		from                schema.EventType
		bad                 int64
	}{
		{"no source", `flag: true`, "test.v1.M", schema.EventType{}, 0},
		{"literal", ``, "price", schema.EventType{Literal: "price"}, 0},
		{"literal of EventSource's", ``, "app.open", schema.EventType{Literal: "open"}, 0},
		{"literal of the bridge's", ``, ".stream.end", schema.EventType{Literal: "stream.end"}, 0},
		{"case", `flag: false`, "flag", oneof, 0},
		{"no case", `text: "x"`, "test.v1.M", oneof, 0},
		{"case error", `error: 1`, "app.error", oneof, 0},
		{"case open", `open: ""`, "app.open", oneof, 0},
		{"case stream, which is free", `stream: ""`, "stream", oneof, 0},
		{"string", `text: "a.b/c-D_1"`, "a.b/c-D_1", field("text"), 0},
		{"empty string", ``, "test.v1.M", field("text"), 0},
		{"string error", `text: "error"`, "app.error", field("text"), 0},
		{"string of the bridge's", `text: "stream.reset"`, ".stream.reset", field("text"), 0},
		{"string with a line end", `text: "a\nevent: b"`, "test.v1.M", field("text"), 1},
		{"string with a space", `text: "a b"`, "test.v1.M", field("text"), 1},
		{"string outside ASCII", `text: "é"`, "test.v1.M", field("text"), 1},
		{"long string", `text: "` + long + `"`, "test.v1.M", field("text"), 1},
		{"longest string", `text: "` + long[1:] + `"`, long[1:], field("text"), 0},
		{"string too long with its dot", `text: "stream.` + long[8:] + `"`, "test.v1.M", field("text"), 1},
		{"enum", `kind: KIND_B`, "KIND_B", field("kind"), 0},
		{"enum error", `kind: error`, "app.error", field("kind"), 0},
		{"enum's zero", ``, "KIND_NONE", field("kind"), 0},
		{"enum without a name", `kind: 77`, "test.v1.M", field("kind"), 1},
		{"optional enum", `maybe: KIND_NONE`, "KIND_NONE", field("maybe"), 0},
		{"optional enum, unset", ``, "test.v1.M", field("maybe"), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := methodOf(nil, md)
			m.Stream.Event = c.from
			e := transcode.NewEncoder(m)
			got, data := frameOf(t, e, marshal(t, fromText(t, md, c.message)))
			if got != c.want || e.BadNames() != c.bad {
				t.Errorf("type %q, %d bad names, want %q, %d (data %s)", got, e.BadNames(), c.want, c.bad, data)
			}
		})
	}
}

// TestEventTypeOfAnyEncoding encodes fields in any order and again, of other wire types, and with more bits than they have:
// the type is that of the message that a decoder makes of it.
func TestEventTypeOfAnyEncoding(t *testing.T) {
	md := message(t, events)
	encoders := []*transcode.Encoder{}
	for _, name := range []protoreflect.Name{"text", "kind", "maybe", "stream"} {
		m := methodOf(nil, md)
		m.Stream.Event.Field = md.Fields().ByName(name)
		encoders = append(encoders, transcode.NewEncoder(m))
	}
	m := methodOf(nil, md)
	m.Stream.Event.Oneof = md.Oneofs().ByName("event")
	encoders = append(encoders, transcode.NewEncoder(m))
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		wire := anyEncoding(r, md)
		decoded := dynamicpb.NewMessage(md)
		if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(wire, decoded); err != nil {
			t.Fatal(err)
		}
		plain := marshal(t, decoded)
		for i, e := range encoders {
			want, _ := frameOf(t, e, plain)
			if got, _ := frameOf(t, e, wire); got != want {
				t.Fatalf("%x: type %q by source %d, want %q", wire, got, i, want)
			}
		}
	}
}

// anyEncoding draws fields that event types are made of.
func anyEncoding(r *rand.Rand, md protoreflect.MessageDescriptor) (wire []byte) {
	names := []protoreflect.Name{"stream", "flag", "kind_case", "text", "kind", "maybe"}
	for range r.IntN(6) {
		number := md.Fields().ByName(names[r.IntN(len(names))]).Number()
		if r.IntN(2) == 0 {
			value := []uint64{0, 1, 2, 77, 1<<32 + 1}[r.IntN(5)]
			wire = protowire.AppendVarint(protowire.AppendTag(wire, number, protowire.VarintType), value)
		} else {
			value := []string{"", "a", "b"}[r.IntN(3)]
			wire = protowire.AppendString(protowire.AppendTag(wire, number, protowire.BytesType), value)
		}
	}
	return wire
}

func TestFullNameAsEventType(t *testing.T) {
	pkg := strings.Repeat("p.", 70) + "stream.q" // with the message's name, 150 characters
	for name, want := range map[string]string{
		`package: "stream.v1" message_type { name: "M" }`:   ".stream.v1.M",
		`package: "" message_type { name: "M" }`:            "M",
		`package: "` + pkg + `" message_type { name: "M" }`: strings.Repeat("p.", 59) + "stream.q.M",
	} {
		md := message(t, `syntax: "proto3" `+name)
		if got, _ := frameOf(t, transcode.NewEncoder(methodOf(nil, md)), nil); got != want {
			t.Errorf("%s: type %q, want %q", name, got, want)
		}
	}
}

func TestCaseValue(t *testing.T) {
	md := message(t, events)
	m := methodOf(nil, md)
	m.Stream.Event.Oneof = md.Oneofs().ByName("event")
	m.Stream.CaseValue = true
	e := transcode.NewEncoder(m)
	for message, want := range map[string]string{
		`error: -9007199254740993`:    `"-9007199254740993"`,
		`open: "\xff\xfe"`:            `"//4="`,
		`stream: "<\"\n"`:             `"\u003c\"\n"`,
		`kind_case: KIND_B`:           `"KIND_B"`,
		`kind_case: 77`:               `77`,
		`null_case: NULL_VALUE`:       `null`,
		`time { seconds: 1 }`:         `"1970-01-01T00:00:01Z"`,
		`sub { text: "x" sub { } }`:   `{"sub":{},"text":"x"}`,
		`sub { }`:                     `{}`,
		`flag: false`:                 `false`,
		`f32: 0.1`:                    `0.1`,
		`f64: nan`:                    `"NaN"`,
		`f64: -inf`:                   `"-Infinity"`,
		`f64: 1e300`:                  `1e+300`,
		`u32: 4294967295`:             `4294967295`,
		`u64: 18446744073709551615`:   `"18446744073709551615"`,
		`s32: -5`:                     `-5`,
		`text: "no case" kind: error`: `{"text":"no case","kind":"error"}`,
		``:                            `{}`,
	} {
		if _, got := frameOf(t, e, marshal(t, fromText(t, md, message))); got != want {
			t.Errorf("%s: data %s, want %s", message, got, want)
		}
	}
}

// More types than are remembered are only slower.
func TestManyEventTypes(t *testing.T) {
	post := &feedv1.WatchFeedResponse{}
	m := methodOf(nil, descriptor(post))
	m.Stream.Event.Field = descriptor(post).Fields().ByName("kind")
	e := transcode.NewEncoder(m)
	for range 2 {
		for i := range 1000 {
			post.Kind = "kind-" + strconv.Itoa(i)
			if name, _ := frameOf(t, e, marshal(t, post)); name != post.Kind {
				t.Fatalf("type %q, want %q", name, post.Kind)
			}
		}
	}
}

// nestedAny is an Any in an Any in an Any …
func nestedAny(t *testing.T, depth int) *anypb.Any {
	t.Helper()
	a := &anypb.Any{}
	for range depth {
		next, err := anypb.New(a)
		if err != nil {
			t.Fatal(err)
		}
		a = next
	}
	return a
}

func TestUndecodable(t *testing.T) {
	deep := structpb.NewNullValue()
	for range 800 {
		deep = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{deep}})
	}
	badString := protowire.AppendString(protowire.AppendTag(nil, 14, protowire.BytesType), "\xff") // single_string
	for _, c := range []struct {
		name   string
		output proto.Message
		wire   []byte
		reason string
	}{
		{"cut off", &proto3pb.TestAllTypes{}, []byte{0x0a, 5, 'x'}, transcode.ReasonMalformed},
		{"field number 0", &proto3pb.TestAllTypes{}, []byte{0, 0}, transcode.ReasonMalformed},
		{"bad UTF-8", &proto3pb.TestAllTypes{}, badString, transcode.ReasonUTF8},
		{"bad UTF-8 in proto2", &proto2pb.TestAllTypes{}, badString, transcode.ReasonUTF8},
		{"too deep", &structpb.Value{}, marshal(t, deep), transcode.ReasonTooDeep},
		{
			"Any of no known type", &proto3pb.TestAllTypes{},
			marshal(t, &proto3pb.TestAllTypes{SingleAny: &anypb.Any{TypeUrl: "type.googleapis.com/no.Such"}}), transcode.ReasonUnknownAny,
		},
		{
			"Any without a type", &proto3pb.TestAllTypes{},
			marshal(t, &proto3pb.TestAllTypes{SingleAny: &anypb.Any{Value: []byte{1}}}), transcode.ReasonUnknownAny,
		},
		{
			"Any that does not hold its type", &proto3pb.TestAllTypes{},
			marshal(t, &proto3pb.TestAllTypes{RepeatedAny: []*anypb.Any{{TypeUrl: "x/google.protobuf.Timestamp", Value: []byte{0x0a}}}}), transcode.ReasonMalformed,
		},
		{
			"bad UTF-8 in an Any in a map", &proto3pb.TestAllTypes{},
			marshal(t, &proto3pb.TestAllTypes{MapInt32Any: map[int32]*anypb.Any{
				1: {TypeUrl: "x/cel.expr.conformance.proto3.TestAllTypes", Value: badString},
			}}), transcode.ReasonUTF8,
		},
		{"Any too deep", &anypb.Any{}, marshal(t, nestedAny(t, 18)), transcode.ReasonTooDeep},
		{
			"Timestamp out of range", &proto3pb.TestAllTypes{},
			marshal(t, &proto3pb.TestAllTypes{SingleTimestamp: &timestamppb.Timestamp{Nanos: -1}}), transcode.ReasonNoJSON,
		},
		{
			"Value of nothing", &proto3pb.TestAllTypes{},
			marshal(t, &proto3pb.TestAllTypes{SingleValue: &structpb.Value{}}), transcode.ReasonNoJSON,
		},
		{
			"several reasons", &proto3pb.TestAllTypes{},
			marshal(t, &proto3pb.TestAllTypes{RepeatedAny: []*anypb.Any{{TypeUrl: "a"}}, MapInt32Any: map[int32]*anypb.Any{
				1: {TypeUrl: "x/google.protobuf.Timestamp", Value: []byte{0x0a}}, 2: {TypeUrl: "x/google.protobuf.Any", Value: []byte{0x0a, 1, 0xff}},
			}}), transcode.ReasonUTF8,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := transcode.NewEncoder(methodOf(nil, descriptor(c.output)))
			full := string(descriptor(c.output).FullName())
			for range 10 { // maps have no order
				name, data := frameOf(t, e, c.wire)
				want := `{"type":"` + full + `","reason":"` + c.reason + `","size":` + strconv.Itoa(len(c.wire)) + `}`
				if name != "stream.undecodable" || data != want {
					t.Fatalf("%s %s, want stream.undecodable %s", name, data, want)
				}
			}
			got, err := e.AppendJSON([]byte("x"), c.wire)
			bad, ok := errors.AsType[*transcode.UndecodableError](err)
			if !ok || bad.Reason != c.reason || bad.Size != len(c.wire) || string(bad.Type) != full || string(got) != "x" {
				t.Errorf("AppendJSON = %q, %#v, want nothing, %q", got, err, c.reason)
			}
		})
	}
}

func TestDecodable(t *testing.T) {
	all := descriptor(&proto3pb.TestAllTypes{})
	for _, c := range []struct {
		name string
		wire []byte
		want string
	}{
		{"empty", nil, `{}`},
		{"unknown fields are left out", []byte{0xf8, 0xff, 0x3f, 1}, `{}`},
		{
			"Any", marshal(t, &proto3pb.TestAllTypes{SingleAny: &anypb.Any{TypeUrl: "x/google.protobuf.Timestamp"}}),
			`{"singleAny":{"@type":"x/google.protobuf.Timestamp","value":"1970-01-01T00:00:00Z"}}`,
		},
		{"empty Any", marshal(t, &proto3pb.TestAllTypes{SingleAny: &anypb.Any{}}), `{"singleAny":{}}`},
	} {
		got, err := transcode.NewEncoder(methodOf(nil, all)).AppendJSON(nil, c.wire)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
	}
	// A message of proto2 without its required fields is shown as it is: the backend meant to send it.
	partial := message(t, `syntax: "proto2" message_type { name: "M" field { name: "a" number: 1 type: TYPE_INT32 label: LABEL_REQUIRED } }`)
	if got, err := transcode.NewEncoder(methodOf(nil, partial)).AppendJSON(nil, nil); err != nil || string(got) != "{}" {
		t.Errorf("required field not set: %s, %v", got, err)
	}
	anys := transcode.NewEncoder(methodOf(nil, descriptor(&anypb.Any{})))
	if _, err := anys.AppendJSON(nil, marshal(t, nestedAny(t, 16))); err != nil {
		t.Errorf("16 Any in each other: %v", err)
	}
}

func TestTypesThatAreNotTheMethodsAreUnknown(t *testing.T) {
	m := methodOf(nil, descriptor(&anypb.Any{}))
	m.Types = nil
	wire := marshal(t, &anypb.Any{TypeUrl: "x/google.protobuf.Timestamp"})
	if name, data := frameOf(t, transcode.NewEncoder(m), wire); name != "stream.undecodable" {
		t.Errorf("%s %s: resolved from what is linked into this program", name, data)
	}
}

func TestEncoderIsConcurrent(t *testing.T) {
	md := message(t, events)
	m := methodOf(nil, md)
	m.Stream.Event.Field = md.Fields().ByTextName("text")
	e := transcode.NewEncoder(m)
	id := event.At(1, event.NewMark())
	var wg sync.WaitGroup
	for i := range 8 {
		wire := marshal(t, fromText(t, md, `text: "`+strings.Repeat("x y", i+1)+`"`))
		want := string(e.AppendFrame(nil, id, wire))
		wg.Go(func() {
			for range 200 {
				if got := string(e.AppendFrame(nil, id, wire)); got != want {
					t.Errorf("got %q, want %q", got, want)
					return
				}
			}
		})
	}
	wg.Wait()
	if e.BadNames() != 8*201 {
		t.Errorf("%d bad names, want %d", e.BadNames(), 8*201)
	}
}
