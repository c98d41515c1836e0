package bridgetest_test

import (
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"google.golang.org/genproto/googleapis/api/annotations"

	_ "github.com/grpc-sse/grpc-sse/gen/grpcsse/v1" // for the options in the schemas
)

// messages are what the methods of a dynamic backend receive and send.
const messages = `
message_type {
  name: "Request"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "level" number: 2 type: TYPE_ENUM type_name: ".test.v1.Level" label: LABEL_OPTIONAL }
  field { name: "max_count" json_name: "maxCount" number: 3 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "filter" number: 4 type: TYPE_MESSAGE type_name: ".test.v1.Filter" label: LABEL_OPTIONAL }
}
message_type {
  name: "Filter"
  field { name: "ratio" number: 1 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
  field { name: "exact" number: 2 type: TYPE_BOOL label: LABEL_OPTIONAL }
}
message_type {
  name: "Event"
  field { name: "method" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
  field { name: "request" number: 2 type: TYPE_MESSAGE type_name: ".test.v1.Request" label: LABEL_OPTIONAL }
}
enum_type { name: "Level" value { name: "LOW" number: 0 } value { name: "HIGH" number: 1 } }
`

// watch is the text of a server-streaming method with these options.
func watch(name, options string) string {
	return `method { name: "` + name + `" input_type: ".test.v1.Request" output_type: ".test.v1.Event" server_streaming: true options { ` + options + ` } } `
}

// get is an HTTP rule.
func get(path string) string { return `[google.api.http] { get: "` + path + `" } ` }

// httpRule is the option that get writes, for descriptors that are changed.
var httpRule = annotations.E_Http

func rule(path string) *annotations.HttpRule {
	return &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: path}}
}

// descriptors makes the file test/items.proto with the service test.v1.Items and these methods. Where it says more than
// messages does, replace takes pairs of old and new text.
func descriptors(t testing.TB, methods string, replace ...string) *descriptorpb.FileDescriptorProto {
	t.Helper()
	text := `name: "test/items.proto" package: "test.v1" syntax: "proto3"
		dependency: "google/api/annotations.proto" dependency: "grpcsse/v1/stream.proto" ` +
		strings.NewReplacer(replace...).Replace(messages) + `service { name: "Items" ` + methods + ` }`
	file := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(text), file); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return file
}

// descriptorSet serializes one file, without what it imports.
func descriptorSet(t testing.TB, file *descriptorpb.FileDescriptorProto) []byte {
	t.Helper()
	data, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{file}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// dynamic is a backend whose schema is only known at run time, and can be exchanged while it serves. Every method sends
// one Event, with its own name and the request that it got.
type dynamic struct {
	t    testing.TB
	hold chan struct{} // not nil: calls wait until it is closed, and then send their Event again

	mu   sync.Mutex
	file protoreflect.FileDescriptor
}

func newDynamic(t testing.TB, file *descriptorpb.FileDescriptorProto) *dynamic {
	t.Helper()
	d := &dynamic{t: t}
	d.become(file)
	return d
}

// become exchanges the schema.
func (d *dynamic) become(file *descriptorpb.FileDescriptorProto) {
	d.t.Helper()
	fd, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		d.t.Fatal(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.file = fd
}

// server returns a server of the backend's methods and reflection.
func (d *dynamic) server() *grpc.Server {
	s := grpc.NewServer(grpc.UnknownServiceHandler(d.handle), grpc.WaitForHandlers(true))
	reflectionv1.RegisterServerReflectionServer(s, reflection.NewServerV1(reflection.ServerOptions{
		Services: d, DescriptorResolver: d, ExtensionResolver: protoregistry.GlobalTypes,
	}))
	return s
}

func (d *dynamic) current() protoreflect.FileDescriptor {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.file
}

func (d *dynamic) handle(_ any, stream grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(stream)
	full := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(name, "/"), "/", "."))
	found, err := d.FindDescriptorByName(full)
	method, ok := found.(protoreflect.MethodDescriptor)
	if err != nil || !ok {
		return status.Errorf(codes.Unimplemented, "unknown method %s", full)
	}
	request := dynamicpb.NewMessage(method.Input())
	if err := stream.RecvMsg(request); err != nil {
		return err
	}
	event := dynamicpb.NewMessage(method.Output())
	event.Set(method.Output().Fields().ByNumber(1), protoreflect.ValueOfString(string(method.Name())))
	event.Set(method.Output().Fields().ByNumber(2), protoreflect.ValueOfMessage(request))
	if err := stream.SendMsg(event); err != nil || d.hold == nil {
		return err
	}
	select {
	case <-d.hold:
		return stream.SendMsg(event)
	case <-stream.Context().Done():
		return status.FromContextError(stream.Context().Err()).Err()
	}
}

// GetServiceInfo is the list that reflection gives.
func (d *dynamic) GetServiceInfo() map[string]grpc.ServiceInfo {
	services := map[string]grpc.ServiceInfo{}
	file := d.current()
	for i := range file.Services().Len() {
		services[string(file.Services().Get(i).FullName())] = grpc.ServiceInfo{}
	}
	return services
}

// FindFileByPath finds a file for reflection.
func (d *dynamic) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if file := d.current(); file.Path() == path {
		return file, nil
	}
	return protoregistry.GlobalFiles.FindFileByPath(path)
}

// FindDescriptorByName finds a service of the backend's file, or a method of one.
func (d *dynamic) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	services := d.current().Services()
	for i := range services.Len() {
		service := services.Get(i)
		if service.FullName() == name {
			return service, nil
		}
		if m := service.Methods().ByName(name.Name()); m != nil && m.FullName() == name {
			return m, nil
		}
	}
	return nil, protoregistry.NotFound
}
