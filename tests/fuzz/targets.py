"""The readers of foreign files that are fuzzed: for each, valid files, and a function that reads one and uses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

import reads_of_encoders
import reads_of_releases
import reads_of_results
import repairs
import valid_encoders
import valid_files
import valid_results
from mutants import JSON, PICKLE, Form, mutant


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        name: Name of the test.
        file: Path of the file within its folder.
        valid: Returns contents that are read without an error.
        read: Reads the file in a folder, and uses its contents.
        repair: Corrects lengths and checksums, so that damage reaches the code behind their checks.
        form: Parses and writes a file of plain values, so that values are replaced as well as bytes.
        message_name: What the message of an unreadable file must name; by default the file.
    """

    name: str
    file: str
    valid: Callable[[], list[bytes]]
    read: Callable[[Path], object]
    repair: Callable[[bytes], bytes] | None = None
    form: Form | None = None
    message_name: str = ""

    @cached_property
    def seeds(self) -> list[bytes]:
        """The valid files."""
        return self.valid()

    @property
    def named(self) -> str:
        """What the message of an unreadable file must name."""
        return self.message_name or Path(self.file).name

    def damaged(self, random: Random) -> bytes:
        """Return a damaged valid file; half of them are repaired, if there is a repair."""
        content = mutant(random, self.seeds, self.form)
        return self.repair(content) if self.repair and random.random() < 0.5 else content

    def take(self, folder: Path, content: bytes) -> None:
        """Write `content` to the file, and read it."""
        path = folder / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.read(folder)


RELEASES = (
    Target("ave", "AVE_Dataset/Annotations.txt", valid_files.ave_tables, reads_of_releases.ave),
    Target("avsbench", "Single-source/s4_meta_data.csv", valid_files.avs_tables, reads_of_releases.avs),
    Target("refavs", "REFAVS/metadata.csv", valid_files.refavs_tables, reads_of_releases.refavs),
    Target("user data", "a.csv", valid_files.user_tables, reads_of_releases.user_data),
    Target("coco", "refcoco/instances.json", valid_files.instances, reads_of_releases.refcoco, form=JSON),
    Target("refer", "refcoco/refs(unc).p", valid_files.refs, reads_of_releases.refcoco, form=PICKLE),
    Target("avqa", "json/avqa-train.json", valid_files.questions, reads_of_releases.avqa, form=JSON),
    Target("png", "a.png", valid_files.png, reads_of_releases.png, repairs.png),
    Target("jpeg", "a.jpg", valid_files.jpeg, reads_of_releases.jpeg),
    Target("wav", "a.wav", valid_files.recordings, reads_of_releases.recording),
    Target("stamp", "stamps/a.png", valid_files.stamps, reads_of_releases.stamp, repairs.png),
    Target("name of a stamp", "stamps/a.txt", valid_files.names, reads_of_releases.stamp_name),
    Target("call", "stamps/a.ogg", valid_files.calls, reads_of_releases.call, repairs.ogg),
    Target("mp4", "a.mp4", valid_files.videos, reads_of_releases.video),
)
RESULTS = (
    Target("manifest", "manifest.json", valid_results.manifests, reads_of_results.manifest, form=JSON),
    Target("safetensors", "adapter.safetensors", valid_results.tensors, reads_of_results.safetensors, repairs.tensors),
    Target("suite", "a.toml", valid_results.suites, reads_of_results.suite),
    Target("tuned", "a.toml", valid_results.tuned, reads_of_results.tuned),
    Target("record", "records/ave-cola-s0.json", valid_results.records, reads_of_results.record, form=JSON),
    Target("baseline", "baseline.json", valid_results.baselines, reads_of_results.baseline, form=JSON),
    Target("efficiency", "efficiency/a.json", valid_results.efficiency, reads_of_results.efficiency, form=JSON),
    Target("samples", "records/a.npz", valid_results.sample_scores, reads_of_results.sample_scores, repairs.archive),
    Target("claim", valid_results.claim_file(), valid_results.claims, reads_of_results.claim, form=JSON),
    Target("checkpoint", "a.pt", valid_results.checkpoints, reads_of_results.checkpoint, repairs.archive),
    Target("prepared", "prepared/image.npy", valid_results.arrays, reads_of_results.prepared_array),
    Target(
        "prepared manifest",
        "prepared/manifest.json",
        valid_results.sample_manifests,
        reads_of_results.prepared_manifest,
        form=JSON,
    ),
)
ENCODERS = tuple(
    Target(
        name,
        f"encoder/{file}",
        lambda folder=folder, file=file: [valid_encoders.folder(folder)[file]],
        lambda place, folder=folder, read=read: read(place, folder),
        repair=repairs.tensors if file.endswith(".safetensors") else None,
        form=JSON if file.endswith(".json") else None,
        message_name="encoder",
    )
    for name, folder, file, read in (
        ("config", "vision", "config.json", reads_of_encoders.encoder),
        ("config of text", "text", "config.json", reads_of_encoders.encoder),
        ("preprocessor", "vision", "preprocessor_config.json", reads_of_encoders.encoder),
        ("preprocessor of sound", "audio", "preprocessor_config.json", reads_of_encoders.encoder),
        ("weights", "vision", "model.safetensors", reads_of_encoders.encoder),
        ("shards", "shards", "model.safetensors.index.json", reads_of_encoders.encoder),
        ("tokenizer", "text", "tokenizer.json", reads_of_encoders.tokenizer),
        ("tokenizer's config", "text", "tokenizer_config.json", reads_of_encoders.tokenizer),
        ("vocabulary", "words", "vocab.txt", reads_of_encoders.tokenizer),
    )
)
TARGETS = {target.name: target for target in (*RELEASES, *RESULTS, *ENCODERS)}
