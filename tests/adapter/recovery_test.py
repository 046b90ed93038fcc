#!/usr/bin/env python3
"""Crashes, outages and moves: nothing is lost, and with exactly-once nothing is doubled."""
import json
import re
import signal
import subprocess
import unittest
import uuid

from episodes import START, TENANTS, EpisodeTest, Load, all_failures
from world import (KAFKA, KAFKA_SERVICE, ROOT, Recorder, kcat, produce_lines, services, sql,
                   wait_until)


class Recovery(EpisodeTest):
    def test_killed_under_load(self):
        settings = self.config(processing=["guarantee: exactly_once", "snapshot.interval_ms: 1s"])
        self.create_topics(settings)
        weir = self.weir(settings)
        weir.wait_ready()
        load = Load(self.topic("auth-events"))
        for turn in range(4):
            before = weir.metric("weir_events_total")
            wait_until(lambda: weir.metric("weir_events_total") > before + 500, "progress")
            weir.kill()
            weir.start()
            weir.wait_ready(90)
        load.stop()
        self.check_published_once(self.check_final(load.count))
        self.assertEqual(weir.stop(), 0)
        # And record for record it is what a machine says that never crashed.
        verdict = self.run_command("state", "verify", config=settings)
        self.assertIn('"equal":true', verdict.stdout.replace(" ", ""))

    def test_partitions_move_between_processes(self):
        settings = self.config(processing=["guarantee: exactly_once", "snapshot.interval_ms: 1s"])
        self.create_topics(settings)
        first = self.weir(settings)
        first.wait_ready()
        load = Load(self.topic("auth-events"))
        second = None
        for turn in range(2):
            other = self.weir(self.config_beside(settings), name=f"second-{turn}")
            wait_until(lambda: other.metric("weir_events_total") > 200, "events at the second", 90)
            if turn == 0:
                self.assertEqual(other.stop(), 0)
            else:
                other.kill()
            before = first.metric("weir_events_total")
            wait_until(lambda: first.metric("weir_events_total") > before + 200,
                       "the first takes over", 90)
        del second
        load.stop()
        self.check_published_once(self.check_final(load.count))
        self.assertEqual(first.stop(), 0)

    def test_stopped_process_comes_back(self):
        """Frozen beyond the session and its transaction: another takes over, and when it wakes
        nothing that it still holds may be published."""
        settings = self.config(processing=["snapshot.interval_ms: 1s"])
        self.create_topics(settings)
        first = self.weir(settings)
        first.wait_ready()
        load = Load(self.topic("auth-events"))
        wait_until(lambda: first.metric("weir_events_total") > 500, "progress")
        first.process.send_signal(signal.SIGSTOP)
        second = self.weir(self.config_beside(settings), name="second")
        wait_until(lambda: second.metric("weir_events_total") > 500, "the second takes over", 90)
        first.process.send_signal(signal.SIGCONT)
        before = first.metric("weir_events_total")
        wait_until(lambda: first.metric("weir_events_total") > before + 200, "the first is back",
                   90)
        load.stop()
        self.check_published_once(self.check_final(load.count))
        self.assertEqual(first.stop(), 0)
        self.assertEqual(second.stop(), 0)

    def test_other_settings_keep_the_state(self):
        """A tenant is added and one rule changed: windows of the other rules, and what was learnt,
        go on."""
        settings = self.config(processing=["snapshot.interval_ms: 1s"])
        self.create_topics(settings)
        weir = self.weir(settings)
        weir.wait_ready()
        produce_lines(self.topic("auth-events"), all_failures(0, 4))
        produce_lines(self.topic("orders"), [
            {"event_id": f"o-{n}", "order_id": f"o-{n}", "tenant_id": TENANTS[0],
             "customer_id": "c", "currency": "USD", "amount": 5, "event_time": START + n,
             "items": [{"product_id": "p", "quantity": 1, "unit_price": 5}]} for n in range(3)])
        wait_until(lambda: weir.metric("weir_events_total") >= 4 * len(TENANTS) + 3, "events")
        before = weir.metric("weir_snapshots_total", "written")
        wait_until(lambda: weir.metric("weir_snapshots_total", "written") > before, "a snapshot")
        self.assertEqual(weir.stop(), 0)
        rules = (ROOT / "config" / "rules.yaml").read_text()
        head, name, tail = rules.partition("- name: failed-auth-by-ip\n")
        (self.folder / "rules.yaml").write_text(
            head + name + tail.replace("condition: {gte: 5}", "condition: {gte: 2}", 1))
        weir = self.weir(settings + f"rules: {self.folder}/rules.yaml\n"
                         f"tenants:\n  list: [{TENANTS[0]}]\n")
        weir.wait_ready()
        self.assertIn("rules or settings are others", weir.log())
        wait_until(lambda: weir.metric("weir_recommend_customers") == 1, "the customer")
        produce_lines(self.topic("auth-events"), all_failures(4, 1))
        wanted = {(tenant, rule) for tenant in TENANTS
                  for rule in ("failed-auth", "failed-auth-by-user")}
        wait_until(lambda: {(a["tenant_id"], a["type"]) for a in self.alerts()} == wanted,
                   "alerts of the rules that were left alone")
        self.assertEqual({a["value"] for a in self.alerts()}, {5})
        self.assertEqual(weir.stop(), 0)

    def test_all_brokers_killed_under_load(self):
        """Kafka itself may lose the end of a transaction then: once where the restart is so quick
        that one was just being committed, once where one is timed out while the broker starts.
        One worker: partitions do not move."""
        settings = self.config(kafka=["transaction.timeout.ms: 5s"], workers=1,
                               processing=["guarantee: exactly_once", "snapshot.interval_ms: 1s"])
        self.create_topics(settings)
        weir = self.weir(settings)
        weir.wait_ready()
        load = Load(self.topic("auth-events"))
        for is_long in (False, True):
            before = weir.metric("weir_events_total")
            wait_until(lambda: weir.metric("weir_events_total") > before + 500, "progress")
            ended = weir.log().count("session timed out")
            self.end_service(KAFKA_SERVICE)
            if is_long:
                wait_until(lambda: weir.log().count("session timed out") > ended, "its end")
            services("start", KAFKA_SERVICE)
            before = weir.metric("weir_events_total")
            wait_until(lambda: weir.metric("weir_events_total") > before + 500, "progress", 90)
            wait_until(lambda: weir.get("/readyz")[0] == 200, "all partitions", 90)
        load.stop()
        records = self.check_final(load.count)
        self.assertEqual(weir.stop(), 0)
        # No more stands twice than it says that it had to write once more.
        again = sum(map(int, re.findall(r"committed transaction again, in (\d+)", weir.log())))
        texts = {json.dumps(record, sort_keys=True) for record in records}
        self.assertLessEqual(len(records) - len(texts), again)
        self.check_published_once([json.loads(text) for text in texts])
        if len(records) == len(texts):
            verdict = self.run_command("state", "verify", config=settings)
            self.assertIn('"equal":true', verdict.stdout.replace(" ", ""))

    def hide_rest(self, topic, partition):
        """A transaction that nobody ends hides from now on what follows in the log."""
        producer = subprocess.Popen(
            ["kcat", "-b", KAFKA, "-P", "-t", topic, "-p", str(partition), "-q",
             "-X", f"transactional.id={topic}-{partition}", "-X", "transaction.timeout.ms=600000"],
            stdin=subprocess.PIPE)

        def end():
            producer.kill()
            producer.communicate()
        self.stack.callback(end)

        def is_there():
            producer.stdin.write(b"hangs\n" * 20_000)  # it reads whole blocks
            producer.stdin.flush()
            return b"hangs" in kcat("-C", "-t", topic, "-p", str(partition), "-e", "-q", "-o",
                                    "beginning", "-X", "isolation.level=read_uncommitted")
        wait_until(is_there, "the record")

    def test_journal_hidden_by_a_hanging_transaction(self):
        """What was committed and cannot be read back is made again from the inputs."""
        settings = self.config(processing=["guarantee: exactly_once", "snapshot.interval_ms: 1h"])
        self.create_topics(settings)
        weir = self.weir(settings)
        weir.wait_ready()

        def is_committed(count):
            status = json.loads(weir.get("/status")[1])["sources"]["processor"]["detail"]
            return weir.metric("weir_events_total") == count * len(TENANTS) and all(
                p["journal_record"] == p["committed_record"]
                for worker in status for p in worker["partitions"])
        produce_lines(self.topic("auth-events"), all_failures(0, 50))
        wait_until(lambda: is_committed(50), "commits")
        for partition in range(self.partitions):
            self.hide_rest(self.topic("weir.journal"), partition)
        produce_lines(self.topic("auth-events"), all_failures(50, 50))
        wait_until(lambda: is_committed(100), "commits")
        weir.kill()
        weir.start()
        weir.wait_ready(120)
        self.assertIn("applied topic by topic", weir.log())
        produce_lines(self.topic("auth-events"), all_failures(100, 50))
        self.check_published_once(self.check_final(150))
        self.assertEqual(weir.stop(), 0)

    def test_broker_down_for_longer_than_sessions_last(self):
        """Static and dynamic members, both guarantees: all are thrown out, none needs help."""
        members = []
        for name, guarantee, instance in (("static", "exactly_once", "pod-0"),
                                          ("static-at-least-once", "at_least_once", "pod-0"),
                                          ("dynamic", "exactly_once", None),
                                          ("dynamic-at-least-once", "at_least_once", None)):
            self.prefix = f"t{uuid.uuid4().hex[:8]}."
            settings = self.config(
                kafka=[f"group.instance.id: {instance}"] if instance else [], workers=1,
                processing=[f"guarantee: {guarantee}"])
            self.create_topics(settings)
            members.append((self.prefix, guarantee, self.weir(settings, name=name)))
        for self.prefix, _, weir in members:
            weir.wait_ready(90)
            produce_lines(self.topic("auth-events"), all_failures(0, 100))
        for _, _, weir in members:
            wait_until(lambda: weir.metric("weir_events_total") > 100, "progress")
        self.end_service(KAFKA_SERVICE)
        for _, _, weir in members:
            wait_until(lambda: "session timed out" in weir.log(), "the end of the session")
        services("start", KAFKA_SERVICE)
        for self.prefix, _, weir in members:
            produce_lines(self.topic("auth-events"), all_failures(100, 100))
        for self.prefix, guarantee, weir in members:
            records = self.check_final(200)
            if guarantee == "exactly_once":
                self.check_published_once(records)
            self.assertEqual(weir.stop(), 0, weir.name)

    def test_slack_and_database_down_and_back(self):
        slack = Recorder(503)
        self.stack.callback(slack.close)
        url = self.database()
        settings = self.config()
        self.create_topics(settings)
        self.end_service("postgres", "stop")
        weir = self.weir(settings, {"WEIR_POSTGRES_URL": url, "SLACK_WEBHOOK_URL": slack.url})
        weir.wait_ready()
        produce_lines(self.topic("auth-events"),
                      all_failures(0, 50))
        wait_until(lambda: len(slack.requests) >= 3, "attempts at Slack")
        self.assertEqual(slack.accepted(), [])
        services("start", "postgres")
        slack.status = 200
        wait_until(lambda: sql("SELECT count(*) FROM alerts", url) == [["24"]] if
                   self.has_table(url) else False, "rows in PostgreSQL", 120)
        wait_until(lambda: len(slack.accepted()) >= 24, "messages in Slack", 120)
        self.assertEqual(weir.stop(), 0)

    @staticmethod
    def has_table(url):
        return sql("SELECT to_regclass('alerts') IS NOT NULL", url) == [["t"]]


if __name__ == "__main__":
    unittest.main()
