//go:build !defect_actfirst

package defect

// ActFirst makes a call before its attempt is durable.
const ActFirst = false
