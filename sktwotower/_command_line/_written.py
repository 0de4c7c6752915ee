"""The files that the command line writes.

Input: a fitted recommender, its report, and held-out events.
Output: recommendations, the model, a picture, and a page with all of it.
"""

import base64
import os
from html import escape
from io import BytesIO
from pathlib import Path
from string import Template

import pandas as pd

from sktwotower._records._atomic import replaced_file
from sktwotower._tables._frames import as_frame

from ._printed import meaning, typical_users
from ._steps import step

MANY = 1_000  # users among whom typical ones are looked for
WITHOUT_NAMES = (
    "<p><code>--items FILE --item-name COLUMN</code> shows names in place of ids.</p>"
)


def write_recommendations(model, task, path, k) -> None:
    """Write k recommendations for every user known, with names of the items if any."""
    is_parquet = path.suffix != ".csv"
    with step("Recommending to all users"):
        if is_parquet and task.names is None:
            model.recommend(n_neighbors=k, path=path)
        else:
            top = model.recommend(n_neighbors=k)
            if task.names is not None:
                top["item_name"] = top[task.item].map(task.names)
            with replaced_file(path) as file:
                if is_parquet:
                    top.to_parquet(file, index=False)
                else:
                    top.to_csv(file, index=False)
    without = ""
    if task.context:
        without = ", without context"
    print(f"Saved {path}: at most {k} items of two towers for each user{without}.")
    if is_parquet:
        return
    # ids must be those of the events, so text that looks like a formula is not changed
    for column in top.select_dtypes(exclude="number"):
        cells = top[column].dropna().astype(str)
        formulas = cells[cells.str.startswith(("=", "+", "-", "@", "\t", "\r"))]
        if len(formulas):
            cells = f"{len(formulas):,} cells of {column}, such as {formulas.iloc[0]!r}"
            print(f"Careful: in a spreadsheet {cells}, are formulas. Import as text.")


def make_folders(args) -> None:
    """Make the folders of all that is written, before minutes are spent on it."""
    folders = [("--output", args.output)]
    if args.recommendations is not None:
        folders.append(("--recommendations", args.recommendations.parent))
    for option, folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = f"the folder {folder} cannot be made: {error.strerror}"
            raise ValueError(f"{option}: {reason}.") from None
        if not os.access(folder, os.W_OK):
            raise ValueError(f"{option}: nothing can be written into {folder}.")


def save_report(picture, page, folder, saved) -> None:
    """Write the picture (bytes or None) and the page; ``saved`` gets their paths."""
    for name, content in (("report.html", page.encode()), ("report.png", picture)):
        if content is not None:
            with replaced_file(folder / name) as file:
                file.write(content)
            saved.append(str(folder / name))
    print(f"Saved {' and '.join(saved)}: the result as a page.")


def save_model(model, folder, saved) -> None:
    """Write the model, and say where; ``saved`` gets its path."""
    from sktwotower import io  # torch takes seconds to import

    path = folder / "model.sktt"
    io.dump(model, path)
    saved.append(str(path))
    print(f"\nSaved {path}: two towers of all events, for sktwotower.io.load.")


def page(model, task, train, test, report, picture) -> str:
    """Return one HTML page that needs no other file; ``picture``: bytes or None."""
    image = ""
    if picture:
        data = base64.b64encode(picture).decode()
        image = f'<img alt="recall of all models" src="data:image/png;base64,{data}">'
    caution = ""
    if task.caution:
        caution = f"<p>{task.caution}</p>"
    about_names = ""
    if task.names is None:
        about_names = WITHOUT_NAMES
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        title=escape(f"Recommendations for {task.title}"),
        caution=caution,
        meaning=escape(meaning(report)),
        picture=image,
        report=report._repr_html_(),
        cards=cards(model, task, train, test),
        about_names=about_names,
    )


def cards(model, task, train, test, chosen=None) -> str:
    """Return a card for each of three typical users of the held-out events.

    ``chosen``: the users to take instead of the typical ones.
    """
    user = task.user
    users = pd.unique(test[task.user])[:MANY]
    if chosen is not None:
        users = chosen
    # events on disk are not read again; the model knows them without their order
    known = train
    if not isinstance(train, pd.DataFrame):
        known = model.seen_items(users)
    known = as_frame(known, "known")
    known = known[known[user].isin(users)]
    known = known.drop_duplicates([user, task.item], keep="last")
    if chosen is None:
        chosen = typical_users(known[user].value_counts())
    later = test[test[user].isin(chosen)]
    requests = later.drop_duplicates(user)[[user, *task.context]]
    top = model.recommend(requests, n_neighbors=10)
    known = known.groupby(user)[task.item].agg(list)
    top = top.groupby(user)[task.item].agg(list)
    later = later.groupby(user)[task.item].agg(list)
    text = ""
    for one in chosen:
        known_items = known.get(one, [])
        last = known_items[-5:]
        right = set(later.get(one, []))
        text += (
            f"<section><h3>{escape(f'{user} {one}')}</h3>"
            f"<p>Known: {task.which}{len(last)} of {len(known_items)} items</p>"
            f"<ul>{_entries(task, last)}</ul>"
            f"<p>Suggested (✓: one of {len(right)} chosen later)</p>"
            f"<ol>{_entries(task, top.get(one, []), right)}</ol></section>"
        )
    return text


def _entries(task, items, right=()):
    """Return the names of items as entries of a list, those in ``right`` marked."""
    entries = ""
    for item in items:
        name = escape(task.name(item))
        if item in right:
            name = f"<b>{name} ✓</b>"
        entries += f"<li>{name}</li>"
    return entries


def draw(model, task, test, baselines) -> bytes | None:
    """Return a picture of the recall by number of recommendations and popularity.

    None without Matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("No picture: Matplotlib is missing. pip install 'sktwotower[plot]'")
        return None
    from sktwotower.plots import RecallByPopularityDisplay, RecallCurveDisplay

    figure = Figure(figsize=(14, 4.5), layout="constrained")
    figure.suptitle(f"{task.title}: {len(test):,} held-out events", parse_math=False)
    displays = (RecallCurveDisplay, RecallByPopularityDisplay)
    file = BytesIO()
    with step("Drawing the figures"):
        for display, ax in zip(displays, figure.subplots(1, 2), strict=True):
            display.from_estimator(model, test, baselines=baselines, ax=ax)
        figure.savefig(file, dpi=120)
    return file.getvalue()
