package schema

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	grpcssev1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/v1"
)

// Stream is how one method is served: its (grpcsse.v1.stream) option and config rule with all defaults filled in.
type Stream struct {
	// Retention bounds what is kept for clients that come back.
	Retention Retention
	// Linger is how long a call goes on after its last reader has left. Default 30 s; 0 cancels at once. Meaningless
	// with UntilDone.
	Linger time.Duration
	// UntilDone keeps the call until the backend ends it. Default false.
	UntilDone bool
	// OnLost is what happens to a lost call. Unspecified leaves it to Method.Restarts.
	OnLost OnLost
	// Event is where an event's type comes from.
	Event EventType
	// CaseValue says that an event's data is the value of the set case of Event.Oneof. Default: the whole message.
	CaseValue bool
	// RetryFor is how long a broken call is tried again after its last new event. Default 5 min; 0 never tries again.
	RetryFor time.Duration
	// IdleTimeout is how long a call may send nothing before it counts as broken. Default 0: for ever.
	IdleTimeout time.Duration
	// MaxMessageBytes is the largest message received from the backend. Default 4 MiB. It holds for unary calls too.
	MaxMessageBytes int
	// Share says which readers share one call. Default ShareNone.
	Share Share
	// Start is where readers of a shared call begin. Default StartLive; StartEarliest where nothing is shared.
	Start Start
	// Key is the field by whose value StartLatestPerKey tells events apart; nil with other starts.
	Key FieldPath
	// KeyDeleted is the field that takes a key away where it is set; nil for none.
	KeyDeleted FieldPath
	// MaxKeys is how many keys are remembered. Default 10,000.
	MaxKeys int
	// Resume describes the backend's own cursor; nil where it has none.
	Resume *Resume
	// Plain says that events are framed without types for clients that do not choose.
	Plain bool
	// Done is the data of the last plain frame after a good end. Default "[DONE]"; empty for no such frame.
	Done string
	// Fingerprint is equal for equal rules (after merging, before defaults) and differs between different ones.
	Fingerprint [sha256.Size]byte
}

// Retention bounds what is kept of a stream, whichever is reached first.
type Retention struct {
	Age    time.Duration // default 10 min
	Events int           // default 10,000
	Bytes  int           // of finished frames; default 8 MiB
}

// OnLost is what happens to a call that was lost.
type OnLost int

const (
	// Unspecified restarts calls that can be repeated and ends others: see Method.Restarts.
	Unspecified OnLost = iota
	// Restart starts the call again.
	Restart
	// End ends the call; the backend never runs it twice.
	End
)

// String is the value's name in the option.
func (o OnLost) String() string {
	switch o {
	case Restart:
		return "RESTART"
	case End:
		return "END"
	default:
		return "ON_LOST_UNSPECIFIED"
	}
}

// Restarts says whether a lost call of m that came by the given HTTP verb is started again: as OnLost says, or else
// for GET, which browsers repeat by themselves, and for methods that can be repeated: those that are idempotent, are
// shared or have a backend cursor.
func (m *Method) Restarts(verb string) bool {
	switch m.Stream.OnLost {
	case Restart:
		return true
	case End:
		return false
	default:
		return m.Idempotent || m.Stream.Share != ShareNone || m.Stream.Resume != nil || verb == http.MethodGet
	}
}

// Bounds of the options, as stream.proto states them.
const (
	maxDuration     = 24 * time.Hour
	minRetentionAge = time.Second
	minRetention    = 1024 // bytes
	minIdleTimeout  = time.Second
	maxMessageBytes = 64 << 20
)

// defaultStream is what holds for a method without option and rule, but for its event types.
func defaultStream() Stream {
	return Stream{
		Retention:       Retention{Age: 10 * time.Minute, Events: 10_000, Bytes: 8 << 20},
		Linger:          30 * time.Second,
		RetryFor:        5 * time.Minute,
		MaxMessageBytes: 4 << 20,
		Start:           StartEarliest,
		MaxKeys:         defaultMaxKeys,
		Done:            defaultDone,
	}
}

// mergeStream lays a rule over an option: a field that the rule sets replaces the option's whole field. Either may be
// nil. linger and until_done exclude each other, so a rule that sets one takes the option's other away; so does a rule
// that takes sharing or LATEST_PER_KEY away with what only goes with it.
func mergeStream(option, rule *grpcssev1.Stream) *grpcssev1.Stream {
	merged := &grpcssev1.Stream{}
	if option != nil {
		merged = proto.CloneOf(option)
	}
	if rule == nil {
		return merged
	}
	if rule.Linger != nil && rule.UntilDone == nil {
		merged.UntilDone = nil
	}
	if rule.GetUntilDone() && rule.Linger == nil {
		merged.Linger = nil
	}
	if rule.Share != nil && shareOf(rule.GetShare()) == ShareNone {
		merged.Start, merged.KeyField, merged.KeyDeleted, merged.MaxKeys = nil, nil, nil, nil
	}
	if rule.Start != nil && rule.GetStart() != grpcssev1.Start_LATEST_PER_KEY {
		merged.KeyField, merged.KeyDeleted, merged.MaxKeys = nil, nil, nil
	}
	to := merged.ProtoReflect()
	proto.CloneOf(rule).ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		to.Set(fd, v)
		return true
	})
	return merged
}

