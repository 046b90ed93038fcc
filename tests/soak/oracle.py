"""Episodes by brute force, straight from the definitions of README.md: all events are known at
once and sorted, and every window is looked at anew. Knows the default rules that are on.
"""
import bisect
import collections

HOUR = 3_600_000
MINUTE = 60_000


def failed(event):
    return event["outcome"] == "failure"


def any_event(_event):
    return True


# name, topic, selection, group-by, window, least, what the value is
COUNTS = (
    ("high-api-rate", "api-calls", any_event, (), MINUTE, 101, None),
    ("high-api-rate-by-client", "api-calls", any_event, ("client_id",), MINUTE, 101, None),
    ("failed-auth", "auth-events", failed, (), 5 * MINUTE, 5, None),
    ("failed-auth-by-user", "auth-events", failed, ("user_id",), 5 * MINUTE, 5, None),
    ("failed-auth-by-ip", "auth-events", failed, ("ip",), 5 * MINUTE, 5, None),
    ("credential-stuffing", "auth-events", failed, ("ip",), 10 * MINUTE, 10, "user_id"),
    ("rapid-orders-by-customer", "orders", any_event, ("customer_id",), 5 * MINUTE, 11, None),
    ("card-testing", "orders", lambda event: event["amount"] <= 5, ("ip",), 10 * MINUTE, 10, None),
)


def group_events(events, selection, fields):
    groups = collections.defaultdict(list)
    for event in events:
        values = [event.get(field) for field in fields]
        if selection(event) and None not in values:
            groups[(event["tenant_id"], *values)].append(event)
    for found in groups.values():
        found.sort(key=lambda event: event["event_time"])
    return groups


def episodes_of(times, satisfied, quiet):
    """(opened, last, count) of satisfying times at most `quiet` apart, every event counting."""
    episodes = []
    for at in (time for time in times if satisfied(time)):
        if episodes and at - episodes[-1][1] <= quiet:
            episodes[-1][1] = at
            episodes[-1][2] += 1
        else:
            episodes.append([at, at, 1])
    return episodes


def counted(events, window, least, field):
    """Episodes of one group: opened, last, first event, count, value."""
    times = [event["event_time"] for event in events]
    values = {}
    for at in set(times):
        low, high = bisect.bisect_right(times, at - window), bisect.bisect_right(times, at)
        values[at] = (high - low if field is None else
                      len({e[field] for e in events[low:high] if e.get(field) is not None}))
    for opened, last, count in episodes_of(times, lambda at: values[at] >= least, window):
        first = times[bisect.bisect_right(times, opened - window)]
        value = max(values[at] for at in times if opened <= at <= last)
        yield opened, last, first, count, value


def taken_over(events, window):
    """Five failures of a user, then a success. In turn, each as early as can be."""
    times = [event["event_time"] for event in events]

    def satisfied(at):
        inside = events[bisect.bisect_right(times, at - window):bisect.bisect_right(times, at)]
        failures = [e["event_time"] for e in inside if failed(e)]
        return len(failures) >= 5 and any(
            not failed(e) and e["event_time"] >= failures[4] for e in inside)

    for opened, last, count in episodes_of(times, satisfied, window):
        first = times[bisect.bisect_right(times, opened - window)]
        yield opened, last, first, count


def unusual(events):
    times = [event["event_time"] for event in events]
    for opened, last, count in episodes_of(times, any_event, HOUR):
        yield opened, last, opened, count


def is_unusual(event):
    return 2 <= event["event_time"] // HOUR % 24 <= 5


def final_episodes(inputs):
    """{rule: sorted [(group, opened, last, first, count, ...)]} of events by topic."""
    found = {}
    for name, topic, selection, fields, window, least, field in COUNTS:
        found[name] = sorted(
            (group, *episode)
            for group, events in group_events(inputs[topic], selection, fields).items()
            for episode in counted(events, window, least, field))
    found["account-takeover"] = sorted(
        (group, *episode)
        for group, events in group_events(inputs["auth-events"], any_event, ("user_id",)).items()
        for episode in taken_over(events, 10 * MINUTE))
    found["large-order"] = sorted(
        ((event["tenant_id"],), *[event["event_time"]] * 3, 1) for event in inputs["orders"]
        if event["amount"] > 10000)
    everything = [event for topic in inputs for event in inputs[topic]]
    found["unusual-time"] = sorted(
        (group, *episode)
        for group, events in group_events(everything, is_unusual, ()).items()
        for episode in unusual(events))
    return found


def published_episodes(alerts):
    """The same of what was published: the last of each alert, merged ones left out."""
    last = {alert["alert_id"]: alert for alert in alerts}
    valued = {name for name, *_ in COUNTS}
    found = collections.defaultdict(list)
    for alert in last.values():
        if alert.get("merged_into") or alert["type"] == "resolve-anomaly":  # somebody's decision
            continue
        row = ((alert["tenant_id"], *(alert.get("group") or {}).values()), alert["opened_time"],
               alert["last_event_time"], alert["first_event_time"], alert["count"])
        found[alert["type"]].append(row + ((alert["value"],) if alert["type"] in valued else ()))
    return {name: sorted(rows) for name, rows in found.items()}


def differences(inputs, alerts):
    """(sentences about what differs, number of episodes compared)."""
    wrong, compared = [], 0
    published = published_episodes(alerts)
    for name, expected in final_episodes(inputs).items():
        have = collections.Counter(published.get(name, []))
        want = collections.Counter(expected)
        compared += len(expected)
        wrong += [f"{name}: missing {row}" for row in (want - have).elements()]
        wrong += [f"{name}: not expected {row}" for row in (have - want).elements()]
    return wrong, compared
