package view

// Direct is the view of a reader who asked for everything as the stream has it. It holds nothing and changes nothing: the
// reader is written the log's own bytes.
type Direct struct{ Stream }

// IsDirect reports whether Direct is the view that was asked for.
func (o Options) IsDirect() bool {
	return o.Representation == SSE && len(o.Events) == 0 && o.Fields == nil && o.ResponseField == nil && !o.Poll
}

// Beat appends what a quiet connection gets: a heartbeat, or that the backend still cannot be reached.
func (d Direct) Beat(dst []byte) []byte {
	if frame, outage := d.Waiting(); outage != 0 {
		return append(dst, frame...)
	}
	return sseForm{}.beat(dst)
}

// Leave appends what is said before the bridge ends the response by itself: where reason is not empty, that the connection
// ends and the stream does not.
func (d Direct) Leave(dst []byte, reason string) ([]byte, error) {
	dst, _ = sseForm{}.leave(dst, reason) // it ends every response: io.EOF
	return dst, nil
}
