from __future__ import annotations

import collections
import copyreg
import pickle
import struct
import subprocess
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refer_files import python2_pickle, ref

from bench.datasets import refer_pickle
from bench.errors import DataError

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture
def load(tmp_path):
    path = tmp_path / "refs(unc).p"

    def of(data: bytes):
        path.write_bytes(data)
        return refer_pickle.load(path)

    return of


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(refs=st.lists(st.dictionaries(st.text(), plain, max_size=5), max_size=5), protocol=st.integers(0, 5))
def test_pickles_of_python_3_are_read(load, refs, protocol):
    assert load(pickle.dumps(refs, protocol)) == refs


def test_reads_frames_and_tuples(load):
    refs = [{"text": "x" * 50_000, "pair": (number, (1, 2, 3), (), (1,), (1, 2, 3, 4))} for number in range(20)]
    assert load(pickle.dumps(refs, 4)) == refs


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_pickles_of_python_2_are_read(load, protocol):
    sents = (b"caf\xc3\xa9", b"caf\xe9 au lait", b'it\'s "left"\\', b"\xe9" * 300, b"")
    (read,) = load(python2_pickle([ref(7, sents=sents, large=2**40, share=0.5, crowd=False, name="ü")], protocol))
    sentences = [sentence["sent"] for sentence in read["sentences"]]
    assert sentences == ["café", "café au lait", 'it\'s "left"\\', "é" * 300, ""]
    assert (read["ref_id"], read["large"], read["share"], read["crowd"], read["name"]) == (7, 2**40, 0.5, False, "ü")
    assert all(type(key) is str for key in read)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(refs=st.lists(st.dictionaries(st.text(), plain, max_size=4), max_size=4), protocol=st.integers(0, 2))
def test_reads_anything_that_python_2_wrote(load, refs, protocol):
    joined = pickle.loads(python2_pickle(refs, protocol))  # the standard unpickler, as a witness
    assert load(python2_pickle(refs, protocol)) == joined


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("harm", "name"),
    [
        (Calls(exec, "open('harm', 'w')"), "(__builtin__|builtins).exec"),
        (Calls(subprocess.call, ["touch", "harm"]), "(commands|subprocess).call"),
        (Calls(getattr, "", "join"), "(__builtin__|builtins).getattr"),
        (np.arange(3), r"numpy\.\S*(_reconstruct|_frombuffer)"),
        (np.int64(3), r"numpy\.\S*scalar"),
        (collections.OrderedDict(a=1), "collections.OrderedDict"),
        (set, "(__builtin__|builtins).set"),
        (object(), "(copy_reg._reconstructor|__builtin__.object|builtins.object)"),
    ],
)
def test_classes_and_functions_are_refused_by_name(load, tmp_path, monkeypatch, harm, name, protocol):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"refs\(unc\)\.p: refers to {name}"):
        load(pickle.dumps([{"ref_id": harm}], protocol))
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"cos\nsystem\n(S'touch harm'\ntR.", "refers to os.system"),
        (b"(S'touch harm'\nios\nsystem\n.", "refers to os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0atouch harm\x85R.", "refers to os.system"),
        (b"(cos\nsystem\nS'touch harm'\no.", "refers to os.system"),
        (b"c__builtin__\neval\n(S'1'\ntR.", "refers to __builtin__.eval"),
        (b"\x80\x04\x8c\x02\x1b[\x8c\x01\x07\x93.", r"refers to \\x1b\[\.\\x07"),
        (b"c" + b"m" * 100_000 + b"\nf\n.", "refers to m{80}.f, "),
        (b"Psome id\n.", "instruction PERSID"),
        (b"N\x51.", "instruction BINPERSID"),
        (b"\x82\x01.", "instruction EXT1"),
        (b"\x83\x01\x00.", "instruction EXT2"),
        (b"\x84\x01\x00\x00\x00.", "instruction EXT4"),
        (b"](lR.", "instruction REDUCE"),
        (b"]]b.", "instruction BUILD"),
        (b"])\x81.", "instruction NEWOBJ"),
        (b"])}\x92.", "instruction NEWOBJ_EX"),
        (b"(]o.", "instruction OBJ"),
        (b"C\x01a.", "instruction SHORT_BINBYTES"),
        (b"\x8f.", "instruction EMPTY_SET"),
        (b"\x97.", "instruction NEXT_BUFFER"),
        (b"\xff.", "instruction 0xff"),
    ],
)
def test_instructions_that_could_do_something_are_refused_by_name(load, tmp_path, monkeypatch, data, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=name) as caught:
        load(data)
    assert not (tmp_path / "harm").exists() and len(str(caught.value)) < 600


