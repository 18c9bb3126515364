"""The letters of a new user's first weeks: a function that lives for a fortnight and looks like ten lines of script.

    headrace dev examples/welcome/app.py

and in another terminal:

    headrace send user/signed-up '{"userId": "u-1", "email": "ada@example.com"}'
    headrace send project/created '{"userId": "u-1", "name": "Analytical engine"}'

Letters are written to .headrace/outbox, one file each.
"""

from __future__ import annotations

import os
from email.message import EmailMessage
from pathlib import Path

from headrace import App, CancelOn, Context

OUTBOX = Path(os.environ.get("WELCOME_OUTBOX", ".headrace/outbox"))
# The real times; `make example NAME=welcome` has shorter ones.
NUDGE_AFTER = os.environ.get("WELCOME_NUDGE_AFTER", "3d")
BETWEEN_TIPS = os.environ.get("WELCOME_BETWEEN_TIPS", "4d")

TIPS = ("invite your team", "learn the short cuts")

app = App("welcome")


def write(to: str, subject: str, key: str) -> str:
    """Write a letter. A second attempt with the same key writes the same file: it cannot be sent twice."""
    letter = EmailMessage()
    letter["To"], letter["Subject"], letter["Message-ID"] = to, subject, f"<{key}@example.com>"
    letter.set_content(f"Dear {to},\n\n{subject}.\n")
    OUTBOX.mkdir(parents=True, exist_ok=True)
    path = OUTBOX / f"{key.replace(':', '-').replace(' ', '-')}.eml"
    path.write_bytes(bytes(letter))
    return subject


@app.function(
    "welcome",
    trigger="user/signed-up",
    # A user who signs up again within a day gets no second series.
    idempotency="event.data.userId",
    # And one who leaves gets no further letter, wherever in these weeks the run is.
    cancel_on=CancelOn("user/deleted", match="data.userId"),
)
async def welcome(ctx: Context) -> list[str]:
    """Welcome a user, see what happens, and go by that."""
    email = ctx.event.data["email"]

    async def send(step_id: str, subject: str) -> str:
        # Inside a step, the idempotency key names the run and the step: the same in every attempt.
        return await ctx.step.run(step_id, lambda: write(email, subject, ctx.idempotency_key))

    sent = [await send("welcome", "welcome")]
    first = await ctx.step.wait_for_event(
        "first project", event="project/created", match="data.userId", timeout=NUDGE_AFTER
    )
    if first:
        sent.append(await send("praise", f"well done: {first.data['name']}"))
    else:
        sent.append(await send("nudge", "how to make your first project"))
    for tip in TIPS:
        await ctx.step.sleep("until the next tip", BETWEEN_TIPS)  # days in which nothing is held, anywhere
        sent.append(await send("tip", tip))
    return sent
