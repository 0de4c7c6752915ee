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
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Client:
    """One connection at a time, opened anew when it breaks.

    ``keep`` False: for each request another one. The service closes those that wait.
    """

    def __init__(self, port, keep=True):
        self.port, self.keep, self.connection = port, keep, None

    def ask(self, path, body=None):
        """Return status and decoded answer; raise OSError if the connection breaks."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, 300)
        try:
            data = None if body is None else json.dumps(body)
            method = "GET" if body is None else "POST"
            kind = {"Content-Type": "application/json"}
            self.connection.request(method, path, data, kind)
            answer = self.connection.getresponse()
            text = answer.read()
            if not self.keep:
                self.close()
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

    def write_in_place(self, path, name, n_steps=1, pause=0.0, share=1.0):
        """Write a share of a file into the one that is served, as cp and scp do."""
        data = Path(path).read_bytes()
        data = data[: int(share * len(data))]
        step = -(-len(data) // n_steps)
        with open(self.path, "wb", buffering=0) as file:
            for start in range(0, len(data), step):
                time.sleep(pause)
                file.write(data[start : start + step])
        self.names[self.path.stat().st_mtime_ns] = name

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
                start_new_session=True,
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
                pass
            client.close()
            time.sleep(0.1)  # starting takes the others a second
        return ready

    def stop(self):
        """End the service; none of its processes is left."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(120)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def running(folder, path, n_workers=1):
    """Return a service that serves a copy of a file, and stop it in the end.

    ``path`` None: its file holds no model.
    """
    service = Service(folder, n_workers)
    if path is None:
        service.path.write_bytes(b"no model")
    else:
        service.publish(path, "first")
    service.start()
    try:
        yield service
    finally:
        service.stop()


def wait_until(is_so, seconds=600):
    """Wait until a function returns something true, and return that."""
    deadline = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


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
    pause : float
        Seconds for which a thread waits after each answer.
    """

    def __init__(self, service, wishes, expected, pause, n=4):
        self.service, self.wishes, self.expected = service, wishes, expected
        self.pause = pause
        self.counts, self.wrong, self.going = Counter(), [], True
        self.unnamed = []  # a file was served before the test could note its time
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
                if name is None:
                    self.unnamed.append((which, answer))
                elif not self.is_right(name, which, answer):
                    self.wrong.append((name, self.wishes[which], answer))
            elif status != 503:
                self.wrong.append((status, self.wishes[which], answer))
            time.sleep(self.pause)
        client.close()

    def wait_for(self, name, n):
        """Wait until n more answers are those of a model."""
        goal = self.counts[name] + n
        wait_until(lambda: self.counts[name] >= goal)

    def is_right(self, name, which, answer):
        items, scores = self.expected[name][which]
        return answer["items"] == items and np.allclose(
            answer["scores"], scores, rtol=0, atol=1e-6
        )

    def stop(self):
        self.going = False
        for thread in self.threads:
            thread.join()
        for which, answer in self.unnamed:
            name = self.service.names.get(answer["version"])
            if name is None or not self.is_right(name, which, answer):
                self.wrong.append((name, self.wishes[which], answer))
