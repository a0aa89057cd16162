#!/usr/bin/env bash
# Ends the SLURM that `start_slurm.sh FOLDER` started: its daemons and their jobs, no others.
set -u
folder=$(realpath "${1:?stop_slurm.sh FOLDER}")
scancel --quiet --user root 2> /dev/null
for daemon in slurmd slurmctld munge; do
    kill "$(cat "$folder/$daemon.pid")" 2> /dev/null
done
[ "$(readlink /etc/slurm/slurm.conf)" != "$folder/slurm.conf" ] || rm /etc/slurm/{slurm,gres}.conf
