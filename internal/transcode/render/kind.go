package render

import (
	"math"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// kind is how a value is written. There is one for each that differs in wire form or in JSON.
type kind uint8

const (
	boolean    kind = iota
	enumerated      // by name
	null            // google.protobuf.NullValue
	signed32        // int32 and sfixed32
	zigzag32        // sint32
	unsigned32      // uint32 and fixed32
	signed64        // int64 and sfixed64
	zigzag64        // sint64
	unsigned64      // uint64 and fixed64
	float
	double
	str
	octets
	nested     // a message
	unnameable // a field whose name is not UTF-8
)

// Wire types.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireGroup   = 3
	wireFixed32 = 5
)

const (
	mask32 = math.MaxUint32
	mask64 = math.MaxUint64
)

// forms says how each kind of protobuf is read and written.
var forms = [...]struct {
	wire  uint8
	value kind
	mask  uint64
}{
	protoreflect.BoolKind:     {wireVarint, boolean, mask64},
	protoreflect.EnumKind:     {wireVarint, enumerated, mask32},
	protoreflect.Int32Kind:    {wireVarint, signed32, mask32},
	protoreflect.Sint32Kind:   {wireVarint, zigzag32, mask32},
	protoreflect.Uint32Kind:   {wireVarint, unsigned32, mask32},
	protoreflect.Int64Kind:    {wireVarint, signed64, mask64},
	protoreflect.Sint64Kind:   {wireVarint, zigzag64, mask64},
	protoreflect.Uint64Kind:   {wireVarint, unsigned64, mask64},
	protoreflect.Sfixed32Kind: {wireFixed32, signed32, mask32},
	protoreflect.Fixed32Kind:  {wireFixed32, unsigned32, mask32},
	protoreflect.FloatKind:    {wireFixed32, float, mask32},
	protoreflect.Sfixed64Kind: {wireFixed64, signed64, mask64},
	protoreflect.Fixed64Kind:  {wireFixed64, unsigned64, mask64},
	protoreflect.DoubleKind:   {wireFixed64, double, mask64},
	protoreflect.StringKind:   {wireBytes, str, mask64},
	protoreflect.BytesKind:    {wireBytes, octets, mask64},
	protoreflect.MessageKind:  {wireBytes, nested, mask64},
	protoreflect.GroupKind:    {wireGroup, nested, mask64},
}

// enum has the names of an enum's values as they stand in JSON: those from 0 on in small, which ends at the first large
// or missing number, and all others in large.
type enum struct {
	small []string
	large map[int32]string
}

// maxSmall bounds how many values are found without a map.
const maxSmall = 256

func newEnum(ed protoreflect.EnumDescriptor) *enum {
	e := &enum{large: make(map[int32]string)}
	values := ed.Values()
	for i := range maxSmall {
		v := values.ByNumber(protoreflect.EnumNumber(i))
		if v == nil {
			break
		}
		e.small = append(e.small, quoted(string(v.Name())))
	}
	for i := range values.Len() {
		// Of several names of one number the first counts.
		number := values.Get(i).Number()
		if number < 0 || int(number) >= len(e.small) {
			e.large[int32(number)] = quoted(string(values.ByNumber(number).Name()))
		}
	}
	return e
}

// name is the JSON form of a value's name, empty where it has none.
func (e *enum) name(number int32) string {
	if uint32(number) < uint32(len(e.small)) {
		return e.small[number]
	}
	return e.large[number]
}

// quoted is a name as a JSON string.
func quoted(name string) string {
	b, _ := appendText(nil, []byte(name))
	return string(b)
}
