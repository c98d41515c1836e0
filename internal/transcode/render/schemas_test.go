package render_test

import (
	"fmt"
	"math/rand/v2"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	_ "google.golang.org/protobuf/types/known/durationpb"
	_ "google.golang.org/protobuf/types/known/emptypb"
	_ "google.golang.org/protobuf/types/known/fieldmaskpb"
)

// wellKnownFiles are imported by every random schema.
var wellKnownFiles = []string{
	"google/protobuf/any.proto", "google/protobuf/duration.proto", "google/protobuf/empty.proto", "google/protobuf/field_mask.proto",
	"google/protobuf/struct.proto", "google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto",
}

var wellKnownTypes = []string{
	"Any", "Duration", "Empty", "FieldMask", "Struct", "Value", "ListValue", "Timestamp", "BoolValue", "Int32Value", "Int64Value",
	"UInt32Value", "UInt64Value", "FloatValue", "DoubleValue", "StringValue", "BytesValue",
}

// schemaMaker makes a file at random: messages M0, M1, … that hold each other, in one of the syntaxes.
type schemaMaker struct {
	r        *rand.Rand
	syntax   string
	file     *descriptorpb.FileDescriptorProto
	messages int
	closed   []bool // of enums
	extended int
}

func (g *schemaMaker) chance(percent int) bool { return g.r.IntN(100) < percent }

// randomSchema makes a file and what resolves its types. It reports false for the rare file that protobuf refuses.
func randomSchema(r *rand.Rand) (protoreflect.FileDescriptor, *dynamicpb.Types, error) {
	g := &schemaMaker{r: r, syntax: []string{"proto2", "proto3", "editions"}[r.IntN(3)], messages: 1 + r.IntN(4)}
	g.file = &descriptorpb.FileDescriptorProto{
		Name: new("random.proto"), Package: new("random.v1"), Syntax: new(g.syntax), Dependency: wellKnownFiles,
	}
	if g.syntax == "editions" {
		g.file.Edition = descriptorpb.Edition_EDITION_2023.Enum()
	}
	for i := range 3 {
		g.file.EnumType = append(g.file.EnumType, g.enum(i))
	}
	for i := range g.messages {
		g.file.MessageType = append(g.file.MessageType, g.message(i))
	}
	for range g.extended * 4 {
		g.file.Extension = append(g.file.Extension, g.extension())
	}
	fd, err := protodesc.NewFile(g.file, protoregistry.GlobalFiles)
	if err != nil {
		return nil, nil, fmt.Errorf("%w\n%v", err, g.file)
	}
	files := new(protoregistry.Files)
	for _, path := range wellKnownFiles {
		dep, err := protoregistry.GlobalFiles.FindFileByPath(path)
		if err != nil {
			return nil, nil, err
		}
		if err := files.RegisterFile(dep); err != nil {
			return nil, nil, err
		}
	}
	if err := files.RegisterFile(fd); err != nil {
		return nil, nil, err
	}
	return fd, dynamicpb.NewTypes(files), nil
}

func (g *schemaMaker) enum(i int) *descriptorpb.EnumDescriptorProto {
	ed := &descriptorpb.EnumDescriptorProto{Name: new(fmt.Sprintf("E%d", i))}
	closed := g.syntax == "proto2" || g.syntax == "editions" && g.chance(40)
	g.closed = append(g.closed, closed)
	if closed && g.syntax == "editions" {
		ed.Options = &descriptorpb.EnumOptions{Features: &descriptorpb.FeatureSet{EnumType: descriptorpb.FeatureSet_CLOSED.Enum()}}
	}
	numbers := []int32{0, 1, 2, -1, 5, 300, 1 << 30}
	if closed && i > 0 && g.chance(50) {
		numbers = []int32{2, 0, 1, 7}
	}
	for j, n := range numbers {
		ed.Value = append(ed.Value, &descriptorpb.EnumValueDescriptorProto{Name: new(fmt.Sprintf("E%d_V%d", i, j)), Number: new(n)})
	}
	return ed
}

