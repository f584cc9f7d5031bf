# SPDX-License-Identifier: Apache-2.0
"""Medians, spreads and slopes."""
import statistics


def quantile(values, share):
    """Interpolated; values need not be sorted."""
    ranked = sorted(values)
    place = share * (len(ranked) - 1)
    low = int(place)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (ranked[high] - ranked[low]) * (place - low)


def median(values):
    """Of at least one value."""
    return statistics.median(values)


def spread(values, form="%.0f"):
    """`median [q1..q3]` as text."""
    return "%s [%s..%s]" % tuple(form % quantile(values, share) for share in (0.5, 0.25, 0.75))


def line(points):
    """Least squares over (x, y): (slope, intercept)."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    mean_x, mean_y = statistics.fmean(xs), statistics.fmean(ys)
    square = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / square
    return slope, mean_y - slope * mean_x


def table(header, rows):
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines.extend("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)
    return "\n".join(lines) + "\n"
