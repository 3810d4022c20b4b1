import numpy as np
import torch
from sklearn.datasets import load_digits

from accelsim.training.data import digits, shifted


def test_the_split_is_stratified_complete_and_always_the_same():
    first, second = digits(), digits()
    assert first.test_images.shape == (360, 1, 16, 16)
    assert first.train_images.shape == (1437, 1, 16, 16)
    assert torch.equal(first.test_images, second.test_images)
    everything = torch.cat([first.train_labels, first.test_labels]).numpy()
    counts = np.bincount(load_digits().target)
    assert (np.bincount(everything) == counts).all()
    assert (np.abs(np.bincount(first.test_labels.numpy()) - counts * 360 / 1797) < 1).all()
    assert not torch.equal(first.test_labels, digits(split_seed=1).test_labels)


def test_no_test_image_is_a_training_image():
    data = digits()
    train = {image.numpy().tobytes() for image in data.train_images}
    assert not any(image.numpy().tobytes() in train for image in data.test_images)


def test_pixels_are_grey_levels_and_upsampling_keeps_their_mean():
    data = digits()
    assert data.train_images.min() >= 0
    assert data.train_images.max() <= 1
    # bilinear by two with clamped edges weights border pixels as any other: 4 outputs per input
    raw = load_digits().images.mean() / 16
    both = torch.cat([data.train_images, data.test_images])
    assert abs(float(both.mean()) - raw) < 1e-6


def test_shifts_move_whole_images_and_only_so_far():
    images = torch.zeros(200, 1, 8, 8)
    images[:, 0, 4, 4] = 1.0
    moved = shifted(images, torch.Generator().manual_seed(0), 2)
    assert (moved.sum(dim=(1, 2, 3)) == 1).all()
    places = moved.flatten(1).argmax(dim=1)
    rows, columns = (places // 8 - 4).tolist(), (places % 8 - 4).tolist()
    assert set(rows) == set(columns) == {-2, -1, 0, 1, 2}
    assert rows != columns


def test_a_shift_by_nothing_changes_nothing():
    images = torch.rand(3, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(shifted(images, torch.Generator(), 0), images)
