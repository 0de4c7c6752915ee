"""Services of one frame around several recommenders, and clients that count answers.

Input: the name of a system, and the number of processes.
Output: answers per second, and CPU time of the processes per answer.
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
from pathlib import Path

from _common import load

SYSTEMS = "ours", "implicit", "faiss"
N_CLIENTS, SECONDS = 4, 5
EXAMPLES = Path(__file__).parents[1] / "examples"


def write_models(folder):
    """Write ours, and what the others need, for the shipped purchases."""
    import numpy as np
    from implicit.als import AlternatingLeastSquares

    from sktwotower import TwoTowerRecommender, io

    model = TwoTowerRecommender(max_epochs=1, random_state=0)
    model.fit(load("online-retail").train)
    io.dump(model, folder / "ours")
    table = model.seen_items()
    seen = model._fitted.seen[:-1].tocsr()
    peer = AlternatingLeastSquares(factors=256, iterations=1, use_gpu=False)
    peer.fit(seen, show_progress=False)
    vectors = model.embed_users(model.user_ids_), model.item_embeddings_
    codes = dict(zip(model.user_ids_.tolist(), range(len(seen.indptr)), strict=False))
    with open(folder / "others", "wb") as file:
        pickle.dump((peer, seen, vectors, codes, np.asarray(model.item_ids_)), file)
    return table.iloc[:, 0].unique().tolist()


def answers_of(system, folder):
    """Return a function of a user that returns items and scores, as lists."""
    if system == "ours":
        from sktwotower import io

        model = io.load(folder / "ours", mmap=True, verify=False)

        def answer(user):
            table = model.recommend([user])
            return table.iloc[:, 1].tolist(), table["score"].tolist()

        return answer
    with open(folder / "others", "rb") as file:
        peer, seen, (users, items), codes, item_ids = pickle.load(file)
    if system == "implicit":

        def answer(user):
            code = codes[user]
            found, scores = peer.recommend(code, seen[code], N=10)
            return item_ids[found].tolist(), scores.tolist()

        return answer
    import faiss

    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatIP(items.shape[1])
    flat.add(items)

    def answer(user):
        code = codes[user]
        own = seen.indices[seen.indptr[code] : seen.indptr[code + 1]]
        left_out = faiss.IDSelectorNot(faiss.IDSelectorBatch(own))
        params = faiss.SearchParameters(sel=left_out)
        scores, found = flat.search(users[code : code + 1], 10, params=params)
        return item_ids[found[0]].tolist(), scores[0].tolist()

    return answer


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
        "data": f"service of {n_processes} processes",
        "system": system,
        "answers_per_s": n_answers / SECONDS,
        "cpu_ms_per_answer": used / n_answers * 1e3,
    }


def requests_per_second():
    """Return a row of results for each system and number of processes."""
    with tempfile.TemporaryDirectory() as folder:
        users = write_models(Path(folder))
        return [
            _measure(system, n_processes, Path(folder), users)
            for n_processes in (1, 2)
            for system in SYSTEMS
        ]
