#!/usr/bin/env bash
# Generates everything that is made from the Go sources, into the tree given: `.` to bring the repository up to date,
# a temporary directory for `make verify` to compare with.
set -euo pipefail

out=$(cd "${1:?usage: hack/generate.sh DIRECTORY}" && pwd)
cd "$(dirname "$0")/.."

tool() { go tool -modfile=hack/tools/go.mod "$@"; }

mkdir -p "$out"/{api/v1alpha1,config/crd/bases,config/rbac,docs/reference}

tool controller-gen object:headerFile=hack/boilerplate.go.txt paths=./api/v1alpha1/... output:object:dir="$out/api/v1alpha1"
# The CRDs are put in place at once: tests may read them meanwhile. A kind that is no more leaves none behind.
crds=$(mktemp -d)
trap 'rm -rf "$crds"' EXIT
tool controller-gen crd paths=./api/v1alpha1/... output:crd:dir="$crds"
for old in "$out"/config/crd/bases/*.yaml; do
  [[ -e $crds/${old##*/} ]] || rm -f "$old"
done
mv -f "$crds"/*.yaml "$out/config/crd/bases/"
tool controller-gen rbac:roleName=manager-role paths=./internal/controller/... output:rbac:dir="$out/config/rbac"
tool crd-ref-docs --log-level=ERROR --renderer=markdown --config=hack/tools/crd-ref-docs.yaml \
  --source-path=api --output-path="$out/docs/reference/api.md"
go run ./hack/reference "$out"
