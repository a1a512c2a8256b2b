package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// serveQuery registers the HTTP API's server with the manager.
func serveQuery(mgr manager.Manager, api http.Handler, f *flags) error {
	if f.query == "0" {
		return nil
	}
	certificate, err := certificate(f.queryCerts)
	if err != nil {
		return err
	}
	var listens atomic.Bool
	err = mgr.AddReadyzCheck("query", func(*http.Request) error {
		if !listens.Load() {
			return errors.New("the HTTP API does not listen yet")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		listener, err := net.Listen("tcp", f.query)
		if err != nil {
			return fmt.Errorf("--query-bind-address %q: %w", f.query, err)
		}
		listens.Store(true)
		server := &http.Server{
			Handler: api, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
			MaxHeaderBytes: 128 << 10,                                         // a question of 32 KiB, each byte of it escaped
			BaseContext:    func(net.Listener) context.Context { return ctx }, // who follows ends with the process
			TLSConfig:      &tls.Config{GetCertificate: certificate, MinVersion: tls.VersionTLS12},
		}
		go func() {
			<-ctx.Done()
			within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = server.Shutdown(within) // a reader that is cut off reads again
		}()
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}))
}

// certificate returns what gives the server's certificate: the one in the
// directory, read at each handshake so that it can be renewed in place, or one
// that is made now.
func certificate(dir string) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	if dir != "" {
		read := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
			return &pair, err
		}
		_, err := read(nil)
		if err != nil {
			err = fmt.Errorf("--query-cert-dir %q: %w", dir, err)
		}
		return read, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	crt, key, err := certutil.GenerateSelfSignedCertKey(host, []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"})
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(crt, key)
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }, err
}
