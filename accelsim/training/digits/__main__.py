"""``python -m accelsim.training.digits``."""

import sys

from accelsim.training.digits import main

sys.exit(main())
