"""Relativistic GANs with an unrolled discriminator: the extreme value paper's baseline."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgen import losses, parallel
from jaxgen.methods._modules import normal, required
from jaxgen.methods._validation import sliced_wasserstein
from jaxgen.nets import MLP, orthogonal, output_shape
from jaxgen.nets.shapes import check_scalar_output
from jaxgen.numerics.threefry import with_unrolled_key
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.optimizers import build_optimizer, torch_rmsprop
from jaxgen.optim.schedules import Schedule
from jaxgen.scan import iterate
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree
from jaxgen.validation import check_table, check_weights, check_whole, rows_remedy

__all__ = ["RelativisticGAN", "all_layers", "last_layer"]


class GANState(NamedTuple):
    """State of both networks."""

    generator: TrainState
    discriminator: TrainState


def all_layers(params: Params) -> PyTree:
    """Unroll the whole discriminator.

    Args:
        params: of the discriminator.

    Returns:
        True for each leaf.
    """
    return jax.tree.map(lambda leaf: True, params)


def last_layer(params: Params) -> PyTree:
    """Unroll only the last layer, as the extreme value paper's code does by a missing argument.

    Args:
        params: of a dense discriminator, with layers `Dense_0` and so on.

    Returns:
        For each leaf, whether it belongs to the last layer.

    Raises:
        ValueError: if there are other layers.
    """
    names = list(params["params"])
    if not all(name.startswith("Dense_") for name in names):
        raise ValueError(
            f"last_layer needs a network of layers Dense_0, Dense_1, ... (got {names}); set `unrolled` to a function "
            "for your layers."
        )
    last = max(names, key=lambda name: int(name.removeprefix("Dense_")))
    mark = lambda value, part: jax.tree.map(lambda leaf: value, part)
    return {"params": {name: mark(name == last, part) for name, part in params["params"].items()}}


@dataclasses.dataclass(frozen=True)
class RelativisticGAN:
    """Relativistic average GAN whose generator is trained against an unrolled discriminator.

    A step takes one gradient step with the discriminator, then one with the generator. The extreme value paper's code
    is `unroll=4, unrolled=last_layer`: the last of its five updates is unused, and five of six layers are left out.

    Columns are used as given. Scale them to a standard deviation near 1 first, for example by
    `sklearn.preprocessing.StandardScaler`.

    Attributes:
        generator: `z [..., k] -> [..., d]`; None is a dense network of five hidden layers of 32.
        discriminator: `x [..., d] -> [..., 1]`; None is a dense network of five hidden layers of 32.
        latent_dim: k, dimensions of the standard normal noise.
        unroll: number of virtual gradient steps of the discriminator before the generator's loss.
        unroll_rate: their learning rate; they are plain gradient descent, with fresh noise in each step.
        unrolled: takes the discriminator's parameters and returns which are unrolled: `all_layers` or `last_layer`.
        second_order: whether the generator's gradient includes the virtual steps.
        optimizer: takes the learning rate.
        generator_rate: a number or a schedule.
        discriminator_rate: a number or a schedule.
        ema_decay: decay of an exponential moving average of the generator's weights, which samples then use; None for
            none.
        axis_name: the axis over devices, set by `train`.

    References:
        Guttenberg, Generating the support with extreme value losses (2019), section V; Metz, Poole, Pfau and
        Sohl-Dickstein, Unrolled generative adversarial networks (2016), section 2.2; Jolicoeur-Martineau, The
        relativistic discriminator (2018).
    """

    uses_columns_as_given: ClassVar[bool] = True  # `train` and `check` say so for columns of very different scale

    generator: nn.Module | None = None
    discriminator: nn.Module | None = None
    latent_dim: int = 16
    unroll: int = 5
    unroll_rate: float = 5e-3
    unrolled: Callable[[Params], PyTree] = all_layers
    second_order: bool = False
    optimizer: Callable[..., optax.GradientTransformation] = torch_rmsprop
    generator_rate: float | Schedule = 1e-3
    discriminator_rate: float | Schedule = 1e-3
    ema_decay: float | None = None
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "RelativisticGAN":
        """Return the method with its networks filled in.

        Raises:
            TypeError: if the data are not one table of floating-point rows.
            ValueError: if there are no default networks for rows of this shape, the networks do not fit them, or a
                number is out of range.
        """
        check_table(self, row_specs)
        check_whole(1, latent_dim=self.latent_dim)
        check_whole(0, unroll=self.unroll)
        check_weights(unroll_rate=self.unroll_rate)
        shape = row_specs[0].shape
        if len(shape) != 1 and (self.generator is None or self.discriminator is None):
            remedy = rows_remedy(shape, "set both networks")
            raise ValueError(f"default networks exist for vectors (got rows of shape {shape}); {remedy}.")
        generator = self.generator or MLP((32,) * 5 + shape)
        discriminator = self.discriminator or MLP((32,) * 5 + (1,), last_kernel_init=orthogonal)
        noise = jax.ShapeDtypeStruct((2, self.latent_dim), jnp.float32)
        if (output := output_shape(generator, noise)) != (2, *shape):
            raise ValueError(
                f"the generator must return rows of the data's shape {shape} (got {output[1:]}); change its last layer."
            )
        pair = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
        check_scalar_output("discriminator", discriminator, pair, output="score")
        return dataclasses.replace(self, generator=generator, discriminator=discriminator)

    def init(self, key: Key[Array, ""], x: Float[Array, "b ..."]) -> GANState:
        """Return networks with fresh parameters."""
        key_generator, key_discriminator = jax.random.split(key)
        generator = self._networks[0].init(key_generator, jnp.zeros((1, self.latent_dim), jnp.float32))
        discriminator = self._networks[1].init(key_discriminator, x[:1])
        return GANState(self._generator_step.init(generator), self._discriminator_step.init(discriminator))

    @with_unrolled_key
    def step(self, key: Key[Array, ""], state: GANState, x: Float[Array, "b ..."]) -> tuple[GANState, Metrics]:
        """Take one gradient step with the discriminator, then one with the generator."""
        key_discriminator, key_generator = jax.random.split(key)
        discriminator, metrics = self._discriminator_step.step(
            key_discriminator, state.discriminator, x, state.generator.params
        )
        generator, _ = self._generator_step.step(key_generator, state.generator, x, discriminator.params)
        return GANState(generator, discriminator), metrics

    def discriminator_loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, x: Float[Array, "b ..."], generator: Params
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the relativistic average loss of the discriminator.

        Args:
            key: of the noise.
            params: of the discriminator.
            model_state: returned unchanged.
            x: rows `[b, ...]`, compared with b samples.
            generator: parameters of the generator.

        Returns:
            The loss; the metrics `score_data` and `score_samples`, the mean scores; and the model state.
        """
        generate, discriminate = (network.apply for network in self._networks)
        samples = generate(generator, normal(key, x.shape[0], self.latent_dim))
        real, fake = discriminate(params, x)[..., 0], discriminate(params, samples)[..., 0]
        metrics = {"score_data": jnp.mean(real), "score_samples": jnp.mean(fake)}
        return losses.relativistic_average(real, fake, axis_name=self.axis_name), (metrics, model_state)

    def generator_loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, x: Float[Array, "b ..."], discriminator: Params
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the negative loss of the discriminator after `unroll` virtual gradient steps.

        Args:
            key: of the noise, fresh for each virtual step.
            params: of the generator.
            model_state: returned unchanged.
            x: rows `[b, ...]`, the same for all virtual steps.
            discriminator: parameters of the discriminator.

        Returns:
            The loss; no metrics; and the model state.
        """
        loss = lambda discriminator, key: self.discriminator_loss(key, discriminator, {}, x, params)[0]
        unrolled = self.unrolled(discriminator)

        def virtual_step(key: Key[Array, ""], discriminator: Params) -> tuple[Params, None]:
            # As in GradientStep, the mean over devices is inside and outside: all unroll the same discriminator.
            gradient = jax.grad(lambda weights: parallel.mean(loss(weights, key), self.axis_name))(discriminator)
            gradient = parallel.mean(gradient, self.axis_name)
            if not self.second_order:
                gradient = jax.lax.stop_gradient(gradient)
            descend = lambda leaf, slope, moves: leaf - self.unroll_rate * slope if moves else leaf
            return jax.tree.map(descend, discriminator, gradient, unrolled), None

        key_unroll, key_loss = jax.random.split(key)
        if self.unroll:
            discriminator, _ = iterate(virtual_step, key_unroll, discriminator, length=self.unroll)
        return -loss(discriminator, key_loss), ({}, model_state)

    def validation_loss(self, key: Key[Array, ""], state: GANState, x: Float[Array, "n ..."]) -> Float[Array, ""]:
        """Return the sliced Wasserstein distance between n samples and validation rows `[n, ...]`.

        The losses of the two networks do not fall with the quality of samples.
        """
        return sliced_wasserstein(key, lambda key, n: self.sample(key, state, n), x)

    def sample(self, key: Key[Array, ""], state: GANState, n: int) -> Float[Array, "n ..."]:
        """Draw samples from the generator.

        Args:
            key: of the noise.
            state: of one seed.
            n: number of samples.

        Returns:
            Samples `[n, ...]`.
        """
        noise = normal(key, n, self.latent_dim)
        return self._networks[0].apply(self._generator_step.params(state.generator), noise)

    @property
    def _networks(self) -> tuple[nn.Module, nn.Module]:
        return required(self, self.generator), required(self, self.discriminator)

    @property
    def _generator_step(self) -> GradientStep:
        return GradientStep(
            self.generator_loss, build_optimizer(self.optimizer, self.generator_rate), self.axis_name, self.ema_decay
        )

    @property
    def _discriminator_step(self) -> GradientStep:
        return GradientStep(
            self.discriminator_loss, build_optimizer(self.optimizer, self.discriminator_rate), self.axis_name
        )
