package config

import (
	"fmt"
	"strings"

	configv1 "github.com/grpc-sse/grpc-sse/gen/grpcsse/config/v1"
)

// rules checks that each rule names one method and no two name the same. The rest is checked against the schemas.
func (r *check) rules() []*configv1.Rule {
	rules := r.Config.GetRules()
	first := map[string]int{}
	for i, rule := range rules {
		field, selector := element("rules", i), rule.GetSelector()
		method := strings.Replace(selector, "/", ".", 1)
		j, again := first[method]
		switch {
		case selector == "": // reported by validate
		case strings.Contains(selector, "*"):
			r.add(field+".selector", "%q has a wildcard; a rule is for one method: pkg.Service.Method", selector)
		case !isPattern(selector):
			r.add(field+".selector", "%q names no method; write pkg.Service.Method", selector)
		case again:
			r.add(field+".selector", "%q has a rule already (%s); put both into one", selector, r.describe("rules", j))
		default:
			first[method] = i
		}
		if rule.GetHttp().GetSelector() != "" {
			r.add(field+".http.selector", "must be left out: the rule's own selector names the method")
		}
	}
	return rules
}

// element is the path of an item of a list.
func element(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

// describe names an item of a list by where it was written.
func (l *Loaded) describe(field string, i int) string {
	path := element(field, i)
	if p, ok := l.where[path]; ok && p.flag == "" {
		return fmt.Sprintf("line %d", p.line)
	}
	return path
}
