package conformance

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// fill puts in what ${…} stands for: run (the run's own name, which is the script's, too), key (22 characters and more),
// host and origin (the endpoint's), NAME.last.id and NAME.K.id (the id of the last frame, or of frame K, of a response).
func (r *runner) fill(text string) (string, error) {
	var filled strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		filled.WriteString(before)
		if !found {
			return filled.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", fmt.Errorf("%q has a ${ without }", text)
		}
		value, err := r.value(name)
		if err != nil {
			return "", err
		}
		filled.WriteString(value)
		text = after
	}
}

func (r *runner) value(name string) (string, error) {
	switch name {
	case "run":
		return r.run, nil
	case "key":
		return "key-" + r.run + "-0123456789", nil
	case "origin":
		return r.endpoint.URL, nil
	case "host":
		u, err := url.Parse(r.endpoint.URL)
		if err != nil {
			return "", err
		}
		return u.Host, nil
	}
	parts := strings.Split(name, ".")
	if len(parts) != 3 || r.responses[parts[0]] == nil {
		return "", fmt.Errorf("${%s} stands for nothing", name)
	}
	response := r.responses[parts[0]]
	if parts[1] == "last" && parts[2] == "id" {
		return lastID(response.presented, response.frames), nil
	}
	if parts[1] == "last" {
		parts[1] = strconv.Itoa(len(response.frames) - 1)
	}
	k, err := strconv.Atoi(parts[1])
	if err != nil || k < 0 || k >= len(response.frames) {
		return "", fmt.Errorf("${%s}: there are %d frames", name, len(response.frames))
	}
	f := response.frames[k]
	switch parts[2] {
	case "id":
		return f.ID, nil
	case "data":
		return f.Data, nil
	case "position":
		id, err := parseID(f.ID)
		return strconv.FormatUint(id.position, 10), err
	case "mark":
		id, err := parseID(f.ID)
		return id.mark, err
	case "check":
		id, err := parseID(f.ID)
		return id.check, err
	case "raw":
		return f.Raw, nil
	}
	return "", fmt.Errorf("${%s} stands for nothing", name)
}

func (r *runner) fillEvent(e *Event) (err error) {
	if e.ID, err = r.fill(e.ID); err != nil {
		return err
	}
	for _, text := range []**string{&e.Text, &e.Frame} {
		if *text != nil {
			filled, err := r.fill(**text)
			if err != nil {
				return err
			}
			*text = &filled
		}
	}
	e.Data, err = r.fillAny(e.Data)
	return err
}

func (r *runner) fillAny(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return r.fill(v)
	case map[string]any:
		filled := map[string]any{}
		for key, value := range v {
			var err error
			if filled[key], err = r.fillAny(value); err != nil {
				return nil, err
			}
		}
		return filled, nil
	}
	return v, nil
}
