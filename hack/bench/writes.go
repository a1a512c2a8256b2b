package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/discovery"
)

// writes counts successful writes by "VERB resource/subresource".
type writes map[string]float64

var (
	requestLine = regexp.MustCompile(`^apiserver_request_total\{(.*)\} (\S+)$`)
	label       = regexp.MustCompile(`(\w+)="([^"]*)"`)
	writeVerbs  = []string{"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}
	// perCommand are the resources whose writes grow with the number of commands. Those of all others (the status of
	// agents and views, leases …) go by the clock.
	perCommand = []string{"commands", "commands/status", "events"}
)

// readWrites asks the API server for its own count.
func readWrites(ctx context.Context, c *discovery.DiscoveryClient) (writes, error) {
	page, err := c.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the API server's metrics: %w", err)
	}
	return parseWrites(page)
}

// settledWrites reads the count until it has not changed for a while: the last command's end may come before the last
// write about another one.
func settledWrites(ctx context.Context, c *discovery.DiscoveryClient) (writes, error) {
	before, err := readWrites(ctx, c)
	for range 20 {
		if err != nil {
			return nil, err
		}
		time.Sleep(250 * time.Millisecond)
		var now writes
		if now, err = readWrites(ctx, c); err == nil && now.since(before).commands() == 0 {
			return now, nil
		}
		before = now
	}
	return before, err
}

func parseWrites(page []byte) (writes, error) {
	w := writes{}
	lines := bufio.NewScanner(bytes.NewReader(page))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m := requestLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		labels := map[string]string{}
		for _, l := range label.FindAllStringSubmatch(m[1], -1) {
			labels[l[1]] = l[2]
		}
		if !slices.Contains(writeVerbs, labels["verb"]) || !strings.HasPrefix(labels["code"], "2") {
			continue
		}
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return nil, fmt.Errorf("read the API server's metrics: %w", err)
		}
		resource := labels["resource"]
		if labels["subresource"] != "" {
			resource += "/" + labels["subresource"]
		}
		w[labels["verb"]+" "+resource] += n
	}
	return w, lines.Err()
}

// since returns what was written between two counts.
func (w writes) since(before writes) writes {
	diff := writes{}
	for kind, n := range w {
		if n > before[kind] {
			diff[kind] = n - before[kind]
		}
	}
	return diff
}

// split tells the writes that go with commands from those that go by the clock.
func (w writes) split() (commands, background writes) {
	commands, background = writes{}, writes{}
	for kind, n := range w {
		_, resource, _ := strings.Cut(kind, " ")
		if slices.Contains(perCommand, resource) {
			commands[kind] = n
		} else {
			background[kind] = n
		}
	}
	return commands, background
}

// commands is the number of writes that go with commands.
func (w writes) commands() float64 {
	sum := 0.0
	only, _ := w.split()
	for _, n := range only {
		sum += n
	}
	return sum
}

// by divides every count.
func (w writes) by(n int) writes {
	share := writes{}
	for kind, count := range w {
		share[kind] = count / float64(n)
	}
	return share
}

// plus adds up.
func (w writes) plus(other writes) writes {
	sum := maps.Clone(w)
	if sum == nil {
		sum = writes{}
	}
	for kind, n := range other {
		sum[kind] += n
	}
	return sum
}

// list writes the counts out, in a fixed order.
func (w writes) list(format string) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(w)) {
		parts = append(parts, fmt.Sprintf("%s "+format, kind, w[kind]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
