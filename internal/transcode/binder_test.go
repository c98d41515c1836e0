package transcode_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	proto2pb "cel.dev/expr/conformance/proto2"
	proto3pb "cel.dev/expr/conformance/proto3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/grpc-sse/grpc-sse/internal/outcome"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

var all = descriptor(&proto3pb.TestAllTypes{})

// request is what came by HTTP.
type request struct {
	path  map[string]string
	query string
	body  string
}

func (r request) bind(t testing.TB, b *transcode.Binder) (transcode.Request, error) {
	t.Helper()
	q, err := url.ParseQuery(r.query)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bind(r.path, q, []byte(r.body))
}

// violationsOf are a BindError's, "field: description" each.
func violationsOf(t testing.TB, err error) []string {
	t.Helper()
	bad, ok := errors.AsType[*transcode.BindError](err)
	if !ok {
		t.Fatalf("error %v, want a BindError", err)
	}
	var texts []string
	for _, v := range bad.Violations {
		texts = append(texts, v.Field+": "+v.Description)
		if !strings.Contains(err.Error(), v.Description) {
			t.Errorf("%q does not say %q", err, v.Description)
		}
	}
	return texts
}

func TestBind(t *testing.T) {
	for _, c := range []struct {
		name    string
		binding schema.Binding
		request
		want string // prototext
	}{
		{name: "nothing"},
		{name: "both names of a field", request: request{query: "single_int64=5&singleInt32=-6"}, want: `single_int64: 5 single_int32: -6`},
		{name: "cache buster", request: request{query: "_=1&_x=2"}},
		{name: "optional field's zero", request: request{query: "optionalBool=false"}, want: `optional_bool: false`},
		{name: "nested", request: request{query: "standaloneMessage.bb=5"}, want: `standalone_message { bb: 5 }`},
		{name: "repeated", request: request{query: "repeatedInt32=3&repeatedInt32=1&repeated_string=&repeated_string=b"}, want: `repeated_int32: [3, 1] repeated_string: ["", "b"]`},
		{name: "map", request: request{query: url.Values{"mapInt32String[-1]": {"x"}, "mapInt32String[2]": {"y"}, "mapStringEnum[a.b[c]]": {"BAR"}, "mapBoolDuration[t]": {"1s"}}.Encode()}, want: `map_int32_string { key: -1 value: "x" } map_int32_string { key: 2 value: "y" } map_string_enum { key: "a.b[c]" value: BAR } map_bool_duration { key: true value { seconds: 1 } }`},
		{name: "enum by name and number", request: request{query: "standaloneEnum=BAZ&repeatedNestedEnum=1&repeatedNestedEnum=BAR"}, want: `standalone_enum: BAZ repeated_nested_enum: [BAR, BAR]`},
		{name: "bytes in all four forms", request: request{query: url.Values{"repeatedBytes": {"+/8=", "-_8=", "+/8", "-_8", ""}}.Encode()}, want: `repeated_bytes: ["\xfb\xff", "\xfb\xff", "\xfb\xff", "\xfb\xff", ""]`},
		{name: "numbers that are none", request: request{query: "singleDouble=NaN&singleFloat=-Infinity"}, want: `single_double: nan single_float: -inf`},
		{name: "wrappers", request: request{query: "singleInt64Wrapper=0&singleStringWrapper=x&single_bool_wrapper=true&singleBytesWrapper=AAE&singleDoubleWrapper=1.5"}, want: `single_int64_wrapper {} single_string_wrapper { value: "x" } single_bool_wrapper { value: true } single_bytes_wrapper { value: "\x00\x01" } single_double_wrapper { value: 1.5 }`},
		{name: "Timestamp", request: request{query: "singleTimestamp=2026-01-02T03:04:05.6%2B01:00"}, want: `single_timestamp { seconds: 1767319445 nanos: 600000000 }`},
		{name: "Duration", request: request{query: "singleDuration=1h30m&repeatedDuration=-1.5s&repeatedDuration=315576000000s"}, want: `single_duration { seconds: 5400 } repeated_duration { seconds: -1 nanos: -500000000 } repeated_duration { seconds: 315576000000 }`},
		{name: "FieldMask", request: request{query: "fieldMask=a.b,c_d"}, want: `field_mask { paths: "a.b" paths: "c_d" }`},
		{name: "empty FieldMask", request: request{query: "fieldMask="}, want: `field_mask {}`},
		{name: "Struct, Value, ListValue, Empty", request: request{query: url.Values{"singleStruct": {`{"a":1}`}, "singleValue": {`"x"`}, "listValue": {`[null]`}, "empty": {""}}.Encode()}, want: `single_struct { fields { key: "a" value { number_value: 1 } } } single_value { string_value: "x" } list_value { values { null_value: NULL_VALUE } } empty {}`},
		{name: "oneof", request: request{query: "oneofBool=false"}, want: `oneof_bool: false`},
		{name: "body without one in the rule", request: request{body: " { \n } "}},
		{name: "body", binding: schema.Binding{Body: "*"}, request: request{body: ` {"singleInt64":"5","single_bool":true,"singleString":null}`}, want: `single_int64: 5 single_bool: true`},
		{name: "brackets in a string", binding: schema.Binding{Body: "*"}, request: request{body: `{"singleString":"\"` + strings.Repeat("[", 200) + `"}`}, want: `single_string: "\"` + strings.Repeat("[", 200) + `"`},
		{name: "no body", binding: schema.Binding{Body: "*"}, request: request{body: "\n"}},
		{name: "body and cache buster", binding: schema.Binding{Body: "*"}, request: request{query: "_=1", body: "{}"}},
		{name: "field as body", binding: schema.Binding{Body: "standalone_message"}, request: request{query: "singleInt32=1", body: `{"bb":2}`}, want: `standalone_message { bb: 2 } single_int32: 1`},
		{name: "list as body", binding: schema.Binding{Body: "repeated_int32"}, request: request{body: `[1,2]`}, want: `repeated_int32: [1, 2]`},
		{name: "map as body", binding: schema.Binding{Body: "map_int32_string"}, request: request{body: `{"1":"x"}`}, want: `map_int32_string { key: 1 value: "x" }`},
		{name: "Timestamp as body", binding: schema.Binding{Body: "single_timestamp"}, request: request{body: `"1970-01-01T00:00:01Z"`}, want: `single_timestamp { seconds: 1 }`},
		{name: "null as body", binding: schema.Binding{Body: "standalone_message"}, request: request{body: `null`}},
		{name: "Any", binding: schema.Binding{Body: "*"}, request: request{body: `{"singleAny":{"@type":"x/google.protobuf.Duration","value":"1s"}}`}, want: `single_any { [x/google.protobuf.Duration] { seconds: 1 } }`},
		{
			name: "path", binding: schema.Binding{Variables: []string{"single_string", "standalone_message.bb"}, Segments: map[string]int{"single_string": 2, "standalone_message.bb": 1}},
			request: request{path: map[string]string{"single_string": "shelves/ä b", "standalone_message.bb": "-4"}, query: "singleInt32=1"},
			want:    `single_string: "shelves/ä b" standalone_message { bb: -4 } single_int32: 1`,
		},
		{
			name: "path of any length", binding: schema.Binding{Variables: []string{"single_string"}, Segments: map[string]int{"single_string": 0}},
			request: request{path: map[string]string{"single_string": "a/b/c..d/..."}}, want: `single_string: "a/b/c..d/..."`,
		},
		{
			name: "path and body", binding: schema.Binding{Body: "*", Variables: []string{"single_string"}},
			request: request{path: map[string]string{"single_string": "path"}, body: `{"singleString":"body","singleInt32":1}`}, want: `single_string: "path" single_int32: 1`,
		},
		{
			name: "enum in the path", binding: schema.Binding{Variables: []string{"standalone_enum"}},
			request: request{path: map[string]string{"standalone_enum": "BAR"}}, want: `standalone_enum: BAR`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := &proto3pb.TestAllTypes{}
			if err := prototext.Unmarshal([]byte(c.want), want); err != nil {
				t.Fatal(err)
			}
			req, err := c.bind(t, binder(t, all, c.binding))
			if err != nil {
				t.Fatal(err)
			}
			got := &proto3pb.TestAllTypes{}
			if err := proto.Unmarshal(req.Wire, got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, protocmp.Transform(), cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !bytes.Equal(req.Canonical, canonical(want)) {
				t.Errorf("canonical %x, want %x", req.Canonical, canonical(want))
			}
		})
	}
}

