#!/usr/bin/env python3
"""Every command of README.md's shell blocks is run, in order, as a reader would: with its own
configuration, against a real broker. Only the addresses are those of the test."""
import os
import re
import signal
import subprocess
import unittest
import urllib.request

from world import KAFKA, ROOT, WEIR, WorldTest, free_port, kcat, wait_until

README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.S | re.M)


class Readme(WorldTest):
    def test_every_command(self):
        (self.folder / "build").mkdir()
        (self.folder / "build/weir").symlink_to(WEIR)
        (self.folder / "config").symlink_to(ROOT / "config")
        (self.folder / "events").mkdir()
        self.http = f"127.0.0.1:{free_port()}"
        configuration = blocks("yaml")[0].replace("127.0.0.1:9092", KAFKA)
        configuration = configuration.replace("127.0.0.1:9464", self.http)
        (self.folder / "weir.yaml").write_text(configuration)
        # The reader has a broker of his own; this one is shared by tests.
        environment = {**os.environ, "WEIR_TOPICS_PREFIX": self.prefix,
                       "WEIR_KAFKA_GROUP_ID": self.prefix + "weir"}
        commands = [line for block in blocks("sh") for line in block.splitlines() if line]
        self.assertGreater(len(commands), 6)
        for command in commands:
            with self.subTest(command=command):
                if " run " in command:
                    self.run_for_ever(command, environment)
                else:
                    self.run_once(command, environment)
        self.assertEqual(self.stop(), 0)

    def run_once(self, command, environment):
        done = subprocess.run(["bash", "-euc", command], cwd=self.folder, env=environment,
                              capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}\n{done.stderr}")
        if " replay " in command or " tail " in command:
            self.assertIn('"topic":"alerts"', done.stdout)

    def run_for_ever(self, command, environment):
        log = open(self.folder / "run.log", "ab")
        self.process = subprocess.Popen(["bash", "-euc", "exec " + command], cwd=self.folder,
                                        env=environment, stdout=log, stderr=log)
        log.close()
        self.stack.callback(lambda: self.process.poll() is None and self.process.kill())

        def is_ready():
            self.assertIsNone(self.process.poll(), (self.folder / "run.log").read_text())
            try:
                with urllib.request.urlopen(f"http://{self.http}/readyz", timeout=5) as answer:
                    return answer.status == 200
            except OSError:
                return False
        wait_until(is_ready, command)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def test_topics_and_files_are_named_rightly(self):
        """Links lead to files, and the topics are those that are made."""
        for path in re.findall(r"\]\((?!http)([^)#]+)\)", README):
            self.assertTrue((ROOT / path).exists(), path)
        settings = self.config()
        self.create_topics(settings)
        listed = kcat("-L").decode()
        table = README.split("## Topics", 1)[1].split("\n\n", 2)[1]
        names = re.findall(r"`([a-z.-]+)`", "\n".join(
            line.split("|")[1] for line in table.splitlines()[2:]))
        self.assertGreater(len(names), 15)
        for name in names:
            self.assertIn(f'topic "{self.prefix}{name}"', listed)


if __name__ == "__main__":
    unittest.main()
