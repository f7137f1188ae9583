"""How often `densight bench --compare` and `--against` tell a slow-down of 5 %, and how often one where there is none.

    git apply benches/compare/slower.patch && cargo build --release && cp target/release/densight /tmp/slower
    git apply --reverse benches/compare/slower.patch && cargo build --release
    python benches/compare/trials.py target/release/densight /tmp/slower [MODEL]

The patch has every 20th layer computed twice, other ones in each run: 5 % more work, and the same results.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

SLOWER = 3


def code(*command):
    return subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("slower", type=pathlib.Path)
    parser.add_argument("model", nargs="*", help="model and options of `bench`")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--only", choices=["compare", "against"])
    args = parser.parse_args()
    bench = lambda program, *more: code(program, "bench", *args.model, "--duration", args.seconds, *more)
    base = pathlib.Path(tempfile.mkdtemp()) / "base.json"
    told = {}
    for trial in range(args.trials):
        for name, program in [("slower", args.slower), ("the same", args.program)]:
            if args.only != "compare":
                tell(told, ("--against", name), bench(program, "--against", args.program))
            if args.only != "against":
                base.write_text(bench(args.program, "--json").stdout)
                tell(told, ("--compare", name), bench(program, "--compare", base))
    for (how, name), count in told.items():
        print(f"{how}: {name}: told {count} of {args.trials} times that it is slower")


def tell(told, key, result):
    if result.returncode not in (0, SLOWER):
        raise SystemExit(f"{key}: exit code {result.returncode}")
    verdict = next((line for line in result.stdout.splitlines() if "told from" in line), "")
    print(*key, "|", verdict, flush=True)
    told[key] = told.get(key, 0) + (result.returncode == SLOWER)


if __name__ == "__main__":
    main()
