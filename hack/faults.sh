#!/usr/bin/env bash
# Runs the fault campaign within a budget, such as 15m, and shows its report, which stays in bin/faults/report.md:
#
#   hack/faults.sh 15m
#
# EDICT_SEED repeats a run, EDICT_KILLS sets the number of random kills, FAULTS_RUN, as go test's -run, chooses parts, and
# EDICT_ROWS, a regular expression, rows of the kill matrix.
set -euo pipefail

budget=${1:?usage: hack/faults.sh BUDGET, such as 15m}
cd "$(dirname "$0")/.."
report=bin/faults/report.md
rm -f "$report"

# The parts bound themselves; go test's own limit only ends a campaign that hangs.
status=0
EDICT_FAULTS_BUDGET=$budget go test -count=1 -timeout 6h -run "${FAULTS_RUN:-.}" ./test/faults/... || status=$?
if [[ -f $report ]]; then
  echo
  cat "$report"
fi
exit "$status"
