"""Nasty words and numbers, and damage to text and bytes that knows nothing of their structure."""

from __future__ import annotations

import string
from random import Random

NUMBERS = (
    "0", "-1", "1", "2", "3", "-0.0", "0.5", "1.5", "7", "255", "256", "65536", "2147483647", "2147483648",
    "-2147483649",
    "9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551616", "1e20", "1e-300",
    "5e-324",
    "1e308", "-1e308", "1e309", "1e-400", "0.1", "-0.5", "100000", "1000000", "3.0", "1e3", "10", "12", "33", "1000",
)  # fmt: skip
YAML_SCALARS = (
    "", "~", "null", "true", "false", "yes", "no", "on", "off", "y", ".nan", ".inf", "-.inf", ".NaN", "nan", "inf",
    "010",
    "0o10", "0x10", "0b11", "1:20", "1:20:30", "-1:20", "190:20:30.15", "1_000", "_", "+12", "1e", "1.e+3", "0x", "09",
    "2020-13-45", "2001-12-14", "2001-12-14t21:59:43.10-05:00", "0001-01-01", "9999-99-99 99:99:99", "=", "<<", "*a",
    "&a",
    "&a b", "!", "!!", "!x", "!!str 5", "!!int x", "!!int ''", "!!int '1:'", "!!int '0x'", "!!int -", "!!float x",
    "!!float ''",
    "!!bool maybe", "!!bool ''", "!!null x", "!!timestamp x", "!!timestamp ''", "!!binary x", "!!binary '===='",
    "!!set {a}",
    "!!omap [a: 1]", "!!omap {a: 1}", "!!pairs [a: 1]", "!!pairs [[a]]", "!!seq {a: 1}", "!!map [1]", "!!merge x",
    "!!value x",
    "!!python/object/apply:os.system ['true']", "!!python/name:os.system", "!!python/tuple [1]",
    "!<tag:yaml.org,2002:int> x",
    "%", "@", "`", "|", ">", "- a", "? a", "a: b: c", "'", '"', '"\\ud800"', '"\\udfff\\ud800"', '"\\0"', '"\\x00"',
    '"\\U0010ffff"',
    '"\\ufeff"', '"\\x85"', '"\\u2028"', '"\\n"', '"\\e[31m"', "'\u00e9'", "'\u202e'", "9" * 5000, "0x" + "f" * 5000,
    "-" + "9" * 4400,
    "0b" + "1" * 20000, "0." + "3" * 5000, "1" + "0" * 400 + ".0", "1e99999", "1e-99999", ":".join(["59"] * 2000),
    "0" * 5000 + "7",
)  # fmt: skip
JSON_SCALARS = (
    "null", "true", "false", "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "01", "+1", ".5", "1.", "0x10", "'a'",
    "undefined",
    '"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"\\u2028"', '"\\ufeff"', '"\\x41"', '""', '"</script>"',
    '"<img src=x onerror=1>"',
    "9" * 5000, "-" + "9" * 4400, "0." + "3" * 5000, "1" + "0" * 400, "{}", "[]", '"', "1e99999", "1E400", "-0",
    "1e-400",
)  # fmt: skip
WORDS = (
    "", " ", "x", "none", "None", "nan", "auto", "all", "default", "input", "a b", "\t", "\n", "\r", "a\nb", "\x00",
    "a\x00b", "\x7f",
    "\x1b[31m", "\ud800", "\u202e", "\u00e9", "e\u0301", "\U0001f4a5", "\ufeff", "\u0130", "\u00df", "x" * 300,
    "x" * 10_000, "..", ".", "/", "//",
    "../../../x", "/dev/null", "/dev/zero", "/proc/self/mem", "/nonexistent/x", "~", "~root", "C:\\x", "a/b",
    ".hidden", "-", "--help",
    "-1", "%s", "%n", "{}", "{0}", "{x!r}", "[red]", "[/]", "[link=x]y[/link]", "$x$", "\\", "'", '"', "`", "*", "?",
    "<b>", "=", ":", ",",
    "digits_snn", "sata", "spikeflow", "1e5", "1_000", "\u0661", "\u00b2", "\u2212" + "1", "0x1f", "1/0", "import os",
    "sha256:0",
)  # fmt: skip
"""As Python text; they are quoted as the language of the file wants."""
UNITS = ("_ns", "_us", "_mhz", "_ghz", "_bytes", "_kb", "_bits", "_pj", "_mw", "_um2", "_ohm", "_nm", "s")
ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-7", "cp037")


