package render

import (
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Message is a message that has been read, and can be asked and written. It is valid until Close, and as long as the
// bytes that it was read from; it is not safe for concurrent use.
type Message struct{ s *scratch }

// opened is the message that a scratch was opened for.
type opened struct {
	p  *Program
	l  *layout
	fr frame
}

// Open reads a message. The error is an [*Error], and then there is nothing to close.
func (p *Program) Open(wire []byte) (Message, error) {
	if len(wire) > maxWire {
		return Message{}, p.malformed()
	}
	s := scratches.Get().(*scratch)
	s.wire = wire
	m := Message{s}
	l, fr, err := s.read(p, span(0, len(wire)), 0, maxDepth-1)
	s.opened = opened{p, l, fr}
	if err != nil {
		why := m.explain(err)
		m.Close()
		return Message{}, why
	}
	return m, nil
}

// Close gives back the memory that m uses.
func (m Message) Close() { m.s.release() }

// Field is a field of a message itself, no extension.
type Field int // its place in the layout

// FieldOf is the field of a descriptor.
func FieldOf(fd protoreflect.FieldDescriptor) Field { return Field(fd.Index() + 1) }

// Has reports whether a field is set: one without presence is not where it has its default value.
func (m Message) Has(f Field) bool { return m.s.has(m.s.fr, int(f)) }

// Enum is the value of a singular enum field; 0 where it is not set.
func (m Message) Enum(f Field) protoreflect.EnumNumber {
	return protoreflect.EnumNumber(m.s.number(m.s.fr, int(f)))
}

// Text is the value of a singular string field; nil where it is not set. It points into the message.
func (m Message) Text(f Field) []byte {
	if !m.Has(f) {
		return nil
	}
	return m.s.text(m.s.slots[m.s.fr.slots+int(f)].bits)
}

// Oneof is a oneof of a message.
type Oneof int // its place in the layout's oneofs

// OneofOf is the oneof of a descriptor.
func OneofOf(od protoreflect.OneofDescriptor) Oneof { return Oneof(od.Index()) }

// Case is a oneof's set case; 0 where none is.
func (m Message) Case(o Oneof) Field {
	oneof := m.s.l.oneofs[o]
	if oneof == 0 {
		return 0
	}
	return Field(m.s.seen[m.s.fr.seen+m.s.l.words+int(oneof)-1])
}

// AppendJSON appends the whole message. The error is an [*Error]; dst is then returned as it was.
func (m Message) AppendJSON(dst []byte) ([]byte, error) {
	out, err := m.s.whole(dst, m.s.p, m.s.l, m.s.fr, maxDepth-1)
	if err != nil {
		return dst, m.explain(err)
	}
	return out, nil
}

// AppendCase appends the value of a oneof's set case alone, or the whole message where none is set. The other fields
// are not written, but all of them must be well formed, and so must what is in an Any.
func (m Message) AppendCase(dst []byte, o Oneof) ([]byte, error) {
	set := int(m.Case(o))
	if set == 0 {
		return m.AppendJSON(dst)
	}
	err := m.checkBut(set)
	out := dst
	if err == nil {
		sl := m.s.slots[m.s.fr.slots+set]
		out, err = m.s.value(dst, &m.s.l.fields[set], sl.bits, sl.more, maxDepth-1)
	}
	if err != nil {
		return dst, m.explain(err)
	}
	return out, nil
}

// checkBut checks all fields but one.
func (m Message) checkBut(set int) *Error {
	s := m.s
	s.checking = true
	defer func() { s.checking = false }()
	for i := 1; i < len(m.s.l.fields); i++ {
		if i == set || !s.has(m.s.fr, i) {
			continue
		}
		f, sl := &m.s.l.fields[i], s.slots[m.s.fr.slots+i]
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
	if err := s.check(m.s.p, whole, maxDepth); err != nil {
		return err
	}
	s.checking, s.worst = true, nil
	s.slots, s.seen, s.runs, s.entries = s.slots[:0], s.seen[:0], s.runs[:0], s.entries[:0]
	out, err := s.message(s.discard[:0], m.s.p, whole, 0, maxDepth)
	s.checking, s.discard = false, out
	if s.worst != nil {
		return s.worst
	}
	if err != nil {
		return err
	}
	return found
}
