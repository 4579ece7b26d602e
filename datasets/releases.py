"""The datasets of this package, by layout: their official releases, with where to get each, its license and its counts.

Nothing heavy is imported, so that a command can report what is missing before heavy imports.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.datasets.base import Card, Counts, Dataset, Progress

if TYPE_CHECKING:
    from bench.datasets.generator import Generator
    from bench.datasets.verify.report import Report

_AVE_LAYOUT = """\
AVE_Dataset/
  Annotations.txt  trainSet.txt  valSet.txt  testSet.txt    category&video id&quality&start&end, header optional
  AVE/<video id>.mp4                       as released; from these `bench data prepare ave` makes, in another folder:
  video_frames/<video id>/0001.jpg ...     10 or more, spread evenly over the ten seconds, ordered by number
  raw_audio/<video id>.wav                 any sample rate, mono or stereo
  extracted/<video id>.json                timing of frames and sound; written by `prepare`, read by `verify`"""

_AVE_CATEGORIES = (
    *("Accordion", "Acoustic guitar", "Baby cry, infant cry", "Banjo", "Bark", "Bus", "Cat", "Chainsaw", "Church bell"),
    *("Clock", "Female speech, woman speaking", "Fixed-wing aircraft, airplane", "Flute", "Frying (food)", "Goat"),
    *("Helicopter", "Horse", "Male speech, man speaking", "Mandolin", "Motorcycle", "Race car, auto racing"),
    *("Rodents, rats, mice", "Shofar", "Toilet flush", "Train horn", "Truck", "Ukulele", "Violin, fiddle"),
)

_S4_LAYOUT = """\
Single-source/
  s4_meta_data.csv                         columns name, category, split (train, val, test); others are not read
  s4_data/
    visual_frames/<split>/<category>/<name>/<name>_1.png ... _5.png
    gt_masks/<split>/<category>/<name>/<name>_1.png ... _5.png    for training videos only the first
    audio_wav/<split>/<category>/<name>.wav"""

_MS3_LAYOUT = """\
Multi-sources/
  ms3_meta_data.csv                        columns name (or video_id), split (train, val, test); others are not read
  ms3_data/
    visual_frames/<name>/<name>.mp4_1.png ... _5.png
    gt_masks/<split>/<name>/<name>_1.png ... _5.png
    audio_wav/<split>/<name>.wav"""

_REFER_LAYOUT = """\
images/train2014/                          (or images/mscoco/images/train2014/), shared by all three data sets
  COCO_train2014_000000581857.jpg ...      COCO's names: the image id, zero-padded to 12 digits
{folder}/
  instances.json                           objects in COCO's format
    images:       id, file_name, height, width
    annotations:  id, image_id; bbox (x, y, width, height in pixels) for boxes; segmentation (polygons or run
                  lengths) for masks; category_id
    categories:   id
  refs({split_by}).p                              the expressions, as a pickle: a list of dicts
    each ref:       ref_id, ann_id, image_id, split, sentences; category_id
    each sentence:  sent_id, sent (or raw, if sent is empty or missing)
  category_id and categories are read by `verify` only; other keys are ignored"""

_REFAVS_LAYOUT = """\
REFAVS/
  metadata.csv                             columns vid, uid, split (train, val, test_s, test_u, test_n), fid, exp
  media/<folder>/                          <folder> is uid without its last two parts: a1_0_10000_cat_1 is in a1_0_10000
    frames/0.jpg ... 9.jpg                 one frame a second
    audio.wav                              any sample rate, mono or stereo
  gt_mask/<folder>/fid_<fid>/00000.png ... 00009.png    what is not black is the object; all black where it is absent
  rows of the split TODO belong to no split and are left out"""

_NATURAL_LAYOUT = """\
usr/share/tuxpaint/                        (or share/tuxpaint/, or these folders themselves)
  stamps/<group>/<name>.png                a cut-out; those that are photographs are used, by the program's rules
  stamps/<group>/<name>.txt                its name: the first line, such as "A dog."
  stamps/<group>/<name>.ogg                its call, where there is one (or .wav)
  stamps/<group>/<name>_desc_<language>.ogg   its name, spoken in that language: for data.sounds=names
  stamps/<group>/<name>.dat                `nomirror` in it: not to be mirrored
  templates/*.jpg                          backgrounds, of the package tuxpaint-data"""

ON_YOUTUBE = "see the page; the videos are from YouTube, under their uploaders' terms"
_AVSBENCH = {
    "paper": 'Zhou et al., "Audio-Visual Segmentation", ECCV 2022, https://arxiv.org/abs/2207.05042',
    "pages": ("https://opennlplab.github.io/AVSBench", "https://github.com/OpenNLPLab/AVSBench"),
    "license": f"{ON_YOUTUBE} (the authors' code: Apache-2.0)",
}
_KAZEMZADEH = 'Kazemzadeh et al., "ReferItGame", EMNLP 2014; Yu et al., "Modeling Context in Referring Expressions"'
_YU = f"{_KAZEMZADEH}, ECCV 2016"
_MAO = 'Mao et al., "Generation and Comprehension of Unambiguous Object Descriptions", CVPR 2016'


def _videos(train: int, val: int, test: int, **totals: int) -> Counts:
    return {
        "train": {"videos": train},
        "val": {"videos": val},
        "test": {"videos": test},
        "all": {"videos": train + val + test, **totals},
    }


# When the Internet Archive copied the data sets, whose server has been down since 2022: see
# https://github.com/lichengunc/refer/issues/14 and /26.
_ARCHIVED = {"refcoco": "20220413011718", "refcoco+": "20220413011656", "refcocog": "20220413012904"}
_REFER_ARCHIVE = "https://web.archive.org/web/{time}/https://bvisionweb1.cs.unc.edu/licheng/referit/data/{folder}.zip"


def _refer(title: str, paper: str, folder: str, split_by: str, **splits: tuple[int, ...]) -> Card:
    """Return the card of a data set of the RefCOCO family.

    Args:
        title: The data set's name.
        paper: Its publication.
        folder: The name of its folder.
        split_by: The author of the split file that most papers use.
        **splits: Numbers of expressions, objects and, if no image is in two splits, of images, by split.
    """
    kinds = ("expressions", "objects", "images")[: min(map(len, splits.values()))]
    counts = {split: dict(zip(kinds, numbers, strict=True)) for split, numbers in splits.items()}
    return Card(
        title=f"{title}, referring expressions",
        paper=paper,
        pages=("https://github.com/lichengunc/refer", "https://cocodataset.org/#download (2014 Train images)"),
        license="see the pages; COCO's annotations are CC BY 4.0, its images are under their Flickr users' terms",
        layout=_REFER_LAYOUT.format(folder=folder, split_by=split_by),
        counts={**counts, "all": {kind: sum(split[kind] for split in counts.values()) for kind in kinds}},
        required=(
            (f"{folder}/instances.json",),
            (f"{folder}/refs({split_by}).p",),
            ("images/train2014", "images/mscoco/images/train2014"),
        ),
        mirrors=(
            f"{_REFER_ARCHIVE.format(time=_ARCHIVED[folder], folder=folder)} (the links on the page above are dead)",
            "http://images.cocodataset.org/zips/train2014.zip (the images)",
        ),
    )


class AVE(Dataset):
    """AVE, audio-visual event localization."""

    card = Card(
        title="AVE, audio-visual event localization",
        paper='Tian et al., "Audio-Visual Event Localization in Unconstrained Videos", ECCV 2018, '
        "https://arxiv.org/abs/1803.08842",
        pages=("https://sites.google.com/view/audiovisualresearch", "https://github.com/YapengTian/AVE-ECCV18"),
        license=ON_YOUTUBE,
        layout=_AVE_LAYOUT,
        counts={
            "train": {"events": 3339},
            "val": {"events": 402},
            "test": {"events": 402},
            "all": {"events": 4143, "videos": 4097, "categories": 28},
        },
        required=(
            ("AVE_Dataset/Annotations.txt", "Annotations.txt"),
            ("AVE_Dataset/video_frames", "video_frames"),
            ("AVE_Dataset/raw_audio", "raw_audio"),
        ),
        categories=_AVE_CATEGORIES,
    )
    benchmarks = ("AVE",)
    metric = "accuracy"

    def check(self, root: Path, report: Report, progress: Progress, quick: bool) -> Path | None:
        """Check annotations, frames and sounds, or the videos if these are not extracted yet."""
        from bench.datasets.verify.ave import walk

        return walk(root, report, progress, quick)

    def generator(self) -> Generator:
        """Return the generator of the embedded videos."""
        from bench.datasets.mini import write

        return write.AVE

    def extract(self, root: Path, out: Path, jobs: int, progress: Progress) -> list[str]:
        """Extract the frames and the sound of the released videos."""
        from bench.datasets.extract import extract_ave

        return extract_ave(root, out, jobs, progress)

    def advice(self, root: Path) -> str:
        """Return how to extract the videos if they are present, or else where to get them."""
        if any((root / place).is_dir() for place in ("AVE_Dataset/AVE", "AVE")):
            return f"`bench data prepare ave --root {root} --out DIR` extracts it from the videos; then --data-root DIR"
        return super().advice(root)


class AVS(Dataset):
    """AVSBench S4, segmentation of a single source."""

    card = Card(
        title="AVSBench S4, segmentation of a single source",
        layout=_S4_LAYOUT,
        counts=_videos(3452, 740, 740, categories=23),
        required=(("Single-source/s4_meta_data.csv", "s4_meta_data.csv"), ("Single-source/s4_data", "s4_data")),
        **_AVSBENCH,  # type: ignore[arg-type]
    )
    benchmarks = ("AVSBench S4",)
    metric = "miou"

    def check(self, root: Path, report: Report, progress: Progress, quick: bool) -> Path | None:
        """Check the table, frames, masks and sounds."""
        from bench.datasets.verify.avsbench import walk_s4

        return walk_s4(root, report, progress, quick)

    def generator(self) -> Generator:
        """Return the generator of the embedded videos."""
        from bench.datasets.mini import write

        return write.AVS

    def composer(self, media: Path | None, sounds: str = "calls") -> Generator:
        """Return the generator of videos of natural things."""
        from bench.datasets.natural import write

        return write.avs(media) if sounds == "calls" else write.avs_named(media)


class AVSMulti(Dataset):
    """AVSBench MS3, segmentation of multiple sources."""

    card = Card(
        title="AVSBench MS3, segmentation of multiple sources",
        layout=_MS3_LAYOUT,
        counts=_videos(296, 64, 64),
        required=(("Multi-sources/ms3_meta_data.csv", "ms3_meta_data.csv"), ("Multi-sources/ms3_data", "ms3_data")),
        **_AVSBENCH,  # type: ignore[arg-type]
    )

    def check(self, root: Path, report: Report, progress: Progress, quick: bool) -> Path | None:
        """Check the table, frames, masks and sounds."""
        from bench.datasets.verify.avsbench import walk_ms3

        return walk_ms3(root, report, progress, quick)


class Refer(Dataset):
    """RefCOCO, RefCOCO+ and RefCOCOg together: generated pictures that the three share; released one by one."""

    benchmarks = ("RefCOCO", "RefCOCO+", "RefCOCOg")
    metric = "accuracy@0.5"

    def generator(self) -> Generator | None:
        """Return the generator of the embedded pictures."""
        from bench.datasets.mini.write_refer import GENERATORS

        return GENERATORS.get(self.name)

    def composer(self, media: Path | None, sounds: str = "calls") -> Generator | None:
        """Return the generator of pictures of natural things; None for all but RefCOCO, and for sounds but calls."""
        from bench.datasets.natural import write

        return write.refcoco(media) if self.name == "refcoco" and sounds == "calls" else None

    def check(self, root: Path, report: Report, progress: Progress, quick: bool) -> Path | None:
        """Check objects, expressions, masks and images."""
        from bench.datasets.verify.refcoco import walk

        return walk(self.name, root, report, progress, quick)


class RefCOCO(Refer):
    """RefCOCO, referring expressions."""

    card = _refer(
        "RefCOCO",
        _YU,
        "refcoco",
        "unc",
        train=(120_624, 42_404, 16_994),
        val=(10_834, 3_811, 1_500),
        testA=(5_657, 1_975, 750),
        testB=(5_095, 1_810, 750),
    )


class RefCOCOPlus(Refer):
    """RefCOCO+, referring expressions without location words."""

    card = _refer(
        "RefCOCO+",
        _YU,
        "refcoco+",
        "unc",
        train=(120_191, 42_278, 16_992),
        val=(10_758, 3_805, 1_500),
        testA=(5_726, 1_975, 750),
        testB=(4_889, 1_798, 750),
    )


class RefCOCOg(Refer):
    """RefCOCOg, longer referring expressions, as split by umd."""

    card = _refer(
        "RefCOCOg",
        f'{_MAO}; split: Nagaraja et al., "Modeling Context Between Objects", ECCV 2016',
        "refcocog",
        "umd",
        train=(80_512, 42_226, 21_899),
        val=(4_896, 2_573, 1_300),
        test=(9_602, 5_023, 2_600),
    )


class RefCOCOgGoogle(Refer):
    """RefCOCOg, longer referring expressions, as split by google."""

    card = _refer("RefCOCOg", _MAO, "refcocog", "google", train=(85_474, 44_822), val=(9_536, 5_000))


class RefAVS(Dataset):
    """Ref-AVS, segmentation of what an expression refers to by sight and sound."""

    card = Card(
        title="Ref-AVS, referring audio-visual segmentation",
        paper='Wang et al., "Ref-AVS: Refer and Segment Objects in Audio-Visual Scenes", ECCV 2024, '
        "https://arxiv.org/abs/2407.10957",
        pages=("https://gewu-lab.github.io/Ref-AVS", "https://github.com/GeWu-Lab/Ref-AVS"),
        license=ON_YOUTUBE,
        layout=_REFAVS_LAYOUT,
        counts={
            "train": {"expressions": 14_113, "videos": 2_767},
            "val": {"expressions": 1_349, "videos": 257},
            "test_s": {"expressions": 2_288, "videos": 273},
            "test_u": {"expressions": 1_656, "videos": 269},
            "test_n": {"expressions": 1_028, "videos": 257},
            "all": {"expressions": 20_434, "videos": 3_573},
        },
        required=(
            ("REFAVS/metadata.csv", "metadata.csv"),
            ("REFAVS/media", "media"),
            ("REFAVS/gt_mask", "gt_mask"),
        ),
    )
    benchmarks = ("Ref-AVS",)
    metric = "miou"

    def check(self, root: Path, report: Report, progress: Progress, quick: bool) -> Path | None:
        """Check the table, frames, masks and sounds."""
        from bench.datasets.verify.refavs import walk

        return walk(root, report, progress, quick)

    def generator(self) -> Generator:
        """Return the generator of the embedded videos."""
        from bench.datasets.mini.write_refavs import GENERATOR

        return GENERATOR


class Natural(Dataset):
    """The media that the suite `natural` composes its data from: Tux Paint's stamps."""

    card = Card(
        title="Tux Paint's stamps and photographs, from which the suite `natural` composes its data",
        paper="none; the pictures, sounds and texts are by the contributors that the packages name",
        pages=(
            "apt-get download tuxpaint-stamps-default tuxpaint-data    (170 MB; Debian and Ubuntu)",
            "for f in tuxpaint-*.deb; do dpkg-deb --extract $f DIR; done",
            "https://tuxpaint.org/download/stamps/, and https://tuxpaint.org/download/ for the photographs",
        ),
        license="GPL-2, in parts GFDL, CC BY-SA and public domain: see the packages' copyright and CONTRIBUTORS.txt; "
        "nothing of them is part of this software",
        layout=_NATURAL_LAYOUT,
        counts={"all": {"things": 212, "with a call": 28, "named": 28, "backgrounds": 16}},
        required=(("usr/share/tuxpaint/stamps", "share/tuxpaint/stamps", "stamps"),),
    )

    def check(self, root: Path, report: Report, progress: Progress, quick: bool) -> Path | None:
        """Read all pictures, texts, calls and spoken names, and count the things."""
        from bench.datasets.verify.natural import walk

        return walk(root, report, progress)
