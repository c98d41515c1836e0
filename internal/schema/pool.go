package schema

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	// The files that may be filled in are taken from these packages' descriptors.
	_ "google.golang.org/genproto/googleapis/api/annotations"
	_ "google.golang.org/genproto/googleapis/api/httpbody"
	_ "google.golang.org/protobuf/types/known/anypb"
	_ "google.golang.org/protobuf/types/known/apipb"
	_ "google.golang.org/protobuf/types/known/durationpb"
	_ "google.golang.org/protobuf/types/known/emptypb"
	_ "google.golang.org/protobuf/types/known/fieldmaskpb"
	_ "google.golang.org/protobuf/types/known/sourcecontextpb"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/timestamppb"
	_ "google.golang.org/protobuf/types/known/typepb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"

	_ "github.com/grpc-sse/grpc-sse/gen/grpcsse/v1" // the option's file may be filled in, too
)

// pool collects file descriptors by path until all imports are there.
type pool struct {
	files map[string]*descriptorpb.FileDescriptorProto
}

func newPool() *pool {
	return &pool{files: make(map[string]*descriptorpb.FileDescriptorProto)}
}

// add takes a file in. The same file twice is fine, two files of one name are not.
func (p *pool) add(file *descriptorpb.FileDescriptorProto) error {
	path := file.GetName()
	if path == "" {
		return errors.New("a file in the descriptors has no name: they are damaged")
	}
	if old, ok := p.files[path]; ok {
		if !proto.Equal(old, file) {
			return fmt.Errorf("file %q is there twice, with different contents: keep one of them", path)
		}
		return nil
	}
	p.files[path] = file
	return nil
}

// paths are the files' paths, sorted.
func (p *pool) paths() []string {
	return slices.Sorted(maps.Keys(p.files))
}

// missing maps each import that is not there to the first file that imports it.
func (p *pool) missing() map[string]string {
	missing := make(map[string]string)
	for _, path := range p.paths() {
		for _, dep := range p.files[path].GetDependency() {
			if _, ok := p.files[dep]; !ok && missing[dep] == "" {
				missing[dep] = path
			}
		}
	}
	return missing
}

// fillIn adds missing imports that this binary has, and what those import. It returns what is still missing.
func (p *pool) fillIn() map[string]string {
	for {
		missing := p.missing()
		added := false
		for path := range missing {
			if file, ok := linkedFile(path); ok {
				p.files[path] = file
				added = true
			}
		}
		if !added {
			return missing
		}
	}
}

// linkedFile is a copy of a file that every protobuf user has, or may leave out of a set.
func linkedFile(path string) (*descriptorpb.FileDescriptorProto, bool) {
	if !strings.HasPrefix(path, "google/protobuf/") && !strings.HasPrefix(path, "google/api/") && path != "grpcsse/v1/stream.proto" {
		return nil, false
	}
	file, err := protoregistry.GlobalFiles.FindFileByPath(path)
	if err != nil {
		return nil, false
	}
	return protodesc.ToFileDescriptorProto(file), true
}

// missingImports is one error for all missing files.
func missingImports(missing map[string]string, advice string) error {
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(missing)) {
		errs = append(errs, fmt.Errorf("file %q imports %q, which %s", missing[path], path, advice))
	}
	return errors.Join(errs...)
}

// build makes the descriptors, imported files first.
func (p *pool) build() (*protoregistry.Files, error) {
	b := builder{pool: p, files: new(protoregistry.Files), state: make(map[string]int)}
	for _, path := range p.paths() {
		if err := b.file(path); err != nil {
			return nil, err
		}
	}
	return b.files, nil
}

type builder struct {
	pool  *pool
	files *protoregistry.Files
	state map[string]int // by path: building or built
}

const (
	building = iota + 1
	built
)

func (b *builder) file(path string) error {
	switch b.state[path] {
	case built:
		return nil
	case building:
		return fmt.Errorf("file %q imports itself, directly or through others", path)
	}
	b.state[path] = building
	file := b.pool.files[path]
	for _, dep := range file.GetDependency() {
		if err := b.file(dep); err != nil {
			return err
		}
	}
	fd, err := protodesc.NewFile(file, b.files)
	if err != nil {
		return fmt.Errorf("file %q is not valid: %w", path, err)
	}
	if err := b.files.RegisterFile(fd); err != nil {
		return fmt.Errorf("file %q: %w", path, err)
	}
	b.state[path] = built
	return nil
}

// wellKnown are the files whose types may come inside a google.protobuf.Any of any backend.
var wellKnown = []string{
	"google/protobuf/any.proto", "google/protobuf/duration.proto", "google/protobuf/empty.proto",
	"google/protobuf/field_mask.proto", "google/protobuf/struct.proto", "google/protobuf/timestamp.proto",
	"google/protobuf/wrappers.proto",
}

// addWellKnown registers the well-known types that the backend did not bring itself, under whatever path.
func addWellKnown(files *protoregistry.Files) {
	for _, path := range wellKnown {
		fd, err := protoregistry.GlobalFiles.FindFileByPath(path)
		if err == nil {
			// What conflicts with a path or name of the backend's is refused whole, as it should be.
			_ = files.RegisterFile(fd)
		}
	}
}
