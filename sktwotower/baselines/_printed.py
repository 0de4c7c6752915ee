"""What the examples of inherited methods print for each of the baselines.

Input: the examples of `RetrievalMixin`, `EvaluationMixin` and `MatrixRecommender`.
Output: their outputs by method, for `own_examples`.
"""

__all__ = ["CLICK_RATE", "EASE", "ITEM_KNN", "POPULARITY"]

CLICK_RATE = {
    "fit": """
        array(['bread', 'glue', 'jam', 'nails', 'paint', 'tea'], dtype=object)

          user  item  score  rank
        0  ann  glue   0.75     1
    """,
    "kneighbors": """
        array([['glue', 'bread'],
               ['tea', 'bread']], dtype=object)

        array([[0.25, 0.27],
               [0.25, 0.27]], dtype=float32)
    """,
    "kneighbors_graph": """
             bread  glue  jam  nails  paint  tea
        ann      0     1    0      0      0    0
        bob      0     1    0      0      0    0
        cid      0     0    0      0      0    1
        dan      0     0    0      0      0    1
    """,
    "predict": """
        array([0.73, 0.64], dtype=float32)
    """,
    "rank_held_out": """
                0      1
        ann  glue  bread
        cid   tea  bread

        array([[1, 0, 0, 0, 0, 0],
               [0, 0, 0, 0, 1, 0]])
    """,
    "recommend": """
          user   item  score  rank
        0  ann   glue   0.75     1
        1  ann  bread   0.73     2
        2  cid    tea   0.75     1
        3  cid  bread   0.73     2

          user  item  score  rank
        0  zoe  glue   0.75     1
        1  zoe   tea   0.75     2

          user item  score  rank
        0  zoe  tea   0.75     1
    """,
    "score": """
        0.25
    """,
    "seen_items": """
          user item
        0  ann  tea
    """,
}

EASE = {
    "kneighbors": """
        array([['bread', 'glue'],
               ['paint', 'jam']], dtype=object)

        array([[0.6, 1. ],
               [0.6, 1. ]], dtype=float32)
    """,
    "kneighbors_graph": """
             bread  glue  jam  nails  paint  tea
        ann      1     0    0      0      0    0
        bob      0     1    0      0      0    0
        cid      0     0    0      0      1    0
        dan      0     0    1      0      0    0
    """,
    "rank_held_out": """
                 0     1
        ann  bread  glue
        cid  paint   jam

        array([[1, 0, 0, 0, 0, 0],
               [0, 0, 0, 0, 1, 0]])
    """,
    "recommend": """
          user   item  score  rank
        0  ann  bread    0.4     1
        1  ann   glue    0.0     2
        2  cid  paint    0.4     1
        3  cid    jam    0.0     2

          user   item  score  rank
        0  zoe   glue    0.6     1
        1  zoe  paint    0.2     2

          user   item  score  rank
        0  zoe  paint    0.2     1
    """,
    "similar_items": """
            item similar_item  score  rank
        0    tea          jam    0.6     1
        1    tea        bread    0.2     2
        2  paint         glue    0.2     1
        3  paint        nails    0.2     2
    """,
}

ITEM_KNN = {
    "fit": """
        array(['bread', 'glue', 'jam', 'nails', 'paint', 'tea'], dtype=object)

          user   item     score  rank
        0  ann  bread  1.414214     1
    """,
    "kneighbors": """
        array([['bread', 'glue'],
               ['paint', 'jam']], dtype=object)

        array([[-0.41,  1.  ],
               [-0.41,  1.  ]], dtype=float32)
    """,
    "kneighbors_graph": """
             bread  glue  jam  nails  paint  tea
        ann      1     0    0      0      0    0
        bob      0     1    0      0      0    0
        cid      0     0    0      0      1    0
        dan      0     0    1      0      0    0
    """,
    "predict": """
        array([1.41, 0.  ], dtype=float32)
    """,
    "rank_held_out": """
                 0     1
        ann  bread  glue
        cid  paint   jam

        array([[1, 0, 0, 0, 0, 0],
               [0, 0, 0, 0, 1, 0]])
    """,
    "recommend": """
          user   item  score  rank
        0  ann  bread   1.41     1
        1  ann   glue   0.00     2
        2  cid  paint   1.41     1
        3  cid    jam   0.00     2

          user   item  score  rank
        0  zoe   glue   1.00     1
        1  zoe  paint   0.71     2

          user   item  score  rank
        0  zoe  paint   0.71     1
    """,
    "similar_items": """
            item similar_item  score  rank
        0    tea          jam   1.00     1
        1    tea        bread   0.71     2
        2  paint         glue   0.71     1
        3  paint        nails   0.71     2
    """,
}

POPULARITY = {
    "fit": """
        array(['bread', 'glue', 'jam', 'nails', 'paint', 'tea'], dtype=object)

          user  item  score  rank
        0  ann  glue    0.5     1
    """,
    "kneighbors": """
        array([['glue', 'nails'],
               ['jam', 'tea']], dtype=object)

        array([[0.5, 0.5],
               [0.5, 0.5]], dtype=float32)
    """,
    "kneighbors_graph": """
             bread  glue  jam  nails  paint  tea
        ann      0     1    0      0      0    0
        bob      0     1    0      0      0    0
        cid      0     0    1      0      0    0
        dan      0     0    1      0      0    0
    """,
    "predict": """
        array([0.25, 0.25], dtype=float32)
    """,
    "rank_held_out": """
                0      1
        ann  glue  nails
        cid   jam    tea

        array([[1, 0, 0, 0, 0, 0],
               [0, 0, 0, 0, 1, 0]])
    """,
    "recommend": """
          user   item  score  rank
        0  ann   glue    0.5     1
        1  ann  nails    0.5     2
        2  cid    jam    0.5     1
        3  cid    tea    0.5     2

          user  item  score  rank
        0  zoe  glue    0.5     1
        1  zoe   tea    0.5     2

          user item  score  rank
        0  zoe  jam    0.5     1
    """,
    "score": """
        0.0
    """,
}
