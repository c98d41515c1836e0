//go:build unix

package torture_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	scriptv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/script/v1"
	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/e2e/oracle"
)

// kind is a way in which a log is served and read.
type kind struct {
	name string
	path string // of the method, up to the log's name
	// begin is where the backend's calls begin that have no cursor.
	begin scriptv1.Begin
	// cursor: the method has a backend cursor, so nothing may be reset while the backend has everything.
	cursor bool
	// whole: readers get everything from the first event on.
	whole bool
	// keyed: readers begin with the newest event of each key.
	keyed bool
	// principals: each reader is somebody, with a log of their own under the same URL.
	principals bool
	// keep is how many events the backend keeps; 0: all.
	keep uint64
	// chain: no log, but a call of its own for each reader that cannot go on after a loss, only begin again.
	chain bool
}

// What a chain is like: long enough for some to be lost, and short enough for the rest to come to an end.
const (
	chainEvents = 200
	chainQuery  = "?count=200&every=0.06s&size=100"
)

const (
	oldest = scriptv1.Begin_BEGIN_OLDEST
	live   = scriptv1.Begin_BEGIN_LIVE
)

// kinds are all of them.
var kinds = []kind{
	{name: "public", path: "/v1/public/", begin: live, cursor: true},
	{name: "keyed", path: "/v1/keyed/", begin: oldest, cursor: true, keyed: true},
	{name: "earliest", path: "/v1/earliest/", begin: oldest, cursor: true, whole: true},
	{name: "own", path: "/v1/own/", begin: oldest, cursor: true, whole: true},
	{name: "shared", path: "/v1/shared/", begin: oldest},
	{name: "tokens", path: "/v1/tokens/", begin: oldest, cursor: true, whole: true},
	{name: "inclusive", path: "/v1/inclusive/", begin: live, cursor: true},
	{name: "replayed", path: "/v1/public/", begin: oldest, cursor: true},
	{name: "inclusive-tokens", path: "/v1/inclusive-tokens/", begin: live, cursor: true},
	{name: "principal", path: "/v1/principal/", begin: oldest, cursor: true, whole: true, principals: true},
	{name: "compacted", path: "/v1/earliest/", begin: oldest, cursor: true, keep: 20},
	{name: "chain", path: "/v1/chain/", chain: true},
	{name: "keyed-live", path: "/v1/keyed/", begin: live, cursor: true, keyed: true},
}

// channel is one log and its readers.
type channel struct {
	kind
	number  int
	log     *scriptv1.Log
	readers int

	compressed atomic.Int64 // responses
}

// drawChannel draws what a log is like whose events come all the time from begin on.
func drawChannel(r *rand.Rand, number, readers int, begin time.Time) *channel {
	k := kinds[number%len(kinds)]
	name := fmt.Sprintf("%s%d", k.name, number)
	log := &scriptv1.Log{
		Stream: name, Head: uint64(r.IntN(40)), Begin: timestamppb.New(begin),
		Every: durationpb.New(time.Duration(100+r.IntN(300)) * time.Millisecond),
		Size:  []uint32{0, 20, 100, 400, 2000}[r.IntN(5)], BeginAt: k.begin, Keep: k.keep,
	}
	if k.keyed {
		log.Keys, log.DeleteOneOf = uint32(2+r.IntN(30)), uint32(r.IntN(2)*8)
	}
	return &channel{kind: k, number: number, log: log, readers: readers}
}

// logName is the name of the log that a reader sees.
func (c *channel) logName(reader int) string {
	if !c.principals {
		return c.log.GetStream()
	}
	return script.PrincipalLog(c.log.GetStream(), authorization(reader))
}

// authorization is that of a reader who is somebody; two readers are one person.
func authorization(reader int) string { return fmt.Sprintf("Bearer-%d", reader/2) }

