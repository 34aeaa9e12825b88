"""`python -m cogment_pipe`: what the workflow's rules call."""

import sys

from cogment_pipe.cli import main

sys.exit(main())
