package script_test

import (
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/demo/script"
	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// A bridge that would refuse an option would refuse all of them.
func TestOptionsAreGood(t *testing.T) {
	b := script.New()
	b.Principals = true
	conn, stop := start(t, b)
	defer stop()
	s, err := schema.Reflect(t.Context(), conn, "script")
	if err != nil {
		t.Fatal(err)
	}
	table, err := schema.NewTable([]*schema.Schema{s}, schema.Options{Principals: true})
	if err != nil {
		t.Fatal(err)
	}
	shares := map[schema.Share]int{}
	for _, m := range table.Methods() {
		shares[m.Stream.Share]++
	}
	if shares[schema.SharePublic] < 7 || shares[schema.SharePrincipal] != 1 {
		t.Errorf("methods by share: %v", shares)
	}
	for _, warning := range table.Warnings() {
		t.Log(warning)
	}
}
