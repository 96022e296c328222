"""Compares Slither's findings with the answers in slither.json.

An answer names a check, a pattern of the places it speaks of ("Contract.function", with * for any), and why it
is no fault. Findings without an answer, and answers without a finding, fail.
"""

import json
import sys
from fnmatch import fnmatchcase
from pathlib import Path


def place(finding: dict) -> str:
    """Where a finding is: Contract.function of its first element that has one."""
    for element in finding["elements"]:
        names = [element["name"]]
        while element["type"] != "contract" and "parent" in element.get("type_specific_fields", {}):
            element = element["type_specific_fields"]["parent"]
            names.append(element["name"])
        if element["type"] == "contract":
            # a statement is told by its function, not by its text
            return ".".join([names[-1], *names[-2:-1]])
    return finding["description"].splitlines()[0]


def main(findings_path: str, answers_path: str) -> int:
    report = json.loads(Path(findings_path).read_text())
    if not report["success"]:
        sys.exit(f"slither failed: {report['error']}")
    findings = sorted({(f["check"], place(f)) for f in report["results"].get("detectors", [])})
    answers = json.loads(Path(answers_path).read_text())
    used = set()
    open_findings = []
    for check, where in findings:
        matches = [
            i
            for i, answer in enumerate(answers)
            if answer["check"] == check and any(fnmatchcase(where, pattern) for pattern in answer["where"])
        ]
        used.update(matches)
        if not matches:
            open_findings.append(f"  {check} in {where}")
    stale = [f"  {a['check']}: {', '.join(a['where'])}" for i, a in enumerate(answers) if i not in used]
    print(f"slither: {len(findings)} findings, {len(findings) - len(open_findings)} answered in slither.json")
    if open_findings:
        print("not answered:", *open_findings, sep="\n")
    if stale:
        print("answers without a finding:", *stale, sep="\n")
    return 1 if open_findings or stale else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
