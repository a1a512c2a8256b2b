package execution

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/edict-dev/edict/internal/agent"
)

// apiPlace is a place for an argument in an operation's URL.
var apiPlace = regexp.MustCompile(`\{([A-Za-z_][A-Za-z0-9_.-]*)\}`)

// apiOwnHeaders belong to the connection or to Edict; a Secret cannot set them.
var apiOwnHeaders = []string{
	"Accept-Encoding", "Connection", "Content-Length", "Expect", "Host", "Idempotency-Key", "Keep-Alive",
	"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// apiCall is a request that is ready to be sent, and what its outcome has to know.
type apiCall struct {
	request   *http.Request
	operation string
	endpoint  string // method, host and path as declared: no argument, no query, which may hold a key
	effect    agent.EffectClass
	scrub     apiScrubber
}

// newAPICall makes the request of an operation and its arguments:
//
//   - {name} in the URL's path is replaced by that argument, escaped; it has to be
//     text, a number or a truth value that stays within its segment of the path;
//   - GET, HEAD and DELETE send the other arguments as query: lists repeat the
//     name, null is left out, and objects are refused, because there is no one way
//     to write them; a query that the URL itself has stays, and cannot be overridden;
//   - POST, PUT and PATCH send the other arguments as a JSON object, {} if there are none.
//
// Its errors are of type apiRefusal.
func newAPICall(ctx context.Context, r APIRequest) (*apiCall, error) {
	template, err := apiTemplate(r.Operation)
	if err != nil {
		return nil, err
	}
	rest, err := apiArguments(r.Arguments)
	if err != nil {
		return nil, err
	}
	endpoint := r.Operation.Call.Method + " " + template.Host + apiRawPath(template)
	if err := fillAPIPath(template, rest); err != nil {
		return nil, err
	}
	var body io.Reader
	if apiSendsQuery(r.Operation.Call.Method) {
		err = addAPIQuery(template, rest)
	} else {
		body, err = apiBody(rest)
	}
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, r.Operation.Call.Method, template.String(), body)
	if err != nil {
		return nil, err
	}
	request.URL = template // as it was built, not as it was parsed again
	if r.Operation.Effect != agent.Idempotent {
		request.GetBody = nil // the transport cannot send twice what it cannot rewind
	}
	if err := setAPIHeaders(request, r); err != nil {
		return nil, err
	}
	return &apiCall{
		request:   request,
		operation: r.Operation.Name,
		endpoint:  apiCut(endpoint, 300),
		effect:    r.Operation.Effect,
		scrub:     newAPIScrubber(r.Headers),
	}, nil
}

// apiSendsQuery reports whether the method's arguments go into the query.
func apiSendsQuery(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodDelete
}

// apiTemplate returns the operation's URL, its places still in it.
func apiTemplate(op agent.Operation) (*url.URL, error) {
	invalid := func(format string, args ...any) error {
		message := fmt.Sprintf("The operation %q cannot be called: ", op.Name) + fmt.Sprintf(format, args...)
		return &apiRefusal{APIReasonOperationInvalid, message}
	}
	if op.Call == nil {
		return nil, invalid("it has no callAPI. Add spec.operations[].callAPI to the agent.")
	}
	known := []string{http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodPost, http.MethodPut, http.MethodPatch}
	if !slices.Contains(known, op.Call.Method) {
		return nil, invalid("its method has to be one of %s.", strings.Join(known, ", "))
	}
	u, err := url.Parse(op.Call.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return nil, invalid("its url has to begin with http:// or https:// and a host, with places for arguments in the path only.")
	}
	if u.User != nil {
		return nil, invalid("its url holds a user name or password. Put credentials into a Secret and name it in callAPI.headersFrom.")
	}
	if place := apiPlace.FindString(u.RawQuery); place != "" {
		return nil, invalid("its url has the place %s in the query. Places belong in the path; other arguments go into the query by themselves.", place)
	}
	u.Fragment, u.RawFragment = "", ""
	u.RawQuery = strings.ReplaceAll(u.RawQuery, " ", "%20") // net/url keeps what would end the request's line
	return u, nil
}

// apiRawPath returns the path as the operation's author wrote it.
func apiRawPath(u *url.URL) string {
	if u.RawPath != "" {
		return u.RawPath
	}
	return u.EscapedPath()
}

// apiArguments returns the arguments by name, numbers as they were written.
func apiArguments(raw json.RawMessage) (map[string]any, error) {
	args := map[string]any{}
	if len(bytes.TrimSpace(raw)) == 0 {
		return args, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	err := d.Decode(&args)
	if _, after := d.Token(); err != nil || after != io.EOF { // one value, and nothing behind it
		return nil, apiBadArguments("The arguments are not a JSON object. Write them as {\"name\": value}.")
	}
	if args == nil { // null
		args = map[string]any{}
	}
	return args, nil
}

func apiBadArguments(format string, args ...any) error {
	return &apiRefusal{APIReasonInvalidArguments, fmt.Sprintf(format, args...)}
}

// fillAPIPath replaces the places in u's path and takes their arguments out of
// args. What is written there never adds a segment to the path and never takes
// one away, however often a proxy on the way decodes it.
func fillAPIPath(u *url.URL, args map[string]any) error {
	segments := strings.Split(apiRawPath(u), "/")
	used := map[string]bool{}
	for i, segment := range segments {
		filled, err := fillAPISegment(segment, args, used)
		if err != nil {
			return err
		}
		segments[i] = filled
	}
	for name := range used {
		delete(args, name)
	}
	path := strings.Join(segments, "/")
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return fmt.Errorf("decode the path: %w", err)
	}
	u.Path, u.RawPath = decoded, path
	return nil
}

