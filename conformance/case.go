package conformance

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed cases/*.yaml setups.yaml
var data embed.FS

// Case is one case: what the backend does, what is asked of the endpoint, and what must come of it.
type Case struct {
	// Name is unique among all cases; for one that came of Each it ends in the number of its values.
	Name string
	// About says in a sentence what the case shows.
	About string
	// Anchors name the rules in docs/protocol.md that the case proves. At least one.
	Anchors []string
	// Setup names what kind of endpoint it needs. Default: "default".
	Setup string
	// Over names the paths that the case holds over, with the reason in Because. Default: all.
	Over    []Path
	Because string
	// Each makes one case of this for each of its maps: ${key} stands for the map's value, wherever it is written.
	Each []map[string]string
	// Script is what the backend does: steps of demo.script.v1.Script as protobuf JSON. Nil: there is no script.
	Script []any
	// Steps are done one after the other.
	Steps []Step
}

// Step is one thing that a case does. Exactly one of its groups of fields is set.
type Step struct {
	// Request is a method and a request target: "GET /v1/play/${script}". The target goes out as it is written.
	Request string
	// Name is what later steps call the response. Default: its number, from 0.
	Name string
	// Headers are the request's. One whose value is empty is left out: "no cursor yet" needs no case of its own.
	Headers map[string]string
	// Body is the request's body; nil for none.
	Body *string
	// HTTP is "h2" for HTTP/2 over TLS, or "h2c" for HTTP/2 with prior knowledge: all requests of the case go over one
	// connection then. Default: as the endpoint's path says.
	HTTP string `yaml:"http"`
	// Plain says that the stream that is asked for is one of plain frames.
	Plain bool

	// Read goes on with the response of that name, which an earlier step has kept open.
	Read string

	// Expect is what must come, of Request and Read.
	Expect `yaml:",inline"`

	// Open opens a gate of the script.
	Open string
	// Define gives the backend another script for calls to come.
	Define []any
	// Backend is what must be known of the backend's calls. It is waited for.
	Backend *BackendExpect
	// Drain tells the endpoint to end: what SIGTERM does.
	Drain bool
	// Restart ends the endpoint at once and starts it again, with nothing of what it knew.
	Restart bool

	// Log says what the backend's log ${run} is like: demo.script.v1.Log as protobuf JSON.
	Log map[string]any
	// Append adds so many events to it.
	Append uint64
	// Interrupt ends the calls that read it: demo.script.v1.Fail as protobuf JSON, or {} to cut their connections.
	Interrupt map[string]any
	// Server stops ("down") the backend's server, with all of its calls, or starts it again ("up").
	Server string
}

// Expect is what must come of a request.
type Expect struct {
	// Status is the HTTP status. Default 200.
	Status int
	// Head are response headers: the value as it stands, "~part" for one that contains part, null for one that must not
	// be there.
	Head map[string]*string
	// Text is the whole body of a response that is no stream. With then: broken it is what came before the cut.
	Text *string
	// JSON is what the body of a response that is no stream must hold, see Matches.
	JSON any `yaml:"json"`
	// Events are those of a stream, in order; comments between them are skipped.
	Events []Event
	// Then says how a stream goes on after Events: "keep" (the default: it stays open for a later Read), "end" (it ends
	// cleanly), "broken" (it is cut), either with a DURATION in which it must, "quiet DURATION" (nothing but comments arrives for so long; it stays open), "close"
	// (the client closes it), "cut N" (the client takes N more bytes and resets the connection), "stall" (the client
	// reads no more, and keeps it open).
	Then string
	// Within is how long the head may take, and After how long it must take at least. Defaults: 20 s and 0.
	Within, After time.Duration
}

// Event is what one frame must be.
type Event struct {
	// Event is its type. "comment" is a heartbeat.
	Event string
	// ID is how its id must be; see checkID. Default: any.
	ID string
	// Data is what its data must hold, see Matches. nil: anything.
	Data any
	// Text is its data to the byte.
	Text *string
	// Frame is the whole frame to the byte, without the empty line.
	Frame *string
	// Retry is what its retry field must be, "MIN-MAX" in milliseconds.
	Retry string
	// Times is how many such frames follow one another. Default 1.
	Times int
	// Past are the types of frames that are passed over until there is one as wanted, separated by spaces.
	Past string
}

// BackendExpect is what must be known of the calls that the backend got. It holds when all of it does.
type BackendExpect struct {
	// Stream is the calls' name. Default ${run}.
	Stream string
	// Calls is how many there must be, Ended how many of them have ended, Cancelled how many by their caller.
	Calls, Ended, Cancelled *int
	// Sent is how many messages they could send in total, AtMost how many at most.
	Sent   *uint64
	AtMost *uint64 `yaml:"at_most"`
	// Cursors are those with which the calls were made, in order: "" for none, "after 3".
	Cursors []string
	// Metadata is what the last call must have got; null for a key that it must not have.
	Metadata map[string]*string
	// Quiet is for how long all this must go on to hold.
	Quiet time.Duration
}

// Setup is a kind of endpoint that cases need.
type Setup struct {
	// Name is unique.
	Name string
	// About says in a sentence what it is for.
	About string
	// Config is the config file of the bridge, without its addresses.
	Config yaml.Node
	// Unchecked are settings below what a config file may say, so that no case has to wait for minutes.
	Unchecked Unchecked
	// TLS says that the endpoint is reached by TLS.
	TLS bool `yaml:"tls"`
	// Own says that every case needs an endpoint of its own: it ends it, or fills it up.
	Own bool
	// BackendDown says that nothing listens where the backend should be.
	BackendDown bool `yaml:"backend_down"`
	// OwnServer says that every case needs a server of the backend of its own: it stops it. It implies Own.
	OwnServer bool `yaml:"own_server"`
}

// Unchecked are settings that a Setup has past the config's checks. Zero means the config's.
type Unchecked struct {
	Heartbeat        time.Duration
	MaxConnectionAge time.Duration `yaml:"max_connection_age"`
}

// ConfigYAML is the config file as text.
func (s Setup) ConfigYAML() ([]byte, error) {
	if s.Config.IsZero() {
		return nil, nil
	}
	return yaml.Marshal(&s.Config)
}

// Load reads the cases and setups that come with this package. The cases are sorted by file and then as they are
// written.
func Load() ([]Case, map[string]Setup, error) { return load(data) }

func load(files fs.FS) ([]Case, map[string]Setup, error) {
	setups, err := loadSetups(files)
	if err != nil {
		return nil, nil, err
	}
	names, err := fs.Glob(files, "cases/*.yaml")
	if err != nil {
		return nil, nil, err
	}
	var cases []Case
	var errs []error
	seen := map[string]string{}
	for _, name := range names {
		found, err := loadFile(files, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		for _, c := range found {
			if other, ok := seen[c.Name]; ok {
				errs = append(errs, fmt.Errorf("%s: case %s: %s has a case of this name", name, c.Name, other))
			}
			seen[c.Name] = name
			if err := c.check(setups); err != nil {
				errs = append(errs, fmt.Errorf("%s: case %s: %w", name, c.Name, err))
			}
		}
		cases = append(cases, found...)
	}
	return cases, setups, errors.Join(errs...)
}

func loadSetups(files fs.FS) (map[string]Setup, error) {
	raw, err := fs.ReadFile(files, "setups.yaml")
	if err != nil {
		return nil, err
	}
	var list []Setup
	if err := strictly(raw, &list); err != nil {
		return nil, fmt.Errorf("setups.yaml: %w", err)
	}
	setups := map[string]Setup{}
	for _, s := range list {
		setups[s.Name] = s
	}
	return setups, nil
}

// strictly decodes YAML and refuses keys that it does not know.
func strictly(raw []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	return d.Decode(into)
}

func loadFile(files fs.FS, name string) ([]Case, error) {
	raw, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	var nodes []yaml.Node
	if err := yaml.Unmarshal(raw, &nodes); err != nil {
		return nil, err
	}
	var cases []Case
	for i := range nodes {
		found, err := expand(&nodes[i])
		if err != nil {
			return nil, fmt.Errorf("the case in line %d: %w", nodes[i].Line, err)
		}
		cases = append(cases, found...)
	}
	return cases, nil
}

// expand makes a case of what is written, or several where it says Each.
func expand(node *yaml.Node) ([]Case, error) {
	var each struct {
		Each []map[string]string
	}
	if err := node.Decode(&each); err != nil {
		return nil, err
	}
	if len(each.Each) == 0 {
		c, err := decodeCase(filled(node, nil))
		return []Case{c}, err
	}
	var cases []Case
	for i, values := range each.Each {
		c, err := decodeCase(filled(node, values))
		if err != nil {
			return nil, err
		}
		c.Name = fmt.Sprintf("%s/%d", c.Name, i)
		cases = append(cases, c)
	}
	return cases, nil
}

func decodeCase(node *yaml.Node) (Case, error) {
	raw, err := yaml.Marshal(node) // a Node's own Decode takes unknown keys
	if err != nil {
		return Case{}, err
	}
	var c Case
	err = strictly(raw, &c)
	return c, err
}

// filled is a copy of node in which the values stand for their keys. A plain scalar is read anew, so that a number can
// be a value. Aliases are replaced by what they stand for: the copy is read apart from the rest of the file.
func filled(node *yaml.Node, values map[string]string) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	copied := *node
	copied.Anchor = ""
	if node.Kind == yaml.ScalarNode && strings.Contains(node.Value, "${") {
		for _, key := range slices.Sorted(maps.Keys(values)) {
			copied.Value = strings.ReplaceAll(copied.Value, "${"+key+"}", values[key])
		}
		if node.Style == 0 && copied.Value != node.Value {
			copied.Tag = ""
		}
	}
	copied.Content = make([]*yaml.Node, len(node.Content))
	for i, child := range node.Content {
		copied.Content[i] = filled(child, values)
	}
	return &copied
}

// check finds what a decoder cannot.
func (c Case) check(setups map[string]Setup) error {
	if c.Name == "" || c.About == "" || len(c.Anchors) == 0 || len(c.Steps) == 0 {
		return errors.New("a case has a name, a sentence about it, anchors and steps")
	}
	if _, ok := setups[c.SetupName()]; !ok {
		return fmt.Errorf("there is no setup %q", c.Setup)
	}
	if err := c.checkOver(); err != nil {
		return err
	}
	for i, s := range c.Steps {
		kinds := 0
		for _, is := range []bool{
			s.Request != "", s.Read != "", s.Open != "", s.Define != nil, s.Backend != nil, s.Drain, s.Restart,
			s.Log != nil, s.Append != 0, s.Interrupt != nil, s.Server != "",
		} {
			if is {
				kinds++
			}
		}
		if kinds != 1 {
			return fmt.Errorf("step %d does %d things: want one", i, kinds)
		}
	}
	return nil
}

// SetupName is the setup that the case needs.
func (c Case) SetupName() string {
	if c.Setup == "" {
		return "default"
	}
	return c.Setup
}
