"""Damaged files are refused in a sentence, or loaded exactly as written.

A few hundred are tried here, and 10,000 of each kind with `LIFTGRAD_SOAK=1`.
"""

import contextlib
import functools
import json
import os
import random
import warnings

import click
import numpy as np
import pytest
from safetensors.numpy import save_file

pytest.importorskip("sklearn")

from damage import Trial, crafted, cut, flipped, made_up, no_longer_than
from liftgrad import EarlyStopping, Trainer, data, gpt, lift, nn, optim, vmap
from liftgrad.cli import main
from liftgrad.cli.trained_model import read_model
from liftgrad.errors import CheckpointError, NonFiniteLossError
from liftgrad.estimators import LiftClassifier, LiftRegressor, load, packing
from liftgrad.functional import mean
from liftgrad.sealed import seal, unseal
from liftgrad.trainer import checkpoint_file

COUNT = 10_000 if os.environ.get("LIFTGRAD_SOAK") else 60
X = np.random.default_rng(5).normal(size=(40, 2))


@lift
def squared(model, X, y):
    return mean(vmap(lambda x, yi: (model(x)[0] - yi) ** 2)(X, y))


@lift(dtype="float32")
def squared32(model, X, y):
    return mean(vmap(lambda x, yi: (model(x)[0] - yi) ** 2)(X, y))


def in_groups(ps):
    optimizer = optim.SGD([{"params": ps[:5]}, {"params": ps[5:8], "momentum": 0.5}], lr=0.02)
    optimizer.steps = 3
    optimizer.add_param_group({"params": ps[8:], "lr": optim.linear(0.1, 0.01, 30)})
    return optimizer


def fitted(name):
    """Return a model and a trainer in the middle of an epoch, with all that a file may hold."""
    random.seed(3)
    layers = [nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)]
    if name == "dropout":
        layers.insert(2, nn.Dropout(0.5))
    model = nn.Sequential(*layers)
    loss = squared32 if name == "dropout" else squared
    rate = optim.ReduceLROnPlateau(0.01, monitor="loss")
    make = in_groups if name == "groups" else lambda ps: optim.Adam(ps, lr=rate)
    batch_size = None if name == "groups" else 12
    trainer = Trainer(loss, make(model.parameters()), batch_size=batch_size, seed=2)
    rule = EarlyStopping(5, monitor="loss")
    trainer.fit(2, model, X, X[:, 0], early_stopping=rule)
    trainer.run(1, model, X, X[:, 0])
    return model, trainer


def contents(trainer, path):
    """Return everything in a trainer's file, as text to compare."""
    trainer.save(path)
    arrays, entry = unseal(checkpoint_file.KIND, path)
    entry["random now"] = random.getstate()
    return repr({k: (x.dtype, x.tobytes()) for k, x in sorted(arrays.items())}) + json.dumps(entry)


@pytest.mark.parametrize("name", ["plain", "dropout", "groups"])
def test_a_damaged_checkpoint_is_refused_or_holds_what_was_written(name, tmp_path):
    """It never loads as anything else, and a trainer that refused one is unchanged."""
    model, trainer = fitted(name)
    good, path, other = (tmp_path / f"{x}.safetensors" for x in ("good", "bad", "other"))
    trainer.save(good)
    whole = good.read_bytes()
    trainer.fit(1, model, X, X[:, 0])
    before = contents(trainer, other)
    trainer.load(good)
    expected = contents(trainer, other)
    assert expected != before
    rng = random.Random(7)
    trial = Trial(trainer.load, CheckpointError)

    def compared(_):
        return "as it was" if contents(trainer, other) == expected else "other numbers in silence"

    def trained(_):
        with contextlib.suppress(NonFiniteLossError):  # made up numbers may be nan
            trainer.fit(1, model, X, X[:, 0])
        return "made up"

    for i in range(COUNT):
        how = [flipped, cut, crafted][i % 3]
        made = crafted(checkpoint_file.KIND, good, rng) if how is crafted else how(whole, rng)
        trainer.load(good)
        trainer.fit(1, model, X, X[:, 0])
        path.write_bytes(made)
        before = contents(trainer, other)
        outcome = trial.see(f"{how.__name__} {i}", path, trained if how is crafted else compared)
        if outcome == "refused":
            assert contents(trainer, other) == before
    print(name, dict(trial.outcomes))  # noqa: T201, the soak's figures
    assert trial.faults == []
    assert trial.outcomes["refused"] > COUNT // 2


