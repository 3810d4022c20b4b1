from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.core.errors import InputError
from accelsim.noc.topology import LOCAL, Mesh
from tests.noc.strategies import meshes


@given(meshes(), st.data())
@settings(max_examples=60)
def test_loads_count_what_the_routes_pass(mesh, data):
    tile = st.integers(0, mesh.nodes - 1)
    pairs = data.draw(st.lists(st.tuples(tile, tile, st.integers(1, 9)), min_size=1, max_size=20))
    source, destination, amount = (np.array(column) for column in zip(*pairs, strict=True))
    expected = Counter()
    for s, t, n in pairs:
        route = mesh.route(s, t)
        assert route[-1] == (t, LOCAL)
        assert len(route) == mesh.hops(s, t) + 1
        expected.update(dict.fromkeys(route, n))
    loads = mesh.link_loads(source, destination, amount)
    assert {(n, p): loads[n, p] for n, p in np.argwhere(loads > 0)} == dict(expected)


def test_a_route_goes_along_the_row_first_and_never_the_long_way():
    assert Mesh(3, 4).route(0, 9) == [(0, 0), (1, 2), (5, 2), (9, 4)]
    assert Mesh(3, 4, torus=True).route(0, 11) == [(0, 1), (3, 3), (11, 4)]


def test_edges_end_a_mesh_and_close_a_torus():
    assert Mesh(2, 3).links == 14
    assert Mesh(2, 3, torus=True).links == 24
    assert Mesh(1, 3, torus=True).links == 6  # a dimension of one tile has no ring


@pytest.mark.parametrize("shape", [(1, 1), (0, 4), (4, -1), (100, 100)])
def test_impossible_shapes_are_refused(shape):
    with pytest.raises(InputError):
        Mesh(*shape)
