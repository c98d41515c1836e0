package result

import (
	"bytes"
	"encoding/json"
)

// encode writes a run as JSON with one line for each scenario and row, so that a changed figure is one changed line.
func encode(run *Run) ([]byte, error) {
	w := writer{}
	w.text.WriteString("{\n")
	w.value(`  "date": `, run.Date, ",\n")
	w.value(`  "machine": `, run.Machine, ",\n")
	w.value(`  "version": `, run.Version, ",\n")
	w.value(`  "kind": `, run.Kind, ",\n")
	w.text.WriteString(`  "scenarios": [`)
	for i, scenario := range run.Scenarios {
		w.value(separator(i), scenario, "")
	}
	w.text.WriteString("\n  ],\n  \"rows\": [")
	for i, row := range run.Rows {
		w.value(separator(i), row, "")
	}
	w.text.WriteString("\n  ]\n}\n")
	return w.text.Bytes(), w.err
}

// separator stands before element i of a list.
func separator(i int) string {
	if i == 0 {
		return "\n    "
	}
	return ",\n    "
}

type writer struct {
	text bytes.Buffer
	err  error // of the first value that could not be written
}

// value appends before, the value as JSON in one line, and after.
func (w *writer) value(before string, value any, after string) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil && w.err == nil {
		w.err = err
	}
	w.text.WriteString(before)
	w.text.Write(bytes.TrimSpace(line.Bytes()))
	w.text.WriteString(after)
}
