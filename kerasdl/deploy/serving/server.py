"""The process of a server: its socket, and how it stops."""

import gc
import signal
import socket
import warnings

import uvicorn
from fastapi import FastAPI
from PIL import Image

from kerasdl.errors import UserError


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UserError: the port is taken, or there is no such address here.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise UserError(f"{host}:{port} cannot be listened on: {error.strerror or error}. Choose another --port; 0 is "
                        "any that is free.") from None


def address(listening: socket.socket) -> str:
    """Return the URL of a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: FastAPI, listening: socket.socket, grace: float) -> None:
    """Answer until SIGTERM or Ctrl-C; then answer what was received, and return.

    Args:
        app: the application.
        listening: its socket.
        grace: seconds that requests get to end.
    """
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, lifespan="on",
                            timeout_graceful_shutdown=max(1, int(grace)), timeout_keep_alive=30)
    server = uvicorn.Server(config)

    def stop(*_: object) -> None:
        server.should_exit = True

    # Until uvicorn has its own handlers. It raises the signal again once it has stopped, which would end the process
    # with another exit code than 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    gc.collect()
    gc.freeze()  # else a request waits now and then while all that was imported is searched for garbage
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit of pixels is the server's own
    server.run(sockets=[listening])
