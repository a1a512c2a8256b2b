package execution

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edict-dev/edict/internal/agent"
)

// loopback is what tests allow: their servers listen there.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

func TestAddressesAreJudgedInEveryReading(t *testing.T) {
	allow := OutboundOptions{Allow: loopback}
	for _, test := range []struct {
		name    string
		options OutboundOptions
		address string
		want    bool
	}{
		{"a public address", OutboundOptions{}, "93.184.216.34", true},
		{"a public IPv6 address", OutboundOptions{}, "2606:2800:220:1::1", true},
		{"a service of the cluster", OutboundOptions{}, "10.96.0.1", true},
		{"a service of the cluster on IPv6", OutboundOptions{}, "fd00:10:96::1", true},
		{"a private range", OutboundOptions{}, "192.168.1.1", true},
		{"loopback", OutboundOptions{}, "127.0.0.1", false},
		{"all of loopback", OutboundOptions{}, "127.9.9.9", false},
		{"IPv6 loopback", OutboundOptions{}, "::1", false},
		{"mapped loopback", OutboundOptions{}, "::ffff:127.0.0.1", false},
		{"IPv4-compatible loopback", OutboundOptions{}, "::127.0.0.1", false},
		{"IPv4-translated loopback", OutboundOptions{}, "::ffff:0:127.0.0.1", false},
		{"unspecified", OutboundOptions{}, "0.0.0.0", false},
		{"unspecified IPv6", OutboundOptions{}, "::", false},
		{"mapped unspecified", OutboundOptions{}, "::ffff:0.0.0.0", false},
		{"cloud metadata", OutboundOptions{}, "169.254.169.254", false},
		{"mapped cloud metadata", OutboundOptions{}, "::ffff:a9fe:a9fe", false},
		{"cloud metadata through NAT64", OutboundOptions{}, "64:ff9b::a9fe:a9fe", false},
		{"cloud metadata through NAT64 of local use", OutboundOptions{}, "64:ff9b:1::a9fe:a9fe", false},
		{"cloud metadata through 6to4", OutboundOptions{}, "2002:a9fe:a9fe::1", false},
		{"a public address through NAT64", OutboundOptions{}, "64:ff9b::5db8:d822", true},
		{"Teredo", OutboundOptions{}, "2001:0:1::1", false},
		{"link-local", OutboundOptions{}, "fe80::1", false},
		{"link-local with a zone", OutboundOptions{}, "fe80::1%eth0", false},
		{"loopback with a zone", OutboundOptions{}, "::1%lo", false},
		{"multicast", OutboundOptions{}, "239.1.1.1", false},
		{"IPv6 multicast", OutboundOptions{}, "ff02::1", false},
		{"broadcast", OutboundOptions{}, "255.255.255.255", false},
		{"metadata outside link-local", OutboundOptions{}, "100.100.100.200", false},
		{"metadata outside link-local, IPv6", OutboundOptions{}, "fd00:ec2::254", false},

		{"allowed loopback", allow, "127.0.0.1", true},
		{"allowed loopback, mapped", allow, "::ffff:127.0.0.1", true},
		{"allowed loopback through NAT64", allow, "64:ff9b::7f00:1", true},
		{"an allowance is not for others", allow, "169.254.169.254", false},
		{"allowed by a mapped prefix", OutboundOptions{Allow: []netip.Prefix{netip.MustParsePrefix("::ffff:127.0.0.0/104")}}, "127.0.0.1", true},

		{"denied by option", OutboundOptions{Deny: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "10.1.2.3", false},
		{"denied by option, mapped", OutboundOptions{Deny: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "::ffff:10.1.2.3", false},
		{"denied by option through NAT64", OutboundOptions{Deny: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "64:ff9b::a01:203", false},
		{"denied by a mapped prefix", OutboundOptions{Deny: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}}, "10.1.2.3", false},
		{"deny wins over allow", OutboundOptions{Allow: loopback, Deny: loopback}, "127.0.0.1", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			rules := outboundRules{allow: outboundUnmapped(test.options.Allow), deny: outboundUnmapped(test.options.Deny)}
			address := netip.MustParseAddr(test.address)
			if got := rules.allows(address); got != test.want {
				t.Errorf("allows(%s) = %t, want %t", address, got, test.want)
			}
			err := rules.control("tcp", net.JoinHostPort(test.address, "80"), nil)
			if denied := errors.As(err, new(*OutboundDenied)); denied == test.want {
				t.Errorf("control(%s) = %v, want denied: %t", address, err, !test.want)
			}
		})
	}
}

func TestAnAddressThatIsNoneIsDenied(t *testing.T) {
	for _, address := range []string{"", ":80", "localhost:80", "/var/run/docker.sock"} {
		if err := (outboundRules{}).control("tcp", address, nil); !errors.As(err, new(*OutboundDenied)) {
			t.Errorf("control(%q) = %v, want a denial", address, err)
		}
	}
}

// TestNoSpellingLeadsInside calls a server on loopback by every name it might be
// called, through a transport that may not connect there.
func TestNoSpellingLeadsInside(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer server.Close()
	_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
	// The resolver answers for every name, as the system's does for 0177.0.0.1 and an attacker's for his own.
	caller := NewAPICaller(OutboundOptions{Resolver: fakeDNS(t, [4]byte{127, 0, 0, 1})})
	defer caller.Close()

	denied := []string{
		"127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST", "localhost.", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
		"[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "0x7f000001", "0x7f.0.0.1", "inside.test", "127.0.0.1.nip.test", "[fe80::1%25lo]",
	}
	nowhere := []string{"2130706433", "0177.0.0.1", "127.1", "127.000.000.001", "017700000001"} // numbers that Go takes for no host
	for _, host := range append(denied, nowhere...) {
		t.Run(host, func(t *testing.T) {
			got := caller.Call(t.Context(), apiGet("http://"+host+":"+port+"/"))
			if got.Reason == APIReasonUnreachable && slices.Contains(nowhere, host) {
				return
			}
			if got.Verdict != agent.Rejected || got.Reason != APIReasonAddressDenied {
				t.Errorf("got %+v, want Rejected, AddressDenied", got)
			}
		})
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("the server got %d requests, want none", n)
	}
}

func TestTheTransportUsesNoProxyAndNoHTTP2(t *testing.T) {
	transport := NewOutboundTransport(OutboundOptions{})
	if transport.Proxy != nil || transport.Protocols.HTTP2() || transport.ForceAttemptHTTP2 {
		t.Errorf("proxy set: %t, protocols %v", transport.Proxy != nil, transport.Protocols)
	}
}

func TestADeniedAddressIsNamedInTheError(t *testing.T) {
	err := (outboundRules{}).control("tcp4", "169.254.169.254:80", nil)
	if err == nil || !strings.Contains(err.Error(), "169.254.169.254") {
		t.Errorf("got %v", err)
	}
}

// fakeDNS is a resolver that answers every question for an IPv4 address with
// that one, and names that begin with "nowhere" with "no such name"; questions
// about names that begin with "silent" get no answer.
func fakeDNS(t *testing.T, address [4]byte) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, peer, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer := dnsAnswer(buffer[:n], address); answer != nil {
				_, _ = conn.WriteTo(answer, peer)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		d := net.Dialer{Timeout: time.Second}
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// dnsAnswer answers one question (RFC 1035, section 4.1).
func dnsAnswer(query []byte, address [4]byte) []byte {
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	first := strings.ToLower(string(query[13 : 13+int(query[12])]))
	if strings.HasPrefix(first, "silent") {
		return nil
	}
	kind := binary.BigEndian.Uint16(query[end+1:])
	answer := append([]byte{}, query[:end+5]...)
	answer[2], answer[3] = 0x85, 0x80            // an answer, with authority, recursion available
	copy(answer[6:12], []byte{0, 0, 0, 0, 0, 0}) // no records yet
	if strings.HasPrefix(first, "nowhere") {
		answer[3] |= 3 // NXDOMAIN
		return answer
	}
	if kind == 1 { // A
		answer[7] = 1
		answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		answer = append(answer, address[:]...)
	}
	return answer
}

// overdue is the context of a process that was paused: its deadline has passed, and no timer has said so.
type overdue struct{ context.Context }

func (overdue) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }

func TestARequestWhoseTimeIsOverIsNotSent(t *testing.T) {
	asked := make(chan struct{}, 2)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} }))
	defer server.Close()
	caller := NewAPICaller(OutboundOptions{Allow: loopback})
	for _, effect := range []agent.EffectClass{agent.Idempotent, agent.NonIdempotent} {
		operation := agent.Operation{Name: "book", Type: agent.CallAPI, Effect: effect, Call: &agent.Call{Method: http.MethodPost, URL: server.URL}}
		got := caller.Call(overdue{t.Context()}, APIRequest{Operation: operation, Key: "k"})
		if got.Verdict != agent.NotDone {
			t.Errorf("%s: got %+v", effect, got)
		}
	}
	if len(asked) > 0 {
		t.Error("the request was sent")
	}
}
