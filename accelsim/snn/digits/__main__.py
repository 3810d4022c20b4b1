"""``python -m accelsim.snn.digits``."""

import sys

from accelsim.snn.digits import main

sys.exit(main())
