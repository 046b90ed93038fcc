#!/usr/bin/env python3
"""What is said about Weir outside its source is true: dashboards, alert rules, manifests.

usage: dashboards.py CHECK [--weir PROGRAM]      run from the top of the tree

  panels   every dashboard is JSON with a uid of its own; its data sources are variables; its
           metrics are those that the source registers (and promtool can read the expressions),
           its SQL uses tables and columns that the migrations make
  queries  the same, asked of PostgreSQL: the migrations are run in a schema of their own and every
           panel's SQL on them; needs WEIR_TEST_POSTGRES and psql
  rules    the metrics of the alert rules are registered; promtool likes the rules
  deploy   the weir.yaml of the ConfigMap, and the package's, are good in the eyes of `weir check`
           for each role that the manifests start; pods are given longer than stop.grace, and a
           system service too; settings of the environment exist; kubectl can build the manifests
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

DASHBOARDS = pathlib.Path("grafana/dashboards")
RULES = pathlib.Path("grafana/prometheus-rules.yaml")
BASE = pathlib.Path("k8s/base")
SKIPPED = 77
PROMETHEUS_OWN = r"process_\w+"
DATASOURCES = {"${DS_PROMETHEUS}": "prometheus", "${DS_POSTGRES}": "grafana-postgresql-datasource"}


def fail(text):
    sys.exit(f"dashboards.py: {text}")


# ---- what the source offers ----------------------------------------------------------------


def metrics_of_source():
    """Names that appear as string literals; a histogram's have its three endings."""
    names = set()
    for path in sorted(pathlib.Path("src").rglob("*.c")):
        text = path.read_text()
        names |= set(re.findall(r'"((?:weir|kafka|process)_[a-z0-9_]+)"', text))
        for name in re.findall(r'(?:METRIC_HISTOGRAM,|metric_histogram\(\s*[\w>.-]+,)\s*"(\w+)"',
                               text):
            names |= {f"{name}_{end}" for end in ("bucket", "sum", "count")}
    return names


def migration_scripts():
    """The scripts in their order: the string literals of each row of the table, joined."""
    text = pathlib.Path("src/sink/postgres_migration.c").read_text()
    columns = "".join(re.findall(r'"([^"]*)"', re.search(
        r"#define LOG_COLUMNS(.*?)\n\n", text, re.S)[1]))
    table = re.search(r"migrations\[\] = \{\n(.*?)\n\};", text, re.S)[1]
    table = table.replace("LOG_COLUMNS", f'"{columns}"')
    scripts = []
    for row in re.findall(r"^    \{(.*?)\}[,\n]*(?=^    \{|\Z)", table + "\n", re.S | re.M):
        literals = re.findall(r'"((?:\\.|[^"\\])*)"', row)
        scripts.append("".join(literals[1:]).replace('\\"', '"'))
    return scripts


def tables_of_migrations():
    tables = {}
    for script in migration_scripts():
        for name, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\)(?=;|$)", script, re.S):
            parts = re.split(r",(?![^(]*\))", body)
            names = [re.match(r'\s*"?(\w+)', part)[1] for part in parts]
            tables[name] = {column for column in names if column not in ("PRIMARY", "UNIQUE")}
    return tables


# ---- what the dashboards ask ---------------------------------------------------------------


def dashboards():
    found = sorted(DASHBOARDS.glob("*.json"))
    if len(found) < 3:
        fail(f"only {len(found)} dashboards in {DASHBOARDS}")
    for path in found:
        try:
            yield path, json.loads(path.read_text())
        except json.JSONDecodeError as error:
            fail(f"{path}: not JSON: {error}")


def panels(board):
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", [])


def targets(board):
    for panel in panels(board):
        for target in panel.get("targets", []):
            yield panel, target


def metrics_of_expression(expression):
    text = re.sub(r'"[^"]*"', '""', expression)
    text = re.sub(r"\{[^}]*\}", "", text)
    text = re.sub(r"\b(by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)", "", text)
    return set(re.findall(r"\b(?:[a-z]+_)+[a-z0-9]+\b(?!\s*\()", text)) - {"__rate_interval"}


SQL_WORDS = set("""select from where and or not in is null as group order by limit desc asc count
distinct filter between like case when then else end on join left inner true false interval
float8 text bigint""".split())


