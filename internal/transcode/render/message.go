package render

import (
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Message is a message that can be asked and written. It is valid until Close, and as long as its bytes; it is not safe
// for concurrent use.
type Message struct{ s *scratch }

// Open makes a Message of wire bytes. They are not looked at before it is asked or written. The error, for one that is too
// long, is an [*Error], and then there is nothing to close.
func (p *Program) Open(wire []byte) (Message, error) {
	if len(wire) > maxWire {
		return Message{}, p.malformed()
	}
	s := scratches.Get().(*scratch)
	s.root, s.wire = p, wire
	return Message{s}, nil
}

// Close gives back the memory that m uses.
func (m Message) Close() { m.s.release() }

// Field is a field of a message itself, no extension.
type Field int // its place in the layout

// FieldOf is the field of a descriptor.
func FieldOf(fd protoreflect.FieldDescriptor) Field { return Field(fd.Index() + 1) }

// Oneof is a oneof of a message.
type Oneof int // its place in the layout's oneofs

// OneofOf is the oneof of a descriptor.
func OneofOf(od protoreflect.OneofDescriptor) Oneof { return Oneof(od.Index()) }

// Enum is the value of a singular enum field, and whether it is there; one without presence may be there, and 0. Of a
// message that cannot be rendered this and the others return anything.
func (m Message) Enum(f Field) (protoreflect.EnumNumber, bool) {
	bits, ok := m.value(f)
	return protoreflect.EnumNumber(bits), ok
}

// Text is the value of a singular string field; nil where it is not there. It points into the message.
func (m Message) Text(f Field) []byte {
	at, ok := m.value(f)
	if !ok {
		return nil
	}
	return m.s.text(at)
}

// value is the value of a singular field that is no message, and whether it is there.
func (m Message) value(f Field) (uint64, bool) {
	index, bits := m.s.lastOf(m.s.root.layout(), uint32(f))
	return bits, index == uint32(f)
}

// Case is the set case of the oneof that a field is a case of; 0 where none is.
func (m Message) Case(f Field) Field {
	set, _ := m.s.lastOf(m.s.root.layout(), uint32(f))
	return Field(set)
}

// AppendJSON appends the whole message. The error is an [*Error]; dst is then returned as it was.
func (m Message) AppendJSON(dst []byte) ([]byte, error) {
	s, whole := m.s, span(0, len(m.s.wire))
	out, err := s.message(dst, s.root, whole, 0, maxDepth)
	if err != nil { // crooked, or something is wrong that another occurrence of a field may replace
		s.careful = true
		out, err = s.message(dst, s.root, whole, 0, maxDepth)
	}
	if err != nil {
		return dst, m.explain(err)
	}
	return out, nil
}

// AppendCase appends the value of a oneof's set case alone, or the whole message where none is set. The other fields
// are not written, but all of them must be well formed, and so must what is in an Any.
func (m Message) AppendCase(dst []byte, o Oneof) ([]byte, error) {
	s := m.s
	l, fr, err := s.read(s.root, span(0, len(s.wire)), 0, maxDepth-1)
	set := s.set(l, fr, l.oneofs[o])
	if err == nil && set == 0 {
		s.pop(fr)
		return m.AppendJSON(dst)
	}
	if err == nil {
		err = s.checkBut(l, fr, set)
	}
	out := dst
	if err == nil {
		f, sl := &l.fields[set], s.slots[fr.slots+set]
		out, err = s.value(dst, f, sl.bits, sl.more, maxDepth-1)
		if err != nil { // as in AppendJSON
			s.careful = true
			out, err = s.value(dst, f, sl.bits, sl.more, maxDepth-1)
		}
	}
	s.pop(fr)
	if err != nil {
		return dst, m.explain(err)
	}
	return out, nil
}

// checkBut checks all fields of a frame but one.
func (s *scratch) checkBut(l *layout, fr frame, set int) *Error {
	s.checking, s.careful = true, true
	defer func() { s.checking, s.careful = false, false }()
	for i := 1; i < len(l.fields); i++ {
		if i == set || !s.has(fr, i) {
			continue
		}
		f, sl := &l.fields[i], s.slots[fr.slots+i]
		var err *Error
		switch {
		case f.shape == text || f.shape == implicitText:
			if f.utf8 && !utf8.Valid(s.text(sl.bits)) {
				err = errMalformed
			}
		case f.shape != single && f.shape != implicit:
			s.discard, err = s.field(s.discard[:0], f, sl, maxDepth-1)
		}
		if err == nil {
			err = s.worst
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// explain finds the error that a message is known by, now that it is known to have one. Nothing is left to do with m
// then but to close it.
//
// Of several errors, one that a decoder finds comes first, in the order of the wire; then those of what is in an Any, in
// the order of their reasons; then those of values without a JSON form, in the order of JSON, of which found is the
// first. So the reason does not depend on how the message was read.
func (m Message) explain(found *Error) error {
	s := m.s
	whole := span(0, len(s.wire))
	if err := s.check(s.root, whole, maxDepth); err != nil {
		return err
	}
	s.checking, s.careful, s.worst = true, true, nil
	s.slots, s.seen, s.runs, s.entries = s.slots[:0], s.seen[:0], s.runs[:0], s.entries[:0]
	out, err := s.message(s.discard[:0], s.root, whole, 0, maxDepth)
	s.checking, s.discard = false, out
	if s.worst != nil {
		return s.worst
	}
	if err != nil {
		return err
	}
	return found
}
