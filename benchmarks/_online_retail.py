"""The Online Retail files that the package ships, from the source table.

Input: ``online-retail/purchases.parquet`` below a folder: the purchase lines.
Output: three files, the same ones, byte for byte up to the zlib build, from the same
source. A line that does not come back from them as it was in the source, or files of
3 MB and more, fail.
"""

from pathlib import Path

import numpy as np
import pandas as pd

PACKAGE_DATA = Path(__file__).parents[1] / "sktwotower" / "datasets" / "data"


def most_frequent(lines, key, value):
    """One row per key with its most frequent value (ties: first in the alphabet)."""
    counts = lines.groupby([key, value]).size().reset_index(name="n")
    counts = counts.sort_values([key, "n", value], ascending=[True, False, True])
    return counts.drop_duplicates(key)[[key, value]]


def pack(lines):
    """Split lines into baskets (invoice, minute) and offers (product, price).

    The columns of a basket are constant over its lines, and few of the possible
    pairs of product and price occur: stored once each, they halve the file.
    """
    invoice = lines["InvoiceNo"].astype("int32").to_numpy()
    minute = lines["InvoiceDate"].to_numpy().astype("datetime64[m]").astype("int32")
    is_first = np.ones(len(lines), dtype=bool)
    is_first[1:] = (np.diff(invoice) != 0) | (np.diff(minute) != 0)
    first = np.flatnonzero(is_first)
    _, product = np.unique(lines["StockCode"].to_numpy(str), return_inverse=True)
    # Four lines cost a tenth of a penny: the exact unit is 1/1000 of a pound.
    price = np.rint(lines["UnitPrice"].to_numpy() * 1000).astype("int32")
    offers, offer = np.unique(
        np.column_stack([product, price]), axis=0, return_inverse=True
    )
    return {
        "basket_invoice": invoice[first],
        "basket_customer": lines["CustomerID"].to_numpy("int32")[first],
        "basket_minute": minute[first],
        "basket_n_lines": np.diff(np.append(first, len(lines))).astype("uint16"),
        "line_offer": offer.ravel().astype("uint16"),
        "line_quantity": lines["Quantity"].to_numpy("int32"),
        "offer_product": offers[:, 0].astype("uint16"),
        "offer_price": offers[:, 1].astype("int32"),
    }


def check(lines, out):
    """Unpack what was written and compare it with the source."""
    packed = np.load(out / "online_retail.npz")
    products = pd.read_csv(out / "online_retail_products.csv", dtype=str)
    offer, n_lines = packed["line_offer"], packed["basket_n_lines"]
    product = packed["offer_product"][offer]
    minute = np.repeat(packed["basket_minute"], n_lines).astype("datetime64[m]")
    same = {
        "InvoiceNo": np.repeat(packed["basket_invoice"], n_lines).astype(str),
        "CustomerID": np.repeat(packed["basket_customer"], n_lines),
        "InvoiceDate": minute,
        "StockCode": products["product"].to_numpy(str)[product],
        "Quantity": packed["line_quantity"],
        "UnitPrice": packed["offer_price"][offer] / 1000,
    }
    for name, values in same.items():
        assert (lines[name].to_numpy(values.dtype) == values).all(), name
    size = sum(path.stat().st_size for path in out.glob("online_retail*"))
    assert size < 3_000_000, size
    print(f"{len(lines)} lines in {size} bytes, as in the source")


def pack_files(data, out=PACKAGE_DATA):
    """Write the shipped files, and check them against the source."""
    lines = pd.read_parquet(data / "online-retail" / "purchases.parquet")
    lines = lines.sort_values("InvoiceDate", kind="stable")
    lines["Description"] = lines["Description"].str.split().str.join(" ")

    products = most_frequent(lines, "StockCode", "Description")
    customers = most_frequent(lines, "CustomerID", "Country")
    products.columns = ["product", "description"]
    customers.columns = ["customer", "country"]
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out / "online_retail.npz", **pack(lines))
    for name, table in [("products", products), ("customers", customers)]:
        path = out / f"online_retail_{name}.csv"
        table.to_csv(path, index=False, lineterminator="\n")
    check(lines, out)
