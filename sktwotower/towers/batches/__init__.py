"""Training data, and its batches: users, what they chose, and candidate items."""
