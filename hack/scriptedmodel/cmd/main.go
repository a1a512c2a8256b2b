// Command cmd serves package scriptedmodel: an OpenAI-compatible server that says what its script says, without a model.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/edict-dev/edict/hack/listen"
	"github.com/edict-dev/edict/hack/scriptedmodel"
)

func main() {
	address := flag.String("listen", "127.0.0.1:8090", "address to listen on; port 0 chooses a free one")
	script := flag.String("script", "", "YAML or JSON file of rules; without it no question has an answer")
	key := flag.String("api-key", "", "bearer token to ask for; by default what SCRIPTED_MODEL_API_KEY holds, or none")
	latency := flag.Duration("latency", 0, "how long every answer takes")
	flag.Parse()
	if *key == "" {
		*key = os.Getenv("SCRIPTED_MODEL_API_KEY")
	}
	if err := run(*address, *script, *key, *latency); err != nil {
		fmt.Fprintln(os.Stderr, "scripted model:", err)
		os.Exit(1)
	}
}

func run(address, script, key string, latency time.Duration) error {
	options := scriptedmodel.Options{APIKey: key, Latency: latency}
	if script != "" {
		var err error
		if options.Script, err = scriptedmodel.Load(script); err != nil {
			return err
		}
	}
	server, err := scriptedmodel.New(options)
	if err != nil {
		return err
	}
	return listen.Serve(context.Background(), os.Stdout, "scripted model", address, server)
}
