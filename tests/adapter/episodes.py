"""A load of failed logins, one episode a tenant and rule, and what must be published of it."""
import collections
import json
import threading

from world import WorldTest, consume_json, produce_lines, wait_until

START = 1_700_000_000_000
TENANTS = [f"tenant-{n}" for n in range(8)]


def failures(tenant, first, count):
    """One failed login a second: an episode that goes on for ever."""
    return [{"event_id": f"{tenant}-{n}", "tenant_id": tenant, "user_id": "u", "ip": "192.0.2.1",
             "outcome": "failure", "event_time": START + 1000 * n}
            for n in range(first, first + count)]


def all_failures(first, count):
    """Those of every tenant, in the order of time: no event is late."""
    return [event for n in range(first, first + count) for tenant in TENANTS
            for event in failures(tenant, n, 1)]


class Load:
    """Produces in the background until stopped; then every tenant has `count` events."""

    def __init__(self, topic):
        self.topic, self.count, self.stopping = topic, 0, threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopping.wait(0.1):
            produce_lines(self.topic, all_failures(self.count, 20))
            self.count += 20

    def stop(self):
        self.stopping.set()
        self.thread.join()


class EpisodeTest(WorldTest):
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

    def config_beside(self, settings):
        """The same group, another port."""
        port = self.config().rsplit(":", 1)[1].strip()
        head, _, tail = settings.partition("listen: 127.0.0.1:")
        return head + "listen: 127.0.0.1:" + port + "\n" + tail.partition("\n")[2]
