package transcode_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	proto2pb "cel.dev/expr/conformance/proto2"
	proto3pb "cel.dev/expr/conformance/proto3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"

	chatv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/chat/v1"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

func canonical(m proto.Message) []byte {
	return transcode.AppendCanonical(nil, m.ProtoReflect(), global)
}

// The bytes are handed out (an id's check is made of them) and stored: they must not change by accident.
func TestCanonicalBytes(t *testing.T) {
	for _, c := range []struct {
		m    proto.Message
		want string
	}{
		{&chatv1.CompleteRequest{}, "016d00"},
		{&chatv1.CompleteRequest{Prompt: "hi", MaxTokens: 300, Fault: chatv1.Fault_FAULT_MIDWAY}, "016d" + "03" + "01" + "73026869" + "03" + "75ac02" + "04" + "6504"},
		{&proto3pb.TestAllTypes{OptionalBool: new(false), RepeatedInt32: []int32{0, -1}}, "016d" + "02" + "10" + "6200" + "1f" + "6c02" + "6900" + "6901"},
		{&proto3pb.TestAllTypes{MapBoolString: map[bool]string{true: "b", false: ""}}, "016d" + "01" + "40" + "7002" + "62007300" + "6201730162"},
		{&proto3pb.TestAllTypes{SingleFloat: 1, SingleDouble: math.NaN(), SingleBytes: []byte{255}}, "016d" + "03" + "0b" + "663f800000" + "0c" + "647ff8000000000001" + "0f" + "7801ff"},
		{&anypb.Any{TypeUrl: "x/a.B", Value: []byte{1}}, "016d" + "02" + "01" + "7305782f612e42" + "02" + "780101"},
	} {
		if got := fmt.Sprintf("%x", canonical(c.m)); got != c.want {
			t.Errorf("%v: %s, want %s", c.m, got, c.want)
		}
	}
}

func TestCanonicalAny(t *testing.T) {
	inner := func(raw ...byte) proto.Message {
		return &proto3pb.TestAllTypes{SingleAny: &anypb.Any{TypeUrl: "x/google.protobuf.StringValue", Value: raw}}
	}
	a, b := canonical(inner(0x0a, 1, 'y')), canonical(inner(0x0a, 1, 'x', 0x0a, 1, 'y')) // the last one counts
	if !bytes.Equal(a, b) {
		t.Errorf("one message inside an Any, two encodings: %x, %x", a, b)
	}
	// Neither a type that is not known nor bytes that do not fit their type may make two requests one.
	distinct := [][]byte{
		a, canonical(inner(0x0a)), canonical(inner(0x0a, 2)), canonical(inner()), canonical(&proto3pb.TestAllTypes{SingleAny: &anypb.Any{}}),
		canonical(&proto3pb.TestAllTypes{SingleAny: &anypb.Any{TypeUrl: "y/google.protobuf.StringValue"}}),
		canonical(&proto3pb.TestAllTypes{SingleAny: &anypb.Any{TypeUrl: "x/no.Such", Value: []byte{1}}}),
		canonical(&proto3pb.TestAllTypes{SingleAny: &anypb.Any{TypeUrl: "x/no.Such", Value: []byte{2}}}),
	}
	for i := range distinct {
		for j := range i {
			if bytes.Equal(distinct[i], distinct[j]) {
				t.Errorf("%d and %d have one encoding: %x", i, j, distinct[i])
			}
		}
	}
	if n := bytes.Count(canonical(nestedAny(t, 100)), []byte("a\x27type.googleapis.com/google.protobuf.Any")); n != 16 {
		t.Errorf("%d Any in each other were expanded, want 16", n)
	}
}

func TestCanonicalNaN(t *testing.T) {
	other64, other32 := math.Float64frombits(0xfff8000000000002), math.Float32frombits(0xffc00002)
	a := canonical(&proto3pb.TestAllTypes{SingleDouble: math.NaN(), SingleFloat: float32(math.NaN())})
	b := canonical(&proto3pb.TestAllTypes{SingleDouble: other64, SingleFloat: other32})
	if !bytes.Equal(a, b) {
		t.Errorf("two NaN: %x, %x", a, b)
	}
}

