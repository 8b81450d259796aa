"""Networks by name: what is exported predicts what the library itself predicts on the same image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ptx.export import describe, export
from ptx.export.libraries import LibraryModel, is_library_model, load_library_model
from ptx.infer import ArtifactError, UsageError, load

Transform = Callable[[Image.Image], Tensor]


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """Not square, with colours that vary slowly, so that resizing matters."""
    coarse = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    path = tmp_path / "photograph.png"
    Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC).save(path)
    return path


def check_predictions(
    model: LibraryModel, transform: Transform, photograph: Path, folder: Path, error: float
) -> None:
    """Compare the exported file with the network behind the library's own transform."""
    done = export(model.network, "onnx", folder / "network.onnx", **model.spec)
    with Image.open(photograph) as image, torch.no_grad():
        outputs = model.network(transform(image.convert("RGB")).unsqueeze(0))
    logits = outputs if isinstance(outputs, Tensor) else outputs.logits
    scores = logits.softmax(1)[0]
    with load(done.path, backend="ort-cpu") as predictor:
        prediction = predictor.predict(photograph, top=1)
    assert prediction.label == model.spec["labels"][int(scores.argmax())]
    assert prediction.score == pytest.approx(scores.max().item(), abs=error)


class TestTorchvision:
    models = pytest.importorskip("torchvision").models

    def test_a_published_file_selects_its_transforms_and_labels(
        self, tmp_path: Path, photograph: Path
    ) -> None:
        published = self.models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1
        weights = tmp_path / Path(published.url).name
        torch.save(self.models.shufflenet_v2_x0_5().state_dict(), weights)
        model = load_library_model("torchvision:shufflenet_v2_x0_5", weights)
        assert model.spec["labels"][:2] == ("tench", "goldfish")
        check_predictions(model, published.transforms(), photograph, tmp_path, 1e-6)

    def test_the_version_of_the_weights_is_told_by_the_name_of_the_file(
        self, tmp_path: Path
    ) -> None:
        # The two published versions differ in the resolution of their resizing: 256 and 232.
        for published in self.models.ResNeXt50_32X4D_Weights:
            weights = tmp_path / Path(published.url).name
            torch.save(self.models.resnext50_32x4d().state_dict(), weights)
            model = load_library_model("torchvision:resnext50_32x4d", weights)
            resize = published.transforms().resize_size[0]
            assert model.spec["preprocessing"]["resize"] == resize

    def test_a_fine_tuned_network_has_the_classes_of_its_weights_and_no_labels(
        self, tmp_path: Path
    ) -> None:
        network = self.models.shufflenet_v2_x0_5(num_classes=5)
        torch.save(network.state_dict(), tmp_path / "flowers.pth")
        model = load_library_model("torchvision:shufflenet_v2_x0_5", tmp_path / "flowers.pth")
        assert model.spec["signature"]["outputs"] == {"logits": ["float32", ["batch", 5]]}
        assert "labels" not in model.spec
        for own, loaded in zip(
            network.state_dict().values(), model.network.state_dict().values(), strict=True
        ):
            assert torch.equal(own, loaded)

    def test_published_weights_of_googlenet_normalise_the_input_as_torchvision_does(
        self, tmp_path: Path
    ) -> None:
        # torchvision sets transform_input for published weights; a state dict does not record it.
        network = self.models.googlenet(transform_input=True, init_weights=False).eval()
        weights = tmp_path / Path(self.models.GoogLeNet_Weights.IMAGENET1K_V1.url).name
        torch.save(network.state_dict(), weights)
        loaded = load_library_model("torchvision:googlenet", weights).network
        images = torch.rand(2, 3, 224, 224)
        with torch.no_grad():
            assert torch.equal(loaded(images), network(images))
        weights.rename(tmp_path / "own.pth")
        with pytest.raises(UsageError, match="transform_input"):
            load_library_model("torchvision:googlenet", tmp_path / "own.pth")

    def test_a_segmentation_network_takes_images_of_any_size(self, tmp_path: Path) -> None:
        make = self.models.segmentation.lraspp_mobilenet_v3_large
        network = make(weights_backbone=None, num_classes=2).eval()
        auxiliary = {"aux_classifier.0.weight": torch.zeros(3)}  # in published weights
        torch.save({**network.state_dict(), **auxiliary}, tmp_path / "two.pth")
        model = load_library_model("torchvision:lraspp_mobilenet_v3_large", tmp_path / "two.pth")
        assert "labels" not in model.spec, "the file is for two classes, not for torchvision's 21"
        export(model.network, "torchscript", tmp_path / "net", **model.spec, labels=["no", "yes"])
        images = torch.rand(1, 3, 49, 70)
        with torch.no_grad():
            expected = network(images)["out"].numpy()
        predictor = load(tmp_path / "net", trust=True)
        actual = predictor.run({"image": images.numpy()})["out"]
        np.testing.assert_allclose(actual, expected, atol=1e-5)
        prediction = predictor.predict(Image.new("RGB", (70, 49), "navy"))
        assert prediction.class_map is not None
        assert prediction.class_map.shape == (520, 742)

    def test_weights_of_another_network_are_refused(self, tmp_path: Path) -> None:
        torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "line.pth")
        with pytest.raises(ArtifactError, match=r"features\.0\.weight is missing") as caught:
            load_library_model("torchvision:squeezenet1_1", tmp_path / "line.pth")
        assert caught.value.code == "E-TORCH-LOAD"

    @pytest.mark.parametrize(
        ("name", "expected"),
        [("resnet8", "resnet18"), ("fasterrcnn_resnet50_fpn", "neither an image classifier")],
    )
    def test_what_has_no_known_task_is_refused(self, name: str, expected: str) -> None:
        with pytest.raises(UsageError, match=expected):
            load_library_model(f"torchvision:{name}")


