"""Usual names of columns of ids, in English, German and French.

Input: the name of a column, such as CustomerID, Artikel-Nr. or id_client.
Output: whether it names users, items, or numbers of rows, orders and sessions.
"""

import re
import unicodedata

# What stands before or after a noun in the name of an id: user_id, id_client, KundenNr.
BEFORE = r"((id|identifiant|identifier|code|num|numero|no|nr|n|ref)_?(de_|du_|d_)?)"
AFTER = (
    r"(_?(id|ids|no|nr|num|number|nummer|numero|code|key|uid|uuid|guid|hash|ref"
    r"|reference|identifier|kennung|schlussel))"
)
AS_TEXT = r"(_?(name|email|mail|login|title|titel|titre|bezeichnung|url|link))"
USERS = (
    r"(user|usr|customer|cust|client|consumer|member|listener|reader|viewer|buyer"
    r"|visitor|account|acct|shopper|subscriber|player|patron|guest|person|learner"
    r"|student|household|reviewer"
    r"|kunden?|kd|benutzer|nutzer|anwender|kaufer|besucher|mitglied(er)?s?|konto|leser"
    r"|horer|zuschauer|abonnent(en)?|spieler"
    r"|utilisateur|acheteur|visiteur|membre|abonne|lecteur|auditeur|compte"
    r"|consommateur|joueur)"
)
ITEMS = (
    r"(item|product|prod|stock|article|movie|film|artist|track|book|song|video|page"
    r"|ad|advert|advertisement|news|game|course|recipe|restaurant|business|hotel"
    r"|listing|offer|episode|show|album|podcast|app|post|job|document|doc|material|beer"
    r"|anime|joke|poi"
    r"|artikel|produkt|waren?|buch|lied|seite|anzeige|nachricht(en)?|spiel|rezept"
    r"|angebot"
    r"|produit|livre|chanson|morceau|annonce|actualite|jeu|recette|offre)"
)
# Codes that are numbers of items without a further word.
CODES_OF_ITEMS = (
    r"((parent_)?(sku|asin)|isbn(_?1[03])?|ean(_?(8|13))?|gtin|upc|plu|barcode|url"
    r"|art_?(no|nr|num|nummer))"
)
WITH_SUFFIX_ONLY = r"(content|part|vehicle|property|place|series|creative|campaign)"
# What happens once, or stands in one row: whatever has these numbers does not return.
OCCASIONS = (
    r"(row|line|record|entry|log|index|serial|order|invoice|basket|cart|event|session"
    r"|visit|transaction|trans|txn|receipt|ticket|bill|purchase|payment|checkout"
    r"|booking|reservation|shipment|delivery|click|impression|request|interaction"
    r"|bestell(ung)?s?|auftrags?|rechnungs?|belegs?|bon|kassenbon|warenkorb|zeilen?"
    r"|sitzungs?|ereignis|vorgangs?|transaktions?|positions?|lfd|laufende|besuchs?"
    r"|commande|facture|panier|ligne|evenement|seance|visite|achat|recu)"
)
OF_OCCASIONS = r"(_?(type|typ|status|total|value|amount|qty|quantity|length))"
NUMBERS_ONLY = r"(nr|no|num|number|nummer|numero|n|uuid|guid|rowid|unnamed_*\d*)?"
# Amounts and other measures, which say how much, and not who or what.
MEASURES = (
    r"((unit_?|total_?)?(price|amount|cost|value|quantity|qty)|total|count|discount"
    r"|revenue|sales|ratings?|stars|score|weight|reward|duration|dwell_?time"
    r"|(einzel|gesamt)?(preis|betrag|menge)|anzahl|summe|umsatz|rabatt|bewertung"
    r"|prix(_unitaire)?|montant|quantite|qte|remise|note)"
)


def plain_name(name) -> str:
    """Return a name in small letters without accents, its words joined by `_`."""
    parts = unicodedata.normalize("NFKD", str(name).casefold())
    letters = [part for part in parts if not unicodedata.combining(part)]
    return re.sub(r"[\W_]+", "_", "".join(letters)).strip("_")


def rank_of_user_name(name) -> int | None:
    """Return how surely a name is that of users, 0 is best; None if it is not.

    0: it says that it is an id. 1: the noun only. 2: what users are called.
    """
    return _rank(plain_name(name), USERS, "uid")


def rank_of_item_name(name) -> int | None:
    """Return how surely a name is that of items, as `rank_of_user_name`."""
    plain = plain_name(name)
    if re.fullmatch(rf"{BEFORE}?{WITH_SUFFIX_ONLY}|{WITH_SUFFIX_ONLY}{AFTER}", plain):
        if re.fullmatch(WITH_SUFFIX_ONLY, plain):
            return None
        return 0
    if re.fullmatch("title|titel|titre", plain):
        return 2
    return _rank(plain, ITEMS, rf"{CODES_OF_ITEMS}{AFTER}?")


def _rank(plain, nouns, codes):
    """Return how surely a plain name is that of ``nouns``, or of ``codes`` of them."""
    forms = (rf"{codes}|{nouns}{AFTER}|{BEFORE}{nouns}", nouns, rf"{nouns}{AS_TEXT}")
    for rank, form in enumerate(forms):
        if re.fullmatch(form, plain):
            return rank
    return None


def is_number_of_occasions(name) -> bool:
    """Return whether a name is that of numbers of rows, orders, events or sessions."""
    plain = plain_name(name)
    one = rf"{BEFORE}?{OCCASIONS}({AFTER}|{OF_OCCASIONS})?|{OCCASIONS}_?nummern?"
    return bool(re.fullmatch(f"{one}|{NUMBERS_ONLY}", plain))


def is_measure(name) -> bool:
    """Return whether a name is that of amounts, prices or ratings."""
    return bool(re.fullmatch(MEASURES, plain_name(name)))
