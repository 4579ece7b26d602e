"""Videos whose frames and sound encode their time: by a bar code, and by a tone that rises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

_BITS, _BAR = 11, 16  # of a frame's bar code, one more for each bit's height; pixels of each bar
_CLOCK = 100  # ticks a second in the bar code
_LOWEST, _RISE = 500.0, 400.0  # Hz of the tone at 0 s, and Hz that it rises a second


@dataclass
class Video:
    """The description of a video.

    Attributes:
        frames: when each frame is presented, in seconds on the timeline of the finished video.
        sound: from when to when there is sound, in seconds likewise.
        silent: from when to when there is none within it.
        late: seconds that the whole file begins after its clock's zero; below zero for an edit list that leaves out
            what comes before.
        b_frames: how many in a row.
        rate: samples a second.
        frame_clock: ticks a second of the frames' times.
    """

    frames: Sequence[float]
    sound: tuple[float, float] = (0, 10)
    silent: tuple[float, float] = (0, 0)
    late: float = 0
    b_frames: int = 0
    rate: int = 44_100
    frame_clock: int = 1000

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as container:
            options = {"bf": str(self.b_frames), "g": "30", "preset": "veryfast"}
            pictures = container.add_stream("libx264", rate=25, options=options)
            pictures.width, pictures.height, pictures.pix_fmt = _BITS * _BAR, 32, "yuv420p"
            clock = Fraction(1, self.frame_clock)
            pictures.time_base = pictures.codec_context.time_base = clock
            sound = container.add_stream("aac", rate=self.rate, layout="mono")
            for seconds in self.frames:
                frame = av.VideoFrame.from_ndarray(_bar_code(seconds))
                frame.pts, frame.time_base = round((seconds - min(self.late, 0)) / clock), clock
                self._mux(container, pictures.encode(frame))
            self._mux(container, pictures.encode(None))
            times = np.arange(round(self.sound[0] * self.rate), round(self.sound[1] * self.rate)) / self.rate
            wave = av.AudioFrame.from_ndarray(_tone(times)[None], format="fltp", layout="mono")
            wave.sample_rate, wave.time_base = self.rate, Fraction(1, self.rate)
            wave.pts = round((self.sound[0] - min(self.late, 0)) * self.rate)
            self._mux(container, [*sound.encode(wave), *sound.encode(None)])

    def _mux(self, container: av.container.OutputContainer, packets: Sequence[av.Packet]) -> None:
        """Mux packets, shifted; an edit list leaves out those before zero."""
        for packet in packets:
            seconds = packet.pts * packet.time_base + min(self.late, 0)
            if packet.stream.type == "audio" and self.silent[0] <= seconds < self.silent[1]:
                continue
            shift = round((max(self.late, 0) + min(self.late, 0)) / packet.time_base)
            packet.pts += shift
            packet.dts += shift
            container.mux(packet)


def _bar_code(seconds: float) -> NDArray[np.uint8]:
    """Return a frame (32, width, 3) that says when it is presented; at negative times, 20 s are added."""
    ticks = round((seconds if seconds >= 0 else seconds + 20) * _CLOCK)
    bits = [255 * (ticks >> place & 1) for place in range(_BITS)]
    return np.broadcast_to(np.repeat(np.array(bits, np.uint8), _BAR)[None, :, None], (32, _BITS * _BAR, 3)).copy()


def shown(frame: NDArray[np.uint8]) -> float:
    """Return the time that a frame (3, height, width) of any size encodes, in seconds."""
    columns = np.linspace(0, frame.shape[2], _BITS, endpoint=False) + frame.shape[2] / _BITS / 2
    bits = frame[:, frame.shape[1] // 2, columns.astype(int)].mean(axis=0) > 127
    return float((bits * 2 ** np.arange(_BITS)).sum()) / _CLOCK


def _tone(times: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the sound at these times, whose pitch encodes them."""
    return (0.5 * np.sin(2 * np.pi * (_LOWEST * times + _RISE * times**2 / 2))).astype(np.float32)


def sound_at(wave: NDArray[np.float32], rate: int, at: float) -> float | None:
    """Return the time that the sound at a position of a recording encodes, in seconds; None if it is silent."""
    middle, half = round(at * rate), rate // 25
    piece = wave[middle - half : middle + half]
    if np.abs(piece).max() < 0.01:
        return None
    spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 16 * len(piece)))
    return float((spectrum.argmax() * rate / (16 * len(piece)) - _LOWEST) / _RISE)
