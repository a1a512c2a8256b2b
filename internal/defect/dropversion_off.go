//go:build !defect_dropversion

package defect

// DropVersion appends batches without the key that numbers them by their command's version.
const DropVersion = false
