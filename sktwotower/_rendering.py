"""Enters: the figures of a report, rows (group, model), columns by metric and k.

Leaves: the same frame, which prints itself as a table.
Next: the reader's eyes.
"""

import shutil

import pandas as pd


class Report(pd.DataFrame):
    """A DataFrame that prints one block of columns per k; parts of it are plain."""

    def __repr__(self):
        ends = tuple(f"@{k}" for k in self.attrs.get("k", ()))
        blocks = {end: [] for end in ends} or {"": []}
        for name in self.columns:
            at = "@" + str(name).partition("@")[2].removesuffix(" se")
            blocks.get(at, list(blocks.values())[-1]).append(name)
        width = max(80, shutil.get_terminal_size().columns)
        return "\n\n".join(
            self[block].to_string(line_width=width, float_format="{:.4f}".format)
            for block in blocks.values()
        )
