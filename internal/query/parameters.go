package query

import (
	"cmp"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// parameters reads a request's query. The first that is bad is kept, and told by err.
type parameters struct {
	values map[string][]string
	bad    error
}

// parametersOf takes only the parameters that are known: who misspells
// minSequence must not get older data for it.
func parametersOf(r *http.Request, known ...string) *parameters {
	p := &parameters{values: r.URL.Query()}
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		values := p.values[name]
		switch {
		case !slices.Contains(known, name):
			p.refuse(name, "it is unknown here; known are %s", cmp.Or(strings.Join(known, ", "), "none"))
		case len(values) > 1:
			p.refuse(name, "it is given %d times", len(values))
		}
	}
	return p
}

func (p *parameters) refuse(name, format string, args ...any) {
	if p.bad == nil {
		p.bad = badParameter(name, format, args...)
	}
}

func (p *parameters) has(name string) bool { return len(p.values[name]) > 0 }

func (p *parameters) text(name string, most int) string {
	if !p.has(name) {
		return ""
	}
	text := p.values[name][0]
	if len(text) > most {
		p.refuse(name, "it has %d bytes, and at most %d are read", len(text), most)
	}
	return text
}

// number returns a parameter that is a number of at least least; 0 if it is not given.
func (p *parameters) number(name string, least int64) int64 {
	if !p.has(name) {
		return 0
	}
	n, err := strconv.ParseInt(p.values[name][0], 10, 64)
	if err != nil || n < least {
		p.refuse(name, "it is a whole number of at least %d", least)
		return 0
	}
	return n
}

func (p *parameters) flag(name string) bool {
	if !p.has(name) {
		return false
	}
	on, err := strconv.ParseBool(p.values[name][0])
	if err != nil {
		p.refuse(name, "it is true or false")
	}
	return on
}

// objectName is what Kubernetes allows, and keeps a name from reaching into
// another stream.
var objectName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// named returns the namespace and, if the path has one, the name that it asks about.
func named(r *http.Request) (namespace, name string, err error) {
	namespace, name = r.PathValue("namespace"), r.PathValue("name")
	switch {
	case !objectName.MatchString(namespace):
		return "", "", badParameter("namespace", "it is no name of a namespace")
	case name != "" && !objectName.MatchString(name):
		return "", "", badParameter("name", "it is no name of an object")
	}
	return namespace, name, nil
}

// accepted returns which of the offered media types the reader likes best, the
// first if it likes several the same or says nothing.
func accepted(r *http.Request, offered ...string) (string, error) {
	header := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(header) == "" {
		return offered[0], nil
	}
	best, most := "", 0.0
	for _, offer := range offered {
		if q := quality(header, offer); q > most {
			best, most = offer, q
		}
	}
	if best == "" {
		return "", &problem{Status: http.StatusNotAcceptable, Reason: "NotAcceptable", Parameter: "Accept",
			Detail: "None of the media types in Accept is offered here.", Remedy: "Accept " + strings.Join(offered, " or ") + "."}
	}
	return best, nil
}

// quality returns how much an Accept header likes a media type, by the most
// specific range that matches it (RFC 9110, section 12.5.1).
func quality(header, offer string) float64 {
	kind, _, _ := strings.Cut(offer, "/")
	q, specific := 0.0, 0
	for part := range strings.SplitSeq(header, ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		match := map[string]int{"*/*": 1, kind + "/*": 2, offer: 3}[media]
		if match <= specific {
			continue
		}
		q, specific = 1, match
		if given, err := strconv.ParseFloat(params["q"], 64); err == nil {
			q = given
		}
	}
	return q
}
