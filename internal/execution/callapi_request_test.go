package execution

import (
	"encoding/json"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/edict-dev/edict/internal/agent"
)

// apiGet is a request for an operation that reads a URL and takes no arguments.
func apiGet(target string) APIRequest {
	return APIRequest{
		Operation: agent.Operation{Name: "read", Type: agent.CallAPI, Effect: agent.Idempotent, Call: &agent.Call{Method: "GET", URL: target}},
		Key:       "key-1",
	}
}

// apiPost is a request for an operation that must not be repeated.
func apiPost(target, arguments string) APIRequest {
	return APIRequest{
		Operation: agent.Operation{Name: "book", Type: agent.CallAPI, Effect: agent.NonIdempotent, Call: &agent.Call{Method: "POST", URL: target}},
		Arguments: json.RawMessage(arguments),
		Key:       "key-1",
	}
}

func TestArgumentsBecomeARequest(t *testing.T) {
	for _, test := range []struct {
		name, method, url, arguments string
		want, body                   string
	}{
		{"no arguments", "GET", "http://api.test/flights", ``, "http://api.test/flights", ""},
		{"null for arguments", "GET", "http://api.test/flights", `null`, "http://api.test/flights", ""},
		{"a query in the order of names", "GET", "http://api.test/flights", `{"to":"LIS","from":"ZRH","n":2,"direct":true}`,
			"http://api.test/flights?direct=true&from=ZRH&n=2&to=LIS", ""},
		{"lists repeat the name", "GET", "http://api.test/f", `{"via":["FRA","MUC"],"none":[]}`, "http://api.test/f?via=FRA&via=MUC", ""},
		{"null is left out of a query", "GET", "http://api.test/f", `{"a":null,"b":""}`, "http://api.test/f?b=", ""},
		{"the URL's own query stays", "DELETE", "http://api.test/f?v=1", `{"id":"7"}`, "http://api.test/f?v=1&id=7", ""},
		{"the URL's own query alone", "HEAD", "http://api.test/f?v=1", `{}`, "http://api.test/f?v=1", ""},
		{"a space in the URL's own query", "GET", "http://api.test/f?q=a b", `{}`, "http://api.test/f?q=a%20b", ""},
		{"a query cannot break out", "GET", "http://api.test/f", `{"q":"a&b=c#d?e"}`, "http://api.test/f?q=a%26b%3Dc%23d%3Fe", ""},
		{"numbers stay as they were written", "GET", "http://api.test/f", `{"n":12345678901234567890}`, "http://api.test/f?n=12345678901234567890", ""},
		{"an argument in the path is not sent again", "GET", "http://api.test/b/{id}", `{"id":"B 7/8","x":1}`, "http://api.test/b/B%207%2F8?x=1", ""},
		{"several in one segment, one twice", "GET", "http://api.test/{a}-{b}/{a}.json", `{"a":"x","b":2}`, "http://api.test/x-2/x.json", ""},
		{"the author's escapes stay", "GET", "http://api.test/a%2Fb/{id}/c d", `{"id":"%2F"}`, "http://api.test/a%2Fb/%252F/c%20d", ""},
		{"an argument cannot begin a query", "GET", "http://api.test/b/{id}", `{"id":"7?admin=1#x"}`, "http://api.test/b/7%3Fadmin=1%23x", ""},
		{"dots within a name", "GET", "http://api.test/b/{id}", `{"id":"a..b.c"}`, "http://api.test/b/a..b.c", ""},
		{"the fragment is not sent", "GET", "http://api.test/b#top", `{}`, "http://api.test/b", ""},
		{"a JSON body", "POST", "http://api.test/b", `{"to":"LIS","seats":[1,2],"who":{"name":"Ada <3"},"n":1.50}`,
			"http://api.test/b", `{"n":1.50,"seats":[1,2],"to":"LIS","who":{"name":"Ada <3"}}`},
		{"a body without what is in the path", "PUT", "http://api.test/b/{id}", `{"id":7,"seat":"1A"}`, "http://api.test/b/7", `{"seat":"1A"}`},
		{"an empty body", "PATCH", "http://api.test/b/{id}", `{"id":7}`, "http://api.test/b/7", `{}`},
		{"a name given twice is sent once", "POST", "http://api.test/b", `{"amount":1,"amount":2}`, "http://api.test/b", `{"amount":2}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := apiPost(test.url, test.arguments)
			r.Operation.Call.Method = test.method
			call, err := newAPICall(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if got := call.request.URL.String(); got != test.want {
				t.Errorf("URL %s, want %s", got, test.want)
			}
			body := ""
			if call.request.Body != nil {
				raw, _ := io.ReadAll(call.request.Body)
				body = string(raw)
			}
			if body != test.body {
				t.Errorf("body %s, want %s", body, test.body)
			}
			if hasType := call.request.Header.Get("Content-Type") != ""; hasType != (test.body != "") {
				t.Errorf("Content-Type set: %t", hasType)
			}
			if call.request.GetBody != nil {
				t.Error("a request that must not be repeated can be rewound")
			}
		})
	}
}

func TestArgumentsThatMakeNoRequest(t *testing.T) {
	const inPath = "http://api.test/users/{id}/files"
	for _, test := range []struct {
		name, method, url, arguments string
		reason, says                 string
	}{
		{"no JSON", "GET", inPath, `{`, APIReasonInvalidArguments, "not a JSON object"},
		{"a list", "GET", inPath, `[1]`, APIReasonInvalidArguments, "not a JSON object"},
		{"something after the object", "GET", inPath, `{"id":1}}`, APIReasonInvalidArguments, "not a JSON object"},
		{"missing in the path", "GET", inPath, `{"di":1}`, APIReasonInvalidArguments, `"id"`},
		{"null in the path", "GET", inPath, `{"id":null}`, APIReasonInvalidArguments, `"id"`},
		{"empty in the path", "DELETE", inPath, `{"id":""}`, APIReasonInvalidArguments, `"id"`},
		{"a list in the path", "GET", inPath, `{"id":["a"]}`, APIReasonInvalidArguments, `"id"`},
		{"an object in the path", "GET", inPath, `{"id":{"a":1}}`, APIReasonInvalidArguments, `"id"`},
		{"one dot", "GET", inPath, `{"id":"."}`, APIReasonInvalidArguments, "{id}"},
		{"two dots", "GET", inPath, `{"id":".."}`, APIReasonInvalidArguments, "{id}"},
		{"dots and a slash", "GET", inPath, `{"id":"../../admin"}`, APIReasonInvalidArguments, "{id}"},
		{"dots and a backslash", "GET", inPath, `{"id":"..\\admin"}`, APIReasonInvalidArguments, "{id}"},
		{"dots and parameters", "GET", inPath, `{"id":"..;x=1/admin"}`, APIReasonInvalidArguments, "{id}"},
		{"escaped dots", "GET", inPath, `{"id":"%2e%2e"}`, APIReasonInvalidArguments, "{id}"},
		{"dots escaped twice", "GET", inPath, `{"id":"%252e%252e%252f"}`, APIReasonInvalidArguments, "{id}"},
		{"dots put together from two", "GET", "http://api.test/{a}{b}/x", `{"a":".","b":"."}`, APIReasonInvalidArguments, "{a}{b}"},
		{"dots put together with the author's", "GET", "http://api.test/.{a}/x", `{"a":"."}`, APIReasonInvalidArguments, ".{a}"},
		{"an object in a query", "GET", "http://api.test/f", `{"o":{"a":1}}`, APIReasonInvalidArguments, `"o"`},
		{"a list of lists in a query", "GET", "http://api.test/f", `{"o":[[1]]}`, APIReasonInvalidArguments, `"o"`},
		{"null within a list in a query", "GET", "http://api.test/f", `{"o":[null]}`, APIReasonInvalidArguments, `"o"`},
		{"what the URL fixes", "GET", "http://api.test/f?key=1", `{"key":"2"}`, APIReasonInvalidArguments, `"key"`},
		{"an unknown method", "TRACE", "http://api.test/f", `{}`, APIReasonOperationInvalid, "method"},
		{"no method", "", "http://api.test/f", `{}`, APIReasonOperationInvalid, "method"},
		{"another scheme", "GET", "file:///etc/passwd", `{}`, APIReasonOperationInvalid, "http://"},
		{"no host", "GET", "http:///f", `{}`, APIReasonOperationInvalid, "http://"},
		{"a port alone", "GET", "http://:8080/f", `{}`, APIReasonOperationInvalid, "http://"},
		{"a place in the host", "GET", "http://{h}.test/f", `{"h":"a"}`, APIReasonOperationInvalid, "http://"},
		{"a place in the port", "GET", "http://api.test:{p}/f", `{"p":80}`, APIReasonOperationInvalid, "http://"},
		{"a place in the query", "GET", "http://api.test/f?a={a}", `{"a":"1"}`, APIReasonOperationInvalid, "{a}"},
		{"a password", "GET", "http://u:hunter2@api.test/f", `{}`, APIReasonOperationInvalid, "headersFrom"},
		{"an unreadable URL with a password", "GET", "http://u:hunter2@api.test:x/f", `{}`, APIReasonOperationInvalid, "http://"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := apiPost(test.url, test.arguments)
			r.Operation.Call.Method = test.method
			caller := NewAPICaller(OutboundOptions{Resolver: fakeDNS(t, [4]byte{127, 0, 0, 1})})
			got := caller.Call(t.Context(), r)
			if got.Verdict != agent.Rejected || got.Reason != test.reason || !strings.Contains(got.Message, test.says) {
				t.Errorf("got %+v, want Rejected, %s, a message with %s", got, test.reason, test.says)
			}
			if strings.Contains(got.Message, "hunter2") {
				t.Errorf("the message holds a password: %s", got.Message)
			}
		})
	}
}

func TestAnOperationWithoutACallIsRejected(t *testing.T) {
	got := NewAPICaller(OutboundOptions{}).Call(t.Context(), APIRequest{Operation: agent.Operation{Name: "x"}})
	if got.Verdict != agent.Rejected || got.Reason != APIReasonOperationInvalid {
		t.Errorf("got %+v", got)
	}
}

func TestHeadersThatCannotBeSent(t *testing.T) {
	for _, test := range []struct {
		name   string
		header APIHeader
		key    string
		reason string
	}{
		{"a header of the connection", APIHeader{"content-length", "5"}, "k", APIReasonOperationInvalid},
		{"Edict's own header", APIHeader{"idempotency-key", "5"}, "k", APIReasonOperationInvalid},
		{"the host", APIHeader{"Host", "elsewhere.test"}, "k", APIReasonOperationInvalid},
		{"a name that is none", APIHeader{"X Y", "5"}, "k", APIReasonOperationInvalid},
		{"a value with a line break", APIHeader{"X-Key", "sesame\r\nX-Admin: 1"}, "k", APIReasonHeaderInvalid},
		{"a key with a line break", APIHeader{"X-Key", "sesame"}, "k\nX-Admin: 1", APIReasonInvalidArguments},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := apiGet("http://api.test/")
			r.Key, r.Headers = test.key, []APIHeader{test.header}
			got := NewAPICaller(OutboundOptions{}).Call(t.Context(), r)
			if got.Verdict != agent.Rejected || got.Reason != test.reason || strings.Contains(got.Message, "sesame") {
				t.Errorf("got %+v, want Rejected, %s", got, test.reason)
			}
		})
	}
}

// FuzzAPIRequest looks for arguments that lead a request to another host, out of
// their segment of the path, or into somebody else's place in the query.
func FuzzAPIRequest(f *testing.F) {
	for _, seed := range []string{"7", "..", "../x", "%2e%2e", "a/b", "?x=1", "#", "@evil.test", "//evil.test", "\\..\\", "..;", "\x00", "ü", "%", "{a}", " ", "a&b=c"} {
		f.Add(seed, seed, seed)
	}
	f.Fuzz(func(t *testing.T, inPath, name, value string) {
		arguments, _ := json.Marshal(map[string]any{name: value, "id": inPath})
		r := apiGet("http://api.test:81/v1/users/{id}/files?fixed=1")
		r.Arguments = arguments
		call, err := newAPICall(t.Context(), r)
		if err != nil {
			return
		}
		sent, err := url.Parse(call.request.URL.String())
		if err != nil {
			t.Fatalf("%q is not read back: %v", call.request.URL, err)
		}
		if sent.Host != "api.test:81" || sent.Scheme != "http" || sent.User != nil || sent.Fragment != "" {
			t.Fatalf("%q leads elsewhere", sent)
		}
		segments := strings.Split(sent.EscapedPath(), "/")
		if len(segments) != 5 || segments[1] != "v1" || segments[2] != "users" || segments[4] != "files" {
			t.Fatalf("%q has another path", sent)
		}
		for range 3 {
			for _, part := range strings.FieldsFunc(segments[3], func(r rune) bool { return r == '/' || r == '\\' }) {
				if part == "." || part == ".." {
					t.Fatalf("%q leaves its segment", sent)
				}
			}
			if decoded, err := url.PathUnescape(segments[3]); err == nil {
				segments[3] = decoded
			}
		}
		query, err := url.ParseQuery(sent.RawQuery)
		if err != nil || len(query["fixed"]) != 1 || query.Get("fixed") != "1" || len(query) > 2 {
			t.Fatalf("query %v, %v", query, err)
		}
		var read map[string]string
		_ = json.Unmarshal(arguments, &read)
		for n, v := range read {
			if n != "id" && (len(query[n]) != 1 || query.Get(n) != v) {
				t.Fatalf("query %v, want %q = %q", query, n, v)
			}
		}
	})
}
