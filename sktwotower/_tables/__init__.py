"""Tables of any dataframe library, read once and checked.

Input: an interaction table, ids or a column, of pandas or of what narwhals reads.
Output: checked pandas frames, ids and rewards, and sparse user x item matrices.
Nothing here is public.
"""
