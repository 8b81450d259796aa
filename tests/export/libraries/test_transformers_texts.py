"""Networks for texts by their folder: what is exported predicts what transformers predicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from ptx.export import TrainedModel, describe, export
from ptx.export.libraries import load_library_model
from ptx.infer import InputError, UsageError, load, read_artifact
from ptx.infer.backends import Options, open_backend
from ptx.infer.predictor import Predictor
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.preprocessing.tokens import pack_tokenizer
from ptx.infer.replay import replay
from ptx.infer.signature import Signature

from ...infer.preprocessing.tiny_tokenizers import byte_pairs, odd_texts, word_piece

transformers = pytest.importorskip("transformers")

LABELS = ("negative", "neutral", "positive")
LONGEST = 24  # tokens
TEXTS = (
    "the film was good",
    "Not good. NOT.",
    "你好 👍",
    "a film " * 50,
)
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
NAMES = {"id2label": dict(enumerate(LABELS)), "initializer_range": 0.5}


def save_bert(folder: Path, **options: Any) -> None:
    tokenizer = transformers.BertTokenizer(
        tokenizer_object=word_piece(), model_max_length=LONGEST, padding_side="right"
    )
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        intermediate_size=32,
        max_position_embeddings=LONGEST,
        **{**SIZES, **NAMES, **options},
    )
    _save(folder, transformers.BertForSequenceClassification(config), tokenizer)


def save_distilbert(folder: Path) -> None:
    tokenizer = _generic(word_piece(), cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]")
    config = transformers.DistilBertConfig(
        vocab_size=len(tokenizer),
        dim=16,
        n_layers=1,
        n_heads=2,
        hidden_dim=32,
        max_position_embeddings=LONGEST,
        **NAMES,
    )
    _save(folder, transformers.DistilBertForSequenceClassification(config), tokenizer)


def save_roberta(folder: Path) -> None:
    tokenizer = _generic(byte_pairs(), cls_token="<s>", sep_token="</s>", pad_token="<pad>")
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer),
        intermediate_size=32,
        max_position_embeddings=LONGEST + 2,
        pad_token_id=1,
        type_vocab_size=1,
        **SIZES,
        **NAMES,
    )
    _save(folder, transformers.RobertaForSequenceClassification(config), tokenizer)


def _generic(tokenizer: Any, **tokens: str) -> Any:
    """Without a maximum length, so that the network's applies."""
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **tokens)


def _save(folder: Path, network: Any, tokenizer: Any) -> None:
    network.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


FAMILIES: dict[str, Callable[[Path], None]] = {
    "bert": save_bert,
    "distilbert": save_distilbert,
    "roberta": save_roberta,
}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@dataclass(frozen=True)
class Saved:
    """A folder, and its network ready for every format: the reference runs once."""

    folder: Path
    trained: TrainedModel


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Saved]:
    @cache
    def save(family: str) -> Saved:
        folder = tmp_path_factory.mktemp(family)
        FAMILIES[family](folder)
        model = load_library_model(f"hf:{folder}")
        return Saved(folder, describe(model.network, **model.spec))

    return save


