package conformance

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Matches says how got, which is JSON, differs from what is wanted; "" where it does not. A wanted object names only
// members that matter, and null for one that must not be there; a wanted list must have all items; a wanted string that
// begins with ~ must be contained, one that begins with ! must not be, and "*" stands for any value at all.
func Matches(want any, got string) string {
	var value any
	if err := json.Unmarshal([]byte(got), &value); err != nil {
		return fmt.Sprintf("%q is no JSON: %v", got, err)
	}
	if problem := matches(want, value, ""); problem != "" {
		return problem + ", in " + got
	}
	return ""
}

func matches(want, got any, at string) string {
	if want == "*" {
		return ""
	}
	switch want := want.(type) {
	case map[string]any:
		return matchesObject(want, got, at)
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return fmt.Sprintf("%s is not a list of %d", place(at), len(want))
		}
		for i, item := range want {
			if problem := matches(item, list[i], fmt.Sprintf("%s[%d]", at, i)); problem != "" {
				return problem
			}
		}
		return ""
	case string:
		text, ok := got.(string)
		part, contains := strings.CutPrefix(want, "~")
		without, lacks := strings.CutPrefix(want, "!")
		if ok && (text == want || contains && strings.Contains(text, part) || lacks && !strings.Contains(text, without)) {
			return ""
		}
	case int:
		if got == float64(want) {
			return ""
		}
	default:
		if reflect.DeepEqual(want, got) {
			return ""
		}
	}
	return fmt.Sprintf("%s is %#v, want %#v", place(at), got, want)
}

func matchesObject(want map[string]any, got any, at string) string {
	object, ok := got.(map[string]any)
	if !ok {
		return place(at) + " is no object"
	}
	for key, value := range want {
		have, there := object[key]
		switch {
		case value == nil && there:
			return fmt.Sprintf("%s is there: %#v", place(at+"."+key), have)
		case value == nil:
		case !there:
			return place(at+"."+key) + " is missing"
		default:
			if problem := matches(value, have, at+"."+key); problem != "" {
				return problem
			}
		}
	}
	return ""
}

func place(at string) string {
	if at == "" {
		return "the value"
	}
	return strings.TrimPrefix(at, ".")
}

// matchesText compares a header or another text: "~part" is contained.
func matchesText(want, got string) bool {
	if part, ok := strings.CutPrefix(want, "~"); ok {
		return strings.Contains(got, part)
	}
	return want == got
}

// checkID says how an id differs from what is wanted. before is the id of the frame before that had one:
//
//	any, none
//	same      the one before          same ID     that one
//	next      one higher, same mark   next ID     one higher than that one
//	end       one higher, an end      end ID      one higher than that one
//	new ID    of another mark and higher than that one
//	above ID  higher than that one
//	snapshot  higher, and of the same snapshot
//	closing   the end of the snapshot, and outside of it
func checkID(want, got, before string) string {
	kind, of, named := strings.Cut(want, " ")
	if !named {
		of = before
	}
	switch kind {
	case "", "any":
		return ""
	case "none":
		of = ""
		fallthrough
	case "same":
		if got != of {
			return fmt.Sprintf("the id is %q, want %q", got, of)
		}
		return ""
	}
	g, err := parseID(got)
	if err != nil {
		return err.Error()
	}
	o, err := parseID(of)
	if err != nil {
		return err.Error()
	}
	ok := false
	switch kind {
	case "next":
		ok = g.position == o.position+1 && g.mark == o.mark && !g.end
	case "end":
		ok = g.position == o.position+1 && g.end
	case "new":
		ok = g.position > o.position && g.mark != o.mark
	case "above":
		ok = g.position > o.position
	case "snapshot":
		ok = g.position > o.position && g.mark == o.mark && g.snapshot != 0 && g.snapshot == o.snapshot
	case "closing":
		ok = g.position == o.snapshot && g.mark == o.mark && g.snapshot == 0
	}
	if !ok {
		return fmt.Sprintf("the id is %q, want %q, where the one before is %q", got, want, before)
	}
	return ""
}

// check says how a frame differs from what is wanted. before is the id of the frame before that had one.
func (e Event) check(f Frame, before string) string {
	if e.Event == "comment" {
		if !f.IsHeartbeat() {
			return fmt.Sprintf("want a heartbeat, not %q", f.Raw)
		}
		return ""
	}
	if e.Event != "" && f.Event != e.Event {
		return fmt.Sprintf("want %s", e.Event)
	}
	if problem := checkID(e.ID, f.ID, before); problem != "" {
		return problem
	}
	if e.Text != nil && f.Data != *e.Text {
		return fmt.Sprintf("the data is not %s", *e.Text)
	}
	if e.Frame != nil && f.Raw != *e.Frame {
		return fmt.Sprintf("the frame is not %q", *e.Frame)
	}
	if e.Retry != "" && !inRange(e.Retry, f.Retry) {
		return "retry is not in " + e.Retry
	}
	if e.Data != nil {
		return Matches(e.Data, f.Data)
	}
	return ""
}

// inRange reports whether d is in "MIN-MAX" milliseconds, both included.
func inRange(span string, d time.Duration) bool {
	low, high, _ := strings.Cut(span, "-")
	least, err1 := strconv.ParseInt(low, 10, 64)
	most, err2 := strconv.ParseInt(high, 10, 64)
	return err1 == nil && err2 == nil && d.Milliseconds() >= least && d.Milliseconds() <= most
}

// checkHead says how headers differ from what is wanted.
func checkHead(want map[string]*string, got map[string][]string) string {
	for name, value := range want {
		have := strings.Join(got[name], ", ")
		switch _, there := got[name]; {
		case value == nil && there:
			return fmt.Sprintf("there is a header %s: %s", name, have)
		case value == nil:
		case !there:
			return "there is no header " + name
		case !matchesText(*value, have):
			return fmt.Sprintf("the header %s is %q, want %q", name, have, *value)
		}
	}
	return ""
}

// lastID is the id that a client would present after these frames: that of the last frame that has one.
func lastID(presented string, frames []Frame) string {
	for _, f := range slices.Backward(frames) {
		if f.ID != "" {
			return f.ID
		}
	}
	return presented
}
