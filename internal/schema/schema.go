// Package schema turns descriptors and stream rules into one immutable, validated table of methods.
//
// A Schema is what one backend says about itself: Reflect asks it by gRPC server reflection, FromDescriptorSet reads a
// file. NewTable joins schemas with the options in the protos and the rules of the config into a Table: what is
// served, where, and how. Nothing here changes after it has been made; a reload makes a new table. No descriptor is
// ever put into protobuf's global registry, so two backends may differ about a type of the same name.
package schema

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Schema is one backend's services and types. It is immutable and safe for concurrent use.
type Schema struct {
	// Upstream is the backend's name, as given to Reflect or FromDescriptorSet.
	Upstream string
	// Files are the backend's files with everything that they import, and the well-known types.
	Files *protoregistry.Files
	// Types finds messages and extensions in Files: the resolver for google.protobuf.Any and for extensions.
	Types *dynamicpb.Types
	// Services are the services that the backend offers, sorted. Each is in Files.
	Services []protoreflect.FullName
	// Fingerprint is equal for equal schemas. Comments do not count. It is comparable within one process only.
	Fingerprint [sha256.Size]byte
	// Warnings are oddities that leave the rest usable, such as a service that reflection lists and cannot describe.
	Warnings []string
}

// FromDescriptorSet reads a serialized google.protobuf.FileDescriptorSet. It must hold every imported file, except
// google/protobuf/*, google/api/* and grpcsse/v1/stream.proto, which are filled in where the set lacks them. All
// services of all files in it count as served. Errors name the file.
func FromDescriptorSet(data []byte, upstream string) (*Schema, error) {
	set := &descriptorpb.FileDescriptorSet{}
	if err := unmarshalRaw(data, set); err != nil {
		return nil, errors.New("not a serialized google.protobuf.FileDescriptorSet: make one with " + makeSet)
	}
	if len(set.GetFile()) == 0 {
		return nil, errors.New("the descriptor set holds no files: make one with " + makeSet)
	}
	pool := newPool()
	var services []protoreflect.FullName
	for _, file := range set.GetFile() {
		if err := pool.add(file); err != nil {
			return nil, err
		}
		for _, service := range file.GetService() {
			services = append(services, protoreflect.FullName(file.GetPackage()).Append(protoreflect.Name(service.GetName())))
		}
	}
	if missing := pool.fillIn(); len(missing) > 0 {
		return nil, missingImports(missing, "is not in the descriptor set: make it with its imports by "+makeSet)
	}
	return pool.schema(upstream, services)
}

// makeSet is how to make a descriptor set.
const makeSet = "`buf build -o FILE` or `protoc --include_imports -o FILE`"

// unmarshalRaw reads descriptors without looking up any extension, so that what is linked into this binary has no say
// in how a backend's options are read, and a broken option is reported with its method.
func unmarshalRaw(data []byte, m proto.Message) error {
	return proto.UnmarshalOptions{Resolver: new(protoregistry.Types)}.Unmarshal(data, m)
}

// schema builds every file of the pool, whose imports must all be there.
func (p *pool) schema(upstream string, services []protoreflect.FullName) (*Schema, error) {
	fingerprint, err := p.fingerprint(services)
	if err != nil {
		return nil, err
	}
	files, err := p.build()
	if err != nil {
		return nil, err
	}
	addWellKnown(files)
	s := &Schema{Upstream: upstream, Files: files, Types: dynamicpb.NewTypes(files), Fingerprint: fingerprint}
	services = slices.Clone(services)
	slices.Sort(services)
	for _, name := range slices.Compact(services) {
		if _, ok := s.service(name); !ok {
			s.Warnings = append(s.Warnings, fmt.Sprintf("service %s is left out: the backend lists it and does not describe it", name))
			continue
		}
		s.Services = append(s.Services, name)
	}
	return s, nil
}

// service finds a service's descriptor.
func (s *Schema) service(name protoreflect.FullName) (protoreflect.ServiceDescriptor, bool) {
	d, err := s.Files.FindDescriptorByName(name)
	if err != nil {
		return nil, false
	}
	sd, ok := d.(protoreflect.ServiceDescriptor)
	return sd, ok
}

// fingerprint hashes the files and the list of services.
func (p *pool) fingerprint(services []protoreflect.FullName) (sum [sha256.Size]byte, err error) {
	hash := sha256.New()
	part := func(b []byte) {
		_, _ = hash.Write(binary.AppendUvarint(nil, uint64(len(b)))) // a hash never fails
		_, _ = hash.Write(b)
	}
	for _, path := range p.paths() {
		file := p.files[path]
		if file.GetSourceCodeInfo() != nil {
			file = proto.CloneOf(file)
			file.SourceCodeInfo = nil
		}
		raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(file)
		if err != nil {
			return sum, fmt.Errorf("file %q: %w", path, err)
		}
		part(raw)
	}
	sorted := slices.Sorted(slices.Values(services))
	for _, name := range slices.Compact(sorted) {
		part([]byte(name))
	}
	return [sha256.Size]byte(hash.Sum(nil)), nil
}
