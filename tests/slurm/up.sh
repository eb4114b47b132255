#!/usr/bin/env bash
# Brings up Slurm on this machine alone, for tests: Debian's slurm-wlm and munge, one node, the partitions that
# profiles/slurm names, a pretended GPU, no accounting. Needs root, since the daemons do. It writes /etc/slurm, so it
# refuses where a slurm.conf is that it did not write.   Take it down: up.sh down
set -euo pipefail

MARK="# Written by tests/slurm/up.sh; taken away by: tests/slurm/up.sh down"
STATE=/var/tmp/slurm-test
HOST=$(hostname -s)

refuse() { echo "error: $1" >&2; exit 77; } # 77: cannot be had here, so the test is skipped with this line

down() {
  for daemon in slurmd slurmctld munged; do
    pid=$(cat "$STATE/$daemon.pid" 2>/dev/null || true)
    if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$daemon" ]; then
      kill "$pid"
      for _ in $(seq 50); do [ -d "/proc/$pid" ] || break; sleep 0.1; done
    fi
  done
  # With a configuration and no daemon, every client call waits for ten seconds.
  if [ "$(head -1 /etc/slurm/slurm.conf 2>/dev/null)" = "$MARK" ]; then
    rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf
  fi
  rm -rf "$STATE"
}

if [ "${1:-}" = down ]; then down; exit; fi

[ "$(id -u)" = 0 ] || refuse "Slurm's daemons need root, and this is $(id -un)"
if [ -e /etc/slurm/slurm.conf ] && [ "$(head -1 /etc/slurm/slurm.conf)" != "$MARK" ]; then
  refuse "/etc/slurm/slurm.conf is there already: this machine has a Slurm of its own"
fi
if ! command -v slurmctld slurmd munged sbatch >/dev/null; then
  command -v apt-get >/dev/null || refuse "Slurm is not installed, and there is no apt-get to install it"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq slurm-wlm munge; } >/dev/null 2>&1 ||
    refuse "slurm-wlm and munge cannot be installed by apt-get (no network, or no such package)"
fi
down
mkdir -p "$STATE/ctld" "$STATE/spool" /etc/slurm
cores=$(getconf _NPROCESSORS_ONLN) # nproc would heed OMP_NUM_THREADS
memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 * 9 / 10))

cat >/etc/slurm/slurm.conf <<CONF
$MARK
ClusterName=test
SlurmctldHost=$HOST(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
StateSaveLocation=$STATE/ctld
SlurmdSpoolDir=$STATE/spool
SlurmctldPidFile=$STATE/slurmctld.pid
SlurmdPidFile=$STATE/slurmd.pid
SlurmctldLogFile=$STATE/slurmctld.log
SlurmdLogFile=$STATE/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,batch_sched_delay=0
ReturnToService=2
MinJobAge=86400
KillWait=10
GresTypes=gpu
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=$cores RealMemory=$memory Gres=gpu:1 State=UNKNOWN
PartitionName=cpu Nodes=$HOST Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=$HOST MaxTime=INFINITE State=UP
CONF
echo "NodeName=$HOST Name=gpu File=/dev/null" >/etc/slurm/gres.conf

install -d -o munge -g munge -m 755 /run/munge "$STATE/munge"
runuser -u munge -- munged --pid-file="$STATE/munge/munged.pid" --log-file="$STATE/munge/munged.log"
cp "$STATE/munge/munged.pid" "$STATE/munged.pid"
slurmctld
slurmd -N "$HOST"
for _ in $(seq 100); do
  [ "$(sinfo -h -p cpu -o %T 2>/dev/null)" = idle ] && { echo "Slurm is up: $cores cores, $memory MB"; exit; }
  sleep 0.3
done
tail -5 "$STATE"/*.log >&2
refuse "Slurm did not come up: the node is $(sinfo -h -n "$HOST" -o %T 2>&1 | sort -u | head -1)"
