package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/grpc-sse/grpc-sse/internal/tail"
)

// maxTailDataBytes is the size of the largest request body that tail reads from a file.
const maxTailDataBytes = 64 << 20

const tailLong = `Read a stream and print its events, like a browser's EventSource in the terminal.

A connection that is cut, refused or silent is opened again with the last event's id, after the delay that the server
asks for; the bridge then goes on where the connection broke. The stream is over at stream.end or 204, and at any
answer that is no event stream.

Events go to standard output, what happens to the connection to standard error. With --json each event is one line
{"id","event","data"}, data as it is where it is JSON, else as a string.

Exit codes:
  0  the stream ended with code OK, or you ended it (Ctrl-C)
  1  a local error, or too many connections in a row failed
  2  the command line is wrong
  3  the stream ended with another code, or the server answered with something else than a stream
  4  the stream was reset, with --fail-on-reset`

// tailFlags are the flags of tail as they were typed.
type tailFlags struct {
	headers []string
	data    string
	color   string
	options tail.Options
}

func newTail(e env) *cobra.Command {
	var f tailFlags
	cmd := &cobra.Command{
		Use:   "tail URL",
		Short: "Read a stream in the terminal, over lost connections",
		Long:  tailLong,
		Example: "  grpc-sse tail http://localhost:8080/v1/prices\n" +
			"  grpc-sse tail --json http://localhost:8080/v1/prices | jq .data\n" +
			"  grpc-sse tail -H 'Authorization: Bearer …' -d '{\"prompt\":\"hi\"}' http://localhost:8080/v1/chat",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := f.resolve(e, args[0])
			if err != nil {
				return err
			}
			options.Stdout, options.Stderr = e.stdout, e.stderr
			exit, err := tail.Run(cmd.Context(), options)
			if exit == tail.ExitOK {
				return nil
			}
			return &ExitError{Code: int(exit), Err: err}
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.headers, "header", "H", nil, "send this header, `'Name: value'` (may be repeated)")
	flags.StringVarP(&f.data, "data", "d", "", "send a POST with this `JSON` body; @FILE reads a file, @- standard input")
	flags.StringVar(&f.options.LastEventID, "last-event-id", "", "begin after the event with this `id`")
	flags.BoolVar(&f.options.JSON, "json", false, "print each event as one line of JSON")
	flags.BoolVar(&f.options.FailOnReset, "fail-on-reset", false, "end with exit code 4 when the stream is reset")
	flags.StringVar(&f.color, "color", "auto", "colours: `auto` (on a terminal, unless NO_COLOR is set), always or never")
	flags.IntVar(&f.options.MaxRetries, "max-retries", tail.DefaultMaxRetries,
		"give up when more than this many connections in a row have failed; -1 never does")
	flags.DurationVar(&f.options.Silence, "silence", tail.DefaultSilence,
		"reconnect when nothing, not even a heartbeat, came for this long; -1s never does")
	return cmd
}

// resolve makes options of the flags; its errors are usage errors.
func (f *tailFlags) resolve(e env, url string) (tail.Options, error) {
	o := f.options
	o.URL = url
	if o.MaxRetries == 0 {
		return o, usagef("--max-retries 0: give at least 1, or -1 for no limit")
	}
	if o.Silence >= 0 && o.Silence < time.Second {
		return o, usagef("--silence %s: give at least 1s, or -1s for no limit", o.Silence)
	}
	o.Header = http.Header{}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return o, usagef("--header %q: write it as 'Name: value'", h)
		}
		o.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	var err error
	if o.Data, err = readTailData(e.stdin, f.data); err != nil {
		return o, usagef("--data %s: %w", f.data, err)
	}
	switch f.color {
	case "always":
		o.Color = true
	case "never":
	case "auto":
		o.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(e.stdout)
	default:
		return o, usagef("--color %s: give auto, always or never", f.color)
	}
	return o, nil
}

// readTailData is the body that --data means; nil for none.
func readTailData(stdin io.Reader, data string) ([]byte, error) {
	source := stdin
	switch path, isFile := strings.CutPrefix(data, "@"); {
	case data == "":
		return nil, nil
	case !isFile:
		return []byte(data), nil
	case path == "":
		return nil, errors.New("name a file behind the @")
	case path != "-":
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close() //nolint:errcheck // nothing was written
		source = file
	}
	body, err := io.ReadAll(io.LimitReader(source, maxTailDataBytes+1))
	if err == nil && len(body) > maxTailDataBytes {
		err = fmt.Errorf("it is larger than %d bytes", maxTailDataBytes)
	}
	if body == nil {
		body = []byte{}
	}
	return body, err
}

// isTerminal reports whether w is a character device, which a pipe and a file are not.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
