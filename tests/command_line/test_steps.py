"""What a run prints and saves, in color or not, and its end by Ctrl-C."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import warnings

import pytest

from sktwotower import TwoTowerRecommender
from sktwotower.__main__ import main


@pytest.fixture(scope="module")
def plays(tmp_path_factory):
    """Each of 12 users has chosen eight of ten items, in no order."""
    rows = [f"{u},={(u + 3 * n) % 10}" for u in range(12) for n in range(8)]
    path = tmp_path_factory.mktemp("plays") / "plays.csv"
    path.write_text("\n".join(["listener,track", *rows]))
    return path


@pytest.fixture(scope="module")
def printed(plays, tmp_path_factory):
    """What a run prints whose output takes colors."""
    folder, out = tmp_path_factory.mktemp("out"), io.StringIO()
    options = [
        "--epochs",
        "1",
        "--output",
        folder,
        "--recommendations",
        folder / "a.csv",
    ]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FORCE_COLOR", "1")
        environment.delenv("NO_COLOR", raising=False)
        with contextlib.redirect_stdout(out):
            assert main(["--data", str(plays), *map(str, options)]) == 0
    assert (folder / "model.sktt").exists() and (folder / "a.csv").exists()
    return out.getvalue()


@pytest.mark.slow
def test_a_step_is_a_line_with_its_seconds(printed):
    for what in ("Fitting two towers", "Judging all of them"):
        assert re.search(rf"{what} \.\.\. \d+\.\d s\n", printed)


@pytest.mark.slow
def test_headers_and_the_verdict_are_colored(printed):
    assert re.search("\033\\[1mlistener .*, .* of 8 items:\033\\[0m", printed)


@pytest.mark.slow
def test_what_to_try_next_is_said(printed):
    assert "What to try next:\n- --items FILE adds words" in printed


@pytest.mark.slow
def test_cells_that_a_spreadsheet_runs_are_counted(printed):
    assert re.search("in a spreadsheet .* cells of track, such as '=.', are", printed)


@pytest.fixture
def at_fit(monkeypatch):
    """Return a function: what happens after some fits of two towers."""
    fit = TwoTowerRecommender.fit

    def set_action(n_fits, action):
        fits = []

        def counted(model, *args, **params):
            if len(fits) == n_fits:
                action()
            fits.append(model)
            return fit(model, *args, **params)

        monkeypatch.setattr(TwoTowerRecommender, "fit", counted)

    return set_action


# jobs in the background ignore the signal
@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "n_fits"), [(signal.SIG_IGN, 0), (signal.default_int_handler, 1)]
)
def test_ctrl_c_ends_with_what_was_saved(
    plays, tmp_path, at_fit, capsys, before, n_fits
):
    at_fit(n_fits, lambda: os.kill(os.getpid(), signal.SIGINT))
    set_before = signal.signal(signal.SIGINT, before)
    try:
        arguments = ["--data", str(plays), "--epochs", "1", "--output", str(tmp_path)]
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 130
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, set_before)
    said = capsys.readouterr().out
    page = tmp_path / "report.html"
    left = "Saved before: " if n_fits else "Nothing was saved."
    *_, last = said.splitlines()
    assert last.startswith(f"Stopped. {left}") and "\033" not in said
    assert (str(page) in last) == page.exists() == (n_fits > 0)
    assert not (tmp_path / "model.sktt").exists()


def test_warnings_are_lines_without_a_path(plays, tmp_path, at_fit, capsys):
    def warn_and_fail():
        for text in ("All cells are missing.", "Else.", "All cells are missing."):
            with warnings.catch_warnings():  # as fit does, which forgets what was shown
                warnings.simplefilter("always")
                warnings.warn(text, UserWarning, stacklevel=1)
        raise ValueError("this is the end")

    at_fit(0, warn_and_fail)
    shown = warnings.showwarning
    assert main(["--data", str(plays), "--output", str(tmp_path)]) == 2
    said = "\nWarning: All cells are missing.\n\nWarning: Else.\n"
    assert capsys.readouterr().err == f"{said}error: this is the end\n"
    assert warnings.showwarning is shown


class InterruptingFinder:
    """What finds modules: at Ctrl-C while the command line is imported."""

    def find_spec(self, name, *_):
        if name == "sktwotower._command_line._run":
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_ends_the_first_imports(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "sktwotower._command_line._run", raising=False)
    finder = InterruptingFinder()
    sys.meta_path.insert(0, finder)
    try:
        with pytest.raises((SystemExit, KeyboardInterrupt)) as ended:
            main(["--version"])
    finally:
        sys.meta_path.remove(finder)
    assert ended.type is SystemExit and ended.value.code == 130
    assert capsys.readouterr() == ("\nStopped. Nothing was saved.\n", "")


def test_nothing_heavy_is_imported_before_ctrl_c_is_heeded():
    code = "import sys, sktwotower.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    heavy = {"numpy", "pandas", "sklearn", "torch", "argparse"}
    assert not heavy & set(done.stdout.split()) and "sktwotower" in done.stdout


@pytest.fixture
def pipe():
    """What reads an output, and the output."""
    read, write = os.pipe()
    with open(read) as reader, open(write, "w") as out:
        yield reader, out


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_without_a_reader_it_ends_in_silence(option, pipe, capsys):
    reader, out = pipe
    reader.close()
    with contextlib.redirect_stdout(out):
        assert main([option]) == 141
    assert not capsys.readouterr().err


@pytest.mark.slow
def test_what_was_saved_stays_without_a_reader(plays, tmp_path, pipe, at_fit, capsys):
    reader, out = pipe
    at_fit(1, reader.close)
    output = ["--epochs", "1", "--output", str(tmp_path / "out")]
    with contextlib.redirect_stdout(out):
        assert main(["--data", str(plays), *output]) == 141
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    assert not (tmp_path / "out" / "model.sktt").exists()


def test_letters_that_the_output_lacks_are_spelt():
    out = io.BytesIO()
    with contextlib.redirect_stdout(io.TextIOWrapper(out, "ascii")) as text:
        assert main(["--data", "茶.csv"]) == 2
        print("茶", end="", flush=True)
        assert out.getvalue() == rb"\u8336"
        text.detach()
