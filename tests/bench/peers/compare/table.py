"""The tables, in Markdown."""

from statistics import median

from rows import OURS

SPEED = [
    "server", "first req/s", "replay req/s", "first / bare", "replay / bare",
    "server CPU, µs: first", "replay", "Redis CPU, µs: first", "replay", "Redis commands: first", "replay",
]
GUARDS = ["server", "20 at once with one key, the worst of 10: handler ran", "same key, other body", "late answer of a lost claim"]
# What is compared with ours, and whether more is better.
FIGURES = [("per_second", "req/s", True), ("server_cpu_us", "server CPU", False), ("redis_cpu_us", "Redis CPU", False)]


def markdown(report):
    servers = report["servers"]
    parts = [
        f"{report['rounds']} alternating rounds of {report['seconds']:g} s, {report['connections']} connections, Redis "
        f"{report['redis']}, {report['cores']} cores for the load, the server and Redis; the load average was "
        f"{report['load_before']:.1f} before. Medians, and [lowest .. highest] of the rounds. Redis commands are those that "
        "clients send.",
        speed(servers),
        faults(servers),
        "What they do not do, by experiment:",
        guards(servers),
    ]
    if measured(servers.get(OURS)) and peers(servers):
        parts += [f"{OURS} / peer, medians of the rounds:", against(servers), lost(servers)]
    parts += [f"`{name}` could not be run: {row['cannot_run']}." for name, row in servers.items() if "cannot_run" in row]
    return "\n\n".join(part for part in parts if part) + "\n"


def measured(row):
    return bool(row and row["rounds"])


def values(row, phase, figure):
    return [measures[phase][figure] for measures in row["rounds"] if phase in measures]


def ratios(row, other, phase, figure, other_phase=None):
    """Of the rounds that both were in."""
    pairs = zip(values(row, phase, figure), values(other, other_phase or phase, figure))
    return [mine / theirs for mine, theirs in pairs if theirs]


def spread(numbers, form):
    if not numbers:
        return "–"
    return f"{form(median(numbers))} [{form(min(numbers))} .. {form(max(numbers))}]"


def middle(numbers, form):
    return form(median(numbers)) if numbers else "–"


def whole(number):
    return f"{number:,.0f}"


def tenth(number):
    return f"{number:.1f}"


def hundredth(number):
    return f"{number:.2f}"


def rows_of(head, lines):
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *lines])


def speed(servers):
    return rows_of(SPEED, [speed_of(name, row, servers[row["bare"]]) for name, row in servers.items() if measured(row)])


def speed_of(name, row, bare):
    cells = [f"{name} {row['version'] or ''}".strip()]
    cells += [spread(values(row, phase, "per_second"), whole) for phase in ("first", "replay")]
    is_bare = row is bare
    for phase in ("first", "replay"):
        cells.append("–" if is_bare else middle(ratios(row, bare, phase, "per_second", "first"), hundredth))
    for figure in ("server_cpu_us", "redis_cpu_us"):
        cells += [middle(values(row, phase, figure), tenth) for phase in ("first", "replay")]
    for phase in ("first", "replay"):
        commands = row.get(f"commands_{phase}")
        cells.append("–" if commands is None else f"{len(commands)} ({', '.join(commands)})")
    return cells


def faults(servers):
    """What went wrong under load, so that its figures are of something else."""
    found = []
    for name, row in servers.items():
        phases = [phase for measures in row["rounds"] for phase in measures.values()]
        for fault, text in [("failures", "answers were no success"), ("executed_again", "replays ran the handler")]:
            if number := sum(phase.get(fault, 0) for phase in phases):
                found.append(f"`{name}`: {number:,} {text}.")
    return " ".join(found)


def guards(servers):
    lines = []
    for name, row in servers.items():
        if found := row.get("guards"):
            lines.append([name, duplicates(found), other_body(found), late_answer(found)])
    return rows_of(GUARDS, lines)


def duplicates(found):
    ran = found["runs_of_duplicates"]
    answers = ", ".join(f"{count} x {status}" for status, count in sorted(found["answers_to_duplicates"].items()))
    return ("once" if ran == 1 else f"**{ran} times**") + f"; answers: {answers}"


def other_body(found):
    status = found["other_body"]
    if found["other_body_ran"]:
        return f"**handler ran again** ({status})"
    return f"refused ({status})" if status >= 400 else f"**answered with the other's answer** ({status})"


def late_answer(found):
    status = found["late_answer"]
    return f"refused ({status} while the successor runs)" if status >= 400 else f"**recorded over the successor's claim** ({status})"


def peers(servers):
    return {name: row for name, row in servers.items() if name not in (OURS, row["bare"]) and measured(row)}


def against(servers):
    ours = servers[OURS]
    head = ["peer"] + [f"{phase}: {label}" for phase in ("first", "replay") for _, label, _ in FIGURES]
    lines = []
    for name, row in peers(servers).items():
        cells = [spread(ratios(ours, row, phase, figure), hundredth) for phase in ("first", "replay") for figure, _, _ in FIGURES]
        lines.append([name, *cells])
    return rows_of(head, lines)


def lost(servers):
    """Where a peer is better than ours: against ours, and in what it costs its own framework."""
    ours, found = servers[OURS], []
    for name, row in peers(servers).items():
        for phase in ("first", "replay"):
            for figure, label, more_is_better in FIGURES:
                ratio = median(ratios(ours, row, phase, figure))
                if (ratio < 1) == more_is_better and ratio != 1:
                    found.append(f"- {name}, {phase}: {label}, ours is {ratio:.2f} of it")
            mine, theirs = (share(which, servers, phase) for which in (ours, row))
            if theirs > mine:
                found.append(f"- {name}, {phase}: share of the bare server's req/s, {theirs:.2f} against our {mine:.2f}")
    return "Where a peer is ahead:\n\n" + ("\n".join(found) or "- nowhere")


def share(row, servers, phase):
    return median(ratios(row, servers[row["bare"]], phase, "per_second", "first"))
