package demo_test

import (
	"testing"

	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// What people copy must be what a bridge serves, without a word of warning.
func TestOptionsAreGood(t *testing.T) {
	inBubble(t, func(t *testing.T, b *backend) {
		s, err := schema.Reflect(t.Context(), b, "demo")
		if err != nil {
			t.Fatal(err)
		}
		table, err := schema.NewTable([]*schema.Schema{s}, schema.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, warning := range table.Warnings() {
			t.Error(warning)
		}
		prices := table.Lookup("demo.prices.v1.PriceService.WatchPrices").Stream
		if prices.Share != schema.SharePublic || prices.Start != schema.StartLatestPerKey || prices.Resume == nil {
			t.Errorf("prices: %+v", prices)
		}
	})
}