func (g *schemaMaker) message(i int) *descriptorpb.DescriptorProto {
	md := &descriptorpb.DescriptorProto{Name: new(fmt.Sprintf("M%d", i))}
	count := g.r.IntN(12)
	if g.chance(10) {
		count = 60 + g.r.IntN(80)
	}
	oneofs := g.r.IntN(3)
	used := map[int32]bool{}
	taken := make([]int, oneofs)
	var optional []*descriptorpb.FieldDescriptorProto
	for j := range count {
		f := &descriptorpb.FieldDescriptorProto{Name: new(fmt.Sprintf("f_%d", j)), Number: new(g.number(used, count))}
		if g.chance(15) {
			f.JsonName = new([]string{"a\"b", "<tag>", "naïve", "x\u2028y", "UPPER", "tab\t"}[g.r.IntN(6)] + fmt.Sprint(j))
		}
		md.Field = append(md.Field, f)
		switch choice := g.r.IntN(10); {
		case choice == 0:
			g.mapField(md, f)
			continue
		case choice < 4 && oneofs > 0:
			g.kind(f, md)
			f.Label = descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()
			o := g.r.IntN(oneofs)
			taken[o]++
			f.OneofIndex = new(int32(o))
			continue
		}
		g.kind(f, md)
		g.label(f, &optional)
	}
	for o := range oneofs {
		if taken[o] == 0 { // protobuf wants a field in each
			f := &descriptorpb.FieldDescriptorProto{Name: new(fmt.Sprintf("only_%d", o)), Number: new(g.number(used, count))}
			g.kind(f, md)
			f.Label, f.OneofIndex = descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), new(int32(o))
			md.Field = append(md.Field, f)
		}
		md.OneofDecl = append(md.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: new(fmt.Sprintf("o_%d", o))})
	}
	md.Field = together(md.Field)
	for k, f := range optional {
		f.Proto3Optional, f.OneofIndex = new(true), new(int32(oneofs+k))
		md.OneofDecl = append(md.OneofDecl, &descriptorpb.OneofDescriptorProto{Name: new("_" + f.GetName())})
	}
	if g.syntax != "proto3" && g.chance(60) {
		md.ExtensionRange = []*descriptorpb.DescriptorProto_ExtensionRange{{Start: new(int32(1000)), End: new(int32(2000))}}
		g.extended++
	}
	return md
}

// together puts the cases of each oneof next to each other, as protobuf wants them.
func together(fields []*descriptorpb.FieldDescriptorProto) []*descriptorpb.FieldDescriptorProto {
	var sorted []*descriptorpb.FieldDescriptorProto
	placed := map[int32]bool{}
	for _, f := range fields {
		if f.OneofIndex == nil {
			sorted = append(sorted, f)
			continue
		}
		if o := f.GetOneofIndex(); !placed[o] {
			placed[o] = true
			for _, f := range fields {
				if f.OneofIndex != nil && f.GetOneofIndex() == o {
					sorted = append(sorted, f)
				}
			}
		}
	}
	return sorted
}

// number draws a field number, mostly near the number of fields.
func (g *schemaMaker) number(used map[int32]bool, count int) int32 {
	for {
		n := 1 + g.r.Int32N(int32(count)*2+3)
		switch g.r.IntN(20) {
		case 0:
			n = 500 + g.r.Int32N(20)
		case 1:
			n = 1<<29 - 1 - g.r.Int32N(3)
		}
		if !used[n] {
			used[n] = true
			return n
		}
	}
}

