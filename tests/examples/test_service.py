"""The service of the examples: limits, messages, and a swap of models under load."""

import asyncio
import functools
import json
import os
import re
import signal
import socket
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sktwotower import TwoTowerRecommender, io, runtime
from sktwotower.datasets import make_interactions

from .serving import ROOT, Client, Crowd, private_memory, running, wait_until

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Return the files of two models that answer differently, by name."""
    X = make_interactions(300, 500, random_state=0).data
    X["user"] = "u" + X["user"].astype(str)
    X["item"] = "i" + X["item"].astype(str)
    folder, paths = tmp_path_factory.mktemp("models"), {}
    for name, seed in (("first", 0), ("second", 1)):
        model = TwoTowerRecommender(
            embedding_dim=64, max_epochs=1, random_state=seed
        ).fit(X)
        paths[name] = folder / f"{name}.sktt"
        io.dump(model, paths[name])
    return paths


def wishes_of(model):
    """Return requests of all kinds."""
    rng, wishes = np.random.default_rng(0), []
    for user in rng.choice(model.user_ids_, 40, replace=False).tolist():
        history = rng.choice(model.item_ids_, 5, replace=False).tolist()
        wishes += [
            ("/recommend", {"user": user}),
            ("/recommend", {"user": user, "k": 30, "history": history}),
            ("/recommend", {"user": "new", "history": history}),
            ("/recommend", {"user": user, "exclude": history, "diversity": 0.3}),
            ("/recommend", {"user": user, "where": {"item": {"in": history}}}),
            ("/recommend", {"user": user, "candidates": history}),
            ("/recommend", {"user": user, "exclude_seen": False}),
            ("/similar", {"item": history[0], "k": 3}),
        ]
    return wishes


def where_of(body):
    """Return ``where`` of a request of JSON as Python has it."""
    if "where" not in body:
        return {}
    return {"where": {name: rule["in"] for name, rule in body["where"].items()}}


def right_answer(model, path, body):
    k = body.get("k", 10)
    if path == "/similar":
        table = model.similar_items([body["item"]], k)
    else:
        names = "history", "diversity", "candidates", "exclude_seen"
        asked = {name: body.get(name) for name in names} | where_of(body)
        exclude = {body["user"]: body["exclude"]} if "exclude" in body else None
        table = model.recommend([body["user"]], k, exclude=exclude, **asked)
    return table.iloc[:, 1].tolist(), table["score"].tolist()


def answer_without_a_model(client):
    """Return what a service that has just started answers, or None before that."""
    try:
        return client.ask("/recommend", {"user": "u1"}), client.ask("/health")
    except OSError:
        return None


@pytest.fixture(scope="module")
def served(models, tmp_path_factory):
    """Return a service of the first model, and what it answered when it had none."""
    with running(tmp_path_factory.mktemp("one"), None) as service:
        client = Client(service.port, keep=False)
        before = wait_until(lambda: answer_without_a_model(client))
        service.publish(models["first"], "first")
        service.wait()
        yield SimpleNamespace(service=service, client=client, before=before)


@pytest.fixture
def client(served):
    return served.client


def number(client, name):
    """Return a number of the metrics, 0 if it is not there."""
    _, text = client.ask("/metrics")
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines())
    return int(float(lines.get(name, 0)))


def test_answers_are_those_of_the_model(client, models):
    model = io.load(models["first"])
    for path, body in wishes_of(model)[:16]:
        status, answer = client.ask(path, body)
        items, scores = right_answer(model, path, body)
        assert status == 200
        assert answer["items"] == items
        np.testing.assert_allclose(answer["scores"], scores, atol=1e-6)


def test_many_requests_of_estimator_runtime_and_service(client, models):
    model, served = io.load(models["first"]), runtime.load(models["first"])
    rng = np.random.default_rng(1)
    users = [*model.user_ids_.tolist(), "new"]
    for _ in range(200):
        user, k = users[rng.integers(len(users))], int(rng.integers(1, 30))
        items = rng.choice(model.item_ids_, 6, replace=False).tolist()
        where = {"where": {"item": {"in": items}}}
        asked = [{}, {"history": items}, {"diversity": 0.5}, where]
        body = {"user": user, "k": k} | asked[rng.integers(4)]
        status, answer = client.ask("/recommend", body)
        expected, scores = right_answer(model, "/recommend", body)
        assert status == 200 and answer["items"] == expected
        np.testing.assert_allclose(answer["scores"], scores, atol=1e-5)
        asked = {n: body[n] for n in body if n not in ("user", "k")} | where_of(body)
        ids, found = served.recommend(user, k, **asked)
        assert ids.tolist() == expected
        np.testing.assert_allclose(found, scores, atol=1e-5)


def test_a_drawn_list_comes_with_propensities_to_be_logged(client):
    body = {"user": "u1", "candidates": ["i1", "i2"], "exclude_seen": False}
    _, best = client.ask("/recommend", body)
    _, drawn = client.ask("/recommend", body | {"explore": 0.5})
    scores = dict(zip(best["items"], best["scores"], strict=True))
    first, second = drawn["items"]
    expected = 1 / (1 + np.exp((scores[second] - scores[first]) / 0.5))
    np.testing.assert_allclose(drawn["propensities"], [expected, 1], atol=1e-4)
    assert "propensities" not in best


REFUSED = "sktwotower_refused_files_total"
FORMS = r'where.item: .*pass a value, {"in": \[values\]} or {"from": low, "to": high}'


BAD = [
    ("/recommend", {"user": "u1", "k": 101}, 422, "k: .*less than or equal to 100"),
    ("/recommend", {"user": "u1", "k": 0}, 422, "k: .*greater than or equal to 1"),
    ("/recommend", {"user": "u1", "k": 2.5}, 422, "k: .*valid integer"),
    ("/recommend", {"user": "u1", "history": ["i1"] * 1001}, 422, "at most 1000"),
    ("/recommend", {"user": "u1", "history": ["i" * 201]}, 422, "at most 200"),
    ("/recommend", {"user": "u1", "history": [None]}, 422, "history.0"),
    ("/recommend", {"user": True}, 422, "user"),
    ("/recommend", {}, 422, "body.user: Field required"),
    ("/recommend", [], 422, "body"),
    ("/recommend", {"user": "u" * 200_000}, 413, "at most 200000 bytes"),
    ("/recommend", {"user": "u1", "where": {"no": 1}}, 400, "has no such column"),
    ("/recommend", {"user": "u1", "context": {"hour": 1}}, 400, "not learnt from"),
    ("/recommend", {"user": "u1", "max_per": {"item": 0}}, 400, "max_per"),
    ("/recommend", {"user": "u1", "diversity": 2}, 400, "from 0 to 1"),
    ("/recommend", {"user": "u1", "explore": 0}, 400, "a temperature"),
    ("/recommend", {"user": "u1", "where": [1]}, 422, "where"),
    ("/similar", {"item": "no"}, 400, "The item 'no' is not known from fit"),
    ("/nothing", {}, 404, "Not Found"),
    ("/recommend", {"user": "u1", "n": 3}, 422, "body.n: .*fields are user, k"),
    ("/recommend", {"user": "u1", "candidates": ["no"]}, 400, "1 of candidates"),
    ("/recommend", {"user": "u1", "candidates": "i1"}, 422, "body.candidates"),
    ("/recommend", {"user": "u1", "candidates": ["i1"] * 1001}, 422, "at most 1000"),
    ("/recommend", {"user": "u1", "exclude_seen": "no"}, 422, "exclude_seen.*bool"),
    ("/recommend", {"user": "u1", "exclude_seen": 0}, 422, "exclude_seen.*bool"),
    ("/recommend", {"user": "u1", "diversity": True}, 422, "diversity.*number"),
    ("/recommend", {"user": "u1", "diversity": "0.5"}, 422, "diversity.*number"),
    ("/recommend", {"user": "u1", "diversity": [0.5]}, 422, "diversity.*number"),
    ("/similar", {"item": "i1", "user": "u1"}, 422, "body.user: Extra inputs"),
    ("/recommend", {"user": "u1", "x" * 3000: 1}, 422, "body.xxx"),
    ("/recommend", {"user": "u1", "where": {"x" * 3000: 1}}, 400, "where or max_per"),
    *(
        ("/recommend", {"user": "u1", "where": {"item": rule}}, 422, FORMS)
        for rule in (
            {},
            ["i1", "i2"],
            [],
            {"in": "i1"},
            {"in": ["i1"], "from": 1},
            {"to": 1, "until": 2},
        )
    ),
    (
        "/recommend",
        {"user": "u1", "where": {"item": {"in": [["i1"]]}}},
        400,
        r"where\['item'\]",
    ),
    (
        "/recommend",
        {"user": "u1", "where": {"item": {"from": ["i1"]}}},
        400,
        r"where\['item'\]",
    ),
]


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_bad_requests_are_refused_with_a_reason(client, status):
    for path, body, expected, message in BAD:
        if expected == status:
            got, answer = client.ask(path, body)
            assert got == status, answer
            assert re.search(message, answer["detail"]), answer
            assert len(answer["detail"]) < 500


@pytest.fixture
def asked(monkeypatch):
    """Return a function that asks the service of a file within this process."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    import service

    def ask_file(path, **wish):
        latest = io.LatestModel(path, load=runtime.load)
        monkeypatch.setattr(service, "latest", latest)

        async def ask():
            async with service.lifespan(service.app):
                try:
                    answer = await service.recommend(service.Wish(**wish))
                except service.HTTPException as error:
                    return error.status_code, error.detail
            return sorted(json.loads(answer.body)["items"])

        with warnings.catch_warnings():
            return asyncio.run(ask())

    return ask_file