class TestTimm:
    timm = pytest.importorskip("timm")

    @pytest.mark.parametrize("name", ["test_vit", "test_convnext"])
    def test_a_network_predicts_as_behind_timm_s_own_transform(
        self, name: str, tmp_path: Path, photograph: Path
    ) -> None:
        model = load_library_model(f"timm:{name}")
        config = self.timm.data.resolve_data_config({}, model=model.network)
        transform = self.timm.data.create_transform(**config)
        check_predictions(model, transform, photograph, tmp_path, 1e-6)

    def test_an_unknown_network_is_refused_with_the_nearest(self) -> None:
        with pytest.raises(UsageError, match="did you mean 'convnext_tiny'") as caught:
            load_library_model("timm:convnext_tini")
        assert "resnet18" not in str(caught.value), "the thousand names are not listed"


class TestTransformers:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        transformers = pytest.importorskip("transformers")
        config = transformers.ViTConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=32,
            patch_size=16,
            id2label={0: "cat", 1: "dog", 2: "owl"},
            label2id={"cat": 0, "dog": 1, "owl": 2},
        )
        transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "animals")
        processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
        processor.save_pretrained(tmp_path / "animals")
        return tmp_path / "animals"

    def test_a_folder_predicts_as_behind_its_image_processor(
        self, folder: Path, tmp_path: Path, photograph: Path
    ) -> None:
        transformers = pytest.importorskip("transformers")
        model = load_library_model(f"hf:{folder}")
        assert model.spec["labels"] == ("cat", "dog", "owl")
        processor = transformers.AutoImageProcessor.from_pretrained(folder)

        def transform(image: Image.Image) -> Tensor:
            pixels: Tensor = processor(image, return_tensors="pt")["pixel_values"][0]
            return pixels

        # The processor resizes tensors, whose pixels may be rounded differently from Pillow's.
        check_predictions(model, transform, photograph, tmp_path, 1e-3)

    def test_a_folder_without_a_classifier_is_refused(self, folder: Path) -> None:
        config = folder / "config.json"
        config.write_text(config.read_text().replace("ViTForImageClassification", "ViTModel"))
        with pytest.raises(UsageError, match="ViTModel"):
            load_library_model(f"hf:{folder}")

    def test_a_folder_without_a_configuration_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"config\.json"):
            load_library_model(f"hf:{tmp_path}")


def test_a_reference_to_a_module_of_a_library_is_no_library_model() -> None:
    assert is_library_model("torchvision:resnet18")
    assert not is_library_model("torchvision.models:resnet18")
    assert not is_library_model("hf:")


def test_random_weights_are_described_like_any_network(tmp_path: Path) -> None:
    model: Any = load_library_model("torchvision:squeezenet1_0")
    trained = describe(model.network, **model.spec)
    assert trained.manifest.task == "classification"
    assert len(trained.manifest.labels) == 1000


def test_the_command_exports_a_fine_tuned_network_with_its_labels(
    ptx: Any, tmp_path: Path, photograph: Path
) -> None:
    models = pytest.importorskip("torchvision").models
    torch.save(models.shufflenet_v2_x0_5(num_classes=3).state_dict(), tmp_path / "flowers.pth")
    weights = ("--checkpoint", tmp_path / "flowers.pth", "--workspace", tmp_path)
    command = ("export", "torchvision:shufflenet_v2_x0_5", *weights)
    refused = ptx(*command)
    assert refused.code == 2
    assert "3 classes" in refused.err
    with_spec = ptx(*command, "--spec", tmp_path / "net.toml")
    assert (with_spec.code, "omit it" in with_spec.err) == (2, True)
    assert ptx(*command, "--labels", "daisy,rose,tulip").code == 0
    done = ptx("predict", photograph, "--model", "shufflenet-v2-x0-5", "--workspace", tmp_path)
    assert done.code == 0
    assert any(label in done.out for label in ("daisy", "rose", "tulip"))
