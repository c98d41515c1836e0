package upstream

import (
	"context"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/resolver/dns"
)

const (
	// A stream's window is what grpc-go buffers of a stream that nobody reads: fixed, because its dynamic windows grow
	// to 16 MB each. A message larger than the window still arrives, since grpc-go widens it for one that is being read.
	streamWindow = 128 << 10
	// The connection's window is given back as bytes arrive, read or not, so that one slow stream stops no other.
	connWindow = 1 << 20

	// maxHeaderBytes bounds the backend's headers and trailers, status details included (grpc-go's default is 16 MiB).
	maxHeaderBytes = 64 << 10

	// A dead host is found by TCP alone: gRPC's pings, sent as often, break the default policy of gRPC servers.
	keepaliveIdle, keepaliveInterval, keepaliveCount = 15 * time.Second, 15 * time.Second, 3

	// While the backend is away its address is dialled again at least this often, so that calls can go on within
	// seconds of its return (grpc-go's default goes up to 120 s).
	maxDialPause = 2 * time.Second

	// dialTimeout ends the dialling of a host that does not answer at all. Calls wait for the first answer, good or bad.
	dialTimeout = 5 * time.Second

	// resolveInterval is how often a name may be looked up again while no address of it works (grpc-go's default, 30 s,
	// would make every call wait that long for a pod that came back under another address).
	resolveInterval = 2 * time.Second
)

// frameBuffers are what frames are read into. Joined ones have any size: of grpc-go's own pool (4 KiB, 16 KiB, …) most of a
// buffer could be empty, and a reader that has stopped holds a whole window of them.
var frameBuffers = func() mem.BufferPool {
	p, err := mem.NewBinaryTieredBufferPool(8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
	if err != nil {
		panic(err) // they are constants
	}
	return p
}()

// init sets what grpc-go offers for the whole process only, and before any call.
func init() { dns.SetMinResolutionInterval(resolveInterval) }

// dialOptions returns how every connection of the pool is made.
func dialOptions(o Options) []grpc.DialOption {
	creds := insecure.NewCredentials()
	if o.TLS != nil {
		creds = credentials.NewTLS(o.TLS)
	}
	return append([]grpc.DialOption{
		grpc.WithTransportCredentials(joining{creds}),
		grpc.WithReadBufferSize(0), // joined has one
		experimental.WithBufferPool(frameBuffers),
		grpc.WithContextDialer(dial),
		grpc.WithUserAgent("grpc-sse"),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: maxDialPause},
			MinConnectTimeout: dialTimeout,
		}),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithMaxHeaderListSize(maxHeaderBytes),
		// Balancing is the bridge's: a service config that came by DNS could bring retries, and takes TXT queries.
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
		grpc.WithDisableRetry(),
	}, o.DialOptions...)
}

// dial opens one TCP or Unix connection. address is HOST:PORT, or unix: and a path as grpc-go hands it over.
func dial(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: keepaliveIdle, Interval: keepaliveInterval, Count: keepaliveCount,
		},
		ControlContext: control,
	}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return d.DialContext(ctx, "unix", strings.TrimPrefix(path, "//"))
	}
	return d.DialContext(ctx, "tcp", address)
}
