"""What each part varies, and the negatives that are drawn once."""

import dataclasses

import numpy as np
import pytest
import tiny

from experiments.negvae import ablations, color, grayscale, negatives, ood_evaluation, ood_table
from jaxgen import data, methods, nets


@dataclasses.dataclass(frozen=True)
class Made:
    """Noise of 8 by 8."""

    def tables(self):
        return (np.random.default_rng(0).integers(255, size=(120, 8, 8, 1), dtype=np.uint8),)


@pytest.mark.parametrize(
    ("part", "field", "values"),
    [
        ("negative_reconstruction_weight", "negative_reconstruction_weight", ablations.ALPHAS),
        ("dimension", "latent_dim", ablations.DIMENSIONS),
        ("shift", "shift", ablations.SHIFTS),
        ("colour", "shift", ablations.COLOUR_SHIFTS),
    ],
)
def test_a_part_varies_one_thing(part, field, values):
    listed = list(ablations.models(ablations.Experiment(parts=(part,))))
    configs = [asked.config(1) for asked in listed]
    assert tuple(getattr(config.method, field) for config in configs) == values
    for config in configs[1:]:
        same = dataclasses.replace(config.method, **{field: values[0]})
        assert dataclasses.replace(config, method=same) == configs[0]


def test_shifts_are_seen_on_pairs_of_no_other_table():
    pairs = lambda listed: {(asked.inlier, images) for asked in listed for images in asked.strangers.values()}
    shifted = pairs(ablations.models(ablations.Experiment(parts=("shift", "colour"))))
    assert len(shifted) == 2
    for listed in (
        grayscale.models(grayscale.Experiment()),
        color.models(color.Experiment()),
        negatives.models(negatives.Experiment()),
        ablations.models(ablations.Experiment(parts=("negative_reconstruction_weight", "dimension"))),
    ):
        assert not shifted & pairs(listed)


def test_colour_has_the_paper_s_epochs():
    (asked, *_) = ablations.models(ablations.Experiment(parts=("colour",), paper=True))
    assert asked.config(1).steps == 300_000


def test_a_bank_is_drawn_once(monkeypatch, tmp_path):
    monkeypatch.setattr(nets, "autoencoder", tiny.autoencoder)
    monkeypatch.setattr(nets, "ConvDecoder", lambda **layers: None)
    for module, name, value in (
        (ood_evaluation, "BATCH", 8),
        (ood_evaluation, "ROWS", 10),
        (ablations, "BANK", 40),
        (ablations, "FASHION", Made()),
    ):
        monkeypatch.setattr(module, name, value)
    experiment = ablations.Experiment(parts=("adversary",), steps=3, cache_dir=tmp_path)
    paid, unpaid, banked = ablations.models(experiment)
    assert paid.config(1).method.negatives == methods.ModelSamples()
    assert unpaid.config(1).method.negatives == methods.ModelSamples(0.0)
    images, bank = banked.config(1).data.datasets
    assert images == Made()
    assert isinstance(bank, data.Arrays)
    assert bank.tables()[0].shape == (40, 8, 8, 1)
    assert banked.config(1).data.datasets[1] is bank
    (shifted,) = (a for a in ablations.shift(experiment) if a.config(1).method.shift == 8)
    assert shifted.place(tmp_path, 1) == paid.place(tmp_path, 1)  # the same training, whatever fields were left open
    assert len({asked.place(tmp_path, 1) for asked in (paid, unpaid, banked)}) == 3
    assert np.abs(banked.config(2).data.datasets[1].tables()[0] - bank.tables()[0]).max() > 0


def test_each_part_has_a_table(monkeypatch, tmp_path):
    told = {}
    monkeypatch.setattr(
        ood_table, "tabulated", lambda name, title, models, experiment, remarks: told.update({name: remarks})
    )
    ablations.run(
        ablations.Experiment(parts=("negative_reconstruction_weight", "colour"), steps=30, output_dir=tmp_path)
    )
    assert list(told) == ["negvae_ablations_reconstructed", "negvae_ablations_colour"]
    assert told["negvae_ablations_reconstructed"][0].startswith("Trained 30 steps of 50 images")
    assert told["negvae_ablations_colour"] == ["10 steps of 50 images."]


def test_unknown_parts_are_told():
    with pytest.raises(SystemExit, match="there is no depth; choose from reconstructed"):
        ablations.run(ablations.Experiment(parts=("depth",)))
