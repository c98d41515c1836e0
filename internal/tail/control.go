package tail

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/sse"
)

// The bridge's own events.
const (
	typePrefix      = "stream."
	typeOpen        = "stream.open"
	typeReset       = "stream.reset"
	typeBookmark    = "stream.bookmark"
	typeWaiting     = "stream.waiting"
	typeUndecodable = "stream.undecodable"
	typeBusy        = "stream.busy"
	typeEnd         = "stream.end"
)

// control is the data of any of the bridge's own events. Members that a type does not have stay zero.
type control struct {
	Resumed   bool            `json:"resumed"`
	Reason    string          `json:"reason"`
	Missed    json.Number     `json:"missed"`
	Code      json.RawMessage `json:"code"` // a number in stream.end, a name in stream.waiting
	Status    string          `json:"status"`
	Message   string          `json:"message"`
	Attempt   int             `json:"attempt"`
	RetryInMS float64         `json:"retryInMs"`
	Type      string          `json:"type"`
	Size      json.Number     `json:"size"`

	valid bool
}

// parseControl reads data; what is not of that shape has no members. WebKit needs the last line only (a cut can leave
// others in front); this parser does not, but other servers' events may have several.
func parseControl(data string) control {
	var c control
	if err := json.Unmarshal([]byte(data), &c); err != nil {
		return control{}
	}
	c.valid = true
	return c
}

func (c control) reason() string { return orDefault(clean(c.Reason), "no reason given") }

// code is the code as it stands, without quotes.
func (c control) code() string { return clean(strings.Trim(string(c.Code), `"`)) }

// endOf is what a stream.end with this data means: nil for code OK, else a finalError.
func endOf(data string) error {
	c := parseControl(data)
	if c.code() == "0" {
		return nil
	}
	if c.code() == "" {
		return final(ExitStatus, "the stream ended with no code that tail knows")
	}
	return final(ExitStatus, "the stream ended: %s", c.status())
}

// status is the gRPC status in words.
func (c control) status() string {
	name := orDefault(clean(c.Status), "code "+c.code())
	if c.Message == "" {
		return name
	}
	return name + ": " + clean(c.Message)
}

// describe says a stream.* event in words; "" for one that is not known, or not of the shape it should have.
func describe(e sse.Event) string {
	c := parseControl(e.Data)
	if !c.valid {
		return ""
	}
	switch e.Type {
	case typeOpen:
		return c.describeOpen()
	case typeReset:
		text := "reset: " + c.reason()
		if c.Missed != "" {
			text += ", " + c.Missed.String() + " missed"
		}
		return text + "; what follows does not continue what came before"
	case typeBookmark:
		return "bookmark"
	case typeWaiting:
		text := "waiting for the backend"
		if code := c.code(); code != "" {
			text += ": " + code
		}
		if c.Attempt > 0 {
			text += fmt.Sprintf(", attempt %d", c.Attempt)
		}
		if c.RetryInMS > 0 {
			text += ", next try in " + round(time.Duration(c.RetryInMS*float64(time.Millisecond)))
		}
		return text
	case typeUndecodable:
		return fmt.Sprintf("undecodable message: %s (%s, %s bytes)", c.reason(), clean(c.Type), orDefault(c.Size.String(), "?"))
	case typeBusy:
		return "busy: " + c.reason() + "; the connection ends, the stream does not"
	case typeEnd:
		if c.code() == "" {
			return ""
		}
		if c.code() == "0" {
			return "end: OK"
		}
		return "end: " + c.status()
	default:
		return ""
	}
}

func (c control) describeOpen() string {
	switch {
	case c.Resumed:
		return "open, resumed"
	case c.Reason != "":
		return "open, not resumed: " + clean(c.Reason)
	default:
		return "open"
	}
}
