"""Requests to a fitted recommender, and their answers.

Input: users or items, as ids or tables, with histories and candidates.
Output: ranked items, as arrays (n, k) or a table with one row per recommendation.
Nothing here is public but the methods that recommenders inherit.
"""
