import pandas as pd
import pytest


@pytest.fixture
def items():
    return pd.DataFrame(
        {
            "item": [11, 12, 13, 14],
            "genres": ["Action|Comedy", "Drama", "Action|Drama", None],
            "title": ["Toy Story", "Toy Soldiers", "Love Story", "Up and Down"],
            "country": ["UK", "UK", "DE", "UK"],
            "price": [1.5, None, 2.5, 3.5],
            "new": [True, False, True, True],
            "added": pd.to_datetime(["2024-01-01", "2024-04-01", None, "2024-01-03"]),
        }
    )
