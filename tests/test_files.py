"""Files by name: what cannot be read is said, and nothing waits for ever."""

from __future__ import annotations

import ast
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accelsim.core import files
from accelsim.core.errors import MOST_SHOWN, InputError, Problem, nearest, shortened
from accelsim.core.files import exists, is_dir, is_file, open_binary, read_bytes, read_json, read_text, write_atomic
from accelsim.core.settings import Override
from accelsim.workload import load_workload
from tests.bounded import complaint

READERS: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda path: read_bytes(path, 100),
    "text": read_text,
    "json": read_json,
    "yaml": files.read_yaml,
    "digest": files.file_digest,
    "open": open_binary,
}


def refused(act: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as found:
        act()
    return found.value.problems[0].message


@pytest.fixture(params=["long name", "long path", "NUL", "missing", "below a file"])
def impossible(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A name that nothing has."""
    (tmp_path / "file").write_text("x")
    names = {"long name": "a" * 5000, "long path": "a/" * 5000, "NUL": "a\0b", "missing": "x", "below a file": "file/x"}
    return tmp_path / names[request.param]


def test_names_that_nothing_has(impossible: Path) -> None:
    assert not is_file(impossible)
    assert not is_dir(impossible)
    assert not exists(impossible)


@pytest.mark.parametrize("reader", READERS)
def test_reading_a_name_that_nothing_has(impossible: Path, reader: str) -> None:
    message = refused(lambda: READERS[reader](impossible))
    assert "no such file" in message or "cannot be read: " in message


@pytest.fixture(params=["loop", "no permission", "broken disk"])
def unreachable(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A name of which nobody can say whether something has it."""
    path = tmp_path / "name"
    if request.param == "loop":
        path.symlink_to("name")
        return path
    reason = errno.EACCES if request.param == "no permission" else errno.EIO
    true_stat = os.stat

    def stat(where: Any, **options: Any) -> os.stat_result:
        if str(where).startswith(str(path)):
            raise OSError(reason, os.strerror(reason), str(where))
        return true_stat(where, **options)

    monkeypatch.setattr(os, "stat", stat)  # root may search every directory
    return path


def test_names_of_which_nobody_can_say(unreachable: Path) -> None:
    for act in (is_file, is_dir, exists, *READERS.values()):
        assert refused(lambda act=act: act(unreachable)).startswith("cannot be read: ")
    with pytest.raises(InputError, match="cannot be read"):
        load_workload(unreachable)


@pytest.fixture(params=["fifo", "directory", "socket", "/dev/null", "/dev/zero", "/dev/random", "/dev/full"])
def no_file(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Something that is no file, and would give nothing or no end."""
    path = tmp_path / "it"
    match request.param:
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "socket":
            short = Path("it.sock")  # a socket's name is short
            monkeypatch.chdir(tmp_path)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(short))
                yield short.absolute()
            return
        case device:
            path = Path(device)
    yield path


@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_refused_without_waiting(
    no_file: Path, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "found a " in (message := refused(lambda: READERS[reader](no_file))) or "nobody writes" in message


def test_a_pipe_is_read_to_its_end_and_may_be_read_again(tmp_path: Path) -> None:
    content = b"x" * 300_000  # more than fits into a pipe
    read_end, write_end = os.pipe()

    def write() -> None:
        with os.fdopen(write_end, "wb") as stream:
            stream.write(content)

    writer = threading.Thread(target=write)
    writer.start()
    path = Path(f"/dev/fd/{read_end}")
    assert is_file(path)
    assert read_bytes(path, 10**6) == content
    writer.join()
    assert read_bytes(path, 10**6) == content
    assert "at most 1,000 are read" in refused(lambda: read_bytes(path, 1000))
    os.close(read_end)


def test_a_pipe_whose_writer_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SILENCE_S", 0.01)
    read_end, write_end = os.pipe()
    assert "nothing came through" in refused(lambda: read_text(Path(f"/dev/fd/{read_end}")))
    os.close(write_end)
    assert "nobody writes" in refused(lambda: read_text(Path(f"/dev/fd/{read_end}")))
    os.close(read_end)


def test_a_pipe_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_PIPED", 10)
    read_end, write_end = os.pipe()
    os.write(write_end, b"x" * 11)
    assert "more than 10 bytes" in refused(lambda: open_binary(Path(f"/dev/fd/{read_end}")))
    os.close(read_end)
    os.close(write_end)


def test_large_files_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as stream:
        stream.truncate(10**12)  # takes no space
    for reader in ("bytes", "text", "json", "yaml"):
        assert "found 1,000,000,000,000 bytes, at most" in refused(lambda reader=reader: READERS[reader](path))


def test_files_whose_size_nobody_told(tmp_path: Path) -> None:
    assert read_bytes("/proc/self/status", 10**6).startswith(b"Name:")  # its size is 0
    assert "at most 10 are read" in refused(lambda: read_bytes("/proc/self/status", 10))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[" * 200_000, "nested too deeply"),
        ("9" * 5000, "digits"),
        ("NaN", "NaN is no JSON number"),
        ("[-Infinity]", "-Infinity is no JSON number"),
        ("", "not valid JSON"),
    ],
)
def test_what_is_no_json(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    assert words in refused(lambda: read_json(tmp_path / "a.json"))


def test_the_longest_name_can_be_written_and_others_are_refused(tmp_path: Path) -> None:
    write_atomic(tmp_path / ("a" * 255), "x")
    for name in ("a" * 256, "b\0c", "a" * 255 + "/x"):
        assert "cannot be written" in refused(lambda name=name: write_atomic(tmp_path / name, "x"))
    assert [path.name for path in tmp_path.iterdir()] == ["a" * 255]


def test_complaints_are_counted_beyond_the_first() -> None:
    error = InputError(Problem(f"wrong {index}") for index in range(12_345 + MOST_SHOWN))
    lines = str(error).splitlines()
    assert len(lines) == MOST_SHOWN + 1
    assert lines[-1] == "... and 12,345 more"
    assert len(str(Problem("m" * 10**6, "f" * 10**6, 1, "w" * 10**6))) < 6000
    assert shortened("x" * 100, 80).endswith("(100 characters)")


def test_a_complaint_is_one_line_that_can_be_seen() -> None:
    """Names come from the input: a line feed would make two complaints of one, an escape would steer the terminal."""
    for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x202E, 0xFEFF, 0xD800):
        (line,) = str(InputError(Problem(f"no '{chr(code)}'", chr(code), 3, chr(code)))).splitlines()
        assert line.isprintable()
        assert ast.literal_eval(f'"""{line}"""') == f"{chr(code)}:3: {chr(code)}: no '{chr(code)}'"
    plain = "Zoë's 网络\\x1b"
    assert str(Problem(plain)) == plain


def test_the_nearest_spelling_is_not_looked_for_without_end() -> None:
    assert nearest("x" * 10**6, ["x" * 10**6]) is None
    assert nearest("rwos", (f"row{'s' * (index % 2)}" for index in range(10**7))) == "rows"


@pytest.mark.parametrize("line", ["timestep{0}: {0}\n", "layers: [{0}]\n", "? a{0}\n"])
def test_many_unknown_keys_are_told_in_twenty_lines(line: str, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    if line.startswith("layers"):
        path.write_text("name: x\nlayers:\n" + "".join(f"- {{op: conv2d, kernle: {i}}}\n" for i in range(10_000)))
    else:
        path.write_text("".join(line.format(index) for index in range(30_000)))
    said = complaint("accelsim.workload:load_workload", path, 2 << 30)
    lines = said.splitlines()
    assert len(lines) == MOST_SHOWN + 1
    assert lines[-1].startswith("... and ")
    assert "unknown key" in said


@pytest.mark.parametrize(
    "key",
    ["a" * 10**6, "a." * 10**5, "layers[" + "9" * 5000 + "]", "layers.²", "layers[٣]", "[", ""],
    ids=lambda key: key[:9],
)
def test_keys_of_any_length(key: str) -> None:
    message = refused(lambda: load_workload("digits_snn", [Override(key, 1)]))
    assert "unknown key" in message
    assert len(str(InputError(Problem(message)))) < 6000


HUGE = {
    "number": 10**5000,
    "negative": -(10**5000),
    "text": "x" * 10**6,
    "list": [10**5000],
    "mapping": {"a": 10**5000},
}


@pytest.mark.parametrize("what", HUGE)
def test_values_that_python_does_not_write(what: str) -> None:
    value = HUGE[what]
    for key in ("timesteps", "precision.weight_bits", "activity.density", "input"):
        with pytest.raises(InputError) as found:
            load_workload("digits_snn", {key: value})
        assert len(str(found.value)) < 20_000
