"""Ranking methods that all recommenders inherit; everything else here is private.

Input: n users or items, as ids or tables, with histories and candidates.
Output: ranked items, as arrays (n, k) or a table with one row per recommendation.
"""
