"""Unrolled relativistic adversarial networks: the extreme value paper's baseline."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgen import losses, parallel
from jaxgen.methods._checks import check_scalar_output, check_table
from jaxgen.methods._modules import filled
from jaxgen.nets import MLP, orthogonal, output_shape
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.optimizers import torch_rmsprop
from jaxgen.optim.schedules import Schedule
from jaxgen.scan import iterate
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree

__all__ = ["RelativisticGAN", "every_layer", "last_layer"]


class GANState(NamedTuple):
    """The two networks."""

    generator: TrainState
    discriminator: TrainState


def every_layer(params: Params) -> PyTree:
    """Unroll the whole discriminator.

    Args:
        params: of the discriminator.

    Returns:
        True for each of its leaves.
    """
    return jax.tree.map(lambda leaf: True, params)


def last_layer(params: Params) -> PyTree:
    """Unroll the last layer alone, which is what the extreme value paper's code does, for want of an argument.

    Args:
        params: of a dense discriminator, `Dense_0` and so on.

    Returns:
        For each of its leaves whether it is of the last layer.

    Raises:
        ValueError: if there are other layers.
    """
    names = list(params["params"])
    if not all(name.startswith("Dense_") for name in names):
        raise ValueError(
            f"last_layer knows dense networks, and this one has {names}; write a function that marks yours."
        )
    last = max(names, key=lambda name: int(name.removeprefix("Dense_")))
    mark = lambda moves, part: jax.tree.map(lambda leaf: moves, part)
    return {"params": {name: mark(name == last, part) for name, part in params["params"].items()}}


@dataclasses.dataclass(frozen=True)
class RelativisticGAN:
    """A generator against a discriminator that is led some steps ahead before the generator answers.

    A step descends once with the discriminator, then once with the generator. The extreme value paper's code is
    `unroll=4, unrolled=last_layer`: of its five updates the last goes unused, and five of six layers are left out.

    Attributes:
        generator: `z [..., k] -> [..., d]`; None is a dense network of five hidden layers of 32.
        discriminator: `x [..., d] -> [..., 1]`; None is a dense network of five hidden layers of 32.
        latent_dim: k, dimensions of the standard normal noise.
        unroll: virtual descents of the discriminator before the generator's loss is taken.
        unroll_rate: their learning rate; plain gradient descent, with fresh noise for each.
        unrolled: takes the discriminator's parameters and tells which are unrolled; `every_layer` or `last_layer`.
        second_order: whether the generator's gradient goes through the virtual descents too.
        optimizer: takes the learning rate.
        generator_rate: a number or a schedule.
        discriminator_rate: a number or a schedule.
        ema_decay: decay of an exponential average of the generator's weights, which then makes the samples; None keeps
            none.
        axis_name: the axis over devices, set by `train`.

    References:
        Guttenberg, Generating the support with extreme value losses (2019), section V; Metz, Poole, Pfau and
        Sohl-Dickstein, Unrolled generative adversarial networks (2016), section 2.2; Jolicoeur-Martineau, The
        relativistic discriminator (2018).
    """

    generator: nn.Module | None = None
    discriminator: nn.Module | None = None
    latent_dim: int = 16
    unroll: int = 5
    unroll_rate: float = 5e-3
    unrolled: Callable[[Params], PyTree] = every_layer
    second_order: bool = False
    optimizer: Callable[..., optax.GradientTransformation] = torch_rmsprop
    generator_rate: float | Schedule = 1e-3
    discriminator_rate: float | Schedule = 1e-3
    ema_decay: float | None = None
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "RelativisticGAN":
        """Fill in the networks where they were left open.

        Raises:
            TypeError: if the data are not one table of floating-point rows.
            ValueError: if a dense network cannot make rows of this shape, the networks do not fit them, or a number is
                out of range.
        """
        check_table(self, row_specs)
        if self.latent_dim < 1 or self.unroll < 0:
            raise ValueError(
                f"latent_dim is {self.latent_dim} and unroll {self.unroll}; make them 1 and 0 at the least."
            )
        shape = row_specs[0].shape
        if len(shape) != 1 and (self.generator is None or self.discriminator is None):
            raise ValueError(f"the default networks are for vectors; rows are {shape}: give both networks.")
        generator = self.generator or MLP((32,) * 5 + shape)
        discriminator = self.discriminator or MLP((32,) * 5 + (1,), last=orthogonal)
        noise = jax.ShapeDtypeStruct((2, self.latent_dim), jnp.float32)
        if (makes := output_shape(generator, noise)) != (2, *shape):
            raise ValueError(
                f"the generator makes rows of shape {makes[1:]} for data of shape {shape}; give it the data's shape."
            )
        pair = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
        check_scalar_output("discriminator", discriminator, pair, gives="score")
        return dataclasses.replace(self, generator=generator, discriminator=discriminator)

    def init(self, key: Key[Array, ""], x: Float[Array, "b ..."]) -> GANState:
        """Return freshly drawn networks."""
        key_generator, key_discriminator = jax.random.split(key)
        generator = self._networks[0].init(key_generator, jnp.zeros((1, self.latent_dim)))
        discriminator = self._networks[1].init(key_discriminator, x[:1])
        return GANState(self._generating.init(generator), self._discriminating.init(discriminator))

    def step(self, key: Key[Array, ""], state: GANState, x: Float[Array, "b ..."]) -> tuple[GANState, Metrics]:
        """Descend once with the discriminator and once with the generator."""
        key_discriminator, key_generator = jax.random.split(key)
        discriminator, seen = self._discriminating.step(
            key_discriminator, state.discriminator, x, state.generator.params
        )
        generator, _ = self._generating.step(key_generator, state.generator, x, discriminator.params)
        return GANState(generator, discriminator), seen

    def discriminator_loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, x: Float[Array, "b ..."], generator: Params
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return how badly the discriminator tells the rows from as many samples.

        Args:
            key: of the noise.
            params: of the discriminator.
            model_state: passed on.
            x: rows `[b, ...]`.
            generator: parameters of the generator.

        Returns:
            The loss; the mean scores `score_data` and `score_samples`; and the variables.
        """
        makes, judges = self._networks
        made = makes.apply(generator, jax.random.normal(key, (x.shape[0], self.latent_dim)))
        real, fake = judges.apply(params, x)[..., 0], judges.apply(params, made)[..., 0]
        seen = {"score_data": jnp.mean(real), "score_samples": jnp.mean(fake)}
        return losses.relativistic_average(real, fake, axis_name=self.axis_name), (seen, model_state)

    def generator_loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, x: Float[Array, "b ..."], discriminator: Params
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return how well the discriminator would tell the rows from samples, some steps from now.

        Args:
            key: of the noise, fresh for every virtual descent.
            params: of the generator.
            model_state: passed on.
            x: rows `[b, ...]`, the same for all virtual descents.
            discriminator: parameters of the discriminator.

        Returns:
            The loss; no metrics; and the variables.
        """
        judged = lambda judge, key: self.discriminator_loss(key, judge, {}, x, params)[0]
        moves = self.unrolled(discriminator)

        def ahead(key: Key[Array, ""], judge: Params) -> tuple[Params, None]:
            # The mean over devices inside and outside, as in Descent: every device leads the same discriminator on.
            gradient = jax.grad(lambda judge: parallel.mean(judged(judge, key), self.axis_name))(judge)
            gradient = parallel.mean(gradient, self.axis_name)
            if not self.second_order:
                gradient = jax.lax.stop_gradient(gradient)
            descend = lambda leaf, slope, moving: leaf - self.unroll_rate * slope if moving else leaf
            return jax.tree.map(descend, judge, gradient, moves), None

        key_ahead, key_loss = jax.random.split(key)
        judge: Any = iterate(ahead, key_ahead, discriminator, length=self.unroll)[0] if self.unroll else discriminator
        return -judged(judge, key_loss), ({}, model_state)

    def sample(self, key: Key[Array, ""], state: GANState, n: int) -> Float[Array, "n ..."]:
        """Draw from the generator.

        Args:
            key: of the noise.
            state: of one seed.
            n: how many.

        Returns:
            Draws `[n, ...]`.
        """
        noise = jax.random.normal(key, (n, self.latent_dim))
        return self._networks[0].apply(self._generating.params(state.generator), noise)

    @property
    def _networks(self) -> tuple[nn.Module, nn.Module]:
        return filled(self, self.generator), filled(self, self.discriminator)

    @property
    def _generating(self) -> GradientStep:
        return GradientStep(self.generator_loss, self.optimizer(self.generator_rate), self.axis_name, self.ema_decay)

    @property
    def _discriminating(self) -> GradientStep:
        return GradientStep(self.discriminator_loss, self.optimizer(self.discriminator_rate), self.axis_name)
