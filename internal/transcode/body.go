package transcode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxBodyDepth is how many JSON objects and arrays may be in each other in a request.
const maxBodyDepth = 100

const tooDeep = "is nested deeper than 100 levels"

// bindBody reads the body into m, or into m's body field.
func (b *Binder) bindBody(m protoreflect.Message, body []byte, v *violations) {
	whole := body // where positions are counted from
	body = bytes.TrimSpace(body)
	switch {
	case len(body) == 0:
		return
	case b.body == noBody:
		if !isEmptyObject(body) {
			v.add("", "this route takes no request body: give the fields in the path and as query parameters")
		}
		return
	case !utf8.Valid(body):
		v.add("", "the request body is not valid UTF-8")
		return
	case nestedTooDeeply(body):
		v.add("", "the request body %s", tooDeep)
		return
	}
	doc := document{text: whole, types: b.types}
	if problem := doc.syntaxError(); problem != "" {
		v.add("", "%s", problem)
		return
	}
	text := body
	if b.body == bodyIsField {
		text = b.asMessage(body)
	}
	// A message can be nested deeper than the JSON that it is read from: a Struct's value takes three levels.
	o := protojson.UnmarshalOptions{AllowPartial: true, Resolver: b.types, RecursionLimit: 4 * (maxBodyDepth + 1)}
	err := o.Unmarshal(text, m.Interface())
	if err == nil {
		return
	}
	before := len(*v)
	if b.body == bodyIsField {
		doc.field(b.bodyField, member{value: body}, b.bodyField.JSONName(), v)
	} else {
		doc.message(m.Descriptor(), body, "", 0, v)
	}
	if len(*v) == before { // what protojson refuses and we cannot explain is still refused
		v.add("", "the request body: %s", protoText(err))
	}
}

// asMessage makes a field's JSON that of the message around it. The body must be one valid JSON value, or it could set
// other fields.
func (b *Binder) asMessage(body []byte) []byte {
	text := append([]byte("{"), appendQuoted(nil, b.bodyField.JSONName())...)
	text = append(append(text, ':'), body...)
	return append(text, '}')
}

func isEmptyObject(body []byte) bool {
	return len(body) >= 2 && body[0] == '{' && body[len(body)-1] == '}' && len(bytes.TrimSpace(body[1:len(body)-1])) == 0
}

// nestedTooDeeply reports whether more than maxBodyDepth objects and arrays are in each other. It only looks at
// brackets, so that it can go before anything that recurses.
func nestedTooDeeply(text []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			inString = !inString
		case inString:
			if c == '\\' {
				i++
			}
		case c == '{' || c == '[':
			if depth++; depth > maxBodyDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// syntaxError says what is wrong with the document as JSON, and where; "" where nothing is.
func (d document) syntaxError() string {
	var whole json.RawMessage
	err := json.Unmarshal(d.text, &whole)
	if err == nil {
		return ""
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("the request body is not valid JSON: %s: %s", d.position(int(syntax.Offset)-1), syntax)
	}
	return "the request body is not valid JSON"
}
