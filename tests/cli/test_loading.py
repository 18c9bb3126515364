"""Loading the user's apps. Goal: what is found is what was meant, and every mistake is told with its place."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.cli.loading import Loader
from headrace.cli.stopping import interruptible
from headrace.errors import BadDeclaration

APP = """
from headrace import App

app = App("{id}")

@app.function("greet", trigger="parcel/opened")
async def greet(ctx):
    return {answer}
"""


@pytest.fixture(autouse=True)
def _clean_modules() -> Iterator[None]:
    """Forget what the test imported."""
    before, path = dict(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - set(before):
        if not name.startswith("headrace"):
            del sys.modules[name]
    sys.path[:] = path


def write(name: str, text: str) -> Path:
    """Write a file of the user's, with folders."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path.resolve()


def app(id: str = "parcel", answer: object = 1) -> str:
    """Write a small app."""
    return APP.format(id=id, answer=answer)


def refused(*targets: str) -> BadDeclaration:
    """Load what cannot be loaded; the error."""
    with pytest.raises(BadDeclaration) as caught:
        Loader(targets).load()
    return caught.value


def test_a_file_a_module_and_one_app_of_several() -> None:
    path = write("shop/app.py", app("one") + app("two").replace("app", "second").replace("App(", "App("))
    write("shop/second.py", app("three"))
    by_file = Loader(["shop/app.py"]).load()
    assert list(by_file.functions) == ["one-greet", "two-greet"]
    assert by_file.files == {path}
    assert [found.id for found in Loader(["shop/app.py:second"]).load().apps] == ["two"]
    assert [found.id for found in Loader(["shop.second"]).load().apps] == ["three"]
    assert [found.id for found in Loader(["shop.second:app"]).load().apps] == ["three"]


def test_an_app_under_two_names_or_named_twice_counts_once() -> None:
    write("app.py", app() + "\nother = app\n")
    assert len(Loader(["app.py"]).load().apps) == 1
    assert len(Loader(["app.py", "app"]).load().apps) == 1


def test_two_files_of_one_name_both_live() -> None:
    write("a/app.py", app("a"))
    write("b/app.py", app("b"))
    loaded = Loader(["a/app.py", "b/app.py"]).load()
    assert sorted(loaded.functions) == ["a-greet", "b-greet"]


def test_a_file_may_be_named_like_one_of_pythons_own_modules() -> None:
    write("json.py", app())
    import json

    assert list(Loader(["json.py"]).load().functions) == ["parcel-greet"]
    assert sys.modules["json"] is json


def test_neighbours_and_packages_can_be_imported() -> None:
    neighbour = write("prices.py", "PRICE = 7\n")
    package = write("shop/__init__.py", "")
    inner = write("shop/app.py", "import prices\nfrom . import stock\n" + app())
    stock = write("shop/stock.py", "")
    write("prices.py", "PRICE = 7\n")
    sys.path.insert(0, str(Path.cwd()))
    assert Loader(["shop/app.py"]).load().files == {neighbour, package, inner, stock}


def test_what_is_not_there_names_what_is_nearest() -> None:
    write("orders.py", app() + "\nnothing = 3\n")
    missing = refused("ordres.py")
    assert missing.code == "app_not_found"
    assert "Did you mean 'orders.py'?" in missing.what
    assert refused("no.such.module").code == "app_not_found"
    name = refused("orders.py:ap")
    assert (name.code, "Did you mean 'app'?" in name.what) == ("app_missing", True)
    assert "nothing is a int, no App" in refused("orders.py:nothing").what
    write("empty.py", "")
    assert refused("empty.py").what == "empty.py holds no App"


def test_a_module_that_is_not_there_names_the_nearest_where_it_was_looked_for() -> None:
    write("shop/__init__.py", "")
    write("shop/parts/__init__.py", "")
    write("shop/parts/models.py", app())
    assert "Did you mean 'shop.parts.models'?" in refused("shop.parts.mode:app").what
    assert "Did you mean 'shop.parts'?" in refused("shop.prts.models").what
    assert "Did you mean 'shop'?" in refused("shp.parts.models").what
    # What they have in common is no likeness.
    assert "Did you mean" not in refused("shop.parts.xyzzy").what


