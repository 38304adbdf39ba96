"""Extreme value networks on image sets: configs, and distances of test images to the nearest guess."""

import base64
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import image_classifier, training
from jaxgen import data, losses, methods, nets
from jaxgen.optim import Cosine, Exponential, torch_rmsprop
from jaxgen.scan import keys


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Training and test images of one set."""

    train: Any
    test: Any
    digits: bool = False  # whether its classes are the digits

    def shape(self) -> tuple[int, ...]:
        """Return height, width and channels."""
        return self.train.tables()[0].shape[1:]


IMAGE_SETS = {
    "mnist": Pictures(data.Images("mnist"), data.Images("mnist", "test"), digits=True),
    "cifar10": Pictures(data.Images("cifar10"), data.Images("cifar10", "test")),
}
WIDTHS, PAPER_WIDTHS = (128, 128, 64, 32, 16), (512, 256, 128, 128, 64)
SIZES = (1, 16, 64, 256, 1024, 4096, 16_384, 65_536)  # numbers of guesses among which the nearest is searched for
CHUNK = 512  # guesses generated at a time
TARGETS = 2000  # test images for which the nearest guess is searched for
BATCH = 50  # images a step
SIDE = 16  # of the map of the latent space


def ours(name: str, seed: int, steps: int) -> jaxgen.Config:
    """Return our configuration: smaller widths, Adam on half a cosine, averaged weights, shuffled images."""
    method = _method(name, WIDTHS, learning_rate=Cosine(1e-3, steps), ema_decay=0.999)
    return training.configure(method, IMAGE_SETS[name].train, steps=steps, batch_size=BATCH, seed=seed)


def paper(name: str, seed: int, epochs: int = 20) -> jaxgen.Config:
    """Return the paper's protocol: its widths, RMSprop, images in a fixed order."""
    epoch = len(IMAGE_SETS[name].train.labels()) // BATCH
    rate = Exponential(1e-4, 0.95, transition_steps=epoch)
    method = _method(name, PAPER_WIDTHS, optimizer=torch_rmsprop, learning_rate=rate, ema_decay=None)
    images, steps = IMAGE_SETS[name].train, epochs * epoch
    return training.configure(method, images, steps=steps, batch_size=BATCH, seed=seed, calls=epochs, shuffle=False)


def _method(name: str, widths: tuple[int, ...], **changes: Any) -> methods.EVL:
    """Return the method; generating guesses in chunks saves memory, and gradients of guesses that are not nearest."""
    head = nets.MLP((256,) * 4 + (1,), last_kernel_init=nets.orthogonal)
    generator = nets.ConvGenerator(IMAGE_SETS[name].shape(), widths)
    return methods.EVL(generator, head, latent_dim=2, candidates=methods.SharedPool(512, chunk=512), **changes)


def sizes(most: int) -> tuple[int, ...]:
    """Return the sizes of pools, up to the largest one."""
    return tuple(size for size in SIZES if size <= most)


def distances(name: str, pool: np.ndarray, most: int) -> dict[str, float]:
    """Return the squared error per pixel of test images to the nearest of the first n of a pool, and that error's root.

    Both are means over the images.
    """
    chosen = np.random.default_rng(0).permutation(len(IMAGE_SETS[name].test.labels()))[:TARGETS]
    targets = jnp.asarray(image_classifier.pixels(IMAGE_SETS[name].test, chosen)).reshape(len(chosen), -1)
    search = jax.jit(lambda part: losses.nearest(targets, part)[1] / targets.shape[1])
    best, measures = np.full(len(targets), np.inf), {}
    for start, size in zip((0, *SIZES), sizes(most), strict=False):
        for at in range(start, min(size, len(pool)), 2048):
            part = jnp.asarray(pool[at : min(at + 2048, size)])
            best = np.minimum(best, np.asarray(search(part.reshape(len(part), -1))))
        measures[f"nearest_{size}"] = float(best.mean())
    return {**measures, "rmse": float(np.sqrt(best).mean())}


def guesses(result: jaxgen.Result[methods.EVL], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Generate guesses, images `[count, ...]`, and their log-weights `[count]`."""
    method, state = result.config.method, result.state_of(0)
    weighted_samples = jax.jit(lambda key: method.weighted_samples(key, state, CHUNK))
    chunks = [jax.tree.map(np.asarray, weighted_samples(key)) for key in keys(jax.random.key(0), -(-count // CHUNK))]
    samples, log_weights = (np.concatenate(column)[:count] for column in zip(*chunks, strict=True))
    return samples, log_weights


def latent_map(result: jaxgen.Result[methods.EVL]) -> dict[str, Any]:
    """Decode a grid over [-2, 2]^2 into images, as bytes, and their probabilities in units of an equal share."""
    ticks = np.linspace(-2, 2, SIDE, dtype=np.float32)
    noise = jnp.asarray(np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2))
    images, log_weights = jax.jit(result.config.method.decode)(result.state_of(0), noise)
    pixels = np.uint8(np.clip(np.asarray(images) * 255, 0, 255).round())
    times = SIDE**2 * np.asarray(jax.nn.softmax(log_weights))
    return {
        "shape": pixels.shape,
        "pixels": base64.b64encode(pixels.tobytes()).decode(),
        "times": np.round(times, 4).tolist(),
    }


def mosaic(pixels: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Join images `[SIDE^2, h, w, c]` to one; grey ones are colored from red, improbable, to blue, probable."""
    if pixels.shape[-1] == 1:
        colors = zip((1.0, 0.2, 0.1), (1.0, 1.0, 1.0), (0.1, 0.45, 1.0), strict=True)
        pixels = pixels * np.stack([np.interp(times.ravel(), (0, 1, 2), c) for c in colors], -1)[:, None, None]
    height, width, channels = pixels.shape[1:]
    grid = pixels.reshape(SIDE, SIDE, height, width, channels).swapaxes(1, 2)
    return grid.reshape(SIDE * height, SIDE * width, channels)
