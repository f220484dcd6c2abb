"""nchan on nginx with one worker: writes nginx.conf into the working directory, and becomes nginx
(exec).

TATSUMAKI_ENGINE in the environment is the URL of a Redis for the messages.
"""

import os
import sys
from pathlib import Path

MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")  # Debian's path

# Two kinds of subscriber: chunked was the cheapest, EventSource has a cursor.
# nchan's defaults, except those that would end the run: its limits, and its buffer of ten events.
CONFIGURATION = """
load_module {module};
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 19000; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  nchan_shared_memory_size 256m;
  nchan_message_buffer_length 1000;
  {upstream}
  server {{
    {redis_pass}
    listen 127.0.0.1:{port} backlog=4096;
    location = /publish {{ nchan_publisher; nchan_channel_id bench; }}
    nchan_subscriber_first_message newest;
    location = /chunked {{ nchan_subscriber http-chunked; nchan_channel_id bench; }}
    location = /eventsource {{ nchan_subscriber eventsource; nchan_channel_id bench; }}
    location = /plain {{ default_type text/plain; return 200 "ok"; }}
    location = /poll {{ nchan_subscriber longpoll; nchan_channel_id bench; }}
  }}
}}
"""

if __name__ == "__main__":
    folder = Path.cwd()
    configuration = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # else the worker can't enter the folder
    url = os.environ.get("TATSUMAKI_ENGINE")
    configuration.write_text(
        CONFIGURATION.format(
            module=MODULE,
            user=user,
            folder=folder,
            port=sys.argv[1],
            upstream=f"upstream redis {{ nchan_redis_server {url}; }}" if url else "",
            redis_pass="nchan_redis_pass redis;" if url else "",
        )
    )
    os.execvp("nginx", ["nginx", "-c", str(configuration), "-e", f"{folder}/error.log"])
