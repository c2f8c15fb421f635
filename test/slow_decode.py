"""Decoding the slow way: one cell, one sample, one candidate, one permutation at a time.

A second implementation of `action_recognition.pose.decode`, to compare it with.
"""

from itertools import permutations

import numpy as np

from action_recognition.skeleton import LIMBS, Joint


def slow_peaks(plane, threshold, count):
    """(x, y, height) of the peaks of one map, highest first."""
    height, width = plane.shape
    log = np.log(np.maximum(plane, 1e-4))
    peaks = []
    for y in range(height):
        for x in range(width):
            value = plane[y, x]
            neighbours = [
                (v, u)
                for v in range(max(y - 1, 0), min(y + 2, height))
                for u in range(max(x - 1, 0), min(x + 2, width))
                if (v, u) != (y, x)
            ]
            if value < threshold or any(
                plane[n] > value or (plane[n] == value and n < (y, x)) for n in neighbours
            ):
                continue
            dx = dy = 0.0
            if 0 < x < width - 1:
                dx = slow_vertex(*log[y, x - 1 : x + 2])
            if 0 < y < height - 1:
                dy = slow_vertex(*log[y - 1 : y + 2, x])
            peaks.append((x + dx, y + dy, min(value, 1.0)))
    return sorted(peaks, key=lambda peak: -peak[2])[:count]


def slow_vertex(before, middle, after):
    return np.clip((after - before) / (2 * max(2 * middle - before - after, 1e-3)), -0.5, 0.5)


def slow_limb_scores(fields, cells, samples):
    """(13, k, k) means of the fields along the lines; outside the maps the fields are 0."""
    height, width = fields.shape[1:]

    def at(plane, x, y):
        total = 0.0
        for v in (int(np.floor(y)), int(np.floor(y)) + 1):
            for u in (int(np.floor(x)), int(np.floor(x)) + 1):
                if 0 <= u < width and 0 <= v < height:
                    total += plane[v, u] * (1 - abs(x - u)) * (1 - abs(y - v))
        return total

    count = cells.shape[1]
    out = np.zeros((13, count, count))
    for limb, (a, b) in enumerate(LIMBS):
        for i in range(count):
            for j in range(count):
                vector = cells[b, j] - cells[a, i]
                unit = vector / max(np.linalg.norm(vector), 1e-3)
                for step in np.linspace(0, 1, samples):
                    x, y = cells[a, i] + step * vector
                    out[limb, i, j] += unit[0] * at(fields[2 * limb], x, y) / samples
                    out[limb, i, j] += unit[1] * at(fields[2 * limb + 1], x, y) / samples
    return out


def slow_matching(gain):
    """The pairs (row, column) with the largest sum, by trying them all."""
    turned = gain.shape[0] > gain.shape[1]
    wide = gain.T if turned else gain
    best = max(
        permutations(range(wide.shape[1]), wide.shape[0]),
        key=lambda columns: sum(wide[row, column] for row, column in enumerate(columns)),
    )
    return [(column, row) if turned else (row, column) for row, column in enumerate(best)]


def slow_decode(joints, limbs, config):
    """The people of one image as rows of {joint: (x, y, score)}."""
    peaks = [slow_peaks(plane, config.joint_threshold, config.max_people) for plane in joints]
    count = max(1, *map(len, peaks))
    cells = np.zeros((14, count, 2))
    for joint, found in enumerate(peaks):
        for k, (x, y, _) in enumerate(found):
            cells[joint, k] = x, y
    strength = slow_limb_scores(limbs, cells, config.samples)
    links = []
    for limb, (a, b) in enumerate(LIMBS):
        gain = strength[limb, : len(peaks[a]), : len(peaks[b])]
        gain = np.where(gain >= config.limb_threshold, gain, 0)
        links += [(gain[i, j], (a, i), (b, j)) for i, j in slow_matching(gain)]
    people = [{(joint, k)} for joint in range(14) for k in range(len(peaks[joint]))]
    for value, first, second in sorted(links, reverse=True):
        one = next(person for person in people if first in person)
        two = next(person for person in people if second in person)
        if value >= config.limb_threshold and not {j for j, _ in one} & {j for j, _ in two}:
            people = [p for p in people if p is not one and p is not two] + [one | two]
    rows, taken = [], set()
    for person in people:
        row = {}
        for joint, k in person:
            x, y, score = peaks[joint][k]
            row[joint] = 8 * x + 3.5, 8 * y + 3.5, score
        mean = np.mean([score for _, _, score in row.values()])
        if len(row) >= config.min_joints and mean >= config.min_score:
            rows.append((sum(score for _, _, score in row.values()), row, person))
    rows = sorted(rows, key=lambda found: -found[0])[: config.max_people]
    for _, _, person in rows:
        taken |= person
    rows = [row for _, row, _ in rows]
    spots = []
    for row in rows:
        box = np.array([(x, y) for x, y, _ in row.values()])
        spots.append((box.mean(0), 0.9 * (box.max(0) - box.min(0)).max()))
    for joint in range(14):
        for k, (x, y, score) in enumerate(peaks[joint]):
            place = np.array([8 * x + 3.5, 8 * y + 3.5])
            distances = [
                np.linalg.norm(place - middle) / reach if joint not in row else np.inf
                for row, (middle, reach) in zip(rows, spots, strict=True)
            ]
            if (joint, k) not in taken and min(distances, default=1) < 1:
                rows[int(np.argmin(distances))][joint] = (*place, score)
    for row in rows:
        for name in ('SHOULDER', 'ELBOW', 'WRIST', 'HIP', 'KNEE', 'ANKLE'):
            slow_part(rows, row, Joint[f'RIGHT_{name}'], Joint[f'LEFT_{name}'], peaks)
    return rows


def slow_part(rows, row, right, left, peaks):
    """Two places for a right and a left joint of a person that are within a cell of each other."""
    if right not in row or left not in row or slow_distance(row[right], row[left]) >= 8:
        return
    choices = {}
    for joint in (right, left):
        held = [other[joint] for other in rows if other is not row and joint in other]
        places = [(8 * x + 3.5, 8 * y + 3.5, score) for x, y, score in peaks[joint]]
        choices[joint] = [p for p in places if p not in held and p[2] >= 0.8 * row[joint][2]]
    pairs = [
        (one[2] + two[2], one, two)
        for one in choices[right]
        for two in choices[left]
        if slow_distance(one, two) > 12
    ]
    if pairs:
        _, row[right], row[left] = max(pairs)


def slow_distance(one, two):
    return np.hypot(one[0] - two[0], one[1] - two[1])
