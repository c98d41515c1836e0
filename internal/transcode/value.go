package transcode

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// parseValue reads one value of a field, list element, map key or map value from the text of a path or query. empty
// makes an empty message of the right kind; it is only called where fd holds messages. Errors say what is expected.
func parseValue(fd protoreflect.FieldDescriptor, text string, empty func() protoreflect.Value, types *dynamicpb.Types) (protoreflect.Value, error) {
	switch kind := fd.Kind(); kind {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		v := empty()
		return v, parseMessage(v.Message(), fd, text, types)
	case protoreflect.EnumKind:
		return parseEnum(fd.Enum(), text)
	default:
		v, err := parseScalar(kind, text)
		if err != nil {
			return v, wants(fd, text)
		}
		return v, nil
	}
}

// wants is the error of a text that fd does not take.
func wants(fd protoreflect.FieldDescriptor, text string) error {
	if text == "" {
		return fmt.Errorf("is empty, want %s", describe(fd))
	}
	return fmt.Errorf("want %s, got %q", describe(fd), clip(text, maxShown))
}

// parseScalar takes what grpc-gateway takes. The error only says that there is one.
func parseScalar(kind protoreflect.Kind, text string) (v protoreflect.Value, err error) {
	switch kind {
	case protoreflect.BoolKind:
		b, err := strconv.ParseBool(text)
		return protoreflect.ValueOfBool(b), err
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		n, err := strconv.ParseInt(text, 10, 32)
		return protoreflect.ValueOfInt32(int32(n)), err
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		n, err := strconv.ParseInt(text, 10, 64)
		return protoreflect.ValueOfInt64(n), err
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		n, err := strconv.ParseUint(text, 10, 32)
		return protoreflect.ValueOfUint32(uint32(n)), err
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		n, err := strconv.ParseUint(text, 10, 64)
		return protoreflect.ValueOfUint64(n), err
	case protoreflect.FloatKind:
		f, err := strconv.ParseFloat(text, 32)
		return protoreflect.ValueOfFloat32(float32(f)), err
	case protoreflect.DoubleKind:
		f, err := strconv.ParseFloat(text, 64)
		return protoreflect.ValueOfFloat64(f), err
	case protoreflect.BytesKind:
		b, err := parseBytes(text)
		return protoreflect.ValueOfBytes(b), err
	default:
		return protoreflect.ValueOfString(text), nil
	}
}

// parseBytes reads either alphabet of base64, padded or not.
func parseBytes(text string) ([]byte, error) {
	enc := base64.StdEncoding
	if strings.ContainsAny(text, "-_") {
		enc = base64.URLEncoding
	}
	if len(text)%4 != 0 {
		enc = enc.WithPadding(base64.NoPadding)
	}
	return enc.DecodeString(text)
}

func parseEnum(ed protoreflect.EnumDescriptor, text string) (protoreflect.Value, error) {
	if v := ed.Values().ByName(protoreflect.Name(text)); v != nil {
		return protoreflect.ValueOfEnum(v.Number()), nil
	}
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		if v := ed.Values().ByNumber(protoreflect.EnumNumber(n)); v != nil {
			return protoreflect.ValueOfEnum(v.Number()), nil
		}
	}
	return protoreflect.Value{}, fmt.Errorf("want %s, got %q", describeEnum(ed, text), clip(text, maxShown))
}

// describeEnum says which values an enum has: all of them where they are few, else the nearest to text.
func describeEnum(ed protoreflect.EnumDescriptor, text string) string {
	names := make([]string, ed.Values().Len())
	for i := range names {
		names[i] = string(ed.Values().Get(i).Name())
	}
	if len(names) <= maxListed {
		return "one of " + strings.Join(names, ", ") + " (or its number)"
	}
	near := nearest(text, names)
	if near == "" {
		near = names[0]
	}
	return fmt.Sprintf("the name or number of one of the %d values of %s, such as %s", len(names), ed.FullName(), near)
}

