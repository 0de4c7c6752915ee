"""Several processes that train one model: who holds what, and what they exchange."""
