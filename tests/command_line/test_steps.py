"""Lines with their time, colors, and the end by Ctrl-C."""

import io
import os
import signal
import subprocess
import sys
import time
import warnings

import pytest

from sktwotower.__main__ import main
from sktwotower._command_line import _models, _run, _written
from sktwotower._command_line._steps import GREEN, step, stopped_by_signal, styled


def test_a_step_is_a_line_with_its_seconds(capsys):
    with step("Waiting"):
        assert capsys.readouterr().out == "Waiting ..."
        time.sleep(0.06)
    seconds = float(capsys.readouterr().out.removesuffix(" s\n"))
    assert 0.1 <= seconds < 30  # of .06 s and more, rounded


def test_a_step_that_fails_ends_its_line(capsys):
    with pytest.raises(ValueError, match="broken"), step("Waiting"):
        raise ValueError("broken")
    assert capsys.readouterr().out == "Waiting ...\n"


@pytest.mark.parametrize(
    ("is_terminal", "environment", "is_colored"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_color_is_for_terminals(monkeypatch, is_terminal, environment, is_colored):
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal, raising=False)
    assert styled("fine", GREEN) == ("\033[32mfine\033[0m" if is_colored else "fine")


@pytest.fixture
def plays(tmp_path):
    """Each of 12 users has chosen eight of ten items, in no order."""
    rows = [f"{u},{(u + 3 * n) % 10}" for u in range(12) for n in range(8)]
    path = tmp_path / "plays.csv"
    path.write_text("\n".join(["listener,track", *rows]))
    return path


# jobs in the background ignore the signal
@pytest.mark.parametrize(
    ("before", "n_fits"), [(signal.SIG_IGN, 0), (signal.default_int_handler, 1)]
)
def test_ctrl_c_ends_with_what_was_saved(
    plays, tmp_path, monkeypatch, capsys, before, n_fits
):
    fit, fits = _models.fit, []

    def interrupted(*args, **params):
        if len(fits) == n_fits:
            os.kill(os.getpid(), signal.SIGINT)
        fits.append(fit(*args, **params))
        return fits[-1]

    monkeypatch.setattr(_models, "fit", interrupted)
    monkeypatch.setattr(_written, "draw", lambda *args: None)
    set_before = signal.signal(signal.SIGINT, before)
    try:
        arguments = ["--data", str(plays), "--epochs", "1", "--output", str(tmp_path)]
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 130
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, set_before)
    *_, last = capsys.readouterr().out.splitlines()
    page = tmp_path / "report.html"
    left = f"Saved before: {page}." if n_fits else "Nothing was saved."
    assert last == f"Stopped. {left}"
    assert page.exists() == (n_fits > 0) and not (tmp_path / "model.sktt").exists()


class InterruptingFinder:
    """What finds modules; the run of the command line is imported at Ctrl-C."""

    def find_spec(self, name, *_):
        if name == "sktwotower._command_line._run":
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_ends_the_first_imports(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "sktwotower._command_line._run")
    monkeypatch.setattr(sys, "meta_path", [InterruptingFinder(), *sys.meta_path])
    with pytest.raises((SystemExit, KeyboardInterrupt)) as ended:
        main(["--version"])
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
def test_without_a_reader_it_ends_in_silence(option, pipe, monkeypatch, capsys):
    reader, out = pipe
    monkeypatch.setattr("sys.stdout", out)
    reader.close()
    assert main([option]) == 141
    assert not capsys.readouterr().err


@pytest.mark.slow
def test_what_was_saved_stays_without_a_reader(
    plays, tmp_path, pipe, monkeypatch, capsys
):
    (reader, out), fit, fits = pipe, _models.fit, []

    def unread(*args, **params):
        if fits:
            reader.close()
        fits.append(fit(*args, **params))
        return fits[-1]

    monkeypatch.setattr(_models, "fit", unread)
    monkeypatch.setattr(_written, "draw", lambda *args: None)
    monkeypatch.setattr("sys.stdout", out)
    output = ["--epochs", "1", "--output", str(tmp_path / "out")]
    assert main(["--data", str(plays), *output]) == 141
    assert not capsys.readouterr().err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_warnings_are_lines_without_a_path(monkeypatch, capsys):
    def fit_and_save(*args):
        for text in ("All cells are missing.", "Else.", "All cells are missing."):
            with warnings.catch_warnings():  # as fit does, which forgets what was shown
                warnings.simplefilter("always")
                warnings.warn(text, UserWarning, stacklevel=1)

    monkeypatch.setattr(_run, "fit_and_save", fit_and_save)
    shown = warnings.showwarning
    assert main([]) == 0
    shown_once = "\nWarning: All cells are missing.\n\nWarning: Else.\n"
    assert capsys.readouterr() == ("", shown_once)
    assert main([]) == 0 and capsys.readouterr().err == shown_once
    assert warnings.showwarning is shown


def test_training_does_not_take_ctrl_c_as_its_own_end(plays, monkeypatch, capsys):
    class Stopping:
        def on_epoch_end(self, *args, **kwargs):
            os.kill(os.getpid(), signal.SIGINT)

    from sktwotower.towers import _callbacks

    monkeypatch.setattr(_callbacks._ProgressBar, "on_epoch_end", Stopping.on_epoch_end)
    with pytest.raises(SystemExit) as ended, stopped_by_signal([]):
        from sktwotower import TwoTowerRecommender

        X = [(u, (u + n) % 9) for u in range(20) for n in range(4)]
        TwoTowerRecommender(max_epochs=3, embedding_dim=4, verbose=1).fit(X)
    assert ended.value.code == 130
    assert capsys.readouterr().out == "\nStopped. Nothing was saved.\n"


def test_without_a_place_for_output_nothing_is_colored(monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout", None)
    assert styled("fine", GREEN) == "fine"


def test_letters_that_the_output_lacks_are_spelt(monkeypatch):
    out = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(out, "ascii"))
    assert main(["--data", "茶.csv"]) == 2
    print("茶", end="", flush=True)
    assert out.getvalue() == rb"\u8336"
