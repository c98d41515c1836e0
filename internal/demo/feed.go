package demo

import (
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	feedv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/feed/v1"
)

type feedServer struct {
	feedv1.UnimplementedFeedServiceServer
	now func() time.Time
}

// WatchFeed streams numbered items.
func (s *feedServer) WatchFeed(r *feedv1.WatchFeedRequest, stream grpc.ServerStreamingServer[feedv1.WatchFeedResponse]) error {
	every, err := within(r.GetInterval(), 700*time.Millisecond, 10*time.Millisecond, time.Minute)
	if err != nil {
		return err
	}
	for n := uint32(1); ; n++ {
		if err := stream.Send(s.item(n)); err != nil {
			return err
		}
		if n == r.GetCount() {
			return nil
		}
		if err := pause(stream.Context(), every); err != nil {
			return err
		}
	}
}

var (
	feedActors   = []string{"Ada", "Grace", "Linus", "Margaret", "Dennis", "Barbara", "Ken"}
	feedServices = []string{"checkout", "search", "login", "billing", "mail"}
	feedRegions  = []string{"Seoul", "Frankfurt", "Oregon", "São Paulo"}
	// Alerts are rare, and the lengths of these lists have no common divisor, so it takes long until an item comes again.
	feedKinds = []string{"deploy", "comment", "signup", "comment", "deploy", "signup", "comment", "alert", "comment"}
)

// item is the nth item of every feed.
func (s *feedServer) item(n uint32) *feedv1.WatchFeedResponse {
	actor := feedActors[n%uint32(len(feedActors))]
	service := feedServices[n%uint32(len(feedServices))]
	region := feedRegions[n%uint32(len(feedRegions))]
	m := &feedv1.WatchFeedResponse{
		Sequence: n, Kind: feedKinds[n%uint32(len(feedKinds))], Actor: actor, Time: timestamppb.New(s.now()),
	}
	switch m.GetKind() {
	case "deploy":
		m.Text = fmt.Sprintf("deployed %s v1.%d to %s", service, n/4, region)
	case "comment":
		m.Text = fmt.Sprintf("commented on change %d in %s", 2000+n*3, service)
	case "signup":
		m.Text = fmt.Sprintf("signed up from %s", region)
	case "alert":
		m.Actor = service
		m.Text = fmt.Sprintf("answers slowly in %s: %d ms", region, 400+n%7*130)
	}
	return m
}