func TestCanonicalUnknownFields(t *testing.T) {
	one := protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1)
	two := protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 2)
	other := protowire.AppendString(protowire.AppendTag(nil, 999, protowire.BytesType), "x")
	with := func(fields ...[]byte) []byte {
		m := &proto3pb.TestAllTypes{SingleInt32: 1}
		m.ProtoReflect().SetUnknown(slices.Concat(fields...))
		return canonical(m)
	}
	if !bytes.Equal(with(one, other, two), with(other, one, two)) {
		t.Error("unknown fields of different numbers have no order, and two encodings")
	}
	if bytes.Equal(with(one, two), with(two, one)) || bytes.Equal(with(one), with(two)) || bytes.Equal(with(one), with()) {
		t.Error("different unknown fields have one encoding")
	}
}

func drawType(t *rapid.T) proto.Message {
	types := []proto.Message{&proto3pb.TestAllTypes{}, &proto2pb.TestAllTypes{}, &chatv1.CompleteResponse{}}
	return types[rapid.IntRange(0, len(types)-1).Draw(t, "type")]
}

// Equal messages have equal encodings and different messages different ones.
func TestCanonicalIsEquality(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		md := descriptor(drawType(t))
		a := drawMessage(t, md, 3)
		b := proto.Clone(a.Interface()).ProtoReflect()
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			change(t, b)
		}
		equal := proto.Equal(a.Interface(), b.Interface())
		if got := bytes.Equal(canonical(a.Interface()), canonical(b.Interface())); got != equal {
			t.Fatalf("equal messages: %v, equal encodings: %v\n%v\n%v", equal, got, a, b)
		}
	})
}

// Neither the order on the wire nor that of maps nor what implements the message shows in the encoding.
func TestCanonicalHasNoOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := drawType(t)
		m := drawMessage(t, descriptor(typ), 3)
		raw, err := proto.Marshal(m.Interface()) // the order is not fixed
		if err != nil {
			t.Fatal(err)
		}
		generated := typ.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(shuffle(t, raw), generated); err != nil {
			t.Fatal(err)
		}
		if a, b := canonical(m.Interface()), canonical(generated); !bytes.Equal(a, b) {
			t.Fatalf("%x\n%x\n%v", a, b, m)
		}
	})
}