@pytest.mark.parametrize("target", ["", ":app", ".app", "..:app"])
def test_a_name_that_is_none_is_told_as_one(target: str) -> None:
    write("app.py", app())
    assert refused(target).code == "app_not_found"


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "KeyboardInterrupt('no')", "GeneratorExit", "SystemExit"])
def test_what_would_end_the_process_is_a_failure_like_any_other(raised: str) -> None:
    write("app.py", app())
    loader = Loader(["app.py"])
    loader.load()
    old = sys.modules["app"]
    path = write("app.py", f"x = 1\nraise {raised}\n" + app())
    with pytest.raises(BadDeclaration) as caught:
        loader.load()
    assert (caught.value.code, caught.value.where) == ("app_unloadable", f"{path}:2")
    kind, _, said = raised.partition("(")
    assert caught.value.what == f"app.py cannot be loaded: {kind}{': no' if said else ''}"
    assert sys.modules["app"] is old


def test_a_ctrl_c_while_a_module_is_loaded_is_no_failure_of_it() -> None:
    write("app.py", "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nfor _ in range(10**9): pass\n")
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible():
        Loader(["app.py"]).load()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_syntax_error_is_told_with_file_and_line() -> None:
    path = write("app.py", "x = 1\ndef f(:\n")
    error = refused("app.py")
    assert (error.code, error.where) == ("app_unloadable", f"{path}:2")


def test_what_a_module_raises_is_told_with_the_users_own_line() -> None:
    path = write("app.py", "import json\n\njson.loads('{')\n")
    error = refused("app.py")
    assert error.where == f"{path}:3"
    assert "JSONDecodeError" in error.what
    write("leaves.py", "raise SystemExit(3)\n")
    assert "SystemExit: 3" in refused("leaves.py").what
    write("lacks.py", "import no_such_module_at_all\n")
    lacking = refused("lacks.py")
    assert (lacking.code, lacking.where) == ("app_unloadable", f"{Path('lacks.py').resolve()}:1")


def test_a_bad_declaration_stays_as_it_is() -> None:
    path = write("app.py", app().replace('trigger="parcel/opened"', 'triger="parcel/opened"'))
    error = refused("app.py")
    assert error.code == "option_unknown"
    assert error.where == f"{path}:6"


def test_one_function_id_twice_names_both_places() -> None:
    first = write("a.py", app())
    second = write("b.py", app())
    error = refused("a.py", "b.py")
    assert error.code == "function_id_twice"
    assert f"{first}:6" in error.what
    assert f"{second}:6" in error.what


async def _answer(loader: Loader) -> object:
    return await loader.load().functions["parcel-greet"].call(None)


def answer_of(loader: Loader) -> object:
    """Load, and call the function."""
    import asyncio

    return asyncio.run(_answer(loader))


def test_loading_again_takes_what_the_files_say_now_also_those_that_are_imported() -> None:
    sys.dont_write_bytecode = True
    write("prices.py", "PRICE = 1\n")
    write("app.py", "import prices\n" + app(answer="prices.PRICE"))
    loader = Loader(["app.py"])
    assert answer_of(loader) == 1
    write("prices.py", "PRICE = 2\n")
    assert answer_of(loader) == 2


def test_a_load_that_fails_puts_the_old_modules_back_and_watches_what_must_be_mended() -> None:
    prices = write("prices.py", "PRICE = 1\n")
    path = write("app.py", "import prices\n" + app())
    loader = Loader(["app.py"])
    loader.load()
    old = sys.modules["app"], sys.modules["prices"]
    broken = write("extra.py", "1 / 0\n")
    write("app.py", "import prices, extra\n" + app())
    with pytest.raises(BadDeclaration) as caught:
        loader.load()
    assert caught.value.where == f"{broken}:1"
    assert (sys.modules["app"], sys.modules["prices"]) == old
    assert "extra" not in sys.modules
    assert loader.files == {prices, path, broken}
    write("extra.py", "")
    loader.load()
    assert loader.files == {prices, path, broken}
    assert sys.modules["app"] is not old[0]


def test_what_is_installed_is_neither_watched_nor_imported_again() -> None:
    write("venv/lib/site-packages/library.py", "")
    path = write("app.py", "import library\n" + app())
    sys.path.insert(0, str(Path("venv/lib/site-packages").resolve()))
    loader = Loader(["app.py"])
    loader.load()
    library = sys.modules["library"]
    assert loader.files == {path}
    loader.load()
    assert sys.modules["library"] is library
