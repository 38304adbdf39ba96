"""Validation rows and early stopping: the rows, the best state, when seeds stop, and what is stored."""

import dataclasses
import functools
import json
import pickle
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

import jaxgen
from jaxgen import data, methods, nets, optim, parallel
from jaxgen.data.split import split_rows
from jaxgen.parallel import Layout
from jaxgen.training import progress
from jaxgen.training.advice import patience_advice
from jaxgen.training.check import _remedy
from jaxgen.training.checkpoint import Checkpoints
from jaxgen.training.early_stopping import best_evaluation, is_stopped
from jaxgen.training.result import checkpoint_template

SERIAL = Layout(seeds=parallel.serial, devices=1)
NORMAL = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
OVERFITS = methods.Flow(nets.dense_flow(3, depth=2, widths=(32,)), learning_rate=3e-3)


def train(config, **named):
    return jaxgen.train(config, progress=False, **named)


def overfitting(**changes):
    settings = {"steps": 120, "steps_per_call": 5, "batch_size": 20, "num_seeds": 2, "layout": SERIAL}
    return jaxgen.Config(OVERFITS, **{"data": data.Arrays(NORMAL), **settings, "validation": 0.5, **changes})


@pytest.fixture(scope="module")
def overfitted():
    return train(overfitting())


def test_rows_are_split_without_overlap_and_in_the_same_way_each_time():
    training, validation = split_rows(3, 0, 100, 17)
    assert len(validation) == 17
    np.testing.assert_array_equal(np.sort(np.concatenate([training, validation])), np.arange(100))
    split_rows.cache_clear()
    np.testing.assert_array_equal(split_rows(3, 0, 100, 17).validation, validation)
    assert set(split_rows(4, 0, 100, 17).validation) != set(validation) != set(split_rows(3, 1, 100, 17).validation)
    # Each row is a validation row with the same probability: 400 splits, five standard deviations.
    counts = np.bincount(np.concatenate([split_rows(seed, 0, 20, 5).validation for seed in range(400)]), minlength=20)
    assert np.all(np.abs(counts - 100) < 5 * np.sqrt(400 * 0.25 * 0.75))


@dataclasses.dataclass(frozen=True)
class Recorded(tiny.Mean):
    """Reports the sums over pairs of the rows that it is trained and evaluated on."""

    def init(self, key, *tables):
        return super().init(key, tables[0][0])

    def step(self, key, state, pair, other):
        state, metrics = super().step(key, state, pair[0])
        unpaired = jnp.sum(jnp.abs(pair[0][:, 0] - pair[1]))
        return state, metrics | {"unpaired": unpaired, "pairs": jnp.sum(pair[1]), "others": jnp.sum(other)}

    def validation_loss(self, key, state, pair, other):
        unpaired = jnp.sum(jnp.abs(pair[0][:, 0] - pair[1]))
        return jnp.sum(pair[1]) + 1e4 * jnp.sum(other) + 1e7 * unpaired


@pytest.mark.parametrize(("validation", "counts"), [(0.25, (10, 6)), (7, (7, 7)), (0.01, (1, 1))])
def test_tables_are_held_out_separately_and_pairs_stay_pairs(validation, counts):
    x = np.arange(40, dtype=np.float32)
    tables = data.Zip((data.Arrays((np.stack([x, x], 1), x)), data.Arrays(x[:24] + 100)))
    n, m = 40 - counts[0], 24 - counts[1]
    size = min(n, m)
    result = train(
        jaxgen.Config(
            Recorded(), tables, 2, size, 2, validation=validation, layout=tiny.ONE, shuffle=False, num_seeds=1, seed=5
        )
    )
    splits = [
        split_rows(5, table, rows, count) for table, (rows, count) in enumerate(zip((40, 24), counts, strict=True))
    ]
    pairs, others = x[splits[0].validation].sum(), (x[splits[1].validation] + 100).sum()
    np.testing.assert_allclose(result.history["validation_loss"], [[pairs + 1e4 * others]], rtol=1e-6)
    assert not result.history["unpaired"].any()
    # Without shuffling, an epoch has the training rows in their order.
    np.testing.assert_allclose(result.history["pairs"][0, 0], x[splits[0].training][:size].sum(), rtol=1e-6)
    np.testing.assert_allclose(result.history["others"][0, 0], (x[splits[1].training] + 100)[:size].sum(), rtol=1e-6)


