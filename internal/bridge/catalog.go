package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/grpc-sse/grpc-sse/internal/config"
	"github.com/grpc-sse/grpc-sse/internal/routetable"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

const (
	// loadTimeout bounds one reading of a schema.
	loadTimeout = 10 * time.Second
	// minReload is the pause between two readings, however often a backend comes and goes; retries begin with it.
	minReload = 500 * time.Millisecond
	// maxRetry is the longest pause between tries to reach a backend.
	maxRetry = 5 * time.Second
	// startPatience is how long the table of routes waits for the last schema before it is printed without it.
	startPatience = 3 * time.Second
)

// catalog keeps the newest schema of every upstream that makes sense with the others, and makes the table of routes of
// them whenever one changes.
type catalog struct {
	bridge *Bridge
	hints  map[string]chan struct{} // by upstream: its schema may have changed

	// mu guards what follows: the schemas that requests are routed by. It is held until the routes have changed, so that
	// who sees a schema here finds its routes.
	mu      sync.Mutex
	schemas map[string]*schema.Schema
	table   *schema.Table    // nil: nothing is routed yet
	causes  map[string]error // by upstream: why its schema, or its newest one, is not routed by
}

// newCatalog reads the descriptor sets; what is described by reflection is read by run.
func newCatalog(b *Bridge) (*catalog, error) {
	c := &catalog{bridge: b, hints: map[string]chan struct{}{}, schemas: map[string]*schema.Schema{}, causes: map[string]error{}}
	for _, u := range b.settings.Upstreams {
		c.hints[u.Name] = make(chan struct{}, 1)
		if u.DescriptorSet == nil {
			continue
		}
		s, err := schema.FromDescriptorSet(u.DescriptorSet, u.Name)
		if err != nil {
			return nil, fmt.Errorf("upstream %s: descriptor set %s: %w", u.Name, u.DescriptorSetFile, err)
		}
		c.schemas[u.Name] = s
	}
	return c, nil
}

// hint returns what an upstream calls when its schema may have changed. It never blocks: one hint is as good as many.
func (c *catalog) hint(name string) func() {
	ch := c.hints[name]
	return func() {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// missingLocked are the upstreams whose schema has not been loaded yet.
func (c *catalog) missingLocked() []string {
	var missing []string
	for _, u := range c.bridge.settings.Upstreams {
		if c.schemas[u.Name] == nil {
			missing = append(missing, u.Name)
		}
	}
	return missing
}

// complete reports whether every upstream's schema is routed by.
func (c *catalog) complete() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.completeLocked()
}

func (c *catalog) completeLocked() bool { return c.table != nil && len(c.missingLocked()) == 0 }

// run loads every schema and keeps it fresh until ctx ends. An error is a mistake that the first complete table shows:
// the bridge cannot start with it. Later mistakes are logged, and the table before stays.
func (c *catalog) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := c.rebuild(nil, false); err != nil {
		return err
	}
	var work sync.WaitGroup
	loaded := make(chan struct{}) // closed when every schema has been loaded once
	var all sync.WaitGroup
	for _, u := range c.bridge.settings.Upstreams {
		if u.DescriptorSet != nil {
			continue
		}
		all.Add(1)
		first := sync.OnceFunc(all.Done)
		work.Go(func() {
			defer first()
			c.keepFresh(ctx, u, func(err error) {
				first()
				if err != nil {
					cancel(err)
				}
			})
		})
	}
	work.Go(func() { all.Wait(); close(loaded) })
	c.printWhen(ctx, loaded)
	work.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// keepFresh loads one upstream's schema, and again on every hint. done is called after the first load, with the mistake
// that it showed, if any.
func (c *catalog) keepFresh(ctx context.Context, u config.Upstream, done func(error)) {
	logger := c.bridge.logger.With("upstream", u.Name)
	var reported string
	first, begun := true, time.Now()
	for retry := minReload; ; {
		loaded, err := c.load(ctx, u.Name)
		if ctx.Err() != nil {
			return
		}
		level, problem := slog.LevelWarn, "the schema could not be read; trying again"
		if loaded != nil {
			late := !first || time.Since(begun) > startPatience
			// A mistake that shows at start ends the bridge; one that comes with a later deploy must not.
			if err = c.rebuild(loaded, late); err != nil && !late {
				done(err)
				return
			}
			level, problem = slog.LevelError, "the new schema is not used: the routes stay as they were"
		}
		c.note(u.Name, err)
		pause := minReload
		if err != nil {
			if text := err.Error(); text != reported {
				logger.Log(ctx, level, problem, "cause", err)
				reported = text
			}
			pause = retry
			retry = min(2*retry, maxRetry)
		} else {
			if first {
				done(nil)
			}
			retry, reported, first = minReload, "", false
		}
		if !sleep(ctx, pause) {
			return
		}
		if err != nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-c.hints[u.Name]:
		}
	}
}

