"""A recommender behind HTTP: one file in several processes, replaced while they run.

Input: the path of a file of a ``TwoTowerRecommender`` that ``io.dump`` has written.
Output: ``/recommend``, ``/similar``, ``/schema``, ``/health`` and ``/metrics``.

It needs numpy, and neither torch nor scikit-learn. Run ``pip install
'sktwotower[serve]'``, then ``python examples/service.py model.sktt --workers 2``. Put a
proxy in front, which limits rates and connections, and asks again when a process dies.
``/metrics`` are those of the process that answers.

To serve another model, ``dump`` it to the same path, or copy its file there (cp, scp,
rsync). Only a whole file is served: until it has passed its checksums, the model before
answers. Each process reads a file of up to 64 MiB into its memory. Of a larger one all
processes map one copy in the temporary folder, which must have room for two; the
environment variable ``TMPDIR`` names another.

JSON has no tuples: in ``where``, ``{"from": 5, "to": 10}`` is an interval, and
``{"in": [5, 10]}`` names values; a list, which could be either, is refused. So are
fields that are not known, and an id that fit knows only as another type, such as 7 for
"7". All other ids that fit does not know are those of new users, who get the list of
strangers, and of new items: the answer says how many of ``history`` are unknown.
"""

import argparse
import json
import logging
import os
import socket
import time
import warnings
from collections import Counter
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import AfterValidator, BaseModel, Field, StrictBool, StrictInt
from uvicorn.protocols.http.h11_impl import H11Protocol

from sktwotower import io, runtime

MAX_BYTES = 200_000
Id = StrictInt | Annotated[str, Field(max_length=200)]
Ids = Annotated[list[Id], Field(max_length=1000)]
Columns = Annotated[dict[str, Any], Field(max_length=20)]
K = Annotated[StrictInt, Field(ge=1, le=100)]
MAX_DETAIL = 400  # characters of a message, which may repeat what was sent
# others are counted together
PATHS = "/recommend", "/similar", "/schema", "/health", "/metrics"
counts = Counter()
latest = io.LatestModel(
    os.environ.get("MODEL", "model.sktt"),
    load=runtime.load,
    check=lambda model: [
        model.model_id_,
        model.recommend(model.user_ids_[:1].tolist()),
    ],
)


@asynccontextmanager
async def lifespan(app):
    logging.basicConfig(level=logging.INFO)
    warnings.simplefilter("ignore")  # each would be written, and kept, for ever
    warnings.filterwarnings("error", "An? (user|item) is known as")
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
    if any(e["type"] == "extra_forbidden" for e in error.errors()):
        fields = WISHES[request.url.path].model_fields
        wrong.append(f"fields are {', '.join(fields)}")
    return JSONResponse({"detail": "; ".join(wrong)[:MAX_DETAIL]}, 422)


def count_coverage(model, wish):
    """Count what the model does not know of a request, by column."""
    try:
        shares = model.coverage([{"user": wish.user, "context": wish.context}])
    except (TypeError, ValueError):  # it is refused
        return
    for column, states in shares.items():
        for state, share in states.items():
            if share:
                labels = f'{{column={json.dumps(str(column))},state="{state}"}}'
                counts["not_covered_total" + labels] += 1


def answer(ask, history=None):
    """Return the ranked items that the model of now answers, best first."""
    served = latest.current
    if served is None:
        raise HTTPException(503, "No model could be loaded yet.", {"Retry-After": "1"})
    try:
        ids, scores, *propensities = ask(served.model)
        known = served.model.knows_items(history or [])
    except (TypeError, ValueError, UserWarning) as error:
        raise HTTPException(400, str(error)[:MAX_DETAIL]) from error
    items = ids.tolist() if ids.dtype.kind in "iuf" else [str(each) for each in ids]
    answer = {"version": served.version, "model_id": served.model.model_id_}
    answer |= {"items": items, "scores": scores.tolist()}
    if propensities:  # to be logged, with what was chosen
        answer["propensities"] = propensities[0].tolist()
    if history is not None:
        answer["unknown_in_history"] = int((~known).sum())
    return JSONResponse(answer)


def rule_of(given):
    """Return a rule of ``where`` as Python has it: a value, a list or a tuple."""
    if not isinstance(given, list | dict):
        return given
    names = set(given) if isinstance(given, dict) else set()
    if names == {"in"} and isinstance(given["in"], list):
        return given["in"]
    if names and names <= {"from", "to"}:
        return given.get("from"), given.get("to")
    raise ValueError('pass a value, {"in": [values]} or {"from": low, "to": high}')


Rules = Annotated[
    dict[str, Annotated[Any, AfterValidator(rule_of)]], Field(max_length=20)
]


class Wish(BaseModel, extra="forbid"):
    """What `/recommend` takes."""

    user: Id
    k: K = 10
    history: Ids | None = None
    exclude: Ids | None = None
    exclude_seen: StrictBool | None = None
    candidates: Ids | None = None
    context: Columns | None = None
    where: Rules | None = None
    max_per: Columns | None = None
    diversity: Annotated[float, Field(strict=True)] | None = None
    explore: Annotated[float, Field(strict=True)] | None = None


class SimilarWish(BaseModel, extra="forbid"):
    """What `/similar` takes."""

    item: Id
    k: K = 10


WISHES = {"/recommend": Wish, "/similar": SimilarWish}  # by path


# A request takes a fraction of a millisecond: threads would only wait for one another.
@app.post("/recommend")
async def recommend(wish: Wish):
    asked = dict(wish)
    user, k = asked.pop("user"), asked.pop("k")
    if latest.current is not None:
        count_coverage(latest.current.model, wish)
    return answer(lambda model: model.recommend(user, k, **asked), wish.history)


@app.post("/similar")
async def similar(wish: SimilarWish):
    return answer(lambda model: model.similar_items(wish.item, wish.k))


@app.get("/schema")
async def schema():
    served = latest.current
    if served is None:
        raise HTTPException(503, "No model could be loaded yet.", {"Retry-After": "1"})
    return served.model.request_schema()


@app.get("/health")
async def health():
    served = latest.current
    state = {"pid": os.getpid(), "version": served and served.version}
    state["model_id"] = served and served.model.model_id_
    return JSONResponse(state, 200 if served else 503)


@app.get("/metrics", response_class=PlainTextResponse)
async def metrics():
    values = dict(counts, refused_files_total=latest.n_refused)
    return "".join(f"sktwotower_{name} {value}\n" for name, value in values.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="file of the model")
    parser.add_argument("--workers", type=int, default=1, help="number of processes")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    os.environ["MODEL"] = given.path
    uvicorn.run(
        "service:app",
        workers=given.workers,
        host=given.host,
        port=given.port,
        access_log=False,
        http="service:Protocol",
        timeout_graceful_shutdown=3,  # clients that never end their request are left
    )
