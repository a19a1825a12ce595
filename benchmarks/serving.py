"""`kerasdl serve` under load: docs/results/serve.json, and the tables of docs/lab/serve.md.

    python -m benchmarks.serving            10,000 requests from 32 clients for each cell: minutes, on a quiet machine
    python -m benchmarks.serving --quick --out FILE     few requests: to see that it runs

The opponent is `serving_bare`: FastAPI and onnxruntime as one writes them by hand. Clients, servers and models share
the cores of one machine. A client keeps its connection and sends the next request when the last one is answered. Every
answer is compared with what onnxruntime gives for the same image alone.
"""

import asyncio
import contextlib
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import uvloop
from PIL import Image

from benchmarks import harness
from benchmarks.harness import ROOT, write_json
from kerasdl.environment import environment
from kerasdl.published.reproduce import once
from kerasdl.published.results import machine
from kerasdl.recipe import load
from kerasdl.run import Run

NAME = "serve"
RUNS = ROOT / "runs" / "serving"
MODELS = {name: load(name).override(epochs=3) for name in ("vit_digits", "resnet_digits")}
CLIENTS = (1, 32)
FORMS = {"arrays": ("/predict", "application/json"), "png": ("/image", "image/png")}  # path of the bare handler, type
SERVERS = {"bare": [], "served, batches of 1": ["--batch", "1"], "served": []}
CLOSE = 1e-4  # of a probability
PORT = 8731


class Load(NamedTuple):
    """Requests with the answers that they should get.

    Attributes:
        path: of the URL.
        kind: the content type.
        bodies: of the requests, which are sent in turn.
        wanted: {class: probability} of each body, of all classes.
    """

    path: str
    kind: str
    bodies: list[bytes]
    wanted: list[dict[str, float]]


class Sent(NamedTuple):
    """What became of some requests: the milliseconds of each, and how many were lost, wrong, or sent again."""

    ms: list[float]
    seconds: float
    lost: int
    wrong: int
    again: int


