package transcode

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/sse"
	"github.com/grpc-sse/grpc-sse/internal/transcode/render"
)

// namer gives each message its event type.
//
//   - At most one of oneof and field is set. Where neither is, the type is always fallback.
//   - names holds what is known beforehand: by field number for a oneof, by enum number for an enum field. A zero name
//     in it is one that is not within the grammar.
//   - fallback is never zero.
//   - recent has been given by a string field.
type namer struct {
	oneof    protoreflect.OneofDescriptor
	field    protoreflect.FieldDescriptor
	names    map[int32]sse.EventName
	fallback sse.EventName
	recent   *recent
}

func newNamer(md protoreflect.MessageDescriptor, from schema.EventType) namer {
	n := namer{oneof: from.Oneof, field: from.Field, fallback: fullName(md.FullName()), recent: new(recent)}
	if name, ok := eventName(from.Literal); ok {
		n.fallback = name
	}
	switch {
	case n.oneof != nil:
		n.names = make(map[int32]sse.EventName)
		for i := range n.oneof.Fields().Len() {
			fd := n.oneof.Fields().Get(i)
			n.names[int32(fd.Number())], _ = eventName(string(fd.Name()))
		}
	case n.field != nil && n.field.Kind() == protoreflect.EnumKind:
		n.names = make(map[int32]sse.EventName)
		values := n.field.Enum().Values()
		for i := range values.Len() {
			// Of several names of one number the first counts, as in protobuf JSON.
			if _, seen := n.names[int32(values.Get(i).Number())]; !seen {
				n.names[int32(values.Get(i).Number())], _ = eventName(string(values.Get(i).Name()))
			}
		}
	}
	return n
}

// name is the message's event type. It reports false where there is a type that is not within the grammar, and the
// fallback stands in for it.
func (n *namer) name(m render.Message) (sse.EventName, bool) {
	var name sse.EventName
	switch {
	case n.oneof != nil:
		number := m.Case(n.oneof)
		if number == 0 {
			return n.fallback, true
		}
		name = n.names[int32(number)]
	case n.field == nil || n.field.HasPresence() && !m.Has(n.field):
		return n.fallback, true
	case n.names != nil:
		name = n.names[int32(m.Enum(n.field))]
	default:
		text := m.Text(n.field)
		if len(text) == 0 {
			return n.fallback, true
		}
		name = n.recent.name(text)
	}
	if name.IsZero() {
		return n.fallback, false
	}
	return name, true
}

// recent remembers the event types that a string field has given, so that one that comes again is not made again. The
// map is never changed, only replaced.
type recent struct {
	mu    sync.Mutex
	names atomic.Pointer[map[string]sse.EventName]
}

// maxRecent is how many types are remembered. Fields with more values, such as ids, cost what making a string costs.
const maxRecent = 256

// name is the event type that a text makes; zero for one that is not within the grammar.
func (r *recent) name(text []byte) sse.EventName {
	known := r.names.Load()
	if known != nil {
		if name, ok := (*known)[string(text)]; ok {
			return name
		}
	}
	name, ok := eventName(string(text))
	if !ok || known != nil && len(*known) >= maxRecent {
		return name
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	next := make(map[string]sse.EventName)
	if known = r.names.Load(); known != nil {
		maps.Copy(next, *known)
	}
	next[string(text)] = name
	r.names.Store(&next)
	return name
}

// eventName makes an event type of a name that a schema or a message gives.
func eventName(s string) (sse.EventName, bool) { return sse.ParseEventName(schema.EventName(s)) }

// fullName is a message's full name as an event type. One that is longer than a type may be loses packages from its
// front, and then its end.
func fullName(full protoreflect.FullName) sse.EventName {
	s := string(full)
	for {
		if name, ok := eventName(s); ok {
			return name
		}
		_, rest, ok := strings.Cut(s, ".")
		if !ok {
			break
		}
		s = rest
	}
	if name, ok := eventName(s[:min(len(s), 128)]); ok {
		return name
	}
	return sse.MustEventName("message")
}
