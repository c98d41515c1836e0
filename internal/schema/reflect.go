package schema

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// ErrNoReflection is the error of a backend that offers no server reflection. Asking it again is pointless until it is
// built anew.
var ErrNoReflection = errors.New("the backend has no gRPC server reflection: register the reflection service in it, or describe it with --descriptor-set FILE")

// The two services differ in their name only; the messages are the same on the wire.
const (
	reflectionMethod      = reflectionv1.ServerReflection_ServerReflectionInfo_FullMethodName
	reflectionAlphaMethod = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
)

// What one backend's description may take. Larger ones are given as descriptor sets.
const (
	maxFiles         = 10_000
	maxServices      = 10_000
	maxSchemaBytes   = 64 << 20
	maxReceivedBytes = 1 << 30 // some servers send every import again with each answer
)

// Reflect asks a backend for its services and their files, by grpc.reflection.v1 and, where the backend does not know
// that, by v1alpha. The reflection services themselves are not in the result. The error wraps ErrNoReflection where
// the backend has neither, and a gRPC status (see status.FromError) where the call failed; with any other error the
// descriptions are broken. It takes as long as ctx lets it.
func Reflect(ctx context.Context, conn grpc.ClientConnInterface, upstream string) (*Schema, error) {
	s, err := reflectBy(ctx, conn, upstream, reflectionMethod)
	if status.Code(err) != codes.Unimplemented {
		return s, err
	}
	s, err = reflectBy(ctx, conn, upstream, reflectionAlphaMethod)
	if status.Code(err) == codes.Unimplemented {
		return nil, ErrNoReflection
	}
	return s, err
}

func reflectBy(ctx context.Context, conn grpc.ClientConnInterface, upstream, method string) (*Schema, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	desc := &grpc.StreamDesc{StreamName: "ServerReflectionInfo", ServerStreams: true, ClientStreams: true}
	stream, err := conn.NewStream(ctx, desc, method, grpc.MaxCallRecvMsgSize(maxSchemaBytes))
	if err != nil {
		return nil, fmt.Errorf("server reflection: %w", err)
	}
	r := &reflection{stream: stream, pool: newPool(), has: make(map[protoreflect.FullName]bool)}
	services, err := r.services()
	if err != nil {
		return nil, err
	}
	for _, name := range services {
		if err := r.fetchService(name); err != nil {
			return nil, err
		}
	}
	if err := r.fetchImports(); err != nil {
		return nil, err
	}
	if len(services) > 0 && len(r.pool.files) == 0 {
		return nil, errors.New("server reflection lists services and describes none of them: describe the backend with --descriptor-set FILE")
	}
	if missing := r.pool.fillIn(); len(missing) > 0 {
		return nil, missingImports(missing, "the backend's server reflection does not have: describe the backend with --descriptor-set FILE")
	}
	return r.pool.schema(upstream, services)
}

// reflection is one reflection call.
type reflection struct {
	stream   grpc.ClientStream
	pool     *pool
	has      map[protoreflect.FullName]bool // the services in pool
	kept     int                            // bytes of descriptors in pool
	received int
}

// services asks for the names of all services but the reflection services.
func (r *reflection) services() ([]protoreflect.FullName, error) {
	resp, err := r.ask(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{ListServices: "*"},
	})
	if err != nil {
		return nil, err
	}
	if e := resp.GetErrorResponse(); e != nil {
		return nil, fmt.Errorf("server reflection does not list its services: %s (%s): describe the backend with --descriptor-set FILE",
			e.GetErrorMessage(), codes.Code(e.GetErrorCode()))
	}
	list := resp.GetListServicesResponse()
	if list == nil {
		return nil, errors.New("server reflection answered the question for its services with something else: describe the backend with --descriptor-set FILE")
	}
	if n := len(list.GetService()); n > maxServices {
		return nil, fmt.Errorf("server reflection lists %d services, more than the %d allowed: describe those you need with --descriptor-set FILE", n, maxServices)
	}
	var names []protoreflect.FullName
	for _, service := range list.GetService() {
		name := protoreflect.FullName(service.GetName())
		if name != "grpc.reflection.v1.ServerReflection" && name != "grpc.reflection.v1alpha.ServerReflection" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// fetchService asks for the file that declares a service. One that the backend cannot describe is no error: the
// schema warns of it.
func (r *reflection) fetchService(name protoreflect.FullName) error {
	if r.has[name] {
		return nil
	}
	return r.fetch(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: string(name)},
	})
}

// fetchImports asks for imported files that did not come along, until there are none or nobody knows them.
func (r *reflection) fetchImports() error {
	asked := make(map[string]bool)
	for {
		progress := false
		for _, path := range slices.Sorted(maps.Keys(r.pool.missing())) {
			if asked[path] || r.pool.files[path] != nil {
				continue
			}
			asked[path], progress = true, true
			err := r.fetch(&reflectionv1.ServerReflectionRequest{
				MessageRequest: &reflectionv1.ServerReflectionRequest_FileByFilename{FileByFilename: path},
			})
			if err != nil {
				return err
			}
		}
		if !progress {
			return nil
		}
	}
}

// fetch asks for files and keeps them. An answer that says that there is no such file keeps nothing.
func (r *reflection) fetch(req *reflectionv1.ServerReflectionRequest) error {
	resp, err := r.ask(req)
	if err != nil {
		return err
	}
	for _, raw := range resp.GetFileDescriptorResponse().GetFileDescriptorProto() {
		if err := r.keep(raw); err != nil {
			return err
		}
	}
	return nil
}

func (r *reflection) keep(raw []byte) error {
	if r.received += len(raw); r.received > maxReceivedBytes {
		return fmt.Errorf("server reflection sent more than %d MiB: describe the backend with --descriptor-set FILE", maxReceivedBytes>>20)
	}
	file := &descriptorpb.FileDescriptorProto{}
	if err := unmarshalRaw(raw, file); err != nil {
		return errors.New("server reflection sent a file descriptor that cannot be read: describe the backend with --descriptor-set FILE")
	}
	before := len(r.pool.files)
	if err := r.pool.add(file); err != nil {
		return fmt.Errorf("server reflection: %w", err)
	}
	if len(r.pool.files) == before {
		return nil
	}
	for _, service := range file.GetService() {
		r.has[protoreflect.FullName(file.GetPackage()).Append(protoreflect.Name(service.GetName()))] = true
	}
	if r.kept += len(raw); r.kept > maxSchemaBytes || len(r.pool.files) > maxFiles {
		return fmt.Errorf("the backend's descriptors are over %d MiB or %d files: describe what you need with --descriptor-set FILE",
			maxSchemaBytes>>20, maxFiles)
	}
	return nil
}

// ask sends one question and waits for its answer.
func (r *reflection) ask(req *reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
	// A send on a call that is over fails with io.EOF; the reason comes with the receive.
	if err := r.stream.SendMsg(req); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("server reflection: %w", err)
	}
	resp := &reflectionv1.ServerReflectionResponse{}
	if err := r.stream.RecvMsg(resp); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("server reflection ended before it had answered: describe the backend with --descriptor-set FILE")
		}
		return nil, fmt.Errorf("server reflection: %w", err)
	}
	return resp, nil
}
