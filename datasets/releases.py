"""What is known of each official release: where it is to be had, its license, its layout, and what is published of it.

Only text and numbers, so that a command can tell a user what is missing before anything heavy is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Counts = Mapping[str, Mapping[str, int]]
"""By split, or "all" for all of them together: how many there are of each kind of thing."""


@dataclass(frozen=True)
class Card:
    """What is known of a release.

    Attributes:
        title: the benchmark's name.
        paper: where it was published.
        pages: where its authors tell how to get it.
        mirrors: where else it is to be had, as a copy that others keep.
        license: as far as it is known.
        layout: what lies below the folder that is named as --data-root, as a tree.
        counts: as published.
        needs: what must be there to read it: of each line any one of the paths below --data-root.
        categories: the names of all categories, where they are part of the annotations.
    """

    title: str
    paper: str
    pages: tuple[str, ...]
    license: str
    layout: str
    counts: Counts
    needs: tuple[tuple[str, ...], ...]
    categories: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()

    def missing(self, root: Path) -> list[str]:
        """Return what is needed below `root` and not there; of several places the first is named."""
        return [places[0] for places in self.needs if not any((root / place).exists() for place in places)]


_AVE_LAYOUT = """\
AVE_Dataset/
  Annotations.txt  trainSet.txt  valSet.txt  testSet.txt    category&video id&quality&start&end, a header or none
  AVE/<video id>.mp4                       as released; `bench data prepare ave` makes of them, in a folder of its own:
  video_frames/<video id>/0001.jpg ...     10 or more, spread evenly over the ten seconds; ordered by number
  raw_audio/<video id>.wav                 of any sample rate, mono or stereo
  extracted/<video id>.json                what the video has of each second; written by `prepare`, read by `verify`"""

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
    gt_masks/<split>/<category>/<name>/<name>_1.png ... _5.png    of training videos only the first
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
  COCO_train2014_000000581857.jpg ...      COCO's own names: the image id, filled up with zeros to 12 digits
{folder}/
  instances.json                           objects in COCO's format
    images:       id, file_name, height, width
    annotations:  id, image_id; bbox (x, y, width, height in pixels) for boxes; segmentation (polygons or run
                  lengths) for masks; category_id
    categories:   id
  refs({split_by}).p                              the expressions, as a pickle: a list of dicts
    each ref:       ref_id, ann_id, image_id, split, sentences; category_id
    each sentence:  sent_id, sent (or raw, if sent is empty or not there)
  category_id and categories are read by `verify` only; other keys may be there, and are not read"""

_ON_YOUTUBE = "see the page; the videos are YouTube's, under the terms of those who uploaded them"
_AVSBENCH = {
    "paper": 'Zhou et al., "Audio-Visual Segmentation", ECCV 2022, https://arxiv.org/abs/2207.05042',
    "pages": ("https://opennlplab.github.io/AVSBench", "https://github.com/OpenNLPLab/AVSBench"),
    "license": f"{_ON_YOUTUBE} (the authors' code: Apache-2.0)",
}
_KAZEMZADEH = 'Kazemzadeh et al., "ReferItGame", EMNLP 2014; Yu et al., "Modeling Context in Referring Expressions"'
_YU = f"{_KAZEMZADEH}, ECCV 2016"
_MAO = 'Mao et al., "Generation and Comprehension of Unambiguous Object Descriptions", CVPR 2016'


def _videos(train: int, val: int, test: int, **together: int) -> Counts:
    return {
        "train": {"videos": train},
        "val": {"videos": val},
        "test": {"videos": test},
        "all": {"videos": train + val + test, **together},
    }


# When the Internet Archive copied the data sets' archives, whose own server has been down since 2022: see
# https://github.com/lichengunc/refer/issues/14 and /26.
_ARCHIVED = {"refcoco": "20220413011718", "refcoco+": "20220413011656", "refcocog": "20220413012904"}
_REFER_ARCHIVE = "https://web.archive.org/web/{time}/https://bvisionweb1.cs.unc.edu/licheng/referit/data/{folder}.zip"


def _refer(title: str, paper: str, folder: str, split_by: str, **splits: tuple[int, int, int]) -> Card:
    """Return the card of a data set of the RefCOCO family; `split_by` made the split file that most papers use.

    Of each split the expressions, objects and images.
    """
    kinds = ("expressions", "objects", "images")
    counts = {split: dict(zip(kinds, numbers, strict=True)) for split, numbers in splits.items()}
    return Card(
        title=f"{title}, referring expressions",
        paper=paper,
        pages=("https://github.com/lichengunc/refer", "https://cocodataset.org/#download (2014 Train images)"),
        license="see the pages; COCO's annotations are CC BY 4.0, its images under the terms of Flickr's users",
        layout=_REFER_LAYOUT.format(folder=folder, split_by=split_by),
        counts={**counts, "all": {kind: sum(its[kind] for its in counts.values()) for kind in kinds}},
        needs=(
            (f"{folder}/instances.json",),
            (f"{folder}/refs({split_by}).p",),
            ("images/train2014", "images/mscoco/images/train2014"),
        ),
        mirrors=(
            f"{_REFER_ARCHIVE.format(time=_ARCHIVED[folder], folder=folder)} (the links of the page above are dead)",
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
        needs=(
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
        needs=(("Single-source/s4_meta_data.csv", "s4_meta_data.csv"), ("Single-source/s4_data", "s4_data")),
        **_AVSBENCH,  # type: ignore[arg-type]
    ),
    "avs_ms3": Card(
        title="AVSBench MS3, segmentation of multiple sources",
        layout=_MS3_LAYOUT,
        counts=_videos(296, 64, 64),
        needs=(("Multi-sources/ms3_meta_data.csv", "ms3_meta_data.csv"), ("Multi-sources/ms3_data", "ms3_data")),
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
    """The names of the releases that a task's name stands for: of `refcoco+refcocog:box`, refcoco and refcocog."""
    return task.partition(":")[0].split("+")


def describe(name: str) -> str:
    """Return what is known of a release, for a terminal; `name` is a key of `RELEASES`."""
    from tabulate import tabulate  # not needed where only names and places are

    card = RELEASES[name]
    kinds = list(dict.fromkeys(kind for its in card.counts.values() for kind in its))
    rows = [[split, *(its.get(kind) for kind in kinds)] for split, its in card.counts.items()]
    table = tabulate(rows, ["split", *kinds], tablefmt="simple", intfmt=",")
    return "\n".join(
        [
            f"{name}: {card.title}",
            f"  paper:    {card.paper}",
            *(f"  {'to get:' if not place else '':<10}{page}" for place, page in enumerate(card.pages)),
            *(f"  {'mirrors:' if not place else '':<10}{mirror}" for place, mirror in enumerate(card.mirrors)),
            f"  license:  {card.license}",
            "",
            "  below --data-root:",
            *(f"    {line}" for line in card.layout.splitlines()),
            "",
            "  published:",
            *(f"    {line}" for line in table.splitlines()),
        ]
    )
