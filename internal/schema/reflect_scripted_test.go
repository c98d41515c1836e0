package schema_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/grpc-sse/grpc-sse/internal/schema"
)

// scripted is a reflection server that answers as told.
type scripted struct {
	reflectionv1.UnimplementedServerReflectionServer
	answer func(*reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error)
	ended  chan<- struct{} // may be nil
}

func (s scripted) ServerReflectionInfo(stream reflectionv1.ServerReflection_ServerReflectionInfoServer) error {
	if s.ended != nil {
		defer func() { s.ended <- struct{}{} }()
	}
	for {
		req, err := stream.Recv()
		if err != nil {
			return err
		}
		resp, err := s.answer(req)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(resp); err != nil {
			return err
		}
	}
}

func reflectScripted(t *testing.T, answer func(*reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error)) (*schema.Schema, error) {
	t.Helper()
	conn := serve(t, func(s *grpc.Server) { reflectionv1.RegisterServerReflectionServer(s, scripted{answer: answer}) })
	return schema.Reflect(t.Context(), conn, "scripted")
}

func listing(names ...string) *reflectionv1.ServerReflectionResponse {
	list := &reflectionv1.ListServiceResponse{}
	for _, name := range names {
		list.Service = append(list.Service, &reflectionv1.ServiceResponse{Name: name})
	}
	return &reflectionv1.ServerReflectionResponse{MessageResponse: &reflectionv1.ServerReflectionResponse_ListServicesResponse{ListServicesResponse: list}}
}

func files(raw ...[]byte) *reflectionv1.ServerReflectionResponse {
	return &reflectionv1.ServerReflectionResponse{MessageResponse: &reflectionv1.ServerReflectionResponse_FileDescriptorResponse{
		FileDescriptorResponse: &reflectionv1.FileDescriptorResponse{FileDescriptorProto: raw},
	}}
}

func notFound() *reflectionv1.ServerReflectionResponse {
	return &reflectionv1.ServerReflectionResponse{MessageResponse: &reflectionv1.ServerReflectionResponse_ErrorResponse{
		ErrorResponse: &reflectionv1.ErrorResponse{ErrorCode: int32(codes.NotFound), ErrorMessage: "no such thing"},
	}}
}

// library answers from the files of a descriptor set, one at a time, as servers do that do not send imports along.
func library(t *testing.T, list []string, data []byte) func(*reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
	t.Helper()
	fds := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(data, fds); err != nil {
		t.Fatal(err)
	}
	return func(req *reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
		if req.GetListServices() != "" {
			return listing(list...), nil
		}
		for _, fd := range fds.GetFile() {
			found := fd.GetName() == req.GetFileByFilename()
			for _, service := range fd.GetService() {
				found = found || fd.GetPackage()+"."+service.GetName() == req.GetFileContainingSymbol()
			}
			if found {
				raw, err := proto.Marshal(fd)
				return files(raw), err
			}
		}
		return notFound(), nil
	}
}

func TestReflectFetchesImports(t *testing.T) {
	data := set(t,
		`name: "a.proto" package: "a" syntax: "proto3" dependency: "b.proto" dependency: "google/protobuf/any.proto" service { name: "S" method { name: "M" input_type: ".b.M" output_type: ".b.M" } }`,
		`name: "b.proto" package: "b" syntax: "proto3" dependency: "c.proto" message_type { name: "M" field { name: "c" number: 1 type: TYPE_MESSAGE type_name: ".c.M" label: LABEL_OPTIONAL } }`,
		`name: "c.proto" package: "c" syntax: "proto3" message_type { name: "M" }`,
	)
	s, err := reflectScripted(t, library(t, []string{"a.S", "a.Gone", "grpc.reflection.v1.ServerReflection"}, data))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]protoreflect.FullName{"a.S"}, s.Services); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	tab := table(t, schema.Options{Expose: []string{"*"}}, s)
	if w := tab.Warnings(); len(w) != 1 || !strings.Contains(w[0], `upstream "scripted": service a.Gone is left out`) {
		t.Errorf("warnings %q", w)
	}
}

