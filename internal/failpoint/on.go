//go:build faults

package failpoint

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Environment is the variable that arms failpoints: a comma-separated list of
// PLACE=ACTION or PLACE@N=ACTION, where N is the hit that counts, from 1 (the
// default), and ACTION is
//
//	kill        SIGKILL to this process
//	stop        SIGSTOP to this process; somebody has to continue it
//	sleep:D     wait, for each hit from the Nth on; D is as time.ParseDuration reads it
//
// Each armed place prints one line to standard error when it acts.
const Environment = "EDICT_FAILPOINTS"

type point struct {
	nth    int
	action string
	hits   int
}

var armed = struct {
	sync.Mutex
	points map[string]*point
}{points: parse(os.Getenv(Environment))}

func parse(list string) map[string]*point {
	points := map[string]*point{}
	for entry := range strings.SplitSeq(list, ",") {
		if entry == "" {
			continue
		}
		place, action, ok := strings.Cut(entry, "=")
		name, nth, counted := strings.Cut(place, "@")
		n := 1
		var err error
		if counted {
			n, err = strconv.Atoi(nth)
		}
		if !ok || err != nil {
			fmt.Fprintf(os.Stderr, "%s: %q is not PLACE=ACTION\n", Environment, entry)
			os.Exit(2)
		}
		points[name] = &point{nth: n, action: action}
	}
	return points
}

// Hit acts if the place is armed.
func Hit(place string) {
	armed.Lock()
	p := armed.points[place]
	if p == nil {
		armed.Unlock()
		return
	}
	p.hits++
	hits := p.hits
	armed.Unlock()
	wait, sleeps := strings.CutPrefix(p.action, "sleep:")
	if hits != p.nth && !(sleeps && hits > p.nth) {
		return
	}
	fmt.Fprintf(os.Stderr, "failpoint %s: %s at hit %d\n", place, p.action, hits)
	switch {
	case sleeps:
		d, err := time.ParseDuration(wait)
		if err != nil {
			panic(err)
		}
		time.Sleep(d)
	case p.action == "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is under way; nothing may happen after it
	case p.action == "stop":
		stop()
	}
}

// stop returns when somebody has continued the process. The signal takes a moment to reach every thread, and nothing may
// happen in it.
func stop() {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	defer signal.Stop(continued)
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	<-continued
}
