package transcode_test

import (
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"

	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// drawPath draws a path of up to three fields to a scalar.
func drawPath(t *rapid.T, md protoreflect.MessageDescriptor) schema.FieldPath {
	var path schema.FieldPath
	for range rapid.IntRange(0, 2).Draw(t, "depth") {
		name := rapid.SampledFrom([]string{"sub", "group", "case_sub", "case_group"}).Draw(t, "step")
		path = append(path, md.Fields().ByName(protoreflect.Name(name)))
	}
	form := rapid.SampledFrom([]string{"plain_", "maybe_", "case_"}).Draw(t, "form")
	kind := rapid.SampledFrom(scalars).Draw(t, "kind")
	return append(path, md.Fields().ByName(protoreflect.Name(form+strings.ToLower(kind))))
}

// drawWire draws an encoded message as no encoder would write it: fields repeated and in any order, messages in parts,
// oneofs set over and over, unknown fields, and known ones of another wire type. It leans towards the path's fields.
func drawWire(t *rapid.T, md protoreflect.MessageDescriptor, path schema.FieldPath, depth int) []byte {
	var wire []byte
	for range rapid.IntRange(0, 4).Draw(t, "fields") {
		fd := md.Fields().Get(rapid.IntRange(0, md.Fields().Len()-1).Draw(t, "field"))
		if choice := rapid.IntRange(0, 3).Draw(t, "near the path"); len(path) > 0 && choice > 0 {
			fd = path[0]
			if oneof := fd.ContainingOneof(); oneof != nil && choice == 1 {
				fd = oneof.Fields().Get(rapid.IntRange(0, oneof.Fields().Len()-1).Draw(t, "case"))
			}
		}
		rest := path
		if len(path) > 0 && fd == path[0] {
			rest = path[1:]
		}
		number := fd.Number()
		switch rapid.IntRange(0, 9).Draw(t, "shape") {
		case 0:
			wire = protowire.AppendVarint(protowire.AppendTag(wire, 1000, protowire.VarintType), 5)
			continue
		case 1, 2: // a wire type at random: mostly not the field's, and else maybe out of its range
			wire = appendAnyhow(t, wire, number)
			continue
		}
		switch {
		case fd.Message() == nil:
			wire = appendScalar(wire, fd, drawScalar(t, fd))
		case depth == 0:
		case fd.Kind() == protoreflect.GroupKind:
			wire = protowire.AppendTag(wire, number, protowire.StartGroupType)
			wire = append(wire, drawWire(t, fd.Message(), rest, depth-1)...)
			wire = protowire.AppendTag(wire, number, protowire.EndGroupType)
		default:
			wire = protowire.AppendTag(wire, number, protowire.BytesType)
			wire = protowire.AppendBytes(wire, drawWire(t, fd.Message(), rest, depth-1))
		}
	}
	return wire
}

func appendAnyhow(t *rapid.T, wire []byte, number protowire.Number) []byte {
	switch rapid.IntRange(0, 3).Draw(t, "wire type") {
	case 0:
		return protowire.AppendVarint(protowire.AppendTag(wire, number, protowire.VarintType), rapid.Uint64().Draw(t, "varint"))
	case 1:
		return protowire.AppendFixed32(protowire.AppendTag(wire, number, protowire.Fixed32Type), rapid.Uint32().Draw(t, "fixed32"))
	case 2:
		return protowire.AppendFixed64(protowire.AppendTag(wire, number, protowire.Fixed64Type), rapid.Uint64().Draw(t, "fixed64"))
	default:
		return protowire.AppendString(protowire.AppendTag(wire, number, protowire.BytesType), "")
	}
}

// drawScalar draws a value of a field: often its default, often at the ends of its range.
func drawScalar(t *rapid.T, fd protoreflect.FieldDescriptor) protoreflect.Value {
	bits := rapid.OneOf(rapid.Just(uint64(0)), rapid.SampledFrom([]uint64{1, math.MaxInt32, 1 << 31, math.MaxUint32, math.MaxInt64, 1 << 63, math.MaxUint64}), rapid.Uint64()).Draw(t, "bits")
	text := rapid.OneOf(rapid.Just(""), rapid.String()).Draw(t, "text")
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(bits&1 == 1)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(int32(bits)))
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(bits))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(bits))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(bits)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(math.Float32frombits(uint32(bits)))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(math.Float64frombits(bits))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(text)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(text))
	default:
		return protoreflect.ValueOfInt64(int64(bits))
	}
}

// appendScalar appends one field as the encoder of a message with nothing else would.
func appendScalar(wire []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	m := dynamicpb.NewMessage(fd.ContainingMessage())
	m.Set(fd, v)
	raw, err := proto.Marshal(m)
	if err != nil {
		panic(err) // no message of these can fail
	}
	return append(wire, raw...)
}
