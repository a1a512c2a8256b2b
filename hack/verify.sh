#!/usr/bin/env bash
# Checks what needs no running control plane, and changes nothing. Every check runs even when an earlier one failed, so
# that one run tells all there is to mend.
set -uo pipefail
cd "$(dirname "$0")/.."

failed=()

# check NAME REMEDY COMMAND… runs the command and remembers the remedy when it fails.
check() {
  local name=$1 remedy=$2
  shift 2
  echo "verify: $name"
  "$@" || failed+=("$name: $remedy")
}

generated_current() {
  local fresh status=0
  fresh=$(mktemp -d) || return 1
  if hack/generate.sh "$fresh"; then
    for path in api/v1alpha1/zz_generated.deepcopy.go config/crd/bases config/rbac/role.yaml docs/reference/{api,conditions,events}.md; do
      diff -ru "$path" "$fresh/$path" || status=1
    done
  else
    status=1
  fi
  rm -rf "$fresh"
  return $status
}

formatted() {
  local files
  files=$(gofmt -s -l api cmd hack internal test) || return 1
  [[ -z $files ]] || { echo "$files"; return 1; }
}

check "generated files are current" "run make generate and commit what changes" generated_current
check "Go sources are formatted" "run make fmt" formatted
check "go.mod is tidy" "run go mod tidy" go mod tidy -diff
check "import rules hold" "see the table in internal/imports_test.go" go test -count=1 -run 'Import|Package' ./internal
check "go vet" "mend what it names" go vet ./...
check "golangci-lint" "mend what it names, or argue in .golangci.yml" go tool -modfile=hack/tools/go.mod golangci-lint run ./...

if ((${#failed[@]})); then
  printf 'verify: FAILED: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "verify: everything holds"
