"""WordEncoder: TF-IDF, worked by hand and against scikit-learn."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_extraction.text import TfidfVectorizer

from tests.features.builders import vectorize


def test_text_is_tfidf():
    # "toy" is in both texts: idf 1; "story" in one of two: idf 1 + ln(3 / 2)
    rows, names = vectorize(["Toy Story", "toy"], kind="text", min_frequency=1)
    assert names == ["c_story", "c_toy"]
    idf = 1 + np.log(1.5)
    norm = np.hypot(idf, 1)
    assert_allclose(rows, [[idf / norm, 1 / norm], [0, 1]], rtol=1e-6)


def test_text_agrees_with_scikit_learn_and_leaves_unknown_words_out():
    texts = ["the red fox", "the red red dog", "a blue fox", "Café fox"]
    rows, _ = vectorize(texts, [*texts, "unknown"], min_frequency=1)
    peer = TfidfVectorizer(
        sublinear_tf=True, token_pattern=r"\w+", strip_accents="unicode"
    )
    assert_allclose(rows[:-1], peer.fit_transform(texts).toarray(), rtol=1e-6)
    assert not rows[-1].any()


def test_missing_text_is_marked():
    rows, names = vectorize(["red fox", "red dog", None])
    assert names == ["c_red", "c_missing"]
    assert_array_equal(rows, [[1, 0], [1, 0], [0, 1]])


def test_text_without_words():
    with pytest.raises(ValueError, match="'c' of kind 'text' holds no word"):
        vectorize(["- -", "* *"], kind="text")
