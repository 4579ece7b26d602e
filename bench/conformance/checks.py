"""The checks: each is a function that fails with a message if a method does not satisfy it.

A check is a function of a `Subject`. It raises AssertionError if it does not hold, and returns a reason if it does not
apply to the method. Its docstring says what holds.
"""

from __future__ import annotations

import copy
import inspect
import json
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor
from torch.testing import assert_close

from bench.config import validate
from bench.config.recipe import PER_METHOD
from bench.conformance.models import THREE, loss, perturb, tiny_inputs, tiny_model
from bench.conformance.subject import Subject, assert_finite, assert_outputs, check_saving, train
from bench.errors import BenchError, UsageError
from bench.methods.cola import CrossModal
from bench.methods.parameter_groups import checked_groups

_SHARE = 0.8  # of the trained parameters must have changed; the biases of keys never do, under a softmax
_EPS_BFLOAT16 = 2**-8


Check: TypeAlias = Callable[[Subject], "str | None"]


def describes_itself(subject: Subject) -> str | None:
    """It has a docstring, settings that JSON can hold, and a search space over settings that exist."""
    method = subject.method()
    text = inspect.getdoc(type(method)) or ""
    generated = f"{type(method).__name__}("  # by @dataclass
    assert text and not text.startswith(generated), "the class has no docstring"
    settings = method.to_config()
    assert json.loads(json.dumps(settings)).keys() == settings.keys()
    unknown = [name for name in method.search if name not in {*validate.hints(type(method)), *PER_METHOD}]
    assert not unknown, f"search names {', '.join(unknown)}, which is no setting of the method"
    return None


def attaches(subject: Subject) -> str | None:
    """`attach` adapts two tiny streams, of images and of sounds."""
    subject.attached(tiny_model())
    return None


def starts_as_frozen(subject: Subject) -> str | None:
    """Attached and not yet trained, the model computes what the frozen model computes."""
    if not subject.method().starts_as_frozen:
        return "the method declares starts_as_frozen = False"
    model = tiny_model()
    inputs = tiny_inputs(model)
    expected = model(inputs)
    subject.attached(model)
    assert_outputs(model(inputs), expected)
    return None


def trains_what_it_names(subject: Subject) -> str | None:
    """Training changes the parameters that `adapter_names` names, and no others."""
    model = tiny_model(dtype=torch.float64)  # in which a small update is not rounded away
    method = subject.attached(model)
    model.double()
    names = set(method.adapter_names(model))
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert names == trainable, f"adapter_names differs from the trainable parameters by {sorted(names ^ trainable)[:5]}"
    perturb(model)
    initial = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train(method, model)
    buffers = {name for name, _ in model.named_buffers()}
    changed = {
        name
        for name, tensor in model.state_dict().items()
        if name not in buffers and not torch.equal(tensor, initial[name])
    }
    assert changed <= names, f"training changes {sorted(changed - names)[:5]}, which adapter_names does not name"
    assert len(changed) >= _SHARE * len(names), f"training does not change {sorted(names - changed)[:5]}"
    assert method.active_parameters() <= sum(model.get_parameter(name).numel() for name in names)
    return None


def says_if_it_reads_partners(subject: Subject) -> str | None:
    """Streams read each other if the method declares reads_partners = True, and only then."""
    model = tiny_model()
    declared = subject.attached(model).reads_partners
    verb = "read" if model.reads_partners else "do not read"
    assert model.reads_partners == declared, f"streams {verb} each other, but reads_partners is {declared}"
    return None


def groups_its_parameters(subject: Subject) -> str | None:
    """Its parameter groups name trained parameters, each in one group, with rates and decays of at least 0."""
    model = tiny_model()
    method = subject.attached(model)
    try:
        groups = checked_groups(method, model)
    except BenchError as error:
        raise AssertionError(str(error)) from error
    return None if groups else "the method has no parameter groups"


def adds_a_finite_term(subject: Subject) -> str | None:
    """The term that `loss` adds to the task's loss is one finite number at every step."""
    model = tiny_model()
    method = subject.attached(model)
    terms = [term for term in train(method, model) if term is not None]
    for term in terms:
        assert term.numel() == 1 and term.isfinite().all(), f"loss returns {term.tolist()}"
    return None if terms else "the method adds no term to the loss"


def restores_what_it_saved(subject: Subject) -> str | None:
    """What `save` wrote, `load` reads into a fresh model, with the same outputs; tensors only as safetensors."""
    check_saving(subject)
    return None


