package demo

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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

// WatchPrices streams the newest price of each symbol, and then every new one.
func (s *priceServer) WatchPrices(r *pricesv1.WatchPricesRequest, stream grpc.ServerStreamingServer[pricesv1.WatchPricesResponse]) error {
	watched, err := watchedCompanies(r.GetSymbols())
	if err != nil {
		return err
	}
	every, err := within(r.GetInterval(), 400*time.Millisecond, 100*time.Millisecond, time.Minute)
	if err != nil {
		return err
	}
	ticker := ticker{companies: watched, every: every}
	newest := ticker.newest(s.now())
	next := newest - int64(len(watched)) + 1 // one of each symbol
	if next < 1 {
		return status.Error(codes.FailedPrecondition, "the clock of the backend is wrong: the prices begin in 2026")
	}
	if after := int64(r.GetAfterSequence()); after > 0 {
		if next = after + 1; next < ticker.oldest(newest) || next > ticker.newest(s.now().Add(clockSkew))+1 {
			return status.Errorf(codes.OutOfRange, "after_sequence: there are prices after %d to %d", ticker.oldest(newest)-1, newest)
		}
	}
	for ; ; next++ {
		if err := pause(stream.Context(), ticker.time(next).Sub(s.now())); err != nil {
			return err
		}
		if next < ticker.oldest(ticker.newest(s.now())) {
			// The machine slept, or nobody reads. Who asks again is told what is left.
			return status.Errorf(codes.Aborted, "price %d is no longer known", next)
		}
		if err := stream.Send(ticker.price(next)); err != nil {
			return err
		}
	}
}

// priceEpoch is when price 0 was made, whatever the interval. Counted from here the numbers of ten prices a second fit
// into 32 bits until 2039.
var priceEpoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// priceHistory is how long a price is known.
const priceHistory = 10 * time.Minute

// clockSkew is how far another backend's clock may be ahead: a price that it has sent already is waited for.
const clockSkew = 5 * time.Second

// ticker makes one price after the other, by the clock alone: it is the same in every call, and goes on where it was
// when the backend is started again.
type ticker struct {
	companies []company
	every     time.Duration
}

// time is when a price is made.
func (t ticker) time(n int64) time.Time { return priceEpoch.Add(time.Duration(n) * t.every) }

// newest is the number of the price that was made last.
func (t ticker) newest(now time.Time) int64 { return int64(now.Sub(priceEpoch) / t.every) }

// oldest is the number of the oldest price that is known.
func (t ticker) oldest(newest int64) int64 { return max(1, newest-int64(priceHistory/t.every)+1) }

func (t ticker) price(n int64) *pricesv1.WatchPricesResponse {
	// Steps of five through the list look less orderly than steps of one, and reach every symbol as long as their number
	// is not divisible by five; then steps of one do.
	step := int64(5)
	if len(t.companies)%5 == 0 {
		step = 1
	}
	c := t.companies[n*step%int64(len(t.companies))]
	price, change := c.at(t.time(n))
	return &pricesv1.WatchPricesResponse{
		Sequence: uint32(n), Symbol: c.symbol, Name: c.name, Price: price, ChangePercent: &change, Time: timestamppb.New(t.time(n)),
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