def misspelt(word: str, random: Random) -> str:
    """A slip of the pen: one letter dropped, doubled, swapped, replaced, or in another case; or another unit."""
    if not word:
        return random.choice(string.ascii_lowercase)
    at = random.randrange(len(word))
    other = word[at + 1 : at + 2] or "_"
    return random.choice(
        (
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + other + word[at] + word[at + 2 :],
            word[:at] + random.choice(string.ascii_lowercase) + word[at + 1 :],
            word.upper(),
            word.replace("_", "-"),
            word.replace("_", " "),
            f" {word} ",
            word + random.choice(UNITS),
            word.rpartition("_")[0] + random.choice(UNITS),
        )
    )


def number(random: Random) -> str:
    """A number that a file might hold: nasty, small, or of any magnitude."""
    kind = random.random()
    if kind < 0.5:
        return random.choice(NUMBERS)
    if kind < 0.8:
        return str(random.randint(-4, 70))
    return repr(random.uniform(-2, 10) * 10.0 ** random.randint(-12, 12))


def tweaked(text: str, random: Random) -> str:
    """A number near the one written, or of another magnitude, or written otherwise."""
    try:
        value = float(text)
        whole = int(text)
    except (ValueError, OverflowError):
        try:
            value, whole = float(text), None
        except ValueError:
            return number(random)
    near = [repr(value * factor) for factor in (-1.0, 0.0, 0.5, 1.1, 2.0, 10.0, 1e-3, 1e3, 1e6, 1e-9, 1e9, 1e200)]
    near += [
        f"'{text}'",
        f"{text}x",
        f"{text}.0",
        f"{text}e0",
        f"[{text}]",
        f"[{text}, {text}]",
        f"-{text}",
        f"0{text}",
    ]
    if whole is not None:
        near += [str(whole + step) for step in (-1, 1, 2)] * 3
        near += [str(whole * factor) for factor in (2, 3, 10, 1000)] + [str(whole // 2)] * 2
    return random.choice(near)


def bytes_damaged(content: bytes, random: Random, others: tuple[bytes, ...] = ()) -> bytes:
    """Damage to bytes: flips, cuts, copies, nasty insertions."""
    damaged = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        size = len(damaged)
        at, end = sorted((random.randint(0, size), random.randint(0, size)))
        end = min(end, at + random.choice((1, 1, 4, 32, size)))
        how = random.randrange(8)
        if how == 0:
            del damaged[at:]
        elif how == 1:
            del damaged[at:end]
        elif how == 2:
            damaged[at:at] = damaged[at:end][:100_000]
        elif how == 3:
            damaged[at:at] = random.choice(
                (b"\0", b"\xff", b"\x80\x04", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"PK\x03\x04", b"\n")
            )
        elif how == 4 and others:
            other = random.choice(others)
            damaged[at:end] = other[random.randint(0, len(other)) :][:100_000]
        elif how == 5 and size:
            damaged[at:end] = bytes(end - at)
        elif size:
            for _ in range(random.choice((1, 1, 2, 8))):
                damaged[random.randrange(size)] = random.randrange(256)
    return bytes(damaged)


def text_damaged(text: str, random: Random, others: tuple[str, ...] = ()) -> bytes:
    """Damage to text as editors, tools and people do it: encodings, line ends, tabs, lines lost, doubled or moved."""
    lines = text.splitlines(keepends=True)
    how = random.randrange(12)
    if how == 0:
        return text.encode(random.choice(ENCODINGS), errors="replace")
    if how == 1:
        return text.replace("\n", random.choice(("\r\n", "\r", "\x85", "\u2028", "\n\n", ""))).encode()
    if how == 2:
        return text.replace(" ", random.choice(("\t", "", "  ", "\u00a0")), random.choice((1, -1))).encode()
    if how == 3 and lines:
        del lines[random.randrange(len(lines))]
    elif how == 4 and lines:
        lines.insert(random.randint(0, len(lines)), random.choice(lines))
    elif how == 5:
        random.shuffle(lines)
    elif how == 6 and others:
        foreign = random.choice(others).splitlines(keepends=True)
        lines[random.randint(0, len(lines)) :] = foreign[random.randint(0, len(foreign)) :]
    elif how == 7 and lines:
        at = random.randrange(len(lines))
        lines[at] = " " * random.randint(1, 4) + lines[at]
    elif how == 8 and lines:
        at = random.randrange(len(lines))
        lines[at] = lines[at][: random.randint(0, len(lines[at]))] + random.choice((*WORDS, *YAML_SCALARS)) + "\n"
    elif how == 9:
        lines = [text[: random.randint(0, len(text))]]
    else:
        return bytes_damaged(text.encode(), random, tuple(other.encode() for other in others))
    return "".join(lines).encode(errors="surrogatepass")
