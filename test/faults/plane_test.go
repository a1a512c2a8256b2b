package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
	"github.com/edict-dev/edict/hack/cluster"
)

// plane is a control plane with Edict installed in it as the README says.
type plane struct {
	*cluster.Cluster
	client  client.Client // the administrator's
	user    string        // whom Kubernetes knows the administrator as
	token   string        // of the service account that the operator's Deployment names
	account client.ObjectKey
}

// newPlane starts one, while no row of the kill matrix runs. When it returns an error nothing is left running.
func (c *campaign) newPlane(ctx context.Context) (*plane, error) {
	c.setting.Lock()
	defer c.setting.Unlock()
	return startPlane(ctx, c.root)
}

func startPlane(ctx context.Context, root string) (*plane, error) {
	manifests := filepath.Join(root, "config")
	c, err := cluster.Start(ctx, cluster.Options{ControllerManager: true, CRDDirs: []string{filepath.Join(manifests, "crd", "bases")}})
	if err != nil {
		return nil, err
	}
	p := &plane{Cluster: c}
	if err := p.install(ctx, filepath.Join(manifests, "default")); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return p, nil
}

func (p *plane) install(ctx context.Context, manifests string) error {
	if _, err := p.Kubectl(ctx, "apply", "-k", manifests); err != nil {
		return err
	}
	var err error
	if p.user, err = p.Kubectl(ctx, "auth", "whoami", "--output=jsonpath={.status.userInfo.username}"); err != nil {
		return err
	}
	list, err := p.Kubectl(ctx, "get", "deployments", "--all-namespaces", "--output=json")
	if err != nil {
		return err
	}
	var deployments struct {
		Items []appsv1.Deployment `json:"items"`
	}
	if err := json.Unmarshal([]byte(list), &deployments); err != nil {
		return err
	}
	if len(deployments.Items) != 1 {
		return fmt.Errorf("config/default has %d Deployments, want the operator's", len(deployments.Items))
	}
	d := deployments.Items[0]
	p.account = client.ObjectKey{Namespace: d.Namespace, Name: d.Spec.Template.Spec.ServiceAccountName}
	config, _, err := p.TokenConfig(ctx, p.account.Namespace, p.account.Name)
	if err != nil {
		return err
	}
	p.token = config.BearerToken
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, edictv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	p.client, err = client.New(p.Config, client.Options{Scheme: scheme})
	return err
}
