"""Random networks through Densight and ONNX Runtime: `python3 differential.py DENSIGHT --help`, and README.md."""

import sys

from differential.campaign import main

if __name__ == "__main__":
    sys.exit(main())
