#!/usr/bin/env python3
"""`weir demo` shows alerts within seconds, ends by itself and leaves nothing behind.

usage: demo.py WEIR
"""
import os
import re
import subprocess
import sys
import tempfile

SECONDS = 15
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("WEIR_")}


def children_of(text):
    """Processes whose command line holds `text`."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/cmdline", encoding="utf-8", errors="replace") as file:
                if name.isdigit() and text in file.read():
                    found.append(name)
        except OSError:
            pass
    return found


def main():
    weir = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([weir, "demo", "--seconds", str(SECONDS), "--rate", "100"],
                              cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, check=False)
        left = os.listdir(folder)
    wrong = []
    address = re.search(r"broker on (127\.0\.0\.1:\d+)", done.stderr)
    if done.returncode != 0:
        wrong.append(f"exit code {done.returncode}")
    if not re.search(r" HIGH +open +tenant-\d+ large-order ", done.stdout):
        wrong.append("no alert of the first attack")
    if address is None or children_of(address[1]):
        wrong.append("processes are left behind")
    if left:
        wrong.append(f"files are left behind: {left}")
    for text in wrong:
        print(text, file=sys.stderr)
    if wrong:
        print(done.stdout, done.stderr, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
