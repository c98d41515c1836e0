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
type namer struct {
	by       by
	oneof    render.Oneof
	field    render.Field            // of a oneof any case
	presence bool                    // the field's
	names    map[int32]sse.EventName // known beforehand, by a case's field or an enum's number; not within the grammar: zero
	recent   *recent                 // given by a string field
	fallback sse.EventName           // never zero
}

// by is what a message's event type comes from.
type by uint8

const (
	byNothing by = iota // it is always the fallback
	byCase
	byEnum
	byText
)

func newNamer(md protoreflect.MessageDescriptor, from schema.EventType) namer {
	n := namer{fallback: fullName(md.FullName())}
	if name, ok := eventName(from.Literal); ok {
		n.fallback = name
	}
	switch {
	case from.Oneof != nil:
		n.by, n.names = byCase, caseNames(from.Oneof)
		n.oneof, n.field = render.OneofOf(from.Oneof), render.FieldOf(from.Oneof.Fields().Get(0))
	case from.Field == nil:
	case from.Field.Kind() == protoreflect.EnumKind:
		n.by, n.names = byEnum, enumNames(from.Field.Enum())
	default:
		n.by, n.recent = byText, new(recent)
	}
	if from.Field != nil {
		n.field, n.presence = render.FieldOf(from.Field), from.Field.HasPresence()
	}
	return n
}

func caseNames(od protoreflect.OneofDescriptor) map[int32]sse.EventName {
	names := make(map[int32]sse.EventName)
	for i := range od.Fields().Len() {
		fd := od.Fields().Get(i)
		names[int32(render.FieldOf(fd))], _ = eventName(string(fd.Name()))
	}
	return names
}

func enumNames(ed protoreflect.EnumDescriptor) map[int32]sse.EventName {
	names := make(map[int32]sse.EventName)
	for i := range ed.Values().Len() {
		// Of several names of one number the first counts, as in protobuf JSON.
		value := ed.Values().Get(i)
		if _, seen := names[int32(value.Number())]; !seen {
			names[int32(value.Number())], _ = eventName(string(value.Name()))
		}
	}
	return names
}

// name is the message's event type. It reports false where there is a type that is not within the grammar, and the
// fallback stands in for it.
func (n *namer) name(m render.Message) (sse.EventName, bool) {
	var name sse.EventName
	switch n.by {
	case byNothing:
		return n.fallback, true
	case byCase:
		set := m.Case(n.field)
		if set == 0 {
			return n.fallback, true
		}
		name = n.names[int32(set)]
	case byEnum:
		number, ok := m.Enum(n.field)
		if n.presence && !ok {
			return n.fallback, true
		}
		name = n.names[int32(number)]
	case byText:
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
