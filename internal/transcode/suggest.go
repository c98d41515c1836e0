package transcode

import "google.golang.org/protobuf/reflect/protoreflect"

// SuggestField says what a client may have meant by a field's name that md does not have, as the end of a sentence.
// prefix stands before the name where the field is nested: "a.b.".
func SuggestField(md protoreflect.MessageDescriptor, prefix, name string) string {
	return suggestField(md, prefix, name)
}
