package flaky

import (
	"net/http"
	"slices"
	"strings"
)

// request is what a request to kube-apiserver asks for, as RBAC names it.
type request struct {
	verb     string // get, list, watch, create, update, patch, delete, deletecollection; empty if it is about no resource
	resource string // with its group and subresource: "commands.edict.dev/status", "events.events.k8s.io", "pods"
	plain    string // the resource without group and subresource
	dryRun   bool
}

// reviews are the groups whose objects are questions: creating one stores nothing.
var reviews = []string{"authorization.k8s.io", "authentication.k8s.io"}

// writes reports whether the request changes what is stored.
func (r request) writes() bool {
	switch r.verb {
	case "", "get", "list", "watch":
		return false
	}
	resource, subresource, _ := strings.Cut(r.resource, "/")
	_, group, _ := strings.Cut(resource, ".")
	return !r.dryRun && subresource != "token" && !slices.Contains(reviews, group)
}

// reads reports whether the request reads objects once.
func (r request) reads() bool { return r.verb == "get" || r.verb == "list" }

// parse reads /api/v1/…, /apis/GROUP/VERSION/…, with or without namespaces/NAME.
func parse(r *http.Request) request {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	group := ""
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		group = "." + parts[1]
		parts = parts[3:]
	default:
		return request{}
	}
	// A namespace's own path has nothing behind its name but its subresources.
	if len(parts) >= 3 && parts[0] == "namespaces" && parts[2] != "status" && parts[2] != "finalize" {
		parts = parts[2:]
	}
	query := r.URL.Query()
	q := request{plain: parts[0], resource: parts[0] + group, dryRun: query.Get("dryRun") != ""}
	named := len(parts) > 1
	if len(parts) > 2 {
		q.resource += "/" + parts[2]
	}
	q.verb = verb(r.Method, named, query.Get("watch"))
	return q
}

func verb(method string, named bool, watch string) string {
	switch method {
	case http.MethodGet, http.MethodHead:
		switch {
		case watch == "true" || watch == "1":
			return "watch"
		case named:
			return "get"
		}
		return "list"
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		if named {
			return "delete"
		}
		return "deletecollection"
	}
	return ""
}
