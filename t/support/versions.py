"""What depends on the version of Tornado."""

import pytest
import tornado

since_6_6 = pytest.mark.skipif(
    tornado.version_info < (6, 6),
    reason="Tornado 6.5 logs a trace of such a request, and knows no cross_origin_protection",
)