def test_the_best_state_is_that_of_a_shorter_run_on_the_training_rows(overfitted):
    losses = overfitted.history["validation_loss"]
    best = overfitted.best_step
    np.testing.assert_array_equal(best, 5 * (1 + losses.argmin(1)))
    assert losses.shape == (2, 24)
    assert (best < 120).all()  # otherwise the last state would pass too
    rows = split_rows(0, 0, 60, 30).training
    for seed in range(2):
        shorter = overfitting(data=data.Arrays(NORMAL[rows]), steps=int(best[seed]), validation=None)
        alone = train(shorter)
        chex.assert_trees_all_equal(alone.state_of(seed), overfitted.state_of(seed))
        np.testing.assert_array_equal(alone.history["loss"][seed], overfitted.history["loss"][seed, : best[seed]])
        np.testing.assert_allclose(
            losses[seed].min(),
            -np.mean(
                alone.config.method.log_prob(
                    alone.state_of(seed), jnp.asarray(NORMAL[split_rows(0, 0, 60, 30).validation])
                )
            ),
            rtol=1e-5,
        )


def test_patience_saves_steps_and_returns_a_better_model_than_the_last(overfitted):
    stopped = train(overfitting(patience=2))
    assert stopped.steps < 120
    assert stopped.stopped_early.all()
    last = train(overfitting(data=data.Arrays(NORMAL[split_rows(0, 0, 60, 30).training]), validation=None))
    fresh = np.random.default_rng(1).normal(size=(2_000, 3)).astype(np.float32)
    log_prob = lambda result: np.mean(-np.asarray(result.scores(fresh)["nll"]), 1)
    assert (log_prob(stopped) > log_prob(last) + 0.1).all()
    assert (log_prob(overfitted) >= log_prob(last) + 0.1).all()
    assert "stopped" not in repr(overfitted)
    assert f"best_step={stopped.best_step.min()}" in repr(stopped)
    assert "nan" not in repr(stopped)


def test_a_validation_dataset_is_used_whole():
    x, y = NORMAL[:40], NORMAL[40:]
    config = overfitting(data=data.Arrays(x), validation=data.Arrays(y), steps=5)
    result = train(config)
    plain = train(dataclasses.replace(config, validation=None))
    chex.assert_trees_all_equal(result.state, plain.state)
    nll = np.mean(np.asarray(plain.scores(y)["nll"]), 1)
    np.testing.assert_allclose(result.history["validation_loss"][:, 0], nll, rtol=1e-5)


def places(num_seeds):
    config = tiny.config(tiny.Scripted((0.0,)), num_seeds=num_seeds)
    return tuple(np.asarray(jaxgen.untrained(config).state.place).tolist())


def scripted(losses, broken=(), **changes):
    method = tiny.Scripted(places(len(losses)), losses, broken)
    settings = {"steps": len(losses[0]), "steps_per_call": 1, "validation": 0.2, "num_seeds": len(losses)}
    return tiny.config(method, **{**settings, **changes})


def by_hand(losses, patience):
    """Steps done and best step of one seed, evaluated after every step."""
    least, best, waited = np.inf, 0, 0
    for step, loss in enumerate(losses, 1):
        if np.isfinite(loss) and loss < least:
            least, best, waited = loss, step, 0
        else:
            waited += 1
        if patience is not None and waited >= patience:
            return step, best
    return len(losses), best