def opens_in_peft(subject: Subject) -> str | None:
    """PEFT's own `from_pretrained` opens its part on the plain encoder, if the method says so."""
    from peft import PeftModel

    model = tiny_model()
    plain = {name: copy.deepcopy(stream.encoder) for name, stream in model.streams.items()}
    inputs = tiny_inputs(model)
    method = subject.attached(model)
    perturb(model)
    train(method, model)
    with tempfile.TemporaryDirectory() as scratch:
        method.save(Path(scratch))
        folders = sorted(name for name in plain if (Path(scratch) / name / "adapter_config.json").is_file())
        if not method.opens_in_peft:
            return "the method declares opens_in_peft = False"
        assert folders, "save wrote no adapter_config.json for any stream"
        model.eval()
        for name in folders:
            opened = PeftModel.from_pretrained(plain[name].eval(), Path(scratch) / name)
            by_itself = model.streams[name](inputs[name])  # the intra-modal path only
            assert_close(opened(inputs[name]).last_hidden_state, by_itself, rtol=1e-5, atol=1e-5)
    return None


def merges(subject: Subject) -> str | None:
    """Merging, once or twice, keeps the outputs; unmerging restores the weights bit for bit."""
    model = tiny_model()
    inputs = tiny_inputs(model)
    method = subject.attached(model)
    perturb(model)
    model.eval()
    expected = model(inputs)
    initial = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    merged = method.merge()
    assert merged == method.merges, f"merge returns {merged}, but the method declares merges = {method.merges}"
    method.merge()
    assert_outputs(model(inputs), expected)
    method.unmerge()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, initial[name]), f"{name} is not restored by unmerge"
    assert_outputs(model(inputs), expected)
    return None if merged else "the method declares merges = False"


def survives_checkpointing(subject: Subject) -> str | None:
    """Gradient checkpointing gives the same gradients."""
    model = tiny_model(dtype=torch.float64)
    inputs = tiny_inputs(model)
    subject.attached(model)
    model.double()  # PEFT makes some of its matrices in float32
    perturb(model)
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not trainable:
        return "nothing is trained in the streams"
    gradients = []
    for checkpointing in (False, True):
        model.gradient_checkpointing = checkpointing
        gradients.append(torch.autograd.grad(loss(model(inputs)), list(trainable.values()), allow_unused=True))
    assert any(gradient is not None and gradient.any() for gradient in gradients[0]), "all gradients are 0"
    for name, plain, recomputed in zip(trainable, *gradients, strict=True):
        assert (plain is None) == (recomputed is None), f"{name} has a gradient in one of the two only"
        if plain is not None:
            assert_close(recomputed, plain, rtol=1e-10, atol=1e-10, msg=partial("{}: {}".format, name))
    return None


