"""`accelsim` and `python -m accelsim`; Ctrl-C is obeyed from here on, while the rest is still being imported."""

import _signal  # type: ignore[import-not-found]  # built in; `signal` would be most of the time until Ctrl-C is heard
import os


def main() -> None:
    """Entry point of the command line."""
    for descriptor in range(3):  # one that the caller closed would become that of the next file to be opened
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    heard = _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler  # else the caller had it ignored
    if heard:
        _signal.signal(_signal.SIGINT, _end)
    from accelsim.cli import main as commands
    from accelsim.core.interrupt import obeying_ctrl_c

    with obeying_ctrl_c():
        if heard:
            _signal.signal(_signal.SIGINT, _signal.default_int_handler)
        commands()


def _end(_number: int, _frame: object) -> None:
    """While modules are imported nothing is half-written yet, and what they make of an exception is uncertain."""
    try:
        os.write(2, b"accelsim: interrupted\n")
    finally:
        os._exit(130)


if __name__ == "__main__":
    main()
