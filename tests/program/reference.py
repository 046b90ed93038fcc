#!/usr/bin/env python3
"""What is committed is what the program says: config/reference.md, config/weir.yaml.

usage: reference.py WEIR     run from the top of the tree
"""
import os
import pathlib
import subprocess
import sys

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("WEIR_")}


def output(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True,
                          env=ENVIRONMENT).stdout


def main():
    weir = sys.argv[1]
    wrong = []
    for words, path in ((("config",), "config/reference.md"),
                        (("config", "--example"), "config/weir.yaml")):
        if output(weir, *words) != pathlib.Path(path).read_text(encoding="utf-8"):
            wrong.append(f"{path} is not current: weir {' '.join(words)} > {path}")
    output(weir, "check", "--config", "config/weir.yaml")
    for text in wrong:
        print(text, file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
