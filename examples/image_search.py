"""Search pictures by picture or by words for colours: an encoder of your own, by a plain function.

The documents' texts are names of image files; the encoder opens them. Here it counts colours, in
place of a model such as CLIP. The pictures are generated, in the simplest format there is (PPM).

    python examples/image_search.py
"""

import tempfile
from pathlib import Path

import numpy as np

import bigrain

COLOURS = {
    "red": (220, 40, 30), "green": (50, 160, 60), "blue": (40, 80, 200),
    "yellow": (240, 220, 60), "white": (245, 245, 245), "black": (20, 20, 20),
}  # fmt: skip
SCENES = {"sunset": "red yellow black", "meadow": "green yellow", "sea": "blue white",
          "snow": "white blue", "night": "black blue", "lemons": "yellow green"}  # fmt: skip
BINS = 4  # of each channel
rng = np.random.default_rng(3)


def paint(path: Path, colours: list[str]) -> None:
    """A picture of 32 x 32 pixels in stripes of these colours, with some noise."""
    stripes = np.repeat(np.array([COLOURS[c] for c in colours]), -(-32 // len(colours)), axis=0)
    pixels = stripes[:32, None, :] + rng.normal(0, 12, (32, 32, 3))
    path.write_bytes(b"P6 32 32 255\n" + pixels.clip(0, 255).astype(np.uint8).tobytes())


def histogram(pixels: np.ndarray) -> np.ndarray:
    """How often each of 64 colours occurs; square roots make cosines of them fair."""
    cells = (pixels.reshape(-1, 3) // (256 // BINS)) @ np.array([BINS * BINS, BINS, 1])
    return np.sqrt(np.bincount(cells, minlength=BINS**3))


def encode_images(names: list[str]) -> np.ndarray:
    return np.array([histogram(read(name)) for name in names])


def read(name: str) -> np.ndarray:
    data = Path(name).read_bytes().split(b"\n", 1)[1]
    return np.frombuffer(data, np.uint8).astype(np.int64)


def encode_queries(queries: list[str]) -> np.ndarray:
    """The name of a picture, or words for colours, in the same space."""
    rows = []
    for query in queries:
        if Path(query).is_file():
            rows.append(histogram(read(query)))
        else:
            named = [COLOURS[word] for word in query.split() if word in COLOURS]
            rows.append(histogram(np.array(named, np.int64)))
    return np.array(rows)


bigrain.register_encoder(
    "colours",
    lambda: bigrain.CallableEncoder(
        "colours", encode_images, BINS**3, encode_queries=encode_queries
    ),
)

with tempfile.TemporaryDirectory() as folder:
    files = {}
    for scene, colours in SCENES.items():
        for number in range(20):
            files[f"{scene}-{number:02}"] = path = Path(folder, f"{scene}-{number:02}.ppm")
            paint(path, list(rng.permutation(colours.split())))

    fields = {"colours": bigrain.DenseField(encoder="colours")}
    with bigrain.create(Path(folder, "pictures.grain"), fields) as col:
        col.add({"id": name, "text": str(path)} for name, path in files.items())
        col.commit()
        for query in ("yellow green", "white blue", "red"):
            print(f"{query:14}", [hit.id for hit in col.search(query, k=3)])
        like = col.search(str(files["night-03"]), k=4)
        print("like night-03 ", [hit.id for hit in like])
        assert like[0].id == "night-03" and all(hit.id.startswith("night") for hit in like)
