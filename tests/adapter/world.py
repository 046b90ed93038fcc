"""What the end-to-end tests stand on: the program under test, the real services around it, and
stand-ins for Slack, SendGrid and a mail server that write down what arrives.

The services are those that tests/support/services started; their addresses are in WEIR_TEST_KAFKA,
WEIR_TEST_REGISTRY and WEIR_TEST_POSTGRES. Nothing here waits a fixed time: everything is asked
again until a deadline.
"""
import contextlib
import http.server
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
WEIR = os.environ.get("WEIR_BINARY", str(ROOT / "build" / "weir"))
KAFKA = os.environ.get("WEIR_TEST_KAFKA", "")
KAFKA_SERVICE = os.environ.get("WEIR_TEST_KAFKA_SERVICE", "kafka")
REGISTRY = os.environ.get("WEIR_TEST_REGISTRY", "")
POSTGRES = os.environ.get("WEIR_TEST_POSTGRES", "")
PATIENCE = float(os.environ.get("WEIR_TEST_PATIENCE", "60"))

INPUTS = ("orders", "auth-events", "api-calls", "interactions", "outcomes",
          "recommendation-requests")


def wait_until(question, what, seconds=None):
    """The first true answer to question(); fails the test at the deadline."""
    deadline = time.monotonic() + (seconds or PATIENCE)
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds or PATIENCE:.0f} s")
        time.sleep(0.1)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def services(*words):
    subprocess.run([str(ROOT / "tests/support/services"), *words], check=True,
                   stdout=subprocess.DEVNULL)


def services_folder():
    return pathlib.Path(os.environ.get("WEIR_SERVICES", ROOT / "build" / "services"))


