#!/usr/bin/env python3
"""What is in the database and in Slack after crashes, takeovers and decisions: each row once, and
as the topics say."""
import datetime
import json
import unittest

from world import Recorder, WorldTest, consume_json, produce_lines, services, sql, wait_until

START = 1_700_000_000_000
TENANTS = [f"tenant-{n}" for n in range(6)]


def failures(tenant, first, count):
    """One failed login a second: one episode, published again and again."""
    return [{"event_id": f"{tenant}-{n}", "tenant_id": tenant, "user_id": "u", "ip": "192.0.2.1",
             "outcome": "failure", "event_time": START + 1000 * n}
            for n in range(first, first + count)]


def time_of(milliseconds):
    moment = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


class Sinks(WorldTest):
    def setUp(self):
        super().setUp()
        self.url = self.database()
        self.environment = {"WEIR_POSTGRES_URL": self.url}

    def produce(self, first, count):
        produce_lines(self.topic("auth-events"),
                      [event for n in range(first, first + count) for tenant in TENANTS
                       for event in failures(tenant, n, 1)])

    def rows(self, statement):
        return sql(statement, self.url)

    def published(self):
        """What the alerts table must hold: the last publication of every alert."""
        last = {alert["alert_id"]: alert for alert in consume_json(self.topic("alerts"))}
        return sorted([a["alert_id"], a["tenant_id"], a["type"], a["status"], str(a["count"]),
                       time_of(a["last_event_time"])] for a in last.values())

    def stored(self):
        return sorted(self.rows(
            "SELECT alert_id, tenant_id, type, status, count, "
            "to_char(last_event_time, 'YYYY-MM-DD\"T\"HH24:MI:SS') FROM alerts"))

    def check_rows(self):
        """The tables say what the topics say, nothing twice and nothing less."""
        wait_until(lambda: self.rows("SELECT to_regclass('audit') IS NOT NULL") == [["t"]],
                   "tables")
        wait_until(lambda: self.published() and self.stored() == self.published(),
                   "alerts as published", 90)
        audits = {record["audit_id"] for record in consume_json(self.topic("audit"))}
        wait_until(lambda: {row[0] for row in self.rows("SELECT audit_id FROM audit")} == audits,
                   "audit as published")
        self.assertTrue(audits)

    def test_killed_under_load(self):
        settings = self.config()
        self.create_topics(settings)
        weir = self.weir(settings, self.environment)
        weir.wait_ready()
        # A minute of events is published at least once.
        for turn in range(3):
            before = weir.metric("weir_postgres_rows_total")
            self.produce(100 * turn, 100)
            wait_until(lambda: weir.metric("weir_postgres_rows_total") > before, "rows", 90)
            weir.kill()
            weir.start()
            weir.wait_ready(90)
        self.check_rows()
        self.assertEqual(weir.stop(), 0)

    def test_another_takes_over(self):
        settings = self.config(roles="[processor]")
        self.create_topics(settings)
        processor = self.weir(settings)
        sinks = [self.weir(self.config(roles="[postgres]"), self.environment, name=f"sink-{n}")
                 for n in range(2)]
        for process in (processor, *sinks):
            process.wait_ready()
        self.produce(0, 60)
        wait_until(lambda: sum(s.metric("weir_postgres_rows_total") for s in sinks) > 0, "rows")
        sinks[0].kill()
        self.produce(60, 60)
        self.check_rows()
        self.assertEqual(sinks[1].stop(), 0)
        self.assertEqual(processor.stop(), 0)

    def test_database_killed_under_load(self):
        settings = self.config(sink=["retry.most_ms: 2s", "breaker.failures_max: 1000"],
                               kafka=["consumer.max.poll.interval.ms: 7000"])
        self.create_topics(settings)
        weir = self.weir(settings, self.environment)
        weir.wait_ready()
        self.produce(0, 40)
        wait_until(lambda: weir.metric("weir_postgres_rows_total") > 0, "rows")
        self.end_service("postgres")
        self.produce(40, 40)
        # Longer than a member may go without polling, and it keeps its place in the group.
        wait_until(lambda: weir.metric("weir_sink_retries_total") >= 14, "attempts", 90)
        self.assertEqual(weir.get("/healthz")[0], 200)
        services("start", "postgres")
        self.check_rows()
        for name in ("weir_sink_lag_records", "kafka_consumergroup_lag"):
            wait_until(lambda name=name: weir.metric(name) == 0, f"{name} 0")
        self.assertNotRegex(weir.log(), "kafka: postgres: .*(revoked|lost|poll)")
        self.assertEqual(weir.stop(), 0)

    def test_a_decision_is_kept(self):
        slack = Recorder()
        self.stack.callback(slack.close)
        settings = self.config(notify=["burst_max: 100"])
        self.create_topics(settings)
        weir = self.weir(settings, {**self.environment, "SLACK_WEBHOOK_URL": slack.url})
        weir.wait_ready()
        self.produce(0, 5)
        self.check_rows()
        alert = next(a for a in self.alerts() if a["tenant_id"] == TENANTS[0])
        produce_lines(self.topic("commands"), [
            {"command_id": "c-1", "type": "resolve-anomaly", "tenant_id": TENANTS[0],
             "actor": "eve", "subject": alert["alert_id"], "status": "resolved",
             "notes": "our own <test> \\ \"quoted\"", "event_time": START}])
        wait_until(lambda: self.rows("SELECT anomaly_id, status, notes FROM anomaly_resolutions")
                   == [[alert["alert_id"], "resolved", 'our own <test> \\ "quoted"']],
                   "the resolution")
        self.assertEqual(
            self.rows("SELECT status, resolution, type, count FROM alerts "
                      f"WHERE alert_id = '{alert['alert_id']}'"),
            [["resolved", "resolved", alert["type"], str(alert["count"])]])
        wait_until(lambda: self.rows("SELECT status FROM command_results") == [["accepted"]],
                   "the command's result")
        # Every message in Slack is in the table of notifications.
        wait_until(lambda: len(slack.accepted()) == 3 * len(TENANTS), "messages in Slack")
        wait_until(lambda: self.rows("SELECT channel, status, count(*) FROM notifications "
                                     "GROUP BY 1, 2") ==
                   [["slack", "sent", str(3 * len(TENANTS))]], "notifications")
        self.assertNotIn("<test>", json.dumps(slack.accepted()))
        self.assertEqual(weir.stop(), 0)


if __name__ == "__main__":
    unittest.main()
