"""A recommender behind HTTP: one file in several processes, replaced while they run.

Input: the path of a file that ``sktwotower.io.dump`` has written.
Output: ``/recommend``, ``/similar``, ``/health`` and ``/metrics``.

Run ``pip install 'sktwotower[serve]'``, then ``python examples/service.py model.sktt
--workers 2``. To serve another model, ``dump`` it to the same path. Put a proxy in
front, which limits rates and connections, and asks again when a process dies.
``/metrics`` are those of the process that answers.
"""

import argparse
import logging
import os
import socket
import time
import warnings
from collections import Counter
from contextlib import asynccontextmanager
from typing import Annotated

import narwhals as nw
import uvicorn
from fastapi import Body, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import Field, StrictInt
from uvicorn.protocols.http.h11_impl import H11Protocol

from sktwotower import io

MAX_BYTES = 200_000
Id = StrictInt | Annotated[str, Field(max_length=200)]
History = Annotated[list[Id], Field(max_length=1000)]
K = Annotated[StrictInt, Field(ge=1, le=100), Body()]
PATHS = "/recommend", "/similar", "/health", "/metrics"  # others are counted together
counts = Counter()
latest = io.LatestModel(
    os.environ.get("MODEL", "model.sktt"),
    check=lambda model: model.recommend(model.user_ids_[:1].tolist()),
)


@asynccontextmanager
async def lifespan(app):
    logging.basicConfig(level=logging.INFO)
    warnings.simplefilter("ignore")  # each would be written, and kept, for ever
    with latest:
        yield


app = FastAPI(lifespan=lifespan)


class Protocol(H11Protocol):
    """Send small answers at once: for a socket of several processes asyncio waits."""

    def connection_made(self, transport):
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)


@app.middleware("http")
async def limit_and_count(request: Request, call_next):
    """Refuse large bodies, and those of unknown length; count requests and seconds."""
    start, path = time.perf_counter(), request.url.path
    size = request.headers.get("content-length", "0" if request.method == "GET" else "")
    in_chunks = "transfer-encoding" in request.headers  # would be read without a limit
    if in_chunks or not size.isdecimal() or int(size) > MAX_BYTES:
        detail = f"Say how long the body is: at most {MAX_BYTES} bytes. Got {size!r}."
        answer = JSONResponse({"detail": detail}, 413)
    else:
        answer = await call_next(request)
    path = path if path in PATHS else ""
    labels = f'{{path="{path}",status="{answer.status_code}"}}'
    counts["requests_total" + labels] += 1
    counts["seconds_total" + labels] += time.perf_counter() - start
    return answer


@app.exception_handler(RequestValidationError)
async def refuse(request: Request, error: RequestValidationError):
    """Say what is wrong, without the values that were sent."""
    wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
    return JSONResponse({"detail": "; ".join(wrong)}, 422)


def answer(ask):
    """Return the ranked items that the model of now answers, best first."""
    served = latest.current
    if served is None:
        raise HTTPException(503, "No model could be loaded yet.", {"Retry-After": "1"})
    try:
        table = nw.from_native(ask(served.model))  # of the library of fit
    except (TypeError, ValueError) as error:
        raise HTTPException(400, str(error)) from error
    items = [i if isinstance(i, int | float) else str(i) for i in table[:, 1].to_list()]
    scores = table["score"].to_list()
    return JSONResponse({"version": served.version, "items": items, "scores": scores})


# A request takes about a millisecond of CPU: threads would only wait for one another.
@app.post("/recommend")
async def recommend(
    user: Annotated[Id, Body()],
    history: Annotated[History | None, Body()] = None,
    k: K = 10,
):
    return answer(lambda model: model.recommend([user], k, history=history))


@app.post("/similar")
async def similar(item: Annotated[Id, Body()], k: K = 10):
    return answer(lambda model: model.similar_items([item], k))


@app.get("/health")
async def health():
    served = latest.current
    state = {"pid": os.getpid(), "version": served and served.version}
    return JSONResponse(state, 200 if served else 503)


@app.get("/metrics", response_class=PlainTextResponse)
async def metrics():
    values = dict(counts, refused_files_total=latest.n_refused)
    return "".join(f"sktwotower_{name} {value}\n" for name, value in values.items())


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