def services_env():
    """What `services env` says, by name."""
    lines = subprocess.run([str(ROOT / "tests/support/services"), "env"], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    pairs = (shlex.split(line)[1].partition("=") for line in lines)
    return {name: value for name, _, value in pairs}


def alter_topic(topic, setting):
    """By Kafka's own tool, out of the broker's jars."""
    libraries = pathlib.Path(os.environ.get("WEIR_LIBRARIES", ROOT / "build" / "libraries"))
    version = (services_folder() / KAFKA_SERVICE / "version").read_text().strip()
    subprocess.run(["java", "-XX:TieredStopAtLevel=1", "-cp", f"{libraries}/kafka-{version}/*",
                    "kafka.admin.ConfigCommand", "--bootstrap-server", KAFKA, "--alter",
                    "--entity-type", "topics", "--entity-name", topic, "--add-config", setting],
                   check=True, capture_output=True, timeout=60)


# ---------------------------------------------------------------- Kafka, by kcat


def kcat(*words, data=None, timeout=60):
    done = subprocess.run(["kcat", "-b", KAFKA, *words], input=data, capture_output=True,
                          timeout=timeout, check=False)
    if done.returncode:
        raise AssertionError(f"kcat {' '.join(words)}: {done.stderr.decode(errors='replace')}")
    return done.stdout


END = b"~~end~~"


def produce(topic, messages, partitioner="murmur2_random", timeout=5 * PATIENCE):
    """Messages of any bytes, (key, bytes) each, in their order, whatever the broker goes through;
    waits for one that is away."""
    data = b"".join(key.encode() + b"\t" + message + END for key, message in messages)
    kcat("-P", "-E", "-t", topic, "-K", "\t", "-D", END.decode(), "-q",
         "-X", f"partitioner={partitioner}", "-X", "enable.idempotence=true",
         "-X", "message.timeout.ms=0", data=data, timeout=timeout)


def produce_lines(topic, events, partitioner="murmur2_random"):
    """JSON events, keyed by tenant."""
    produce(topic, [(event["tenant_id"], json.dumps(event, separators=(",", ":")).encode())
                    for event in events], partitioner)


def produce_bytes(topic, key, message, partition=None, *more):
    """One message of any bytes."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(message)
        file.flush()
        where = ["-p", str(partition)] if partition is not None else []
        kcat("-P", "-t", topic, "-k", key, *where, "-X", "partitioner=murmur2_random", "-q",
             *more, file.name)


def produce_packed(topic, key, message, partition=None):
    """One message that only compression brings under the broker's limit."""
    produce_bytes(topic, key, message, partition, "-z", "gzip", "-X", "message.max.bytes=100000000")


def consume(topic, with_headers=False):
    """All committed records of a topic: (key, value, headers), partition by partition."""
    shape = "%k\\x1f%S\\x1f%h\\x1f%s\\n"
    out = kcat("-C", "-t", topic, "-e", "-q", "-o", "beginning", "-f", shape,
               "-X", "isolation.level=read_committed")
    records = []
    at = 0
    while at < len(out):
        fields = []
        for _ in range(3):  # never out[at:]: that copies all the rest for each record
            end = out.index(b"\x1f", at)
            fields.append(out[at:end])
            at = end + 1
        (key, size, headers), start = fields, at
        value = out[start:start + max(int(size), 0)]
        at = start + len(value) + 1
        fields = dict(pair.split("=", 1) for pair in headers.decode(errors="replace").split(",")
                      if "=" in pair)
        records.append((key.decode(errors="replace"), value, fields))
    return records if with_headers else [(key, value) for key, value, _ in records]


def consume_json(topic):
    return [json.loads(value) for _, value in consume(topic)]


# ---------------------------------------------------------------- Avro, just enough


def avro_long(value):
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def avro_encode(schema, value):
    """Avro binary encoding (specification 1.11) of a JSON-like value."""
    if isinstance(schema, list):
        index = next(i for i, branch in enumerate(schema)
                     if (branch == "null") == (value is None))
        return avro_long(index) + avro_encode(schema[index], value)
    kind = schema["type"] if isinstance(schema, dict) else schema
    if isinstance(kind, (dict, list)):
        return avro_encode(kind, value)
    if kind == "null":
        return b""
    if kind == "record":
        return b"".join(avro_encode(field["type"], value.get(field["name"]))
                        for field in schema["fields"])
    if kind == "array":
        items = b"".join(avro_encode(schema["items"], item) for item in value)
        return (avro_long(len(value)) + items if value else b"") + avro_long(0)
    if kind == "map":
        items = b"".join(avro_encode("string", name) + avro_encode(schema["values"], item)
                         for name, item in value.items())
        return (avro_long(len(value)) + items if value else b"") + avro_long(0)
    if kind == "enum":
        return avro_long(schema["symbols"].index(value))
    if kind in ("string", "bytes"):
        raw = value.encode() if isinstance(value, str) else value
        return avro_long(len(raw)) + raw
    if kind in ("long", "int"):
        return avro_long(int(value))
    if kind == "double":
        return struct.pack("<d", value)
    if kind == "float":
        return struct.pack("<f", value)
    if kind == "boolean":
        return bytes([bool(value)])
    raise ValueError(f"no such Avro type: {kind}")


def schema_of(name):
    return json.loads((ROOT / "schemas" / f"{name}.avsc").read_text())


def canonical(schema):
    """Parsing canonical form (specification 1.11)."""
    if isinstance(schema, list):
        return "[" + ",".join(canonical(branch) for branch in schema) + "]"
    if isinstance(schema, str):
        return json.dumps(schema)
    kind = schema["type"]
    if kind in ("record", "enum", "fixed"):
        name = schema["name"]
        if "." not in name and canonical.namespace:
            name = f"{canonical.namespace}.{name}"
        out = f'{{"name":{json.dumps(name)},"type":"{kind}"'
        if kind == "record":
            out += ',"fields":[' + ",".join(
                f'{{"name":{json.dumps(field["name"])},"type":{canonical(field["type"])}}}'
                for field in schema["fields"]) + "]"
        if kind == "enum":
            out += ',"symbols":' + json.dumps(schema["symbols"], separators=(",", ":"))
        return out + "}"
    if kind == "array":
        return f'{{"type":"array","items":{canonical(schema["items"])}}}'
    if kind == "map":
        return f'{{"type":"map","values":{canonical(schema["values"])}}}'
    return canonical(kind)


def fingerprint(schema):
    """CRC-64-AVRO of the canonical form, as 8 little-endian bytes."""
    canonical.namespace = schema.get("namespace")
    empty = 0xC15D213AA4D7A795
    table = []
    for i in range(256):
        crc = i
        for _ in range(8):
            crc = (crc >> 1) ^ (empty if crc & 1 else 0)
        table.append(crc)
    crc = empty
    for byte in canonical(schema).encode():
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return struct.pack("<Q", crc)


def single_object(name, event):
    schema = schema_of(name)
    return b"\xc3\x01" + fingerprint(schema) + avro_encode(schema, event)


def register_schema(subject, schema):
    body = json.dumps({"schema": json.dumps(schema)}).encode()
    request = urllib.request.Request(
        f"{REGISTRY}/subjects/{subject}/versions", body,
        {"Content-Type": "application/vnd.schemaregistry.v1+json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["id"]


def confluent(schema_id, schema, event):
    return b"\x00" + struct.pack(">I", schema_id) + avro_encode(schema, event)


# ---------------------------------------------------------------- PostgreSQL, by psql


def sql(query, url=None):
    """Rows of a query, as lists of text."""
    done = subprocess.run(["psql", url or POSTGRES, "-X", "-q", "-A", "-t", "-F", "\x1f", "-c",
                           query], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise AssertionError(f"psql: {done.stderr}")
    return [line.split("\x1f") for line in done.stdout.splitlines()]


# ---------------------------------------------------------------- those who are told


class Recorder:
    """An HTTP server that writes down every request and answers as it is told."""

    def __init__(self, status=200):
        self.requests, self.status, self.headers = [], status, {}
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                recorder.requests.append((self.path, dict(self.headers), body, recorder.status))
                self.send_response(recorder.status)
                for name, value in recorder.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def accepted(self):
        return [json.loads(body) for _, _, body, status in self.requests if status < 300]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class MailRecorder:
    """A mail server that writes down every message."""

    def __init__(self):
        from aiosmtpd.controller import Controller
        self.messages = []

        class Handler:
            async def handle_DATA(handler, _server, _session, envelope):
                self.messages.append((envelope.mail_from, envelope.rcpt_tos,
                                      envelope.content.decode("utf-8", "replace")))
                return "250 taken"

        self.port = free_port()
        self.controller = Controller(Handler(), hostname="127.0.0.1", port=self.port)
        self.controller.start()
        self.url = f"smtp://127.0.0.1:{self.port}"

    def close(self):
        self.controller.stop()


# ---------------------------------------------------------------- the program


class Process:
    """A running `weir run`, its log in a file."""

    def __init__(self, folder, config, environment=None, name="weir"):
        self.folder, self.name = pathlib.Path(folder), name
        self.config = self.folder / f"{name}.yaml"
        self.config.write_text(config)
        self.log_path = self.folder / f"{name}.log"
        self.http = re.search(r"listen: *(\S+)", config)[1]
        self.environment = {**os.environ, **(environment or {})}
        self.process = None
        self.start()

    def start(self):
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen([WEIR, "run", "--config", str(self.config)],
                                        stdout=log, stderr=log, env=self.environment)
        log.close()

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_ready(self, seconds=None):
        def is_ready():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended:\n{self.log()[-3000:]}")
            return self.get("/readyz")[0] == 200
        wait_until(is_ready, f"{self.name} ready", seconds)

    def metric(self, name, labels=""):
        """Sum of a metric over the lines whose labels contain a text."""
        total = 0.0
        for line in self.get("/metrics")[1].splitlines():
            match = re.match(rf"{name}(\{{[^}}]*\}})? (\S+)", line)
            if match and labels in (match[1] or ""):
                total += float(match[2])
        return total

    def log(self):
        return self.log_path.read_text(errors="replace")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Asks to stop; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} does not stop:\n{self.log()[-3000:]}") from None


class WorldTest(unittest.TestCase):
    """A topic prefix, a database and a folder of its own for each test."""

    maxDiff = 4000
    partitions = 4

    def setUp(self):
        if not KAFKA:
            self.fail("WEIR_TEST_KAFKA is not set: run through ./dev test")
        self.prefix = f"t{uuid.uuid4().hex[:8]}."
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-test-"))
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.clean)
        self.addCleanup(self.stack.close)

    def clean(self):
        """What the processes said is worth keeping only where a test failed."""
        outcome = self._outcome.result
        if any(test is self for test, _ in outcome.failures + outcome.errors):
            for log in sorted(self.folder.glob("*.log")):
                print(f"---- {log.name}\n{log.read_text(errors='replace')[-6000:]}", flush=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def end_service(self, name, how="kill"):
        """Kills or stops it. It is back for the tests that follow, whatever becomes of this one."""
        self.addCleanup(services, "start", name)
        services(how, name)

    def topic(self, name):
        return self.prefix + name

    def config(self, **sections):
        """The smallest configuration, with a prefix and a free port, and more sections."""
        lines = ["kafka:", f"  bootstrap.servers: {KAFKA}", f"  group.id: {self.prefix}weir",
                 "  consumer.session.timeout.ms: 6000",
                 *(f"  {line}" for line in sections.pop("kafka", [])),
                 "topics:", f"  prefix: {self.prefix}",
                 "http:", f"  listen: 127.0.0.1:{free_port()}"]
        for name, body in sections.items():
            if isinstance(body, list):
                lines += [f"{name}:", *(f"  {line}" for line in body)]
            else:
                lines.append(f"{name}: {body}")
        return "\n".join(lines) + "\n"

    def run_command(self, *words, config=None, check=True, environment=None):
        if config is not None:
            path = self.folder / "command.yaml"
            path.write_text(config)
            words = (*words, "--config", str(path))
        done = subprocess.run([WEIR, *words], capture_output=True, text=True, timeout=120,
                              env={**os.environ, **(environment or {})}, check=False)
        if check and done.returncode:
            raise AssertionError(f"weir {' '.join(words)}: {done.returncode}\n{done.stderr}")
        return done

    def create_topics(self, config):
        self.run_command("topics", "create", "--partitions", str(self.partitions),
                         "--replication-factor", "1", config=config)

    def weir(self, config, environment=None, name="weir"):
        process = Process(self.folder, config, environment, name)
        self.stack.callback(lambda: process.process.poll() is None and process.kill())
        return process

    def database(self):
        """A database of its own; its URL."""
        name = "db_" + self.prefix.strip(".")
        sql(f"CREATE DATABASE {name}")
        self.stack.callback(sql, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        return re.sub(r"/postgres\?", f"/{name}?", POSTGRES)

    def alerts(self):
        """The last publication of each alert, merged ones left out."""
        last = {}
        for alert in consume_json(self.topic("alerts")):
            last[alert["alert_id"]] = alert
        return [alert for alert in last.values() if not alert.get("merged_into")]