// shuffle reorders the fields of a message on the wire, those of one number left in their order.
func shuffle(t *rapid.T, raw []byte) []byte {
	byNumber := make(map[protowire.Number][]byte)
	for len(raw) > 0 {
		number, _, n := protowire.ConsumeField(raw)
		byNumber[number] = append(byNumber[number], raw[:n]...)
		raw = raw[n:]
	}
	numbers := make([]protowire.Number, 0, len(byNumber))
	for number := range byNumber {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	var out []byte
	for _, number := range rapid.Permutation(numbers).Draw(t, "order") {
		out = append(out, byNumber[number]...)
	}
	return out
}

// drawMessage draws a message with a few of its fields set.
func drawMessage(t *rapid.T, md protoreflect.MessageDescriptor, depth int) protoreflect.Message {
	m := dynamicpb.NewMessage(md)
	for range rapid.IntRange(0, min(4, md.Fields().Len())).Draw(t, "fields") {
		drawField(t, m, depth)
	}
	return m
}

func drawField(t *rapid.T, m protoreflect.Message, depth int) {
	if m.Descriptor().Fields().Len() == 0 {
		return
	}
	fd := m.Descriptor().Fields().Get(rapid.IntRange(0, m.Descriptor().Fields().Len()-1).Draw(t, "field"))
	if depth == 0 && fd.Message() != nil {
		return
	}
	switch {
	case fd.IsList():
		list := m.Mutable(fd).List()
		for range rapid.IntRange(1, 3).Draw(t, "elements") {
			list.Append(drawValue(t, fd, depth))
		}
	case fd.IsMap():
		entries := m.Mutable(fd).Map()
		for range rapid.IntRange(1, 3).Draw(t, "entries") {
			entries.Set(drawValue(t, fd.MapKey(), depth).MapKey(), drawValue(t, fd.MapValue(), depth))
		}
	default:
		m.Set(fd, drawValue(t, fd, depth))
	}
}

// drawValue draws from few values, so that equal ones are common. -0 is left out: proto.Equal takes it for 0 in places,
// and to a backend it is another value.
func drawValue(t *rapid.T, fd protoreflect.FieldDescriptor, depth int) protoreflect.Value {
	n := rapid.IntRange(0, 3).Draw(t, "value")
	floats := []float64{0, 1.5, math.NaN(), math.Inf(-1)}
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n%2 == 0)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32([]int32{0, 1, -1, math.MinInt32}[n])
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64([]int64{0, 1, -1, math.MinInt64}[n])
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32([]uint32{0, 1, 128, math.MaxUint32}[n])
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64([]uint64{0, 1, 128, math.MaxUint64}[n])
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(floats[n]))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(floats[n])
	case protoreflect.StringKind:
		return protoreflect.ValueOfString([]string{"", "s", "s\x01", "\x00"}[n])
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([][]byte{{}, {0}, {0, 0}, []byte("s")}[n])
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(fd.Enum().Values().Get(n % fd.Enum().Values().Len()).Number())
	default:
		return drawSubmessage(t, fd, depth, n)
	}
}

func drawSubmessage(t *rapid.T, fd protoreflect.FieldDescriptor, depth, n int) protoreflect.Value {
	if fd.Message().FullName() == "google.protobuf.Any" {
		return drawAny(t, fd, n)
	}
	return protoreflect.ValueOfMessage(drawMessage(t, fd.Message(), depth-1))
}

func drawAny(t *rapid.T, fd protoreflect.FieldDescriptor, n int) protoreflect.Value {
	inner := &wrapperspb.StringValue{Value: []string{"", "s", "s\x01", "x"}[n]}
	raw, err := proto.Marshal(inner)
	if err != nil {
		t.Fatal(err)
	}
	m := dynamicpb.NewMessage(fd.Message())
	m.Set(fd.Message().Fields().ByNumber(1), protoreflect.ValueOfString(
		rapid.SampledFrom([]string{"a/google.protobuf.StringValue", "b/google.protobuf.StringValue", "a/no.Such"}).Draw(t, "url")))
	m.Set(fd.Message().Fields().ByNumber(2), protoreflect.ValueOfBytes(raw))
	return protoreflect.ValueOfMessage(m)
}

// change changes one field, most likely; deeper ones too.
func change(t *rapid.T, m protoreflect.Message) {
	var set []protoreflect.FieldDescriptor
	for i := range m.Descriptor().Fields().Len() {
		if fd := m.Descriptor().Fields().Get(i); m.Has(fd) {
			set = append(set, fd)
		}
	}
	if len(set) == 0 || rapid.IntRange(0, 4).Draw(t, "add") == 0 {
		drawField(t, m, 1)
		return
	}
	fd := rapid.SampledFrom(set).Draw(t, "changed")
	switch {
	case fd.Message() != nil && !fd.IsMap() && !fd.IsList() && fd.Message().FullName() != "google.protobuf.Any" && rapid.Bool().Draw(t, "inside"):
		change(t, m.Mutable(fd).Message())
	case fd.IsList() && fd.Message() == nil:
		list := m.Mutable(fd).List()
		list.Set(rapid.IntRange(0, list.Len()-1).Draw(t, "element"), drawValue(t, fd, 1))
	case fd.IsMap() || fd.IsList() || fd.Message() != nil:
		m.Clear(fd)
	default:
		m.Set(fd, drawValue(t, fd, 1))
	}
}