// logs are the definitions of all logs of the channel.
func (c *channel) logs() []*scriptv1.Log {
	seen := map[string]bool{}
	if c.chain {
		return nil
	}
	var all []*scriptv1.Log
	for reader := range c.readers {
		if name := c.logName(reader); !seen[name] {
			seen[name] = true
			def := &scriptv1.Log{
				Stream: name, Head: c.log.GetHead(), Begin: c.log.GetBegin(), Every: c.log.GetEvery(), Size: c.log.GetSize(),
				BeginAt: c.log.GetBeginAt(), Keep: c.log.GetKeep(), Keys: c.log.GetKeys(), DeleteOneOf: c.log.GetDeleteOneOf(),
			}
			all = append(all, def)
		}
	}
	return all
}

// client makes a client that reads the channel through the network at address.
func (c *channel) client(address string, reader int) *oracle.Client {
	client := &oracle.Client{
		URL: "http://" + address + c.path + c.log.GetStream(), Header: http.Header{}, MaxDelay: 200 * time.Millisecond,
	}
	if c.chain {
		client.URL += chainQuery
	}
	c.way(reader).apply(client, &c.compressed)
	if c.principals {
		client.Header.Set("Authorization", authorization(reader))
		client.Header.Set("X-User", authorization(reader))
	}
	return client
}

// check checks what the readers of the channel got when every log has ended: lasts are the numbers of the last events, and
// states what one knows at the end, by log.
func (c *channel) check(transcripts []*oracle.Transcript, lasts map[string]uint64, states map[string]map[string]uint64) error {
	byLog := map[string][]*oracle.Transcript{}
	var errs []error
	for reader, t := range transcripts {
		name, w := c.logName(reader), c.way(reader)
		if !w.fields {
			byLog[name] = append(byLog[name], t)
		}
		if err := errors.Join(w.check(t, name), c.checkReader(t, w, lasts[name], states[name])); err != nil {
			errs = append(errs, fmt.Errorf("reader %d of %s, %d connections: %w\n%s", reader, name, len(t.Connections), err, around(t, err)))
		}
	}
	for _, same := range byLog {
		errs = append(errs, oracle.Identical(same...)) // not Apart: readers who are caught up together have positions of their own
	}
	return errors.Join(errs...)
}

func (c *channel) checkReader(t *oracle.Transcript, w way, last uint64, state map[string]uint64) error {
	if c.chain {
		last = chainEvents
	}
	if w.odd && last%2 == 0 {
		last--
	}
	errs := []error{oracle.EndedWith(t, last)}
	t = begun(t)
	switch {
	case w.odd:
		errs = append(errs, oracle.Unreset(t), everyOther(t, c.whole))
	case c.keyed && c.begin == live: // what the bridge knows of the keys begins with its own start
		errs = append(errs, oracle.Unreset(t))
	case c.keyed:
		errs = append(errs, oracle.Unreset(t), oracle.Latest(t, state))
	case c.whole:
		errs = append(errs, oracle.Whole(t, 1, last))
	case c.cursor && c.keep == 0:
		errs = append(errs, oracle.Whole(t, 0, last))
	}
	return errors.Join(errs...)
}

// begun is t without the resets before its first event: who has no event has no cursor of the backend's, and may be reset.
func begun(t *oracle.Transcript) *oracle.Transcript {
	records := slices.Clone(t.Records)
	for i := range records {
		if !strings.HasPrefix(records[i].Event, "stream.") {
			break
		}
		records[i] = oracle.Record{Connection: records[i].Connection, Event: "stream.waiting"}
	}
	return &oracle.Transcript{Records: records, Connections: t.Connections}
}

// around shows the records of t around the first that err is about.
func around(t *oracle.Transcript, err error) string {
	first := -1
	for _, v := range violations(err) {
		if v.Record >= 0 && (first < 0 || v.Record < first) {
			first = v.Record
		}
	}
	if first < 0 {
		return ""
	}
	var b strings.Builder
	for i := max(0, first-6); i < min(len(t.Records), first+4); i++ {
		r := t.Records[i]
		what := r.Data
		if link, err := oracle.DecodeLink(r.Data); err == nil {
			what = fmt.Sprintf("link %d %s", link.N, link.Key)
		}
		fmt.Fprintf(&b, "\trecord %d, connection %d: %s %s %s\n", i, r.Connection, r.ID, r.Event, what)
	}
	return b.String()
}