def expected_scores(folder: Path, text: str) -> Any:
    """As transformers documents it: its tokenizer with truncation, its network, a softmax."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    network = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    inputs = tokenizer(text, truncation=True, max_length=LONGEST, return_tensors="pt")
    with torch.no_grad():
        return network(**inputs).logits.softmax(1)[0].numpy()


@pytest.mark.parametrize(
    ("family", "kind"),
    [("bert", "onnx"), ("bert", "pt2"), ("distilbert", "torchscript"), ("roberta", "onnx")],
)
def test_a_text_gets_the_scores_of_transformers(
    family: str, kind: str, saved: Callable[[str], Saved], tmp_path: Path
) -> None:
    source = saved(family)
    done = export(source.trained, kind, tmp_path / "network")
    assert done.manifest.signature.limits["length"].maximum == LONGEST
    assert done.manifest.end_to_end, "raw texts are proven, too"
    with load(done.path, trust=True) as predictor:
        predictions = list(predictor.predict_many(TEXTS, batch_size=len(TEXTS), top=3))
        assert predictor.labels == LABELS
        alone = [predictor.predict(text, top=3) for text in TEXTS]
    for text, together, one in zip(TEXTS, predictions, alone, strict=True):
        scores = expected_scores(source.folder, text)
        assert together.label == LABELS[scores.argmax()]
        for prediction in (together, one):
            assert dict(prediction.top) == pytest.approx(
                dict(zip(LABELS, map(float, scores), strict=True)), abs=1e-5
            )
    assert len({prediction.score for prediction in predictions}) == len(TEXTS), "the texts differ"


@pytest.mark.parametrize("family", FAMILIES)
def test_two_hundred_odd_texts_become_the_ids_of_transformers(family: str, tmp_path: Path) -> None:
    FAMILIES[family](tmp_path)
    spec = load_library_model(f"hf:{tmp_path}").spec
    data = spec["signature"]
    preprocessing = open_preprocessing(spec["preprocessing"], Signature.from_data(data))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    equal = 0
    for text in odd_texts():
        try:
            batch = preprocessing.collate([preprocessing.transform(text)])
        except InputError:
            assert not text.isprintable() or not text.strip()
            continue
        expected = tokenizer(text, truncation=True, max_length=LONGEST)
        assert set(batch) <= set(expected)
        assert {name: array[0].tolist() for name, array in batch.items()} == {
            name: expected[name] for name in batch
        }
        equal += 1
    assert equal > 150


def test_the_inputs_are_those_that_the_tokenizer_makes(tmp_path: Path) -> None:
    save_bert(tmp_path / "bert")
    inputs = load_library_model(f"hf:{tmp_path / 'bert'}").spec["signature"]["inputs"]
    assert list(inputs) == ["input_ids", "attention_mask", "token_type_ids"]
    save_distilbert(tmp_path / "distilbert")
    inputs = load_library_model(f"hf:{tmp_path / 'distilbert'}").spec["signature"]["inputs"]
    assert list(inputs) == ["input_ids", "attention_mask"]


def test_another_tokenizer_fails_the_verification(
    saved: Callable[[str], Saved], tmp_path: Path
) -> None:
    done = export(saved("distilbert").trained, "onnx", tmp_path / "network.onnx")
    artifact = read_artifact(done.path)
    tokenizer = word_piece()
    tokenizer.normalizer.lowercase = False
    changed = {**done.manifest.preprocessing, "tokenizer": pack_tokenizer(tokenizer.to_str())}

    def failures(preprocessing: dict[str, Any]) -> list[str]:
        manifest = replace(done.manifest, preprocessing=preprocessing)
        options = Options(device="cpu")
        with Predictor(manifest, lambda: open_backend("ort-cpu", artifact, options)) as predictor:
            checks = list(replay(predictor, done.manifest))
        return [check.name for check in checks if not check.passed]

    assert failures(done.manifest.preprocessing) == []
    assert "end-to-end sample 1, preprocessing" in failures(changed)


def test_a_page_without_a_tokenizer_is_refused(
    saved: Callable[[str], Saved], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="token-ids"):
        export(saved("distilbert").trained, "html", tmp_path / "network.html")


def test_one_output_is_a_regression(tmp_path: Path) -> None:
    save_bert(tmp_path, id2label={0: "LABEL_0"})
    spec = load_library_model(f"hf:{tmp_path}").spec
    assert (spec["task"], spec["labels"]) == ("regression", ())
    assert describe(load_library_model(f"hf:{tmp_path}").network, **spec).manifest.labels == ()


def test_several_labels_of_one_text_are_refused(tmp_path: Path) -> None:
    save_bert(tmp_path, problem_type="multi_label_classification")
    with pytest.raises(UsageError, match="multi_label_classification"):
        load_library_model(f"hf:{tmp_path}")


def test_a_folder_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    save_bert(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match=r"tokenizer\.json.*save_pretrained"):
        load_library_model(f"hf:{tmp_path}")


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"padding_side": "left"}, "left"), ({"pad_token": None}, "pad_token")],
)
def test_a_tokenizer_that_pads_otherwise_is_refused(
    change: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    save_distilbert(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    write_json(path, {**json.loads(path.read_text()), **change})
    with pytest.raises(UsageError, match=expected):
        load_library_model(f"hf:{tmp_path}")


class TestSentenceEncoders:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """As sentence-transformers saves it: BERT, the mean of its tokens, length 1."""
        folder = tmp_path / "encoder"
        save_bert(folder)
        config = transformers.AutoConfig.from_pretrained(folder)
        transformers.BertModel(config).eval().save_pretrained(folder)
        names = ("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")
        modules = [
            {"path": path, "type": f"sentence_transformers.models.{kind}"} for kind, path in names
        ]
        write_json(folder / "modules.json", modules)
        pooling = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
        (folder / "1_Pooling").mkdir()
        write_json(
            folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, **pooling}
        )
        write_json(folder / "sentence_bert_config.json", {"max_seq_length": 12})
        return folder

    def test_a_text_gets_the_mean_of_its_tokens_as_a_unit_vector(
        self, folder: Path, tmp_path: Path
    ) -> None:
        model = load_library_model(f"hf:{folder}")
        done = export(model.network, "onnx", tmp_path / "network.onnx", **model.spec)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        network = transformers.AutoModel.from_pretrained(folder).eval()
        with load(done.path, backend="ort-cpu") as predictor:
            predictions = list(predictor.predict_many(TEXTS))
        for text, prediction in zip(TEXTS, predictions, strict=True):
            inputs = tokenizer(text, truncation=True, max_length=12, return_tensors="pt")
            with torch.no_grad():
                mean = network(**inputs).last_hidden_state[0].mean(0)
            assert prediction.vector == pytest.approx((mean / mean.norm()).numpy(), abs=1e-5)

    @pytest.mark.parametrize(
        ("file", "content", "expected"),
        [
            ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pooling_mode_max_tokens"),
            ("modules.json", [{"path": "", "type": "models.Dense"}], "Dense"),
            ("sentence_bert_config.json", {"do_lower_case": True}, "do_lower_case"),
        ],
    )
    def test_other_steps_are_refused(
        self, folder: Path, file: str, content: Any, expected: str
    ) -> None:
        write_json(folder / file, content)
        with pytest.raises(UsageError, match=expected):
            load_library_model(f"hf:{folder}")

    def test_a_network_without_a_stated_pooling_is_refused(self, folder: Path) -> None:
        (folder / "modules.json").unlink()
        with pytest.raises(UsageError, match=r"BertModel.*modules\.json"):
            load_library_model(f"hf:{folder}")

    def test_the_first_token_may_be_the_vector(self, folder: Path) -> None:
        write_json(folder / "1_Pooling" / "config.json", {"pooling_mode": "cls"})
        network = load_library_model(f"hf:{folder}").network
        ids = torch.tensor([[2, 5, 6, 3]])
        inputs = (ids, torch.ones_like(ids), torch.zeros_like(ids))
        with torch.no_grad():
            first = network.network(*inputs).last_hidden_state[:, 0]  # type: ignore[operator]
            assert torch.allclose(network(*inputs), first / first.norm())


def test_the_commands_take_a_text_classifier(
    ptx: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_distilbert(tmp_path / "films")
    exported = ptx("export", "hf:films")
    assert exported.code == 0, exported.err
    assert "truncated to 24 tokens" in exported.err
    predicted = ptx("predict", "the film was good\n👍", "--model", "films")
    assert predicted.code == 0
    assert any(label in predicted.out for label in LABELS)
    rows = "".join(
        f"the film was {word} {i},{LABELS[i % 3]}\n" for i, word in enumerate(["a"] * 30)
    )
    (tmp_path / "rows.csv").write_text(f"text,label\n{rows}")
    evaluated = ptx("evaluate", "films", "--data", "rows.csv")
    assert (evaluated.code, "accuracy" in evaluated.out) == (0, True), evaluated.err
    inspected = ptx("inspect", "films")
    assert len(inspected.out) < 5000, "the tokenizer is not printed"
    compared = ptx("compare", "films", "good", "a bad film", "--network", "hf:films")
    assert (compared.code, "backends agree" in compared.out) == (0, True), compared.err
    assert "Loading" not in compared.err
    refused = ptx("predict", "", "--model", "films")
    assert (refused.code, "E-EMPTY" in refused.err) == (4, True)


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))
