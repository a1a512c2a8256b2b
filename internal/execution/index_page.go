package execution

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/edict-dev/edict/internal/fault"
)

// pageAccept asks for text that was written to be read.
const pageAccept = "text/markdown, text/plain;q=0.9, text/*;q=0.8, application/json;q=0.7"

// maxPageURL bounds a URL in bytes: it is the document's name, which PostgreSQL's indexes hold up to 2,700 bytes of.
const maxPageURL = 2048

// PageReader reads documents from servers: one GET for each, to where the outbound
// rules allow, without credentials, and without following redirects. Nothing that
// the server wrote is in its errors.
type PageReader struct {
	transport *http.Transport
	now       func() time.Time
}

// NewPageReader returns a reader that connects where the options allow.
func NewPageReader(o OutboundOptions) *PageReader {
	return &PageReader{transport: NewOutboundTransport(o), now: time.Now}
}

// Read returns the text at a URL, at most MaxDocument bytes. The context bounds it.
func (r *PageReader) Read(ctx context.Context, address string) ([]byte, error) {
	u, err := pageURL(address)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, pageInvalid("spec.indexDocuments.source.url is no URL that can be asked for.")
	}
	request.Header.Set("Accept", pageAccept)
	page := pageName(u)
	resp, err := r.transport.RoundTrip(request) // no http.Client: no redirects, no cookies, no errors that spell out the URL
	if err != nil {
		return nil, pageUnreached(ctx, page, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := r.answered(page, resp); err != nil {
		return nil, err
	}
	if err := pageIsText(page, resp.Header.Get("Content-Type")); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, MaxDocument+1))
	switch {
	case err != nil:
		return nil, pageBusy(0, "%s broke off before the whole document came.", page)
	case len(data) > MaxDocument:
		return nil, fault.NewInvalid(ReasonDocumentTooLarge, "%s sends more than the %d MiB that are indexed of a document. Index it in parts.", page, MaxDocument>>20)
	}
	return data, nil
}

func pageInvalid(format string, args ...any) error {
	return fault.NewInvalid(ReasonSourceInvalid, format, args...)
}

func pageBusy(after time.Duration, format string, args ...any) error {
	return fault.NewWait(after, ReasonSourceUnavailable, format, args...)
}

func pageURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, pageInvalid("spec.indexDocuments.source.url has to begin with http:// or https:// and a host.")
	case len(address) > maxPageURL:
		return nil, pageInvalid("spec.indexDocuments.source.url has %d bytes, and at most %d can be the name of a document. Serve the document under a shorter one, or with fewer characters outside of ASCII.", len(address), maxPageURL)
	case u.User != nil:
		return nil, pageInvalid("spec.indexDocuments.source.url holds a user name or password, which would stay in the journal. Serve the document without, or put it into a ConfigMap.")
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// pageName names a page in messages: without its query, which may hold a key.
func pageName(u *url.URL) string {
	return apiCut(u.Scheme+"://"+u.Host+u.EscapedPath(), 300)
}

func pageUnreached(ctx context.Context, page string, err error) error {
	var denied *OutboundDenied
	switch {
	case errors.As(err, &denied):
		return fault.NewInvalid(APIReasonAddressDenied, "%s was not read: its host leads to the address %s, which the operator does not connect to. "+
			"Use a host that it may connect to, or have the operator's administrator allow the address.", page, denied.Address)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return pageBusy(0, "%s was not read: %s.", page, apiUnreachableBecause(ctx, err))
}

// answered returns why an answer is not the document, nil if it is.
func (r *PageReader) answered(page string, resp *http.Response) error {
	said := fmt.Sprintf("%s answered %s", page, apiStatus(resp.StatusCode))
	switch status := resp.StatusCode; {
	case status == http.StatusOK:
		return nil
	case status == http.StatusNotFound, status == http.StatusGone:
		return fault.NewInvalid(ReasonSourceNotFound, "%s. Correct spec.indexDocuments.source.url, and apply the command under another name.", said)
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests, status >= 500:
		return pageBusy(apiRetryAfter(resp.Header.Get("Retry-After"), r.now()), "%s.", said)
	case status >= 300 && status < 400:
		return fault.NewInvalid(ReasonSourceRedirected, "%s, a redirect, and none is followed. Put the final URL into spec.indexDocuments.source.url.", said)
	}
	return fault.NewInvalid(ReasonSourceRejected, "%s. The operator sends no credentials: serve the document without, or put it into a ConfigMap.", said)
}

// pageIsText returns why something of that content type is not indexed.
func pageIsText(page, contentType string) error {
	kind, parameters, err := mime.ParseMediaType(contentType)
	text := strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+json")
	switch kind {
	case "application/json", "application/markdown", "application/yaml":
		text = true
	}
	if err != nil || !text {
		return fault.NewInvalid(ReasonDocumentType, "%s does not say that it sends text, by a Content-Type of text/*, application/markdown, application/yaml or application/json. "+
			"Extract the text, and serve that or put it into a ConfigMap.", page)
	}
	switch strings.ToLower(parameters["charset"]) {
	case "", "utf-8", "utf8", "us-ascii":
		return nil
	}
	return fault.NewInvalid(ReasonDocumentEncoding, "%s says that it sends another encoding than UTF-8. Convert the document.", page)
}
