package tail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// printer writes events to one writer and notes about the connection to another, each in one call.
type printer struct {
	out, err io.Writer
	json     bool
	color    bool
}

func newPrinter(o Options) *printer {
	return &printer{out: o.Stdout, err: o.Stderr, json: o.JSON, color: o.Color}
}

// The colours, as SGR parameters.
const (
	dim    = "2"
	cyan   = "36"
	yellow = "33"
	red    = "31"
	green  = "32"
)

func (p *printer) paint(sgr, text string) string {
	if !p.color || text == "" {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

// note prints what happens to the connection. An error stream that cannot be written to has nowhere to be told of.
func (p *printer) note(format string, a ...any) {
	_, _ = fmt.Fprintln(p.err, p.paint(dim, fmt.Sprintf(format, a...)))
}

// event prints one event.
func (p *printer) event(e sse.Event) error {
	line, err := p.line(e)
	if err != nil {
		return err
	}
	_, err = p.out.Write(line)
	return err
}

func (p *printer) line(e sse.Event) ([]byte, error) {
	if p.json {
		return jsonLine(e)
	}
	if strings.HasPrefix(e.Type, typePrefix) {
		if words := describe(e); words != "" {
			return []byte(p.paint(controlColor(e), "-- "+words+idNote(e)) + "\n"), nil
		}
	}
	fields := make([]string, 0, 3)
	if e.HasID && e.ID != "" {
		fields = append(fields, p.paint(dim, clean(e.ID)))
	}
	fields = append(fields, p.paint(cyan, clean(e.Type)))
	if e.Data != "" {
		fields = append(fields, indent(readable(e.Data)))
	}
	return []byte(strings.Join(fields, "  ") + "\n"), nil
}

// idNote is the id behind a line in words, since the id is what one may want to go on from.
func idNote(e sse.Event) string {
	if !e.HasID || e.ID == "" {
		return ""
	}
	return "  [" + clean(e.ID) + "]"
}

func controlColor(e sse.Event) string {
	switch e.Type {
	case typeReset, typeUndecodable:
		return yellow
	case typeEnd:
		if endOf(e.Data) != nil {
			return red
		}
		return green
	default:
		return dim
	}
}

// jsonLine is {"id","event","data"}: id only where the event has one of its own, data as it is where it is JSON, else
// as a string.
func jsonLine(e sse.Event) ([]byte, error) {
	line := struct {
		ID    *string         `json:"id,omitempty"`
		Event string          `json:"event"`
		Data  json.RawMessage `json:"data"`
	}{Event: e.Type}
	if e.HasID {
		line.ID = &e.ID
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if json.Valid([]byte(e.Data)) {
		line.Data = json.RawMessage(e.Data)
	} else if err := encoder.Encode(e.Data); err != nil {
		return nil, err
	} else {
		line.Data = bytes.Clone(out.Bytes())
		out.Reset()
	}
	err := encoder.Encode(line)
	return out.Bytes(), err
}
