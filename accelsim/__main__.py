"""`accelsim` and `python -m accelsim`; Ctrl-C is obeyed from here on, while the rest is still being imported."""

from accelsim.interrupt import obeying_ctrl_c


def main() -> None:
    """Entry point of the command line."""
    with obeying_ctrl_c():
        from accelsim.cli import main as commands

        commands()


if __name__ == "__main__":
    main()