// newStream checks the option of m and fills in the defaults. principals: the config says how to tell them apart.
func newStream(o *grpcssev1.Stream, m *Method, principals bool) (Stream, []string, []fieldError) {
	s := defaultStream()
	c := &checker{}
	c.share(&s, o, m.Output, principals)
	s.Resume = c.resume(o.GetResume(), m.Input, m.Output)
	s.Plain = o.GetFrames() == grpcssev1.Frames_PLAIN
	s.Done = c.done(o)
	c.times(&s, o)
	warnings := c.events(&s, o, m.Output)
	return s, warnings, c.errs
}

// times fills in how long and how much.
func (c *checker) times(s *Stream, o *grpcssev1.Stream) {
	s.Retention = c.retention(o.GetRetention(), s.Retention)
	s.Linger = c.duration("linger", o.GetLinger(), s.Linger, 0, maxDuration)
	s.UntilDone = o.GetUntilDone()
	if s.UntilDone && o.Linger != nil {
		c.fail("until_done", errors.New("cannot be combined with linger: take one of them out"))
	}
	s.RetryFor = c.duration("retry_for", o.GetRetryFor(), s.RetryFor, 0, maxDuration)
	s.IdleTimeout = c.duration("idle_timeout", o.GetIdleTimeout(), 0, minIdleTimeout, math.MaxInt64)
	if o.MaxMessageBytes != nil {
		s.MaxMessageBytes = c.count("max_message_bytes", uint64(o.GetMaxMessageBytes()), 1, maxMessageBytes)
	}
}

// events fills in what events look like, and what a lost call means for them.
func (c *checker) events(s *Stream, o *grpcssev1.Stream, output protoreflect.MessageDescriptor) (warnings []string) {
	switch o.GetOnLost() {
	case grpcssev1.OnLost_RESTART:
		s.OnLost = Restart
	case grpcssev1.OnLost_END:
		s.OnLost = End
	case grpcssev1.OnLost_ON_LOST_UNSPECIFIED:
		s.OnLost = Unspecified
	}
	event, warnings, err := newEventType(o.GetEvent(), output)
	s.Event = event
	if err != nil {
		c.fail("event", err)
	}
	s.CaseValue = o.GetData() == grpcssev1.Data_CASE_VALUE
	if s.CaseValue && s.Event.Oneof == nil && err == nil {
		c.fail("data", fmt.Errorf("CASE_VALUE needs an event type that comes from a oneof of %s: name one by event { oneof }, or take it out", output.FullName()))
	}
	return warnings
}

// fieldError is an error in one top-level field of a Stream.
type fieldError struct {
	field protoreflect.Name
	err   error
}

type checker struct{ errs []fieldError }

func (c *checker) fail(field protoreflect.Name, err error) {
	c.errs = append(c.errs, fieldError{field, err})
}

func (c *checker) retention(o *grpcssev1.Retention, r Retention) Retention {
	if o == nil {
		return r
	}
	age, err := duration(o.GetAge(), r.Age, minRetentionAge, maxDuration)
	if err != nil {
		c.fail("retention", fmt.Errorf("age: %w", err))
	}
	r.Age = age
	if o.Events != nil {
		n, err := count(uint64(o.GetEvents()), 1, math.MaxInt32)
		if err != nil {
			c.fail("retention", fmt.Errorf("events: %w", err))
		}
		r.Events = n
	}
	if o.Bytes != nil {
		n, err := count(o.GetBytes(), minRetention, math.MaxInt)
		if err != nil {
			c.fail("retention", fmt.Errorf("bytes: %w", err))
		}
		r.Bytes = n
	}
	return r
}

func (c *checker) duration(field protoreflect.Name, d *durationpb.Duration, otherwise, least, most time.Duration) time.Duration {
	v, err := duration(d, otherwise, least, most)
	if err != nil {
		c.fail(field, err)
	}
	return v
}

func (c *checker) count(field protoreflect.Name, n, least, most uint64) int {
	v, err := count(n, least, most)
	if err != nil {
		c.fail(field, err)
	}
	return v
}

func duration(d *durationpb.Duration, otherwise, least, most time.Duration) (time.Duration, error) {
	if d == nil {
		return otherwise, nil
	}
	if err := d.CheckValid(); err != nil {
		return otherwise, errors.New("not a valid google.protobuf.Duration")
	}
	v := d.AsDuration()
	switch {
	case v < least:
		return otherwise, fmt.Errorf("%s is too short: at least %s", v, least)
	case v > most:
		return otherwise, fmt.Errorf("%s is too long: at most %s", v, most)
	}
	return v, nil
}

func count(n, least, most uint64) (int, error) {
	switch {
	case n < least:
		return 0, fmt.Errorf("%d is too small: at least %d", n, least)
	case n > most:
		return 0, fmt.Errorf("%d is too large: at most %d", n, most)
	}
	return int(n), nil
}