def agrees_in_bfloat16(subject: Subject) -> str | None:
    """bfloat16 gives the same outputs up to its rounding."""
    model = tiny_model()
    inputs = tiny_inputs(model)
    subject.attached(model)
    perturb(model)
    model.eval()
    expected = model(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        actual = model(inputs)
    for name, tokens in actual.items():
        assert_finite(name, tokens)
        error = ((tokens.float() - expected[name]).norm() / expected[name].norm()).item()
        limit = 10 * _EPS_BFLOAT16  # about ten roundings add up
        assert error < limit, f"{name} differs by {error:.3g} of its norm, which is over {limit:.3g}"
    return None


def adapts_three_streams(subject: Subject) -> str | None:
    """Three streams of different depths, one of texts with padding, keep their numbers of tokens and their masks.

    There is a text for each image and sound, and then one for two of them.
    """
    model = tiny_model(THREE)
    inputs = tiny_inputs(model, batch=4)
    cases = [(inputs, 1), (_with_fewer_texts(inputs, 2), 2)]
    expected = [(model(x, frames=frames), model.masks(x)) for x, frames in cases]
    special = {name: stream.special for name, stream in model.streams.items()}
    subject.attached(model)
    perturb(model)
    for (x, frames), (states, masks) in zip(cases, expected, strict=True):
        for name, tokens in model(x, frames=frames).items():
            assert tokens.shape == states[name].shape, f"{name} has the shape {tuple(tokens.shape)}"
            assert_finite(name, tokens)
            assert model.streams[name].special == special[name], f"special of {name} has changed"
        for name, mask in model.masks(x).items():
            assert torch.equal(mask, masks[name]), f"the mask of {name} has changed"
    return None


def ignores_padding(subject: Subject) -> str | None:
    """Longer padding changes no output at tokens that are not padding."""
    model = tiny_model(THREE, torch.float64)
    inputs = tiny_inputs(model)
    subject.attached(model)
    model.double()
    perturb(model)
    model.eval()
    expected = model(inputs)
    real = inputs["text"] != 0
    shorter = {**inputs, "text": inputs["text"][:, : int(real.sum(1).max())]}
    assert shorter["text"].shape[1] < inputs["text"].shape[1]
    actual = model(shorter)
    real_in_shorter = real[:, : shorter["text"].shape[1]]
    expected["text"], actual["text"] = expected["text"][real], actual["text"][real_in_shorter]
    assert_outputs(actual, expected, tolerance=1e-9)
    return None


def separates_samples(subject: Subject) -> str | None:
    """A sample's outputs depend on its own inputs, all T of them at most, and on no other sample of the batch."""
    model = tiny_model(THREE, torch.float64)
    subject.attached(model)
    model.double()
    perturb(model)
    model.eval()
    inputs, replacements = (tiny_inputs(model, batch=4, seed=seed) for seed in (1, 2))
    for frames, texts in ((1, 1), (2, 2), (2, 1)):  # of a sample
        count = {name: texts if name == "text" else frames for name in inputs}
        if texts < frames:
            inputs, replacements = (_with_fewer_texts(x, frames) for x in (inputs, replacements))
        mixed = {name: torch.cat([x[: count[name]], replacements[name][count[name] :]]) for name, x in inputs.items()}
        first, second = (
            {name: y[: count[name]] for name, y in model(x, frames=frames).items()} for x in (inputs, mixed)
        )
        assert_outputs(second, first, tolerance=1e-9)
    return None


def grows_with_its_size(subject: Subject) -> str | None:
    """Each size setting, which `--budget` changes, changes how many parameters are trained."""
    method = subject.method()
    if not method.size_settings:
        return "the method has one size"
    for setting in method.size_settings:
        counts: set[int] = set()
        failure: Exception | None = None
        for value in (1, 2, 4, 8, 16, 32):
            changed = {**subject.settings, **method.with_size(setting, value)}
            model = tiny_model()
            try:
                sized = Subject(subject.name, changed).attached(model)
            except Exception as error:  # some values only are possible, such as divisors of the widths
                failure = error
                continue
            counts.add(sum(model.get_parameter(name).numel() for name in sized.adapter_names(model)))
            if len(counts) > 1:
                break
        if failure and not counts:
            raise failure
        assert len(counts) > 1, f"{setting} does not change the number of trained parameters"
    return None


def trains_beside_cola(subject: Subject) -> str | None:
    """With CoLA's path beside it, as cola+<name>, both are trained, saved and loaded."""
    if isinstance(subject.method(), CrossModal):
        return "the method has CoLA's path already"
    if subject.name.startswith("cola+"):
        return "cola+<name> takes registered methods"
    try:
        subject.method("cola+")
    except UsageError as error:
        return str(error)
    model = tiny_model(dtype=torch.float64)
    method = subject.attached(model, "cola+")
    model.double()
    names = set(method.adapter_names(model))
    intra_model = tiny_model()
    intra = set(subject.attached(intra_model).adapter_names(intra_model))
    assert intra <= names, f"beside CoLA's path, {sorted(intra - names)[:5]} is no longer trained"
    assert names - intra, "CoLA's path trains nothing"
    perturb(model)
    initial = {name: model.get_parameter(name).detach().clone() for name in names}
    train(method, model)
    changed = {name for name in names if not torch.equal(model.get_parameter(name), initial[name])}
    for part, members in ((subject.name, intra), ("CoLA's path", names - intra)):
        assert len(changed & members) >= _SHARE * len(members), f"training does not change all of {part}"
    check_saving(subject, "cola+")
    return None


def _with_fewer_texts(inputs: Mapping[str, Tensor], frames: int) -> dict[str, Tensor]:
    """Return inputs of three streams with one text for each sample of `frames` images and sounds."""
    return {**inputs, "text": inputs["text"][::frames]}


CHECKS: tuple[Check, ...] = (
    describes_itself,
    attaches,
    starts_as_frozen,
    trains_what_it_names,
    says_if_it_reads_partners,
    groups_its_parameters,
    adds_a_finite_term,
    restores_what_it_saved,
    opens_in_peft,
    merges,
    survives_checkpointing,
    agrees_in_bfloat16,
    adapts_three_streams,
    ignores_padding,
    separates_samples,
    grows_with_its_size,
    trains_beside_cola,
)
