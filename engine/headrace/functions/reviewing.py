"""Reviewing: mistakes in the code of functions that can be told without running it.

Steps inside steps' callables, the same id in branches side by side, steps that nobody awaits, durations and conditions
that cannot be read, side effects outside steps. A line that ends in `# headrace: ignore` is left alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from headrace.errors import BadDeclaration
from headrace.expressions import parse_duration_ms
from headrace.functions.side_effects import effect_of
from headrace.functions.waits import Wait, read_since, read_wait

_IGNORE = "headrace: ignore"
_STEPS = frozenset(
    {"run", "sleep", "sleep_until", "send_event", "wait_for_event", "wait_any", "wait_for_signal", "invoke", "map"}
)
_Def = ast.FunctionDef | ast.AsyncFunctionDef
_GATHERS = ("asyncio.gather", "asyncio.wait")


def review_source(source: str, path: str, lines: set[int]) -> list[BadDeclaration]:
    """Review the functions that begin on these lines (their first decorator's) of a module."""
    tree = ast.parse(source, path)
    review = _Review(tree, source.splitlines(), path)
    for node in ast.walk(tree):
        if isinstance(node, _Def) and _first_line(node) in lines:
            review.function(node, *_context_names(node))
    review.found.sort(key=lambda mistake: int(mistake.where.rpartition(":")[2]))
    return review.found


def _first_line(node: _Def) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _context_names(node: _Def) -> tuple[str, str]:
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    names = [name for name in names if name != "self"]
    step = names[1] if len(names) > 1 and names[1] == "step" else ""
    return (names[0] if names else "ctx"), step


class _Review:
    def __init__(self, tree: ast.Module, lines: list[str], path: str) -> None:
        self.found: list[BadDeclaration] = []
        self._lines = lines
        self._path = path
        self._imported = dict(_imports(tree))
        self._functions = {node.name: node for node in tree.body if isinstance(node, _Def)}
        self._seen: set[tuple[int, str, str]] = set()

    def function(self, node: _Def, ctx: str, step: str) -> None:
        """Review a function that is given the context under this name, and its helpers that are given it too."""
        if (node.lineno, ctx, step) in self._seen:
            return
        self._seen.add((node.lineno, ctx, step))
        local = {inner.name: inner for inner in ast.walk(node) if isinstance(inner, _Def) and inner is not node}
        body = _Body(self, ctx, step, {**self._functions, **local}, isinstance(node, ast.AsyncFunctionDef))
        body.review(node)

    def say(self, node: ast.expr | ast.stmt, code: str, what: str, why: str, do: str) -> None:
        """Note a mistake, unless its line says otherwise."""
        if _IGNORE not in self._lines[node.lineno - 1]:
            self.found.append(BadDeclaration(code, what, why=why, do=do, where=f"{self._path}:{node.lineno}"))

    def dotted(self, node: ast.expr) -> str:
        """Write what is called with the module it comes from; "" for what is no plain name."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        if parts and node.id not in self._imported:
            return ""  # a method of something that is no module
        return ".".join([self._imported.get(node.id, node.id), *reversed(parts)])


class _Body:
    """The body of one function: what stands in it outside steps' callables."""

    def __init__(self, review: _Review, ctx: str, step: str, functions: dict[str, _Def], is_async: bool) -> None:
        self._review = review
        self._ctx = ctx
        self._step = step
        self._functions = functions
        self._is_async = is_async

    def review(self, node: _Def) -> None:
        calls = [(call, verb) for call in ast.walk(node) if isinstance(call, ast.Call) and (verb := self._verb(call))]
        callables = [one for call, verb in calls if (one := _callable_of(call, verb)) is not None]
        bodies = [body for one in callables if (body := self._body_of(one)) is not None]
        for call, verb in calls:
            self._nested(call, verb)
        for outside in _outside(node, bodies):
            self._look(outside)

    def _verb(self, call: ast.Call) -> str:
        """Tell which step a call asks for, or ""."""
        function = call.func
        if not isinstance(function, ast.Attribute) or function.attr not in _STEPS:
            return ""
        holder = function.value
        if isinstance(holder, ast.Call) and isinstance(holder.func, ast.Attribute) and holder.func.attr == "options":
            holder = holder.func.value
        if isinstance(holder, ast.Name):
            return function.attr if holder.id == self._step else ""
        is_step = isinstance(holder, ast.Attribute) and holder.attr == "step" and isinstance(holder.value, ast.Name)
        return function.attr if is_step and holder.value.id == self._ctx else ""  # type: ignore[attr-defined]

    def _body_of(self, function: ast.expr) -> ast.AST | None:
        if isinstance(function, ast.Lambda):
            return function
        return self._functions.get(function.id) if isinstance(function, ast.Name) else None

    def _nested(self, call: ast.Call, verb: str) -> None:
        function = _callable_of(call, verb)
        body = None if function is None else self._body_of(function)
        if body is None:
            return
        own = _given_names(body)
        for inner in ast.walk(body):
            if isinstance(inner, ast.Call) and (inner_verb := self._verb(inner)) and self._ctx not in own:
                self._review.say(
                    inner,
                    "nested_step",
                    f"the step {_id_of(inner)} ({inner_verb}) is asked for inside the step {_id_of(call)}",
                    "a step is recorded as a whole, so what happens inside it cannot be remembered step by step",
                    f"ask for it in the function itself, before or after {_id_of(call)}",
                )
            elif isinstance(inner, ast.Nonlocal):
                self._review.say(
                    inner,
                    "step_changes_variable",
                    f"the step {_id_of(call)} changes {', '.join(inner.names)} of the function around it",
                    "a recorded step is not called again when the code is replayed, so the change is lost then",
                    "return the value from the step, and assign what it gives",
                )

    def _look(self, node: ast.AST) -> None:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and self._is_async:
            if self._verb(node.value):
                self._review.say(
                    node,
                    "step_not_awaited",
                    f"the step {_id_of(node.value)} is called and not awaited",
                    "calling a step of an async function gives a coroutine: without await nothing of it happens",
                    "write await in front of the call",
                )
        elif isinstance(node, ast.Call):
            self._side_effect(node)
            self._side_by_side(node)
            self._written_out(node)
            self._helper(node)

    def _side_effect(self, call: ast.Call) -> None:
        dotted = self._review.dotted(call.func)
        effect = effect_of(dotted) if dotted and dotted not in self._functions else None
        if effect is not None:
            self._review.say(
                call,
                "side_effect_outside_step",
                f"{dotted} is called outside a step",
                f"the code is replayed after a rest, a crash or a deploy, and then this {effect[0]}",
                f"{effect[1]}; or end the line with # {_IGNORE}",
            )

    def _written_out(self, call: ast.Call) -> None:
        """Check what a step is asked for with, as far as it is written out there."""
        verb = self._verb(call)
        if not verb:
            return
        named = {word.arg: _constant(word.value) for word in call.keywords if word.arg}
        plain = [_constant(argument) for argument in call.args]
        try:
            if verb == "sleep" and len(plain) > 1 and plain[1] is not None:
                parse_duration_ms(plain[1])
            if named.get("timeout") is not None:
                parse_duration_ms(named["timeout"], option="timeout")
            if verb == "wait_for_event":
                event = named.get("event") or (plain[1] if len(plain) > 1 else None)
                read_wait(Wait(event or "any", named.get("match"), named.get("if_")))
                read_since(named.get("since"))
        except BadDeclaration as mistake:
            self._review.say(call, mistake.code, mistake.what, mistake.why, mistake.do)

    def _side_by_side(self, call: ast.Call) -> None:
        if self._review.dotted(call.func) not in _GATHERS:
            return
        seen: set[str] = set()
        for argument in call.args:
            value = argument.value if isinstance(argument, ast.Starred) else argument
            if isinstance(value, ast.ListComp | ast.GeneratorExp):
                branches, many = [value.elt], True
            else:
                branches, many = list(value.elts) if isinstance(value, ast.List | ast.Tuple) else [value], False
            for branch in branches:
                if not isinstance(branch, ast.Call) or not self._verb(branch):
                    continue
                step_id = branch.args[0].value if branch.args and isinstance(branch.args[0], ast.Constant) else None
                if isinstance(step_id, str) and (many or step_id in seen):
                    self._review.say(
                        branch,
                        "duplicate_step",
                        f"several branches side by side have the step id {step_id!r}",
                        "a step is remembered by its id; two at once could be given each other's results",
                        f'give each its own, as in f"{step_id}-{{n}}", or write ctx.step.map("{step_id}", …)',
                    )
                if isinstance(step_id, str):
                    seen.add(step_id)

    def _helper(self, call: ast.Call) -> None:
        function = self._functions.get(call.func.id) if isinstance(call.func, ast.Name) else None
        if function is None:
            return
        names = [argument.arg for argument in function.args.args]
        for name, argument in zip(names, call.args, strict=False):
            if isinstance(argument, ast.Name) and argument.id == self._ctx:
                self._review.function(function, name, "")


def _outside(node: ast.AST, bodies: list[ast.AST]) -> Iterator[ast.AST]:
    """Go through what is done when the code is replayed: everything but steps' callables, and functions not called."""
    for child in ast.iter_child_nodes(node):
        if child in bodies or isinstance(child, _Def | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(node, _Def) and (child in node.decorator_list or child is node.args or child is node.returns):
            continue
        yield child
        yield from _outside(child, bodies)


def _callable_of(call: ast.Call, verb: str) -> ast.expr | None:
    place = {"run": 1, "map": 2}.get(verb)
    return call.args[place] if place is not None and len(call.args) > place else None


def _constant(node: ast.expr) -> Any:
    return node.value if isinstance(node, ast.Constant) else None


def _given_names(body: ast.AST) -> set[str]:
    arguments = getattr(body, "args", None)
    return {one.arg for one in arguments.args} if isinstance(arguments, ast.arguments) else set()


def _id_of(call: ast.Call) -> str:
    return ast.unparse(call.args[0]) if call.args else "(no id)"


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else ((root := alias.name.split(".")[0]), root)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"
