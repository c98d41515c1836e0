package view_test

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/grpc-sse/grpc-sse/internal/view"
)

const defaultsFile = `
dependency: "google/protobuf/timestamp.proto"
dependency: "google/protobuf/struct.proto"
dependency: "google/protobuf/any.proto"
dependency: "google/protobuf/wrappers.proto"
dependency: "google/protobuf/empty.proto"
syntax: "proto2"
enum_type { name: "Color" value { name: "RED" number: 3 } value { name: "BLUE" number: 4 } }
message_type {
  name: "M"
  field { name: "b" number: 1 type: TYPE_BOOL label: LABEL_OPTIONAL json_name: "b" }
  field { name: "i" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL json_name: "i" }
  field { name: "u" number: 3 type: TYPE_FIXED32 label: LABEL_OPTIONAL json_name: "u" default_value: "7" }
  field { name: "l" number: 4 type: TYPE_SINT64 label: LABEL_OPTIONAL json_name: "l" default_value: "-5" }
  field { name: "ul" number: 5 type: TYPE_UINT64 label: LABEL_OPTIONAL json_name: "ul" }
  field { name: "f" number: 6 type: TYPE_FLOAT label: LABEL_OPTIONAL json_name: "f" default_value: "0.1" }
  field { name: "d" number: 7 type: TYPE_DOUBLE label: LABEL_OPTIONAL json_name: "d" default_value: "-inf" }
  field { name: "nan" number: 8 type: TYPE_DOUBLE label: LABEL_OPTIONAL json_name: "nan" default_value: "nan" }
  field { name: "s" number: 9 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "s" default_value: "<\"" }
  field { name: "by" number: 10 type: TYPE_BYTES label: LABEL_OPTIONAL json_name: "by" }
  field { name: "by2" number: 11 type: TYPE_BYTES label: LABEL_OPTIONAL json_name: "by2" default_value: "a" }
  field { name: "e" number: 12 type: TYPE_ENUM type_name: ".test.v1.Color" label: LABEL_OPTIONAL json_name: "e" }
  field { name: "e2" number: 13 type: TYPE_ENUM type_name: ".test.v1.Color" label: LABEL_OPTIONAL json_name: "e2" default_value: "BLUE" }
  field { name: "null" number: 14 type: TYPE_ENUM type_name: ".google.protobuf.NullValue" label: LABEL_OPTIONAL json_name: "null" }
  field { name: "m" number: 15 type: TYPE_MESSAGE type_name: ".test.v1.M" label: LABEL_OPTIONAL json_name: "m" }
  field { name: "list" number: 16 type: TYPE_STRING label: LABEL_REPEATED json_name: "list" }
  field { name: "map" number: 17 type: TYPE_MESSAGE type_name: ".test.v1.M.MapEntry" label: LABEL_REPEATED json_name: "map" }
  field { name: "at" number: 18 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" label: LABEL_OPTIONAL json_name: "at" }
  field { name: "any" number: 19 type: TYPE_MESSAGE type_name: ".google.protobuf.Any" label: LABEL_OPTIONAL json_name: "any" }
  field { name: "value" number: 20 type: TYPE_MESSAGE type_name: ".google.protobuf.Value" label: LABEL_OPTIONAL json_name: "value" }
  field { name: "struct" number: 21 type: TYPE_MESSAGE type_name: ".google.protobuf.Struct" label: LABEL_OPTIONAL json_name: "struct" }
  field { name: "items" number: 22 type: TYPE_MESSAGE type_name: ".google.protobuf.ListValue" label: LABEL_OPTIONAL json_name: "items" }
  field { name: "wrapped" number: 23 type: TYPE_MESSAGE type_name: ".google.protobuf.Int32Value" label: LABEL_OPTIONAL json_name: "wrapped" }
  field { name: "empty" number: 24 type: TYPE_MESSAGE type_name: ".google.protobuf.Empty" label: LABEL_OPTIONAL json_name: "empty" }
  field { name: "odd_name" number: 25 type: TYPE_INT32 label: LABEL_OPTIONAL json_name: "x<y" }
  nested_type {
    name: "MapEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "key" }
    field { name: "value" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL json_name: "value" }
  }
}`

func TestResponseField(t *testing.T) {
	t.Parallel()
	fields := messages(t, defaultsFile).ByName("M").Fields()
	field := func(name string) protoreflect.FieldDescriptor { return fields.ByName(protoreflect.Name(name)) }
	for name, want := range map[string]string{
		"b": "false", "i": "0", "u": "7", "l": `"-5"`, "ul": `"0"`, "f": "0.1", "d": `"-Infinity"`, "nan": `"NaN"`,
		"s": `"\u003c\""`, "by": `""`, "by2": `"YQ=="`, "e": `"RED"`, "e2": `"BLUE"`, "null": "null", "m": "{}", "list": "[]",
		"map": "{}", "at": "null", "any": "{}", "value": "null", "struct": "{}", "items": "null", "wrapped": "null", "empty": "{}",
	} {
		if got := shown(t, view.Options{ResponseField: field(name)}, "m", `{"other":{"`+name+`":1}}`); got != want {
			t.Errorf("default of %s: %s, want %s", name, got, want)
		}
	}
	const data = `{"i":1,"m":{"i":2,"list":["}",","]},"list":["a"],"x\u003cy":3,"s":"a\\"}`
	for name, want := range map[string]string{
		"i": "1", "m": `{"i":2,"list":["}",","]}`, "list": `["a"]`, "odd_name": "3", "s": `"a\\"`,
	} {
		if got := shown(t, view.Options{ResponseField: field(name)}, "m", data); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	v := view.New(batches(frame(id(2), "m", data)), view.Options{ResponseField: field("i"), Representation: view.JSON})
	expect(t, v, `{"result":1}`+"\n")
}
