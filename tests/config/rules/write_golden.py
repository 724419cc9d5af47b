"""Writes what the rules say now into tests/golden/findings.json; run it as a script.

Triggers stay as they are; a new rule needs one, added by hand as {"rule", "changes", "facts"}. Read the
difference as a user would before it is committed.
"""

import json
import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]
sys.path[:0] = [str(TESTS.parent), str(Path(__file__).parent)]

from situations import finding_of, said_of_fixes  # noqa: E402

GOLDEN = TESTS / "golden" / "findings.json"


def reviewed(case):
    trigger = {name: case[name] for name in ("rule", "changes", "facts")}
    finding = finding_of(case["rule"], case["changes"], case["facts"])
    assert finding is not None, f"{case['rule']} says nothing to its trigger"
    return {
        **trigger,
        "severity": finding.severity.value,
        "settings": list(finding.settings),
        "message": finding.message,
        "remedy": finding.remedy,
        **said_of_fixes(finding),
    }


def main():
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    golden["findings"] = [reviewed(case) for case in golden["findings"]]
    GOLDEN.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