def columns_of_query(sql):
    """Names that are neither words of SQL, functions, tables, nor given with AS."""
    text = re.sub(r"\$\{\w+(:\w+)?\}", " ", sql)
    text = re.sub(r"\$__interval\b", " ", text)
    text = re.sub(r"'[^']*'", " ", text)
    given = {name.lower() for name in re.findall(r"\bAS\s+(\w+)", text, re.I)}
    tables = set(re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", text))
    quoted = set(re.findall(r'"(\w+)"', text))
    text = re.sub(r'"\w+"', " ", text)
    text = re.sub(r"\$?\b\w+\s*(?=\()", lambda call: " " + (
        call[0] if call[0].strip().lower() in SQL_WORDS else ""), text)
    names = set(re.findall(r"\b[a-z_]\w*\b", text, re.I))
    names = {name for name in names if name.lower() not in SQL_WORDS}
    return tables, (names - tables - given) | quoted


def check_board(path, board, metrics, tables):
    ids = [panel["id"] for panel in panels(board)]
    if len(ids) != len(set(ids)):
        yield f"{path}: two panels have one id"
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    for uid, kind in DATASOURCES.items():
        variable = variables.get(uid[2:-1], {})
        if uid in json.dumps(board) and (variable.get("type"), variable.get("query")) != (
                "datasource", kind):
            yield f"{path}: no variable for the data source {uid}"
    for name in re.findall(r"\$\{?([a-z]\w*)", json.dumps(board)):
        if name not in variables:
            yield f"{path}: there is no variable {name}"
    for panel, target in targets(board):
        where = f"{path}: {panel['title']}"
        kind = DATASOURCES.get(target["datasource"]["uid"])
        if kind != target["datasource"]["type"] or panel["datasource"] != target["datasource"]:
            yield f"{where}: its data source is not a variable"
        elif kind == "prometheus":
            names = metrics_of_expression(target["expr"])
            if not names:
                yield f"{where}: asks for no metric"
            for name in sorted(names - metrics):
                yield f"{where}: nothing registers {name}"
        else:
            used, columns = columns_of_query(target["rawSql"])
            if not used or used - set(tables):
                yield f"{where}: no migration makes its tables {sorted(used - set(tables))}"
                continue
            known = set().union(*(tables[table] for table in used))
            for column in sorted(columns - known):
                yield f"{where}: {' and '.join(sorted(used))} have no column {column}"


def check_expressions():
    """promtool knows no dashboards: the expressions are shown to it as recording rules."""
    with tempfile.TemporaryDirectory() as folder:
        for path, board in dashboards():
            rules = []
            for _, target in targets(board):
                text = re.sub(r"\$__\w+", "5m", target.get("expr", ""))
                text = re.sub(r"\$\w+", "x", text)
                if text:
                    rules.append({"record": f"panel:{len(rules)}", "expr": text})
            file = pathlib.Path(folder) / path.name
            file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
            done = subprocess.run(["promtool", "check", "rules", str(file)], text=True,
                                  capture_output=True, check=False)
            if done.returncode:
                yield f"{path}: {done.stdout}{done.stderr}"


def check_panels(_):
    metrics, tables, uids = metrics_of_source(), tables_of_migrations(), {}
    if "log_offset" not in tables["alerts"] or "weir_commit_seconds_bucket" not in metrics:
        yield "dashboards.py no longer understands the source that it reads"
    for path, board in dashboards():
        if uids.setdefault(board.get("uid"), path) != path or not board.get("uid"):
            yield f"{path}: its uid is that of {uids[board.get('uid')]}, or it has none"
        yield from check_board(path, board, metrics, tables)
        for variable in board["templating"]["list"]:
            for name in re.findall(r"label_values\((\w+)", str(variable.get("query"))):
                if name not in metrics:
                    yield f"{path}: variable {variable['name']}: nothing registers {name}"
    if shutil.which("promtool"):
        yield from check_expressions()


def runnable(sql):
    """What Grafana would send: macros and variables replaced."""
    sql = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 BETWEEN now() - interval '1h' AND now()", sql)
    sql = re.sub(r"\$__timeGroupAlias\((\w+), \$__interval\)",
                 r'floor(extract(epoch from \1) / 60) * 60 AS "time"', sql)
    return re.sub(r"\$\{\w+:sqlstring\}", "''", sql)


def check_queries(_):
    address = os.environ.get("WEIR_TEST_POSTGRES")
    if not address or not shutil.which("psql"):
        print("skipped: WEIR_TEST_POSTGRES not set, or no psql")
        sys.exit(SKIPPED)
    schema = f"dashboards_{os.getpid()}"
    head = [f"CREATE SCHEMA {schema}", f"SET search_path = {schema}", *migration_scripts()]
    asked = [(f"{path}: {panel['title']}", runnable(target["rawSql"]))
             for path, board in dashboards() for panel, target in targets(board)
             if "rawSql" in target]
    lines = ["\\set ON_ERROR_STOP on", "BEGIN", *head]
    lines += [f"\\echo {number}\n{sql}" for number, (_, sql) in enumerate(asked)]
    script = "\n;\n".join(lines).replace("on\n;", "on") + "\n;\nROLLBACK;\n"
    done = subprocess.run(["psql", "-XAtq", address], input=script, text=True,
                          capture_output=True, check=False)
    if done.returncode:
        numbers = re.findall(r"^(\d+)$", done.stdout, re.M)
        where = asked[int(numbers[-1])][0] if numbers else "migrations"
        yield f"{where}: {done.stderr.strip()}"


# ---- alert rules ---------------------------------------------------------------------------


def check_rules(_):
    metrics = metrics_of_source()
    text = RULES.read_text()
    blocks = re.findall(r"^( +)expr: *(?:>-)?(.*?)(?=^\1\w)", text, re.S | re.M)
    alerts = re.findall(r"- alert: (\w+)", text)
    if len(blocks) != len(alerts) or len(set(alerts)) != len(alerts):
        yield f"{RULES}: {len(alerts)} alerts, {len(set(alerts))} names, {len(blocks)} expressions"
    for _, expression in blocks:
        names = metrics_of_expression(expression)
        for name in sorted(names - metrics):
            yield f"{RULES}: nothing registers {name}"
        if not names:
            yield f"{RULES}: no metric in {expression.strip()}"
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "rules", str(RULES)], text=True,
                              capture_output=True, check=False)
        if done.returncode:
            yield done.stdout + done.stderr


