package schema

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	grpcssev1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/v1"
)

// Share says which readers share one call.
type Share int

const (
	// ShareNone gives every new request a call of its own.
	ShareNone Share = iota
	// SharePrincipal shares a call between equal requests of one principal.
	SharePrincipal
	// SharePublic shares a call between equal requests of everybody.
	SharePublic
)

// String is the value's name in the option.
func (s Share) String() string {
	switch s {
	case SharePrincipal:
		return "PRINCIPAL"
	case SharePublic:
		return "PUBLIC"
	default:
		return "NONE"
	}
}

func shareOf(o grpcssev1.Share) Share {
	switch o {
	case grpcssev1.Share_PRINCIPAL:
		return SharePrincipal
	case grpcssev1.Share_PUBLIC:
		return SharePublic
	default:
		return ShareNone
	}
}

// Start is where a reader of a shared call begins that has no good cursor.
type Start int

const (
	// StartLive begins with the next event.
	StartLive Start = iota
	// StartEarliest begins with the oldest event that is kept. It also says where readers of calls of their own begin.
	StartEarliest
	// StartLatestPerKey begins with the newest event of every key.
	StartLatestPerKey
)

// String is the value's name in the option.
func (s Start) String() string {
	switch s {
	case StartEarliest:
		return "EARLIEST"
	case StartLatestPerKey:
		return "LATEST_PER_KEY"
	default:
		return "LIVE"
	}
}

func startOf(o grpcssev1.Start) Start {
	switch o {
	case grpcssev1.Start_EARLIEST:
		return StartEarliest
	case grpcssev1.Start_LATEST_PER_KEY:
		return StartLatestPerKey
	default:
		return StartLive
	}
}

// Resume is how the backend's own cursor is read from responses and put into requests. Event's leaf and Request's leaf
// are of the same kind: signed integers, unsigned integers, strings or bytes. An integer's request field is not narrower
// than the event's.
type Resume struct {
	Event, Request FieldPath
	// Inclusive says that the backend begins at the cursor, not behind it.
	Inclusive bool
}

// Bounds and defaults of the options, as stream.proto states them.
const (
	defaultMaxKeys = 10_000
	maxMaxKeys     = 1_000_000
	defaultDone    = "[DONE]"
	maxDone        = 1024 // bytes
)

// share fills in who shares a call and where its readers begin. principals: the config says how to tell them apart.
func (c *checker) share(s *Stream, o *grpcssev1.Stream, output protoreflect.MessageDescriptor, principals bool) {
	s.Share = shareOf(o.GetShare())
	if s.Share == SharePrincipal && !principals {
		c.fail("share", errors.New("PRINCIPAL needs principals: say in the config under principal which header or cookie tells them apart, or share with everybody by PUBLIC"))
	}
	s.Start = startOf(o.GetStart())
	if s.Share == ShareNone {
		if o.GetStart() != grpcssev1.Start_START_UNSPECIFIED {
			c.fail("start", fmt.Errorf("%s is for shared calls, and a call that is not shared begins at its first event: set share, or take start out", s.Start))
		}
		s.Start = StartEarliest
	}
	c.key(s, o, output)
}

// key fills in what StartLatestPerKey remembers.
func (c *checker) key(s *Stream, o *grpcssev1.Stream, output protoreflect.MessageDescriptor) {
	if o.KeyField == nil {
		c.withoutKey(o)
		return
	}
	if o.GetStart() != grpcssev1.Start_LATEST_PER_KEY {
		c.fail("key_field", errors.New("is only for start: LATEST_PER_KEY: set that, or take key_field out"))
	}
	var err error
	if s.Key, err = findKey(o.GetKeyField(), output); err != nil {
		c.fail("key_field", err)
	}
	if o.KeyDeleted != nil {
		if s.KeyDeleted, err = findKeyDeleted(o.GetKeyDeleted(), output); err != nil {
			c.fail("key_deleted", err)
		}
	}
	if o.MaxKeys != nil {
		s.MaxKeys = c.count("max_keys", uint64(o.GetMaxKeys()), 1, maxMaxKeys)
	}
}

// withoutKey refuses what needs a key_field.
func (c *checker) withoutKey(o *grpcssev1.Stream) {
	if o.GetStart() == grpcssev1.Start_LATEST_PER_KEY {
		c.fail("start", errors.New("LATEST_PER_KEY needs key_field: name the response's field that holds the key"))
	}
	if o.KeyDeleted != nil {
		c.fail("key_deleted", errors.New("is only for streams with key_field: set that, or take key_deleted out"))
	}
	if o.MaxKeys != nil {
		c.fail("max_keys", errors.New("is only for streams with key_field: set that, or take max_keys out"))
	}
}

// resume reads the backend's own cursor rule.
func (c *checker) resume(o *grpcssev1.Resume, input, output protoreflect.MessageDescriptor) *Resume {
	if o == nil {
		return nil
	}
	find := func(name, path, what string, message protoreflect.MessageDescriptor) FieldPath {
		fields, err := findCursor(what, message, path)
		if path == "" {
			err = errNoPath
		}
		if err != nil {
			c.fail("resume", fmt.Errorf("%s: %w", name, err))
			return nil
		}
		return fields
	}
	r := &Resume{Inclusive: o.GetInclusive()}
	r.Event = find("event_field", o.GetEventField(), "the response message", output)
	r.Request = find("request_field", o.GetRequestField(), "the request message", input)
	if r.Event == nil || r.Request == nil {
		return nil
	}
	if err := agree(r.Event, r.Request); err != nil {
		c.fail("resume", err)
	}
	return r
}

// warnOfCursorInPath tells of a request field that the path sets, although the bridge sets it when it opens the call
// again: whoever looks at the path then sees another cursor than the call's.
func (b *tableBuilder) warnOfCursorInPath(m *Method, where string) {
	if m.Stream.Resume == nil {
		return
	}
	field := m.Stream.Resume.Request.String()
	for _, binding := range m.Bindings {
		if slices.Contains(binding.Variables, field) {
			b.warn("%s: resume: request_field %q is in the path %s: every place to begin at is a stream of its own there; bind it by query or body",
				where, field, binding.Template)
			return
		}
	}
}

// done reads the data of the last plain frame.
func (c *checker) done(o *grpcssev1.Stream) string {
	if o.Done == nil {
		return defaultDone
	}
	switch done := o.GetDone(); {
	case len(done) > maxDone:
		c.fail("done", fmt.Errorf("is %d bytes long: at most %d", len(done), maxDone))
	case strings.ContainsAny(done, "\r\n"):
		c.fail("done", errors.New("holds a line end: it is one line"))
	}
	return o.GetDone()
}

// fingerprint tells the rules of methods apart.
func fingerprint(method protoreflect.FullName, o *grpcssev1.Stream) (sum [sha256.Size]byte, err error) {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(o)
	if err != nil {
		return sum, err
	}
	text := binary.AppendUvarint(nil, uint64(len(method)))
	text = append(text, method...)
	return sha256.Sum256(append(text, raw...)), nil
}
