#!/bin/sh
# After each deployment: does the filter stand in front of the provider?
#
#   check.sh http://127.0.0.1:9080
#
# APISIX runs a route WITHOUT a plugin that it could not load, and logs an error. So ask: a request without
# a key, and one with a key that nobody has, must be refused by the filter itself, on every worker. Exit
# status 0: it is. Anything else: take the traffic away.
set -eu

gateway="${1:?usage: $0 http://HOST:PORT}"
# Each on a connection of its own, so that every worker is asked with near certainty.
rounds="${ROUNDS:-32}"
body='{"model": "none", "messages": []}'

ask() {
    curl --silent --show-error --max-time 10 --output /dev/null \
        --write-out '%{http_code} %header{x-tollgate-request-id}' \
        --header 'content-type: application/json' --header 'connection: close' "$@" \
        --data "$body" "$gateway/v1/chat/completions"
}

refused() {
    case "$1" in
    "401 req_"*) return 0 ;;
    esac
    echo "FAILED: $2 was answered: $1" >&2
    exit 1
}

round=0
while [ "$round" -lt "$rounds" ]; do
    refused "$(ask)" "a request without a key"
    refused "$(ask --header 'authorization: Bearer sk-tg-nobody')" "a request with a wrong key"
    round=$((round + 1))
done
echo "ok: $gateway refuses requests without a key ($rounds rounds)"
