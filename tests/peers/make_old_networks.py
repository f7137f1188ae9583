"""Write the networks of exporters that need packages and a Python of their own: torch 1.4 and 1.12, and Keras with tf2onnx.

    python3.8 -m venv VENV && VENV/bin/pip install -r requirements-networks-torch1.4.txt       # Python 3.8
    python3.10 -m venv VENV && VENV/bin/pip install -r requirements-networks-torch1.12.txt     # Python 3.10
    python3.11 -m venv VENV && VENV/bin/pip install -r requirements-networks-tf2onnx.txt       # Python 3.11
    VENV/bin/python make_old_networks.py --out FOLDER [NAME ...]

In each of the three it makes the networks whose exporter is there; the files are those of make_networks.py.
"""

import importlib.util

from exported_networks import Network, main, settle, write

SIZES = (121, 161, 169, 201)


def torchvision(name):
    import torchvision.models

    return getattr(torchvision.models, name)(pretrained=False)


def keras(name):
    import keras

    return getattr(keras.applications, name)(weights=None)


NETWORKS = {
    **{f"densenet{n}": Network(torchvision, f"densenet{n}", exporters=("torch1.4", "torch1.12")) for n in SIZES},
    **{f"keras-densenet{n}": Network(keras, f"DenseNet{n}", exporters=("tf2onnx",), channels_last=True) for n in SIZES if n != 161},
}


def settle_keras(model, batch):
    import keras
    import numpy as np

    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0
            layer.gamma.assign(generator.uniform(0.7, 1.3, layer.gamma.shape))
            layer.beta.assign(generator.uniform(-0.3, 0.3, layer.beta.shape))
        elif layer.weights:
            # Keras draws them evenly from a range; those of trained networks are mostly small.
            layer.kernel.assign(generator.normal(0, np.std(layer.kernel), layer.kernel.shape))
    model(batch, training=True)


def torch_model(network):
    import torch

    torch.manual_seed(0)
    model = network.build()
    settle(model, network.inputs(4))
    return lambda x, path: torch.onnx.export(model, torch.tensor(x), str(path), input_names=["input"], output_names=["logits"])


def keras_model(network):
    import keras
    import tf2onnx

    keras.utils.set_random_seed(0)
    model = network.build()
    settle_keras(model, network.inputs(4))
    return lambda x, path: tf2onnx.convert.from_keras(model, output_path=str(path))


def exporter():
    """The one that this environment has."""
    if importlib.util.find_spec("tf2onnx"):
        return "tf2onnx"
    import torch

    return "torch" + ".".join(torch.__version__.split(".")[:2])


def make(name, out):
    write(out / f"{name}.{exporter()}", NETWORKS[name], (keras_model if exporter() == "tf2onnx" else torch_model)(NETWORKS[name]))


if __name__ == "__main__":
    main(__doc__, [name for name, network in NETWORKS.items() if exporter() in network.exporters], make)
