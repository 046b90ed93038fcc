"""The load of the crash campaign: synthetic shops on every input topic, in random order inside
the lateness, with what real producers do beside it: broken messages, records in the wrong
partition, transactions that are taken back, commands.

`feed` (feed.c) writes; this decides what. The topics themselves are the truth in the end: the
judges read them, not this.
"""
import collections
import heapq
import json
import pathlib
import random
import re
import subprocess
import threading
import time

TOPICS = ("orders", "auth-events", "api-calls", "interactions", "recommendation-requests",
          "outcomes")
TRANSACTIONAL = ("auth-events", "recommendation-requests")
JUDGED = ("orders", "auth-events", "api-calls")  # what rules read
SEGMENT_MS = 15 * 60 * 1000
DISPLACED_MS = 50_000  # the lateness is 60 s
START = 1767592770000  # 2026-01-05 05:59:30 UTC: a little of the unusual time, then a day
COMMANDS = ("enable-rule", "disable-rule", "select-model", "block-product", "unblock-product",
            "summarize-tenant", "summarize-customer", "forget-customer", "push-recommendations",
            "resolve-anomaly", "cancel-batch-job", "cancel-batch-job")
MODELS = ("weir", "popularity", "personal", "knn")

event_time = re.compile(r'"event_time":(\d+)')
tenant_id = re.compile(r'"tenant_id":"([^"]*)"')


def dump(value):
    return json.dumps(value, separators=(",", ":"))


