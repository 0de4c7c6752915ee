"""A recommender behind HTTP: one file in several processes, replaced while they run.

Input: the path of a file that ``sktwotower.io.dump`` has written.
Output: ``/recommend``, ``/similar``, ``/health`` and ``/metrics``.

Run ``pip install 'sktwotower[serve]'``, then ``python examples/service.py model.sktt
--workers 2``. To serve another model, ``dump`` it to the same path: each process looks
for it twice a second. Never write into the file itself: it is mapped into memory. Put a
proxy in front, which limits rates and connections, and asks again when a process dies.
``/metrics`` are those of the process that answers.
"""

import argparse
import asyncio
import logging
import os
import socket
import time
import warnings
from collections import Counter
from contextlib import asynccontextmanager
from typing import Annotated, NamedTuple

import narwhals as nw
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field, StrictInt
from uvicorn.protocols.http.h11_impl import H11Protocol

from sktwotower import io

MAX_K, MAX_HISTORY, MAX_ID, MAX_BYTES = 100, 1000, 200, 200_000
PLAIN = int, float, str  # other ids, such as dates, are answered as text
SECONDS_BETWEEN_LOOKS = 0.5
PATHS = "/recommend", "/similar", "/health", "/metrics"  # others are not counted apart
log = logging.getLogger("uvicorn.error")
Id = StrictInt | Annotated[str, Field(max_length=MAX_ID)]
K = Annotated[StrictInt, Field(ge=1, le=MAX_K)]


class Protocol(H11Protocol):
    """Send small answers at once; for a socket of several processes asyncio does not.

    They would wait 40 ms for the client to confirm the headers.
    """

    def connection_made(self, transport):
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)


class Wish(BaseModel):
    user: Id
    history: Annotated[list[Id], Field(max_length=MAX_HISTORY)] | None = None
    k: K = 10


class Item(BaseModel):
    item: Id
    k: K = 10


class Served(NamedTuple):
    model: object
    version: int  # when its file was written, in nanoseconds


def load(path):
    """Return what the file holds, after a first answer."""
    while True:
        version = os.stat(path).st_mtime_ns
        model = io.load(path, mmap=True, verify=False)
        if os.stat(path).st_mtime_ns == version:  # not replaced meanwhile
            model.recommend(model.user_ids_[:1].tolist())
            return Served(model, version)


async def keep_looking(app, path):
    """Replace what is served, in one assignment, by each new file that can be read."""
    seen = None
    while True:
        try:
            newest = os.stat(path).st_mtime_ns
            if newest != seen:
                seen = newest
                app.state.served = await asyncio.to_thread(load, path)
                seen = app.state.served.version
                log.info("serving version %d", seen)
        except Exception:
            app.state.counts["refused_files_total"] += 1
            log.exception("%s cannot be served", path)
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)


@asynccontextmanager
async def lifespan(app):
    warnings.simplefilter("ignore")  # each would be written, and kept, for ever
    app.state.served, app.state.counts = None, Counter()
    looking = asyncio.create_task(keep_looking(app, os.environ["MODEL"]))
    yield
    looking.cancel()


app = FastAPI(lifespan=lifespan)


@app.middleware("http")
async def limit_and_count(request: Request, call_next):
    """Refuse large bodies; count requests and their seconds by path and status."""
    start, path = time.perf_counter(), request.url.path
    size = request.headers.get("content-length", "0" if request.method == "GET" else "")
    if "transfer-encoding" in request.headers:  # would be read in spite of the length
        size = ""
    if size.isdecimal() and int(size) <= MAX_BYTES:
        answer = await call_next(request)
    else:
        detail = f"Say how long the body is: at most {MAX_BYTES} bytes. Got {size!r}."
        answer = JSONResponse({"detail": detail}, status_code=413)
    status, counts = answer.status_code, request.app.state.counts
    labels = f'path="{path if path in PATHS else ""}",status="{status}"'
    counts[f"requests_total{{{labels}}}"] += 1
    counts[f"seconds_total{{{labels}}}"] += time.perf_counter() - start
    return answer


@app.exception_handler(RequestValidationError)
async def refuse(request: Request, error: RequestValidationError):
    """Say what is wrong, without the values that were sent."""
    places = [".".join(map(str, each["loc"])) for each in error.errors()]
    wrong = [f"{p}: {e['msg']}" for p, e in zip(places, error.errors(), strict=True)]
    return JSONResponse({"detail": "; ".join(wrong)}, status_code=422)


def ranked(ask):
    """Return the answer of the model that is served now."""
    served = app.state.served
    if served is None:
        raise HTTPException(503, "No model could be loaded yet.", {"Retry-After": "1"})
    try:
        table = ask(served.model)
    except (TypeError, ValueError) as error:
        raise HTTPException(400, str(error)) from error
    table = nw.from_native(table)  # of the library of fit: pandas, polars, pyarrow
    items = [i if isinstance(i, PLAIN) else str(i) for i in table[:, 1].to_list()]
    scores = table["score"].to_list()
    return JSONResponse({"version": served.version, "items": items, "scores": scores})


# A request takes about a millisecond of CPU: threads would only wait for one another.
@app.post("/recommend")
async def recommend(wish: Wish):
    return ranked(lambda m: m.recommend([wish.user], wish.k, history=wish.history))


@app.post("/similar")
async def similar(item: Item):
    return ranked(lambda m: m.similar_items([item.item], item.k))


@app.get("/health")
async def health():
    served = app.state.served
    state = {"pid": os.getpid(), "version": served and served.version}
    return JSONResponse(state, status_code=200 if served else 503)


@app.get("/metrics", response_class=PlainTextResponse)
async def metrics():
    return "".join(f"sktwotower_{k} {v}\n" for k, v in app.state.counts.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="file of the model")
    parser.add_argument("--workers", type=int, default=1, help="number of processes")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    os.environ["MODEL"] = given.path
    uvicorn.run(
        "service:app",
        workers=given.workers,
        port=given.port,
        access_log=False,
        http="service:Protocol",
        timeout_worker_healthcheck=60,  # a process imports torch before it answers
    )
