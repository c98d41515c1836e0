package oracle_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/e2e/oracle"
)

// keys are what the links from 1 on are about; a minus takes the key away.
var keys = []string{"a", "b", "a", "c", "-b", "d", "a", "c", "a", "-e", "c", "a"}

// keyed is link n of a stream with keys.
func keyed(n int) string {
	l := link(n)
	m := map[string]any{
		"stream": l.Stream, "n": strconv.FormatUint(l.N, 10), "prev": l.Prev, "hash": l.Hash, "payload": l.Payload,
		"key": strings.TrimPrefix(keys[n-1], "-"),
	}
	if keys[n-1][0] == '-' {
		m["deleted"] = true
	}
	data, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func live(connection, position int, mark string, n int) oracle.Record {
	return oracle.Record{Connection: connection, ID: id(position, mark), Event: "odd", Data: keyed(n)}
}

func snap(connection, position int, mark string, until, n int) oracle.Record {
	return live(connection, position, fmt.Sprintf("%s~s%d", mark, until), n)
}

func bookmark(connection, position int, mark string) oracle.Record {
	return oracle.Record{Connection: connection, ID: id(position, mark), Event: "stream.bookmark", Data: "{}"}
}

// everything is the transcript of one who read a shared stream from its first event on: eight links of one generation,
// and four of the next.
func everything() *oracle.Transcript {
	t := &oracle.Transcript{
		Records:     []oracle.Record{open(0, id(100, runA), false)},
		Connections: []oracle.Connection{{Status: 200, Err: errors.New("cut")}, {Status: 200, Presented: id(108, runA)}},
	}
	for n := 1; n <= 8; n++ {
		t.Records = append(t.Records, live(0, 100+n, runA, n))
	}
	t.Records = append(t.Records, open(1, id(108, runA), false), reset(1, 200, runB, "unknown_cursor"))
	for n := 9; n <= 12; n++ {
		t.Records = append(t.Records, live(1, 192+n, runB, n))
	}
	return t
}

// joined is the transcript of one who came when six links were there, was cut in the snapshot, and came back to another
// generation.
//
//	0 open 102~s106   1 a at 103   2 c at 104   cut
//	3 open 104~s106   4 d at 106   5 bookmark 106   6 link 7   7 link 8   cut
//	8 open 108, not resumed   9 reset 200~s203   10 a at 201   11 c at 203   12 bookmark 203   13 link 12
func joined() *oracle.Transcript {
	return &oracle.Transcript{
		Records: []oracle.Record{
			open(0, id(102, runA+"~s106"), false), snap(0, 103, runA, 106, 3), snap(0, 104, runA, 106, 4),
			open(1, id(104, runA+"~s106"), true), snap(1, 106, runA, 106, 6), bookmark(1, 106, runA),
			live(1, 107, runA, 7), live(1, 108, runA, 8),
			open(2, id(108, runA), false), reset(2, 200, runB+"~s203", "unknown_cursor"),
			snap(2, 201, runB, 203, 9), snap(2, 203, runB, 203, 11), bookmark(2, 203, runB), live(2, 204, runB, 12),
		},
		Connections: []oracle.Connection{
			{Status: 200, Err: errors.New("cut")},
			{Status: 200, Err: errors.New("cut"), Presented: id(104, runA+"~s106")},
			{Status: 200, Presented: id(108, runA)},
		},
	}
}

// latest is what who read the stream knows at its end.
var latest = map[string]uint64{"a": 12, "c": 11}

// broken are the promises that t breaks.
func broken(t *oracle.Transcript) []string {
	return promises(errors.Join(
		oracle.Check(t, "s", false), oracle.SnapshotsRight(t, everything()), oracle.Latest(t, latest),
		oracle.Identical(everything(), t), oracle.Apart(everything(), t),
	))
}

func TestGoodSharedStream(t *testing.T) {
	t.Parallel()
	for name, transcript := range map[string]*oracle.Transcript{"from the first event": everything(), "by snapshots": joined()} {
		if got := broken(transcript); len(got) > 0 {
			t.Errorf("%s: broken promises %v", name, got)
		}
	}
	if diff := cmp.Diff(map[string]int{"unknown_cursor": 1}, oracle.Resets(joined())); diff != "" {
		t.Errorf("resets (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(latest, oracle.State(joined())); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

// The oracle reads what the scriptable backend sends, and shares no code with it.
func TestReadsBroadcastEvents(t *testing.T) {
	t.Parallel()
	e := &scriptv1.BroadcastEvent{
		Stream: "s", N: 1 << 60, Prev: script.Genesis("x"), Payload: "text", Sequence: 1 << 60, Token: "t", Key: "key3", Deleted: true, Kind: "even",
	}
	e.Hash = script.Hash(e.GetPrev(), e.GetStream(), e.GetN(), e.GetPayload())
	data, err := protojson.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	got, err := oracle.DecodeLink(string(data))
	want := oracle.Link{Stream: "s", N: 1 << 60, Prev: e.GetPrev(), Hash: e.GetHash(), Payload: "text", Key: "key3", Deleted: true}
	if diff := cmp.Diff(want, got); diff != "" || err != nil || got.Sum() != e.GetHash() {
		t.Errorf("%v, sum %s (-want +got):\n%s", err, got.Sum(), diff)
	}
}

func TestPlantedFaultsInSnapshots(t *testing.T) {
	t.Parallel()
	type transcript = *oracle.Transcript
	lose := func(i int) func(transcript) {
		return func(t transcript) { t.Records = slices.Delete(t.Records, i, i+1) }
	}
	for _, test := range []struct {
		name  string
		plant func(transcript)
		want  []string
	}{
		{"a key missing", lose(11), []string{"latest", "snapshot"}},
		{"a key missing that comes again", lose(10), []string{"snapshot"}},
		{"a key missing in a snapshot that was cut", lose(4), []string{"snapshot"}},
		{"no snapshot", func(t transcript) { t.Records = slices.Delete(t.Records, 10, 13) }, []string{"latest", "snapshot"}},
		{"an older event of a key that has a newer one, in a snapshot that was cut", func(t transcript) {
			t.Records[0], t.Records[1] = open(0, id(100, runA+"~s106"), false), snap(0, 101, runA, 106, 1)
		}, nil}, // who is sent the key's state twice cannot tell it from a newer one
		{"an older event of a key, not cut", func(t transcript) { t.Records[11] = snap(2, 202, runB, 203, 10) }, []string{"latest", "snapshot"}},
		{"a key twice", func(t transcript) {
			t.Records[0] = open(0, id(100, runA+"~s106"), false)
			t.Records = slices.Insert(t.Records, 1, snap(0, 101, runA, 106, 1))
		}, []string{"snapshot"}},
		{"an event in the snapshot and live", func(t transcript) {
			t.Records = slices.Insert(t.Records, 6, live(1, 106, runA, 6))
		}, []string{"chain", "contiguous", "rising", "unique"}},
		{"an event between the snapshot and live lost", lose(6), []string{"contiguous"}},
		{"an event after the snapshot's end in it", func(t transcript) {
			t.Records[4] = snap(1, 107, runA, 106, 7)
		}, []string{"chain", "snapshot", "well-formed"}},
		{"no bookmark", lose(5), []string{"snapshot"}},
		{"a bookmark elsewhere", func(t transcript) { t.Records[5] = bookmark(1, 105, runA) }, []string{"contiguous", "rising", "snapshot"}},
		{"a snapshot out of order", func(t transcript) { t.Records[1], t.Records[2] = t.Records[2], t.Records[1] }, []string{"chain", "rising"}},
		{"a snapshot begun again after a cut", func(t transcript) {
			t.Records = slices.Insert(t.Records, 4, snap(1, 103, runA, 106, 3))
		}, []string{"chain", "rising", "snapshot", "unique"}},
		{"a snapshot in the middle", func(t transcript) {
			t.Records = slices.Insert(t.Records, 7, snap(1, 106, runA, 107, 6), bookmark(1, 107, runA))
		}, []string{"chain", "snapshot", "unique"}},
		{"a snapshot of the past", func(t transcript) {
			t.Records[9] = reset(2, 100, runA+"~s105", "expired")
			t.Records = append(t.Records[:10], snap(2, 103, runA, 105, 3), bookmark(2, 105, runA))
		}, []string{"latest", "rising", "snapshot"}},
		{"another event than others have", func(t transcript) { t.Records[2].Data = keyed(6) }, []string{"chain", "identical", "snapshot"}},
		{"a reset that was not said", lose(9), []string{"announced"}},
		{"a reset after the fact", func(t transcript) { t.Records[9], t.Records[10] = t.Records[10], t.Records[9] }, []string{"announced", "rising", "snapshot"}},
		{"a bad ~s", func(t transcript) { t.Records[3].ID = id(104, runA+"~s") }, []string{"well-formed", "opened"}},
		{"a bad ~c", func(t transcript) { t.Records[6].ID = id(107, runA+"~cabcdeA") }, []string{"well-formed", "contiguous"}},
		{"a ~x", func(t transcript) { t.Records[6].ID = id(107, runA+"~x1") }, []string{"well-formed", "contiguous"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			transcript := joined()
			test.plant(transcript)
			got := broken(transcript)
			slices.Sort(test.want)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("broken promises (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlantedFaultsInSharedStreams(t *testing.T) {
	t.Parallel()
	rising := func(t *oracle.Transcript) error { return oracle.Check(t, "s", false) }
	whole := func(t *oracle.Transcript) error { return oracle.Whole(t, 9, 12) }
	second := func(t *oracle.Transcript) { t.Records = slices.Delete(t.Records, 1, 11) } // nothing but links 9 to 12
	for _, test := range []struct {
		name  string
		check func(*oracle.Transcript) error
		plant func(*oracle.Transcript)
		want  []string
	}{
		{"nothing", whole, second, nil},
		{"nothing, from any event on", func(t *oracle.Transcript) error { return oracle.Whole(t, 0, 12) }, second, nil},
		{"nothing at all", whole, func(t *oracle.Transcript) { t.Records = t.Records[:1] }, []string{"whole"}},
		{"a reset", whole, func(t *oracle.Transcript) { t.Records = slices.Delete(t.Records, 1, 10) }, []string{"whole"}},
		{"the first lost", whole, func(t *oracle.Transcript) { second(t); t.Records = slices.Delete(t.Records, 1, 2) }, []string{"whole"}},
		{"one lost", whole, func(t *oracle.Transcript) { second(t); t.Records = slices.Delete(t.Records, 2, 3) }, []string{"whole"}},
		{"the last lost", whole, func(t *oracle.Transcript) { second(t); t.Records = t.Records[:4] }, []string{"whole"}},
		{"one twice", whole, func(t *oracle.Transcript) { second(t); t.Records = slices.Insert(t.Records, 2, t.Records[2]) }, []string{"whole"}},
		{"one more", whole, func(t *oracle.Transcript) { second(t); t.Records = append(t.Records, t.Records[4]) }, []string{"whole"}},
		{"no link", whole, func(t *oracle.Transcript) { second(t); t.Records[3].Data = "{}" }, []string{"whole"}},
		{"a position again after a restart", rising, func(t *oracle.Transcript) {
			t.Records[10].ID = id(107, runB)
			for i := range 4 {
				t.Records[11+i].ID = id(108+i, runB)
			}
		}, []string{"rising"}},
		{"a loss over a catch-up call", rising, func(t *oracle.Transcript) {
			t.Records[9].Data = `{"resumed":true}`
			t.Records = slices.Delete(t.Records, 10, 12)
		}, []string{"chain"}},
		{"a repetition over a catch-up call", rising, func(t *oracle.Transcript) {
			t.Records[9].Data = `{"resumed":true}`
			t.Records[10] = live(1, 200, runB, 8)
		}, []string{"chain"}},
		{"another's event", rising, func(t *oracle.Transcript) {
			l := oracle.Link{Stream: "s/somebody", N: 4}
			l.Hash = l.Sum()
			t.Records[4].Data = dataOf(l)
		}, []string{"isolated"}},
		{"another event under the same id", func(t *oracle.Transcript) error { return oracle.Identical(everything(), t) }, func(t *oracle.Transcript) {
			t.Records[4].ID += "~cabcdeAA" // is of the id, not of the place
			t.Records[4].Data = keyed(3)
		}, []string{"identical"}},
		{"generations that overlap", func(t *oracle.Transcript) error { return oracle.Apart(t, t) }, func(t *oracle.Transcript) {
			for i := range 4 {
				t.Records[11+i].ID = id(108+i, runB)
			}
		}, []string{"apart"}},
		{"catch-up calls that overlap", func(t *oracle.Transcript) error { return oracle.Apart(everything(), t) }, func(t *oracle.Transcript) {
			for i := range 4 {
				t.Records[11+i].ID = id(108+i, "CCCCCCCCCCCCC001")
			}
		}, nil},
		{"a key too many", func(t *oracle.Transcript) error { return oracle.Latest(t, map[string]uint64{"a": 12}) }, func(*oracle.Transcript) {}, []string{"latest"}},
		{"a full transcript that is too short", func(t *oracle.Transcript) error { return oracle.SnapshotsRight(joined(), t) }, func(t *oracle.Transcript) {
			t.Records = t.Records[:13]
		}, []string{"snapshot"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			transcript := everything()
			test.plant(transcript)
			if diff := cmp.Diff(test.want, promises(test.check(transcript))); diff != "" {
				t.Errorf("broken promises (-want +got):\n%s", diff)
			}
		})
	}
}
