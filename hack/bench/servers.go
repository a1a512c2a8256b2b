package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/edict-dev/edict/hack/scriptedmodel"
)

// servers are the model and the tool, inside of this process. Their CPU time is in this process's account.
type servers struct {
	model, tool *timedServer
}

func startServers(ctx context.Context) (*servers, error) {
	handler, err := scriptedmodel.New(scriptedmodel.Options{Script: script(), Keep: -1})
	if err != nil {
		return nil, err
	}
	model, err := serve(ctx, handler)
	if err != nil {
		return nil, err
	}
	tool, err := serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"inStock":1,"delivery":"tomorrow"}`) // who does not read it sees an error of its own
	}))
	if err != nil {
		return nil, firstOf(err, model.close())
	}
	return &servers{model: model, tool: tool}, nil
}

func (s *servers) close() error { return firstOf(s.model.close(), s.tool.close()) }

// timedServer keeps account of the time that requests spend in its handler.
type timedServer struct {
	handler http.Handler
	server  *http.Server
	url     string
	delay   atomic.Int64 // nanoseconds that every answer takes at least
	spent   atomic.Int64 // nanoseconds
	served  atomic.Int64
}

func serve(ctx context.Context, handler http.Handler) (*timedServer, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &timedServer{handler: handler, url: fmt.Sprintf("http://%s", listener.Addr())}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(listener) }() // it ends with close
	return s, nil
}

func (s *timedServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	time.Sleep(time.Duration(s.delay.Load()))
	s.handler.ServeHTTP(w, r)
	s.spent.Add(int64(time.Since(began)))
	s.served.Add(1)
}

// account is the time spent in a server's handler, and for how many requests.
type account struct {
	spent  time.Duration
	served int64
}

func (s *timedServer) account() account {
	return account{spent: time.Duration(s.spent.Load()), served: s.served.Load()}
}

func (a account) since(b account) account {
	return account{spent: a.spent - b.spent, served: a.served - b.served}
}

func (s *timedServer) close() error { return s.server.Close() }
