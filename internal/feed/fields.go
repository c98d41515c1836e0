package feed

import (
	"github.com/grpc-sse/grpc-sse/internal/cursor"
	"github.com/grpc-sse/grpc-sse/internal/schema"
	"github.com/grpc-sse/grpc-sse/internal/transcode"
)

// Fields are the fields of a method's messages that the feed looks at. It is immutable and made once for a method.
type Fields struct {
	cursor          *cursor.Rule     // nil: the backend has no cursor
	key, keyDeleted *transcode.Field // nil: events have no keys, keys are never deleted
}

// NewFields makes the Fields that m's stream rule names.
func NewFields(m *schema.Method) *Fields {
	f := &Fields{cursor: cursor.NewRule(m.Stream.Resume)}
	if m.Stream.Key != nil {
		f.key = transcode.NewField(m.Stream.Key)
	}
	if m.Stream.KeyDeleted != nil {
		f.keyDeleted = transcode.NewField(m.Stream.KeyDeleted)
	}
	return f
}
