#!/usr/bin/env python3
"""Events in all three wire formats become an alert on the topic, in PostgreSQL, in Slack, in the
mail, and in the metrics."""
import email
import json
import unittest
import urllib.request

from world import (REGISTRY, MailRecorder, Recorder, WorldTest, confluent, consume, produce_bytes,
                   produce_lines, register_schema, schema_of, single_object, sql, wait_until)

START = 1_700_000_000_000


def failure(number, tenant, user="mallory"):
    return {"event_id": f"{tenant}-{number}", "tenant_id": tenant, "user_id": user,
            "outcome": "failure", "event_time": START + 1000 * number, "reason": "bad-password",
            "ip": "203.0.113.9", "country": None, "user_agent": None, "method": None}


class Formats(WorldTest):
    def setUp(self):
        super().setUp()
        self.slack, self.sendgrid, self.mail = Recorder(), Recorder(202), MailRecorder()
        for recorder in (self.slack, self.sendgrid, self.mail):
            self.stack.callback(recorder.close)
        self.url = self.database()
        self.settings = self.config(codec=[f"schema.registry.url: {REGISTRY}"],
                                    notify=[f"email.url: {self.sendgrid.url}/v3/mail/send",
                                            "email.from: weir@example.org"])
        self.environment = {"WEIR_POSTGRES_URL": self.url,
                            "SLACK_WEBHOOK_URL": f"{self.slack.url}/services/T/B/x",
                            "EMAIL_API_KEY": "SG.secret", "ADMIN_EMAIL": "admin@example.org"}

    def produce_all(self):
        topic = self.topic("auth-events")
        produce_lines(topic, [failure(n, "json") for n in range(5)])
        schema = schema_of("auth_event")
        number = register_schema(f"{topic}-value", schema)
        for n in range(5):
            produce_bytes(topic, "registry", confluent(number, schema, failure(n, "registry")))
            produce_bytes(topic, "single", single_object("auth_event", failure(n, "single")))

    def test_from_topic_to_everyone(self):
        self.create_topics(self.settings)
        weir = self.weir(self.settings, self.environment)
        weir.wait_ready()
        self.produce_all()

        def opened():
            found = {(a["tenant_id"], a["type"]) for a in self.alerts()}
            wanted = {(tenant, rule) for tenant in ("json", "registry", "single") for rule in
                      ("failed-auth", "failed-auth-by-user", "failed-auth-by-ip")}
            return wanted <= found
        wait_until(opened, "alerts of all three formats")
        alert = next(a for a in self.alerts()
                     if (a["tenant_id"], a["type"]) == ("registry", "failed-auth-by-user"))
        self.assertEqual(alert["group"], {"user_id": "mallory"})
        self.assertEqual((alert["severity"], alert["category"]), ("high", "security"))
        self.assertEqual(alert["opened_time"], START + 4000)
        self.assertEqual(alert["first_event_time"], START)
        self.assertEqual((alert["value"], alert["threshold"], alert["window_ms"]), (5, 5, 300000))
        self.assertEqual(alert["evidence"], ["registry-4"])

        def stored():
            return sql("SELECT count(*) FROM alerts", self.url) == [["9"]]
        wait_until(stored, "rows in PostgreSQL")
        rows = sql("SELECT type, severity, \"group\"->>'user_id' FROM alerts "
                   "WHERE tenant_id = 'single' AND type = 'failed-auth-by-user'", self.url)
        self.assertEqual(rows, [["failed-auth-by-user", "high", "mallory"]])

        wait_until(lambda: len(self.slack.accepted()) >= 9, "messages in Slack")
        text = json.dumps(self.slack.accepted())
        self.assertIn("failed-auth-by-ip", text)
        self.assertIn("203.0.113.9", text)
        wait_until(lambda: len(self.sendgrid.accepted()) >= 9, "mails at SendGrid")
        mail = self.sendgrid.accepted()[0]
        self.assertEqual(mail["personalizations"][0]["to"][0]["email"], "admin@example.org")
        headers = self.sendgrid.requests[0][1]
        self.assertEqual(headers["Authorization"], "Bearer SG.secret")

        self.assertGreaterEqual(weir.metric("weir_events_total", 'topic="auth-events"'), 15)
        self.assertGreaterEqual(weir.metric("weir_alerts_opened_total", 'severity="high"'), 9)
        self.assertNotIn("SG.secret", weir.log() + weir.get("/status")[1] + weir.get("/metrics")[1])
        self.assertEqual(weir.stop(), 0)

    def test_results_by_registry_and_sinks_that_read_them(self):
        """Results written with a schema of the registry, whose subjects carry the prefix."""
        settings = self.settings.replace("codec:\n", "codec:\n  output.format: avro-registry\n")
        self.create_topics(settings)
        weir = self.weir(settings, self.environment)
        weir.wait_ready()
        produce_lines(self.topic("auth-events"), [failure(n, "json") for n in range(5)])
        wait_until(lambda: sql("SELECT count(*) FROM alerts", self.url) == [["3"]], "rows")
        records = consume(self.topic("alerts"))
        self.assertEqual({value[:1] for _, value in records}, {b"\x00"})
        number = int.from_bytes(records[0][1][1:5], "big")
        with urllib.request.urlopen(f"{REGISTRY}/subjects/{self.topic('alerts')}-value/versions/1",
                                    timeout=10) as answer:
            self.assertEqual(json.load(answer)["id"], number)
        self.assertEqual(weir.stop(), 0)

    def test_mail_server(self):
        settings = self.config(notify=[f"smtp.url: {self.mail.url}", "email.from: weir@example.org"])
        self.create_topics(settings)
        weir = self.weir(settings, {"ADMIN_EMAIL": "admin@example.org"})
        weir.wait_ready()
        produce_lines(self.topic("auth-events"), [failure(n, "json", "<b>eve</b>")
                                                  for n in range(5)])
        wait_until(lambda: len(self.mail.messages) >= 3, "mails")
        for _, recipients, content in self.mail.messages:
            self.assertEqual(recipients, ["admin@example.org"])
            parts = email.message_from_string(content).get_payload()
            text, page = [part.get_payload(decode=True).decode() for part in parts]
            self.assertIn("failed-auth", text)
            self.assertNotIn("<b>", page)
            if "failed-auth-by-user" in page:
                self.assertIn("&lt;b&gt;eve", page)
        self.assertEqual(weir.stop(), 0)


if __name__ == "__main__":
    unittest.main()