func TestBindRefusesQuery(t *testing.T) {
	const int32s = "want a whole number from -2147483648 to 2147483647 (int32), got "
	for query, want := range map[string]string{
		"singleInt32=2147483648":               `singleInt32: ` + int32s + `"2147483648"`,
		"singleInt32=x":                        `singleInt32: ` + int32s + `"x"`,
		"singleInt32=":                         `singleInt32: is empty, want a whole number from -2147483648 to 2147483647 (int32)`,
		"single_uint64=-1":                     `single_uint64: want a whole number from 0 to 18446744073709551615 (uint64), got "-1"`,
		"singleFloat=1e39":                     `singleFloat: want a number (float), got "1e39"`,
		"singleBool=yes":                       `singleBool: want true or false, got "yes"`,
		"singleBytes=~":                        `singleBytes: want bytes in base64, got "~"`,
		"singleString=%ff":                     `singleString: is not valid UTF-8`,
		"mapStringString[%ff]=x":               "mapStringString[\uFFFD]: the key in brackets is not valid UTF-8",
		"standaloneEnum=BARR":                  `standaloneEnum: want one of FOO, BAR, BAZ (or its number), got "BARR"`,
		"standaloneEnum=3":                     `standaloneEnum: want one of FOO, BAR, BAZ (or its number), got "3"`,
		"singleTimestamp=today":                `singleTimestamp: want a time such as 2026-01-02T15:04:05Z, got "today"`,
		"singleDuration=5":                     `singleDuration: want a duration such as 1.5s, got "5"`,
		"singleInt32Wrapper=1.5":               `singleInt32Wrapper: ` + int32s + `"1.5"`,
		"empty=x":                              `empty: want nothing or {}, got "x"`,
		"repeatedInt32=1&repeatedInt32=b":      `repeatedInt32: value 2: ` + int32s + `"b"`,
		"singleInt32=1&singleInt32=2":          `singleInt32: is given 2 times, and takes one value`,
		"singleInt32=1&single_int32=2":         `single_int32: is set twice: "singleInt32" sets the same field`,
		"mapInt32Bool=true":                    `mapInt32Bool: is a map: write mapInt32Bool[KEY]=VALUE`,
		"mapInt32Bool[x]=true":                 `mapInt32Bool[x]: the key in brackets: ` + int32s + `"x"`,
		"mapInt32Bool[1]=x":                    `mapInt32Bool[1]: want true or false, got "x"`,
		"mapInt32Bool[1]=t&mapInt32Bool[01]=t": `mapInt32Bool[1]: is set twice: the same key was given in another spelling`,
		"mapInt32Message[1]=x":                 `mapInt32Message[1]: is a message (cel.expr.conformance.proto3.TestAllTypes.NestedMessage) and cannot be given in one value: only a JSON body can hold it`,
		"repeatedString[]=x":                   `repeatedString[]: is a list: repeat repeatedString=VALUE for each element, without brackets`,
		"singleString[a]=x":                    `singleString[a]: has a key in brackets, which only maps have`,
		"standaloneMessage=x":                  `standaloneMessage: is a message (cel.expr.conformance.proto3.TestAllTypes.NestedMessage) and cannot be given in one value: name its fields: standaloneMessage.bb`,
		"singleString.x=1":                     `singleString.x: unknown query parameter: "single_string" has no fields inside it, it is a string`,
		"singleStrin=x":                        `singleStrin: unknown query parameter: did you mean "singleString"?`,
		"single_strnig=x":                      `single_strnig: unknown query parameter: did you mean "single_string"?`,
		"sa=x":                                 `sa: unknown query parameter: did you mean "as"?`,
		"oneofType" + strings.Repeat(".child", 32) + "=x": "oneofType" + strings.Repeat(".child", 11) + ".chil…: unknown query parameter: it names more than 32 fields inside each other",
		"SINGLE-STRING=x":                    `SINGLE-STRING: unknown query parameter: did you mean "singleString"?`,
		"standaloneMessage.bc=x":             `standaloneMessage.bc: unknown query parameter: did you mean "standaloneMessage.bb"?`,
		"standaloneMessage.wholly=x":         `standaloneMessage.wholly: unknown query parameter: cel.expr.conformance.proto3.TestAllTypes.NestedMessage has standaloneMessage.bb`,
		"empty.x=x":                          `empty.x: unknown query parameter: google.protobuf.Empty has no fields`,
		"optionalDouble=x":                   `optionalDouble: unknown query parameter: did you mean "optionalBool"?`,
		"listEntries=x":                      `listEntries: unknown query parameter: the nearest field of cel.expr.conformance.proto3.TestAllTypes is "listValue"`,
		"oneofBool=true&oneofType.payload=x": `oneofType.payload: "oneof_bool" is set as well, and only one of the two may be set`,
		"singleTimestamp=2026-01-02T15:04:05Z&singleTimestamp.seconds=1":  `singleTimestamp.seconds: is set twice: "singleTimestamp" sets the same field`,
		"singleTimestamp.seconds=1&single_timestamp=2026-01-02T15:04:05Z": `single_timestamp: is set twice: "singleTimestamp.seconds" sets the same field`,
		"singleStruct=" + url.QueryEscape(strings.Repeat(`{"a":`, 101)):   `singleStruct: is nested deeper than 100 levels`,
	} {
		t.Run(query[:min(len(query), 50)], func(t *testing.T) {
			_, err := request{query: query}.bind(t, binder(t, all, schema.Binding{}))
			got := violationsOf(t, err)
			if len(got) != 1 || got[0] != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func TestBindRefusesPath(t *testing.T) {
	b := binder(t, all, schema.Binding{
		Variables: []string{"single_string", "single_int32", "standalone_message.bb", "oneof_bool"},
		Segments:  map[string]int{"single_string": 2, "single_int32": 1, "standalone_message.bb": 1, "oneof_bool": 1},
		Body:      "oneof_type",
	})
	open := binder(t, all, schema.Binding{Variables: []string{"single_string"}})
	for _, c := range []struct{ name, value, want string }{
		{"single_string", "", "is empty in the path: give it a value"},
		{"single_string", "a/\xff", "is not valid UTF-8 in the path"},
		{"single_string", "a/\x00", "holds a NUL character in the path"},
		{"single_string", "a/..", `holds the path segment "..", which stands for another path`},
		{"single_string", "./a", `holds the path segment ".", which stands for another path`},
		{"single_string", "a/", "ends in an empty path segment: take the last slash away, or add what is missing after it"},
		{"single_string", "/a", "holds an empty path segment"},
		{"single_string", "a/b/c", "has 3 path segments, and the route takes 2: a slash inside a value cannot be given in the path"},
		{"single_string", "a", "has 1 path segments, and the route takes 2: a slash inside a value cannot be given in the path"},
		{"single_int32", "1e3", `want a whole number from -2147483648 to 2147483647 (int32), got "1e3"`},
	} {
		path := map[string]string{"single_string": "a/b", "single_int32": "1", "standalone_message.bb": "1", "oneof_bool": "true"}
		path[c.name] = c.value
		_, err := b.Bind(path, nil, nil)
		if diff := cmp.Diff([]string{c.name + ": " + c.want}, violationsOf(t, err)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.value, diff)
		}
	}
	path := map[string]string{"single_string": "a/b", "single_int32": "1", "standalone_message.bb": "1", "oneof_bool": "true"}
	_, err := request{path, "singleInt32=1&standalone_message.bb=1&standaloneMessage=x&oneofType.payload.single_int32=1", `{"payload":{}}`}.bind(t, b)
	want := []string{
		`oneof_bool: is set by the path, but the body sets "oneof_type", and only one of the two may be set`,
		`oneofType.payload.single_int32: is set by the body and cannot be set by the query too`,
		`singleInt32: is set by the path and cannot be set by the query too`,
		`standaloneMessage: is set by the path and cannot be set by the query too`,
		`standalone_message.bb: is set by the path and cannot be set by the query too`,
	}
	if diff := cmp.Diff(want, violationsOf(t, err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	whole := binder(t, all, schema.Binding{Variables: []string{"single_timestamp"}})
	_, err = request{path: map[string]string{"single_timestamp": "2026-01-02T15:04:05Z"}, query: "singleTimestamp.nanos=1"}.bind(t, whole)
	if got := violationsOf(t, err); got[0] != "singleTimestamp.nanos: is set by the path and cannot be set by the query too" {
		t.Errorf("got %q", got)
	}
	_, err = open.Bind(map[string]string{"single_string": "a//b"}, nil, nil)
	if got := violationsOf(t, err); got[0] != "single_string: holds an empty path segment" {
		t.Errorf("got %q", got)
	}
}

func TestBindRefusesBody(t *testing.T) {
	nested := func(n int) string { return strings.Repeat(`{"child":`, n) + `{}` + strings.Repeat(`}`, n) }
	tests := descriptor(&proto3pb.NestedTestAllTypes{})
	for _, c := range []struct {
		name string
		md   protoreflect.MessageDescriptor
		schema.Binding
		body string
		want []string
	}{
		{name: "not in the rule", body: `{"a":1}`, want: []string{`: this route takes no request body: give the fields in the path and as query parameters`}},
		{name: "UTF-8", Binding: schema.Binding{Body: "*"}, body: "{\"singleString\":\"\xff\"}", want: []string{`: the request body is not valid UTF-8`}},
		{name: "depth", md: tests, Binding: schema.Binding{Body: "*"}, body: nested(100), want: []string{`: the request body is nested deeper than 100 levels`}},
		{name: "syntax", Binding: schema.Binding{Body: "*"}, body: "{\n  \"a\": x}", want: []string{`: the request body is not valid JSON: line 2, column 8: invalid character 'x' looking for beginning of value`}},
		{name: "cut off", Binding: schema.Binding{Body: "*"}, body: `{"a":`, want: []string{`: the request body is not valid JSON: line 1, column 5: unexpected end of JSON input`}},
		{name: "no object", Binding: schema.Binding{Body: "*"}, body: ` [1]`, want: []string{`: line 1, column 2: the request body must be an object (cel.expr.conformance.proto3.TestAllTypes), got [1]`}},
		{name: "null", Binding: schema.Binding{Body: "*"}, body: `null`, want: []string{`: line 1, column 1: the request body must be an object (cel.expr.conformance.proto3.TestAllTypes), got null`}},
		{name: "two values", Binding: schema.Binding{Body: "single_string"}, body: `"x","singleInt32":1`, want: []string{`: the request body is not valid JSON: line 1, column 4: invalid character ',' after top-level value`}},
		{
			name: "all faults", Binding: schema.Binding{Body: "*"},
			body: "\n{\"singleInt32\": 1.5,\n \"single_int32\": 2, \"singelBool\":true, \"standaloneEnum\":\"BAS\", \"repeatedInt32\":[1,\"x\",3e10],\n" +
				`"standaloneMessage":{"bb":true, "cc":1}, "mapInt32Bool":{"1":true,"x":true,"2":3}, "oneofBool":true, "oneofType":{}, "singleString":5,` +
				`"repeatedNestedMessage":[{"bb":1},{"bb":[]},7], "singleTimestamp":"today", "singleAny":{"@type":"x/no.Such"}, "fieldMask":"a_b"}`,
			want: []string{
				`singleInt32: line 2, column 17: want a whole number from -2147483648 to 2147483647 (int32), got 1.5`,
				`single_int32: line 3, column 2: the field is set twice`,
				`singelBool: line 3, column 21: unknown field "singelBool": did you mean "singleBool"?`,
				`standaloneEnum: line 3, column 57: want one of FOO, BAR, BAZ (or its number), got "BAS"`,
				`repeatedInt32[1]: line 3, column 83: want a whole number from -2147483648 to 2147483647 (int32), got "x"`,
				`repeatedInt32[2]: line 3, column 87: want a whole number from -2147483648 to 2147483647 (int32), got 3e10`,
				`standaloneMessage.bb: line 4, column 27: want a whole number from -2147483648 to 2147483647 (int32), got true`,
				`standaloneMessage.cc: line 4, column 33: unknown field "cc": cel.expr.conformance.proto3.TestAllTypes.NestedMessage has standaloneMessage.bb`,
				`mapInt32Bool["x"]: line 4, column 67: the key must be a whole number from -2147483648 to 2147483647 (int32), got "x"`,
				`mapInt32Bool["2"]: line 4, column 80: want true or false, got 3`,
				`oneofType: line 4, column 102: "oneofBool" is set as well, and only one of the two may be set`,
				`singleString: line 4, column 133: want a string, got 5`,
				`repeatedNestedMessage[1].bb: line 4, column 175: want a whole number from -2147483648 to 2147483647 (int32), got []`,
				`repeatedNestedMessage[2]: line 4, column 179: repeatedNestedMessage[2] must be an object (cel.expr.conformance.proto3.TestAllTypes.NestedMessage), got 7`,
				`singleTimestamp: line 4, column 201: want a time such as 2026-01-02T15:04:05Z, got "today"`,
				`singleAny: line 4, column 222: want an object with "@type" and the fields of that type, got {"@type":"x/no.Such"}`,
				`fieldMask: line 4, column 257: want a string of field names in lowerCamelCase with commas between them, got "a_b"`,
			},
		},
		{name: "list wanted", Binding: schema.Binding{Body: "repeated_int32"}, body: `5`, want: []string{`repeatedInt32: line 1, column 1: want an array, each element a whole number from -2147483648 to 2147483647 (int32), got 5`}},
		{name: "map wanted", Binding: schema.Binding{Body: "map_int32_bool"}, body: `[]`, want: []string{`mapInt32Bool: line 1, column 1: want an object, each value true or false, got []`}},
		{name: "in a field", Binding: schema.Binding{Body: "standalone_message"}, body: ` {"b":1}`, want: []string{`standaloneMessage.b: line 1, column 3: unknown field "b": did you mean "standaloneMessage.bb"?`}},
		{name: "null in a list", Binding: schema.Binding{Body: "*"}, body: `{"repeatedInt32":[null]}`, want: []string{`repeatedInt32[0]: line 1, column 19: want a whole number from -2147483648 to 2147483647 (int32), got null`}},
		{name: "null is not set", Binding: schema.Binding{Body: "*"}, body: `{"repeatedInt32":null,"mapInt32Bool":null,"standaloneMessage":null,"singleInt32":null,"n":1}`, want: []string{`n: line 1, column 87: unknown field "n": did you mean "in"?`}},
		{name: "key of a map set twice", Binding: schema.Binding{Body: "*"}, body: `{"mapInt32Bool":{"1":true, "1":true}}`, want: []string{`mapInt32Bool["1"]: line 1, column 28: the key is set twice`}},
		{name: "fault deep inside", md: tests, Binding: schema.Binding{Body: "*"}, body: strings.Repeat(`{"child":`, 40) + `{"x":1}` + strings.Repeat(`}`, 40), want: []string{`: the request body: (line 1:362): unknown field "x"`}},
		{name: "extension", md: descriptor(&proto2pb.TestAllTypes{}), Binding: schema.Binding{Body: "*"}, body: `{"[no.such]":1}`, want: []string{`[no.such]: line 1, column 14: want an extension of cel.expr.conformance.proto2.TestAllTypes, got 1`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.md == nil {
				c.md = all
			}
			_, err := request{body: c.body}.bind(t, binder(t, c.md, c.Binding))
			if diff := cmp.Diff(c.want, violationsOf(t, err)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if _, err := (request{body: nested(99)}).bind(t, binder(t, tests, schema.Binding{Body: "*"})); err != nil {
		t.Errorf("100 levels: %v", err)
	}
	// A Value in a Value takes several messages for each level of JSON.
	values := strings.Repeat(`[{"a":`, 50) + `1` + strings.Repeat(`}]`, 50)
	if _, err := (request{body: values}).bind(t, binder(t, all, schema.Binding{Body: "single_value"})); err != nil {
		t.Errorf("100 levels of Value: %v", err)
	}
}

func TestBodyIsAllLeavesNothingToTheQuery(t *testing.T) {
	_, err := request{query: "singleInt32=1&_=2", body: `{}`}.bind(t, binder(t, all, schema.Binding{Body: "*"}))
	want := []string{"singleInt32: unknown query parameter: this route takes its fields from the JSON body, none from the query"}
	if diff := cmp.Diff(want, violationsOf(t, err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAllViolationsAreCollectedUpToALimit(t *testing.T) {
	b := binder(t, all, schema.Binding{Variables: []string{"single_int32"}, Body: "standalone_message"})
	_, err := request{map[string]string{"single_int32": "x"}, "nope=1&singleBool=2", `{"bb":"x"}`}.bind(t, b)
	if got := violationsOf(t, err); len(got) != 4 {
		t.Errorf("%d violations, want 4: %q", len(got), got)
	}
	q, body := url.Values{}, `{"singleBool":0`
	for i := range 1000 {
		q.Set(fmt.Sprintf("nope%d%s", i, strings.Repeat("é", 500)), "x")
		body += fmt.Sprintf(`,"nope%d":1`, i)
	}
	_, err = binder(t, all, schema.Binding{}).Bind(nil, q, nil)
	if got := violationsOf(t, err); len(got) != 32 || len(err.Error()) > 16<<10 {
		t.Errorf("query: %d violations in %d bytes", len(got), len(err.Error()))
	}
	_, err = binder(t, all, schema.Binding{Body: "*"}).Bind(nil, nil, []byte(body+"}"))
	if got := violationsOf(t, err); len(got) != 32 || len(err.Error()) > 16<<10 {
		t.Errorf("body: %d violations in %d bytes", len(got), len(err.Error()))
	}
}

func TestRequiredFieldsAreNamed(t *testing.T) {
	md := message(t, `syntax: "proto2" message_type { name: "M" field { name: "a" number: 1 type: TYPE_INT32 label: LABEL_REQUIRED } }`)
	_, err := binder(t, md, schema.Binding{}).Bind(nil, nil, nil)
	if got := violationsOf(t, err); len(got) != 1 || !strings.Contains(got[0], "required field test.v1.M.a not set") {
		t.Errorf("got %q", got)
	}
}

func TestNewBinderRefuses(t *testing.T) {
	for _, b := range []schema.Binding{
		{Variables: []string{"nope"}},
		{Variables: []string{"single_string.x"}},
		{Variables: []string{"repeated_string"}},
		{Variables: []string{"repeated_nested_message.bb"}},
		{Body: "nope"},
	} {
		if _, err := transcode.NewBinder(methodOf(all, all), &b); err == nil {
			t.Errorf("%+v was accepted", b)
		}
	}
}

// What is sent does not depend on how the request was spelled.
func TestWireIsDeterministic(t *testing.T) {
	b := binder(t, all, schema.Binding{Body: "map_string_string"})
	var first transcode.Request
	for i := range 20 {
		req, err := request{query: "single_int32=1&mapInt32Bool[2]=t&mapInt32Bool[1]=f", body: `{"b":"1","a":"2","c":""}`}.bind(t, b)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = req
		}
		if diff := cmp.Diff(first, req); diff != "" {
			t.Fatalf("(-first +now):\n%s", diff)
		}
	}
	m := dynamicpb.NewMessage(all)
	if err := proto.Unmarshal(first.Wire, m); err != nil || !bytes.Equal(first.Canonical, canonical(m)) {
		t.Errorf("wire and canonical request differ: %v", err)
	}
	var _ outcome.Violation
}
