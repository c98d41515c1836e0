package readme_test

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// orders is the service that the README takes for the reader's own. Its schema is what the README's protos say.
type orders struct {
	address string

	mu     sync.Mutex
	source string
	files  *protoregistry.Files
}

// orderEvents are what the README shows of an order.
var orderEvents = []string{`{"packed":{"items":3}}`, `{"shipped":{"carrier":"Seagull Parcel"}}`, `{"delivered":{}}`}

// startOrders serves until the test ends.
func startOrders(t *testing.T) *orders {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &orders{address: l.Addr().String(), files: new(protoregistry.Files)}
	s := grpc.NewServer(grpc.UnknownServiceHandler(o.watch), grpc.WaitForHandlers(true))
	reflectionv1.RegisterServerReflectionServer(s, reflection.NewServerV1(reflection.ServerOptions{
		Services: o, DescriptorResolver: o, ExtensionResolver: protoregistry.GlobalTypes,
	}))
	served := make(chan error, 1) // one slot: Serve ends whether it is waited for or not
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return o
}

// service matches a service in a proto file whose closing brace stands at the start of a line.
var service = regexp.MustCompile(`(?ms)^service .*?^}\n`)

// learn takes the next proto block: the whole file, or imports and a service that replace the file's own service.
func (o *orders) learn(t *testing.T, block string) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if strings.HasPrefix(block, "syntax") {
		o.source = block
	} else {
		o.source = service.ReplaceAllLiteralString(o.source, block)
	}
	o.files = compile(t, o.source)
}

// compile compiles a proto beside those that users import.
func compile(t *testing.T, source string) *protoregistry.Files {
	t.Helper()
	dir := t.TempDir()
	for from, to := range map[string]string{"proto": "proto", "third_party/googleapis": "googleapis", "third_party/protovalidate": "protovalidate"} {
		if err := os.CopyFS(filepath.Join(dir, to), os.DirFS(filepath.Join(root, from))); err != nil {
			t.Fatal(err)
		}
	}
	modules := "version: v2\nmodules: [{path: proto}, {path: googleapis}, {path: protovalidate}, {path: own}]\n"
	err := errors.Join(
		os.MkdirAll(filepath.Join(dir, "own"), 0o755),
		os.WriteFile(filepath.Join(dir, "own/orders.proto"), []byte(source), 0o644),
		os.WriteFile(filepath.Join(dir, "buf.yaml"), []byte(modules), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "orders.binpb")
	build := exec.Command("go", "tool", "-modfile=tools/buf.mod", "buf", "build", dir, "--as-file-descriptor-set", "-o", out)
	build.Dir = root
	if printed, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the README's proto: %v\n%s", err, printed)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(data, set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// watch is OrderService.WatchOrder.
func (o *orders) watch(_ any, stream grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(stream)
	found, err := o.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(name, "/"), "/", ".")))
	if err != nil {
		return err
	}
	method := found.(protoreflect.MethodDescriptor)
	request := dynamicpb.NewMessage(method.Input())
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	if got := request.Get(method.Input().Fields().ByName("order_id")).String(); got != "42" {
		return errors.New("the README watches order 42, not " + got)
	}
	for _, event := range orderEvents {
		m := dynamicpb.NewMessage(method.Output())
		if err := protojson.Unmarshal([]byte(event), m); err != nil {
			return err
		}
		if err := stream.SendMsg(m); err != nil {
			return err
		}
	}
	return nil
}

func (o *orders) registry() *protoregistry.Files {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.files
}

// GetServiceInfo is the list that reflection gives.
func (o *orders) GetServiceInfo() map[string]grpc.ServiceInfo {
	services := map[string]grpc.ServiceInfo{}
	o.registry().RangeFilesByPackage("acme.orders.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			services[string(file.Services().Get(i).FullName())] = grpc.ServiceInfo{}
		}
		return true
	})
	return services
}

// FindFileByPath finds a file for reflection.
func (o *orders) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	return o.registry().FindFileByPath(path)
}

// FindDescriptorByName finds what a file declares.
func (o *orders) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	return o.registry().FindDescriptorByName(name)
}
