# shellcheck shell=bash
# amqp.sh: the opening of AMQP 0-9-1, spoken with bash alone. rabbitmqctl could ask
# too, but takes seconds, and shows a password on its command line.

# amqp_login ADDRESS PORT USER PASSWORD - does the server let this user in?
#   changes: nothing      exit: 0 yes, else no
amqp_login() (
  LC_ALL=C # lengths in bytes
  exec 3<>"/dev/tcp/$1/$2" || exit 1
  printf 'AMQP\x00\x00\x09\x01' >&3
  # connection.start (class 10, method 10): read to the end of its frame
  header=$(_amqp_bytes 7)
  [[ $header =~ ^010000[0-9a-f]{8}$ ]] || exit 1
  start=$(_amqp_bytes $((16#${header:6} + 1)))
  [[ $start == 000a000a*ce ]] || exit 1
  # connection.start-ok (10, 11): no properties, PLAIN, "\0USER\0PASSWORD", en_US
  {
    printf '\x01\x00\x00'
    _amqp_long $((4 + 4 + 6 + 4 + 2 + ${#3} + ${#4} + 6))
    printf '\x00\x0a\x00\x0b\x00\x00\x00\x00\x05PLAIN'
    _amqp_long $((2 + ${#3} + ${#4}))
    printf '\x00%s\x00%s\x05en_US\xce' "$3" "$4"
  } >"$SCRATCH/start-ok"
  cat "$SCRATCH/start-ok" >&3 # in one piece
  # connection.tune (10, 30) is the welcome; a refusal is a close (10, 50) or nothing
  [[ $(_amqp_bytes 11) =~ ^010000[0-9a-f]{8}000a001e$ ]]
)
_amqp_bytes() { timeout 10 head -c "$1" <&3 | od -An -v -tx1 | tr -d ' \n'; }
_amqp_long() { from_hex "$(printf '%08x' "$1")"; }

# from_hex DIGITS - print the bytes that DIGITS stand for
#   changes: nothing      exit: 0
from_hex() { printf '%b' "$(printf %s "$1" | sed 's/../\\x&/g')"; }
