"""What a run saw, as files for people: a table of labels and one page that needs no network."""

from __future__ import annotations

import base64
import csv
import html
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from action_recognition.recognition.labels import ActionEstimate
from action_recognition.visualization.overlay import colour_of
from action_recognition.visualization.plots import label_colours, timeline

LABEL_COLUMNS = ('stamp', 'person', 'label', 'confidence', 'state')
#: Pictures on the page, and their width in pixels.
STILLS, STILL_WIDTH = 6, 480
#: Seconds without a confirmed label that do not yet break an action in two; nor does a longer
#: time in which nothing else began.
BREAK = 0.5


@dataclass(frozen=True)
class Moment:
    """The labels of everybody in one frame.

    Attributes:
        stamp: of the frame in ns.
        estimates: one for each person, and those that have ended.
    """

    stamp: int
    estimates: tuple[ActionEstimate, ...]


@dataclass(frozen=True)
class Deed:
    """One person doing one thing: an unbroken run of a confirmed label.

    Attributes:
        person: track id.
        label: the action.
        begin, end: seconds from the first frame: when the label began, and when it was last seen.
        confidence: mean over the frames.
    """

    person: int
    label: str
    begin: float
    end: float
    confidence: float


def people(moments: Iterable[Moment]) -> dict[int, list[tuple[int, ActionEstimate]]]:
    """What each person did, by track id: stamp and estimate of every frame they were seen in."""
    found: dict[int, list[tuple[int, ActionEstimate]]] = defaultdict(list)
    for moment in moments:
        for estimate in moment.estimates:
            if estimate.state != 'ended':
                found[estimate.track_id].append((moment.stamp, estimate))
    return dict(sorted(found.items()))


def deeds(moments: Sequence[Moment]) -> list[Deed]:
    """Who did what when, in the order in which it began."""
    found = []
    origin = moments[0].stamp if moments else 0
    for person, answers in people(moments).items():
        runs: list[list[tuple[int, ActionEstimate]]] = []
        for stamp, estimate in answers:
            if estimate.state != 'confirmed':
                continue
            last = runs[-1][-1] if runs else None
            goes_on = (
                last is not None
                and last[1].label == estimate.label
                and (last[1].began == estimate.began or stamp - last[0] <= BREAK * 1e9)
            )
            if goes_on:
                runs[-1].append((stamp, estimate))
            else:
                runs.append([(stamp, estimate)])
        for run in runs:
            confidence = sum(estimate.confidence for _, estimate in run) / len(run)
            begin, end = ((stamp - origin) * 1e-9 for stamp in (run[0][1].began, run[-1][0]))
            found.append(Deed(person, run[0][1].label, begin, end, confidence))
    return sorted(found, key=lambda deed: (deed.begin, deed.person))


