"""`python -m jaxgen.data.prepare NAME`: download an image set once, with TensorFlow Datasets and TensorFlow."""

import tyro

from jaxgen.data.images import Images

__all__ = ["prepare"]


def prepare(name: str) -> None:
    """Download and prepare an image set, and cache it; needs the network and, for most sets, TensorFlow.

    Args:
        name: one that `Images` knows.
    """
    import tensorflow_datasets as tfds

    tfds.builder(name, file_format="array_record").download_and_prepare()
    for split in ("train", "test"):
        print(f"{name} {split}: {Images(name, split).tables()[0].shape}")


if __name__ == "__main__":
    tyro.cli(prepare)
