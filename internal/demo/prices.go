package demo

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	pricesv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/prices/v1"
)

// company is something that has a price.
type company struct {
	symbol, name string
	opening      float64 // dollars
}

// companies are in alphabetical order.
var companies = []company{
	{"ACME", "Acme Corporation", 132.40},
	{"GLOBEX", "Globex", 58.15},
	{"HOOLI", "Hooli", 611.02},
	{"INITECH", "Initech", 12.88},
	{"SOYLENT", "Soylent Industries", 76.50},
	{"STARK", "Stark Industries", 402.75},
	{"UMBRELLA", "Umbrella", 33.33},
	{"WONKA", "Wonka Sweets", 91.20},
}

type priceServer struct {
	pricesv1.UnimplementedPriceServiceServer
	now func() time.Time
}

// WatchPrices streams one price of each symbol, and then a new price of one symbol after the other.
func (s *priceServer) WatchPrices(r *pricesv1.WatchPricesRequest, stream grpc.ServerStreamingServer[pricesv1.WatchPricesResponse]) error {
	watched, err := watchedCompanies(r.GetSymbols())
	if err != nil {
		return err
	}
	every, err := within(r.GetInterval(), 400*time.Millisecond, 20*time.Millisecond, time.Minute)
	if err != nil {
		return err
	}
	var sequence uint32
	send := func(c company) error {
		sequence++
		price, change := c.at(s.now())
		return stream.Send(&pricesv1.WatchPricesResponse{
			Sequence: sequence, Symbol: c.symbol, Name: c.name, Price: price, ChangePercent: &change,
			Time: timestamppb.New(s.now()),
		})
	}
	for _, c := range watched {
		if err := send(c); err != nil {
			return err
		}
	}
	// Steps of five through the list look less orderly than steps of one, and reach every symbol as long as their number
	// is not divisible by five; then steps of one do.
	step := 5
	if len(watched)%step == 0 {
		step = 1
	}
	for i := 0; ; i = (i + step) % len(watched) {
		if err := pause(stream.Context(), every); err != nil {
			return err
		}
		if err := send(watched[i]); err != nil {
			return err
		}
	}
}

func watchedCompanies(symbols []string) ([]company, error) {
	if len(symbols) == 0 {
		return companies, nil
	}
	var found []company
	for _, symbol := range symbols {
		i, ok := slices.BinarySearchFunc(companies, symbol, func(c company, s string) int { return cmp.Compare(c.symbol, s) })
		if !ok {
			return nil, invalid("symbols", "there is no "+symbol+": there are "+strings.Join(allSymbols(), ", "))
		}
		if !slices.Contains(found, companies[i]) {
			found = append(found, companies[i])
		}
	}
	return found, nil
}

func allSymbols() []string {
	var symbols []string
	for _, c := range companies {
		symbols = append(symbols, c.symbol)
	}
	return symbols
}

// at is the price at a time, and its change since the opening in percent. It is a sum of waves whose lengths differ by
// company: it looks like a market, everybody sees the same one, and a test can know it.
func (c company) at(t time.Time) (price, changePercent float64) {
	seconds := float64(t.UnixMilli()%86_400_000) / 1000
	phase := math.Mod(c.opening*7.3, 2*math.Pi)
	wave := 0.020*math.Sin(seconds/97+phase) + 0.007*math.Sin(seconds/11+2*phase) + 0.0022*math.Sin(seconds/1.7+3*phase)
	price = cents(c.opening * (1 + wave))
	return price, cents((price/c.opening - 1) * 100)
}

// cents rounds to two decimals.
func cents(v float64) float64 { return math.Round(v*100) / 100 }
