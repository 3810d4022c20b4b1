"""`accelsim noc` as a user types it."""

import json

import numpy as np
import pytest

SHORT = ("--warm-up", "300", "--measure", "1500")


def test_one_load_as_json(command):
    done = command("noc", "--rows", "4", "--cols", "4", "--traffic", "uniform", "--injection-rate", "0.05",
                   "--packet-flits", "2", "--vcs", "2", "--buffer-flits", "4", "--format", "json")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    assert document["schema"] == "accelsim.noc/1"
    assert document["mean_packet_latency_cycles"] == pytest.approx(17.5, abs=0.5)
    assert document["mean_network_latency_cycles"] <= document["mean_packet_latency_cycles"]
    assert document["accepted_flit_rate"] == pytest.approx(0.1, rel=0.05)
    assert document["saturated"] is False
    assert document["router_cycles_per_s"] > 0
    assert document["network"]["buffer_flits"] == 4


def test_overload_runs_and_says_so(command):
    done = command("noc", "--injection-rate", "2", "--packet-flits", "3", "--torus", "--format", "json", *SHORT)
    document = json.loads(done.out)
    assert document["saturated"] is True
    assert 0 < document["accepted_flit_rate"] < 1
    assert document["mean_packet_latency_cycles"] > 100


def test_curve_and_files(command, tmp_path):
    done = command("noc", "--rows", "3", "--cols", "3", "--traffic", "transpose", "--injection-rate", "0.1",
                   "--out", str(tmp_path), *SHORT)  # fmt: skip
    assert done.code == 0
    assert "packets per node and cycle" in done.out
    document = json.loads((tmp_path / "noc.json").read_text())
    rates = [row["injection_rate"] for row in document["curve"]]
    assert rates == sorted(rates)
    steady = [row["injection_rate"] for row in document["curve"] if not row["saturated"]]
    assert document["saturation_rate"] == max(steady)
    assert (tmp_path / "noc.csv").read_text().count("\n") == len(rates) + 1
    assert (tmp_path / "noc.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--injection-rate", "0"), "--injection-rate: found 0"),
        (("--injection-rate", "-1"), "--injection-rate: found -1"),
        ((), "--injection-rate: needed"),
        (("--injection-rate", "0.1", "--packet-flits", "0"), "--packet-flits: found 0"),
        (("--injection-rate", "0.1", "--vcs", "0"), "--vcs: found 0"),
        (("--injection-rate", "0.1", "--buffer-flits", "0"), "--buffer-flits: found 0"),
        (("--injection-rate", "0.1", "--torus", "--vcs", "1"), "--vcs: a torus"),
        (("--injection-rate", "0.1", "--rows", "0"), "--rows: found 0"),
        (("--injection-rate", "0.1", "--rows", "1", "--cols", "1"), "--rows, --cols: "),
        (("--injection-rate", "0.1", "--rows", "2", "--traffic", "transpose"), "--traffic: transpose needs"),
        (("--injection-rate", "0.1", "--traffic", "unifrm"), "did you mean 'uniform'"),
        (("--injection-rate", "0.1", "--traffic", "no/such.csv"), "no/such.csv: no such file"),
        (("--injection-rate", "0.1", "--seed", "-1"), "--seed: found -1"),
    ],
)
def test_bad_words_are_named(command, words, message):
    done = command("noc", *words)
    assert done.code == 2
    assert message in done.err
    assert done.out == ""


def test_messages_of_a_file_are_replayed(command, tmp_path):
    file = tmp_path / "trace.csv"
    file.write_text("source,destination,flits,cycle\n0,5,3,0\n\n15,0,1,400\n")
    document = json.loads(command("noc", "--traffic", str(file), "--format", "json").out)
    assert document["mean_packet_latency_cycles"] == pytest.approx((4 * 2 + 6 + 2 + 4 * 6 + 6) / 2)
    assert document["analytical"]["mean_packet_latency_cycles"] == document["mean_packet_latency_cycles"]
    assert document["cycles"] == 431
    assert document["saturated"] is False
    drawn = command("noc", "--traffic", str(file), "--injection-rate", "0.01", "--format", "json", *SHORT)
    assert json.loads(drawn.out)["mean_hops"] == pytest.approx(4, abs=0.5)
    assert "--curve: a replay" in command("noc", "--traffic", str(file), "--curve").err


