"""What each example has. Goal: none is without its test, its page, its scenario, and its line in the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from examples import run as runner
from examples.stage import NotSo, Stage
from tests.cli.conftest import Run, run  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in (ROOT / "examples").glob("*/app.py"))
INDEX = (ROOT / "docs" / "examples.md").read_text()
SDK_FOLDERS = sorted(path for path in (ROOT / "examples").glob("sdk-*") if path.is_dir())
PLAYED = [folder for folder in FOLDERS if folder.name != "orders"]  # that one is `make demo`


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_example_is_complete(folder: Path) -> None:
    page = (folder / "README.md").read_text()
    assert (folder / f"test_{folder.name}.py").is_file()
    assert f"(../examples/{folder.name}/README.md)" in INDEX
    command = f"make example NAME={folder.name}" if folder in PLAYED else "make demo"
    assert command in page
    assert f"`{command}`" in INDEX
    assert f"headrace dev examples/{folder.name}/app.py" in page
    assert f"headrace dev examples/{folder.name}/app.py" in (folder / "app.py").read_text()


def test_the_index_names_no_example_that_is_not_there() -> None:
    listed = re.findall(r"^\| \[([\w-]+)", INDEX, re.MULTILINE)
    assert re.findall(r"\.\./examples/([\w-]+)/README", INDEX) == listed
    assert sorted(listed) == sorted(folder.name for folder in [*FOLDERS, *SDK_FOLDERS])
    assert runner.names() == sorted(folder.name for folder in [*PLAYED, *SDK_FOLDERS])


@pytest.mark.parametrize("folder", SDK_FOLDERS, ids=lambda folder: folder.name)
def test_an_example_of_an_sdk_is_complete_and_knows_nothing_of_headrace(folder: Path) -> None:
    page = (folder / "README.md").read_text()
    command = f"make example NAME={folder.name}"
    assert command in page
    assert f"`{command}`" in INDEX
    assert "headrace dev -u http://localhost:" in page
    sources = [path for path in folder.iterdir() if path.suffix in (".py", ".ts") and path.name != "scenario.py"]
    assert sources
    for source in sources:
        assert not re.search(r"^\s*(import|from)\b.*headrace", source.read_text(), re.MULTILINE), source


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_nothing_is_wrong_with_it(folder: Path, run: Run) -> None:  # noqa: F811
    result = run("check", str(folder / "app.py"))
    assert result.exit_code == 0, result.output


def test_an_example_that_is_not_named_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main([]) == 2
    assert "payments" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        runner.main(["paiments"])
    assert ended.value.code == 2


class Unreal(Stage):
    """A stage that nobody plays on: no node, no Kafka."""

    def start(self) -> None:
        pass

    def get(self, path: str, **query: object) -> object:
        return {"data": []}


@pytest.mark.parametrize(("happens", "status"), [("well", 0), ("wrong", 1), ("late", 1), ("nothing", 1)])
def test_the_status_is_0_only_if_what_must_have_happened_did(
    happens: str, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Scenario:
        __doc__ = "Plays."
        SHORT: dict[str, str] = {}  # noqa: RUF012

        @staticmethod
        def play(stage: Stage) -> None:
            if happens == "late":
                raise NotSo("not within 60 s: the end")
            if happens != "nothing":
                stage.check("it holds", True)
                stage.check("it must hold", happens == "well")

    assert runner.play("payments", tmp_path, "nowhere:1", Scenario, Unreal) == status
    assert ("wrong: it must hold" in capsys.readouterr().out) == (happens == "wrong")
