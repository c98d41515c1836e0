// Package transcode turns requests into protobuf and messages into frames:
//
//	path, query, JSON body ──Binder──▶ wire bytes + canonical request
//	wire bytes ──Encoder──▶ JSON, or one finished SSE frame
//	wire bytes ──Field──▶ the value of one field, and back
//
// Everything here is pure: no I/O, no clock, and the same input gives the same bytes. Binder, Encoder and Field are made
// once for each route, method and field, never change, and are safe for concurrent use. All work on descriptors that are
// known only at run time. None panics on what a client or a backend sends, whatever it is.
package transcode