CURVES = (
    (3.0, 2.0, 2.0, 2.5, 1.0, 5.0, 5.0, 5.0, 0.0, 0.0),
    (9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0),
    (1.0, 2.0, 3.0, 0.5, 4.0, 5.0, 6.0, 7.0, 8.0, 0.0),
    (np.nan, 2.0, np.inf, -np.inf, 1.0, np.nan, np.nan, np.nan, np.nan, -9.0),
)


@pytest.mark.parametrize("patience", [None, 1, 2, 3, 4])
def test_each_seed_stops_by_itself_and_keeps_its_best_state(patience):
    curves = CURVES[:3] if patience == 1 else CURVES  # a first loss that is not finite stops a patience of one
    result = train(scripted(curves, patience=patience))
    expected = [by_hand(curve, patience) for curve in curves]
    done = max(steps for steps, _ in expected)
    assert result.steps == done
    np.testing.assert_array_equal(result.best_step, [best for _, best in expected])
    np.testing.assert_array_equal(result.state.steps, [best for _, best in expected])
    np.testing.assert_array_equal(
        result.stopped_early, [steps < 10 or steps - best == patience for steps, best in expected]
    )
    for seed, (steps, _) in enumerate(expected):
        np.testing.assert_array_equal(result.history["validation_loss"][seed, :steps], curves[seed][:steps])
        np.testing.assert_array_equal(result.history["loss"][seed, :steps], np.arange(1, steps + 1))
        assert np.isnan(result.history["validation_loss"][seed, steps:]).all()
        assert np.isnan(result.history["loss"][seed, steps:]).all()
    assert not result.history["retries"].any()


def test_rules_of_a_curve_against_a_loop():
    generator = np.random.default_rng(0)
    for _ in range(300):
        losses = generator.choice([0.0, 1.0, 2.0, 3.0, np.nan, np.inf, -np.inf], size=(1, generator.integers(1, 9)))
        patience = int(generator.integers(1, 5))
        stops = [bool(is_stopped(losses[:, :count], patience)[0]) for count in range(1, losses.shape[1] + 1)]
        steps, best = by_hand(losses[0], patience)
        assert (stops.index(True) + 1 if any(stops) else losses.shape[1]) == steps
        if best:
            assert best_evaluation(losses[:, :steps])[0] + 1 == best


def test_a_stopped_seed_may_have_numbers_that_are_not_finite():
    result = train(scripted(((1.0, 2.0, 3.0, 4.0), (4.0, 3.0, 2.0, 1.0)), broken=(3, 0), patience=1))
    np.testing.assert_array_equal(result.best_step, [1, 4])
    np.testing.assert_array_equal(result.history["loss"], [[1, 2, np.nan, np.nan], [1, 2, 3, 4]])
    assert not result.history["retries"].any()


@pytest.mark.parametrize("patience", [2, None])
def test_a_seed_without_a_finite_validation_loss_raises(patience):
    step = 2 if patience else 4
    message = rf"`validation_loss` must be finite .* \(seed 1 has nan at step {step}, .* lower the learning rate"
    with pytest.raises(FloatingPointError, match=message):
        train(scripted(((4.0, 3.0, 2.0, 1.0), (np.inf, np.nan, np.nan, np.nan)), patience=patience))


def test_a_seed_that_stops_changes_no_byte_of_the_others():
    both, alone = train(overfitting(patience=1)), train(overfitting(patience=1, num_seeds=1))
    first, second = both.history["validation_loss"]
    assert np.isnan(first).any() != np.isnan(second).any()  # one of them stops before the other
    steps = alone.steps
    chex.assert_trees_all_equal(both.state_of(0), alone.state_of(0))
    for name, metric in alone.history.items():
        np.testing.assert_array_equal(both.history[name][0, : metric.shape[1]], metric[0])
        assert name == "retries" or np.isnan(both.history[name][0, metric.shape[1] :]).all()
    longer = train(overfitting(steps=both.steps))  # without patience, nothing stops
    running = int(np.isnan(first).any())
    np.testing.assert_array_equal(both.history["validation_loss"][running], longer.history["validation_loss"][running])
    assert steps <= both.steps


