#!/usr/bin/env bash
# A whole Celery fleet on one machine, without containers: a Redis of its own, a worker for each server, one batch over all.
#
#   examples/celery/one_machine.sh prompts.txt http://127.0.0.1:11434 [http://127.0.0.1:11435 …] [-- flags of arriero run]
#
# It needs redis-server (apt-get install redis-server; no service must run) and pip install 'arriero[celery]'.
set -euo pipefail

prompts=${1:?usage: one_machine.sh PROMPTS URL… [-- FLAGS]}
shift
urls=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do urls+=("$1"); shift; done
[ $# -eq 0 ] || shift
folder=$(mktemp -d)
pids=()
end() {
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true # SIGTERM: workers finish what runs
    wait
    rm -rf "$folder"
}
trap end EXIT

port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
password=$(python3 -c 'import secrets; print(secrets.token_urlsafe(24))')
printf 'bind 127.0.0.1\nport %s\nrequirepass %s\nsave ""\ndir %s\n' "$port" "$password" "$folder" |
    redis-server - >"$folder/redis.log" &
pids+=($!)
until REDISCLI_AUTH=$password redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done
export ARRIERO_BROKER="redis://:$password@127.0.0.1:$port/0" # in the environment, not on a command line: others see those

for number in "${!urls[@]}"; do
    arriero worker --name "worker-$((number + 1))" -i "${urls[number]}" 2>"$folder/worker-$((number + 1)).log" &
    pids+=($!)
done
until [ "$(cat "$folder"/worker-*.log | grep -c ready)" -ge ${#urls[@]} ]; do sleep 0.1; done

arriero fleet ps --engine celery
arriero run "$prompts" --engine celery "$@"
