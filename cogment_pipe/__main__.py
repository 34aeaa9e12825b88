"""`python -m cogment_pipe`: what the workflow's rules call."""

import sys

from cogment_pipe.cli import main
from cogment_pipe.main_times import noted

sys.exit(noted(main))
