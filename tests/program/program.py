#!/usr/bin/env python3
"""Runs the program as a user does, and compares what it says, word for word.

usage: program.py WEIR FILE...

A file begins with what it shows, then has parts, each after a line `--- NAME`:

  --- command     the words after `weir`, one line; further lines NAME=VALUE: environment
  --- out         all of standard output; missing: not compared
  --- err         all of standard error; missing: not compared
  --- exit        the exit code; 0 when the part is missing
  --- FILE        any other name: a file in the folder where the program runs
"""
import os
import shlex
import subprocess
import sys
import tempfile

WORDS = ("command", "out", "err", "exit")


def read_parts(path):
    parts, name = {}, None
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            if line.startswith("--- "):
                name = line[4:].strip()
                assert name not in parts, f"{path}: {name} twice"
                parts[name] = ""
            elif name is not None:
                parts[name] += line
    return parts


def run(weir, path):
    parts = read_parts(path)
    command, *variables = parts["command"].splitlines()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WEIR_")}
    environment.update(line.split("=", 1) for line in variables if line)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in parts.items():
            if name not in WORDS:
                full = os.path.join(folder, name)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "w", encoding="utf-8", newline="\n") as file:
                    file.write(text)
        done = subprocess.run([weir, *shlex.split(command)], cwd=folder, env=environment,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False)
    wrong = []
    for name, found in (("out", done.stdout), ("err", done.stderr)):
        if name in parts and found != parts[name]:
            wrong.append(f"{name}: expected\n{parts[name]}found\n{found}")
    code = int(parts.get("exit", "0"))
    if done.returncode != code:
        wrong.append(f"exit: expected {code}, found {done.returncode}; it said\n{done.stderr}")
    return wrong


def main():
    weir = os.path.abspath(sys.argv[1])
    failed = False
    for path in sys.argv[2:]:
        for text in run(weir, path):
            failed = True
            print(f"{path}: {text}", file=sys.stderr)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
