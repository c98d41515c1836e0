// Package report makes documents of results: a table for the terminal, charts and docs/performance.md. The same results
// always give the same bytes.
package report

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/grpc-sse/grpc-sse/bench/internal/result"
)

// Where results are and documents go, from the root of the project's clone.
const (
	Results  = "bench/results"
	document = "docs/performance.md"
	charts   = "docs/performance"
)

// Files makes all documents of the newest full run, and of the newest micro run when there is one, in the clone at root.
// The names of the result are paths from there.
func Files(root string) (map[string][]byte, error) {
	full, err := result.Newest(filepath.Join(root, Results), result.Full)
	if err != nil {
		return nil, err
	}
	micro, err := result.Newest(filepath.Join(root, Results), result.Micro)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	d := data{Full: newPart(full)}
	if micro != nil {
		d.Micro = newPart(micro)
	}
	files := make(map[string][]byte)
	for _, p := range []*part{d.Full, d.Micro} {
		if p == nil {
			continue
		}
		for _, s := range p.Scenarios {
			name := filepath.Join(charts, s.Name+".svg")
			if files[name] != nil {
				return nil, fmt.Errorf("two scenarios have the name %s", s.Name)
			}
			files[name] = []byte(chart(s.view))
		}
	}
	var text bytes.Buffer
	if err := page.Execute(&text, d); err != nil {
		return nil, err
	}
	files[document] = text.Bytes()
	return files, nil
}

// Stale names the documents in the clone at root that differ from what Files makes, those that are missing and those that
// should not be there.
func Stale(root string) ([]string, error) {
	files, err := Files(root)
	if err != nil {
		return nil, err
	}
	var stale []string
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if !bytes.Equal(got, want) {
			stale = append(stale, name)
		}
	}
	there, err := drawn(root)
	for _, name := range there {
		if files[name] == nil {
			stale = append(stale, name)
		}
	}
	return stale, err
}

// Write writes what Files makes, and removes charts of scenarios that are no more.
func Write(root string) error {
	files, err := Files(root)
	if err != nil {
		return err
	}
	there, err := drawn(root)
	if err != nil {
		return err
	}
	for _, name := range there {
		if files[name] == nil {
			if err := os.Remove(filepath.Join(root, name)); err != nil {
				return err
			}
		}
	}
	if err := os.MkdirAll(filepath.Join(root, charts), 0o755); err != nil { //nolint:gosec // documents are for everybody to read
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), text, 0o644); err != nil { //nolint:gosec // as above
			return err
		}
	}
	return nil
}

// drawn are the charts that there are.
func drawn(root string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(root, charts, "*.svg"))
	for i := range found {
		found[i] = filepath.Join(charts, filepath.Base(found[i]))
	}
	return found, err
}
