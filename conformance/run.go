package conformance

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
)

// patience is how long anything that must come may take.
const patience = 2 * time.Minute

// Endpoint is what a case is run against.
type Endpoint struct {
	// URL is its base: http://HOST:PORT, or https://HOST:PORT.
	URL string
	// Path is how it is reached. Default: HTTP/1.1, over TLS where URL says so.
	Path Path
	// Roots are the certificates that an https endpoint is known by. Default: the system's.
	Roots *x509.CertPool
	// Backend tells the backend what to do and asks what happened.
	Backend scriptv1.ControlServiceClient
	// Logs does the same for what the backend's logs are like.
	Logs scriptv1.LogServiceClient
	// Drain tells the endpoint to end, as SIGTERM does, and returns at once. nil where that cannot be.
	Drain func()
	// Restart ends the endpoint at once and starts another one in its place, which knows nothing of what was. It returns
	// the new one's URL. nil where that cannot be.
	Restart func() (url string, err error)
	// Server stops the backend's server, or starts it again. nil where that cannot be.
	Server func(up bool) error
}

// ErrUnsupported: the endpoint cannot do what the case needs.
var ErrUnsupported = errors.New("the endpoint cannot be told to do this")

// Run plays a case. The error says which step failed, how, and what had been received by then.
func Run(ctx context.Context, c Case, e Endpoint) error {
	r := &runner{
		endpoint: e, run: strings.ToLower(rand.Text()[:10]), responses: map[string]*response{}, client: newClient(e.Roots),
	}
	defer func() {
		for _, open := range r.responses {
			open.close()
		}
		r.client.close()
	}()
	if c.Script != nil {
		if err := r.define(ctx, c.Script); err != nil {
			return fmt.Errorf("the script: %w", err)
		}
	}
	for i, s := range c.Steps {
		if s.Name == "" {
			s.Name = strconv.Itoa(i)
		}
		if err := r.step(ctx, s); err != nil {
			return fmt.Errorf("step %d (%s): %w%s", i, s.title(), err, r.transcript())
		}
	}
	return nil
}

func (s Step) title() string {
	switch {
	case s.Request != "":
		return s.Request
	case s.Read != "":
		return "read " + s.Read
	case s.Open != "":
		return "open " + s.Open
	case s.Define != nil:
		return "define"
	case s.Backend != nil:
		return "backend"
	case s.Drain:
		return "drain"
	default:
		return s.logTitle()
	}
}

// runner is one run of one case.
type runner struct {
	endpoint  Endpoint
	run       string // unique: names the script, the calls and the gates
	responses map[string]*response
	order     []string
	client    *client
}

func (r *runner) step(ctx context.Context, s Step) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*patience, errTooLate)
	defer cancel()
	switch {
	case s.Request != "":
		return r.request(context.WithoutCancel(ctx), s)
	case s.Read != "":
		return r.expect(r.responses[s.Read], s.Expect)
	case s.Open != "":
		_, err := r.endpoint.Backend.OpenGate(ctx, &scriptv1.OpenGateRequest{Name: r.run + s.Open})
		return err
	case s.Define != nil:
		return r.define(ctx, s.Define)
	case s.Backend != nil:
		return r.backend(ctx, *s.Backend)
	case s.Drain && r.endpoint.Drain != nil:
		r.endpoint.Drain()
		return nil
	case s.Drain:
		return ErrUnsupported
	default:
		return r.logStep(ctx, s)
	}
}

// define gives the backend the script. Its gates are those of this run alone.
func (r *runner) define(ctx context.Context, steps []any) error {
	script := &scriptv1.Script{}
	text, err := json.Marshal(map[string]any{"steps": steps})
	if err != nil {
		return err
	}
	if err := protojson.Unmarshal(text, script); err != nil {
		return err
	}
	for _, s := range script.GetSteps() {
		if gate, ok := s.GetStep().(*scriptv1.Step_Gate); ok {
			gate.Gate = r.run + gate.Gate
		}
	}
	_, err = r.endpoint.Backend.DefineScript(ctx, &scriptv1.DefineScriptRequest{Name: r.run, Script: script})
	return err
}

func (r *runner) request(ctx context.Context, s Step) error {
	line, err := r.fill(s.Request)
	if err != nil {
		return err
	}
	method, target, ok := strings.Cut(line, " ")
	if !ok {
		return fmt.Errorf("%q is not METHOD TARGET", line)
	}
	headers := map[string]string{}
	for name, value := range s.Headers {
		if headers[http.CanonicalHeaderKey(name)], err = r.fill(value); err != nil {
			return err
		}
	}
	var body *string
	if s.Body != nil {
		text, err := r.fill(*s.Body)
		if err != nil {
			return err
		}
		body = &text
	}
	begun := time.Now()
	response, err := r.client.ask(ctx, r.endpoint.URL, question{
		method: method, target: target, headers: headers, body: body, http: cmp.Or(s.HTTP, r.endpoint.Path.http()), plain: s.Plain,
	})
	if err != nil {
		return err
	}
	took := time.Since(begun)
	r.responses[s.Name] = response
	r.order = append(r.order, s.Name)
	within := s.Within
	if within == 0 {
		within = patience
	}
	if took > within || took < s.After {
		return fmt.Errorf("the head took %v", took)
	}
	return r.answer(response, s.Expect)
}

