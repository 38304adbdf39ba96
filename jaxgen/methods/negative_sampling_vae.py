"""Variational autoencoders with a separate prior for negative samples."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen import losses, nets
from jaxgen.data.batches import value_range
from jaxgen.methods._modules import apply_network, at_least_single, normal, required
from jaxgen.methods._validation import mean_over_rows
from jaxgen.methods.negative_samples import NegativeSource
from jaxgen.methods.observation_models import Bernoulli, ObservationModel, UnboundedGaussian
from jaxgen.methods.posterior import Posterior, bounded, importance_weights, regret
from jaxgen.nets.image_sides import check_image_shape
from jaxgen.numerics.threefry import with_unrolled_key
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.optimizers import build_optimizer
from jaxgen.optim.schedules import Schedule
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree
from jaxgen.validation import check_range, check_weights, check_whole, is_floating

__all__ = ["VAEState", "NegativeSamplingVAE"]

Loss = tuple[Array, tuple[Metrics, PyTree]]


class VAEState(NamedTuple):
    """State of both networks, each with its own optimizer."""

    encoder: TrainState
    decoder: TrainState  # `params` are the decoder's and the observation model's


class StepSamples(NamedTuple):
    """Samples of one step, the same for encoder and decoder."""

    rows: Float[Array, "b ..."]
    noise: Float[Array, "b k"]  # of the latent vectors of `rows`
    prior: Float[Array, "b k"]  # latent vectors of generated samples
    negatives: Array | None  # [b, ...]
    other: Float[Array, "b k"]  # noise of the latent vectors of `negatives`


@dataclasses.dataclass(frozen=True)
class NegativeSamplingVAE:
    """Variational autoencoder whose encoder maps negative samples to a second, shifted prior.

    In each step, the encoder descends on the negative evidence lower bound of the data plus the KL divergence of
    negatives from the second prior. Then the decoder descends on the reconstruction loss of the same rows from the same
    latent vectors. Without negatives it is a plain variational autoencoder with alternating updates.

    Log-variances are clipped to [-10, 10], as their exponential could overflow far from the data, where likelihoods
    matter most. Gradients that lead back inside are kept.

    In training, batch normalization uses the statistics of data and negatives separately, in every pass of both
    networks. Scores use the running statistics for both, so a difference that lies in batch statistics alone may be
    lost.

    Rows are used as given. Images must be in [0, 1], as the means of most observation models are. Scale the columns of
    a table to a standard deviation near 1 first, for example by `sklearn.preprocessing.StandardScaler`.

    The default networks of vectors are those of `nets.dense_autoencoder`, with two hidden layers of width 128. Those of
    images with sides of 8 to 64 pixels are those of `nets.autoencoder`: the paper's for 28 x 28 and 32 x 32, and their
    form for other sizes. Convolutions of stride 2 halve the larger side until it is at most 4 pixels. Images with a
    side of at least 32 have the form for 32 x 32, with spectral normalization if negatives are adversarial, and else
    an affine map of each feature; smaller images have the form for 28 x 28.

    Attributes:
        encoder: `x [..., *row] -> [..., 2 k]`, means and log-variances; None is the default.
        decoder: `z [..., k] -> [..., *row]`, the input of the observation model; None is the default.
        latent_dim: k. None is the paper's for images, 100 if a side is at least 32 and else 10; for vectors it is half
            their dimension, at least 1 and at most 10.
        observation_model: the distribution of a row given the decoder's output. None is `Bernoulli` for images, and
            `UnboundedGaussian` for vectors.
        negatives: source of negative samples; None uses none.
        shift: of the second prior, N((shift, ..., shift), 1). None is the paper's, 25 for images with a side of at
            least 32 and 8 otherwise.
        negative_weight: weight of the negatives' KL divergence.
        negative_reconstruction_weight: weight of the negatives' reconstruction, for encoder and decoder; the paper's
            alpha.
        num_importance_samples: number of latent vectors in the importance weighted bound.
        optimizer: takes the learning rate; each network has its own.
        learning_rate: a number, or a schedule such as `optim.Cosine`.
        axis_name: the axis over devices, set by `train`.

    References:
        Csiszarik, Benko and Varga, Negative sampling in variational autoencoders (2019), section 3.
    """

    encoder: nn.Module | None = None
    decoder: nn.Module | None = None
    latent_dim: int | None = None
    observation_model: ObservationModel | None = None
    negatives: NegativeSource | None = None
    shift: float | None = None
    negative_weight: float = 1.0
    negative_reconstruction_weight: float = 0.0
    num_importance_samples: int = 16
    optimizer: Callable[..., optax.GradientTransformation] = optax.adam
    learning_rate: float | Schedule = 1e-4
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "NegativeSamplingVAE":
        """Return the method with its networks filled in.

        Raises:
            TypeError: if the data are not the number of tables that the negatives need, of floating-point rows of one
                shape.
            ValueError: if there are no default networks for such rows, the networks do not fit them, or a number is out
                of range.
        """
        num_tables = 1 + (self.negatives.num_tables if self.negatives else 0)
        if len(row_specs) != num_tables or not is_floating(*row_specs) or len({row.shape for row in row_specs}) != 1:
            raise TypeError(
                f"NegativeSamplingVAE with negatives={self.negatives} learns {num_tables} table(s) of floating-point "
                f"rows of one shape (got {row_specs}); use data.Arrays(x), or data.Zip((images, others)) for two, "
                "and convert integers with x.astype('float32')."
            )
        shape = row_specs[0].shape
        check_whole(1, num_importance_samples=self.num_importance_samples)
        if self.latent_dim is not None and self.latent_dim < 1:
            raise ValueError(
                f"`latent_dim` must be at least 1 (got {self.latent_dim}); latent_dim=None is the paper's."
            )
        adversarial = self.negatives.adversarial if self.negatives else 0.0
        check_weights(
            negative_weight=self.negative_weight,
            negative_reconstruction_weight=self.negative_reconstruction_weight,
            adversarial=adversarial,
        )
        if not np.isfinite(self.shift or 0.0):
            raise ValueError(f"`shift` must be finite (got {self.shift}); None is the paper's.")
        vector, large = len(shape) == 1, len(shape) == 3 and max(shape[:2]) >= 32
        latent_dim = self.latent_dim or (min(max(shape[0] // 2, 1), 10) if vector else 100 if large else 10)
        encoder, decoder = self.encoder, self.decoder
        if encoder is None or decoder is None:
            default = self._default_networks(shape, latent_dim, large)
            encoder, decoder = encoder or default.encoder, decoder or default.decoder
        row = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
        output = nets.output_shape(encoder, row, collections=("params", "batch_stats"))
        if output != (2, 2 * latent_dim):
            raise ValueError(
                f"the encoder must return {2 * latent_dim} numbers per row, a mean and a log-variance for each of "
                f"{latent_dim} latent dimensions (got shape {output[1:]}); change its last layer or `latent_dim`."
            )
        latent = jax.ShapeDtypeStruct((2, latent_dim), jnp.float32)
        output = nets.output_shape(decoder, latent, collections=("params", "batch_stats"))
        if output != (2, *shape):
            raise ValueError(
                f"the decoder must return rows of the data's shape {shape} (got {output[1:]}); change its last layer."
            )
        shift = self.shift if self.shift is not None else 25.0 if large else 8.0
        model = self.observation_model or (UnboundedGaussian() if vector else Bernoulli())
        return dataclasses.replace(
            self, encoder=encoder, decoder=decoder, latent_dim=latent_dim, observation_model=model, shift=shift
        )

    def check(self, *tables: np.ndarray) -> None:
        """Check that all rows are in [0, 1] if the observation model or the negatives need it.

        Args:
            *tables: whole tables, `[n, ...]`.

        Raises:
            ValueError: if they are not.
        """
        names = [type(self._model).__name__] if self._model.unit_interval else []
        if self.negatives is not None and self.negatives.unit_interval:
            names.append(type(self.negatives).__name__)
        for table in tables if names else ():
            check_range(names[0], *value_range(np.asarray(table)))

    def init(self, key: Key[Array, ""], x: Float[Array, "b ..."], *others: Array) -> VAEState:
        """Return networks with fresh parameters."""
        key_encoder, key_decoder = jax.random.split(key)
        encoder = dict(required(self, self.encoder).init(key_encoder, x[:1]))
        decoder = dict(
            required(self, self.decoder).init(key_decoder, jnp.zeros((1, required(self, self.latent_dim)), jnp.float32))
        )
        params = {"decoder": decoder.pop("params"), "noise": self._model.init()}
        encoder_state = self._encoder_step.init(encoder.pop("params"), encoder)
        return VAEState(encoder_state, self._decoder_step.init(params, decoder))

    @with_unrolled_key
    def step(
        self, key: Key[Array, ""], state: VAEState, x: Float[Array, "b ..."], *others: Array
    ) -> tuple[VAEState, Metrics]:
        """Take one gradient step with the encoder, then one with the decoder, on the same rows and latents."""
        key_rows, key_latent, key_prior, key_negatives, key_others, key_step = jax.random.split(key, 6)
        x, *observed = (
            self._model.preprocess(jax.random.fold_in(key_rows, place), rows)
            for place, rows in enumerate(at_least_single((x, *others)))
        )
        size = (x.shape[0], required(self, self.latent_dim))
        noise, other, prior = (normal(key, *size) for key in (key_latent, key_others, key_prior))
        fixed = (state.decoder.params, state.decoder.model_state)
        negatives = None
        if self.negatives is not None:
            generate = lambda: self._model.mean(self._decode(*fixed, prior)[0])
            negatives = jax.lax.stop_gradient(self.negatives.draw(key_negatives, x, generate, *observed))
        draws = StepSamples(x, noise, prior, negatives, other)
        encoder, encoder_metrics = self._encoder_step.step(key_step, state.encoder, draws, fixed)
        # Latent vectors come from the encoder before its update, as in its own loss; generated samples are evaluated
        # by the encoder after it.
        before, after = ((of.params, of.model_state) for of in (state.encoder, encoder))
        decoder, metrics = self._decoder_step.step(key_step, state.decoder, draws, before, after)
        return VAEState(encoder, decoder), {**metrics, "decoder_loss": metrics["loss"], **encoder_metrics}

    def encoder_loss(
        self,
        key: Key[Array, ""],
        params: Params,
        model_state: PyTree,
        draws: StepSamples,
        decoder: tuple[Params, PyTree],
    ) -> Loss:
        """Return the loss of the encoder.

        Args:
            key: unused; all random numbers are in `draws`.
            params: of the encoder.
            model_state: of the encoder.
            draws: rows, negatives, and noise.
            decoder: the decoder's parameters and model state.

        Returns:
            The loss, metrics, and the model state. In nats, `kl` and `reconstruction` add up to the negative evidence
            lower bound, and `negative_kl` is the negatives' divergence from their prior. `bpd` is the bound in bits per
            dimension.
        """
        posterior, model_state = self._posterior(params, model_state, draws.rows)
        kl = jnp.mean(losses.gaussian_kl(*posterior))
        reconstruction, _ = self._reconstruction(decoder, draws.rows, posterior.sample(draws.noise))
        bound = kl + reconstruction
        bits = losses.bits_per_dimension(bound, draws.rows[0].size)
        metrics = {"kl": kl, "reconstruction": reconstruction, "bpd": bits}
        if draws.negatives is None:
            return bound, (metrics, model_state)
        posterior, model_state = self._posterior(params, model_state, draws.negatives)
        negative_kl = jnp.mean(losses.negative_prior_kl(*posterior, shift=required(self, self.shift)))
        value = bound + self.negative_weight * negative_kl
        if self.negative_reconstruction_weight:
            loss, _ = self._reconstruction(decoder, draws.negatives, posterior.sample(draws.other))
            value += self.negative_reconstruction_weight * loss
        return value, ({**metrics, "negative_kl": negative_kl}, model_state)

    def decoder_loss(
        self,
        key: Key[Array, ""],
        params: Params,
        model_state: PyTree,
        draws: StepSamples,
        before: tuple[Params, PyTree],
        after: tuple[Params, PyTree],
    ) -> Loss:
        """Return the loss of the decoder.

        Args:
            key: unused; all random numbers are in `draws`.
            params: of the decoder and the observation model.
            model_state: of the decoder.
            draws: rows, negatives, and noise.
            before: parameters and model state of the encoder before its update, which gives the latent vectors.
            after: those of the encoder after its update, which evaluates generated samples.

        Returns:
            The loss; with adversarial negatives the metric `generated_kl`, the divergence of generated samples'
            posteriors from the prior in nats; and the model state.
        """
        encoded = lambda rows, noise: self._posterior(*before, rows)[0].sample(noise)
        decoder = (params, model_state)
        value, model_state = self._reconstruction(decoder, draws.rows, encoded(draws.rows, draws.noise))
        if draws.negatives is not None and self.negative_reconstruction_weight:
            z = encoded(draws.negatives, draws.other)
            value += self.negative_reconstruction_weight * self._reconstruction(decoder, draws.negatives, z)[0]
        if self.negatives is None or not self.negatives.adversarial:
            return value, ({}, model_state)
        samples = self._model.mean(self._decode(*decoder, draws.prior)[0])
        kl = jnp.mean(losses.gaussian_kl(*self._posterior(*after, samples)[0]))
        return value + self.negatives.adversarial * kl, ({"generated_kl": kl}, model_state)

    def validation_loss(
        self, key: Key[Array, ""], state: VAEState, x: Float[Array, "n ..."], *others: Array
    ) -> Float[Array, ""]:
        """Return the mean negative evidence lower bound of validation rows, in nats per row.

        Batch normalization uses the running statistics. Negatives do not enter.

        Args:
            key: of the observation model's noise, and of one latent vector per row.
            state: of one seed.
            x: rows `[n, ...]`.
            *others: unused.
        """
        params = self._decoder_step.params(state.decoder)

        def negative_bound(key: Key[Array, ""], x: Array) -> Array:
            key_rows, key_latent = jax.random.split(key)
            x = self._model.preprocess(key_rows, x)
            posterior = self.encode(state, x)
            z = posterior.sample(jax.random.normal(key_latent, posterior.mean.shape, posterior.mean.dtype))
            output, _ = self._decode(params, state.decoder.model_state, z, train=False)
            likelihood = self._model.log_likelihood(params["noise"], x, output)
            return losses.gaussian_kl(*posterior) - likelihood

        return mean_over_rows(negative_bound, key, x)

    def sample(self, key: Key[Array, ""], state: VAEState, n: int) -> Float[Array, "n ..."]:
        """Draw latent vectors from the prior and return the mean rows or images.

        Args:
            key: of the draws.
            state: of one seed.
            n: number of samples.

        Returns:
            Samples `[n, ...]`, in [0, 1] for images.
        """
        return self.decode(state, normal(key, n, required(self, self.latent_dim)))

    def decode(self, state: VAEState, z: Float[Array, "n k"]) -> Float[Array, "n ..."]:
        """Return the mean rows or images `[n, ...]` of latent vectors `[n, k]`."""
        params = self._decoder_step.params(state.decoder)
        return self._model.mean(self._decode(params, state.decoder.model_state, z, train=False)[0])

    def encode(self, state: VAEState, x: Float[Array, "n ..."]) -> Posterior:
        """Return the posteriors of latent vectors given rows `[n, ...]`."""
        return self._posterior(self._encoder_step.params(state.encoder), state.encoder.model_state, x, train=False)[0]

    def scores(self, state: VAEState, x: Float[Array, "n ..."]) -> dict[str, Array]:
        """Return out-of-distribution scores of rows; higher is more out of distribution.

        All rows and calls use the same noise. The scores of a row therefore do not depend on other rows, and a large
        set can be scored in parts.

        Args:
            state: of one seed.
            x: rows `[n, ...]`, in the range of the training rows.

        Returns:
            Scores `[n]` each. The first is the one that `Detector` uses by default: `kl` with negatives, else `bound`,
            since `kl` is often lower for outliers then. `kl` is the divergence of the posterior from the prior in nats;
            the others are in bits per dimension. `reconstruction` is the negative log-likelihood from one latent
            vector, `bpd` the negative evidence lower bound with it, and `bound` the negative importance weighted bound
            with `num_importance_samples`.

        References:
            Csiszarik, Benko and Varga (2019), section 4; Burda, Grosse and Salakhutdinov, Importance weighted
            autoencoders (2015), equation 8.
        """
        x, likelihood, posterior, noise = self._score_inputs(state, x)
        estimates = importance_weights(likelihood, posterior, noise)
        kl, log_likelihood = losses.gaussian_kl(*posterior), estimates.likelihood[0]
        bound = jax.nn.logsumexp(estimates.weight, 0) - jnp.log(self.num_importance_samples)
        bits = lambda nats: losses.bits_per_dimension(nats, x[0].size)
        reconstruction, bpd = bits(-log_likelihood), bits(kl - log_likelihood)
        bounds = {"bound": bits(-bound), "bpd": bpd, "reconstruction": reconstruction}
        return bounds | {"kl": kl} if self.negatives is None else {"kl": kl} | bounds

    def regret(
        self,
        key: Key[Array, ""],
        state: VAEState,
        x: Float[Array, "n ..."],
        *,
        steps: int = 100,
        learning_rate: float = 0.05,
    ) -> Float[Array, " n"]:
        """Return the likelihood regret: the gain in evidence lower bound by fitting each row's own posterior.

        Args:
            key: of the draws during the fit.
            state: of one seed.
            x: rows `[n, ...]`, in the range of the training rows.
            steps: of the fit, each with one latent vector per row.
            learning_rate: of the fit.

        Returns:
            Regret in nats, `[n]`; higher is more out of distribution.

        References:
            Xiao, Yan and Amit, Likelihood regret (2020), section 4.
        """
        _, likelihood, posterior, noise = self._score_inputs(state, x)
        key = jax.random.fold_in(key, 2)  # `_score_inputs` splits key 0, which may be the caller's
        return regret(key, likelihood, posterior, noise, steps=steps, learning_rate=learning_rate)

    def _score_inputs(
        self, state: VAEState, x: Array
    ) -> tuple[Array, Callable[[Array], Array], Posterior, Float[Array, "draws k"]]:
        """Return observed rows, their likelihood as a function of latents, posteriors, and noise for all rows."""
        key_rows, key_latent = jax.random.split(jax.random.key(0))
        observed = lambda row: self._model.preprocess(key_rows, row[None])[0]
        x = jax.vmap(observed)(at_least_single(x))  # the same noise for all
        params = self._decoder_step.params(state.decoder)

        def likelihood(z: Array) -> Array:
            output, _ = self._decode(params, state.decoder.model_state, z, train=False)
            return self._model.log_likelihood(params["noise"], x, output)

        noise = normal(key_latent, self.num_importance_samples, required(self, self.latent_dim))
        return x, likelihood, self.encode(state, x), noise

    def _default_networks(self, shape: tuple[int, ...], latent_dim: int, large: bool) -> nets.Autoencoder:
        if len(shape) == 1:
            return nets.dense_autoencoder(shape[0], latent_dim=latent_dim)
        check_image_shape(shape, "set `encoder` and `decoder`")
        spectral = large and self.negatives is not None and self.negatives.adversarial > 0
        norm = nets.Affine if large and not spectral else None
        return nets.autoencoder(shape, latent_dim=latent_dim, norm=norm, spectral=spectral)

    def _reconstruction(self, decoder: tuple[Params, PyTree], x: Array, z: Array) -> tuple[Array, PyTree]:
        output, model_state = self._decode(*decoder, z)
        return -jnp.mean(self._model.log_likelihood(decoder[0]["noise"], x, output)), model_state

    def _posterior(
        self, params: Params, model_state: PyTree, x: Array, *, train: bool = True
    ) -> tuple[Posterior, PyTree]:
        output, model_state = apply_network(required(self, self.encoder), params, model_state, x, train=train)
        mean, log_variance = jnp.split(output, 2, -1)
        return Posterior(mean, bounded(log_variance)), model_state

    def _decode(self, params: Params, model_state: PyTree, z: Array, *, train: bool = True) -> tuple[Array, PyTree]:
        return apply_network(required(self, self.decoder), params["decoder"], model_state, z, train=train)

    @property
    def _model(self) -> ObservationModel:
        return required(self, self.observation_model)

    @property
    def _encoder_step(self) -> GradientStep:
        return GradientStep(self.encoder_loss, build_optimizer(self.optimizer, self.learning_rate), self.axis_name)

    @property
    def _decoder_step(self) -> GradientStep:
        return GradientStep(self.decoder_loss, build_optimizer(self.optimizer, self.learning_rate), self.axis_name)
