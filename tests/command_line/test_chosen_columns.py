"""Which columns of tables as people have them are the users and the items."""

import numpy as np
import pandas as pd
import pytest

from .builders import task_of, task_of_options

N = 60
NUMBERS = np.arange(N)
# What a column of each kind holds: 12 users, 20 items, orders of three rows.
KINDS = {
    "user": [f"c{u}" for u in NUMBERS % 12],
    "item": [f"s{i:03}" for i in NUMBERS // 3],
    "order": (NUMBERS // 3 + 50_000).tolist(),
    "row": NUMBERS.tolist(),
    "price": [f"{p / 4 + 0.25:.2f}" for p in NUMBERS % 7],
    "number": (NUMBERS % 5).tolist(),
    "same": ["web"] * N,
    "text": [f"thing {i}" for i in NUMBERS // 3],
    "date": pd.date_range("2024-01-01", periods=N, freq="h").astype(str).tolist(),
}


def table_of(header):
    """Return a table of columns, each written as name:kind."""
    columns = dict(each.rsplit(":", 1) for each in header.split())
    return pd.DataFrame({name: KINDS[kind] for name, kind in columns.items()})


HEADERS = {
    "shops": [
    ("order_id:order sku:item client:user price:price date:date", "client", "sku"),
    ("invoice:order article:item buyer:user", "buyer", "article"),
    ("event_id:row user_id:user asin:item", "user_id", "asin"),
    (
        "id:row order_date:date qty:number price:price client:user sku:item",
        "client",
        "sku",
    ),
    (
        "InvoiceNo:order StockCode:item Description:text Quantity:number "
        "InvoiceDate:date UnitPrice:price CustomerID:user Country:same",
        "CustomerID",
        "StockCode",
    ),
    ("order_no:order product_code:item customer_no:user", "customer_no",
     "product_code"),
    ("shopper:user basket:order isbn:item", "shopper", "isbn"),
    ("row:row account_id:user product_name:text product_id:item", "account_id",
     "product_id"),
    ("transaction_id:order member:user ean:item amount:price", "member", "ean"),
    ],
    "logs": [
    ("userId:user movieId:item rating:number timestamp:date", "userId", "movieId"),
    ("timestamp:date visitorid:user event:same itemid:item transactionid:order",
     "visitorid", "itemid"),
    ("user_id:user parent_asin:item rating:number timestamp:date", "user_id",
     "parent_asin"),
    ("session_id:order user_id:user click_article_id:text article_id:item",
     "user_id", "article_id"),
    ],
    "media": [
    ("session:order visitor:user page:item ts:date", "visitor", "page"),
    ("visitor_id:user url:item", "visitor_id", "url"),
    ("reader:user news:item minutes:number", "reader", "news"),
    ("listener:user song:item", "listener", "song"),
    ("viewer:user video:item", "viewer", "video"),
    ("impression_id:row ad:item user:user", "user", "ad"),
    ("member_id:user title:text", "member_id", "title"),
    ("username:user user_id:user item_name:text item_id:item", "user_id", "item_id"),
    ],
    "German": [
    ("Rechnungsnr:order Artikelnummer:item Kundennummer:user Menge:number",
     "Kundennummer", "Artikelnummer"),
    ("Bestellnummer:order Kunden-Nr.:user Artikel-Nr.:item Preis:price", "Kunden-Nr.",
     "Artikel-Nr."),
    ("Belegnummer:order Käufer:user Artikel:item", "Käufer", "Artikel"),
    ("lfd_Nr:row Benutzer:user Produkt:item", "Benutzer", "Produkt"),
    ("Sitzung:order Besucher:user Seite:item", "Besucher", "Seite"),
    ],
    "French": [
    ("numéro_de_commande:order id_client:user code_article:item prix:price",
     "id_client", "code_article"),
    ("facture:order acheteur:user produit:item quantité:number", "acheteur", "produit"),
    ("ligne:row utilisateur:user livre:item", "utilisateur", "livre"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("language", ["shops", "logs", "media", "German", "French"])
def test_columns_that_people_have(tmp_path, capsys, language):
    for header, user, item in HEADERS[language]:
        task = task_of(tmp_path, table_of(header))
        assert (task.user, task.item) == (user, item)
        assert "A guess" not in capsys.readouterr().out


GUESSES = [
    ("who:user what:item", "who", "what", "--user who and --item what"),
    ("user:user thing:item", "user", "thing", "--item thing"),
    ("fan:user song:item", "fan", "song", "--user fan"),
    # what is not taken: row numbers, prices, constants, orders
    (
        "id:row order:order price:price shop:same weighed:price who:user what:item",
        "who",
        "what",
        "--user who and --item what",
    ),
    # a usual name, but each value once
    ("user_id:row who:user item:item", "who", "item", "--user who"),
]


def test_what_was_taken_by_place_is_said_to_be_a_guess(tmp_path, capsys):
    for header, user, item, guessed in GUESSES:
        task = task_of(tmp_path, table_of(header))
        assert (task.user, task.item) == (user, item)
        said = capsys.readouterr().out
        assert (
            f"A guess, by the place of the column and not by its name: {guessed}."
            in said
        )
        for option in ("--user", "--item"):
            assert (f"{option} COL" in said) == (option in guessed)


MISSING = [
    (
        "session_id:order item:item",
        "no column for --user. Not taken: 'session_id' "
        "is named like a number of rows, orders or sessions. If each visit counts as "
        "a user: --user session_id.",
    ),
    (
        "listener:user price:price",
        "no column for --item. Not taken: 'price' is "
        "named like an amount. If there is one, name it: --item COL.",
    ),
    (
        "user:user item:row",
        "no column for --item. Not taken: 'item' has another "
        "value in each of the 60 rows.",
    ),
    (
        "user:user weighed:price shop:same",
        "'weighed' holds numbers that are not whole; 'shop' has a single value",
    ),
]


def test_a_column_that_is_missing(tmp_path):
    for header, message in MISSING:
        with pytest.raises(ValueError) as error:
            task_of(tmp_path, table_of(header))
        assert message in str(error.value)


@pytest.mark.parametrize("header", ["user:user item:item", "user:user price:price"])
def test_a_column_that_is_named_wrongly(tmp_path, header):
    with pytest.raises(ValueError, match="has no column"):
        task_of(tmp_path, table_of(header), "--user", "usr")


def test_what_is_named_is_taken(tmp_path):
    table = table_of("session_id:order item:item")
    assert task_of(tmp_path, table, "--user", "session_id").user == "session_id"


def test_lists_are_no_ids(tmp_path):
    pytest.importorskip("pyarrow")
    table = table_of("who:user what:item").assign(a=[["x"]] * N)[["a", "who", "what"]]
    table.to_parquet(tmp_path / "events.parquet")
    task = task_of_options("--data", str(tmp_path / "events.parquet"))
    assert (task.user, task.item) == ("who", "what")


@pytest.mark.parametrize("options", [[], ["--user", "user", "--item", "item"]])
def test_one_user_is_said(tmp_path, options):
    table = pd.DataFrame({"user": 7, "item": range(227)})
    with pytest.raises(ValueError, match="has one user only: all of its 227 events"):
        task_of(tmp_path, table, *options)


def test_two_users_are_said(tmp_path, capsys):
    table = pd.DataFrame({"user": [1, 2] * 20, "item": np.arange(40) // 2})
    few = "There are only two users in 'user', too few to learn from."
    task = task_of(tmp_path, table)
    assert few in capsys.readouterr().out
    assert len(task.split()[1]) == 8
    alone = pd.DataFrame({"user": [1, 2] * 20, "item": range(40)})
    with pytest.raises(ValueError, match=f"'item' has another value .* {few}"):
        task_of(tmp_path, alone)


@pytest.fixture
def files(tmp_path):
    pytest.importorskip("duckdb")

    def written(table):
        table[: N // 2].to_parquet(tmp_path / "a.parquet")
        table[N // 2 :].to_parquet(tmp_path / "b.parquet")
        return ["--data", str(tmp_path / "*.parquet"), "--time", "date"]

    return written


def test_ids_of_files_on_disk(files, capsys):
    header = "id:row weight:price order_no:order who:user shop:same what:item date:date"
    table = table_of(header).assign(weight=NUMBERS / 4)
    task = task_of_options(*files(table))
    assert (task.user, task.item) == ("who", "what")
    assert "--user who and --item what" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--split last needs one file"):
        task_of_options(*files(table), "--split", "last")
    with pytest.raises(ValueError, match="one user only: all of its 60 events"):
        task_of_options(*files(table.assign(user="ann", item=table["what"])))


def newcomers():
    """Return a table of users who come once, one after the other."""
    items = (NUMBERS + NUMBERS // 5) % 10  # of user 1: 6, 7, 8, 9, 0
    table = pd.DataFrame({"user": NUMBERS // 5, "item": items})
    return table.assign(time=KINDS["date"])


def test_users_who_do_not_come_back_are_split_by_their_own_events(tmp_path):
    advice = "To judge more users by their own last events: --split last."
    task = task_of(tmp_path, newcomers())  # the cut is within the events of one user
    assert task.summary(*task.split()).endswith(
        f"Few users come back, or many items are new. {advice}"
    )
    whole = newcomers().assign(user=NUMBERS // 6)  # the cut is between two users
    with pytest.raises(ValueError, match=f"earlier events. .* {advice}"):
        task_of(tmp_path, whole).split()
    task = task_of(tmp_path, newcomers(), "--split", "last")
    train, test, how = task.split()
    assert how == "the last 20 % of each user's rows by time"
    assert test["item"].tolist() == [4, 0, 6, 2, 8] * 2 + [4, 0]
    assert "know later events of other users" in task.caution
    assert advice not in task.summary(train, test, how)
    late = newcomers().assign(user=NUMBERS % 12)
    task = task_of(tmp_path, late, "--split", "time")
    assert (task.split()[1]["time"] > task.split()[0]["time"].max()).all()


def test_the_order_within_a_user_is_that_of_the_times(tmp_path):
    table = newcomers()
    table["time"] = table["time"].to_numpy()[::-1]  # the first row is the last event
    task = task_of(tmp_path, table, "--split", "last")
    assert task.split()[1]["item"].tolist() == [6, 0, 4, 8, 2, 6, 0, 4, 8, 2, 6, 0]


def test_a_split_by_time_needs_times(tmp_path):
    table = newcomers()[["user", "item"]]
    with pytest.raises(ValueError, match="--split time needs a column of times"):
        task_of(tmp_path, table, "--split", "time")


GERMAN = "Käufer;Artikel\n" + "".join(
    f"{who};{what}\n" for who in ("Jörg", "Zoë", "ann") for what in ("Öl", "Tee")
)


@pytest.mark.parametrize(
    ("encoding", "proposed"),
    [("cp1252", "cp1252"), ("latin-1", "cp1252"), ("utf-16", "utf-16")],
)
def test_text_in_other_encodings(tmp_path, encoding, proposed):
    path = tmp_path / "kauf.csv"
    path.write_bytes(GERMAN.encode(encoding))
    advice = f"is not UTF-8 from byte .* its encoding: --encoding {proposed}."
    with pytest.raises(ValueError, match=advice):
        task_of_options("--data", str(path))
    task = task_of_options("--data", str(path), "--encoding", proposed)
    assert (task.user, task.item) == ("Käufer", "Artikel")
    assert set(task.events["Käufer"]) == {"Jörg", "Zoë", "ann"}
    assert set(task.events["Artikel"]) == {"Öl", "Tee"}


def test_side_tables_have_the_same_encoding(tmp_path):
    (tmp_path / "items.csv").write_bytes(
        "Artikel;Art\nÖl;süß\nTee;heiß\n".encode("cp1252")
    )
    path = tmp_path / "kauf.csv"
    path.write_bytes(GERMAN.encode("cp1252"))
    options = ["--items", str(tmp_path / "items.csv"), "--encoding", "cp1252"]
    task = task_of_options("--data", str(path), *options)
    assert task.items["Art"].tolist() == ["süß", "heiß"]


def test_a_wrong_encoding_is_said(tmp_path):
    path = tmp_path / "kauf.csv"
    path.write_bytes(GERMAN.encode("utf-8"))
    with pytest.raises(
        ValueError, match="kauf.csv is not ascii from byte 1 on. Without"
    ):
        task_of_options("--data", str(path), "--encoding", "ascii")