func TestOneQuestionForEachFile(t *testing.T) {
	answer := library(t, []string{"a.S", "a.T"}, set(t, `name: "a.proto" package: "a" service { name: "S" } service { name: "T" }`))
	var asked []string
	_, err := reflectScripted(t, func(req *reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
		asked = append(asked, req.GetFileContainingSymbol())
		return answer(req)
	})
	if diff := cmp.Diff([]string{"", "a.S"}, asked); diff != "" || err != nil {
		t.Errorf("questions (-want +got):\n%s\nerror %v", diff, err)
	}
}

// A call left open would cost the backend a goroutine for as long as the connection lives.
func TestReflectEndsItsCall(t *testing.T) {
	ended := make(chan struct{}, 1) // the handler's end must not wait for a test that has failed
	conn := serve(t, func(s *grpc.Server) {
		reflectionv1.RegisterServerReflectionServer(s, scripted{
			answer: func(*reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
				return listing(), nil
			},
			ended: ended,
		})
	})
	if _, err := schema.Reflect(t.Context(), conn, "x"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the call goes on after Reflect has returned")
	}
}

func TestBrokenReflection(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(*reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error)
		want   []string
	}{
		"missing import": {
			library(t, []string{"a.S"}, set(t, `name: "a.proto" package: "a" dependency: "b.proto" service { name: "S" }`)),
			[]string{`file "a.proto" imports "b.proto"`, "--descriptor-set"},
		},
		"only services that it does not describe": {
			library(t, []string{"a.S"}, nil), []string{"describes none of them"},
		},
		"invalid file": {
			library(t, []string{"a.S"}, set(t, `name: "a.proto" package: "a" service { name: "S" method { name: "M" input_type: ".no.Such" output_type: ".no.Such" } }`)),
			[]string{`file "a.proto" is not valid`},
		},
		"garbage": {
			func(req *reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
				if req.GetListServices() != "" {
					return listing("a.S"), nil
				}
				return files([]byte{0xff, 1, 2}), nil
			},
			[]string{"a file descriptor that cannot be read"},
		},
		"no list": {
			func(*reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
				return notFound(), nil
			},
			[]string{"does not list its services", "no such thing", "NotFound"},
		},
		"something else": {
			func(*reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
				return files(), nil
			},
			[]string{"with something else"},
		},
		"early end": {
			func(*reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
				return nil, io.EOF
			},
			[]string{"ended before it had answered"},
		},
		"too many services": {
			func(*reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
				return listing(make([]string, 10_001)...), nil
			},
			[]string{"lists 10001 services"},
		},
		"an endless chain of imports": {
			func() func(*reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
				big := strings.Repeat("x", 3<<20)
				return func(req *reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
					if req.GetListServices() != "" {
						return listing("a.S"), nil
					}
					name := req.GetFileByFilename()
					raw, err := proto.Marshal(&descriptorpb.FileDescriptorProto{
						Name: &name, Dependency: []string{name + "x"}, SourceCodeInfo: &descriptorpb.SourceCodeInfo{
							Location: []*descriptorpb.SourceCodeInfo_Location{{LeadingComments: &big}},
						},
					})
					if name == "" {
						raw, err = proto.Marshal(&descriptorpb.FileDescriptorProto{Name: new("a"), Dependency: []string{"x"}})
					}
					return files(raw), err
				}
			}(),
			[]string{"over 64 MiB or 10000 files"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := reflectScripted(t, tt.answer)
			wantError(t, err, tt.want...)
			if status.Code(err) != codes.Unknown {
				t.Errorf("broken descriptors look like a failed call: %v", err)
			}
		})
	}
}

func TestReflectFailsAsTheCallDoes(t *testing.T) {
	_, err := reflectScripted(t, func(*reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
		return nil, status.Error(codes.PermissionDenied, "not you")
	})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("error %v, want PERMISSION_DENIED", err)
	}
}

func TestReflectEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		conn := serve(t, func(s *grpc.Server) {
			reflectionv1.RegisterServerReflectionServer(s, scripted{answer: func(*reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
				<-hang
				return nil, io.EOF
			}})
		})
		defer close(hang)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := schema.Reflect(ctx, conn, "x"); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("error %v, want DEADLINE_EXCEEDED", err)
		}
	})
}
