"""A Slurm of one node on the loopback address, from Debian's packages, without systemd.

    python tests/slurm_cluster.py start FOLDER      prints what a shell is to evaluate
    python tests/slurm_cluster.py stop FOLDER

Everything of it is in FOLDER: configuration, keys, state, logs and pid files; `stop` ends the
daemons by these and removes it. Needs root. FOLDER must be short, for the sockets in it, and munge
wants every folder above it readable by all.
"""

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

PACKAGES = "munge slurmctld slurmd slurm-client"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "srun")
DAEMONS = ("slurmd", "slurmctld", "munged")  # in the order in which they are stopped

# More CPUs and memory than the machine has, which config_overrides allows: jobs wait less for one
# another. Finished jobs stay visible for an hour. A job above its memory is killed within a second.
SLURM_CONF = """\
ClusterName=halfseen
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
MpiDefault=none
SwitchType=switch/none
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
ReturnToService=2
EnforcePartLimits=ALL
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
MinJobAge=3600
KillWait=3
MailProg=/bin/true
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} MaxTime=INFINITE State=UP
"""
# Slurm counts a GPU by its device file only, and hands none out that is a plain file.
GRES_CONF = "AutoDetect=off\nName=gpu Count=2 File={folder}/gpu[0-1]\n"
# The plugin empties a job's environment of SLURM_CONF before it calls srun.
SRUN = """\
#!/bin/sh
SLURM_CONF={folder}/slurm.conf exec {srun} "$@"
"""


def why_not():
    """The reason why no Slurm can be started here, None if it can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)} here; on Debian, as root: apt-get install {PACKAGES}"
    return None if os.geteuid() == 0 else "Slurm's daemons are started as root only"


def environment(folder):
    """What a process must have in its environment to reach the Slurm in `folder`."""
    return {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": f"{folder}/bin:{os.environ['PATH']}"}


def start(folder):
    """Start what does not run yet of the Slurm in `folder`; returns when a job can run."""
    folder = Path(folder).resolve()
    if not (folder / "slurm.conf").exists():
        _configure(folder)
    called = {"env": os.environ | environment(folder), "check": True}
    if not _running(folder, "munged"):
        command = ["munged", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket"]
        command += [f"--{name}-file={folder}/munged.{name}" for name in ("pid", "log", "seed")]
        subprocess.run([*command, "--force"], **called)
    if not _running(folder, "slurmctld"):
        subprocess.run(["slurmctld"], **called)
    _wait_for_state(folder, "")
    if not _running(folder, "slurmd"):
        subprocess.run(["slurmd"], **called)
    _wait_for_state(folder, "idle", "mixed", "allocated", "drained", "draining")


def stop(folder):
    """Cancel the jobs of the Slurm in `folder`, end its daemons by pid, remove the folder."""
    folder = Path(folder).resolve()
    if _running(folder, "slurmctld"):
        call(folder, "scancel", "--user=root")
        _wait(lambda: not call(folder, "squeue", "--noheader", "--states=R,CG"), "the jobs to end")
    for name in DAEMONS:
        if pid := _running(folder, name):
            os.kill(pid, signal.SIGTERM)
            _wait(lambda name=name: not _running(folder, name), f"{name} to stop")
    shutil.rmtree(folder, ignore_errors=True)


def call(folder, *command):
    """What a command of the Slurm in `folder` prints."""
    env = os.environ | environment(folder)
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def _configure(folder):
    """Write the configuration; slurm.conf last, so that what is half done is done again."""
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o600)
    for number in range(2):
        device = folder / f"gpu{number}"
        device.unlink(missing_ok=True)
        os.mknod(device, 0o666 | 0o020000, os.makedev(1, 3))  # the null device
    (folder / "gres.conf").write_text(GRES_CONF.format(folder=folder))
    (folder / "bin/srun").write_text(SRUN.format(folder=folder, srun=shutil.which("srun")))
    (folder / "bin/srun").chmod(0o755)
    controller_port, node_port = _free_ports(2)
    host = socket.gethostname().split(".")[0]
    conf = SLURM_CONF.format(
        folder=folder, host=host, controller_port=controller_port, node_port=node_port
    )
    (folder / "slurm.conf").write_text(conf)


def _free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]


def _running(folder, name):
    """The pid of a daemon of `folder`; None if it has ended, zombies included."""
    try:
        pid = int((folder / f"{name}.pid").read_text())
        program, state = Path(f"/proc/{pid}/stat").read_text().split(" (")[1].split(") ")
    except (OSError, ValueError):
        return None
    return pid if program == name and state[0] not in "ZX" else None


def _wait_for_state(folder, *states):
    def there():
        try:
            state = call(folder, "sinfo", "--noheader", "--format=%T", "--partition=cpu")
        except (RuntimeError, subprocess.TimeoutExpired):
            return False
        return any(state.startswith(expected) for expected in states)

    try:
        _wait(there, f"Slurm's node to be {' or '.join(states) or 'known'}")
    except TimeoutError:
        for log in sorted(folder.glob("*.log")):
            print(f"== {log}", *log.read_text().splitlines()[-20:], sep="\n", file=sys.stderr)
        raise


def _wait(is_true, what, seconds=60):
    end = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.1)


def main():
    """Start or stop the Slurm of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["start", "stop"])
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if reason := why_not():
        sys.exit(reason)
    if arguments.what == "stop":
        stop(arguments.folder)
    else:
        start(arguments.folder)
        for name, value in environment(arguments.folder.resolve()).items():
            print(f"export {name}={value}")


if __name__ == "__main__":
    main()
