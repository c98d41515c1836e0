package render_test

import (
	"math"
	"math/rand/v2"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// wireMaker draws encoded messages as no encoder would write them: fields in any order and again, messages in parts,
// lists in and out of blocks, oneofs set over and over, unknown fields, known ones of another wire type, varints that
// are longer than they need to be, and here and there what is not allowed at all.
type wireMaker struct {
	r          *rand.Rand
	types      *dynamicpb.Types
	names      []protoreflect.FullName // for Any
	extensions map[protoreflect.FullName][]protoreflect.FieldDescriptor
	bad        int // how often, in a thousand values, something is not allowed
}

// newWireMaker makes one for the messages of a file.
func newWireMaker(r *rand.Rand, fd protoreflect.FileDescriptor, types *dynamicpb.Types) *wireMaker {
	g := &wireMaker{r: r, types: types, extensions: make(map[protoreflect.FullName][]protoreflect.FieldDescriptor)}
	for i := range fd.Messages().Len() {
		g.names = append(g.names, fd.Messages().Get(i).FullName())
	}
	for _, name := range wellKnownTypes {
		g.names = append(g.names, protoreflect.FullName("google.protobuf."+name))
	}
	for i := range fd.Extensions().Len() {
		xd := fd.Extensions().Get(i)
		of := xd.ContainingMessage().FullName()
		g.extensions[of] = append(g.extensions[of], xd)
	}
	return g
}

func (g *wireMaker) chance(percent int) bool { return g.r.IntN(100) < percent }

func (g *wireMaker) isBad() bool { return g.r.IntN(1000) < g.bad }

// varint appends a varint, sometimes longer than it needs to be.
func (g *wireMaker) varint(b []byte, v uint64) []byte {
	b = protowire.AppendVarint(b, v)
	if g.r.IntN(30) != 0 || protowire.SizeVarint(v) > 7 {
		return b
	}
	for range 1 + g.r.IntN(2) {
		b[len(b)-1] |= 0x80
		b = append(b, 0)
	}
	return b
}

func (g *wireMaker) tag(b []byte, n protowire.Number, t protowire.Type) []byte {
	if g.isBad() {
		n = protowire.Number([]uint32{0, 1<<29 - 1, 1 << 29, 1<<31 - 1}[g.r.IntN(4)])
	}
	return g.varint(b, protowire.EncodeTag(n, t))
}

func (g *wireMaker) bytes(b, content []byte) []byte {
	n := len(content)
	if g.isBad() {
		n += g.r.IntN(3) - 1
	}
	return append(g.varint(b, uint64(n)), content...)
}

// message draws the fields of a message.
func (g *wireMaker) message(md protoreflect.MessageDescriptor, depth int) []byte {
	fields := slices.Clone(g.extensions[md.FullName()])
	for i := range md.Fields().Len() {
		fields = append(fields, md.Fields().Get(i))
	}
	if md.FullName() == "google.protobuf.Any" && g.chance(90) {
		return g.any(md, depth)
	}
	if g.chance(50) {
		return g.orderly(md, depth)
	}
	var b []byte
	count := g.r.IntN(2 + min(2*len(fields), 8))
	if g.chance(50) {
		count = min(count, 2)
	}
	for range count {
		if len(fields) == 0 || g.chance(4) {
			b = g.unknown(b, protowire.Number(1+g.r.IntN(40)), 2)
			continue
		}
		fd := fields[g.r.IntN(len(fields))]
		for range 1 + g.r.IntN(5)/3 {
			b = g.field(b, fd, depth)
		}
	}
	return b
}

// orderly draws some fields of a message as most encoders would write them: in order, of a oneof mostly one.
func (g *wireMaker) orderly(md protoreflect.MessageDescriptor, depth int) []byte {
	var b []byte
	var set protoreflect.OneofDescriptor
	share := min(60, 200*(1+g.r.IntN(2))/(1+md.Fields().Len())) // of the fields, so that there are two or four
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		if od := fd.ContainingOneof(); !g.chance(share) || od != nil && od == set && g.chance(95) {
			continue
		}
		set = fd.ContainingOneof()
		times := 1
		if fd.Cardinality() == protoreflect.Repeated {
			times += g.r.IntN(4) / 2
		}
		for range times {
			b = g.field(b, fd, depth)
		}
		if g.chance(2) {
			b = g.unknown(b, protowire.Number(1+g.r.IntN(40)), 2)
		}
	}
	return b
}

func (g *wireMaker) field(b []byte, fd protoreflect.FieldDescriptor, depth int) []byte {
	number := fd.Number()
	switch {
	case g.chance(3):
		return g.unknown(b, number, 2)
	case fd.IsMap():
		return g.bytes(g.tag(b, number, protowire.BytesType), g.entry(fd, depth))
	case fd.IsList() && packable(fd.Kind()) && g.chance(60):
		var block []byte
		for range g.r.IntN(4) {
			_, block = g.scalar(block, fd)
		}
		return g.bytes(g.tag(b, number, protowire.BytesType), block)
	case fd.Message() == nil:
		typ, value := g.scalar(nil, fd)
		return append(g.tag(b, number, typ), value...)
	case depth == 0:
		return b
	case fd.Kind() == protoreflect.GroupKind:
		b = g.tag(b, number, protowire.StartGroupType)
		b = append(b, g.message(fd.Message(), depth-1)...)
		return g.tag(b, number, protowire.EndGroupType)
	default:
		return g.bytes(g.tag(b, number, protowire.BytesType), g.message(fd.Message(), depth-1))
	}
}

