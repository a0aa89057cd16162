#!/usr/bin/env bash
# A SLURM of one node on this machine's loopback, for test_slurm.py: `start_slurm.sh FOLDER`, as root on Debian 12.
# It installs Debian's packages where they are missing. Everything else it writes lies in FOLDER; `stop_slurm.sh FOLDER`
# ends what it started. Of the node's GPUs there is only the name: files in FOLDER stand for their devices.
# Only links to its two .conf lie outside, where SLURM looks for them: a job is not told of another place.
set -euo pipefail
folder=$(realpath -m "${1:?start_slurm.sh FOLDER}")
[ "$(id -u)" = 0 ] || { echo "start_slurm.sh: SLURM's node daemon runs as root" >&2; exit 2; }
if ! command -v slurmctld slurmd munged sbatch > /dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge
fi

if [ -e /etc/slurm/slurm.conf ]; then
    echo "start_slurm.sh: /etc/slurm/slurm.conf is there: this machine has a SLURM already" >&2
    exit 2
fi
mkdir -p "$folder"/{state,spool}
chmod 755 "$folder"
touch "$folder"/gpu{0,1}
head -c 1024 /dev/urandom > "$folder/munge.key"
chmod 600 "$folder/munge.key"
cat > "$folder/gres.conf" << END
Name=gpu File=$folder/gpu[0-1]
END
cat > "$folder/slurm.conf" << END
ClusterName=loopback
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
# without cgroups, MPI and accounting, so that it runs in a container
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/jobs.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
MinJobAge=36000
KillWait=30
SchedulerParameters=sched_interval=2,batch_sched_delay=0
ReturnToService=2
NodeName=$(hostname -s) NodeAddr=127.0.0.1 Gres=gpu:2 $(slurmd -C | head -n 1 | cut -d ' ' -f 2-)
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=10
END
ln -sf "$folder"/{slurm,gres}.conf /etc/slurm
munged --force --key-file "$folder/munge.key" --socket "$folder/munge.socket" --pid-file "$folder/munge.pid" \
    --log-file "$folder/munge.log" --seed-file "$folder/munge.seed"
slurmctld
slurmd
for _ in $(seq 60); do
    if [ "$(sinfo --noheader --format %T 2> /dev/null)" = idle ]; then exit; fi
    sleep 0.5
done
echo "start_slurm.sh: the node is not idle after 30 s: $(sinfo --noheader --long --Node 2>&1), logs in $folder" >&2
exit 1