def test_ids_that_json_does_not_have_are_answered_as_text(asked, tmp_path):
    days = pd.date_range("2024-01-01", periods=3)
    X = pd.DataFrame({"user": [1, 1, 2], "item": days[[0, 1, 0]]})
    model = TwoTowerRecommender(embedding_dim=4, max_epochs=1, random_state=0).fit(X)
    io.dump(model, tmp_path / "model")
    (item,) = asked(tmp_path / "model", user=2)
    assert item.startswith("2024-01-02")


def test_types_of_ids_and_intervals(asked, tmp_path):
    X = pd.DataFrame({"user": [1, 1, 2], "item": [10, 20, 10]})
    items = pd.DataFrame({"item": [10, 20, 30], "price": [1.0, 2.0, 3.0]})
    model = TwoTowerRecommender(items=items, embedding_dim=4, max_epochs=1).fit(X)
    io.dump(model, tmp_path / "model")
    asked = functools.partial(asked, tmp_path / "model")
    assert asked(user=2) == [20, 30] and asked(user=3) == asked(user="x") == [
        10,
        20,
        30,
    ]
    assert asked(user="2") == (
        400,
        "A user is known as a number: convert ids to that type.",
    )
    status, detail = asked(user=2, history=[10, "20"])
    assert status == 400 and detail.startswith("An item is known as a number")
    # JSON has no tuples, and a list could be values or an interval
    with pytest.raises(ValueError, match="pass a value"):
        asked(user=3, where={"price": [1, 3]})
    assert asked(user=3, where={"price": {"in": [1, 3]}}) == [10, 30]
    assert asked(user=3, where={"price": {"from": 1, "to": 3}}) == [10, 20, 30]
    assert asked(user=3, where={"price": {"from": 2}}) == [20, 30]
    assert asked(user=3, where={"price": {"to": None}}) == [10, 20, 30]
    assert asked(user=3, where={"price": 2}) == [20]
    assert asked(user=3, diversity=1) == [10, 20, 30]


