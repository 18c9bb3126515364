"""An agent: a language model thinks, asks for tools, sees what they gave, and thinks again, until it has an answer.

    headrace dev examples/agent/app.py

and in another terminal:

    headrace send agent/asked '{"question": "What do 3 kettles and 2 mugs cost? Order them if under 200."}'
    headrace runs                       # waiting: for somebody who allows the order
    curl -X POST http://127.0.0.1:8288/v1/signals -d '{"signal": "allow RUN", "data": {"by": "kim"}}'    # its id

Each thought and each act is a step: after a crash, a deploy or a refused request nothing is thought, paid for or
ordered a second time. A scripted model stands in for the network; put a class of your own in its place.
"""

from __future__ import annotations

import ast
import operator
import os
from collections.abc import Callable
from typing import Any

from headrace import App, Context, NonRetriableError, Retries

TURNS_MAX = 8
PATIENCE = os.environ.get("AGENT_PATIENCE", "1d")  # how long a person may take to allow something
NEEDS_PERMISSION = {"order"}

app = App("agent")
Message = dict[str, Any]


# --- the model -------------------------------------------------------------------------------------------------------


class Model:
    """What thinks: given all that was said so far, it gives `{"answer": …}` or `{"tool": …, "arguments": {…}}`."""

    async def complete(self, messages: list[Message]) -> Message:
        """Think one thought."""
        raise NotImplementedError


class ScriptedModel(Model):
    """Says what a real model said to this question. The numbers are not in the script: they come from the tools."""

    async def complete(self, messages: list[Message]) -> Message:
        """Go by the turn, and by what the tools gave."""
        given = [message["content"] for message in messages if message["role"] == "tool"]
        match len(given):
            case 0:
                return {"tool": "price", "arguments": {"article": "kettle"}}
            case 1:
                return {"tool": "price", "arguments": {"article": "mug"}}
            case 2:
                return {"tool": "calculate", "arguments": {"expression": f"(3 * {given[0]} + 2 * {given[1]}) * 1.19"}}
            case 3 if given[2] < 200:
                return {"tool": "order", "arguments": {"articles": {"kettle": 3, "mug": 2}}}
            case 4:
                return {"answer": f"Together {given[2]:.2f}. {given[3]}."}
        return {"answer": f"Together {given[2]:.2f}, which is too much. Nothing was ordered."}


# Functions ask for what they need by its class; a test, or another deployment, provides another one.
app.provide(Model, ScriptedModel)


# --- the tools -------------------------------------------------------------------------------------------------------

PRICES = {"kettle": 39, "mug": 7.5}
OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def price(article: str) -> float:
    """Look a price up."""
    return PRICES[article]


def calculate(expression: str) -> float:
    """Calculate: numbers, + - * / and brackets, and nothing else that a model might come up with."""

    def value(node: ast.expr) -> float:
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            result: float = OPERATORS[type(node.op)](value(node.left), value(node.right))
            return result
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return float(node.value)
        raise ValueError(f"{ast.unparse(node)} cannot be calculated")

    return round(value(ast.parse(expression, mode="eval").body), 2)


def order(articles: dict[str, int]) -> str:
    """Order."""
    return "Ordered " + " and ".join(f"{number} {article}s" for article, number in articles.items())


TOOLS: dict[str, Callable[..., Any]] = {"price": price, "calculate": calculate, "order": order}


def use(tool: str, arguments: dict[str, Any]) -> Any:
    """Use a tool. What goes wrong is told to the model, which may do better next time: no reason to fail the run."""
    if tool not in TOOLS:
        return f"there is no tool {tool!r}; there are {', '.join(TOOLS)}"
    try:
        return TOOLS[tool](**arguments)
    except (KeyError, TypeError, ValueError, SyntaxError, ZeroDivisionError) as problem:
        return f"{type(problem).__name__}: {problem}"


# --- the agent -------------------------------------------------------------------------------------------------------


@app.function("answer", trigger="agent/asked", retries=Retries(5))
async def answer(ctx: Context, model: Model) -> dict[str, Any]:
    """Answer a question. The conversation is an ordinary list; a replay fills it from what is recorded."""
    messages: list[Message] = [{"role": "user", "content": ctx.event.data["question"]}]
    for turn in range(1, TURNS_MAX + 1):
        thought = await ctx.step.run(f"think-{turn}", model.complete, messages)
        if "answer" in thought:
            return {"answer": thought["answer"], "turns": turn}
        tool, arguments = thought["tool"], thought["arguments"]
        if tool in NEEDS_PERMISSION and not await allowed(ctx, turn):
            result: Any = "nobody has allowed it"
        else:
            result = await ctx.step.run(f"act-{turn}", use, tool, arguments)
        messages += [{"role": "assistant", "content": thought}, {"role": "tool", "content": result}]
    raise NonRetriableError(f"no answer in {TURNS_MAX} turns")


async def allowed(ctx: Context, turn: int) -> bool:
    """Wait for a person. That may take a day, in which the run holds nothing."""
    permission = await ctx.step.wait_for_signal(f"permission-{turn}", signal=f"allow {ctx.run_id}", timeout=PATIENCE)
    return bool(permission)
