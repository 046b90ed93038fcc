#!/usr/bin/env python3
"""Runs `weir replay` over the recorded events of $WEIR_DATA and compares the final alert
episodes with the expected ones beside them, field by field: in the order of the file,
shuffled from end to end, and in arrival order shuffled inside the lateness in several ways.

usage: replay_check.py WEIR [NAME...]     NAME: auth-openssh, ...; all when none is given
"""
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile

LATENESS_MS = 60000
FIELDS = ("opened_time", "last_event_time", "first_event_time", "count", "value")


def final_episodes(output, rules):
    """The last line of each alert, without those that were merged away, by rule."""
    last = {}
    for line in output.splitlines():
        result = json.loads(line)
        if result["topic"] == "alerts":
            last[result["value"]["alert_id"]] = result["value"]
    episodes = {rule: [] for rule in rules}
    for alert in last.values():
        if alert["type"] in episodes and not alert.get("merged_into"):
            assert alert["status"] in ("closed", "open"), alert
            episodes[alert["type"]].append(alert)
    return episodes


def as_row(episode, group, fields):
    return (tuple(group),) + tuple((name, episode.get(name)) for name in fields)


def differences(found, expected):
    """Sentences about what is missing and what is too much; empty when all is equal."""
    wrong = []
    for rule, episodes in expected.items():
        fields = [name for name in FIELDS if not episodes or name in episodes[0]]
        want = sorted(as_row(e, e["group"], fields) for e in episodes)
        have = sorted(
            as_row(e, [e["tenant_id"]] + list((e.get("group") or {}).values()), fields)
            for e in found[rule])
        wrong += [f"{rule}: missing {row}" for row in want if row not in have]
        wrong += [f"{rule}: unexpected {row}" for row in have if row not in want]
        if len(want) != len(have):
            wrong.append(f"{rule}: {len(have)} episodes, expected {len(want)}")
    return wrong


def shuffled_wholly(lines):
    result = list(lines)
    random.Random(9).shuffle(result)
    return result


def shuffled(lines, seed):
    """Displaced by at most the lateness: no event comes after one that is newer by more."""
    chance = random.Random(seed)
    times = [json.loads(line)["event_time"] for line in lines]
    keys = [(time + chance.randint(0, LATENESS_MS), chance.random()) for time in times]
    return [lines[i] for i in sorted(range(len(lines)), key=lambda i: keys[i])]


def reversed_blocks(lines):
    """The worst order allowed: each lateness' worth of events backwards."""
    result, block, start = [], [], None
    for line in lines:
        time = json.loads(line)["event_time"]
        if start is not None and time - start > LATENESS_MS:
            result += reversed(block)
            block, start = [], None
        start = time if start is None else start
        block.append(line)
    return result + list(reversed(block))


def run(weir, topic, path, arguments):
    done = subprocess.run(
        [weir, "replay", "--input", f"{topic}={path}", "--enable", "rapid-orders"] + arguments,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
    if done.returncode != 0:
        sys.exit(f"weir replay ended with {done.returncode}:\n{done.stderr}")
    return done.stdout, done.stderr


def check(weir, data, name, scratch):
    with open(os.path.join(data, f"episodes-{name}.json"), encoding="utf-8") as file:
        document = json.load(file)
    path = os.path.join(data, document["file"])
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = file.read().splitlines()
    arrival = ["--arrival"]
    orders = [("as it stands", None, []), ("in any order", shuffled_wholly(lines), []),
              ("reversed", reversed_blocks(lines), arrival)]
    orders += [(f"shuffled with seed {seed}", shuffled(lines, seed), arrival)
               for seed in range(1, 5)]
    failed = 0
    for what, order, arguments in orders:
        source = path
        if order is not None:
            source = os.path.join(scratch, name + ".jsonl")
            with open(source, "w", encoding="utf-8") as file:
                file.write("\n".join(order) + "\n")
        output, errors = run(weir, document["kind"], source, arguments)
        wrong = differences(final_episodes(output, document["rules"]), document["rules"])
        if ", late 0," not in errors:
            wrong.append("some events counted as late: " + errors.splitlines()[-2])
        print(f"{'ok  ' if not wrong else 'FAIL'} {name}, {what}")
        for sentence in wrong[:10]:
            print("     " + sentence)
        failed += bool(wrong)
    return failed


def main():
    data = os.environ.get("WEIR_DATA")
    if not data:
        print("skipped: WEIR_DATA not set")
        return 77
    weir, names = sys.argv[1], sys.argv[2:]
    if not names:
        names = sorted(file[len("episodes-"):-len(".json")] for file in os.listdir(data)
                       if file.startswith("episodes-"))
    if not names:
        sys.exit(f"{data}: no episodes-*.json")
    with tempfile.TemporaryDirectory() as scratch:
        failed = sum(check(weir, data, name, scratch) for name in names)
    print(f"{failed} failed" if failed else "all equal")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
