"""Variational autoencoders that give negative samples a prior of their own."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen import losses, nets
from jaxgen.methods._checks import check_range, check_weights, is_floating
from jaxgen.methods._modules import applied, filled
from jaxgen.methods.negative_samples import Negatives
from jaxgen.methods.observation_models import Bernoulli, ObservationModel
from jaxgen.methods.posterior import Posterior, bounded, regret, weighed
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.schedules import Schedule
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree

__all__ = ["VAEState", "NegativeSamplingVAE"]

Loss = tuple[Array, tuple[Metrics, PyTree]]


class VAEState(NamedTuple):
    """What is trained, in turns, each with an optimiser of its own."""

    encoder: TrainState
    decoder: TrainState  # `params` are the decoder's and the noise model's


class Drawn(NamedTuple):
    """What both halves of a step meet."""

    rows: Float[Array, "b ..."]
    noise: Float[Array, "b k"]  # of their latent vectors
    prior: Float[Array, "b k"]  # latent vectors of samples
    negatives: Array | None  # as many rows
    other: Float[Array, "b k"]  # noise of their latent vectors


@dataclasses.dataclass(frozen=True)
class NegativeSamplingVAE:
    """A variational autoencoder whose encoder sends negative samples to a second, shifted prior.

    Each step the encoder descends on the data's divergence from the prior and their reconstruction, and on the
    negatives' divergence from the second prior; then the decoder descends on the reconstruction of the same rows from
    the same latent vectors. Without negatives it is a plain variational autoencoder, so trained.

    Log-variances are kept between -10 and 10: beyond, the exponential of some overflows far from the data, where a
    likelihood is asked for most. A gradient that would lead one back is kept.

    Batch normalisation sees the data and the negatives apart in training, each by their own statistics in every pass of
    both networks, and in scores both by the running ones, so that what told them apart may be lost.

    Attributes:
        encoder: `x [..., *row] -> [..., 2 k]`, means and log-variances; None is the paper's for 28 x 28 and 32 x 32,
            there with a spectral norm where negatives are adversarial and an affine map for each feature where not.
        decoder: `z [..., k] -> [..., *row]`, of which the noise model makes a law; None likewise.
        latent_dim: k; None is 10 for images of 28 x 28 and 100 otherwise, as in the paper.
        observation_model: the law of a row given a latent vector.
        negatives: where negative samples come from; None is nowhere.
        shift: of the second prior, N((shift, ..., shift), 1); None is the paper's, 25 for 32 x 32 and 8 otherwise.
        negative_weight: of the negatives' divergence.
        negative_reconstruction_weight: weight of the reconstruction of negatives, for encoder and decoder; the
            paper's alpha.
        num_importance_samples: latent vectors in the importance weighted bound.
        optimizer: takes the learning rate; each network has its own.
        learning_rate: a number, or a schedule such as `descent.Cosine`.
        axis_name: the axis over devices, set by `train`.

    References:
        Csiszarik, Benko and Varga, Negative sampling in variational autoencoders (2019), section 3.
    """

    encoder: nn.Module | None = None
    decoder: nn.Module | None = None
    latent_dim: int | None = None
    observation_model: ObservationModel = dataclasses.field(default_factory=Bernoulli)
    negatives: Negatives | None = None
    shift: float | None = None
    negative_weight: float = 1.0
    negative_reconstruction_weight: float = 0.0
    num_importance_samples: int = 16
    optimizer: Callable[..., optax.GradientTransformation] = optax.adam
    learning_rate: float | Schedule = 1e-4
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "NegativeSamplingVAE":
        """Fill in the networks where they were left open.

        Raises:
            TypeError: if the data are not tables of floating-point rows, as many as the negatives need.
            ValueError: if there are no default networks for such rows, the networks do not fit them, or a number is out
                of range.
        """
        wanted = 1 + (self.negatives.tables if self.negatives else 0)
        if len(row_specs) != wanted or not is_floating(*row_specs) or len({row.shape for row in row_specs}) != 1:
            raise TypeError(
                f"with negatives {self.negatives} it learns {wanted} tables of floating-point rows of one shape, and "
                f"got {row_specs}; give data.Arrays(x) or data.Together((images, others)), for example."
            )
        shape = row_specs[0].shape
        if self.num_importance_samples < 1 or (self.latent_dim is not None and self.latent_dim < 1):
            raise ValueError(
                f"importance is {self.num_importance_samples} and latent_dim {self.latent_dim}; make both 1 at least."
            )
        adversarial = self.negatives.adversarial if self.negatives else 0.0
        check_weights(
            negative_weight=self.negative_weight,
            negative_reconstruction_weight=self.negative_reconstruction_weight,
            adversarial=adversarial,
        )
        if not np.isfinite(self.shift or 0.0):
            raise ValueError(f"shift is {self.shift}; make it a finite number, or None for the paper's.")
        latent_dim = self.latent_dim or (10 if shape[:2] == (28, 28) else 100)
        encoder, decoder, uncolored = self.encoder, self.decoder, shape[:2] == (32, 32)
        if encoder is None or decoder is None:
            spectral = uncolored and self.negatives is not None and self.negatives.adversarial > 0
            norm = nets.Affine if uncolored and not spectral else None
            drawn = nets.autoencoder(shape, latent_dim=latent_dim, norm=norm, spectral=spectral)
            encoder, decoder = encoder or drawn.encoder, decoder or drawn.decoder
        given = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
        found = nets.output_shape(encoder, given, collections=("params", "batch_stats"))
        if found != (2, 2 * latent_dim):
            raise ValueError(
                f"the encoder gives {found[1:]} numbers for a row; it must give {2 * latent_dim}, a mean and a "
                f"log-variance for each of {latent_dim} latent dimensions."
            )
        latent = jax.ShapeDtypeStruct((2, latent_dim), jnp.float32)
        made = nets.output_shape(decoder, latent, collections=("params", "batch_stats"))
        if made != (2, *shape):
            raise ValueError(f"the decoder makes rows of shape {made[1:]} for data of shape {shape}; give it theirs.")
        shift = self.shift if self.shift is not None else 25.0 if uncolored else 8.0
        return dataclasses.replace(self, encoder=encoder, decoder=decoder, latent_dim=latent_dim, shift=shift)

    def check(self, *tables: np.ndarray) -> None:
        """Check that the rows of all tables lie within 0 and 1 where the noise model or the negatives need it.

        Args:
            *tables: whole tables, `[n, ...]`.

        Raises:
            ValueError: if they do not.
        """
        asking = [f"{type(self.observation_model).__name__} noise"] if self.observation_model.within else []
        if self.negatives is not None and self.negatives.within:
            asking.append(type(self.negatives).__name__)
        for table in tables if asking else ():
            check_range(np.asarray(table), asking[0])

    def init(self, key: Key[Array, ""], x: Float[Array, "b ..."], *others: Array) -> VAEState:
        """Return freshly drawn networks."""
        key_encoder, key_decoder = jax.random.split(key)
        encoder = dict(filled(self, self.encoder).init(key_encoder, x[:1]))
        decoder = dict(filled(self, self.decoder).init(key_decoder, jnp.zeros((1, filled(self, self.latent_dim)))))
        learned = {"decoder": decoder.pop("params"), "noise": self.observation_model.init()}
        return VAEState(self._encoding.init(encoder.pop("params"), encoder), self._decoding.init(learned, decoder))

    def step(
        self, key: Key[Array, ""], state: VAEState, x: Float[Array, "b ..."], *others: Array
    ) -> tuple[VAEState, Metrics]:
        """Descend once with the encoder, then once with the decoder, on the same rows and latent vectors."""
        key_rows, key_latent, key_prior, key_negatives, key_others, key_step = jax.random.split(key, 6)
        x, *observed = (
            self.observation_model.observed(jax.random.fold_in(key_rows, place), rows)
            for place, rows in enumerate((x, *others))
        )
        size = (x.shape[0], filled(self, self.latent_dim))
        noise, other, prior = (jax.random.normal(key, size) for key in (key_latent, key_others, key_prior))
        negatives = None
        if self.negatives is not None:
            made = (state.decoder.params, state.decoder.model_state)
            generate = lambda: self.observation_model.mean(self._made(*made, prior)[0])
            negatives = jax.lax.stop_gradient(self.negatives.draw(key_negatives, x, generate, *observed))
        drawn = Drawn(x, noise, prior, negatives, other)
        fixed = (state.decoder.params, state.decoder.model_state)
        encoder, found = self._encoding.step(key_step, state.encoder, drawn, fixed)
        # Latent vectors are what the encoder made of the rows before its update; samples are judged by it as it is now.
        before, after = ((of.params, of.model_state) for of in (state.encoder, encoder))
        decoder, seen = self._decoding.step(key_step, state.decoder, drawn, before, after)
        return VAEState(encoder, decoder), {**seen, "decoder_loss": seen["loss"], **found}

    def encoder_loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, drawn: Drawn, decoder: tuple[Params, PyTree]
    ) -> Loss:
        """Return what the encoder descends on.

        Args:
            key: not used; all that is random is in `drawn`.
            params: of the encoder.
            model_state: of the encoder.
            drawn: rows, negatives, and noise.
            decoder: its parameters and variables.

        Returns:
            The loss; in nats, `kl` and `reconstruction`, whose sum is the negative ELBO, `bpd`, the same in bits for
            each dimension, `negative_kl`, from the negatives' prior; and the variables.
        """
        posterior, model_state = self._posterior(params, model_state, drawn.rows)
        kl = jnp.mean(losses.gaussian_kl(*posterior))
        reconstruction, _ = self._reconstruction(decoder, drawn.rows, posterior.at(drawn.noise))
        bound = kl + reconstruction
        bits = losses.bits_per_dimension(bound, drawn.rows[0].size)
        found = {"kl": kl, "reconstruction": reconstruction, "bpd": bits}
        if drawn.negatives is None:
            return bound, (found, model_state)
        posterior, model_state = self._posterior(params, model_state, drawn.negatives)
        away = jnp.mean(losses.negative_prior_kl(*posterior, shift=filled(self, self.shift)))
        value = bound + self.negative_weight * away
        if self.negative_reconstruction_weight:
            value += (
                self.negative_reconstruction_weight
                * self._reconstruction(decoder, drawn.negatives, posterior.at(drawn.other))[0]
            )
        return value, ({**found, "negative_kl": away}, model_state)

    def decoder_loss(
        self,
        key: Key[Array, ""],
        params: Params,
        model_state: PyTree,
        drawn: Drawn,
        before: tuple[Params, PyTree],
        after: tuple[Params, PyTree],
    ) -> Loss:
        """Return what the decoder descends on.

        Args:
            key: not used; all that is random is in `drawn`.
            params: of decoder and noise model.
            model_state: of the decoder.
            drawn: rows, negatives, and noise.
            before: parameters and variables of the encoder that gives latent vectors, as before its update.
            after: those of the encoder that judges samples, as after it.

        Returns:
            The loss; `generated_kl`, the divergence of samples' latent laws from the prior in nats, where the decoder
            pays for it; and the variables.
        """
        encoded = lambda rows, noise: self._posterior(*before, rows)[0].at(noise)
        given = (params, model_state)
        value, model_state = self._reconstruction(given, drawn.rows, encoded(drawn.rows, drawn.noise))
        if drawn.negatives is not None and self.negative_reconstruction_weight:
            z = encoded(drawn.negatives, drawn.other)
            value += self.negative_reconstruction_weight * self._reconstruction(given, drawn.negatives, z)[0]
        if self.negatives is None or not self.negatives.adversarial:
            return value, ({}, model_state)
        samples = self.observation_model.mean(self._made(*given, drawn.prior)[0])
        kl = jnp.mean(losses.gaussian_kl(*self._posterior(*after, samples)[0]))
        return value + self.negatives.adversarial * kl, ({"generated_kl": kl}, model_state)

    def sample(self, key: Key[Array, ""], state: VAEState, n: int) -> Float[Array, "n ..."]:
        """Draw latent vectors from the prior and return the means of their laws.

        Args:
            key: of the draws.
            state: of one seed.
            n: how many.

        Returns:
            Rows `[n, ...]` between 0 and 1.
        """
        return self.decode(state, jax.random.normal(key, (n, filled(self, self.latent_dim))))

    def decode(self, state: VAEState, z: Float[Array, "n k"]) -> Float[Array, "n ..."]:
        """Return the means `[n, ...]` of the laws that latent vectors `[n, k]` make."""
        return self.observation_model.mean(
            self._made(state.decoder.params, state.decoder.model_state, z, train=False)[0]
        )

    def encode(self, state: VAEState, x: Float[Array, "n ..."]) -> Posterior:
        """Return the laws of rows' latent vectors."""
        return self._posterior(state.encoder.params, state.encoder.model_state, x, train=False)[0]

    def scores(self, state: VAEState, x: Float[Array, "n ..."]) -> dict[str, Array]:
        """Score rows; higher is more out of distribution.

        All rows meet the same draws, so that a row's scores do not depend on the others, nor on when it is asked: a
        large set may be scored some rows at a time.

        Args:
            state: of one seed.
            x: rows `[n, ...]` between 0 and 1.

        Returns:
            `kl`, the divergence of the latent law from the prior in nats; `reconstruction`, the negative log-likelihood
            from one latent vector, `bpd`, the negative ELBO with it, and `bound`, the importance weighted bound with
            `num_importance_samples` of them, in bits for each dimension; `[n]` each.

        References:
            Csiszarik, Benko and Varga (2019), section 4; Burda, Grosse and Salakhutdinov, Importance weighted
            autoencoders (2015), equation 8.
        """
        x, likelihood, posterior, noise = self._looked(state, x)
        found = weighed(likelihood, posterior, noise)
        kl, likely = losses.gaussian_kl(*posterior), found.likelihood[0]
        bound = jax.nn.logsumexp(found.weight, 0) - jnp.log(self.num_importance_samples)
        bits = lambda nats: losses.bits_per_dimension(nats, x[0].size)
        return {"kl": kl, "reconstruction": bits(-likely), "bpd": bits(kl - likely), "bound": bits(-bound)}

    def regret(
        self,
        key: Key[Array, ""],
        state: VAEState,
        x: Float[Array, "n ..."],
        *,
        steps: int = 100,
        learning_rate: float = 0.05,
    ) -> Float[Array, " n"]:
        """Score rows by how much more likely each becomes when its latent law is fitted to it alone.

        Args:
            key: of the fit's draws.
            state: of one seed.
            x: rows `[n, ...]` between 0 and 1.
            steps: of the fit, each of one latent vector for each row.
            learning_rate: of the fit.

        Returns:
            In nats, `[n]`; higher is more out of distribution.

        References:
            Xiao, Yan and Amit, Likelihood regret (2020), section 4.
        """
        _, likelihood, posterior, noise = self._looked(state, x)
        key = jax.random.fold_in(key, 2)  # `_looked` has the first two of a key that may be the caller's
        return regret(key, likelihood, posterior, noise, steps=steps, learning_rate=learning_rate)

    def _looked(
        self, state: VAEState, x: Array
    ) -> tuple[Array, Callable[[Array], Array], Posterior, Float[Array, "draws k"]]:
        """Return rows as they are modelled, their likelihood given latent vectors, its laws, and draws for all rows."""
        key_rows, key_latent = jax.random.split(jax.random.key(0))
        x = jax.vmap(lambda row: self.observation_model.observed(key_rows, row[None])[0])(x)  # all with the same noise

        def likelihood(z: Array) -> Array:
            made, _ = self._made(state.decoder.params, state.decoder.model_state, z, train=False)
            return self.observation_model.log_likelihood(state.decoder.params["noise"], x, made)

        draws = jax.random.normal(key_latent, (self.num_importance_samples, filled(self, self.latent_dim)))
        return x, likelihood, self.encode(state, x), draws

    def _reconstruction(self, decoder: tuple[Params, PyTree], x: Array, z: Array) -> tuple[Array, PyTree]:
        made, model_state = self._made(*decoder, z)
        return -jnp.mean(self.observation_model.log_likelihood(decoder[0]["noise"], x, made)), model_state

    def _posterior(
        self, params: Params, model_state: PyTree, x: Array, *, train: bool = True
    ) -> tuple[Posterior, PyTree]:
        made, model_state = applied(filled(self, self.encoder), params, model_state, x, train=train)
        mean, log_variance = jnp.split(made, 2, -1)
        return Posterior(mean, bounded(log_variance)), model_state

    def _made(self, params: Params, model_state: PyTree, z: Array, *, train: bool = True) -> tuple[Array, PyTree]:
        return applied(filled(self, self.decoder), params["decoder"], model_state, z, train=train)

    @property
    def _encoding(self) -> GradientStep:
        return GradientStep(self.encoder_loss, self.optimizer(self.learning_rate), self.axis_name)

    @property
    def _decoding(self) -> GradientStep:
        return GradientStep(self.decoder_loss, self.optimizer(self.learning_rate), self.axis_name)