// kind gives a field a type. md gets the nested type of a group.
func (g *schemaMaker) kind(f *descriptorpb.FieldDescriptorProto, md *descriptorpb.DescriptorProto) {
	switch choice := g.r.IntN(30); {
	case choice < 15:
		scalars := []descriptorpb.FieldDescriptorProto_Type{
			1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 15, 16, 17, 18,
		}
		f.Type = scalars[choice].Enum()
		if f.GetType() == descriptorpb.FieldDescriptorProto_TYPE_STRING && g.syntax == "editions" && g.chance(50) {
			features(f).Utf8Validation = descriptorpb.FeatureSet_NONE.Enum()
		}
	case choice < 18:
		f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(), nil
	case choice < 20:
		f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_ENUM.Enum(), new(fmt.Sprintf(".random.v1.E%d", g.r.IntN(3)))
	case choice == 20:
		f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_ENUM.Enum(), new(".google.protobuf.NullValue")
	case choice < 25:
		f.Type = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum()
		f.TypeName = new(".google.protobuf." + wellKnownTypes[g.r.IntN(len(wellKnownTypes))])
	case choice < 27 && g.syntax == "proto2" && md != nil:
		name := "G" + f.GetName()[1:]
		f.Name = new("g" + f.GetName()[1:])
		f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_GROUP.Enum(), new(".random.v1."+md.GetName()+"."+name)
		inner := &descriptorpb.FieldDescriptorProto{Name: new("a"), Number: new(int32(1)), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
		g.kind(inner, nil)
		md.NestedType = append(md.NestedType, &descriptorpb.DescriptorProto{Name: new(name), Field: []*descriptorpb.FieldDescriptorProto{inner}})
	default:
		f.Type = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum()
		f.TypeName = new(fmt.Sprintf(".random.v1.M%d", g.r.IntN(g.messages)))
		if g.syntax == "editions" && g.chance(50) {
			features(f).MessageEncoding = descriptorpb.FeatureSet_DELIMITED.Enum()
		}
	}
}

func features(f *descriptorpb.FieldDescriptorProto) *descriptorpb.FeatureSet {
	if f.Options == nil {
		f.Options = &descriptorpb.FieldOptions{}
	}
	if f.Options.Features == nil {
		f.Options.Features = &descriptorpb.FeatureSet{}
	}
	return f.Options.Features
}

// label makes a field single, or a list.
func (g *schemaMaker) label(f *descriptorpb.FieldDescriptorProto, optional *[]*descriptorpb.FieldDescriptorProto) {
	f.Label = descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()
	numeric := f.GetTypeName() == "" && f.GetType() != descriptorpb.FieldDescriptorProto_TYPE_STRING && f.GetType() != descriptorpb.FieldDescriptorProto_TYPE_BYTES
	if g.chance(35) {
		f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		switch {
		case g.syntax == "editions" && numeric && g.chance(50):
			features(f).RepeatedFieldEncoding = descriptorpb.FeatureSet_EXPANDED.Enum()
		case g.syntax != "editions" && numeric && g.chance(50):
			f.Options = &descriptorpb.FieldOptions{Packed: new(g.chance(50))}
		}
		return
	}
	switch {
	case g.syntax == "proto3" && g.chance(30):
		*optional = append(*optional, f)
	case g.syntax == "proto2" && g.chance(20):
		f.Label = descriptorpb.FieldDescriptorProto_LABEL_REQUIRED.Enum()
	case g.syntax == "proto2" && f.GetType() == descriptorpb.FieldDescriptorProto_TYPE_INT32 && g.chance(50):
		f.DefaultValue = new("50")
	case g.syntax == "editions" && g.chance(40) && f.GetType() != descriptorpb.FieldDescriptorProto_TYPE_MESSAGE && f.GetType() != descriptorpb.FieldDescriptorProto_TYPE_ENUM:
		features(f).FieldPresence = descriptorpb.FeatureSet_IMPLICIT.Enum()
	case g.syntax == "editions" && g.chance(20):
		features(f).FieldPresence = descriptorpb.FeatureSet_LEGACY_REQUIRED.Enum()
	}
}

// mapField makes a field a map, whose entry is a nested type of md.
func (g *schemaMaker) mapField(md *descriptorpb.DescriptorProto, f *descriptorpb.FieldDescriptorProto) {
	keys := []descriptorpb.FieldDescriptorProto_Type{3, 4, 5, 6, 7, 8, 9, 13, 15, 16, 17, 18, 9, 9}
	name := "F" + f.GetName()[2:] + "Entry"
	optional := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()
	key := &descriptorpb.FieldDescriptorProto{Name: new("key"), Number: new(int32(1)), Label: optional, Type: keys[g.r.IntN(len(keys))].Enum()}
	value := &descriptorpb.FieldDescriptorProto{Name: new("value"), Number: new(int32(2)), Label: optional}
	for {
		value.Options, value.TypeName = nil, nil
		g.kind(value, nil)
		if value.GetOptions().GetFeatures().GetMessageEncoding() == 0 {
			break
		}
	}
	if value.GetType() == descriptorpb.FieldDescriptorProto_TYPE_ENUM {
		value.TypeName = new(".random.v1.E0") // protobuf wants one that begins with 0
	}
	md.NestedType = append(md.NestedType, &descriptorpb.DescriptorProto{
		Name: new(name), Field: []*descriptorpb.FieldDescriptorProto{key, value}, Options: &descriptorpb.MessageOptions{MapEntry: new(true)},
	})
	f.Label, f.Type = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum(), descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum()
	f.TypeName = new(".random.v1." + md.GetName() + "." + name)
}

// extension makes an extension of one of the messages that can be extended.
func (g *schemaMaker) extension() *descriptorpb.FieldDescriptorProto {
	for {
		md := g.file.MessageType[g.r.IntN(g.messages)]
		if len(md.ExtensionRange) == 0 {
			continue
		}
		n := len(g.file.Extension)
		f := &descriptorpb.FieldDescriptorProto{
			Name: new(fmt.Sprintf("x_%c_%d", 'a'+g.r.IntN(26), n)), Number: new(int32(1000 + n)), Extendee: new(".random.v1." + md.GetName()),
		}
		g.kind(f, nil)
		f.Label = descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()
		if g.chance(40) {
			f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		}
		return proto.CloneOf(f)
	}
}
