package execution

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// OutboundOptions says where the operator's own calls, to APIs and to models,
// may go. The zero value refuses what no agent has business with (the operator's
// own loopback, link-local addresses with their cloud metadata, multicast …) and
// allows everything else: private ranges too, because the services of a cluster live there.
type OutboundOptions struct {
	// Allow exempts prefixes from the built-in refusals, as a demonstration on 127.0.0.0/8 needs.
	Allow []netip.Prefix
	// Deny refuses more prefixes. It wins over Allow.
	Deny []netip.Prefix
	// RootCAs verifies servers; nil means the system's roots.
	RootCAs *x509.CertPool
	// Resolver looks host names up; nil means the process's own.
	Resolver *net.Resolver
}

// OutboundDenied is the error of a connection that was refused before it was
// made, because of the address that the host name, however spelled, came to.
type OutboundDenied struct{ Address string }

func (e *OutboundDenied) Error() string {
	return fmt.Sprintf("the operator may not connect to the address %s", e.Address)
}

// outboundDenied is what is refused unless it is allowed by name. An address is
// judged in every reading that outboundReadings has of it.
var outboundDenied = outboundPrefixes(
	"0.0.0.0/8",          // "this host": Linux connects 0.0.0.0 to loopback
	"127.0.0.0/8",        // loopback
	"169.254.0.0/16",     // link-local, cloud metadata
	"192.0.0.192/32",     // metadata of Oracle's cloud
	"100.100.100.200/32", // metadata of Alibaba's cloud
	"168.63.129.16/32",   // the host's own services on Azure
	"224.0.0.0/4",        // multicast
	"240.0.0.0/4",        // reserved, and broadcast
	"::/96",              // unspecified, loopback, and IPv4-compatible, which is long abolished
	"::ffff:0:0:0/96",    // IPv4-translated (RFC 2765)
	"64:ff9b:1::/48",     // NAT64 of local use (RFC 8215): where the IPv4 address stands depends on the network
	"100::/64",           // discard
	"2001::/32",          // Teredo, which hides an IPv4 address
	"fe80::/10",          // link-local
	"fec0::/10",          // site-local, abolished
	"ff00::/8",           // multicast
	"fd00:ec2::/32",      // metadata and its siblings on Amazon's cloud
	"fd20:ce::254/128",   // metadata on Google's cloud
)

// nat64 and sixToFour are prefixes whose addresses are a way to an IPv4 address.
var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixToFour = netip.MustParsePrefix("2002::/16")    // RFC 3056
)

func outboundPrefixes(texts ...string) []netip.Prefix {
	prefixes := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		prefixes[i] = netip.MustParsePrefix(text)
	}
	return prefixes
}

// NewOutboundTransport returns a transport for calls to addresses that a user
// chose. It looks at the address about to be connected, after the name was
// resolved, so that no spelling and no name leads around the rules; it uses no
// proxy, because behind one the address could not be seen; and it speaks HTTP/1.1
// only, whose rules for a silent repeat of a request are few enough to rely on.
// It has no timeout for an answer: the context of a request bounds it.
func NewOutboundTransport(o OutboundOptions) *http.Transport {
	rules := outboundRules{allow: outboundUnmapped(o.Allow), deny: outboundUnmapped(o.Deny)}
	dialer := &net.Dialer{Timeout: 10 * time.Second, Resolver: o.Resolver, Control: rules.control}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
		TLSHandshakeTimeout:    10 * time.Second,
		Protocols:              protocols,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// OnTime sends no request whose deadline has passed. A context tells so by a
// timer, and in a process that was paused the clock is ahead of its timers: an
// attempt that somebody else has judged meanwhile would be sent all the same.
type OnTime struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t OnTime) RoundTrip(r *http.Request) (*http.Response, error) {
	if deadline, ok := r.Context().Deadline(); ok && !time.Now().Before(deadline) {
		return nil, context.DeadlineExceeded
	}
	return t.RoundTripper.RoundTrip(r)
}

// outboundRules decides about addresses. The zero value knows the built-in refusals only.
type outboundRules struct{ allow, deny []netip.Prefix }

// control is called by the dialer for each address, after it was resolved and
// before it is connected.
func (r outboundRules) control(_, address string, _ syscall.RawConn) error {
	end, err := netip.ParseAddrPort(address)
	if err != nil { // nothing but an IP address and a port is ever dialled
		return &OutboundDenied{Address: address}
	}
	if !r.allows(end.Addr()) {
		return &OutboundDenied{Address: end.Addr().String()}
	}
	return nil
}

// allows reports whether the address is allowed in each of its readings.
func (r outboundRules) allows(address netip.Addr) bool {
	for _, reading := range outboundReadings(address) {
		denied := outboundIn(outboundDenied, reading) && !outboundIn(r.allow, reading)
		if denied || outboundIn(r.deny, reading) {
			return false
		}
	}
	return true
}

// outboundReadings returns the address as it will be connected, without its zone
// (a prefix contains no address that has one) and as IPv4 if it is only mapped,
// and the IPv4 address that a translator on the way would make of it.
func outboundReadings(address netip.Addr) []netip.Addr {
	address = address.WithZone("").Unmap()
	bytes := address.As16()
	switch {
	case nat64.Contains(address):
		return []netip.Addr{address, netip.AddrFrom4([4]byte(bytes[12:16]))}
	case sixToFour.Contains(address):
		return []netip.Addr{address, netip.AddrFrom4([4]byte(bytes[2:6]))}
	}
	return []netip.Addr{address}
}

func outboundIn(prefixes []netip.Prefix, address netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(address) {
			return true
		}
	}
	return false
}

// outboundUnmapped returns the prefixes with IPv4-mapped ones as IPv4: as they
// were written they would contain nothing, and a refusal would be one in name only.
func outboundUnmapped(prefixes []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(prefixes))
	for _, p := range prefixes {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		out = append(out, p)
	}
	return out
}
