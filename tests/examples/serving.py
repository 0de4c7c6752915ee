"""A service in processes of its own, and clients that know every right answer."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Client:
    """One connection at a time, opened anew when it breaks."""

    def __init__(self, port):
        self.port, self.connection = port, None

    def ask(self, path, body=None):
        """Return status and decoded answer; raise OSError if the connection breaks."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, 60)
        try:
            data = None if body is None else json.dumps(body)
            method = "GET" if body is None else "POST"
            kind = {"Content-Type": "application/json"}
            self.connection.request(method, path, data, kind)
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise OSError(str(error)) from error
        is_json = answer.headers["content-type"] == "application/json"
        return answer.status, json.loads(text) if is_json else text.decode()

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class Service:
    """The example service with its own file of the model, until `stop`."""

    def __init__(self, folder, n_workers):
        self.port, self.path = free_port(), Path(folder) / "served.sktt"
        self.n_workers, self.names = n_workers, {}
        self.log = Path(folder) / "service.log"

    def publish(self, path, name):
        """Put a copy of a file in place of the one that is served."""
        copy = self.path.with_suffix(".part")
        shutil.copyfile(path, copy)
        self.names[copy.stat().st_mtime_ns] = name  # a renamed file keeps it
        os.replace(copy, self.path)

    def start(self):
        environment = {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "service.py", str(self.path)),
                    *("--workers", str(self.n_workers), "--port", str(self.port)),
                ],
                cwd=ROOT / "examples",
                env=os.environ | environment | {"OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=log,
            )

    def wait(self, seconds=600):
        """Return the ids of all workers, once each of them serves a model."""
        deadline, ready = time.monotonic() + seconds, set()
        while len(ready) < self.n_workers:
            assert time.monotonic() < deadline, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            client = Client(self.port)  # a new connection may reach another worker
            try:
                status, state = client.ask("/health")
                if status == 200:
                    ready.add(state["pid"])
            except OSError:
                time.sleep(0.2)
            client.close()
        return ready

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


@contextmanager
def running(folder, path, n_workers=1):
    """Return a service that serves a copy of a file, and stop it in the end."""
    service = Service(folder, n_workers)
    service.publish(path, "first")
    service.start()
    try:
        yield service
    finally:
        service.stop()


def private_memory(pids):
    """Return the megabytes that the processes share with no other one."""
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        line = next(line for line in lines if line.startswith("Private_Dirty:"))
        total += int(line.split()[1]) / 1024
    return total


class Crowd:
    """Threads that send requests until `stop`, and compare each answer.

    Parameters
    ----------
    service : Service
    wishes : list of (path, body)
    expected : dict of str to list of (items, scores)
        The right answers of each model by name, in the order of ``wishes``.
    """

    def __init__(self, service, wishes, expected, n=4):
        self.service, self.wishes, self.expected = service, wishes, expected
        self.counts, self.wrong, self.going = Counter(), [], True
        self.threads = [
            threading.Thread(target=self.send, args=(seed,)) for seed in range(n)
        ]
        for thread in self.threads:
            thread.start()

    def send(self, seed):
        client, rng = Client(self.service.port), np.random.default_rng(seed)
        while self.going:
            which = int(rng.integers(len(self.wishes)))
            try:
                status, answer = client.ask(*self.wishes[which])
            except OSError:
                self.counts["broken"] += 1
                time.sleep(0.05)
                continue
            self.counts[status] += 1
            if status == 200:
                name = self.service.names.get(answer["version"])
                self.counts[name] += 1
                if name is None or not self.is_right(name, which, answer):
                    self.wrong.append((name, self.wishes[which], answer))
            elif status != 503:
                self.wrong.append((status, self.wishes[which], answer))
        client.close()

    def is_right(self, name, which, answer):
        items, scores = self.expected[name][which]
        return answer["items"] == items and np.allclose(
            answer["scores"], scores, rtol=0, atol=1e-6
        )

    def stop(self):
        self.going = False
        for thread in self.threads:
            thread.join()
