package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of the times in /proc: 100 a second on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// The processes whose CPU time is told apart. The bench's own is that of the users, the model and the tool.
const (
	cpuOperator  = "operator"
	cpuAPIServer = "apiserver"
	cpuEtcd      = "etcd"
	cpuBench     = "bench"
	cpuMachine   = "machine" // everything that runs on it, the four among them
)

// cpu is CPU time by process. One that does not run, or cannot be read, is not in it.
type cpu map[string]time.Duration

// readCPU reads the CPU time of this process, of those whose pid files are in dir, and of the machine.
func readCPU(dir string) cpu {
	c := cpu{}
	c.add(cpuBench, os.Getpid())
	for name, files := range map[string]string{
		cpuOperator: "operator-*.pid", cpuAPIServer: "kube-apiserver.pid", cpuEtcd: "etcd.pid",
	} {
		found, err := filepath.Glob(filepath.Join(dir, files))
		if err != nil {
			continue
		}
		for _, file := range found {
			content, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			if pid, err := strconv.Atoi(strings.TrimSpace(string(content))); err == nil {
				c.add(name, pid)
			}
		}
	}
	if stat, err := os.ReadFile("/proc/stat"); err == nil {
		if busy, err := parseMachine(string(stat)); err == nil {
			c[cpuMachine] = busy
		}
	}
	return c
}

func (c cpu) add(name string, pid int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return
	}
	if spent, err := parseProcess(string(stat)); err == nil {
		c[name] += spent
	}
}

// parseProcess returns user and system time from /proc/PID/stat: its fields 14 and 15.
func parseProcess(stat string) (time.Duration, error) {
	// The name, the second field, is in brackets and may hold anything.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("cannot read process times from %q", stat)
	}
	return ticks(fields[11:13])
}

// parseMachine returns from /proc/stat the time that was neither idle nor waiting for a disk: user, nice, system, irq
// and softirq.
func parseMachine(stat string) (time.Duration, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0, fmt.Errorf("cannot read the machine's times from %q", line)
	}
	return ticks(append(fields[1:4:4], fields[6], fields[7]))
}

func ticks(fields []string) (time.Duration, error) {
	var sum time.Duration
	for _, field := range fields {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

func (c cpu) since(before cpu) cpu {
	diff := cpu{}
	for name, spent := range c {
		if was, ok := before[name]; ok {
			diff[name] = spent - was
		}
	}
	return diff
}

// perCommand returns milliseconds by process, of the processes named above.
func (c cpu) perCommand(n int) map[string]float64 {
	out := map[string]float64{}
	for _, name := range []string{cpuOperator, cpuAPIServer, cpuEtcd, cpuBench} {
		if spent, ok := c[name]; ok {
			out[name] = millis(spent) / float64(n)
		}
	}
	return out
}

// others returns how many CPUs everything else on the machine kept busy; it took part of what was measured.
func (c cpu) others(elapsed time.Duration) float64 {
	rest, ok := c[cpuMachine]
	if !ok || elapsed <= 0 {
		return 0
	}
	for name, spent := range c {
		if name != cpuMachine {
			rest -= spent
		}
	}
	return max(0, rest.Seconds()/elapsed.Seconds())
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
