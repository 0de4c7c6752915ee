"""The parts of the command line.

Input: its arguments.
Output: a printed report, and files.
"""
