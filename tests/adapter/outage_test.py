#!/usr/bin/env python3
"""Every service that Weir stands on is away for a while under load, and comes back: everything is
counted once, every alert is in the database and in Slack, and nothing in dead-letter.

How long each is away is WEIR_TEST_OUTAGE, in seconds (3). For a minute each, by hand:

    export WEIR_TEST_OUTAGE=60 WEIR_BINARY=build/weir
    tests/support/alone outage kafka postgres registry -- python3 tests/adapter/outage_test.py
"""
import collections
import concurrent.futures
import contextlib
import json
import os
import re
import signal
import threading
import time
import unittest

from world import (PATIENCE, REGISTRY, Recorder, WorldTest, confluent, consume, consume_json,
                   produce, register_schema, schema_of, services, services_folder, sql, wait_until)

OUTAGE = float(os.environ.get("WEIR_TEST_OUTAGE", "3"))
STARTING = 240  # at most, of a service on a machine with much else to do
START = 1_700_000_000_000
TENANTS = [f"tenant-{n}" for n in range(6)]
BATCH = 20  # failed sign-ins of one user, a second apart
CALLS = 101  # of one client: one more than its rule allows


def failure(tenant, n):
    return {"event_id": f"{tenant}-{n}", "tenant_id": tenant, "user_id": f"user-{n // BATCH}",
            "outcome": "failure", "event_time": START + 1000 * n, "ip": "192.0.2.1"}


def call(tenant, n, name):
    return {"event_id": f"{tenant}-{name}-{n}", "tenant_id": tenant, "client_id": name,
            "method": "GET", "path": "/", "status": 200, "event_time": START + n}


def variant(name, field):
    """A schema of ours as another team writes it: with a field of their own."""
    schema = schema_of(name)
    schema["fields"].append({"name": field, "type": ["null", "string"], "default": None})
    return schema