def test_an_extension_that_the_process_knows_is_refused(load):
    class Known:
        pass

    copyreg.add_extension("some.module", "Known", 77)
    copyreg._extension_cache[77] = Known
    try:
        with pytest.raises(DataError, match="instruction EXT1"):
            load(b"](\x82Me.")
    finally:
        copyreg.remove_extension("some.module", "Known", 77)
        copyreg._extension_cache.pop(77, None)


@pytest.mark.parametrize("depth", [20, 10_000, 200_000])
@pytest.mark.parametrize(
    ("before", "around", "after"),
    [(b"", b"]", b"a"), (b"", b"(", b"l"), (b"]", b"", b"\x85"), (b"", b"}X\x01\x00\x00\x00k", b"s")],
)
def test_deep_nesting_is_refused(load, before, around, after, depth):
    inner = b"" if before else b"N"
    with pytest.raises(DataError, match="nests lists or dicts more than 16 deep"):
        load(b"](" + before + around * depth + inner + after * depth + b"e.")


def test_only_text_may_be_a_key(load):
    deep_tuple = b")" + b"\x85" * 200_000
    for data in (b"(" + deep_tuple + b"Nd.", b"}(" + deep_tuple + b"Nu.", b"}" + deep_tuple + b"Ns.", b"}I1\nNs."):
        with pytest.raises(DataError, match="a key that is not text"):
            load(data)


@pytest.mark.parametrize(
    "data",
    [
        b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (n, n, n + 1) for n in range(100)) + b".",
        b"]q\x00" + b"".join(b"(h%ch%ctq%c" % (n, n, n + 1) for n in range(100)) + b".",
        b"](](" + b"N" * 1000 + b"eq\x01" + b"h\x01" * 1000 + b"e.",
        b"]q\x00h\x00a.",  # a list in itself
    ],
)
def test_lists_that_grow_by_reference_are_refused(load, data):
    with pytest.raises(DataError, match="the same lists over and over"):
        load(data)


def test_a_ref_in_itself_is_refused(load):
    refs: list = [{}]
    refs[0]["sentences"] = refs
    with pytest.raises(DataError, match="16 deep"):
        load(pickle.dumps(refs, 2))


def test_lists_shared_a_few_times_are_read(load):
    tokens = ["the", "left", "one"]
    refs = [{"ref_id": number, "tokens": tokens} for number in range(3)]
    assert load(pickle.dumps(refs, 2)) == refs


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_truncated_file_is_refused(load, protocol):
    whole = pickle.dumps([{"ref_id": 1, "sent": "a dog", "wide": 2**40, "half": 0.5, "tokens": ["a", "dog"]}], protocol)
    for length in range(len(whole)):
        with pytest.raises(DataError, match=r"refs\(unc\)\.p"):
            load(whole[:length])


@pytest.mark.parametrize("more", [b"\n", b".", b"cos\nsystem\n", pickle.dumps([])])
def test_bytes_after_the_end_are_refused(load, more):
    with pytest.raises(DataError, match="has data after its end"):
        load(pickle.dumps([{}], 4) + more)


@pytest.mark.parametrize("data", [b"N.", b"(d.", b"(lI1\na.", b"V" + b"x" * 10_000 + b"\n."])
def test_anything_but_a_list_of_dicts_is_refused(load, data):
    with pytest.raises(DataError, match="expected a list of dicts") as caught:
        load(data)
    assert len(str(caught.value)) < 300


huge = struct.pack("<Q", 2**62)


