// Command cmd serves package travelapi: flights that do not exist, bookings in memory, and the count of them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/edict-dev/edict/hack/listen"
	"github.com/edict-dev/edict/hack/travelapi"
)

func main() {
	var options travelapi.Options
	address := flag.String("listen", "127.0.0.1:8091", "address to listen on; port 0 chooses a free one")
	flag.StringVar(&options.Token, "token", "", "bearer token to ask for; by default what TRAVEL_API_TOKEN holds, or none")
	flag.DurationVar(&options.Latency, "latency", 0, "how long every request takes before anything happens")
	flag.DurationVar(&options.Hold, "hold", 0, "how long a change waits, once made, for its answer; the query hold= says so for one")
	flag.BoolVar(&options.IgnoreKeys, "ignore-keys", false, "do not know Idempotency-Key: book at every request")
	flag.Parse()
	if options.Token == "" {
		options.Token = os.Getenv("TRAVEL_API_TOKEN")
	}
	if err := listen.Serve(context.Background(), os.Stdout, "travel API", *address, travelapi.New(options)); err != nil {
		fmt.Fprintln(os.Stderr, "travel API:", err)
		os.Exit(1)
	}
}