@pytest.mark.parametrize("transform", [parallel.pmapped, parallel.sharded])
def test_four_devices_evaluate_all_rows(transform):
    config = tiny.config(tiny.METHODS["mixture density"], steps=3, layout=Layout(devices=4, transform=transform))
    result = train(dataclasses.replace(config, validation=0.3))
    (x,) = config.data.tables()
    rows = jnp.asarray(x[split_rows(0, 0, 100, 30).validation])
    expected = [-np.mean(result.config.method.log_prob(result.state_of(seed), rows)) for seed in range(2)]
    np.testing.assert_allclose(result.history["validation_loss"][:, 0], expected, rtol=1e-5)


def test_a_resumed_run_has_the_same_bytes_and_checkpoints_give_the_best_state(tmp_path):
    run = lambda steps, place=None: train(scripted(CURVES, steps=steps, patience=3), checkpoint_dir=place)
    for steps in (2, 4, 6, 10):
        cut = run(steps, tmp_path / "run")
        loaded = jaxgen.load(tmp_path / "run", trusted=("tiny",))
        chex.assert_trees_all_equal((loaded.state, loaded.history), (cut.state, cut.history))
        assert (loaded.config.validation, loaded.config.patience) == (0.2, 3)
    whole = run(10)
    chex.assert_trees_all_equal((loaded.state, loaded.history), (whole.state, whole.history))
    with Checkpoints(tmp_path / "run", read_only=True) as checkpoints:
        stored, _ = checkpoints.restore(10, checkpoint_template(cut.config, cut.row_specs))
    np.testing.assert_array_equal(stored.last.steps, [by_hand(curve, 3)[0] for curve in CURVES])  # frozen
    np.testing.assert_array_equal(stored.best.steps, [by_hand(curve, 3)[1] for curve in CURVES])
    again = run(10, tmp_path / "run")
    chex.assert_trees_all_equal((again.state, again.history), (whole.state, whole.history))
    with pytest.raises(ValueError, match=r"config differs in patience \(3 there, 4 here\)"):
        train(scripted(CURVES, patience=4), checkpoint_dir=tmp_path / "run")


def test_a_run_that_has_stopped_stays_so(tmp_path):
    run = lambda steps: train(scripted(CURVES[:1], steps=steps, patience=2), checkpoint_dir=tmp_path)
    stopped = run(8)
    assert stopped.steps == 4
    longer = run(10)
    assert longer.steps == 4
    chex.assert_trees_all_equal((stopped.state, stopped.history), (longer.state, longer.history))


def test_a_result_is_saved_pickled_and_loaded(overfitted, tmp_path):
    overfitted.save(tmp_path / "saved")
    for other in (jaxgen.load(tmp_path / "saved"), pickle.loads(pickle.dumps(overfitted))):
        chex.assert_trees_all_equal((other.state, other.history), (overfitted.state, overfitted.history))
        assert (other.config.validation, other.config.patience) == (0.5, None)
        np.testing.assert_array_equal(other.best_step, overfitted.best_step)
        assert other.steps == 120
    # One state is stored, where a checkpoint has two: the last and the best.
    (digests,) = (tmp_path / "saved" / "digests").iterdir()
    assert len(json.loads(digests.read_text())["leaves"]) == len(jax.tree.leaves(overfitted.state))


def test_a_saved_result_cannot_be_continued(tmp_path):
    config = scripted(CURVES[:1])
    result = train(config, checkpoint_dir=tmp_path / "run")
    for digests in (tmp_path / "run" / "digests").iterdir():
        assert len(json.loads(digests.read_text())["leaves"]) == 2 * len(jax.tree.leaves(result.state))
    result.save(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"it holds the best states .* give the `checkpoint_dir`"):
        train(config, checkpoint_dir=tmp_path / "saved")


