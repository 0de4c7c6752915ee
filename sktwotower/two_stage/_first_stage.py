"""The candidates of users, as the retriever finds them.

Input: a fitted retriever, and n users with their past items.
Output: scores and positions (n, n_candidates), best first, padded with -1.
"""


def find_candidates(retriever, query, past, n_candidates, exclude_seen=False):
    """Return scores and positions (n, n_candidates) of the best items for users.

    ``query``: n users, and ``past``: their `Past`, as the retriever reads them.
    ``exclude_seen``: whether past items are left out.
    """
    fitted, excluded = retriever._fitted, past.seen if exclude_seen else None
    k, serving = min(n_candidates, fitted.n_items), retriever._serving()
    return fitted.search(query, past, k, serving, excluded)
