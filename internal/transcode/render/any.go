package render

import "fmt"

// The places of an Any's fields.
const (
	anyURL   = 1
	anyBytes = 2
)

// any writes the google.protobuf.Any in a frame: what is in it, with its type, or {} where nothing is in it.
//
//	{"@type":"example.com/acme.v1.Price","amount":5}
//	{"@type":"example.com/google.protobuf.Duration","value":"1s"}
//
// While s is checking, what is wrong with an Any is only noted.
func (s *scratch) any(dst []byte, p *Program, fr frame) ([]byte, *Error) {
	var url []byte
	if s.has(fr, anyURL) {
		url = s.text(s.slots[fr.slots+anyURL].bits)
	}
	content := s.number(fr, anyBytes)
	if len(url) == 0 && len(s.text(content)) == 0 {
		return append(dst, "{}"...), nil
	}
	inner := p.types.byURL(url)
	if inner == nil {
		return dst, s.failAny(&Error{Reason: UnknownAny, Detail: fmt.Sprintf("%.200q", url)})
	}
	if s.checking {
		if err := s.check(inner, content, maxDepth); err != nil {
			return dst, s.failAny(err)
		}
	}
	if s.anys++; s.anys > maxAnys {
		s.anys--
		return dst, s.failAny(&Error{Reason: TooDeep, Detail: "Any in Any"})
	}
	dst, err := s.content(dst, inner, url, content)
	s.anys--
	return dst, err
}

// content writes what is in an Any.
func (s *scratch) content(dst []byte, inner *Program, url []byte, at uint64) ([]byte, *Error) {
	const depth = maxDepth - 1
	dst = append(dst, `{"@type":`...)
	dst, ok := appendText(dst, url)
	if !ok { // an Any whose schema does not have its URL checked when it is read
		if err := s.fail(&Error{Reason: UTF8, In: "google.protobuf.Any"}); err != nil {
			return dst, err
		}
	}
	l, fr, err := s.read(inner, at, 0, depth)
	switch {
	case err != nil:
	case l.form != object:
		dst, err = s.wellKnown(append(dst, `,"value":`...), inner, l, fr, depth)
	default:
		dst, err = s.fields(dst, l, fr, depth)
	}
	s.pop(fr)
	return append(dst, '}'), err
}

// failAny is the way of an error about what is in an Any.
func (s *scratch) failAny(err *Error) *Error {
	if !s.checking {
		return err
	}
	if s.worst == nil || err.Reason < s.worst.Reason {
		s.worst = err
	}
	return nil
}
