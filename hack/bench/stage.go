package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/cluster"
)

const (
	operatorNamespace = "edict-system"

	// defaultCalls is the operator's own default.
	defaultCalls  = 64
	readyPatience = time.Minute
	// gonePatience bounds the deletion of a round's objects.
	gonePatience = 2 * time.Minute
)

// setting is how the operator runs in a round.
type setting struct {
	replicas int    // processes, at least 1
	journal  string // URL
	calls    int    // to models and APIs at the same time, of each process
}

// stage is the control plane with what every round needs, and the operator while it runs.
type stage struct {
	cluster   *cluster.Cluster
	client    client.WithWatch // authenticates as an administrator, without a rate limit
	discovery *discovery.DiscoveryClient
	servers   *servers

	binary     string // of the operator
	kubeconfig string // of the operator's service account
	work       string // directory of the cluster and the journal
	log        string // what the operator prints

	setting   setting
	operators []*operator // none while it does not run
	ended     *endings    // of commands; nil while the operator does not run
	leave     func()      // ends the watch
}

// newStage starts everything but the operator. When it returns an error nothing is left running.
func newStage(ctx context.Context, o options, work string) (*stage, error) {
	s := &stage{binary: o.operator, work: work, log: filepath.Join(filepath.Dir(o.results), "operator.log")}
	s.setting = setting{replicas: 1, calls: defaultCalls, journal: "sqlite://" + filepath.Join(work, "journal.db")}
	if err := s.start(ctx); err != nil {
		return nil, firstOf(err, s.close())
	}
	return s, nil
}

func (s *stage) start(ctx context.Context) (err error) {
	if err := os.WriteFile(s.log, nil, 0o644); err != nil {
		return err
	}
	if s.servers, err = startServers(ctx); err != nil {
		return err
	}
	say("starting the control plane")
	s.cluster, err = cluster.Start(ctx, cluster.Options{Dir: s.work, Fsync: true, CRDDirs: []string{filepath.Join("config", "crd", "bases")}})
	if err != nil {
		return err
	}
	if err := s.connect(); err != nil {
		return err
	}
	// All that a user installs. Nothing runs the Deployment in it: there is no controller for it here.
	if _, err := s.cluster.Kubectl(ctx, "apply", "-k", filepath.Join("config", "default")); err != nil {
		return err
	}
	if s.kubeconfig, err = s.identity(ctx); err != nil {
		return err
	}
	return s.create(ctx, benchNamespace(), benchView(agentName), benchAgent(agentName, s.servers.model.url, s.servers.tool.url))
}

func (s *stage) create(ctx context.Context, objects ...client.Object) error {
	for _, object := range objects {
		if err := s.client.Create(ctx, object); err != nil {
			return fmt.Errorf("create %T %s: %w", object, object.GetName(), err)
		}
	}
	return nil
}

func (s *stage) connect() error {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, edictv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	var err error
	if s.client, err = client.NewWithWatch(s.cluster.Config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	s.discovery, err = discovery.NewDiscoveryClientForConfig(s.cluster.Config)
	return err
}

// identity returns a kubeconfig of the service account that the operator's Deployment names.
func (s *stage) identity(ctx context.Context) (string, error) {
	var list appsv1.DeploymentList
	if err := s.client.List(ctx, &list, client.InNamespace(operatorNamespace)); err != nil {
		return "", err
	}
	if len(list.Items) != 1 {
		return "", fmt.Errorf("config/default has %d Deployments in namespace %s, not one", len(list.Items), operatorNamespace)
	}
	_, path, err := s.cluster.TokenConfig(ctx, operatorNamespace, list.Items[0].Spec.Template.Spec.ServiceAccountName)
	return path, err
}

// startOperator starts the operator as it is set, and the watch that sees commands end.
func (s *stage) startOperator(ctx context.Context) (err error) {
	running, leave := context.WithCancelCause(ctx)
	s.leave = func() { leave(context.Canceled) }
	for i := range s.setting.replicas {
		pidFile := filepath.Join(s.work, "controlplane", operatorPID(i))
		o, err := startOperator(ctx, s, pidFile)
		if err != nil {
			return err
		}
		s.operators = append(s.operators, o)
		o.whenEnded(running, leave)
	}
	s.ended, err = watchEndings(running, s.client)
	return err
}

// operatorPID is the name of the pid file of the i-th process.
func operatorPID(i int) string { return fmt.Sprintf("operator-%d.pid", i) }

// ready waits until the agent and its view are Ready.
func (s *stage) ready(ctx context.Context) error {
	var a edictv1.Agent
	var v edictv1.ContextView
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, readyPatience, true, func(ctx context.Context) (bool, error) {
		key := client.ObjectKey{Namespace: namespace, Name: agentName}
		if err := firstOf(s.client.Get(ctx, key, &a), s.client.Get(ctx, key, &v), s.ended.failure()); err != nil {
			return false, err
		}
		return isTrue(a.Status.Conditions, edictv1.ConditionReady) && isTrue(v.Status.Conditions, edictv1.ConditionReady), nil
	})
	if err != nil {
		return fmt.Errorf("wait until the agent (%s) and the view (%s) are ready: %w",
			said(a.Status.Conditions), said(v.Status.Conditions), err)
	}
	return nil
}

func isTrue(conditions []metav1.Condition, kind string) bool {
	return meta.IsStatusConditionTrue(conditions, kind)
}

// said is what Ready says, for an error.
func said(conditions []metav1.Condition) string {
	if c := meta.FindStatusCondition(conditions, edictv1.ConditionReady); c != nil {
		return c.Reason + ": " + c.Message
	}
	return "no condition Ready"
}

// stopOperator stops the operator if it runs, and deletes all Commands, so that what comes next begins with none.
func (s *stage) stopOperator(ctx context.Context) error {
	if err := s.halt(); err != nil {
		return err
	}
	return s.clear(ctx)
}

func (s *stage) halt() error {
	if len(s.operators) == 0 {
		return nil
	}
	s.leave()
	var err error
	for _, o := range s.operators {
		err = firstOf(err, o.stop())
	}
	s.operators, s.ended = nil, nil
	return err
}

// clear deletes the Commands. Their Kubernetes Events stay: nothing watches them.
func (s *stage) clear(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, gonePatience)
	defer cancel()
	for {
		err := s.client.DeleteAllOf(ctx, &edictv1.Command{}, client.InNamespace(namespace))
		var left edictv1.CommandList
		if err == nil || apierrors.IsTimeout(err) {
			err = s.client.List(ctx, &left, client.InNamespace(namespace), client.Limit(1))
		}
		switch {
		case err != nil:
			return fmt.Errorf("delete the round's commands: %w", err)
		case len(left.Items) == 0:
			return nil
		}
	}
}

// close stops everything that runs.
func (s *stage) close() error {
	err := s.halt()
	if s.cluster != nil {
		err = firstOf(err, s.cluster.Stop())
	}
	if s.servers != nil {
		err = firstOf(err, s.servers.close())
	}
	return err
}
