import sys

from tests.hub.hub import main

sys.exit(main())
