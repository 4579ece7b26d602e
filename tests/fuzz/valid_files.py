"""Small valid files of each kind that releases hold."""

from __future__ import annotations

import io
import json
import pickle
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image


def ave_tables() -> list[bytes]:
    plain = "Category&VideoID&Quality&Start&End\nMale speech, man speaking&_aB-1234567&good&2&4\nBark&xyz&good&0&10\n"
    return [plain.encode(), b"\xef\xbb\xbf" + plain.replace("\n", "\r\n").encode()]


def avs_tables() -> list[bytes]:
    plain = 'name,video_id,category,split\n-a_1,-a,dog_barking,train\nb 2,b,"baby, laughter",test\nc,c,dog,val\n'
    return [plain.encode(), b"\xef\xbb\xbf" + plain.replace("\n", "\r\n").encode()]


def refavs_tables() -> list[bytes]:
    rows = [
        "vid,uid,split,fid,exp",
        "-a_0_10,-a_0_10_cat_1,train,0,The cat.",
        'b_0_10,b_0_10_hair-dryer_2,test_s,12,"The one, not the ""other"""',
        "b_0_10,null_c-b_0_10_null_1,test_n,0,The last object",
        "c_0_10,c_0_10_man_1,TODO,0,A man\u2019s arm",
    ]
    plain = "\n".join(rows) + "\n"
    return [plain.encode(), b"\xef\xbb\xbf" + plain.replace("\n", "\r\n").encode()]


def questions() -> list[bytes]:
    """Questions with and without placeholders, some deleted; in one line, and indented with a byte order mark."""
    keys = {"video_id": "00000028", "question_deleted": 0, "anser": "yes"}
    content = {
        "question_content": "Is the <Object> on the <LR> louder\uff1f",
        "templ_values": '["acoustic_guitar", "left"]',
    }
    entries = [
        {**keys, "question_id": 7, "type": '["Audio-Visual", "Comparative"]', **content},
        {
            **keys,
            "question_id": 8,
            "type": '["Visual", "Location"]',
            "question_content": "Where?",
            "templ_values": "[]",
        },
        {**keys, "question_id": 9, "type": '["Audio", "Counting"]', **content, "question_deleted": 1},
    ]
    return [json.dumps(entries).encode(), b"\xef\xbb\xbf" + json.dumps(entries, indent=1, ensure_ascii=False).encode()]


def user_tables() -> list[bytes]:
    """Tables of images and texts with splits, and of recordings without."""
    rows = [f'i/{n}.png,"a, {n}",{"ab"[n % 2]},{split}' for n, split in enumerate(["train", "train", "val", "test"])]
    plain = "\n".join(["image,text,label,split", *rows]) + "\n"
    drawn = "\n".join(["audio,label,group", *(f"{n}.wav,{'ab'[n % 2]},{n % 20}" for n in range(40))]) + "\n"
    return [plain.encode(), b"\xef\xbb\xbf" + plain.replace("\n", "\r\n").encode(), drawn.encode()]


def instances() -> list[bytes]:
    square = [[10.0, 5.0, 20.0, 5.0, 20.0, 20.0, 10.0, 20.0]]
    masks = [square, {"size": [30, 40], "counts": [400, 300, 500]}, {"size": [30, 40], "counts": "`<\\9d?"}]
    document = {
        "images": [{"id": n, "file_name": f"COCO_{n:012d}.jpg", "height": 30, "width": 40} for n in range(3)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 3, "bbox": [10.0, 5.0, 10.0, 15], "segmentation": mask}
            for n, mask in enumerate(masks)
        ],
        "categories": [{"id": 3, "name": "thing"}],
    }
    return [json.dumps(document).encode(), json.dumps(document, indent=1).encode()]


def refs() -> list[bytes]:
    refs = [
        {
            "ref_id": n,
            "ann_id": n,
            "image_id": n,
            "category_id": 3,
            "split": "train",
            "sentences": [{"sent_id": 10 * n, "sent": "the left one", "raw": "The left one", "tokens": ["left"]}],
        }
        for n in range(3)
    ]
    return [pickle.dumps(refs, protocol) for protocol in (0, 2, 4)]


def png() -> list[bytes]:
    return _pictures("PNG", ("RGB", "L", "P", "RGBA", "1", "LA"))


def jpeg() -> list[bytes]:
    return _pictures("JPEG", ("RGB", "L", "CMYK"))


def _pictures(form: str, modes: tuple[str, ...]) -> list[bytes]:
    contents = []
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32, 4), dtype=np.uint8)
    for mode in modes:
        image, buffer = Image.fromarray(pixels).convert(mode), io.BytesIO()
        image.save(buffer, form, progressive=mode == "L")
        contents.append(buffer.getvalue())
    return contents


def stamps() -> list[bytes]:
    """Pictures with and without transparency, also by a palette."""
    return _pictures("PNG", ("RGBA", "LA", "P", "RGB"))


def names() -> list[bytes]:
    return [b"A dog.\nfr.utf8=Un chien.\n", b"A great blue heron (a bird).\nde.utf8=Ein Vogel\n", b""]


def calls() -> list[bytes]:
    contents = []
    for seconds, channels in ((0.3, 1), (1.5, 2)):
        wave = 0.5 * np.sin(np.arange(int(22_050 * seconds)) / 7)
        buffer = io.BytesIO()
        soundfile.write(buffer, np.stack([wave] * channels, 1), 22_050, format="OGG", subtype="VORBIS")
        contents.append(buffer.getvalue())
    return contents


def recordings() -> list[bytes]:
    wave = np.sin(np.arange(2000) / 7)
    contents = []
    for rate, channels, subtype in ((16_000, 1, "PCM_16"), (44_100, 2, "FLOAT"), (8_000, 1, "IMA_ADPCM")):
        buffer = io.BytesIO()
        soundfile.write(buffer, np.stack([wave] * channels, 1), rate, format="WAV", subtype=subtype)
        contents.append(buffer.getvalue())
    return contents


def videos() -> list[bytes]:
    """Half a second of MPEG-4 and AAC, with the index at the end, and at the beginning."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{place}.mp4") for place in ("end", "beginning")]
        _write_video(paths[0], {})
        _write_video(paths[1], {"movflags": "faststart"})
        return [path.read_bytes() for path in paths]


def _write_video(path: Path, options: dict[str, str]) -> None:
    import av

    with av.open(str(path), "w", options=options) as container:
        pictures, sound = container.add_stream("mpeg4", rate=10), container.add_stream("aac", rate=16_000)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 24, "yuv420p"
        for number in range(5):
            image = np.full((24, 32, 3), 50 * number, np.uint8)
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        wave = np.sin(np.arange(8000) / 7).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.sample_rate = 16_000
        for stream, last in ((sound, frame), (sound, None), (pictures, None)):
            container.mux(stream.encode(last))
