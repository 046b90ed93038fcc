#!/usr/bin/env python3
"""`weir run` against a real broker, at full load: what is printed is measured, never asserted.

  pipeline_bench.py [throughput] [recovery]

throughput  topics drained by a bare librdkafka loop, then by Weir, one worker: exactly-once and
            at-least-once in turns, each beginning every other round, since what else the machine
            does passes for a difference otherwise. Rates, processor time an event, the share of
            time that the worker waited for commits; medians over the rounds, and every ratio.
recovery    1 M keys in the snapshots, 10 M events since, kill -9: how long until all of them are
            in the state again, and what the time went into. And how long a snapshot of as many
            keys stopped its partition.

Events are those of feed.c: three API calls to one sign-in, Avro single-object, lz4 on the wire.
Sizes: WEIR_BENCH_EVENTS (throughput, 7000000), WEIR_BENCH_SINCE (recovery, 10000000),
WEIR_BENCH_ROUNDS (5), WEIR_BENCH_FORMAT (avro or json).
"""
import contextlib
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/adapter"))
from world import KAFKA, WEIR, Process, free_port  # noqa: E402

FEED = os.environ.get("WEIR_BENCH_FEED", str(ROOT / "build/tests/bench/feed"))
EVENTS = int(os.environ.get("WEIR_BENCH_EVENTS", 7_000_000))
SINCE = int(os.environ.get("WEIR_BENCH_SINCE", 10_000_000))
ROUNDS = int(os.environ.get("WEIR_BENCH_ROUNDS", 5))
FORMAT = os.environ.get("WEIR_BENCH_FORMAT", "avro")
PARTITIONS = 4
TENANTS, CLIENTS, EVENTS_A_MS = 100_000, 10, 25
WARM_EVENTS = 3_000_000  # two minutes: nearly every client has come, and none is forgotten yet
PATIENCE = 300
PAUSE = 0.1  # between two questions: asking costs what is to be measured
TICK = 1 / os.sysconf("SC_CLK_TCK")


def feed(*words, environment=None):
    done = subprocess.run([FEED, *map(str, words)], capture_output=True, text=True, check=False,
                          env={**os.environ, **(environment or {})})
    if done.returncode:
        raise SystemExit(f"feed {words[0]}: {done.stderr}")
    return json.loads(done.stdout)


def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * TICK


def until(question, what):
    end = time.monotonic() + PATIENCE
    while not (answer := question()):
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not within {PATIENCE} s")
        time.sleep(PAUSE)
    return answer


class Bench:
    """Topics of its own, and the processes on them."""

    processes = []

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.prefix = f"bench-{uuid.uuid4().hex[:8]}."
        path = folder / f"{name}.topics.yaml"
        path.write_text(self.config())
        subprocess.run([WEIR, "topics", "create", "--partitions", str(PARTITIONS),
                        "--replication-factor", "1", "--config", str(path)], check=True,
                       stdout=subprocess.DEVNULL)

    def config(self, workers=1, **processing):
        processing = "".join(f"  {name.replace('__', '.')}: {value}\n"
                             for name, value in processing.items())
        return (f"roles: processor\nworkers: {workers}\nkafka:\n  bootstrap.servers: {KAFKA}\n  group.id: {self.prefix}weir\n"
                f"  group.instance.id: {self.prefix}0\n"
                f"topics:\n  prefix: {self.prefix}\nhttp:\n  listen: 127.0.0.1:{free_port()}\n"
                f"processing:\n{processing or '  tick.interval_ms: 1s' + chr(10)}")

    def run(self, name, **settings):
        process = Process(self.folder, self.config(**settings), name=f"{self.name}-{name}")
        self.processes.append(process)
        return process

    def produce(self, first, count, start_ms=None):
        environment = {"FEED_START_MS": str(start_ms)} if start_ms else None
        return feed("produce", KAFKA, self.prefix, PARTITIONS, FORMAT, first, count, TENANTS,
                    CLIENTS, EVENTS_A_MS, environment=environment)

    def consume(self):
        return feed("consume", KAFKA, self.prefix, PARTITIONS)


# ---------------------------------------------------------------- throughput

GUARANTEES = ("exactly_once", "at_least_once")


def drain(weir, count):
    """Events a second, processor time an event, share of the time spent waiting for commits:
    between the first look at it at full speed and the last one before the end."""
    def sample():
        return (time.monotonic(), weir.metric("weir_events_total"), cpu_seconds(weir),
                weir.metric("weir_commit_wait_seconds_total"))
    samples = [until(lambda: (s := sample())[1] > count / 20 and s, "the first events")]
    until(lambda: samples.append(sample()) or samples[-1][1] >= count, "the last events")
    first, last = samples[0], samples[-2] if len(samples) > 2 else samples[-1]
    seconds, events = last[0] - first[0], last[1] - first[1]
    return {"rate": events / seconds, "cpu_us": (last[2] - first[2]) / events * 1e6,
            "wait": (last[3] - first[3]) / seconds}


def throughput_round(folder, number):
    figures = {}
    for guarantee in GUARANTEES if number % 2 == 0 else reversed(GUARANTEES):
        bench = Bench(folder, f"{guarantee}-{number}")
        size = bench.produce(0, EVENTS)
        bare = bench.consume()
        weir = bench.run("run", guarantee=guarantee, snapshot__interval_ms="1h",
                         snapshot__events=10**12)
        figures[guarantee] = drain(weir, EVENTS)
        figures[guarantee]["bare_rate"] = bare["events"] / bare["seconds"]
        figures[guarantee]["bare_cpu_us"] = bare["cpu_seconds"] / bare["events"] * 1e6
        figures[guarantee]["bytes"] = size["bytes"] / size["events"]
        weir.stop()
    return figures


