"""Training on generated views: seconds, no files of anybody."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from worker.contracts import Frame
from worker.evaluation.overlap import dice
from worker.exam.pixels import BRIGHTEST, OUTSIDE
from worker.faps.crop import CropRule
from worker.faps.refinenet import RefineNet
from worker.faps.xception_ppm import FapsClassifier
from worker.training import classification, loop, segmentation
from worker.training.augment import Strength, same_window, window
from worker.training.bundle import CROP
from worker.training.classification import Crop, found_crops, lesion_crops
from worker.training.folds import parts
from worker.training.loop import Schedule, Watch
from worker.training.measure import choose_gate, graded
from worker.training.sample import Sample, blanked

SIZE = (96, 64)
STILL = Strength(1.0, 0.0, 1.0, 0.0, 0.0, 0.0)
THRESHOLDS = {"segment": 0.5, "peak": 0.6, "min_area_px": 20.0, "max_area_fraction": 0.4}


@pytest.fixture(autouse=True)
def _one_thread():
    """Layers this small spend more time waiting for a second thread than computing."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def blob(seed, *, lesion=True, malignant=True, domain="phantom"):
    """A noisy breast with an enhancing disc; malignant ones enhance more and are rough."""
    rng = np.random.default_rng(seed)
    H, W = SIZE
    y, x = np.mgrid[:H, :W]
    breast = ((y - H / 2) / 44) ** 2 + (x / 58) ** 2 < 1
    image = rng.normal(0, 0.4, (2, H, W))
    mask = np.zeros(SIZE, dtype=bool)
    if lesion:
        row, column = rng.uniform(30, 66), rng.uniform(14, 40)
        mask = (y - row) ** 2 + (x - column) ** 2 < rng.uniform(6, 9) ** 2
        image[1][mask] += 4.0 if malignant else 2.0
        image[0][mask] += 1.5 if malignant else 0.2
    image = np.where(breast, image, OUTSIDE)
    return Sample(
        group=f"{domain}-{seed}",
        name=f"{domain}-{seed}_L_CC",
        domain=domain,
        image=image.astype(np.float16),
        lesion=mask & breast,
        malignant=malignant if lesion else None,
        has_low_energy=True,
        frame=Frame(SIZE, SIZE, 0, 0, *SIZE, 1.0, 0.0, 0.0, flipped=False),
    )


def tiny_refinenet():
    torch.manual_seed(0)
    return RefineNet(18, width=8, features=8, decoder="light", in_channels=2)


class Listener(Watch):
    """Keeps what it is told; ``on_step`` may break a run off."""

    def __init__(self, on_step=None):
        self.lines, self.losses = [], []
        self.on_step = on_step or (lambda: None)

    def say(self, text):
        self.lines.append(text)

    def step(self, done, loss):
        assert 0 <= done <= 1
        self.losses.append(loss)
        self.on_step()


def segmentation_run(steps=25, keep=None, on_step=None, **schedule):
    samples = [blob(i, lesion=i % 3 != 0) for i in range(12)]
    listener = Listener(on_step)
    network = segmentation.train_segmentation(
        tiny_refinenet(),
        samples,
        Schedule(steps=steps, **{"rate": 3e-3, "average": 0.8, **schedule}),
        segmentation.Drawing(size=SIZE, batch=6),
        watch=listener,
        keep=keep,
    )
    return network, listener


def test_a_few_steps_of_segmentation_lower_the_loss_on_unseen_views():
    unseen = [blob(i) for i in range(100, 106)]
    images = torch.stack([torch.from_numpy(s.image.astype(np.float32)) for s in unseen])
    masks = torch.stack([torch.from_numpy(s.lesion.astype(np.float32))[None] for s in unseen])

    def loss_of(network):
        with torch.no_grad():
            return float(segmentation.segmentation_loss(network(images), masks))

    untrained = loss_of(tiny_refinenet().eval())
    trained, listener = segmentation_run()
    assert loss_of(trained) < 0.8 * untrained
    assert listener.losses


def test_the_same_seed_and_steps_give_the_same_weights():
    first, second = (segmentation_run(steps=3)[0].state_dict() for _ in range(2))
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], rtol=0, atol=0)


RULE = CropRule(**{**CROP, "size": 48, "smallest": 24})


def test_a_few_steps_of_classification_lower_the_loss_on_unseen_lesions():
    def crops(seeds):
        return lesion_crops([blob(i, malignant=i % 2 == 0) for i in seeds], RULE)

    drawing = classification.Drawing(
        size=48, energies=("low_energy", "recombined"), batch=16, no_low_energy=0.0, smoothing=0.0
    )
    unseen = classification.grouped(crops(range(100, 116)))
    images, present, labels = classification.batch(unseen, drawing, np.random.default_rng(0))

    def loss_of(network):
        with torch.no_grad():  # with the batch's own statistics: the running ones need more steps
            logits = network.train().logits(network.features(images, present))
        return float(torch.nn.functional.cross_entropy(logits, labels))

    torch.manual_seed(0)
    network = FapsClassifier(width=0.05, pyramid="semseg", in_channels=1)
    untrained = loss_of(network)
    schedule = Schedule(steps=14, rate=3e-3, average=0.5)
    trained = classification.train_classification(
        network, crops(range(16)), schedule, drawing, watch=Listener()
    )
    assert loss_of(trained) < 0.8 * untrained