// entry draws an entry of a map, in which anything may be missing or there twice.
func (g *wireMaker) entry(fd protoreflect.FieldDescriptor, depth int) []byte {
	var b []byte
	for range 1 + g.r.IntN(6)/5 {
		if g.chance(85) {
			b = g.field(b, fd.MapKey(), 0)
		}
		if g.chance(85) {
			b = g.field(b, fd.MapValue(), depth)
		}
		if g.chance(3) {
			b = g.unknown(b, 3, 1)
		}
	}
	return b
}

// any draws an Any, mostly of a type that there is and with what belongs into it, and sometimes in parts.
func (g *wireMaker) any(md protoreflect.MessageDescriptor, depth int) []byte {
	name := g.names[g.r.IntN(len(g.names))]
	var content []byte
	if d, err := g.types.FindMessageByName(name); err == nil && depth > 0 {
		content = g.message(d.Descriptor(), depth-1)
	}
	if g.isBad() {
		name = "no.Such"
	}
	b := g.bytes(g.tag(nil, 1, protowire.BytesType), []byte("x.com/"+string(name)))
	return g.bytes(g.tag(b, 2, protowire.BytesType), content)
}

// unknown draws a field of any wire type.
func (g *wireMaker) unknown(b []byte, n protowire.Number, depth int) []byte {
	switch g.r.IntN(5) {
	case 0:
		return g.varint(g.tag(b, n, protowire.VarintType), g.r.Uint64())
	case 1:
		return protowire.AppendFixed32(g.tag(b, n, protowire.Fixed32Type), g.r.Uint32())
	case 2:
		return protowire.AppendFixed64(g.tag(b, n, protowire.Fixed64Type), g.r.Uint64())
	case 3:
		b = g.tag(b, n, protowire.StartGroupType)
		for range g.r.IntN(3) {
			if depth > 0 {
				b = g.unknown(b, protowire.Number(1+g.r.IntN(40)), depth-1)
			}
		}
		return g.tag(b, n, protowire.EndGroupType)
	default:
		return g.bytes(g.tag(b, n, protowire.BytesType), []byte("abc")[:g.r.IntN(4)])
	}
}

func packable(k protoreflect.Kind) bool {
	return k != protoreflect.StringKind && k != protoreflect.BytesKind && k != protoreflect.MessageKind && k != protoreflect.GroupKind
}

var (
	texts = []string{
		"", "", "a", "plain text that is longer than a word", "<b>&amp;\u2028\u2029</b>", "\"quoted\" \\ \b\f\n\r\t\x00\x1f\x7f",
		"naïve 한국어 😀 \ufffd", "a_b.c", "foo_bar,", "d", "_x", "UPPER", "a__b", "12345678", "1234567\"", "ééééééé<", "\u2027\u202a", "google.protobuf.Any",
	}
	numbersToTry = []uint64{
		0, 0, 1, 2, 5, 7, 127, 128, 300, math.MaxInt32, 1 << 31, math.MaxUint32, 1 << 32, math.MaxInt64, 1 << 63, math.MaxUint64,
		999_999_999, 1_000_000_000, 500_000_000, 1_700_000_000, 315_576_000_001, 253_402_300_799, 253_402_300_800,
		0xffff_fff1_886e_0900 /* year 1 */, 0xffff_fff1_886e_08ff,
	}
	floatsToTry = []float64{
		0, math.Copysign(0, -1), 1, -1, 0.1, 0.5, 1234.56, -0.75, 1e-6, 9.9e-7, 1e-7, 1e20, 1e21, 1e22, 1e300, 5e-324, 123456789012345678,
		1 << 53, 1<<53 - 1, 1 << 24, 16777217, 0.30000000000000004, 100, 1e15, 123456.789, math.Pi, math.NaN(), math.Inf(1), math.Inf(-1),
		999999999999999.9, 99999999999999.98, 0.001, 0.000123, 2.5, 1e10 + 0.5, math.MaxFloat32, math.MaxFloat64,
	}
)

// scalar appends a value, and returns its wire type.
func (g *wireMaker) scalar(b []byte, fd protoreflect.FieldDescriptor) (protowire.Type, []byte) {
	n := numbersToTry[g.r.IntN(len(numbersToTry))]
	if g.chance(20) {
		n = g.r.Uint64() >> g.r.IntN(64)
	}
	f := floatsToTry[g.r.IntN(len(floatsToTry))]
	switch g.r.IntN(6) {
	case 0:
		f = math.Float64frombits(g.r.Uint64())
	case 1:
		f = math.Round(g.r.NormFloat64()*1e6) / math.Pow10(g.r.IntN(8))
	}
	switch fd.Kind() {
	case protoreflect.FloatKind:
		return protowire.Fixed32Type, protowire.AppendFixed32(b, math.Float32bits(float32(f)))
	case protoreflect.DoubleKind:
		return protowire.Fixed64Type, protowire.AppendFixed64(b, math.Float64bits(f))
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind:
		return protowire.Fixed32Type, protowire.AppendFixed32(b, uint32(n))
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		return protowire.Fixed64Type, protowire.AppendFixed64(b, n)
	case protoreflect.StringKind, protoreflect.BytesKind:
		text := texts[g.r.IntN(len(texts))]
		if g.isBad() || fd.Kind() == protoreflect.BytesKind && g.chance(20) {
			text += "\xff"
		}
		return protowire.BytesType, g.bytes(b, []byte(text))
	case protoreflect.EnumKind:
		if g.chance(70) {
			n = uint64(g.r.IntN(4))
		}
	default:
	}
	return protowire.VarintType, g.varint(b, n)
}
