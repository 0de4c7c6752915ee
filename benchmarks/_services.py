"""Services of one frame around several recommenders, and clients that count answers.

Input: a fitted model, the name of a system, and the number of processes.
Output: answers per second, CPU time of the processes per answer, and what a process
needs until its first answer.
"""

import http.client
import json
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import threading
import time
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

SYSTEMS = "runtime", "estimator", "implicit", "faiss"
N_CLIENTS, SECONDS = 4, 5
EXAMPLES = Path(__file__).parents[1] / "examples"


def write_models(model, folder):
    """Write ours, and what the others need: they search the same vectors."""
    import numpy as np
    from implicit.als import AlternatingLeastSquares

    from sktwotower import io

    io.dump(model, folder / "ours")
    seen = model._fitted.seen[:-1, : len(model.item_ids_)].tocsr()
    vectors = model.embed_users(model.user_ids_), model.item_embeddings_
    width = vectors[1].shape[1]
    peer = AlternatingLeastSquares(factors=width, iterations=1, use_gpu=False)
    peer.user_factors, peer.item_factors = vectors
    with open(folder / "implicit", "wb") as file:
        pickle.dump((peer, seen, model.user_ids_, model.item_ids_), file)
    np.savez(
        folder / "faiss.npz",
        users=vectors[0],
        items=vectors[1],
        indices=seen.indices,
        offsets=seen.indptr,
        user_ids=model.user_ids_,
        item_ids=np.array(model.item_ids_.tolist()),
    )


def answers_of(system, folder):
    """Return a function of a user that returns items and scores, as lists."""
    if system == "runtime":
        from sktwotower import runtime

        model = runtime.load(folder / "ours", mmap=True, verify=False)

        def answer(user):
            ids, scores = model.recommend(user)
            return ids.tolist(), scores.tolist()

        return answer
    if system == "estimator":
        from sktwotower import io

        model = io.load(folder / "ours", mmap=True, verify=False)

        def answer(user):
            table = model.recommend([user])
            return table.iloc[:, 1].tolist(), table["score"].tolist()

        return answer
    if system == "implicit":
        with open(folder / "implicit", "rb") as file:
            peer, seen, user_ids, item_ids = pickle.load(file)
        codes = {user: code for code, user in enumerate(user_ids.tolist())}

        def answer(user):
            code = codes[user]
            found, scores = peer.recommend(code, seen[code], N=10)
            return item_ids[found].tolist(), scores.tolist()

        return answer
    import faiss
    import numpy as np

    stored = np.load(folder / "faiss.npz")
    users, indices, offsets = stored["users"], stored["indices"], stored["offsets"]
    item_ids = stored["item_ids"]
    codes = {user: code for code, user in enumerate(stored["user_ids"].tolist())}
    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatIP(users.shape[1])
    flat.add(stored["items"])

    def answer(user):
        code = codes[user]
        own = indices[offsets[code] : offsets[code + 1]].astype(np.int64)
        left_out = faiss.IDSelectorNot(faiss.IDSelectorBatch(own))
        params = faiss.SearchParameters(sel=left_out)
        scores, found = flat.search(users[code : code + 1], 10, params=params)
        return item_ids[found[0]].tolist(), scores[0].tolist()

    return answer


START = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from _services import answers_of
answer = answers_of(sys.argv[1], Path(sys.argv[2]))
items, _ = answer(json.loads(sys.argv[4]))
seconds = time.process_time()
lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
private = sum(int(l.split()[1]) for l in lines if l.startswith("Private")) / 1024
print(json.dumps({"start_cpu_s": seconds, "private_mb": private, "items": items}))
"""


def _started(system, folder, user):
    """Return what a process needs until its first answer, and its private memory."""
    command = [
        sys.executable,
        "-c",
        START,
        system,
        str(folder),
        str(Path(__file__).parent),
    ]
    environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    environment = os.environ | environment
    found = []
    for _ in range(3):  # the first one reads files from the disk
        done = subprocess.run(
            [*command, json.dumps(user)],
            env=environment,
            capture_output=True,
            check=True,
        )
        found.append(json.loads(done.stdout))
    return min(found, key=lambda row: row["start_cpu_s"])


def create_app():
    """Return the service of the system that the environment names."""
    from fastapi import FastAPI
    from fastapi.responses import JSONResponse

    app = FastAPI()
    answer = answers_of(os.environ["SYSTEM"], Path(os.environ["FOLDER"]))

    @app.get("/recommend/{user}")
    async def recommend(user: int):
        items, scores = answer(user)
        return JSONResponse({"pid": os.getpid(), "items": items, "scores": scores})

    return app


def _get(connection, user):
    connection.request("GET", f"/recommend/{user}")
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def _cpu_seconds(pids):
    """Return the CPU time that processes have used."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _workers(port, user, n):
    """Return the ids of n processes, once all of them answer."""
    pids, deadline = set(), time.monotonic() + 300
    while len(pids) < n and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            pids.add(_get(connection, user)[1]["pid"])
        except OSError:
            time.sleep(0.2)
        connection.close()
    assert len(pids) == n, f"only {len(pids)} of {n} processes answer"
    return pids