// note keeps why an upstream's newest schema is not routed by; nil where it is.
func (c *catalog) note(name string, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.causes[name] = cause
}

// waitingFor says, a line for each, which schemas are missing and why.
func (c *catalog) waitingFor() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waitingForLocked()
}

func (c *catalog) waitingForLocked() []string {
	var lines []string
	for _, name := range c.missingLocked() {
		line := "upstream " + name + ": its schema has not been read yet"
		if cause := c.causes[name]; cause != nil {
			line += ": " + cause.Error()
		}
		lines = append(lines, line)
	}
	return lines
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// load reads one upstream's schema by reflection. It returns nil where that is the one that is routed by already.
func (c *catalog) load(ctx context.Context, name string) (*schema.Schema, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	s, err := schema.Reflect(ctx, c.bridge.upstreams[name].Conn(), name)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.schemas[name]; old != nil && old.Fingerprint == s.Fingerprint {
		return nil, nil
	}
	return s, nil
}

// rebuild routes by the schemas there are, with a fresh one (which may be nil) in its upstream's place. After an error
// everything is as before. late says that the bridge has started: then what the config names and no backend has is no
// mistake any more, since a method may go away with a deploy.
func (c *catalog) rebuild(fresh *schema.Schema, late bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	schemas := maps.Clone(c.schemas)
	if fresh != nil {
		schemas[fresh.Upstream] = fresh
	}
	var inOrder []*schema.Schema
	for _, u := range c.bridge.settings.Upstreams {
		if s := schemas[u.Name]; s != nil {
			inOrder = append(inOrder, s)
		}
	}
	complete := len(inOrder) == len(c.bridge.settings.Upstreams)
	principal := c.bridge.settings.Principal
	table, err := schema.NewTable(inOrder, schema.Options{
		Expose: c.bridge.settings.Expose, Rules: c.bridge.settings.Rules, Partial: late || !complete,
		Principals: principal.Header != "" || principal.Cookie != "",
	})
	if err != nil {
		return err
	}
	if err := c.bridge.edge.SetTable(table, complete); err != nil {
		return err
	}
	logChanges(c.bridge.logger, c.table, table)
	if late {
		logNewWarnings(c.bridge.logger, c.table, table)
	}
	c.schemas, c.table = schemas, table
	return nil
}

// logChanges says what a new table serves and no longer serves.
func logChanges(logger *slog.Logger, old, table *schema.Table) {
	if old == nil {
		return
	}
	before, after := names(old), names(table)
	var added, removed []string
	for _, name := range after {
		if !slices.Contains(before, name) {
			added = append(added, name)
		}
	}
	for _, name := range before {
		if !slices.Contains(after, name) {
			removed = append(removed, name)
		}
	}
	if len(before) != 0 && (len(added) != 0 || len(removed) != 0) {
		logger.Info("the routes have changed", "added", strings.Join(added, " "), "removed", strings.Join(removed, " "))
	}
}

// logNewWarnings says what a new table warns of and the old one did not.
func logNewWarnings(logger *slog.Logger, old, table *schema.Table) {
	for _, warning := range table.Warnings() {
		if old == nil || !slices.Contains(old.Warnings(), warning) {
			logger.Warn(warning)
		}
	}
}

func names(t *schema.Table) []string {
	var names []string
	for _, m := range t.Methods() {
		names = append(names, string(m.Name))
	}
	return names
}

// printWhen prints the table of routes when every schema is loaded; after a while it is printed without those that are
// missing, and again when they are there.
func (c *catalog) printWhen(ctx context.Context, loaded <-chan struct{}) {
	patience := time.NewTimer(startPatience)
	defer patience.Stop()
	select {
	case <-ctx.Done():
		return
	case <-loaded:
	case <-patience.C:
		c.print()
		select {
		case <-ctx.Done():
			return
		case <-loaded:
		}
	}
	c.print()
}

// print writes the table of routes and what is missing of it.
func (c *catalog) print() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, warning := range c.table.Warnings() {
		c.bridge.logger.Warn(warning)
	}
	if err := routetable.Write(c.bridge.stdout, c.table, routetable.BaseURL(c.bridge.Addr().String())); err != nil {
		c.bridge.logger.Warn("the table of routes could not be printed", "cause", err)
	}
	for _, line := range c.waitingForLocked() {
		_, _ = fmt.Fprintf(c.bridge.stdout, "%s\nIts routes appear when it has.\n", line)
	}
}
