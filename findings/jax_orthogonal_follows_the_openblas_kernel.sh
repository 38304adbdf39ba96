#!/usr/bin/env bash
# jax 0.10.2 with scipy 1.16.3, CPU (x86-64 with AVX2). `jax.random.orthogonal`, and so the orthogonal initializer, gives
# other numbers for the same key if OpenBLAS chooses another kernel. So do `jnp.linalg.qr` and `jnp.linalg.cholesky`.
# Guess before running: XLA computes decompositions itself, so a variable of OpenBLAS changes results of NumPy alone.
# Seen: JAX calls the LAPACK of SciPy, which is OpenBLAS and chooses a kernel by processor. Normal draws and matrix
# products have equal bits for all kernels; draws of orthogonal matrices differ in their last bits.
# What follows: equal keys and versions do not give equal initial parameters on two processors, even where XLA's own
# code has equal bits. A run that amplifies rounding ends elsewhere.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2 scipy==1.16.3 2> /dev/null
cat > "$work/draw.py" <<'PYTHON'
import hashlib

import jax
import jax.numpy as jnp
import numpy as np

x = jax.random.normal(jax.random.key(0), (64, 64))
results = {
    "normal": x,
    "matrix product": x @ x,
    "qr": jnp.linalg.qr(x)[0],
    "orthogonal": jax.random.orthogonal(jax.random.key(0), 64),
    "cholesky": jnp.linalg.cholesky(x @ x.T + 64 * jnp.eye(64)),
}
for name, value in results.items():
    print(name, hashlib.sha256(np.asarray(value).tobytes()).hexdigest()[:12], sep=": ")
PYTHON
for kernel in Sandybridge Haswell; do
  OPENBLAS_CORETYPE=$kernel JAX_PLATFORMS=cpu "$work/venv/bin/python" "$work/draw.py" > "$work/$kernel"
  echo "== $kernel"
  cat "$work/$kernel"
done
same=$(comm -12 <(sort "$work/Sandybridge") <(sort "$work/Haswell") | cut -d: -f1 | paste -sd, -)
echo "equal bits: $same"
test "$same" = "matrix product,normal"
