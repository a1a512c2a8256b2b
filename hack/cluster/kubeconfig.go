package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenSeconds is how long a token of TokenConfig is good for: longer than any test or demonstration.
const tokenSeconds = int64(24 * 60 * 60)

// TokenConfig returns a configuration that authenticates as a service account, and the path of a kubeconfig that says
// the same, so that a program can be run under exactly the rights that RBAC grants that account. The account must
// exist. Asked twice, it writes the same file with a new token.
func (c *Cluster) TokenConfig(ctx context.Context, namespace, serviceAccount string) (*rest.Config, string, error) {
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return nil, "", err
	}
	seconds := tokenSeconds
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	granted, err := client.CoreV1().ServiceAccounts(namespace).
		CreateToken(ctx, serviceAccount, request, metav1.CreateOptions{})
	if err != nil {
		return nil, "", fmt.Errorf("request token for service account %s/%s: %w", namespace, serviceAccount, err)
	}
	config := rest.AnonymousClientConfig(c.Config)
	config.BearerToken = granted.Status.Token
	config.QPS, config.Burst = c.Config.QPS, c.Config.Burst

	path := filepath.Join(c.dir, fmt.Sprintf("kubeconfig-%s-%s", namespace, serviceAccount))
	if err := WriteKubeconfig(path, config, namespace); err != nil {
		return nil, "", err
	}
	return config, path, nil
}

// WriteKubeconfig writes what config says, with the namespace that it is used in, as a kubeconfig that only its owner may
// read.
func WriteKubeconfig(path string, config *rest.Config, namespace string) error {
	const name = "edict"
	kubeconfig := clientcmdapi.NewConfig()
	kubeconfig.Clusters[name] = &clientcmdapi.Cluster{
		Server:                   config.Host,
		CertificateAuthorityData: config.CAData,
	}
	kubeconfig.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: config.CertData,
		ClientKeyData:         config.KeyData,
		Token:                 config.BearerToken,
	}
	kubeconfig.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: namespace}
	kubeconfig.CurrentContext = name
	content, err := clientcmd.Write(*kubeconfig)
	if err != nil {
		return fmt.Errorf("encode kubeconfig: %w", err)
	}
	return os.WriteFile(path, content, 0o600)
}
