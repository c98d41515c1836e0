package script

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

// Headers sends the response headers, with these keys and values in turn.
func Headers(keysAndValues ...string) *scriptv1.Step {
	values := map[string]string{}
	for i := 0; i+1 < len(keysAndValues); i += 2 {
		values[keysAndValues[i]] = keysAndValues[i+1]
	}
	return &scriptv1.Step{Step: &scriptv1.Step_Headers{Headers: &scriptv1.Headers{Values: values}}}
}

// Note sends one event of type `note`. An empty text stands for a short one with the event's number.
func Note(text string) *scriptv1.Step { return Event(scriptv1.Kind_KIND_NOTE, text, 0) }

// Event sends one event. The text is filled up to size bytes; with size 0, to PlayRequest.size.
func Event(kind scriptv1.Kind, text string, size uint32) *scriptv1.Step {
	e := &scriptv1.Event{Kind: kind, Text: text, Size: size}
	return &scriptv1.Step{Step: &scriptv1.Step_Event{Event: e}}
}

// Burst sends count events of type `note`, each with size bytes of text, and pauses after each. With count 0 it is
// PlayRequest.count that counts, and without that it never ends; with size 0 it is PlayRequest.size.
func Burst(count, size uint32, every time.Duration) *scriptv1.Step {
	b := &scriptv1.Burst{Event: &scriptv1.Event{Size: size}, Count: count, Every: durationpb.New(every)}
	return &scriptv1.Step{Step: &scriptv1.Step_Burst{Burst: b}}
}

// Wait does nothing for d.
func Wait(d time.Duration) *scriptv1.Step {
	return &scriptv1.Step{Step: &scriptv1.Step_Wait{Wait: durationpb.New(d)}}
}

// Gate does nothing until [Backend.Open] was called with this name.
func Gate(name string) *scriptv1.Step {
	return &scriptv1.Step{Step: &scriptv1.Step_Gate{Gate: name}}
}

// Fail ends the call with a status. Details that cannot be put into an Any are left out.
func Fail(code codes.Code, message string, details ...proto.Message) *scriptv1.Step {
	f := &scriptv1.Fail{Code: uint32(code), Message: message}
	for _, d := range details {
		if a, ok := d.(*anypb.Any); ok {
			f.Details = append(f.Details, a)
		} else if a, err := anypb.New(d); err == nil {
			f.Details = append(f.Details, a)
		}
	}
	return &scriptv1.Step{Step: &scriptv1.Step_Fail{Fail: f}}
}

// Panic panics in the handler.
func Panic(text string) *scriptv1.Step {
	return &scriptv1.Step{Step: &scriptv1.Step_Panic{Panic: text}}
}

// End ends the call with OK. A script that has no more steps ends in the same way.
func End() *scriptv1.Step {
	return &scriptv1.Step{Step: &scriptv1.Step_End{End: &scriptv1.End{}}}
}

// Drop cuts the connection under the call, so that the caller gets no trailers. Other calls on it go down as well.
func Drop() *scriptv1.Step {
	return &scriptv1.Step{Step: &scriptv1.Step_Drop{Drop: &scriptv1.Drop{}}}
}

// Raw sends a message with exactly these bytes.
func Raw(wire []byte) *scriptv1.Step {
	return &scriptv1.Step{Step: &scriptv1.Step_Raw{Raw: wire}}
}

// Any sends an event that holds a, whose type nobody needs to know.
func Any(a *anypb.Any) *scriptv1.Step {
	return &scriptv1.Step{Step: &scriptv1.Step_Any{Any: a}}
}
