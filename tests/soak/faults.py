"""The faults of the crash campaign: a plan that comes from a seed, and how each is carried out.

A fault has its targets to itself while it lasts; faults of other targets go on beside it. The
plan comes in bursts: a dozen faults and more, one upon the other, then a calm in which everything
must have caught up.
"""
import contextlib
import json
import mmap
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import threading
import time

import world

# (kind, how often)
KINDS = (("kill", 14), ("kill-at-step", 24), ("kill-again", 8), ("kill-two", 6), ("kill-all", 4),
         ("freeze", 8), ("freeze-at-step", 9), ("freeze-all", 1), ("stop", 5),
         ("join-and-leave", 8), ("kill-snapshot", 2), ("broker-kill", 3), ("coordinator-kill", 3),
         ("broker-kill-in-recovery", 2), ("broker-freeze", 1), ("brokers-kill", 1),
         ("kill-everything", 1))

# As in step.c.
STEPS = ("init", "begin", "produce", "offsets", "commit", "abort", "assign", "committed", "close",
         "fork")
STEP_WEIGHTS = (2, 3, 3, 8, 10, 1, 2, 2, 1, 1)
MOMENTS = ("never", "before", "within", "after")

SESSION = 6.0
STEP_PATIENCE = 6.0  # for a step to come round


class Slot:
    """A place for a process, which comes and goes in it."""

    def __init__(self, folder, name, config, step_library):
        self.name, self.lock = name, threading.Lock()
        self.order = pathlib.Path(folder) / f"{name}.order"
        self.order.write_bytes(bytes(mmap.PAGESIZE))
        with open(self.order, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 0)
        self.process, self.starts, self.deaths = None, 0, []
        self.expected_end, self.log_from = False, 0
        self.folder, self.config = folder, config
        self.environment = {"WEIR_SOAK_STEP": str(self.order), "LD_PRELOAD": step_library}

    def start(self):
        self.note_death()
        self.disarm()
        self.starts += 1
        self.expected_end = False
        self.log_from = len(self.process.log()) if self.process else 0
        if self.process is None:
            self.process = world.Process(self.folder, self.config, self.environment, self.name)
        else:
            self.process.start()

    def is_running(self):
        return self.process is not None and self.process.process.poll() is None

    def note_death(self):
        """A process that ended and was not told to."""
        if self.process is None or self.expected_end or self.is_running():
            return
        code, told = self.process.process.returncode, self.process.log()[self.log_from:]
        if not (code == -signal.SIGKILL and self.moment() == 0 and self.was_armed):
            self.deaths.append((code, told[-2000:]))
        self.expected_end = True

    def end(self, number=signal.SIGKILL):
        self.note_death()
        self.expected_end = True
        self.disarm()
        if self.is_running():
            self.process.process.send_signal(number)

    def reap(self, seconds):
        try:
            self.process.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.deaths.append(("does not stop", self.process.log()[-2000:]))
            self.process.kill()

    # ---- the page shared with step.c

    was_armed = False

    def moment(self):
        return struct.unpack_from("i", self.page, 0)[0]

    def disarm(self):
        struct.pack_into("i", self.page, 0, 0)
        self.was_armed = False

    def arm(self, step, moment, count, number, delay_us):
        struct.pack_into("iiii", self.page, 4, STEPS.index(step), count, int(number), delay_us)
        self.was_armed = True
        struct.pack_into("i", self.page, 0, MOMENTS.index(moment))

    def is_struck(self):
        """The armed step has come."""
        return self.moment() == 0

    def is_frozen(self):
        try:
            stat = pathlib.Path(f"/proc/{self.process.process.pid}/stat").read_text()
        except OSError:
            return False
        return stat.rsplit(")", 1)[1].split()[0] in "Tt"