func fillAPISegment(segment string, args map[string]any, used map[string]bool) (string, error) {
	var filled strings.Builder
	from := 0
	for _, at := range apiPlace.FindAllStringSubmatchIndex(segment, -1) {
		name := segment[at[2]:at[3]]
		value, ok := apiScalar(args[name])
		if !ok || value == "" {
			return "", apiBadArguments("The argument %q is part of the URL's path: it has to be there, as a text that is not empty, a number, true or false.", name)
		}
		used[name] = true
		filled.WriteString(apiLiteral(segment[from:at[0]]))
		filled.WriteString(url.PathEscape(value))
		from = at[1]
	}
	filled.WriteString(apiLiteral(segment[from:]))
	if from > 0 && apiLeavesSegment(filled.String()) {
		return "", apiBadArguments("The arguments make the part %q of the URL's path lead elsewhere: they may not hold . or .. as a path of their own.", segment)
	}
	return filled.String(), nil
}

// apiLiteral returns a part of the author's path as it has to be sent: what is a valid encoding stays.
func apiLiteral(raw string) string {
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		return url.PathEscape(raw)
	}
	return (&url.URL{Path: decoded, RawPath: raw}).EscapedPath()
}

// apiLeavesSegment reports whether a server or proxy that decodes the segment,
// once or more often, may find . or .. in it as a segment of its own, also in
// front of the parameters that some servers cut off at a semicolon.
func apiLeavesSegment(segment string) bool {
	for range 5 {
		parts := strings.FieldsFunc(segment, func(r rune) bool { return r == '/' || r == '\\' })
		for _, part := range parts {
			part, _, _ = strings.Cut(part, ";")
			if part == "." || part == ".." {
				return true
			}
		}
		decoded, err := url.PathUnescape(segment)
		if err != nil || decoded == segment {
			return false
		}
		segment = decoded
	}
	return true // nobody writes an argument that is escaped five times over and means well
}

// apiScalar returns the text of a value that is not a list, an object or null.
func apiScalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return fmt.Sprint(v), true
	}
	return "", false
}

// addAPIQuery adds the arguments to u's query, in the order of their names.
func addAPIQuery(u *url.URL, args map[string]any) error {
	fixed, query := u.Query(), url.Values{}
	for _, name := range slices.Sorted(maps.Keys(args)) { // so that the same argument is found wrong every time
		if fixed.Has(name) {
			return apiBadArguments("The argument %q is fixed by the operation's URL. Leave it out.", name)
		}
		texts, err := apiQueryTexts(name, args[name])
		if err != nil {
			return err
		}
		if len(texts) > 0 {
			query[name] = texts
		}
	}
	if u.RawQuery != "" && len(query) > 0 {
		u.RawQuery += "&"
	}
	u.RawQuery += query.Encode()
	return nil
}

func apiQueryTexts(name string, value any) ([]string, error) {
	list, isList := value.([]any)
	if !isList {
		if value == nil {
			return nil, nil
		}
		list = []any{value}
	}
	texts := make([]string, 0, len(list))
	for _, v := range list {
		text, ok := apiScalar(v)
		if !ok {
			return nil, apiBadArguments("The argument %q cannot be sent in a query, which holds texts, numbers, true, false, and lists of them. "+
				"Give it in that form, or let the operation use a method with a body.", apiCut(name, 60))
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// apiBody encodes the arguments anew rather than passing on what was written:
// the API reads exactly what policy has read, also where a name was given twice.
func apiBody(args map[string]any) (io.Reader, error) {
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	if err := e.Encode(args); err != nil {
		return nil, fmt.Errorf("encode the arguments: %w", err)
	}
	return bytes.NewReader(bytes.TrimSpace(body.Bytes())), nil
}

// setAPIHeaders sets Edict's own headers, and those of the operation.
func setAPIHeaders(request *http.Request, r APIRequest) error {
	h := request.Header
	h.Set("Accept", "application/json, */*;q=0.5")
	h.Set("User-Agent", "edict")
	if request.Body != nil {
		h.Set("Content-Type", "application/json")
	}
	for _, given := range r.Headers {
		name, value := http.CanonicalHeaderKey(given.Name), apiHeaderValue(given.Value)
		if !apiToken(name) || slices.Contains(apiOwnHeaders, name) {
			return &apiRefusal{APIReasonOperationInvalid, fmt.Sprintf("The operation %q cannot be called: the header %q cannot be set. "+
				"Remove it from spec.operations[].callAPI.headersFrom.", r.Operation.Name, given.Name)}
		}
		if !apiPrintable(value) {
			return &apiRefusal{APIReasonHeaderInvalid, fmt.Sprintf("The operation %q cannot be called: the Secret's value for the header %s "+
				"holds a line break or another control character. Correct the Secret.", r.Operation.Name, name)}
		}
		h.Set(name, value)
	}
	if !apiPrintable(r.Key) {
		return apiBadArguments("The idempotency key holds a control character. Give the command another key.")
	}
	h.Set("Idempotency-Key", r.Key)
	return nil
}

// apiHeaderValue returns a Secret's value without the line break that files and editors leave at its end.
func apiHeaderValue(secret string) string { return strings.Trim(secret, "\r\n\t ") }

// apiToken reports whether name is a header's name (RFC 9110, section 5.6.2).
func apiToken(name string) bool {
	const marks = "!#$%&'*+-.^_`|~"
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		alphanumeric := '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		return !alphanumeric && !strings.ContainsRune(marks, r)
	})
}

func apiPrintable(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}
