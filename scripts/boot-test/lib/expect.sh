# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # run.sh has what is shared
# Saying, waiting, expecting. Everything that waits has a deadline.

say() { echo "$*" >&2; }

# until_true SECONDS WHAT COMMAND...: polls until the command succeeds.
until_true() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $deadline ]; then
      say "waited in vain: $what"
      return 1
    fi
    sleep 0.05
  done
}

# expect WHAT COMMAND...: fails, with the command's output, if it fails.
expect() {
  local what=$1 output code=0
  shift
  output=$("$@" 2>&1) || code=$?
  if [ $code != 0 ]; then
    say "expected: $what"
    say "    $* ended with $code: $output"
    return 1
  fi
}

# expect_text WHAT WANTED COMMAND...: fails unless the command prints exactly that;
# its exit code does not matter.
expect_text() {
  local what=$1 wanted=$2 output
  shift 2
  output=$("$@" 2>&1) || true
  if [ "$output" != "$wanted" ]; then
    say "expected: $what"
    say "    wanted: $wanted"
    say "    $* gave: $output"
    return 1
  fi
}

# expect_line WHAT REGEXP COMMAND...: fails unless a line that it prints matches.
expect_line() {
  local what=$1 pattern=$2 output
  shift 2
  output=$("$@" 2>&1) || true
  if ! grep -qE -- "$pattern" <<<"$output"; then
    say "expected: $what"
    say "    no line of $* matches $pattern: $output"
    return 1
  fi
}

# expect_no_line WHAT REGEXP COMMAND...: the opposite.
expect_no_line() {
  local what=$1 pattern=$2 output
  shift 2
  output=$("$@" 2>&1) || true
  if grep -qE -- "$pattern" <<<"$output"; then
    say "expected: $what"
    say "    a line of $* matches $pattern: $output"
    return 1
  fi
}

# between A B: seconds between two of bash's EPOCHREALTIME.
between() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", b - a}'; }
