package render_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/grpc-sse/grpc-sse/internal/transcode/render"
)

const integers = `name: "integers.proto" package: "integers.v1" syntax: "proto3"
message_type { name: "M"
  field { name: "int32" number: 1 type: TYPE_INT32 label: LABEL_REPEATED }
  field { name: "sint32" number: 2 type: TYPE_SINT32 label: LABEL_REPEATED }
  field { name: "uint32" number: 3 type: TYPE_UINT32 label: LABEL_REPEATED }
  field { name: "int64" number: 4 type: TYPE_INT64 label: LABEL_REPEATED }
  field { name: "sint64" number: 5 type: TYPE_SINT64 label: LABEL_REPEATED }
  field { name: "uint64" number: 6 type: TYPE_UINT64 label: LABEL_REPEATED } }`

// TestDigits writes integers on both sides of each power of ten and of two, where their digits become one more. Buffers
// are made as they are needed, so that numbers are met for which there is no room.
func TestDigits(t *testing.T) {
	fd, types := file(t, integers)
	md := fd.Messages().Get(0)
	program := render.NewTypes(types).Program(md)
	var edges []uint64
	for base, most := range map[uint64]int{2: 64, 10: 20} {
		for n, i := uint64(1), 0; i < most; n, i = n*base, i+1 {
			edges = append(edges, n-1, n, n+1, -n, -n-1, -n+1)
		}
	}
	for number := protowire.Number(1); number <= 6; number++ {
		var wire []byte
		for _, v := range edges {
			wire = protowire.AppendVarint(protowire.AppendTag(wire, number, protowire.VarintType), v)
			reference{md: md, types: types}.compare(t, program, wire)
		}
	}
}

// TestSeconds writes parts of a second, which have 0, 3, 6 or 9 digits.
func TestSeconds(t *testing.T) {
	for _, nanos := range []int{0, 1, 10, 999, 1000, 1001, 999_000, 1_000_000, 1_001_000, 20_000_000, 999_999_000, 999_000_000, 999_999_999} {
		for _, seconds := range []int{-7, 0, 1, 1_773_500_966} {
			at := time.Unix(int64(seconds), int64(nanos))
			stamp, span := timestamppb.New(at), durationpb.New(time.Duration(seconds)*time.Second+time.Duration(nanos))
			reference{md: stamp.ProtoReflect().Descriptor(), types: global}.compare(t, render.NewTypes(global).Program(stamp.ProtoReflect().Descriptor()), marshal(t, stamp))
			reference{md: span.ProtoReflect().Descriptor(), types: global}.compare(t, render.NewTypes(global).Program(span.ProtoReflect().Descriptor()), marshal(t, span))
		}
	}
}
