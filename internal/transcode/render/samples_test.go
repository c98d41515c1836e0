package render_test

import (
	"fmt"
	"testing"
	"time"

	attributes "google.golang.org/genproto/googleapis/rpc/context/attribute_context"
	channelz "google.golang.org/grpc/channelz/grpc_channelz_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	feedv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/feed/v1"
	pricesv1 "github.com/grpc-sse/grpc-sse/internal/demo/gen/demo/prices/v1"
	"github.com/grpc-sse/grpc-sse/internal/transcode/render"
)

// sample is a message such as backends stream.
type sample struct {
	name    string
	message proto.Message
}

var at = time.Date(2026, 3, 14, 15, 9, 26, 535_897_000, time.UTC)

// samples are what the budget of time and allocations is for.
func samples() []sample {
	return []sample{
		{"small", small()},
		{"numbers", numbers()},
		{"medium", medium()},
		{"maps", maps()},
		{"large", large()},
	}
}

// small has about 90 bytes.
func small() proto.Message {
	return &feedv1.WatchFeedResponse{
		Sequence: 48_213, Kind: "comment", Actor: "margaret.hamilton",
		Text: "The guidance computer has restarted, again.", Time: timestamppb.New(at),
	}
}

// numbers is a small message of mostly numbers with decimals, which take longest to write.
func numbers() proto.Message {
	return &pricesv1.WatchPricesResponse{
		Sequence: 48_213, Symbol: "ACME", Name: "Acme Corporation", Price: 1234.56,
		ChangePercent: new(-0.75), Time: timestamppb.New(at),
	}
}

// medium has about 900 bytes: messages in each other, lists of them, times, 64-bit numbers, an enum.
func medium() proto.Message {
	return &channelz.GetTopChannelsResponse{Channel: []*channelz.Channel{channel(7, 9)}, End: true}
}

// maps has about 800 bytes, and six maps.
func maps() proto.Message {
	peer := func(n int) *attributes.AttributeContext_Peer {
		return &attributes.AttributeContext_Peer{
			Ip: fmt.Sprintf("10.4.17.%d", n), Port: int64(40_000 + n), Principal: "spiffe://acme.example/ns/billing/sa/invoices",
			RegionCode: "DE", Labels: map[string]string{"zone": "eu-central-1a", "version": "v41"},
		}
	}
	return &attributes.AttributeContext{
		Origin: peer(3), Source: peer(4), Destination: peer(5),
		Request: &attributes.AttributeContext_Request{
			Id: "5f0c7a52-8a2e-4b6d-9a53-0a7c3a1d2e4f", Method: "POST", Path: "/v1/invoices/2026-0042:send", Host: "billing.acme.example",
			Headers: map[string]string{"user-agent": "invoice-cli/2.4 (linux; amd64)", "x-request-id": "5f0c7a52", "accept": "application/json"},
			Scheme:  "https", Query: "notify=true&copy=archive", Time: timestamppb.New(at), Size: 5_120, Protocol: "h2",
			Auth: &attributes.AttributeContext_Auth{
				Principal: "user:4711", Audiences: []string{"https://billing.acme.example", "https://archive.acme.example"},
				Presenter: "invoice-cli", AccessLevels: []string{"employee", "device/managed"},
			},
		},
		Response: &attributes.AttributeContext_Response{
			Code: 202, Size: 312, Headers: map[string]string{"content-type": "application/json"}, Time: timestamppb.New(at.Add(37 * time.Millisecond)),
		},
		Resource: &attributes.AttributeContext_Resource{Service: "billing.acme.example", Name: "invoices/2026-0042", Type: "billing/Invoice"},
	}
}

// large has about 46 KB: a list of messages with lists in them.
func large() proto.Message {
	m := &channelz.GetTopChannelsResponse{End: true}
	for i := range 100 {
		m.Channel = append(m.Channel, channel(i, 4))
	}
	return m
}

func channel(n, events int) *channelz.Channel {
	c := &channelz.Channel{
		Ref: &channelz.ChannelRef{ChannelId: int64(n), Name: fmt.Sprintf("channel %d", n)},
		Data: &channelz.ChannelData{
			State:        &channelz.ChannelConnectivityState{State: channelz.ChannelConnectivityState_READY},
			Target:       fmt.Sprintf("dns:///backend-%d.acme.example:443", n),
			CallsStarted: int64(n) * 7919, CallsSucceeded: int64(n) * 7907, CallsFailed: int64(n * 12),
			LastCallStartedTimestamp: timestamppb.New(at.Add(time.Duration(n) * time.Second)),
			Trace:                    &channelz.ChannelTrace{NumEventsLogged: int64(n * 5), CreationTimestamp: timestamppb.New(at)},
		},
	}
	for i := range events {
		c.Data.Trace.Events = append(c.Data.Trace.Events, &channelz.ChannelTraceEvent{
			Description: "Channel Connectivity change to \"READY\"", Severity: channelz.ChannelTraceEvent_CT_INFO,
			Timestamp: timestamppb.New(at.Add(time.Duration(i) * time.Millisecond)),
			ChildRef: &channelz.ChannelTraceEvent_SubchannelRef{
				SubchannelRef: &channelz.SubchannelRef{SubchannelId: int64(n*10 + i), Name: "subchannel"},
			},
		})
		c.SubchannelRef = append(c.SubchannelRef, &channelz.SubchannelRef{SubchannelId: int64(n*10 + i), Name: "backend"})
	}
	return c
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestSamples(t *testing.T) {
	for _, s := range samples() {
		md := s.message.ProtoReflect().Descriptor()
		wire := marshal(t, s.message)
		reference{md: md, types: global}.compare(t, render.NewTypes(global).Program(md), wire)
	}
}