@contextlib.contextmanager
def starting(name):
    """Begins to start a service; at the end it is there."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        started = pool.submit(services, "start", name)
        yield
        started.result()


class Load:
    """Signs in and fails, in JSON and in Avro by turns, in the background until stopped."""

    def __init__(self, topic, number, schema):
        self.topic, self.number, self.schema = topic, number, schema
        self.batches, self.error = 0, None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def encode(self, event, n):
        if n % 2:
            return confluent(self.number, self.schema, event)
        return json.dumps(event).encode()

    def run(self):
        while not self.stopping.wait(0.2):
            first = self.batches * BATCH
            try:
                produce(self.topic, [(tenant, self.encode(failure(tenant, n), n))
                                     for n in range(first, first + BATCH) for tenant in TENANTS],
                        timeout=OUTAGE + STARTING + PATIENCE)
            except Exception as error:  # for the thread of the test
                self.error = error
                return
            self.batches += 1

    def end(self):
        self.stopping.set()
        self.thread.join()
        if self.error:
            raise self.error


class Outage(WorldTest):
    def setUp(self):
        super().setUp()
        self.slack = Recorder()
        self.stack.callback(self.slack.close)
        self.url = self.database()
        settings = self.config(
            codec=[f"schema.registry.url: {REGISTRY}", "schema.registry.timeout: 1s"],
            # Whoever does not poll for so long is thrown out of the group.
            kafka=["consumer.max.poll.interval.ms: 7000"],
            notify=["burst_max: 1000", "interval_ms: 1ms"])
        self.create_topics(settings)
        self.process = self.weir(settings, {"WEIR_POSTGRES_URL": self.url,
                                            "SLACK_WEBHOOK_URL": self.slack.url})
        self.process.wait_ready()
        topic, schema = self.topic("auth-events"), schema_of("auth_event")
        self.load = Load(topic, register_schema(f"{topic}-value", schema), schema)
        self.stack.callback(self.load.end)
        # What nobody has sent yet: their ids are new to the process.
        self.unseen = {name: (register_schema(f"{name}-value", variant("api_call", name)),
                              variant("api_call", name)) for name in ("refused", "silent")}

    def events(self, topic="auth-events"):
        return self.process.metric("weir_events_total", f'topic="{topic}"')

    def wait_for_progress(self, count=200):
        before = self.events()
        wait_until(lambda: self.load.error or self.events() > before + count, "progress",
                   2 * PATIENCE)
        if self.load.error:
            raise self.load.error

    @contextlib.contextmanager
    def away(self, name, does_go_on=True):
        """Inside, it is down; then it stays so for the length of the outage, under load."""
        mark, before = len(self.process.log()), self.events()
        yield
        health = collections.Counter()
        until = time.monotonic() + OUTAGE

        def is_over():
            health[self.process.get("/healthz")[0], self.process.get("/readyz")[0]] += 1
            return time.monotonic() > until
        wait_until(is_over, name, OUTAGE + PATIENCE)
        lines = self.process.log()[mark:].count("\n")
        count = self.events() - before
        print(f"{name}: {count:.0f} events, {lines} lines of log, (healthz, readyz) "
              f"{dict(health)}", flush=True)
        self.assertEqual({healthz for healthz, _ in health}, {200}, name)
        self.assertLess(lines, 40, f"{name}: a flood in the log")
        if does_go_on:
            self.assertEqual(set(health), {(200, 200)}, name)
            self.assertGreater(count, 0, f"{name}: nothing goes on")

    def call_by_unseen_schema(self, name):
        number, schema = self.unseen[name]
        produce(self.topic("api-calls"), [(tenant, confluent(number, schema, call(tenant, n, name)))
                                          for n in range(CALLS) for tenant in TENANTS])

    def check_calls(self, count):
        wait_until(lambda: self.events("api-calls") == count * len(TENANTS), "calls that waited")
        self.assertIn("trying again: schema registry", self.process.log())

    def test_each(self):
        self.wait_for_progress()
        joined = len(self.process.log())
        with self.away("registry killed"):
            self.end_service("registry")
            self.call_by_unseen_schema("refused")
        self.assertEqual(self.events("api-calls"), 0)
        with starting("registry"):  # which takes its time
            with self.away("database"):
                self.end_service("postgres")
            services("start", "postgres")
            with self.away("Slack"):
                self.slack.status = 503
            self.slack.status = 200
        self.check_calls(CALLS)
        registry = int((services_folder() / "registry/pid").read_text())
        try:
            with self.away("registry silent"):
                os.kill(registry, signal.SIGSTOP)
                self.call_by_unseen_schema("silent")
            self.assertEqual(self.events("api-calls"), CALLS * len(TENANTS))
        finally:
            os.kill(registry, signal.SIGCONT)
        self.check_calls(2 * CALLS)
        self.assertNotRegex(self.process.log()[joined:], "revoked|lost")
        with self.away("Kafka", does_go_on=False):
            self.end_service("kafka")
        services("start", "kafka")
        self.wait_for_progress()
        self.load.end()
        self.check()
        self.assertEqual(self.process.stop(), 0)

    def expected(self):
        count = self.load.batches * BATCH
        return sorted(
            [(tenant, rule, START + 4000, count - 4, min(count, 300))
             for tenant in TENANTS for rule in ("failed-auth", "failed-auth-by-ip")] +
            [(tenant, "failed-auth-by-user", START + 1000 * (BATCH * batch + 4), BATCH - 4, BATCH)
             for tenant in TENANTS for batch in range(self.load.batches)] +
            [(tenant, "high-api-rate-by-client", START + CALLS - 1, 1, CALLS)
             for tenant in TENANTS for _ in self.unseen])

    def check(self):
        """Everything counted once, stored and told."""
        hour_after = self.load.batches * BATCH + 3600
        produce(self.topic("auth-events"),
                [(tenant, json.dumps({**failure(tenant, hour_after), "outcome": "success"}).encode())
                 for tenant in TENANTS])
        produce(self.topic("api-calls"),
                [(tenant, json.dumps(call(tenant, 3_600_000, "end")).encode())
                 for tenant in TENANTS])
        expected = self.expected()
        rules = {rule for _, rule, *_ in expected}

        def found():
            return sorted((a["tenant_id"], a["type"], a["opened_time"], a["count"], a["value"])
                          for a in self.alerts() if a["type"] in rules and a["status"] == "closed")
        wait_until(lambda: len(found()) >= len(expected), "closed episodes", 120)
        self.assertEqual(found(), expected)
        self.assertEqual(consume(self.topic("dead-letter")), [])
        last = {alert["alert_id"]: alert for alert in consume_json(self.topic("alerts"))}
        wait_until(lambda: sorted(sql("SELECT alert_id, status, count FROM alerts", self.url)) ==
                   sorted([a["alert_id"], a["status"], str(a["count"])] for a in last.values()),
                   "alerts in the database", 120)
        loud = {alert_id for alert_id, alert in last.items() if alert["severity"] != "low"}

        def told():
            return set(re.findall(r"\*Alert\*\\n([^\"]+)\"", json.dumps(self.slack.accepted())))
        wait_until(lambda: told() == loud, "alerts in Slack", 120)


if __name__ == "__main__":
    unittest.main()
