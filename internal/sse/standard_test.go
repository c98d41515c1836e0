package sse_test

import "strings"

// standardStream is what the HTML standard makes of a whole stream (section 9.2.6, "Interpreting an event stream").
type standardStream struct {
	Events      []standardEvent
	LastEventID string
	Retry       string // the digits; "" for none
	Comments    int
}

type standardEvent struct{ ID, Type, Data string }

// interpret is a second parser, written line by line from the standard's text for whole streams, that shares neither
// code nor shape with the one under test.
func interpret(stream []byte) standardStream {
	var out standardStream
	// "Streams must be decoded using the UTF-8 decode algorithm", which strips one leading byte order mark.
	runes := utf8Decode(stream)
	if len(runes) > 0 && runes[0] == 0xFEFF {
		runes = runes[1:]
	}
	// "…three buffers … must be initialized to the empty string".
	var data, eventType, lastID string
	var line []rune
	for i := 0; i < len(runes); i++ {
		if runes[i] != '\r' && runes[i] != '\n' {
			line = append(line, runes[i])
			continue
		}
		if runes[i] == '\r' && i+1 < len(runes) && runes[i+1] == '\n' {
			i++
		}
		text := string(line)
		line = nil
		if text == "" { // "If the line is empty (a blank line): Dispatch the event".
			out.LastEventID = lastID
			if data == "" {
				eventType = ""
				continue
			}
			data = strings.TrimSuffix(data, "\n")
			e := standardEvent{ID: lastID, Type: "message", Data: data}
			if eventType != "" {
				e.Type = eventType
			}
			out.Events = append(out.Events, e)
			data, eventType = "", ""
			continue
		}
		if text[0] == ':' { // "Ignore the line."
			out.Comments++
			continue
		}
		field, value, _ := strings.Cut(text, ":")
		if value != "" && value[0] == ' ' {
			value = value[1:]
		}
		if field == "event" {
			eventType = value
		} else if field == "data" {
			data += value + "\n"
		} else if field == "id" && !strings.Contains(value, "\x00") {
			lastID = value
		} else if field == "retry" && value != "" && strings.IndexFunc(value, notDigit) < 0 {
			out.Retry = value
		}
	}
	return out // "Once the end of the file is reached, any pending data must be discarded."
}

func notDigit(r rune) bool { return r < '0' || r > '9' }

// utf8Decode is the Encoding standard's UTF-8 decoder (section 8.1.1), as the state machine that it is there.
func utf8Decode(in []byte) []rune {
	var out []rune
	codePoint, seen, needed := 0, 0, 0
	lower, upper := 0x80, 0xBF
	for i := 0; i < len(in); i++ {
		b := int(in[i])
		if needed == 0 {
			switch {
			case b <= 0x7F:
				out = append(out, rune(b))
			case b >= 0xC2 && b <= 0xDF:
				needed, codePoint = 1, b&0x1F
			case b >= 0xE0 && b <= 0xEF:
				if b == 0xE0 {
					lower = 0xA0
				}
				if b == 0xED {
					upper = 0x9F
				}
				needed, codePoint = 2, b&0xF
			case b >= 0xF0 && b <= 0xF4:
				if b == 0xF0 {
					lower = 0x90
				}
				if b == 0xF4 {
					upper = 0x8F
				}
				needed, codePoint = 3, b&0x7
			default:
				out = append(out, 0xFFFD)
			}
			continue
		}
		if b < lower || b > upper {
			codePoint, needed, seen, lower, upper = 0, 0, 0, 0x80, 0xBF
			out = append(out, 0xFFFD)
			i-- // "restore byte to ioQueue"
			continue
		}
		lower, upper = 0x80, 0xBF
		codePoint = codePoint<<6 | b&0x3F
		if seen++; seen == needed {
			out = append(out, rune(codePoint))
			codePoint, needed, seen = 0, 0, 0
		}
	}
	if needed != 0 {
		out = append(out, 0xFFFD)
	}
	return out
}