@pytest.mark.parametrize(
    "data",
    [
        b"\x8d" + huge + b"x.",  # BINUNICODE8
        b"\x8e" + huge + b"x.",  # BINBYTES8
        b"\x96" + huge + b"x.",  # BYTEARRAY8
        b"X\xff\xff\xff\xffx.",  # BINUNICODE
        b"T\xff\xff\xff\x7fx.",  # BINSTRING
        b"\x8b\xff\xff\xff\x7fx.",  # LONG4
        b"\x8b\xff\xff\xff\xffx.",
        b"\x95" + huge + b"N.",  # FRAME
        b"]r\xff\xff\xff\xffK\x01.",  # LONG_BINPUT
        b"]p" + b"9" * 5000 + b"\n.",
        b"]I" + b"9" * 5000 + b"\na.",
        b"](\x8a\xff" + b"\x7f" * 255 + b"e.",  # LONG1
        b"](F" + b"9" * 100_000 + b"x\ne.",
        b"](S" + b"9" * 100_000 + b"\ne.",
    ],
)
def test_huge_numbers_cost_nothing(load, data):
    tracemalloc.start()
    started = time.perf_counter()
    try:
        with pytest.raises(DataError) as caught:
            load(data)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - started < 2 and len(str(caught.value)) < 500


@pytest.mark.parametrize("number", [2**64, -(2**64), 10**6000], ids=["above", "below", "huge"])
def test_numbers_beyond_64_bits_are_refused(load, number):
    with pytest.raises(DataError, match="more than 64 bits"):
        load(pickle.dumps([{"ref_id": 2**64 - 1, "sentences": [{"sent_id": number}]}], 2))


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "refs(unc).p").open("wb") as file:
        file.truncate(refer_pickle.MAX_BYTES + 1)
    with pytest.raises(DataError, match="more than the"):
        refer_pickle.load(tmp_path / "refs(unc).p")


def test_no_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no\.p: the file is missing"):
        refer_pickle.load(tmp_path / "no.p")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(data=st.data())
def test_any_damage_is_read_or_refused(load, data):
    whole = bytearray(pickle.dumps([{"ref_id": 1, "tokens": ["a", (2, 3.0)]}] * 2, data.draw(st.integers(0, 4))))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(load(bytes(whole)), list)
    except DataError as error:
        assert "refs(unc).p" in str(error)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(data=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(load, data):
    try:
        load(data)
    except DataError as error:
        assert "refs(unc).p" in str(error)


@pytest.mark.parametrize(
    "part",
    [
        b"}",
        b"]",
        b"(",
        b"\x85",
        b"}\x94",
        b"M\xff\xff",
        b"U\x02ab",
        b"U\x02ab\x94",
        b"}U\x01aNs",
        b"]Na",
        b"N\x85",
        b"N",
    ],
)
def test_reading_stays_within_the_memory_limit(load, monkeypatch, part):
    """Megabytes of one instruction, which makes many times their size, with as much less room than in earnest."""
    monkeypatch.setattr(refer_pickle, "MAX_MEMORY", refer_pickle.MAX_MEMORY // 64)
    content = b"\x80\x04](" + (b")" if part == b"\x85" else b"")
    content += part * ((refer_pickle.MAX_BYTES // 64 - len(content)) // len(part)) + b"e."
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more values than fit in the memory allowed"):
            load(content)
        assert tracemalloc.get_traced_memory()[1] < refer_pickle.MAX_MEMORY
    finally:
        tracemalloc.stop()


def test_a_file_as_large_as_the_releases_has_room(load, monkeypatch):
    """RefCOCO has 50,000 refs with 142,000 sentences in the oldest protocol; here a hundredth, and of the room too."""
    monkeypatch.setattr(refer_pickle, "MAX_MEMORY", refer_pickle.MAX_MEMORY // 100)
    refs = [
        {
            **{"ref_id": number, "ann_id": 10**6 + number, "image_id": 5 * 10**5 + number, "category_id": number % 90},
            **{"file_name": f"COCO_train2014_{number:012d}_{number}.jpg", "split": "train"},
            "sent_ids": [3 * number + place for place in range(3)],
            "sentences": [
                {
                    "sent_id": 3 * number + place,
                    **{"sent": f"the red one at {number}", "raw": f"the red one at {number} "},
                    "tokens": [f"word{number}", f"another{place}{number}", f"one{number}"],
                }
                for place in range(3)
            ],
        }
        for number in range(500)
    ]
    assert load(pickle.dumps(refs, 0)) == refs
