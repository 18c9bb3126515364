"""A resume parser: paying customers first, no resume twice, no account more than its share, no model overrun.

    headrace dev examples/resumes/app.py

and in another terminal:

    headrace send resume/uploaded '{"account": "acme", "plan": "pro", "text": "Ada Lovelace, ada@example.com. Python."}'
    headrace runs

A topic and a consumer group give none of these four. What is written for them is usually a database, a scheduler and a
second topic; here it is four lines above the function.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any

from headrace import App, Context, NonRetriableError, Priority, RateLimit, Throttle

PER_ACCOUNT = 20  # uploads in an hour
# What the model that reads resumes takes; for `make example NAME=resumes` its minute is shorter.
PER_MINUTE = 10
MINUTE = os.environ.get("RESUMES_MINUTE", "1m")

SKILLS = ("Python", "Kafka", "SQL", "Rust", "weaving")

app = App("resumes")


@dataclass
class Upload:
    """What is uploaded. An event whose data does not fit is refused where it is sent."""

    account: str
    text: str
    plan: str = "free"


@dataclass
class Resume:
    """What was found in a text."""

    name: str
    email: str
    skills: list[str] = field(default_factory=list)
    years: int = 0


app.event("resume/uploaded", Upload)


def read(text: str) -> Resume:
    """Read a resume. Here expressions do it that a model would do better, and answer in the same form."""
    email = re.search(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", text)
    if email is None:
        raise NonRetriableError("there is no e-mail address in it")
    name = text.strip().partition(",")[0]
    years = re.search(r"(\d+) years", text)
    skills = [skill for skill in SKILLS if re.search(rf"\b{skill}\b", text, re.IGNORECASE)]
    return Resume(name, email[0], skills, int(years[1]) if years else 0)


@app.function(
    "parse",
    trigger="resume/uploaded",
    # 1. The same text from the same account, within a day: nothing to do.
    idempotency="event.data.account + ': ' + event.data.text",
    # 2. An account that uploads more than this in an hour is told so; nobody else waits because of it.
    rate_limit=RateLimit(PER_ACCOUNT, "1h", key="event.data.account"),
    # 3. The model takes this many. The others wait their turn, however many they are.
    throttle=Throttle(PER_MINUTE, MINUTE),
    # 4. In that queue, who pays goes an hour before who does not.
    priority=Priority("event.data.plan == 'pro' ? 3600 : 0"),
)
async def parse(ctx: Context) -> dict[str, Any]:
    """Parse a resume; what is found is typed, also after a crash."""
    upload: Upload = ctx.event.data
    resume = await ctx.step.run("read", read, upload.text)
    parsed = {"account": upload.account, "name": resume.name, "skills": resume.skills}
    await ctx.step.send_event("tell", {"name": "resume/parsed", "data": parsed})
    return parsed
