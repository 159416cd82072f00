"""One line of a batch's results: the reply in it, or why there is none, by the rules of a live answer.

Source: OpenAI's batch output object (https://platform.openai.com/docs/api-reference/batch/request-output) with a chat
completion in it (https://platform.openai.com/docs/api-reference/chat/object).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pinchtune import openai_api, remote
from pinchtune.engine import Generated
from pinchtune.errors import CallFailure


class _Response(msgspec.Struct):
    status_code: int = 200
    body: Any = None


class _Result(msgspec.Struct):
    response: _Response | None = None
    error: Any = None


def read_result(line: bytes) -> Generated:
    """Return the reply in a line.

    Raises:
        CallFailure: it is an error, or no whole reply; the reason is the service's own code where it has one
            ("batch_expired"), else one of those of a live call.
    """
    try:
        result = msgspec.json.decode(line, type=_Result)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CallFailure("unreadable", str(error)) from None
    response = result.response
    if response is None or response.status_code != 200 or response.body is None:
        raise _refusal(response, result.error)
    try:
        return openai_api.read_reply(response.body)
    except remote.PassingFault as fault:
        raise CallFailure(fault.reason, fault.detail) from None


def _refusal(response: _Response | None, error: Any) -> CallFailure:
    inner = response.body.get("error") if response is not None and isinstance(response.body, dict) else None
    said = next((one for one in (inner, error) if isinstance(one, dict)), {})
    detail = remote.cleaned(said.get("message") or "")
    if response is not None and response.status_code != 200:
        fault = remote.from_status(response.status_code, detail, service="", credentials="", address="")
        return CallFailure(getattr(fault, "reason", "refused"), f"HTTP {response.status_code}: {detail}")
    code = said.get("code")
    named = isinstance(code, str) and re.fullmatch(r"[a-z_]{1,40}", code)
    return CallFailure(str(code) if named else "unreadable", detail)
