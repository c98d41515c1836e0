package schema

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	grpcssev1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/v1"
)

// EventType is where an event's type comes from. At most one field is set; with none, and wherever the oneof or field
// gives nothing, the type is the message's full name.
type EventType struct {
	// Oneof gives the type by the name of its set case. It is never a proto3 optional's synthetic one.
	Oneof protoreflect.OneofDescriptor
	// Field is a singular string or enum field of the message: its value, or the value's name, is the type.
	Field protoreflect.FieldDescriptor
	// Literal is the type of every event, before EventName.
	Literal string
}

// maxEventName is the longest event type in bytes.
const maxEventName = 128

// EventName is how an event type is sent: `error` and `open`, which would fire EventSource's own handlers, as
// `app.error` and `app.open`; a name that begins with `stream.`, which is the bridge's own, with a leading dot.
func EventName(name string) string {
	switch {
	case name == "error", name == "open":
		return "app." + name
	case strings.HasPrefix(name, "stream."):
		return "." + name
	}
	return name
}

// EventTypes are the types that the method's events can have, as they are sent: the cases of a oneof, the values of an
// enum, the literal, or the message's full name. It is nil where they are only known at run time (a string field).
func (m *Method) EventTypes() []string {
	names := m.Stream.Event.names()
	if m.Stream.Event == (EventType{}) {
		names = []string{string(m.Output.FullName())}
	}
	for i, name := range names {
		names[i] = EventName(name)
	}
	return names
}

// names are the names that e gives, before EventName.
func (e EventType) names() []string {
	var names []string
	switch {
	case e.Oneof != nil:
		for i := range e.Oneof.Fields().Len() {
			names = append(names, string(e.Oneof.Fields().Get(i).Name()))
		}
	case e.Field != nil && e.Field.Enum() != nil:
		for i := range e.Field.Enum().Values().Len() {
			names = append(names, string(e.Field.Enum().Values().Get(i).Name()))
		}
	case e.Literal != "":
		names = append(names, e.Literal)
	}
	return names
}

// newEventType finds what the option names in the response message. Warnings tell of types that are sent under
// another name.
func newEventType(o *grpcssev1.EventType, output protoreflect.MessageDescriptor) (EventType, []string, error) {
	e, err := findEventType(o, output)
	if err != nil {
		return EventType{}, nil, err
	}
	names := e.names()
	if e == (EventType{}) {
		names = []string{string(output.FullName())}
	}
	var warnings []string
	for _, name := range names {
		if sent := EventName(name); sent != name {
			warnings = append(warnings, fmt.Sprintf("the event type %q is sent as %q: browsers or the bridge use the name themselves", name, sent))
		}
	}
	return e, warnings, nil
}

func findEventType(o *grpcssev1.EventType, output protoreflect.MessageDescriptor) (EventType, error) {
	switch source := o.GetSource().(type) {
	case *grpcssev1.EventType_Oneof:
		oneof := output.Oneofs().ByName(protoreflect.Name(source.Oneof))
		if oneof == nil || oneof.IsSynthetic() {
			return EventType{}, fmt.Errorf("the response message %s has no oneof %q%s", output.FullName(), source.Oneof, choices(oneofNames(output)))
		}
		return EventType{Oneof: oneof}, nil
	case *grpcssev1.EventType_Field:
		field := output.Fields().ByName(protoreflect.Name(source.Field))
		switch {
		case field == nil:
			return EventType{}, fmt.Errorf("the response message %s has no field %q%s", output.FullName(), source.Field, choices(fieldNames(output)))
		case field.IsList(), field.IsMap(), field.Kind() != protoreflect.StringKind && field.Kind() != protoreflect.EnumKind:
			return EventType{}, fmt.Errorf("field %q of %s is neither a string nor an enum", source.Field, output.FullName())
		}
		return EventType{Field: field}, nil
	case *grpcssev1.EventType_Literal:
		if !isEventName(source.Literal) {
			return EventType{}, fmt.Errorf("the literal %q is not 1 to %d characters of A-Z a-z 0-9 . _ / -", source.Literal, maxEventName)
		}
		return EventType{Literal: source.Literal}, nil
	}
	return EventType{Oneof: onlyOneof(output)}, nil
}

// onlyOneof is the message's oneof where it has exactly one real one.
func onlyOneof(output protoreflect.MessageDescriptor) protoreflect.OneofDescriptor {
	names := oneofNames(output)
	if len(names) != 1 {
		return nil
	}
	return output.Oneofs().ByName(protoreflect.Name(names[0]))
}

func oneofNames(message protoreflect.MessageDescriptor) []string {
	var names []string
	for i := range message.Oneofs().Len() {
		if oneof := message.Oneofs().Get(i); !oneof.IsSynthetic() {
			names = append(names, string(oneof.Name()))
		}
	}
	return names
}

func fieldNames(message protoreflect.MessageDescriptor) []string {
	var names []string
	for i := range message.Fields().Len() {
		names = append(names, string(message.Fields().Get(i).Name()))
	}
	return names
}

// maxChoices is how many alternatives an error lists.
const maxChoices = 12

// choices is the end of an error that lists what there is instead.
func choices(names []string) string {
	switch {
	case len(names) == 0:
		return ", nor any other"
	case len(names) > maxChoices:
		return fmt.Sprintf("; it has %s and %d more", strings.Join(names[:maxChoices], ", "), len(names)-maxChoices)
	}
	return "; it has " + strings.Join(names, ", ")
}

func isEventName(name string) bool {
	if name == "" || len(name) > maxEventName {
		return false
	}
	for _, r := range name {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("._/-", r):
		default:
			return false
		}
	}
	return true
}
