#!/bin/sh
# sbatch that waits for a controller which is being restarted; without it the job would count as failed.
# Asked again is only where nobody was there to take the job: else it could be queued twice.
patience=${SUTURE_QUEUE_PATIENCE_SECONDS:-1800}
until=$(($(date +%s) + patience))
while :; do
  { said=$(sbatch "$@" 2>&1 1>&3); code=$?; } 3>&1
  case $said in
  *"(connect failure)"*) [ "$code" -ne 0 ] && [ "$(date +%s)" -lt "$until" ] && sleep 5 && continue ;;
  esac
  [ -z "$said" ] || echo "$said" >&2
  exit "$code"
done
