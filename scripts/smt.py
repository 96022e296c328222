"""Asks cvc5 whether an SMT-LIB file has a model, bit-vectors taken as integers: Halmos calls it by --solver-command."""

import sys

import cvc5


def main(path: str) -> None:
    solver = cvc5.Solver()
    # a product of two 128-bit numbers is one multiplication of integers and 16,384 of bits
    solver.setOption("solve-bv-as-int", "sum")
    solver.setOption("produce-models", "true")
    parser = cvc5.InputParser(solver)
    parser.setFileInput(cvc5.InputLanguage.SMT_LIB_2_6, path)
    symbols = parser.getSymbolManager()
    while not (command := parser.nextCommand()).isNull():
        answer = command.invoke(solver, symbols).strip()
        if answer:
            print(answer, flush=True)
        if answer == "unsat":
            return


if __name__ == "__main__":
    main(sys.argv[1])
