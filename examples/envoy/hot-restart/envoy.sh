#!/bin/sh
# Starts Envoy so that it can be replaced without closing its ports, or replaces the one that runs:
#
#   envoy.sh first             the first process
#   envoy.sh next EPOCH        the one that takes over, EPOCH being 1, 2, 3 …
#
# The old process stops accepting, lets its streams run on for DRAIN seconds and is ended after SHUTDOWN
# seconds: streams that are longer are cut, so give them time. Both processes are holders of their own:
# the new one asks for money of its own, the old one reports what its calls cost and hands the rest back.
#
# BASE_ID is a number of its own for each Envoy of a machine; processes with the same one share memory.
# TOLLGATE_FILTER_TOKEN comes from the environment, as ever: a new token takes effect in the new process.
set -eu

: "${ENVOY:=envoy}" "${CONFIG:=/etc/envoy/envoy.yaml}" "${BASE_ID:=1}"
: "${CONCURRENCY:=2}" "${DRAIN:=600}" "${SHUTDOWN:=660}"
: "${TOLLGATE_FILTER_TOKEN:?is not set}"

case "${1:-}" in
first) epoch=0 ;;
next) epoch="${2:?which epoch?}" ;;
*)
    echo "usage: $0 first | next EPOCH" >&2
    exit 2
    ;;
esac

exec "$ENVOY" --config-path "$CONFIG" --concurrency "$CONCURRENCY" \
    --base-id "$BASE_ID" --restart-epoch "$epoch" \
    --drain-time-s "$DRAIN" --parent-shutdown-time-s "$SHUTDOWN"
