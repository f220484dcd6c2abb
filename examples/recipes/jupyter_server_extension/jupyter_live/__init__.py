"""Events from notebooks to the pages of a Jupyter Server.

In a notebook:

    from jupyter_live import publisher

    publisher().publish("news", {"text": "hello"})
"""

import functools
import os

from tatsumaki_py.publisher import Publisher

URL, TOKEN = "JUPYTER_LIVE_URL", "JUPYTER_LIVE_TOKEN"


@functools.cache
def publisher():
    """The publisher of this kernel. The extension puts the URL and the token into the environment,
    which kernels inherit. A server of a JupyterHub accepts the token of the hub instead.
    """
    token = os.environ.get("JUPYTERHUB_API_TOKEN") or os.environ[TOKEN]
    url = os.environ[URL] + "publish/{channel}"
    return Publisher(url, headers={"Authorization": f"token {token}"})


def _jupyter_server_extension_points():
    from jupyter_live.app import Live

    return [{"module": "jupyter_live", "app": Live}]
