package schema

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// FieldPath leads from a message to one of its fields: all but the last are singular messages. Nil is no field.
type FieldPath []protoreflect.FieldDescriptor

// Leaf is the field that the path leads to.
func (p FieldPath) Leaf() protoreflect.FieldDescriptor { return p[len(p)-1] }

// String is the path as options write it: the fields' names, joined by dots.
func (p FieldPath) String() string {
	names := make([]string, len(p))
	for i, fd := range p {
		names[i] = string(fd.Name())
	}
	return strings.Join(names, ".")
}

// findPath follows a path of names in a message, which is called what ("the response message") in errors. Whether the
// field that it leads to will do is the caller's to say.
func findPath(what string, message protoreflect.MessageDescriptor, path string) (FieldPath, error) {
	if path == "" {
		return nil, fmt.Errorf("the path is empty: name a field of %s %s", what, message.FullName())
	}
	var fields FieldPath
	for name := range strings.SplitSeq(path, ".") {
		if fields != nil {
			field := fields.Leaf()
			if message = field.Message(); message == nil || field.IsList() || field.IsMap() {
				return nil, fmt.Errorf("field %q of %s has no fields of its own: it is %s", field.Name(), field.ContainingMessage().FullName(), kindOf(field))
			}
			what = "the message"
		}
		field := message.Fields().ByName(protoreflect.Name(name))
		if field == nil {
			return nil, fmt.Errorf("%s %s has no field %q%s", what, message.FullName(), name, choices(nearestFirst(name, fieldNames(message))))
		}
		fields = append(fields, field)
	}
	return fields, nil
}

// nearestFirst puts those names first that begin and end most like name, since an error does not list many.
func nearestFirst(name string, names []string) []string {
	if len(names) <= maxChoices {
		return names
	}
	alike := func(other string) int {
		least, head, tail := min(len(name), len(other)), 0, 0
		for head < least && name[head] == other[head] {
			head++
		}
		for tail < least-head && name[len(name)-1-tail] == other[len(other)-1-tail] {
			tail++
		}
		return head + tail
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(alike(b), alike(a)) })
	return names
}

// kindOf says what a field is, for errors.
func kindOf(fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.IsMap():
		return "a map"
	case fd.IsList():
		return "repeated"
	case fd.Message() != nil:
		return "a message (" + string(fd.Message().FullName()) + ")"
	case fd.Enum() != nil:
		return "an enum (" + string(fd.Enum().FullName()) + ")"
	default:
		return "of type " + fd.Kind().String()
	}
}

// family is what a field's values are, whatever their encoding.
type family string

const (
	signedFamily   family = "a signed integer"
	unsignedFamily family = "an unsigned integer"
	stringFamily   family = "a string"
	bytesFamily    family = "bytes"
	boolFamily     family = "a bool"
	enumFamily     family = "an enum"
	otherFamily    family = "" // floats, messages, and all that is not singular
)

func familyOf(fd protoreflect.FieldDescriptor) family {
	if fd.IsList() || fd.IsMap() {
		return otherFamily
	}
	switch fd.Kind() {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind,
		protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return signedFamily
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return unsignedFamily
	case protoreflect.StringKind:
		return stringFamily
	case protoreflect.BytesKind:
		return bytesFamily
	case protoreflect.BoolKind:
		return boolFamily
	case protoreflect.EnumKind:
		return enumFamily
	default:
		return otherFamily
	}
}

// is32 says that an integer field holds 32 bits.
func is32(fd protoreflect.FieldDescriptor) bool {
	switch fd.Kind() {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind,
		protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return true
	default:
		return false
	}
}

// findKey finds the field that key_field names.
func findKey(path string, output protoreflect.MessageDescriptor) (FieldPath, error) {
	fields, err := findPath("the response message", output, path)
	if err != nil {
		return nil, err
	}
	if leaf := fields.Leaf(); familyOf(leaf) == otherFamily {
		return nil, fmt.Errorf("field %q is %s: a key is a string, bytes, a bool, an integer or an enum%s", path, kindOf(leaf), inside(path, leaf))
	}
	return fields, nil
}

// findKeyDeleted finds the field that key_deleted names.
func findKeyDeleted(path string, output protoreflect.MessageDescriptor) (FieldPath, error) {
	fields, err := findPath("the response message", output, path)
	if err != nil {
		return nil, err
	}
	if leaf := fields.Leaf(); leaf.IsList() || leaf.IsMap() {
		return nil, fmt.Errorf("field %q is %s: name a field that is there once", path, kindOf(leaf))
	}
	return fields, nil
}

// inside says which field of a wrapper was probably meant.
func inside(path string, fd protoreflect.FieldDescriptor) string {
	if md := fd.Message(); md != nil && !fd.IsList() && !fd.IsMap() && md.Fields().Len() == 1 {
		return fmt.Sprintf("; name the field inside it: %q", path+"."+string(md.Fields().Get(0).Name()))
	}
	return ""
}

// findCursor finds one of the two fields of a resume rule.
func findCursor(what string, message protoreflect.MessageDescriptor, path string) (FieldPath, error) {
	fields, err := findPath(what, message, path)
	if err != nil {
		return nil, err
	}
	switch leaf := fields.Leaf(); familyOf(leaf) {
	case signedFamily, unsignedFamily, stringFamily, bytesFamily:
		return fields, nil
	default:
		return nil, fmt.Errorf("field %q is %s: a cursor is an integer, a string or bytes%s", path, kindOf(leaf), inside(path, leaf))
	}
}

// agree says why the values of one field cannot be put into the other.
func agree(event, request FieldPath) error {
	from, to := familyOf(event.Leaf()), familyOf(request.Leaf())
	switch {
	case from != to:
		return fmt.Errorf("event_field %q is %s and request_field %q is %s: both must be signed integers, both unsigned integers, both strings or both bytes",
			event, from, request, to)
	case is32(request.Leaf()) && !is32(event.Leaf()) && (from == signedFamily || from == unsignedFamily):
		return fmt.Errorf("event_field %q has 64 bits and request_field %q has 32: a large cursor could not be handed back; make request_field 64 bits wide",
			event, request)
	}
	return nil
}

var errNoPath = errors.New("is missing: the cursor is read from event_field and handed back in request_field")
