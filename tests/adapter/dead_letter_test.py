#!/usr/bin/env python3
"""What cannot be processed ends in dead-letter, unchanged, with its reason; nothing stops."""
import json
import os
import time
import unittest

from world import (WorldTest, alter_topic, consume, produce_bytes, produce_lines, produce_packed,
                   wait_until)

DAY = 86_400_000
NOW = int(time.time() * 1000)
NOON = NOW - (NOW + DAY // 2) % DAY  # the last one: never an unusual time


def call(number, tenant="acme", **changed):
    return {"event_id": f"{tenant}-{number}", "tenant_id": tenant, "client_id": "c-1",
            "method": "GET", "path": "/", "status": 200, "event_time": NOON + number, **changed}


class DeadLetters(WorldTest):
    def dead(self):
        return {value: headers for _, value, headers in
                consume(self.topic("dead-letter"), with_headers=True)}

    def test_each_with_its_reason(self):
        settings = self.config(tenants=["unknown: reject", "list: [acme]"])
        self.create_topics(settings)
        weir = self.weir(settings)
        weir.wait_ready()
        topic = self.topic("api-calls")
        bad = {
            b"\xff\xfe garbage": ("unknown-format", ""),
            b'{"event_id": "x"': ("bad-syntax", ""),
            json.dumps(call(1, status="200 OK")).encode(): ("wrong-type", "status"),
            json.dumps({**call(2), "client_id": None}).encode(): ("missing-field", "client_id"),
            json.dumps(call(3, event_time=NOW + 10 * DAY)).encode(): ("future", "event_time"),
            json.dumps(call(4, tenant="nobody")).encode(): ("unknown-tenant", "tenant_id"),
            b"\xc3\x01\x01\x02\x03\x04\x05\x06\x07\x08rest": ("unknown-schema", ""),
            json.dumps(call(5, path="/" + "x" * 70_000)).encode(): ("out-of-range", "path"),
        }
        for message in bad:
            key = "nobody" if b"nobody" in message else "acme"
            produce_bytes(topic, key, message)
        produce_lines(topic, [call(n) for n in range(100, 201)])
        wait_until(lambda: len(self.dead()) == len(bad), "the dead letters")
        dead = self.dead()
        self.assertEqual(set(dead), set(bad))
        for message, (code, field) in bad.items():
            headers = dead[message]
            with self.subTest(message=message[:60]):
                self.assertEqual(headers["weir.error.code"], code)
                self.assertEqual(headers.get("weir.error.field", ""), field)
                self.assertEqual(headers["weir.source.topic"], topic)
                for name in ("weir.error.reason", "weir.source.partition", "weir.source.offset",
                             "weir.source.timestamp", "weir.version"):
                    self.assertIn(name, headers)
        # And the good ones went on: 101 calls within a minute.
        wait_until(lambda: any(a["type"] == "high-api-rate" for a in self.alerts()), "the alert")
        self.assertEqual(weir.stop(), 0)

    def test_larger_than_what_may_be_written(self):
        """Packed well, a message passes the broker that is larger than what Weir may write; so
        does a stray that should go home. Neither stands in the way of those behind it."""
        settings = self.config()
        self.create_topics(settings)
        weir = self.weir(settings)
        weir.wait_ready()
        topic = self.topic("api-calls")
        garbage = b"garbage " * 400_000
        stray = json.dumps(call(1, bulk="x" * 3_000_000)).encode()
        produce_packed(topic, "acme", garbage)
        for partition in range(self.partitions):
            produce_packed(topic, "acme", stray, partition)
        produce_lines(topic, [call(n) for n in range(100, 201)])
        wait_until(lambda: any(a["type"] == "high-api-rate" for a in self.alerts()), "the alert")

        def letters():
            found = [(headers["weir.error.code"], int(headers["weir.source.bytes"]), value)
                     for _, value, headers in consume(self.topic("dead-letter"), with_headers=True)]
            return sorted(found)
        expected = [("too-large", len(stray), b"")] * (self.partitions - 1)
        expected += [("unknown-format", len(garbage), b"")]
        wait_until(lambda: letters() == sorted(expected), "the dead letters")
        self.assertEqual(weir.stop(), 0)

    def test_larger_than_the_topic_takes(self):
        """A dead-letter topic that somebody made too small: told at the start, and no reason to
        stand still. What fits is there unchanged, of the rest all but the value."""
        settings = self.config()
        self.create_topics(settings)
        alter_topic(self.topic("dead-letter"), "max.message.bytes=300000")
        weir = self.weir(settings)
        weir.wait_ready()
        self.assertRegex(weir.log(), "dead-letter takes no more than 300000 bytes")
        topic = self.topic("api-calls")
        large, small = b"garbage " + os.urandom(400_000), b"garbage"
        for message in (large, small):
            produce_bytes(topic, "acme", message)
        produce_lines(topic, [call(n) for n in range(100, 201)])
        wait_until(lambda: any(a["type"] == "high-api-rate" for a in self.alerts()), "the alert")
        wait_until(lambda: len(self.dead()) == 2, "the dead letters")
        dead = self.dead()
        self.assertEqual(set(dead), {b"", small})
        self.assertEqual(dead[b""]["weir.source.bytes"], str(len(large)))
        self.assertEqual((dead[b""]["weir.source.topic"], dead[b""]["weir.source.offset"]),
                         (topic, "0"))
        self.assertEqual(weir.stop(), 0)

    def test_duplicates_count_once(self):
        settings = self.config(engine=["deduplicate:", "  api-calls: 5m"])
        self.create_topics(settings)
        weir = self.weir(settings)
        weir.wait_ready()
        events = [call(n) for n in range(100)]
        produce_lines(self.topic("api-calls"), events + events)
        wait_until(lambda: weir.metric("weir_duplicates_total") == 100, "duplicates")
        self.assertEqual(self.alerts(), [])
        produce_lines(self.topic("api-calls"), [call(100)])
        wait_until(self.alerts, "the alert of the 101st")
        self.assertEqual(weir.stop(), 0)

    def test_strays_are_forwarded_home(self):
        """librdkafka's default partitioner is not Kafka's: the events land anywhere."""
        settings = self.config()
        self.create_topics(settings)
        weir = self.weir(settings)
        weir.wait_ready()
        for tenant in ("a", "b", "c", "d", "e", "f"):
            produce_lines(self.topic("api-calls"), [call(n, tenant) for n in range(101)], "random")
        wait_until(lambda: {a["tenant_id"] for a in self.alerts() if a["type"] == "high-api-rate"}
                   == set("abcdef"), "alerts of all tenants")
        self.assertGreater(weir.metric("weir_forwarded_total"), 0)
        self.assertEqual(self.dead(), {})
        self.assertEqual(weir.stop(), 0)


if __name__ == "__main__":
    unittest.main()
