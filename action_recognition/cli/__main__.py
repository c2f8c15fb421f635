"""`python -m action_recognition.cli`: the command where its script is not on the PATH."""

import sys

from action_recognition.cli import main

sys.exit(main())
