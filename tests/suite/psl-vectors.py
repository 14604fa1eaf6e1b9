#!/usr/bin/python3
"""psl-vectors: the public suffix list's own tests (78), by the function that the module dmarc uses, over the list beside them.

The driver is unit_dmarc_org, which stands beside the test modules.  "null" as input is no domain at all.
"""
import os
import subprocess

import explain


def main():
    data = explain.load("public-suffix-list/public_suffix_list.dat")
    driver = os.path.join(os.path.dirname(os.environ["SALLYPORT_TEST_MODULES"].rstrip("/")), "unit_dmarc_org")
    if not os.path.exists(driver):
        explain.skip("no %s" % driver)
    with open(explain.load("public-suffix-list/tests.txt"), encoding="utf-8") as f:
        cases = [line.split() for line in f if line.strip() and not line.startswith("//")]
    domains = "".join("%s\n" % ("" if domain == "null" else domain) for domain, _ in cases)
    done = subprocess.run([driver, data], input=domains.encode(), capture_output=True, check=True, timeout=60)
    answers = done.stdout.decode().splitlines()
    if len(answers) != len(cases):
        raise SystemExit("%d answers to %d questions" % (len(answers), len(cases)))
    # what comes out points into what went in, so only its case may differ
    failures = ["%s: %s, expected %s" % (domain, got, expected)
                for (domain, expected), got in zip(cases, answers) if got.lower() != expected]
    explain.tally("psl-vectors", len(cases) - len(failures), len(cases), failures)


if __name__ == "__main__":
    main()
