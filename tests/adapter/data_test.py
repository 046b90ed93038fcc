#!/usr/bin/env python3
"""Recorded events of real shops and servers through a real broker end in the episodes that brute
force finds. The files are not part of the project: WEIR_DATA names their folder."""
import gzip
import json
import os
import pathlib
import unittest

from world import WorldTest, produce_lines, wait_until

DATA = os.environ.get("WEIR_DATA", "")
FILES = {"api-calls-apache-8-tenants": "api-calls", "api-calls-apache-1-tenant": "api-calls",
         "api-calls-openstack": "api-calls", "auth-openssh": "auth-events",
         "orders-cdnow-sample": "orders", "orders-online-retail-2011": "orders"}
FIELDS = ("opened_time", "last_event_time", "first_event_time", "count", "value")


@unittest.skipUnless(DATA, "skipped: WEIR_DATA not set")
class Data(WorldTest):
    def episodes(self, names):
        found = {name: [] for name in names}
        for alert in self.alerts():
            if alert["type"] in found:
                group = [alert["tenant_id"], *alert.get("group", {}).values()]
                found[alert["type"]].append((group, alert))
        return found

    def check(self, name, topic):
        expected = json.loads(
            pathlib.Path(DATA, f"episodes-{name}.json").read_text(encoding="utf-8"))
        with gzip.open(pathlib.Path(DATA, f"{name}.jsonl.gz"), "rt", encoding="utf-8") as lines:
            events = [json.loads(line) for line in lines]
        rules = self.folder / "rules.yaml"
        text = (pathlib.Path(__file__).parents[2] / "config/rules.yaml").read_text()
        rules.write_text(enable(text, "rapid-orders"))
        settings = self.config(rules=str(rules))
        self.create_topics(settings)
        weir = self.weir(settings)
        weir.wait_ready()
        produce_lines(self.topic(topic), events)
        # A day later one event of each tenant pushes the watermark past every episode.
        produce_lines(self.topic(topic), [
            {**event, "event_id": f"end-{event['tenant_id']}",
             "event_time": events[-1]["event_time"] + 12 * 3_600_000 + 86_400_000,
             "amount": 1, "outcome": "success"}
            for event in {event["tenant_id"]: event for event in events}.values()])

        def counts():
            found = self.episodes(expected["rules"])
            return all(len([1 for _, a in found[rule] if is_final(a, end_of(events))]) >=
                       len(episodes) for rule, episodes in expected["rules"].items())
        wait_until(counts, "the episodes", 120)
        wait_until(lambda: all(a["status"] == "closed" for rule, found in
                               self.episodes(expected["rules"]).items() for _, a in found
                               if rule != "large-order" and is_final(a, end_of(events))),
                   "closed episodes", 60)
        found = self.episodes(expected["rules"])
        for rule, episodes in expected["rules"].items():
            got = [{"group": group, **{field: alert.get(field) for field in episode_fields}}
                   for episode_fields in [list(episodes[0])[1:] if episodes else []]
                   for group, alert in found[rule] if is_final(alert, end_of(events))]
            self.assertEqual(sorted(map(canonical, got)), sorted(map(canonical, episodes)), rule)
        self.assertEqual(weir.stop(), 0)


def end_of(events):
    return events[-1]["event_time"]


def is_final(alert, end):
    return alert["opened_time"] <= end


def canonical(episode):
    return json.dumps(episode, sort_keys=True)


def enable(text, rule):
    head, name, tail = text.partition(f"name: {rule}\n")
    assert name and "enabled: false" in tail, "rapid-orders is off by default"
    return head + name + tail.replace("enabled: false", "enabled: true", 1)


for _name, _topic in FILES.items():
    setattr(Data, "test_" + _name.replace("-", "_"),
            lambda self, name=_name, topic=_topic: self.check(name, topic))

if __name__ == "__main__":
    unittest.main()
