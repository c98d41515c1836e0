package bridge

import (
	"context"
	"fmt"
	"log/slog"
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

// catalog keeps the newest schema of every upstream, and makes the table of routes of them whenever one changes.
type catalog struct {
	bridge *Bridge
	hints  map[string]chan struct{} // by upstream: its schema may have changed

	mu      sync.Mutex
	schemas map[string]*schema.Schema
	table   *schema.Table
}

// newCatalog reads the descriptor sets; what is described by reflection is read by run.
func newCatalog(b *Bridge) (*catalog, error) {
	c := &catalog{bridge: b, hints: map[string]chan struct{}{}, schemas: map[string]*schema.Schema{}}
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

// missing are the upstreams whose schema has not been loaded yet.
func (c *catalog) missing() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.missingLocked()
}

func (c *catalog) missingLocked() []string {
	var missing []string
	for _, u := range c.bridge.settings.Upstreams {
		if c.schemas[u.Name] == nil {
			missing = append(missing, u.Name)
		}
	}
	return missing
}

func (c *catalog) complete() bool { return len(c.missing()) == 0 }

// run loads every schema and keeps it fresh until ctx ends. An error is a mistake that the first complete table shows:
// the bridge cannot start with it. Later mistakes are logged, and the table before stays.
func (c *catalog) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := c.rebuild(); err != nil {
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
	if err := context.Cause(ctx); err != nil && err != context.Canceled {
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
		fresh, err := c.load(ctx, u.Name)
		pause, again := minReload, false
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if text := err.Error(); text != reported {
				logger.Warn("the schema could not be read; trying again", "cause", err)
				reported = text
			}
			pause, again = retry, true
			retry = min(2*retry, maxRetry)
		case fresh:
			err := c.rebuild()
			// A mistake that shows at start ends the bridge; one that comes with a later deploy must not.
			if err != nil && (!first || time.Since(begun) > startPatience) {
				logger.Error("the new schema is not used: the routes stay as they were", "cause", err)
				err = nil
			}
			if first {
				done(err)
			}
			retry, reported, first = minReload, "", false
		}
		if !sleep(ctx, pause) {
			return
		}
		if again {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-c.hints[u.Name]:
		}
	}
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

// load reads one upstream's schema by reflection, and reports whether it is another than before.
func (c *catalog) load(ctx context.Context, name string) (fresh bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	s, err := schema.Reflect(ctx, c.bridge.upstreams[name].Conn(), name)
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.schemas[name]; old != nil && old.Fingerprint == s.Fingerprint {
		return false, nil
	}
	c.schemas[name] = s
	return true, nil
}

// rebuild makes the table of the schemas there are, if one is new, and routes by it.
func (c *catalog) rebuild() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var schemas []*schema.Schema
	for _, u := range c.bridge.settings.Upstreams {
		if s := c.schemas[u.Name]; s != nil {
			schemas = append(schemas, s)
		}
	}
	complete := len(c.missingLocked()) == 0
	table, err := schema.NewTable(schemas, schema.Options{
		Expose: c.bridge.settings.Expose, Rules: c.bridge.settings.Rules, Partial: !complete,
	})
	if err != nil {
		return err
	}
	if err := c.bridge.edge.SetTable(table, complete); err != nil {
		return err
	}
	logChanges(c.bridge.logger, c.table, table)
	c.table = table
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
	for _, name := range c.missingLocked() {
		_, _ = fmt.Fprintf(c.bridge.stdout, "upstream %s cannot be reached yet; its routes appear when it can\n", name)
	}
}
