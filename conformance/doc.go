// Package conformance puts an SSE endpoint under the contract in docs/protocol.md.
//
// The contract's rules have names, which are anchors in that document. The cases are data: each names the rules it
// proves, says what the backend does, and goes through requests and what must come of them. Run plays one case against
// an endpoint, whatever it is made of: all it needs is the endpoint's URL and the backend's ControlService, by which a
// case tells the backend what to do and asks what happened to it.
//
//	for _, c := range cases {
//		err := conformance.Run(ctx, c, endpoint)
//	}
//
// The README beside this file describes the format of cases.
package conformance