def middle(rounds, guarantee, question):
    return statistics.median(question(figures[guarantee]) for figures in rounds)


def throughput(folder):
    rounds = []
    for number in range(ROUNDS):
        rounds.append(throughput_round(folder, number))
    print(f"{EVENTS} events of {rounds[0]['exactly_once']['bytes']:.0f} bytes ({FORMAT}), "
          f"{TENANTS * CLIENTS} keys, {PARTITIONS} partitions, one worker; "
          f"median of {ROUNDS} rounds")
    for guarantee in GUARANTEES:
        print(f"  bare loop      {middle(rounds, guarantee, lambda f: f['bare_rate']):9.0f}/s  "
              f"{middle(rounds, guarantee, lambda f: f['bare_cpu_us']):.2f} us CPU an event")
        print(f"  {guarantee:14s} {middle(rounds, guarantee, lambda f: f['rate']):9.0f}/s  "
              f"{middle(rounds, guarantee, lambda f: f['cpu_us']):.2f} us CPU an event  "
              f"{middle(rounds, guarantee, lambda f: f['rate'] / f['bare_rate']):.2f} of the bare "
              f"loop  waits for commits "
              f"{100 * middle(rounds, guarantee, lambda f: f['wait']):.2f} % of the time")
    ratios = [r["exactly_once"]["rate"] / r["at_least_once"]["rate"] for r in rounds]
    spent = [r["at_least_once"]["cpu_us"] / r["exactly_once"]["cpu_us"] for r in rounds]
    print(f"  exactly-once / at-least-once: {statistics.median(ratios):.2f} of the rate "
          f"({', '.join(f'{ratio:.2f}' for ratio in ratios)}), "
          f"{statistics.median(spent):.2f} of the events a CPU second", flush=True)


# ---------------------------------------------------------------- recovery


def is_caught_up(weir, count):
    """Every partition live, `count` records taken, and nothing left to commit."""
    if weir.get("/readyz")[0] != 200:
        return False
    taken = sum(int(n) for n in re.findall(r'"position":(\d+)', weir.get("/status")[1]))
    # NaN: not known, as of a topic of which nothing was fetched.
    lags = re.findall(r"^kafka_consumergroup_lag\{[^}]*\} ([0-9].*)", weir.get("/metrics")[1], re.M)
    return taken == count and sum(map(float, lags)) == 0


def tell_snapshots(log, keys, state):
    taken = re.findall(r"snapshot at journal record \d+: (\d+) bytes as (\d+) .*?(\d+) ms, "
                       r"stood still ([\d.]+) ms", log)
    last = taken[-PARTITIONS:]
    pauses = sorted(float(snapshot[3]) for snapshot in taken[len(taken) // 2:])
    print(f"{keys:.0f} keys, {state / 2**20:.0f} MiB of state in {PARTITIONS} partitions; a "
          f"snapshot of one stopped it for {statistics.median(pauses):.1f} ms in the middle, "
          f"{pauses[-1]:.1f} ms at most ({len(pauses)} snapshots at full load; the last of each "
          f"took at most {max(int(s[2]) for s in last)} ms, {sum(int(s[0]) for s in last) >> 20} "
          f"MiB in all, {sum(int(s[1]) for s in last) >> 20} compressed)", flush=True)


def recovery(folder):
    bench = Bench(folder, "recovery")
    start_ms = bench.produce(0, WARM_EVENTS)["start_ms"]
    weir = bench.run("warm", workers=2, snapshot__interval_ms="1h", snapshot__events=100)
    until(lambda: is_caught_up(weir, WARM_EVENTS), "warming")
    written = weir.metric("weir_snapshots_total", "written")
    bench.produce(WARM_EVENTS, 1000, start_ms)
    until(lambda: weir.metric("weir_snapshots_total", "written") >= written + PARTITIONS,
          "snapshots")
    keys, state = weir.metric("weir_keys"), weir.metric("weir_state_bytes")
    weir.stop()
    tell_snapshots(weir.log(), keys, state)
    weir = bench.run("run", workers=2, snapshot__interval_ms="1h", snapshot__events=10**12)
    until(lambda: is_caught_up(weir, WARM_EVENTS + 1000), "the restart")
    fed = bench.produce(WARM_EVENTS + 1000, SINCE, start_ms)
    until(lambda: is_caught_up(weir, WARM_EVENTS + 1000 + SINCE), "the load")
    print(f"{SINCE} events of {fed['bytes'] / fed['events']:.0f} bytes ({FORMAT}) since", flush=True)
    size = len(weir.log())
    weir.kill()
    began = time.monotonic()
    weir.start()
    until(lambda: is_caught_up(weir, WARM_EVENTS + 1000 + SINCE), "the recovery")
    seconds = time.monotonic() - began
    print(f"kill -9 to caught up: {seconds:.1f} s, {cpu_seconds(weir):.1f} s of processor time")
    for line in weir.log()[size:].splitlines():
        if "restored in" in line or "assigned" in line:
            print("  " + line)
    sys.stdout.flush()
    weir.stop()


def main():
    chosen = sys.argv[1:] or ["throughput", "recovery"]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(lambda: [p.kill() for p in Bench.processes if p.process.poll() is None])
        if "throughput" in chosen:
            throughput(folder)
        if "recovery" in chosen:
            recovery(folder)


if __name__ == "__main__":
    main()
