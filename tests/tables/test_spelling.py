"""Names that look alike are told apart from names that do not, and from usual ones."""

import itertools
import warnings

import pandas as pd
import pytest

from sktwotower import PopularityRecommender
from tests.builders import random_events, small

COLUMNS = ["page_type", "q", "day", "TIME", "straße", "час", "über", "hour_1"]
ALIKE = [
    ("page_type", "Page_Type"),
    ("page_type", "PAGETYPE"),
    ("page_type", "page-type"),
    ("page_type", " page type "),
    ("page_type", "page\u00a0type"),  # a blank that does not break
    ("page_type", "page\u2013type"),  # a long dash
    ("page_type", "page_tpye"),  # two letters exchanged
    ("q", "Q"),
    ("day", "d\u200bay"),  # a blank without width
    ("day", "\uff44\uff41\uff59"),  # full-width letters
    ("day", "\U0001d41d\U0001d41a\U0001d432"),  # bold letters of formulas
    ("day", "d\u0430y"),  # with a Cyrillic letter
    ("TIME", "\u03a4IM\u0415"),  # with a Greek and a Cyrillic letter
    ("straße", "STRASSE"),
    ("час", "ЧАС"),  # Cyrillic as a whole
    ("über", "u\u0308ber"),  # composed and not
    ("hour_1", "hour1"),
]
OTHERS = ["price", "city", "k", "n_clicks", "user_agent", "-", " ", "may"]


@pytest.fixture(scope="module")
def model():
    events = random_events()
    for place, name in enumerate(COLUMNS):
        events[name] = [f"{name}{row % (2 + place)}" for row in range(len(events))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return small(context=COLUMNS).fit(events)


def test_a_misspelt_column_of_a_request_is_refused_with_the_name_that_is_meant(model):
    for name, given in ALIKE:
        for table in ({"user": ["u1"], given: "x"}, {"user": ["new"], given: "x"}):
            with pytest.raises(ValueError, match=f"Did you mean '{name}'"):
                model.recommend(pd.DataFrame(table))
    with pytest.raises(ValueError, match=r"context names 'zzz'.*\(page_type, q, day"):
        model.recommend(["u1"], context={"zzz": 1})


def test_columns_of_no_relation_are_no_error(model):
    expected = model.recommend(["u1"])
    for other in OTHERS:
        found = model.recommend(pd.DataFrame({"user": ["u1"], other: "x"}))
        pd.testing.assert_frame_equal(found, expected)


USERS = """user_id userId UserID USER_ID user uid customer CustomerID customer_no
cust_id client clientId buyer buyer_id visitorid visitor account account_id shopper
subscriber_id reader listener member memberNumber viewer player_id guest_id
Kunde KundenNr Kunden-Nr. Kundennummer KdNr Käufer Benutzer Benutzer_ID Nutzer
Besucher Mitgliedsnummer Leser Hörer
id_client code_client n°_client Numéro_de_client utilisateur id_utilisateur acheteur
visiteur membre abonné lecteur auditeur compte""".split()
ITEMS = """item_id itemid ItemID item product productId product_code StockCode sku SKU
asin parent_asin ISBN isbn13 article Article_ID article_no movie movieId film track
book song song_id video video_id page page_id url ad ad_id news newsId artist game_id
content_id part_no ean upc
Artikel Artikel-Nr. Artikelnummer ArtNr ArtikelNr EAN Produkt Produktcode Buch Lied
Seite Anzeige
produit code_article réf_produit id_article livre chanson annonce""".split()
NEITHER = """id rating price quantity country productivity customers_age items_sold
item_type product_category user_agent page_views news_source order_date address
order order_id OrderNo InvoiceNo invoice basket_id event session_id row_id index
Bestellnummer Rechnungsnr Sitzung Zeile lfd_Nr commande facture Séance""".split()


def messages_of_fit(users, items):
    X = pd.DataFrame({users: ["a", "b"], items: ["x", "y"]})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        PopularityRecommender().fit(X)
    return [str(each.message) for each in caught if "is taken as" in str(each.message)]


@pytest.mark.slow
def test_columns_whose_names_are_exchanged_are_warned_of_in_three_languages():
    for users, items in itertools.zip_longest(USERS, ITEMS):
        users, items = users or "customer", items or "product"
        (said,) = messages_of_fit(items, users)
        assert f"'{items}' is taken as the users and '{users}' as the items" in said
    assert messages_of_fit("customer", "product") == []


@pytest.mark.slow
def test_names_of_neither_users_nor_items_are_not_warned_of():
    for name in NEITHER:
        assert messages_of_fit("product", name) == []
    assert messages_of_fit("price", "user") == messages_of_fit("order", "user") == []