@functools.cache
def models():
    """Return estimators of all that a file may hold, by name."""
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    kinds = ("early", "späte", "x" * 50)
    dates = np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "M8[D]")
    names = np.array(kinds, object)
    quick = {"max_iter": 2, "random_state": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "two": LiftClassifier((3,), **quick).fit(X, y > 0),
            "texts": LiftClassifier((3, 2), early_stopping=True, **quick).fit(X, names[y]),
            "days": LiftClassifier((), activation="tanh", **quick).fit(X, dates[y]),
            "numbers": LiftRegressor((2,), **quick).fit(X.astype(np.float32), X),
        }


def says(estimator):
    """Return everything that an estimator has learned, as text to compare."""
    known = {name: x for name, x in vars(estimator).items() if name != "_model"}
    known["parameters_"] = estimator.parameters_.tobytes()
    outputs = estimator.predict(X), getattr(estimator, "predict_proba", estimator.predict)(X)
    return repr([sorted(known.items()), [(x.dtype, x.tolist()) for x in outputs]])


@pytest.mark.parametrize("name", ["two", "texts", "days", "numbers"])
def test_a_damaged_model_is_refused_or_is_what_was_written(name, tmp_path):
    """It never loads as anything else, and no network is built that does not fit its parameters."""
    estimator = models()[name]
    good, path = tmp_path / "good", tmp_path / "bad"
    estimator.save(good, {"columns": ["p", {"q": [1.5, None]}]})
    whole = good.read_bytes()
    expected = says(load(good))
    rng = random.Random(8)
    trial = Trial(load, ValueError)

    def compared(loaded):
        return "as it was" if says(loaded) == expected else "other numbers in silence"

    def used(loaded):
        with np.errstate(all="ignore"), contextlib.suppress(OverflowError):
            try:
                loaded.predict(X.astype(loaded._dtype))
            except ValueError as error:  # a parameter may be 1e308
                assert "are beyond the range of" in str(error)  # noqa: PT017, one of two ends
        return "made up"

    for i in range(COUNT // 2):
        how = [flipped, cut, crafted][i % 3]
        path.write_bytes(crafted(packing.KIND, good, rng) if how is crafted else how(whole, rng))
        trial.see(f"{how.__name__} {i}", path, used if how is crafted else compared)
    print(name, dict(trial.outcomes))  # noqa: T201, the soak's figures
    assert trial.faults == []
    assert trial.outcomes["refused"] > COUNT // 4


@pytest.mark.parametrize(
    ("field", "x", "words"),
    [
        ("trained", [[500_000], "relu"], "its field 'parameters_' is not of 2,000,001 numbers"),
        ("trained", [[3, 3], "relu"], "features, layers and outputs do not fit"),
        ("trained", [[3], ["relu"]], "damaged model"),
        ("learnt", {"fit": 1}, "its 'n_features_in_' is not there"),
        ("dtype", "float16", "its field 'dtype' is not one of"),
        ("estimator", "Perceptron", "its field 'estimator' is not one of"),
        ("settings", {"metadata_": 1}, "its field 'settings' is not one of"),
        ("settings", {"hidden_layer_sizes": [3], "max_iter": [1]}, "'max_iter' is not a whole"),
        (
            "named",
            {"classes_": {"dtype": "<U999999", "values": ["a"] * 99}},
            "its classes_ are too long",
        ),
        ("named", {"classes_": {"dtype": "i4,i4", "values": [1]}}, "of no type that a model has"),
        ("named", {"classes_": {"dtype": "<i8", "values": [1, 1]}}, "fewer than two or not diff"),
        ("named", {"fit": {"dtype": "<i8", "values": [1, 1]}}, "its field 'named' is not one of"),
    ],
)
def test_a_model_s_fields_are_looked_at_although_its_digest_is_right(field, x, words, tmp_path):
    """No unknown attribute is set, and no memory allocated for impossible sizes."""
    path = tmp_path / "model"
    models()["two"].save(path)
    arrays, entry = unseal(packing.KIND, path)
    if field == "learnt":
        entry["learnt"] = {**entry["learnt"], **x}
        del entry["learnt"]["n_features_in_"]
    else:
        entry[field] = x
    path.write_bytes(seal(packing.KIND, arrays, entry))
    with no_longer_than(2.0), pytest.raises(ValueError, match=words) as caught:
        load(path)
    assert str(caught.value).isprintable()


def test_files_of_before_there_were_digests_are_read(tmp_path):
    """All of their contents are checked; a digest with another name is a damaged one."""
    path = tmp_path / "model"
    estimator = models()["texts"]
    estimator.save(path)
    expected = says(load(path))
    arrays, entry = unseal(packing.KIND, path)
    text = json.dumps(entry)
    save_file(arrays, path, {packing.KIND.entry: text})
    assert says(load(path)) == expected
    save_file(arrays, path, {packing.KIND.entry: text, "liftgrad.digesu": "0" * 64})
    with pytest.raises(ValueError, match="its digest is not that of its contents"):
        load(path)


def test_a_model_of_another_table_is_refused(tmp_path):
    """Whatever `liftgrad predict` is told about a table fits the network or is refused."""
    table = tmp_path / "t.csv"
    rows = [
        f"{x:.3f},{'ab'[i % 2]},{7 if i % 3 else ''},{'yn'[int(x > 0)]}"
        for i, x in enumerate(X[:, 0])
    ]
    table.write_text("x,c,k,y\n" + "\n".join(rows) + "\n")
    good, path = tmp_path / "good", tmp_path / "bad"
    for target in ("y", "x"):
        train = ["train", str(table), "--target", target, "--epochs", "1", "--missing", "mean"]
        with pytest.raises(SystemExit):
            main([*train, "--hidden=3", f"-o{good}", f"--picture={tmp_path / 'p.png'}"])
        whole, (_, entry) = good.read_bytes(), unseal(packing.KIND, good)
        rng = random.Random(11)
        trial = Trial(read_model, (ValueError, click.ClickException))

        def used(read):
            estimator, encoder, _ = read
            with contextlib.suppress(data.TableError), np.errstate(all="ignore"):
                outputs = estimator.predict(encoder.transform(encoder.read(table)))
                assert len(outputs) == len(X)
            return "made up"

        for i in range(COUNT // 2):
            arrays, entry = unseal(packing.KIND, good)
            entry["learnt"]["metadata_"] = made_up(entry["learnt"]["metadata_"], rng)
            path.write_bytes(seal(packing.KIND, arrays, entry))
            trial.see(f"made up {i}", path, used)
        print(dict(trial.outcomes))  # noqa: T201, the soak's figures
        assert trial.faults == []
        assert trial.outcomes["refused"] > COUNT // 4
        assert good.read_bytes() == whole


def test_a_damaged_transformer_is_refused_or_is_what_was_written(tmp_path):
    """Its file never loads as anything else, and loading leaves `random` alone."""
    alphabet = gpt.Alphabet(["añb"])
    model = gpt.GPT(len(alphabet), 4, 2, 3)
    good, path = tmp_path / "good.json", tmp_path / "bad.json"
    gpt.save(model, alphabet, good)
    whole = good.read_bytes()
    state = random.getstate()

    def said(loaded):
        model, alphabet = loaded
        numbers = {name: x.tolist() for name, x in model.state_dict().items()}
        return model.heads, alphabet.characters, numbers

    expected = said(gpt.load(good))
    assert expected == said((model, alphabet))
    rng = random.Random(9)
    trial = Trial(gpt.load, ValueError)

    def compared(loaded):
        return "as it was" if said(loaded) == expected else "other numbers in silence"

    for i in range(COUNT):
        how = [flipped, cut, crafted_json][i % 3]
        path.write_bytes(crafted_json(good, rng) if how is crafted_json else how(whole, rng))
        use = (lambda _: "made up") if how is crafted_json else compared
        trial.see(f"{how.__name__} {i}", path, use)
    print(dict(trial.outcomes))  # noqa: T201, the soak's figures
    assert trial.faults == []
    assert trial.outcomes["refused"] > COUNT // 2
    assert random.getstate() == state


def crafted_json(path, rng):
    """Return a JSON file with fields made up, and the right digest."""
    saved = json.loads(path.read_bytes())
    del saved["digest"]
    saved = made_up(saved, rng)
    return json.dumps({"digest": gpt._digest(saved), **saved}).encode()


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"", "is not a safetensors file"),
        (b"[]", "is not a safetensors file"),
        (b"{" * 50_000, "is not a safetensors file"),
        (b'{"__metadata__":{"liftgrad":1}}', "is not a safetensors file"),
        (b'{"a":{"dtype":"BF16","shape":[0],"data_offsets":[0,0]}}', "is not a safetensors file"),
        (b'{"a":{"dtype":"F64","shape":[-1],"data_offsets":[0,0]}}', "is not a safetensors file"),
        (
            b'{"a":{"dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,0]}}',
            "is not a safe",
        ),
        (b"{}", "no liftgrad trainer wrote"),
        (b'{"__metadata__":{"liftgrad":"[1"}}', "its entry is not what liftgrad writes"),
        (b'{"__metadata__":{"liftgrad":"null"}}', "its entry is not what liftgrad writes"),
        (b'{"__metadata__":{"liftgrad":"' + b"[" * 99_999 + b'"}}', "not what liftgrad writes"),
        (b'{"__metadata__":{"liftgrad":"{\\"version\\":true}"}}', "not what liftgrad writes"),
        (b'{"__metadata__":{"liftgrad":"{\\"version\\":0}"}}', "not what liftgrad writes"),
        (b'{"__metadata__":{"liftgrad":"{\\"version\\":' + b"9" * 5000 + b'}"}}', "not what lift"),
        (
            b'{"__metadata__":{"liftgrad":"{\\"version\\":' + b"9" * 99 + b'}"}}',
            r"9\.\.\., known is 2",
        ),
        (b'{"__metadata__":{"liftgrad":"{\\"version\\":1}"}}', "its 'steps' is not there"),
    ],
)
def test_whatever_a_header_says_one_error_comes_of_it(header, words, tmp_path):
    """Even if safetensors did not write the file."""
    path = tmp_path / "run.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    _, trainer = fitted("plain")
    with pytest.raises(CheckpointError, match=words) as caught:
        trainer.load(path)
    assert len(str(caught.value)) < len(str(path)) + 200


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="it becomes another")
@pytest.mark.process
def test_a_file_that_must_not_be_read_is_not_called_missing(folder_of_all):
    """The sentence says what to do."""
    path = folder_of_all / "private"
    path.write_bytes(b"secret")
    path.chmod(0o600)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.setuid(12345)
        try:
            unseal(checkpoint_file.KIND, path)
        except PermissionError as error:
            os.write(write, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with open(read) as said:  # noqa: PTH123, it is a descriptor
        assert said.read() == f"'{path}' cannot be read; change its permissions."


def resaved(trainer, path, **fields):
    """Write a trainer's file with other fields, or without those that are None, and its digest."""
    trainer.save(path)
    arrays, entry = unseal(checkpoint_file.KIND, path)
    for name, x in fields.items():
        if name in arrays:
            arrays[name] = np.asarray(x)
        else:
            entry[name] = x
    path.write_bytes(seal(checkpoint_file.KIND, arrays, entry))


@pytest.mark.parametrize(
    ("field", "x", "words"),
    [
        ("order", [0, 40], "its order names rows that 40 rows do not have"),
        ("order", [-1], "its order names rows that 40 rows do not have"),
        ("order", [1, 1], "its order names a row twice"),
        ("order", [0.0, 1.0], "its order is not a row of whole numbers"),
        ("parameters", np.zeros(4), "its field 'parameters' is not of 17 numbers"),
        ("parameters", np.zeros((1, 17)), "its field 'parameters' is not a row of floats"),
        ("state.mean", np.zeros(17, np.int64), "its field 'state.mean' is not a row of floats"),
        ("steps", -1, "its field 'steps' is not a whole number from 0 to"),
        ("steps", 2.0, "its field 'steps' is not a whole number"),
        ("began", [9], "its field 'began.0.' is not a whole number from 0 to 9"),
        ("rows", None, "its field 'rows' is not a whole number"),
        ("random", {"bit_generator": "MT19937"}, "damaged checkpoint"),
        ("columns", ["loss", "loss"], "it has arrays that no trainer writes"),
        ("draws", [3, [1, 2], None], "damaged checkpoint"),
        ("best", {"monitored": 1}, "its field 'best.monitored' is not a text"),
        ("is", {"the loss": "\n" * 99}, r"the loss was \\n\\n.*\.\.\. and is squared"),
    ],
)
def test_a_checkpoint_s_fields_are_looked_at_although_its_digest_is_right(
    field, x, words, tmp_path
):
    """Before anything is changed: otherwise memory outside of the data would be read."""
    _, trainer = fitted("plain")
    if isinstance(x, list) and field == "began":
        x = [trainer.optimizer.steps + 1]
        words = words.replace("9", str(trainer.optimizer.steps))
    path = tmp_path / "run.safetensors"
    before = contents(trainer, path)
    resaved(trainer, path, **{field: x})
    with pytest.raises(CheckpointError, match=words) as caught:
        trainer.load(path)
    assert str(caught.value).isprintable()
    assert contents(trainer, path) == before


@pytest.mark.parametrize("field", ["parameters", "state.mean", "best.parameters"])
def test_numbers_beyond_float32_are_refused_where_it_is_trained_in(field, tmp_path):
    """They would become infinite."""
    _, trainer = fitted("dropout")
    path = tmp_path / "run.safetensors"
    resaved(trainer, path, **{field: np.full(17, 1e39)})
    with pytest.raises(CheckpointError, match=f"its {field} are beyond float32"):
        trainer.load(path)
