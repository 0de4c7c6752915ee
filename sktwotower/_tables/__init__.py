"""Readers and checks of tables, ids, times and events of any dataframe library.

Input: tables, columns and ids of pandas, polars, pyarrow or numpy, and lists.
Output: pandas frames, ids of one plain type, float64 rewards and weights, and sparse
user x item matrices. Nothing here is public.
"""
