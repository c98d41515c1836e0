package tail

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// maxBodyBytes is how much of a final response's body is read, and maxTextBytes how much of it is shown when it is no
// problem document.
const (
	maxBodyBytes = 256 << 10
	maxTextBytes = 1000
)

// problem is an RFC 9457 problem document with the bridge's own members.
type problem struct {
	Title      string `json:"title"`
	Detail     string `json:"detail"`
	Code       string `json:"code"`
	Violations []struct {
		Field       string `json:"field"`
		Description string `json:"description"`
	} `json:"violations"`
}

// finalResponse says in words what the server answered instead of a stream. Browsers close an EventSource for good
// at any such answer, and so does tail.
func finalResponse(resp *http.Response) error {
	var text strings.Builder
	fmt.Fprintf(&text, "the server answered %s", clean(resp.Status))
	contentType := resp.Header.Get("Content-Type")
	if resp.StatusCode == http.StatusOK {
		fmt.Fprintf(&text, " with %s, which is no event stream", orDefault(clean(contentType), "no content type"))
	}
	if after := resp.Header.Get("Retry-After"); after != "" {
		fmt.Fprintf(&text, " (to be asked again after %s)", clean(after))
	}
	// What cannot be read of the body is not shown; the status stands for itself.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBodyBytes))
	text.WriteString(describeBody(contentType, body))
	return final(ExitStatus, "%s", text.String())
}

// describeBody is what follows the status line: ": what went wrong", or indented lines, or nothing.
func describeBody(contentType string, body []byte) string {
	mediaType, _, _ := mime.ParseMediaType(contentType) // a broken one is no problem document
	if mediaType == "application/problem+json" {
		var p problem
		if json.Unmarshal(body, &p) == nil {
			return p.describe()
		}
	}
	if mediaType == "text/html" {
		return "" // a proxy's page; its status says it all
	}
	text := strings.TrimSpace(string(body))
	if json.Valid(body) {
		text = readable(text)
	}
	if text == "" {
		return ""
	}
	if len(text) > maxTextBytes {
		text = strings.ToValidUTF8(text[:maxTextBytes], "") + " …"
	}
	return ":\n  " + indent(text)
}

func (p problem) describe() string {
	var parts []string
	for _, part := range []string{p.Code, p.Title, p.Detail} {
		if part != "" && (len(parts) == 0 || parts[len(parts)-1] != part) {
			parts = append(parts, clean(part))
		}
	}
	text := ""
	if len(parts) > 0 {
		text = ": " + strings.Join(parts, ": ")
	}
	for _, v := range p.Violations {
		text += "\n  " + orDefault(clean(v.Field), "(request)") + ": " + clean(v.Description)
	}
	return text
}