def write_labels(path: Path, moments: Iterable[Moment]) -> None:
    """One row for each person and frame; the stamp in seconds with all its nanoseconds."""
    with path.open('w', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(LABEL_COLUMNS)
        for moment in moments:
            stamp = f'{moment.stamp // 10**9}.{moment.stamp % 10**9:09d}'
            for e in moment.estimates:
                writer.writerow((stamp, e.track_id, e.label, f'{e.confidence:.4f}', e.state))


def stills(video: Path, count: int = STILLS) -> list[bytes]:
    """JPEG pictures at even distances from a video, in order."""
    capture = cv2.VideoCapture(str(video))
    length = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    wanted = {int((i + 0.5) * length / count) for i in range(count)}
    pictures = []
    for index in range(length):
        if not capture.grab():
            break
        if index in wanted and (frame := capture.retrieve())[0]:
            height, width = frame[1].shape[:2]
            size = (STILL_WIDTH, max(1, round(height * STILL_WIDTH / width)))
            small = cv2.resize(frame[1], size, interpolation=cv2.INTER_AREA)
            pictures.append(
                cv2.imencode('.jpg', small, (cv2.IMWRITE_JPEG_QUALITY, 85))[1].tobytes()
            )
    capture.release()
    return pictures


def write_page(
    path: Path,
    title: str,
    moments: Sequence[Moment],
    tables: Mapping[str, Mapping[str, Any]],
    pictures: Sequence[bytes] = (),
    video: str = '',
) -> None:
    """The summary as one HTML file that needs nothing else.

    Args:
        title: what was looked at.
        moments: what was seen, in order.
        tables: heading -> name -> value, below the timelines.
        pictures: JPEG images.
        video: name of a file beside the page that browsers can play; empty: none.
    """
    done = deeds(moments)
    found = people(moments)
    parts = [f'<h1>{html.escape(title)}</h1>', _lead(found, done)]
    if video:
        parts.append(f'<video src="{html.escape(video)}" controls muted loop></video>')
    elif pictures:
        images = (base64.b64encode(picture).decode() for picture in pictures)
        tags = (f'<img alt="annotated frame" src="data:image/jpeg;base64,{i}">' for i in images)
        parts.append(f'<div class="stills">{"".join(tags)}</div>')
    parts += ['<h2>Timelines</h2>', *_timelines(moments, found)] if found else []
    parts += ['<h2>Who did what when</h2>', _deed_table(done)] if done else []
    parts.append('<div class="tables">')
    parts += (_fact_table(heading, facts) for heading, facts in tables.items())
    parts.append('</div>')
    path.write_text(PAGE.format(title=html.escape(title), style=STYLE, body='\n'.join(parts)))


def _lead(found: Mapping[int, Any], done: Sequence[Deed]) -> str:
    if not found:
        return '<p>Nobody was seen.</p>'
    crowd = 'One person was' if len(found) == 1 else f'{len(found)} people were'
    if not done:
        return (
            f'<p>{crowd} seen; no action was held long enough to be confirmed. '
            'Pale spans below are the best guesses of the moment.</p>'
        )
    labels = dict.fromkeys(deed.label.replace('_', ' ') for deed in done)
    return f'<p>{crowd} seen. Confirmed actions: {html.escape(", ".join(labels))}.</p>'


def _timelines(
    moments: Sequence[Moment], found: Mapping[int, Sequence[tuple[int, ActionEstimate]]]
) -> Iterator[str]:
    origin, last = moments[0].stamp, moments[-1].stamp
    frame = (last - origin) / max(len(moments) - 1, 1) or 1e9
    end = (last - origin + frame) * 1e-9
    colours = label_colours([e.label for answers in found.values() for _, e in answers])
    for person, answers in found.items():
        seconds = [(stamp - origin) * 1e-9 for stamp, _ in answers]
        blue, green, red = colour_of(person)
        yield (
            f'<h3><span class="swatch" style="background:rgb({red},{green},{blue})"></span>'
            f'Person {person}</h3>'
        )
        yield timeline(seconds, [estimate for _, estimate in answers], colours, end)


def _deed_table(done: Sequence[Deed]) -> str:
    rows = ''.join(
        f'<tr><td>{deed.person}</td><td>{html.escape(deed.label.replace("_", " "))}</td>'
        f'<td>{deed.begin:.2f} s</td><td>{deed.end:.2f} s</td><td>{deed.confidence:.0%}</td></tr>'
        for deed in done
    )
    head = ''.join(
        f'<th>{name}</th>' for name in ('Person', 'Action', 'From', 'To', 'Mean confidence')
    )
    return f'<table class="deeds"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _fact_table(heading: str, facts: Mapping[str, Any]) -> str:
    rows = ''.join(
        f'<tr><th>{html.escape(str(name))}</th><td>{html.escape(str(value))}</td></tr>'
        for name, value in facts.items()
    )
    return f'<section><h2>{html.escape(heading)}</h2><table>{rows}</table></section>'


STYLE = """
:root { color-scheme: light dark; --ink: #1d1d1f; --soft: #6b6b70; --paper: #fff; --line: #dcdce0 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececf0; --soft: #a0a0a8; --paper: #17181b; --line: #36373c }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 62rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem }
h3 { font-size: 1rem; margin: 1rem 0 0; font-weight: 600 }
p { color: var(--soft); margin: 0 0 1.25rem }
svg { display: block; width: 100%; height: auto }
video, .stills img { display: block; width: 100%; border-radius: 6px }
.stills { display: grid; gap: .5rem; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)) }
.swatch { display: inline-block; width: .8em; height: .8em; margin-right: .45em;
  border-radius: 50% }
.tables { display: grid; gap: 0 2.5rem;
  grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)) }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere }
th { color: var(--soft); font-weight: 500; white-space: nowrap }
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
