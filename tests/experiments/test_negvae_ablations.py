"""What each part varies, and the negatives that are drawn once."""

import dataclasses

import numpy as np
import pytest
import tiny

from experiments import negvae_ablations, strangers
from jaxgen import data, methods, nets


@dataclasses.dataclass(frozen=True)
class Made:
    """Noise of 8 by 8."""

    def tables(self):
        return (np.random.default_rng(0).integers(255, size=(120, 8, 8, 1), dtype=np.uint8),)


def test_a_part_varies_one_thing():
    experiment = negvae_ablations.Experiment(parts=("reconstructed", "dimension", "shift", "colour"))
    varied = {"reconstructed": set(), "latent_dim": set(), "shift": set()}
    for asked in negvae_ablations.models(experiment):
        for name, values in varied.items():
            values.add(getattr(asked.config(1).method, name))
    assert varied["reconstructed"] == set(negvae_ablations.ALPHAS)
    assert varied["latent_dim"] - {None} == set(negvae_ablations.DIMENSIONS)
    assert varied["shift"] - {None} == {*negvae_ablations.SHIFTS, *negvae_ablations.COLOUR_SHIFTS}


def test_shifts_are_seen_on_pairs_of_no_other_table():
    for asked in negvae_ablations.models(negvae_ablations.Experiment(parts=("shift", "colour"))):
        told = {"KMNIST"} if "Fashion" in asked.title else {"CIFAR-100"}
        assert set(asked.strangers) == told


def test_a_bank_is_drawn_once(monkeypatch, tmp_path):
    drawn = lambda shape, latent_dim, **how: nets.Autoencoder(tiny.Flat((8, 2 * latent_dim)), tiny.Shaped(tuple(shape)))
    monkeypatch.setattr(nets, "autoencoder", drawn)
    monkeypatch.setattr(nets, "ConvDecoder", lambda **layers: None)
    for module, name, value in (
        (strangers, "BATCH", 8),
        (strangers, "ROWS", 10),
        (negvae_ablations, "BANK", 40),
        (negvae_ablations, "FASHION", Made()),
    ):
        monkeypatch.setattr(module, name, value)
    experiment = negvae_ablations.Experiment(parts=("adversary",), steps=3, runs=tmp_path)
    paid, unpaid, banked = negvae_ablations.models(experiment)
    assert paid.config(1).method.negatives == methods.Generated()
    assert unpaid.config(1).method.negatives == methods.Generated(0.0)
    images, bank = banked.config(1).data.datasets
    assert images == Made()
    assert isinstance(bank, data.Arrays)
    assert bank.tables()[0].shape == (40, 8, 8, 1)
    assert banked.config(1).data.datasets[1] is bank
    assert np.abs(banked.config(2).data.datasets[1].tables()[0] - bank.tables()[0]).max() > 0


def test_unknown_parts_are_told():
    with pytest.raises(SystemExit, match="there is no depth; choose from reconstructed"):
        negvae_ablations.run(negvae_ablations.Experiment(parts=("depth",)))
