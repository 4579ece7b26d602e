"""Facts about each official release: where to get it, its license, its layout and its published counts.

The module contains only text and numbers, so that a command can report what is missing before heavy imports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Counts = Mapping[str, Mapping[str, int]]
"""Numbers of videos, events, expressions and the like, by split; "all" stands for all splits together."""


@dataclass(frozen=True)
class Card:
    """Facts about a release.

    Attributes:
        title: The benchmark's name.
        paper: Its publication.
        pages: The authors' pages with instructions to get it.
        license: Its license, as far as known.
        layout: The files within the folder that is passed as --data-root, as a tree.
        counts: The published counts.
        required: The paths below --data-root that are needed to read it: any one of each tuple.
        categories: The names of all categories, if they are part of the annotations.
        mirrors: Copies hosted by others.
    """

    title: str
    paper: str
    pages: tuple[str, ...]
    license: str
    layout: str
    counts: Counts
    required: tuple[tuple[str, ...], ...]
    categories: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()

    def missing(self, root: Path) -> list[str]:
        """Return the required paths that are missing below `root`; of several alternatives, the first."""
        return [paths[0] for paths in self.required if not any((root / path).exists() for path in paths)]


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

_ON_YOUTUBE = "see the page; the videos are from YouTube, under their uploaders' terms"
_AVSBENCH = {
    "paper": 'Zhou et al., "Audio-Visual Segmentation", ECCV 2022, https://arxiv.org/abs/2207.05042',
    "pages": ("https://opennlplab.github.io/AVSBench", "https://github.com/OpenNLPLab/AVSBench"),
    "license": f"{_ON_YOUTUBE} (the authors' code: Apache-2.0)",
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


def _refer(title: str, paper: str, folder: str, split_by: str, **splits: tuple[int, int, int]) -> Card:
    """Return the card of a data set of the RefCOCO family.

    Args:
        title: The data set's name.
        paper: Its publication.
        folder: The name of its folder.
        split_by: The author of the split file that most papers use.
        **splits: Numbers of expressions, objects and images, by split.
    """
    kinds = ("expressions", "objects", "images")
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


RELEASES: dict[str, Card] = {
    "ave": Card(
        title="AVE, audio-visual event localization",
        paper='Tian et al., "Audio-Visual Event Localization in Unconstrained Videos", ECCV 2018, '
        "https://arxiv.org/abs/1803.08842",
        pages=("https://sites.google.com/view/audiovisualresearch", "https://github.com/YapengTian/AVE-ECCV18"),
        license=_ON_YOUTUBE,
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
    ),
    "avs": Card(
        title="AVSBench S4, segmentation of a single source",
        layout=_S4_LAYOUT,
        counts=_videos(3452, 740, 740, categories=23),
        required=(("Single-source/s4_meta_data.csv", "s4_meta_data.csv"), ("Single-source/s4_data", "s4_data")),
        **_AVSBENCH,  # type: ignore[arg-type]
    ),
    "avs_ms3": Card(
        title="AVSBench MS3, segmentation of multiple sources",
        layout=_MS3_LAYOUT,
        counts=_videos(296, 64, 64),
        required=(("Multi-sources/ms3_meta_data.csv", "ms3_meta_data.csv"), ("Multi-sources/ms3_data", "ms3_data")),
        **_AVSBENCH,  # type: ignore[arg-type]
    ),
    "refcoco": _refer(
        "RefCOCO",
        _YU,
        "refcoco",
        "unc",
        train=(120_624, 42_404, 16_994),
        val=(10_834, 3_811, 1_500),
        testA=(5_657, 1_975, 750),
        testB=(5_095, 1_810, 750),
    ),
    "refcoco_plus": _refer(
        "RefCOCO+",
        _YU,
        "refcoco+",
        "unc",
        train=(120_191, 42_278, 16_992),
        val=(10_758, 3_805, 1_500),
        testA=(5_726, 1_975, 750),
        testB=(4_889, 1_798, 750),
    ),
    "refcocog": _refer(
        "RefCOCOg",
        f'{_MAO}; split: Nagaraja et al., "Modeling Context Between Objects", ECCV 2016',
        "refcocog",
        "umd",
        train=(80_512, 42_226, 21_899),
        val=(4_896, 2_573, 1_300),
        test=(9_602, 5_023, 2_600),
    ),
}


def parts(task: str) -> list[str]:
    """Return the names of the releases of a task: for `refcoco+refcocog:box`, refcoco and refcocog."""
    return task.partition(":")[0].split("+")


def describe(name: str) -> str:
    """Return a description of a release for the terminal; `name` is a key of `RELEASES`."""
    from tabulate import tabulate  # imported late, since most users of this module do not need it

    card = RELEASES[name]
    kinds = list(dict.fromkeys(kind for counts in card.counts.values() for kind in counts))
    rows = [[split, *(counts.get(kind) for kind in kinds)] for split, counts in card.counts.items()]
    table = tabulate(rows, ["split", *kinds], tablefmt="simple", intfmt=",")
    return "\n".join(
        [
            f"{name}: {card.title}",
            f"  paper:    {card.paper}",
            *(f"  {'get it:' if not index else '':<10}{page}" for index, page in enumerate(card.pages)),
            *(f"  {'mirrors:' if not index else '':<10}{mirror}" for index, mirror in enumerate(card.mirrors)),
            f"  license:  {card.license}",
            "",
            "  below --data-root:",
            *(f"    {line}" for line in card.layout.splitlines()),
            "",
            "  published:",
            *(f"    {line}" for line in table.splitlines()),
        ]
    )
