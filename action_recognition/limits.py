"""How much is taken from files and messages, so that no input can exhaust the machine.

Each limit is far above what a robot has use for. What exceeds one is refused with a `UserError`
before memory or time is spent on it.
"""

from __future__ import annotations

from pathlib import Path

from action_recognition.errors import UserError

#: Pixels of an image, and the longer side: twice an 8K camera.
MAX_PIXELS = 2**26
MAX_SIDE = 2**14
#: A message with the largest image in the widest encoding (4 bytes a pixel), and its header.
MAX_IMAGE_BYTES = 4 * MAX_PIXELS + 2**16
#: People in one image.
MAX_PEOPLE = 64
#: A message with skeletons or labels: of 64 people, those of more classes than any data set has.
MAX_RESULT_BYTES = 2**18
#: Pixels by which a joint may lie from the origin; single precision loses nothing up to here.
MAX_COORDINATE = 1e5
#: A file that people write, such as behaviour rules or the config of a training.
MAX_TEXT_BYTES = 2**20


def check_image_size(width: int, height: int) -> None:
    """Refuse an image by its size.

    Raises:
        UserError: a side or the number of pixels is too large.
    """
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise UserError(
            f'the image has {width} x {height} pixels; at most {MAX_PIXELS} in all and {MAX_SIDE} '
            'a side are read'
        )


def read_text(path: Path) -> str:
    """The UTF-8 text of a file that people write.

    Raises:
        UserError: it is too large.
        OSError, UnicodeDecodeError: it cannot be read.
    """
    with path.open('rb') as file:
        data = file.read(MAX_TEXT_BYTES + 1)
    if len(data) > MAX_TEXT_BYTES:
        raise UserError(f'{path} is larger than {MAX_TEXT_BYTES} bytes: not a file of this kind')
    return data.decode('utf-8')
