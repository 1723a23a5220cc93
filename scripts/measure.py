"""How scripts/bench measures: on a quiet machine, the sides in turn, several rounds; prints the least and the spread.

A loaded machine slows the side that runs longer, or on more threads, and flatters the other. So before the first run the processors are
watched for a while, and in each run what they did for others: above BUSY_MAX of the cores, the measurement ends without a figure, unless
BENCH_BUSY=1 (`scripts/bench --busy`) says to go on, which then stands beside the figures.
"""
import os
import resource
import subprocess
import sys
import time

ROUNDS = 3
BUSY_MAX = 0.3  # of a core, for each core
WATCHED = 3.0  # seconds
CORES = len(os.sched_getaffinity(0))
TICK = os.sysconf("SC_CLK_TCK")
busy_allowed = os.environ.get("BENCH_BUSY") == "1"


def machine_seconds():
    """Processor seconds that all processes of the machine have used."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


def family():
    """User and system seconds of each live process below this one, with those that each of them waited for. A peer's workers may outlive
    the run that started them."""
    seconds, children = {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        seconds[int(name)] = sum(map(int, fields[11:15])) / TICK
        children.setdefault(int(fields[1]), []).append(int(name))
    below, todo = {}, children.get(os.getpid(), [])
    while todo:
        one = todo.pop()
        below[one] = seconds[one]
        todo.extend(children.get(one, []))
    return below


def own_seconds():
    """Processor seconds of this process, of those that it waited for, and of all that live below it."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used) + sum(family().values())


class Side:
    """What was measured of one side: seconds of each round, peak memory in bytes where it is a command."""

    def __init__(self):
        self.seconds, self.memory = [], 0

    @property
    def least(self):
        return min(self.seconds)

    @property
    def spread(self):
        """How much longer the slowest round took, as a share of the fastest."""
        return max(self.seconds) / self.least - 1

    def __str__(self):
        return f"{self.least:8.3f} s +{self.spread:4.0%}"


class Load:
    """What others use of the machine, in cores for each core of ours, while the block runs."""

    def __enter__(self):
        self.begin = time.perf_counter(), machine_seconds(), own_seconds()
        return self

    def __exit__(self, *_):
        now = time.perf_counter(), machine_seconds(), own_seconds()
        self.seconds, everyone, own = (after - before for after, before in zip(now, self.begin))
        self.others = max(0.0, everyone - own - 2 / TICK) / self.seconds / CORES


def heed(load, when):
    """Ends the run where others used too much, unless that is allowed; gives what to print beside figures."""
    if load.others <= BUSY_MAX:
        return ""
    said = f"others used {load.others:.2f} of each core {when}"
    if not busy_allowed:
        sys.exit(f"bench: {said}: no figure is printed (scripts/bench --busy prints it all the same)")
    return said


def in_turn(sides, rounds=ROUNDS, prepare=lambda: None, watched=WATCHED):
    """Runs the sides in turn, `rounds` times each: a name and something to call, which may give its own seconds. A Side for each name. Before
    that the processors are watched for so many seconds."""
    said = set()
    if watched:
        with Load() as load:
            time.sleep(watched)
        said.add(heed(load, "before the first run"))
    results = {name: Side() for name, _ in sides}
    for _ in range(rounds):
        for name, run in sides:
            prepare()
            with Load() as load:
                own = run()
            results[name].seconds.append(load.seconds if own is None else own)
            if load.seconds > 1:
                said.add(heed(load, f"while {name} ran"))
    for line in sorted(said - {""}):
        print(f"  NOT QUIET: {line}")
    return results


def peak(command):
    """The most memory that a command has resident, in MiB (its own, where getrusage would count the process that started it)."""
    with open(os.devnull, "wb") as output:
        process, most = subprocess.Popen(command, stdout=output), 0
        while process.poll() is None:
            with open(f"/proc/{process.pid}/status") as status:
                most = max([most, *(int(line.split()[1]) for line in status if line.startswith("VmHWM"))])
            time.sleep(0.002)
        assert process.returncode == 0, command
    return most / 1024


def fastest_openblas(probe):
    """Runs this script again with the OPENBLAS_CORETYPE under which `probe`, a Python program, is fastest: a wheel's OpenBLAS may not know
    the processor, and what is set on the machine may be meant for an older one."""
    if os.environ.get("BENCH_OPENBLAS"):
        return os.environ["BENCH_OPENBLAS"]
    clean = {name: value for name, value in os.environ.items() if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    seconds = {}
    for kind in ("", "HASWELL", "SKYLAKEX", "COOPERLAKE", "SAPPHIRERAPIDS"):
        environment = {**clean, **({"OPENBLAS_CORETYPE": kind} if kind else {})}
        run = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True)
        if run.returncode == 0:
            seconds[kind] = float(run.stdout.split()[-1])
    best = min(seconds, key=seconds.get)
    clean["BENCH_OPENBLAS"] = best or "its own choice"
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**clean, **({"OPENBLAS_CORETYPE": best} if best else {})})
