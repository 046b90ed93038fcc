#!/usr/bin/env python3
"""Runs scenarios: events in, results out, as text.

usage: scenario.py WEIR FILE...

A file begins with what it shows, then has parts, each after a line `--- NAME`:

  --- command            the words after `weir replay`, one line
  --- orders.jsonl       any other name: a file, written beside the others
  --- alerts             every line of that result topic, in order; an object here must be
  --- command-results    contained in the object there (value only). null: has no such field
  --- audit, recommendations, batch-jobs, analytics: the same
  --- episodes           the last line of each alert without merged_into, in any order
  --- errors             each line is contained in some line of standard error
  --- exit               the exit code; 0 when the part is missing
"""
import json
import os
import subprocess
import sys
import tempfile

TOPICS = ("alerts", "command-results", "audit", "recommendations", "batch-jobs", "analytics")
WORDS = TOPICS + ("command", "episodes", "errors", "exit")


def read_parts(path):
    parts, name = {}, None
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            if line.startswith("--- "):
                name = line[4:].strip()
                assert name not in parts, f"{path}: {name} twice"
                parts[name] = []
            elif name is not None:
                parts[name].append(line)
    return parts


def contains(whole, part):
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            whole.get(key) is None if value is None else key in whole and contains(whole[key], value)
            for key, value in part.items())
    if isinstance(part, list):
        return (isinstance(whole, list) and len(whole) == len(part)
                and all(contains(w, p) for w, p in zip(whole, part)))
    return whole == part


def expected_objects(parts, name):
    return [json.loads(line) for line in parts[name] if line.strip()]


def compare_in_order(name, found, wanted, wrong):
    for i in range(max(len(found), len(wanted))):
        if i >= len(wanted):
            wrong.append(f"{name}: one too many: {json.dumps(found[i])}")
        elif i >= len(found):
            wrong.append(f"{name}: missing {json.dumps(wanted[i])}")
        elif not contains(found[i], wanted[i]):
            wrong.append(f"{name}: {json.dumps(found[i])}\n      is not {json.dumps(wanted[i])}")


def compare_in_any_order(name, found, wanted, wrong):
    left = list(found)
    for want in wanted:
        match = next((one for one in left if contains(one, want)), None)
        if match is None:
            wrong.append(f"{name}: missing {json.dumps(want)}")
        else:
            left.remove(match)
    wrong += [f"{name}: one too many: {json.dumps(one)}" for one in left]


def run(weir, path):
    parts, wrong = read_parts(path), []
    with tempfile.TemporaryDirectory() as folder:
        for name, lines in parts.items():
            if name not in WORDS:
                with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                    file.writelines(lines)
        words = "".join(parts["command"]).split()
        done = subprocess.run([weir, "replay"] + words, cwd=folder, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=120)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    for topic in TOPICS:
        if topic in parts:
            found = [r["value"] for r in results if r["topic"] == topic]
            compare_in_order(topic, found, expected_objects(parts, topic), wrong)
    if "episodes" in parts:
        last = {r["value"]["alert_id"]: r["value"] for r in results if r["topic"] == "alerts"}
        found = [alert for alert in last.values() if not alert.get("merged_into")]
        compare_in_any_order("episodes", found, expected_objects(parts, "episodes"), wrong)
    for line in parts.get("errors", []):
        if line.strip() and line.strip() not in done.stderr:
            wrong.append(f"standard error has no: {line.strip()}\n{done.stderr}")
    code = int("".join(parts.get("exit", ["0"])))
    if done.returncode != code:
        wrong.append(f"exit code {done.returncode}, expected {code}\n{done.stderr}")
    return wrong


def main():
    failed = 0
    for path in sys.argv[2:]:
        wrong = run(sys.argv[1], path)
        print(f"{'FAIL' if wrong else 'ok  '} {os.path.basename(path)}")
        for sentence in wrong:
            print("    " + sentence)
        failed += bool(wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