def test_descriptions_of_runs_without_validation_are_unchanged(tmp_path):
    config = tiny.config(tiny.evl())
    train(config, checkpoint_dir=tmp_path)
    fields = json.loads((tmp_path / "description.json").read_text())["config"]["fields"]
    assert set(fields) == {
        *("method", "data", "steps", "batch_size", "steps_per_call", "num_seeds", "seed", "shuffle", "layout")
    }
    assert jaxgen.load(tmp_path).best_step is None
    assert not jaxgen.load(tmp_path).stopped_early.any()
    with pytest.raises(ValueError, match="another run: its config differs"):
        train(dataclasses.replace(config, validation=0.1), checkpoint_dir=tmp_path)


def test_validation_rows_of_a_dataset_are_part_of_the_digest(tmp_path):
    config = overfitting(steps=20, validation=data.Arrays(NORMAL[:20]))
    train(config, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match="another run: its config differs in validation"):
        train(dataclasses.replace(config, validation=data.Arrays(NORMAL[20:40])), checkpoint_dir=tmp_path)


def test_the_bar_shows_both_losses_and_that_it_stopped_early(capsys, monkeypatch):
    # Every state of the bar is shown, however fast the run is.
    monkeypatch.setattr(progress, "tqdm", functools.partial(progress.tqdm, mininterval=0, miniters=1))
    jaxgen.train(scripted(CURVES[:3], patience=2))
    shown = capsys.readouterr().err
    assert "loss 1 ± 0, validation_loss 4.333 ± 3.4" in shown
    assert "stopped early" not in shown
    jaxgen.train(scripted(CURVES[:1], patience=2))
    assert "loss 4, validation_loss 2.5, stopped early, best at step 2" in capsys.readouterr().err


def test_the_callback_gets_the_best_state_so_far():
    best = []
    result = train(scripted(CURVES[:1]), callback=lambda step, result: best.append(int(result.state.steps[0])))
    assert best == [1, 2, 2, 2, 5, 5, 5, 5, 9, 9]
    assert result.state.steps[0] == 9


def test_one_trace_of_the_evaluation():
    traces = []

    @dataclasses.dataclass(frozen=True)
    class Counted(tiny.Scripted):
        def validation_loss(self, key, state, x):
            traces.append(x.shape)
            return super().validation_loss(key, state, x)

    config = scripted(CURVES)
    train(dataclasses.replace(config, method=Counted(config.method.places, CURVES)))
    assert traces == [(20, 3)]


