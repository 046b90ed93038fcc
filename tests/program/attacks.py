#!/usr/bin/env python3
"""Every labelled attack is found by the rules that its label names, and by no others.

usage: attacks.py WEIR

Synthetic tenants for several seeds go through `weir replay` with the default rules. An
alert that no label explains is a false one. The rules of whole tenants (failed-auth,
high-api-rate) may also see two attacks on one tenant as one, and are held to finding.
"""
import json
import os
import subprocess
import sys
import tempfile

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("WEIR_")}
INPUTS = ("orders", "auth-events", "api-calls")
SEEDS = (1, 2, 3)
TAIL_MS = 10 * 60 * 1000  # an ordinary event may complete what an attack began


def generate(weir, folder, seed):
    labels = f"{folder}/labels.jsonl"
    subprocess.run([weir, "generate", "--output", f"{folder}/", "--labels", labels,
                    "--seed", str(seed), "--duration", "26h", "--rate", "1", "--tenants", "40",
                    "--attack-every", "10m"], check=True, capture_output=True,
                   cwd=folder, env=ENVIRONMENT)
    with open(labels, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def replay(weir, folder):
    inputs = [word for topic in INPUTS for word in ("--input", f"{topic}={folder}/{topic}.jsonl")]
    done = subprocess.run([weir, "replay", *inputs], check=True, capture_output=True, text=True,
                          cwd=folder, env=ENVIRONMENT)
    final = {}
    for line in done.stdout.splitlines():
        result = json.loads(line)
        if result["topic"] == "alerts":
            final[result["value"]["alert_id"]] = result["value"]
    return [alert for alert in final.values() if "merged_into" not in alert]


def explains(label, alert):
    group = alert.get("group", {})
    rules = label["rules"]
    if label["attack"] == "brute-force":
        rules = rules + ["account-takeover"]  # when the victim himself signs in soon after
    return (label["tenant_id"] == alert["tenant_id"] and alert["type"] in rules
            and alert["opened_time"] <= label["end_time"] + TAIL_MS
            and alert["last_event_time"] >= label["start_time"]
            and all(label.get(name, value) == value for name, value in group.items()))


def main():
    weir = os.path.abspath(sys.argv[1])
    missed, false, kinds, rules = [], [], set(), set()
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            labels = generate(weir, folder, seed)
            alerts = replay(weir, folder)
        for label in labels:
            kinds.add(label["attack"])
            for rule in label["rules"] if label["is_complete"] else ():
                found = [a for a in alerts if a["type"] == rule and explains(label, a)]
                rules.add(rule)
                if not found:
                    missed.append((seed, rule, label))
        false += [(seed, a) for a in alerts if not any(explains(l, a) for l in labels)]
    print(f"{len(kinds)} kinds of attack, {len(rules)} rules; "
          f"{len(missed)} missed, {len(false)} false")
    for what, rows in (("missed", missed), ("false", false)):
        for row in rows[:5]:
            print(what, *row, file=sys.stderr)
    if missed or false or len(kinds) < 8:
        sys.exit(1)


if __name__ == "__main__":
    main()
