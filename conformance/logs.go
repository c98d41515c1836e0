package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

// logTitle is the title of a step that logStep does.
func (s Step) logTitle() string {
	switch {
	case s.Restart:
		return "restart"
	case s.Log != nil:
		return "log"
	case s.Append != 0:
		return "append"
	case s.Interrupt != nil:
		return "interrupt"
	default:
		return "server " + s.Server
	}
}

// logStep does the steps that have to do with logs, and with what outlives a process.
func (r *runner) logStep(ctx context.Context, s Step) error {
	switch {
	case s.Restart:
		return r.restart()
	case s.Log != nil:
		return r.log(ctx, s.Log)
	case s.Append != 0:
		_, err := r.endpoint.Logs.AppendEvents(ctx, &scriptv1.AppendEventsRequest{Stream: r.run, Count: s.Append})
		return err
	case s.Interrupt != nil:
		return r.interrupt(ctx, s.Interrupt)
	case r.endpoint.Server == nil:
		return ErrUnsupported
	case s.Server == "up", s.Server == "down":
		return r.endpoint.Server(s.Server == "up")
	}
	return fmt.Errorf("server: %q is neither up nor down", s.Server)
}

func (r *runner) restart() (err error) {
	if r.endpoint.Restart == nil {
		return ErrUnsupported
	}
	r.endpoint.URL, err = r.endpoint.Restart()
	return err
}

func (r *runner) log(ctx context.Context, def map[string]any) error {
	def = maps.Clone(def)
	if def["stream"] == nil {
		def["stream"] = "${run}"
	}
	log := &scriptv1.Log{}
	if err := r.message(def, log); err != nil {
		return err
	}
	_, err := r.endpoint.Logs.DefineLog(ctx, &scriptv1.DefineLogRequest{Log: log})
	return err
}

// interrupt ends the calls. There must be one: a case would prove nothing else.
func (r *runner) interrupt(ctx context.Context, fail map[string]any) error {
	q := &scriptv1.InterruptCallsRequest{Stream: r.run}
	if len(fail) > 0 {
		q.Fail = &scriptv1.Fail{}
		if err := r.message(fail, q.Fail); err != nil {
			return err
		}
	}
	answer, err := r.endpoint.Logs.InterruptCalls(ctx, q)
	if err == nil && answer.GetCalls() == 0 {
		err = fmt.Errorf("no call reads the log")
	}
	return err
}

// message reads what a case says as protobuf JSON.
func (r *runner) message(value map[string]any, into proto.Message) error {
	filled, err := r.fillAny(value)
	if err != nil {
		return err
	}
	text, err := json.Marshal(filled)
	if err != nil {
		return err
	}
	return protojson.Unmarshal(text, into)
}
