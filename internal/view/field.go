package view

import (
	"encoding/json"
	"math"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// responseField reads one field's value out of a response.
type responseField struct {
	name    string
	missing []byte // what stands for the field where the response does not hold it
	whole   bool   // the response's JSON is that of its only field: Struct, ListValue, wrappers
}

// newResponseField returns nil for nil.
func newResponseField(fd protoreflect.FieldDescriptor) *responseField {
	if fd == nil {
		return nil
	}
	md := fd.ContainingMessage()
	return &responseField{
		name: fd.JSONName(), missing: defaultJSON(fd),
		whole: jsonKindOf(md) != fieldsJSON && md.Fields().Len() == 1 && md.FullName() != "google.protobuf.FieldMask",
	}
}

func (r *responseField) of(data []byte) []byte {
	if r.whole {
		return data
	}
	if value, ok := member(data, r.name); ok {
		return value
	}
	return r.missing
}

// ResponseField returns the value of the field fd, in JSON, of a response in JSON.
func ResponseField(fd protoreflect.FieldDescriptor, response []byte) []byte {
	return newResponseField(fd).of(response)
}

// defaultJSON is the JSON of a field that is not set.
func defaultJSON(fd protoreflect.FieldDescriptor) []byte {
	switch {
	case fd.IsList():
		return []byte("[]")
	case fd.IsMap():
		return []byte("{}")
	case fd.Message() != nil:
		if jsonKindOf(fd.Message()) == ownJSON {
			return []byte("null")
		}
		return []byte("{}")
	case fd.Enum() != nil:
		if fd.Enum().FullName() == "google.protobuf.NullValue" {
			return []byte("null")
		}
		if v := fd.Enum().Values().ByNumber(fd.Default().Enum()); v != nil {
			return quoted(string(v.Name()))
		}
		return strconv.AppendInt(nil, int64(fd.Default().Enum()), 10)
	default:
		return defaultScalar(fd)
	}
}

func defaultScalar(fd protoreflect.FieldDescriptor) []byte {
	v := fd.Default()
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return strconv.AppendBool(nil, v.Bool())
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return strconv.AppendInt(nil, v.Int(), 10)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return strconv.AppendUint(nil, v.Uint(), 10)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return quoted(strconv.FormatInt(v.Int(), 10))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return quoted(strconv.FormatUint(v.Uint(), 10))
	case protoreflect.FloatKind:
		return floatJSON(v.Float(), 32)
	case protoreflect.DoubleKind:
		return floatJSON(v.Float(), 64)
	case protoreflect.BytesKind:
		text, _ := json.Marshal(v.Bytes()) // base64 cannot fail
		if v.Bytes() == nil {
			return []byte(`""`)
		}
		return text
	default:
		return quoted(v.String())
	}
}

func floatJSON(f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return []byte(`"NaN"`)
	case math.IsInf(f, 1):
		return []byte(`"Infinity"`)
	case math.IsInf(f, -1):
		return []byte(`"-Infinity"`)
	}
	var value any = f
	if bits == 32 {
		value = float32(f)
	}
	text, _ := json.Marshal(value) // as protobuf JSON writes it; what cannot be written is above
	return text
}

// quoted is s as a JSON string. encoding/json escapes <, >, &, U+2028 and U+2029 as events do.
func quoted(s string) []byte {
	text, _ := json.Marshal(s) // a string cannot fail
	return text
}

// jsonKind is how a message looks in JSON.
type jsonKind int

const (
	fieldsJSON jsonKind = iota // an object with the message's fields
	keysJSON                   // an object with other keys: Struct, Any
	ownJSON                    // not an object: Timestamp, wrappers, Value
)

func jsonKindOf(md protoreflect.MessageDescriptor) jsonKind {
	switch md.FullName() {
	case "google.protobuf.Any", "google.protobuf.Struct":
		return keysJSON
	case "google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask",
		"google.protobuf.Value", "google.protobuf.ListValue",
		"google.protobuf.DoubleValue", "google.protobuf.FloatValue", "google.protobuf.Int64Value",
		"google.protobuf.UInt64Value", "google.protobuf.Int32Value", "google.protobuf.UInt32Value",
		"google.protobuf.BoolValue", "google.protobuf.StringValue", "google.protobuf.BytesValue":
		return ownJSON
	default:
		return fieldsJSON
	}
}