class Broker:
    def __init__(self, number):
        self.number, self.name, self.lock = number, f"kafka3-{number}", threading.Lock()
        self.address = world.services_env()[f"WEIR_TEST_KAFKA3_{number}"]

    def kill(self):
        world.services("kill", self.name)

    def start(self):
        world.services("start", self.name)

    def pid(self):
        return int((world.services_folder() / self.name / "pid").read_text())

    def signal(self, number):
        os.kill(self.pid(), number)

    def keep_log(self, folder):
        shutil.copy(world.services_folder() / self.name / "log", folder / f"{self.name}.log")

    def answers(self):
        return subprocess.run(["kcat", "-b", self.address, "-L", "-t", "probe", "-m", "2"],
                              capture_output=True, check=False).returncode == 0

    def wait_back(self):
        world.wait_until(self.answers, f"{self.name} back", 600)


def java_hash(text):
    value = 0
    for letter in text:
        value = (31 * value + ord(letter)) & 0xFFFFFFFF
    return value & 0x7FFFFFFF


def leader_of(topic, partition):
    """Number of the broker that leads it, or 0."""
    done = subprocess.run(["kcat", "-b", world.KAFKA, "-L", "-J", "-t", topic, "-m", "3"],
                          capture_output=True, check=False)
    try:
        partitions = json.loads(done.stdout)["topics"][0]["partitions"]
        return max(0, partitions[partition % len(partitions)]["leader"])
    except (ValueError, LookupError, KeyError, ZeroDivisionError):
        return 0


class Plan:
    """The faults of a seed, one after the other; the same seed gives the same ones."""

    def __init__(self, seed):
        self.random = random.Random(f"faults {seed}")

    def burst(self):
        """How many come upon each other."""
        return self.random.randint(8, 20)

    def next(self):
        dice = self.random
        kind = dice.choices([kind for kind, _ in KINDS], [weight for _, weight in KINDS])[0]
        return {
            "kind": kind, "slot": dice.randrange(3), "broker": dice.randint(1, 3),
            "step": dice.choices(STEPS, STEP_WEIGHTS)[0], "moment": dice.choice(MOMENTS[1:]),
            "count": dice.choice((0, 0, 1, 3, 10)),
            "delay_us": int(10 ** dice.uniform(1, 5)),  # 10 us to 100 ms, each scale as likely
            "down": dice.choice((0.0, dice.uniform(0, 1), dice.uniform(0, 4))),
            "frozen": SESSION + dice.choice((0.3, 0.3, 1, 2, 5)) + dice.uniform(0, 1),
            "short": dice.uniform(0, 2.5), "is_graceful": dice.random() < 0.5,
            "is_waiting": dice.random() < 0.25, "of_group": dice.random() < 0.5,
            "pause": dice.expovariate(1 / 1.0),
        }