BAD = {
    "share of all": ({"validation": 1.0}, ValueError, r"`validation` must be a share between 0 and 1, .* \(got 1.0\)"),
    "no share": ({"validation": 0.0}, ValueError, r"got 0.0\); try validation=0.1"),
    "no rows": ({"validation": 0}, ValueError, r"got 0\); try validation=0.1"),
    "negative": ({"validation": -0.1}, ValueError, r"got -0.1\); try validation=0.1"),
    "nan": ({"validation": float("nan")}, ValueError, r"got nan\); try validation=0.1"),
    "flag": ({"validation": True}, ValueError, r"got True\); try validation=0.1"),
    "array": ({"validation": NORMAL}, TypeError, r"validation must have a method `tables`.*data.Arrays|Type-check"),
    "no patience": (
        {"validation": 0.5, "patience": 0},
        ValueError,
        r"`patience` must be .* \(got 0\); try patience=10",
    ),
    "impatient": ({"validation": 0.5, "patience": -2}, ValueError, r"`patience` must be .* \(got -2\)"),
    "half": ({"validation": 0.5, "patience": 1.5}, ValueError, r"`patience` must be .* \(got 1.5\)|Type-check"),
    "alone": ({"validation": None, "patience": 3}, ValueError, r"`patience` needs .* patience=3 .* validation=0.1"),
    "few rows": ({"validation": 0.9}, ValueError, r"leave at least batch_size=20 of the 60 rows .* leaves 6\)"),
    "too many rows": ({"validation": 90}, ValueError, r"leave at least batch_size=20 .* leaves 0\); use fewer"),
    "other rows": ({"validation": data.Arrays(NORMAL[:, :2])}, ValueError, "validation tables must have rows as"),
    "other dtype": (
        {"validation": data.Arrays((NORMAL * 9).astype(np.int8))},
        ValueError,
        "validation tables must have rows as",
    ),
    "not finite": ({"validation": data.Arrays(NORMAL * np.nan)}, ValueError, "validation table 0 must be finite"),
    "no metric": (
        {"method": tiny.Mean()},
        TypeError,
        r"with `validation_loss` \(Mean has none\); write validation_loss",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_settings_raise_one_clear_sentence(name):
    changes, kind, message = BAD[name]
    with pytest.raises((kind, TypeError), match=message) as caught:
        train(dataclasses.replace(overfitting(), **changes))
    if "Type-check" not in str(caught.value):
        assert isinstance(caught.value, kind)
        assert "\n" not in str(caught.value)


def test_a_metric_with_several_numbers_raises():
    @dataclasses.dataclass(frozen=True)
    class PerRow(tiny.Mean):
        def validation_loss(self, key, state, x):
            return jnp.sum(x, 1)

    with pytest.raises(ValueError, match=r"PerRow must return one number \(got shape \(20,\)\); return the mean"):
        train(tiny.config(PerRow(), validation=20))


def test_a_stopped_run_is_checked_as_a_finished_one():
    result = train(scripted(CURVES[:1], patience=2))
    assert result.steps == 4
    assert "finish the run" not in _remedy(result, NORMAL)
    assert "finish the run" in _remedy(dataclasses.replace(result, config=scripted(CURVES[:1], patience=5)), NORMAL)


FALLING = [
    optim.Cosine(1e-3),
    optim.Cosine(1e-3, warmup=3),
    optax.cosine_decay_schedule(1e-3, 4),
    optim.Exponential(1e-3, 0.5),
]


@pytest.mark.parametrize("rate", FALLING, ids=["cosine", "warmup", "optax", "exponential"])
def test_patience_with_a_falling_rate_warns(rate):
    method = dataclasses.replace(OVERFITS, learning_rate=rate)
    config = lambda **changes: overfitting(steps=8, steps_per_call=1, **changes).resolved()
    falling = dataclasses.replace(config(patience=2), method=method).resolved()
    advice = patience_advice(falling)
    assert re.fullmatch(
        r"`patience` stops a seed before its learning rate has fallen, .* \(got patience=2 and learning_rate=.*\); use "
        r"patience=None, or a constant learning_rate with `ema_decay`\.",
        advice,
    )
    assert " at 0x" not in advice
    for patience in (None, 8):  # such a run never stops early
        assert patience_advice(dataclasses.replace(falling, patience=patience)) == ""
    slow = dataclasses.replace(method, learning_rate=optim.Exponential(1e-3, 0.9))
    for other in (OVERFITS, slow):
        assert patience_advice(dataclasses.replace(falling, method=other).resolved()) == ""


def test_train_warns_of_patience_with_a_falling_rate():
    config = overfitting(steps=5, steps_per_call=1, patience=2)
    method = dataclasses.replace(OVERFITS, learning_rate=optim.Cosine(1e-3))
    with pytest.warns(UserWarning, match=r"`patience` stops a seed .*learning_rate=Cosine\(peak=0.001, steps=5\)"):
        train(dataclasses.replace(config, method=method))
    gan = methods.RelativisticGAN(generator_rate=optim.Cosine(1e-3))
    assert "generator_rate=Cosine" in patience_advice(dataclasses.replace(config, method=gan).resolved())
