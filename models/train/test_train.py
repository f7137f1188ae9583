"""The recipe against Densight and against itself: python -m unittest discover models/train

What needs the program densight is skipped where it is not built (cargo build --release).
"""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import augment
import data
import fused
import minutes
import teacher
import train
from network import PRESETS, Config, DenseNet, read_weights

DENSIGHT = HERE.parents[1] / "target/release/densight"
SMALL = Config(growth_rate=8, block_config=(2, 3), num_init_features=8)


def pictures(folder, classes=3, each=10, size=16):
    """A folder of pictures, each class another colour."""
    noise = np.random.default_rng(1)
    for label in range(classes):
        (folder / f"class{label}").mkdir(parents=True)
        for i in range(each):
            pixels = noise.integers(0, 90, (size, size, 3)) + np.eye(3)[label % 3] * 120
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"class{label}/{i}.png")


class Fused(unittest.TestCase):
    """`fused.py` and `minutes.py`; with TRITON_INTERPRET=1 the kernels themselves are run, slowly."""

    def test_gradients_are_pytorchs(self):
        torch.manual_seed(0)
        network = DenseNet(SMALL).to(memory_format=torch.channels_last).train()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.normal_(module.weight, 1, 0.2)
                torch.nn.init.normal_(module.bias, 0, 0.3)
        x, labels = torch.randn(4, 3, 16, 16).contiguous(memory_format=torch.channels_last), torch.randint(0, 10, (4,))
        losses = [F.cross_entropy(scores(x), labels) for scores in (network, lambda x: fused.forward(network, x))]
        self.assertAlmostEqual(losses[0].item(), losses[1].item(), 5)
        theirs, ours = (torch.autograd.grad(loss, list(network.parameters())) for loss in losses)
        for (name, _), a, b in zip(network.named_parameters(), theirs, ours):
            self.assertLess(((a - b).norm() / a.norm()).item(), 1e-4, name)

    def test_probabilities_become_as_sure_as_they_are_right(self):
        torch.manual_seed(0)
        labels = torch.randint(0, 10, (4000,))
        scores = torch.randn(4000, 10) + 2.0 * F.one_hot(labels, 10)
        # Labels drawn from these scores' own probabilities, which are then right.
        labels = torch.multinomial(scores.softmax(1), 1)[:, 0]
        self.assertAlmostEqual(minutes.tempered(3 * scores, labels), 3, delta=0.2)

    def test_it_trains_and_writes(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            pictures(folder / "set")
            given = ["--minutes", "1", "--preset", "densenet-bc-40-12", "--size", "16", "--batch", "8", "--plots", "1", "--device", "cpu"]
            minutes.main([str(folder / "set"), "--out", str(folder / "a"), "--steps", "2", *given])
            teacher.main([str(folder / "set"), "--out", str(folder / "t"), "--steps", "2", "--width", "8", "--cutout", "4", *given[:2], *given[4:]])
            views = np.load(folder / "t/views.npy")
            self.assertEqual(views.shape, (24, 2, 5, 5, 3))
            self.assertTrue((views[:, 0] != views[:, 1]).any() and np.isfinite(views).all())
            minutes.main([str(folder / "set"), "--out", str(folder / "b"), "--steps", "1", *given, "--views", str(folder / "t/views.npy")])
            weights = read_weights(folder / "b/weights.safetensors")
            self.assertEqual(len(weights["classifier.weight"]), 3)
            self.assertTrue(all(torch.isfinite(tensor).all() for tensor in weights.values()))
            self.assertEqual(json.loads((folder / "b/report.json").read_text())["steps"], 1)


@unittest.skipUnless(DENSIGHT.exists(), "densight is not built here: cargo build --release")
class AgainstDensight(unittest.TestCase):
    def export(self, folder, config, *words):
        (folder / "config.json").write_text(json.dumps(config.as_json()))
        command = [DENSIGHT, "export", "--config", folder / "config.json", "--input-size", "32", "-o", folder / "net.onnx"]
        subprocess.run([*command, *words], check=True, capture_output=True)

    def test_the_same_weights_give_the_same_logits(self):
        plain = Config(block_config=(2, 2), num_init_features=16, compression=1.0, bottleneck=False)
        large = Config(8, (2, 2), 8, small_inputs=False)
        for config in (SMALL, plain, large):
            with self.subTest(config), tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                torch.manual_seed(3)
                network = DenseNet(config).eval()
                for tensor_name, tensor in network.tensors().items():
                    if "norm" in tensor_name:
                        tensor.uniform_(0.5, 1.5)
                save_file({n: t.contiguous() for n, t in network.tensors().items()}, folder / "w.safetensors")
                self.export(folder, config, "--weights", folder / "w.safetensors")
                x = torch.randn(1, 3, 32, 32)
                np.save(folder / "x.npy", x.numpy())
                run = [DENSIGHT, "run", folder / "net.onnx", "--input", folder / "x.npy", "--output", folder / "y.npy"]
                subprocess.run(run, check=True, capture_output=True)
                expected = network(x).detach().numpy()
                difference = np.abs(np.load(folder / "y.npy") - expected).max()
                self.assertLess(difference, 1e-4 * np.abs(expected).max())
                again = DenseNet(config)
                self.assertEqual(again.load(read_weights(folder / "net.onnx")), [])
                for tensor_name, tensor in network.tensors().items():
                    self.assertTrue(torch.equal(tensor, again.tensors()[tensor_name]), tensor_name)

    def test_fresh_weights_are_drawn_alike(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            config = PRESETS["densenet-bc-40-12"]
            self.export(folder, config)
            theirs = {tensor_name: tensor.numpy() for tensor_name, tensor in read_weights(folder / "net.onnx").items()}
            ours = DenseNet(config).tensors()
            compared = 0
            for tensor_name, tensor in ours.items():
                if tensor.dim() < 2:
                    continue
                found = theirs.get(tensor_name)
                self.assertIsNotNone(found, tensor_name)
                self.assertEqual(found.shape, tuple(tensor.shape), tensor_name)
                # The deviation of n numbers is known to about 1 / sqrt(2 n).
                self.assertAlmostEqual(found.std() / tensor.std().item(), 1, delta=6 / (2 * tensor.numel()) ** 0.5 * 2 ** 0.5)
                compared += 1
            self.assertEqual(compared, 1 + 2 * 18 + 2 + 1)


class Training(unittest.TestCase):
    def run_it(self, folder, out, *words):
        given = [str(folder), "--out", str(out), "--size", "16", "--epochs", "4", "--batch", "8", "--growth-rate", "4"]
        train.main([*given, "--device", "cpu", "--densight", "/nowhere", "--drop-rate", "0.1", *words])

    def test_interrupted_and_gone_on_it_is_as_if_it_never_was(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            pictures(folder / "set")
            self.run_it(folder / "set", folder / "whole")
            for _ in range(2):
                self.run_it(folder / "set", folder / "parts", "--stop-after", "2")
            whole, parts = (load_file(folder / out / "weights.safetensors") for out in ("whole", "parts"))
            self.assertEqual(set(whole), set(parts))
            for tensor_name in whole:
                self.assertTrue(torch.equal(whole[tensor_name], parts[tensor_name]), tensor_name)
            self.assertIn("4 of 4", (folder / "parts/card.md").read_text())
            self.assertGreater((folder / "parts/plot.png").stat().st_size, 1000)
            with self.assertRaises(SystemExit) as refused:
                self.run_it(folder / "set", folder / "parts", "--seed", "1")
            self.assertIn("with seed 0, not 1", str(refused.exception))

    def test_another_head_for_other_classes(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            pictures(folder / "three")
            pictures(folder / "four", classes=4)
            self.run_it(folder / "three", folder / "a", "--stop-after", "1")
            start = str(folder / "a/weights.safetensors")
            self.run_it(folder / "four", folder / "b", "--stop-after", "1", "--from", start)
            self.assertEqual(load_file(folder / "b/weights.safetensors")["classifier.bias"].shape, (4,))

    def test_efficient_is_only_smaller(self):
        torch.manual_seed(5)
        x, labels = torch.randn(20, 8, 3, 16, 16), torch.randint(0, 10, (20, 8))
        runs = []
        for efficient in (False, True):
            torch.manual_seed(6)
            network = DenseNet(SMALL, efficient).train()
            optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9, nesterov=True)
            losses = []
            for step in range(20):
                loss = F.cross_entropy(network(x[step]), labels[step])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            runs.append((losses, network.tensors()))
        for kept, again in zip(runs[0][0], runs[1][0]):
            self.assertAlmostEqual(kept, again, delta=1e-5)
        for tensor_name, tensor in runs[0][1].items():
            self.assertTrue(torch.allclose(tensor, runs[1][1][tensor_name], atol=1e-5), tensor_name)


class Data(unittest.TestCase):
    def test_every_fifth_picture_is_for_testing(self):
        with tempfile.TemporaryDirectory() as name:
            pictures(Path(name) / "set")
            found = data.load(Path(name) / "set", 16)
            self.assertEqual((found.classes, len(found.train.labels), len(found.test.labels)), (["class0", "class1", "class2"], 24, 6))
            with self.assertRaises(SystemExit):
                data.load(Path(name), 16)

    def test_augmented_pictures_are_pictures(self):
        x = torch.rand(6, 3, 32, 32)
        for kind, function in augment.AUGMENTATIONS.items():
            one, again = (function(x, torch.Generator().manual_seed(1)) for _ in range(2))
            self.assertEqual(one.shape, x.shape)
            self.assertTrue(torch.equal(one, again) and one.min() >= 0 and one.max() <= 1, kind)
            self.assertEqual(kind == "none", torch.equal(one, x))


if __name__ == "__main__":
    unittest.main()