class Load:
    """Events of the shops from START on, `rate` a second of event time, `speed` times as fast as
    they happened, until stop()."""

    def __init__(self, weir, feed, bootstrap, prefix, folder, seed, rate, speed, partitions):
        self.weir, self.prefix, self.folder = weir, prefix, pathlib.Path(folder)
        self.seed, self.rate, self.speed, self.partitions = seed, rate, speed, partitions
        self.random = random.Random(f"load {seed}")
        self.is_done, self.newest, self.sent, self.commands = False, START, 0, 0
        self.pending, self.broken = [], None  # lines of the next transaction
        self.jobs, self.outcomes = collections.deque(maxlen=8), 0  # (tenant, request_id)
        self.feed_log = open(self.folder / "feed.log", "wb")
        self.feed = subprocess.Popen([feed, bootstrap, f"{prefix}feed"], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=self.feed_log)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    # ---- what happened, in the order in which it arrives

    def segment(self, number):
        """(time, topic, line) of one segment, by time."""
        folder = self.folder / f"segment-{number}"
        folder.mkdir()
        subprocess.run(
            [self.weir, "generate", "--output", f"{folder}/", "--seed",
             str(self.seed * 1000 + number), "--start", str(START + number * SEGMENT_MS),
             "--duration", f"{SEGMENT_MS}ms", "--rate", str(self.rate), "--tenants", "60",
             "--attack-every", "10s"], check=True, capture_output=True, cwd=folder)
        streams = []
        for topic in TOPICS:
            path = folder / f"{topic}.jsonl"
            if path.exists():
                lines = path.read_text(encoding="utf-8").splitlines()
                streams.append([(int(event_time.search(line)[1]), topic, line) for line in lines])
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        return heapq.merge(*streams)

    def arrivals(self):
        """For ever: (arrival, topic, line); none comes after one that is newer by more than
        DISPLACED_MS."""
        waiting, number = [], 0
        while True:
            for happened, topic, line in self.segment(number):
                while waiting and waiting[0][0] <= happened:
                    yield heapq.heappop(waiting)[:3]
                late = self.random.randint(0, DISPLACED_MS)
                heapq.heappush(waiting, (happened + late, topic, line))
            number += 1

    # ---- what becomes of it

    def write(self, *fields):
        self.feed.stdin.write(("\t".join(map(str, fields)) + "\n").encode())

    def send(self, topic, key, value, partition=-1):
        self.sent += 1
        self.write("plain", self.prefix + topic, partition, key, value)

    def end_transaction(self):
        for topic, key, line in self.pending:
            self.write("held", self.prefix + topic, -1, key, line)
            self.sent += 1
        self.write("commit")
        # What was taken back must not be seen by anybody.
        if self.pending and self.random.random() < 0.2:
            for topic, key, line in self.random.choices(self.pending, k=20):
                line = line.replace('"success"', '"failure"')
                self.write("held", self.prefix + topic, -1, key,
                           re.sub(r'_id":"([^"]*)"', r'_id":"aborted-\1"', line, count=1))
            self.write("abort")
        self.pending = []

    def command(self, now):
        self.commands += 1
        tenant = f"tenant-{self.random.randint(1, 60):04d}"
        command = {"command_id": f"command-{self.commands}", "event_time": now, "actor": "soak"}
        kind = self.random.choice(COMMANDS)
        command["type"] = kind
        if kind == "cancel-batch-job":
            tenant, command["subject"] = self.random.choice(list(self.jobs) or [(tenant, "no-such-job")])
        if kind.endswith("rule"):
            command["subject"] = "rapid-orders"
        else:
            command["tenant_id"] = tenant
        if kind == "select-model":
            command["model_name"] = self.random.choice(MODELS)
        if kind.endswith("product"):
            command["product_id"] = f"tea-{self.random.randint(1, 9):02d}"
        if kind == "push-recommendations":
            command["enabled"] = self.random.random() < 0.5
        if kind == "resolve-anomaly":
            command.update(subject=f"alert-{self.commands}", status="acknowledged", notes="seen")
        if kind.endswith("customer"):
            command["customer_id"] = f"customer-{self.random.randint(1, 200):03d}"
        self.send("commands", command["command_id"], dump(command))

    def batch(self, tenant, line):
        """The request of one customer, made one of many."""
        request = json.loads(line)
        request.pop("customer_id", None)
        first, count = self.random.randint(1, 150), self.random.choice((5, 40, 40, 300))
        request["customer_ids"] = [f"customer-{n:03d}" for n in range(first, first + count)]
        request["priority"] = self.random.randint(0, 9)
        request["exclude_purchased"] = self.random.random() < 0.5
        self.jobs.append((tenant, request["request_id"]))
        return dump(request)

    def outcome(self, tenant, now):
        self.outcomes += 1
        self.send("outcomes", tenant, dump(
            {"event_id": f"outcome-{self.outcomes}", "tenant_id": tenant, "event_time": now,
             "model_name": self.random.choice(MODELS), "model_version": "1", "score": 0.5}))

    def take(self, arrival, topic, line):
        tenant = tenant_id.search(line)[1]
        dice = self.random.random()
        self.newest = max(self.newest, int(event_time.search(line)[1]))
        if topic == "recommendation-requests" and dice < 0.1:
            line = self.batch(tenant, line)
        if topic in TRANSACTIONAL:
            self.pending.append((topic, tenant, line))
        elif topic == "interactions" and dice < 0.01:
            self.send(topic, tenant, line, self.random.randrange(self.partitions))
        else:
            self.send(topic, tenant, line)
        if dice > 0.999:
            self.send(topic, tenant, line[:self.random.randint(1, len(line) - 1)])
        if dice > 0.9985:
            self.command(arrival)
        if dice > 0.97:
            self.outcome(tenant, arrival)

    def run(self):
        began, next_commit = time.monotonic(), 0
        try:
            for arrival, topic, line in self.arrivals():
                while True:
                    now = time.monotonic() - began
                    if now >= next_commit:
                        self.end_transaction()
                        self.feed.stdin.flush()
                        next_commit = now + self.random.uniform(0.1, 1.5)
                    if arrival <= START + now * 1000 * self.speed or self.is_done:
                        break
                    time.sleep(0.02)
                if self.is_done:
                    break
                self.take(arrival, topic, line)
            self.close_episodes()
        except (OSError, subprocess.CalledProcessError) as error:
            self.broken = error

    def close_episodes(self):
        """Hours later, at noon of the next day: something in every partition of every topic that
        rules read, so that the watermarks pass everything."""
        then = (self.newest // 86_400_000 + 1) * 86_400_000 + 43_200_000
        self.end_transaction()
        for number in range(200):  # tenants, so that some live in every partition
            common = {"tenant_id": f"closing-{number}", "event_time": then}
            self.send("orders", common["tenant_id"], dump(
                {"event_id": f"close-o-{number}", **common, "order_id": "o", "customer_id": "c",
                 "amount": 1000, "currency": "EUR"}))
            self.send("auth-events", common["tenant_id"], dump(
                {"event_id": f"close-a-{number}", **common, "user_id": "u", "outcome": "success"}))
            self.send("api-calls", common["tenant_id"], dump(
                {"event_id": f"close-c-{number}", **common, "client_id": "c", "method": "GET",
                 "path": "/", "status": 200}))
            self.send("recommendation-requests", common["tenant_id"], dump(
                {"request_id": f"close-r-{number}", **common, "customer_id": "c"}))

    def stop(self):
        """Ends the load; what the feed says of it."""
        self.is_done = True
        self.thread.join()
        self.feed.stdin.close()
        said = self.feed.stdout.read()
        self.feed_log.close()
        if self.feed.wait() != 0 or self.broken:
            raise AssertionError(f"the feed broke down: {self.broken} "
                                 f"{(self.folder / 'feed.log').read_text()[-500:]}")
        return json.loads(said)
