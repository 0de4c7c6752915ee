"""What the examples of the splitters' methods print.

Input: the examples of `InteractionSplit`.
Output: their outputs by method, for `own_examples`.
"""

__all__ = ["COLD_ITEM", "COLD_USER", "LAST_N"]

COLD_ITEM = {
    "split": """
          user item  day
        0  ann  tea    1
        1  bob  tea    2
        2  ann  jam    3
        3  bob  jam    4
        5  ann  ham    6

          user item  day
        4  bob  egg    5
    """,
}

COLD_USER = {
    "split": """
          user item  day
        0  ann  tea    1
        2  ann  jam    3
        5  ann  ham    6

          user item  day
        1  bob  tea    2
        3  bob  jam    4
        4  bob  egg    5
    """,
}

LAST_N = {
    "split": """
          user item  day
        0  ann  tea    1
        1  bob  tea    2
        2  ann  jam    3
        3  bob  jam    4

          user item  day
        4  bob  egg    5
        5  ann  ham    6
    """,
}
