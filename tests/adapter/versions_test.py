#!/usr/bin/env python3
"""The essentials, to be run with each version of Kafka and librdkafka (tests/support/leg): formats
in, alerts out, a crash without trace, partitions that move and come back."""
import unittest

from episodes import START, EpisodeTest, all_failures
from world import (REGISTRY, confluent, produce_bytes, produce_lines, register_schema, schema_of,
                   single_object, wait_until)


class Versions(EpisodeTest):
    def test_formats(self):
        settings = self.config(codec=[f"schema.registry.url: {REGISTRY}"])
        self.create_topics(settings)
        weir = self.weir(settings)
        weir.wait_ready()
        topic = self.topic("auth-events")
        schema = schema_of("auth_event")
        number = register_schema(f"{topic}-value", schema)

        def event(tenant, index):
            return {"event_id": f"{tenant}-{index}", "tenant_id": tenant, "user_id": "mallory",
                    "outcome": "failure", "event_time": START + 1000 * index, "reason": None,
                    "ip": "203.0.113.9", "country": None, "user_agent": None, "method": None}
        produce_lines(topic, [event("json", n) for n in range(5)])
        for n in range(5):
            produce_bytes(topic, "registry", confluent(number, schema, event("registry", n)))
            produce_bytes(topic, "single", single_object("auth_event", event("single", n)))
        wanted = {(tenant, rule) for tenant in ("json", "registry", "single") for rule in
                  ("failed-auth", "failed-auth-by-user", "failed-auth-by-ip")}
        wait_until(lambda: wanted <= {(a["tenant_id"], a["type"]) for a in self.alerts()},
                   "alerts of all three formats")
        self.assertEqual(weir.stop(), 0)

    def test_killed_and_moved(self):
        """kill -9, then a second process that comes and goes: as if nothing had happened."""
        settings = self.config(processing=["snapshot.interval_ms: 1s"])
        self.create_topics(settings)
        first = self.weir(settings)
        first.wait_ready()
        produce_lines(self.topic("auth-events"), all_failures(0, 60))
        wait_until(lambda: first.metric("weir_events_total") > 100, "progress")
        first.kill()
        first.start()
        produce_lines(self.topic("auth-events"), all_failures(60, 60))
        first.wait_ready(90)
        second = self.weir(self.config_beside(settings), name="second")
        second.wait_ready(90)
        produce_lines(self.topic("auth-events"), all_failures(120, 60))
        wait_until(lambda: second.metric("weir_events_total") > 0, "events at the second", 90)
        self.assertEqual(second.stop(), 0)
        produce_lines(self.topic("auth-events"), all_failures(180, 20))
        self.check_published_once(self.check_final(200))
        self.assertEqual(first.stop(), 0)
        verdict = self.run_command("state", "verify", config=settings)
        self.assertIn('"equal":true', verdict.stdout.replace(" ", ""))


if __name__ == "__main__":
    unittest.main()
