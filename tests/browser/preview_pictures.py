"""A data set to look at: ``write_pictures(folder)`` draws scenes in eight shapes, with all that goes wrong.

Three folders (people at sea, towers at night, regularisation of nothing), captions of tags, and among them
copies of a picture, blurred and tiny ones, a damaged file, missing captions, and a caption of markup.
"""

import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

SHAPES = ((768, 768), (640, 960), (960, 640), (1000, 600), (600, 1000), (720, 900), (900, 720), (1200, 520))
SKIES = {
    "dawn": ((250, 190, 150), (120, 150, 210)),
    "noon": ((190, 225, 250), (70, 140, 220)),
    "dusk": ((240, 130, 90), (70, 50, 110)),
    "night": ((40, 50, 90), (8, 10, 30)),
}
LANDS = {
    "green hills": (70, 140, 80),
    "desert": (214, 170, 98),
    "snow": (228, 234, 240),
    "sea": (40, 110, 150),
}
THINGS = ("lamp", "boat", "cloud", "fence", "bird", "stone", "path", "roof", "tree", "wave")
HEROES = {"red kite": (215, 60, 60), "yellow balloon": (240, 190, 50), "white sail": (245, 245, 240)}


def write_pictures(folder, count=220, *, size_factor=1.0):
    """Draw ``count`` pictures with captions into numbered folders, then what goes wrong among them."""
    folder = Path(folder)
    for number in range(count):
        part = folder / ("10_kite sky", "4_balloon sky", "2_quiet sky")[number % 7 // 3]
        part.mkdir(parents=True, exist_ok=True)
        picture, caption = scene(number, size_factor)
        path = part / f"{('kite', 'trip', 'view')[number % 3]}_{number:04d}.jpg"
        picture.save(path, quality=90)
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    _spoil(folder)
    return folder


def scene(number, size_factor=1.0):
    """Draw one landscape, different for every number; return it and its caption."""
    rng = random.Random(number)
    width, height = (int(side * size_factor) for side in rng.choice(SHAPES))
    sky, land, hero = rng.choice(list(SKIES)), rng.choice(list(LANDS)), rng.choice(list(HEROES))
    picture = _gradient((width, height), *SKIES[sky])
    draw = ImageDraw.Draw(picture)
    unit = min(width, height) / 100
    if sky == "night":
        for _ in range(90):
            x, y = rng.random() * width, rng.random() * height * 0.6
            draw.ellipse((x, y, x + unit / 2, y + unit / 2), fill=(255, 255, 230))
    x, y = rng.uniform(0.15, 0.85) * width, rng.uniform(0.12, 0.35) * height
    draw.ellipse((x - 9 * unit, y - 9 * unit, x + 9 * unit, y + 9 * unit), fill=(255, 240, 200))
    for layer in range(4):
        _hills(draw, rng, (width, height), layer, LANDS[land])
    _hero(draw, (rng.uniform(0.25, 0.75) * width, rng.uniform(0.4, 0.6) * height), unit, HEROES[hero])
    for _ in range(60):
        x, y = rng.random() * width, height * rng.uniform(0.75, 1)
        draw.line(
            (x, y, x + rng.uniform(-2, 2) * unit, y - 5 * unit),
            fill=(30, 60, 40),
            width=max(1, int(unit / 2)),
        )
    tags = [hero, f"{sky} sky", land, rng.choice(["wide view", "low angle"]), "outdoors", "no humans"]
    return picture, ", ".join(["zibbo style", *rng.sample(tags, rng.randint(3, 6))])


def _gradient(size, low, high):
    strip = Image.new("RGB", (1, 64))
    for row in range(64):
        share = row / 63
        strip.putpixel((0, row), tuple(int(h + (lo - h) * share) for lo, h in zip(low, high, strict=True)))
    return strip.resize(size, Image.Resampling.BICUBIC)


def _hills(draw, rng, size, layer, colour):
    width, height = size
    base, points, y = height * (0.58 + 0.11 * layer), [(0, height)], 0.0
    for step in range(13):
        y = 0.6 * y + rng.uniform(-0.07, 0.07) * height
        points.append((width * step / 12, base + y))
    shade = 0.62 + 0.13 * (3 - layer)
    draw.polygon([*points, (width, height)], fill=tuple(int(c * shade) for c in colour))


def _hero(draw, place, unit, colour):
    x, y = place
    ink, thin = (40, 40, 50), max(1, int(unit / 2))
    top, right, bottom, left = (x, y - 14 * unit), (x + 9 * unit, y), (x, y + 16 * unit), (x - 9 * unit, y)
    draw.polygon([top, right, bottom, left], fill=colour, outline=ink)
    draw.line((*top, *bottom), fill=ink, width=thin)
    draw.line((*left, *right), fill=ink, width=thin)


def _spoil(folder):
    """Put among the pictures what a real folder has."""
    paths = sorted(folder.rglob("*.jpg"))
    for number in (3, 40):
        source = paths[number]
        copy = source.with_name(f"{source.stem} (copy).jpg")
        with Image.open(source) as picture:
            picture.save(copy, quality=60)
        copy.with_suffix(".txt").write_text(source.with_suffix(".txt").read_text())
    with Image.open(paths[3]) as picture:
        width, height = picture.size
        picture.resize((width * 2 // 3, height * 2 // 3)).save(paths[3].with_name("from the web.png"))
    for number in (11, 60, 90):
        with Image.open(paths[number]) as picture:
            picture.filter(ImageFilter.GaussianBlur(14)).save(paths[number], quality=90)
    for number in (20, 61):
        with Image.open(paths[number]) as picture:
            picture.resize((picture.width // 5, picture.height // 5)).save(paths[number], quality=90)
    for number in (30, 31, 95):
        paths[number].with_suffix(".txt").unlink()
    Image.new("RGB", (900, 240), (200, 80, 90)).save(paths[0].with_name("banner.png"))
    paths[7].with_suffix(".txt").write_text(
        'zibbo style, <script>document.title = "broken"</script>, <b>bold</b>'
    )
    words = ", ".join(f"a {adjective} {thing}" for adjective in ("tiny", "bright", "far") for thing in THINGS)
    paths[1].with_suffix(".txt").write_text(f"zibbo style, {words}")
    paths[50].write_bytes(paths[50].read_bytes()[:4000])
    torn = paths[51].with_name("torn.png")
    scene(1)[0].save(torn)
    content = torn.read_bytes()
    torn.write_bytes(content[: len(content) // 2] + content[-12:])  # the end is there, half of it is not
    paths[0].with_name("old scan.tif").write_bytes(b"II*\0")
