"""What each part varies, and the fixed set of sampled negatives."""

import dataclasses

import numpy as np
import pytest
import tiny

from experiments.negvae import ablations, color, grayscale, negatives, ood_evaluation, ood_table
from jaxgen import data, methods, nets


@dataclasses.dataclass(frozen=True)
class Noise:
    """Noise of 8 by 8."""

    def tables(self):
        return (np.random.default_rng(0).integers(255, size=(120, 8, 8, 1), dtype=np.uint8),)


@pytest.mark.parametrize(
    ("part", "field", "values"),
    [
        ("reconstructed", "negative_reconstruction_weight", ablations.ALPHAS),
        ("dimension", "latent_dim", ablations.DIMENSIONS),
        ("shift", "shift", ablations.SHIFTS),
        ("color", "shift", ablations.COLOR_SHIFTS),
    ],
)
def test_a_part_varies_one_thing(part, field, values):
    configs = [model.config(1) for model in ablations.Experiment(parts=(part,)).models()]
    assert tuple(getattr(config.method, field) for config in configs) == values
    for config in configs[1:]:
        same = dataclasses.replace(config.method, **{field: values[0]})
        assert dataclasses.replace(config, method=same) == configs[0]


def test_shifts_are_seen_on_pairs_of_no_other_table():
    pairs = lambda models: {(model.inlier, images) for model in models for images in model.outliers.values()}
    shifted = pairs(ablations.Experiment(parts=("shift", "color")).models())
    assert len(shifted) == 2
    for experiment in (
        grayscale.Experiment(),
        color.Experiment(),
        negatives.Experiment(),
        ablations.Experiment(parts=("reconstructed", "dimension")),
    ):
        assert not shifted & pairs(experiment.models())


def test_color_has_the_paper_s_epochs():
    (model, *_) = ablations.Experiment(parts=("color",), paper=True).models()
    assert model.config(1).steps == 300_000


def test_a_fixed_set_of_negatives_is_sampled_once(monkeypatch, tmp_path):
    monkeypatch.setattr(nets, "autoencoder", tiny.autoencoder)
    monkeypatch.setattr(nets, "ConvDecoder", lambda **layers: None)
    for module, name, value in (
        (ood_evaluation, "BATCH", 8),
        (ood_evaluation, "ROWS", 10),
        (ablations, "BANK", 40),
        (ablations, "FASHION", Noise()),
    ):
        monkeypatch.setattr(module, name, value)
    experiment = ablations.Experiment(parts=("adversary",), steps=3, cache_dir=tmp_path)
    paid, unpaid, banked = experiment.models()
    assert paid.config(1).method.negatives == methods.ModelSamples()
    assert unpaid.config(1).method.negatives == methods.ModelSamples(0.0)
    images, bank = banked.config(1).data.datasets
    assert images == Noise()
    assert isinstance(bank, data.Arrays)
    assert bank.tables()[0].shape == (40, 8, 8, 1)
    assert banked.config(1).data.datasets[1] is bank
    (shifted,) = (model for model in experiment.shift() if model.config(1).method.shift == 8)
    place = lambda model: experiment.training_directory(model.resolved(1))
    assert place(shifted) == place(paid)  # the same training, whatever fields were left open
    assert len({place(model) for model in (paid, unpaid, banked)}) == 3
    assert np.abs(banked.config(2).data.datasets[1].tables()[0] - bank.tables()[0]).max() > 0


def test_each_part_has_a_table(monkeypatch, tmp_path):
    remarks_of = {}
    monkeypatch.setattr(
        ood_table.Experiment,
        "table",
        lambda self, name, title, models, results, remarks: remarks_of.update({name: remarks}),
    )
    ablations.Experiment(parts=("reconstructed", "color"), steps=30, output_dir=tmp_path).tables({})
    assert list(remarks_of) == ["ablations_reconstructed", "ablations_color"]
    assert remarks_of["ablations_reconstructed"][0].startswith("Trained 30 steps of 50 images")
    assert remarks_of["ablations_color"] == ["10 steps of 50 images."]


def test_unknown_parts_are_an_error():
    with pytest.raises(SystemExit, match="parts must be among reconstructed"):
        ablations.Experiment(parts=("depth",))