// parseMessage reads the messages that have a form in one text, as grpc-gateway does.
func parseMessage(m protoreflect.Message, fd protoreflect.FieldDescriptor, text string, types *dynamicpb.Types) error {
	md := m.Descriptor()
	var known proto.Message
	switch md.FullName() {
	case "google.protobuf.Timestamp":
		t, err := time.Parse(time.RFC3339Nano, text)
		ts := timestamppb.New(t)
		if err != nil || !ts.IsValid() {
			return wants(fd, text)
		}
		known = ts
	case "google.protobuf.Duration":
		d, err := parseDuration(text)
		if err != nil {
			return wants(fd, text)
		}
		known = d
	case "google.protobuf.FieldMask":
		mask := &fieldmaskpb.FieldMask{}
		if text != "" {
			mask.Paths = strings.Split(text, ",")
		}
		known = mask
	case "google.protobuf.Empty":
		if text != "" && text != "{}" {
			return wants(fd, text)
		}
		return nil
	case "google.protobuf.Value", "google.protobuf.Struct", "google.protobuf.ListValue":
		if nestedTooDeeply([]byte(text)) {
			return errors.New(tooDeep)
		}
		if err := (protojson.UnmarshalOptions{Resolver: types}).Unmarshal([]byte(text), m.Interface()); err != nil {
			return fmt.Errorf("want JSON: %s", protoText(err))
		}
		return nil
	default:
		inner, ok := wrapped(md)
		if !ok {
			return fmt.Errorf("is a message (%s) and cannot be given in one value: %s", md.FullName(), nameItsFields(fd, md))
		}
		v, err := parseScalar(inner.Kind(), text)
		if err != nil {
			return wants(inner, text)
		}
		m.Set(inner, v)
		return nil
	}
	raw, err := proto.Marshal(known)
	if err == nil {
		err = proto.Unmarshal(raw, m.Interface())
	}
	return err
}

// nameItsFields says how to give a message instead.
func nameItsFields(fd protoreflect.FieldDescriptor, md protoreflect.MessageDescriptor) string {
	switch {
	case fd.Cardinality() == protoreflect.Repeated || fd.ContainingMessage().IsMapEntry():
		return "only a JSON body can hold it"
	case md.Fields().Len() == 0:
		return "it has no fields"
	case md.Fields().Len() > maxListed:
		return "name one of its fields, such as " + fd.JSONName() + "." + md.Fields().Get(0).JSONName()
	default:
		return "name its fields: " + listFields(md, fd.JSONName()+".")
	}
}

// parseDuration reads "90s", "1.5s" and Go's "1h30m".
func parseDuration(text string) (*durationpb.Duration, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return durationpb.New(d), nil
	}
	// Protobuf's durations go up to 10,000 years, Go's to 292.
	d := &durationpb.Duration{}
	return d, protojson.Unmarshal([]byte(strconv.Quote(text)), d)
}

// wrapped is the value field of a wrapper message (google.protobuf.Int32Value and its like).
func wrapped(md protoreflect.MessageDescriptor) (protoreflect.FieldDescriptor, bool) {
	switch md.FullName() {
	case "google.protobuf.DoubleValue", "google.protobuf.FloatValue", "google.protobuf.Int64Value",
		"google.protobuf.UInt64Value", "google.protobuf.Int32Value", "google.protobuf.UInt32Value",
		"google.protobuf.BoolValue", "google.protobuf.StringValue", "google.protobuf.BytesValue":
		fd := md.Fields().ByNumber(1)
		return fd, fd != nil && fd.Message() == nil && fd.Enum() == nil && !fd.IsList()
	default:
		return nil, false
	}
}

// describe says what one value of a field is, for errors.
func describe(fd protoreflect.FieldDescriptor) string {
	switch kind := fd.Kind(); kind {
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return fmt.Sprintf("a whole number from %d to %d (%s)", math.MinInt32, math.MaxInt32, kind)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return fmt.Sprintf("a whole number from %d to %d (%s)", math.MinInt64, math.MaxInt64, kind)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return fmt.Sprintf("a whole number from 0 to %d (%s)", uint32(math.MaxUint32), kind)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return fmt.Sprintf("a whole number from 0 to %d (%s)", uint64(math.MaxUint64), kind)
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return fmt.Sprintf("a number (%s)", kind)
	case protoreflect.BytesKind:
		return "bytes in base64"
	case protoreflect.StringKind:
		return "a string"
	case protoreflect.EnumKind:
		return describeEnum(fd.Enum(), "")
	default:
		return describeMessage(fd.Message())
	}
}

func describeMessage(md protoreflect.MessageDescriptor) string {
	switch md.FullName() {
	case "google.protobuf.Timestamp":
		return "a time such as 2026-01-02T15:04:05Z"
	case "google.protobuf.Duration":
		return "a duration such as 1.5s"
	case "google.protobuf.FieldMask":
		return "field names with commas between them"
	case "google.protobuf.Empty":
		return "nothing or {}"
	case "google.protobuf.Any":
		return `an object with "@type" and the fields of that type`
	case "google.protobuf.ListValue":
		return "a JSON array"
	case "google.protobuf.Struct":
		return "a JSON object"
	case "google.protobuf.Value":
		return "JSON"
	}
	if inner, ok := wrapped(md); ok {
		return describe(inner)
	}
	return fmt.Sprintf("an object (%s)", md.FullName())
}
