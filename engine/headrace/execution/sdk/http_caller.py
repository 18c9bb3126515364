"""Calls over HTTP. Source: the SDK protocol page, sections 3.1, 4.6 and 5."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.adapters.http_client import HttpClient, NoAnswer, NotReached
from headrace.adapters.seams import Clock
from headrace.errors import BadRequest
from headrace.execution.sdk.answer import ANSWER_BYTES_MAX
from headrace.execution.sdk.seams import TARGET, Answer, AppCall, AppUnreachable, CallBroken
from headrace.execution.sdk.signing import SIGNATURE_HEADER, canonical, sign
from headrace.execution.sdk.tracing import trace_context

CALL_S = 2 * 3600.0


class HttpCaller:
    """Calls apps at their addresses; with a signing key, each call is signed."""

    def __init__(self, client: HttpClient, clock: Clock, signing_key: str = "") -> None:
        self._client = client
        self._clock = clock
        self._signing_key = signing_key

    async def call(self, call: AppCall) -> Answer:
        """Make a call and give its answer, whatever its status. Raises AppUnreachable, CallBroken."""
        headers = {
            "content-type": "application/json",
            "x-inngest-req-version": str(call.version),
            "x-request-id": call.request_id,
            "x-inngest-job-id": call.job_id,
            "x-run-id": call.run_id,
            "x-inngest-step-id": call.step_id,
            **trace_context(call),
        }
        body = call.body
        if self._signing_key:
            body = canonical(body)
            headers[SIGNATURE_HEADER] = sign(self._signing_key, body, self._clock.wall_ms() // 1_000)
        url = with_step(call.url, call.step_id)
        try:
            return await self._request("POST", url, headers, body, CALL_S, ANSWER_BYTES_MAX, follow=True)
        except BadRequest as error:
            raise AppUnreachable(f"{error.what}; {error.do}") from None

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, *, timeout_s: float, bytes_max: int
    ) -> Answer:
        """Make any request; redirects are answers. Raises AppUnreachable, CallBroken, BadRequest."""
        answer = await self._request(method, url, headers, body, timeout_s, bytes_max, follow=False)
        if len(answer.body) > bytes_max:
            raise CallBroken("AnswerTooLarge", f"the answer has more than {bytes_max} bytes")
        return answer

    async def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_s: float,
        bytes_max: int,
        *,
        follow: bool,
    ) -> Answer:
        try:
            status, answered, content = await self._client.request(
                method, url, headers, body or None, timeout_s=timeout_s, bytes_max=bytes_max, follow=follow
            )
        except NotReached as error:
            raise AppUnreachable(str(error)) from None
        except NoAnswer as error:
            raise CallBroken(error.name, str(error)) from None
        return Answer(status, answered, content)


def with_step(url: str, step_id: str) -> str:
    """Put a step's id into an address, in the place of the one that is there; everything else stays as it is."""
    address, mark, fragment = url.partition("#")
    path, _, query = address.partition("?")
    parts = [part for part in query.split("&") if part and not part.startswith("stepId=")]
    return f"{path}?{'&'.join([*parts, 'stepId=' + (step_id or TARGET)])}{mark}{fragment}"
