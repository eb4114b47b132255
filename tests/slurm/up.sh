#!/usr/bin/env bash
# Brings up Slurm on this machine alone, for tests: Debian's slurm-wlm and munge, one node, the partitions that
# profiles/slurm names, a pretended GPU, no accounting. Needs root, since the daemons do. It writes /etc/slurm, so it
# refuses where a slurm.conf is that it did not write.
#   up.sh install   install both packages by apt-get, where they are missing, and bring up nothing
#   up.sh           bring it up
#   up.sh down      take it down, and the configuration with it
set -euo pipefail

MARK="# Written by tests/slurm/up.sh; taken away by: tests/slurm/up.sh down"
CONF=/etc/slurm/slurm.conf
HOST=$(hostname -s)

refuse() { echo "error: $1" >&2; exit 77; } # 77: cannot be had here, so the test is skipped with this line

ours() { [ "$(head -1 "$CONF" 2>/dev/null)" = "$MARK" ]; }

down() {
  ours || return 0
  state=$(sed -n 's|^StateSaveLocation=\(.*\)/ctld$|\1|p' "$CONF")
  for daemon in slurmd slurmctld munge/munged; do
    pid=$(cat "$state/$daemon.pid" 2>/dev/null || true)
    if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$(basename "$daemon")" ]; then
      kill "$pid"
      for _ in $(seq 50); do [ -d "/proc/$pid" ] || break; sleep 0.1; done
    fi
  done
  # With a configuration and no daemon, every client call waits for ten seconds.
  rm -f "$CONF" /etc/slurm/gres.conf
  rm -rf "$state"
}

if [ "${1:-}" = down ]; then down; exit; fi

[ "$(id -u)" = 0 ] || refuse "Slurm's daemons need root, and this is $(id -un)"
if [ -e "$CONF" ] && ! ours; then refuse "$CONF is there already: this machine has a Slurm of its own"; fi
# One at a time, since `command -v` of several is content with any.
missing() { for name in slurmctld slurmd munged sbatch; do command -v "$name" >/dev/null || return 0; done; return 1; }
if [ "${1:-}" = install ] && missing; then
  command -v apt-get >/dev/null || refuse "Slurm is not installed, and there is no apt-get to install it"
  apt() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=60 "$@" 2>&1; }
  said=$({ apt update && apt install -y --no-install-recommends slurm-wlm munge; }) ||
    refuse "slurm-wlm and munge cannot be installed by apt-get: $(tail -1 <<<"$said")"
fi
if [ "${1:-}" = install ]; then exit; fi
if missing; then refuse "slurm-wlm and munge are not installed; as root: tests/slurm/up.sh install"; fi
down
STATE=$(mktemp -d "${TMPDIR:-/tmp}/slurm-test.XXXXXX")
chmod 755 "$STATE" # munged runs as a user of its own
mkdir -p "$STATE/ctld" "$STATE/spool" /etc/slurm
cores=$(getconf _NPROCESSORS_ONLN) # nproc would heed OMP_NUM_THREADS
memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 * 9 / 10))

cat >"$CONF" <<END
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
# Binds a job to the cores it asked for: Snakemake counts them there for the job's threads.
TaskPlugin=task/affinity
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
END
echo "NodeName=$HOST Name=gpu File=/dev/null" >/etc/slurm/gres.conf

install -d -o munge -g munge -m 755 /run/munge "$STATE/munge"
runuser -u munge -- munged --pid-file="$STATE/munge/munged.pid" --log-file="$STATE/munge/munged.log"
slurmctld
slurmd -N "$HOST"
for _ in $(seq 100); do
  [ "$(sinfo -h -p cpu -o %T 2>/dev/null)" = idle ] && { echo "Slurm is up: $cores cores, $memory MB"; exit; }
  sleep 0.3
done
tail -5 "$STATE"/*.log >&2
state=$(sinfo -h -n "$HOST" -o %T 2>&1 | sort -u | head -1)
down
refuse "Slurm did not come up: the node is $state"
