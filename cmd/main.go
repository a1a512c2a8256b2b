// Command edict is the operator: `edict manager` runs it, `edict journal` looks
// after its journal. It wires the rooms together and does nothing else.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := root().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "edict:", err)
		os.Exit(1)
	}
}
