package access

import (
	"net/http"

	"google.golang.org/grpc/metadata"
)

// ResponseHeaders adds to h what the backend answered under these names, its headers before its trailers. Nothing else of
// its metadata reaches clients. Values that are not printable ASCII are left out, and so is what goes beyond 64 values or
// 7 KiB: browsers and proxies give up on a response whose head is too long.
func ResponseHeaders(names []string, header, trailer metadata.MD, h http.Header) {
	count, size := 0, 0
	for _, name := range names {
		for _, md := range []metadata.MD{header, trailer} {
			for _, v := range md[name] {
				if valueProblem(v) != "" || count+1 > maxForwardedValues || size+len(name)+len(v) > maxForwardedBytes {
					continue
				}
				count, size = count+1, size+len(name)+len(v)
				h.Add(name, v)
			}
		}
	}
}
