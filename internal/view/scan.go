package view

import (
	"bytes"
	"encoding/json"
)

// The functions below walk over JSON without white space, as the log has it. They are not a validator: of what is not
// such JSON they make something, and never more than was there.

// skipValue is the index behind the value that begins at i.
func skipValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = skipString(b, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth <= 0 {
				if depth < 0 {
					return i // the end of what a scalar stood in
				}
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}

// skipString is the index behind the string whose opening quote is at i.
func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(b)
}

// nextMember reads the member of an object that begins at i, behind the brace or the comma. key is with its quotes. ok is
// false at the object's end, and next is then the index behind its brace.
func nextMember(b []byte, i int) (key, value []byte, next int, ok bool) {
	if i < len(b) && b[i] == ',' {
		i++
	}
	if i >= len(b) || b[i] != '"' {
		return nil, nil, min(i+1, len(b)), false
	}
	colon := skipString(b, i)
	if colon >= len(b) || b[colon] != ':' {
		return nil, nil, len(b), false
	}
	end := skipValue(b, colon+1)
	return b[i:colon], b[colon+1 : end], end, true
}

// member is the value of an object's member.
func member(object []byte, name string) ([]byte, bool) {
	if len(object) == 0 || object[0] != '{' {
		return nil, false
	}
	for i := 1; ; {
		key, value, next, ok := nextMember(object, i)
		if !ok {
			return nil, false
		}
		if string(unquoted(key)) == name {
			return value, true
		}
		i = next
	}
}

func memberOr(object []byte, name, otherwise string) []byte {
	if value, ok := member(object, name); ok {
		return value
	}
	return []byte(otherwise)
}

// text is the value of an object's member that is a string, else empty.
func text(object []byte, name string) string {
	value, _ := member(object, name)
	if len(value) < 2 || value[0] != '"' {
		return ""
	}
	return string(unquoted(value))
}

// unquoted is what a JSON string says; b itself without its quotes where nothing in it is escaped.
func unquoted(b []byte) []byte {
	if bytes.IndexByte(b, '\\') < 0 {
		return b[1 : len(b)-1]
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return nil
	}
	return []byte(s)
}