def _count(port, users, seconds):
    """Return the number of answers that clients get in so many seconds."""
    counts, stop = [0] * N_CLIENTS, time.monotonic() + seconds

    def send(number):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while time.monotonic() < stop:
            user = users[(number + N_CLIENTS * counts[number]) % len(users)]
            assert _get(connection, user)[0] == 200
            counts[number] += 1
        connection.close()

    clients = [threading.Thread(target=send, args=(i,)) for i in range(N_CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return sum(counts)


def _measure(system, n_processes, folder, users):
    """Return a row of results."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", "_services:create_app"]
    command += ["--port", str(port), "--workers", str(n_processes)]
    command += ["--no-access-log", "--log-level", "warning"]
    command += ["--timeout-worker-healthcheck", "300", "--http", "service:Protocol"]
    environment = {"SYSTEM": system, "FOLDER": str(folder), "OMP_NUM_THREADS": "1"}
    # small answers are sent at once, as in the example
    environment["PYTHONPATH"] = os.pathsep.join([*sys.path, str(EXAMPLES)])
    environment["OPENBLAS_NUM_THREADS"] = "1"  # implicit asks for it
    service = subprocess.Popen(
        command, cwd=Path(__file__).parent, env=os.environ | environment
    )
    try:
        pids = _workers(port, users[0], n_processes)
        _count(port, users, 1)
        before = _cpu_seconds(pids)
        n_answers = _count(port, users, SECONDS)
        used = _cpu_seconds(pids) - before
    finally:
        service.terminate()
        service.wait()
    return {
        "answers_per_s": n_answers / SECONDS,
        "cpu_ms_per_answer": used / n_answers * 1e3,
    }


def requests_per_second(model, name):
    """Return a row of results for each system and number of processes.

    ``name``: what the rows call the data.
    """
    rows, users = [], model.user_ids_.tolist()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_models(model, folder)
        started = {system: _started(system, folder, users[0]) for system in SYSTEMS}
        expected = started["runtime"]["items"]
        for n_processes in (1, 2):
            for system in SYSTEMS:
                row = {"data": f"service of {n_processes}, {name}", "system": system}
                row |= started[system]
                row["same_items"] = len({*row.pop("items")} & {*expected}) / len(
                    expected
                )
                rows.append(row | _measure(system, n_processes, folder, users))
    return rows


def installed_mb(*names):
    """Return the size of packages with all that they need, as installed here, in MB."""
    found, todo = {}, [*names]
    while todo:
        name = todo.pop().lower()
        if name in found:
            continue
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # of another system
            continue
        files = [Path(each.locate()) for each in package.files or ()]
        found[name] = sum(path.stat().st_size for path in files if path.is_file())
        needed = map(Requirement, package.requires or ())
        marked = (
            n for n in needed if n.marker is None or n.marker.evaluate({"extra": ""})
        )
        todo += [each.name for each in marked]
    return sum(found.values()) / 1e6


def folder_mb(folder):
    """Return the size of the Python files of a folder, in MB."""
    return sum(path.stat().st_size for path in folder.rglob("*.py")) / 1e6


def sizes_of(models):
    """Return a row of results for each of some models, by name, served by the runtime.

    A name is made of the numbers of users, of items and of numbers of a vector.
    """
    from sktwotower import io, runtime

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, build in models.items():
            model = build()
            io.dump(model, folder / "ours")
            user_ids, item_ids = model.user_ids_.tolist(), model.item_ids_.tolist()
            del model
            row = _started("runtime", folder, user_ids[0])
            row.pop("items")
            served = runtime.load(folder / "ours", mmap=True, verify=False)
            users, history = user_ids[1:400], item_ids[:10]
            asked = {
                "first_ms": served.recommend,
                "again_ms": served.recommend,
                "history_ms": lambda user, served=served, history=history: (
                    served.recommend(user, history=history)
                ),
            }
            for figure, ask in asked.items():
                row[figure] = _median_cpu(ask, users) * 1e3
            row["file_mb"] = (folder / "ours").stat().st_size / 1e6
            row["answers_per_s"] = 1e3 / row["first_ms"]
            rows.append({"data": "sizes", "system": name} | row)
    return rows


def _median_cpu(ask, users):
    """Return the CPU seconds of the thread of a request, the median of some users."""
    seconds = []
    for user in users:
        start = time.thread_time()
        ask(user)
        seconds.append(time.thread_time() - start)
    return sorted(seconds)[len(seconds) // 2]
