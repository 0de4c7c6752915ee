"""Sparse rows as tensors, and operators of them whose gradients are cheap.

Imports nothing of the other rooms of `sktwotower.towers`.
"""
