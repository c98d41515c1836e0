package feed_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/grpc-sse/grpc-sse/internal/access"
	"github.com/grpc-sse/grpc-sse/internal/event"
	"github.com/grpc-sse/grpc-sse/internal/feed"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// item is the message of shared streams in these tests:
//
//	message Item { string key = 1; int64 sequence = 2; string token = 3; bool deleted = 4; }
var item = func() protoreflect.MessageDescriptor {
	field := func(name string, n int32, t descriptorpb.FieldDescriptorProto_Type) *descriptorpb.FieldDescriptorProto {
		return &descriptorpb.FieldDescriptorProto{
			Name: &name, Number: &n, Type: &t, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
		}
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new("item.proto"), Syntax: new("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: new("Item"), Field: []*descriptorpb.FieldDescriptorProto{
			field("key", 1, descriptorpb.FieldDescriptorProto_TYPE_STRING),
			field("sequence", 2, descriptorpb.FieldDescriptorProto_TYPE_INT64),
			field("token", 3, descriptorpb.FieldDescriptorProto_TYPE_STRING),
			field("deleted", 4, descriptorpb.FieldDescriptorProto_TYPE_BOOL),
		}}},
	}, nil)
	if err != nil {
		panic(err)
	}
	return file.Messages().Get(0)
}()

func pathTo(name protoreflect.Name) schema.FieldPath {
	return schema.FieldPath{item.Fields().ByName(name)}
}

// wire is an item. Sequence 0 is none.
func wire(key string, sequence int) string {
	b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), key)
	if sequence != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), uint64(sequence))
	}
	return string(b)
}

func deletion(key string, sequence int) string {
	return string(protowire.AppendVarint(protowire.AppendTag([]byte(wire(key, sequence)), 4, protowire.VarintType), 1))
}

// itemEncoder writes an item as its key and sequence: a1.
type itemEncoder struct{}

func (itemEncoder) AppendFrame(dst []byte, id event.ID, wire []byte) []byte {
	var key string
	var sequence uint64
	for len(wire) > 0 {
		number, kind, n := protowire.ConsumeTag(wire)
		wire = wire[n:]
		switch number {
		case 1:
			key, n = protowire.ConsumeString(wire)
		case 2:
			sequence, n = protowire.ConsumeVarint(wire)
		default:
			n = protowire.ConsumeFieldValue(number, kind, wire)
		}
		wire = wire[n:]
	}
	return sse.AppendFrame(dst, id.Append(nil), sse.MustEventName("text"), fmt.Appendf(nil, "%s%d", key, sequence))
}

// shared makes a stream rule PUBLIC.
func shared(change func(*schema.Stream)) func(*schema.Stream) {
	return func(s *schema.Stream) {
		s.Share, s.MaxKeys = schema.SharePublic, 100
		if change != nil {
			change(s)
		}
	}
}

func starting(at schema.Start) func(*schema.Stream) {
	return func(s *schema.Stream) {
		s.Start = at
		if at == schema.StartLatestPerKey {
			s.Key, s.KeyDeleted = pathTo("key"), pathTo("deleted")
		}
	}
}

func resumable(s *schema.Stream) {
	s.Resume = &schema.Resume{Event: pathTo("sequence"), Request: pathTo("sequence")}
}

// items makes a world of shared items.
func items(t *testing.T, change ...func(*schema.Stream)) *world {
	t.Helper()
	return newWorld(t, shared(func(s *schema.Stream) {
		for _, c := range change {
			c(s)
		}
	}))
}

// join subscribes to the shared stream of items; the cursor may be empty.
func (w *world) join(cursor string) *reader {
	w.t.Helper()
	defer synctest.Wait() // until its call, if it makes one, is made
	return w.subscribe(w.joining(cursor))
}

func (w *world) joining(cursor string) func(*feed.Request) {
	return func(r *feed.Request) {
		r.Encoder = func() feed.Encoder { return itemEncoder{} }
		r.StreamKey, r.Cursor = access.StreamKey{1}, cursor
		r.Wire = nil
	}
}

// send lets the call yield messages and waits until they are in the log.
func (c *call) send(steps ...any) {
	for _, step := range steps {
		c.steps <- step
	}
	synctest.Wait()
}

// sees reads what there is and compares all that was read so far.
func (r *reader) sees(want string) {
	r.t.Helper()
	r.read()
	r.expect(want)
}

// closing detaches the readers.
func closing(readers ...*reader) {
	for _, r := range readers {
		r.Close()
	}
	synctest.Wait()
}

// step reads as little as there can be read.
func (r *reader) step() {
	frames, _ := r.Next(1)
	r.parse(frames)
	r.Written()
}