def test_npz_of_messages_and_of_rates(command, tmp_path):
    np.savez(tmp_path / "messages.npz", source=[0, 1], destination=[2, 3], flits=[4, 1])
    np.savez(tmp_path / "rates.npz", rates=np.eye(16)[::-1])
    replayed = command("noc", "--traffic", str(tmp_path / "messages.npz"), "--format", "json")
    assert json.loads(replayed.out)["measured_packets"] == 2
    words = ("--traffic", str(tmp_path / "rates.npz"), "--injection-rate", "0.02", "--format", "json", *SHORT)
    assert json.loads(command("noc", *words).out)["mean_hops"] == pytest.approx(4, abs=0.3)
    assert "--injection-rate: needed" in command("noc", "--traffic", str(tmp_path / "rates.npz")).err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: the file is empty"),
        ("source,destination\n", ": no messages"),
        ("source,dest\n0,1\n", ":1: unknown column 'dest'"),
        ("source,flits\n0,1\n", ":1: no column 'destination'"),
        ("source,destination,source\n0,1,0\n", ":1: column 'source' given twice"),
        ("source,destination,weight,cycle\n0,1,1,1\n", "in one file"),
        ("source,destination\n0,1\n0\n", ":3: found 1 values, expected 2"),
        ("source,destination\n\n0,x\n", ":3: destination: found 'x', expected a number"),
        ("source,destination\n0,16\n", ":2: destination: found 16, expected a tile of the 4 x 4 mesh, 0 to 15"),
        ("source,destination\n0.5,1\n", ":2: source: found 0.5"),
        ("source,destination,flits\n0,1,0\n", ":2: flits: found 0"),
        ("source,destination,cycle\n0,1,-4\n", ":2: cycle: found -4"),
        ("source,destination,weight\n0,1,nan\n", ":2: weight: found nan"),
        ("source,destination,weight\n0,1,0\n", "no traffic"),
        ("source,destination\n0,\xff\n", ":2: not UTF-8"),
    ],
)
def test_bad_files_are_named(command, tmp_path, text, message):
    file = tmp_path / "bad.csv"
    file.write_bytes(text.encode("latin-1"))
    done = command("noc", "--traffic", str(file), "--injection-rate", "0.1")
    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"rates": np.ones((3, 3))}, "rates: found shape (3, 3), expected (16, 16)"),
        ({"rates": -np.ones((16, 16))}, "found -1 from tile 0 to tile 0"),
        ({"rates": np.ones((16, 16)), "source": [1]}, "stands alone"),
        ({"source": [0, 1], "destination": [1]}, "columns of different lengths: source 2, destination 1"),
        ({"source": ["a"], "destination": [1]}, "source: found values of type"),
        ({"source": [[0]], "destination": [1]}, "source: found shape (1, 1)"),
        ({"source": [0], "destination": [16]}, "destination[0]: found 16"),
    ],
)
def test_bad_archives_are_named(command, tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    done = command("noc", "--traffic", str(tmp_path / "bad.npz"), "--injection-rate", "0.1")
    assert done.code == 2
    assert message in done.err


def test_a_broken_archive_is_named(command, tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 not really")
    assert "the archive is damaged or was cut short" in command("noc", "--traffic", str(tmp_path / "bad.npz")).err


def test_endless_messages_are_refused_but_the_closed_form_answers(command, tmp_path):
    (tmp_path / "big.csv").write_text("source,destination,flits\n0,5,100000000000\n")
    done = command("noc", "--traffic", str(tmp_path / "big.csv"))
    assert done.code == 2
    assert "300,000,000,000 flits x routers would take about" in done.err
    assert "--fidelity analytical" in done.err
    done = command("noc", "--traffic", str(tmp_path / "big.csv"), "--fidelity", "analytical", "--buffer-flits", "3",
                   "--format", "json")  # fmt: skip
    document = json.loads(done.out)
    assert document["analytical"]["mean_packet_latency_cycles"] == pytest.approx(2e11, rel=1e-9)
    assert document["mean_packet_latency_cycles"] is None


def test_closed_form_of_random_traffic_alone(command):
    words = ("noc", "--injection-rate", "0.1", "--packet-flits", "4", "--format", "json")
    closed = json.loads(command(*words, "--fidelity", "analytical").out)
    simulated = json.loads(command(*words, *SHORT).out)
    assert closed["analytical"] == simulated["analytical"]
    assert closed["busiest_link_flits_per_cycle"] == pytest.approx(simulated["busiest_link_flits_per_cycle"], rel=0.15)


def test_a_short_window_says_that_it_cannot_tell(command):
    words = ("noc", "--injection-rate", "0.05", "--warm-up", "100", "--measure", "400")
    document = json.loads(command(*words, "--format", "json").out)
    assert (document["saturated"], document["unseen_overload"]) == (False, 1.0)
    assert "so short a time cannot tell saturation" in command(*words).out
    # Beyond what the busiest link carries there is no doubt, however short the window.
    overload = json.loads(command("noc", "--injection-rate", "0.9", "--packet-flits", "1", "--traffic", "transpose",
                                  "--warm-up", "0", "--measure", "100", "--format", "json").out)  # fmt: skip
    assert overload["saturated"] is True


@pytest.mark.parametrize(
    "option", ["--buffer-flits", "--link-delay", "--warm-up", "--measure", "--vcs", "--packet-flits"]
)
def test_numbers_beyond_all_measure(command, option):
    done = command("noc", "--injection-rate", "0.1", option, "99999999999999999999")
    assert done.code == 2
    assert f"{option}: found 99999999999999999999" in done.err
