"""Names of columns of ids, in the languages and spellings that people use."""

import pytest

from sktwotower._tables._usual_names import (
    is_measure,
    is_number_of_occasions,
    plain_name,
    rank_of_item_name,
    rank_of_user_name,
)

USERS = """user_id userId UserID USER_ID user uid customer CustomerID customer_no
cust_id client clientId buyer buyer_id visitorid visitor account account_id shopper
subscriber_id reader listener member memberNumber viewer player_id guest_id
Kunde KundenNr Kunden-Nr. Kundennummer KdNr Käufer Benutzer Benutzer_ID Nutzer
Besucher Mitgliedsnummer Leser Hörer
id_client code_client n°_client Numéro_de_client utilisateur id_utilisateur acheteur
visiteur membre abonné lecteur auditeur compte"""
ITEMS = """item_id itemid ItemID item product productId product_code StockCode sku SKU
asin parent_asin ISBN isbn13 article Article_ID article_no movie movieId film track
book song song_id video video_id page page_id url ad ad_id news newsId artist game_id
content_id part_no ean upc
Artikel Artikel-Nr. Artikelnummer ArtNr ArtikelNr EAN Produkt Produktcode Buch Lied
Seite Anzeige
produit code_article réf_produit id_article livre chanson annonce"""
OCCASIONS = """order order_id OrderNo orderNumber order_line InvoiceNo invoice
invoice_id basket_id event event_id session session_id sessionId visit_id row row_id
rowid index receipt_no ticket_no transactionid transaction_id purchase_id request_id
Bestellung Bestellnummer Bestell-Nr. Auftragsnummer Rechnungsnr Rechnungsnummer
Belegnummer Bon-Nr Vorgang Sitzung Zeile lfd_Nr Nr. # N°
commande numero_commande numéro_de_commande facture panier ligne Séance"""
NEITHER = """id rating price quantity country productivity customers_age items_sold
item_type product_category user_agent page_views news_source order_date address"""


def words(text):
    return text.split()


@pytest.mark.parametrize("name", words(USERS))
def test_names_of_users(name):
    assert rank_of_user_name(name) in (0, 1)
    assert rank_of_item_name(name) is None and not is_number_of_occasions(name)


@pytest.mark.parametrize("name", words(ITEMS))
def test_names_of_items(name):
    assert rank_of_item_name(name) in (0, 1)
    assert rank_of_user_name(name) is None and not is_number_of_occasions(name)


@pytest.mark.parametrize("name", words(OCCASIONS))
def test_names_of_what_happens_once(name):
    if name != "order_line":
        assert is_number_of_occasions(name)
    assert rank_of_user_name(name) is rank_of_item_name(name) is None


@pytest.mark.parametrize("name", words(NEITHER))
def test_other_names(name):
    assert rank_of_user_name(name) is rank_of_item_name(name) is None
    assert not is_number_of_occasions(name)


def test_a_name_of_an_id_comes_before_a_noun_and_what_it_is_called():
    names = ["product_name", "product", "title", "product_id"]
    assert [rank_of_item_name(name) for name in names] == [2, 1, 2, 0]
    names = ["username", "user", "user_email", "user_no"]
    assert [rank_of_user_name(name) for name in names] == [2, 1, 2, 0]


def test_names_without_accents_and_marks():
    assert plain_name(" Numéro  de-Client ") == "numero_de_client"
    assert plain_name(3) == "3"


@pytest.mark.parametrize("name", words("price Unit_Price Qty Menge Preis prix rating"))
def test_names_of_amounts(name):
    assert is_measure(name) and not is_measure(f"{name}_list")
