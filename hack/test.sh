#!/usr/bin/env bash
# Runs the tests of a package pattern with the race detector: hack/test.sh PATTERN [FLAGS OF GO TEST]…
#
# Of everything, the fault campaign comes last and alone: it loads the machine, and other tests would measure that. The
# race detector would see nothing of its operators, which are processes of their own.
set -euo pipefail

pattern=${1:?usage: hack/test.sh PATTERN [FLAGS]}
shift
cd "$(dirname "$0")/.."

if [[ $pattern != ./... ]]; then
  exec go test -race -timeout 30m "$@" $pattern # which may be several
fi
mapfile -t packages < <(go list ./... | grep -v '/test/faults$')
status=0
go test -race -timeout 30m "$@" "${packages[@]}" || status=$?
go test -timeout 30m "$@" ./test/faults || status=$?
exit "$status"
