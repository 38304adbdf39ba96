"""Maximum entropy generators: both losses in NumPy, the order of a step, chains, and a toy that is learned."""

import dataclasses
import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

import jaxgen
from jaxgen import data, methods, nets, samplers
from jaxgen.scan import keys

X = jnp.asarray(np.random.default_rng(0).normal(size=(8, 3)), jnp.float32)
ROW = jax.ShapeDtypeStruct((3,), jnp.float32)


def turned(key, z):
    return jnp.roll(z, 1, 0)


def unmoved(log_density, step_size, beta):
    """Stands still, and says so."""
    return Still(log_density)


@dataclasses.dataclass(frozen=True)
class Still:
    log_density: object

    def init(self, position):
        return samplers.MALAState(position, self.log_density(position), position)

    def step(self, key, state):
        return state, samplers.MALAInfo(jnp.zeros(()), jnp.zeros((), bool), jnp.zeros((), bool))


@functools.cache
def start(method):
    """Initial state, compiled once for each method."""
    return jax.jit(method.init)(jax.random.key(0), X)


def energies(method, state, rows):
    return np.asarray(jax.jit(method.critic.apply)(state.critic.params, rows))[:, 0].astype(float)


def judged(method, state):
    """Critic loss of a state; the method is no argument of the compiled program."""
    generator = state.generator
    loss = jax.jit(method.critic_loss)
    return loss(jax.random.key(1), state.critic.params, {}, X, generator.params, generator.model_state)