class Injector:
    """Carries faults out, each in a thread of its own once its targets are free."""

    def __init__(self, slots, extra, brokers, group):
        self.slots, self.extra, self.brokers, self.group = slots, extra, brokers, group
        self.threads, self.failures = [], []
        self.counts, self.missed_steps = {}, 0
        # One is down at a time, unless all are. Taken before the lock of a slot.
        self.brokers_lock = threading.Lock()
        self.lock = threading.Lock()

    def inject(self, fault):
        thread = threading.Thread(target=self.run, args=(fault,), daemon=True)
        self.threads.append(thread)
        thread.start()

    def settle(self):
        for thread in self.threads:
            thread.join(timeout=900)
            if thread.is_alive():
                raise AssertionError("a fault does not end")
        self.threads = []
        if self.failures:
            raise self.failures[0]

    def count(self, name):
        with self.lock:
            self.counts[name] = self.counts.get(name, 0) + 1

    def run(self, fault):
        try:
            getattr(self, fault["kind"].replace("-", "_"))(fault)
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(error)

    def wait_ready(self, slot, fault):
        """Most of the time the next fault of this process may come while it recovers."""
        if fault["is_waiting"]:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and slot.is_running():
                if slot.process.get("/readyz")[0] == 200:
                    break
                time.sleep(0.2)

    def bring_back(self, slot, fault, down=None):
        time.sleep(fault["down"] if down is None else down)
        slot.start()

    # ---- processes

    def kill(self, fault, name="kill"):
        slot = self.slots[fault["slot"]]
        with slot.lock:
            slot.end()
            slot.reap(10)
            self.count(name)
            self.bring_back(slot, fault)
            self.wait_ready(slot, fault)

    def strike(self, slot, fault, number):
        """True when the step came round within our patience."""
        if not slot.is_running():
            slot.start()
        if fault["step"] in ("init", "assign", "committed"):
            # Steps of the beginning, and of a rebalance.
            slot.end()
            slot.reap(10)
            slot.start()
        slot.arm(fault["step"], fault["moment"], fault["count"] if fault["step"] not in
                 ("init", "close", "fork", "abort") else 0, number, fault["delay_us"])
        if fault["step"] == "close":
            slot.process.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STEP_PATIENCE
        while time.monotonic() < deadline:
            if slot.is_struck():
                return True
            time.sleep(0.02)
        self.missed_steps += 1
        return False

    def kill_at_step(self, fault):
        slot = self.slots[fault["slot"]]
        with slot.lock:
            struck = self.strike(slot, fault, signal.SIGKILL)
            slot.expected_end = True
            if not struck:
                slot.end()
            slot.reap(10)
            self.count(f"kill {fault['moment']} {fault['step']}" if struck else "kill")
            self.bring_back(slot, fault)
            self.wait_ready(slot, fault)

    def kill_again(self, fault):
        """And again while it starts and recovers."""
        slot = self.slots[fault["slot"]]
        with slot.lock:
            slot.end()
            slot.reap(10)
            slot.start()
            time.sleep(fault["short"])
            slot.end()
            slot.reap(10)
            self.count("kill while recovering")
            self.bring_back(slot, fault)
            self.wait_ready(slot, fault)

    @staticmethod
    def end_at_once(slots):
        for slot in slots:
            slot.end()
        for slot in slots:
            slot.reap(10)

    def kill_two(self, fault):
        spared = self.slots[fault["slot"]]
        with contextlib.ExitStack() as stack:
            chosen = [slot for slot in self.slots if slot is not spared]
            for slot in chosen:
                stack.enter_context(slot.lock)
            self.end_at_once(chosen)
            self.count("kill of two processes")
            for slot in chosen:
                self.bring_back(slot, fault, fault["down"] / 2)

    @contextlib.contextmanager
    def all_slots(self):
        with contextlib.ExitStack() as stack:
            for slot in self.slots:
                stack.enter_context(slot.lock)
            yield self.slots

    def kill_all(self, fault):
        with self.all_slots() as slots:
            self.end_at_once(slots)
            self.count("kill of all processes")
            for slot in slots:
                self.bring_back(slot, fault, fault["short"] / 5)

    def freeze(self, fault):
        slot = self.slots[fault["slot"]]
        with slot.lock:
            if not slot.is_running():
                slot.start()
            slot.process.process.send_signal(signal.SIGSTOP)
            self.count("freeze beyond the session")
            time.sleep(fault["frozen"])
            slot.process.process.send_signal(signal.SIGCONT)
            self.wait_ready(slot, fault)

    def freeze_at_step(self, fault):
        slot = self.slots[fault["slot"]]
        with slot.lock:
            struck = self.strike(slot, fault, signal.SIGSTOP)
            if fault["step"] == "close":
                slot.expected_end = True
            if not struck:
                slot.process.process.send_signal(signal.SIGSTOP)
            self.count(f"freeze {fault['moment']} {fault['step']}" if struck else
                       "freeze beyond the session")
            time.sleep(fault["frozen"])
            slot.disarm()
            slot.process.process.send_signal(signal.SIGCONT)
            if fault["step"] == "close":
                slot.reap(40)
                slot.start()
            self.wait_ready(slot, fault)

    def freeze_all(self, fault):
        with self.all_slots() as slots:
            for slot in slots:
                if not slot.is_running():
                    slot.start()
                slot.process.process.send_signal(signal.SIGSTOP)
            self.count("freeze of all processes")
            time.sleep(fault["frozen"])
            for slot in slots:
                slot.process.process.send_signal(signal.SIGCONT)
                time.sleep(fault["short"] / 5)

    def stop(self, fault):
        slot = self.slots[fault["slot"]]
        with slot.lock:
            slot.end(signal.SIGTERM)
            slot.reap(40)
            self.count("stop")
            self.bring_back(slot, fault)
            self.wait_ready(slot, fault)

    def join_and_leave(self, fault):
        with self.extra.lock:
            self.extra.start()
            time.sleep(fault["down"] + fault["short"])
            self.extra.end(signal.SIGTERM if fault["is_graceful"] else signal.SIGKILL)
            self.extra.reap(40)
            self.count("process added and " +
                       ("removed" if fault["is_graceful"] else "killed"))

    def kill_snapshot(self, fault):
        """The child that writes an image, when there is one."""
        slot = self.slots[fault["slot"]]
        with slot.lock:
            deadline = time.monotonic() + STEP_PATIENCE
            while time.monotonic() < deadline and slot.is_running():
                pid = slot.process.process.pid
                try:
                    tasks = [path.read_text().split() for path in
                             pathlib.Path(f"/proc/{pid}/task").glob("*/children")]
                    found = [int(child) for task in tasks for child in task]
                    if found:
                        os.kill(found[0], signal.SIGKILL)
                        self.count("kill of a snapshot's writer")
                        return
                except OSError:
                    pass
                time.sleep(0.001)
        self.kill(fault)

    # ---- brokers

    def take_down(self, broker, fault, name):
        broker.kill()
        self.count(name)
        time.sleep(fault["down"])
        broker.start()
        broker.wait_back()

    def broker_kill(self, fault):
        with self.brokers_lock:
            self.take_down(self.brokers[fault["broker"] - 1], fault, "kill of a broker")

    def coordinator_kill(self, fault):
        """The broker that leads what the group, or a worker's transactions, are kept in."""
        with self.brokers_lock:
            if fault["of_group"]:
                leader = leader_of("__consumer_offsets", java_hash(self.group))
            else:
                leader = leader_of("__transaction_state", fault["delay_us"])
            self.take_down(self.brokers[(leader or fault["broker"]) - 1], fault,
                           "kill of a coordinator")

    def broker_kill_in_recovery(self, fault):
        slot = self.slots[fault["slot"]]
        with self.brokers_lock:
            with slot.lock:
                self.end_at_once([slot])
                slot.start()
            time.sleep(fault["short"] / 2)
            self.take_down(self.brokers[fault["broker"] - 1], fault,
                           "kill of a process, then of a broker while it recovers")

    def broker_freeze(self, fault):
        with self.brokers_lock:
            broker = self.brokers[fault["broker"] - 1]
            broker.signal(signal.SIGSTOP)
            self.count("freeze of a broker")
            time.sleep(fault["frozen"] - SESSION + 1)
            broker.signal(signal.SIGCONT)
            broker.wait_back()

    def take_all_down(self, fault, name):
        for broker in self.brokers:
            broker.kill()
        self.count(name)
        time.sleep(fault["short"])
        for broker in self.brokers:
            broker.start()
        for broker in self.brokers:
            broker.wait_back()

    def brokers_kill(self, fault):
        with self.brokers_lock:
            self.take_all_down(fault, "kill of all brokers")

    def kill_everything(self, fault):
        with self.brokers_lock, self.all_slots() as slots:
            self.end_at_once(slots)
            self.take_all_down(fault, "kill of all processes and brokers")
            for slot in slots:
                slot.start()
