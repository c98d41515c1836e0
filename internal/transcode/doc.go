// Package transcode turns requests into protobuf and messages into frames:
//
//	path, query, JSON body ──Binder──▶ wire bytes + canonical request
//	wire bytes ──Encoder──▶ JSON, or one finished SSE frame
//
// Everything here is pure: no I/O, no clock, and the same input gives the same bytes. Binder and Encoder are made once
// for each route and method, never change, and are safe for concurrent use. Both work on descriptors that are known
// only at run time. Neither panics on what a client or a backend sends, whatever it is.
package transcode
