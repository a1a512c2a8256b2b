#!/usr/bin/env bash
# Builds the real control plane that tests, the demo and the benchmarks run against, from the versions pinned in
# hack/controlplane/go.mod, into the directory given. It builds once: a stamp beside the binaries holds the digest of
# everything that decides what is built, and while that is unchanged there is nothing to do.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:?usage: hack/controlplane.sh DIRECTORY}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$root/hack/controlplane"

# The version that kube-apiserver and kubectl report; without it they call themselves v0.0.0 and clients refuse them.
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
IFS=. read -r major minor _ <<<"${version#v}"
package=k8s.io/component-base/version
ldflags="-s -w -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor"

stamp=$({ cat go.mod go.sum "$root/hack/controlplane.sh"; go env GOOS GOARCH GOVERSION; } | git hash-object --stdin)

up_to_date() {
  for name in etcd kube-apiserver kube-controller-manager kubectl; do
    [[ -x $out/$name ]] || return 1
  done
  [[ -f $out/.stamp && $(<"$out/.stamp") == "$stamp" ]]
}

# build NAME PACKAGE STEP TYPICAL compiles one binary beside its final place and moves it there, so that a build that is
# interrupted, or runs while the old binary does, leaves no half a binary behind.
build() {
  local name=$1 from=$2 step=$3 typical=$4 started=$SECONDS
  echo "[$step] $name: typically $typical when nothing is cached, seconds when it is"
  go build -ldflags "$ldflags" -o "$out/.new-$name" "$from" &
  local compiler=$!
  trap "kill $compiler 2>/dev/null || true" EXIT
  while kill -0 "$compiler" 2>/dev/null; do
    sleep 1
    (((SECONDS - started) % 30 != 29)) || echo "[$step] $name: still compiling after $((SECONDS - started + 1)) s"
  done
  wait "$compiler"
  trap - EXIT
  mv "$out/.new-$name" "$out/$name"
  echo "[$step] $name: built in $((SECONDS - started)) s"
}

if up_to_date; then
  echo "The control plane ($version) is built: $out"
  exit 0
fi

echo "Building the control plane ($version) into $out. This happens once, and takes about ten minutes on two cores when nothing is cached."
build etcd go.etcd.io/etcd/server/v3 1/4 "1 minute"
build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver 2/4 "5 minutes"
build kube-controller-manager k8s.io/kubernetes/cmd/kube-controller-manager 3/4 "2 minutes"
build kubectl k8s.io/kubernetes/cmd/kubectl 4/4 "1 minute"
echo "$stamp" >"$out/.stamp"
