package render_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/grpc-sse/grpc-sse/internal/transcode/render"
)

// global resolves every type linked into the test.
var global = dynamicpb.NewTypes(protoregistry.GlobalFiles)

// reference renders with nothing but protobuf's own decoder, protojson and encoding/json, and says why where it cannot.
type reference struct {
	md    protoreflect.MessageDescriptor
	types *dynamicpb.Types
	oneof protoreflect.OneofDescriptor // not nil: of this only the set case's value
	name  string                       // for what a test says
}

var (
	errUnknownAny = errors.New(string(render.UnknownAny))
	errTooDeep    = errors.New(string(render.TooDeep))
)

// render returns what is to be written, or the reason for which nothing is.
func (r reference) render(wire []byte) ([]byte, render.Reason) {
	m := dynamicpb.NewMessage(r.md)
	o := proto.UnmarshalOptions{AllowPartial: true, Resolver: r.types, RecursionLimit: 1000}
	if err := o.Unmarshal(wire, m); err != nil {
		return nil, reasonOf(err, render.Malformed)
	}
	if err := r.checkAnys(m, 0); err != nil {
		return nil, reasonOf(err, render.Malformed)
	}
	raw, err := r.data(m)
	if err != nil {
		return nil, reasonOf(err, render.NoJSON)
	}
	var compact, escaped bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		panic(fmt.Sprintf("%v: %s", err, raw))
	}
	json.HTMLEscape(&escaped, compact.Bytes())
	return escaped.Bytes(), ""
}

func (r reference) data(m *dynamicpb.Message) ([]byte, error) {
	o := protojson.MarshalOptions{AllowPartial: true, Resolver: r.types}
	if r.oneof == nil || m.WhichOneof(r.oneof) == nil {
		return o.Marshal(m)
	}
	fd := m.WhichOneof(r.oneof)
	switch v := m.Get(fd); {
	case fd.Message() != nil:
		return o.Marshal(v.Message().Interface())
	case fd.Enum() != nil:
		return enumText(fd.Enum(), v.Enum()), nil
	default:
		return o.Marshal(wrap(fd.Kind(), v))
	}
}

func enumText(ed protoreflect.EnumDescriptor, n protoreflect.EnumNumber) []byte {
	switch v := ed.Values().ByNumber(n); {
	case ed.FullName() == "google.protobuf.NullValue":
		return []byte("null")
	case v != nil:
		return []byte(strconv.Quote(string(v.Name())))
	default:
		return strconv.AppendInt(nil, int64(n), 10)
	}
}

// wrap puts a scalar into the wrapper message of its kind, whose JSON form is the bare value.
func wrap(kind protoreflect.Kind, v protoreflect.Value) proto.Message {
	switch kind {
	case protoreflect.BoolKind:
		return wrapperspb.Bool(v.Bool())
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return wrapperspb.Int32(int32(v.Int()))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return wrapperspb.Int64(v.Int())
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return wrapperspb.UInt32(uint32(v.Uint()))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return wrapperspb.UInt64(v.Uint())
	case protoreflect.FloatKind:
		return wrapperspb.Float(float32(v.Float()))
	case protoreflect.DoubleKind:
		return wrapperspb.Double(v.Float())
	case protoreflect.BytesKind:
		return wrapperspb.Bytes(v.Bytes())
	default:
		return wrapperspb.String(v.String())
	}
}

// reasonOf tells protobuf's errors apart, which have one type for everything: their texts are all there is.
func reasonOf(err error, otherwise render.Reason) render.Reason {
	text := err.Error()
	switch {
	case errors.Is(err, errUnknownAny):
		return render.UnknownAny
	case errors.Is(err, errTooDeep), strings.Contains(text, "recursion depth"):
		return render.TooDeep
	case strings.Contains(text, "invalid UTF-8"):
		return render.UTF8
	default:
		return otherwise
	}
}

// checkAnys looks into every Any in m. depth is the number of Any around m. Of several errors it returns the one whose
// reason sorts first.
func (r reference) checkAnys(m protoreflect.Message, depth int) error {
	if m.Descriptor().FullName() == "google.protobuf.Any" {
		fields := m.Descriptor().Fields()
		url, value := m.Get(fields.ByNumber(1)).String(), m.Get(fields.ByNumber(2)).Bytes()
		if url == "" && len(value) == 0 {
			return nil
		}
		mt, err := r.types.FindMessageByURL(url)
		if err != nil {
			return errUnknownAny
		}
		inner := mt.New()
		o := proto.UnmarshalOptions{AllowPartial: true, Resolver: r.types, RecursionLimit: 1000}
		if err := o.Unmarshal(value, inner.Interface()); err != nil {
			return err
		}
		if depth++; depth > 16 {
			return errTooDeep
		}
		return r.checkAnys(inner, depth)
	}
	var first error
	check := func(v protoreflect.Value) {
		err := r.checkAnys(v.Message(), depth)
		if err != nil && (first == nil || reasonOf(err, render.Malformed) < reasonOf(first, render.Malformed)) {
			first = err
		}
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap() && fd.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				check(v)
				return true
			})
		case fd.IsMap() || fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				check(v.List().Get(i))
			}
		default:
			check(v)
		}
		return true
	})
	return first
}

// panics is what a reference answers where protobuf panics: with the key of a map's entry there twice, the second time
// of another wire type.
const panics render.Reason = "panics"

// ask is render, or panics.
func (r reference) ask(wire []byte) (data []byte, reason render.Reason) {
	defer func() {
		if p := recover(); p != nil {
			if text := fmt.Sprint(p); !strings.Contains(text, "cannot convert nil to map key") {
				panic(p)
			}
			data, reason = nil, panics
		}
	}()
	return r.render(wire)
}

// compare renders wire both ways.
func (r reference) compare(t testing.TB, p *render.Program, wire []byte) {
	t.Helper()
	want, wantReason := r.ask(wire)
	if wantReason == panics {
		_, _ = r.rendered(p, wire)
		return
	}
	got, gotReason := r.rendered(p, wire)
	if gotReason != wantReason || !bytes.Equal(got, want) {
		t.Fatalf("%s from %x\n got %s %q\nwant %s %q", r.name, wire, got, gotReason, want, wantReason)
	}
}

// given is the reason in an error of the package.
func given(err error) render.Reason {
	bad, ok := errors.AsType[*render.Error](err)
	if !ok {
		panic(fmt.Sprintf("%T: %v", err, err))
	}
	return bad.Reason
}

// rendered is what a program makes of wire.
func (r reference) rendered(p *render.Program, wire []byte) ([]byte, render.Reason) {
	m, err := p.Open(wire)
	if err != nil {
		return nil, given(err)
	}
	defer m.Close()
	got := make([]byte, 0, roomFor(wire))
	if r.oneof != nil {
		got, err = m.AppendCase(got, render.OneofOf(r.oneof))
	} else {
		got, err = m.AppendJSON(got)
	}
	if err != nil {
		return nil, given(err)
	}
	return got, ""
}

// roomFor is how much room is made for what is rendered: of some messages none, of others plenty, which are different
// ways to write.
func roomFor(wire []byte) int {
	if len(wire)%2 == 0 {
		return 0
	}
	return 8*len(wire) + 100
}
