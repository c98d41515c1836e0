// Package render turns protobuf wire bytes into JSON without making a message of them.
//
// Each message type has a [Program], made once from its descriptor: a table of its fields with what JSON calls them and
// how their values are written. Nearly all messages have their fields in the order of JSON, which is that of the descriptor,
// and each once: such a message is written while it is read. Any other is read in one pass over its wire bytes, which notes
// for each field where its value is, and is then written field by field:
//
//	wire  08 2a 12 03 61 62 63 08 07          1: 42, 2: "abc", 1: 7
//	slots field 1 → 7, field 2 → bytes 4…7    the last value of a scalar counts
//	JSON  {"one":7,"two":"abc"}
//
// What is written equals, byte for byte, what protojson writes of a dynamic message with json.Compact and
// json.HTMLEscape applied to it; what one of the two refuses, the other does, too. As in protojson all enums are open:
// a value without a name is a number.
//
//   - The parts of a split message are never joined: each is read into the same slots.
//   - Whatever is overwritten on the way (an earlier value, another case of a oneof, an entry of a map) must be well
//     formed nevertheless.
//   - Nothing is allocated once the scratch memory, which is pooled, is as large as messages need it.
//
// Programs are safe for concurrent use. Nothing here panics on what a backend sends, whatever it is.
package render
