#!/usr/bin/env python3
"""The rules of the house that can be executed.

usage: structure.py CHECK [--compiler CC]      run from the top of the tree

  layers     every include is one that src/LAYERS allows; library headers only in .c files
  headers    every header compiles alone and has a guard named after its path
  functions  no function over 70 lines but those listed below, with their reason
  clocks     no clock is read outside base/clock.c; the engine's rooms name no clock at all
  sleeps     no test in C sleeps
  words      no to-do left, no output of a debugging session
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(".")
SRC = ROOT / "src"

# Which library a header of the system belongs to; others are C and POSIX, allowed everywhere.
LIBRARY_HEADERS = {
    "xxhash": r"xxhash\.h|xxh3\.h",
    "avro": r"avro\.h|avro/.*",
    "jansson": r"jansson.*",
    "curl": r"curl/.*",
    "librdkafka": r"librdkafka/.*",
    "libpq": r"libpq-fe\.h|libpq/.*|postgresql/.*|pg_config.*",
    "microhttpd": r"microhttpd\.h",
    "yaml": r"yaml\.h",
    "zstd": r"zstd.*|zdict\.h",
    "zlib": r"zlib\.h|zconf\.h",
}

FUNCTION_LINES_MAX = 70
# "file:function": why it is better whole.
LONG_FUNCTIONS = {}


def read_layers():
    layers = {}
    for number, line in enumerate((SRC / "LAYERS").read_text().splitlines(), 1):
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        room, colon, rest = line.partition(":")
        rooms, _, libraries = rest.partition("|")
        if not colon:
            sys.exit(f"src/LAYERS:{number}: expected 'room: rooms | libraries'")
        layers[room.strip()] = set(rooms.split()), set(libraries.split())
    return layers


def sources(*folders, pattern="*.[ch]"):
    for folder in folders:
        yield from sorted((ROOT / folder).rglob(pattern))


def includes(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if match:
            yield number, match[1] == '"', match[2]


def library_of(header):
    for library, pattern in LIBRARY_HEADERS.items():
        if re.fullmatch(pattern, header):
            return library
    return None


def check_layers():
    layers = read_layers()
    for folder in SRC.iterdir():
        if folder.is_dir() and folder.name not in layers:
            yield f"{folder}: a room that src/LAYERS does not know"
    for path in sources("src"):
        parts = path.relative_to(SRC).parts
        room = parts[0] if len(parts) > 1 else "cli"
        rooms, libraries = layers[room]
        for number, is_quoted, header in includes(path):
            where = f"{path}:{number}"
            if is_quoted:
                other = header.split("/")[0]
                if "/" not in header or not (SRC / header).exists():
                    yield f"{where}: \"{header}\" is not a path from src/"
                elif other != room and other not in rooms:
                    yield f"{where}: {room} may not include {other}"
                continue
            library = library_of(header)
            if library and library not in libraries:
                yield f"{where}: {room} may not use {library}"
            elif library and path.suffix == ".h":
                yield f"{where}: a library's header in a header"


def check_headers(compiler):
    with tempfile.TemporaryDirectory() as folder:
        for path in sources("src", pattern="*.h"):
            name = str(path.relative_to(SRC))
            guard = re.sub(r"[^A-Z0-9]", "_", name.upper())
            text = path.read_text()
            if not re.match(rf"#ifndef {guard}\n#define {guard}\n", text):
                yield f"{path}:1: the guard is not {guard}"
            if not re.match(r"#ifndef \w+\n#define \w+\n/\*", text):
                yield f"{path}:3: no comment that says what this is"
            unit = pathlib.Path(folder) / "alone.c"
            unit.write_text(f'#include "{name}"\n#include "{name}"\nextern int used;\n')
            done = subprocess.run(
                [compiler, "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-Isrc",
                 "-fsyntax-only", str(unit)], capture_output=True, text=True, check=False)
            if done.returncode:
                yield f"{path}: does not compile alone: {done.stderr.splitlines()[0]}"


def functions(path):
    """(line, name, length) of each function: with our formatting, its body is between a '{' and
    a '}' that stand alone in the first column."""
    lines, start = path.read_text().splitlines(), None
    for number, line in enumerate(lines):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            head = start - 1
            while head > 0 and lines[head - 1] and not re.match(r"[}#/ *]|.*;$", lines[head - 1]):
                head -= 1
            name = re.search(r"(\w+)\s*\(", "\n".join(lines[head:start]))
            yield start, name[1] if name else "?", number - start - 1
            start = None


def check_functions():
    seen = set()
    for path in sources("src", "tests", pattern="*.c"):
        for line, name, length in functions(path):
            key = f"{path}:{name}"
            seen.add(key)
            if length > FUNCTION_LINES_MAX and key not in LONG_FUNCTIONS:
                yield f"{path}:{line}: {name} has {length} lines, {FUNCTION_LINES_MAX} at most"
    for key in LONG_FUNCTIONS:
        if key not in seen:
            yield f"structure.py: {key} is listed as long and is not there"


CLOCK_CALLS = r"\b(clock_gettime|gettimeofday|time|clock|ftime|timespec_get)\s*\((?!void)"
PURE_ROOMS = {"event", "window", "anomaly", "recommend", "engine"}


def code_lines(path):
    text = re.sub(r"/\*.*?\*/", lambda match: "\n" * match[0].count("\n"), path.read_text(),
                  flags=re.S)
    text = re.sub(r'"(?:\\.|[^"\\])*"', '""', text)
    yield from enumerate(text.splitlines(), 1)


def check_clocks():
    for path in sources("src"):
        room = path.relative_to(SRC).parts[0]
        for number, line in code_lines(path):
            if str(path) != "src/base/clock.c" and re.search(CLOCK_CALLS, line):
                yield f"{path}:{number}: reads a clock past base/clock.h: {line.strip()}"
            if room in PURE_ROOMS and re.search(r"\bclock_\w+\(|base/clock\.h", line):
                yield f"{path}:{number}: {room} is told the time, it never looks"


def check_sleeps():
    for path in sources("tests", pattern="*.[ch]"):
        for number, line in code_lines(path):
            if re.search(r"\b(sleep|usleep|nanosleep|clock_nanosleep)\s*\(", line):
                yield f"{path}:{number}: a test that sleeps: {line.strip()}"


def check_words():
    for path in sources("src", "tests"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line):
                yield f"{path}:{number}: {line.strip()}"


def main():
    arguments = argparse.ArgumentParser(description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("check")
    arguments.add_argument("--compiler", default="cc")
    given = arguments.parse_args()
    check = globals()["check_" + given.check]
    found = list(check(given.compiler) if given.check == "headers" else check())
    for finding in found:
        print(finding)
    print(f"{given.check}: {len(found)} findings")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
