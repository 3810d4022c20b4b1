"""Moving digits: seeded, ternary, and really the differences of a moving image."""

import pytest
import torch

from accelsim.training.data import digits
from accelsim.training.events import moving, moving_digits


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dot(count: int) -> torch.Tensor:
    images = torch.zeros(count, 1, 3, 3)
    images[:, 0, 1, 1] = 1.0
    return images


def test_a_moving_dot_leaves_one_pixel_and_enters_a_neighbour():
    events = moving(dot(400), 6, generator(), canvas=9)
    assert events.shape == (6, 400, 1, 9, 9)
    assert bool((events.sum(dim=(2, 3, 4)) == 0).all())
    assert bool((events.abs().sum(dim=(2, 3, 4)) == 2).all())
    left, entered = (
        torch.stack([flat // 9, flat % 9]) for flat in ((-events).flatten(2).argmax(2), events.flatten(2).argmax(2))
    )
    step = entered - left
    assert step.abs().max() == 1
    assert torch.equal(entered[:, :-1], left[:, 1:])  # where it was, it leaves next
    # king's moves, all eight of them, straight on until an edge of the room (1 to 7 for the dot) turns them
    assert {tuple(move) for move in step[:, 0].T.tolist()} == {
        (y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)
    }
    turned = step[:, 1:] != step[:, :-1]
    assert bool(turned.any())
    at_edge = (left[:, 1:] == 1) | (left[:, 1:] == 7)
    assert bool((at_edge | ~turned).all())
    assert int(entered.min()) >= 1
    assert int(entered.max()) <= 7


def test_starts_cover_the_whole_room():
    events = moving(dot(2000), 1, generator(), canvas=6)
    left = (-events[0]).flatten(1).argmax(1)
    assert set(left.tolist()) == {6 * row + column for row in range(1, 5) for column in range(1, 5)}


def test_small_changes_make_no_events():
    images = torch.full((50, 1, 4, 4), 0.5)
    images[:, 0, 1:3, 1:3] = 0.6
    coarse = moving(images, 3, generator(), canvas=10, contrast=0.3)
    fine = moving(images, 3, generator(), canvas=10, contrast=0.05)
    assert bool((coarse.abs() <= fine.abs()).all())
    assert 0 < float(coarse.abs().sum()) < float(fine.abs().sum())


def test_moving_digits_are_seeded_and_keep_the_split():
    first, again, other = moving_digits(timesteps=3), moving_digits(timesteps=3), moving_digits(timesteps=3, seed=5)
    assert first.test_events.shape == (3, 360, 1, 20, 20)
    assert first.train_events.shape == (3, 1437, 1, 20, 20)
    assert torch.equal(first.test_events, again.test_events)
    assert torch.equal(first.train_events, again.train_events)
    assert not torch.equal(first.test_events, other.test_events)
    assert torch.equal(first.test_labels, digits().test_labels)
    assert set(first.test_events.unique().tolist()) == {-1.0, 0.0, 1.0}
    # both polarities, and far fewer events than pixels
    assert 0.02 < float((first.test_events > 0).float().mean()) < 0.3
    assert 0.02 < float((first.test_events < 0).float().mean()) < 0.3


def test_an_image_that_fills_the_canvas_cannot_move():
    with pytest.raises(ValueError, match="cannot move on a canvas of 3x3"):
        moving(dot(1), 2, generator(), canvas=3)
