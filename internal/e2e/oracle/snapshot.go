package oracle

// snapshot is one that a reader is being sent: over several connections when it is cut.
type snapshot struct {
	at          place // of the newest record; at.until is where the snapshot ends
	keys        map[string]int
	connections map[int]bool
}

// snapshots follows the records of one transcript.
type snapshots struct {
	v     violations
	now   *snapshot // nil where none is being sent
	fresh bool      // a snapshot may begin: the cursor was not resumed, or there was a reset
	// closed is called with each snapshot that has come to its end, and the index of the bookmark.
	closed func(record int, s *snapshot)
}

// Snapshots checks this: a snapshot begins only where a reader begins, has each key once, and is closed by a bookmark at
// its end before anything else comes.
func Snapshots(t *Transcript) error {
	s := &snapshots{v: violations{promise: "snapshot"}}
	for i, r := range t.Records {
		s.add(i, r)
	}
	return s.v.err()
}

func (s *snapshots) add(i int, r Record) {
	if r.Event == typeReset || (r.Event == typeOpen && !r.resumed()) {
		s.now, s.fresh = nil, true
	}
	p, err := placeOf(r.ID)
	if r.ID == "" || err != nil {
		return
	}
	switch {
	case p.snapshot && r.isApplication():
		s.event(i, r, p)
	case s.now == nil || p.snapshot:
		s.fresh = s.fresh && !r.isApplication()
	case r.Event == typeBookmark && p.mark == s.now.at.mark && p.position == s.now.at.until:
		if s.closed != nil {
			s.closed(i, s.now)
		}
		s.now = nil
	case p.mark != s.now.at.mark && !s.now.connections[r.Connection]:
		s.now = nil // its log was lost: what it has not shown comes with the events behind what it has
	case r.isLogged() || r.Event == typeBookmark:
		s.v.add(i, "a %s at %d in a snapshot that ends at %d, before the bookmark that closes it", r.Event, p.position, s.now.at.until)
		s.now = nil
	}
}

// event takes one of a snapshot.
func (s *snapshots) event(i int, r Record, p place) {
	if s.now == nil || !s.now.at.sameSnapshot(p) {
		if !s.fresh {
			s.v.add(i, "a snapshot begins in the middle of the stream")
		}
		s.now = &snapshot{keys: map[string]int{}, connections: map[int]bool{}}
	}
	s.fresh = false
	s.now.at, s.now.connections[r.Connection] = p, true
	link, err := DecodeLink(r.Data)
	switch before, twice := s.now.keys[link.Key]; {
	case err != nil: // Chain says so
	case link.Key == "":
		s.v.add(i, "link %d has no key", link.N)
	case twice:
		s.v.add(i, "key %q came already as record %d", link.Key, before)
	}
	s.now.keys[link.Key] = i
}

// SnapshotsRight checks this: wherever a reader begins, it gets a snapshot, and behind that it knows what one knows who has
// read everything up to the snapshot's end. It is for streams that begin with the newest event of each key. full is the
// transcript of a reader who read everything, of the same generations. A snapshot that was cut may leave out a key that
// has had a newer event since.
func SnapshotsRight(t, full *Transcript) error {
	known := newFold()
	s := &snapshots{v: violations{promise: "snapshot"}}
	begun := false // the reader has had its snapshot
	compare := func(record int, at place, cut bool) {
		want, newer, covered := stateAt(full, at)
		if !covered {
			s.v.add(record, "there is nothing to compare the snapshot at %d with: the full transcript does not reach it", at.until)
			return
		}
		s.v.compare(record, known.state, want, func(key string) bool { return !cut || !newer[key] })
	}
	s.closed = func(record int, closed *snapshot) {
		begun = true
		compare(record, closed.at, len(closed.connections) > 1)
	}
	for i, r := range t.Records {
		s.add(i, r)
		if s.fresh {
			begun = false
		}
		if p, err := placeOf(r.ID); r.isApplication() && err == nil && !p.snapshot && !begun {
			begun = true
			compare(i, place{mark: p.mark, until: p.position - 1}, false) // no snapshot is right where there is nothing to show
		}
		known.add(r)
	}
	return s.v.err()
}

// stateAt is what the reader of t knows at the end of a snapshot of the same generation, and which keys have newer
// events behind it. covered is false where t does not reach it.
func stateAt(t *Transcript, at place) (state map[string]uint64, newer map[string]bool, covered bool) {
	f := newFold()
	newer = map[string]bool{}
	for _, r := range t.Records {
		p, err := placeOf(r.ID)
		if r.ID != "" && err == nil && p.mark == at.mark {
			covered = covered || p.position >= at.until
			if p.position > at.until {
				if link, err := DecodeLink(r.Data); r.isApplication() && err == nil {
					newer[link.Key] = true
				}
				continue
			}
		} else if covered {
			continue // of a later generation
		}
		f.add(r)
	}
	return f.state, newer, covered
}
