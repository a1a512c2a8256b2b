//go:build !faults

package failpoint

// Hit does nothing in a program that is not built for the fault campaign.
func Hit(string) {}