class Connection(asyncio.Protocol):
    """A connection that is kept, for one request at a time. The streams of asyncio would cost the client's core more
    than a request costs the server."""

    def __init__(self) -> None:
        self.received, self.open = b"", False
        self.answer: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport, self.open = transport, True

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, ended, content = self.received.partition(b"\r\n\r\n")
        if ended and len(content) == int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            self.received = b""
            if self.answer:
                self.answer.set_result((int(head.split()[1]), content))

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if self.answer and not self.answer.done():
            self.answer.set_exception(error or ConnectionResetError())

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Return the status and the content of an answer.

        Raises:
            OSError: the connection broke.
        """
        if not self.open:
            raise ConnectionResetError
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.answer


class Outcome(NamedTuple):
    """What became of the request in a place: status 0 if it has no answer."""

    place: int
    status: int
    content: bytes
    ms: float
    again: int


async def sender(load: Load, places: list[int], found: list[Outcome], port: int, patience: float) -> None:
    """Send requests one after another over one connection, again where it breaks, until `patience` seconds are over."""
    loop, connection = asyncio.get_running_loop(), Connection()
    for place in places:
        body, began, again, status, content = load.bodies[place % len(load.bodies)], time.perf_counter(), 0, 0, b""
        request = (f"POST {load.path} HTTP/1.1\r\nHost: x\r\nContent-Type: {load.kind}\r\nContent-Length: "
                   f"{len(body)}\r\n\r\n").encode() + body
        while not status and time.perf_counter() - began < patience:
            try:
                if not connection.open:
                    _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
                status, content = await connection.ask(request)
            except OSError:
                again += 1
                await asyncio.sleep(0.05)
        found.append(Outcome(place, status, content, 1e3 * (time.perf_counter() - began), again))
    if connection.open:
        connection.transport.close()


def equal(answer: dict[str, Any], wanted: dict[str, float]) -> bool:
    some = answer["predictions"][0]["answers"]
    return len(some) == 3 and all(abs(one["value"] - wanted[one["class"]]) < CLOSE for one in some)


async def sent(load: Load, count: int, clients: int, port: int = PORT, patience: float = 30,
               found: list[Outcome] | None = None) -> Sent:
    """Send `count` requests from some clients at once; what becomes of each is noted in `found`."""
    found = [] if found is None else found
    began = time.perf_counter()
    await asyncio.gather(*(sender(load, list(range(number, count, clients)), found, port, patience)
                           for number in range(clients)))
    seconds = time.perf_counter() - began
    lost = sum(not one.status for one in found)
    right = sum(one.status == 200 and equal(json.loads(one.content), load.wanted[one.place % len(load.wanted)])
                for one in found)
    return Sent([one.ms for one in found], seconds, lost, len(found) - lost - right, sum(one.again for one in found))


@contextlib.contextmanager
def server(name: str, run: Run, port: int = PORT) -> Iterator[subprocess.Popen]:
    """Within it one of the servers answers."""
    file = run.path / "export" / "onnx" / "model.onnx"
    words = ["benchmarks.serving_bare", str(file), str(port)] if name == "bare" else \
        ["kerasdl", "serve", str(run.path), "--port", str(port), *SERVERS[name]]
    process = subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_for(process, port)
        yield process
    finally:
        process.terminate()
        process.wait(60)


def wait_for(process: subprocess.Popen, port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        time.sleep(0.1)
    raise RuntimeError("the server does not listen")


def of(process: subprocess.Popen) -> tuple[float, float]:
    """Return seconds of processor time and megabytes of memory of a process."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def loads(run: Run) -> dict[str, Load]:
    """Return requests of both forms, of 200 images."""
    import onnxruntime
    from scipy.special import softmax

    x = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 1), "uint8")
    session = onnxruntime.InferenceSession(str(run.path / "export" / "onnx" / "model.onnx"))
    outputs = [session.run(None, {session.get_inputs()[0].name: one[None].astype("float32")})[0] for one in x]
    wanted = [dict(zip(run.data["classes"], softmax(one[0]).tolist(), strict=True)) for one in outputs]
    arrays = [json.dumps({"instances": one[None].tolist()}).encode() for one in x]
    return {form: Load("/predict", kind, bodies, wanted) for (form, (_, kind)), bodies in
            zip(FORMS.items(), (arrays, [png(one[..., 0]) for one in x]), strict=True)}


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def cell(name: str, run: Run, form: str, load: Load, clients: int, count: int) -> dict[str, Any]:
    """Measure one server with one form of request and some clients."""
    if name == "bare":
        load = load._replace(path=FORMS[form][0])
    with server(name, run) as process:
        uvloop.run(sent(load, count // 10, clients))  # warm
        busy, before = of(process)
        found = uvloop.run(sent(load, count, clients))
        after = of(process)
    p50, p99 = np.percentile(found.ms, [50, 99])
    return {"server": name, "form": form, "clients": clients, "requests": count, "lost": found.lost,
            "wrong": found.wrong, "p50_ms": round(float(p50), 3), "p99_ms": round(float(p99), 3),
            "per_second": round(count / found.seconds, 1), "cpu_ms": round(1e3 * (after[0] - busy) / count, 3),
            "megabytes": [round(before, 1), round(after[1], 1)]}


def compared(run: Run, count: int, repeats: int) -> list[dict[str, Any]]:
    """Measure all servers in turn, and return the medians of what each said."""
    rows = []
    for form, requests in loads(run).items():
        for clients in CLIENTS:
            said = harness.interleaved({name: lambda name=name: cell(  # type: ignore[misc]
                name, run, form, requests, clients, count if clients > 1 else count // 5)  # noqa: B023  called at once
                for name in SERVERS}, repeats)
            for name, some in said.items():
                row = {key: statistics.median(one[key] for one in some) for key in
                       ("p50_ms", "p99_ms", "per_second", "cpu_ms")}
                rows.append({"server": name, "form": form, "clients": clients, "requests": some[0]["requests"], **row,
                             **{key: sum(one[key] for one in some) for key in ("lost", "wrong")},
                             "spread": harness.spread(some, "per_second"), "megabytes": some[-1]["megabytes"]})
    return rows


def killed(run: Run, count: int, number: signal.Signals) -> dict[str, Any]:
    """End a server under load and start it again: clients send what was not answered once more."""
    load = loads(run)["arrays"]

    async def scenario() -> tuple[Sent, int | None]:
        with contextlib.ExitStack() as first:
            process = first.enter_context(server("served", run))
            found: list[Outcome] = []
            task = asyncio.create_task(sent(load, count, 32, patience=120, found=found))
            while len(found) < count // 4:
                await asyncio.sleep(0.01)
            process.send_signal(number)
            code = await asyncio.to_thread(process.wait)
        with contextlib.ExitStack() as second:
            await asyncio.to_thread(second.enter_context, server("served", run))
            return await task, code

    found, code = uvloop.run(scenario())
    return {"signal": number.name, "exit": code, "requests": count, "lost": found.lost, "wrong": found.wrong,
            "again": found.again}


def bad() -> dict[str, tuple[str, bytes]]:
    """Return requests that no server should answer, {name: (type, body)}."""
    array = io.BytesIO()
    np.save(array, np.full((1, 8, 8, 1), np.nan))
    bomb = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(bomb, "PNG")
    form = b'--b\r\nContent-Disposition: form-data; name="f"; filename="../../../etc/passwd"\r\n\r\nx\r\n--b--\r\n'
    return {"PNG of 144 million pixels": ("image/png", bomb.getvalue()), "40 MB": ("image/png", bytes(40_000_000)),
            "another type": ("application/zip", b"x"), "empty": ("image/png", b""), "no image": ("image/png", b"x"),
            "NaN in JSON": ("application/json", b'{"instances": [[[[NaN]]]]}'),
            "NaN in an array": ("application/x-npy", array.getvalue()), "no JSON": ("application/json", b"{"),
            "nested JSON": ("application/json", b"[" * 200_000), "another shape": (
                "application/json", b'{"instances": [[1, 2]]}'), "rows": ("application/json", b'{"rows": [{"a": 1}]}'),
            "a path as a name": ("multipart/form-data; boundary=b", form)}


def refused(run: Run, times: int) -> dict[str, Any]:
    """Send what is bad many times, and return the statuses, and what it cost."""
    import http.client

    with server("served", run) as process:
        _, before = of(process)
        found = {}
        for name, (kind, body) in bad().items():
            busy, statuses = of(process)[0], set()
            for _ in range(times):
                connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
                connection.request("POST", "/predict", body, {"Content-Type": kind})
                answer = connection.getresponse()
                line = answer.read()
                statuses.add(answer.status if b"\n" not in line and "error" in json.loads(line) else 0)
                connection.close()
            found[name] = {"status": sorted(statuses), "cpu_ms": round(1e3 * (of(process)[0] - busy) / times, 2)}
        after = uvloop.run(sent(loads(run)["arrays"], 100, 4))
        return {"times": times, "kinds": found, "megabytes": [round(before, 1), round(of(process)[1], 1)],
                "right_afterwards": 100 - after.lost - after.wrong}


def body(found: Any) -> str:
    """Return the tables of docs/lab/serve.md."""
    if not found:
        return "not run\n"
    if "refused" not in found:
        return "not finished\n"
    lines = ["| model | requests | clients | server | p50 ms | p99 ms | requests a second | by those of bare | CPU ms "
             "a request | lost | wrong | MB before, after |",
             "| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"]
    for model, rows in found["models"].items():
        bare = {(one["form"], one["clients"]): one["per_second"] for one in rows if one["server"] == "bare"}
        for one in rows:
            ratio, (before, after) = one["per_second"] / bare[one["form"], one["clients"]], one["megabytes"]
            lines.append(f"| {model} | {one['form']} | {one['clients']} | {one['server']} | {one['p50_ms']:.2f} | "
                         f"{one['p99_ms']:.2f} | {one['per_second']:,.0f} | {ratio:.2f} | {one['cpu_ms']:.2f} | "
                         f"{one['lost']} | {one['wrong']} | {before:.0f}, {after:.0f} |")
    lines += ["", "| ended in mid-load by | exit code | requests | sent again | lost | wrong |",
              "| --- | ---: | ---: | ---: | ---: | ---: |"]
    lines += [f"| {one['signal']} | {one['exit']} | {one['requests']:,} | {one['again']} | {one['lost']} | "
              f"{one['wrong']} |" for one in found["killed"]]
    lines += ["", "| bad request | status | CPU ms |", "| --- | --- | ---: |"]
    lines += [f"| {name} | {', '.join(map(str, one['status']))} | {one['cpu_ms']:.1f} |"
              for name, one in found["refused"]["kinds"].items()]
    memory = found["refused"]["megabytes"]
    return "\n".join([*lines, "", f"Memory before and after {found['refused']['times']} of each: {memory[0]:.0f} and "
                      f"{memory[1]:.0f} MB. Measured on {machine(found['environment'])}.", ""])


def main() -> None:
    asked = harness.parser(__doc__.partition("\n")[0], f"{NAME}.json", 3).parse_args()
    count, repeats, times = (300, 1, 2) if asked.quick else (10_000, asked.repeats, 50)
    steps: dict[str, Callable[[], Any]] = {}
    found: dict[str, Any] = {"models": {}, "environment": environment()}
    for name, recipe in MODELS.items():
        run = once(recipe, RUNS / name, verbose=False)
        if not (run.path / "export" / "onnx").exists():
            from kerasdl.deploy import export

            export(run, "onnx")
        found["models"][name] = compared(run, count, repeats)
        write_json(asked.out, found)
        steps = {"killed": lambda run=run: [killed(run, count, number)  # type: ignore[misc]
                                            for number in (signal.SIGTERM, signal.SIGKILL)],
                 "refused": lambda run=run: refused(run, times)}  # type: ignore[misc]
    for name, step in steps.items():
        found[name] = step()
        print(name, json.dumps(found[name]), flush=True)
        write_json(asked.out, found)


if __name__ == "__main__":
    main()
