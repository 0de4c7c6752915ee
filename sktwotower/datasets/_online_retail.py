"""Purchases of a giftware shop, shipped with the package.

Input: the files of ``data/``.
Output: a frame (397884, 6) sorted by time, and tables of 3665 products and 4338
customers.
"""

from importlib.resources import files
from typing import Any, Literal, overload

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from sktwotower._sklearn_compat import checks_arguments

_FOLDER = files(__package__)
_FILENAME = "online_retail.npz"


@overload
def load_online_retail(
    *, return_X_y: Literal[False] = False, as_frame: bool = True
) -> Bunch: ...
@overload
def load_online_retail(
    *, return_X_y: Literal[True], as_frame: bool = True
) -> tuple[Any, Any]: ...
@checks_arguments(return_X_y=["boolean"], as_frame=["boolean"])
def load_online_retail(*, return_X_y=False, as_frame=True) -> Bunch | tuple[Any, Any]:
    """Load the Online Retail data: a year of purchases in a British giftware shop.

    One row is one line of an invoice: a customer bought a product. Customers often buy
    a product again, so a pair may occur in several rows. Nothing is downloaded: the
    data are in the public domain and come with the package.

    =================   ======================================
    Purchase lines                                     397,884
    Customers                                            4,338
    Products                                             3,665
    Invoices                                            18,532
    Time                1 December 2010 to 9 December 2011
    =================   ======================================

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, return ``(data, target)`` instead of the Bunch.
    as_frame : bool, default=True
        If True, `data` is a DataFrame and `target` a Series. If False, `data` is an
        object array (its columns have different types) and `target` an int array; the
        tables `products` and `customers` are DataFrames in both cases.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : {DataFrame, ndarray} of shape (397884, 6)
            The lines sorted by time, equal times in the order of the source. Columns:
            `customer` (int), `product` (stock code, str), `time` (datetime64[s], to the
            minute), `quantity` (int, pieces, 1 to 80995), `unit_price` (float, pounds
            sterling, 0.001 to 8142.75), `invoice` (int).
        target : {Series, ndarray} of shape (397884,)
            The quantity, the reward of the event. It is also a column of `data`, which
            must not be used as a feature to predict it. A few quantities are very
            large; to learn only what is bought, pass ``y=None`` instead.
        frame : DataFrame of shape (397884, 6) or None
            `data` again, as it holds the target; None if `as_frame` is False.
        feature_names : list of 6 str
            The columns of `data`.
        products : DataFrame of shape (3665, 2)
            Columns `product` and `description` (the most frequent one; str), by
            `product`.
        customers : DataFrame of shape (4338, 2)
            Columns `customer` and `country` (the most frequent one; str), by
            `customer`.
        DESCR : str
            Description of the data with source, licence and citation, in reST.
        filename : str
            Name of the file with the purchase lines.
        data_module : str
            Package that holds that file, as :func:`importlib.resources.files` takes it.

    (data, target) : tuple if `return_X_y` is True
        The two entries described above.

    Raises
    ------
    ValueError
        If a parameter is not a bool.

    Notes
    -----
    Five stock codes are not goods: POST, DOT and C2 (carriage), M (manual entry) and
    BANK CHARGES. They are kept; drop them where only goods are wanted.

    References
    ----------
    D. Chen, S. L. Sain and K. Guo, "Data mining for the online retail industry: A case
    study of RFM model-based customer segmentation using data mining", Journal of
    Database Marketing & Customer Strategy Management 19(3), 2012,
    doi:10.1057/dbm.2012.17.

    Examples
    --------
    >>> from sktwotower.datasets import load_online_retail
    >>> shop = load_online_retail()
    >>> f"{len(shop.data):,} purchases of {len(shop.customers):,} customers"
    '397,884 purchases of 4,338 customers'
    >>> first = shop.data.head(3).merge(shop.products)
    >>> first[["customer", "time", "quantity", "description"]]
       customer                time  quantity                         description
    0     17850 2010-12-01 08:26:00         6  WHITE HANGING HEART T-LIGHT HOLDER
    1     17850 2010-12-01 08:26:00         6                 WHITE METAL LANTERN
    2     17850 2010-12-01 08:26:00         8      CREAM CUPID HEARTS COAT HANGER
    """
    products = _read_table("products", {"product": str, "description": str})
    frame = _read_lines(products["product"])
    target = frame["quantity"].copy()
    data = frame
    if not as_frame:
        data = frame.to_numpy(dtype=object)
        target = target.to_numpy()
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        frame=frame if as_frame else None,
        feature_names=list(frame.columns),
        products=products,
        customers=_read_table("customers", {"customer": "int64", "country": str}),
        DESCR=(_FOLDER / "descr" / "online_retail.rst").read_text(encoding="utf-8"),
        filename=_FILENAME,
        data_module=f"{__package__}.data",
    )


def _read_table(name, dtype):
    """Return the side table of the products or of the customers."""
    with (_FOLDER / "data" / f"online_retail_{name}.csv").open("rb") as file:
        return pd.read_csv(file, dtype=dtype, keep_default_na=False)


def _read_lines(product_ids):
    """Return one row per purchase line, (397884, 6), from packed baskets and offers.

    A basket is an invoice at one minute, an offer is a product at one price.
    """
    with (_FOLDER / "data" / _FILENAME).open("rb") as file:
        packed = dict(np.load(file))
    offer = packed["line_offer"]
    n_lines = packed["basket_n_lines"]
    minute = packed["basket_minute"].astype("datetime64[m]")
    product = product_ids.take(packed["offer_product"][offer])
    columns = {
        "customer": np.repeat(packed["basket_customer"].astype("int64"), n_lines),
        "product": product.reset_index(drop=True),
        "time": np.repeat(minute.astype("datetime64[s]"), n_lines),
        "quantity": packed["line_quantity"].astype("int64"),
        "unit_price": packed["offer_price"][offer] / 1000,
        "invoice": np.repeat(packed["basket_invoice"].astype("int64"), n_lines),
    }
    return pd.DataFrame(columns)