def test_unknown_items_of_a_history_are_counted(client, models):
    model = io.load(models["first"])
    user, items = model.user_ids_[0], model.item_ids_[:2].tolist()
    for history, n_unknown in ((items, 0), ([*items, "x", "y", "x"], 3), ([], 0)):
        status, answer = client.ask("/recommend", {"user": user, "history": history})
        assert (status, answer["unknown_in_history"]) == (200, n_unknown)
    _, answer = client.ask("/recommend", {"user": user})
    assert "unknown_in_history" not in answer


def test_an_id_that_fit_knows_as_no_type_is_that_of_a_new_user(client):
    # all users are text such as "u1"; where one is "7", 7 is refused: see above
    (_, expected), *others = [
        client.ask("/recommend", {"user": user, "k": 3}) for user in ("new", 1, "1")
    ]
    assert others == [(200, expected)] * 2


def answer_to(port, *lines):
    """Return the first line of the answer to lines of HTTP."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall("\r\n".join([*lines, ""]).encode())
        return connection.recv(4096).decode().splitlines()[0]


def test_the_length_of_a_body_must_be_known(client):
    start = "POST /recommend HTTP/1.1", "Host: a"
    chunks = "Transfer-Encoding: chunked", "", "3", "{}\n", "0", ""
    for lines in [(*start, *chunks), (*start, "Content-Length: 3", *chunks)]:
        assert " 413 " in answer_to(client.port, *lines)
    assert " 413 " in answer_to(client.port, *start, "")
    assert " 422 " in answer_to(client.port, *start, "Content-Length: 2", "", "{}")


def test_paths_of_strangers_are_not_counted_apart(client):
    long = {"user": "u" * 200_000}
    assert client.ask("/stranger%22%0A1", long)[0] == 413
    assert client.ask("/docs")[0] == 200
    text = client.ask("/metrics")[1]
    assert "stranger" not in text and "docs" not in text
    assert 'path="",status="413"' in text


def test_metrics_count_what_the_model_does_not_know(client):
    name = 'sktwotower_not_covered_total{column="user",state="unknown"}'
    before = number(client, name)
    for user in ("u1", "nobody", "nobody"):
        assert client.ask("/recommend", {"user": user})[0] == 200
    assert number(client, name) == before + 2


def test_the_contract_of_a_request_is_that_of_the_model(client, models):
    schema = runtime.load(models["first"]).request_schema()
    assert client.ask("/schema") == (200, schema)


def test_metrics_count_what_was_asked(client):
    name = 'sktwotower_requests_total{path="/similar",status="400"}'
    before = number(client, name)
    client.ask("/similar", {"item": "no"})
    assert number(client, name) == before + 1


def test_without_a_model_the_service_is_unavailable(served):
    (status, answer), (health, _) = served.before
    assert (status, answer["detail"]) == (503, "No model could be loaded yet.")
    assert health == 503


def test_a_damaged_file_does_not_replace_the_one_that_is_served(
    served, client, models, tmp_path
):
    damaged, name = tmp_path / "damaged", REFUSED
    damaged.write_bytes(models["first"].read_bytes()[:5000])
    before = number(client, name)
    served.service.publish(damaged, "damaged")
    wait_until(lambda: number(client, name) > before)
    status, answer = client.ask("/recommend", {"user": "u1"})
    assert status == 200 and served.service.names[answer["version"]] == "first"


@pytest.mark.fuzz
def test_it_ends_while_clients_hold_half_sent_requests(models, tmp_path):
    with running(tmp_path, models["first"], n_workers=2) as service:
        service.wait()
        start = b"POST /recommend HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{"
        clients = [
            socket.create_connection(("127.0.0.1", service.port), 60) for _ in range(8)
        ]
        for place, client in enumerate(clients):
            client.sendall(start[: len(start) - 10 * (place % 3)])
        service.process.terminate()
        service.process.wait(10)  # seconds, as the example promises
        for client in clients:
            client.close()


@pytest.mark.parametrize(
    "n_swaps, pause",
    [(4, 0.03), pytest.param(150, 0.005, marks=pytest.mark.soak)],
    ids=["short", "long"],
)
def test_models_are_swapped_and_a_worker_killed_under_load(
    models, tmp_path, n_swaps, pause
):
    loaded = {name: io.load(path) for name, path in models.items()}
    wishes = wishes_of(loaded["first"])
    expected = {
        name: [right_answer(model, *wish) for wish in wishes]
        for name, model in loaded.items()
    }
    for items, _ in zip(*expected.values(), strict=True):
        assert items
    with running(tmp_path, models["first"], n_workers=2) as service:
        workers = service.wait()
        crowd, memory = Crowd(service, wishes, expected, pause), []
        try:
            for swap in range(n_swaps):
                name = ("second", "first")[swap % 2]
                service.publish(models[name], name)
                crowd.wait_for(name, 50)
                if swap == n_swaps // 2:
                    os.kill(min(workers), signal.SIGKILL)
                if swap > 1:
                    memory.append(private_memory([max(workers)]))
            survivors = service.wait()
        finally:
            crowd.stop()
        counts = crowd.counts
        print(dict(counts), memory[0], memory[-1])
        assert crowd.wrong == []
        assert len(survivors) == 2 and min(workers) not in survivors
        # only requests that the killed worker had, or had accepted, get no answer
        assert counts["broken"] <= 20
        assert memory[-1] < memory[0] + 15


@pytest.mark.fuzz
def test_files_are_copied_in_place_next_to_requests(models, tmp_path):
    loaded = {name: io.load(path) for name, path in models.items()}
    wishes = wishes_of(loaded["first"])[:24]
    expected = {
        name: [right_answer(model, *wish) for wish in wishes]
        for name, model in loaded.items()
    }
    with running(tmp_path, models["first"], n_workers=2) as service:
        workers = service.wait()
        crowd = Crowd(service, wishes, expected, 0.03)
        try:
            service.write_in_place(models["second"], "second")
            crowd.wait_for("second", 50)
            # several looks see a part of it
            service.write_in_place(models["first"], "first", n_steps=3, pause=0.6)
            crowd.wait_for("first", 50)
            service.write_in_place(models["second"], "a part", share=0.7)
            wait_until(lambda: number(Client(service.port), REFUSED))
            crowd.wait_for("first", 50)
            service.write_in_place(models["second"], "second", n_steps=2, pause=0.1)
            crowd.wait_for("second", 50)
        finally:
            crowd.stop()
        assert crowd.wrong == []
        assert {*crowd.counts} <= {200, "first", "second", None}
        assert service.wait() == workers  # none was replaced after a signal
