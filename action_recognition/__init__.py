"""Online human action recognition for robots: camera -> 14-joint skeletons -> action labels."""

import os
from pkgutil import extend_path

__version__ = '0.1.0'

# The generated message module (`action_recognition.msg`) is installed as another half of this
# package; run from a source checkout, the two halves are merged here.
__path__ = extend_path(__path__, __name__)

from action_recognition.limits import MAX_PIXELS

# Of image files in any format. OpenCV reads this when it is loaded.
os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', str(MAX_PIXELS))