# ---- manifests and package -----------------------------------------------------------------


def milliseconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * {"ms": 1, "s": 1000, "m": 60000, "h": 3600000}[unit]


def configuration_of_manifest():
    text = (BASE / "configmap.yaml").read_text()
    block = re.search(r"^  weir\.yaml: \|\n((?:    .*\n|\n)+)", text, re.M)[1]
    return re.sub(r"^    ", "", block, flags=re.M)


def check_configuration(program, name, text, role):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WEIR_")}
    environment |= {"WEIR_POSTGRES_URL": "postgresql://weir@db/weir",
                    "SLACK_WEBHOOK_URL": "https://hooks.example.com/services/x"}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "weir.yaml"
        path.write_text(text)
        done = subprocess.run([program, "check", "--config", str(path), "--roles", role],
                              env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        yield f"{name}, role {role}: {done.stdout}{done.stderr}"


def check_manifests(program):
    configuration = configuration_of_manifest()
    reference = pathlib.Path("config/reference.md").read_text()
    grace = re.search(r"^stop\.grace: (\w+)", configuration, re.M)[1]
    roles = []
    for path in sorted(BASE.glob("*.yaml")):
        text = path.read_text()
        if "\t" in text or re.search(r"[ ]$", text, re.M):
            yield f"{path}: tabs, or blanks at the end of a line"
        roles += re.findall(r"--roles, (\w+)\]", text)
        for seconds in re.findall(r"terminationGracePeriodSeconds: (\d+)", text):
            if int(seconds) * 1000 <= milliseconds(grace):
                yield f"{path}: pods are killed before stop.grace, {grace}, is over"
        for name in re.findall(r"- name: ([A-Z][A-Z_]+)", text):
            if f"`{name}`" not in reference:
                yield f"{path}: no setting is read from {name}"
    if sorted(roles) != ["notify", "postgres", "processor"]:
        yield f"{BASE}: the manifests start {sorted(roles)}"
    listed = re.findall(r"^  - (\S+\.yaml)$", (BASE / "kustomization.yaml").read_text(), re.M)
    there = {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}
    if set(listed) != there:
        yield f"{BASE}/kustomization.yaml: lists {sorted(listed)}, there are {sorted(there)}"
    for role in roles:
        yield from check_configuration(program, "the ConfigMap", configuration, role)


def check_deploy(program):
    if not program:
        fail("deploy needs --weir PROGRAM")
    yield from check_manifests(program)
    yield from check_configuration(program, "the package's weir.yaml",
                                   pathlib.Path("config/weir.yaml").read_text(), "processor")
    unit = pathlib.Path("cmake/debian/weir.service").read_text()
    reference = pathlib.Path("config/reference.md").read_text()
    preset = re.search(r"^\| `stop\.grace` \| duration \| `(\w+)`", reference, re.M)[1]
    if milliseconds(re.search(r"^TimeoutStopSec=(\w+)", unit, re.M)[1]) <= milliseconds(preset):
        yield f"weir.service: killed before stop.grace, {preset}, is over"
    if shutil.which("kubectl"):
        done = subprocess.run(["kubectl", "kustomize", str(BASE)], text=True, capture_output=True,
                              check=False)
        if done.returncode:
            yield f"{BASE}: {done.stderr.strip()}"


def main():
    arguments = argparse.ArgumentParser(description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("check", choices=["panels", "queries", "rules", "deploy"])
    arguments.add_argument("--weir")
    given = arguments.parse_args()
    found = list(globals()["check_" + given.check](given.weir))
    for finding in found:
        print(finding)
    print(f"{given.check}: {len(found)} findings")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
