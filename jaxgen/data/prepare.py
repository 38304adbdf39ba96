"""Command `python -m jaxgen.data.prepare NAME`: download and cache an image set."""

import tyro

from jaxgen.data.images import Images

__all__ = ["prepare"]


def prepare(name: str) -> None:
    """Download, prepare and cache an image set. Needs network access and, for most sets, TensorFlow.

    Args:
        name: a name that `Images` accepts.
    """
    import tensorflow_datasets as tfds

    tfds.builder(name, file_format="array_record").download_and_prepare()
    for split in ("train", "test"):
        print(f"{name} {split}: {Images(name, split).tables()[0].shape}")


if __name__ == "__main__":
    tyro.cli(prepare)
