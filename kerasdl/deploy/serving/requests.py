"""A request of HTTP read within limits: its body, and the examples in it."""

import asyncio
import json
import mimetypes
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import PurePosixPath
from typing import Any, NoReturn

import numpy as np
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from kerasdl.deploy.serving.inputs import Examples, Inputs
from kerasdl.deploy.serving.limits import Limits, Refused
from kerasdl.errors import DataError

TOGETHER = 16  # files of a form that are read at a time
INLINE = 2**14  # bytes of JSON or of a small image that are read where they arrive: a thread would take longer
DRAINED = 2**26  # bytes above the limit that are read and dropped, so that the sender gets to the answer
ENDINGS = {"text/csv": ".csv", "text/tab-separated-values": ".tsv", "text/plain": ".txt", "audio/wav": ".wav",
           "audio/x-wav": ".wav", "audio/wave": ".wav", "application/x-npy": ".npy", "application/octet-stream": ".npy"}
TYPES = f"application/json, multipart/form-data, image/*, {', '.join(ENDINGS)}"


async def examples_of(request: Request, body: bytes, inputs: Inputs, pool: Executor) -> Examples:
    """Return the examples that a body holds.

    Raises:
        Refused: it holds none, or none that the model takes.
    """
    kind = plain_type(request.headers.get("content-type"))
    if not body:
        raise Refused(400, "The request has no body.")
    run = asyncio.get_running_loop().run_in_executor
    if kind == "application/json":
        if len(body) <= INLINE and not inputs.columns:  # rows are read by pandas, one request at a time: they may wait
            return read(of_json, body, inputs)
        return await run(pool, read, of_json, body, inputs)
    if kind == "multipart/form-data":
        files = await files_of(request, body, inputs)
        parts: list[Examples] = []
        for start in range(0, len(files), TOGETHER):
            parts += await asyncio.gather(*(run(pool, read, inputs.of_file, *file)
                                            for file in files[start:start + TOGETHER]))
            inputs.check_count(sum(len(part.x) for part in parts))
        return joined(parts)
    if kind.startswith("image/"):
        if len(body) <= INLINE and (small := inputs.small(body)):
            return read(inputs.of_image, small, "the image")
        return await run(pool, read, inputs.of_image, body, "the image")
    if kind not in ENDINGS:
        raise Refused(415, f"Send one of these types: {TYPES}. Received: {kind[:60] or 'no Content-Type'}.")
    return await run(pool, read, inputs.of_file, body, "the file", ENDINGS[kind])


def plain_type(given: str | None) -> str:
    """Return a Content-Type without its parameters."""
    return (given or "").partition(";")[0].strip().lower()


def read(reader: Callable[..., Examples], *given: Any) -> Examples:
    """Return what a reader returns; what is wrong with the data is the sender's mistake."""
    try:
        return reader(*given)
    except DataError as error:
        raise Refused(422, str(error)) from None
    except (MemoryError, RecursionError):
        raise Refused(413, "The request is too large to be read.") from None


def of_json(body: bytes, inputs: Inputs) -> Examples:
    """Return the examples of {"rows": [...]}, {"texts": [...]} or {"instances": [...]}."""
    try:
        found = json.loads(body, parse_constant=no_number)
    except RecursionError:
        raise Refused(400, "The JSON is nested too deeply.") from None
    except ValueError as error:
        raise Refused(400, f"The body is no JSON: {error}.") from None
    readers = {"rows": inputs.of_rows, "texts": inputs.of_texts, "instances": inputs.of_instances}
    if not isinstance(found, dict) or len(found) != 1 or not set(found) <= set(readers):
        raise Refused(422, f"JSON is an object with one of {', '.join(readers)}, which is a list.")
    (name, value), = found.items()
    return readers[name](value)


def no_number(text: str) -> NoReturn:
    """Refuse what Python reads and JSON does not have."""
    raise ValueError(f"{text} is no number of JSON. A missing value is null")


async def files_of(request: Request, body: bytes, inputs: Inputs) -> list[tuple[bytes, str, str]]:
    """Return the content, the name and the ending of each file of a form."""
    async def received() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    found, most = [], inputs.limits.examples
    try:
        async with Request(request.scope, received).form(max_files=most, max_fields=most) as form:
            for _, part in form.multi_items():
                if isinstance(part, UploadFile):
                    name = PurePosixPath((part.filename or "").replace("\\", "/")).name or "file"
                    kind = plain_type(part.content_type)
                    known = ENDINGS.get(kind) or mimetypes.guess_extension(kind) or ""
                    found.append((await part.read(), name[:100], PurePosixPath(name).suffix.lower() or known))
    except HTTPException as error:
        raise Refused(413 if "Too many" in str(error.detail) else 400, f"The form is broken: {error.detail}") from None
    if not found:
        raise Refused(422, "The form has no file.")
    if empty := [name for data, name, _ in found if not data]:
        raise Refused(400, f"{empty[0]} is empty.")
    inputs.check_count(len(found))
    return found


def joined(parts: list[Examples]) -> Examples:
    if len({bool(part.words) for part in parts}) > 1:
        raise Refused(422, "Send texts and arrays apart: the words of texts get tags, and the tokens of arrays.")
    return Examples([name for part in parts for name in part.names], np.concatenate([part.x for part in parts]),
                    [words for part in parts for words in part.words])


async def body_of(request: Request, limits: Limits) -> bytes:
    """Return the body. Of one that is too large nothing is kept, whether its length is declared or not.

    Raises:
        Refused: it is larger than the limit, or not there in time.
    """
    declared = request.headers.get("content-length", "0")
    large = declared.isdecimal() and int(declared) > limits.bytes
    parts: list[bytes] = []
    total = 0
    if not (large and request.headers.get("expect", "").lower() == "100-continue"):  # which is sent at the first read
        try:
            async with asyncio.timeout(limits.seconds):
                async for part in request.stream():
                    total += len(part)
                    large |= total > limits.bytes
                    if total > limits.bytes + DRAINED:
                        break
                    if large:
                        parts.clear()
                    else:
                        parts.append(part)
        except TimeoutError:
            raise Refused(408, f"The request was not received within {limits.seconds:g} seconds.",
                          {"Connection": "close"}) from None
    if large:
        raise Refused(413, f"A request may have {limits.megabytes:g} MB. Send less at a time.", {"Connection": "close"})
    return b"".join(parts)
