# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by every test runner: one line per test into $RESULTS_FILE, which is
# $BUILD/results/TIER.txt (tests/lib/tier sets it and empties the file).
#
#	results_pass NAME
#	results_fail NAME [why]
#	results_skip NAME REASON    counted, and judged by tests/lib/summary
#	results_ok                  status 0 if nothing failed in this runner

: "${BUILD:=build}"
: "${RESULTS_FILE:=$BUILD/results/loose.txt}"
mkdir -p "$(dirname "$RESULTS_FILE")"
results_failed=0

results_pass()
{
	printf 'PASS %s\n' "$1" >>"$RESULTS_FILE"
	[ -n "${RESULTS_QUIET:-}" ] || printf '  ok    %s\n' "$1"
}

results_fail()
{
	results_failed=$((results_failed + 1))
	printf 'FAIL %s\n' "$1" >>"$RESULTS_FILE"
	printf '  FAIL  %s%s\n' "$1" "${2:+: $2}"
}

results_skip()
{
	printf 'SKIP %s %s\n' "$1" "$2" >>"$RESULTS_FILE"
	printf '  skip  %s: %s\n' "$1" "$2"
}

results_ok()
{
	[ "$results_failed" -eq 0 ]
}
