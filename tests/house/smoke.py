"""Run by each interpreter on an installed Headrace: every module and public name works there.

Not a test module: it is handed to interpreters that have no pytest.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings

# pytest loads its plugin, so there is a pytest where that is imported.
_NEEDS_PYTEST = frozenset({"headrace.testing.pytest_plugin"})


def main() -> None:
    """Import every module, with the engine's own warnings as errors, declare an app with a function, and run it."""
    warnings.filterwarnings("error", module=r"headrace(\.|$)")
    import headrace

    modules = [module.name for module in pkgutil.walk_packages(headrace.__path__, "headrace.")]
    for name in modules:
        if not name.endswith("__main__") and name not in _NEEDS_PYTEST:
            importlib.import_module(name)
    for name in headrace.__all__:
        getattr(headrace, name)

    app = headrace.App("smoke")

    @app.function("add", trigger="smoke/asked", retries=1)
    async def add(ctx: headrace.Context) -> int:
        return await ctx.step.run("add", lambda: sum(ctx.event.data["numbers"]))

    with app.test() as kit:
        kit.send("smoke/asked", {"numbers": [2, 3]})
        run = kit.run_of("add")
    assert (run.status, run.output) == ("Completed", 5), run
    print(f"{len(modules)} modules")


if __name__ == "__main__":
    main()
