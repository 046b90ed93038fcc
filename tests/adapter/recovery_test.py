#!/usr/bin/env python3
"""Crashes, outages and moves: nothing is lost, and with exactly-once nothing is doubled."""
import collections
import json
import signal
import threading
import unittest

from world import Recorder, WorldTest, consume_json, produce_lines, services, sql, wait_until

START = 1_700_000_000_000


def failures(tenant, first, count):
    """One failed login a second: an episode that goes on for ever."""
    return [{"event_id": f"{tenant}-{n}", "tenant_id": tenant, "user_id": "u", "ip": "192.0.2.1",
             "outcome": "failure", "event_time": START + 1000 * n}
            for n in range(first, first + count)]


TENANTS = [f"tenant-{n}" for n in range(8)]


def all_failures(first, count):
    """Those of every tenant, in the order of time: no event is late."""
    return [event for n in range(first, first + count) for tenant in TENANTS
            for event in failures(tenant, n, 1)]


class Load:
    """Produces in the background until stopped; then every tenant has `count` events."""

    def __init__(self, topic):
        self.topic, self.count, self.is_done = topic, 0, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.is_done:
            produce_lines(self.topic, all_failures(self.count, 20))
            self.count += 20

    def stop(self):
        self.is_done = True
        self.thread.join()


class Recovery(WorldTest):
    def close_episodes(self, count):
        """Pushes the watermark far past everything, in every tenant."""
        produce_lines(self.topic("auth-events"),
                      [{**failures(tenant, count, 1)[0], "event_id": f"{tenant}-end",
                        "outcome": "success", "event_time": START + 1000 * count + 3_600_000}
                       for tenant in TENANTS])

    def check_final(self, count):
        """One episode a rule and tenant, with exact figures, published as the rules say."""
        self.close_episodes(count)
        names = ("failed-auth", "failed-auth-by-user", "failed-auth-by-ip")

        def closed():
            return [a for a in self.alerts() if a["status"] == "closed" and a["type"] in names]
        wait_until(lambda: len(closed()) == 3 * len(TENANTS), "closed episodes", 120)
        for alert in closed():
            self.assertEqual(alert["opened_time"], START + 4000, alert)
            self.assertEqual(alert["last_event_time"], START + 1000 * (count - 1), alert)
            self.assertEqual((alert["count"], alert["value"]), (count - 4, min(count, 300)), alert)
        return consume_json(self.topic("alerts"))

    def check_published_once(self, records):
        """Each publication of an alert differs from the others, and it opens and closes once."""
        seen = collections.Counter(json.dumps(record, sort_keys=True) for record in records)
        self.assertEqual([text for text, times in seen.items() if times > 1], [])
        for status in ("open", "closed"):
            times = collections.Counter(r["alert_id"] for r in records if r["status"] == status)
            self.assertEqual({a: n for a, n in times.items() if n > 1}, {}, status)

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

    def config_beside(self, settings):
        """The same group, another port."""
        port = self.config().rsplit(":", 1)[1].strip()
        head, _, tail = settings.partition("listen: 127.0.0.1:")
        return head + "listen: 127.0.0.1:" + port + "\n" + tail.partition("\n")[2]

    def test_broker_down_and_back(self):
        settings = self.config()
        self.create_topics(settings)
        weir = self.weir(settings)
        weir.wait_ready()
        produce_lines(self.topic("auth-events"),
                      all_failures(0, 100))
        wait_until(lambda: weir.metric("weir_events_total") > 100, "progress")
        services("kill", "kafka")
        services("start", "kafka")
        produce_lines(self.topic("auth-events"),
                      all_failures(100, 100))
        self.check_published_once(self.check_final(200))
        self.assertEqual(weir.stop(), 0)

    def test_slack_and_database_down_and_back(self):
        slack = Recorder(503)
        self.stack.callback(slack.close)
        url = self.database()
        settings = self.config()
        self.create_topics(settings)
        services("stop", "postgres")
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
