"""The suite of the chart: `scripts/test helm`.

Every variant under helm/millrace/ci is linted, rendered, validated against Kubernetes' own schemas and looked through;
values that are wrong must be refused with words that help.
"""

import functools
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

import brokers
import files
import jobs
import kubernetes_validate
import references
import refusals
import rendering
import security

# Not Kubernetes' own: the Prometheus operator's. What their specs may have, as far as the chart uses it.
OPERATOR = {
    "PodMonitor": {"jobLabel", "selector", "podMetricsEndpoints"},
    "ServiceMonitor": {"jobLabel", "selector", "endpoints"},
    "PrometheusRule": {"groups"},
}


def validated(variant, version):
    """Problems that Kubernetes of this version would have with a variant."""
    problems = []
    for one in rendering.rendered(variant, version):
        if one["kind"] in OPERATOR:
            if more := set(one["spec"]) - OPERATOR[one["kind"]]:
                problems.append(f"{rendering.called(one)}: {more}")
            continue
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            problems.append(f"{rendering.called(one)}: {error.message} at {list(error.path)}")
    return problems


def cases():
    """Every test: its name, and what gives its problems."""
    for variant in rendering.variants():
        yield f"{variant}: lint", functools.partial(files.every_variant_is_lint_free, variant)
        for version in rendering.VERSIONS:
            yield f"{variant}: Kubernetes {version}", functools.partial(validated, variant, version)
        for module in (security, references, brokers):
            for check in module.CHECKS:
                yield f"{variant}: {check.__name__}", functools.partial(looked_through, variant, check)
    for check in (*files.CHECKS, *jobs.CHECKS):
        yield check.__name__, check
    yield from refusals.cases()


def looked_through(variant, check):
    return list(check(rendering.rendered(variant)))


def tried(test):
    try:
        return list(test())
    except Exception:
        return [traceback.format_exc(limit=-3)]


def main() -> None:
    names, tests = zip(*cases())
    failed = 0
    # Two at a time: most of it is waiting for helm.
    with ThreadPoolExecutor(2) as pool:
        for name, problems in zip(names, pool.map(tried, tests)):
            print(f"test {name} ... {'FAILED' if problems else 'ok'}", flush=True)
            failed += bool(problems)
            for problem in problems:
                print(f"    {problem}")
    print(f"\ntest result: {'FAILED' if failed else 'ok'}. {len(tests) - failed} passed; {failed} failed; 0 ignored")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
