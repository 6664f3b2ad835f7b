#!/bin/sh
# orderd from a shell, by redis-cli:
#
#     examples/redis_cli.sh [PATH-OF-THE-SOCKET [SYMBOL [PRICE]]]
set -eu
socket=${1:-${ORDERD_SOCKET:?name the socket}} symbol=${2:-AAPL} price=${3:-187.25}

# -3: RESP3, so that an order's pairs are shown as pairs. -e: exit code 1 for an error.
orderd() { redis-cli -s "$socket" -3 -e "$@"; }

# The id is ours: the same command sent again after a lost answer places nothing twice.
id=cli-$(date +%s%N)

echo "place:"
orderd ORDER.NEW "$id" "$symbol" BUY 100 LIMIT "$price" TIF GTC
echo "book:"
orderd BOOK "$symbol" DEPTH 3
echo "replace:"
orderd ORDER.REPLACE "$id" 60 "$price" ID "$id.r"
echo "cancel:"
orderd ORDER.CANCEL "$id" ID "$id.c"
echo "what is left open: $(orderd ORDER.LIST OPEN SYMBOL "$symbol" COUNT 1000 | grep -c "$id" || true) of it"

# Errors begin with a word that says what to do.
orderd ORDER.NEW "$id.bad" "$symbol" BUY 100 LIMIT 0 || echo "refused, as it should be"