// answer checks status, headers and what comes then.
func (r *runner) answer(response *response, e Expect) error {
	want := e.Status
	if want == 0 {
		want = http.StatusOK
	}
	if response.status != want {
		return fmt.Errorf("status %d, want %d; %s", response.status, want, response.body)
	}
	head := map[string]*string{}
	for name, value := range e.Head {
		if value != nil {
			text, err := r.fill(*value)
			if err != nil {
				return err
			}
			value = &text
		}
		head[http.CanonicalHeaderKey(name)] = value
	}
	if response.http2 && head["Transfer-Encoding"] != nil {
		head["Transfer-Encoding"] = nil // HTTP/2 has frames of its own, and must not have the header
	}
	if problem := checkHead(head, response.head); problem != "" {
		return errors.New(problem)
	}
	return r.expect(response, e)
}

// expect reads what must come.
func (r *runner) expect(response *response, e Expect) error {
	if response == nil {
		return errors.New("there is no such response")
	}
	if !response.isStream() {
		return r.expectBody(response, e)
	}
	if e.Text != nil || e.JSON != nil {
		return errors.New("this is a stream")
	}
	late := time.After(patience)
	for _, want := range e.Events {
		if err := r.fillEvent(&want); err != nil {
			return err
		}
		for range max(want.Times, 1) {
			if err := r.one(response, want, late); err != nil {
				return fmt.Errorf("waiting for %s: %w", want.Event, err)
			}
		}
	}
	return then(response, e.Then)
}

func (r *runner) expectBody(response *response, e Expect) error {
	if len(e.Events) > 0 {
		return fmt.Errorf("this is no stream: %s", response.body)
	}
	switch wantCut := e.Then == "broken"; {
	case wantCut && response.done == nil:
		return fmt.Errorf("the body ended well, where it should have been cut: %q", response.body)
	case !wantCut && response.done != nil:
		return fmt.Errorf("the body %q was cut: %w", response.body, response.done)
	}
	if e.Text != nil && string(response.body) != *e.Text {
		return fmt.Errorf("the body is %q, want %q", response.body, *e.Text)
	}
	if e.JSON != nil {
		want, err := r.fillAny(e.JSON)
		if err != nil {
			return err
		}
		if problem := Matches(want, string(response.body)); problem != "" {
			return errors.New(problem)
		}
	}
	return nil
}

// one reads the next frame and checks it. Heartbeats are skipped, unless one is wanted.
func (r *runner) one(response *response, want Event, late <-chan time.Time) error {
	before := lastID("", response.frames)
	for {
		f, err := response.next(late)
		if err != nil {
			return err
		}
		if f.IsHeartbeat() && want.Event != "comment" {
			continue
		}
		problem := want.check(f, before)
		if problem == "" {
			return nil
		}
		if !slices.Contains(strings.Fields(want.Past), f.Event) {
			return fmt.Errorf("%q: %s", f.Raw, problem)
		}
		before = lastID("", response.frames)
	}
}

// then sees how the stream goes on.
func then(response *response, how string) error {
	kind, value, _ := strings.Cut(how, " ")
	switch kind {
	case "", "keep", "stall":
		return nil
	case "close":
		response.close()
		return nil
	case "end", "broken":
		limit := patience
		if value != "" {
			var err error
			if limit, err = time.ParseDuration(value); err != nil {
				return err
			}
		}
		f, err := skipHeartbeats(response, time.After(limit))
		switch {
		case err == nil:
			return fmt.Errorf("%q, where the response should have ended", f.Raw)
		case errors.Is(err, errTooLate), (kind == "end") != errors.Is(err, io.EOF):
			return fmt.Errorf("want a response that goes on with %q: %w", how, err)
		}
		return nil
	case "quiet":
		d, err := time.ParseDuration(value)
		if err != nil {
			return err
		}
		f, err := skipHeartbeats(response, time.After(d))
		switch {
		case err == nil:
			return fmt.Errorf("%q, where nothing should have come", f.Raw)
		case !errors.Is(err, errTooLate):
			return fmt.Errorf("the response ended, where it should have been open: %w", err)
		}
		return nil
	case "cut":
		n, err := strconv.Atoi(value)
		if err != nil {
			return err
		}
		defer response.reset()
		return response.take(n, time.After(patience))
	}
	return fmt.Errorf("then: %q is not known", how)
}

func skipHeartbeats(response *response, late <-chan time.Time) (Frame, error) {
	for {
		f, err := response.next(late)
		if err != nil || !f.IsHeartbeat() {
			return f, err
		}
	}
}

// transcript is what was received, for people.
func (r *runner) transcript() string {
	var b strings.Builder
	for _, name := range r.order {
		response := r.responses[name]
		fmt.Fprintf(&b, "\n-- response %s: status %d\n", name, response.status)
		for _, f := range response.frames {
			fmt.Fprintf(&b, "%s\n\n", f.Raw)
		}
		fmt.Fprintf(&b, "%s%s", response.body, response.pending)
	}
	return b.String()
}
