package render

import (
	"bytes"
	"maps"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Types makes the programs of one schema's messages, each once and not before it is needed. It is safe for concurrent
// use.
type Types struct {
	resolver *dynamicpb.Types

	mu       sync.Mutex
	programs map[protoreflect.MessageDescriptor]*Program

	// named are the programs that an Any has asked for, by the message's full name. The map is never changed, only
	// replaced; only names that the schema has get into it, so that it has a bound.
	named atomic.Pointer[map[string]*Program]
}

// NewTypes makes a Types that finds what is in an Any, and extensions, in resolver.
func NewTypes(resolver *dynamicpb.Types) *Types {
	t := &Types{resolver: resolver, programs: make(map[protoreflect.MessageDescriptor]*Program)}
	t.named.Store(&map[string]*Program{})
	return t
}

// Program returns the program of a message.
func (t *Types) Program(md protoreflect.MessageDescriptor) *Program {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.programs[md]
	if p == nil {
		p = &Program{types: t, message: md}
		t.programs[md] = p
	}
	return p
}

// byURL finds the program for what is in an Any, nil where the schema does not have the type.
func (t *Types) byURL(url []byte) *Program {
	name := url[bytes.LastIndexByte(url, '/')+1:]
	if p := (*t.named.Load())[string(name)]; p != nil {
		return p
	}
	mt, err := t.resolver.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		return nil
	}
	p := t.Program(mt.Descriptor())
	t.mu.Lock()
	defer t.mu.Unlock()
	next := maps.Clone(*t.named.Load())
	next[string(name)] = p
	t.named.Store(&next)
	return p
}

// Program renders the messages of one type. It is safe for concurrent use.
type Program struct {
	types   *Types
	message protoreflect.MessageDescriptor

	crooked atomic.Bool // one has come whose fields were not in order: see straight

	// table is nil until the first message is read, so that types may be recursive, and costs nothing for those that
	// never come. A layout never changes; an extension that is met for the first time makes a new one.
	table      atomic.Pointer[layout]
	mu         sync.Mutex                             // of making a layout
	extensions []protoreflect.ExtensionTypeDescriptor // met so far
}

// layout returns the table of the program's fields.
func (p *Program) layout() *layout {
	if l := p.table.Load(); l != nil {
		return l
	}
	return p.compile()
}

func (p *Program) compile() *layout {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.table.Load(); l != nil {
		return l
	}
	l := newLayout(p.types, p.message, p.extensions)
	p.table.Store(l)
	return l
}

// grow makes a layout with the extension of a number, and reports false where the schema has none, or the layout had it
// already: then the number is unknown.
func (p *Program) grow(old *layout, number protoreflect.FieldNumber) bool {
	if !p.message.ExtensionRanges().Has(number) {
		return false
	}
	xt, err := p.types.resolver.FindExtensionByNumber(p.message.FullName(), number)
	if err != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.table.Load() != old {
		return true // another goroutine was faster; whether it was this extension, the next try shows
	}
	p.extensions = append(p.extensions, xt.TypeDescriptor())
	p.table.Store(newLayout(p.types, p.message, p.extensions))
	return true
}
