package schema

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// selector names methods: `pkg.Service/Method`, `pkg.Service.Method`, `pkg.Service/*` or `*`.
type selector struct {
	text    string
	service protoreflect.FullName // empty: every service
	method  protoreflect.Name     // empty: every method
}

func parseSelector(text string) (selector, error) {
	s := selector{text: text}
	if text == "*" {
		return s, nil
	}
	service, method, slash := strings.Cut(text, "/")
	s.service, s.method = protoreflect.FullName(service), protoreflect.Name(method)
	if !slash {
		name := protoreflect.FullName(text)
		s.service, s.method = name.Parent(), name.Name()
	} else if method == "*" {
		s.method = ""
		if s.service.IsValid() {
			return s, nil
		}
	}
	if !s.service.IsValid() || !s.method.IsValid() {
		return s, fmt.Errorf("%q is not the name of a method: write pkg.Service/Method, pkg.Service.Method, pkg.Service/* or *", text)
	}
	return s, nil
}

// wild says that s may name more than one method.
func (s selector) wild() bool { return s.method == "" }

func (s selector) matches(method protoreflect.FullName) bool {
	return (s.service == "" || s.service == method.Parent()) && (s.method == "" || s.method == method.Name())
}

// name is the method's full name, for a selector that is not wild.
func (s selector) name() protoreflect.FullName { return s.service.Append(s.method) }

// unknown says what a selector that matches nothing could have meant.
func (s selector) unknown(schemas []*Schema) string {
	var services []string
	for _, schema := range schemas {
		for _, name := range schema.Services {
			sd, ok := schema.service(name)
			if !ok {
				continue
			}
			if name == s.service {
				var methods []string
				for i := range sd.Methods().Len() {
					methods = append(methods, string(sd.Methods().Get(i).Name()))
				}
				return fmt.Sprintf("service %s has no such method%s", name, choices(methods))
			}
			services = append(services, string(name))
		}
	}
	if s.service == "" {
		return "no upstream has a service"
	}
	if len(services) == 0 {
		return fmt.Sprintf("no upstream has the service %s, nor any other", s.service)
	}
	return fmt.Sprintf("no upstream has the service %s%s", s.service, strings.Replace(choices(services), "it has", "there are", 1))
}
