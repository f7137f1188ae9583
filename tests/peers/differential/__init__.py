"""Random graphs through Densight and ONNX Runtime; see ../README.md."""