def test_the_critic_loss_is_that_of_numpy():
    method = tiny.meg(penalty=0.7)
    state = start(method)
    value, (seen, _) = judged(method, state)
    z = jax.random.normal(jax.random.split(jax.random.key(1))[0], (8, 2))
    made = jax.jit(method.generator.apply)(state.generator.params["generator"], z)
    real, fake = energies(method, state, X), energies(method, state, made)
    slope = jax.jit(jax.grad(lambda row: method.critic.apply(state.critic.params, row)[0]))
    slopes = [slope(row) for row in np.asarray(X)]
    steep = np.mean([np.sum(np.square(slope)) for slope in slopes])
    np.testing.assert_allclose(value, real.mean() - fake.mean() + 0.7 * steep, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(seen["energy_gap"], real.mean() - fake.mean(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(seen["penalty"], steep, rtol=1e-5)
    np.testing.assert_allclose(seen["energy_std"], np.std([*real, *fake]), rtol=1e-4)
    np.testing.assert_allclose(seen["energy_abs_max"], np.abs([*real, *fake]).max(), rtol=1e-5)

    def plain(critic):
        """Everything made for itself, the penalty row by row."""
        energy = lambda row: method.critic.apply(critic, row)[0]
        slopes = jax.vmap(jax.grad(energy))(X)
        gap = jnp.mean(jax.vmap(energy)(X)) - jnp.mean(jax.vmap(energy)(made))
        return gap + 0.7 * jnp.mean(jnp.sum(slopes**2, -1))

    params = state.critic.params
    ours = jax.jit(
        jax.grad(lambda critic: judged(method, state._replace(critic=state.critic._replace(params=critic)))[0])
    )
    chex.assert_trees_all_close(ours(params), jax.jit(jax.grad(plain))(params), rtol=1e-4, atol=1e-6)


def test_the_generator_loss_is_that_of_numpy():
    """As released: the mean energy, and a cross-entropy over joint pairs (label 1) and shuffled pairs (label 0)."""
    method = tiny.meg(marginal=turned)
    state = start(method)
    value, (seen, _) = jax.jit(method.generator_loss, static_argnums=4)(
        jax.random.key(1), state.generator.params, {}, state.critic.params, 8
    )
    z = np.asarray(jax.random.normal(jax.random.split(jax.random.key(1))[0], (8, 2)))
    params = state.generator.params
    made = np.asarray(jax.jit(method.generator.apply)(params["generator"], z))
    apply = jax.jit(method.statistic.apply)
    statistic = lambda i, j: float(np.asarray(apply(params["statistic"], made[i], z[j]))[0])
    logistic = lambda t: 1 / (1 + np.exp(-t))
    entropies = [-np.log(logistic(statistic(i, i))) for i in range(8)]
    entropies += [-np.log(1 - logistic(statistic(i, (i - 1) % 8))) for i in range(8)]
    np.testing.assert_allclose(value, energies(method, state, made).mean() + np.mean(entropies), rtol=1e-5)
    np.testing.assert_allclose(seen["mutual_information"], -2 * np.mean(entropies), rtol=1e-5)
    heavier = dataclasses.replace(method, entropy=1.0)  # equation 8
    twice, _ = jax.jit(heavier.generator_loss, static_argnums=4)(jax.random.key(1), params, {}, state.critic.params, 8)
    np.testing.assert_allclose(twice - value, np.mean(entropies), rtol=1e-4)


@pytest.mark.parametrize("name", ["meg", "wgan"])
def test_a_step_by_hand(name):
    """First every update of the critic on its part of the rows, then the generator against the updated critic."""
    method = dataclasses.replace(tiny.METHODS[name], optimizer=optax.sgd, learning_rate=0.1)
    state = start(method)
    found, seen = jax.jit(method.step)(jax.random.key(1), state, X)
    key_critic, key_generator = jax.random.split(jax.random.key(1))
    critic, gaps = state.critic.params, []
    descend = lambda params, slope: jax.tree.map(lambda leaf, g: leaf - np.float32(0.1) * np.asarray(g), params, slope)
    params, model_state = state.generator.params, state.generator.model_state
    judge = jax.jit(
        jax.grad(lambda critic, key, x: method.critic_loss(key, critic, {}, x, params, model_state), has_aux=True)
    )
    for t, key in enumerate(keys(key_critic, 2)):
        slope, (said, _) = judge(critic, key, np.asarray(X)[t::2])
        critic = descend(critic, slope)
        gaps.append(said["energy_gap"])
    loss = lambda params: method.generator_loss(key_generator, params, model_state, critic, 4)
    slope, (_, moved) = jax.jit(jax.grad(loss, has_aux=True))(params)
    chex.assert_trees_all_close(found.critic.params, critic, rtol=1e-4, atol=1e-6)
    chex.assert_trees_all_close(found.generator.params, descend(params, slope), rtol=1e-4, atol=1e-6)
    chex.assert_trees_all_close(found.generator.model_state, moved, rtol=1e-5)
    np.testing.assert_allclose(seen["energy_gap"], np.mean(gaps), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["meg", "wgan"])
def test_four_devices_descend_the_mean_of_four_gradients(name):
    """Each device with its rows and its key, by hand; the mutual information is that of all devices' scores."""
    method = dataclasses.replace(tiny.METHODS[name], optimizer=optax.sgd, learning_rate=0.1)
    state = start(method)
    device_keys, shares = keys(jax.random.key(1), 4), np.concatenate([X, 0.5 * np.asarray(X)]).reshape(4, 4, 3)
    spread = dataclasses.replace(method, axis_name="devices")
    step = jax.pmap(lambda key, rows: spread.step(key, state, rows), axis_name="devices")
    (found, seen) = step(device_keys, shares)
    critic, params, model_state = state.critic.params, state.generator.params, state.generator.model_state
    pairs = [jax.random.split(key) for key in device_keys]
    mean = lambda trees: jax.tree.map(lambda *leaves: np.mean(leaves, 0), *trees)
    descend = lambda params, slope: jax.tree.map(lambda leaf, g: leaf - np.float32(0.1) * g, params, slope)
    judge = jax.jit(jax.grad(lambda critic, key, x: method.critic_loss(key, critic, {}, x, params, model_state)[0]))
    for t in range(2):
        hand = shares[:, t::2]  # `[device, row, column]`
        inner = [jax.random.fold_in(pair[0], t) for pair in pairs]
        critic = descend(critic, mean([judge(critic, inner[i], hand[i]) for i in range(4)]))
    make = lambda params, key: method.generator_loss(key, params, model_state, critic, 2)
    make = jax.jit(jax.grad(make, has_aux=True))
    slopes, extras = zip(*[make(params, pair[1]) for pair in pairs], strict=True)
    assert all((np.asarray(leaf) == np.asarray(leaf)[:1]).all() for leaf in jax.tree.leaves(found))
    first = lambda tree: jax.tree.map(lambda leaf: np.asarray(leaf)[0], tree)
    chex.assert_trees_all_close(first(found.critic.params), critic, rtol=1e-4, atol=1e-6)
    chex.assert_trees_all_close(first(found.generator.params), descend(params, mean(slopes)), rtol=1e-4, atol=1e-6)
    chex.assert_trees_all_close(first(found.generator.model_state), mean([e[1] for e in extras]), rtol=1e-5)
    if name == "meg":
        information = np.mean([e[0]["mutual_information"] for e in extras])
        np.testing.assert_allclose(seen["mutual_information"], [information] * 4, rtol=1e-5)


def test_batch_statistics_are_used_in_training_only():
    method = tiny.meg(generator=tiny.Normed())
    state = jax.jit(method.step)(jax.random.key(2), start(method), X)[0]
    value, (plain, _) = judged(method, state)
    z = jax.random.normal(jax.random.split(jax.random.key(1))[0], (8, 2))
    generator = state.generator
    condition = {**generator.params["generator"], **generator.model_state}
    batch, _ = jax.jit(functools.partial(method.generator.apply, mutable=["batch_stats"]))(condition, z)
    decode = jax.jit(method.decode)
    alone = np.concatenate([decode(state, row[None]) for row in np.asarray(z)])
    assert np.abs(batch - alone).max() > 0.1
    np.testing.assert_allclose(decode(state, z), alone, rtol=1e-5, atol=1e-6)
    gap = energies(method, state, X).mean() - energies(method, state, batch).mean()
    np.testing.assert_allclose(plain["energy_gap"], gap, rtol=1e-4, atol=1e-6)
    # With a chain that does not move, negatives are the samples by running statistics of the same noise.
    still = dataclasses.replace(method, latent_mcmc=methods.LatentMCMC(3, process=unmoved))
    chained, (seen, _) = judged(still, state)
    key_noise, _ = jax.random.split(jax.random.split(jax.random.key(1))[0])
    made = decode(state, jax.random.normal(key_noise, (8, 2)))
    gap = energies(method, state, X).mean() - energies(method, state, made).mean()
    np.testing.assert_allclose(seen["energy_gap"], gap, rtol=1e-4, atol=1e-6)
    assert seen["acceptance"] == 0
    assert chained != value


def test_the_critic_does_not_learn_through_the_chain():
    """The gradient is that at fixed samples, as in equation 4."""
    method = tiny.meg(latent_mcmc=methods.LatentMCMC(3, 0.5), penalty=0.0)
    state = start(method)
    generator = state.generator
    slope = jax.jit(
        jax.grad(lambda critic: judged(method, state._replace(critic=state.critic._replace(params=critic)))[0])
    )
    key_noise, key_chain = jax.random.split(jax.random.split(jax.random.key(1))[0])
    one = lambda x: method.critic.apply(state.critic.params, x)[0]
    make = lambda z: method.generator.apply(generator.params["generator"], z)
    walk = jax.jit(lambda key, noise: method.latent_mcmc(key, one, make, noise)[0])
    z = walk(key_chain, jax.random.normal(key_noise, (8, 2)))
    rows = lambda critic, x: jnp.mean(method.critic.apply(critic, x))
    condition = jax.jit(jax.grad(lambda critic: rows(critic, X) - rows(critic, make(z))))(state.critic.params)
    chex.assert_trees_all_close(slope(state.critic.params), condition, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shuffle", [methods.shuffled_rows, methods.shuffled_columns])
def test_shuffles(shuffle):
    z = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    found = np.asarray(shuffle(jax.random.key(0), jnp.asarray(z)))
    np.testing.assert_array_equal(np.sort(found, 0), np.sort(z, 0))
    places = [[int(np.flatnonzero(z[:, j] == found[i, j])[0]) for j in range(3)] for i in range(50)]
    together = sum(len(set(row)) == 1 for row in places)
    assert together == 50 if shuffle is methods.shuffled_rows else together < 10
    assert sum(row[0] == i for i, row in enumerate(places)) < 10


def test_log_densities_are_negative_energies():
    method = tiny.meg()
    state = start(method)
    z = jnp.array([0.3, -1.0])
    energy = float(jax.jit(lambda z: method.energy(state, method.decode(state, z[None]))[0])(z))
    np.testing.assert_allclose(jax.jit(method.latent_log_density(state))(z), -energy, rtol=1e-6)
    tilted = method.latent_log_density(state, density=samplers.tilted_log_density)
    np.testing.assert_allclose(jax.jit(tilted)(z), -energy - 0.5 * (0.09 + 1), rtol=1e-6)
    density = jax.jit(method.data_log_density(state))(np.asarray(X)[0])
    np.testing.assert_allclose(density, -np.asarray(jax.jit(method.energy)(state, X))[0], rtol=1e-6)


def test_samples_by_a_chain():
    """With linear energy and generator, the tilted distribution is the prior shifted by minus the slope."""
    method = tiny.meg(critic=nets.MLP((1,)), generator=nets.MLP((3,)))
    state = start(method)
    linear = {"kernel": jnp.array([[1.0], [0.5], [-1.0]]), "bias": jnp.array([1.0])}
    state = state._replace(critic=state.critic._replace(params={"params": {"Dense_0": linear}}))
    kernel = state.generator.params["generator"]["params"]["Dense_0"]["kernel"]
    slope = (np.asarray(kernel) @ np.asarray(linear["kernel"]))[:, 0]
    chain = methods.LatentMCMC(30, 0.5, density=samplers.tilted_log_density)
    walked = jax.jit(lambda key: method.sample_mcmc(key, state, 1000, chain=chain))(jax.random.key(1))
    assert walked.shape == (1000, 3)
    energy, decode = jax.jit(method.energy), jax.jit(method.decode)
    before = np.asarray(energy(state, decode(state, np.zeros((1, 2), np.float32))))[0]
    after = np.asarray(energy(state, walked))
    assert abs(after.mean() - (before - slope @ slope)) < 4 * after.std() / np.sqrt(1000)
    assert slope @ slope > 8 * after.std() / np.sqrt(1000)  # else standing still would pass
    still = methods.LatentMCMC(3, process=unmoved)
    unwalked = jax.jit(lambda key: method.sample_mcmc(key, state, 5, chain=still))(jax.random.key(1))
    z = jax.random.normal(jax.random.split(jax.random.key(1))[0], (5, 2))
    np.testing.assert_allclose(unwalked, decode(state, z), rtol=1e-6)


def test_the_default_networks_are_the_papers():
    method = methods.MEG().resolve(jax.ShapeDtypeStruct((2,), jnp.float32))
    assert (method.generator, method.critic, method.statistic) == tuple(nets.dense_meg_networks(2))
    assert (method.latent_dim, method.n_critic, method.penalty, method.learning_rate) == (2, 5, 0.1, 1e-4)
    assert methods.MEG().resolve(jax.ShapeDtypeStruct((121,), jnp.float32)).latent_dim == 32
    method = methods.MEG(latent_dim=16).resolve(jax.ShapeDtypeStruct((28, 28, 3), jnp.float32))
    assert (method.generator, method.critic, method.statistic) == tuple(nets.digit_meg_networks(3, latent_dim=16))
    method = methods.MEG().resolve(jax.ShapeDtypeStruct((64, 64, 3), jnp.float32))
    assert (method.generator, method.critic, method.statistic) == tuple(nets.photo_meg_networks(64))
    memory = methods.MEG().optimizer(0.1).init(jnp.zeros(1))
    moved = methods.MEG().optimizer(0.1).update(jnp.ones(1), memory)[1][0]
    np.testing.assert_allclose([moved.mu[0], moved.nu[0]], [1 - 0.5, 1 - 0.9], rtol=1e-6)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="the generator must return rows of the data's shape"):
        tiny.meg(generator=nets.MLP((2,))).resolve(ROW)
    with pytest.raises(ValueError, match="the critic must return one number per sample, the energy"):
        tiny.meg(critic=nets.MLP((2,))).resolve(ROW)
    with pytest.raises(ValueError, match="the statistic must return one number"):
        tiny.meg(statistic=nets.PairNet(nets.MLP((2,)))).resolve(ROW)
    with pytest.raises(ValueError, match="must have parameters only"):
        tiny.meg(critic=tiny.Normed(1)).resolve(ROW)
    with pytest.raises(ValueError, match="has a field that is still None; call resolve"):
        methods.MEG().init(jax.random.key(0), X)
    with pytest.raises(TypeError, match="MEG learns one table of floating-point rows"):
        tiny.meg().resolve(ROW, ROW)
    with pytest.raises(ValueError, match=r"default networks exist for .*set all networks"):
        methods.MEG().resolve(jax.ShapeDtypeStruct((5, 5, 1), jnp.float32))
    with pytest.raises(ValueError, match="got 8 rows per device for n_critic=3"):
        tiny.meg(n_critic=3).step(jax.random.key(0), start(tiny.meg()), X)
    with pytest.raises(ValueError, match=r"at least 2 rows of noise for each update on a device .got 1"):
        tiny.meg(n_critic=4).step(jax.random.key(0), start(tiny.meg()), X[:4])


def test_scores_are_energy_and_slope():
    method = tiny.meg()
    state = start(method)
    scores = jax.jit(method.scores)(state, X)
    np.testing.assert_allclose(scores["energy"], energies(method, state, X), rtol=1e-5)
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), state.critic.params)
        apply = jax.jit(method.critic.apply)
        at = lambda row: float(np.asarray(apply(params, row))[0])
        unit = 1e-6 * np.eye(3)
        rows = np.asarray(X, float)
        slopes = [[(at(row + e) - at(row - e)) / 2e-6 for e in unit] for row in rows]
    np.testing.assert_allclose(scores["score_norm"], np.linalg.norm(slopes, axis=1), rtol=1e-4)


@pytest.mark.slow
def test_images_train_and_sample():
    """Convolutions, batch normalisation and second order in one program."""
    generator = nets.TransposedGenerator((6, 6, 1), (4,), ((5, 2),))
    trunk = lambda width: nets.ConvTrunk(((3, 5, 2),), width)
    statistic = nets.PairNet(nets.MLP((5, 1)), trunk(4))
    x = np.random.default_rng(0).uniform(-1, 1, (20, 6, 6, 1)).astype(np.float32)
    method = methods.MEG(trunk(1), generator, 4, 2, statistic=statistic)
    config = jaxgen.Config(method, data.Arrays(x), steps=2, steps_per_call=2, batch_size=4, layout=tiny.ONE)
    result = jaxgen.train(config, progress=False)
    assert result.sample(jax.random.key(0), 3).shape == (1, 3, 6, 6, 1)
    assert all(np.isfinite(metric).all() for metric in result.history.values())


MODES = np.array(list(itertools.product((-1.0, 1.0), repeat=2)))


def apart(points):
    """How many of four modes have a twentieth of the points within four deviations, and how many points are in none."""
    distance = np.linalg.norm(points[:, None] - MODES[None], axis=-1)
    near = distance < 4 * 0.1
    return int((near.mean(0) > 0.05).sum()), float(1 - near.any(1).mean())


@pytest.mark.parametrize("name", [pytest.param("meg", marks=pytest.mark.slow), "wgan"])
def test_four_gaussians_are_learned(name):
    """Over 10 seeds of another root all four modes were found, and 0.214 of the samples at most lay in none."""
    generator = np.random.default_rng(0)
    x = (MODES[generator.integers(4, size=4000)] + 0.1 * generator.normal(size=(4000, 2))).astype(np.float32)
    made, energy, statistic = nets.dense_meg_networks(2, generator=(64, 64), energy=(64, 64))
    method = {
        "meg": methods.MEG(energy, made, 2, statistic=statistic, learning_rate=1e-3),
        "wgan": methods.WGANGP(energy, made, 2, penalty=1.0, learning_rate=1e-3),
    }[name]
    state = jax.jit(method.init)(jax.random.key(0), x[:1])
    untrained = jax.jit(method.sample, static_argnums=2)(jax.random.key(0), state, 2000)
    assert apart(np.asarray(untrained))[1] > 0.9
    config = jaxgen.Config(method, data.Arrays(x), steps=600, steps_per_call=600, batch_size=5 * 64, layout=tiny.ONE)
    result = jaxgen.train(config, progress=False)
    modes, outside = apart(np.asarray(result.sample(jax.random.key(0), 2000))[0])
    assert (modes, outside < 0.35) == (4, True)
    if name == "meg":
        information = result.history["mutual_information"][0]
        assert information[-50:].mean() > information[:10].mean() + 0.3


def test_a_schedule_counts_steps_not_updates_of_the_critic():
    """The critic takes two updates a step; at the third step's end a schedule that ends there has stopped neither."""
    schedule = lambda count: jnp.where(count < 3, 0.1, 0.0)
    method = tiny.meg(n_critic=2, optimizer=optax.sgd, learning_rate=schedule)
    state, moved = start(method), []
    step = jax.jit(method.step)
    for t in range(4):
        new, _ = step(jax.random.key(t), state, X)
        differ = lambda a, b: not all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))
        moved.append([differ(getattr(new, part).params, getattr(state, part).params) for part in state._fields])
        state = new
    assert moved == [[True, True]] * 3 + [[False, False]]


@pytest.mark.parametrize("wrong", [{"n_critic": 0}, {"latent_dim": 0}])
def test_numbers_below_one_are_refused(wrong):
    with pytest.raises(ValueError, match="must be at least 1"):
        tiny.meg(**wrong).resolve(jax.ShapeDtypeStruct((3,), jnp.float32))