def test_a_run_that_was_broken_off_goes_on_as_if_nothing_had_happened(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr(loop, "REPORT_EVERY", 3)
    whole, _ = segmentation_run(steps=6)
    keep = tmp_path / "run.pt"

    def break_off():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segmentation_run(steps=6, keep=keep, on_step=break_off)
    again, listener = segmentation_run(steps=6, keep=keep)
    assert "goes on from step 2" in listener.lines
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, rtol=0, atol=0)


def test_a_view_nobody_drew_cannot_train_a_segmentation():
    unknown = replace(blob(1), lesion=None)
    with pytest.raises(ValueError, match="nobody drew its lesions"):
        segmentation.grouped([unknown])


def test_image_and_mask_take_the_same_window():
    sample = blob(3)
    image = np.stack([sample.lesion * 4.0 + 0.5] * 2)  # the mask itself as image
    rng = np.random.default_rng(0)
    strong = Strength(scale=1.3, degrees=30, contrast=1.0, brightness=0.0, noise=0.0, shear=0.1)
    for _ in range(10):
        turned, grid = window(image, (48, 30), (64, 48), (64, 48), rng, strong)
        mask = same_window(sample.lesion, grid)[0].bool().numpy()
        assert dice(turned[1].numpy() > 2.5, mask) > 0.97


def test_a_still_window_is_the_image_or_its_vertical_mirror():
    sample = blob(4)
    rng = np.random.default_rng(0)
    centre, whole = (SIZE[0] / 2, SIZE[1] / 2), (float(SIZE[0]), float(SIZE[1]))
    turned, _ = window(sample.image, centre, whole, SIZE, rng, STILL)
    original = sample.image.astype(np.float32).clip(OUTSIDE, BRIGHTEST)
    closest = min(np.abs(turned.numpy() - original[:, ::step]).max() for step in (1, -1))
    assert closest < 1e-2


def test_what_is_outside_the_breast_stays_outside():
    rng = np.random.default_rng(0)
    image = np.full((2, *SIZE), OUTSIDE)
    turned, _ = window(image, (48, 32), (96, 64), SIZE, rng, Strength())
    assert float(turned.max()) == OUTSIDE


def test_blanking_takes_the_low_energy_image_alone():
    image = blob(1).image.astype(np.float32)
    blank = blanked(image, OUTSIDE)
    assert set(np.unique(blank[0])) == {OUTSIDE}
    np.testing.assert_array_equal(blank[1], image[1])
    assert image[0].max() > OUTSIDE


@pytest.mark.parametrize("folds", [0, 3, 5])
def test_a_network_is_never_asked_about_a_patient_that_it_has_seen(folds):
    patients = [f"P{i}" for i in range(1, 327)]
    made = parts(folds)
    asked = [patient for part in made for patient in patients if part.tests(patient)]
    assert not any(part.trains(p) and part.tests(p) for part in made for p in patients)
    if folds:
        assert sorted(asked) == sorted(patients)  # each of them once
        assert min(sum(part.tests(p) for p in patients) for part in made) > 0.5 * 326 / folds
    else:
        assert 0.1 < len(asked) / len(patients) < 0.3
        assert all(made[-1].trains(patient) for patient in patients)


def test_figures_count_a_missed_lesion_as_zero_and_a_false_alarm_as_noise():
    def certain(sample):
        return np.where(sample.lesion, 0.9, 0.0).astype(np.float32)

    hit, missed, quiet, alarmed = blob(1), blob(2), blob(3, lesion=False), blob(4, lesion=False)
    answered = [
        (hit, certain(hit)),
        (missed, np.zeros(SIZE, np.float32)),
        (quiet, np.zeros(SIZE, np.float32)),
        (alarmed, certain(hit)),
    ]
    table = graded(answered, THRESHOLDS).as_table()
    assert table["with_lesion"] == table["without_lesion"] == 2
    assert table["found"] == table["silent"] == 0.5
    assert table["dice_mean"] == pytest.approx(0.5, abs=0.05)
    assert table["dice_mean_ci"][0] == 0.0
    assert table["dice_mean_ci"][1] > 0.9


def test_the_gate_rises_above_false_alarms():
    positive, negative = blob(1), blob(2, lesion=False)
    sure = np.where(positive.lesion, 0.97, 0.0).astype(np.float32)
    alarm = np.where(positive.lesion, 0.72, 0.0).astype(np.float32)
    gate = choose_gate([[(positive, sure), (negative, alarm)]], THRESHOLDS)
    assert 0.72 < gate["peak"] <= 0.95
    assert gate["max_area_fraction"] == THRESHOLDS["max_area_fraction"]


def test_crops_are_cut_where_a_network_looks_whatever_the_class():
    network = tiny_refinenet().eval()
    samples = [blob(1), blob(2, malignant=False), blob(3, lesion=False)]
    crops = found_crops(
        samples, lambda sample: segmentation.probability_of(network, sample, SIZE), RULE
    )
    assert [classification.class_of(crop) for crop in crops] == ["malignant", "benign", "empty"]
    assert all(isinstance(crop, Crop) for crop in crops)
